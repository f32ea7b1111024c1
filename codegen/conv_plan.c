// See conv_plan.h: classes, tiles and packed weights of convolutions.
#include "codegen/conv_plan.h"

#include "codegen/words.h"

// ---- the shape of the problem --------------------------------------------------------

// Operand k->anchor reads first, in its place or in scratch.
static enum layout_kind first_layout(const struct kfunc *kf, const struct kernel *k) {
    if (k->prologue != NID_NONE) return k->scratch_layout.kind;
    return kf->places[node_at(kf->f, k->anchor)->in[0]].layout.kind;
}

struct conv_plan conv_plan_of(const struct target *t, const struct kfunc *kf,
                              const struct kernel *k) {
    const struct node *n = node_at(kf->f, k->anchor);
    struct conv_plan c = {.t = t,
                          .in = type_at(kf->f, n->in[0]),
                          .w = type_at(kf->f, n->in[1]),
                          .out = &n->type,
                          .transposed = n->op == OP_CONV_DX,
                          .classes = {1, 1},
                          .attrs = conv_attrs_of(n),
                          .tiling = k->tiling};
    c.step = word_step(c.in->elem);
    c.words = words_of(c.in->dim[0], c.step);
    c.groups = (size_t)c.attrs.groups;
    c.in_per = c.words / c.groups;
    c.out_per = c.out->dim[0] / c.groups;
    c.depthwise = c.groups > 1 && c.in_per == 1 && c.out_per == 1 &&
                  first_layout(kf, k) == LAYOUT_BLOCKED;
    for (int a = 0; a < 2 && c.transposed; a++)
        c.classes[a] = size_min((size_t)c.attrs.strides[a], c.out->dim[1 + a]);
    return c;
}

static struct side forward_side(const struct conv_plan *c, int a) {
    return (struct side){.taps = (int64_t)c->w->dim[2 + a],
                         .at = -c->attrs.pads[a],
                         .at_step = c->attrs.dilations[a],
                         .k_step = 1,
                         .in_step = c->attrs.strides[a],
                         .out_step = 1,
                         .outs = (int64_t)c->out->dim[1 + a]};
}

// Result i = residue + stride * j takes the taps k for which i + pad - k * dilation is a
// multiple of the stride.
static struct side backward_side(const struct conv_plan *c, int a, int64_t residue) {
    int64_t stride = c->attrs.strides[a], dilation = c->attrs.dilations[a];
    int64_t kernel = (int64_t)c->w->dim[2 + a];
    struct side s = {.in_step = 1, .out = residue, .out_step = stride};
    s.outs = ((int64_t)c->out->dim[1 + a] - residue + stride - 1) / stride;
    for (int64_t k = 0; k < kernel; k++) {
        int64_t at = residue + c->attrs.pads[a] - k * dilation;
        if (at % stride != 0) continue;
        if (s.taps == 0) {
            s.k = k;
            s.at = at / stride;
        } else if (s.taps == 1) {
            s.k_step = k - s.k;
            s.at_step = at / stride - s.at;
        }
        s.taps++;
    }
    return s;
}

bool conv_class(const struct conv_plan *c, size_t y, size_t x, struct side side[2]) {
    size_t residue[2] = {y, x};
    for (int a = 0; a < 2; a++)
        side[a] =
            c->transposed ? backward_side(c, a, (int64_t)residue[a]) : forward_side(c, a);
    return side[0].outs > 0 && side[1].outs > 0;
}

size_t conv_blocks(const struct conv_plan *c) {
    return (c->out->dim[0] + c->t->lanes - 1) / c->t->lanes;
}

#define MOST_BLOCKS 6 // of a tile

// ---- tiles ---------------------------------------------------------------------------

