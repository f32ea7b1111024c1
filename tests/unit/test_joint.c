// Batches that workers compute together (runtime/joint.h), with kernels made by hand:
// what is computed does not depend on how many workers there are, nor on which of them
// does what.
#include "runtime/joint.h"

#include "runtime/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define WIDE  4  // floats of a row
#define BATCH 50 // rows
#define MOST  8  // workers

// ---- kernels -------------------------------------------------------------------------
// The function, over rows x: y = 2 x; sums of y, one a part; means; (y - means)^2, in
// two steps with a worker's own memory between them; the sum of all that, and 1 / n
// beside it.

static void twice(char *const *b, size_t n) {
    float *y = (float *)b[0], *x = (float *)b[1];
    for (size_t i = 0; i < n * WIDE; i++) y[i] = 2 * x[i];
}

static void sum_of_part(char *const *b, size_t n) {
    float *sums = (float *)b[0], *y = (float *)b[1], sum = 0;
    size_t part = *(size_t *)b[2];
    for (size_t i = 0; i < n; i++) sum += y[i * WIDE + part];
    sums[part] = sum;
}

static void means(char *const *b, size_t n) {
    float *mean = (float *)b[0], *sums = (float *)b[1], *over_n = (float *)b[2];
    (void)n;
    for (size_t i = 0; i < WIDE; i++) mean[i] = sums[i] * over_n[0];
}

static void centred(char *const *b, size_t n) {
    float *z = (float *)b[0], *y = (float *)b[1], *mean = (float *)b[2];
    for (size_t i = 0; i < n * WIDE; i++) z[i] = y[i] - mean[i % WIDE];
}

static void squared(char *const *b, size_t n) {
    float *out = (float *)b[0], *z = (float *)b[1];
    for (size_t i = 0; i < n * WIDE; i++) out[i] = z[i] * z[i];
}

static void total(char *const *b, size_t n) {
    float *out = (float *)b[0], *squares = (float *)b[1];
    out[0] = 0;
    for (size_t i = 0; i < n * WIDE; i++) out[0] += squares[i];
}

// ---- the plan ------------------------------------------------------------------------
#define ROW      (WIDE * sizeof(float))
#define SUMS_AT  (BATCH * ROW)
#define MEANS_AT (SUMS_AT + 64)

static struct plan_buffer rows_of(enum plan_space space, size_t offset) {
    return (struct plan_buffer){.space = space, .offset = offset, .stride = ROW};
}
static struct plan_buffer own(void) {
    return (struct plan_buffer){.space = SPACE_ARENA, .stride = ROW, .local = true};
}
static struct plan_buffer shared(enum plan_space space, size_t offset) {
    return (struct plan_buffer){.space = space, .offset = offset};
}

struct made {
    struct plan plan;
    struct plan_func func;
    struct plan_call calls[6];
    struct plan_band bands[5];
    struct plan_buffer buffers[6][3];
};

static void set_call(struct made *m, size_t i, kernel_fn fn, size_t nbuffers) {
    m->calls[i].fn = fn;
    m->calls[i].nbuffers = nbuffers;
    m->calls[i].buffers = m->buffers[i];
}

// out[0]: rows, the squares; out[1]: their sum. in[0]: x, in[1]: 1 / n.
static void make(struct made *m) {
    *m = (struct made){
        .buffers = {{rows_of(SPACE_ARENA, 0), rows_of(SPACE_IN, 0)},
                    {shared(SPACE_ARENA, SUMS_AT), rows_of(SPACE_ARENA, 0)},
                    {shared(SPACE_ARENA, MEANS_AT), shared(SPACE_ARENA, SUMS_AT),
                     shared(SPACE_IN, 1)},
                    {own(), rows_of(SPACE_ARENA, 0), shared(SPACE_ARENA, MEANS_AT)},
                    {rows_of(SPACE_OUT, 0), own()},
                    {shared(SPACE_OUT, 1), rows_of(SPACE_OUT, 0)}},
        .bands = {{1, 7, 0}, {1, BATCH, 1}, {1, BATCH, 2}, {2, 3, 3}, {1, BATCH, 4}}};
    set_call(m, 0, twice, 2);
    set_call(m, 1, sum_of_part, 2);
    set_call(m, 2, means, 3);
    set_call(m, 3, centred, 3);
    set_call(m, 4, squared, 2);
    set_call(m, 5, total, 2);
    m->calls[1].once = m->calls[2].once = m->calls[5].once = true;
    m->calls[1].all_rows = m->calls[5].all_rows = true;
    m->calls[1].parts = WIDE;
    m->func = (struct plan_func){.name = "f",
                                 .loaded = true,
                                 .batch = BATCH,
                                 .joint = true,
                                 .arena_bytes = MEANS_AT + 64,
                                 .own_bytes = 3 * ROW,
                                 .ncalls = COUNT(m->calls),
                                 .calls = m->calls,
                                 .nbands = COUNT(m->bands),
                                 .bands = m->bands};
    m->plan = (struct plan){.funcs = &m->func, .nfuncs = 1};
}

// ---- running it ----------------------------------------------------------------------
struct running {
    struct joint *j;
    size_t n, times;
    float x[BATCH * WIDE], over_n;
    float squares[BATCH * WIDE + 1], sum; // with one behind that nobody may touch
    atomic_int begun;
};

