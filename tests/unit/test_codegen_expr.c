// Generated code of everything but anchors, beside the evaluator.
#include "tests/unit/codegen_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

// exp, tanh and sums of up to some thousand terms in f32, chained.
#define TOLERANCE 2e-5

static const char *const TARGETS[] = {"native", "x86-64-v3", "x86-64"};

static void random_functions(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++)
        for (size_t t = 0; t < COUNT(TARGETS); t++) {
            struct arena *a = arena_new();
            const char *why;
            struct rig g = rig_new(a, random_func(a, seed, false), TARGETS[t], seed);
            double d = rig_check(&g, &why);
            if (!(d < TOLERANCE)) {
                diags_print(&g.d, stderr, false);
                fail_msg("seed %llu on %s: %s (%g)", (unsigned long long)seed, TARGETS[t],
                         why, d);
            }
            rig_free(&g);
            arena_free(a);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
