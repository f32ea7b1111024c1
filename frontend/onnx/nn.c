// Layers with windows: convolutions and pools; and dropout.
//
// A convolution uses its weight itself, and its bias by one reshape and one addition, so
// that differentiation sees each layer in one known form.
#include "frontend/onnx/onnx.h"

#include <math.h>

// ---- windows -------------------------------------------------------------------------
#define WINDOW_MAX 4096 // of the IR's attributes

struct window { // height first, as the IR has it
    int64_t kernel[2], strides[2], dilations[2];
    int64_t pads[4]; // top, left, bottom, right
};

// A list of n numbers in [min, WINDOW_MAX], or all of them the fallback.
static bool read_list(struct import *im, const char *name, size_t n, int64_t min,
                      int64_t fallback, int64_t *out) {
    const int64_t *given;
    size_t ngiven;
    if (!node_ints(im, name, &given, &ngiven)) return false;
    if (ngiven && ngiven != n)
        return op_fail(im, "has %zu %s; a 2-D op has %zu", ngiven, name, n);
    for (size_t i = 0; i < n; i++) {
        out[i] = ngiven ? given[i] : fallback;
        if (out[i] < min || out[i] > WINDOW_MAX)
            return op_fail(im, "has %lld in %s; ddg takes %lld to %d", (long long)out[i],
                           name, (long long)min, WINDOW_MAX);
    }
    return true;
}

static int64_t reach(const struct window *w, size_t i) {
    return (w->kernel[i] - 1) * w->dilations[i] + 1;
}

// SAME_UPPER and SAME_LOWER: as many places as ceil(side / stride), the odd pixel of
// padding behind or in front.
static void pad_same(const size_t *side, bool lower, struct window *w) {
    for (size_t i = 0; i < 2; i++) {
        int64_t n = (int64_t)side[i], places = (n - 1) / w->strides[i] + 1;
        int64_t total = (places - 1) * w->strides[i] + reach(w, i) - n;
        if (total < 0) total = 0;
        w->pads[i] = (total + lower) / 2;
        w->pads[i + 2] = total - w->pads[i];
    }
}

static bool check_pads(struct import *im, const struct window *w) {
    for (size_t i = 0; i < 4; i++)
        if (w->pads[i] > WINDOW_MAX)
            return op_fail(im, "needs %lld pixels of padding", (long long)w->pads[i]);
    return true;
}

static bool fits(struct import *im, const size_t *side, const struct window *w) {
    for (size_t i = 0; i < 2; i++)
        if ((int64_t)side[i] + w->pads[i] + w->pads[i + 2] < reach(w, i))
            return op_fail(im,
                           "has a window of %lld x %lld, larger than its input of "
                           "%zu x %zu with padding",
                           (long long)reach(w, 0), (long long)reach(w, 1), side[0],
                           side[1]);
    return true;
}

// All but the kernel, which a convolution takes from its weight.
static bool read_window(struct import *im, const size_t *side, struct window *w) {
    size_t mode; // of auto_pad
    if (!node_choice(im, "auto_pad", "NOTSET|VALID|SAME_UPPER|SAME_LOWER", &mode) ||
        !read_list(im, "strides", 2, 1, 1, w->strides) ||
        !read_list(im, "dilations", 2, 1, 1, w->dilations) ||
        !read_list(im, "pads", 4, 0, 0, w->pads))
        return false;
    if (mode == 1) memset(w->pads, 0, sizeof w->pads);
    if (mode >= 2) pad_same(side, mode == 3, w);
    return check_pads(im, w) && fits(im, side, w);
}

// ---- convolution ---------------------------------------------------------------------
// [C] as [C,1,1,...] for values of that rank.
static nid per_channel(struct import *im, nid v, size_t rank) {
    size_t dim[TYPE_MAX_RANK] = {type_at(im->b.f, v)->dim[0], 1, 1, 1, 1, 1};
    return op_reshape(im, v, dim, rank);
}

static bool conv_kernel(struct import *im, struct onnx_val weight, struct window *w) {
    const struct type *t = val_type(im, weight);
    int64_t stated[2];
    if (weight.form != FORM_FIXED || t->rank != 4 || t->elem != ELEM_F32)
        return op_fail(im, "takes a fixed weight f32[O,C,h,w], this is %s",
                       val_text(im, weight));
    for (size_t i = 0; i < 2; i++) {
        if (t->dim[i + 2] == 0 || t->dim[i + 2] > WINDOW_MAX)
            return op_fail(im, "has a weight of %s", val_text(im, weight));
        w->kernel[i] = (int64_t)t->dim[i + 2];
    }
    if (!read_list(im, "kernel_shape", 2, 0, 0, stated)) return false;
    if (!attr_has(im, "kernel_shape") ||
        (stated[0] == w->kernel[0] && stated[1] == w->kernel[1]))
        return true;
    return op_fail(im, "states a kernel of %lld x %lld and has a weight of %s",
                   (long long)stated[0], (long long)stated[1], val_text(im, weight));
}

