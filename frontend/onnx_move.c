// Data movement: reshapes, transposes, slices, pads, gathers.
//
// All of them know the batch axis only as something that must stay where it is. Shape
// operands are constant integers in which ONNX_BATCH may stand for the number of rows.
#include "frontend/onnx.h"

// ---- reshape -------------------------------------------------------------------------
// One ONNX value's new shape, without the batch axis when it has one.
struct target {
    const int64_t *dim;
    size_t rank;
    const struct type *from; // shape of the node
    size_t shift;            // 1 when axis 0 of the ONNX value is not in `from`
};

// A dimension that is given, 0 being the old one; false for others.
static bool given_dim(struct import *im, const struct target *t, size_t i, size_t *out) {
    int64_t d = t->dim[i];
    if (d == ONNX_BATCH) return op_fail(im, "moves the batch to axis %zu", i + t->shift);
    if (d < 0) return op_fail(im, "has %lld in its shape", (long long)d);
    if (d == 0 && i >= t->from->rank)
        return op_fail(im, "keeps axis %zu, which its input does not have", i + t->shift);
    *out = d ? (size_t)d : t->from->dim[i];
    return true;
}

// Fills in the old dimensions and what is left for a -1.
static bool resolve(struct import *im, const struct target *t, size_t *out) {
    size_t known = 1, count = type_count(t->from), unknown = SIZE_MAX;
    if (t->rank > TYPE_MAX_RANK)
        return op_fail(im, "makes a value with %zu axes", t->rank);
    for (size_t i = 0; i < t->rank; i++) {
        if (t->dim[i] == -1 && unknown == SIZE_MAX) unknown = i;
        else if (!given_dim(im, t, i, &out[i])) return false;
        else if (!size_mul(known, out[i], &known))
            return op_fail(im, "makes a value that is too large");
    }
    if (unknown == SIZE_MAX && known == count) return true;
    if (unknown != SIZE_MAX && known && count % known == 0) {
        out[unknown] = count / known;
        return true;
    }
    return op_fail(im, "expects %s of %s%zu elements and would get %zu",
                   t->shift ? "rows" : "a tensor",
                   unknown == SIZE_MAX ? "" : "a multiple of ", known, count);
}

static bool holds(const int64_t *v, size_t n, int64_t what) {
    for (size_t i = 0; i < n; i++)
        if (v[i] == what) return true;
    return false;
}

// Whether the first entry of a target shape means the batch: by name, as the old dimension,
// as the number that the export is fixed to, or as what is left when all else is known
// (which resolve() then holds against the size of a row).
static bool keeps_batch(struct import *im, const int64_t *dim, size_t n) {
    if (n == 0) return op_fail(im, "drops the batch axis");
    if (dim[0] == ONNX_BATCH || dim[0] == 0) return true;
    if (im->file->batch && dim[0] == (int64_t)im->file->batch) return true;
    if (dim[0] == -1 && !holds(dim + 1, n - 1, -1)) return true;
    return op_fail(im, "makes %lld of the batch axis", (long long)dim[0]);
}

IMPORTER(import_reshape) {
    const int64_t *dim;
    size_t n, shape[TYPE_MAX_RANK], shift = in[0].form == FORM_ROWS;
    bool zero; // a 0 means 0
    if (!node_flag(im, "allowzero", false, &zero) ||
        !operand_ints(im, in[1], "a shape", &dim, &n))
        return false;
    if (zero && holds(dim, n, 0)) return op_fail(im, "makes a dimension of 0");
    if (shift && !keeps_batch(im, dim, n)) return false;
    struct target t = {dim + shift, n - shift, val_type(im, in[0]), shift};
    if (!resolve(im, &t, shape)) return false;
    return op_done(op_reshape(im, in[0].id, shape, t.rank), in[0].form, out);
}

