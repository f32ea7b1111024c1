// The inside of the store, for the files runtime/store/store*.c.
//
// A store holds two connections to its database: one for reading, used under `reading`
// by whoever asks, and one for writing, made when there is something to write and used
// under `writing`, by the store's own thread or by the calls that care for the store.
// What both share is guarded by `state`. Locks are taken in the order writing, reading,
// state. A store in memory has one connection, guarded by `reading`, and no thread.
//
// Every row of the database carries a digest over its key and its value, so that what a
// damaged tree of pages leads to is not believed either.
#ifndef DDG_STORE_IMPL_H
#define DDG_STORE_IMPL_H

#include "runtime/store/blob.h"
#include "runtime/store/lock.h"
#include "runtime/store/record.h"
#include "runtime/store/store.h"
#include "runtime/store/vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/stat.h>

// ---- the database (store_db.c) -------------------------------------------------------
// Values: place 0 has the value in data, place 1 the name of a blob; size is the value's
// own. `used` counts days since 1970.
#define STORE_TABLES(X)                                                                  \
    X("CREATE TABLE record(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,"            \
      " used INTEGER NOT NULL, sum BLOB NOT NULL, body BLOB NOT NULL)")                  \
    X("CREATE TABLE value(id INTEGER PRIMARY KEY, record INTEGER NOT NULL,"              \
      " row BLOB NOT NULL, place INTEGER NOT NULL, size INTEGER NOT NULL,"               \
      " used INTEGER NOT NULL, sum BLOB NOT NULL, data BLOB NOT NULL,"                   \
      " UNIQUE(record, row))")                                                           \
    X("CREATE TABLE content(stamp BLOB PRIMARY KEY, content BLOB NOT NULL,"              \
      " used INTEGER NOT NULL, sum BLOB NOT NULL) WITHOUT ROWID")

#define STORE_SQL(X)                                                                     \
    X(BEGIN_READ, "BEGIN")                                                               \
    X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                    \
    X(COMMIT, "COMMIT")                                                                  \
    X(ROLLBACK, "ROLLBACK")                                                              \
    X(CHECKPOINT, "PRAGMA wal_checkpoint(TRUNCATE)")                                     \
    X(VACUUM, "PRAGMA incremental_vacuum")                                               \
    X(PAGES, "PRAGMA page_count")                                                        \
    X(FREE_PAGES, "PRAGMA freelist_count")                                               \
    X(RECORD_FIND, "SELECT id, used, length(body) FROM record WHERE key = ?1")           \
    X(RECORD_GET, "SELECT id, used, sum, body FROM record WHERE key = ?1")               \
    X(RECORD_ADD, "INSERT INTO record(key, used, sum, body) VALUES(?1, ?2, x'', x'')")   \
    X(RECORD_KEEP, "INSERT OR IGNORE INTO record(key, used, sum, body)"                  \
                   " VALUES(?1, ?2, ?3, ?4)")                                            \
    X(RECORD_SET, "UPDATE record SET used = ?2, sum = ?3, body = ?4 WHERE id = ?1")      \
    X(RECORD_TOUCH, "UPDATE record SET used = ?2 WHERE key = ?1")                        \
    X(RECORD_EACH, "SELECT id, used, sum, body, key FROM record"                         \
                   " ORDER BY used DESC, id DESC")                                       \
    X(RECORD_LIST, "SELECT id, key FROM record ORDER BY id")                             \
    X(RECORD_OLD, "DELETE FROM record WHERE used < ?1"                                   \
                  " AND NOT EXISTS(SELECT 1 FROM value WHERE value.record = record.id)") \
    X(RECORD_CLEAR, "DELETE FROM record")                                                \
    X(VALUE_GET, "SELECT place, size, used, sum, data FROM value"                        \
                 " WHERE record = ?1 AND row = ?2")                                      \
    X(VALUE_SIZE, "SELECT size FROM value WHERE record = ?1 AND row = ?2")               \
    X(VALUE_PUT, "INSERT INTO value(record, row, place, size, used, sum, data)"          \
                 " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(record, row) DO"       \
                 " UPDATE SET place = ?3, size = ?4, used = ?5, sum = ?6, data = ?7")    \
    X(VALUE_KEEP, "INSERT OR IGNORE INTO value(record, row, place, size, used, sum,"     \
                  " data) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")                           \
    X(VALUE_TOUCH, "UPDATE value SET used = ?3 WHERE record = ?1 AND row = ?2")          \
    X(VALUE_DROP, "DELETE FROM value WHERE id = ?1")                                     \
    X(VALUE_FORGET, "DELETE FROM value WHERE record = ?1 AND row = ?2")                  \
    X(VALUE_CLEAR, "DELETE FROM value")                                                  \
    X(VALUE_TOTAL, "SELECT count(*), total(size) FROM value WHERE record = ?1")          \
    X(VALUE_SCAN, "SELECT v.id, v.record, v.row, v.place, v.size, v.sum, v.data, r.key"  \
                  " FROM value v LEFT JOIN record r ON r.id = v.record"                  \
                  " WHERE v.id > ?1 ORDER BY v.id LIMIT ?2")                             \
    X(VALUE_USE, "SELECT record, used, size FROM value")                                 \
    X(VALUE_NEXT, "SELECT id, record, used, size FROM value WHERE id > ?1"               \
                  " ORDER BY id LIMIT ?2")                                               \
    X(VALUE_BLOBS, "SELECT data FROM value WHERE place = 1")                             \
    X(CONTENT_GET, "SELECT content, used, sum FROM content WHERE stamp = ?1")            \
    X(CONTENT_PUT, "INSERT OR REPLACE INTO content(stamp, content, used, sum)"           \
                   " VALUES(?1, ?2, ?3, ?4)")                                            \
    X(CONTENT_TOUCH, "UPDATE content SET used = ?2 WHERE stamp = ?1")                    \
    X(CONTENT_EACH, "SELECT stamp, content, used, sum FROM content")                     \
    X(CONTENT_COUNT, "SELECT count(*) FROM content")                                     \
    X(CONTENT_DROP, "DELETE FROM content WHERE stamp = ?1")                              \
    X(CONTENT_OLD, "DELETE FROM content WHERE used < ?1")                                \
    X(CONTENT_CLEAR, "DELETE FROM content")

