// Kernels that pack a weight as the one kernel that reads it wants it: the same places as
// those of constants (pack.c), for numbers that are known only when the function runs.
//
// What is packed is cut into parts along the operand's channels, or the words of the
// inner size. Vectors are along result channels: elements of a convolution's weights
// that lie apart are gathered, those of all taps from the same lines of the cache.
#include "codegen/conv_plan.h"
#include "codegen/emit.h"
#include "codegen/matmul_plan.h"
#include "codegen/winograd_plan.h"

struct packing {
    struct emit *e;
    const struct kernel *k; // that reads it
    nid w;
    LLVMValueRef to; // where packed weights begin, and then those of the class, the tile
};

static void put(struct packing *p, LLVMValueRef value, struct ix at) {
    struct emit *e = p->e;
    ll_store(e, value, ll_at_ix(e, e->f32, p->to, at), 4 * e->lanes);
}

// What of [0, n) is this part's.
static struct loop part_begin(struct packing *p, size_t n, struct ix *i,
                              LLVMBasicBlockRef *after) {
    struct emit *e = p->e;
    LLVMValueRef from = ll_i64(e, 0), to = ll_i64(e, (int64_t)n);
    if (p->e->k->parts) {
        LLVMValueRef parts = ll_i64(e, (int64_t)e->k->parts);
        LLVMValueRef next = LLVMBuildAdd(e->b, e->part, ll_i64(e, 1), "");
        from = LLVMBuildUDiv(e->b, LLVMBuildMul(e->b, e->part, to, ""), parts, "");
        to = LLVMBuildUDiv(e->b, LLVMBuildMul(e->b, next, to, ""), parts, "");
    }
    *after = if_begin(e, LLVMBuildICmp(e->b, LLVMIntSLT, from, to, ""));
    struct loop l = loop_begin(e, from, to, 1, NULL, 0);
    *i = l.once ? ix_const(e, 0) : ix_uniform(l.i, 0, (int64_t)n - 1, 1, 0);
    return l;
}

static void part_end(struct packing *p, struct loop *l, LLVMBasicBlockRef after) {
    loop_end(p->e, l, NULL);
    if_end(p->e, after);
}

// The lanes at which i lies below n; NULL: all.
static LLVMValueRef below(struct emit *e, const struct ix *i, size_t n) {
    if (i->hi < (int64_t)n) return NULL;
    return LLVMBuildICmp(e->b, LLVMIntULT, ix_lanes(e, i),
                         ll_isplat(e, (int64_t)n, e->lanes), "");
}

// Lanes outside of the mask become zero.
static LLVMValueRef weights_at(struct packing *p, struct point *at) {
    struct emit *e = p->e;
    size_t mark = memo_mark(e);
    LLVMValueRef v = emit_value(e, p->w, at);
    if (at->mask) v = LLVMBuildSelect(e->b, at->mask, v, ll_zero(LLVMTypeOf(v)), "");
    memo_release(e, mark);
    return v;
}

// ---- convolutions, tap by tap --------------------------------------------------------
struct class_of {
    const struct conv_plan *c;
    struct side side[2];
    size_t taps;
};

// The weights from operand channel `in` to a vector of result channels, at a tap.
static LLVMValueRef conv_weights(struct packing *p, const struct conv_plan *c,
                                 struct ix in, struct ix out, struct ix y, struct ix x) {
    struct emit *e = p->e;
    struct point at = {.rank = 4, .lanes = e->lanes};
    at.mask = below(e, &out, c->out->dim[0]);
    if (c->groups > 1 && !c->depthwise) {
        struct ix group = ix_div(e, in, (int64_t)c->in_per);
        struct ix other = ix_div(e, out, (int64_t)c->out_per);
        at.mask = ll_and(
            e, at.mask,
            LLVMBuildICmp(e->b, LLVMIntEQ, ix_lanes(e, &group), ix_lanes(e, &other), ""));
    }
    at.at[0] = c->transposed ? in : out;
    at.at[1] = ix_mod(e, c->transposed ? out : in, (int64_t)c->w->dim[1]);
    at.at[2] = y;
    at.at[3] = x;
    if (c->depthwise) at.at[0] = out, at.at[1] = ix_const(e, 0);
    return weights_at(p, &at);
}

