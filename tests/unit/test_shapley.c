// Coalitions and solves, against Shapley's axioms and games whose values are known.
#include "passes/shapley.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static double solved(const struct coalitions *c, const double *v, size_t j) {
    double phi = 0;
    for (size_t s = 0; s < c->n; s++) phi += v[s] * (double)c->solve[s * c->m + j];
    return phi;
}

// A game with additive worths and one interaction between the first two players.
static double game(const uint8_t *z, size_t m, double together) {
    double v = 0.25;
    for (size_t j = 0; j < m; j++) v += z[j] * (0.5 + (double)j);
    return v + (z[0] && z[1] ? together : 0);
}

static double *play(struct arena *a, const struct coalitions *c, double together) {
    double *v = NEW_N(a, double, c->n);
    for (size_t s = 0; s < c->n; s++) v[s] = game(c->z + s * c->m, c->m, together);
    return v;
}

// Shapley splits the interaction evenly between the two players that make it.
static void exact_values(void **state) {
    struct arena *a = *state;
    for (size_t m = 2; m <= 9; m++) {
        struct coalitions c;
        coalitions_all(a, m, &c);
        shapley_exact(a, &c);
        double *v = play(a, &c, 3);
        for (size_t j = 0; j < m; j++)
            assert_true(fabs(solved(&c, v, j) - (0.5 + (double)j + (j < 2 ? 1.5 : 0))) <
                        1e-5);
    }
}

// Least squares is exact on additive games, whatever coalitions were drawn.
static void kernel_is_exact_on_additive(void **state) {
    struct arena *a = *state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct coalitions c;
        const char *why = NULL;
        coalitions_draw(a, 128, 16, seed, seed % 2, &c);
        assert_true(shapley_least_squares(a, &c, &why));
        double *v = play(a, &c, 0), sum = 0;
        for (size_t j = 0; j < 16; j++) {
            assert_true(fabs(solved(&c, v, j) - (0.5 + (double)j)) < 1e-3);
            sum += solved(&c, v, j);
        }
        assert_true(fabs(sum - (v[0] - v[1])) < 1e-3); // efficiency, from the two anchors
    }
}

// Sizes are drawn with p(k) proportional to 1/(k(m-k)); players evenly.
static void draws(void **state) {
    struct arena *a = *state;
    enum { M = 6, N = 60002 };
    struct coalitions c;
    double size[M] = {0}, player[M] = {0}, total = 0;
    coalitions_draw(a, N, M, 3, false, &c);
    for (size_t j = 0; j < M; j++) {
        assert_int_equal(c.z[j], 1);
        assert_int_equal(c.z[M + j], 0);
    }
    for (size_t s = 2; s < N; s++) {
        size_t k = 0;
        for (size_t j = 0; j < M; j++) {
            k += c.z[s * M + j];
            player[j] += c.z[s * M + j];
        }
        assert_in_range(k, 1, M - 1);
        size[k]++;
    }
    for (size_t k = 1; k < M; k++) total += 1.0 / (double)(k * (M - k));
    for (size_t k = 1; k < M; k++)
        assert_true(fabs(size[k] / (N - 2) - 1.0 / (double)(k * (M - k)) / total) < 0.01);
    for (size_t j = 0; j < M; j++) assert_true(fabs(player[j] / (N - 2) - 0.5) < 0.01);
}

static void pairs_are_complements(void **state) {
    struct arena *a = *state;
    struct coalitions c, other;
    coalitions_draw(a, 64, 9, 1, true, &c);
    for (size_t s = 2; s + 1 < c.n; s += 2)
        for (size_t j = 0; j < 9; j++)
            assert_int_equal(c.z[s * 9 + j] + c.z[(s + 1) * 9 + j], 1);
    coalitions_draw(a, 64, 9, 2, true, &other);
    assert_memory_not_equal(c.z, other.z, 64 * 9);
}

// Each coalition is one of those that are left, and no two of these are equal.
static void equal_ones_are_found(void **state) {
    struct arena *a = *state;
    struct coalitions c, each;
    coalitions_draw(a, 128, 9, 5, false, &c);
    const int64_t *which = coalitions_distinct(a, &c, &each);
    assert_in_range(each.n, 10, 127);
    for (size_t i = 0; i < c.n; i++)
        assert_memory_equal(each.z + (size_t)which[i] * 9, c.z + i * 9, 9);
    for (size_t i = 0; i < each.n; i++)
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(each.z + i * 9, each.z + j * 9, 9);
}

static void undetermined(void **state) {
    struct arena *a = *state;
    const char *why = NULL;
    struct coalitions c;
    coalitions_draw(a, 5, 9, 0, false, &c);
    assert_false(shapley_least_squares(a, &c, &why));
    assert_non_null(strstr(why, "5 coalitions cannot determine 9"));
    coalitions_draw(a, 64, 4, 0, false, &c);
    for (size_t s = 0; s < c.n; s++) c.z[s * 4 + 1] = c.z[s * 4]; // two always together
    assert_false(shapley_least_squares(a, &c, &why));
    assert_non_null(strstr(why, "always present or absent together"));
}

static void one_player(void **state) {
    struct arena *a = *state;
    const char *why = NULL;
    struct coalitions c;
    coalitions_draw(a, 128, 1, 0, false, &c);
    assert_true(shapley_least_squares(a, &c, &why));
    double v[2] = {0.9, 0.2};
    assert_int_equal(c.n, 2);
    assert_true(fabs(solved(&c, v, 0) - 0.7) < 1e-5);
}

static int setup(void **state) {
    return (*state = arena_new()) ? 0 : -1;
}
static int teardown(void **state) {
    arena_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_values),
        cmocka_unit_test(kernel_is_exact_on_additive),
        cmocka_unit_test(draws),
        cmocka_unit_test(pairs_are_complements),
        cmocka_unit_test(undetermined),
        cmocka_unit_test(one_player),
        cmocka_unit_test(equal_ones_are_found),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
