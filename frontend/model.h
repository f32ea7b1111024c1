// Reads a network exported to ONNX into a tensor function.
#ifndef DDG_MODEL_H
#define DDG_MODEL_H

#include "ir/ir.h"
#include "runtime/timeline.h"

struct model_options {
    const char *path;
    const double *mean, *std;
    size_t nmean, nstd;
    bool plain;             // mean 0 and std 1, whatever the number of channels
    struct span span;       // of the op in the program, for errors
    struct timeline *times; // may be NULL
};

// NULL when the file cannot be used; why is in d (every op that is not known, by name and
// node). The model and its function live in arena.
const struct model *model_load(struct arena *arena, const struct model_options *o,
                               struct diags *d);

// The model's function for images of h x w pixels: the graph is read again with that
// input, so a network that ends in a global pool takes any size. NULL, with the op that
// cannot in d, for others. The result lives in arena, which must not outlive the model's.
const struct func *model_at_size(struct arena *arena, const struct model *m, size_t h,
                                 size_t w, struct diags *d, struct span at);

#endif
