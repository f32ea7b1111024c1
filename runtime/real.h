// Functions of real numbers, to the same bits on every machine.
//
// What is remembered is known by how this processor rounds, not by its C library, whose
// functions differ in last bits from release to release. These are made of sums, products
// and quotients alone, which are rounded alike everywhere, and err by 1 ulp or so.
#ifndef DDG_REAL_H
#define DDG_REAL_H

double real_exp(double x); // finite x
double real_log(double x); // normal x > 0
double real_sin(double x); // |x| <= 100
double real_cos(double x);
double real_power(double x, double n); // 0 <= x, normal; n > 0

#endif
