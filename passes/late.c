// See late.h.
#include "passes/late.h"

static const struct attr_spec *spec_of(const struct node *n, const char *attr) {
    int i = op_attr(n->op, attr, strlen(attr));
    CHECK(i >= 0 && op_info(n->op)->attrs[i].late);
    return &op_info(n->op)->attrs[i];
}

static uint32_t late_of(struct module *m, const struct node *n, const char *attr) {
    const struct attr_spec *spec = spec_of(n, attr);
    struct plan_late at = {.op = op_info(n->op)->name,
                           .attr = spec->name,
                           .span = n->span,
                           .kind = spec->kind,
                           .min = spec->min,
                           .max = spec->max,
                           .path = spec->path};
    return plan_late_of(m->arena, m->plan, node_attr(n, attr), &at);
}

void late_attr(struct module *m, const struct node *n, const char *attr) {
    if (value_is_late(node_attr(n, attr))) late_of(m, n, attr);
}

void late_use(struct module *m, const struct node *n, const char *attr,
              enum use_place place, uint32_t a, uint32_t b) {
    if (value_is_late(node_attr(n, attr)))
        plan_use_late(m->arena, m->plan, place, a, b, 0, late_of(m, n, attr));
}

// ---- what cannot ---------------------------------------------------------------------
struct fixing {
    const char **why;
    const char *reason;
};

static void fix(void *ctx, uint32_t param) {
    struct fixing *f = ctx;
    if (!f->why[param]) f->why[param] = f->reason;
}

// What trainings are made of: they are done before anything can be set. And where
// networks go, which are written by the compiler.
static bool *settled(struct arena *arena, const struct func *graph) {
    bool *all = NEW_N(arena, bool, graph->nodes.n);
    for (nid v = (nid)graph->nodes.n; v-- > 0;) {
        const struct node *n = node_at(graph, v);
        all[v] |= n->op == OP_TRAIN;
        if (n->op == OP_SAVE) all[v] = type_at(graph, n->in[0])->kind == KIND_MODEL;
        for (uint32_t i = 0; all[v] && n->op != OP_SAVE && i < n->nin; i++)
            if (n->in[i] != NID_NONE) all[n->in[i]] = true;
    }
    return all;
}

const char **late_fixed(struct arena *arena, const struct func *graph, size_t n) {
    struct fixing f = {.why = NEW_N(arena, const char *, n)};
    const bool *early = settled(arena, graph);
    for (nid v = 0; v < graph->nodes.n; v++) {
        const struct node *node = node_at(graph, v);
        const struct op_info *info = op_info(node->op);
        for (size_t i = 0; i < op_attr_count(node->op); i++) {
            const struct value *attr = &node->attrs[i];
            bool late = info->attrs[i].late && !early[v];
            if (!attr->of || (late && value_is_late(attr))) continue;
            f.reason =
                arena_printf(arena, "`%s` of `%s`", info->attrs[i].name, info->name);
            formula_params(attr->of, fix, &f);
        }
    }
    return f.why;
}
