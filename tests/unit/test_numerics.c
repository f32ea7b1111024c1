// Results round as the words in target.numerics say, and the store's keys with them:
// fixed functions on fixed numbers give the bits that are recorded for these words in
// tests/data/numerics.txt.
//
// When this fails after a change of a pass, of code generation or of the compiler
// underneath, values in people's stores would not be what is computed anew: raise
// CODEGEN_NUMERICS_VERSION, then record with DDG_UPDATE=1, on a machine that runs all of
// the targets below, multiplies bf16, and has what unit/guest.h needs. A case may be
// added without that.
#include "cli/driver.h"
#include "jit.h"
#include "runtime/joint.h"
#include "scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define RECORD TEST_DATA "/numerics.txt"
#define ROWS   5

static const char *const targets[] = {"x86-64", "x86-64-v3", "x86-64-v4", "native"};

static bool runs_here(const char *target) {
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") &&
              __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vl");
    if (!strcmp(target, "x86-64-v4")) return v4;
    return strcmp(target, "x86-64-v3") != 0 || v3;
}

// ---- numbers -------------------------------------------------------------------------
// In [-1, 1), all 24 bits in use, so that hardly any sum is exact.
static float *numbers(struct arena *a, uint64_t seed, size_t n, double scale) {
    float *v = NEW_N(a, float, n);
    for (size_t i = 0; i < n; i++) {
        uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15)); // splitmix64
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        v[i] = (float)(((double)((z ^ z >> 31) >> 11) * 0x1p-52 - 1) * scale);
    }
    return v;
}

static nid input(struct builder *b, const char *name, uint32_t rank, const size_t *dim) {
    return b_input(b, name, type_tensor(ELEM_F32, true, rank, dim));
}

static nid shared(struct builder *b, const char *name, uint32_t rank, const size_t *dim) {
    return b_input(b, name, type_tensor(ELEM_F32, false, rank, dim));
}

static nid constant(struct builder *b, uint64_t seed, uint32_t rank, const size_t *dim) {
    struct type t = type_tensor(ELEM_F32, false, rank, dim);
    return b_const(b, t, numbers(b->arena, seed, type_count(&t), 0.4));
}

static nid parameter(struct builder *b, const char *name, uint64_t seed, uint32_t rank,
                     const size_t *dim) {
    struct type t = type_tensor(ELEM_F32, false, rank, dim);
    return b_param(b, name, t, numbers(b->arena, seed, type_count(&t), 0.4));
}

#define DIMS(...)                                                                        \
    (uint32_t)(sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t)), (size_t[]) {           \
        __VA_ARGS__                                                                      \
    }

static struct conv_attrs window(int64_t stride, int64_t pad, int64_t groups) {
    return (struct conv_attrs){{stride, stride}, {pad, pad, pad, pad}, {1, 1}, groups};
}

// ---- functions -----------------------------------------------------------------------
// A residual block: convolution, bias, shortcut, activation; then the same with a stride.
static void conv_epilogue(struct builder *b) {
    nid x = input(b, "x", DIMS(20, 11, 13));
    struct conv_attrs same = window(1, 1, 1), down = window(2, 1, 1);
    nid y = b_conv(b, x, constant(b, 1, DIMS(20, 20, 3, 3)), &same);
    y = b_binary(b, OP_ADD, y, constant(b, 2, DIMS(20, 1, 1)));
    y = b_unary(b, OP_RELU, b_binary(b, OP_ADD, y, x));
    y = b_conv(b, y, constant(b, 3, DIMS(37, 20, 3, 3)), &down);
    build_output(b, "y", b_unary(b, OP_TANH, y));
}

static void grouped(struct builder *b) {
    nid x = input(b, "x", DIMS(24, 9, 9));
    struct conv_attrs each = window(1, 1, 24), groups = window(1, 2, 4);
    nid y = b_conv(b, x, constant(b, 4, DIMS(24, 1, 3, 3)), &each);
    build_output(b, "depthwise", b_unary(b, OP_RELU, y));
    build_output(b, "groups", b_conv(b, y, constant(b, 5, DIMS(32, 6, 5, 5)), &groups));
}

static void matrices(struct builder *b) {
    nid x = input(b, "x", DIMS(1, 67)), y = input(b, "y", DIMS(7, 19));
    nid wide = b_matmul(b, x, constant(b, 6, DIMS(77, 67)), false, true);
    build_output(b, "wide", b_binary(b, OP_ADD, wide, constant(b, 7, DIMS(1, 77))));
    build_output(b, "square", b_matmul(b, y, y, true, false));
}

