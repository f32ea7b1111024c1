// Setting a plan's params: what follows, what is refused, that nothing is half done.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <locale.h>

#include "runtime/result.h"
#include "runtime/settings.h"
#include "scratch.h"

// ---- a plan by hand -----------------------------------------------------------------
//     param ipc: int = 5
//     param factor: int = 2           # compiled in
//     param sigma: float = 0.5
//     param data: string = "train"    # beside /src
//     param to: string = "out"
//     param twice: int = ipc * 2
//     param flags: bool = false
//     param sizes: [int] = [1, 2]
enum { IPC, FACTOR, SIGMA, DATA, TO, TWICE, FLAG, SIZES, PARAMS };

struct rig {
    struct arena *a;
    struct diags *d;
    struct plan p;
    struct store_field fields[2];
    struct plan_memo memo;
    float constant[32];
};

static const struct source program = {"p.ddg", "topk(x, k = ipc * factor * factor)", 34};

static const struct formula *param(struct rig *r, uint32_t i) {
    struct formula f = {.kind = FORMULA_PARAM, .param = i};
    return value_from(r->a, val_int(0), f).of;
}

static const struct formula *times(struct rig *r, const struct formula *x,
                                   const struct formula *y) {
    struct formula f = {.kind = FORMULA_BINARY, .op = "*", .l = x, .r = y};
    return value_from(r->a, val_int(0), f).of;
}

static struct value from(struct value v, const struct formula *f) {
    v.of = f;
    return v;
}

static void add_params(struct rig *r) {
    static const int64_t sizes[] = {1, 2};
    const struct plan_param params[PARAMS] = {
        [IPC] = {.name = "ipc", .at = {val_int(5), NULL}},
        [FACTOR] = {.name = "factor",
                    .at = {val_int(2), NULL},
                    .fixed = "`factor` of `stitch`"},
        [SIGMA] = {.name = "sigma", .at = {val_float(0.5), NULL}},
        [DATA] = {.name = "data", .at = {val_string("train"), "/src"}},
        [TO] = {.name = "to", .at = {val_string("out"), NULL}},
        [TWICE] = {.name = "twice", .at = {val_int(10), NULL}},
        [FLAG] = {.name = "flag", .at = {val_bool(false), NULL}},
        [SIZES] = {.name = "sizes", .at = {val_ints(sizes, 2), NULL}},
    };
    for (size_t i = 0; i < PARAMS; i++) VEC_PUSH(r->a, &r->p.params, params[i]);
    static const int64_t two = 2;
    struct value v = val_int(two);
    r->p.params.at[TWICE].at.value.of =
        times(r, param(r, IPC), formula_of(r->a, &v, NULL));
}

static void use(struct rig *r, enum use_place place, uint32_t b, uint32_t c,
                struct value v, const struct plan_late *at) {
    plan_use_late(r->a, &r->p, place, 0, b, c, plan_late_of(r->a, &r->p, &v, at));
}

static void add_uses(struct rig *r) {
    const struct formula *k =
        times(r, times(r, param(r, IPC), param(r, FACTOR)), param(r, FACTOR));
    const struct plan_late at_k = {.op = "topk",
                                   .attr = "k",
                                   .span = {&program, 12, 33},
                                   .kind = VAL_INT,
                                   .min = 1,
                                   .max = 1000};
    const struct plan_late at_path = {
        .op = "images", .attr = "path", .kind = VAL_STRING, .path = true};
    const struct plan_late at_limit = {
        .op = "images", .attr = "limit", .kind = VAL_INT, .min = 1, .max = 1e9};
    const struct plan_late at_sigma = {
        .op = "perturb", .attr = "sigma", .kind = VAL_FLOAT, .min = 0, .max = 1};
    struct value sigma = from(val_float(0.5), param(r, SIGMA));
    use(r, USE_K, 0, 0, from(val_int(20), k), &at_k);
    use(r, USE_RECORD, 1, 0, from(val_int(20), k), NULL);
    use(r, USE_PATH, 0, 0, from(val_string("/src/train"), param(r, DATA)), &at_path);
    use(r, USE_TO, 0, 0, from(val_string("out"), param(r, TO)), &at_path);
    use(r, USE_LIMIT, 0, 0, from(val_int(10), param(r, TWICE)), &at_limit);
    use(r, USE_CONST, 0, 0, sigma, &at_sigma);
    use(r, USE_BUILTIN, 0, 3, sigma, &at_sigma);
    use(r, USE_FIELD, 0, 0, from(val_string("train"), param(r, DATA)), NULL);
}

