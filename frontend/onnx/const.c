// Constants and the arithmetic of shapes. All of it is done by the builder's folding, on
// i64 constants; only multiples of the batch size are no numbers, and are computed here.
#include "frontend/onnx/onnx.h"

#include <math.h>

bool holds_batch(const struct import *im, nid id) {
    const struct node *n = node_at(im->b.f, id);
    if (n->op != OP_CONST || n->type.elem != ELEM_I64) return false;
    const int64_t *v = n->data;
    for (size_t i = 0, count = type_count(&n->type); i < count; i++)
        if (onnx_is_batch(v[i])) return true;
    return false;
}

bool check_known(struct import *im, nid id, const char *verb) {
    return !holds_batch(im, id) ||
           op_fail(im, "%s the number of rows in a batch, which ddg does not know", verb);
}

// ---- constants -----------------------------------------------------------------------
static nid const_floats(struct import *im, const float *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (isfinite(v[i])) continue;
        op_fail(im, "holds a value that is not finite");
        return NID_NONE;
    }
    return op_const(im, type_tensor(ELEM_F32, false, 1, &n), n ? v : (const float[]){0});
}

static nid const_integers(struct import *im, const int64_t *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!onnx_is_batch(v[i])) continue;
        op_fail(im, "holds an absurd number");
        return NID_NONE;
    }
    return op_const(im, type_tensor(ELEM_I64, false, 1, &n),
                    n ? v : (const int64_t[]){0});
}

// The node's one attribute, of any of the kinds that ONNX allows.
static nid constant(struct import *im) {
    const Onnx__AttributeProto *a = im->node->attribute[0];
    const struct onnx_tensor *t = im->value;
    switch (a->type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR:
        return op_stored_at(im, t->type, t->data, t->digest, onnx_node_name(im->node));
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        return op_reshape(im, const_integers(im, &a->i, 1), NULL, 0);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
        return const_integers(im, a->ints, a->n_ints);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        return op_reshape(im, const_floats(im, &a->f, 1), NULL, 0);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
        return const_floats(im, a->floats, a->n_floats);
    default: op_fail(im, "has a value of a kind that ddg does not read"); return NID_NONE;
    }
}

IMPORTER(import_constant) {
    (void)in;
    if (im->node->n_attribute != 1)
        return op_fail(im, "has %zu values", im->node->n_attribute);
    const Onnx__AttributeProto *a = im->node->attribute[0];
    if (a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR && !im->value)
        return op_fail(im, "has no tensor");
    return op_done(constant(im), FORM_FIXED, out);
}

// What a ConstantOfShape is filled with: one element, 0 when it is not given.
static nid filling(struct import *im) {
    const struct onnx_tensor *t = im->value;
    if (!attr_has(im, "value")) return op_scalar(im, 0);
    if (!t) {
        op_fail(im, "has a value that is no tensor");
        return NID_NONE;
    }
    if (type_count(&t->type) != 1) {
        op_fail(im, "has a value of %zu elements; it takes one", type_count(&t->type));
        return NID_NONE;
    }
    return op_const(im, type_scalar(t->type.elem, false), t->data);
}

IMPORTER(import_constant_of_shape) {
    const int64_t *shape;
    size_t n, dim[TYPE_MAX_RANK + 1], node[TYPE_MAX_RANK + 1];
    struct onnx_val like = {.form = FORM_FIXED, .outer = 1};
    if (!operand_ints(im, in[0], "a shape", &shape, &n)) return false;
    if (n > COUNT(dim)) return op_fail(im, "makes a value with %zu axes", n);
    for (size_t i = 0; i < n; i++) {
        bool batch = onnx_is_batch(shape[i]); // the same for every row
        if (!batch && (shape[i] < 0 || shape[i] > (int64_t)TYPE_MAX_COUNT))
            return op_fail(im, "has %lld in its shape", (long long)shape[i]);
        if (batch && like.form == FORM_ROWS) return op_fail(im, "has the batch twice");
        dim[i] = batch ? onnx_batch_of(shape[i]) : (size_t)shape[i];
        if (batch) like = (struct onnx_val){FORM_ROWS, NID_NONE, i, dim[i] != 1, 1};
    }
    n = place_dims(like, dim, n, node);
    if (n > TYPE_MAX_RANK) return op_fail(im, "makes a value with %zu axes", n);
    nid one = filling(im);
    if (one == NID_NONE) return false;
    return op_done_like(op_broadcast(im, one, node, n), like, out);
}

