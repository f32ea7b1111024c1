// Fusion: which values are stored, and which kernel computes each.
//
// Every node starts out inside the kernels that use it; the rules below say which must,
// or had better, be stored. Then each anchor (convolution, matrix product) draws in the
// elementwise chain above it, so that bias, residual and activation happen in registers.
#include "passes/joint.h"

#include "ir/batch_product.h"
#include "ir/build.h"

struct fuse {
    struct arena *arena;
    const struct func *f;
    const uint32_t *uses;
    nid *users; // first user of each node, NID_NONE: none
    bool *stored;
    bool *is_out;
    nid *claimed;    // the anchor whose kernel computes the node, NID_NONE: none
    size_t *cost;    // of computing the node once more, in elementwise operations
    uint32_t *width; // stored values its expression reads
    uint32_t *depth; // of its expression
    bool *late;      // depends on the anchor at hand
    bool *summed;    // small, and read for sums over the batch only
    const struct kernel **searched; // whose inputs were looked for under the node last
};

static const struct node *fnode(const struct fuse *s, nid v) {
    return node_at(s->f, v);
}
static uint32_t flags(const struct fuse *s, nid v) {
    return op_info(fnode(s, v)->op)->flags;
}
static bool is_source(enum op op) {
    return op == OP_INPUT || op_is_constant(op);
}

static bool reads(const struct node *n, nid v) {
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] == v) return true;
    return false;
}

// The value as products of bf16 read it; NID_NONE: none does. It is stored by the
// kernel that computes the value, beside it or in its place.
static nid half_of(const struct fuse *s, nid v) {
    if (fnode(s, v)->type.elem != ELEM_F32) return NID_NONE;
    for (nid u = s->users[v]; u != NID_NONE && u < s->f->nodes.n; u++)
        if (fnode(s, u)->type.elem == ELEM_BF16 && reads(fnode(s, u), v)) return u;
    return NID_NONE;
}

// The sum over the batch that the anchor is made for, and that its kernel stores
// instead of it; NID_NONE: none. What the function is given has no border for a
// convolution to read.
static nid sum_of(const struct fuse *s, nid anchor) {
    nid sum = s->users[anchor];
    if (!s->f->joint || s->is_out[anchor] || s->uses[anchor] != 1) return NID_NONE;
    if (kernel_border(s->f, anchor) && is_source(fnode(s, fnode(s, anchor)->in[0])->op))
        return NID_NONE;
    bool fits = flags(s, sum) & OPF_BATCH && batch_product_fits(s->f, sum);
    return fits ? sum : NID_NONE;
}

// ---- what must be stored -------------------------------------------------------------
// A small-channel image is made in the scratch of the convolution that reads it: there
// masking, cropping and normalising cost least.
static bool wants_prologue(const struct fuse *s, nid anchor) {
    const struct node *n = fnode(s, anchor);
    if (n->op == OP_MATMUL || n->op == OP_CONV_DX) return false;
    const struct node *x = fnode(s, n->in[0]);
    if (x->type.elem == ELEM_BF16 || sum_of(s, anchor) != NID_NONE) return false;
    return x->type.dim[0] <= FEW_CHANNELS || is_source(x->op);
}

static void store_operands(struct fuse *s, nid v) {
    const struct node *n = fnode(s, v);
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != NID_NONE &&
            !(i == 0 && (flags(s, v) & OPF_ANCHOR) && wants_prologue(s, v)))
            s->stored[n->in[i]] = true;
}

static bool only_half_is_read(const struct fuse *s, nid v) {
    return s->uses[v] == 1 && half_of(s, v) != NID_NONE;
}

