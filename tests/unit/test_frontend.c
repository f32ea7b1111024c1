// The language: programs to graphs, parameters, paths, exact errors, and text that means
// harm.
//
// tests/cases/check/NAME.ddg beside NAME.out are programs and the exact text that
// checking them gives; other tests write their programs into a folder of their own.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "frontend/ast.h"
#include "frontend/frontend.h"
#include "ir/text.h"

#define CASES TEST_DATA "/../cases/check"

struct world {
    struct arena *arena;
    struct diags d;
    char folder[64]; // the current directory, empty at first
};

static int enter(void **state) {
    struct world *w = calloc(1, sizeof *w);
    if (!w || !(w->arena = arena_new())) return -1;
    diags_init(&w->d, w->arena);
    strcpy(w->folder, "/tmp/ddg-frontend-XXXXXX");
    *state = w;
    return mkdtemp(w->folder) && chdir(w->folder) == 0 ? 0 : -1;
}

static int leave(void **state) {
    struct world *w = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", w->folder);
    int rc = chdir("/") == 0 ? system(command) : -1;
    arena_free(w->arena);
    free(w);
    return rc;
}

// ---- running ------------------------------------------------------------------------
static void write_bytes(const char *path, const char *text, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void write_file(const char *path, const char *text) {
    write_bytes(path, text, strlen(text));
}

// Up to four -D, the first NULL ends them.
static struct program *load_file(struct world *w, const char *path,
                                 const char *const *defines) {
    size_t n = 0;
    while (defines && defines[n]) n++;
    struct program_options o = {.path = path, .defines = defines, .ndefines = n};
    diags_init(&w->d, w->arena);
    return program_load(w->arena, &o, &w->d);
}

static struct program *load(struct world *w, const char *text, const char *define) {
    const char *defines[] = {define, NULL};
    write_file("program.ddg", text);
    return load_file(w, "program.ddg", defines);
}

static const char *messages(struct world *w) {
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    assert_non_null(to);
    diags_print(&w->d, to, false);
    fclose(to);
    char *kept = arena_strndup(w->arena, text, n);
    free(text);
    return kept;
}

static struct program *load_good(struct world *w, const char *text, const char *define) {
    struct program *p = load(w, text, define);
    if (!p || w->d.errors) fail_msg("%s", messages(w));
    return p;
}

static void assert_says(struct world *w, const char *part) {
    const char *all = messages(w);
    if (!strstr(all, part)) fail_msg("expected: %s\ngot: %s", part, all);
}

static void fails(struct world *w, const char *text, const char *define,
                  const char *part) {
    if (load(w, text, define)) fail_msg("no error; expected: %s", part);
    assert_true(w->d.errors > 0);
    assert_says(w, part);
}

static const char *graph_text(struct world *w, const struct program *p) {
    struct text t = {.arena = w->arena};
    ir_print(p->graph, &t);
    return t.at;
}

static const char *graph_without_names(struct world *w, struct program *p) {
    for (size_t i = 0; i < p->graph->nodes.n; i++) p->graph->nodes.at[i].name = NULL;
    return graph_text(w, p);
}

static const struct node *find_node(const struct program *p, const char *name) {
    for (size_t i = 0; i < p->graph->nodes.n; i++) {
        const struct node *n = &p->graph->nodes.at[i];
        if (n->name && strcmp(n->name, name) == 0) return n;
    }
    fail_msg("no node is called %s", name);
    return NULL;
}

// ---- exact errors -------------------------------------------------------------------
static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check_case(struct world *w, const char *name) {
    size_t n = strlen(name);
    char *out = arena_strdup(w->arena, name);
    strcpy(out + n - 3, "out");
    size_t size;
    const char *expected = file_read(w->arena, out, 1 << 20, &size);
    if (!expected) fail_msg("%s has no %s", name, out);
    struct program *p = load_file(w, name, NULL);
    const char *got = messages(w);
    assert_int_equal(p == NULL, w->d.errors > 0);
    if (strcmp(got, expected) != 0) fail_msg("%s gives\n%s", name, got);
    struct text why = {.arena = w->arena};
    if (p && !ir_verify(p->graph, FAMILY_PIPELINE, &why))
        fail_msg("%s: %s", name, why.at);
}

// The programs in the current directory; how many.
static size_t programs_here(struct world *w, const char *names[256]) {
    size_t n = 0;
    DIR *dir = opendir(".");
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".ddg") != 0) continue;
        assert_true(n < 256);
        names[n++] = arena_strdup(w->arena, e->d_name);
    }
    closedir(dir);
    qsort(names, n, sizeof *names, by_name);
    return n;
}

