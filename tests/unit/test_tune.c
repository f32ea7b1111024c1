// The tuner: what it chooses follows from what was timed; tilings leave results the same
// bits and keys the same; another algorithm changes the keys of what it computes, and of
// nothing else; what was timed is not timed again; what a store holds is not believed.
//
// But for one test nothing is timed: a clock made of data stands in.
#include "cli/driver.h"
#include "cli/tune.h"
#include "ir/build.h"
#include "runtime/call.h"
#include "runtime/cpu.h"
#include "tests/unit/ir_random.h"
#include "tests/unit/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

// ---- a clock made of data ------------------------------------------------------------
struct clock {
    const char *word;         // it is about problems with this word; NULL: about all
    enum algorithm algorithm; // takes half of what the others do
    size_t tiling;            // that of it which takes half of that; 0: its own
    double gain;              // instead of halves; 0: halves
    double row;               // what a row takes; 0: a thousandth of a second
    bool fails;
    size_t calls, most; // calls; tilings of the algorithm that were tried, at most
};

// Which of the tilings of its algorithm it is, from 1 on; 0: its own.
static size_t tiling_index(const struct tune_case *c, const struct choice *choice) {
    struct tiling all[CODEGEN_MOST_TILINGS];
    struct kernel k = *c->kernel;
    k.algorithm = choice->algorithm;
    k.tiling = (struct tiling){0};
    size_t n = codegen_tilings(c->target, c->kf, &k, all, COUNT(all));
    if (!choice->tiling.blocks) return 0;
    for (size_t i = 0; i < n; i++)
        if (tiling_same(&all[i], &choice->tiling)) return i + 1;
    fail_msg("a tiling that nobody proposed");
    return 0;
}

static bool tell_time(void *ctx, const struct tune_case *c, const struct choice *choices,
                      size_t n, double *seconds, struct diags *d) {
    struct clock *k = ctx;
    double gain = k->gain > 0 ? k->gain : 0.5;
    k->calls++;
    if (k->fails) return diag_error(d, NO_SPAN, "the clock stands still");
    for (size_t i = 0; i < n; i++) {
        seconds[i] = k->row > 0 ? k->row : 1e-3;
        if (k->word && !strstr(c->problem, k->word)) seconds[i] *= i ? 2 : 1;
        else if (choices[i].algorithm == k->algorithm) {
            seconds[i] *= gain;
            size_t tiling = tiling_index(c, &choices[i]);
            if (tiling && tiling == k->tiling) seconds[i] *= gain;
            k->most = size_max(k->most, tiling);
        }
    }
    return true;
}

static struct tuner *tuner(struct fixture *f, struct clock *k, struct store *s) {
    struct tuner_options o = {
        .store = s, .quiet = true, .threads = 1, .time = tell_time, .ctx = k};
    return tuner_new(f->a, &o);
}

static struct store *open_store(struct fixture *f) {
    char why[256];
    struct store_options o = {.path = path_of(f, "store")};
    struct store *s = store_open(&o, why, sizeof why);
    if (!s) fail_msg("%s", why);
    return s;
}

// ---- one function --------------------------------------------------------------------
struct net {
    struct builder b;
    struct random r;
    struct arena *arena;
};

static nid numbers(struct net *n, uint32_t rank, const size_t *dim) {
    struct type t = type_tensor(ELEM_F32, false, rank, dim);
    float *v = NEW_N(n->arena, float, type_count(&t));
    for (size_t i = 0; i < type_count(&t); i++) v[i] = random_float(&n->r) / 8;
    return b_const(&n->b, t, v);
}

static nid conv(struct net *n, nid x, size_t out, size_t k, int64_t stride,
                size_t groups) {
    size_t in = type_at(n->b.f, x)->dim[0];
    int64_t pad = (int64_t)k / 2;
    struct conv_attrs c = {
        {stride, stride}, {pad, pad, pad, pad}, {1, 1}, (int64_t)groups};
    nid y = b_conv(&n->b, x, numbers(n, 4, (size_t[]){out, in / groups, k, k}), &c);
    y = b_binary(&n->b, OP_ADD, y, numbers(n, 3, (size_t[]){out, 1, 1}));
    return b_unary(&n->b, OP_RELU, y);
}