// Distinct operand columns that a line of `pixels` results reads.
static size_t columns(const struct side *x, size_t pixels) {
    size_t step = (size_t)(x->at_step < 0 ? -x->at_step : x->at_step);
    size_t in_step = (size_t)x->in_step, taps = (size_t)x->taps, n = 0;
    size_t last = (pixels - 1) * in_step + (taps - 1) * step;
    for (size_t col = 0; col <= last; col++) {
        bool used = false;
        for (size_t tap = 0; tap < taps && !used; tap++)
            used = col >= tap * step && (col - tap * step) % in_step == 0 &&
                   (col - tap * step) / in_step < pixels;
        n += used;
    }
    return n;
}

// Cycles from one multiply-add to the next on the same sum; as measured, since they do
// not follow each other at once. Those of pairs take longer.
static double latency(const struct conv_plan *c) {
    return c->step == 2 ? 6.5 : 4.5;
}

// A line of weights is used once and comes from farther away than elements of the
// operand, of which a line of the cache has those of the next channels, too: it counts as
// two. Where taps go to the left, the tile decides the order of sums (conv_takes): there,
// it stays one.
static double line_of_weights(const struct side *x) {
    return x->at_step < 0 ? 1 : 2;
}

// Cycles a kernel row takes: two multiply-adds and two loads a cycle.
static double row_cycles(const struct conv_plan *c, const struct side *x,
                         const struct tile *t, size_t pixels) {
    double least = latency(c) * (double)x->taps;
    double taps = (double)x->taps, blocks = (double)t->blocks;
    double work = blocks * (double)pixels * taps;
    double elements = t->row_live ? (double)columns(x, pixels) : taps * (double)pixels;
    double loads = line_of_weights(x) * blocks * taps + elements;
    double issued = blocks * taps + elements;
    double cycles = (work > issued ? work / 2 : issued / 2) + loads / 20;
    return cycles > least ? cycles : least;
}

// As measured: more sums than hide the latency gain nothing, and LLVM begins to spill;
// sooner without multiply-adds, where products take registers until they are added.
static bool fits(const struct conv_plan *c, const struct side *x, const struct tile *t) {
    size_t registers = c->t->registers, sums = t->blocks * t->pixels;
    size_t weights = t->blocks * (t->row_live ? (size_t)x->taps : 1);
    size_t most = registers >= 32 ? registers / 2 : registers * 3 / 4;
    if (!c->t->fma) return !t->row_live && sums <= registers * 9 / 16;
    return sums <= most && sums + weights + 1 < registers;
}

// Cycles for a line of the results of one group of blocks, over the number of the
// operand's words and kernel rows.
static double group_cycles(const struct conv_plan *c, const struct side *x,
                           const struct tile *t) {
    const double per_tile = 40; // to begin and end one
    size_t n = (size_t)x->outs;
    double depth = (double)(c->w->dim[2] * (c->depthwise ? 1 : c->in_per));
    double begin = per_tile / depth;
    double cycles = (double)(n / t->pixels) * (row_cycles(c, x, t, t->pixels) + begin);
    if (n % t->pixels) cycles += 1.1 * row_cycles(c, x, t, n % t->pixels) + 2 * begin;
    return cycles;
}

static double line_cycles(const struct conv_plan *c, const struct side *x,
                          const struct tile *t) {
    size_t blocks = conv_blocks(c);
    struct tile rest = {blocks % t->blocks, t->pixels, t->row_live};
    double cycles = group_cycles(c, x, t) * (double)(blocks / t->blocks);
    return rest.blocks ? cycles + group_cycles(c, x, &rest) : cycles;
}

static struct tile best_tile(const struct conv_plan *c, const struct side *x) {
    struct tile best = {1, 1, false};
    double least = 0;
    size_t most_blocks = c->depthwise ? 1 : size_min(conv_blocks(c), MOST_BLOCKS);
    for (size_t blocks = 1; blocks <= most_blocks; blocks++)
        for (size_t pixels = 1; pixels <= (size_t)x->outs && pixels <= 28; pixels++)
            for (int live = 1; live >= 0; live--) {
                struct tile t = {blocks, pixels, live};
                if (x->taps == 0 || !fits(c, x, &t)) continue;
                double cycles = line_cycles(c, x, &t);
                if (least > 0 && cycles >= least) continue;
                least = cycles;
                best = t;
            }
    return best;
}

