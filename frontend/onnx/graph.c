// The graph of an ONNX file as a whole: which name means what, which nodes the output
// needs and in which order.
//
// The order is that of a walk from the output, operands first. It depends on the graph
// only and not on the order of nodes in the file, so a network means the same function,
// and has the same digest, after any tool has written it again. Nodes that the output
// does not need are not looked at.
#include "frontend/onnx/onnx.h"

const char *onnx_node_name(const Onnx__NodeProto *n) {
    if (n->name && *n->name) return n->name;
    return n->n_output ? n->output[0] : "";
}

// ---- names ---------------------------------------------------------------------------
static int compare_names(const void *a, const void *b) {
    const struct onnx_name *x = a, *y = b;
    int by_name = strcmp(x->name, y->name);
    if (by_name) return by_name;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int compare_name_to(const void *key, const void *entry) {
    return strcmp(key, ((const struct onnx_name *)entry)->name);
}

const struct onnx_name *onnx_find(const struct onnx_file *f, const char *name) {
    if (f->names.n == 0) return NULL;
    return bsearch(name, f->names.at, f->names.n, sizeof *f->names.at, compare_name_to);
}

static void add_name(struct onnx_file *f, struct arena *arena, const char *name,
                     enum onnx_from from, size_t index, size_t output) {
    if (!name || !*name) return; // an output that is left out
    VEC_PUSH(arena, &f->names, (struct onnx_name){name, from, index, output});
}

static void collect_names(struct onnx_file *f, struct arena *arena) {
    const Onnx__GraphProto *g = f->graph;
    for (size_t i = 0; i < g->n_initializer; i++)
        add_name(f, arena, g->initializer[i]->name, FROM_TENSOR, i, 0);
    for (size_t i = 0; i < g->n_input; i++)
        add_name(f, arena, g->input[i]->name, FROM_INPUT, i, 0);
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t j = 0; j < g->node[i]->n_output; j++)
            add_name(f, arena, g->node[i]->output[j], FROM_NODE, i, j);
}

static bool sort_names(struct onnx_file *f, const struct onnx_log *log) {
    if (f->names.n == 0) return onnx_fail(log, "its graph is empty");
    qsort(f->names.at, f->names.n, sizeof *f->names.at, compare_names);
    size_t kept = 1;
    for (size_t i = 1; i < f->names.n; i++) {
        const struct onnx_name *n = &f->names.at[i], *last = &f->names.at[kept - 1];
        bool same = strcmp(n->name, last->name) == 0;
        // Older exporters list every stored tensor among the inputs too.
        if (same && last->from == FROM_TENSOR && n->from == FROM_INPUT) continue;
        if (same)
            return onnx_fail(log, "two values have the name `%s`",
                             onnx_text(log, n->name));
        f->names.at[kept++] = *n;
    }
    f->names.n = kept;
    return true;
}

// ---- the one input and the one output ------------------------------------------------
static bool find_input(struct onnx_file *f, struct arena *arena,
                       const struct onnx_log *log) {
    struct text found = {.arena = arena};
    size_t n = 0;
    for (size_t i = 0; i < f->graph->n_input; i++) {
        const char *name = f->graph->input[i]->name;
        const struct onnx_name *known = name ? onnx_find(f, name) : NULL;
        if (!known || known->from != FROM_INPUT) continue;
        f->input = name;
        if (n++ < 8)
            text_add(&found, "%s`%s`", n > 1 ? ", " : "", onnx_text(log, f->input));
    }
    if (n == 1) return true;
    if (n == 0) return onnx_fail(log, "it has no input");
    onnx_fail(log, "it has %zu inputs (%s); ddg takes networks with one, the image", n,
              found.at);
    return diag_help(log->d, "export a module around it whose forward takes the image "
                             "and fills in the rest");
}

