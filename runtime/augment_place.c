// Augmentations that move pixels. See augment.h.
#include "runtime/augment_impl.h"
#include "runtime/builtin.h"

// ---- resized crop --------------------------------------------------------------------
struct tap { // where a place of the result falls between two of the box
    size_t at, next;
    float part; // of the next
};

// torch's area_pixel_compute_source_index, in single precision as there: half-pixel
// centres.
static struct tap tap_of(size_t i, float scale, size_t n) {
    float at = ((float)i + 0.5f) * scale - 0.5f;
    if (at < 0) at = 0;
    struct tap t = {.at = size_min((size_t)at, n - 1)};
    t.next = size_min(t.at + 1, n - 1);
    t.part = at - (float)t.at;
    return t;
}

static float between(float a, float b, float part) {
    return (1 - part) * a + part * b;
}

void augment_resize(const float *in, size_t c, size_t h, size_t w, const int32_t box[4],
                    float *out) {
    size_t top = (size_t)box[0], left = (size_t)box[1], bh = (size_t)box[2],
           bw = (size_t)box[3];
    float sy = (float)bh / (float)h, sx = (float)bw / (float)w;
    for (size_t y = 0; y < h; y++) {
        struct tap ty = tap_of(y, sy, bh);
        const float *above = in + (top + ty.at) * w + left;
        const float *below = in + (top + ty.next) * w + left;
        for (size_t x = 0; x < w; x++) {
            struct tap tx = tap_of(x, sx, bw);
            for (size_t k = 0, p = 0; k < c; k++, p += h * w)
                out[p + y * w + x] = between(
                    between(above[p + tx.at], above[p + tx.next], tx.part),
                    between(below[p + tx.at], below[p + tx.next], tx.part), ty.part);
        }
    }
}

static size_t image_floats(const struct augment_image *m) {
    return m->c * m->h * m->w;
}

static void to_scratch(const struct augment_image *m) {
    memcpy(m->scratch, m->x, image_floats(m) * sizeof *m->x);
}

void augment_resized_crop(const struct augment_image *m, const double *params,
                          struct random *r) {
    int32_t box[4];
    builtin_box(r, (double)m->h, (double)m->w, params, params + 2, box);
    to_scratch(m);
    augment_resize(m->scratch, m->c, m->h, m->w, box, m->x);
}

// ---- padded crop, flip ---------------------------------------------------------------
// The part of a line that is moved by `shift` and stays inside: n from `from` to `to`.
struct moved {
    size_t from, to, n;
};

static struct moved moved_by(size_t shift, size_t pad, size_t n) {
    size_t back = shift > pad ? shift - pad : 0, ahead = shift > pad ? 0 : pad - shift;
    size_t lost = size_min(n, back + ahead);
    return (struct moved){.from = back, .to = ahead, .n = n - lost};
}

// shift - pad is how far the image moves up (or left); what comes in is zero.
void augment_padded_crop(const struct augment_image *m, const double *params,
                         struct random *r) {
    size_t pad = (size_t)params[0];
    struct moved y = moved_by(random_below(r, (uint32_t)(2 * pad + 1)), pad, m->h);
    struct moved x = moved_by(random_below(r, (uint32_t)(2 * pad + 1)), pad, m->w);
    to_scratch(m);
    memset(m->x, 0, image_floats(m) * sizeof *m->x);
    for (size_t k = 0; x.n && k < m->c; k++) {
        const float *in = m->scratch + k * m->h * m->w;
        float *out = m->x + k * m->h * m->w;
        for (size_t i = 0; i < y.n; i++)
            memcpy(out + (y.to + i) * m->w + x.to, in + (y.from + i) * m->w + x.from,
                   x.n * sizeof *out);
    }
}

void augment_flip(const struct augment_image *m, const double *params, struct random *r) {
    if (random_unit(r) >= params[0]) return;
    for (size_t y = 0; y < m->c * m->h; y++) {
        float *line = m->x + y * m->w;
        for (size_t i = 0, j = m->w - 1; i < j; i++, j--) {
            float v = line[i];
            line[i] = line[j];
            line[j] = v;
        }
    }
}

