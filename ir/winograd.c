// See winograd.h.
#include "ir/winograd.h"

#include "ir/build.h"

bool winograd_fits(const struct func *f, nid anchor, size_t m) {
    const struct node *n = node_at(f, anchor);
    if (n->op != OP_CONV && n->op != OP_CONV_DX) return false;
    const struct type *w = type_at(f, n->in[1]);
    struct conv_attrs c = conv_attrs_of(n);
    if (!op_is_weight(node_at(f, n->in[1])->op) || c.groups != 1) return false;
    if (w->elem != ELEM_F32) return false; // bf16 would not hold transformed numbers
    for (int a = 0; a < 2; a++)
        if (w->dim[2 + a] != 3 || c.strides[a] != 1 || c.dilations[a] != 1 ||
            n->type.dim[1 + a] < m)
            return false;
    return type_count(&n->type) > 0 && type_count(type_at(f, n->in[0])) > 0;
}

size_t winograd_m(enum algorithm a) {
    switch (a) {
    case ALGORITHM_WINOGRAD_2: return 2;
    case ALGORITHM_WINOGRAD_4: return 4;
    case ALGORITHM_DIRECT: break;
    }
    return 0;
}

size_t winograd_row_tiles(const struct winograd *w) {
    return w->tiles[0] * w->tiles[1];
}

// ---- tiles of sums, groups -----------------------------------------------------------

#define ENOUGH    64 // tiles over which the reading of weights is spread
#define MOST_ROWS 16
#define LARGE     ((size_t)4 << 20) // of weights: bytes that a third cache may not hold

static size_t wanted_rows(size_t row_tiles) {
    return size_min((ENOUGH + row_tiles - 1) / row_tiles, MOST_ROWS);
}

size_t kernel_wants_rows(const struct kfunc *kf, const struct kernel *k) {
    size_t m = winograd_m(k->algorithm);
    if (!m) return 1;
    const size_t *size = node_at(kf->f, k->anchor)->type.dim + 1;
    return wanted_rows((size[0] + m - 1) / m * ((size[1] + m - 1) / m));
}

// As many sums as hide the latency of an addition, and by which the tiles of the rows
// that go through together (`some`) divide best; of these the most.
static void choose_tile(const struct target *t, size_t some, struct winograd *w) {
    size_t least_waste = SIZE_MAX;
    w->tile_blocks = size_min(w->out, 2);
    size_t most = (t->registers >= 32 ? 28 : 12) / w->tile_blocks;
    for (size_t tiles = most; tiles >= (most + 1) / 2; tiles--) {
        size_t waste = (some + tiles - 1) / tiles * tiles - some;
        if (waste >= least_waste) continue;
        least_waste = waste;
        w->tile_tiles = tiles;
    }
}

// What is between the steps had better stay in caches near by, and few tiles do. But each
// group reads all weights: the farther these come from, the more tiles had better share
// them.
static void choose_group(const struct target *t, size_t some, struct winograd *w) {
    size_t planes = w->n * w->n, line = w->lanes * sizeof(float);
    size_t tile = planes * (w->in + w->out) * line;
    size_t weights = planes * w->channels * w->out * line;
    w->far = weights > t->l2 / 2;
    size_t least = weights > 4 * LARGE ? ENOUGH
                   : weights > LARGE   ? ENOUGH / 2
                                       : ENOUGH / 4;
    size_t group = size_max(t->l2 / 16 / tile, least);
    if (weights > LARGE && some < 2 * group) group = some;
    w->group = (group + w->tile_tiles - 1) / w->tile_tiles * w->tile_tiles;
}

struct winograd winograd_of(const struct target *t, const struct func *f, nid anchor,
                            enum algorithm a) {
    const struct node *n = node_at(f, anchor);
    const struct type *x = type_at(f, n->in[0]);
    size_t m = winograd_m(a), lanes = t->lanes;
    struct winograd w = {.m = m,
                         .n = m + 2,
                         .lanes = lanes,
                         .registers = t->registers,
                         .channels = x->dim[0]};
    for (int i = 0; i < 2; i++) {
        w.size[i] = n->type.dim[1 + i];
        w.tiles[i] = (w.size[i] + m - 1) / m;
    }
    w.in = (x->dim[0] + lanes - 1) / lanes;
    w.out = (n->type.dim[0] + lanes - 1) / lanes;
    size_t some = winograd_row_tiles(&w) * wanted_rows(winograd_row_tiles(&w));
    choose_tile(t, some, &w);
    choose_group(t, some, &w);
    return w;
}

