// One step of a training, kernel by kernel: what the network's forward and backward
// passes take, without augmentation, teacher and update.
//
//     ddg-bench-step NET BATCH THREADS [STEPS]
//
// NET: convnet (depth 3, width 128), resnet20, vgg11, mobilenet_v2, mlp, lenet; images
// are of 32 x 32. DDG_BENCH_DUMP=1 prints the function and its kernels first.
#include "codegen/assemble.h"
#include "frontend/networks.h"
#include "ir/text.h"
#include "passes/train_step.h"
#include "runtime/joint.h"
#include "runtime/pool.h"
#include "runtime/profile.h"

#include <math.h>

#define SIZE    32
#define CLASSES 10

static const struct {
    const char *name;
    enum op op;
} NETS[] = {{"convnet", OP_CONVNET}, {"resnet20", OP_RESNET},
            {"vgg11", OP_VGG11},     {"mobilenet_v2", OP_MOBILENET_V2},
            {"mlp", OP_MLP},         {"lenet", OP_LENET}};

struct bench {
    struct arena *arena;
    struct diags d;
    struct target target;
    struct module module;
    struct plan plan;
    struct plan_func func;
    struct codegen *codegen;
    struct joint *joint;
    struct profile *profile;
    char **in, **out;
    size_t batch, steps;
    double *seconds;
};

// ---- the function --------------------------------------------------------------------
static void set(enum op op, struct value *attrs, const char *name, struct value v) {
    int i = op_attr(op, name, strlen(name));
    if (i >= 0) attrs[i] = v;
}

static const struct model *network(struct bench *b, const char *name) {
    static const int64_t hidden[] = {512, 512};
    struct value at[OP_MAX_ATTRS] = {{0}};
    for (size_t i = 0; i < COUNT(NETS); i++) {
        enum op op = NETS[i].op;
        if (strcmp(name, NETS[i].name) != 0) continue;
        set(op, at, "size", val_int(SIZE));
        set(op, at, "classes", val_int(CLASSES));
        set(op, at, "seed", val_int(0));
        set(op, at, "depth", val_int(op == OP_RESNET ? 20 : 3));
        set(op, at, "width", val_int(128));
        set(op, at, "norm", val_string(op == OP_CONVNET ? "batch" : "none"));
        set(op, at, "stem", val_string("none"));
        set(op, at, "hidden", val_ints(hidden, 2));
        return network_build(b->arena, op, at, &b->d, NO_SPAN);
    }
    diag_error(&b->d, NO_SPAN, "no network is called \"%s\"", name);
    return NULL;
}

static bool make_step(struct bench *b, const char *name) {
    struct train_net net;
    const struct model *m = network(b, name);
    if (!m) return false;
    train_net_of(b->arena, m->func, true, &net);
    struct func *f = train_step(b->arena, m, m->func, &net, 1, b->batch, &b->d);
    if (!f) return false;
    VEC_PUSH(b->arena, &b->module.funcs, (struct module_func){.f = f});
    return passes_run_func(&b->module, 0, NULL, &b->d);
}

static bool compile(struct bench *b) {
    b->plan = (struct plan){.funcs = &b->func, .nfuncs = 1};
    b->func.name = "step";
    if (!(b->codegen = codegen_new(&b->target, &b->d))) return false;
    struct assembly *a =
        assembly_new(b->arena, b->codegen, &b->target, &b->plan, SIZE_MAX);
    return assembly_add(a, 0, b->module.funcs.at[0].k, &b->d) &&
           assembly_finish(a, 2, &b->d);
}

