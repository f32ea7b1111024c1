// exp, log, tanh, sigmoid and erf of f32, in code of our own: no calls, one lane or many,
// and the same bits on every machine that a target's code runs on. Errors stay below 2.5
// units in the last place (the tests measure it); overflow, underflow to subnormal
// numbers, infinities and NaN are as IEEE has them. The polynomials are those of
// Moshier's Cephes library (expf, logf, tanhf); erf's are fitted in double for the least
// relative error of the result.
#include "codegen/emit.h"

#include <math.h>

// c[0] * x^(n-1) + ... + c[n-1].
static LLVMValueRef horner(struct emit *e, LLVMValueRef x, const double *c, size_t n,
                           size_t lanes) {
    LLVMValueRef sum = ll_fsplat(e, c[0], lanes);
    for (size_t i = 1; i < n; i++) sum = ll_mul_add(e, sum, x, ll_fsplat(e, c[i], lanes));
    return sum;
}

static LLVMValueRef bits_of(struct emit *e, LLVMValueRef x, size_t lanes) {
    return LLVMBuildBitCast(e->b, x, ll_vec(e->i32, lanes), "");
}

static LLVMValueRef float_of(struct emit *e, LLVMValueRef bits, size_t lanes) {
    return LLVMBuildBitCast(e->b, bits, ll_vec(e->f32, lanes), "");
}

// select(p(x, limit), limit, x): a NaN in x stays.
static LLVMValueRef bound(struct emit *e, LLVMRealPredicate p, LLVMValueRef x,
                          double limit, size_t lanes) {
    LLVMValueRef k = ll_fsplat(e, limit, lanes);
    return LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, p, x, k, ""), k, x, "");
}

// 2^i for -126 <= i <= 127.
static LLVMValueRef power_of_two(struct emit *e, LLVMValueRef i, size_t lanes) {
    LLVMValueRef biased = LLVMBuildAdd(e->b, i, ll_isplat(e, 127, lanes), "");
    return float_of(e, LLVMBuildShl(e->b, biased, ll_isplat(e, 23, lanes), ""), lanes);
}

static LLVMValueRef absolute(struct emit *e, LLVMValueRef x) {
    LLVMTypeRef type = LLVMTypeOf(x);
    return ll_call(e, "llvm.fabs", &type, 1, &x, 1);
}

// x = n ln2 + r; e^r is a polynomial, and 2^n is multiplied on in two halves, so that
// results may be subnormal. Adding 1.5 * 2^23 rounds to an integer, left in the low bits.
LLVMValueRef math_exp(struct emit *e, LLVMValueRef x, size_t lanes) {
    static const double C[] = {1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3,
                               4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1};
    LLVMBuilderRef b = e->b;
    x = bound(e, LLVMRealOGT, x, 89, lanes);
    x = bound(e, LLVMRealOLT, x, -104, lanes);
    LLVMValueRef magic = ll_fsplat(e, 0x1.8p23, lanes);
    LLVMValueRef shifted =
        ll_mul_add(e, x, ll_fsplat(e, 1.44269504088896341, lanes), magic);
    LLVMValueRef n = LLVMBuildFSub(b, shifted, magic, "");
    LLVMValueRef r = ll_mul_add(e, n, ll_fsplat(e, -0.693359375, lanes), x);
    r = ll_mul_add(e, n, ll_fsplat(e, 2.12194440e-4, lanes), r);
    LLVMValueRef sum = horner(e, r, C, COUNT(C), lanes);
    LLVMValueRef y = ll_mul_add(e, sum, LLVMBuildFMul(b, r, r, ""), r);
    y = LLVMBuildFAdd(b, y, ll_fsplat(e, 1, lanes), "");
    LLVMValueRef i =
        LLVMBuildSub(b, bits_of(e, shifted, lanes), bits_of(e, magic, lanes), "");
    LLVMValueRef half = LLVMBuildAShr(b, i, ll_isplat(e, 1, lanes), "");
    y = LLVMBuildFMul(b, y, power_of_two(e, half, lanes), "");
    return LLVMBuildFMul(b, y, power_of_two(e, LLVMBuildSub(b, i, half, ""), lanes), "");
}

// x = m 2^n with m in [sqrt(1/2), sqrt(2)); subnormal x is scaled up first.
static LLVMValueRef log_of_positive(struct emit *e, LLVMValueRef x, size_t lanes) {
    static const double C[] = {7.0376836292e-2,  -1.1514610310e-1, 1.1676998740e-1,
                               -1.2420140846e-1, 1.4249322787e-1,  -1.6668057665e-1,
                               2.0000714765e-1,  -2.4999993993e-1, 3.3333331174e-1};
    LLVMBuilderRef b = e->b;
    LLVMValueRef tiny =
        LLVMBuildFCmp(b, LLVMRealOLT, x, ll_fsplat(e, 0x1p-126, lanes), "");
    LLVMValueRef scaled = LLVMBuildFMul(b, x, ll_fsplat(e, 0x1p23, lanes), "");
    x = LLVMBuildSelect(b, tiny, scaled, x, "");
    LLVMValueRef root = ll_isplat(e, 0x3f3504f3, lanes); // sqrt(1/2)
    LLVMValueRef bits = LLVMBuildSub(b, bits_of(e, x, lanes), root, "");
    LLVMValueRef n = LLVMBuildAShr(b, bits, ll_isplat(e, 23, lanes), "");
    LLVMValueRef down =
        LLVMBuildSelect(b, tiny, ll_isplat(e, -23, lanes), ll_isplat(e, 0, lanes), "");
    n = LLVMBuildSIToFP(b, LLVMBuildAdd(b, n, down, ""), ll_vec(e->f32, lanes), "");
    bits = LLVMBuildAnd(b, bits, ll_isplat(e, 0x7fffff, lanes), "");
    LLVMValueRef m = float_of(e, LLVMBuildAdd(b, bits, root, ""), lanes);
    LLVMValueRef f = LLVMBuildFSub(b, m, ll_fsplat(e, 1, lanes), "");
    LLVMValueRef z = LLVMBuildFMul(b, f, f, "");
    LLVMValueRef y = LLVMBuildFMul(b, horner(e, f, C, COUNT(C), lanes),
                                   LLVMBuildFMul(b, f, z, ""), "");
    y = ll_mul_add(e, n, ll_fsplat(e, -2.12194440e-4, lanes), y);
    y = ll_mul_add(e, z, ll_fsplat(e, -0.5, lanes), y);
    return ll_mul_add(e, n, ll_fsplat(e, 0.693359375, lanes), LLVMBuildFAdd(b, f, y, ""));
}

