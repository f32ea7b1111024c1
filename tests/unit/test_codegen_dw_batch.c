// Sums over a batch of weight gradients and of products of matrices, beside the
// evaluator: part by part in any order, on as many rows as there are.
#include "ir/batch_product.h"
#include "tests/unit/codegen_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

// Sums of at most some ten thousand products in f32 against double, over the largest
// result.
#define TOLERANCE 2e-5
#define MOST_ROWS 9

struct job {
    struct rig g;
    struct kernel *k;
    nid anchor, sum;
    size_t rows;
};

// ---- functions -----------------------------------------------------------------------

static bool conv_sizes(struct random *r, struct conv_attrs *c, size_t x[3], size_t k[2],
                       size_t d[3]) {
    static const size_t CHANNELS[] = {1, 2, 3, 4, 8, 16, 17, 24, 32, 40, 48, 64, 80};
    size_t groups = random_below(r, 4) ? 1 : 1 + random_below(r, 6);
    x[0] = CHANNELS[random_below(r, COUNT(CHANNELS))];
    d[0] = CHANNELS[random_below(r, COUNT(CHANNELS))];
    if (random_below(r, 6) == 0) groups = d[0] = x[0]; // depthwise
    if (x[0] % groups || d[0] % groups) return false;
    x[1] = 1 + random_below(r, 14);
    x[2] = 1 + random_below(r, 14);
    k[0] = 1 + random_below(r, 7);
    k[1] = random_below(r, 2) ? k[0] : 1 + random_below(r, 7);
    *c = (struct conv_attrs){.groups = (int64_t)groups};
    for (int i = 0; i < 2; i++) {
        c->strides[i] = random_below(r, 2) ? 1 : random_between(r, 1, 3);
        c->dilations[i] = random_below(r, 4) ? 1 : random_between(r, 1, 3);
    }
    for (int i = 0; i < 4; i++) c->pads[i] = random_between(r, 0, 3);
    for (int i = 0; i < 2; i++) {
        int64_t room = (int64_t)x[1 + i] + c->pads[i] + c->pads[i + 2] -
                       (c->dilations[i] * ((int64_t)k[i] - 1) + 1);
        if (room < 0) return false;
        d[1 + i] = (size_t)(room / c->strides[i]) + 1;
    }
    return true;
}

static nid conv_of(struct builder *b, struct random *r) {
    struct conv_attrs c;
    size_t x[3], k[2], d[3];
    while (!conv_sizes(r, &c, x, k, d)) continue;
    nid in = rig_input(b, "x", 3, x);
    return b_conv_dw(b, in, rig_input(b, "d", 3, d), &c, k[0], k[1]);
}

// Such as may go Winograd's way.
static nid tiles_of(struct builder *b, struct random *r) {
    size_t d[] = {1 + random_below(r, 70), 4 * (1 + random_below(r, 4)),
                  4 * (1 + random_below(r, 4))};
    int64_t top = random_between(r, 0, 1), left = random_between(r, 0, 1);
    struct conv_attrs c = {{1, 1}, {top, left, 1, 1}, {1, 1}, 1};
    size_t x[] = {4 + random_below(r, 80), d[1] + 1 - (size_t)top,
                  d[2] + 1 - (size_t)left};
    nid in = rig_input(b, "x", 3, x);
    return b_conv_dw(b, in, rig_input(b, "d", 3, d), &c, 3, 3);
}

static nid matrices_of(struct builder *b, struct random *r) {
    size_t m = 1 + random_below(r, 60), n = 1 + random_below(r, 130);
    size_t k = random_below(r, 2) ? 1 : 1 + random_below(r, 30);
    bool tx = random_below(r, 2), ty = random_below(r, 2);
    nid x = rig_input(b, "x", 2, (size_t[]){tx ? k : m, tx ? m : k});
    nid y = rig_input(b, "y", 2, (size_t[]){ty ? n : k, ty ? k : n});
    return b_matmul(b, x, y, tx, ty);
}

// ---- its one kernel ------------------------------------------------------------------

static void place(struct job *j, nid v, enum place_kind kind) {
    struct rig *g = &j->g;
    bool read = node_at(g->f, j->anchor)->in[0] == v;
    g->kf.places[v].kind = kind;
    rig_layout(g, v, read, read ? kernel_border(g->f, j->anchor) : 0);
}

// Few input channels stay planar, with a border.
static void make_planar(struct job *j) {
    const struct rig *g = &j->g;
    nid v = node_at(g->f, j->anchor)->in[0];
    const struct type *t = type_at(g->f, v);
    size_t border = kernel_border(g->f, j->anchor);
    if (t->rank != 3) return;
    if (!(t->dim[0] < 4 || g->kf.places[v].layout.border < border)) return;
    g->kf.places[v].layout = (struct layout){
        .kind = LAYOUT_PLANAR,
        .border = border,
        .bytes = size_align(
            t->dim[0] * (t->dim[1] + 2 * border) * (t->dim[2] + 2 * border) * 4, 64)};
}

static void plan(struct job *j) {
    struct rig *g = &j->g;
    const struct func *f = g->f;
    j->sum = f->outs.at[0];
    j->anchor = node_at(f, j->sum)->in[0];
    const nid *in = node_at(f, j->anchor)->in;
    g->kf = (struct kfunc){.f = f, .batch = MOST_ROWS, .joint = true};
    g->kf.places = NEW_N(g->arena, struct place, f->nodes.n);
    place(j, in[0], PLACE_ARENA);
    place(j, in[1], PLACE_ARENA);
    make_planar(j);
    g->kf.places[j->sum].kind = PLACE_OUT;
    g->kf.places[j->sum].layout.bytes = type_bytes(type_at(f, j->sum));
    struct kernel k = {.outs = {j->sum},
                       .nouts = 1,
                       .anchor = j->anchor,
                       .ins = {in[0], in[1]},
                       .nins = 2,
                       .prologue = NID_NONE,
                       .all_rows = true};
    k.work_bytes = batch_product_work(&g->t, &g->kf, &k);
    k.parts = batch_product_parts(&g->t, &g->kf, &k);
    VEC_PUSH(g->arena, &g->kf.kernels, k);
    j->k = &g->kf.kernels.at[0];
}