IMPORTER(import_flatten) {
    int64_t axis;
    const struct type *t = val_type(im, in[0]);
    int64_t rank = (int64_t)val_rank(im, in[0]);
    if (!node_int(im, "axis", 1, &axis)) return false;
    if (axis < -rank || axis > rank)
        return op_fail(im, "has axis %lld, of a value with %lld axes", (long long)axis,
                       (long long)rank);
    size_t split = (size_t)(axis < 0 ? axis + rank : axis), dim[] = {1, 1};
    bool rows = in[0].form == FORM_ROWS;
    if (rows && split == 0) return op_fail(im, "joins the batch axis with others");
    for (size_t i = 0; i < t->rank; i++) dim[i + rows >= split] *= t->dim[i];
    // The first of the two axes must be the batch alone.
    if (rows && dim[0] != 1) return op_fail(im, "joins the batch axis with others");
    return op_done(op_reshape(im, in[0].id, dim + rows, 2 - rows), in[0].form, out);
}

// ---- squeeze and unsqueeze -----------------------------------------------------------
// Marks the axes given, of an ONNX value of that rank.
static bool mark_axes(struct import *im, const int64_t *axes, size_t n, size_t rank,
                      bool *marked) {
    for (size_t i = 0; i < n; i++) {
        size_t axis;
        if (!onnx_axis(im, axes[i], rank, &axis)) return false;
        if (marked[axis]) return op_fail(im, "names axis %zu twice", axis);
        marked[axis] = true;
    }
    return true;
}

// Marks every axis of 1; the batch is one only in an export fixed to a batch of 1.
static void mark_ones(const struct import *im, struct onnx_val v, bool *marked) {
    const struct type *t = val_type(im, v);
    size_t shift = v.form == FORM_ROWS;
    if (shift) marked[0] = im->file->batch == 1;
    for (size_t i = 0; i < t->rank; i++) marked[i + shift] = t->dim[i] == 1;
}

IMPORTER(import_squeeze) {
    const int64_t *axes;
    size_t n, dim[TYPE_MAX_RANK], kept = 0;
    bool gone[TYPE_MAX_RANK + 1] = {0};
    const struct type *t = val_type(im, in[0]);
    size_t shift = in[0].form == FORM_ROWS;
    if (!node_ints_or_input(im, in, 1, "axes", &axes, &n)) return false;
    if (n == 0) mark_ones(im, in[0], gone);
    else if (!mark_axes(im, axes, n, val_rank(im, in[0]), gone)) return false;
    if (shift && gone[0]) return op_fail(im, "drops the batch axis");
    for (size_t i = 0; i < t->rank; i++) {
        if (!gone[i + shift]) dim[kept++] = t->dim[i];
        else if (t->dim[i] != 1)
            return op_fail(im, "drops axis %zu of %s", i + shift, val_text(im, in[0]));
    }
    return op_done(op_reshape(im, in[0].id, dim, kept), in[0].form, out);
}

IMPORTER(import_unsqueeze) {
    const int64_t *axes;
    size_t n, dim[TYPE_MAX_RANK], next = 0;
    bool made[TYPE_MAX_RANK + 1] = {0};
    const struct type *t = val_type(im, in[0]);
    size_t shift = in[0].form == FORM_ROWS;
    if (!node_ints_or_input(im, in, 1, "axes", &axes, &n)) return false;
    if (n > TYPE_MAX_RANK || t->rank + n > TYPE_MAX_RANK)
        return op_fail(im, "makes a value with %zu axes", t->rank + n);
    if (!mark_axes(im, axes, n, t->rank + shift + n, made)) return false;
    if (shift && made[0]) return op_fail(im, "puts an axis before the batch");
    for (size_t i = 0; i < t->rank + n; i++)
        dim[i] = made[i + shift] ? 1 : t->dim[next++];
    return op_done(op_reshape(im, in[0].id, dim, t->rank + n), in[0].form, out);
}

