// The functions of a training: gradients of a batch's loss beside its slopes, and steps
// and updates beside PyTorch's in float64 (tests/data/train, see make_steps.py there), by
// the evaluator and as machine code.
#include "frontend/model.h"
#include "ir/text.h"
#include "passes/train_step.h"
#include "runtime/joint.h"
#include "runtime/npy.h"
#include "runtime/pool.h"
#include "tests/unit/jit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FOLDER  TEST_DATA "/train/"
#define CLASSES 3
#define ROWS    5
#define SIDE    8

static const double MEAN[3] = {0.4, 0.5, 0.6}, STD[3] = {0.5, 0.25, 0.4};
#define TEMPERATURE 2

static uint64_t next(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static float number(uint64_t *seed, double low, double high) {
    return (float)(low + (high - low) * ((double)next(seed) / 0x1p31));
}

static float *numbers(struct arena *a, uint64_t *seed, size_t n, double low,
                      double high) {
    float *v = NEW_N(a, float, n);
    for (size_t i = 0; i < n; i++) v[i] = number(seed, low, high);
    return v;
}

// ---- networks ------------------------------------------------------------------------
struct net {
    struct arena *a;
    struct builder b;
    uint64_t seed;
    size_t made; // parameters and norms so far, for names
};

static nid weight(struct net *n, size_t rank, const size_t *dim, double low,
                  double high) {
    struct type t = type_tensor(ELEM_F32, false, (uint32_t)rank, dim);
    const char *name = arena_printf(n->a, "p%zu", n->made++);
    return b_param(&n->b, name, t, numbers(n->a, &n->seed, type_count(&t), low, high));
}

static nid conv(struct net *n, nid x, size_t outs, int64_t side, int64_t stride,
                int64_t groups) {
    size_t c = type_at(n->b.f, x)->dim[0], k = (size_t)side;
    nid w = weight(n, 4, (size_t[]){outs, c / (size_t)groups, k, k}, -0.5, 0.5);
    int64_t pad = side / 2;
    struct conv_attrs at = {{stride, stride}, {pad, pad, pad, pad}, {1, 1}, groups};
    return b_conv(&n->b, x, w, &at);
}

// x scale + shift, a channel.
static nid affine(struct net *n, nid x) {
    struct type t = *type_at(n->b.f, x);
    nid scale = weight(n, 1, t.dim, 0.5, 1.5), shift = weight(n, 1, t.dim, -0.3, 0.3);
    x = b_binary(&n->b, OP_MUL, x, b_channels(&n->b, scale, t.rank));
    return b_binary(&n->b, OP_ADD, x, b_channels(&n->b, shift, t.rank));
}

static nid norm(struct net *n, nid x) {
    struct type t = *type_at(n->b.f, x), v = type_tensor(ELEM_F32, false, 1, t.dim);
    nid mean = b_const(&n->b, v, numbers(n->a, &n->seed, t.dim[0], -1, 1));
    nid var = b_const(&n->b, v, numbers(n->a, &n->seed, t.dim[0], 0.5, 2));
    size_t which = n->made++;
    const struct batch_norm at = {1e-3, 0.1, arena_printf(n->a, "mean%zu", which),
                                  arena_printf(n->a, "var%zu", which)};
    return affine(n, b_batch_norm(&n->b, x, mean, var, NID_NONE, &at));
}

static nid relu(struct net *n, nid x) {
    return b_unary(&n->b, OP_RELU, x);
}

static nid halved(struct net *n, nid x) {
    const int64_t two[2] = {2, 2}, none[4] = {0};
    struct value at[] = {val_ints(two, 2), val_ints(two, 2), val_ints(none, 4),
                         val_bool(false)};
    return build_node(&n->b, OP_AVGPOOL, &x, 1, at, NULL);
}

static nid dense(struct net *n, nid x, size_t outs) {
    size_t count = type_count(type_at(n->b.f, x)), line[2] = {1, count};
    nid w = weight(n, 2, (size_t[]){outs, count}, -0.4, 0.4);
    nid y = b_matmul(&n->b, b_reshape(&n->b, x, line, 2), w, false, true);
    y = b_reshape(&n->b, y, &outs, 1);
    return b_binary(&n->b, OP_ADD, y, weight(n, 1, &outs, -0.2, 0.2));
}

static nid means(struct net *n, nid x) {
    nid sum = b_sum(&n->b, x, (int64_t[]){1, 2}, 2, false);
    const size_t *dim = type_at(n->b.f, x)->dim;
    return b_binary(&n->b, OP_MUL, sum, b_f32(&n->b, 1 / (float)(dim[1] * dim[2])));
}

static nid convnet(struct net *n, nid x) {
    x = halved(n, relu(n, norm(n, conv(n, x, 6, 3, 1, 1))));
    return dense(n, halved(n, relu(n, norm(n, conv(n, x, 4, 3, 1, 1)))), CLASSES);
}

static nid residual(struct net *n, nid x) {
    x = relu(n, norm(n, conv(n, x, 4, 3, 2, 1)));
    nid y = norm(n, conv(n, relu(n, norm(n, conv(n, x, 4, 3, 1, 1))), 4, 3, 1, 1));
    return dense(n, means(n, relu(n, b_binary(&n->b, OP_ADD, x, y))), CLASSES);
}

static nid depthwise(struct net *n, nid x) {
    x = relu(n, norm(n, conv(n, x, 4, 1, 1, 1)));
    x = relu(n, norm(n, conv(n, x, 4, 3, 2, 4)));
    return dense(n, means(n, norm(n, conv(n, x, 8, 1, 1, 1))), CLASSES);
}

static nid instances(struct net *n, nid x) {
    struct builder *b = &n->b;
    x = conv(n, x, 4, 3, 1, 1);
    nid mean = b_sum(b, x, (int64_t[]){1, 2}, 2, true), share = b_f32(b, 1.f / 64);
    nid off = b_binary(b, OP_SUB, x, b_binary(b, OP_MUL, mean, share));
    nid var = b_sum(b, b_binary(b, OP_MUL, off, off), (int64_t[]){1, 2}, 2, true);
    var = b_binary(b, OP_ADD, b_binary(b, OP_MUL, var, share), b_f32(b, 1e-3f));
    x = b_binary(b, OP_DIV, off, b_unary(b, OP_SQRT, var));
    return dense(n, halved(n, relu(n, affine(n, x))), CLASSES);
}

// A norm of vectors; a weight used twice; a norm whose result nothing scales.
static nid layers(struct net *n, nid x) {
    struct builder *b = &n->b;
    nid h = relu(n, norm(n, dense(n, x, 12)));
    nid w = weight(n, 2, (size_t[]){12, 12}, -0.4, 0.4), line;
    for (size_t i = 0; i < 2; i++) {
        line = b_reshape(b, h, (size_t[]){1, 12}, 2);
        h = b_reshape(b, b_matmul(b, line, w, false, i == 1), (size_t[]){12}, 1);
    }
    struct type v = type_tensor(ELEM_F32, false, 1, (size_t[]){12});
    const struct batch_norm at = {1e-3, 0.1, "mean", "var"};
    nid zero = b_const(b, v, NEW_N(n->a, float, 12));
    h = b_batch_norm(b, h, zero, zero, NID_NONE, &at);
    return dense(n, b_unary(b, OP_TANH, h), CLASSES);
}

static const struct {
    const char *name;
    nid (*body)(struct net *, nid x);
} nets[] = {{"convnet", convnet},
            {"residual", residual},
            {"depthwise", depthwise},
            {"instances", instances},
            {"layers", layers}};

static const struct model *model_of(struct arena *a, nid (*body)(struct net *, nid)) {
    struct net n = {.a = a, .seed = 11};
    struct model *m = NEW(a, struct model);
    size_t dim[3] = {3, SIDE, SIDE};
    builder_init(&n.b, a, "model");
    nid x = b_input(&n.b, "x", type_tensor(ELEM_F32, true, 3, dim));
    build_output(&n.b, "logits", body(&n, x));
    *m = (struct model){.func = builder_finish(&n.b), .path = "test", .channels = 3};
    m->height = m->width = SIDE, m->classes = CLASSES;
    m->mean = arena_dup(a, MEAN, 3, sizeof *MEAN);
    m->std = arena_dup(a, STD, 3, sizeof *STD);
    return m;
}

// ---- steps ---------------------------------------------------------------------------
struct step {
    struct arena *a;
    struct func *f;
    struct train_net t;
    float *x, *target, *params, *stats;
    float loss, *gradients, *next; // by the last call; laid out as params and stats are
    struct jit *jit;               // NULL: the evaluator computes
    size_t workers;
};

static struct func *differentiated(struct arena *a, struct func *f) {
    struct module m = {.arena = a};
    struct module_func mf = {.f = f};
    struct diags d;
    diags_init(&d, a);
    if (!pass_diff(&m, &mf, &d)) fail_msg("%s", d.list.at[0].message);
    struct text why = {.arena = a};
    if (!ir_verify(mf.f, FAMILY_TENSOR, &why)) fail_msg("%s", why.at);
    return mf.f;
}

static struct step step_of(struct arena *a, const struct model *m) {
    struct step s = {.a = a};
    struct diags d;
    uint64_t seed = 5;
    size_t side = m->height;
    diags_init(&d, a);
    train_net_of(a, m->func, true, &s.t);
    struct func *f = train_step(a, m, m->func, &s.t, TEMPERATURE, ROWS, &d);
    assert_non_null(f);
    s.f = differentiated(a, f);
    s.x = numbers(a, &seed, ROWS * 3 * side * side, 0, 1);
    s.target = numbers(a, &seed, ROWS * m->classes, 0, 1);
    s.params = arena_dup(a, s.t.initial_params, s.t.param_floats, sizeof(float));
    s.stats = arena_dup(a, s.t.initial_stats, s.t.stat_floats, sizeof(float));
    s.gradients = NEW_N(a, float, s.t.param_floats);
    s.next = NEW_N(a, float, s.t.stat_floats);
    return s;
}

struct running {
    struct joint *j;
    char *const *in, *const *out;
    size_t rows;
};

static void work(void *ctx, size_t worker) {
    const struct running *r = ctx;
    joint_call(r->j, worker, r->in, r->out, r->rows, NULL);
}

static void call_code(struct step *s, size_t rows, const void *const *args,
                      void *const *outs) {
    char *const *in = (char *const *)(uintptr_t)args; // kernels only read it
    struct running r = {joint_new(&s->jit->plan, &s->jit->func, s->workers), in,
                        (char *const *)outs, rows};
    assert_non_null(r.j);
    pool_run(s->workers, work, &r);
    joint_free(r.j);
}

static void call(struct step *s, size_t rows) {
    size_t n = s->t.nparams, k = s->t.nstats;
    float share = 1 / (float)rows;
    const void **args = NEW_N(s->a, const void *, 3 + n + k);
    void **outs = NEW_N(s->a, void *, 1 + n + k);
    args[0] = s->x, args[1] = s->target, args[2] = &share, outs[0] = &s->loss;
    for (size_t i = 0; i < n; i++) {
        args[3 + i] = s->params + s->t.params[i].at;
        outs[1 + i] = s->gradients + s->t.params[i].at;
    }
    for (size_t i = 0; i < k; i++) {
        args[3 + n + i] = s->stats + s->t.stats[i].at;
        outs[1 + n + i] = s->next + s->t.stats[i].at;
    }
    if (s->jit) call_code(s, rows, args, outs);
    else assert_true(eval_func(s->f, rows, args, outs, NULL));
}

// ---- gradients -----------------------------------------------------------------------
// The loss's slope along some direction of one tensor.
static double slope(struct step *s, const struct plan_tensor *t, const float *along,
                    double by) {
    float *kept = arena_dup(s->a, s->params, s->t.param_floats, sizeof(float));
    double loss[2];
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < t->count; i++)
            s->params[t->at + i] =
                (float)((double)kept[t->at + i] + (side ? -by : by) * (double)along[i]);
        call(s, ROWS);
        loss[side] = (double)s->loss;
    }
    memcpy(s->params, kept, s->t.param_floats * sizeof(float));
    return (loss[0] - loss[1]) / (2 * by);
}

