// The networks that ddg builds, and models made of other models: parameters, statistics
// and logits beside PyTorch's (tests/data/networks), how weights start, other image
// sizes.
#include "frontend/digest.h"
#include "frontend/model.h"
#include "frontend/networks.h"
#include "frontend/networks/layers.h"
#include "ir/eval.h"
#include "ir/text.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
    struct arena *arena;
    struct diags diags;
};

static int setup(void **state) {
    struct arena *a = arena_new();
    struct bench *b = NEW(a, struct bench);
    b->arena = a;
    diags_init(&b->diags, a);
    *state = b;
    return 0;
}

static int teardown(void **state) {
    arena_free(((struct bench *)*state)->arena);
    return 0;
}

// ---- networks by name ----------------------------------------------------------------
struct attrs {
    enum op op;
    struct value at[OP_MAX_ATTRS];
};

static struct value *attr(struct attrs *a, const char *name) {
    int i = op_attr(a->op, name, strlen(name));
    assert_true(i >= 0);
    return &a->at[i];
}

static struct attrs attrs_of(enum op op, int64_t size, int64_t classes) {
    struct attrs a = {.op = op};
    *attr(&a, "size") = val_int(size);
    *attr(&a, "classes") = val_int(classes);
    *attr(&a, "seed") = val_int(0);
    return a;
}

static struct attrs convnet(int64_t size, int64_t depth, int64_t width,
                            const char *norm) {
    struct attrs a = attrs_of(OP_CONVNET, size, 10);
    *attr(&a, "depth") = val_int(depth);
    *attr(&a, "width") = val_int(width);
    *attr(&a, "norm") = val_string(norm);
    return a;
}

static struct attrs resnet(int64_t size, int64_t depth, const char *stem) {
    struct attrs a = attrs_of(OP_RESNET, size, 10);
    *attr(&a, "depth") = val_int(depth);
    *attr(&a, "stem") = val_string(stem);
    return a;
}

static struct attrs vgg(int64_t size, const char *norm) {
    struct attrs a = attrs_of(OP_VGG11, size, 10);
    *attr(&a, "norm") = val_string(norm);
    return a;
}

static struct attrs mlp(void) {
    static const int64_t hidden[] = {64, 32};
    struct attrs a = attrs_of(OP_MLP, 16, 7);
    *attr(&a, "hidden") = val_ints(hidden, 2);
    return a;
}

static const struct model *build(struct bench *b, const struct attrs *a) {
    diags_init(&b->diags, b->arena);
    return network_build(b->arena, a->op, a->at, &b->diags, NO_SPAN);
}

static const struct model *must_build(struct bench *b, struct attrs a) {
    const struct model *m = build(b, &a);
    if (!m) fail_msg("%s", b->diags.list.at[0].message);
    struct text why = {.arena = b->arena};
    if (!ir_verify(m->func, FAMILY_TENSOR, &why)) fail_msg("%s", why.at);
    return m;
}

// ---- what is in a model --------------------------------------------------------------
struct tensor {
    const char *name;
    struct type type;
    const float *data;
};

struct tensors {
    size_t n;
    struct tensor at[2000];
};

static void add_tensor(struct tensors *t, const char *name, const struct node *n) {
    assert_true(t->n < COUNT(t->at));
    t->at[t->n++] = (struct tensor){name, n->type, n->data};
}

// Parameters and statistics.
static struct tensors *tensors_of(struct bench *b, const struct func *f) {
    struct tensors *t = NEW(b->arena, struct tensors);
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct node *n = node_at(f, (nid)i);
        if (n->op == OP_PARAM) add_tensor(t, attr_str(n, "name"), n);
        if (n->op != OP_BATCH_NORM) continue;
        add_tensor(t, attr_str(n, "running_mean"), node_at(f, n->in[1]));
        add_tensor(t, attr_str(n, "running_var"), node_at(f, n->in[2]));
    }
    return t;
}

static const struct tensor *tensor_named(const struct tensors *t, const char *name) {
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->at[i].name, name) == 0) return &t->at[i];
    return NULL;
}

// ---- numbers that make.py gives the same ---------------------------------------------
static double noise(size_t i, size_t seed) {
    double v = sin((double)i * 12.9898 + (double)seed * 78.233) * 43758.5453;
    return 2 * (v - floor(v)) - 1;
}

