// Whole ops against ../shared/reference: golden values by an independent PyTorch
// implementation, for the first two images of each CIFAR-10 class and ResNet-20. Skipped
// where that folder is absent.
//
// Each case is a program; what it saves is compared, as the program's user would get it.
// The logits and coalition values are not saved by any op, so they are taken from the
// tensor functions of the same programs.
#include "cli/driver.h"
#include "runtime/call.h"
#include "runtime/npy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS 20

static const char reference[] = SHARED_DATA "/reference/resnet20_";

struct fixture {
    struct arena *arena;
    struct diags d;
    struct driver driver;
    bool bf16; // permitted
    char folder[32];
};

static double *golden(struct fixture *f, const char *name, size_t *count) {
    struct npy file;
    char *path = arena_printf(f->arena, "%s%s.npy", reference, name);
    assert_true(npy_read(f->arena, path, &file, NO_SPAN, &f->d));
    double *v = NEW_N(f->arena, double, file.count);
    for (size_t i = 0; i < file.count; i++)
        v[i] = file.type == NPY_F64 ? ((double *)file.data)[i] : ((float *)file.data)[i];
    if (count) *count = file.count;
    return v;
}

// Compiles a program of the two images a class and the teacher, ending in `body`.
static void compile_with(struct fixture *f, const char *body, bool unshared) {
    char *path = arena_printf(f->arena, "%s/case.ddg", f->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file,
            "train = images(\"%s\", size = 32, limit = 2)\n"
            "teacher = onnx(\"%s\", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, "
            "0.225])\n%s\n",
            SHARED_DATA "/data/cifar10/train", SHARED_DATA "/models/resnet20.onnx", body);
    assert_int_equal(fclose(file), 0);
    struct driver_options o = {
        .path = path, .threads = 2, .unshared = unshared, .bf16 = f->bf16};
    driver_init(&f->driver, f->arena, &o);
    bool ok = driver_load(&f->driver) && driver_lower(&f->driver, NULL) &&
              driver_codegen(&f->driver) && driver_link(&f->driver);
    if (!ok) fail_msg("%s", f->driver.d.list.at[0].message);
    unlink(path);
}

static void compile(struct fixture *f, const char *body) {
    compile_with(f, body, false);
}

// Runs `save(VALUE, to = ...)` and returns what was saved.
static const float *run(struct fixture *f, const char *value) {
    struct run_options o = {.threads = 2};
    struct run_report report;
    struct npy out;
    char *path = arena_printf(f->arena, "%s/out.npy", f->folder);
    compile(f, arena_printf(f->arena, "save(%s, to = \"out.npy\")", value));
    if (!plan_run(f->driver.module.plan, &o, f->arena, &report, &f->driver.d))
        fail_msg("%s", f->driver.d.list.at[0].message);
    assert_true(npy_read(f->arena, path, &out, NO_SPAN, &f->d));
    driver_free(&f->driver);
    unlink(path);
    return out.data;
}

static void assert_near(const double *expected, const float *got, size_t n,
                        double within) {
    for (size_t i = 0; i < n; i++)
        if (!(fabs(expected[i] - got[i]) <= within))
            fail_msg("[%zu] is %.8g, the reference %.8g", i, got[i], expected[i]);
}

static void kernel_shap(void **state) {
    struct fixture *f = *state;
    const float *phi = run(f, arena_printf(f->arena,
                                           "shap_patches(teacher, train, grid = 4, "
                                           "coalitions = \"%scoalitions_4x4.npy\")",
                                           reference));
    assert_near(golden(f, "kernel_shap_4x4", NULL), phi, ROWS * 16, 1e-4);
}

static void exact_shapley(void **state) {
    struct fixture *f = *state;
    const float *phi =
        run(f, "shap_patches(teacher, train, grid = 3, sampling = \"exact\")");
    assert_near(golden(f, "exact_shapley_3x3", NULL), phi, ROWS * 9, 1e-4);
}

static void gradient_norms(void **state) {
    struct fixture *f = *state;
    const float *norm = run(f, "gradnorm(teacher, train)");
    const double *expected = golden(f, "gradnorm", NULL);
    for (size_t i = 0; i < ROWS; i++)
        if (!(fabs(norm[i] - expected[i]) <= 1e-3 * expected[i]))
            fail_msg("row %zu is %.8g, the reference %.8g", i, norm[i], expected[i]);
}

// ---- values inside a program ---------------------------------------------------------
static const struct plan_func *find_func(const struct fixture *f, const char *name) {
    const struct plan *p = f->driver.module.plan;
    for (size_t i = 0; i < p->nfuncs; i++)
        if (!strcmp(p->funcs[i].name, name)) return &p->funcs[i];
    fail_msg("no function %s", name);
    return NULL;
}

