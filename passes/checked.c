// A program with a check of every model on the images that its program gives to it.
//
// Crops and the like would say little of a network that was trained on whole images, and
// may take long to find. So the images are those that were read; where the model was
// exported for another size, resized to that.
#include "ir/build.h"
#include "passes/pass.h"

struct pair {
    nid model, images;
};

struct checking {
    struct arena *arena;
    struct builder b;
    nid *to;      // nodes of the program as they are here
    size_t first; // of the outputs: those from here on are ours
    VEC(struct pair) pairs;
};

// The images that the rows of x were cut out of.
static nid read_as(const struct func *f, nid x) {
    while (node_at(f, x)->op != OP_IMAGES) x = node_at(f, x)->in[0];
    return x;
}

static bool runs_model(const struct func *f, const struct node *n) {
    return (op_info(n->op)->flags & OPF_COSTLY) &&
           node_at(f, n->in[0])->type.kind == KIND_MODEL;
}

static void add_pair(struct checking *c, const struct func *f, const struct node *n) {
    nid model = n->in[0], images = read_as(f, n->in[1]);
    for (size_t i = 0; i < c->pairs.n; i++)
        if (c->pairs.at[i].model == model && c->pairs.at[i].images == images) return;
    VEC_PUSH(c->arena, &c->pairs, (struct pair){model, images});
}

// What the program checks comes first, so that it is not checked again.
static void find_pairs(struct checking *c, const struct func *f) {
    for (int ours = 0; ours < 2; ours++) {
        for (nid v = 0; v < f->nodes.n; v++) {
            const struct node *n = node_at(f, v);
            if (runs_model(f, n) && (n->op != OP_CHECK) == ours) add_pair(c, f, n);
        }
        if (!ours) c->first = c->pairs.n;
    }
}

static nid resized(struct checking *c, nid x, const struct model *m) {
    size_t side = type_at(c->b.f, x)->dim[1];
    if (m->height != m->width || m->height == side) return x;
    struct value attrs[2] = {val_int(1), val_int((int64_t)m->height)};
    c->b.name = node_at(c->b.f, x)->name;
    return build_node(&c->b, OP_STITCH, &x, 1, attrs, NULL);
}

static void add_check(struct checking *c, const struct func *f, struct pair p) {
    const struct node *model = node_at(f, p.model);
    struct value none[2] = {{.kind = VAL_NONE}, {.kind = VAL_NONE}};
    c->b.span = model->span;
    nid in[2] = {c->to[p.model], resized(c, c->to[p.images], model->model)};
    nid check = build_node(&c->b, OP_CHECK, in, 2, none, NULL);
    CHECK(check != NID_NONE);
    build_output(&c->b, "check", check);
}

static void copy_program(struct checking *c, const struct func *f) {
    c->to = NEW_N(c->arena, nid, f->nodes.n);
    for (nid v = 0; v < f->nodes.n; v++) {
        const struct node *n = node_at(f, v);
        nid *in = NEW_N(c->arena, nid, n->nin);
        for (uint32_t i = 0; i < n->nin; i++)
            in[i] = n->in[i] == NID_NONE ? NID_NONE : c->to[n->in[i]];
        c->to[v] = build_copy(&c->b, n, in);
    }
    for (size_t i = 0; i < f->outs.n; i++)
        build_output(&c->b, f->out_names.at[i], c->to[f->outs.at[i]]);
}

struct func *graph_checked(struct arena *a, const struct func *graph) {
    struct checking c = {.arena = a};
    builder_init(&c.b, a, graph->name);
    c.b.fold = false;
    copy_program(&c, graph);
    find_pairs(&c, graph);
    for (size_t i = c.first; i < c.pairs.n; i++) add_check(&c, graph, c.pairs.at[i]);
    return builder_finish(&c.b);
}
