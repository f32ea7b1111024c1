// Algorithms: how each convolution is computed, by what it costs.
//
// Costs are in multiply-adds of vectors, as measured with ddg-bench-kernels. They follow
// from shapes alone: another algorithm rounds otherwise, and what is computed must not
// depend on a cache or on how many rows go through together. They count on
// kernel_wants_rows rows. A module's tuning may know better; that is part of what results
// are remembered by.
#include "passes/algorithms.h"

#include "passes/tuning.h"

#include "ir/winograd.h"

// Of the transform of one tile and one block of channels: loads, stores and the registers
// that are missing included.
static const struct transform {
    enum algorithm algorithm;
    double operands, results;
} transforms[] = {
    {ALGORITHM_WINOGRAD_4, 200, 220},
    {ALGORITHM_WINOGRAD_2, 60, 70},
};

// Loops around the products, over what a convolution tap by tap takes for its own.
#define PRODUCTS 1.2

static double direct_cost(const struct winograd *w) {
    return 9.0 * (double)(w->size[0] * w->size[1] * w->channels * w->out);
}

static double winograd_cost(const struct winograd *w, const struct transform *t) {
    double products = (double)(w->n * w->n * w->channels * w->out);
    double transforms_cost = (double)w->in * t->operands + (double)w->out * t->results;
    return (double)winograd_row_tiles(w) * (PRODUCTS * products + transforms_cost);
}

struct costs {
    enum algorithm winograd; // the cheaper of those that fit; ALGORITHM_DIRECT: none
    double of_winograd, of_direct;
};

static struct costs costs_of(const struct target *t, const struct func *f, nid anchor) {
    struct costs c = {.winograd = ALGORITHM_DIRECT};
    for (size_t i = 0; i < COUNT(transforms); i++) {
        enum algorithm a = transforms[i].algorithm;
        if (!winograd_fits(f, anchor, winograd_m(a))) continue;
        struct winograd w = winograd_of(t, f, anchor, a);
        double cost = winograd_cost(&w, &transforms[i]);
        c.of_direct = direct_cost(&w);
        if (c.winograd != ALGORITHM_DIRECT && cost >= c.of_winograd) continue;
        c.winograd = a;
        c.of_winograd = cost;
    }
    return c;
}

double algorithms_cost(const struct target *t, const struct func *f, nid anchor) {
    double direct = kernel_flops(f, anchor) / 2 / (double)t->lanes;
    struct costs c = costs_of(t, f, anchor);
    bool winograd = c.winograd != ALGORITHM_DIRECT && c.of_winograd < direct;
    return winograd ? c.of_winograd : direct;
}

static struct choice least_cost(const struct target *t, const struct kfunc *kf,
                                const struct kernel *k) {
    struct costs c = costs_of(t, kf->f, k->anchor);
    bool winograd = algorithm_fits(kf, k, c.winograd) && c.of_winograd < c.of_direct;
    return (struct choice){.algorithm = winograd ? c.winograd : ALGORITHM_DIRECT};
}

// Only another algorithm can be seen in results. Which kernel it is of is said by its
// problem: its number would stand for another one when kernels come to be made otherwise.
static void note_tuned(struct arena *a, struct module_func *mf, struct kernel *k,
                       struct choice usual, struct choice c) {
    bool other = c.algorithm != usual.algorithm;
    k->tuned = other || !tiling_same(&c.tiling, &usual.tiling);
    if (!other) return;
    const char *problem = kernel_problem(a, mf->k, k);
    struct digest way = {(uint64_t)c.algorithm, 0};
    way = digest_join(digest_of(problem, strlen(problem)), way);
    mf->tuned = digest_join(mf->tuned, way);
}

static void choose(struct module *m, struct module_func *mf, size_t i) {
    struct kernel *k = &mf->k->kernels.at[i];
    if (!kernel_is_tunable(mf->k, k)) return;
    struct choice usual = least_cost(m->target, mf->k, k), c = usual;
    if (m->tuning) c = m->tuning->choose(m->tuning->ctx, m, mf, i, usual);
    note_tuned(m->arena, mf, k, usual, c);
    choice_take(m->target, mf->k, k, c);
}

// Needs: kernels and places (fuse). Fills the kernels' algorithms, tilings and work
// memory.
bool pass_algorithms(struct module *m, struct module_func *mf, struct diags *d) {
    (void)d;
    for (size_t i = 0; i < mf->k->kernels.n; i++) choose(m, mf, i);
    return true;
}
