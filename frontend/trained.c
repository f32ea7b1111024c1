// Models with other numbers: the same network after training, or drawn anew.
//
// The function is built again with each parameter that has a value under its name, and
// each batch norm's statistics, replaced; at other image sizes it is the network's own
// function of that size that is. So what is derived from a model can be derived from
// again.
#include "frontend/digest.h"
#include "frontend/networks.h"
#include "ir/build.h"

struct renewed { // source of these models
    const struct model *base;
    struct model_values values;
};

static int compare_names(const void *a, const void *b) {
    return strcmp(((const struct model_tensor *)a)->name,
                  ((const struct model_tensor *)b)->name);
}

static const float *value_of(const struct model_values *v, const char *name) {
    const struct model_tensor key = {.name = name};
    const struct model_tensor *t =
        v->n ? bsearch(&key, v->at, v->n, sizeof *v->at, compare_names) : NULL;
    return t ? t->data : NULL;
}

// ---- the function --------------------------------------------------------------------
static nid renew_param(struct builder *b, const struct model_values *v,
                       const struct node *n) {
    const char *name = attr_str(n, "name");
    const float *data = value_of(v, name);
    if (!data) return build_copy(b, n, NULL);
    return b_param_at(b, name, n->type, data, data_digest(&n->type, data));
}

// `old`: what stands here now.
static nid renew_statistics(struct builder *b, const struct model_values *v,
                            const char *name, nid old) {
    const struct type t = *type_at(b->f, old);
    const float *data = value_of(v, name);
    if (!data) return old;
    b->name = name;
    return b_const_at(b, t, data, data_digest(&t, data));
}

static nid renew_node(struct builder *b, const struct model_values *v,
                      const struct node *n, nid *in) {
    if (n->op == OP_INPUT) return b_input(b, attr_str(n, "name"), n->type);
    if (n->op == OP_PARAM) return renew_param(b, v, n);
    if (n->op == OP_BATCH_NORM) {
        in[1] = renew_statistics(b, v, attr_str(n, "running_mean"), in[1]);
        in[2] = renew_statistics(b, v, attr_str(n, "running_var"), in[2]);
    }
    return build_copy(b, n, in);
}

static const struct func *renew(struct arena *arena, const struct func *f,
                                const struct model_values *v) {
    struct builder b;
    builder_init(&b, arena, f->name);
    nid *to = NEW_N(arena, nid, f->nodes.n), *in = NULL;
    size_t cap = 0;
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct node *n = node_at(f, (nid)i);
        if (n->nin > cap) in = NEW_N(arena, nid, cap = n->nin);
        for (uint32_t k = 0; k < n->nin; k++)
            in[k] = n->in[k] == NID_NONE ? NID_NONE : to[n->in[k]];
        b.span = n->span;
        to[i] = renew_node(&b, v, n, in);
    }
    for (size_t i = 0; i < f->outs.n; i++)
        build_output(&b, f->out_names.at[i], to[f->outs.at[i]]);
    struct func *made = builder_finish(&b);
    made->bf16 = f->bf16;
    return made;
}

// ---- the model -----------------------------------------------------------------------
static const struct func *at_size(const struct model *m, struct arena *arena, size_t h,
                                  size_t w, struct diags *d, struct span at) {
    const struct renewed *r = m->source;
    if (h == m->height && w == m->width) return m->func;
    const struct func *f = r->base->at_size(r->base, arena, h, w, d, at);
    return f ? renew(arena, f, &r->values) : NULL;
}

static bool has_name(const struct func *f, const char *name) {
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct node *n = node_at(f, (nid)i);
        if (n->op == OP_PARAM && strcmp(attr_str(n, "name"), name) == 0) return true;
        if (n->op == OP_BATCH_NORM && (strcmp(attr_str(n, "running_mean"), name) == 0 ||
                                       strcmp(attr_str(n, "running_var"), name) == 0))
            return true;
    }
    return false;
}

// A value without a place in the model is a bug.
static struct model_values sorted(struct arena *arena, const struct func *f,
                                  const struct model_values *v) {
    struct model_tensor *at = NEW_N(arena, struct model_tensor, v->n);
    for (size_t i = 0; i < v->n; i++) {
        CHECK(has_name(f, v->at[i].name));
        at[i] = v->at[i];
        at[i].name = arena_strdup(arena, v->at[i].name);
    }
    qsort(at, v->n, sizeof *at, compare_names);
    return (struct model_values){v->n, at};
}

const struct model *model_with_values(struct arena *arena, const struct model *m,
                                      const char *path, const struct model_values *v) {
    struct renewed *r = NEW(arena, struct renewed);
    *r = (struct renewed){m, sorted(arena, m->func, v)};
    struct model *made = arena_dup(arena, m, 1, sizeof *m);
    made->path = arena_strdup(arena, path);
    made->func = renew(arena, m->func, &r->values);
    made->at_size = at_size;
    made->digest_at = model_digest_at;
    made->source = r;
    model_digest(made, arena);
    return made;
}