IMPORTER(import_transpose) {
    const int64_t *given;
    size_t n, rank = val_rank(im, in[0]), shift = in[0].form == FORM_ROWS;
    int64_t perm[TYPE_MAX_RANK + 1] = {0};
    if (!node_ints(im, "perm", &given, &n)) return false;
    if (n && n != rank)
        return op_fail(im, "permutes %zu axes of %s", n, val_text(im, in[0]));
    for (size_t i = 0; i < rank; i++) {
        perm[i] = n ? given[i] : (int64_t)(rank - 1 - i);
        if (perm[i] < 0 || perm[i] >= (int64_t)rank)
            return op_fail(im, "has axis %lld, of a value with %zu axes",
                           (long long)perm[i], rank);
        if (shift && (perm[i] == 0) != (i == 0))
            return op_fail(im, "moves the batch axis");
        perm[i] -= (int64_t)shift;
    }
    struct value attr = val_ints(perm + shift, rank - shift);
    return op_done(op_make(im, OP_TRANSPOSE, &in[0].id, 1, &attr), in[0].form, out);
}

// ---- concat, slice, split, gather ----------------------------------------------------
static bool any_rows(const struct onnx_val *v, size_t n) {
    bool rows = false;
    for (size_t i = 0; i < n; i++) rows |= v[i].form == FORM_ROWS;
    return rows;
}

IMPORTER(import_concat) {
    int64_t axis;
    size_t at;
    if (!attr_has(im, "axis")) return op_fail(im, "has no axis");
    if (!node_int(im, "axis", 0, &axis)) return false;
    struct onnx_val *v = arena_dup(im->arena, in, im->nin, sizeof *in);
    nid *ids = NEW_N(im->arena, nid, im->nin);
    bool rows = any_rows(in, im->nin);
    for (size_t i = 0; i < im->nin; i++) {
        if (rows && !val_as_rows(im, &v[i])) return false;
        ids[i] = v[i].id;
    }
    if (!val_axis(im, v[0], axis, &at)) return false;
    struct value attr = val_int((int64_t)at);
    return op_done(op_make(im, OP_CONCAT, ids, im->nin, &attr), v[0].form, out);
}

// Start, step and size of what ONNX takes from an axis of dim elements.
static void clamp_range(size_t dim, int64_t start, int64_t end, int64_t step,
                        int64_t *first, int64_t *size) {
    int64_t d = (int64_t)dim, low = step < 0 ? -1 : 0, high = step < 0 ? d - 1 : d;
    *first = *size = 0;
    if (d == 0) return;
    int64_t bounds[] = {start, end};
    for (size_t i = 0; i < 2; i++) {
        if (bounds[i] < 0) bounds[i] = bounds[i] < -d ? low : bounds[i] + d;
        if (bounds[i] < low) bounds[i] = low;
        if (bounds[i] > high) bounds[i] = high;
    }
    if (step < 0 && bounds[0] < 0) bounds[0] = 0; // before the first: ONNX starts at it
    int64_t way = step < 0 ? bounds[0] - bounds[1] : bounds[1] - bounds[0];
    uint64_t stride = step < 0 ? 0 - (uint64_t)step : (uint64_t)step;
    *first = bounds[0];
    *size = way <= 0 ? 0 : (int64_t)(((uint64_t)way - 1) / stride + 1);
}

// The whole batch in order, whatever its size.
static bool takes_all(const struct import *im, int64_t start, int64_t end, int64_t step) {
    size_t batch = im->file->batch ? im->file->batch : INT32_MAX;
    return start == 0 && step == 1 && end >= (int64_t)batch;
}

struct cut { // a list for each of starts, ends, axes and steps; NULL: the default
    const int64_t *starts, *ends, *axes, *steps;
    size_t n;
};

static bool read_cut_list(struct import *im, const struct onnx_val *in, size_t i,
                          const char *name, size_t n, const int64_t **out) {
    size_t given;
    *out = NULL;
    if (in[i].form == FORM_NONE && (i == 4 || !attr_has(im, name))) return true;
    if (!node_ints_or_input(im, in, i, name, out, &given)) return false;
    return given == n || op_fail(im, "has %zu %s and %zu starts", given, name, n);
}