enum sql {
#define X(name, text) SQL_##name,
    STORE_SQL(X)
#undef X
        SQL_COUNT
};

struct db {
    sqlite3 *h;
    sqlite3_stmt *at[SQL_COUNT]; // prepared when first used
};

enum db_mode {
    DB_READ,      // by somebody who may write the file
    DB_WRITE,     //
    DB_READONLY,  // where nothing can be written
    DB_IMMUTABLE, // the same, and there is no write-ahead log
    DB_BUILD,     // a new file that nobody else knows of
    DB_MEMORY
};
// Returns SQLite's answer; db is closed unless it is SQLITE_OK. vfs NULL: the default
// one.
int db_open(struct db *db, const char *path, const char *vfs, enum db_mode mode);
void db_close(struct db *db);
int db_exec(struct db *db, const char *sql);
// Makes the tables and writes what file this is.
int db_create(struct db *db);
// Whether the tables are the ones that db_create makes; *rc is SQLite's answer.
bool db_is_ours(struct db *db, int *rc);
// The statement, ready for its arguments; NULL, with SQLite's answer in *rc.
sqlite3_stmt *db_statement(struct db *db, enum sql which, int *rc);
// Runs a statement that gives no rows; SQLITE_OK when it was done.
// fn(ctx), which answers as SQLite does; SQLITE_NOMEM where it gives up for want of
// memory. Statements of db that it leaves half done are reset then.
int db_contain(struct db *db, int (*fn)(void *ctx), void *ctx);
int db_finish(sqlite3_stmt *st);
int db_run(struct db *db, enum sql which);
// A statement that gives one number.
int db_number(struct db *db, enum sql which, uint64_t *out);
int db_bind_digest(sqlite3_stmt *st, int at, const struct digest *d);
bool db_digest(sqlite3_stmt *st, int column, struct digest *out);

enum fault {
    FAULT_NONE,
    FAULT_BUSY,
    FAULT_FULL,
    FAULT_DAMAGE,
    FAULT_REFUSED,
    FAULT_OTHER
};
enum fault db_fault(int rc);
const char *db_words(int rc);

// The digests beside the rows.
struct digest value_sum(struct digest record, struct digest row, int64_t place,
                        uint64_t size, const void *data, size_t n);
struct digest record_sum(struct digest key, const void *body, size_t n);
struct digest content_sum(struct digest stamp, struct digest content);

// ---- files below SQLite (store_raw.c, store_log.c) -----------------------------------
// Read through SQLite's default VFS: to open and close a database file by other means
// would end the locks that this process's connections hold on it.
struct raw;
// NULL: it cannot be read. no_memory, unless NULL: whether only for that.
struct raw *raw_open(const char *path, bool *no_memory);
void raw_close(struct raw *r);
uint64_t raw_size(struct raw *r);
bool raw_read(struct raw *r, uint64_t at, void *to, size_t n); // all n bytes, or false

// Whether nothing that was committed to the log is damaged; nobody may be writing it.
bool log_right(const char *path);

// ---- the folder (store_place.c) ------------------------------------------------------
#define GENERATION_MAX    UINT32_C(999999999)
#define PLACE_APPLICATION UINT32_C(0x64646700) // "ddg", and the version in the last byte
struct listing {
    uint32_t newest;    // the highest N of a store-N.db; 0: there is none
    uint32_t last;      // of any file of a generation
    char stranger[256]; // the name of something that is no store's; "": all is
};
// Opens the folder, made where it is missing and `make` is set; its real path in *path.
int place_open(struct arena *a, const char *path, bool make, char **real, char *why,
               size_t why_n);