static nid back(struct net *n, nid x, size_t out, int64_t stride) {
    const size_t *dim = type_at(n->b.f, x)->dim;
    struct conv_attrs c = {{stride, stride}, {1, 1, 1, 1}, {1, 1}, 1};
    size_t side[2] = {dim[1] * (size_t)stride, dim[2] * (size_t)stride};
    nid w = numbers(n, 4, (size_t[]){dim[0], out, 3, 3});
    return b_conv_dx(&n->b, x, w, &c, side[0], side[1]);
}

// A kernel of each kind that has tilings: first layers, 3x3, strides, 1x1, groups,
// depthwise, gradients, products of many lines and of one.
static struct func *all_kinds(struct arena *a) {
    struct net n = {.arena = a, .r = {7}};
    builder_init(&n.b, a, "net");
    struct type t = type_tensor(ELEM_F32, true, 3, (size_t[]){3, 14, 11});
    nid x = conv(&n, b_input(&n.b, "x", t), 20, 3, 1, 1);
    x = conv(&n, conv(&n, x, 40, 3, 1, 1), 70, 3, 1, 1);
    nid same = b_unary(&n.b, OP_RELU, back(&n, x, 70, 1));
    x = conv(&n, b_binary(&n.b, OP_ADD, x, same), 40, 1, 1, 1);
    x = conv(&n, conv(&n, x, 40, 3, 1, 40), 48, 3, 1, 2);
    x = conv(&n, back(&n, conv(&n, x, 33, 3, 2, 1), 17, 2), 40, 5, 1, 1);
    x = b_reshape(&n.b, x, (size_t[]){40, 14 * 12}, 2);
    x = b_matmul(&n.b, x, numbers(&n, 2, (size_t[]){14 * 12, 90}), false, false);
    x = b_reshape(&n.b, b_unary(&n.b, OP_RELU, x), (size_t[]){1, 40 * 90}, 2);
    x = b_matmul(&n.b, x, numbers(&n, 2, (size_t[]){40 * 90, 50}), false, false);
    build_output(&n.b, "y", b_reshape(&n.b, x, (size_t[]){50}, 1));
    return builder_finish(&n.b);
}

// Where the processor multiplies pairs of bf16, these do.
static struct func *pairs(struct arena *a) {
    struct net n = {.arena = a, .r = {7}};
    builder_init(&n.b, a, "net");
    n.b.f->bf16 = true;
    struct type t = type_tensor(ELEM_F32, true, 3, (size_t[]){3, 14, 11});
    nid x = conv(&n, b_input(&n.b, "x", t), 32, 3, 1, 1);
    x = conv(&n, conv(&n, x, 64, 3, 2, 1), 96, 1, 1, 1);
    x = conv(&n, x, 80, 5, 1, 1);
    build_output(&n.b, "y", b_reshape(&n.b, x, (size_t[]){80 * 7 * 6}, 1));
    return builder_finish(&n.b);
}

#define ROWS 5

struct made { // the function, ready
    struct target target;
    struct module module;
    struct plan plan;
    struct plan_func func;
    struct codegen *codegen;
};

static void make_of(struct fixture *f, const char *target, const struct tuning *tuning,
                    struct func *fn, struct made *out) {
    *out = (struct made){0};
    assert_true(codegen_target_named(f->a, target, &out->target, &f->d));
    out->module =
        (struct module){.arena = f->a, .target = &out->target, .tuning = tuning};
    VEC_PUSH(f->a, &out->module.funcs, (struct module_func){.f = fn});
    assert_true(passes_run_func(&out->module, 0, NULL, &f->d));
    out->func.name = "net";
    out->plan.funcs = &out->func;
    out->plan.nfuncs = 1;
    out->codegen = codegen_new(&out->target, &f->d);
    struct assembly *a =
        assembly_new(f->a, out->codegen, &out->target, &out->plan, SIZE_MAX);
    if (!assembly_add(a, 0, out->module.funcs.at[0].k, &f->d) ||
        !assembly_finish(a, 2, &f->d))
        fail_msg("%s", f->d.list.at[0].message);
}

