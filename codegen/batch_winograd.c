// A part of the weight gradients of a 3x3 convolution, summed over a batch, Winograd's
// way (ir/batch_product.h): F(3x3, 4x4), with the points of ir/winograd.h.
//
// The tiles of all rows are one list; a group of it is transformed and then multiplied,
// plane by plane. In the work memory lie, each plane a line of the cache longer than it
// needs,
//
//     sums       M [plane][vector of gradients][line of the operand][lanes]
//     operands   X [plane][block of the operand][tile of the group][lanes]
//     gradients  D [plane][vector of gradients][tile of the group][lanes]
//
// and M gains X times D over the tiles of the group, in their order.
#include "codegen/batch.h"
#include "codegen/winograd_lines.h"

#define POINTS ((size_t)6)
#define GRADS  ((size_t)4)
#define TAPS   ((size_t)3)

struct planes {
    LLVMValueRef at;
    size_t floats; // of one
};

struct winding {
    struct batch b; // first, for each_batch_tile
    struct planes sums, operands, gradients;
    LLVMValueRef first, count; // tiles of the group
    LLVMValueRef rows;         // of the batch
    struct ix plane;           // at hand
};

struct tile_place {
    LLVMValueRef row, slot;
    struct ix y, x; // its first gradient
};

static struct planes planes_at(struct winding *w, LLVMValueRef *at, size_t vectors) {
    struct planes p = {*at, batch_plane(&w->b.plan, vectors)};
    *at = ll_at_const(w->b.e, w->b.e->f32, *at, (int64_t)(BATCH_PLANES * p.floats));
    return p;
}

// Vector `at` of plane 0.
static LLVMValueRef vector_at(struct winding *w, const struct planes *p,
                              LLVMValueRef at) {
    struct emit *e = w->b.e;
    return ll_at(e, ll_vec(e->f32, e->lanes), p->at, at);
}

static LLVMValueRef load_at(struct winding *w, LLVMValueRef at, size_t floats) {
    struct emit *e = w->b.e;
    return ll_load(e, ll_vec(e->f32, e->lanes),
                   ll_at_const(e, e->f32, at, (int64_t)floats), 4 * e->lanes);
}

// ---- transforms into planes ----------------------------------------------------------

struct square { // of one transform: side x side vectors, pitch floats from line to line
    LLVMValueRef at;
    size_t side, pitch;
};

// Half of the lines of planes at a time: all of what is between would not stay in
// registers.
static void transform(struct winding *w, const struct square *s, line_fn line,
                      const struct planes *to, LLVMValueRef vector) {
    struct emit *e = w->b.e;
    LLVMValueRef in[WINOGRAD_MOST] = {0}, out[WINOGRAD_MOST],
                 half[WINOGRAD_MOST * WINOGRAD_MOST];
    LLVMValueRef place = vector_at(w, to, vector);
    for (size_t first = 0; first < POINTS; first += POINTS / 2) {
        for (size_t x = 0; x < s->side; x++) {
            for (size_t y = 0; y < s->side; y++)
                in[y] = load_at(w, s->at, y * s->pitch + x * e->lanes);
            line(e, in, out);
            for (size_t y = 0; y < POINTS; y++) half[y * s->side + x] = out[y];
        }
        for (size_t y = first; y < first + POINTS / 2; y++) {
            line(e, half + y * s->side, out);
            for (size_t x = 0; x < POINTS; x++) {
                int64_t way = (int64_t)((y * POINTS + x) * to->floats);
                ll_store(e, out[x], ll_at_const(e, e->f32, place, way), 4 * e->lanes);
            }
        }
    }
}

// Blocks of the view from the part's first on, `most` of them or as many as there are.
// at: how far the tile's first place is from its first gradient.
struct transformed {
    const struct view *v;
    int64_t at[2];
    size_t most;
    int axis; // of the part
    size_t side;
    line_fn line;
    const struct planes *to;
};

// Where the first place of the tile lies in the part's first block.
static LLVMValueRef tile_at(struct winding *w, const struct tile_place *t,
                            const struct transformed *x, LLVMValueRef first) {
    struct emit *e = w->b.e;
    const struct view *v = x->v;
    int64_t border = (int64_t)v->layout->border, lanes = (int64_t)e->lanes;
    int64_t pitch = (int64_t)layout_pitch_y(e, v->layout, v->type);
    struct ix y = ix_scale(e, ix_shift(e, t->y, border + x->at[0]), pitch);
    struct ix at = ix_scale(e, ix_shift(e, t->x, border + x->at[1]), lanes);
    LLVMValueRef row =
        LLVMBuildMul(e->b, t->row, ll_i64(e, (int64_t)v->layout->bytes), "");
    int64_t plane = (int64_t)layout_plane(e, v->layout, v->type);
    LLVMValueRef way = LLVMBuildMul(e->b, first, ll_i64(e, plane), "");
    LLVMValueRef from = ll_at(e, e->f32, ll_at(e, e->i8, v->row, row), way);
    return ll_at_ix(e, e->f32, from, ix_add(e, y, at));
}

