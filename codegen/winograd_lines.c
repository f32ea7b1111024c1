// See winograd_lines.h.
#include "codegen/winograd_lines.h"

// x * by + y
static LLVMValueRef mul_add(struct emit *e, LLVMValueRef x, double by, LLVMValueRef y) {
    return ll_mul_add(e, x, ll_fsplat(e, by, e->lanes), y);
}

static LLVMValueRef add(struct emit *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFAdd(e->b, x, y, "");
}

static LLVMValueRef sub(struct emit *e, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildFSub(e->b, x, y, "");
}

static LLVMValueRef scale(struct emit *e, LLVMValueRef x, double by) {
    return LLVMBuildFMul(e->b, x, ll_fsplat(e, by, e->lanes), "");
}

// B^T d for m = 2: x^2 - a^2, x (x + a), x (x - a), x (x^2 - a^2).
static void operands_2(struct emit *e, const LLVMValueRef *d, LLVMValueRef *out) {
    const double a = WINOGRAD_A, aa = a * a;
    out[0] = mul_add(e, d[0], -aa, d[2]);
    out[1] = mul_add(e, d[1], a, d[2]);
    out[2] = mul_add(e, d[1], -a, d[2]);
    out[3] = mul_add(e, d[1], -aa, d[3]);
}

// B^T d for m = 4: (x^2 - a^2)(x^2 - b^2), x (x + a)(x^2 - b^2), x (x - a)(x^2 - b^2),
// x (x + b)(x^2 - a^2), x (x - b)(x^2 - a^2), x (x^2 - a^2)(x^2 - b^2).
static void operands_4(struct emit *e, const LLVMValueRef *d, LLVMValueRef *out) {
    const double a = WINOGRAD_A, b = WINOGRAD_B, aa = a * a, bb = b * b;
    LLVMValueRef even_a = mul_add(e, d[2], -bb, d[4]),
                 odd_a = mul_add(e, d[1], -bb, d[3]);
    LLVMValueRef even_b = mul_add(e, d[2], -aa, d[4]),
                 odd_b = mul_add(e, d[1], -aa, d[3]);
    out[0] = mul_add(e, d[0], aa * bb, mul_add(e, d[2], -(aa + bb), d[4]));
    out[1] = mul_add(e, odd_a, a, even_a);
    out[2] = mul_add(e, odd_a, -a, even_a);
    out[3] = mul_add(e, odd_b, b, even_b);
    out[4] = mul_add(e, odd_b, -b, even_b);
    out[5] = mul_add(e, d[1], aa * bb, mul_add(e, d[3], -(aa + bb), d[5]));
}

// A^T v for m = 2.
static void results_2(struct emit *e, const LLVMValueRef *v, LLVMValueRef *out) {
    LLVMValueRef sum = add(e, v[1], v[2]), difference = sub(e, v[1], v[2]);
    out[0] = add(e, v[0], sum);
    out[1] = mul_add(e, difference, WINOGRAD_A, v[3]);
}

// A^T v for m = 4.
static void results_4(struct emit *e, const LLVMValueRef *v, LLVMValueRef *out) {
    const double a = WINOGRAD_A, b = WINOGRAD_B;
    LLVMValueRef sum_a = add(e, v[1], v[2]), difference_a = sub(e, v[1], v[2]);
    LLVMValueRef sum_b = add(e, v[3], v[4]), difference_b = sub(e, v[3], v[4]);
    out[0] = add(e, v[0], add(e, sum_a, sum_b));
    out[1] = mul_add(e, difference_a, a, scale(e, difference_b, b));
    out[2] = mul_add(e, sum_a, a * a, scale(e, sum_b, b * b));
    out[3] =
        mul_add(e, difference_b, b * b * b, mul_add(e, difference_a, a * a * a, v[5]));
}

line_fn line_operands(size_t m) {
    return m == 2 ? operands_2 : operands_4;
}

line_fn line_results(size_t m) {
    return m == 2 ? results_2 : results_4;
}

// The polynomial of four gradients at the points, each over what the interpolation
// divides by.
void line_gradients(struct emit *e, const LLVMValueRef *in, LLVMValueRef *out) {
    const double a = WINOGRAD_A, b = WINOGRAD_B, aa = a * a, bb = b * b;
    const double over_a = 1 / (2 * aa * (aa - bb)), over_b = 1 / (2 * bb * (bb - aa));
    LLVMValueRef even_a = mul_add(e, in[2], aa * over_a, scale(e, in[0], over_a));
    LLVMValueRef odd_a = mul_add(e, in[3], a * aa * over_a, scale(e, in[1], a * over_a));
    LLVMValueRef even_b = mul_add(e, in[2], bb * over_b, scale(e, in[0], over_b));
    LLVMValueRef odd_b = mul_add(e, in[3], b * bb * over_b, scale(e, in[1], b * over_b));
    out[0] = scale(e, in[0], 1 / (aa * bb));
    out[1] = add(e, even_a, odd_a);
    out[2] = sub(e, even_a, odd_a);
    out[3] = add(e, even_b, odd_b);
    out[4] = sub(e, even_b, odd_b);
    out[5] = in[3];
}

void line_taps(struct emit *e, const LLVMValueRef *in, LLVMValueRef *out) {
    const double a = WINOGRAD_A, b = WINOGRAD_B;
    LLVMValueRef sum_a = add(e, in[1], in[2]), difference_a = sub(e, in[1], in[2]);
    LLVMValueRef sum_b = add(e, in[3], in[4]), difference_b = sub(e, in[3], in[4]);
    out[0] = add(e, in[0], add(e, sum_a, sum_b));
    out[1] = mul_add(e, difference_a, a, scale(e, difference_b, b));
    out[2] = mul_add(e, sum_b, b * b, mul_add(e, sum_a, a * a, in[5]));
}
