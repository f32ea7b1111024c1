// What the tensor ops mean: small cases with their answers, and laws that hold for any
// shapes (the three faces of a convolution, pools against their gradients, folding).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "ir/bf16.h"
#include "ir/eval.h"
#include "ir/text.h"
#include "tests/unit/ir_random.h"

static bool seen[OP_COUNT]; // ops that some case has computed

static struct func *parse(struct arena *arena, const char *text) {
    struct source *src = NEW(arena, struct source);
    struct diags d;
    *src = (struct source){"case", text, strlen(text)};
    diags_init(&d, arena);
    struct func *f = ir_parse(arena, src, &d);
    diags_print(&d, stderr, false);
    assert_non_null(f);
    return f;
}

// ---- small cases ---------------------------------------------------------------------
struct answer {
    const char *body; // constants and ops; its last value is %9
    const char *type;
    double want[32];
};

static double element(const struct type *t, const void *data, size_t i) {
    switch (t->elem) {
    case ELEM_F32: return (double)((const float *)data)[i];
    case ELEM_I32: return ((const int32_t *)data)[i];
    case ELEM_I64: return (double)((const int64_t *)data)[i];
    case ELEM_U8: return ((const uint8_t *)data)[i];
    case ELEM_BF16: return (double)bf16_value(((const uint16_t *)data)[i]);
    default: fail_msg("element type"); return 0;
    }
}

static bool close_to(double got, double want, double tolerance) {
    if (isnan(want)) return isnan(got);
    return got == want || fabs(got - want) <= tolerance * fmax(1, fabs(want));
}

static void check_answer(const struct answer *a) {
    struct arena *arena = arena_new();
    const struct func *f = parse(
        arena, arena_printf(arena, "func @f() {\n%s\nreturn \"y\" %%9\n}", a->body));
    const struct type *t = type_at(f, f->outs.at[0]);
    void *out = arena_alloc(arena, type_bytes(t) + 1, 1), *outs[] = {out};
    assert_string_equal(type_str(arena, t), a->type);
    assert_true(eval_func(f, 0, NULL, outs, NULL));
    for (size_t i = 0; i < type_count(t); i++) {
        double got = element(t, out, i);
        if (!close_to(got, a->want[i], 1e-6))
            fail_msg("%s\nelement %zu is %.9g, not %.9g", a->body, i, got, a->want[i]);
    }
    for (size_t i = 0; i < f->nodes.n; i++) seen[f->nodes.at[i].op] = true;
    arena_free(arena);
}

static void check_answers(const struct answer *a, size_t n) {
    for (size_t i = 0; i < n; i++) check_answer(&a[i]);
}

