// Values in the shapes that kernels want them in.
//
//     f(reshape(a), c), a of a convolution or product   ->  reshape(f(a, reshape(c)))
//     matmul(transpose(x), y)                           ->  matmul(x, y, tx)
//     matmul(x, y, ty), y no packed weight              ->  matmul(x, transpose(y))
//
// The first lets bias and activation join the kernel of what they are applied to; the
// others have the left operand read as it lies and the right one along its last axis.
#include "passes/rewrite.h"

// ---- elementwise ops before reshapes -------------------------------------------------

#define FAR 16 // ops between an anchor and what may follow it

static bool made_by_anchor(const struct func *f, nid v, int far) {
    const struct node *n = node_at(f, v);
    if (op_info(n->op)->flags & OPF_ANCHOR) return true;
    if (far == 0 || !(op_info(n->op)->flags & OPF_ELEMENTWISE)) return false;
    for (uint32_t i = 0; i < n->nin; i++)
        if (type_same_shape(type_at(f, n->in[i]), &n->type))
            return made_by_anchor(f, n->in[i], far - 1);
    return false;
}

// What the operand reshapes, if that is worth following; NID_NONE: it is no such operand.
static nid reshaped(const struct func *f, nid operand, const struct type *t) {
    const struct node *n = node_at(f, operand);
    if (n->op != OP_RESHAPE || !type_same_shape(&n->type, t)) return NID_NONE;
    return type_at(f, n->in[0])->rank && made_by_anchor(f, n->in[0], FAR) ? n->in[0]
                                                                          : NID_NONE;
}

static bool all_ones(const size_t *dim, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        if (dim[i] != 1) return false;
    return true;
}

// Fills in the shape in which an operand of shape o, which broadcasts to t, broadcasts to
// `to`, of as many elements as t. Only whole lines and whole columns are told apart.
static bool other_shape(const struct type *o, const struct type *t, const struct type *to,
                        size_t *dim) {
    uint32_t last = t->rank - 1, end = to->rank - 1;
    for (uint32_t i = 0; i < to->rank; i++) dim[i] = to->dim[i];
    if (type_same_shape(o, t)) return true;
    bool ones = all_ones(o->dim, last), line = o->dim[last] == t->dim[last];
    bool column = memcmp(o->dim, t->dim, last * sizeof *o->dim) == 0;
    if (!(ones && !line) && t->dim[last] != to->dim[end]) return false;
    if (!ones && !column) return false;
    for (uint32_t i = 0; i < end && ones; i++) dim[i] = 1;
    if (!line) dim[end] = 1;
    return true;
}

static nid before_reshape(struct rewrite *r, const struct node *n, const nid *in) {
    const struct type *to = NULL;
    nid operands[2];
    if (n->nin > COUNT(operands)) return NID_NONE;
    for (uint32_t i = 0; i < n->nin && !to; i++) {
        nid x = reshaped(r->b.f, in[i], &n->type);
        if (x != NID_NONE) to = type_at(r->b.f, x);
    }
    if (!to) return NID_NONE;
    struct type target = *to; // nodes move when one is made
    for (uint32_t i = 0; i < n->nin; i++) {
        const struct type *o = type_at(r->b.f, in[i]);
        size_t dim[TYPE_MAX_RANK];
        operands[i] = in[i];
        if (o->rank == 0) continue;
        if (!other_shape(o, &n->type, &target, dim)) return NID_NONE;
        operands[i] = b_reshape(&r->b, in[i], dim, target.rank);
    }
    nid made = build_node(&r->b, n->op, operands, n->nin, n->attrs, NULL);
    return b_reshape(&r->b, made, n->type.dim, n->type.rank);
}

// ---- operands of products ------------------------------------------------------------

static nid swap_last(struct rewrite *r, nid x) {
    int64_t perm[TYPE_MAX_RANK];
    uint32_t rank = type_at(r->b.f, x)->rank;
    for (uint32_t i = 0; i < rank; i++) perm[i] = i;
    perm[rank - 2] = rank - 1;
    perm[rank - 1] = rank - 2;
    return b_transpose(&r->b, x, perm, rank);
}

// What x is with its last two axes swapped, when it is a transpose by just that.
static nid swapped(const struct func *f, nid x) {
    const struct node *n = node_at(f, x);
    if (n->op != OP_TRANSPOSE) return NID_NONE;
    uint32_t rank = n->type.rank;
    const int64_t *perm = attr_ints(n, "perm", NULL);
    for (uint32_t i = 0; i + 2 < rank; i++)
        if (perm[i] != i) return NID_NONE;
    return perm[rank - 1] == rank - 2 ? n->in[0] : NID_NONE;
}

static nid as_read(struct rewrite *r, const struct node *n, const nid *in) {
    bool tx = attr_int(n, "tx") != 0, ty = attr_int(n, "ty") != 0;
    nid x = in[0], y = in[1], other = swapped(r->b.f, x);
    if (other != NID_NONE) {
        x = other;
        tx = !tx;
    }
    if (ty && !op_is_weight(node_at(r->b.f, y)->op)) {
        y = swap_last(r, y);
        ty = false;
    }
    return b_matmul(&r->b, x, y, tx, ty);
}

static nid shapes_rule(struct rewrite *r, nid v, const nid *in) {
    const struct node *n = node_at(r->old, v);
    if (op_info(n->op)->flags & OPF_ELEMENTWISE) return before_reshape(r, n, in);
    return n->op == OP_MATMUL ? as_read(r, n, in) : NID_NONE;
}

// Needs: gradients as ops, their norms found (diff, sqnorm). Keeps every value.
bool pass_shapes(struct module *m, struct module_func *f, struct diags *d) {
    return rewrite_func(m, f, d, shapes_rule, NULL);
}
