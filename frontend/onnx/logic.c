// Truth values: comparisons, logic, and choices by them.
//
// A truth value is the integer 0 or 1. Nothing branches: a choice is arithmetic, so that
// it works on rows as well as on constants, and has gradients.
#include "frontend/onnx/onnx.h"

#include <math.h>

static nid negation(struct import *im, nid x) {
    return op2(im, OP_EQ, x, op_number(im, 0, x));
}

static nid truth_value(struct import *im, nid x) {
    return op_cast(im, x, ELEM_I64);
}

// ---- comparisons ---------------------------------------------------------------------
// x > y, or x >= y: 1 or 0 in their element type. Nothing is above what is not a number.
static nid above(struct import *im, nid x, nid y, bool or_equal) {
    nid more = op1(im, OP_STEP, op2(im, OP_SUB, x, y));
    return or_equal ? op2(im, OP_MAX, more, op2(im, OP_EQ, x, y)) : more;
}

static bool compare(struct import *im, const struct onnx_val *in, bool less,
                    bool or_equal, struct onnx_val *out) {
    nid x, y;
    struct onnx_val like;
    if (!check_small_ints(im, in[0].id) || !check_small_ints(im, in[1].id) ||
        !val_align(im, in[0], in[1], &x, &y, &like))
        return false;
    nid yes = less ? above(im, y, x, or_equal) : above(im, x, y, or_equal);
    return op_done_like(truth_value(im, yes), like, out);
}

// The number of rows differs from negative numbers; nothing else is known of it.
static bool can_compare(struct import *im, nid x, nid y) {
    if (!holds_batch(im, x)) return true;
    const struct node *n = node_at(im->b.f, y);
    const int64_t *v = n->data;
    bool negative = n->op == OP_CONST && n->type.elem == ELEM_I64;
    for (size_t i = 0; negative && i < type_count(&n->type); i++) negative = v[i] < 0;
    return negative || check_known(im, x, "compares");
}

IMPORTER(import_equal) {
    nid x, y;
    struct onnx_val like;
    if (!can_compare(im, in[0].id, in[1].id) || !can_compare(im, in[1].id, in[0].id) ||
        !val_align(im, in[0], in[1], &x, &y, &like))
        return false;
    return op_done_like(truth_value(im, op2(im, OP_EQ, x, y)), like, out);
}

IMPORTER(import_less) {
    return compare(im, in, true, false, out);
}
IMPORTER(import_less_or_equal) {
    return compare(im, in, true, true, out);
}
IMPORTER(import_greater) {
    return compare(im, in, false, false, out);
}
IMPORTER(import_greater_or_equal) {
    return compare(im, in, false, true, out);
}

// ---- logic ---------------------------------------------------------------------------
static bool check_truth(struct import *im, struct onnx_val v) {
    const struct node *n = node_at(im->b.f, v.id);
    bool ok = n->type.elem == ELEM_I64;
    const int64_t *c = n->op == OP_CONST ? n->data : NULL;
    for (size_t i = 0; ok && c && i < type_count(&n->type); i++) ok = c[i] == !!c[i];
    return ok || op_fail(im, "takes truth values, this is %s", val_text(im, v));
}

static bool logic(struct import *im, const struct onnx_val *in, enum op op,
                  struct onnx_val *like, nid *out) {
    nid x, y;
    if (!check_truth(im, in[0]) || !check_truth(im, in[1]) ||
        !val_align(im, in[0], in[1], &x, &y, like))
        return false;
    *out = op2(im, op, x, y);
    return true;
}

IMPORTER(import_logic) {
    struct onnx_val like;
    nid y;
    return logic(im, in, im->op->op, &like, &y) && op_done_like(y, like, out);
}

IMPORTER(import_xor) {
    struct onnx_val like;
    nid same;
    if (!logic(im, in, OP_EQ, &like, &same)) return false;
    return op_done_like(negation(im, same), like, out);
}

IMPORTER(import_not) {
    if (!check_truth(im, in[0])) return false;
    return op_done_like(negation(im, in[0].id), in[0], out);
}

// ---- choices -------------------------------------------------------------------------
static bool join(struct import *im, enum op op, struct onnx_val x, struct onnx_val y,
                 struct onnx_val *out) {
    nid a, b;
    struct onnx_val like;
    if (x.id == NID_NONE || y.id == NID_NONE) return false;
    return val_align(im, x, y, &a, &b, &like) &&
           op_done_like(op2(im, op, a, b), like, out);
}

// Floats: max(min(x, +-inf), min(y, -+inf)), the sign as the condition says. What is not
// chosen may be infinite or not a number and does not show, which 0 * x would let it.
static bool choose_floats(struct import *im, struct onnx_val c, struct onnx_val x,
                          struct onnx_val y, struct onnx_val *out) {
    struct onnx_val high = c, low = c;
    nid half = op2(im, OP_SUB, op_cast(im, c.id, ELEM_F32), op_scalar(im, 0.5));
    high.id = op2(im, OP_MUL, half, op_scalar(im, INFINITY));
    low.id = op1(im, OP_NEG, high.id);
    return join(im, OP_MIN, x, high, &x) && join(im, OP_MIN, y, low, &y) &&
           join(im, OP_MAX, x, y, out);
}

// Integers wrap, so that c x + (1 - c) y is exact whatever they are.
static bool choose_integers(struct import *im, struct onnx_val c, struct onnx_val x,
                            struct onnx_val y, struct onnx_val *out) {
    struct onnx_val no = c;
    no.id = negation(im, c.id);
    return join(im, OP_MUL, c, x, &x) && join(im, OP_MUL, no, y, &y) &&
           join(im, OP_ADD, x, y, out);
}

IMPORTER(import_where) {
    enum elem e = val_type(im, in[1])->elem;
    if (!check_truth(im, in[0])) return false;
    if (val_type(im, in[2])->elem != e)
        return op_fail(im, "chooses between %s and %s", val_text(im, in[1]),
                       val_text(im, in[2]));
    return (e == ELEM_F32 ? choose_floats : choose_integers)(im, in[0], in[1], in[2],
                                                             out);
}
