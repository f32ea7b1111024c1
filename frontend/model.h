// Reads a network exported to ONNX into a tensor function.
#ifndef DDG_MODEL_H
#define DDG_MODEL_H

#include "ir/ir.h"

struct model_options {
    const char *path;
    const double *mean, *std;
    size_t nmean, nstd;
    struct span span; // of the op in the program, for errors
};

// NULL when the file cannot be used; why is in d (every op that is not known, by name and
// node). The model and its function live in arena.
const struct model *model_load(struct arena *arena, const struct model_options *o,
                               struct diags *d);

#endif
