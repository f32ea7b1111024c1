// Lists of values, what `for` makes of them, stages and reports: a program that uses them
// is the same graph as one in which all is written out.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "ir/text.h"
#include "runtime/formula.h"

struct world {
    struct arena *arena;
    struct diags d;
};

static int enter(void **state) {
    struct world *w = calloc(1, sizeof *w);
    if (!w || !(w->arena = arena_new())) return -1;
    *state = w;
    return 0;
}

static int leave(void **state) {
    struct world *w = *state;
    arena_free(w->arena);
    free(w);
    return 0;
}

// What all programs here begin with.
#define HEAD                                                                             \
    "data = images(\"train\", size = 16); test = images(\"test\", size = 16)\n"          \
    "net = mlp(classes = 4, size = 16, hidden = [8])\n"                                  \
    "def fit(seed = 0, epochs = 4) {\n"                                                  \
    "  return train(net, data, epochs = epochs, rate = 0.1, keep = [1, 2], seed = "      \
    "seed)\n"                                                                            \
    "}\n"

static struct program *load(struct world *w, const char *text, const char *define) {
    const char *whole = arena_printf(w->arena, HEAD "%s", text);
    struct program_options o = {
        .path = "p.ddg", .text = whole, .defines = &define, .ndefines = define != NULL};
    diags_init(&w->d, w->arena);
    return program_load(w->arena, &o, &w->d);
}

static void fails(struct world *w, const char *text, const char *part) {
    assert_null(load(w, text, NULL));
    assert_true(w->d.list.n > 0);
    if (!strstr(w->d.list.at[0].message, part))
        fail_msg("expected: %s\ngot: %s", part, w->d.list.at[0].message);
}

static struct program *load_good(struct world *w, const char *text, const char *define) {
    struct program *p = load(w, text, define);
    struct text why = {.arena = w->arena};
    if (!p) fail_msg("%s\n%s", text, w->d.list.at[0].message);
    if (!ir_verify(p->graph, FAMILY_PIPELINE, &why)) fail_msg("%s", why.at);
    return p;
}

static const char *graph(struct world *w, const char *text, const char *define) {
    struct program *p = load_good(w, text, define);
    struct text t = {.arena = w->arena};
    for (size_t i = 0; i < p->graph->nodes.n; i++) p->graph->nodes.at[i].name = NULL;
    ir_print(p->graph, &t);
    return t.at;
}

static void same(struct world *w, const char *a, const char *b) {
    assert_string_equal(graph(w, a, NULL), graph(w, b, NULL));
}

static const struct node *find_op(const struct program *p, enum op op) {
    for (size_t i = 0; i < p->graph->nodes.n; i++)
        if (p->graph->nodes.at[i].op == op) return node_at(p->graph, (nid)i);
    fail_msg("no %s", op_info(op)->name);
    return NULL;
}

static const struct node *find_name(const struct program *p, const char *name) {
    for (size_t i = 0; i < p->graph->nodes.n; i++) {
        const struct node *n = &p->graph->nodes.at[i];
        if (n->name && strcmp(n->name, name) == 0) return n;
    }
    fail_msg("no node is called %s", name);
    return NULL;
}

// ---- lists --------------------------------------------------------------------------
#define ALL(list) "report(mean_std([accuracy(m, test) for m in " list "]))\n"

static void items_are_written_out_or_made(void **state) {
    struct world *w = *state;
    const char *out = ALL("[fit(0), fit(1), fit(5)]");
    same(w, ALL("[fit(s) for s in [0, 1, 5]]"), out);
    same(w, ALL("[fit(0)] + [fit(s) for s in [1] + [5]]"), out);
    same(w, ALL("[fit(s + k) for s in [0, 5] for k in [s, 1 - s]]"),
         ALL("[fit(0), fit(1), fit(10), fit(1)]"));
    same(w, "all = [fit(s) for s in [k * k for k in [0, 1, 2]]]\n" ALL("all"),
         ALL("[fit(0), fit(1), fit(4)]"));
    same(w, ALL("[f for f in [fit(2)] + []]"), ALL("[fit(2)]"));
    same(w, ALL("[fit(s) for pair in [[0, 1], [5]] for s in pair]"), out);
}