static bool conv_groups(struct import *im, const struct type *x, const struct type *w,
                        int64_t *groups) {
    if (!node_int(im, "group", 1, groups)) return false;
    if (*groups < 1 || *groups > 65536)
        return op_fail(im, "has %lld groups", (long long)*groups);
    size_t g = (size_t)*groups;
    if (x->dim[0] % g || x->dim[0] / g != w->dim[1])
        return op_fail(im, "has weights for %zu channels%s and would get %zu",
                       w->dim[1] * g,
                       g == 1 ? ""
                              : arena_printf(im->arena, " (%zu in each of %zu groups)",
                                             w->dim[1], g),
                       x->dim[0]);
    return w->dim[0] % g == 0 ||
           op_fail(im, "divides %zu output channels into %zu groups", w->dim[0], g);
}

IMPORTER(import_conv) {
    struct window w;
    int64_t groups;
    if (!val_images(im, in[0]) || !conv_kernel(im, in[1], &w)) return false;
    const struct type *x = val_type(im, in[0]), *weight = val_type(im, in[1]);
    if (!conv_groups(im, x, weight, &groups) || !read_window(im, x->dim + 1, &w))
        return false;
    struct value attrs[] = {val_ints(w.strides, 2), val_ints(w.pads, 4),
                            val_ints(w.dilations, 2), val_int(groups)};
    nid y = op_make(im, OP_CONV, (nid[]){in[0].id, in[1].id}, 2, attrs);
    if (in[2].form != FORM_NONE) {
        if (!check_vector(im, in[2], "a bias", weight->dim[0])) return false;
        y = op2(im, OP_ADD, y, per_channel(im, in[2].id, 3));
    }
    return op_done(y, FORM_ROWS, out);
}

// ---- pools ---------------------------------------------------------------------------
// Extra padding behind so that the last window, which ceil_mode lets hang over the edge,
// is whole. A window that would start past the input and its left padding is none.
static void pad_ceil(const size_t *side, const struct window *w, int64_t extra[2]) {
    for (size_t i = 0; i < 2; i++) {
        int64_t front = (int64_t)side[i] + w->pads[i], whole = front + w->pads[i + 2];
        int64_t places = (whole - reach(w, i) + w->strides[i] - 1) / w->strides[i] + 1;
        if ((places - 1) * w->strides[i] >= front) places--;
        extra[i] = (places - 1) * w->strides[i] + reach(w, i) - whole;
        if (extra[i] < 0) extra[i] = 0;
    }
}

// A border around the image, as elements of their own.
static nid pad_images(struct import *im, nid x, const int64_t *pads, double value) {
    int64_t before[] = {0, pads[0], pads[1]}, after[] = {0, pads[2], pads[3]};
    static const int64_t none[3];
    struct value attrs[] = {val_ints(before, 3), val_ints(after, 3), val_ints(none, 3),
                            val_float(value)};
    return op_make(im, OP_PAD, &x, 1, attrs);
}

// The largest of each window with gaps between its pixels: every pixel of the window is a
// slice of the image.
static nid dilated_maxpool(struct import *im, nid x, const struct window *w) {
    nid y = NID_NONE;
    int64_t size[3], step[3] = {1, w->strides[0], w->strides[1]};
    x = pad_images(im, x, w->pads, -INFINITY);
    if (x == NID_NONE) return NID_NONE;
    const struct type t = *type_at(im->b.f, x);
    size[0] = (int64_t)t.dim[0];
    for (size_t i = 0; i < 2; i++)
        size[i + 1] = ((int64_t)t.dim[i + 1] - reach(w, i)) / w->strides[i] + 1;
    for (int64_t r = 0; r < w->kernel[0]; r++)
        for (int64_t c = 0; c < w->kernel[1]; c++) {
            int64_t start[] = {0, r * w->dilations[0], c * w->dilations[1]};
            nid one = op_slice(im, x, start, step, size);
            y = r || c ? op2(im, OP_MAX, y, one) : one;
        }
    return y;
}

