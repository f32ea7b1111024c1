// Generated convolutions and matrix products of bf16, beside the evaluator.
//
// What random_data gives are quarters, and few enough of their products are added that
// every sum is exact: any way to compute them gives the same bits. Only `rounded` is of
// numbers whose sums are not.
#include "tests/unit/codegen_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define EXACT 1e-30
// Some thousand products, each exact, summed in f32 against double, over the largest
// result.
#define ROUNDED 2e-5

// ---- operands ------------------------------------------------------------------------

static nid constant(struct builder *b, struct random *r, uint32_t rank,
                    const size_t *dim) {
    struct type t = type_tensor(ELEM_BF16, false, rank, dim);
    return b_const(b, t, random_data(r, b->arena, &t, 1));
}

// Stored in bf16 as it is read, or computed and then cast.
static nid operand(struct builder *b, struct random *r, uint32_t rank,
                   const size_t *dim) {
    if (random_below(r, 4) == 0)
        return b_input(b, "x", type_tensor(ELEM_BF16, true, rank, dim));
    nid x = rig_input(b, "x", rank, dim);
    if (random_below(r, 2)) x = b_unary(b, OP_RELU, x);
    return b_cast(b, x, ELEM_BF16);
}

// ---- convolutions --------------------------------------------------------------------

struct sizes {
    size_t in, out, h, w, kh, kw;
    struct conv_attrs c;
};

static size_t channels(struct random *r) {
    static const size_t COMMON[] = {3, 16, 24, 32, 48, 64};
    return random_below(r, 2) ? COMMON[random_below(r, COUNT(COMMON))]
                              : 1 + random_below(r, 70);
}

static struct sizes random_sizes(struct random *r) {
    struct sizes s = {.in = channels(r),
                      .out = channels(r),
                      .h = 1 + random_below(r, 18),
                      .w = 1 + random_below(r, 20),
                      .c.groups = 1};
    bool point = random_below(r, 3) == 0;
    s.kh = point ? 1 : 1 + random_below(r, 5);
    s.kw = point || random_below(r, 2) ? s.kh : 1 + random_below(r, 5);
    if (random_below(r, 12) == 0) { // wide
        s.w = 40 + random_below(r, 40);
        s.kw = 20 + random_below(r, 20);
    }
    for (int i = 0; i < 2; i++) {
        s.c.strides[i] = random_below(r, 2) ? 1 : random_between(r, 1, 3);
        s.c.dilations[i] = random_below(r, 3) ? 1 : random_between(r, 1, 3);
    }
    for (int i = 0; i < 4; i++) s.c.pads[i] = random_between(r, 0, 3);
    return s;
}

// The side of the result along an axis; 0: the kernel does not fit.
static size_t result_side(const struct sizes *s, int axis) {
    int64_t side = (int64_t)(axis ? s->w : s->h), k = (int64_t)(axis ? s->kw : s->kh);
    int64_t room = side + s->c.pads[axis] + s->c.pads[axis + 2] -
                   (s->c.dilations[axis] * (k - 1) + 1);
    return room < 0 ? 0 : (size_t)(room / s->c.strides[axis]) + 1;
}

// Bias, a residual and an activation.
static nid epilogue(struct builder *b, struct random *r, nid y) {
    const struct type t = *type_at(b->f, y);
    if (random_below(r, 2))
        y = b_binary(b, OP_ADD, y, rig_constant_of(b, r, 3, (size_t[]){t.dim[0], 1, 1}));
    if (random_below(r, 3) == 0)
        y = b_binary(b, OP_ADD, y, rig_input(b, "residual", 3, t.dim));
    return random_below(r, 2) ? b_unary(b, OP_RELU, y) : y;
}

static nid build_conv(struct builder *b, struct random *r) {
    struct sizes s = random_sizes(r);
    if (!result_side(&s, 0) || !result_side(&s, 1)) return NID_NONE;
    nid x = operand(b, r, 3, (size_t[]){s.in, s.h, s.w});
    nid w = constant(b, r, 4, (size_t[]){s.out, s.in, s.kh, s.kw});
    return epilogue(b, r, b_conv(b, x, w, &s.c));
}

static nid build_conv_dx(struct builder *b, struct random *r) {
    struct sizes s = random_sizes(r);
    size_t oh = result_side(&s, 0), ow = result_side(&s, 1);
    if (!oh || !ow) return NID_NONE;
    nid d = operand(b, r, 3, (size_t[]){s.out, oh, ow});
    nid w = constant(b, r, 4, (size_t[]){s.out, s.in, s.kh, s.kw});
    return epilogue(b, r, b_conv_dx(b, d, w, &s.c, s.h, s.w));
}

// What one layer stores is what the next one reads: the cast in between is the end of the
// first one's kernel.
static nid build_two(struct builder *b, struct random *r) {
    nid y = build_conv(b, r);
    if (y == NID_NONE) return NID_NONE;
    const struct type t = *type_at(b->f, y);
    struct conv_attrs c = {{1, 1}, {1, 1, 1, 1}, {1, 1}, 1};
    nid w = constant(b, r, 4, (size_t[]){channels(r), t.dim[0], 3, 3});
    y = b_binary(b, OP_MUL, y, b_f32(b, 1.0f / 64)); // less of it is lost to the cast
    return epilogue(b, r, b_conv(b, b_cast(b, y, ELEM_BF16), w, &c));
}

// ---- products ------------------------------------------------------------------------

