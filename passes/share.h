// Coalitions share work. What an early layer computes at one place depends on the
// presence of the few patches that its receptive field touches: of a range of a x b
// neighbours. The masks with period (a, b) over the grid, 2^(a b) of them, show every
// such range in every state. So the first layers go over images masked with these (rows
// of an ordinary function), and where the others go on with all coalitions, each place
// takes the value that the image in the right state has there: gathering is exact.
//
//     states   a row for each mask: the first layers
//     tiles    a row for each state in which any coalition shows a tile of a map: one
//              layer each, of those where masks are too many but coalitions still alike
//     values   a row for each coalition: gathers, and goes on
//
// How far the first layers go, and how large a and b are, is chosen by counting
// operations. With many coalitions two sets of masks can pay, the second made from the
// first.
#ifndef DDG_SHARE_H
#define DDG_SHARE_H

#include "passes/lower.h"
#include "passes/shapley.h"

// What a function of coalitions is made of.
struct shared {
    nid image; // masked: its rows and columns are the axes 1 and 2
    nid value; // the function's result
    size_t grid;
    const struct coalitions *coalitions; // all different
    // Builds the image masked with other coalitions, a row for each, in another function.
    nid (*masked)(struct fn *f, const struct coalitions *c, void *ctx);
    void *ctx;
};

// Ends f as fn_finish does, or replaces it by functions that share work when these take
// less. v: the pipeline's value, which they are named after.
uint32_t share_finish(struct fn *f, nid v, const struct shared *s);

#endif
