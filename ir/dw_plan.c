// See dw_plan.h. Costs are cycles, but for a factor.
#include "ir/dw_plan.h"

#define MOST_SUMS 31 // code carries them from pixel to pixel

// Distinct operand columns that `pixels` pixels and `columns` taps read.
static size_t distinct(const struct dw_plan *p, size_t pixels, size_t columns) {
    size_t stride = (size_t)p->attrs.strides[1], dilation = (size_t)p->attrs.dilations[1];
    size_t n = 0, last = (pixels - 1) * stride + (columns - 1) * dilation;
    for (size_t c = 0; c <= last; c++) {
        bool used = false;
        for (size_t k = 0; k < columns && !used; k++)
            used = c >= k * dilation && (c - k * dilation) % stride == 0 &&
                   (c - k * dilation) / stride < pixels;
        n += used;
    }
    return n;
}

// Cache lines that come in for t->pixels pixels: each pass over the pixels reads all of
// the operand for a few of its channels.
static double lines(const struct dw_plan *p, const struct dw_tile *t) {
    double x = (double)(t->pixels * (size_t)p->attrs.strides[1]);
    if (t->rows > 1) x *= (double)p->attrs.strides[0];
    if (p->x_layout->kind == LAYOUT_PLANAR)
        x *= (double)t->channels / (double)p->t->lanes;
    return x + (double)(t->blocks * t->pixels);
}

// Cycles a multiply-add takes: two of them and two loads fit into one, four pass from one
// to the next on the same sum. The shares of loads and lines are as measured.
static double cycles_each(const struct dw_plan *p, const struct dw_tile *t) {
    double each = (double)(t->channels * t->rows);
    double work = (double)(t->blocks * t->columns * t->pixels) * each;
    double loads = (double)(t->blocks * t->pixels) +
                   each * (double)distinct(p, t->pixels, t->columns);
    double cycles = work > loads ? work / 2 : loads / 2, wait = 4.0 * (double)t->pixels;
    return ((cycles > wait ? cycles : wait) + loads / 20 + lines(p, t) / 2) / work;
}

// The share of the work left over when n is cut into pieces of m, which run half as fast.
static double waste(size_t n, size_t m) {
    return 1 + (double)(n % m) / (double)n;
}

static bool dw_fits(const struct dw_plan *p, const struct dw_tile *t) {
    size_t sums = t->blocks * t->channels * t->rows * t->columns;
    return sums + t->blocks * t->pixels + 1 < p->t->registers && sums <= MOST_SUMS;
}

// Input channels taken together must lie in one block of the operand.
static bool channels_ok(const struct dw_plan *p, size_t n) {
    if (p->attrs.groups > 1) return n == 1;
    bool together = p->x_layout->kind == LAYOUT_PLANAR || p->t->lanes % n == 0 ||
                    p->ins <= p->t->lanes;
    return n <= p->ins && together;
}

static size_t out_blocks(const struct dw_plan *p) {
    return (p->outs + p->t->lanes - 1) / p->t->lanes;
}

static void consider(const struct dw_plan *p, struct dw_tile t, struct dw_tile *best,
                     double *least) {
    if (!dw_fits(p, &t)) return;
    double cycles = cycles_each(p, &t) * waste(out_blocks(p), t.blocks) *
                    waste(p->ins, t.channels) * waste(p->d->dim[2], t.pixels) *
                    waste(p->kernel[1], t.columns);
    if (*least > 0 && cycles >= *least) return;
    *least = cycles;
    *best = t;
}

static struct dw_tile best_tile(const struct dw_plan *p) {
    struct dw_tile best = {1, 1, 1, 1, 1};
    double least = 0;
    size_t most = p->attrs.groups > 1 ? 1 : size_min(out_blocks(p), DW_MAX_BLOCKS);
    size_t pixels = size_min(DW_MAX_PIXELS, p->d->dim[2]);
    size_t columns = size_min(p->kernel[1], p->t->registers / 2);
    for (size_t b = 1; b <= most; b++)
        for (size_t c = 1; c <= 16; c++)
            for (size_t n = 1; channels_ok(p, c) && n <= pixels; n++) {
                consider(p, (struct dw_tile){b, c, p->kernel[0], columns, n}, &best,
                         &least);
                consider(p, (struct dw_tile){b, c, 1, columns, n}, &best, &least);
            }
    return best;
}

struct dw_plan dw_plan_of(const struct target *t, const struct kfunc *kf,
                          const struct kernel *k) {
    const struct node *n = node_at(kf->f, k->anchor);
    struct dw_plan p = {.t = t,
                        .x = type_at(kf->f, n->in[0]),
                        .d = type_at(kf->f, n->in[1]),
                        .x_layout = k->prologue != NID_NONE
                                        ? &k->scratch_layout
                                        : &kf->places[n->in[0]].layout,
                        .attrs = conv_attrs_of(n)};
    p.outs = p.d->dim[0];
    p.ins = p.x->dim[0] / (size_t)p.attrs.groups;
    p.kernel[0] = (size_t)attr_int(n, "kh");
    p.kernel[1] = (size_t)attr_int(n, "kw");
    p.tile = best_tile(&p);
    return p;
}
