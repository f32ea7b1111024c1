// Generated convolutions, their gradients and matrix products, beside the evaluator.
#include "tests/unit/codegen_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

// Sums of at most some thousand products in f32 against double, over the largest result.
#define TOLERANCE 2e-5

// ---- convolutions --------------------------------------------------------------------

struct sizes {
    size_t channels, outs, h, w, kh, kw;
    struct conv_attrs c;
    size_t oh, ow;
};

static bool random_sizes(struct random *r, struct sizes *s) {
    static const size_t CHANNELS[] = {1, 2, 3, 4, 8, 16, 17, 24, 32, 40, 48, 64};
    *s = (struct sizes){.h = 1 + random_below(r, 18), .w = 1 + random_below(r, 20)};
    size_t groups = random_below(r, 3) ? 1 : 1 + random_below(r, 8);
    s->channels = CHANNELS[random_below(r, COUNT(CHANNELS))];
    s->outs =
        random_below(r, 2) ? CHANNELS[random_below(r, COUNT(CHANNELS))] : s->channels;
    if (random_below(r, 8) == 0) groups = s->outs = s->channels; // depthwise
    if (s->channels % groups || s->outs % groups) return false;
    s->kh = 1 + random_below(r, 5);
    s->kw = random_below(r, 2) ? s->kh : 1 + random_below(r, 5);
    if (random_below(r, 12) == 0) { // wide
        s->w = 40 + random_below(r, 40);
        s->kw = 20 + random_below(r, 20);
    }
    for (int i = 0; i < 2; i++) {
        s->c.strides[i] = random_between(r, 1, 3);
        s->c.dilations[i] = random_below(r, 3) ? 1 : random_between(r, 1, 3);
    }
    if (random_below(r, 2)) s->c.strides[0] = s->c.strides[1] = 1;
    for (int i = 0; i < 4; i++) s->c.pads[i] = random_between(r, 0, 3);
    s->c.groups = (int64_t)groups;
    int64_t side[2] = {(int64_t)s->h, (int64_t)s->w},
            k[2] = {(int64_t)s->kh, (int64_t)s->kw};
    size_t *out[2] = {&s->oh, &s->ow};
    for (int i = 0; i < 2; i++) {
        int64_t reach = s->c.dilations[i] * (k[i] - 1) + 1;
        int64_t room = side[i] + s->c.pads[i] + s->c.pads[i + 2] - reach;
        if (room < 0) return false;
        *out[i] = (size_t)(room / s->c.strides[i]) + 1;
    }
    return true;
}

// Bias, a residual (plain, or sliced and with its channels padded) and an activation.
static nid epilogue(struct builder *b, struct random *r, nid y) {
    const struct type t = *type_at(b->f, y);
    if (random_below(r, 2))
        y = b_binary(b, OP_ADD, y, rig_constant_of(b, r, 3, (size_t[]){t.dim[0], 1, 1}));
    if (random_below(r, 3) == 0)
        y = b_binary(b, OP_ADD, y, rig_input(b, "residual", 3, t.dim));
    if (t.dim[0] >= 4 && random_below(r, 3) == 0) {
        size_t half = t.dim[0] / 2, before = half / 2;
        nid x = rig_input(b, "shortcut", 3, (size_t[]){half, 2 * t.dim[1], 2 * t.dim[2]});
        x = b_slice(b, x, (int64_t[]){0, 0, 0}, (int64_t[]){1, 2, 2},
                    (int64_t[]){(int64_t)half, (int64_t)t.dim[1], (int64_t)t.dim[2]}, 3);
        x = b_pad(b, x, (int64_t[]){(int64_t)before, 0, 0},
                  (int64_t[]){(int64_t)(t.dim[0] - half - before), 0, 0},
                  (int64_t[]){0, 0, 0}, 3, 0);
        y = b_binary(b, OP_ADD, y, x);
    }
    if (random_below(r, 2)) y = b_unary(b, OP_RELU, y);
    if (random_below(r, 4) == 0) y = b_binary(b, OP_MUL, y, b_f32(b, 0.5f));
    return y;
}

static nid operand(struct builder *b, struct random *r, const char *name, size_t c,
                   size_t h, size_t w) {
    nid x = rig_input(b, name, 3, (size_t[]){c, h, w});
    if (random_below(r, 2)) return x;
    return b_binary(b, OP_SUB, b_binary(b, OP_MUL, x, b_f32(b, 0.5f)),
                    rig_constant_of(b, r, 3, (size_t[]){c, 1, 1}));
}

