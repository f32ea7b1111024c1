// See unpack.h.
#include "runtime/base/unpack.h"

void unpack_begin(struct unpack *u, struct arena *arena, const char *data, size_t n) {
    const unsigned char *at = (const unsigned char *)data;
    // Each text comes with a byte or more of its own, where its NUL fits.
    *u = (struct unpack){.at = at, .end = at + n, .arena = arena};
    u->pool = arena_alloc(arena, n, 1);
}

bool unpack_fail(struct unpack *u, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    u->why = arena_vprintf(u->arena, fmt, ap);
    va_end(ap);
    return false;
}

// ---- heads ---------------------------------------------------------------------------
// How msgpack begins an element: the first byte, of which the bits of `mask` are `is`;
// the rest of them are the number, or `wide` bytes after it are.
static const struct shape {
    unsigned char is, mask, wide;
    enum unpack_kind kind;
} SHAPES[] = {
    {0x00, 0x80, 0, UNPACK_WHOLE},    {0xe0, 0xe0, 0, UNPACK_NEGATIVE},
    {0xa0, 0xe0, 0, UNPACK_TEXT},     {0x90, 0xf0, 0, UNPACK_LIST},
    {0x80, 0xf0, 0, UNPACK_MAP},      {0xc0, 0xff, 0, UNPACK_NIL},
    {0xc2, 0xfe, 0, UNPACK_BOOL},     {0xcc, 0xff, 1, UNPACK_WHOLE},
    {0xcd, 0xff, 2, UNPACK_WHOLE},    {0xce, 0xff, 4, UNPACK_WHOLE},
    {0xcf, 0xff, 8, UNPACK_WHOLE},    {0xd0, 0xff, 1, UNPACK_NEGATIVE},
    {0xd1, 0xff, 2, UNPACK_NEGATIVE}, {0xd2, 0xff, 4, UNPACK_NEGATIVE},
    {0xd3, 0xff, 8, UNPACK_NEGATIVE}, {0xcb, 0xff, 8, UNPACK_REAL},
    {0xd9, 0xff, 1, UNPACK_TEXT},     {0xda, 0xff, 2, UNPACK_TEXT},
    {0xdb, 0xff, 4, UNPACK_TEXT},     {0xdc, 0xff, 2, UNPACK_LIST},
    {0xdd, 0xff, 4, UNPACK_LIST},     {0xde, 0xff, 2, UNPACK_MAP},
    {0xdf, 0xff, 4, UNPACK_MAP},
};

static const struct shape *shape_of(unsigned char first) {
    for (size_t i = 0; i < COUNT(SHAPES); i++)
        if ((first & SHAPES[i].mask) == SHAPES[i].is) return &SHAPES[i];
    return NULL;
}

// Fills the bits above a signed number's own, and finds out whether it is negative at
// all.
static void extend_sign(const struct shape *s, struct unpack_head *h) {
    unsigned bits = 8u * s->wide;
    if (!bits) h->n |= ~UINT64_C(0) << 5;
    else if (bits < 64 && h->n >> (bits - 1) & 1) h->n |= ~UINT64_C(0) << bits;
    if (!(h->n >> 63)) h->kind = UNPACK_WHOLE;
}

bool unpack_head(struct unpack *u, struct unpack_head *out) {
    size_t left = unpack_left(u);
    const struct shape *s = left ? shape_of(*u->at) : NULL;
    *out = (struct unpack_head){.kind = s ? s->kind : UNPACK_OTHER};
    if (!left || (s && left <= s->wide)) return unpack_fail(u, "it ends too early");
    if (!s) return true;
    out->n = s->wide ? 0 : *u->at & (unsigned char)~s->mask;
    u->at++;
    for (size_t i = 0; i < s->wide; i++) out->n = out->n << 8 | *u->at++;
    if (s->kind == UNPACK_NEGATIVE) extend_sign(s, out);
    return true;
}

// An element of this kind.
static bool expect(struct unpack *u, enum unpack_kind kind, const char *what,
                   uint64_t *n) {
    static const char *const SAY[] = {"nothing",  "true or false", "a count",
                                      "a number", "a number",      "a text",
                                      "a list",   "a map",         ""};
    struct unpack_head h;
    *n = 0;
    if (!unpack_head(u, &h)) return false;
    if (h.kind != kind) return unpack_fail(u, "`%s` is not %s", what, SAY[kind]);
    *n = h.n;
    return true;
}

// ---- numbers -------------------------------------------------------------------------
bool unpack_nil(struct unpack *u) {
    if (!unpack_left(u) || *u->at != 0xc0) return false;
    u->at++;
    return true;
}

bool unpack_count(struct unpack *u, const char *what, uint64_t most, uint64_t *out) {
    if (!expect(u, UNPACK_WHOLE, what, out)) return false;
    if (*out <= most) return true;
    return unpack_fail(u, "`%s` is %llu, and %llu at most", what,
                       (unsigned long long)*out, (unsigned long long)most);
}

bool unpack_int(struct unpack *u, const char *what, int64_t *out) {
    struct unpack_head h;
    if (!unpack_head(u, &h)) return false;
    bool fits = h.kind == UNPACK_NEGATIVE ||
                (h.kind == UNPACK_WHOLE && h.n <= (uint64_t)INT64_MAX);
    memcpy(out, &h.n, sizeof *out);
    return fits || unpack_fail(u, "`%s` is not an int", what);
}

bool unpack_real(struct unpack *u, const char *what, double *out) {
    uint64_t bits;
    if (!expect(u, UNPACK_REAL, what, &bits)) return false;
    memcpy(out, &bits, sizeof *out);
    return true;
}

bool unpack_bool(struct unpack *u, const char *what, bool *out) {
    uint64_t n;
    if (!expect(u, UNPACK_BOOL, what, &n)) return false;
    *out = n != 0;
    return true;
}

// ---- texts ---------------------------------------------------------------------------
bool unpack_bytes(struct unpack *u, const char *what, const char **out, size_t *n) {
    uint64_t bytes;
    if (!expect(u, UNPACK_TEXT, what, &bytes)) return false;
    if (bytes > unpack_left(u)) return unpack_fail(u, "it ends too early");
    *n = (size_t)bytes;
    *out = memcpy(u->pool, u->at, *n);
    u->pool[*n] = 0;
    u->pool += *n + 1;
    u->at += *n;
    return true;
}

bool unpack_text(struct unpack *u, const char *what, const char **out) {
    size_t n = 0;
    if (!unpack_bytes(u, what, out, &n)) return false;
    return !memchr(*out, 0, n) || unpack_fail(u, "`%s` has a zero byte in it", what);
}

// ---- lists and maps ------------------------------------------------------------------
bool unpack_list(struct unpack *u, const char *what, size_t least, size_t *n) {
    uint64_t count;
    if (!expect(u, UNPACK_LIST, what, &count)) return false;
    if (count > unpack_left(u) / least)
        return unpack_fail(u, "`%s` claims %llu elements, more than follow", what,
                           (unsigned long long)count);
    *n = (size_t)count;
    return true;
}

bool unpack_map(struct unpack *u, const char *what, size_t n) {
    uint64_t count;
    if (!expect(u, UNPACK_MAP, what, &count)) return false;
    if (count == n) return true;
    return unpack_fail(u, "`%s` has %llu members, not %zu", what,
                       (unsigned long long)count, n);
}

bool unpack_key(struct unpack *u, const char *name) {
    const char *key = "";
    if (!unpack_text(u, "key", &key)) return false;
    return !strcmp(key, name) ||
           unpack_fail(u, "`%.40s` is where `%s` belongs", key, name);
}
