// The table of ONNX ops and what runs one row of it; elementwise ops and reductions,
// whose ONNX meaning is that of an IR op up to broadcasting and axes.
//
// An op that is not in the table is reported by onnx_graph.c before anything is imported.
// To add one, add a row here and a function in the file its kind belongs to.
#include "frontend/onnx.h"

#include <math.h>

static IMPORTER(import_unary);
static IMPORTER(import_binary);
static IMPORTER(import_reduce);
static IMPORTER(import_leaky_relu);
static IMPORTER(import_clip);
static IMPORTER(import_pow);
static IMPORTER(import_identity);

#define WINDOW "auto_pad dilations kernel_shape pads strides "

static const struct onnx_op OPS[] = {
    {"Add", import_binary, OP_ADD, 2, 2, ""},
    {"AveragePool", import_pool, OP_AVGPOOL, 1, 1, WINDOW "ceil_mode count_include_pad"},
    {"BatchNormalization", import_batch_norm, OP_COUNT, 5, 5,
     "epsilon momentum training_mode"},
    {"Cast", import_cast, OP_COUNT, 1, 1, "to saturate"},
    {"Clip", import_clip, OP_COUNT, 1, 3, "min max"},
    {"Concat", import_concat, OP_COUNT, 1, ONNX_MANY, "axis"},
    {"Constant", import_constant, OP_COUNT, 0, 0,
     "value value_int value_ints value_float value_floats"},
    {"ConstantOfShape", import_constant_of_shape, OP_COUNT, 1, 1, "value"},
    {"Conv", import_conv, OP_COUNT, 2, 3, WINDOW "group"},
    {"Div", import_binary, OP_DIV, 2, 2, ""},
    {"Dropout", import_dropout, OP_COUNT, 1, 3, "ratio seed"},
    {"Equal", import_equal, OP_COUNT, 2, 2, ""},
    {"Exp", import_unary, OP_EXP, 1, 1, ""},
    {"Expand", import_expand, OP_COUNT, 2, 2, ""},
    {"Flatten", import_flatten, OP_COUNT, 1, 1, "axis"},
    {"Gather", import_gather, OP_COUNT, 2, 2, "axis"},
    {"Gemm", import_gemm, OP_COUNT, 2, 3, "alpha beta transA transB"},
    {"GlobalAveragePool", import_global_pool, OP_SUM, 1, 1, ""},
    {"GlobalMaxPool", import_global_pool, OP_AMAX, 1, 1, ""},
    {"Identity", import_identity, OP_COUNT, 1, 1, ""},
    {"InstanceNormalization", import_instance_norm, OP_COUNT, 3, 3, "epsilon"},
    {"LayerNormalization", import_layer_norm, OP_COUNT, 2, 3, "axis epsilon stash_type"},
    {"LeakyRelu", import_leaky_relu, OP_COUNT, 1, 1, "alpha"},
    {"Log", import_unary, OP_LOG, 1, 1, ""},
    {"LogSoftmax", import_softmax, OP_LOG, 1, 1, "axis"},
    {"MatMul", import_matmul, OP_COUNT, 2, 2, ""},
    {"Max", import_binary, OP_MAX, 2, 2, ""},
    {"MaxPool", import_pool, OP_MAXPOOL, 1, 1, WINDOW "ceil_mode storage_order"},
    {"Min", import_binary, OP_MIN, 2, 2, ""},
    {"Mul", import_binary, OP_MUL, 2, 2, ""},
    {"Neg", import_unary, OP_NEG, 1, 1, ""},
    {"Pad", import_pad, OP_COUNT, 1, 4, "mode pads value"},
    {"Pow", import_pow, OP_COUNT, 2, 2, ""},
    {"Range", import_range, OP_COUNT, 3, 3, ""},
    {"ReduceMax", import_reduce, OP_AMAX, 1, 2, "axes keepdims noop_with_empty_axes"},
    {"ReduceMean", import_reduce, OP_DIV, 1, 2, "axes keepdims noop_with_empty_axes"},
    {"ReduceSum", import_reduce, OP_SUM, 1, 2, "axes keepdims noop_with_empty_axes"},
    {"Relu", import_unary, OP_RELU, 1, 1, ""},
    {"Reshape", import_reshape, OP_COUNT, 2, 2, "allowzero"},
    {"Shape", import_shape, OP_COUNT, 1, 1, "start end"},
    {"Sigmoid", import_unary, OP_SIGMOID, 1, 1, ""},
    {"Size", import_size, OP_COUNT, 1, 1, ""},
    {"Slice", import_slice, OP_COUNT, 1, 5, "axes ends starts"},
    {"Softmax", import_softmax, OP_EXP, 1, 1, "axis"},
    {"Split", import_split, OP_COUNT, 1, 2, "axis num_outputs split"},
    {"Sqrt", import_unary, OP_SQRT, 1, 1, ""},
    {"Squeeze", import_squeeze, OP_COUNT, 1, 2, "axes"},
    {"Sub", import_binary, OP_SUB, 2, 2, ""},
    {"Tanh", import_unary, OP_TANH, 1, 1, ""},
    {"Transpose", import_transpose, OP_COUNT, 1, 1, "perm"},
    {"Unsqueeze", import_unsqueeze, OP_COUNT, 1, 2, "axes"},
    {"Where", import_where, OP_COUNT, 3, 3, ""},
};

