// See profile.h.
#include "runtime/profile.h"

#include "runtime/base/mem.h"
#include "runtime/ticks.h"

// Spans of a lane: calls and kernels stop before chunks and their parts do, so that the
// end of a long run is still there as a whole.
#define SPANS_FINE    ((size_t)24 << 10)
#define SPANS_MOST    ((size_t)64 << 10)
#define LANES_WHOLE   ((size_t)64) // more lanes than that have fewer spans each
#define PHASES_MOST   ((size_t)4096)
#define WHOLE         0.97 // share of a call's time that a processor is had in, at least
#define CALLS_CLOSELY 3    // of each function, whose kernels are spans too

struct cell { // of one kernel
    uint64_t calls, rows, ticks;
    uint64_t whole_rows, whole_ticks; // of calls of the function that nothing interrupted
    uint64_t now_rows, now_ticks;     // of the call at hand
};

struct mark { // a span; 32 bytes: there are many
    enum profile_kind kind;
    uint32_t rows;
    const char *name;
    uint64_t began, ended; // ticks
};

struct moment { // on both clocks
    uint64_t ticks;
    double seconds;
};

struct phase {
    char name[48];
    double began, ended;
};

struct profile_lane {
    const struct profile *profile;
    struct cell **cells; // by function; NULL until it is called
    uint32_t *closely;   // calls of each function so far, as far as CALLS_CLOSELY
    uint64_t last;       // lap
    uint64_t parts[PROFILE_PARTS];
    // Of all calls of functions: by the clock, and of the processor for this thread; and
    // when the one at hand began.
    double calling, working, called_at, worked_at;
    double ended_at, worked_until; // of the call before, in this chunk; 0: there is none
    double lost;                   // to other programs, between calls
    bool busy;                     // in a chunk
    const char *stage;
    uint64_t chunk_began, call_began;
    const struct plan_func *func; // being called; NULL: it is not counted
    bool close;                   // its kernels are spans
    struct mark *spans;           // NULL: none are kept
    size_t nspans, left_out;
};

struct profile {
    const struct plan *plan;
    size_t nfuncs; // of it
    bool spans;
    size_t nlanes;
    struct profile_lane **lanes; // NULL until there is one
    double offered;              // seconds of all workers of all stages
    struct profile_row *kept;    // of plans before, as profile_rows gave them
    size_t nkept;
    struct profile_sum kept_sum;
    struct moment began;
    struct phase *phases;
    size_t nphases, phases_left_out;
};

// Read again when the thread was put aside between the two.
static struct moment moment_now(void) {
    struct moment best = {0};
    uint64_t gap = UINT64_MAX;
    for (int i = 0; i < 8; i++) {
        uint64_t before = ticks_now();
        double seconds = clock_seconds();
        uint64_t took = ticks_now() - before;
        if (took >= gap) continue;
        gap = took;
        best = (struct moment){before + took / 2, seconds};
    }
    return best;
}

// ---- its life ------------------------------------------------------------------------
struct profile *profile_new(size_t workers, bool spans) {
    struct profile *p = mem_zalloc(1, sizeof *p);
    if (!p) return NULL;
    *p = (struct profile){.spans = spans, .nlanes = workers};
    p->lanes = mem_zalloc(workers, sizeof *p->lanes);
    if (spans) p->phases = mem_zalloc(PHASES_MOST, sizeof *p->phases);
    p->began = moment_now();
    if (p->lanes && (p->phases || !spans)) return p;
    profile_free(p);
    return NULL;
}

static void drop_cells(const struct profile *p, struct profile_lane *l) {
    for (size_t i = 0; l->cells && i < p->nfuncs; i++) mem_free(l->cells[i]);
    mem_free(l->cells);
    mem_free(l->closely);
    l->cells = NULL;
    l->closely = NULL;
}

static void drop_lane(const struct profile *p, struct profile_lane *l) {
    if (!l) return;
    drop_cells(p, l);
    mem_free(l->spans);
    mem_free(l);
}

void profile_free(struct profile *p) {
    if (!p) return;
    for (size_t i = 0; p->lanes && i < p->nlanes; i++) drop_lane(p, p->lanes[i]);
    mem_free(p->lanes);
    mem_free(p->phases);
    mem_free(p);
}

// Lanes stay, with their memory for spans.
static void reset_lane(struct profile *p, struct profile_lane *l) {
    drop_cells(p, l);
    *l = (struct profile_lane){.profile = p, .spans = l->spans};
}

static void reset(struct profile *p, const struct plan *plan, size_t nfuncs) {
    for (size_t i = 0; i < p->nlanes; i++)
        if (p->lanes[i]) reset_lane(p, p->lanes[i]);
    p->plan = plan;
    p->nfuncs = nfuncs;
    p->offered = 0;
}

