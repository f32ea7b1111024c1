// See stage.h. A worker takes the next chunk of rows, fills the leaf slots (decoding as
// it goes, while other workers compute), calls the steps in order, and hands the slots to
// their sinks: a column at once, a save when the chunks before have been saved. Nothing a
// chunk computes depends on how many rows it has or who computes it, so chunks are as
// long as takes about half a second, in whole calls of the function that most of the work
// is in.
#include "runtime/stage.h"

#include "runtime/call.h"
#include "runtime/pool.h"
#include "runtime/profile.h"

#include <pthread.h>
#include <unistd.h>

#define CHUNK_BYTES   ((size_t)1 << 20)  // of slots, about
#define CALL_BYTES    ((size_t)64 << 20) // of slots, where a call takes so many rows
#define CHUNK_ROWS    ((size_t)64)
#define CHUNK_SECONDS 0.5
#define SLOW_FLOPS    2e10 // a second: a guess until the first chunk is done
#define SLACK         64   // vector loads may run past the end of a slot

struct shared { // what the workers of a stage share; under the lock where it says so
    const struct stage_run *run;
    size_t most; // rows of a chunk
    size_t call; // rows of a call, at most that
    size_t workers;
    pthread_mutex_t lock;
    pthread_cond_t turned;
    double row_seconds;     // lately; lock
    size_t next;            // row to take; lock
    size_t turn;            // row to save; lock
    struct stage_done done; // lock
    struct failure {        // of the first chunk in order that failed; lock
        bool any;
        size_t first;
        struct span span;
        bool no_memory;
        char message[1024], help[256];
    } failure;
};

struct worker {
    struct shared *shared;
    struct decoder *decoder;
    char *arena;         // of tensor functions
    char **slots;        // one block a slot
    char **in, **out;    // arguments of the step at hand
    struct diags *d;     // where errors of the chunk at hand go
    size_t first, n;     // of the chunk, in the stage's list of rows
    uint32_t *rows;      // being computed, and
    size_t nrows;        //   how many: those of the chunk that are left to do
    struct digest *keys; // theirs; of remembered columns
    char *values;        // looked up, or to be published
    bool *found;
    struct profile_lane *lane; // may be NULL
};

// ---- leaves --------------------------------------------------------------------------
static bool stopping(const struct shared *s) {
    return s->run->stop && atomic_load_explicit(s->run->stop, memory_order_relaxed);
}

static bool changed(struct worker *w, uint32_t rowset, size_t at) {
    const struct rowset *r = &w->shared->run->rowsets->at[rowset];
    char name[512];
    reader_row_name(r->reader, at, name, sizeof name);
    diag_error(w->d, w->shared->run->plan->rowsets[rowset].span,
               "%s was changed while ddg was running", name);
    return diag_help(w->d, "run again: only what depends on it is computed anew");
}

// What a value is remembered by was found out before its pixels are read.
static bool load_row(struct worker *w, uint32_t rowset, size_t row, uint8_t *pixels) {
    const struct rowset *r = &w->shared->run->rowsets->at[rowset];
    char why[512];
    struct digest content;
    size_t at = reader_row(r, row);
    if (!reader_load(r->reader, w->decoder, at, pixels, &content, why, sizeof why)) {
        diag_error(w->d, w->shared->run->plan->rowsets[rowset].span, "%s", why);
        w->d->no_memory |= decoder_no_memory(w->decoder);
        if (w->d->no_memory) return false;
        return diag_help(w->d, "on_error = \"skip\" leaves such files out");
    }
    bool same = !r->known[row] || digest_eq(r->keys[row], reader_key(r->reader, content));
    return same || changed(w, rowset, at);
}

static bool fill_pixels(struct worker *w, const struct plan_slot *s, size_t row,
                        char *out, size_t last) {
    if (row != last) return load_row(w, s->rowset, row, (uint8_t *)out);
    memcpy(out, out - s->row_bytes, s->row_bytes); // crops of one image, in a row
    return true;
}

static void put_i32(char *out, size_t v) {
    int32_t i = (int32_t)v;
    memcpy(out, &i, sizeof i);
}

