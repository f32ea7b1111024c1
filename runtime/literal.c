// Values as people write them on a command line, and back. See settings.h.
//
// The same text as in a program, but for strings, which need no quotes, and without
// arithmetic.
#include "runtime/base/utf8.h"
#include "runtime/constant.h"
#include "runtime/settings.h"

#include <errno.h>
#include <locale.h>
#include <math.h>

#define SHOWN_BYTES 40 // of a text in a message

struct reader {
    struct arena *arena;
    const char *text; // all of it, trimmed
    const char *at;
    const char *why;
};

// ---- what is wrong -------------------------------------------------------------------
static bool fails(struct reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool fails(struct reader *r, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    r->why = arena_vprintf(r->arena, fmt, ap);
    va_end(ap);
    return false;
}

// The text in quotes for a message, cut between characters.
static const char *shown(const struct reader *r) {
    size_t n = strlen(r->text), most = size_min(n, SHOWN_BYTES);
    if (n == 0) return "nothing";
    while (most < n && most > 0 && ((unsigned char)r->text[most] & 0xc0) == 0x80) most--;
    return arena_printf(r->arena, "`%.*s%s`", (int)most, r->text, most < n ? "..." : "");
}

static const char *example(enum value_kind kind) {
    switch (kind) {
    case VAL_INT: return "an int such as 10";
    case VAL_FLOAT: return "a float such as 0.5";
    case VAL_BOOL: return "true or false";
    case VAL_INTS: return "a list of ints such as [1, 2]";
    case VAL_FLOATS: return "a list of floats such as [0.5, 1]";
    case VAL_STRING: return "a text";
    case VAL_NONE: break;
    }
    BUG("no setting is of kind %d", (int)kind);
}

static bool other_kind(struct reader *r, enum value_kind kind) {
    return fails(r, "%s is expected; got %s", example(kind), shown(r));
}

static bool several(struct reader *r, const char *instead) {
    return fails(r,
                 "one value is expected; several are a sweep, which is for `ddg run`%s",
                 instead);
}

// ---- numbers -------------------------------------------------------------------------
static void skip_blank(struct reader *r) {
    r->at += strspn(r->at, " \t");
}

static size_t digits(const char *s) {
    return strspn(s, "0123456789");
}

// Bytes of the number at s, 0 when there is none; *whole: without a point or an exponent.
static size_t number_length(const char *s, bool *whole) {
    size_t n = *s == '-', k = digits(s + n);
    *whole = true;
    if (!k) return 0;
    n += k;
    if (s[n] == '.') {
        *whole = false;
        if (!(k = digits(s + n + 1))) return 0;
        n += 1 + k;
    }
    if (s[n] == 'e' || s[n] == 'E') {
        *whole = false;
        size_t sign = s[n + 1] == '+' || s[n + 1] == '-';
        if (!(k = digits(s + n + 1 + sign))) return 0;
        n += 1 + sign + k;
    }
    return n;
}

double literal_number(const char *text) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    double v = c ? strtod_l(text, NULL, c) : strtod(text, NULL);
    if (c) freelocale(c);
    return v;
}

// The number at r->at, as an int when `ints`. False with r->why NULL: there is none.
static bool read_number(struct reader *r, bool ints, int64_t *i, double *f) {
    bool whole;
    size_t n = number_length(r->at, &whole);
    r->why = NULL;
    if (n == 0 || (ints && !whole)) return false;
    errno = 0;
    if (ints) *i = strtoll(r->at, NULL, 10);
    else
        *f = literal_number(r->at) + (whole ? 0.0 : -0.0); // "-0" is an int's, which is 0
    if (ints && errno == ERANGE) return fails(r, "%s does not fit in 64 bits", shown(r));
    if (!ints && !isfinite(*f)) return fails(r, "%s is too large for a float", shown(r));
    r->at += n;
    return true;
}

static bool ends(struct reader *r) {
    skip_blank(r);
    return *r->at == 0;
}

static bool read_scalar(struct reader *r, enum value_kind kind, struct value *out) {
    *out = kind == VAL_INT ? val_int(0) : val_float(0);
    if (strchr(r->text, ',')) return several(r, "");
    bool ok = read_number(r, kind == VAL_INT, &out->i, &out->f);
    if (!ok && r->why) return false;
    return (ok && ends(r)) || other_kind(r, kind);
}

static bool read_bool(struct reader *r, struct value *out) {
    bool yes = strcmp(r->text, "true") == 0;
    *out = val_bool(yes);
    if (strchr(r->text, ',')) return several(r, "");
    return yes || strcmp(r->text, "false") == 0 || other_kind(r, VAL_BOOL);
}

// ---- lists ---------------------------------------------------------------------------
struct numbers {
    VEC(int64_t) is;
    VEC(double) fs;
};

// Past the bracket, up to and past the one that closes.
static bool read_items(struct reader *r, bool ints, struct numbers *out) {
    for (skip_blank(r); *r->at != ']'; skip_blank(r)) {
        int64_t i = 0;
        double f = 0;
        if (!read_number(r, ints, &i, &f)) return false;
        if (ints) VEC_PUSH(r->arena, &out->is, i);
        else VEC_PUSH(r->arena, &out->fs, f);
        skip_blank(r);
        if (*r->at != ',' && *r->at != ']') return false;
        r->at += *r->at == ',';
    }
    r->at++;
    return true;
}