static bool ends_in(const char *s, const char *ending) {
    size_t n = strlen(s), m = strlen(ending);
    return n >= m && strcmp(s + n - m, ending) == 0;
}

static float *filled(struct bench *b, const struct tensor *t) {
    size_t n = type_count(&t->type);
    float *v = NEW_N(b->arena, float, n);
    bool vector = t->type.rank == 1 || t->type.rank == 3 || !strstr(t->name, "weight");
    double by = vector ? 0.1 : sqrt(6 / ((double)n / (double)t->type.dim[0]));
    double plus = vector && ends_in(t->name, "weight") ? 1 : 0;
    if (ends_in(t->name, "running_var")) by = 0.5, plus = 1;
    for (size_t i = 0; i < n; i++) v[i] = (float)(plus + by * noise(i, strlen(t->name)));
    return v;
}

static const struct model *fill(struct bench *b, const struct model *m) {
    struct tensors *t = tensors_of(b, m->func);
    struct model_tensor *at = NEW_N(b->arena, struct model_tensor, t->n);
    for (size_t i = 0; i < t->n; i++)
        at[i] = (struct model_tensor){t->at[i].name, filled(b, &t->at[i])};
    struct model_values v = {t->n, at};
    return model_with_values(b->arena, m, "filled", &v);
}

static const struct func *without_marks(struct bench *b, const struct func *f) {
    struct builder g;
    nid out, x;
    builder_init(&g, b->arena, "plain");
    x = b_input(&g, "x", *type_at(f, 0));
    build_inline(&g, f, &x, &out, true);
    build_output(&g, "logits", out);
    return builder_finish(&g);
}

static const float *logits_of(struct bench *b, const struct func *f) {
    const struct func *plain = without_marks(b, f);
    size_t n = type_count(type_at(f, 0));
    float *x = NEW_N(b->arena, float, n);
    float *y = NEW_N(b->arena, float, type_count(type_at(f, f->outs.at[0])));
    for (size_t i = 0; i < n; i++) x[i] = (float)noise(i, 0);
    assert_true(eval_func(plain, 1, (const void *[]){x}, (void *[]){y}, NULL));
    return y;
}

// ---- beside PyTorch ------------------------------------------------------------------
struct golden { // a network of networks.txt
    const char *name;
    size_t seen; // tensors
    const struct model *model;
    const struct tensors *tensors;
};

static const struct model *network_named(struct bench *b, const char *name) {
    const struct {
        const char *name;
        struct attrs attrs;
    } all[] = {
        {"mlp", mlp()},
        {"lenet", attrs_of(OP_LENET, 32, 10)},
        {"convnet_batch", convnet(32, 3, 32, "batch")},
        {"convnet_instance", convnet(32, 3, 32, "instance")},
        {"convnet_group", convnet(32, 2, 16, "group")},
        {"convnet_layer", convnet(32, 2, 16, "layer")},
        {"convnet_none", convnet(20, 4, 16, "none")},
        {"resnet20", resnet(32, 20, "none")},
        {"resnet18_cifar", resnet(32, 18, "none")},
        {"resnet18", resnet(65, 18, "none")},
        {"resnet50", resnet(65, 50, "imagenet")},
        {"vgg11_small", vgg(32, "none")},
        {"vgg11_bn_small", vgg(40, "batch")},
        {"mobilenet_v2_small", attrs_of(OP_MOBILENET_V2, 32, 10)},
        {"mobilenet_v2", attrs_of(OP_MOBILENET_V2, 72, 10)},
    };
    for (size_t i = 0; i < COUNT(all); i++)
        if (strcmp(all[i].name, name) == 0) return must_build(b, all[i].attrs);
    fail_msg("no network %s", name);
    return NULL;
}

static void check_tensor(struct golden *g, const char *name, char *rest) {
    const struct tensor *t = tensor_named(g->tensors, name);
    uint32_t rank = 0;
    if (!t) fail_msg("%s has no %s", g->name, name);
    for (char *dim = strtok(rest, " "); dim; dim = strtok(NULL, " "), rank++)
        if (rank >= t->type.rank || (size_t)atoll(dim) != t->type.dim[rank])
            fail_msg("%s of %s has another shape", name, g->name);
    assert_int_equal(rank, t->type.rank);
    g->seen++;
}

