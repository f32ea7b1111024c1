// bf16: numbers are rounded as the evaluator rounds them, to the bit; random networks
// that permit it, through every pass and the machine code, beside the evaluator of what
// the passes made of them. A row's bits do not depend on how many rows go together, nor
// in which bands.
//
// The evaluator sums in double: where its sum and the code's lie on two sides of a
// middle, they are rounded to neighbours, 1/256 apart. Few are, so results agree to 1/200
// of the largest.
#include "jit.h"

#include "ir/bf16.h"
#include "tests/unit/ir_random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ROWS 5

static bool lacks_bf16(void) {
    struct arena *a = arena_new();
    struct diags d;
    struct target t;
    diags_init(&d, a);
    assert_true(codegen_host_target(a, &t, &d));
    if (!t.bf16) print_message("this processor has no products of bf16\n");
    arena_free(a);
    return !t.bf16;
}

// ---- rounding ------------------------------------------------------------------------

// Of odd sizes, so that some numbers are rounded alone or in part of a vector.
static struct func *round_trip(struct arena *a, size_t n) {
    struct builder b;
    builder_init(&b, a, "round_trip");
    nid x = b_input(&b, "x", type_tensor(ELEM_F32, true, 1, &n));
    nid half = b_cast(&b, x, ELEM_BF16);
    build_output(&b, "y", b_cast(&b, half, ELEM_F32));
    return builder_finish(&b);
}

static void check_rounding(struct arena *a, const float *x, size_t n) {
    struct jit j;
    struct diags d;
    float *want = NEW_N(a, float, n), *got = NEW_N(a, float, n);
    diags_init(&d, a);
    assert_true(jit_compile(&j, a, round_trip(a, n), &d));
    assert_true(eval_func(j.module.funcs.at[0].f, 1, (const void *[]){x},
                          (void *[]){want}, NULL));
    jit_run(&j, 1, 0, (const void *[]){x}, (void *[]){got});
    for (size_t i = 0; i < n; i++)
        if (memcmp(&got[i], &want[i], sizeof *got))
            fail_msg("%a becomes %a, not %a", (double)x[i], (double)got[i],
                     (double)want[i]);
    jit_free(&j);
}

static void rounding_is_the_evaluators(void **state) {
    (void)state;
    enum { HALVES = 1 << 16, EACH = 5 };
    static const uint32_t low[] = {0, 0x7fff, 0x8000, 0x8001};
    if (lacks_bf16()) skip();
    struct arena *a = arena_new();
    struct random r = {7};
    float *x = NEW_N(a, float, HALVES *EACH);
    for (uint32_t h = 0; h < HALVES; h++)
        for (size_t k = 0; k < EACH; k++) {
            uint32_t rest = k < COUNT(low) ? low[k] : (uint32_t)random_below(&r, HALVES);
            memcpy(&x[h * EACH + k], &(uint32_t){h << 16 | rest}, sizeof *x);
        }
    check_rounding(a, x, HALVES * EACH);
    for (size_t n = 1; n < 40; n += 3) check_rounding(a, x + HALVES * EACH / 4, n);
    arena_free(a);
}

// ---- networks ------------------------------------------------------------------------

struct net {
    struct arena *arena;
    struct builder b;
    struct random r;
    nid x; // what the next layer takes
};

static size_t pick(struct net *n, size_t low, size_t high) {
    return low + random_below(&n->r, high - low + 1);
}

static float unit(struct random *r) {
    return (float)((double)(random_next(r) >> 11) * 0x1p-52 - 1);
}

static nid weight(struct net *n, size_t rank, const size_t *dim, double scale) {
    struct type t = type_tensor(ELEM_F32, false, (uint32_t)rank, dim);
    float *v = NEW_N(n->arena, float, type_count(&t));
    for (size_t i = 0; i < type_count(&t); i++) v[i] = (float)scale * unit(&n->r);
    return b_const(&n->b, t, v);
}

static nid conv_layer(struct net *n, nid x, size_t out) {
    const struct type *t = type_at(n->b.f, x);
    size_t k = pick(n, 0, 2) ? 1 + 2 * pick(n, 0, 2) : 2;
    int64_t s = (int64_t)pick(n, 1, 2), p = (int64_t)(k / 2);
    struct conv_attrs a = {{s, s}, {p, p, p, p}, {1, 1}, 1};
    size_t dim[4] = {out, t->dim[0], k, k};
    nid w = weight(n, 4, dim, 2 / sqrt((double)(t->dim[0] * k * k)));
    nid bias = weight(n, 3, (size_t[]){out, 1, 1}, 0.5);
    return b_binary(&n->b, OP_ADD, b_conv(&n->b, x, w, &a), bias);
}

// Its input is read twice at times, also by what is not rounded.
static void block(struct net *n, enum op activation) {
    const struct type t = *type_at(n->b.f, n->x);
    nid y = conv_layer(n, n->x, pick(n, 0, 1) ? t.dim[0] : pick(n, 20, 70));
    if (type_same_shape(&t, type_at(n->b.f, y))) y = b_binary(&n->b, OP_ADD, y, n->x);
    n->x = b_unary(&n->b, activation, y);
}