static bool fill_row(struct worker *w, const struct plan_slot *s, size_t q, size_t row,
                     size_t last, char *out) {
    const struct rowsets *r = w->shared->run->rowsets;
    const struct plan *p = w->shared->run->plan;
    struct digest key;
    switch (s->kind) {
    case LEAF_PIXELS: return fill_pixels(w, s, row, out, last);
    case LEAF_CLASS: put_i32(out, rowset_class(r, s->rowset, row)); return true;
    case LEAF_NTH: put_i32(out, row % p->rowsets[s->rowset].factor); return true;
    case LEAF_SUBROW: put_i32(out, q % s->mult); return true;
    case LEAF_COLUMN:
        CHECK(r->columns[s->column].have[row]);
        memcpy(out, r->columns[s->column].values + row * s->row_bytes, s->row_bytes);
        return true;
    case LEAF_KEY:
        key = rowset_key(r, s->rowset, row);
        memcpy(out, &key, sizeof key);
        return true;
    }
    BUG("no such leaf");
}

static bool fill_leaf(struct worker *w, size_t slot) {
    const struct stage_run *run = w->shared->run;
    const struct plan_slot *s = &run->stage->slots[slot];
    // Subrows count within the stage's rows; all else belongs to a row of s->rowset.
    size_t mult = rowset_mult(run->rowsets, run->stage->rowset, s->rowset);
    size_t each = s->mult / mult, last = SIZE_MAX;
    for (size_t i = 0; i < w->nrows * s->mult; i++) {
        size_t q = w->rows[i / s->mult] * s->mult + i % s->mult, row = 0;
        if (s->kind != LEAF_SUBROW)
            row = rowset_ancestor(run->rowsets, run->stage->rowset, q / each, s->rowset);
        if (!fill_row(w, s, q, row, last, w->slots[slot] + i * s->row_bytes))
            return false;
        last = row;
    }
    return true;
}

static bool fill_leaves(struct worker *w) {
    const struct plan_stage *s = w->shared->run->stage;
    for (size_t i = 0; i < s->nslots; i++)
        if (s->slots[i].leaf && !fill_leaf(w, i)) return false;
    return true;
}

// ---- steps ---------------------------------------------------------------------------
// Rows that share every argument of lower multiplicity; calls do not straddle them.
static size_t unit_of(const struct plan_stage *s, const struct plan_step *step,
                      size_t rows) {
    size_t unit = rows;
    for (size_t i = 0; i < step->nin; i++) {
        size_t mult = s->slots[step->in[i]].mult;
        if (mult < step->mult) unit = size_min(unit, step->mult / mult);
    }
    return unit;
}

static char *slot_at(const struct worker *w, uint32_t slot, size_t mult, size_t row) {
    const struct plan_slot *s = &w->shared->run->stage->slots[slot];
    size_t at = s->mult >= mult ? row * (s->mult / mult) : row / (mult / s->mult);
    return w->slots[slot] + at * s->row_bytes;
}

static bool run_step(struct worker *w, const struct plan_step *step) {
    const struct plan *p = w->shared->run->plan;
    const struct plan_func *f = &p->funcs[step->func];
    size_t rows = w->nrows * step->mult;
    size_t unit = unit_of(w->shared->run->stage, step, rows);
    timeline_kernel(w->shared->run->times);
    for (size_t row = 0; row < rows && !stopping(w->shared);) {
        size_t n = size_min(f->batch, unit - row % unit);
        for (size_t i = 0; i < step->nin; i++)
            w->in[i] = slot_at(w, step->in[i], step->mult, row);
        for (size_t i = 0; i < step->nout; i++)
            w->out[i] = slot_at(w, step->out[i], step->mult, row);
        if (!call_func(p, f, w->arena, w->in, w->out, n, row % unit == 0, w->lane))
            return diag_no_memory(w->d, NO_SPAN);
        row += n;
    }
    return true;
}

// ---- columns -------------------------------------------------------------------------
static size_t value_bytes(const struct stage_run *run) {
    return run->plan->columns[run->stage->target].row_bytes;
}

static void keep_row(struct worker *w, uint32_t row, const char *value) {
    const struct stage_run *run = w->shared->run;
    struct kept_column *c = &run->rowsets->columns[run->stage->target];
    memcpy(c->values + row * value_bytes(run), value, value_bytes(run));
    c->have[row] = 1;
}

