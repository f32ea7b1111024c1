// See cholesky.h. Matrices are row-major, and the inner loops run along rows.
#include "passes/cholesky.h"

#include <math.h>
#include <string.h>

// to -= factor * row, from column `first` on.
static void subtract(double *to, double factor, const double *row, size_t first,
                     size_t p) {
    for (size_t k = first; k < p; k++) to[k] -= factor * row[k];
}

static void divide(double *row, double by, size_t first, size_t p) {
    for (size_t k = first; k < p; k++) row[k] /= by;
}

// a = U'U; U takes the place of a's upper triangle.
static bool factorise(double *a, size_t p) {
    for (size_t k = 0; k < p; k++) {
        double *row = a + k * p;
        if (!(row[k] > 0)) return false;
        divide(row, sqrt(row[k]), k, p);
        for (size_t i = k + 1; i < p; i++) subtract(a + i * p, row[i], row, i, p);
    }
    return true;
}

// U'U x = 1: forwards for U'y = 1, whose rows are zero right of the diagonal, then back.
static void solve_identity(const double *u, size_t p, double *x) {
    memset(x, 0, p * p * sizeof *x);
    for (size_t i = 0; i < p; i++) {
        x[i * p + i] = 1;
        for (size_t k = 0; k < i; k++)
            subtract(x + i * p, u[k * p + i], x + k * p, 0, k + 1);
        divide(x + i * p, u[i * p + i], 0, i + 1);
    }
    for (size_t i = p; i-- > 0;) {
        for (size_t k = i + 1; k < p; k++)
            subtract(x + i * p, u[i * p + k], x + k * p, 0, p);
        divide(x + i * p, u[i * p + i], 0, p);
    }
}

bool cholesky_invert(double *a, size_t p, double *inverse) {
    if (!factorise(a, p)) return false;
    solve_identity(a, p, inverse);
    return true;
}