static uint8_t *pixels(struct fixture *f) { // [N,H,W,3] to [N,3,H,W]
    struct npy file;
    char *path = arena_printf(f->arena, "%spixels_u8.npy", reference);
    assert_true(npy_read(f->arena, path, &file, NO_SPAN, &f->d));
    uint8_t *out = NEW_N(f->arena, uint8_t, file.count);
    for (size_t n = 0; n < ROWS; n++)
        for (size_t p = 0; p < 1024; p++)
            for (size_t c = 0; c < 3; c++)
                out[(n * 3 + c) * 1024 + p] =
                    ((uint8_t *)file.data)[(n * 1024 + p) * 3 + c];
    return out;
}

static void coalition_values(void **state) {
    struct fixture *f = *state;
    const double *expected = golden(f, "coalition_values_4x4", NULL);
    compile_with(f,
                 arena_printf(f->arena,
                              "phi = shap_patches(teacher, train, grid = 4, coalitions = "
                              "\"%scoalitions_4x4.npy\")\nsave(phi, to = \"x.npy\")",
                              reference),
                 true);
    const struct plan_func *func = find_func(f, "phi.values");
    char *arena = arena_alloc(f->arena, func->arena_bytes + 64, 1);
    uint8_t *image = pixels(f);
    for (int32_t row = 0; row < ROWS; row++)
        for (int32_t z = 0; z < 128; z++) {
            float v;
            int32_t cls = row / 2;
            char *in[3] = {(char *)(image + row * 3072), (char *)&z, (char *)&cls};
            char *out[1] = {(char *)&v};
            assert_true(
                call_func(f->driver.module.plan, func, arena, in, out, 1, true, NULL));
            assert_near(&expected[row * 128 + z], &v, 1, 1e-4);
        }
    driver_free(&f->driver);
}

// Rounded operands give other values, and not very. Some processors have no bf16.
static void kernel_shap_in_bf16(void **state) {
    struct fixture *f = *state;
    const double *expected = golden(f, "kernel_shap_4x4", NULL);
    double largest = 0, off = 0;
    f->bf16 = true;
    const float *phi = run(f, arena_printf(f->arena,
                                           "shap_patches(teacher, train, grid = 4, "
                                           "coalitions = \"%scoalitions_4x4.npy\")",
                                           reference));
    f->bf16 = false;
    for (size_t i = 0; i < ROWS * 16; i++) {
        largest = fmax(largest, fabs(expected[i]));
        off = fmax(off, fabs(expected[i] - phi[i]));
    }
    print_message("off by %.2g of the largest\n", off / largest);
    assert_true(off < 2e-2 * largest);
    assert_int_equal(off > 1e-4, f->driver.target.bf16);
}

// softmax(logits) says everything but a shift; value = "logit" with one coalition of all
// patches gives the class's own logit back: phi of one patch is v(full) - v(empty).
static void logits(void **state) {
    struct fixture *f = *state;
    size_t count;
    const double *expected = golden(f, "logits", &count);
    double largest = 0;
    for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs(expected[i]));
    compile(f,
            "phi = shap_patches(teacher, train, grid = 1, sampling = \"exact\", value = "
            "\"logit\")\nsave(phi, to = \"x.npy\")");
    const struct plan_func *func = find_func(f, "phi.values");
    char *arena = arena_alloc(f->arena, func->arena_bytes + 64, 1);
    uint8_t *image = pixels(f);
    for (int32_t row = 0; row < ROWS; row++)
        for (int32_t k = 0; k < 10; k++) {
            float v;
            int32_t full = 1; // coalition 1 has the one patch present
            char *in[3] = {(char *)(image + row * 3072), (char *)&full, (char *)&k};
            char *out[1] = {(char *)&v};
            assert_true(
                call_func(f->driver.module.plan, func, arena, in, out, 1, true, NULL));
            assert_near(&expected[row * 10 + k], &v, 1, 1e-4 * largest);
        }
    driver_free(&f->driver);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    if (!f || !(f->arena = arena_new())) return -1;
    diags_init(&f->d, f->arena);
    strcpy(f->folder, "/tmp/ddg-reference-XXXXXX");
    *state = f;
    return mkdtemp(f->folder) ? 0 : -1;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    rmdir(f->folder);
    arena_free(f->arena);
    free(f);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits),         cmocka_unit_test(coalition_values),
        cmocka_unit_test(kernel_shap),    cmocka_unit_test(exact_shapley),
        cmocka_unit_test(gradient_norms), cmocka_unit_test(kernel_shap_in_bf16),
    };
    if (access(SHARED_DATA "/reference", R_OK) != 0) {
        puts("skipped: no " SHARED_DATA "/reference");
        return 77;
    }
    return cmocka_run_group_tests(tests, setup, teardown);
}
