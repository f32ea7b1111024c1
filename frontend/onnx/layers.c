// What each stored tensor is to the network: the weight or bias of a convolution, a
// linear layer or a norm, which are its parameters; running statistics; or a constant.
//
// Exports do not say. A layer may read its tensor itself, or behind nodes that only move
// elements (a linear layer's weight behind a Transpose) or make the weight of it (weight
// normalisation); and it may be written in small ops: a product and a sum, or a norm as
// (x - mean) / sqrt(variance + epsilon) * scale + shift. So the graph is walked once, in
// order, with what is known of each value: which stored tensors it is made of, and which
// half-finished layer it is.
#include "frontend/onnx/onnx.h"

enum known {              // of a value
    KNOWN_IMAGE = 1,      // it depends on the image
    KNOWN_MEAN = 2,       // a mean over axes
    KNOWN_VARIANCE = 4,   // a mean and an epsilon
    KNOWN_DEVIATION = 8,  // the root of that
    KNOWN_PRODUCT = 16,   // of a linear layer, before its bias
    KNOWN_NORMED = 32,    // divided by its deviation, before its scale
    KNOWN_SCALED = 64,    // before its shift
    KNOWN_COMPUTED = 128, // other numbers than those stored
};

struct origins { // the stored tensors whose elements a value is made of
    const size_t *at;
    size_t n;
};

struct sight { // what is known of a value
    unsigned known;
    struct origins from;
};

struct layers {
    struct onnx_file *f;
    struct arena *arena;
    struct sight *values; // by place in f->names
};

static bool is(const Onnx__NodeProto *n, const char *op) {
    return strcmp(n->op_type, op) == 0;
}

static bool is_among(const Onnx__NodeProto *n, const char *const *ops, size_t nops) {
    for (size_t i = 0; i < nops; i++)
        if (is(n, ops[i])) return true;
    return false;
}

static struct sight *sight_of(const struct layers *l, const char *name) {
    const struct onnx_name *n = onnx_find(l->f, name);
    return n ? &l->values[n - l->f->names.at] : NULL;
}

// Of input i; nothing is known of one that is left out.
static struct sight input_sight(const struct layers *l, const Onnx__NodeProto *n,
                                size_t i) {
    const struct sight *v = i < n->n_input ? sight_of(l, n->input[i]) : NULL;
    return v ? *v : (struct sight){0};
}

// ---- what a node's result is ---------------------------------------------------------
// How many of the operands are data that the node only moves.
static size_t moved_inputs(const Onnx__NodeProto *n) {
    static const char *const first[] = {
        "Identity", "Transpose", "Reshape", "Flatten", "Unsqueeze", "Squeeze",  "Cast",
        "Slice",    "Split",     "Gather",  "Expand",  "Dropout",   "ScatterND"};
    if (is(n, "Concat")) return n->n_input;
    return is_among(n, first, COUNT(first)) ? size_min(n->n_input, 1) : 0;
}

static struct origins join(struct arena *arena, struct origins a, struct origins b) {
    if (a.n == 0 || b.n == 0) return a.n ? a : b;
    size_t *at = NEW_N(arena, size_t, a.n + b.n);
    memcpy(at, a.at, a.n * sizeof *at);
    memcpy(at + a.n, b.at, b.n * sizeof *at);
    return (struct origins){at, a.n + b.n};
}

// Elements of many tensors in one value are more than any layer has.
#define MAX_ORIGINS 16

// What a layer makes of its weights is no weight.
static bool is_layer(const Onnx__NodeProto *n) {
    return is(n, "Conv") || is(n, "Gemm") || is(n, "MatMul");
}

static struct origins made_of(const struct layers *l, const Onnx__NodeProto *n) {
    struct origins all = {0};
    size_t moved = moved_inputs(n);
    for (size_t i = 0; i < (moved ? moved : n->n_input); i++) {
        struct sight v = input_sight(l, n, i);
        if (all.n + v.from.n > MAX_ORIGINS) return (struct origins){0};
        all = join(l->arena, all, v.from);
    }
    return all;
}

static unsigned either(const struct layers *l, const Onnx__NodeProto *n) {
    return input_sight(l, n, 0).known | input_sight(l, n, 1).known;
}

// How far a layer that is written in small ops has come with this node.
static unsigned progress(const struct layers *l, const Onnx__NodeProto *n) {
    struct sight x = input_sight(l, n, 0), y = input_sight(l, n, 1);
    if (is(n, "ReduceMean")) return KNOWN_MEAN;
    if (is(n, "Sqrt")) return x.known & KNOWN_VARIANCE ? KNOWN_DEVIATION : 0;
    if (is(n, "Div")) return y.known & KNOWN_DEVIATION ? KNOWN_NORMED : 0;
    if (is(n, "InstanceNormalization") || is(n, "LayerNormalization"))
        return KNOWN_NORMED; // as group norm is written
    if (is(n, "MatMul")) return x.from.n || y.from.n ? KNOWN_PRODUCT : 0;
    if (is(n, "Add")) return either(l, n) & KNOWN_MEAN ? KNOWN_VARIANCE : 0;
    if (is(n, "Mul")) return either(l, n) & KNOWN_NORMED ? KNOWN_SCALED : 0;
    return moved_inputs(n) == 1 ? x.known : 0;
}

