// Differentiation against finite differences, op by op: for y = sum(c * op(x)) the slope
// of y along a random direction must be the gradient's component along it. The evaluator
// sums in double but stores floats, so a step of 1/256 leaves errors of about 5e-4; the
// tolerance is six times that.
#include "ir/build.h"
#include "ir/eval.h"
#include "passes/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static float number(uint64_t *s, double low, double high) {
    uint64_t z = (*s += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (float)(low + (high - low) * (double)((z ^ z >> 31) >> 11) * 0x1p-53);
}

static nid constant(struct builder *b, uint64_t seed, size_t rank, const size_t *dim) {
    struct type t = type_tensor(ELEM_F32, false, (uint32_t)rank, dim);
    size_t n = type_count(&t);
    float *v = NEW_N(b->arena, float, n);
    for (size_t i = 0; i < n; i++) v[i] = number(&seed, 0.5, 1.5);
    return b_const(b, t, v);
}

// ---- one body an op; x is [4,6,6] with values in 0.5 .. 1.5 --------------------------
#define UNARY(name, OP)                                                                  \
    static nid name(struct builder *b, nid x) {                                          \
        return b_unary(b, OP, x);                                                        \
    }
UNARY(neg, OP_NEG)
UNARY(e_to, OP_EXP)
UNARY(logarithm, OP_LOG)
UNARY(root, OP_SQRT)
UNARY(tangent, OP_TANH)
UNARY(sigmoid, OP_SIGMOID)
UNARY(error, OP_ERF)
static nid relu(struct builder *b, nid x) {
    return b_unary(b, OP_RELU, b_binary(b, OP_SUB, x, b_f32(b, 1)));
}
#define BINARY(name, OP)                                                                 \
    static nid name(struct builder *b, nid x) {                                          \
        static const size_t one[3] = {4, 1, 1};                                          \
        nid left = b_binary(b, OP, x, constant(b, 11, 3, one));                          \
        nid right = b_binary(b, OP, constant(b, 12, 3, one), b_binary(b, OP_MUL, x, x)); \
        return b_binary(b, OP_ADD, left, right);                                         \
    }
