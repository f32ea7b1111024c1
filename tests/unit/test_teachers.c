// Imported networks through every pass and the machine code: logits beside PyTorch's (the
// stored answers of tests/data/onnx, ../shared/reference), and the sum of the squares of the
// parameters' gradients beside the evaluator's.
#include "jit.h"

#include "frontend/model.h"
#include "runtime/npy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define MODELS TEST_DATA "/onnx/"

static const struct teacher {
    const char *model, *x, *y; // y NULL: no stored answer
    size_t channels;
} teachers[] = {
    {MODELS "convnet.onnx", MODELS "convnet_x.npy", MODELS "convnet_y.npy", 3},
    {MODELS "pooled.onnx", MODELS "pooled_x.npy", MODELS "pooled_y.npy", 3},
    {MODELS "fixed.onnx", MODELS "fixed_x.npy", MODELS "fixed_y.npy", 1},
    {MODELS "shapes.onnx", MODELS "shapes_x.npy", MODELS "shapes_y.npy", 3},
    {MODELS "moves.onnx", MODELS "moves_x.npy", MODELS "moves_y.npy", 2},
    {MODELS "tokens.onnx", MODELS "tokens_x.npy", MODELS "tokens_y.npy", 2},
    {MODELS "windows.onnx", MODELS "windows_x.npy", MODELS "windows_y.npy", 2},
    {MODELS "places.onnx", MODELS "places_x.npy", MODELS "places_y.npy", 2},
    {MODELS "places1.onnx", MODELS "places1_x.npy", MODELS "places1_y.npy", 2},
    {MODELS "wander.onnx", MODELS "wander_x.npy", MODELS "wander_y.npy", 3},
    {MODELS "wander1.onnx", MODELS "wander1_x.npy", MODELS "wander1_y.npy", 3},
    {MODELS "arithmetic.onnx", MODELS "arithmetic_x.npy", MODELS "arithmetic_y.npy", 3},
    {SHARED_DATA "/models/resnet20.onnx", SHARED_DATA "/reference/resnet20_input.npy",
     SHARED_DATA "/reference/resnet20_logits.npy", 3},
    {SHARED_DATA "/models/resnet56.onnx", SHARED_DATA "/reference/resnet20_input.npy",
     NULL, 3},
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

// Of a weighted sum of the logits, so that the gradient reaches every parameter.
static void gradients(struct arena *a, const struct teacher *t, size_t rows) {
    struct diags d;
    struct jit j;
    struct builder b;
    diags_init(&d, a);
    const struct model *m = load(a, t, &d);
    struct npy x = read_array(a, t->x, &d);
    float *weights = NEW_N(a, float, m->classes);
    for (size_t k = 0; k < m->classes; k++) weights[k] = k % 2 ? -1.0f : 0.5f;
    builder_init(&b, a, "gradients");
    nid in = b_input(&b, "x", *type_at(m->func, 0)), out, norm = NID_NONE;
    build_inline(&b, m->func, &in, &out, true);
    struct type wt = type_tensor(ELEM_F32, false, 1, &m->classes);
    nid y = b_sum_all(&b, b_binary(&b, OP_MUL, out, b_const(&b, wt, weights)));
    for (nid v = 0, made = y; v < made; v++) {
        if (node_at(b.f, v)->op != OP_PARAM) continue;
        nid g = build_node(&b, OP_GRAD, (nid[]){y, v}, 2, NULL, NULL);
        nid square = b_sum_all(&b, b_binary(&b, OP_MUL, g, g));
        norm = norm == NID_NONE ? square : b_binary(&b, OP_ADD, norm, square);
    }
    if (norm == NID_NONE) return; // a network without parameters
    build_output(&b, "norm", norm);
    compile(&j, a, builder_finish(&b), t->model);
    float *expected = NEW_N(a, float, rows), *got = NEW_N(a, float, rows);
    const void *args[1] = {x.data};
    assert_true(
        eval_func(j.module.funcs.at[0].f, rows, args, (void *[]){expected}, NULL));
    jit_run(&j, rows, 0, args, (void *[]){got});
    assert_near(t->model, expected, got, rows, 1e-4);
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
    gradients(a, t, 2);
}

static void logits_are_pytorchs(void **state) {
    (void)state;
    each_teacher(check_logits);
}

static void gradients_are_the_evaluators(void **state) {
    (void)state;
    each_teacher(check_gradients);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(logits_are_pytorchs),
                                       cmocka_unit_test(gradients_are_the_evaluators)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
