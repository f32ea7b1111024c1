// Shorthands for building tensor ops from parts known to be good: a type error is a bug.
#include "ir/build.h"
#include "ir/rules.h"

#include <math.h>

static nid make(struct builder *b, enum op op, const nid *in, size_t nin,
                const struct value *attrs) {
    struct rule_ctx error;
    nid n = build_node(b, op, in, nin, attrs, &error);
    if (n == NID_NONE) BUG("building @%s: %s", b->f->name, error.error);
    return n;
}

nid b_unary(struct builder *b, enum op op, nid x) {
    return make(b, op, &x, 1, NULL);
}

nid b_binary(struct builder *b, enum op op, nid x, nid y) {
    return make(b, op, (nid[]){x, y}, 2, NULL);
}

nid b_cast(struct builder *b, nid x, enum elem e) {
    struct value to = val_string(elem_name(e));
    return make(b, OP_CAST, &x, 1, &to);
}

static nid make_shaped(struct builder *b, enum op op, nid x, const size_t *dim,
                       size_t rank) {
    int64_t shape[TYPE_MAX_RANK];
    CHECK(rank <= TYPE_MAX_RANK);
    for (size_t i = 0; i < rank; i++) shape[i] = (int64_t)dim[i];
    struct value v = val_ints(shape, rank);
    return make(b, op, &x, 1, &v);
}

nid b_reshape(struct builder *b, nid x, const size_t *dim, size_t rank) {
    return make_shaped(b, OP_RESHAPE, x, dim, rank);
}

nid b_broadcast(struct builder *b, nid x, const size_t *dim, size_t rank) {
    return make_shaped(b, OP_BROADCAST, x, dim, rank);
}

nid b_transpose(struct builder *b, nid x, const int64_t *perm, size_t n) {
    struct value v = val_ints(perm, n);
    return make(b, OP_TRANSPOSE, &x, 1, &v);
}

static nid make_reduce(struct builder *b, enum op op, nid x, const int64_t *axes,
                       size_t n, bool keep) {
    struct value v[] = {val_ints(axes, n), val_bool(keep)};
    return make(b, op, &x, 1, v);
}

nid b_sum(struct builder *b, nid x, const int64_t *axes, size_t n, bool keep) {
    return make_reduce(b, OP_SUM, x, axes, n, keep);
}

nid b_amax(struct builder *b, nid x, const int64_t *axes, size_t n, bool keep) {
    return make_reduce(b, OP_AMAX, x, axes, n, keep);
}

nid b_sum_all(struct builder *b, nid x) {
    static const int64_t axes[TYPE_MAX_RANK] = {0, 1, 2, 3, 4, 5};
    uint32_t rank = type_at(b->f, x)->rank;
    return rank ? b_sum(b, x, axes, rank, false) : x;
}

nid b_gather(struct builder *b, nid x, const int64_t *index, size_t n, int64_t axis) {
    struct value v[] = {val_ints(index, n), val_int(axis)};
    return make(b, OP_GATHER, &x, 1, v);
}

nid b_take(struct builder *b, nid table, nid index) {
    return make(b, OP_TAKE, (nid[]){table, index}, 2, NULL);
}

nid b_slice(struct builder *b, nid x, const int64_t *starts, const int64_t *steps,
            const int64_t *sizes, size_t n) {
    struct value v[] = {val_ints(starts, n), val_ints(steps, n), val_ints(sizes, n)};
    return make(b, OP_SLICE, &x, 1, v);
}

nid b_pad(struct builder *b, nid x, const int64_t *before, const int64_t *after,
          const int64_t *interior, size_t n, double value) {
    struct value v[] = {val_ints(before, n), val_ints(after, n), val_ints(interior, n),
                        val_float(value)};
    return make(b, OP_PAD, &x, 1, v);
}

nid b_matmul(struct builder *b, nid x, nid y, bool tx, bool ty) {
    struct value v[] = {val_bool(tx), val_bool(ty)};
    return make(b, OP_MATMUL, (nid[]){x, y}, 2, v);
}

// ---- convolution --------------------------------------------------------------------
static nid make_conv(struct builder *b, enum op op, nid x, nid y,
                     const struct conv_attrs *c, size_t h, size_t w) {
    struct value v[] = {[CONV_STRIDES] = val_ints(c->strides, 2),
                        [CONV_PADS] = val_ints(c->pads, 4),
                        [CONV_DILATIONS] = val_ints(c->dilations, 2),
                        [CONV_GROUPS] = val_int(c->groups),
                        [CONV_SIZE_H] = val_int((int64_t)h),
                        [CONV_SIZE_W] = val_int((int64_t)w)};
    return make(b, op, (nid[]){x, y}, 2, v);
}

