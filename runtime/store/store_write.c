// What is written: values, contents of files, and the days on which they were used. See
// store.h and store_impl.h.
//
// The caller's part is to copy what it has into a job and queue it. The store's thread
// takes all jobs there are and writes them in one transaction: large values first, as
// blobs, then the rows, then the records with their new totals. Only then are the claims
// given up, so that who waited for one finds the value. A store in memory has no thread;
// there the job is written at once.
#include "runtime/store/store_impl.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#define QUEUE_BYTES    ((size_t)16 << 20) // more than so much waiting: store_put waits
#define BEGIN_ATTEMPTS 3                  // of the busy timeout each

enum job_kind {
    JOB_VALUES,
    JOB_FORGET,
    JOB_CONTENTS,
    JOB_TOUCH,
    JOB_TOUCH_RECORD,
    JOB_TOUCH_CONTENTS
};

struct job {
    struct job *next;
    enum job_kind kind;
    struct digest record;
    size_t n, bytes; // rows (or stamps), and of each value
    double seconds;
    size_t held;           // bytes of memory
    struct digest *second; // contents, or the names of blobs
    char *values;
    struct digest rows[];
};

// ---- jobs ----------------------------------------------------------------------------
static struct job *job_new(enum job_kind kind, const struct digest *rows, size_t n,
                           bool second, size_t bytes) {
    size_t digests, values, held;
    if (!size_mul(n, sizeof *rows * (second ? 2 : 1), &digests)) return NULL;
    if (!size_mul(n, bytes, &values) || !size_add(digests, values, &held)) return NULL;
    if (!size_add(held, sizeof(struct job), &held)) return NULL;
    struct job *j = mem_alloc(held);
    if (!j) return NULL;
    *j = (struct job){.kind = kind, .n = n, .bytes = bytes, .held = held};
    if (n) memcpy(j->rows, rows, n * sizeof *rows);
    j->second = second ? j->rows + n : NULL;
    j->values = (char *)j->rows + digests;
    return j;
}

static void jobs_done(struct store *s, struct job *jobs, bool written) {
    uint64_t values = 0;
    for (struct job *j = jobs, *next; j; j = next) {
        next = j->next;
        if (j->kind == JOB_VALUES) {
            store_release(s, j->record, j->rows, j->n);
            values += j->n;
        }
        mem_free(j);
    }
    pthread_mutex_lock(&s->state);
    s->counts.written += written ? values : 0;
    s->wrote |= written && values;
    pthread_mutex_unlock(&s->state);
}

// ---- one transaction -----------------------------------------------------------------
struct touched { // a record whose totals change
    int64_t id;
    struct store_record record;
};

struct batch {
    struct store *s;
    struct db *db;
    struct arena *a;
    const struct job *jobs;
    VEC(struct touched) records;
};

