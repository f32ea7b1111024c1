// Which tilings of a kernel are worth timing: those that the models of cost find best,
// and some that they know nothing of.
#include "codegen/codegen.h"
#include "codegen/conv_plan.h"
#include "codegen/matmul_plan.h"
#include "ir/winograd.h"

struct found { // tilings, those that cost least first; the kernel's own is none of them
    struct tiling *at;
    double *cost;
    size_t n, most;
    struct tiling own;
};

static void add(struct found *f, struct tiling t, double cost) {
    size_t i = f->n;
    if (tiling_same(&t, &f->own) || (i == f->most && cost >= f->cost[i - 1])) return;
    if (i == f->most) i--;
    else f->n++;
    for (; i > 0 && f->cost[i - 1] > cost; i--) {
        f->at[i] = f->at[i - 1];
        f->cost[i] = f->cost[i - 1];
    }
    f->at[i] = t;
    f->cost[i] = cost;
}

// ---- tap by tap ----------------------------------------------------------------------

// Of tiles that differ in their pixels alone, only the best is tried: there are many that
// are nearly the same.
static void add_best_pixels(struct found *f, const struct conv_plan *c, size_t blocks,
                            bool live) {
    struct tiling best = {0};
    double least = 0;
    for (size_t pixels = 1; pixels <= c->t->registers; pixels++) {
        struct tiling t = {.blocks = blocks, .pixels = pixels, .row_live = live};
        if (!conv_takes(c, &t) || tiling_same(&t, &f->own)) continue;
        double cost = conv_tile_cycles(c, &t);
        if (best.blocks && cost >= least) continue;
        best = t;
        least = cost;
    }
    if (best.blocks) add(f, best, least);
}

static void find_direct(struct found *f, const struct target *t, const struct kfunc *kf,
                        const struct kernel *k) {
    struct conv_plan c = conv_plan_of(t, kf, k);
    struct side side[2];
    if (!conv_tile_is_free(&c) || !conv_class(&c, 0, 0, side)) return;
    c.tiling = (struct tiling){0};
    struct tile own = conv_tile(&c, side);
    f->own = (struct tiling){
        .blocks = own.blocks, .pixels = own.pixels, .row_live = own.row_live};
    for (size_t blocks = 1; blocks <= t->registers; blocks++)
        for (int live = 0; live <= 1; live++) add_best_pixels(f, &c, blocks, live);
}

// ---- Winograd's way ------------------------------------------------------------------

// Nobody has a model of these: larger and smaller groups with the same tile, then other
// tiles. The order is that of their number.
static void find_winograd(struct found *f, const struct target *t, const struct kfunc *kf,
                          const struct kernel *k) {
    struct winograd w = winograd_of(t, kf->f, k->anchor, k->algorithm);
    size_t tiles = w.tile_tiles, sums = w.tile_blocks * w.tile_tiles, group = w.group;
    f->own = (struct tiling){.blocks = w.tile_blocks, .pixels = tiles, .group = group};
    struct tiling some[3 + WINOGRAD_MOST_BLOCKS] = {
        {.blocks = w.tile_blocks, .pixels = tiles, .group = 2 * group},
        {.blocks = w.tile_blocks, .pixels = tiles, .group = group / 2},
        {.blocks = w.tile_blocks, .pixels = tiles, .group = 4 * group}};
    size_t n = 3;
    for (size_t blocks = 1; blocks <= WINOGRAD_MOST_BLOCKS; blocks++)
        if (blocks != w.tile_blocks)
            some[n++] = (struct tiling){blocks, sums / blocks, group, false};
    for (size_t i = 0; i < n; i++) {
        struct tiling *s = &some[i];
        if (!s->pixels) continue;
        s->group = (s->group + s->pixels - 1) / s->pixels * s->pixels;
        if (winograd_takes(&w, s)) add(f, *s, (double)i);
    }
}

// ---- products ------------------------------------------------------------------------
static void find_product(struct found *f, const struct target *t, const struct kfunc *kf,
                         const struct kernel *k) {
    struct kernel usual = *k;
    usual.tiling = (struct tiling){0};
    struct matmul_plan p = matmul_plan_of(t, kf->f, &usual);
    f->own = (struct tiling){.blocks = p.blocks};
    for (size_t blocks = matmul_most_blocks(&p); blocks > 0; blocks--)
        add(f, (struct tiling){.blocks = blocks}, -(double)blocks);
}

// ---- all kinds -----------------------------------------------------------------------
static bool is_product(const struct kfunc *kf, const struct kernel *k) {
    return node_at(kf->f, k->anchor)->op == OP_MATMUL;
}

size_t codegen_tilings(const struct target *t, const struct kfunc *kf,
                       const struct kernel *k, struct tiling *out, size_t most) {
    double cost[CODEGEN_MOST_TILINGS];
    struct found f = {.at = out, .cost = cost};
    f.most = size_min(most, CODEGEN_MOST_TILINGS);
    if (!f.most) return 0;
    if (is_product(kf, k)) find_product(&f, t, kf, k);
    else if (k->algorithm == ALGORITHM_DIRECT) find_direct(&f, t, kf, k);
    else find_winograd(&f, t, kf, k);
    return f.n;
}

bool codegen_takes(const struct target *t, const struct kfunc *kf, const struct kernel *k,
                   struct tiling tiling) {
    static const struct tiling usual;
    if (!tiling.blocks) return tiling_same(&tiling, &usual);
    if (is_product(kf, k)) {
        struct matmul_plan p = matmul_plan_of(t, kf->f, k);
        return tiling.blocks <= matmul_most_blocks(&p) && !tiling.pixels &&
               !tiling.group && !tiling.row_live;
    }
    if (k->algorithm == ALGORITHM_DIRECT) {
        struct conv_plan c = conv_plan_of(t, kf, k);
        return conv_takes(&c, &tiling);
    }
    struct winograd w = winograd_of(t, kf->f, k->anchor, k->algorithm);
    return winograd_takes(&w, &tiling);
}
