// Params that stay open after compiling: a plan in which one is set is the plan of the
// program compiled with it, in everything that a run reads; and what shapes the code says
// so.
#include "cli/driver.h"
#include "runtime/result.h"
#include "runtime/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "scratch.h"

#define TEACHER                                                                          \
    "teacher = onnx(\"" TEST_DATA "/onnx/pooled.onnx\", mean = [0.5, 0.4, 0.3], "        \
    "std = [0.25, 0.5, 1])\n"

static const char infoutil[] =
    "param data: string = \"data\"\n"
    "param sigma: float = 0.05\n"
    "param seed: int = 1\n"
    "param draws: int = 2\n"
    "param ipc: int = 1\n"
    "param factor: int = 2\n"
    "param grid: int = 2\n"
    "param temperature: int = 20\n"
    "param most: int = 100\n"
    "param root: string = \"out\"\n"
    "param unused: bool = true\n"
    "param sure: float = 0.25\n"
    "def noisy(map, by, s = seed + 1) { return perturb(map, sigma = by / 2, seed = s) }\n"
    "train = images(data + \"/train\", size = 16, limit = most)\n" TEACHER
    "phi = shap_patches(teacher, train, grid = grid, samples = 9, seed = draws)\n"
    "at = noisy(pool(phi, window = 8, stride = 4), sigma)\n"
    "again = noisy(pool(phi, window = 8, stride = 4), 0.05)\n"
    "xi = crop(train, at = at, size = 8)\n"
    "yi = crop(train, at = again, size = 8)\n"
    "tries = random_crop(xi, size = 8, count = 2, seed = seed * 3)\n"
    "util = gradnorm(teacher, tries)\n"
    "best = topk(tries, by = util, k = ipc * factor * factor, per = class)\n"
    "check(teacher, train, per_class = most, at_least = sure / 2)\n"
    "soft = relabel(teacher, stitch(best, factor = factor), temperature = temperature)\n"
    "save(util, to = root + \"/util.npy\")\n"
    "save(loss(teacher, yi), to = \"loss.npy\")\n"
    "save(random(train, seed = seed + 2), to = \"random.npy\")\n"
    "save(stitch(best, factor = factor), labels = soft, to = root + \"/set\")\n";

struct compiled {
    struct driver v;
    struct plan *plan;
};

static void compile(struct fixture *f, const char *text, const char *define,
                    struct compiled *out) {
    const char *path = arena_printf(f->a, "%s/program.ddg", f->root);
    FILE *program = fopen(path, "wb");
    assert_non_null(program);
    fputs(text, program);
    assert_int_equal(fclose(program), 0);
    struct driver_options o = {
        .path = path, .defines = &define, .ndefines = define != NULL, .threads = 1};
    driver_init(&out->v, f->a, &o);
    bool ok = driver_load(&out->v) && driver_lower(&out->v, NULL) &&
              driver_codegen(&out->v) && driver_link(&out->v);
    if (!ok) diags_print(&out->v.d, stderr, false);
    assert_true(ok);
    out->plan = out->v.module.plan;
    plan_settle(f->a, out->plan);
}

// ---- equal plans ---------------------------------------------------------------------
static void same_columns(const struct plan *p, const struct plan *q) {
    assert_int_equal(p->ncolumns, q->ncolumns);
    for (size_t i = 0; i < p->ncolumns; i++) {
        const struct plan_memo *a = p->columns[i].memo, *b = q->columns[i].memo;
        assert_int_equal(a != NULL, b != NULL);
        if (!a) continue;
        for (size_t k = 0; k < a->record.nfields; k++)
            assert_string_equal(a->record.fields[k].value, b->record.fields[k].value);
        assert_true(digest_eq(a->record.key, b->record.key));
        assert_true(digest_eq(a->record.key, store_record_key(&a->record)));
    }
}

static void same_rowsets(const struct plan *p, const struct plan *q) {
    assert_int_equal(p->nrowsets, q->nrowsets);
    for (size_t i = 0; i < p->nrowsets; i++) {
        assert_int_equal(p->rowsets[i].k, q->rowsets[i].k);
        assert_int_equal(p->rowsets[i].limit, q->rowsets[i].limit);
        if (p->rowsets[i].kind == ROWSET_READER)
            assert_string_equal(p->rowsets[i].path, q->rowsets[i].path);
    }
}

static void same_results(const struct plan *p, const struct plan *q) {
    assert_int_equal(p->nsaves, q->nsaves);
    for (size_t i = 0; i < p->nsaves; i++)
        assert_string_equal(p->saves[i].to, q->saves[i].to);
    assert_int_equal(p->nfields, q->nfields);
    for (size_t i = 0; i < p->nfields; i++) {
        assert_string_equal(p->fields[i].name, q->fields[i].name);
        assert_string_equal(p->fields[i].json, q->fields[i].json);
    }
}

