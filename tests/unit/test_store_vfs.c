// The checksums in a database's pages: every flipped bit and every cut is noticed,
// nothing sound is called damaged however many write it, and a killed writer's database
// is whole.
#include "runtime/store/vfs.h"

#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

// ---- databases -----------------------------------------------------------------------
static int run(sqlite3 *db, const char *sql) {
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int64_t number(sqlite3 *db, const char *sql) {
    sqlite3_stmt *st;
    int64_t n = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK) return -1;
    if (sqlite3_step(st) == SQLITE_ROW) n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return n;
}

static int open_db(const struct store_vfs *v, const char *path, sqlite3 **db) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, reserve = VFS_RESERVED;
    int rc = sqlite3_open_v2(path, db, flags, v ? store_vfs_name(v) : NULL);
    if (rc != SQLITE_OK) return rc;
    sqlite3_file_control(*db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve);
    sqlite3_busy_timeout(*db, 20000);
    sqlite3_extended_result_codes(*db, 1);
    return SQLITE_OK;
}

static sqlite3 *make_db(const struct store_vfs *v, const char *path) {
    sqlite3 *db;
    assert_int_equal(open_db(v, path, &db), SQLITE_OK);
    assert_int_equal(run(db, "PRAGMA auto_vacuum = INCREMENTAL;"
                             "PRAGMA journal_mode = WAL;"
                             "CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB);"),
                     SQLITE_OK);
    return db;
}

// Some kilobytes: a tree of two levels, values on pages of their own, free pages.
#define ROWS                                                                             \
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 30)"
#define INSERT " INSERT INTO t SELECT i, zeroblob(i * 400) FROM c"

static char *small_db(struct fixture *f, const struct store_vfs *v) {
    char *path = path_of(f, "small.db");
    sqlite3 *db = make_db(v, path);
    assert_int_equal(run(db, ROWS INSERT "; DELETE FROM t WHERE k > 28"), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return path;
}

// All that is in it. SQLITE_OK only when it is exactly what small_db wrote.
static int read_all(const struct store_vfs *v, const char *path) {
    sqlite3 *db;
    sqlite3_stmt *st = NULL;
    int rc = open_db(v, path, &db), n = 0;
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "SELECT k, v FROM t ORDER BY k", -1, &st, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        n++;
        assert_int_equal(sqlite3_column_int(st, 0), n);
        assert_int_equal(sqlite3_column_bytes(st, 1), n * 400);
        rc = SQLITE_OK;
    }
    if (rc == SQLITE_DONE) assert_int_equal(n, 28);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void assert_scan(const char *path, uint64_t pages, uint64_t damaged) {
    uint64_t got_pages, got_damaged;
    assert_true(store_vfs_scan(path, &got_pages, &got_damaged));
    assert_int_equal(got_pages, pages);
    assert_int_equal(got_damaged, damaged);
}

static uint64_t file_bytes(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

// ---- damage --------------------------------------------------------------------------
static char *map_file(const char *path, size_t n) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char *at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED);
    close(fd);
    return at;
}

static void test_what_is_whole_is_read(void **state) {
    struct fixture *f = *state;
    struct store_vfs *v = store_vfs_new();
    char *path = small_db(f, v);
    assert_int_equal(read_all(v, path), SQLITE_OK);
    assert_int_equal(store_vfs_damaged(v), 0);
    assert_true(file_bytes(path) > 20 * VFS_PAGE);
    assert_scan(path, file_bytes(path) / VFS_PAGE, 0);
    store_vfs_free(v);
}

