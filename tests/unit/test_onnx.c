// The ONNX reader: networks mean what PyTorch says they mean, at their own size and at
// others; the same network has the same digest however it was written; files that are
// wrong or hostile are refused with the op, the node and the cause.
//
// Wrong files are made from right ones: the message is unpacked, changed and packed
// again.
#include "onnx_rig.h"

// ---- what networks mean --------------------------------------------------------------
static void networks_give_pytorchs_logits(void **state) {
    static const struct {
        const char *name;
        size_t channels, height, width, classes;
    } NETS[] = {
        {"convnet", 3, 16, 16, 10}, {"pooled", 3, 16, 12, 7}, {"fixed", 1, 9, 8, 5},
        {"shapes", 3, 8, 8, 4},     {"moves", 2, 7, 6, 6},    {"moves9", 2, 7, 6, 6},
        {"moves17", 2, 7, 6, 6},    {"tokens", 2, 4, 4, 3},   {"places", 2, 8, 8, 5},
        {"places1", 2, 8, 8, 5},    {"wander", 3, 4, 4, 48},  {"wander1", 3, 4, 4, 48},
        {"alone", 3, 4, 4, 32},     {"several", 3, 4, 4, 48}, {"windows", 2, 9, 8, 4},
        {"arithmetic", 3, 2, 2, 5},
    };
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT(NETS); i++) {
        const struct model *m = load_named(b, NETS[i].name, NETS[i].channels);
        diags_print(&b->diags, stderr, false);
        assert_non_null(m);
        assert_int_equal(m->height, NETS[i].height);
        assert_int_equal(m->width, NETS[i].width);
        assert_int_equal(m->classes, NETS[i].classes);
        check_function(b, m->func);
        check_logits(b, m->func, arena_printf(b->arena, MODELS "%s_x.npy", NETS[i].name),
                     arena_printf(b->arena, MODELS "%s_y.npy", NETS[i].name));
    }
}

static void teachers_give_pytorchs_logits(void **state) {
    struct bench *b = *state;
    if (access(SHARED_DATA "/models/resnet20.onnx", R_OK) != 0) skip();
    const struct model *m = load(b, SHARED_DATA "/models/resnet20.onnx", 3);
    assert_non_null(m);
    check_function(b, m->func);
    check_logits(b, m->func, SHARED_DATA "/reference/resnet20_input.npy",
                 SHARED_DATA "/reference/resnet20_logits.npy");
    assert_non_null(model_at_size(b->arena, m, 16, 16, &b->diags, NO_SPAN));
    m = load(b, SHARED_DATA "/models/resnet56.onnx", 3);
    assert_non_null(m);
    check_function(b, m->func);
}

static void a_pooled_network_takes_other_sizes(void **state) {
    struct bench *b = *state;
    const struct model *m = load_named(b, "pooled", 3);
    assert_non_null(m);
    const struct func *f = model_at_size(b->arena, m, 8, 8, &b->diags, NO_SPAN);
    assert_non_null(f);
    check_function(b, f);
    check_logits(b, f, MODELS "pooled_8_x.npy", MODELS "pooled_8_y.npy");
    assert_ptr_equal(model_at_size(b->arena, m, 16, 12, &b->diags, NO_SPAN), m->func);
}

static void a_flattening_network_takes_its_own_size(void **state) {
    struct bench *b = *state;
    const struct model *m = load_named(b, "convnet", 3);
    assert_null(model_at_size(b->arena, m, 8, 8, &b->diags, NO_SPAN));
    assert_int_equal(b->diags.errors, 1);
    assert_string_equal(b->diags.list.at[0].message, MODELS
                        "convnet.onnx wants images of 16 x 16 and cannot take 8 x 8: "
                        "Gemm `/head/Gemm` expects 32 features and would get 8");
    assert_non_null(strstr(b->diags.list.at[0].help, "give images that size"));
}

// ---- parameters ----------------------------------------------------------------------
static const char *param_names(struct bench *b, const struct func *f) {
    struct text t = {.arena = b->arena};
    for (size_t i = 0; i < f->nodes.n; i++)
        if (node_at(f, (nid)i)->op == OP_PARAM)
            text_add(&t, "%s ", attr_str(node_at(f, (nid)i), "name"));
    return t.at;
}

static void layers_weights_are_parameters(void **state) {
    struct bench *b = *state;
    const struct model *m = load_named(b, "pooled", 3);
    assert_string_equal(param_names(b, m->func),
                        "a.weight n.weight n.bias b.weight b.bias m.weight m.bias "
                        "head.weight head.bias last.weight last.bias ");
    // The scale of Mul is no layer's; the bias that Add brings and a weight that comes
    // through a Transpose are.
    m = load_named(b, "tokens", 2);
    assert_string_equal(param_names(b, m->func),
                        "a.weight a.bias b.weight head.weight head.bias ");
    // The scale and shift of a norm that is written in small ops.
    m = load_named(b, "shapes", 3);
    assert_string_equal(param_names(b, m->func),
                        "a.weight a.bias b.weight b.bias norm.weight norm.bias "
                        "head.weight head.bias ");
}