static void make(struct fixture *f, const char *target, const struct tuning *tuning,
                 struct made *out) {
    make_of(f, target, tuning, all_kinds(f->a), out);
}

static struct digest results(struct fixture *f, struct made *m) {
    const struct func *fn = m->module.funcs.at[0].f;
    size_t in = 3 * 14 * 11, out = type_bytes(type_at(fn, fn->outs.at[0]));
    struct random r = {3};
    float *x = NEW_N(f->a, float, ROWS *in + PLAN_SLACK);
    for (size_t i = 0; i < ROWS * in; i++) x[i] = random_float(&r);
    char *y = arena_alloc(f->a, ROWS, out), *work;
    work = arena_alloc(f->a, m->func.arena_bytes + PLAN_SLACK, 1);
    for (size_t row = 0; row < ROWS; row += m->func.batch) {
        char *args[] = {(char *)(x + row * in)}, *outs[] = {y + row * out};
        size_t n = size_min(m->func.batch, ROWS - row);
        assert_true(call_func(&m->plan, &m->func, work, args, outs, n, true, NULL));
    }
    return digest_of(y, ROWS * out);
}

// Kernels that have the algorithm, and those with a tiling of their own.
static size_t count_kernels(const struct made *m, enum algorithm a, size_t *tiled) {
    const struct kfunc *kf = m->module.funcs.at[0].k;
    size_t n = 0;
    *tiled = 0;
    for (size_t i = 0; i < kf->kernels.n; i++) {
        const struct kernel *k = &kf->kernels.at[i];
        if (k->anchor == NID_NONE) continue;
        n += k->algorithm == a;
        *tiled += k->tiling.blocks > 0;
        assert_false(k->tiling.blocks && !k->tuned);
    }
    return n;
}

static bool runs_here(struct fixture *f, const char *name) {
    struct target t;
    assert_true(codegen_target_named(f->a, name, &t, &f->d));
    return !cpu_lacks(f->a, codegen_needs(f->a, &t));
}

// What the clock likes best is what is computed, in every tiling to the same bits.
static void every_tiling_gives_the_same_bits(void **state) {
    static const char *const targets[] = {"native", "x86-64-v3", "x86-64"};
    static const enum algorithm algorithms[] = {ALGORITHM_DIRECT, ALGORITHM_WINOGRAD_2,
                                                ALGORITHM_WINOGRAD_4};
    struct fixture *f = *state;
    for (size_t t = 0; t < COUNT(targets); t++)
        for (size_t i = 0; runs_here(f, targets[t]) && i < COUNT(algorithms); i++) {
            struct clock k = {.algorithm = algorithms[i]};
            struct digest want = {0};
            size_t tiled, all = 0;
            for (; k.tiling <= k.most; k.tiling++) {
                struct made m;
                make(f, targets[t], tuner_tuning(tuner(f, &k, NULL)), &m);
                assert_true(count_kernels(&m, algorithms[i], &tiled) >= 3);
                struct digest is = results(f, &m);
                if (!k.tiling) want = is;
                if (!digest_eq(is, want))
                    fail_msg("%s, algorithm %d: tiling %zu rounds otherwise", targets[t],
                             algorithms[i], k.tiling);
                if (!k.tiling) assert_int_equal(tiled, 0);
                all += tiled;
                codegen_free(m.codegen);
            }
            assert_true(all >= 6);
        }
}

// In profiles and plans a kernel says that it is tuned.
static void says_how(const struct made *m) {
    const struct kfunc *kf = m->module.funcs.at[0].k;
    for (size_t i = 0; i < kf->kernels.n; i++) {
        const struct kernel *k = &kf->kernels.at[i];
        assert_int_equal(strstr(kernel_how(kf, k), ", tuned") != NULL, k->tuned);
    }
}

