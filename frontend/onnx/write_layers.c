// Layers that are one ONNX node and several ops of the IR: convolutions with a bias,
// norms, linear layers, means. See write.h.
//
// A layer is seen at its last op, and what lies between its first and its last is written
// only if somebody else reads it too. Its products are written once: one that others read
// is none of the layer's.
#include "frontend/onnx/write.h"

enum kind_of_layer {
    LAYER_CONV,
    LAYER_BATCH_NORM,
    LAYER_INSTANCE_NORM,
    LAYER_LAYER_NORM,
    LAYER_LINEAR,
    LAYER_MEAN
};

struct write_layer {
    enum kind_of_layer kind;
    nid x;    // what it is applied to
    nid core; // its conv, batch_norm, matmul or sum
    // Parameters (of a norm: its scale and shift), or NID_NONE.
    nid weight, bias;
    size_t first; // LAYER_NORM: the first axis that is normed
    double epsilon;
};

struct finding {
    struct writing *w;
    const uint32_t *uses;
};

// ---- parts of layers -----------------------------------------------------------------
static const struct node *at(const struct finding *g, nid v) {
    return node_at(g->w->f, v);
}

static nid shown(const struct finding *g, nid v) { // behind a reshape
    return at(g, v)->op == OP_RESHAPE ? at(g, v)->in[0] : v;
}

// A vector of the channels of maps t (or of the features of a row of them), reshaped to
// go with them; NID_NONE: v is none.
static nid channel_vector(const struct finding *g, nid v, const struct type *t) {
    const struct type *full = &at(g, v)->type;
    nid vector = shown(g, v);
    const struct node *n = at(g, vector);
    bool is = !n->type.rows && n->type.rank == 1 && n->type.elem == ELEM_F32 &&
              full->rank == t->rank && full->dim[0] == t->dim[0];
    for (size_t i = 1; is && i < full->rank; i++) is = full->dim[i] == 1;
    return is && op_is_constant(n->op) ? vector : NID_NONE;
}

// v as op(x, vector), in either order; used by nobody else if it is not the last op.
static bool with_vector(const struct finding *g, nid v, enum op op, bool last, nid *x,
                        nid *vector) {
    const struct node *n = at(g, v);
    if (n->op != op || !n->type.rows || (!last && g->uses[v] != 1)) return false;
    for (int i = 0; i < 2; i++) {
        *x = n->in[i];
        *vector = channel_vector(g, n->in[1 - i], &n->type);
        if (*vector != NID_NONE && type_eq(&at(g, *x)->type, &n->type)) return true;
    }
    return false;
}

// ---- layers --------------------------------------------------------------------------
static bool find_conv(const struct finding *g, nid v, struct write_layer *out) {
    nid conv, bias;
    if (!with_vector(g, v, OP_ADD, true, &conv, &bias)) return false;
    const struct node *n = at(g, conv);
    if (n->op != OP_CONV || g->uses[conv] != 1 || at(g, n->in[1])->type.rows)
        return false;
    *out = (struct write_layer){LAYER_CONV, n->in[0], conv, n->in[1], bias, 0, 0};
    return true;
}

static bool find_batch_norm(const struct finding *g, nid v, struct write_layer *out) {
    nid product, norm, scale, shift;
    if (at(g, v)->op == OP_BATCH_NORM) {
        *out = (struct write_layer){
            LAYER_BATCH_NORM, at(g, v)->in[0], v, NID_NONE, NID_NONE, 0, 0};
        return true;
    }
    if (!with_vector(g, v, OP_ADD, true, &product, &shift) ||
        !with_vector(g, product, OP_MUL, false, &norm, &scale) ||
        at(g, norm)->op != OP_BATCH_NORM || g->uses[norm] != 1)
        return false;
    *out = (struct write_layer){
        LAYER_BATCH_NORM, at(g, norm)->in[0], norm, scale, shift, 0, 0};
    return true;
}

