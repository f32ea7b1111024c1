// The tensor functions of a training. See train_step.h.
//
// The statistics of a batch are taken in two steps that need each row but once: a row's
// mean and the squares around it, while its map is still in cache; then, of one number a
// channel and row, those of the batch (Chan, Golub & LeVeque 1983). Nothing is lost by
// that where the mean is large beside the deviation.
#include "passes/train_step.h"

#include "ir/build.h"

#include <float.h>
#include <string.h>

// ---- the tensors of a network --------------------------------------------------------
static size_t tensor_end(const struct plan_tensor *t) {
    size_t end;
    CHECK(size_add(t->at, t->count, &end));
    return size_align(end, TRAIN_BLOCK);
}

static const struct plan_tensor *find_tensor(const struct plan_tensor *t, size_t n,
                                             const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(t[i].name, name)) return &t[i];
    return NULL;
}

// Adds a tensor behind the n that there are, which take *floats.
static struct plan_tensor *add_tensor(struct plan_tensor *all, size_t *n, size_t *floats,
                                      const char *name, const struct type *t) {
    struct plan_tensor *added = &all[(*n)++];
    *added = (struct plan_tensor){.name = name, .at = *floats, .count = type_count(t)};
    *floats = tensor_end(added);
    return added;
}

static void add_statistics(struct train_net *out, const struct func *net,
                           const struct node *mark) {
    struct batch_norm n = batch_norm_of(mark);
    const char *names[] = {n.mean, n.var};
    for (size_t i = 0; i < COUNT(names); i++)
        if (!find_tensor(out->stats, out->nstats, names[i]))
            add_tensor(out->stats, &out->nstats, &out->stat_floats, names[i],
                       type_at(net, mark->in[1 + i]));
}

static void list_tensors(const struct func *net, bool decay_all, struct train_net *out) {
    for (nid v = 0; v < net->nodes.n; v++) {
        const struct node *n = node_at(net, v);
        if (n->op == OP_BATCH_NORM) add_statistics(out, net, n);
        if (n->op == OP_BATCH_NORM && type_count(&n->type) == n->type.dim[0])
            out->single = true;
        if (n->op != OP_PARAM) continue;
        struct plan_tensor *t = add_tensor(out->params, &out->nparams, &out->param_floats,
                                           attr_str(n, "name"), &n->type);
        t->decays = decay_all || n->type.rank >= 2;
    }
}

static void copy_initial(const struct node *n, const struct plan_tensor *t, float *to) {
    CHECK(n->data && type_count(&n->type) == t->count);
    memcpy(to + t->at, n->data, t->count * sizeof *to);
}

static void fill_initial(const struct func *net, struct train_net *out) {
    size_t param = 0;
    for (nid v = 0; v < net->nodes.n; v++) {
        const struct node *n = node_at(net, v);
        if (n->op == OP_PARAM)
            copy_initial(n, &out->params[param++], out->initial_params);
        if (n->op != OP_BATCH_NORM) continue;
        struct batch_norm names = batch_norm_of(n);
        copy_initial(node_at(net, n->in[1]),
                     find_tensor(out->stats, out->nstats, names.mean),
                     out->initial_stats);
        copy_initial(node_at(net, n->in[2]),
                     find_tensor(out->stats, out->nstats, names.var), out->initial_stats);
    }
}

void train_net_of(struct arena *arena, const struct func *net, bool decay_all,
                  struct train_net *out) {
    *out =
        (struct train_net){.params = NEW_N(arena, struct plan_tensor, net->nodes.n),
                           .stats = NEW_N(arena, struct plan_tensor, 2 * net->nodes.n)};
    list_tensors(net, decay_all, out);
    out->initial_params = NEW_N(arena, float, out->param_floats);
    out->initial_stats = NEW_N(arena, float, out->stat_floats);
    fill_initial(net, out);
}

// ---- parts of the functions ----------------------------------------------------------
static nid mul(struct builder *b, nid p, nid q) {
    return b_binary(b, OP_MUL, p, q);
}

static nid scaled(struct builder *b, nid v, double by) {
    return mul(b, v, b_f32(b, (float)by));
}

