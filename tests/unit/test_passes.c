// Passes on text: tests/data/passes/NAME.PASS.in is a tensor function; what the module
// prints after that pass (and, from fuse on, the ones before it that it needs) stands in
// NAME.PASS.out. DDG_UPDATE=1 writes the outputs anew, to be read before they are
// committed.
//
// And on random functions: no pass changes what a function computes.
#include "ir/build.h"
#include "ir/eval.h"
#include "ir/text.h"
#include "passes/bands.h"

#include "ir_random.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct target machine = {.lanes = 16,
                                      .registers = 32,
                                      .fma = true,
                                      .bf16 = true,
                                      .l1 = 48 << 10,
                                      .l2 = 1 << 20};

static const struct pass *find_pass(const char *name) {
    for (const struct pass *p = passes; p->name; p++)
        if (!strcmp(p->name, name)) return p;
    return NULL;
}

static void run_pass(struct module *m, const struct pass *p) {
    struct diags d;
    struct text why = {.arena = m->arena};
    diags_init(&d, m->arena);
    if (!p->func(m, &m->funcs.at[0], &d))
        fail_msg("%s: %s", p->name, d.list.at[0].message);
    if (!ir_verify(m->funcs.at[0].f, FAMILY_TENSOR, &why))
        fail_msg("%s: %s", p->name, why.at);
}

// The pass, after those that make what it needs.
static void run_up_to(struct module *m, const char *name) {
    bool folded = !strcmp(name, "precision"); // weights are constants by then
    const struct pass *first = find_pass(folded ? "narrow" : "fuse");
    const struct pass *wanted = find_pass(name);
    assert_non_null(wanted);
    for (const struct pass *p = first; p < wanted; p++) run_pass(m, p);
    run_pass(m, wanted);
}

static char *print(struct module *m) {
    struct plan none = {0};
    struct text t = {.arena = m->arena};
    m->plan = &none;
    module_print(m, &t);
    return t.at;
}

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static struct func *read_func(struct arena *a, const char *file) {
    size_t n;
    char *path = arena_printf(a, TEST_DATA "/passes/%s", file);
    struct source src = {.path = file, .text = file_read(a, path, 1 << 20, &n), .n = n};
    struct diags d;
    diags_init(&d, a);
    struct func *f = ir_parse(a, &src, &d);
    if (!f) fail_msg("%s: %s", file, d.list.at[0].message);
    return f;
}

static void one_case(struct arena *a, const char *file) {
    size_t n;
    char *in = arena_printf(a, TEST_DATA "/passes/%s", file);
    char *out = arena_printf(a, "%.*s.out", (int)(strlen(in) - 3), in);
    char *name = arena_printf(a, "%s", strchr(file, '.') + 1);
    *strrchr(name, '.') = 0;
    struct module m = {.arena = a, .target = &machine};
    VEC_PUSH(a, &m.funcs, (struct module_func){.f = read_func(a, file)});
    run_up_to(&m, name);
    char *got = print(&m);
    if (getenv("DDG_UPDATE")) write_file(out, got);
    char *expected = file_read(a, out, 1 << 20, &n);
    assert_non_null(expected);
    if (strcmp(got, expected) != 0) fail_msg("%s gives\n%s", file, got);
}

static void text_cases(void **state) {
    DIR *dir = opendir(TEST_DATA "/passes");
    size_t cases = 0;
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        if (n < 4 || strcmp(e->d_name + n - 3, ".in") != 0) continue;
        one_case(*state, e->d_name);
        cases++;
    }
    closedir(dir);
    assert_true(cases > 0);
}

// ---- random functions ----------------------------------------------------------------
static bool near_enough(float x, float y) {
    return x == y || (isnan(x) && isnan(y)) || fabsf(x - y) <= 1e-4f * fmaxf(1, fabsf(x));
}

static void **evaluate(struct arena *a, const struct func *f, size_t rows,
                       uint64_t seed) {
    struct random r = {seed};
    const void *args[8];
    size_t inputs = 0;
    for (nid v = 0; v < f->nodes.n; v++)
        if (node_at(f, v)->op == OP_INPUT)
            args[inputs++] = random_data(&r, a, type_at(f, v), rows);
    void **outs = NEW_N(a, void *, f->outs.n);
    for (size_t i = 0; i < f->outs.n; i++)
        outs[i] = arena_alloc(a, rows, type_bytes(type_at(f, f->outs.at[i])));
    assert_true(eval_func(f, rows, args, outs, NULL));
    return outs;
}

