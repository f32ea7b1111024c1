// Direct convolution, conv and conv_dx alike (see conv_plan.h).
//
// A tile of sums, some blocks of result channels times some pixels of one line, stays in
// registers while a loop runs over the operand's channels; in it, the kernel's rows and
// columns are written out. Each operand word (words.h) is spread over a register once and
// used for all the columns of the kernel that need it. Depthwise convolutions are the
// same with whole vectors of the operand in place of spread elements, and no loop over
// channels.
//
// Rows are the outermost loop, or, where weights are more than a row, the next one inside
// that over blocks of channels: as many rows as stay in cache meet a block's weights
// together.
#include "codegen/conv_plan.h"
#include "codegen/emit.h"

#define MAX_WRITTEN_OUT 700 // multiply-adds in a round of the channel loop
#define SHORT_ROUND     48  // below it rounds are joined

struct conv {
    struct emit *e;
    struct conv_plan plan;
    struct view x;
    LLVMValueRef weights; // of the class at hand
    struct side side[2];
    struct tile tile;        // of the group of blocks at hand
    LLVMTypeRef word;        // of the operand (words.h)
    LLVMTypeRef vec, vec_w;  // of results, of a vector's worth of weights
    int64_t pitch[2], plane; // words
    int64_t low;             // column of the leftmost tap, from that of the first (<= 0)
    LLVMValueRef first, end; // rows that are joined; NULL: the row at hand
    bool far;                // the weights are more than a cache near by holds
};

struct tile_at {                 // one tile of results
    struct ix channel, y, x;     // first channel; line; first pixel
    LLVMValueRef weights, first; // packed weights; the operand's first word they are for
    size_t blocks, pixels;
};

// ---- one kernel row ------------------------------------------------------------------

static int64_t tap_column(const struct conv *c, int64_t tap) {
    return tap * c->side[1].at_step - c->low;
}

static LLVMValueRef load_x(struct conv *c, LLVMValueRef at, int64_t column) {
    struct emit *e = c->e;
    LLVMValueRef from = ll_at_const(e, e->f32, at, column * c->pitch[1]);
    if (c->plan.depthwise) return ll_load(e, c->vec, from, 4 * e->lanes);
    LLVMValueRef word = ll_load(e, c->word, from, 4);
    return LLVMBuildBitCast(e->b, ll_splat(e, word, e->lanes), c->vec_w, "");
}

static LLVMValueRef load_w(struct conv *c, LLVMValueRef at, size_t vector) {
    struct emit *e = c->e;
    LLVMValueRef from = ll_at_const(e, e->f32, at, (int64_t)(vector * e->lanes));
    return ll_load(e, c->vec_w, from, 4 * e->lanes);
}

static void add_product(struct conv *c, LLVMValueRef *sum, LLVMValueRef w,
                        LLVMValueRef x) {
    *sum = c->plan.step == 2 ? ll_mul_add_pairs(c->e, w, x, *sum)
                             : ll_mul_add(c->e, w, x, *sum);
}

// All weights of the row first; then each operand column for all that need it.
static void row_live(struct conv *c, const struct tile_at *t, LLVMValueRef x,
                     LLVMValueRef w, LLVMValueRef *sums) {
    LLVMValueRef live[LOOP_MAX_CARRIED];
    int64_t taps = c->side[1].taps, in_step = c->side[1].in_step, last = 0;
    CHECK(taps * (int64_t)t->blocks <= LOOP_MAX_CARRIED);
    for (size_t i = 0; i < (size_t)taps * t->blocks; i++) live[i] = load_w(c, w, i);
    for (int64_t tap = 0; tap < taps; tap++)
        if (tap_column(c, tap) > last) last = tap_column(c, tap);
    last += ((int64_t)t->pixels - 1) * in_step;
    for (int64_t column = 0; column <= last; column++) {
        LLVMValueRef v = NULL;
        for (int64_t tap = 0; tap < taps; tap++) {
            int64_t way = column - tap_column(c, tap);
            if (way < 0 || way % in_step || way / in_step >= (int64_t)t->pixels) continue;
            if (!v) v = load_x(c, x, column);
            for (size_t b = 0; b < t->blocks; b++)
                add_product(c, &sums[b * t->pixels + (size_t)(way / in_step)],
                            live[(size_t)tap * t->blocks + b], v);
        }
    }
}