struct tile conv_tile(const struct conv_plan *c, const struct side side[2]) {
    const struct tiling *t = &c->tiling;
    if (!t->blocks) return best_tile(c, &side[1]);
    CHECK(conv_takes(c, t));
    return (struct tile){t->blocks, t->pixels, t->row_live};
}

bool conv_tile_is_free(const struct conv_plan *c) {
    return c->classes[0] * c->classes[1] == 1 && (c->groups == 1 || c->depthwise);
}

// What fits() finds best is less than what there are registers for. Kept rows of weights
// are met from the left, which is another order than tap by tap where taps go to the
// left.
bool conv_takes(const struct conv_plan *c, const struct tiling *t) {
    struct side side[2];
    if (!conv_tile_is_free(c) || !conv_class(c, 0, 0, side)) return false;
    const struct side *x = &side[1];
    size_t blocks = c->depthwise ? 1 : size_min(conv_blocks(c), MOST_BLOCKS), sums;
    if (!x->taps || !t->blocks || t->blocks > blocks) return false;
    if (!t->pixels || t->pixels > (size_t)x->outs || t->group) return false;
    if (x->at_step < 0 && t->row_live != best_tile(c, x).row_live) return false;
    size_t weights = t->blocks * (t->row_live ? (size_t)x->taps : 1);
    return size_mul(t->blocks, t->pixels, &sums) && sums < c->t->registers &&
           sums + weights < c->t->registers;
}

double conv_tile_cycles(const struct conv_plan *c, const struct tiling *t) {
    struct side side[2];
    struct tile tile = {t->blocks, t->pixels, t->row_live};
    CHECK(conv_takes(c, t) && conv_class(c, 0, 0, side));
    return line_cycles(c, &side[1], &tile);
}

// ---- packed weights ------------------------------------------------------------------

// The most words any tile needs: all of the groups its results touch.
size_t conv_span(const struct conv_plan *c, size_t blocks) {
    size_t channels = blocks * c->t->lanes, most = 0;
    if (c->groups == 1) return c->words;
    for (size_t from = 0; from < c->out->dim[0]; from += c->t->lanes) {
        size_t to = size_min(from + channels, c->out->dim[0]);
        size_t groups = (to - 1) / c->out_per - from / c->out_per + 1;
        most = size_max(most, groups * c->in_per);
    }
    return most;
}

size_t conv_first(const struct conv_plan *c, size_t from, size_t blocks) {
    size_t first = from / c->out_per * c->in_per;
    return size_min(first, c->words - conv_span(c, blocks));
}

// Tiles of t->blocks blocks, and one of the blocks that are left.
static size_t tile_blocks(const struct conv_plan *c, const struct tile *t, size_t from) {
    return size_min(t->blocks, conv_blocks(c) - from);
}

size_t conv_class_words(const struct conv_plan *c, const struct side side[2]) {
    size_t taps = (size_t)(side[0].taps * side[1].taps) * c->t->lanes, words = 0;
    struct tile t = conv_tile(c, side);
    if (c->depthwise) return conv_blocks(c) * taps;
    for (size_t b = 0; b < conv_blocks(c); b += t.blocks) {
        size_t blocks = tile_blocks(c, &t, b);
        words += blocks * conv_span(c, blocks) * taps;
    }
    return words;
}

size_t conv_pack_words(const struct conv_plan *c) {
    size_t words = 0;
    struct side side[2];
    for (size_t y = 0; y < c->classes[0]; y++)
        for (size_t x = 0; x < c->classes[1]; x++)
            if (conv_class(c, y, x, side)) words += conv_class_words(c, side);
    return words;
}

