// Looking up what masks and tiles have computed: a window of a map, put together of the
// tiles it touches, each from the row of the table that shows what the function's row
// does.
//
// All tiles of a part look the same way: they lie a multiple of the table's tiles apart.
// So where in a tile a place of the window lies is known when the function is made, and
// the places between two edges of tiles are one run, with one number a row in a constant.
#include "passes/share_impl.h"

// ---- blocks of channels --------------------------------------------------------------

nid share_packed(struct fn *f, nid x, size_t lanes, const size_t side[2]) {
    static const int64_t none[3] = {0}, perm[4] = {0, 2, 3, 1},
                         tiles[] = {2, 4, 0, 3, 5, 1};
    const size_t *dim = type_at(f->b.f, x)->dim;
    size_t c = dim[0], h = dim[1], w = dim[2], blocks = (c + lanes - 1) / lanes;
    int64_t after[3] = {(int64_t)(blocks * lanes - c)};
    x = b_pad(&f->b, x, none, after, none, 3, 0);
    if (side[0] == h && side[1] == w) {
        x = b_reshape(&f->b, x, (size_t[]){blocks, lanes, h, w}, 4);
        return b_transpose(&f->b, x, perm, 4);
    }
    size_t cut[] = {blocks, lanes, h / side[0], side[0], w / side[1], side[1]};
    return b_transpose(&f->b, b_reshape(&f->b, x, cut, 6), tiles, 6);
}

static nid unpacked(struct fn *f, nid x, size_t channels) {
    static const int64_t perm[4] = {0, 3, 1, 2}, zero[3] = {0}, one[3] = {1, 1, 1};
    const size_t *dim = type_at(f->b.f, x)->dim;
    size_t h = dim[1], w = dim[2], all[3] = {dim[0] * dim[3], h, w};
    int64_t sizes[3] = {(int64_t)channels, (int64_t)h, (int64_t)w};
    x = b_reshape(&f->b, b_transpose(&f->b, x, perm, 4), all, 3);
    return b_slice(&f->b, x, zero, one, sizes, 3);
}

// ---- runs ----------------------------------------------------------------------------

struct axis {                     // of the window
    size_t tiles, step, size, by; // tiles of the part
    int64_t start;
    size_t side, n; // of the table's tiles, and how many
    const struct reach *reach;
    size_t runs;
    int64_t *run;  // by place of the window
    int64_t *in;   // the same: where in a tile of the table
    size_t *first; // by run: its first place
};

static int64_t place_of(const struct axis *x, size_t tile, size_t i) {
    return (int64_t)(tile * x->step + i * x->by) + x->start;
}

static bool is_inside(const struct axis *x, int64_t place) {
    return place >= 0 && place < (int64_t)(x->side * x->n);
}

static struct strips reach_at(const struct axis *x, int64_t place) {
    return x->reach->at[x->reach->n == 1 ? 0 : place];
}

static int64_t floor_div(int64_t a, int64_t by) {
    return a / by - (a % by < 0);
}

// Does anything that decides on the row change between place i and the one before it?
static bool begins_run(const struct axis *x, size_t i, bool by_reach) {
    int64_t side = (int64_t)x->side, by = (int64_t)x->by, at = place_of(x, 0, i);
    if (i == 0 || floor_div(at, side) != floor_div(at - by, side)) return true;
    for (size_t t = 0; by_reach && t < x->tiles; t++) {
        at = place_of(x, t, i);
        if (!is_inside(x, at) || !is_inside(x, at - by)) continue;
        struct strips a = reach_at(x, at), b = reach_at(x, at - by);
        if (a.first != b.first || a.last != b.last) return true;
    }
    return false;
}

static void find_runs(struct arena *a, struct axis *x, bool by_reach) {
    int64_t side = (int64_t)x->side;
    x->run = NEW_N(a, int64_t, x->size);
    x->in = NEW_N(a, int64_t, x->size);
    x->first = NEW_N(a, size_t, x->size);
    for (size_t i = 0; i < x->size; i++) {
        if (begins_run(x, i, by_reach)) x->first[x->runs++] = i;
        x->run[i] = (int64_t)x->runs - 1;
        x->in[i] = (place_of(x, 0, i) % side + side) % side;
    }
}

static bool leaves(const struct axis *x) { // does any tile's window leave the map?
    return !is_inside(x, place_of(x, 0, 0)) ||
           !is_inside(x, place_of(x, x->tiles - 1, x->size - 1));
}

// ---- rows of the table ---------------------------------------------------------------

struct lookup {
    const struct gather *g;
    const struct made *made;
    struct axis y, x;
};

