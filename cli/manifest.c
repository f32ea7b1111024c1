// See manifest.h.
#include "cli/manifest.h"

#include "runtime/json.h"
#include "runtime/result.h"

// A path says where things lay on one machine; the result should be the same on another.
static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// Where the result was put is not part of what it is.
static bool is_target(const struct plan *plan, const struct value *v) {
    size_t n = v->kind == VAL_STRING ? strlen(v->s) : 0;
    for (size_t i = 0; n && i < plan->nsaves; i++) {
        size_t m = strlen(plan->saves[i].to);
        if (m < n) continue;
        if (!strncmp(plan->saves[i].to, v->s, n)) return true; // its folder
        if (!strcmp(plan->saves[i].to + m - n, v->s)) return true;
    }
    return false;
}

void manifest_fields(struct arena *arena, const struct program *program,
                     struct plan *plan) {
    VEC(struct result_field) fields = {0};
    for (size_t i = 0; i < program->params.n; i++) {
        const struct param *p = &program->params.at[i];
        if (is_target(plan, &p->value)) continue;
        VEC_PUSH(arena, &fields,
                 (struct result_field){"params", p->name, value_json(arena, &p->value)});
    }
    for (nid v = 0; v < program->graph->nodes.n; v++) {
        const struct node *n = node_at(program->graph, v);
        const char *name = n->name ? n->name : op_info(n->op)->name;
        int seed = op_attr(n->op, "seed", 4);
        if (seed >= 0 && n->attrs[seed].kind == VAL_INT)
            VEC_PUSH(
                arena, &fields,
                (struct result_field){"seeds", name, value_json(arena, &n->attrs[seed])});
        if (n->op == OP_IMAGES) // boxes count in pixels of the images as they were read
            VEC_PUSH(arena, &fields,
                     (struct result_field){"readers", name,
                                           arena_printf(arena, "{\"size\": %lld}",
                                                        (long long)attr_int(n, "size"))});
        if (n->op != OP_ONNX) continue;
        char hex[DIGEST_HEX];
        digest_hex(n->model->digest, hex);
        VEC_PUSH(arena, &fields,
                 (struct result_field){
                     "models", name,
                     arena_printf(arena, "{\"file\": %s, \"digest\": \"%s\"}",
                                  json_string(arena, file_name(n->model->path)), hex)});
    }
    plan->fields = fields.at;
    plan->nfields = fields.n;
}
