// See stage.h. A worker takes the next chunk of rows, fills the leaf slots (decoding as
// it goes, while other workers compute), calls the steps in order, and hands the slots to
// their sinks: columns at once, saves when the chunks before have been saved. Nothing a
// chunk computes depends on how many rows it has or who computes it.
#include "runtime/stage.h"

#include "runtime/call.h"
#include "runtime/pool.h"

#include <pthread.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)1 << 20) // of slots, about
#define CHUNK_ROWS  ((size_t)64)
#define SLACK       64 // vector loads may run past the end of a slot

struct shared { // what the workers of a stage share; under the lock where it says so
    const struct stage_run *run;
    size_t rows, chunk, chunks;
    pthread_mutex_t lock;
    pthread_cond_t turned;
    size_t next;     // chunk to take; lock
    size_t turn;     // chunk to save; lock
    size_t done;     // rows; lock
    struct failure { // of the first chunk in order that failed; lock
        bool any;
        size_t chunk;
        struct span span;
        char message[1024], help[256];
    } failure;
};

#define MEMO 256

struct worker {
    struct shared *shared;
    struct decoder *decoder;
    char *arena;      // of tensor functions
    char **slots;     // one block a slot
    char **in, **out; // arguments of the step at hand
    struct {          // identities of rows read lately
        bool known;
        uint32_t rowset;
        size_t row;
        struct digest key;
    } memo[MEMO];
    struct diags *d; // where errors of the chunk at hand go
    size_t chunk;
};

// ---- leaves ---------------------------------------------------------------------------
static void remember(struct worker *w, uint32_t rowset, size_t row, struct digest key) {
    size_t at = row % MEMO;
    w->memo[at].known = true;
    w->memo[at].rowset = rowset;
    w->memo[at].row = row;
    w->memo[at].key = key;
}

static bool load_row(struct worker *w, uint32_t rowset, size_t row, uint8_t *pixels,
                     struct digest *key) {
    const struct rowset *r = &w->shared->run->rowsets->at[rowset];
    char why[512];
    struct digest content;
    size_t at = r->pick ? r->pick[row] : row;
    if (!reader_load(r->reader, w->decoder, at, pixels, &content, why, sizeof why)) {
        diag_error(w->d, w->shared->run->plan->rowsets[rowset].span, "%s", why);
        return diag_help(w->d, "on_error = \"skip\" leaves such files out");
    }
    *key = reader_key(r->reader, content);
    remember(w, rowset, row, *key);
    return true;
}

static bool key_of_root(void *ctx, uint32_t rowset, size_t row, struct digest *key) {
    struct worker *w = ctx;
    size_t at = row % MEMO;
    if (w->memo[at].known && w->memo[at].rowset == rowset && w->memo[at].row == row) {
        *key = w->memo[at].key;
        return true;
    }
    return load_row(w, rowset, row, NULL, key);
}

static bool fill_pixels(struct worker *w, const struct plan_slot *s, size_t row,
                        char *out, size_t last) {
    if (row == last) { // crops of one image, one behind the other
        memcpy(out, out - s->row_bytes, s->row_bytes);
        return true;
    }
    struct digest key;
    return load_row(w, s->rowset, row, (uint8_t *)out, &key);
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
        memcpy(out, r->columns[s->column] + row * s->row_bytes, s->row_bytes);
        return true;
    case LEAF_KEY:
        if (!rowset_key(r, s->rowset, row, key_of_root, w, &key)) return false;
        memcpy(out, &key, sizeof key);
        return true;
    }
    BUG("no such leaf");
}

static bool fill_leaf(struct worker *w, size_t slot, size_t first, size_t rows) {
    const struct stage_run *run = w->shared->run;
    const struct plan_slot *s = &run->stage->slots[slot];
    // Subrows count within the stage's rows; all else belongs to a row of s->rowset.
    size_t mult = rowset_mult(run->rowsets, run->stage->rowset, s->rowset);
    size_t each = s->mult / mult, last = SIZE_MAX;
    for (size_t i = 0; i < rows * s->mult; i++) {
        size_t q = first * s->mult + i, row = 0;
        if (s->kind != LEAF_SUBROW)
            row = rowset_ancestor(run->rowsets, run->stage->rowset, q / each, s->rowset);
        if (!fill_row(w, s, q, row, last, w->slots[slot] + i * s->row_bytes))
            return false;
        last = row;
    }
    return true;
}

// Pixels first: decoding a row tells its key as well.
static bool fill_leaves(struct worker *w, size_t first, size_t rows) {
    const struct plan_stage *s = w->shared->run->stage;
    for (int pixels = 1; pixels >= 0; pixels--)
        for (size_t i = 0; i < s->nslots; i++)
            if (s->slots[i].leaf && (s->slots[i].kind == LEAF_PIXELS) == pixels &&
                !fill_leaf(w, i, first, rows))
                return false;
    return true;
}

