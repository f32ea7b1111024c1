// Algorithms: how each convolution is computed, by what it costs.
//
// Costs are in multiply-adds of vectors, as measured with ddg-bench-kernels. They follow
// from shapes alone: another algorithm rounds otherwise, and what is computed must not depend
// on a cache or on how many rows go through together. They count on kernel_wants_rows rows.
#include "passes/pass.h"

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

// An operand that lies in the arena has its channels in blocks.
static bool reads_blocks(const struct kfunc *kf, const struct kernel *k) {
    nid x = node_at(kf->f, k->anchor)->in[0];
    return k->prologue == NID_NONE && kf->places[x].kind == PLACE_ARENA;
}

static void choose(const struct target *t, const struct kfunc *kf, struct kernel *k) {
    double least = 0;
    if (k->anchor == NID_NONE || !reads_blocks(kf, k)) return;
    for (size_t i = 0; i < COUNT(transforms); i++) {
        enum algorithm a = transforms[i].algorithm;
        if (!winograd_fits(kf->f, k->anchor, winograd_m(a))) continue;
        struct winograd w = winograd_of(t, kf->f, k->anchor, a);
        double cost = winograd_cost(&w, &transforms[i]);
        if (least == 0) least = direct_cost(&w);
        if (cost >= least) continue;
        least = cost;
        k->algorithm = a;
        k->work_bytes = winograd_work_bytes(&w);
    }
}

// Needs: kernels and places (fuse). Fills the kernels' algorithms and work memory.
bool pass_algorithms(struct module *m, struct module_func *mf, struct diags *d) {
    (void)d;
    for (size_t i = 0; i < mf->k->kernels.n; i++)
        choose(m->target, mf->k, &mf->k->kernels.at[i]);
    return true;
}
