// Packed weights of Winograd convolutions, as codegen/winograd.c reads them:
// [plane][group of tile_blocks blocks][operand channel][channels of the group], the last
// group perhaps narrower.
#ifndef DDG_CODEGEN_WINOGRAD_PLAN_H
#define DDG_CODEGEN_WINOGRAD_PLAN_H

#include "codegen/conv_plan.h"
#include "ir/winograd.h"

// Floats of one plane.
size_t winograd_weight_plane(const struct winograd *w);
size_t winograd_pack_floats(const struct winograd *w);
void winograd_pack(const struct winograd *w, const struct conv_plan *c, const float *from,
                   float *to);

#endif