// All taps of one operand channel to the result channels of a tile.
static void pack_channel(struct packing *p, const struct class_of *k, struct ix in,
                         struct ix out, size_t blocks, struct ix to) {
    struct emit *e = p->e;
    int64_t wide = (int64_t)(blocks * e->lanes), across = k->side[1].taps;
    struct ix i, j;
    if (!k->taps) return;
    struct loop ly = loop_over(e, 0, k->side[0].taps, 1, NULL, 0, &i);
    struct loop lx = loop_over(e, 0, across, 1, NULL, 0, &j);
    struct ix y = ix_shift(e, ix_scale(e, i, k->side[0].k_step), k->side[0].k);
    struct ix x = ix_shift(e, ix_scale(e, j, k->side[1].k_step), k->side[1].k);
    to = ix_add(e, to, ix_scale(e, ix_add(e, ix_scale(e, i, across), j), wide));
    for (size_t b = 0; b < blocks; b++) {
        int64_t way = (int64_t)(b * e->lanes);
        struct ix some = ix_ramp(e, ix_shift(e, out, way));
        put(p, conv_weights(p, k->c, in, some, y, x), ix_shift(e, to, way));
    }
    loop_end(e, &lx, NULL);
    loop_end(e, &ly, NULL);
}

// The operand's first channel for the tile that begins with result channel `from`: see
// conv_first.
static struct ix first_channel(struct packing *p, const struct conv_plan *c,
                               struct ix from, size_t blocks) {
    struct emit *e = p->e;
    size_t span = conv_span(c, blocks);
    if (c->groups == 1) return ix_const(e, 0);
    struct ix at = ix_scale(e, ix_div(e, from, (int64_t)c->out_per), (int64_t)c->in_per);
    LLVMValueRef last = ll_i64(e, (int64_t)(c->words - span));
    LLVMValueRef first = ll_min(e, ix_value(e, &at), last);
    return ix_uniform(first, 0, (int64_t)(c->words - span), 1, 0);
}

// Tiles of `blocks` blocks in [from, to), the first of which lies `base` floats behind
// p->to.
static void pack_tiles(struct packing *p, const struct class_of *k, size_t from,
                       size_t to, size_t blocks, size_t base) {
    struct emit *e = p->e;
    const struct conv_plan *c = k->c;
    size_t span = c->depthwise ? 1 : conv_span(c, blocks), wide = blocks * e->lanes;
    LLVMBasicBlockRef after;
    struct ix tile, i;
    if (from == to) return;
    struct loop l = loop_over(e, 0, (int64_t)((to - from) / blocks), 1, NULL, 0, &tile);
    struct ix out = ix_scale(e, tile, (int64_t)wide);
    out = ix_shift(e, out, (int64_t)(from * e->lanes));
    struct ix first = c->depthwise ? out : first_channel(p, c, out, blocks);
    struct ix at = ix_scale(e, tile, (int64_t)(span * k->taps * wide));
    struct loop channels = part_begin(p, span, &i, &after);
    struct ix to_at = ix_add(e, at, ix_scale(e, i, (int64_t)(k->taps * wide)));
    pack_channel(p, k, ix_add(e, first, i), out, blocks,
                 ix_shift(e, to_at, (int64_t)base));
    part_end(p, &channels, after);
    loop_end(e, &l, NULL);
}

static void pack_class(struct packing *p, const struct conv_plan *c,
                       const struct side side[2]) {
    struct class_of k = {c, {side[0], side[1]}, (size_t)(side[0].taps * side[1].taps)};
    size_t blocks = conv_blocks(c);
    size_t each = c->depthwise ? 1 : conv_tile(c, side).blocks;
    size_t whole = blocks / each * each;
    size_t span = c->depthwise ? 1 : conv_span(c, each);
    pack_tiles(p, &k, 0, whole, each, 0);
    pack_tiles(p, &k, whole, blocks, size_max(blocks - whole, 1),
               whole * p->e->lanes * span * k.taps);
}

