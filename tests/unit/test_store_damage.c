// A store whose files were damaged: every value that is found is right, what is missing
// is counted and said, and the store goes on. Only some of all bits are flipped;
// DDG_TEST_FULL=1 flips twenty times as many.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alone.h"
#include "store_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROWS  ((size_t)300)
#define LARGE (STORE_LARGE / sizeof(float))

static size_t stride(size_t n, size_t trials) {
    if (getenv("DDG_TEST_FULL")) trials *= 20;
    return n <= trials ? 1 : n / trials | 1;
}

// ---- files ---------------------------------------------------------------------------
struct bytes {
    char *at;
    size_t n;
};

static struct bytes read_file(struct fixture *f, const char *path) {
    struct bytes b;
    b.at = file_read(f->a, path, 1 << 24, &b.n);
    assert_non_null(b.at);
    return b;
}

static void write_file(const char *path, const char *data, size_t n) {
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, n, out), n);
    assert_int_equal(fclose(out), 0);
}

static void empty(const char *path) {
    if (access(path, F_OK) == 0)
        assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

// ---- a store, and what becomes of it -------------------------------------------------
struct kept {
    struct digest small, other;
};

static struct kept fill(struct store *s) {
    struct rig r, other;
    struct kept k = {rig_record(&r, "shap_patches", "128"),
                     rig_record(&other, "gradnorm", "1")};
    store_use(s, &r.record);
    store_use(s, &other.record);
    rig_put(s, k.small, 0, ROWS, WIDTH, 3);
    rig_put(s, k.other, 0, ROWS, 1, 3);
    rig_put(s, k.other, ROWS, 4, 300 * WIDTH, 3); // on pages of their own
    store_flush(s);
    return k;
}

static size_t count(struct store *s, const struct kept *k) {
    return rig_get(s, k->small, 0, ROWS, WIDTH) + rig_get(s, k->other, 0, ROWS, 1) +
           rig_get(s, k->other, ROWS, 4, 300 * WIDTH);
}

#define ALL (2 * ROWS + 4)

// The store of a folder in which one file was replaced; then it is filled again.
struct after {
    size_t found;
    bool said;
};

static struct after look_after(struct fixture *f, const char *folder,
                               const struct kept *k) {
    struct store *s = rig_open(folder);
    struct after a = {.found = count(s, k)};
    a.said = store_trouble(s, f->a) != NULL;
    if (a.found < ALL) fill(s);
    assert_int_equal(count(s, k), ALL);
    store_close(s);
    s = rig_open(folder);
    assert_int_equal(count(s, k), ALL);
    rig_expect_trouble(f, s, NULL);
    store_close(s);
    return a;
}

static struct after try_database(struct fixture *f, const char *data, size_t n,
                                 const struct kept *k) {
    const char *folder = path_of(f, "try");
    empty(folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    write_file(path_of(f, "try/store-1.db"), data, n);
    return look_after(f, folder, k);
}

static struct bytes database_of(struct fixture *f, struct kept *k) {
    struct store *s = rig_open(path_of(f, "s"));
    *k = fill(s);
    assert_int_equal(count(s, k), ALL);
    store_close(s);
    return read_file(f, path_of(f, "s/store-1.db"));
}

// ---- flips ---------------------------------------------------------------------------
static void test_flips_of_the_database(void **state) {
    struct fixture *f = *state;
    struct kept k;
    struct bytes b = database_of(f, &k);
    size_t lost = 0, trials = 0;
    for (size_t i = 0; i < b.n; i += stride(b.n, 150)) {
        b.at[i] ^= (char)(1 << (i * 5 % 8));
        struct after a = try_database(f, b.at, b.n, &k);
        b.at[i] ^= (char)(1 << (i * 5 % 8));
        if (!a.said) fail_msg("a flip at %zu was not noticed", i);
        // At worst a page that does not say any more what it is.
        if (a.found + 80 < ALL) fail_msg("a flip at %zu cost %zu", i, ALL - a.found);
        lost += ALL - a.found;
        trials++;
    }
    // As a rule it is one value or none.
    assert_true(lost <= 2 * trials);
}

static void test_flips_in_the_first_bytes(void **state) {
    struct fixture *f = *state;
    struct kept k;
    struct bytes b = database_of(f, &k);
    for (size_t i = 0; i < 100 * 8; i += getenv("DDG_TEST_FULL") ? 1 : 7) {
        b.at[i / 8] ^= (char)(1 << i % 8);
        struct after a = try_database(f, b.at, b.n, &k);
        b.at[i / 8] ^= (char)(1 << i % 8);
        if (!a.said || a.found != ALL)
            fail_msg("bit %zu: %zu of %zu found, %s", i, a.found, ALL,
                     a.said ? "said" : "not said");
    }
}

static void test_truncated_databases(void **state) {
    struct fixture *f = *state;
    struct kept k;
    struct bytes b = database_of(f, &k);
    size_t before = 0;
    for (size_t n = 0; n < b.n; n += n % VFS_PAGE ? VFS_PAGE - n % VFS_PAGE : 1111) {
        struct after a = try_database(f, b.at, n, &k);
        if (!a.said) fail_msg("an end at %zu was not noticed", n);
        before = size_max(before, a.found);
    }
    assert_true(before > ALL / 2);
}

static void test_what_is_no_database(void **state) {
    struct fixture *f = *state;
    struct kept k;
    struct bytes b = database_of(f, &k);
    char *zeros = arena_alloc(f->a, b.n, 1);
    assert_true(try_database(f, zeros, b.n, &k).said);
    for (size_t i = 0; i < b.n; i++) zeros[i] = (char)(i * 2654435761u >> 13);
    assert_true(try_database(f, zeros, b.n, &k).said);
    memcpy(zeros, b.at, 100); // a right header, and nothing right after it
    assert_true(try_database(f, zeros, b.n, &k).said);
    assert_true(try_database(f, "text", 4, &k).said);
}

// Hundreds of bytes at once: nothing of it may be believed, or read past its end.
static void test_much_damage(void **state) {
    struct fixture *f = *state;
    struct kept k;
    struct bytes b = database_of(f, &k);
    char *copy = arena_alloc(f->a, b.n, 1);
    for (uint64_t trial = 0; trial < (getenv("DDG_TEST_FULL") ? 400 : 20); trial++) {
        memcpy(copy, b.at, b.n);
        for (uint64_t i = 0; i < 20 + 200 * trial; i++) {
            struct digest random = digest_of(&(uint64_t[]){trial, i}, 16);
            // Half of them where pages say what they hold.
            size_t at = random.lo % b.n;
            if (i % 2) at = at / VFS_PAGE * VFS_PAGE + at % 64;
            copy[at] = (char)random.hi;
        }
        assert_true(try_database(f, copy, b.n, &k).said);
    }
}

// Whole pages swapped: each is right by itself, at another place.
static void test_swapped_pages(void **state) {
    struct fixture *f = *state;
    struct kept k;
    char page[VFS_PAGE];
    struct bytes b = database_of(f, &k);
    for (size_t i = 1; i + 2 < b.n / VFS_PAGE; i += 5) {
        char *at = b.at + i * VFS_PAGE;
        memcpy(page, at, VFS_PAGE);
        memmove(at, at + VFS_PAGE, VFS_PAGE);
        memcpy(at + VFS_PAGE, page, VFS_PAGE);
        struct after a = try_database(f, b.at, b.n, &k);
        assert_true(a.said && a.found > 0);
        memcpy(page, at, VFS_PAGE);
        memmove(at, at + VFS_PAGE, VFS_PAGE);
        memcpy(at + VFS_PAGE, page, VFS_PAGE);
    }
}

// ---- the log of a killed process -----------------------------------------------------
static void leave_log(const char *folder) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        fill(rig_open(folder));
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static struct after try_log(struct fixture *f, const struct bytes *db, const char *log,
                            size_t n, const struct kept *k) {
    const char *folder = path_of(f, "try");
    empty(folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    write_file(path_of(f, "try/store-1.db"), db->at, db->n);
    write_file(path_of(f, "try/store-1.db-wal"), log, n);
    return look_after(f, folder, k);
}

static void test_damage_of_the_log(void **state) {
    struct fixture *f = *state;
    struct rig r, other;
    struct kept k = {rig_record(&r, "shap_patches", "128"),
                     rig_record(&other, "gradnorm", "1")};
    leave_log(path_of(f, "s"));
    struct bytes db = read_file(f, path_of(f, "s/store-1.db"));
    struct bytes log = read_file(f, path_of(f, "s/store-1.db-wal"));
    assert_true(log.n > 10 * VFS_PAGE);
    struct after whole = try_log(f, &db, log.at, log.n, &k);
    assert_int_equal(whole.found, ALL); // what is normal after a kill
    assert_false(whole.said);
    for (size_t i = 0; i < log.n; i += stride(log.n, 120)) {
        log.at[i] ^= (char)(1 << (i % 8));
        struct after a = try_log(f, &db, log.at, log.n, &k);
        log.at[i] ^= (char)(1 << (i % 8));
        if (!a.said) fail_msg("a flip at %zu of the log was not noticed", i);
        if (a.found + 80 < ALL) fail_msg("a flip at %zu cost %zu", i, ALL - a.found);
    }
    for (size_t n = 0; n < log.n; n += 3331) try_log(f, &db, log.at, n, &k);
}

// ---- rows that are wrong on pages that are right -------------------------------------
static void alter(struct store *s, const char *sql) {
    struct db *db = care_lock(s);
    assert_int_equal(db_exec(db, sql), SQLITE_OK);
    assert_int_equal(sqlite3_changes(db->h), 1);
    care_unlock(s, db);
}

static void test_rows_that_were_altered(void **state) {
    static const char *const ALTERED[] = {
        "UPDATE value SET data = x'00' WHERE id = 7",
        "UPDATE value SET size = size + 1 WHERE id = 7",
        "UPDATE value SET place = 1 WHERE id = 7",
        "UPDATE value SET row = (SELECT substr(row, 1, 15) || x'77' FROM value WHERE id "
        "= 8)"
        " WHERE id = 7",
        "UPDATE value SET sum = x'' WHERE id = 7",
        "UPDATE value SET data = zeroblob(10000000) WHERE id = 7",
        "UPDATE value SET data = 'text' WHERE id = 7",
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(ALTERED); i++) {
        const char *path = arena_printf(f->a, "%s/s%zu", f->root, i);
        struct store *s = rig_open(path);
        struct kept k = fill(s);
        alter(s, ALTERED[i]);
        assert_int_equal(count(s, &k), ALL - 1);
        if (i != 3) rig_expect_trouble(f, s, "1 value was damaged and is computed again");
        struct store_check c = rig_verify(f, s);
        assert_int_equal(c.damaged, 1);
        assert_int_equal(c.nwords, 1);
        assert_non_null(strstr(c.words[0], "shap_patches"));
        assert_int_equal(rig_verify(f, s).damaged, 0); // taken out
        fill(s);
        assert_int_equal(count(s, &k), ALL);
        store_close(s);
    }
}

// A value under the key of another: both rows are right as rows.
static void test_a_value_of_another_record(void **state) {
    struct fixture *f = *state;
    struct store *s = rig_open(path_of(f, "s"));
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "64");
    struct kept k = fill(s);
    store_use(s, &r.record);
    rig_put(s, key, ROWS, 1, WIDTH, 1);
    store_flush(s);
    alter(s,
          "UPDATE value SET record = (SELECT record FROM value ORDER BY id DESC LIMIT 1)"
          " WHERE id = 7");
    assert_int_equal(count(s, &k), ALL - 1);
    assert_int_equal(rig_get(s, key, 0, ROWS, WIDTH), 0);
    assert_int_equal(store_counts(s).damaged, 1);
    store_close(s);
}

static void test_hostile_words_of_records(void **state) {
    static const char *const ALTERED[] = {
        "UPDATE record SET body = x'dfffffffff' WHERE id = 1",
        "UPDATE record SET body = zeroblob(20000000) WHERE id = 1",
        "UPDATE record SET body = x'81a176ff' WHERE id = 1",
        "UPDATE record SET body = 5 WHERE id = 1",
    };
    struct fixture *f = *state;
    struct store_record *got;
    for (size_t i = 0; i < COUNT(ALTERED); i++) {
        const char *path = arena_printf(f->a, "%s/s%zu", f->root, i);
        struct store *s = rig_open(path);
        struct kept k = fill(s);
        alter(s, ALTERED[i]);
        assert_int_equal(count(s, &k), ALL); // the values are right all the same
        assert_int_equal(store_records(s, NULL, f->a, &got), 1);
        assert_int_equal(rig_verify(f, s).damaged, 1);
        store_close(s);
        s = rig_open(path);
        fill(s); // who uses the record says again what it is
        assert_int_equal(store_records(s, NULL, f->a, &got), 2);
        assert_int_equal(rig_verify(f, s).damaged, 0);
        assert_int_equal(got[1].rows + got[0].rows, ALL);
        store_close(s);
    }
}

// A digest that fits, over msgpack that is none: somebody made it so.
static void test_words_with_a_right_digest(void **state) {
    struct fixture *f = *state;
    struct store *s = rig_open(path_of(f, "s"));
    struct store_record *got;
    struct kept k = fill(s);
    static const unsigned char BODY[] = {0xde, 0xff, 0xff, 0xa1, 'v',
                                         0xdd, 0xff, 0xff, 0xff, 0xff};
    struct digest sum = record_sum(k.small, BODY, sizeof BODY);
    struct db *db = care_lock(s);
    int rc;
    sqlite3_stmt *st = db_statement(db, SQL_RECORD_SET, &rc);
    sqlite3_bind_int64(st, 1, 1);
    sqlite3_bind_int64(st, 2, s->today);
    db_bind_digest(st, 3, &sum);
    sqlite3_bind_blob(st, 4, BODY, sizeof BODY, SQLITE_STATIC);
    assert_int_equal(db_finish(st), SQLITE_OK);
    care_unlock(s, db);
    assert_int_equal(store_records(s, NULL, f->a, &got), 1);
    assert_int_equal(count(s, &k), ALL);
    store_close(s);
}

// ---- blobs ---------------------------------------------------------------------------
static bool damage_blob(void *ctx, const struct blob_file *b) {
    const struct fixture *f = ctx;
    char path[256];
    snprintf(path, sizeof path, "%s/s/%s", f->root, b->path);
    FILE *file = fopen(path, "r+b");
    fseek(file, 1000, SEEK_SET);
    int c = fgetc(file);
    fseek(file, 1000, SEEK_SET);
    fputc(c ^ 4, file);
    fclose(file);
    return false; // one is enough
}

static bool remove_blob(void *ctx, const struct blob_file *b) {
    char path[256];
    snprintf(path, sizeof path, "%s/s/%s", ((struct fixture *)ctx)->root, b->path);
    remove(path);
    return false;
}

static bool shorten_blob(void *ctx, const struct blob_file *b) {
    char path[256];
    snprintf(path, sizeof path, "%s/s/%s", ((struct fixture *)ctx)->root, b->path);
    assert_int_equal(truncate(path, 77), 0);
    return false;
}

static void test_blobs(void **state) {
    static bool (*const DAMAGE[])(void *, const struct blob_file *) = {
        damage_blob, remove_blob, shorten_blob};
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "save", "1");
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, 3, LARGE, 1);
    store_flush(s);
    for (size_t i = 0; i < 2 * COUNT(DAMAGE); i++) {
        assert_true(blob_each(s->folder, DAMAGE[i % COUNT(DAMAGE)], f));
        if (i < COUNT(DAMAGE)) {
            uint64_t before = store_counts(s).damaged;
            assert_int_equal(rig_get(s, key, 0, 3, LARGE), 2);
            assert_int_equal(store_counts(s).damaged, before + 1);
        } else {
            assert_int_equal(rig_verify(f, s).damaged, 1);
            assert_int_equal(rig_get(s, key, 0, 3, LARGE), 2);
        }
        rig_put(s, key, 0, 3, LARGE, 1);
        store_flush(s);
        assert_int_equal(rig_get(s, key, 0, 3, LARGE), 3);
    }
    store_close(s);
}

