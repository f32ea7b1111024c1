// Where the batch stands in a value (see onnx.h), and the moves that change it.
//
// In row-major order a row value is P elements, then the batch, then the rest of each
// row; P is all that has to be known to find the batch again in another shape of the
// value.
#include "frontend/onnx/onnx.h"

#define MAX_RANK (TYPE_MAX_RANK + 1) // of ONNX values: the batch is no axis of the node

// ---- shapes --------------------------------------------------------------------------
static bool has_batch_axis(struct onnx_val v) { // one that its node lacks
    return v.form == FORM_ROWS && !v.merged;
}

size_t val_rank(const struct import *im, struct onnx_val v) {
    return val_type(im, v)->rank + has_batch_axis(v);
}

size_t val_dims(const struct import *im, struct onnx_val v, size_t *dim) {
    const struct type *t = val_type(im, v);
    size_t rank = val_rank(im, v), next = 0;
    for (size_t i = 0; i < rank; i++)
        dim[i] = has_batch_axis(v) && i == v.at ? 1 : t->dim[next++];
    return rank;
}

size_t val_shape(const struct import *im, struct onnx_val v, int64_t *dim) {
    size_t known[MAX_RANK], rank = val_dims(im, v, known);
    for (size_t i = 0; i < rank; i++)
        dim[i] =
            v.form == FORM_ROWS && i == v.at ? onnx_batch(known[i]) : (int64_t)known[i];
    return rank;
}

const char *val_text(struct import *im, struct onnx_val v) {
    size_t dim[MAX_RANK], rank = val_dims(im, v, dim);
    struct text s = {.arena = im->arena};
    text_add(&s, "%s[", elem_name(val_type(im, v)->elem));
    for (size_t i = 0; i < rank; i++) {
        bool batch = v.form == FORM_ROWS && i == v.at;
        text_add(&s, "%s%s", i ? "," : "", batch ? v.merged ? "N*" : "N" : "");
        if (!batch || v.merged) text_add(&s, "%zu", dim[i]);
    }
    text_add(&s, "]");
    return s.at;
}

size_t place_dims(struct onnx_val like, const size_t *dim, size_t rank, size_t *out) {
    size_t n = 0;
    for (size_t i = 0; i < rank; i++)
        if (!has_batch_axis(like) || i != like.at) out[n++] = dim[i];
    return n;
}

bool val_axis(struct import *im, struct onnx_val v, int64_t axis, size_t *out) {
    if (!onnx_axis(im, axis, val_rank(im, v), out)) return false;
    if (v.form != FORM_ROWS) return true;
    if (*out == v.at)
        return op_fail(im,
                       "works across the batch (axis %zu); ddg computes each row of a "
                       "batch by itself",
                       v.at);
    *out -= has_batch_axis(v) && *out > v.at;
    return true;
}

// The elements of a row before the batch.
static size_t elements_before(const struct import *im, struct onnx_val v) {
    const struct type *t = val_type(im, v);
    size_t n = v.merged ? v.outer : 1;
    for (size_t i = 0; i < v.at; i++) n *= t->dim[i];
    return n;
}

// ---- reshapes ------------------------------------------------------------------------
struct shape_change {
    const int64_t *dim;
    size_t rank, count;    // count: elements of a row
    size_t left;           // the entry that is -1, or rank
    size_t known;          // product of the others, of a batch's entry k
    size_t before;         // elements before the batch
    size_t batch;          // the entry that holds the batch, or rank
    size_t size[MAX_RANK]; // k for the batch
};

static bool read_shape(struct import *im, struct shape_change *c) {
    c->left = c->batch = c->rank;
    c->known = 1;
    if (c->rank > MAX_RANK) return op_fail(im, "makes a value with %zu axes", c->rank);
    for (size_t i = 0; i < c->rank; i++) {
        int64_t d = c->dim[i];
        if (d == -1 && c->left == c->rank) {
            c->left = i;
            continue;
        }
        bool batch = onnx_is_batch(d);
        if (d == -1) return op_fail(im, "has two sizes that are left open (-1)");
        if (batch && c->batch != c->rank) return op_fail(im, "has the batch twice");
        if (batch) c->batch = i;
        else if (d < 0) return op_fail(im, "has %lld in its shape", (long long)d);
        c->size[i] = batch ? onnx_batch_of(d) : (size_t)d;
        if (!size_mul(c->known, c->size[i], &c->known))
            return op_fail(im, "makes a value that is too large");
    }
    return true;
}

