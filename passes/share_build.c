// The functions that share_choose decides on. Each copies the nodes of its level; what
// earlier levels computed it gathers from their slot, seen as one table an image.
//
// Between functions maps lie in blocks of channels, [C / lanes, H, W, lanes], so that a
// place is a vector.
#include "passes/share_impl.h"

struct build {
    struct lower *l;
    struct stage_build *s;
    const struct fn *whole; // every coalition by itself: what is copied from
    nid v;                  // the pipeline's value
    const struct shared *shared;
    struct share_plan plan;
    uint32_t *table;   // by node: the slot where each image's states of it lie
    uint32_t *made_at; // by node: the level that computed it
};

struct part { // one function being made
    struct build *b;
    struct fn *fn;
    size_t level; // plan.n: the last
    const struct coalitions *rows;
    nid subrow;
    nid *map; // by node of the whole
};

static const struct func *whole_func(const struct build *b) {
    return b->whole->b.f;
}

// ---- blocks of channels ---------------------------------------------------------------

static nid packed(struct fn *f, nid x, size_t lanes) {
    static const int64_t none[3] = {0}, perm[4] = {0, 2, 3, 1};
    const size_t *dim = type_at(f->b.f, x)->dim;
    size_t c = dim[0], h = dim[1], w = dim[2], blocks = (c + lanes - 1) / lanes;
    int64_t after[3] = {(int64_t)(blocks * lanes - c)};
    x = b_pad(&f->b, x, none, after, none, 3, 0);
    x = b_reshape(&f->b, x, (size_t[]){blocks, lanes, h, w}, 4);
    return b_transpose(&f->b, x, perm, 4);
}

static nid unpacked(struct fn *f, nid x, size_t channels) {
    static const int64_t perm[4] = {0, 3, 1, 2}, zero[3] = {0}, one[3] = {1, 1, 1};
    const size_t *dim = type_at(f->b.f, x)->dim;
    size_t h = dim[1], w = dim[2], all[3] = {dim[0] * dim[3], h, w};
    int64_t sizes[3] = {(int64_t)channels, (int64_t)h, (int64_t)w};
    x = b_reshape(&f->b, b_transpose(&f->b, x, perm, 4), all, 3);
    return b_slice(&f->b, x, zero, one, sizes, 3);
}

// ---- gathering ------------------------------------------------------------------------

// Runs of places that depend on the same strips.
struct runs {
    struct strips *at;
    size_t n;
    int64_t *of; // by place
};

static struct runs runs_of(struct arena *a, const struct reach *r, size_t places) {
    struct runs out = {NEW_N(a, struct strips, r->n), 0, NEW_N(a, int64_t, places)};
    for (size_t i = 0; i < places; i++) {
        struct strips s = r->at[r->n == places ? i : 0];
        bool same = out.n && out.at[out.n - 1].first == s.first &&
                    out.at[out.n - 1].last == s.last;
        if (!same) out.at[out.n++] = s;
        out.of[i] = (int64_t)out.n - 1;
    }
    return out;
}

// Which state each place of v takes, one row of the function: i32 [1,H,W,1].
static nid state_index(struct part *p, const struct share_level *from, nid v) {
    struct arena *a = p->b->l->arena;
    const struct type *t = type_at(whole_func(p->b), v);
    size_t h = t->dim[1], w = t->dim[2], grid = p->b->shared->grid;
    struct runs y = runs_of(a, &p->b->plan.down[v], h);
    struct runs x = runs_of(a, &p->b->plan.across[v], w);
    size_t dim[3] = {p->rows->n, y.n, x.n};
    int32_t *table = NEW_N(a, int32_t, dim[0] * y.n * x.n), *at = table;
    for (size_t i = 0; i < dim[0]; i++)
        for (size_t j = 0; j < y.n; j++)
            for (size_t k = 0; k < x.n; k++)
                *at++ = from->kept[share_state(from, p->rows->z + i * p->rows->m, grid,
                                               y.at[j], x.at[k])];
    struct builder *b = &p->fn->b;
    nid index = b_const(b, type_tensor(ELEM_I32, false, 3, dim), table);
    index = b_gather(b, b_take(b, index, p->subrow), y.of, h, 0);
    return b_reshape(b, b_gather(b, index, x.of, w, 1), (size_t[]){1, h, w, 1}, 4);
}

static nid gathered(struct part *p, nid v) {
    struct build *b = p->b;
    const struct share_level *from = &b->plan.level[b->made_at[v]];
    nid operands[2] = {fn_input(p->fn, b->table[v]), state_index(p, from, v)};
    nid x = build_node(&p->fn->b, OP_CHOOSE, operands, 2, NULL, NULL);
    return unpacked(p->fn, x, type_at(whole_func(b), v)->dim[0]);
}