static void pack_direct(struct packing *p, const struct conv_plan *c) {
    struct side side[2];
    for (size_t y = 0; y < c->classes[0]; y++)
        for (size_t x = 0; x < c->classes[1]; x++) {
            if (!conv_class(c, y, x, side)) continue;
            pack_class(p, c, side);
            size_t words = conv_class_words(c, side);
            p->to = ll_at_const(p->e, p->e->f32, p->to, (int64_t)words);
        }
}

// ---- Winograd's way ------------------------------------------------------------------
// See winograd_weights (ir/winograd.c), of which this is the same in single precision.
static LLVMValueRef scaled(struct emit *e, LLVMValueRef x, double by) {
    return LLVMBuildFMul(e->b, x, ll_fsplat(e, by, e->lanes), "");
}

static void even_and_odd(struct emit *e, const LLVMValueRef *g, double at, double over,
                         LLVMValueRef *out) {
    LLVMValueRef far = ll_fsplat(e, at * at, e->lanes);
    LLVMValueRef even = scaled(e, ll_mul_add(e, g[2], far, g[0]), over);
    LLVMValueRef odd = scaled(e, g[1], at * over);
    out[0] = LLVMBuildFAdd(e->b, even, odd, "");
    out[1] = LLVMBuildFSub(e->b, even, odd, "");
}

// Three taps at the points.
static void weights_line(struct emit *e, size_t m, const LLVMValueRef *g,
                         LLVMValueRef *out) {
    const double a = WINOGRAD_A, b = WINOGRAD_B, aa = a * a, bb = b * b;
    if (m == 2) {
        out[0] = scaled(e, g[0], -1 / aa);
        even_and_odd(e, g, a, 1 / (2 * aa), out + 1);
    } else {
        out[0] = scaled(e, g[0], 1 / (aa * bb));
        even_and_odd(e, g, a, 1 / (2 * aa * (aa - bb)), out + 1);
        even_and_odd(e, g, b, 1 / (2 * bb * (bb - aa)), out + 3);
    }
    out[m + 1] = g[2];
}

// One operand channel and a vector of result channels.
static void pack_transformed(struct packing *p, const struct winograd *w,
                             const struct conv_plan *c, struct ix in, struct ix out,
                             struct ix to) {
    struct emit *e = p->e;
    LLVMValueRef half[WINOGRAD_MOST][3], line[WINOGRAD_MOST], g[3];
    int64_t plane = (int64_t)winograd_weight_plane(w);
    for (size_t x = 0; x < 3; x++) {
        for (size_t y = 0; y < 3; y++) { // conv_dx turns the taps round
            int64_t ky = (int64_t)(c->transposed ? 2 - y : y);
            int64_t kx = (int64_t)(c->transposed ? 2 - x : x);
            g[y] = conv_weights(p, c, in, out, ix_const(e, ky), ix_const(e, kx));
        }
        weights_line(e, w->m, g, line);
        for (size_t y = 0; y < w->n; y++) half[y][x] = line[y];
    }
    for (size_t y = 0; y < w->n; y++) {
        weights_line(e, w->m, half[y], line);
        for (size_t x = 0; x < w->n; x++)
            put(p, line[x], ix_shift(e, to, (int64_t)(y * w->n + x) * plane));
    }
}

// Groups of `blocks` blocks in [from, to), for one operand channel.
static void pack_groups(struct packing *p, const struct winograd *w,
                        const struct conv_plan *c, struct ix in, size_t from, size_t to,
                        size_t blocks) {
    struct emit *e = p->e;
    int64_t lanes = (int64_t)e->lanes, wide = (int64_t)blocks * lanes;
    struct ix group, v;
    if (from == to) return;
    struct loop l =
        loop_over(e, (int64_t)from, (int64_t)to, (int64_t)blocks, NULL, 0, &group);
    struct ix first = ix_scale(e, group, lanes);
    struct ix at = ix_scale(e, first, (int64_t)w->channels);
    at = ix_add(e, at, ix_scale(e, in, wide));
    struct loop vectors = loop_over(e, 0, wide, lanes, NULL, 0, &v);
    pack_transformed(p, w, c, in, ix_ramp(e, ix_add(e, first, v)), ix_add(e, at, v));
    loop_end(e, &vectors, NULL);
    loop_end(e, &l, NULL);
}

