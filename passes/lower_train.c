// train: what a training learns from, its three tensor functions, and its numbers.
//
// A training is asked for like a save: it has a stage that gathers the pixels and the
// labels of all rows. Its functions are no steps of a stage, since they see batches
// (passes/train_step.h); the runtime calls them by their number (struct plan_train).
#include "ir/text.h"
#include "passes/lower.h"
#include "passes/train_step.h"

enum { TRAIN_MODEL, TRAIN_DATA, TRAIN_LABELS, TRAIN_AUGMENT };

static const struct node *gnode(const struct lower *l, nid v) {
    return node_at(l->graph, v);
}

nid train_labels(const struct node *n) {
    return n->nin > TRAIN_LABELS ? n->in[TRAIN_LABELS] : NID_NONE;
}

static bool asks(const struct lower *l, const struct node *n) {
    nid labels = train_labels(n);
    return labels != NID_NONE && gnode(l, labels)->type.kind == KIND_ASK;
}

// ---- what it learns from -------------------------------------------------------------
static void gather(struct lower *l, const struct node *n, struct plan_train *t) {
    const struct type *x = &gnode(l, n->in[TRAIN_DATA])->type;
    nid labels = train_labels(n);
    t->rowset = rowset_at(l, n->in[TRAIN_DATA]);
    t->channels = x->dim[0], t->height = x->dim[1], t->width = x->dim[2];
    t->stage = (uint32_t)l->stages.n;
    struct stage_build *s = stage_new(l, t->rowset, t->name, true, (uint32_t)l->trains.n);
    sink_add(l, s, SINK_PIXELS, slot_of(l, s, n->in[TRAIN_DATA], FACET_PIXELS));
    t->labels = labels != NID_NONE && !asks(l, n);
    if (t->labels) sink_add(l, s, SINK_LABELS, slot_of(l, s, labels, FACET_VALUE));
    if (labels == NID_NONE) rows_have_classes(l, n->in[TRAIN_DATA], t->classes, n);
}

// ---- functions -----------------------------------------------------------------------
// Of images of the data's size. NULL: the network takes none such, said.
static const struct func *net_for(struct lower *l, const struct model *m,
                                  const struct plan_train *t, struct span at) {
    if (t->height == m->height && t->width == m->width) return m->func;
    return m->at_size(m, l->arena, t->height, t->width, l->d, at);
}

// Functions take weights as arguments, so that trainings which differ in seeds have the
// same ones: these are there once. Their text says all of what they are.
static uint32_t same_func(struct lower *l, const struct func *f) {
    struct text t = {.arena = l->arena};
    ir_print(f, &t);
    struct digest d = digest_of(t.at, t.n);
    for (size_t i = 0; i < l->shared.n; i++)
        if (digest_eq(l->shared.at[i].digest, d)) return l->shared.at[i].func;
    VEC_PUSH(l->arena, &l->shared, (struct shared_func){d, (uint32_t)l->funcs.n});
    return UINT32_MAX;
}

static uint32_t add_func(struct lower *l, struct func *f) {
    if (!f) {
        l->failed = true;
        return UINT32_MAX;
    }
    uint32_t same = same_func(l, f);
    if (same != UINT32_MAX) return same;
    VEC_PUSH(l->arena, &l->m->funcs, (struct module_func){.f = f});
    VEC_PUSH(l->arena, &l->funcs, (struct plan_func){.name = f->name});
    return (uint32_t)l->funcs.n - 1;
}

static uint32_t lower_ask(struct lower *l, const struct node *n, struct plan_train *t) {
    if (!asks(l, n)) return UINT32_MAX;
    const struct node *ask = gnode(l, train_labels(n));
    const struct model *teacher = gnode(l, ask->in[0])->model;
    const struct func *net = net_for(l, teacher, t, ask->span);
    double temperature = attr_float(ask, "temperature");
    return add_func(l, net ? train_ask(l->arena, teacher, net, temperature) : NULL);
}

static void tensors(struct plan_train *t, const struct train_net *net) {
    t->nparams = net->nparams, t->params = net->params;
    t->nstats = net->nstats, t->stats = net->stats;
    t->param_floats = net->param_floats, t->stat_floats = net->stat_floats;
    t->initial_params = net->initial_params, t->initial_stats = net->initial_stats;
}

static bool check_batch(struct lower *l, const struct node *n, struct plan_train *t,
                        const struct train_net *net) {
    t->least = net->single ? 2 : 1;
    if (t->batch >= t->least) return true;
    diag_error(
        l->d, n->span,
        "`%s` cannot be trained by batches of one image: a batch norm of its network "
        "has one number a channel of each, and so no variance",
        t->name);
    return diag_help(l->d, "give `batch` 2 or more");
}