// A row's features as a matrix of one row, times a weight, as a vector again.
static bool find_linear(const struct finding *g, nid v, struct write_layer *out) {
    nid y = v, bias = NID_NONE;
    if (at(g, v)->op == OP_ADD && !with_vector(g, v, OP_ADD, true, &y, &bias))
        return false;
    const struct node *flat = at(g, y);
    if (flat->op != OP_RESHAPE || flat->type.rank != 1) return false;
    if (bias != NID_NONE && g->uses[y] != 1) return false;
    const struct node *n = at(g, flat->in[0]);
    if (n->op != OP_MATMUL || n->attrs[0].i || g->uses[flat->in[0]] != 1) return false;
    const struct type *x = type_at(g->w->f, n->in[0]), *w = type_at(g->w->f, n->in[1]);
    if (x->rank != 2 || x->dim[0] != 1 || !x->rows || w->rank != 2 || w->rows)
        return false;
    *out = (struct write_layer){
        LAYER_LINEAR, shown(g, n->in[0]), flat->in[0], n->in[1], bias, 0, 0};
    return true;
}

// ---- means, and norms that are made of them ------------------------------------------
// x op y for the value of another node; false: v is something else.
static bool pair(const struct finding *g, nid v, enum op op, nid *x, nid *y) {
    const struct node *n = at(g, v);
    if (n->op != op) return false;
    *x = n->in[0];
    *y = n->in[1];
    return true;
}

static bool number(const struct finding *g, nid v, double *out) {
    const struct node *n = at(g, v);
    if (n->op != OP_CONST || n->type.rank || n->type.elem != ELEM_F32) return false;
    *out = (double)*(const float *)n->data;
    return true;
}

// A sum over axes times 1 / elements.
static bool find_mean(const struct finding *g, nid v, struct write_layer *out) {
    nid sum, share;
    double by, count = 1;
    if (!pair(g, v, OP_MUL, &sum, &share) || !number(g, share, &by)) return false;
    const struct node *n = at(g, sum);
    if (n->op != OP_SUM || g->uses[sum] != 1 || n->attrs[0].n == 0) return false;
    const struct type *x = type_at(g->w->f, n->in[0]);
    for (size_t i = 0; i < n->attrs[0].n; i++) count *= (double)x->dim[n->attrs[0].is[i]];
    *out = (struct write_layer){LAYER_MEAN, n->in[0], sum, NID_NONE, NID_NONE, 0, 0};
    return (float)(1 / count) == (float)by;
}

// The mean of x over all its axes from *first on, which stay as 1.
static bool last_axes_mean(const struct finding *g, nid v, nid *x, size_t *first) {
    struct write_layer mean;
    if (!find_mean(g, v, &mean)) return false;
    const struct value *attrs = at(g, mean.core)->attrs;
    size_t rank = at(g, mean.x)->type.rank;
    *x = mean.x;
    *first = rank - attrs[0].n;
    for (size_t i = 0; i < attrs[0].n; i++)
        if (attrs[0].is[i] != (int64_t)(*first + i)) return false;
    return attrs[1].i;
}

// (x - mean) * (1 / sqrt(mean of squares + epsilon)), as the importer makes it.
static bool find_standard(const struct finding *g, nid v, struct write_layer *out) {
    nid d, d2, inverse, one, root, variance, epsilon, x, x2, mean, squares;
    size_t first;
    double is_one;
    if (!pair(g, v, OP_MUL, &d, &inverse) || !pair(g, d, OP_SUB, &x, &mean) ||
        !last_axes_mean(g, mean, &x2, &out->first) || x2 != x ||
        !pair(g, inverse, OP_DIV, &one, &root) || !number(g, one, &is_one) ||
        is_one != 1 || at(g, root)->op != OP_SQRT ||
        !pair(g, at(g, root)->in[0], OP_ADD, &variance, &epsilon) ||
        !number(g, epsilon, &out->epsilon) ||
        !last_axes_mean(g, variance, &squares, &first) || first != out->first ||
        !pair(g, squares, OP_MUL, &d2, &x2) || d2 != d || x2 != d)
        return false;
    out->x = x;
    out->core = v;
    return at(g, v)->type.rows;
}

