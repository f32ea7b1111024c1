// Compile-time values: what attributes, params and their defaults are.
//
// A value that follows from params says how (runtime/formula.h), so that it can be worked
// out again when one of them is set after compiling.
#ifndef DDG_VALUE_H
#define DDG_VALUE_H

#include "runtime/base/base.h"

enum value_kind {
    VAL_NONE,
    VAL_INT,
    VAL_FLOAT,
    VAL_BOOL,
    VAL_STRING,
    VAL_INTS,
    VAL_FLOATS
};

struct formula;

struct value {
    enum value_kind kind;
    int64_t i; // VAL_INT, VAL_BOOL
    double f;  // VAL_FLOAT
    const char *s;
    const int64_t *is;
    const double *fs;
    size_t n;                 // elements of is or fs
    const struct formula *of; // NULL: follows from no param
};

static inline struct value val_int(int64_t i) {
    return (struct value){.kind = VAL_INT, .i = i};
}
static inline struct value val_float(double f) {
    return (struct value){.kind = VAL_FLOAT, .f = f};
}
static inline struct value val_bool(bool b) {
    return (struct value){.kind = VAL_BOOL, .i = b};
}
static inline struct value val_string(const char *s) {
    return (struct value){.kind = VAL_STRING, .s = s};
}
static inline struct value val_ints(const int64_t *v, size_t n) {
    return (struct value){.kind = VAL_INTS, .is = v, .n = n};
}
static inline struct value val_floats(const double *v, size_t n) {
    return (struct value){.kind = VAL_FLOATS, .fs = v, .n = n};
}

const char *value_type_name(enum value_kind k); // as the language writes it: "[int]"

// The same value, following from the same params in the same way.
bool value_eq(const struct value *a, const struct value *b);

// "0.1", "[1, 2]" without the brackets, a string as it is: what enters the store's keys.
const char *value_text(struct arena *a, const struct value *v);
// As JSON.
const char *value_json(struct arena *a, const struct value *v);

#endif
