// Pools and their vector-Jacobian products at one place.
//
// All of them go over a small range of row and column offsets: the taps of a window, or
// the windows that an element lies in. Few are written out, many become loops.
#include "codegen/emit.h"

#include <math.h>

#define MAX_WRITTEN_OUT 9

struct pool {
    struct emit *e;
    const struct node *n;
    const struct point *p;
    int64_t kernel[2], stride[2], pad[2]; // pad: top, left
    int64_t image[2], result[2];          // heights and widths
    bool count_pad;
};

static struct pool pool_of(struct emit *e, const struct node *n, const struct point *p,
                           const struct type *image, const struct type *result) {
    struct pool pool = {.e = e, .n = n, .p = p};
    const int64_t *kernel = attr_ints(n, "kernel", NULL);
    const int64_t *strides = attr_ints(n, "strides", NULL);
    const int64_t *pads = attr_ints(n, "pads", NULL);
    for (int a = 0; a < 2; a++) {
        pool.kernel[a] = kernel[a];
        pool.stride[a] = strides[a];
        pool.pad[a] = pads[a];
        pool.image[a] = (int64_t)image->dim[1 + a];
        pool.result[a] = (int64_t)result->dim[1 + a];
    }
    bool mean = n->op == OP_AVGPOOL || n->op == OP_AVGPOOL_DX;
    pool.count_pad = mean && attr_int(n, "count_pad") != 0;
    return pool;
}

// ---- loops over offsets --------------------------------------------------------------

typedef LLVMValueRef (*offset_fn)(void *ctx, struct ix y, struct ix x, LLVMValueRef acc);

static LLVMValueRef written_out(struct emit *e, const int64_t n[2], offset_fn fn,
                                void *ctx, LLVMValueRef acc) {
    for (int64_t y = 0; y < n[0]; y++)
        for (int64_t x = 0; x < n[1]; x++)
            acc = fn(ctx, ix_const(e, y), ix_const(e, x), acc);
    return acc;
}

// acc = fn(y, x, acc) for all offsets below n, in row-major order.
static LLVMValueRef over_offsets(struct emit *e, const int64_t n[2], offset_fn fn,
                                 void *ctx, LLVMValueRef acc) {
    struct ix y, x;
    if (n[0] * n[1] <= MAX_WRITTEN_OUT) return written_out(e, n, fn, ctx, acc);
    struct loop rows = loop_over(e, 0, n[0], 1, &acc, 1, &y);
    struct loop columns = loop_over(e, 0, n[1], 1, rows.carried, 1, &x);
    acc = fn(ctx, y, x, columns.carried[0]);
    loop_end(e, &columns, &acc);
    acc = columns.carried[0];
    loop_end(e, &rows, &acc);
    return rows.carried[0];
}

// ---- windows -------------------------------------------------------------------------

// Element (y, x) of the window of p, brought inside the image.
static struct point tap_point(struct pool *pool, const struct point *window, struct ix y,
                              struct ix x, struct inside *in) {
    struct emit *e = pool->e;
    struct point q = *window;
    struct ix offset[2] = {y, x};
    q.has_flat = false;
    for (uint32_t a = 0; a < 2; a++) {
        struct ix start = ix_scale(e, q.at[1 + a], pool->stride[a]);
        q.at[1 + a] = ix_add(e, ix_shift(e, start, -pool->pad[a]), offset[a]);
        if (!in->never) clip(e, &q, 1 + a, pool->image[a], in);
    }
    return q;
}

static LLVMValueRef max_tap(void *ctx, struct ix y, struct ix x, LLVMValueRef best) {
    struct pool *pool = ctx;
    struct emit *e = pool->e;
    struct inside in = {0};
    struct point q = tap_point(pool, pool->p, y, x, &in);
    if (in.never) return best;
    // An index that was clamped names another element of the same window.
    in.all = NULL;
    LLVMValueRef v = choose(e, &in, emit_value(e, pool->n->in[0], &q), best, q.lanes);
    LLVMValueRef more = LLVMBuildFCmp(e->b, LLVMRealOGT, v, best, "");
    return LLVMBuildSelect(e->b, more, v, best, "");
}

