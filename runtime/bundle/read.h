// Reading a bundle's msgpack, and checking that what it says can be run.
#ifndef DDG_BUNDLE_READ_H
#define DDG_BUNDLE_READ_H

#include "runtime/bundle.h"

// A bundle in memory, its digest checked: `bytes` before the message, which it refers to.
struct bundle_view {
    const char *base;
    size_t bytes;
    const char *message;
    size_t n;
};

// Into *out, all of it in arena but for code and constants. NULL: it is right; else what
// is wrong with it, in words, in arena.
const char *bundle_unpack(struct arena *arena, const struct bundle_view *view,
                          struct bundle *out);

// plan_check.c: whether everything that running the plan relies on is so (call_check.c
// and late_check.c are parts of it). NULL, or what is not, in arena.
const char *plan_check(struct arena *arena, const struct plan *p);

#endif
