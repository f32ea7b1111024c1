// Running one stage: some rows of its rowset, in chunks, over the workers.
#ifndef DDG_STAGE_H
#define DDG_STAGE_H

#include "runtime/gather.h"
#include "runtime/save.h"
#include "runtime/timeline.h"

#include <stdatomic.h>

struct stage_run {
    const struct plan *plan;
    const struct plan_stage *stage;
    struct rowsets *rowsets;
    struct saves *saves;
    // Not NULL: what the stage's sinks hold of each row goes there, and nowhere else.
    const struct gather *gather;
    size_t threads;
    const uint32_t *rows; // ascending; every row the stage reads is known and filled
    size_t nrows;
    // Of a remembered column: rows are claimed, looked up once more, computed and
    // published, chunk by chunk. keys and left are parallel to rows; left[i] comes back
    // true for a row that another process is computing. store NULL: computed without
    // asking anybody.
    struct store *store;
    const struct digest *keys;
    bool *left;
    const atomic_bool *stop; // may be NULL; set: chunks at hand are dropped
    struct timeline *times;  // may be NULL
    struct profile *profile; // may be NULL
    // Called now and then with the rows done; never from two threads at once.
    void (*progress)(void *ctx, size_t done);
    void *progress_ctx;
};

struct stage_done {
    size_t computed, found; // rows; found: by another process, meanwhile
    bool stopped;           // before all rows were done
};

// Floating-point operations of one row; the stage's functions must be loaded, or their
// flops counted.
double stage_flops(const struct plan *p, const struct plan_stage *s);

// False: said in d, or stopped.
bool stage_run(const struct stage_run *s, struct stage_done *done, struct diags *d);

#endif