// A register for each sum, for each vector of weights, and one that is spread.
bool winograd_takes(const struct winograd *w, const struct tiling *t) {
    size_t most = w->registers - 1, sums;
    size_t blocks = size_min(w->out, WINOGRAD_MOST_BLOCKS);
    if (!t->blocks || t->blocks > blocks || !t->pixels || t->row_live) return false;
    if (!size_mul(t->blocks, t->pixels, &sums) || sums > most - t->blocks) return false;
    return t->group && t->group % t->pixels == 0 && t->group <= WINOGRAD_MOST_GROUP;
}

struct winograd winograd_of_kernel(const struct target *t, const struct kfunc *kf,
                                   const struct kernel *k) {
    struct winograd w = winograd_of(t, kf->f, k->anchor, k->algorithm);
    if (!k->tiling.blocks) return w;
    CHECK(winograd_takes(&w, &k->tiling));
    w.tile_blocks = k->tiling.blocks;
    w.tile_tiles = k->tiling.pixels;
    w.group = k->tiling.group;
    return w;
}

// ---- work memory ---------------------------------------------------------------------

bool winograd_in_place(const struct winograd *w) {
    return w->in == w->out && w->out == w->tile_blocks;
}

// A line of the cache more than it needs: planes that are a multiple of some pages apart
// would all want the same few places of the first cache.
static size_t plane(const struct winograd *w, size_t blocks) {
    size_t line = CACHE_LINE / sizeof(float);
    return size_align(blocks * w->group * w->lanes, line) + line;
}

size_t winograd_in_plane(const struct winograd *w) {
    return plane(w, w->in);
}

size_t winograd_out_plane(const struct winograd *w) {
    return plane(w, w->out);
}

size_t winograd_work_bytes(const struct winograd *w) {
    size_t sums = winograd_in_place(w) ? 0 : winograd_out_plane(w);
    size_t floats = w->n * w->n * (winograd_in_plane(w) + sums), bytes;
    CHECK(size_mul(floats, sizeof(float), &bytes));
    return bytes;
}

// ---- weights -------------------------------------------------------------------------
// The polynomial g at the points, each over what the interpolation divides by. g and out
// are lines of three and of n vectors, `step` and `out_step` numbers apart.

static void weights_2(size_t wide, const double *restrict g, size_t step,
                      double *restrict out, size_t out_step) {
    const double a = WINOGRAD_A, over_0 = -1 / (a * a), over_a = 1 / (2 * a * a);
    for (size_t i = 0; i < wide; i++) {
        double g0 = g[i], g1 = g[step + i], g2 = g[2 * step + i];
        double even = (g0 + a * a * g2) * over_a, odd = a * g1 * over_a;
        out[i] = g0 * over_0;
        out[out_step + i] = even + odd;
        out[2 * out_step + i] = even - odd;
        out[3 * out_step + i] = g2;
    }
}

static void weights_4(size_t wide, const double *restrict g, size_t step,
                      double *restrict out, size_t out_step) {
    const double a = WINOGRAD_A, b = WINOGRAD_B, aa = a * a, bb = b * b;
    const double over_0 = 1 / (aa * bb), over_a = 1 / (2 * aa * (aa - bb));
    const double over_b = 1 / (2 * bb * (bb - aa));
    for (size_t i = 0; i < wide; i++) {
        double g0 = g[i], g1 = g[step + i], g2 = g[2 * step + i];
        double even_a = (g0 + aa * g2) * over_a, odd_a = a * g1 * over_a;
        double even_b = (g0 + bb * g2) * over_b, odd_b = b * g1 * over_b;
        out[i] = g0 * over_0;
        out[out_step + i] = even_a + odd_a;
        out[2 * out_step + i] = even_a - odd_a;
        out[3 * out_step + i] = even_b + odd_b;
        out[4 * out_step + i] = even_b - odd_b;
        out[5 * out_step + i] = g2;
    }
}

void winograd_weights(size_t m, size_t wide, const double *g, double *out) {
    double half[WINOGRAD_MOST * 3 * WINOGRAD_WIDE]; // [n][3][wide]
    void (*line)(size_t, const double *restrict, size_t, double *restrict, size_t) =
        m == 4 ? weights_4 : weights_2;
    CHECK(wide <= WINOGRAD_WIDE);
    for (size_t x = 0; x < 3; x++)
        line(wide, g + x * wide, 3 * wide, half + x * wide, 3 * wide);
    for (size_t y = 0; y < m + 2; y++)
        line(wide, half + 3 * y * wide, wide, out + y * (m + 2) * wide, wide);
}
