// How a value follows from a program's params: a small tree of what the program says.
#ifndef DDG_FORMULA_H
#define DDG_FORMULA_H

#include "runtime/constant.h"

enum formula_kind {
    FORMULA_VALUE,
    FORMULA_PARAM,
    FORMULA_NEGATE,
    FORMULA_BINARY,
    FORMULA_LIST,
    // Too large to keep: what is left are the params that it follows from, as items.
    FORMULA_OPAQUE,
};

// Of a formula written out as a tree: its nodes, and the longest way down.
#define FORMULA_MAX_SIZE  1024
#define FORMULA_MAX_DEPTH 64
// Programs' formulas stay that much smaller: what lowering makes of one has room, too.
#define FORMULA_SPARE 2

struct formula {
    enum formula_kind kind;
    struct value value; // VALUE
    const char *folder; // VALUE: where a path in it starts; NULL: the current directory
    uint32_t param;     // PARAM: index of a plan_param
    const char *op;     // BINARY: "+", "-", "*", "/", "//" or "%"
    const struct formula *l, *r; // NEGATE: l
    size_t nitems;               // LIST: of numbers
    const struct formula *const *items;
    size_t size, depth;
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

// ---- values that keep what they follow from ------------------------------------------
// The value, following from what f says (its size and depth are worked out).
struct value value_from(struct arena *a, struct value v, struct formula f);
// The same for what lowering makes of a late value by one operation: it is late, too.
struct value value_made(struct arena *a, struct value v, struct formula f);
// The value, following from the same params as f, in a way that a formula cannot say.
struct value value_opaque(struct arena *a, struct value v, const struct formula *f);
// The value's formula; one that follows from nothing is itself, its paths starting at
// folder.
const struct formula *formula_of(struct arena *a, const struct value *v,
                                 const char *folder);
// Calls fn for every param that the formula follows from, again and again for some.
void formula_params(const struct formula *f, void (*fn)(void *ctx, uint32_t param),
                    void *ctx);

// Can it be worked out again?
static inline bool value_is_late(const struct value *v) {
    return v->of && v->of->kind != FORMULA_OPAQUE;
}

// Ints when all items are, else floats. False: *bad is no number.
bool formula_list(struct arena *a, const struct value *items, size_t n, struct value *out,
                  size_t *bad);

#endif