static void store_required(struct fuse *s) {
    for (nid v = 0; v < s->f->nodes.n; v++) {
        const struct node *n = fnode(s, v);
        uint32_t fl = flags(s, v);
        if (is_source(n->op) && n->type.rank > 0) s->stored[v] = true;
        if (is_source(n->op) && n->op != OP_CONST) s->stored[v] = true;
        if (fl & (OPF_RUNTIME | OPF_ANCHOR)) s->stored[v] = true;
        if (fl & OPF_REDUCE && !only_half_is_read(s, v)) s->stored[v] = true;
        if (fl & OPF_BATCH || n->op == OP_PACK) s->stored[v] = true;
        if (fl & (OPF_RUNTIME | OPF_ANCHOR)) store_operands(s, v);
        if (s->is_out[v]) s->stored[v] = true;
    }
}

// ---- what had better be stored -------------------------------------------------------
static size_t op_cost(enum op op) {
    switch (op) {
    case OP_EXP:
    case OP_LOG:
    case OP_TANH:
    case OP_SIGMOID:
    case OP_ERF: return 20;
    case OP_SQRT:
    case OP_DIV: return 4;
    case OP_RESHAPE:
    case OP_CAST: return 0;
    default: return 1;
    }
}

// Do no two windows of a pool have an element in common?
static bool windows_apart(const struct node *pool) {
    const int64_t *kernel = attr_ints(pool, "kernel", NULL);
    const int64_t *strides = attr_ints(pool, "strides", NULL);
    return kernel[0] <= strides[0] && kernel[1] <= strides[1];
}

// How often user evaluates each element of operand v, roughly.
static double repeats(const struct fuse *s, nid v, nid user) {
    const struct node *u = fnode(s, user);
    const struct type *t = type_at(s->f, v);
    bool entry = u->op == OP_TAKE || u->op == OP_CHOOSE; // is all that a row reads of v
    if (entry && (flags(s, v) & OPF_MOVE)) return 1;
    if (u->type.rows && !t->rows) return 2;
    if (u->op == OP_MAXPOOL || u->op == OP_AVGPOOL) return windows_apart(u) ? 1 : 2;
    if (u->op == OP_MAXPOOL_DX || u->op == OP_MAXPOOL_JVP) return 2;
    if (flags(s, user) & (OPF_REDUCE | OPF_ANCHOR)) return 1; // anchors: once, in scratch
    return (double)type_count(&u->type) / (double)type_count(t);
}

// Numbers that a row looks up are as soon looked up again.
static bool is_lookup(const struct fuse *s, nid v) {
    while (fnode(s, v)->op == OP_GATHER || fnode(s, v)->op == OP_RESHAPE)
        v = fnode(s, v)->in[0];
    return fnode(s, v)->op == OP_TAKE && is_source(fnode(s, fnode(s, v)->in[0])->op);
}

// Sums over the batch are made by one worker. What large ones are of had better be made
// by all; what small ones are of, with them: it would take a round of all workers.
#define MANY 4096 // elements

static bool is_small(const struct fuse *s, nid v) {
    return type_count(type_at(s->f, v)) < MANY;
}

static void find_summed(struct fuse *s) {
    for (nid v = 0; v < s->f->nodes.n; v++)
        s->summed[v] = s->f->joint && fnode(s, v)->type.rows && is_small(s, v) &&
                       s->uses[v] && !s->is_out[v];
    for (nid u = (nid)s->f->nodes.n; u-- > 0;) {
        bool sums =
            flags(s, u) & OPF_BATCH || (s->summed[u] && flags(s, u) & OPF_ELEMENTWISE);
        for (uint32_t i = 0; i < fnode(s, u)->nin && !sums; i++)
            if (fnode(s, u)->in[i] != NID_NONE) s->summed[fnode(s, u)->in[i]] = false;
    }
}

static bool is_summed(const struct fuse *s, nid v) {
    if (s->users[v] == NID_NONE || is_small(s, v)) return false;
    return (flags(s, s->users[v]) & OPF_BATCH) != 0;
}

