// Sums, largest elements and their places, over axes or over everything.
//
// At a point with many lanes each lane reduces its own elements. At a single place the
// reduced axis that lies together in memory is cut into vectors, and the lanes are joined
// pairwise at the end. Either way elements are taken in an order that only the shape
// fixes.
#include "codegen/emit.h"

#include <math.h>

#define MAX_UNROLL 4

struct found { // what is known after some elements
    LLVMValueRef value;
    LLVMValueRef place; // of argmax: the row-major index; else NULL
};

struct reduction {
    struct emit *e;
    enum op op;
    nid x;
    const struct type *type; // of x
    struct point q;          // where x is evaluated
    size_t dim[TYPE_MAX_RANK];
    uint32_t order[TYPE_MAX_RANK]; // reduced axes, outermost first
    uint32_t n;
    int vector;    // the axis cut into vectors, or AXIS_SCALAR
    bool flat;     // a single axis of dim[0] elements in row-major order
    size_t unroll; // sums kept side by side by the innermost loop
};

// ---- one element ---------------------------------------------------------------------

static LLVMValueRef least(struct emit *e, enum elem elem) {
    if (elem == ELEM_F32) return ll_f32(e, -INFINITY);
    return elem == ELEM_I32 ? ll_i32(e, INT32_MIN) : ll_i64(e, INT64_MIN);
}

static struct found nothing(const struct reduction *r) {
    struct emit *e = r->e;
    LLVMTypeRef elem = ll_elem(e, r->type->elem);
    LLVMValueRef v = r->op == OP_SUM ? ll_zero(elem) : least(e, r->type->elem);
    struct found f = {.value = ll_splat(e, v, r->q.lanes)};
    if (r->op == OP_ARGMAX) f.place = ll_isplat(e, INT32_MAX, r->q.lanes);
    return f;
}

static LLVMValueRef greater(const struct reduction *r, LLVMValueRef a, LLVMValueRef b) {
    return r->type->elem == ELEM_F32 ? LLVMBuildFCmp(r->e->b, LLVMRealOGT, a, b, "")
                                     : LLVMBuildICmp(r->e->b, LLVMIntSGT, a, b, "");
}

static LLVMValueRef equal(const struct reduction *r, LLVMValueRef a, LLVMValueRef b) {
    return r->type->elem == ELEM_F32 ? LLVMBuildFCmp(r->e->b, LLVMRealOEQ, a, b, "")
                                     : LLVMBuildICmp(r->e->b, LLVMIntEQ, a, b, "");
}

// A NaN is never greater and never equal.
static struct found join(const struct reduction *r, struct found a, struct found b) {
    LLVMBuilderRef bd = r->e->b;
    if (r->op == OP_SUM) {
        bool real = r->type->elem == ELEM_F32;
        return (struct found){real ? LLVMBuildFAdd(bd, a.value, b.value, "")
                                   : LLVMBuildAdd(bd, a.value, b.value, ""),
                              NULL};
    }
    LLVMValueRef better = greater(r, b.value, a.value);
    if (r->op == OP_AMAX)
        return (struct found){LLVMBuildSelect(bd, better, b.value, a.value, ""), NULL};
    LLVMValueRef earlier =
        LLVMBuildAnd(bd, equal(r, b.value, a.value),
                     LLVMBuildICmp(bd, LLVMIntSLT, b.place, a.place, ""), "");
    better = LLVMBuildOr(bd, better, earlier, "");
    return (struct found){LLVMBuildSelect(bd, better, b.value, a.value, ""),
                          LLVMBuildSelect(bd, better, b.place, a.place, "")};
}

static LLVMValueRef place_of(const struct reduction *r) {
    struct ix flat = point_flat(r->e, &r->q, r->type->dim);
    return r->q.lanes > 1 ? ix_lanes(r->e, &flat)
                          : LLVMBuildTrunc(r->e->b, ix_value(r->e, &flat), r->e->i32, "");
}

// Takes the element at r->q, in the lanes of tail (NULL: all).
static struct found take(const struct reduction *r, struct found f, LLVMValueRef tail) {
    struct emit *e = r->e;
    struct found one = {.value = emit_value(e, r->x, &r->q)};
    if (r->op == OP_ARGMAX) one.place = place_of(r);
    if (tail) {
        struct found none = nothing(r);
        one.value = LLVMBuildSelect(e->b, tail, one.value, none.value, "");
        if (one.place) one.place = LLVMBuildSelect(e->b, tail, one.place, none.place, "");
    }
    return join(r, f, one);
}

// ---- loops ---------------------------------------------------------------------------

static void over_axes(struct reduction *r, uint32_t depth, struct found *f);

