// A digest of what a function computes, the same however its file was written.
//
// Each node's digest is made of its op, attributes and type and of its operands' digests,
// walking from the output, so the order of nodes and all names drop out. Parameters of
// equal content are told apart by the order in which the walk meets them: two layers that
// share a weight have another gradient than two with a copy each.
#include "frontend/onnx.h"

struct hashing {
    const struct func *f;
    struct digest *done;
    bool *known;
    nid *params; // met so far
    size_t nparams;
};

static struct digest join_u64(struct digest d, uint64_t v) {
    return digest_join(d, digest_of(&v, sizeof v));
}

static struct digest join_text(struct digest d, const char *s) {
    return digest_join(d, digest_of(s, strlen(s)));
}

static struct digest join_value(struct digest d, const struct value *v) {
    d = join_u64(d, v->kind);
    switch (v->kind) {
    case VAL_NONE: return d;
    case VAL_INT:
    case VAL_BOOL: return join_u64(d, (uint64_t)v->i);
    case VAL_FLOAT: return digest_join(d, digest_of(&v->f, sizeof v->f));
    case VAL_STRING: return join_text(d, v->s);
    case VAL_INTS: return digest_join(d, digest_of(v->is, v->n * sizeof *v->is));
    case VAL_FLOATS: return digest_join(d, digest_of(v->fs, v->n * sizeof *v->fs));
    }
    BUG("unknown kind of value %d", (int)v->kind);
}

static struct digest join_type(struct digest d, const struct type *t) {
    d = join_text(d, elem_name(t->elem));
    d = join_u64(d, t->rows);
    d = join_u64(d, t->rank);
    return digest_join(d, digest_of(t->dim, t->rank * sizeof *t->dim));
}

// How many parameters of the same content the walk met before this one.
static uint64_t copies_before(struct hashing *h, nid n) {
    uint64_t copies = 0;
    for (size_t i = 0; i < h->nparams; i++)
        copies +=
            digest_eq(node_at(h->f, h->params[i])->digest, node_at(h->f, n)->digest);
    h->params[h->nparams++] = n;
    return copies;
}

static struct digest node_digest(struct hashing *h, nid id) {
    const struct node *n = node_at(h->f, id);
    const struct op_info *info = op_info(n->op);
    struct digest d =
        join_u64(digest_of(info->name, strlen(info->name)), (uint64_t)info->version);
    d = join_type(d, &n->type);
    if (n->op == OP_INPUT) return d;
    if (n->op == OP_CONST) return digest_join(d, n->digest);
    if (n->op == OP_PARAM)
        return join_u64(digest_join(d, n->digest), copies_before(h, id));
    for (size_t i = 0; i < op_attr_count(n->op); i++) d = join_value(d, &n->attrs[i]);
    for (size_t i = 0; i < n->nin; i++)
        d = n->in[i] == NID_NONE ? join_u64(d, 0) : digest_join(d, h->done[n->in[i]]);
    return d;
}

// Pushes the operands not yet known, last one first, so that the first is walked first.
static size_t push_operands(const struct hashing *h, nid id, nid *stack, size_t n) {
    const struct node *node = node_at(h->f, id);
    for (size_t i = node->nin; i-- > 0;)
        if (node->in[i] != NID_NONE && !h->known[node->in[i]]) stack[n++] = node->in[i];
    return n;
}

// A node may be pushed once by each of its uses.
static size_t stack_size(const struct func *f) {
    size_t n = 1;
    for (size_t i = 0; i < f->nodes.n; i++) n += f->nodes.at[i].nin;
    return n;
}

struct digest onnx_digest(const struct func *f, struct arena *scratch) {
    struct hashing h = {
        .f = f,
        .done = NEW_N(scratch, struct digest, f->nodes.n),
        .known = NEW_N(scratch, bool, f->nodes.n),
        .params = NEW_N(scratch, nid, f->nodes.n),
    };
    CHECK(f->outs.n == 1);
    nid *stack = NEW_N(scratch, nid, stack_size(f));
    size_t n = 0;
    stack[n++] = f->outs.at[0];
    while (n > 0) {
        nid top = stack[n - 1];
        size_t pushed = h.known[top] ? n : push_operands(&h, top, stack, n);
        if (pushed > n) {
            n = pushed;
            continue;
        }
        n--;
        if (h.known[top]) continue;
        h.done[top] = node_digest(&h, top);
        h.known[top] = true;
    }
    return h.done[f->outs.at[0]];
}
