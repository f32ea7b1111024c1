// Arithmetic on compile-time values. See constant.h.
#include "runtime/constant.h"

#include "runtime/json.h"

#include <math.h>

#define SHOWN_BYTES 40 // of a string in a message

// ---- in words -----------------------------------------------------------------------
const char *constant_kind_name(enum value_kind k) {
    switch (k) {
    case VAL_NONE: return "none";
    case VAL_INT: return "an int";
    case VAL_FLOAT: return "a float";
    case VAL_BOOL: return "a bool";
    case VAL_STRING: return "a string";
    case VAL_INTS: return "a list of ints";
    case VAL_FLOATS: return "a list of floats";
    }
    BUG("unknown kind of value %d", (int)k);
}

// With a point or an exponent.
static const char *float_text(struct arena *a, double v) {
    const char *s = json_number(a, v);
    return arena_printf(a, "%s%s", s, strpbrk(s, ".e") ? "" : ".0");
}

// Cut between characters.
static const char *string_text(struct arena *a, const char *s) {
    size_t n = strlen(s), shown = size_min(n, SHOWN_BYTES);
    while (shown < n && ((unsigned char)s[shown] & 0xc0) == 0x80) shown--;
    return arena_printf(a, "the string \"%.*s%s\"", (int)shown, s,
                        shown < n ? "..." : "");
}

const char *constant_describe(struct arena *a, const struct value *v) {
    switch (v->kind) {
    case VAL_NONE: return "none";
    case VAL_INT: return arena_printf(a, "the int %lld", (long long)v->i);
    case VAL_FLOAT: return arena_printf(a, "the float %s", float_text(a, v->f));
    case VAL_BOOL: return v->i ? "the bool true" : "the bool false";
    case VAL_STRING: return string_text(a, v->s);
    case VAL_INTS:
    case VAL_FLOATS: break;
    }
    if (v->n == 0) return "an empty list";
    return arena_printf(a, "a list of %zu %s%s", v->n,
                        v->kind == VAL_INTS ? "int" : "float", v->n == 1 ? "" : "s");
}

// ---- conversion ---------------------------------------------------------------------
bool constant_convert(struct arena *a, struct value *v, enum value_kind kind) {
    const struct formula *of = v->of;
    if (v->kind == kind) return true;
    if (kind == VAL_FLOAT && v->kind == VAL_INT) {
        *v = val_float((double)v->i);
        v->of = of;
        return true;
    }
    if (kind != VAL_FLOATS || v->kind != VAL_INTS) return false;
    double *fs = NEW_N(a, double, v->n);
    for (size_t i = 0; i < v->n; i++) fs[i] = (double)v->is[i];
    *v = val_floats(fs, v->n);
    v->of = of;
    return true;
}

// ---- ranges -------------------------------------------------------------------------
static double number_at(const struct value *v, size_t i) {
    switch (v->kind) {
    case VAL_INT: return (double)v->i;
    case VAL_FLOAT: return v->f;
    case VAL_INTS: return (double)v->is[i];
    case VAL_FLOATS: return v->fs[i];
    case VAL_BOOL:
    case VAL_STRING:
    case VAL_NONE: break;
    }
    BUG("%s has no numbers", constant_kind_name(v->kind));
}

static size_t number_count(const struct value *v) {
    if (v->kind == VAL_INTS || v->kind == VAL_FLOATS) return v->n;
    return v->kind == VAL_INT || v->kind == VAL_FLOAT;
}

const char *constant_out_of_range(struct arena *a, const char *name, double min,
                                  double max, const struct value *v) {
    if (min == 0 && max == 0) return NULL;
    for (size_t i = 0; i < number_count(v); i++) {
        double is = number_at(v, i);
        if (!(is >= min && is <= max))
            return arena_printf(a, "`%s` must be between %.12g and %.12g; this is %.12g",
                                name, min, max, is);
    }
    return NULL;
}

// ---- arithmetic ---------------------------------------------------------------------
static bool fails(struct fault *f, const char *why, const char *help) {
    *f = (struct fault){why, help};
    return false;
}

