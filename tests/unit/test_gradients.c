// Gradients of networks beside PyTorch's in float64 (tests/data/gradients, see make.py
// there): the square of every parameter's, the image's, and the image's gradient of the
// sum of those squares, which is a gradient of gradients. By the evaluator, and as
// machine code.
#include "jit.h"

#include "frontend/model.h"
#include "runtime/npy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FOLDER TEST_DATA "/gradients/"

struct network {
    struct arena *a;
    struct diags d;
    const char *name;
    const struct model *model;
    struct builder b;
    nid x, loss, squares; // of the function that is built
};

static struct npy stored(struct network *n, const char *what) {
    struct npy file;
    const char *path = arena_printf(n->a, FOLDER "%s_%s.npy", n->name, what);
    if (!npy_read(n->a, path, &file, NO_SPAN, &n->d))
        fail_msg("%s", n->d.list.at[0].message);
    return file;
}

static void load(struct network *n) {
    static const double mean[3] = {0}, std[3] = {1, 1, 1};
    struct model_options o = {.path = arena_printf(n->a, FOLDER "%s.onnx", n->name),
                              .mean = mean,
                              .std = std,
                              .nmean = 3,
                              .nstd = 3};
    diags_init(&n->d, n->a);
    n->model = model_load(n->a, &o, &n->d);
    if (!n->model) fail_msg("%s", n->d.list.at[0].message);
}

// log sum e^v - v[class]
static nid cross_entropy(struct network *n, nid logits, nid class) {
    struct builder *b = &n->b;
    size_t k = n->model->classes;
    int32_t *count = NEW_N(n->a, int32_t, k);
    for (size_t i = 0; i < k; i++) count[i] = (int32_t)i;
    nid all = b_const(b, type_tensor(ELEM_I32, false, 1, &k), count);
    nid hot = b_cast(b, b_binary(b, OP_EQ, all, class), ELEM_F32);
    nid sum = b_sum_all(b, b_unary(b, OP_EXP, logits));
    nid picked = b_sum_all(b, b_binary(b, OP_MUL, logits, hot));
    return b_binary(b, OP_SUB, b_unary(b, OP_LOG, sum), picked);
}

static nid gradient(struct network *n, nid y, nid x) {
    return build_node(&n->b, OP_GRAD, (nid[]){y, x}, 2, NULL, NULL);
}

// The parameter of that name in the function that is built.
static nid parameter(struct network *n, const char *name) {
    for (nid v = 0; v < n->loss; v++)
        if (node_at(n->b.f, v)->op == OP_PARAM &&
            strcmp(attr_str(node_at(n->b.f, v), "name"), name) == 0)
            return v;
    fail_msg("%s: `%s` is no parameter", n->name, name);
    return NID_NONE;
}

// The squares of the parameters that the list names, in its order, and their sum.
static void add_squares(struct network *n) {
    struct builder *b = &n->b;
    size_t bytes;
    const char *path = arena_printf(n->a, FOLDER "%s_params.txt", n->name);
    const char *list = file_read(n->a, path, 1 << 16, &bytes);
    assert_non_null(list);
    n->squares = b_f32(b, 0);
    for (const char *end; (end = strchr(list, '\n')) != NULL; list = end + 1) {
        const char *name = arena_strndup(n->a, list, (size_t)(end - list));
        nid g = gradient(n, n->loss, parameter(n, name));
        nid square = b_sum_all(b, b_binary(b, OP_MUL, g, g));
        build_output(b, name, square);
        n->squares = b_binary(b, OP_ADD, n->squares, square);
    }
}

static struct func *build(struct network *n) {
    builder_init(&n->b, n->a, "gradients");
    n->x = b_input(&n->b, "x", *type_at(n->model->func, 0));
    nid class = b_input(&n->b, "class", type_scalar(ELEM_I32, true)), logits;
    build_inline(&n->b, n->model->func, &n->x, &logits, true);
    n->loss = cross_entropy(n, logits, class);
    add_squares(n);
    build_output(&n->b, "dx", gradient(n, n->loss, n->x));
    build_output(&n->b, "ddx", gradient(n, n->squares, n->x));
    return builder_finish(&n->b);
}

// Within that much of the row's largest.
static void assert_near(const struct network *n, const char *what, const float *expected,
                        const float *got, size_t count, double within) {
    double largest = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)expected[i] - (double)got[i]) <= within * largest))
            fail_msg("%s, %s: [%zu] is %g, not %g", n->name, what, i, (double)got[i],
                     (double)expected[i]);
}

static void check_pixels(struct network *n, const char *what, const float *got,
                         double within) {
    struct npy file = stored(n, what);
    size_t each = file.count / file.dim[0];
    for (size_t r = 0; r < file.dim[0]; r++)
        assert_near(n, what, (const float *)file.data + r * each, got + r * each, each,
                    within);
}

static void check_squares(struct network *n, const struct func *f, float *const *outs) {
    struct npy file = stored(n, "squares");
    size_t parameters = file.dim[1];
    assert_int_equal(f->outs.n, parameters + 2);
    for (size_t i = 0; i < file.count; i++) {
        size_t p = i % parameters;
        assert_near(n, f->out_names.at[p], (const float *)file.data + i,
                    &outs[p][i / parameters], 1, 1e-4);
    }
}

static void check(struct network *n, const struct func *f, float *const *outs) {
    check_squares(n, f, outs);
    check_pixels(n, "dx", outs[f->outs.n - 2], 1e-4);
    check_pixels(n, "ddx", outs[f->outs.n - 1], 1e-3);
}

static void **outputs(struct arena *a, const struct func *f, size_t rows) {
    void **outs = NEW_N(a, void *, f->outs.n);
    for (size_t i = 0; i < f->outs.n; i++)
        outs[i] = NEW_N(a, float, rows *type_count(type_at(f, f->outs.at[i])));
    return outs;
}

static void by_the_evaluator_and_compiled(const char *name) {
    struct network n = {.a = arena_new(), .name = name};
    struct jit j;
    load(&n);
    struct npy x = stored(&n, "x"), class = stored(&n, "class");
    const void *args[2] = {x.data, class.data};
    if (!jit_compile(&j, n.a, build(&n), &n.d)) fail_msg("%s", n.d.list.at[0].message);
    const struct func *f = j.module.funcs.at[0].f;
    void **evaluated = outputs(n.a, f, x.dim[0]), **computed = outputs(n.a, f, x.dim[0]);
    assert_true(eval_func(f, x.dim[0], args, evaluated, NULL));
    check(&n, f, (float *const *)evaluated);
    jit_run(&j, x.dim[0], 0, args, computed);
    check(&n, f, (float *const *)computed);
    jit_free(&j);
    arena_free(n.a);
}

static void convolutions(void **state) {
    (void)state;
    by_the_evaluator_and_compiled("curved");
}

static void attention(void **state) {
    (void)state;
    by_the_evaluator_and_compiled("attended");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(convolutions),
                                       cmocka_unit_test(attention)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
