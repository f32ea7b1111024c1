// The text form: what is printed is read back the same, and what is wrong is said well.
//
// tests/data/ir/*.ddgir hold cases: a text, a line `---- gives`, then what the reader
// makes of it (the function printed again, or the errors), and a line `----`. An empty
// answer stands for the text itself.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ir/text.h"
#include "tests/unit/ir_random.h"

#define GIVES "---- gives\n"
#define ENDS  "----\n"

static char *errors_text(const struct diags *d, struct arena *arena) {
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    assert_non_null(to);
    diags_print(d, to, false);
    fclose(to);
    char *kept = arena_strndup(arena, text, n);
    free(text);
    return kept;
}

static enum family family_of(const char *text) {
    return strstr(text, "pipeline @") ? FAMILY_PIPELINE : FAMILY_TENSOR;
}

static struct func *parse(struct arena *arena, const char *text, struct diags *d) {
    struct source *src = NEW(arena, struct source);
    *src = (struct source){"case", arena_strdup(arena, text), strlen(text)};
    diags_init(d, arena);
    return ir_parse(arena, src, d);
}

static const char *print(struct arena *arena, const struct func *f) {
    struct text out = {.arena = arena};
    ir_print(f, &out);
    return out.at;
}

static void assert_verified(const struct func *f, enum family family) {
    struct text why = {.arena = f->arena};
    if (!ir_verify(f, family, &why)) fail_msg("%s\n%s", why.at, print(f->arena, f));
}

static const char *answer(struct arena *arena, const char *text) {
    struct diags d;
    const struct func *f = parse(arena, text, &d);
    if (!f) {
        assert_true(d.errors > 0);
        return errors_text(&d, arena);
    }
    assert_int_equal(d.errors, 0);
    assert_verified(f, family_of(text));
    const char *once = print(arena, f);
    const struct func *again = parse(arena, once, &d);
    assert_non_null(again);
    assert_string_equal(print(arena, again), once);
    return once;
}

// Cuts the next case out of *at; false: there are no more.
static bool next_case(struct arena *a, const char **at, char **text, char **expected) {
    const char *gives = strstr(*at, GIVES);
    if (!gives) return false;
    const char *after = gives + strlen(GIVES), *end = strstr(after, ENDS);
    assert_non_null(end);
    *text = arena_strndup(a, *at, (size_t)(gives - *at));
    *expected = arena_strndup(a, after, (size_t)(end - after));
    *at = end + strlen(ENDS);
    return true;
}

static size_t run_file(const char *path) {
    size_t n, cases = 0;
    struct arena *arena = arena_new();
    const char *at = file_read(arena, path, (size_t)1 << 24, &n);
    char *text, *expected;
    assert_non_null(at);
    for (; next_case(arena, &at, &text, &expected); cases++)
        assert_string_equal(answer(arena, text), *expected ? expected : text);
    assert_int_equal(strspn(at, " \n"), strlen(at));
    arena_free(arena);
    return cases;
}

static void cases_give_their_answers(void **state) {
    (void)state;
    size_t files = 0;
    DIR *dir = opendir(TEST_DATA "/ir");
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (!strstr(e->d_name, ".ddgir")) continue;
        char path[4096];
        snprintf(path, sizeof path, "%s/ir/%s", TEST_DATA, e->d_name);
        assert_true(run_file(path) > 0);
        files++;
    }
    closedir(dir);
    assert_true(files >= 4);
}

static void random_functions_round_trip(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct arena *arena = arena_new();
        const struct func *f = random_func(arena, seed, seed % 2);
        struct diags d;
        assert_verified(f, FAMILY_TENSOR);
        const char *once = print(arena, f);
        const struct func *again = parse(arena, once, &d);
        if (!again) fail_msg("%s\n%s", errors_text(&d, arena), once);
        assert_verified(again, FAMILY_TENSOR);
        assert_string_equal(print(arena, again), once);
        arena_free(arena);
    }
}

// Identity survives: constants read back have the digest they were printed with.
static void constants_keep_their_digest(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct diags d;
    struct builder b;
    builder_init(&b, arena, "f");
    size_t small = 3, large = IR_TEXT_INLINE + 1;
    float data[IR_TEXT_INLINE + 1] = {0.1F, -0.0F, 1e-40F};
    build_output(&b, "a", b_const(&b, type_tensor(ELEM_F32, false, 1, &small), data));
    build_output(&b, "b", b_const(&b, type_tensor(ELEM_F32, false, 1, &large), data));
    const struct func *f = builder_finish(&b), *g = parse(arena, print(arena, f), &d);
    assert_non_null(g);
    for (nid i = 0; i < 2; i++)
        assert_true(digest_eq(node_at(f, i)->digest, node_at(g, i)->digest));
    assert_memory_equal(node_at(g, 0)->data, data, small * sizeof *data);
    assert_null(node_at(g, 1)->data);
    arena_free(arena);
}

// Spans point at the statement, so that a later pass can say where.
static void nodes_know_their_place(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct diags d;
    const struct func *f = parse(arena,
                                 "func @f(%0 \"x\": f32[2]) {\n  %7 = exp(%0) # twice\n"
                                 "  return \"y\" %7\n}\n",
                                 &d);
    assert_non_null(f);
    struct span s = node_at(f, 1)->span;
    assert_non_null(s.file);
    assert_int_equal(s.end - s.start, strlen("%7 = exp(%0)"));
    assert_memory_equal(s.file->text + s.start, "%7 = exp(%0)", s.end - s.start);
    arena_free(arena);
}