static void elementwise_ops(void **state) {
    (void)state;
    static const struct answer cases[] = {
        {"%9 = setting(value=0.1)", "f32[]", {0.1f}},
        {"%0 = const f32[3] [1,-2,0] %9 = neg(%0)", "f32[3]", {-1, 2, 0}},
        {"%0 = const f32[2] [0,1] %9 = exp(%0)", "f32[2]", {1, 2.718281828}},
        {"%0 = const f32[3] [1,0,-1] %9 = log(%0)", "f32[3]", {0, -INFINITY, NAN}},
        {"%0 = const f32[2] [9,2] %9 = sqrt(%0)", "f32[2]", {3, 1.414213562}},
        {"%0 = const f32[3] [2,-2,nan] %9 = relu(%0)", "f32[3]", {2, 0, 0}},
        {"%0 = const f32[3] [2,-2,0] %9 = step(%0)", "f32[3]", {1, 0, 0}},
        {"%0 = const f32[2] [0,1] %9 = tanh(%0)", "f32[2]", {0, 0.761594156}},
        {"%0 = const f32[2] [0,-1] %9 = erf(%0)", "f32[2]", {0, -0.842700793}},
        {"%0 = const f32[3] [0,2,-90] %9 = sigmoid(%0)",
         "f32[3]",
         {0.5, 0.880797078, 8.194e-40}},
        // Broadcasting, from both sides and from rank 0.
        {"%0 = const f32[2,1] [1,2] %1 = const f32[1,3] [10,20,30] %9 = add(%0, %1)",
         "f32[2,3]",
         {11, 21, 31, 12, 22, 32}},
        {"%0 = const f32[] [5] %1 = const f32[2] [1,2] %9 = sub(%0, %1)",
         "f32[2]",
         {4, 3}},
        {"%0 = const f32[2] [3,4] %1 = const f32[2] [5,-1] %9 = mul(%0, %1)",
         "f32[2]",
         {15, -4}},
        {"%0 = const f32[2] [1,1] %1 = const f32[2] [4,0] %9 = div(%0, %1)",
         "f32[2]",
         {0.25, INFINITY}},
        // A NaN on the left gives way, one on the right stays.
        {"%0 = const f32[3] [1,nan,2] %1 = const f32[3] [3,4,nan] %9 = max(%0, %1)",
         "f32[3]",
         {3, 4, NAN}},
        {"%0 = const f32[3] [1,nan,2] %1 = const f32[3] [3,4,nan] %9 = min(%0, %1)",
         "f32[3]",
         {1, 4, NAN}},
        {"%0 = const f32[3] [1,2,nan] %1 = const f32[3] [1,3,nan] %9 = eq(%0, %1)",
         "f32[3]",
         {1, 0, 0}},
        // Integers: division rounds down, never traps; sums wrap.
        {"%0 = const i64[6] [7,-7,7,-7,5,-9223372036854775808]\n"
         "%1 = const i64[6] [2,2,-2,-2,0,-1] %9 = div(%0, %1)",
         "i64[6]",
         {3, -4, -4, 3, 0, -9223372036854775808.0}},
        {"%0 = const i32[2] [2147483647,-2147483648] %1 = const i32[] [1] %9 = add(%0, "
         "%1)",
         "i32[2]",
         {-2147483648.0, -2147483647.0}},
        {"%0 = const i32[2] [3,-4] %9 = relu(%0)", "i32[2]", {3, 0}},
        // Casts cut the fraction and stop at the bounds; between integers they wrap.
        {"%0 = const f32[6] [1.9,-1.9,300,-3,nan,1e20] %9 = cast(%0, to=\"u8\")",
         "u8[6]",
         {1, 0, 255, 0, 0, 255}},
        {"%0 = const f32[4] [1e20,-1e20,-1.5,nan] %9 = cast(%0, to=\"i32\")",
         "i32[4]",
         {2147483647, -2147483648.0, -1, 0}},
        // Ties go to the even number: of 1 + 1/256 and 1 + 3/256, say.
        {"%0 = const f32[6] "
         "[1.00390625,1.01171875,-1.00390625,1.003906369,1.003906131,0.1] "
         "%9 = cast(%0, to=\"bf16\")",
         "bf16[6]",
         {1, 1.015625, -1, 1.0078125, 1, 0.10009765625}},
        // The largest numbers become infinite, the least 0.
        {"%0 = const f32[8] "
         "[3.3895314e38,3.3961775e38,-3.4e38,inf,-inf,nan,1e-39,1.1754944e-38] "
         "%9 = cast(%0, to=\"bf16\")",
         "bf16[8]",
         {0x1.fep127, INFINITY, -INFINITY, INFINITY, -INFINITY, NAN, 0, 0x1p-126}},
        {"%0 = const bf16[3] [-0.1,inf,nan] %9 = cast(%0, to=\"f32\")",
         "f32[3]",
         {-0.10009765625, INFINITY, NAN}},
        {"%0 = const i64[2] [257,-1] %9 = cast(%0, to=\"u8\")", "u8[2]", {1, 255}},
        {"%0 = const u8[2] [0,255] %9 = cast(%0, to=\"f32\")", "f32[2]", {0, 255}},
    };
    check_answers(cases, COUNT(cases));
}

#define MATRIX "%0 = const f32[2,3] [1,2,3,4,5,6] "

