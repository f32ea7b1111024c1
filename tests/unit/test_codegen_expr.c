// Generated code of everything but anchors, beside the evaluator.
#include "tests/unit/codegen_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

// exp, tanh and sums of up to some thousand terms in f32, chained.
#define TOLERANCE 2e-5

// The last values of random functions of all kinds of ops, elements and ranks.
static void random_functions(void **state) {
    (void)state;
    struct guest *guest = guest_start();
    for (uint64_t seed = 1; seed <= effort(150); seed++)
        for (size_t t = 0; t < COUNT(RIG_TARGETS); t++) {
            if (!rig_takes(seed, t, guest)) continue;
            struct arena *a = arena_new();
            const char *why;
            struct rig g = rig_new(a, random_func(a, seed, false), RIG_TARGETS[t], seed);
            if (rig_is_guest(RIG_TARGETS[t])) rig_set_guest(&g, guest);
            double d = rig_check(&g, &why);
            diags_print(&g.d, stderr, false);
            if (!(d < TOLERANCE))
                fail_msg("seed %llu on %s: %s (%g)", (unsigned long long)seed,
                         RIG_TARGETS[t], why, d);
            rig_free(&g);
            arena_free(a);
        }
    guest_stop(guest);
}

// ---- larger shapes -------------------------------------------------------------------

static size_t some(struct random *r, size_t most) {
    return 1 + random_below(r, most);
}

static struct type random_shape_of(struct random *r) {
    static const size_t MOST[5][4] = {{0}, {300}, {20, 40}, {40, 9, 20}, {5, 3, 4, 20}};
    uint32_t rank = (uint32_t)random_below(r, 5);
    size_t dim[TYPE_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) dim[i] = some(r, MOST[rank][i]);
    return type_tensor(ELEM_F32, true, rank, dim);
}

// An operand of t's shape, of a shape that broadcasts to it, or one number.
static nid random_leaf(struct builder *b, struct random *r, const struct type *t) {
    struct type s = *t;
    if (random_below(r, 4) == 0) return b_f32(b, random_float(r));
    for (uint32_t i = 0; i < s.rank; i++)
        if (random_below(r, 5) == 0) s.dim[i] = 1;
    if (random_below(r, 3) == 0) return rig_constant_of(b, r, s.rank, s.dim);
    return b_input(b, arena_printf(b->arena, "x%zu", b->f->nodes.n), s);
}

static nid random_chain(struct builder *b, struct random *r, struct type t) {
    static const enum op BINARY[] = {OP_ADD, OP_SUB, OP_MUL, OP_MAX, OP_MIN, OP_EQ};
    static const enum op UNARY[] = {OP_NEG,  OP_RELU,    OP_STEP,
                                    OP_TANH, OP_SIGMOID, OP_ERF};
    nid x = b_input(b, "x", t);
    for (size_t i = some(r, 6); i > 0; i--) {
        if (random_below(r, 3) == 0)
            x = b_unary(b, UNARY[random_below(r, COUNT(UNARY))], x);
        else
            x = b_binary(b, BINARY[random_below(r, COUNT(BINARY))], x,
                         random_leaf(b, r, &t));
    }
    return x;
}

static nid build_chain(struct builder *b, struct random *r) {
    return random_chain(b, r, random_shape_of(r));
}

static nid build_reduction(struct builder *b, struct random *r) {
    struct type t = random_shape_of(r);
    nid x = random_chain(b, r, t);
    int64_t axes[TYPE_MAX_RANK];
    size_t n = 0;
    for (uint32_t i = 0; i < t.rank; i++)
        if (random_below(r, 3)) axes[n++] = i;
    bool keep = random_below(r, 2);
    if (random_below(r, 6) == 0)
        return build_node(b, OP_ARGMAX, &x, 1, (struct value[OP_MAX_ATTRS]){0}, NULL);
    nid y = random_below(r, 3) ? b_sum(b, x, axes, n, keep) : b_amax(b, x, axes, n, keep);
    if (keep && random_below(r, 2)) y = b_binary(b, OP_SUB, x, y);
    return random_below(r, 2) ? y : b_binary(b, OP_MUL, y, b_f32(b, 0.25f));
}

// log(sum(exp(x - max))) and what is made of it, the way losses are.
static nid build_softmax(struct builder *b, struct random *r) {
    size_t n = some(r, 200);
    nid x = rig_input(b, "x", 1, &n);
    nid top = b_amax(b, x, (int64_t[]){0}, 1, true);
    nid power = b_unary(b, OP_EXP, b_binary(b, OP_SUB, x, top));
    nid sum = b_sum(b, power, (int64_t[]){0}, 1, true);
    if (random_below(r, 2)) return b_binary(b, OP_DIV, power, sum);
    return b_binary(b, OP_SUB, b_binary(b, OP_ADD, b_unary(b, OP_LOG, sum), top), x);
}

// ---- pools ---------------------------------------------------------------------------

struct pool_sizes {
    struct value attrs[6];
    size_t side[2], out[2];
};

static bool random_pool(struct builder *b, struct random *r, struct pool_sizes *s) {
    int64_t *v = NEW_N(b->arena, int64_t, 8);
    for (int a = 0; a < 2; a++) {
        s->side[a] = some(r, 20);
        v[a] = random_between(r, 1, random_below(r, 4) ? 3 : 6);
        v[2 + a] = random_between(r, 1, 3);
        v[4 + a] = random_between(r, 0, v[a] - 1);
        v[6 + a] = random_between(r, 0, v[a] - 1);
        int64_t room = (int64_t)s->side[a] + v[4 + a] + v[6 + a] - v[a];
        if (room < 0) return false;
        s->out[a] = (size_t)(room / v[2 + a]) + 1;
    }
    s->attrs[0] = val_ints(v, 2);
    s->attrs[1] = val_ints(v + 2, 2);
    s->attrs[2] = val_ints(v + 4, 4);
    s->attrs[3] = val_bool(random_below(r, 2));
    s->attrs[4] = val_int((int64_t)s->side[0]);
    s->attrs[5] = val_int((int64_t)s->side[1]);
    return true;
}

