// What a network computes, as digests: the same however its file was written, whatever
// its layers are called, and whoever made it.
#ifndef DDG_FRONTEND_DIGEST_H
#define DDG_FRONTEND_DIGEST_H

#include "ir/ir.h"

struct func_digests {
    struct digest all;   // what the function computes: structure and data, never names
    struct digest graph; // without the weights' contents
    size_t nweights;
    const struct model_weight *weights; // see struct model
};
void func_digest(const struct func *f, struct arena *arena, struct func_digests *out);

// Fills in the digests and the weights of a model that has all else.
void model_digest(struct model *m, struct arena *arena);
// digest_at of models.
struct digest model_digest_at(const struct model *m, struct arena *arena, size_t h,
                              size_t w);

// A name from a file, made safe to print: short and without control characters.
const char *name_printable(struct arena *arena, const char *s);

#endif