// Through transposes, too: whatever lies in the file need not be copied.
static void products_read_weights_directly(void **state) {
    static const char *const NETS[] = {"convnet", "tokens"};
    struct bench *b = *state;
    for (size_t k = 0; k < COUNT(NETS); k++) {
        const struct func *f = load_named(b, NETS[k], k ? 2 : 3)->func;
        for (size_t i = 0; i < f->nodes.n; i++) {
            const struct node *n = node_at(f, (nid)i);
            if (n->op == OP_CONV || n->op == OP_MATMUL)
                assert_int_equal(node_at(f, n->in[1])->op, OP_PARAM);
        }
    }
}

// ---- the digest ----------------------------------------------------------------------
static void prefix(char **s) {
    char *t = malloc(strlen(*s) + 5);
    sprintf(t, "new_%s", *s);
    free(*s);
    *s = t;
}

static void rename_everything(Onnx__GraphProto *g) {
    for (size_t i = 0; i < g->n_initializer; i++) prefix(&g->initializer[i]->name);
    prefix(&g->input[0]->name);
    prefix(&g->output[0]->name);
    for (size_t i = 0; i < g->n_node; i++) {
        Onnx__NodeProto *n = g->node[i];
        prefix(&n->name);
        for (size_t j = 0; j < n->n_input; j++)
            if (*n->input[j]) prefix(&n->input[j]);
        for (size_t j = 0; j < n->n_output; j++) prefix(&n->output[j]);
    }
}

static void reverse_nodes(Onnx__GraphProto *g) {
    for (size_t i = 0, j = g->n_node; i + 1 < j; i++) {
        Onnx__NodeProto *n = g->node[i];
        g->node[i] = g->node[--j];
        g->node[j] = n;
    }
}

// The other encoding of the same floats: every second tensor as double, which is exact.
static void store_otherwise(Onnx__GraphProto *g) {
    for (size_t i = 0; i < g->n_initializer; i++) {
        Onnx__TensorProto *t = g->initializer[i];
        if (t->data_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT) continue;
        size_t n = t->raw_data.len / sizeof(float);
        float *v = (float *)t->raw_data.data;
        if (i % 2) {
            t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
            t->n_double_data = n;
            t->double_data = malloc(n * sizeof(double));
            for (size_t k = 0; k < n; k++) t->double_data[k] = (double)v[k];
            free(v);
        } else {
            t->n_float_data = n;
            t->float_data = v;
        }
        t->has_raw_data = false;
        t->raw_data = (ProtobufCBinaryData){0, NULL};
    }
}

// Same graph and the same weights, whatever they are called.
static void check_same_network(const struct model *m, const struct model *again) {
    assert_non_null(again);
    assert_true(digest_eq(again->digest, m->digest));
    assert_true(digest_eq(again->graph, m->graph));
    assert_int_equal(again->nweights, m->nweights);
    for (size_t i = 0; i < m->nweights; i++)
        assert_true(digest_eq(again->weights[i].digest, m->weights[i].digest));
}

// How many weights differ; the last one that does in *at.
static size_t changed_weights(const struct model *m, const struct model *now,
                              size_t *at) {
    size_t n = 0;
    assert_int_equal(now->nweights, m->nweights);
    for (size_t i = 0; i < m->nweights; i++) {
        if (digest_eq(m->weights[i].digest, now->weights[i].digest)) continue;
        n++;
        *at = i;
    }
    return n;
}

static void the_digest_is_the_networks(void **state) {
    struct bench *b = *state;
    const struct model *pooled = load_named(b, "pooled", 3);
    Onnx__ModelProto *m = unpack(b, "pooled");
    rename_everything(m->graph);
    reverse_nodes(m->graph);
    store_otherwise(m->graph);
    set_string(&m->producer_name, "another tool");
    const struct model *again = reload(b, m, 3);
    diags_print(&b->diags, stderr, false);
    check_same_network(pooled, again);
    for (size_t i = 0; i < pooled->nweights; i++) // names are the file's all the same
        assert_string_equal(again->weights[i].name,
                            arena_printf(b->arena, "new_%s", pooled->weights[i].name));
}

