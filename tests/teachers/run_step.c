// Steps of a training as ddg would take them, for tests/teachers/steps.py to compare with
// PyTorch.
//
//     run_step NETWORK FOLDER WORKERS [OPTIMIZER RATE ROWS]
//
// NETWORK is MODEL.onnx, or what ddg builds: "resnet depth=20 size=32". FOLDER holds
// names.txt, what the network's parameters and then its running statistics are called, a
// line each; values.npy, all of them in that order, flat; x.npy, pixels / 255 [N,C,H,W];
// target.npy, labels [N,K]. Writes step.npy: the loss of all rows, the parameters'
// gradients and the statistics after the step, in the order of the names. With an
// optimizer (sgd, with momentum
// 0.9, or adamw), takes a step for each ROWS images instead, and writes losses.npy.
#include "frontend/model.h"
#include "frontend/networks.h"
#include "passes/train_step.h"
#include "runtime/joint.h"
#include "runtime/npy.h"
#include "runtime/pool.h"
#include "tests/unit/jit.h"

#include <math.h>

struct job {
    struct arena *arena;
    struct diags d;
    const char *folder;
    const struct model *model;
    struct train_net t;
    size_t workers, rows, batch; // images, and how many of them are a step's
    struct jit step, update;
    struct joint *joint;
    char **in, **out;
    float *params, *stats, *gradients, *next; // as train_net lays them out
    float *moments[2], *decays;               // decays: one a block, all 0
    const float *x, *target;
    float loss;
};

// ---- networks ------------------------------------------------------------------------
static struct value numbers_of(struct arena *a, const char *text) {
    VEC(int64_t) v = {0};
    for (char *end; *text; text = end) {
        int64_t i = strtoll(text + strspn(text, "[], "), &end, 10);
        if (end == text || end == text + strspn(text, "[], ")) break;
        VEC_PUSH(a, &v, i);
    }
    return val_ints(v.at, v.n);
}

static struct value attr_of(struct arena *a, enum value_kind kind, const char *text) {
    if (!strcmp(text, "none") && kind != VAL_STRING) return (struct value){0};
    if (kind == VAL_INT) return val_int(strtoll(text, NULL, 10));
    if (kind == VAL_INTS) return numbers_of(a, text);
    size_t quoted = *text == '"';
    return val_string(arena_strndup(a, text + quoted, strlen(text) - 2 * quoted));
}

// "resnet depth=20 size=32", with ten classes unless it says otherwise.
static const struct model *built(struct job *j, const char *text) {
    size_t n = strcspn(text, " ");
    enum op op = op_find(FAMILY_PIPELINE, text, n);
    struct value attrs[OP_MAX_ATTRS] = {0};
    if (op == OP_COUNT || !(op_info(op)->flags & OPF_NETWORK)) {
        diag_error(&j->d, NO_SPAN, "%s is no network", text);
        return NULL;
    }
    for (size_t i = 0; i < op_attr_count(op); i++) {
        const struct attr_spec *s = &op_info(op)->attrs[i];
        const char *key = arena_printf(j->arena, " %s=", s->name);
        const char *at = strstr(text, key), *value = s->fallback;
        if (at) at += strlen(key), value = arena_strndup(j->arena, at, strcspn(at, " "));
        attrs[i] = attr_of(j->arena, s->kind, value ? value : "10");
    }
    return network_build(j->arena, op, attrs, &j->d, NO_SPAN);
}

static const struct model *imported(struct job *j, const char *path) {
    static const double mean[3] = {0.5, 0.5, 0.5}, std[3] = {0.25, 0.25, 0.25};
    struct model_options o = {
        .path = path, .mean = mean, .std = std, .nmean = 3, .nstd = 3};
    return model_load(j->arena, &o, &j->d);
}

static bool make_network(struct job *j, const char *text) {
    size_t n = strlen(text);
    bool file = n > 5 && !strcmp(text + n - 5, ".onnx");
    j->model = file ? imported(j, text) : built(j, text);
    if (!j->model) return false;
    train_net_of(j->arena, j->model->func, true, &j->t);
    j->params = j->t.initial_params, j->stats = j->t.initial_stats;
    j->gradients = NEW_N(j->arena, float, j->t.param_floats);
    j->next = NEW_N(j->arena, float, j->t.stat_floats);
    return true;
}

