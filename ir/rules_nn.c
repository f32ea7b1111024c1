// Type rules of matrix products, convolutions, pools, the runtime's ops and marks.
#include "ir/rules.h"

static bool check_f32(struct rule_ctx *c, size_t i, const char *name, uint32_t rank) {
    const struct type *t = c->ins[i];
    return (t->elem == ELEM_F32 && t->rank == rank) ||
           rule_fail_in(c, (int)i, "`%s` must be f32 with %u axes, this is %s", name,
                        rank, rule_type(c, i));
}

static bool any_rows(const struct rule_ctx *c) {
    bool rows = false;
    for (size_t i = 0; i < c->nin; i++) rows |= c->ins[i] && c->ins[i]->rows;
    return rows;
}

// Of what is multiplied: f32 or bf16, and both the same.
static bool check_factor(struct rule_ctx *c, size_t i, const char *name, uint32_t rank) {
    const struct type *t = c->ins[i];
    bool number = t->elem == ELEM_F32 || t->elem == ELEM_BF16;
    return (number && t->rank == rank) ||
           rule_fail_in(c, (int)i, "`%s` must be f32 or bf16 with %u axes, this is %s",
                        name, rank, rule_type(c, i));
}

static bool check_same_numbers(struct rule_ctx *c) {
    return c->ins[0]->elem == c->ins[1]->elem ||
           rule_fail(c, "elements differ: %s and %s", rule_type(c, 0), rule_type(c, 1));
}

static bool check_factors(struct rule_ctx *c, const char *first) {
    return check_factor(c, 0, first, 3) && check_factor(c, 1, "w", 4) &&
           check_same_numbers(c);
}

static bool check_matrices(struct rule_ctx *c, size_t i, const char *name) {
    const struct type *t = c->ins[i];
    bool number = t->elem == ELEM_F32 || t->elem == ELEM_BF16;
    return (number && t->rank >= 2) ||
           rule_fail_in(c, (int)i,
                        "`%s` must be f32 or bf16 with 2 axes or more, this is %s", name,
                        rule_type(c, i));
}

// Matrices, or equally many stacked along equal leading axes.
bool rule_matmul(struct rule_ctx *c, struct type *out) {
    if (!check_matrices(c, 0, "x") || !check_matrices(c, 1, "y") ||
        !check_same_numbers(c))
        return false;
    uint32_t rank = c->ins[0]->rank, lead = rank - 2;
    bool stacked = c->ins[1]->rank == rank;
    for (uint32_t i = 0; stacked && i < lead; i++)
        stacked = c->ins[0]->dim[i] == c->ins[1]->dim[i];
    if (!stacked)
        return rule_fail(c,
                         "x and y must have equally many axes, all but the last two "
                         "equal: %s times %s",
                         rule_type(c, 0), rule_type(c, 1));
    const size_t *x = c->ins[0]->dim + lead, *y = c->ins[1]->dim + lead;
    bool tx = c->attrs[0].i != 0, ty = c->attrs[1].i != 0;
    if (x[!tx] != y[ty])
        return rule_fail(c, "inner sizes differ: %s%s times %s%s", rule_type(c, 0),
                         tx ? " transposed" : "", rule_type(c, 1),
                         ty ? " transposed" : "");
    *out = type_tensor(ELEM_F32, any_rows(c), rank, c->ins[0]->dim);
    out->dim[lead] = x[tx];
    out->dim[lead + 1] = y[!ty];
    return true;
}

// ---- convolution --------------------------------------------------------------------
static bool check_list(struct rule_ctx *c, int attr, const char *name, size_t n) {
    return c->attrs[attr].n == n ||
           rule_fail_attr(c, attr, "`%s` must have %zu entries, this has %zu", name, n,
                          c->attrs[attr].n);
}

static bool check_conv_attrs(struct rule_ctx *c) {
    return check_list(c, CONV_STRIDES, "strides", 2) &&
           check_list(c, CONV_PADS, "pads", 4) &&
           check_list(c, CONV_DILATIONS, "dilations", 2);
}

// Places of a window of `reach` pixels along a side; 0 when there is none.
static size_t places(size_t side, size_t pad, size_t reach, size_t stride) {
    return reach && side + pad >= reach ? (side + pad - reach) / stride + 1 : 0;
}