static void the_digest_sees_what_matters(void **state) {
    struct bench *b = *state;
    struct digest d = load_named(b, "pooled", 3)->digest;
    Onnx__ModelProto *m = unpack(b, "pooled");
    tensor_named(m, "a.weight")->raw_data.data[0] ^= 1; // the last bit of a weight
    assert_false(digest_eq(reload(b, m, 3)->digest, d));
    m = unpack(b, "pooled");
    attr_named(node_named(m, "/p/MaxPool"), "strides")->ints[1] = 1;
    assert_false(digest_eq(reload(b, m, 3)->digest, d));
    struct model_options o = {.path = MODELS "pooled.onnx", .mean = MEAN, .std = MEAN};
    o.nmean = o.nstd = 3;
    assert_false(digest_eq(model_load(b->arena, &o, &b->diags)->digest, d));
}

// The weights in the order of the layers; each changed in one bit changes itself alone.
static void each_weight_has_its_own_digest(void **state) {
    static const char *const POOLED[] = {
        "a.weight",      "n.running_mean",    "n.running_var",    "n.weight",
        "n.bias",        "b.weight",          "b.bias",           "m.running_mean",
        "m.running_var", "m.weight",          "m.bias",           "head.weight",
        "head.bias",     "last.running_mean", "last.running_var", "last.weight",
        "last.bias",
    };
    struct bench *b = *state;
    const struct model *m = load_named(b, "pooled", 3);
    assert_int_equal(m->nweights, COUNT(POOLED));
    for (size_t i = 0; i < COUNT(POOLED); i++) {
        assert_string_equal(m->weights[i].name, POOLED[i]);
        Onnx__ModelProto *file = unpack(b, "pooled");
        tensor_named(file, POOLED[i])->raw_data.data[0] ^= 128;
        const struct model *now = reload(b, file, 3);
        size_t at = SIZE_MAX;
        assert_int_equal(changed_weights(m, now, &at), 1);
        assert_int_equal(at, i);
        assert_true(digest_eq(now->graph, m->graph));
        assert_false(digest_eq(now->digest, m->digest));
    }
}

static void the_graph_has_its_own_digest(void **state) {
    struct bench *b = *state;
    const struct model *m = load_named(b, "pooled", 3), *now;
    Onnx__ModelProto *file = unpack(b, "pooled");
    size_t at;
    attr_named(node_named(file, "/p/MaxPool"), "strides")->ints[1] = 1;
    assert_non_null(now = reload(b, file, 3));
    assert_int_equal(changed_weights(m, now, &at), 0);
    assert_false(digest_eq(now->graph, m->graph));
}

// Two layers that share a weight have another gradient than two with a copy each.
static void the_digest_tells_sharing_from_copies(void **state) {
    struct bench *b = *state;
    Onnx__ModelProto *copy = unpack(b, "pooled"), *shared = unpack(b, "pooled");
    Onnx__TensorProto *from = tensor_named(copy, "m.weight"),
                      *to = tensor_named(copy, "m.bias");
    assert_int_equal(from->raw_data.len, to->raw_data.len);
    memcpy(to->raw_data.data, from->raw_data.data, from->raw_data.len);
    set_string(&node_named(shared, "/m/BatchNormalization")->input[2], "m.weight");
    const struct model *c = reload(b, copy, 3), *s = reload(b, shared, 3);
    struct npy x = array(b, MODELS "pooled_x.npy");
    assert_memory_equal(logits(b, c->func, &x), logits(b, s->func, &x),
                        x.dim[0] * c->classes * sizeof(float));
    assert_false(digest_eq(c->digest, s->digest));
    assert_false(digest_eq(c->graph, s->graph));
}

// But the ones and zeros that layers start with are each layer's own, stored once or not.
static void what_layers_start_with_is_their_own(void **state) {
    struct bench *b = *state;
    Onnx__ModelProto *copy = unpack(b, "pooled"), *shared = unpack(b, "pooled");
    Onnx__ModelProto *const all[] = {copy, shared};
    for (size_t i = 0; i < 2; i++) {
        static const char *const NAMES[] = {"m.weight", "m.bias"};
        for (size_t k = 0; k < 2; k++) {
            ProtobufCBinaryData raw = tensor_named(all[i], NAMES[k])->raw_data;
            for (size_t at = 0; at < raw.len; at += sizeof(float))
                memcpy(raw.data + at, &(float){1}, sizeof(float));
        }
    }
    set_string(&node_named(shared, "/m/BatchNormalization")->input[2], "m.weight");
    check_same_network(reload(b, copy, 3), reload(b, shared, 3));
}

