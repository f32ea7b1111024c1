// The table of ONNX ops and what runs one row of it.
//
// An op that is not in the table is reported by graph.c before anything is imported.
// To add one, add a row here and a function in the file its kind belongs to.
#include "frontend/onnx/onnx.h"

#define WINDOW "auto_pad dilations kernel_shape pads strides "
#define REDUCE "axes keepdims noop_with_empty_axes"

static const struct onnx_op OPS[] = {
    {"Abs", import_abs, OP_COUNT, 1, 1, ""},
    {"Add", import_binary, OP_ADD, 2, 2, ""},
    {"And", import_logic, OP_MIN, 2, 2, ""},
    {"AveragePool", import_pool, OP_AVGPOOL, 1, 1, WINDOW "ceil_mode count_include_pad"},
    {"BatchNormalization", import_batch_norm, OP_COUNT, 5, 5,
     "epsilon momentum spatial training_mode"},
    {"Cast", import_cast, OP_COUNT, 1, 1, "to saturate"},
    {"CastLike", import_cast_like, OP_COUNT, 2, 2, "saturate"},
    {"Ceil", import_ceil, OP_COUNT, 1, 1, ""},
    {"Celu", import_celu, OP_COUNT, 1, 1, "alpha"},
    {"Clip", import_clip, OP_COUNT, 1, 3, "min max"},
    {"Concat", import_concat, OP_COUNT, 1, ONNX_MANY, "axis"},
    {"Constant", import_constant, OP_COUNT, 0, 0,
     "value value_int value_ints value_float value_floats"},
    {"ConstantOfShape", import_constant_of_shape, OP_COUNT, 1, 1, "value"},
    {"Conv", import_conv, OP_COUNT, 2, 3, WINDOW "group"},
    {"DepthToSpace", import_depth_to_space, OP_COUNT, 1, 1, "blocksize mode"},
    {"Div", import_binary, OP_DIV, 2, 2, ""},
    {"Dropout", import_dropout, OP_COUNT, 1, 3, "ratio seed"},
    {"Elu", import_elu, OP_COUNT, 1, 1, "alpha"},
    {"Equal", import_equal, OP_COUNT, 2, 2, ""},
    {"Erf", import_unary, OP_ERF, 1, 1, ""},
    {"Exp", import_unary, OP_EXP, 1, 1, ""},
    {"Expand", import_expand, OP_COUNT, 2, 2, ""},
    {"Flatten", import_flatten, OP_COUNT, 1, 1, "axis"},
    {"Floor", import_floor, OP_COUNT, 1, 1, ""},
    {"Gather", import_gather, OP_COUNT, 2, 2, "axis"},
    {"GatherElements", import_gather_elements, OP_COUNT, 2, 2, "axis"},
    {"GatherND", import_gather_nd, OP_COUNT, 2, 2, "batch_dims"},
    {"Gelu", import_gelu, OP_COUNT, 1, 1, "approximate"},
    {"Gemm", import_gemm, OP_COUNT, 2, 3, "alpha beta transA transB"},
    {"GlobalAveragePool", import_global_pool, OP_SUM, 1, 1, ""},
    {"GlobalMaxPool", import_global_pool, OP_AMAX, 1, 1, ""},
    {"Greater", import_greater, OP_COUNT, 2, 2, ""},
    {"GreaterOrEqual", import_greater_or_equal, OP_COUNT, 2, 2, ""},
    {"GroupNormalization", import_group_norm, OP_COUNT, 3, 3,
     "epsilon num_groups stash_type"},
    {"HardSigmoid", import_hard_sigmoid, OP_COUNT, 1, 1, "alpha beta"},
    {"HardSwish", import_hard_swish, OP_COUNT, 1, 1, ""},
    {"Identity", import_identity, OP_COUNT, 1, 1, ""},
    {"InstanceNormalization", import_instance_norm, OP_COUNT, 3, 3, "epsilon"},
    {"LayerNormalization", import_layer_norm, OP_COUNT, 2, 3, "axis epsilon stash_type"},
    {"LeakyRelu", import_leaky_relu, OP_COUNT, 1, 1, "alpha"},
    {"Less", import_less, OP_COUNT, 2, 2, ""},
    {"LessOrEqual", import_less_or_equal, OP_COUNT, 2, 2, ""},
    {"Log", import_unary, OP_LOG, 1, 1, ""},
    {"LogSoftmax", import_softmax, OP_LOG, 1, 1, "axis"},
    {"MatMul", import_matmul, OP_COUNT, 2, 2, ""},
    {"Max", import_chain, OP_MAX, 1, ONNX_MANY, ""},
    {"MaxPool", import_pool, OP_MAXPOOL, 1, 1, WINDOW "ceil_mode storage_order"},
    {"Mean", import_mean, OP_ADD, 1, ONNX_MANY, ""},
    {"Min", import_chain, OP_MIN, 1, ONNX_MANY, ""},
    {"Mish", import_mish, OP_COUNT, 1, 1, ""},
    {"Mod", import_mod, OP_COUNT, 2, 2, "fmod"},
    {"Mul", import_binary, OP_MUL, 2, 2, ""},
    {"Neg", import_unary, OP_NEG, 1, 1, ""},
    {"Not", import_not, OP_COUNT, 1, 1, ""},
    {"Or", import_logic, OP_MAX, 2, 2, ""},
    {"PRelu", import_prelu, OP_COUNT, 2, 2, ""},
    {"Pad", import_pad, OP_COUNT, 1, 4, "mode pads value"},
    {"Pow", import_pow, OP_COUNT, 2, 2, ""},
    {"Range", import_range, OP_COUNT, 3, 3, ""},
    {"Reciprocal", import_reciprocal, OP_COUNT, 1, 1, ""},
    {"ReduceL1", import_reduce_l1, OP_COUNT, 1, 2, REDUCE},
    {"ReduceL2", import_reduce_l2, OP_COUNT, 1, 2, REDUCE},
    {"ReduceLogSum", import_reduce_log_sum, OP_COUNT, 1, 2, REDUCE},
    {"ReduceLogSumExp", import_reduce_log_sum_exp, OP_COUNT, 1, 2, REDUCE},
    {"ReduceMax", import_reduce_max, OP_COUNT, 1, 2, REDUCE},
    {"ReduceMean", import_reduce_mean, OP_COUNT, 1, 2, REDUCE},
    {"ReduceMin", import_reduce_min, OP_COUNT, 1, 2, REDUCE},
    {"ReduceProd", import_reduce_prod, OP_COUNT, 1, 2, REDUCE},
    {"ReduceSum", import_reduce_sum, OP_COUNT, 1, 2, REDUCE},
    {"ReduceSumSquare", import_reduce_sum_square, OP_COUNT, 1, 2, REDUCE},
    {"Relu", import_unary, OP_RELU, 1, 1, ""},
    {"Reshape", import_reshape, OP_COUNT, 2, 2, "allowzero"},
    {"Resize", import_resize, OP_COUNT, 1, 4,
     "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside "
     "extrapolation_value keep_aspect_ratio_policy mode nearest_mode"},
    {"Round", import_round, OP_COUNT, 1, 1, ""},
    {"Scatter", import_scatter_elements, OP_COUNT, 3, 3, "axis"},
    {"ScatterElements", import_scatter_elements, OP_COUNT, 3, 3, "axis reduction"},
    {"ScatterND", import_scatter_nd, OP_COUNT, 3, 3, "reduction"},
    {"Selu", import_selu, OP_COUNT, 1, 1, "alpha gamma"},
    {"Shape", import_shape, OP_COUNT, 1, 1, "start end"},
    {"Shrink", import_shrink, OP_COUNT, 1, 1, "bias lambd"},
    {"Sigmoid", import_unary, OP_SIGMOID, 1, 1, ""},
    {"Sign", import_sign, OP_COUNT, 1, 1, ""},
    {"Size", import_size, OP_COUNT, 1, 1, ""},
    {"Slice", import_slice, OP_COUNT, 1, 5, "axes ends starts"},
    {"Softmax", import_softmax, OP_EXP, 1, 1, "axis"},
    {"Softplus", import_softplus, OP_COUNT, 1, 1, ""},
    {"Softsign", import_softsign, OP_COUNT, 1, 1, ""},
    {"SpaceToDepth", import_space_to_depth, OP_COUNT, 1, 1, "blocksize"},
    {"Split", import_split, OP_COUNT, 1, 2, "axis num_outputs split"},
    {"Sqrt", import_unary, OP_SQRT, 1, 1, ""},
    {"Squeeze", import_squeeze, OP_COUNT, 1, 2, "axes"},
    {"Sub", import_binary, OP_SUB, 2, 2, ""},
    {"Sum", import_chain, OP_ADD, 1, ONNX_MANY, ""},
    {"Tanh", import_unary, OP_TANH, 1, 1, ""},
    {"ThresholdedRelu", import_thresholded_relu, OP_COUNT, 1, 1, "alpha"},
    {"Tile", import_tile, OP_COUNT, 2, 2, ""},
    {"Transpose", import_transpose, OP_COUNT, 1, 1, "perm"},
    {"Unsqueeze", import_unsqueeze, OP_COUNT, 1, 2, "axes"},
    {"Upsample", import_resize, OP_COUNT, 1, 2, "mode scales"},
    {"Where", import_where, OP_COUNT, 3, 3, ""},
    {"Xor", import_xor, OP_COUNT, 2, 2, ""},
};

