// The tile of a convolution's weight gradient: what conv_dw.c (a row's) and
// batch_product.c (a batch's) share.
//
// A tile of sums is some blocks of output channels (lanes) times some kernel rows of some
// input channels, times the kernel's columns; a loop over all output pixels adds d times
// the spread operand element. A few pixels of a line are taken together, so that an
// element is spread once for all the columns that need it. With groups, lanes of one
// vector may belong to different groups and the operand is loaded lane by lane.
#ifndef DDG_CODEGEN_DW_H
#define DDG_CODEGEN_DW_H

#include "codegen/emit.h"
#include "ir/dw_plan.h"

struct dw {
    struct emit *e;
    struct dw_plan plan;
    struct view x, d; // of the row at hand
};

struct dw_at {                 // one tile
    struct ix out, in, ky, kx; // first output channel, input channel, kernel row, column
    size_t blocks, channels, rows, columns;
    LLVMValueRef x, d;           // what they meet first at pixel (0, 0)
    struct ix y, left;           // the pixels at hand: line, leftmost
    LLVMValueRef x_here, d_here; // what they meet there
};

struct dw dw_of(struct emit *e);
// The row at hand is another now.
void dw_row(struct dw *w);
size_t dw_sums(const struct dw_at *t); // how many
// Adds the row's products over all pixels.
void dw_add(struct dw *w, struct dw_at *t, LLVMValueRef *sums);
// Where the sums belong in the result.
void dw_points(struct dw *w, const struct dw_at *t, struct point *p);

#endif
