// What a store keeps and gives up: eviction, clearing, and where nothing can be written.
// What is no store is refused in words.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY ((size_t)3000) // values, more than a full disk takes

// ---- eviction ------------------------------------------------------------------------
// Two records of 400 values of 1 KiB each: one cheap, one dear; and one dear but long
// unused.
enum { CHEAP, DEAR, OLD, KINDS };

static void fill_three(const char *path, struct rig *r, struct digest *keys) {
    static const char *const NAMES[KINDS] = {"cheap", "dear", "old"};
    for (int i = 0; i < KINDS; i++) {
        keys[i] = rig_record(&r[i], "relabel", NAMES[i]);
        struct store *s = rig_open(path);
        if (i == OLD) s->today -= 140;
        store_use(s, &r[i].record);
        rig_put(s, keys[i], 0, 400, 256, i == CHEAP ? 1 : 100);
        store_close(s);
    }
}

static void test_the_least_worth_goes_first(void **state) {
    struct fixture *f = *state;
    struct rig r[KINDS];
    struct digest keys[KINDS];
    struct store_gc gc;
    struct store_stats stats;
    fill_three(path_of(f, "s"), r, keys);
    struct store *s = rig_open(path_of(f, "s"));
    assert_true(store_stats(s, f->a, &stats));
    uint64_t third = stats.bytes / 3;
    // 100 s halved ten times is a tenth of the cheap one's second.
    assert_true(store_gc(s, stats.bytes - third / 2, &gc));
    assert_true(gc.bytes_after <= stats.bytes - third / 2);
    assert_true(gc.values > 100 && gc.values < 300);
    assert_true(store_gc(s, third + third / 2, &gc));
    assert_int_equal(rig_get(s, keys[OLD], 0, 400, 256), 0);
    size_t cheap = rig_get(s, keys[CHEAP], 0, 400, 256);
    assert_true(cheap > 50 && cheap < 300);
    assert_int_equal(rig_get(s, keys[DEAR], 0, 400, 256), 400);
    struct store_record *got;
    assert_int_equal(store_records(s, NULL, f->a, &got), KINDS); // still there to explain
    for (size_t i = 0; i < KINDS; i++)
        if (digest_eq(got[i].key, keys[CHEAP])) assert_int_equal(got[i].rows, cheap);
    assert_int_equal(rig_verify(f, s).damaged, 0);
    store_close(s);
}

static int use_dear(const char *path, int ready, int go) {
    struct rig r;
    rig_record(&r, "relabel", "dear");
    struct store *s = rig_open(path);
    store_use(s, &r.record);
    rig_tell(ready);
    rig_hear(go);
    store_close(s);
    return 0;
}

static void test_what_is_used_stays(void **state) {
    struct fixture *f = *state;
    struct rig r[KINDS];
    struct digest keys[KINDS];
    struct store_gc gc;
    fill_three(path_of(f, "s"), r, keys);
    struct rig_process o = rig_start(path_of(f, "s"), use_dear);
    rig_wait(&o);
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r[OLD].record);
    assert_true(store_gc(s, 0, &gc));
    assert_int_equal(gc.values, 400);
    assert_int_equal(rig_get(s, keys[CHEAP], 0, 400, 256), 0);
    assert_int_equal(rig_get(s, keys[DEAR], 0, 400, 256), 400);
    assert_int_equal(rig_get(s, keys[OLD], 0, 400, 256), 400);
    rig_tell(o.go);
    assert_int_equal(rig_finish(&o), 0);
    assert_true(store_gc(s, 0, &gc));
    assert_int_equal(gc.values, 400);
    assert_int_equal(rig_get(s, keys[DEAR], 0, 400, 256), 0);
    store_close(s);
}

static void test_closing_keeps_to_the_cap(void **state) {
    struct fixture *f = *state;
    struct rig r[KINDS];
    struct digest keys[KINDS], key;
    struct store_stats stats;
    struct rig mine;
    char why[256];
    fill_three(path_of(f, "s"), r, keys);
    struct store_options options = {.path = path_of(f, "s"), .max_bytes = 600000};
    struct store *s = store_open(&options, why, sizeof why);
    key = rig_record(&mine, "gradnorm", "1");
    store_use(s, &mine.record);
    rig_put(s, key, 0, 1, 1, 1);
    store_close(s);
    s = rig_open(path_of(f, "s"));
    assert_true(store_stats(s, f->a, &stats));
    assert_true(stats.bytes <= 600000 && stats.bytes > 400000);
    assert_int_equal(rig_get(s, keys[OLD], 0, 400, 256), 0);
    assert_int_equal(rig_get(s, key, 0, 1, 1), 1);
    store_close(s);
}