static void check_gradients(struct arena *a, const char *name, const struct model *m) {
    struct step s = step_of(a, m);
    uint64_t seed = 3;
    call(&s, ROWS);
    const float *g = arena_dup(a, s.gradients, s.t.param_floats, sizeof(float));
    for (size_t i = 0; i < s.t.nparams; i++) {
        const struct plan_tensor *t = &s.t.params[i];
        float *along = numbers(a, &seed, t->count, -1, 1);
        double expected = 0, size = 0;
        for (size_t k = 0; k < t->count; k++) {
            expected += (double)along[k] * (double)g[t->at + k];
            size += (double)(along[k] * along[k]);
        }
        double got = slope(&s, t, along, 0x1p-8 / sqrt(size));
        if (fabs(got - expected) > 2e-2 * fabs(expected) + 3e-4)
            fail_msg("%s, %s: slope %g, gradient %g", name, t->name, got, expected);
    }
}

static void gradients_are_slopes(void **state) {
    for (size_t i = 0; i < COUNT(nets); i++)
        check_gradients(*state, nets[i].name, model_of(*state, nets[i].body));
}

// ---- beside PyTorch ------------------------------------------------------------------
static const float *stored(struct arena *a, const char *name, const char *what,
                           size_t n) {
    struct npy file;
    struct diags d;
    diags_init(&d, a);
    const char *path = arena_printf(a, FOLDER "%s_%s.npy", name, what);
    if (!npy_read(a, path, &file, NO_SPAN, &d)) fail_msg("%s", d.list.at[0].message);
    assert_int_equal(file.count, n);
    return file.data;
}