void profile_begin(struct profile *p, const struct plan *plan) {
    if (p) reset(p, plan, plan->nfuncs);
}

void profile_keep(struct profile *p, struct arena *arena) {
    if (!p) return;
    p->kept_sum = profile_sum(p);
    p->nkept = profile_rows(p, arena, &p->kept);
    for (struct profile_row *r = p->kept; r < p->kept + p->nkept; r++) {
        r->func = arena_strdup(arena, r->func);
        r->what = arena_strdup(arena, r->what);
        r->how = arena_strdup(arena, r->how);
    }
    reset(p, NULL, 0);
}

void profile_forget(struct profile *p) {
    if (!p) return;
    p->nkept = 0;
    p->kept_sum = (struct profile_sum){0};
}

// ---- lanes ---------------------------------------------------------------------------
static size_t spans_most(const struct profile *p) {
    return SPANS_MOST * LANES_WHOLE / size_max(p->nlanes, LANES_WHOLE);
}

static size_t spans_fine(const struct profile *p) {
    return SPANS_FINE * LANES_WHOLE / size_max(p->nlanes, LANES_WHOLE);
}

static struct profile_lane *lane_new(struct profile *p) {
    struct profile_lane *l = mem_zalloc(1, sizeof *l);
    if (!l) return NULL;
    l->profile = p;
    if (p->spans) l->spans = mem_zalloc(spans_most(p), sizeof *l->spans);
    return l;
}

static bool lane_ready(const struct profile *p, struct profile_lane *l) {
    if (!l->cells) l->cells = mem_zalloc(p->nfuncs + 1, sizeof *l->cells);
    if (!l->closely) l->closely = mem_zalloc(p->nfuncs + 1, sizeof *l->closely);
    return l->cells && l->closely;
}

struct profile_lane *profile_lane(struct profile *p, size_t worker) {
    if (!p || worker >= p->nlanes) return NULL;
    if (!p->lanes[worker]) p->lanes[worker] = lane_new(p);
    struct profile_lane *l = p->lanes[worker];
    return l && lane_ready(p, l) ? l : NULL;
}

static void add_span(struct profile_lane *l, enum profile_kind kind, const char *name,
                     size_t rows, uint64_t began, uint64_t ended) {
    bool fine = kind == SPAN_CALL || kind == SPAN_KERNEL;
    if (!l->spans) return;
    if (l->nspans >= (fine ? spans_fine : spans_most)(l->profile)) {
        l->left_out++;
        return;
    }
    l->spans[l->nspans++] = (struct mark){
        kind, rows > UINT32_MAX ? UINT32_MAX : (uint32_t)rows, name, began, ended};
}

// Ticks since the last lap, which ends here.
static uint64_t lap(struct profile_lane *l) {
    uint64_t now = ticks_now(), passed = now - l->last;
    l->last = now;
    return passed;
}

void profile_chunk(struct profile_lane *l, const char *stage) {
    if (!l) return;
    l->stage = stage;
    l->busy = true;
    l->ended_at = 0;
    l->last = l->chunk_began = ticks_now();
}

void profile_chunk_done(struct profile_lane *l, size_t rows) {
    if (!l) return;
    profile_lap(l, PROFILE_REST);
    l->busy = false;
    add_span(l, SPAN_CHUNK, l->stage, rows, l->chunk_began, l->last);
}

void profile_lap(struct profile_lane *l, enum profile_part part) {
    static const char *const names[] = {[PROFILE_READ] = "read rows",
                                        [PROFILE_STORE] = "store",
                                        [PROFILE_TURN] = "wait for the chunks before",
                                        [PROFILE_SAVE] = "save"};
    if (!l) return;
    uint64_t passed = lap(l);
    l->parts[part] += passed;
    if (part != PROFILE_REST)
        add_span(l, SPAN_PART, names[part], 0, l->last - passed, l->last);
}

// ---- kernels -------------------------------------------------------------------------
void profile_call(struct profile_lane *l, const struct plan_func *f) {
    if (!l) return;
    size_t which = (size_t)(f - l->profile->plan->funcs);
    if (!l->cells[which]) l->cells[which] = mem_zalloc(f->ncalls + 1, sizeof **l->cells);
    l->func = l->cells[which] ? f : NULL;
    l->close = l->closely[which] < CALLS_CLOSELY;
    l->closely[which] += l->close;
    // A thread is most likely put aside where it asks the system for its own time:
    // outside of the call, this way around.
    l->worked_at = clock_thread_seconds();
    l->called_at = clock_seconds();
    if (l->ended_at > 0)
        l->lost += l->called_at - l->ended_at - (l->worked_at - l->worked_until);
    l->parts[PROFILE_REST] += lap(l);
    l->call_began = l->last;
}