static struct rig *rig_new(struct fixture *f) {
    struct rig *r = NEW(f->a, struct rig);
    r->a = f->a;
    r->d = &f->d;
    diags_init(&f->d, f->a);
    r->fields[0] = (struct store_field){"op", "topk", NULL};
    r->fields[1] = (struct store_field){"k", "20", NULL};
    r->memo.record = (struct store_record){.op = "x", .nfields = 2, .fields = r->fields};
    r->memo.record.key = store_record_key(&r->memo.record);
    r->constant[0] = 0.5f;
    r->p = (struct plan){.nrowsets = 1, .ncolumns = 1, .nsaves = 1, .nfuncs = 1};
    r->p.nconsts = r->p.nfields = 1;
    r->p.rowsets = NEW(f->a, struct plan_rowset);
    *r->p.rowsets = (struct plan_rowset){.path = "/src/train", .limit = 10, .k = 20};
    r->p.saves = NEW(f->a, struct plan_save);
    r->p.saves->to = "out";
    r->p.columns = NEW(f->a, struct plan_column);
    r->p.columns->memo = &r->memo;
    r->p.consts = NEW(f->a, struct plan_const);
    *r->p.consts = (struct plan_const){(char *)r->constant, sizeof(float)};
    r->p.funcs = NEW(f->a, struct plan_func);
    r->p.funcs->calls = NEW(f->a, struct plan_call);
    r->p.funcs->calls->params[3] = 0.5;
    r->p.fields = NEW(f->a, struct result_field);
    *r->p.fields = (struct result_field){"params", "data", "\"train\""};
    add_params(r);
    add_uses(r);
    return r;
}

// All that uses say, on one line.
static const char *state(struct rig *r) {
    const struct plan *p = &r->p;
    float f;
    memcpy(&f, p->consts->data, sizeof f);
    return arena_printf(r->a, "%s %zu %zu %s %g %g %s %s", p->rowsets->path,
                        p->rowsets->limit, p->rowsets->k, p->saves->to, (double)f,
                        p->funcs->calls->params[3], r->fields[1].value, p->fields->json);
}
#define BEFORE "/src/train 10 20 out 0.5 0.5 20 \"train\""

// "name=value" each; NULL ends them.
static bool set(struct rig *r, const char *const *texts) {
    struct setting s[8];
    size_t n = 0;
    for (; texts[n]; n++) {
        const char *equals = strchr(texts[n], '=');
        s[n].name = arena_strndup(r->a, texts[n], (size_t)(equals - texts[n]));
        s[n].value = equals + 1;
        s[n].form = "--";
    }
    diags_init(r->d, r->a);
    bool ok = plan_set(r->a, &r->p, s, n, r->d);
    assert_true(ok == (r->d->errors == 0));
    return ok;
}
#define SET(r, ...) set(r, (const char *const[]){__VA_ARGS__, NULL})

// What is printed of an error.
static const char *said(struct rig *r) {
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);
    diags_print(r->d, to, false);
    assert_int_equal(fclose(to), 0);
    const char *kept = arena_strdup(r->a, text);
    free(text);
    return kept;
}

static void assert_refused(struct rig *r, const char *const *texts, const char *words) {
    assert_false(set(r, texts));
    if (!strstr(said(r), words)) fail_msg("not '%s' but:\n%s", words, said(r));
    assert_string_equal(state(r), BEFORE);
}
#define REFUSED(r, words, ...)                                                           \
    assert_refused(r, (const char *const[]){__VA_ARGS__, NULL}, words)

// ---- what follows --------------------------------------------------------------------
static void everything_follows(void **unused) {
    struct rig *r = rig_new(*unused);
    assert_string_equal(state(r), BEFORE);
    assert_true(SET(r, "ipc=10", "sigma=0.25", "data=mine", "to=/x/y"));
    assert_string_equal(state(r), "mine 20 40 /x/y 0.25 0.25 40 \"mine\"");
    assert_true(digest_eq(r->memo.record.key, store_record_key(&r->memo.record)));
    assert_true(SET(r, "ipc=5"));
    assert_string_equal(state(r), "mine 10 20 /x/y 0.25 0.25 20 \"mine\"");
}

