// What a caller sees of code generation: names, errors, threads, text.
#include "tests/unit/codegen_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct conv_attrs SAME = {{1, 1}, {1, 1, 1, 1}, {1, 1}, 1};

static nid layer(struct builder *b, struct random *r, nid x, size_t outs) {
    size_t channels = type_at(b->f, x)->dim[0];
    nid w = rig_constant_of(b, r, 4, (size_t[]){outs, channels, 3, 3});
    nid bias = rig_constant_of(b, r, 3, (size_t[]){outs, 1, 1});
    return b_unary(b, OP_RELU, b_binary(b, OP_ADD, b_conv(b, x, w, &SAME), bias));
}

// Three layers of equal shape, then one that is wider.
static struct func *network(struct arena *a) {
    struct builder b;
    struct random r = {1};
    builder_init(&b, a, "network");
    nid x = rig_input(&b, "x", 3, (size_t[]){16, 8, 8});
    for (int i = 0; i < 4; i++) x = layer(&b, &r, x, 16);
    build_output(&b, "y", layer(&b, &r, x, 32));
    return builder_finish(&b);
}

static void equal_layers_share_code(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct rig g = rig_new(a, network(a), "native", 1);
    g.plain = true;
    rig_plan(&g);
    for (nid v = 0; v < g.f->nodes.n; v++) // one border everywhere
        if (g.kf.places[v].layout.kind == LAYOUT_BLOCKED) {
            struct layout *l = &g.kf.places[v].layout;
            size_t blocks = (type_at(g.f, v)->dim[0] + g.t.lanes - 1) / g.t.lanes;
            *l = (struct layout){LAYOUT_BLOCKED, 1, blocks * g.t.lanes * 100 * 4};
        }
    assert_true(rig_compile(&g));
    size_t n = g.kf.kernels.n;
    assert_int_equal(n, 5);
    assert_string_equal(g.symbol[1], g.symbol[2]);
    assert_string_equal(g.symbol[2], g.symbol[3]);
    assert_string_not_equal(g.symbol[0],
                            g.symbol[1]); // its operand is planar, and copied
    assert_string_not_equal(g.symbol[4], g.symbol[3]);
    const char *text = codegen_text(g.cg, CODEGEN_LLVM, a, &g.d);
    size_t defined = 0;
    for (const char *at = text; (at = strstr(at, "define void @ddg_")); at++) defined++;
    assert_int_equal(defined, 3);
    rig_free(&g);
    arena_free(a);
}

static size_t times_in(const char *bytes, size_t n, const char *words) {
    size_t found = 0, len = strlen(words);
    for (size_t i = 0; i + len <= n; i++) found += memcmp(bytes + i, words, len) == 0;
    return found;
}

// Layers that differ in what becomes of the results alone.
static void winograd_kernels_share_their_steps(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct builder b;
    struct random r = {1};
    builder_init(&b, a, "two");
    nid x = rig_input(&b, "x", 3, (size_t[]){32, 16, 16});
    nid y = layer(&b, &r, layer(&b, &r, b_unary(&b, OP_NEG, x), 32), 32);
    nid z = layer(&b, &r, y, 32);
    build_output(&b, "y", b_binary(&b, OP_ADD, y, b_unary(&b, OP_NEG, z)));
    struct rig g = rig_new(a, builder_finish(&b), "native", 1);
    g.plain = true;
    rig_plan(&g);
    g.cg = codegen_new(&g.t, &g.d);
    size_t n, winograd = 0;
    for (size_t i = 0; i < g.kf.kernels.n; i++) {
        const struct kernel *k = &g.kf.kernels.at[i];
        winograd += k->algorithm != ALGORITHM_DIRECT;
        assert_non_null(codegen_add(g.cg, &g.kf, k, &g.d));
    }
    char *bytes;
    assert_true(winograd >= 2);
    assert_true(codegen_object(g.cg, a, &bytes, &n, &g.d));
    assert_int_equal(times_in(bytes, n, "winograd_products"), 1);
    rig_free(&g);
    arena_free(a);
}

// The name must not depend on where the nodes, the constants and the buffers are.
static void names_are_of_the_code_alone(void **state) {
    (void)state;
    struct arena *a = arena_new();
    const char *symbol[2] = {0};
    for (int i = 0; i < 2; i++) {
        struct builder b;
        builder_init(&b, a, i ? "one" : "another");
        struct random r = {(uint64_t)i};
        size_t dim[] = {16, 8, 8};
        nid other = rig_input(&b, "other", 3, dim),
            x = rig_input(&b, i ? "x" : "z", 3, dim);
        nid y = layer(&b, &r, x, 16);
        if (i) build_output(&b, "other", b_unary(&b, OP_NEG, other));
        build_output(&b, "y", y);
        struct rig g = rig_new(a, builder_finish(&b), "native", 1);
        g.plain = true;
        rig_plan(&g);
        assert_true(rig_compile(&g));
        for (size_t k = 0; k < g.kf.kernels.n; k++)
            if (g.kf.kernels.at[k].anchor != NID_NONE) symbol[i] = g.symbol[k];
        rig_free(&g);
    }
    assert_string_equal(symbol[0], symbol[1]);
    arena_free(a);
}

