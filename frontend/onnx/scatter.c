// Gathers and scatters by constant indices of many axes.
//
// All of them look at the data as a matrix whose rows are moved whole: of one element
// each where indices name elements, of a slice where they name slices. A scatter is a
// gather from the data with the updates below it.
#include "frontend/onnx/onnx.h"

struct picks { // rows of the data, in the order of the updates (or of the result)
    int64_t *row;
    size_t n;
    size_t rows, width; // of the data as a matrix
};

static const int64_t *constant_index(struct import *im, struct onnx_val v) {
    const struct node *n = node_at(im->b.f, v.id);
    if (val_is_const(im, v) && n->type.elem == ELEM_I64 &&
        op_charge(im, type_count(&n->type)))
        return n->data;
    if (!val_is_const(im, v) || n->type.elem != ELEM_I64)
        op_fail(im, "takes constant integers as indices, this is %s", val_text(im, v));
    return NULL;
}

static bool in_range(struct import *im, int64_t *at, size_t dim) {
    int64_t d = (int64_t)dim, i = *at;
    if (i < -d || i >= d)
        return op_fail(im, "takes element %lld of %zu", (long long)i, dim);
    *at = i < 0 ? i + d : i;
    return true;
}

// ---- indices that are tuples ---------------------------------------------------------
// The last axis of the indices is a tuple of k entries that names a slice. With `shared`
// axes in front, which data and indices have in common, it is a slice of the data there.
static bool read_tuples(struct import *im, struct onnx_val data, struct onnx_val index,
                        size_t shared, struct picks *p) {
    const struct type *t = val_type(im, data), *it = val_type(im, index);
    const int64_t *v = constant_index(im, index);
    size_t k = it->rank ? it->dim[it->rank - 1] : 0;
    if (!v) return false;
    if (index.form == FORM_ROWS || (data.form == FORM_ROWS && data.at < shared + k))
        return op_fail(im, "names rows of the batch by number; ddg computes each row by "
                           "itself");
    if (k == 0 || shared + k > t->rank || shared >= it->rank)
        return op_fail(im, "names places of %s by %zu numbers", val_text(im, data), k);
    *p = (struct picks){.n = type_count(it) / k, .rows = 1};
    for (size_t j = 0; j < shared; j++) {
        if (it->dim[j] != t->dim[j])
            return op_fail(im, "has indices %s for %s", val_text(im, index),
                           val_text(im, data));
        p->rows *= t->dim[j];
    }
    size_t each = p->n / size_max(p->rows, 1);
    for (size_t j = 0; j < k; j++) p->rows *= t->dim[shared + j];
    p->width = type_count(t) / size_max(p->rows, 1);
    p->row = NEW_N(im->arena, int64_t, p->n);
    for (size_t i = 0; i < p->n; i++) {
        p->row[i] = (int64_t)(i / each);
        for (size_t j = 0; j < k; j++) {
            int64_t at = v[i * k + j];
            if (!in_range(im, &at, t->dim[shared + j])) return false;
            p->row[i] = p->row[i] * (int64_t)t->dim[shared + j] + at;
        }
    }
    return true;
}

// ---- indices along one axis ----------------------------------------------------------
static bool check_within(struct import *im, const struct type *t, const struct type *it,
                         size_t axis) {
    bool ok = t->rank == it->rank && t->rank > 0;
    for (size_t i = 0; ok && i < t->rank; i++) ok = i == axis || it->dim[i] <= t->dim[i];
    return ok || op_fail(im, "has indices %s, which do not fit into %s",
                         type_str(im->arena, it), type_str(im->arena, t));
}

