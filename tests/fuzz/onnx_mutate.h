// Changes of ONNX networks that are still networks: other ops, attributes, wires, shapes,
// numbers, element types, places of weights, functions. All that is in a message belongs
// to malloc, as protobuf-c has it without an allocator.
#ifndef FUZZ_ONNX_MUTATE_H
#define FUZZ_ONNX_MUTATE_H

#include "runtime/base/base.h"

#include <onnx.pb-c.h>

#define KIND(name) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##name
#define DT(name)   ONNX__TENSOR_PROTO__DATA_TYPE__##name

struct dice {
    uint64_t state;
};

static size_t roll(struct dice *d, size_t n) { // splitmix64
    uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return n ? (size_t)((z ^ z >> 31) % n) : 0;
}

// Mostly numbers that shapes are made of.
static int64_t number(struct dice *d) {
    static const int64_t ODD[] = {-2,         7,         8,         1 << 20,
                                  INT32_MAX,  INT64_MAX, INT64_MIN, -(INT64_C(1) << 40),
                                  1 << 12,    -7,        100,       INT64_C(1) << 31,
                                  0x42424154, 16,        12,        5};
    return roll(d, 4) ? (int64_t)roll(d, 6) - 1 : ODD[roll(d, COUNT(ODD))];
}

static float real(struct dice *d) {
    static const float ODD[] = {0, 1, -1, 0.5f, 2, 1e-5f, 1e-30f, 1e30f, -0.25f, 3};
    return ODD[roll(d, COUNT(ODD))];
}

#define PICK(d, array) ((array)[roll(d, COUNT(array))])

// ---- lists ---------------------------------------------------------------------------
static void set_string(char **s, const char *to) {
    char *copy = strdup(to);
    CHECK(copy);
    free(*s);
    *s = copy;
}

// Room for one more behind the n of a list; its place.
static void *grow(void *list, size_t *n, size_t size) {
    void **at = list;
    char *grown = realloc(*at, (*n + 1) * size);
    CHECK(grown);
    *at = grown;
    memset(grown + *n * size, 0, size);
    return grown + (*n)++ * size;
}

static void add_string(char ***list, size_t *n, const char *s) {
    char **at = grow(list, n, sizeof *at);
    set_string(at, s);
}

#define COPY(type, lower)                                                                \
    static Onnx__##type *copy_##lower(const Onnx__##type *m) {                           \
        size_t n = onnx__##lower##_proto__get_packed_size(m);                            \
        uint8_t *bytes = malloc(n + 1);                                                  \
        CHECK(bytes);                                                                    \
        onnx__##lower##_proto__pack(m, bytes);                                           \
        Onnx__##type *copy = onnx__##lower##_proto__unpack(NULL, n, bytes);              \
        free(bytes);                                                                     \
        CHECK(copy);                                                                     \
        return copy;                                                                     \
    }
COPY(NodeProto, node)
COPY(TensorProto, tensor)
COPY(FunctionProto, function)

// ---- places in a network -------------------------------------------------------------
struct body { // nodes of the graph or of a function
    Onnx__NodeProto ***node;
    size_t *n;
};

static struct body some_body(struct dice *d, Onnx__ModelProto *m) {
    if (m->n_functions == 0 || roll(d, 2))
        return (struct body){&m->graph->node, &m->graph->n_node};
    Onnx__FunctionProto *f = m->functions[roll(d, m->n_functions)];
    return (struct body){&f->node, &f->n_node};
}

static Onnx__NodeProto *some_node(struct dice *d, struct body b) {
    return *b.n ? (*b.node)[roll(d, *b.n)] : NULL;
}

// The name of some value: mostly of a node's, sometimes a stored tensor or the input.
static const char *some_value(struct dice *d, const Onnx__ModelProto *m, struct body b) {
    const Onnx__GraphProto *g = m->graph;
    const Onnx__NodeProto *n = some_node(d, b);
    const char *s = NULL;
    if (roll(d, 3) && n && n->n_output) s = n->output[roll(d, n->n_output)];
    else if (roll(d, 3) && g->n_initializer)
        s = g->initializer[roll(d, g->n_initializer)]->name;
    else if (g->n_input) s = g->input[roll(d, g->n_input)]->name;
    return s ? s : "";
}

