// Winograd's convolution F(m x m, 3x3) (Lavin & Gray 2016, arXiv 1509.09308): a tile of
// m x m results of a 3x3 convolution is
//
//     A^T [ sum over channels of (G g G^T) . (B^T d B) ] A
//
// of n x n operand places d, n = m + 2: n * n products in place of 9 * m * m. Place (i,
// j) of all tiles and channels together is a plane, and a plane's sums are a matrix
// product.
//
// The matrices evaluate polynomials at 0, a, -a, b, -b and infinity (m = 4), or 0, a, -a
// and infinity (m = 2). With a = 5/8 and b = 3/2 the error is half of that with the 1 and
// 2 of the paper, and as small as that of sums tap by tap; all constants are exact in
// f32.
//
// Tiles lie m apart; the last along an axis begins where it ends with the results, so
// that it may compute some that the tile before it has computed. So there is nothing at
// the edges to treat apart, and operands need no wider border than others do.
#ifndef DDG_IR_WINOGRAD_H
#define DDG_IR_WINOGRAD_H

#include "ir/kernel.h"

#define WINOGRAD_A    0.625
#define WINOGRAD_B    1.5
#define WINOGRAD_MOST 6  // n at most
#define WINOGRAD_WIDE 32 // weights transformed together, at most
// Of tilings that are asked for:
#define WINOGRAD_MOST_BLOCKS ((size_t)4)
#define WINOGRAD_MOST_GROUP  ((size_t)4096)

struct winograd {
    size_t m, n;
    size_t size[2];  // results along y and x
    size_t tiles[2]; // along y and x
    size_t channels; // of the operand
    size_t in, out;  // blocks of channels: of the operand, of the result
    size_t lanes;    // of a block
    size_t registers;
    size_t
        tile_blocks;   // of the tile of sums in registers: blocks of result channels, and
    size_t tile_tiles; // tiles
    size_t group;      // tiles that go through the steps together
    bool far;          // the weights are more than a cache near by holds
};

// Whether the convolution can be computed so with tiles of m x m: 3x3, all steps 1, one
// group, weights that can be packed, and at least m results along each axis.
bool winograd_fits(const struct func *f, nid anchor, size_t m);
// The m of an algorithm; 0: it is another.
size_t winograd_m(enum algorithm a);
struct winograd winograd_of(const struct target *t, const struct func *f, nid anchor,
                            enum algorithm a);
// That of a kernel, with its tiling.
struct winograd winograd_of_kernel(const struct target *t, const struct kfunc *kf,
                                   const struct kernel *k);
// Whether a tile of sums can be cut so: there are as many blocks, and registers for it.
bool winograd_takes(const struct winograd *w, const struct tiling *t);
// Floats of one plane: of the operand's transform, of the sums.
size_t winograd_in_plane(const struct winograd *w);
size_t winograd_out_plane(const struct winograd *w);
// Whether a tile of sums is all that is made of its operands, so that it can lie where
// they were: half the memory, and in a cache nearer by.
bool winograd_in_place(const struct winograd *w);
size_t winograd_work_bytes(const struct winograd *w);
// Tiles of one row.
size_t winograd_row_tiles(const struct winograd *w);
// G g G^T for `wide` pairs of channels together: the taps g [3][3][wide], out
// [n][n][wide].
void winograd_weights(size_t m, size_t wide, const double *g, double *out);

#endif