// One round of the loop over an axis, at index i.
static void at_index(struct reduction *r, uint32_t depth, struct ix i, LLVMValueRef tail,
                     struct found *f) {
    uint32_t axis = r->order[depth];
    struct point outer = r->q;
    if (r->flat) {
        r->q.has_flat = true;
        r->q.flat = i;
        point_unflat(r->e, i, r->type->dim, r->q.rank, r->q.at);
    } else {
        r->q.at[axis] = i;
        r->q.has_flat = false;
    }
    r->q.mask = ll_and(r->e, r->q.mask, tail);
    if (depth + 1 < r->n) over_axes(r, depth + 1, f);
    else *f = take(r, *f, r->q.lanes > 1 && r->vector != AXIS_SCALAR ? r->q.mask : NULL);
    r->q = outer;
}

static size_t pack(const struct reduction *r, const struct found *f, LLVMValueRef *v) {
    size_t n = 0;
    for (size_t u = 0; u < r->unroll; u++) {
        v[n++] = f[u].value;
        if (f[u].place) v[n++] = f[u].place;
    }
    return n;
}

static void unpack(const struct reduction *r, const LLVMValueRef *v, struct found *f) {
    for (size_t u = 0, n = 0; u < r->unroll; u++) {
        f[u].value = v[n++];
        if (f[u].place) f[u].place = v[n++];
    }
}

// Indices [0, count) of an axis in steps; vectors of them along the vector axis.
static void loop_axis(struct reduction *r, uint32_t depth, int64_t count, int64_t step,
                      struct found *f) {
    struct emit *e = r->e;
    bool innermost = depth + 1 == r->n, vector = (int)r->order[depth] == r->vector;
    size_t unroll = innermost ? r->unroll : 1;
    LLVMValueRef v[2 * MAX_UNROLL] = {0};
    struct ix i;
    size_t n = pack(r, f, v);
    struct loop l = loop_over(e, 0, count, step * (int64_t)unroll, v, n, &i);
    unpack(r, l.carried, f);
    for (size_t u = 0; u < unroll; u++) {
        struct ix at = ix_shift(e, i, (int64_t)u * step);
        at_index(r, depth, vector ? ix_ramp(e, at) : at, NULL, f + u);
    }
    pack(r, f, v);
    loop_end(e, &l, v);
    unpack(r, l.carried, f);
}

static void over_vectors(struct reduction *r, uint32_t depth, struct found *f) {
    struct emit *e = r->e;
    int64_t dim = (int64_t)r->dim[r->order[depth]], lanes = (int64_t)e->lanes;
    int64_t whole = dim / lanes * lanes;
    if (whole) loop_axis(r, depth, whole, lanes, f);
    if (whole == dim) return;
    struct ix rest = ix_ramp(e, ix_const(e, whole));
    LLVMValueRef tail = LLVMBuildICmp(e->b, LLVMIntULT, ix_lanes(e, &rest),
                                      ll_isplat(e, dim, e->lanes), "");
    at_index(r, depth, rest, tail, f);
}

static void over_axes(struct reduction *r, uint32_t depth, struct found *f) {
    uint32_t axis = r->order[depth];
    if ((int)axis == r->vector) over_vectors(r, depth, f);
    else loop_axis(r, depth, (int64_t)r->dim[axis], 1, f);
}

// ---- the whole -----------------------------------------------------------------------

// Halves are joined until one lane is left.
static struct found join_lanes(const struct reduction *r, struct found f) {
    struct emit *e = r->e;
    for (size_t half = e->lanes / 2; half >= 1; half /= 2) {
        int low[64], high[64];
        for (size_t i = 0; i < half; i++) {
            low[i] = (int)i;
            high[i] = (int)(i + half);
        }
        struct found a = {.value = ll_shuffle(e, f.value, f.value, low, half)};
        struct found b = {.value = ll_shuffle(e, f.value, f.value, high, half)};
        if (f.place) {
            a.place = ll_shuffle(e, f.place, f.place, low, half);
            b.place = ll_shuffle(e, f.place, f.place, high, half);
        }
        f = join(r, a, b);
    }
    f.value = ll_lane(e, f.value, 0);
    if (f.place) f.place = ll_lane(e, f.place, 0);
    return f;
}

static size_t best_unroll(const struct reduction *r) {
    uint32_t axis = r->order[r->n - 1];
    size_t rounds = r->dim[axis];
    if ((int)axis == r->vector) rounds /= r->e->lanes;
    size_t unroll = MAX_UNROLL;
    while (unroll > 1 && (rounds == 0 || rounds % unroll != 0)) unroll /= 2;
    return unroll;
}

static struct found run(struct reduction *r) {
    struct found f[MAX_UNROLL];
    size_t mark = memo_mark(r->e);
    r->unroll = best_unroll(r);
    for (size_t u = 0; u < r->unroll; u++) f[u] = nothing(r);
    over_axes(r, 0, f);
    for (size_t gap = 1; gap < r->unroll; gap *= 2)
        for (size_t u = 0; u + gap < r->unroll; u += 2 * gap)
            f[u] = join(r, f[u], f[u + gap]);
    memo_release(r->e, mark);
    return r->vector == AXIS_SCALAR ? f[0] : join_lanes(r, f[0]);
}

