// The syntax tree of a program, and what resolving its names adds to it.
//
// A file is a list of declarations; a declaration holds expressions. The parser fills the
// tree, resolve.c points names at declarations and arguments at the slots they fill,
// order.c puts declarations behind what they use, and check.c evaluates them in that
// order. What could not be parsed or resolved stays in the tree, marked bad, so that one
// mistake is reported once and the rest is still checked.
#ifndef DDG_AST_H
#define DDG_AST_H

#include "ir/ir.h"

// Bounds on what a program may hold; beyond them is an error, never a crash.
#define PROGRAM_MAX_BYTES ((size_t)1 << 20) // of one file
#define PROGRAM_MAX_TOTAL ((size_t)4 << 20) // of a program and all it imports
#define PROGRAM_MAX_FILES 32
#define NAME_MAX_BYTES    256
#define DEF_MAX_ARGS      64
#define LIST_MAX_ITEMS    ((size_t)64 << 10)
#define EACH_MAX_LOOPS    8      // of one comprehension
#define EXPR_MAX_DEPTH    200    // brackets in brackets, and operators in a row
#define EVAL_MAX_DEPTH    400    // expressions in expressions, through the `def`s called
#define EVAL_MAX_STEPS    500000 // expressions evaluated, with the `def`s expanded

struct decl;
struct expr;
struct file;

struct arg {
    const char *name; // NULL: given by position
    struct span name_span;
    struct expr *value;
};

struct call {
    const char *name;
    struct span name_span;
    struct arg *args;
    size_t nargs;
    // From resolve.c: what is called (one of the two), and the argument of each slot,
    // NULL where none is given. An op's slots are its operands, then its attributes; a
    // def's are its parameters.
    enum op op; // OP_COUNT: not an op of the language
    const struct decl *def;
    struct expr **slots;
    bool bad;
};

// [item for name in list for name in list]: the item for each value of the last name, for
// each of the one before it, and so on.
struct loop {
    struct decl *var;
    struct expr *in;
};

struct each {
    struct expr *item;
    struct loop *loops;
    size_t nloops;
};

enum expr_kind {
    EXPR_BAD,   // could not be parsed; reported
    EXPR_VALUE, // a literal
    EXPR_NAME,
    EXPR_LIST,
    EXPR_EACH,
    EXPR_NEGATE, // -l
    EXPR_BINARY, // l op r
    EXPR_CALL,
};

struct expr {
    enum expr_kind kind;
    uint32_t height; // of the tree below; at most EXPR_MAX_DEPTH
    struct span span;
    union {
        struct value value;
        struct {
            const char *text;
            const struct decl *decl; // NULL: unknown, and reported
        } name;
        struct {
            struct expr **items;
            size_t n;
        } list;
        struct each *each;
        struct {
            const char *op; // "+", "//"
            struct span op_span;
            struct expr *l, *r;
        } binary;
        struct call *call;
    };
};

enum decl_kind {
    DECL_BIND,  // name = expr
    DECL_PARAM, // param name: type = expr
    DECL_DEF,   // def name(args) { locals return expr }
    DECL_ARG,   // a def's parameter; expr is its default or NULL
    DECL_VAR,   // a name of a comprehension
    DECL_CALL,  // of an op that gives no value, on a line of its own: save(...)
};

struct use {
    struct decl *decl;
    struct span span; // of the name
};

struct decl {
    enum decl_kind kind;
    const char *name;
    struct span span; // of the name
    struct file *file;
    struct expr *expr;
    enum value_kind type;            // DECL_PARAM; VAL_NONE: not understood, and reported
    const char *doc;                 // DECL_PARAM: the comment behind it, or NULL
    struct expr *given;              // DECL_PARAM: what -D says, or NULL
    uint32_t param;                  // DECL_PARAM: which one, in the order of the files
    VEC(struct decl *) args, locals; // DECL_DEF; order.c sorts locals
    // From resolve.c:
    const struct decl *owner; // the def it stands in, NULL at the top level
    size_t index;             // among the values of the program or of the def
    size_t nvalues;           // DECL_DEF: of a call: arguments, locals, names of lists
    VEC(struct use) uses;
    // From order.c:
    enum { ORDER_NEW, ORDER_OPEN, ORDER_DONE } order;
    bool cyclic; // made from itself, which is reported: has no value
};

struct names { // declarations by name (a hash table; names.h)
    struct decl **slots;
    size_t cap, n;
};

struct import {
    const char *path; // as written
    struct span span;
};

struct file {
    const struct source *source;
    size_t index;  // in the program; 0 is the program's own
    uint32_t sees; // bit set over index: itself and what it imports, directly or not
    VEC(struct import) imports;
    VEC(struct decl *) decls;
    struct names names; // what its expressions can mean
    bool bad;           // has a syntax error
    bool holes;         // and so may lack declarations
};

struct tree { // a whole program
    VEC(struct file *) files;
    size_t nvalues;             // what has a value and stands in no def
    VEC(struct decl *) ordered; // those that are evaluated, each behind what it uses
    struct timeline *times;     // may be NULL: how long its models take
    const struct model *model;  // see program_options
    bool bf16;                  // the same
};

#endif
