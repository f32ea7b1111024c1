// Models with another number of classes: a last layer in place of their own.
#include "frontend/digest.h"
#include "frontend/networks.h"
#include "frontend/networks/layers.h"

struct headed { // source of these models
    const struct model *base;
    size_t classes;
    int64_t seed;
};

struct head {                  // the last layer of a network: x @ weight + bias
    nid x;                     // rows f32[1,features]
    size_t features;           //
    const char *weight, *bias; // their names; bias NULL: none
};

// ---- the last layer that there is ----------------------------------------------------
static nid past(const struct func *f, nid v, enum op op) {
    while (node_at(f, v)->op == op) v = node_at(f, v)->in[0];
    return v;
}

// The parameter that a value shows, moved about at most; NULL: it is something else.
static const char *param_of(const struct func *f, nid v) {
    while (node_at(f, v)->op == OP_RESHAPE || node_at(f, v)->op == OP_TRANSPOSE)
        v = node_at(f, v)->in[0];
    const struct node *n = node_at(f, v);
    return n->op == OP_PARAM ? attr_str(n, "name") : NULL;
}

static bool find_bias(const struct func *f, nid *v, const char **name) {
    const struct node *n = node_at(f, *v);
    *name = NULL;
    if (n->op != OP_ADD) return true;
    for (int i = 0; i < 2 && !*name; i++) {
        *name = param_of(f, n->in[i]);
        if (*name) *v = n->in[1 - i];
    }
    return *name;
}

static bool find_head(const struct func *f, struct head *h) {
    nid v = past(f, f->outs.at[0], OP_RESHAPE);
    if (!find_bias(f, &v, &h->bias)) return false;
    const struct node *n = node_at(f, past(f, v, OP_RESHAPE));
    if (n->op != OP_MATMUL || attr_int(n, "tx")) return false;
    const struct type *x = type_at(f, n->in[0]);
    h->x = n->in[0];
    h->weight = param_of(f, n->in[1]);
    h->features = x->rank == 2 ? x->dim[1] : 0;
    return h->weight && x->rank == 2 && x->dim[0] == 1;
}

// ---- the new one ---------------------------------------------------------------------
// The node of f that the function ends in, built again; returns it.
static nid copy_up_to(struct builder *b, const struct func *f, nid last) {
    nid *to = NEW_N(b->arena, nid, f->nodes.n), *in = NULL;
    size_t cap = 0;
    for (nid i = 0; i <= last; i++) {
        const struct node *n = node_at(f, i);
        if (n->nin > cap) in = NEW_N(b->arena, nid, cap = n->nin);
        for (uint32_t k = 0; k < n->nin; k++)
            in[k] = n->in[k] == NID_NONE ? NID_NONE : to[n->in[k]];
        b->span = n->span;
        to[i] = n->op == OP_INPUT ? b_input(b, attr_str(n, "name"), n->type)
                                  : build_copy(b, n, in);
    }
    return to[last];
}

static nid new_param(struct builder *b, const char *name, const size_t *dim, size_t rank,
                     const struct headed *k, size_t features) {
    struct type t = type_tensor(ELEM_F32, false, (uint32_t)rank, dim);
    float *data = arena_raw(b->arena, type_count(&t), sizeof *data);
    start_fill(START_UNIFORM, start_bound(features), k->seed, name, data, type_count(&t));
    return b_param_at(b, name, t, data, data_digest(&t, data));
}

static const struct func *with_head(struct arena *arena, const struct func *f,
                                    const struct headed *k) {
    struct builder b;
    struct head h;
    CHECK(find_head(f, &h));
    builder_init(&b, arena, f->name);
    nid x = copy_up_to(&b, f, h.x);
    nid w = new_param(&b, h.weight, (size_t[]){k->classes, h.features}, 2, k, h.features);
    nid y = b_reshape(&b, b_matmul(&b, x, w, false, true), &k->classes, 1);
    if (h.bias)
        y = b_binary(&b, OP_ADD, y, new_param(&b, h.bias, &k->classes, 1, k, h.features));
    build_output(&b, f->out_names.at[0], y);
    struct func *made = builder_finish(&b);
    made->bf16 = f->bf16;
    return made;
}

// ---- the model -----------------------------------------------------------------------
static const struct func *at_size(const struct model *m, struct arena *arena, size_t h,
                                  size_t w, struct diags *d, struct span at) {
    const struct headed *k = m->source;
    if (h == m->height && w == m->width) return m->func;
    const struct func *f = k->base->at_size(k->base, arena, h, w, d, at);
    return f ? with_head(arena, f, k) : NULL;
}

static const struct model *no_head(const struct model *m, size_t classes, struct diags *d,
                                   struct span at) {
    diag_error(d, at,
               "%s has %zu classes and cannot get %zu: its logits are not those of a "
               "linear layer",
               m->path, m->classes, classes);
    diag_help(d, "export the network with as many classes");
    return NULL;
}

const struct model *model_with_head(struct arena *arena, const struct model *m,
                                    size_t classes, int64_t seed, struct diags *d,
                                    struct span at) {
    struct head h;
    size_t count;
    if (classes == m->classes) return m;
    if (!find_head(m->func, &h)) return no_head(m, classes, d, at);
    if (!size_mul(classes, h.features, &count) || count > TYPE_MAX_COUNT) {
        diag_error(d, at, "%s: a last layer of %zu features and %zu classes is too large",
                   m->path, h.features, classes);
        return NULL;
    }
    struct headed *k = NEW(arena, struct headed);
    *k = (struct headed){m, classes, seed};
    struct model *made = arena_dup(arena, m, 1, sizeof *m);
    made->func = with_head(arena, m->func, k);
    made->classes = classes;
    made->at_size = at_size;
    made->digest_at = model_digest_at;
    made->source = k;
    model_digest(made, arena);
    return made;
}
