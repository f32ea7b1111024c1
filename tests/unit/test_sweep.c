// Sweeps: which combinations several values make, what their folders are called, and
// where their results go.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "scratch.h"

struct sweep {
    bool ok;
    struct sweep_point *points;
    size_t n;
};

// Up to six -D; NULL ends them.
static struct sweep sweep(struct fixture *f, const char *const *defines) {
    struct sweep s = {0};
    size_t n = 0;
    while (defines[n]) n++;
    diags_init(&f->d, f->a);
    s.ok = sweep_points(f->a, defines, n, &s.points, &s.n, &f->d);
    assert_true(s.ok == (f->d.errors == 0));
    return s;
}
#define SWEEP(f, ...) sweep(f, (const char *const[]){__VA_ARGS__, NULL})

// "NAME: -D -D; NAME: ...", a point's name being - when nothing is swept.
static const char *points_text(struct fixture *f, struct sweep s) {
    struct text t = {.arena = f->a};
    text_add(&t, "%s", s.ok ? "" : f->d.list.at[0].message);
    for (size_t i = 0; i < s.n; i++) {
        const struct sweep_point *p = &s.points[i];
        text_add(&t, "%s%s:", i ? "; " : "", p->name ? p->name : "-");
        for (size_t k = 0; k < p->ndefines; k++) text_add(&t, " %s", p->defines[k]);
    }
    return t.at;
}
#define IS(f, want, ...) assert_string_equal(points_text(f, SWEEP(f, __VA_ARGS__)), want)

static void what_is_swept(void **state) {
    struct fixture *f = *state;
    IS(f, "-:", NULL);
    IS(f, "-: a=1 t= x ", "a=1", "t= x "); // single values are passed on as they are
    IS(f, "-: a= t", "a=", "t");
    IS(f, "a=1: a=1; a=2: a=2", "a=1,2");
    IS(f, "a=1: a=1 b=3; a=-.5: a=-.5 b=3", "a= 1 ,\t-.5 ", "b=3");
    IS(f,
       "a=1,c=x: a=1 b=3 c=x; a=1,c=y: a=1 b=3 c=y; a=2,c=x: a=2 b=3 c=x; "
       "a=2,c=y: a=2 b=3 c=y",
       "a=1,2", "b=3", "c=x,y");
}

static void which_commas_part(void **state) {
    struct fixture *f = *state;
    IS(f, "-: l=[1, 2]", "l=[1, 2]");
    IS(f, "l=[1,[2],3]: l=[1,[2],3]; l=[4]: l=[4]", "l=[1,[2],3],[4]");
    IS(f, "-: t=\"a,b\"", "t=\"a,b\"");
    IS(f, "t=\"a,\\\",b\": t=\"a,\\\",b\"; t=c: t=c", "t=\"a,\\\",b\", c");
    IS(f, "-: n=2 * (3, 4)", "n=2 * (3, 4)");
    IS(f, "t=5\": t=5\"; t=6\": t=6\"", "t=5\",6\""); // inches, no quotes
    IS(f, "t=a]: t=a]; t=b: t=b", "t=a],b");
    IS(f, "-: t=[a,b", "t=[a,b"); // what does not close is for the program to refuse
    IS(f, "-: t=\"a,b\\", "t=\"a,b\\");
}

static void what_is_refused(void **state) {
    struct fixture *f = *state;
    IS(f, "a value is missing here", "a=1,,2");
    assert_string_equal(f->d.list.at[0].span.file->text, "-D a=1,,2");
    assert_int_equal(f->d.list.at[0].span.start, 7);
    assert_int_equal(f->d.list.at[0].span.end, 8);
    IS(f, "a value is missing here", "a=1,");
    assert_int_equal(f->d.list.at[0].span.start, 6);
    assert_int_equal(f->d.list.at[0].span.end, 7);
    IS(f, "a value is missing here", "a= ,2");
    IS(f, "the value `1` is given twice", "b=3", "a=1,2, 1");
    const char *many = arena_printf(f->a, "a=%0*d", 0, 0);
    for (int i = 1; i < 100; i++) many = arena_printf(f->a, "%s,%d", many, i);
    const char *b = arena_printf(f->a, "b%s", many + 1);
    assert_int_equal(SWEEP(f, many, b).n, 10000);
    IS(f, "the values given make more than 10000 combinations", many, b, "c=1,2");
}

static void names_fit_a_folder(void **state) {
    struct fixture *f = *state;
    struct sweep s = SWEEP(f, "data=/a/b,/a_b,..", "n=1");
    assert_int_equal(s.n, 3);
    assert_int_equal(strlen(s.points[0].name), strlen("data=_a_b~12345678"));
    assert_memory_equal(s.points[0].name, "data=_a_b~", 10);
    assert_memory_equal(s.points[1].name, "data=_a_b~", 10);
    assert_string_not_equal(s.points[0].name, s.points[1].name);
    assert_string_equal(s.points[2].name, "data=..");
    assert_string_equal(s.points[0].defines[0], "data=/a/b"); // the value stays
    s = SWEEP(f, "t=a\nb,\x1b,\x7f");
    assert_memory_equal(s.points[0].name, "t=a_b~", 6);
    assert_memory_equal(s.points[1].name, "t=_~", 4);
    assert_memory_equal(s.points[2].name, "t=_~", 4);
}

static void long_names_are_cut_between_letters(void **state) {
    struct fixture *f = *state;
    struct text t = {.arena = f->a};
    for (int i = 0; i < 150; i++) text_add(&t, "\xC3\xA4"); // a letter of two bytes
    struct sweep s = SWEEP(f, arena_printf(f->a, "t=%s1,%s2", t.at, t.at));
    struct sweep odd = SWEEP(f, arena_printf(f->a, "tt=%s1,%s2", t.at, t.at));
    assert_int_equal(strlen(s.points[0].name), 2 + 188 + 9);
    assert_int_equal(strlen(odd.points[0].name), 3 + 188 + 9);
    assert_string_not_equal(s.points[0].name, s.points[1].name);
}

static void targets_of_a_point_lie_together(void **state) {
    static const struct {
        const char *to, *want;
    } CASES[] = {
        {"out/infoutil", "out/P/infoutil"},
        {"phi.npy", "P/phi.npy"},
        {"/abs/x.npy", "/abs/P/x.npy"},
        {"/x", "/P/x"},
        {"out/x/", "out/P/x/"},
        {"a//b", "a//P/b"},
        {"..", "../P"},
        {"out/.", "out/./P"},
        {".x", "P/.x"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(CASES); i++) {
        assert_string_equal(sweep_target(f->a, CASES[i].to, "P"), CASES[i].want);
        assert_string_equal(sweep_target(f->a, CASES[i].to, NULL), CASES[i].to);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_swept),
        TEST(which_commas_part),
        TEST(what_is_refused),
        TEST(names_fit_a_folder),
        TEST(long_names_are_cut_between_letters),
        TEST(targets_of_a_point_lie_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