static void keep_column(struct worker *w) {
    const struct stage_run *run = w->shared->run;
    const char *values = w->slots[run->stage->sinks[0].slot];
    for (size_t i = 0; i < w->nrows; i++)
        keep_row(w, w->rows[i], values + i * value_bytes(run));
}

static const struct digest *record_key(const struct stage_run *run) {
    return &run->plan->columns[run->stage->target].memo->record.key;
}

// The rows of the chunk that nobody else is computing.
static void claim_rows(struct worker *w) {
    const struct stage_run *run = w->shared->run;
    w->nrows = 0;
    for (size_t i = w->first; i < w->first + w->n; i++) {
        run->left[i] = !store_claim(run->store, *record_key(run), run->keys[i]);
        if (run->left[i]) continue;
        w->keys[w->nrows] = run->keys[i];
        w->rows[w->nrows++] = run->rows[i];
    }
}

// Others may have computed some between the first look and the claim.
static size_t take_found(struct worker *w) {
    const struct stage_run *run = w->shared->run;
    size_t n = w->nrows, bytes = value_bytes(run);
    size_t hits =
        store_get(run->store, *record_key(run), w->keys, n, bytes, w->values, w->found);
    if (!hits) return 0;
    w->nrows = 0;
    for (size_t i = 0; i < n; i++) {
        if (w->found[i]) {
            keep_row(w, w->rows[i], w->values + i * bytes);
            store_release(run->store, *record_key(run), &w->keys[i], 1);
            continue;
        }
        w->keys[w->nrows] = w->keys[i];
        w->rows[w->nrows++] = w->rows[i];
    }
    return hits;
}

static void publish(struct worker *w, double seconds) {
    const struct stage_run *run = w->shared->run;
    store_put(run->store, *record_key(run), w->keys, w->nrows, value_bytes(run),
              w->slots[run->stage->sinks[0].slot], seconds);
}

// ---- saves ---------------------------------------------------------------------------
static bool save_rows(struct worker *w) {
    const struct stage_run *run = w->shared->run;
    struct save_chunk c = {.first = w->rows[0], .rows = w->nrows};
    for (size_t i = 0; i < run->stage->nsinks; i++) {
        const struct plan_sink *k = &run->stage->sinks[i];
        void *at = w->slots[k->slot];
        switch (k->role) {
        case SINK_PIXELS: c.pixels = at; break;
        case SINK_LABELS: c.labels = at; break;
        case SINK_BOXES: c.boxes = at; break;
        case SINK_MAPS: c.maps = at; break;
        case SINK_VALUES: c.values = at; break;
        case SINK_COLUMN: BUG("a save keeps no column");
        }
    }
    return save_chunk(run->saves, run->stage->target, &c, w->decoder, w->d);
}

// Waits for the chunks before, then saves. A chunk behind one that failed or that was
// dropped is dropped.
static bool save_in_turn(struct worker *w) {
    struct shared *s = w->shared;
    pthread_mutex_lock(&s->lock);
    while (s->turn != w->first && !s->done.stopped &&
           !(s->failure.any && s->failure.first < w->first))
        pthread_cond_wait(&s->turned, &s->lock);
    bool mine = s->turn == w->first;
    pthread_mutex_unlock(&s->lock);
    profile_lap(w->lane, PROFILE_TURN);
    if (!mine) return true;
    if (!save_rows(w)) return false;
    profile_lap(w->lane, PROFILE_SAVE);
    pthread_mutex_lock(&s->lock);
    s->turn += w->n;
    pthread_cond_broadcast(&s->turned);
    pthread_mutex_unlock(&s->lock);
    return true;
}

// ---- gathering -----------------------------------------------------------------------
static const char *sink_slot(const struct worker *w, enum sink_role role) {
    const struct plan_stage *s = w->shared->run->stage;
    for (size_t i = 0; i < s->nsinks; i++)
        if (s->sinks[i].role == role) return w->slots[s->sinks[i].slot];
    return NULL;
}

// Rows have places of their own, so no chunk waits for another.
static void gather_rows(struct worker *w) {
    const struct gather *g = w->shared->run->gather;
    const char *images = sink_slot(w, SINK_PIXELS), *labels = sink_slot(w, SINK_LABELS);
    CHECK(images && !labels == !g->label_bytes);
    for (size_t i = 0; i < w->nrows; i++)
        gather_put(g, w->rows[i], images + i * g->image_bytes,
                   labels ? labels + i * g->label_bytes : NULL);
}

