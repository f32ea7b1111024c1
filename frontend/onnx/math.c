// Arithmetic: ops whose meaning is one elementwise IR op, or a few, up to broadcasting.
//
// Integers are shapes and indices. The IR divides them rounding down, ONNX cutting
// towards zero; what has no IR op at all (rounding, remainders of floats) is done to
// constants.
#include "frontend/onnx/onnx.h"

#include <math.h>

// ---- what others use too -------------------------------------------------------------
// Shape arithmetic is small; what is not could overflow.
#define INTEGER_MAX ((int64_t)1 << 31)

bool check_small_ints(struct import *im, nid id) {
    const struct node *n = node_at(im->b.f, id);
    if (n->type.elem != ELEM_I64 || n->op != OP_CONST) return true;
    if (!check_known(im, id, "computes with")) return false;
    const int64_t *v = n->data;
    for (size_t i = 0, count = type_count(&n->type); i < count; i++)
        if (v[i] > INTEGER_MAX || v[i] < -INTEGER_MAX)
            return op_fail(im, "computes with %lld, too large for a shape",
                           (long long)v[i]);
    return true;
}

nid op_number(struct import *im, double v, nid like) {
    if (like == NID_NONE) return NID_NONE;
    return op_cast(im, op_scalar(im, v), type_at(im->b.f, like)->elem);
}

nid op_abs(struct import *im, nid x) {
    return op2(im, OP_MAX, op1(im, OP_NEG, x), x);
}

nid op_sign(struct import *im, nid x) {
    return op2(im, OP_SUB, op1(im, OP_STEP, x), op1(im, OP_STEP, op1(im, OP_NEG, x)));
}

bool check_f32(struct import *im, struct onnx_val v) {
    return val_type(im, v)->elem == ELEM_F32 ||
           op_fail(im, "takes floats, this is %s", val_text(im, v));
}

// ---- functions of constants ----------------------------------------------------------
typedef double (*number_fn)(double x, double y);

static double number_at(const struct node *n, size_t i) {
    if (n->type.elem == ELEM_F32) return (double)((const float *)n->data)[i];
    return (double)((const int64_t *)n->data)[i];
}

// fn of every pair of elements, in x's element type; NID_NONE after an error.
static nid map_constants(struct import *im, nid x, nid y, number_fn fn) {
    const struct node *nx = node_at(im->b.f, x), *ny = node_at(im->b.f, y);
    if (!type_same_shape(&nx->type, &ny->type)) {
        op_fail(im, "joins %s with %s", type_str(im->arena, &nx->type),
                type_str(im->arena, &ny->type));
        return NID_NONE;
    }
    size_t count = type_count(&nx->type), room = size_max(count, 1);
    enum elem e = nx->type.elem;
    if (!op_charge(im, count)) return NID_NONE;
    float *f = NEW_N(im->arena, float, e == ELEM_F32 ? room : 1);
    int64_t *whole = NEW_N(im->arena, int64_t, e == ELEM_F32 ? 1 : room);
    for (size_t i = 0; i < count; i++) {
        double v = fn(number_at(nx, i), number_at(ny, i));
        if (e == ELEM_F32) f[i] = (float)v;
        else if (fabs(v) <= (double)INTEGER_MAX) whole[i] = (int64_t)v;
        else return op_fail(im, "makes %g, too large for a shape", v), NID_NONE;
    }
    return op_const(im, nx->type, e == ELEM_F32 ? (const void *)f : whole);
}

// The operand with the other's shape where it is 1; a constant, or NID_NONE.
static nid spread_constant(struct import *im, nid x, nid other) {
    const struct type *t = type_at(im->b.f, x), *o = type_at(im->b.f, other);
    size_t dim[TYPE_MAX_RANK], rank = size_max(t->rank, o->rank);
    for (size_t i = 0; i < rank; i++)
        dim[i] = t->rank && (t->dim[i] != 1 || !o->rank) ? t->dim[i] : o->dim[i];
    nid y = op_broadcast(im, x, dim, rank);
    if (y == NID_NONE || node_at(im->b.f, y)->op == OP_CONST) return y;
    op_fail(im, "computes with constants far larger than the file");
    return NID_NONE;
}

// fn of two constants that ONNX broadcasts.
static bool of_constants(struct import *im, const struct onnx_val *in, number_fn fn,
                         struct onnx_val *out) {
    nid x, y;
    struct onnx_val like;
    for (size_t i = 0; i < 2; i++)
        if (!check_known(im, in[i].id, "computes with")) return false;
    if (!val_align(im, in[0], in[1], &x, &y, &like)) return false;
    nid left = spread_constant(im, x, y);
    nid right = left == NID_NONE ? NID_NONE : spread_constant(im, y, left);
    if (right == NID_NONE) return false;
    return op_done_like(map_constants(im, left, right, fn), like, out);
}

