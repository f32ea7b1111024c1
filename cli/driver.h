// From a program's file to a plan that can run: every stage in order, each one timed.
#ifndef DDG_DRIVER_H
#define DDG_DRIVER_H

#include "cli/acts.h"
#include "codegen/assemble.h"
#include "frontend/frontend.h"
#include "passes/pass.h"
#include "runtime/run.h"

struct driver_options {
    const char *path;
    const char *const *defines; // "name=value"
    size_t ndefines;
    size_t threads;
    const char *target; // by name (codegen_target_named); NULL: native
    const char *text;   // see program_options, as api
    bool api;
    const struct model *model; // the same; or NULL
    bool bf16;                 // see program_options
    const char *point;         // of a sweep (sweep_point.name): where results go; or NULL
    struct timeline *times;    // may be NULL
    bool twins;                // what bf16 gives is compared with fp32: see graph_twinned
    bool unshared;             // see module; for tests
    bool sparing; // only constants of the functions at hand are held; for tests
    const struct tuning *tuning; // see module; or NULL
};

struct driver { // one compile; everything lies in arena, but for the code
    struct arena *arena;
    struct diags d;
    struct driver_options options;
    struct program *program;
    struct acts acts;
    const struct func
        *graph; // of the act that is lowered; NULL: the last, with stand-ins
    struct arena
        *stages; // of an act: where what it trains is to lie (run_options.stages)
    struct target target;
    struct module module;
    struct codegen *codegen; // NULL until code is needed
    struct assembly *assembly;
    bool *added;                        // by function
    double load_s, passes_s, codegen_s; // so far
};

void driver_init(struct driver *v, struct arena *arena, const struct driver_options *o);
// What was found elsewhere belongs to it; words and spans live as long.
void driver_adopt(struct driver *v, const struct diags *from);
void driver_free(struct driver *v); // ends the code's life; the arena is the caller's

// Each needs the one before. False: said in v->d.
bool driver_load(struct driver *v); // text to checked graph
// Lowers every act of a program that trains, networks that are not trained yet standing
// in for those that are: what is wrong with any is said before the first one runs. Of
// programs that do not train, nothing.
bool driver_rehearse(struct driver *v);
// fn of every act, in such a way: a driver that has loaded it and not lowered yet. Of
// programs that do not train, of the program.
bool driver_each_act(struct driver *v, bool (*fn)(void *ctx, struct driver *act),
                     void *ctx);

struct act_run {
    // Runs the plan of an act, or looks what it would find: trainings that r->trained has
    // no stages of stay unknown, and what depends on them is left out. act lives as long
    // as the call.
    bool (*fn)(void *ctx, struct driver *act, struct run_report *r);
    void *ctx;
};

// Goes through the acts of trainings; the last act is what is lowered then. Of programs
// that do not train, nothing.
bool driver_acts(struct driver *v, const struct act_run *run);
// The same of a program that was gone through before: the very same, but for what can be
// set after compiling, which no training depends on. Its networks are used as long as v
// is. True.
bool driver_trained(struct driver *v, const struct driver *before);
// Whether there is anything to do: it saves something. what: "run", "compile".
bool driver_saves(struct driver *v, const char *what);
// Whether the places that results go to can be written: runs look at that when they
// begin, which for programs that train is after all trainings.
bool driver_places(struct driver *v);
// Writes the networks that the program saves; when its last act has run.
bool driver_save_models(const struct driver *v, struct diags *d);
// Whether a compiled program can do all that it does.
bool driver_compiles(struct driver *v);
// "infoutil", of examples/infoutil.ddg.
const char *program_name(struct arena *a, const char *path);
// The passes of whole modules; up to `last`, when it is not NULL, those of functions too.
bool driver_lower(struct driver *v, const char *last);
// Whether the program lets networks multiply bf16 and the target cannot. After
// driver_lower.
bool driver_lacks_bf16(const struct driver *v);
// Whether this processor can run the target's code. After driver_lower.
bool driver_runs_here(struct driver *v);
// Fills in plan_func.flops of every function, which is else known once it is loaded.
bool driver_flops(struct driver *v);
// Makes the functions of a stage's steps ready to run: the rest of the passes and machine
// code, once for each, and its constants, where they are not there (codegen/assemble.h).
// ctx is the driver; for run_options.load.
bool driver_load_stage(void *ctx, const struct plan_stage *s, struct diags *d);
// The same of single functions, for run_options.load_funcs.
bool driver_load_funcs(void *ctx, const uint32_t *funcs, size_t n, struct diags *d);
// The same for all functions: their kernels asked for, then compiled.
bool driver_codegen(struct driver *v);
bool driver_link(struct driver *v);
// All functions ahead of time: their code as an image, entries filled in
// (assembly_image).
bool driver_image(struct driver *v, struct codegen_image *out);

#endif