static const struct model *imported(struct arena *a, const char *name) {
    struct diags d;
    struct model_options o = {.path = arena_printf(a, FOLDER "%s.onnx", name),
                              .mean = MEAN,
                              .std = STD,
                              .nmean = 3,
                              .nstd = 3};
    diags_init(&d, a);
    const struct model *m = model_load(a, &o, &d);
    if (!m) fail_msg("%s", d.list.at[0].message);
    return m;
}

// Within that much of the tensor's own size.
static void assert_near(const char *net, const char *name, const float *got,
                        const float *expected, size_t n, double within) {
    double off = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        off += pow((double)got[i] - (double)expected[i], 2);
        size += pow((double)expected[i], 2);
    }
    if (!(sqrt(off) <= within * sqrt(size) + 1e-7))
        fail_msg("%s, %s: off by %g of %g", net, name, sqrt(off), sqrt(size));
}

static const struct plan_tensor *tensor_of(const struct plan_tensor *t, size_t n,
                                           const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(t[i].name, name)) return &t[i];
    fail_msg("no tensor is called %s", name);
    return NULL;
}

// The tensors that the list names lie behind each other, parameters first.
static void check_tensors(const struct step *s, const char *net, const float *expected) {
    size_t bytes, nth = 0;
    const char *path = arena_printf(s->a, FOLDER "%s_names.txt", net);
    const char *list = file_read(s->a, path, 1 << 16, &bytes);
    assert_non_null(list);
    for (const char *end; (end = strchr(list, '\n')) != NULL; list = end + 1, nth++) {
        const char *name = arena_strndup(s->a, list, (size_t)(end - list));
        bool param = nth < s->t.nparams;
        const struct plan_tensor *t = param ? tensor_of(s->t.params, s->t.nparams, name)
                                            : tensor_of(s->t.stats, s->t.nstats, name);
        const float *got = (param ? s->gradients : s->next) + t->at;
        assert_near(net, name, got, expected, t->count, 1e-4);
        expected += t->count;
    }
    assert_int_equal(nth, s->t.nparams + s->t.nstats);
}

