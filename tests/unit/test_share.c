// Coalitions that share work give what each would by itself: random networks, image sizes
// that grids do not divide, all kinds of coalitions. Where convolutions sum directly, the
// bits are the same.
#include "cli/driver.h"
#include "ir/build.h"
#include "runtime/npy.h"
#include "runtime/stage.h"
#include "tests/unit/effort.h"
#include "tests/unit/ir_random.h"
#include "tests/unit/scratch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SHAPES  TEST_DATA "/shapes/train"
#define CLASSES 10

// ---- random networks -----------------------------------------------------------------
struct net {
    struct builder b;
    struct random r;
    struct arena *arena;
    bool transforms; // 3x3 convolutions of stride 1, which may round otherwise
};

static nid weights(struct net *n, uint32_t rank, const size_t *dim, double size) {
    struct type t = type_tensor(ELEM_F32, false, rank, dim);
    float *data = NEW_N(n->arena, float, type_count(&t));
    for (size_t i = 0; i < type_count(&t); i++)
        data[i] = random_float(&n->r) / 4 * (float)size;
    return b_const(&n->b, t, data);
}

static nid random_conv(struct net *n, nid x) {
    static const size_t sides[] = {1, 2, 5, 4};
    const size_t *in = type_at(n->b.f, x)->dim;
    struct conv_attrs c = {.groups = 1};
    bool three = random_below(&n->r, 2),
         apart = in[0] % 2 == 0 && !random_below(&n->r, 4);
    size_t out = 8 + 4 * random_below(&n->r, 5), k[2];
    for (int i = 0; i < 2; i++) {
        k[i] = three ? 3 : sides[random_below(&n->r, COUNT(sides))];
        c.strides[i] = random_below(&n->r, 3) ? 1 : 2;
        c.dilations[i] = random_below(&n->r, 4) ? 1 : 2;
        c.pads[i] = (int64_t)random_below(&n->r, k[i] + 1);
        c.pads[i + 2] = (int64_t)random_below(&n->r, k[i] + 1);
    }
    if (three && !n->transforms) c.strides[random_below(&n->r, 2)] = 2;
    if (apart) c.groups = 2;
    size_t per = in[0] / (size_t)c.groups, dim[4] = {out, per, k[0], k[1]};
    double size = 1 / sqrt((double)(per * k[0] * k[1]));
    return b_conv(&n->b, x, weights(n, 4, dim, 2 * size), &c);
}

static nid random_pool(struct net *n, nid x) {
    bool mean = random_below(&n->r, 2);
    int64_t k[2], s[2], p[4];
    for (int i = 0; i < 2; i++) {
        k[i] = random_between(&n->r, 2, 3);
        s[i] = random_between(&n->r, 1, 2);
        p[i] = random_between(&n->r, 0, 1);
        p[i + 2] = random_between(&n->r, 0, 1);
    }
    struct value v[4] = {val_ints(k, 2), val_ints(s, 2), val_ints(p, 4),
                         val_bool(random_below(&n->r, 2))};
    return build_node(&n->b, mean ? OP_AVGPOOL : OP_MAXPOOL, &x, 1, v, NULL);
}

// Nearest neighbour of a side in thirds more, or turned around.
static nid random_gather(struct net *n, nid x) {
    int64_t axis = random_between(&n->r, 1, 2), *index;
    size_t size = type_at(n->b.f, x)->dim[axis], more = size * 4 / 3;
    bool turn = random_below(&n->r, 3) == 0;
    index = NEW_N(n->arena, int64_t, more);
    for (size_t i = 0; i < more; i++) index[i] = (int64_t)(i * size / more);
    for (size_t i = 0; turn && i < size; i++) index[i] = (int64_t)(size - 1 - i);
    return b_gather(&n->b, x, index, turn ? size : more, axis);
}

