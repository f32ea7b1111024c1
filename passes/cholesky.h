// The inverse of a symmetric positive definite matrix, by Cholesky.
//
// Plain loops in one order, so that every machine comes to the same bits: constants made of
// it go into the store's keys. Quick enough for the few hundred unknowns there are.
#ifndef DDG_CHOLESKY_H
#define DDG_CHOLESKY_H

#include <stdbool.h>
#include <stddef.h>

// a: p by p, its upper triangle; becomes the factor, whose diagonal tells how near to
// singular it was. inverse: p by p. False: not positive definite.
bool cholesky_invert(double *a, size_t p, double *inverse);

#endif
