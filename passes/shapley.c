// Drawing coalitions and solving for Shapley values. See shapley.h.
#include "passes/shapley.h"

#include "runtime/random.h"

#include <math.h>

static const double ANCHOR_WEIGHT = 1e6; // of the full and the empty coalition, as Captum

static size_t draw_size(struct random *r, size_t m) {
    double total = 0, at = random_unit(r);
    for (size_t k = 1; k < m; k++) total += 1.0 / ((double)k * (double)(m - k));
    for (size_t k = 1; k < m; k++) {
        at -= 1.0 / ((double)k * (double)(m - k)) / total;
        if (at <= 0) return k;
    }
    return m - 1;
}

// Floyd's algorithm: k distinct players of m.
static void draw_players(struct random *r, size_t k, size_t m, uint8_t *z) {
    for (size_t j = m - k; j < m; j++) {
        size_t t = random_below(r, (uint32_t)j + 1);
        z[z[t] ? j : t] = 1;
    }
}

void coalitions_draw(struct arena *a, size_t n, size_t m, uint64_t seed, bool paired,
                     struct coalitions *out) {
    if (m == 1) n = 2; // one player: there are no others
    *out = (struct coalitions){.n = n, .m = m, .z = arena_alloc(a, n * m, 1)};
    memset(out->z, 1, m);
    struct random r = random_stream("coalitions", seed, (struct digest){m, 0});
    for (size_t i = 2; i < n; i++) {
        uint8_t *z = out->z + i * m;
        if (paired && i % 2)
            for (size_t j = 0; j < m; j++) z[j] = !z[j - m];
        else draw_players(&r, draw_size(&r, m), m, z);
    }
}

void coalitions_all(struct arena *a, size_t m, struct coalitions *out) {
    CHECK(m <= 16);
    size_t n = (size_t)1 << m;
    *out = (struct coalitions){.n = n, .m = m, .z = arena_alloc(a, n * m, 1)};
    for (size_t s = 0; s < n; s++)
        for (size_t j = 0; j < m; j++) out->z[s * m + j] = s >> j & 1;
}

// ---- least squares --------------------------------------------------------------------
// With A = [z 1] and W the weights: phi = (A'WA)^-1 A'W v, without the intercept's row. In
// double, by code of our own: its bits go into what is stored, so they must not depend on a
// library's choice for the processor at hand. Loops are as long as vectors like them.
#define WIDE 32 // right-hand sides solved together

static size_t present_in(const struct coalitions *c, size_t i) {
    size_t present = 0;
    for (size_t j = 0; j < c->m; j++) present += c->z[i * c->m + j];
    return present;
}

// The rows of A'W: ANCHOR_WEIGHT where everybody or nobody is there.
static double weight_of(const struct coalitions *c, size_t i) {
    size_t present = present_in(c, i);
    return present == 0 || present == c->m ? ANCHOR_WEIGHT : 1;
}

// Column j of A as bits, for the coalitions of weight 1.
static uint64_t *bit_columns(struct arena *a, const struct coalitions *c, size_t words) {
    uint64_t *bits = NEW_N(a, uint64_t, (c->m + 1) * words);
    for (size_t i = 0; i < c->n; i++) {
        if (weight_of(c, i) > 1) continue;
        for (size_t j = 0; j <= c->m; j++) {
            uint64_t present = j == c->m || c->z[i * c->m + j];
            bits[j * words + i / 64] |= present << i % 64;
        }
    }
    return bits;
}

// A'WA in rows of `pitch`, the upper triangle: how many coalitions hold both, exactly.
static double *normal_matrix(struct arena *a, const struct coalitions *c, size_t pitch) {
    size_t p = c->m + 1, words = (c->n + 63) / 64, full = 0, empty = 0;
    uint64_t *bits = bit_columns(a, c, words);
    double *normal = NEW_N(a, double, p *pitch);
    for (size_t i = 0; i < c->n; i++) {
        full += present_in(c, i) == c->m;
        empty += present_in(c, i) == 0;
    }
    for (size_t j = 0; j < p; j++)
        for (size_t k = j; k < p; k++) {
            size_t both = 0;
            for (size_t w = 0; w < words; w++)
                both += (size_t)__builtin_popcountll(bits[j * words + w] &
                                                     bits[k * words + w]);
            normal[j * pitch + k] = (double)both + ANCHOR_WEIGHT * (double)full;
        }
    normal[c->m * pitch + c->m] += ANCHOR_WEIGHT * (double)empty;
    return normal;
}