// Numbers of no meaning, but such that nothing overflows.
static void make_buffers(struct bench *b) {
    const struct func *f = b->module.funcs.at[0].f;
    size_t n = 0;
    uint64_t seed = 1;
    b->in = NEW_N(b->arena, char *, f->nodes.n);
    b->out = NEW_N(b->arena, char *, f->outs.n);
    for (nid v = 0; v < f->nodes.n; v++) {
        const struct type *t = type_at(f, v);
        if (node_at(f, v)->op != OP_INPUT) continue;
        size_t count = type_count(t) * (t->rows ? b->batch : 1);
        float *x = arena_alloc(b->arena, count + 16, sizeof *x);
        double scale = 1 / sqrt((double)type_count(t) + 1);
        for (size_t i = 0; i < count; i++) {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            x[i] = (float)(scale * ((double)(seed >> 33) / 0x1p30 - 1));
        }
        if (type_count(t) == 1) x[0] = 1 / (float)b->batch;
        b->in[n++] = (char *)x;
    }
    for (size_t i = 0; i < f->outs.n; i++) {
        const struct type *t = type_at(f, f->outs.at[i]);
        b->out[i] = arena_alloc(b->arena, t->rows ? b->batch : 1, type_bytes(t) + 64);
    }
}

// ---- steps ---------------------------------------------------------------------------
static void work(void *ctx, size_t worker) {
    struct bench *b = ctx;
    for (size_t i = 0; i < b->steps; i++) {
        double began = clock_seconds();
        struct profile_lane *lane = i ? profile_lane(b->profile, worker) : NULL;
        joint_call(b->joint, worker, b->in, b->out, b->batch, lane);
        if (!worker) b->seconds[i] = clock_seconds() - began;
    }
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_rows(struct bench *b) {
    struct profile_row *rows;
    size_t n = profile_rows(b->profile, b->arena, &rows);
    double steps = (double)(b->steps - 1);
    for (size_t i = 0; i < n; i++)
        printf("%8.3f ms %3zu %7.1f GFLOP/s  %s, %s\n", rows[i].seconds * 1e3 / steps,
               rows[i].layers, rows[i].flops / rows[i].seconds / 1e9, rows[i].what,
               rows[i].how);
}

static double kernel_seconds(const struct bench *b, size_t threads) { // of a step
    return profile_sum(b->profile).kernels / (double)(threads * (b->steps - 1));
}

static void run(struct bench *b, size_t threads) {
    b->seconds = NEW_N(b->arena, double, b->steps);
    b->profile = profile_new(threads, false);
    b->joint = joint_new(&b->plan, &b->func, threads);
    if (!b->profile || !b->joint) scope_no_memory();
    profile_begin(b->profile, &b->plan);
    pool_run(threads, work, b);
    qsort(b->seconds, b->steps, sizeof *b->seconds, compare);
    size_t phases = 0;
    for (size_t i = 0; i < b->func.nbands; i++)
        phases = size_max(phases, b->func.bands[i].phase + 1);
    print_rows(b);
    printf("%.1f ms a step (least %.1f), %.1f in kernels\n",
           b->seconds[b->steps / 2] * 1e3, b->seconds[0] * 1e3,
           kernel_seconds(b, threads) * 1e3);
    printf("%zu kernels, %zu bands, %zu phases; %.1f MB, and %.1f MB a worker\n",
           b->func.ncalls, b->func.nbands, phases, (double)b->func.arena_bytes / 1e6,
           (double)b->func.own_bytes / 1e6);
    joint_free(b->joint);
    profile_free(b->profile);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: ddg-bench-step NET BATCH THREADS [STEPS]\n");
        return 2;
    }
    struct bench b = {.arena = arena_new(),
                      .batch = (size_t)atoi(argv[2]),
                      .steps = argc > 4 ? (size_t)atoi(argv[4]) : 20};
    diags_init(&b.d, b.arena);
    b.module = (struct module){.arena = b.arena, .target = &b.target};
    bool ok = b.batch && b.steps > 1 &&
              codegen_target_named(b.arena, "native", &b.target, &b.d) &&
              make_step(&b, argv[1]);
    if (ok && getenv("DDG_BENCH_DUMP")) {
        struct text out = {.arena = b.arena};
        b.module.plan = &b.plan;
        module_print(&b.module, &out);
        fputs(out.at, stdout);
    }
    ok = ok && compile(&b);
    if (ok) {
        make_buffers(&b);
        run(&b, (size_t)atoi(argv[3]));
    }
    diags_print(&b.d, stderr, false);
    if (b.codegen) codegen_free(b.codegen);
    arena_free(b.arena);
    return !ok;
}