LLVMValueRef math_log(struct emit *e, LLVMValueRef x, size_t lanes) {
    LLVMBuilderRef b = e->b;
    LLVMValueRef zero = ll_fsplat(e, 0, lanes), inf = ll_fsplat(e, INFINITY, lanes);
    LLVMValueRef y = log_of_positive(e, x, lanes);
    y = LLVMBuildSelect(b, LLVMBuildFCmp(b, LLVMRealOEQ, x, inf, ""), inf, y, "");
    LLVMValueRef is_zero = LLVMBuildFCmp(b, LLVMRealOEQ, x, zero, "");
    y = LLVMBuildSelect(b, is_zero, ll_fsplat(e, -INFINITY, lanes), y, "");
    LLVMValueRef wrong = LLVMBuildFCmp(b, LLVMRealULT, x, zero, ""); // or NaN
    return LLVMBuildSelect(b, wrong, ll_fsplat(e, (double)NAN, lanes), y, "");
}

// Odd: a polynomial near 0, 1 - 2 / (e^2|x| + 1) with the sign of x elsewhere.
LLVMValueRef math_tanh(struct emit *e, LLVMValueRef x, size_t lanes) {
    static const double C[] = {-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2,
                               1.33314422036e-1, -3.33332819422e-1};
    LLVMBuilderRef b = e->b;
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef one = ll_fsplat(e, 1, lanes), size = absolute(e, x);
    LLVMValueRef z = LLVMBuildFMul(b, x, x, "");
    LLVMValueRef near = LLVMBuildFMul(b, horner(e, z, C, COUNT(C), lanes), z, "");
    near = ll_mul_add(e, near, x, x);
    LLVMValueRef power = math_exp(e, LLVMBuildFAdd(b, size, size, ""), lanes);
    LLVMValueRef far =
        LLVMBuildFDiv(b, ll_fsplat(e, 2, lanes), LLVMBuildFAdd(b, power, one, ""), "");
    far = LLVMBuildFSub(b, one, far, "");
    far = ll_call(e, "llvm.copysign", &type, 1, (LLVMValueRef[]){far, x}, 2);
    LLVMValueRef small =
        LLVMBuildFCmp(b, LLVMRealOLT, size, ll_fsplat(e, 0.625, lanes), "");
    return LLVMBuildSelect(b, small, near, far, "");
}

// With u = e^-|x|: 1 / (1 + u), or u / (1 + u) for negative x.
LLVMValueRef math_sigmoid(struct emit *e, LLVMValueRef x, size_t lanes) {
    LLVMBuilderRef b = e->b;
    LLVMValueRef one = ll_fsplat(e, 1, lanes), zero = ll_fsplat(e, 0, lanes);
    LLVMValueRef u = math_exp(e, LLVMBuildFNeg(b, absolute(e, x), ""), lanes);
    LLVMValueRef below = LLVMBuildFCmp(b, LLVMRealOLT, x, zero, "");
    LLVMValueRef part = LLVMBuildSelect(b, below, u, one, "");
    return LLVMBuildFDiv(b, part, LLVMBuildFAdd(b, one, u, ""), "");
}

// Odd: x + x p(x^2) near 0; elsewhere 1 - e^(-|x| + |x| q(|x|)) with the sign of x, where
// q follows log(erfc(x)) / x + 1. From 4 on the result rounds to 1.
LLVMValueRef math_erf(struct emit *e, LLVMValueRef x, size_t lanes) {
    static const double NEAR[] = {-5.9908727e-4, 4.9931849e-3,   -2.67666206e-2,
                                  1.12818167e-1, -3.76124948e-1, 1.28379151e-1};
    static const double FAR[] = {2.13922976e-4,  -3.2144438e-3, 2.28883196e-2,
                                 -1.05259269e-1, -6.3572025e-1, -1.28513783e-1};
    LLVMBuilderRef b = e->b;
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef size = bound(e, LLVMRealOGT, absolute(e, x), 4, lanes);
    LLVMValueRef z = LLVMBuildFMul(b, x, x, "");
    LLVMValueRef near = ll_mul_add(e, horner(e, z, NEAR, COUNT(NEAR), lanes), x, x);
    LLVMValueRef power = horner(e, size, FAR, COUNT(FAR), lanes);
    power = ll_mul_add(e, power, size, LLVMBuildFNeg(b, size, ""));
    LLVMValueRef far =
        LLVMBuildFSub(b, ll_fsplat(e, 1, lanes), math_exp(e, power, lanes), "");
    far = ll_call(e, "llvm.copysign", &type, 1, (LLVMValueRef[]){far, x}, 2);
    LLVMValueRef small =
        LLVMBuildFCmp(b, LLVMRealOLT, size, ll_fsplat(e, 0.921875, lanes), "");
    return LLVMBuildSelect(b, small, near, far, "");
}
