// Norms: batch, instance, group and layer.
//
// Scales and shifts are one reshape and one elementwise op on the parameter itself, so
// that differentiation sees each in one known form.
#include "frontend/onnx/onnx.h"

#include <math.h>

// ---- what they share -----------------------------------------------------------------
// A value f32[N,C,...] and which axis of its node the channels are.
static bool check_channels(struct import *im, struct onnx_val v, size_t min_rank,
                           size_t *channels) {
    if (val_type(im, v)->elem == ELEM_F32 && val_rank(im, v) >= min_rank)
        return val_axis(im, v, 1, channels);
    return op_fail(im, "takes f32[N,C,...] of %zu axes or more, this is %s", min_rank,
                   val_text(im, v));
}

// A vector v along one axis of x.
static nid along(struct import *im, nid v, nid x, size_t axis) {
    size_t dim[TYPE_MAX_RANK];
    if (v == NID_NONE || x == NID_NONE) return NID_NONE;
    for (size_t i = 0; i < TYPE_MAX_RANK; i++) dim[i] = 1;
    dim[axis] = type_at(im->b.f, v)->dim[0];
    return op_reshape(im, v, dim, type_at(im->b.f, x)->rank);
}

bool check_vector(struct import *im, struct onnx_val v, const char *what, size_t n) {
    const struct type *t = val_type(im, v);
    if (v.form == FORM_FIXED && t->elem == ELEM_F32 && t->rank == 1 && t->dim[0] == n)
        return true;
    return op_fail(im, "has %s %s where f32[%zu] is expected", what, val_text(im, v), n);
}

// x * scale + shift, both one number for each place of an axis.
static nid scale_shift(struct import *im, nid x, size_t axis, nid scale, nid shift) {
    x = op2(im, OP_MUL, x, along(im, scale, x, axis));
    return op2(im, OP_ADD, x, along(im, shift, x, axis));
}

static bool read_epsilon(struct import *im, double *out) {
    if (!node_float(im, "epsilon", 1e-5, out)) return false;
    return *out >= 0 || op_fail(im, "has epsilon = %g", *out);
}

struct standard {         // a value with mean 0 and variance 1
    nid y, mean, inverse; // of the deviation
};

// Over axes [first, last) of x.
static struct standard standardise(struct import *im, nid x, size_t first, size_t last,
                                   double epsilon) {
    int64_t axes[TYPE_MAX_RANK];
    double count = 1;
    if (x == NID_NONE) return (struct standard){NID_NONE, NID_NONE, NID_NONE};
    size_t n = last - first;
    for (size_t i = 0; i < n; i++) {
        axes[i] = (int64_t)(first + i);
        count *= (double)type_at(im->b.f, x)->dim[first + i];
    }
    nid share = op_scalar(im, 1 / count);
    nid mean = op2(im, OP_MUL, op_reduce(im, OP_SUM, x, axes, n, true), share);
    nid d = op2(im, OP_SUB, x, mean);
    nid squares = op_reduce(im, OP_SUM, op2(im, OP_MUL, d, d), axes, n, true);
    nid variance = op2(im, OP_MUL, squares, share);
    nid deviation = op1(im, OP_SQRT, op2(im, OP_ADD, variance, op_scalar(im, epsilon)));
    nid inverse = op2(im, OP_DIV, op_scalar(im, 1), deviation);
    return (struct standard){op2(im, OP_MUL, d, inverse), mean, inverse};
}

// ---- batch norm ----------------------------------------------------------------------
static bool is_const(const struct import *im, nid v) {
    return node_at(im->b.f, v)->op == OP_CONST;
}

// That what is divided by is a number, where the variance is known.
static bool check_variance(struct import *im, nid variance, double epsilon) {
    const struct node *n = node_at(im->b.f, variance);
    size_t count = type_count(&n->type);
    if (!is_const(im, variance)) return true;
    if (!op_charge(im, count)) return false;
    for (size_t i = 0; i < count; i++) {
        double v = (double)((const float *)n->data)[i] + epsilon;
        if (v > 0 && isfinite((float)(1 / sqrt(v)))) continue;
        return op_fail(im, "has a variance of %g in channel %zu", v - epsilon, i);
    }
    return true;
}

// What the statistics in input i are known by: the tensor's name, unless several layers
// share it, as exports of networks that were never trained do; each trains its own.
static const char *statistics_name(const struct import *im, size_t i, const char *what) {
    const char *name = im->node->input[i];
    const struct onnx_name *n = onnx_find(im->file, name);
    if (n && n->from == FROM_TENSOR && im->file->roles[n->index].layers == 1) return name;
    return arena_printf(im->arena, "%s.%s", im->node->output[0], what);
}

// ONNX's momentum is the share of what was, stored as float; PyTorch's that of the batch.
static bool read_momentum(struct import *im, double *out) {
    double kept;
    if (!node_float(im, "momentum", 0.9, &kept)) return false;
    *out = kept >= 0 && kept <= 1 ? round((1 - kept) * 1e6) / 1e6 : 0.1;
    return true;
}

// A mark where it can be one: training has other statistics in its place.
static nid batch_normed(struct import *im, nid x, size_t c, nid mean, nid var,
                        double epsilon) {
    struct batch_norm n = {.epsilon = epsilon};
    bool marks = c == 0 && epsilon >= 0 && epsilon <= 1 && !is_const(im, x);
    if (!read_momentum(im, &n.momentum)) return NID_NONE;
    if (marks && is_const(im, mean) && is_const(im, var)) {
        n.mean = statistics_name(im, 3, "running_mean");
        n.var = statistics_name(im, 4, "running_var");
        im->b.name = onnx_node_name(im->node);
        return b_batch_norm(&im->b, x, mean, var, NID_NONE, &n);
    }
    nid y = op2(im, OP_SUB, x, along(im, mean, x, c));
    nid inverse = b_inverse_deviation(&im->b, var, epsilon);
    return op2(im, OP_MUL, y, along(im, inverse, x, c));
}