static bool functions(struct lower *l, const struct node *n, struct plan_train *t) {
    const struct model *m = gnode(l, n->in[TRAIN_MODEL])->model;
    const struct func *net = net_for(l, m, t, n->span);
    bool decay_all = !strcmp(attr_str(n, "decays"), "all");
    bool nesterov = node_attr(n, "nesterov")->i;
    double temperature = attr_float(n, "temperature");
    struct train_net flat;
    if (!net) return false;
    train_net_of(l->arena, net, decay_all, &flat);
    if (!flat.nparams)
        return diag_error(l->d, n->span, "the network has no parameters to train");
    if (!check_batch(l, n, t, &flat)) return false;
    tensors(t, &flat);
    t->step =
        add_func(l, train_step(l->arena, m, net, &flat, temperature, t->batch, l->d));
    t->update =
        add_func(l, train_update(l->arena, t, nesterov, attr_float(n, "epsilon")));
    t->ask = lower_ask(l, n, t);
    return !l->failed;
}

// ---- numbers -------------------------------------------------------------------------
static enum plan_optimizer optimizer_of(const char *name) {
    if (!strcmp(name, "sgd")) return OPTIMIZER_SGD;
    return !strcmp(name, "adam") ? OPTIMIZER_ADAM : OPTIMIZER_ADAMW;
}

static enum plan_schedule schedule_of(const char *name) {
    if (!strcmp(name, "constant")) return SCHEDULE_CONSTANT;
    if (!strcmp(name, "cosine")) return SCHEDULE_COSINE;
    return !strcmp(name, "step") ? SCHEDULE_STEP : SCHEDULE_LINEAR;
}

static void optimizer(const struct node *n, struct plan_train *t) {
    const struct value *betas = node_attr(n, "betas");
    t->optimizer = optimizer_of(attr_str(n, "optimizer"));
    t->decay = attr_float(n, "decay");
    if (t->optimizer == OPTIMIZER_SGD) {
        t->momentum = attr_float(n, "momentum");
        t->nmoments = t->momentum > 0;
        return;
    }
    t->nmoments = 2;
    t->beta1 = betas->fs[0], t->beta2 = betas->fs[1];
}

static void schedule(const struct node *n, struct plan_train *t) {
    const struct value *milestones = node_attr(n, "milestones");
    t->batch = (size_t)attr_int(n, "batch");
    t->epochs = (size_t)attr_int(n, "epochs");
    t->rate = attr_float(n, "rate");
    t->schedule = schedule_of(attr_str(n, "schedule"));
    t->warmup = attr_float(n, "warmup");
    t->milestones = milestones->fs, t->nmilestones = milestones->n;
    t->gamma = attr_float(n, "gamma");
    t->seed = attr_int(n, "seed");
}

// In acts `keep` says all that is wanted, the last epoch too where it is (cli/acts.h).
static void keep(const struct node *n, struct plan_train *t) {
    t->keep = attr_ints(n, "keep", &t->nkeep);
    CHECK(t->nkeep);
}

// ---- augmentations -------------------------------------------------------------------
// Their parameters are their attributes in order, lists element by element
// (runtime/augment.h).
static enum augment_kind augment_of(enum op op) {
    switch (op) {
    case OP_RESIZED_CROP: return AUGMENT_RESIZED_CROP;
    case OP_PADDED_CROP: return AUGMENT_PADDED_CROP;
    case OP_FLIP: return AUGMENT_FLIP;
    case OP_JITTER: return AUGMENT_JITTER;
    case OP_CUTOUT: return AUGMENT_CUTOUT;
    case OP_PATCH_SHUFFLE: return AUGMENT_SHUFFLE;
    case OP_CUTMIX: return AUGMENT_CUTMIX;
    case OP_MIXUP: return AUGMENT_MIXUP;
    default: BUG("%s augments nothing", op_info(op)->name);
    }
}

static size_t put_numbers(const struct value *v, double *to) {
    if (v->kind == VAL_FLOATS) memcpy(to, v->fs, v->n * sizeof *to);
    if (v->kind == VAL_FLOATS) return v->n;
    *to = v->kind == VAL_FLOAT ? v->f : (double)v->i;
    return 1;
}

static struct plan_augment augment(const struct node *n) {
    struct plan_augment a = {.kind = augment_of(n->op)};
    size_t at = 0;
    for (size_t i = 0; i < op_attr_count(n->op); i++) {
        size_t more = n->attrs[i].kind == VAL_FLOATS ? n->attrs[i].n : 1;
        CHECK(at + more <= PLAN_MAX_PARAMS);
        at += put_numbers(&n->attrs[i], a.params + at);
    }
    return a;
}

static void augments(struct lower *l, const struct node *n, struct plan_train *t) {
    struct plan_augment *all = NEW_N(l->arena, struct plan_augment, n->nin);
    for (uint32_t i = TRAIN_AUGMENT; i < n->nin; i++)
        if (n->in[i] != NID_NONE) all[t->naugments++] = augment(gnode(l, n->in[i]));
    t->augments = all;
}

// ---- all -----------------------------------------------------------------------------
void want_train(struct lower *l, nid out) {
    const struct node *n = gnode(l, out);
    struct plan_train t = {.name = shown_name(n),
                           .span = n->span,
                           .classes = gnode(l, n->in[TRAIN_MODEL])->model->classes};
    schedule(n, &t);
    optimizer(n, &t);
    keep(n, &t);
    augments(l, n, &t);
    gather(l, n, &t);
    if (!functions(l, n, &t)) l->failed = true;
    VEC_PUSH(l->arena, &l->trains, t);
    VEC_PUSH(l->arena, &l->train_nodes, out);
}