static void check_logits(struct bench *b, const struct golden *g, char *rest) {
    const float *got = logits_of(b, fill(b, g->model)->func);
    double want[16], largest = 0;
    size_t n = 0;
    for (char *v = strtok(rest, " "); v; v = strtok(NULL, " ")) {
        want[n] = atof(v);
        largest = fmax(largest, fabs(want[n++]));
    }
    assert_int_equal(n, g->model->classes);
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= 1e-4 * largest))
            fail_msg("%s: logit %zu is %g, PyTorch says %g", g->name, i, (double)got[i],
                     want[i]);
}

static void test_pytorch(void **state) {
    struct bench *b = *state;
    size_t n, checked = 0;
    char *text = file_read(b->arena, TEST_DATA "/networks/networks.txt", 1 << 20, &n);
    assert_non_null(text);
    struct golden g = {0};
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = 0;
        char *rest = line + strcspn(line, " ");
        if (*rest) *rest++ = 0;
        if (strcmp(line, "network") == 0) {
            g = (struct golden){.name = rest, .model = network_named(b, rest)};
            g.tensors = tensors_of(b, g.model->func);
        } else if (strcmp(line, "logits") == 0) {
            assert_int_equal(g.seen, g.tensors->n);
            check_logits(b, &g, rest);
            checked++;
        } else check_tensor(&g, line, rest);
    }
    assert_int_equal(checked, 15);
}

// ---- how weights start ---------------------------------------------------------------
struct moments {
    double n, mean, deviation, least, greatest;
};

static struct moments moments_of(const struct tensor *t) {
    size_t n = type_count(&t->type);
    struct moments m = {.n = (double)n, .least = INFINITY, .greatest = -INFINITY};
    for (size_t i = 0; i < n; i++) m.mean += (double)t->data[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        double v = (double)t->data[i];
        m.deviation += (v - m.mean) * (v - m.mean) / (double)n;
        m.least = fmin(m.least, v);
        m.greatest = fmax(m.greatest, v);
    }
    m.deviation = sqrt(m.deviation);
    return m;
}

static struct moments moments_named(struct bench *b, const struct model *m,
                                    const char *name) {
    const struct tensor *t = tensor_named(tensors_of(b, m->func), name);
    if (!t) fail_msg("no %s", name);
    return moments_of(t);
}

static void near(double got, double want, double within) {
    if (!(fabs(got - want) <= within)) fail_msg("got %g, expected %g", got, want);
}

// Fills its range, and no more than that.
static void check_uniform(struct moments m, double bound) {
    assert_true(m.least >= -bound && m.greatest <= bound);
    near(m.greatest, bound, 20 * bound / m.n);
    near(m.least, -bound, 20 * bound / m.n);
    near(m.mean, 0, 3 * bound / sqrt(m.n));
    near(m.deviation, bound / sqrt(3), 2 * bound / sqrt(m.n));
}

static void check_normal(struct moments m, double deviation) {
    near(m.mean, 0, deviation / 50);
    near(m.deviation, deviation, deviation / 50);
    assert_true(m.greatest > 3 * deviation && m.least < -3 * deviation);
    assert_true(m.greatest < 7 * deviation && m.least > -7 * deviation);
}

static void check_all(struct moments m, double v) {
    assert_true(m.least == v && m.greatest == v);
}

