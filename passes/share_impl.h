// Inside sharing: share.c (where to cut) and share_build.c (functions of the parts).
#ifndef DDG_SHARE_IMPL_H
#define DDG_SHARE_IMPL_H

#include "passes/receptive.h"
#include "passes/share.h"

#define SHARE_LEVELS 2 // sets of masks before the coalitions themselves

struct share_level { // nodes that are computed for one set of masks
    size_t a, b;     // the masks' periods down and across
    const bool *in;  // by node: computed at this level or before
    const nid *out;  // those that later levels read
    size_t nout;
    // The masks, as far as any place of later levels needs them, and by number of mask
    // which of these it is.
    struct coalitions masks;
    const int32_t *kept;
};

struct share_plan {
    struct share_level level[SHARE_LEVELS];
    size_t n;
    const struct reach *down, *across; // by node
};

// The cut that takes the fewest operations; n 0: coalitions are best taken one by one.
struct share_plan share_choose(struct arena *a, const struct func *f,
                               const struct shared *s);
// Fills in the masks of all levels, the last first.
void share_masks(struct arena *a, struct share_plan *p, const struct shared *s);
// The number of the mask that shows coalition z (grid x grid) in these strips.
size_t share_state(const struct share_level *l, const uint8_t *z, size_t grid,
                   struct strips down, struct strips across);

#endif