static void test_cases(void **state) {
    struct world *w = *state;
    assert_int_equal(chdir(CASES), 0);
    const char *names[256];
    size_t n = programs_here(w, names);
    assert_true(n > 20);
    for (size_t i = 0; i < n; i++) check_case(w, names[i]);
}

static void test_examples(void **state) {
    struct world *w = *state;
    assert_int_equal(chdir(TEST_DATA "/../../examples"), 0);
    const char *names[256];
    size_t n = programs_here(w, names);
    assert_true(n > 5);
    for (size_t i = 0; i < n; i++)
        if (!load_file(w, names[i], NULL)) fail_msg("%s", messages(w));
}

// ---- params -------------------------------------------------------------------------
static const struct param *find_param(const struct program *p, const char *name) {
    for (size_t i = 0; i < p->params.n; i++)
        if (strcmp(p->params.at[i].name, name) == 0) return &p->params.at[i];
    fail_msg("no param is called %s", name);
    return NULL;
}

static const char PARAMS[] = "param n: int = 3   # how many\n"
                             "param s: float = 1\n"
                             "param t: string = \"a\" ##  words  \n"
                             "param b: bool = false\n"
                             "param l: [float] = [1, 2.5,\n"
                             "                   n]   # three\n"
                             "param i: [int] = []\n"
                             "x = images(t, size = n)\n"
                             "save(x, to = \"o\")\n";

static bool has_value(const struct param *p, struct value want) {
    struct value v = p->value;
    assert_non_null(v.of); // it is the param
    v.of = NULL;
    return value_eq(&v, &want);
}

static void test_params(void **state) {
    struct world *w = *state;
    struct program *p = load_good(w, PARAMS, NULL);
    assert_int_equal(p->params.n, 6);
    assert_string_equal(p->params.at[0].name, "n");
    assert_string_equal(find_param(p, "n")->doc, "how many");
    assert_string_equal(find_param(p, "t")->doc, "words");
    assert_string_equal(find_param(p, "l")->doc, "three");
    assert_null(find_param(p, "s")->doc);
    assert_false(find_param(p, "n")->set);
    assert_true(has_value(find_param(p, "l"), val_floats((double[]){1, 2.5, 3}, 3)));
    assert_true(has_value(find_param(p, "s"), val_float(1)));
    assert_true(has_value(find_param(p, "i"), val_ints(NULL, 0)));
    assert_int_equal(find_param(p, "n")->span.start, 6);
}

static void set_to(struct world *w, const char *define, const char *name,
                   struct value want) {
    const struct param *p = find_param(load_good(w, PARAMS, define), name);
    assert_true(p->set);
    if (!has_value(p, want)) fail_msg("-D %s", define);
}

static void test_defines(void **state) {
    struct world *w = *state;
    set_to(w, "n=4", "n", val_int(4));
    set_to(w, "n= 2 * (3 + 1) ", "n", val_int(8));
    set_to(w, "s=2", "s", val_float(2));
    set_to(w, "s=-1e-3", "s", val_float(-1e-3));
    set_to(w, "b=true", "b", val_bool(true));
    set_to(w, "l=[1, 2]", "l", val_floats((double[]){1, 2}, 2));
    set_to(w, "i=[7]", "i", val_ints((int64_t[]){7}, 1));
    set_to(w, "t=two words = # \"3\"", "t", val_string("two words = # \"3\""));
    set_to(w, "t=f(a, b)[1,2]", "t", val_string("f(a, b)[1,2]"));
    set_to(w, "t=\"a,\\\"b\\\"\"", "t", val_string("a,\"b\""));
    // What is computed from a param follows it.
    struct program *p = load_good(w, PARAMS, "n=5");
    assert_int_equal(attr_int(find_node(p, "x"), "size"), 5);
    assert_true(find_param(p, "l")->value.fs[2] == 5);
}

