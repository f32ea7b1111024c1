// Convolutions with weights that are computed, as gradients of gradients have them,
// become products of matrices: what each place of the result sees is gathered into
// columns. (The kernels of convolutions read packed weights: see pack.c.)
//
//     conv(x, w)      ->  [G, O/G, C/G k] times the columns of x, [G, C/G k, places]
//     conv_dx(d, w)   ->  [G, C/G, O/G k] times the columns of d, [G, O/G k, places]
//
// k is the number of the kernel's taps, G that of groups.
#include "passes/rewrite.h"

struct unfold {
    struct rewrite *r;
    struct conv_attrs c;
    size_t groups, taps[2]; // of the kernel: height, width
    size_t from[2], to[2];  // sides of what is read and of the result
    bool back;              // conv_dx
};

// Which element along an axis the place `at` of the result sees through a tap; false:
// none.
static bool seen(const struct unfold *u, int axis, size_t at, size_t tap, size_t *out) {
    int64_t stride = u->c.strides[axis], pad = u->c.pads[axis];
    int64_t reach = (int64_t)tap * u->c.dilations[axis], v;
    if (u->back) {
        v = (int64_t)at + pad - reach;
        if (v < 0 || v % stride) return false;
        v /= stride;
    } else v = (int64_t)at * stride - pad + reach;
    *out = (size_t)v;
    return v >= 0 && v < (int64_t)u->from[axis];
}

// Entries of the index for one tap, row by row of the result; the zero lies behind.
static size_t index_tap(const struct unfold *u, size_t i, size_t j, int64_t *index) {
    size_t n = 0, y, x, zero = u->from[0] * u->from[1];
    for (size_t p = 0; p < u->to[0]; p++)
        for (size_t q = 0; q < u->to[1]; q++) {
            bool in = seen(u, 0, p, i, &y) && seen(u, 1, q, j, &x);
            index[n++] = (int64_t)(in ? y * u->from[1] + x : zero);
        }
    return n;
}

// [C,h,w] as [groups, C / groups * taps, places of the result].
static nid columns(const struct unfold *u, nid v) {
    static const int64_t none[2] = {0}, one[2] = {0, 1};
    struct builder *b = &u->r->b;
    size_t channels = type_at(b->f, v)->dim[0], n = 0;
    size_t taps = u->taps[0] * u->taps[1], places = u->to[0] * u->to[1];
    int64_t *index = NEW_N(u->r->arena, int64_t, taps * places);
    for (size_t i = 0; i < u->taps[0]; i++)
        for (size_t j = 0; j < u->taps[1]; j++) n += index_tap(u, i, j, index + n);
    v = b_reshape(b, v, (size_t[]){channels, u->from[0] * u->from[1]}, 2);
    v = b_gather(b, b_pad(b, v, none, one, none, 2, 0), index, n, 1);
    size_t dim[3] = {u->groups, channels / u->groups * taps, places};
    return b_reshape(b, v, dim, 3);
}

// w [O, C/G, h, w] as [G, O/G, C/G k], or as [G, C/G, O/G k].
static nid matrices(const struct unfold *u, nid w) {
    struct builder *b = &u->r->b;
    struct type t = *type_at(b->f, w);
    size_t outputs = t.dim[0] / u->groups, inputs = t.dim[1], taps = t.dim[2] * t.dim[3];
    if (!u->back)
        return b_reshape(b, w, (size_t[]){u->groups, outputs, inputs * taps}, 3);
    w = b_reshape(b, w, (size_t[]){u->groups, outputs, inputs, taps}, 4);
    w = b_transpose(b, w, (int64_t[]){0, 2, 1, 3}, 4);
    return b_reshape(b, w, (size_t[]){u->groups, inputs, outputs * taps}, 3);
}

static nid unfold_rule(struct rewrite *r, nid v, const nid *in) {
    const struct node *n = node_at(r->old, v);
    if (n->op != OP_CONV && n->op != OP_CONV_DX) return NID_NONE;
    if (op_is_weight(node_at(r->b.f, in[1])->op)) return NID_NONE;
    struct unfold u = {.r = r, .c = conv_attrs_of(n), .back = n->op == OP_CONV_DX};
    u.groups = (size_t)u.c.groups;
    memcpy(u.from, type_at(r->b.f, in[0])->dim + 1, sizeof u.from);
    memcpy(u.to, n->type.dim + 1, sizeof u.to);
    memcpy(u.taps, type_at(r->b.f, in[1])->dim + 2, sizeof u.taps);
    nid w = matrices(&u, in[1]);
    nid y = b_matmul(&r->b, w, columns(&u, in[0]), false, false);
    return b_reshape(&r->b, y, n->type.dim, n->type.rank);
}

// Needs: gradients as ops (diff), constant weights folded (fold-norm).
bool pass_unfold(struct module *m, struct module_func *f, struct diags *d) {
    return rewrite_func(m, f, d, unfold_rule, NULL);
}
