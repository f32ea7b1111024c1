// Winograd convolution, conv and conv_dx alike (see ir/winograd.h).
//
// The tiles of all rows are one list; a group of it goes through three steps, with what
// is between them in the kernel's work memory:
//
//     operands  V [plane][block of operand channels][tile][lanes]
//     products  M [plane][block of result channels][tile][lanes] = V times the weights
//     results
//
// M may lie where V was (winograd_in_place). The products of a plane are a matrix product
// with a tile of sums in registers, some blocks of channels times some tiles; those past
// the last tile of the list are computed of what happens to be there and left. Each tile
// is the same sums in the same order whatever the group it is in.
//
// The first two steps are functions that kernels of one module share: what they do
// follows from shapes alone, and kernels mostly differ in what becomes of the results.
#include "codegen/emit.h"
#include "codegen/winograd_lines.h"
#include "codegen/winograd_plan.h"

struct steps {
    struct emit *e;
    struct winograd w;
    LLVMTypeRef vec;
    int64_t at[2];  // operand place of the first result's first tap
    LLVMValueRef x; // the operand's row 0
    LLVMValueRef operands, products, weights;
};

struct tile_place {    // one tile of a group
    LLVMValueRef row;  // of the batch
    struct ix y, x;    // its first result
    LLVMValueRef slot; // which of the group it is
};

static LLVMValueRef load_vector(struct steps *s, LLVMValueRef at, size_t floats) {
    LLVMValueRef from = ll_at_const(s->e, s->e->f32, at, (int64_t)floats);
    return ll_load(s->e, s->vec, from, 4 * s->e->lanes);
}

// The transform of the columns of n x n vectors, which lie by_y and by_x floats apart:
// half is [..][n]. Each is loaded when it is needed, because registers are few.
static void transform_columns(struct steps *s, line_fn line, LLVMValueRef from,
                              size_t by_y, size_t by_x, size_t count,
                              LLVMValueRef *half) {
    LLVMValueRef in[WINOGRAD_MOST] = {0}, out[WINOGRAD_MOST];
    for (size_t x = 0; x < s->w.n; x++) {
        for (size_t y = 0; y < s->w.n; y++)
            in[y] = load_vector(s, from, y * by_y + x * by_x);
        line(s->e, in, out);
        for (size_t y = 0; y < count; y++) half[y * s->w.n + x] = out[y];
    }
}

// ---- memory --------------------------------------------------------------------------

// The vector of `slot` in block `block` of the first plane.
static LLVMValueRef work_at(struct steps *s, LLVMValueRef base, struct ix block,
                            LLVMValueRef slot) {
    struct emit *e = s->e;
    struct ix way = ix_scale(e, block, (int64_t)(s->w.group * e->lanes));
    LLVMValueRef at = ll_at_ix(e, e->f32, base, way);
    return ll_at(e, s->vec, at, slot);
}

// ---- first step: operands ------------------------------------------------------------

static void emit_operand(struct steps *s, LLVMValueRef from, LLVMValueRef to) {
    struct emit *e = s->e;
    LLVMValueRef half[WINOGRAD_MOST * WINOGRAD_MOST], out[WINOGRAD_MOST];
    struct view x = anchor_operand(e);
    size_t n = s->w.n, plane = winograd_in_plane(&s->w);
    line_fn line = line_operands(s->w.m);
    transform_columns(s, line, from, layout_pitch_y(e, x.layout, x.type), e->lanes, n,
                      half);
    for (size_t y = 0; y < n; y++) {
        line(s->e, half + y * n, out);
        for (size_t i = 0; i < n; i++) {
            int64_t way = (int64_t)((y * n + i) * plane);
            ll_store(e, out[i], ll_at_const(e, e->f32, to, way), 4 * e->lanes);
        }
    }
}

static LLVMValueRef operand_row(struct steps *s, LLVMValueRef row) {
    struct emit *e = s->e;
    struct view x = anchor_operand(e);
    if (!x.type->rows) return s->x;
    LLVMValueRef way = LLVMBuildMul(e->b, row, ll_i64(e, (int64_t)x.layout->bytes), "");
    return ll_at(e, e->i8, s->x, way);
}