static int compare_op(const void *name, const void *op) {
    return strcmp(name, ((const struct onnx_op *)op)->name);
}

const struct onnx_op *onnx_op_find(const char *name) {
    return bsearch(name, OPS, COUNT(OPS), sizeof *OPS, compare_op);
}

static const char *op_name_at(const void *ctx, size_t i) {
    (void)ctx;
    return i < COUNT(OPS) ? OPS[i].name : NULL;
}

const char *onnx_op_near(const char *name) {
    return near_miss(name, op_name_at, NULL);
}

// ---- running a row -------------------------------------------------------------------
static bool knows_attr(const struct onnx_op *op, const char *name) {
    size_t n = strlen(name);
    for (const char *p = op->attrs; *p;) {
        size_t m = strcspn(p, " ");
        if (m == n && memcmp(p, name, n) == 0) return true;
        p += m + (p[m] == ' ');
    }
    return false;
}

static bool check_attr_names(struct import *im) {
    for (size_t i = 0; i < im->node->n_attribute; i++) {
        const Onnx__AttributeProto *a = im->node->attribute[i];
        const char *name = a->name ? a->name : "";
        if (a->ref_attr_name && *a->ref_attr_name)
            return op_fail(im, "has an attribute `%s` that stands for another",
                           onnx_text(im->log, name));
        if (!knows_attr(im->op, name))
            return op_fail(im, "has an attribute `%s` that ddg does not know",
                           onnx_text(im->log, name));
    }
    return true;
}

// A stored tensor becomes a node when it is first used, so that the order of nodes is the
// network's and not the file's.
static void load_tensor(struct import *im, size_t i, struct onnx_val *out) {
    const struct onnx_tensor *t = &im->file->tensors[i];
    out->form = FORM_FIXED;
    const char *name = im->file->graph->initializer[i]->name;
    im->b.name = NULL;
    out->id = im->file->trainable[i]
                  ? b_param_at(&im->b, name, t->type, t->data, t->digest)
                  : op_stored_at(im, t->type, t->data, t->digest, name);
}

static bool read_operand(struct import *im, size_t i, struct onnx_val *out) {
    const char *name = im->node->input[i];
    *out = (struct onnx_val){.form = FORM_NONE, .id = NID_NONE};
    if (!*name) {
        if (i >= im->op->min) return true;
        return op_fail(im, "has no input %zu", i + 1);
    }
    const struct onnx_name *n = onnx_find(im->file, name);
    CHECK(n); // onnx_graph.c found every name
    struct onnx_val *v = &im->values[n - im->file->names.at];
    if (v->form == FORM_NONE && n->from == FROM_TENSOR) load_tensor(im, n->index, v);
    *out = *v;
    if (out->form != FORM_NONE) return true;
    return op_fail(im, "reads `%s`, an output that ddg does not compute",
                   onnx_text(im->log, name));
}

static struct onnx_val *read_operands(struct import *im) {
    size_t n = im->node->n_input;
    if (n < im->op->min || (im->op->max != ONNX_MANY && n > im->op->max)) {
        op_fail(im, "has %zu inputs; it takes %u to %u", n, im->op->min, im->op->max);
        return NULL;
    }
    struct onnx_val *in = NEW_N(im->arena, struct onnx_val, size_max(n, ONNX_OPERANDS));
    for (size_t i = 0; i < n; i++)
        if (!read_operand(im, i, &in[i])) return NULL;
    return in;
}

static bool keep_results(struct import *im, const struct onnx_val *out) {
    for (size_t i = 0; i < im->nout; i++) {
        if (!*im->node->output[i]) continue;
        const struct onnx_name *n = onnx_find(im->file, im->node->output[i]);
        CHECK(n);
        im->values[n - im->file->names.at] = out[i];
        if (out[i].form == FORM_ROWS && type_count(val_type(im, out[i])) == 0)
            return op_fail(im, "makes a value without elements, %s",
                           val_text(im, out[i]));
    }
    return true;
}