static void test_blobs_go_with_their_values(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "save", "1"), left;
    struct store_gc gc;
    struct store_stats stats;
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, 3, STORE_LARGE, 1);
    store_close(s);
    s = rig_open(path_of(f, "s"));
    // As a process that was killed leaves one, and a database that it was making.
    assert_true(blob_write(s->folder, "left", 4, &left));
    int fd = open(path_of(f, "s/.store-7-abcdef"), O_CREAT | O_WRONLY, 0600);
    struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(futimens(fd, old), 0);
    close(fd);
    assert_int_equal(rig_verify(f, s).leftovers, 1);
    assert_true(store_gc(s, STORE_MAX_BYTES, &gc));
    assert_int_equal(gc.files, 2);
    assert_int_equal(gc.values, 0);
    assert_int_equal(rig_get(s, key, 0, 3, STORE_LARGE), 3);
    assert_true(store_gc(s, 100000, &gc));
    assert_true(store_stats(s, f->a, &stats));
    assert_int_equal(stats.blobs, 3 - gc.values);
    assert_true(gc.values == 3 || gc.values == 2);
    store_close(s);
}

static void test_clearing(void **state) {
    struct fixture *f = *state;
    struct rig r;
    char why[256];
    struct store_stats stats;
    struct digest key = rig_record(&r, "save", "1");
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, 3, STORE_LARGE, 1);
    rig_put(s, key, 3, 500, WIDTH, 1);
    assert_true(store_clear(s, why, sizeof why));
    assert_int_equal(rig_get(s, key, 0, 3, STORE_LARGE), 0);
    assert_true(store_stats(s, f->a, &stats));
    assert_int_equal(stats.records + stats.values + stats.blobs, 0);
    assert_true(stats.bytes < 50000);
    rig_put(s, key, 0, 3, WIDTH, 1); // and it goes on
    store_flush(s);
    assert_int_equal(rig_get(s, key, 0, 3, WIDTH), 3);
    store_close(s);
}

// ---- where nothing can be written ----------------------------------------------------
static void test_a_store_in_memory(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct store *s = rig_open(NULL);
    store_use(s, &r.record);
    assert_true(store_claim(s, key, rig_row(0)));
    rig_put(s, key, 0, 10, WIDTH, 1);
    rig_put(s, key, 10, 2, STORE_LARGE, 1);
    assert_int_equal(rig_get(s, key, 0, 10, WIDTH), 10);
    assert_int_equal(rig_get(s, key, 10, 2, STORE_LARGE), 2);
    assert_int_equal(rig_verify(f, s).values, 12);
    rig_expect_trouble(f, s, NULL);
    store_close(s);
}

static void test_no_store_at_all(void **state) {
    struct rig r;
    (void)state;
    struct digest key = rig_record(&r, "shap_patches", "128");
    store_use(NULL, &r.record);
    assert_true(store_claim(NULL, key, key));
    rig_put(NULL, key, 0, 1, WIDTH, 1);
    assert_int_equal(rig_get(NULL, key, 0, 1, WIDTH), 0);
    store_flush(NULL);
    assert_false(store_writes(NULL));
    store_close(NULL);
}

static void remove_tree(const char *path) {
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void test_a_folder_that_goes_away(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    for (size_t width = WIDTH; width <= STORE_LARGE; width += STORE_LARGE - WIDTH) {
        struct store *s = rig_open(path_of(f, "s"));
        store_use(s, &r.record);
        rig_put(s, key, 0, 10, WIDTH, 1);
        store_flush(s);
        remove_tree(path_of(f, "s"));
        rig_put(s, key, 10, 10, width, 1);
        store_flush(s);
        assert_false(store_writes(s));
        assert_int_equal(store_counts(s).written, 10);
        rig_expect_trouble(f, s, "moved or removed");
        assert_true(store_claim(s, key, rig_row(3)));
        rig_put(s, key, 20, 10, WIDTH, 1);
        rig_get(s, key, 0, 30, WIDTH);
        store_close(s);
        assert_int_equal(access(path_of(f, "s"), F_OK), -1);
    }
}

// A file may not grow: what a full disk does to a file, without filling one.
static int fill_up(const char *path, int ready, int go) {
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct rlimit limit = {300000, 300000};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    struct store *s = rig_open(path);
    (void)ready, (void)go;
    store_use(s, &r.record);
    for (size_t i = 0; i < MANY; i += 100) {
        store_claim(s, key, rig_row(i));
        rig_put(s, key, i, 100, WIDTH, 1);
    }
    store_flush(s);
    struct arena *a = arena_new();
    const char *said = store_trouble(s, a);
    bool right = !store_writes(s) && said && strstr(said, "results are not stored");
    uint64_t written = store_counts(s).written;
    right = right && rig_get(s, key, 0, MANY, WIDTH) == written;
    store_close(s);
    arena_free(a);
    return right ? 0 : 1;
}

static void test_a_disk_that_is_full(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct rig_process o = rig_start(path_of(f, "s"), fill_up);
    assert_int_equal(rig_finish(&o), 0);
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, MANY, WIDTH, 1);
    store_flush(s);
    assert_int_equal(rig_get(s, key, 0, MANY, WIDTH), MANY);
    assert_int_equal(rig_verify(f, s).damaged, 0);
    store_close(s);
}

