// Phases: added up by name from any thread, in the order they began; the first kernel.
#include "runtime/pool.h"
#include "runtime/timeline.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void phases_add_up_in_the_order_they_began(void **state) {
    (void)state;
    struct timeline t;
    struct timeline_phase p[TIMELINE_MAX];
    timeline_begin(&t);
    double now = timeline_now(&t);
    timeline_add(&t, now - 1, "pass", "fuse");
    timeline_add(&t, now - 5, "read", NULL);
    timeline_add(&t, now - 3, "pass", "fuse");
    assert_int_equal(timeline_phases(&t, p), 3);
    assert_string_equal(p[0].name, "read");
    assert_string_equal(p[1].name, "pass fuse");
    assert_string_equal(p[2].name, "start the process");
    assert_true(p[1].began - p[0].began > 1.99 && p[1].began - p[0].began < 2.01);
    assert_true(p[1].seconds >= 4 && p[1].seconds < 5);
    timeline_end(&t);
}

static void add_one(void *ctx, size_t first, size_t last) {
    struct timeline *t = ctx;
    for (size_t i = first; i < last; i++)
        timeline_add(t, timeline_now(t) - 1, "row", i % 2 ? "odd" : "even");
}

static void threads_lose_nothing(void **state) {
    (void)state;
    struct timeline t;
    struct timeline_phase p[TIMELINE_MAX];
    timeline_begin(&t);
    pool_for(4, 2000, 1, add_one, &t);
    assert_int_equal(timeline_phases(&t, p), 3);
    for (size_t i = 0; i < 2; i++) assert_true(p[i].seconds >= 1000);
    timeline_end(&t);
}

// More names than there is room for are left out; those that are there go on.
static void names_are_bounded(void **state) {
    (void)state;
    struct timeline t;
    struct timeline_phase p[TIMELINE_MAX];
    char name[200] = {0};
    timeline_begin(&t);
    timeline_add(&t, timeline_now(&t), "compute", memset(name, 'x', sizeof name - 1));
    for (size_t i = 0; i < 2 * TIMELINE_MAX; i++) {
        snprintf(name, sizeof name, "%zu", i);
        timeline_add(&t, timeline_now(&t), "pass", name);
    }
    timeline_add(&t, timeline_now(&t) - 7, "start the process", NULL);
    assert_int_equal(timeline_phases(&t, p), TIMELINE_MAX);
    assert_string_equal(p[0].name, "start the process");
    assert_true(p[0].seconds >= 7);
    timeline_end(&t);
}

static void the_first_kernel_counts(void **state) {
    (void)state;
    struct timeline t;
    timeline_begin(&t);
    assert_false(t.kernels);
    timeline_kernel(&t);
    double first = t.first_kernel;
    assert_true(t.kernels && first > 0);
    timeline_kernel(&t);
    assert_true(t.first_kernel == first);
    timeline_end(&t);
}

static void nowhere_takes_everything(void **state) {
    (void)state;
    timeline_kernel(NULL);
    timeline_add(NULL, timeline_now(NULL), "read", "nothing");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_add_up_in_the_order_they_began),
        cmocka_unit_test(threads_lose_nothing),
        cmocka_unit_test(names_are_bounded),
        cmocka_unit_test(the_first_kernel_counts),
        cmocka_unit_test(nowhere_takes_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
