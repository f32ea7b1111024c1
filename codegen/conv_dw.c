// Weight gradients of a row, stored (conv_dw) or only their squares summed
// (conv_dw_sqnorm), tile by tile (dw.h).
#include "codegen/dw.h"

struct row {
    struct emit *e;
    struct dw dw;
    bool square;
    LLVMValueRef total; // sum of squares so far
};

// In four chains, which do not wait for each other.
static void add_squares(struct row *w, const LLVMValueRef *sums, size_t n) {
    struct emit *e = w->e;
    LLVMValueRef chain[4];
    size_t chains = size_min(n, COUNT(chain));
    for (size_t i = 0; i < chains; i++)
        chain[i] = LLVMBuildFMul(e->b, sums[i], sums[i], "");
    for (size_t i = chains; i < n; i++)
        chain[i % 4] = ll_mul_add(e, sums[i], sums[i], chain[i % 4]);
    for (size_t gap = 1; gap < chains; gap *= 2)
        for (size_t i = 0; i + gap < chains; i += 2 * gap)
            chain[i] = LLVMBuildFAdd(e->b, chain[i], chain[i + gap], "");
    w->total = LLVMBuildFAdd(e->b, w->total, chain[0], "");
}

static void store_sums(struct row *w, const struct dw_at *t, const LLVMValueRef *sums) {
    struct point p[LOOP_MAX_CARRIED];
    dw_points(&w->dw, t, p);
    emit_results(w->e, p, sums, dw_sums(t));
}

static void emit_sums(struct row *w, struct dw_at *t) {
    LLVMValueRef sums[LOOP_MAX_CARRIED];
    CHECK(dw_sums(t) <= COUNT(sums));
    for (size_t i = 0; i < dw_sums(t); i++)
        sums[i] = ll_zero(ll_vec(w->e->f32, w->e->lanes));
    dw_add(&w->dw, t, sums);
    if (w->square) add_squares(w, sums, dw_sums(t));
    else store_sums(w, t, sums);
}

// ---- all tiles -----------------------------------------------------------------------

// Each of these goes over one dimension: loops of whole tiles, then what is left.
typedef void (*level_fn)(struct row *w, struct dw_at *t);

static void over(struct row *w, struct dw_at *t, size_t from, size_t to, size_t step,
                 struct ix *i, level_fn inner) {
    bool square = w->square;
    if (from >= to) return;
    struct loop l =
        loop_over(w->e, (int64_t)from, (int64_t)to, (int64_t)step, &w->total, square, i);
    if (square) w->total = l.carried[0];
    inner(w, t);
    loop_end(w->e, &l, &w->total);
    if (square) w->total = l.carried[0];
}

static void each_column(struct row *w, struct dw_at *t) {
    size_t all = w->dw.plan.kernel[1],
           whole = all / w->dw.plan.tile.columns * w->dw.plan.tile.columns;
    t->columns = w->dw.plan.tile.columns;
    over(w, t, 0, whole, t->columns, &t->kx, emit_sums);
    t->columns = all - whole;
    over(w, t, whole, all, size_max(t->columns, 1), &t->kx, emit_sums);
}

static void each_row(struct row *w, struct dw_at *t) {
    t->rows = w->dw.plan.tile.rows;
    over(w, t, 0, w->dw.plan.kernel[0], t->rows, &t->ky, each_column);
}

static void each_channel(struct row *w, struct dw_at *t) {
    size_t whole = w->dw.plan.ins / w->dw.plan.tile.channels * w->dw.plan.tile.channels;
    t->channels = w->dw.plan.tile.channels;
    over(w, t, 0, whole, t->channels, &t->in, each_row);
    t->channels = w->dw.plan.ins - whole;
    over(w, t, whole, w->dw.plan.ins, size_max(t->channels, 1), &t->in, each_row);
}

static void each_block(struct row *w, struct dw_at *t) {
    size_t lanes = w->e->lanes, all = (w->dw.plan.outs + lanes - 1) / lanes;
    size_t whole = all / w->dw.plan.tile.blocks * w->dw.plan.tile.blocks;
    t->blocks = w->dw.plan.tile.blocks;
    over(w, t, 0, whole * lanes, t->blocks * lanes, &t->out, each_channel);
    t->blocks = all - whole;
    over(w, t, whole * lanes, all * lanes, size_max(t->blocks, 1) * lanes, &t->out,
         each_channel);
}

// The lanes' sums, joined pairwise.
static LLVMValueRef sum_lanes(struct emit *e, LLVMValueRef v) {
    for (size_t half = e->lanes / 2; half >= 1; half /= 2) {
        int low[64], high[64];
        for (size_t i = 0; i < half; i++) {
            low[i] = (int)i;
            high[i] = (int)(i + half);
        }
        v = LLVMBuildFAdd(e->b, ll_shuffle(e, v, v, low, half),
                          ll_shuffle(e, v, v, high, half), "");
    }
    return ll_lane(e, v, 0);
}

void emit_conv_dw(struct emit *e) {
    bool square = node_at(e->f, e->k->anchor)->op == OP_CONV_DW_SQNORM;
    struct row w = {.e = e,
                    .dw = dw_of(e),
                    .square = square,
                    .total = ll_zero(ll_vec(e->f32, e->lanes))};
    struct dw_at t = {0};
    each_block(&w, &t);
    if (!w.square) return;
    struct point p = point_scalar();
    LLVMValueRef sum = sum_lanes(e, w.total);
    emit_results(e, &p, &sum, 1);
}