static int read_only(const char *path, int ready, int go) {
    struct rig r;
    char why[512];
    struct digest key = rig_record(&r, "shap_patches", "128");
    if (geteuid() == 0 && setuid(65534) != 0) return 2;
    struct store *s = store_open(&(struct store_options){.path = path}, why, sizeof why);
    (void)ready, (void)go;
    if (!s) return 3;
    store_use(s, &r.record);
    rig_put(s, key, 10, 10, WIDTH, 1);
    store_flush(s);
    struct arena *a = arena_new();
    const char *said = store_trouble(s, a);
    int rc = store_writes(s)                          ? 4
             : rig_get(s, key, 0, 20, WIDTH) != 10    ? 5
             : !said || !strstr(said, "only be read") ? 6
             : !store_claim(s, key, rig_row(12))      ? 7
                                                      : 0;
    store_close(s);
    arena_free(a);
    return rc;
}

static int forbidden(const char *path, int ready, int go) {
    char why[512];
    (void)ready, (void)go;
    if (geteuid() == 0 && setuid(65534) != 0) return 2;
    if (store_open(&(struct store_options){.path = path}, why, sizeof why)) return 3;
    return strstr(why, "ermission denied") ? 0 : 4;
}

static void test_a_store_that_can_only_be_read(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, 10, WIDTH, 1);
    store_close(s);
    assert_int_equal(chmod(f->root, 0755), 0);
    assert_int_equal(chmod(path_of(f, "s/store-1.db"), 0444), 0);
    assert_int_equal(chmod(path_of(f, "s"), 0555), 0);
    struct rig_process o = rig_start(path_of(f, "s"), read_only);
    assert_int_equal(rig_finish(&o), 0);
    assert_int_equal(chmod(path_of(f, "s"), 0), 0);
    o = rig_start(path_of(f, "s"), forbidden);
    assert_int_equal(rig_finish(&o), 0);
    assert_int_equal(chmod(path_of(f, "s"), 0700), 0);
}