static void threads_make_the_same_code(void **state) {
    (void)state;
    for (size_t threads = 1; threads <= 4; threads++) {
        struct arena *a = arena_new();
        struct func *f = random_func(a, 7, false);
        struct rig g = rig_new(a, f, "native", 7);
        rig_plan(&g);
        g.cg = codegen_new(&g.t, &g.d);
        assert_non_null(g.cg);
        for (size_t i = 0; i < g.kf.kernels.n; i++) {
            const char *s = codegen_add(g.cg, &g.kf, &g.kf.kernels.at[i], &g.d);
            assert_non_null(s);
            if (i % 3 == 0) assert_true(codegen_finish(g.cg, threads, &g.d));
        }
        assert_true(codegen_finish(g.cg, threads, &g.d));
        for (size_t i = 0; i < g.kf.kernels.n; i++) {
            const char *s = codegen_add(g.cg, &g.kf, &g.kf.kernels.at[i], &g.d);
            assert_non_null(codegen_address(g.cg, s, &g.d));
        }
        rig_free(&g);
        arena_free(a);
    }
}

// Every call is of a function in the same text.
static void only_calls_its_own(const char *text, const char *call) {
    for (const char *at = text; (at = strstr(at, call)); at++) {
        const char *name = at + strlen(call);
        char label[160];
        snprintf(label, sizeof label, "\n%.*s:", (int)strcspn(name, "@\n"), name);
        assert_non_null(strstr(text, label));
    }
}

// Nothing is left to a library: kernels run where there is none.
static void code_calls_nothing(void **state) {
    (void)state;
    static const char *const TARGETS[] = {"x86-64-v4", "x86-64-v3", "x86-64", "aarch64"};
    for (size_t t = 0; t < COUNT(TARGETS); t++)
        for (uint64_t seed = 1; seed <= 12; seed++) {
            struct arena *a = arena_new();
            struct rig g = rig_new(a, random_func(a, seed, false), TARGETS[t], seed);
            rig_plan(&g);
            g.cg = codegen_new(&g.t, &g.d);
            for (size_t i = 0; i < g.kf.kernels.n; i++)
                assert_non_null(codegen_add(g.cg, &g.kf, &g.kf.kernels.at[i], &g.d));
            const char *text = codegen_text(g.cg, CODEGEN_ASM, a, &g.d);
            assert_non_null(text);
            only_calls_its_own(text, "\tcallq\t");
            only_calls_its_own(text, "\tbl\t");
            rig_free(&g);
            arena_free(a);
        }
}

static void convolutions_use_the_widest_vectors(void **state) {
    (void)state;
    static const char *const WANT[][2] = {{"x86-64-v4", "%zmm31"},
                                          {"x86-64-v3", "vfmadd"},
                                          {"x86-64", "mulps"},
                                          {"aarch64", "fmla\tv"}};
    for (size_t t = 0; t < COUNT(WANT); t++) {
        struct arena *a = arena_new();
        struct rig g = rig_new(a, network(a), WANT[t][0], 1);
        g.plain = true;
        rig_plan(&g);
        g.cg = codegen_new(&g.t, &g.d);
        assert_non_null(codegen_add(g.cg, &g.kf, &g.kf.kernels.at[1], &g.d));
        const char *text = codegen_text(g.cg, CODEGEN_ASM, a, &g.d);
        assert_non_null(strstr(text, t ? WANT[t][1] : "vfmadd231ps"));
        assert_true(t > 0 || strstr(text, "%zmm"));
        rig_free(&g);
        arena_free(a);
    }
}

static void computed_weights_are_an_error(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct builder b;
    builder_init(&b, a, "f");
    nid x = rig_input(&b, "x", 3, (size_t[]){4, 8, 8});
    nid w = rig_input(&b, "w", 4, (size_t[]){4, 4, 3, 3});
    build_output(&b, "y", b_conv(&b, x, w, &SAME));
    struct rig g = rig_new(a, builder_finish(&b), "native", 1);
    rig_plan(&g);
    assert_false(rig_compile(&g));
    assert_int_equal(g.d.errors, 1);
    assert_non_null(strstr(g.d.list.at[0].message, "constant weights"));
    rig_free(&g);
    arena_free(a);
}

static void targets_have_names(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct diags d;
    struct target t;
    diags_init(&d, a);
    assert_true(codegen_target_named(a, "x86-64-v4", &t, &d));
    assert_int_equal(t.lanes, 16);
    assert_int_equal(t.registers, 32);
    assert_true(codegen_target_named(a, "x86-64", &t, &d));
    assert_int_equal(t.lanes, 4);
    assert_false(t.fma);
    assert_true(codegen_target_named(a, "aarch64", &t, &d));
    assert_int_equal(t.lanes, 4);
    assert_int_equal(t.registers, 32);
    assert_true(t.fma);
    assert_false(codegen_target_named(a, "z80", &t, &d));
    assert_non_null(strstr(d.list.at[0].message, "`z80`"));
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_layers_share_code),
        cmocka_unit_test(winograd_kernels_share_their_steps),
        cmocka_unit_test(names_are_of_the_code_alone),
        cmocka_unit_test(threads_make_the_same_code),
        cmocka_unit_test(code_calls_nothing),
        cmocka_unit_test(convolutions_use_the_widest_vectors),
        cmocka_unit_test(computed_weights_are_an_error),
        cmocka_unit_test(targets_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
