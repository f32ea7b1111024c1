// What plans call that is not emitted code: random numbers and Pillow's resize.
//
//   builtin      parameters                        buffers
//   NORMAL       count, seed, purpose              f32[count], u64[2] key
//   RANDOM_BOX   h, w, scale[2], ratio[2], seed    i32[4], u64[2] key, i32 index
//   RESIZE       c, in h, in w, out h, out w       two u8[c,h,w], i32[4] box or none
//
// Outputs come first. Rows of buffer i lie strides[i] bytes apart.
#ifndef DDG_BUILTIN_H
#define DDG_BUILTIN_H

#include "runtime/plan.h"
#include "runtime/random.h"

// False: out of memory.
bool builtin_run(enum builtin which, const double *params, char *const *buffers,
                 const size_t *strides, size_t nbuffers, size_t n);

// The box of a random resized crop of an h x w image: top, left, height, width.
void builtin_box(struct random *r, double h, double w, const double *scale,
                 const double *ratio, int32_t box[4]);

#endif
