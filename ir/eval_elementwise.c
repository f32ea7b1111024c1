// The reference evaluator: elementwise ops. Floats are computed in double and rounded
// once; integers wrap.
#include "ir/bf16.h"
#include "ir/eval_core.h"

#include <math.h>

// ---- elements -----------------------------------------------------------------------
static double load_float(const void *p, enum elem e, size_t i) {
    if (e == ELEM_F32) return (double)((const float *)p)[i];
    if (e == ELEM_BF16) return (double)bf16_value(((const uint16_t *)p)[i]);
    return (double)load_int(p, e, i);
}

int64_t load_int(const void *p, enum elem e, size_t i) {
    switch (e) {
    case ELEM_I32: return ((const int32_t *)p)[i];
    case ELEM_I64: return ((const int64_t *)p)[i];
    case ELEM_U8: return ((const uint8_t *)p)[i];
    case ELEM_U64: return (int64_t)((const uint64_t *)p)[i];
    case ELEM_F32:
    case ELEM_BF16:
    case ELEM_COUNT: break;
    }
    BUG("reading %s as an integer", elem_name(e));
}

// Conversions to a narrower integer keep the low bits.
void store_int(void *p, enum elem e, size_t i, int64_t v) {
    switch (e) {
    case ELEM_F32: ((float *)p)[i] = (float)v; return;
    case ELEM_I32: ((int32_t *)p)[i] = (int32_t)(uint32_t)v; return;
    case ELEM_I64: ((int64_t *)p)[i] = v; return;
    case ELEM_U8: ((uint8_t *)p)[i] = (uint8_t)v; return;
    case ELEM_U64: ((uint64_t *)p)[i] = (uint64_t)v; return;
    case ELEM_BF16:
    case ELEM_COUNT: break;
    }
    BUG("storing an integer as %s", elem_name(e));
}

// v without its fraction, within [low, high], where high + 1 is a power of two.
static int64_t cut(double v, int64_t low, int64_t high) {
    if (isnan(v)) return 0;
    if (v <= (double)low) return low;
    return v >= (double)high ? high : (int64_t)v;
}

void store_float(void *p, enum elem e, size_t i, double v) {
    switch (e) {
    case ELEM_F32: ((float *)p)[i] = (float)v; return;
    case ELEM_I32: ((int32_t *)p)[i] = (int32_t)cut(v, INT32_MIN, INT32_MAX); return;
    case ELEM_I64: ((int64_t *)p)[i] = cut(v, INT64_MIN, INT64_MAX); return;
    case ELEM_U8: ((uint8_t *)p)[i] = (uint8_t)cut(v, 0, UINT8_MAX); return;
    case ELEM_U64: ((uint64_t *)p)[i] = (uint64_t)cut(v, 0, INT64_MAX); return;
    case ELEM_BF16: ((uint16_t *)p)[i] = bf16_of((float)v); return;
    case ELEM_COUNT: break;
    }
    BUG("storing to an unknown element type");
}

// ---- one element of the result ------------------------------------------------------
static double float_op(enum op op, double x, double y) {
    switch (op) {
    case OP_NEG: return -x;
    case OP_EXP: return exp(x);
    case OP_LOG: return log(x);
    case OP_SQRT: return sqrt(x);
    case OP_RELU: return x > 0 ? x : 0;
    case OP_STEP: return x > 0;
    case OP_TANH: return tanh(x);
    case OP_SIGMOID: return 1 / (1 + exp(-x));
    case OP_ERF: return erf(x);
    case OP_ADD: return x + y;
    case OP_SUB: return x - y;
    case OP_MUL: return x * y;
    case OP_DIV: return x / y;
    case OP_MAX: return x > y ? x : y;
    case OP_MIN: return x < y ? x : y;
    case OP_EQ: return x == y;
    case OP_CAST: return x;
    default: BUG("%s is not an elementwise op on floats", op_info(op)->name);
    }
}

static int64_t floor_div(int64_t x, int64_t y) {
    if (y == 0) return 0;
    if (y == -1) return (int64_t)(0 - (uint64_t)x); // INT64_MIN / -1 wraps
    int64_t q = x / y;
    return q - (x % y != 0 && (x < 0) != (y < 0));
}

static int64_t int_op(enum op op, int64_t x, int64_t y) {
    uint64_t a = (uint64_t)x, b = (uint64_t)y;
    switch (op) {
    case OP_NEG: return (int64_t)(0 - a);
    case OP_RELU: return x > 0 ? x : 0;
    case OP_STEP: return x > 0;
    case OP_ADD: return (int64_t)(a + b);
    case OP_SUB: return (int64_t)(a - b);
    case OP_MUL: return (int64_t)(a * b);
    case OP_DIV: return floor_div(x, y);
    case OP_MAX: return x > y ? x : y;
    case OP_MIN: return x < y ? x : y;
    case OP_EQ: return x == y;
    case OP_CAST: return x;
    default: BUG("%s is not an elementwise op on integers", op_info(op)->name);
    }
}

// What networks have most of, their weights: without a look at each one's place and type.
static bool halved(const struct eval_call *c) {
    const float *from = c->in[0];
    uint16_t *to = c->out;
    if (c->n->op != OP_CAST || c->n->type.elem != ELEM_BF16) return false;
    if (c->types[0]->elem != ELEM_F32) return false;
    size_t count = type_count(&c->n->type);
    for (size_t i = 0; i < count; i++) to[i] = bf16_of(from[i]);
    return true;
}

bool eval_elementwise(const struct eval_call *c) {
    if (halved(c)) return true;
    const struct type *out = &c->n->type, *x = c->types[0], *y = c->types[c->nin - 1];
    const void *py = c->in[c->nin - 1]; // of a unary op: x again, and not looked at
    struct cursor at = cursor_of(out);
    broadcast_steps(x, out, at.step[0]);
    broadcast_steps(y, out, at.step[1]);
    size_t count = type_count(out);
    for (size_t i = 0; i < count; i++, cursor_next(&at)) {
        size_t ix = (size_t)at.off[0], iy = (size_t)at.off[1];
        if (x->elem == ELEM_F32 || x->elem == ELEM_BF16)
            store_float(c->out, out->elem, i,
                        float_op(c->n->op, load_float(c->in[0], x->elem, ix),
                                 load_float(py, y->elem, iy)));
        else
            store_int(c->out, out->elem, i,
                      int_op(c->n->op, load_int(c->in[0], x->elem, ix),
                             load_int(py, y->elem, iy)));
    }
    return true;
}
