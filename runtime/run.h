// Running a plan: every save is asked for, then everything is put in place.
#ifndef DDG_RUN_H
#define DDG_RUN_H

#include "runtime/agree.h"
#include "runtime/keep.h"
#include "runtime/plan.h"
#include "runtime/timeline.h"

#include <stdatomic.h>

struct run_stage {         // what a stage took
    const char *name, *op; // op NULL: a save
    size_t rows;           // asked for
    size_t reused;         // found in the store
    size_t computed;
    double seconds;
};

struct run_way {      // another way in which images were given to a model
    const char *what; // "with red and blue swapped"
    size_t rows, right;
};

struct run_check { // what a `check` found
    const char *model, *images;
    const char *line;   // in words
    size_t rows, right; // images looked at, and put into their class
    bool guessing;      // no better than guessing
    size_t nways;       // 0: none could have been better
    const struct run_way *ways;
    const struct diags *said; // warnings
};

struct run_agreement {     // how far a value in bf16 is from fp32
    const char *name, *op; // of the value
    const char *line;      // in words
    enum agree_kind kind;
    struct agreement found;
};

struct run_report {
    size_t nstages;
    struct run_stage *stages; // in the order they were first asked for
    double seconds;
    size_t peak_bytes; // of the process
    size_t nchecks;
    const struct run_check *checks;
    size_t nagreements;
    const struct run_agreement *agreements;
    size_t nskipped;
    const char *const *skipped; // files left out, with the reason
    size_t nsaved;
    struct run_saved {
        const char *to;
        size_t rows;
    } * saved;
    size_t ntrained;               // trainings that are done, in the plan's order
    const struct trained *trained; // see train.h
    size_t ntables;
    const struct measured_table *tables; // see measure.h
    size_t audited;                // values computed again and found the same
    // Told to stop before it was done: what was being computed, and how far.
    bool stopped;
    const char *stopped_in;
    size_t stopped_done, stopped_rows;
};

struct run_rows { // of all values, not of saves
    size_t rows, reused, computed;
};
struct run_rows run_rows(const struct run_report *r);

struct run_options {
    size_t threads;
    struct store *store;     // NULL: nothing is remembered
    double audit;            // share of what the store has to be computed again: 0 to 1
    const atomic_bool *stop; // may be NULL; set at any time: stop soon
    struct arena *stages; // where models that were trained lie; NULL: in the run's arena
    double checkpoint; // seconds from state to state of a training; 0: as train.h has it
    bool only_checks;  // nothing is computed but what the program's checks ask for
    bool no_files;     // nothing is written, or looked at, where the saves say
    struct keep *keep; // may be NULL: what the saves hold is kept there too
    struct timeline *times;  // may be NULL
    struct profile *profile; // may be NULL
    // Makes the functions of a stage ready to be called, and those of others perhaps not;
    // NULL: all are.
    bool (*load)(void *ctx, const struct plan_stage *s, struct diags *d);
    // The same for functions that are no stage's: those of a training.
    bool (*load_funcs)(void *ctx, const uint32_t *funcs, size_t n, struct diags *d);
    void *load_ctx;
    // Called now and then with how much of a stage's work is done.
    void (*stage)(void *ctx, const char *name, size_t done, size_t rows, double seconds);
    // Called with what a check found, before anything else is computed; may be NULL.
    void (*checked)(void *ctx, const struct run_check *c);
    void *ctx;
};

// Everything in the report lies in arena. False: said in d, or stopped; nothing was
// written then but to the store, and what is in keep is incomplete.
bool plan_run(const struct plan *p, const struct run_options *o, struct arena *arena,
              struct run_report *report, struct diags *d);

#endif