// One kernel column: x and w are its first operand element and weights.
static void one_tap(struct conv *c, const struct tile_at *t, LLVMValueRef x,
                    LLVMValueRef w, LLVMValueRef *sums) {
    LLVMValueRef live[8];
    CHECK(t->blocks <= COUNT(live));
    for (size_t b = 0; b < t->blocks; b++) live[b] = load_w(c, w, b);
    for (size_t p = 0; p < t->pixels; p++) {
        LLVMValueRef v = load_x(c, x, (int64_t)p * c->side[1].in_step);
        for (size_t b = 0; b < t->blocks; b++)
            add_product(c, &sums[b * t->pixels + p], live[b], v);
    }
}

static void tap_by_tap(struct conv *c, const struct tile_at *t, LLVMValueRef x,
                       LLVMValueRef w, LLVMValueRef *sums) {
    struct emit *e = c->e;
    size_t n = t->blocks * t->pixels;
    int64_t taps = c->side[1].taps, words = (int64_t)(t->blocks * e->lanes);
    int64_t way = c->side[1].at_step * c->pitch[1];
    x = ll_at_const(e, e->f32, x, -c->low * c->pitch[1]); // of the first tap
    if (taps * (int64_t)n <= MAX_WRITTEN_OUT) {
        for (int64_t i = 0; i < taps; i++)
            one_tap(c, t, ll_at_const(e, e->f32, x, i * way),
                    ll_at_const(e, e->f32, w, i * words), sums);
        return;
    }
    struct ix i;
    struct loop l = loop_over(e, 0, taps, 1, sums, n, &i);
    one_tap(c, t, ll_at_ix(e, e->f32, x, ix_scale(e, i, way)),
            ll_at_ix(e, e->f32, w, ix_scale(e, i, words)), l.carried);
    loop_end(e, &l, l.carried);
    memcpy(sums, l.carried, n * sizeof *sums);
}

static void kernel_row(struct conv *c, const struct tile_at *t, LLVMValueRef x,
                       LLVMValueRef w, LLVMValueRef *sums) {
    if (c->tile.row_live) row_live(c, t, x, w, sums);
    else tap_by_tap(c, t, x, w, sums);
}

// Words of one row's weights.
static int64_t row_words(const struct conv *c, const struct tile_at *t) {
    return c->side[1].taps * (int64_t)(t->blocks * c->e->lanes);
}

// x: the operand's word of the first tap, w: the weights of such a word.
static void kernel_rows(struct conv *c, const struct tile_at *t, LLVMValueRef x,
                        LLVMValueRef w, LLVMValueRef *sums) {
    struct emit *e = c->e;
    int64_t rows = c->side[0].taps, way = c->side[0].at_step * c->pitch[0];
    size_t n = t->blocks * t->pixels;
    if (rows * c->side[1].taps * (int64_t)n <= MAX_WRITTEN_OUT) {
        for (int64_t i = 0; i < rows; i++)
            kernel_row(c, t, ll_at_const(e, e->f32, x, i * way),
                       ll_at_const(e, e->f32, w, i * row_words(c, t)), sums);
        return;
    }
    struct ix i;
    struct loop l = loop_over(e, 0, rows, 1, sums, n, &i);
    kernel_row(c, t, ll_at_ix(e, e->f32, x, ix_scale(e, i, way)),
               ll_at_ix(e, e->f32, w, ix_scale(e, i, row_words(c, t))), l.carried);
    loop_end(e, &l, l.carried);
    memcpy(sums, l.carried, n * sizeof *sums);
}

// ---- all of the operand --------------------------------------------------------------

// Where the operand's words of this number begin, from the row's first.
static LLVMValueRef word_place(struct conv *c, LLVMValueRef word) {
    struct emit *e = c->e;
    int64_t known;
    if (c->x.layout->kind == LAYOUT_PLANAR)
        return LLVMBuildMul(e->b, word, ll_i64(e, c->plane), "");
    LLVMValueRef lanes = ll_i64(e, c->pitch[1]);
    LLVMValueRef block = LLVMBuildUDiv(e->b, word, lanes, "");
    LLVMValueRef lane = LLVMBuildURem(e->b, word, lanes, "");
    LLVMValueRef at = LLVMBuildMul(e->b, block, ll_i64(e, c->plane), "");
    return ll_const(lane, &known) && known == 0 ? at : LLVMBuildAdd(e->b, at, lane, "");
}