// ---- chunks --------------------------------------------------------------------------
static bool compute_rows(struct worker *w) {
    const struct plan_stage *stage = w->shared->run->stage;
    struct timeline *times = w->shared->run->times;
    double began = timeline_now(times);
    if (!fill_leaves(w)) return false;
    timeline_add(times, began, "read rows of", stage->name);
    profile_lap(w->lane, PROFILE_READ);
    for (size_t i = 0; i < stage->nsteps; i++)
        if (!run_step(w, &stage->steps[i])) return false;
    return true;
}

static void drop_chunk(struct worker *w) {
    struct shared *s = w->shared;
    if (s->run->store)
        store_release(s->run->store, *record_key(s->run), w->keys, w->nrows);
    pthread_mutex_lock(&s->lock);
    s->done.stopped = true;
    pthread_cond_broadcast(&s->turned);
    pthread_mutex_unlock(&s->lock);
}

static void chunk_done(struct worker *w, size_t found, double seconds) {
    struct shared *s = w->shared;
    pthread_mutex_lock(&s->lock);
    s->done.found += found;
    s->done.computed += w->nrows;
    if (w->nrows) s->row_seconds = seconds / (double)w->nrows;
    if (s->run->progress)
        s->run->progress(s->run->progress_ctx, s->done.found + s->done.computed);
    pthread_mutex_unlock(&s->lock);
}

static bool run_chunk(struct worker *w) {
    const struct stage_run *run = w->shared->run;
    double start = clock_seconds();
    size_t found = 0;
    profile_chunk(w->lane, run->stage->name);
    w->nrows = w->n;
    memcpy(w->rows, run->rows + w->first, w->n * sizeof *w->rows);
    if (run->store) {
        claim_rows(w);
        found = take_found(w);
        profile_lap(w->lane, PROFILE_STORE);
    }
    bool ok = w->nrows == 0 || compute_rows(w);
    if (!ok && run->store) store_release(run->store, *record_key(run), w->keys, w->nrows);
    if (!ok) return false;
    if (stopping(w->shared)) {
        drop_chunk(w);
        return true;
    }
    double seconds = clock_seconds() - start;
    if (run->gather) gather_rows(w);
    else if (run->stage->saves) ok = save_in_turn(w);
    else keep_column(w);
    if (run->store && w->nrows) {
        profile_lap(w->lane, PROFILE_REST);
        publish(w, seconds);
        profile_lap(w->lane, PROFILE_STORE);
    }
    chunk_done(w, found, seconds);
    profile_chunk_done(w->lane, w->nrows);
    return ok;
}

// So many rows as take half a second, but enough chunks for every worker to have several;
// the last ones are shared out evenly, rather than fall short of a call one after
// another.
static size_t chunk_rows(const struct shared *s) {
    double rows = CHUNK_SECONDS / s->row_seconds;
    size_t left = s->run->nrows - s->next, n = s->most;
    if (rows < (double)n) n = size_max(s->call, (size_t)rows);
    size_t share = (left + s->workers * 2 - 1) / (s->workers * 2);
    size_t even = (left + s->workers - 1) / s->workers;
    n = size_min(n, size_max(share, size_min(s->call, even)));
    return n > s->call ? n - n % s->call : n;
}

static bool take_chunk(struct worker *w) {
    struct shared *s = w->shared;
    pthread_mutex_lock(&s->lock);
    bool more = !s->failure.any && s->next < s->run->nrows;
    if (more && stopping(s)) {
        s->done.stopped = true;
        more = false;
    }
    if (more) {
        w->first = s->next;
        w->n = size_min(chunk_rows(s), s->run->nrows - s->next);
        s->next += w->n;
    }
    pthread_mutex_unlock(&s->lock);
    return more;
}

// Keeps the error of the first chunk in order, whichever thread meets one first.
static void chunk_failed(struct shared *s, size_t first, const struct diag *why,
                         bool no_memory) {
    pthread_mutex_lock(&s->lock);
    struct failure *f = &s->failure;
    if (!f->any || first < f->first) {
        *f = (struct failure){
            .any = true, .first = first, .span = why->span, .no_memory = no_memory};
        snprintf(f->message, sizeof f->message, "%s", why->message);
        snprintf(f->help, sizeof f->help, "%s", why->help ? why->help : "");
    }
    pthread_cond_broadcast(&s->turned);
    pthread_mutex_unlock(&s->lock);
}

