// Where coalitions part ways: see share.h. Candidates are the nodes up to one of them, as
// far as a range of patches reaches, with all that is elementwise after them; the
// cheapest chain of candidates is found level by level.
#include "passes/share_impl.h"

#define MOST_STATES ((size_t)4096)
#define MOST_BYTES  ((size_t)64 << 20) // of what is kept of one image
#define MOST_CUTS   ((size_t)1000)
// Sharing has to save this part of the work at least.
#define WORTH 0.03

struct cut { // the nodes at one level or before, and what those after it read
    size_t a, b;
    nid last;
    bool *in;
    nid *out;
    size_t nout;
    double inside, handed; // operations: of the nodes; of gathering what is read
    double cost;           // of the best chain of levels that ends here
    size_t before;         // the one before it in that chain; SIZE_MAX: none
    size_t level;
};

struct chooser {
    struct arena *arena;
    const struct func *f;
    const struct shared *s;
    const struct reach *down, *across;
    double *ops; // by node; 0 where it does not depend on the coalition
    bool *depends;
    bool *read; // by node: scratch of cut_outs
    struct share_ground ground;
    struct tiler *tiler; // NULL: no tiles
    VEC(struct cut) cuts;
};

// ---- one cut -------------------------------------------------------------------------

static bool stays_in(const struct chooser *c, const struct cut *k, nid v) {
    const struct node *n = node_at(c->f, v);
    if (reach_width(&c->down[v]) > k->a || reach_width(&c->across[v]) > k->b)
        return false;
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != NID_NONE && c->depends[n->in[i]] && !k->in[n->in[i]])
            return false;
    return true;
}

bool share_goes_along(const struct func *f, nid v) {
    return op_info(node_at(f, v)->op)->flags & OPF_ELEMENTWISE;
}

static void cut_nodes(struct chooser *c, struct cut *k) {
    k->in = NEW_N(c->arena, bool, c->f->nodes.n);
    for (nid v = c->s->image; v < c->f->nodes.n; v++) {
        if (!c->depends[v] || !(v <= k->last || share_goes_along(c->f, v))) continue;
        k->in[v] = stays_in(c, k, v);
        if (k->in[v]) k->inside += c->ops[v];
    }
}

bool share_can_gather(const struct share_ground *g, nid v) {
    const struct type *t = type_at(g->f, v);
    uint32_t y = g->down[v].axis, x = g->across[v].axis;
    return t->rank == 3 && t->elem == ELEM_F32 && (y == 1 || y == NO_AXIS) &&
           (x == 2 || x == NO_AXIS);
}

// The nodes that others read; the image is masked anew instead. False: one cannot be
// kept.
static bool cut_outs(struct chooser *c, struct cut *k) {
    memset(c->read, 0, c->f->nodes.n * sizeof *c->read);
    c->read[c->s->value] = true;
    for (nid v = 0; v < c->f->nodes.n; v++) {
        const struct node *n = node_at(c->f, v);
        for (uint32_t i = 0; c->depends[v] && !k->in[v] && i < n->nin; i++)
            if (n->in[i] != NID_NONE) c->read[n->in[i]] = true;
    }
    VEC(nid) out = {0};
    for (nid v = c->s->image + 1; v < c->f->nodes.n; v++) {
        if (!k->in[v] || !c->read[v]) continue;
        if (!share_can_gather(&c->ground, v)) return false;
        k->handed += GATHER_OPS * (double)type_count(type_at(c->f, v));
        VEC_PUSH(c->arena, &out, v);
    }
    k->out = out.at, k->nout = out.n;
    return out.n > 0;
}

static size_t states_of(const struct cut *k) {
    return (size_t)1 << (k->a * k->b);
}

static bool fits(const struct chooser *c, const struct cut *k) {
    size_t elements = 0;
    for (size_t i = 0; i < k->nout; i++) elements += type_count(type_at(c->f, k->out[i]));
    return elements <= MOST_BYTES / sizeof(float) / states_of(k);
}

// ---- chains of levels ----------------------------------------------------------------

// From one level to a later one, of so many rows.
static double step_cost(const struct cut *from, double inside, double rows) {
    return (inside - from->inside + from->handed) * rows;
}

