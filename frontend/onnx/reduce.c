// Reductions over axes, and softmax, which is made of them.
//
// Up to opset 12 (ReduceSum) or 17 (the others) the axes are an attribute, later an
// input; either is taken in any file.
#include "frontend/onnx/onnx.h"

struct over { // what is reduced of a node
    int64_t axes[TYPE_MAX_RANK + 1];
    size_t n;
    bool keep;    // with size 1
    double count; // elements that become one
};

typedef nid (*reduction)(struct import *im, nid x, const struct over *o);

static nid total(struct import *im, nid x, const struct over *o) {
    return op_reduce(im, OP_SUM, x, o->axes, o->n, o->keep);
}

static nid largest(struct import *im, nid x, const struct over *o) {
    return op_reduce(im, OP_AMAX, x, o->axes, o->n, o->keep);
}

static nid smallest(struct import *im, nid x, const struct over *o) {
    return op1(im, OP_NEG, largest(im, op1(im, OP_NEG, x), o));
}

static nid mean(struct import *im, nid x, const struct over *o) {
    return op2(im, OP_MUL, total(im, x, o), op_scalar(im, 1 / o->count));
}

static nid sizes(struct import *im, nid x, const struct over *o) {
    return total(im, op_abs(im, x), o);
}

static nid squares(struct import *im, nid x, const struct over *o) {
    return total(im, op2(im, OP_MUL, x, x), o);
}

static nid length(struct import *im, nid x, const struct over *o) {
    return op1(im, OP_SQRT, squares(im, x, o));
}

static nid log_total(struct import *im, nid x, const struct over *o) {
    return op1(im, OP_LOG, total(im, x, o));
}

// log sum e^x = m + log sum e^(x - m) with m the largest, so that nothing overflows.
static nid log_total_exp(struct import *im, nid x, const struct over *o) {
    struct over kept = *o;
    kept.keep = true;
    nid e = op1(im, OP_EXP, op2(im, OP_SUB, x, largest(im, x, &kept)));
    return op2(im, OP_ADD, largest(im, x, o), log_total(im, e, o));
}

// ---- products ------------------------------------------------------------------------
// Columns [from, from + n) of a matrix.
static nid columns(struct import *im, nid x, size_t from, size_t n) {
    const struct type *t = type_at(im->b.f, x);
    const int64_t starts[] = {0, (int64_t)from}, steps[] = {1, 1};
    return op_slice(im, x, starts, steps, (int64_t[]){(int64_t)t->dim[0], (int64_t)n});
}

// Columns are multiplied by each other, half by half, until one is left.
static nid multiply_columns(struct import *im, nid x, size_t n) {
    const struct value last = val_int(1);
    while (n > 1 && x != NID_NONE) {
        size_t half = n / 2;
        nid y = op2(im, OP_MUL, columns(im, x, 0, half), columns(im, x, half, half));
        if (n % 2)
            y = op_make(im, OP_CONCAT, (nid[]){y, columns(im, x, n - 1, 1)}, 2, &last);
        x = y;
        n = half + n % 2;
    }
    return x;
}

static nid product(struct import *im, nid x, const struct over *o) {
    const struct type *t = type_at(im->b.f, x);
    int64_t perm[TYPE_MAX_RANK];
    size_t dim[TYPE_MAX_RANK], rank = 0, kept = 0, rest = 1, n = 1;
    bool gone[TYPE_MAX_RANK] = {0};
    for (size_t i = 0; i < o->n; i++) gone[o->axes[i]] = true;
    for (size_t i = 0; i < t->rank; i++) {
        if (!gone[i]) perm[kept++] = (int64_t)i, rest *= t->dim[i];
        if (!gone[i] || o->keep) dim[rank++] = gone[i] ? 1 : t->dim[i];
    }
    for (size_t i = 0; i < t->rank; i++)
        if (gone[i]) perm[kept++] = (int64_t)i, n *= t->dim[i];
    const struct value order = val_ints(perm, kept);
    nid y = op_make(im, OP_TRANSPOSE, &x, 1, &order);
    y = multiply_columns(im, op_reshape(im, y, (size_t[]){rest, n}, 2), n);
    return op_reshape(im, y, dim, rank);
}