bool place_list(int folder, struct listing *out);
// store-N.db of a name (*rest is what follows "store-N."); false: another kind of name.
bool place_generation(const char *name, uint32_t *n, const char **rest);
char *place_file(struct arena *a, const char *folder, uint32_t n);
struct digest place_lock(uint32_t n);
bool place_mark(int folder, uint32_t n); // leaves word that the database is damaged
bool place_marked(int folder, uint32_t n);
// Removes databases below N that nobody uses, and files of makings that were cut short;
// returns how many files.
size_t place_clean(int folder, struct locks *l, uint32_t below);
// Removes every database there is, of whatever version.
bool place_remove(int folder);
// DDG_STORE_SIZE, or the default. False: it says something else than a size.
bool place_size(uint64_t *out);

// ---- making databases (store_make.c) -------------------------------------------------
// What a new database starts with; returns SQLite's answer.
typedef int make_fill(void *ctx, struct db *db);
enum made { MADE, MADE_BY_OTHERS, MADE_NOT };
// Makes DIR/store-N.db whole, or not at all; *rc is SQLite's answer or 0 with errno set.
enum made make_database(int folder, const char *path, uint32_t n, const char *vfs,
                        make_fill *fill, void *ctx, int *rc);

// ---- salvage (store_salvage.c) -------------------------------------------------------
struct salvage {
    uint64_t expected, kept; // values
    uint64_t records;        // kept
};
// Reads every row that can be read, page by page, of a database in whatever state, into
// a new one. False: out of memory, or rc.
int salvage_into(const char *file, int64_t today, struct db *to, struct salvage *out);

// ---- the store -----------------------------------------------------------------------
struct use { // a record that this process uses
    struct use *next;
    struct store_record record; // with its texts, in the store's arena
};

struct job; // of the writer's queue

#define STORE_TROUBLES ((size_t)4)

struct store {
    char *path, *file; // of the folder and the database; NULL: in memory
    int folder;        // -1: in memory
    uint32_t generation;
    dev_t device; // of the database when it was opened
    ino_t inode;
    struct store_vfs *vfs;
    struct locks *locks; // NULL: none (in memory, or only looking)
    uint64_t max_bytes;
    int64_t today;
    bool look;
    atomic_bool writes;
    atomic_bool marked; // word was left that the database is damaged
    uint64_t set_aside; // values that were lost when the store was opened

    pthread_mutex_t writing;
    struct db write;
    bool wrote; // values, not only days of use
    pthread_mutex_t reading;
    struct db read;

    pthread_mutex_t state;
    struct arena *arena;
    struct use *uses;
    struct scope scope; // of who opened it: the thread's
    struct scope bug;   // what the thread ended a batch with, if with a bug
    struct store_counts counts;
    char trouble[STORE_TROUBLES][320];
    size_t ntroubles;

    // The writer's queue, under state.
    pthread_cond_t more, less;
    pthread_t thread;
    bool running, closing, busy;
    struct job *first, **last;
    size_t queued; // bytes
};

// What went wrong, said once in the same words.
void store_say(struct store *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void store_count(struct store *s, uint64_t hits, uint64_t misses, uint64_t damaged);
// SQLite's answer to something that was read or written: says it, leaves word of damage.
void store_fault(struct store *s, int rc);
// Nothing is written from here on.
void store_stop(struct store *s, int rc);
void store_stop_errno(struct store *s, int error);
// Whether the database is where it was opened.
bool store_in_place(const struct store *s);
// Whether this process uses the record; out, when it is not NULL: what it says of it,
// whose texts live as long as the store.
bool store_used(struct store *s, struct digest key, struct store_record *out);
bool store_decode(struct digest key, const char *body, size_t n, const struct digest *sum,
                  struct arena *a, struct store_record *out);

// ---- writing (store_write.c) ---------------------------------------------------------
void writer_stop(struct store *s); // writes what is queued
// The connection for writing, to be held under `writing`; NULL: not to be had, which is
// said.
struct db *writer_connection(struct store *s);
void writer_lock(struct store *s);
void writer_unlock(struct store *s);
void queue_touch(struct store *s, struct digest record, const struct digest *rows,
                 size_t n);
void queue_touch_record(struct store *s, struct digest record);
void queue_touch_contents(struct store *s, const struct digest *stamps, size_t n);

// ---- care (store_care.c, store_evict.c) ----------------------------------------------
// A record's totals after values were taken out.
int care_recount(struct db *db, struct digest key);
int care_recount_all(struct db *db);
// The connection to care with, locked with all that it needs: the one for writing, or
// where nothing can be written the one for reading. To be given back.
struct db *care_lock(struct store *s);
void care_unlock(struct store *s, const struct db *db);
// The names of all blobs that values refer to, in order; to be freed.
struct digests {
    struct digest *at;
    size_t n, room;
};
int digests_add(struct digests *d, struct digest one); // SQLITE_OK, or out of memory
int care_blobs(struct db *db, struct digests *out);
bool care_refers(const struct digests *all, struct digest name);
// Bytes of the database in use and of its blobs.
int care_bytes(struct store *s, struct db *db, struct store_stats *out);
// Between these no other process removes a blob (false: in vain), or none writes one.
bool care_keep_blobs(struct store *s, enum lock_kind kind);
void care_let_blobs(struct store *s);
// At the end of a process that wrote: down to the cap.
void care_close(struct store *s);

#endif