static void values_stay(void **state) {
    (void)state;
    static const char *const names[] = {"diff", "fold-norm", "sqnorm"};
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct arena *a = arena_new();
        struct func *f = random_func(a, seed, seed % 2);
        void **before = evaluate(a, f, 3, seed);
        struct module m = {.arena = a, .target = &machine};
        VEC_PUSH(a, &m.funcs, (struct module_func){.f = f});
        for (size_t i = 0; i < COUNT(names); i++) run_pass(&m, find_pass(names[i]));
        void **after = evaluate(a, m.funcs.at[0].f, 3, seed);
        for (size_t i = 0; i < f->outs.n; i++) {
            const struct type *t = type_at(f, f->outs.at[i]);
            size_t n = type_count(t) * (t->rows ? 3 : 1);
            for (size_t k = 0; t->elem == ELEM_F32 && k < n; k++)
                if (!near_enough(((float *)before[i])[k], ((float *)after[i])[k]))
                    fail_msg("seed %llu, output %zu[%zu]: %g became %g",
                             (unsigned long long)seed, i, k, ((float *)before[i])[k],
                             ((float *)after[i])[k]);
        }
        arena_free(a);
    }
}

// What is made of sums of squares and of computed weights, which random functions hardly
// have.
static void values_of_cases_stay(void **state) {
    static const char *const NAMES[] = {"gradient_norm.sqnorm", "tokens.sqnorm",
                                        "few_places.sqnorm", "computed_weights.unfold"};
    enum { ROWS = 3 };
    for (size_t i = 0; i < COUNT(NAMES); i++) {
        struct func *in = read_func(*state, arena_printf(*state, "%s.in", NAMES[i]));
        struct func *out = read_func(*state, arena_printf(*state, "%s.out", NAMES[i]));
        void **before = evaluate(*state, in, ROWS, i),
             **after = evaluate(*state, out, ROWS, i);
        for (size_t o = 0; o < in->outs.n; o++) {
            const float *x = before[o], *y = after[o];
            size_t n = ROWS * type_count(type_at(in, in->outs.at[o]));
            for (size_t k = 0; k < n; k++)
                if (!(fabsf(x[k] - y[k]) <= 1e-5f * fmaxf(1, fabsf(x[k]))))
                    fail_msg("%s, output %zu[%zu]: %g became %g", NAMES[i], o, k, x[k],
                             y[k]);
        }
    }
}

// A call, as runtime/call.c runs it, in which every 64 bytes of the arena remember whose
// they are: what a kernel reads must still be there.
struct arena_use {
    const struct kfunc *k;
    uint64_t seed;
    size_t *owner; // 1 + value * batch + row, of what was written last; 0: nobody's
};

#define NOBODY 0

static void touch(struct arena_use *u, nid v, size_t round, size_t row, bool write) {
    const struct place *p = &u->k->places[v];
    bool rows = type_at(u->k->f, v)->rows;
    if (p->kind != PLACE_ARENA) return;
    size_t at = p->offset + (rows ? (p->local ? row - round : row) : 0) * p->layout.bytes;
    size_t own = 1 + v * u->k->batch + (rows ? row : 0);
    assert_true(p->offset % 64 == 0 && at + p->layout.bytes <= u->k->arena_bytes);
    for (size_t i = at / 64; i < (at + p->layout.bytes + 63) / 64; i++) {
        if (write) u->owner[i] = own;
        if (u->owner[i] != own)
            fail_msg("seed %llu: row %zu of %%%u is gone when it is read",
                     (unsigned long long)u->seed, row, v);
    }
}

static void take(struct arena_use *u, size_t offset, size_t bytes) {
    assert_true(offset + bytes <= u->k->arena_bytes);
    for (size_t i = offset / 64; i < (offset + bytes + 63) / 64; i++)
        u->owner[i] = NOBODY;
}

static void use_kernel(struct arena_use *u, const struct kernel *k, size_t round,
                       size_t n) {
    if (!type_at(u->k->f, k->outs[0])->rows && round) return;
    if (k->prologue != NID_NONE) take(u, k->scratch_offset, k->scratch_layout.bytes);
    take(u, k->work_offset, k->work_bytes);
    for (size_t row = round; row < round + n; row++) {
        for (size_t i = 0; i < k->nouts; i++) touch(u, k->outs[i], round, row, true);
        for (size_t i = 0; i < k->nins; i++) touch(u, k->ins[i], round, row, false);
    }
}