// What all rows share costs next to nothing once; it costs something in each element of
// each row, and the more so as expressions get too wide for a kernel.
static bool rows_read(const struct fuse *s, nid v) {
    if (!s->f->joint || fnode(s, v)->type.rows) return false;
    for (nid u = s->users[v]; u != NID_NONE && u < s->f->nodes.n; u++)
        if (fnode(s, u)->type.rows && reads(fnode(s, u), v)) return true;
    return false;
}

// Is its only user one that reads it twice, as squares do?
static bool is_squared(const struct fuse *s, nid v) {
    if (s->uses[v] != 2 || s->is_out[v]) return false;
    const struct node *u = fnode(s, s->users[v]);
    return u->nin == 2 && u->in[0] == v && u->in[1] == v;
}

static bool worth_storing(const struct fuse *s, nid v) {
    if (is_lookup(s, v)) return false;
    if (s->summed[v]) return false;
    if (is_summed(s, v)) return s->cost[v] > 1;
    if (rows_read(s, v)) return s->cost[v] > 0;
    if (s->uses[v] > 1 && !is_squared(s, v)) return s->cost[v] > 3;
    return s->users[v] != NID_NONE && s->cost[v] > 1 && repeats(s, v, s->users[v]) > 1;
}

// Bounds on an expression: kernels have so many buffers, and walks over it recurse.
#define WIDE        8 // of one inside a kernel
#define DEEP        24
#define MOST_INPUTS (KERNEL_MAX_BUFFERS - COUNT(((struct kernel *)0)->outs) - 1)

static uint32_t operand_width(const struct fuse *s, nid o) {
    return s->stored[o] ? 1 : s->width[o];
}

static uint32_t operands_width(const struct fuse *s, const struct node *n) {
    uint32_t width = 0;
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != NID_NONE) width += operand_width(s, n->in[i]);
    return width;
}

// Stores the widest operands of v until one kernel can read all that is left.
static void narrow(struct fuse *s, nid v) {
    const struct node *n = fnode(s, v);
    while (operands_width(s, n) > MOST_INPUTS) {
        nid widest = n->in[0];
        for (uint32_t i = 1; i < n->nin; i++)
            if (operand_width(s, n->in[i]) > operand_width(s, widest)) widest = n->in[i];
        CHECK(operand_width(s, widest) > 1); // the narrow pass bounds the operands
        s->stored[widest] = true;
    }
}

static void measure(struct fuse *s, nid v) {
    const struct node *n = fnode(s, v);
    narrow(s, v);
    s->cost[v] = op_cost(n->op);
    s->width[v] = operands_width(s, n);
    s->depth[v] = 0;
    for (uint32_t i = 0; i < n->nin; i++) {
        nid o = n->in[i];
        if (o == NID_NONE) continue;
        s->cost[v] += s->stored[o] ? 0 : s->cost[o];
        uint32_t depth = s->stored[o] ? 1 : s->depth[o] + 1;
        if (depth > s->depth[v]) s->depth[v] = depth;
    }
}

static void store_worthwhile(struct fuse *s) {
    for (nid v = 0; v < s->f->nodes.n; v++) {
        measure(s, v);
        if (s->stored[v] || is_source(fnode(s, v)->op)) continue;
        s->stored[v] = worth_storing(s, v) || s->width[v] > WIDE || s->depth[v] > DEEP;
    }
}

// ---- drawing chains into anchors -----------------------------------------------------
static void mark_late(struct fuse *s, nid anchor) {
    for (nid v = 0; v < s->f->nodes.n; v++) {
        const struct node *n = fnode(s, v);
        s->late[v] = v == anchor;
        for (uint32_t i = 0; i < n->nin; i++)
            if (n->in[i] != NID_NONE && s->late[n->in[i]]) s->late[v] = true;
    }
}

// Gradients of statistics are sums of products that nothing else wants: these had
// better be made where they are summed than be stored by an anchor's kernel.
static bool only_summed(const struct fuse *s, nid v) {
    if (!s->f->joint || s->is_out[v] || s->uses[v] != 1) return false;
    return (flags(s, s->users[v]) & OPF_REDUCE) != 0;
}

