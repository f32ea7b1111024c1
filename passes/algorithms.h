// What a convolution or a product takes in f32, for passes that have another way.
#ifndef DDG_ALGORITHMS_H
#define DDG_ALGORITHMS_H

#include "ir/kernel.h"

// A row of the anchor, computed the way that the algorithms pass chooses where its
// operand lies in blocks; in multiply-adds of vectors.
double algorithms_cost(const struct target *t, const struct func *f, nid anchor);

#endif