static bool read_cut(struct import *im, const struct onnx_val *in, size_t rank,
                     struct cut *c) {
    if (!node_ints_or_input(im, in, 1, "starts", &c->starts, &c->n) ||
        !read_cut_list(im, in, 2, "ends", c->n, &c->ends) ||
        !read_cut_list(im, in, 3, "axes", c->n, &c->axes) ||
        !read_cut_list(im, in, 4, "steps", c->n, &c->steps))
        return false;
    if (c->n > rank) return op_fail(im, "slices %zu axes of %zu", c->n, rank);
    return c->ends || c->n == 0 || op_fail(im, "has no ends");
}

IMPORTER(import_slice) {
    struct cut c;
    int64_t starts[TYPE_MAX_RANK], steps[TYPE_MAX_RANK], sizes[TYPE_MAX_RANK];
    const struct type *t = val_type(im, in[0]);
    size_t rank = val_rank(im, in[0]), shift = in[0].form == FORM_ROWS, axis;
    if (!read_cut(im, in, rank, &c)) return false;
    for (size_t i = 0; i < t->rank; i++) {
        starts[i] = 0;
        steps[i] = 1;
        sizes[i] = (int64_t)t->dim[i];
    }
    for (size_t i = 0; i < c.n; i++) {
        int64_t step = c.steps ? c.steps[i] : 1;
        if (step == 0) return op_fail(im, "has a step of 0");
        if (!onnx_axis(im, c.axes ? c.axes[i] : (int64_t)i, rank, &axis)) return false;
        if (shift && axis == 0 && takes_all(im, c.starts[i], c.ends[i], step)) continue;
        if (!val_axis(im, in[0], (int64_t)axis, &axis)) return false;
        clamp_range(t->dim[axis], c.starts[i], c.ends[i], step, &starts[axis],
                    &sizes[axis]);
        steps[axis] = step;
    }
    return op_done(op_slice(im, in[0].id, starts, steps, sizes), in[0].form, out);
}

// Sizes of the parts: given, or as equal as can be with the last one smaller.
static bool split_sizes(struct import *im, const struct onnx_val *in, size_t dim,
                        int64_t *sizes) {
    const int64_t *given;
    size_t n, parts = im->nout, left = dim;
    if (!node_ints_or_input(im, in, 1, "split", &given, &n)) return false;
    if (n && n != parts) return op_fail(im, "has %zu parts and %zu outputs", n, parts);
    if (!n && dim % parts && !attr_has(im, "num_outputs"))
        return op_fail(im, "splits %zu elements into %zu equal parts", dim, parts);
    for (size_t i = 0; i < parts; i++) {
        size_t equal = size_min((dim - 1) / parts + 1, left);
        sizes[i] = n ? given[i] : (int64_t)equal;
        if (sizes[i] < 0 || (uint64_t)sizes[i] > left)
            return op_fail(im, "has a part of %lld where %zu elements are left",
                           (long long)sizes[i], left);
        left -= (size_t)sizes[i];
    }
    return left == 0 || op_fail(im, "leaves %zu elements of %zu over", left, dim);
}