LLVMValueRef value_maxpool(struct emit *e, const struct node *n, const struct point *p) {
    struct pool pool = pool_of(e, n, p, type_at(e->f, n->in[0]), &n->type);
    return over_offsets(e, pool.kernel, max_tap, &pool,
                        ll_fsplat(e, -INFINITY, p->lanes));
}

static LLVMValueRef sum_tap(void *ctx, struct ix y, struct ix x, LLVMValueRef sum) {
    struct pool *pool = ctx;
    struct emit *e = pool->e;
    struct inside in = {0};
    struct point q = tap_point(pool, pool->p, y, x, &in);
    if (in.never) return sum;
    LLVMValueRef v = emit_value(e, pool->n->in[0], &q);
    v = choose(e, &in, v, ll_zero(LLVMTypeOf(v)), q.lanes);
    return LLVMBuildFAdd(e->b, sum, v, "");
}

// How many elements of the image a window at index i of an axis holds; i32.
static LLVMValueRef extent(struct pool *pool, const struct ix *i, int a, size_t lanes) {
    struct emit *e = pool->e;
    LLVMValueRef at = ix_is_uniform(i) ? LLVMBuildTrunc(e->b, ix_value(e, i), e->i32, "")
                                       : ix_lanes(e, i);
    size_t n = ix_is_uniform(i) ? 1 : lanes;
    LLVMValueRef start = LLVMBuildMul(e->b, at, ll_isplat(e, pool->stride[a], n), "");
    start = LLVMBuildSub(e->b, start, ll_isplat(e, pool->pad[a], n), "");
    LLVMValueRef end = LLVMBuildAdd(e->b, start, ll_isplat(e, pool->kernel[a], n), "");
    start = ll_max(e, start, ll_isplat(e, 0, n));
    end = ll_min(e, end, ll_isplat(e, pool->image[a], n));
    LLVMValueRef size = LLVMBuildSub(e->b, end, start, "");
    return n < lanes ? ll_splat(e, size, lanes) : size;
}

static bool always_whole(const struct pool *pool) {
    bool whole = true;
    for (int a = 0; a < 2; a++)
        whole =
            whole && pool->pad[a] == 0 &&
            (pool->result[a] - 1) * pool->stride[a] + pool->kernel[a] <= pool->image[a];
    return whole;
}

// What the sum over the window at w (indices 1 and 2) is divided by.
static LLVMValueRef mean_count(struct pool *pool, const struct point *w) {
    struct emit *e = pool->e;
    if (pool->count_pad || always_whole(pool))
        return ll_fsplat(e, (double)(pool->kernel[0] * pool->kernel[1]), w->lanes);
    LLVMValueRef n = LLVMBuildMul(e->b, extent(pool, &w->at[1], 0, w->lanes),
                                  extent(pool, &w->at[2], 1, w->lanes), "");
    return LLVMBuildSIToFP(e->b, n, ll_vec(e->f32, w->lanes), "");
}

LLVMValueRef value_avgpool(struct emit *e, const struct node *n, const struct point *p) {
    struct pool pool = pool_of(e, n, p, type_at(e->f, n->in[0]), &n->type);
    LLVMValueRef zero = ll_fsplat(e, 0, p->lanes);
    LLVMValueRef sum = over_offsets(e, pool.kernel, sum_tap, &pool, zero);
    return ll_div(e, sum, mean_count(&pool, p), p->mask);
}

// ---- windows that an element lies in -------------------------------------------------

static void windows_around(const struct pool *pool, int64_t n[2]) {
    for (int a = 0; a < 2; a++)
        n[a] = (pool->kernel[a] + pool->stride[a] - 1) / pool->stride[a];
}