// Heads of attention, and what follows: stacks of products, softmax, the error function.
static void attention(struct builder *b) {
    nid x = input(b, "x", DIMS(21, 72));
    nid all = b_matmul(b, x, constant(b, 12, DIMS(72, 72)), false, false);
    nid heads = b_reshape(b, all, (size_t[]){21, 3, 24}, 3);
    nid q = b_transpose(b, heads, (int64_t[]){1, 0, 2}, 3);
    nid e = b_unary(b, OP_EXP, b_matmul(b, q, q, false, true));
    nid part = b_binary(b, OP_DIV, e, b_sum(b, e, (int64_t[]){2}, 1, true));
    nid y = b_matmul(b, part, q, false, false);
    build_output(b, "heads", y);
    y = b_reshape(b, b_transpose(b, y, (int64_t[]){1, 0, 2}, 3), (size_t[]){21, 72}, 2);
    y = b_matmul(b, y, constant(b, 13, DIMS(72, 50)), false, false);
    nid gate = b_binary(b, OP_ADD, b_unary(b, OP_ERF, y), b_f32(b, 1));
    build_output(b, "gelu", b_binary(b, OP_MUL, y, gate));
}

static void reductions(struct builder *b) {
    nid x = input(b, "x", DIMS(19, 10, 12));
    build_output(b, "all", b_sum_all(b, b_binary(b, OP_MUL, x, x)));
    build_output(b, "maps", b_sum(b, x, (int64_t[]){1, 2}, 2, false));
    build_output(b, "channels", b_sum(b, x, (int64_t[]){0}, 1, false));
    build_output(b, "lines", b_sum(b, x, (int64_t[]){2}, 1, false));
    nid mean = b_sum(b, x, (int64_t[]){1, 2}, 2, true);
    mean = b_binary(b, OP_DIV, mean, b_f32(b, 120));
    nid off = b_binary(b, OP_SUB, x, mean);
    build_output(b, "spread", b_sum_all(b, b_binary(b, OP_MUL, off, off)));
}

static void functions(struct builder *b) {
    nid x = b_binary(b, OP_MUL, input(b, "x", DIMS(3, 41)), b_f32(b, 9));
    nid top = b_amax(b, x, (int64_t[]){1}, 1, true);
    nid e = b_unary(b, OP_EXP, b_binary(b, OP_SUB, x, top));
    nid sum = b_sum(b, e, (int64_t[]){1}, 1, true), size = b_binary(b, OP_MUL, x, x);
    build_output(b, "exp", b_unary(b, OP_EXP, x));
    build_output(b, "log", b_unary(b, OP_LOG, size));
    build_output(b, "sqrt", b_unary(b, OP_SQRT, size));
    build_output(b, "tanh", b_unary(b, OP_TANH, x));
    build_output(b, "sigmoid", b_unary(b, OP_SIGMOID, x));
    build_output(b, "softmax", b_binary(b, OP_DIV, e, sum));
    build_output(
        b, "log_softmax",
        b_binary(b, OP_SUB, b_binary(b, OP_SUB, x, top), b_unary(b, OP_LOG, sum)));
}

static nid pooled(struct builder *b, enum op op, nid x) {
    static const int64_t kernel[] = {3, 3}, strides[] = {2, 2}, pads[] = {1, 1, 1, 1};
    struct value attrs[] = {val_ints(kernel, 2), val_ints(strides, 2), val_ints(pads, 4),
                            val_bool(false)};
    return build_node(b, op, &x, 1, attrs, NULL);
}