static nid random_border(struct net *n, nid x) {
    int64_t before[3] = {0}, after[3] = {0}, none[3] = {0};
    for (int i = 1; i < 3; i++) {
        before[i] = random_between(&n->r, -1, 2);
        after[i] = random_between(&n->r, -1, 2);
    }
    none[2] = random_below(&n->r, 4) == 0;
    return b_pad(&n->b, x, before, after, none, 3, random_float(&n->r));
}

static nid random_scale(struct net *n, nid x) {
    size_t dim[3] = {type_at(n->b.f, x)->dim[0], 1, 1};
    return b_binary(&n->b, random_below(&n->r, 2) ? OP_MUL : OP_ADD, x,
                    weights(n, 3, dim, 1));
}

// A block around which x goes, added or put beside.
static nid random_branch(struct net *n, nid x) {
    size_t c = type_at(n->b.f, x)->dim[0], dim[4] = {c, c, 3, 1};
    struct conv_attrs a = {{1, 1}, {1, 0, 1, 0}, {1, 1}, 1};
    nid y = b_unary(&n->b, OP_RELU, b_conv(&n->b, x, weights(n, 4, dim, 0.3), &a));
    if (random_below(&n->r, 2)) return b_binary(&n->b, OP_ADD, x, y);
    struct value axis = val_int(random_between(&n->r, 0, 2));
    return build_node(&n->b, OP_CONCAT, (nid[]){y, x}, 2, &axis, NULL);
}

static bool has_room(const struct net *n, nid x) {
    const size_t *dim = type_at(n->b.f, x)->dim;
    return dim[1] >= 6 && dim[2] >= 6 && dim[1] * dim[2] * dim[0] < 40000;
}

static nid random_layer(struct net *n, nid x) {
    switch (random_below(&n->r, 9)) {
    case 0: return random_pool(n, x);
    case 1: return random_gather(n, x);
    case 2: return random_border(n, x);
    case 3: return random_scale(n, x);
    case 4: return random_branch(n, x);
    default: return b_unary(&n->b, OP_RELU, random_conv(n, x));
    }
}

// One convolution over all: the order in which a mean is taken follows from what it is
// of.
static nid head(struct net *n, nid x) {
    const size_t *in = type_at(n->b.f, x)->dim;
    struct conv_attrs c = {{1, 1}, {0}, {1, 1}, 1};
    size_t dim[4] = {CLASSES, in[0], in[1], in[2]}, classes = CLASSES;
    double size = 4 / sqrt((double)(in[0] * in[1] * in[2]));
    nid y = b_conv(&n->b, x, weights(n, 4, dim, size), &c);
    return b_reshape(&n->b, y, &classes, 1);
}

static const struct func *random_net(struct arena *a, struct random *r, bool transforms,
                                     size_t side) {
    struct net n = {.arena = a, .r = *r, .transforms = transforms};
    size_t dim[3] = {3, side, side}, depth = 2 + random_below(&n.r, 6);
    builder_init(&n.b, a, "net");
    nid x = b_input(&n.b, "x", type_tensor(ELEM_F32, true, 3, dim));
    x = b_unary(&n.b, OP_RELU, random_conv(&n, x));
    for (size_t i = 0; i < depth && has_room(&n, x); i++) x = random_layer(&n, x);
    build_output(&n.b, "y", head(&n, x));
    *r = n.r;
    return builder_finish(&n.b);
}

// Maps whose sides tiles divide: borders that keep the size, steps of two, ways around.
static nid even_conv(struct net *n, nid x, bool halve) {
    const size_t *in = type_at(n->b.f, x)->dim;
    size_t k = halve || n->transforms ? 3 : 5, out = 8 + 8 * random_below(&n->r, 4);
    if (!halve) out = in[0];
    int64_t step = halve ? 2 : 1, pad = (int64_t)k / 2;
    struct conv_attrs c = {{step, step}, {pad, pad, pad, pad}, {1, 1}, 1};
    size_t dim[4] = {out, in[0], k, k}, bias[3] = {out, 1, 1};
    double size = 2 / sqrt((double)(in[0] * k * k));
    x = b_conv(&n->b, x, weights(n, 4, dim, size), &c);
    return b_binary(&n->b, OP_ADD, x, weights(n, 3, bias, 1));
}

