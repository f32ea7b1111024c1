// The reference evaluator: joint functions, which are called with a whole batch.
//
// What one row's batch_sum needs of another row is there because every value is computed
// for all rows before the next one: memory for all of them at once, which tests can
// afford.
#include "ir/eval_core.h"

struct batch {
    const struct func *f;
    const struct eval_hooks *hooks;
    size_t n;                  // rows
    const void **value;        // by node; row after row, if it is one a row
    const struct type **types; // room for the operands of one node
    const void **in;
};

static bool is_given(enum op op) {
    return op == OP_INPUT || op == OP_CONST || op == OP_PARAM;
}

static void batch_free(struct batch *b) {
    for (size_t i = 0; b->value && i < b->f->nodes.n; i++)
        if (!is_given(node_at(b->f, (nid)i)->op)) mem_free((void *)b->value[i]);
    mem_free(b->value);
    mem_free(b->types);
    mem_free(b->in);
}

static bool batch_init(struct batch *b) {
    size_t operands = 1;
    for (size_t i = 0; i < b->f->nodes.n; i++)
        operands = size_max(operands, b->f->nodes.at[i].nin);
    b->value = mem_zalloc(b->f->nodes.n + 1, sizeof *b->value);
    b->types = mem_zalloc(operands, sizeof *b->types);
    b->in = mem_zalloc(operands, sizeof *b->in);
    return b->value && b->types && b->in;
}

static const void *of_row(const struct type *t, const void *value, size_t row) {
    return (const char *)value + (t->rows ? row * type_bytes(t) : 0);
}

static bool eval_row(struct batch *b, const struct node *n, void *out, size_t row) {
    for (uint32_t k = 0; k < n->nin; k++) {
        bool absent = n->in[k] == NID_NONE;
        const struct type *t = absent ? NULL : type_at(b->f, n->in[k]);
        b->types[k] = t;
        b->in[k] = absent ? NULL : of_row(t, b->value[n->in[k]], row);
    }
    return eval_node(n, b->types, b->in, n->nin, out, b->hooks);
}

static void eval_batch_sum(const struct batch *b, const struct node *n, float *out) {
    const struct type *t = type_at(b->f, n->in[0]);
    size_t count = type_count(t);
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t r = 0; r < b->n; r++)
            sum += (double)((const float *)of_row(t, b->value[n->in[0]], r))[i];
        out[i] = (float)sum;
    }
}

static bool eval_value(struct batch *b, nid id) {
    const struct node *n = node_at(b->f, id);
    size_t rows = n->type.rows ? b->n : 1, bytes = type_bytes(&n->type), all;
    if (!size_mul(rows, bytes, &all) || all == SIZE_MAX) return false;
    char *out = mem_alloc(all + 1);
    b->value[id] = out;
    if (!out) return false;
    if (n->op == OP_BATCH_SUM) {
        eval_batch_sum(b, n, (float *)(void *)out);
        return true;
    }
    for (size_t r = 0; r < rows; r++)
        if (!eval_row(b, n, out + r * bytes, r)) return false;
    return true;
}

static bool eval_all(struct batch *b, const void *const *args) {
    size_t next_arg = 0;
    for (size_t i = 0; i < b->f->nodes.n; i++) {
        const struct node *n = node_at(b->f, (nid)i);
        if (n->op == OP_INPUT) b->value[i] = args[next_arg++];
        else if (is_given(n->op)) b->value[i] = n->data;
        else if (!eval_value(b, (nid)i)) return false;
        if (!b->value[i] && type_count(&n->type)) return false;
    }
    return true;
}

bool eval_joint(const struct func *f, size_t n, const void *const *args,
                void *const *outs, const struct eval_hooks *hooks) {
    struct batch b = {.f = f, .hooks = hooks, .n = n};
    bool ok = batch_init(&b) && eval_all(&b, args);
    for (size_t i = 0; ok && i < f->outs.n; i++) {
        const struct type *t = type_at(f, f->outs.at[i]);
        size_t bytes = type_bytes(t) * (t->rows ? n : 1);
        if (bytes) memcpy(outs[i], b.value[f->outs.at[i]], bytes);
    }
    batch_free(&b);
    return ok;
}
