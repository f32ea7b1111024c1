// JSON for scripts, written member by member. Inside an array the key is NULL.
//
//     emit_open(&e, NULL, '{');
//     emit_count(&e, "rows", 30);
//     emit_close(&e, '}');
#ifndef DDG_EMIT_H
#define DDG_EMIT_H

#include "runtime/base/base.h"

struct emit {
    struct text text; // its arena set by the caller
    size_t depth;
    bool more; // something stands before in this object or array
};

void emit_open(struct emit *e, const char *key, char bracket);    // '{' or '['
void emit_close(struct emit *e, char bracket);                    // '}' or ']'
void emit_string(struct emit *e, const char *key, const char *s); // NULL: null
void emit_count(struct emit *e, const char *key, uint64_t n);
void emit_real(struct emit *e, const char *key, double v); // null unless finite
void emit_bool(struct emit *e, const char *key, bool v);
void emit_null(struct emit *e, const char *key);
void emit_print(const struct emit *e, FILE *to); // with a newline

#endif
