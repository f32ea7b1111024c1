// Program text to tokens. See lex.h.
#include "frontend/lex.h"

#include "frontend/ast.h"
#include "runtime/base/utf8.h"
#include "runtime/settings.h"

#include <errno.h>
#include <math.h>

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name(char c) {
    return is_name_start(c) || is_digit(c);
}

// ---- bytes --------------------------------------------------------------------------
// The character at `at`; its length in bytes, or 0 when it is not UTF-8.
static size_t decode(const struct source *s, size_t at, uint32_t *code) {
    return utf8_length(s->text + at, s->n - at, code);
}

bool lex_check_text(const struct source *s, struct diags *d) {
    for (size_t at = 0; at < s->n;) {
        uint32_t code = 0;
        size_t n = decode(s, at, &code);
        struct span here = {s, (uint32_t)at, (uint32_t)(at + (n ? n : 1))};
        if (n == 0)
            return diag_error(d, here,
                              "byte 0x%02X is not UTF-8; a program is UTF-8 text",
                              (unsigned)(unsigned char)s->text[at]);
        bool space = code == '\t' || code == '\n' || code == '\r';
        if ((code < 0x20 && !space) || (code >= 0x7f && code < 0xa0))
            return diag_error(d, here,
                              "control character U+%04X; a program is plain text", code);
        at += n;
    }
    return true;
}

// The byte at `at`; 0 past the end.
static char byte(const struct source *s, size_t at) {
    return at < s->n ? s->text[at] : 0;
}

static bool at_line_end(const struct source *s, size_t at) {
    return at >= s->n || s->text[at] == '\n' || s->text[at] == '\r';
}

static struct token bad(struct token t, size_t start, size_t end, const char *error,
                        const char *help) {
    t.kind = TOK_BAD;
    t.error = error;
    t.help = help;
    t.error_start = start;
    t.error_end = end;
    return t;
}

// ---- names --------------------------------------------------------------------------
static const struct {
    const char *word;
    int kind;
} keywords[] = {
    {"param", TOK_PARAM},   {"def", TOK_DEF},   {"return", TOK_RETURN},
    {"import", TOK_IMPORT}, {"true", TOK_TRUE}, {"false", TOK_FALSE},
    {"none", TOK_NONE},     {"for", TOK_FOR},   {"in", TOK_IN},
};

static struct token lex_name(struct arena *a, const struct source *s, struct token t) {
    while (is_name(byte(s, t.end))) t.end++;
    size_t n = t.end - t.start;
    if (n > NAME_MAX_BYTES)
        return bad(t, t.start, t.end,
                   arena_printf(a, "this name is %zu bytes long; at most %d are allowed",
                                n, NAME_MAX_BYTES),
                   NULL);
    t.kind = TOK_NAME;
    t.text = arena_strndup(a, s->text + t.start, n);
    for (size_t i = 0; i < COUNT(keywords); i++)
        if (strcmp(t.text, keywords[i].word) == 0) t.kind = keywords[i].kind;
    return t;
}

// ---- numbers ------------------------------------------------------------------------
static void digits(const struct source *s, struct token *t) {
    while (is_digit(byte(s, t->end))) t->end++;
}

// Steps over digits, a fraction and an exponent. False when a part has no digits.
static bool scan_number(const struct source *s, struct token *t) {
    t->kind = TOK_INT;
    digits(s, t);
    if (byte(s, t->end) == '.') {
        t->kind = TOK_FLOAT;
        if (!is_digit(byte(s, ++t->end))) return false;
        digits(s, t);
    }
    char e = byte(s, t->end);
    if (e == 'e' || e == 'E') {
        t->kind = TOK_FLOAT;
        char sign = byte(s, ++t->end);
        if (sign == '+' || sign == '-') t->end++;
        if (!is_digit(byte(s, t->end))) return false;
        digits(s, t);
    }
    return true;
}

static struct token lex_number(struct arena *a, const struct source *s, struct token t) {
    bool whole = scan_number(s, &t);
    if (!whole || is_name(byte(s, t.end)) || byte(s, t.end) == '.') {
        while (is_name(byte(s, t.end)) || byte(s, t.end) == '.') t.end++;
        size_t shown = size_min(t.end - t.start, 40);
        return bad(
            t, t.start, t.end,
            arena_printf(a, "`%.*s` is not a number", (int)shown, s->text + t.start),
            "numbers are written 10, 0.5 or 1e-3");
    }
    errno = 0;
    if (t.kind == TOK_INT) t.i = strtoll(s->text + t.start, NULL, 10);
    else t.f = literal_number(s->text + t.start);
    if (t.kind == TOK_INT && errno == ERANGE)
        return bad(t, t.start, t.end, "this number does not fit in 64 bits", NULL);
    if (t.kind == TOK_FLOAT && !isfinite(t.f))
        return bad(t, t.start, t.end, "this number is too large for a float", NULL);
    return t;
}