static bool read_list(struct reader *r, enum value_kind kind, struct value *out) {
    struct numbers list = {0};
    bool ints = kind == VAL_INTS, ok = *r->at == '[';
    r->at += ok;
    ok = ok && read_items(r, ints, &list);
    if (!ok && r->why) return false;
    *out = ints ? val_ints(list.is.at, list.is.n) : val_floats(list.fs.at, list.fs.n);
    return (ok && ends(r)) || other_kind(r, kind);
}

// ---- commas --------------------------------------------------------------------------
// Past the string that opens at s; at its end where it does not close.
static const char *skip_string(const char *s) {
    for (s++; *s && *s != '"'; s++)
        if (*s == '\\' && s[1]) s++;
    return *s ? s + 1 : s;
}

const char *literal_comma(const char *s) {
    size_t depth = 0;
    for (bool first = true; *s && (*s != ',' || depth > 0);) {
        if (*s == '"' && (first || depth > 0)) {
            s = skip_string(s);
            first = false;
            continue;
        }
        if (*s == '[' || *s == '(') depth++;
        if ((*s == ']' || *s == ')') && depth > 0) depth--;
        first = first && *s == ' ';
        s++;
    }
    return s;
}

// ---- strings -------------------------------------------------------------------------
static bool check_text(struct reader *r, const char *s) {
    size_t n = strlen(s);
    if (n > STRING_MAX_BYTES)
        return fails(r, "a text may have 64 KiB; this has %zu bytes", n);
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t code = 0;
        len = utf8_length(s + i, n - i, &code);
        if (len == 0)
            return fails(r, "a text is UTF-8; byte 0x%02X is not",
                         (unsigned)(unsigned char)s[i]);
        bool blank = code == '\t' || code == '\n' || code == '\r';
        if ((code < 0x20 && !blank) || (code >= 0x7f && code < 0xa0))
            return fails(r, "a text has no control characters; this has U+%04X", code);
    }
    return true;
}

static const char escapes[][2] = {
    {'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'"', '"'}, {'\\', '\\'}};

static bool read_escape(struct reader *r, char *to) {
    for (size_t i = 0; i < COUNT(escapes); i++)
        if (escapes[i][0] == *r->at) return *to = escapes[i][1], true;
    return fails(r, "a text in quotes may hold \\n, \\t, \\r, \\\" and \\\\; got %s",
                 shown(r));
}

static bool read_quoted(struct reader *r, struct value *out) {
    char *to = NEW_N(r->arena, char, strlen(r->at) + 1), *s = to;
    for (r->at++; *r->at != '"'; r->at++, to++) {
        if (!*r->at) return fails(r, "the text %s does not end with `\"`", shown(r));
        *to = *r->at;
        if (*r->at != '\\') continue;
        r->at++;
        if (!read_escape(r, to)) return false;
    }
    r->at++;
    *out = val_string(s);
    return ends(r) || fails(r, "the text %s should end at its second `\"`", shown(r));
}

static bool read_string(struct reader *r, const char *text, struct value *out) {
    if (!check_text(r, text)) return false;
    if (*text == '"') return read_quoted(r, out);
    if (*literal_comma(text))
        return several(r, "; a text with a comma is written in quotes: '\"a,b\"'");
    *out = val_string(arena_strdup(r->arena, text));
    return true;
}

// ---- both ways -----------------------------------------------------------------------
static const char *trimmed(struct arena *a, const char *s) {
    s += strspn(s, " \t");
    size_t n = strlen(s);
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t')) n--;
    return arena_strndup(a, s, n);
}

static bool read_kind(struct reader *r, const char *text, enum value_kind kind,
                      struct value *out) {
    switch (kind) {
    case VAL_INT:
    case VAL_FLOAT: return read_scalar(r, kind, out);
    case VAL_BOOL: return read_bool(r, out);
    case VAL_STRING: return read_string(r, text, out);
    case VAL_INTS:
    case VAL_FLOATS: return read_list(r, kind, out);
    case VAL_NONE: break;
    }
    BUG("no setting is of kind %d", (int)kind);
}

bool value_parse(struct arena *a, const char *text, enum value_kind kind,
                 struct value *out, const char **why) {
    struct reader r = {.arena = a, .text = trimmed(a, text)};
    r.at = r.text;
    struct value v;
    bool ok = read_kind(&r, text, kind, &v);
    if (ok) *out = v;
    else *why = r.why;
    return ok;
}

static const char *quoted(struct arena *a, const char *s) {
    struct text t = {.arena = a};
    text_add(&t, "\"");
    for (; *s; s++) {
        size_t i = 0;
        while (i < COUNT(escapes) && escapes[i][1] != *s) i++;
        if (i < COUNT(escapes)) text_add(&t, "\\%c", escapes[i][0]);
        else text_add_n(&t, s, 1);
    }
    text_add(&t, "\"");
    return t.at;
}

// Would a string without quotes be read, or be seen, as another?
static bool needs_quotes(const char *s) {
    size_t n = strlen(s);
    return n == 0 || *s == '"' || *s == ' ' || s[n - 1] == ' ' || strpbrk(s, ",\n\t\r");
}

const char *value_literal(struct arena *a, const struct value *v) {
    if (v->kind == VAL_STRING) return needs_quotes(v->s) ? quoted(a, v->s) : v->s;
    const char *text = value_text(a, v);
    bool list = v->kind == VAL_INTS || v->kind == VAL_FLOATS;
    return list ? arena_printf(a, "[%s]", text) : text;
}
