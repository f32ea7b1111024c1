// The reference evaluator: what every tensor op means, in plain loops over row-major
// arrays. Constant folding, the tests' oracle. Sums are taken in double.
#ifndef DDG_EVAL_H
#define DDG_EVAL_H

#include "ir/ir.h"

// One node for one row: in[i] is the operand's dense data. out has type_bytes(&n->type).
// types[i] is the type of operand i. False for ops that compute nothing (marks, the
// runtime's ops without an implementation given).
struct eval_hooks { // the runtime's ops (normal, random_box, resize); NULL: not available
    bool (*runtime_op)(const struct node *n, const struct type *const *types,
                       const void *const *in, void *out);
};
bool eval_node(const struct node *n, const struct type *const *types,
               const void *const *in, size_t nin, void *out,
               const struct eval_hooks *hooks);

// A whole function for n rows: args[i] is input i (inputs in the order of their nodes),
// row after row when it is a row value; outs[i] likewise. Of a joint function, the n rows
// are one batch. False: out of memory or not possible.
bool eval_func(const struct func *f, size_t n, const void *const *args, void *const *outs,
               const struct eval_hooks *hooks);

#endif
