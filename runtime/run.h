// Running a plan: stage after stage, then everything is put in place.
#ifndef DDG_RUN_H
#define DDG_RUN_H

#include "runtime/plan.h"

struct run_stage { // what a stage took
    const char *name;
    size_t rows;
    double seconds;
};

struct run_report {
    size_t nstages;
    struct run_stage *stages;
    double seconds;
    size_t peak_bytes; // of the process
    size_t nskipped;
    const char *const *skipped; // files left out, with the reason
    size_t nsaved;
    struct {
        const char *to;
        size_t rows;
    } * saved;
};

struct run_options {
    size_t threads;
    void (*stage)(void *ctx, const char *name, size_t done, size_t rows, double seconds);
    void *ctx;
};

// Everything in the report lies in arena. False: said in d, and nothing was written.
bool plan_run(const struct plan *p, const struct run_options *o, struct arena *arena,
              struct run_report *report, struct diags *d);

#endif
