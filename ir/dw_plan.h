// How the weight gradient of a convolution (conv_dw, conv_dw_sqnorm) is cut up: the tile
// of sums that stays in registers while pixels go by. It decides no sum's order.
#ifndef DDG_IR_DW_PLAN_H
#define DDG_IR_DW_PLAN_H

#include "ir/build.h"
#include "ir/kernel.h"

#define DW_MAX_PIXELS 8
#define DW_MAX_BLOCKS 4

struct dw_tile {
    size_t blocks;   // of output channels
    size_t channels; // input channels
    size_t rows;     // kernel rows: one or all
    size_t columns;  // kernel columns
    size_t pixels;   // taken together
};

struct dw_plan {
    const struct target *t;
    const struct type *x, *d;
    const struct layout *x_layout;
    struct conv_attrs attrs;
    size_t outs, ins; // output channels; input channels of a group
    size_t kernel[2]; // height, width
    struct dw_tile tile;
};

struct dw_plan dw_plan_of(const struct target *t, const struct kfunc *kf,
                          const struct kernel *k);

#endif
