// Weight gradients of a row, stored (conv_dw) or only their squares summed
// (conv_dw_sqnorm).
//
// A tile of sums is some blocks of output channels (lanes) times some kernel rows of some
// input channels, times the kernel's columns; a loop over all output pixels adds d times
// the spread operand element. A few pixels of a line are taken together, so that an
// element is spread once for all the columns that need it. With groups, lanes of one
// vector may belong to different groups and the operand is loaded lane by lane.
#include "codegen/emit.h"

#define MAX_PIXELS 8

struct dw_tile {
    size_t blocks;   // of output channels
    size_t channels; // input channels
    size_t rows;     // kernel rows: one or all
    size_t columns;  // kernel columns
    size_t pixels;   // taken together
};

struct dw {
    struct emit *e;
    const struct node *n;
    struct view x, d;
    struct conv_attrs attrs;
    size_t outs, ins; // output channels; input channels of a group
    size_t kernel[2]; // height, width
    bool square;
    struct dw_tile tile;
    LLVMValueRef total; // sum of squares so far
};

struct dw_at {                 // one tile
    struct ix out, in, ky, kx; // first output channel, input channel, kernel row, column
    size_t blocks, channels, rows, columns;
    LLVMValueRef x, d;           // what they meet first at pixel (0, 0)
    struct ix y, left;           // the pixels at hand: line, leftmost
    LLVMValueRef x_here, d_here; // what they meet there
};

static size_t sums_of(const struct dw_at *t) {
    return t->blocks * t->channels * t->rows * t->columns;
}

// ---- the tile's size ------------------------------------------------------------------

