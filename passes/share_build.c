// The functions that share_choose decides on. Each copies the nodes of its level; what
// earlier levels computed it gathers from their slot, seen as one table an image.
#include "passes/share_impl.h"

struct build {
    struct lower *l;
    struct stage_build *s;
    const struct fn *whole; // every coalition by itself: what is copied from
    nid v;                  // the pipeline's value
    const struct shared *shared;
    struct share_plan plan;
    struct made *made; // by node
};

struct part { // one function being made
    struct build *b;
    struct fn *fn;
    uint32_t level; // masks, then tiles, then the values
    struct part_rows rows;
    nid subrow;
    nid *map; // by node of the whole
};

static const struct func *whole_func(const struct build *b) {
    return b->whole->b.f;
}

// ---- nodes ---------------------------------------------------------------------------

static nid input_again(struct part *p, nid v) {
    const struct fn *whole = p->b->whole;
    for (size_t i = 0; i < whole->in.n; i++)
        if (whole->inputs.at[i] == v) return fn_input(p->fn, whole->in.at[i]);
    BUG("an argument that no slot holds");
}

static nid gathered(struct part *p, nid v, const struct window *w) {
    struct build *b = p->b;
    struct gather g = {p->fn, b->shared, &b->plan, &p->rows, p->subrow};
    return share_gathered(&g, v, type_at(whole_func(b), v), &b->made[v], w);
}

// What goes with the results: a tile, or all of a map.
static nid gathered_here(struct part *p, nid v) {
    const size_t *dim = type_at(whole_func(p->b), v)->dim;
    struct window w = {.size = {dim[1], dim[2]}, .by = {1, 1}};
    for (int a = 0; p->rows.tiles && a < 2; a++)
        w.step[a] = w.size[a] = p->rows.tiles->side;
    return gathered(p, v, &w);
}

// The convolution of a tile reads a window that has its borders in it.
static nid tile_head(struct part *p, const struct node *n) {
    struct conv_attrs c = conv_attrs_of(n);
    const struct share_tiles *tiles = p->rows.tiles;
    struct window w;
    for (int a = 0; a < 2; a++) {
        w.step[a] = tiles->side * (size_t)c.strides[a];
        w.first[a] = -c.pads[a];
        w.by[a] = 1;
        w.size[a] = tile_window(whole_func(p->b), tiles->head, tiles->side, a);
    }
    memset(c.pads, 0, sizeof c.pads);
    return b_conv(&p->fn->b, gathered(p, n->in[0], &w), p->map[n->in[1]], &c);
}

// A slice looks up no more than it takes.
static bool slices_made(const struct part *p, const struct node *n) {
    if (n->op != OP_SLICE || p->rows.tiles || n->type.rank != 3) return false;
    const int64_t *steps = attr_ints(n, "steps", NULL);
    return p->b->made[n->in[0]].level < p->level && steps[1] > 0 && steps[2] > 0 &&
           n->type.dim[0] == type_at(whole_func(p->b), n->in[0])->dim[0];
}

static nid sliced(struct part *p, const struct node *n) {
    struct window w = {0};
    for (int a = 0; a < 2; a++) {
        w.size[a] = n->type.dim[1 + a];
        w.by[a] = (size_t)attr_ints(n, "steps", NULL)[1 + a];
        w.first[a] = attr_ints(n, "starts", NULL)[1 + a];
    }
    return gathered(p, n->in[0], &w);
}

static bool is_head(const struct part *p, nid v) {
    return p->rows.tiles && p->rows.tiles->head == v;
}

static nid copied(struct part *p, nid v) {
    struct build *b = p->b;
    const struct node *n = node_at(whole_func(b), v);
    if (v == b->shared->image)
        return b->shared->masked(p->fn, p->rows.masks, b->shared->ctx);
    if (n->op == OP_INPUT) return input_again(p, v);
    if (b->made[v].level < p->level) return gathered_here(p, v);
    if (is_head(p, v)) return tile_head(p, n);
    if (slices_made(p, n)) return sliced(p, n);
    nid *in = NEW_N(b->l->arena, nid, n->nin);
    for (uint32_t i = 0; i < n->nin; i++)
        in[i] = n->in[i] == NID_NONE ? NID_NONE : p->map[n->in[i]];
    return build_copy(&p->fn->b, n, in);
}

// What the level's results need, down to what earlier levels made.
static bool *needed(const struct part *p, const nid *outs, size_t nouts) {
    const struct func *f = whole_func(p->b);
    bool *need = NEW_N(p->b->l->arena, bool, f->nodes.n);
    for (size_t i = 0; i < nouts; i++) need[outs[i]] = true;
    for (nid v = (nid)f->nodes.n; v-- > 0;) {
        const struct node *n = node_at(f, v);
        bool given = v == p->b->shared->image || p->b->made[v].level < p->level;
        given |= slices_made(p, n);
        for (uint32_t i = is_head(p, v); need[v] && !given && i < n->nin; i++)
            if (n->in[i] != NID_NONE) need[n->in[i]] = true;
    }
    return need;
}

// ---- functions -----------------------------------------------------------------------