static nid build_product(struct builder *b, struct random *r, uint32_t lead) {
    size_t m = random_below(r, 2) ? 1 : 1 + random_below(r, 30);
    size_t k = 1 + random_below(r, 90), n = 1 + random_below(r, 100);
    bool tx = random_below(r, 3) == 0, ty = random_below(r, 2);
    size_t dx[TYPE_MAX_RANK], dy[TYPE_MAX_RANK];
    for (uint32_t i = 0; i < lead; i++) dx[i] = dy[i] = 1 + random_below(r, 4);
    dx[lead] = tx ? k : m, dx[lead + 1] = tx ? m : k;
    dy[lead] = ty ? n : k, dy[lead + 1] = ty ? k : n;
    nid x = operand(b, r, lead + 2, dx);
    nid p = b_matmul(b, x, constant(b, r, lead + 2, dy), tx, ty);
    return random_below(r, 2) ? p : b_unary(b, OP_RELU, p);
}

static nid build_matmul(struct builder *b, struct random *r) {
    return build_product(b, r, 0);
}

static nid build_stack(struct builder *b, struct random *r) {
    return build_product(b, r, 1 + (uint32_t)random_below(r, 3));
}

// More columns of more inner words than stay in cache: part by part, while sums of f32
// have a place to wait, and at once where what is stored is bf16.
static nid build_deep_matmul(struct builder *b, struct random *r) {
    size_t k = 4200 + random_below(r, 5000), n = 17 + random_below(r, 90);
    nid x = operand(b, r, 2, (size_t[]){1, k});
    nid p = b_matmul(b, x, constant(b, r, 2, (size_t[]){k, n}), false, false);
    if (random_below(r, 2)) p = b_unary(b, OP_RELU, p);
    if (random_below(r, 2)) return p;
    p = b_cast(b, b_binary(b, OP_MUL, p, b_f32(b, 1.0f / 64)), ELEM_BF16);
    return b_matmul(b, p, constant(b, r, 2, (size_t[]){n, 20}), false, false);
}

// ---- sums that are rounded -----------------------------------------------------------

// All the digits that bf16 has.
static nid full(struct builder *b, struct random *r, uint32_t rank, const size_t *dim) {
    nid x = b_binary(b, OP_MUL, rig_input(b, "x", rank, dim), b_f32(b, 0.37f));
    nid y = b_binary(b, OP_MUL, rig_input(b, "y", rank, dim), b_f32(b, 0.0531f));
    (void)r;
    return b_cast(b, b_binary(b, OP_ADD, x, y), ELEM_BF16);
}

static nid full_constant(struct builder *b, struct random *r, uint32_t rank,
                         const size_t *dim) {
    struct type t = type_tensor(ELEM_BF16, false, rank, dim);
    uint16_t *v = NEW_N(b->arena, uint16_t, type_count(&t));
    for (size_t i = 0; i < type_count(&t); i++)
        v[i] = bf16_of((float)random_between(r, -1000, 1000) / 1000);
    return b_const(b, t, v);
}

static nid build_rounded(struct builder *b, struct random *r) {
    size_t in = channels(r), out = channels(r), side = 2 + random_below(r, 12);
    if (random_below(r, 3) == 0) {
        nid w = full_constant(b, r, 2, (size_t[]){40 * in, out});
        return b_matmul(b, full(b, r, 2, (size_t[]){side, 40 * in}), w, false, false);
    }
    struct conv_attrs c = {{1, 1}, {1, 1, 1, 1}, {1, 1}, 1};
    nid w = full_constant(b, r, 4, (size_t[]){out, in, 3, 3});
    return b_conv(b, full(b, r, 3, (size_t[]){in, side, side}), w, &c);
}

// ---- tests ---------------------------------------------------------------------------

static void check(const char *name, rig_build_fn fn, uint64_t seeds, double tolerance) {
    struct arena *a = arena_new();
    struct diags d;
    struct target t;
    size_t wrong = 0;
    diags_init(&d, a);
    assert_true(codegen_host_target(a, &t, &d));
    bool has = t.bf16;
    arena_free(a);
    if (!has) {
        print_message("this processor does not multiply bf16\n");
        skip();
    }
    for (uint64_t seed = 1; seed <= effort(seeds); seed++)
        wrong += !rig_check_seed(name, fn, seed, "native", NULL, tolerance);
    assert_int_equal(wrong, 0);
}

static void conv(void **state) {
    (void)state;
    check("conv", build_conv, 60, EXACT);
}

static void conv_dx(void **state) {
    (void)state;
    check("conv_dx", build_conv_dx, 60, EXACT);
}

static void conv_after_conv(void **state) {
    (void)state;
    check("conv after conv", build_two, 40, EXACT);
}

static void matmul(void **state) {
    (void)state;
    check("matmul", build_matmul, 60, EXACT);
}

static void stacked_matmul(void **state) {
    (void)state;
    check("stacked matmul", build_stack, 40, EXACT);
}

static void deep_matmul(void **state) {
    (void)state;
    check("deep matmul", build_deep_matmul, 12, EXACT);
}

static void rounded(void **state) {
    (void)state;
    check("rounded", build_rounded, 24, ROUNDED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv),
        cmocka_unit_test(conv_dx),
        cmocka_unit_test(conv_after_conv),
        cmocka_unit_test(matmul),
        cmocka_unit_test(stacked_matmul),
        cmocka_unit_test(deep_matmul),
        cmocka_unit_test(rounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