BINARY(add, OP_ADD)
BINARY(subtract, OP_SUB)
BINARY(multiply, OP_MUL)
BINARY(divide, OP_DIV)
BINARY(larger, OP_MAX)
BINARY(smaller, OP_MIN)
static nid broadcast_scalar(struct builder *b, nid x) {
    return b_binary(b, OP_MUL, x, b_sum_all(b, x)); // a rank-0 operand that depends on x
}
static nid reshaped(struct builder *b, nid x) {
    return b_reshape(b, x, (size_t[]){6, 24}, 2);
}
static nid transposed(struct builder *b, nid x) {
    return b_transpose(b, x, (int64_t[]){2, 0, 1}, 3);
}
static nid spread(struct builder *b, nid x) {
    nid s = b_sum(b, x, (int64_t[]){1, 2}, 2, true);
    return b_broadcast(b, s, (size_t[]){4, 3, 2}, 3);
}
static nid sliced(struct builder *b, nid x) {
    return b_slice(b, x, (int64_t[]){3, 1, 5}, (int64_t[]){-1, 2, -2},
                   (int64_t[]){3, 2, 3}, 3);
}
static nid padded(struct builder *b, nid x) {
    return b_pad(b, x, (int64_t[]){1, -1, 0}, (int64_t[]){0, 2, -2}, (int64_t[]){0, 1, 2},
                 3, 0.5);
}
static nid joined(struct builder *b, nid x) {
    struct value axis = val_int(1);
    return build_node(b, OP_CONCAT, (nid[]){x, b_binary(b, OP_MUL, x, x), x}, 3, &axis,
                      NULL);
}
static nid gathered(struct builder *b, nid x) {
    return b_gather(b, x, (int64_t[]){5, 0, 5, 2}, 4, 2);
}
static nid gathered_unevenly(struct builder *b, nid x) { // five times, twice, once, never
    nid v = b_reshape(b, x, (size_t[]){2, 3, 4, 1, 2, 3}, 6);
    return b_gather(b, v, (int64_t[]){3, 0, 3, 2, 3, 2, 3, 3}, 8, 2);
}
static nid permuted(struct builder *b, nid x) {
    return b_gather(b, x, (int64_t[]){3, 0, 2, 1}, 4, 0);
}
static nid whole(struct builder *b, size_t n, const int32_t *v) { // i32[], or i32[n]
    return b_const(b, type_tensor(ELEM_I32, false, n > 1, &n), v);
}
static nid taken(struct builder *b, nid x) { // the second is held to the table's end
    nid at = b_take(b, x, whole(b, 1, (int32_t[]){1}));
    return b_binary(b, OP_MUL, at, b_take(b, x, whole(b, 1, (int32_t[]){9})));
}
static nid scalar_taken(struct builder *b, nid x) {
    nid list = b_reshape(b, x, (size_t[]){4 * 6 * 6}, 1);
    return b_take(b, list, whole(b, 1, (int32_t[]){12}));
}
// Some entries are taken twice, some never; -3 and 9 are held to the ends.
static nid chosen(struct builder *b, nid x) {
    const int32_t index[6] = {3, 0, 3, -3, 9, 1};
    size_t line[2] = {1, 6}, column[2] = {6, 1};
    nid across = b_const(b, type_tensor(ELEM_I32, false, 2, line), index);
    nid down = b_const(b, type_tensor(ELEM_I32, false, 2, column), index);
    nid y = build_node(b, OP_CHOOSE, (nid[]){x, across}, 2, NULL, NULL);
    return b_binary(b, OP_MUL, y,
                    build_node(b, OP_CHOOSE, (nid[]){x, down}, 2, NULL, NULL));
}
static nid window(struct builder *b, nid x) { // held inside: its top is 3, not 5
    struct value size[2] = {val_int(3), val_int(5)};
    nid box = whole(b, 4, (int32_t[]){5, 1, 3, 5});
    return build_node(b, OP_WINDOW, (nid[]){x, box}, 2, size, NULL);
}
static nid summed(struct builder *b, nid x) {
    return b_sum(b, b_binary(b, OP_MUL, x, x), (int64_t[]){0, 2}, 2, false);
}
static nid largest(struct builder *b, nid x) {
    return b_amax(b, x, (int64_t[]){1}, 1, true);
}
static nid log_softmax(struct builder *b, nid x) {
    nid top = b_amax(b, x, (int64_t[]){0}, 1, true);
    nid z = b_binary(b, OP_SUB, x, top);
    nid sum = b_sum(b, b_unary(b, OP_EXP, z), (int64_t[]){0}, 1, true);
    return b_binary(b, OP_SUB, z, b_unary(b, OP_LOG, sum));
}
static nid product(struct builder *b, nid x, bool tx, bool ty) {
    nid p = b_reshape(b, x, tx ? (size_t[]){6, 24} : (size_t[]){24, 6}, 2);
    nid q = constant(b, 13, 2, ty ? (size_t[]){5, 6} : (size_t[]){6, 5});
    nid y = b_matmul(b, p, q, tx, ty); // [24, 5]
    nid r = b_reshape(b, x, ty ? (size_t[]){6, 24} : (size_t[]){24, 6}, 2);
    return b_matmul(b, y, r, true, ty); // x on both sides: [5, 6]
}
static nid product_nn(struct builder *b, nid x) {
    return product(b, x, false, false);
}
static nid product_tn(struct builder *b, nid x) {
    return product(b, x, true, false);
}
static nid product_nt(struct builder *b, nid x) {
    nid p = b_reshape(b, x, (size_t[]){24, 6}, 2);
    return b_matmul(b, p, p, false, true);
}
static nid product_tt(struct builder *b, nid x) {
    nid p = b_reshape(b, x, (size_t[]){12, 12}, 2);
    return b_matmul(b, p, p, true, true);
}
static nid product_stacked(struct builder *b, nid x, bool tx, bool ty) { // [2,3,..] each
    nid p = b_reshape(b, x, tx ? (size_t[]){2, 3, 6, 4} : (size_t[]){2, 3, 4, 6}, 4);
    nid q = b_reshape(b, x, ty ? (size_t[]){2, 3, 4, 6} : (size_t[]){2, 3, 6, 4}, 4);
    return b_matmul(b, p, q, tx, ty);
}
static nid stacked_nn(struct builder *b, nid x) {
    return product_stacked(b, x, false, false);
}
static nid stacked_tn(struct builder *b, nid x) {
    return product_stacked(b, x, true, false);
}
static nid stacked_nt(struct builder *b, nid x) {
    return product_stacked(b, x, false, true);
}
static nid stacked_tt(struct builder *b, nid x) {
    return product_stacked(b, x, true, true);
}
static nid weight_of_a_stack(struct builder *b, nid x) { // one matrix, used by all
    nid p = b_reshape(b, x, (size_t[]){6, 4, 6}, 3);
    nid q = b_slice(b, x, (int64_t[]){1, 0, 0}, (int64_t[]){1, 1, 1},
                    (int64_t[]){1, 6, 3}, 3);
    return b_matmul(b, p, b_broadcast(b, q, (size_t[]){6, 6, 3}, 3), false, false);
}
static const struct conv_attrs odd = {{2, 1}, {1, 0, 2, 1}, {1, 2}, 2};
static nid conv(struct builder *b, nid x) {
    return b_conv(b, x, constant(b, 14, 4, (size_t[]){6, 2, 3, 2}), &odd);
}
static nid conv_weight(struct builder *b,
                       nid x) { // x as the weight [6,2,3,4], used twice
    struct conv_attrs a = {{1, 2}, {1, 1, 1, 1}, {1, 1}, 1};
    nid w = b_reshape(b, x, (size_t[]){6, 2, 3, 4}, 4);
    nid y = b_conv(b, constant(b, 15, 3, (size_t[]){2, 5, 7}), w, &a);
    nid v = b_reshape(b, x, (size_t[]){4, 6, 3, 2}, 4);
    return b_conv(b, y, v, &a);
}
static nid conv_back(struct builder *b, nid x) { // x as the output's gradient
    struct conv_attrs a = {{2, 1}, {1, 0, 1, 1}, {1, 1}, 1};
    return b_conv_dx(b, x, constant(b, 16, 4, (size_t[]){4, 3, 2, 2}), &a, 10, 6);
}
static nid conv_dw(struct builder *b, nid x) {
    struct conv_attrs a = {{1, 1}, {1, 1, 1, 1}, {1, 1}, 1};
    return b_conv_dw(b, x, b_binary(b, OP_MUL, x, x), &a, 3, 3);
}
static nid conv_dw_sqnorm(struct builder *b, nid x) {
    static const int64_t strides[2] = {2, 1}, pads[4] = {1, 0, 1, 1}, none[2] = {1, 1};
    struct value v[6] = {val_ints(strides, 2), val_ints(pads, 4), val_ints(none, 2),
                         val_int(2),           val_int(3),        val_int(2)};
    nid d = b_slice(b, x, (int64_t[]){0, 0, 0}, (int64_t[]){1, 2, 1},
                    (int64_t[]){4, 3, 6}, 3);
    nid in[2] = {x, b_binary(b, OP_MUL, d, b_f32(b, 0.25f))};
    return b_binary(b, OP_MUL, build_node(b, OP_CONV_DW_SQNORM, in, 2, v, NULL),
                    b_f32(b, 0.01f));
}
static nid pool(struct builder *b, enum op op, const nid *in, size_t nin) {
    struct value v[4] = {val_ints((const int64_t[]){3, 2}, 2),
                         val_ints((const int64_t[]){2, 2}, 2),
                         val_ints((const int64_t[]){1, 0, 1, 0}, 4), val_bool(false)};
    for (int i = 0; i < 3; i++) v[i].is = arena_dup(b->arena, v[i].is, v[i].n, 8);
    if (op == OP_AVGPOOL_DX) v[3] = val_bool(true);
    struct value with_size[6] = {v[0], v[1], v[2], v[3], val_int(6), val_int(6)};
    return build_node(b, op, in, nin, with_size, NULL);
}
static nid maxpool(struct builder *b, nid x) {
    return pool(b, OP_MAXPOOL, &x, 1);
}
static nid avgpool(struct builder *b, nid x) {
    return pool(b, OP_AVGPOOL, &x, 1);
}
static nid avgpool_dx(struct builder *b, nid x) {
    nid y = pool(b, OP_AVGPOOL, &x, 1);
    y = b_binary(b, OP_MUL, y, y);
    return pool(b, OP_AVGPOOL_DX, &y, 1);
}
static nid maxpool_dx(struct builder *b, nid x) {
    nid y = pool(b, OP_MAXPOOL, &x, 1);
    return pool(b, OP_MAXPOOL_DX, (nid[]){x, y, b_binary(b, OP_MUL, y, y)}, 3);
}
static nid maxpool_jvp(struct builder *b, nid x) {
    nid y = pool(b, OP_MAXPOOL, &x, 1);
    return pool(b, OP_MAXPOOL_JVP, (nid[]){x, y, b_binary(b, OP_MUL, x, x)}, 3);
}