static void pairs_have_tilings_too(void **state) {
    struct fixture *f = *state;
    struct clock k = {.word = "bf16", .algorithm = ALGORITHM_DIRECT};
    struct digest want = {0};
    size_t tiled, all = 0;
    for (; k.tiling <= k.most; k.tiling++) {
        struct made m;
        make_of(f, "native", tuner_tuning(tuner(f, &k, NULL)), pairs(f->a), &m);
        if (!m.target.bf16) {
            codegen_free(m.codegen);
            skip();
        }
        says_how(&m);
        struct digest is = results(f, &m);
        if (!k.tiling) want = is;
        if (!digest_eq(is, want)) fail_msg("tiling %zu rounds otherwise", k.tiling);
        count_kernels(&m, ALGORITHM_DIRECT, &tiled);
        all += tiled;
        codegen_free(m.codegen);
    }
    assert_true(all >= 6);
}

// By the clock of this machine: whatever comes out, the same bits as that algorithm has.
static void the_clock_of_this_machine_works(void **state) {
    struct fixture *f = *state;
    struct tuner_options o = {.quiet = true, .threads = 1};
    struct tuner *t = tuner_new(f->a, &o);
    struct made m;
    make(f, "native", tuner_tuning(t), &m);
    size_t n;
    const struct tuned *list = tuner_list(t, &n);
    assert_true(n >= 9);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(list[i].from, TUNED_NOW);
        assert_true(list[i].best_s > 0 && list[i].best_s <= list[i].usual_s);
    }
    results(f, &m);
    codegen_free(m.codegen);
}

static void three_parts_in_a_hundred_are_nothing(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        struct clock k = {.algorithm = ALGORITHM_WINOGRAD_2, .gain = i ? 0.96 : 0.98};
        struct tuner *t = tuner(f, &k, NULL);
        struct made m;
        size_t n, other = 0;
        make(f, "native", tuner_tuning(t), &m);
        const struct tuned *list = tuner_list(t, &n);
        for (size_t j = 0; j < n; j++)
            other += list[j].best.algorithm != list[j].usual.algorithm;
        if (i) assert_true(other > 0);
        else assert_int_equal(other, 0);
        codegen_free(m.codegen);
    }
}

// ---- programs and keys ---------------------------------------------------------------
static const char program[] =
    "train = images(\"" TEST_DATA "/shapes/train\", size = 32, limit = 2)\n"
    "teacher = onnx(\"" TEST_DATA "/shapes.onnx\", mean = [0.485, 0.456, 0.406],\n"
    "               std = [0.229, 0.224, 0.225])\n"
    "tries = random_crop(train, size = 16, count = 2, seed = 4)\n"
    "save(gradnorm(teacher, tries), to = \"a.npy\")\n"
    "save(loss(teacher, train), to = \"b.npy\")\n";

static void lower(struct fixture *f, const struct tuning *tuning, struct driver *v) {
    FILE *file = fopen(path_of(f, "p.ddg"), "wb");
    assert_non_null(file);
    fputs(program, file);
    assert_int_equal(fclose(file), 0);
    struct driver_options o = {
        .path = path_of(f, "p.ddg"), .threads = 1, .tuning = tuning};
    driver_init(v, f->a, &o);
    bool ok = driver_load(v) && driver_lower(v, NULL);
    diags_print(&v->d, stderr, false);
    assert_true(ok);
}

static const struct store_record *record_of(const struct driver *v, const char *op) {
    const struct plan *p = v->module.plan;
    for (size_t i = 0; i < p->ncolumns; i++)
        if (p->columns[i].memo && !strcmp(p->columns[i].op, op))
            return &p->columns[i].memo->record;
    fail_msg("no column of %s", op);
    return NULL;
}

static const char *numerics(const struct store_record *r) {
    const char *v = NULL;
    for (size_t i = 0; i < r->nfields; i++)
        if (!strcmp(r->fields[i].name, "numerics")) v = r->fields[i].value;
    assert_non_null(v);
    return v;
}

// Whether a program tuned by the clock keeps the keys of the op's values.
static bool keeps_key(struct fixture *f, struct clock *k, const char *op) {
    struct driver plain, tuned;
    lower(f, NULL, &plain);
    lower(f, tuner_tuning(tuner(f, k, NULL)), &tuned);
    const struct store_record *a = record_of(&plain, op), *b = record_of(&tuned, op);
    bool same = digest_eq(a->key, b->key);
    assert_true(digest_eq(b->key, store_record_key(b)));
    assert_int_equal(same, !strstr(numerics(b), " tuned "));
    assert_int_equal(a->nfields, b->nfields);
    driver_free(&plain);
    driver_free(&tuned);
    return same;
}