static nid build_conv(struct builder *b, struct random *r) {
    struct sizes s;
    if (!random_sizes(r, &s)) return NID_NONE;
    nid x = operand(b, r, "x", s.channels, s.h, s.w);
    nid w = rig_constant_of(
        b, r, 4, (size_t[]){s.outs, s.channels / (size_t)s.c.groups, s.kh, s.kw});
    return epilogue(b, r, b_conv(b, x, w, &s.c));
}

static nid build_conv_dx(struct builder *b, struct random *r) {
    struct sizes s;
    if (!random_sizes(r, &s)) return NID_NONE;
    nid d = operand(b, r, "d", s.outs, s.oh, s.ow);
    nid w = rig_constant_of(
        b, r, 4, (size_t[]){s.outs, s.channels / (size_t)s.c.groups, s.kh, s.kw});
    return epilogue(b, r, b_conv_dx(b, d, w, &s.c, s.h, s.w));
}

// What Winograd's algorithm takes, and maps that are too small for it; also forms of the
// epilogue that read them. The rig picks the algorithm.
static bool winograd_sizes(struct random *r, struct sizes *s) {
    *s = (struct sizes){.channels = 1 + random_below(r, 70),
                        .outs = 1 + random_below(r, 70),
                        .h = 1 + random_below(r, 21),
                        .w = 1 + random_below(r, 21),
                        .kh = 3,
                        .kw = 3,
                        .c = {.strides = {1, 1}, .dilations = {1, 1}, .groups = 1}};
    for (int i = 0; i < 4; i++) s->c.pads[i] = random_between(r, 0, 2);
    size_t high = s->h + (size_t)(s->c.pads[0] + s->c.pads[2]);
    size_t wide = s->w + (size_t)(s->c.pads[1] + s->c.pads[3]);
    s->oh = high - 2;
    s->ow = wide - 2;
    return high > 2 && wide > 2;
}

static nid build_winograd(struct builder *b, struct random *r) {
    struct sizes s;
    if (!winograd_sizes(r, &s)) return NID_NONE;
    nid x = b_unary(b, OP_RELU, operand(b, r, "x", s.channels, s.h, s.w));
    nid w = rig_constant_of(b, r, 4, (size_t[]){s.outs, s.channels, 3, 3});
    return epilogue(b, r, b_conv(b, x, w, &s.c));
}

static nid build_winograd_dx(struct builder *b, struct random *r) {
    struct sizes s;
    if (!winograd_sizes(r, &s)) return NID_NONE;
    nid d = b_unary(b, OP_RELU, operand(b, r, "d", s.outs, s.oh, s.ow));
    nid w = rig_constant_of(b, r, 4, (size_t[]){s.outs, s.channels, 3, 3});
    return epilogue(b, r, b_conv_dx(b, d, w, &s.c, s.h, s.w));
}

static nid build_conv_dw(struct builder *b, struct random *r) {
    struct sizes s;
    if (!random_sizes(r, &s)) return NID_NONE;
    nid x = operand(b, r, "x", s.channels, s.h, s.w);
    nid d = rig_input(b, "d", 3, (size_t[]){s.outs, s.oh, s.ow});
    nid y = b_conv_dw(b, x, d, &s.c, s.kh, s.kw);
    return random_below(r, 2) ? y : b_binary(b, OP_MUL, y, b_f32(b, -2));
}

static nid build_sqnorm(struct builder *b, struct random *r) {
    struct sizes s;
    if (!random_sizes(r, &s)) return NID_NONE;
    nid x = operand(b, r, "x", s.channels, s.h, s.w);
    nid d = rig_input(b, "d", 3, (size_t[]){s.outs, s.oh, s.ow});
    const struct value attrs[] = {val_ints(s.c.strides, 2),   val_ints(s.c.pads, 4),
                                  val_ints(s.c.dilations, 2), val_int(s.c.groups),
                                  val_int((int64_t)s.kh),     val_int((int64_t)s.kw)};
    return build_node(b, OP_CONV_DW_SQNORM, (nid[]){x, d}, 2, attrs, NULL);
}