static void test_wrong_defines(void **state) {
    struct world *w = *state;
    fails(w, PARAMS, "n=0.5",
          "1:6: error: param `n` is an int; its value is not: got the float");
    fails(w, PARAMS, "n=abc", "command line:1:6: error: param `n` is an int; got `abc`");
    fails(w, PARAMS, "n=\"3\"",
          "param `n` is an int; its value is not: got the string \"3\"");
    fails(w, PARAMS, "b=1", "param `b` is a bool; its value is not: got the int 1");
    fails(w, PARAMS, "b=yes", "write true or false");
    fails(w, PARAMS, "s=1,2",
          "1:7: error: several values for `s` are a sweep; one value is expected here");
    fails(w, PARAMS, "t=a,b", "a text with a comma is written in quotes");
    fails(w, PARAMS, "l=1,2", "a list is written in brackets");
    fails(w, PARAMS, "l=1", "a list is written in brackets");
    fails(w, PARAMS, "n=", "expected a value; got the end of the text");
    fails(w, PARAMS, "n=3 4", "the value of `n` should end here");
    fails(w, PARAMS, "n=s", "param `n` is an int; got `s`");
    fails(w, PARAMS, "nn=3", "the program has no param `nn`");
    fails(w, PARAMS, "zzz=3", "it has `n`, `s`, `t`, `b`, `l` and `i`");
    fails(w, PARAMS, "x=3", "the program has no param `x`");
    fails(w, PARAMS, "t=", "images: `path` is empty");
    fails(w, PARAMS, "n", "expected name=value");
    fails(w, PARAMS, "=3", "expected name=value");
    fails(w, PARAMS, "t=\x1b[31m", "control character U+001B");
    fails(w, "save(images(\"x\", size = 3), to = \"o\")", "n=3", "it has none");
    write_file("program.ddg", PARAMS);
    const char *const twice[] = {"n=3", "n=4", NULL};
    assert_null(load_file(w, "program.ddg", twice));
    assert_says(w, "`n` is set twice");
}

static int64_t int_of(struct world *w, const char *expr) {
    const char *text = arena_printf(w->arena, "param v: int = %s\n", expr);
    return find_param(load_good(w, text, NULL), "v")->value.i;
}

static double float_of(struct world *w, const char *expr) {
    const char *text = arena_printf(w->arena, "param v: float = %s\n", expr);
    return find_param(load_good(w, text, NULL), "v")->value.f;
}

static void test_arithmetic(void **state) {
    struct world *w = *state;
    assert_int_equal(int_of(w, "1 + 2 * 3 - 4"), 3);
    assert_int_equal(int_of(w, "(1 + 2) * -3"), -9);
    assert_int_equal(int_of(w, "10 - 4 - 3"), 3);
    assert_int_equal(int_of(w, "12 / 4 / 3"), 1);
    assert_int_equal(int_of(w, "7 // 2"), 3);
    assert_int_equal(int_of(w, "-7 // 2"), -4);
    assert_int_equal(int_of(w, "7 // -2"), -4);
    assert_int_equal(int_of(w, "-7 % 3"), 2);
    assert_int_equal(int_of(w, "7 % -3"), -2);
    assert_int_equal(int_of(w, "--3"), 3);
    assert_int_equal(int_of(w, "-9223372036854775807 - 1"), INT64_MIN);
    assert_int_equal(int_of(w, "(-9223372036854775807 - 1) % -1"), 0);
    assert_int_equal(int_of(w, "007"), 7);
    assert_true(float_of(w, "1 / 2.0") == 0.5);
    assert_true(float_of(w, "7.5 // 2") == 3);
    assert_true(float_of(w, "-7.5 % 2") == 0.5);
    assert_true(float_of(w, "0.1 + 2") == 0.1 + 2);
    assert_true(float_of(w, "1.5E+2 - 1e0") == 149);
    fails(w, "param v: int = (-9223372036854775807 - 1) // -1", NULL, "does not fit");
    fails(w, "param v: float = 1e200 * 1e200", NULL, "too large for a float");
    fails(w, "param v: float = 1 // 0.0", NULL, "division by zero");
}