static nid even_layer(struct net *n, nid x) {
    if (!random_below(&n->r, 4)) return b_unary(&n->b, OP_RELU, even_conv(n, x, true));
    nid y = even_conv(n, x, false);
    if (random_below(&n->r, 2)) y = b_binary(&n->b, OP_ADD, y, x);
    return b_unary(&n->b, OP_RELU, y);
}

static const struct func *even_net(struct arena *a, struct random *r, bool transforms,
                                   size_t side) {
    struct net n = {.arena = a, .r = *r, .transforms = transforms};
    size_t dim[3] = {3, side, side}, depth = 3 + random_below(&n.r, 4);
    builder_init(&n.b, a, "net");
    nid x = b_input(&n.b, "x", type_tensor(ELEM_F32, true, 3, dim));
    size_t in[4] = {8 + 8 * random_below(&n.r, 3), 3, 1, 1};
    struct conv_attrs c = {{1, 1}, {0}, {1, 1}, 1};
    x = b_unary(&n.b, OP_RELU, b_conv(&n.b, x, weights(&n, 4, in, 1), &c));
    for (size_t i = 0; i < depth && has_room(&n, x); i++) x = even_layer(&n, x);
    build_output(&n.b, "y", head(&n, x));
    *r = n.r;
    return builder_finish(&n.b);
}

static struct model *model_of(struct arena *a, const struct func *f, size_t side) {
    struct model *m = NEW(a, struct model);
    *m = (struct model){.func = f,
                        .path = "net",
                        .mean = NEW_N(a, double, 3),
                        .std = NEW_N(a, double, 3),
                        .channels = 3,
                        .height = side,
                        .width = side,
                        .classes = CLASSES};
    for (size_t i = 0; i < 3; i++) m->mean[i] = 0.4, m->std[i] = 0.25;
    return m;
}

// ---- programs ------------------------------------------------------------------------
struct outcome {
    struct npy phi;
    size_t sharing; // functions of states, before that of the values
    size_t tiles;   // and of tiles
    double flops;
};

static bool named(const struct plan_func *f, const char *end) {
    size_t n = strlen(f->name), k = strlen(end);
    return n >= k && !strcmp(f->name + n - k, end);
}

static struct outcome run(struct arena *a, const char *folder, const struct model *m,
                          const char *text, bool unshared, size_t threads) {
    struct driver v;
    struct outcome out = {0};
    struct run_report report;
    struct driver_options o = {.path = arena_printf(a, "%s/case.ddg", folder),
                               .text = text,
                               .threads = threads,
                               .model = m,
                               .unshared = unshared};
    struct run_options r = {.threads = threads};
    driver_init(&v, a, &o);
    bool ok = driver_load(&v) && driver_lower(&v, NULL) && driver_codegen(&v) &&
              driver_link(&v) && plan_run(v.module.plan, &r, a, &report, &v.d);
    if (!ok) fail_msg("%s\n%s", v.d.list.at[0].message, text);
    for (size_t i = 0; i < v.module.plan->nfuncs; i++) {
        out.sharing += named(&v.module.plan->funcs[i], ".states");
        out.tiles += named(&v.module.plan->funcs[i], ".tiles");
    }
    for (size_t i = 0; i < v.module.plan->nstages; i++)
        out.flops += stage_flops(v.module.plan, &v.module.plan->stages[i]);
    ok = npy_read(a, arena_printf(a, "%s/phi.npy", folder), &out.phi, NO_SPAN, &v.d);
    assert_true(ok);
    driver_free(&v);
    return out;
}