static struct part part_begin(struct build *b, size_t level, struct part_rows rows) {
    static const char *const names[] = {"states", "tiles", "values"};
    struct part p = {.b = b, .level = (uint32_t)level, .rows = rows};
    size_t which = level < b->plan.n ? 0 : level < b->plan.n + b->plan.ntiles ? 1 : 2;
    p.fn = fn_begin(b->l, b->s, rows.n, b->v, names[which]);
    p.fn->b.f->bf16 = whole_func(b)->bf16;
    p.map = NEW_N(b->l->arena, nid, whole_func(b)->nodes.n);
    uint32_t sub = slot_leaf(b->l, b->s, LEAF_SUBROW, rowset_at(b->l, b->v), rows.n,
                             type_scalar(ELEM_I32, true));
    p.subrow = fn_input(p.fn, sub);
    return p;
}

static void part_copy(struct part *p, const nid *outs, size_t nouts) {
    const bool *need = needed(p, outs, nouts);
    for (nid v = 0; v < whole_func(p->b)->nodes.n; v++)
        if (need[v]) p->map[v] = copied(p, v);
}

// All rows of an image as one table, and all tiles of a row.
static uint32_t table_slot(struct build *b, uint32_t slot, size_t rows) {
    struct type t = b->s->types.at[slot];
    size_t tiles = t.rank == 6 ? t.dim[0] * t.dim[1] : 1;
    size_t behind = t.rank == 6 ? 2 : 0;
    t.rank = t.rank - (uint32_t)behind + 1;
    memmove(t.dim + 1, t.dim + behind, (t.rank - 1) * sizeof t.dim[0]);
    t.dim[0] = rows * tiles;
    return slot_view(b->l, b->s, slot, 1, t);
}

static void part_finish(struct part *p, const nid *out, size_t nout) {
    struct build *b = p->b;
    nid *outs = NEW_N(b->l->arena, nid, nout);
    uint32_t *slots = NEW_N(b->l->arena, uint32_t, nout);
    part_copy(p, out, nout);
    for (size_t i = 0; i < nout; i++)
        outs[i] = share_packed(p->fn, p->map[out[i]], b->l->m->target->lanes,
                               b->made[out[i]].side);
    fn_finish_all(p->fn, outs, nout, slots);
    for (size_t i = 0; i < nout; i++) {
        b->made[out[i]].table = table_slot(b, slots[i], p->rows.n);
        b->made[out[i]].level = p->level;
    }
}

static void make_states(struct build *b, size_t level) {
    struct share_level *l = &b->plan.level[level];
    struct part p = part_begin(b, level, (struct part_rows){l->masks.n, &l->masks, NULL});
    part_finish(&p, l->out, l->nout);
    for (nid v = 0; v < whole_func(b)->nodes.n; v++)
        if (l->in[v] && b->made[v].level > level) b->made[v].level = (uint32_t)level;
}

static void make_tiles(struct build *b, size_t i) {
    const struct share_tiles *t = &b->plan.tiles[i];
    struct part_rows rows = {t->rows, NULL, t};
    struct part p = part_begin(b, b->plan.n + i, rows);
    for (size_t k = 0; k < t->nout; k++)
        b->made[t->out[k]].side[0] = b->made[t->out[k]].side[1] = t->side;
    part_finish(&p, t->out, t->nout);
}

static uint32_t make_values(struct build *b) {
    struct part_rows rows = {b->shared->coalitions->n, b->shared->coalitions, NULL};
    struct part p = part_begin(b, b->plan.n + b->plan.ntiles, rows);
    part_copy(&p, &b->shared->value, 1);
    return fn_finish(p.fn, p.map[b->shared->value]);
}

// ---- how maps are cut ----------------------------------------------------------------

// Tiles that node v of t reads of `in` lie so far apart: it is cut into tiles that all of
// them begin with. Of weights nothing is cut.
static void cut_for(struct build *b, const struct share_tiles *t, nid v, uint32_t i) {
    const struct node *n = node_at(whole_func(b), v);
    nid in = n->in[i];
    bool head = v == t->head;
    if (in == NID_NONE || (head && i > 0) || type_at(whole_func(b), in)->rank != 3)
        return;
    for (int a = 0; a < 2; a++) {
        size_t step = t->side * (head ? (size_t)conv_attrs_of(n).strides[a] : 1);
        b->made[in].side[a] = size_gcd(b->made[in].side[a], step);
    }
}

// Maps are one tile, unless tiles are read of them.
static void cut_maps(struct build *b) {
    const struct func *f = whole_func(b);
    for (nid v = 0; v < f->nodes.n; v++) {
        b->made[v].level = UINT32_MAX;
        for (int a = 0; type_at(f, v)->rank == 3 && a < 2; a++)
            b->made[v].side[a] = type_at(f, v)->dim[1 + a];
    }
    for (size_t t = 0; t < b->plan.ntiles; t++)
        for (nid v = 0; v < f->nodes.n; v++)
            for (uint32_t i = 0; b->plan.tiles[t].in[v] && i < node_at(f, v)->nin; i++)
                cut_for(b, &b->plan.tiles[t], v, i);
}

uint32_t share_finish(struct fn *f, nid v, const struct shared *s) {
    struct lower *l = f->l;
    struct build b = {.l = l, .s = f->s, .whole = f, .v = v, .shared = s};
    if (!l->m->unshared) b.plan = share_choose(l->arena, f->b.f, s);
    if (!b.plan.n) return fn_finish(f, s->value);
    b.made = NEW_N(l->arena, struct made, f->b.f->nodes.n);
    share_masks(l->arena, &b.plan, s);
    cut_maps(&b);
    for (size_t i = 0; i < b.plan.n; i++) make_states(&b, i);
    for (size_t i = 0; i < b.plan.ntiles; i++) make_tiles(&b, i);
    return make_values(&b);
}