// Every kind of gradient: of a convolution's input and weights (stored, and their
// squares), of a matrix, of pools.
static void gradients(struct builder *b) {
    nid x = input(b, "x", DIMS(5, 12, 12)), norm = b_f32(b, 0);
    struct conv_attrs same = window(1, 1, 1), down = window(2, 1, 1);
    nid p[] = {parameter(b, "a", 8, DIMS(18, 5, 3, 3)),
               parameter(b, "b", 9, DIMS(33, 18, 3, 3)),
               parameter(b, "c", 10, DIMS(7, 33)), parameter(b, "d", 11, DIMS(33, 1, 1))};
    nid y = pooled(b, OP_MAXPOOL, b_unary(b, OP_RELU, b_conv(b, x, p[0], &same)));
    y = b_binary(b, OP_ADD, b_conv(b, y, p[1], &down), p[3]);
    y = b_sum(b, pooled(b, OP_AVGPOOL, b_unary(b, OP_RELU, y)), (int64_t[]){1, 2}, 2,
              false);
    y = b_matmul(b, b_reshape(b, y, (size_t[]){1, 33}, 2), p[2], false, true);
    nid loss = b_sum_all(b, b_unary(b, OP_TANH, y));
    for (size_t i = 0; i < COUNT(p); i++) {
        nid g = build_node(b, OP_GRAD, (nid[]){loss, p[i]}, 2, NULL, NULL);
        norm = b_binary(b, OP_ADD, norm, b_sum_all(b, b_binary(b, OP_MUL, g, g)));
        if (i == 0) build_output(b, "weights", g);
    }
    build_output(b, "norm", norm);
    build_output(b, "pixels", build_node(b, OP_GRAD, (nid[]){loss, x}, 2, NULL, NULL));
}

static nid biased(struct builder *b, nid x, uint64_t seed) {
    nid bias = constant(b, seed, DIMS(type_at(b->f, x)->dim[0], 1, 1));
    return b_unary(b, OP_TANH, b_binary(b, OP_ADD, x, bias));
}

// What may multiply bf16: places by themselves, with a border, with a stride, lines; and,
// for the pixels' gradient, the way back. Where the target cannot, this is one case more
// of fp32.
static void halves(struct builder *b) {
    struct conv_attrs one = window(1, 0, 1), wide = window(1, 2, 1),
                      down = window(2, 1, 1);
    b->f->bf16 = true;
    nid x = input(b, "x", DIMS(40, 14, 13)), y = biased(b, x, 14);
    y = biased(b, b_conv(b, y, constant(b, 15, DIMS(70, 40, 1, 1)), &one), 16);
    y = biased(b, b_conv(b, y, constant(b, 17, DIMS(36, 70, 5, 5)), &wide), 18);
    y = biased(b, b_conv(b, y, constant(b, 19, DIMS(34, 36, 3, 3)), &down), 20);
    y = b_reshape(b, y, (size_t[]){34, 49}, 2);
    y = b_transpose(b, y, (int64_t[]){1, 0}, 2);
    y = b_matmul(b, y, constant(b, 21, DIMS(34, 50)), false, false);
    nid sum = b_sum_all(b, b_binary(b, OP_MUL, y, y));
    build_output(b, "lines", y);
    build_output(b, "pixels", build_node(b, OP_GRAD, (nid[]){sum, x}, 2, NULL, NULL));
}

// What a step of training is made of: weights that all rows share, packed as it runs; and
// sums over the batch of weight gradients, Winograd's way and tap by tap, of products and
// of maps.
static void batch(struct builder *b) {
    struct conv_attrs same = window(1, 1, 1), down = window(2, 2, 1);
    b->f->joint = true;
    b->f->batch = ROWS;
    nid x = input(b, "x", DIMS(20, 12, 12)), w = shared(b, "w", DIMS(40, 20, 3, 3));
    nid v = shared(b, "v", DIMS(24, 40, 5, 5)), u = shared(b, "u", DIMS(864, 10));
    nid y = b_unary(b, OP_RELU, b_conv(b, x, w, &same));
    nid z = b_reshape(b, b_conv(b, y, v, &down), (size_t[]){1, 864}, 2);
    nid d = b_unary(b, OP_TANH, b_matmul(b, z, u, false, false));
    nid dz = b_reshape(b, b_matmul(b, d, u, false, true), (size_t[]){24, 6, 6}, 3);
    nid dy = b_conv_dx(b, dz, v, &down, 12, 12);
    build_output(b, "dx", b_conv_dx(b, dy, w, &same, 12, 12));
    build_output(b, "dw", b_batch_sum(b, b_conv_dw(b, x, dy, &same, 3, 3)));
    build_output(b, "dv", b_batch_sum(b, b_conv_dw(b, y, dz, &down, 5, 5)));
    build_output(b, "du", b_batch_sum(b, b_matmul(b, z, d, true, false)));
    nid maps = b_sum(b, dy, (int64_t[]){1, 2}, 2, false);
    build_output(b, "maps", b_batch_sum(b, maps));
}

static const struct function {
    const char *name;
    void (*build)(struct builder *b);
} cases[] = {
    {"conv_epilogue", conv_epilogue}, {"grouped", grouped},     {"matrices", matrices},
    {"reductions", reductions},       {"functions", functions}, {"gradients", gradients},
    {"attention", attention},         {"halves", halves},       {"batch", batch},
};

