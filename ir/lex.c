// Tokens of the text form. White space, and comments from # to the end of the line, lie
// between them. A token is a piece of the source; nothing is copied until it is read.
#include "ir/lex.h"

#include <ctype.h>
#include <errno.h>

static bool is_word_char(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static size_t skip_space(const struct source *s, size_t i) {
    while (i < s->n) {
        if (s->text[i] == '#')
            while (i < s->n && s->text[i] != '\n') i++;
        else if (isspace((unsigned char)s->text[i])) i++;
        else break;
    }
    return i;
}

// Past the closing quote, or the end of the line (the string is then not closed).
static size_t string_end(const struct source *s, size_t i) {
    for (i++; i < s->n && s->text[i] != '\n'; i++) {
        if (s->text[i] == '"') return i + 1;
        if (s->text[i] == '\\' && i + 1 < s->n && s->text[i + 1] != '\n') i++;
    }
    return i;
}

static size_t word_end(const struct source *s, size_t i) {
    while (i < s->n && is_word_char(s->text[i])) i++;
    return i;
}

static size_t number_end(const struct source *s, size_t i) {
    for (i++; i < s->n; i++) {
        bool exponent = (s->text[i - 1] | 0x20) == 'e';
        char c = s->text[i];
        if (!is_word_char(c) && c != '.' && !(exponent && (c == '-' || c == '+'))) break;
    }
    return i;
}

void lex_next(struct lexer *l) {
    const struct source *s = l->src;
    size_t i = skip_space(s, l->pos), end = i + 1;
    enum token_kind kind = TOKEN_SIGN;
    l->last_end = l->pos;
    char c = i < s->n ? s->text[i] : 0, after = i + 1 < s->n ? s->text[i + 1] : 0;
    if (i >= s->n) kind = TOKEN_END, end = i;
    else if (c == '"') kind = TOKEN_STRING, end = string_end(s, i);
    else if (c == '-' && after == '>') kind = TOKEN_ARROW, end = i + 2;
    else if (c == '-' || isdigit((unsigned char)c))
        kind = TOKEN_NUMBER, end = number_end(s, i);
    else if (is_word_char(c)) kind = TOKEN_WORD, end = word_end(s, i);
    else if (c == '%') kind = TOKEN_VALUE, end = word_end(s, i + 1);
    l->now = (struct token){kind, s->text + i, end - i};
    l->pos = end;
}

void lex_init(struct lexer *l, const struct source *src, struct diags *d) {
    *l = (struct lexer){.src = src, .d = d};
    lex_next(l);
}

struct span lex_span(const struct lexer *l) {
    size_t start = (size_t)(l->now.at - l->src->text);
    return (struct span){l->src, (uint32_t)start, (uint32_t)(start + l->now.n)};
}

bool lex_is(const struct lexer *l, const char *text) {
    return l->now.kind != TOKEN_STRING && l->now.n == strlen(text) && l->now.n &&
           memcmp(l->now.at, text, l->now.n) == 0;
}

bool lex_accept(struct lexer *l, const char *text) {
    if (!lex_is(l, text)) return false;
    lex_next(l);
    return true;
}

#define SHOWN 40 // bytes of a token shown in a message

bool lex_expected(struct lexer *l, const char *what) {
    if (l->now.kind == TOKEN_END)
        return diag_error(l->d, lex_span(l), "expected %s, but the text ends", what);
    return diag_error(l->d, lex_span(l), "expected %s, found `%.*s`", what,
                      (int)size_min(l->now.n, SHOWN), l->now.at);
}

bool lex_expect(struct lexer *l, const char *text) {
    char what[24];
    snprintf(what, sizeof what, "`%s`", text);
    return lex_accept(l, text) || lex_expected(l, what);
}

bool lex_word(struct lexer *l, const char *what, struct token *out) {
    if (l->now.kind != TOKEN_WORD) return lex_expected(l, what);
    *out = l->now;
    lex_next(l);
    return true;
}

// ---- strings ------------------------------------------------------------------------
static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

// The character an escape stands for, *i moved to its last byte; -1: there is no such
// escape.
static int unescape(const struct token *t, size_t *i) {
    size_t at = ++*i;
    if (at >= t->n) return -1;
    switch (t->at[at]) {
    case '"': return '"';
    case '\\': return '\\';
    case 'n': return '\n';
    case 't': return '\t';
    case 'x': break;
    default: return -1;
    }
    if (at + 3 >= t->n) return -1;
    int high = hex_digit(t->at[at + 1]), low = hex_digit(t->at[at + 2]);
    *i += 2;
    return high < 0 || low < 0 || (high | low) == 0 ? -1 : high * 16 + low;
}

bool lex_string(struct lexer *l, struct arena *arena, const char **out) {
    const struct token t = l->now;
    if (t.kind != TOKEN_STRING) return lex_expected(l, "a string");
    char *s = arena_alloc(arena, t.n, 1);
    size_t n = 0, i = 1;
    for (; i < t.n && t.at[i] != '"'; i++) {
        int c = t.at[i] == '\\' ? unescape(&t, &i) : (unsigned char)t.at[i];
        if (c <= 0)
            return diag_error(l->d, lex_span(l),
                              "this string has an unknown escape; known "
                              "are \\\" \\\\ \\n \\t and \\x01 to \\xff");
        s[n++] = (char)c;
    }
    if (i >= t.n)
        return diag_error(l->d, lex_span(l), "this string is not closed on its line");
    *out = s;
    lex_next(l);
    return true;
}

// ---- numbers ------------------------------------------------------------------------
#define NUMBER_MAX 64 // longer ones are not numbers

// The token as a string that strtod and the like can read; "" when it is too long.
static bool number_text(const struct lexer *l, char text[NUMBER_MAX]) {
    bool word = lex_is(l, "nan") || lex_is(l, "inf");
    bool ok = (l->now.kind == TOKEN_NUMBER || word) && l->now.n < NUMBER_MAX;
    snprintf(text, NUMBER_MAX, "%.*s", ok ? (int)l->now.n : 0, l->now.at);
    return ok;
}

bool lex_int(struct lexer *l, int64_t *out) {
    char text[NUMBER_MAX], *end = text;
    errno = 0;
    if (number_text(l, text)) *out = strtoll(text, &end, 10);
    if (end == text || *end || errno) return lex_expected(l, "an integer");
    lex_next(l);
    return true;
}

bool lex_uint(struct lexer *l, uint64_t *out) {
    char text[NUMBER_MAX], *end = text;
    errno = 0;
    if (number_text(l, text) && *text != '-') *out = strtoull(text, &end, 10);
    if (end == text || *end || errno) return lex_expected(l, "an integer of 0 or more");
    lex_next(l);
    return true;
}

bool lex_double(struct lexer *l, double *out) {
    char text[NUMBER_MAX], *end = text;
    if (number_text(l, text)) *out = strtod(text, &end);
    if (end == text || *end) return lex_expected(l, "a number");
    lex_next(l);
    return true;
}

bool lex_float(struct lexer *l, float *out) {
    char text[NUMBER_MAX], *end = text;
    if (number_text(l, text)) *out = strtof(text, &end);
    if (end == text || *end) return lex_expected(l, "a number");
    lex_next(l);
    return true;
}

bool lex_value_id(struct lexer *l, size_t *out) {
    size_t id = 0, i = 1;
    const struct token t = l->now;
    // A text of n bytes names fewer than n values, so larger numbers cannot be right.
    for (; t.kind == TOKEN_VALUE && i < t.n && isdigit((unsigned char)t.at[i]); i++)
        if ((id = id * 10 + (size_t)(t.at[i] - '0')) >= l->src->n) break;
    if (t.kind != TOKEN_VALUE || t.n < 2 || i < t.n)
        return lex_expected(l, "a value (%0)");
    *out = id;
    lex_next(l);
    return true;
}

bool lex_digest(struct lexer *l, struct digest *out) {
    const struct token t = l->now;
    bool ok = t.n == DIGEST_HEX - 1;
    uint64_t half[2] = {0, 0};
    for (size_t i = 0; ok && i < t.n; i++) {
        int digit = hex_digit(t.at[i]);
        ok = digit >= 0;
        half[i / 16] = half[i / 16] << 4 | (uint64_t)(digit & 15);
    }
    if (!ok) return lex_expected(l, "a digest of 32 hexadecimal digits");
    *out = (struct digest){.hi = half[0], .lo = half[1]};
    lex_next(l);
    return true;
}