// Element i of the result or the updates is at the indices' own place, but along axis.
static bool read_along(struct import *im, struct onnx_val data, struct onnx_val index,
                       size_t axis, struct picks *p) {
    const struct type *t = val_type(im, data), *it = val_type(im, index);
    const int64_t *v = constant_index(im, index);
    size_t place[TYPE_MAX_RANK] = {0};
    if (!v || !check_within(im, t, it, axis)) return false;
    *p = (struct picks){.n = type_count(it), .rows = type_count(t), .width = 1};
    p->row = NEW_N(im->arena, int64_t, p->n);
    for (size_t i = 0; i < p->n; i++) {
        int64_t at = v[i];
        if (!in_range(im, &at, t->dim[axis])) return false;
        for (size_t d = 0; d < t->rank; d++)
            p->row[i] =
                p->row[i] * (int64_t)t->dim[d] + (d == axis ? at : (int64_t)place[d]);
        for (size_t d = t->rank; d-- > 0 && ++place[d] == it->dim[d];) place[d] = 0;
    }
    return true;
}

// Data, indices and updates as v, with the batch (if any) at the same place.
static bool read_elements(struct import *im, const struct onnx_val *in, size_t n,
                          struct onnx_val *v, struct picks *p) {
    int64_t axis;
    size_t at;
    struct onnx_val like;
    if (!node_int(im, "axis", 0, &axis) || !val_join(im, in, n, v, &like)) return false;
    for (size_t i = 1; i < n; i++)
        if (val_rank(im, v[i]) != val_rank(im, v[0]))
            return op_fail(im, "joins %s with %s, which has another number of axes",
                           val_text(im, v[0]), val_text(im, v[i]));
    return val_axis(im, like, axis, &at) && read_along(im, v[0], v[1], at, p);
}

// ---- gathers -------------------------------------------------------------------------
static nid pick(struct import *im, nid data, const struct picks *p) {
    nid flat = op_reshape(im, data, (size_t[]){p->rows, p->width}, 2);
    return op_gather(im, flat, p->row, p->n, 0);
}

// Where the batch of data, which stands behind the k axes that tuples name, stands among
// the slices that they take.
static struct onnx_val tuples_like(const struct import *im, struct onnx_val data,
                                   struct onnx_val index, size_t k) {
    if (data.form == FORM_ROWS) data.at = data.at - k + val_rank(im, index) - 1;
    return data;
}

IMPORTER(import_gather_elements) {
    struct picks p = {0};
    struct onnx_val v[2];
    if (!read_elements(im, in, 2, v, &p)) return false;
    const struct type t = *val_type(im, v[1]);
    nid y = op_reshape(im, pick(im, v[0].id, &p), t.dim, t.rank);
    return op_done_like(y, v[0], out);
}

IMPORTER(import_gather_nd) {
    int64_t batch_dims;
    struct picks p = {0};
    size_t dim[TYPE_MAX_RANK], rank = 0;
    if (!node_int(im, "batch_dims", 0, &batch_dims)) return false;
    if (batch_dims < 0 || batch_dims >= TYPE_MAX_RANK)
        return op_fail(im, "has batch_dims = %lld", (long long)batch_dims);
    size_t shared = (size_t)batch_dims;
    if (!read_tuples(im, in[0], in[1], shared, &p)) return false;
    const struct type t = *val_type(im, in[0]), it = *val_type(im, in[1]);
    size_t k = it.dim[it.rank - 1] + shared;
    size_t axes = it.rank - 1 + t.rank - k;
    if (axes > TYPE_MAX_RANK) return op_fail(im, "makes a value with %zu axes", axes);
    for (size_t i = 0; i + 1 < it.rank; i++) dim[rank++] = it.dim[i];
    for (size_t i = k; i < t.rank; i++) dim[rank++] = t.dim[i];
    nid y = op_reshape(im, pick(im, in[0].id, &p), dim, rank);
    return op_done_like(y, tuples_like(im, in[0], in[1], k), out);
}

// ---- scatters ------------------------------------------------------------------------
#define REDUCTIONS "none|add|mul|max|min"