// Height and width of conv(x, w) for x of in[0] x in[1] and a kernel of k[0] x k[1].
static bool conv_sides(struct rule_ctx *c, const size_t in[2], const size_t k[2],
                       size_t out[2]) {
    const int64_t *strides = c->attrs[CONV_STRIDES].is, *pads = c->attrs[CONV_PADS].is;
    for (int i = 0; i < 2; i++) {
        size_t dilation = (size_t)c->attrs[CONV_DILATIONS].is[i];
        size_t reach = k[i] ? dilation * (k[i] - 1) + 1 : 0;
        out[i] = in[i] ? places(in[i], (size_t)(pads[i] + pads[i + 2]), reach,
                                (size_t)strides[i])
                       : 0;
    }
    return (out[0] && out[1]) ||
           rule_fail(c,
                     "a kernel of %zu x %zu does not fit into %zu x %zu with its padding",
                     k[0], k[1], in[0], in[1]);
}

static bool check_groups(struct rule_ctx *c, size_t channels, size_t outputs) {
    size_t groups = (size_t)c->attrs[CONV_GROUPS].i;
    return (channels && outputs && channels % groups == 0 && outputs % groups == 0) ||
           rule_fail_attr(c, CONV_GROUPS,
                          "%zu groups do not divide %zu input and %zu output channels",
                          groups, channels, outputs);
}

bool rule_conv(struct rule_ctx *c, struct type *out) {
    if (!check_factors(c, "x") || !check_conv_attrs(c)) return false;
    const size_t *x = c->ins[0]->dim, *w = c->ins[1]->dim;
    size_t side[2], groups = (size_t)c->attrs[CONV_GROUPS].i;
    if (!check_groups(c, x[0], w[0]) || !conv_sides(c, x + 1, w + 2, side)) return false;
    if (x[0] / groups != w[1])
        return rule_fail(c, "x has %zu channels in %zu groups, w takes %zu a group", x[0],
                         groups, w[1]);
    *out = type_tensor(ELEM_F32, any_rows(c), 3, (size_t[]){w[0], side[0], side[1]});
    return true;
}

// d must be of the shape that conv gives for these sides.
static bool check_conv_d(struct rule_ctx *c, size_t i, const size_t in[2],
                         const size_t k[2]) {
    const size_t *d = c->ins[i]->dim;
    size_t side[2];
    if (!conv_sides(c, in, k, side)) return false;
    return (d[1] == side[0] && d[2] == side[1]) ||
           rule_fail_in(c, (int)i, "`d` is %s, conv gives %zu x %zu", rule_type(c, i),
                        side[0], side[1]);
}

bool rule_conv_dx(struct rule_ctx *c, struct type *out) {
    if (!check_factors(c, "d") || !check_conv_attrs(c)) return false;
    const size_t *d = c->ins[0]->dim, *w = c->ins[1]->dim;
    size_t channels = w[1] * (size_t)c->attrs[CONV_GROUPS].i;
    size_t in[2] = {(size_t)c->attrs[CONV_SIZE_H].i, (size_t)c->attrs[CONV_SIZE_W].i};
    if (d[0] != w[0]) return rule_fail(c, "d has %zu channels, w makes %zu", d[0], w[0]);
    if (!check_groups(c, channels, w[0]) || !check_conv_d(c, 0, in, w + 2)) return false;
    *out = type_tensor(ELEM_F32, any_rows(c), 3, (size_t[]){channels, in[0], in[1]});
    return true;
}

bool rule_conv_dw(struct rule_ctx *c, struct type *out) {
    if (!check_f32(c, 0, "x", 3) || !check_f32(c, 1, "d", 3) || !check_conv_attrs(c))
        return false;
    const size_t *x = c->ins[0]->dim, *d = c->ins[1]->dim;
    size_t k[2] = {(size_t)c->attrs[CONV_SIZE_H].i, (size_t)c->attrs[CONV_SIZE_W].i};
    if (!check_groups(c, x[0], d[0]) || !check_conv_d(c, 1, x + 1, k)) return false;
    size_t per_group = x[0] / (size_t)c->attrs[CONV_GROUPS].i;
    *out = type_tensor(ELEM_F32, any_rows(c), 4, (size_t[]){d[0], per_group, k[0], k[1]});
    return true;
}

bool rule_conv_dw_sqnorm(struct rule_ctx *c, struct type *out) {
    if (!rule_conv_dw(c, out)) return false;
    *out = type_scalar(ELEM_F32, out->rows);
    return true;
}

