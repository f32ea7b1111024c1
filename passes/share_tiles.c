// Tiles: behind the cut of share.c more patches are in sight of a place than masks can
// have states for, but coalitions are few and much alike (a third of them show one patch,
// or all but one). So of each tile of a map only the states are computed that coalitions
// show it in, a convolution at a time, as rows of a function that gathers what it reads.
//
// Each convolution behind the cut goes tile by tile if that takes fewer operations than
// all coalitions do, with the tiles' side that takes the fewest.
#include "passes/share_impl.h"

#define MOST_COALITIONS ((size_t)2048) // and
#define MOST_GRID       ((size_t)8)    //   patches a side: bounds the counting of states
#define MOST_TILES      ((size_t)256)  // of a map
#define MOST_ROWS       65536.0        // of a function: there are tables by row
#define LEAST_SIDE      ((size_t)4)
#define MOST_BYTES      ((double)((size_t)48 << 20)) // of what is kept of one image
// The part of what all coalitions take that is worth a function of its own.
#define WORTH 0.15

struct states { // of a range of patches, as coalitions show it
    size_t n;
    int32_t *of; // by coalition
};

struct step { // a convolution that goes tile by tile
    nid head;
    size_t side;
    double rows;
};

struct tiler {
    struct share_ground g;
    struct states *ranges; // by first and last line and column
    int32_t *split;        // scratch of split: two numbers a coalition
    uint32_t *owner;       // by node: 1 + the convolution whose tiles it is computed in
    VEC(struct step) steps;
    double saved; // operations, of all coalitions together
    double bytes; // of the rows
};

struct tiler *tiler_new(const struct share_ground *g) {
    struct tiler *t = NEW(g->arena, struct tiler);
    size_t grid = g->s->grid;
    if (grid > MOST_GRID || g->s->coalitions->n > MOST_COALITIONS) return NULL;
    *t = (struct tiler){.g = *g};
    t->ranges = NEW_N(g->arena, struct states, (grid + 1) * grid * (grid + 1) * grid);
    t->split = NEW_N(g->arena, int32_t, 2 * g->s->coalitions->n);
    t->owner = NEW_N(g->arena, uint32_t, g->f->nodes.n);
    return t;
}

// ---- states --------------------------------------------------------------------------

// Tells apart the coalitions that do and that do not show one patch more.
static void split(const struct tiler *t, size_t patch, struct states *s) {
    const struct coalitions *c = t->g.s->coalitions;
    int32_t *next =
        t->split; // by state: 1 + what becomes of it, without and with the patch
    size_t n = 0;
    memset(next, 0, 2 * s->n * sizeof *next);
    for (size_t i = 0; i < c->n; i++) {
        int32_t *to = &next[2 * s->of[i] + (c->z[i * c->m + patch] != 0)];
        if (!*to) *to = (int32_t)++n;
        s->of[i] = *to - 1;
    }
    s->n = n;
}

// Where no patch is in sight all coalitions are one.
static const struct states *states_in(struct tiler *t, struct strips y, struct strips x) {
    const struct share_ground *g = &t->g;
    const struct coalitions *c = g->s->coalitions;
    size_t grid = g->s->grid;
    if (!strips_any(y) || !strips_any(x)) y = x = (struct strips){0, -1};
    size_t lines = (size_t)y.first * (grid + 1) + (size_t)(y.last + 1);
    size_t columns = (size_t)x.first * (grid + 1) + (size_t)(x.last + 1);
    struct states *s = &t->ranges[lines * grid * (grid + 1) + columns];
    if (s->of) return s;
    *s = (struct states){1, NEW_N(g->arena, int32_t, c->n)};
    for (int32_t i = y.first; i <= y.last; i++)
        for (int32_t j = x.first; j <= x.last; j++)
            split(t, (size_t)i * grid + (size_t)j, s);
    return s;
}

static struct strips joined(struct strips a, struct strips b) {
    if (!strips_any(a)) return b;
    if (!strips_any(b)) return a;
    return (struct strips){a.first < b.first ? a.first : b.first,
                           a.last > b.last ? a.last : b.last};
}

// What the places of a tile depend on.
static struct strips tile_reach(const struct reach *r, size_t side, size_t tile) {
    struct strips all = {0, -1};
    for (size_t i = tile * side; i < (tile + 1) * side; i++)
        all = joined(all, r->at[r->n == 1 ? 0 : i]);
    return all;
}

// Rows that the tiles of v take, all together.
static size_t count_rows(struct tiler *t, nid v, size_t side) {
    const size_t *dim = type_at(t->g.f, v)->dim;
    size_t rows = 0;
    for (size_t y = 0; y < dim[1] / side; y++)
        for (size_t x = 0; x < dim[2] / side; x++)
            rows += states_in(t, tile_reach(&t->g.down[v], side, y),
                              tile_reach(&t->g.across[v], side, x))
                        ->n;
    return rows;
}

