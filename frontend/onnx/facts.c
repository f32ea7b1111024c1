// What an ONNX file says of itself: see model_facts.h.
//
// It is read as for any model (onnx_read), and whatever is known when that ends is looked
// at: the graph without an order of its nodes when it has none that ddg takes, and its
// stored tensors without knowing what they are for.
#include "frontend/model_facts.h"

#include "frontend/onnx/onnx.h"

struct looking {
    struct arena *arena;
    const struct onnx_log *log;
    const struct onnx_file *f;
    const char **stored; // names of the stored tensors, sorted
    struct model_facts *out;
};

const char *model_part_name(enum model_part p) {
    static const char *const names[MODEL_PARTS] = {
        [PART_CONV] = "convolutions",   [PART_LINEAR] = "linear layers",
        [PART_NORM] = "norms",          [PART_STATISTICS] = "running statistics",
        [PART_CONST] = "other tensors",
    };
    return names[p];
}

// ---- the nodes -----------------------------------------------------------------------
// Those that the output needs; all of them when that is not known.
static size_t node_count(const struct looking *k) {
    return k->f->order.n ? k->f->order.n : k->f->graph->n_node;
}

static const Onnx__NodeProto *node_nth(const struct looking *k, size_t i) {
    return k->f->graph->node[k->f->order.n ? k->f->order.at[i] : i];
}

static const char *op_type(const Onnx__NodeProto *n) {
    return n->op_type ? n->op_type : "";
}

static bool is(const Onnx__NodeProto *n, const char *op) {
    return strcmp(op_type(n), op) == 0;
}

// The node that computes a value, NULL when none does.
static const Onnx__NodeProto *maker(const struct looking *k, const char *name) {
    const struct onnx_name *n = onnx_find(k->f, name);
    return n && n->from == FROM_NODE ? k->f->graph->node[n->index] : NULL;
}

static const Onnx__NodeProto *maker_of_input(const struct looking *k,
                                             const Onnx__NodeProto *n, size_t i) {
    return n && i < n->n_input ? maker(k, n->input[i]) : NULL;
}

// ---- inputs and outputs --------------------------------------------------------------
static struct model_dim dim_of(const struct looking *k,
                               const Onnx__TensorShapeProto__Dimension *d) {
    if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE)
        return (struct model_dim){.n = d->dim_value};
    bool named = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    return (struct model_dim){.name = named ? onnx_text(k->log, d->dim_param) : ""};
}

