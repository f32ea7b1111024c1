// One connection to a database: how it is opened, the tables, the statements, and the
// digests beside the rows. See store_impl.h for the tables and the texts of the
// statements.
#include "runtime/store/store_impl.h"

#define BUSY_MS 5000

// ---- opening -------------------------------------------------------------------------
// A file: URI says that nothing changes the file; its path may hold any character.
static char *immutable_uri(const char *path) {
    sqlite3_str *uri = sqlite3_str_new(NULL);
    sqlite3_str_appendall(uri, "file:");
    for (const char *p = path; *p; p++)
        if (strchr("%?#", *p)) sqlite3_str_appendf(uri, "%%%02x", *p);
        else sqlite3_str_appendchar(uri, 1, *p);
    sqlite3_str_appendall(uri, "?immutable=1");
    return sqlite3_str_finish(uri);
}

static int connect(struct db *db, const char *path, const char *vfs, enum db_mode mode) {
    static const int FLAGS[] = {
        [DB_READ] = SQLITE_OPEN_READWRITE,
        [DB_WRITE] = SQLITE_OPEN_READWRITE,
        [DB_READONLY] = SQLITE_OPEN_READONLY,
        [DB_IMMUTABLE] = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
        [DB_BUILD] = SQLITE_OPEN_READWRITE,
        [DB_MEMORY] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
    };
    int flags = FLAGS[mode] | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    if (mode == DB_MEMORY) return sqlite3_open_v2(":memory:", &db->h, flags, NULL);
    if (mode != DB_IMMUTABLE) return sqlite3_open_v2(path, &db->h, flags, vfs);
    char *uri = immutable_uri(path);
    int rc = uri ? sqlite3_open_v2(uri, &db->h, flags, vfs) : SQLITE_NOMEM;
    sqlite3_free(uri);
    return rc;
}

