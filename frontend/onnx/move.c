// Data movement: reshapes, transposes, slices, gathers.
//
// All of them know the batch axis only as something that must stay where it is. Shape
// operands are constant integers, of which one may be a multiple of the number of rows.
#include "frontend/onnx/onnx.h"

// ---- reshape -------------------------------------------------------------------------
static bool holds(const int64_t *v, size_t n, int64_t what) {
    for (size_t i = 0; i < n; i++)
        if (v[i] == what) return true;
    return false;
}

// The shape with the old dimensions where it has 0.
static const int64_t *keep_old(struct import *im, struct onnx_val v, const int64_t *dim,
                               size_t n) {
    int64_t old[TYPE_MAX_RANK + 1], *out = arena_dup(im->arena, dim, n, sizeof *dim);
    size_t rank = val_shape(im, v, old);
    for (size_t i = 0; i < n; i++) {
        if (dim[i] == 0 && i >= rank) {
            op_fail(im, "keeps axis %zu, which its input does not have", i);
            return NULL;
        }
        if (dim[i] == 0) out[i] = old[i];
    }
    return out;
}

IMPORTER(import_reshape) {
    const int64_t *dim;
    size_t n;
    bool zero; // a 0 means 0
    if (!node_flag(im, "allowzero", false, &zero) ||
        !operand_ints(im, in[1], "a shape", &dim, &n))
        return false;
    if (zero && holds(dim, n, 0)) return op_fail(im, "makes a dimension of 0");
    dim = keep_old(im, in[0], dim, n);
    return dim && val_reshape(im, in[0], dim, n, out);
}

IMPORTER(import_flatten) {
    int64_t axis, shape[TYPE_MAX_RANK + 1];
    size_t dim[TYPE_MAX_RANK + 1], rank = val_dims(im, in[0], dim), product[] = {1, 1};
    if (!node_int(im, "axis", 1, &axis)) return false;
    if (axis < -(int64_t)rank || axis > (int64_t)rank)
        return op_fail(im, "has axis %lld, of a value with %zu axes", (long long)axis,
                       rank);
    size_t split = (size_t)(axis < 0 ? axis + (int64_t)rank : axis);
    for (size_t i = 0; i < rank; i++) product[i >= split] *= dim[i];
    for (size_t i = 0; i < 2; i++) shape[i] = (int64_t)product[i];
    size_t batch = in[0].at >= split;
    if (in[0].form == FORM_ROWS) shape[batch] = onnx_batch(product[batch]);
    return val_reshape(im, in[0], shape, 2, out);
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
    size_t dim[TYPE_MAX_RANK + 1], rank = val_dims(im, v, dim);
    for (size_t i = 0; i < rank; i++) {
        bool batch = v.form == FORM_ROWS && i == v.at;
        marked[i] = dim[i] == 1 && (!batch || im->file->batch == 1);
    }
}

IMPORTER(import_squeeze) {
    const int64_t *axes;
    size_t n, dim[TYPE_MAX_RANK + 1], left[TYPE_MAX_RANK + 1], kept = 0;
    bool gone[TYPE_MAX_RANK + 1] = {0};
    struct onnx_val to = in[0];
    size_t rank = val_dims(im, in[0], dim);
    if (!node_ints_or_input(im, in, 1, "axes", &axes, &n)) return false;
    if (n == 0) mark_ones(im, in[0], gone);
    else if (!mark_axes(im, axes, n, rank, gone)) return false;
    if (in[0].form == FORM_ROWS && gone[in[0].at])
        return op_fail(im, "drops the batch axis");
    for (size_t i = 0; i < rank; i++) {
        if (!gone[i]) left[kept++] = dim[i];
        else if (dim[i] != 1)
            return op_fail(im, "drops axis %zu of %s, which has %zu elements and not 1",
                           i, val_text(im, in[0]), dim[i]);
        to.at -= gone[i] && i < in[0].at;
    }
    kept = place_dims(to, left, kept, dim);
    return op_done_like(op_reshape(im, in[0].id, dim, kept), to, out);
}