// ---- cutout --------------------------------------------------------------------------
// [begin, end) of a side of `size` around a place, inside of n.
static void side_around(size_t place, size_t size, size_t n, size_t *begin, size_t *end) {
    *begin = place > size / 2 ? place - size / 2 : 0;
    *end = size_min(n, place + size - size / 2);
}

void augment_cutout(const struct augment_image *m, const double *params,
                    struct random *r) {
    size_t size = (size_t)params[0], y0, y1, x0, x1;
    side_around(random_below(r, (uint32_t)m->h), size, m->h, &y0, &y1);
    side_around(random_below(r, (uint32_t)m->w), size, m->w, &x0, &x1);
    for (size_t k = 0; k < m->c; k++)
        for (size_t y = y0; y < y1; y++)
            memset(m->x + (k * m->h + y) * m->w + x0, 0, (x1 - x0) * sizeof *m->x);
}

// ---- patch shuffle -------------------------------------------------------------------
#define TILES_MOST 64 // a side

struct tiles { // as `stitch` cuts a side: what is over goes to the first ones, one each
    size_t n, factor;
};

static size_t tile_start(struct tiles t, size_t i) {
    return i * (t.n / t.factor) + size_min(i, t.n % t.factor);
}

static size_t tile_size(struct tiles t, size_t i) {
    return tile_start(t, i + 1) - tile_start(t, i);
}

static void copy_tile(const struct augment_image *m, struct tiles rows,
                      struct tiles columns, const size_t to[2], const size_t from[2]) {
    size_t h = tile_size(rows, to[0]), w = tile_size(columns, to[1]);
    for (size_t k = 0; k < m->c; k++)
        for (size_t y = 0; y < h; y++) {
            size_t out = (k * m->h + tile_start(rows, to[0]) + y) * m->w;
            size_t in = (k * m->h + tile_start(rows, from[0]) + y) * m->w;
            memcpy(m->x + out + tile_start(columns, to[1]),
                   m->scratch + in + tile_start(columns, from[1]), w * sizeof *m->x);
        }
}

static void shuffle(uint16_t *order, size_t n, struct random *r) {
    for (size_t i = 0; i < n; i++) order[i] = (uint16_t)i;
    for (size_t i = n; i > 1; i--) {
        size_t j = random_below(r, (uint32_t)i);
        uint16_t v = order[i - 1];
        order[i - 1] = order[j];
        order[j] = v;
    }
}

struct range { // of tiles of one size along a side
    size_t first, n;
};

static void shuffle_some(const struct augment_image *m, struct tiles rows,
                         struct tiles columns, struct range y, struct range x,
                         struct random *r) {
    uint16_t order[TILES_MOST * TILES_MOST];
    shuffle(order, y.n * x.n, r);
    for (size_t i = 0; i < y.n * x.n; i++) {
        size_t to[2] = {y.first + i / x.n, x.first + i % x.n};
        size_t from[2] = {y.first + order[i] / x.n, x.first + order[i] % x.n};
        copy_tile(m, rows, columns, to, from);
    }
}

void augment_shuffle(const struct augment_image *m, const double *params,
                     struct random *r) {
    size_t factor = (size_t)params[0];
    struct tiles rows = {m->h, factor}, columns = {m->w, factor};
    size_t larger[2] = {m->h % factor, m->w % factor};
    CHECK(factor <= TILES_MOST);
    to_scratch(m);
    for (int part = 0; part < 4; part++) {
        struct range y = {0, larger[0]}, x = {0, larger[1]};
        if (part & 2) y = (struct range){larger[0], factor - larger[0]};
        if (part & 1) x = (struct range){larger[1], factor - larger[1]};
        if (y.n && x.n) shuffle_some(m, rows, columns, y, x, r);
    }
}
