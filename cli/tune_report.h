// The tuner as commands have it: `--tune` of run, compile, plan and why, and what is said
// of it.
#ifndef DDG_TUNE_REPORT_H
#define DDG_TUNE_REPORT_H

#include "cli/base/args.h"
#include "cli/base/emit.h"
#include "cli/tune.h"

// NULL without --tune.
struct tuner *tuner_for(const struct args *a, struct arena *arena, struct store *s,
                        bool look, const atomic_bool *stop);
// What a driver takes of it; NULL: nothing.
const struct tuning *tuning_of(const struct tuner *t);

// For people: how many kinds of kernel were tuned, and those that are computed otherwise
// than by cost; all: every one of them.
void tune_print(const struct tuner *t, bool all, FILE *to);
// For scripts, as member "tuning".
void tune_emit(const struct tuner *t, struct emit *e);
// What went wrong, if anything did, as a warning.
void tune_say_trouble(const struct tuner *t);

#endif