static bool fill_left(struct import *im, const struct shape_change *c, size_t *size) {
    bool left = c->left < c->rank;
    if (left && c->known && c->count % c->known == 0) *size = c->count / c->known;
    else if (left || c->known != c->count)
        return op_fail(im, "expects %s of %s%zu elements and would get %zu",
                       c->batch < c->rank ? "rows" : "a tensor",
                       left ? "a multiple of " : "", c->known, c->count);
    return true;
}

// Whether the entry at i, with so many elements before it, may hold the batch to which
// the export is fixed. A batch of 1 is nothing but an axis of 1.
static bool may_hold(const struct shape_change *c, size_t i, size_t before,
                     size_t fixed) {
    size_t outer = before ? c->before / before : 0, unit;
    if (i == c->left || !fixed || !outer || outer * before != c->before || !c->size[i])
        return false;
    if (fixed == 1) return outer == 1 && c->size[i] == 1;
    return size_mul(outer, fixed, &unit) && c->size[i] % unit == 0;
}

// In an export fixed to several images, the entry that is -1 is a number like others.
static void count_left(struct shape_change *c, size_t fixed) {
    size_t all;
    if (fixed < 2 || c->left == c->rank || !size_mul(c->count, fixed, &all)) return;
    if (c->known == 0 || all % c->known != 0) return;
    c->size[c->left] = all / c->known;
    c->known = all;
    c->left = c->rank;
}

// No entry says that it is the batch: it is the one that the export's fixed batch fits,
// or the one that is left over.
static bool find_batch(struct import *im, struct shape_change *c) {
    size_t before = 1, fixed = im->file->batch;
    if (c->rank == 0) return op_fail(im, "drops the batch axis");
    count_left(c, fixed);
    for (size_t i = 0; i < c->rank; i++) {
        bool fits = may_hold(c, i, before, fixed);
        bool rest = i == c->left && before && c->before % before == 0;
        if (fits || rest) {
            c->batch = i;
            if (rest) return true;
            c->size[i] /= fixed;
            c->known /= fixed;
            return true;
        }
        if (i == c->left || !size_mul(before, c->size[i], &before)) break;
    }
    if (c->dim[0] == -1) return op_fail(im, "loses the batch among other axes");
    op_fail(im, "gives a batch of %lld, however many images there are",
            (long long)c->dim[0]);
    return diag_help(im->log->d, "the export wrote the batch size down as a number: "
                                 "export the network for a batch of 1, or let the code "
                                 "take it from x.shape[0]");
}

// How much of the batch's entry comes before the batch.
static bool find_outer(struct import *im, const struct shape_change *c, size_t *outer) {
    size_t before = 1;
    for (size_t i = 0; i < c->batch; i++) before *= c->size[i];
    *outer = before ? c->before / before : 0;
    if (*outer && *outer * before == c->before && c->size[c->batch] % *outer == 0)
        return true;
    return op_fail(im, "takes the rows of a batch apart");
}

static bool reshape_rows(struct import *im, struct onnx_val v, struct shape_change *c,
                         struct onnx_val *out) {
    size_t dim[MAX_RANK];
    c->before = elements_before(im, v);
    if (c->batch == c->rank && !find_batch(im, c)) return false;
    struct onnx_val to = {.form = FORM_ROWS, .at = c->batch};
    if (!fill_left(im, c, &c->size[c->left]) || !find_outer(im, c, &to.outer))
        return false;
    to.merged = c->size[c->batch] != 1;
    size_t n = place_dims(to, c->size, c->rank, dim);
    if (n > TYPE_MAX_RANK) return op_fail(im, "makes a value with %zu axes", c->rank);
    return op_done_like(op_reshape(im, v.id, dim, n), to, out);
}

bool val_reshape(struct import *im, struct onnx_val v, const int64_t *dim, size_t n,
                 struct onnx_val *out) {
    struct shape_change c = {.dim = dim, .rank = n, .count = type_count(val_type(im, v))};
    if (!read_shape(im, &c)) return false;
    if (v.form == FORM_ROWS) return reshape_rows(im, v, &c, out);
    if (c.batch < c.rank)
        return op_fail(im, "puts the batch into a value that has none, %s",
                       val_text(im, v));
    if (n > TYPE_MAX_RANK) return op_fail(im, "makes a value with %zu axes", n);
    return fill_left(im, &c, &c.size[c.left]) &&
           op_done(op_reshape(im, v.id, c.size, n), FORM_FIXED, out);
}