IMPORTER(import_unsqueeze) {
    const int64_t *axes;
    size_t n, dim[TYPE_MAX_RANK + 1], made_dim[2 * TYPE_MAX_RANK + 1], next = 0;
    bool made[2 * TYPE_MAX_RANK + 1] = {0};
    struct onnx_val to = in[0];
    size_t rank = val_dims(im, in[0], dim);
    if (!node_ints_or_input(im, in, 1, "axes", &axes, &n)) return false;
    if (n > TYPE_MAX_RANK || val_type(im, in[0])->rank + n > TYPE_MAX_RANK)
        return op_fail(im, "makes a value with %zu axes", rank + n);
    if (!mark_axes(im, axes, n, rank + n, made)) return false;
    for (size_t i = 0; i < rank + n; i++) {
        if (!made[i] && next == in[0].at) to.at = i;
        made_dim[i] = made[i] ? 1 : dim[next++];
    }
    size_t kept = place_dims(to, made_dim, rank + n, dim);
    return op_done_like(op_reshape(im, in[0].id, dim, kept), to, out);
}

// A stored matrix stays where it lies: products read it transposed by a flag.
static bool is_stored_matrix(struct import *im, struct onnx_val v) {
    const struct node *n = node_at(im->b.f, v.id);
    return n->op == OP_CONST && n->type.rank == 2 && n->type.elem == ELEM_F32;
}

IMPORTER(import_transpose) {
    const int64_t *given;
    size_t n, rank = val_rank(im, in[0]);
    int64_t perm[TYPE_MAX_RANK + 1];
    bool seen[TYPE_MAX_RANK + 1] = {0};
    if (!node_ints(im, "perm", &given, &n)) return false;
    if (n && n != rank)
        return op_fail(im, "has a perm of %zu axes for %s", n, val_text(im, in[0]));
    for (size_t i = 0; i < rank; i++) {
        perm[i] = n ? given[i] : (int64_t)(rank - 1 - i);
        if (perm[i] < 0 || perm[i] >= (int64_t)rank)
            return op_fail(im, "has axis %lld, of a value with %zu axes",
                           (long long)perm[i], rank);
        if (seen[perm[i]])
            return op_fail(im, "names axis %lld twice", (long long)perm[i]);
        seen[perm[i]] = true;
    }
    im->b.fold = !is_stored_matrix(im, in[0]);
    bool ok = val_transpose(im, in[0], perm, out);
    im->b.fold = true;
    return ok;
}

// ---- concat, slice, split, gather ----------------------------------------------------
// Whether the values have equal sizes but along the ONNX axis.
static bool check_joins(struct import *im, const struct onnx_val *v, size_t axis) {
    size_t first[TYPE_MAX_RANK + 1], dim[TYPE_MAX_RANK + 1];
    size_t rank = val_dims(im, v[0], first);
    for (size_t k = 1; k < im->nin; k++) {
        bool same = val_dims(im, v[k], dim) == rank;
        for (size_t i = 0; same && i < rank; i++) same = i == axis || dim[i] == first[i];
        if (!same)
            return op_fail(im,
                           "joins %s and %s along axis %zu; all other axes have to be "
                           "of equal size",
                           val_text(im, v[0]), val_text(im, v[k]), axis);
    }
    return true;
}

IMPORTER(import_concat) {
    int64_t axis;
    size_t at, outer;
    if (!attr_has(im, "axis")) return op_fail(im, "has no axis");
    struct onnx_val *v = NEW_N(im->arena, struct onnx_val, im->nin), like;
    if (!node_int(im, "axis", 0, &axis) || !val_join(im, in, im->nin, v, &like) ||
        !onnx_axis(im, axis, val_rank(im, like), &outer))
        return false;
    nid *ids = NEW_N(im->arena, nid, im->nin);
    for (size_t i = 0; i < im->nin; i++) ids[i] = v[i].id;
    if (!val_axis(im, like, axis, &at) || !check_joins(im, v, outer)) return false;
    struct value attr = val_int((int64_t)at);
    return op_done_like(op_make(im, OP_CONCAT, ids, im->nin, &attr), like, out);
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

// All of the batch's axis in order, whatever the number of rows.
static bool takes_all(const struct import *im, struct onnx_val v, int64_t start,
                      int64_t end, int64_t step) {
    size_t dim[TYPE_MAX_RANK + 1], all;
    val_dims(im, v, dim);
    if (!im->file->batch || !size_mul(im->file->batch, dim[v.at], &all)) all = INT32_MAX;
    return start == 0 && step == 1 && end > 0 && (uint64_t)end >= all;
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
    size_t rank = val_rank(im, in[0]), axis;
    bool rows = in[0].form == FORM_ROWS;
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
        if (rows && axis == in[0].at &&
            takes_all(im, in[0], c.starts[i], c.ends[i], step))
            continue;
        if (!val_axis(im, in[0], (int64_t)axis, &axis)) return false;
        clamp_range(t->dim[axis], c.starts[i], c.ends[i], step, &starts[axis],
                    &sizes[axis]);
        steps[axis] = step;
    }
    return op_done_like(op_slice(im, in[0].id, starts, steps, sizes), in[0], out);
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
        if (!op_done_like(part, in[0], &out[i])) return false;
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
    struct onnx_val to = in[0];
    if (to.at > at) to.at = to.at + it->rank - 1;
    return op_done_like(op_reshape(im, y, dim, rank), to, out);
}

