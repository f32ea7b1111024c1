// Joint functions through every pass and the machine code, beside the evaluator: what
// training is made of (tests/data/joint.ddgir). However many workers compute a batch,
// its results are the same bits.
//
// The evaluator sums in double and the code in float: results agree to 2e-5 of the
// largest.
#include "ir/text.h"
#include "runtime/cpu.h"
#include "runtime/joint.h"
#include "runtime/pool.h"
#include "tests/unit/ir_random.h"
#include "tests/unit/jit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BATCH     50
#define TOLERANCE 2e-5

// ---- memory --------------------------------------------------------------------------
struct life {                          // of a value in memory
    size_t first, last, offset, bytes; // phases, or kernels of a band
    bool some;
};

static size_t band_of(const struct kfunc *k, size_t kernel) {
    size_t i = 0;
    for (size_t end = k->bands.at[0].nkernels; kernel >= end;
         end += k->bands.at[i].nkernels)
        i++;
    return i;
}

static bool touches(const struct kernel *k, nid v) {
    for (size_t i = 0; i < k->nouts; i++)
        if (k->outs[i] == v) return true;
    for (size_t i = 0; i < k->nins; i++)
        if (k->ins[i] == v) return true;
    return false;
}

static struct life life_of(const struct kfunc *k, nid v) {
    const struct place *p = &k->places[v];
    struct life l = {.first = SIZE_MAX, .offset = p->offset, .bytes = p->layout.bytes};
    for (size_t i = 0; i < k->kernels.n; i++) {
        const struct band *b = &k->bands.at[band_of(k, i)];
        if (p->kind != PLACE_ARENA || !touches(&k->kernels.at[i], v)) continue;
        size_t rows = p->local ? b->rows : k->batch, at = p->local ? i : b->phase;
        l.first = size_min(l.first, at);
        l.last = size_max(l.last, at);
        l.bytes = p->layout.bytes * (type_at(k->f, v)->rows ? rows : 1);
        l.some = true;
    }
    return l;
}

// Values that are alive at once lie apart, and what reads a value comes after what
// makes it.
static void check_memory(const struct kfunc *k) {
    for (nid v = 0; v < k->f->nodes.n; v++) {
        struct life a = life_of(k, v);
        bool local = k->places[v].local;
        if (a.some)
            assert_true(a.offset + a.bytes <= (local ? k->own_bytes : k->arena_bytes));
        for (nid w = 0; w < v && a.some; w++) {
            struct life b = life_of(k, w);
            if (!b.some || k->places[w].local != local) continue;
            if (a.last < b.first || b.last < a.first) continue;
            assert_true(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset);
        }
    }
}

static size_t phase_of_maker(const struct kfunc *k, nid v, size_t *band) {
    for (size_t i = 0; i < k->kernels.n; i++)
        for (size_t j = 0; j < k->kernels.at[i].nouts; j++)
            if (k->kernels.at[i].outs[j] == v)
                return k->bands.at[*band = band_of(k, i)].phase;
    return SIZE_MAX;
}

static void check_phases(const struct kfunc *k) {
    for (size_t i = 0; i < k->kernels.n; i++)
        for (size_t j = 0; j < k->kernels.at[i].nins; j++) {
            size_t band, mine = band_of(k, i);
            size_t made = phase_of_maker(k, k->kernels.at[i].ins[j], &band);
            if (made == SIZE_MAX || band == mine) continue;
            assert_true(made < k->bands.at[mine].phase);
        }
}

// ---- running them --------------------------------------------------------------------
struct running {
    struct joint *j;
    char *const *in, *const *out;
    size_t n;
};

static void work(void *ctx, size_t worker) {
    struct running *r = ctx;
    joint_call(r->j, worker, r->in, r->out, r->n, NULL);
    joint_meet(r->j, worker); // and once more, in memory that is not fresh
    joint_call(r->j, worker, r->in, r->out, r->n, NULL);
}

static void run(struct jit *jit, size_t workers, size_t n, void *const *in,
                void *const *out) {
    struct running r = {joint_new(&jit->plan, &jit->func, workers), (char *const *)in,
                        (char *const *)out, n};
    assert_non_null(r.j);
    pool_run(workers, work, &r);
    joint_free(r.j);
}