// Exporters store equal tensors once, so a norm's mean may be another layer's bias.
static void a_parameter_may_be_a_mean_elsewhere(void **state) {
    struct bench *b = *state;
    Onnx__ModelProto *copy = unpack(b, "pooled"), *shared = unpack(b, "pooled");
    memcpy(tensor_named(copy, "m.running_mean")->raw_data.data,
           tensor_named(copy, "m.bias")->raw_data.data,
           tensor_named(copy, "m.bias")->raw_data.len);
    set_string(&node_named(shared, "/m/BatchNormalization")->input[3], "m.bias");
    const struct model *c = reload(b, copy, 3), *s = reload(b, shared, 3);
    check_same_network(c, s);
}

// ---- wrong files ---------------------------------------------------------------------
static void zero_stride(Onnx__ModelProto *m) {
    attr_named(node_named(m, "/a/Conv"), "strides")->ints[0] = 0;
}
static void one_stride(Onnx__ModelProto *m) {
    attr_named(node_named(m, "/a/Conv"), "strides")->n_ints = 1;
}
static void huge_pad(Onnx__ModelProto *m) {
    attr_named(node_named(m, "/a/Conv"), "pads")->ints[3] = INT64_MAX;
}
static void odd_group(Onnx__ModelProto *m) {
    attr_named(node_named(m, "/b/Conv"), "group")->i = 3;
}
static void other_kernel(Onnx__ModelProto *m) {
    attr_named(node_named(m, "/b/Conv"), "kernel_shape")->ints[0] = 5;
}
static void float_group(Onnx__ModelProto *m) {
    attr_named(node_named(m, "/b/Conv"), "group")->type =
        ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
}
static void foreign_attr(Onnx__ModelProto *m) {
    add_int(node_named(m, "/b/Conv"), "fused_relu", 1);
}
static void training(Onnx__ModelProto *m) {
    add_int(node_named(m, "/n/BatchNormalization"), "training_mode", 1);
}
static void bad_variance(Onnx__ModelProto *m) {
    float v = -2;
    memcpy(tensor_named(m, "n.running_var")->raw_data.data + 4, &v, 4);
}
static void cycle(Onnx__ModelProto *m) {
    set_string(&node_named(m, "/a/Conv")->input[0], "/Relu_output_0");
}
static void missing(Onnx__ModelProto *m) {
    set_string(&node_named(m, "/Relu")->input[0], "nowhere");
}
static void no_operand(Onnx__ModelProto *m) {
    set_string(&node_named(m, "/Relu")->input[0], "");
}
static void no_second_part(Onnx__ModelProto *m) {
    set_string(&node_named(m, "mx")->input[1], "");
}
static void two_names(Onnx__ModelProto *m) {
    set_string(&node_named(m, "/Relu")->output[0], "a.weight");
}
static void cut_tensor(Onnx__ModelProto *m) {
    tensor_named(m, "a.weight")->raw_data.len -= 3;
}
static void not_a_number(Onnx__ModelProto *m) {
    float v = NAN;
    memcpy(tensor_named(m, "a.weight")->raw_data.data + 8, &v, 4);
}
static void small_integers(Onnx__ModelProto *m) {
    tensor_named(m, "a.weight")->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
}
static void negative_dim(Onnx__ModelProto *m) {
    tensor_named(m, "a.weight")->dims[2] = -3;
}
static void huge_dims(Onnx__ModelProto *m) {
    for (int i = 0; i < 4; i++) tensor_named(m, "a.weight")->dims[i] = 1 << 20;
}
static void elsewhere(Onnx__ModelProto *m) {
    tensor_named(m, "a.weight")->has_data_location = true;
    tensor_named(m, "a.weight")->data_location =
        ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}
