// From a program's file to a plan that can run: every stage in order, each one timed.
#ifndef DDG_DRIVER_H
#define DDG_DRIVER_H

#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/pass.h"
#include "runtime/run.h"

struct driver_options {
    const char *path;
    const char *const *defines; // "name=value"
    size_t ndefines;
    size_t threads;
};

struct driver { // one compile; everything lies in arena, but for the code
    struct arena *arena;
    struct diags d;
    struct driver_options options;
    struct program *program;
    struct target target;
    struct module module;
    struct codegen *codegen;
    double load_s, passes_s, codegen_s;
};

void driver_init(struct driver *v, struct arena *arena, const struct driver_options *o);
void driver_free(struct driver *v); // ends the code's life; the arena is the caller's

// Each needs the one before. False: said in v->d.
bool driver_load(struct driver *v);                    // text to checked graph
bool driver_lower(struct driver *v, const char *last); // passes, up to `last` or all
bool driver_codegen(struct driver *v);                 // kernels asked for, plan laid out
bool driver_link(struct driver *v);                    // machine code; the plan can run

#endif
