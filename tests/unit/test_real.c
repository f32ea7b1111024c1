// log, exp, sin, cos and powers: near what they should be, and the same bits everywhere.
#include "runtime/real.h"

#include "runtime/base/base.h"
#include "runtime/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define N 20000

// In units of want's last place.
static double error(double got, long double want) {
    double near = fabs((double)want);
    return (double)(fabsl((long double)got - want) / (nextafter(near, INFINITY) - near));
}

static void numbers_are_near(void **state) {
    (void)state;
    struct random r = random_stream("test", 0, (struct digest){0});
    for (int i = 0; i < N; i++) {
        double x = random_between(&r, -40, 40), y = real_exp(x);
        double angle = random_between(&r, -10, 10), near_one = 1 + x * 1e-5;
        assert_true(error(y, expl(x)) < 1.2);
        assert_true(error(real_log(y), logl(y)) < 1.2);
        assert_true(error(real_log(near_one), logl(near_one)) < 1.2);
        assert_true(error(real_sin(angle), sinl(angle)) < 1.2);
        assert_true(error(real_cos(angle), cosl(angle)) < 1.2);
        double n = floor(y) + 1;
        if (n < 1e6) assert_true(fabs(real_power(0.999, n) - pow(0.999, n)) < 3e-16);
    }
}

static void ends_are_exact(void **state) {
    (void)state;
    assert_true(real_exp(0) == 1 && real_exp(-1e6) == 0 && isinf(real_exp(1e6)));
    assert_true(real_log(1) == 0 && real_power(0, 3) == 0 && real_power(1, 1e9) == 1);
    assert_true(real_sin(0) == 0 && real_cos(0) == 1 &&
                real_cos(3.141592653589793) == -1);
}

// As recorded: stored noise, boxes and trainings are of these bits.
static void bits_are_the_same_everywhere(void **state) {
    (void)state;
    static double all[N][4];
    struct random r = random_stream("test", 1, (struct digest){0});
    for (int i = 0; i < N; i++) {
        double x = random_between(&r, -20, 20), u = random_unit(&r);
        double v[4] = {real_exp(x), real_log(u), real_sin(x), real_cos(x)};
        memcpy(all[i], v, sizeof v);
    }
    char hex[DIGEST_HEX];
    digest_hex(digest_of(all, sizeof all), hex);
    assert_string_equal(hex, "10ecc8826fca821444101923007ad408");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_near),
        cmocka_unit_test(ends_are_exact),
        cmocka_unit_test(bits_are_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
