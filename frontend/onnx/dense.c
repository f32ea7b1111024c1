// Products of matrices: Gemm and MatMul.
//
// A product with a weight is one matmul with all other axes as rows, on the parameter
// itself, so that differentiation sees each layer in one known form. Other products are
// stacks of matrices, broadcast as numpy does.
#include "frontend/onnx/onnx.h"

#define MAX_RANK (TYPE_MAX_RANK + 1)

// ---- with a weight -------------------------------------------------------------------
// x @ w for x [.., I] and a fixed [I,O], or [O,I] with ty.
static nid dense(struct import *im, struct onnx_val x, nid w, bool ty) {
    const struct type *t = val_type(im, x), *wt = type_at(im->b.f, w);
    size_t features = t->rank ? t->dim[t->rank - 1] : 0, expected = wt->dim[ty];
    if (x.form == FORM_ROWS && x.at + 1 == val_rank(im, x)) {
        op_fail(im, "sums over the batch (the last axis of %s)", val_text(im, x));
        return NID_NONE;
    }
    if (features != expected || features == 0) {
        op_fail(im, "expects %zu features and would get %zu", expected, features);
        return NID_NONE;
    }
    size_t dim[TYPE_MAX_RANK];
    memcpy(dim, t->dim, sizeof dim);
    dim[t->rank - 1] = wt->dim[!ty];
    nid flat = op_reshape(im, x.id, (size_t[]){type_count(t) / features, features}, 2);
    return op_reshape(im, op_matmul(im, flat, w, ty), dim, t->rank);
}

// A transpose of a parameter, seen through: products transpose by a flag.
static nid untransposed(const struct import *im, nid w, bool *flipped) {
    const struct node *n = node_at(im->b.f, w);
    *flipped = n->op == OP_TRANSPOSE && n->type.rank == 2;
    return *flipped ? n->in[0] : w;
}

static bool is_matrix(const struct import *im, struct onnx_val v) {
    const struct type *t = val_type(im, v);
    return v.form == FORM_FIXED && t->rank == 2 && t->elem == ELEM_F32;
}

static nid scaled(struct import *im, nid x, double by) {
    return by == 1 ? x : op2(im, OP_MUL, x, op_scalar(im, by));
}

// The left factor of a Gemm, upright.
static bool gemm_rows(struct import *im, struct onnx_val v, bool transposed,
                      struct onnx_val *out) {
    *out = v;
    if (val_type(im, v)->elem != ELEM_F32 || val_rank(im, v) != 2)
        return op_fail(im, "takes features f32[N,I], this is %s", val_text(im, v));
    return !transposed || val_transpose(im, v, (int64_t[]){1, 0}, out);
}

IMPORTER(import_gemm) {
    bool ta, tb, flipped;
    double alpha, beta;
    struct onnx_val x;
    if (!node_flag(im, "transA", false, &ta) || !node_flag(im, "transB", false, &tb) ||
        !node_float(im, "alpha", 1, &alpha) || !node_float(im, "beta", 1, &beta))
        return false;
    if (!gemm_rows(im, in[0], ta, &x)) return false;
    if (!is_matrix(im, in[1]))
        return op_fail(im, "takes a fixed matrix as its second operand, this is %s",
                       val_text(im, in[1]));
    nid w = untransposed(im, in[1].id, &flipped);
    struct onnx_val y = x, like;
    y.id = scaled(im, dense(im, x, w, tb != flipped), alpha);
    if (y.id == NID_NONE || in[2].form == FORM_NONE) return op_done_like(y.id, y, out);
    nid a, c;
    if (!val_align(im, y, in[2], &a, &c, &like)) return false;
    return op_done_like(op2(im, OP_ADD, a, scaled(im, c, beta)), like, out);
}

// ---- stacks of matrices --------------------------------------------------------------
struct product {
    struct onnx_val like; // where the result has its batch
    size_t rank;          // of the result, in ONNX
    size_t x[MAX_RANK], y[MAX_RANK], out[MAX_RANK];
};

static void lead_with_ones(size_t *dim, size_t n, size_t rank) {
    memmove(dim + (rank - n), dim, n * sizeof *dim);
    for (size_t i = 0; i < rank - n; i++) dim[i] = 1;
}

static bool product_fail(struct import *im, const struct onnx_val *in) {
    return op_fail(im, "multiplies %s by %s, which ddg does not", val_text(im, in[0]),
                   val_text(im, in[1]));
}

// The batch may be an axis of the stack, or the rows of x or the columns of y where the
// other factor has none.
static bool place_batch(struct import *im, const struct onnx_val *in, struct product *p) {
    bool both = in[0].form == FORM_ROWS && in[1].form == FORM_ROWS;
    size_t k = in[0].form == FORM_ROWS ? 0 : 1, rank = val_rank(im, in[k]);
    p->like = in[k];
    if (in[k].form != FORM_ROWS) return true;
    p->like.at += p->rank - rank;
    size_t from_end = rank - in[k].at; // 1: the last axis
    if (from_end == (k == 0 ? 1 : 2))
        return op_fail(im, "sums over the batch of %s", val_text(im, in[k]));
    if (!both) return true;
    return (from_end > 2 && same_place(im, in[0], in[1])) || product_fail(im, in);
}