static void moves(void **state) {
    (void)state;
    static const struct answer cases[] = {
        {MATRIX "%9 = reshape(%0, shape=[3,2])", "f32[3,2]", {1, 2, 3, 4, 5, 6}},
        {MATRIX "%9 = transpose(%0, perm=[1,0])", "f32[3,2]", {1, 4, 2, 5, 3, 6}},
        {"%0 = const i64[2,1,2] [1,2,3,4] %9 = transpose(%0, perm=[2,0,1])",
         "i64[2,2,1]",
         {1, 3, 2, 4}},
        {"%0 = const f32[2,1] [1,2] %9 = broadcast(%0, shape=[2,2])",
         "f32[2,2]",
         {1, 1, 2, 2}},
        {"%0 = const i64[] [7] %9 = broadcast(%0, shape=[3])", "i64[3]", {7, 7, 7}},
        {MATRIX "%9 = slice(%0, starts=[1,2], steps=[-1,-2], sizes=[2,2])",
         "f32[2,2]",
         {6, 4, 3, 1}},
        {MATRIX "%9 = slice(%0, starts=[0,7], steps=[1,1], sizes=[2,0])",
         "f32[2,0]",
         {0}},
        {MATRIX
         "%9 = slice(%0, starts=[1,1], steps=[9223372036854775807,1], sizes=[1,2])",
         "f32[1,2]",
         {5, 6}},
        {"%0 = const f32[3] [1,2,3] %9 = pad(%0, before=[1], after=[2], interior=[1], "
         "value=9)",
         "f32[8]",
         {9, 1, 9, 2, 9, 3, 9, 9}},
        {"%0 = const i32[3] [1,2,3]\n"
         "%9 = pad(%0, before=[-1], after=[-1], interior=[2], value=-1)",
         "i32[5]",
         {-1, -1, 2, -1, -1}},
        {"%0 = const u8[1,2] [1,2]\n"
         "%9 = pad(%0, before=[1,0], after=[0,1], interior=[0,0], value=0)",
         "u8[2,3]",
         {0, 0, 0, 1, 2, 0}},
        {MATRIX "%1 = const f32[2,1] [8,9] %9 = concat(%0, %1, %1, axis=1)",
         "f32[2,5]",
         {1, 2, 3, 8, 8, 4, 5, 6, 9, 9}},
        {MATRIX "%9 = gather(%0, index=[2,0,2], axis=1)", "f32[2,3]", {3, 1, 3, 6, 4, 6}},
        {MATRIX "%1 = const i32[] [1] %9 = take(%0, %1)", "f32[3]", {4, 5, 6}},
        {MATRIX "%1 = const i32[] [-5] %9 = take(%0, %1)", "f32[3]", {1, 2, 3}},
        {MATRIX "%1 = const i32[] [5] %9 = take(%0, %1)", "f32[3]", {4, 5, 6}},
        {MATRIX "%1 = const i32[3] [1, -5, 5] %9 = choose(%0, %1)", "f32[3]", {4, 2, 6}},
        {MATRIX "%1 = const i32[1] [1] %9 = choose(%0, %1)", "f32[3]", {4, 5, 6}},
        {"%0 = const f32[1,2,3] [1,2,3,4,5,6] %1 = const i32[4] [1,1,1,2]\n"
         "%9 = window(%0, %1, h=1, w=2)",
         "f32[1,1,2]",
         {5, 6}},
        {"%0 = const f32[2,2,2] [1,2,3,4,5,6,7,8] %1 = const i32[4] [9,-9,0,0]\n"
         "%9 = window(%0, %1, h=1, w=1)",
         "f32[2,1,1]",
         {3, 7}},
    };
    check_answers(cases, COUNT(cases));
}

static void reductions(void **state) {
    (void)state;
    static const struct answer cases[] = {
        {MATRIX "%9 = sum(%0, axes=[1], keep=true)", "f32[2,1]", {6, 15}},
        {MATRIX "%9 = sum(%0, axes=[0], keep=false)", "f32[3]", {5, 7, 9}},
        {MATRIX "%9 = sum(%0, axes=[1,0], keep=false)", "f32[]", {21}},
        {"%0 = const f32[0,2] [] %9 = sum(%0, axes=[0], keep=false)", "f32[2]", {0, 0}},
        // In single precision the two would vanish beside the large one.
        {"%0 = const f32[4] [1e8,1,1,-1e8] %9 = sum(%0, axes=[0], keep=false)",
         "f32[]",
         {2}},
        {"%0 = const i64[2,2] [1,2,3,4] %9 = sum(%0, axes=[0], keep=false)",
         "i64[2]",
         {4, 6}},
        {"%0 = const f32[2,2] [-1,-2,nan,nan] %9 = amax(%0, axes=[1], keep=false)",
         "f32[2]",
         {-1, -INFINITY}},
        {"%0 = const i32[3] [-7,-3,-5] %9 = amax(%0, axes=[0], keep=true)",
         "i32[1]",
         {-3}},
        {"%0 = const f32[2,3] [1,9,3,4,9,6] %9 = argmax(%0)", "i32[]", {1}},
        {"%0 = const f32[4] [nan,-1,nan,2] %9 = argmax(%0)", "i32[]", {3}},
        {"%0 = const f32[2] [nan,nan] %9 = argmax(%0)", "i32[]", {0}},
        {"%0 = const f32[2] [nan,-inf] %9 = argmax(%0)", "i32[]", {1}},
        {"%0 = const i64[3] [1,5,5] %9 = argmax(%0)", "i32[]", {1}},
    };
    check_answers(cases, COUNT(cases));
}

#define TWO_MATRICES MATRIX "%1 = const f32[3,2] [1,0,2,1,0,3] "

