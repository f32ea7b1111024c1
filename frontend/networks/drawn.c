// Models with all parameters drawn anew, as PyTorch starts layers of their kind.
//
// What a parameter is to the network is seen from what is done with it: the weight of a
// convolution or a linear layer, a bias (it is added to what a weight gave), the scale or
// the shift of a norm, the slope of a PReLU. What is none of these (tokens, positions)
// comes from N(0, 0.02), as vision transformers have it.
#include "frontend/networks.h"
#include "frontend/networks/layers.h"

enum made { // how a value came about, as far as it tells what is added to it
    MADE_OTHERWISE,
    MADE_BY_WEIGHT, // of a layer with `fan_in` inputs
    MADE_BY_SCALE,
    MADE_BY_MIN, // as the part of a PReLU below 0
};

struct sight { // what is known of a node
    nid param; // that it shows, moved about at most; NID_NONE: none
    enum made made;
    size_t fan_in;
};

struct begin { // of a parameter
    enum start how;
    double scale;
    bool known;
};

struct drawing {
    const struct func *f;
    struct sight *sights; // by node
    struct begin *begins; // by node
};

static const struct begin TOKEN = {START_NORMAL, 0.02, true};
static const struct begin ZERO = {START_ALL, 0, true}, ONE = {START_ALL, 1, true};

// The first use counts.
static void begin_as(struct drawing *g, nid param, struct begin begin) {
    if (param != NID_NONE && !g->begins[param].known) g->begins[param] = begin;
}

static struct begin uniform(size_t fan_in) {
    return (struct begin){START_UNIFORM, start_bound(fan_in), true};
}

// ---- what is done with parameters ----------------------------------------------------
static bool moves(enum op op) {
    return op == OP_RESHAPE || op == OP_TRANSPOSE || op == OP_BROADCAST;
}

// A product with a weight, which is the second operand where both are parameters.
static struct sight see_product(struct drawing *g, const struct node *n, int weight,
                                size_t fan_in) {
    begin_as(g, g->sights[n->in[weight]].param, uniform(fan_in));
    return (struct sight){NID_NONE, MADE_BY_WEIGHT, fan_in};
}

static struct sight see_conv(struct drawing *g, const struct node *n) {
    const struct type *w = type_at(g->f, n->in[1]);
    return see_product(g, n, 1, w->dim[1] * w->dim[2] * w->dim[3]);
}

static struct sight see_matmul(struct drawing *g, const struct node *n) {
    const struct type *x = type_at(g->f, n->in[0]);
    size_t inner = x->dim[x->rank - (n->attrs[0].i ? 2 : 1)];
    bool second = g->sights[n->in[1]].param != NID_NONE;
    if (!second && g->sights[n->in[0]].param == NID_NONE)
        return (struct sight){.param = NID_NONE};
    return see_product(g, n, second, inner);
}

static struct begin begin_added(struct drawing *g, nid param, const struct sight *to) {
    if (to->made == MADE_BY_WEIGHT) return uniform(to->fan_in);
    if (to->made == MADE_BY_SCALE) return ZERO;
    return type_at(g->f, param)->rank > 1 ? TOKEN : ZERO;
}

static struct begin begin_factor(const struct sight *of) {
    const struct begin slope = {START_ALL, 0.25, true};
    return of->made == MADE_BY_MIN ? slope : ONE;
}

// Sums, and products element by element, of a parameter and something else.
static struct sight see_pair(struct drawing *g, const struct node *n) {
    struct sight seen = {.param = NID_NONE};
    for (int i = 0; i < 2; i++) {
        const struct sight *p = &g->sights[n->in[i]], *other = &g->sights[n->in[1 - i]];
        if (p->param == NID_NONE) continue;
        if (n->op == OP_MUL) seen.made = MADE_BY_SCALE;
        begin_as(g, p->param,
                 n->op == OP_MUL ? begin_factor(other) : begin_added(g, p->param, other));
    }
    return seen;
}

static struct sight see(struct drawing *g, nid id) {
    const struct node *n = node_at(g->f, id);
    if (n->op == OP_PARAM) return (struct sight){.param = id};
    if (moves(n->op)) return g->sights[n->in[0]];
    if (n->op == OP_CONV) return see_conv(g, n);
    if (n->op == OP_MATMUL) return see_matmul(g, n);
    if (n->op == OP_ADD || n->op == OP_MUL) return see_pair(g, n);
    return (struct sight){.param = NID_NONE,
                          .made = n->op == OP_MIN ? MADE_BY_MIN : MADE_OTHERWISE};
}

// ---- the model -----------------------------------------------------------------------
static struct model_tensor tensor(struct arena *arena, const char *name, size_t n,
                                  struct begin begin, int64_t seed) {
    float *data = arena_raw(arena, n, sizeof *data);
    start_fill(begin.how, begin.scale, seed, name, data, n);
    return (struct model_tensor){name, data};
}

const struct model *model_drawn(struct arena *arena, const struct model *m,
                                int64_t seed) {
    const struct func *f = m->func;
    struct drawing g = {f, NEW_N(arena, struct sight, f->nodes.n),
                        NEW_N(arena, struct begin, f->nodes.n)};
    VEC(struct model_tensor) all = {0};
    for (size_t i = 0; i < f->nodes.n; i++) g.sights[i] = see(&g, (nid)i);
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct node *n = node_at(f, (nid)i);
        size_t count = type_count(&n->type);
        if (n->op == OP_PARAM) {
            struct begin begin = g.begins[i].known ? g.begins[i] : TOKEN;
            VEC_PUSH(arena, &all, tensor(arena, attr_str(n, "name"), count, begin, seed));
        }
        if (n->op != OP_BATCH_NORM) continue;
        size_t channels = type_count(type_at(f, n->in[1]));
        VEC_PUSH(arena, &all,
                 tensor(arena, attr_str(n, "running_mean"), channels, ZERO, seed));
        VEC_PUSH(arena, &all,
                 tensor(arena, attr_str(n, "running_var"), channels, ONE, seed));
    }
    struct model_values values = {all.n, all.at};
    return model_with_values(arena, m, m->path, &values);
}