// to -= f * row, for n numbers, a multiple of 8.
static void subtract(double *restrict to, const double *restrict row, double f,
                     size_t n) {
    for (size_t i = 0; i < n; i += 8)
        for (size_t k = 0; k < 8; k++) to[i + k] -= f * row[i + k];
}

// The upper triangle becomes U with U'U the matrix, the lower one U'. False: not definite,
// or so little that nothing is determined.
static bool factor(double *u, size_t p, size_t pitch) {
    double least = INFINITY, most = 0;
    for (size_t k = 0; k < p; k++) {
        double *row = u + k * pitch;
        if (!(row[k] > 0)) return false;
        double diagonal = sqrt(row[k]);
        least = diagonal < least ? diagonal : least;
        most = diagonal > most ? diagonal : most;
        for (size_t i = k; i < p; i++) row[i] /= diagonal;
        for (size_t i = k + 1; i < p; i++) { // what is below the diagonal is not used yet
            size_t from = i & ~(size_t)7;
            subtract(u + i * pitch + from, row + from, row[i], pitch - from);
        }
    }
    for (size_t k = 0; k < p; k++)
        for (size_t i = k + 1; i < p; i++) u[i * pitch + k] = u[k * pitch + i];
    return least >= most * 1e-7;
}

// x becomes the solutions of U'U x = x, WIDE of them side by side.
static void solve(const double *u, size_t p, size_t pitch, double *x) {
    for (size_t j = 0; j < p; j++) {
        for (size_t k = 0; k < j; k++)
            subtract(x + j * WIDE, x + k * WIDE, u[j * pitch + k], WIDE);
        for (size_t i = 0; i < WIDE; i++) x[j * WIDE + i] /= u[j * pitch + j];
    }
    for (size_t j = p; j-- > 0;) {
        for (size_t k = j + 1; k < p; k++)
            subtract(x + j * WIDE, x + k * WIDE, u[j * pitch + k], WIDE);
        for (size_t i = 0; i < WIDE; i++) x[j * WIDE + i] /= u[j * pitch + j];
    }
}

// The solve's rows of coalitions [from, from + n), n at most WIDE.
static void solve_some(struct coalitions *c, const double *u, size_t pitch, size_t from,
                       size_t n, double *x) {
    memset(x, 0, (c->m + 1) * WIDE * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        double w = weight_of(c, from + i);
        for (size_t j = 0; j < c->m; j++)
            x[j * WIDE + i] = c->z[(from + i) * c->m + j] ? w : 0;
        x[c->m * WIDE + i] = w;
    }
    solve(u, c->m + 1, pitch, x);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < c->m; j++)
            c->solve[(from + i) * c->m + j] = (float)x[j * WIDE + i];
}

bool shapley_least_squares(struct arena *a, struct coalitions *c, const char **why) {
    size_t n = c->n, m = c->m, p = m + 1, pitch = size_align(p, 8);
    if (n < p) {
        *why =
            arena_printf(a, "%zu coalitions cannot determine %zu Shapley values", n, m);
        return false;
    }
    double *u = normal_matrix(a, c, pitch), *x = NEW_N(a, double, p *WIDE);
    if (!factor(u, p, pitch)) {
        *why = arena_printf(a,
                            "these %zu coalitions do not determine %zu Shapley values "
                            "(some patches are always present or absent together)",
                            n, m);
        return false;
    }
    c->solve = NEW_N(a, float, n *m);
    for (size_t i = 0; i < n; i += WIDE)
        solve_some(c, u, pitch, i, size_min(WIDE, n - i), x);
    return true;
}

// ---- exact ----------------------------------------------------------------------------
// phi_j = sum over coalitions s without j of |s|!(m-1-|s|)!/m! (v(s + j) - v(s)).
void shapley_exact(struct arena *a, struct coalitions *c) {
    size_t m = c->m;
    double *weight = NEW_N(a, double, m);
    weight[0] = 1.0 / (double)m;
    for (size_t k = 1; k < m; k++)
        weight[k] = weight[k - 1] * (double)k / (double)(m - k);
    c->solve = NEW_N(a, float, c->n *m);
    for (size_t s = 0; s < c->n; s++) {
        size_t present = 0;
        for (size_t j = 0; j < m; j++) present += c->z[s * m + j];
        for (size_t j = 0; j < m; j++)
            c->solve[s * m + j] =
                (float)(c->z[s * m + j] ? weight[present - 1] : -weight[present]);
    }
}
