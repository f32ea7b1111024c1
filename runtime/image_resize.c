// Pillow's bilinear resize, to the bit: each output is a weighted mean of the inputs
// under a triangle as wide as the scale, weights are rounded to 22 bits, rows are done
// first and rounded to 8 bits, then columns. An axis that neither scales nor crops is
// left alone.
#include "runtime/image.h"

#include <math.h>

#define WEIGHT_BITS 22 // Pillow's PRECISION_BITS: 32 - 8 - 2

// ---- one axis -----------------------------------------------------------------------
struct axis {
    size_t in;        // pixels of the image
    size_t box0, box; // the part of it that is resized
    size_t out;       // pixels it becomes
    size_t first, n;  // of these, the ones wanted
};

struct taps { // the inputs of each wanted output and their weights
    size_t n, width;
    size_t *start, *count;
    int32_t *weight; // [n][width]
};

static bool axis_changes(const struct axis *a) {
    return a->out != a->in || a->box0 != 0 || a->box != a->in;
}

static double triangle(double x) {
    x = x < 0 ? -x : x;
    return x < 1 ? 1 - x : 0;
}

// The doubles and the order they are added in are Pillow's: any other would round apart.
static void taps_of(const struct axis *a, struct taps *t, size_t i, double *w) {
    double scale = (double)a->box / (double)a->out, support = scale < 1 ? 1 : scale;
    double center = (double)a->box0 + ((double)(a->first + i) + 0.5) * scale;
    double lo = center - support + 0.5, sum = 0, inverse = 1.0 / support;
    size_t start = lo > 0 ? (size_t)lo : 0;
    size_t end = size_min((size_t)(center + support + 0.5), a->in), count = end - start;
    for (size_t x = 0; x < count; x++) {
        w[x] = triangle(((double)(x + start) - center + 0.5) * inverse);
        sum += w[x];
    }
    for (size_t x = 0; x < count; x++) {
        double share = sum != 0 ? w[x] / sum : w[x];
        t->weight[i * t->width + x] = (int32_t)(0.5 + share * (1 << WEIGHT_BITS));
    }
    t->start[i] = start;
    t->count[i] = count;
}

static void taps_free(struct taps *t) {
    mem_free(t->start);
    mem_free(t->count);
    mem_free(t->weight);
}

static bool taps_make(const struct axis *a, struct taps *t) {
    double scale = (double)a->box / (double)a->out;
    *t = (struct taps){.n = a->n, .width = (size_t)ceil(scale < 1 ? 1 : scale) * 2 + 1};
    t->start = mem_zalloc(t->n, sizeof *t->start);
    t->count = mem_zalloc(t->n, sizeof *t->count);
    size_t weights;
    if (size_mul(t->n, t->width, &weights))
        t->weight = mem_zalloc(weights, sizeof *t->weight);
    double *w = mem_zalloc(t->width, sizeof *w);
    bool ok = t->start && t->count && t->weight && w;
    for (size_t i = 0; ok && i < t->n; i++) taps_of(a, t, i, w);
    mem_free(w);
    if (!ok) taps_free(t);
    return ok;
}

// ---- two passes ---------------------------------------------------------------------
struct plane { // one channel: value (y, x) is at[y * row + x * step]
    const uint8_t *at;
    size_t row, step;
};

static uint8_t rounded(int32_t sum) {
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum); // no weight is negative
}

#define HALF (1 << (WEIGHT_BITS - 1))

static uint8_t weighted(const uint8_t *in, size_t step, const int32_t *weight, size_t n) {
    int32_t sum = HALF;
    for (size_t i = 0; i < n; i++) sum += in[i * step] * weight[i];
    return rounded(sum);
}

// The same for four rows, which share the weights.
static void weighted_rows(const uint8_t *in, size_t row, size_t step,
                          const int32_t *weight, size_t n, uint8_t *out, size_t out_row) {
    int32_t a = HALF, b = HALF, c = HALF, d = HALF;
    for (size_t i = 0; i < n; i++, in += step) {
        a += in[0] * weight[i];
        b += in[row] * weight[i];
        c += in[2 * row] * weight[i];
        d += in[3 * row] * weight[i];
    }
    out[0] = rounded(a);
    out[out_row] = rounded(b);
    out[2 * out_row] = rounded(c);
    out[3 * out_row] = rounded(d);
}

static void pass_rows(struct plane in, const struct taps *t, size_t top, size_t rows,
                      uint8_t *out) {
    for (size_t y = 0, n; y < rows; y += n) {
        const uint8_t *row = in.at + (top + y) * in.row;
        n = rows - y >= 4 ? 4 : 1;
        for (size_t x = 0; x < t->n; x++) {
            const uint8_t *at = row + t->start[x] * in.step;
            const int32_t *weight = t->weight + x * t->width;
            uint8_t *to = out + y * t->n + x;
            if (n == 1) *to = weighted(at, in.step, weight, t->count[x]);
            else weighted_rows(at, in.row, in.step, weight, t->count[x], to, t->n);
        }
    }
}

#define TOGETHER ((size_t)16) // values of a line, in vectors

