// The tuner: how each kind of kernel is computed fastest on this machine. What it finds
// it keeps in the store, so that every kind is timed once.
//
// A kind is a problem (kernel_problem, passes/tuning.h) on a processor, for a target.
// What is tried are the algorithms that fit it, and the tilings that codegen proposes for
// those that come near. What costs least by the models stays unless another is faster by
// 3%.
#ifndef DDG_TUNE_H
#define DDG_TUNE_H

#include "codegen/codegen.h"
#include "passes/tuning.h"

#include <stdatomic.h>

struct tune_case { // a kernel with its layouts
    const struct target *target;
    const struct kfunc *kf;
    const struct kernel *kernel;
    const char *problem;
    size_t threads; // to compile on
};

// Seconds that one row takes with each of n choices, all of which fit. False: said in d.
typedef bool tune_timer(void *ctx, const struct tune_case *c,
                        const struct choice *choices, size_t n, double *seconds,
                        struct diags *d);
// On this processor, in processor time of one thread (tune_time.c).
bool tune_time(void *ctx, const struct tune_case *c, const struct choice *choices,
               size_t n, double *seconds, struct diags *d);

struct tuner_options {
    struct store *store;     // NULL: what is found is known to this tuner only
    bool look;               // times nothing: what is not in the store is not tuned
    bool quiet;              // says nothing while it works
    size_t threads;          // to compile on
    const atomic_bool *stop; // times nothing more once it is set; may be NULL
    tune_timer *time;        // NULL: tune_time
    void *ctx;
};

struct tuner;

// Everything lies in arena, which outlives the tuner's use.
struct tuner *tuner_new(struct arena *arena, const struct tuner_options *o);
const struct tuning *tuner_tuning(const struct tuner *t); // for modules

enum tuned_from { TUNED_NOW, TUNED_STORE, TUNED_NOT };

struct tuned {        // one kind of kernel that was asked for
    const char *what; // as profiles call it
    const char *problem, *target;
    const char *usual_how, *best_how;
    struct choice usual, best;
    double usual_s, best_s; // a row; 0: not known
    enum tuned_from from;
};
// In the order in which they were met. Valid until the tuner is asked again.
const struct tuned *tuner_list(const struct tuner *t, size_t *n);
// What went wrong first, in words, or NULL.
const char *tuner_trouble(const struct tuner *t);

#endif