// ---- attributes ----------------------------------------------------------------------
static void clear_value(Onnx__AttributeProto *a) {
    a->has_i = a->has_f = a->has_s = false;
    a->n_ints = a->n_floats = 0;
}

static void set_attr(struct dice *d, Onnx__AttributeProto *a) {
    static const char *const WORDS[] = {
        "SAME_UPPER", "SAME_LOWER",    "VALID",      "NOTSET",
        "constant",   "reflect",       "edge",       "wrap",
        "linear",     "nearest",       "cubic",      "asymmetric",
        "tanh",       "align_corners", "half_pixel", "floor",
        "ceil",       "add",           "mul",        "pytorch_half_pixel",
        "none",       "DCR",           "CRD",        "round_prefer_ceil"};
    size_t n = roll(d, 5);
    clear_value(a);
    a->has_type = true;
    switch (roll(d, 5)) {
    case 0:
        a->type = KIND(INT);
        a->has_i = true;
        a->i = number(d);
        return;
    case 1:
        a->type = KIND(FLOAT);
        a->has_f = true;
        a->f = real(d);
        return;
    case 2:
        a->type = KIND(STRING);
        a->has_s = true;
        free(a->s.data);
        a->s.data = (uint8_t *)strdup(PICK(d, WORDS));
        a->s.len = strlen((char *)a->s.data);
        return;
    case 3:
        a->type = KIND(FLOATS);
        for (size_t i = 0; i < n; i++)
            *(float *)grow(&a->floats, &a->n_floats, sizeof(float)) = real(d);
        return;
    default:
        a->type = KIND(INTS);
        for (size_t i = 0; i < n; i++)
            *(int64_t *)grow(&a->ints, &a->n_ints, sizeof(int64_t)) = number(d);
        return;
    }
}

static const char *attr_name(struct dice *d) {
    static const char *const NAMES[] = {"axis",
                                        "axes",
                                        "perm",
                                        "keepdims",
                                        "group",
                                        "pads",
                                        "to",
                                        "alpha",
                                        "beta",
                                        "value",
                                        "start",
                                        "end",
                                        "transA",
                                        "transB",
                                        "auto_pad",
                                        "strides",
                                        "dilations",
                                        "ceil_mode",
                                        "mode",
                                        "num_groups",
                                        "kernel_shape",
                                        "epsilon",
                                        "allowzero",
                                        "fmod",
                                        "count_include_pad",
                                        "num_outputs",
                                        "split",
                                        "value_int",
                                        "blocksize",
                                        "value_ints",
                                        "batch_dims",
                                        "reduction",
                                        "approximate",
                                        "ends",
                                        "starts",
                                        "scales",
                                        "nearest_mode",
                                        "coordinate_transformation_mode",
                                        "noop_with_empty_axes",
                                        "stash_type",
                                        "training_mode",
                                        "exclude_outside"};
    return PICK(d, NAMES);
}

static Onnx__AttributeProto *add_attr(Onnx__NodeProto *n, const char *name) {
    Onnx__AttributeProto **at = grow(&n->attribute, &n->n_attribute, sizeof *at);
    *at = malloc(sizeof **at);
    CHECK(*at);
    onnx__attribute_proto__init(*at);
    set_string(&(*at)->name, name);
    return *at;
}

static void nudge_attr(struct dice *d, Onnx__AttributeProto *a) {
    if (a->n_ints) a->ints[roll(d, a->n_ints)] = number(d);
    if (a->n_floats) a->floats[roll(d, a->n_floats)] = real(d);
    a->i = number(d);
    a->f = real(d);
}

static void change_attr(struct dice *d, Onnx__NodeProto *n) {
    if (n->n_attribute == 0 || roll(d, 6) == 0) {
        set_attr(d, add_attr(n, attr_name(d)));
        return;
    }
    size_t i = roll(d, n->n_attribute);
    Onnx__AttributeProto *a = n->attribute[i];
    switch (roll(d, 8)) {
    case 0: set_attr(d, a); return;
    case 1: set_string(&a->name, attr_name(d)); return;
    case 2: set_string(&a->ref_attr_name, attr_name(d)); return;
    case 3:
        onnx__attribute_proto__free_unpacked(a, NULL);
        n->attribute[i] = n->attribute[--n->n_attribute];
        return;
    default: nudge_attr(d, a); return;
    }
}

