// What is said when a run is done, for people and for scripts.
#ifndef DDG_REPORT_H
#define DDG_REPORT_H

#include "cli/base/emit.h"
#include "runtime/run.h"

// What a run took besides plan_run: reading the program, the passes over it; machine
// code is made within the run, when a stage is about to need it. NULL below: none of it.
struct report_times {
    double before, code;
};

// Adds what an act of trainings did (cli/acts.h) to what was done before; words and
// losses are copied into arena.
void report_join(struct run_report *all, const struct run_report *act,
                 struct arena *arena);
// The same for the act at the end, whose report has all else.
void report_join_last(struct run_report *all, const struct run_report *last,
                      struct arena *arena);

// "train: teacher, 6 epochs: 144 steps, loss 0.91, 3.2 s"
void report_trained(const struct trained *t, FILE *to);

void report_print(const struct run_report *r, const struct report_times *t, FILE *to);
// The members of the report, into the object that is open.
void report_emit(const struct run_report *r, const struct report_times *t,
                 struct emit *e);
// The member "checks" alone.
void report_emit_checks(const struct run_report *r, struct emit *e);
// The member "store"; s NULL: null. path NULL: in memory.
void report_emit_store(struct store *s, const char *path, struct arena *arena,
                       struct emit *e);
// Where the time went: every phase with when it began and how long it took in all.
void report_time(const struct timeline *t, FILE *to);
// The members "first_kernel_seconds" (null: none was called) and "phases".
void report_emit_time(const struct timeline *t, struct emit *e);
// What a check found, as soon as it is known: its line, and what it warns of.
void report_check(const struct run_check *c, FILE *line, FILE *warnings);
// A stopped run: how far it came, and how to go on. kept: what was computed is in a store
// that outlives the process.
void report_stopped(const struct run_report *r, bool kept, FILE *to);

#endif