static int64_t floor_divide(int64_t l, int64_t r) {
    return l / r - (l % r != 0 && (l < 0) != (r < 0));
}

// Both may be so large that only the error can tell: INT64_MIN / -1.
static bool int_divide(struct arena *a, const char *op, int64_t l, int64_t r,
                       int64_t *out, struct fault *f) {
    if (r == 0) return fails(f, "division by zero", NULL);
    if (r == -1) {
        *out = 0;
        if (op[0] == '%' || !__builtin_sub_overflow(0, l, out)) return true;
        return fails(f, "the result does not fit in 64 bits", NULL);
    }
    if (strcmp(op, "/") == 0 && l % r != 0)
        return fails(f,
                     arena_printf(a, "%lld does not divide %lld exactly", (long long)r,
                                  (long long)l),
                     "`//` divides and rounds down; with a float, `/` gives a float");
    int64_t q = floor_divide(l, r);
    *out = op[0] == '%' ? l - q * r : q;
    return true;
}

static bool int_binary(struct arena *a, const char *op, int64_t l, int64_t r,
                       struct value *out, struct fault *f) {
    bool over = false;
    *out = val_int(0);
    switch (op[0]) {
    case '+': over = __builtin_add_overflow(l, r, &out->i); break;
    case '-': over = __builtin_sub_overflow(l, r, &out->i); break;
    case '*': over = __builtin_mul_overflow(l, r, &out->i); break;
    default: return int_divide(a, op, l, r, &out->i, f);
    }
    return !over || fails(f, "the result does not fit in 64 bits", NULL);
}

static bool float_binary(const char *op, double l, double r, struct value *out,
                         struct fault *f) {
    double v;
    if ((op[0] == '/' || op[0] == '%') && r == 0)
        return fails(f, "division by zero", NULL);
    switch (op[0]) {
    case '+': v = l + r; break;
    case '-': v = l - r; break;
    case '*': v = l * r; break;
    case '/': v = op[1] ? floor(l / r) : l / r; break;
    default:
        v = fmod(l, r);
        if (v != 0 && (v < 0) != (r < 0)) v += r;
    }
    *out = val_float(v);
    return isfinite(v) || fails(f, "the result is too large for a float", NULL);
}

static bool join(struct arena *a, const char *l, const char *r, struct value *out,
                 struct fault *f) {
    if (strlen(l) + strlen(r) > STRING_MAX_BYTES)
        return fails(f, "the result is longer than a string may be (64 KiB)", NULL);
    *out = val_string(arena_printf(a, "%s%s", l, r));
    return true;
}

static bool is_number(const struct value *v) {
    return v->kind == VAL_INT || v->kind == VAL_FLOAT;
}

static double number(const struct value *v) {
    return v->kind == VAL_INT ? (double)v->i : v->f;
}

bool constant_binary(struct arena *a, const char *op, const struct value *l,
                     const struct value *r, struct value *out, struct fault *f) {
    bool plus = op[0] == '+';
    if (plus && l->kind == VAL_STRING && r->kind == VAL_STRING)
        return join(a, l->s, r->s, out, f);
    if (!is_number(l) || !is_number(r))
        return fails(f,
                     arena_printf(a, "`%s` takes two numbers%s; got %s and %s", op,
                                  plus ? " or two strings" : "", constant_describe(a, l),
                                  constant_describe(a, r)),
                     NULL);
    if (l->kind == VAL_INT && r->kind == VAL_INT)
        return int_binary(a, op, l->i, r->i, out, f);
    return float_binary(op, number(l), number(r), out, f);
}

bool constant_negate(struct arena *a, const struct value *v, struct value *out,
                     struct fault *f) {
    if (v->kind == VAL_INT) return int_binary(a, "-", 0, v->i, out, f);
    if (v->kind == VAL_FLOAT) {
        *out = val_float(-v->f);
        return true;
    }
    return fails(
        f, arena_printf(a, "`-` takes a number; got %s", constant_describe(a, v)), NULL);
}