// ---- nodes ---------------------------------------------------------------------------
static const char *op_name(struct dice *d) {
    static const char *const OPS[] = {"Abs",
                                      "Add",
                                      "And",
                                      "AveragePool",
                                      "BatchNormalization",
                                      "Cast",
                                      "CastLike",
                                      "Ceil",
                                      "Celu",
                                      "Clip",
                                      "Concat",
                                      "Constant",
                                      "ConstantOfShape",
                                      "Conv",
                                      "DepthToSpace",
                                      "Div",
                                      "Dropout",
                                      "Elu",
                                      "Equal",
                                      "Erf",
                                      "Exp",
                                      "Expand",
                                      "Flatten",
                                      "Floor",
                                      "Gather",
                                      "GatherElements",
                                      "GatherND",
                                      "Gelu",
                                      "Gemm",
                                      "GlobalAveragePool",
                                      "GlobalMaxPool",
                                      "Greater",
                                      "GroupNormalization",
                                      "HardSigmoid",
                                      "HardSwish",
                                      "Identity",
                                      "InstanceNormalization",
                                      "LayerNormalization",
                                      "LeakyRelu",
                                      "Less",
                                      "Log",
                                      "LogSoftmax",
                                      "MatMul",
                                      "Max",
                                      "MaxPool",
                                      "Mean",
                                      "Min",
                                      "Mish",
                                      "Mod",
                                      "Mul",
                                      "Neg",
                                      "Not",
                                      "Or",
                                      "PRelu",
                                      "Pad",
                                      "Pow",
                                      "Range",
                                      "Reciprocal",
                                      "ReduceL1",
                                      "ReduceL2",
                                      "ReduceLogSum",
                                      "ReduceLogSumExp",
                                      "ReduceMax",
                                      "ReduceMean",
                                      "ReduceMin",
                                      "ReduceProd",
                                      "ReduceSum",
                                      "ReduceSumSquare",
                                      "Relu",
                                      "Reshape",
                                      "Resize",
                                      "Round",
                                      "Scatter",
                                      "ScatterElements",
                                      "ScatterND",
                                      "Selu",
                                      "Shape",
                                      "Shrink",
                                      "Sigmoid",
                                      "Sign",
                                      "Size",
                                      "Slice",
                                      "Softmax",
                                      "Softplus",
                                      "Softsign",
                                      "SpaceToDepth",
                                      "Split",
                                      "Sqrt",
                                      "Squeeze",
                                      "Sub",
                                      "Sum",
                                      "Tanh",
                                      "ThresholdedRelu",
                                      "Tile",
                                      "Transpose",
                                      "Unsqueeze",
                                      "Upsample",
                                      "Where",
                                      "Xor",
                                      "If",
                                      "Loop"};
    return PICK(d, OPS);
}

static void change_inputs(struct dice *d, const Onnx__ModelProto *m, struct body b,
                          Onnx__NodeProto *n) {
    size_t how = roll(d, 6);
    if (how == 0 || n->n_input == 0)
        add_string(&n->input, &n->n_input, some_value(d, m, b));
    else if (how == 1) free(n->input[--n->n_input]);
    else if (how == 2) set_string(&n->input[roll(d, n->n_input)], "");
    else set_string(&n->input[roll(d, n->n_input)], some_value(d, m, b));
}

// A node between a user and what it reads.
static void insert_node(struct dice *d, const Onnx__ModelProto *m, struct body b) {
    Onnx__NodeProto *user = some_node(d, b);
    char name[32];
    if (!user || !user->n_input) return;
    char **input = &user->input[roll(d, user->n_input)];
    Onnx__NodeProto *n = malloc(sizeof *n);
    CHECK(n);
    onnx__node_proto__init(n);
    snprintf(name, sizeof name, "new%zu", roll(d, 10000));
    set_string(&n->op_type, op_name(d));
    add_string(&n->input, &n->n_input, *input);
    if (roll(d, 2)) add_string(&n->input, &n->n_input, some_value(d, m, b));
    add_string(&n->output, &n->n_output, name);
    set_string(input, name);
    *(Onnx__NodeProto **)grow(b.node, b.n, sizeof n) = n;
}

