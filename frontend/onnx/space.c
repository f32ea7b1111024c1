// Space: padding, repetition, and blocks of pixels that become channels or come of them.
#include "frontend/onnx/onnx.h"

// ---- repetition ----------------------------------------------------------------------
nid op_repeat(struct import *im, nid x, size_t axis, size_t times, bool each) {
    if (x == NID_NONE || times == 1) return x;
    const struct type t = *type_at(im->b.f, x);
    size_t before = 1, after = 1, dim[TYPE_MAX_RANK];
    for (size_t i = 0; i < axis; i++) before *= t.dim[i];
    for (size_t i = axis + 1; i < t.rank; i++) after *= t.dim[i];
    memcpy(dim, t.dim, sizeof dim);
    if (!size_mul(dim[axis], times, &dim[axis]) || dim[axis] > TYPE_MAX_COUNT) {
        op_fail(im, "repeats an axis of %zu %zu times", t.dim[axis], times);
        return NID_NONE;
    }
    size_t from[] = {before, each ? t.dim[axis] : 1, each ? 1 : t.dim[axis], after};
    size_t to[] = {before, each ? t.dim[axis] : times, each ? times : t.dim[axis], after};
    return op_reshape(im, op_broadcast(im, op_reshape(im, x, from, 4), to, 4), dim,
                      t.rank);
}

IMPORTER(import_tile) {
    const int64_t *times;
    size_t n, axis;
    nid y = in[0].id;
    if (!operand_ints(im, in[1], "repeats", &times, &n)) return false;
    if (n != val_rank(im, in[0]))
        return op_fail(im, "has %zu repeats for %s", n, val_text(im, in[0]));
    for (size_t i = 0; i < n; i++) {
        if (times[i] == 1) continue;
        if (times[i] < 1) return op_fail(im, "repeats %lld times", (long long)times[i]);
        if (!val_axis(im, in[0], (int64_t)i, &axis)) return false;
        y = op_repeat(im, y, axis, (size_t)times[i], false);
    }
    return op_done_like(y, in[0], out);
}

// ---- blocks of pixels ----------------------------------------------------------------
// f32[N,C,H,W] and the first three axes of its node: what is in front of the channels as
// one axis, then C, H, W.
static bool read_blocks(struct import *im, struct onnx_val v, size_t dim[4], size_t *b) {
    size_t c;
    int64_t block;
    if (val_rank(im, v) != 4 || !val_axis(im, v, 1, &c))
        return op_fail(im, "takes images [N,C,H,W], this is %s", val_text(im, v));
    const struct type *t = val_type(im, v);
    if (!node_int(im, "blocksize", 0, &block)) return false;
    if (block < 1 || block > 4096 || c > 1 || t->rank != c + 3)
        return op_fail(im, "makes blocks of %lld of %s", (long long)block,
                       val_text(im, v));
    dim[0] = c ? t->dim[0] : 1;
    for (size_t i = 0; i < 3; i++) dim[i + 1] = t->dim[c + i];
    *b = (size_t)block;
    return true;
}

// As six axes, permuted, then as [N,C,H,W] again.
static bool rearrange(struct import *im, struct onnx_val v, const size_t six[6],
                      const int64_t perm[6], const size_t dim[4], struct onnx_val *out) {
    const struct value order = val_ints(perm, 6);
    size_t skip = 4 - val_type(im, v)->rank;
    nid x = op_reshape(im, v.id, six, 6);
    x = op_make(im, OP_TRANSPOSE, &x, 1, &order);
    return op_done_like(op_reshape(im, x, dim + skip, 4 - skip), v, out);
}

IMPORTER(import_depth_to_space) {
    static const int64_t DCR[] = {0, 3, 4, 1, 5, 2}, CRD[] = {0, 1, 4, 2, 5, 3};
    size_t d[4] = {0}, b = 1, by_column;
    if (!read_blocks(im, in[0], d, &b) || !node_choice(im, "mode", "DCR|CRD", &by_column))
        return false;
    if (d[1] % (b * b))
        return op_fail(im, "makes blocks of %zu x %zu of %zu channels", b, b, d[1]);
    size_t c = d[1] / (b * b);
    return rearrange(im, in[0],
                     by_column ? (size_t[]){d[0], c, b, b, d[2], d[3]}
                               : (size_t[]){d[0], b, b, c, d[2], d[3]},
                     by_column ? CRD : DCR, (size_t[]){d[0], c, d[2] * b, d[3] * b}, out);
}

