// See value.h.
#include "runtime/value.h"

#include "runtime/formula.h"
#include "runtime/json.h"

const char *value_type_name(enum value_kind k) {
    static const char *const names[] = {
        [VAL_NONE] = "none",     [VAL_INT] = "int",       [VAL_FLOAT] = "float",
        [VAL_BOOL] = "bool",     [VAL_STRING] = "string", [VAL_INTS] = "[int]",
        [VAL_FLOATS] = "[float]"};
    return names[k];
}

static bool same_bits(const void *a, const void *b, size_t n) {
    return n == 0 || memcmp(a, b, n) == 0;
}

static bool same_content(const struct value *a, const struct value *b) {
    switch (a->kind) {
    case VAL_NONE: return true;
    case VAL_INT:
    case VAL_BOOL: return a->i == b->i;
    // Bits, not numbers: 0 and -0 are different values, and a NaN is itself.
    case VAL_FLOAT: return same_bits(&a->f, &b->f, sizeof a->f);
    case VAL_STRING: return strcmp(a->s, b->s) == 0;
    case VAL_INTS: return a->n == b->n && same_bits(a->is, b->is, a->n * sizeof *a->is);
    case VAL_FLOATS: return a->n == b->n && same_bits(a->fs, b->fs, a->n * sizeof *a->fs);
    }
    BUG("value of unknown kind %d", (int)a->kind);
}

bool value_eq(const struct value *a, const struct value *b) {
    return a->kind == b->kind && same_content(a, b) && formula_eq(a->of, b->of);
}

// ---- as text -------------------------------------------------------------------------
static const char *list_text(struct arena *a, const struct value *v) {
    struct text t = {.arena = a};
    for (size_t i = 0; i < v->n; i++)
        if (v->kind == VAL_FLOATS)
            text_add(&t, "%s%s", i ? ", " : "", json_number(a, v->fs[i]));
        else text_add(&t, "%s%lld", i ? ", " : "", (long long)v->is[i]);
    return v->n ? t.at : "";
}

const char *value_text(struct arena *a, const struct value *v) {
    switch (v->kind) {
    case VAL_NONE: return "none";
    case VAL_INT: return arena_printf(a, "%lld", (long long)v->i);
    case VAL_BOOL: return v->i ? "true" : "false";
    case VAL_FLOAT: return json_number(a, v->f);
    case VAL_STRING: return v->s;
    case VAL_FLOATS:
    case VAL_INTS: return list_text(a, v);
    }
    BUG("no such kind of value");
}

// ---- as JSON -------------------------------------------------------------------------
static const char *list_json(struct arena *a, const struct value *v) {
    struct text t = {.arena = a};
    text_add(&t, "[");
    for (size_t i = 0; i < v->n; i++)
        text_add(&t, "%s%s", i ? ", " : "",
                 json_number(a, v->kind == VAL_FLOATS ? v->fs[i] : (double)v->is[i]));
    text_add(&t, "]");
    return t.at;
}

const char *value_json(struct arena *a, const struct value *v) {
    switch (v->kind) {
    case VAL_INT: return arena_printf(a, "%lld", (long long)v->i);
    case VAL_FLOAT: return json_number(a, v->f);
    case VAL_BOOL: return v->i ? "true" : "false";
    case VAL_STRING: return json_string(a, v->s);
    case VAL_INTS:
    case VAL_FLOATS: return list_json(a, v);
    case VAL_NONE: break;
    }
    return "null";
}