// Picks a layer: of each row that is still written to, the first update left (or with
// `last` the last of all). layer lists them; false when none is left.
static bool next_layer(struct import *im, const struct picks *p, bool last, bool *done,
                       struct picks *layer, int64_t *update) {
    int64_t *at = NEW_N(im->arena, int64_t, p->rows); // an update and 1, or 0
    *layer = (struct picks){.rows = p->rows, .width = p->width};
    layer->row = NEW_N(im->arena, int64_t, p->n);
    for (size_t i = 0; i < p->n; i++) {
        if (done[i] || (!last && at[p->row[i]])) continue;
        at[p->row[i]] = (int64_t)i + 1;
        done[i] = true;
    }
    for (size_t i = 0; i < p->n; i++) {
        if (at[p->row[i]] != (int64_t)i + 1) continue;
        update[layer->n] = (int64_t)i;
        layer->row[layer->n++] = p->row[i];
    }
    return layer->n > 0;
}

// data with its rows of a layer replaced by those of `by`.
static nid replace(struct import *im, nid data, nid by, const struct picks *layer) {
    int64_t *index = NEW_N(im->arena, int64_t, layer->rows);
    const struct value axis = val_int(0);
    for (size_t i = 0; i < layer->rows; i++) index[i] = (int64_t)i;
    for (size_t i = 0; i < layer->n; i++)
        index[layer->row[i]] = (int64_t)(layer->rows + i);
    nid both = op_make(im, OP_CONCAT, (nid[]){data, by}, 2, &axis);
    return op_gather(im, both, index, layer->rows, 0);
}

// Updates that meet are applied one after the other, each layer to what the last one
// left.
static nid scatter(struct import *im, nid data, nid updates, const struct picks *p) {
    static const enum op OPS[] = {OP_COUNT, OP_ADD, OP_MUL, OP_MAX, OP_MIN};
    bool *done = NEW_N(im->arena, bool, p->n);
    int64_t *update = NEW_N(im->arena, int64_t, p->n);
    struct picks layer;
    size_t how;
    if (!node_choice(im, "reduction", REDUCTIONS, &how) || !op_charge(im, p->rows))
        return NID_NONE;
    struct type t = *type_at(im->b.f, data);
    data = op_reshape(im, data, (size_t[]){p->rows, p->width}, 2);
    updates = op_reshape(im, updates, (size_t[]){p->n, p->width}, 2);
    while (data != NID_NONE && next_layer(im, p, how == 0, done, &layer, update)) {
        if (!op_charge(im, p->n + p->rows)) return NID_NONE;
        nid by = op_gather(im, updates, update, layer.n, 0);
        if (how) by = op2(im, OPS[how], op_gather(im, data, layer.row, layer.n, 0), by);
        data = replace(im, data, by, &layer);
    }
    return op_reshape(im, data, t.dim, t.rank);
}

IMPORTER(import_scatter_nd) {
    struct picks p = {0};
    if (!read_tuples(im, in[0], in[1], 0, &p)) return false;
    const struct type *it = val_type(im, in[1]);
    struct onnx_val like = tuples_like(im, in[0], in[1], it->dim[it->rank - 1]);
    like.id = in[2].id;
    if (!same_place(im, like, in[2]))
        return op_fail(im, "writes %s into %s, whose batch stands elsewhere",
                       val_text(im, in[2]), val_text(im, in[0]));
    if (type_count(val_type(im, in[2])) != p.n * p.width)
        return op_fail(im, "writes %zu elements and is given %s", p.n * p.width,
                       val_text(im, in[2]));
    return op_done_like(scatter(im, in[0].id, in[2].id, &p), in[0], out);
}

IMPORTER(import_scatter_elements) {
    struct picks p = {0};
    struct onnx_val v[3];
    if (!read_elements(im, in, 3, v, &p)) return false;
    if (!type_same_shape(val_type(im, v[1]), val_type(im, v[2])))
        return op_fail(im, "has indices %s and updates %s", val_text(im, v[1]),
                       val_text(im, v[2]));
    return op_done_like(scatter(im, v[0].id, v[2].id, &p), v[0], out);
}