// A product of two matrices, or of a stack of them along up to `lead` axes.
static nid build_product(struct builder *b, struct random *r, uint32_t lead) {
    size_t m = random_below(r, 2) ? 1 : 1 + random_below(r, 20);
    size_t k = 1 + random_below(r, 70), n = 1 + random_below(r, 100);
    bool tx = random_below(r, 2), ty = random_below(r, 2);
    uint32_t rank = lead + 2;
    size_t dx[TYPE_MAX_RANK], dy[TYPE_MAX_RANK], bias[TYPE_MAX_RANK];
    for (uint32_t i = 0; i < lead; i++) dx[i] = dy[i] = 1 + random_below(r, 4);
    for (uint32_t i = 0; i < rank; i++) bias[i] = i < lead ? dx[i] : 1;
    dx[lead] = tx ? k : m, dx[lead + 1] = tx ? m : k;
    dy[lead] = ty ? n : k, dy[lead + 1] = ty ? k : n, bias[lead + 1] = n;
    bool given = random_below(r, 6) == 0, computed = random_below(r, 3) == 0;
    nid x = given ? rig_constant_of(b, r, rank, dx) : rig_input(b, "x", rank, dx);
    nid y = computed ? rig_input(b, "y", rank, dy) : rig_constant_of(b, r, rank, dy);
    if (random_below(r, 3) == 0) x = b_binary(b, OP_ADD, x, rig_input(b, "z", rank, dx));
    nid p = b_matmul(b, x, y, tx, ty);
    if (random_below(r, 2)) p = b_binary(b, OP_ADD, p, rig_constant_of(b, r, rank, bias));
    return random_below(r, 2) ? p : b_unary(b, OP_RELU, p);
}

static nid build_matmul(struct builder *b, struct random *r) {
    return build_product(b, r, 0);
}

static nid build_stack(struct builder *b, struct random *r) {
    return build_product(b, r, 1 + (uint32_t)random_below(r, 4));
}

// More columns of more inner places than stay in cache: part by part.
static nid build_deep_matmul(struct builder *b, struct random *r) {
    size_t k = 2100 + random_below(r, 2500), n = 1 + random_below(r, 100);
    nid x = rig_input(b, "x", 2, (size_t[]){1, k});
    nid p = b_matmul(b, x, rig_constant_of(b, r, 2, (size_t[]){k, n}), false, false);
    if (random_below(r, 2))
        p = b_binary(b, OP_ADD, p, rig_constant_of(b, r, 2, (size_t[]){1, n}));
    return random_below(r, 2) ? p : b_unary(b, OP_RELU, p);
}

static void conv(void **state) {
    (void)state;
    assert_int_equal(rig_check_all("conv", build_conv, 60, TOLERANCE), 0);
}

static void conv_dx(void **state) {
    (void)state;
    assert_int_equal(rig_check_all("conv_dx", build_conv_dx, 60, TOLERANCE), 0);
}

static void winograd(void **state) {
    (void)state;
    assert_int_equal(rig_check_all("winograd", build_winograd, 60, TOLERANCE), 0);
}

static void winograd_dx(void **state) {
    (void)state;
    assert_int_equal(rig_check_all("winograd dx", build_winograd_dx, 40, TOLERANCE), 0);
}

static void conv_dw(void **state) {
    (void)state;
    assert_int_equal(rig_check_all("conv_dw", build_conv_dw, 40, TOLERANCE), 0);
}

static void conv_dw_sqnorm(void **state) {
    (void)state;
    assert_int_equal(rig_check_all("conv_dw_sqnorm", build_sqnorm, 40, TOLERANCE), 0);
}

static void matmul(void **state) {
    (void)state;
    assert_int_equal(rig_check_all("matmul", build_matmul, 50, TOLERANCE), 0);
}

static void deep_matmul(void **state) {
    (void)state;
    assert_int_equal(rig_check_all("deep matmul", build_deep_matmul, 8, TOLERANCE), 0);
}

static void stacked_matmul(void **state) {
    (void)state;
    assert_int_equal(rig_check_all("stacked matmul", build_stack, 60, TOLERANCE), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv),        cmocka_unit_test(conv_dx),
        cmocka_unit_test(winograd),    cmocka_unit_test(winograd_dx),
        cmocka_unit_test(conv_dw),     cmocka_unit_test(conv_dw_sqnorm),
        cmocka_unit_test(matmul),      cmocka_unit_test(stacked_matmul),
        cmocka_unit_test(deep_matmul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