// ---- steps ----------------------------------------------------------------------------
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

static bool run_step(struct worker *w, const struct plan_step *step, size_t chunk_rows) {
    const struct plan *p = w->shared->run->plan;
    const struct plan_func *f = &p->funcs[step->func];
    size_t rows = chunk_rows * step->mult;
    size_t unit = unit_of(w->shared->run->stage, step, rows);
    for (size_t row = 0; row < rows;) {
        size_t n = size_min(f->batch, unit - row % unit);
        for (size_t i = 0; i < step->nin; i++)
            w->in[i] = slot_at(w, step->in[i], step->mult, row);
        for (size_t i = 0; i < step->nout; i++)
            w->out[i] = slot_at(w, step->out[i], step->mult, row);
        if (!call_func(p, f, w->arena, w->in, w->out, n, row % unit == 0))
            return diag_error(w->d, NO_SPAN, "out of memory");
        row += n;
    }
    return true;
}

// ---- sinks ----------------------------------------------------------------------------
static void keep_columns(struct worker *w, size_t first, size_t rows) {
    const struct stage_run *run = w->shared->run;
    for (size_t i = 0; i < run->stage->nsinks; i++) {
        const struct plan_sink *k = &run->stage->sinks[i];
        if (k->role != SINK_COLUMN) continue;
        size_t bytes = run->plan->columns[k->column].row_bytes;
        memcpy(run->rowsets->columns[k->column] + first * bytes, w->slots[k->slot],
               rows * bytes);
    }
}

static bool has_saves(const struct plan_stage *s) {
    for (size_t i = 0; i < s->nsinks; i++)
        if (s->sinks[i].role != SINK_COLUMN) return true;
    return false;
}

static bool save_one(struct worker *w, size_t save, size_t first, size_t rows) {
    const struct stage_run *run = w->shared->run;
    struct save_chunk c = {.first = first, .rows = rows};
    bool any = false;
    for (size_t i = 0; i < run->stage->nsinks; i++) {
        const struct plan_sink *k = &run->stage->sinks[i];
        if (k->role == SINK_COLUMN || k->save != save) continue;
        void *at = w->slots[k->slot];
        any = true;
        switch (k->role) {
        case SINK_PIXELS: c.pixels = at; break;
        case SINK_LABELS: c.labels = at; break;
        case SINK_BOXES: c.boxes = at; break;
        case SINK_MAPS: c.maps = at; break;
        case SINK_VALUES: c.values = at; break;
        case SINK_COLUMN: break;
        }
    }
    return !any || save_chunk(run->saves, save, &c, w->decoder, w->d);
}

// Waits for the chunks before, then saves. A chunk behind one that failed is dropped.
static bool save_in_turn(struct worker *w, size_t chunk, size_t first, size_t rows) {
    struct shared *s = w->shared;
    pthread_mutex_lock(&s->lock);
    while (s->turn != chunk && !(s->failure.any && s->failure.chunk < chunk))
        pthread_cond_wait(&s->turned, &s->lock);
    bool mine = s->turn == chunk, ok = mine;
    pthread_mutex_unlock(&s->lock);
    if (!mine) return true;
    for (size_t i = 0; i < s->run->plan->nsaves && ok; i++)
        ok = save_one(w, i, first, rows);
    if (!ok) return false;
    pthread_mutex_lock(&s->lock);
    s->turn++;
    pthread_cond_broadcast(&s->turned);
    pthread_mutex_unlock(&s->lock);
    return true;
}

// ---- workers --------------------------------------------------------------------------
static bool run_chunk(struct worker *w, size_t chunk) {
    struct shared *s = w->shared;
    const struct plan_stage *stage = s->run->stage;
    size_t first = chunk * s->chunk, rows = size_min(s->chunk, s->rows - first);
    if (!fill_leaves(w, first, rows)) return false;
    for (size_t i = 0; i < stage->nsteps; i++)
        if (!run_step(w, &stage->steps[i], rows)) return false;
    keep_columns(w, first, rows);
    return !has_saves(stage) || save_in_turn(w, chunk, first, rows);
}

static bool take_chunk(struct shared *s, size_t *chunk) {
    pthread_mutex_lock(&s->lock);
    bool more = !s->failure.any && s->next < s->chunks;
    if (more) *chunk = s->next++;
    pthread_mutex_unlock(&s->lock);
    return more;
}

// Keeps the error of the first chunk in order, whichever thread meets one first.
static void chunk_failed(struct shared *s, size_t chunk, const struct diag *why) {
    pthread_mutex_lock(&s->lock);
    struct failure *f = &s->failure;
    if (!f->any || chunk < f->chunk) {
        *f = (struct failure){.any = true, .chunk = chunk, .span = why->span};
        snprintf(f->message, sizeof f->message, "%s", why->message);
        snprintf(f->help, sizeof f->help, "%s", why->help ? why->help : "");
    }
    pthread_cond_broadcast(&s->turned);
    pthread_mutex_unlock(&s->lock);
}