// Distinct operand columns that `pixels` pixels and `columns` taps read.
static size_t distinct(const struct dw *w, size_t pixels, size_t columns) {
    size_t stride = (size_t)w->attrs.strides[1], dilation = (size_t)w->attrs.dilations[1];
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
static double lines(const struct dw *w, const struct dw_tile *t) {
    double x = (double)(t->pixels * (size_t)w->attrs.strides[1]);
    if (t->rows > 1) x *= (double)w->attrs.strides[0];
    if (w->x.layout->kind == LAYOUT_PLANAR)
        x *= (double)t->channels / (double)w->e->lanes;
    return x + (double)(t->blocks * t->pixels);
}

// Cycles a multiply-add takes: two of them and two loads fit into one, four pass from one
// to the next on the same sum. The shares of loads and lines are as measured.
static double cycles_each(const struct dw *w, const struct dw_tile *t) {
    double each = (double)(t->channels * t->rows);
    double work = (double)(t->blocks * t->columns * t->pixels) * each;
    double loads = (double)(t->blocks * t->pixels) +
                   each * (double)distinct(w, t->pixels, t->columns);
    double cycles = work > loads ? work / 2 : loads / 2, wait = 4.0 * (double)t->pixels;
    return ((cycles > wait ? cycles : wait) + loads / 20 + lines(w, t) / 2) / work;
}

// The share of the work left over when n is cut into pieces of m, which run half as fast.
static double waste(size_t n, size_t m) {
    return 1 + (double)(n % m) / (double)n;
}

static bool dw_fits(const struct dw *w, const struct dw_tile *t) {
    size_t sums = t->blocks * t->channels * t->rows * t->columns;
    return sums + t->blocks * t->pixels + 1 < w->e->t->registers &&
           sums < LOOP_MAX_CARRIED;
}

// Input channels taken together must lie in one block of the operand.
static bool channels_ok(const struct dw *w, size_t n) {
    if (w->attrs.groups > 1) return n == 1;
    bool together = w->x.layout->kind == LAYOUT_PLANAR || w->e->lanes % n == 0 ||
                    w->ins <= w->e->lanes;
    return n <= w->ins && together;
}

static void consider(const struct dw *w, struct dw_tile t, struct dw_tile *best,
                     double *least) {
    size_t blocks = (w->outs + w->e->lanes - 1) / w->e->lanes;
    size_t width = w->d.type->dim[2];
    if (!dw_fits(w, &t)) return;
    double cycles = cycles_each(w, &t) * waste(blocks, t.blocks) *
                    waste(w->ins, t.channels) * waste(width, t.pixels) *
                    waste(w->kernel[1], t.columns);
    if (*least > 0 && cycles >= *least) return;
    *least = cycles;
    *best = t;
}

static struct dw_tile dw_tile_of(const struct dw *w) {
    struct dw_tile best = {1, 1, 1, 1, 1};
    double least = 0;
    size_t blocks = (w->outs + w->e->lanes - 1) / w->e->lanes;
    size_t most = w->attrs.groups > 1 ? 1 : size_min(blocks, 4);
    size_t pixels = size_min(MAX_PIXELS, w->d.type->dim[2]);
    size_t columns = size_min(w->kernel[1], w->e->t->registers / 2);
    for (size_t b = 1; b <= most; b++)
        for (size_t c = 1; c <= 16; c++)
            for (size_t p = 1; channels_ok(w, c) && p <= pixels; p++) {
                consider(w, (struct dw_tile){b, c, w->kernel[0], columns, p}, &best,
                         &least);
                consider(w, (struct dw_tile){b, c, 1, columns, p}, &best, &least);
            }
    return best;
}

// ---- pixels ---------------------------------------------------------------------------

// Where the first channels of a stored value lie, from the row's start.
static struct ix channel_start(struct emit *e, const struct view *v, struct ix c) {
    int64_t plane = (int64_t)layout_plane(e, v->layout, v->type);
    if (v->layout->kind == LAYOUT_PLANAR) return ix_scale(e, c, plane);
    struct ix block = ix_scale(e, ix_div(e, c, (int64_t)e->lanes), plane);
    return ix_add(e, block, ix_mod(e, c, (int64_t)e->lanes));
}

static struct ix pixel_way(struct emit *e, const struct view *v, struct ix y,
                           struct ix x) {
    return ix_add(e, ix_scale(e, y, (int64_t)layout_pitch_y(e, v->layout, v->type)),
                  ix_scale(e, x, (int64_t)layout_pitch_x(e, v->layout)));
}

static void find_tile(struct dw *w, struct dw_at *t) {
    struct emit *e = w->e;
    int64_t dilation = w->attrs.dilations[0], border = (int64_t)w->x.layout->border;
    struct ix y = ix_shift(e, ix_scale(e, t->ky, dilation), border - w->attrs.pads[0]);
    struct ix x = ix_scale(e, t->kx, w->attrs.dilations[1]);
    x = ix_shift(e, x, border - w->attrs.pads[1]);
    struct ix at = ix_add(e, channel_start(e, &w->x, t->in), pixel_way(e, &w->x, y, x));
    t->x = ll_settled(e, ll_at_ix(e, e->f32, w->x.row, at));
    struct ix corner = ix_const(e, (int64_t)w->d.layout->border);
    at = ix_add(e, channel_start(e, &w->d, t->out), pixel_way(e, &w->d, corner, corner));
    t->d = ll_settled(e, ll_at_ix(e, e->f32, w->d.row, at));
}

// The vector of d of a block, `right` pixels from the leftmost.
static LLVMValueRef load_d(struct dw *w, const struct dw_at *t, size_t block,
                           size_t right) {
    struct emit *e = w->e;
    if (w->d.layout->kind == LAYOUT_PLANAR) {
        struct ix out = ix_shift(e, t->out, (int64_t)(block * e->lanes));
        struct point p = channel_point(e, out, w->outs, 3);
        p.at[1] = t->y;
        p.at[2] = ix_shift(e, t->left, (int64_t)right);
        return emit_load(e, &w->d, &p);
    }
    int64_t plane = (int64_t)layout_plane(e, w->d.layout, w->d.type);
    int64_t pitch = (int64_t)layout_pitch_x(e, w->d.layout);
    int64_t way = (int64_t)block * plane + (int64_t)right * pitch;
    return ll_load(e, ll_vec(e->f32, e->lanes), ll_at_const(e, e->f32, t->d_here, way),
                   4 * e->lanes);
}

// With groups, each lane reads the channel of its own group.
static LLVMValueRef load_by_group(struct dw *w, const struct dw_at *t, size_t row,
                                  int64_t column) {
    struct emit *e = w->e;
    struct point p = channel_point(e, t->out, w->outs, 3);
    struct ix group = ix_div(e, p.at[0], (int64_t)w->outs / w->attrs.groups);
    p.at[0] = ix_add(e, ix_scale(e, group, (int64_t)w->ins), t->in);
    struct ix y = ix_add(e, ix_scale(e, t->y, w->attrs.strides[0]),
                         ix_scale(e, t->ky, w->attrs.dilations[0]));
    struct ix x = ix_add(e, ix_scale(e, t->left, w->attrs.strides[1]),
                         ix_scale(e, t->kx, w->attrs.dilations[1]));
    p.at[1] = ix_shift(e, y, (int64_t)row * w->attrs.dilations[0] - w->attrs.pads[0]);
    p.at[2] = ix_shift(e, x, column - w->attrs.pads[1]);
    return emit_load(e, &w->x, &p);
}

// The operand's element `column` places right of the first one, in kernel row `row` and
// input channel `channel` of the tile.
static LLVMValueRef load_x(struct dw *w, const struct dw_at *t, size_t channel,
                           size_t row, int64_t column) {
    struct emit *e = w->e;
    const struct layout *l = w->x.layout;
    if (w->attrs.groups > 1) return load_by_group(w, t, row, column);
    int64_t apart = 1;
    if (l->kind == LAYOUT_PLANAR) apart = (int64_t)layout_plane(e, l, w->x.type);
    int64_t way =
        (int64_t)channel * apart + column * (int64_t)layout_pitch_x(e, l) +
        (int64_t)row * w->attrs.dilations[0] * (int64_t)layout_pitch_y(e, l, w->x.type);
    LLVMValueRef at = ll_at_const(e, e->f32, t->x_here, way);
    return ll_splat(e, ll_load(e, e->f32, at, 4), e->lanes);
}

// Adds the products of one line of operand elements.
static void add_line(struct dw *w, const struct dw_at *t, size_t channel, size_t row,
                     size_t pixels, LLVMValueRef (*d)[4], LLVMValueRef *sums) {
    int64_t stride = w->attrs.strides[1], dilation = w->attrs.dilations[1];
    int64_t last = ((int64_t)pixels - 1) * stride + ((int64_t)t->columns - 1) * dilation;
    sums += (channel * t->rows + row) * t->columns * t->blocks;
    for (int64_t column = 0; column <= last; column++) {
        LLVMValueRef v = NULL;
        for (size_t k = 0; k < t->columns; k++) {
            int64_t way = column - (int64_t)k * dilation;
            if (way < 0 || way % stride || way / stride >= (int64_t)pixels) continue;
            if (!v) v = load_x(w, t, channel, row, column);
            for (size_t b = 0; b < t->blocks; b++)
                sums[k * t->blocks + b] =
                    ll_mul_add(w->e, v, d[way / stride][b], sums[k * t->blocks + b]);
        }
    }
}

static void add_pixels(struct dw *w, struct dw_at *t, size_t pixels, LLVMValueRef *sums) {
    struct emit *e = w->e;
    LLVMValueRef d[MAX_PIXELS][4];
    struct ix y = ix_scale(e, t->y, w->attrs.strides[0]);
    struct ix x = ix_scale(e, t->left, w->attrs.strides[1]);
    t->d_here = ll_at_ix(e, e->f32, t->d, pixel_way(e, &w->d, t->y, t->left));
    t->x_here = ll_at_ix(e, e->f32, t->x, pixel_way(e, &w->x, y, x));
    for (size_t i = 0; i < pixels; i++)
        for (size_t b = 0; b < t->blocks; b++) d[i][b] = load_d(w, t, b, i);
    for (size_t c = 0; c < t->channels; c++)
        for (size_t row = 0; row < t->rows; row++)
            add_line(w, t, c, row, pixels, d, sums);
}

// The sums over all pixels.
static void sum_pixels(struct dw *w, struct dw_at *t, LLVMValueRef *sums) {
    struct emit *e = w->e;
    size_t n = sums_of(t);
    int64_t width = (int64_t)w->d.type->dim[2], step = (int64_t)w->tile.pixels;
    int64_t whole = width / step * step;
    for (size_t i = 0; i < n; i++) sums[i] = ll_zero(ll_vec(e->f32, e->lanes));
    find_tile(w, t);
    struct loop lines = loop_over(e, 0, (int64_t)w->d.type->dim[1], 1, sums, n, &t->y);
    struct loop l = loop_over(e, 0, whole, step, lines.carried, n, &t->left);
    add_pixels(w, t, w->tile.pixels, l.carried);
    loop_end(e, &l, l.carried);
    if (whole < width) {
        t->left = ix_const(e, whole);
        add_pixels(w, t, (size_t)(width - whole), l.carried);
    }
    loop_end(e, &lines, l.carried);
    memcpy(sums, lines.carried, n * sizeof *sums);
}

// ---- what becomes of a tile -----------------------------------------------------------

// In four chains, which do not wait for each other.
static void add_squares(struct dw *w, const LLVMValueRef *sums, size_t n) {
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

static void store_sums(struct dw *w, const struct dw_at *t, const LLVMValueRef *sums) {
    struct emit *e = w->e;
    struct point p[LOOP_MAX_CARRIED];
    size_t n = 0;
    for (size_t c = 0; c < t->channels; c++)
        for (size_t row = 0; row < t->rows; row++)
            for (size_t k = 0; k < t->columns; k++)
                for (size_t b = 0; b < t->blocks; b++) {
                    struct ix out = ix_shift(e, t->out, (int64_t)(b * e->lanes));
                    p[n] = channel_point(e, out, w->outs, 4);
                    p[n].at[1] = ix_shift(e, t->in, (int64_t)c);
                    p[n].at[2] = ix_shift(e, t->ky, (int64_t)row);
                    p[n++].at[3] = ix_shift(e, t->kx, (int64_t)k);
                }
    emit_results(e, p, sums, n);
}

static void emit_sums(struct dw *w, struct dw_at *t) {
    LLVMValueRef sums[LOOP_MAX_CARRIED];
    CHECK(sums_of(t) <= COUNT(sums));
    sum_pixels(w, t, sums);
    if (w->square) add_squares(w, sums, sums_of(t));
    else store_sums(w, t, sums);
}

// ---- all tiles ------------------------------------------------------------------------

// Each of these goes over one dimension: loops of whole tiles, then what is left.
typedef void (*level_fn)(struct dw *w, struct dw_at *t);

static void over(struct dw *w, struct dw_at *t, size_t from, size_t to, size_t step,
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

static void each_column(struct dw *w, struct dw_at *t) {
    size_t all = w->kernel[1], whole = all / w->tile.columns * w->tile.columns;
    t->columns = w->tile.columns;
    over(w, t, 0, whole, t->columns, &t->kx, emit_sums);
    t->columns = all - whole;
    over(w, t, whole, all, size_max(t->columns, 1), &t->kx, emit_sums);
}

static void each_row(struct dw *w, struct dw_at *t) {
    t->rows = w->tile.rows;
    over(w, t, 0, w->kernel[0], t->rows, &t->ky, each_column);
}

static void each_channel(struct dw *w, struct dw_at *t) {
    size_t whole = w->ins / w->tile.channels * w->tile.channels;
    t->channels = w->tile.channels;
    over(w, t, 0, whole, t->channels, &t->in, each_row);
    t->channels = w->ins - whole;
    over(w, t, whole, w->ins, size_max(t->channels, 1), &t->in, each_row);
}

static void each_block(struct dw *w, struct dw_at *t) {
    size_t lanes = w->e->lanes, all = (w->outs + lanes - 1) / lanes;
    size_t whole = all / w->tile.blocks * w->tile.blocks;
    t->blocks = w->tile.blocks;
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
    const struct node *n = node_at(e->f, e->k->anchor);
    struct dw w = {.e = e,
                   .n = n,
                   .x = anchor_operand(e),
                   .d = view_in(e, n->in[1]),
                   .attrs = conv_attrs_of(n),
                   .square = n->op == OP_CONV_DW_SQNORM,
                   .total = ll_zero(ll_vec(e->f32, e->lanes))};
    w.outs = w.d.type->dim[0];
    w.ins = w.x.type->dim[0] / (size_t)w.attrs.groups;
    w.kernel[0] = (size_t)attr_int(n, "kh");
    w.kernel[1] = (size_t)attr_int(n, "kw");
    w.tile = dw_tile_of(&w);
    struct dw_at t = {0};
    each_block(&w, &t);
    if (!w.square) return;
    struct point p = point_scalar();
    LLVMValueRef sum = sum_lanes(e, w.total);
    emit_results(e, &p, &sum, 1);
}
