// A resolved and ordered tree to a graph of pipeline ops.
#ifndef DDG_CHECK_H
#define DDG_CHECK_H

#include "frontend/ast.h"

struct checked {
    struct func *graph;   // outs are OP_SAVE and OP_CHECK nodes
    struct value *values; // by decl->index; what a DECL_PARAM's is
    const char **folders; // by decl->index: where a path in it starts; NULL: here
    // By decl->index: how a param that -D does not set follows from others, or NULL.
    const struct formula **defaults;
};

// Evaluates what compiles away, expands `def`s, works out types and loads models. Errors
// are in d; with any, what comes back is not to be used.
struct checked check_tree(struct arena *arena, const struct tree *tree, struct diags *d);

#endif