// Also one that is called like a param, an op, or a local of the def around it.
static void names_of_lists_are_known_inside_only(void **state) {
    struct world *w = *state;
    const char *out = ALL("[fit(1), fit(2), fit(7)]");
    same(w, "param s: int = 7\n" ALL("[fit(s) for s in [1, 2]] + [fit(s)]"), out);
    same(w, ALL("[fit(train) for train in [1, 2, 7]]"), out);
    same(w,
         "def some(xs, n = 7) { n2 = n; return [fit(n) for n in xs] + [fit(n2)] }\n" ALL(
             "some([1, 2])"),
         out);
    same(w,
         "def some(xs = [k for k in [1, 2]]) { return xs + [7] }\n" ALL(
             "[fit(k) for k in some()]"),
         out);
    fails(w, ALL("[fit(s) for s in [1]] + [fit(s)]"), "unknown name `s`");
}

static void lists_of_params_are_gone_through(void **state) {
    struct world *w = *state;
    const char *text = "param seeds: [int] = [0, 1]\n" ALL("[fit(s) for s in seeds]");
    assert_string_equal(graph(w, text, NULL), graph(w, ALL("[fit(0), fit(1)]"), NULL));
    assert_string_equal(graph(w, text, "seeds=[3]"), graph(w, ALL("[fit(3)]"), NULL));
    // What such a seed is follows from the param in a way that only compiling can tell.
    const struct node *n = find_op(load_good(w, text, NULL), OP_TRAIN);
    assert_non_null(node_attr(n, "seed")->of);
    assert_false(value_is_late(node_attr(n, "seed")));
}

static void paths_keep_their_place(void **state) {
    struct world *w = *state;
    const char *text = "both = [images(p, size = 16) for p in [\"a\", \"b\"]]\n" ALL(
        "[fit()]") "report([accuracy(fit(), x) for x in both])\n";
    struct program *p = load_good(w, text, NULL);
    assert_string_equal(attr_str(find_name(p, "both[a]"), "path"), "a");
    assert_string_equal(attr_str(find_name(p, "both[b]"), "path"), "b");
}

static void lists_are_bounded(void **state) {
    struct world *w = *state;
    fails(w,
          "d = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n"
          "a = [1 for a in d for b in d for c in d for e in d for f in d]\n",
          "more than 65536 items");
    fails(w,
          "d = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n"
          "a = [[[k + k + k + k for k in d for b in d] for c in d for e in d] for f in "
          "d for g in d for h in d]\n",
          "too large");
    struct text t = {.arena = w->arena};
    text_add(&t, "a0 = [1, \"x\"]\n");
    for (int i = 1; i < 40; i++) text_add(&t, "a%d = a%d + a%d\n", i, i - 1, i - 1);
    fails(w, t.at, "more than 65536 items");
}

// ---- training -----------------------------------------------------------------------
#define STAGE(model) "report(accuracy(" model ", test))\n"

static void stages_are_those_of_a_training(void **state) {
    struct world *w = *state;
    same(w, STAGE("fit()@2"), STAGE("stage(fit(), epoch = 2)"));
    same(w, "param at: int = 1\n" STAGE("fit()@at"), STAGE("fit()@1"));
    same(w, "def first(m) { return m@1 }\n" STAGE("first(fit())"),
         STAGE("fit()@(2 - 1)"));
    same(w, STAGE("fit()@4"), STAGE("fit()"));
    same(w, STAGE("train(net, data, epochs = 9, rate = 1, keep = [5, 1, 5])@5"),
         STAGE("train(net, data, epochs = 9, rate = 1, keep = [1, 5])@5"));
    fails(w, STAGE("fit()@3"), "has no stage of epoch 3");
    fails(w, STAGE("net@1"), "is not trained in this program");
}

static void augmentations_are_one_or_a_list(void **state) {
    struct world *w = *state;
#define WITH(augment)                                                                    \
    STAGE("train(net, data, epochs = 1, rate = 1, augment = " augment ")")
    same(w, WITH("flip()"), WITH("[flip()]"));
    same(w, WITH("none"), WITH("[]"));
    const struct node *n =
        find_op(load_good(w, WITH("[flip(), cutout(4)] + [mixup()]"), NULL), OP_TRAIN);
    assert_int_equal(n->nin, 6);
    assert_int_equal(n->in[2], NID_NONE);
}

static void equal_networks_are_one(void **state) {
    struct world *w = *state;
    const char *two = "a = mlp(classes = 4, size = 16, hidden = [8])\n"
                      "b = mlp(classes = 4, size = 16, hidden = [8], seed = 1)\n";
    const char *text = arena_printf(
        w->arena, "%sreport([accuracy(m, test) for m in [a, b, net]])\n", two);
    const struct node *n = find_op(load_good(w, text, NULL), OP_REPORT);
    assert_int_equal(n->in[0], n->in[2]);
    assert_int_not_equal(n->in[0], n->in[1]);
}