static void old_opset(Onnx__ModelProto *m) {
    m->opset_import[0]->version = 8;
}
static void no_opset(Onnx__ModelProto *m) {
    set_string(&m->opset_import[0]->domain, "com.example");
}
static void sparse(Onnx__ModelProto *m) {
    Onnx__SparseTensorProto **list = malloc(sizeof *list), *t = malloc(sizeof *t);
    onnx__sparse_tensor_proto__init(t);
    t->values = malloc(sizeof *t->values);
    onnx__tensor_proto__init(t->values);
    t->values->name = strdup("a.weight");
    set_string(&tensor_named(m, "a.weight")->name, "dense");
    list[0] = t;
    m->graph->n_sparse_initializer = 1;
    m->graph->sparse_initializer = list;
}
static void no_graph(Onnx__ModelProto *m) {
    onnx__graph_proto__free_unpacked(m->graph, NULL);
    m->graph = NULL;
}
static Onnx__TensorShapeProto *input_shape(Onnx__ModelProto *m) {
    return m->graph->input[0]->type->tensor_type->shape;
}
static void three_axes(Onnx__ModelProto *m) {
    Onnx__TensorShapeProto *s = input_shape(m);
    protobuf_c_message_free_unpacked(&s->dim[--s->n_dim]->base, NULL);
}
static void free_height(Onnx__ModelProto *m) {
    input_shape(m)->dim[2]->dim_value = 0;
}
static void byte_images(Onnx__ModelProto *m) {
    m->graph->input[0]->type->tensor_type->elem_type =
        ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
}
static void two_inputs(Onnx__ModelProto *m) {
    // A tensor that is not stored any more is an input.
    set_string(&tensor_named(m, "head.bias")->name, "head.bias2");
    Onnx__GraphProto *g = m->graph;
    g->input = realloc(g->input, (g->n_input + 1) * sizeof *g->input);
    g->input[g->n_input] = malloc(sizeof **g->input);
    onnx__value_info_proto__init(g->input[g->n_input]);
    g->input[g->n_input++]->name = strdup("head.bias");
}
static void image_output(Onnx__ModelProto *m) {
    set_string(&m->graph->output[0]->name, "/Relu_output_0");
}
static void constant_output(Onnx__ModelProto *m) {
    set_string(&m->graph->output[0]->name, "head.bias");
}
static void no_output(Onnx__ModelProto *m) {
    set_string(&m->graph->output[0]->name, "nobody");
}
static void flat_batch(Onnx__ModelProto *m) {
    attr_named(node_named(m, "/Flatten"), "axis")->i = 0;
}
static void terminal_codes(Onnx__ModelProto *m) {
    missing(m);
    set_string(&node_named(m, "/Relu")->name, "\x1b[31mred\n");
}

// Of the network "reductions".
static void other_axes(Onnx__ModelProto *m) {
    set_string(&node_named(m, "cat")->input[0], "c");
}
static void join_of_weights(Onnx__ModelProto *m) {
    set_string(&node_named(m, "cat")->input[1], "w");
}
static void join_too_far(Onnx__ModelProto *m) {
    attr_named(node_named(m, "cat"), "axis")->i = 2;
}

// Of the network "arithmetic".
static int64_t *stored_integer(Onnx__ModelProto *m, const char *tensor) {
    return (int64_t *)(void *)tensor_named(m, tensor)->raw_data.data;
}
static void transposed_batch(Onnx__ModelProto *m) {
    add_int(node_named(m, "g"), "transA", 1);
}
static void softmax_of_batch(Onnx__ModelProto *m) {
    attr_named(node_named(m, "sm"), "axis")->i = 0;
}
static void axis_too_far(Onnx__ModelProto *m) {
    attr_named(node_named(m, "sm"), "axis")->i = -3;
}
static void no_step(Onnx__ModelProto *m) {
    *stored_integer(m, "i1") = 0;
}
static void wide_range(Onnx__ModelProto *m) {
    *stored_integer(m, "i0") = -(1 << 30);
}
static void varying_power(Onnx__ModelProto *m) {
    set_string(&node_named(m, "p4")->input[1], "x");
}
static void absurd_shape(Onnx__ModelProto *m) {
    *stored_integer(m, "shape5") = INT64_C(1) << 60;
}
static void batch_from_file(Onnx__ModelProto *m) {
    *stored_integer(m, "shape5") = onnx_batch(1);
}
static void other_shape(Onnx__ModelProto *m) {
    *stored_integer(m, "shape5") = 4;
}
static void dropping(Onnx__ModelProto *m) {
    Onnx__NodeProto *n = node_named(m, "dr");
    n->input = realloc(n->input, 3 * sizeof *n->input);
    n->input[n->n_input++] = strdup("i1");
}
static void reshape_to(Onnx__ModelProto *m, int64_t first) {
    set_string(&node_named(m, "f")->op_type, "Reshape");
    node_named(m, "f")->input = realloc(node_named(m, "f")->input, 2 * sizeof(char *));
    node_named(m, "f")->input[node_named(m, "f")->n_input++] = strdup("shape5");
    *stored_integer(m, "shape5") = first;
}
static void reshaped_away(Onnx__ModelProto *m) {
    reshape_to(m, 12);
}
static void reshaped_flat(Onnx__ModelProto *m) {
    reshape_to(m, -1);
}
static void size_of_batch(Onnx__ModelProto *m) {
    set_string(&node_named(m, "sz")->input[0], "x");
}
// The number of rows, as the limit of a Range.
static void computes_with_batch(Onnx__ModelProto *m) {
    set_string(&node_named(m, "sz")->op_type, "Shape");
    set_string(&node_named(m, "sz")->input[0], "x");
    add_int(node_named(m, "sz"), "end", 1);
}

struct wrong {
    void (*spoil)(Onnx__ModelProto *m);
    const char *message; // after the path
};

