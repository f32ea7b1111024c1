// From text to a checked pipeline graph.
//
// program_load parses a file and what it imports, binds parameters, expands `def`s, checks
// types and shapes, loads the models (their shapes are needed) and leaves a function of
// pipeline ops whose outputs are the `save`s. Nothing a save does not reach stays in it, but
// everything written is checked.
#ifndef DDG_FRONTEND_H
#define DDG_FRONTEND_H

#include "ir/ir.h"

struct param {
    const char *name;
    struct value value; // after -D
    bool set;           // by -D
    const char *doc;    // the comment behind it, or NULL
    struct span span;
};

struct program {
    const char *path;
    struct func *graph;  // FAMILY_PIPELINE; outs are OP_SAVE nodes
    VEC(struct param) params;
};

struct program_options {
    const char *path;
    const char *const *defines; // "name=value", from -D
    size_t ndefines;
};

// NULL when anything is wrong; everything found is in d.
struct program *program_load(struct arena *arena, const struct program_options *o,
                             struct diags *d);

#endif