// The words are lost, or were never there: those of this process, and what there is.
static int describe(struct batch *b, struct touched *t,
                    const struct store_record *words) {
    int rc;
    sqlite3_stmt *st = db_statement(b->db, SQL_VALUE_TOTAL, &rc);
    if (!st) return rc;
    sqlite3_bind_int64(st, 1, t->id);
    rc = sqlite3_step(st);
    t->record = *words;
    t->record.created = b->s->today;
    if (rc == SQLITE_ROW) {
        t->record.rows = t->record.computed = (uint64_t)sqlite3_column_int64(st, 0);
        t->record.bytes = (uint64_t)sqlite3_column_int64(st, 1);
    }
    sqlite3_reset(st);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int add_record(struct batch *b, const struct digest *key, int64_t *id) {
    int rc;
    sqlite3_stmt *st = db_statement(b->db, SQL_RECORD_ADD, &rc);
    if (!st) return rc;
    db_bind_digest(st, 1, key);
    sqlite3_bind_int64(st, 2, b->s->today);
    rc = db_finish(st);
    *id = sqlite3_last_insert_rowid(b->db->h);
    return rc;
}

static int load_record(struct batch *b, const struct digest *key, struct touched *t) {
    int rc;
    struct digest sum;
    sqlite3_stmt *st = db_statement(b->db, SQL_RECORD_GET, &rc);
    if (!st) return rc;
    db_bind_digest(st, 1, key);
    rc = sqlite3_step(st);
    bool decoded = false;
    if (rc == SQLITE_ROW) {
        t->id = sqlite3_column_int64(st, 0);
        const char *body = sqlite3_column_blob(st, 3);
        size_t n = (size_t)sqlite3_column_bytes(st, 3);
        decoded =
            db_digest(st, 2, &sum) && store_decode(*key, body, n, &sum, b->a, &t->record);
    }
    sqlite3_reset(st);
    struct store_record words;
    CHECK(store_used(b->s, *key, &words)); // store_use comes before store_put
    if (decoded && t->record.flops <= 0) t->record.flops = words.flops;
    if (decoded) return SQLITE_OK;
    if (rc == SQLITE_DONE) rc = add_record(b, key, &t->id);
    if (rc != SQLITE_OK && rc != SQLITE_ROW) return rc;
    return describe(b, t, &words);
}

static int batch_record(struct batch *b, const struct digest *key, struct touched **out) {
    for (size_t i = 0; i < b->records.n; i++) {
        *out = &b->records.at[i];
        if (digest_eq((*out)->record.key, *key)) return SQLITE_OK;
    }
    struct touched t = {0};
    int rc = load_record(b, key, &t);
    if (rc != SQLITE_OK) return rc;
    VEC_PUSH(b->a, &b->records, t);
    *out = &b->records.at[b->records.n - 1];
    return SQLITE_OK;
}

static int save_record(struct batch *b, const struct touched *t) {
    int rc;
    char *body;
    size_t n;
    record_encode(&t->record, b->a, &body, &n);
    if (n > RECORD_MAX_BYTES) return SQLITE_TOOBIG;
    struct digest sum = record_sum(t->record.key, body, n);
    sqlite3_stmt *st = db_statement(b->db, SQL_RECORD_SET, &rc);
    if (!st) return rc;
    sqlite3_bind_int64(st, 1, t->id);
    sqlite3_bind_int64(st, 2, b->s->today);
    db_bind_digest(st, 3, &sum);
    sqlite3_bind_blob64(st, 4, body, n, SQLITE_STATIC);
    return db_finish(st);
}

// What was there before comes off the totals.
static int subtract_old(struct batch *b, struct touched *t, const struct digest *row) {
    int rc;
    sqlite3_stmt *st = db_statement(b->db, SQL_VALUE_SIZE, &rc);
    if (!st) return rc;
    sqlite3_bind_int64(st, 1, t->id);
    db_bind_digest(st, 2, row);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        uint64_t size = (uint64_t)sqlite3_column_int64(st, 0);
        t->record.rows -= t->record.rows > 0;
        t->record.bytes -= size < t->record.bytes ? size : t->record.bytes;
    }
    sqlite3_reset(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int put_value(struct batch *b, struct touched *t, const struct job *j, size_t i) {
    const void *data = j->second ? (void *)&j->second[i] : j->values + i * j->bytes;
    size_t n = j->second ? sizeof *j->second : j->bytes;
    int64_t place = j->second != NULL;
    struct digest sum = value_sum(j->record, j->rows[i], place, j->bytes, data, n);
    int rc = subtract_old(b, t, &j->rows[i]);
    if (rc != SQLITE_OK) return rc;
    sqlite3_stmt *st = db_statement(b->db, SQL_VALUE_PUT, &rc);
    if (!st) return rc;
    sqlite3_bind_int64(st, 1, t->id);
    db_bind_digest(st, 2, &j->rows[i]);
    sqlite3_bind_int64(st, 3, place);
    sqlite3_bind_int64(st, 4, (int64_t)j->bytes);
    sqlite3_bind_int64(st, 5, b->s->today);
    db_bind_digest(st, 6, &sum);
    sqlite3_bind_blob64(st, 7, data, n, SQLITE_STATIC);
    t->record.rows++;
    t->record.bytes += j->bytes;
    return db_finish(st);
}

static int put_values(struct batch *b, const struct job *j) {
    struct touched *t = NULL;
    int rc = batch_record(b, &j->record, &t);
    for (size_t i = 0; i < j->n && rc == SQLITE_OK; i++) rc = put_value(b, t, j, i);
    if (rc != SQLITE_OK) return rc;
    t->record.computed += j->n;
    t->record.seconds += j->seconds;
    return SQLITE_OK;
}

static int forget_value(struct batch *b, struct touched *t, const struct digest *row) {
    int rc = subtract_old(b, t, row);
    if (rc != SQLITE_OK) return rc;
    sqlite3_stmt *st = db_statement(b->db, SQL_VALUE_FORGET, &rc);
    if (!st) return rc;
    sqlite3_bind_int64(st, 1, t->id);
    db_bind_digest(st, 2, row);
    return db_finish(st);
}

static int forget_values(struct batch *b, const struct job *j) {
    struct touched *t = NULL;
    int rc = batch_record(b, &j->record, &t);
    for (size_t i = 0; i < j->n && rc == SQLITE_OK; i++)
        rc = forget_value(b, t, &j->rows[i]);
    return rc;
}

static int put_contents(struct batch *b, const struct job *j) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < j->n && rc == SQLITE_OK; i++) {
        struct digest sum = content_sum(j->rows[i], j->second[i]);
        sqlite3_stmt *st = db_statement(b->db, SQL_CONTENT_PUT, &rc);
        if (!st) return rc;
        db_bind_digest(st, 1, &j->rows[i]);
        db_bind_digest(st, 2, &j->second[i]);
        sqlite3_bind_int64(st, 3, b->s->today);
        db_bind_digest(st, 4, &sum);
        rc = db_finish(st);
    }
    return rc;
}