// ---- pools --------------------------------------------------------------------------
// Every window must touch the image: padding is smaller than the window.
static bool check_pool_attrs(struct rule_ctx *c) {
    if (!check_list(c, POOL_KERNEL, "kernel", 2) ||
        !check_list(c, POOL_STRIDES, "strides", 2) ||
        !check_list(c, POOL_PADS, "pads", 4))
        return false;
    for (int i = 0; i < 4; i++)
        if (c->attrs[POOL_PADS].is[i] >= c->attrs[POOL_KERNEL].is[i % 2])
            return rule_fail_attr(c, POOL_PADS,
                                  "padding must be smaller than the window");
    return true;
}

static bool pool_sides(struct rule_ctx *c, const size_t in[2], size_t out[2]) {
    const int64_t *k = c->attrs[POOL_KERNEL].is, *strides = c->attrs[POOL_STRIDES].is;
    const int64_t *pads = c->attrs[POOL_PADS].is;
    for (int i = 0; i < 2; i++)
        out[i] = in[i] ? places(in[i], (size_t)(pads[i] + pads[i + 2]), (size_t)k[i],
                                (size_t)strides[i])
                       : 0;
    return (out[0] && out[1]) ||
           rule_fail(c, "a window of %lld x %lld does not fit into %zu x %zu",
                     (long long)k[0], (long long)k[1], in[0], in[1]);
}

bool rule_pool2d(struct rule_ctx *c, struct type *out) {
    if (!check_f32(c, 0, "x", 3) || !check_pool_attrs(c)) return false;
    *out = *c->ins[0];
    return pool_sides(c, c->ins[0]->dim + 1, out->dim + 1);
}

static bool check_pool_d(struct rule_ctx *c, int i, const struct type *want) {
    return type_same_shape(c->ins[i], want) ||
           rule_fail_in(c, i, "`%s` is %s, the pool gives %s", i == 1 ? "y" : "d",
                        rule_type(c, (size_t)i), type_str(c->arena, want));
}

bool rule_maxpool_dx(struct rule_ctx *c, struct type *out) {
    struct type y;
    if (!check_f32(c, 1, "y", 3) || !check_f32(c, 2, "d", 3) || !rule_pool2d(c, &y) ||
        !check_pool_d(c, 1, &y) || !check_pool_d(c, 2, &y))
        return false;
    *out = *c->ins[0];
    out->rows = any_rows(c);
    return true;
}

bool rule_maxpool_jvp(struct rule_ctx *c, struct type *out) {
    if (!check_f32(c, 1, "y", 3) || !check_f32(c, 2, "t", 3) || !rule_pool2d(c, out) ||
        !check_pool_d(c, 1, out))
        return false;
    out->rows = any_rows(c);
    return type_same_shape(c->ins[0], c->ins[2]) ||
           rule_fail_in(c, 2, "`t` is %s, `x` is %s", rule_type(c, 2), rule_type(c, 0));
}

bool rule_avgpool_dx(struct rule_ctx *c, struct type *out) {
    if (!check_f32(c, 0, "d", 3) || !check_pool_attrs(c)) return false;
    const struct type *d = c->ins[0];
    size_t in[2] = {(size_t)c->attrs[POOL_H].i, (size_t)c->attrs[POOL_W].i};
    struct type want = *d;
    if (!pool_sides(c, in, want.dim + 1) || !check_pool_d(c, 0, &want)) return false;
    *out = type_tensor(ELEM_F32, d->rows, 3, (size_t[]){d->dim[0], in[0], in[1]});
    return true;
}

// ---- what the runtime computes ------------------------------------------------------
static bool check_key(struct rule_ctx *c) {
    const struct type *key = c->ins[0];
    return (key->elem == ELEM_U64 && key->rank == 1 && key->dim[0] == 2) ||
           rule_fail_in(c, 0, "`key` must be u64[2], this is %s", rule_type(c, 0));
}

bool rule_normal(struct rule_ctx *c, struct type *out) {
    const struct value *shape = &c->attrs[0];
    if (!check_key(c)) return false;
    if (shape->n > TYPE_MAX_RANK) return rule_fail_attr(c, 0, "too many axes");
    *out = (struct type){.kind = KIND_TENSOR,
                         .elem = ELEM_F32,
                         .rows = c->ins[0]->rows,
                         .rank = (uint32_t)shape->n};
    for (size_t i = 0; i < shape->n; i++) {
        if (shape->is[i] < 0)
            return rule_fail_attr(c, 0, "a dimension cannot be negative");
        out->dim[i] = (size_t)shape->is[i];
    }
    return true;
}

