// Weights that are given to a function, or computed by it for all rows, as training's
// are, are stored as the products and convolutions that read them want them: each gets
// a copy of its own, and a kernel that makes it. (Of constants the assembly does so.)
//
//     conv(x, w)      ->  conv(x, pack(w))      conv_dx, matmul alike
#include "passes/rewrite.h"

static bool wants_pack(const struct func *f, const struct node *n, const nid *in) {
    if (n->op != OP_CONV && n->op != OP_CONV_DX && n->op != OP_MATMUL) return false;
    const struct node *x = node_at(f, in[0]), *w = node_at(f, in[1]);
    return x->type.rows && !w->type.rows && w->type.elem == ELEM_F32 &&
           !op_is_weight(w->op);
}

static nid pack_rule(struct rewrite *r, nid v, const nid *in) {
    const struct node *n = node_at(r->old, v);
    if (!r->old->joint || !wants_pack(r->b.f, n, in)) return NID_NONE;
    nid operands[2] = {in[0], b_pack(&r->b, in[1], v)};
    return build_node(&r->b, n->op, operands, 2, n->attrs, NULL);
}

// Needs: gradients as ops (diff). Keeps every value.
bool pass_pack(struct module *m, struct module_func *f, struct diags *d) {
    return rewrite_func(m, f, d, pack_rule, NULL);
}