// Is i below n?
static void require_below(struct emit *e, const struct ix *i, int64_t n, struct point *q,
                          struct inside *in) {
    struct point one = {.rank = 1, .lanes = q->lanes, .at = {*i}, .mask = q->mask};
    clip(e, &one, 0, n, in);
    q->mask = one.mask;
}

// The window `back` places before the last one that p lies in; tap: p's place in it.
static struct point window_point(struct pool *pool, struct ix back_y, struct ix back_x,
                                 struct ix tap[2], struct inside *in) {
    struct emit *e = pool->e;
    struct point q = *pool->p;
    struct ix back[2] = {back_y, back_x};
    q.has_flat = false;
    for (uint32_t a = 0; a < 2; a++) {
        int64_t stride = pool->stride[a];
        struct ix at = ix_shift(e, q.at[1 + a], pool->pad[a]);
        tap[a] = ix_add(e, ix_mod(e, at, stride), ix_scale(e, back[a], stride));
        if (!in->never) require_below(e, &tap[a], pool->kernel[a], &q, in);
        q.at[1 + a] = ix_add(e, ix_div(e, at, stride), ix_scale(e, back[a], -1));
        if (!in->never) clip(e, &q, 1 + a, pool->result[a], in);
    }
    return q;
}

static LLVMValueRef spread_mean(void *ctx, struct ix y, struct ix x, LLVMValueRef sum) {
    struct pool *pool = ctx;
    struct emit *e = pool->e;
    struct inside in = {0};
    struct ix tap[2];
    struct point q = window_point(pool, y, x, tap, &in);
    if (in.never) return sum;
    LLVMValueRef v = emit_value(e, pool->n->in[0], &q);
    v = ll_div(e, v, mean_count(pool, &q), q.mask);
    v = choose(e, &in, v, ll_zero(LLVMTypeOf(v)), q.lanes);
    return LLVMBuildFAdd(e->b, sum, v, "");
}

LLVMValueRef value_avgpool_dx(struct emit *e, const struct node *n,
                              const struct point *p) {
    struct pool pool = pool_of(e, n, p, &n->type, type_at(e->f, n->in[0]));
    int64_t around[2];
    windows_around(&pool, around);
    return over_offsets(e, around, spread_mean, &pool, ll_fsplat(e, 0, p->lanes));
}

// ---- the first largest element -------------------------------------------------------

struct earlier { // the search for an element that is as large and comes before
    struct pool *pool;
    const struct point *window;
    struct ix tap[2]; // of the element at hand
    LLVMValueRef largest;
};

// <a, b> as a truth value of as many lanes as the point has.
static LLVMValueRef compare_ix(struct emit *e, LLVMIntPredicate p, const struct ix *a,
                               const struct ix *b, size_t lanes) {
    if (ix_is_uniform(a) && ix_is_uniform(b))
        return ll_splat(e, LLVMBuildICmp(e->b, p, ix_value(e, a), ix_value(e, b), ""),
                        lanes);
    return LLVMBuildICmp(e->b, p, ix_lanes(e, a), ix_lanes(e, b), "");
}

static LLVMValueRef is_earlier(void *ctx, struct ix y, struct ix x, LLVMValueRef any) {
    struct earlier *s = ctx;
    struct emit *e = s->pool->e;
    struct inside in = {0};
    size_t lanes = s->window->lanes;
    struct point q = tap_point(s->pool, s->window, y, x, &in);
    if (in.never) return any;
    LLVMValueRef above = compare_ix(e, LLVMIntSLT, &y, &s->tap[0], lanes);
    LLVMValueRef level = compare_ix(e, LLVMIntEQ, &y, &s->tap[0], lanes);
    LLVMValueRef left = compare_ix(e, LLVMIntSLT, &x, &s->tap[1], lanes);
    LLVMValueRef before =
        LLVMBuildOr(e->b, above, LLVMBuildAnd(e->b, level, left, ""), "");
    if (LLVMIsNull(before)) return any; // known now
    LLVMValueRef v = emit_value(e, s->pool->n->in[0], &q);
    LLVMValueRef same = LLVMBuildFCmp(e->b, LLVMRealOEQ, v, s->largest, "");
    same = choose(e, &in, same, ll_zero(LLVMTypeOf(same)), lanes);
    return LLVMBuildOr(e->b, any, LLVMBuildAnd(e->b, same, before, ""), "");
}