static bool range_size(struct import *im, double start, double limit, double step,
                       size_t *out) {
    if (step == 0) return op_fail(im, "has a step of 0");
    double n = ceil((limit - start) / step);
    if (n > (double)TYPE_MAX_COUNT) return op_fail(im, "makes %g elements", n);
    *out = n > 0 ? (size_t)n : 0;
    return op_charge(im, *out);
}

IMPORTER(import_range) {
    double v[3];
    size_t n;
    for (size_t i = 0; i < 3; i++) {
        if (!operand_number(im, in[i], "a bound", &v[i])) return false;
        if (!check_known(im, in[i].id, "computes with")) return false;
        if (fabs(v[i]) > 0x1p40) return op_fail(im, "has a bound of %g", v[i]);
    }
    if (!range_size(im, v[0], v[1], v[2], &n)) return false;
    enum elem e = val_type(im, in[0])->elem;
    float *f = NEW_N(im->arena, float, n + 1);
    int64_t *i64 = NEW_N(im->arena, int64_t, n + 1);
    for (size_t i = 0; i < n; i++) {
        double at = v[0] + (double)i * v[2];
        f[i] = (float)at;
        i64[i] = (int64_t)at;
    }
    const void *data = e == ELEM_F32 ? (const void *)f : (const void *)i64;
    return op_done(op_const(im, type_tensor(e, false, 1, &n), data), FORM_FIXED, out);
}

// ---- shapes --------------------------------------------------------------------------
// A bound of a range over rank axes, as ONNX clamps it.
static size_t clamp_axis(int64_t axis, size_t rank) {
    int64_t r = (int64_t)rank;
    if (axis < 0) axis = axis < -r ? 0 : axis + r;
    return (size_t)(axis > r ? r : axis);
}

IMPORTER(import_shape) {
    int64_t start, end, dim[TYPE_MAX_RANK + 1];
    size_t rank = val_shape(im, in[0], dim);
    if (!node_int(im, "start", 0, &start) || !node_int(im, "end", INT64_MAX, &end))
        return false;
    size_t first = clamp_axis(start, rank), last = clamp_axis(end, rank);
    size_t count = last > first ? last - first : 0;
    struct type shape = type_tensor(ELEM_I64, false, 1, &count);
    return op_done(op_const(im, shape, dim + first), FORM_FIXED, out);
}

IMPORTER(import_size) {
    size_t count = type_count(val_type(im, in[0]));
    int64_t n = in[0].form == FORM_ROWS ? onnx_batch(count) : (int64_t)count;
    return op_done(op_const(im, type_scalar(ELEM_I64, false), &n), FORM_FIXED, out);
}

// ---- arithmetic with the batch size --------------------------------------------------
// x op y when at least one is some k N; false when the result is no multiple of N.
static bool batch_result(enum op op, int64_t x, int64_t y, int64_t *out) {
    bool bx = onnx_is_batch(x), by = onnx_is_batch(y);
    size_t p = bx ? onnx_batch_of(x) : (size_t)x, q = by ? onnx_batch_of(y) : (size_t)y;
    size_t r = 0;
    if (x < 0 || y < 0) return false;
    bool number = op == OP_MUL && (p == 0 || q == 0); // 0 N
    switch (op) {
    case OP_MUL:
        if ((bx && by) || !size_mul(p, q, &r)) return false;
        break;
    case OP_DIV:
        if (!bx || q == 0 || p % q) return false;
        r = p / q;
        number = by;
        break;
    case OP_ADD:
        if ((!bx && p) || (!by && q)) return false;
        r = p + q;
        break;
    case OP_SUB:
        if (!bx || (!by && q) || p < q) return false;
        r = p - q;
        number = p == q;
        break;
    default: return false;
    }
    if (r > TYPE_MAX_COUNT) return false;
    *out = number ? (int64_t)r : onnx_batch(r);
    return true;
}