// Weights and last layers that the program asks for; the file is one and the same.
static void networks_of_files_can_begin_anew(void **state) {
    struct world *w = *state;
#define FILE_WITH(more)                                                                  \
    "onnx(\"" TEST_DATA "/shapes.onnx\", mean = [0, 0, 0], std = [1, 1, 1]" more ")"
    const char *text = arena_printf(
        w->arena, "report([accuracy(m, test) for m in [%s, %s, %s, %s]])\n",
        FILE_WITH(""), FILE_WITH(", init = random"),
        FILE_WITH(", init = random, seed = 0"), FILE_WITH(", init = random, seed = 1"));
    struct program *p = load_good(w, text, NULL);
    const struct digest *seen[4];
    const struct node *report = find_op(p, OP_REPORT);
    for (size_t i = 0; i < 4; i++) {
        const struct node *accuracy = node_at(p->graph, report->in[i]);
        const struct model *m = node_at(p->graph, accuracy->in[0])->model;
        assert_int_equal(m->classes, 10);
        seen[i] = &m->digest;
    }
    assert_false(digest_eq(*seen[0], *seen[1]));
    assert_true(digest_eq(*seen[1], *seen[2]));
    assert_false(digest_eq(*seen[1], *seen[3]));
    p = load_good(w, STAGE(FILE_WITH(", classes = 3")), NULL);
    assert_int_equal(find_op(p, OP_ONNX)->model->classes, 3);
}

// ---- reports ------------------------------------------------------------------------
static void names(struct world *w, const char *text, const char *rows,
                  const char *columns) {
    const struct node *n = find_op(load_good(w, text, NULL), OP_REPORT);
    assert_string_equal(attr_str(n, "rows"), rows);
    assert_string_equal(attr_str(n, "columns"), columns);
}

#define ACC                                                                              \
    "def acc(s = 0) { return accuracy(fit(s), test) }\nfirst = acc(); last = acc(9)\n"

static void rows_and_columns_are_called_by_the_items(void **state) {
    struct world *w = *state;
    names(w, ACC "report(first)", "", "");
    names(w, ACC "report([first, last, acc(2)])", "first\nlast\nacc(2)", "");
    names(w, ACC "report([m for m in [acc(1 + 1)] + [(acc(3))]])", "acc(1 + 1)\nacc(3)",
          "");
    names(w, ACC "report([acc(s) for s in [0, 3]])", "s = 0\ns = 3", "");
    names(w, ACC "all = [acc(s) for s in [0, 3]]\nreport([a for a in all])",
          "s = 0\ns = 3", "");
    names(w, ACC "report([[acc(s + k) for k in [1, 2]] for s in [0, 3]])", "s = 0\ns = 3",
          "k = 1\nk = 2");
    names(w,
          ACC "report([[acc(k) for k in [1, 2]] for m in [\"a\", \"b\"] for n in [1]])",
          "a, n = 1\nb, n = 1", "k = 1\nk = 2");
    names(w, ACC "report([[first, last], [last, first]])", "1\n2", "1\n2");
    names(w, ACC "report([[first, last]], rows = [\"x\"], columns = [\"y\\nz\", \"\"])",
          "x", "y z\n");
    names(w, ACC "one = [first, last]; report([one, one])", "one\none", "first\nlast");
}

// Row after row.
static void numbers_of_a_table_go_row_after_row(void **state) {
    struct world *w = *state;
    struct program *p = load_good(
        w, ACC "report([[acc(10 * s + k) for k in [1, 2]] for s in [0, 3]])", NULL);
    const struct node *n = find_op(p, OP_REPORT);
    static const int64_t seeds[] = {1, 2, 31, 32};
    assert_int_equal(n->nin, COUNT(seeds));
    for (size_t i = 0; i < COUNT(seeds); i++) {
        const struct node *accuracy = node_at(p->graph, n->in[i]);
        assert_int_equal(attr_int(node_at(p->graph, accuracy->in[0]), "seed"), seeds[i]);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(items_are_written_out_or_made),
        TEST(names_of_lists_are_known_inside_only),
        TEST(lists_of_params_are_gone_through),
        TEST(paths_keep_their_place),
        TEST(lists_are_bounded),
        TEST(stages_are_those_of_a_training),
        TEST(augmentations_are_one_or_a_list),
        TEST(equal_networks_are_one),
        TEST(networks_of_files_can_begin_anew),
        TEST(rows_and_columns_are_called_by_the_items),
        TEST(numbers_of_a_table_go_row_after_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