enum { BOX_H, BOX_W, BOX_SCALE, BOX_RATIO };

static bool check_box_range(struct rule_ctx *c, int attr, const char *name) {
    const struct value *v = &c->attrs[attr];
    return (v->n == 2 && v->fs[0] > 0 && v->fs[0] <= v->fs[1]) ||
           rule_fail_attr(c, attr, "`%s` must be two positive numbers, the lesser first",
                          name);
}

bool rule_random_box(struct rule_ctx *c, struct type *out) {
    const struct type *index = c->ins[1];
    if (!check_key(c)) return false;
    if (index->elem != ELEM_I32 || index->rank != 0)
        return rule_fail_in(c, 1, "`index` must be i32[], this is %s", rule_type(c, 1));
    *out = type_tensor(ELEM_I32, any_rows(c), 1, (size_t[]){4});
    return check_box_range(c, BOX_SCALE, "scale") &&
           check_box_range(c, BOX_RATIO, "ratio");
}

bool rule_resize(struct rule_ctx *c, struct type *out) {
    const struct type *x = c->ins[0], *box = c->nin > 1 ? c->ins[1] : NULL;
    if (x->elem != ELEM_U8 || x->rank != 3 || type_count(x) == 0)
        return rule_fail_in(c, 0, "`x` must be u8[C,H,W], this is %s", rule_type(c, 0));
    if (box && (box->elem != ELEM_I32 || box->rank != 1 || box->dim[0] != 4))
        return rule_fail_in(c, 1, "`box` must be i32[4], this is %s", rule_type(c, 1));
    *out =
        type_tensor(ELEM_U8, any_rows(c), 3,
                    (size_t[]){x->dim[0], (size_t)c->attrs[0].i, (size_t)c->attrs[1].i});
    return true;
}

bool rule_grad(struct rule_ctx *c, struct type *out) {
    const struct type *y = c->ins[0], *x = c->ins[1];
    if (!check_f32(c, 0, "y", 0)) return false;
    if (x->elem != ELEM_F32)
        return rule_fail_in(c, 1, "`x` must be f32, this is %s", rule_type(c, 1));
    *out = *x;
    out->rows = y->rows || x->rows;
    return true;
}

// ---- batches -------------------------------------------------------------------------
bool rule_pack(struct rule_ctx *c, struct type *out) {
    *out = *c->ins[0];
    if (out->elem != ELEM_F32)
        return rule_fail_in(c, 0, "takes f32, this is %s", rule_type(c, 0));
    return !out->rows || rule_fail_in(c, 0, "`w` must be shared by all rows, this is %s",
                                      rule_type(c, 0));
}

bool rule_batch_sum(struct rule_ctx *c, struct type *out) {
    *out = *c->ins[0];
    out->rows = false;
    return out->elem == ELEM_F32 ||
           rule_fail_in(c, 0, "takes f32, this is %s", rule_type(c, 0));
}

enum { BATCH_X, BATCH_MEAN, BATCH_VAR, BATCH_SHARE };

static bool check_statistics(struct rule_ctx *c, size_t i, const char *name) {
    const struct type *t = c->ins[i];
    if (!check_f32(c, i, name, 1)) return false;
    return (t->dim[0] == c->ins[BATCH_X]->dim[0] && !t->rows) ||
           rule_fail_in(c, (int)i, "`%s` must be one number a channel of %s, this is %s",
                        name, rule_type(c, BATCH_X), rule_type(c, i));
}

bool rule_batch_norm(struct rule_ctx *c, struct type *out) {
    *out = *c->ins[BATCH_X];
    if (out->elem != ELEM_F32 || out->rank == 0)
        return rule_fail_in(c, BATCH_X,
                            "`x` must be f32 with an axis of channels, this is %s",
                            rule_type(c, BATCH_X));
    if (!check_statistics(c, BATCH_MEAN, "mean") ||
        !check_statistics(c, BATCH_VAR, "var"))
        return false;
    const struct type *share = c->nin > BATCH_SHARE ? c->ins[BATCH_SHARE] : NULL;
    if (!share) return true;
    return (check_f32(c, BATCH_SHARE, "share", 0) && !share->rows) ||
           rule_fail_in(c, BATCH_SHARE,
                        "`share` must be f32[] of the whole batch, this is %s",
                        rule_type(c, BATCH_SHARE));
}