// ---- what is read and written --------------------------------------------------------
static const float *floats(struct job *j, const char *name, size_t *n) {
    struct npy file;
    const char *path = arena_printf(j->arena, "%s/%s.npy", j->folder, name);
    if (!npy_read(j->arena, path, &file, NO_SPAN, &j->d)) return NULL;
    if (file.type != NPY_F32) {
        diag_error(&j->d, NO_SPAN, "%s: not of float32", path);
        return NULL;
    }
    *n = file.count;
    return file.data;
}

static float *place_of(const struct plan_tensor *t, size_t n, float *flat,
                       const char *name, size_t *count) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(t[i].name, name)) {
            *count = t[i].count;
            return flat + t[i].at;
        }
    return NULL;
}

// Goes through the names: copies *values to each tensor of (params, stats), or back.
static bool each_tensor(struct job *j, float *params, float *stats, float *values,
                        size_t n, bool back) {
    size_t bytes, at = 0, count = 0, found = 0;
    const char *path = arena_printf(j->arena, "%s/names.txt", j->folder);
    const char *list = file_read(j->arena, path, 1 << 20, &bytes);
    for (const char *end; list && (end = strchr(list, '\n')); list = end + 1, found++) {
        const char *name = arena_strndup(j->arena, list, (size_t)(end - list));
        float *t = place_of(j->t.params, j->t.nparams, params, name, &count);
        if (!t) t = place_of(j->t.stats, j->t.nstats, stats, name, &count);
        if (!t || count > n - at)
            return diag_error(&j->d, NO_SPAN, "the network has no such `%s`", name);
        memcpy(back ? values + at : t, back ? t : values + at, count * sizeof *t);
        at += count;
    }
    return (found == j->t.nparams + j->t.nstats && at == n) ||
           diag_error(&j->d, NO_SPAN,
                      "%zu tensors of %zu numbers were given; there are %zu", found, at,
                      j->t.nparams + j->t.nstats);
}

static bool read_all(struct job *j) {
    size_t image = type_count(type_at(j->model->func, 0)), n, labels;
    const float *values = floats(j, "values", &n);
    if (!values ||
        !each_tensor(j, j->params, j->stats, (float *)(uintptr_t)values, n, false))
        return false;
    j->x = floats(j, "x", &n);
    j->target = floats(j, "target", &labels);
    j->rows = n / image;
    return j->x && j->target && labels == j->rows * j->model->classes;
}

static bool write_floats(struct job *j, const char *name, const float *v, size_t n) {
    const char *path = arena_printf(j->arena, "%s/%s.npy", j->folder, name);
    struct npy_writer *w = npy_create(path, NPY_F32, 1, &n, &j->d);
    if (!w) return false;
    if (npy_write(w, v, n * sizeof *v, &j->d)) return npy_commit(w, &j->d);
    return npy_abandon(w), false;
}

static bool write_all(struct job *j, size_t n) {
    float *all = NEW_N(j->arena, float, n + 1);
    all[0] = j->loss;
    return each_tensor(j, j->gradients, j->next, all + 1, n, true) &&
           write_floats(j, "step", all, n + 1);
}

// ---- a step --------------------------------------------------------------------------
static bool compile(struct job *j) {
    struct func *f =
        train_step(j->arena, j->model, j->model->func, &j->t, 1, j->batch, &j->d);
    if (!f || !jit_compile(&j->step, j->arena, f, &j->d)) return false;
    j->joint = joint_new(&j->step.plan, &j->step.func, j->workers);
    return j->joint || diag_error(&j->d, NO_SPAN, "no memory for the batch");
}

static void bind_tensors(struct job *j) {
    size_t n = j->t.nparams, k = j->t.nstats;
    j->in = NEW_N(j->arena, char *, 3 + n + k);
    j->out = NEW_N(j->arena, char *, 1 + n + k);
    j->out[0] = (char *)&j->loss;
    for (size_t i = 0; i < n; i++) {
        j->in[3 + i] = (char *)(j->params + j->t.params[i].at);
        j->out[1 + i] = (char *)(j->gradients + j->t.params[i].at);
    }
    for (size_t i = 0; i < k; i++) {
        j->in[3 + n + i] = (char *)(j->stats + j->t.stats[i].at);
        j->out[1 + n + i] = (char *)(j->next + j->t.stats[i].at);
    }
}