// ---- days of use ---------------------------------------------------------------------
static int touch_one(struct batch *b, enum sql which, const struct digest *key) {
    int rc;
    sqlite3_stmt *st = db_statement(b->db, which, &rc);
    if (!st) return rc;
    db_bind_digest(st, 1, key);
    sqlite3_bind_int64(st, 2, b->s->today);
    return db_finish(st);
}

static int record_id(struct batch *b, const struct digest *key, int64_t *id) {
    int rc;
    sqlite3_stmt *st = db_statement(b->db, SQL_RECORD_FIND, &rc);
    if (!st) return rc;
    db_bind_digest(st, 1, key);
    rc = sqlite3_step(st);
    *id = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
    sqlite3_reset(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int touch_values(struct batch *b, const struct job *j) {
    int64_t id = 0;
    int rc = record_id(b, &j->record, &id);
    for (size_t i = 0; i < j->n && rc == SQLITE_OK; i++) {
        sqlite3_stmt *st = db_statement(b->db, SQL_VALUE_TOUCH, &rc);
        if (!st) return rc;
        sqlite3_bind_int64(st, 1, id);
        db_bind_digest(st, 2, &j->rows[i]);
        sqlite3_bind_int64(st, 3, b->s->today);
        rc = db_finish(st);
    }
    return rc;
}

static int touch_contents(struct batch *b, const struct job *j) {
    int rc = SQLITE_OK;
    for (size_t i = 0; i < j->n && rc == SQLITE_OK; i++)
        rc = touch_one(b, SQL_CONTENT_TOUCH, &j->rows[i]);
    return rc;
}

// ---- a batch -------------------------------------------------------------------------
static int run_job(struct batch *b, const struct job *j) {
    switch (j->kind) {
    case JOB_VALUES: return put_values(b, j);
    case JOB_FORGET: return forget_values(b, j);
    case JOB_CONTENTS: return put_contents(b, j);
    case JOB_TOUCH: return touch_values(b, j);
    case JOB_TOUCH_RECORD: return touch_one(b, SQL_RECORD_TOUCH, &j->record);
    case JOB_TOUCH_CONTENTS: return touch_contents(b, j);
    }
    return SQLITE_INTERNAL;
}

static int begin(struct db *db) {
    int rc = SQLITE_BUSY;
    for (int i = 0; i < BEGIN_ATTEMPTS && db_fault(rc) == FAULT_BUSY; i++)
        rc = db_run(db, SQL_BEGIN_WRITE);
    return rc;
}

static int run_begun(void *ctx) {
    struct batch *b = ctx;
    int rc = SQLITE_OK;
    b->a = arena_must();
    for (const struct job *j = b->jobs; j && rc == SQLITE_OK; j = j->next)
        rc = run_job(b, j);
    for (size_t i = 0; i < b->records.n && rc == SQLITE_OK; i++)
        rc = save_record(b, &b->records.at[i]);
    return rc == SQLITE_OK ? db_run(b->db, SQL_COMMIT) : rc;
}

static int run_jobs(struct batch *b) {
    int rc = begin(b->db);
    if (rc != SQLITE_OK) return rc;
    rc = db_contain(b->db, run_begun, b);
    arena_free(b->a);
    if (rc != SQLITE_OK) db_run(b->db, SQL_ROLLBACK);
    return rc;
}

static bool write_blobs(struct store *s, const struct job *jobs) {
    for (const struct job *j = jobs; j; j = j->next)
        for (size_t i = 0; j->kind == JOB_VALUES && j->second && i < j->n; i++)
            if (!blob_write(s->folder, j->values + i * j->bytes, j->bytes,
                            &j->second[i])) {
                store_stop_errno(s, errno);
                return false;
            }
    return true;
}

static bool any_blobs(const struct job *jobs) {
    for (const struct job *j = jobs; j; j = j->next)
        if (j->kind == JOB_VALUES && j->second) return true;
    return false;
}

// Under `writing`. True: all of it is on the disk, where the store is.
static bool write_rows(struct store *s, const struct job *jobs) {
    struct batch b = {.s = s, .db = writer_connection(s), .jobs = jobs};
    int rc = b.db ? run_jobs(&b) : SQLITE_CANTOPEN;
    if (rc == SQLITE_OK && store_in_place(s)) return true;
    store_stop(s, rc);
    return false;
}

static void let_blobs(void *s) {
    care_let_blobs(s);
}

static void unlock(void *s) {
    writer_unlock(s);
}

static bool write_batch(struct store *s, const struct job *jobs) {
    struct cleanup locked, kept;
    if (!store_writes(s)) return false;
    writer_lock(s);
    cleanup_push(&locked, unlock, s);
    // So that eviction sees no blob whose row is still to come (store_evict.c).
    bool blobs = any_blobs(jobs);
    if (blobs) care_keep_blobs(s, LOCK_SHARED);
    if (blobs) cleanup_push(&kept, let_blobs, s);
    bool written = write_blobs(s, jobs) && write_rows(s, jobs);
    if (blobs) cleanup_run(&kept);
    cleanup_run(&locked);
    return written;
}

// ---- the connection ------------------------------------------------------------------
void writer_lock(struct store *s) {
    pthread_mutex_lock(&s->writing);
    if (!s->file) pthread_mutex_lock(&s->reading);
}

void writer_unlock(struct store *s) {
    if (!s->file) pthread_mutex_unlock(&s->reading);
    pthread_mutex_unlock(&s->writing);
}

struct db *writer_connection(struct store *s) {
    if (!store_writes(s)) return NULL;
    if (!s->file) return &s->read;
    if (s->write.h) return &s->write;
    int rc = db_open(&s->write, s->file, store_vfs_name(s->vfs), DB_WRITE);
    if (rc == SQLITE_OK && store_in_place(s)) return &s->write;
    store_stop(s, rc);
    return NULL;
}

// ---- the thread ----------------------------------------------------------------------
static struct job *take_jobs(struct store *s) {
    pthread_mutex_lock(&s->state);
    while (!s->first && !s->closing) pthread_cond_wait(&s->more, &s->state);
    struct job *jobs = s->first;
    s->first = NULL;
    s->last = &s->first;
    s->queued = 0;
    s->busy = jobs != NULL;
    pthread_cond_broadcast(&s->less);
    pthread_mutex_unlock(&s->state);
    return jobs;
}

struct taken {
    struct store *s;
    const struct job *jobs;
    bool written;
};

static void write_taken(void *ctx) {
    struct taken *t = ctx;
    t->written = write_batch(t->s, t->jobs);
}

// Who waits for the thread hears of its bug (store_flush); until then nothing is written.
static bool write_guarded(struct store *s, const struct job *jobs) {
    struct taken t = {s, jobs, false};
    struct scope scope = s->scope;
    if (scope_run(&scope, write_taken, &t) == SCOPE_DONE) return t.written;
    store_stop(s, scope.end == SCOPE_BUG ? SQLITE_INTERNAL : SQLITE_NOMEM);
    pthread_mutex_lock(&s->state);
    if (scope.end == SCOPE_BUG) s->bug = scope;
    pthread_mutex_unlock(&s->state);
    return false;
}

static void *writer_main(void *arg) {
    struct store *s = arg;
    for (struct job *jobs; (jobs = take_jobs(s));) {
        jobs_done(s, jobs, write_guarded(s, jobs));
        pthread_mutex_lock(&s->state);
        s->busy = false;
        pthread_cond_broadcast(&s->less);
        pthread_mutex_unlock(&s->state);
    }
    return NULL;
}

// Signals are the business of the thread that runs the store's user.
static bool start_thread(struct store *s) {
    sigset_t all, before;
    sigfillset(&all);
    if (s->running) return true;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->running = pthread_create(&s->thread, NULL, writer_main, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->running;
}

void writer_stop(struct store *s) {
    pthread_mutex_lock(&s->state);
    bool running = s->running;
    s->closing = true;
    pthread_cond_broadcast(&s->more);
    pthread_mutex_unlock(&s->state);
    if (running) pthread_join(s->thread, NULL);
}

// Where there is no thread, or none is to be had, the caller does its work.
static bool enqueue(struct store *s, struct job *j, bool wait) {
    if (!s->file) return false;
    pthread_mutex_lock(&s->state);
    bool queue = start_thread(s);
    while (queue && wait && s->first && s->queued + j->held > QUEUE_BYTES)
        pthread_cond_wait(&s->less, &s->state);
    if (queue) {
        *s->last = j;
        s->last = &j->next;
        s->queued += j->held;
        pthread_cond_signal(&s->more);
    }
    pthread_mutex_unlock(&s->state);
    return queue;
}

static void submit(struct store *s, struct job *j, bool wait) {
    if (!enqueue(s, j, wait)) jobs_done(s, j, write_batch(s, j));
}

// ---- what the callers see ------------------------------------------------------------
static bool large(const struct store *s, size_t bytes) {
    return s->file && bytes >= STORE_LARGE;
}

void store_put(struct store *s, struct digest record, const struct digest *rows, size_t n,
               size_t bytes, const char *values, double seconds) {
    if (!s) return;
    CHECK(store_used(s, record, NULL));
    struct job *j = NULL;
    if (store_writes(s)) j = job_new(JOB_VALUES, rows, n, large(s, bytes), bytes);
    if (!j) { // for reading only, or no memory: the values are computed again some day
        if (store_writes(s)) store_say(s, "there was no memory to store some results");
        store_release(s, record, rows, n);
        return;
    }
    j->record = record;
    j->seconds = seconds;
    if (n && bytes) memcpy(j->values, values, n * bytes);
    submit(s, j, true);
}

void store_contents_put(struct store *s, const struct digest *stamps, size_t n,
                        const struct digest *contents) {
    if (!s || !store_writes(s) || n == 0) return;
    struct job *j = job_new(JOB_CONTENTS, stamps, n, true, 0);
    if (!j) return;
    memcpy(j->second, contents, n * sizeof *contents);
    submit(s, j, true);
}

static void queue(struct store *s, enum job_kind kind, struct digest record,
                  const struct digest *rows, size_t n) {
    struct job *j = store_writes(s) ? job_new(kind, rows, n, false, 0) : NULL;
    if (!j) return;
    j->record = record;
    submit(s, j, false);
}

void store_forget(struct store *s, struct digest record, const struct digest *rows,
                  size_t n) {
    if (!s) return;
    CHECK(store_used(s, record, NULL));
    queue(s, JOB_FORGET, record, rows, n);
}

void queue_touch(struct store *s, struct digest record, const struct digest *rows,
                 size_t n) {
    queue(s, JOB_TOUCH, record, rows, n);
}

void queue_touch_record(struct store *s, struct digest record) {
    queue(s, JOB_TOUCH_RECORD, record, NULL, 0);
}

void queue_touch_contents(struct store *s, const struct digest *stamps, size_t n) {
    queue(s, JOB_TOUCH_CONTENTS, (struct digest){0}, stamps, n);
}

void store_flush(struct store *s) {
    if (!s) return;
    pthread_mutex_lock(&s->state);
    while (s->first || s->busy) pthread_cond_wait(&s->less, &s->state);
    struct scope bug = s->bug;
    pthread_mutex_unlock(&s->state);
    if (bug.end == SCOPE_BUG) scope_raise(&bug);
}