static int compare_op(const void *name, const void *op) {
    return strcmp(name, ((const struct onnx_op *)op)->name);
}

const struct onnx_op *onnx_op_find(const char *name) {
    return bsearch(name, OPS, COUNT(OPS), sizeof *OPS, compare_op);
}

const char *onnx_op_name(size_t i) {
    return i < COUNT(OPS) ? OPS[i].name : NULL;
}

static const char *op_name_at(const void *ctx, size_t i) {
    (void)ctx;
    return onnx_op_name(i);
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
    out->id = PART_TRAINABLE(im->file->roles[i].part)
                  ? b_param_at(&im->b, name, t->type, t->data, t->digest)
                  : op_stored_at(im, t->type, t->data, t->digest, name);
}

static bool all_one_number(const struct onnx_tensor *t) {
    const float *v = t->data;
    if (t->type.rank != 1 || t->type.elem != ELEM_F32) return false;
    for (size_t i = 1; i < t->type.dim[0]; i++)
        if (v[i] != v[0]) return false;
    return true;
}

// Exporters store equal tensors once: of a network that was not trained, the ones and
// zeros that all norms and biases start with. A layer's own are its own to train.
static void untie(struct import *im, size_t i, size_t tensor, struct onnx_val *v) {
    const struct onnx_tensor *t = &im->file->tensors[tensor];
    const struct onnx_role *r = &im->file->roles[tensor];
    if (!PART_TRAINABLE(r->part) || r->layers < 2 || !all_one_number(t)) return;
    const char *name = arena_printf(im->arena, "%s.%zu", im->node->output[0], i);
    v->id = b_param_at(&im->b, name, t->type, t->data, t->digest);
}

