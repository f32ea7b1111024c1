// What is looked up: records, values, contents of files; and the claims on what is
// missing. See store.h.
//
// Each call is one read transaction. What is found but was last used on an earlier day
// is handed to the writer, which notes the day: a rerun on the same day writes nothing.
#include "runtime/store/store_impl.h"

#include <time.h>

// ---- records -------------------------------------------------------------------------
bool store_decode(struct digest key, const char *body, size_t n, const struct digest *sum,
                  struct arena *a, struct store_record *out) {
    const char *why;
    if (n == 0 || n > RECORD_MAX_BYTES || !digest_eq(*sum, record_sum(key, body, n)))
        return false;
    return record_decode(body, n, a, out, &why) && digest_eq(out->key, key);
}

static struct use *use_of(const struct store *s, struct digest key) {
    struct use *u = s->uses;
    while (u && !digest_eq(u->record.key, key)) u = u->next;
    return u;
}

bool store_used(struct store *s, struct digest key, struct store_record *out) {
    pthread_mutex_lock(&s->state);
    const struct use *u = use_of(s, key);
    if (u && out) *out = u->record;
    pthread_mutex_unlock(&s->state);
    return u;
}

static const char *copy(struct arena *a, const char *text) {
    return text ? arena_strdup(a, text) : NULL;
}

static struct store_record record_copy(struct arena *a, const struct store_record *r) {
    struct store_field *fields = NEW_N(a, struct store_field, r->nfields);
    for (size_t i = 0; i < r->nfields; i++)
        fields[i] = (struct store_field){.name = copy(a, r->fields[i].name),
                                         .value = copy(a, r->fields[i].value),
                                         .label = copy(a, r->fields[i].label)};
    struct store_record c = *r;
    c.op = copy(a, r->op);
    c.name = copy(a, r->name);
    c.elem = copy(a, r->elem);
    c.fields = fields;
    c.key = store_record_key(r);
    c.rows = c.bytes = c.computed = 0;
    c.seconds = 0;
    return c;
}

static void unlock(void *mutex) {
    pthread_mutex_unlock(mutex);
}

static void remember_use(struct store *s, const struct store_record *r) {
    struct cleanup held;
    pthread_mutex_lock(&s->state);
    cleanup_push(&held, unlock, &s->state);
    struct use *u = NEW(s->arena, struct use);
    u->record = record_copy(s->arena, r);
    u->next = s->uses;
    s->uses = u;
    cleanup_run(&held);
}

// Eviction holds a record for moments; after a second the run goes on without the lock,
// and what is evicted all the same is computed again.
#define USE_ATTEMPTS 100

static void lock_record(struct store *s, struct digest key) {
    struct timespec pause = {.tv_nsec = 10 * 1000000};
    for (int i = 0; s->locks && i < USE_ATTEMPTS; i++) {
        if (lock_take(s->locks, key, LOCK_SHARED)) return;
        nanosleep(&pause, NULL);
    }
}

struct seen { // of a record in the database
    bool there, described;
    int64_t id, used;
};