static int configure(struct db *db, enum db_mode mode) {
    static const char *const PRAGMAS[] = {
        [DB_READ] = "PRAGMA query_only = ON; PRAGMA cache_size = -16000",
        [DB_WRITE] = "PRAGMA synchronous = FULL; PRAGMA secure_delete = OFF",
        [DB_READONLY] = "PRAGMA cache_size = -16000",
        [DB_IMMUTABLE] = "PRAGMA cache_size = -16000",
        [DB_BUILD] = ("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                      " PRAGMA secure_delete = OFF"),
        [DB_MEMORY] = "PRAGMA secure_delete = OFF",
    };
    sqlite3_extended_result_codes(db->h, 1);
    sqlite3_busy_timeout(db->h, BUSY_MS);
    sqlite3_db_config(db->h, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->h, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    int rc = db_exec(db, "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY");
    return rc == SQLITE_OK ? db_exec(db, PRAGMAS[mode]) : rc;
}

int db_open(struct db *db, const char *path, const char *vfs, enum db_mode mode) {
    *db = (struct db){0};
    int rc = connect(db, path, vfs, mode);
    if (rc == SQLITE_OK) rc = configure(db, mode);
    if (rc != SQLITE_OK) db_close(db);
    return rc;
}

void db_close(struct db *db) {
    for (size_t i = 0; i < SQL_COUNT; i++) sqlite3_finalize(db->at[i]);
    sqlite3_close(db->h);
    *db = (struct db){0};
}

int db_exec(struct db *db, const char *sql) {
    return sqlite3_exec(db->h, sql, NULL, NULL, NULL);
}

// ---- the tables ----------------------------------------------------------------------
static const char *const TABLES[] = {
#define X(text) text,
    STORE_TABLES(X)
#undef X
};

int db_create(struct db *db) {
    int reserved = VFS_RESERVED;
    int rc = sqlite3_file_control(db->h, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
    if (rc == SQLITE_OK)
        rc = db_exec(db, "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL");
    for (size_t i = 0; i < COUNT(TABLES) && rc == SQLITE_OK; i++)
        rc = db_exec(db, TABLES[i]);
    char who[96];
    snprintf(who, sizeof who, "PRAGMA application_id = %d; PRAGMA user_version = %d",
             (int)(PLACE_APPLICATION | STORE_VERSION), STORE_VERSION);
    return rc == SQLITE_OK ? db_exec(db, who) : rc;
}

static bool same_tables(sqlite3_stmt *st, int *rc) {
    size_t n = 0;
    bool same = true;
    while ((*rc = sqlite3_step(st)) == SQLITE_ROW && same) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        if (!text) break; // none of them is NULL: for want of memory
        same = n < COUNT(TABLES) && text && strcmp(text, TABLES[n]) == 0;
        n++;
    }
    if (*rc == SQLITE_ROW && same) *rc = SQLITE_NOMEM;
    if (*rc == SQLITE_DONE || *rc == SQLITE_ROW) *rc = SQLITE_OK;
    return same && n == COUNT(TABLES);
}

bool db_is_ours(struct db *db, int *rc) {
    sqlite3_stmt *st;
    *rc = sqlite3_prepare_v2(db->h,
                             "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"
                             " ORDER BY rowid",
                             -1, &st, NULL);
    if (*rc != SQLITE_OK) return false;
    bool ours = same_tables(st, rc);
    sqlite3_finalize(st);
    return ours && *rc == SQLITE_OK;
}

// ---- statements ----------------------------------------------------------------------
static const char *const TEXTS[] = {
#define X(name, text) text,
    STORE_SQL(X)
#undef X
};

sqlite3_stmt *db_statement(struct db *db, enum sql which, int *rc) {
    *rc = SQLITE_OK;
    if (!db->at[which])
        *rc = sqlite3_prepare_v3(db->h, TEXTS[which], -1, SQLITE_PREPARE_PERSISTENT,
                                 &db->at[which], NULL);
    return db->at[which];
}

struct contained {
    int (*fn)(void *);
    void *ctx;
    int rc;
};

static void call(void *ctx) {
    struct contained *c = ctx;
    c->rc = c->fn(c->ctx);
}

int db_contain(struct db *db, int (*fn)(void *), void *ctx) {
    struct contained c = {fn, ctx, SQLITE_NOMEM};
    struct scope scope = scope_same();
    enum scope_end end = scope_run(&scope, call, &c);
    if (end == SCOPE_DONE) return c.rc;
    for (size_t i = 0; i < SQL_COUNT; i++)
        if (db->at[i]) sqlite3_reset(db->at[i]);
    if (end == SCOPE_BUG) scope_raise(&scope);
    return SQLITE_NOMEM;
}

int db_finish(sqlite3_stmt *st) {
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) continue; // a pragma's, of no interest
    sqlite3_reset(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int db_run(struct db *db, enum sql which) {
    int rc;
    sqlite3_stmt *st = db_statement(db, which, &rc);
    return st ? db_finish(st) : rc;
}

int db_number(struct db *db, enum sql which, uint64_t *out) {
    int rc;
    sqlite3_stmt *st = db_statement(db, which, &rc);
    if (!st) return rc;
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) *out = (uint64_t)sqlite3_column_int64(st, 0);
    sqlite3_reset(st);
    return rc == SQLITE_ROW ? SQLITE_OK : rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
}

// The digest must stay where it is until the statement has run.
int db_bind_digest(sqlite3_stmt *st, int at, const struct digest *d) {
    return sqlite3_bind_blob(st, at, d, sizeof *d, SQLITE_STATIC);
}

bool db_digest(sqlite3_stmt *st, int column, struct digest *out) {
    const void *at = sqlite3_column_blob(st, column);
    if (!at || sqlite3_column_bytes(st, column) != (int)sizeof *out) return false;
    memcpy(out, at, sizeof *out);
    return true;
}

// ---- SQLite's answers ----------------------------------------------------------------
enum fault db_fault(int rc) {
    if (rc == SQLITE_IOERR_DATA || rc == SQLITE_IOERR_SHORT_READ) return FAULT_DAMAGE;
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return FAULT_NONE;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return FAULT_BUSY;
    case SQLITE_FULL: return FAULT_FULL;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return FAULT_DAMAGE;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN: return FAULT_REFUSED;
    default: return FAULT_OTHER;
    }
}

const char *db_words(int rc) {
    switch (db_fault(rc)) {
    case FAULT_BUSY: return "another process keeps its database locked";
    case FAULT_FULL: return "the disk is full";
    case FAULT_DAMAGE: return "its database is damaged";
    case FAULT_REFUSED: return "its files cannot be opened for writing";
    default: return sqlite3_errstr(rc);
    }
}

// ---- digests -------------------------------------------------------------------------
struct digest value_sum(struct digest record, struct digest row, int64_t place,
                        uint64_t size, const void *data, size_t n) {
    struct {
        struct digest record, row, data;
        int64_t place;
        uint64_t size;
    } all = {record, row, digest_of(data, n), place, size};
    return digest_of(&all, sizeof all);
}

struct digest record_sum(struct digest key, const void *body, size_t n) {
    return digest_join(key, digest_of(body, n));
}

struct digest content_sum(struct digest stamp, struct digest content) {
    return digest_join(stamp, content);
}
