// The IR: one node form for pipeline ops (on sets of rows) and tensor ops (on arrays).
//
// A function is an array of nodes in which operands come before their users; a node is
// named by its index (nid), so side tables are plain arrays. Nodes are pure and
// hash-consed by the builder (build.h): equal nodes are the same node, and common
// subexpressions never arise. A pass reads one function and builds another. What an op is
// called, takes and means stands in one table, ops.def; everything here and in print.c,
// parse.c, verify.c, eval.c and the language reference follows from it.
#ifndef DDG_IR_H
#define DDG_IR_H

#include "ir/type.h"
#include "runtime/base/diag.h"
#include "runtime/value.h"

typedef uint32_t nid;
#define NID_NONE UINT32_MAX

enum op {
#define OP(id, ...) OP_##id,
#include "ir/ops.def"
#undef OP
    OP_COUNT
};

// ---- the op table --------------------------------------------------------------------
enum family { FAMILY_PIPELINE, FAMILY_TENSOR };

// Whether a result row depends on its own input row, on the rows of its class, or on all.
enum locality { LOCAL_ROW, LOCAL_CLASS, LOCAL_WHOLE };

enum op_flags {
    OPF_ELEMENTWISE = 1, // out[i] = f(in0[i], in1[i]), operands broadcast
    OPF_ANCHOR = 2,      // needs a kernel of its own kind; elementwise users join it
    OPF_REDUCE = 4,      // sums or maximises over axes
    OPF_MOVE = 8,        // only moves elements about
    OPF_RUNTIME = 16,    // a function of the runtime, not emitted (runtime/builtin.h)
    OPF_SEEDED = 32,     // draws random numbers; needs the rows' keys
    OPF_COSTLY = 64,     // runs a model: worth keeping rather than computing again
    OPF_MARK = 128,      // gone after the pass that expands it
    OPF_VARIADIC = 256,  // the last operand may be repeated
    OPF_STATEMENT = 512, // gives no value: stands on a line of its own
    OPF_NETWORK = 1024,  // a model that the frontend makes (frontend/networks.h)
    OPF_BATCH = 2048,    // over all rows of a call, one for all of them; joint functions
};

struct operand_spec {
    const char *name;
    uint32_t kinds; // bit set over enum kind; 0 ends the list
    bool optional;
};

struct attr_spec {
    const char *name; // NULL ends the list
    enum value_kind kind;
    const char *fallback; // the default as program text; NULL: must be given
    const char *choices;  // VAL_STRING: "prob|logit|loss"; NULL: any
    double min, max;      // of each number; both 0: any
    const char *doc;      // unit and meaning
    bool path;            // VAL_STRING: a path, relative to the program's file
    bool late;            // can change after compiling: it shapes no value and no code
    // With fallback "none" the value may be absent: its kind is then VAL_NONE.
};

#define OP_MAX_OPERANDS 4
#define OP_MAX_ATTRS    24

struct node;
struct func;
struct builder;

// Works out a node's type from its operands and attributes, or says in words why it
// cannot (the message names what was expected and what came). ins[i] is NULL for an
// absent operand.
struct rule_ctx {
    struct arena *arena;
    const struct type *const *ins;
    size_t nin;
    const struct value *attrs;
    uint32_t fresh_rowset; // for ops that make a new set of rows
    const char *error;     // set on failure, in the arena
    int error_operand;     // which operand is at fault, or -1
    int error_attr;        // which attribute is at fault, or -1
};
typedef bool (*type_rule)(struct rule_ctx *c, struct type *out);

struct op_info {
    const char *name;
    enum family family;
    struct operand_spec operands[OP_MAX_OPERANDS + 1];
    struct attr_spec attrs[OP_MAX_ATTRS + 1];
    type_rule rule; // NULL: the builder's caller gives the type
    enum locality locality;
    uint32_t flags;
    int version; // raised when the op's result changes; enters store keys
    const char *summary, *doc;
};

