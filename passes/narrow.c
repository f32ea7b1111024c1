// Joining many arrays: a concat of more operands than a kernel takes becomes a tree.
#include "passes/rewrite.h"

#define NARROW_MOST ((size_t)8) // operands

static nid join(struct rewrite *r, const nid *parts, size_t n, const struct value *axis) {
    if (n == 1) return parts[0];
    nid some[NARROW_MOST];
    size_t each = (n + NARROW_MOST - 1) / NARROW_MOST, count = 0;
    for (size_t i = 0; i < n; i += each)
        some[count++] = join(r, parts + i, size_min(each, n - i), axis);
    return build_node(&r->b, OP_CONCAT, some, count, axis, NULL);
}

static nid narrow_rule(struct rewrite *r, nid v, const nid *in) {
    const struct node *n = node_at(r->old, v);
    if (n->op != OP_CONCAT || n->nin <= NARROW_MOST) return NID_NONE;
    return join(r, in, n->nin, n->attrs);
}

// Needs: nothing. Keeps every value; no node has more than NARROW_MOST operands after it.
bool pass_narrow(struct module *m, struct module_func *f, struct diags *d) {
    return rewrite_func(m, f, d, narrow_rule, NULL);
}
