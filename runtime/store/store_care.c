// What the store holds, and whether it is right. See store.h.
#include "runtime/store/store_impl.h"

#include <inttypes.h>

#define WORDS_MAX ((size_t)10)
#define SCAN_ROWS 512 // values looked at in one read transaction

// ---- the connection ------------------------------------------------------------------
struct db *care_lock(struct store *s) {
    writer_lock(s);
    struct db *db = writer_connection(s);
    if (db) return db;
    // The lock for reading too, which a store in memory has taken already.
    if (s->file) pthread_mutex_lock(&s->reading);
    return &s->read;
}

// writer_connection has made up its mind by now: what it gave stays open.
void care_unlock(struct store *s, const struct db *db) {
    if (s->file && db == &s->read) pthread_mutex_unlock(&s->reading);
    writer_unlock(s);
}

// ---- totals --------------------------------------------------------------------------
static int total(struct db *db, int64_t id, uint64_t *rows, uint64_t *bytes) {
    int rc;
    sqlite3_stmt *st = db_statement(db, SQL_VALUE_TOTAL, &rc);
    if (!st) return rc;
    sqlite3_bind_int64(st, 1, id);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *rows = (uint64_t)sqlite3_column_int64(st, 0);
        *bytes = (uint64_t)sqlite3_column_int64(st, 1);
    }
    sqlite3_reset(st);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

struct row_of_record {
    int64_t id, used;
    bool worded;
    struct store_record record;
};