// Whether user can be computed as the anchor's tile is written: elementwise in its shape,
// and what else it reads does not depend on the anchor, or is in the chain already.
static bool joins(const struct fuse *s, nid v, nid user) {
    const struct node *u = fnode(s, user);
    if (!(flags(s, user) & OPF_ELEMENTWISE) || u->op == OP_STEP || u->op == OP_EQ)
        return false;
    if (u->type.elem != ELEM_F32 || u->type.rows != type_at(s->f, v)->rows) return false;
    if (!type_same_shape(&u->type, type_at(s->f, v)) || only_summed(s, user))
        return false;
    for (uint32_t i = 0; i < u->nin; i++)
        if (s->late[u->in[i]] && s->claimed[u->in[i]] != s->claimed[v]) return false;
    return true;
}

// The first user that joins, unless another anchor has it.
static nid next_in_chain(const struct fuse *s, nid v) {
    for (nid u = s->users[v]; u != NID_NONE && u < s->f->nodes.n; u++)
        if (reads(fnode(s, u), v) && joins(s, v, u))
            return s->claimed[u] == NID_NONE ? u : NID_NONE;
    return NID_NONE;
}

struct chain { // from the anchor up, each computed of those before it
    nid at[DEEP + 1];
    uint32_t width[DEEP + 1]; // stored values read by all up to here
    size_t n;
};

// What joining adds to the kernel's inputs: everything the user reads besides the chain.
static uint32_t added_width(const struct fuse *s, nid anchor, nid user) {
    const struct node *n = fnode(s, user);
    uint32_t width = 0;
    for (uint32_t i = 0; i < n->nin; i++)
        if (s->claimed[n->in[i]] != anchor) width += operand_width(s, n->in[i]);
    return width;
}

static void add_link(struct fuse *s, struct chain *c, nid v) {
    nid anchor = c->at[0];
    if (v == NID_NONE || c->n == COUNT(c->at)) return;
    c->width[c->n] = c->width[c->n - 1] + added_width(s, anchor, v);
    c->at[c->n++] = v;
    s->claimed[v] = anchor;
}

static void climb(struct fuse *s, nid anchor, struct chain *c) {
    nid v = anchor;
    *c = (struct chain){.at = {v}, .width = {operands_width(s, fnode(s, v))}, .n = 1};
    s->claimed[v] = anchor;
    if (fnode(s, v)->type.rank == 0) return;
    mark_late(s, v);
    add_link(s, c, half_of(s, v));
    while (c->n < COUNT(c->at) && (v = next_in_chain(s, v)) != NID_NONE) {
        add_link(s, c, v);
        add_link(s, c, half_of(s, v));
    }
}

// Is c->at[i] read by others than the first n of the chain?
static bool read_elsewhere(const struct fuse *s, const struct chain *c, size_t i,
                           size_t n) {
    uint32_t inside = 0;
    for (size_t j = i + 1; j < n; j++) {
        const struct node *u = fnode(s, c->at[j]);
        for (uint32_t k = 0; k < u->nin; k++) inside += u->in[k] == c->at[i];
    }
    return s->is_out[c->at[i]] || s->uses[c->at[i]] > inside;
}

// Whether a kernel can hold the first n of the chain; fills in what it stores.
static bool holds(const struct fuse *s, const struct chain *c, size_t n,
                  struct kernel *k) {
    k->outs[0] = c->at[n - 1];
    k->nouts = 1;
    if (c->width[n - 1] > MOST_INPUTS) return n == 1;
    for (size_t i = 0; i + 1 < n; i++) {
        if (!read_elsewhere(s, c, i, n)) continue;
        if (k->nouts == COUNT(k->outs)) return false;
        k->outs[k->nouts++] = c->at[i];
    }
    return true;
}