static size_t floats_of(const struct plan_tensor *t, size_t n) {
    size_t floats = 0;
    for (size_t i = 0; i < n; i++) floats += t[i].count;
    return floats;
}

// workers 0: by the evaluator
static void check_step(struct arena *a, const char *name, size_t workers) {
    const struct model *m = imported(a, name);
    struct step s = step_of(a, m);
    struct jit jit;
    struct diags d;
    diags_init(&d, a);
    s.workers = workers;
    if (workers) s.jit = &jit;
    if (workers && !jit_compile(&jit, a, s.f, &d)) fail_msg("%s", d.list.at[0].message);
    size_t image = 3 * m->height * m->width;
    memcpy(s.x, stored(a, name, "x", ROWS * image), ROWS * image * sizeof(float));
    memcpy(s.target, stored(a, name, "target", ROWS * m->classes),
           ROWS * m->classes * sizeof(float));
    call(&s, ROWS);
    size_t floats = 1 + floats_of(s.t.params, s.t.nparams);
    floats += floats_of(s.t.stats, s.t.nstats);
    const float *expected = stored(a, name, "step", floats);
    assert_near(name, "loss", &s.loss, expected, 1, 1e-5);
    check_tensors(&s, name, expected + 1);
    if (workers) jit_free(&jit);
}

