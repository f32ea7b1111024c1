// How a convolution is cut up: shared by the code that packs weights and the code that
// reads them.
//
// conv and conv_dx are one thing here. Per axis, result i of a class reads operand places
// i * in_step + at + tap * at_step and is stored at out + i * out_step. A strided conv_dx
// falls into one class a residue of its result's coordinates, each a small dense
// convolution; conv is a single class.
#ifndef DDG_CODEGEN_CONV_PLAN_H
#define DDG_CODEGEN_CONV_PLAN_H

#include "ir/build.h"
#include "ir/kernel.h"

struct side { // one axis of one class
    int64_t taps;
    int64_t at, at_step; // operand place of the first tap for result 0, and of the next
    int64_t k, k_step;   // which kernel row (column) the first tap is, and the next
    int64_t in_step;
    int64_t out, out_step, outs;
};

struct tile { // sums kept in registers: blocks of channels times pixels of one line
    size_t blocks, pixels;
    bool row_live; // the weights of a whole kernel row are kept too
};

struct conv_plan {
    const struct target *t;
    const struct type *in, *out, *w;
    bool transposed; // conv_dx
    bool depthwise;  // each channel by itself: lanes are channels throughout
    size_t step;     // operand channels in a word (words.h)
    size_t words;    // of a pixel of the operand
    size_t groups;
    size_t in_per, out_per; // words and result channels of a group
    size_t classes[2];
    struct conv_attrs attrs;
    struct tiling tiling; // of the kernel
};

struct conv_plan conv_plan_of(const struct target *t, const struct kfunc *kf,
                              const struct kernel *k);
// The class of residues (y, x); false: no result falls into it.
bool conv_class(const struct conv_plan *c, size_t y, size_t x, struct side side[2]);
struct tile conv_tile(const struct conv_plan *c, const struct side side[2]);
// Whether results are the same bits whatever the tile, and a kernel may say which: not
// where it falls into several classes, and with groups a tile's weights would have other
// zeros.
bool conv_tile_is_free(const struct conv_plan *c);
// Whether the kernel may say that its tile is t.
bool conv_takes(const struct conv_plan *c, const struct tiling *t);
// Cycles, but for a factor, that all results take with t.
double conv_tile_cycles(const struct conv_plan *c, const struct tiling *t);
size_t conv_blocks(const struct conv_plan *c); // of result channels
// Words of the operand that `blocks` blocks of results from channel `from` on depend on:
// always conv_span of them, from conv_first.
size_t conv_span(const struct conv_plan *c, size_t blocks);
size_t conv_first(const struct conv_plan *c, size_t from, size_t blocks);
// Words of packed weights that a class takes.
size_t conv_class_words(const struct conv_plan *c, const struct side side[2]);
size_t conv_pack_words(const struct conv_plan *c);
// w, out: f32, or bf16 as the operand is.
void conv_pack(const struct conv_plan *c, const void *w, void *out);

#endif
