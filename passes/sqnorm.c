// Sums of squares of weight gradients, without the gradients.
//
//     sum(conv_dw(x, d)^2)          ->  conv_dw_sqnorm(x, d)
//     sum((p q)^2), inner size 1    ->  sum(p^2) * sum(q^2)
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

static nid sqnorm_rule(struct rewrite *r, nid v, const nid *in) {
    (void)in;
    nid at = squared(r->old, v);
    if (at == NID_NONE) return NID_NONE;
    const struct node *g = node_at(r->old, at);
    if (g->op == OP_CONV_DW) {
        nid operands[2] = {r->map[g->in[0]], r->map[g->in[1]]};
        return build_node(&r->b, OP_CONV_DW_SQNORM, operands, 2, g->attrs, NULL);
    }
    if (g->op == OP_MATMUL) {
        const struct type *p = type_at(r->old, g->in[0]);
        if (p->rank != 2 || p->dim[attr_int(g, "tx") ? 0 : 1] != 1) return NID_NONE;
        return b_binary(&r->b, OP_MUL, sum_squares(r, r->map[g->in[0]]),
                        sum_squares(r, r->map[g->in[1]]));
    }
    return NID_NONE;
}

// Needs: gradients as ops (diff).
bool pass_sqnorm(struct module *m, struct module_func *f, struct diags *d) {
    return rewrite_func(m, f, d, sqnorm_rule, NULL);
}
