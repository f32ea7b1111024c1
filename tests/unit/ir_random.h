// Random tensor functions for the property tests: the same seed gives the same function,
// whichever way the builder is set, because operands are picked by the order in which
// they were made and not by id.
#ifndef IR_RANDOM_H
#define IR_RANDOM_H

#include "ir/bf16.h"
#include "ir/build.h"

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *r) { // splitmix64
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline size_t random_below(struct random *r, size_t n) {
    return (size_t)(random_next(r) % n);
}

static inline int64_t random_between(struct random *r, int64_t low, int64_t high) {
    return low + (int64_t)random_below(r, (size_t)(high - low + 1));
}

// Quarters from -4 to 4: sums and products of a few are exact.
static inline float random_float(struct random *r) {
    return (float)random_between(r, -16, 16) / 4;
}

static inline struct type random_type(struct random *r, bool rows) {
    static const enum elem elems[] = {ELEM_F32, ELEM_F32, ELEM_F32, ELEM_I64, ELEM_I32};
    size_t dim[TYPE_MAX_RANK];
    uint32_t rank = (uint32_t)random_below(r, 5);
    for (uint32_t i = 0; i < rank; i++) dim[i] = 1 + random_below(r, 4);
    return type_tensor(elems[random_below(r, COUNT(elems))], rows, rank, dim);
}

static inline void *random_data(struct random *r, struct arena *a, const struct type *t,
                                size_t rows) {
    size_t n = type_count(t) * rows;
    void *data = arena_alloc(a, n, elem_size(t->elem));
    for (size_t i = 0; i < n; i++) {
        if (t->elem == ELEM_F32) ((float *)data)[i] = random_float(r);
        if (t->elem == ELEM_BF16) ((uint16_t *)data)[i] = bf16_of(random_float(r));
        if (t->elem == ELEM_I32) ((int32_t *)data)[i] = (int32_t)random_between(r, -9, 9);
        if (t->elem == ELEM_I64) ((int64_t *)data)[i] = random_between(r, -9, 9);
    }
    return data;
}

struct random_func {
    struct random r;
    struct builder b;
    VEC(nid) values;   // in the order made
    VEC(bool) rounded; // parallel: do the last bits depend on the arithmetic?
};

static inline struct value random_ints(struct random_func *g, size_t n, int64_t low,
                                       int64_t high) {
    int64_t *v = NEW_N(g->b.arena, int64_t, n);
    for (size_t i = 0; i < n; i++) v[i] = random_between(&g->r, low, high);
    return val_ints(v, n);
}

static inline struct value random_perm(struct random_func *g, size_t n) {
    int64_t *v = NEW_N(g->b.arena, int64_t, n);
    for (size_t i = 0; i < n; i++) v[i] = (int64_t)i;
    for (size_t i = n; i > 1; i--) {
        size_t k = random_below(&g->r, i);
        int64_t t = v[k];
        v[k] = v[i - 1];
        v[i - 1] = t;
    }
    return val_ints(v, n);
}

// A shape for reshape and broadcast that is often, not always, one x can take.
static inline struct value random_shape(struct random_func *g, enum op op,
                                        const struct type *x) {
    int64_t *v = NEW_N(g->b.arena, int64_t, TYPE_MAX_RANK);
    uint32_t rank = x->rank ? x->rank : (uint32_t)random_below(&g->r, 3);
    for (uint32_t i = 0; i < rank; i++)
        v[i] = op == OP_BROADCAST && x->dim[i] <= 1 ? random_between(&g->r, 1, 4)
                                                    : (int64_t)x->dim[i];
    if (op == OP_RESHAPE && random_below(&g->r, 2)) {
        v[0] = (int64_t)type_count(x);
        rank = 1;
    }
    return val_ints(v, rank);
}

static inline int64_t random_axis(struct random_func *g, const struct type *x) {
    return x->rank ? (int64_t)random_below(&g->r, x->rank) : 0;
}

static inline void random_attrs(struct random_func *g, enum op op, const struct type *x,
                                struct value *v) {
    switch (op) {
    case OP_CAST: v[0] = val_string(random_below(&g->r, 2) ? "f32" : "i64"); return;
    case OP_RESHAPE:
    case OP_BROADCAST: v[0] = random_shape(g, op, x); return;
    case OP_TRANSPOSE: v[0] = random_perm(g, x->rank); return;
    case OP_SLICE:
        v[0] = random_ints(g, x->rank, 0, 1);
        v[1] = random_ints(g, x->rank, 1, 2);
        v[2] = random_ints(g, x->rank, 1, 2);
        return;
    case OP_PAD:
        v[0] = random_ints(g, x->rank, -1, 2);
        v[1] = random_ints(g, x->rank, -1, 2);
        v[2] = random_ints(g, x->rank, 0, 1);
        v[3] = val_float((double)random_between(&g->r, -2, 2));
        return;
    case OP_CONCAT: v[0] = val_int(random_axis(g, x)); return;
    case OP_GATHER:
        v[0] = random_ints(g, 1 + random_below(&g->r, 4), 0, 1);
        v[1] = val_int(random_axis(g, x));
        return;
    case OP_SUM:
    case OP_AMAX: {
        int64_t axis = random_axis(g, x);
        v[0] = random_ints(g, x->rank > 0, axis, axis);
        v[1] = val_bool(random_below(&g->r, 2));
        return;
    }
    case OP_MATMUL:
        v[0] = val_bool(random_below(&g->r, 2));
        v[1] = val_bool(random_below(&g->r, 2));
        return;
    default: return;
    }
}

// One made lately, or any: so that functions are deep and yet use their inputs.
static inline size_t random_operand(struct random_func *g) {
    size_t n = g->values.n;
    if (random_below(&g->r, 3) == 0) return random_below(&g->r, n);
    return n - 1 - random_below(&g->r, size_min(n, 8));
}

static inline void random_keep(struct random_func *g, nid n, bool rounded) {
    VEC_PUSH(g->b.arena, &g->values, n);
    VEC_PUSH(g->b.arena, &g->rounded, rounded);
}

static inline bool random_rounds(enum op op) {
    return op == OP_EXP || op == OP_TANH || op == OP_ERF || op == OP_DIV;
}

// Does the last bit of an operand decide between results far apart?
static inline bool random_jumps(enum op op) {
    return op == OP_CAST || op == OP_STEP || op == OP_EQ || op == OP_ARGMAX;
}

// One more value, when the op and the operands picked go together.
static inline void random_step(struct random_func *g) {
    static const enum op ops[] = {
        OP_NEG,     OP_RELU,      OP_STEP,      OP_EXP,    OP_TANH, OP_ADD,    OP_SUB,
        OP_MUL,     OP_DIV,       OP_MAX,       OP_MIN,    OP_EQ,   OP_CAST,   OP_RESHAPE,
        OP_RESHAPE, OP_BROADCAST, OP_TRANSPOSE, OP_SLICE,  OP_PAD,  OP_CONCAT, OP_GATHER,
        OP_SUM,     OP_AMAX,      OP_ARGMAX,    OP_MATMUL, OP_ERF};
    enum op op = ops[random_below(&g->r, COUNT(ops))];
    size_t of[2] = {random_operand(g), random_operand(g)};
    nid in[2] = {g->values.at[of[0]], g->values.at[of[1]]};
    struct value attrs[OP_MAX_ATTRS] = {{0}};
    size_t nin = op == OP_CONCAT ? 2 : op_operand_count(op);
    bool rounded = g->rounded.at[of[0]] || (nin > 1 && g->rounded.at[of[1]]);
    if (rounded && random_jumps(op)) return;
    if (op == OP_CONCAT && random_below(&g->r, 2)) in[1] = in[0];
    struct type x = *type_at(g->b.f, in[0]);
    random_attrs(g, op, &x, attrs);
    nid n = build_node(&g->b, op, in, nin, attrs, NULL);
    if (n != NID_NONE && type_count(type_at(g->b.f, n)) <= 4096)
        random_keep(g, n, rounded || random_rounds(op));
}

// A function of some inputs (row values and whole ones), constants and parameters, whose
// outputs are the last few values made.
static inline struct func *random_func(struct arena *arena, uint64_t seed, bool fold) {
    struct random_func g = {.r = {seed}};
    builder_init(&g.b, arena, "random");
    g.b.fold = fold;
    for (size_t i = 0; i < 3; i++) {
        const char *name = arena_printf(arena, "x%zu", i);
        random_keep(&g, b_input(&g.b, name, random_type(&g.r, i > 0)), false);
    }
    for (size_t i = 0; i < 6; i++) {
        struct type t = random_type(&g.r, false);
        const void *data = random_data(&g.r, arena, &t, 1);
        const char *name = arena_printf(arena, "w%zu", i);
        nid n = i < 2 ? b_param(&g.b, name, t, data) : b_const(&g.b, t, data);
        random_keep(&g, n, false);
    }
    random_keep(&g, b_f32(&g.b, 0), false);
    random_keep(&g, b_f32(&g.b, 1), false);
    for (size_t i = 0; i < 60; i++) random_step(&g);
    for (size_t i = 0; i < size_min(8, g.values.n); i++)
        build_output(&g.b, arena_printf(arena, "y%zu", i),
                     g.values.at[g.values.n - 1 - i]);
    return builder_finish(&g.b);
}

#endif