static void test_strings(void **state) {
    struct world *w = *state;
    struct program *p = load_good(w,
                                  "param a: string = \"x\\t\\\"\\\\\" + \"\\n\" # é\n"
                                  "param b: string = \"日本 #1\"\n",
                                  NULL);
    assert_string_equal(find_param(p, "a")->value.s, "x\t\"\\\n");
    assert_string_equal(find_param(p, "b")->value.s, "日本 #1");
}

// ---- graphs -------------------------------------------------------------------------
static void test_order_of_lines(void **state) {
    struct world *w = *state;
    struct program *p = load_good(w,
                                  "n = 2\n"
                                  "x = images(\"in\", size = 16 * n)\n"
                                  "def f(y) {\n  z = stitch(y, factor = n)\n"
                                  "  v = stitch(z, factor = n)\n  return v\n}\n"
                                  "s = f(x)\n"
                                  "save(s, to = \"a\")\n",
                                  NULL);
    const char *one = graph_text(w, p);
    p = load_good(w,
                  "save(s, to = \"a\"); s = f(x)\n"
                  "def f(y) { v = stitch(z, factor = n); z = stitch(\n\ty,\n"
                  "# inside\n\n factor = n,) ; return v }\r\n"
                  "x = images(\"in\", size = 16 * n)\n"
                  "n = 2",
                  NULL);
    assert_string_equal(one, graph_text(w, p));
}

static void test_defs_expand(void **state) {
    struct world *w = *state;
    struct program *p =
        load_good(w,
                  "def half(x, n = two) { return stitch(x, factor = n) }\n"
                  "def quarter(x) { a = half(x); b = half(a, n = 2)\n"
                  "return b }\n"
                  "two = 2\n"
                  "x = images(\"in\", size = 32)\n"
                  "q = quarter(x)\n"
                  "save(q, to = \"q\"); save(quarter(x), to = \"r\")\n",
                  NULL);
    assert_string_equal(find_node(p, "q.a")->name, "q.a");
    assert_int_equal(find_node(p, "q")->op, OP_STITCH);
    // Nodes stand where the op is called, in the def.
    assert_int_equal(find_node(p, "q")->span.start,
                     strlen("def half(x, n = two) { return "));
    const char *expanded = graph_without_names(w, p);
    p = load_good(w,
                  "x = images(\"in\", size = 32)\n"
                  "a = stitch(x, factor = 2)\n"
                  "b = stitch(a, factor = 2)\n"
                  "save(b, to = \"q\"); save(b, to = \"r\")\n",
                  NULL);
    assert_string_equal(expanded, graph_without_names(w, p));
}

static void test_names_of_nodes(void **state) {
    struct world *w = *state;
    struct program *p = load_good(w,
                                  "x = images(\"in\", size = 32)\n"
                                  "y = stitch(random_crop(x, size = 8, seed = 1), 2)\n"
                                  "z = y\n"
                                  "save(z, to = \"a\")\n",
                                  NULL);
    assert_int_equal(find_node(p, "x")->op, OP_IMAGES);
    assert_int_equal(find_node(p, "y")->op, OP_STITCH);
    assert_int_equal(p->graph->nodes.n, 4);
    assert_null(p->graph->nodes.at[1].name);
    assert_int_equal(p->graph->nodes.at[1].op, OP_RANDOM_CROP);
}

