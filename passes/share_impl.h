// Inside sharing: share.c (where to cut), share_tiles.c (what is shared tile by tile
// behind the cut), share_gather.c (what was computed before is looked up) and
// share_build.c (functions of the parts).
#ifndef DDG_SHARE_IMPL_H
#define DDG_SHARE_IMPL_H

#include "passes/receptive.h"
#include "passes/share.h"

#define SHARE_LEVELS 2 // sets of masks before tiles and the coalitions themselves

// What it takes to gather one element and store it, in operations of a convolution.
#define GATHER_OPS 40.0

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

// A convolution and what is elementwise after it, tile by tile of the result: a row for
// each state in which any coalition shows the patches that a tile depends on.
struct share_tiles {
    nid head;       // the convolution
    size_t side;    // of a tile
    size_t n[2];    // tiles down and across
    const bool *in; // by node: computed here
    const nid *out; // those that others read
    size_t nout;
    size_t rows;
    int32_t
        *row; // [tile][coalition]: the row that has the tile as the coalition shows it
    int32_t *tile;  // by row, and
    int32_t *shown; //   the first coalition that shows it so
};

struct share_plan {
    struct share_level level[SHARE_LEVELS];
    size_t n;
    const struct share_tiles *tiles; // in order
    size_t ntiles;
    const struct reach *down, *across; // by node
};

// What all ways to share have in common.
struct share_ground {
    struct arena *arena;
    const struct func *f;
    const struct shared *s;
    const struct reach *down, *across; // by node
    const double *ops;                 // of each node; 0: the same for all coalitions
    const bool *depends;               // on the coalition
};

// ---- share.c -------------------------------------------------------------------------
// The cut that takes the fewest operations; n 0: coalitions are best taken one by one.
struct share_plan share_choose(struct arena *a, const struct func *f,
                               const struct shared *s);
// Fills in the masks of all levels, the last first.
void share_masks(struct arena *a, struct share_plan *p, const struct shared *s);
// The number of the mask that shows coalition z (grid x grid) in these strips.
size_t share_state(const struct share_level *l, const uint8_t *z, size_t grid,
                   struct strips down, struct strips across);
bool share_goes_along(const struct func *f, nid v); // elementwise: with what it is of
// Whether lines and columns of a map tell its elements apart, so that it can be gathered.
bool share_can_gather(const struct share_ground *g, nid v);

// ---- share_tiles.c -------------------------------------------------------------------
struct tiler; // remembers what was counted
struct tiler *tiler_new(const struct share_ground *g);
struct tiles_found {
    size_t n;     // convolutions that go tile by tile
    bool *in;     // by node
    double saved; // operations, of all coalitions together
};
// What pays behind a cut: `cut` says of each node whether it is computed before it.
struct tiles_found tiles_find(struct tiler *t, const bool *cut);
// The same in full, for a plan.
const struct share_tiles *tiles_plan(struct tiler *t, const bool *cut, size_t *n);
// Places that a convolution reads for a tile of this side, along axis 0 (down) or 1.
size_t tile_window(const struct func *f, nid head, size_t side, int axis);

// ---- share_gather.c ------------------------------------------------------------------
struct made {       // what a level or tiles hand on
    uint32_t level; // UINT32_MAX: nothing; from plan.n on: tiles
    // All of an image as one table f32 [.., blocks of channels, side[0], side[1], lanes]:
    // masks or rows of tiles; masked maps are cut into tiles as well, [mask, y, x, ..].
    uint32_t table;
    size_t side[2];
};

struct part_rows { // what the rows of a function show
    size_t n;
    const struct coalitions *masks;  // a row for each; or
    const struct share_tiles *tiles; // NULL: of the whole map
};

// Of each tile of a part the places tile * step + first, `by` apart.
struct window {
    size_t step[2], size[2], by[2];
    int64_t first[2];
};

struct gather {
    struct fn *fn;
    const struct shared *s;
    const struct share_plan *plan;
    const struct part_rows *rows;
    nid subrow;
};

// Channels in blocks, [C / lanes, H, W, lanes], so that a place is a vector; cut into
// tiles [H / side, W / side, C / lanes, side, side, lanes].
nid share_packed(struct fn *f, nid x, size_t lanes, const size_t side[2]);
// The window of node v of the whole function, which is of type t; zero outside of it.
nid share_gathered(const struct gather *g, nid v, const struct type *t,
                   const struct made *m, const struct window *w);

#endif