static void keys_change_with_algorithms_only(void **state) {
    struct fixture *f = *state;
    struct clock usual = {.word = "no such problem"};
    assert_true(keeps_key(f, &usual, "gradnorm") && keeps_key(f, &usual, "loss"));
    struct clock tilings = {.word = "stride", .tiling = 1};
    tilings.algorithm = ALGORITHM_WINOGRAD_4; // which wins by itself where it fits
    assert_true(keeps_key(f, &tilings, "loss"));
    assert_true(tilings.most > 0);
    struct clock direct = {.algorithm = ALGORITHM_DIRECT};
    assert_false(keeps_key(f, &direct, "gradnorm") || keeps_key(f, &direct, "loss"));
    // Gradients of the pixels are no part of losses.
    struct clock gradients = {.word = "conv_dx", .algorithm = ALGORITHM_DIRECT};
    assert_false(keeps_key(f, &gradients, "gradnorm"));
    assert_true(keeps_key(f, &gradients, "loss"));
}

static void other_algorithms_have_other_keys(void **state) {
    struct fixture *f = *state;
    struct digest keys[3];
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct clock k = {.algorithm = (enum algorithm)i};
        struct driver v;
        lower(f, tuner_tuning(tuner(f, &k, NULL)), &v);
        keys[i] = record_of(&v, "loss")->key;
        for (size_t j = 0; j < i; j++) assert_false(digest_eq(keys[i], keys[j]));
        driver_free(&v);
    }
}

// The keys tell how the code rounds that is made then.
static void code_follows_keys(void **state) {
    struct fixture *f = *state;
    struct clock k = {.algorithm = ALGORITHM_DIRECT};
    struct driver v;
    lower(f, tuner_tuning(tuner(f, &k, NULL)), &v);
    assert_true(driver_codegen(&v));
    size_t direct = 0;
    for (size_t i = 0; i < v.module.plan->nfuncs; i++) {
        const struct plan_func *fn = &v.module.plan->funcs[i];
        for (size_t j = 0; j < fn->ncalls; j++) {
            assert_null(strstr(fn->calls[j].how, "winograd"));
            direct += !strcmp(fn->calls[j].how, "direct, tuned");
        }
    }
    assert_true(direct > 0);
    driver_free(&v);
}

// ---- the store -----------------------------------------------------------------------
static size_t timed_by(struct fixture *f, struct clock *k, struct store *s) {
    struct driver v;
    k->calls = 0;
    lower(f, tuner_tuning(tuner(f, k, s)), &v);
    driver_free(&v);
    return k->calls;
}

static void what_was_timed_is_not_timed_again(void **state) {
    struct fixture *f = *state;
    struct clock first = {.algorithm = ALGORITHM_WINOGRAD_2, .tiling = 1, .row = 5e-9},
                 then = {0};
    struct store *s = open_store(f);
    struct driver a, b;
    struct tuner *timed = tuner(f, &first, s);
    lower(f, tuner_tuning(timed), &a);
    assert_true(first.calls > 0);
    store_close(s);
    s = open_store(f);
    struct tuner *again = tuner(f, &then, s);
    lower(f, tuner_tuning(again), &b);
    assert_int_equal(then.calls, 0);
    assert_true(digest_eq(record_of(&a, "loss")->key, record_of(&b, "loss")->key));
    size_t n;
    const struct tuned *list = tuner_list(again, &n), *was = tuner_list(timed, &n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(list[i].from, TUNED_STORE);
        // A few nanoseconds are kept as exactly as their gain is said.
        assert_true(fabs(list[i].usual_s - was[i].usual_s) < 1e-10);
        assert_true(fabs(list[i].best_s - was[i].best_s) < 1e-10);
    }
    store_close(s);
    driver_free(&a);
    driver_free(&b);
    assert_true(timed_by(f, &then, NULL) > 0); // without the store nobody knows
}

