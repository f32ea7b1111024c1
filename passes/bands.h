// Bands: how many rows go through which kernels together, before the next kernels.
#ifndef DDG_BANDS_H
#define DDG_BANDS_H

#include "passes/pass.h"

// Fills k->bands and k->batch, at most `most` rows of it.
void bands_choose(struct arena *arena, const struct target *t, struct kfunc *k,
                  size_t most);
// Fills places in the arena, for the bands as they are, and its size (memory.c).
void bands_place(struct arena *arena, struct kfunc *k);

#endif
