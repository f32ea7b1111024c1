// How far numbers are from others, with answers worked out by hand.
#include "runtime/agree.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state) {
    *state = arena_must();
    return 0;
}

static int teardown(void **state) {
    arena_free(*state);
    return 0;
}

static void assert_near(double got, double want) {
    if (!(fabs(got - want) <= 1e-9)) fail_msg("%.12g, not %.12g", got, want);
}

static struct agree_rows rows_of(enum agree_kind kind, size_t rows, size_t row,
                                 const float *got, const float *want) {
    return (struct agree_rows){
        .kind = kind, .rows = rows, .row = row, .got = got, .want = want};
}

// ---- Spearman's correlation ----------------------------------------------------------
static void order_alone_counts(void **state) {
    const float x[] = {1, 2, 3, 4}, y[] = {-5, 0.1f, 0.2f, 1e30f};
    const float back[] = {4, 3, 2, 1}, mixed[] = {2, 1, 4, 3};
    double rho;
    assert_true(agree_spearman(*state, x, y, 4, &rho));
    assert_near(rho, 1);
    assert_true(agree_spearman(*state, x, back, 4, &rho));
    assert_near(rho, -1);
    assert_true(agree_spearman(*state, x, mixed, 4, &rho)); // 1 - 6 * 4 / (4 * 15)
    assert_near(rho, 0.6);
}

// Ranks 1 2 3.5 5 3.5 against 1 2 3 4 5: 8 / sqrt(10 * 9.5), as scipy has it.
static void equal_numbers_share_their_ranks(void **state) {
    const float x[] = {1, 2, 3, 4, 5}, y[] = {5, 6, 7, 8, 7};
    double rho;
    assert_true(agree_spearman(*state, x, y, 5, &rho));
    assert_near(rho, 8 / sqrt(95));
    assert_true(agree_spearman(*state, y, x, 5, &rho));
    assert_near(rho, 8 / sqrt(95));
    // Nought is nought, whatever its sign: 1.5 1.5 3 against 1 2 3.
    const float zeros[] = {-0.0f, 0.0f, 1}, up[] = {1, 2, 3};
    assert_true(agree_spearman(*state, zeros, up, 3, &rho));
    assert_near(rho, 1.5 / sqrt(1.5 * 2));
}

static void there_may_be_no_correlation(void **state) {
    const float x[] = {1, 2, 3}, same[] = {2, 2, 2}, none[] = {1, NAN, 3};
    const float endless[] = {1, INFINITY, 3};
    double rho = 7;
    assert_false(agree_spearman(*state, x, same, 3, &rho));
    assert_false(agree_spearman(*state, same, same, 3, &rho));
    assert_false(agree_spearman(*state, x, none, 3, &rho));
    assert_false(agree_spearman(*state, endless, x, 3, &rho));
    assert_false(agree_spearman(*state, x, x, 1, &rho));
    assert_false(agree_spearman(*state, x, x, 0, &rho));
    assert_true(rho == 7);
}

// ---- maps ----------------------------------------------------------------------------
static void maps_are_ranked_one_by_one(void **state) {
    const float want[] = {1, 2, 3, 4, -8, 0, 1, 2, 5, 5, 5, 5};
    const float got[] = {1, 2, 3.5f, 4, -8, 1, 0, 2, 5, 5, 5, 6};
    struct agree_rows r = rows_of(AGREE_MAPS, 3, 4, got, want);
    struct agreement g = agree_of(*state, &r);
    assert_int_equal(g.rows, 3);
    assert_int_equal(g.ranked, 2); // the last map is flat in fp32
    assert_near(g.mean, (1 + 0.8) / 2);
    assert_near(g.least, 0.8);
    assert_near(g.largest, 1. / 8); // of the largest number, -8
    assert_near(g.median, 0);
    assert_string_equal(agree_words(*state, "phi", AGREE_MAPS, &g),
                        "phi differs from fp32 by at most 12% of the largest value "
                        "(median 0%) in 3 rows; "
                        "Spearman within maps 0.9000 on average, 0.8000 at least");
}

static void what_explains_another_class_is_not_compared(void **state) {
    const float want[] = {1, 2, 100, 200, 3, 5}, got[] = {1, 2, -1, -2, 4, 5};
    const int32_t answers[] = {3, 1, 0}, wanted[] = {3, 2, 0};
    struct agree_rows r = rows_of(AGREE_MAPS, 3, 2, got, want);
    r.answers = answers;
    r.wanted = wanted;
    struct agreement g = agree_of(*state, &r);
    assert_int_equal(g.rows, 2);
    assert_int_equal(g.others, 1);
    assert_near(g.largest, 1. / 5);
    assert_near(g.mean, 1);
    assert_string_equal(
        agree_words(*state, "phi", AGREE_MAPS, &g),
        "phi differs from fp32 by at most 20% of the largest value (median 0%) in 2 "
        "rows; "
        "Spearman within maps 1.0000 on average, 1.0000 at least; 1 row more explains "
        "another class in fp32");
}