// ---- convolutions --------------------------------------------------------------------

// Whether tiles so far apart in a value read can be looked up: all at the same places in
// the tiles that it has been cut into, or will be.
static bool can_step(const struct tiler *t, nid v, const size_t step[2]) {
    const size_t *dim = type_at(t->g.f, v)->dim;
    uint32_t owner = t->owner[v];
    for (int a = 0; a < 2; a++) {
        size_t cut = owner ? t->steps.at[owner - 1].side : step[a];
        if (dim[1 + a] % cut || step[a] % cut) return false;
    }
    return true;
}

static bool is_at_hand(const struct tiler *t, const bool *cut, nid v) {
    return (cut[v] || t->owner[v]) && v != t->g.s->image && share_can_gather(&t->g, v);
}

static bool can_be_head(const struct tiler *t, const bool *cut, nid v) {
    const struct node *n = node_at(t->g.f, v);
    return n->op == OP_CONV && !t->g.depends[n->in[1]] && is_at_hand(t, cut, n->in[0]) &&
           share_can_gather(&t->g, v);
}

size_t tile_window(const struct func *f, nid head, size_t side, int axis) {
    const struct node *n = node_at(f, head);
    struct conv_attrs c = conv_attrs_of(n);
    size_t taps = type_at(f, n->in[1])->dim[2 + axis];
    return (side - 1) * (size_t)c.strides[axis] + (taps - 1) * (size_t)c.dilations[axis] +
           1;
}

// Operations of one tile: Winograd's way takes whole tiles of four by four.
static double tile_ops(const struct tiler *t, nid head, size_t side) {
    const struct node *n = node_at(t->g.f, head);
    struct conv_attrs c = conv_attrs_of(n);
    size_t w[2], whole = c.strides[0] == 1 ? (side + 3) / 4 * 4 : side;
    for (int a = 0; a < 2; a++) w[a] = tile_window(t->g.f, head, side, a);
    double part = (double)(whole * whole) / (double)(n->type.dim[1] * n->type.dim[2]);
    size_t in = type_at(t->g.f, n->in[0])->dim[0] * w[0] * w[1];
    size_t out = n->type.dim[0] * side * side; // may be added to something
    return t->g.ops[head] * part + GATHER_OPS * (double)(in + out);
}

static void try_side(struct tiler *t, nid head, size_t side, struct step *best,
                     double *least) {
    const struct node *n = node_at(t->g.f, head);
    struct conv_attrs c = conv_attrs_of(n);
    size_t step[2], tiles = 1;
    for (int a = 0; a < 2; a++) {
        step[a] = side * (size_t)c.strides[a];
        if (n->type.dim[1 + a] % side) return;
        tiles *= n->type.dim[1 + a] / side;
    }
    if (tiles > MOST_TILES || !can_step(t, n->in[0], step)) return;
    double rows = (double)count_rows(t, head, side);
    double cost = rows * tile_ops(t, head, side);
    if (rows > MOST_ROWS || cost >= *least) return;
    *least = cost;
    *best = (struct step){head, side, rows};
}

static void add_head(struct tiler *t, nid v) {
    double all = t->g.ops[v] * (double)t->g.s->coalitions->n, least = all * (1 - WORTH);
    const size_t *dim = type_at(t->g.f, v)->dim;
    struct step best = {0};
    for (size_t side = LEAST_SIDE; side < size_min(dim[1], dim[2]); side++)
        try_side(t, v, side, &best, &least);
    double bytes = best.rows * (double)(dim[0] * best.side * best.side * sizeof(float));
    if (!best.side || t->bytes + bytes > MOST_BYTES) return;
    t->bytes += bytes;
    VEC_PUSH(t->g.arena, &t->steps, best);
    t->owner[v] = (uint32_t)t->steps.n;
    t->saved += all - least;
}

// ---- what is elementwise after them --------------------------------------------------

static bool is_flat(const struct type *t) { // the same at all places
    return t->rank == 0 || (t->rank == 3 && t->dim[1] == 1 && t->dim[2] == 1);
}

static bool can_read(const struct tiler *t, const bool *cut, nid v, nid o,
                     uint32_t owner) {
    const struct type *of = type_at(t->g.f, o), *to = type_at(t->g.f, v);
    size_t side = t->steps.at[owner - 1].side;
    if (!t->g.depends[o]) return is_flat(of);
    if (t->owner[o] == owner) return true;
    return type_same_shape(of, to) && is_at_hand(t, cut, o) &&
           can_step(t, o, (size_t[]){side, side});
}

