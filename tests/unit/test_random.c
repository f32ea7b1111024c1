// Random numbers: Philox against its published answers; distributions; independence of
// order.
#include "runtime/builtin.h"
#include "runtime/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

// Random123 1.14, kat_vectors: philox4x32 10.
static void philox_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } known[] = {
        {{0}, {0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        uint32_t out[4];
        philox4x32(known[i].key, known[i].counter, out);
        assert_memory_equal(out, known[i].answer, sizeof out);
    }
}

static void streams_differ(void **state) {
    (void)state;
    struct digest content = {1, 2};
    struct random a = random_stream("normal", 7, content), b = a;
    struct random others[] = {random_stream("crop", 7, content),
                              random_stream("normal", 8, content),
                              random_stream("normal", 7, (struct digest){1, 3})};
    uint32_t first = random_u32(&a);
    assert_int_equal(first, random_u32(&b));
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_not_equal(first, random_u32(&others[i]));
}

static void normal_moments(void **state) {
    (void)state;
    const size_t count = 100000;
    const double n = (double)count;
    float *v = malloc(count * sizeof *v);
    double sum = 0, square = 0, fourth = 0;
    struct random r = random_stream("normal", 0, (struct digest){0});
    assert_non_null(v);
    random_normal(&r, v, count);
    for (size_t i = 0; i < count; i++) {
        sum += v[i];
        square += (double)v[i] * v[i];
        fourth += pow(v[i], 4);
    }
    free(v);
    // Five standard errors of each moment.
    assert_true(fabs(sum / n) < 5 / sqrt(n));
    assert_true(fabs(square / n - 1) < 5 * sqrt(2.0 / n));
    assert_true(fabs(fourth / n - 3) < 5 * sqrt(96.0 / n));
}

static void normal_row(double purpose, float out[3]) {
    double params[3] = {3, 7, purpose};
    uint64_t key[2] = {1, 2};
    char *buffers[2] = {(char *)out, (char *)key};
    size_t strides[2] = {3 * sizeof *out, sizeof key};
    assert_true(builtin_run(BUILTIN_NORMAL, params, buffers, strides, 2, 1));
}

// A score drawn with the seed of a row's noise does not tell the noise. Noise is what it
// was before there were scores.
static void purposes_differ(void **state) {
    (void)state;
    float noise[3], score[3], before[3];
    struct random r = random_stream("normal", 7, (struct digest){1, 2});
    random_normal(&r, before, 3);
    normal_row(NORMAL_NOISE, noise);
    normal_row(NORMAL_SCORE, score);
    assert_memory_equal(noise, before, sizeof noise);
    for (size_t i = 0; i < 3; i++) assert_true(fabsf(noise[i] - score[i]) > 1e-6F);
}

static void below_is_even(void **state) {
    (void)state;
    size_t count[7] = {0};
    struct random r = random_stream("even", 0, (struct digest){0});
    for (size_t i = 0; i < 70000; i++) count[random_below(&r, 7)]++;
    for (size_t i = 0; i < 7; i++) assert_true(fabs((double)count[i] - 10000) < 500);
}

// Boxes lie in the image, have the share and the ratio asked for, and depend on the row's
// key and the crop's number alone.
static void boxes(void **state) {
    (void)state;
    double params[7] = {48, 64, 0.2, 0.6, 0.75, 4.0 / 3, 5};
    int32_t out[4], again[4], index = 0;
    size_t differ = 0;
    for (uint64_t k = 0; k < 2000; k++) {
        uint64_t key[2] = {k, 9};
        index = (int32_t)(k % 3);
        char *buffers[3] = {(char *)out, (char *)key, (char *)&index};
        size_t strides[3] = {16, 16, 4};
        assert_true(builtin_run(BUILTIN_RANDOM_BOX, params, buffers, strides, 3, 1));
        assert_true(out[0] >= 0 && out[1] >= 0 && out[2] > 0 && out[3] > 0);
        assert_true(out[0] + out[2] <= 48 && out[1] + out[3] <= 64);
        double share = (double)(out[2] * out[3]) / (48 * 64);
        assert_true(share > 0.17 && share < 0.65); // sides are rounded to whole pixels
        buffers[0] = (char *)again;
        assert_true(builtin_run(BUILTIN_RANDOM_BOX, params, buffers, strides, 3, 1));
        assert_memory_equal(out, again, sizeof out);
        index++;
        assert_true(builtin_run(BUILTIN_RANDOM_BOX, params, buffers, strides, 3, 1));
        differ += memcmp(out, again, sizeof out) != 0;
    }
    assert_true(differ > 1990);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_answers),  cmocka_unit_test(streams_differ),
        cmocka_unit_test(normal_moments),  cmocka_unit_test(below_is_even),
        cmocka_unit_test(purposes_differ), cmocka_unit_test(boxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