static bool near(const struct type *t, size_t n, const float *want, const float *got) {
    size_t count = type_count(t) * (t->rows ? n : 1);
    double most = 0, off = 0;
    for (size_t i = 0; i < count; i++) {
        most = fmax(most, fabs((double)want[i]));
        double d = fabs((double)want[i] - (double)got[i]);
        off = d <= off ? off : d; // NaNs stay
    }
    if (off <= TOLERANCE * most) return true;
    fprintf(stderr, "off by %g, of %g\n", off, most);
    return false;
}

static void **inputs(struct arena *a, const struct func *f, struct random *r) {
    void **in = NEW_N(a, void *, f->nodes.n);
    size_t n = 0;
    for (nid v = 0; v < f->nodes.n; v++) {
        const struct type *t = type_at(f, v);
        if (node_at(f, v)->op != OP_INPUT) continue;
        size_t count = type_count(t) * (t->rows ? BATCH : 1);
        float *x = in[n++] = arena_alloc(a, count + 16, sizeof *x);
        for (size_t i = 0; i < count; i++) x[i] = random_float(r) / 4;
        if (count == 1) x[0] = 0.0123f;
    }
    return in;
}

static void check_rows(struct arena *a, struct jit *jit, const struct func *f, size_t n,
                       void *const *in) {
    static const size_t workers[] = {1, 2, 5};
    void **want = jit_results(a, f, n), **first = NULL;
    assert_true(eval_func(f, n, (const void *const *)in, want, NULL));
    for (size_t w = 0; w < COUNT(workers); w++) {
        void **got = jit_results(a, f, n);
        run(jit, workers[w], n, in, got);
        for (size_t i = 0; i < f->outs.n; i++) {
            const struct type *t = type_at(f, f->outs.at[i]);
            if (!near(t, n, want[i], got[i]))
                fail_msg("\"%s\", %zu rows", f->out_names.at[i], n);
            if (first && memcmp(got[i], first[i], jit_bytes(t, n)))
                fail_msg("\"%s\", %zu rows: other bits", f->out_names.at[i], n);
        }
        first = got;
    }
}

// The next function of the file; *at goes behind it. NULL: there is none.
static struct func *next_function(struct arena *a, const char **at) {
    struct diags d;
    const char *end = strstr(*at, "----\n");
    size_t n = end ? (size_t)(end - *at) : strlen(*at);
    if (!n) return NULL;
    diags_init(&d, a);
    struct source *src = NEW(a, struct source);
    *src = (struct source){"joint.ddgir", arena_strndup(a, *at, n), n};
    *at = end ? end + strlen("----\n") : *at + n;
    struct func *f = ir_parse(a, src, &d);
    if (!f) diags_print(&d, stderr, false);
    assert_non_null(f);
    print_message("%.*s", (int)strcspn(src->text, "\n") + 1, src->text);
    return f;
}

// Vectors of other widths, too.
static void check_function_for(struct arena *a, struct func *f, uint64_t seed,
                               const char *target) {
    static const size_t rows[] = {1, 3, 7, 50};
    struct random r = {seed};
    struct diags d;
    struct jit jit;
    diags_init(&d, a);
    void **in = inputs(a, f, &r);
    if (!jit_compile_for(&jit, a, f, target, 0, &d))
        diags_print(&d, stderr, false), fail();
    check_memory(jit.module.funcs.at[0].k);
    check_phases(jit.module.funcs.at[0].k);
    for (size_t i = 0; i < COUNT(rows); i++) check_rows(a, &jit, f, rows[i], in);
    jit_free(&jit);
}

static void check_function(struct arena *a, struct func *f, uint64_t seed) {
    static const char *const targets[] = {"native", "x86-64-v3", "x86-64"};
    for (size_t i = 0; i < COUNT(targets); i++) {
        struct target t;
        struct diags d;
        diags_init(&d, a);
        assert_true(codegen_target_named(a, targets[i], &t, &d));
        if (!cpu_lacks(a, codegen_needs(a, &t)))
            check_function_for(a, f, seed, targets[i]);
    }
}

static void batches_are_what_the_evaluator_says(void **state) {
    (void)state;
    struct arena *a = arena_new();
    size_t n;
    const char *at = file_read(a, TEST_DATA "/joint.ddgir", 1 << 20, &n);
    assert_non_null(at);
    uint64_t seed = 0;
    for (struct func *f; (f = next_function(a, &at));) check_function(a, f, ++seed);
    assert_int_equal(seed, 10);
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_what_the_evaluator_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
