// See real.h. Arguments are brought near zero, exactly or by a constant in two parts, and
// Taylor's series summed there from its smallest term.
#include "runtime/real.h"

#include "runtime/base/base.h"

#include <math.h>

// ln 2 and pi / 2: the first parts have so few bits that their products with the small
// whole numbers below are exact.
#define LN2_HIGH     0x1.62e42feep-1
#define LN2_LOW      0x1.a39ef35793c76p-33
#define QUARTER_HIGH 0x1.921fb544p+0
#define QUARTER_LOW  0x1.0b4611a626331p-34

// x = whole * ln 2 + near, |near| <= ln 2 / 2.
double real_exp(double x) {
    if (x < -800) return 0;
    if (x > 800) return INFINITY;
    double whole = floor(x / (LN2_HIGH + LN2_LOW) + 0.5);
    double high = x - whole * LN2_HIGH, low = whole * LN2_LOW, near = high - low;
    double lost = (high - near) - low, sum = 0;
    for (int i = 16; i > 2; i--) sum = near / i * (1 + sum);
    sum = near * near / 2 * (1 + sum);
    return ldexp(1 + (near + (sum + lost)), (int)whole);
}

// x = 2^e (1 + f), sqrt(1/2) <= 1 + f <= sqrt(2); with s = f / (2 + f),
// log(1 + f) = 2 (s + s^3/3 + s^5/5 + ...) = f - s (f - 2 (s^2/3 + s^4/5 + ...)).
double real_log(double x) {
    int e;
    double part = frexp(x, &e);
    if (part < 0.7071067811865476) part *= 2, e--;
    double f = part - 1, s = f / (2 + f), square = s * s, rest = 0;
    for (int i = 25; i >= 3; i -= 2) rest = square * (rest + 2.0 / i);
    return e * LN2_HIGH + (f - (s * (f - rest) - e * LN2_LOW));
}

// 1 - x^2/2 + ..., to the last bit also where that is nearly 1.
static double cos_near(double x) {
    double square = x * x, half = square / 2, rest = 0;
    for (int i = 18; i > 2; i -= 2) rest = square / (i * (i - 1)) * (1 - rest);
    double whole = 1 - half;
    return whole + ((1 - whole - half) + half * rest);
}

// low: what x lacks.
static double sin_near(double x, double low) {
    double square = x * x, rest = 0;
    for (int i = 19; i > 1; i -= 2) rest = square / (i * (i - 1)) * (1 - rest);
    return x - (x * rest - low);
}

// The sine of x and so many quarters of a turn.
static double turned(double x, int quarters) {
    CHECK(fabs(x) <= 100);
    double whole = floor(x / QUARTER_HIGH + 0.5);
    double high = x - whole * QUARTER_HIGH, low = whole * QUARTER_LOW, near = high - low;
    double lost = (high - near) - low;
    switch (((int)whole + quarters) & 3) {
    case 0: return sin_near(near, lost);
    case 1: return cos_near(near) - near * lost;
    case 2: return -sin_near(near, lost);
    default: return near * lost - cos_near(near);
    }
}

double real_sin(double x) {
    return turned(x, 0);
}

double real_cos(double x) {
    return turned(x, 1);
}

double real_power(double x, double n) {
    return x > 0 ? real_exp(n * real_log(x)) : 0;
}