// ---- memory --------------------------------------------------------------------------
// What one worker allocates; SIZE_MAX when that is not a number.
static size_t slot_bytes(const struct plan_slot *slot, size_t rows) {
    size_t bytes;
    if (slot->view) return 0;
    bool fits = size_mul(slot->row_bytes, slot->mult, &bytes) &&
                size_mul(bytes, rows, &bytes) && bytes < SIZE_MAX / 2;
    return fits ? size_align(bytes + SLACK, 64) : SIZE_MAX;
}

static size_t arena_bytes(const struct stage_run *run) {
    size_t bytes = SLACK;
    for (size_t i = 0; i < run->stage->nsteps; i++)
        bytes = size_max(bytes, run->plan->funcs[run->stage->steps[i].func].arena_bytes);
    return size_align(bytes + SLACK, 64);
}

static size_t worker_bytes(const struct stage_run *run, size_t rows) {
    size_t bytes = arena_bytes(run);
    for (size_t i = 0; i < run->stage->nslots; i++)
        if (!size_add(bytes, slot_bytes(&run->stage->slots[i], rows), &bytes))
            return SIZE_MAX;
    return bytes;
}

static bool slots_alloc(struct worker *w) {
    const struct plan_stage *s = w->shared->run->stage;
    for (size_t i = 0; i < s->nslots; i++) {
        const struct plan_slot *k = &s->slots[i];
        w->slots[i] =
            k->view ? w->slots[k->of] : mem_aligned(slot_bytes(k, w->shared->most));
        if (!w->slots[i]) return false;
    }
    return true;
}

static bool chunk_alloc(struct worker *w) {
    const struct stage_run *run = w->shared->run;
    size_t most = w->shared->most;
    w->rows = mem_zalloc(most, sizeof *w->rows);
    w->keys = mem_zalloc(most, sizeof *w->keys);
    w->found = mem_zalloc(most, sizeof *w->found);
    if (run->store) w->values = mem_zalloc(most, value_bytes(run));
    return w->rows && w->keys && w->found && (w->values || !run->store);
}

static bool worker_init(struct worker *w) {
    const struct plan_stage *s = w->shared->run->stage;
    size_t nin = 1, nout = 1;
    for (size_t i = 0; i < s->nsteps; i++) {
        nin = size_max(nin, s->steps[i].nin);
        nout = size_max(nout, s->steps[i].nout);
    }
    w->decoder = decoder_new();
    w->arena = mem_aligned(arena_bytes(w->shared->run));
    w->slots = mem_zalloc(s->nslots + 1, sizeof *w->slots);
    w->in = mem_zalloc(nin, sizeof *w->in);
    w->out = mem_zalloc(nout, sizeof *w->out);
    return w->decoder && w->arena && w->slots && w->in && w->out && slots_alloc(w) &&
           chunk_alloc(w);
}

static void worker_free(struct worker *w) {
    for (size_t i = 0; w->slots && i < w->shared->run->stage->nslots; i++)
        if (!w->shared->run->stage->slots[i].view) mem_free(w->slots[i]);
    mem_free(w->slots);
    mem_free(w->rows);
    mem_free(w->keys);
    mem_free(w->found);
    mem_free(w->values);
    mem_free(w->in);
    mem_free(w->out);
    mem_free(w->arena);
    decoder_free(w->decoder);
}

// ---- workers' lives ------------------------------------------------------------------
static void out_of_memory(struct shared *s, size_t first) {
    chunk_failed(s, first, &(struct diag){.message = "out of memory"}, true);
}

static void run_chunks(struct worker *w, struct arena *arena) {
    struct diags d;
    diags_init(&d, arena);
    w->d = &d;
    while (take_chunk(w)) {
        if (run_chunk(w)) continue;
        CHECK(d.list.n > 0);
        chunk_failed(w->shared, w->first, &d.list.at[0], d.no_memory);
        return;
    }
}

struct life { // of a worker
    struct worker w;
    size_t which;
    struct arena *arena; // of words about an error
};