static void work(void *ctx, size_t worker) {
    struct job *j = ctx;
    joint_call(j->joint, worker, j->in, j->out, j->batch, NULL);
}

// Of the batch that begins at row `first`.
static void take_step(struct job *j, size_t first) {
    float share = 1 / (float)j->batch;
    size_t image = type_count(type_at(j->model->func, 0));
    j->in[0] = (char *)(uintptr_t)(j->x + first * image);
    j->in[1] = (char *)(uintptr_t)(j->target + first * j->model->classes);
    j->in[2] = (char *)&share;
    pool_run(j->workers, work, j);
}

static bool one_step(struct job *j) {
    size_t n;
    if (!floats(j, "values", &n)) return false;
    take_step(j, 0);
    return write_all(j, n);
}

// ---- many steps ----------------------------------------------------------------------
static bool compile_update(struct job *j, struct plan_train *t, const char *optimizer) {
    bool sgd = !strcmp(optimizer, "sgd");
    *t = (struct plan_train){.optimizer = sgd ? OPTIMIZER_SGD : OPTIMIZER_ADAMW,
                             .nmoments = sgd ? 1 : 2,
                             .momentum = 0.9,
                             .beta1 = 0.9,
                             .beta2 = 0.999};
    for (size_t i = 0; i < t->nmoments; i++)
        j->moments[i] = NEW_N(j->arena, float, j->t.param_floats);
    j->decays = NEW_N(j->arena, float, j->t.param_floats / TRAIN_BLOCK);
    return jit_compile(&j->update, j->arena, train_update(j->arena, t, false, 1e-8),
                       &j->d);
}

// Nothing is updated in place: what is new is copied over what was.
static void update(struct job *j, const struct plan_train *t, double rate, double step) {
    size_t n = 0, floats = j->t.param_floats;
    float numbers[4] = {(float)rate, (float)(1 / (1 - pow(t->beta1, step))),
                        (float)(1 / (1 - pow(t->beta2, step))),
                        step > 1 ? (float)t->momentum : 0};
    char *in[6] = {(char *)j->params, (char *)j->gradients};
    void **out =
        jit_results(j->arena, j->update.module.funcs.at[0].f, floats / TRAIN_BLOCK);
    for (; n < t->nmoments; n++) in[2 + n] = (char *)j->moments[n];
    in[2 + n] = (char *)j->decays, in[3 + n] = (char *)numbers;
    jit_run_at(&j->update, floats / TRAIN_BLOCK, 0, in, (char *const *)out);
    memcpy(j->params, out[0], floats * sizeof(float));
    for (size_t i = 0; i < n; i++)
        memcpy(j->moments[i], out[1 + i], floats * sizeof(float));
    memcpy(j->stats, j->next, j->t.stat_floats * sizeof(float));
}

static bool many_steps(struct job *j, const char *optimizer, double rate) {
    struct plan_train t;
    size_t n = j->rows / j->batch;
    float *losses = NEW_N(j->arena, float, n);
    if (!compile_update(j, &t, optimizer)) return false;
    for (size_t i = 0; i < n; i++) {
        take_step(j, i * j->batch);
        update(j, &t, rate, (double)i + 1);
        losses[i] = j->loss;
    }
    return write_floats(j, "losses", losses, n);
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 7) {
        fputs("run_step NETWORK FOLDER WORKERS [OPTIMIZER RATE ROWS]\n", stderr);
        return 2;
    }
    struct job j = {.arena = arena_new(), .folder = argv[2]};
    diags_init(&j.d, j.arena);
    j.workers = (size_t)strtoul(argv[3], NULL, 10);
    bool ok = j.workers && make_network(&j, argv[1]) && read_all(&j);
    j.batch = ok && argc == 7 ? (size_t)strtoul(argv[6], NULL, 10) : j.rows;
    ok = ok && j.batch && compile(&j);
    if (ok) bind_tensors(&j);
    ok =
        ok && (argc == 7 ? many_steps(&j, argv[4], strtod(argv[5], NULL)) : one_step(&j));
    if (!ok) diags_print(&j.d, stderr, false);
    if (j.joint) joint_free(j.joint);
    jit_free(&j.step), jit_free(&j.update);
    arena_free(j.arena);
    return !ok;
}
