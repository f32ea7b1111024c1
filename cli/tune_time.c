// How long a kernel takes, computed in one way and another: its own code, made as ever,
// over data made up. All ways take turns, so that what else the machine does is shared by
// all.
#include "cli/tune.h"

#include "ir/build.h"

#define ROUNDS     7
#define LEAST      5e-4 // seconds of a round
#define LAG        1.5  // of the best time: what is slower is not timed again
#define MOST_ROWS  16
#define MOST_BYTES ((size_t)256 << 20) // of operands and results

struct way { // one choice
    struct kernel k;
    const char *symbol;
    kernel_fn fn;
    char *buffers[KERNEL_MAX_BUFFERS + 8];
    size_t times;           // calls of a round
    double seconds[ROUNDS]; // of a call
    bool dropped;
};

struct timing {
    const struct tune_case *c;
    struct arena *arena;
    struct codegen *cg;
    size_t rows, n;
    struct way *ways;
};

// ---- data ----------------------------------------------------------------------------
static const struct layout *layout_of(const struct tune_case *c, nid v) {
    return &c->kf->places[v].layout;
}

static nid buffer_node(const struct kernel *k, size_t i) {
    return i < k->nouts ? k->outs[i] : k->ins[i - k->nouts];
}

static bool per_row(const struct tune_case *c, nid v) {
    return type_at(c->kf->f, v)->rows;
}

// As many as a round of a band has, more or less: their values stay in cache, and
// Winograd's tiles are full.
static size_t rows_of(const struct timing *t) {
    const struct tune_case *c = t->c;
    const struct kernel *k = c->kernel;
    size_t bytes = 1, rows = 1;
    for (size_t i = 0; i < k->nouts + k->nins; i++)
        if (per_row(c, buffer_node(k, i)))
            bytes += layout_of(c, buffer_node(k, i))->bytes;
    for (size_t i = 0; i < t->n; i++)
        rows = size_max(rows, kernel_wants_rows(c->kf, &t->ways[i].k));
    rows = size_max(rows, c->target->l2 / 2 / bytes);
    return size_max(1, size_min(size_min(rows, MOST_ROWS), MOST_BYTES / bytes));
}

// Numbers of either sign without a pattern. What is no float may be a place: all zeros
// are one.
static char *made_up(struct timing *t, nid v) {
    const struct type *type = type_at(t->c->kf->f, v);
    size_t bytes = layout_of(t->c, v)->bytes * (per_row(t->c, v) ? t->rows : 1);
    float *to = arena_alloc(t->arena, size_align(bytes + PLAN_SLACK, 64), 1);
    uint32_t state = 12345;
    for (size_t i = 0; type->elem == ELEM_F32 && i < bytes / sizeof *to; i++) {
        state = state * 1664525u + 1013904223u;
        to[i] = (float)(int32_t)state * 0x1p-31f;
    }
    return (char *)to;
}

static char *constant(struct timing *t, const struct kernel *k, nid v) {
    const struct tune_case *c = t->c;
    const struct node *n = node_at(c->kf->f, v);
    bool packed = codegen_wants_packed(c->target, c->kf, k, v);
    size_t bytes =
        packed ? codegen_packed_bytes(c->target, c->kf, k, v) : type_bytes(&n->type);
    char *to = arena_alloc(t->arena, size_align(bytes + PLAN_SLACK, 64), 1);
    float setting = n->op == OP_SETTING ? (float)attr_float(n, "value") : 0;
    if (packed) codegen_pack(c->target, c->kf, k, v, to);
    else memcpy(to, n->op == OP_SETTING ? (const void *)&setting : n->data, bytes);
    return to;
}

