// exp, log, tanh, sigmoid and erf over the whole range of f32, in units in the last place
// of the exact result.
#include "tests/unit/codegen_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COUNT_AT_ONCE 65536
#define STRIDE        499  // between the bit patterns tried; prime
#define GUEST_STRIDE  7919 // where each takes long; prime

static double exact_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

// The distance between neighbours of f32 around v.
static double unit(double v) {
    int e = v == 0 ? -149 : ilogb(v) - 23;
    return ldexp(1, e < -149 ? -149 : e);
}

static double error_of(float got, double want) {
    float rounded = (float)want;
    if (isnan(want)) return isnan(got) ? 0 : INFINITY;
    if (isinf(rounded) || isinf(got)) return got == rounded ? 0 : INFINITY;
    return fabs((double)got - want) / unit(want);
}

struct worst {
    double error;
    float at;
};

// The kernel of one function, and its operand and result.
struct bench {
    struct rig g;
    float *x, *y;
};

static void bench_new(struct bench *b, struct arena *a, enum op op, const char *target,
                      struct guest *guest) {
    struct builder f;
    size_t n = COUNT_AT_ONCE;
    builder_init(&f, a, "f");
    build_output(&f, "y", b_unary(&f, op, rig_input(&f, "x", 1, &n)));
    b->g = rig_new(a, builder_finish(&f), target, 1);
    if (rig_is_guest(target)) rig_set_guest(&b->g, guest);
    b->g.plain = true;
    rig_plan(&b->g);
    assert_true(rig_compile(&b->g));
    rig_buffers(&b->g);
    b->x = (float *)b->g.data[b->g.kf.kernels.at[0].ins[0]];
    b->y = (float *)b->g.data[b->g.kf.kernels.at[0].outs[0]];
}

static struct worst measure(struct bench *b, double (*exact)(double)) {
    struct worst worst = {0, 0};
    uint64_t bits = 0, stride = b->g.guest ? GUEST_STRIDE : STRIDE;
    while (bits < UINT64_C(1) << 32) {
        for (size_t i = 0; i < COUNT_AT_ONCE; i++, bits += stride) {
            uint32_t low = (uint32_t)bits;
            memcpy(&b->x[i], &low, 4);
        }
        rig_run_kernel(&b->g, 0, 0, 1);
        for (size_t i = 0; i < COUNT_AT_ONCE; i++) {
            double e = error_of(b->y[i], exact((double)b->x[i]));
            if (e > worst.error) worst = (struct worst){e, b->x[i]};
        }
    }
    return worst;
}

static void check(enum op op, double (*exact)(double), double most) {
    struct guest *guest = guest_start();
    for (size_t t = 0; t < COUNT(RIG_TARGETS); t++) {
        if (!rig_runs(RIG_TARGETS[t], guest)) continue;
        struct arena *a = arena_new();
        struct bench b;
        bench_new(&b, a, op, RIG_TARGETS[t], guest);
        struct worst w = measure(&b, exact);
        print_message("%s on %s: %.2f units at %a\n", op_info(op)->name, RIG_TARGETS[t],
                      w.error, (double)w.at);
        assert_true(w.error <= most);
        rig_free(&b.g);
        arena_free(a);
    }
    guest_stop(guest);
}

static void test_exp(void **state) {
    (void)state;
    check(OP_EXP, exp, 1.5);
}

static void test_log(void **state) {
    (void)state;
    check(OP_LOG, log, 1.5);
}

static void test_tanh(void **state) {
    (void)state;
    check(OP_TANH, tanh, 2);
}

static void test_sigmoid(void **state) {
    (void)state;
    check(OP_SIGMOID, exact_sigmoid, 2.5);
}

static void test_erf(void **state) {
    (void)state;
    check(OP_ERF, erf, 1.75);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),  cmocka_unit_test(test_log),
        cmocka_unit_test(test_tanh), cmocka_unit_test(test_sigmoid),
        cmocka_unit_test(test_erf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