static const char *const stored_nets[] = {"convnet", "instances", "mlp", "residual",
                                          "inverted"};

static void steps_are_pytorchs(void **state) {
    for (size_t i = 0; i < COUNT(stored_nets); i++) check_step(*state, stored_nets[i], 0);
}

static void steps_of_code_are_pytorchs(void **state) {
    for (size_t i = 0; i < COUNT(stored_nets); i++)
        for (size_t workers = 1; workers <= 3; workers += 2)
            check_step(*state, stored_nets[i], workers);
}

// ---- tensors -------------------------------------------------------------------------
// Tensors begin at whole blocks; what is between them is zero, in gradients too.
static void tensors_lie_apart(void **state) {
    const struct model *m = imported(*state, "convnet");
    struct step s = step_of(*state, m);
    const struct train_net *t = &s.t;
    size_t end = 0;
    call(&s, ROWS);
    for (size_t i = 0; i < t->nparams; i++) {
        assert_int_equal(t->params[i].at % TRAIN_BLOCK, 0);
        assert_true(t->params[i].at >= end);
        for (; end < t->params[i].at; end++)
            assert_true(t->initial_params[end] == 0 && s.gradients[end] == 0);
        end += t->params[i].count;
    }
    assert_true(t->param_floats >= end && t->param_floats % TRAIN_BLOCK == 0);
    assert_int_equal(t->nstats, 4);
}