// One reads what was read by a node, which goes.
static void bypass_node(struct dice *d, struct body b) {
    size_t gone = *b.n ? roll(d, *b.n) : 0;
    Onnx__NodeProto *n = *b.n ? (*b.node)[gone] : NULL;
    if (!n || !n->n_input || !n->n_output) return;
    for (size_t i = 0; i < *b.n; i++)
        for (size_t k = 0; k < (*b.node)[i]->n_input; k++)
            if (strcmp((*b.node)[i]->input[k], n->output[0]) == 0)
                set_string(&(*b.node)[i]->input[k], n->input[0]);
    (*b.node)[gone] = (*b.node)[--*b.n];
    onnx__node_proto__free_unpacked(n, NULL);
}

static void repeat_node(struct dice *d, struct body b) {
    Onnx__NodeProto *n = some_node(d, b), *user = some_node(d, b);
    char name[32];
    if (!n || !n->n_output || !user->n_input) return;
    n = copy_node(n);
    snprintf(name, sizeof name, "again%zu", roll(d, 10000));
    set_string(&n->output[0], name);
    set_string(&user->input[roll(d, user->n_input)], name);
    *(Onnx__NodeProto **)grow(b.node, b.n, sizeof n) = n;
}

static void change_node(struct dice *d, Onnx__ModelProto *m) {
    struct body b = some_body(d, m);
    Onnx__NodeProto *n = some_node(d, b), *other = some_node(d, b);
    if (!n) return;
    switch (roll(d, 12)) {
    case 0:
    case 1:
    case 2: change_attr(d, n); return;
    case 3: set_string(&n->op_type, other->op_type ? other->op_type : ""); return;
    case 4:
    case 5: set_string(&n->op_type, op_name(d)); return;
    case 6:
    case 7: change_inputs(d, m, b, n); return;
    case 8: insert_node(d, m, b); return;
    case 9: bypass_node(d, b); return;
    case 10: repeat_node(d, b); return;
    default:
        if (n->n_output) set_string(&n->output[0], some_value(d, m, b));
        return;
    }
}

// ---- stored tensors ------------------------------------------------------------------
static size_t width(int32_t type) {
    switch (type) {
    case DT(BOOL): return 1;
    case DT(FLOAT16):
    case DT(BFLOAT16): return 2;
    case DT(FLOAT):
    case DT(INT32): return 4;
    default: return 8;
    }
}

// Raw data as long as the shape says.
static void fit_data(struct dice *d, Onnx__TensorProto *t) {
    size_t n = width(t->data_type);
    for (size_t i = 0; i < t->n_dims; i++)
        n *= (size_t)t->dims[i] < 4096 ? (size_t)t->dims[i] : 1;
    if (n > 4096) return;
    uint8_t *data = calloc(n + 1, 1);
    CHECK(data);
    if (t->raw_data.len) memcpy(data, t->raw_data.data, size_min(n, t->raw_data.len));
    if (t->data_type == DT(FLOAT) && roll(d, 2))
        for (size_t i = 0; i + 4 <= n; i += 4) memcpy(data + i, &(float){real(d)}, 4);
    free(t->raw_data.data);
    t->raw_data = (ProtobufCBinaryData){n, data};
    t->has_raw_data = true;
}

static void change_dims(struct dice *d, Onnx__TensorProto *t) {
    size_t how = roll(d, 4);
    if (how == 0 || t->n_dims == 0)
        *(int64_t *)grow(&t->dims, &t->n_dims, sizeof(int64_t)) = number(d);
    else if (how == 1) t->n_dims--;
    else if (how == 2) t->dims[roll(d, t->n_dims)] = number(d);
    else { // the same elements in another shape
        int64_t first = t->dims[0];
        t->dims[0] = t->dims[t->n_dims - 1];
        t->dims[t->n_dims - 1] = first;
    }
    if (roll(d, 4)) fit_data(d, t);
}

