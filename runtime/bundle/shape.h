// The structures of a bundle as data: one row for each of their members. Writing
// (pack.c), reading (read.c) and printing all of a plan (cli/inspect_json.c) follow from
// these tables, so that a new member is a new row, and a member without one is found by
// tests/unit/test_bundle.c.
//
// Each structure is a msgpack map, its keys the members' names, in the order of the
// table. Raise BUNDLE_VERSION (runtime/bundle.h) whenever a table or a limit here
// changes.
#ifndef DDG_BUNDLE_SHAPE_H
#define DDG_BUNDLE_SHAPE_H

#include "runtime/bundle.h"

enum field_kind {
    // what the member is       how it is written
    FIELD_TEXT,    // const char *           a text; NULL, where it may be, nil
    FIELD_SIZE,    // size_t                 a count, `most` at most
    FIELD_INDEX,   // uint32_t               a count
    FIELD_BOOL,    // bool                   true or false
    FIELD_REAL,    // double                 a float of 64 bits
    FIELD_ENUM,    // an enum                a count; `names` are its values'
    FIELD_SPAN,    // struct span            [source or nil, start, end]
    FIELD_STRUCT,  // a struct               its map
    FIELD_POINTER, // a pointer to one       its map; NULL, where it may be, nil
    FIELD_LIST,    // pointer and count      a list of maps
    FIELD_INDICES, // uint32_t * and count   a list of counts
    FIELD_SIZES,   // size_t [most]          a list, zeros at its end left out
    FIELD_REALS,   // double [most]          the same
    FIELD_SOURCES, // const struct source ** and count: a list of [path, text]
    FIELD_VALUE,   // struct value           [kind, content, formula or nil]
    FIELD_FORMULA, // struct formula *       its number in the list of them, or nil
    FIELD_FORMULAS, // pointers and count    a list of those numbers
    FIELD_KERNEL,   // a call's symbol and entry: the kernel's number, or nil
    FIELD_CONST,    // pointer and count      [where in the constants, bytes]
    FIELD_CODE,     // pointer and count      [where in the bundle, bytes]
    FIELD_NONE,     // not written: known again, or filled in, after reading
};

struct shape;

struct field {
    const char *name;
    enum field_kind kind;
    size_t at;    // in the structure
    size_t count; // where the count of a pointer and count is
    size_t cap;   // of a VEC; else 0
    size_t most;
    bool maybe; // may be NULL
    const char *const *names;
    const struct shape *of; // what a struct, pointer or list is of
};

struct shape {
    const char *name;
    size_t size, nfields;
    const struct field *fields;
};

extern const struct shape shape_plan, shape_formula, shape_variant;

// ---- limits --------------------------------------------------------------------------
// Wide enough for anything that the compiler makes, narrow enough that sums and products
// of a few of them cannot overflow.
#define BUNDLE_MAX_MESSAGE  ((size_t)64 << 20) // bytes of the msgpack
#define BUNDLE_MAX_VARIANTS ((size_t)16)
#define BUNDLE_MAX_TEXT     ((size_t)1 << 20) // bytes of a text
#define BUNDLE_MAX_BYTES    ((size_t)1 << 40) // of anything in memory
#define BUNDLE_MAX_ROWS     ((size_t)UINT32_MAX)

// ---- the members of structures -------------------------------------------------------
static inline void *field_in(const struct field *f, void *in) {
    return (char *)in + f->at;
}
static inline const void *field_of(const struct field *f, const void *in) {
    return (const char *)in + f->at;
}
// Of a pointer and count.
static inline size_t field_count(const struct field *f, const void *in) {
    return *(const size_t *)(const void *)((const char *)in + f->count);
}

#endif
