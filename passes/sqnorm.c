// Sums of squares of weight gradients, without the gradients.
//
//     sum(conv_dw(x, d)^2)              ->  conv_dw_sqnorm(x, d)
//     sum((p q)^2), inner size 1        ->  sum(p^2) * sum(q^2)
//     sum((p q)^2), small inner size T  ->  sum((p^T p) * (q q^T)), T x T numbers each
//
// The last is a linear layer over T tokens, whose weight has far more than T^2 entries. Its
// terms may cancel: with k = |p| |q| / |p q| (Frobenius norms) its relative error is up to
// k^2 roundings, where k^2 = T for tokens orthogonal to one another. Measured in ViT-B/16 (T =
// 197): 3e-6, and 2e-5 when the products' entries are squared and summed.
#include "passes/rewrite.h"

// The value whose squares node v sums (into rank 0), or NID_NONE. Order does not matter
// in the sum, so reshapes and transposes are looked through.
static nid squared(const struct func *f, nid v) {
    const struct node *n = node_at(f, v);
    if (n->op != OP_SUM || n->type.rank != 0) return NID_NONE;
    const struct node *square = node_at(f, n->in[0]);
    if (square->op != OP_MUL || square->in[0] != square->in[1]) return NID_NONE;
    nid g = square->in[0];
    while (node_at(f, g)->op == OP_RESHAPE || node_at(f, g)->op == OP_TRANSPOSE)
        g = node_at(f, g)->in[0];
    return g;
}

static nid sum_squares(struct rewrite *r, nid x) {
    return b_sum_all(&r->b, b_binary(&r->b, OP_MUL, x, x));
}

static nid conv_sqnorm(struct rewrite *r, const struct node *g) {
    nid operands[2] = {r->map[g->in[0]], r->map[g->in[1]]};
    return build_node(&r->b, OP_CONV_DW_SQNORM, operands, 2, g->attrs, NULL);
}

// Of the product g = p q, or of a stack of them.
static nid product_sqnorm(struct rewrite *r, const struct node *g) {
    bool tx = attr_int(g, "tx"), ty = attr_int(g, "ty");
    nid p = r->map[g->in[0]], q = r->map[g->in[1]];
    uint32_t rank = g->type.rank;
    size_t rows = g->type.dim[rank - 2], columns = g->type.dim[rank - 1];
    size_t inner = type_at(r->old, g->in[0])->dim[rank - (tx ? 2 : 1)];
    if (inner == 1 && rank == 2)
        return b_binary(&r->b, OP_MUL, sum_squares(r, p), sum_squares(r, q));
    if ((double)inner * (double)(rows + columns) >= (double)rows * (double)columns)
        return NID_NONE;
    nid pp = b_matmul(&r->b, p, p, !tx, tx), qq = b_matmul(&r->b, q, q, ty, !ty);
    return b_sum_all(&r->b, b_binary(&r->b, OP_MUL, pp, qq));
}

static nid sqnorm_rule(struct rewrite *r, nid v, const nid *in) {
    (void)in;
    nid at = squared(r->old, v);
    if (at == NID_NONE) return NID_NONE;
    const struct node *g = node_at(r->old, at);
    if (g->op == OP_CONV_DW) return conv_sqnorm(r, g);
    if (g->op == OP_MATMUL) return product_sqnorm(r, g);
    return NID_NONE;
}

// Needs: gradients as ops (diff).
bool pass_sqnorm(struct module *m, struct module_func *f, struct diags *d) {
    return rewrite_func(m, f, d, sqnorm_rule, NULL);
}
