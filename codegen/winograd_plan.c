// See winograd_plan.h.
#include "codegen/winograd_plan.h"

#define WIDEST   WINOGRAD_WIDE
#define TOGETHER ((size_t)8) // operand channels whose taps share lines of the cache

size_t winograd_weight_plane(const struct winograd *w) {
    return w->out * w->lanes * w->channels;
}

size_t winograd_pack_floats(const struct winograd *w) {
    return w->n * w->n * winograd_weight_plane(w);
}

// The taps from operand channel `in` to `wide` result channels from `out` on, as
// [3 * 3][WIDEST]; channels past the last have zeros. conv_dx turns the taps round.
static void taps_of(const struct conv_plan *c, const float *from, size_t in, size_t out,
                    size_t wide, double *g) {
    for (size_t i = 0; i < wide; i++) {
        size_t o = c->transposed ? in : out + i, k = c->transposed ? out + i : in;
        bool some = out + i < c->out->dim[0];
        const float *at = some ? from + (o * c->w->dim[1] + k) * 9 : NULL;
        for (size_t tap = 0; tap < 9; tap++)
            g[tap * WIDEST + i] = some ? at[c->transposed ? 8 - tap : tap] : 0;
    }
}

// One operand channel: a line in each plane.
static void pack_channel(const struct winograd *w, const double *g, size_t wide,
                         float *to) {
    double all[WINOGRAD_MOST * WINOGRAD_MOST * WIDEST];
    size_t plane = winograd_weight_plane(w);
    winograd_weights(w->m, WIDEST, g, all);
    for (size_t p = 0; p < w->n * w->n; p++)
        for (size_t i = 0; i < wide; i++) to[p * plane + i] = (float)all[p * WIDEST + i];
}

// Operand channels [in, end) of a group of `wide` result channels from `first` on.
static void pack_some(const struct winograd *w, const struct conv_plan *c,
                      const float *from, size_t first, size_t wide, size_t in, size_t end,
                      float *to) {
    double g[9 * WIDEST] = {0};
    for (; in < end; in++)
        for (size_t i = 0; i < wide; i += WIDEST) {
            size_t some = size_min(WIDEST, wide - i);
            taps_of(c, from, in, first + i, some, g);
            pack_channel(w, g, some, to + first * w->channels + in * wide + i);
        }
}

void winograd_pack(const struct winograd *w, const struct conv_plan *c, const float *from,
                   float *to) {
    for (size_t in = 0; in < w->channels; in += TOGETHER)
        for (size_t b = 0; b < w->out; b += w->tile_blocks) {
            size_t wide = size_min(w->tile_blocks, w->out - b) * w->lanes;
            size_t end = size_min(in + TOGETHER, w->channels);
            pack_some(w, c, from, b * w->lanes, wide, in, end, to);
        }
}
