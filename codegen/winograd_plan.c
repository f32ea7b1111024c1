// See winograd_plan.h.
#include "codegen/winograd_plan.h"

size_t winograd_weight_plane(const struct winograd *w) {
    return w->out * w->lanes * w->channels;
}

size_t winograd_pack_floats(const struct winograd *w) {
    return w->n * w->n * winograd_weight_plane(w);
}

// The taps from operand channel `in` to result channel `out`; conv_dx turns them round.
static void taps_of(const struct conv_plan *c, const float *from, size_t in, size_t out,
                    double *g) {
    size_t o = c->transposed ? in : out, i = c->transposed ? out : in;
    const float *at = from + (o * c->w->dim[1] + i) * 9;
    for (size_t k = 0; k < 9; k++) g[k] = at[c->transposed ? 8 - k : k];
}

// One pair of channels: a float in each plane.
static void pack_pair(const struct winograd *w, const double *g, float *to) {
    double all[WINOGRAD_MOST * WINOGRAD_MOST];
    size_t plane = winograd_weight_plane(w);
    winograd_weights(w->m, g, all);
    for (size_t p = 0; p < w->n * w->n; p++) to[p * plane] = (float)all[p];
}

// Channels past the last are zeros.
void winograd_pack(const struct winograd *w, const struct conv_plan *c, const float *from,
                   float *to) {
    double g[9];
    for (size_t b = 0; b < w->out; b += w->tile_blocks) {
        size_t first = b * w->lanes;
        size_t wide = size_min(w->tile_blocks, w->out - b) * w->lanes;
        for (size_t in = 0; in < w->channels; in++)
            for (size_t i = 0; i < wide; i++) {
                if (first + i < c->out->dim[0]) taps_of(c, from, in, first + i, g);
                else memset(g, 0, sizeof g);
                pack_pair(w, g, to + first * w->channels + in * wide + i);
            }
    }
}