// Pixels / 255 as the network wants them.
static nid normalised(struct builder *b, const struct model *m, nid x) {
    size_t dim[3] = {m->channels, 1, 1};
    float *mean = NEW_N(b->arena, float, m->channels);
    float *scale = NEW_N(b->arena, float, m->channels);
    for (size_t i = 0; i < m->channels; i++) {
        mean[i] = (float)m->mean[i];
        scale[i] = (float)(1 / m->std[i]);
    }
    struct type t = type_tensor(ELEM_F32, false, 3, dim);
    x = b_binary(b, OP_SUB, x, b_const(b, t, mean));
    return mul(b, x, b_const(b, t, scale));
}

static nid input_like(struct builder *b, const struct func *net) {
    CHECK(node_at(net, 0)->op == OP_INPUT);
    return b_input(b, "x", *type_at(net, 0));
}

static const int64_t first_axis[1] = {0};

// z less its largest; sums of exponents overflow by no more then.
static nid below_top(struct builder *b, nid z) {
    nid top = b_unary(b, OP_STOP, b_amax(b, z, first_axis, 1, true));
    return b_binary(b, OP_SUB, z, top);
}

static nid sum_of_exponents(struct builder *b, nid z) {
    return b_sum(b, b_unary(b, OP_EXP, z), first_axis, 1, true);
}

// ---- batch norm ----------------------------------------------------------------------
struct stepping {
    struct builder b;
    const struct train_net *t;
    nid share;           // f32[], 1 / rows of the batch
    nid *params, *stats; // by tensor; statistics as they are after this batch
    size_t next_param;
};

// [C,1,..] summed over all axes but the channels'.
static nid channel_sums(struct builder *b, nid v) {
    static const int64_t axes[TYPE_MAX_RANK] = {1, 2, 3, 4, 5};
    uint32_t rank = type_at(b->f, v)->rank;
    return rank > 1 ? b_sum(b, v, axes, rank - 1, true) : v;
}

struct statistics {
    nid mean, var; // f32[C]
};

static struct statistics batch_statistics(struct stepping *s, nid x) {
    struct builder *b = &s->b;
    struct type t = *type_at(b->f, x);
    double each = (double)type_count(&t) / (double)t.dim[0];
    nid mine = scaled(b, channel_sums(b, x), 1 / each); // the row's own mean
    nid mean = mul(b, b_batch_sum(b, mine), s->share);
    nid off = b_binary(b, OP_SUB, mine, mean),
        squares = scaled(b, mul(b, off, off), each);
    if (each > 1) {
        nid inside = b_binary(b, OP_SUB, x, mine);
        inside = channel_sums(b, mul(b, inside, inside));
        squares = b_binary(b, OP_ADD, squares, inside);
    }
    nid var = mul(b, b_batch_sum(b, squares), scaled(b, s->share, 1 / each));
    return (struct statistics){b_reshape(b, mean, t.dim, 1), b_reshape(b, var, t.dim, 1)};
}

// The running statistic of that name moves towards the batch's.
static void run_on(struct stepping *s, const char *name, nid to, double momentum) {
    const struct train_net *t = s->t;
    const struct plan_tensor *stat = find_tensor(t->stats, t->nstats, name);
    CHECK(stat);
    nid *now = &s->stats[stat - t->stats];
    nid kept = scaled(&s->b, *now, 1 - momentum);
    *now = b_binary(&s->b, OP_ADD, kept, scaled(&s->b, to, momentum));
}

// N / (N - 1) of the N numbers a channel; of one number, whose variance is 0, something
// finite.
static nid unbiased(struct stepping *s, nid var, double each) {
    struct builder *b = &s->b;
    nid rest = b_binary(b, OP_SUB, b_f32(b, 1), scaled(b, s->share, 1 / each));
    rest = b_binary(b, OP_MAX, rest, b_f32(b, FLT_EPSILON));
    return b_binary(b, OP_DIV, var, rest);
}

static nid batch_norm(struct stepping *s, const struct node *mark, nid x) {
    struct batch_norm n = batch_norm_of(mark);
    struct statistics batch = batch_statistics(s, x);
    double each = (double)type_count(&mark->type) / (double)mark->type.dim[0];
    run_on(s, n.mean, batch.mean, n.momentum);
    run_on(s, n.var, unbiased(s, batch.var, each), n.momentum);
    s->b.name = mark->name;
    return b_batch_norm(&s->b, x, batch.mean, batch.var, s->share, &n);
}

// ---- a step --------------------------------------------------------------------------
static nid step_node(struct stepping *s, const struct node *n, const nid *in, nid x) {
    switch (n->op) {
    case OP_INPUT: return x;
    case OP_PARAM: return s->params[s->next_param++];
    case OP_BATCH_NORM: return batch_norm(s, n, in[0]);
    default: return build_copy(&s->b, n, in);
    }
}