// Channels of a blocked tensor are the outermost loop, any other vector axis is the
// innermost: the order elements have in memory.
static void order_axes(struct reduction *r, const bool *reduced) {
    bool outer = r->vector == 0;
    r->n = 0;
    if (outer) r->order[r->n++] = 0;
    for (uint32_t i = 0; i < r->type->rank; i++)
        if (reduced[i] && (int)i != r->vector) r->order[r->n++] = i;
    if (!outer && r->vector >= 0) r->order[r->n++] = (uint32_t)r->vector;
}

static int pick_vector(struct emit *e, nid x, const bool *reduced) {
    const struct type *t = type_at(e->f, x);
    int axis = axis_of(e, x);
    if (axis == AXIS_ANY) // nothing is loaded along an axis: any will do
        for (uint32_t i = 0; i < t->rank; i++)
            if (reduced[i]) axis = (int)i;
    return axis >= 0 && reduced[axis] && t->dim[axis] > 1 ? axis : AXIS_SCALAR;
}

// Fills in how the loops go; q holds the kept axes.
static void plan(struct reduction *r, const bool *reduced) {
    struct emit *e = r->e;
    bool all = true;
    for (uint32_t i = 0; i < r->type->rank; i++) {
        r->dim[i] = r->type->dim[i];
        all = all && (reduced[i] || r->dim[i] == 1);
    }
    r->vector = AXIS_SCALAR;
    if (r->q.lanes == 1 && all && flat_friendly(e, r->x)) {
        r->flat = true;
        r->dim[0] = type_count(r->type);
        r->n = 1;
        r->order[0] = 0;
        r->vector = r->dim[0] > 1 ? 0 : AXIS_SCALAR;
    } else {
        if (r->q.lanes == 1) r->vector = pick_vector(e, r->x, reduced);
        order_axes(r, reduced);
    }
    if (r->vector != AXIS_SCALAR) r->q.lanes = e->lanes;
}

static struct found reduce(struct emit *e, const struct node *n, const struct point *q,
                           const bool *reduced) {
    struct reduction r = {.e = e, .op = n->op, .x = n->in[0], .q = *q};
    r.type = type_at(e->f, n->in[0]);
    if (type_count(r.type) == 0) return nothing(&r);
    plan(&r, reduced);
    return r.n ? run(&r) : take(&r, nothing(&r), NULL);
}

LLVMValueRef value_reduce(struct emit *e, const struct node *n, const struct point *p) {
    const struct type *x = type_at(e->f, n->in[0]);
    bool reduced[TYPE_MAX_RANK] = {0}, keep = attr_int(n, "keep") != 0;
    size_t count;
    const int64_t *axes = attr_ints(n, "axes", &count);
    for (size_t i = 0; i < count; i++) reduced[axes[i]] = true;
    struct point q = *p;
    uint32_t from = 0;
    q.has_flat = false;
    q.rank = x->rank;
    for (uint32_t i = 0; i < x->rank; i++) {
        q.at[i] = reduced[i] ? ix_const(e, 0) : p->at[from];
        from += !reduced[i] || keep;
    }
    return reduce(e, n, &q, reduced).value;
}

// Row after row, whatever they share.
LLVMValueRef value_batch_sum(struct emit *e, const struct node *n,
                             const struct point *p) {
    LLVMValueRef sum = ll_zero(ll_vec(e->f32, p->lanes));
    LLVMValueRef rows = LLVMGetParam(e->fn, 1);
    struct loop l = loop_begin(e, ll_i64(e, 0), rows, 1, &sum, 1);
    emit_row(e, l.i);
    sum = LLVMBuildFAdd(e->b, l.carried[0], emit_value(e, n->in[0], p), "");
    loop_end(e, &l, &sum);
    return sum;
}

LLVMValueRef value_argmax(struct emit *e, const struct node *n, const struct point *p) {
    const struct type *x = type_at(e->f, n->in[0]);
    bool reduced[TYPE_MAX_RANK];
    struct point q = {.rank = x->rank, .lanes = p->lanes};
    CHECK(p->lanes == 1);
    for (uint32_t i = 0; i < x->rank; i++) {
        reduced[i] = true;
        q.at[i] = ix_const(e, 0);
    }
    struct found f = reduce(e, n, &q, reduced);
    LLVMValueRef none = LLVMBuildICmp(e->b, LLVMIntEQ, f.place, ll_i32(e, INT32_MAX), "");
    return LLVMBuildSelect(e->b, none, ll_i32(e, 0), f.place, "");
}