static size_t position(const struct rig *g, nid v, size_t i) {
    const struct type *t = type_at(g->f, v);
    const struct layout *l = &g->kf.places[v].layout;
    if (l->kind == LAYOUT_BLOCKED || l->border == 0) return rig_place(g, v, i);
    size_t x = i % t->dim[2], y = i / t->dim[2] % t->dim[1],
           c = i / t->dim[2] / t->dim[1];
    size_t width = t->dim[2] + 2 * l->border, height = t->dim[1] + 2 * l->border;
    return (c * height + y + l->border) * width + x + l->border;
}

static const void *fill(struct job *j, nid v) {
    struct rig *g = &j->g;
    size_t bytes = g->kf.places[v].layout.bytes, count = type_count(type_at(g->f, v));
    const float *dense = (const float *)rig_random(g, type_at(g->f, v), j->rows);
    g->room[v] = bytes * j->rows;
    g->data[v] = rig_room(g, g->room[v]);
    memset(g->data[v], 0, g->room[v]);
    for (size_t r = 0; r < j->rows; r++)
        for (size_t i = 0; i < count; i++)
            memcpy(g->data[v] + r * bytes + position(g, v, i) * 4, &dense[r * count + i],
                   4);
    return dense;
}

static void run_parts(struct job *j) {
    struct rig *g = &j->g;
    const nid *in = node_at(g->f, j->anchor)->in;
    char *work = rig_room(g, j->k->work_bytes), *part = rig_room(g, sizeof(size_t));
    size_t first = random_below(&g->r, j->k->parts);
    for (size_t p = 0; p < j->k->parts; p++) {
        size_t which = (first + p) % j->k->parts;
        memcpy(part, &which, sizeof which);
        char *buffers[] = {g->data[j->sum], g->data[in[0]], g->data[in[1]], work, part};
        rig_call(g, g->symbol[0], buffers, COUNT(buffers), j->rows);
    }
    rig_release(g, work, j->k->work_bytes);
    rig_release(g, part, sizeof(size_t));
}

static double compare(struct job *j, const void *x, const void *y) {
    struct rig *g = &j->g;
    const struct type *t = type_at(g->f, j->sum);
    const void *args[] = {x, y};
    void *want = arena_alloc(g->arena, type_bytes(t), 64);
    CHECK(eval_func(g->f, j->rows, args, &want, NULL));
    return rig_difference(t, 1, want, g->data[j->sum]);
}

static double check(struct job *j) {
    struct rig *g = &j->g;
    plan(j);
    const nid *in = node_at(g->f, j->anchor)->in;
    if (!rig_compile(g)) return INFINITY;
    g->data = NEW_N(g->arena, char *, g->f->nodes.n);
    g->room = NEW_N(g->arena, size_t, g->f->nodes.n);
    const void *x = fill(j, in[0]), *y = fill(j, in[1]);
    g->room[j->sum] = type_bytes(type_at(g->f, j->sum));
    g->data[j->sum] = rig_room(g, g->room[j->sum]);
    run_parts(j);
    return compare(j, x, y);
}

// ---- many ----------------------------------------------------------------------------

static bool check_seed(nid (*make)(struct builder *, struct random *), uint64_t seed,
                       const char *target, struct guest *guest) {
    struct arena *a = arena_new();
    struct random r = {seed};
    struct builder b;
    builder_init(&b, a, "f");
    b.f->joint = true;
    b.f->batch = MOST_ROWS;
    nid product = make(&b, &r);
    build_output(&b, "sum", b_batch_sum(&b, product));
    struct job j = {.g = rig_new(a, builder_finish(&b), target, seed),
                    .rows = 1 + random_below(&r, MOST_ROWS)};
    j.g.plain = seed % 3 == 0;
    if (rig_is_guest(target)) rig_set_guest(&j.g, guest);
    double d = check(&j);
    bool ok = d < TOLERANCE;
    diags_print(&j.g.d, stderr, false);
    if (!ok)
        fprintf(stderr, "seed %llu on %s: %g, %zu rows\n", (unsigned long long)seed,
                target, d, j.rows);
    rig_free(&j.g);
    arena_free(a);
    return ok;
}

static size_t check_all(nid (*make)(struct builder *, struct random *), uint64_t seeds) {
    size_t wrong = 0;
    struct guest *guest = guest_start();
    for (uint64_t seed = 1; seed <= effort(seeds); seed++)
        for (size_t t = 0; t < COUNT(RIG_TARGETS); t++)
            if (rig_takes(seed, t, guest))
                wrong += !check_seed(make, seed, RIG_TARGETS[t], guest);
    guest_stop(guest);
    return wrong;
}

static void convolutions(void **state) {
    (void)state;
    assert_int_equal(check_all(conv_of, 40), 0);
}

static void winograd(void **state) {
    (void)state;
    assert_int_equal(check_all(tiles_of, 25), 0);
}

static void matrices(void **state) {
    (void)state;
    assert_int_equal(check_all(matrices_of, 40), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),
        cmocka_unit_test(winograd),
        cmocka_unit_test(matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