// ---- expand --------------------------------------------------------------------------
// One axis of an expansion: what it is and what it is to be. The batch's axis stays, is
// joined by 1, or comes in where there was none.
static bool expand_axis(struct import *im, int64_t have, int64_t want, size_t *out) {
    bool batch = onnx_is_batch(have) || onnx_is_batch(want);
    int64_t fixed = (int64_t)im->file->batch;
    if (!batch && (want < 0 || want > (int64_t)TYPE_MAX_COUNT))
        return op_fail(im, "has an absurd number in its shape");
    if (onnx_is_batch(have) && fixed && want == fixed * (int64_t)onnx_batch_of(have))
        want = have;
    if (want != 1 && have != 1 && want != have)
        return batch ? op_fail(im, "makes %s of the batch's axis",
                               onnx_is_batch(want)
                                   ? "another batch"
                                   : arena_printf(im->arena, "%lld", (long long)want))
                     : op_fail(im, "expands an axis of %lld to %lld", (long long)have,
                               (long long)want);
    int64_t larger = have == 1 ? want : have;
    *out = onnx_is_batch(larger) ? onnx_batch_of(larger) : (size_t)larger;
    return true;
}

// Axes of 1 in front of the shape, up to that rank.
static void lead_with_ones(int64_t *dim, size_t n, size_t rank) {
    memmove(dim + (rank - n), dim, n * sizeof *dim);
    for (size_t i = 0; i < rank - n; i++) dim[i] = 1;
}

IMPORTER(import_expand) {
    const int64_t *given;
    int64_t want[TYPE_MAX_RANK + 1], have[TYPE_MAX_RANK + 1];
    size_t n, dim[TYPE_MAX_RANK + 1], from[TYPE_MAX_RANK + 1], to[TYPE_MAX_RANK + 1];
    if (!operand_ints(im, in[1], "a shape", &given, &n)) return false;
    size_t nhave = val_shape(im, in[0], have), rank = size_max(n, nhave);
    if (rank > COUNT(want)) return op_fail(im, "makes a value with %zu axes", rank);
    memcpy(want, given, n * sizeof *want);
    lead_with_ones(want, n, rank);
    lead_with_ones(have, nhave, rank);
    struct onnx_val like = in[0];
    if (like.form == FORM_ROWS) like.at += rank - nhave;
    for (size_t i = 0; i < rank; i++) {
        if (!expand_axis(im, have[i], want[i], &dim[i])) return false;
        bool comes = onnx_is_batch(want[i]) && !onnx_is_batch(have[i]);
        if (comes && like.form == FORM_ROWS) return op_fail(im, "has the batch twice");
        if (comes) like = (struct onnx_val){FORM_ROWS, in[0].id, i, dim[i] != 1, 1};
    }
    for (size_t i = 0; i < rank; i++)
        from[i] = onnx_is_batch(have[i]) ? onnx_batch_of(have[i]) : (size_t)have[i];
    size_t nto = place_dims(like, dim, rank, to);
    if (nto > TYPE_MAX_RANK) return op_fail(im, "makes a value with %zu axes", rank);
    place_dims(like, from, rank, dim);
    nid x = op_reshape(im, in[0].id, dim, nto);
    return op_done_like(op_broadcast(im, x, to, nto), like, out);
}