// ADD(MUL(a standard value, scale), shift); the last op is v.
static bool find_scaled(const struct finding *g, nid v, struct write_layer *out) {
    nid product, norm;
    return pair(g, v, OP_ADD, &product, &out->bias) && g->uses[product] == 1 &&
           pair(g, product, OP_MUL, &norm, &out->weight) && g->uses[norm] == 1 &&
           find_standard(g, norm, out);
}

// Of the places of each channel.
static bool find_instance_norm(const struct finding *g, nid v, struct write_layer *out) {
    const struct type *t = &at(g, v)->type;
    out->kind = LAYER_INSTANCE_NORM;
    if (find_scaled(g, v, out)) {
        out->weight = channel_vector(g, out->weight, t);
        out->bias = channel_vector(g, out->bias, t);
        return out->first == 1 && out->weight != NID_NONE && out->bias != NID_NONE;
    }
    out->weight = out->bias = NID_NONE;
    return find_standard(g, v, out) && out->first == 1;
}

// A constant with all axes of t from `first` on.
static bool is_trailing(const struct finding *g, nid v, const struct type *t,
                        size_t first) {
    const struct node *n = at(g, v);
    return op_is_constant(n->op) && n->type.elem == ELEM_F32 &&
           n->type.rank == t->rank - first &&
           memcmp(n->type.dim, t->dim + first, n->type.rank * sizeof *t->dim) == 0;
}

// Of the last axes, whatever there is before.
static bool find_layer_norm(const struct finding *g, nid v, struct write_layer *out) {
    const struct type *t = &at(g, v)->type;
    out->kind = LAYER_LAYER_NORM;
    if (find_scaled(g, v, out)) {
        out->weight = shown(g, out->weight);
        out->bias = shown(g, out->bias);
        return is_trailing(g, out->weight, t, out->first) &&
               is_trailing(g, out->bias, t, out->first);
    }
    out->weight = out->bias = NID_NONE;
    return find_standard(g, v, out);
}

static bool find(const struct finding *g, nid v, struct write_layer *out) {
    return find_conv(g, v, out) || find_batch_norm(g, v, out) || find_linear(g, v, out) ||
           find_instance_norm(g, v, out) || find_layer_norm(g, v, out) ||
           find_mean(g, v, out);
}

static void need(struct writing *w, nid v) {
    if (v != NID_NONE) w->needed[v] = true;
}

// From the output backwards. The statistics of a norm are written with it.
void write_find_layers(struct writing *w) {
    struct finding g = {w, func_uses(w->f, w->arena)};
    need(w, w->f->outs.at[0]);
    for (nid v = (nid)w->f->nodes.n; v-- > 0;) {
        struct write_layer found;
        const struct node *n = node_at(w->f, v);
        if (!w->needed[v]) continue;
        if (find(&g, v, &found)) {
            w->layers[v] = arena_dup(w->arena, &found, 1, sizeof found);
            need(w, found.x);
            need(w, found.weight);
            need(w, found.bias);
            continue;
        }
        for (uint32_t i = 0; i < n->nin; i++) need(w, n->in[i]);
    }
}

// ---- as nodes ------------------------------------------------------------------------
static void conv_node(struct writing *w, const struct write_layer *l, const char *out) {
    const char *in[] = {w->names[l->x], w->names[l->weight], w->names[l->bias]};
    write_conv_attrs(w, write_node(w, "Conv", in, 3, out), node_at(w->f, l->core));
}

static const char *statistic(struct writing *w, const char *wish, nid v) {
    const char *name = write_name(w, wish);
    write_tensor(w, name, type_at(w->f, v), node_at(w->f, v)->data);
    return name;
}

// What a norm without a scale or a shift has instead: `other` everywhere.
static const char *or_all(struct writing *w, nid v, const struct type *t, float other) {
    if (v != NID_NONE) return w->names[v];
    size_t n = type_count(t);
    float *data = NEW_N(w->arena, float, n);
    for (size_t i = 0; i < n; i++) data[i] = other;
    const char *name = write_temp(w);
    write_constant(w, name, t, data);
    return name;
}