static void test_start(void **state) {
    struct bench *b = *state;
    const struct model *c = must_build(b, convnet(32, 3, 128, "batch"));
    check_uniform(moments_named(b, c, "features.4.weight"), 1 / sqrt(128 * 9));
    check_uniform(moments_named(b, c, "classifier.weight"), 1 / sqrt(128 * 16));
    struct moments bias = moments_named(b, c, "features.4.bias");
    assert_true(bias.greatest <= 1 / sqrt(128 * 9) && bias.deviation > 0.01);
    check_all(moments_named(b, c, "features.5.weight"), 1);
    check_all(moments_named(b, c, "features.5.bias"), 0);
    check_all(moments_named(b, c, "features.5.running_var"), 1);
    check_all(moments_named(b, c, "features.5.running_mean"), 0);

    const struct model *r = must_build(b, resnet(32, 18, "cifar"));
    check_normal(moments_named(b, r, "layer2.0.conv1.weight"), sqrt(2. / (128 * 9)));
    check_uniform(moments_named(b, r, "fc.weight"), 1 / sqrt(512));

    const struct model *m = must_build(b, attrs_of(OP_MOBILENET_V2, 32, 100));
    check_normal(moments_named(b, m, "features.17.conv.1.0.weight"),
                 sqrt(2. / (960 * 9)));
    check_normal(moments_named(b, m, "classifier.1.weight"), 0.01);
    check_all(moments_named(b, m, "classifier.1.bias"), 0);
    check_all(moments_named(b, must_build(b, vgg(32, "none")), "features.3.bias"), 0);
}

// The same seed gives the same weights, another one others, everywhere.
static void test_seed(void **state) {
    struct bench *b = *state;
    struct attrs a = convnet(16, 2, 8, "none"), other = a;
    *attr(&other, "seed") = val_int(1);
    const struct model *m = must_build(b, a), *n = must_build(b, other);
    assert_true(digest_eq(m->digest, must_build(b, a)->digest));
    assert_true(digest_eq(m->graph, n->graph));
    assert_int_equal(m->nweights, 6);
    for (size_t i = 0; i < m->nweights; i++) {
        assert_string_equal(m->weights[i].name, n->weights[i].name);
        assert_false(digest_eq(m->weights[i].digest, n->weights[i].digest));
        for (size_t k = 0; k < i; k++)
            assert_false(digest_eq(m->weights[i].digest, m->weights[k].digest));
    }
}

// ---- image sizes ---------------------------------------------------------------------
static void expect_error(struct bench *b, const char *part) {
    assert_int_equal(b->diags.errors, 1);
    if (!strstr(b->diags.list.at[0].message, part))
        fail_msg("\"%s\" does not say \"%s\"", b->diags.list.at[0].message, part);
}

static void refused(struct bench *b, struct attrs a, const char *part) {
    assert_null(build(b, &a));
    expect_error(b, part);
}

static void test_too_small(void **state) {
    struct bench *b = *state;
    refused(b, attrs_of(OP_LENET, 15, 10), "15 x 15 are too small: it takes 16 x 16");
    must_build(b, attrs_of(OP_LENET, 16, 10));
    refused(b, convnet(15, 4, 8, "none"), "too small: it takes 16 x 16");
    must_build(b, convnet(16, 4, 8, "none"));
    refused(b, vgg(31, "none"), "too small: it takes 32 x 32");
    must_build(b, resnet(1, 8, "cifar"));
    must_build(b, resnet(1, 18, "imagenet"));
    must_build(b, attrs_of(OP_MOBILENET_V2, 1, 10));
}

static void test_refused(void **state) {
    static const double two[] = {0.5, 0.5};
    struct bench *b = *state;
    refused(b, resnet(32, 21, "none"), "18, 34, 50, 101 or 152, or 6 n + 2");
    refused(b, convnet(32, 3, 30, "group"), "a multiple of 4");
    refused(b, convnet(32, 8, 4096, "none"), "too small");
    refused(b, convnet(256, 8, 4096, "none"), "million parameters");
    refused(b, convnet(4096, 3, 4096, "none"), "4096");
    struct attrs a = attrs_of(OP_LENET, 32, 10);
    *attr(&a, "mean") = val_floats(two, 2);
    refused(b, a, "mean of `lenet` has 2 numbers; images have 3 channels");
}

static const struct func *sized(struct bench *b, const struct model *m, size_t h,
                                size_t w) {
    diags_init(&b->diags, b->arena);
    return m->at_size(m, b->arena, h, w, &b->diags, NO_SPAN);
}

