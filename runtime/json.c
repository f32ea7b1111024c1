// JSON, written and read back. See json.h.
#include "runtime/json.h"

#include "runtime/base/utf8.h"

#include <locale.h>
#include <math.h>

// ---- writing ------------------------------------------------------------------------
static void add_character(struct text *t, const char *s, size_t n, uint32_t c) {
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt"; // a character, then its letter
    for (size_t i = 0; i + 1 < sizeof named; i += 2) {
        if (c != (unsigned char)named[i]) continue;
        text_add(t, "\\%c", named[i + 1]);
        return;
    }
    if (c < 0x20 || c == 0x7F) text_add(t, "\\u%04x", (unsigned)c);
    else text_add_n(t, s, n);
}

const char *json_string(struct arena *a, const char *s) {
    struct text t = {.arena = a};
    text_add_n(&t, "\"", 1);
    for (size_t left = strlen(s); left;) {
        uint32_t c;
        size_t n = utf8_length(s, left, &c);
        if (n) add_character(&t, s, n, c);
        else text_add(&t, "\xEF\xBF\xBD"); // the replacement character
        n = size_max(n, 1);
        s += n;
        left -= n;
    }
    text_add_n(&t, "\"", 1);
    return t.at;
}

// A program that we are a library of may have set a locale, in which 0.5 is "0,5".
const char *json_number(struct arena *a, double v) {
    if (!isfinite(v)) return "null";
    char s[40];
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(c);
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, v);
        if (strtod(s, NULL) == v && !strstr(s, "e+")) break;
    }
    uselocale(before);
    if (c) freelocale(c);
    return arena_strdup(a, s);
}

// ---- reading ------------------------------------------------------------------------
static bool next_is(struct json *j, char c) {
    while (j->at < j->end && (*j->at == ' ' || (*j->at >= '\t' && *j->at <= '\r')))
        j->at++;
    return j->at < j->end && *j->at == c;
}

static bool take(struct json *j, char c) {
    if (!next_is(j, c)) return false;
    j->at++;
    return true;
}

// Past the string that starts here; its text without the quotes.
static const char *take_string(struct json *j, size_t *n) {
    if (!take(j, '"')) return NULL;
    const char *start = j->at;
    for (; j->at < j->end && *j->at != '"'; j->at++)
        if (*j->at == '\\' && j->end - j->at > 1) j->at++;
    *n = (size_t)(j->at - start);
    if (!take(j, '"')) return NULL;
    return start;
}

bool json_open(struct json *j, char bracket) {
    return take(j, bracket);
}

bool json_key(struct json *j, char *key, size_t n) {
    size_t len;
    if (take(j, '}')) return false;
    take(j, ',');
    const char *s = take_string(j, &len);
    if (!s || !take(j, ':')) return false;
    len = size_min(len, n - 1);
    memcpy(key, s, len);
    key[len] = 0;
    return true;
}

bool json_element(struct json *j) {
    if (take(j, ']')) return false;
    take(j, ',');
    return !next_is(j, ']') && !next_is(j, '}') && j->at < j->end;
}

bool json_text(struct json *j, char *out, size_t n) {
    size_t len;
    if (!next_is(j, '"')) {
        json_skip(j);
        return false;
    }
    const char *s = take_string(j, &len);
    if (!s || len >= n || memchr(s, '\\', len)) return false;
    memcpy(out, s, len);
    out[len] = 0;
    return true;
}

void json_skip(struct json *j) {
    size_t depth = 0, n;
    do {
        if (next_is(j, '"')) {
            if (!take_string(j, &n)) j->at = j->end;
            continue;
        }
        if (j->at == j->end) return;
        char c = *j->at;
        if (depth == 0 && (c == ',' || c == ']' || c == '}')) return; // no value here
        j->at++;
        if (c == '{' || c == '[') depth++;
        else if (c == '}' || c == ']') depth--;
        else
            while (depth == 0 && j->at < j->end && !strchr(",]} \n", *j->at)) j->at++;
    } while (depth);
}