// Every bit of SQLite's header; of the rest each 509th, since each is read through
// SQLite.
static void test_a_flipped_bit_is_never_read(void **state) {
    struct fixture *f = *state;
    struct store_vfs *v = store_vfs_new();
    char *path = small_db(f, v);
    size_t n = file_bytes(path);
    char *at = map_file(path, n);
    for (size_t bit = 0; bit < n * 8; bit += bit < 100 * 8 ? 1 : 509) {
        at[bit / 8] ^= (char)(1u << bit % 8);
        uint64_t before = store_vfs_damaged(v);
        int rc = read_all(v, path);
        // What SQLite had no need to look at (free pages, the map of pages) is no matter;
        // what it looked at was refused.
        if ((rc == SQLITE_OK) != (store_vfs_damaged(v) == before))
            fail_msg("bit %zu: %d, %d pages", bit, rc,
                     (int)(store_vfs_damaged(v) - before));
        if (bit < VFS_PAGE * 8) assert_int_equal(rc, SQLITE_IOERR_DATA);
        at[bit / 8] ^= (char)(1u << bit % 8);
    }
    assert_int_equal(read_all(v, path), SQLITE_OK);
    munmap(at, n);
    store_vfs_free(v);
}

// A page of which a bit is wrong looks wrong at once; the scan asks for it again and
// again.
static void test_a_flipped_bit_is_found_by_the_scan(void **state) {
    struct fixture *f = *state;
    struct store_vfs *v = store_vfs_new();
    char *path = small_db(f, v);
    size_t n = file_bytes(path);
    char *at = map_file(path, n);
    for (size_t bit = 0; bit < n * 8; bit += 32749) {
        at[bit / 8] ^= (char)(1u << bit % 8);
        assert_scan(path, n / VFS_PAGE, 1);
        at[bit / 8] ^= (char)(1u << bit % 8);
    }
    at[5 * VFS_PAGE] ^= 1;
    at[8 * VFS_PAGE - 1] ^= 1; // the checksum itself
    memset(at + 10 * VFS_PAGE, 0, VFS_PAGE);
    assert_scan(path, n / VFS_PAGE, 3);
    munmap(at, n);
    store_vfs_free(v);
}

static void test_a_page_in_anothers_place_is_noticed(void **state) {
    struct fixture *f = *state;
    struct store_vfs *v = store_vfs_new();
    char *path = small_db(f, v);
    size_t n = file_bytes(path);
    char *at = map_file(path, n);
    assert_true(memcmp(at + 9 * VFS_PAGE, at + 8 * VFS_PAGE, VFS_PAGE) != 0);
    memcpy(at + 9 * VFS_PAGE, at + 8 * VFS_PAGE, VFS_PAGE);
    assert_scan(path, n / VFS_PAGE, 1);
    munmap(at, n);
    store_vfs_free(v);
}

// Nobody may need the page that was cut; the scan finds it. (SQLite calls a file of one
// byte empty.)
static void test_a_cut_file_is_noticed(void **state) {
    struct fixture *f = *state;
    struct store_vfs *v = store_vfs_new();
    char *path = small_db(f, v);
    uint64_t damaged, pages;
    for (size_t n = file_bytes(path) - 1; n > 1; n -= n > 2500 ? 2039 : n / 5 + 1) {
        assert_int_equal(truncate(path, (off_t)n), 0);
        assert_true(store_vfs_scan(path, &pages, &damaged));
        assert_int_equal(pages, (n + VFS_PAGE - 1) / VFS_PAGE);
        assert_int_equal(damaged, n % VFS_PAGE != 0);
        if (read_all(v, path) == SQLITE_OK && !damaged) fail_msg("%zu bytes are read", n);
    }
    store_vfs_free(v);
}

// Pages that the header counts and the file lacks are not zeros, which a value may hold.
static void test_a_page_cut_off_is_no_zeros(void **state) {
    struct fixture *f = *state;
    struct store_vfs *v = store_vfs_new();
    char *path = path_of(f, "x.db"), *copy = path_of(f, "copy.db");
    sqlite3 *db = make_db(v, path);
    assert_int_equal(run(db, ROWS INSERT "; PRAGMA wal_checkpoint(TRUNCATE)"), SQLITE_OK);
    // Open, so that it is a log which says how many pages there are.
    assert_int_equal(run(db, "UPDATE t SET v = 1 WHERE k = 1"), SQLITE_OK);
    assert_int_equal(run(db, "SELECT * FROM t"), SQLITE_OK);
    struct arena *a = f->a;
    for (int i = 0; i < 2; i++) {
        size_t n;
        const char *end = i ? "-wal" : "";
        char *data = file_read(a, arena_printf(a, "%s%s", path, end), 1 << 30, &n);
        int fd = open(arena_printf(a, "%s%s", copy, end), O_WRONLY | O_CREAT, 0600);
        if (!i) n -= 10 * VFS_PAGE;
        assert_int_equal(write(fd, data, n), n);
        close(fd);
    }
    sqlite3_close(db);
    assert_int_equal(open_db(v, copy, &db), SQLITE_OK);
    assert_int_equal(run(db, "SELECT sum(length(v)), max(v) FROM t"), SQLITE_IOERR_DATA);
    assert_true(store_vfs_damaged(v) > 0);
    sqlite3_close(db);
    store_vfs_free(v);
}