// ---- programs ------------------------------------------------------------------------
// The example's teacher on one image of each class. Exact Shapley values: those of drawn
// coalitions are solved for by a library, whose bits are part of their key.
static const char program[] =
    "x = images(\"%s/shapes/train\", size = 32, limit = 1)\n"
    "m = onnx(\"%s/shapes.onnx\", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, "
    "0.225])\n"
    "save(relabel(m, x), to = \"logits.npy\")\n"
    "save(shap_patches(m, x, grid = 3, sampling = \"exact\"), to = \"shap.npy\")\n"
    "save(gradnorm(m, x), to = \"gradnorm.npy\")\n";

static const char *const saved[] = {"logits.npy", "shap.npy", "gradnorm.npy"};

// ---- the record ----------------------------------------------------------------------
struct record { // lines of "case digest words"
    struct fixture *f;
    const char *old;
    struct text now;
    bool update;
    size_t differ, missing;
};

static bool recorded(const struct record *r, const char *words, const char *name,
                     char hex[DIGEST_HEX]) {
    const char *key = arena_printf(r->f->a, "\n%s ", name), *tail;
    for (const char *at = r->old; (at = strstr(at, key)); at++) {
        const char *digest = at + strlen(key);
        tail = digest + DIGEST_HEX - 1;
        size_t n = strlen(words);
        if (strncmp(tail + 1, words, n) != 0 || tail[n + 1] != '\n') continue;
        snprintf(hex, DIGEST_HEX, "%s", digest);
        return true;
    }
    return false;
}

static void compare(struct record *r, const char *target, const char *words,
                    const char *name, struct digest got) {
    char hex[DIGEST_HEX], old[DIGEST_HEX];
    digest_hex(got, hex);
    // What is native rounds as another target does, but for bf16.
    if (strcmp(target, "native") != 0 || strstr(words, " bf16"))
        text_add(&r->now, "%s %s %s\n", name, hex, words);
    if (!recorded(r, words, name, old)) {
        r->missing++;
        if (!r->update) print_error("%s is not recorded for `%s`\n", name, words);
    } else if (strcmp(hex, old) != 0) {
        r->differ++;
        print_error("%s on %s (`%s`) gives other bits than recorded\n", name, target,
                    words);
    }
}

// ---- what is compared ----------------------------------------------------------------
static void call_batch(struct jit *j, const void *const *args, void *const *outs) {
    struct joint *joint = joint_new(&j->plan, &j->func, 1);
    assert_non_null(joint);
    joint_call(joint, 0, (char *const *)args, (char *const *)outs, ROWS, NULL);
    joint_free(joint);
}

static void call_it(struct fixture *f, struct jit *j, struct digest *d) {
    const struct func *fn = j->module.funcs.at[0].f; // gradients expanded
    const void *args[4];
    void *outs[8];
    size_t nargs = 0;
    for (nid v = 0; v < fn->nodes.n; v++)
        if (node_at(fn, v)->op == OP_INPUT) {
            size_t n = type_count(type_at(fn, v)) * ROWS;
            args[nargs] = numbers(f->a, 100 + nargs, n, 1);
            nargs++;
        }
    for (size_t i = 0; i < fn->outs.n; i++)
        outs[i] = arena_alloc(f->a, ROWS, type_bytes(type_at(fn, fn->outs.at[i])));
    if (fn->joint) call_batch(j, args, outs);
    else jit_run(j, ROWS, 0, args, outs);
    *d = (struct digest){0, 0};
    for (size_t i = 0; i < fn->outs.n; i++) {
        size_t bytes = jit_bytes(type_at(fn, fn->outs.at[i]), ROWS);
        *d = digest_join(*d, digest_of(outs[i], bytes));
    }
}

// As a column's record has them.
static const char *words_of(const struct record *r, const struct jit *j) {
    const struct kfunc *k = j->module.funcs.at[0].k;
    size_t pairs = 0;
    if (!j->target.bf16 || !k->f->bf16) return j->target.numerics;
    for (size_t i = 0; i < k->kernels.n; i++)
        pairs += strstr(kernel_how(k, &k->kernels.at[i]), "dot products") != NULL;
    assert_int_equal(pairs, 7); // layers, there and back
    return arena_printf(r->f->a, "%s bf16", j->target.numerics);
}

