// Rewrites that always hold, exactly: a table of op -> rule, tried before a node is made.
// A rule returns the older node that has the new one's value, or NID_NONE.
#include "ir/build_core.h"

typedef nid (*rewrite)(struct builder *b, const struct node *n);

static bool same_type_as_operand(const struct builder *b, const struct node *n, int i) {
    return type_eq(&n->type, type_at(b->f, n->in[i]));
}

// ---- moves that move nothing --------------------------------------------------------
// reshape, broadcast, cast: the type says it all.
static nid if_same_type(struct builder *b, const struct node *n) {
    return same_type_as_operand(b, n, 0) ? n->in[0] : NID_NONE;
}

static nid reshape_reshape(struct builder *b, const struct node *n) {
    const struct node *x = node_at(b->f, n->in[0]);
    if (same_type_as_operand(b, n, 0)) return n->in[0];
    if (x->op != OP_RESHAPE) return NID_NONE;
    return b_reshape(b, x->in[0], n->type.dim, n->type.rank);
}

static nid transpose_transpose(struct builder *b, const struct node *n) {
    const struct node *x = node_at(b->f, n->in[0]);
    const int64_t *perm = n->attrs[0].is;
    bool none = true;
    for (size_t i = 0; i < n->attrs[0].n; i++) none = none && perm[i] == (int64_t)i;
    if (none) return n->in[0];
    if (x->op != OP_TRANSPOSE) return NID_NONE;
    int64_t both[TYPE_MAX_RANK];
    for (size_t i = 0; i < n->attrs[0].n; i++) both[i] = x->attrs[0].is[perm[i]];
    return b_transpose(b, x->in[0], both, n->attrs[0].n);
}

static bool all_equal(const struct value *v, int64_t to) {
    for (size_t i = 0; i < v->n; i++)
        if (v->is[i] != to) return false;
    return true;
}

// As many elements as there are, from the first on: no step but 1 can take them.
static nid slice_all(struct builder *b, const struct node *n) {
    bool whole = same_type_as_operand(b, n, 0) && all_equal(&n->attrs[0], 0);
    return whole ? n->in[0] : NID_NONE;
}

static nid pad_none(struct builder *b, const struct node *n) {
    (void)b;
    for (int i = 0; i < 3; i++)
        if (!all_equal(&n->attrs[i], 0)) return NID_NONE;
    return n->in[0];
}

// ---- arithmetic with 0 and 1 --------------------------------------------------------
static double element(const struct node *c, size_t i) {
    switch (c->type.elem) {
    case ELEM_F32: return (double)((const float *)c->data)[i];
    case ELEM_I32: return ((const int32_t *)c->data)[i];
    case ELEM_I64: return (double)((const int64_t *)c->data)[i];
    case ELEM_U8:
    case ELEM_U64:
    case ELEM_BF16:
    case ELEM_COUNT: break;
    }
    BUG("arithmetic on %s", elem_name(c->type.elem));
}

// Is operand i a constant whose elements all are v?
static bool is_all(const struct builder *b, const struct node *n, int i, double v) {
    const struct node *c = node_at(b->f, n->in[i]);
    if (c->op != OP_CONST || !c->data) return false;
    size_t count = type_count(&c->type);
    for (size_t k = 0; k < count; k++)
        if (element(c, k) != v) return false;
    return true;
}

// The left operand, when the right one is all v and does not change the shape.
static nid left_of(struct builder *b, const struct node *n, double v) {
    return same_type_as_operand(b, n, 0) && is_all(b, n, 1, v) ? n->in[0] : NID_NONE;
}

static nid either_of(struct builder *b, const struct node *n, double v) {
    nid left = left_of(b, n, v);
    if (left != NID_NONE) return left;
    return same_type_as_operand(b, n, 1) && is_all(b, n, 0, v) ? n->in[1] : NID_NONE;
}

static nid mul_one(struct builder *b, const struct node *n) {
    return either_of(b, n, 1);
}
// -0 + 0 is 0: this keeps -0, which every op but a division by it takes for the same.
static nid add_zero(struct builder *b, const struct node *n) {
    return either_of(b, n, 0);
}
static nid sub_zero(struct builder *b, const struct node *n) {
    return left_of(b, n, 0);
}
static nid div_one(struct builder *b, const struct node *n) {
    return left_of(b, n, 1);
}

static nid neg_neg(struct builder *b, const struct node *n) {
    const struct node *x = node_at(b->f, n->in[0]);
    return x->op == OP_NEG ? x->in[0] : NID_NONE;
}

static const rewrite RULES[OP_COUNT] = {
    [OP_RESHAPE] = reshape_reshape,
    [OP_BROADCAST] = if_same_type,
    [OP_CAST] = if_same_type,
    [OP_TRANSPOSE] = transpose_transpose,
    [OP_SLICE] = slice_all,
    [OP_PAD] = pad_none,
    [OP_MUL] = mul_one,
    [OP_ADD] = add_zero,
    [OP_SUB] = sub_zero,
    [OP_DIV] = div_one,
    [OP_NEG] = neg_neg,
};

nid build_simplify(struct builder *b, const struct node *n) {
    return RULES[n->op] ? RULES[n->op](b, n) : NID_NONE;
}
