// Activations, composed of the IR's elementwise ops.
//
// Each is written so that neither branch overflows where the other is taken: a gradient
// would multiply the infinity by 0.
#include "frontend/onnx/onnx.h"

#include <math.h>

static nid add(struct import *im, nid x, nid y) {
    return op2(im, OP_ADD, x, y);
}
static nid mul(struct import *im, nid x, nid y) {
    return op2(im, OP_MUL, x, y);
}
static nid plus(struct import *im, nid x, double v) {
    return v == 0 ? x : op2(im, OP_ADD, x, op_scalar(im, v));
}
static nid times(struct import *im, nid x, double v) {
    return v == 1 ? x : op2(im, OP_MUL, x, op_scalar(im, v));
}
static nid at_most(struct import *im, nid x, double v) {
    return op2(im, OP_MIN, x, op_scalar(im, v));
}

// The one operand, which is of floats; NID_NONE after an error.
static nid operand(struct import *im, const struct onnx_val *in) {
    return check_f32(im, in[0]) ? in[0].id : NID_NONE;
}

// ---- made of straight lines ----------------------------------------------------------
IMPORTER(import_leaky_relu) {
    double alpha;
    nid x = operand(im, in);
    if (!node_float(im, "alpha", 0.01, &alpha)) return false;
    nid slope = op2(im, OP_MUL, x, op_scalar(im, alpha));
    return op_done_like(op2(im, alpha <= 1 ? OP_MAX : OP_MIN, x, slope), in[0], out);
}

// relu(x) + slope min(x, 0): the slope may be any number, another for each element.
IMPORTER(import_prelu) {
    nid below, slope;
    struct onnx_val like, negative = in[0];
    nid x = operand(im, in);
    if (x == NID_NONE) return false;
    negative.id = at_most(im, x, 0);
    if (negative.id == NID_NONE || !val_align(im, negative, in[1], &below, &slope, &like))
        return false;
    return op_done_like(add(im, op1(im, OP_RELU, x), mul(im, below, slope)), in[0], out);
}

IMPORTER(import_thresholded_relu) {
    double alpha;
    nid x = operand(im, in);
    if (!node_float(im, "alpha", 1, &alpha)) return false;
    nid above = op1(im, OP_STEP, plus(im, x, -alpha));
    return op_done_like(mul(im, x, above), in[0], out);
}

static nid hard_sigmoid(struct import *im, nid x, double alpha, double beta) {
    return at_most(im, op1(im, OP_RELU, plus(im, times(im, x, alpha), beta)), 1);
}

IMPORTER(import_hard_sigmoid) {
    double alpha, beta;
    if (!node_float(im, "alpha", 0.2, &alpha) || !node_float(im, "beta", 0.5, &beta))
        return false;
    return op_done_like(hard_sigmoid(im, operand(im, in), alpha, beta), in[0], out);
}

IMPORTER(import_hard_swish) {
    nid x = operand(im, in);
    return op_done_like(mul(im, x, hard_sigmoid(im, x, 1.0 / 6, 0.5)), in[0], out);
}

IMPORTER(import_shrink) {
    double bias, lambda;
    nid x = operand(im, in);
    if (!node_float(im, "bias", 0, &bias) || !node_float(im, "lambd", 0.5, &lambda))
        return false;
    nid above = op1(im, OP_STEP, plus(im, x, -lambda));
    nid below = op1(im, OP_STEP, plus(im, op1(im, OP_NEG, x), -lambda));
    nid y =
        add(im, mul(im, above, plus(im, x, -bias)), mul(im, below, plus(im, x, bias)));
    return op_done_like(y, in[0], out);
}

// A bound is an attribute up to opset 10 and an input from 11 on. *given is false when it
// is missing, or bounds nothing in f32.
static bool clip_bound(struct import *im, const struct onnx_val *in, size_t i,
                       const char *name, bool *given, nid *out) {
    double v;
    *given = in[i].form != FORM_NONE || attr_has(im, name);
    if (!*given) return true;
    if (in[i].form == FORM_NONE) {
        if (!node_float(im, name, 0, &v)) return false;
        *given = fabs(v) < 3.4028234e38;
        *out = op_scalar(im, v);
        return true;
    }
    if (in[i].form != FORM_FIXED || type_count(val_type(im, in[i])) != 1)
        return op_fail(im, "needs one number as %s, this is %s", name,
                       val_text(im, in[i]));
    if (val_is_const(im, in[i])) {
        if (!operand_number(im, in[i], name, &v)) return false;
        *given = fabs(v) < 3.4028234e38;
    }
    *out = op_reshape(im, in[i].id, NULL, 0);
    return *out != NID_NONE;
}