static void batch_norm_node(struct writing *w, const struct write_layer *l,
                            const char *out) {
    const struct node *n = node_at(w->f, l->core);
    const struct type *t = type_at(w->f, n->in[1]);
    struct batch_norm norm = batch_norm_of(n);
    const char *in[] = {w->names[l->x], or_all(w, l->weight, t, 1),
                        or_all(w, l->bias, t, 0), statistic(w, norm.mean, n->in[1]),
                        statistic(w, norm.var, n->in[2])};
    Onnx__NodeProto *p = write_node(w, "BatchNormalization", in, 5, out);
    write_attr_float(w, p, "epsilon", norm.epsilon);
    write_attr_float(w, p, "momentum", 1 - norm.momentum); // of the old ones
}

static void instance_norm_node(struct writing *w, const struct write_layer *l,
                               const char *out) {
    const struct type c = type_tensor(ELEM_F32, false, 1, type_at(w->f, l->x)->dim);
    const char *in[] = {w->names[l->x], or_all(w, l->weight, &c, 1),
                        or_all(w, l->bias, &c, 0)};
    write_attr_float(w, write_node(w, "InstanceNormalization", in, 3, out), "epsilon",
                     l->epsilon);
}

static void layer_norm_node(struct writing *w, const struct write_layer *l,
                            const char *out) {
    const struct type *x = type_at(w->f, l->x);
    const struct type t =
        type_tensor(ELEM_F32, false, x->rank - (uint32_t)l->first, x->dim + l->first);
    const char *in[] = {w->names[l->x], or_all(w, l->weight, &t, 1),
                        or_all(w, l->bias, &t, 0)};
    Onnx__NodeProto *p = write_node(w, "LayerNormalization", in, 3, out);
    write_attr_int(w, p, "axis", (int64_t)l->first + 1);
    write_attr_float(w, p, "epsilon", l->epsilon);
}

static void mean_node(struct writing *w, const struct write_layer *l, const char *out) {
    const struct node *n = node_at(w->f, l->core);
    int64_t axes[TYPE_MAX_RANK];
    size_t count = n->attrs[0].n;
    for (size_t i = 0; i < count; i++) axes[i] = n->attrs[0].is[i] + n->type.rows;
    Onnx__NodeProto *p = write_node(w, "ReduceMean", &w->names[l->x], 1, out);
    write_attr_ints(w, p, "axes", axes, count);
    write_attr_int(w, p, "keepdims", n->attrs[1].i);
}

static void linear_node(struct writing *w, const struct write_layer *l, const char *out) {
    const struct node *n = node_at(w->f, l->core);
    const struct type *x = type_at(w->f, l->x);
    bool vector = x->rank == 1, bias = l->bias != NID_NONE;
    const char *flat = vector ? w->names[l->x] : write_temp(w);
    size_t features = type_count(x);
    if (!vector) write_reshape(w, w->names[l->x], true, &features, 1, flat);
    const char *in[] = {flat, w->names[l->weight], bias ? w->names[l->bias] : NULL};
    Onnx__NodeProto *p = write_node(w, "Gemm", in, bias ? 3 : 2, out);
    write_attr_int(w, p, "transB", n->attrs[1].i);
}

void write_layer(struct writing *w, nid v) {
    const struct write_layer *l = w->layers[v];
    switch (l->kind) {
    case LAYER_CONV: conv_node(w, l, w->names[v]); return;
    case LAYER_BATCH_NORM: batch_norm_node(w, l, w->names[v]); return;
    case LAYER_INSTANCE_NORM: instance_norm_node(w, l, w->names[v]); return;
    case LAYER_LAYER_NORM: layer_norm_node(w, l, w->names[v]); return;
    case LAYER_MEAN: mean_node(w, l, w->names[v]); return;
    case LAYER_LINEAR: linear_node(w, l, w->names[v]); return;
    }
    BUG("layer of unknown kind %d", (int)l->kind);
}
