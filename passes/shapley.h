// Coalitions and the constant matrices that turn their values into Shapley values.
//
// Coalitions depend on the seed only, so the least-squares solve of KernelSHAP is one
// matrix: phi = v . S with v the values of the coalitions [n] and S [n, m].
#ifndef DDG_SHAPLEY_H
#define DDG_SHAPLEY_H

#include "runtime/base/diag.h"

struct coalitions {
    size_t n, m;
    uint8_t *z;   // [n, m]: 1 where the player is present
    float *solve; // [n, m]
};

#define SHAPLEY_MAX_CELLS ((size_t)1 << 24) // of n * m

// KernelSHAP: the full and the empty coalition, then n - 2 with sizes drawn with
// p(k) proportional to (m-1)/(k(m-k)), each followed by its complement when paired.
void coalitions_draw(struct arena *a, size_t n, size_t m, uint64_t seed, bool paired,
                     struct coalitions *out);
// All 2^m (m <= 16); coalition s has player j present when bit j of s is set.
void coalitions_all(struct arena *a, size_t m, struct coalitions *out);

// Those of c that no earlier one equals, without a matrix; returns which of them each of
// c is.
const int64_t *coalitions_distinct(struct arena *a, const struct coalitions *c,
                                   struct coalitions *out);

// The weighted least squares of v on z with an intercept: weight 1e6 on the full and the
// empty coalition, 1 on the others. Fails when z does not determine it.
bool shapley_least_squares(struct arena *a, struct coalitions *c, const char **why);
// Shapley's formula; c from coalitions_all.
void shapley_exact(struct arena *a, struct coalitions *c);

#endif
