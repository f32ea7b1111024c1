// What test_shim.sh runs under the shim: a program that says how far it has come, so
// that after a power cut one can tell whether what it said was true.
//
//     probe files DIR N CARE    N files, each written aside, synced, renamed, its folder
//                               synced; a log grows by a line a file. CARE: full, or what
//                               is left out: nofile, nofolder, none
//     probe files-check DIR K   the first K files and lines are there; no file is half
//     probe sqlite DIR N CARE   N transactions in WAL mode, synchronous=CARE (FULL, OFF)
//     probe sqlite-check DIR K  the database is sound, its first K transactions are there
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn static void stop(const char *what, const char *why) {
    fprintf(stderr, "probe: %s: %s\n", what, why);
    exit(1);
}

static void say(size_t n) { // at once, whatever becomes of this process
    char text[32];
    int len = snprintf(text, sizeof text, "%zu\n", n);
    if (write(STDOUT_FILENO, text, (size_t)len) != len) exit(1);
}

// ---- files ---------------------------------------------------------------------------
#define LINE 24

static size_t size_of(size_t i) {
    return 200 + i * 977 % 20000;
}
static char byte_of(size_t i, size_t at) {
    return (char)(1 + (i * 31 + at * 7) % 255);
}

static void write_all(int fd, const char *data, size_t n) {
    while (n) {
        ssize_t done = write(fd, data, n);
        if (done < 0) stop("write", strerror(errno));
        data += done;
        n -= (size_t)done;
    }
}

static void fill(int fd, size_t i) {
    char data[20200];
    size_t n = size_of(i);
    for (size_t at = 0; at < n; at++) data[at] = byte_of(i, at);
    write_all(fd, data, n);
}

static void write_file(int folder, size_t i, bool sync_file, bool sync_folder) {
    char name[32], temporary[32];
    snprintf(name, sizeof name, "f%zu", i);
    snprintf(temporary, sizeof temporary, "t%zu", i);
    int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) stop(temporary, strerror(errno));
    fill(fd, i);
    if (sync_file && fsync(fd)) stop("fsync", strerror(errno));
    if (close(fd)) stop("close", strerror(errno));
    if (renameat(folder, temporary, folder, name)) stop(name, strerror(errno));
    if (sync_folder && fsync(folder)) stop("fsync of the folder", strerror(errno));
}

static void write_files(const char *dir, size_t n, const char *care) {
    bool full = !strcmp(care, "full");
    bool sync_file = full || !strcmp(care, "nofolder");
    bool sync_folder = full || !strcmp(care, "nofile");
    int folder = open(dir, O_RDONLY | O_DIRECTORY);
    if (folder < 0) stop(dir, strerror(errno));
    int log = openat(folder, "log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (log < 0) stop("log", strerror(errno));
    for (size_t i = 0; i < n; i++) {
        char line[64];
        snprintf(line, sizeof line, "%0*zu\n", LINE - 1, i);
        write_all(log, line, LINE);
        if (sync_file && fdatasync(log)) stop("fdatasync", strerror(errno));
        write_file(folder, i, sync_file, sync_folder);
        say(i + 1);
    }
}

static bool file_is_right(const char *dir, size_t i, bool must_exist) {
    char path[4096], data[20300];
    snprintf(path, sizeof path, "%s/f%zu", dir, i);
    int fd = open(path, O_RDONLY);
    if (fd < 0) return !must_exist;
    ssize_t n = read(fd, data, sizeof data);
    bool right = n == (ssize_t)size_of(i);
    for (size_t at = 0; right && at < (size_t)n; at++) right = data[at] == byte_of(i, at);
    close(fd);
    return right;
}

static bool log_is_right(const char *dir, size_t k) {
    char path[4096], line[64] = "", want[64];
    snprintf(path, sizeof path, "%s/log", dir);
    int fd = open(path, O_RDONLY);
    bool right = fd >= 0 || !k;
    for (size_t i = 0; right && i < k; i++) {
        snprintf(want, sizeof want, "%0*zu\n", LINE - 1, i);
        right = read(fd, line, LINE) == LINE && !strcmp(line, want);
    }
    if (fd >= 0) close(fd);
    return right;
}

static void check_files(const char *dir, size_t k) {
    if (!log_is_right(dir, k)) stop("log", "lines are missing");
    for (size_t i = 0; i < k + 64; i++)
        if (!file_is_right(dir, i, i < k))
            stop("a file", i < k ? "is missing" : "is half");
}

// ---- SQLite --------------------------------------------------------------------------
static void sql(sqlite3 *db, const char *text) {
    char *why = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &why)) stop(text, why ? why : "failed");
}

static sqlite3 *database(const char *dir, const char *care) {
    char path[4096], text[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/t.db", dir);
    if (sqlite3_open(path, &db)) stop(path, sqlite3_errmsg(db));
    snprintf(text, sizeof text, "PRAGMA synchronous=%s", care);
    sql(db, text);
    sql(db, "PRAGMA journal_mode=WAL");
    sql(db, "PRAGMA wal_autocheckpoint=8"); // often, so that cuts meet checkpoints
    sql(db, "CREATE TABLE IF NOT EXISTS t(i INTEGER PRIMARY KEY, v BLOB, w INT)");
    return db;
}

static void write_rows(const char *dir, size_t n, const char *care) {
    sqlite3 *db = database(dir, care);
    for (size_t i = 0; i < n; i++) {
        char text[160];
        snprintf(text, sizeof text,
                 "BEGIN; INSERT INTO t VALUES(%zu, zeroblob(%zu), 0);"
                 "UPDATE t SET w = w + 1 WHERE i = %zu / 2; COMMIT",
                 i, 100 + size_of(i) % 6000, i);
        sql(db, text);
        say(i + 1);
    }
    sqlite3_close(db);
}

static int first_column(void *out, int n, char **value, char **name) {
    (void)name;
    if (n > 0) snprintf(out, 64, "%s", value[0] ? value[0] : "");
    return 0;
}

static void check_rows(const char *dir, size_t k) {
    sqlite3 *db = database(dir, "FULL");
    char got[64] = "", *why = NULL;
    if (sqlite3_exec(db, "PRAGMA integrity_check", first_column, got, &why) ||
        strcmp(got, "ok"))
        stop("integrity_check", why ? why : got);
    char text[64];
    snprintf(text, sizeof text, "SELECT count(*) FROM t WHERE i < %zu", k);
    if (sqlite3_exec(db, text, first_column, got, &why)) stop(text, why ? why : "failed");
    if (strtoul(got, NULL, 10) != k) stop("a committed transaction", "is missing");
    sqlite3_close(db);
}

int main(int argc, char **argv) {
    const char *usage = "probe files|sqlite DIR N CARE; files-check|sqlite-check DIR K";
    if (argc < 4) stop("usage", usage);
    size_t n = strtoul(argv[3], NULL, 10);
    if (!strcmp(argv[1], "files") && argc == 5) write_files(argv[2], n, argv[4]);
    else if (!strcmp(argv[1], "sqlite") && argc == 5) write_rows(argv[2], n, argv[4]);
    else if (!strcmp(argv[1], "files-check")) check_files(argv[2], n);
    else if (!strcmp(argv[1], "sqlite-check")) check_rows(argv[2], n);
    else stop("usage", usage);
    return 0;
}