static void a_key_follows_only_from_its_params(void **unused) {
    struct rig *r = rig_new(*unused);
    struct digest before = r->memo.record.key;
    assert_true(SET(r, "sigma=0.25", "data=mine"));
    assert_true(digest_eq(before, r->memo.record.key));
    assert_true(SET(r, "ipc=6"));
    assert_false(digest_eq(before, r->memo.record.key));
    assert_true(SET(r, "ipc=5"));
    assert_true(digest_eq(before, r->memo.record.key));
}

static void the_mapped_constant_is_left_alone(void **unused) {
    struct rig *r = rig_new(*unused);
    plan_settle(r->a, &r->p);
    assert_ptr_equal(r->p.consts->data, r->constant);
    assert_true(SET(r, "sigma=1"));
    assert_ptr_not_equal(r->p.consts->data, r->constant);
    assert_true(r->constant[0] == 0.5f);
    char *data = r->p.consts->data;
    plan_settle(r->a, &r->p);
    assert_ptr_equal(r->p.consts->data, data);
}

static void late_code_is_settled(void **unused) {
    struct rig *r = rig_new(*unused);
    assert_true(SET(r, "sigma=0.25"));
    struct value v = r->p.lates.at[r->p.uses.at[5].late].value;
    float more[32] = {0.5f};
    struct plan_const consts[2] = {*r->p.consts, {(char *)more, sizeof(float)}};
    r->p.consts = consts, r->p.nconsts = 2;
    size_t lates = r->p.lates.n;
    uint32_t late = plan_late_of(r->a, &r->p, &v, &r->p.lates.at[r->p.uses.at[5].late]);
    assert_int_equal(r->p.lates.n, lates); // the same one
    plan_use_late(r->a, &r->p, USE_CONST, 1, 0, 0, late);
    plan_settle(r->a, &r->p);
    assert_memory_equal(consts[1].data, &(float){0.25f}, sizeof(float));
}

static void defaults_follow_until_they_are_set(void **unused) {
    struct rig *r = rig_new(*unused);
    assert_true(SET(r, "ipc=6"));
    assert_int_equal(r->p.rowsets->limit, 12);
    assert_true(SET(r, "ipc=7", "twice=3"));
    assert_int_equal(r->p.rowsets->limit, 3);
    assert_true(SET(r, "ipc=8"));
    assert_int_equal(r->p.rowsets->limit, 3);
}

static const struct formula *binary(struct rig *r, const char *op,
                                    const struct formula *x, const struct formula *y) {
    struct formula f = {.kind = FORMULA_BINARY, .op = op, .l = x, .r = y};
    return value_from(r->a, val_int(0), f).of;
}

//     param rest: int = 20 / (twice - ipc)      # stands before what it follows from
//     param twice: int = ipc * 2
static void defaults_follow_in_any_order(void **unused) {
    struct rig *r = rig_new(*unused);
    struct value twenty = val_int(20);
    struct plan_param twice = r->p.params.at[TWICE];
    VEC_PUSH(r->a, &r->p.params, twice);
    const struct formula *left = binary(r, "-", param(r, PARAMS), param(r, IPC));
    r->p.params.at[TWICE].name = "rest";
    r->p.params.at[TWICE].at.value =
        from(val_int(4), binary(r, "/", formula_of(r->a, &twenty, NULL), left));
    assert_true(SET(r, "ipc=10")); // not 20 / (10 - 10)
    assert_int_equal(r->p.params.at[PARAMS].at.value.i, 20);
    assert_int_equal(r->p.params.at[TWICE].at.value.i, 2);
    assert_int_equal(r->p.rowsets->limit, 2);
    assert_false(SET(r, "twice=10"));
    assert_non_null(strstr(said(r), "param `rest`: division by zero"));
}

// In a plan that somebody made up.
static void defaults_in_circles_end(void **unused) {
    struct rig *r = rig_new(*unused);
    r->p.params.at[TWICE].at.value.of = param(r, TWICE);
    assert_true(SET(r, "ipc=6"));
    assert_int_equal(r->p.rowsets->limit, 10);
    assert_true(SET(r, "twice=3"));
    assert_int_equal(r->p.rowsets->limit, 3);
}