static double floor_of(double x, double y) {
    (void)y;
    return floor(x);
}
static double ceil_of(double x, double y) {
    (void)y;
    return ceil(x);
}
static double round_of(double x, double y) { // halves to the even neighbour
    (void)y;
    return nearbyint(x);
}

static bool rounded(struct import *im, const struct onnx_val *in, number_fn fn,
                    struct onnx_val *out) {
    if (!check_f32(im, in[0])) return false;
    if (!val_is_const(im, in[0]))
        return op_fail(im, "rounds %s; ddg rounds constants only", val_text(im, in[0]));
    return op_done_like(map_constants(im, in[0].id, in[0].id, fn), in[0], out);
}

IMPORTER(import_floor) {
    return rounded(im, in, floor_of, out);
}
IMPORTER(import_ceil) {
    return rounded(im, in, ceil_of, out);
}
IMPORTER(import_round) {
    return rounded(im, in, round_of, out);
}

// ---- one operand ---------------------------------------------------------------------
IMPORTER(import_identity) {
    (void)im;
    out[0] = in[0];
    return true;
}

IMPORTER(import_unary) {
    if (!check_small_ints(im, in[0].id)) return false;
    return op_done_like(op1(im, im->op->op, in[0].id), in[0], out);
}

IMPORTER(import_abs) {
    if (!check_small_ints(im, in[0].id)) return false;
    return op_done_like(op_abs(im, in[0].id), in[0], out);
}

IMPORTER(import_sign) {
    if (!check_small_ints(im, in[0].id)) return false;
    return op_done_like(op_sign(im, in[0].id), in[0], out);
}

IMPORTER(import_reciprocal) {
    return op_done_like(op2(im, OP_DIV, op_scalar(im, 1), in[0].id), in[0], out);
}

// ---- two operands and more -----------------------------------------------------------
static bool same_elements(struct import *im, struct onnx_val x, struct onnx_val y) {
    return val_type(im, x)->elem == val_type(im, y)->elem ||
           op_fail(im, "takes %s and %s, floats and integers; a Cast is missing",
                   val_text(im, x), val_text(im, y));
}

// Whether the node is a constant without negative elements.
static bool never_negative(const struct import *im, nid id) {
    const struct node *n = node_at(im->b.f, id);
    if (n->op != OP_CONST) return false;
    for (size_t i = 0, count = type_count(&n->type); i < count; i++)
        if (number_at(n, i) < 0) return false;
    return true;
}

static bool check_divisor(struct import *im, nid id) {
    const struct node *n = node_at(im->b.f, id);
    if (n->op != OP_CONST || n->type.elem != ELEM_I64) return true;
    for (size_t i = 0, count = type_count(&n->type); i < count; i++)
        if (number_at(n, i) == 0) return op_fail(im, "divides integers by 0");
    return true;
}

// x / y of integers, cut towards zero.
static nid quotient(struct import *im, nid x, nid y) {
    if (never_negative(im, x) && never_negative(im, y)) return op2(im, OP_DIV, x, y);
    nid size = op2(im, OP_DIV, op_abs(im, x), op_abs(im, y));
    return op2(im, OP_MUL, op2(im, OP_MUL, op_sign(im, x), op_sign(im, y)), size);
}

IMPORTER(import_binary) {
    nid x, y;
    struct onnx_val like;
    if (holds_batch(im, in[0].id) || holds_batch(im, in[1].id))
        return import_batch_arithmetic(im, in, out);
    if (!same_elements(im, in[0], in[1])) return false;
    if (!check_small_ints(im, in[0].id) || !check_small_ints(im, in[1].id)) return false;
    if (!val_align(im, in[0], in[1], &x, &y, &like)) return false;
    bool whole = im->op->op == OP_DIV && type_at(im->b.f, x)->elem == ELEM_I64;
    if (whole && !check_divisor(im, y)) return false;
    return op_done_like(whole ? quotient(im, x, y) : op2(im, im->op->op, x, y), like,
                        out);
}

// The op between all operands, from the first on.
IMPORTER(import_chain) {
    struct onnx_val sum = in[0], like;
    for (size_t i = 0; i < im->nin; i++)
        if (!check_small_ints(im, in[i].id)) return false;
    for (size_t i = 1; i < im->nin; i++) {
        nid x, y;
        if (!same_elements(im, sum, in[i]) || !val_align(im, sum, in[i], &x, &y, &like))
            return false;
        if (!op_done_like(op2(im, im->op->op, x, y), like, &sum)) return false;
    }
    *out = sum;
    return true;
}

