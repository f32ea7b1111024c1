// Ops that move elements about: where an element of the result comes from.
#include "codegen/emit.h"

static LLVMValueRef from(struct emit *e, const struct node *n, struct point *q,
                         uint32_t operand) {
    q->has_flat = false;
    return emit_value(e, n->in[operand], q);
}

// ---- reshape -------------------------------------------------------------------------

// Axes [a0, a1) of the result and [b0, b1) of the operand with equally many elements.
struct group {
    uint32_t a0, a1, b0, b1;
};

static uint32_t skip_ones(const struct type *t, uint32_t i) {
    while (i < t->rank && t->dim[i] == 1) i++;
    return i;
}

// The smallest group from g->a0 and g->b0 on.
static void close_group(const struct type *a, const struct type *b, struct group *g) {
    size_t na = 1, nb = 1;
    g->a1 = g->a0;
    g->b1 = g->b0;
    do {
        if (na <= nb && g->a1 < a->rank) na *= a->dim[g->a1++];
        else if (g->b1 < b->rank) nb *= b->dim[g->b1++];
        else BUG("a reshape changes the number of elements");
    } while (na != nb);
    g->a1 = skip_ones(a, g->a1);
    g->b1 = skip_ones(b, g->b1);
}

static void regroup(struct emit *e, const struct type *a, const struct type *b,
                    const struct group *g, const struct point *p, struct point *q) {
    uint32_t na = g->a1 - g->a0, nb = g->b1 - g->b0;
    struct point part = {.rank = na, .lanes = p->lanes};
    for (uint32_t i = 0; i < na; i++) part.at[i] = p->at[g->a0 + i];
    struct ix flat = point_flat(e, &part, a->dim + g->a0);
    point_unflat(e, flat, b->dim + g->b0, nb, q->at + g->b0);
}

LLVMValueRef value_reshape(struct emit *e, const struct node *n, const struct point *p) {
    const struct type *a = &n->type, *b = type_at(e->f, n->in[0]);
    struct point q = *p; // flat positions stay what they are
    q.rank = b->rank;
    for (uint32_t i = 0; i < b->rank; i++) q.at[i] = ix_const(e, 0);
    struct group g = {.a0 = skip_ones(a, 0), .b0 = skip_ones(b, 0)};
    while (g.a0 < a->rank && g.b0 < b->rank) {
        close_group(a, b, &g);
        regroup(e, a, b, &g, p, &q);
        g.a0 = g.a1;
        g.b0 = g.b1;
    }
    return emit_value(e, n->in[0], &q);
}

// ---- others --------------------------------------------------------------------------

LLVMValueRef value_broadcast(struct emit *e, const struct node *n,
                             const struct point *p) {
    struct point q = operand_point(e, p, &n->type, type_at(e->f, n->in[0]));
    return emit_value(e, n->in[0], &q);
}

LLVMValueRef value_transpose(struct emit *e, const struct node *n,
                             const struct point *p) {
    const int64_t *perm = attr_ints(n, "perm", NULL);
    struct point q = *p;
    for (uint32_t i = 0; i < p->rank; i++) q.at[perm[i]] = p->at[i];
    return from(e, n, &q, 0);
}

LLVMValueRef value_slice(struct emit *e, const struct node *n, const struct point *p) {
    const int64_t *starts = attr_ints(n, "starts", NULL);
    const int64_t *steps = attr_ints(n, "steps", NULL);
    struct point q = *p;
    for (uint32_t i = 0; i < p->rank; i++)
        q.at[i] = n->type.dim[i] == 1
                      ? ix_const(e, starts[i])
                      : ix_shift(e, ix_scale(e, p->at[i], steps[i]), starts[i]);
    return from(e, n, &q, 0);
}

// Is the index a multiple of `gap`? Narrows `in`, and divides.
static void clip_gaps(struct emit *e, struct point *q, uint32_t axis, int64_t gap,
                      struct inside *in) {
    struct ix *i = &q->at[axis];
    if (gap == 1) return;
    struct ix rest = ix_mod(e, *i, gap);
    if (ix_is_uniform(&rest)) {
        LLVMValueRef v = ix_value(e, &rest);
        if (rest.lo > 0) in->never = true;
        else if (rest.hi > 0)
            in->all =
                ll_and(e, in->all, LLVMBuildICmp(e->b, LLVMIntEQ, v, ll_i64(e, 0), ""));
    } else {
        LLVMValueRef ok = LLVMBuildICmp(e->b, LLVMIntEQ, ix_lanes(e, &rest),
                                        ll_isplat(e, 0, e->lanes), "");
        q->mask = ll_and(e, q->mask, ok);
        in->lanes = ll_and(e, in->lanes, ok);
    }
    *i = ix_div(e, *i, gap);
}

// Is the index known to lie between elements, whatever it is?
static bool in_gap(const struct ix *i, int64_t gap) {
    int64_t rem;
    return ix_is_uniform(i) && ix_knows_rem(i, gap, &rem) && rem != 0;
}

// The number of places of an axis that elements and the gaps between them take.
static int64_t spread(size_t dim, int64_t gap) {
    return dim == 0 ? 0 : ((int64_t)dim - 1) * gap + 1;
}