IMPORTER(import_split) {
    int64_t axis, outputs;
    size_t at;
    if (!node_int(im, "axis", 0, &axis) || !val_axis(im, in[0], axis, &at)) return false;
    if (!node_int(im, "num_outputs", (int64_t)im->nout, &outputs)) return false;
    const struct type *t = val_type(im, in[0]);
    if (outputs < 1 || (uint64_t)outputs != im->nout || t->dim[at] == 0)
        return op_fail(im, "splits %s into %lld parts and has %zu outputs",
                       val_text(im, in[0]), (long long)outputs, im->nout);
    int64_t *parts = NEW_N(im->arena, int64_t, im->nout);
    if (!split_sizes(im, in, t->dim[at], parts)) return false;
    int64_t starts[TYPE_MAX_RANK] = {0}, steps[TYPE_MAX_RANK], sizes[TYPE_MAX_RANK];
    for (size_t i = 0; i < t->rank; i++) {
        steps[i] = 1;
        sizes[i] = (int64_t)t->dim[i];
    }
    for (size_t i = 0; i < im->nout; i++) {
        sizes[at] = parts[i];
        nid part = op_slice(im, in[0].id, starts, steps, sizes);
        if (!op_done(part, in[0].form, &out[i])) return false;
        starts[at] += parts[i];
    }
    return true;
}

// The constant indices of a gather, negative ones counted from the end.
static bool read_index(struct import *im, struct onnx_val v, size_t dim, int64_t **out) {
    const struct type *t = val_type(im, v);
    if (v.form != FORM_FIXED || !val_is_const(im, v) || t->elem != ELEM_I64)
        return op_fail(im, "takes constant integers as indices, this is %s",
                       val_text(im, v));
    size_t n = type_count(t);
    if (!op_charge(im, n)) return false;
    int64_t *index = arena_dup(im->arena, node_at(im->b.f, v.id)->data, n, sizeof *index);
    for (size_t i = 0; i < n; i++) {
        if (index[i] < 0) index[i] += (int64_t)dim;
        if (index[i] < 0 || index[i] >= (int64_t)dim)
            return op_fail(im, "takes element %lld of %zu", (long long)index[i], dim);
    }
    *out = index;
    return true;
}

IMPORTER(import_gather) {
    int64_t axis, *index = NULL;
    size_t at, rank = 0, dim[TYPE_MAX_RANK];
    if (!node_int(im, "axis", 0, &axis) || !val_axis(im, in[0], axis, &at)) return false;
    const struct type *t = val_type(im, in[0]), *it = val_type(im, in[1]);
    if (!read_index(im, in[1], t->dim[at], &index)) return false;
    if (t->rank - 1 + it->rank > TYPE_MAX_RANK)
        return op_fail(im, "makes a value with %u axes", t->rank - 1 + it->rank);
    // The shape of the indices stands where the axis was.
    for (size_t i = 0; i < at; i++) dim[rank++] = t->dim[i];
    for (size_t i = 0; i < it->rank; i++) dim[rank++] = it->dim[i];
    for (size_t i = at + 1; i < t->rank; i++) dim[rank++] = t->dim[i];
    nid y = op_gather(im, in[0].id, index, type_count(it), at);
    return op_done(op_reshape(im, y, dim, rank), in[0].form, out);
}

// ---- pad and expand ------------------------------------------------------------------
// The value of the new elements: an attribute up to opset 10, an input from 11 on.
static bool pad_value(struct import *im, const struct onnx_val *in, double *out) {
    if (in[2].form == FORM_NONE) return node_float(im, "value", 0, out);
    return operand_number(im, in[2], "the value", out);
}

static bool pad_axis(struct import *im, struct onnx_val v, int64_t given, int64_t before,
                     int64_t after, int64_t *pads) {
    size_t axis;
    if (before < -(int64_t)TYPE_MAX_COUNT || before > (int64_t)TYPE_MAX_COUNT ||
        after < -(int64_t)TYPE_MAX_COUNT || after > (int64_t)TYPE_MAX_COUNT)
        return op_fail(im, "pads by %lld and %lld", (long long)before, (long long)after);
    if (!onnx_axis(im, given, val_rank(im, v), &axis)) return false;
    if (v.form == FORM_ROWS && axis == 0 && before == 0 && after == 0) return true;
    if (!val_axis(im, v, given, &axis)) return false;
    pads[axis] = before;
    pads[axis + TYPE_MAX_RANK] = after;
    return true;
}

