// Drawing coalitions and solving for Shapley values. See shapley.h.
#include "passes/shapley.h"

#include "runtime/random.h"

#include <cblas.h>

// LAPACK, from OpenBLAS: solves a x = b for symmetric positive definite a by Cholesky.
void dposv_(const char *uplo, const int *n, const int *nrhs, double *a, const int *lda,
            double *b, const int *ldb, int *info);

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
            for (size_t j = 0; j < m; j++) z[j] = !(z - m)[j];
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

static uint32_t slot_of_z(const struct coalitions *c, const uint8_t *z,
                          const uint32_t *table, size_t size) {
    size_t at = (size_t)digest_of(z, c->m).lo & (size - 1);
    while (table[at] && memcmp(c->z + (table[at] - 1) * c->m, z, c->m))
        at = (at + 1) & (size - 1);
    return (uint32_t)at;
}

const int64_t *coalitions_distinct(struct arena *a, const struct coalitions *c,
                                   struct coalitions *out) {
    size_t size = 2;
    while (size < 2 * c->n) size *= 2;
    uint32_t *table = NEW_N(a, uint32_t, size); // one up: 0 is free
    int64_t *which = NEW_N(a, int64_t, c->n);
    *out = (struct coalitions){.m = c->m, .z = arena_alloc(a, c->n * c->m, 1)};
    for (size_t i = 0; i < c->n; i++) {
        const uint8_t *z = c->z + i * c->m;
        uint32_t at = slot_of_z(out, z, table, size);
        if (!table[at]) {
            memcpy(out->z + out->n * c->m, z, c->m);
            table[at] = (uint32_t)++out->n;
        }
        which[i] = table[at] - 1;
    }
    return which;
}

static double weight_of(const uint8_t *z, size_t m) {
    size_t present = 0;
    for (size_t j = 0; j < m; j++) present += z[j];
    return present == 0 || present == m ? ANCHOR_WEIGHT : 1;
}

// With A = [z 1] and W the weights: phi = (A'WA)^-1 A'W v, without the intercept's row.
bool shapley_least_squares(struct arena *a, struct coalitions *c, const char **why) {
    size_t n = c->n, m = c->m, p = m + 1;
    if (n < p) {
        *why =
            arena_printf(a, "%zu coalitions cannot determine %zu Shapley values", n, m);
        return false;
    }
    double *rows = NEW_N(a, double, n *p), *weighted = NEW_N(a, double, n *p);
    double *normal = NEW_N(a, double, p *p);
    for (size_t i = 0; i < n; i++) {
        double w = weight_of(c->z + i * m, m);
        for (size_t j = 0; j < p; j++) {
            rows[i * p + j] = j < m ? c->z[i * m + j] : 1;
            weighted[i * p + j] = w * rows[i * p + j];
        }
    }
    openblas_set_num_threads(1); // more round otherwise, and compete with our own
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)p, (int)p, (int)n, 1, rows,
                (int)p, weighted, (int)p, 0, normal, (int)p);
    // Column-major for LAPACK: weighted's rows are the right-hand sides' columns.
    int order = (int)p, sides = (int)n, info = 0;
    dposv_("U", &order, &sides, normal, &order, weighted, &order, &info);
    double least = normal[0], most = normal[0];
    for (size_t j = 0; j < p; j++) {
        double diagonal = normal[j * p + j];
        least = diagonal < least ? diagonal : least;
        most = diagonal > most ? diagonal : most;
    }
    if (info != 0 || least < most * 1e-7) {
        *why = arena_printf(a,
                            "these %zu coalitions do not determine %zu Shapley values "
                            "(some patches are always present or absent together)",
                            n, m);
        return false;
    }
    c->solve = NEW_N(a, float, n *m);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) c->solve[i * m + j] = (float)weighted[i * p + j];
    return true;
}

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
