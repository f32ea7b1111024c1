// Sums of squares of weight gradients, without the gradients.
//
//     sum(conv_dw(x, d)^2)              ->  conv_dw_sqnorm(x, d), or
//                                           sum((X^T X) * (D^T D)), places x places each
//     sum((p q)^2), inner size 1        ->  sum(p^2) * sum(q^2)
//     sum((p q)^2), small inner size T  ->  sum((p^T p) * (q q^T)), T x T numbers each
//
// The last is a linear layer over T tokens, whose weight has far more than T^2 entries; a
// convolution whose result has few places and many channels is the same, X the part of x
// that each place sees. Their terms may cancel: with k = |p| |q| / |p q| (Frobenius
// norms) the relative error is up to k^2 roundings, where k^2 = T for tokens orthogonal
// to one another. Measured in ViT-B/16 (T = 197): 3e-6, and 2e-5 when the products'
// entries are squared and summed.
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

// ---- convolutions --------------------------------------------------------------------
// Places that see x through one tap of the kernel see every stride-th element of it: a
// phase of x, shifted. So X^T X, the sum over taps, needs but one product a phase.

struct gram {
    struct rewrite *r;
    nid x;
    struct conv_attrs c;
    int64_t channels, kernel[2], from[2], to[2]; // sides of x and of d
};

// Which phase an axis is read in through a tap, and at which element by place 0.
static int64_t phase_of(const struct gram *g, int a, int64_t tap, int64_t *first) {
    int64_t at = tap * g->c.dilations[a] - g->c.pads[a], stride = g->c.strides[a];
    int64_t phase = (at % stride + stride) % stride;
    *first = (at - phase) / stride;
    return phase;
}

static int64_t phase_size(const struct gram *g, int a, int64_t phase) {
    return (g->from[a] - phase + g->c.strides[a] - 1) / g->c.strides[a];
}

static bool phase_used(const struct gram *g, int a, int64_t phase) {
    int64_t first;
    for (int64_t tap = 0; tap < g->kernel[a]; tap++)
        if (phase_of(g, a, tap, &first) == phase) return phase_size(g, a, phase) > 0;
    return false;
}

// v [C,h,w] as products of its places: [h,w,h,w].
static nid places(struct builder *b, nid v) {
    size_t dim[3];
    memcpy(dim, type_at(b->f, v)->dim, sizeof dim);
    v = b_reshape(b, v, (size_t[]){dim[0], dim[1] * dim[2]}, 2);
    v = b_matmul(b, v, v, true, false);
    return b_reshape(b, v, (size_t[]){dim[1], dim[2], dim[1], dim[2]}, 4);
}

static nid add_maybe(struct builder *b, nid sum, nid v) {
    return sum == NID_NONE ? v : b_binary(b, OP_ADD, sum, v);
}

// Adds to `sum` what the taps of axis a in this phase pick out of v [h,w,h,w].
static nid add_taps(const struct gram *g, int a, int64_t phase, nid v, nid sum) {
    int64_t size = phase_size(g, a, phase), to = g->to[a];
    for (int64_t tap = 0, first; tap < g->kernel[a]; tap++) {
        if (phase_of(g, a, tap, &first) != phase) continue;
        if (first >= size || first + to <= 0) continue; // sees the padding alone
        int64_t before[4] = {0}, after[4] = {0};
        before[a] = before[a + 2] = -first;
        after[a] = after[a + 2] = to - size + first;
        nid part = b_pad(&g->r->b, v, before, after, (int64_t[4]){0}, 4, 0);
        sum = add_maybe(&g->r->b, sum, part);
    }
    return sum;
}

// X^T X as [h,w,h,w] of places of the result.
static nid seen_products(const struct gram *g) {
    const int64_t *stride = g->c.strides;
    nid all = NID_NONE;
    for (int64_t y = 0; y < stride[0]; y++) {
        nid line = NID_NONE;
        for (int64_t x = 0; x < stride[1] && phase_used(g, 0, y); x++) {
            if (!phase_used(g, 1, x)) continue;
            int64_t starts[] = {0, y, x}, steps[] = {1, stride[0], stride[1]};
            int64_t sizes[] = {g->channels, phase_size(g, 0, y), phase_size(g, 1, x)};
            nid v = b_slice(&g->r->b, g->x, starts, steps, sizes, 3);
            line = add_taps(g, 1, x, places(&g->r->b, v), line);
        }
        if (line != NID_NONE) all = add_taps(g, 0, y, line, all);
    }
    return all;
}

// Operations, those of copies and additions weighed by how much longer they take than
// products: as measured.
static double gram_cost(const struct gram *g, double outs) {
    double to = (double)(g->to[0] * g->to[1]),
           taps = (double)(g->kernel[0] + g->kernel[1]);
    double cost = (2 * to + 200) * to * outs + 40 * taps * to * to;
    for (int64_t y = 0; y < g->c.strides[0]; y++)
        for (int64_t x = 0; x < g->c.strides[1]; x++) {
            if (!phase_used(g, 0, y) || !phase_used(g, 1, x)) continue;
            double size = (double)(phase_size(g, 0, y) * phase_size(g, 1, x));
            cost += (2 * size + 200) * size * (double)g->channels;
        }
    return cost;
}

#define MOST_PHASES 4 // each is nodes of its own

static bool gram_pays(const struct gram *g, double outs) {
    double to = (double)(g->to[0] * g->to[1]);
    double taps = (double)(g->kernel[0] * g->kernel[1]);
    if (g->c.groups > 1 || g->c.strides[0] * g->c.strides[1] > MOST_PHASES) return false;
    if (taps > 64) return false;
    return 1.2 * gram_cost(g, outs) < 2 * to * outs * taps * (double)g->channels;
}

static nid conv_sqnorm(struct rewrite *r, const struct node *n) {
    nid operands[2] = {r->map[n->in[0]], r->map[n->in[1]]};
    struct gram g = {.r = r, .x = operands[0], .c = conv_attrs_of(n)};
    const struct type *x = type_at(r->b.f, operands[0]),
                      *d = type_at(r->b.f, operands[1]);
    double outs = (double)d->dim[0];
    g.channels = (int64_t)x->dim[0];
    g.kernel[0] = attr_int(n, "kh");
    g.kernel[1] = attr_int(n, "kw");
    for (int a = 0; a < 2; a++) {
        g.from[a] = (int64_t)x->dim[1 + a];
        g.to[a] = (int64_t)d->dim[1 + a];
    }
    nid seen = gram_pays(&g, outs) ? seen_products(&g) : NID_NONE;
    if (seen == NID_NONE)
        return build_node(&r->b, OP_CONV_DW_SQNORM, operands, 2, n->attrs, NULL);
    nid both = b_binary(&r->b, OP_MUL, seen, places(&r->b, operands[1]));
    return b_sum_all(&r->b, both);
}

// ---- products ------------------------------------------------------------------------

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
