// Resize, and Upsample, which it was called before.
//
// Axis by axis, each element of the result is made of one old element (nearest) or two
// (linear): one or two gathers by constant indices. So gradients follow by themselves.
#include "frontend/onnx/onnx.h"

#include <math.h>

enum mode { NEAREST, LINEAR };
#define MODES "nearest|linear"

enum place { // coordinate_transformation_mode
    HALF_PIXEL,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    HALF_PIXEL_FOR_NN,
    HALF_PIXEL_SYMMETRIC,
    CROP_AND_RESIZE,
};
#define PLACES                                                                           \
    "half_pixel|pytorch_half_pixel|align_corners|asymmetric|tf_half_pixel_for_nn|"       \
    "half_pixel_symmetric|tf_crop_and_resize"

enum rounding { FLOOR_HALVES, CEIL_HALVES, DOWN, UP }; // nearest_mode
#define ROUNDINGS "round_prefer_floor|round_prefer_ceil|floor|ceil"

struct resize { // of one axis
    enum mode mode;
    enum place place;
    enum rounding rounding;
    size_t from, to;
    double scale;
    bool exact;        // the scale is to / from
    double start, end; // the part that is kept (CROP_AND_RESIZE), as shares of the axis
};

// ---- where elements come from --------------------------------------------------------
// at / scale. Exporters compute with scales they write down in f32, where 1 / 0.333.. is
// 3.
static double shrunk(const struct resize *r, double at) {
    if (r->exact) return at * (double)r->from / (double)r->to;
    return (double)((float)at / (float)r->scale);
}

// The place among the old elements of new element i.
static double old_place(const struct resize *r, size_t i) {
    double at = (double)i, old = (double)r->from, new = (double)r->to;
    switch (r->place) {
    case PYTORCH_HALF_PIXEL:
        if (r->to == 1) return 0;
        return shrunk(r, at + 0.5) - 0.5;
    case HALF_PIXEL: return shrunk(r, at + 0.5) - 0.5;
    case ALIGN_CORNERS: return r->to == 1 ? 0 : at * (old - 1) / (new - 1);
    case ASYMMETRIC: return shrunk(r, at);
    case HALF_PIXEL_FOR_NN: return shrunk(r, at + 0.5);
    case HALF_PIXEL_SYMMETRIC: {
        double share = new / (old * r->scale); // of the size before it was made whole
        return old / 2 * (1 - share) + shrunk(r, at + 0.5) - 0.5;
    }
    case CROP_AND_RESIZE:
        if (r->to == 1) return (r->start + r->end) / 2 * (old - 1);
        return (r->start + at * (r->end - r->start) / (new - 1)) * (old - 1);
    }
    BUG("a place of number %d", (int)r->place);
}

static double clamp(double v, size_t n) {
    return fmin(fmax(v, 0), (double)n - 1);
}

static double nearest(enum rounding how, double v) {
    switch (how) {
    case FLOOR_HALVES: return ceil(v - 0.5);
    case CEIL_HALVES: return floor(v + 0.5);
    case DOWN: return floor(v);
    case UP: return ceil(v);
    }
    BUG("a rounding of number %d", (int)how);
}

struct taps { // what each new element is made of: a * x[low] + b * x[high]
    int64_t *low, *high;
    float *a, *b;
    bool whole; // b is 0 everywhere, and a is 1
};

static bool outside(const struct resize *r, double at) {
    return r->place == CROP_AND_RESIZE && (at < 0 || at > (double)r->from - 1);
}

static struct taps find_taps(struct import *im, const struct resize *r) {
    struct taps t = {.whole = true};
    t.low = NEW_N(im->arena, int64_t, r->to);
    t.high = NEW_N(im->arena, int64_t, r->to);
    t.a = NEW_N(im->arena, float, r->to);
    t.b = NEW_N(im->arena, float, r->to);
    for (size_t i = 0; i < r->to; i++) {
        double at = old_place(r, i), v = clamp(at, r->from);
        double low =
            r->mode == LINEAR ? floor(v) : clamp(nearest(r->rounding, at), r->from);
        double share = r->mode == LINEAR ? v - low : 0;
        bool gone = outside(r, at);
        t.low[i] = (int64_t)low;
        t.high[i] = (int64_t)clamp(low + 1, r->from);
        t.a[i] = gone ? 0 : (float)(1 - share);
        t.b[i] = gone ? 0 : (float)share;
        t.whole = t.whole && !gone && share == 0;
    }
    return t;
}

// ---- one axis ------------------------------------------------------------------------
// Numbers along one axis of a value of that rank.
static nid along(struct import *im, const float *v, size_t n, size_t axis, size_t rank) {
    size_t dim[TYPE_MAX_RANK];
    for (size_t i = 0; i < rank; i++) dim[i] = 1;
    dim[axis] = n;
    return op_const(im, type_tensor(ELEM_F32, false, (uint32_t)rank, dim), v);
}