#define STACKS "%0 = const f32[2,1,2] [1,2,3,4] %1 = const f32[2,2,2] [0,1,1,0,1,2,3,3] "

static void products(void **state) {
    (void)state;
    static const struct answer cases[] = {
        // 1 + 1/128 is exact, and so is its square in the sum.
        {"%0 = const bf16[1,2] [1.0078125,3] %9 = matmul(%0, %0, tx=false, ty=true)",
         "f32[1,1]",
         {10.01568603515625}},
        {TWO_MATRICES "%9 = matmul(%0, %1, tx=false, ty=false)",
         "f32[2,2]",
         {5, 11, 14, 23}},
        {TWO_MATRICES "%9 = matmul(%0, %1, tx=true, ty=true)",
         "f32[3,3]",
         {1, 6, 12, 2, 9, 15, 3, 12, 18}},
        {TWO_MATRICES "%9 = matmul(%0, %0, tx=false, ty=true)",
         "f32[2,2]",
         {14, 32, 32, 77}},
        {TWO_MATRICES "%9 = matmul(%1, %1, tx=true, ty=false)",
         "f32[2,2]",
         {5, 2, 2, 10}},
        {STACKS "%9 = matmul(%0, %1, tx=false, ty=false)", "f32[2,1,2]", {2, 1, 15, 18}},
        {STACKS "%9 = matmul(%1, %0, tx=true, ty=true)", "f32[2,2,1]", {2, 1, 15, 18}},
    };
    check_answers(cases, COUNT(cases));
}

#define PLANE  "%0 = const f32[1,3,3] [1,2,3,4,5,6,7,8,9] "
#define KERNEL "%1 = const f32[1,1,2,2] [1,10,100,1000] "
#define CONV1  "strides=[1,1], pads=[0,0,0,0], dilations=[1,1], groups=1"

static void convolutions(void **state) {
    (void)state;
    static const struct answer cases[] = {
        {PLANE KERNEL "%9 = conv(%0, %1, " CONV1 ")",
         "f32[1,2,2]",
         {5421, 6532, 8754, 9865}},
        // Padding on top and left only: each kernel place sees the pixel above it move
        // in.
        {PLANE KERNEL "%9 = conv(%0, %1, strides=[2,2], pads=[1,1,0,0], dilations=[1,1], "
                      "groups=1)",
         "f32[1,2,2]",
         {1000, 3200, 7040, 9865}},
        {PLANE KERNEL "%9 = conv(%0, %1, strides=[1,1], pads=[0,0,0,0], dilations=[2,2], "
                      "groups=1)",
         "f32[1,1,1]",
         {9731}},
        {"%0 = const f32[2,1,2] [1,2,3,4] %1 = const f32[2,1,1,1] [10,100]\n"
         "%9 = conv(%0, %1, strides=[1,1], pads=[0,0,0,0], dilations=[1,1], groups=2)",
         "f32[2,1,2]",
         {10, 20, 300, 400}},
        {"%0 = const bf16[2,1,1] [2,-0.5] %1 = const bf16[1,2,1,1] [0.1,1.0078125] "
         "%9 = conv(%0, %1, strides=[1,1], pads=[0,0,0,0], dilations=[1,1], groups=1)",
         "f32[1,1,1]",
         {2 * 0.10009765625 - 0.50390625}},
        {"%0 = const bf16[1,1,1] [3] %1 = const bf16[1,2,1,1] [0.1,1.0078125] "
         "%9 = conv_dx(%0, %1, strides=[1,1], pads=[0,0,0,0], dilations=[1,1], groups=1, "
         "h=1, w=1)",
         "f32[2,1,1]",
         {3 * 0.10009765625, 3.0234375}},
        {"%0 = const f32[1,1,1] [2] " KERNEL "%9 = conv_dx(%0, %1, " CONV1 ", h=2, w=2)",
         "f32[1,2,2]",
         {2, 20, 200, 2000}},
        {PLANE "%1 = const f32[1,2,2] [1,0,0,2] %9 = conv_dw(%0, %1, " CONV1
               ", kh=2, kw=2)",
         "f32[1,1,2,2]",
         {11, 14, 20, 23}},
        {PLANE "%1 = const f32[1,2,2] [1,0,0,2]\n"
               "%9 = conv_dw_sqnorm(%0, %1, " CONV1 ", kh=2, kw=2)",
         "f32[]",
         {121 + 196 + 400 + 529}},
    };
    check_answers(cases, COUNT(cases));
}

#define POOL3 "kernel=[2,2], strides=[2,2], pads=[1,1,0,0]"