static void emit_operands(struct steps *s, const struct tile_place *t) {
    struct emit *e = s->e;
    struct view x = anchor_operand(e);
    int64_t pitch_y = (int64_t)layout_pitch_y(e, x.layout, x.type);
    int64_t border = (int64_t)x.layout->border, lanes = (int64_t)e->lanes;
    struct ix y = ix_shift(e, t->y, border + s->at[0]), block;
    struct ix at = ix_scale(e, ix_shift(e, t->x, border + s->at[1]), lanes);
    at = ix_add(e, ix_scale(e, y, pitch_y), at);
    LLVMValueRef from = ll_settled(e, ll_at_ix(e, e->f32, operand_row(s, t->row), at));
    struct loop l = loop_over(e, 0, (int64_t)s->w.in, 1, NULL, 0, &block);
    struct ix plane = ix_scale(e, block, (int64_t)layout_plane(e, x.layout, x.type));
    emit_operand(s, ll_at_ix(e, e->f32, from, plane),
                 work_at(s, s->operands, block, t->slot));
    loop_end(e, &l, NULL);
}

// ---- second step: products -----------------------------------------------------------

struct product {                              // one tile of sums
    LLVMValueRef operands, products, weights; // of the plane; weights: of the group too
    struct ix block;                          // the first of the group
    LLVMValueRef slot;
    size_t blocks;
};

// Where operand channel `channel` of the first tile lies.
static LLVMValueRef channel_at(struct steps *s, const struct product *p,
                               struct ix channel) {
    struct emit *e = s->e;
    struct ix at = ix_scale(e, ix_div(e, channel, (int64_t)e->lanes),
                            (int64_t)(s->w.group * e->lanes));
    at = ix_add(e, at, ix_mod(e, channel, (int64_t)e->lanes));
    return ll_at_ix(e, e->f32, ll_at(e, s->vec, p->operands, p->slot), at);
}

// Weights that come from far are asked for a group ahead, a line a round. Else the tiles
// that use them first would wait for nearly all of them, and those after them for none.
static void fetch_ahead(struct steps *s, const struct product *p, struct ix channel) {
    struct emit *e = s->e;
    const struct winograd *w = &s->w;
    int64_t line = CACHE_LINE / sizeof(float), channels = (int64_t)w->channels;
    LLVMValueRef tile =
        LLVMBuildUDiv(e->b, p->slot, ll_i64(e, (int64_t)w->tile_tiles), "");
    struct ix at = ix_uniform(tile, 0, (int64_t)w->group, 1, 0);
    at = ix_scale(e, ix_add(e, ix_scale(e, at, channels), channel), line);
    at = ix_shift(e, at, (int64_t)(w->tile_blocks * e->lanes) * channels);
    ll_fetch(e, ll_at_ix(e, e->f32, p->weights, at));
}

static void emit_product(struct steps *s, const struct product *p) {
    struct emit *e = s->e;
    size_t tiles = s->w.tile_tiles, n = tiles * p->blocks;
    LLVMValueRef sums[LOOP_MAX_CARRIED], w[8];
    struct ix channel;
    CHECK(n <= COUNT(sums) && p->blocks <= COUNT(w));
    for (size_t i = 0; i < n; i++) sums[i] = ll_zero(s->vec);
    struct loop l = loop_over(e, 0, (int64_t)s->w.channels, 1, sums, n, &channel);
    struct ix way = ix_scale(e, channel, (int64_t)(p->blocks * e->lanes));
    LLVMValueRef weights = ll_at_ix(e, e->f32, p->weights, way);
    LLVMValueRef from = channel_at(s, p, channel);
    if (s->w.far) fetch_ahead(s, p, channel);
    for (size_t b = 0; b < p->blocks; b++) w[b] = load_vector(s, weights, b * e->lanes);
    for (size_t i = 0; i < tiles; i++) {
        LLVMValueRef at = ll_at_const(e, e->f32, from, (int64_t)(i * e->lanes));
        LLVMValueRef x = ll_splat(e, ll_load(e, e->f32, at, 4), e->lanes);
        for (size_t b = 0; b < p->blocks; b++)
            l.carried[i * p->blocks + b] =
                ll_mul_add(e, w[b], x, l.carried[i * p->blocks + b]);
    }
    loop_end(e, &l, l.carried);
    for (size_t b = 0; b < p->blocks; b++) {
        struct ix block = ix_shift(e, p->block, (int64_t)b);
        LLVMValueRef to = work_at(s, p->products, block, p->slot);
        for (size_t i = 0; i < tiles; i++)
            ll_store(e, l.carried[i * p->blocks + b],
                     ll_at_const(e, s->vec, to, (int64_t)i), 4 * e->lanes);
    }
}