// How often each element is repeated in its place, when that is all that happens; else 0.
static size_t repeats(const struct resize *r, const struct taps *t) {
    size_t k = r->to / r->from;
    if (!t->whole || r->to % r->from) return 0;
    for (size_t i = 0; i < r->to; i++)
        if (t->low[i] != (int64_t)(i / k)) return 0;
    return k;
}

static nid resize_axis(struct import *im, nid x, size_t axis, const struct resize *r) {
    if (x == NID_NONE) return NID_NONE;
    struct taps t = find_taps(im, r);
    size_t rank = type_at(im->b.f, x)->rank, k = repeats(r, &t);
    if (k) return op_repeat(im, x, axis, k, true);
    nid low = op_gather(im, x, t.low, r->to, axis);
    if (t.whole) return low;
    nid high = op_gather(im, x, t.high, r->to, axis);
    return op2(im, OP_ADD, op2(im, OP_MUL, low, along(im, t.a, r->to, axis, rank)),
               op2(im, OP_MUL, high, along(im, t.b, r->to, axis, rank)));
}

// 1 where a new element comes from inside the axis, 0 elsewhere.
static nid inside_axis(struct import *im, const struct resize *r, size_t axis,
                       size_t rank) {
    float *v = NEW_N(im->arena, float, r->to);
    for (size_t i = 0; i < r->to; i++) v[i] = !outside(r, old_place(r, i));
    return along(im, v, r->to, axis, rank);
}

// ---- what the node asks for ----------------------------------------------------------
struct request {
    struct resize how; // for every axis
    const float *scales, *roi;
    const int64_t *sizes;
    const int64_t *axes; // NULL: all, in order
    size_t n, nroi;      // entries of scales or sizes, and of roi
    size_t policy;       // of sizes: stretch, not_larger, not_smaller
};

// The constant f32[n] of an optional input; *n is 0 when there is none.
static bool operand_floats(struct import *im, struct onnx_val v, const char *what,
                           const float **out, size_t *n) {
    *out = NULL;
    *n = 0;
    if (v.form == FORM_NONE) return true;
    const struct type *t = val_type(im, v);
    if (v.form != FORM_FIXED || !val_is_const(im, v) || t->elem != ELEM_F32 ||
        t->rank != 1)
        return op_fail(im, "needs constant %s, this is %s", what, val_text(im, v));
    *n = t->dim[0];
    if (*n) *out = node_at(im->b.f, v.id)->data;
    return true;
}

static bool attr_floats(struct import *im, const char *name, const float **out,
                        size_t *n) {
    const Onnx__AttributeProto *a = node_attr_proto(im, name);
    *n = a ? a->n_floats : 0;
    *out = *n ? a->floats : NULL;
    return *n || op_fail(im, "has no %s", name);
}

// Upsample: scales alone. Resize up to opset 10: the same as an input; later: roi, scales
// or sizes.
static bool read_sizes(struct import *im, const struct onnx_val *in, struct request *q) {
    bool old = im->opset < 11 || strcmp(im->op->name, "Upsample") == 0;
    if (old && in[1].form == FORM_NONE)
        return attr_floats(im, "scales", &q->scales, &q->n);
    if (old) return operand_floats(im, in[1], "scales", &q->scales, &q->n);
    if (!operand_floats(im, in[2], "scales", &q->scales, &q->n)) return false;
    if (q->how.place == CROP_AND_RESIZE &&
        !operand_floats(im, in[1], "a roi", &q->roi, &q->nroi))
        return false;
    if ((q->n > 0) == (in[3].form != FORM_NONE))
        return op_fail(im, "has %s",
                       q->n ? "scales and sizes" : "no scales and no sizes");
    return q->n || operand_ints(im, in[3], "sizes", &q->sizes, &q->n);
}

// Up to opset 10 new element i came from old element floor(i / scale).
static bool read_how(struct import *im, struct resize *r) {
    size_t mode, place, rounding;
    bool antialias, old = im->opset < 11;
    if (!node_choice(im, "mode", MODES, &mode) ||
        !node_choice(im, "coordinate_transformation_mode", PLACES, &place) ||
        !node_choice(im, "nearest_mode", ROUNDINGS, &rounding) ||
        !node_flag(im, "antialias", false, &antialias))
        return false;
    if (antialias)
        return op_fail(im, "smooths what it makes smaller (antialias), which "
                           "ddg does not");
    r->mode = (enum mode)mode;
    r->place = old ? ASYMMETRIC : (enum place)place;
    r->rounding = old ? DOWN : (enum rounding)rounding;
    return true;
}

