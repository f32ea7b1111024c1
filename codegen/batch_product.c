// Sums over the rows of a batch of weight gradients and of products of matrices
// (ir/batch_product.h): one part of the result, of all rows.
//
//     for each round of rows
//         for each tile of the part
//             take its sums from the work memory, add the rows' products, put them back
//
// Sums lie in the work memory as [vector across][line down][tap][lane].
#include "codegen/batch.h"

size_t batch_sums(const struct tile *t) {
    return t->size[0] * t->size[1] * t->rows * t->columns;
}

// ---- products of a row ---------------------------------------------------------------

static struct dw_at dw_tile_at(const struct tile *t) {
    return (struct dw_at){.out = t->at[0],
                          .in = t->at[1],
                          .ky = t->ky,
                          .kx = t->kx,
                          .blocks = t->size[0],
                          .channels = t->size[1],
                          .rows = t->rows,
                          .columns = t->columns};
}

static struct point entry(struct ix first, struct ix second, bool turned, size_t lanes) {
    struct point p = {.rank = 2, .lanes = lanes};
    p.at[turned] = first;
    p.at[!turned] = second;
    return p;
}

// The vectors of columns of the tile, those past the last one masked.
static struct ix column(struct batch *b, const struct tile *t, size_t vector,
                        LLVMValueRef *mask) {
    struct emit *e = b->e;
    struct ix at = ix_ramp(e, ix_shift(e, t->at[0], (int64_t)(vector * e->lanes)));
    *mask = NULL;
    if (at.hi >= (int64_t)b->plan.n)
        *mask = LLVMBuildICmp(e->b, LLVMIntULT, ix_lanes(e, &at),
                              ll_isplat(e, (int64_t)b->plan.n, e->lanes), "");
    return at;
}

static void add_matrices(struct batch *b, const struct tile *t, LLVMValueRef *sums) {
    struct emit *e = b->e;
    bool tx = attr_int(b->n, "tx"), ty = attr_int(b->n, "ty");
    size_t n = batch_sums(t);
    struct ix k;
    struct loop l = loop_over(e, 0, (int64_t)b->plan.k, 1, sums, n, &k);
    LLVMValueRef y[4];
    CHECK(t->size[0] <= COUNT(y));
    for (size_t v = 0; v < t->size[0]; v++) {
        LLVMValueRef mask;
        struct ix col = column(b, t, v, &mask);
        struct point p = entry(k, col, ty, e->lanes);
        p.mask = mask;
        y[v] = emit_load(e, &b->y, &p);
    }
    for (size_t i = 0; i < t->size[1]; i++) {
        struct point p = entry(ix_shift(e, t->at[1], (int64_t)i), k, tx, 1);
        LLVMValueRef x = ll_splat(e, emit_load(e, &b->x, &p), e->lanes);
        for (size_t v = 0; v < t->size[0]; v++) {
            LLVMValueRef *sum = &l.carried[i * t->size[0] + v];
            *sum = ll_mul_add(e, x, y[v], *sum);
        }
    }
    loop_end(e, &l, l.carried);
    memcpy(sums, l.carried, n * sizeof *sums);
}

static void add_row(struct batch *b, const struct tile *t, LLVMValueRef *sums) {
    if (b->plan.conv) {
        struct dw_at at = dw_tile_at(t);
        dw_row(&b->dw);
        dw_add(&b->dw, &at, sums);
        return;
    }
    b->x = view_in(b->e, b->n->in[0]);
    b->y = view_in(b->e, b->n->in[1]);
    add_matrices(b, t, sums);
}

// ---- sums in the work memory ---------------------------------------------------------

// Where the first sum of the tile lies, in lanes.
static struct ix work_start(struct batch *b, const struct tile *t) {
    struct emit *e = b->e;
    const struct batch_product *p = &b->plan;
    int64_t lanes = (int64_t)e->lanes, taps = (int64_t)p->taps;
    int64_t line = taps * lanes, vector = (int64_t)p->part[1] * line;
    int64_t most = (int64_t)p->part[0] * vector;
    LLVMValueRef across =
        LLVMBuildSub(e->b, ix_value(e, &t->at[0]),
                     LLVMBuildMul(e->b, b->first[0], ll_i64(e, lanes), ""), "");
    LLVMValueRef down = LLVMBuildSub(e->b, ix_value(e, &t->at[1]), b->first[1], "");
    LLVMValueRef at =
        LLVMBuildAdd(e->b, LLVMBuildMul(e->b, across, ll_i64(e, vector / lanes), ""),
                     LLVMBuildMul(e->b, down, ll_i64(e, line), ""), "");
    struct ix tap = ix_scale(e, t->ky, p->conv ? (int64_t)p->dw.kernel[1] : 1);
    tap = ix_scale(e, ix_add(e, tap, t->kx), lanes);
    return ix_add(e, ix_uniform(at, 0, most, 1, 0), tap);
}