IMPORTER(import_pad) {
    const int64_t *given, *axes = NULL;
    size_t mode, n, naxes = val_rank(im, in[0]);
    double value;
    int64_t pads[2 * TYPE_MAX_RANK] = {0};
    static const int64_t none[TYPE_MAX_RANK];
    if (!node_choice(im, "mode", "constant", &mode) || !pad_value(im, in, &value) ||
        !node_ints_or_input(im, in, 1, "pads", &given, &n))
        return false;
    if (in[3].form != FORM_NONE && !operand_ints(im, in[3], "axes", &axes, &naxes))
        return false;
    if (naxes > val_rank(im, in[0]) || n != 2 * naxes)
        return op_fail(im, "has %zu pads for %zu axes; each has two", n, naxes);
    for (size_t i = 0; i < naxes; i++) {
        int64_t axis = axes ? axes[i] : (int64_t)i;
        if (!pad_axis(im, in[0], axis, given[i], given[i + naxes], pads)) return false;
    }
    size_t rank = val_type(im, in[0])->rank;
    struct value attrs[] = {val_ints(pads, rank), val_ints(pads + TYPE_MAX_RANK, rank),
                            val_ints(none, rank), val_float(value)};
    return op_done(op_make(im, OP_PAD, &in[0].id, 1, attrs), in[0].form, out);
}

// v's shape joined with a target shape, aligned at the last axis; both without the batch.
static bool expand_to(struct import *im, struct onnx_val v, const int64_t *to, size_t n,
                      struct onnx_val *out) {
    const struct type *t = val_type(im, v);
    size_t rank = size_max(n, t->rank), dim[TYPE_MAX_RANK], from[TYPE_MAX_RANK];
    if (rank > TYPE_MAX_RANK) return op_fail(im, "makes a value with %zu axes", rank);
    for (size_t i = 0; i < rank; i++) {
        int64_t want = i + n < rank ? 1 : to[i + n - rank];
        from[i] = i + t->rank < rank ? 1 : t->dim[i + t->rank - rank];
        if (want < 0 || want > (int64_t)TYPE_MAX_COUNT)
            return op_fail(im, "has %s in its shape",
                           want == ONNX_BATCH ? "the batch" : "an absurd number");
        if (want != 1 && from[i] != 1 && (size_t)want != from[i])
            return op_fail(im, "expands an axis of %zu to %lld", from[i],
                           (long long)want);
        dim[i] = from[i] == 1 ? (size_t)want : from[i];
    }
    nid x = op_reshape(im, v.id, from, rank);
    return op_done(op_broadcast(im, x, dim, rank), v.form, out);
}

IMPORTER(import_expand) {
    const int64_t *to;
    size_t n;
    struct onnx_val v = in[0];
    if (!operand_ints(im, in[1], "a shape", &to, &n)) return false;
    bool batch = n > 0 && (to[0] == ONNX_BATCH ||
                           (im->file->batch && to[0] == (int64_t)im->file->batch));
    if (v.form == FORM_ROWS) {
        size_t rank = val_rank(im, v);
        if (n > rank) return op_fail(im, "puts an axis before the batch");
        bool whole = n == rank; // then the first entry is the batch's
        if (whole && !batch && to[0] != 1)
            return op_fail(im, "makes %lld of the batch axis", (long long)to[0]);
        return expand_to(im, v, to + whole, n - whole, out);
    }
    if (n == 0 || to[0] != ONNX_BATCH) return expand_to(im, v, to, n, out);
    // The same for every row: a row value whose node is fixed.
    const struct type *t = val_type(im, v);
    if (t->rank == n && t->dim[0] != 1)
        return op_fail(im, "makes %zu rows a batch", t->dim[0]);
    v.form = FORM_ROWS;
    if (t->rank == n) v.id = op_reshape(im, v.id, t->dim + 1, t->rank - 1);
    return v.id != NID_NONE && expand_to(im, v, to + 1, n - 1, out);
}