static void check_wrong(struct bench *b, const char *net, size_t channels,
                        const struct wrong *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        Onnx__ModelProto *m = unpack(b, net);
        cases[i].spoil(m);
        assert_null(reload(b, m, channels));
        assert_int_equal(b->diags.errors, 1);
        assert_string_equal(
            b->diags.list.at[0].message,
            arena_printf(b->arena, "%s: %s", b->scratch, cases[i].message));
    }
}

static void wrong_networks_are_explained(void **state) {
    static const struct wrong CASES[] = {
        {zero_stride, "Conv `/a/Conv` has 0 in strides; ddg takes 1 to 4096"},
        {one_stride, "Conv `/a/Conv` has 1 strides; a 2-D op has 2"},
        {huge_pad, "Conv `/a/Conv` has 9223372036854775807 in pads; ddg takes 0 to 4096"},
        {odd_group, "Conv `/b/Conv` has weights for 6 channels (2 in each of 3 groups) "
                    "and would get 8"},
        {other_kernel, "Conv `/b/Conv` states a kernel of 5 x 3 and has a weight of "
                       "f32[12,2,3,3]"},
        {float_group, "Conv `/b/Conv` has an attribute `group` that is not an integer"},
        {foreign_attr,
         "Conv `/b/Conv` has an attribute `fused_relu` that ddg does not know"},
        {training,
         "BatchNormalization `/n/BatchNormalization` is in training mode, where a "
         "row's result depends on the whole batch"},
        {bad_variance,
         "BatchNormalization `/n/BatchNormalization` has a variance of -2 in "
         "channel 1"},
        {cycle, "its graph has a cycle: Relu `/Relu` needs its own result"},
        {missing, "Relu `/Relu` reads `nowhere`, which nothing in the file makes"},
        {no_operand, "Relu `/Relu` has no input 1"},
        {two_names, "two values have the name `a.weight`"},
        {cut_tensor, "the tensor `a.weight` should take 864 bytes (216 of float) and has "
                     "861"},
        {not_a_number, "the tensor `a.weight` has a value that is not finite in f32 "
                       "(element 2)"},
        {small_integers,
         "the tensor `a.weight` is of type int8; ddg reads float, float16, "
         "bfloat16, double, int32, int64 and bool"},
        {negative_dim, "the tensor `a.weight` has a dimension of -3"},
        {huge_dims, "the tensor `a.weight` has too many elements "
                    "(f32[1048576,1048576,1048576,1048576])"},
        {elsewhere, "the tensor `a.weight` is stored twice"},
        {old_opset, "uses ONNX opset 8; ddg reads 9 to 23"},
        {no_opset, "does not say which opset of ONNX it uses"},
        {sparse,
         "Conv `/a/Conv` reads `a.weight`, which is stored as a sparse tensor; ddg "
         "reads dense ones"},
        {no_graph, "is not an ONNX file: it has no graph"},
        {three_axes, "its input `input` has 3 axes; ddg gives networks images, with the "
                     "four axes N,C,H,W"},
        {free_height, "its input `input` has no fixed height"},
        {byte_images,
         "its input `input` is of type uint8; ddg gives networks float images"},
        {two_inputs,
         "it has 2 inputs (`input`, `head.bias`); ddg takes networks with one, "
         "the image"},
        {image_output,
         "its output `/Relu_output_0` is f32[N,8,16,12]; ddg takes one number "
         "a class, f32[N,K]"},
        {constant_output, "its output `head.bias` does not depend on the image"},
        {no_output, "nothing in it makes its output `nobody`"},
        {flat_batch,
         "Gemm `/head/Gemm` sums over the batch (the last axis of f32[1,N*12])"},
        {terminal_codes,
         "Relu `?[31mred?` reads `nowhere`, which nothing in the file makes"},
    };
    check_wrong(*state, "pooled", 3, CASES, COUNT(CASES));
}

static void wrong_arithmetic_is_explained(void **state) {
    static const struct wrong CASES[] = {
        {transposed_batch, "Gemm `g` sums over the batch (the last axis of f32[12,N])"},
        {softmax_of_batch,
         "Softmax `sm` works across the batch (axis 0); ddg computes each "
         "row of a batch by itself"},
        {axis_too_far, "Softmax `sm` has axis -3, of a value with 2 axes"},
        {no_second_part, "Max `mx` has no input 2"},
        {no_step, "Range `r` has a step of 0"},
        {wide_range, "Range `r` computes with constants far larger than the file"},
        {varying_power, "Pow `p4` has the exponent f32[N,3,2,2]; ddg takes one constant "
                        "number, or powers of a constant"},
        {absurd_shape, "ConstantOfShape `k` has 1152921504606846976 in its shape"},
        {batch_from_file, "the tensor `shape5` holds an absurd number (element 0)"},
        {other_shape, "Where `wh` joins f32[4] with f32[5], which do not fit together"},
        {dropping, "Dropout `dr` is in training mode"},
        {reshaped_away, "Reshape `f` gives a batch of 12, however many images there are"},
        {reshaped_flat, "Gemm `g` takes features f32[N,I], this is f32[N*12]"},
        {size_of_batch, "Range `r` computes with the number of rows in a batch, which "
                        "ddg does not know"},
        {computes_with_batch,
         "Range `r` computes with the number of rows in a batch, which "
         "ddg does not know"},
    };
    check_wrong(*state, "arithmetic", 3, CASES, COUNT(CASES));
}