static void add_follower(struct tiler *t, const bool *cut, nid v) {
    const struct node *n = node_at(t->g.f, v);
    uint32_t owner = 0;
    for (uint32_t i = 0; i < n->nin; i++)
        if (t->owner[n->in[i]] > owner) owner = t->owner[n->in[i]];
    if (!owner || !share_can_gather(&t->g, v)) return;
    nid head = t->steps.at[owner - 1].head;
    bool fits = type_same_shape(&n->type, type_at(t->g.f, head));
    for (uint32_t i = 0; fits && i < n->nin; i++)
        fits = can_read(t, cut, v, n->in[i], owner);
    if (fits) t->owner[v] = owner;
}

static void find(struct tiler *t, const bool *cut) {
    memset(t->owner, 0, t->g.f->nodes.n * sizeof *t->owner);
    t->steps.n = 0;
    t->saved = t->bytes = 0;
    for (nid v = t->g.s->image + 1; v < t->g.f->nodes.n; v++) {
        if (!t->g.depends[v] || cut[v]) continue;
        if (share_goes_along(t->g.f, v)) add_follower(t, cut, v);
        else if (can_be_head(t, cut, v)) add_head(t, v);
    }
}

// ---- for share.c ---------------------------------------------------------------------

struct tiles_found tiles_find(struct tiler *t, const bool *cut) {
    find(t, cut);
    struct tiles_found out = {.n = t->steps.n, .saved = t->saved};
    out.in = NEW_N(t->g.arena, bool, t->g.f->nodes.n);
    for (nid v = 0; v < t->g.f->nodes.n; v++) out.in[v] = t->owner[v] != 0;
    return out;
}

static void find_outs(const struct tiler *t, uint32_t owner, struct share_tiles *s) {
    const struct func *f = t->g.f;
    bool *in = NEW_N(t->g.arena, bool, f->nodes.n),
         *read = NEW_N(t->g.arena, bool, f->nodes.n);
    VEC(nid) out = {0};
    for (nid v = 0; v < f->nodes.n; v++) {
        const struct node *n = node_at(f, v);
        in[v] = t->owner[v] == owner;
        for (uint32_t i = 0; !in[v] && i < n->nin; i++)
            if (n->in[i] != NID_NONE) read[n->in[i]] = true;
    }
    for (nid v = 0; v < f->nodes.n; v++)
        if (in[v] && read[v]) VEC_PUSH(t->g.arena, &out, v);
    s->in = in, s->out = out.at, s->nout = out.n;
}

// What the tile depends on in any of the nodes that are computed for it.
static struct strips reach_together(const struct share_tiles *s, const struct func *f,
                                    const struct reach *of, size_t tile) {
    struct strips all = {0, -1};
    for (nid v = 0; v < f->nodes.n; v++)
        if (s->in[v]) all = joined(all, tile_reach(&of[v], s->side, tile));
    return all;
}

static void number_rows(struct tiler *t, struct share_tiles *s) {
    size_t n = t->g.s->coalitions->n, tiles = s->n[0] * s->n[1], most = 0;
    s->row = NEW_N(t->g.arena, int32_t, tiles * n);
    s->tile = NEW_N(t->g.arena, int32_t, tiles * n);
    s->shown = NEW_N(t->g.arena, int32_t, tiles * n);
    for (size_t i = 0; i < tiles; i++) {
        const struct states *states =
            states_in(t, reach_together(s, t->g.f, t->g.down, i / s->n[1]),
                      reach_together(s, t->g.f, t->g.across, i % s->n[1]));
        for (size_t c = 0; c < n; c++) {
            size_t row = s->rows + (size_t)states->of[c];
            s->row[i * n + c] = (int32_t)row;
            if (row < most) continue; // states are numbered as they appear
            s->tile[row] = (int32_t)i;
            s->shown[row] = (int32_t)c;
            most = row + 1;
        }
        s->rows += states->n;
    }
}

const struct share_tiles *tiles_plan(struct tiler *t, const bool *cut, size_t *n) {
    find(t, cut);
    *n = t->steps.n;
    struct share_tiles *out = NEW_N(t->g.arena, struct share_tiles, *n);
    for (size_t i = 0; i < *n; i++) {
        struct share_tiles *s = &out[i];
        const size_t *dim = type_at(t->g.f, t->steps.at[i].head)->dim;
        *s = (struct share_tiles){.head = t->steps.at[i].head,
                                  .side = t->steps.at[i].side};
        for (int a = 0; a < 2; a++) s->n[a] = dim[1 + a] / s->side;
        find_outs(t, (uint32_t)i + 1, s);
        number_rows(t, s);
    }
    return out;
}