static struct tile_place place_of(struct winding *w, LLVMValueRef tile) {
    struct emit *e = w->b.e;
    const size_t *tiles = w->b.plan.tiles;
    LLVMValueRef across = ll_i64(e, (int64_t)tiles[1]), side = ll_i64(e, GRADS);
    LLVMValueRef all = ll_i64(e, (int64_t)(tiles[0] * tiles[1]));
    LLVMValueRef of_row = LLVMBuildURem(e->b, tile, all, "");
    LLVMValueRef y = LLVMBuildUDiv(e->b, of_row, across, "");
    LLVMValueRef x = LLVMBuildURem(e->b, of_row, across, "");
    int64_t last[2] = {(int64_t)((tiles[0] - 1) * GRADS),
                       (int64_t)((tiles[1] - 1) * GRADS)};
    return (struct tile_place){
        .row = LLVMBuildUDiv(e->b, tile, all, ""),
        .y = ix_uniform(LLVMBuildMul(e->b, y, side, ""), 0, last[0], 1, 0),
        .x = ix_uniform(LLVMBuildMul(e->b, x, side, ""), 0, last[1], 1, 0)};
}

// Transforms the tile in all blocks of the part.
static void each_block(struct winding *w, const struct tile_place *t,
                       const struct transformed *x) {
    struct emit *e = w->b.e;
    const struct view *v = x->v;
    int64_t lanes = (int64_t)e->lanes;
    size_t plane = layout_plane(e, v->layout, v->type);
    int64_t blocks = ((int64_t)v->type->dim[0] + lanes - 1) / lanes;
    LLVMValueRef first = w->b.first[x->axis];
    if (x->axis == 1) first = LLVMBuildUDiv(e->b, first, ll_i64(e, lanes), "");
    LLVMValueRef from = tile_at(w, t, x, first);
    LLVMValueRef left = LLVMBuildSub(e->b, ll_i64(e, blocks), first, "");
    LLVMValueRef count = ll_min(e, left, ll_i64(e, (int64_t)x->most));
    struct loop l = loop_begin(e, ll_i64(e, 0), count, 1, NULL, 0);
    LLVMValueRef way = LLVMBuildMul(e->b, l.i, ll_i64(e, (int64_t)plane), "");
    LLVMValueRef vector =
        LLVMBuildMul(e->b, l.i, ll_i64(e, (int64_t)w->b.plan.group), "");
    struct square s = {ll_at(e, e->f32, from, way), x->side,
                       layout_pitch_y(e, v->layout, v->type)};
    transform(w, &s, x->line, x->to, LLVMBuildAdd(e->b, vector, t->slot, ""));
    loop_end(e, &l, NULL);
}

static void each_place(struct winding *w, const struct transformed *x) {
    struct emit *e = w->b.e;
    struct loop l = loop_begin(e, ll_i64(e, 0), w->count, 1, NULL, 0);
    struct tile_place t = place_of(w, LLVMBuildAdd(e->b, w->first, l.i, ""));
    t.slot = l.i;
    each_block(w, &t, x);
    loop_end(e, &l, NULL);
}

static void emit_transforms(struct winding *w) {
    const struct batch_product *p = &w->b.plan;
    const int64_t *pads = p->dw.attrs.pads;
    struct transformed x = {.v = &w->b.dw.x,
                            .at = {-pads[0], -pads[1]},
                            .most = p->part[1] / w->b.e->lanes,
                            .axis = 1,
                            .side = POINTS,
                            .line = line_operands(GRADS),
                            .to = &w->operands};
    struct transformed d = {.v = &w->b.dw.d,
                            .most = p->part[0],
                            .axis = 0,
                            .side = GRADS,
                            .line = line_gradients,
                            .to = &w->gradients};
    each_place(w, &x);
    each_place(w, &d);
}

// ---- products ------------------------------------------------------------------------

static LLVMValueRef plane_of(struct winding *w, const struct planes *p) {
    struct emit *e = w->b.e;
    return ll_at_ix(e, e->f32, p->at, ix_scale(e, w->plane, (int64_t)p->floats));
}

struct corner { // of a tile of sums, from the part's first vector and line
    LLVMValueRef vector, line;
};