static LLVMValueRef give_to_max(void *ctx, struct ix y, struct ix x, LLVMValueRef sum) {
    struct pool *pool = ctx;
    struct emit *e = pool->e;
    size_t lanes = pool->p->lanes;
    struct inside in = {0};
    struct earlier s = {.pool = pool};
    struct point q = window_point(pool, y, x, s.tap, &in);
    if (in.never) return sum;
    s.window = &q;
    s.largest = emit_value(e, pool->n->in[1], &q);
    LLVMValueRef none = ll_zero(ll_vec(e->i1, lanes));
    LLVMValueRef taken = over_offsets(e, pool->kernel, is_earlier, &s, none);
    LLVMValueRef here = emit_value(e, pool->n->in[0], pool->p);
    LLVMValueRef equal = LLVMBuildFCmp(e->b, LLVMRealOEQ, here, s.largest, "");
    LLVMValueRef mine = LLVMBuildAnd(e->b, equal, LLVMBuildNot(e->b, taken, ""), "");
    LLVMValueRef d = emit_value(e, pool->n->in[2], &q), zero = ll_zero(LLVMTypeOf(d));
    d = choose(e, &in, LLVMBuildSelect(e->b, mine, d, zero, ""), zero, lanes);
    return LLVMBuildFAdd(e->b, sum, d, "");
}

LLVMValueRef value_maxpool_dx(struct emit *e, const struct node *n,
                              const struct point *p) {
    struct pool pool = pool_of(e, n, p, type_at(e->f, n->in[0]), type_at(e->f, n->in[1]));
    int64_t around[2];
    windows_around(&pool, around);
    return over_offsets(e, around, give_to_max, &pool, ll_fsplat(e, 0, p->lanes));
}

struct first { // the value at the first element that is as large
    struct pool *pool;
    LLVMValueRef largest;
};

// Taps from the last to the first: the first of equals is taken last, and stays.
static LLVMValueRef take_at_max(void *ctx, struct ix y, struct ix x, LLVMValueRef found) {
    struct first *s = ctx;
    struct pool *pool = s->pool;
    struct emit *e = pool->e;
    struct inside in = {0};
    y = ix_shift(e, ix_scale(e, y, -1), pool->kernel[0] - 1);
    x = ix_shift(e, ix_scale(e, x, -1), pool->kernel[1] - 1);
    struct point q = tap_point(pool, pool->p, y, x, &in);
    if (in.never) return found;
    LLVMValueRef v = emit_value(e, pool->n->in[0], &q);
    LLVMValueRef same = LLVMBuildFCmp(e->b, LLVMRealOEQ, v, s->largest, "");
    same = choose(e, &in, same, ll_zero(LLVMTypeOf(same)), q.lanes);
    LLVMValueRef t = emit_value(e, pool->n->in[2], &q);
    return LLVMBuildSelect(e->b, same, t, found, "");
}

LLVMValueRef value_maxpool_jvp(struct emit *e, const struct node *n,
                               const struct point *p) {
    struct pool pool = pool_of(e, n, p, type_at(e->f, n->in[0]), &n->type);
    struct first s = {.pool = &pool, .largest = emit_value(e, n->in[1], p)};
    return over_offsets(e, pool.kernel, take_at_max, &s, ll_fsplat(e, 0, p->lanes));
}