static nid build_pool(struct builder *b, struct random *r) {
    struct pool_sizes s;
    size_t channels = some(r, 20);
    if (!random_pool(b, r, &s)) return NID_NONE;
    nid x = rig_input(b, "x", 3, (size_t[]){channels, s.side[0], s.side[1]});
    nid d = rig_input(b, "d", 3, (size_t[]){channels, s.out[0], s.out[1]});
    switch (random_below(r, 4)) {
    case 0: return build_node(b, OP_AVGPOOL, &x, 1, s.attrs, NULL);
    case 1: return build_node(b, OP_AVGPOOL_DX, &d, 1, s.attrs, NULL);
    default: break;
    }
    nid y = build_node(b, OP_MAXPOOL, &x, 1, s.attrs, NULL);
    if (y == NID_NONE || random_below(r, 2)) return y;
    if (random_below(r, 2))
        return build_node(b, OP_MAXPOOL_DX, (nid[]){x, y, d}, 3, s.attrs, NULL);
    nid t = rig_input(b, "t", 3, (size_t[]){channels, s.side[0], s.side[1]});
    return build_node(b, OP_MAXPOOL_JVP, (nid[]){x, y, t}, 3, s.attrs, NULL);
}

// ---- places found at run time --------------------------------------------------------

static nid build_take(struct builder *b, struct random *r) {
    struct type t = random_shape_of(r);
    if (t.rank == 0 || t.rank == TYPE_MAX_RANK) return NID_NONE;
    t.rows = random_below(r, 2);
    nid table = t.rows ? b_input(b, "table", t) : rig_constant_of(b, r, t.rank, t.dim);
    nid index = b_input(b, "index", type_scalar(ELEM_I32, true));
    return b_take(b, table, index);
}

// An index an element, or one for several along some axes.
static nid build_choose(struct builder *b, struct random *r) {
    struct type t = random_shape_of(r);
    if (t.rank == 0 || t.rank == TYPE_MAX_RANK) return NID_NONE;
    t.rows = random_below(r, 2);
    size_t dim[TYPE_MAX_RANK];
    for (uint32_t i = 1; i < t.rank; i++) dim[i - 1] = random_below(r, 3) ? t.dim[i] : 1;
    nid table = t.rows ? b_input(b, "table", t) : rig_constant_of(b, r, t.rank, t.dim);
    nid index = b_input(b, "index", type_tensor(ELEM_I32, true, t.rank - 1, dim));
    return build_node(b, OP_CHOOSE, (nid[]){table, index}, 2, NULL, NULL);
}

static nid build_window(struct builder *b, struct random *r) {
    size_t dim[] = {some(r, 20), some(r, 40), some(r, 40)};
    size_t h = some(r, dim[1]), w = some(r, dim[2]);
    enum elem elem = random_below(r, 2) ? ELEM_U8 : ELEM_F32;
    nid x = b_input(b, "x", type_tensor(elem, true, 3, dim));
    nid box = b_input(b, "box", type_tensor(ELEM_I32, true, 1, (size_t[]){4}));
    const struct value attrs[] = {val_int((int64_t)h), val_int((int64_t)w)};
    nid y = build_node(b, OP_WINDOW, (nid[]){x, box}, 2, attrs, NULL);
    if (elem == ELEM_U8 && random_below(r, 2)) y = b_cast(b, y, ELEM_F32);
    return y;
}

// A mask of patches spread over pixels, as coalitions are.
static nid build_patches(struct builder *b, struct random *r) {
    size_t grid = some(r, 5), side = grid + random_below(r, 40), channels = some(r, 4);
    int64_t *patch = NEW_N(b->arena, int64_t, side);
    for (size_t g = 0; g < grid; g++)
        for (size_t i = g * side / grid; i < (g + 1) * side / grid; i++)
            patch[i] = (int64_t)g;
    nid z = b_reshape(b, rig_input(b, "z", 1, (size_t[]){grid * grid}),
                      (size_t[]){1, grid, grid}, 3);
    z = b_gather(b, b_gather(b, z, patch, side, 1), patch, side, 2);
    nid x =
        b_input(b, "x", type_tensor(ELEM_U8, true, 3, (size_t[]){channels, side, side}));
    x = b_binary(b, OP_MUL, b_cast(b, x, ELEM_F32), b_f32(b, 1.0f / 255));
    return b_binary(b, OP_MUL, x, z);
}

#define CHECKS(name, count)                                                              \
    static void name(void **state) {                                                     \
        (void)state;                                                                     \
        assert_int_equal(rig_check_all(#name, build_##name, count, TOLERANCE), 0);       \
    }
CHECKS(chain, 60)
CHECKS(reduction, 100)
CHECKS(softmax, 20)
CHECKS(pool, 80)
CHECKS(take, 30)
CHECKS(choose, 40)
CHECKS(window, 30)
CHECKS(patches, 30)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_functions),
        cmocka_unit_test(chain),
        cmocka_unit_test(reduction),
        cmocka_unit_test(softmax),
        cmocka_unit_test(pool),
        cmocka_unit_test(take),
        cmocka_unit_test(choose),
        cmocka_unit_test(window),
        cmocka_unit_test(patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
