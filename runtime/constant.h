// Arithmetic on compile-time values, and what they are called in messages.
#ifndef DDG_CONSTANT_H
#define DDG_CONSTANT_H

#include "runtime/value.h"

#define STRING_MAX_BYTES ((size_t)64 << 10) // of a string put together from others

struct fault { // why an operation has no result
    const char *why, *help;
};

// l op r for "+", "-", "*", "/", "//", "%". Ints stay ints: `/` must divide them exactly,
// `//` and `%` round down. An int with a float is a float. `+` joins strings. Nothing
// overflows and no float is infinite or NaN: false then, with *f filled.
bool constant_binary(struct arena *a, const char *op, const struct value *l,
                     const struct value *r, struct value *out, struct fault *f);
bool constant_negate(struct arena *a, const struct value *v, struct value *out,
                     struct fault *f);

// Makes v a value of that kind where nothing is lost: an int is a float, ints are floats.
bool constant_convert(struct arena *a, struct value *v, enum value_kind kind);

// What is wrong with a number, or one of a list, of the attribute `name`, which is to be
// from min to max (both 0: any); NULL: nothing.
const char *constant_out_of_range(struct arena *a, const char *name, double min,
                                  double max, const struct value *v);

const char *constant_kind_name(enum value_kind k); // "an int", "a list of floats"
// "the int 3", "the string \"abc\"", "a list of 3 floats"
const char *constant_describe(struct arena *a, const struct value *v);

#endif