static void pools(void **state) {
    (void)state;
    static const struct answer cases[] = {
        // Padding is never the largest, even of negative numbers.
        {PLANE "%1 = neg(%0) %9 = maxpool(%1, " POOL3 ")",
         "f32[1,2,2]",
         {-1, -2, -4, -5}},
        {PLANE "%9 = avgpool(%0, " POOL3 ", count_pad=false)",
         "f32[1,2,2]",
         {1, 2.5, 5.5, 7}},
        {PLANE "%9 = avgpool(%0, " POOL3 ", count_pad=true)",
         "f32[1,2,2]",
         {0.25, 1.25, 2.75, 7}},
        // Of equal elements the first takes it all; windows that overlap add up.
        {"%0 = const f32[1,2,3] [5,5,1,0,5,5] %1 = const f32[1,1,2] [5,5]\n"
         "%2 = const f32[1,1,2] [10,100]\n"
         "%9 = maxpool_dx(%0, %1, %2, kernel=[2,2], strides=[1,1], pads=[0,0,0,0])",
         "f32[1,2,3]",
         {10, 100, 0, 0, 0, 0}},
        // The first of equals is taken; a window without one gives 0.
        {"%0 = const f32[1,1,3] [7,7,0] %1 = const f32[1,1,3] [7,7,1]\n"
         "%2 = const f32[1,1,3] [10,20,30]\n"
         "%9 = maxpool_jvp(%0, %1, %2, kernel=[1,2], strides=[1,1], pads=[0,0,0,1])",
         "f32[1,1,3]",
         {10, 20, 0}},
        {"%0 = const f32[1,1,3] [0,7,0] %1 = const f32[1,1,2] [7,7]\n"
         "%2 = const f32[1,1,2] [10,100]\n"
         "%9 = maxpool_dx(%0, %1, %2, kernel=[1,2], strides=[1,1], pads=[0,0,0,0])",
         "f32[1,1,3]",
         {0, 110, 0}},
        {"%0 = const f32[1,2,2] [4,8,16,32]\n"
         "%9 = avgpool_dx(%0, " POOL3 ", count_pad=false, h=3, w=3)",
         "f32[1,3,3]",
         {4, 4, 4, 8, 8, 8, 8, 8, 8}},
        {"%0 = const f32[1,2,2] [4,8,16,32]\n"
         "%9 = avgpool_dx(%0, " POOL3 ", count_pad=true, h=3, w=3)",
         "f32[1,3,3]",
         {1, 2, 2, 4, 8, 8, 4, 8, 8}},
    };
    check_answers(cases, COUNT(cases));
}

static void batches(void **state) {
    (void)state;
    static const struct answer cases[] = {
        {"%0 = const f32[2,1] [3,-4] %9 = pack(%0, user=1)", "f32[2,1]", {3, -4}},
        {"%0 = const f32[2,2] [1,3,5,9] %1 = const f32[2] [1,5] %2 = const f32[2] [3,0]\n"
         "%9 = batch_norm(%0, %1, %2, epsilon=1, momentum=0.1, running_mean=\"m\", "
         "running_var=\"v\")",
         "f32[2,2]",
         {0, 1, 0, 4}},
    };
    check_answers(cases, COUNT(cases));
}

// Sums go over the rows of the call, and what follows sees those of all rows.
static void a_batch_is_one_call(void **state) {
    (void)state;
    struct arena *a = arena_new();
    const struct func *f =
        parse(a, "func @f(%0 \"x\": rows f32[2], %1 \"w\": f32[2]) joint batch=4 {\n"
                 "  %2 = batch_sum(%0) : f32[2]\n  %3 = batch_sum(%1) : f32[2]\n"
                 "  %4 = sub(%0, %2) : rows f32[2]\n"
                 "  return \"sum\" %2, \"w\" %3, \"off\" %4\n}");
    const float x[6] = {1, 2, 3, 4, 5, -6}, w[2] = {7, 8};
    float sum[2], many[2], off[6];
    assert_true(
        eval_func(f, 3, (const void *[]){x, w}, (void *[]){sum, many, off}, NULL));
    assert_true(sum[0] == 9 && sum[1] == 0);
    assert_true(many[0] == 21 && many[1] == 24);
    for (size_t i = 0; i < 6; i++) assert_true(off[i] == x[i] - sum[i % 2]);
    for (size_t i = 0; i < f->nodes.n; i++) seen[f->nodes.at[i].op] = true;
    arena_free(a);
}

