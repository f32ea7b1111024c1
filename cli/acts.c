// See acts.h.
#include "cli/acts.h"

#include "frontend/networks.h"
#include "ir/build.h"

static const struct node *gnode(const struct acts *a, nid v) {
    return node_at(a->graph, v);
}

// ---- levels --------------------------------------------------------------------------
static size_t level_of(const struct acts *a, nid v) {
    const struct node *n = gnode(a, v);
    size_t most = 0;
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != NID_NONE) most = size_max(most, a->level[n->in[i]]);
    return most + (n->op == OP_TRAIN);
}

// Who reads a training reads what it ends with, but for those that name a stage.
static void note_ends(struct acts *a) {
    a->ends = NEW_N(a->arena, bool, a->graph->nodes.n);
    for (nid v = 0; v < a->graph->nodes.n; v++) {
        const struct node *n = gnode(a, v);
        for (uint32_t i = 0; n->op != OP_STAGE && i < n->nin; i++)
            if (n->in[i] != NID_NONE) a->ends[n->in[i]] = true;
    }
}

void acts_init(struct acts *a, struct arena *arena, const struct func *graph) {
    *a = (struct acts){.arena = arena, .graph = graph};
    a->level = NEW_N(arena, size_t, graph->nodes.n);
    a->known = NEW_N(arena, struct act_training, graph->nodes.n);
    note_ends(a);
    for (nid v = 0; v < graph->nodes.n; v++) {
        a->level[v] = level_of(a, v);
        if (gnode(a, v)->op == OP_TRAIN) a->n = size_max(a->n, a->level[v]);
    }
}

// ---- networks ------------------------------------------------------------------------
// The training that a model comes from; NID_NONE: it was read or made.
static nid training_of(const struct acts *a, nid v) {
    while (gnode(a, v)->op == OP_STAGE) v = gnode(a, v)->in[0];
    return gnode(a, v)->op == OP_TRAIN ? v : NID_NONE;
}

static size_t epoch_of(const struct acts *a, nid v) {
    const char *name = gnode(a, v)->op == OP_STAGE ? "epoch" : "epochs";
    return (size_t)attr_int(gnode(a, v), name);
}

// "teacher@5"; the last stage is "teacher".
static const char *stage_name(const struct acts *a, struct arena *arena, nid train,
                              size_t epoch) {
    const struct node *n = gnode(a, train);
    const char *name = n->name ? n->name : op_info(n->op)->name;
    if (epoch == epoch_of(a, train)) return name;
    return arena_printf(arena, "%s@%zu", name, epoch);
}

static const struct model *model_of(const struct acts *a, struct arena *arena, nid v,
                                    bool stand_in);

static const struct model *untrained(const struct acts *a, struct arena *arena, nid train,
                                     size_t epoch) {
    const struct model *m = model_of(a, arena, gnode(a, train)->in[0], true);
    struct model *other = arena_dup(arena, m, 1, sizeof *m);
    other->path = stage_name(a, arena, train, epoch);
    return other;
}

// NULL: not known.
static const struct model *model_of(const struct acts *a, struct arena *arena, nid v,
                                    bool stand_in) {
    nid train = training_of(a, v);
    if (train == NID_NONE) return gnode(a, v)->model;
    size_t epoch = epoch_of(a, v);
    const struct act_training *t = &a->known[train];
    for (size_t i = 0; i < t->nstages; i++)
        if (t->stages[i].epoch == epoch) return t->stages[i].model;
    if (t->nstages) return NULL; // only stages of it are asked for
    return stand_in ? untrained(a, arena, train, epoch) : NULL;
}

// ---- graphs --------------------------------------------------------------------------
struct building {
    struct acts *acts;
    struct arena *arena;
    struct builder b;
    nid *to; // nodes of the program as they are here; NID_NONE: not in this act
    bool stand_in;
};

// As `onnx` would give it; what says how a file is read is absent.
static nid put_model(struct building *w, const struct model *m) {
    struct value attrs[OP_MAX_ATTRS] = {0};
    attrs[op_attr(OP_ONNX, "path", 4)] = val_string(m->path);
    attrs[op_attr(OP_ONNX, "mean", 4)] = val_floats(m->mean, m->channels);
    attrs[op_attr(OP_ONNX, "std", 3)] = val_floats(m->std, m->channels);
    attrs[op_attr(OP_ONNX, "precision", 9)] = val_string(m->bf16 ? "bf16" : "fp32");
    return b_onnx(&w->b, arena_dup(w->arena, attrs, OP_MAX_ATTRS, sizeof *attrs), m);
}

static nid put_trained(struct building *w, nid v) {
    const struct node *n = gnode(w->acts, v);
    const struct model *m = model_of(w->acts, w->arena, v, w->stand_in);
    if (!m) return NID_NONE;
    w->b.span = n->span;
    w->b.name = m->path;
    return put_model(w, m);
}

static nid put_copy(struct building *w, const struct node *n) {
    nid *in = NEW_N(w->arena, nid, n->nin);
    for (uint32_t i = 0; i < n->nin; i++) {
        in[i] = n->in[i] == NID_NONE ? NID_NONE : w->to[n->in[i]];
        if (n->in[i] != NID_NONE && in[i] == NID_NONE) return NID_NONE;
    }
    return build_copy(&w->b, n, in);
}