// The number of the table's row that has the place as row `row` of the function shows it.
static int32_t row_at(const struct lookup *l, size_t row, int64_t y, int64_t x) {
    const struct share_plan *p = l->g->plan;
    const struct part_rows *r = l->g->rows;
    const struct coalitions *c = r->tiles ? l->g->s->coalitions : r->masks;
    size_t shown = r->tiles ? (size_t)r->tiles->shown[row] : row;
    size_t tile = (size_t)y / l->y.side * l->x.n + (size_t)x / l->x.side;
    if (l->made->level >= p->n) {
        CHECK(c == l->g->s->coalitions);
        return p->tiles[l->made->level - p->n].row[tile * c->n + shown];
    }
    const struct share_level *from = &p->level[l->made->level];
    size_t state = share_state(from, c->z + shown * c->m, l->g->s->grid,
                               reach_at(&l->y, y), reach_at(&l->x, x));
    return from->kept[state] * (int32_t)(l->y.n * l->x.n) + (int32_t)tile;
}

// By row and run: the row of the table, and whether the run lies inside of the map.
static void fill_tables(const struct lookup *l, int32_t *row, float *inside) {
    const struct share_tiles *t = l->g->rows->tiles;
    for (size_t i = 0; i < l->g->rows->n; i++) {
        size_t tile = t ? (size_t)t->tile[i] : 0, across = t ? t->n[1] : 1;
        for (size_t j = 0; j < l->y.runs; j++)
            for (size_t k = 0; k < l->x.runs; k++, row++, inside++) {
                int64_t y = place_of(&l->y, tile / across, l->y.first[j]);
                int64_t x = place_of(&l->x, tile % across, l->x.first[k]);
                *inside = is_inside(&l->y, y) && is_inside(&l->x, x);
                *row = *inside != 0 ? row_at(l, i, y, x) : 0;
            }
    }
}

// The function's row of a table by runs, spread over the window: [1,H,W,1].
static nid spread(const struct lookup *l, nid table) {
    struct builder *b = &l->g->fn->b;
    nid x = b_take(b, table, l->g->subrow);
    if (l->y.runs == 1 && l->x.runs == 1)
        return b_reshape(b, x, (size_t[]){1, 1, 1, 1}, 4);
    x = b_gather(b, x, l->y.run, l->y.size, 0);
    x = b_gather(b, x, l->x.run, l->x.size, 1);
    return b_reshape(b, x, (size_t[]){1, l->y.size, l->x.size, 1}, 4);
}

// The table with the window's places in that of each tile's.
static nid places_of(struct builder *b, nid table, const struct axis *x, int64_t axis) {
    bool same = x->size == x->side;
    for (size_t i = 0; same && i < x->size; i++) same = x->in[i] == (int64_t)i;
    return same ? table : b_gather(b, table, x->in, x->size, axis);
}

static struct axis axis_of(const struct gather *g, nid v, const struct made *m,
                           const struct window *w, int a, size_t dim) {
    const struct reach *r = a ? g->plan->across : g->plan->down;
    struct axis x = {.tiles = g->rows->tiles ? g->rows->tiles->n[a] : 1,
                     .step = w->step[a],
                     .start = w->first[a],
                     .size = w->size[a],
                     .by = w->by[a],
                     .side = m->side[a],
                     .n = dim / m->side[a],
                     .reach = &r[v]};
    find_runs(g->fn->l->arena, &x, m->level < g->plan->n);
    return x;
}

nid share_gathered(const struct gather *g, nid v, const struct type *t,
                   const struct made *m, const struct window *w) {
    struct builder *b = &g->fn->b;
    struct arena *arena = g->fn->l->arena;
    struct lookup l = {.g = g, .made = m};
    l.y = axis_of(g, v, m, w, 0, t->dim[1]);
    l.x = axis_of(g, v, m, w, 1, t->dim[2]);
    size_t dim[3] = {g->rows->n, l.y.runs, l.x.runs}, n = dim[0] * dim[1] * dim[2];
    int32_t *row = NEW_N(arena, int32_t, n);
    float *inside = NEW_N(arena, float, n);
    fill_tables(&l, row, inside);
    nid table = places_of(b, places_of(b, fn_input(g->fn, m->table), &l.y, 2), &l.x, 3);
    nid which = spread(&l, b_const(b, type_tensor(ELEM_I32, false, 3, dim), row));
    nid x = build_node(b, OP_CHOOSE, (nid[]){table, which}, 2, NULL, NULL);
    if (leaves(&l.y) || leaves(&l.x)) {
        nid mask = b_const(b, type_tensor(ELEM_F32, false, 3, dim), inside);
        x = b_binary(b, OP_MUL, x, spread(&l, mask));
    }
    return unpacked(g->fn, x, t->dim[0]);
}