// A tensor op without a case above is an op whose meaning nobody has checked.
static void every_op_has_a_case(void **state) {
    (void)state;
    for (size_t op = 0; op < OP_COUNT; op++) {
        const struct op_info *info = op_info((enum op)op);
        bool computes = info->family == FAMILY_TENSOR && info->rule &&
                        !(info->flags & (OPF_MARK | OPF_RUNTIME));
        if (computes && !seen[op]) fail_msg("no case computes %s", info->name);
    }
}

// ---- bf16 ----------------------------------------------------------------------------
// Of the finite numbers that bf16 has, none is nearer, and none as near is even.
static void assert_nearest(uint32_t bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    uint16_t got = bf16_of(v);
    double off = fabs((double)bf16_value(got) - (double)v);
    for (int step = -1; step <= 1; step += 2) {
        uint16_t other = (uint16_t)(got + step);
        float beside = bf16_value(other);
        if (!isfinite(beside) || signbit(beside) != signbit(v)) continue;
        double worse = fabs((double)beside - (double)v);
        if (worse < off || (worse == off && (got & 1)))
            fail_msg("%a became %a, not %a", (double)v, (double)bf16_value(got),
                     (double)beside);
    }
}

static void bf16_is_the_nearest(void **state) {
    (void)state;
    struct random r = {16};
    for (uint32_t half = 0; half < 0x10000; half++) {
        uint32_t size = half & 0x7fff;
        uint16_t again = bf16_of(bf16_value((uint16_t)half));
        if (size > 0x7f80) assert_true(isnan(bf16_value(again)));
        else assert_int_equal(again, size < 0x80 ? half & 0x8000 : half);
        if (size < 0x80 || size >= 0x7f7f) continue; // denormal, or rounds to infinity
        assert_nearest(half << 16 | 0x8000);
        for (int i = 0; i < 8; i++)
            assert_nearest(half << 16 | (uint32_t)random_below(&r, 0x10000));
    }
}