// A mark that stays until the gradients are taken.
static nid normed(struct builder *b, nid x) {
    static const float mean[4] = {0.5f, 1, -1, 2}, var[4] = {1, 4, 0.25f, 2};
    struct type t = type_tensor(ELEM_F32, false, 1, (size_t[]){4});
    const struct batch_norm n = {1e-5, 0.1, "mean", "var"};
    return b_batch_norm(b, x, b_const(b, t, mean), b_const(b, t, var), NID_NONE, &n);
}

// ---- bodies whose gradient is 0 ------------------------------------------------------
static nid stepped(struct builder *b, nid x) {
    return b_unary(b, OP_STEP, b_binary(b, OP_SUB, x, b_f32(b, 1)));
}
static nid equal(struct builder *b, nid x) {
    return b_binary(b, OP_EQ, x, b_binary(b, OP_MAX, x, b_f32(b, 1)));
}
static nid cut(struct builder *b, nid x) {
    return b_cast(b, b_cast(b, x, ELEM_I32), ELEM_F32);
}
static nid place_of_largest(struct builder *b, nid x) {
    return b_cast(b, b_unary(b, OP_ARGMAX, x), ELEM_F32);
}
static nid stopped(struct builder *b, nid x) {
    return b_unary(b, OP_STOP, x);
}