// ---- functions ------------------------------------------------------------------------

static nid input_again(struct part *p, nid v) {
    const struct fn *whole = p->b->whole;
    for (size_t i = 0; i < whole->in.n; i++)
        if (whole->inputs.at[i] == v) return fn_input(p->fn, whole->in.at[i]);
    BUG("an argument that no slot holds");
}

static nid copied(struct part *p, nid v) {
    struct build *b = p->b;
    const struct node *n = node_at(whole_func(b), v);
    if (v == b->shared->image) return b->shared->masked(p->fn, p->rows, b->shared->ctx);
    if (n->op == OP_INPUT) return input_again(p, v);
    if (b->made_at[v] < p->level) return gathered(p, v);
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
        bool given = v == p->b->shared->image || p->b->made_at[v] < p->level;
        for (uint32_t i = 0; need[v] && !given && i < n->nin; i++)
            if (n->in[i] != NID_NONE) need[n->in[i]] = true;
    }
    return need;
}

static struct part part_begin(struct build *b, size_t level, const struct coalitions *c) {
    struct part p = {.b = b, .level = level, .rows = c};
    const char *name = level < b->plan.n ? "states" : "values";
    p.fn = fn_begin(b->l, b->s, c->n, b->v, name);
    p.fn->b.f->bf16 = whole_func(b)->bf16;
    p.map = NEW_N(b->l->arena, nid, whole_func(b)->nodes.n);
    uint32_t sub = slot_leaf(b->l, b->s, LEAF_SUBROW, rowset_at(b->l, b->v), c->n,
                             type_scalar(ELEM_I32, true));
    p.subrow = fn_input(p.fn, sub);
    return p;
}

static void part_copy(struct part *p, const nid *outs, size_t nouts) {
    const bool *need = needed(p, outs, nouts);
    for (nid v = 0; v < whole_func(p->b)->nodes.n; v++)
        if (need[v]) p->map[v] = copied(p, v);
}

// All states of an image as one value.
static uint32_t table_slot(struct build *b, uint32_t slot, size_t states) {
    struct type t = b->s->types.at[slot];
    memmove(t.dim + 1, t.dim, t.rank * sizeof t.dim[0]);
    t.dim[0] = states;
    t.rank++;
    return slot_view(b->l, b->s, slot, 1, t);
}

static void make_states(struct build *b, size_t level) {
    struct share_level *l = &b->plan.level[level];
    struct part p = part_begin(b, level, &l->masks);
    nid *outs = NEW_N(b->l->arena, nid, l->nout);
    uint32_t *slots = NEW_N(b->l->arena, uint32_t, l->nout);
    part_copy(&p, l->out, l->nout);
    for (size_t i = 0; i < l->nout; i++)
        outs[i] = packed(p.fn, p.map[l->out[i]], b->l->m->target->lanes);
    fn_finish_all(p.fn, outs, l->nout, slots);
    for (size_t i = 0; i < l->nout; i++)
        b->table[l->out[i]] = table_slot(b, slots[i], l->masks.n);
    for (nid v = 0; v < whole_func(b)->nodes.n; v++)
        if (l->in[v] && b->made_at[v] > level) b->made_at[v] = (uint32_t)level;
    for (size_t i = 0; i < l->nout; i++) b->made_at[l->out[i]] = (uint32_t)level;
}

static uint32_t make_values(struct build *b) {
    struct part p = part_begin(b, b->plan.n, b->shared->coalitions);
    part_copy(&p, &b->shared->value, 1);
    return fn_finish(p.fn, p.map[b->shared->value]);
}

uint32_t share_finish(struct fn *f, nid v, const struct shared *s) {
    struct lower *l = f->l;
    struct build b = {.l = l, .s = f->s, .whole = f, .v = v, .shared = s};
    if (!l->m->unshared) b.plan = share_choose(l->arena, f->b.f, s);
    if (!b.plan.n) return fn_finish(f, s->value);
    size_t n = f->b.f->nodes.n;
    b.table = NEW_N(l->arena, uint32_t, n);
    b.made_at = NEW_N(l->arena, uint32_t, n);
    for (nid i = 0; i < n; i++) b.made_at[i] = UINT32_MAX;
    share_masks(l->arena, &b.plan, s);
    for (size_t i = 0; i < b.plan.n; i++) make_states(&b, i);
    return make_values(&b);
}