// Sums of a tile are in the order of add_row: lines, kernel rows, columns, vectors.
static LLVMValueRef work_at(struct batch *b, const struct tile *t, LLVMValueRef start,
                            size_t i) {
    const struct batch_product *p = &b->plan;
    size_t vector = i % t->size[0], column = i / t->size[0] % t->columns;
    size_t row = i / t->size[0] / t->columns % t->rows;
    size_t line = i / t->size[0] / t->columns / t->rows;
    size_t tap = row * (p->conv ? p->dw.kernel[1] : 1) + column;
    size_t at = (vector * p->part[1] + line) * p->taps + tap;
    return ll_at_const(b->e, b->e->f32, start, (int64_t)(at * b->e->lanes));
}

static void emit_tile(struct batch *b, struct tile *t) {
    struct emit *e = b->e;
    size_t n = batch_sums(t), align = 4 * e->lanes;
    LLVMValueRef sums[LOOP_MAX_CARRIED];
    CHECK(n <= COUNT(sums));
    LLVMValueRef start = ll_settled(e, ll_at_ix(e, e->f32, b->work, work_start(b, t)));
    for (size_t i = 0; i < n; i++)
        sums[i] = ll_load(e, ll_vec(e->f32, e->lanes), work_at(b, t, start, i), align);
    struct loop l = loop_begin(e, b->from, b->to, 1, sums, n);
    emit_row(e, l.i);
    add_row(b, t, l.carried);
    loop_end(e, &l, l.carried);
    for (size_t i = 0; i < n; i++)
        ll_store(e, l.carried[i], work_at(b, t, start, i), align);
}

static void store_tile(struct batch *b, struct tile *t) {
    struct emit *e = b->e;
    LLVMValueRef start = ll_at_ix(e, e->f32, b->work, work_start(b, t));
    LLVMValueRef sum = ll_load(e, ll_vec(e->f32, e->lanes), start, 4 * e->lanes), mask;
    struct view to = view_out(e, 0);
    struct dw_at at = dw_tile_at(t);
    struct point p;
    if (b->plan.conv) {
        dw_points(&b->dw, &at, &p);
    } else {
        p = entry(t->at[1], column(b, t, 0, &mask), false, e->lanes);
        p.mask = mask;
    }
    emit_store(e, &to, &p, sum);
}

static void each_tap(struct batch *b, struct tile *t, size_t rows, size_t columns,
                     tile_fn fn) {
    struct emit *e = b->e;
    size_t height = b->plan.conv ? b->plan.dw.kernel[0] : 1;
    size_t width = b->plan.conv ? b->plan.dw.kernel[1] : 1;
    size_t bound[] = {0, width / columns * columns, width};
    for (int rest = 0; rest < 2; rest++) {
        if (bound[rest] == bound[rest + 1]) continue;
        t->rows = rows;
        t->columns = rest ? bound[2] - bound[1] : columns;
        struct loop y = loop_over(e, 0, (int64_t)height, (int64_t)rows, NULL, 0, &t->ky);
        struct loop x = loop_over(e, (int64_t)bound[rest], (int64_t)bound[rest + 1],
                                  (int64_t)t->columns, NULL, 0, &t->kx);
        fn(b, t);
        loop_end(e, &x, NULL);
        loop_end(e, &y, NULL);
    }
}

static void emit_taps(struct batch *b, struct tile *t) {
    const struct dw_tile *tile = &b->plan.dw.tile;
    if (b->plan.conv) each_tap(b, t, tile->rows, tile->columns, emit_tile);
    else each_tap(b, t, 1, 1, emit_tile);
}

static void store_taps(struct batch *b, struct tile *t) {
    each_tap(b, t, 1, 1, store_tile);
}

// ---- tiles of a part -----------------------------------------------------------------

struct over {               // along one axis of the part
    size_t all, step, unit; // unit: what one counts in t->at
};

static struct over over_of(const struct batch *b, int axis, size_t step) {
    size_t all = axis ? b->plan.down : b->plan.across;
    return (struct over){all, step, axis ? 1 : b->e->lanes};
}

static void each_line(struct batch *b, struct tile *t, size_t step[2], tile_fn fn);

