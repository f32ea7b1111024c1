// Augmentation of a batch: images f32[C,H,W], values 0 to 1, and their targets f32[K].
//
// Random numbers are Philox's, keyed by the training's seed, the epoch, the
// augmentation's place in the list and the row's place in the epoch's order, so that
// neither workers nor what was resumed shows. Images are augmented row by row, in the
// list's order; what mixes rows (cutmix, mixup) comes last in the list, and reads rows as
// they were before it.
//
//   RESIZED_CROP  {scale0, scale1, ratio0, ratio1}  torchvision's RandomResizedCrop on
//                 tensors: bilinear, half-pixel centres, no antialiasing; back to H x W
//   PADDED_CROP   {pad}       zeros around, then a random H x W
//   FLIP          {p}         left to right, with probability p
//   JITTER        {brightness, contrast, saturation, hue}  torchvision's ColorJitter; the
//                 four in random order; RGB
//   CUTOUT        {size}      zeros in a square around a random place, as far as inside
//   SHUFFLE       {factor}    the factor x factor tiles of a stitched image in any order:
//                 where they differ in size, those of one size among each other
//   CUTMIX        {alpha, p}  for a batch, with probability p: lambda of Beta(alpha,
//                 alpha), one box for the batch of area 1 - lambda, taken from a partner
//                 (a random permutation of the batch); targets mixed by the area taken
//   MIXUP         {alpha, p}  the same, x = lambda x + (1 - lambda) x'
#ifndef DDG_AUGMENT_H
#define DDG_AUGMENT_H

#include "runtime/plan.h"

bool augment_mixes(enum augment_kind k);

struct augment_batch {
    const struct plan_train *train;
    uint64_t epoch;
    size_t first; // place of its row 0 in the epoch's order
    size_t n;
    float *x;     // [n,C,H,W], and
    float *spare; //   as much again
    // The partner of each row, and lambda as it came out; 1: nothing was mixed.
    uint32_t *partner;
    float lambda;
    const struct plan_augment *mixer; // what mixes it; NULL: nothing does
    size_t box[4];                    // CUTMIX: top, left, height, width of what is taken
};

// Row i alone, in place, all but what mixes; scratch holds a row.
void augment_row(const struct augment_batch *b, size_t row, float *scratch);
// Whether a batch is mixed, with what and by how much: fills partner, lambda, mixer and
// box, the same whoever asks. Called once, by one worker, before augment_mix.
void augment_choose(struct augment_batch *b);
// Row i of `spare` from rows of x, when something is mixed (lambda < 1).
void augment_mix(const struct augment_batch *b, size_t row);

#endif
