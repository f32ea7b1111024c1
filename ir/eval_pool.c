// The reference evaluator: pools and their vector-Jacobian products, on planes of
// [C,H,W].
#include "ir/eval_core.h"

#include <math.h>

struct window { // the part of a pool's window that lies in the image
    size_t top, bottom, left, right;
};

struct pool {
    size_t h, w, oh, ow; // of a plane and of its result
    const int64_t *kernel, *strides, *pads;
};

static struct pool pool_of(const struct node *n, const struct type *x,
                           const struct type *y) {
    return (struct pool){.h = x->dim[1],
                         .w = x->dim[2],
                         .oh = y->dim[1],
                         .ow = y->dim[2],
                         .kernel = attr_ints(n, "kernel", NULL),
                         .strides = attr_ints(n, "strides", NULL),
                         .pads = attr_ints(n, "pads", NULL)};
}

static void clip(const struct pool *p, int axis, size_t i, size_t side, size_t *low,
                 size_t *high) {
    int64_t start = (int64_t)i * p->strides[axis] - p->pads[axis];
    int64_t end = start + p->kernel[axis];
    *low = start > 0 ? (size_t)start : 0;
    *high = size_min((size_t)end, side); // padding is smaller than the window: end > 0
}

static struct window window_at(const struct pool *p, size_t i, size_t j) {
    struct window w;
    clip(p, 0, i, p->h, &w.top, &w.bottom);
    clip(p, 1, j, p->w, &w.left, &w.right);
    return w;
}

// ---- largest ------------------------------------------------------------------------
static float window_max(const struct pool *p, const float *plane, struct window w) {
    float best = -INFINITY;
    for (size_t y = w.top; y < w.bottom; y++)
        for (size_t x = w.left; x < w.right; x++) {
            float v = plane[y * p->w + x];
            best = v > best ? v : best;
        }
    return best;
}

bool eval_maxpool(const struct eval_call *c) {
    struct pool p = pool_of(c->n, c->types[0], &c->n->type);
    const float *x = c->in[0];
    float *out = c->out;
    for (size_t ch = 0; ch < c->n->type.dim[0]; ch++, x += p.h * p.w)
        for (size_t i = 0; i < p.oh; i++)
            for (size_t j = 0; j < p.ow; j++)
                *out++ = window_max(&p, x, window_at(&p, i, j));
    return true;
}

// Where the first element of the window that equals y lies in the plane; false: nowhere.
static bool find_max(const struct pool *p, const float *plane, struct window w, float y,
                     size_t *at) {
    for (size_t i = w.top; i < w.bottom; i++)
        for (size_t j = w.left; j < w.right; j++) {
            *at = i * p->w + j;
            if (plane[*at] == y) return true;
        }
    return false;
}

// Adds d[i,j] to the first largest element of window (i, j).
static void give_to_max(const struct pool *p, const float *plane, const float *y,
                        const float *d, double *sums) {
    size_t at;
    for (size_t i = 0; i < p->oh; i++)
        for (size_t j = 0; j < p->ow; j++, y++, d++)
            if (find_max(p, plane, window_at(p, i, j), *y, &at)) sums[at] += (double)*d;
}

static void round_plane(const double *sums, float *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = (float)sums[i];
}

bool eval_maxpool_dx(const struct eval_call *c) {
    struct pool p = pool_of(c->n, c->types[0], c->types[1]);
    const float *x = c->in[0], *y = c->in[1], *d = c->in[2];
    size_t plane = p.h * p.w, channels = c->n->type.dim[0];
    double *sums = mem_alloc((plane + 1) * sizeof *sums);
    if (!sums) return false;
    for (size_t ch = 0; ch < channels; ch++) {
        size_t done = ch * p.oh * p.ow;
        memset(sums, 0, plane * sizeof *sums);
        give_to_max(&p, x + ch * plane, y + done, d + done, sums);
        round_plane(sums, (float *)c->out + ch * plane, plane);
    }
    mem_free(sums);
    return true;
}

bool eval_maxpool_jvp(const struct eval_call *c) {
    struct pool p = pool_of(c->n, c->types[0], &c->n->type);
    const float *x = c->in[0], *y = c->in[1], *t = c->in[2];
    size_t plane = p.h * p.w, at;
    float *out = c->out;
    for (size_t ch = 0; ch < c->n->type.dim[0]; ch++, x += plane, t += plane)
        for (size_t i = 0; i < p.oh; i++)
            for (size_t j = 0; j < p.ow; j++)
                *out++ = find_max(&p, x, window_at(&p, i, j), *y++, &at) ? t[at] : 0;
    return true;
}

// ---- mean ---------------------------------------------------------------------------
// How many elements a window's mean is over.
static double mean_count(const struct node *n, const struct pool *p, struct window w) {
    if (attr_int(n, "count_pad")) return (double)(p->kernel[0] * p->kernel[1]);
    return (double)((w.bottom - w.top) * (w.right - w.left));
}

static double window_sum(const struct pool *p, const float *plane, struct window w) {
    double sum = 0;
    for (size_t y = w.top; y < w.bottom; y++)
        for (size_t x = w.left; x < w.right; x++) sum += (double)plane[y * p->w + x];
    return sum;
}

bool eval_avgpool(const struct eval_call *c) {
    struct pool p = pool_of(c->n, c->types[0], &c->n->type);
    const float *x = c->in[0];
    float *out = c->out;
    for (size_t ch = 0; ch < c->n->type.dim[0]; ch++, x += p.h * p.w)
        for (size_t i = 0; i < p.oh; i++)
            for (size_t j = 0; j < p.ow; j++) {
                struct window w = window_at(&p, i, j);
                *out++ = (float)(window_sum(&p, x, w) / mean_count(c->n, &p, w));
            }
    return true;
}

static void spread(const struct pool *p, struct window w, double share, double *sums) {
    for (size_t y = w.top; y < w.bottom; y++)
        for (size_t x = w.left; x < w.right; x++) sums[y * p->w + x] += share;
}

bool eval_avgpool_dx(const struct eval_call *c) {
    struct pool p = pool_of(c->n, &c->n->type, c->types[0]);
    const float *d = c->in[0];
    size_t plane = p.h * p.w, channels = c->n->type.dim[0];
    double *sums = mem_alloc((plane + 1) * sizeof *sums);
    if (!sums) return false;
    for (size_t ch = 0; ch < channels; ch++) {
        memset(sums, 0, plane * sizeof *sums);
        for (size_t i = 0; i < p.oh; i++)
            for (size_t j = 0; j < p.ow; j++) {
                struct window w = window_at(&p, i, j);
                spread(&p, w, (double)*d++ / mean_count(c->n, &p, w), sums);
            }
        round_plane(sums, (float *)c->out + ch * plane, plane);
    }
    mem_free(sums);
    return true;
}
