// A bundle's msgpack, made by the tables of shape.h, and the constants that it refers to.
#ifndef DDG_BUNDLE_PACK_H
#define DDG_BUNDLE_PACK_H

#include "runtime/bundle.h"

struct block { // bytes that lie in the bundle, `at` bytes from its start
    const char *data;
    size_t at, bytes;
};

struct packed {
    struct arena *arena;
    VEC(struct block) codes;        // of the variants, in order
    VEC(struct block) consts;       // in order, without copies
    size_t consts_at, consts_bytes; // with PLAN_SLACK behind the last
    struct text message;
};

// Everything lies in arena; codes and constants are pointed at.
void bundle_pack(const struct bundle *b, struct arena *arena, struct packed *out);

#endif
