// See record.h. Written with msgpack's packer; read within bounds (base/unpack.h). Both
// ways go by one table of the keys, which all must be there, once, the version first.
#include "runtime/store/record.h"

#include "runtime/base/unpack.h"

#include <math.h>
#include <msgpack.h>

#define MAX_DAYS INT64_C(100000000) // some 270,000 years, for sums that cannot overflow

// ---- the key -------------------------------------------------------------------------
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

// ---- elements ------------------------------------------------------------------------
static bool read_real(struct unpack *u, const char *what, double *out) {
    if (!unpack_real(u, what, out)) return false;
    if (isfinite(*out) && *out >= 0) return true;
    return unpack_fail(u, "`%s` is %g", what, *out);
}

static bool read_days(struct unpack *u, const char *what, int64_t *out) {
    uint64_t n;
    if (!unpack_count(u, what, UINT64_MAX, &n)) return false;
    if (n > MAX_DAYS) return unpack_fail(u, "`%s` is no date", what);
    *out = (int64_t)n;
    return true;
}

// ---- what is made of elements --------------------------------------------------------
static bool read_dims(struct unpack *u, struct store_record *to) {
    uint64_t d;
    size_t n;
    if (!unpack_list(u, "dim", 1, &n)) return false;
    if (n > COUNT(to->dim)) return unpack_fail(u, "a value of too many dimensions");
    size_t all = sizeof(double) * 2; // of an element, at most
    for (size_t i = 0; i < n; i++) {
        if (!unpack_count(u, "dim", SIZE_MAX, &d)) return false;
        to->dim[i] = (size_t)d;
        // A size of 0 hides no other that is out of bounds.
        if (!size_mul(all, size_max(to->dim[i], 1), &all))
            return unpack_fail(u, "a value larger than memory");
    }
    to->rank = n;
    return true;
}

static bool read_field(struct unpack *u, struct store_field *to) {
    size_t n;
    if (!unpack_list(u, "field", 1, &n)) return false;
    if (n != 3) return unpack_fail(u, "a field of %zu parts", n);
    if (!unpack_text(u, "field", &to->name)) return false;
    if (!unpack_text(u, "value", &to->value)) return false;
    return unpack_nil(u) || unpack_text(u, "label", &to->label);
}

static bool read_fields(struct unpack *u, struct store_record *to) {
    enum { FIELD_LEAST = 4 }; // bytes of a field: its header and three elements
    size_t n;
    if (!unpack_list(u, "fields", FIELD_LEAST, &n)) return false;
    if (n > RECORD_MAX_FIELDS) return unpack_fail(u, "%zu fields", n);
    struct store_field *fields = NEW_N(u->arena, struct store_field, n);
    for (size_t i = 0; i < n; i++)
        if (!read_field(u, &fields[i])) return false;
    to->fields = fields;
    to->nfields = n;
    return true;
}

// ---- the whole record ----------------------------------------------------------------
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

static bool read_key(struct unpack *u, const struct key *k, struct store_record *to) {
    void *at = (char *)to + k->at;
    switch (k->type) {
    case T_TEXT: return unpack_text(u, k->name, at);
    case T_DIMS: return read_dims(u, to);
    case T_FIELDS: return read_fields(u, to);
    case T_REAL: return read_real(u, k->name, at);
    case T_COUNT: return unpack_count(u, k->name, UINT64_MAX, at);
    case T_DAYS: return read_days(u, k->name, at);
    }
    BUG("key %s", k->name);
}

static const struct key *find_key(const char *name) {
    for (size_t i = 0; i < COUNT(KEYS); i++)
        if (strcmp(KEYS[i].name, name) == 0) return &KEYS[i];
    return NULL;
}

static bool read_version(struct unpack *u) {
    const char *name;
    uint64_t version;
    if (!unpack_text(u, "key", &name)) return false;
    if (strcmp(name, "v") != 0)
        return unpack_fail(u, "it does not begin with its version");
    if (!unpack_count(u, "v", UINT64_MAX, &version)) return false;
    if (version == STORE_VERSION) return true;
    return unpack_fail(u, "it is of version %llu, not %d", (unsigned long long)version,
                       STORE_VERSION);
}

static bool read_member(struct unpack *u, unsigned *seen, struct store_record *to) {
    const char *name;
    if (!unpack_text(u, "key", &name)) return false;
    const struct key *k = find_key(name);
    if (!k) return unpack_fail(u, "unknown key `%.40s`", name);
    if (*seen & 1u << (k - KEYS)) return unpack_fail(u, "`%s` is there twice", name);
    *seen |= 1u << (k - KEYS);
    return read_key(u, k, to);
}

static bool read_record(struct unpack *u, struct store_record *to) {
    struct unpack_head h;
    unsigned seen = 0;
    if (!unpack_head(u, &h)) return false;
    if (h.kind != UNPACK_MAP) return unpack_fail(u, "`record` is not a map");
    if (h.n == 0) return unpack_fail(u, "it is empty");
    if (!read_version(u)) return false;
    for (uint64_t i = 1; i < h.n; i++)
        if (!read_member(u, &seen, to)) return false;
    for (size_t i = 0; i < COUNT(KEYS); i++)
        if (!(seen & 1u << i)) return unpack_fail(u, "`%s` is missing", KEYS[i].name);
    return !unpack_left(u) || unpack_fail(u, "more follows than a record");
}

bool record_decode(const char *data, size_t n, struct arena *a, struct store_record *r,
                   const char **why) {
    struct unpack u;
    *r = (struct store_record){0};
    *why = "it is too large";
    if (n > RECORD_MAX_BYTES) return false;
    unpack_begin(&u, a, data, n);
    bool ok = read_record(&u, r);
    *why = u.why; // NULL, unless something failed
    if (ok) r->key = store_record_key(r);
    return ok;
}

// ---- writing -------------------------------------------------------------------------
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
