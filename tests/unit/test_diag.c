// The error printer, against the exact text a user sees.
#include "runtime/base/diag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct source source_of(const char *text) {
    return (struct source){"f.ddg", text, strlen(text)};
}

// The span of the first `word` in s.
static struct span span_of(const struct source *s, const char *word) {
    const char *p = strstr(s->text, word);
    assert_non_null(p);
    uint32_t at = (uint32_t)(p - s->text);
    return (struct span){s, at, at + (uint32_t)strlen(word)};
}

static char *printed(const struct diags *d, bool color) {
    char *out = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&out, &n);
    assert_non_null(f);
    diags_print(d, f, color);
    fclose(f);
    return out;
}

static void expect(const struct diags *d, const char *want) {
    char *got = printed(d, false);
    assert_string_equal(got, want);
    free(got);
}

static int setup(void **state) {
    struct arena *a = arena_new();
    struct diags *d = NEW(a, struct diags);
    diags_init(d, a);
    *state = d;
    return 0;
}

static int teardown(void **state) {
    arena_free(((struct diags *)*state)->arena);
    return 0;
}

static void test_span_and_help(void **state) {
    struct diags *d = *state;
    struct source s = source_of("x = 1\n\nphi = shap_patch(teacher, train)\n");
    assert_false(
        diag_error(d, span_of(&s, "shap_patch"), "unknown op `%s`", "shap_patch"));
    diag_help(d, "did you mean `%s`?", "shap_patches");
    expect(d, "f.ddg:3:7: error: unknown op `shap_patch`\n"
              "  3 | phi = shap_patch(teacher, train)\n"
              "    |       ^~~~~~~~~~\n"
              "    = help: did you mean `shap_patches`?\n");
}

static void test_notes_follow_their_error(void **state) {
    struct diags *d = *state;
    struct source s = source_of("a = [1,\n  2\nb = 3\n");
    diag_error(d, span_of(&s, "b"), "expected `]`");
    diag_note(d, span_of(&s, "["), "the list opened here");
    diag_warning(d, span_of(&s, "2"), "unused");
    expect(d, "f.ddg:3:1: error: expected `]`\n"
              "  3 | b = 3\n"
              "    | ^\n"
              "f.ddg:1:5: note: the list opened here\n"
              "  1 | a = [1,\n"
              "    |     ^\n"
              "f.ddg:2:3: warning: unused\n"
              "  2 |   2\n"
              "    |   ^\n");
    assert_int_equal(d->errors, 1);
}

static void test_no_place(void **state) {
    struct diags *d = *state;
    diag_error(d, NO_SPAN, "cannot write `out`: disk full");
    diag_help(d, "free some space");
    expect(d, "ddg: error: cannot write `out`: disk full\n"
              "  = help: free some space\n");
}

static void test_tabs(void **state) {
    struct diags *d = *state;
    struct source s = source_of("\tab\tcd = 1");
    diag_error(d, span_of(&s, "cd"), "x");
    diag_error(d, span_of(&s, "\tcd"), "y"); // the tab itself covers its cells
    expect(d, "f.ddg:1:17: error: x\n"
              "  1 |         ab      cd = 1\n"
              "    |                 ^~\n"
              "f.ddg:1:11: error: y\n"
              "  1 |         ab      cd = 1\n"
              "    |           ^~~~~~~~\n");
}

static void test_wide_and_combining(void **state) {
    struct diags *d = *state;
    struct source s = source_of("猫 = e\u0301e\u0301 + bad \xff\xfe z");
    diag_error(d, span_of(&s, "猫"), "wide");
    diag_error(d, span_of(&s, "bad"), "after marks");
    diag_error(d, span_of(&s, "z"), "after bad bytes");
    expect(d, "f.ddg:1:1: error: wide\n"
              "  1 | 猫 = e\u0301e\u0301 + bad \uFFFD\uFFFD z\n"
              "    | ^~\n"
              "f.ddg:1:11: error: after marks\n"
              "  1 | 猫 = e\u0301e\u0301 + bad \uFFFD\uFFFD z\n"
              "    |           ^~~\n"
              "f.ddg:1:18: error: after bad bytes\n"
              "  1 | 猫 = e\u0301e\u0301 + bad \uFFFD\uFFFD z\n"
              "    |                  ^\n");
}

static void test_mark_at_the_end_of_a_line(void **state) {
    struct diags *d = *state;
    struct source s = source_of("cafe\u0301");
    diag_error(d, span_of(&s, "fe\u0301"), "x");
    expect(d, "f.ddg:1:3: error: x\n"
              "  1 | cafe\u0301\n"
              "    |   ^~\n");
}

static void test_malformed_utf8_is_one_cell_a_byte(void **state) {
    (void)state;
    size_t line, column;
    // Overlong, surrogate, cut short, past the last character.
    struct source s = source_of("\xc0\xaf \xed\xa0\x80 \xe7\x8c | \xf5\x80\x80\x80");
    source_locate(&s, s.n, &line, &column);
    assert_int_equal(line, 1);
    assert_int_equal(column, s.n + 1);
}