// The network's logits in training mode.
static nid train_logits(struct stepping *s, const struct func *net, nid x) {
    nid *to = NEW_N(s->b.arena, nid, net->nodes.n), *in = NULL;
    uint32_t cap = 0;
    for (nid v = 0; v < net->nodes.n; v++) {
        const struct node *n = node_at(net, v);
        if (n->nin > cap) in = NEW_N(s->b.arena, nid, cap = n->nin);
        for (uint32_t k = 0; k < n->nin; k++)
            in[k] = n->in[k] == NID_NONE ? NID_NONE : to[n->in[k]];
        to[v] = step_node(s, n, in, x);
    }
    return to[net->outs.at[0]];
}

// Of a row: -sum(target * log_softmax(logits / T)).
static nid row_loss(struct builder *b, nid logits, nid target, double temperature) {
    if (temperature != 1) logits = scaled(b, logits, 1 / temperature);
    nid z = below_top(b, logits);
    nid sum = b_unary(b, OP_LOG, sum_of_exponents(b, z));
    nid logs = b_binary(b, OP_SUB, z, sum);
    return b_unary(b, OP_NEG, b_sum_all(b, mul(b, target, logs)));
}

// Inputs named by what they are: of one function no two have the same name.
static nid *tensor_inputs(struct builder *b, const struct func *net, const char *what,
                          const struct plan_tensor *t, size_t n, bool params) {
    nid *made = NEW_N(b->arena, nid, n);
    size_t next = 0;
    for (nid v = 0; params && v < net->nodes.n; v++) {
        const struct node *p = node_at(net, v);
        if (p->op != OP_PARAM) continue;
        const char *name = arena_printf(b->arena, "%s %s", what, t[next].name);
        made[next++] =
            b_input(b, name, type_tensor(ELEM_F32, false, p->type.rank, p->type.dim));
    }
    for (; next < n; next++) {
        const char *name = arena_printf(b->arena, "%s %s", what, t[next].name);
        made[next] = b_input(b, name, type_tensor(ELEM_F32, false, 1, &t[next].count));
    }
    return made;
}

static void add_outputs(struct stepping *s, nid loss) {
    struct builder *b = &s->b;
    const struct train_net *t = s->t;
    build_output(b, "loss", loss);
    for (size_t i = 0; i < t->nparams; i++) {
        nid g = build_node(b, OP_GRAD, (nid[]){loss, s->params[i]}, 2, NULL, NULL);
        build_output(b, arena_printf(b->arena, "gradient %s", t->params[i].name), g);
    }
    for (size_t i = 0; i < t->nstats; i++)
        build_output(b, arena_printf(b->arena, "next %s", t->stats[i].name), s->stats[i]);
}

struct func *train_step(struct arena *arena, const struct model *model,
                        const struct func *net, const struct train_net *t,
                        double temperature, size_t batch, struct diags *d) {
    struct stepping s = {.t = t};
    struct builder *b = &s.b;
    CHECK(batch > 0);
    if (t->nparams == 0) {
        diag_error(d, NO_SPAN, "%s has no parameters to train", model->path);
        return NULL;
    }
    builder_init(b, arena, "step");
    b->f->joint = true;
    b->f->batch = batch;
    nid x = input_like(b, net);
    nid target = b_input(b, "target", type_tensor(ELEM_F32, true, 1, &model->classes));
    s.share = b_input(b, "share", type_scalar(ELEM_F32, false));
    s.params = tensor_inputs(b, net, "param", t->params, t->nparams, true);
    s.stats = tensor_inputs(b, net, "statistic", t->stats, t->nstats, false);
    nid logits = train_logits(&s, net, normalised(b, model, x));
    nid of_rows = row_loss(b, logits, target, temperature);
    add_outputs(&s, mul(b, b_batch_sum(b, of_rows), s.share));
    return builder_finish(b);
}

// ---- the update ----------------------------------------------------------------------
struct updating {
    struct builder b;
    const struct plan_train *t;
    double epsilon;
    bool nesterov;
    nid param, gradient, moment[2], decay;
    nid rate, unbias[2], momentum; // of this step
};

// Element i of the four numbers of a step, as f32[1].
static nid step_number(struct updating *u, nid all, int64_t i) {
    static const int64_t one[1] = {1};
    return b_slice(&u->b, all, &i, one, one, 1);
}

