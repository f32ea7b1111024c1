// Networks written to ONNX files and read again: the same function, the same logits, the
// same names; what cannot be written, and what is left behind then.
#include "onnx_rig.h"

#include "frontend/networks.h"

#include <dirent.h>
#include <sys/stat.h>

// Every op that networks hold.
static const enum op NETWORK_OPS[] = {
    OP_INPUT, OP_CONST,   OP_PARAM,   OP_NEG,        OP_EXP,       OP_LOG,
    OP_SQRT,  OP_RELU,    OP_STEP,    OP_TANH,       OP_SIGMOID,   OP_ERF,
    OP_ADD,   OP_SUB,     OP_MUL,     OP_DIV,        OP_MAX,       OP_MIN,
    OP_EQ,    OP_CAST,    OP_RESHAPE, OP_BROADCAST,  OP_TRANSPOSE, OP_SLICE,
    OP_PAD,   OP_CONCAT,  OP_GATHER,  OP_SUM,        OP_AMAX,      OP_MATMUL,
    OP_CONV,  OP_MAXPOOL, OP_AVGPOOL, OP_BATCH_NORM,
};

// onnxruntime takes no file in which two nodes or two values have a name.
static void check_names(struct bench *b) {
    size_t n;
    char *data = file_read(b->arena, b->scratch, 1 << 30, &n);
    assert_non_null(data);
    Onnx__ModelProto *p = onnx__model_proto__unpack(NULL, n, (uint8_t *)data);
    assert_non_null(p);
    const Onnx__GraphProto *g = p->graph;
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(g->node[i]->name, g->node[k]->name);
            assert_string_not_equal(g->node[i]->output[0], g->node[k]->output[0]);
        }
    for (size_t i = 0; i < g->n_initializer; i++)
        for (size_t k = 0; k < g->n_node; k++)
            assert_string_not_equal(g->initializer[i]->name, g->node[k]->output[0]);
    onnx__model_proto__free_unpacked(p, NULL);
}

static const struct model *written(struct bench *b, const struct model *m) {
    diags_init(&b->diags, b->arena);
    if (!model_write(m, b->scratch, &b->diags, NO_SPAN))
        fail_msg("%s: %s", m->path, b->diags.list.at[0].message);
    check_names(b);
    struct model_options o = {.path = b->scratch, .mean = m->mean, .std = m->std};
    o.nmean = o.nstd = m->channels;
    const struct model *again = model_load(b->arena, &o, &b->diags);
    if (!again) fail_msg("%s: %s", m->path, b->diags.list.at[0].message);
    return again;
}

// Three rows of numbers; the logits of all.
static float *answers(struct bench *b, const struct func *with_marks) {
    struct builder g;
    nid out, x;
    const struct type *t = type_at(with_marks, 0);
    builder_init(&g, b->arena, "plain");
    x = b_input(&g, "x", *t);
    build_inline(&g, with_marks, &x, &out, true);
    build_output(&g, "logits", out);
    struct npy in = {.dim = {3}, .data = NULL};
    size_t n = type_count(t);
    float *data = NEW_N(b->arena, float, 3 * n);
    for (size_t i = 0; i < 3 * n; i++) data[i] = (float)sin((double)(i * i % 10007));
    in.data = data;
    return logits(b, builder_finish(&g), &in);
}

static void check_same_answers(struct bench *b, const struct model *m,
                               const struct func *f, const struct func *again) {
    size_t n = 3 * m->classes;
    const float *want = answers(b, f), *got = answers(b, again);
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(want[i])) largest = fmax(largest, fabs((double)want[i]));
    for (size_t i = 0; i < n; i++) {
        double off = fabs((double)got[i] - (double)want[i]);
        bool both = isnan(want[i]) ? isnan(got[i]) : want[i] == got[i];
        if (!both && !(off <= 1e-6 * largest))
            fail_msg("%s: logit %zu is %g, was %g", m->path, i, (double)got[i],
                     (double)want[i]);
    }
}