static bool find_output(struct onnx_file *f, const struct onnx_log *log) {
    const Onnx__GraphProto *g = f->graph;
    if (g->n_output == 0) return onnx_fail(log, "it has no output");
    f->output = g->output[0]->name ? g->output[0]->name : "";
    if (!onnx_find(f, f->output))
        return onnx_fail(log, "nothing in it makes its output `%s`",
                         onnx_text(log, f->output));
    if (g->n_output > 1)
        diag_warning(log->d, log->at, "%s has %zu outputs; the first, `%s`, is used",
                     log->where, g->n_output, onnx_text(log, f->output));
    return true;
}

// ---- order ---------------------------------------------------------------------------
enum visit { UNSEEN, OPEN, DONE };

struct visiting { // a node whose operands are being visited
    size_t node, next;
};

struct order {
    struct onnx_file *f;
    struct arena *arena;
    const struct onnx_log *log;
    enum visit *state;
    struct visiting *stack; // every node at most once
    size_t depth;
};

static bool is_sparse(const Onnx__GraphProto *g, const char *name) {
    for (size_t i = 0; i < g->n_sparse_initializer; i++) {
        const Onnx__TensorProto *t = g->sparse_initializer[i]->values;
        if (t && t->name && strcmp(t->name, name) == 0) return true;
    }
    return false;
}

static bool no_value(const struct order *o, const char *name,
                     const Onnx__NodeProto *user) {
    return onnx_fail(o->log, "%s `%s` reads `%s`, which %s",
                     onnx_text(o->log, user->op_type),
                     onnx_text(o->log, onnx_node_name(user)), onnx_text(o->log, name),
                     is_sparse(o->f->graph, name)
                         ? "is stored as a sparse tensor; ddg reads dense ones"
                         : "nothing in the file makes");
}

static bool visit_value(struct order *o, const char *name, const Onnx__NodeProto *user) {
    if (!*name) return true; // an optional input that is left out
    const struct onnx_name *n = onnx_find(o->f, name);
    if (!n) return no_value(o, name, user);
    if (n->from == FROM_TENSOR) o->f->needed[n->index] = true;
    if (n->from != FROM_NODE || o->state[n->index] == DONE) return true;
    const Onnx__NodeProto *node = o->f->graph->node[n->index];
    if (o->state[n->index] == OPEN)
        return onnx_fail(o->log, "its graph has a cycle: %s `%s` needs its own result",
                         onnx_text(o->log, node->op_type),
                         onnx_text(o->log, onnx_node_name(node)));
    o->state[n->index] = OPEN;
    o->stack[o->depth++] = (struct visiting){n->index, 0};
    return true;
}

static bool visit_next(struct order *o) {
    struct visiting *top = &o->stack[o->depth - 1];
    const Onnx__NodeProto *node = o->f->graph->node[top->node];
    if (top->next < node->n_input) return visit_value(o, node->input[top->next++], node);
    o->state[top->node] = DONE;
    VEC_PUSH(o->arena, &o->f->order, top->node);
    o->depth--;
    return true;
}

static bool order_nodes(struct onnx_file *f, struct arena *arena,
                        const struct onnx_log *log) {
    struct order o = {.f = f, .arena = arena, .log = log};
    o.state = NEW_N(arena, enum visit, f->graph->n_node);
    o.stack = NEW_N(arena, struct visiting, f->graph->n_node);
    f->needed = NEW_N(arena, bool, f->graph->n_initializer);
    Onnx__NodeProto output = ONNX__NODE_PROTO__INIT; // the walk's start, as a user
    if (!visit_value(&o, f->output, &output)) return false;
    while (o.depth > 0)
        if (!visit_next(&o)) return false;
    return true;
}

bool onnx_graph_read(struct onnx_file *f, struct arena *arena,
                     const struct onnx_log *log) {
    collect_names(f, arena);
    if (!sort_names(f, log) || !find_input(f, arena, log) || !find_output(f, log))
        return false;
    if (!order_nodes(f, arena, log) || !onnx_check_ops(f, arena, log)) return false;
    onnx_layers(f, arena);
    return true;
}