static void test_terminal_controls_are_not_printed(void **state) {
    struct diags *d = *state;
    struct source s = source_of("a\x1b[2J\u202Eb");
    diag_error(d, span_of(&s, "b"), "file \x1b[31mred");
    expect(d, "f.ddg:1:7: error: file \uFFFD[31mred\n"
              "  1 | a\uFFFD[2J\uFFFDb\n"
              "    |       ^\n");
}

static void test_span_over_lines(void **state) {
    struct diags *d = *state;
    struct source s = source_of("f(one,\r\n  two)\r\n");
    diag_error(d, (struct span){&s, 2, 13}, "too many");
    expect(d, "f.ddg:1:3: error: too many\n"
              "  1 | f(one,\n"
              "    |   ^~~~\n");
}

static void test_empty_spans_point(void **state) {
    struct diags *d = *state;
    struct source s = source_of("save(x\n");
    diag_error(d, (struct span){&s, 6, 6}, "end of line");
    diag_error(d, (struct span){&s, 7, 7}, "end of file");
    diag_error(d, (struct span){&s, 99, 120}, "past the end");
    expect(d, "f.ddg:1:7: error: end of line\n"
              "  1 | save(x\n"
              "    |       ^\n"
              "f.ddg:2:1: error: end of file\n"
              "  2 |\n"
              "    | ^\n"
              "f.ddg:2:1: error: past the end\n"
              "  2 |\n"
              "    | ^\n");
}

static void test_gutter_widens(void **state) {
    struct diags *d = *state;
    struct source s = source_of("\n\n\n\n\n\n\n\n\nten");
    diag_error(d, span_of(&s, "ten"), "x");
    diag_help(d, "h");
    expect(d, "f.ddg:10:1: error: x\n"
              "  10 | ten\n"
              "     | ^~~\n"
              "     = help: h\n");
}

static void test_long_line_shows_the_part_around_the_span(void **state) {
    struct diags *d = *state;
    char text[1001];
    memset(text, 'a', 1000);
    text[500] = 'X';
    text[1000] = 0;
    struct source s = source_of(text);
    diag_error(d, span_of(&s, "X"), "x");
    char want[600];
    int n = snprintf(want, sizeof want, "f.ddg:1:501: error: x\n  1 | ...");
    memset(want + n, 'a', 160);
    want[n + 60] = 'X';
    snprintf(want + n + 160, 200, "...\n    | %63s^\n", "");
    expect(d, want);
}

static void test_errors_past_the_limit_are_counted(void **state) {
    struct diags *d = *state;
    for (int i = 0; i < DIAGS_MAX_ERRORS + 3; i++) {
        diag_error(d, NO_SPAN, "e%d", i);
        diag_note(d, NO_SPAN, "n%d", i);
        diag_help(d, "h%d", i);
    }
    assert_int_equal(d->errors, DIAGS_MAX_ERRORS + 3);
    assert_int_equal(d->list.n, 2 * DIAGS_MAX_ERRORS);
    assert_string_equal(d->list.at[2 * DIAGS_MAX_ERRORS - 1].help, "h19");
    char *got = printed(d, false);
    assert_non_null(strstr(got, "ddg: note: n19\n  = help: h19\nddg: 3 more errors"));
    free(got);
}

static void test_help_without_a_suggestion(void **state) {
    struct diags *d = *state;
    assert_false(diag_help(d, "nothing to help with yet"));
    diag_error(d, NO_SPAN, "x");
    diag_help(d, NULL);
    expect(d, "ddg: error: x\n");
}

static void test_color_only_on_request(void **state) {
    struct diags *d = *state;
    struct source s = source_of("abc");
    diag_error(d, span_of(&s, "abc"), "x");
    char *plain = printed(d, false), *color = printed(d, true);
    assert_null(strchr(plain, '\033'));
    assert_non_null(strstr(color, "\033[1;31merror: \033[0m"));
    free(plain);
    free(color);
}

static void test_locate(void **state) {
    (void)state;
    struct source s = source_of("ab\n\tc猫d\n");
    static const struct {
        size_t at, line, column;
    } want[] = {{0, 1, 1},  {2, 1, 3},  {3, 2, 1}, {4, 2, 9},
                {5, 2, 10}, {8, 2, 12}, {10, 3, 1}};
    for (size_t i = 0; i < COUNT(want); i++) {
        size_t line, column;
        source_locate(&s, want[i].at, &line, &column);
        assert_int_equal(line, want[i].line);
        assert_int_equal(column, want[i].column);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_span_and_help),
        TEST(test_notes_follow_their_error),
        TEST(test_no_place),
        TEST(test_tabs),
        TEST(test_wide_and_combining),
        TEST(test_mark_at_the_end_of_a_line),
        TEST(test_malformed_utf8_is_one_cell_a_byte),
        TEST(test_terminal_controls_are_not_printed),
        TEST(test_span_over_lines),
        TEST(test_empty_spans_point),
        TEST(test_gutter_widens),
        TEST(test_long_line_shows_the_part_around_the_span),
        TEST(test_errors_past_the_limit_are_counted),
        TEST(test_help_without_a_suggestion),
        TEST(test_color_only_on_request),
        TEST(test_locate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