// ---- the ops -------------------------------------------------------------------------
// The node's axes to reduce: those given, or all of them.
static bool read_axes(struct import *im, struct onnx_val v, const int64_t *given,
                      size_t n, struct over *o) {
    size_t rank = val_rank(im, v), axis;
    bool seen[TYPE_MAX_RANK + 1] = {0};
    if (n > rank) return op_fail(im, "reduces %zu axes of %s", n, val_text(im, v));
    o->n = n ? n : rank;
    o->count = 1;
    for (size_t i = 0; i < o->n; i++) {
        if (!val_axis(im, v, n ? given[i] : (int64_t)i, &axis)) return false;
        if (seen[axis]) return op_fail(im, "reduces an axis twice");
        seen[axis] = true;
        o->axes[i] = (int64_t)axis;
        o->count *= (double)val_type(im, v)->dim[axis];
    }
    return o->count > 0 ||
           op_fail(im, "reduces %s, of which there is nothing", val_text(im, v));
}

// Axes that are gone from in front of the batch move it forward.
static struct onnx_val reduced_like(struct onnx_val v, const struct over *o) {
    size_t before = 0;
    for (size_t i = 0; i < o->n; i++) before += (size_t)o->axes[i] < v.at;
    if (v.form == FORM_ROWS && !o->keep) v.at -= before;
    return v;
}

static bool reduce(struct import *im, const struct onnx_val *in, reduction fn,
                   struct onnx_val *out) {
    const int64_t *given;
    size_t n;
    bool noop;
    struct over o;
    if (!node_flag(im, "keepdims", true, &o.keep) ||
        !node_flag(im, "noop_with_empty_axes", false, &noop) ||
        !node_ints_or_input(im, in, 1, "axes", &given, &n))
        return false;
    if (noop && n == 0) {
        out[0] = in[0];
        return true;
    }
    if (!read_axes(im, in[0], given, n, &o) || !check_small_ints(im, in[0].id))
        return false;
    return op_done_like(fn(im, in[0].id, &o), reduced_like(in[0], &o), out);
}

#define REDUCTION(name, fn)                                                              \
    IMPORTER(name) {                                                                     \
        return reduce(im, in, fn, out);                                                  \
    }
REDUCTION(import_reduce_sum, total)
REDUCTION(import_reduce_max, largest)
REDUCTION(import_reduce_min, smallest)
REDUCTION(import_reduce_mean, mean)
REDUCTION(import_reduce_prod, product)
REDUCTION(import_reduce_l1, sizes)
REDUCTION(import_reduce_l2, length)
REDUCTION(import_reduce_sum_square, squares)
REDUCTION(import_reduce_log_sum, log_total)
REDUCTION(import_reduce_log_sum_exp, log_total_exp)

// ---- softmax -------------------------------------------------------------------------
// Up to opset 12 softmax is over all axes from `axis` on, later over one.
IMPORTER(import_softmax) {
    int64_t axis;
    bool flattens = im->opset < 13;
    size_t first, at;
    struct over o = {.keep = true};
    if (!check_f32(im, in[0]) || !node_int(im, "axis", flattens ? 1 : -1, &axis) ||
        !onnx_axis(im, axis, val_rank(im, in[0]), &first))
        return false;
    size_t last = flattens ? val_rank(im, in[0]) : first + 1;
    for (size_t i = first; i < last; i++) {
        if (!val_axis(im, in[0], (int64_t)i, &at)) return false;
        o.axes[o.n++] = (int64_t)at;
    }
    nid x = op2(im, OP_SUB, in[0].id, largest(im, in[0].id, &o));
    nid e = op1(im, OP_EXP, x);
    nid sum = total(im, e, &o);
    nid y = im->op->op == OP_LOG ? op2(im, OP_SUB, x, op1(im, OP_LOG, sum))
                                 : op2(im, OP_DIV, e, sum);
    return op_done_like(y, in[0], out);
}
