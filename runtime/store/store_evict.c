// Making the store smaller: evicting what is worth least, and clearing all. See store.h.
//
// The worth of a value is what computing it again would take, halved for each fortnight
// that it was not used, for each byte that it takes. Values of one record that were last
// used on the same day are worth the same; such groups go in the order of their worth,
// and inside a group the values in the order in which they came. Records that a living
// process uses are locked (store_use), and left alone.
//
// A blob goes when no row refers to it. Its file is written before its row is, so files
// are counted and removed only while no process is between the two: writers of blobs
// share a lock that this takes alone.
#include "runtime/store/store_impl.h"

#include <dirent.h>
#include <math.h>
#include <time.h>
#include <unistd.h>

#define HALF_LIFE     14.0 // days
#define OLD_DAYS      90   // contents and empty records that were not used for so long go
#define ROW_OVERHEAD  64   // bytes of the database that a value takes beside its own
#define EVICT_ROWS    512  // looked at in one transaction
#define ROUNDS        16
#define TEMPORARY_AGE 3600.0 // seconds; nobody writes one blob for so long

// ---- the lock of blobs ---------------------------------------------------------------
#define LOCK_ATTEMPTS 200
#define LOCK_PAUSE_MS 10

static struct digest blobs_lock(void) {
    return digest_of("blobs", 5);
}

bool care_keep_blobs(struct store *s, enum lock_kind kind) {
    struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000};
    for (int i = 0; s->locks && i < LOCK_ATTEMPTS; i++) {
        if (i) nanosleep(&pause, NULL);
        if (lock_take(s->locks, blobs_lock(), kind)) return true;
    }
    return s->locks == NULL;
}

void care_let_blobs(struct store *s) {
    if (s->locks) lock_drop(s->locks, blobs_lock());
}

// ---- groups --------------------------------------------------------------------------
struct group { // values of a record that were last used on the same day
    int64_t record, used;
    double n, bytes, worth;
    uint64_t take; // bytes to be evicted
};

struct candidate { // a record that nobody uses
    int64_t id;
    struct digest key;
    double seconds; // a row
    bool changed;
};

struct evict {
    struct store *s;
    struct db *db;
    struct arena *a;
    VEC(struct candidate) records;
    VEC(struct group) groups;
    uint64_t max;
    struct store_gc *out;
};

// Locks the records that nobody uses, and lists them.
static int list_records(struct evict *e) {
    int rc, step = SQLITE_DONE;
    sqlite3_stmt *st = db_statement(e->db, SQL_RECORD_LIST, &rc);
    while (st && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct candidate c = {.id = sqlite3_column_int64(st, 0), .seconds = 1};
        if (!db_digest(st, 1, &c.key)) continue;
        if (store_used(e->s, c.key, NULL)) continue;
        if (e->s->locks && !lock_take(e->s->locks, c.key, LOCK_EXCLUSIVE)) continue;
        VEC_PUSH(e->a, &e->records, c);
    }
    if (st) sqlite3_reset(st);
    return step == SQLITE_DONE ? rc : step;
}

static void let_records(struct evict *e) {
    for (size_t i = 0; e->s->locks && i < e->records.n; i++)
        lock_drop(e->s->locks, e->records.at[i].key);
}