static size_t count_params(const struct func *f) {
    size_t n = 0;
    for (size_t i = 0; i < f->nodes.n; i++) n += node_at(f, (nid)i)->op == OP_PARAM;
    return n;
}

static const struct node *param_named(const struct func *f, const char *name) {
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct node *n = node_at(f, (nid)i);
        if (n->op == OP_PARAM && strcmp(attr_str(n, "name"), name) == 0) return n;
    }
    return NULL;
}

static void check_params(const struct model *m, const struct model *again) {
    size_t n_was = count_params(m->func), n_is = count_params(again->func);
    if (n_was != n_is) fail_msg("%s: %zu parameters were %zu", m->path, n_is, n_was);
    for (size_t i = 0; i < m->func->nodes.n; i++) {
        const struct node *n = node_at(m->func, (nid)i);
        if (n->op != OP_PARAM) continue;
        const struct node *p = param_named(again->func, attr_str(n, "name"));
        if (!p || !digest_eq(n->digest, p->digest))
            fail_msg("%s: parameter %s is lost", m->path, attr_str(n, "name"));
    }
}

static const struct model *round_trip(struct bench *b, const struct model *m) {
    const struct model *again = written(b, m);
    check_same_answers(b, m, m->func, again->func);
    return again;
}

// ---- what files give -----------------------------------------------------------------
static bool ends_in(const char *s, const char *ending) {
    size_t n = strlen(s), k = strlen(ending);
    return n >= k && strcmp(s + n - k, ending) == 0;
}

static const struct model *load_any(struct bench *b, const char *path) {
    for (size_t channels = 1; channels <= 3; channels++) {
        const struct model *m = load(b, path, channels);
        if (m) return m;
    }
    return NULL;
}

static void mark_ops(const struct func *f, bool *seen) {
    for (size_t i = 0; i < f->nodes.n; i++) seen[node_at(f, (nid)i)->op] = true;
}

// The networks of tests/data/onnx use every op of the importer.
static void test_files(void **state) {
    struct bench *b = *state;
    bool seen[OP_COUNT] = {false};
    size_t n = 0, same = 0;
    DIR *dir = opendir(MODELS);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (!ends_in(e->d_name, ".onnx")) continue;
        const struct model *m =
            load_any(b, arena_printf(b->arena, MODELS "%s", e->d_name));
        if (!m) continue; // there to be refused
        const struct model *again = round_trip(b, m);
        mark_ops(m->func, seen);
        // The b of alpha a w + beta b is no weight to who reads products and sums.
        if (!strstr(m->path, "/arithmetic.onnx")) check_params(m, again);
        same += digest_eq(m->graph, again->graph);
        n++;
    }
    closedir(dir);
    for (size_t i = 0; i < COUNT(NETWORK_OPS); i++)
        if (!seen[NETWORK_OPS[i]])
            fail_msg("no network has `%s`", op_info(NETWORK_OPS[i])->name);
    for (enum op op = 0; op < OP_COUNT; op++) {
        bool listed = false;
        for (size_t i = 0; i < COUNT(NETWORK_OPS); i++) listed |= NETWORK_OPS[i] == op;
        if (seen[op] && !listed) fail_msg("networks have `%s` too", op_info(op)->name);
    }
    assert_true(n > 20);
    assert_true(same + 3 >= n); // all but what is written in other words
}

// ---- what ddg builds -----------------------------------------------------------------
static const struct model *network(struct bench *b, enum op op, int64_t size,
                                   const char *attr, struct value v) {
    struct value attrs[OP_MAX_ATTRS] = {0};
    static const int64_t hidden[] = {16, 8};
    const struct {
        const char *name;
        struct value v;
    } all[] = {{"classes", val_int(5)},         {"size", val_int(size)},
               {"depth", val_int(2)},           {"width", val_int(8)},
               {"norm", val_string("none")},    {"stem", val_string("none")},
               {"hidden", val_ints(hidden, 2)}, {attr, v}};
    for (size_t i = 0; i < COUNT(all); i++) {
        int at = op_attr(op, all[i].name, strlen(all[i].name));
        if (at >= 0) attrs[at] = all[i].v;
    }
    diags_init(&b->diags, b->arena);
    const struct model *m = network_build(b->arena, op, attrs, &b->diags, NO_SPAN);
    if (!m) fail_msg("%s", b->diags.list.at[0].message);
    return m;
}