// Words of one round: enough to make it worth while, and of one block.
static int64_t joined_words(const struct conv *c, const struct tile_at *t) {
    int64_t work = c->side[0].taps * c->side[1].taps * (int64_t)(t->blocks * t->pixels);
    int64_t n = 1, span = (int64_t)conv_span(&c->plan, t->blocks);
    if (c->plan.groups > 1) return 1;
    while (n < 4 && work * n < SHORT_ROUND && span % (2 * n) == 0) n *= 2;
    return n;
}

// Weights of the next group come from far when all are more than stays near by: they are
// asked for while the tiles of this one are computed, some in each round (of `joined`
// words). Else the first tile of a group would wait for all of its own.
static void fetch_ahead(struct conv *c, const struct tile_at *t, struct ix i,
                        int64_t joined, int64_t words) {
    struct emit *e = c->e;
    int64_t pixels = (int64_t)c->tile.pixels, across = c->side[1].outs / pixels;
    int64_t tiles = across * c->side[0].outs;
    int64_t span = (int64_t)conv_span(&c->plan, t->blocks);
    if (!c->far || tiles < 2) return;
    int64_t line = CACHE_LINE / sizeof(float), step = (words + tiles - 1) / tiles;
    struct ix at = ix_scale(e, t->y, across * span * step);
    at = ix_add(e, at, ix_scale(e, ix_div(e, t->x, pixels), span * step));
    at = ix_shift(e, ix_add(e, at, ix_scale(e, i, step)), span * words);
    for (int64_t way = 0; way < joined * step; way += line)
        ll_fetch(e, ll_at_ix(e, e->f32, t->weights, ix_shift(e, at, way)));
}

static void sum_words(struct conv *c, const struct tile_at *t, LLVMValueRef x,
                      LLVMValueRef *sums) {
    struct emit *e = c->e;
    size_t n = t->blocks * t->pixels;
    int64_t span = (int64_t)conv_span(&c->plan, t->blocks);
    int64_t joined = joined_words(c, t), words = c->side[0].taps * row_words(c, t);
    int64_t apart = c->x.layout->kind == LAYOUT_PLANAR ? c->plane : 1;
    struct ix i;
    struct loop l = loop_over(e, 0, span, joined, sums, n, &i);
    LLVMValueRef word = ix_value(e, &i);
    if (c->plan.groups > 1) word = LLVMBuildAdd(e->b, word, t->first, "");
    LLVMValueRef at = ll_at(e, e->f32, x, word_place(c, word));
    LLVMValueRef w = ll_at_ix(e, e->f32, t->weights, ix_scale(e, i, words));
    fetch_ahead(c, t, i, joined, words);
    for (int64_t k = 0; k < joined; k++)
        kernel_rows(c, t, ll_at_const(e, e->f32, at, k * apart),
                    ll_at_const(e, e->f32, w, k * words), l.carried);
    loop_end(e, &l, l.carried);
    memcpy(sums, l.carried, n * sizeof *sums);
}

// The operand's word that the first tap in memory of the tile's first result reads, in
// channel 0 (depthwise: in the tile's own channels).
static LLVMValueRef first_word_at(struct conv *c, const struct tile_at *t) {
    struct emit *e = c->e;
    struct ix place[2] = {t->y, t->x}, sum = ix_const(e, 0);
    int64_t border = (int64_t)c->x.layout->border;
    for (int a = 0; a < 2; a++) {
        struct ix at = ix_scale(e, place[a], c->side[a].in_step);
        int64_t low = a == 1 ? c->low : 0; // rows are taken tap by tap
        at = ix_shift(e, at, border + c->side[a].at + low);
        sum = ix_add(e, sum, ix_scale(e, at, c->pitch[a]));
    }
    if (c->plan.depthwise)
        sum = ix_add(e, sum, ix_scale(e, t->channel, c->plane / (int64_t)e->lanes));
    return ll_at_ix(e, e->f32, c->x.row, sum);
}