static struct candidate *candidate(struct evict *e, int64_t id) {
    for (size_t low = 0, high = e->records.n; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (e->records.at[middle].id == id) return &e->records.at[middle];
        if (e->records.at[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

// What a row took to compute; a record that has lost its words keeps the guess of a
// second.
static int price_records(struct evict *e) {
    struct store_record r;
    int64_t id;
    int rc, step = SQLITE_DONE;
    sqlite3_stmt *st = db_statement(e->db, SQL_RECORD_EACH, &rc);
    while (st && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct digest key, sum;
        id = sqlite3_column_int64(st, 0);
        struct candidate *c = candidate(e, id);
        if (!c || !db_digest(st, 4, &key) || !db_digest(st, 2, &sum)) continue;
        if (store_decode(key, sqlite3_column_blob(st, 3),
                         (size_t)sqlite3_column_bytes(st, 3), &sum, e->a, &r) &&
            r.computed && isfinite(r.seconds))
            c->seconds = r.seconds / (double)r.computed;
    }
    if (st) sqlite3_reset(st);
    return step == SQLITE_DONE ? rc : step;
}

static struct group *group(struct evict *e, int64_t record, int64_t used) {
    for (size_t i = e->groups.n; i-- > 0;) // the last ones are the likely ones
        if (e->groups.at[i].record == record && e->groups.at[i].used == used)
            return &e->groups.at[i];
    VEC_PUSH(e->a, &e->groups, (struct group){.record = record, .used = used});
    return &e->groups.at[e->groups.n - 1];
}

static void price_group(struct evict *e, struct group *g) {
    const struct candidate *c = candidate(e, g->record);
    double days = fmax(0, (double)(e->s->today - g->used)); // clocks are set back
    if (c)
        g->worth =
            c->seconds * exp2(-days / HALF_LIFE) / (g->bytes / g->n + ROW_OVERHEAD);
}

static int by_worth(const void *left, const void *right) {
    const struct group *a = left, *b = right;
    if (a->worth != b->worth) return a->worth < b->worth ? -1 : 1;
    if (a->used != b->used) return a->used < b->used ? -1 : 1;
    return a->record < b->record ? -1 : a->record > b->record;
}

static int list_groups(struct evict *e) {
    int rc, step = SQLITE_DONE;
    struct group *g = NULL;
    e->groups.n = 0;
    sqlite3_stmt *st = db_statement(e->db, SQL_VALUE_USE, &rc);
    while (st && (step = sqlite3_step(st)) == SQLITE_ROW) {
        int64_t record = sqlite3_column_int64(st, 0), used = sqlite3_column_int64(st, 1);
        if (!candidate(e, record)) continue;
        if (!g || g->record != record || g->used != used) g = group(e, record, used);
        g->n++;
        g->bytes += sqlite3_column_double(st, 2);
    }
    if (st) sqlite3_reset(st);
    for (size_t i = 0; i < e->groups.n; i++) price_group(e, &e->groups.at[i]);
    if (e->groups.n) qsort(e->groups.at, e->groups.n, sizeof *e->groups.at, by_worth);
    return step == SQLITE_DONE ? rc : step;
}

// ---- evicting ------------------------------------------------------------------------
// Values go in the order in which they were stored, so that whole pages come free.
struct picked {
    int64_t last; // the last id that was looked at
    size_t looked, n;
    int64_t ids[EVICT_ROWS];
};

static void pick_row(struct evict *e, sqlite3_stmt *st, struct picked *p) {
    int64_t record = sqlite3_column_int64(st, 1), used = sqlite3_column_int64(st, 2);
    uint64_t bytes = (uint64_t)sqlite3_column_int64(st, 3) + ROW_OVERHEAD;
    p->last = sqlite3_column_int64(st, 0);
    p->looked++;
    struct group *g = candidate(e, record) ? group(e, record, used) : NULL;
    if (!g || !g->take) return;
    g->take -= bytes < g->take ? bytes : g->take;
    candidate(e, record)->changed = true;
    p->ids[p->n++] = p->last;
}

static int pick_rows(struct evict *e, struct picked *p) {
    int rc, step = SQLITE_DONE;
    p->looked = p->n = 0;
    sqlite3_stmt *st = db_statement(e->db, SQL_VALUE_NEXT, &rc);
    if (!st) return rc;
    sqlite3_bind_int64(st, 1, p->last);
    sqlite3_bind_int(st, 2, EVICT_ROWS);
    while ((step = sqlite3_step(st)) == SQLITE_ROW) pick_row(e, st, p);
    sqlite3_reset(st);
    return step == SQLITE_DONE ? SQLITE_OK : step;
}

static int drop_rows(struct evict *e, const struct picked *p) {
    int rc = db_run(e->db, SQL_BEGIN_WRITE);
    for (size_t i = 0; i < p->n && rc == SQLITE_OK; i++) {
        sqlite3_stmt *st = db_statement(e->db, SQL_VALUE_DROP, &rc);
        if (!st) break;
        sqlite3_bind_int64(st, 1, p->ids[i]);
        rc = db_finish(st);
    }
    if (rc == SQLITE_OK) rc = db_run(e->db, SQL_COMMIT);
    if (rc != SQLITE_OK) db_run(e->db, SQL_ROLLBACK);
    return rc;
}

static void share_out(struct evict *e, uint64_t need) {
    for (size_t i = 0; i < e->groups.n; i++) {
        struct group *g = &e->groups.at[i];
        uint64_t all = (uint64_t)(g->bytes + g->n * ROW_OVERHEAD);
        g->take = all < need ? all : need;
        need -= g->take;
    }
}

static int evict_bytes(struct evict *e, uint64_t need) {
    struct picked p = {.last = INT64_MIN};
    int rc = list_groups(e);
    share_out(e, need);
    do {
        if (rc == SQLITE_OK) rc = pick_rows(e, &p);
        if (rc == SQLITE_OK && p.n) rc = drop_rows(e, &p);
        if (rc == SQLITE_OK) e->out->values += p.n;
    } while (rc == SQLITE_OK && p.looked == EVICT_ROWS);
    return rc;
}

// ---- files nobody needs --------------------------------------------------------------
struct sweep {
    struct store *s;
    const struct digests *keep; // NULL: nothing
    uint64_t files;
};

static bool sweep_file(void *ctx, const struct blob_file *f) {
    struct sweep *w = ctx;
    bool needed = f->temporary ? w->keep && f->age < TEMPORARY_AGE
                               : w->keep && care_refers(w->keep, f->name);
    if (!needed) w->files += unlinkat(w->s->folder, f->path, 0) == 0;
    return true;
}

// Blobs without rows; every one, when keep_none.
static int sweep_blobs(struct store *s, struct db *db, bool keep_none, uint64_t *files) {
    struct digests all = {0};
    struct sweep w = {s, keep_none ? NULL : &all, 0};
    if (!s->file || !care_keep_blobs(s, LOCK_EXCLUSIVE)) return SQLITE_OK;
    int rc = keep_none ? SQLITE_OK : care_blobs(db, &all);
    if (rc == SQLITE_OK && !blob_each(s->folder, sweep_file, &w)) rc = SQLITE_IOERR_READ;
    care_let_blobs(s);
    mem_free(all.at);
    *files += w.files;
    return rc;
}

// ---- gc ------------------------------------------------------------------------------
static int shrink(struct evict *e, struct store_stats *now) {
    uint64_t blobs = 0; // of evicted values: no leftovers
    int rc = sweep_blobs(e->s, e->db, false, &blobs);
    if (rc == SQLITE_OK) rc = db_run(e->db, SQL_VACUUM);
    return rc == SQLITE_OK ? care_bytes(e->s, e->db, now) : rc;
}

// What a value takes in the database is a guess, and its page is free when the last one
// on it is: better some rounds than too much.
static uint64_t first_part(uint64_t need) {
    uint64_t part = need / 4 * 3 + 4 * VFS_PAGE;
    return part < need ? part : need;
}

static int evict_down(struct evict *e, struct store_stats *now) {
    int rc = SQLITE_OK;
    uint64_t before;
    for (int i = 0; i < ROUNDS && rc == SQLITE_OK && now->bytes > e->max; i++) {
        before = e->out->values;
        rc = evict_bytes(e, first_part(now->bytes - e->max));
        if (rc == SQLITE_OK) rc = shrink(e, now);
        if (e->out->values == before) break; // what is left is in use
    }
    for (size_t i = 0; i < e->records.n && rc == SQLITE_OK; i++)
        if (e->records.at[i].changed) rc = care_recount(e->db, e->records.at[i].key);
    return rc;
}

static int drop_old(struct evict *e) {
    static const enum sql OLD[] = {SQL_CONTENT_OLD, SQL_RECORD_OLD};
    int rc = SQLITE_OK;
    for (size_t i = 0; i < COUNT(OLD) && rc == SQLITE_OK; i++) {
        sqlite3_stmt *st = db_statement(e->db, OLD[i], &rc);
        if (!st) return rc;
        sqlite3_bind_int64(st, 1, e->s->today - OLD_DAYS);
        rc = db_finish(st);
    }
    return rc;
}

static int collect_garbage(void *ctx) {
    struct evict *e = ctx;
    struct store_stats now;
    struct store_gc *out = e->out;
    int rc = care_bytes(e->s, e->db, &now);
    if (rc != SQLITE_OK) return rc;
    out->bytes_before = out->bytes_after = now.bytes;
    rc = drop_old(e);
    if (rc == SQLITE_OK) rc = sweep_blobs(e->s, e->db, false, &out->files);
    if (e->s->file)
        out->files += place_clean(e->s->folder, e->s->locks, e->s->generation);
    if (rc == SQLITE_OK) rc = care_bytes(e->s, e->db, &now);
    if (rc == SQLITE_OK) rc = list_records(e);
    if (rc == SQLITE_OK) rc = price_records(e);
    if (rc == SQLITE_OK) rc = evict_down(e, &now);
    out->bytes_after = now.bytes;
    out->bytes = out->bytes_before -
                 (now.bytes < out->bytes_before ? now.bytes : out->bytes_before);
    if (rc == SQLITE_OK && e->s->file) db_run(e->db, SQL_CHECKPOINT);
    return rc;
}

bool store_gc(struct store *s, uint64_t max_bytes, struct store_gc *out) {
    *out = (struct store_gc){0};
    if (!store_writes(s)) return false;
    store_flush(s);
    struct evict e = {.s = s, .max = max_bytes, .out = out, .a = arena_new()};
    if (!e.a) return false;
    e.db = care_lock(s);
    int rc = store_writes(s) ? db_contain(e.db, collect_garbage, &e) : SQLITE_READONLY;
    let_records(&e);
    care_unlock(s, e.db);
    arena_free(e.a);
    if (rc != SQLITE_OK) store_fault(s, rc);
    return rc == SQLITE_OK;
}

// At most what the store may hold: what lies in the database is counted twice.
static bool surely_small(struct store *s) {
    struct arena *a = arena_new();
    struct store_record *records;
    uint64_t pages = 0;
    if (!a) return true; // the next to close it will see
    size_t n = store_records(s, NULL, a, &records);
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) bytes += records[i].bytes;
    arena_free(a);
    pthread_mutex_lock(&s->reading);
    int rc = db_number(&s->read, SQL_PAGES, &pages);
    pthread_mutex_unlock(&s->reading);
    return rc != SQLITE_OK || bytes + pages * VFS_PAGE <= s->max_bytes;
}

void care_close(struct store *s) {
    struct store_gc gc;
    if (!s->file || !s->wrote || !store_writes(s) || surely_small(s)) return;
    // Somewhat lower, or every run from here on would have to.
    store_gc(s, s->max_bytes - s->max_bytes / 20, &gc);
}

// ---- clear ---------------------------------------------------------------------------
static int clear_rows(struct db *db) {
    static const enum sql ALL[] = {SQL_VALUE_CLEAR, SQL_RECORD_CLEAR, SQL_CONTENT_CLEAR};
    int rc = db_run(db, SQL_BEGIN_WRITE);
    for (size_t i = 0; i < COUNT(ALL) && rc == SQLITE_OK; i++) rc = db_run(db, ALL[i]);
    if (rc == SQLITE_OK) rc = db_run(db, SQL_COMMIT);
    if (rc != SQLITE_OK) db_run(db, SQL_ROLLBACK);
    return rc;
}

static int clear_all(struct store *s, struct db *db) {
    uint64_t files = 0;
    int rc = clear_rows(db);
    if (rc == SQLITE_OK) rc = db_run(db, SQL_VACUUM);
    if (rc == SQLITE_OK && s->file) rc = sweep_blobs(s, db, true, &files);
    if (rc != SQLITE_OK || !s->file) return rc;
    place_clean(s->folder, s->locks, s->generation);
    db_run(db, SQL_CHECKPOINT);
    return SQLITE_OK;
}

// Another version's files, of which only the names are known.
static int remove_all(struct store *s) {
    struct sweep w = {.s = s};
    bool swept = blob_each(s->folder, sweep_file, &w);
    return place_remove(s->folder) && swept ? SQLITE_OK : SQLITE_IOERR_DELETE;
}

bool store_clear(struct store *s, char *why, size_t why_n) {
    int rc = SQLITE_READONLY;
    if (s && !s->read.h) {
        rc = remove_all(s);
    } else if (store_writes(s)) {
        store_flush(s);
        struct db *db = care_lock(s);
        if (store_writes(s)) rc = clear_all(s, db);
        care_unlock(s, db);
    }
    if (rc != SQLITE_OK) snprintf(why, why_n, "%s", db_words(rc));
    return rc == SQLITE_OK;
}