static const struct {
    const char *name;
    nid (*body)(struct builder *, nid);
} cases[] = {
    {"neg", neg},
    {"exp", e_to},
    {"log", logarithm},
    {"sqrt", root},
    {"tanh", tangent},
    {"sigmoid", sigmoid},
    {"erf", error},
    {"relu", relu},
    {"add", add},
    {"sub", subtract},
    {"mul", multiply},
    {"div", divide},
    {"max", larger},
    {"min", smaller},
    {"broadcast scalar", broadcast_scalar},
    {"reshape", reshaped},
    {"transpose", transposed},
    {"broadcast", spread},
    {"slice", sliced},
    {"pad", padded},
    {"concat", joined},
    {"gather", gathered},
    {"gather unevenly", gathered_unevenly},
    {"gather all once", permuted},
    {"take", taken},
    {"take a number", scalar_taken},
    {"choose", chosen},
    {"window", window},
    {"sum", summed},
    {"amax", largest},
    {"log softmax", log_softmax},
    {"matmul", product_nn},
    {"matmul tx", product_tn},
    {"matmul ty", product_nt},
    {"matmul tx ty", product_tt},
    {"matmul stacked", stacked_nn},
    {"matmul stacked tx", stacked_tn},
    {"matmul stacked ty", stacked_nt},
    {"matmul stacked tx ty", stacked_tt},
    {"matmul, one weight for a stack", weight_of_a_stack},
    {"conv", conv},
    {"conv weight", conv_weight},
    {"conv_dx", conv_back},
    {"conv_dw", conv_dw},
    {"conv_dw_sqnorm", conv_dw_sqnorm},
    {"maxpool", maxpool},
    {"maxpool_dx", maxpool_dx},
    {"maxpool_jvp", maxpool_jvp},
    {"avgpool", avgpool},
    {"avgpool_dx", avgpool_dx},
    {"batch norm", normed},
};

// The ops without one, and why.
static const struct {
    enum op op;
    nid (*body)(struct builder *, nid); // NULL: numbers cannot reach it, or it is no more
    const char *why;
} without[] = {
    {OP_STEP, stepped, "flat almost everywhere"},
    {OP_EQ, equal, "flat almost everywhere"},
    {OP_CAST, cut, "to or from whole numbers"},
    {OP_ARGMAX, place_of_largest, "a whole number"},
    {OP_STOP, stopped, "made to have none"},
    {OP_INPUT, NULL, "a source"},
    {OP_CONST, NULL, "a source"},
    {OP_PARAM, NULL, "a source"},
    {OP_SETTING, NULL, "a source"},
    {OP_NORMAL, NULL, "reads a row's key"},
    {OP_RANDOM_BOX, NULL, "reads a row's key"},
    {OP_RESIZE, NULL, "from bytes to bytes"},
    {OP_PACK, NULL, "of what all rows of a batch share: see test_train_step.c"},
    {OP_BATCH_SUM, NULL, "of a batch: see test_train_step.c"},
    {OP_GRAD, NULL, "expanded before what reads it is differentiated"},
};