static void weighted_line(const uint8_t *in, size_t row, const int32_t *weight, size_t n,
                          uint8_t *out) {
    int32_t sum[TOGETHER];
    for (size_t i = 0; i < TOGETHER; i++) sum[i] = HALF;
    for (size_t t = 0; t < n; t++, in += row)
        for (size_t i = 0; i < TOGETHER; i++) sum[i] += in[i] * weight[t];
    for (size_t i = 0; i < TOGETHER; i++) out[i] = rounded(sum[i]);
}

// in starts at row `top` of the image.
static void pass_columns(struct plane in, const struct taps *t, size_t top, size_t cols,
                         uint8_t *out) {
    for (size_t y = 0; y < t->n; y++) {
        const int32_t *weight = t->weight + y * t->width;
        const uint8_t *first = in.at + (t->start[y] - top) * in.row;
        size_t x = 0;
        for (; in.step == 1 && x + TOGETHER <= cols; x += TOGETHER)
            weighted_line(first + x, in.row, weight, t->count[y], out + y * cols + x);
        for (; x < cols; x++)
            out[y * cols + x] =
                weighted(first + x * in.step, in.row, weight, t->count[y]);
    }
}

static void copy_plane(struct plane in, size_t h, size_t w, uint8_t *out) {
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++) out[y * w + x] = in.at[y * in.row + x * in.step];
}

struct resize {
    struct axis y, x;
    struct taps ty, tx;
    size_t top, rows;   // input rows that the wanted output rows need
    uint8_t *rows_done; // [rows][x.n] of one channel
};

static void resize_plane(const struct resize *r, struct plane in, uint8_t *out) {
    bool dy = axis_changes(&r->y), dx = axis_changes(&r->x);
    // An axis left alone may still be asked for in part.
    if (!dx) in.at += r->x.first * in.step;
    if (!dx && !dy) {
        in.at += r->y.first * in.row;
        copy_plane(in, r->y.n, r->x.n, out);
    } else if (!dx) {
        pass_columns(in, &r->ty, 0, r->x.n, out);
    } else if (!dy) {
        pass_rows(in, &r->tx, r->y.first, r->y.n, out);
    } else {
        pass_rows(in, &r->tx, r->top, r->rows, r->rows_done);
        struct plane done = {r->rows_done, r->x.n, 1};
        pass_columns(done, &r->ty, r->top, r->x.n, out);
    }
}

static bool resize_make(struct resize *r) {
    if (!taps_make(&r->y, &r->ty)) return false;
    if (!taps_make(&r->x, &r->tx)) {
        taps_free(&r->ty);
        return false;
    }
    size_t last = r->ty.n - 1, bytes;
    r->top = r->ty.start[0];
    r->rows = r->ty.start[last] + r->ty.count[last] - r->top;
    r->rows_done = size_mul(r->rows, r->x.n, &bytes) ? mem_alloc(bytes) : NULL;
    if (r->rows_done) return true;
    taps_free(&r->ty);
    taps_free(&r->tx);
    return false;
}

static void resize_free(struct resize *r) {
    taps_free(&r->ty);
    taps_free(&r->tx);
    mem_free(r->rows_done);
}

bool image_resize(const uint8_t *in, size_t c, size_t in_h, size_t in_w, size_t top,
                  size_t left, size_t bh, size_t bw, uint8_t *out, size_t out_h,
                  size_t out_w) {
    CHECK(bh > 0 && bw > 0 && out_h > 0 && out_w > 0);
    CHECK(bh <= in_h && top <= in_h - bh && bw <= in_w && left <= in_w - bw);
    struct resize r = {.y = {in_h, top, bh, out_h, 0, out_h},
                       .x = {in_w, left, bw, out_w, 0, out_w}};
    if (!resize_make(&r)) return false;
    for (size_t k = 0; k < c; k++)
        resize_plane(&r, (struct plane){in + k * in_h * in_w, in_w, 1},
                     out + k * out_h * out_w);
    resize_free(&r);
    return true;
}

// ---- fitting ------------------------------------------------------------------------
// Python's round(v / 2): a half goes to the even neighbour.
static size_t half_to_even(size_t v) {
    return v / 2 + (v % 4 == 3);
}

// The longer side when the shorter becomes `size`: int(size * long / short).
static size_t scaled(size_t size, size_t longer, size_t shorter) {
    return (size_t)((double)(size * longer) / (double)shorter);
}

// Only the pixels that the crop keeps are computed: a long thin image would otherwise
// grow to any size on the way.
bool image_fit(const struct image *in, size_t size, uint8_t *out) {
    CHECK(in->h > 0 && in->w > 0 && size > 0);
    CHECK(in->h <= IMAGE_MAX_SIDE && in->w <= IMAGE_MAX_SIDE && size <= IMAGE_MAX_SIDE);
    size_t h = in->w <= in->h ? scaled(size, in->h, in->w) : size;
    size_t w = in->w <= in->h ? size : scaled(size, in->w, in->h);
    struct resize r = {.y = {in->h, 0, in->h, h, half_to_even(h - size), size},
                       .x = {in->w, 0, in->w, w, half_to_even(w - size), size}};
    if (!resize_make(&r)) return false;
    for (size_t k = 0; k < 3; k++)
        resize_plane(&r, (struct plane){in->data + k, in->w * 3, 3},
                     out + k * size * size);
    resize_free(&r);
    return true;
}