// What is no constant is shared by all ways.
static void fill(struct timing *t, struct way *w) {
    const struct kernel *k = &w->k;
    size_t n = k->nouts + k->nins;
    for (size_t i = 0; i < n; i++) {
        nid v = buffer_node(k, i);
        bool is_constant = op_is_constant(node_at(t->c->kf->f, v)->op);
        if (is_constant) w->buffers[i] = constant(t, k, v);
        else w->buffers[i] = w > t->ways ? t->ways->buffers[i] : made_up(t, v);
    }
    if (k->prologue != NID_NONE)
        w->buffers[n++] = arena_alloc(t->arena, k->scratch_layout.bytes + PLAN_SLACK, 1);
    if (k->work_bytes) w->buffers[n++] = arena_alloc(t->arena, k->work_bytes, 1);
}

// ---- code ----------------------------------------------------------------------------
static bool make_code(struct timing *t, struct diags *d) {
    const struct tune_case *c = t->c;
    for (size_t i = 0; i < t->n; i++) {
        const char *s = codegen_add(t->cg, c->kf, &t->ways[i].k, d);
        if (!s) return false;
        t->ways[i].symbol = arena_strdup(t->arena, s);
    }
    if (!codegen_finish(t->cg, c->threads, d)) return false;
    for (size_t i = 0; i < t->n; i++)
        if (!(t->ways[i].fn = codegen_address(t->cg, t->ways[i].symbol, d))) return false;
    return true;
}

// ---- the clock -----------------------------------------------------------------------
static double call(const struct timing *t, const struct way *w) {
    double began = clock_thread_seconds();
    for (size_t i = 0; i < w->times; i++) w->fn(w->buffers, t->rows);
    return (clock_thread_seconds() - began) / (double)w->times;
}

// How many calls make a round.
static double warm_up(const struct timing *t, struct way *w) {
    double s = 0;
    w->times = 1;
    w->fn(w->buffers, t->rows);
    while ((s = call(t, w)) * (double)w->times < LEAST) w->times *= 2;
    return s;
}

static void drop_laggards(struct timing *t, double best) {
    for (size_t i = 1; i < t->n; i++)
        t->ways[i].dropped = t->ways[i].seconds[0] > LAG * best;
}

static void take_turns(struct timing *t, double *seconds) {
    double best = 0;
    for (size_t i = 0; i < t->n; i++) {
        double s = t->ways[i].seconds[0] = warm_up(t, &t->ways[i]);
        if (i == 0 || s < best) best = s;
    }
    drop_laggards(t, best);
    for (size_t r = 0; r < ROUNDS; r++)
        for (size_t i = 0; i < t->n; i++) {
            struct way *w = &t->ways[r % 2 ? t->n - 1 - i : i]; // to and fro
            if (!w->dropped) w->seconds[r] = call(t, w);
        }
    for (size_t i = 0; i < t->n; i++) {
        struct way *w = &t->ways[i];
        seconds[i] = w->dropped ? w->seconds[0] : median_of(w->seconds, ROUNDS);
        seconds[i] /= (double)t->rows;
    }
}

// ---- all of it -----------------------------------------------------------------------
static bool time_ways(struct timing *t, const struct choice *choices, double *seconds,
                      struct diags *d) {
    t->ways = NEW_N(t->arena, struct way, t->n);
    for (size_t i = 0; i < t->n; i++) {
        t->ways[i].k = *t->c->kernel;
        choice_take(t->c->target, t->c->kf, &t->ways[i].k, choices[i]);
    }
    t->rows = rows_of(t);
    if (!make_code(t, d)) return false;
    for (size_t i = 0; i < t->n; i++) fill(t, &t->ways[i]);
    take_turns(t, seconds);
    return true;
}

static void let_go(void *ctx) {
    struct timing *t = ctx;
    codegen_free(t->cg);
    arena_free(t->arena);
}

bool tune_time(void *ctx, const struct tune_case *c, const struct choice *choices,
               size_t n, double *seconds, struct diags *d) {
    (void)ctx;
    struct timing t = {.c = c, .arena = arena_must(), .n = n};
    struct cleanup held;
    cleanup_push(&held, let_go, &t);
    bool ok = (t.cg = codegen_new(c->target, d)) && time_ways(&t, choices, seconds, d);
    cleanup_run(&held);
    return ok;
}
