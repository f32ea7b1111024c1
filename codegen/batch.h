// Parts of sums over a batch: what batch_product.c and batch_winograd.c share.
#ifndef DDG_CODEGEN_BATCH_H
#define DDG_CODEGEN_BATCH_H

#include "codegen/dw.h"
#include "ir/batch_product.h"

struct batch { // a part
    struct emit *e;
    struct batch_product plan;
    const struct node *n;  // the anchor
    struct dw dw;          // of convolutions
    struct view x, y;      // of matrices, of the row at hand
    LLVMValueRef first[2]; // of the part, in vectors and lines
    LLVMValueRef work;
    LLVMValueRef from, to; // rows of the round
};

struct tile {        // of sums
    struct ix at[2]; // its first vector (in lanes) and line
    size_t size[2];
    struct ix ky, kx; // of convolutions: its first taps
    size_t rows, columns;
};

typedef void (*tile_fn)(struct batch *b, struct tile *t);

size_t batch_sums(const struct tile *t); // how many
// Calls fn for each tile of the part.
void each_batch_tile(struct batch *b, size_t across, size_t down, tile_fn fn);
// Zeros the first vectors of the work memory.
void batch_clear(struct batch *b, size_t vectors);
void emit_batch_winograd(struct batch *b);

#endif
