// Code is made for the stage that is about to run and for nothing else; what functions
// share is made once; the work a function is can be told without making its code.
#include "cli/driver.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>


static const char program[] =
    "x = images(\"%s/shapes/train\", size = 32, limit = 1)\n"
    "m = onnx(\"%s/shapes.onnx\", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, "
    "0.225])\n"
    "phi = shap_patches(m, x, grid = 4, samples = 32, seed = 0)\n"
    "norm = gradnorm(m, x)\n"
    "best = topk(x, by = norm, k = 1)\n"
    "soft = relabel(m, best)\n"
    "save(phi, to = \"phi.npy\")\n"
    "save(soft, to = \"soft.npy\")\n";

static void lower(struct fixture *f, struct driver *v) {
    char *path = arena_printf(f->a, "%s/load.ddg", f->root);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, program, TEST_DATA, TEST_DATA);
    assert_int_equal(fclose(file), 0);
    struct driver_options o = {.path = path, .threads = 2};
    driver_init(v, f->a, &o);
    if (!driver_load(v) || !driver_lower(v, NULL))
        fail_msg("%s", v->d.list.at[0].message);
}

static void load(struct driver *v, const struct plan_stage *s) {
    if (!driver_load_stage(v, s, &v->d)) fail_msg("%s", v->d.list.at[0].message);
}

static bool has_step(const struct plan_stage *s, size_t func) {
    for (size_t i = 0; i < s->nsteps; i++)
        if (s->steps[i].func == func) return true;
    return false;
}

static uint32_t func_named(const struct plan *p, const char *name) {
    for (uint32_t i = 0; i < p->nfuncs; i++)
        if (!strcmp(p->funcs[i].name, name)) return i;
    fail_msg("there is no function %s", name);
    return 0;
}

// A stage that calls this function and nothing else.
static const struct plan_func *load_func(struct driver *v, const char *name) {
    struct plan_step step = {.func = func_named(v->module.plan, name)};
    load(v, &(struct plan_stage){.nsteps = 1, .steps = &step});
    return &v->module.plan->funcs[step.func];
}

static const struct plan_stage *stage_of(const struct plan *p, const char *func) {
    uint32_t i = func_named(p, func);
    for (size_t k = 0; k < p->nstages; k++)
        if (has_step(&p->stages[k], i)) return &p->stages[k];
    fail_msg("no stage calls %s", func);
    return NULL;
}

// ---- stages --------------------------------------------------------------------------
static void a_stage_loads_its_own_functions(void **state) {
    struct driver v;
    lower(*state, &v);
    const struct plan *p = v.module.plan;
    const struct plan_stage *soft = stage_of(p, "soft");
    for (size_t i = 0; i < p->nfuncs; i++) assert_false(p->funcs[i].loaded);
    load(&v, soft);
    for (size_t i = 0; i < p->nfuncs; i++)
        assert_int_equal(p->funcs[i].loaded, has_step(soft, i));
    for (size_t i = 0; i < p->nstages; i++) load(&v, &p->stages[i]);
    for (size_t i = 0; i < p->nfuncs; i++) assert_true(p->funcs[i].loaded);
    driver_free(&v);
}

static void loading_again_changes_nothing(void **state) {
    struct driver v;
    lower(*state, &v);
    const struct plan_call *calls = load_func(&v, "soft")->calls;
    size_t consts = v.module.plan->nconsts;
    assert_ptr_equal(load_func(&v, "soft")->calls, calls);
    assert_int_equal(v.module.plan->nconsts, consts);
    driver_free(&v);
}

// The teacher under shap_patches and under relabel is one network: most of its layers
// have the same code and the same weights, whichever is loaded first.
static void functions_share_constants_and_code(void **state) {
    struct driver v;
    lower(*state, &v);
    const struct plan *p = v.module.plan;
    const struct plan_func *soft = load_func(&v, "soft");
    size_t alone = p->nconsts, shared = 0;
    const char *first = p->consts[0].data;
    const struct plan_func *phi = load_func(&v, "phi.values");
    assert_ptr_equal(p->consts[0].data, first);
    assert_in_range(p->nconsts, alone, 2 * alone - 1);
    for (size_t i = 0; i < soft->ncalls; i++)
        for (size_t j = 0; j < phi->ncalls; j++)
            shared += soft->calls[i].fn && soft->calls[i].fn == phi->calls[j].fn;
    assert_true(shared > 0);
    driver_free(&v);
}

static void constants_are_aligned_and_end_with_slack(void **state) {
    struct driver v;
    lower(*state, &v);
    const struct plan *p = v.module.plan;
    for (size_t i = 0; i < p->nstages; i++) load(&v, &p->stages[i]);
    assert_true(p->nconsts > 0);
    for (size_t i = 0; i < p->nconsts; i++) {
        assert_int_equal((uintptr_t)p->consts[i].data % 64, 0);
        for (size_t k = 0; k < 64; k++)
            assert_int_equal(p->consts[i].data[p->consts[i].bytes + k], 0);
    }
    driver_free(&v);
}

// ---- work ----------------------------------------------------------------------------
static void work_is_known_before_code(void **state) {
    struct driver v;
    lower(*state, &v);
    struct plan *p = v.module.plan;
    double *flops = NEW_N(v.arena, double, p->nfuncs);
    assert_true(driver_flops(&v));
    for (size_t i = 0; i < p->nfuncs; i++) flops[i] = p->funcs[i].flops;
    assert_null(v.codegen);
    for (size_t i = 0; i < p->nstages; i++) load(&v, &p->stages[i]);
    for (size_t i = 0; i < p->nfuncs; i++) assert_true(p->funcs[i].flops == flops[i]);
    // One row of either is one pass of the network; its gradient takes about three.
    double forward = flops[func_named(p, "soft")];
    double gradient = flops[func_named(p, "norm")];
    assert_true(gradient > 2 * forward && gradient < 4 * forward);
    driver_free(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_stage_loads_its_own_functions, setup, teardown),
        cmocka_unit_test_setup_teardown(loading_again_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(functions_share_constants_and_code, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(constants_are_aligned_and_end_with_slack, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(work_is_known_before_code, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
