// See record.h. Written with msgpack's packer; read by a reader of our own, because
// msgpack's makes room for as many elements as a header claims before it has seen one.
// What is read here takes at most some seven times the memory of its text: strings go
// into one pool that is as large as the text (each came with a header of a byte or more,
// where its NUL fits), and arrays are not believed to hold more than the bytes that are
// left could say.
//
// Both ways go by one table of the keys, which all must be there, once, the version
// first.
#include "runtime/store/record.h"

#include <math.h>
#include <msgpack.h>

#define MAX_DAYS INT64_C(100000000) // some 270,000 years, for sums that cannot overflow

struct reader {
    const unsigned char *at, *end;
    struct arena *arena;
    char *pool; // where the next string goes
    const char **why;
};

static bool refuse(struct reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

static bool refuse(struct reader *r, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    *r->why = arena_vprintf(r->arena, fmt, ap);
    va_end(ap);
    return false;
}

// ---- the key --------------------------------------------------------------------------
// Each text enters as a digest of its own, so that no two lists run together to the same.
static struct digest join_text(struct digest d, const char *s) {
    return digest_join(d, digest_of(s, strlen(s)));
}

struct digest store_record_key(const struct store_record *r) {
    struct digest d = digest_of(r->op, strlen(r->op));
    for (size_t i = 0; i < r->nfields; i++)
        d = join_text(join_text(d, r->fields[i].name), r->fields[i].value);
    return d;
}

// ---- one element ----------------------------------------------------------------------
enum kind { NIL, WHOLE, NEGATIVE, REAL, TEXT, ARRAY, MAP, OTHER };

struct head {
    enum kind kind;
    uint64_t n; // the number, or how many bytes or elements follow
};

// How msgpack begins an element: the first byte, of which the bits of `mask` are `is`;
// the rest of them are the number, or `wide` bytes after it are.
static const struct shape {
    unsigned char is, mask, wide;
    enum kind kind;
} SHAPES[] = {
    {0x00, 0x80, 0, WHOLE}, {0xe0, 0xe0, 0, NEGATIVE}, {0xa0, 0xe0, 0, TEXT},
    {0x90, 0xf0, 0, ARRAY}, {0x80, 0xf0, 0, MAP},      {0xc0, 0xff, 0, NIL},
    {0xcc, 0xff, 1, WHOLE}, {0xcd, 0xff, 2, WHOLE},    {0xce, 0xff, 4, WHOLE},
    {0xcf, 0xff, 8, WHOLE}, {0xcb, 0xff, 8, REAL},     {0xd9, 0xff, 1, TEXT},
    {0xda, 0xff, 2, TEXT},  {0xdb, 0xff, 4, TEXT},     {0xdc, 0xff, 2, ARRAY},
    {0xdd, 0xff, 4, ARRAY}, {0xde, 0xff, 2, MAP},      {0xdf, 0xff, 4, MAP},
};

static const struct shape *shape_of(unsigned char first) {
    for (size_t i = 0; i < COUNT(SHAPES); i++)
        if ((first & SHAPES[i].mask) == SHAPES[i].is) return &SHAPES[i];
    return NULL;
}

static size_t left(const struct reader *r) {
    return (size_t)(r->end - r->at);
}

static bool read_head(struct reader *r, struct head *out) {
    const struct shape *s = left(r) ? shape_of(*r->at) : NULL;
    *out = (struct head){.kind = s ? s->kind : OTHER};
    if (!left(r) || (s && left(r) <= s->wide)) return refuse(r, "it ends too early");
    if (!s) return true;
    out->n = s->wide ? 0 : *r->at & (unsigned char)~s->mask;
    r->at++;
    for (size_t i = 0; i < s->wide; i++) out->n = out->n << 8 | *r->at++;
    return true;
}

// An element of this kind. what: for people, who read "%s is not ...".
static bool expect(struct reader *r, enum kind kind, const char *what, uint64_t *n) {
    static const char *const SAY[] = {"nothing", "a count", "a number", "a number",
                                      "a text",  "a list",  "a map",    ""};
    struct head h;
    *n = 0;
    if (!read_head(r, &h)) return false;
    if (h.kind != kind) return refuse(r, "`%s` is not %s", what, SAY[kind]);
    *n = h.n;
    return true;
}

static bool read_count(struct reader *r, const char *what, uint64_t *out) {
    return expect(r, WHOLE, what, out);
}

static bool read_real(struct reader *r, const char *what, double *out) {
    uint64_t bits;
    if (!expect(r, REAL, what, &bits)) return false;
    memcpy(out, &bits, sizeof *out);
    if (isfinite(*out) && *out >= 0) return true;
    return refuse(r, "`%s` is %g", what, *out);
}

static bool read_days(struct reader *r, const char *what, int64_t *out) {
    uint64_t n;
    if (!expect(r, WHOLE, what, &n)) return false;
    if (n > MAX_DAYS) return refuse(r, "`%s` is no date", what);
    *out = (int64_t)n;
    return true;
}

static bool take_text(struct reader *r, const char *what, uint64_t n, const char **out) {
    if (n > left(r)) return refuse(r, "it ends too early");
    if (memchr(r->at, 0, (size_t)n)) return refuse(r, "`%s` has a zero byte in it", what);
    memcpy(r->pool, r->at, (size_t)n);
    r->pool[n] = 0;
    *out = r->pool;
    r->pool += n + 1;
    r->at += n;
    return true;
}

static bool read_text(struct reader *r, const char *what, const char **out) {
    uint64_t n;
    return expect(r, TEXT, what, &n) && take_text(r, what, n, out);
}

// ---- what is made of elements ---------------------------------------------------------
static bool read_dims(struct reader *r, struct store_record *to) {
    uint64_t n, d;
    if (!expect(r, ARRAY, "dim", &n)) return false;
    if (n > COUNT(to->dim)) return refuse(r, "a value of too many dimensions");
    size_t all = sizeof(double) * 2; // of an element, at most
    for (size_t i = 0; i < n; i++) {
        if (!read_count(r, "dim", &d)) return false;
        to->dim[i] = (size_t)d;
        // A size of 0 hides no other that is out of bounds.
        if (!size_mul(all, size_max(to->dim[i], 1), &all))
            return refuse(r, "a value larger than memory");
    }
    to->rank = (size_t)n;
    return true;
}

static bool read_field(struct reader *r, struct store_field *to) {
    uint64_t n;
    struct head label;
    if (!expect(r, ARRAY, "field", &n)) return false;
    if (n != 3) return refuse(r, "a field of %llu parts", (unsigned long long)n);
    if (!read_text(r, "field", &to->name)) return false;
    if (!read_text(r, "value", &to->value) || !read_head(r, &label)) return false;
    if (label.kind == NIL) return true;
    if (label.kind != TEXT) return refuse(r, "`label` is not a text");
    return take_text(r, "label", label.n, &to->label);
}

static bool read_fields(struct reader *r, struct store_record *to) {
    enum { FIELD_LEAST = 4 }; // bytes of a field: its header and three elements
    uint64_t n;
    if (!expect(r, ARRAY, "fields", &n)) return false;
    if (n > RECORD_MAX_FIELDS || n > left(r) / FIELD_LEAST)
        return refuse(r, "%llu fields", (unsigned long long)n);
    struct store_field *fields = NEW_N(r->arena, struct store_field, (size_t)n);
    for (size_t i = 0; i < n; i++)
        if (!read_field(r, &fields[i])) return false;
    to->fields = fields;
    to->nfields = (size_t)n;
    return true;
}

// ---- the whole record -----------------------------------------------------------------
enum type { T_TEXT, T_DIMS, T_FIELDS, T_REAL, T_COUNT, T_DAYS };

static const struct key {
    const char *name;
    enum type type;
    size_t at; // in struct store_record
} KEYS[] = {
    {"op", T_TEXT, offsetof(struct store_record, op)},
    {"name", T_TEXT, offsetof(struct store_record, name)},
    {"elem", T_TEXT, offsetof(struct store_record, elem)},
    {"dim", T_DIMS, offsetof(struct store_record, dim)},
    {"fields", T_FIELDS, offsetof(struct store_record, fields)},
    {"flops", T_REAL, offsetof(struct store_record, flops)},
    {"rows", T_COUNT, offsetof(struct store_record, rows)},
    {"bytes", T_COUNT, offsetof(struct store_record, bytes)},
    {"computed", T_COUNT, offsetof(struct store_record, computed)},
    {"seconds", T_REAL, offsetof(struct store_record, seconds)},
    {"created", T_DAYS, offsetof(struct store_record, created)},
};

static bool read_key(struct reader *r, const struct key *k, struct store_record *to) {
    void *at = (char *)to + k->at;
    switch (k->type) {
    case T_TEXT: return read_text(r, k->name, at);
    case T_DIMS: return read_dims(r, to);
    case T_FIELDS: return read_fields(r, to);
    case T_REAL: return read_real(r, k->name, at);
    case T_COUNT: return read_count(r, k->name, at);
    case T_DAYS: return read_days(r, k->name, at);
    }
    BUG("key %s", k->name);
}

static const struct key *find_key(const char *name) {
    for (size_t i = 0; i < COUNT(KEYS); i++)
        if (strcmp(KEYS[i].name, name) == 0) return &KEYS[i];
    return NULL;
}

static bool read_version(struct reader *r) {
    const char *name;
    uint64_t version;
    if (!read_text(r, "key", &name)) return false;
    if (strcmp(name, "v") != 0) return refuse(r, "it does not begin with its version");
    if (!read_count(r, "v", &version)) return false;
    if (version == STORE_VERSION) return true;
    return refuse(r, "it is of version %llu, not %d", (unsigned long long)version,
                  STORE_VERSION);
}

static bool read_record(struct reader *r, struct store_record *to) {
    uint64_t n;
    unsigned seen = 0;
    if (!expect(r, MAP, "record", &n)) return false;
    if (n == 0) return refuse(r, "it is empty");
    if (!read_version(r)) return false;
    for (uint64_t i = 1; i < n; i++) {
        const char *name;
        if (!read_text(r, "key", &name)) return false;
        const struct key *k = find_key(name);
        if (!k) return refuse(r, "unknown key `%.40s`", name);
        if (seen & 1u << (k - KEYS)) return refuse(r, "`%s` is there twice", name);
        seen |= 1u << (k - KEYS);
        if (!read_key(r, k, to)) return false;
    }
    for (size_t i = 0; i < COUNT(KEYS); i++)
        if (!(seen & 1u << i)) return refuse(r, "`%s` is missing", KEYS[i].name);
    return r->at == r->end || refuse(r, "more follows than a record");
}

bool record_decode(const char *data, size_t n, struct arena *a, struct store_record *r,
                   const char **why) {
    const unsigned char *at = (const unsigned char *)data;
    *r = (struct store_record){0};
    *why = "it is too large";
    if (n > RECORD_MAX_BYTES) return false;
    struct reader reader = {at, at + n, a, arena_alloc(a, n, 1), why};
    if (!read_record(&reader, r)) return false;
    r->key = store_record_key(r);
    *why = NULL;
    return true;
}

// ---- writing --------------------------------------------------------------------------
static int write_some(void *to, const char *data, size_t n) {
    text_add_n(to, data, n);
    return 0;
}

static void put_text(msgpack_packer *p, const char *s) {
    msgpack_pack_str_with_body(p, s, strlen(s));
}

static void put_fields(msgpack_packer *p, const struct store_record *r) {
    msgpack_pack_array(p, r->nfields);
    for (size_t i = 0; i < r->nfields; i++) {
        const struct store_field *f = &r->fields[i];
        msgpack_pack_array(p, 3);
        put_text(p, f->name);
        put_text(p, f->value);
        if (f->label) put_text(p, f->label);
        else msgpack_pack_nil(p);
    }
}

static void put_dims(msgpack_packer *p, const struct store_record *r) {
    CHECK(r->rank <= COUNT(r->dim));
    msgpack_pack_array(p, r->rank);
    for (size_t i = 0; i < r->rank; i++) msgpack_pack_uint64(p, r->dim[i]);
}

static void put_key(msgpack_packer *p, const struct key *k,
                    const struct store_record *r) {
    const void *at = (const char *)r + k->at;
    put_text(p, k->name);
    switch (k->type) {
    case T_TEXT: put_text(p, *(const char *const *)at); return;
    case T_DIMS: put_dims(p, r); return;
    case T_FIELDS: put_fields(p, r); return;
    case T_REAL: msgpack_pack_double(p, *(const double *)at); return;
    case T_COUNT: msgpack_pack_uint64(p, *(const uint64_t *)at); return;
    case T_DAYS: msgpack_pack_int64(p, *(const int64_t *)at); return;
    }
}

void record_encode(const struct store_record *r, struct arena *a, char **out, size_t *n) {
    struct text t = {.arena = a};
    msgpack_packer p;
    msgpack_packer_init(&p, &t, write_some);
    msgpack_pack_map(&p, COUNT(KEYS) + 1);
    put_text(&p, "v");
    msgpack_pack_int(&p, STORE_VERSION);
    for (size_t i = 0; i < COUNT(KEYS); i++) put_key(&p, &KEYS[i], r);
    *out = t.at;
    *n = t.n;
}
