// The C interface where memory runs out, at every allocation of a compile and a run; and in
// several threads at once.
#include "api_rig.h"

// ---- one use of the library -----------------------------------------------------------
struct use {
    const struct fixture *f;
    const char *store; // or NULL
    const char *file;  // a compiled plan to load, or NULL: compile
    const char *write; // where to write the plan, or NULL
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

static bool run_pipeline(ddg_pipeline *p, struct use *u, ddg_error **e) {
    ddg_run_options o = rig_in_memory();
    ddg_stats stats;
    o.threads = u->threads;
    if (!ddg_set(p, "temperature", "2", e)) return false;
    if (u->write && !ddg_write(p, u->write, NULL, 0, false, e)) return false;
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

// ---- every allocation -------------------------------------------------------------------
// What is wrong with how a use ended of which the nth allocation failed, or NULL. A store
// may do without what it could not get: then results are right all the same.
static const char *judge(bool ok, const struct use *one, const struct use *all,
                         const struct tally *t, const ddg_error *e) {
    if (ok && e) return "an error beside a result";
    if (ok && one->sum != all->sum) return "another result";
    if (ok && !one->store) return "no error";
    if (!ok && !e) return "no error object";
    if (!ok && (ddg_error_kind)(e) != DDG_ERROR_MEMORY) return "another kind of error";
    return t->blocks ? "blocks are left" : NULL;
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
        const char *words = judge(ok, &one, &all, &t, e);
        if (words && wrong++ < 10)
            print_error("%s: allocation %zu: %s; %s", what, n, words, ddg_error_text(e));
        errors += !ok;
        ddg_error_free(e);
        e = NULL;
    }
    print_message("%s: %zu allocations, %zu errors\n", what, calls, errors);
    assert_int_equal(wrong, 0);
}

static void compiling_and_running(void **state) {
    fail_each(&(struct use){.f = *state, .threads = 1}, "compile and run");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(compiling_and_running, rig_setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