static void function_on(struct record *r, const struct function *c, const char *target,
                        struct guest *guest) {
    struct builder b;
    struct jit j;
    struct digest d;
    builder_init(&b, r->f->a, c->name);
    c->build(&b);
    struct func *f = builder_finish(&b);
    if (guest && f->joint) return; // workers' memory is not the guest's
    if (!(guest ? jit_compile_guest(&j, r->f->a, f, guest, &r->f->d)
                : jit_compile_for(&j, r->f->a, f, target, 0, &r->f->d)))
        fail_msg("%s on %s: %s", c->name, target, r->f->d.list.at[0].message);
    call_it(r->f, &j, &d);
    compare(r, target, words_of(r, &j), c->name, d);
    jit_free(&j);
}

// The driver compiles for this machine; here for any.
static bool compile(struct driver *v, const char *path, const char *target) {
    struct driver_options o = {.path = path, .threads = 1};
    driver_init(v, v->arena, &o);
    if (!driver_load(v) || !codegen_target_named(v->arena, target, &v->target, &v->d))
        return false;
    v->module = (struct module){
        .arena = v->arena, .target = &v->target, .graph = v->program->graph};
    return passes_run_module(&v->module, &v->d) && driver_codegen(v) && driver_link(v);
}

static void program_on(struct record *r, const char *target) {
    struct fixture *f = r->f;
    char *path = arena_printf(f->a, "%s/numerics.ddg", f->root);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, program, TEST_DATA, TEST_DATA);
    assert_int_equal(fclose(file), 0);
    struct driver v = {.arena = f->a};
    struct run_options o = {.threads = 2};
    struct run_report report;
    if (!compile(&v, path, target) || !plan_run(v.module.plan, &o, f->a, &report, &v.d))
        fail_msg("the program on %s: %s", target, v.d.list.at[0].message);
    for (size_t i = 0; i < COUNT(saved); i++) {
        size_t n;
        char *bytes =
            file_read(f->a, arena_printf(f->a, "%s/%s", f->root, saved[i]), 1 << 20, &n);
        assert_non_null(bytes);
        compare(r, target, v.target.numerics, saved[i], digest_of(bytes, n));
    }
    driver_free(&v);
}

static void results_round_as_recorded(void **state) {
    struct record r = {.f = *state, .update = getenv("DDG_UPDATE") != NULL};
    size_t n;
    r.now.arena = r.f->a;
    text_add(&r.now, "# case, digest of its results, target.numerics\n");
    char *old = file_read(r.f->a, RECORD, 1 << 20, &n);
    r.old = old ? old : "";
    for (size_t t = 0; t < COUNT(targets); t++) {
        if (!runs_here(targets[t])) continue;
        for (size_t i = 0; i < COUNT(cases); i++)
            function_on(&r, &cases[i], targets[t], NULL);
        program_on(&r, targets[t]);
    }
    struct guest *guest = guest_start();
    for (size_t i = 0; guest && i < COUNT(cases); i++)
        function_on(&r, &cases[i], GUEST_TARGET, guest);
    guest_stop(guest);
    if (r.differ)
        fail_msg(
            "results round otherwise: raise CODEGEN_NUMERICS_VERSION and record these "
            "digests (DDG_UPDATE=1)");
    if (r.update) {
        FILE *file = fopen(RECORD, "w");
        assert_non_null(file);
        fputs(r.now.at, file);
        assert_int_equal(fclose(file), 0);
    } else if (r.missing)
        fail_msg("%zu results are not recorded (DDG_UPDATE=1)", r.missing);
}

// ---- what decides nothing ------------------------------------------------------------
static struct digest with_cache(struct fixture *f, const struct function *c, size_t l2) {
    struct builder b;
    struct jit j;
    struct digest d;
    builder_init(&b, f->a, c->name);
    c->build(&b);
    if (!jit_compile_for(&j, f->a, builder_finish(&b), "native", l2, &f->d))
        fail_msg("%s: %s", c->name, f->d.list.at[0].message);
    call_it(f, &j, &d);
    jit_free(&j);
    return d;
}

// More rows go through at once where the cache is larger.
static void caches_round_nothing(void **state) {
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct digest small = with_cache(*state, &cases[i], 4096);
        struct digest large = with_cache(*state, &cases[i], (size_t)64 << 20);
        assert_true(digest_eq(small, large));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(results_round_as_recorded, setup, teardown),
        cmocka_unit_test_setup_teardown(caches_round_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
