// Folding per-channel arithmetic into convolution weights: batch norm in inference mode,
// where no gradient of its parameters is asked for (they are constants then).
//
//     ((conv(x, w) - mean) * k) * scale + shift   ->   conv(x, w') + t
#include "passes/rewrite.h"

struct affine { // s * conv + t, a number a channel
    double *s, *t;
    size_t channels;
};

// Element o of a constant that is one number, or one a channel; false for anything else.
static const float *per_channel(const struct func *f, nid v, size_t channels,
                                bool *single) {
    const struct node *n = node_at(f, v);
    if (n->op != OP_CONST || n->type.elem != ELEM_F32 || !n->data) return NULL;
    size_t count = type_count(&n->type);
    *single = count == 1;
    if (count == 1) return n->data;
    bool shaped = n->type.rank == 3 && n->type.dim[0] == channels && count == channels;
    return shaped ? n->data : NULL;
}

static bool is_affine(enum op op) {
    return op == OP_ADD || op == OP_SUB || op == OP_MUL || op == OP_DIV;
}

// The operand of n that is not a per-channel constant; NID_NONE when n is not affine in
// it.
static nid affine_operand(const struct func *f, const struct node *n) {
    bool single;
    if (!is_affine(n->op) || n->type.rank != 3 || n->type.elem != ELEM_F32)
        return NID_NONE;
    size_t c = n->type.dim[0];
    for (int i = 0; i < 2; i++) {
        const struct type *t = type_at(f, n->in[i]);
        if (!per_channel(f, n->in[!i], c, &single) || !type_same_shape(t, &n->type))
            continue;
        return n->op == OP_DIV && i == 1 ? NID_NONE : n->in[i];
    }
    return NID_NONE;
}

// The convolution at the bottom of the chain that ends in v; NID_NONE when there is none.
static nid chain_bottom(const struct rewrite *r, nid v) {
    const struct func *f = r->old;
    for (;;) {
        nid below = affine_operand(f, node_at(f, v));
        if (below == NID_NONE || r->uses[below] != 1) return NID_NONE;
        const struct node *n = node_at(f, below);
        if (n->op == OP_CONV && node_at(f, n->in[1])->op == OP_CONST) return below;
        v = below;
    }
}

static void apply(const struct func *f, const struct node *n, nid below,
                  struct affine *a) {
    bool single = false;
    nid other = n->in[n->in[0] == below];
    const float *c = per_channel(f, other, a->channels, &single);
    for (size_t o = 0; o < a->channels; o++) {
        double v = c[single ? 0 : o];
        switch (n->op) {
        case OP_ADD: a->t[o] += v; break;
        case OP_MUL: a->s[o] *= v, a->t[o] *= v; break;
        case OP_DIV: a->s[o] /= v, a->t[o] /= v; break;
        default:
            if (n->in[0] == below) a->t[o] -= v;
            else a->s[o] = -a->s[o], a->t[o] = v - a->t[o];
        }
    }
}

// From the bottom up: what v is in terms of the convolution.
static void collect(const struct rewrite *r, nid v, nid bottom, struct affine *a) {
    VEC(nid) path = {0};
    for (nid at = v; at != bottom; at = affine_operand(r->old, node_at(r->old, at)))
        VEC_PUSH(r->arena, &path, at);
    for (size_t i = path.n; i-- > 0;)
        apply(r->old, node_at(r->old, path.at[i]),
              i + 1 < path.n ? path.at[i + 1] : bottom, a);
}

static nid scaled_weight(struct rewrite *r, const struct node *conv,
                         const struct affine *a) {
    const struct node *w = node_at(r->old, conv->in[1]);
    size_t count = type_count(&w->type), per = count / a->channels;
    const float *from = w->data;
    float *data = arena_raw(r->arena, count, sizeof *data);
    for (size_t o = 0, i = 0; o < a->channels; o++)
        for (size_t end = i + per; i < end; i++) data[i] = (float)(from[i] * a->s[o]);
    return b_const_at(&r->b, w->type, data, data_digest(&w->type, data));
}

// Links that another link alone uses are folded with it.
static bool *find_inner(struct arena *arena, const struct func *f) {
    bool *inner = NEW_N(arena, bool, f->nodes.n);
    const uint32_t *uses = func_uses(f, arena);
    for (nid v = 0; v < f->nodes.n; v++) {
        nid below = affine_operand(f, node_at(f, v));
        if (below != NID_NONE && uses[below] == 1) inner[below] = true;
    }
    return inner;
}

static nid fold_rule(struct rewrite *r, nid v, const nid *in) {
    (void)in;
    const bool *inner = r->state;
    nid bottom = inner[v] ? NID_NONE : chain_bottom(r, v);
    if (bottom == NID_NONE) return NID_NONE;
    const struct node *conv = node_at(r->old, bottom);
    struct affine a = {.channels = conv->type.dim[0]};
    a.s = NEW_N(r->arena, double, a.channels);
    a.t = NEW_N(r->arena, double, a.channels);
    for (size_t o = 0; o < a.channels; o++) a.s[o] = 1;
    collect(r, v, bottom, &a);
    size_t dim[3] = {a.channels, 1, 1};
    float *shift = NEW_N(r->arena, float, a.channels);
    for (size_t o = 0; o < a.channels; o++) shift[o] = (float)a.t[o];
    struct conv_attrs attrs = conv_attrs_of(conv);
    nid y = b_conv(&r->b, r->map[conv->in[0]], scaled_weight(r, conv, &a), &attrs);
    nid t = b_const(&r->b, type_tensor(ELEM_F32, false, 3, dim), shift);
    return b_binary(&r->b, OP_ADD, y, t);
}

// Needs: no grad marks. A chain is folded at its last link; the others are then unused.
bool pass_fold_norm(struct module *m, struct module_func *f, struct diags *d) {
    return rewrite_func(m, f, d, fold_rule, find_inner(m->arena, f->f));
}