static bool read_operand(struct import *im, size_t i, struct onnx_val *out) {
    const char *name = im->node->input[i];
    *out = (struct onnx_val){.form = FORM_NONE, .id = NID_NONE};
    if (!*name) {
        if (i >= im->op->min && im->op->max != ONNX_MANY) return true;
        return op_fail(im, "has no input %zu", i + 1);
    }
    const struct onnx_name *n = onnx_find(im->file, name);
    CHECK(n); // graph.c found every name
    struct onnx_val *v = &im->values[n - im->file->names.at];
    if (v->form == FORM_NONE && n->from == FROM_TENSOR) load_tensor(im, n->index, v);
    *out = *v;
    if (n->from == FROM_TENSOR) untie(im, i, n->index, out);
    if (out->form != FORM_NONE) return true;
    return op_fail(im, "reads `%s`, an output that ddg does not compute",
                   onnx_text(im->log, name));
}

static struct onnx_val *read_operands(struct import *im) {
    size_t n = im->node->n_input;
    if (n < im->op->min || (im->op->max != ONNX_MANY && n > im->op->max)) {
        const char *most = im->op->max == ONNX_MANY ? "any number"
                           : im->op->max == im->op->min
                               ? NULL
                               : arena_printf(im->arena, "%u", im->op->max);
        op_fail(im, "has %zu input%s; it takes %u%s%s", n, n == 1 ? "" : "s", im->op->min,
                most ? " to " : "", most ? most : "");
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

static bool any_batch(const struct import *im, const struct onnx_val *in) {
    for (size_t i = 0; i < im->nin; i++)
        if (in[i].form == FORM_ROWS ||
            (in[i].form == FORM_FIXED && holds_batch(im, in[i].id)))
            return true;
    return false;
}

// In an export fixed to a batch of 1, an op that would lose the batch takes values whole.
static bool import_one(struct import *im, const struct onnx_val *in,
                       struct onnx_val *out) {
    if (im->file->batch != 1 || !any_batch(im, in)) return im->op->import(im, in, out);
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