static struct corner corner_of(const struct batch *b, const struct tile *t) {
    struct emit *e = b->e;
    LLVMValueRef vector =
        LLVMBuildUDiv(e->b, ix_value(e, &t->at[0]), ll_i64(e, (int64_t)e->lanes), "");
    return (struct corner){LLVMBuildSub(e->b, vector, b->first[0], ""),
                           LLVMBuildSub(e->b, ix_value(e, &t->at[1]), b->first[1], "")};
}

// Its first sum, of the plane that begins at `plane`.
static LLVMValueRef sums_at(const struct batch *b, struct corner c, LLVMValueRef plane) {
    struct emit *e = b->e;
    LLVMValueRef at =
        LLVMBuildMul(e->b, c.vector, ll_i64(e, (int64_t)b->plan.part[1]), "");
    at = LLVMBuildAdd(e->b, at, c.line, "");
    return ll_settled(e, ll_at(e, ll_vec(e->f32, e->lanes), plane, at));
}

// Its first operand, of the group's first tile.
static LLVMValueRef operand_at(struct winding *w, struct corner c) {
    struct emit *e = w->b.e;
    LLVMValueRef lanes = ll_i64(e, (int64_t)e->lanes);
    LLVMValueRef block = LLVMBuildUDiv(e->b, c.line, lanes, "");
    LLVMValueRef at =
        LLVMBuildMul(e->b, block, ll_i64(e, (int64_t)(w->b.plan.group * e->lanes)), "");
    at = LLVMBuildAdd(e->b, at, LLVMBuildURem(e->b, c.line, lanes, ""), "");
    return ll_settled(e, ll_at(e, e->f32, plane_of(w, &w->operands), at));
}

static LLVMValueRef gradient_at(struct winding *w, struct corner c) {
    struct emit *e = w->b.e;
    LLVMValueRef at =
        LLVMBuildMul(e->b, c.vector, ll_i64(e, (int64_t)w->b.plan.group), "");
    return ll_settled(e,
                      ll_at(e, ll_vec(e->f32, e->lanes), plane_of(w, &w->gradients), at));
}

static size_t sum_place(const struct batch *b, const struct tile *t, size_t i) {
    return (i % t->size[0] * b->plan.part[1] + i / t->size[0]) * b->e->lanes;
}

static void emit_product(struct batch *b, struct tile *t) {
    struct winding *w = (struct winding *)b;
    struct emit *e = b->e;
    struct corner c = corner_of(b, t);
    size_t vectors = t->size[0], n = vectors * t->size[1], lanes = e->lanes;
    LLVMValueRef sums[LOOP_MAX_CARRIED], d[2];
    CHECK(n <= COUNT(sums) && vectors <= COUNT(d));
    LLVMValueRef at = sums_at(b, c, plane_of(w, &w->sums));
    LLVMValueRef x = operand_at(w, c), y = gradient_at(w, c);
    for (size_t i = 0; i < n; i++) sums[i] = load_at(w, at, sum_place(b, t, i));
    struct loop l = loop_begin(e, ll_i64(e, 0), w->count, 1, sums, n);
    LLVMValueRef way = LLVMBuildMul(e->b, l.i, ll_i64(e, (int64_t)lanes), "");
    LLVMValueRef from = ll_at(e, e->f32, y, way), elements = ll_at(e, e->f32, x, way);
    for (size_t v = 0; v < vectors; v++)
        d[v] = load_at(w, from, v * b->plan.group * lanes);
    for (size_t i = 0; i < t->size[1]; i++) {
        LLVMValueRef one = ll_at_const(e, e->f32, elements, (int64_t)i);
        one = ll_splat(e, ll_load(e, e->f32, one, 4), lanes);
        for (size_t v = 0; v < vectors; v++)
            l.carried[i * vectors + v] =
                ll_mul_add(e, one, d[v], l.carried[i * vectors + v]);
    }
    loop_end(e, &l, l.carried);
    for (size_t i = 0; i < n; i++)
        ll_store(e, l.carried[i], ll_at_const(e, e->f32, at, (int64_t)sum_place(b, t, i)),
                 4 * lanes);
}

