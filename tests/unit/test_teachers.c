// Imported networks through every pass and the machine code: logits beside PyTorch's (the
// stored answers of tests/data/onnx, ../shared/reference); the sum of the squares of the
// parameters' gradients and the gradient of the pixels beside the evaluator's, and beside
// PyTorch's where they are stored. The networks use every op the importer knows.
#include "jit.h"

#include "frontend/model.h"
#include "frontend/onnx/onnx.h"
#include "runtime/npy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define MODELS TEST_DATA "/onnx/"

#define STORED(name, channels)                                                           \
    {                                                                                    \
        MODELS name ".onnx", MODELS name "_x.npy", MODELS name "_y.npy", channels, NULL, \
            NULL                                                                         \
    }
#define WITH_GRADIENTS(name, channels)                                                   \
    {                                                                                    \
        MODELS name ".onnx", MODELS name "_x.npy", MODELS name "_y.npy", channels,       \
            MODELS name "_g.npy", MODELS name "_d.npy"                                   \
    }

static const struct teacher {
    const char *model, *x, *y; // y NULL: no stored answer
    size_t channels;
    // Of the weighted sum of the logits (see weighted_sum): the sum of the squares of all
    // parameters' gradients, and the gradient of the pixels. NULL: not stored.
    const char *squares, *pixels;
} teachers[] = {
    STORED("convnet", 3),
    STORED("pooled", 3),
    STORED("fixed", 1),
    STORED("shapes", 3),
    STORED("moves", 2),
    STORED("tokens", 2),
    STORED("windows", 2),
    STORED("places", 2),
    STORED("places1", 2),
    STORED("wander", 3),
    STORED("wander1", 3),
    STORED("alone", 3),
    STORED("several", 3),
    STORED("arithmetic", 3),
    WITH_GRADIENTS("activations", 2),
    WITH_GRADIENTS("reductions", 2),
    WITH_GRADIENTS("choices", 2),
    WITH_GRADIENTS("scatters", 2),
    WITH_GRADIENTS("sizes", 2),
    WITH_GRADIENTS("older", 2),
    WITH_GRADIENTS("groups18", 2),
    {SHARED_DATA "/models/resnet20.onnx", SHARED_DATA "/reference/resnet20_input.npy",
     SHARED_DATA "/reference/resnet20_logits.npy", 3, NULL, NULL},
    {SHARED_DATA "/models/resnet56.onnx", SHARED_DATA "/reference/resnet20_input.npy",
     NULL, 3, NULL, NULL},
};

static const struct model *load(struct arena *a, const struct teacher *t,
                                struct diags *d) {
    static const double mean[3] = {0}, std[3] = {1, 1, 1};
    struct model_options o = {.path = t->model,
                              .mean = mean,
                              .std = std,
                              .nmean = t->channels,
                              .nstd = t->channels};
    const struct model *m = model_load(a, &o, d);
    if (!m) fail_msg("%s: %s", t->model, d->list.at[0].message);
    return m;
}

static struct npy read_array(struct arena *a, const char *path, struct diags *d) {
    struct npy file;
    if (!npy_read(a, path, &file, NO_SPAN, d)) fail_msg("%s", d->list.at[0].message);
    return file;
}

static void compile(struct jit *j, struct arena *a, struct func *f, const char *what) {
    struct diags d;
    diags_init(&d, a);
    if (!jit_compile(j, a, f, &d)) fail_msg("%s: %s", what, d.list.at[0].message);
}

static void assert_near(const char *what, const float *expected, const float *got,
                        size_t n, double within) {
    double largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)expected[i] - (double)got[i]) <= within * largest))
            fail_msg("%s: [%zu] is %g, not %g", what, i, (double)got[i],
                     (double)expected[i]);
}

static void logits(struct arena *a, const struct teacher *t) {
    struct diags d;
    struct jit j;
    diags_init(&d, a);
    const struct model *m = load(a, t, &d);
    struct npy x = read_array(a, t->x, &d), y = read_array(a, t->y, &d);
    struct builder b;
    builder_init(&b, a, "logits");
    nid in = b_input(&b, "x", *type_at(m->func, 0)), out;
    build_inline(&b, m->func, &in, &out, false);
    build_output(&b, "logits", out);
    compile(&j, a, builder_finish(&b), t->model);
    float *got = NEW_N(a, float, y.count);
    jit_run(&j, x.dim[0], 0, (const void *[]){x.data}, (void *[]){got});
    assert_near(t->model, y.data, got, y.count, 1e-4);
    jit_free(&j);
}