IMPORTER(import_mean) {
    struct onnx_val sum;
    if (!import_chain(im, in, &sum)) return false;
    nid share = op_scalar(im, 1 / (double)im->nin);
    return op_done_like(op2(im, OP_MUL, sum.id, share), sum, out);
}

// ---- remainders ----------------------------------------------------------------------
// Of integers: with the divisor's sign, or (fmod) with the dividend's.
static nid remainder_of(struct import *im, nid x, nid y, bool like_dividend) {
    nid a = like_dividend ? op_abs(im, x) : x, b = like_dividend ? op_abs(im, y) : y;
    nid rest = op2(im, OP_SUB, a, op2(im, OP_MUL, op2(im, OP_DIV, a, b), b));
    return like_dividend ? op2(im, OP_MUL, rest, op_sign(im, x)) : rest;
}

IMPORTER(import_mod) {
    bool like_dividend;
    nid x, y;
    struct onnx_val like;
    if (!node_flag(im, "fmod", false, &like_dividend)) return false;
    if (val_type(im, in[0])->elem == ELEM_F32) {
        if (!like_dividend) return op_fail(im, "divides floats without fmod = 1");
        if (val_is_const(im, in[0]) && val_is_const(im, in[1]))
            return of_constants(im, in, fmod, out);
        return op_fail(im, "divides floats that are not constant");
    }
    if (!check_small_ints(im, in[0].id) || !check_small_ints(im, in[1].id) ||
        !val_align(im, in[0], in[1], &x, &y, &like) || !check_divisor(im, y))
        return false;
    return op_done_like(remainder_of(im, x, y, like_dividend), like, out);
}

// ---- powers --------------------------------------------------------------------------
// x^n for n from 1 on, by squaring.
static nid whole_power(struct import *im, nid x, unsigned n) {
    if (n == 1) return x;
    nid square = op2(im, OP_MUL, x, x);
    if (n == 2) return square;
    nid half = whole_power(im, square, n / 2);
    return n % 2 ? op2(im, OP_MUL, half, x) : half;
}

static nid ones_like(struct import *im, nid x) {
    const struct type *t = type_at(im->b.f, x);
    return op_broadcast(im, op_scalar(im, 1), t->dim, t->rank);
}

// e^(n log |x|), with x's sign when n is odd. For an n that is not whole, log x itself:
// then the power of a negative number is not a number, as it should be.
static nid power_by_log(struct import *im, nid x, double n) {
    bool whole = floor(n) == n, odd = whole && fmod(n, 2) != 0;
    nid size = op1(im, OP_LOG, whole ? op_abs(im, x) : x);
    nid y = op1(im, OP_EXP, op2(im, OP_MUL, size, op_scalar(im, n)));
    return odd ? op2(im, OP_MUL, y, op_sign(im, x)) : y;
}

static nid power(struct import *im, nid x, double e) {
    double size = fabs(e), whole = floor(size);
    if (e == 0) return ones_like(im, x);
    if (whole > 64 || (size != whole && size != whole + 0.5))
        return power_by_log(im, x, e);
    nid y = whole > 0 ? whole_power(im, x, (unsigned)whole) : NID_NONE;
    if (size != whole) {
        nid root = op1(im, OP_SQRT, x);
        y = whole > 0 ? op2(im, OP_MUL, y, root) : root;
    }
    return e < 0 ? op2(im, OP_DIV, op_scalar(im, 1), y) : y;
}

// A constant base, where it is greater than 0: e^(y log base).
static bool power_of_constant(struct import *im, const struct onnx_val *in,
                              struct onnx_val *out) {
    const struct node *base = node_at(im->b.f, in[0].id);
    nid x, y;
    struct onnx_val like, logs = in[0];
    for (size_t i = 0, n = type_count(&base->type); i < n; i++)
        if (!(number_at(base, i) > 0))
            return op_fail(im, "takes powers of %g, whose exponent is not constant",
                           number_at(base, i));
    logs.id = op1(im, OP_LOG, in[0].id);
    if (logs.id == NID_NONE || !val_align(im, logs, in[1], &x, &y, &like)) return false;
    return op_done_like(op1(im, OP_EXP, op2(im, OP_MUL, x, y)), like, out);
}

IMPORTER(import_pow) {
    double e;
    bool base = val_is_const(im, in[0]), exponent = val_is_const(im, in[1]);
    if (base && exponent) return of_constants(im, in, pow, out);
    if (!check_f32(im, in[0])) return false;
    if (exponent && type_count(val_type(im, in[1])) == 1) {
        if (!operand_number(im, in[1], "the exponent", &e)) return false;
        return op_done_like(power(im, in[0].id, e), in[0], out);
    }
    if (base) return power_of_constant(im, in, out);
    return op_fail(im,
                   "has the exponent %s; ddg takes one constant number, or powers of "
                   "a constant",
                   val_text(im, in[1]));
}