// Whatever bytes come, the reader says what is wrong or gives a function that holds.
static void damaged_text_is_refused_or_holds(void **state) {
    (void)state;
    struct random r = {7};
    size_t refused = 0;
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct arena *arena = arena_new();
        char *text =
            arena_strdup(arena, print(arena, random_func(arena, seed % 20, false)));
        size_t n = strlen(text);
        struct diags d;
        for (size_t k = random_below(&r, 3) + 1; k-- > 0;) {
            static const char bytes[] = "0123456789-%\"\\[](){},:=_ \nxnf.@\x01\xff";
            text[random_below(&r, n)] = bytes[random_below(&r, sizeof bytes)];
        }
        struct source src = {"damaged", text,
                             random_below(&r, 8) ? n : random_below(&r, n)};
        diags_init(&d, arena);
        struct func *f = ir_parse(arena, &src, &d);
        assert_int_equal(f == NULL, d.errors > 0);
        if (f) assert_verified(f, FAMILY_TENSOR);
        refused += f == NULL;
        arena_free(arena);
    }
    assert_true(refused > 1000);
}

// ---- the verifier --------------------------------------------------------------------
#define GOOD_FUNC                                                                        \
    "func @f(%0 \"x\": rows f32[2,3], %1 \"k\": f32[3]) {\n"                             \
    "  %2 = const f32[2] [1,2]\n"                                                        \
    "  %3 = sum(%0, axes=[0], keep=false)\n"                                             \
    "  %4 = add(%3, %1)\n"                                                               \
    "  return \"y\" %4, \"c\" %2\n"                                                      \
    "}\n"

static void spoil_order(struct func *f) {
    static const nid in[] = {4, 1};
    f->nodes.at[4].in = in;
}
static void spoil_type(struct func *f) {
    f->nodes.at[4].type.dim[0] = 2;
}
static void spoil_rows(struct func *f) {
    f->nodes.at[3].type.rows = false;
}
static void spoil_family(struct func *f) {
    f->nodes.at[3].op = OP_POOL;
}
static void spoil_count(struct func *f) {
    f->nodes.at[4].nin = 1;
}
static void spoil_axis(struct func *f) {
    static const int64_t axes[] = {7};
    static const struct value attrs[] = {{.kind = VAL_INTS, .is = axes, .n = 1},
                                         {.kind = VAL_BOOL}};
    f->nodes.at[3].attrs = attrs;
}
static void spoil_attr_kind(struct func *f) {
    static const struct value attrs[] = {{.kind = VAL_INT}, {.kind = VAL_BOOL}};
    f->nodes.at[3].attrs = attrs;
}
static void spoil_data(struct func *f) {
    static const float other[] = {1, 3};
    f->nodes.at[2].data = other;
}
static void spoil_no_data(struct func *f) {
    f->nodes.at[2].data = NULL;
    f->nodes.at[2].digest = (struct digest){0, 0};
}
static void spoil_input(struct func *f) {
    f->nodes.at[1].attrs = f->nodes.at[0].attrs;
}
static void spoil_output(struct func *f) {
    f->outs.at[1] = 5;
}
static void spoil_names(struct func *f) {
    f->out_names.n = 1;
}

static void verifier_finds_what_is_wrong(void **state) {
    (void)state;
    static const struct {
        void (*spoil)(struct func *f);
        const char *why;
    } cases[] = {
        {spoil_order, "@f: %4 operand 0 is %4, which does not come before it"},
        {spoil_type, "@f: %4 is rows f32[2]; its operands make it rows f32[3]"},
        {spoil_rows, "@f: %3 is f32[3]; its operands make it rows f32[3]"},
        {spoil_family, "@f: %3 is of the other family of ops"},
        {spoil_count, "@f: %4 has 1 operands; absent ones must be written as such"},
        {spoil_axis, "@f: %3 sum: rows f32[2,3] has no axis 7"},
        {spoil_attr_kind,
         "@f: %3 sum: `axes` must be a list of integers; this is an integer"},
        {spoil_data, "@f: %2 has data that are not of its digest"},
        {spoil_no_data, "@f: %2 has no data and no digest"},
        {spoil_input, "@f: %1 has the same name as %0"},
        {spoil_output, "@f: output \"c\" is %5, which does not exist"},
        {spoil_names, "@f: 2 outputs have 1 names"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena *arena = arena_new();
        struct diags d;
        struct text why = {.arena = arena};
        struct func *f = parse(arena, GOOD_FUNC, &d);
        assert_non_null(f);
        assert_verified(f, FAMILY_TENSOR);
        cases[i].spoil(f);
        assert_false(ir_verify(f, FAMILY_TENSOR, &why));
        assert_string_equal(why.at, cases[i].why);
        arena_free(arena);
    }
}

// Rows that only look alike must not be taken for the same.
static void verifier_checks_sets_of_rows(void **state) {
    (void)state;
    struct arena *arena = arena_new();
    struct diags d;
    struct text why = {.arena = arena};
    struct func *f = parse(arena,
                           "pipeline @p() {\n  %0 = images(path=\"a\", size=8)\n"
                           "  %1 = random_crop(%0, size=8, seed=1)\n"
                           "  %2 = save(%1, to=\"out\")\n  return \"save\" %2\n}\n",
                           &d);
    assert_non_null(f);
    assert_verified(f, FAMILY_PIPELINE);
    f->nodes.at[1].type.rowset = f->nodes.at[0].type.rowset;
    assert_false(ir_verify(f, FAMILY_PIPELINE, &why));
    assert_string_equal(why.at, "@p: %1 names the wrong set of rows");
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_give_their_answers),
        cmocka_unit_test(random_functions_round_trip),
        cmocka_unit_test(constants_keep_their_digest),
        cmocka_unit_test(nodes_know_their_place),
        cmocka_unit_test(damaged_text_is_refused_or_holds),
        cmocka_unit_test(verifier_finds_what_is_wrong),
        cmocka_unit_test(verifier_checks_sets_of_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