// A value of the store's as it should be, and as it should not.
static void put_words(struct store *s, struct digest record, struct digest row,
                      const uint32_t *words, size_t n) {
    unsigned char v[41] = {0x98};
    assert_true(n == 8);
    for (size_t i = 0; i < n; i++) {
        unsigned char *to = v + 1 + 5 * i;
        to[0] = 0xce;
        for (size_t b = 0; b < 4; b++)
            to[1 + b] = (unsigned char)(words[i] >> (24 - 8 * b));
    }
    store_put(s, record, &row, 1, sizeof v, (const char *)v, 1);
}

struct shelf { // a store with the program's kinds in it
    struct store *store;
    struct digest record; // of all of them
    const struct tuned *list;
    size_t n, calls; // kinds; what timing them took
    struct driver v;
};

static void keep_all(struct fixture *f, struct clock *k, struct shelf *out) {
    struct store_record *record;
    out->store = open_store(f);
    struct tuner *t = tuner(f, k, out->store);
    lower(f, tuner_tuning(t), &out->v);
    store_flush(out->store);
    assert_int_equal(store_records(out->store, "tuning", f->a, &record), 1);
    out->record = record->key;
    out->list = tuner_list(t, &out->n);
    out->calls = k->calls;
}

static void drop_all(struct shelf *shelf) {
    store_close(shelf->store);
    driver_free(&shelf->v);
}

static struct digest row_of(const struct tuned *kind) {
    return digest_of(kind->problem, strlen(kind->problem));
}

static void what_does_not_fit_is_timed_again(void **state) {
    // version, algorithm, blocks, pixels, group, live, and two times
    static const uint32_t wrong[][8] = {
        {1, 0, 0, 0, 0, 0, 9, 9},    // another version
        {2, 9, 0, 0, 0, 0, 9, 9},    // no such algorithm
        {2, 0, 1000, 4, 0, 0, 9, 9}, // more than there are registers
        {2, 0, 1, 4, 64, 0, 9, 9},   // groups, where there are none
        {2, 0, 0, 4, 0, 0, 9, 9},    // half a tiling
        {2, 0, 0, 0, 0, 1, 9, 9},    // another half
        {2, 0, UINT32_MAX, UINT32_MAX, 0, 1, 9, 9},
        {2, 0, 1, 1, 0, 2, 9, 9}, // neither true nor false
        {2, 2, 1, 4, 3, 0, 9, 9}, // a group of part of a tile
        {2, 2, 1, 4, UINT32_MAX, 0, 9, 9},
        {2, 0, 0, 0, 0, 0, 0, 9}, // no time at all
        {2, 0, 0, 0, 0, 0, 9, 0},
    };
    struct fixture *f = *state;
    struct clock k = {.word = "no such problem"};
    struct shelf shelf;
    keep_all(f, &k, &shelf);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        for (size_t j = 0; j < shelf.n; j++)
            put_words(shelf.store, shelf.record, row_of(&shelf.list[j]), wrong[i], 8);
        store_flush(shelf.store);
        if (timed_by(f, &k, shelf.store) != shelf.calls)
            fail_msg("choice %zu is believed", i);
        store_flush(shelf.store);
        assert_int_equal(timed_by(f, &k, shelf.store), 0); // it was replaced
    }
    drop_all(&shelf);
}

// No list of numbers at all, and one of another length.
static void what_is_no_choice_is_timed_again(void **state) {
    static const size_t sizes[] = {41, 7};
    struct fixture *f = *state;
    struct clock k = {.word = "no such problem"};
    struct shelf shelf;
    char junk[41];
    memset(junk, 0xc1, sizeof junk);
    keep_all(f, &k, &shelf);
    struct digest row = row_of(&shelf.list[0]);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        store_put(shelf.store, shelf.record, &row, 1, sizes[i], junk, 1);
        store_flush(shelf.store);
        assert_true(timed_by(f, &k, shelf.store) > 0);
        store_flush(shelf.store);
        assert_int_equal(timed_by(f, &k, shelf.store), 0);
    }
    drop_all(&shelf);
}

