// A program with an fp32 twin of everything that its networks may compute in bf16.
//
// A twin differs from its value in the network's precision alone: it is computed of the
// very same images, also where those were cut out by what bf16 said. So what a twin tells
// is the error of one value, not of all that led to it; and what is kept of it is what a
// run in fp32 keeps of the same images.
#include "ir/build.h"
#include "passes/pass.h"

struct twinning {
    struct arena *arena;
    struct builder b;
    nid *to; // nodes of the program as they are here
    VEC(struct twin) twins;
};

static bool in_bf16(const struct func *f, const struct node *n) {
    if (!(op_info(n->op)->flags & OPF_COSTLY) || n->op == OP_CHECK) return false;
    const struct node *model = node_at(f, n->in[0]);
    return model->op == OP_ONNX && model->model->bf16;
}

static nid *operands(struct twinning *t, const struct node *n) {
    nid *in = NEW_N(t->arena, nid, n->nin);
    for (uint32_t i = 0; i < n->nin; i++)
        in[i] = n->in[i] == NID_NONE ? NID_NONE : t->to[n->in[i]];
    return in;
}

static nid network_in_fp32(struct twinning *t, const struct node *n) {
    struct model *m = arena_dup(t->arena, n->model, 1, sizeof *m);
    struct value *attrs =
        arena_dup(t->arena, n->attrs, op_attr_count(OP_ONNX), sizeof *attrs);
    m->bf16 = false;
    attrs[op_attr(OP_ONNX, "precision", 9)] = val_string("fp32");
    t->b.span = n->span;
    t->b.name = n->name;
    return b_onnx(&t->b, attrs, m);
}

static void add_twin(struct twinning *t, const struct func *f, nid v) {
    const struct node *n = node_at(f, v);
    nid *in = operands(t, n);
    in[0] = network_in_fp32(t, node_at(f, n->in[0]));
    nid made = build_copy(&t->b, n, in);
    VEC_PUSH(t->arena, &t->twins, (struct twin){t->to[v], made});
}

// Not finished, which would drop the twins.
const struct func *graph_twinned(struct arena *a, const struct func *graph,
                                 const struct twin **twins, size_t *n) {
    struct twinning t = {.arena = a};
    builder_init(&t.b, a, graph->name);
    t.b.fold = false;
    t.to = NEW_N(a, nid, graph->nodes.n);
    for (nid v = 0; v < graph->nodes.n; v++) {
        const struct node *one = node_at(graph, v);
        t.to[v] = build_copy(&t.b, one, operands(&t, one));
    }
    for (size_t i = 0; i < graph->outs.n; i++)
        build_output(&t.b, graph->out_names.at[i], t.to[graph->outs.at[i]]);
    for (nid v = 0; v < graph->nodes.n; v++)
        if (in_bf16(graph, node_at(graph, v))) add_twin(&t, graph, v);
    *twins = t.twins.at;
    *n = t.twins.n;
    return t.b.f;
}