// Runs the op's function without leaving its errors.
static bool try_import(struct import *im, const struct onnx_val *in,
                       struct onnx_val *out) {
    const struct onnx_log *log = im->log;
    struct diags unheard;
    struct onnx_log quiet = *log;
    diags_init(&unheard, im->arena);
    quiet.d = &unheard;
    im->log = &quiet;
    bool ok = im->op->import(im, in, out);
    im->log = log;
    return ok;
}

static bool any_rows(const struct import *im, const struct onnx_val *in) {
    for (size_t i = 0; i < im->nin; i++)
        if (in[i].form == FORM_ROWS) return true;
    return false;
}

// In an export fixed to a batch of 1, an op that would lose the batch takes values whole.
static bool import_one(struct import *im, const struct onnx_val *in,
                       struct onnx_val *out) {
    if (im->file->batch != 1 || !any_rows(im, in)) return im->op->import(im, in, out);
    if (try_import(im, in, out)) return true;
    struct onnx_val *whole =
        arena_dup(im->arena, in, size_max(im->nin, ONNX_OPERANDS), sizeof *in);
    bool ok = true;
    for (size_t i = 0; ok && i < im->nin; i++) ok = val_whole(im, &whole[i]);
    return (ok && try_import(im, whole, out)) || im->op->import(im, in, out);
}

static bool settle_results(struct import *im, struct onnx_val *out) {
    for (size_t i = 0; i < im->nout; i++)
        if (!val_settle(im, &out[i])) return false;
    return true;
}

bool onnx_import_node(struct import *im, const Onnx__NodeProto *n) {
    im->node = n;
    im->op = onnx_op_find(n->op_type);
    im->nin = n->n_input;
    im->nout = n->n_output;
    if (!check_attr_names(im)) return false;
    const struct onnx_val *in = read_operands(im);
    if (!in) return false;
    struct onnx_val *out = NEW_N(im->arena, struct onnx_val, size_max(im->nout, 1));
    return import_one(im, in, out) && settle_results(im, out) && keep_results(im, out);
}

// ---- elementwise ---------------------------------------------------------------------
// Shape arithmetic is small; what is not could overflow.
#define INTEGER_MAX ((int64_t)1 << 31)

static bool check_integers(struct import *im, nid id) {
    const struct node *n = node_at(im->b.f, id);
    if (n->type.elem != ELEM_I64 || n->op != OP_CONST) return true;
    if (!check_known(im, id, "computes with")) return false;
    const int64_t *v = n->data;
    for (size_t i = 0, count = type_count(&n->type); i < count; i++)
        if (v[i] > INTEGER_MAX || v[i] < -INTEGER_MAX)
            return op_fail(im, "computes with %lld, too large for a shape",
                           (long long)v[i]);
    return true;
}

static IMPORTER(import_unary) {
    if (!check_integers(im, in[0].id)) return false;
    return op_done_like(op1(im, im->op->op, in[0].id), in[0], out);
}

// ONNX cuts integer quotients towards zero, the IR rounds down.
static bool check_quotient(struct import *im, nid x, nid y) {
    if (im->op->op != OP_DIV || type_at(im->b.f, x)->elem != ELEM_I64) return true;
    nid operands[] = {x, y};
    for (size_t k = 0; k < 2; k++) {
        const struct node *n = node_at(im->b.f, operands[k]);
        if (n->op != OP_CONST)
            return op_fail(im, "divides integers that are not constant");
        const int64_t *v = n->data;
        for (size_t i = 0, count = type_count(&n->type); i < count; i++)
            if (v[i] < (int64_t)k)
                return op_fail(
                    im, k ? "divides integers by %lld" : "divides the integer %lld",
                    (long long)v[i]);
    }
    return true;
}

static IMPORTER(import_binary) {
    nid x, y;
    struct onnx_val like;
    if (holds_batch(im, in[0].id) || holds_batch(im, in[1].id))
        return import_batch_arithmetic(im, in, out);
    if (!check_integers(im, in[0].id) || !check_integers(im, in[1].id)) return false;
    if (!val_align(im, in[0], in[1], &x, &y, &like)) return false;
    if (!check_quotient(im, x, y)) return false;
    return op_done_like(op2(im, im->op->op, x, y), like, out);
}

static IMPORTER(import_identity) {
    (void)im;
    out[0] = in[0];
    return true;
}

static IMPORTER(import_leaky_relu) {
    double alpha;
    nid x = in[0].id;
    if (!node_float(im, "alpha", 0.01, &alpha)) return false;
    nid scaled = op2(im, OP_MUL, x, op_scalar(im, alpha));
    if (alpha <= 1) return op_done_like(op2(im, OP_MAX, x, scaled), in[0], out);
    return op_done_like(op2(im, OP_MIN, x, scaled), in[0], out);
}

