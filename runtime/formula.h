// How a value follows from a program's params: a small tree of what the program says.
#ifndef DDG_FORMULA_H
#define DDG_FORMULA_H

#include "runtime/constant.h"

enum formula_kind {
    FORMULA_VALUE,
    FORMULA_PARAM,
    FORMULA_NEGATE,
    FORMULA_BINARY,
    FORMULA_LIST
};

#define FORMULA_MAX_DEPTH 256
#define FORMULA_MAX_ITEMS 4096

struct formula {
    enum formula_kind kind;
    struct value value; // VALUE
    const char *folder; // VALUE: where a path in it starts; NULL: the current directory
    uint32_t param;     // PARAM: index of a plan_param
    const char *op;     // BINARY: "+", "-", "*", "/", "//" or "%"
    const struct formula *l, *r; // NEGATE: l
    size_t nitems;               // LIST: of numbers
    const struct formula *const *items;
};

struct formula_param { // what a formula needs to know of a param
    struct value value;
    const char *folder; // where a path in it starts; NULL: the current directory
};

bool formula_eq(const struct formula *a, const struct formula *b);
// *folder (may be NULL): where a path in the result starts.
bool formula_eval(struct arena *a, const struct formula *f,
                  const struct formula_param *params, struct value *out,
                  const char **folder, struct fault *why);

// ---- values that keep what they follow from -----------------------------------------------
struct value value_of_param(struct arena *a, struct value v, uint32_t param);
// The value's formula; one that follows from nothing is itself, its paths starting at folder.
const struct formula *formula_of(struct arena *a, const struct value *v,
                                 const char *folder);
struct value value_joined(struct arena *a, struct value v, struct formula how);
// As constant_binary.
bool formula_binary(struct arena *a, const char *op, const struct value *l,
                    const struct value *r, struct value *out, struct fault *f);

// Ints when all items are, else floats. False: *bad is no number.
bool formula_list(struct arena *a, const struct value *items, size_t n, struct value *out,
                  size_t *bad);

#endif