static bool is_zero(const struct import *im, nid id) {
    const struct node *n = node_at(im->b.f, id);
    return n->op == OP_CONST && n->type.elem == ELEM_F32 && *(const float *)n->data == 0;
}

IMPORTER(import_clip) {
    bool has_low, has_high;
    nid low = NID_NONE, high = NID_NONE, y = in[0].id;
    if (!clip_bound(im, in, 1, "min", &has_low, &low) ||
        !clip_bound(im, in, 2, "max", &has_high, &high))
        return false;
    if (has_low) y = is_zero(im, low) ? op1(im, OP_RELU, y) : op2(im, OP_MAX, y, low);
    if (has_high) y = op2(im, OP_MIN, y, high);
    return op_done_like(y, in[0], out);
}

// ---- made of exponentials ------------------------------------------------------------
// e^(min(x, 0) / alpha) - 1
static nid decay(struct import *im, nid x, double alpha) {
    return plus(im, op1(im, OP_EXP, times(im, at_most(im, x, 0), 1 / alpha)), -1);
}

IMPORTER(import_elu) {
    double alpha;
    nid x = operand(im, in);
    if (!node_float(im, "alpha", 1, &alpha)) return false;
    nid y = add(im, op1(im, OP_RELU, x), times(im, decay(im, x, 1), alpha));
    return op_done_like(y, in[0], out);
}

IMPORTER(import_celu) {
    double alpha;
    nid x = operand(im, in);
    if (!node_float(im, "alpha", 1, &alpha)) return false;
    if (alpha <= 0) return op_fail(im, "has alpha = %g, which is above 0", alpha);
    nid y = add(im, op1(im, OP_RELU, x), times(im, decay(im, x, alpha), alpha));
    return op_done_like(y, in[0], out);
}

IMPORTER(import_selu) {
    double alpha, gamma;
    nid x = operand(im, in);
    if (!node_float(im, "alpha", 1.67326319217681884765625, &alpha) ||
        !node_float(im, "gamma", 1.05070102214813232421875, &gamma))
        return false;
    nid y = add(im, op1(im, OP_RELU, x), times(im, decay(im, x, 1), alpha));
    return op_done_like(times(im, y, gamma), in[0], out);
}

// log(1 + e^x) = relu(x) + log(1 + e^-|x|)
static nid softplus(struct import *im, nid x) {
    nid e = op1(im, OP_EXP, op1(im, OP_NEG, op_abs(im, x)));
    return add(im, op1(im, OP_RELU, x), op1(im, OP_LOG, plus(im, e, 1)));
}

IMPORTER(import_softplus) {
    return op_done_like(softplus(im, operand(im, in)), in[0], out);
}

IMPORTER(import_mish) {
    nid x = operand(im, in);
    return op_done_like(mul(im, x, op1(im, OP_TANH, softplus(im, x))), in[0], out);
}

IMPORTER(import_softsign) {
    nid x = operand(im, in);
    nid y = op2(im, OP_DIV, x, plus(im, op_abs(im, x), 1));
    return op_done_like(y, in[0], out);
}

// x times the share of a normal distribution below x, or the approximation of it by tanh.
IMPORTER(import_gelu) {
    size_t by_tanh;
    nid x = operand(im, in);
    if (!node_choice(im, "approximate", "none|tanh", &by_tanh)) return false;
    nid share;
    if (by_tanh) {
        nid cube = mul(im, mul(im, x, x), x);
        nid inner = times(im, add(im, x, times(im, cube, 0.044715)), sqrt(2 / M_PI));
        share = op1(im, OP_TANH, inner);
    } else {
        share = op1(im, OP_ERF, times(im, x, M_SQRT1_2));
    }
    return op_done_like(mul(im, times(im, x, 0.5), plus(im, share, 1)), in[0], out);
}