static void same_trials(const struct plan *p, const struct plan *q) {
    assert_int_equal(p->ntrials, q->ntrials);
    for (size_t i = 0; i < p->ntrials; i++) {
        assert_int_equal(p->trials[i].per_class, q->trials[i].per_class);
        assert_true(p->trials[i].at_least == q->trials[i].at_least);
    }
}

static void same_code(const struct plan *p, const struct plan *q) {
    assert_int_equal(p->nfuncs, q->nfuncs);
    for (size_t i = 0; i < p->nfuncs; i++) {
        const struct plan_func *f = &p->funcs[i], *g = &q->funcs[i];
        assert_int_equal(f->ncalls, g->ncalls);
        for (size_t k = 0; k < f->ncalls; k++) {
            if (f->calls[k].symbol)
                assert_string_equal(f->calls[k].symbol, g->calls[k].symbol);
            assert_memory_equal(f->calls[k].params, g->calls[k].params,
                                sizeof f->calls[k].params);
        }
    }
    assert_int_equal(p->nconsts, q->nconsts);
    for (size_t i = 0; i < p->nconsts; i++) {
        assert_int_equal(p->consts[i].bytes, q->consts[i].bytes);
        assert_memory_equal(p->consts[i].data, q->consts[i].data, p->consts[i].bytes);
    }
}

static void same_plan(const struct plan *p, const struct plan *q) {
    same_columns(p, q);
    same_rowsets(p, q);
    same_results(p, q);
    same_trials(p, q);
    same_code(p, q);
}

// ---- tests ---------------------------------------------------------------------------
static void set_is_compiled_with(void **state) {
    static const struct setting settings[] = {
        {"data", "elsewhere", "-D "}, {"sigma", "0.25", "-D "},
        {"sigma", "0", "-D "},        {"seed", "77", "-D "},
        {"ipc", "3", "-D "},          {"temperature", "7", "-D "},
        {"most", "5", "-D "},         {"root", "/a/b", "-D "},
        {"unused", "false", "-D "},   {"sure", "0.5", "-D "}};
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(settings); i++) {
        struct compiled set, with;
        const struct setting *s = &settings[i];
        compile(f, infoutil, NULL, &set);
        compile(f, infoutil, arena_printf(f->a, "%s=%s", s->name, s->value), &with);
        bool ok = plan_set(f->a, set.plan, s, 1, &f->d);
        if (!ok) diags_print(&f->d, stderr, false);
        assert_true(ok);
        same_plan(set.plan, with.plan);
        // And back again, once more with everything in place.
        struct compiled first;
        static const char *const before[] = {"data", "0.05", "0.05", "1",    "1",
                                             "20",   "100",  "out",  "true", "0.25"};
        bool path = s->value[0] == 'e' || s->value[0] == '/'; // now they start elsewhere
        compile(f, infoutil, NULL, &first);
        struct setting back = {s->name, before[i], "-D "};
        assert_true(plan_set(f->a, set.plan, &back, 1, &f->d));
        if (!path) same_plan(set.plan, first.plan);
        driver_free(&set.v);
        driver_free(&with.v);
        driver_free(&first.v);
    }
}

static void what_shapes_code_is_fixed(void **state) {
    static const char *const fixed[][2] = {{"data", NULL},
                                           {"sigma", NULL},
                                           {"seed", NULL},
                                           {"draws", "`seed` of `shap_patches`"},
                                           {"ipc", NULL},
                                           {"factor", "`factor` of `stitch`"},
                                           {"grid", "`grid` of `shap_patches`"},
                                           {"temperature", NULL},
                                           {"most", NULL},
                                           {"root", NULL},
                                           {"unused", NULL},
                                           {"sure", NULL}};
    struct fixture *f = *state;
    struct compiled c;
    compile(f, infoutil, NULL, &c);
    assert_int_equal(c.plan->params.n, COUNT(fixed));
    for (size_t i = 0; i < COUNT(fixed); i++) {
        assert_string_equal(c.plan->params.at[i].name, fixed[i][0]);
        if (fixed[i][1]) assert_string_equal(c.plan->params.at[i].fixed, fixed[i][1]);
        else assert_null(c.plan->params.at[i].fixed);
    }
    driver_free(&c.v);
}

// Two values that are equal now may differ later.
static void equal_values_of_different_params_stay_apart(void **state) {
    static const char text[] =
        "param a: float = 0.1\nparam b: float = 0.1\n"
        "train = images(\"data\", size = 16)\n" TEACHER
        "phi = shap_patches(teacher, train, grid = 2, samples = 9, seed = 0)\n"
        "save(perturb(phi, sigma = a, seed = 1), to = \"a.npy\")\n"
        "save(perturb(phi, sigma = b, seed = 1), to = \"b.npy\")\n"
        "save(perturb(phi, sigma = 0.1, seed = 1), to = \"c.npy\")\n";
    struct fixture *f = *state;
    struct compiled set, with;
    compile(f, text, NULL, &set);
    compile(f, text, "b=0.7", &with);
    assert_true(plan_set(f->a, set.plan, &(struct setting){"b", "0.7", "-D "}, 1, &f->d));
    same_plan(set.plan, with.plan);
    driver_free(&set.v);
    driver_free(&with.v);
}