// ---- repair --------------------------------------------------------------------------
static void flip_in(const char *path, long at) {
    FILE *file = fopen(path, "r+b");
    fseek(file, at, SEEK_SET);
    int c = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(c ^ 1, file);
    fclose(file);
}

static void test_the_damaged_database_is_set_aside(void **state) {
    struct fixture *f = *state;
    struct kept k;
    struct store_gc gc;
    database_of(f, &k);
    flip_in(path_of(f, "s/store-1.db"), 5 * VFS_PAGE + 3000);
    struct store *s = rig_open(path_of(f, "s"));
    rig_expect_trouble(f, s, "set aside as store-1.db");
    assert_int_equal(s->generation, 2);
    size_t found = count(s, &k);
    assert_true(found >= ALL - 1);
    assert_int_equal(store_counts(s).damaged, ALL - found);
    assert_int_equal(rig_verify(f, s).damaged, ALL - found);
    assert_int_equal(access(path_of(f, "s/store-1.db"), F_OK), 0);
    assert_true(store_gc(s, STORE_MAX_BYTES, &gc));
    assert_int_equal(access(path_of(f, "s/store-1.db"), F_OK), -1);
    store_close(s);
}

// Found while the store is in use, by a page that was read: the next run repairs it.
static void test_damage_in_the_middle_of_a_run(void **state) {
    struct fixture *f = *state;
    struct kept k;
    struct bytes b = database_of(f, &k);
    struct store *s = rig_open(path_of(f, "s"));
    // All pages but the first: which ones are read is SQLite's business.
    for (size_t i = 1; i < b.n / VFS_PAGE; i++)
        flip_in(path_of(f, "s/store-1.db"), (long)(i * VFS_PAGE + 3500));
    assert_int_equal(count(s, &k), 0);
    rig_expect_trouble(f, s, "the next run repairs it");
    assert_int_equal(access(path_of(f, "s/store-1.damaged"), F_OK), 0);
    fill(s);
    store_close(s);
    s = rig_open(path_of(f, "s"));
    rig_expect_trouble(f, s, "set aside as store-1.db");
    assert_true(count(s, &k) > ALL / 2);
    store_close(s);
}