// Climbs from the anchor to the kernel's root. A value on the way that others read too is
// stored as well.
static void draw_in(struct fuse *s, struct kernel *k) {
    struct chain c;
    climb(s, k->anchor, &c);
    size_t n = c.n;
    while (!holds(s, &c, n, k)) n--;
    for (size_t i = n; i < c.n; i++) s->claimed[c.at[i]] = NID_NONE;
    for (size_t i = 0; i < n; i++) s->stored[c.at[i]] = false;
    for (size_t i = 0; i < k->nouts; i++) s->stored[k->outs[i]] = true;
}

// ---- kernels -------------------------------------------------------------------------
static void add_input(struct kernel *k, nid v) {
    for (size_t i = 0; i < k->nins; i++)
        if (k->ins[i] == v) return;
    CHECK(k->nins < KERNEL_MAX_BUFFERS);
    k->ins[k->nins++] = v;
}

static bool makes(const struct kernel *k, nid v) {
    for (size_t i = 0; i < k->nouts; i++)
        if (k->outs[i] == v) return true;
    return false;
}

// Adds the stored values that v's expression reads; those the kernel itself makes are not
// inputs but on the way down.
static void find_inputs(struct fuse *s, struct kernel *k, nid v) {
    const struct node *n = fnode(s, v);
    for (uint32_t i = 0; i < n->nin; i++) {
        nid o = n->in[i];
        if (o == NID_NONE || s->searched[o] == k) continue;
        s->searched[o] = k;
        bool inside =
            makes(k, o) || (k->anchor != NID_NONE && s->claimed[o] == k->anchor);
        if (s->stored[o] && !inside) add_input(k, o);
        else if (!is_source(fnode(s, o)->op)) find_inputs(s, k, o);
    }
}

// A value and its half in one go.
static void add_half(struct fuse *s, struct kernel *k) {
    nid v = k->outs[0], half = half_of(s, v);
    if (half == NID_NONE || !s->stored[half] || s->claimed[half] != NID_NONE) return;
    s->claimed[half] = v;
    k->outs[k->nouts++] = half;
}

// Nothing joins it: it reads its two operands and stores the sum.
static struct kernel kernel_of_sum(struct fuse *s, nid anchor, nid sum) {
    s->claimed[anchor] = s->claimed[sum] = anchor;
    s->stored[anchor] = false;
    return (struct kernel){.outs = {sum},
                           .nouts = 1,
                           .anchor = anchor,
                           .prologue = NID_NONE,
                           .all_rows = true};
}

static struct kernel kernel_of(struct fuse *s, nid v) {
    struct kernel k = {.outs = {v}, .nouts = 1, .anchor = NID_NONE, .prologue = NID_NONE};
    nid sum = flags(s, v) & OPF_ANCHOR ? sum_of(s, v) : NID_NONE;
    if (sum != NID_NONE) return kernel_of_sum(s, v, sum);
    if (flags(s, v) & OPF_ANCHOR) {
        k.anchor = v;
        draw_in(s, &k);
        if (wants_prologue(s, v)) k.prologue = fnode(s, v)->in[0];
    }
    k.all_rows = (flags(s, v) & OPF_BATCH) != 0;
    k.runtime = (flags(s, v) & OPF_RUNTIME) != 0;
    if (k.anchor == NID_NONE && !k.runtime) add_half(s, &k);
    return k;
}

// Kernels in an order in which each finds what it reads. They nearly are already: a
// kernel that stores a value on the way to its root may come after one that reads it.
static void order(struct arena *arena, const struct fuse *s, struct kfunc *k) {
    size_t n = k->kernels.n, placed = 0;
    struct kernel *in = k->kernels.at, *out = NEW_N(arena, struct kernel, n);
    bool *ready = NEW_N(arena, bool, s->f->nodes.n), *done = NEW_N(arena, bool, n);
    for (nid v = 0; v < s->f->nodes.n; v++) ready[v] = is_source(fnode(s, v)->op);
    while (placed < n) {
        size_t before = placed;
        for (size_t i = 0; i < n; i++) {
            bool waits = done[i];
            for (size_t j = 0; j < in[i].nins; j++) waits |= !ready[in[i].ins[j]];
            if (waits) continue;
            done[i] = true;
            out[placed++] = in[i];
            for (size_t j = 0; j < in[i].nouts; j++) ready[in[i].outs[j]] = true;
        }
        CHECK(placed > before);
    }
    k->kernels.at = out;
}