// ---- laws of any shapes --------------------------------------------------------------
static double dot(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

// The function's outputs for one row; args in the order of its inputs.
static void **evaluate(struct arena *a, const struct func *f, const void *const *args) {
    void **outs = NEW_N(a, void *, f->outs.n);
    for (size_t i = 0; i < f->outs.n; i++)
        outs[i] = arena_alloc(a, type_bytes(type_at(f, f->outs.at[i])) + 1, 1);
    assert_true(eval_func(f, 1, args, outs, NULL));
    return outs;
}

static struct type rows_f32(uint32_t rank, const size_t *dim) {
    return type_tensor(ELEM_F32, true, rank, dim);
}

// <conv(x,w), d> = <x, conv_dx(d,w)> = <w, conv_dw(x,d)>, and sqnorm = |conv_dw|^2. All
// numbers are quarters and small, so that every sum here is exact.
static void check_conv_faces(struct random *r) {
    struct arena *a = arena_new();
    size_t groups = 1 + random_below(r, 3), og = 1 + random_below(r, 2);
    size_t cg = 1 + random_below(r, 2), kh = 1 + random_below(r, 3),
           kw = 1 + random_below(r, 3);
    struct conv_attrs c = {.groups = (int64_t)groups};
    for (int i = 0; i < 2; i++) c.strides[i] = random_between(r, 1, 3);
    for (int i = 0; i < 2; i++) c.dilations[i] = random_between(r, 1, 3);
    for (int i = 0; i < 4; i++) c.pads[i] = random_between(r, 0, 3);
    size_t h = (kh - 1) * (size_t)c.dilations[0] + 1 + random_below(r, 6);
    size_t w = (kw - 1) * (size_t)c.dilations[1] + 1 + random_below(r, 6);
    struct builder b;
    builder_init(&b, a, "faces");
    nid x = b_input(&b, "x", rows_f32(3, (size_t[]){groups * cg, h, w}));
    nid k = b_input(&b, "w", rows_f32(4, (size_t[]){groups * og, cg, kh, kw}));
    nid y = b_conv(&b, x, k, &c);
    struct type dt = *type_at(b.f, y);
    nid d = b_input(&b, "d", dt), dw = b_conv_dw(&b, x, d, &c, kh, kw);
    build_output(&b, "y", y);
    build_output(&b, "dx", b_conv_dx(&b, d, k, &c, h, w));
    build_output(&b, "dw", dw);
    const struct value *attrs = node_at(b.f, dw)->attrs;
    nid sq = build_node(&b, OP_CONV_DW_SQNORM, (nid[]){x, d}, 2, attrs, NULL);
    build_output(&b, "sqnorm", sq);
    const struct func *f = builder_finish(&b);
    const struct type *xt = type_at(f, 0), *kt = type_at(f, 1);
    const void *args[] = {random_data(r, a, xt, 1), random_data(r, a, kt, 1),
                          random_data(r, a, &dt, 1)};
    void **outs = evaluate(a, f, args);
    double form = dot(outs[0], args[2], type_count(&dt));
    assert_true(form == dot(args[0], outs[1], type_count(xt)));
    assert_true(form == dot(args[1], outs[2], type_count(kt)));
    double squares = dot(outs[2], outs[2], type_count(kt));
    assert_true(close_to((double)*(float *)outs[3], squares, 1e-6));
    arena_free(a);
}

static void convolution_has_three_faces(void **state) {
    (void)state;
    struct random r = {1};
    for (int i = 0; i < 300; i++) check_conv_faces(&r);
}

// avgpool and avgpool_dx are transposes of each other, and so are maxpool_jvp and
// maxpool_dx; maxpool only picks, so its own values are its tangent along x.
static void check_pool_laws(struct random *r) {
    struct arena *a = arena_new();
    int64_t kernel[2], strides[2], pads[4];
    for (int i = 0; i < 2; i++) kernel[i] = random_between(r, 1, 4);
    for (int i = 0; i < 2; i++) strides[i] = random_between(r, 1, 4);
    for (int i = 0; i < 4; i++) pads[i] = random_between(r, 0, kernel[i % 2] - 1);
    size_t dim[] = {2, (size_t)kernel[0] + random_below(r, 6),
                    (size_t)kernel[1] + random_below(r, 6)};
    struct value v[] = {val_ints(kernel, 2),      val_ints(strides, 2),
                        val_ints(pads, 4),        val_bool(random_below(r, 2)),
                        val_int((int64_t)dim[1]), val_int((int64_t)dim[2])};
    struct builder b;
    builder_init(&b, a, "pools");
    nid x = b_input(&b, "x", rows_f32(3, dim));
    nid most = build_node(&b, OP_MAXPOOL, &x, 1, v, NULL);
    nid mean = build_node(&b, OP_AVGPOOL, &x, 1, v, NULL);
    struct type dt = *type_at(b.f, most);
    nid d = b_input(&b, "d", dt);
    nid t = b_input(&b, "t", rows_f32(3, dim));
    nid outs_in[] = {most,
                     mean,
                     build_node(&b, OP_MAXPOOL_DX, (nid[]){x, most, d}, 3, v, NULL),
                     build_node(&b, OP_AVGPOOL_DX, &d, 1, v, NULL),
                     build_node(&b, OP_MAXPOOL_JVP, (nid[]){x, most, t}, 3, v, NULL),
                     build_node(&b, OP_MAXPOOL_JVP, (nid[]){x, most, x}, 3, v, NULL)};
    for (size_t i = 0; i < COUNT(outs_in); i++) build_output(&b, "y", outs_in[i]);
    const struct func *f = builder_finish(&b);
    const struct type *xt = type_at(f, 0);
    const void *args[] = {random_data(r, a, xt, 1), random_data(r, a, &dt, 1),
                          random_data(r, a, xt, 1)};
    void **outs = evaluate(a, f, args);
    size_t nx = type_count(xt), nd = type_count(&dt);
    assert_true(dot(outs[4], args[1], nd) == dot(outs[2], args[2], nx));
    assert_memory_equal(outs[5], outs[0], nd * sizeof(float));
    assert_true(close_to(dot(outs[1], args[1], nd), dot(outs[3], args[0], nx), 1e-5));
    arena_free(a);
}

static void pools_obey_their_laws(void **state) {
    (void)state;
    struct random r = {2};
    for (int i = 0; i < 300; i++) check_pool_laws(&r);
}

// ---- folding -------------------------------------------------------------------------
static bool same_bytes_or_number(const struct type *t, const void *x, const void *y,
                                 size_t rows) {
    for (size_t i = 0; i < type_count(t) * rows; i++) {
        double a = element(t, x, i), b = element(t, y, i);
        if (a != b && !(isnan(a) && isnan(b))) return false;
    }
    return true;
}

static void **run_rows(struct arena *a, const struct func *f, size_t rows,
                       uint64_t seed) {
    struct random r = {seed};
    VEC(const void *) args = {0};
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct node *n = &f->nodes.at[i];
        if (n->op == OP_INPUT)
            VEC_PUSH(a, &args, random_data(&r, a, &n->type, n->type.rows ? rows : 1));
    }
    void **outs = NEW_N(a, void *, f->outs.n);
    for (size_t i = 0; i < f->outs.n; i++)
        outs[i] = arena_alloc(a, rows * type_bytes(type_at(f, f->outs.at[i])) + 1, 1);
    assert_true(eval_func(f, rows, args.at, outs, NULL));
    return outs;
}