// Groups of p->blocks blocks in [from, to), each over all tiles.
static void emit_blocks(struct steps *s, struct product *p, size_t from, size_t to,
                        LLVMValueRef count) {
    struct emit *e = s->e;
    LLVMValueRef weights = p->weights;
    if (from == to) return;
    struct loop l =
        loop_over(e, (int64_t)from, (int64_t)to, (int64_t)p->blocks, NULL, 0, &p->block);
    struct ix way = ix_scale(e, p->block, (int64_t)(e->lanes * s->w.channels));
    p->weights = ll_settled(e, ll_at_ix(e, e->f32, weights, way));
    struct loop tiles =
        loop_begin(e, ll_i64(e, 0), count, (int64_t)s->w.tile_tiles, NULL, 0);
    p->slot = tiles.i;
    emit_product(s, p);
    loop_end(e, &tiles, NULL);
    loop_end(e, &l, NULL);
    p->weights = weights;
}

static LLVMValueRef plane_at(struct steps *s, LLVMValueRef base, struct ix plane,
                             size_t floats) {
    struct emit *e = s->e;
    return ll_settled(e, ll_at_ix(e, e->f32, base, ix_scale(e, plane, (int64_t)floats)));
}

// Of planes [from, to).
static void emit_products(struct steps *s, LLVMValueRef count, LLVMValueRef from,
                          LLVMValueRef to) {
    struct emit *e = s->e;
    const struct winograd *w = &s->w;
    size_t whole = w->out / w->tile_blocks * w->tile_blocks;
    struct loop l = loop_begin(e, from, to, 1, NULL, 0);
    struct ix plane = ix_uniform(l.i, 0, (int64_t)(w->n * w->n) - 1, 1, 0);
    struct product p = {
        .operands = plane_at(s, s->operands, plane, winograd_in_plane(w)),
        .products = plane_at(s, s->products, plane, winograd_out_plane(w)),
        .weights = plane_at(s, s->weights, plane, winograd_weight_plane(w)),
        .blocks = w->tile_blocks};
    emit_blocks(s, &p, 0, whole, count);
    p.blocks = w->out - whole;
    emit_blocks(s, &p, whole, w->out, count);
    loop_end(e, &l, NULL);
}

// ---- third step: results -------------------------------------------------------------

#define MOST_RESULTS 16 // of a tile

static void tile_points(struct steps *s, const struct tile_place *t, struct ix block,
                        struct point p[MOST_RESULTS]) {
    struct emit *e = s->e;
    size_t m = s->w.m, channels = node_at(e->f, e->k->anchor)->type.dim[0];
    struct ix channel = ix_scale(e, block, (int64_t)e->lanes);
    struct point q = channel_point(e, channel, channels, 3);
    for (size_t i = 0; i < m * m; i++) {
        q.at[1] = ix_shift(e, t->y, (int64_t)(i / m));
        q.at[2] = ix_shift(e, t->x, (int64_t)(i % m));
        p[i] = q;
    }
}

static void emit_result(struct steps *s, const struct tile_place *t, struct ix block) {
    LLVMValueRef half[4 * WINOGRAD_MOST], out[MOST_RESULTS];
    struct point p[MOST_RESULTS];
    size_t n = s->w.n, m = s->w.m, plane = winograd_out_plane(&s->w);
    LLVMValueRef from = work_at(s, s->products, block, t->slot);
    line_fn line = line_results(m);
    transform_columns(s, line, from, n * plane, plane, m, half);
    for (size_t y = 0; y < m; y++) line(s->e, half + y * n, out + y * m);
    tile_points(s, t, block, p);
    emit_results(s->e, p, out, m * m);
}

static void emit_tile_results(struct steps *s, const struct tile_place *t) {
    struct emit *e = s->e;
    struct ix block;
    emit_row(e, t->row);
    emit_hoisted(e, e->k->outs, e->k->nouts);
    struct loop l = loop_over(e, 0, (int64_t)s->w.out, 1, NULL, 0, &block);
    emit_result(s, t, block);
    loop_end(e, &l, NULL);
}