static void place_all(const struct fuse *s, struct kfunc *k) {
    size_t inputs = 0;
    for (nid v = 0; v < s->f->nodes.n; v++) {
        struct place *p = &k->places[v];
        enum op op = fnode(s, v)->op;
        if (op == OP_INPUT) *p = (struct place){.kind = PLACE_IN, .offset = inputs++};
        else if (!s->stored[v]) p->kind = PLACE_NONE;
        else p->kind = is_source(op) ? PLACE_CONST : PLACE_ARENA;
    }
    for (size_t i = 0; i < s->f->outs.n; i++) {
        struct place *p = &k->places[s->f->outs.at[i]];
        if (p->kind != PLACE_ARENA) BUG("%s: an output is not computed", s->f->name);
        *p = (struct place){.kind = PLACE_OUT, .offset = i};
    }
}

static void fuse_init(struct fuse *s, struct arena *arena, const struct func *f) {
    size_t n = f->nodes.n;
    *s = (struct fuse){.arena = arena, .f = f, .uses = func_uses(f, arena)};
    s->users = NEW_N(arena, nid, n);
    s->stored = NEW_N(arena, bool, n);
    s->is_out = NEW_N(arena, bool, n);
    s->claimed = NEW_N(arena, nid, n);
    s->cost = NEW_N(arena, size_t, n);
    s->width = NEW_N(arena, uint32_t, n);
    s->depth = NEW_N(arena, uint32_t, n);
    s->late = NEW_N(arena, bool, n);
    s->summed = NEW_N(arena, bool, n);
    s->searched = NEW_N(arena, const struct kernel *, n);
    for (nid v = 0; v < n; v++) s->users[v] = s->claimed[v] = NID_NONE;
    for (nid v = (nid)n; v-- > 0;)
        for (uint32_t i = 0; i < node_at(f, v)->nin; i++)
            if (node_at(f, v)->in[i] != NID_NONE) s->users[node_at(f, v)->in[i]] = v;
    for (size_t i = 0; i < f->outs.n; i++) s->is_out[f->outs.at[i]] = true;
}

// Needs: no marks. Makes mf->k; mf->f stays as it is from here on.
bool pass_fuse(struct module *m, struct module_func *mf, struct diags *d) {
    (void)d;
    struct fuse s;
    fuse_init(&s, m->arena, mf->f);
    struct kfunc *k = NEW(m->arena, struct kfunc);
    *k = (struct kfunc){.f = mf->f,
                        .joint = mf->f->joint,
                        .places = NEW_N(m->arena, struct place, mf->f->nodes.n)};
    find_summed(&s);
    store_required(&s);
    store_worthwhile(&s);
    // Anchors first: what they draw in is settled before the rest becomes kernels.
    for (nid v = 0; v < mf->f->nodes.n; v++)
        if (flags(&s, v) & OPF_ANCHOR) VEC_PUSH(m->arena, &k->kernels, kernel_of(&s, v));
    for (nid v = 0; v < mf->f->nodes.n; v++)
        if (s.stored[v] && s.claimed[v] == NID_NONE && !is_source(fnode(&s, v)->op))
            VEC_PUSH(m->arena, &k->kernels, kernel_of(&s, v));
    for (size_t i = 0; i < k->kernels.n; i++)
        for (size_t j = 0; j < k->kernels.at[i].nouts; j++)
            find_inputs(&s, &k->kernels.at[i], k->kernels.at[i].outs[j]);
    order(m->arena, &s, k);
    if (k->joint) joint_order(m->arena, k);
    place_all(&s, k);
    mf->k = k;
    return true;
}
