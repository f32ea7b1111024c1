// `ddg model`: what a network's file holds, and what the ops of the language can do with
// it. model_uses.c finds out the latter, by compiling each op; model_cmd.c prints
// everything for people, model_json.c for scripts.
#ifndef DDG_CLI_MODEL_H
#define DDG_CLI_MODEL_H

#include "cli/base/emit.h"
#include "frontend/model_facts.h"

struct model_use { // of the network, by an op of the language
    const char *op;
    const char *with; // the attributes it was tried with: "grid = 4, seed = 0"; or ""
    const char *why;  // it cannot be used; NULL: it can
    double flops;     // a row
    size_t bytes;     // of a worker's memory, a row
};

struct model_size {
    size_t side;
    const char *why; // the network does not take it; NULL: it does
};

struct model_report {
    const char *path;
    const struct model_facts *facts;
    const struct diags *said;
    size_t height, width; // of the images that what follows is about
    double flops;         // forward, a row
    size_t nuses, nsizes;
    const struct model_use *uses; // none when there is no model
    const struct model_size *sizes;
};

// What has become of batch norm.
enum norm_state {
    NORMS_KEPT,
    NORMS_PARTLY, // some are folded into convolutions, some left
    NORMS_FOLDED,
    NORMS_UNKNOWN, // none, and nothing that tells whether there were some
    NORMS_NONE
};
enum norm_state model_norms(const struct model_facts *f);

// False: the network does not take images of that size; said in d.
bool model_uses_read(struct arena *arena, struct model_report *r, struct diags *d);

void model_emit(const struct model_report *r, struct emit *e);

#endif