static void inside(struct batch *b, struct tile *t, int axis, size_t step[2],
                   tile_fn fn) {
    if (axis == 0) each_line(b, t, step, fn);
    else fn(b, t);
}

// Tiles of `step` from the part's first on, and the smaller one behind them if it is the
// part's.
static void each_of(struct batch *b, struct tile *t, int axis, size_t step[2],
                    tile_fn fn) {
    struct emit *e = b->e;
    struct over o = over_of(b, axis, step[axis]);
    int64_t whole = (int64_t)(o.all / o.step * o.step), unit = (int64_t)o.unit;
    LLVMValueRef from = b->first[axis];
    LLVMValueRef end =
        LLVMBuildAdd(e->b, from, ll_i64(e, (int64_t)b->plan.part[axis]), "");
    LLVMValueRef to = ll_min(e, end, ll_i64(e, whole));
    LLVMValueRef scale = ll_i64(e, unit);
    if (whole > 0) {
        int64_t each = (int64_t)o.step * unit;
        LLVMBasicBlockRef after =
            if_begin(e, LLVMBuildICmp(e->b, LLVMIntSLT, from, to, ""));
        struct loop l = loop_begin(e, LLVMBuildMul(e->b, from, scale, ""),
                                   LLVMBuildMul(e->b, to, scale, ""), each, NULL, 0);
        t->at[axis] = ix_uniform(l.i, 0, whole * unit - each, each, 0);
        t->size[axis] = o.step;
        inside(b, t, axis, step, fn);
        loop_end(e, &l, NULL);
        if_end(e, after);
    }
    if (whole == (int64_t)o.all) return;
    LLVMBasicBlockRef after =
        if_begin(e, LLVMBuildICmp(e->b, LLVMIntSGT, end, ll_i64(e, whole), ""));
    t->at[axis] = ix_const(e, whole * unit);
    t->size[axis] = o.all - (size_t)whole;
    inside(b, t, axis, step, fn);
    if_end(e, after);
}

static void each_line(struct batch *b, struct tile *t, size_t step[2], tile_fn fn) {
    each_of(b, t, 1, step, fn);
}

void each_batch_tile(struct batch *b, size_t across, size_t down, tile_fn fn) {
    struct tile t = {0};
    size_t step[2] = {across, down};
    each_of(b, &t, 0, step, fn);
}

// ---- a part --------------------------------------------------------------------------

static void find_part(struct batch *b) {
    struct emit *e = b->e;
    const struct kernel *k = e->k;
    LLVMValueRef n = ll_i64(e, (int64_t)b->plan.parts[1]);
    LLVMValueRef at2[] = {LLVMBuildUDiv(e->b, e->part, n, ""),
                          LLVMBuildURem(e->b, e->part, n, "")};
    for (int a = 0; a < 2; a++)
        b->first[a] = LLVMBuildMul(e->b, at2[a], ll_i64(e, (int64_t)b->plan.part[a]), "");
    b->work = e->base[k->nouts + k->nins];
}

void batch_clear(struct batch *b, size_t vectors) {
    struct emit *e = b->e;
    LLVMTypeRef vec = ll_vec(e->f32, e->lanes);
    struct ix i;
    struct loop l = loop_over(e, 0, (int64_t)vectors, 1, NULL, 0, &i);
    ll_store(e, ll_zero(vec), ll_at_ix(e, vec, b->work, i), 4 * e->lanes);
    loop_end(e, &l, NULL);
}

static void emit_direct(struct batch *b) {
    struct emit *e = b->e;
    const struct batch_product *p = &b->plan;
    LLVMValueRef n = LLVMGetParam(e->fn, 1);
    int64_t rows = (int64_t)p->rows;
    batch_clear(b, p->part[0] * p->part[1] * p->taps);
    struct loop l = loop_begin(e, ll_i64(e, 0), n, rows, NULL, 0);
    b->from = l.i;
    b->to = ll_min(e, LLVMBuildAdd(e->b, l.i, ll_i64(e, rows), ""), n);
    each_batch_tile(b, p->tile[0], p->tile[1], emit_taps);
    loop_end(e, &l, NULL);
    each_batch_tile(b, 1, 1, store_taps);
}

void emit_batch_product(struct emit *e) {
    struct batch b = {.e = e,
                      .plan = batch_product_of(e->t, e->kf, e->k),
                      .n = node_at(e->f, e->k->anchor)};
    emit_row(e, ll_i64(e, 0));
    if (b.plan.conv) b.dw = dw_of(e);
    find_part(&b);
    if (b.plan.winograd) emit_batch_winograd(&b);
    else emit_direct(&b);
}
