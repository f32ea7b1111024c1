// gradcam: the maps of a layer, weighed by what the class's logit gains from each.
#include "passes/lower.h"

static bool is_maps(const struct type *t) {
    return t->rows && t->elem == ELEM_F32 && t->rank == 3 && t->dim[1] * t->dim[2] > 1;
}

static bool in_word(char c) {
    return c != 0 && c != '.' && c != '/';
}

// "layer3" is a part of the node "/layer3/layer3.2/relu/Relu", "layer" is not.
static bool names_part(const char *name, const char *layer) {
    size_t n = strlen(layer);
    for (const char *at = name; n && (at = strstr(at, layer)); at++)
        if ((at == name || !in_word(at[-1])) && !in_word(at[n])) return true;
    return false;
}

// The last maps among the nodes from `first` on that are the layer's, if it has a name.
static nid layer_maps(const struct func *f, nid first, const char *layer) {
    for (nid v = (nid)f->nodes.n; v-- > first;) {
        const struct node *n = node_at(f, v);
        if (!is_maps(&n->type) || op_is_constant(n->op)) continue;
        if (!layer || (n->name && names_part(n->name, layer))) return v;
    }
    return NID_NONE;
}

static nid no_layer(struct fn *f, const struct node *n, const char *layer) {
    if (layer)
        diag_error(f->l->d, n->span, "gradcam: the network has no maps of a layer `%s`",
                   layer);
    else diag_error(f->l->d, n->span, "gradcam: the network has no maps of features");
    diag_help(f->l->d, "`ddg dump --after graph` shows the nodes of a network by name");
    f->l->failed = true;
    return NID_NONE;
}

// f32[to,from]: row i weighs the two places beside the centre of the i-th of `to` parts.
static nid interpolation(struct fn *f, size_t from, size_t to) {
    size_t dim[2] = {to, from};
    float *w = NEW_N(f->l->arena, float, from *to);
    for (size_t i = 0; i < to; i++) {
        double at = ((double)i + 0.5) * (double)from / (double)to - 0.5;
        if (at < 0) at = 0;
        size_t low = size_min((size_t)at, from - 1), high = size_min(low + 1, from - 1);
        double share = low == high ? 0 : at - (double)low;
        w[i * from + low] += (float)(1 - share);
        w[i * from + high] += (float)share;
    }
    return b_const(&f->b, type_tensor(ELEM_F32, false, 2, dim), w);
}

// v[h,w] as grid x grid.
static nid resampled(struct fn *f, nid v, size_t grid) {
    const struct type t = *type_at(f->b.f, v);
    if (t.dim[0] != grid)
        v = b_matmul(&f->b, interpolation(f, t.dim[0], grid), v, false, false);
    if (t.dim[1] != grid)
        v = b_matmul(&f->b, v, interpolation(f, t.dim[1], grid), false, true);
    return v;
}

static nid weighed(struct fn *f, nid maps, nid gradient) {
    static const int64_t places[2] = {1, 2}, channels[1] = {0};
    const struct type *t = type_at(f->b.f, maps);
    nid share = b_f32(&f->b, (float)(1 / (double)(t->dim[1] * t->dim[2])));
    nid gain = b_sum(&f->b, gradient, places, 2, true);
    gain = b_binary(&f->b, OP_MUL, gain, share);
    nid sum = b_sum(&f->b, b_binary(&f->b, OP_MUL, maps, gain), channels, 1, false);
    return b_unary(&f->b, OP_RELU, sum);
}

nid lower_gradcam(struct fn *f, const struct node *n, nid v) {
    const struct model *model = node_at(f->l->graph, n->in[0])->model;
    const struct value *layer = node_attr(n, "layer");
    const char *name = layer->kind == VAL_NONE ? NULL : layer->s;
    size_t grid = (size_t)attr_int(n, "grid");
    nid x = part_normalise(f, model, part_pixels(f, n->in[1]));
    nid first = (nid)f->b.f->nodes.n;
    nid logits = part_logits(f, n->in[0], x, false, v);
    nid maps = layer_maps(f->b.f, first, name);
    if (maps == NID_NONE) {
        if (!f->l->failed) no_layer(f, n, name);
        return resampled(f, b_broadcast(&f->b, b_f32(&f->b, 0), (size_t[]){1, 1}, 2),
                         grid);
    }
    f->l->kept.at[f->s->target].more = (struct digest){maps - first, 0};
    nid cls = part_class(f, n->in[1], model->classes, v);
    nid logit = part_pick(f, logits, cls);
    nid gradient = build_node(&f->b, OP_GRAD, (nid[]){logit, maps}, 2, NULL, NULL);
    return resampled(f, weighed(f, maps, gradient), grid);
}