// ---- scores --------------------------------------------------------------------------
static void scores_are_ranked_together(void **state) {
    const float want[] = {10, 20, 30, 40}, got[] = {20.4f, 10, 30, 40};
    struct agree_rows r = rows_of(AGREE_SCORES, 4, 1, got, want);
    struct agreement g = agree_of(*state, &r);
    assert_int_equal(g.ranked, 4);
    assert_near(g.mean, 0.8);
    assert_true(fabs(g.largest - 10.4 / 40) < 1e-7);
    assert_near(g.median, 5. / 40); // 0 0 10 10.4
    struct agree_rows one = rows_of(AGREE_SCORES, 1, 1, got, want);
    g = agree_of(*state, &one);
    assert_int_equal(g.ranked, 0);
    assert_non_null(strstr(agree_words(*state, "s", AGREE_SCORES, &g),
                           "in 1 row; there is no order"));
}

static void what_is_no_number_is_counted(void **state) {
    const float want[] = {1, 2, NAN, 4}, got[] = {1, INFINITY, 3, 4};
    struct agree_rows r = rows_of(AGREE_SCORES, 4, 1, got, want);
    struct agreement g = agree_of(*state, &r);
    assert_int_equal(g.rows, 2);
    assert_int_equal(g.broken, 2);
    assert_near(g.largest, 0);
    assert_near(g.mean, 1);
    assert_string_equal(
        agree_words(*state, "s", AGREE_SCORES, &g),
        "s is the same as in fp32 in 2 rows; 2 rows more hold what is no number");
    struct agree_rows broken = rows_of(AGREE_SCORES, 2, 1, got + 1, want + 1);
    g = agree_of(*state, &broken);
    assert_int_equal(g.rows, 0);
    assert_string_equal(agree_words(*state, "s", AGREE_SCORES, &g),
                        "s has no rows that can be compared with fp32; 2 rows more hold "
                        "what is no number");
}

// No largest value to speak of.
static void all_may_be_nought(void **state) {
    const float want[] = {0, 0, 0}, got[] = {0, 0.5f, 0};
    struct agree_rows r = rows_of(AGREE_SCORES, 3, 1, got, want);
    struct agreement g = agree_of(*state, &r);
    assert_near(g.largest, 0.5);
    assert_int_equal(g.ranked, 0);
}

// ---- labels --------------------------------------------------------------------------
static void labels_differ_by_probabilities(void **state) {
    const float want[] = {0.5f, 0.25f, 0.25f, 0.25f, 0.375f, 0.375f};
    const float got[] = {0.5f, 0.25f, 0.25f, 0.25f, 0.25f, 0.5f};
    struct agree_rows r = rows_of(AGREE_LABELS, 2, 3, got, want);
    struct agreement g = agree_of(*state, &r);
    assert_near(g.largest, 0.125);
    assert_near(g.median, 0.0625); // 0 of one row, 0.125 of the other
    assert_int_equal(g.same, 1);   // of equal ones the first is meant
    assert_string_equal(
        agree_words(*state, "soft", AGREE_LABELS, &g),
        "soft differs from fp32 by at most 0.12 in a probability (median 0.062) "
        "in 2 rows; the most probable class is the same in 1 of 2");
}

// What is next to nothing is not spelt out.
static void small_errors_are_short(void **state) {
    struct agreement g = {.rows = 2, .largest = 0.25, .median = 1e-9, .same = 2};
    assert_string_equal(
        agree_words(*state, "soft", AGREE_LABELS, &g),
        "soft differs from fp32 by at most 0.25 in a probability (median "
        "under 1e-06) in 2 rows; the most probable class is the same in 2 "
        "of 2");
}

// ---- the sample ----------------------------------------------------------------------
static void samples_are_even_and_bounded(void **state) {
    (void)state;
    static const size_t counts[][2] = {{0, 0},       {1, 1},       {32, 32},
                                       {33, 32},     {2048, 32},   {6400, 100},
                                       {16384, 256}, {50000, 256}, {4294967295, 256}};
    for (size_t i = 0; i < COUNT(counts); i++) {
        size_t n = counts[i][0], parts = counts[i][1], last = 0;
        assert_int_equal(agree_sample(n), parts);
        for (size_t k = 0; k < parts; k++) {
            size_t at = agree_pick(n, k), gap = at - last;
            assert_true(at < n && (!k || at > last));
            if (k) assert_true(gap == n / parts || gap == n / parts + 1);
            last = at;
        }
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(order_alone_counts),
        TEST(equal_numbers_share_their_ranks),
        TEST(there_may_be_no_correlation),
        TEST(maps_are_ranked_one_by_one),
        TEST(what_explains_another_class_is_not_compared),
        TEST(scores_are_ranked_together),
        TEST(what_is_no_number_is_counted),
        TEST(all_may_be_nought),
        TEST(labels_differ_by_probabilities),
        TEST(small_errors_are_short),
        TEST(samples_are_even_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