static void wrong_joins_are_explained(void **state) {
    static const struct wrong CASES[] = {
        {other_axes,
         "Concat `cat` joins f32[N,3,2,2] and f32[N,3] along axis 1; all other "
         "axes have to be of equal size"},
        {join_of_weights,
         "Concat `cat` joins a value of each image with f32[31,4], which "
         "is one for all images and has no axis for their number N"},
        {join_too_far, "Concat `cat` has axis 2, of a value with 2 axes"},
    };
    check_wrong(*state, "reductions", 2, CASES, COUNT(CASES));
}

static void every_unknown_op_is_listed(void **state) {
    struct bench *b = *state;
    Onnx__ModelProto *m = unpack(b, "pooled");
    set_string(&node_named(m, "/a/Conv")->op_type, "Convo");
    set_string(&node_named(m, "/b/Conv")->op_type, "Convo");
    set_string(&node_named(m, "/Relu")->op_type, "Frobnicate");
    set_string(&node_named(m, "/p/MaxPool")->domain, "com.example");
    assert_null(reload(b, m, 3));
    assert_int_equal(b->diags.errors, 3);
    const struct diag *d = b->diags.list.at;
    assert_non_null(
        strstr(d[0].message, "op Convo is not supported (nodes `/a/Conv`, `/b/Conv`)"));
    assert_string_equal(d[0].help, "did the file mean `Conv`?");
    assert_non_null(
        strstr(d[1].message, "op Frobnicate is not supported (node `/Relu`)"));
    assert_null(d[1].help);
    assert_non_null(strstr(d[2].message, "op com.example.MaxPool is not supported"));
}

static void normalisation_must_fit_the_channels(void **state) {
    struct bench *b = *state;
    double zero[] = {1, 0, 1};
    struct model_options o = {.path = MODELS "pooled.onnx", .mean = MEAN, .std = zero};
    o.nmean = 2;
    o.nstd = 3;
    assert_null(model_load(b->arena, &o, &b->diags));
    assert_int_equal(b->diags.errors, 2);
    assert_string_equal(b->diags.list.at[0].message,
                        "mean has 2 numbers; " MODELS
                        "pooled.onnx takes images of 3 channels");
    assert_string_equal(b->diags.list.at[1].message,
                        "std must be greater than 0; number 2 of std is 0");
}

static void a_last_softmax_is_warned_of(void **state) {
    struct bench *b = *state;
    Onnx__ModelProto *m = unpack(b, "arithmetic");
    Onnx__NodeProto *last = node_named(m, "id");
    set_string(&last->op_type, "Softmax");
    assert_non_null(reload(b, m, 3));
    assert_int_equal(b->diags.errors, 0);
    assert_int_equal(b->diags.list.n, 1);
    assert_non_null(strstr(b->diags.list.at[0].message, "ends in a Softmax"));
}

// ---- hostile files -------------------------------------------------------------------
static void check_refused(struct bench *b, const void *data, size_t n, const char *why) {
    write_bytes(b, data, n);
    assert_null(load(b, b->scratch, 3));
    assert_int_equal(b->diags.errors, 1);
    if (!strstr(b->diags.list.at[0].message, why))
        fail_msg("expected %s, got %s", why, b->diags.list.at[0].message);
}

static void files_that_are_not_onnx(void **state) {
    struct bench *b = *state;
    assert_null(load(b, MODELS "nothing.onnx", 3));
    assert_non_null(strstr(b->diags.list.at[0].message, "No such file"));
    check_refused(b, "", 0, "is empty");
    check_refused(b, "PK\x03\x04 not a network", 18, "is not an ONNX file");
    check_refused(b, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "64 bits");
    check_refused(b, "\x3a\x05\x0a", 3, "cut short");
    check_refused(b, "\x3a\x00\x3a\x00", 4, "two of one part");
}

static size_t put_varint(uint8_t *p, size_t v) {
    size_t n = 0;
    for (; v >= 128; v >>= 7) p[n++] = (uint8_t)(v | 128);
    p[n++] = (uint8_t)v;
    return n;
}

