// What values depend on of an image cut into strips: all its patches in one line across,
// or all in one column.
//
// The elements of a value that lie at place i along one of its axes depend on a range of
// neighbouring strips; where no axis tells the elements apart, all depend on one range.
#ifndef DDG_RECEPTIVE_H
#define DDG_RECEPTIVE_H

#include "ir/ir.h"

struct strips { // first and last; none: first > last
    int32_t first, last;
};

#define NO_AXIS UINT32_MAX

struct reach {
    uint32_t axis; // NO_AXIS: at[0] holds for all elements
    size_t n;      // of the axis; or 1
    const struct strips *at;
};

static inline bool strips_any(struct strips s) {
    return s.first <= s.last;
}

// How each node of f depends on the strips of `image`, whose place i along `axis` lies in
// strip of[i]. Parallel to the nodes.
const struct reach *receptive_find(struct arena *a, const struct func *f, nid image,
                                   uint32_t axis, const int32_t *of);
// The most strips that one element depends on.
size_t reach_width(const struct reach *r);

#endif