// Digests are equal: nothing is left of how it came to be, and statistics have their
// places.
static void test_networks(void **state) {
    struct bench *b = *state;
    const struct value batch = val_string("batch"), group = val_string("group");
    const struct value layer = val_string("layer"), instance = val_string("instance");
    const struct model *all[] = {
        network(b, OP_MLP, 8, "seed", val_int(1)),
        network(b, OP_LENET, 20, "seed", val_int(1)),
        network(b, OP_CONVNET, 16, "norm", batch),
        network(b, OP_CONVNET, 16, "norm", instance),
        network(b, OP_CONVNET, 16, "norm", group),
        network(b, OP_CONVNET, 16, "norm", layer),
        network(b, OP_CONVNET, 16, "norm", val_string("none")),
        network(b, OP_RESNET, 16, "depth", val_int(8)),
        network(b, OP_RESNET, 65, "depth", val_int(8)),
        network(b, OP_RESNET, 9, "depth", val_int(50)),
        network(b, OP_VGG11, 32, "norm", batch),
        network(b, OP_MOBILENET_V2, 32, "seed", val_int(3)),
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        const struct model *again = round_trip(b, all[i]);
        check_params(all[i], again);
        if (!digest_eq(all[i]->digest, again->digest))
            fail_msg("%s (%zu) comes back as another network", all[i]->path, i);
    }
}

// After training: each norm has statistics of its own, under its name.
static void test_trained(void **state) {
    struct bench *b = *state;
    const struct model *m = network(b, OP_RESNET, 16, "depth", val_int(8));
    VEC(struct model_tensor) v = {0};
    for (size_t i = 0; i < m->func->nodes.n; i++) {
        const struct node *n = node_at(m->func, (nid)i);
        if (n->op != OP_BATCH_NORM) continue;
        size_t c = type_count(type_at(m->func, n->in[1]));
        float *mean = NEW_N(b->arena, float, c), *var = NEW_N(b->arena, float, c);
        for (size_t k = 0; k < c; k++) mean[k] = (float)k, var[k] = 1 + (float)(i + k);
        VEC_PUSH(b->arena, &v, (struct model_tensor){attr_str(n, "running_mean"), mean});
        VEC_PUSH(b->arena, &v, (struct model_tensor){attr_str(n, "running_var"), var});
    }
    struct model_values values = {v.n, v.at};
    const struct model *trained = model_with_values(b->arena, m, "trained", &values);
    const struct model *again = round_trip(b, trained);
    assert_true(digest_eq(trained->digest, again->digest));
    // The names are those of a state_dict, so that they can be given again.
    const struct model *renewed = model_with_values(b->arena, again, "again", &values);
    assert_true(digest_eq(trained->digest, renewed->digest));
}

// At another size what is read is what was written, where the size was none of its
// numbers.
static void test_sizes(void **state) {
    struct bench *b = *state;
    const struct model *m = network(b, OP_RESNET, 16, "depth", val_int(8));
    const struct model *again = written(b, m);
    const struct func *f = m->at_size(m, b->arena, 24, 20, &b->diags, NO_SPAN);
    const struct func *g = again->at_size(again, b->arena, 24, 20, &b->diags, NO_SPAN);
    assert_non_null(f);
    assert_non_null(g);
    check_same_answers(b, m, f, g);

    // A mean over one place is one over more places at another size.
    const struct model *v = network(b, OP_RESNET, 4, "depth", val_int(8));
    again = written(b, v);
    f = v->at_size(v, b->arena, 12, 12, &b->diags, NO_SPAN);
    g = again->at_size(again, b->arena, 12, 12, &b->diags, NO_SPAN);
    assert_non_null(f);
    assert_non_null(g);
    check_same_answers(b, v, f, g);
}

