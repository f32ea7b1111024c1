// Reading msgpack that came from outside: front to back, element by element, never past
// its end, and never making room for more than the bytes that are left could say.
// (msgpack-c's own unpacker makes room for as many elements as a header claims before it
// has seen one.)
//
// Every call that fails says why, in words for people, and returns false; `what` is what
// the element is called there.
#ifndef DDG_UNPACK_H
#define DDG_UNPACK_H

#include "runtime/base/base.h"

enum unpack_kind {
    UNPACK_NIL,
    UNPACK_BOOL,
    UNPACK_WHOLE,    // an integer, 0 or more
    UNPACK_NEGATIVE, // an integer below 0
    UNPACK_REAL,
    UNPACK_TEXT,
    UNPACK_LIST,
    UNPACK_MAP,
    UNPACK_OTHER
};

struct unpack {
    const unsigned char *at, *end;
    struct arena *arena;
    char *pool;      // where the next text goes: as large as all that is read
    const char *why; // in arena, once something failed
};

struct unpack_head { // what an element begins with
    enum unpack_kind kind;
    uint64_t n; // the number (its bits), or how many bytes or elements follow
};

// Takes n bytes of arena for texts.
void unpack_begin(struct unpack *u, struct arena *arena, const char *data, size_t n);
bool unpack_fail(struct unpack *u, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline size_t unpack_left(const struct unpack *u) {
    return (size_t)(u->end - u->at);
}

bool unpack_head(struct unpack *u, struct unpack_head *out);
// True, and passed over, when a nil is next.
bool unpack_nil(struct unpack *u);
bool unpack_count(struct unpack *u, const char *what, uint64_t most, uint64_t *out);
bool unpack_int(struct unpack *u, const char *what, int64_t *out);
bool unpack_real(struct unpack *u, const char *what, double *out);
bool unpack_bool(struct unpack *u, const char *what, bool *out);
// NUL-terminated, without NULs in it.
bool unpack_text(struct unpack *u, const char *what, const char **out);
// With NULs in it, perhaps.
bool unpack_bytes(struct unpack *u, const char *what, const char **out, size_t *n);
// How many elements follow, each of at least `least` bytes.
bool unpack_list(struct unpack *u, const char *what, size_t least, size_t *n);
// A map of n members, whose keys are then asked for in their order.
bool unpack_map(struct unpack *u, const char *what, size_t n);
bool unpack_key(struct unpack *u, const char *name);

#endif