// A function built with folding and simplification computes what it does without.
static void folding_changes_no_value(void **state) {
    (void)state;
    size_t smaller = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct arena *a = arena_new();
        const struct func *plain = random_func(a, seed, false);
        const struct func *folded = random_func(a, seed, true);
        void **want = run_rows(a, plain, 3, seed), **got = run_rows(a, folded, 3, seed);
        assert_int_equal(plain->outs.n, folded->outs.n);
        for (size_t i = 0; i < plain->outs.n; i++) {
            const struct type *t = type_at(plain, plain->outs.at[i]);
            assert_true(type_eq(t, type_at(folded, folded->outs.at[i])));
            if (!same_bytes_or_number(t, want[i], got[i], t->rows ? 3 : 1))
                fail_msg("seed %zu, output %zu differs", (size_t)seed, i);
        }
        smaller += folded->nodes.n < plain->nodes.n;
        arena_free(a);
    }
    assert_true(smaller > 200);
}

// ---- whole functions -----------------------------------------------------------------
static void rows_and_whole_values(void **state) {
    (void)state;
    struct arena *a = arena_new();
    const struct func *f = parse(a, "func @f(%0 \"x\": rows f32[2], %1 \"k\": f32[2]) {\n"
                                    "  %2 = exp(%1) %3 = mul(%0, %2)\n"
                                    "  return \"y\" %3, \"k\" %2, \"x\" %0\n}");
    const float x[] = {1, 2, 3, 4, 5, 6}, k[] = {0, 0};
    float y[6], e[2], same[6];
    assert_true(eval_func(f, 3, (const void *[]){x, k}, (void *[]){y, e, same}, NULL));
    assert_memory_equal(y, x, sizeof x);
    assert_memory_equal(same, x, sizeof x);
    assert_true(e[0] == 1 && e[1] == 1);
    arena_free(a);
}

static bool count_up(const struct node *n, const struct type *const *types,
                     const void *const *in, void *out) {
    assert_int_equal(n->op, OP_NORMAL);
    assert_int_equal(types[0]->elem, ELEM_U64);
    for (size_t i = 0; i < type_count(&n->type); i++)
        ((float *)out)[i] = (float)(((const uint64_t *)in[0])[0] + i);
    return true;
}

static void runtime_ops_go_through_the_hook(void **state) {
    (void)state;
    struct arena *a = arena_new();
    const struct func *f = parse(a, "func @f(%0 \"key\": rows u64[2]) {\n"
                                    "  %1 = normal(%0, shape=[2], seed=1)\n"
                                    "  return \"y\" %1\n}");
    const uint64_t keys[] = {10, 0, 20, 0};
    float y[4];
    const void *args[] = {keys};
    void *outs[] = {y};
    assert_false(eval_func(f, 2, args, outs, NULL));
    assert_true(eval_func(f, 2, args, outs, &(struct eval_hooks){count_up}));
    assert_true(y[0] == 10 && y[1] == 11 && y[2] == 20 && y[3] == 21);
    arena_free(a);
}

static void what_has_no_value_is_refused(void **state) {
    (void)state;
    struct arena *a = arena_new();
    const struct func *mark = parse(a, "func @f(%0 \"x\": f32[]) {\n"
                                       "  %1 = grad(%0, %0)\n  return \"y\" %1\n}");
    const struct func *elided = parse(
        a, "func @f() {\n  %0 = const f32[] digest=00000000000000000000000000000001\n"
           "  return \"y\" %0\n}");
    float x = 1, y;
    assert_false(eval_func(mark, 1, (const void *[]){&x}, (void *[]){&y}, NULL));
    assert_false(eval_func(elided, 1, NULL, (void *[]){&y}, NULL));
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementwise_ops),
        cmocka_unit_test(moves),
        cmocka_unit_test(reductions),
        cmocka_unit_test(products),
        cmocka_unit_test(convolutions),
        cmocka_unit_test(pools),
        cmocka_unit_test(batches),
        cmocka_unit_test(a_batch_is_one_call),
        cmocka_unit_test(every_op_has_a_case),
        cmocka_unit_test(convolution_has_three_faces),
        cmocka_unit_test(pools_obey_their_laws),
        cmocka_unit_test(folding_changes_no_value),
        cmocka_unit_test(bf16_is_the_nearest),
        cmocka_unit_test(rows_and_whole_values),
        cmocka_unit_test(runtime_ops_go_through_the_hook),
        cmocka_unit_test(what_has_no_value_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
