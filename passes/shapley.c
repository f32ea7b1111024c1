// Drawing coalitions and solving for Shapley values. See shapley.h.
#include "passes/shapley.h"

#include "passes/cholesky.h"
#include "runtime/random.h"

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

static double weight_of(const uint8_t *z, size_t m) {
    size_t present = 0;
    for (size_t j = 0; j < m; j++) present += z[j];
    return present == 0 || present == m ? ANCHOR_WEIGHT : 1;
}

// A row of A = [z 1].
static void row_of(const struct coalitions *c, size_t i, double *row) {
    for (size_t j = 0; j < c->m; j++) row[j] = c->z[i * c->m + j];
    row[c->m] = 1;
}

// The upper triangle of A'WA, with W the weights. Sums of whole numbers: exact.
static double *normal_matrix(struct arena *a, const struct coalitions *c) {
    size_t p = c->m + 1;
    double *normal = NEW_N(a, double, p *p), *row = NEW_N(a, double, p);
    for (size_t i = 0; i < c->n; i++) {
        double w = weight_of(c->z + i * c->m, c->m);
        row_of(c, i, row);
        for (size_t j = 0; j < p; j++)
            for (size_t k = row[j] != 0 ? j : p; k < p; k++)
                normal[j * p + k] += w * row[k];
    }
    return normal;
}

static bool is_determined(const double *factor, size_t p) {
    double least = factor[0], most = factor[0];
    for (size_t j = 0; j < p; j++) {
        double diagonal = factor[j * p + j];
        least = diagonal < least ? diagonal : least;
        most = diagonal > most ? diagonal : most;
    }
    return least >= most * 1e-7;
}

// Row i of solve: w_i times the sum of the inverse's rows of the players that are present,
// and of the intercept.
static void solve_row(const struct coalitions *c, const double *inverse, size_t i,
                      double *sum) {
    size_t m = c->m, p = m + 1;
    const uint8_t *z = c->z + i * m;
    double w = weight_of(z, m);
    memcpy(sum, inverse + m * p, m * sizeof *sum);
    for (size_t j = 0; j < m; j++)
        for (size_t k = z[j] ? 0 : m; k < m; k++) sum[k] += inverse[j * p + k];
    for (size_t k = 0; k < m; k++) c->solve[i * m + k] = (float)(w * sum[k]);
}

// phi = (A'WA)^-1 A'W v, without the intercept's row.
bool shapley_least_squares(struct arena *a, struct coalitions *c, const char **why) {
    size_t n = c->n, m = c->m, p = m + 1;
    if (n < p) {
        *why =
            arena_printf(a, "%zu coalitions cannot determine %zu Shapley values", n, m);
        return false;
    }
    double *normal = normal_matrix(a, c), *inverse = NEW_N(a, double, p *p);
    if (!cholesky_invert(normal, p, inverse) || !is_determined(normal, p)) {
        *why = arena_printf(a,
                            "these %zu coalitions do not determine %zu Shapley values "
                            "(some patches are always present or absent together)",
                            n, m);
        return false;
    }
    c->solve = NEW_N(a, float, n *m);
    double *sum = NEW_N(a, double, m);
    for (size_t i = 0; i < n; i++) solve_row(c, inverse, i, sum);
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
