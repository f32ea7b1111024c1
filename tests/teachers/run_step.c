// One step of a training as ddg would take it, for tests/teachers/steps.py to compare with
// PyTorch, and to be timed.
//
//     run_step NETWORK FOLDER WORKERS           NETWORK: MODEL.onnx, or "resnet depth=20 size=32"
//     run_step NETWORK time WORKERS BATCH SECONDS
//
// FOLDER holds names.txt, what the network's parameters and then its running statistics are
// called, a line each; values.npy, all of them in that order, flat; x.npy, pixels / 255
// [N,C,H,W]; target.npy, labels [N,K]. Writes step.npy: the loss, the parameters' gradients
// and the statistics after the step, in the order of the names. `time` takes steps on random
// images and prints how long one takes, and which kernels take it.
#include "frontend/model.h"
#include "frontend/networks.h"
#include "passes/train_step.h"
#include "runtime/joint.h"
#include "runtime/npy.h"
#include "runtime/pool.h"
#include "runtime/profile.h"
#include "tests/unit/jit.h"

#include <time.h>

struct job {
    struct arena *arena;
    struct diags d;
    const char *folder;
    const struct model *model;
    struct train_net t;
    size_t workers, batch;
    struct jit jit;
    float *params, *stats, *gradients, *next; // as train_net lays them out
    const float *x, *target;
    float loss;
    double seconds; // 0: one step
    size_t steps;   // taken
    struct profile *profile;
};

// ---- networks --------------------------------------------------------------------------
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

// ---- what is read and written ------------------------------------------------------------
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
    j->batch = n / image;
    return j->x && j->target && j->batch && labels == j->batch * j->model->classes;
}

static bool write_all(struct job *j, size_t n) {
    float *all = NEW_N(j->arena, float, n + 1);
    size_t dim[1] = {n + 1};
    all[0] = j->loss;
    if (!each_tensor(j, j->gradients, j->next, all + 1, n, true)) return false;
    const char *path = arena_printf(j->arena, "%s/step.npy", j->folder);
    struct npy_writer *w = npy_create(path, NPY_F32, 1, dim, &j->d);
    if (!w) return false;
    if (npy_write(w, all, dim[0] * sizeof *all, &j->d)) return npy_commit(w, &j->d);
    return npy_abandon(w), false;
}

// ---- steps -----------------------------------------------------------------------------
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool compile(struct job *j) {
    double began = now();
    struct func *f = train_step(j->arena, j->model, j->model->func, &j->t,
                                &(struct train_loss){1}, j->batch, &j->d);
    if (!f || !jit_compile(&j->jit, j->arena, f, &j->d)) return false;
    printf("compile_s %.1f\nkernels %zu\narena_mb %zu\nown_kb %zu\n", now() - began,
           j->jit.func.ncalls, j->jit.func.arena_bytes >> 20,
           j->jit.func.own_bytes >> 10);
    return true;
}

struct running {
    struct job *j;
    struct joint *joint;
    char **in, **out;
    double until;
    bool done;
};

static void take_steps(void *ctx, size_t worker) {
    struct running *r = ctx;
    struct job *j = r->j;
    struct profile_lane *lane = profile_lane(j->profile, worker);
    for (bool done = false; !done;) {
        profile_chunk(lane, "step");
        joint_call(r->joint, worker, r->in, r->out, j->batch, lane);
        profile_chunk_done(lane, j->batch);
        joint_meet(r->joint, worker);
        if (worker == 0) j->steps++, r->done = now() >= r->until;
        joint_meet(r->joint, worker);
        done = r->done;
    }
}

static bool run(struct job *j) {
    size_t n = j->t.nparams, k = j->t.nstats;
    float share = 1 / (float)j->batch;
    struct running r = {.j = j, .until = now() + j->seconds};
    r.in = NEW_N(j->arena, char *, 3 + n + k);
    r.out = NEW_N(j->arena, char *, 1 + n + k);
    r.in[0] = (char *)(uintptr_t)j->x, r.in[1] = (char *)(uintptr_t)j->target;
    r.in[2] = (char *)&share, r.out[0] = (char *)&j->loss;
    for (size_t i = 0; i < n; i++) {
        r.in[3 + i] = (char *)(j->params + j->t.params[i].at);
        r.out[1 + i] = (char *)(j->gradients + j->t.params[i].at);
    }
    for (size_t i = 0; i < k; i++) {
        r.in[3 + n + i] = (char *)(j->stats + j->t.stats[i].at);
        r.out[1 + n + i] = (char *)(j->next + j->t.stats[i].at);
    }
    r.joint = joint_new(&j->jit.plan, &j->jit.func, j->workers);
    if (!r.joint) return diag_error(&j->d, NO_SPAN, "no memory for the batch");
    pool_run(j->workers, take_steps, &r);
    joint_free(r.joint);
    return true;
}

// ---- timing ----------------------------------------------------------------------------
static void make_images(struct job *j) {
    size_t n = j->batch * type_count(type_at(j->model->func, 0)), k = j->model->classes;
    float *x = NEW_N(j->arena, float, n), *target = NEW_N(j->arena, float, j->batch *k);
    for (size_t i = 0; i < n; i++) x[i] = (float)(i * 7919 % 1009) / 1009;
    for (size_t i = 0; i < j->batch; i++) target[i * k + i % k] = 1;
    j->x = x, j->target = target;
}

static bool time_steps(struct job *j) {
    make_images(j);
    if (!compile(j) || !run(j)) return false; // the first touches all memory
    j->profile = profile_new(j->workers, false);
    profile_begin(j->profile, &j->jit.plan);
    j->steps = 0;
    double began = now();
    if (!run(j)) return false;
    double each = (now() - began) / (double)j->steps;
    printf("step_ms %.2f\nloss %g\n", each * 1e3, (double)j->loss);
    struct profile_row *rows;
    size_t n = profile_rows(j->profile, j->arena, &rows);
    for (size_t i = 0; i < n; i++)
        printf("%8.2f ms %6.1f GFLOP/s %6.1f GB/s  %3zu  %s, %s\n",
               rows[i].seconds / (double)j->steps * 1e3,
               rows[i].flops / rows[i].seconds / 1e9,
               rows[i].bytes / rows[i].seconds / 1e9, rows[i].layers, rows[i].what,
               rows[i].how ? rows[i].how : "");
    return true;
}

static bool compare(struct job *j) {
    size_t n;
    return read_all(j) && compile(j) && run(j) && floats(j, "values", &n) &&
           write_all(j, n);
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 6) {
        fputs("run_step NETWORK FOLDER WORKERS\n"
              "run_step NETWORK time WORKERS BATCH SECONDS\n",
              stderr);
        return 2;
    }
    struct job j = {.arena = arena_new(), .folder = argv[2]};
    diags_init(&j.d, j.arena);
    j.workers = (size_t)strtoul(argv[3], NULL, 10);
    if (argc == 6) j.batch = (size_t)strtoul(argv[4], NULL, 10);
    if (argc == 6) j.seconds = strtod(argv[5], NULL);
    bool ok = j.workers && make_network(&j, argv[1]) &&
              (argc == 6 ? time_steps(&j) : compare(&j));
    if (!ok) diags_print(&j.d, stderr, false);
    jit_free(&j.jit);
    profile_free(j.profile);
    arena_free(j.arena);
    return !ok;
}