#define COUNT_X (4 * 6 * 6)

static nid objective(struct builder *b, nid x, nid (*body)(struct builder *, nid)) {
    nid y = body(b, x);
    const struct type t = *type_at(b->f, y);
    return b_sum_all(b, b_binary(b, OP_MUL, y, constant(b, 17, t.rank, t.dim)));
}

static nid input(struct builder *b, bool rows) {
    return b_input(b, "x", type_tensor(ELEM_F32, rows, 3, (size_t[]){4, 6, 6}));
}

static double value_at(struct arena *a, nid (*body)(struct builder *, nid),
                       const float *x) {
    struct builder b;
    float y;
    builder_init(&b, a, "value");
    build_output(&b, "y", objective(&b, input(&b, true), body));
    const void *args[1] = {x};
    void *outs[1] = {&y};
    assert_true(eval_func(builder_finish(&b), 1, args, outs, NULL));
    return y;
}

static struct func *differentiated(struct arena *a, struct builder *b, nid y, nid x) {
    nid g = build_node(b, OP_GRAD, (nid[]){y, x}, 2, NULL, NULL);
    build_output(b, "g", g);
    struct module m = {.arena = a};
    struct module_func f = {.f = builder_finish(b)};
    struct diags d;
    diags_init(&d, a);
    if (!pass_diff(&m, &f, &d)) fail_msg("%s", d.list.at[0].message);
    return f.f;
}

static void slope(struct arena *a, const char *name, nid (*body)(struct builder *, nid)) {
    const double step = 0x1p-8;
    float x[COUNT_X], dir[COUNT_X], up[COUNT_X], down[COUNT_X], g[COUNT_X];
    uint64_t seed = 5;
    struct builder b;
    double along = 0;
    for (size_t i = 0; i < COUNT_X; i++) x[i] = number(&seed, 0.5, 1.5);
    // A few elements move, so that none of them crosses a kink of relu, max or amax.
    for (size_t i = 0; i < COUNT_X; i++) dir[i] = i % 12 ? 0 : number(&seed, -1, 1);
    builder_init(&b, a, "gradient");
    nid in = input(&b, true);
    struct func *f = differentiated(a, &b, objective(&b, in, body), in);
    const void *args[1] = {x};
    void *outs[1] = {g};
    assert_true(eval_func(f, 1, args, outs, NULL));
    for (size_t i = 0; i < COUNT_X; i++) {
        up[i] = (float)(x[i] + step * dir[i]);
        down[i] = (float)(x[i] - step * dir[i]);
        along += (double)g[i] * dir[i];
    }
    double measured = (value_at(a, body, up) - value_at(a, body, down)) / (2 * step);
    double scale = fmax(1, fabs(measured));
    if (fabs(measured - along) > 3e-3 * scale)
        fail_msg("%s: slope %g, gradient %g", name, measured, along);
}

static void every_rule(void **state) {
    for (size_t i = 0; i < COUNT(cases); i++) slope(*state, cases[i].name, cases[i].body);
}

// Whether the objective of this body has an op on the way from x.
static bool on_the_way(struct arena *a, nid (*body)(struct builder *, nid), enum op op) {
    struct builder b;
    builder_init(&b, a, "way");
    nid x = input(&b, true), y = objective(&b, x, body);
    bool *from_x = NEW_N(a, bool, (size_t)y + 1), found = false;
    from_x[x] = true;
    for (nid v = 0; v <= y; v++) {
        const struct node *n = node_at(b.f, v);
        for (uint32_t i = 0; i < n->nin; i++)
            from_x[v] |= n->in[i] != NID_NONE && from_x[n->in[i]];
        found |= from_x[v] && n->op == op;
    }
    return found;
}

static bool has_case(struct arena *a, enum op op) {
    bool found = false;
    for (size_t i = 0; i < COUNT(cases); i++)
        found = found || on_the_way(a, cases[i].body, op);
    return found;
}