// What its kernels took, now that it is known whether other programs came between.
static void settle_cells(struct profile_lane *l, bool whole) {
    struct cell *cells = l->cells[l->func - l->profile->plan->funcs];
    for (struct cell *c = cells; c < cells + l->func->ncalls; c++) {
        c->rows += c->now_rows;
        c->ticks += c->now_ticks;
        if (whole) {
            c->whole_rows += c->now_rows;
            c->whole_ticks += c->now_ticks;
        }
        c->now_rows = c->now_ticks = 0;
    }
}

void profile_call_done(struct profile_lane *l, size_t rows) {
    if (!l || !l->func) return;
    l->ended_at = clock_seconds();
    l->worked_until = clock_thread_seconds();
    double working = l->worked_until - l->worked_at;
    double calling = l->ended_at - l->called_at;
    l->working += working;
    l->calling += calling;
    settle_cells(l, working >= WHOLE * calling);
    add_span(l, SPAN_CALL, l->func->name, rows, l->call_began, l->last);
    l->func = NULL;
}

void profile_kernel(struct profile_lane *l, size_t nth, size_t rows) {
    if (!l || !l->func) return;
    struct cell *c = &l->cells[l->func - l->profile->plan->funcs][nth];
    uint64_t passed = lap(l);
    c->calls++;
    c->now_rows += rows;
    c->now_ticks += passed;
    if (l->close)
        add_span(l, SPAN_KERNEL, l->func->calls[nth].what, rows, l->last - passed,
                 l->last);
}

void profile_stage(struct profile *p, size_t workers, double seconds) {
    if (p) p->offered += (double)workers * seconds;
}

// ---- phases --------------------------------------------------------------------------
// Those of worker 0, which is the same thread, are in its lane.
void profile_phase(void *profile, const char *name, double began, double ended) {
    struct profile *p = profile;
    bool working = p->nlanes && p->lanes[0] && p->lanes[0]->busy;
    if (!p->phases || working) return;
    if (p->nphases == PHASES_MOST) {
        p->phases_left_out++;
        return;
    }
    struct phase *at = &p->phases[p->nphases++];
    *at = (struct phase){.began = began, .ended = ended};
    snprintf(at->name, sizeof at->name, "%s", name);
}

// ---- sums ----------------------------------------------------------------------------
// Seconds of a tick, by all the time since the profile began.
static double tick_seconds(const struct profile *p) {
    struct moment now = moment_now();
    uint64_t ticks = now.ticks - p->began.ticks;
    return ticks ? (now.seconds - p->began.seconds) / (double)ticks : 0;
}

// How much of the calls' time a lane had a processor.
static double had_processor(const struct profile_lane *l) {
    if (!(l->calling > 0) || l->working > l->calling) return 1;
    return l->working / l->calling;
}

// Of a processor: at the pace of calls that nothing interrupted, when there were such.
static double cell_seconds(const struct profile_lane *l, const struct cell *c,
                           double tick) {
    double ticks = (double)c->ticks;
    if (!c->whole_rows) return tick * ticks * had_processor(l);
    double pace = (double)c->whole_ticks / (double)c->whole_rows;
    double at_pace = pace * (double)c->rows;
    return tick * (at_pace < ticks ? at_pace : ticks);
}

static bool same_row(const struct profile_row *r, const char *func,
                     const struct plan_call *c) {
    return !strcmp(r->func, func) && !strcmp(r->what, c->what) && !strcmp(r->how, c->how);
}

static void add_cell(struct profile_row *r, const struct plan_call *c,
                     const struct cell *cell, double seconds) {
    r->calls += cell->calls;
    r->rows += cell->rows;
    r->seconds += seconds;
    r->flops += c->flops * (double)cell->rows;
    r->bytes += c->bytes * (double)cell->rows;
}

// Of all lanes, into the row.
static bool add_lanes(const struct profile *p, size_t func, size_t nth, double tick,
                      struct profile_row *r) {
    const struct plan_call *c = &p->plan->funcs[func].calls[nth];
    bool any = false;
    for (size_t i = 0; i < p->nlanes; i++) {
        const struct profile_lane *l = p->lanes[i];
        if (!l || !l->cells || !l->cells[func]) continue;
        const struct cell *cell = &l->cells[func][nth];
        add_cell(r, c, cell, cell_seconds(l, cell, tick));
        any |= cell->calls > 0;
    }
    return any;
}

static int by_seconds(const void *a, const void *b) {
    const struct profile_row *x = a, *y = b;
    return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : 0;
}