// Wraps the message of n bytes at the end of the buffer in a field; its new start.
static uint8_t *wrap(uint8_t *start, size_t n, uint32_t field) {
    uint8_t head[16];
    size_t size = put_varint(head, field << 3 | 2);
    size += put_varint(head + size, n);
    return memcpy(start - size, head, size);
}

static void deep_messages_do_not_overflow_the_stack(void **state) {
    struct bench *b = *state;
    size_t cap = 1 << 20;
    uint8_t *buffer = NEW_N(b->arena, uint8_t, cap), *end = buffer + cap, *start = end;
    // graph { node { attribute { g { node { attribute { g ...
    for (int i = 0; i < 20000; i++) {
        start = wrap(start, (size_t)(end - start), 6); // attribute.g
        start = wrap(start, (size_t)(end - start), 5); // node.attribute
        start = wrap(start, (size_t)(end - start), 1); // graph.node
    }
    start = wrap(start, (size_t)(end - start), 7); // model.graph
    check_refused(b, start, (size_t)(end - start), "nested too deep");
}

static void many_small_messages_are_refused(void **state) {
    struct bench *b = *state;
    size_t nodes = 200000;
    uint8_t *buffer = NEW_N(b->arena, uint8_t, 2 * nodes + 16), *start = buffer + 16;
    for (size_t i = 0; i < nodes; i++) start[2 * i] = 1 << 3 | 2; // an empty node
    start = wrap(start, 2 * nodes, 7);
    check_refused(b, start, (size_t)(buffer + 16 + 2 * nodes - start),
                  "too many messages");
}

static void a_file_cut_anywhere_is_refused(void **state) {
    struct bench *b = *state;
    size_t n;
    char *data = file_read(b->arena, MODELS "pooled.onnx", 1 << 20, &n);
    for (size_t i = 0; i < n; i += 7) {
        struct bench inner = {.arena = arena_new(), .scratch = b->scratch};
        write_bytes(b, data, i);
        const struct model *m = load(&inner, b->scratch, 3);
        // The opset comes last, so nothing shorter is whole.
        assert_null(m);
        assert_true(inner.diags.errors > 0);
        arena_free(inner.arena);
    }
}

// Each Concat doubles a constant: 40 nodes would make a terabyte.
static void constants_do_not_grow_without_bound(void **state) {
    struct bench *b = *state;
    Onnx__ModelProto *m = unpack(b, "arithmetic");
    Onnx__GraphProto *g = m->graph;
    g->node = realloc(g->node, (g->n_node + 40) * sizeof *g->node);
    for (int i = 0; i < 40; i++) {
        const char *in = i ? arena_printf(b->arena, "big%d", i - 1) : "b";
        Onnx__NodeProto *n = malloc(sizeof *n);
        onnx__node_proto__init(n);
        n->op_type = strdup("Concat");
        n->name = strdup(arena_printf(b->arena, "big%d", i));
        n->n_input = 2;
        n->input = malloc(2 * sizeof *n->input);
        n->input[0] = strdup(in);
        n->input[1] = strdup(in);
        n->n_output = 1;
        n->output = malloc(sizeof *n->output);
        n->output[0] = strdup(n->name);
        add_int(n, "axis", 0);
        g->node[g->n_node++] = n;
    }
    set_string(&node_named(m, "g")->input[2], "big39");
    assert_null(reload(b, m, 3));
    assert_non_null(strstr(b->diags.list.at[0].message,
                           "computes with constants far larger than the file"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(networks_give_pytorchs_logits),
        TEST(teachers_give_pytorchs_logits),
        TEST(a_pooled_network_takes_other_sizes),
        TEST(a_flattening_network_takes_its_own_size),
        TEST(layers_weights_are_parameters),
        TEST(products_read_weights_directly),
        TEST(the_digest_is_the_networks),
        TEST(the_digest_sees_what_matters),
        TEST(each_weight_has_its_own_digest),
        TEST(the_graph_has_its_own_digest),
        TEST(the_digest_tells_sharing_from_copies),
        TEST(what_layers_start_with_is_their_own),
        TEST(a_parameter_may_be_a_mean_elsewhere),
        TEST(wrong_networks_are_explained),
        TEST(wrong_arithmetic_is_explained),
        TEST(wrong_joins_are_explained),
        TEST(every_unknown_op_is_listed),
        TEST(normalisation_must_fit_the_channels),
        TEST(a_last_softmax_is_warned_of),
        TEST(files_that_are_not_onnx),
        TEST(deep_messages_do_not_overflow_the_stack),
        TEST(many_small_messages_are_refused),
        TEST(a_file_cut_anywhere_is_refused),
        TEST(constants_do_not_grow_without_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