// The parameters stay, and what is built for that size is what the network is there.
static void test_sizes(void **state) {
    struct bench *b = *state;
    const struct model *m = must_build(b, resnet(32, 8, "cifar"));
    const struct model *other = must_build(b, resnet(48, 8, "cifar"));
    const struct func *f = sized(b, m, 48, 48);
    assert_non_null(f);
    assert_true(digest_eq(m->digest_at(m, b->arena, 48, 48),
                          other->digest_at(other, b->arena, 48, 48)));
    assert_memory_equal(logits_of(b, f), logits_of(b, other->func), 10 * sizeof(float));
    assert_ptr_equal(tensors_of(b, f)->at[0].data, tensors_of(b, m->func)->at[0].data);
    assert_non_null(sized(b, m, 20, 33));

    const struct model *c = must_build(b, convnet(32, 3, 8, "batch"));
    assert_non_null(sized(b, c, 35, 33)); // as many places after three pools
    assert_null(sized(b, c, 16, 16));
    expect_error(b, "convnet is made for images of 32 x 32 and cannot take 16 x 16: its "
                    "`classifier.weight` is f32[10,128] and would have to be f32[10,32]");
    assert_null(sized(b, must_build(b, vgg(32, "none")), 16, 64));
    expect_error(b, "too small");
    // It halves to as many places, but is normed as a whole before.
    assert_null(sized(b, must_build(b, convnet(32, 3, 8, "layer")), 34, 34));
}

// ---- other numbers -------------------------------------------------------------------
static void test_values(void **state) {
    struct bench *b = *state;
    const struct model *m = must_build(b, resnet(32, 8, "cifar"));
    const struct model *one = fill(b, m), *two = fill(b, one);
    assert_string_equal(one->path, "filled");
    assert_false(digest_eq(m->digest, one->digest));
    assert_true(digest_eq(one->digest, two->digest));
    // Statistics that are equal at first become each its own.
    struct tensors *t = tensors_of(b, one->func);
    for (size_t i = 0; i < t->n; i++) {
        float *want = filled(b, &t->at[i]);
        assert_memory_equal(t->at[i].data, want, type_bytes(&t->at[i].type));
    }
    // At other sizes too, through several layers of models.
    const struct func *f = sized(b, two, 40, 40);
    const struct model *wide = fill(b, must_build(b, resnet(40, 8, "cifar")));
    assert_memory_equal(logits_of(b, f), logits_of(b, wide->func), 10 * sizeof(float));
}

static const struct model *import(struct bench *b, const char *path, size_t channels) {
    static const double mean[3] = {0}, std[3] = {1, 1, 1};
    struct model_options o = {
        .path = path, .mean = mean, .std = std, .nmean = channels, .nstd = channels};
    const struct model *m = model_load(b->arena, &o, &b->diags);
    if (!m) fail_msg("%s", b->diags.list.at[0].message);
    return m;
}

// Imported networks take values as well: their own give the model back.
static void test_imported_values(void **state) {
    struct bench *b = *state;
    const struct model *m = import(b, TEST_DATA "/onnx/convnet.onnx", 3);
    struct tensors *t = tensors_of(b, m->func);
    struct model_tensor *at = NEW_N(b->arena, struct model_tensor, t->n);
    for (size_t i = 0; i < t->n; i++)
        at[i] = (struct model_tensor){t->at[i].name, t->at[i].data};
    struct model_values v = {t->n, at};
    assert_true(t->n > 4);
    const struct model *same = model_with_values(b->arena, m, "same", &v);
    assert_true(digest_eq(m->digest, same->digest));
    assert_int_equal(m->nweights, same->nweights);
    assert_false(digest_eq(m->digest, fill(b, m)->digest));
}

// Drawn anew, built-in networks are as they start, whatever they were.
static void test_drawn(void **state) {
    struct bench *b = *state;
    const struct model *c = fill(b, must_build(b, convnet(32, 3, 128, "batch")));
    const struct model *d = model_drawn(b->arena, c, 0), *e = model_drawn(b->arena, c, 1);
    check_uniform(moments_named(b, d, "features.4.weight"), 1 / sqrt(128 * 9));
    check_uniform(moments_named(b, d, "classifier.weight"), 1 / sqrt(128 * 16));
    assert_true(moments_named(b, d, "features.4.bias").greatest <= 1 / sqrt(128 * 9));
    assert_true(moments_named(b, d, "features.4.bias").deviation > 0.01);
    check_all(moments_named(b, d, "features.5.weight"), 1);
    check_all(moments_named(b, d, "features.5.bias"), 0);
    check_all(moments_named(b, d, "features.5.running_mean"), 0);
    check_all(moments_named(b, d, "features.5.running_var"), 1);
    assert_true(
        digest_eq(d->digest, must_build(b, convnet(32, 3, 128, "batch"))->digest));
    assert_false(digest_eq(d->digest, e->digest));
    assert_true(digest_eq(d->digest, model_drawn(b->arena, e, 0)->digest));

    // What an importer makes of a file is recognised as well.
    const struct model *m = import(b, TEST_DATA "/onnx/convnet.onnx", 3);
    const struct model *r = model_drawn(b->arena, m, 0);
    check_uniform(moments_named(b, r, "head.weight"), 1 / sqrt(32));
    check_all(moments_named(b, r, "features.9.weight"), 1);
    check_all(moments_named(b, r, "features.9.bias"), 0);
}