static void test_damage_that_can_only_be_looked_at(void **state) {
    struct fixture *f = *state;
    struct kept k;
    char why[256];
    database_of(f, &k);
    flip_in(path_of(f, "s/store-1.db"), 12 * VFS_PAGE + 3000);
    struct store_options look = {.path = path_of(f, "s"), .look = true};
    struct store *s = store_open(&look, why, sizeof why);
    assert_non_null(s);
    rig_expect_trouble(f, s, "damaged");
    size_t found = count(s, &k);
    assert_true(found > ALL / 2 && found < ALL);
    assert_true(rig_verify(f, s).damaged > 0);
    store_close(s);
    assert_int_equal(access(path_of(f, "s/store-2.db"), F_OK), -1);
}

// Many processes find the damage at once.
static void test_one_of_several_repairs(void **state) {
    struct fixture *f = *state;
    struct kept k;
    pid_t pids[4];
    database_of(f, &k);
    flip_in(path_of(f, "s/store-1.db"), 5 * VFS_PAGE + 3000);
    fflush(NULL);
    alone = false;
    for (size_t i = 0; i < COUNT(pids); i++) {
        pids[i] = fork();
        if (pids[i]) continue;
        struct store *s = rig_open(path_of(f, "s"));
        bool right = s->generation == 2 && count(s, &k) >= ALL - 1;
        store_close(s);
        _exit(!right);
    }
    for (size_t i = 0; i < COUNT(pids); i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    alone = true;
    assert_int_equal(access(path_of(f, "s/store-3.db"), F_OK), -1);
}

// Who has the old database open goes on with it.
static void test_others_are_not_disturbed(void **state) {
    struct fixture *f = *state;
    struct kept k;
    database_of(f, &k);
    struct store *old = rig_open(path_of(f, "s"));
    assert_int_equal(count(old, &k), ALL);
    flip_in(path_of(f, "s/store-1.db"), 5 * VFS_PAGE + 3000);
    struct store *s = rig_open(path_of(f, "s"));
    assert_int_equal(s->generation, 2);
    struct store_gc gc;
    assert_true(store_gc(s, STORE_MAX_BYTES, &gc));
    assert_int_equal(access(path_of(f, "s/store-1.db"), F_OK), 0); // in use
    assert_int_equal(count(old, &k), ALL);
    store_close(old);
    assert_true(store_gc(s, STORE_MAX_BYTES, &gc));
    assert_int_equal(access(path_of(f, "s/store-1.db"), F_OK), -1);
    store_close(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_in_memory, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_flips_of_the_database),
        TEST(test_flips_in_the_first_bytes),
        TEST(test_truncated_databases),
        TEST(test_what_is_no_database),
        TEST(test_much_damage),
        TEST(test_swapped_pages),
        TEST(test_damage_of_the_log),
        TEST(test_rows_that_were_altered),
        TEST(test_a_value_of_another_record),
        TEST(test_hostile_words_of_records),
        TEST(test_words_with_a_right_digest),
        TEST(test_blobs),
        TEST(test_the_damaged_database_is_set_aside),
        TEST(test_damage_in_the_middle_of_a_run),
        TEST(test_damage_that_can_only_be_looked_at),
        TEST(test_one_of_several_repairs),
        TEST(test_others_are_not_disturbed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
