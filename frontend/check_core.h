// What the parts of the checker share: check.c evaluates expressions and expands `def`s,
// check_op.c makes the nodes of the language's ops.
#ifndef DDG_CHECK_CORE_H
#define DDG_CHECK_CORE_H

#include "frontend/ast.h"
#include "ir/build.h"

// What an expression is: a node of the graph, a compile-time value, or nothing, after an
// error that was reported and should not lead to others.
struct result {
    enum { RESULT_POISON, RESULT_VALUE, RESULT_NODE } kind;
    struct value value;
    const struct source *base; // where the text of a string stands: paths are beside it
    nid node;
};

static const struct result POISON = {.kind = RESULT_POISON};

struct frame { // one call of a def
    const struct decl *def;
    const struct frame *up;   // the def whose body the call stands in, or NULL
    struct span call;         // the name in that call
    struct result *values;    // by decl->index: arguments, then locals
    const struct expr **args; // what the arguments came from
    const char *prefix;       // of the names of its nodes
};

struct loaded { // a network, or one that could not be read (NULL)
    struct value attrs[OP_MAX_ATTRS];
    const struct model *model;
};

struct checker {
    struct arena *arena;
    struct diags *d;
    struct builder b;
    struct result *globals;          // by decl->index
    const struct formula **defaults; // as in struct checked
    size_t depth, steps;             // see EVAL_MAX_*
    bool stopped;                    // out of steps: nothing more is evaluated
    VEC(struct loaded) models;
    struct timeline *times;    // may be NULL
    const struct model *model; // see program_options
    bool bf16;                 // the same
};

// name is given to the node that e itself makes, or NULL.
struct result check_expr(struct checker *c, const struct frame *f, const struct expr *e,
                         const char *name);
struct result check_op_call(struct checker *c, const struct frame *f,
                            const struct expr *e, const char *name);

// Takes n steps. False, reported once, when there have been too many.
bool check_steps(struct checker *c, struct span at, size_t n);

// Reports an error at `at`, with a help line (or NULL), a note where the name `about` was
// bound (NULL or no name: none) and notes on the calls of `def`s that led here. An error
// that another call of the same def showed already is left out. Always false.
bool check_report(struct checker *c, const struct frame *f, struct span at,
                  const struct expr *about, const char *help, const char *fmt, ...)
    PRINTF_LIKE(6, 7);
// Those last notes, for errors reported elsewhere.
void check_note_calls(struct checker *c, const struct frame *f);

// "`heat` is maps[5,5]", "got the int 3"
const char *check_came(struct checker *c, const struct expr *e, const struct result *r);

#endif
