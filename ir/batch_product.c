// See batch_product.h.
#include "ir/batch_product.h"

bool batch_product_fits(const struct func *f, nid sum) {
    const struct node *n = node_at(f, node_at(f, sum)->in[0]);
    if (n->op != OP_CONV_DW && n->op != OP_MATMUL) return false;
    if (!n->type.rows || n->type.elem != ELEM_F32 || type_count(&n->type) == 0)
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        const struct type *t = type_at(f, n->in[i]);
        if (!t->rows || t->elem != ELEM_F32 || type_count(t) == 0) return false;
    }
    return n->op == OP_CONV_DW || n->type.rank == 2;
}

static size_t divide_up(size_t n, size_t by) {
    return (n + by - 1) / by;
}

// ---- tiles of matrices ---------------------------------------------------------------

#define MOST_ACROSS 4
#define MOST_DOWN   12

// As many sums as there are registers for; of these, what loads least for a product and
// leaves least over.
static void matrix_tile(struct batch_product *p) {
    double least = 0;
    size_t most = p->t->registers >= 32 ? 28 : 12;
    for (size_t a = 1; a <= size_min(MOST_ACROSS, p->across); a++)
        for (size_t d = 1; d <= size_min(MOST_DOWN, p->down) && a * d <= most; d++) {
            double products = (double)(a * d), wait = 4;
            double cycles =
                products > (double)(a + d) ? products / 2 : (double)(a + d) / 2;
            cycles = (cycles > wait ? cycles : wait) + (double)(a + d) / 20;
            size_t tiles = divide_up(p->across, a) * divide_up(p->down, d);
            cycles *= (double)tiles;
            if (least > 0 && cycles >= least) continue;
            least = cycles;
            p->tile[0] = a;
            p->tile[1] = d;
        }
}

static void of_matrices(struct batch_product *p, const struct func *f,
                        const struct node *n) {
    const struct type *x = type_at(f, n->in[0]);
    p->m = n->type.dim[0];
    p->n = n->type.dim[1];
    p->k = x->dim[attr_int(n, "tx") ? 0 : 1];
    p->across = divide_up(p->n, p->t->lanes);
    p->down = p->m;
    p->taps = 1;
    p->pixels = p->k;
    matrix_tile(p);
}

static void of_conv(struct batch_product *p, const struct kfunc *kf,
                    const struct kernel *k) {
    p->dw = dw_plan_of(p->t, kf, k);
    p->across = divide_up(p->dw.outs, p->t->lanes);
    p->down = p->dw.ins;
    p->taps = p->dw.kernel[0] * p->dw.kernel[1];
    p->pixels = p->dw.d->dim[1] * p->dw.d->dim[2];
    p->tile[0] = p->dw.tile.blocks;
    p->tile[1] = p->dw.tile.channels;
}

// ---- Winograd's way ------------------------------------------------------------------

#define TILE ((size_t)4) // gradients along each axis

// Whole tiles only: none is to see what lies beside the map.
static bool winograd_takes_it(const struct batch_product *p, const struct layout *d) {
    const struct dw_plan *w = &p->dw;
    if (w->attrs.groups != 1 || w->x_layout->kind != LAYOUT_BLOCKED) return false;
    if (d->kind != LAYOUT_BLOCKED) return false;
    for (int a = 0; a < 2; a++)
        if (w->kernel[a] != 3 || w->attrs.strides[a] != 1 || w->attrs.dilations[a] != 1 ||
            w->d->dim[1 + a] % TILE != 0)
            return false;
    return true;
}

// The tile of sums of a plane: vectors of gradients times lines of one block of the
// operand.
static struct batch_product winograd_way(const struct batch_product *direct) {
    struct batch_product p = *direct;
    p.winograd = true;
    for (int a = 0; a < 2; a++) p.tiles[a] = p.dw.d->dim[1 + a] / TILE;
    p.tile[0] = size_min(p.across, 2);
    p.tile[1] = size_min(p.t->lanes, p.t->registers / 2 / p.tile[0]);
    return p;
}

size_t batch_plane(const struct batch_product *p, size_t vectors) {
    size_t line = CACHE_LINE / sizeof(float);
    return size_align(vectors * p->t->lanes, line) + line;
}

// Planes of the sums, and of the group's operands and gradients.
static double winograd_bytes(const struct batch_product *p, const size_t part[2],
                             size_t group) {
    size_t blocks = divide_up(part[1], p->t->lanes);
    size_t floats = batch_plane(p, part[0] * part[1]) + batch_plane(p, blocks * group) +
                    batch_plane(p, part[0] * group);
    return (double)(BATCH_PLANES * floats * sizeof(float));
}

// As measured: what a transform takes of a tile and a block, and the products' loops.
static double winograd_cycles(const struct batch_product *p, const size_t part[2]) {
    const double transform = 120, loops = 1.1;
    double blocks = (double)(divide_up(part[1], p->t->lanes) + part[0]);
    double products = (double)(BATCH_PLANES * part[0] * part[1]) / 2;
    return (double)(p->tiles[0] * p->tiles[1]) * (loops * products + transform * blocks);
}

#define LEAST_GROUP ((size_t)16) // the sums are loaded and stored once for so many
#define MOST_GROUP  ((size_t)64)