// ---- what is refused -----------------------------------------------------------------
static void unknown_names(void **unused) {
    struct rig *r = rig_new(*unused);
    REFUSED(r,
            "command line:1:3: error: the program has no param `sigm`\n"
            "  1 | --sigm=1\n"
            "    |   ^~~~\n"
            "    = help: did you mean `sigma`?\n",
            "sigm=1");
    REFUSED(r,
            "it has `ipc`, `factor`, `sigma`, `data`, `to`, `twice`, `flag` and `sizes`",
            "bogus=1");
    REFUSED(r, "`ipc` is set twice", "ipc=1", "ipc=2");
    REFUSED(r, "no param `nope`", "ipc=1", "nope=2", "sigma=0.1");
}

static void what_is_compiled_in(void **unused) {
    struct rig *r = rig_new(*unused);
    REFUSED(r,
            "`factor` cannot be set any more: `factor` of `stitch` was compiled for 2\n"
            "  1 | --factor=3\n"
            "    |   ^~~~~~\n"
            "    = help: compile again with -D factor=3\n",
            "factor=3");
    assert_true(SET(r, "factor=2"));
    assert_string_equal(state(r), BEFORE);
    // A default that follows from what is set, and is compiled in itself.
    r->p.params.at[TWICE].fixed = "`size` of `crop`";
    REFUSED(r, "`twice` cannot be set any more", "ipc=6");
    REFUSED(r, "-D twice=12", "ipc=6");
    assert_true(SET(r, "ipc=5"));
    // It was set itself, if only to what it is: from there on it follows from nothing.
    assert_true(SET(r, "twice=10"));
    assert_true(SET(r, "ipc=6"));
    assert_int_equal(r->p.rowsets->limit, 10);
}

static void values_out_of_range(void **unused) {
    struct rig *r = rig_new(*unused);
    REFUSED(
        r,
        "command line:1:7: error: topk: `k` must be between 1 and 1000; this is 4000\n"
        "  1 | --ipc=1000\n"
        "    |       ^~~~\n"
        "p.ddg:1:13: note: it is used here\n",
        "ipc=1000");
    REFUSED(r, "perturb: `sigma` must be between 0 and 1; this is -0.5", "sigma=-0.5");
    REFUSED(r, "images: `path` is empty", "data=");
    REFUSED(r, "does not fit in 64 bits", "ipc=9000000000000000000");
}

static void values_of_another_kind(void **unused) {
    struct rig *r = rig_new(*unused);
    REFUSED(r, "param `ipc`: an int such as 10 is expected; got `ten`", "ipc=ten");
    REFUSED(r, "an int such as 10 is expected; got `1.5`", "ipc=1.5");
    REFUSED(r, "an int such as 10 is expected; got nothing", "ipc=");
    REFUSED(r, "several are a sweep, which is for `ddg run`", "ipc=5,10");
    REFUSED(r, "several are a sweep, which is for `ddg run`", "sigma=0.1,0.2");
    REFUSED(r, "several are a sweep", "to=a,b");
    REFUSED(r, "true or false is expected; got `yes`", "flag=yes");
    REFUSED(r, "a list of ints such as [1, 2] is expected; got `1, 2`", "sizes=1, 2");
    REFUSED(r, "`99999999999999999999` does not fit in 64 bits",
            "ipc=99999999999999999999");
    REFUSED(r, "`1e999` is too large for a float", "sigma=1e999");
    REFUSED(r, "byte 0xFF is not", "to=a\xff");
    REFUSED(r, "control characters", "to=a\x1b[1m");
}

// ---- literals ------------------------------------------------------------------------
// The value's text after reading it, or the reason.
static const char *read_as(struct arena *a, enum value_kind kind, const char *text) {
    struct value v;
    const char *why;
    if (!value_parse(a, text, kind, &v, &why)) return why;
    assert_int_equal(v.kind, kind);
    struct value again;
    assert_true(value_parse(a, value_literal(a, &v), kind, &again, &why));
    assert_true(value_eq(&v, &again));
    return value_literal(a, &v);
}