// The same for numbers, of the size that shapes have.
static bool number_result(enum op op, int64_t x, int64_t y, int64_t *out) {
    const int64_t limit = INT32_MAX;
    if (x > limit || y > limit || x < -limit || y < -limit) return false;
    switch (op) {
    case OP_MUL: *out = x * y; break;
    case OP_ADD: *out = x + y; break;
    case OP_SUB: *out = x - y; break;
    case OP_DIV:
        if (y == 0) return false;
        *out = x / y;
        break;
    default: return false;
    }
    return *out <= limit && *out >= -limit;
}

IMPORTER(import_batch_arithmetic) {
    nid x, y;
    struct onnx_val like;
    if (!val_align(im, in[0], in[1], &x, &y, &like)) return false;
    const struct node *p = node_at(im->b.f, x), *q = node_at(im->b.f, y);
    size_t n = type_count(&p->type), m = type_count(&q->type), count = size_max(n, m);
    if (p->op != OP_CONST || q->op != OP_CONST || p->type.elem != q->type.elem ||
        (n != m && n != 1 && m != 1))
        return op_fail(im, "computes with the number of rows in a batch and %s",
                       val_text(im, in[holds_batch(im, in[0].id)]));
    if (!op_charge(im, count)) return false;
    const int64_t *u = p->data, *v = q->data;
    int64_t *w = NEW_N(im->arena, int64_t, size_max(count, 1));
    for (size_t i = 0; i < count; i++) {
        int64_t a = u[n == 1 ? 0 : i], b = v[m == 1 ? 0 : i];
        bool batch = onnx_is_batch(a) || onnx_is_batch(b);
        if (batch ? batch_result(im->op->op, a, b, &w[i])
                  : number_result(im->op->op, a, b, &w[i]))
            continue;
        return check_known(im, holds_batch(im, x) ? x : y, "computes with");
    }
    bool first = n > m || (n == m && p->type.rank >= q->type.rank);
    return op_done_like(op_const(im, first ? p->type : q->type, w), like, out);
}

// ---- conversions ---------------------------------------------------------------------
// 0 and 1 for a conversion to bool.
static nid truth(struct import *im, nid x) {
    const struct type *t = type_at(im->b.f, x);
    nid zero = op_cast(im, op_scalar(im, 0), t->elem);
    nid one = op_cast(im, op_scalar(im, 1), t->elem);
    return op2(im, OP_SUB, one, op2(im, OP_EQ, x, zero));
}

static bool convert(struct import *im, struct onnx_val v, enum elem e, bool to_truth,
                    struct onnx_val *out) {
    if (val_type(im, v)->elem == e && !to_truth) {
        *out = v;
        return true;
    }
    if (!check_known(im, v.id, "converts")) return false;
    nid x = to_truth ? truth(im, v.id) : v.id;
    return op_done_like(op_cast(im, x, e), v, out);
}

IMPORTER(import_cast) {
    int64_t to;
    enum elem e;
    if (!node_int(im, "to", 0, &to)) return false;
    if (!onnx_elem(to, &e))
        return op_fail(im, "converts to %s, which ddg does not compute with",
                       onnx_elem_name(to));
    return convert(im, in[0], e, to == ONNX__TENSOR_PROTO__DATA_TYPE__BOOL, out);
}

// Of an integer it is not known which type it had in the file.
IMPORTER(import_cast_like) {
    if (val_type(im, in[1])->elem != ELEM_F32)
        return op_fail(im, "converts to the type of %s; ddg knows that of floats only",
                       val_text(im, in[1]));
    return convert(im, in[0], ELEM_F32, false, out);
}