static void change_element(struct dice *d, Onnx__TensorProto *t) {
    size_t size = width(t->data_type);
    int64_t v = number(d);
    float f = real(d);
    if (t->n_int64_data) t->int64_data[roll(d, t->n_int64_data)] = v;
    if (t->n_float_data) t->float_data[roll(d, t->n_float_data)] = f;
    if (t->raw_data.len < size) return;
    uint8_t *at = t->raw_data.data + roll(d, t->raw_data.len / size) * size;
    memcpy(at, t->data_type == DT(FLOAT) ? (void *)&f : (void *)&v, size);
}

static void set_external(struct dice *d, Onnx__TensorProto *t, const char *key,
                         const char *value) {
    Onnx__StringStringEntryProto **at =
        grow(&t->external_data, &t->n_external_data, sizeof *at);
    *at = malloc(sizeof **at);
    CHECK(*at);
    onnx__string_string_entry_proto__init(*at);
    set_string(&(*at)->key, key);
    set_string(&(*at)->value, value);
    t->has_data_location = roll(d, 8) > 0;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

static void move_outside(struct dice *d, Onnx__TensorProto *t) {
    static const char *const PLACES[] = {
        "data",    "data",    "sub/data",  "./data",      "link", "sub",
        "nothing", "../data", "/dev/null", "sub//./data", "",     "dynamo.onnx.data"};
    static const char *const SIZES[] = {
        "0",  "4",    "8", "100", "8192", "8188", "-1", "4k", "", "18446744073709551615",
        "36", "1152", "64"};
    if (roll(d, 2)) {
        free(t->raw_data.data);
        t->raw_data = (ProtobufCBinaryData){0, NULL};
        t->has_raw_data = false;
    }
    set_external(d, t, "location", PICK(d, PLACES));
    if (roll(d, 2)) set_external(d, t, "offset", PICK(d, SIZES));
    if (roll(d, 3) == 0) set_external(d, t, "length", PICK(d, SIZES));
}

static Onnx__TensorProto *some_tensor(struct dice *d, Onnx__ModelProto *m) {
    const Onnx__NodeProto *n = some_node(d, some_body(d, m));
    for (size_t i = 0; n && i < n->n_attribute; i++)
        if (n->attribute[i]->t) return n->attribute[i]->t;
    Onnx__GraphProto *g = m->graph;
    return g->n_initializer ? g->initializer[roll(d, g->n_initializer)] : NULL;
}

static void change_tensor(struct dice *d, Onnx__ModelProto *m) {
    static const int32_t TYPES[] = {DT(FLOAT), DT(FLOAT16), DT(BFLOAT16), DT(DOUBLE),
                                    DT(INT64), DT(INT32),   DT(BOOL),     DT(INT8)};
    Onnx__TensorProto *t = some_tensor(d, m);
    if (!t) return;
    switch (roll(d, 8)) {
    case 0:
        t->data_type = PICK(d, TYPES);
        t->has_data_type = true;
        fit_data(d, t);
        return;
    case 1:
    case 2: change_dims(d, t); return;
    case 3: move_outside(d, t); return;
    default: change_element(d, t); return;
    }
}

// ---- functions -----------------------------------------------------------------------
static void set_names(char ***to, size_t *n, char *const *from, size_t count) {
    for (size_t i = 0; i < count; i++) add_string(to, n, from[i]);
}

// A node becomes a call of a function that holds it.
static void wrap_node(struct dice *d, Onnx__ModelProto *m) {
    Onnx__NodeProto *n = some_node(d, some_body(d, m));
    char name[32];
    if (!n) return;
    Onnx__FunctionProto **at = grow(&m->functions, &m->n_functions, sizeof *at), *f;
    *at = f = malloc(sizeof *f);
    CHECK(f);
    onnx__function_proto__init(f);
    snprintf(name, sizeof name, "f%zu", roll(d, 10000));
    set_string(&f->name, name);
    set_string(&f->domain, "wrapped");
    *(Onnx__NodeProto **)grow(&f->node, &f->n_node, sizeof n) = copy_node(n);
    set_names(&f->input, &f->n_input, n->input, n->n_input);
    set_names(&f->output, &f->n_output, n->output, n->n_output);
    for (size_t i = 0; i < n->n_attribute; i++) // given by the call
        if (roll(d, 2) && n->attribute[i]->name)
            set_string(&f->node[0]->attribute[i]->ref_attr_name, n->attribute[i]->name);
    set_string(&n->op_type, name);
    set_string(&n->domain, "wrapped");
}

static void change_function(struct dice *d, Onnx__ModelProto *m) {
    if (m->n_functions == 0 || roll(d, 3) == 0) {
        wrap_node(d, m);
        return;
    }
    Onnx__FunctionProto *f = m->functions[roll(d, m->n_functions)];
    Onnx__NodeProto *n = some_node(d, some_body(d, m));
    switch (roll(d, 5)) {
    case 0: // a call of it somewhere, perhaps in itself
        if (!n) return;
        set_string(&n->op_type, f->name ? f->name : "");
        set_string(&n->domain, f->domain ? f->domain : "");
        return;
    case 1:
        if (f->n_opset_import) f->opset_import[0]->version = (int64_t)(7 + roll(d, 20));
        return;
    case 2:
        if (f->n_input) free(f->input[--f->n_input]);
        return;
    case 3:
        if (f->n_output && f->n_input)
            set_string(&f->output[roll(d, f->n_output)], f->input[0]);
        return;
    default:
        *(Onnx__FunctionProto **)grow(&m->functions, &m->n_functions, sizeof f) =
            copy_function(f);
        return;
    }
}

// ---- the rest ------------------------------------------------------------------------
static void change_head(struct dice *d, Onnx__ModelProto *m) {
    Onnx__GraphProto *g = m->graph;
    if (roll(d, 2) && m->n_opset_import) {
        m->opset_import[0]->version = (int64_t)(9 + roll(d, 16));
        return;
    }
    if (roll(d, 4) == 0 && g->n_output) {
        set_string(&g->output[0]->name,
                   some_value(d, m, (struct body){&g->node, &g->n_node}));
        return;
    }
    Onnx__TypeProto *t = g->n_input ? g->input[0]->type : NULL;
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) return;
    Onnx__TensorShapeProto *s = t->tensor_type->shape;
    if (!s || !s->n_dim) return;
    Onnx__TensorShapeProto__Dimension *dim = s->dim[roll(d, s->n_dim)];
    if (dim->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE) return;
    dim->dim_value = roll(d, 3) ? (int64_t)roll(d, 12) : number(d);
}

