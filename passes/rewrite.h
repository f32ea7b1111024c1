// Rebuilding a tensor function node by node: what most passes are.
#ifndef DDG_REWRITE_H
#define DDG_REWRITE_H

#include "ir/build.h"
#include "passes/pass.h"

struct rewrite {
    struct arena *arena;
    struct diags *d;
    const struct func *old;
    struct builder b;     // makes the new function
    nid *map;             // old to new; NID_NONE: not made yet
    const uint32_t *uses; // of old nodes
    bool failed;
    void *state;          // the pass's own
};

// What an old node becomes; its operands are made already and in `in`. NID_NONE: a copy.
typedef nid (*rewrite_rule)(struct rewrite *r, nid old, const nid *in);

// Replaces mf->f by what the rule makes of it; drops what is no longer reached.
bool rewrite_func(struct module *m, struct module_func *mf, struct diags *d,
                  rewrite_rule rule, void *state);

#endif