// ---- strings ------------------------------------------------------------------------
static char escape_value(char c) {
    switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case '"': return '"';
    case '\\': return '\\';
    default: return 0;
    }
}

// Steps to the closing quote; false when the line ends first.
static bool scan_string(const struct source *s, struct token *t) {
    for (t->end = t->start + 1; byte(s, t->end) != '"'; t->end++) {
        if (byte(s, t->end) == '\\' && !at_line_end(s, t->end + 1)) t->end++;
        if (at_line_end(s, t->end)) return false;
    }
    t->end++;
    return true;
}

static struct token lex_string(struct arena *a, const struct source *s, struct token t) {
    if (!scan_string(s, &t))
        return bad(t, t.start, t.end, "this string is not closed on its line",
                   "end it with `\"`");
    char *value = NEW_N(a, char, t.end - t.start), *to = value;
    for (size_t i = t.start + 1; i + 1 < t.end; i++) {
        if (s->text[i] != '\\') {
            *to++ = s->text[i];
            continue;
        }
        uint32_t code = 0;
        *to = escape_value(s->text[++i]);
        if (!*to++) {
            size_t n = decode(s, i, &code);
            return bad(t, i - 1, i + n,
                       arena_printf(a, "unknown escape `\\%.*s`", (int)n, s->text + i),
                       "a string may hold \\n, \\t, \\r, \\\" and \\\\");
        }
    }
    t.kind = TOK_STRING;
    t.text = value;
    return t;
}

// ---- the rest -----------------------------------------------------------------------
#define NO_COMPARISONS "there are no comparisons or conditions in a program"

static struct token lex_comparison(struct token t) {
    t.end = t.start + 2;
    return bad(t, t.start, t.end, "unexpected `==`", NO_COMPARISONS);
}

static const char *character_help(uint32_t code) {
    switch (code) {
    case '\'':
    case '`':
    case 0x2018:
    case 0x2019:
    case 0x201c:
    case 0x201d: return "strings are written with plain double quotes: \"text\"";
    case 0xa0: return "this is a no-break space; write a plain one";
    case '.': return "numbers below one are written with a zero: 0.5";
    case '<':
    case '>':
    case '!':
    case '&':
    case '|': return NO_COMPARISONS;
    default: return NULL;
    }
}

static struct token lex_unknown(struct arena *a, const struct source *s, struct token t) {
    uint32_t code = 0;
    size_t n = decode(s, t.start, &code);
    t.end = t.start + (n ? n : 1);
    const char *error = n == 1 ? arena_printf(a, "unexpected character `%c`", (char)code)
                               : arena_printf(a, "unexpected character `%.*s` (U+%04X)",
                                              (int)n, s->text + t.start, code);
    return bad(t, t.start, t.end, error, character_help(code));
}

// Steps over spaces and a comment, which it notes in t.
static size_t skip_blank(const struct source *s, size_t at, struct token *t) {
    while (at < s->n && (s->text[at] == ' ' || s->text[at] == '\t')) at++;
    if (byte(s, at) != '#') return at;
    t->doc_start = t->doc_end = at + 1;
    while (!at_line_end(s, t->doc_end)) t->doc_end++;
    return t->doc_end;
}

struct token lex_token(struct arena *a, const struct source *s, size_t at) {
    struct token t = {0};
    t.start = skip_blank(s, at, &t);
    t.end = size_min(t.start + 1, s->n);
    char c = byte(s, t.start), next = byte(s, t.start + 1);
    if (t.start >= s->n) t.kind = TOK_END;
    else if (is_name_start(c)) return lex_name(a, s, t);
    else if (is_digit(c)) return lex_number(a, s, t);
    else if (c == '"') return lex_string(a, s, t);
    else if (c == '\n' || c == '\r' || c == ';') t.kind = TOK_NEWLINE;
    else if (c == '/' && next == '/') t.kind = TOK_FLOOR_DIVIDE;
    else if (c == '=' && next == '=') return lex_comparison(t);
    else if (strchr("()[]{},:=+-*/%@", c)) t.kind = c;
    else return lex_unknown(a, s, t);
    if (t.kind == TOK_FLOOR_DIVIDE || (c == '\r' && next == '\n')) t.end++;
    return t;
}

const char *token_describe(struct arena *a, const struct source *s,
                           const struct token *t) {
    size_t n = size_min(t->end - t->start, 40);
    if (t->kind == TOK_END) return "the end of the text";
    if (t->kind == TOK_NEWLINE && s->text[t->start] != ';') return "the end of the line";
    if (t->kind == TOK_STRING) return "a string";
    return arena_printf(a, "`%.*s`", (int)n, s->text + t->start);
}