static const char *random_program(struct arena *a, struct random *r, size_t side) {
    static const char *const values[] = {"prob", "logit", "loss"};
    static const char *const samplings[] = {"kernel", "paired"};
    size_t grid = 2 + random_below(r, 4), m = grid * grid;
    size_t samples = m * (4 + random_below(r, 3)) + random_below(r, 50);
    bool exact = grid <= 3 && random_below(r, 2);
    const char *drawn =
        arena_printf(a, "samples = %zu, seed = %zu, sampling = \"%s\"", samples,
                     (size_t)random_below(r, 100), samplings[random_below(r, 2)]);
    return arena_printf(
        a,
        "x = images(\"%s\", size = %zu, limit = 1)\n"
        "m = onnx(\"net\", mean = [0], std = [1])\n"
        "phi = shap_patches(m, x, grid = %zu, value = \"%s\", target = \"%s\", "
        "baseline = %s, %s)\n"
        "save(phi, to = \"phi.npy\")\n",
        SHAPES, side, grid, values[random_below(r, 3)],
        random_below(r, 2) ? "class" : "predicted", random_below(r, 2) ? "0" : "0.7",
        exact ? "sampling = \"exact\"" : drawn);
}

static double difference(const struct npy *a, const struct npy *b) {
    double most = 0, largest = 0;
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        double x = ((const float *)a->data)[i], y = ((const float *)b->data)[i];
        most = fmax(most, fabs(x - y));
        largest = fmax(largest, fabs(y));
    }
    return most / fmax(largest, 1e-3);
}

typedef const struct func *(*net_fn)(struct arena *, struct random *, bool, size_t);

// What was shared.
static struct outcome compare(const char *folder, uint64_t seed, bool transforms,
                              net_fn net, size_t side) {
    struct arena *a = arena_new();
    struct random r = {seed * 2 + transforms};
    if (!side) side = 17 + random_below(&r, 24);
    const struct model *m = model_of(a, net(a, &r, transforms, side), side);
    const char *text = random_program(a, &r, side);
    struct outcome each = run(a, folder, m, text, true, 1);
    struct outcome some = run(a, folder, m, text, false, 2);
    assert_int_equal(each.sharing, 0);
    if (transforms && !(difference(&some.phi, &each.phi) < 1e-4))
        fail_msg("seed %zu differs:\n%s", (size_t)seed, text);
    if (!transforms && memcmp(some.phi.data, each.phi.data, each.phi.count * 4))
        fail_msg("seed %zu has other bits:\n%s", (size_t)seed, text);
    if (some.sharing) assert_true(some.flops < each.flops);
    arena_free(a);
    return some;
}

static void same_bits(void **state) {
    struct fixture *f = *state;
    size_t shared = 0, twice = 0;
    for (uint64_t seed = 0; seed < effort(40); seed++) {
        size_t n = compare(f->root, seed, false, random_net, 0).sharing;
        shared += n > 0;
        twice += n > 1;
    }
    assert_true(shared > effort(10));
    assert_true(twice > 0);
}

static void same_values(void **state) {
    struct fixture *f = *state;
    size_t shared = 0;
    for (uint64_t seed = 0; seed < effort(20); seed++)
        shared += compare(f->root, seed, true, random_net, 0).sharing > 0;
    assert_true(shared > effort(4));
}

static void same_in_tiles(void **state) {
    struct fixture *f = *state;
    size_t tiled = 0, twice = 0;
    for (uint64_t seed = 0; seed < effort(18); seed++) {
        size_t side = 16 + 8 * (seed % 4);
        size_t n = compare(f->root, seed, seed % 3 == 0, even_net, side).tiles;
        tiled += n > 0;
        twice += n > 1;
    }
    assert_true(tiled > effort(10));
    assert_true(twice > effort(3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(same_bits, setup, teardown),
        cmocka_unit_test_setup_teardown(same_values, setup, teardown),
        cmocka_unit_test_setup_teardown(same_in_tiles, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