static int find_record(struct store *s, struct digest key, struct seen *out) {
    int rc;
    *out = (struct seen){0};
    sqlite3_stmt *st = db_statement(&s->read, SQL_RECORD_FIND, &rc);
    if (!st) return rc;
    db_bind_digest(st, 1, &key);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        out->there = true;
        out->id = sqlite3_column_int64(st, 0);
        out->used = sqlite3_column_int64(st, 1);
        out->described = sqlite3_column_int64(st, 2) > 0;
    }
    sqlite3_reset(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

// The work of a row may come to be known only when its code has been made.
static bool used_before(struct store *s, struct digest key, double flops) {
    pthread_mutex_lock(&s->state);
    struct use *u = use_of(s, key);
    if (u && u->record.flops <= 0) u->record.flops = flops;
    pthread_mutex_unlock(&s->state);
    return u;
}

void store_use(struct store *s, const struct store_record *r) {
    if (!s) return;
    struct digest key = store_record_key(r);
    if (used_before(s, key, r->flops)) return;
    struct seen seen;
    remember_use(s, r);
    lock_record(s, key);
    pthread_mutex_lock(&s->reading);
    int rc = find_record(s, key, &seen);
    pthread_mutex_unlock(&s->reading);
    if (rc != SQLITE_OK) {
        store_fault(s, rc);
        return;
    }
    // One that a damaged database has kept the values of, but not the words.
    if (seen.there && !seen.described) store_put(s, key, NULL, 0, 0, NULL, 0);
    if (seen.there && seen.used < s->today) queue_touch_record(s, key);
}

static bool decode_row(sqlite3_stmt *st, struct arena *a, struct store_record *out) {
    struct digest key, sum;
    const char *body = sqlite3_column_blob(st, 3);
    size_t n = (size_t)sqlite3_column_bytes(st, 3);
    if (!db_digest(st, 4, &key) || !db_digest(st, 2, &sum)) return false;
    if (!store_decode(key, body, n, &sum, a, out)) return false;
    out->used = sqlite3_column_int64(st, 1);
    return true;
}

struct listing_records {
    struct store *s;
    const char *op; // NULL: any
    struct arena *a;
    VEC(struct store_record) list;
};

static int list_records(void *ctx) {
    struct listing_records *l = ctx;
    int rc;
    sqlite3_stmt *st = db_statement(&l->s->read, SQL_RECORD_EACH, &rc);
    while (st && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct store_record r;
        if (decode_row(st, l->a, &r) && (!l->op || strcmp(r.op, l->op) == 0))
            VEC_PUSH(l->a, &l->list, r);
    }
    if (st) sqlite3_reset(st);
    return rc;
}

size_t store_records(struct store *s, const char *op, struct arena *a,
                     struct store_record **out) {
    struct listing_records l = {.s = s, .op = op, .a = a};
    *out = NULL;
    if (!s) return 0;
    pthread_mutex_lock(&s->reading);
    int rc = db_contain(&s->read, list_records, &l);
    pthread_mutex_unlock(&s->reading);
    if (db_fault(rc) != FAULT_NONE) store_fault(s, rc);
    *out = l.list.at;
    return l.list.n;
}

// ---- values --------------------------------------------------------------------------
struct lookup {
    struct store *s;
    struct digest record;
    int64_t id;
    size_t bytes;
    uint64_t hits, damaged;
    int rc;               // SQLite's first failure
    struct digest *stale; // rows last used on an earlier day
    size_t nstale, room;
};

// What was last used on another day, as many as there is memory for.
static void note_stale(struct lookup *l, struct digest row) {
    if (l->nstale == l->room) {
        size_t room = l->room ? 2 * l->room : 256;
        struct digest *more = mem_resize(l->stale, room * sizeof *more);
        if (!more) return;
        l->stale = more;
        l->room = room;
    }
    l->stale[l->nstale++] = row;
}

static bool copy_blob(struct lookup *l, const void *data, char *out) {
    struct digest name;
    memcpy(&name, data, sizeof name);
    return l->s->folder >= 0 && blob_read(l->s->folder, name, l->bytes, out) == BLOB_FINE;
}

// The value of the row that the statement stands on. False: damaged.
static bool copy_value(struct lookup *l, sqlite3_stmt *st, struct digest row, char *out) {
    struct digest sum;
    int64_t place = sqlite3_column_int64(st, 0);
    uint64_t size = (uint64_t)sqlite3_column_int64(st, 1);
    const void *data = sqlite3_column_blob(st, 4);
    size_t n = (size_t)sqlite3_column_bytes(st, 4);
    if (!db_digest(st, 3, &sum) || size != l->bytes) return false;
    if (!digest_eq(sum, value_sum(l->record, row, place, size, data, n))) return false;
    if (place) return n == sizeof(struct digest) && copy_blob(l, data, out);
    if (n != l->bytes) return false;
    if (n) memcpy(out, data, n);
    return true;
}

static bool get_value(struct lookup *l, const struct digest *row, char *out) {
    int rc;
    sqlite3_stmt *st = db_statement(&l->s->read, SQL_VALUE_GET, &rc);
    bool found = false;
    if (st) {
        sqlite3_bind_int64(st, 1, l->id);
        db_bind_digest(st, 2, row);
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
            found = copy_value(l, st, *row, out);
            l->hits += found;
            l->damaged += !found;
            if (found && sqlite3_column_int64(st, 2) < l->s->today) note_stale(l, *row);
        }
        sqlite3_reset(st);
    }
    if (db_fault(rc) == FAULT_NONE) return found;
    l->damaged += db_fault(rc) == FAULT_DAMAGE;
    if (l->rc == SQLITE_OK) l->rc = rc;
    return false;
}