static void foreign(struct fixture *f, const char *make, int expected) {
    struct store_vfs *v = store_vfs_new();
    char *path = path_of(f, "foreign.db");
    sqlite3 *db;
    remove(path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(run(db, make), SQLITE_OK);
    assert_int_equal(run(db, "CREATE TABLE t(k, v)"), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(open_db(v, path, &db), SQLITE_OK);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), -1);
    assert_int_equal(sqlite3_extended_errcode(db), expected);
    sqlite3_close(db);
    store_vfs_free(v);
}

static void test_others_databases_are_refused(void **state) {
    foreign(*state, "PRAGMA page_size = 1024", SQLITE_NOTADB);
    foreign(*state, "PRAGMA page_size = 65536", SQLITE_NOTADB);
    foreign(*state, "PRAGMA page_size = 4096", SQLITE_IOERR_DATA);
    foreign(*state, "PRAGMA journal_mode = WAL", SQLITE_IOERR_DATA);
}

static void test_two_stores_count_apart(void **state) {
    struct fixture *f = *state;
    struct store_vfs *v = store_vfs_new(), *w = store_vfs_new();
    assert_string_not_equal(store_vfs_name(v), store_vfs_name(w));
    char *path = small_db(f, v);
    char *at = map_file(path, VFS_PAGE);
    at[2000] ^= 4;
    assert_int_equal(read_all(w, path), SQLITE_IOERR_DATA);
    assert_true(store_vfs_damaged(w) > 0);
    assert_int_equal(store_vfs_damaged(v), 0);
    store_vfs_free(w);
    at[2000] ^= 4;
    assert_int_equal(read_all(v, path), SQLITE_OK);
    munmap(at, VFS_PAGE);
    store_vfs_free(v);
}

// ---- work ----------------------------------------------------------------------------
// Everything that makes SQLite write pages in its own ways: a cache too small for the
// transaction, savepoints, values of many pages, shrinking, checkpoints of each kind.
static void churn(sqlite3 *db, unsigned seed) {
    char sql[700];
    static const char *const AFTER[] = {
        "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA wal_checkpoint(PASSIVE)",
        "PRAGMA incremental_vacuum(20)", "PRAGMA wal_checkpoint(RESTART)",
        "SELECT sum(length(v)) FROM t"};
    snprintf(
        sql, sizeof sql,
        "BEGIN IMMEDIATE;" ROWS
        " INSERT INTO t(v) SELECT randomblob(abs(random()) %% %u) FROM c;"
        "SAVEPOINT a; UPDATE t SET v = randomblob(5000) WHERE k %% 7 = %u;"
        "ROLLBACK TO a; DELETE FROM t WHERE k %% 5 = %u OR k < (SELECT max(k) FROM t)"
        " - 200; %s",
        seed % 3 ? 3000 : 20000, seed % 7, seed % 5, seed % 4 ? "COMMIT" : "ROLLBACK");
    assert_int_equal(run(db, "PRAGMA cache_size = 10"), SQLITE_OK);
    assert_int_equal(run(db, sql), SQLITE_OK);
    int rc = run(db, AFTER[seed % COUNT(AFTER)]);
    assert_true(rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED);
}

static void assert_integrity(sqlite3 *db) {
    sqlite3_stmt *st;
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
    sqlite3_finalize(st);
}