static struct model_port port_of(const struct looking *k, const Onnx__ValueInfoProto *v) {
    struct model_port p = {.name = onnx_text(k->log, v->name), .type = "no tensor"};
    if (!v->type || v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) return p;
    const Onnx__TypeProto__Tensor *t = v->type->tensor_type;
    p.type = onnx_elem_name(t->elem_type);
    if (!t->shape) return p;
    struct model_dim *dim = NEW_N(k->arena, struct model_dim, t->shape->n_dim);
    for (size_t i = 0; i < t->shape->n_dim; i++) dim[i] = dim_of(k, t->shape->dim[i]);
    p.shaped = true;
    p.rank = t->shape->n_dim;
    p.dim = dim;
    return p;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The file's own index of names is not there yet when its opset is not one that ddg
// reads.
static void list_stored(struct looking *k) {
    const Onnx__GraphProto *g = k->f->graph;
    k->stored = NEW_N(k->arena, const char *, g->n_initializer);
    for (size_t i = 0; i < g->n_initializer; i++)
        k->stored[i] = g->initializer[i]->name ? g->initializer[i]->name : "";
    if (g->n_initializer) qsort(k->stored, g->n_initializer, sizeof *k->stored, by_text);
}

static bool is_stored(const struct looking *k, const char *name) {
    size_t n = k->f->graph->n_initializer;
    return n && name && bsearch(&name, k->stored, n, sizeof *k->stored, by_text);
}

// Older exporters list stored tensors among the inputs too.

static void look_at_ports(struct looking *k) {
    const Onnx__GraphProto *g = k->f->graph;
    struct model_port *in = NEW_N(k->arena, struct model_port, g->n_input);
    struct model_port *out = NEW_N(k->arena, struct model_port, g->n_output);
    for (size_t i = 0; i < g->n_input; i++)
        if (!is_stored(k, g->input[i]->name))
            in[k->out->ninputs++] = port_of(k, g->input[i]);
    for (size_t i = 0; i < g->n_output; i++) out[i] = port_of(k, g->output[i]);
    k->out->inputs = in;
    k->out->outputs = out;
    k->out->noutputs = g->n_output;
}

// ---- ops -----------------------------------------------------------------------------
static int by_name(const void *a, const void *b) {
    const struct model_op *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int by_nodes(const void *a, const void *b) {
    const struct model_op *x = a, *y = b;
    if (x->nodes != y->nodes) return x->nodes > y->nodes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static void look_at_ops(struct looking *k) {
    size_t n = node_count(k), kept = 0;
    struct model_op *ops = NEW_N(k->arena, struct model_op, n);
    for (size_t i = 0; i < n; i++) {
        const Onnx__NodeProto *node = node_nth(k, i);
        ops[i] = (struct model_op){onnx_op_text(k->log, node), 1, onnx_node_known(node)};
    }
    if (n) qsort(ops, n, sizeof *ops, by_name);
    for (size_t i = 0; i < n; i++) {
        if (kept && strcmp(ops[kept - 1].name, ops[i].name) == 0) ops[kept - 1].nodes++;
        else ops[kept++] = ops[i];
    }
    if (kept) qsort(ops, kept, sizeof *ops, by_nodes);
    k->out->ops = ops;
    k->out->nops = kept;
    k->out->nodes = n;
}

// ---- norms and folding ---------------------------------------------------------------
static bool is_norm(const Onnx__NodeProto *n) {
    const char *op = op_type(n), *end = "Normalization";
    size_t have = strlen(op), want = strlen(end);
    return have > want && strcmp(op + have - want, end) == 0;
}

// sqrt(mean(...) + epsilon)
static bool is_written_norm(const struct looking *k, const Onnx__NodeProto *n) {
    if (!is(n, "Sqrt")) return false;
    const Onnx__NodeProto *add = maker_of_input(k, n, 0);
    const Onnx__NodeProto *mean =
        add && is(add, "Add") ? maker_of_input(k, add, 0) : NULL;
    return mean && is(mean, "ReduceMean");
}

// Tensors keep the names that the network gives them, "layer1.0.conv1.weight"; those that
// an exporter computes get its own: "onnx::Conv_193", or a number alone.
static bool exporter_named(const struct looking *k, const Onnx__NodeProto *n, size_t i) {
    if (i >= n->n_input || !is_stored(k, n->input[i])) return false;
    const char *name = n->input[i];
    return strncmp(name, "onnx::", 6) == 0 || name[strspn(name, "0123456789")] == 0;
}

static void look_at_conv(struct looking *k, const Onnx__NodeProto *n) {
    k->out->convs++;
    if (n->n_input < 3 || !*n->input[2]) return;
    k->out->convs_biased++;
    k->out->convs_folded += exporter_named(k, n, 1) && exporter_named(k, n, 2);
}

static void look_at_layers(struct looking *k) {
    for (size_t i = 0; i < node_count(k); i++) {
        const Onnx__NodeProto *n = node_nth(k, i);
        if (is(n, "Conv")) look_at_conv(k, n);
        else if (is(n, "BatchNormalization")) k->out->batch_norms++;
        else if (is_norm(n)) k->out->other_norms++;
        else if (is_written_norm(k, n)) k->out->written_norms++;
    }
    const Onnx__NodeProto *last = k->f->output ? maker(k, k->f->output) : NULL;
    k->out->softmax = last && is(last, "Softmax");
}

// ---- stored tensors ------------------------------------------------------------------
// Bounded, whatever the file says.
static size_t element_count(const Onnx__TensorProto *t) {
    size_t n = 1;
    for (size_t i = 0; i < t->n_dims; i++)
        if (t->dims[i] < 0 || !size_mul(n, (size_t)t->dims[i], &n) || n > TYPE_MAX_COUNT)
            return 0;
    return n;
}

static void add_tensor(struct model_sum *s, const Onnx__TensorProto *t) {
    size_t n = element_count(t);
    s->tensors++;
    s->elements += n;
    s->bytes += n * onnx_elem_bytes(t->data_type);
}

static void add_type(struct looking *k, const Onnx__TensorProto *t) {
    const char *type = onnx_elem_name(t->data_type);
    if (!k->out->stored) k->out->stored = type;
    else if (strcmp(k->out->stored, type) != 0) k->out->stored = "mixed";
}

static void look_at_tensors(struct looking *k) {
    const struct onnx_file *f = k->f;
    k->out->layered = f->roles != NULL;
    for (size_t i = 0; i < f->graph->n_initializer; i++) {
        const Onnx__TensorProto *t = f->graph->initializer[i];
        struct onnx_role r = f->roles ? f->roles[i] : (struct onnx_role){PART_CONST, 0};
        if (f->needed && f->order.n && !f->needed[i]) continue;
        if (PART_TRAINABLE(r.part)) add_type(k, t);
        if (PART_TRAINABLE(r.part) && r.layers > 1) k->out->shared++;
        add_tensor(&k->out->parts[r.part], t);
    }
}

// ---- the whole -----------------------------------------------------------------------
static void look(struct looking *k) {
    const Onnx__ModelProto *m = k->f->msg;
    k->out->bytes = k->f->bytes;
    k->out->producer = k->out->version = "";
    if (!m) return;
    k->out->parsed = true;
    if (m->producer_name && *m->producer_name)
        k->out->producer = onnx_text(k->log, m->producer_name);
    if (m->producer_version && *m->producer_version)
        k->out->version = onnx_text(k->log, m->producer_version);
    k->out->ir = m->ir_version;
    k->out->opset = k->f->opset;
    if (!k->f->graph) return;
    list_stored(k);
    look_at_ports(k);
    look_at_ops(k);
    look_at_layers(k);
    look_at_tensors(k);
}

void model_facts_read(struct arena *arena, const char *path, struct model_facts *out,
                      struct diags *d) {
    struct onnx_log log = {.d = d, .at = NO_SPAN};
    struct onnx_file *f = NEW(arena, struct onnx_file);
    f->path = arena_strdup(arena, path);
    log.where = onnx_text(&log, path);
    *out = (struct model_facts){0};
    bool ok = onnx_read(f, arena, &log);
    struct looking k = {.arena = arena, .log = &log, .f = f, .out = out};
    look(&k);
    const struct model_options o = {.path = path, .plain = true};
    if (ok) out->model = onnx_model(f, arena, &o, &log);
}