LLVMValueRef value_pad(struct emit *e, const struct node *n, const struct point *p) {
    const struct type *x = type_at(e->f, n->in[0]);
    const int64_t *before = attr_ints(n, "before", NULL);
    const int64_t *interior = attr_ints(n, "interior", NULL);
    LLVMTypeRef elem = ll_elem(e, x->elem);
    double value = attr_float(n, "value");
    LLVMValueRef fill =
        x->elem == ELEM_F32
            ? ll_f32(e, value)
            : LLVMConstInt(elem, (unsigned long long)(int64_t)value, true);
    fill = ll_splat(e, fill, p->lanes);
    struct point q = *p;
    struct inside in = {0};
    for (uint32_t i = 0; i < p->rank && !in.never; i++) {
        int64_t gap = interior[i] + 1;
        if (n->type.dim[i] == 1) q.at[i] = ix_const(e, 0);
        q.at[i] = ix_shift(e, q.at[i], -before[i]);
        in.never = in_gap(&q.at[i], gap);
        if (!in.never) clip(e, &q, i, spread(x->dim[i], gap), &in);
        if (!in.never) clip_gaps(e, &q, i, gap, &in);
    }
    if (in.never) return fill;
    return choose(e, &in, from(e, n, &q, 0), fill, p->lanes);
}

LLVMValueRef value_concat(struct emit *e, const struct node *n, const struct point *p) {
    uint32_t axis = (uint32_t)attr_int(n, "axis");
    LLVMValueRef v = LLVMGetPoison(ll_vec(ll_elem(e, n->type.elem), p->lanes));
    int64_t start = 0;
    for (uint32_t i = 0; i < n->nin; i++) {
        int64_t size = (int64_t)type_at(e->f, n->in[i])->dim[axis];
        struct point q = *p;
        struct inside in = {.never = size == 0};
        q.at[axis] = ix_shift(e, p->at[axis], -start);
        if (!in.never) clip(e, &q, axis, size, &in);
        if (!in.never) v = choose(e, &in, from(e, n, &q, i), v, p->lanes);
        start += size;
    }
    return v;
}

// Is index[i] = index[0] + i * step?
static bool is_affine(const int64_t *index, size_t n, int64_t *step) {
    *step = n > 1 ? index[1] - index[0] : 0;
    for (size_t i = 1; i < n; i++)
        if (index[i] - index[i - 1] != *step) return false;
    return true;
}

LLVMValueRef value_gather(struct emit *e, const struct node *n, const struct point *p) {
    uint32_t axis = (uint32_t)attr_int(n, "axis");
    size_t count;
    int64_t step;
    const int64_t *index = attr_ints(n, "index", &count);
    struct point q = *p;
    const struct ix *at = &p->at[axis];
    int64_t lo = at->lo < 0 ? 0 : at->lo;
    int64_t hi = at->hi < (int64_t)count ? at->hi : (int64_t)count - 1;
    if (lo <= hi && is_affine(index + lo, (size_t)(hi - lo) + 1, &step))
        q.at[axis] = ix_shift(e, ix_scale(e, *at, step), index[lo] - lo * step);
    else q.at[axis] = emit_table(e, index, count, at, p->mask);
    return from(e, n, &q, 0);
}

// An i32 index, held within [0, high].
static struct ix held(struct emit *e, LLVMValueRef i32, int64_t high) {
    LLVMValueRef v = LLVMBuildSExt(e->b, i32, e->i64, "");
    v = ll_min(e, ll_max(e, v, ll_i64(e, 0)), ll_i64(e, high));
    return ix_uniform(v, 0, high, 1, 0);
}

LLVMValueRef value_take(struct emit *e, const struct node *n, const struct point *p) {
    const struct type *table = type_at(e->f, n->in[0]);
    struct point scalar = point_scalar();
    struct point q = *p;
    q.rank = table->rank;
    q.at[0] = held(e, emit_value(e, n->in[1], &scalar), (int64_t)table->dim[0] - 1);
    for (uint32_t i = 1; i < q.rank; i++) q.at[i] = p->at[i - 1];
    return from(e, n, &q, 0);
}

// The same for an index a lane.
static struct ix held_lanes(struct emit *e, LLVMValueRef v, int64_t high) {
    v = ll_max(e, v, ll_isplat(e, 0, e->lanes));
    v = ll_min(e, v, ll_isplat(e, high, e->lanes));
    return (struct ix){.lanes = v, .hi = high, .mod = 1};
}

// Is the index the same in all lanes, wherever these are?
static bool one_index(const struct point *p, const struct type *index) {
    for (uint32_t i = 0; i < p->rank; i++)
        if (index->dim[i] != 1 && !ix_is_uniform(&p->at[i])) return false;
    return true;
}

LLVMValueRef value_choose(struct emit *e, const struct node *n, const struct point *p) {
    const struct type *table = type_at(e->f, n->in[0]), *index = type_at(e->f, n->in[1]);
    int64_t high = (int64_t)table->dim[0] - 1;
    struct point at = operand_point(e, p, &n->type, index), q = *p;
    at.has_flat = false;
    if (one_index(p, index)) at.lanes = 1, at.mask = NULL;
    for (uint32_t i = 0; i < at.rank; i++)
        if (index->dim[i] == 1) at.at[i] = ix_const(e, 0);
    LLVMValueRef v = emit_value(e, n->in[1], &at);
    q.rank = table->rank;
    q.at[0] = at.lanes == 1 ? held(e, v, high) : held_lanes(e, v, high);
    for (uint32_t i = 1; i < q.rank; i++) q.at[i] = p->at[i - 1];
    return from(e, n, &q, 0);
}

LLVMValueRef value_window(struct emit *e, const struct node *n, const struct point *p) {
    const struct type *x = type_at(e->f, n->in[0]);
    struct point q = *p;
    for (uint32_t i = 1; i < 3; i++) {
        struct point corner = {
            .rank = 1, .lanes = 1, .at = {ix_const(e, (int64_t)i - 1)}};
        LLVMValueRef start = emit_value(e, n->in[1], &corner);
        int64_t slack = (int64_t)(x->dim[i] - n->type.dim[i]);
        q.at[i] = ix_add(e, p->at[i], held(e, start, slack));
    }
    return from(e, n, &q, 0);
}