// ---- transposes ----------------------------------------------------------------------
bool val_transpose(struct import *im, struct onnx_val v, const int64_t *perm,
                   struct onnx_val *out) {
    int64_t axes[MAX_RANK];
    size_t rank = val_rank(im, v), n = 0;
    struct onnx_val to = v;
    bool moves = false;
    for (size_t i = 0; i < rank; i++) {
        size_t from = (size_t)perm[i];
        if (v.form == FORM_ROWS && from == v.at) to.at = i;
        if (has_batch_axis(v) && from == v.at) continue;
        axes[n] = perm[i] - (has_batch_axis(v) && from > v.at);
        moves |= axes[n] != (int64_t)n;
        n++;
    }
    struct value attr = val_ints(axes, n);
    nid id = moves ? op_make(im, OP_TRANSPOSE, &v.id, 1, &attr) : v.id;
    return op_done_like(id, to, out);
}

// ---- values that meet ----------------------------------------------------------------
bool same_place(const struct import *im, struct onnx_val x, struct onnx_val y) {
    if (x.form != y.form) return false;
    if (x.form != FORM_ROWS) return true;
    bool same = val_rank(im, x) - x.at == val_rank(im, y) - y.at && x.merged == y.merged;
    if (!same || !x.merged) return same;
    return x.outer == y.outer && val_type(im, x)->dim[x.at] == val_type(im, y)->dim[y.at];
}

static bool no_batch(struct import *im, struct onnx_val v) {
    return op_fail(im,
                   "joins a value of each image with %s, which is one for all images and "
                   "has no axis for their number N",
                   val_text(im, v));
}

// v's node with axes of 1 in front up to that ONNX rank, its batch where `like` has it.
static nid in_place(struct import *im, struct onnx_val v, size_t rank,
                    struct onnx_val like) {
    size_t have[MAX_RANK], dim[MAX_RANK] = {0}, node[MAX_RANK], n = val_dims(im, v, have);
    for (size_t i = 0; i < rank; i++) dim[i] = i < rank - n ? 1 : have[i - (rank - n)];
    if (has_batch_axis(like) && dim[like.at] != 1) {
        no_batch(im, v);
        return NID_NONE;
    }
    size_t count = place_dims(like, dim, rank, node);
    if (count <= TYPE_MAX_RANK) return op_reshape(im, v.id, node, count);
    op_fail(im, "makes a value with %zu axes", rank);
    return NID_NONE;
}

static nid align_one(struct import *im, struct onnx_val v, size_t rank,
                     struct onnx_val like) {
    const struct type *t = val_type(im, v);
    bool single = v.form == FORM_FIXED && type_count(t) == 1 && t->rank < rank + 1;
    if (like.form == FORM_FIXED) single &= t->rank == 0;
    if (single) return op_reshape(im, v.id, NULL, 0);
    if (v.form == FORM_FIXED && like.merged && rank - t->rank <= like.at &&
        t->dim[like.at - (rank - t->rank)] != 1) {
        no_batch(im, v);
        return NID_NONE;
    }
    return in_place(im, v, rank, like);
}

// Of equal rank, or one a single number.
static bool can_broadcast(const struct type *x, const struct type *y) {
    for (size_t i = 0; x->rank == y->rank && i < x->rank; i++)
        if (x->dim[i] != y->dim[i] && x->dim[i] != 1 && y->dim[i] != 1) return false;
    return true;
}

bool val_align(struct import *im, struct onnx_val x, struct onnx_val y, nid *a, nid *b,
               struct onnx_val *like) {
    size_t rx = val_rank(im, x), ry = val_rank(im, y), rank = size_max(rx, ry);
    if (x.form == FORM_ROWS && y.form == FORM_ROWS && !same_place(im, x, y))
        return op_fail(im, "joins %s with %s, whose batch stands elsewhere",
                       val_text(im, x), val_text(im, y));
    *like = x.form == FORM_ROWS ? x : y;
    if (like->form == FORM_ROWS) like->at += rank - (x.form == FORM_ROWS ? rx : ry);
    *a = align_one(im, x, rank, *like);
    *b = *a == NID_NONE ? NID_NONE : align_one(im, y, rank, *like);
    return *b != NID_NONE && (can_broadcast(type_at(im->b.f, *a), type_at(im->b.f, *b)) ||
                              op_fail(im, "joins %s with %s, which do not fit together",
                                      val_text(im, x), val_text(im, y)));
}