static void chunk_done(struct shared *s, size_t chunk) {
    pthread_mutex_lock(&s->lock);
    s->done += size_min(s->chunk, s->rows - chunk * s->chunk);
    if (s->run->progress) s->run->progress(s->run->progress_ctx, s->done, s->rows);
    pthread_mutex_unlock(&s->lock);
}

// ---- memory ---------------------------------------------------------------------------
// What one worker allocates; SIZE_MAX when that is not a number.
static size_t slot_bytes(const struct plan_slot *slot, size_t rows) {
    size_t bytes;
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
        w->slots[i] = aligned_alloc(64, slot_bytes(&s->slots[i], w->shared->chunk));
        if (!w->slots[i]) return false;
    }
    return true;
}

static bool worker_init(struct worker *w) {
    const struct plan_stage *s = w->shared->run->stage;
    size_t nin = 1, nout = 1;
    for (size_t i = 0; i < s->nsteps; i++) {
        nin = size_max(nin, s->steps[i].nin);
        nout = size_max(nout, s->steps[i].nout);
    }
    w->decoder = decoder_new();
    w->arena = aligned_alloc(64, arena_bytes(w->shared->run));
    w->slots = calloc(s->nslots + 1, sizeof *w->slots);
    w->in = calloc(nin, sizeof *w->in);
    w->out = calloc(nout, sizeof *w->out);
    return w->decoder && w->arena && w->slots && w->in && w->out && slots_alloc(w);
}

static void worker_free(struct worker *w) {
    for (size_t i = 0; w->slots && i < w->shared->run->stage->nslots; i++)
        free(w->slots[i]);
    free(w->slots);
    free(w->in);
    free(w->out);
    free(w->arena);
    decoder_free(w->decoder);
}

// ---- workers' lives -------------------------------------------------------------------
static const struct diag no_memory = {.message = "out of memory"};

static void run_chunks(struct worker *w, struct arena *arena) {
    size_t chunk = 0;
    struct diags d;
    jmp_buf oom; // of words about an error
    diags_init(&d, arena);
    w->d = &d;
    if (setjmp(oom)) {
        chunk_failed(w->shared, w->chunk, &no_memory);
        return;
    }
    arena_guard(arena, &oom);
    while (take_chunk(w->shared, &chunk)) {
        w->chunk = chunk;
        if (run_chunk(w, chunk)) {
            chunk_done(w->shared, chunk);
            continue;
        }
        CHECK(d.list.n > 0);
        chunk_failed(w->shared, chunk, &d.list.at[0]);
        return;
    }
}

// A worker without memory leaves the work to the others; the first must have it.
static void work(void *ctx, size_t which) {
    struct shared *s = ctx;
    struct arena *arena = arena_new();
    struct worker *w = calloc(1, sizeof *w);
    if (w) w->shared = s;
    if (arena && w && worker_init(w)) run_chunks(w, arena);
    else if (which == 0) chunk_failed(s, 0, &no_memory);
    if (w) worker_free(w);
    free(w);
    arena_free(arena);
}

// Enough chunks for every worker to have several, small enough to stay in cache.
static size_t chunk_rows(const struct stage_run *s, size_t rows) {
    size_t most = CHUNK_ROWS;
    while (most > 1 && worker_bytes(s, most) - arena_bytes(s) > CHUNK_BYTES) most /= 2;
    return size_max(1, size_min(most, rows / (s->threads * 8)));
}

// As many workers as the machine's memory takes; 0 when it does not take one.
static size_t worker_count(const struct stage_run *s, const struct shared *shared) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t memory = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : SIZE_MAX;
    size_t most = memory / worker_bytes(s, shared->chunk);
    return size_min(most, size_max(1, size_min(s->threads, shared->chunks)));
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

bool stage_run(const struct stage_run *s, struct diags *d) {
    size_t rows = s->rowsets->at[s->stage->rowset].rows;
    struct shared shared = {.run = s, .rows = rows};
    shared.chunk = chunk_rows(s, rows);
    shared.chunks = (rows + shared.chunk - 1) / shared.chunk;
    size_t workers = worker_count(s, &shared);
    if (!workers) return too_large(s, d);
    pthread_mutex_init(&shared.lock, NULL);
    pthread_cond_init(&shared.turned, NULL);
    pool_run(workers, work, &shared);
    pthread_cond_destroy(&shared.turned);
    pthread_mutex_destroy(&shared.lock);
    const struct failure *f = &shared.failure;
    if (!f->any) return true;
    diag_error(d, f->span, "%s", f->message);
    return diag_help(d, f->help[0] ? "%s" : NULL, f->help);
}