static void test_all_ways_to_write_leave_it_right(void **state) {
    struct fixture *f = *state;
    struct store_vfs *v = store_vfs_new();
    char *path = path_of(f, "x.db");
    sqlite3 *db = make_db(v, path);
    for (unsigned i = 0; i < 100; i++) churn(db, i);
    assert_integrity(db);
    assert_int_equal(run(db, "DELETE FROM t; PRAGMA incremental_vacuum; VACUUM"),
                     SQLITE_OK);
    assert_integrity(db);
    assert_int_equal(run(db, "PRAGMA journal_mode = DELETE"), SQLITE_OK);
    for (unsigned i = 0; i < 30; i++) churn(db, i);
    assert_integrity(db);
    sqlite3_close(db);
    assert_scan(path, file_bytes(path) / VFS_PAGE, 0);
    assert_int_equal(store_vfs_damaged(v), 0);
    store_vfs_free(v);
}

_Noreturn static void churn_forever(const char *path, unsigned seed) {
    struct store_vfs *v = store_vfs_new();
    sqlite3 *db;
    if (open_db(v, path, &db) != SQLITE_OK) _exit(2);
    for (;; seed += 3) {
        churn(db, seed);
        if (store_vfs_damaged(v)) _exit(3);
    }
}

static void assert_running(pid_t child) {
    int status;
    if (waitpid(child, &status, WNOHANG) == 0) return;
    fail_msg("a writer ended with status %x", (unsigned)status);
}

static void stop(pid_t child) {
    assert_running(child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void test_a_scan_beside_writers_cries_no_wolf(void **state) {
    struct fixture *f = *state;
    struct store_vfs *v = store_vfs_new();
    char *path = path_of(f, "x.db");
    uint64_t pages, damaged, most = 0;
    sqlite3_close(make_db(v, path));
    pid_t writers[2];
    for (unsigned i = 0; i < 2; i++)
        if ((writers[i] = fork()) == 0) churn_forever(path, i);
    sqlite3 *db;
    assert_int_equal(open_db(v, path, &db), SQLITE_OK);
    for (double end = clock_seconds() + 3; clock_seconds() < end;) {
        assert_true(store_vfs_scan(path, &pages, &damaged));
        assert_int_equal(damaged, 0);
        if (pages > most) most = pages;
        assert_true(number(db, "SELECT count(*) FROM t") >= 0);
    }
    assert_true(most > 20);
    for (unsigned i = 0; i < 2; i++) stop(writers[i]);
    assert_integrity(db);
    assert_int_equal(run(db, "PRAGMA wal_checkpoint(TRUNCATE)"), SQLITE_OK);
    sqlite3_close(db);
    assert_scan(path, file_bytes(path) / VFS_PAGE, 0);
    assert_int_equal(store_vfs_damaged(v), 0);
    store_vfs_free(v);
}

// Whether another process could lock the database for itself alone, as SQLite does.
static bool others_could_lock(const char *path) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct flock all = {.l_type = F_WRLCK, .l_start = 0x40000000, .l_len = 512};
        int fd = open(path, O_RDWR);
        _exit(fd < 0 || fcntl(fd, F_GETLK, &all) != 0 ? 2 : all.l_type == F_UNLCK);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 1;
}

// To close a file by any other descriptor ends the locks that SQLite holds on it.
static void test_a_scan_leaves_our_locks_alone(void **state) {
    struct fixture *f = *state;
    struct store_vfs *v = store_vfs_new();
    char *path = path_of(f, "x.db");
    uint64_t pages, damaged;
    sqlite3 *db = make_db(v, path);
    assert_int_equal(run(db, "BEGIN; SELECT * FROM t"), SQLITE_OK);
    assert_false(others_could_lock(path));
    assert_true(store_vfs_scan(path, &pages, &damaged));
    assert_false(others_could_lock(path));
    sqlite3_close(db);
    assert_true(others_could_lock(path));
    store_vfs_free(v);
}

static void test_a_scan_of_no_database(void **state) {
    struct fixture *f = *state;
    uint64_t pages, damaged;
    assert_false(store_vfs_scan(path_of(f, "none.db"), &pages, &damaged));
    char *path = path_of(f, "noise");
    FILE *out = fopen(path, "wb");
    for (unsigned i = 0; i < 100000; i++) fputc((int)(i * i % 251), out);
    fclose(out);
    assert_scan(path, 25, 25);
    assert_int_equal(truncate(path, 0), 0);
    assert_scan(path, 0, 0);
}

// ---- killed writers ------------------------------------------------------------------
// Adds rows one by one, each a digest of its key, and says after each how many are safe.
_Noreturn static void add_rows(const char *path, _Atomic int64_t *safe) {
    struct store_vfs *v = store_vfs_new();
    sqlite3 *db;
    if (open_db(v, path, &db) != SQLITE_OK) _exit(2);
    run(db, "PRAGMA wal_autocheckpoint = 30");
    sqlite3_stmt *st;
    const char *sql = "INSERT INTO t VALUES(?1, ?2)";
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK) _exit(3);
    for (int64_t k = number(db, "SELECT count(*) FROM t") + 1;; k++) {
        struct digest v128 = digest_of(&k, sizeof k);
        char value[3000];
        for (size_t i = 0; i < sizeof value; i++)
            value[i] = (char)(v128.lo >> i % 8 * 8) + (char)i;
        sqlite3_bind_int64(st, 1, k);
        sqlite3_bind_blob(st, 2, value, sizeof value, SQLITE_STATIC);
        if (sqlite3_step(st) != SQLITE_DONE) _exit(4);
        sqlite3_reset(st);
        atomic_store(safe, k);
    }
}