// A weighted sum of the logits, so that the gradient reaches every parameter.
static nid weighted_sum(struct builder *b, nid logits, size_t classes) {
    float *weights = NEW_N(b->arena, float, classes);
    for (size_t k = 0; k < classes; k++) weights[k] = k % 2 ? -1.0f : 0.5f;
    struct type wt = type_tensor(ELEM_F32, false, 1, &classes);
    return b_sum_all(b, b_binary(b, OP_MUL, logits, b_const(b, wt, weights)));
}

static nid gradient(struct builder *b, nid y, nid x) {
    return build_node(b, OP_GRAD, (nid[]){y, x}, 2, NULL, NULL);
}

// NID_NONE for a network without parameters.
static nid sum_of_squares(struct builder *b, nid y) {
    nid sum = NID_NONE;
    for (nid v = 0; v < y; v++) {
        if (node_at(b->f, v)->op != OP_PARAM) continue;
        nid g = gradient(b, y, v);
        nid square = b_sum_all(b, b_binary(b, OP_MUL, g, g));
        sum = sum == NID_NONE ? square : b_binary(b, OP_ADD, sum, square);
    }
    return sum;
}

// One gradient, of the pixels or the squares of those of parameters, beside the
// evaluator's and what is stored.
static void check_gradient(struct arena *a, const struct teacher *t, bool pixels,
                           const char *stored, size_t rows) {
    struct diags d;
    struct jit j;
    struct builder b;
    diags_init(&d, a);
    const struct model *m = load(a, t, &d);
    struct npy x = read_array(a, t->x, &d);
    builder_init(&b, a, "gradients");
    nid in = b_input(&b, "x", *type_at(m->func, 0)), logits;
    build_inline(&b, m->func, &in, &logits, true);
    nid y = weighted_sum(&b, logits, m->classes);
    nid out = pixels ? gradient(&b, y, in) : sum_of_squares(&b, y);
    if (out == NID_NONE) return;
    size_t n = rows * type_count(type_at(b.f, out));
    build_output(&b, "out", out);
    compile(&j, a, builder_finish(&b), t->model);
    float *expected = NEW_N(a, float, n), *got = NEW_N(a, float, n);
    const void *args[1] = {x.data};
    assert_true(
        eval_func(j.module.funcs.at[0].f, rows, args, (void *[]){expected}, NULL));
    jit_run(&j, rows, 0, args, (void *[]){got});
    assert_near(t->model, expected, got, n, 1e-4);
    if (stored) assert_near(stored, read_array(a, stored, &d).data, got, n, 1e-4);
    jit_free(&j);
}

static void each_teacher(void (*check)(struct arena *, const struct teacher *)) {
    for (size_t i = 0; i < COUNT(teachers); i++) {
        if (access(teachers[i].model, R_OK) != 0) continue; // no ../shared
        struct arena *a = arena_new();
        check(a, &teachers[i]);
        arena_free(a);
    }
}

static void check_logits(struct arena *a, const struct teacher *t) {
    if (t->y) logits(a, t);
}
static void check_gradients(struct arena *a, const struct teacher *t) {
    check_gradient(a, t, false, t->squares, 2);
    if (t->pixels) check_gradient(a, t, true, t->pixels, 2);
}

static void logits_are_pytorchs(void **state) {
    (void)state;
    each_teacher(check_logits);
}

static void gradients_are_the_evaluators_and_pytorchs(void **state) {
    (void)state;
    each_teacher(check_gradients);
}

// ---- every op ------------------------------------------------------------------------
static void mark_ops(bool *used, Onnx__NodeProto *const *nodes, size_t n) {
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; onnx_op_name(k); k++)
            if (strcmp(onnx_op_name(k), nodes[i]->op_type) == 0) used[k] = true;
}

static void mark_model(struct arena *a, bool *used, const char *model) {
    size_t n;
    const char *data = file_read(a, model, 1 << 22, &n);
    assert_non_null(data);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, n, (const uint8_t *)data);
    assert_non_null(m);
    mark_ops(used, m->graph->node, m->graph->n_node);
    onnx__model_proto__free_unpacked(m, NULL);
}

static void every_op_has_a_network(void **state) {
    (void)state;
    struct arena *a = arena_new();
    bool used[512] = {0};
    for (size_t i = 0; i < COUNT(teachers); i++)
        if (teachers[i].y && access(teachers[i].model, R_OK) == 0)
            mark_model(a, used, teachers[i].model);
    for (size_t k = 0; onnx_op_name(k); k++)
        if (!used[k]) fail_msg("no network in tests/data/onnx uses %s", onnx_op_name(k));
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_pytorchs),
        cmocka_unit_test(gradients_are_the_evaluators_and_pytorchs),
        cmocka_unit_test(every_op_has_a_network)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