nid b_conv(struct builder *b, nid x, nid w, const struct conv_attrs *c) {
    return make_conv(b, OP_CONV, x, w, c, 0, 0);
}

nid b_conv_dx(struct builder *b, nid d, nid w, const struct conv_attrs *c, size_t h,
              size_t width) {
    return make_conv(b, OP_CONV_DX, d, w, c, h, width);
}

nid b_conv_dw(struct builder *b, nid x, nid d, const struct conv_attrs *c, size_t kh,
              size_t kw) {
    return make_conv(b, OP_CONV_DW, x, d, c, kh, kw);
}

struct conv_attrs conv_attrs_of(const struct node *n) {
    CHECK(n->op == OP_CONV || n->op == OP_CONV_DX || n->op == OP_CONV_DW ||
          n->op == OP_CONV_DW_SQNORM);
    const struct value *v = n->attrs;
    struct conv_attrs c = {.groups = v[CONV_GROUPS].i};
    memcpy(c.strides, v[CONV_STRIDES].is, sizeof c.strides);
    memcpy(c.pads, v[CONV_PADS].is, sizeof c.pads);
    memcpy(c.dilations, v[CONV_DILATIONS].is, sizeof c.dilations);
    return c;
}

// ---- batches ------------------------------------------------------------------------
nid b_pack(struct builder *b, nid w, int64_t user) {
    struct value v = val_int(user);
    return make(b, OP_PACK, &w, 1, &v);
}

nid b_batch_sum(struct builder *b, nid x) {
    return make(b, OP_BATCH_SUM, &x, 1, NULL);
}

nid b_batch_norm(struct builder *b, nid x, nid mean, nid var, nid share,
                 const struct batch_norm *n) {
    struct value v[] = {[NORM_EPSILON] = val_float(n->epsilon),
                        [NORM_MOMENTUM] = val_float(n->momentum),
                        [NORM_MEAN] = val_string(n->mean),
                        [NORM_VAR] = val_string(n->var)};
    return make(b, OP_BATCH_NORM, (nid[]){x, mean, var, share}, 4, v);
}

struct batch_norm batch_norm_of(const struct node *n) {
    CHECK(n->op == OP_BATCH_NORM);
    return (struct batch_norm){n->attrs[NORM_EPSILON].f, n->attrs[NORM_MOMENTUM].f,
                               n->attrs[NORM_MEAN].s, n->attrs[NORM_VAR].s};
}

nid b_channels(struct builder *b, nid v, uint32_t rank) {
    size_t dim[TYPE_MAX_RANK] = {type_at(b->f, v)->dim[0], 1, 1, 1, 1, 1};
    return b_reshape(b, v, dim, rank);
}

nid b_inverse_deviation(struct builder *b, nid var, double epsilon) {
    const struct node *n = node_at(b->f, var);
    if (n->op != OP_CONST || !n->data) {
        nid sum = b_binary(b, OP_ADD, var, b_f32(b, (float)epsilon));
        return b_binary(b, OP_DIV, b_f32(b, 1), b_unary(b, OP_SQRT, sum));
    }
    struct type t = n->type;
    size_t count = type_count(&t);
    float *k = NEW_N(b->arena, float, count);
    for (size_t i = 0; i < count; i++)
        k[i] = (float)(1 / sqrt((double)((const float *)n->data)[i] + epsilon));
    b->name = n->name;
    return b_const_at(b, t, k, data_digest(&t, k));
}

// Constants keep their names: people know statistics by them.
static nid channels_of(struct builder *b, nid v, uint32_t rank) {
    b->name = node_at(b->f, v)->name;
    return b_channels(b, v, rank);
}

nid build_batch_norm(struct builder *b, const struct node *n, const nid *in) {
    struct span span = b->span;
    if (n->span.file) b->span = n->span;
    nid mean = channels_of(b, in[1], n->type.rank);
    b->name = n->name;
    nid y = b_binary(b, OP_SUB, in[0], mean);
    nid inverse = b_inverse_deviation(b, in[2], n->attrs[NORM_EPSILON].f);
    inverse = channels_of(b, inverse, n->type.rank);
    b->name = n->name;
    y = b_binary(b, OP_MUL, y, inverse);
    b->span = span;
    return y;
}