IMPORTER(import_space_to_depth) {
    static const int64_t PERM[] = {0, 3, 5, 1, 2, 4};
    size_t d[4] = {0}, b = 1;
    if (!read_blocks(im, in[0], d, &b)) return false;
    if (d[2] % b || d[3] % b)
        return op_fail(im, "makes blocks of %zu x %zu of %zu x %zu pixels", b, b, d[2],
                       d[3]);
    size_t h = d[2] / b, w = d[3] / b;
    return rearrange(im, in[0], (size_t[]){d[0], d[1], h, b, w, b}, PERM,
                     (size_t[]){d[0], d[1] * b * b, h, w}, out);
}

// ---- padding -------------------------------------------------------------------------
enum fill { CONSTANT, REFLECT, EDGE, WRAP };

struct padding { // of a node's axes
    enum fill fill;
    double value;
    int64_t before[TYPE_MAX_RANK], after[TYPE_MAX_RANK];
};

static bool pad_axis(struct import *im, struct onnx_val v, int64_t given, int64_t before,
                     int64_t after, struct padding *p) {
    const int64_t most = (int64_t)TYPE_MAX_COUNT;
    size_t axis;
    if (before < -most || before > most || after < -most || after > most)
        return op_fail(im, "pads by %lld and %lld", (long long)before, (long long)after);
    if (!onnx_axis(im, given, val_rank(im, v), &axis)) return false;
    if (before == 0 && after == 0) return true;
    if (!val_axis(im, v, given, &axis)) return false;
    p->before[axis] = before;
    p->after[axis] = after;
    return true;
}

// The value of new elements: an attribute up to opset 10, an input from 11 on.
static bool read_fill(struct import *im, const struct onnx_val *in, struct padding *p) {
    size_t mode;
    if (!node_choice(im, "mode", "constant|reflect|edge|wrap", &mode)) return false;
    p->fill = (enum fill)mode;
    if (in[2].form == FORM_NONE) return node_float(im, "value", 0, &p->value);
    return operand_number(im, in[2], "the value", &p->value);
}

static bool read_padding(struct import *im, const struct onnx_val *in,
                         struct padding *p) {
    const int64_t *given, *axes = NULL;
    size_t n, naxes = val_rank(im, in[0]);
    *p = (struct padding){0};
    if (!read_fill(im, in, p) || !node_ints_or_input(im, in, 1, "pads", &given, &n))
        return false;
    if (in[3].form != FORM_NONE && !operand_ints(im, in[3], "axes", &axes, &naxes))
        return false;
    if (naxes > val_rank(im, in[0]) || n != 2 * naxes)
        return op_fail(im, "has %zu pads for %zu axes; each has two", n, naxes);
    for (size_t i = 0; i < naxes; i++) {
        int64_t axis = axes ? axes[i] : (int64_t)i;
        if (!pad_axis(im, in[0], axis, given[i], given[i + naxes], p)) return false;
    }
    return true;
}

// Which old element of n shows at place i, which lies outside when it pads.
static int64_t shown(enum fill fill, int64_t i, int64_t n) {
    int64_t period = fill == WRAP ? n : 2 * n - 2;
    if (i >= 0 && i < n) return i;
    if (fill == EDGE || n == 1) return i < 0 ? 0 : n - 1;
    i = (i % period + period) % period;
    return i < n ? i : period - i;
}

static nid pad_by_copies(struct import *im, nid x, size_t axis, const struct padding *p) {
    int64_t n = (int64_t)type_at(im->b.f, x)->dim[axis];
    int64_t before = p->before[axis], size = n + before + p->after[axis];
    if (size < 0 || (n == 0 && size > 0)) {
        op_fail(im, "makes an axis of %lld of one of %lld", (long long)size,
                (long long)n);
        return NID_NONE;
    }
    if (!op_charge(im, (size_t)size)) return NID_NONE;
    int64_t *index = NEW_N(im->arena, int64_t, (size_t)size);
    for (int64_t i = 0; i < size; i++) index[i] = shown(p->fill, i - before, n);
    return op_gather(im, x, index, (size_t)size, axis);
}

IMPORTER(import_pad) {
    static const int64_t none[TYPE_MAX_RANK];
    struct padding p;
    nid y = in[0].id;
    if (!read_padding(im, in, &p)) return false;
    size_t rank = val_type(im, in[0])->rank;
    if (p.fill == CONSTANT) {
        struct value attrs[] = {val_ints(p.before, rank), val_ints(p.after, rank),
                                val_ints(none, rank), val_float(p.value)};
        return op_done_like(op_make(im, OP_PAD, &y, 1, attrs), in[0], out);
    }
    for (size_t i = 0; i < rank && y != NID_NONE; i++)
        if (p.before[i] || p.after[i]) y = pad_by_copies(im, y, i, &p);
    return op_done_like(y, in[0], out);
}