static void pack_winograd(struct packing *p, const struct conv_plan *c) {
    struct emit *e = p->e;
    struct winograd w = winograd_of_kernel(e->t, e->kf, p->k);
    size_t whole = w.out / w.tile_blocks * w.tile_blocks;
    LLVMBasicBlockRef after;
    struct ix in;
    struct loop l = part_begin(p, w.channels, &in, &after);
    pack_groups(p, &w, c, in, 0, whole, w.tile_blocks);
    pack_groups(p, &w, c, in, whole, w.out, size_max(w.out - whole, 1));
    part_end(p, &l, after);
}

// ---- matrix products -----------------------------------------------------------------
// Word i of `wide` columns from `from` on, of the matrix that the point is in.
static void pack_word(struct packing *p, const struct matmul_plan *m, struct point at,
                      struct ix i, struct ix from, size_t wide, struct ix to) {
    struct emit *e = p->e;
    for (size_t v = 0; v < wide; v += e->lanes) {
        struct ix column = ix_ramp(e, ix_shift(e, from, (int64_t)v));
        at.at[m->lead + m->ty] = i;
        at.at[m->lead + !m->ty] = column;
        at.mask = below(e, &column, m->n);
        put(p, weights_at(p, &at), ix_shift(e, to, (int64_t)v));
    }
}

// Groups of `wide` columns in [from, to), for all matrices of the stack.
static void pack_columns(struct packing *p, const struct matmul_plan *m, size_t from,
                         size_t to, size_t wide) {
    struct emit *e = p->e;
    const size_t *dim = type_at(e->f, p->w)->dim;
    struct point at = {.rank = m->lead + 2, .lanes = e->lanes};
    LLVMBasicBlockRef after;
    struct ix matrix, group, i;
    if (from == to) return;
    struct loop l = loop_over(e, 0, (int64_t)m->stack, 1, NULL, 0, &matrix);
    point_unflat(e, matrix, dim, m->lead, at.at);
    struct ix base = ix_scale(e, matrix, (int64_t)matmul_matrix_words(m));
    struct loop groups =
        loop_over(e, (int64_t)from, (int64_t)to, (int64_t)wide, NULL, 0, &group);
    struct ix begin = ix_add(e, base, ix_scale(e, group, (int64_t)m->words));
    struct loop words = part_begin(p, m->words, &i, &after);
    pack_word(p, m, at, i, group, wide, ix_add(e, begin, ix_scale(e, i, (int64_t)wide)));
    part_end(p, &words, after);
    loop_end(e, &groups, NULL);
    loop_end(e, &l, NULL);
}

static void pack_product(struct packing *p) {
    struct emit *e = p->e;
    struct matmul_plan m = matmul_plan_of(e->t, e->f, p->k);
    size_t lanes = e->lanes, wide = m.blocks * lanes, all = size_align(m.n, lanes);
    size_t whole = all / wide * wide;
    CHECK(m.step == 1);
    pack_columns(p, &m, 0, whole, wide);
    pack_columns(p, &m, whole, all, size_max(all - whole, lanes));
}

void emit_pack(struct emit *e) {
    nid pack = e->k->outs[0];
    struct packing p = {
        .e = e, .k = pack_reader(e->kf, pack), .w = node_at(e->f, pack)->in[0]};
    size_t bytes = codegen_packed_bytes(e->t, e->kf, p.k, pack);
    CHECK(bytes <= e->kf->places[pack].layout.bytes);
    if (type_count(type_at(e->f, p.w)) == 0) return;
    emit_row(e, ll_i64(e, 0));
    p.to = e->row[0];
    if (node_at(e->f, p.k->anchor)->op == OP_MATMUL) {
        pack_product(&p);
        return;
    }
    struct conv_plan c = conv_plan_of(e->t, e->kf, p.k);
    if (p.k->algorithm == ALGORITHM_DIRECT) pack_direct(&p, &c);
    else pack_winograd(&p, &c);
}