size_t profile_rows(const struct profile *p, struct arena *arena,
                    struct profile_row **out) {
    VEC(struct profile_row) rows = {0};
    double tick = tick_seconds(p);
    for (size_t i = 0; i < p->nkept; i++) VEC_PUSH(arena, &rows, p->kept[i]);
    for (size_t f = 0; f < p->nfuncs; f++)
        for (size_t k = 0; k < p->plan->funcs[f].ncalls; k++) {
            const struct plan_func *func = &p->plan->funcs[f];
            const struct plan_call *c = &func->calls[k];
            size_t at = p->nkept;
            while (at < rows.n && !same_row(&rows.at[at], func->name, c)) at++;
            struct profile_row fresh = {
                .func = func->name, .what = c->what, .how = c->how};
            struct profile_row *row = at < rows.n ? &rows.at[at] : &fresh;
            if (!add_lanes(p, f, k, tick, row)) continue;
            row->layers++;
            if (at == rows.n) VEC_PUSH(arena, &rows, fresh);
        }
    if (rows.n) qsort(rows.at, rows.n, sizeof *rows.at, by_seconds);
    *out = rows.at;
    return rows.n;
}

static void add_kernels(const struct profile *p, const struct profile_lane *l,
                        double tick, struct profile_sum *s) {
    for (size_t f = 0; l->cells && f < p->nfuncs; f++)
        for (size_t k = 0; l->cells[f] && k < p->plan->funcs[f].ncalls; k++) {
            const struct cell *c = &l->cells[f][k];
            double seconds = cell_seconds(l, c, tick);
            s->kernels += seconds;
            s->taken += tick * (double)c->ticks - seconds;
            if (!c->whole_rows) s->rough += seconds;
        }
}

static void add_parts(const struct profile_lane *l, double tick, struct profile_sum *s) {
    double rest = tick * (double)l->parts[PROFILE_REST], lost = l->lost > 0 ? l->lost : 0;
    if (lost > rest) lost = rest;
    for (size_t k = 0; k < PROFILE_PARTS; k++) s->parts[k] += tick * (double)l->parts[k];
    s->parts[PROFILE_REST] -= lost;
    s->taken += lost;
}

static void add_sum(struct profile_sum *s, const struct profile_sum *more) {
    s->all += more->all;
    s->kernels += more->kernels;
    s->rough += more->rough;
    for (size_t k = 0; k < PROFILE_PARTS; k++) s->parts[k] += more->parts[k];
    s->taken += more->taken;
    s->idle += more->idle;
}

struct profile_sum profile_sum(const struct profile *p) {
    struct profile_sum s = {.all = p->offered};
    double tick = tick_seconds(p);
    for (size_t i = 0; i < p->nlanes; i++) {
        if (!p->lanes[i]) continue;
        add_kernels(p, p->lanes[i], tick, &s);
        add_parts(p->lanes[i], tick, &s);
    }
    s.idle = s.all - s.kernels - s.taken;
    for (size_t k = 0; k < PROFILE_PARTS; k++) s.idle -= s.parts[k];
    if (s.idle < 0) s.idle = 0;
    add_sum(&s, &p->kept_sum);
    return s;
}

// ---- spans ---------------------------------------------------------------------------
size_t profile_tracks(const struct profile *p) {
    return p->nlanes + 1;
}

size_t profile_left_out(struct profile *p, size_t track) {
    struct profile_lane *l = track ? p->lanes[track - 1] : NULL;
    if (track && !l) return 0;
    size_t *at = track ? &l->left_out : &p->phases_left_out, n = *at;
    *at = 0;
    return n;
}

static void take_phases(struct profile *p,
                        void (*fn)(void *, size_t, const struct profile_span *),
                        void *ctx) {
    for (size_t i = 0; i < p->nphases; i++) {
        const struct phase *h = &p->phases[i];
        fn(ctx, 0, &(struct profile_span){SPAN_PHASE, 0, h->name, h->began, h->ended});
    }
    p->nphases = 0;
}

void profile_spans(struct profile *p,
                   void (*fn)(void *ctx, size_t track, const struct profile_span *s),
                   void *ctx) {
    double tick = tick_seconds(p);
    take_phases(p, fn, ctx);
    for (size_t i = 0; i < p->nlanes; i++) {
        struct profile_lane *l = p->lanes[i];
        for (size_t k = 0; l && k < l->nspans; k++) {
            const struct mark *s = &l->spans[k];
            struct profile_span out = {.kind = s->kind, .rows = s->rows, .name = s->name};
            out.began = p->began.seconds + tick * (double)(s->began - p->began.ticks);
            out.ended = p->began.seconds + tick * (double)(s->ended - p->began.ticks);
            fn(ctx, i + 1, &out);
        }
        if (l) l->nspans = 0;
    }
}