// Whether all that lies along an axis of v is the same: it was made so by an Expand, or
// it is stored so.
static bool repeats(const struct import *im, struct onnx_val v, size_t axis) {
    const struct node *n = node_at(im->b.f, v.id);
    const struct type *t = &n->type;
    if (n->op == OP_BROADCAST) {
        const struct type *from = type_at(im->b.f, n->in[0]);
        return from->rank == 0 || from->dim[axis] == 1;
    }
    if (n->op != OP_CONST) return false;
    size_t inner = elem_size(t->elem), outer = 1;
    for (size_t i = 0; i < axis; i++) outer *= t->dim[i];
    for (size_t i = axis + 1; i < t->rank; i++) inner *= t->dim[i];
    const char *data = n->data;
    for (size_t i = 0; i < outer; i++, data += inner * t->dim[axis])
        if (memcmp(data, data + inner, inner * (t->dim[axis] - 1)) != 0) return false;
    return true;
}

// The first of what lies along an axis, which keeps a size of 1.
static nid first_of(struct import *im, struct onnx_val v, size_t axis) {
    const struct type *t = val_type(im, v);
    int64_t starts[TYPE_MAX_RANK] = {0}, steps[TYPE_MAX_RANK], sizes[TYPE_MAX_RANK];
    for (size_t i = 0; i < t->rank; i++) {
        steps[i] = 1;
        sizes[i] = i == axis ? 1 : (int64_t)t->dim[i];
    }
    return op_slice(im, v.id, starts, steps, sizes);
}

// A fixed value that is the same for each image as a row value with the batch of `like`.
static bool as_rows(struct import *im, struct onnx_val like, struct onnx_val *v) {
    if (v->form == FORM_ROWS) return true;
    size_t rank = val_type(im, *v)->rank, batch = im->file->batch, dim[MAX_RANK];
    bool fits = has_batch_axis(like) && rank > like.at && batch &&
                val_type(im, *v)->dim[like.at] == batch;
    if (!fits || (batch > 1 && !repeats(im, *v, like.at))) {
        no_batch(im, *v);
        diag_help(im->log->d, "have the network expand it to the batch first: "
                              "value.expand(images.shape[0], ...)");
        return false;
    }
    nid one = first_of(im, *v, like.at);
    if (one == NID_NONE) return false;
    size_t n = place_dims(like, type_at(im->b.f, one)->dim, rank, dim);
    return op_done_like(op_reshape(im, one, dim, n), like, v);
}

bool val_join(struct import *im, const struct onnx_val *in, size_t n, struct onnx_val *v,
              struct onnx_val *like) {
    *like = in[0];
    for (size_t i = n; i-- > 0;)
        if (in[i].form == FORM_ROWS) *like = in[i];
    for (size_t i = 0; i < n; i++) {
        v[i] = in[i];
        if (like->form == FORM_ROWS && !as_rows(im, *like, &v[i])) return false;
        if (val_rank(im, *like) == val_rank(im, v[i]) && !same_place(im, *like, v[i]))
            return op_fail(im, "joins %s with %s, whose batch stands elsewhere",
                           val_text(im, *like), val_text(im, v[i]));
    }
    return true;
}

// ---- exports fixed to a batch of 1 ---------------------------------------------------
// A constant with its multiples of the batch size as the numbers they are for a batch of
// 1.
static bool of_one_row(struct import *im, struct onnx_val *v) {
    const struct type *t = val_type(im, *v);
    size_t count = type_count(t);
    if (!op_charge(im, count)) return false;
    int64_t *n = arena_dup(im->arena, node_at(im->b.f, v->id)->data, count, sizeof *n);
    for (size_t i = 0; i < count; i++)
        if (onnx_is_batch(n[i])) n[i] = (int64_t)onnx_batch_of(n[i]);
    return op_done_like(op_const(im, *t, n), *v, v);
}

bool val_whole(struct import *im, struct onnx_val *v) {
    size_t dim[MAX_RANK], rank;
    if (v->form == FORM_NONE) return true;
    if (holds_batch(im, v->id) && !of_one_row(im, v)) return false;
    if (v->form != FORM_ROWS) return true;
    rank = val_dims(im, *v, dim);
    if (rank > TYPE_MAX_RANK) return op_fail(im, "takes a value with %zu axes", rank);
    return op_done(op_reshape(im, v->id, dim, rank), FORM_FIXED, v);
}

bool val_settle(struct import *im, struct onnx_val *v) {
    if (v->form != FORM_FIXED || im->file->batch != 1) return true;
    const struct type *t = val_type(im, *v);
    if (!t->rows || t->rank == 0 || t->dim[0] != 1) return true;
    return op_done(op_reshape(im, v->id, t->dim + 1, t->rank - 1), FORM_ROWS, v);
}
