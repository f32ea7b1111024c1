// What trial.c and trial_order.c share.
#ifndef DDG_TRIAL_IMPL_H
#define DDG_TRIAL_IMPL_H

#include "runtime/trial.h"

struct duel { // images that only one of two ways gets right
    size_t better, worse;
};

// Whether it is significant, being the best of so many.
bool trial_wins(struct duel d, size_t of);

struct said { // what a model said of some images, each with its class
    size_t n;
    const uint32_t *cls;
    const int32_t *said;
};

struct ordering { // another order of classes
    enum trial_order order;
    const uint32_t *output;     // by folder
    struct duel duel;           // against what the model says as the program has it
    struct trial_counts counts; // in that order
};

#define TRIAL_ORDERS 3 // besides that of the names

// The best other order of classes for what the model says of images in some way, against
// how it does as the program has it (`given`, of the same images); false: none is
// significantly better. of: how many ways are tried.
bool trial_find_order(struct arena *a, const struct trial *t, const struct said *way,
                      const int32_t *given, size_t of, struct ordering *out);

#endif