static void find_before(struct chooser *c, struct cut *k) {
    double rows = (double)states_of(k);
    k->cost = k->inside * rows;
    k->before = SIZE_MAX;
    for (size_t i = 0; i < c->cuts.n; i++) {
        const struct cut *b = &c->cuts.at[i];
        if (b->level + 1 >= SHARE_LEVELS || b->a > k->a || b->b > k->b ||
            b->last > k->last || states_of(b) >= states_of(k))
            continue;
        double cost = b->cost + step_cost(b, k->inside, rows);
        if (cost >= k->cost) continue;
        k->cost = cost;
        k->before = i;
        k->level = b->level + 1;
    }
}

static void add_cut(struct chooser *c, size_t a, size_t b, nid last) {
    struct cut k = {.a = a, .b = b, .last = last};
    cut_nodes(c, &k);
    size_t n = c->cuts.n;
    bool same = n && c->cuts.at[n - 1].a == a && c->cuts.at[n - 1].b == b &&
                !memcmp(c->cuts.at[n - 1].in, k.in, c->f->nodes.n * sizeof *k.in);
    if (same || !cut_outs(c, &k) || !fits(c, &k)) return;
    find_before(c, &k);
    VEC_PUSH(c->arena, &c->cuts, k);
}

// Only where something was computed since the last candidate.
static void add_cuts(struct chooser *c, size_t a, size_t b) {
    for (nid v = c->s->image + 1; v < c->f->nodes.n && c->cuts.n < MOST_CUTS; v++)
        if (c->depends[v] && c->ops[v] > 0 && !share_goes_along(c->f, v))
            add_cut(c, a, b, v);
}

static void chooser_init(struct chooser *c) {
    size_t n = c->f->nodes.n;
    c->ops = NEW_N(c->arena, double, n);
    c->depends = NEW_N(c->arena, bool, n);
    c->read = NEW_N(c->arena, bool, n);
    for (nid v = c->s->image; v < n; v++) {
        c->depends[v] = reach_width(&c->down[v]) || reach_width(&c->across[v]);
        if (c->depends[v]) c->ops[v] = kernel_flops(c->f, v);
    }
    c->ground = (struct share_ground){c->arena,  c->f,   c->s,      c->down,
                                      c->across, c->ops, c->depends};
    c->tiler = tiler_new(&c->ground);
}

static struct share_level level_of(const struct cut *k) {
    return (struct share_level){
        .a = k->a, .b = k->b, .in = k->in, .out = k->out, .nout = k->nout};
}

// What coalitions save when convolutions behind a cut go tile by tile.
static double tiles_save(struct chooser *c, const struct cut *k) {
    double rows = (double)c->s->coalitions->n;
    if (!c->tiler) return 0;
    struct tiles_found t = tiles_find(c->tiler, k->in);
    struct cut with = {.in = t.in};
    if (!t.n) return 0;
    for (nid v = 0; v < c->f->nodes.n; v++) with.in[v] |= k->in[v];
    if (!cut_outs(c, &with)) return 0;
    return t.saved + (k->handed - with.handed) * rows;
}

static struct share_plan plan_of(const struct chooser *c, size_t last, bool tiles) {
    struct share_plan p = {.down = c->down, .across = c->across};
    for (size_t i = last; i != SIZE_MAX; i = c->cuts.at[i].before) p.n++;
    size_t level = p.n;
    for (size_t i = last; i != SIZE_MAX; i = c->cuts.at[i].before)
        p.level[--level] = level_of(&c->cuts.at[i]);
    if (tiles) p.tiles = tiles_plan(c->tiler, c->cuts.at[last].in, &p.ntiles);
    return p;
}

static struct share_plan best_chain(struct chooser *c) {
    double all = 0, rows = (double)c->s->coalitions->n, least;
    size_t best = SIZE_MAX;
    bool tiles = false;
    for (nid v = 0; v < c->f->nodes.n; v++) all += c->ops[v];
    least = all * rows * (1 - WORTH);
    for (size_t i = 0; i < c->cuts.n; i++) {
        const struct cut *k = &c->cuts.at[i];
        double cost = k->cost + step_cost(k, all, rows), saved = tiles_save(c, k);
        if (saved > 0) cost -= saved;
        if (cost >= least) continue;
        least = cost;
        best = i;
        tiles = saved > 0;
    }
    return plan_of(c, best, tiles);
}