static void every_op_has_a_gradient_or_a_reason(void **state) {
    for (enum op op = 0; op < OP_COUNT; op++) {
        if (op_info(op)->family != FAMILY_TENSOR) continue;
        size_t reasons = 0;
        for (size_t i = 0; i < COUNT(without); i++) reasons += without[i].op == op;
        bool differentiated_above = op != OP_INPUT && has_case(*state, op);
        if (!differentiated_above && !reasons)
            fail_msg("`%s` has neither a case nor a reason", op_info(op)->name);
        if (differentiated_above && reasons)
            fail_msg("`%s` has a case and a reason to have none", op_info(op)->name);
    }
}

static void flat_ops_have_the_gradient_zero(void **state) {
    float x[COUNT_X], g[COUNT_X];
    uint64_t seed = 6;
    for (size_t i = 0; i < COUNT_X; i++) x[i] = number(&seed, 0.5, 1.5);
    for (size_t i = 0; i < COUNT(without); i++) {
        if (!without[i].body) continue;
        assert_true(on_the_way(*state, without[i].body, without[i].op));
        struct builder b;
        builder_init(&b, *state, "flat");
        nid in = input(&b, true);
        nid y = objective(&b, in, without[i].body);
        struct func *f = differentiated(*state, &b, y, in);
        const void *args[1] = {x};
        void *outs[1] = {g};
        memset(g, 1, sizeof g);
        assert_true(eval_func(f, 1, args, outs, NULL));
        for (size_t k = 0; k < COUNT_X; k++)
            if (g[k] != 0)
                fail_msg("`%s` passes a gradient", op_info(without[i].op)->name);
    }
}

// A table of positions that is looked up thousands of times, as Swin's is: the gradient
// takes few ops, and little more work than the table's entries.
static void large_gathers_stay_small(void **state) {
    enum { ENTRIES = 4096, PLACES = 225 };
    struct arena *a = *state;
    struct builder b;
    int64_t index[ENTRIES];
    float g[PLACES], x[PLACES] = {0}, times[PLACES] = {0};
    for (int64_t i = 0; i < 64; i++)
        for (int64_t j = 0; j < 64; j++)
            index[i * 64 + j] = (i / 8 - j / 8 + 7) * 15 + i % 8 - j % 8 + 7;
    for (size_t i = 0; i < ENTRIES; i++) times[index[i]]++;
    builder_init(&b, a, "positions");
    nid in = b_input(&b, "x", type_tensor(ELEM_F32, true, 1, (size_t[]){PLACES}));
    nid y = b_sum_all(&b, b_gather(&b, in, index, ENTRIES, 0));
    struct func *f = differentiated(a, &b, y, in);
    size_t work = 0;
    for (nid v = 0; v < f->nodes.n; v++) work += type_count(type_at(f, v));
    const void *args[1] = {x};
    void *outs[1] = {g};
    assert_true(eval_func(f, 1, args, outs, NULL));
    assert_memory_equal(g, times, sizeof g);
    assert_true(f->nodes.n < 40 && work < 8 * ENTRIES);
}

// ---- rows ----------------------------------------------------------------------------
// With respect to a parameter that all rows share, the gradient is one a row.
static void parameter_gradients_are_rows(void **state) {
    struct arena *a = *state;
    struct builder b;
    float x[2 * 3] = {1, 2, 3, 4, 5, 6}, w[3] = {1, 1, 2}, g[2 * 3];
    builder_init(&b, a, "rows");
    nid in = b_input(&b, "x", type_tensor(ELEM_F32, true, 1, (size_t[]){3}));
    nid p = b_param(&b, "w", type_tensor(ELEM_F32, false, 1, (size_t[]){3}), w);
    nid wx = b_sum_all(&b, b_binary(&b, OP_MUL, in, p));
    struct func *f = differentiated(a, &b, b_binary(&b, OP_MUL, wx, wx), p); // 2 (w.x) x
    const void *args[1] = {x};
    void *outs[1] = {g};
    assert_true(eval_func(f, 2, args, outs, NULL));
    for (size_t i = 0; i < 3; i++) {
        assert_true(g[i] == 2 * 9 * x[i]);
        assert_true(g[3 + i] == 2 * 21 * x[3 + i]);
    }
}