// Whether it depends on the image, and whether its numbers are stored ones.
static unsigned inherited(const struct layers *l, const Onnx__NodeProto *n) {
    size_t moved = moved_inputs(n);
    unsigned known = moved || n->n_input == 0 ? 0 : KNOWN_COMPUTED;
    if (is(n, "Shape") || is(n, "Size")) return known;
    for (size_t i = 0; i < (moved ? moved : n->n_input); i++)
        known |= input_sight(l, n, i).known & (KNOWN_IMAGE | KNOWN_COMPUTED);
    return known;
}

static void keep_results(const struct layers *l, const Onnx__NodeProto *n) {
    struct sight result = {.known = inherited(l, n)};
    bool weight = !(result.known & KNOWN_IMAGE) && !is_layer(n);
    if (weight) result.from = made_of(l, n);
    result.known |= progress(l, n);
    for (size_t i = 0; i < n->n_output; i++) {
        struct sight *v = sight_of(l, n->output[i]);
        if (v) *v = result;
    }
}

// ---- what a node's operands are ------------------------------------------------------
static bool is_norm(const Onnx__NodeProto *n) {
    static const char *const ops[] = {"BatchNormalization", "InstanceNormalization",
                                      "LayerNormalization", "GroupNormalization"};
    return is_among(n, ops, COUNT(ops));
}

// Of a product of two stored tensors the second is the weight.
static enum model_part part_of_factor(const struct layers *l, const Onnx__NodeProto *n,
                                      size_t i) {
    return i == 1 || input_sight(l, n, 1).from.n == 0 ? PART_LINEAR : PART_CONST;
}

// Of a vector that is added to, or multiplied with, what input `other` gives.
static enum model_part part_of_vector(const struct layers *l, const Onnx__NodeProto *n,
                                      size_t other) {
    unsigned known = input_sight(l, n, other).known;
    if (is(n, "Mul")) return known & KNOWN_NORMED ? PART_NORM : PART_CONST;
    if (!is(n, "Add")) return PART_CONST;
    if (known & KNOWN_PRODUCT) return PART_LINEAR;
    return known & (KNOWN_NORMED | KNOWN_SCALED) ? PART_NORM : PART_CONST;
}

static enum model_part part_in(const struct layers *l, const Onnx__NodeProto *n,
                               size_t i) {
    if (is(n, "Conv")) return i == 0 ? PART_CONST : PART_CONV;
    if (is(n, "Gemm")) return i == 0 ? PART_CONST : PART_LINEAR;
    if (is(n, "MatMul")) return part_of_factor(l, n, i);
    if (is(n, "BatchNormalization") && i > 2) return PART_STATISTICS;
    if (is_norm(n)) return i == 0 ? PART_CONST : PART_NORM;
    return n->n_input == 2 ? part_of_vector(l, n, 1 - i) : PART_CONST;
}

static bool has_floats(const Onnx__TensorProto *t) {
    enum elem e;
    return onnx_elem(t->data_type, &e) && e == ELEM_F32;
}

// A number is no weight but a constant of the formula; and what a weight is computed of
// has axes as it has.
static bool may_be(const Onnx__TensorProto *t, enum model_part part, bool computed) {
    return has_floats(t) && (part == PART_STATISTICS || t->n_dims > computed);
}

static void look_at_operand(const struct layers *l, const Onnx__NodeProto *n, size_t i) {
    struct sight v = input_sight(l, n, i);
    bool computed = v.known & KNOWN_COMPUTED, weight = is_layer(n) && i == 1;
    enum model_part part = PART_CONST;
    if (v.from.n && (weight || !computed)) part = part_in(l, n, i);
    for (size_t k = 0; k < v.from.n; k++) {
        struct onnx_role *r = &l->f->roles[v.from.at[k]];
        const Onnx__TensorProto *t = l->f->graph->initializer[v.from.at[k]];
        if (part == PART_CONST || !may_be(t, part, computed)) continue;
        r->layers++;
        if (r->part == PART_CONST || PART_TRAINABLE(part)) r->part = part;
    }
}

// ---- the walk ------------------------------------------------------------------------
static void begin(struct layers *l) {
    const struct onnx_file *f = l->f;
    for (size_t i = 0; i < f->names.n; i++) {
        const struct onnx_name *n = &f->names.at[i];
        struct sight *v = &l->values[i];
        if (n->from == FROM_INPUT) v->known = KNOWN_IMAGE;
        if (n->from != FROM_TENSOR) continue;
        size_t *at = NEW(l->arena, size_t);
        *at = n->index;
        v->from = (struct origins){at, 1};
    }
}

void onnx_layers(struct onnx_file *f, struct arena *arena) {
    struct layers l = {f, arena, NEW_N(arena, struct sight, f->names.n)};
    f->roles = NEW_N(arena, struct onnx_role, f->graph->n_initializer);
    for (size_t i = 0; i < f->graph->n_initializer; i++) f->roles[i].part = PART_CONST;
    begin(&l);
    for (size_t i = 0; i < f->order.n; i++) {
        const Onnx__NodeProto *n = f->graph->node[f->order.at[i]];
        for (size_t k = 0; k < n->n_input; k++) look_at_operand(&l, n, k);
        keep_results(&l, n);
    }
}
