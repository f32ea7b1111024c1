// How a kernel reads a node: from memory, as a number in the code, or by computing it.
#include "codegen/emit.h"

size_t kernel_buffer(const struct kernel *k, nid n) {
    for (size_t i = 0; i < k->nins; i++)
        if (k->ins[i] == n) return k->nouts + i;
    return NO_BUFFER;
}

bool reads_embedded(const struct func *f, const struct kernel *k, nid n) {
    const struct node *node = node_at(f, n);
    if ((node->op != OP_CONST && node->op != OP_PARAM) || !node->data) return false;
    if (node->type.rank == 0) return true;
    return type_count(&node->type) == 1 && kernel_buffer(k, n) == NO_BUFFER;
}

bool reads_loaded(const struct func *f, const struct kernel *k, nid n) {
    return kernel_buffer(k, n) != NO_BUFFER && !reads_embedded(f, k, n);
}

static bool search(const struct func *f, const struct kernel *k, nid n, nid on,
                   bool *seen) {
    if (n == on) return true;
    if (seen[n] || reads_loaded(f, k, n)) return false;
    seen[n] = true;
    const struct node *node = node_at(f, n);
    for (uint32_t i = 0; i < node->nin; i++)
        if (node->in[i] != NID_NONE && search(f, k, node->in[i], on, seen)) return true;
    return false;
}

bool depends_on(const struct emit *e, nid n, nid on) {
    if (on == NID_NONE) return false;
    bool *seen = NEW_N(e->arena, bool, e->f->nodes.n);
    return search(e->f, e->k, n, on, seen);
}
