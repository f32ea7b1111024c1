// Sums over the rows of a batch of what is a sum of products in each: of weight gradients
// (batch_sum(conv_dw)) and of products of matrices (batch_sum(matmul)).
//
// The result is so many vectors across (output channels; columns) times so many lines
// down (input channels of a group; the matrix's rows), each pair of which has some taps.
// A part of a kernel's call is some of these. Its sums lie in the kernel's work memory
// while the rows go by, a round of them at a time: what the tiles of the part read of a
// round's rows stays in the second cache, and each tile's sums stay in registers for all
// of the round.
//
// Weight gradients of 3x3 convolutions may be computed Winograd's way (winograd.h): tiles
// of 6 x 6 operand places and 4 x 4 gradients are transformed, the products of each of
// the 36 planes are summed over all tiles of all rows, and the sums are transformed to 3
// x 3 taps.
//
// Which way follows from shapes alone, since it decides how results round.
// How it is cut follows from shapes and the target, and shows in no result: a sum adds
// its products row by row, in the order of pixels.
#ifndef DDG_IR_BATCH_PRODUCT_H
#define DDG_IR_BATCH_PRODUCT_H

#include "ir/dw_plan.h"

struct batch_product {
    const struct target *t;
    bool conv;         // else of matrices
    struct dw_plan dw; // conv
    size_t m, k, n;    // of matrices: x is m by k, y is k by n, when not transposed
    size_t across, down, taps, pixels;
    size_t tile[2];  // of sums in registers: across, down
    size_t part[2];  // of a part: so many tiles' worth
    size_t parts[2]; // how many
    size_t rows;     // of a round
    bool winograd;
    size_t tiles[2]; // winograd: of a row, along y and x
    size_t group;    // that are transformed before they are multiplied
};

// Whether `sum`, a batch_sum, is one of these: its operand would be the anchor.
bool batch_product_fits(const struct func *f, nid sum);
// Of a kernel with all_rows and an anchor, once it is known how its operands lie.
struct batch_product batch_product_of(const struct target *t, const struct kfunc *kf,
                                      const struct kernel *k);
#define BATCH_PLANES ((size_t)36)
// Winograd's way: floats from one plane to the next of `vectors` vectors. A line of the
// cache more than they need: see winograd_in_plane.
size_t batch_plane(const struct batch_product *p, size_t vectors);
size_t batch_product_parts(const struct target *t, const struct kfunc *kf,
                           const struct kernel *k);
size_t batch_product_work(const struct target *t, const struct kfunc *kf,
                          const struct kernel *k); // bytes
// For profiles: with a group where it goes Winograd's way.
struct tiling batch_product_tiling(const struct target *t, const struct kfunc *kf,
                                   const struct kernel *k);

#endif