// ---- the file ------------------------------------------------------------------------
static void test_nowhere(void **state) {
    struct bench *b = *state;
    const struct model *m = network(b, OP_MLP, 8, "seed", val_int(1));
    assert_false(model_write(m, "/proc/nowhere/x.onnx", &b->diags, NO_SPAN));
    assert_int_equal(b->diags.errors, 1);
    diags_init(&b->diags, b->arena);
    assert_int_equal(mkdir(b->scratch, 0777), 0); // a folder is there
    assert_false(model_write(m, b->scratch, &b->diags, NO_SPAN));
    assert_non_null(strstr(b->diags.list.at[0].message, "cannot write"));
    assert_int_equal(rmdir(b->scratch), 0); // and nothing in it, nor lost
}

// What was there stays until the new file is whole, and nothing else is left behind.
static void test_replaced(void **state) {
    struct bench *b = *state;
    char *folder = arena_strdup(b->arena, "/tmp/ddg-test-write-XXXXXX");
    assert_non_null(mkdtemp(folder));
    const char *path = arena_printf(b->arena, "%s/new/x.onnx", folder);
    const struct model *m = network(b, OP_MLP, 8, "seed", val_int(1));
    for (int i = 0; i < 2; i++) assert_true(model_write(m, path, &b->diags, NO_SPAN));
    size_t names = 0;
    DIR *dir = opendir(arena_printf(b->arena, "%s/new", folder));
    assert_non_null(dir);
    while (readdir(dir)) names++;
    closedir(dir);
    assert_int_equal(names, 3); // ".", ".." and the file
    unlink(path);
    rmdir(arena_printf(b->arena, "%s/new", folder));
    rmdir(folder);
}

// ---- ops that no file's network has --------------------------------------------------
static const struct model *model_of(struct bench *b, struct builder *g, nid logits) {
    struct model *m = NEW(b->arena, struct model);
    build_output(g, "logits", logits);
    m->func = builder_finish(g);
    m->path = "made";
    m->channels = 1;
    m->height = m->width = 4;
    m->mean = NEW_N(b->arena, double, 1);
    m->std = NEW_N(b->arena, double, 1);
    m->std[0] = 1;
    m->classes = type_count(type_at(m->func, m->func->outs.at[0]));
    return m;
}

static nid begin(struct bench *b, struct builder *g) {
    builder_init(g, b->arena, "model");
    return b_input(g, "x", type_tensor(ELEM_F32, true, 3, (size_t[]){1, 4, 4}));
}

// Integers divide as they do in ddg, whatever the signs.
static void test_integers(void **state) {
    struct bench *b = *state;
    struct builder g;
    static const int64_t by[] = {3, -3, 0, 1, -1, 7, 2, -2, 5, -5, 0, 4, 9, -9, 1, 6};
    const size_t flat = 16;
    nid x = begin(b, &g);
    x = b_reshape(&g, x, &flat, 1);
    x = b_cast(&g, b_binary(&g, OP_MUL, x, b_f32(&g, 40)), ELEM_I64);
    nid d = b_const(&g, type_tensor(ELEM_I64, false, 1, &flat), by);
    nid y = b_cast(&g, b_binary(&g, OP_DIV, x, d), ELEM_F32);
    round_trip(b, model_of(b, &g, y));
}

