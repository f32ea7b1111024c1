// See manifest.h.
#include "cli/manifest.h"

#include "passes/late.h"
#include "runtime/json.h"
#include "runtime/result.h"

struct manifest {
    struct arena *arena;
    const struct program *program;
    bool bf16; // the target has it
    struct plan *plan;
    VEC(struct result_field) fields;
    bool *target; // by param: where the result is put follows from it
};

static bool is_taken(const struct manifest *m, const char *group, const char *name) {
    for (size_t i = 0; i < m->fields.n; i++)
        if (!strcmp(m->fields.at[i].group, group) && !strcmp(m->fields.at[i].name, name))
            return true;
    return false;
}

// Values without a name are called by their ops: readers of JSON keep one of a name, so
// the second is "mlp 2".
static const char *own_name(const struct manifest *m, const char *group,
                            const char *name) {
    const char *own = name;
    for (size_t n = 2; is_taken(m, group, own); n++)
        own = arena_printf(m->arena, "%s %zu", name, n);
    return own;
}

// A value that can be set after compiling is shown as it was set.
static void add_value(struct manifest *m, const char *group, const char *name,
                      const struct value *v) {
    name = own_name(m, group, name);
    if (value_is_late(v))
        plan_use_late(m->arena, m->plan, USE_FIELD, (uint32_t)m->fields.n, 0, 0,
                      plan_late_of(m->arena, m->plan, v, NULL));
    VEC_PUSH(m->arena, &m->fields,
             (struct result_field){group, name, value_json(m->arena, v)});
}

static void add_text(struct manifest *m, const char *group, const char *name,
                     const char *json) {
    name = own_name(m, group, name);
    VEC_PUSH(m->arena, &m->fields, (struct result_field){group, name, json});
}

// ---- params --------------------------------------------------------------------------
static void is_target(void *ctx, uint32_t param) {
    bool *target = ctx;
    target[param] = true;
}

// Where the result was put is not part of what it is.
static void find_targets(struct manifest *m) {
    const struct func *graph = m->program->graph;
    m->target = NEW_N(m->arena, bool, m->program->params.n);
    for (size_t i = 0; i < graph->outs.n; i++) {
        const struct node *n = node_at(graph, graph->outs.at[i]);
        if (n->op != OP_SAVE) continue;
        const struct value *to = node_attr(n, "to");
        if (to->of) formula_params(to->of, is_target, m->target);
    }
}

static void add_params(struct manifest *m) {
    find_targets(m);
    for (size_t i = 0; i < m->program->params.n; i++) {
        const struct param *p = &m->program->params.at[i];
        if (!m->target[i]) add_value(m, "params", p->name, &p->value);
    }
}

// ---- ops -----------------------------------------------------------------------------
// A path says where things lay on one machine; the result should be the same on another.
static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void add_model(struct manifest *m, const char *name, const struct model *model) {
    char hex[DIGEST_HEX];
    digest_hex(model->digest, hex);
    const char *precision = m->bf16 && model->bf16 ? ", \"precision\": \"bf16\"" : "";
    add_text(m, "models", name,
             arena_printf(m->arena, "{\"file\": %s, \"digest\": \"%s\"%s}",
                          json_string(m->arena, file_name(model->path)), hex, precision));
}

// By its content alone: what it was trained on stands in the program.
static void add_trained(struct manifest *m, const struct act_training *t) {
    for (size_t i = 0; i < t->nstages; i++) {
        char hex[DIGEST_HEX];
        digest_hex(t->stages[i].model->digest, hex);
        add_text(m, "models", t->stages[i].model->path,
                 arena_printf(m->arena, "{\"epochs\": %zu, \"digest\": \"%s\"}",
                              t->stages[i].epoch, hex));
    }
}

static void add_node(struct manifest *m, const struct node *n) {
    const char *name = n->name ? n->name : op_info(n->op)->name;
    int seed = op_attr(n->op, "seed", 4);
    if (seed >= 0 && n->attrs[seed].kind == VAL_INT)
        add_value(m, "seeds", name, &n->attrs[seed]);
    if (n->op == OP_IMAGES) // boxes count in pixels of the images as they were read
        add_text(
            m, "readers", name,
            arena_printf(m->arena, "{\"size\": %lld}", (long long)attr_int(n, "size")));
    if (n->op == OP_ONNX) add_model(m, name, n->model);
}

void manifest_fields(struct arena *arena, const struct program *program,
                     const struct acts *acts, bool bf16, struct plan *plan) {
    struct manifest m = {.arena = arena, .program = program, .bf16 = bf16, .plan = plan};
    add_params(&m);
    for (nid v = 0; v < program->graph->nodes.n; v++)
        add_node(&m, node_at(program->graph, v));
    for (nid v = 0; acts->known && v < program->graph->nodes.n; v++)
        add_trained(&m, &acts->known[v]);
    plan->fields = m.fields.at;
    plan->nfields = m.fields.n;
}