static void test_only_what_is_saved(void **state) {
    struct world *w = *state;
    struct program *p = load_good(w,
                                  "x = images(\"in\", size = 32)\n"
                                  "y = images(\"unused\", size = 32)\n"
                                  "save(x, to = \"a\")\n",
                                  NULL);
    assert_int_equal(p->graph->nodes.n, 2);
    assert_int_equal(p->graph->outs.n, 1);
    // But all of it is checked.
    fails(
        w,
        "x = images(\"in\", size = 32)\ny = stitch(x, factor = 0)\nsave(x, to = \"a\")\n",
        NULL, "program.ddg:2:24: error: stitch: `factor` must be");
}

static void test_defaults(void **state) {
    struct world *w = *state;
    struct program *p = load_good(w,
                                  "x = images(\"in\", 32)\n"
                                  "c = random_crop(x, 8, [1 - 0.5, 1], seed = 1)\n"
                                  "save(c, none, \"a\")\n",
                                  NULL);
    const struct node *c = find_node(p, "c"), *x = find_node(p, "x");
    struct value scale = val_floats((double[]){0.5, 1}, 2);
    struct value ratio = val_floats((double[]){0.75, 1.3333333333333333}, 2);
    assert_true(value_eq(node_attr(c, "scale"), &scale));
    assert_true(value_eq(node_attr(c, "ratio"), &ratio));
    assert_int_equal(attr_int(c, "count"), 1);
    assert_int_equal(node_attr(x, "limit")->kind, VAL_NONE);
    assert_string_equal(attr_str(x, "on_error"), "stop");
}

// ---- files --------------------------------------------------------------------------
static const char *path_of(struct world *w, const char *program, const char *define) {
    const char *defines[] = {define, NULL};
    struct program *p = load_file(w, program, defines);
    if (!p) fail_msg("%s", messages(w));
    return attr_str(find_node(p, "x"), "path");
}

static void test_paths(void **state) {
    struct world *w = *state;
    assert_int_equal(mkdir("sub", 0700), 0);
    assert_int_equal(mkdir("sub/lib", 0700), 0);
    write_file("sub/lib/data.ddg",
               "param root: string = \"in\"\n"
               "def data(path) { return images(path + \"/a\", size = 8) }\n"
               "def own() { return images(\"own\", size = 8) }\n");
    write_file("sub/a.ddg", "x = images(\"in\", size = 8)\nsave(x, to = \"out\")\n");
    write_file("sub/b.ddg",
               "import \"lib/data.ddg\"\nx = data(\"in\")\nsave(x, to = \"o\")\n");
    write_file("sub/c.ddg",
               "import \"lib/data.ddg\"\nx = data(root)\nsave(x, to = \"o\")\n");
    write_file("sub/d.ddg", "import \"lib/data.ddg\"\nx = own()\nsave(x, to = \"o\")\n");
    write_file("sub/e.ddg", "x = images(\"/in\", size = 8)\nsave(x, to = \"o\")\n");
    // A path starts at the file in which it is written, or where -D is.
    assert_string_equal(path_of(w, "sub/a.ddg", NULL), "sub/in");
    assert_string_equal(path_of(w, "sub/b.ddg", NULL), "sub/in/a");
    assert_string_equal(path_of(w, "sub/c.ddg", NULL), "sub/lib/in/a");
    assert_string_equal(path_of(w, "sub/c.ddg", "root=data"), "data/a");
    assert_string_equal(path_of(w, "sub/c.ddg", "root=\"data\""), "data/a");
    assert_string_equal(path_of(w, "sub/d.ddg", NULL), "sub/lib/own");
    assert_string_equal(path_of(w, "sub/e.ddg", NULL), "/in");
    assert_int_equal(chdir("sub"), 0);
    assert_string_equal(path_of(w, "a.ddg", NULL), "in");
    assert_string_equal(path_of(w, "./a.ddg", NULL), "./in");
    assert_int_equal(chdir(".."), 0);
}

