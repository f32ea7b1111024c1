// Random small networks through every pass and the machine code, beside the evaluator:
// the values, the norm of the parameters' gradient, and the gradient of the pixels. Each
// row's bits must not depend on how many rows are computed with it or in which bands, nor
// on whether the code was linked in memory or lies in an image. On this processor, and on
// another that is played.
//
// The evaluator sums in double and the code in float, over some thousand terms: results
// agree to 1e-4 of the largest.
#include "effort.h"
#include "jit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct net {
    struct arena *arena;
    struct builder b;
    uint64_t seed;
    nid x; // what the next layer takes, [C,H,W]
};

static uint64_t next(struct net *n) { // splitmix64
    uint64_t z = (n->seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
static size_t pick(struct net *n, size_t low, size_t high) {
    return low + (size_t)(next(n) % (high - low + 1));
}
static float unit(struct net *n) {
    return (float)((double)(next(n) >> 11) * 0x1p-52 - 1);
}

static const struct type *type_of(const struct net *n, nid v) {
    return type_at(n->b.f, v);
}

static float *numbers(struct net *n, size_t count, double scale) {
    float *v = NEW_N(n->arena, float, count);
    for (size_t i = 0; i < count; i++) v[i] = (float)(scale * unit(n));
    return v;
}

// Parameters for gradients, constants where batch norm may be folded.
static nid weight(struct net *n, size_t rank, const size_t *dim, double scale) {
    struct type t = type_tensor(ELEM_F32, false, (uint32_t)rank, dim);
    float *v = numbers(n, type_count(&t), scale);
    if (next(n) % 4 == 0) return b_const(&n->b, t, v);
    return b_param(&n->b, arena_printf(n->arena, "p%zu", (size_t)n->b.f->nodes.n), t, v);
}

// ---- layers --------------------------------------------------------------------------
static nid conv_layer(struct net *n, nid x, size_t out, size_t stride) {
    const struct type *t = type_of(n, x);
    size_t k = pick(n, 1, 4), groups = 1;
    if (pick(n, 0, 3) == 0 && t->dim[0] % 2 == 0 && out % 2 == 0) groups = 2;
    size_t pad = pick(n, 0, k - 1), dilation = pick(n, 1, 5) == 1 ? 2 : 1;
    size_t reach = (k - 1) * dilation + 1;
    if (t->dim[1] + 2 * pad < reach || t->dim[2] + 2 * pad < reach) k = 1, pad = 0;
    int64_t s = (int64_t)stride, p = (int64_t)pad, d = (int64_t)dilation;
    struct conv_attrs a = {{s, s}, {p, p, p, p}, {d, d}, (int64_t)groups};
    size_t dim[4] = {out, t->dim[0] / groups, k, k};
    return b_conv(&n->b, x, weight(n, 4, dim, 1 / sqrt((double)(dim[1] * k * k))), &a);
}

static nid norm_layer(struct net *n, nid x) {
    size_t dim[3] = {type_of(n, x)->dim[0], 1, 1};
    struct type t = type_tensor(ELEM_F32, false, 3, dim);
    nid mean = b_const(&n->b, t, numbers(n, dim[0], 0.5));
    x = b_binary(&n->b, OP_SUB, x, mean);
    x = b_binary(&n->b, OP_MUL, x, weight(n, 3, dim, 2));
    return b_binary(&n->b, OP_ADD, x, weight(n, 3, dim, 0.5));
}

static nid pool_layer(struct net *n, nid x) {
    const struct type *t = type_of(n, x);
    int64_t k[2] = {2, 2}, s[2] = {(int64_t)pick(n, 1, 2), 2}, p[4] = {0, 1, 1, 0};
    if (t->dim[1] < 3 || t->dim[2] < 3) return x;
    struct value v[4] = {val_ints(k, 2), val_ints(s, 2), val_ints(p, 4),
                         val_bool(pick(n, 0, 1))};
    for (int i = 0; i < 3; i++) v[i].is = arena_dup(n->arena, v[i].is, v[i].n, sizeof *k);
    return build_node(&n->b, pick(n, 0, 1) ? OP_MAXPOOL : OP_AVGPOOL, &x, 1, v, NULL);
}

// An option-A shortcut: every other pixel, with more channels of zeros around.
static nid shortcut(struct net *n, nid x, const struct type *to) {
    const struct type *t = type_of(n, x);
    int64_t starts[3] = {0, 0, 0}, steps[3] = {1, 2, 2}, none[3] = {0};
    int64_t sizes[3] = {(int64_t)t->dim[0], (int64_t)to->dim[1], (int64_t)to->dim[2]};
    int64_t more = (int64_t)(to->dim[0] - t->dim[0]);
    int64_t before[3] = {more / 2, 0, 0}, after[3] = {more - more / 2, 0, 0};
    x = b_slice(&n->b, x, starts, steps, sizes, 3);
    return b_pad(&n->b, x, before, after, none, 3, 0);
}

static void block(struct net *n) {
    const struct type t = *type_of(n, n->x);
    bool down = pick(n, 0, 2) == 0 && t.dim[1] > 3 && t.dim[2] > 3;
    size_t out = down                 ? t.dim[0] + pick(n, 0, 9)
                 : pick(n, 1, 3) == 1 ? pick(n, 1, 40)
                                      : t.dim[0];
    nid y = conv_layer(n, n->x, out, down ? 2 : 1);
    if (pick(n, 0, 1)) y = norm_layer(n, y);
    const struct type *ty = type_of(n, y);
    if (!down && type_same_shape(ty, &t) && pick(n, 0, 2))
        y = b_binary(&n->b, OP_ADD, y, n->x);
    if (down && (ty->dim[1] - 1) * 2 < t.dim[1] && (ty->dim[2] - 1) * 2 < t.dim[2])
        y = b_binary(&n->b, OP_ADD, y, shortcut(n, n->x, ty));
    n->x = pick(n, 0, 4) ? b_unary(&n->b, OP_RELU, y) : b_unary(&n->b, OP_TANH, y);
    if (pick(n, 0, 4) == 0) n->x = pool_layer(n, n->x);
}

// Global mean or all pixels, a linear layer, cross entropy to class 1 of 5.
static nid head(struct net *n) {
    const struct type t = *type_of(n, n->x);
    size_t features = t.dim[0];
    nid x = n->x;
    if (pick(n, 0, 1)) {
        x = b_sum(&n->b, x, (int64_t[]){1, 2}, 2, false);
        x = b_binary(&n->b, OP_MUL, x, b_f32(&n->b, 1.0f / (float)(t.dim[1] * t.dim[2])));
    } else features = type_count(&t);
    x = b_reshape(&n->b, x, (size_t[]){1, features}, 2);
    nid w = weight(n, 2, (size_t[]){5, features}, 1 / sqrt((double)features));
    x = b_matmul(&n->b, x, w, false, true);
    x = b_binary(&n->b, OP_ADD, x, weight(n, 2, (size_t[]){1, 5}, 0.5));
    nid top = b_amax(&n->b, x, (int64_t[]){1}, 1, true);
    nid z = b_binary(&n->b, OP_SUB, x, top);
    nid sum = b_sum(&n->b, b_unary(&n->b, OP_EXP, z), (int64_t[]){1}, 1, true);
    nid log_prob = b_binary(&n->b, OP_SUB, z, b_unary(&n->b, OP_LOG, sum));
    nid hot = b_const(&n->b, type_tensor(ELEM_F32, false, 2, (size_t[]){1, 5}),
                      (float[]){0, -1, 0, 0, 0});
    return b_sum_all(&n->b, b_binary(&n->b, OP_MUL, log_prob, hot));
}

static nid squares(struct net *n, nid v) {
    return b_sum_all(&n->b, b_binary(&n->b, OP_MUL, v, v));
}

static struct func *random_net(struct arena *a, uint64_t seed) {
    struct net n = {.arena = a, .seed = seed};
    builder_init(&n.b, a, "net");
    size_t c = pick(&n, 0, 2) ? 3 : pick(&n, 1, 20), h = pick(&n, 4, 18),
           w = pick(&n, 4, 18);
    struct type t = type_tensor(ELEM_U8, true, 3, (size_t[]){c, h, w});
    nid pixels = b_input(&n.b, "pixels", t);
    nid scaled =
        b_binary(&n.b, OP_MUL, b_cast(&n.b, pixels, ELEM_F32), b_f32(&n.b, 0.01f));
    n.x = scaled;
    for (size_t i = pick(&n, 1, 5); i-- > 0;) block(&n);
    nid features = n.x, loss = head(&n), norm = squares(&n, features);
    size_t made = n.b.f->nodes.n;
    for (nid v = 0; v < made; v++)
        if (node_at(n.b.f, v)->op == OP_PARAM) {
            nid g = build_node(&n.b, OP_GRAD, (nid[]){loss, v}, 2, NULL, NULL);
            norm = b_binary(&n.b, OP_ADD, norm, squares(&n, g));
        }
    nid back = build_node(&n.b, OP_GRAD, (nid[]){loss, scaled}, 2, NULL, NULL);
    build_output(&n.b, "loss", loss);
    build_output(&n.b, "norm", norm);
    build_output(&n.b, "pixels", b_reshape(&n.b, back, (size_t[]){c * h * w}, 1));
    return builder_finish(&n.b);
}

// ---- the comparison ------------------------------------------------------------------
#define ROWS 5

static void compare(uint64_t seed, size_t out, const float *expected, const float *got,
                    size_t count) {
    float largest = 1e-3f;
    for (size_t i = 0; i < count; i++) largest = fmaxf(largest, fabsf(expected[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(expected[i] - got[i]) <= 1e-4f * largest))
            fail_msg("seed %llu, output %zu[%zu]: %g, evaluator %g (largest %g)",
                     (unsigned long long)seed, out, i, got[i], expected[i], largest);
}

// From an image: the bits that code linked in memory gave.
static void same_ahead(struct jit *j, const void *const *args, void *const *want,
                       struct diags *d) {
    const struct func *f = j->module.funcs.at[0].f;
    void **got = jit_results(j->module.arena, f, ROWS);
    struct code_map map = {0};
    assert_true(jit_ahead(j, &map, d));
    jit_run(j, ROWS, 0, args, got);
    for (size_t i = 0; i < f->outs.n; i++)
        assert_memory_equal(want[i], got[i],
                            type_bytes(type_at(f, f->outs.at[i])) * ROWS);
    code_unmap(&map);
}

static void same_in_bands(uint64_t seed, const void *const *args, void *const *want) {
    struct arena *a = arena_new();
    assert_true(jit_same_in_bands(a, random_net(a, seed), ROWS, args, want));
    arena_free(a);
}

static void one_net(uint64_t seed, struct guest *guest) {
    struct arena *a = arena_new();
    struct diags d;
    struct jit j;
    diags_init(&d, a);
    struct func *net = random_net(a, seed);
    if (!(guest ? jit_compile_guest(&j, a, net, guest, &d) : jit_compile(&j, a, net, &d)))
        fail_msg("seed %llu: %s", (unsigned long long)seed, d.list.at[0].message);
    const struct func *f = j.module.funcs.at[0].f; // gradients expanded
    size_t n = type_count(type_at(f, 0)) * ROWS;
    uint8_t *pixels = NEW_N(a, uint8_t, n);
    struct net r = {.seed = seed + 1};
    for (size_t i = 0; i < n; i++) pixels[i] = (uint8_t)next(&r);
    const void *args[1] = {pixels};
    void **expected = jit_results(a, f, ROWS), **alone = jit_results(a, f, ROWS);
    void **together = jit_results(a, f, ROWS);
    assert_true(eval_func(f, ROWS, args, expected, NULL));
    jit_run(&j, ROWS, 0, args, together);
    jit_run(&j, ROWS, 1, args, alone);
    for (size_t i = 0; i < f->outs.n; i++) {
        const struct type *t = type_at(f, f->outs.at[i]);
        compare(seed, i, expected[i], together[i], type_count(t) * ROWS);
        assert_memory_equal(together[i], alone[i], type_bytes(t) * ROWS);
    }
    if (seed % 4 == 0 && !guest) same_ahead(&j, args, together, &d);
    if (seed % 3 == 0 && !guest) same_in_bands(seed, args, together);
    jit_free(&j);
    arena_free(a);
}

static void random_networks(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < effort(60); seed++) one_net(seed, NULL);
}

static void random_networks_elsewhere(void **state) {
    (void)state;
    struct guest *guest = guest_start();
    if (!guest) skip();
    for (uint64_t seed = 0; seed < effort(30); seed++) one_net(seed, guest);
    guest_stop(guest);
}

// ---- outputs that nothing computes ---------------------------------------------------

// A gradient that is 0 everywhere, an input, a constant and one value twice: each is
// stored for every row.
static void outputs_are_stored_whatever_they_are(void **state) {
    (void)state;
    enum { N = 6 };
    static const float seven[N] = {7, 7, 7, 7, 7, 7};
    struct arena *a = arena_new();
    struct builder b;
    struct diags d;
    struct jit j;
    float x[ROWS][N], got[5][ROWS][N];
    diags_init(&d, a);
    builder_init(&b, a, "outputs");
    struct type t = type_tensor(ELEM_F32, true, 2, (size_t[]){2, 3});
    nid in = b_input(&b, "x", t), twice = b_unary(&b, OP_NEG, in);
    nid flat = b_sum_all(&b, b_unary(&b, OP_STEP, in));
    t.rows = false;
    build_output(&b, "zero", build_node(&b, OP_GRAD, (nid[]){flat, in}, 2, NULL, NULL));
    build_output(&b, "input", in);
    build_output(&b, "seven", b_const(&b, t, seven));
    build_output(&b, "negative", twice);
    build_output(&b, "again", twice);
    assert_true(jit_compile(&j, a, builder_finish(&b), &d));
    for (size_t i = 0; i < (size_t)ROWS * N; i++) x[i / N][i % N] = (float)i + 0.5f;
    memset(got, 0xff, sizeof got);
    jit_run(&j, ROWS, 2, (const void *[]){x},
            (void *[]){got[0], got[1], got[2], got[3], got[4]});
    for (size_t i = 0; i < (size_t)ROWS * N; i++) {
        float v = x[i / N][i % N], want[] = {0, v, 7, -v, -v};
        for (size_t o = 0; o < COUNT(got); o++)
            assert_true(got[o][i / N][i % N] == want[o]);
    }
    jit_free(&j);
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_networks),
        cmocka_unit_test(random_networks_elsewhere),
        cmocka_unit_test(outputs_are_stored_whatever_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