// A bound is an attribute up to opset 10 and an input from 11 on; *given is false when it
// is missing or bounds nothing in f32.
static bool clip_bound(struct import *im, const struct onnx_val *in, size_t i,
                       const char *name, bool *given, double *out) {
    *given = in[i].form != FORM_NONE || attr_has(im, name);
    if (!*given) return true;
    bool ok = in[i].form == FORM_NONE ? node_float(im, name, 0, out)
                                      : operand_number(im, in[i], name, out);
    *given = ok && fabs(*out) < 3.4028234e38;
    return ok;
}

static IMPORTER(import_clip) {
    bool has_low, has_high;
    double low, high;
    if (!clip_bound(im, in, 1, "min", &has_low, &low) ||
        !clip_bound(im, in, 2, "max", &has_high, &high))
        return false;
    nid y = in[0].id;
    if (has_low && low == 0) y = op1(im, OP_RELU, y);
    else if (has_low) y = op2(im, OP_MAX, y, op_scalar(im, low));
    if (has_high) y = op2(im, OP_MIN, y, op_scalar(im, high));
    return op_done_like(y, in[0], out);
}

// x^n for n from 1 on, by squaring.
static nid power(struct import *im, nid x, unsigned n) {
    if (n == 1) return x;
    nid square = op2(im, OP_MUL, x, x);
    if (n == 2) return square;
    nid half = power(im, square, n / 2);
    return n % 2 ? op2(im, OP_MUL, half, x) : half;
}

static IMPORTER(import_pow) {
    double e, whole;
    nid x = in[0].id;
    if (!operand_number(im, in[1], "the exponent", &e)) return false;
    if (val_type(im, in[0])->elem != ELEM_F32)
        return op_fail(im, "takes f32, this is %s", val_text(im, in[0]));
    bool half = modf(fabs(e), &whole) == 0.5 && whole == 0;
    if (!half && (whole != fabs(e) || whole < 1 || whole > 16))
        return op_fail(
            im, "has exponent %g; ddg knows 0.5 and 1 to 16, and their negatives", e);
    nid y = half ? op1(im, OP_SQRT, x) : power(im, x, (unsigned)whole);
    if (e < 0) y = op2(im, OP_DIV, op_scalar(im, 1), y);
    return op_done_like(y, in[0], out);
}

// ---- reductions ----------------------------------------------------------------------
// The axes of in[0]'s node to reduce; all of them when none is given.
static bool reduced_axes(struct import *im, const struct onnx_val *in, int64_t *axes,
                         size_t *n) {
    const int64_t *given;
    size_t rank = val_rank(im, in[0]), axis;
    if (!node_ints_or_input(im, in, 1, "axes", &given, n)) return false;
    bool all = *n == 0;
    if (all) *n = rank;
    if (*n > rank) return op_fail(im, "reduces %zu axes of %s", *n, val_text(im, in[0]));
    for (size_t i = 0; i < *n; i++) {
        if (!val_axis(im, in[0], all ? (int64_t)i : given[i], &axis)) return false;
        axes[i] = (int64_t)axis;
    }
    return true;
}

static bool has_axes(struct import *im, const struct onnx_val *in, bool *out) {
    const int64_t *axes;
    size_t n;
    if (!node_ints_or_input(im, in, 1, "axes", &axes, &n)) return false;
    *out = n > 0;
    return true;
}

static nid reduce_mean(struct import *im, nid x, const int64_t *axes, size_t n,
                       bool keep) {
    const struct type *t = type_at(im->b.f, x);
    nid sum = op_reduce(im, OP_SUM, x, axes, n, keep);
    if (sum == NID_NONE) return NID_NONE;
    double count = 1;
    for (size_t i = 0; i < n; i++) count *= (double)t->dim[axes[i]];
    return op2(im, OP_MUL, sum, op_scalar(im, 1 / count));
}

static IMPORTER(import_reduce) {
    int64_t axes[TYPE_MAX_RANK + 1];
    size_t n;
    bool keep, noop, some;
    if (!node_flag(im, "keepdims", true, &keep) || !has_axes(im, in, &some) ||
        !node_flag(im, "noop_with_empty_axes", false, &noop))
        return false;
    if (noop && !some) return import_identity(im, in, out);
    if (!reduced_axes(im, in, axes, &n) || !check_integers(im, in[0].id)) return false;
    nid y = im->op->op == OP_DIV ? reduce_mean(im, in[0].id, axes, n, keep)
                                 : op_reduce(im, im->op->op, in[0].id, axes, n, keep);
    return op_done_like(y, in[0], out);
}