static bool read_pool(struct import *im, const struct type *x, struct window *w) {
    const Onnx__AttributeProto *kernel = node_attr_proto(im, "kernel_shape");
    if (!kernel) return op_fail(im, "has no kernel_shape");
    if (!read_list(im, "kernel_shape", 2, 1, 1, w->kernel) ||
        !read_window(im, x->dim + 1, w))
        return false;
    for (size_t i = 0; i < 4; i++)
        if (w->pads[i] >= w->kernel[i % 2])
            return op_fail(im,
                           "pads by %lld with a window of %lld: some windows would hold "
                           "nothing",
                           (long long)w->pads[i], (long long)w->kernel[i % 2]);
    return true;
}

static bool read_pool_flags(struct import *im, bool *ceil_mode, bool *count_pad) {
    *count_pad = false;
    return node_flag(im, "ceil_mode", false, ceil_mode) &&
           (im->op->op == OP_MAXPOOL ||
            node_flag(im, "count_include_pad", false, count_pad));
}

IMPORTER(import_pool) {
    struct window w;
    bool ceil_mode, count_pad;
    int64_t extra[2] = {0, 0};
    nid x = in[0].id;
    if (!val_images(im, in[0])) return false;
    if (im->nout > 1 && *im->node->output[1])
        return op_fail(im, "gives the places of the largest, which ddg does not compute");
    const struct type *t = val_type(im, in[0]);
    if (!read_pool(im, t, &w) || !read_pool_flags(im, &ceil_mode, &count_pad))
        return false;
    if (ceil_mode) pad_ceil(t->dim + 1, &w, extra);
    if (count_pad && (extra[0] || extra[1])) {
        // The file's padding counts and the overhang does not: only the latter stays a
        // pad.
        x = pad_images(im, x, w.pads, 0);
        memset(w.pads, 0, sizeof w.pads);
        count_pad = false;
    }
    w.pads[2] += extra[0];
    w.pads[3] += extra[1];
    if (w.dilations[0] != 1 || w.dilations[1] != 1) {
        if (im->op->op != OP_MAXPOOL || w.kernel[0] * w.kernel[1] > 64)
            return op_fail(im,
                           "has dilations; ddg knows them of MaxPool, with windows of "
                           "up to 64 pixels");
        return op_done(dilated_maxpool(im, x, &w), FORM_ROWS, out);
    }
    struct value attrs[] = {val_ints(w.kernel, 2), val_ints(w.strides, 2),
                            val_ints(w.pads, 4), val_bool(count_pad)};
    return op_done(op_make(im, im->op->op, &x, 1, attrs), FORM_ROWS, out);
}

IMPORTER(import_global_pool) {
    int64_t axes[TYPE_MAX_RANK];
    size_t c, n = 0;
    double count = 1;
    if (!check_f32(im, in[0]) || val_rank(im, in[0]) < 3)
        return op_fail(im, "takes f32[N,C,...], this is %s", val_text(im, in[0]));
    if (!val_axis(im, in[0], 1, &c)) return false;
    const struct type *t = val_type(im, in[0]);
    for (size_t i = c + 1; i < t->rank; i++) {
        axes[n++] = (int64_t)i;
        count *= (double)t->dim[i];
    }
    nid y = op_reduce(im, im->op->op, in[0].id, axes, n, true);
    if (im->op->op == OP_SUM) y = op2(im, OP_MUL, y, op_scalar(im, 1 / count));
    return op_done_like(y, in[0], out);
}

// ---- dropout -------------------------------------------------------------------------
// What is kept, the second output: everything. A truth value up to opset 9, too.
static bool all_kept(struct import *im, struct onnx_val x, struct onnx_val *out) {
    const struct type *t = val_type(im, x);
    nid yes = op_broadcast(im, op_cast(im, op_scalar(im, 1), ELEM_I64), t->dim, t->rank);
    return op_done_like(yes, x, out);
}

// In training mode with nothing to drop it is the identity too.
IMPORTER(import_dropout) {
    double training = 0, ratio = 0.5;
    if (in[2].form != FORM_NONE && !operand_number(im, in[2], "training_mode", &training))
        return false;
    if (training != 0 && in[1].form != FORM_NONE &&
        !operand_number(im, in[1], "the ratio", &ratio))
        return false;
    if (training != 0 && ratio != 0) {
        op_fail(im, "is in training mode");
        return diag_help(im->log->d, "call model.eval() before the export, and leave out "
                                     "TrainingMode.TRAINING");
    }
    out[0] = in[0];
    return im->nout < 2 || all_kept(im, in[0], &out[1]);
}