static void use_arena(struct arena_use *u, size_t rows) {
    size_t first = 0;
    for (size_t i = 0; i < u->k->bands.n; i++) {
        const struct band *b = &u->k->bands.at[i];
        assert_true(b->nkernels > 0 && b->rows > 0 && b->rows <= u->k->batch);
        for (size_t round = 0; round < rows; round += b->rows)
            for (size_t j = first; j < first + b->nkernels; j++)
                use_kernel(u, &u->k->kernels.at[j], round,
                           size_min(b->rows, rows - round));
        first += b->nkernels;
    }
    assert_int_equal(first, u->k->kernels.n);
}

static void check_memory(const struct kfunc *k, uint64_t seed) {
    struct arena_use u = {.k = k, .seed = seed};
    u.owner = calloc(k->arena_bytes / 64 + 1, sizeof *u.owner);
    assert_non_null(u.owner);
    use_arena(&u, k->batch);
    use_arena(&u, (k->batch + 1) / 2);
    free(u.owner);
}

// Bands as nobody would choose them.
static void cut_anyhow(struct arena *a, struct kfunc *k, struct random *r) {
    k->batch = 1 + random_below(r, 7);
    k->bands.n = 0;
    for (size_t left = k->kernels.n; left > 0;) {
        size_t n = 1 + random_below(r, left);
        VEC_PUSH(a, &k->bands, (struct band){n, 1 + random_below(r, k->batch), 0});
        left -= n;
    }
    bands_place(a, k);
}

// Convolutions one behind the other, each joined by what some earlier one made.
static struct func *deep_func(struct arena *a, uint64_t seed) {
    static const float taps[8 * 8];
    enum { LAYERS = 12 };
    const struct conv_attrs c = {{1, 1}, {0, 0, 0, 0}, {1, 1}, 1};
    struct random r = {seed};
    struct builder b;
    nid made[LAYERS + 1];
    builder_init(&b, a, "deep");
    made[0] =
        b_input(&b, "x", type_tensor(ELEM_F32, true, 3, (size_t[]){8, 1 + seed % 4, 4}));
    struct type w = type_tensor(ELEM_F32, false, 4, (size_t[]){8, 8, 1, 1});
    for (size_t i = 0; i < LAYERS; i++) {
        nid y = b_conv(&b, made[i], b_const(&b, w, taps), &c);
        made[i + 1] = b_binary(&b, OP_ADD, y, made[random_below(&r, i + 1)]);
    }
    build_output(&b, "y", made[LAYERS]);
    return builder_finish(&b);
}

static void deep_functions_keep_theirs(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct arena *a = arena_new();
        struct random r = {seed};
        struct module m = {.arena = a, .target = &machine};
        VEC_PUSH(a, &m.funcs, (struct module_func){.f = deep_func(a, seed)});
        run_up_to(&m, "memory");
        for (size_t i = 0; i < 4; i++) {
            cut_anyhow(a, m.funcs.at[0].k, &r);
            check_memory(m.funcs.at[0].k, seed);
        }
        arena_free(a);
    }
}

// Machines of all sizes: small ones cut functions into several bands.
static void what_is_read_is_still_there(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct arena *a = arena_new();
        struct target target = machine;
        target.l2 = (size_t)1 << (10 + seed % 12);
        struct module m = {.arena = a, .target = &target};
        struct func *f = random_func(a, seed, true);
        bool computed = true; // an output that is an argument has no kernel
        for (size_t i = 0; i < f->outs.n; i++) {
            enum op op = node_at(f, f->outs.at[i])->op;
            computed &= op != OP_INPUT && op != OP_CONST && op != OP_PARAM;
            for (size_t j = 0; j < i; j++) computed &= f->outs.at[i] != f->outs.at[j];
        }
        VEC_PUSH(a, &m.funcs, (struct module_func){.f = f});
        if (computed) {
            run_up_to(&m, "memory");
            struct random r = {seed};
            check_memory(m.funcs.at[0].k, seed);
            cut_anyhow(a, m.funcs.at[0].k, &r);
            check_memory(m.funcs.at[0].k, seed);
        }
        arena_free(a);
    }
}

static int setup(void **state) {
    return (*state = arena_new()) ? 0 : -1;
}
static int teardown(void **state) {
    arena_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_cases),
        cmocka_unit_test(values_stay),
        cmocka_unit_test(values_of_cases_stay),
        cmocka_unit_test(what_is_read_is_still_there),
        cmocka_unit_test(deep_functions_keep_theirs),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
