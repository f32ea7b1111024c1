// See emit.h. A member a line, indented, so that people can read it too.
#include "cli/base/emit.h"

#include "runtime/json.h"

static void new_line(struct emit *e) {
    text_add(&e->text, "\n%*s", (int)(2 * e->depth), "");
}

static void begin(struct emit *e, const char *key) {
    if (e->more) text_add(&e->text, ",");
    if (e->depth) new_line(e);
    if (key) text_add(&e->text, "%s: ", json_string(e->text.arena, key));
    e->more = true;
}

void emit_open(struct emit *e, const char *key, char bracket) {
    begin(e, key);
    text_add(&e->text, "%c", bracket);
    e->depth++;
    e->more = false;
}

void emit_close(struct emit *e, char bracket) {
    e->depth--;
    if (e->more) new_line(e);
    text_add(&e->text, "%c", bracket);
    e->more = true;
}

void emit_string(struct emit *e, const char *key, const char *s) {
    begin(e, key);
    text_add(&e->text, "%s", s ? json_string(e->text.arena, s) : "null");
}

void emit_count(struct emit *e, const char *key, uint64_t n) {
    begin(e, key);
    text_add(&e->text, "%llu", (unsigned long long)n);
}

void emit_real(struct emit *e, const char *key, double v) {
    begin(e, key);
    text_add(&e->text, "%s", json_number(e->text.arena, v));
}

void emit_bool(struct emit *e, const char *key, bool v) {
    begin(e, key);
    text_add(&e->text, v ? "true" : "false");
}

void emit_null(struct emit *e, const char *key) {
    emit_string(e, key, NULL);
}

void emit_print(const struct emit *e, FILE *to) {
    fwrite(e->text.at, 1, e->text.n, to);
    fputc('\n', to);
}