// Where the tile's results lie, block by block.
static void tile_points(struct conv *c, const struct tile_at *t, struct point *p) {
    struct emit *e = c->e;
    for (size_t b = 0; b < t->blocks; b++) {
        struct ix channel = ix_shift(e, t->channel, (int64_t)(b * e->lanes));
        struct point q = channel_point(e, channel, c->plan.out->dim[0], 3);
        q.at[1] = ix_shift(e, ix_scale(e, t->y, c->side[0].out_step), c->side[0].out);
        for (size_t i = 0; i < t->pixels; i++) {
            struct ix x = ix_shift(e, t->x, (int64_t)i);
            q.at[2] = ix_shift(e, ix_scale(e, x, c->side[1].out_step), c->side[1].out);
            p[b * t->pixels + i] = q;
        }
    }
}

static void ask_ahead(struct conv *c, const struct tile_at *t) {
    struct point p[LOOP_MAX_CARRIED];
    tile_points(c, t, p);
    emit_ask_results(c->e, p, t->blocks * t->pixels);
}

static void store_tile(struct conv *c, const struct tile_at *t,
                       const LLVMValueRef *sums) {
    struct point p[LOOP_MAX_CARRIED];
    tile_points(c, t, p);
    emit_results(c->e, p, sums, t->blocks * t->pixels);
}

static void emit_tile(struct conv *c, const struct tile_at *t) {
    LLVMValueRef sums[LOOP_MAX_CARRIED];
    CHECK(t->blocks * t->pixels <= COUNT(sums));
    for (size_t i = 0; i < t->blocks * t->pixels; i++) sums[i] = ll_zero(c->vec);
    ask_ahead(c, t);
    if (c->side[0].taps && c->side[1].taps) {
        LLVMValueRef x = first_word_at(c, t);
        if (c->plan.depthwise) kernel_rows(c, t, x, t->weights, sums);
        else sum_words(c, t, x, sums);
    }
    store_tile(c, t, sums);
}

// ---- all tiles of a class ------------------------------------------------------------

static void emit_line(struct conv *c, struct tile_at *t) {
    struct emit *e = c->e;
    int64_t pixels = (int64_t)c->tile.pixels, n = c->side[1].outs;
    int64_t whole = n / pixels * pixels;
    t->pixels = c->tile.pixels;
    struct loop l = loop_over(e, 0, whole, pixels, NULL, 0, &t->x);
    emit_tile(c, t);
    loop_end(e, &l, NULL);
    if (whole == n) return;
    t->pixels = (size_t)(n - whole);
    t->x = ix_const(e, whole);
    emit_tile(c, t);
}

static void emit_lines(struct conv *c, struct tile_at *t) {
    struct loop l = loop_over(c->e, 0, c->side[0].outs, 1, NULL, 0, &t->y);
    emit_line(c, t);
    loop_end(c->e, &l, NULL);
}

static void emit_joined(struct conv *c, struct tile_at *t) {
    struct emit *e = c->e;
    struct loop l = loop_begin(e, c->first, c->end, 1, NULL, 0);
    emit_row(e, l.i);
    c->x = anchor_operand(e);
    emit_hoisted(e, e->k->outs, e->k->nouts);
    emit_lines(c, t);
    loop_end(e, &l, NULL);
}

// conv_first at run time.
static LLVMValueRef first_word(struct conv *c, const struct tile_at *t) {
    struct emit *e = c->e;
    int64_t in_per = (int64_t)c->plan.in_per, out_per = (int64_t)c->plan.out_per;
    int64_t most = (int64_t)(c->plan.words - conv_span(&c->plan, t->blocks));
    struct ix first = ix_scale(e, ix_div(e, t->channel, out_per), in_per);
    return ll_min(e, ix_value(e, &first), ll_i64(e, most));
}

// Blocks of results [from, to), `blocks` at a time.
static void emit_blocks(struct conv *c, size_t from, size_t to, size_t blocks) {
    struct emit *e = c->e;
    int64_t lanes = (int64_t)e->lanes, taps = c->side[0].taps * c->side[1].taps;
    size_t span = c->plan.depthwise ? 1 : conv_span(&c->plan, blocks);
    struct tile_at t = {.blocks = blocks};
    struct loop l = loop_over(e, (int64_t)from * lanes, (int64_t)to * lanes,
                              (int64_t)blocks * lanes, NULL, 0, &t.channel);
    struct ix words = ix_scale(e, t.channel, (int64_t)span * taps);
    t.weights = ll_at_ix(e, e->f32, c->weights, words);
    if (c->plan.groups > 1 && !c->plan.depthwise) t.first = first_word(c, &t);
    if (c->first) emit_joined(c, &t);
    else emit_lines(c, &t);
    loop_end(e, &l, NULL);
}