// One number a row goes with maps; what all rows share is joined to what a row has.
static void test_rows(void **state) {
    struct bench *b = *state;
    struct builder g;
    static const int64_t axes[] = {0, 1, 2};
    const size_t flat = 16, twice[] = {2, 4, 4};
    nid x = begin(b, &g), sum = b_sum(&g, x, axes, 3, false);
    nid y = b_binary(&g, OP_ADD, b_broadcast(&g, sum, twice, 3),
                     b_broadcast(&g, x, twice, 3));
    y = b_binary(&g, OP_SUB, y, sum);
    float data[16];
    for (size_t i = 0; i < flat; i++) data[i] = (float)i;
    nid shared = b_const(&g, type_tensor(ELEM_F32, false, 3, (size_t[]){1, 4, 4}), data);
    const struct value axis = val_int(0);
    y = build_node(&g, OP_CONCAT, (nid[]){y, shared, x}, 3, &axis, NULL);
    static const int64_t starts[] = {3, 3, 0}, steps[] = {-1, -3, 2}, sizes[] = {4, 2, 2};
    y = b_slice(&g, y, starts, steps, sizes, 3); // to the first, and past it
    y = b_reshape(&g, y, &flat, 1);
    round_trip(b, model_of(b, &g, y));
}

// Layers whose parts others read too are written op by op.
static void test_shared_parts(void **state) {
    struct bench *b = *state;
    struct builder g;
    const size_t flat = 16, dim[] = {1, 1, 1, 1};
    const struct conv_attrs c = {{1, 1}, {0}, {1, 1}, 1};
    float w = 3, bias = 5;
    nid x = begin(b, &g);
    nid weight = b_param(&g, "w", type_tensor(ELEM_F32, false, 4, dim), &w);
    nid shift = b_param(&g, "b", type_tensor(ELEM_F32, false, 1, dim), &bias);
    nid y = b_conv(&g, x, weight, &c);
    nid z = b_binary(&g, OP_ADD, b_channels(&g, shift, 3), y); // the bias first
    z = b_binary(&g, OP_MUL, z, y);
    round_trip(b, model_of(b, &g, b_reshape(&g, z, &flat, 1)));
}

// A batch norm that nothing follows, of vectors.
static void test_bare_norm(void **state) {
    struct bench *b = *state;
    struct builder g;
    const size_t flat = 16;
    const struct batch_norm norm = {0.5, 0.25, "n.mean", "n.var"};
    float mean[16], var[16];
    for (size_t i = 0; i < flat; i++) mean[i] = (float)i, var[i] = 1 / (1 + (float)i);
    nid x = begin(b, &g);
    x = b_reshape(&g, x, &flat, 1);
    struct type t = type_tensor(ELEM_F32, false, 1, &flat);
    nid y =
        b_batch_norm(&g, x, b_const(&g, t, mean), b_const(&g, t, var), NID_NONE, &norm);
    const struct model *again = written(b, model_of(b, &g, y));
    for (size_t i = 0; i < again->func->nodes.n; i++) {
        const struct node *n = node_at(again->func, (nid)i);
        if (n->op != OP_BATCH_NORM) continue;
        struct batch_norm got = batch_norm_of(n);
        assert_true(got.epsilon == norm.epsilon && got.momentum == norm.momentum);
        assert_string_equal(got.mean, "n.mean");
        assert_string_equal(got.var, "n.var");
        return;
    }
    fail_msg("no batch norm came back");
}

static void test_no_op(void **state) {
    struct bench *b = *state;
    struct builder g;
    const size_t flat = 16;
    nid x = begin(b, &g);
    x = b_reshape(&g, x, &flat, 1);
    nid i = build_node(&g, OP_ARGMAX, &x, 1, NULL, NULL);
    nid y = b_binary(&g, OP_MUL, x, b_cast(&g, i, ELEM_F32));
    const struct model *m = model_of(b, &g, y);
    assert_false(model_write(m, b->scratch, &b->diags, NO_SPAN));
    assert_non_null(strstr(b->diags.list.at[0].message,
                           "made holds `argmax`, which ONNX has no op for"));
    assert_int_equal(access(b->scratch, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_files),     TEST(test_networks), TEST(test_trained),
        TEST(test_sizes),     TEST(test_nowhere),  TEST(test_replaced),
        TEST(test_integers),  TEST(test_rows),     TEST(test_shared_parts),
        TEST(test_bare_norm), TEST(test_no_op),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