static void get_values(struct lookup *l, const struct digest *rows, size_t n, char *out,
                       bool *found) {
    struct seen seen;
    l->rc = db_run(&l->s->read, SQL_BEGIN_READ);
    if (l->rc == SQLITE_OK) l->rc = find_record(l->s, l->record, &seen);
    if (l->rc == SQLITE_OK && seen.there) {
        l->id = seen.id;
        for (size_t i = 0; i < n; i++)
            found[i] = get_value(l, &rows[i], out + i * l->bytes);
    }
    db_run(&l->s->read, SQL_COMMIT);
}

size_t store_get(struct store *s, struct digest record, const struct digest *rows,
                 size_t n, size_t bytes, char *out, bool *found) {
    if (n == 0) return 0;
    memset(found, 0, n * sizeof *found);
    if (!s) return 0;
    struct lookup l = {.s = s, .record = record, .bytes = bytes};
    pthread_mutex_lock(&s->reading);
    get_values(&l, rows, n, out, found);
    pthread_mutex_unlock(&s->reading);
    if (l.rc != SQLITE_OK) store_fault(s, l.rc);
    if (l.nstale) queue_touch(s, record, l.stale, l.nstale);
    mem_free(l.stale);
    store_count(s, l.hits, n - l.hits, l.damaged);
    return l.hits;
}

// ---- claims --------------------------------------------------------------------------
bool store_claim(struct store *s, struct digest record, struct digest row) {
    if (!s || !s->locks || !store_writes(s)) return true;
    if (lock_take(s->locks, digest_join(record, row), LOCK_EXCLUSIVE)) return true;
    pthread_mutex_lock(&s->state);
    s->counts.waited++;
    pthread_mutex_unlock(&s->state);
    return false;
}

void store_release(struct store *s, struct digest record, const struct digest *rows,
                   size_t n) {
    if (!s || !s->locks) return;
    for (size_t i = 0; i < n; i++) lock_drop(s->locks, digest_join(record, rows[i]));
}

// ---- contents of files ---------------------------------------------------------------
static bool get_content(struct lookup *l, const struct digest *stamp,
                        struct digest *out) {
    int rc;
    struct digest content, sum;
    bool found = false;
    sqlite3_stmt *st = db_statement(&l->s->read, SQL_CONTENT_GET, &rc);
    if (st) {
        db_bind_digest(st, 1, stamp);
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
            found = db_digest(st, 0, &content) && db_digest(st, 2, &sum) &&
                    digest_eq(sum, content_sum(*stamp, content));
            if (found && sqlite3_column_int64(st, 1) < l->s->today) note_stale(l, *stamp);
            if (found) *out = content;
            l->damaged += !found;
        }
        sqlite3_reset(st);
    }
    if (db_fault(rc) != FAULT_NONE && l->rc == SQLITE_OK) l->rc = rc;
    return found;
}

void store_contents_get(struct store *s, const struct digest *stamps, size_t n,
                        struct digest *contents, bool *found) {
    if (n == 0) return;
    memset(found, 0, n * sizeof *found);
    if (!s) return;
    struct lookup l = {.s = s};
    pthread_mutex_lock(&s->reading);
    l.rc = db_run(&s->read, SQL_BEGIN_READ);
    for (size_t i = 0; i < n && l.rc == SQLITE_OK; i++)
        found[i] = get_content(&l, &stamps[i], &contents[i]);
    db_run(&s->read, SQL_COMMIT);
    pthread_mutex_unlock(&s->reading);
    if (l.rc != SQLITE_OK) store_fault(s, l.rc);
    if (l.nstale) queue_touch_contents(s, l.stale, l.nstale);
    mem_free(l.stale);
    store_count(s, 0, 0, l.damaged);
}