static void test_imports(void **state) {
    struct world *w = *state;
    write_file("one.ddg", "import \"two.ddg\"\nparam n: int = 2\n"
                          "def f(x) { return g(x, n) }\nx = nowhere\n");
    write_file("two.ddg", "import \"one.ddg\"\n"
                          "def g(x, k) { return stitch(x, factor = k * n) }\n"
                          "save(3, to = nothing)\n");
    const char *main =
        "import \"one.ddg\"\nimport \"./one.ddg\"\nimport \"program.ddg\"\n"
        "x = images(\"in\", size = 32)\nsave(f(x), to = \"o\")\n";
    // What an imported file binds and saves for itself is read, though not computed.
    fails(w, main, NULL, "one.ddg:4:5: error: unknown name `nowhere`");
    assert_says(w, "two.ddg:3:14: error: unknown name `nothing`");
    write_file("one.ddg", "import \"two.ddg\"\nparam n: int = 2\n"
                          "def f(x) { return g(x, n) }\nx = stitch(3, factor = n)\n");
    write_file("two.ddg",
               "import \"one.ddg\"\n"
               "def g(x, k) { return stitch(x, factor = k * n) }\nsave(3, to = n)\n");
    struct program *p = load_good(w, main, "n=3");
    assert_int_equal(p->graph->outs.n, 1);
    assert_int_equal(attr_int(node_at(p->graph, 1), "factor"), 9);
    assert_int_equal(p->params.n, 1);
}

static void test_missing_file(void **state) {
    struct world *w = *state;
    assert_null(load_file(w, "none.ddg", NULL));
    assert_says(w, "ddg: error: cannot read \"none.ddg\": No such file");
    assert_null(load_file(w, ".", NULL));
    assert_says(w, "it is a folder");
}

// ---- text that means harm -----------------------------------------------------------
static char *repeat(struct world *w, const char *piece, size_t times) {
    size_t n = strlen(piece);
    char *s = NEW_N(w->arena, char, n *times + 1);
    for (size_t i = 0; i < times; i++) memcpy(s + i * n, piece, n);
    return s;
}

static const char *around(struct world *w, const char *before, const char *piece,
                          size_t times, const char *after) {
    return arena_printf(w->arena, "%s%s%s", before, repeat(w, piece, times), after);
}

static void test_nesting(void **state) {
    struct world *w = *state;
    const char *deep = "brackets nest more than 200 deep here";
    fails(w, around(w, "a = ", "(", 500000, "1"), NULL, deep);
    fails(w, around(w, "a = ", "[", 500000, "1"), NULL, deep);
    fails(w, around(w, "a = ", "-", 500000, "1"), NULL, deep);
    fails(w, around(w, "a = ", "f(", 400000, "1"), NULL, deep);
    fails(w, around(w, "a = 1", "+1", 400000, ""), NULL, "more than 200 operations deep");
    load_good(w, around(w, "a = 1", "*(1", 150, repeat(w, ")", 150)), NULL);
}

static void test_sizes(void **state) {
    struct world *w = *state;
    fails(w, around(w, "", "#", PROGRAM_MAX_BYTES, "#"), NULL, "larger than 1 MiB");
    fails(w, around(w, "a = ", "n", 257, ""), NULL, "this name is 257 bytes long");
    fails(w, around(w, "a = [1", ", 1", 70000, "]"), NULL, "this list has 70001 items");
    fails(w, around(w, "a = ", "9", 100000, ""), NULL, "does not fit in 64 bits");
    fails(w, around(w, "", "a(b\n c\n", 100000, ""), NULL, "more error not shown");
    fails(w, around(w, "", "a = nope(b)\n", 80000, ""), NULL, "more errors not shown");
    fails(w, around(w, "def f(a", ", a", 100, ") { return 1 }"), NULL,
          "more than 64 param");
    write_file("program.ddg", "");
    for (int i = 0; i < PROGRAM_MAX_FILES; i++) {
        const char *text = arena_printf(w->arena, "import \"f%d.ddg\"\n", i + 1);
        write_file(arena_printf(w->arena, "f%d.ddg", i), text);
    }
    write_file(arena_printf(w->arena, "f%d.ddg", PROGRAM_MAX_FILES), "");
    fails(w, "import \"f0.ddg\"\n", NULL, "a program is made of at most 32 files");
}

