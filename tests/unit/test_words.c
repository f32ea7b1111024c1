// What the command prints, numbers for people and JSON for scripts; the options it reads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cli/base/emit.h"
#include "cli/base/words.h"
#include "cli/options.h"

#include <math.h>

static void numbers(void **state) {
    (void)state;
    assert_string_equal(count_words(0).at, "0");
    assert_string_equal(count_words(999).at, "999");
    assert_string_equal(count_words(1000).at, "1,000");
    assert_string_equal(count_words(1234567).at, "1,234,567");
    assert_string_equal(count_words(UINT64_MAX).at, "18,446,744,073,709,551,615");
    assert_string_equal(size_words(0).at, "0 B");
    assert_string_equal(size_words(999).at, "999 B");
    assert_string_equal(size_words(1023).at, "1.00 KiB"); // never four digits
    assert_string_equal(size_words(10485760).at, "10.0 MiB");
    assert_string_equal(size_words(UINT64_C(10) << 30).at, "10.0 GiB");
    assert_string_equal(size_words(UINT64_MAX).at, "16.0 EiB");
    assert_string_equal(flops_words(1.93e12).at, "1.93 TFLOP");
    assert_string_equal(flops_words(0).at, "0 FLOP");
}

static void times(void **state) {
    (void)state;
    assert_string_equal(time_words(0).at, "0.0 ms");
    assert_string_equal(time_words(0.0042).at, "4.2 ms");
    assert_string_equal(time_words(0.15).at, "150 ms");
    assert_string_equal(time_words(0.9996).at, "1.0 s");
    assert_string_equal(time_words(12.34).at, "12.3 s");
    assert_string_equal(time_words(125).at, "2 min 05 s");
    assert_string_equal(time_words(5999.9).at, "99 min 59 s");
    assert_string_equal(time_words(7380).at, "2 h 03 min");
    assert_string_equal(time_words(1e6).at, "11.57 days");
    assert_true(strlen(time_words(1e300).at) < WORDS_MAX);
}

static void sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},        {"512", 512},         {"512B", 512},
                {"5K", 5 << 10}, {"500M", 500 << 20},  {"500MB", 500 << 20},
                {"1.5K", 1536},  {"2GiB", 2ULL << 30}, {"3T", 3ULL << 40}};
    static const char *const bad[] = {
        "",    "G",    "-1",  "5 G", "5X",
        "5e9", "0x10", "inf", "5iB", "5GG",
        "+5",  "1e30", ".5G", "5g",  "99999999999999999999"};
    uint64_t bytes;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(parse_size(good[i].text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        if (parse_size(bad[i], &bytes)) fail_msg("`%s` was taken for a size", bad[i]);
}

static void json(void **state) {
    struct arena *a = arena_new();
    struct emit e = {.text = {.arena = a}};
    (void)state;
    emit_open(&e, NULL, '{');
    emit_string(&e, "to", "a \"b\"\n");
    emit_open(&e, "none", '[');
    emit_close(&e, ']');
    emit_open(&e, "some", '[');
    emit_count(&e, NULL, 1);
    emit_open(&e, NULL, '{');
    emit_bool(&e, "yes", true);
    emit_close(&e, '}');
    emit_close(&e, ']');
    emit_real(&e, "third", 1.0 / 3);
    emit_real(&e, "inf", INFINITY);
    emit_null(&e, "gone");
    emit_close(&e, '}');
    assert_string_equal(e.text.at, "{\n"
                                   "  \"to\": \"a \\\"b\\\"\\n\",\n"
                                   "  \"none\": [],\n"
                                   "  \"some\": [\n"
                                   "    1,\n"
                                   "    {\n"
                                   "      \"yes\": true\n"
                                   "    }\n"
                                   "  ],\n"
                                   "  \"third\": 0.3333333333333333,\n"
                                   "  \"inf\": null,\n"
                                   "  \"gone\": null\n"
                                   "}");
    arena_free(a);
}

// ---- options -------------------------------------------------------------------------
static const struct command everything = {
    .name = "try", .operands = "FILE", .least = 1, .most = 1, .options = "DtsnAzaj"};

static int parse(struct args *a, char **argv) {
    static const char *defines[8];
    *a = (struct args){.defines = defines};
    return options_parse(&everything, argv, a);
}
#define PARSE(a, ...) parse(a, (char *[]){__VA_ARGS__, NULL})

static void options_say_what_is_meant(void **state) {
    struct args a;
    (void)state;
    assert_int_equal(PARSE(&a, "-Da=1", "x", "-D", "b=c=d", "--size=2K", "--store", "dir",
                           "--audit", "2.5%", "--threads", "3", "--json"),
                     EXIT_DONE);
    assert_int_equal(a.ndefines, 2);
    assert_string_equal(a.defines[0], "a=1");
    assert_string_equal(a.defines[1], "b=c=d");
    assert_string_equal(a.operands[0], "x");
    assert_true(a.sized && a.size == 2048);
    assert_string_equal(a.store, "dir");
    assert_true(a.audit == 0.025);
    assert_int_equal(a.threads, 3);
    assert_true(a.json && !a.no_store);
}

static void options_that_say_nothing(void **state) {
    struct args a;
    (void)state;
    assert_int_equal(PARSE(&a, "--json"), EXIT_USAGE); // no operand
    assert_int_equal(PARSE(&a, "x", "y"), EXIT_USAGE);
    assert_int_equal(PARSE(&a, "x", "--audit", "5"), EXIT_USAGE);
    assert_int_equal(PARSE(&a, "x", "--audit", "nan%"), EXIT_USAGE);
    assert_int_equal(PARSE(&a, "x", "--audit", "5%", "--no-store"), EXIT_USAGE);
    assert_int_equal(PARSE(&a, "x", "--json=yes"), EXIT_USAGE);
    assert_int_equal(PARSE(&a, "x", "--size"), EXIT_USAGE);
    assert_int_equal(PARSE(&a, "x", "--sizes=3"), EXIT_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(times),
        cmocka_unit_test(sizes),
        cmocka_unit_test(json),
        cmocka_unit_test(options_say_what_is_meant),
        cmocka_unit_test(options_that_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