// The taps by which operand channel `in` counts for result channel `out`; NULL: it is
// outside of its group, or one of them does not exist.
static inline const char *taps_of(const struct conv_plan *c, const char *w, size_t in,
                                  size_t out) {
    size_t in_per = c->in_per * c->step, first = c->transposed ? in : out,
           second = c->transposed ? out : in;
    if (out >= c->out->dim[0] || in >= c->in->dim[0]) return NULL;
    if (c->groups > 1) { // else nothing need be divided
        if (in / in_per != out / c->out_per) return NULL;
        second %= c->w->dim[1];
    }
    size_t taps = c->w->dim[2] * c->w->dim[3];
    return w + (first * c->w->dim[1] + second) * taps * word_part(c->step);
}

// The taps of one pair of channels, n words apart, as element `part` of each; from NULL:
// zeros. Packing takes much of a compile: all is known to the compiler that can be.
static inline void pack_taps_by(const struct side side[2], size_t width, const char *from,
                                size_t step, size_t part, size_t n, char *to) {
    const struct side y = side[0], x = side[1];
    size_t bytes = word_part(step);
    for (int64_t i = 0; i < y.taps; i++)
        for (int64_t j = 0; j < x.taps; j++, to += n * sizeof(float)) {
            size_t ky = (size_t)(y.k + i * y.k_step), kx = (size_t)(x.k + j * x.k_step);
            word_set(to, step, part, from ? from + (ky * width + kx) * bytes : NULL);
        }
}

static void pack_taps(const struct conv_plan *c, const struct side side[2],
                      const char *from, size_t part, size_t n, char *to) {
    size_t width = c->w->dim[3];
    if (c->step == 1) pack_taps_by(side, width, from, 1, part, n, to);
    else pack_taps_by(side, width, from, 2, part, n, to);
}

#define TOGETHER ((size_t)16) // words packed while their weights are in cache

// [in][tap][n channels from `out` on], for words [in, end) of the operand.
static char *pack_words(const struct conv_plan *c, const struct side side[2],
                        const char *w, size_t in, size_t end, size_t out, size_t n,
                        char *to) {
    size_t words = (size_t)(side[0].taps * side[1].taps) * n, step = c->step;
    for (; in < end; in += TOGETHER) {
        size_t some = size_min(TOGETHER, end - in);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < some; k++)
                for (size_t part = 0; part < step; part++)
                    pack_taps(c, side, taps_of(c, w, (in + k) * step + part, out + i),
                              part, n, to + (k * words + i) * sizeof(float));
        to += some * words * sizeof(float);
    }
    return to;
}

// [tap][n channels from `out` on], each by the operand channel of its own number.
static char *pack_depthwise(const struct conv_plan *c, const struct side side[2],
                            const char *w, size_t out, size_t n, char *to) {
    for (size_t i = 0; i < n; i++)
        pack_taps(c, side, taps_of(c, w, out + i, out + i), 0, n, to + i * sizeof(float));
    return to + (size_t)(side[0].taps * side[1].taps) * n * sizeof(float);
}

static char *pack_class(const struct conv_plan *c, const struct side side[2],
                        const char *w, char *to) {
    struct tile t = conv_tile(c, side);
    for (size_t b = 0; b < conv_blocks(c); b += t.blocks) {
        size_t blocks = tile_blocks(c, &t, b), from = b * c->t->lanes;
        size_t n = blocks * c->t->lanes;
        if (c->depthwise) {
            to = pack_depthwise(c, side, w, from, n, to);
            continue;
        }
        size_t first = conv_first(c, from, blocks), end = first + conv_span(c, blocks);
        to = pack_words(c, side, w, first, end, from, n, to);
    }
    return to;
}

void conv_pack(const struct conv_plan *c, const void *w, void *out) {
    struct side side[2];
    for (size_t y = 0; y < c->classes[0]; y++)
        for (size_t x = 0; x < c->classes[1]; x++)
            if (conv_class(c, y, x, side)) out = pack_class(c, side, w, out);
}