// Winograd's way for a problem that it does not fit; it fits others.
static void algorithms_that_do_not_fit_are_refused(void **state) {
    struct fixture *f = *state;
    struct clock k = {.word = "no such problem"};
    struct shelf shelf;
    keep_all(f, &k, &shelf);
    size_t strided = 0;
    const uint32_t words[8] = {2, ALGORITHM_WINOGRAD_4, 0, 0, 0, 0, 9, 9};
    for (size_t i = 0; i < shelf.n; i++) {
        if (!strstr(shelf.list[i].problem, "strides=2, 2")) continue;
        put_words(shelf.store, shelf.record, row_of(&shelf.list[i]), words, 8);
        strided++;
    }
    assert_true(strided > 0);
    store_flush(shelf.store);
    assert_true(timed_by(f, &k, shelf.store) >= strided);
    drop_all(&shelf);
}

// Another target is another machine.
static void targets_are_timed_apart(void **state) {
    struct fixture *f = *state;
    if (!runs_here(f, "x86-64-v3")) skip();
    struct clock k = {.algorithm = ALGORITHM_WINOGRAD_2};
    struct store *s = open_store(f);
    struct tuner *t = tuner(f, &k, s);
    struct made a, b;
    make(f, "x86-64-v3", tuner_tuning(t), &a);
    size_t calls = k.calls, n;
    make(f, "x86-64", tuner_tuning(t), &b);
    assert_int_equal(k.calls, 2 * calls);
    struct store_record *record;
    store_flush(s);
    assert_int_equal(store_records(s, "tuning", f->a, &record), 2);
    tuner_list(t, &n);
    assert_int_equal(record[0].rows + record[1].rows, n);
    store_close(s);
    codegen_free(a.codegen);
    codegen_free(b.codegen);
}

// ---- when nothing is timed -----------------------------------------------------------
static void stays_as_it_costs_least(struct fixture *f, struct tuner *t) {
    struct driver plain, tuned;
    size_t n;
    lower(f, NULL, &plain);
    lower(f, tuner_tuning(t), &tuned);
    const struct tuned *list = tuner_list(t, &n);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(list[i].from, TUNED_NOT);
        assert_int_equal(list[i].best.algorithm, list[i].usual.algorithm);
        assert_int_equal(list[i].best.tiling.blocks, 0);
    }
    assert_true(
        digest_eq(record_of(&plain, "loss")->key, record_of(&tuned, "loss")->key));
    driver_free(&plain);
    driver_free(&tuned);
}

static void looking_and_stopping_time_nothing(void **state) {
    struct fixture *f = *state;
    struct clock k = {.algorithm = ALGORITHM_DIRECT};
    atomic_bool stop = true;
    struct tuner_options o = {.quiet = true, .time = tell_time, .ctx = &k, .look = true};
    stays_as_it_costs_least(f, tuner_new(f->a, &o));
    o.look = false;
    o.stop = &stop;
    stays_as_it_costs_least(f, tuner_new(f->a, &o));
    assert_int_equal(k.calls, 0);
}

static void clocks_that_fail_change_nothing(void **state) {
    struct fixture *f = *state;
    struct clock k = {.fails = true};
    struct store *s = open_store(f);
    struct tuner *t = tuner(f, &k, s);
    stays_as_it_costs_least(f, t);
    assert_non_null(strstr(tuner_trouble(t), "the clock stands still"));
    store_close(s);
    k = (struct clock){.word = "no such problem"};
    s = open_store(f);
    assert_true(timed_by(f, &k, s) > 0); // nothing was kept
    store_close(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_tiling_gives_the_same_bits),
        TEST(pairs_have_tilings_too),
        TEST(the_clock_of_this_machine_works),
        TEST(three_parts_in_a_hundred_are_nothing),
        TEST(keys_change_with_algorithms_only),
        TEST(other_algorithms_have_other_keys),
        TEST(code_follows_keys),
        TEST(what_was_timed_is_not_timed_again),
        TEST(what_does_not_fit_is_timed_again),
        TEST(what_is_no_choice_is_timed_again),
        TEST(algorithms_that_do_not_fit_are_refused),
        TEST(targets_are_timed_apart),
        TEST(looking_and_stopping_time_nothing),
        TEST(clocks_that_fail_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