static void test_head(void **state) {
    struct bench *b = *state;
    const struct model *m = must_build(b, resnet(32, 8, "cifar"));
    assert_ptr_equal(model_with_head(b->arena, m, 10, 0, &b->diags, NO_SPAN), m);
    const struct model *h = model_with_head(b->arena, m, 37, 0, &b->diags, NO_SPAN);
    assert_non_null(h);
    assert_int_equal(h->classes, 37);
    struct attrs a = resnet(32, 8, "cifar");
    *attr(&a, "classes") = val_int(37);
    // Its linear layer starts as such layers do by themselves, and by name.
    assert_true(digest_eq(h->digest, must_build(b, a)->digest));
    a = resnet(40, 8, "cifar");
    *attr(&a, "classes") = val_int(37);
    assert_memory_equal(logits_of(b, sized(b, h, 40, 40)),
                        logits_of(b, must_build(b, a)->func), 37 * sizeof(float));
    // And it can be given numbers, or another head.
    const struct model *f = fill(b, h);
    assert_non_null(sized(b, f, 40, 40));
    assert_int_equal(model_with_head(b->arena, f, 3, 0, &b->diags, NO_SPAN)->classes, 3);

    const struct model *i = import(b, TEST_DATA "/onnx/convnet.onnx", 3);
    const struct model *j = model_with_head(b->arena, i, 100, 5, &b->diags, NO_SPAN);
    assert_int_equal(type_count(type_at(j->func, j->func->outs.at[0])), 100);
    check_uniform(moments_named(b, j, "head.weight"), 1 / sqrt(32));
    assert_ptr_equal(tensor_named(tensors_of(b, j->func), "features.9.weight")->data,
                     tensor_named(tensors_of(b, i->func), "features.9.weight")->data);

    // Logits that are no layer's.
    m = import(b, TEST_DATA "/onnx/moves.onnx", 2);
    assert_null(model_with_head(b->arena, m, 100, 0, &b->diags, NO_SPAN));
    expect_error(b, "its logits are not those of a linear layer");
}

// ---- layers --------------------------------------------------------------------------
static void test_adaptive_pool(void **state) {
    struct bench *b = *state;
    struct net n = {.arena = b->arena};
    float x[2 * 3 * 5], y[2 * 2 * 2];
    builder_init(&n.b, b->arena, "pool");
    nid in = b_input(&n.b, "x", type_tensor(ELEM_F32, true, 3, (size_t[]){2, 3, 5}));
    build_output(&n.b, "y", net_adaptive_avgpool(&n, "pool", in, 2));
    const struct func *f = builder_finish(&n.b);
    for (size_t i = 0; i < COUNT(x); i++) x[i] = (float)i;
    assert_true(eval_func(f, 1, (const void *[]){x}, (void *[]){y}, NULL));
    // Rows 0-1 and 1-2, columns 0-2 and 2-4.
    static const float want[] = {3.5f, 5.5f, 8.5f, 10.5f, 18.5f, 20.5f, 23.5f, 25.5f};
    for (size_t i = 0; i < COUNT(y); i++) near((double)y[i], (double)want[i], 1e-5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_pytorch),   TEST(test_start),           TEST(test_seed),
        TEST(test_too_small), TEST(test_refused),         TEST(test_sizes),
        TEST(test_values),    TEST(test_imported_values), TEST(test_drawn),
        TEST(test_head),      TEST(test_adaptive_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
