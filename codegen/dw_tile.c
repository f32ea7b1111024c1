// Sums of a tile of a convolution's weight gradient. See dw.h.
#include "codegen/dw.h"

struct dw dw_of(struct emit *e) {
    struct dw w = {.e = e, .plan = dw_plan_of(e->t, e->kf, e->k)};
    dw_row(&w);
    return w;
}

void dw_row(struct dw *w) {
    w->x = anchor_operand(w->e);
    w->d = view_in(w->e, node_at(w->e->f, w->e->k->anchor)->in[1]);
}

size_t dw_sums(const struct dw_at *t) {
    return t->blocks * t->channels * t->rows * t->columns;
}

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
    int64_t dilation = w->plan.attrs.dilations[0], border = (int64_t)w->x.layout->border;
    struct ix y =
        ix_shift(e, ix_scale(e, t->ky, dilation), border - w->plan.attrs.pads[0]);
    struct ix x = ix_scale(e, t->kx, w->plan.attrs.dilations[1]);
    x = ix_shift(e, x, border - w->plan.attrs.pads[1]);
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
        struct point p = channel_point(e, out, w->plan.outs, 3);
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
    struct point p = channel_point(e, t->out, w->plan.outs, 3);
    struct ix group = ix_div(e, p.at[0], (int64_t)w->plan.outs / w->plan.attrs.groups);
    p.at[0] = ix_add(e, ix_scale(e, group, (int64_t)w->plan.ins), t->in);
    struct ix y = ix_add(e, ix_scale(e, t->y, w->plan.attrs.strides[0]),
                         ix_scale(e, t->ky, w->plan.attrs.dilations[0]));
    struct ix x = ix_add(e, ix_scale(e, t->left, w->plan.attrs.strides[1]),
                         ix_scale(e, t->kx, w->plan.attrs.dilations[1]));
    p.at[1] =
        ix_shift(e, y, (int64_t)row * w->plan.attrs.dilations[0] - w->plan.attrs.pads[0]);
    p.at[2] = ix_shift(e, x, column - w->plan.attrs.pads[1]);
    return emit_load(e, &w->x, &p);
}

// The operand's element `column` places right of the first one, in kernel row `row` and
// input channel `channel` of the tile.
static LLVMValueRef load_x(struct dw *w, const struct dw_at *t, size_t channel,
                           size_t row, int64_t column) {
    struct emit *e = w->e;
    const struct layout *l = w->x.layout;
    if (w->plan.attrs.groups > 1) return load_by_group(w, t, row, column);
    int64_t apart = 1;
    if (l->kind == LAYOUT_PLANAR) apart = (int64_t)layout_plane(e, l, w->x.type);
    int64_t way = (int64_t)channel * apart + column * (int64_t)layout_pitch_x(e, l) +
                  (int64_t)row * w->plan.attrs.dilations[0] *
                      (int64_t)layout_pitch_y(e, l, w->x.type);
    LLVMValueRef at = ll_at_const(e, e->f32, t->x_here, way);
    return ll_splat(e, ll_load(e, e->f32, at, 4), e->lanes);
}

// Adds the products of one line of operand elements.
static void add_line(struct dw *w, const struct dw_at *t, size_t channel, size_t row,
                     size_t pixels, LLVMValueRef (*d)[4], LLVMValueRef *sums) {
    int64_t stride = w->plan.attrs.strides[1], dilation = w->plan.attrs.dilations[1];
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
    LLVMValueRef d[DW_MAX_PIXELS][4];
    struct ix y = ix_scale(e, t->y, w->plan.attrs.strides[0]);
    struct ix x = ix_scale(e, t->left, w->plan.attrs.strides[1]);
    t->d_here = ll_at_ix(e, e->f32, t->d, pixel_way(e, &w->d, t->y, t->left));
    t->x_here = ll_at_ix(e, e->f32, t->x, pixel_way(e, &w->x, y, x));
    for (size_t i = 0; i < pixels; i++)
        for (size_t b = 0; b < t->blocks; b++) d[i][b] = load_d(w, t, b, i);
    for (size_t c = 0; c < t->channels; c++)
        for (size_t row = 0; row < t->rows; row++)
            add_line(w, t, c, row, pixels, d, sums);
}

void dw_add(struct dw *w, struct dw_at *t, LLVMValueRef *sums) {
    struct emit *e = w->e;
    size_t n = dw_sums(t);
    int64_t width = (int64_t)w->d.type->dim[2], step = (int64_t)w->plan.tile.pixels;
    int64_t whole = width / step * step;
    find_tile(w, t);
    struct loop lines = loop_over(e, 0, (int64_t)w->d.type->dim[1], 1, sums, n, &t->y);
    struct loop l = loop_over(e, 0, whole, step, lines.carried, n, &t->left);
    add_pixels(w, t, w->plan.tile.pixels, l.carried);
    loop_end(e, &l, l.carried);
    if (whole < width) {
        t->left = ix_const(e, whole);
        add_pixels(w, t, (size_t)(width - whole), l.carried);
    }
    loop_end(e, &lines, l.carried);
    memcpy(sums, lines.carried, n * sizeof *sums);
}

void dw_points(struct dw *w, const struct dw_at *t, struct point *p) {
    struct emit *e = w->e;
    for (size_t c = 0; c < t->channels; c++)
        for (size_t row = 0; row < t->rows; row++)
            for (size_t k = 0; k < t->columns; k++)
                for (size_t b = 0; b < t->blocks; b++, p++) {
                    struct ix out = ix_shift(e, t->out, (int64_t)(b * e->lanes));
                    *p = channel_point(e, out, w->plan.outs, 4);
                    p->at[1] = ix_shift(e, t->in, (int64_t)c);
                    p->at[2] = ix_shift(e, t->ky, (int64_t)row);
                    p->at[3] = ix_shift(e, t->kx, (int64_t)k);
                }
}