// PyTorch's exporter joins equal tensors, as all norms of an untrained network have them.
static void layers_have_their_own(void **state) {
    struct train_net t;
    train_net_of(*state, imported(*state, "untrained")->func, true, &t);
    assert_int_equal(t.nparams, 10);
    assert_int_equal(t.nstats, 4);
    for (size_t i = 0; i < t.nparams; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(t.params[i].name, t.params[k].name);
}

static void decay_spares_what_is_asked(void **state) {
    const struct model *m = imported(*state, "convnet");
    struct train_net all, weights;
    size_t spared = 0;
    train_net_of(*state, m->func, true, &all);
    train_net_of(*state, m->func, false, &weights);
    for (size_t i = 0; i < all.nparams; i++) {
        bool weight = strstr(all.params[i].name, ".weight") && all.params[i].count > 16;
        assert_true(all.params[i].decays);
        assert_int_equal(weights.params[i].decays, weight);
        spared += !weights.params[i].decays;
    }
    assert_int_equal(spared, 7);
}

// One row is a batch, too: its one number a channel has no variance, and nothing is NaN.
static void a_batch_of_one(void **state) {
    struct step s = step_of(*state, imported(*state, "mlp"));
    call(&s, 1);
    assert_true(isfinite(s.loss));
    for (size_t i = 0; i < s.t.stat_floats; i++) assert_true(isfinite(s.next[i]));
    for (size_t i = 0; i < s.t.param_floats; i++) assert_true(isfinite(s.gradients[i]));
}

// ---- updates -------------------------------------------------------------------------
#define STEPS  5
#define BLOCKS 2

static const struct {
    const char *name;
    struct plan_train t;
    bool nesterov;
    double rate, epsilon;
} updates[] = {
    {"sgd", {.optimizer = OPTIMIZER_SGD}, false, 0.1, 0},
    {"momentum",
     {.optimizer = OPTIMIZER_SGD, .nmoments = 1, .momentum = 0.9},
     false,
     0.1,
     0},
    {"nesterov",
     {.optimizer = OPTIMIZER_SGD, .nmoments = 1, .momentum = 0.8},
     true,
     0.1,
     0},
    {"adam",
     {.optimizer = OPTIMIZER_ADAM, .nmoments = 2, .beta1 = 0.8, .beta2 = 0.99},
     false,
     0.01,
     1e-6},
    {"adamw",
     {.optimizer = OPTIMIZER_ADAMW, .nmoments = 2, .beta1 = 0.9, .beta2 = 0.999},
     false,
     0.01,
     1e-8},
};

static void check_update(struct arena *a, size_t which) {
    const size_t n = BLOCKS * TRAIN_BLOCK;
    const struct plan_train *t = &updates[which].t;
    const char *name = updates[which].name;
    float decay[BLOCKS] = {0.05f, 0},
          *moments[2] = {NEW_N(a, float, n), NEW_N(a, float, n)};
    const struct func *f =
        train_update(a, t, updates[which].nesterov, updates[which].epsilon);
    const float *start = stored(a, "update", "start", n);
    const float *file = stored(a, "update", name, 2 * STEPS * n);
    float *param = arena_dup(a, start, n, sizeof *start);
    for (size_t i = 0; i < STEPS; i++) {
        double k = (double)i + 1;
        float step[4] = {(float)updates[which].rate, (float)(1 / (1 - pow(t->beta1, k))),
                         (float)(1 / (1 - pow(t->beta2, k))), i ? (float)t->momentum : 0};
        const void *args[6] = {param, file + i * n};
        void *outs[3] = {param, moments[0], moments[1]};
        size_t next_arg = 2;
        for (size_t m = 0; m < t->nmoments; m++) args[next_arg++] = moments[m];
        args[next_arg++] = decay, args[next_arg] = step;
        assert_true(eval_func(f, BLOCKS, args, outs, NULL));
        assert_near("update", name, param, file + (STEPS + i) * n, n, 1e-6);
    }
}

static void updates_are_pytorchs(void **state) {
    for (size_t i = 0; i < COUNT(updates); i++) check_update(*state, i);
}

// ---- labels --------------------------------------------------------------------------
static void labels_are_the_teachers(void **state) {
    const struct model *m = imported(*state, "instances");
    const struct func *f = differentiated(*state, train_ask(*state, m, m->func, 3));
    float logits[4], labels[4], *x = NEW_N(*state, float, 3 * 8 * 8),
                                *z = NEW_N(*state, float, 3 * 8 * 8);
    uint64_t seed = 9;
    double sum = 0;
    for (size_t i = 0; i < 3 * 64; i++) {
        x[i] = number(&seed, 0, 1);
        z[i] = (float)(((double)x[i] - MEAN[i / 64]) / STD[i / 64]);
    }
    assert_true(eval_func(m->func, 1, (const void *[]){z}, (void *[]){logits}, NULL));
    assert_true(eval_func(f, 1, (const void *[]){x}, (void *[]){labels}, NULL));
    for (size_t i = 0; i < 4; i++) sum += exp((double)logits[i] / 3);
    for (size_t i = 0; i < 4; i++)
        assert_true(fabs((double)labels[i] - exp((double)logits[i] / 3) / sum) < 1e-5);
}

static int setup(void **state) {
    *state = arena_new();
    return 0;
}

static int teardown(void **state) {
    arena_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(steps_are_pytorchs),
        cmocka_unit_test(steps_of_code_are_pytorchs),
        cmocka_unit_test(tensors_lie_apart),
        cmocka_unit_test(layers_have_their_own),
        cmocka_unit_test(decay_spares_what_is_asked),
        cmocka_unit_test(a_batch_of_one),
        cmocka_unit_test(updates_are_pytorchs),
        cmocka_unit_test(labels_are_the_teachers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