static void emit_class(struct conv *c) {
    struct emit *e = c->e;
    size_t all = conv_blocks(&c->plan), blocks = c->tile.blocks;
    size_t whole = all / blocks * blocks;
    int64_t taps = c->side[0].taps * c->side[1].taps;
    emit_blocks(c, 0, whole, blocks);
    if (whole == all) return;
    // The last tile's weights follow those of the whole ones, however wide these are.
    size_t rest = all - whole, span = conv_span(&c->plan, blocks);
    int64_t ahead =
        (int64_t)(span - conv_span(&c->plan, rest)) * taps * (int64_t)(whole * e->lanes);
    LLVMValueRef weights = c->weights;
    c->weights = ll_at_const(e, e->f32, weights, ahead);
    emit_blocks(c, whole, all, rest);
    c->weights = weights;
}

static struct conv conv_of(struct emit *e) {
    const struct node *n = node_at(e->f, e->k->anchor);
    struct conv c = {.e = e,
                     .plan = conv_plan_of(e->t, e->kf, e->k),
                     .x = anchor_operand(e),
                     .vec = ll_vec(e->f32, e->lanes)};
    c.weights = view_in(e, n->in[1]).row;
    size_t step = c.plan.step;
    c.word = step == 2 ? e->i32 : e->f32;
    c.vec_w = ll_words(e, step);
    c.pitch[0] = (int64_t)(layout_pitch_y(e, c.x.layout, c.x.type) / step);
    c.pitch[1] = (int64_t)(layout_pitch_x(e, c.x.layout) / step);
    c.plane = (int64_t)(layout_plane(e, c.x.layout, c.x.type) / step);
    c.far = conv_pack_words(&c.plan) * sizeof(float) > e->t->l2 / 4;
    return c;
}

static void emit_classes(struct conv *c) {
    struct emit *e = c->e;
    for (size_t y = 0; y < c->plan.classes[0]; y++)
        for (size_t x = 0; x < c->plan.classes[1]; x++) {
            if (!conv_class(&c->plan, y, x, c->side)) continue;
            const struct side *s = &c->side[1];
            int64_t way = s->taps ? (s->taps - 1) * s->at_step : 0;
            c->low = way < 0 ? way : 0;
            c->tile = conv_tile(&c->plan, c->side);
            emit_class(c);
            size_t words = conv_class_words(&c->plan, c->side);
            c->weights = ll_at_const(e, e->f32, c->weights, (int64_t)words);
        }
}

void emit_conv(struct emit *e) {
    struct conv c = conv_of(e);
    emit_classes(&c);
}

// Rows whose operands take half of the cache, for blocks of weights to share the rest.
static int64_t rows_joined(const struct conv *c) {
    size_t bytes = c->x.layout->bytes, half = c->e->t->l2 / 2;
    return bytes && bytes < half ? (int64_t)(half / bytes) : 1;
}

static void clear_borders(struct conv *c) {
    struct emit *e = c->e;
    struct loop l = loop_begin(e, c->first, c->end, 1, NULL, 0);
    emit_row(e, l.i);
    for (size_t i = 0; i < e->k->nouts; i++) {
        struct view to = view_out(e, i);
        emit_zero_border(e, &to);
    }
    loop_end(e, &l, NULL);
}

void emit_conv_joined(struct emit *e) {
    emit_row(e, ll_i64(e, 0)); // for the constants
    struct conv c = conv_of(e);
    LLVMValueRef n = LLVMGetParam(e->fn, 1);
    int64_t rows = rows_joined(&c);
    struct loop l = loop_begin(e, ll_i64(e, 0), n, rows, NULL, 0);
    c.first = l.i;
    c.end = ll_min(e, LLVMBuildAdd(e->b, l.i, ll_i64(e, rows), ""), n);
    emit_classes(&c);
    clear_borders(&c);
    loop_end(e, &l, NULL);
}