const struct op_info *op_info(enum op op);
// Finds an op by name in a family; OP_COUNT when there is none.
enum op op_find(enum family family, const char *name, size_t n);
int op_attr(enum op op, const char *name, size_t n); // -1: none
size_t op_operand_count(enum op op);
// Of the language, and giving no value; false for OP_COUNT.
static inline bool op_is_statement(enum op op) {
    return op != OP_COUNT && (op_info(op)->flags & OPF_STATEMENT);
}
size_t op_attr_count(enum op op);
// Whether its rows are some of its first operand's, as they are.
static inline bool op_picks(enum op op) {
    return op == OP_TOPK || op == OP_WHERE;
}

// ---- nodes and functions -------------------------------------------------------------
struct node {
    enum op op;
    struct type type;
    uint32_t nin;
    const nid *in;             // NID_NONE: absent optional operand
    const struct value *attrs; // by position in the op's table row
    struct span span;
    const char *name; // the user's or the model's name for it; not part of its identity
    // OP_CONST and OP_PARAM: dense elements of type; NULL in functions read back from a
    // dump that elided them. Identity is the digest. OP_ONNX, networks: the model.
    const void *data;
    struct digest digest;
    const struct model *model;
};

struct func {
    struct arena *arena;
    const char *name;
    VEC(struct node) nodes;
    VEC(nid) outs;
    VEC(const char *) out_names; // parallel to outs
    bool bf16;                   // products may be of bf16, where the target has them
    bool joint;                  // a call is a whole batch: batch_sum has its place here
    size_t batch;                // joint: rows of the largest
};

// A network: logits from normalised pixels, one row at a time.
struct model {
    const struct func *func; // OP_INPUT "x" f32[C,H,W] -> one output, f32[K]
    const char *path;        // as the program gave it, for messages
    double *mean, *std;      // one a channel; pixels are (x / 255 - mean) / std
    size_t channels, height, width, classes;
    bool bf16;            // layers may multiply bfloat16 numbers, where that is faster
    struct digest digest; // graph, weights, mean and std; never the path
    struct digest graph;  // of the ops and their attributes alone, without weights
    size_t nweights;      // constants and parameters, in an order given by the graph
    const struct model_weight {
        const char *name; // as the file calls it: for people
        struct digest digest;
    } * weights;
    // The same network for images of another size, or NULL with the reason in d (a
    // network that flattens its features takes one size only). The result lives in arena.
    const struct func *(*at_size)(const struct model *m, struct arena *arena, size_t h,
                                  size_t w, struct diags *d, struct span at);
    // What it computes of images of that size, which at_size takes: the graph may hold
    // what does nothing at its own.
    struct digest (*digest_at)(const struct model *m, struct arena *arena, size_t h,
                               size_t w);
    const void *source; // what these read; its owner's business
};

static inline const struct node *node_at(const struct func *f, nid n) {
    return &f->nodes.at[n];
}
static inline const struct type *type_at(const struct func *f, nid n) {
    return &f->nodes.at[n].type;
}
const struct value *node_attr(const struct node *n, const char *name); // CHECKs it exists
int64_t attr_int(const struct node *n, const char *name);
double attr_float(const struct node *n, const char *name);
const char *attr_str(const struct node *n, const char *name);
const int64_t *attr_ints(const struct node *n, const char *name, size_t *count);

// Is it the same for all rows, given before any call? Then it lies among the constants.
static inline bool op_is_constant(enum op op) {
    return op == OP_CONST || op == OP_PARAM || op == OP_SETTING;
}

// Can a kernel that reads it as its weights have it packed?
static inline bool op_is_weight(enum op op) {
    return op_is_constant(op) || op == OP_PACK;
}

// How many nodes and outputs use each node; array of f->nodes.n in arena.
uint32_t *func_uses(const struct func *f, struct arena *arena);
// Which nodes the outputs reach.
bool *func_reached(const struct func *f, struct arena *arena);
// The nodes that the first output needs, as a walk from it meets them, operands first and
// in their order: it follows from what is computed, not from the order of the nodes. How
// many; `order` has room for all nodes.
size_t func_walk(const struct func *f, struct arena *scratch, nid *order);

#endif