// Pixels as rows of a matrix, through a linear layer.
static nid tokens(struct net *n) {
    const struct type t = *type_at(n->b.f, n->x);
    size_t places = t.dim[1] * t.dim[2], out = pick(n, 20, 70);
    nid x = b_reshape(&n->b, n->x, (size_t[]){t.dim[0], places}, 2);
    x = b_transpose(&n->b, x, (int64_t[]){1, 0}, 2);
    bool turned = pick(n, 0, 1);
    size_t dim[2] = {turned ? out : t.dim[0], turned ? t.dim[0] : out};
    nid w = weight(n, 2, dim, 2 / sqrt((double)t.dim[0]));
    return b_matmul(&n->b, x, w, false, turned);
}

// With the pixels' gradient, too, where the activation is smooth: at a step a neighbour
// would have another.
static struct func *random_net(struct arena *a, uint64_t seed) {
    struct net n = {.arena = a, .r = {seed}};
    enum op activation = seed % 2 ? OP_RELU : OP_TANH;
    builder_init(&n.b, a, "net");
    n.b.f->bf16 = true;
    size_t dim[3] = {pick(&n, 3, 9), pick(&n, 9, 30), pick(&n, 9, 30)};
    nid image = b_input(&n.b, "x", type_tensor(ELEM_F32, true, 3, dim));
    n.x = b_unary(&n.b, activation, conv_layer(&n, image, pick(&n, 20, 70)));
    for (size_t i = pick(&n, 1, 3); i-- > 0;) block(&n, activation);
    nid y = tokens(&n), square = b_binary(&n.b, OP_MUL, y, y);
    nid sum = b_sum_all(&n.b, b_binary(&n.b, OP_MUL, square, b_f32(&n.b, 0.01f)));
    build_output(&n.b, "y", y);
    if (activation == OP_TANH)
        build_output(&n.b, "dx",
                     build_node(&n.b, OP_GRAD, (nid[]){sum, image}, 2, NULL, NULL));
    return builder_finish(&n.b);
}

static void compare(uint64_t seed, size_t out, const float *want, const float *got,
                    size_t count) {
    float largest = 0, off = 0;
    for (size_t i = 0; i < count; i++) {
        largest = fmaxf(largest, fabsf(want[i]));
        off = fmaxf(off, fabsf(want[i] - got[i]));
        assert_true(got[i] == got[i]); // no NaN
    }
    if (off > 5e-3f * largest)
        fail_msg("seed %llu, output %zu: off by %g, the largest is %g",
                 (unsigned long long)seed, out, (double)off, (double)largest);
}

static void same_in_bands(uint64_t seed, const void *const *args, void *const *want) {
    struct arena *a = arena_new();
    assert_true(jit_same_in_bands(a, random_net(a, seed), ROWS, args, want));
    arena_free(a);
}

// Layers that multiply bf16.
static size_t count_halves(const struct jit *j) {
    const struct kfunc *k = j->module.funcs.at[0].k;
    size_t n = 0;
    for (size_t i = 0; i < k->kernels.n; i++)
        n += !strcmp(kernel_how(k, &k->kernels.at[i]), "dot products");
    return n;
}

static size_t one_net(uint64_t seed) {
    struct arena *a = arena_new();
    struct diags d;
    struct jit j;
    diags_init(&d, a);
    if (!jit_compile(&j, a, random_net(a, seed), &d))
        fail_msg("seed %llu: %s", (unsigned long long)seed, d.list.at[0].message);
    const struct func *f = j.module.funcs.at[0].f; // with the casts in it
    size_t n = type_count(type_at(f, 0)) * ROWS, layers = count_halves(&j);
    float *x = NEW_N(a, float, n);
    struct random r = {seed + 1000};
    for (size_t i = 0; i < n; i++) x[i] = unit(&r);
    const void *args[1] = {x};
    void **want = jit_results(a, f, ROWS), **together = jit_results(a, f, ROWS),
         **alone = jit_results(a, f, ROWS);
    assert_true(eval_func(f, ROWS, args, want, NULL));
    jit_run(&j, ROWS, 0, args, together);
    jit_run(&j, ROWS, 1, args, alone);
    for (size_t i = 0; i < f->outs.n; i++)
        compare(seed, i, want[i], together[i],
                ROWS * type_count(type_at(f, f->outs.at[i])));
    assert_true(jit_same(f, ROWS, together, alone));
    same_in_bands(seed, args, together);
    jit_free(&j);
    arena_free(a);
    return layers;
}

static void random_networks(void **state) {
    (void)state;
    size_t layers = 0;
    if (lacks_bf16()) skip();
    for (uint64_t seed = 0; seed < 24; seed++) layers += one_net(seed);
    assert_true(layers > 24);
}

// Without permission, or on another target, the passes leave f32 alone.
static void permission_is_needed(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct diags d;
    diags_init(&d, a);
    for (int permitted = 0; permitted < 2; permitted++) {
        struct jit j;
        struct func *f = random_net(a, 1);
        f->bf16 = permitted;
        const char *target = permitted ? "x86-64" : "native";
        assert_true(jit_assemble(&j, a, f, target, 0, &d));
        assert_int_equal(count_halves(&j), 0);
        jit_free(&j);
    }
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_is_the_evaluators),
        cmocka_unit_test(random_networks),
        cmocka_unit_test(permission_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