// What is kept of the training: what its `keep` says, and what it ends with, unless the
// program asks for its stages alone. It goes no further then than they are.
static struct value kept(const struct building *w, nid v) {
    const struct node *n = gnode(w->acts, v);
    const struct value *keep = node_attr(n, "keep");
    int64_t last = attr_int(n, "epochs"), *all = NEW_N(w->arena, int64_t, keep->n + 1);
    size_t count = keep->n;
    if (count) memcpy(all, keep->is, count * sizeof *all);
    bool all_of_it = !count || w->acts->ends[v];
    if (all_of_it && (!count || all[count - 1] < last)) all[count++] = last;
    return val_ints(all, count);
}

static nid put_training(struct building *w, nid v) {
    struct node n = *gnode(w->acts, v);
    struct value *attrs =
        arena_dup(w->arena, n.attrs, op_attr_count(n.op), sizeof *attrs);
    attrs[op_attr(OP_TRAIN, "keep", 4)] = kept(w, v);
    n.attrs = attrs;
    return put_copy(w, &n);
}

// Trainings of act i are its outputs; all before them are networks by now.
static nid put(struct building *w, nid v, size_t i) {
    const struct node *n = gnode(w->acts, v);
    bool here = w->acts->level[v] <= i + (n->op == OP_TRAIN);
    if (!here) return NID_NONE;
    bool trained = n->op == OP_STAGE || (n->op == OP_TRAIN && w->acts->level[v] <= i);
    if (trained) return put_trained(w, v);
    return n->op == OP_TRAIN ? put_training(w, v) : put_copy(w, n);
}

static void output(struct building *w, const char *name, nid v) {
    if (w->to[v] != NID_NONE) build_output(&w->b, name, w->to[v]);
}

static void output_trainings(struct building *w, struct act *out, size_t i) {
    const struct acts *a = w->acts;
    VEC(nid) trains = {0};
    for (nid v = 0; v < a->graph->nodes.n; v++) {
        if (gnode(a, v)->op != OP_TRAIN || a->level[v] != i + 1) continue;
        output(w, stage_name(a, w->arena, v, epoch_of(a, v)), v);
        if (w->to[v] != NID_NONE) VEC_PUSH(w->arena, &trains, v);
    }
    out->trains = trains.at;
}

struct act acts_at(struct acts *a, struct arena *arena, size_t i, bool stand_in) {
    struct building w = {.acts = a, .arena = arena, .stand_in = stand_in};
    struct act out = {0};
    builder_init(&w.b, arena, a->graph->name);
    w.b.fold = false;
    w.to = NEW_N(arena, nid, a->graph->nodes.n);
    for (nid v = 0; v < a->graph->nodes.n; v++) w.to[v] = put(&w, v, i);
    if (i < a->n) output_trainings(&w, &out, i);
    for (size_t k = 0; i == a->n && k < a->graph->outs.n; k++)
        output(&w, a->graph->out_names.at[k], a->graph->outs.at[k]);
    out.graph = builder_finish(&w.b);
    return out;
}

// ---- what was trained ----------------------------------------------------------------
static void add_values(struct acts *a, const struct plan_tensor *at, size_t n,
                       const float *flat, struct model_tensor *to) {
    for (size_t i = 0; i < n; i++)
        to[i] =
            (struct model_tensor){arena_strdup(a->arena, at[i].name), flat + at[i].at};
}

static const struct model *stage_model(struct acts *a, nid train,
                                       const struct plan_train *t,
                                       const struct trained_stage *s) {
    const struct model *base = model_of(a, a->arena, gnode(a, train)->in[0], false);
    struct model_tensor *all =
        NEW_N(a->arena, struct model_tensor, t->nparams + t->nstats);
    struct model_values values = {t->nparams + t->nstats, all};
    add_values(a, t->params, t->nparams, s->params, all);
    add_values(a, t->stats, t->nstats, s->stats, all + t->nparams);
    return model_with_values(a->arena, base, stage_name(a, a->arena, train, s->epoch),
                             &values);
}

void acts_learn(struct acts *a, const struct act *act, const struct plan *p,
                const struct trained *t) {
    for (size_t i = 0; i < p->ntrains; i++) {
        struct act_training *k = &a->known[act->trains[i]];
        k->stages = NEW_N(a->arena, struct act_stage, t[i].nstages);
        k->nstages = t[i].nstages;
        for (size_t s = 0; s < k->nstages; s++)
            k->stages[s] = (struct act_stage){
                t[i].stages[s].epoch,
                stage_model(a, act->trains[i], &p->trains[i], &t[i].stages[s])};
    }
}

const char *const *acts_unknown(const struct acts *a, struct arena *arena, size_t *n) {
    VEC(const char *) names = {0};
    for (nid v = 0; v < a->graph->nodes.n; v++)
        if (gnode(a, v)->op == OP_TRAIN && !a->known[v].nstages)
            VEC_PUSH(arena, &names, stage_name(a, arena, v, epoch_of(a, v)));
    *n = names.n;
    return names.at;
}