// ---- all tiles -----------------------------------------------------------------------

// First result along an axis of the tile-th tile.
static struct ix first_result(struct steps *s, int axis, LLVMValueRef tile) {
    struct emit *e = s->e;
    int64_t m = (int64_t)s->w.m, last = (int64_t)s->w.size[axis] - m;
    LLVMValueRef at = LLVMBuildMul(e->b, tile, ll_i64(e, m), "");
    if (last % m) at = ll_min(e, at, ll_i64(e, last));
    return ix_uniform(at, 0, last, 1, 0);
}

// Goes over the tiles of a group; `step` does its part of each.
static void each_tile(struct steps *s, LLVMValueRef first, LLVMValueRef count,
                      void (*step)(struct steps *, const struct tile_place *)) {
    struct emit *e = s->e;
    LLVMValueRef all = ll_i64(e, (int64_t)winograd_row_tiles(&s->w));
    LLVMValueRef across = ll_i64(e, (int64_t)s->w.tiles[1]);
    struct loop l = loop_begin(e, ll_i64(e, 0), count, 1, NULL, 0);
    LLVMValueRef tile = LLVMBuildAdd(e->b, first, l.i, "");
    struct tile_place t = {.row = LLVMBuildUDiv(e->b, tile, all, ""), .slot = l.i};
    LLVMValueRef of_row = LLVMBuildURem(e->b, tile, all, "");
    t.y = first_result(s, 0, LLVMBuildUDiv(e->b, of_row, across, ""));
    t.x = first_result(s, 1, LLVMBuildURem(e->b, of_row, across, ""));
    step(s, &t);
    loop_end(e, &l, NULL);
}

static void clear_borders(struct emit *e, LLVMValueRef n) {
    struct loop l = loop_begin(e, ll_i64(e, 0), n, 1, NULL, 0);
    emit_row(e, l.i);
    for (size_t i = 0; i < e->k->nouts; i++) {
        struct view to = view_out(e, i);
        emit_zero_border(e, &to);
    }
    loop_end(e, &l, NULL);
}

// The work memory, where it begins.
static void set_work(struct steps *s, LLVMValueRef work) {
    size_t operands = s->w.n * s->w.n * winograd_in_plane(&s->w);
    if (winograd_in_place(&s->w)) operands = 0;
    s->operands = work;
    s->products = ll_at_const(s->e, s->e->f32, work, (int64_t)operands);
}

static struct steps steps_of(struct emit *e) {
    const struct kernel *k = e->k;
    const struct node *n = node_at(e->f, k->anchor);
    struct conv_attrs c = conv_attrs_of(n);
    struct steps s = {
        .e = e, .w = winograd_of_kernel(e->t, e->kf, k), .vec = ll_vec(e->f32, e->lanes)};
    for (int a = 0; a < 2; a++) s.at[a] = n->op == OP_CONV ? -c.pads[a] : c.pads[a] - 2;
    set_work(&s, e->base[k->nouts + k->nins]);
    s.x = e->base[kernel_buffer(k, n->in[0])];
    emit_row(e, ll_i64(e, 0)); // for the constants
    s.weights = view_in(e, n->in[1]).row;
    return s;
}

// ---- the steps that kernels share ----------------------------------------------------

static void call_operands(const struct steps *s, LLVMValueRef first, LLVMValueRef count) {
    struct emit *e = s->e;
    const struct winograd *w = &s->w;
    struct view x = anchor_operand(e);
    const size_t *dim = x.type->dim;
    LLVMValueRef args[] = {s->x, s->operands, first, count};
    const long at[2] = {(long)s->at[0], (long)s->at[1]};
    const char *side[2] = {at[0] < 0 ? "before" : "at", at[1] < 0 ? "before" : "at"};
    const char *name = arena_printf(
        e->arena,
        "winograd_operands_%zu_%zux%zu_%s%ld_%s%ld_of_%zux%zux%zu_%zu_%zu_by_%zu", w->m,
        w->size[0], w->size[1], side[0], labs(at[0]), side[1], labs(at[1]), w->in, dim[1],
        dim[2], x.layout->border, x.type->rows ? x.layout->bytes : 0, w->group);
    struct shared shared;
    if (!shared_begin(e, &shared, name, args, COUNT(args))) return;
    struct steps inner = *s;
    inner.x = args[0];
    set_work(&inner, args[1]);
    each_tile(&inner, args[2], args[3], emit_operands);
    shared_end(e, &shared, name);
}

