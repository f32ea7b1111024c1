// How fast this machine could be: what a share of the peak is a share of.
#ifndef DDG_PEAK_H
#define DDG_PEAK_H

#include "runtime/base/base.h"

// Floating-point operations a second of one core, multiply-adds counting two: a loop of
// independent ones, timed for some milliseconds by processor time while `threads` do the
// same. lanes: of the vectors; 0: the widest there are. 0 when there is no such loop
// here.
double peak_flops(size_t threads, size_t lanes);
// The same of products of bf16 pairs, summed in f32; 0: the processor has none.
double peak_bf16_flops(size_t threads);
// Lanes of the widest vectors that peak_flops knows on this processor; 0: none.
size_t peak_lanes(void);

#endif
