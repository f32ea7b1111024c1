// Nodes and functions: reading attributes, who uses whom.
#include "ir/ir.h"

const struct value *node_attr(const struct node *n, const char *name) {
    int i = op_attr(n->op, name, strlen(name));
    if (i < 0) BUG("%s has no attribute %s", op_info(n->op)->name, name);
    return &n->attrs[i];
}

static const struct value *attr_of_kind(const struct node *n, const char *name,
                                        enum value_kind kind) {
    const struct value *v = node_attr(n, name);
    if (v->kind != kind)
        BUG("%s's attribute %s is of kind %d", op_info(n->op)->name, name, (int)v->kind);
    return v;
}

int64_t attr_int(const struct node *n, const char *name) {
    const struct value *v = node_attr(n, name);
    return v->kind == VAL_BOOL ? v->i : attr_of_kind(n, name, VAL_INT)->i;
}

double attr_float(const struct node *n, const char *name) {
    return attr_of_kind(n, name, VAL_FLOAT)->f;
}

const char *attr_str(const struct node *n, const char *name) {
    return attr_of_kind(n, name, VAL_STRING)->s;
}

const int64_t *attr_ints(const struct node *n, const char *name, size_t *count) {
    const struct value *v = attr_of_kind(n, name, VAL_INTS);
    if (count) *count = v->n;
    return v->is;
}

uint32_t *func_uses(const struct func *f, struct arena *arena) {
    uint32_t *uses = NEW_N(arena, uint32_t, f->nodes.n);
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct node *n = &f->nodes.at[i];
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] != NID_NONE) uses[n->in[k]]++;
    }
    for (size_t i = 0; i < f->outs.n; i++) uses[f->outs.at[i]]++;
    return uses;
}

bool *func_reached(const struct func *f, struct arena *arena) {
    bool *reached = NEW_N(arena, bool, f->nodes.n);
    for (size_t i = 0; i < f->outs.n; i++) reached[f->outs.at[i]] = true;
    // Operands come first, so one walk from the end sees every user before its operands.
    for (size_t i = f->nodes.n; i-- > 0;) {
        const struct node *n = &f->nodes.at[i];
        for (uint32_t k = 0; reached[i] && k < n->nin; k++)
            if (n->in[k] != NID_NONE) reached[n->in[k]] = true;
    }
    return reached;
}

// Pushes the operands not yet met, last one first, so that the first is walked first.
static size_t push_operands(const struct func *f, nid id, const bool *done, nid *stack,
                            size_t n) {
    const struct node *node = node_at(f, id);
    for (size_t i = node->nin; i-- > 0;)
        if (node->in[i] != NID_NONE && !done[node->in[i]]) stack[n++] = node->in[i];
    return n;
}

// A node may be pushed once by each of its uses.
static size_t stack_size(const struct func *f) {
    size_t n = 1;
    for (size_t i = 0; i < f->nodes.n; i++) n += f->nodes.at[i].nin;
    return n;
}

size_t func_walk(const struct func *f, struct arena *scratch, nid *order) {
    bool *done = NEW_N(scratch, bool, f->nodes.n);
    nid *stack = NEW_N(scratch, nid, stack_size(f));
    size_t n = 0, depth = 0;
    stack[depth++] = f->outs.at[0];
    while (depth > 0) {
        nid top = stack[depth - 1];
        size_t deeper = done[top] ? depth : push_operands(f, top, done, stack, depth);
        if (deeper > depth) {
            depth = deeper;
            continue;
        }
        depth--;
        if (done[top]) continue;
        done[top] = true;
        order[n++] = top;
    }
    return n;
}
