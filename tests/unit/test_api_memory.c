// The C interface where memory runs out, at every allocation of a compile and a run; and
// in several threads at once.
#include "api_rig.h"

#include <math.h>

// ---- one use of the library ----------------------------------------------------------
struct use {
    const struct fixture *f;
    const char *store; // or NULL
    const char *file;  // a compiled plan to load, or NULL: compile
    const char *write; // where to write the plan instead of running it, or NULL
    size_t threads;
    float sum; // of the results, to compare
    size_t reused;
};

static bool add_up(const ddg_result *r, struct use *u, ddg_error **e) {
    ddg_array labels, values, pixels;
    if (!ddg_result_array(r, 0, DDG_LABELS, &labels, e) ||
        !ddg_result_array(r, 0, DDG_PIXELS, &pixels, e) ||
        !ddg_result_array(r, 1, DDG_VALUES, &values, e))
        return false;
    u->sum = 0;
    for (size_t i = 0; i < labels.shape[0] * labels.shape[1]; i++)
        u->sum += (float)(i + 1) * ((const float *)labels.data)[i];
    for (size_t i = 0; i < values.shape[0]; i++)
        u->sum += (float)(i + 1) * ((const float *)values.data)[i];
    u->sum += (float)((const uint8_t *)pixels.data)[0];
    return true;
}

static bool write_pipeline(ddg_pipeline *p, struct use *u, ddg_error **e) {
    if (!ddg_write(p, u->write, NULL, 0, false, e)) return false;
    FILE *f = fopen(u->write, "rb");
    assert_non_null(f);
    u->sum = 0;
    for (int c; (c = getc(f)) != EOF;) u->sum = fmodf(u->sum * 3 + (float)c, 10007);
    fclose(f);
    return remove(u->write) == 0;
}

static bool run_pipeline(ddg_pipeline *p, struct use *u, ddg_error **e) {
    ddg_run_options o = rig_in_memory();
    ddg_stats stats;
    o.threads = u->threads;
    if (!ddg_set(p, "temperature", "2", e)) return false;
    if (u->write) return write_pipeline(p, u, e);
    ddg_result *r = ddg_run(p, &o, e);
    bool ok = r && add_up(r, u, e) && ddg_result_stats(r, &stats);
    if (ok) u->reused = stats.reused;
    ddg_result_free(r);
    return ok;
}

static bool use_library(struct tally *t, struct use *u, ddg_error **e) {
    ddg_context *c = rig_open(t, u->store, e);
    if (!c) return false;
    ddg_pipeline *p = u->file ? ddg_load(c, u->file, e) : rig_compile(c, u->f, e);
    bool ok = p && run_pipeline(p, u, e);
    ddg_pipeline_free(p);
    ddg_close(c);
    return ok;
}

// ---- every allocation ----------------------------------------------------------------
// What is wrong with how a use ended of which the nth allocation failed, or NULL. A
// store, and work that is shared out to threads, may do without what they could not get:
// then results are right all the same.
static const char *judge(bool ok, const struct use *one, const struct use *all,
                         const ddg_error *e) {
    if (ok && e) return "an error beside a result";
    if (ok && one->sum != all->sum) return "another result";
    if (ok && !one->store && !one->write) return "no error";
    if (!ok && !e) return "no error object";
    bool memory = ok || (ddg_error_kind)(e) == DDG_ERROR_MEMORY;
    return memory ? NULL : "another kind of error";
}

static void fail_each(const struct use *u, const char *what) {
    struct tally t = tally_new();
    struct use all = *u;
    ddg_error *e = NULL;
    rig_fine(use_library(&t, &all, &e), e);
    assert_int_equal(t.blocks, 0);
    size_t calls = t.calls, errors = 0, wrong = 0;
    for (size_t n = 1; n <= calls; n++) {
        struct use one = *u;
        t = tally_new();
        t.fail_at = n;
        bool ok = use_library(&t, &one, &e);
        const char *words = judge(ok, &one, &all, e);
        char said[256];
        snprintf(said, sizeof said, "%s", ddg_error_text(e));
        ddg_error_free(e);
        e = NULL;
        if (!words && t.blocks) words = "blocks are left";
        if (words && wrong++ < 10)
            print_error("%s: allocation %zu: %s; %s\n", what, n, words, said);
        errors += !ok;
    }
    print_message("%s: %zu allocations, %zu errors\n", what, calls, errors);
    assert_int_equal(wrong, 0);
}

static void compiling_and_running(void **state) {
    fail_each(&(struct use){.f = *state, .threads = 1}, "compile and run");
}

// The second use finds everything in the store.
static void running_over_a_store(void **state) {
    struct fixture *f = *state;
    struct use u = {.f = f, .threads = 1, .store = path_of(f, "store")};
    ddg_error *e = NULL;
    rig_fine(use_library(NULL, &u, &e), e);
    fail_each(&u, "run over a warm store");
}

static void writing_loading_and_running(void **state) {
    struct fixture *f = *state;
    struct use u = {.f = f, .threads = 1, .write = path_of(f, "rig.plan")};
    fail_each(&u, "compile and write");
    ddg_context *c = rig_open(NULL, NULL, NULL);
    ddg_pipeline *p = rig_compile(c, f, NULL);
    assert_true(ddg_write(p, u.write, NULL, 0, false, NULL));
    ddg_pipeline_free(p);
    ddg_close(c);
    u.file = u.write;
    u.write = NULL;
    fail_each(&u, "load and run");
}

// ---- threads -------------------------------------------------------------------------
#define THREADS 4

struct runner {
    pthread_t thread;
    struct tally tally;
    struct use use;
    ddg_error *e;
    bool ok;
};

static void *use_twice(void *arg) {
    struct runner *r = arg;
    r->ok =
        use_library(&r->tally, &r->use, &r->e) && use_library(&r->tally, &r->use, &r->e);
    return NULL;
}

// Two of them over one store.
static void several_contexts_at_once(void **state) {
    struct fixture *f = *state;
    struct use one = {.f = f, .threads = 2};
    struct runner runners[THREADS];
    ddg_error *e = NULL;
    for (size_t i = 0; i < THREADS; i++) {
        runners[i] = (struct runner){.tally = tally_new(), .use = one};
        if (i % 2) runners[i].use.store = path_of(f, "store");
        if (pthread_create(&runners[i].thread, NULL, use_twice, &runners[i]) != 0) fail();
    }
    rig_fine(use_library(NULL, &one, &e), e);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(runners[i].thread, NULL);
        rig_fine(runners[i].ok, runners[i].e);
        assert_true(runners[i].use.sum == one.sum);
        assert_int_equal(runners[i].tally.blocks, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(several_contexts_at_once, rig_setup, teardown),
        cmocka_unit_test_setup_teardown(compiling_and_running, rig_setup, teardown),
        cmocka_unit_test_setup_teardown(running_over_a_store, rig_setup, teardown),
        cmocka_unit_test_setup_teardown(writing_loading_and_running, rig_setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