static void literals(void **unused) {
    struct arena *a = ((struct fixture *)*unused)->a;
    static const struct {
        enum value_kind kind;
        const char *text, *is;
    } CASES[] = {
        {VAL_INT, "10", "10"},
        {VAL_INT, " -3 ", "-3"},
        {VAL_INT, "-9223372036854775808", "-9223372036854775808"},
        {VAL_FLOAT, "1e-3", "0.001"},
        {VAL_FLOAT, "2", "2"},
        {VAL_FLOAT, "-0.5", "-0.5"},
        {VAL_FLOAT, "-0", "0"}, // in a program it is an int
        {VAL_FLOAT, "18446744073709551616", "1.8446744073709552e+19"},
        {VAL_BOOL, "true", "true"},
        {VAL_BOOL, "false", "false"},
        {VAL_INTS, "[8, 16]", "[8, 16]"},
        {VAL_INTS, "[ 8,16, ]", "[8, 16]"},
        {VAL_INTS, "[]", "[]"},
        {VAL_FLOATS, "[1, 0.5]", "[1, 0.5]"},
        {VAL_STRING, "out/a b", "out/a b"},
        {VAL_STRING, "", "\"\""},
        {VAL_STRING, "\"a\"", "a"},
        {VAL_STRING, "\"a,\\\"b\\\"\\n\"", "\"a,\\\"b\\\"\\n\""},
        {VAL_STRING, "ж", "ж"},
        {VAL_STRING, "a(b,c)[d,e]",
         "\"a(b,c)[d,e]\""}, // as in a sweep, that is one value
    };
    for (size_t i = 0; i < COUNT(CASES); i++)
        assert_string_equal(read_as(a, CASES[i].kind, CASES[i].text), CASES[i].is);
}

static void wrong_literals(void **unused) {
    struct arena *a = ((struct fixture *)*unused)->a;
    static const struct {
        enum value_kind kind;
        const char *text;
    } CASES[] = {
        {VAL_INT, "1 2"},       {VAL_INT, "0x10"},       {VAL_INT, "1e3"},
        {VAL_INT, "- 1"},       {VAL_INT, "+1"},         {VAL_INT, "--1"},
        {VAL_FLOAT, ".5"},      {VAL_FLOAT, "5."},       {VAL_FLOAT, "1e"},
        {VAL_FLOAT, "nan"},     {VAL_FLOAT, "inf"},      {VAL_FLOAT, "0x1p3"},
        {VAL_BOOL, "True"},     {VAL_BOOL, "1"},         {VAL_BOOL, ""},
        {VAL_INTS, "[1, 2"},    {VAL_INTS, "[1 2]"},     {VAL_INTS, "[1.5]"},
        {VAL_INTS, "[1] 2"},    {VAL_INTS, "[,]"},       {VAL_INTS, "[[1]]"},
        {VAL_FLOATS, "0.5"},    {VAL_FLOATS, "[a]"},     {VAL_STRING, "\"a"},
        {VAL_STRING, "\"a\"b"}, {VAL_STRING, "\"\\x\""}, {VAL_STRING, "\"\\"},
        {VAL_STRING, "\xc3"},   {VAL_STRING, "(a),b"},
    };
    for (size_t i = 0; i < COUNT(CASES); i++) {
        struct value v;
        const char *why = NULL;
        if (value_parse(a, CASES[i].text, CASES[i].kind, &v, &why))
            fail_msg("takes '%s'", CASES[i].text);
        assert_true(why && strlen(why) > 10);
    }
}

// A program that links us may have set one where a decimal point is a comma.
static void numbers_are_the_same_in_every_locale(void **unused) {
    struct fixture *f = *unused;
    const char *make = arena_printf(
        f->a, "mkdir -p %s && localedef -c -i de_DE -f UTF-8 %s/de_DE.UTF-8 2>%s/log",
        f->root, f->root, f->root);
    if (system(make) != 0) skip();
    setenv("LOCPATH", f->root, 1);
    char comma[8] = "";
    if (setlocale(LC_ALL, "de_DE.UTF-8")) snprintf(comma, sizeof comma, "%.1f", 0.5);
    struct value half = val_float(0.5), v;
    const char *why, *text = value_text(f->a, &half),
                     *told = constant_describe(f->a, &half);
    bool read = value_parse(f->a, "0.5", VAL_FLOAT, &v, &why);
    setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
    assert_string_equal(comma, "0,5");
    assert_string_equal(text, "0.5");
    assert_string_equal(told, "the float 0.5");
    assert_true(read && v.f == 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        TEST(everything_follows),
        TEST(a_key_follows_only_from_its_params),
        TEST(the_mapped_constant_is_left_alone),
        TEST(late_code_is_settled),
        TEST(defaults_follow_until_they_are_set),
        TEST(defaults_follow_in_any_order),
        TEST(defaults_in_circles_end),
        TEST(unknown_names),
        TEST(what_is_compiled_in),
        TEST(values_out_of_range),
        TEST(values_of_another_kind),
        TEST(literals),
        TEST(wrong_literals),
        TEST(numbers_are_the_same_in_every_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