static bool read_request(struct import *im, const struct onnx_val *in,
                         struct request *q) {
    size_t naxes;
    *q = (struct request){0};
    if (!read_how(im, &q->how) || !read_sizes(im, in, q) ||
        !node_ints(im, "axes", &q->axes, &naxes) ||
        !node_choice(im, "keep_aspect_ratio_policy", "stretch|not_larger|not_smaller",
                     &q->policy))
        return false;
    size_t expected = q->axes ? naxes : val_rank(im, in[0]);
    if (q->n != expected)
        return op_fail(im, "has %zu sizes for %zu axes", q->n, expected);
    if (q->how.place == CROP_AND_RESIZE && q->nroi != 2 * q->n)
        return op_fail(im, "has a roi of %zu numbers for %zu axes", q->nroi, q->n);
    return true;
}

// The size of x's axis that entry i is about; the batch counts as 1.
static bool entry_axis(struct import *im, struct onnx_val x, const struct request *q,
                       size_t i, size_t *axis, bool *is_batch) {
    if (!onnx_axis(im, q->axes ? q->axes[i] : (int64_t)i, val_rank(im, x), axis))
        return false;
    *is_batch = x.form == FORM_ROWS && *axis == x.at;
    return *is_batch || val_axis(im, x, (int64_t)*axis, axis);
}

// The batch must stay as it is.
static bool keeps_batch(struct import *im, struct onnx_val x, const struct request *q,
                        size_t i) {
    int64_t shape[TYPE_MAX_RANK + 1], fixed = (int64_t)im->file->batch;
    val_shape(im, x, shape);
    int64_t rows = shape[x.at];
    bool same = q->scales
                    ? q->scales[i] == 1
                    : q->sizes[i] == rows ||
                          (fixed && q->sizes[i] == fixed * (int64_t)onnx_batch_of(rows));
    return same || op_fail(im, "makes the batch another size");
}

// With a policy other than stretch, one scale for all axes: the least or the greatest.
static bool one_scale(struct import *im, struct onnx_val x, const struct request *q,
                      double *out) {
    *out = 0;
    for (size_t i = 0; i < q->n; i++) {
        size_t axis;
        bool is_batch;
        if (!entry_axis(im, x, q, i, &axis, &is_batch)) return false;
        if (is_batch) continue;
        double s = (double)q->sizes[i] / (double)val_type(im, x)->dim[axis];
        if (*out == 0) *out = s;
        *out = q->policy == 1 ? fmin(*out, s) : fmax(*out, s);
    }
    return true;
}

// The new size and scale of an axis, by entry i.
static bool read_axis(struct import *im, const struct request *q, size_t i, size_t from,
                      double common, struct resize *r) {
    double to;
    *r = q->how;
    r->from = from;
    if (q->scales) {
        r->scale = (double)q->scales[i];
        to = floor((double)(q->scales[i] * (float)from)); // in f32, as exporters do
    } else {
        r->scale = common > 0 ? common : (double)q->sizes[i] / (double)from;
        to = common > 0 ? floor(common * (double)from + 0.5) : (double)q->sizes[i];
    }
    if (!(from > 0 && to >= 1 && to <= (double)TYPE_MAX_COUNT && r->scale > 0))
        return op_fail(im, "makes %g elements of %zu", to, from);
    r->to = (size_t)to;
    r->exact = q->sizes && common == 0;
    r->start = q->roi ? (double)q->roi[i] : 0;
    r->end = q->roi ? (double)q->roi[i + q->n] : 1;
    return op_charge(im, r->to);
}

// y where it comes from inside, the value beyond.
static nid extrapolate(struct import *im, nid y, nid inside, double value) {
    nid rest = op2(im, OP_SUB, op_scalar(im, 1), inside);
    return op2(im, OP_ADD, y, op2(im, OP_MUL, rest, op_scalar(im, value)));
}

IMPORTER(import_resize) {
    struct request q;
    struct resize r;
    double beyond, common = 0;
    nid y = in[0].id, inside = op_scalar(im, 1);
    if (!check_f32(im, in[0]) || !read_request(im, in, &q) ||
        !node_float(im, "extrapolation_value", 0, &beyond) ||
        (q.sizes && q.policy && !one_scale(im, in[0], &q, &common)))
        return false;
    size_t rank = val_type(im, in[0])->rank;
    for (size_t i = 0; i < q.n; i++) {
        size_t axis;
        bool is_batch;
        if (!entry_axis(im, in[0], &q, i, &axis, &is_batch)) return false;
        if (is_batch && !keeps_batch(im, in[0], &q, i)) return false;
        if (is_batch) continue;
        size_t from = val_type(im, in[0])->dim[axis];
        if (!read_axis(im, &q, i, from, common, &r)) return false;
        y = resize_axis(im, y, axis, &r);
        if (r.place == CROP_AND_RESIZE)
            inside = op2(im, OP_MUL, inside, inside_axis(im, &r, axis, rank));
    }
    if (q.how.place == CROP_AND_RESIZE) y = extrapolate(im, y, inside, beyond);
    return op_done_like(y, in[0], out);
}
