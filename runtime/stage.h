// Running one stage: the rows of its rowset, in chunks, over the workers.
#ifndef DDG_STAGE_H
#define DDG_STAGE_H

#include "runtime/save.h"

struct stage_run {
    const struct plan *plan;
    const struct plan_stage *stage;
    struct rowsets *rowsets;
    struct saves *saves;
    size_t threads;
    // Called now and then with the rows done; never from two threads at once.
    void (*progress)(void *ctx, size_t done, size_t rows);
    void *progress_ctx;
};

// Needs the stage's rowset made, its columns and saves begun.
bool stage_run(const struct stage_run *s, struct diags *d);

#endif
