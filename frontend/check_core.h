// What the parts of the checker share: check.c evaluates expressions and expands `def`s,
// check_list.c makes lists, check_op.c the nodes of the language's ops, check_model.c the
// networks and check_train.c what of training only the graph can tell.
#ifndef DDG_CHECK_CORE_H
#define DDG_CHECK_CORE_H

#include "frontend/ast.h"
#include "ir/build.h"

// What an expression is: a node of the graph, a compile-time value, a list, or nothing,
// after an error that was reported and should not lead to others. Lists of numbers are
// values, and so is the empty one.
struct result {
    enum { RESULT_POISON, RESULT_VALUE, RESULT_NODE, RESULT_LIST } kind;
    struct value value;
    const struct source *base; // where the text of a string stands: paths are beside it
    nid node;
    const struct list *list;
};

struct item {
    struct result r;
    const char *label;    // what tells it from the others: "teacher", "ipc = 10"
    const struct expr *e; // that made it
};

struct list {
    size_t n;
    struct item *at;
    const struct formula *of; // the params that decide which items there are; NULL: none
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

struct round { // of a `for` that is being gone through
    const struct decl *var;
    const struct result *value; // it has now
    const char *label;          // of that value
    const struct round *up;
};

struct loaded { // a network, or one that could not be read (NULL)
    enum op op;
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
    const struct round *round;       // the innermost, or NULL
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

// ---- lists --------------------------------------------------------------------------
struct result check_list(struct checker *c, const struct frame *f, const struct expr *e,
                         const char *name);
struct result check_each(struct checker *c, const struct frame *f, const struct expr *e,
                         const char *name);
bool check_is_list(const struct result *r);
// The items of one. False, reported at `at`, when the program is out of steps.
bool check_items(struct checker *c, struct span at, const struct result *r,
                 struct list *out);
// Of what was to be a list of numbers, the item that is none, or all of it.
void check_odd_item(const struct expr **e, const struct result **r);
// "name[ipc = 10, seed = 0]", by the rounds that are gone through; NULL: there are none.
const char *check_round_name(struct checker *c, const char *name);
// l + r, one of which is a list.
struct result check_join(struct checker *c, const struct frame *f, const struct expr *e,
                         const struct result *l, const struct result *r);
// The folder that paths written in a source start from; NULL: the current one.
const char *check_folder(struct checker *c, const struct source *base);

// ---- errors -------------------------------------------------------------------------
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