static bool check_inference(struct import *im) {
    bool training, spatial; // not spatial: statistics for each pixel, up to opset 8
    size_t outputs = 0;
    if (!node_flag(im, "training_mode", false, &training) ||
        !node_flag(im, "spatial", true, &spatial))
        return false;
    if (!spatial) return op_fail(im, "has statistics for each pixel (spatial = 0)");
    for (size_t i = 0; i < im->nout; i++) outputs += *im->node->output[i] != 0;
    if (!training && outputs <= 1) return true;
    op_fail(im, "is in training mode, where a row's result depends on the whole batch");
    return diag_help(im->log->d, "call model.eval() before the export, and leave out "
                                 "TrainingMode.TRAINING");
}

IMPORTER(import_batch_norm) {
    static const char *const NAMES[] = {"", "a scale", "a shift", "a mean", "a variance"};
    double epsilon;
    size_t c;
    if (!check_inference(im) || !node_float(im, "epsilon", 1e-5, &epsilon)) return false;
    if (!check_channels(im, in[0], 2, &c)) return false;
    size_t channels = val_type(im, in[0])->dim[c];
    for (size_t i = 1; i < 5; i++)
        if (!check_vector(im, in[i], NAMES[i], channels)) return false;
    nid mean = val_frozen(im, in[3].id), var = val_frozen(im, in[4].id);
    if (!check_variance(im, var, epsilon)) return false;
    nid y = batch_normed(im, in[0].id, c, mean, var, epsilon);
    return op_done_like(scale_shift(im, y, c, in[1].id, in[2].id), in[0], out);
}

// ---- instance, group and layer norm --------------------------------------------------
IMPORTER(import_instance_norm) {
    double epsilon;
    size_t c;
    if (!read_epsilon(im, &epsilon) || !check_channels(im, in[0], 3, &c)) return false;
    const struct type *t = val_type(im, in[0]);
    if (!check_vector(im, in[1], "a scale", t->dim[c]) ||
        !check_vector(im, in[2], "a shift", t->dim[c]))
        return false;
    nid y = standardise(im, in[0].id, c + 1, t->rank, epsilon).y;
    return op_done_like(scale_shift(im, y, c, in[1].id, in[2].id), in[0], out);
}

// Scale and shift are a group's up to opset 20, a channel's from 21 on.
IMPORTER(import_group_norm) {
    double epsilon;
    int64_t groups;
    size_t c, before = 1;
    bool by_channel = im->opset >= 21;
    if (!read_epsilon(im, &epsilon) || !check_channels(im, in[0], 2, &c) ||
        !node_int(im, "num_groups", 0, &groups))
        return false;
    const struct type t = *val_type(im, in[0]);
    if (groups < 1 || (uint64_t)groups > t.dim[c] || t.dim[c] % (uint64_t)groups)
        return op_fail(im, "divides %zu channels into %lld groups", t.dim[c],
                       (long long)groups);
    size_t g = (size_t)groups, n = by_channel ? t.dim[c] : g;
    if (!check_vector(im, in[1], "a scale", n) || !check_vector(im, in[2], "a shift", n))
        return false;
    for (size_t i = 0; i < c; i++) before *= t.dim[i];
    size_t rest = type_count(&t) / size_max(before * g, 1);
    nid y = op_reshape(im, in[0].id, (size_t[]){before, g, rest}, 3);
    y = standardise(im, y, 2, 3, epsilon).y;
    if (!by_channel) y = scale_shift(im, y, 1, in[1].id, in[2].id);
    y = op_reshape(im, y, t.dim, t.rank);
    if (by_channel) y = scale_shift(im, y, c, in[1].id, in[2].id);
    return op_done_like(y, in[0], out);
}

// Over all axes from `axis` on; the mean and the inverse deviation are outputs too.
IMPORTER(import_layer_norm) {
    const enum op ops[] = {OP_MUL, OP_ADD}; // with the scale, then with the shift
    double epsilon;
    int64_t axis;
    size_t at, first;
    if (!read_epsilon(im, &epsilon) || !check_f32(im, in[0]) ||
        !node_int(im, "axis", -1, &axis) || !val_axis(im, in[0], axis, &first))
        return false;
    for (int64_t i = axis; i < 0; i++) // none of them the batch
        if (!val_axis(im, in[0], i, &at)) return false;
    for (int64_t i = axis; i >= 0 && i < (int64_t)val_rank(im, in[0]); i++)
        if (!val_axis(im, in[0], i, &at)) return false;
    size_t rank = val_type(im, in[0])->rank;
    struct standard s = standardise(im, in[0].id, first, rank, epsilon);
    struct onnx_val y = in[0], like;
    y.id = s.y;
    for (size_t i = 0; i < 2 && y.id != NID_NONE && in[i + 1].form != FORM_NONE; i++) {
        nid a, b;
        if (!val_align(im, y, in[i + 1], &a, &b, &like)) return false;
        y.id = op2(im, ops[i], a, b);
    }
    if (im->nout > 1) op_done_like(s.mean, in[0], &out[1]);
    if (im->nout > 2) op_done_like(s.inverse, in[0], &out[2]);
    return op_done_like(y.id, in[0], out);
}