// As -D does, setting a param changes what other defaults say of it, until they are set
// too.
static void defaults_follow(void **state) {
    static const char text[] =
        "param twice: float = 2 * a\nparam a: float = 0.1\n"
        "train = images(\"data\", size = 16)\n" TEACHER
        "phi = shap_patches(teacher, train, grid = 2, samples = 9, seed = 0)\n"
        "save(perturb(phi, sigma = twice, seed = 1), to = \"a.npy\")\n";
    struct fixture *f = *state;
    struct compiled set, with;
    compile(f, text, NULL, &set);
    compile(f, text, "a=0.7", &with);
    assert_true(plan_set(f->a, set.plan, &(struct setting){"a", "0.7", "-D "}, 1, &f->d));
    same_plan(set.plan, with.plan);
    driver_free(&with.v);
    compile(f, text, "twice=0.7", &with);
    assert_true(
        plan_set(f->a, set.plan, &(struct setting){"twice", "0.7", "-D "}, 1, &f->d));
    assert_true(plan_set(f->a, set.plan, &(struct setting){"a", "0.1", "-D "}, 1, &f->d));
    same_plan(set.plan, with.plan);
    driver_free(&set.v);
    driver_free(&with.v);
}

// A formula that doubles at every line is not kept, and its params cannot be set.
static void large_formulas_are_given_up(void **state) {
    struct fixture *f = *state;
    struct text t = {.arena = f->a};
    text_add(&t, "param p: float = 1e-9\nparam q: float = 0.5\nx0 = p\n");
    for (int i = 0; i < 30; i++) text_add(&t, "x%d = x%d + x%d\n", i + 1, i, i);
    text_add(&t, "train = images(\"data\", size = 16)\n" TEACHER
                 "phi = shap_patches(teacher, train, grid = 2, samples = 9, seed = 0)\n"
                 "save(perturb(phi, sigma = x30 * q, seed = 1), to = \"a.npy\")\n");
    struct compiled c;
    compile(f, t.at, NULL, &c);
    assert_string_equal(c.plan->params.at[0].fixed, "`sigma` of `perturb`");
    assert_string_equal(c.plan->params.at[1].fixed, "`sigma` of `perturb`");
    driver_free(&c.v);
}

// A list joined to a param that is a list has items that follow from their own params,
// too: none of them can be set.
static void joined_lists_follow_from_all(void **state) {
    struct fixture *f = *state;
    static const char text[] =
        "param ks: [int] = [1]\nparam k: int = 2\nall = ks + [k]\n"
        "train = images(\"data\", size = 16)\n" TEACHER
        "report([accuracy(teacher, topk(train, by = loss(teacher, train), k = n))\n"
        "        for n in all])\n";
    struct compiled c;
    compile(f, text, NULL, &c);
    assert_string_equal(c.plan->params.at[0].fixed, "`k` of `topk`");
    assert_string_equal(c.plan->params.at[1].fixed, "`k` of `topk`");
    driver_free(&c.v);
}

// The kernels of relabel read 1 / temperature: a formula a little larger than the
// attribute's. Whatever its size, what can be set is honoured.
static void formulas_at_the_limit_are_kept_whole(void **state) {
    struct fixture *f = *state;
    size_t open = 0, depths = 0;
    for (size_t depth = FORMULA_MAX_DEPTH - 5; depth <= FORMULA_MAX_DEPTH; depth++) {
        struct text t = {.arena = f->a};
        struct compiled set, with;
        text_add(&t, "param p: float = 1\n%s",
                 "train = images(\"data\", size = 16)\n" TEACHER
                 "save(relabel(teacher, train, temperature = p");
        for (size_t i = 1; i < depth; i++) text_add(&t, " + 1");
        text_add(&t, "), to = \"a.npy\")\n");
        compile(f, t.at, NULL, &set);
        compile(f, t.at, "p=7", &with);
        if (!set.plan->params.at[0].fixed) {
            open++;
            assert_true(
                plan_set(f->a, set.plan, &(struct setting){"p", "7", "-D "}, 1, &f->d));
            same_plan(set.plan, with.plan);
        }
        depths++;
        driver_free(&set.v);
        driver_free(&with.v);
    }
    assert_true(open > 0 && open < depths);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(set_is_compiled_with, setup, teardown),
        cmocka_unit_test_setup_teardown(what_shapes_code_is_fixed, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_values_of_different_params_stay_apart,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(defaults_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(large_formulas_are_given_up, setup, teardown),
        cmocka_unit_test_setup_teardown(joined_lists_follow_from_all, setup, teardown),
        cmocka_unit_test_setup_teardown(formulas_at_the_limit_are_kept_whole, setup,
                                        teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