static void mutate(struct dice *d, Onnx__ModelProto *m) {
    if (!m->graph) return;
    switch (roll(d, 16)) {
    case 0: change_head(d, m); return;
    case 1: change_function(d, m); return;
    case 2:
    case 3:
    case 4: change_tensor(d, m); return;
    default: change_node(d, m); return;
    }
}

// A node of another network in place of one, with the tensors it reads, and what is in
// its functions.
static void cross_over(struct dice *d, Onnx__ModelProto *to,
                       const Onnx__ModelProto *from) {
    if (!to->graph || !from->graph || !from->graph->n_node || !to->graph->n_node) return;
    const Onnx__GraphProto *g = from->graph;
    Onnx__NodeProto *n = copy_node(g->node[roll(d, g->n_node)]);
    Onnx__NodeProto **at = &to->graph->node[roll(d, to->graph->n_node)];
    for (size_t i = 0; i < n->n_input; i++)
        for (size_t k = 0; k < g->n_initializer; k++) {
            Onnx__TensorProto *t = g->initializer[k];
            if (!t->name || strcmp(t->name, n->input[i]) != 0) continue;
            *(Onnx__TensorProto **)grow(&to->graph->initializer,
                                        &to->graph->n_initializer, sizeof t) =
                copy_tensor(t);
        }
    if (n->n_input && (*at)->n_input) set_string(&n->input[0], (*at)->input[0]);
    if (n->n_output && (*at)->n_output) set_string(&n->output[0], (*at)->output[0]);
    onnx__node_proto__free_unpacked(*at, NULL);
    *at = n;
    if (from->n_functions && roll(d, 2))
        *(Onnx__FunctionProto **)grow(&to->functions, &to->n_functions, sizeof(void *)) =
            copy_function(from->functions[roll(d, from->n_functions)]);
}

#endif