// A chain of names as long as a file is no deeper than one of two.
static void test_long_chain(void **state) {
    struct world *w = *state;
    struct text t = {.arena = w->arena};
    size_t n = 60000;
    for (size_t i = 0; i < n; i++) text_add(&t, "a%zu = a%zu\n", i, i + 1);
    size_t before_last = t.n;
    text_add(&t, "a%zu = images(\"in\", size = 8)\nsave(a0, to = \"o\")\n", n);
    assert_int_equal(load_good(w, t.at, NULL)->graph->nodes.n, 2);
    t.n = before_last;
    text_add(&t, "a%zu = a0\n", n);
    fails(w, t.at, NULL, "`a0` is made from itself: `a0` -> `a1` -> `a2` ->");
}

// Doubling defs: a few lines that mean an astronomical number of calls.
static void test_expansion(void **state) {
    struct world *w = *state;
    struct text t = {.arena = w->arena};
    text_add(&t, "def f0(x) { return x }\n");
    for (int i = 1; i < 64; i++)
        text_add(&t, "def f%d(x) { return f%d(f%d(x)) }\n", i, i - 1, i - 1);
    text_add(&t, "a = f63(1)\n");
    fails(w, t.at, NULL, "too large: with its `def`s expanded");
    struct text s = {.arena = w->arena};
    text_add(&s, "a0 = \"0123456789\"\n");
    for (int i = 1; i < 64; i++) text_add(&s, "a%d = a%d + a%d\n", i, i - 1, i - 1);
    fails(w, s.at, NULL, "longer than a string may be");
    struct text d = {.arena = w->arena};
    text_add(&d, "def f0(x) { return x }\n");
    for (int i = 1; i < 5000; i++)
        text_add(&d, "def f%d(x) { return f%d(x) }\n", i, i - 1);
    text_add(&d, "a = f4999(1)\n");
    fails(w, d.at, NULL, "calls of `def`s nest too deeply here");
}

// Every prefix of a program, and every one of its bytes changed, is read to an end.
static void test_damaged(void **state) {
    struct world *w = *state;
    static const char text[] =
        "param n: int = 2 # two\n"
        "def f(x, k = n) {\n  y = stitch(x, factor = k)\n  return y\n}\n"
        "x = images(\"in\", size = 8 * (n + 2), on_error = skip)\n"
        "t = train(mlp(2, 4), x, keep = [n], epochs = 5, rate = 1)@2\n"
        "report([accuracy(t, y) for y in [x] + [x for k in [n]]])\n"
        "save(f(x, [1, -2.5e3][0]), to = \"o\\n\")\n";
    static const char bytes[] = "(){}[]=,:;@\"\\#\n\r\t -+*/%.0a_\x80\xff\xc3";
    char damaged[sizeof text];
    for (size_t i = 0; i < sizeof text; i++) {
        write_bytes("program.ddg", text, i);
        load_file(w, "program.ddg", NULL);
        messages(w);
        for (size_t k = 0; k < sizeof bytes && i + 1 < sizeof text; k++) {
            memcpy(damaged, text, sizeof text);
            damaged[i] = bytes[k]; // the last one is NUL
            write_bytes("program.ddg", damaged, sizeof text - 1);
            bool ok = load_file(w, "program.ddg", NULL) != NULL;
            assert_int_equal(ok, w->d.errors == 0);
            messages(w);
        }
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_cases),
        TEST(test_examples),
        TEST(test_params),
        TEST(test_defines),
        TEST(test_wrong_defines),
        TEST(test_arithmetic),
        TEST(test_strings),
        TEST(test_order_of_lines),
        TEST(test_defs_expand),
        TEST(test_names_of_nodes),
        TEST(test_only_what_is_saved),
        TEST(test_defaults),
        TEST(test_paths),
        TEST(test_imports),
        TEST(test_missing_file),
        TEST(test_nesting),
        TEST(test_sizes),
        TEST(test_long_chain),
        TEST(test_expansion),
        TEST(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