static void call_products(const struct steps *s, LLVMValueRef count, LLVMValueRef from,
                          LLVMValueRef to) {
    struct emit *e = s->e;
    const struct winograd *w = &s->w;
    LLVMValueRef args[] = {s->operands, s->weights, count, from, to};
    const char *name = arena_printf(
        e->arena, "winograd_products_%zu_%zux%zu_by_%zux%zu_of_%zu%s", w->m, w->channels,
        w->out, w->tile_blocks, w->tile_tiles, w->group, w->far ? "_far" : "");
    struct shared shared;
    if (!shared_begin(e, &shared, name, args, COUNT(args))) return;
    struct steps inner = *s;
    inner.weights = args[1];
    set_work(&inner, args[0]);
    emit_products(&inner, args[2], args[3], args[4]);
    shared_end(e, &shared, name);
}

// ---- asking ahead ---------------------------------------------------------------------
// Maps of a batch are far away: what results are joined with, and where they go.

static void ask_tile(struct steps *s, const struct tile_place *t) {
    struct emit *e = s->e;
    struct point p[MOST_RESULTS];
    struct ix block;
    emit_row(e, t->row);
    struct loop l = loop_over(e, 0, (int64_t)s->w.out, 1, NULL, 0, &block);
    tile_points(s, t, block, p);
    emit_ask_results(e, p, s->w.m * s->w.m);
    loop_end(e, &l, NULL);
}

// `some` tiles of the group from `from` on, those that there are.
static void ask_tiles(struct steps *s, LLVMValueRef first, LLVMValueRef count,
                      LLVMValueRef from, LLVMValueRef some) {
    struct emit *e = s->e;
    LLVMValueRef left = LLVMBuildSub(e->b, count, from, "");
    LLVMValueRef any = LLVMBuildICmp(e->b, LLVMIntSGT, left, ll_i64(e, 0), "");
    LLVMBasicBlockRef after = if_begin(e, any);
    each_tile(s, LLVMBuildAdd(e->b, first, from, ""), ll_min(e, left, some), ask_tile);
    if_end(e, after);
}

// The products of a group, some planes at a time, and before them a share of what the
// third step will want: all of it at once would have to be waited for.
static void products_asking(struct steps *s, LLVMValueRef first, LLVMValueRef count) {
    struct emit *e = s->e;
    size_t some = s->w.n / 2, rounds = s->w.n * s->w.n / some;
    LLVMValueRef planes = ll_i64(e, (int64_t)some);
    LLVMValueRef tiles = ll_i64(e, (int64_t)((s->w.group + rounds - 1) / rounds));
    struct loop l = loop_begin(e, ll_i64(e, 0), ll_i64(e, (int64_t)rounds), 1, NULL, 0);
    ask_tiles(s, first, count, LLVMBuildMul(e->b, l.i, tiles, ""), tiles);
    LLVMValueRef plane = LLVMBuildMul(e->b, l.i, planes, "");
    call_products(s, count, plane, LLVMBuildAdd(e->b, plane, planes, ""));
    loop_end(e, &l, NULL);
}

void emit_winograd(struct emit *e) {
    struct steps s = steps_of(e);
    bool rows = type_at(e->f, e->k->outs[0])->rows;
    LLVMValueRef n = rows ? LLVMGetParam(e->fn, 1) : ll_i64(e, 1);
    int64_t of_row = (int64_t)winograd_row_tiles(&s.w), group = (int64_t)s.w.group;
    LLVMValueRef planes = ll_i64(e, (int64_t)(s.w.n * s.w.n));
    LLVMValueRef all = LLVMBuildMul(e->b, n, ll_i64(e, of_row), "");
    struct loop l = loop_begin(e, ll_i64(e, 0), all, group, NULL, 0);
    LLVMValueRef left = LLVMBuildSub(e->b, all, l.i, "");
    LLVMValueRef count = ll_min(e, left, ll_i64(e, group));
    call_operands(&s, l.i, count);
    if (e->kf->joint) products_asking(&s, l.i, count);
    else call_products(&s, count, ll_i64(e, 0), planes);
    each_tile(&s, l.i, count, emit_tile_results);
    loop_end(e, &l, NULL);
    clear_borders(e, n);
}