// The shape of the result, whose leading axes are those of both.
static bool product_shape(struct import *im, const struct onnx_val *in,
                          struct product *p) {
    size_t n = p->rank, batch = p->like.form == FORM_ROWS ? p->like.at : n;
    if (p->x[n - 1] != p->y[n - 2]) return product_fail(im, in);
    for (size_t i = 0; i + 2 < n; i++) {
        bool fits = p->x[i] == p->y[i] || p->x[i] == 1 || p->y[i] == 1;
        bool alone = in[0].form != in[1].form; // the other has 1 there
        if (i == batch && alone) fits &= (in[0].form == FORM_ROWS ? p->y : p->x)[i] == 1;
        if (!fits) return product_fail(im, in);
        p->out[i] = p->x[i] == 1 ? p->y[i] : p->x[i];
    }
    p->out[n - 2] = p->x[n - 2];
    p->out[n - 1] = p->y[n - 1];
    return true;
}

// A factor with the leading axes of the result, spread over those where it has 1. Without
// the axes of 1 in front: one matrix is no stack.
static nid stacked(struct import *im, nid id, const size_t *dim, const size_t *out,
                   size_t rank) {
    size_t skip = 0, full[MAX_RANK];
    while (skip + 2 < rank && out[skip] == 1) skip++;
    size_t n = rank - skip;
    if (n > TYPE_MAX_RANK) {
        op_fail(im, "makes a value with %zu axes", rank);
        return NID_NONE;
    }
    memcpy(full, dim + skip, n * sizeof *full);
    for (size_t i = 0; i + 2 < n; i++) full[i] = out[skip + i];
    id = op_reshape(im, id, dim + skip, n);
    bool same = memcmp(full, dim + skip, n * sizeof *full) == 0;
    return same || id == NID_NONE ? id : op_broadcast(im, id, full, n);
}

static bool stack_product(struct import *im, const struct onnx_val *in,
                          struct onnx_val *out) {
    struct product p;
    size_t rx = val_dims(im, in[0], p.x), ry = val_dims(im, in[1], p.y), dim[MAX_RANK];
    p.rank = size_max(rx, ry);
    if (rx < 2 || ry < 2) return product_fail(im, in);
    lead_with_ones(p.x, rx, p.rank);
    lead_with_ones(p.y, ry, p.rank);
    if (!place_batch(im, in, &p) || !product_shape(im, in, &p)) return false;
    nid x = stacked(im, in[0].id, p.x, p.out, p.rank);
    nid y = stacked(im, in[1].id, p.y, p.out, p.rank);
    nid z = op_matmul(im, x, y, false);
    size_t n = place_dims(p.like, p.out, p.rank, dim);
    if (n > TYPE_MAX_RANK) return op_fail(im, "makes a value with %zu axes", p.rank);
    return op_done_like(op_reshape(im, z, dim, n), p.like, out);
}

// A vector as a matrix of one row (before 0) or one column (1), and what the product then
// has too much.
static bool vector_product(struct import *im, const struct onnx_val *in,
                           struct onnx_val *out) {
    struct onnx_val v[] = {in[0], in[1]}, whole;
    int64_t dim[MAX_RANK];
    for (size_t i = 0; i < 2; i++) {
        if (val_rank(im, in[i]) != 1) continue;
        int64_t n = (int64_t)val_type(im, in[i])->dim[0];
        if (in[i].form == FORM_ROWS)
            return op_fail(im, "sums over the batch of %s", val_text(im, in[i]));
        int64_t shape[] = {i ? n : 1, i ? 1 : n};
        if (!val_reshape(im, in[i], shape, 2, &v[i])) return false;
    }
    if (!stack_product(im, v, &whole)) return false;
    size_t rank = val_shape(im, whole, dim), kept = 0;
    for (size_t i = 0; i < rank; i++) {
        bool made = (i + 2 == rank && val_rank(im, in[0]) == 1) ||
                    (i + 1 == rank && val_rank(im, in[1]) == 1);
        if (!made) dim[kept++] = dim[i];
    }
    return val_reshape(im, whole, dim, kept, out);
}

IMPORTER(import_matmul) {
    bool flipped;
    if (val_rank(im, in[0]) == 1 || val_rank(im, in[1]) == 1)
        return vector_product(im, in, out);
    if (!is_matrix(im, in[1]) || val_rank(im, in[0]) < 2)
        return stack_product(im, in, out);
    nid w = untransposed(im, in[1].id, &flipped);
    return op_done_like(dense(im, in[0], w, flipped), in[0], out);
}
