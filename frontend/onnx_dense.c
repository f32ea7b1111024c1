// Products of matrices: Gemm and MatMul.
//
// A product with a weight is one matmul with all other axes as rows, on the parameter
// itself, so that differentiation sees each layer in one known form.
#include "frontend/onnx.h"

// x @ w for a row value [.., I] and a fixed [I,O], or [O,I] with ty. The leading axes are
// rows of one product; a row value of one axis is a product with one row.
static nid dense(struct import *im, struct onnx_val x, nid w, bool ty) {
    const struct type *t = val_type(im, x), *wt = type_at(im->b.f, w);
    size_t features = t->rank ? t->dim[t->rank - 1] : 0, expected = wt->dim[ty];
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

static bool check_matrix(struct import *im, struct onnx_val v) {
    const struct type *t = val_type(im, v);
    if (v.form == FORM_FIXED && t->rank == 2 && t->elem == ELEM_F32) return true;
    return op_fail(im, "takes a fixed matrix as its second operand, this is %s",
                   val_text(im, v));
}

static nid scaled(struct import *im, nid x, double by) {
    return by == 1 ? x : op2(im, OP_MUL, x, op_scalar(im, by));
}

IMPORTER(import_gemm) {
    bool ta, tb, flipped;
    double alpha, beta;
    if (!node_flag(im, "transA", false, &ta) || !node_flag(im, "transB", false, &tb) ||
        !node_float(im, "alpha", 1, &alpha) || !node_float(im, "beta", 1, &beta))
        return false;
    const struct type *t = val_type(im, in[0]);
    if (in[0].form != FORM_ROWS || t->rank != 1 || t->elem != ELEM_F32)
        return op_fail(im, "takes features f32[N,I], this is %s", val_text(im, in[0]));
    if (ta) return op_fail(im, "transposes its input, which mixes the rows of a batch");
    if (!check_matrix(im, in[1])) return false;
    nid w = untransposed(im, in[1].id, &flipped);
    struct onnx_val y = in[0];
    y.id = scaled(im, dense(im, in[0], w, tb != flipped), alpha);
    if (y.id == NID_NONE || in[2].form == FORM_NONE) return op_done(y.id, FORM_ROWS, out);
    nid a, c;
    struct onnx_val like;
    if (!val_align(im, y, in[2], &a, &c, &like)) return false;
    return op_done_like(op2(im, OP_ADD, a, scaled(im, c, beta)), like, out);
}

// Both operands depend on the image: one product of matrices a row.
static bool matmul_rows(struct import *im, const struct onnx_val *in,
                        struct onnx_val *out) {
    for (size_t i = 0; i < 2; i++)
        if (val_type(im, in[i])->rank != 2)
            return op_fail(im,
                           "multiplies %s by %s; ddg multiplies values with two axes "
                           "beside the batch",
                           val_text(im, in[0]), val_text(im, in[1]));
    return op_done(op_matmul(im, in[0].id, in[1].id, false), FORM_ROWS, out);
}

IMPORTER(import_matmul) {
    bool flipped;
    size_t r0 = val_rank(im, in[0]), r1 = val_rank(im, in[1]);
    if (in[0].form == FORM_ROWS && in[1].form == FORM_ROWS)
        return matmul_rows(im, in, out);
    if (in[0].form == FORM_ROWS) {
        if (!check_matrix(im, in[1])) return false;
        nid w = untransposed(im, in[1].id, &flipped);
        return op_done(dense(im, in[0], w, flipped), FORM_ROWS, out);
    }
    if (in[1].form == FORM_ROWS && r0 == 2 && r1 == 3)
        return op_done(op_matmul(im, in[0].id, in[1].id, false), FORM_ROWS, out);
    if (in[1].form == FORM_FIXED && r0 == 2 && r1 == 2)
        return op_done(op_matmul(im, in[0].id, in[1].id, false), FORM_FIXED, out);
    return op_fail(im, "multiplies %s by %s, which ddg does not", val_text(im, in[0]),
                   val_text(im, in[1]));
}