static void choose_group(struct batch_product *p) {
    for (p->group = MOST_GROUP; p->group > LEAST_GROUP; p->group /= 2)
        if (winograd_bytes(p, p->part, p->group) <= (double)p->t->l2 * 2 / 3) break;
}

// ---- parts ---------------------------------------------------------------------------

struct costs {
    double across, down; // bytes of a row's operands, for one vector, for one line
    size_t lump;         // lines that lie in the same lines of the cache
};

static double row_bytes(const struct batch_product *p, const struct costs *c,
                        const size_t part[2]) {
    size_t lines = size_min(divide_up(part[1], c->lump) * c->lump, p->down);
    return c->across * (double)part[0] + c->down * (double)lines;
}

static double work_bytes(const struct batch_product *p, const size_t part[2]) {
    if (p->winograd) return winograd_bytes(p, part, p->group);
    size_t vector = p->t->lanes * sizeof(float);
    return (double)(part[0] * part[1] * p->taps * vector);
}

// Cycles a row takes on 2, 4 and 8 workers, those of two counting most. What comes from
// the third cache or farther takes a while: as measured, some bytes a cycle.
static double cut_cycles(const struct batch_product *p, const struct costs *c,
                         const size_t part[2]) {
    const double bytes_a_cycle = 5, per_part = 50;
    size_t parts = divide_up(p->across, part[0]) * divide_up(p->down, part[1]);
    double cycles = p->winograd ? winograd_cycles(p, part)
                                : (double)(part[0] * part[1] * p->taps * p->pixels) / 2;
    double all = 0;
    cycles += row_bytes(p, c, part) / bytes_a_cycle + per_part;
    for (size_t workers = 2, weight = 4; workers <= 8; workers *= 2, weight /= 2)
        all += (double)(divide_up(parts, workers) * workers * weight) * cycles;
    return all;
}

// What there is room for of those that take least; the smallest when there is room for
// none.
static void choose_parts(struct batch_product *p, const struct costs *c) {
    size_t step[2] = {p->tile[0], p->winograd ? p->t->lanes : p->tile[1]};
    double least = 0, room = (double)p->t->l2 / (p->winograd ? 2 : 4);
    p->group = LEAST_GROUP;
    memcpy(p->part, step, sizeof step);
    for (size_t a = step[0]; a < p->across + step[0]; a += step[0])
        for (size_t d = step[1]; d < p->down + step[1]; d += step[1]) {
            size_t part[2] = {a, d};
            if (work_bytes(p, part) > room) break;
            double cycles = cut_cycles(p, c, part);
            if (least > 0 && cycles >= least) continue;
            least = cycles;
            memcpy(p->part, part, sizeof part);
        }
    p->parts[0] = divide_up(p->across, p->part[0]);
    p->parts[1] = divide_up(p->down, p->part[1]);
}

#define MOST_ROWS 64

static void choose_rows(struct batch_product *p, const struct costs *c) {
    double room = (double)p->t->l2 / 2 - work_bytes(p, p->part);
    double rows = room > 0 ? room / row_bytes(p, c, p->part) : 1;
    p->rows = rows < 1 ? 1 : rows > MOST_ROWS ? MOST_ROWS : (size_t)rows;
}

// From shapes alone: another way rounds otherwise. Parts, and transforms that several of
// them make, follow from caches and are left out.
static bool winograd_is_less(const struct batch_product *p) {
    size_t all[2] = {p->across, p->down};
    double direct = (double)(p->across * p->down * p->taps * p->pixels) / 2;
    return winograd_cycles(p, all) < direct;
}

static void choose_way(struct batch_product *p, const struct costs *c,
                       const struct layout *d) {
    if (p->conv && winograd_takes_it(p, d)) {
        struct batch_product other = winograd_way(p);
        if (winograd_is_less(&other)) *p = other;
    }
    choose_parts(p, c);
    if (p->winograd) choose_group(p);
}

struct batch_product batch_product_of(const struct target *t, const struct kfunc *kf,
                                      const struct kernel *k) {
    const struct node *n = node_at(kf->f, k->anchor);
    const struct layout *x = &kf->places[n->in[0]].layout,
                        *y = &kf->places[n->in[1]].layout;
    struct batch_product p = {.t = t, .conv = n->op == OP_CONV_DW};
    CHECK(k->all_rows && k->prologue == NID_NONE);
    if (p.conv) of_conv(&p, kf, k);
    else of_matrices(&p, kf->f, n);
    struct costs c = {.across = (double)y->bytes / (double)p.across,
                      .down = (double)x->bytes / (double)p.down,
                      .lump = x->kind == LAYOUT_BLOCKED ? t->lanes : 1};
    choose_way(&p, &c, y);
    choose_rows(&p, &c);
    return p;
}

size_t batch_product_parts(const struct target *t, const struct kfunc *kf,
                           const struct kernel *k) {
    struct batch_product p = batch_product_of(t, kf, k);
    return p.parts[0] * p.parts[1];
}

size_t batch_product_work(const struct target *t, const struct kfunc *kf,
                          const struct kernel *k) {
    struct batch_product p = batch_product_of(t, kf, k);
    return (size_t)work_bytes(&p, p.part);
}

struct tiling batch_product_tiling(const struct target *t, const struct kfunc *kf,
                                   const struct kernel *k) {
    struct batch_product p = batch_product_of(t, kf, k);
    return (struct tiling){p.tile[0], p.tile[1], p.winograd ? p.group : 0, false};
}
