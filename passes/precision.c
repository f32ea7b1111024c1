// Precision: which products are of bf16, in functions that permit it, on targets that
// have sums of such products. Permission is not an order: operands are cast where that is
// faster.
//
// A layer is cast when its weights are constant and its operand is made by the function
// itself, so that the kernel that makes it can round it as it is stored. Weights are
// rounded here. Products of two computed values, weight gradients among them, stay as
// they are: there the sums are of what may cancel out, and nothing can be prepared.
#include "passes/algorithms.h"
#include "passes/rewrite.h"

#include "ir/bf16.h"

// In multiply-adds of vectors. A product of bf16 takes half of those of f32; around them
// there is more to do for each. An operand is rounded and stored once more.
#define PAIRS    0.5
#define AROUND   1.1
#define ROUNDING 4.0  // a vector
#define LEAST    4096 // of a layer that is worth it: the others' numbers stay better

struct precision {
    const struct target *t;
    nid *half; // by nid: the weight rounded, NID_NONE: not yet
};

static bool is_made(const struct node *x) {
    return x->op != OP_INPUT && !op_is_constant(x->op);
}

static bool is_weight(const struct node *w) {
    return (w->op == OP_CONST || w->op == OP_PARAM) && w->data;
}

static bool fits_conv(const struct func *f, const struct node *n) {
    return attr_int(n, "groups") == 1 && type_at(f, n->in[0])->dim[0] > FEW_CHANNELS;
}

// Pairs lie along the rows of x, and fill them.
static bool fits_matmul(const struct func *f, const struct node *n) {
    if (n->type.rank != 2 || attr_int(n, "tx")) return false;
    return type_at(f, n->in[0])->dim[1] % 2 == 0;
}

static bool fits(const struct func *f, const struct node *n) {
    if (n->op == OP_MATMUL && !fits_matmul(f, n)) return false;
    if (n->op != OP_MATMUL && !fits_conv(f, n)) return false;
    const struct node *x = node_at(f, n->in[0]), *w = node_at(f, n->in[1]);
    return x->type.elem == ELEM_F32 && is_made(x) && is_weight(w);
}

static bool is_faster(const struct precision *p, const struct func *f, nid v) {
    double lanes = (double)p->t->lanes, cost = algorithms_cost(p->t, f, v);
    double operand = (double)type_count(type_at(f, node_at(f, v)->in[0])) / lanes;
    double direct = kernel_flops(f, v) / 2 / lanes;
    return cost >= LEAST && PAIRS * AROUND * direct + ROUNDING * operand < cost;
}

static nid rounded(struct rewrite *r, nid weight) {
    nid *half = &((struct precision *)r->state)->half[weight];
    const struct node *w = node_at(r->old, weight);
    if (*half != NID_NONE) return *half;
    struct type t = w->type;
    size_t n = type_count(&t);
    const float *from = w->data;
    uint16_t *to = NEW_N(r->arena, uint16_t, n);
    for (size_t i = 0; i < n; i++) to[i] = bf16_of(from[i]);
    t.elem = ELEM_BF16;
    return *half = b_const_at(&r->b, t, to, data_digest(&t, to));
}

static nid cast_layer(struct rewrite *r, nid v, const nid *in) {
    const struct node *n = node_at(r->old, v);
    bool layer = n->op == OP_CONV || n->op == OP_CONV_DX || n->op == OP_MATMUL;
    if (!layer || !fits(r->old, n) || !is_faster(r->state, r->old, v)) return NID_NONE;
    nid x = b_cast(&r->b, in[0], ELEM_BF16);
    return build_copy(&r->b, n, (const nid[]){x, rounded(r, n->in[1])});
}

// Needs: operands of products as kernels want them (shapes). Keeps all else.
bool pass_precision(struct module *m, struct module_func *mf, struct diags *d) {
    if (!mf->f->bf16 || !m->target->bf16) return true;
    struct precision p = {m->target, NEW_N(m->arena, nid, mf->f->nodes.n)};
    for (nid v = 0; v < mf->f->nodes.n; v++) p.half[v] = NID_NONE;
    return rewrite_func(m, mf, d, cast_layer, &p);
}
