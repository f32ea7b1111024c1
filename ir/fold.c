// Constant folding, with the reference evaluator: the meaning of an op is written once.
// What is folded is bounded, for constants may come from a file made to be slow: a result
// must not be much larger than its operands, and all folding together has a budget.
#include "ir/build_core.h"
#include "ir/eval.h"

#define FOLD_MAX_BYTES                                                                   \
    ((size_t)64 << 10)    // larger results must not outgrow their operands
#define FOLD_MAX_GROWTH 4 // by more than this
#define FOLD_MAX_WORK   ((size_t)1 << 24) // turns of one node's inner loop
#define FOLD_BUDGET     ((size_t)2 << 30) // bytes and turns, of all nodes of a builder

static bool operands_constant(const struct builder *b, const struct node *n) {
    for (uint32_t i = 0; i < n->nin; i++) {
        const struct node *x = n->in[i] == NID_NONE ? NULL : node_at(b->f, n->in[i]);
        if (!x || x->op != OP_CONST || !x->data) return false;
    }
    return n->nin > 0;
}

// A bound on the inner loop's turns that needs no formula of each op: no op here visits a
// pair of elements (of two operands, or of operand and result) more than once.
static size_t work_of(const struct builder *b, const struct node *n) {
    size_t largest = type_count(&n->type), second = 1, work;
    bool one_pass = n->op == OP_SUM || n->op == OP_AMAX || n->op == OP_ARGMAX;
    if (one_pass || !(op_info(n->op)->flags & (OPF_ANCHOR | OPF_REDUCE))) return 0;
    for (uint32_t i = 0; i < n->nin; i++) {
        size_t count = type_count(type_at(b->f, n->in[i]));
        second = size_max(second, size_min(count, largest));
        largest = size_max(largest, count);
    }
    return size_mul(largest, second, &work) ? work : SIZE_MAX;
}

// Takes what the node costs from the budget; false: it is not to be folded.
static bool afford(struct builder *b, const struct node *n) {
    size_t from = 0, to = type_bytes(&n->type), work = work_of(b, n);
    for (uint32_t i = 0; i < n->nin; i++) from += type_bytes(type_at(b->f, n->in[i]));
    if ((to > FOLD_MAX_BYTES && to / FOLD_MAX_GROWTH > from) || work > FOLD_MAX_WORK)
        return false;
    size_t cost = from + to + work;
    if (cost > FOLD_BUDGET - b->fold_spent) return false;
    b->fold_spent += cost;
    return true;
}

nid build_fold(struct builder *b, const struct node *n) {
    // No function, or one of rows that are not known here.
    if (op_info(n->op)->flags & (OPF_MARK | OPF_RUNTIME | OPF_BATCH)) return NID_NONE;
    if (!operands_constant(b, n) || !afford(b, n)) return NID_NONE; // so: no rows
    const struct type **types = NEW_N(b->arena, const struct type *, n->nin);
    const void **in = NEW_N(b->arena, const void *, n->nin);
    for (uint32_t i = 0; i < n->nin; i++) {
        types[i] = type_at(b->f, n->in[i]);
        in[i] = node_at(b->f, n->in[i])->data;
    }
    void *out = arena_alloc(b->arena, type_bytes(&n->type), 1);
    if (!eval_node(n, types, in, n->nin, out, NULL)) scope_no_memory();
    struct node c = {.op = OP_CONST, .type = n->type, .data = out};
    c.digest = data_digest(&c.type, out);
    return build_intern(b, &c);
}