// A worker without memory leaves the work to the others; the first must have it.
static void live(void *ctx) {
    struct life *l = ctx;
    l->arena = arena_new();
    if (l->arena && worker_init(&l->w)) run_chunks(&l->w, l->arena);
    else if (l->which == 0) out_of_memory(l->w.shared, 0);
}

// However a worker ends, the others hear of it.
static void work(void *ctx, size_t which) {
    struct shared *s = ctx;
    struct life l = {.w = {.shared = s}, .which = which};
    l.w.lane = profile_lane(s->run->profile, which);
    struct scope scope = scope_same();
    enum scope_end end = scope_run(&scope, live, &l);
    if (end == SCOPE_BUG || (end == SCOPE_NO_MEMORY && (l.w.n || which == 0)))
        out_of_memory(ctx, l.w.first);
    worker_free(&l.w);
    arena_free(l.arena);
    if (end == SCOPE_BUG) scope_raise(&scope);
}

double stage_flops(const struct plan *p, const struct plan_stage *s) {
    double flops = 0;
    for (size_t i = 0; i < s->nsteps; i++)
        flops += p->funcs[s->steps[i].func].flops * (double)s->steps[i].mult;
    return flops;
}

// Rows of the stage that fill a call of the function that most of the work is in.
static size_t call_rows(const struct stage_run *s) {
    double most = 0;
    size_t rows = 1;
    for (size_t i = 0; i < s->stage->nsteps; i++) {
        const struct plan_step *step = &s->stage->steps[i];
        const struct plan_func *f = &s->plan->funcs[step->func];
        if (f->flops * (double)step->mult <= most) continue;
        most = f->flops * (double)step->mult;
        rows = (f->batch + step->mult - 1) / step->mult;
    }
    return rows;
}

static size_t slots_bytes(const struct stage_run *s, size_t rows) {
    return worker_bytes(s, rows) - arena_bytes(s);
}

// Small enough to stay in cache, but enough for a call.
static void choose_rows(const struct stage_run *s, struct shared *shared) {
    size_t call = call_rows(s), most = CHUNK_ROWS;
    while (call > 1 && slots_bytes(s, call) > CALL_BYTES) call /= 2;
    while (most > 1 && slots_bytes(s, most) > CHUNK_BYTES) most /= 2;
    shared->call = size_max(1, size_min(call, s->nrows));
    shared->most = size_max(1, size_min(size_max(most, call), s->nrows));
}

// As many workers as the machine's memory takes; 0 when it does not take one.
static size_t worker_count(const struct stage_run *s, const struct shared *shared) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t memory = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;
    size_t most = memory / worker_bytes(s, shared->most);
    return size_min(most, size_max(1, size_min(s->threads, s->nrows)));
}

static bool too_large(const struct stage_run *s, struct diags *d) {
    size_t bytes = worker_bytes(s, 1);
    struct span span = s->plan->rowsets[s->stage->rowset].span;
    if (bytes == SIZE_MAX)
        return diag_error(d, span, "one row of this takes more memory than there can be");
    return diag_error(
        d, span, "one row of this takes %.1f GB of memory, more than this machine has",
        (double)bytes / 1e9);
}

bool stage_run(const struct stage_run *s, struct stage_done *done, struct diags *d) {
    struct shared shared = {
        .run = s, .row_seconds = (1 + stage_flops(s->plan, s->stage)) / SLOW_FLOPS};
    choose_rows(s, &shared);
    shared.workers = worker_count(s, &shared);
    if (!shared.workers) return too_large(s, d);
    pthread_mutex_init(&shared.lock, NULL);
    pthread_cond_init(&shared.turned, NULL);
    double began = timeline_now(s->times), start = clock_seconds();
    pool_run(shared.workers, work, &shared);
    profile_stage(s->profile, shared.workers, clock_seconds() - start);
    timeline_add(s->times, began, "compute", s->stage->name);
    pthread_cond_destroy(&shared.turned);
    pthread_mutex_destroy(&shared.lock);
    *done = shared.done;
    const struct failure *f = &shared.failure;
    if (!f->any) return !done->stopped;
    diag_error(d, f->span, "%s", f->message);
    d->no_memory |= f->no_memory;
    return diag_help(d, f->help[0] ? "%s" : NULL, f->help);
}