static int load(struct db *db, struct digest key, struct arena *a,
                struct row_of_record *out) {
    int rc;
    struct digest sum;
    *out = (struct row_of_record){0};
    sqlite3_stmt *st = db_statement(db, SQL_RECORD_GET, &rc);
    if (!st) return rc;
    db_bind_digest(st, 1, &key);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        out->id = sqlite3_column_int64(st, 0);
        out->used = sqlite3_column_int64(st, 1);
        const char *body = sqlite3_column_blob(st, 3);
        size_t n = (size_t)sqlite3_column_bytes(st, 3);
        out->worded =
            db_digest(st, 2, &sum) && store_decode(key, body, n, &sum, a, &out->record);
    }
    sqlite3_reset(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int save(struct db *db, const struct row_of_record *r, struct arena *a) {
    int rc;
    char *body;
    size_t n;
    record_encode(&r->record, a, &body, &n);
    struct digest sum = record_sum(r->record.key, body, n);
    sqlite3_stmt *st = db_statement(db, SQL_RECORD_SET, &rc);
    if (!st) return rc;
    sqlite3_bind_int64(st, 1, r->id);
    sqlite3_bind_int64(st, 2, r->used);
    db_bind_digest(st, 3, &sum);
    sqlite3_bind_blob64(st, 4, body, n, SQLITE_STATIC);
    return db_finish(st);
}

static int recount(struct db *db, struct digest key, struct arena *a) {
    struct row_of_record r;
    uint64_t rows = 0, bytes = 0;
    int rc = load(db, key, a, &r);
    if (rc != SQLITE_OK || !r.worded) return rc;
    rc = total(db, r.id, &rows, &bytes);
    if (rc != SQLITE_OK || (r.record.rows == rows && r.record.bytes == bytes)) return rc;
    r.record.rows = rows;
    r.record.bytes = bytes;
    return save(db, &r, a);
}

int care_recount(struct db *db, struct digest key) {
    struct arena *a = arena_must();
    struct cleanup held;
    cleanup_push(&held, arena_drop, a);
    int rc = recount(db, key, a);
    cleanup_run(&held);
    return rc;
}

int digests_add(struct digests *d, struct digest one) {
    if (d->n == d->room) {
        size_t room = d->room ? 2 * d->room : 256;
        struct digest *more = mem_resize(d->at, room * sizeof *more);
        if (!more) return SQLITE_NOMEM;
        d->at = more;
        d->room = room;
    }
    d->at[d->n++] = one;
    return SQLITE_OK;
}

// The digests in a column of what the statement gives.
static int collect(struct db *db, enum sql which, int column, struct digests *out) {
    int rc, step = SQLITE_DONE;
    struct digest d;
    sqlite3_stmt *st = db_statement(db, which, &rc);
    while (st && rc == SQLITE_OK && (step = sqlite3_step(st)) == SQLITE_ROW)
        if (db_digest(st, column, &d)) rc = digests_add(out, d);
    if (st) sqlite3_reset(st);
    return rc != SQLITE_OK || step == SQLITE_DONE ? rc : step;
}

int care_recount_all(struct db *db) {
    struct digests keys = {0};
    struct cleanup held;
    int rc = collect(db, SQL_RECORD_LIST, 1, &keys);
    cleanup_push(&held, mem_free_at, &keys.at);
    for (size_t i = 0; i < keys.n && rc == SQLITE_OK; i++)
        rc = care_recount(db, keys.at[i]);
    cleanup_run(&held);
    return rc;
}

// ---- blobs ---------------------------------------------------------------------------
static int in_order(const void *left, const void *right) {
    const struct digest *a = left, *b = right;
    if (a->hi != b->hi) return a->hi < b->hi ? -1 : 1;
    return a->lo < b->lo ? -1 : a->lo > b->lo;
}

int care_blobs(struct db *db, struct digests *out) {
    int rc = collect(db, SQL_VALUE_BLOBS, 0, out);
    if (out->n) qsort(out->at, out->n, sizeof *out->at, in_order);
    return rc;
}

bool care_refers(const struct digests *all, struct digest name) {
    return all->n && bsearch(&name, all->at, all->n, sizeof name, in_order);
}

// ---- stats ---------------------------------------------------------------------------
static bool add_blob(void *ctx, const struct blob_file *f) {
    struct store_stats *out = ctx;
    out->blobs++;
    out->blob_bytes += f->bytes;
    return true;
}

int care_bytes(struct store *s, struct db *db, struct store_stats *out) {
    uint64_t pages = 0, unused = 0;
    int rc = db_number(db, SQL_PAGES, &pages);
    if (rc == SQLITE_OK) rc = db_number(db, SQL_FREE_PAGES, &unused);
    out->database_bytes = (pages - (unused < pages ? unused : pages)) * VFS_PAGE;
    out->blobs = out->blob_bytes = 0;
    if (rc == SQLITE_OK && s->file && !blob_each(s->folder, add_blob, out))
        rc = SQLITE_IOERR;
    out->bytes = out->database_bytes + out->blob_bytes;
    return rc;
}

struct by_op {
    struct arena *a;
    VEC(struct store_op_stats) list;
};

static struct store_op_stats *op_stats(struct by_op *b, const char *op) {
    for (size_t i = 0; i < b->list.n; i++)
        if (strcmp(b->list.at[i].op, op) == 0) return &b->list.at[i];
    VEC_PUSH(b->a, &b->list, (struct store_op_stats){.op = op});
    return &b->list.at[b->list.n - 1];
}

static void sum_records(const struct store_record *records, size_t n, struct by_op *b,
                        struct store_stats *out) {
    for (size_t i = 0; i < n; i++) {
        const struct store_record *r = &records[i];
        struct store_op_stats *op = op_stats(b, r->op);
        double part = r->computed ? (double)r->rows / (double)r->computed : 0;
        op->records++;
        op->values += r->rows;
        op->bytes += r->bytes;
        op->seconds += r->seconds * part;
        out->values += r->rows;
        out->seconds += r->seconds * part;
    }
}

bool store_stats(struct store *s, struct arena *a, struct store_stats *out) {
    *out = (struct store_stats){0};
    if (!s) return false;
    store_flush(s);
    struct store_record *records;
    struct by_op ops = {.a = a};
    out->records = store_records(s, NULL, a, &records);
    sum_records(records, out->records, &ops, out);
    out->ops = ops.list.at;
    out->nops = ops.list.n;
    out->path = s->path ? arena_strdup(a, s->path) : "in memory";
    out->max_bytes = s->max_bytes;
    pthread_mutex_lock(&s->reading);
    int rc = db_number(&s->read, SQL_CONTENT_COUNT, &out->contents);
    if (rc == SQLITE_OK) rc = care_bytes(s, &s->read, out);
    pthread_mutex_unlock(&s->reading);
    if (rc != SQLITE_OK) store_fault(s, rc);
    return rc == SQLITE_OK;
}

// ---- verify --------------------------------------------------------------------------
struct named { // a record, to say whose value is damaged
    int64_t id;
    const char *op;
};

struct verify {
    struct store *s;
    struct db *db;
    struct arena *a;
    struct store_check *out;
    VEC(const char *) words;
    VEC(struct named) records;
    int rc; // SQLite's first failure
};

static void damaged(struct verify *v, uint64_t n, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void damaged(struct verify *v, uint64_t n, const char *fmt, ...) {
    v->out->damaged += n;
    if (v->words.n == WORDS_MAX) return;
    va_list ap;
    va_start(ap, fmt);
    VEC_PUSH(v->a, &v->words, arena_vprintf(v->a, fmt, ap));
    va_end(ap);
}

static void fail(struct verify *v, int rc) {
    if (rc == SQLITE_OK || v->rc != SQLITE_OK) return;
    v->rc = rc;
    if (db_fault(rc) == FAULT_DAMAGE)
        damaged(v, 1, "store-%u.db cannot be read to its end; the next run repairs it",
                v->s->generation);
    store_fault(v->s, rc);
}

static void verify_pages(struct verify *v) {
    uint64_t bad = 0;
    if (!v->s->file) return;
    if (!store_vfs_scan(v->s->file, &v->out->pages, &bad)) {
        fail(v, SQLITE_IOERR_READ);
        return;
    }
    if (bad == 0) return;
    damaged(v, bad, "%" PRIu64 " page%s of store-%u.db; the next run repairs it", bad,
            bad == 1 ? "" : "s", v->s->generation);
    store_fault(v->s, SQLITE_IOERR_DATA);
}

static void finalize(void *st) {
    sqlite3_finalize(st);
}

// What the pages say together: trees in order, indexes complete.
static void verify_structure(struct verify *v) {
    sqlite3_stmt *st;
    struct cleanup held;
    int rc = sqlite3_prepare_v2(v->db->h, "PRAGMA integrity_check(4)", -1, &st, NULL);
    cleanup_push(&held, finalize, st);
    while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(st, 0);
        rc = SQLITE_OK;
        if (!text || strcmp(text, "ok") == 0) continue;
        damaged(v, 1, "store-%u.db: %.120s; the next run repairs it", v->s->generation,
                text);
        store_fault(v->s, SQLITE_CORRUPT);
    }
    cleanup_run(&held);
    if (rc != SQLITE_DONE) fail(v, rc);
}

static bool verify_record(struct verify *v, sqlite3_stmt *st) {
    struct digest sum, key;
    struct store_record r;
    const char *body = sqlite3_column_blob(st, 3);
    size_t n = (size_t)sqlite3_column_bytes(st, 3);
    struct named name = {sqlite3_column_int64(st, 0), "an op that is not known any more"};
    v->out->records++;
    bool right = db_digest(st, 4, &key) &&
                 (n == 0 ||
                  (db_digest(st, 2, &sum) && store_decode(key, body, n, &sum, v->a, &r)));
    if (right && n) name.op = r.op;
    VEC_PUSH(v->a, &v->records, name);
    return right;
}

static int forget_words(struct verify *v, int64_t id) {
    int rc;
    sqlite3_stmt *st = db_statement(v->db, SQL_RECORD_SET, &rc);
    if (!st) return rc;
    sqlite3_bind_int64(st, 1, id);
    sqlite3_bind_int64(st, 2, v->s->today);
    sqlite3_bind_zeroblob(st, 3, 0);
    sqlite3_bind_zeroblob(st, 4, 0);
    return db_finish(st);
}

static void verify_records(struct verify *v) {
    int rc, step = SQLITE_DONE;
    VEC(int64_t) bad = {0};
    sqlite3_stmt *st = db_statement(v->db, SQL_RECORD_EACH, &rc);
    while (st && (step = sqlite3_step(st)) == SQLITE_ROW)
        if (!verify_record(v, st)) VEC_PUSH(v->a, &bad, sqlite3_column_int64(st, 0));
    if (st) sqlite3_reset(st);
    fail(v, step == SQLITE_DONE ? rc : step);
    for (size_t i = 0; i < bad.n; i++) {
        damaged(v, 1, "what a record says; the next run that uses it says it again");
        if (store_writes(v->s)) fail(v, forget_words(v, bad.at[i]));
    }
}

static const char *op_of(const struct verify *v, int64_t id) {
    for (size_t i = 0; i < v->records.n; i++)
        if (v->records.at[i].id == id) return v->records.at[i].op;
    return "no record";
}

struct bad_value {
    int64_t id, record;
    struct digest blob; // its file, if that is damaged
};

static bool blob_right(struct verify *v, sqlite3_stmt *st, uint64_t size,
                       struct digest *wrong) {
    struct digest name;
    if (!db_digest(st, 6, &name)) return false;
    enum blob_state state = blob_read(v->s->folder, name, size, NULL);
    if (state == BLOB_DAMAGED) *wrong = name;
    return state == BLOB_FINE;
}

static bool value_right(struct verify *v, sqlite3_stmt *st, struct bad_value *bad) {
    struct digest row, sum, key;
    const void *data = sqlite3_column_blob(st, 6);
    size_t n = (size_t)sqlite3_column_bytes(st, 6);
    int64_t place = sqlite3_column_int64(st, 3);
    uint64_t size = (uint64_t)sqlite3_column_int64(st, 4);
    if (!db_digest(st, 2, &row) || !db_digest(st, 5, &sum) || !db_digest(st, 7, &key))
        return false;
    if (!digest_eq(sum, value_sum(key, row, place, size, data, n))) return false;
    return place ? blob_right(v, st, size, &bad->blob) : n == size;
}

static int drop_value(struct verify *v, const struct bad_value *bad) {
    int rc;
    static const struct digest NONE = {0};
    sqlite3_stmt *st = db_statement(v->db, SQL_VALUE_DROP, &rc);
    if (!st) return rc;
    sqlite3_bind_int64(st, 1, bad->id);
    if (!digest_eq(bad->blob, NONE)) blob_remove(v->s->folder, bad->blob);
    return db_finish(st);
}

// Values behind *at, at most SCAN_ROWS; how many. Bad ones go to list.
static size_t scan_values(struct verify *v, int64_t *at, struct bad_value *list,
                          size_t *nbad) {
    int rc, step = SQLITE_DONE;
    size_t n = 0;
    sqlite3_stmt *st = db_statement(v->db, SQL_VALUE_SCAN, &rc);
    if (!st) return fail(v, rc), (size_t)0;
    sqlite3_bind_int64(st, 1, *at);
    sqlite3_bind_int(st, 2, SCAN_ROWS);
    for (; (step = sqlite3_step(st)) == SQLITE_ROW; n++) {
        struct bad_value one = {.id = sqlite3_column_int64(st, 0),
                                .record = sqlite3_column_int64(st, 1)};
        if (!value_right(v, st, &one)) list[(*nbad)++] = one;
        *at = one.id;
    }
    sqlite3_reset(st);
    fail(v, step == SQLITE_DONE ? SQLITE_OK : step);
    return n;
}

static void verify_values(struct verify *v) {
    int64_t at = INT64_MIN;
    struct bad_value *list = NEW_N(v->a, struct bad_value, SCAN_ROWS);
    size_t n, nbad;
    bool dropped = false;
    // No blob goes meanwhile, of a row that was evicted after it was seen.
    bool kept = care_keep_blobs(v->s, LOCK_SHARED);
    do {
        nbad = 0;
        n = scan_values(v, &at, list, &nbad);
        v->out->values += n;
        for (size_t i = 0; i < nbad; i++) {
            damaged(v, 1, "a value of %s", op_of(v, list[i].record));
            if (store_writes(v->s)) fail(v, drop_value(v, &list[i]));
            dropped = true;
        }
    } while (n == SCAN_ROWS && v->rc == SQLITE_OK);
    if (kept) care_let_blobs(v->s);
    if (dropped && store_writes(v->s)) fail(v, care_recount_all(v->db));
}

static void verify_contents(struct verify *v) {
    int rc, step = SQLITE_DONE;
    struct digests bad = {0};
    struct cleanup held;
    cleanup_push(&held, mem_free_at, &bad.at);
    sqlite3_stmt *st = db_statement(v->db, SQL_CONTENT_EACH, &rc);
    while (st && (step = sqlite3_step(st)) == SQLITE_ROW) {
        struct digest stamp = {0}, content, sum;
        v->out->contents++;
        bool right = db_digest(st, 0, &stamp) && db_digest(st, 1, &content) &&
                     db_digest(st, 3, &sum) &&
                     digest_eq(sum, content_sum(stamp, content));
        if (!right && digests_add(&bad, stamp) != SQLITE_OK) break;
    }
    if (st) sqlite3_reset(st);
    fail(v, step == SQLITE_DONE || step == SQLITE_ROW ? rc : step);
    for (size_t i = 0; i < bad.n; i++) {
        damaged(v, 1, "the digest of a file");
        st = store_writes(v->s) ? db_statement(v->db, SQL_CONTENT_DROP, &rc) : NULL;
        if (st) db_bind_digest(st, 1, &bad.at[i]);
        if (st) fail(v, db_finish(st));
    }
    cleanup_run(&held);
}

struct blob_walk {
    const struct digests *all;
    struct store_check *out;
};

static bool look_at_blob(void *ctx, const struct blob_file *f) {
    struct blob_walk *w = ctx;
    w->out->blobs++;
    w->out->leftovers += f->temporary || !care_refers(w->all, f->name);
    return true;
}

// Only while nobody writes blobs, for those have no rows yet.
static void verify_blobs(struct verify *v) {
    struct digests all = {0};
    struct blob_walk w = {&all, v->out};
    if (!v->s->locks || !care_keep_blobs(v->s, LOCK_EXCLUSIVE)) return;
    int rc = care_blobs(v->db, &all);
    if (rc == SQLITE_OK && !blob_each(v->s->folder, look_at_blob, &w))
        rc = SQLITE_IOERR_READ;
    care_let_blobs(v->s);
    mem_free(all.at);
    fail(v, rc);
}

static int verify_all(void *ctx) {
    struct verify *v = ctx;
    if (v->s->set_aside)
        damaged(v, v->s->set_aside, "%" PRIu64 " value%s when the store was opened",
                v->s->set_aside, v->s->set_aside == 1 ? "" : "s");
    verify_pages(v);
    verify_structure(v);
    if (v->rc == SQLITE_OK) verify_records(v);
    if (v->rc == SQLITE_OK) verify_values(v);
    if (v->rc == SQLITE_OK) verify_contents(v);
    if (v->rc == SQLITE_OK) verify_blobs(v);
    return v->rc;
}

bool store_verify(struct store *s, struct arena *a, struct store_check *out) {
    *out = (struct store_check){0};
    if (!s) return false;
    store_flush(s);
    struct verify v = {.s = s, .a = a, .out = out};
    v.db = care_lock(s);
    v.rc = db_contain(v.db, verify_all, &v);
    if (v.rc == SQLITE_NOMEM) care_let_blobs(s); // should it have been looking at values
    care_unlock(s, v.db);
    out->words = v.words.at;
    out->nwords = v.words.n;
    return v.rc == SQLITE_OK || db_fault(v.rc) == FAULT_DAMAGE;
}