// Which strip each line (or column) of an image belongs to.
static const int32_t *strips_of(struct arena *a, size_t size, size_t grid) {
    int32_t *of = NEW_N(a, int32_t, size);
    for (size_t g = 0; g < grid; g++)
        for (size_t i = g * size / grid; i < (g + 1) * size / grid; i++)
            of[i] = (int32_t)g;
    return of;
}

struct share_plan share_choose(struct arena *a, const struct func *f,
                               const struct shared *s) {
    struct chooser c = {.arena = a, .f = f, .s = s};
    const size_t *side = type_at(f, s->image)->dim + 1;
    c.down = receptive_find(a, f, s->image, 1, strips_of(a, side[0], s->grid));
    c.across = receptive_find(a, f, s->image, 2, strips_of(a, side[1], s->grid));
    chooser_init(&c);
    for (size_t i = 1; i <= s->grid; i++)
        for (size_t j = 1; j <= s->grid; j++) {
            bool few = i * j < 16 && (size_t)1 << (i * j) < s->coalitions->n;
            if (few && (size_t)1 << (i * j) <= MOST_STATES) add_cuts(&c, i, j);
        }
    return best_chain(&c);
}

// ---- masks ---------------------------------------------------------------------------

size_t share_state(const struct share_level *l, const uint8_t *z, size_t grid,
                   struct strips down, struct strips across) {
    size_t state = 0;
    for (int32_t y = down.first; y <= down.last; y++)
        for (int32_t x = across.first; x <= across.last; x++)
            if (z[(size_t)y * grid + (size_t)x])
                state |= (size_t)1 << ((size_t)y % l->a * l->b + (size_t)x % l->b);
    return state;
}

static bool strips_eq(struct strips a, struct strips b) {
    return a.first == b.first && a.last == b.last;
}

// Marks the states that any place of v shows of these coalitions.
static void mark_states(const struct share_plan *p, const struct share_level *l, nid v,
                        const struct coalitions *c, size_t grid, int32_t *kept) {
    const struct reach *down = &p->down[v], *across = &p->across[v];
    for (size_t y = 0; y < down->n; y++) {
        if (y && strips_eq(down->at[y], down->at[y - 1])) continue;
        for (size_t x = 0; x < across->n; x++) {
            if (x && strips_eq(across->at[x], across->at[x - 1])) continue;
            for (size_t i = 0; i < c->n; i++)
                kept[share_state(l, c->z + i * c->m, grid, down->at[y], across->at[x])] =
                    1;
        }
    }
}

// The masks whose numbers are marked, which get new numbers.
static void number_masks(struct arena *a, struct share_level *l, size_t grid,
                         int32_t *kept) {
    size_t all = (size_t)1 << (l->a * l->b), m = grid * grid, n = 0;
    l->masks = (struct coalitions){.m = m, .z = arena_alloc(a, all * m, 1)};
    for (size_t s = 0; s < all; s++) {
        if (!kept[s]) continue;
        kept[s] = (int32_t)n;
        uint8_t *z = l->masks.z + n++ * m;
        for (size_t y = 0; y < grid; y++)
            for (size_t x = 0; x < grid; x++)
                z[y * grid + x] = s >> (y % l->a * l->b + x % l->b) & 1;
    }
    l->masks.n = n;
    l->kept = kept;
}

void share_masks(struct arena *a, struct share_plan *p, const struct shared *s) {
    for (size_t i = p->n; i-- > 0;) {
        struct share_level *l = &p->level[i];
        int32_t *kept = NEW_N(a, int32_t, (size_t)1 << (l->a * l->b));
        const struct coalitions *c =
            i + 1 < p->n ? &p->level[i + 1].masks : s->coalitions;
        for (size_t k = 0; k < l->nout; k++)
            mark_states(p, l, l->out[k], c, s->grid, kept);
        number_masks(a, l, s->grid, kept);
    }
}