static void update_inputs(struct updating *u) {
    static const char *const moments[] = {"moment", "moment 2"};
    struct builder *b = &u->b;
    struct type block = type_tensor(ELEM_F32, true, 1, (size_t[]){TRAIN_BLOCK});
    u->param = b_input(b, "param", block);
    u->gradient = b_input(b, "gradient", block);
    CHECK(u->t->nmoments <= COUNT(moments));
    for (size_t i = 0; i < u->t->nmoments; i++)
        u->moment[i] = b_input(b, moments[i], block);
    u->decay = b_input(b, "decay", type_tensor(ELEM_F32, true, 1, (size_t[]){1}));
    nid step = b_input(b, "step", type_tensor(ELEM_F32, false, 1, (size_t[]){4}));
    u->rate = step_number(u, step, 0);
    u->unbias[0] = step_number(u, step, 1);
    u->unbias[1] = step_number(u, step, 2);
    u->momentum = step_number(u, step, 3);
}

// g + decay * param: decay as a part of the loss.
static nid decayed_gradient(struct updating *u) {
    struct builder *b = &u->b;
    return b_binary(b, OP_ADD, u->gradient, mul(b, u->param, u->decay));
}

static nid stepped(struct updating *u, nid param, nid along) {
    struct builder *b = &u->b;
    return b_binary(b, OP_SUB, param, mul(b, along, u->rate));
}

static void update_sgd(struct updating *u) {
    struct builder *b = &u->b;
    nid g = decayed_gradient(u), along = g, moment = NID_NONE;
    if (u->t->nmoments) {
        moment = b_binary(b, OP_ADD, mul(b, u->moment[0], u->momentum), g);
        nid ahead = scaled(b, moment, u->t->momentum);
        along = u->nesterov ? b_binary(b, OP_ADD, g, ahead) : moment;
    }
    build_output(b, "param", stepped(u, u->param, along));
    if (u->t->nmoments) build_output(b, "moment", moment);
}

// v moved towards `to`: beta v + (1 - beta) to
static nid moving(struct updating *u, nid v, nid to, double beta) {
    struct builder *b = &u->b;
    return b_binary(b, OP_ADD, scaled(b, v, beta), scaled(b, to, 1 - beta));
}

// Adam's decay is a part of the loss, AdamW's is taken off the parameter itself.
static void update_adam(struct updating *u, bool apart) {
    struct builder *b = &u->b;
    nid g = apart ? u->gradient : decayed_gradient(u), param = u->param;
    nid mean = moving(u, u->moment[0], g, u->t->beta1);
    nid square = moving(u, u->moment[1], mul(b, g, g), u->t->beta2);
    nid size = b_unary(b, OP_SQRT, mul(b, square, u->unbias[1]));
    size = b_binary(b, OP_ADD, size, b_f32(b, (float)u->epsilon));
    if (apart) {
        nid lost = mul(b, u->decay, u->rate);
        param = mul(b, param, b_binary(b, OP_SUB, b_f32(b, 1), lost));
    }
    nid along = b_binary(b, OP_DIV, mul(b, mean, u->unbias[0]), size);
    build_output(b, "param", stepped(u, param, along));
    build_output(b, "moment", mean);
    build_output(b, "moment 2", square);
}

struct func *train_update(struct arena *arena, const struct plan_train *t, bool nesterov,
                          double epsilon) {
    struct updating u = {.t = t, .nesterov = nesterov, .epsilon = epsilon};
    builder_init(&u.b, arena, "update");
    update_inputs(&u);
    switch (t->optimizer) {
    case OPTIMIZER_SGD: update_sgd(&u); break;
    case OPTIMIZER_ADAM: update_adam(&u, false); break;
    case OPTIMIZER_ADAMW: update_adam(&u, true); break;
    }
    return builder_finish(&u.b);
}

// ---- labels --------------------------------------------------------------------------
struct func *train_ask(struct arena *arena, const struct model *teacher,
                       const struct func *net, double temperature) {
    struct builder b;
    nid logits;
    builder_init(&b, arena, "ask");
    b.f->bf16 = teacher->bf16;
    nid x = normalised(&b, teacher, input_like(&b, net));
    build_inline(&b, net, &x, &logits, false);
    nid z = below_top(&b, scaled(&b, logits, 1 / temperature));
    nid e = b_unary(&b, OP_EXP, z);
    build_output(&b, "labels", b_binary(&b, OP_DIV, e, sum_of_exponents(&b, z)));
    return builder_finish(&b);
}