static int64_t check_rows(sqlite3 *db) {
    sqlite3_stmt *st;
    int64_t n = 0;
    const char *sql = "SELECT k, v FROM t ORDER BY k";
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        n++;
        assert_int_equal(sqlite3_column_int64(st, 0), n);
        assert_int_equal(sqlite3_column_bytes(st, 1), 3000);
        struct digest v128 = digest_of(&n, sizeof n);
        const char *value = sqlite3_column_blob(st, 1);
        for (size_t i = 0; i < 3000; i++)
            assert_int_equal(value[i], (char)((char)(v128.lo >> i % 8 * 8) + (char)i));
    }
    assert_int_equal(rc, SQLITE_DONE);
    sqlite3_finalize(st);
    return n;
}

static void test_a_killed_writers_rows_are_there(void **state) {
    struct fixture *f = *state;
    struct store_vfs *v = store_vfs_new();
    char *path = path_of(f, "x.db");
    _Atomic int64_t *safe = mmap(NULL, sizeof *safe, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sqlite3_close(make_db(v, path));
    for (int i = 0; i < 25; i++) {
        pid_t child = fork();
        if (child == 0) add_rows(path, safe);
        struct timespec t = {.tv_nsec = 3000000 + (i * 7919 % 40) * 1000000L};
        nanosleep(&t, NULL);
        stop(child);
        sqlite3 *db;
        assert_int_equal(open_db(v, path, &db), SQLITE_OK);
        int64_t n = check_rows(db);
        assert_in_range(n, atomic_load(safe), atomic_load(safe) + 1);
        atomic_store(safe, n);
        if (i % 5 == 0) assert_integrity(db);
        sqlite3_close(db);
        assert_scan(path, file_bytes(path) / VFS_PAGE, 0);
    }
    assert_true(atomic_load(safe) > 25);
    assert_int_equal(store_vfs_damaged(v), 0);
    munmap((void *)safe, sizeof *safe);
    store_vfs_free(v);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_what_is_whole_is_read),
        T(test_a_flipped_bit_is_never_read),
        T(test_a_flipped_bit_is_found_by_the_scan),
        T(test_a_page_in_anothers_place_is_noticed),
        T(test_a_cut_file_is_noticed),
        T(test_a_page_cut_off_is_no_zeros),
        T(test_others_databases_are_refused),
        T(test_two_stores_count_apart),
        T(test_all_ways_to_write_leave_it_right),
        T(test_a_scan_beside_writers_cries_no_wolf),
        T(test_a_scan_leaves_our_locks_alone),
        T(test_a_scan_of_no_database),
        T(test_a_killed_writers_rows_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
