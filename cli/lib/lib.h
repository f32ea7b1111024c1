// What the parts of libddg share: the objects behind include/ddg.h, and how a call is
// served.
//
// A call that can fail runs in its context's scope (runtime/base/scope.h): memory comes
// from the context's allocator; whatever gives up, arenas without memory and failed
// checks, ends the call as an error. What is being made belongs to the call until it is
// done:
//
//     static bool load(struct call *call, void *ctx) {
//         struct ddg_pipeline *p = pipeline_new(call);    // dropped unless load is true
//         ... return false with words in call->d ...
//         return true;
//     }
//     serve(context, load, &arguments, error);
#ifndef DDG_LIB_H
#define DDG_LIB_H

#include "include/ddg.h"
#include "runtime/run.h"

#include <locale.h>

struct ddg_context {
    ddg_allocator allocator; // the caller's
    struct memory memory;    // that allocator, watched
    atomic_bool no_memory;   // it said no since the call began
    atomic_bool busy;        // serving a call
    bool broken;             // a check of ours failed: for closing only
    bool closed;             // only objects that were left hold it
    size_t objects;          // pipelines and results
    bool (*progress)(void *ctx, const ddg_progress *now); // of compiling; may be NULL
    void *progress_ctx;
    struct store *store;
    char *why_no_store;    // or NULL
    struct arena *trouble; // of what ddg_trouble said last
};

struct ddg_pipeline { // in its own arena
    ddg_context *context;
    struct arena *arena;
    struct plan *plan;
    // Of params, by number: their values now as text, made when they are asked for; what
    // ddg_set was given.
    const char **values, **given;
    struct settled { // what each ddg_set left
        struct arena *arena;
        struct settled *below;
    } * settled;
    struct compiled *compiled; // what compile.c knows of it; NULL: it was loaded
    // Makes the functions of a stage ready; NULL: they are.
    bool (*load)(void *ctx, const struct plan_stage *s, struct diags *d);
    // When all else is done: writes what only the compiler can, networks. NULL: there are
    // none.
    bool (*finish)(void *ctx, struct diags *d);
    void *load_ctx; // of both
    bool loading;   // and never got done with it
    // Where the compiler reads how many it may use; NULL: it is not there.
    size_t *threads;
    atomic_bool stop;
};

struct ddg_result { // in its own arena
    ddg_context *context;
    struct arena *arena;
    struct keep keep;
    size_t nchecks;
    ddg_checked *checks;
    ddg_stats stats;
};

// ---- calls ---------------------------------------------------------------------------
struct call {
    ddg_context *context;
    struct arena *arena; // for its words
    struct arena *made;  // what is being made lies in; dropped when the call fails
    struct diags d;
    enum ddg_error_kind kind; // of what went wrong, when it is not the program
    locale_t locale;          // the caller's
    bool (*fn)(struct call *, void *ctx);
    void *ctx;
    bool ok;
    ddg_error *error;
};

// fn(call, ctx) in the context's scope. False: it was, or something gave up, or the
// context cannot serve; *error says why.
bool serve(ddg_context *c, bool (*fn)(struct call *, void *ctx), void *ctx,
           ddg_error **error);
// The same without an error, also when the context is broken or closed: for letting go.
void serve_end(ddg_context *c, void (*fn)(void *ctx), void *ctx);
// Tells the caller how far a run of the call is, in the caller's locale. False: stop.
// progress may be NULL.
bool call_tell(const struct call *call, bool (*progress)(void *, const ddg_progress *),
               void *ctx, const ddg_progress *now);
// A run of the call was told to stop: an error of that kind, said in d.
bool call_stopped(struct call *call, const struct run_report *r, struct diags *d);
// A new arena for what the call makes; at most one.
struct arena *call_makes(struct call *call);

// An object of the context is there, or gone; with the last one a closed context goes.
void context_hold(ddg_context *c);
void context_drop(ddg_context *c);

// ---- errors --------------------------------------------------------------------------
// Puts an error where to points, when it points anywhere. from NULL: malloc's.
void error_say(ddg_error **to, const ddg_allocator *from, enum ddg_error_kind kind,
               const char *fmt, ...) PRINTF_LIKE(4, 5);
// Of what was found; words come from d's arena.
ddg_error *error_of(const ddg_allocator *from, enum ddg_error_kind kind,
                    const struct diags *d);
ddg_error *error_no_memory(void);
// An argument that must not be NULL is; returns false.
bool is_null(ddg_context *c, const char *what, ddg_error **error);

// ---- structures with a size ----------------------------------------------------------
// Copies what the caller knows of a structure into one of zeros. ends: the sizes it may
// have, where fields end. False: it has none of those.
bool sized_copy(void *to, const void *from, size_t size, const size_t *ends, size_t n);
#define FIELD_END(type, field) (offsetof(type, field) + sizeof((type *)0)->field)

// ---- pipelines -----------------------------------------------------------------------
ddg_pipeline *pipeline_new(struct call *call);
// Its plan is there; the pipeline is the caller's from here on.
void pipeline_ready(struct call *call, ddg_pipeline *p);

#endif