static void work(void *ctx, size_t worker) {
    struct running *r = ctx;
    char *in[] = {(char *)r->x, (char *)&r->over_n};
    char *out[] = {(char *)r->squares, (char *)&r->sum};
    for (size_t i = 0; i < r->times; i++) {
        joint_call(r->j, worker, in, out, r->n, NULL);
        joint_meet(r->j, worker);
        if (worker == 0) r->x[0] += 1; // the next batch is another
        joint_meet(r->j, worker);
    }
}

static struct running run(struct made *m, size_t n, size_t workers, size_t times) {
    struct running r = {.n = n, .times = times, .over_n = 1 / (float)n};
    for (size_t i = 0; i < n * WIDE; i++) r.x[i] = (float)(i * 37 % 101) / 7;
    r.squares[n * WIDE] = 1234;
    r.j = joint_new(&m->plan, &m->func, workers);
    assert_non_null(r.j);
    pool_run(workers, work, &r);
    joint_free(r.j);
    return r;
}

// Row by row, as it stands above.
static void expect(const struct running *r) {
    float mean[WIDE] = {0}, x[BATCH * WIDE], sum = 0;
    memcpy(x, r->x, sizeof x);
    x[0] -= 1; // of the last batch
    for (size_t i = 0; i < r->n * WIDE; i++) mean[i % WIDE] += 2 * x[i];
    for (size_t i = 0; i < r->n * WIDE; i++) {
        float c = 2 * x[i] - mean[i % WIDE] * r->over_n;
        assert_true(r->squares[i] == c * c);
        sum += c * c;
    }
    assert_true(r->sum == sum);
    assert_true(r->squares[r->n * WIDE] == 1234);
}

static void results_are_those_of_one_worker(void **state) {
    static const size_t rows[] = {1, 2, 3, 7, 8, 49, 50};
    (void)state;
    struct made m;
    make(&m);
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t workers = 1; workers <= MOST; workers++) {
            struct running r = run(&m, rows[i], workers, 5);
            expect(&r);
        }
}

static void many_batches_one_after_the_other(void **state) {
    (void)state;
    struct made m;
    make(&m);
    for (size_t workers = 2; workers <= MOST; workers += 3) {
        struct running r = run(&m, 21, workers, 300);
        expect(&r);
    }
}

// ---- what goes on side by side -------------------------------------------------------
// Two calls of one phase, of which each waits for the other to have begun: both are at
// work at once, or nothing would ever end.
static void meets_another(char *const *b, size_t n) {
    atomic_int *begun = (atomic_int *)(void *)b[0];
    (void)n;
    atomic_fetch_add(begun, 1);
    while (atomic_load(begun) < 2) {
    }
}

static void work_beside(void *ctx, size_t worker) {
    struct running *r = ctx;
    char *in[] = {(char *)r->x}, *out[] = {(char *)&r->begun};
    joint_call(r->j, worker, in, out, 1, NULL);
}

static void calls_of_one_phase_go_side_by_side(void **state) {
    (void)state;
    struct made m;
    make(&m);
    m.buffers[0][0] = m.buffers[1][0] = shared(SPACE_OUT, 0);
    for (size_t i = 0; i < 2; i++) {
        set_call(&m, i, meets_another, 1);
        m.calls[i].once = true;
        m.calls[i].all_rows = false;
        m.calls[i].parts = 0;
        m.bands[i] = (struct plan_band){1, 1, 0};
    }
    m.func.ncalls = m.func.nbands = 2;
    struct running r = {.j = joint_new(&m.plan, &m.func, 2)};
    pool_run(2, work_beside, &r);
    joint_free(r.j);
    assert_int_equal(atomic_load(&r.begun), 2);
}

// Bands come in any order; phases say what is first.
static void phases_go_before_the_order_of_bands(void **state) {
    (void)state;
    struct made m;
    make(&m);
    struct plan_call first = m.calls[0];
    memmove(m.calls, m.calls + 1, 5 * sizeof *m.calls);
    m.calls[5] = first;
    struct plan_band band = m.bands[0];
    memmove(m.bands, m.bands + 1, 4 * sizeof *m.bands);
    m.bands[4] = band;
    struct running r = run(&m, 13, 3, 2);
    expect(&r);
}

static void *nothing(void *ctx, void *p, size_t n) {
    (void)n;
    size_t *left = ctx;
    if (n && (*left)-- == 0) {
        *left = 0;
        return NULL;
    }
    if (n) return realloc(p, n);
    free(p);
    return NULL;
}

struct failing {
    struct made *m;
    bool made;
};

static void try_new(void *ctx) {
    struct failing *f = ctx;
    struct joint *j = joint_new(&f->m->plan, &f->m->func, 3);
    f->made = j != NULL;
    joint_free(j);
}

static void no_memory_is_said(void **state) {
    (void)state;
    struct made m;
    make(&m);
    for (size_t most = 0; most < 20; most++) {
        size_t left = most;
        struct memory memory = {nothing, &left};
        struct scope scope = {.memory = &memory};
        struct failing f = {&m, false};
        scope_run(&scope, try_new, &f);
        assert_int_equal(scope.end, SCOPE_DONE);
        if (f.made) return;
    }
    fail();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_are_those_of_one_worker),
        cmocka_unit_test(many_batches_one_after_the_other),
        cmocka_unit_test(calls_of_one_phase_go_side_by_side),
        cmocka_unit_test(phases_go_before_the_order_of_bands),
        cmocka_unit_test(no_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