// Asks for a share of what the next group is of: lines of the cache in the order they
// lie, as processors see coming what is far away, while there are products to compute. Of
// groups that are whole rows.
static void ask_ahead(struct winding *w, const struct view *v, int axis, size_t blocks) {
    struct emit *e = w->b.e;
    const struct batch_product *p = &w->b.plan;
    size_t of_row = p->tiles[0] * p->tiles[1], rows = p->group / of_row;
    size_t floats = layout_plane(e, v->layout, v->type),
           line = CACHE_LINE / sizeof(float);
    size_t lines = floats * blocks / line, share = rows * lines / BATCH_PLANES + 1;
    if (p->group % of_row || !lines) return;
    LLVMValueRef first = w->b.first[axis], all = ll_i64(e, (int64_t)lines);
    int64_t each = (int64_t)(axis ? floats / e->lanes : floats);
    LLVMValueRef from =
        ll_at(e, e->f32, v->row, LLVMBuildMul(e->b, first, ll_i64(e, each), ""));
    LLVMValueRef row = LLVMBuildUDiv(e->b, w->first, ll_i64(e, (int64_t)of_row), "");
    row = LLVMBuildAdd(e->b, row, ll_i64(e, (int64_t)rows), "");
    struct ix i, at = ix_scale(e, w->plane, (int64_t)share);
    struct loop l = loop_over(e, 0, (int64_t)share, 1, NULL, 0, &i);
    at = ix_add(e, at, i);
    LLVMValueRef nth = ix_value(e, &at),
                 last = LLVMBuildSub(e->b, w->rows, ll_i64(e, 1), "");
    LLVMValueRef here = LLVMBuildAdd(e->b, row, LLVMBuildUDiv(e->b, nth, all, ""), "");
    here = LLVMBuildMul(e->b, ll_min(e, here, last), ll_i64(e, (int64_t)v->layout->bytes),
                        "");
    LLVMValueRef way = LLVMBuildURem(e->b, nth, all, "");
    way = LLVMBuildMul(e->b, way, ll_i64(e, CACHE_LINE), "");
    ll_fetch(e, ll_at(e, e->i8, from, LLVMBuildAdd(e->b, here, way, "")));
    loop_end(e, &l, NULL);
}

static void emit_products(struct winding *w) {
    struct emit *e = w->b.e;
    const struct batch_product *p = &w->b.plan;
    const size_t *tile = p->tile;
    size_t blocks = (p->down + e->lanes - 1) / e->lanes;
    struct loop l = loop_over(e, 0, (int64_t)BATCH_PLANES, 1, NULL, 0, &w->plane);
    ask_ahead(w, &w->b.dw.x, 1, size_min(p->part[1] / e->lanes, blocks));
    ask_ahead(w, &w->b.dw.d, 0, size_min(p->part[0], p->across));
    each_batch_tile(&w->b, tile[0], tile[1], emit_product);
    loop_end(e, &l, NULL);
}

// ---- results -------------------------------------------------------------------------

static void emit_taps(struct batch *b, struct tile *t) {
    struct winding *w = (struct winding *)b;
    struct emit *e = b->e;
    LLVMValueRef in[WINOGRAD_MOST], out[TAPS], half[TAPS * WINOGRAD_MOST];
    LLVMValueRef at = sums_at(b, corner_of(b, t), w->sums.at);
    struct dw_at place = {.out = t->at[0], .in = t->at[1], .ky = ix_const(e, 0)};
    struct point p[TAPS * TAPS];
    struct view to = view_out(e, 0);
    for (size_t x = 0; x < POINTS; x++) {
        for (size_t y = 0; y < POINTS; y++)
            in[y] = load_at(w, at, (y * POINTS + x) * w->sums.floats);
        line_taps(e, in, out);
        for (size_t y = 0; y < TAPS; y++) half[y * POINTS + x] = out[y];
    }
    place.kx = place.ky;
    place.blocks = place.channels = 1;
    place.rows = place.columns = TAPS;
    dw_points(&b->dw, &place, p);
    for (size_t y = 0; y < TAPS; y++) {
        line_taps(e, half + y * POINTS, out);
        for (size_t x = 0; x < TAPS; x++) emit_store(e, &to, &p[y * TAPS + x], out[x]);
    }
}

void emit_batch_winograd(struct batch *b) {
    struct emit *e = b->e;
    const struct batch_product *p = &b->plan;
    struct winding w = {.b = *b};
    LLVMValueRef at = b->work, tiles = ll_i64(e, (int64_t)(p->tiles[0] * p->tiles[1]));
    w.sums = planes_at(&w, &at, p->part[0] * p->part[1]);
    w.operands = planes_at(&w, &at, p->part[1] / e->lanes * p->group);
    w.gradients = planes_at(&w, &at, p->part[0] * p->group);
    batch_clear(b, BATCH_PLANES * w.sums.floats / e->lanes);
    w.rows = LLVMGetParam(e->fn, 1);
    LLVMValueRef all = LLVMBuildMul(e->b, w.rows, tiles, "");
    LLVMValueRef group = ll_i64(e, (int64_t)p->group);
    struct loop l = loop_begin(e, ll_i64(e, 0), all, (int64_t)p->group, NULL, 0);
    w.first = l.i;
    w.count = ll_min(e, LLVMBuildSub(e->b, all, l.i, ""), group);
    emit_transforms(&w);
    emit_products(&w);
    loop_end(e, &l, NULL);
    each_batch_tile(&w.b, 1, 1, emit_taps);
}