// ---- what is refused -----------------------------------------------------------------
static void expect_refused(struct fixture *f, const struct store_options *o,
                           const char *words) {
    char why[512] = "";
    (void)f;
    struct store *s = store_open(o, why, sizeof why);
    if (s) fail_msg("opened, but \"%s\" was expected", words);
    if (!strstr(why, words)) fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void write_text(const char *path, const char *text) {
    FILE *out = fopen(path, "wb");
    fputs(text, out);
    fclose(out);
}

static void test_what_is_no_store(void **state) {
    struct fixture *f = *state;
    char *long_path = arena_alloc(f->a, 5000, 1);
    memset(long_path, 'x', 4999);
    write_text(path_of(f, "file"), "text");
    mkdir(path_of(f, "things"), 0700);
    write_text(path_of(f, "things/notes.txt"), "text");
    expect_refused(f, &(struct store_options){.path = path_of(f, "file")},
                   "it is a file");
    expect_refused(f, &(struct store_options){.path = path_of(f, "file/x")}, "below one");
    expect_refused(f, &(struct store_options){.path = path_of(f, "things")}, "notes.txt");
    expect_refused(f, &(struct store_options){.path = ""}, "empty");
    expect_refused(f, &(struct store_options){.path = long_path}, "too long");
    struct store_options look = {.path = path_of(f, "none"), .look = true};
    expect_refused(f, &look, "there is no store");
    assert_int_equal(access(path_of(f, "none"), F_OK), -1);
    mkdir(path_of(f, "link"), 0700);
    assert_int_equal(symlink("/etc/passwd", path_of(f, "link/store-1.db")), 0);
    expect_refused(f, &(struct store_options){.path = path_of(f, "link")},
                   "no regular file");
    mkdir(path_of(f, "end"), 0700);
    write_text(path_of(f, "end/store-999999999.db"), "x");
    expect_refused(f, &(struct store_options){.path = path_of(f, "end")}, "run out");
}

static void set_in_header(const char *path, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_another_version(void **state) {
    struct fixture *f = *state;
    char why[512];
    struct store_options o = {.path = path_of(f, "s")};
    store_close(rig_open(o.path));
    // By a program that knows nothing of the checksums: an old one would not, either.
    set_in_header(path_of(f, "s/store-1.db"), "PRAGMA user_version = 2");
    expect_refused(f, &o, "made by another version of ddg (store 2, this ddg knows 1)");
    expect_refused(f, &o, "`ddg store clear`");
    o.clear = true;
    struct store *s = store_open(&o, why, sizeof why);
    assert_non_null(s);
    assert_true(store_clear(s, why, sizeof why));
    store_close(s);
    s = rig_open(o.path);
    rig_expect_trouble(f, s, NULL);
    store_close(s);
    mkdir(path_of(f, "other"), 0700);
    set_in_header(path_of(f, "other/store-1.db"),
                  "PRAGMA application_id = 1234567; CREATE TABLE t(x)");
    o = (struct store_options){.path = path_of(f, "other")};
    expect_refused(f, &o, "belongs to another program");
}

static void test_looking_changes_nothing(void **state) {
    struct fixture *f = *state;
    struct rig r;
    char why[512];
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, 10, WIDTH, 1);
    store_close(s);
    struct timespec before = rig_written_at(path_of(f, "s/store-1.db")), after;
    struct store_options look = {.path = path_of(f, "s"), .look = true};
    s = store_open(&look, why, sizeof why);
    assert_non_null(s);
    store_use(s, &r.record);
    assert_int_equal(rig_get(s, key, 0, 20, WIDTH), 10);
    rig_put(s, key, 10, 10, WIDTH, 1);
    assert_int_equal(rig_verify(f, s).values, 10);
    struct store_gc gc;
    assert_false(store_gc(s, 0, &gc));
    assert_false(store_clear(s, why, sizeof why));
    rig_expect_trouble(f, s, NULL);
    store_close(s);
    after = rig_written_at(path_of(f, "s/store-1.db"));
    assert_memory_equal(&before, &after, sizeof before);
}

// ---- where it is, how large it may be ------------------------------------------------
static void test_the_default_place(void **state) {
    struct fixture *f = *state;
    setenv("HOME", "/home/x", 1);
    unsetenv("DDG_STORE");
    setenv("XDG_CACHE_HOME", "relative", 1);
    assert_string_equal(store_default_path(f->a), "/home/x/.cache/ddg");
    setenv("XDG_CACHE_HOME", "/cache", 1);
    assert_string_equal(store_default_path(f->a), "/cache/ddg");
    setenv("DDG_STORE", "here", 1);
    assert_string_equal(store_default_path(f->a), "here");
    unsetenv("DDG_STORE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_null(store_default_path(f->a));
}

static void test_the_size_of_the_environment(void **state) {
    static const struct {
        const char *text;
        uint64_t bytes; // 0: no size
    } CASES[] = {{"500M", UINT64_C(500) << 20},
                 {"20G", UINT64_C(20) << 30},
                 {"20GiB", UINT64_C(20) << 30},
                 {"2tb", UINT64_C(2) << 40},
                 {"123", 123},
                 {"1K", 1024},
                 {"abc", 0},
                 {"-5G", 0},
                 {"5X", 0},
                 {"99999999999999999999", 0},
                 {"99999999999T", 0},
                 {"0", 0},
                 {"1Gx", 0}};
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(CASES); i++) {
        struct store_stats stats;
        setenv("DDG_STORE_SIZE", CASES[i].text, 1);
        struct store *s = rig_open(NULL);
        assert_true(store_stats(s, f->a, &stats));
        assert_int_equal(stats.max_bytes,
                         CASES[i].bytes ? CASES[i].bytes : STORE_MAX_BYTES);
        rig_expect_trouble(f, s, CASES[i].bytes ? NULL : "a size like 500M");
        store_close(s);
    }
    unsetenv("DDG_STORE_SIZE");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_the_least_worth_goes_first),
        TEST(test_what_is_used_stays),
        TEST(test_closing_keeps_to_the_cap),
        TEST(test_blobs_go_with_their_values),
        TEST(test_clearing),
        TEST(test_a_store_in_memory),
        TEST(test_no_store_at_all),
        TEST(test_a_folder_that_goes_away),
        TEST(test_a_disk_that_is_full),
        TEST(test_a_store_that_can_only_be_read),
        TEST(test_what_is_no_store),
        TEST(test_another_version),
        TEST(test_looking_changes_nothing),
        TEST(test_the_default_place),
        TEST(test_the_size_of_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
