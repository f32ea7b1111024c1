// Ops that ask a model: Grad-CAM beside PyTorch's (tests/data/gradcam/make.py), and rows
// chosen by what the model says of them.
#include "cli/driver.h"
#include "runtime/npy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

#define HERE   TEST_DATA "/gradcam/"
#define SHAPES TEST_DATA "/shapes/train/"
#define HEAD                                                                             \
    "x = images(\"data\", size = 16)\n"                                                  \
    "net = onnx(\"" TEST_DATA "/onnx/pooled.onnx\", mean = [0.5, 0.4, 0.3],\n"           \
    "           std = [0.25, 0.5, 1])\n"

static const char *const NAMES[] = {"arrow", "checker", "crescent", "cross",
                                    "heart", "ladder",  "ring"}; // as many as the logits

static int enter(void **state) {
    if (setup(state)) return -1;
    struct fixture *f = *state;
    if (chdir(f->root) != 0 || mkdir("data", 0777) != 0) return -1;
    for (size_t i = 0; i < COUNT(NAMES); i++) {
        const char *from = arena_printf(f->a, SHAPES "%s/0000.png", NAMES[i]);
        if (access(from, R_OK) != 0)
            from = arena_printf(f->a, SHAPES "%s/0000.jpg", NAMES[i]);
        const char *to = arena_printf(f->a, "data/%s", NAMES[i]);
        if (mkdir(to, 0777) != 0) return -1;
        if (symlink(from, arena_printf(f->a, "%s/0%s", to, strrchr(from, '.'))) != 0)
            return -1;
    }
    return 0;
}

static int leave(void **state) {
    return chdir("/") == 0 ? teardown(state) : -1;
}

static bool run(struct fixture *f, const char *text) {
    struct driver v;
    struct driver_options o = {.path = "cam.ddg", .text = text, .threads = 1};
    driver_init(&v, f->a, &o);
    struct run_options ro = {.threads = 1, .load = driver_load_stage, .load_ctx = &v};
    struct run_report report;
    bool ok = driver_load(&v) && driver_lower(&v, NULL) &&
              plan_run(v.module.plan, &ro, f->a, &report, &v.d);
    f->d = v.d;
    driver_free(&v);
    return ok;
}

static void same_maps(struct fixture *f, const char *path, const char *golden) {
    struct npy a, b;
    assert_true(npy_read(f->a, path, &a, NO_SPAN, &f->d));
    assert_true(npy_read(f->a, golden, &b, NO_SPAN, &f->d));
    assert_int_equal(a.count, b.count);
    const float *x = a.data, *y = b.data;
    double off = 0, most = 0;
    for (size_t i = 0; i < a.count; i++) {
        off = fmax(off, fabs((double)x[i] - (double)y[i]));
        most = fmax(most, fabs((double)y[i]));
    }
    assert_true(most > 0);
    if (off > 1e-5 * most) fail_msg("%s: %g off, of %g", path, off, most);
}

static void maps_are_those_of_pytorch(void **state) {
    struct fixture *f = *state;
    assert_true(run(f, HEAD "save(gradcam(net, x, grid = 4), to = \"last.npy\")\n"
                            "save(gradcam(net, x, grid = 3, layer = \"Relu\"),\n"
                            "     to = \"first.npy\")\n"));
    same_maps(f, "last.npy", HERE "last.npy");
    same_maps(f, "first.npy", HERE "first.npy");
}

static void a_layer_that_is_not_there_is_named(void **state) {
    struct fixture *f = *state;
    static const char *const LAYERS[] = {"layer9", "Rel", "head", ""};
    for (size_t i = 0; i < COUNT(LAYERS); i++) {
        assert_false(run(f, arena_printf(f->a,
                                         HEAD "save(gradcam(net, x, grid = 4, "
                                              "layer = \"%s\"), to = \"x.npy\")\n",
                                         LAYERS[i])));
        assert_non_null(strstr(f->d.list.at[0].message, "no maps of a layer"));
    }
}

// ---- rows by their scores ------------------------------------------------------------
static struct npy read_scores(struct fixture *f, const char *path) {
    struct npy n;
    assert_true(npy_read(f->a, path, &n, NO_SPAN, &f->d));
    assert_int_equal(n.type, NPY_F32);
    return n;
}

// Bounds are taken from the scores, so that there are rows on both sides, and equal ones.
static void where_keeps_rows_between_bounds(void **state) {
    struct fixture *f = *state;
    assert_true(run(f, HEAD "save(margin(net, x), to = \"all.npy\")\n"));
    struct npy all = read_scores(f, "all.npy");
    const float *v = all.data;
    float low = fminf(v[0], v[1]), high = fmaxf(v[0], v[1]);
    assert_true(low < high);
    assert_true(
        run(f, arena_printf(f->a,
                            HEAD "m = margin(net, x)\n"
                                 "save(where(m, by = m, above = %.9g),\n"
                                 "     to = \"above.npy\")\n"
                                 "save(where(m, by = m, below = %.9g),\n"
                                 "     to = \"below.npy\")\n"
                                 "save(where(m, by = m, above = %.9g,\n"
                                 "           below = %.9g), to = \"both.npy\")\n",
                            (double)low, (double)high, (double)low, (double)high)));
    struct npy above = read_scores(f, "above.npy"), below = read_scores(f, "below.npy");
    struct npy both = read_scores(f, "both.npy");
    size_t a = 0, b = 0, c = 0;
    for (size_t i = 0; i < all.count; i++) {
        if (v[i] > low) assert_true(((const float *)above.data)[a++] == v[i]);
        if (v[i] < high) assert_true(((const float *)below.data)[b++] == v[i]);
        if (v[i] > low && v[i] < high)
            assert_true(((const float *)both.data)[c++] == v[i]);
    }
    assert_int_equal(above.count, a);
    assert_int_equal(below.count, b);
    assert_int_equal(both.count, c);
}

static void what_is_left_may_be_too_few(void **state) {
    struct fixture *f = *state;
    assert_false(run(f,
                     HEAD "few = where(x, by = margin(net, x), above = 1000)\n"
                          "save(topk(few, by = loss(net, few), k = 1), to = \"few\")\n"));
    assert_non_null(strstr(f->d.list.at[0].message, "topk wants 1 rows of each class"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(maps_are_those_of_pytorch, enter, leave),
        cmocka_unit_test_setup_teardown(where_keeps_rows_between_bounds, enter, leave),
        cmocka_unit_test_setup_teardown(what_is_left_may_be_too_few, enter, leave),
        cmocka_unit_test_setup_teardown(a_layer_that_is_not_there_is_named, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
