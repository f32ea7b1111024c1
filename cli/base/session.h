// One command that runs plans: its store, the signals that stop it, what it reports.
//
//     struct session s = session_of(args, arena);
//     session_begin(&s, false);                      // when there is something to run
//     bool ok = session_run(&s, plan, &load, arena, &report, &d);
//     if (ok) session_report(&s, &report, &times);
//     session_end(&s, ok);
#ifndef DDG_SESSION_H
#define DDG_SESSION_H

#include "cli/base/args.h"
#include "cli/base/report.h"

struct session {
    const struct args *args;
    struct arena *arena;
    struct timeline *times;  // NULL without --time and --profile
    struct profile *profile; // NULL without --profile
    struct trace *trace;     // NULL without a file for it, and before the first run
    double peak;             // of the machine; 0: not measured yet
    struct store *store;
    const char *store_path;  // NULL: in memory
    const atomic_bool *stop; // NULL before session_begin
    bool only_checks;        // run the plan's checks and nothing else
    struct emit json;        // the object that scripts get
};

struct session session_of(const struct args *a, struct arena *arena);
// Opens the store and catches the signals; again does nothing. shared: several plans will
// be run, which share what they can even when nothing is remembered after them.
void session_begin(struct session *s, bool shared);

struct session_load { // makes a stage's functions, and single ones, ready; NULL: they are
    bool (*fn)(void *ctx, const struct plan_stage *s, struct diags *d);
    bool (*funcs)(void *ctx, const uint32_t *funcs, size_t n, struct diags *d);
    void *ctx;
    struct arena *stages; // run_options.stages
};
// With progress on stderr, where it also says how far a stopped run came. False: failed,
// said in d, or report->stopped.
bool session_run(struct session *s, const struct plan *p, const struct session_load *load,
                 struct arena *arena, struct run_report *report, struct diags *d);
// For people on stdout, for scripts into s->json, while the plan is there. t NULL:
// nothing was compiled.
void session_report(struct session *s, const struct run_report *r,
                    const struct report_times *t);
// Closes the store. reported: s->json holds something, which is printed when asked for.
void session_end(struct session *s, bool reported);

#endif
