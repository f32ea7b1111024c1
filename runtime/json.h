// Reading JSON text that ddg wrote earlier: once, front to back, without a tree. Text
// that is no JSON ends the walk early; it never runs past its end.
//
//     for (json_open(&j, '{'); json_key(&j, key, sizeof key);)
//         if (strcmp(key, "format") != 0) json_skip(&j);
//         else json_text(&j, value, sizeof value);
#ifndef DDG_JSON_H
#define DDG_JSON_H

#include "runtime/base/base.h"

// A string literal of s (invalid UTF-8 replaced), in arena.
const char *json_string(struct arena *a, const char *s);
// The shortest decimal number that reads back as v, without "2e+01"; null unless finite.
const char *json_number(struct arena *a, double v);

struct json {
    const char *at, *end;
};

// Enters an object '{' or an array '['; false when something else stands there.
bool json_open(struct json *j, char bracket);
// The next member of the object entered: its key (cut to n bytes). False at the end.
bool json_key(struct json *j, char *key, size_t n);
// Whether the array entered has another element.
bool json_element(struct json *j);
// A string without escapes shorter than n; false, and skipped, when it is anything else.
bool json_text(struct json *j, char *out, size_t n);
// Passes over one value of any kind.
void json_skip(struct json *j);

#endif