// d/dx (d/dx sum x^3) = 6 x: what comes out can be differentiated again.
static void second_order(void **state) {
    struct arena *a = *state;
    struct builder b;
    float x[COUNT_X], g[COUNT_X];
    uint64_t seed = 9;
    for (size_t i = 0; i < COUNT_X; i++) x[i] = number(&seed, -2, 2);
    builder_init(&b, a, "second");
    nid in = input(&b, true);
    nid cube = b_binary(&b, OP_MUL, b_binary(&b, OP_MUL, in, in), in);
    nid first = build_node(&b, OP_GRAD, (nid[]){b_sum_all(&b, cube), in}, 2, NULL, NULL);
    struct func *f = differentiated(a, &b, b_sum_all(&b, first), in);
    const void *args[1] = {x};
    void *outs[1] = {g};
    assert_true(eval_func(f, 1, args, outs, NULL));
    for (size_t i = 0; i < COUNT_X; i++) assert_true(fabsf(g[i] - 6 * x[i]) < 1e-4f);
}

// d/dx (x * stop(x)) = stop(x), and no stop is left.
static void stop_is_a_constant(void **state) {
    struct arena *a = *state;
    struct builder b;
    float x[COUNT_X], g[COUNT_X];
    uint64_t seed = 3;
    for (size_t i = 0; i < COUNT_X; i++) x[i] = number(&seed, -2, 2);
    builder_init(&b, a, "stop");
    nid in = input(&b, true);
    nid y = b_sum_all(&b, b_binary(&b, OP_MUL, in, b_unary(&b, OP_STOP, in)));
    struct func *f = differentiated(a, &b, y, in);
    const void *args[1] = {x};
    void *outs[1] = {g};
    assert_true(eval_func(f, 1, args, outs, NULL));
    assert_memory_equal(g, x, sizeof x);
}

// Of max(|x|, 1e-12), by which vectors are divided to be normalised.
static void norms_of_zeros_have_the_gradient_zero(void **state) {
    struct arena *a = *state;
    struct builder b;
    float x[COUNT_X] = {0}, g[COUNT_X];
    for (size_t i = 36; i < COUNT_X; i++) x[i] = 1;
    builder_init(&b, a, "norms");
    nid in = input(&b, true);
    nid square = b_sum(&b, b_binary(&b, OP_MUL, in, in), (int64_t[]){1, 2}, 2, true);
    nid norm = b_binary(&b, OP_MAX, b_unary(&b, OP_SQRT, square), b_f32(&b, 1e-12f));
    nid y = b_sum_all(&b, b_unary(&b, OP_LOG, norm)); // x / |x|^2
    struct func *f = differentiated(a, &b, y, in);
    const void *args[1] = {x};
    void *outs[1] = {g};
    assert_true(eval_func(f, 1, args, outs, NULL));
    for (size_t i = 0; i < COUNT_X; i++)
        assert_true(i < 36 ? g[i] == 0 : fabsf(g[i] - 1.0f / 36) < 1e-7f);
}

static void unreached_is_zero(void **state) {
    struct arena *a = *state;
    struct builder b;
    float x[COUNT_X] = {0}, g[COUNT_X];
    builder_init(&b, a, "unreached");
    nid in = input(&b, true);
    nid other = b_input(&b, "other", type_scalar(ELEM_F32, true));
    struct func *f = differentiated(a, &b, b_unary(&b, OP_EXP, other), in);
    const void *args[2] = {x, x};
    void *outs[1] = {g};
    memset(g, 1, sizeof g);
    assert_true(eval_func(f, 1, args, outs, NULL));
    for (size_t i = 0; i < COUNT_X; i++) assert_true(g[i] == 0);
}

static int setup(void **state) {
    return (*state = arena_new()) ? 0 : -1;
}
static int teardown(void **state) {
    arena_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule),
        cmocka_unit_test(every_op_has_a_gradient_or_a_reason),
        cmocka_unit_test(flat_ops_have_the_gradient_zero),
        cmocka_unit_test(large_gathers_stay_small),
        cmocka_unit_test(parameter_gradients_are_rows),
        cmocka_unit_test(second_order),
        cmocka_unit_test(stop_is_a_constant),
        cmocka_unit_test(norms_of_zeros_have_the_gradient_zero),
        cmocka_unit_test(unreached_is_zero),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
