// Stored tensors: TensorProto to dense f32 or i64, with every size checked against the
// bytes that are really there: in the network's own file, in a data file beside it, or in
// the message itself.
#include "frontend/onnx/onnx.h"

#include <math.h>

#define DT(name) ONNX__TENSOR_PROTO__DATA_TYPE__##name

// Data types ddg reads: bytes an element in raw_data, and what it becomes.
static const struct data_type {
    int64_t id;
    const char *name;
    size_t bytes; // 0: not supported
    enum elem elem;
} DATA_TYPES[] = {
    {DT(FLOAT), "float", 4, ELEM_F32},
    {DT(FLOAT16), "float16", 2, ELEM_F32},
    {DT(BFLOAT16), "bfloat16", 2, ELEM_F32},
    {DT(DOUBLE), "double", 8, ELEM_F32},
    {DT(INT64), "int64", 8, ELEM_I64},
    {DT(INT32), "int32", 4, ELEM_I64},
    {DT(BOOL), "bool", 1, ELEM_I64},
    {DT(INT8), "int8", 0, ELEM_I64},
    {DT(UINT8), "uint8", 0, ELEM_I64},
    {DT(INT16), "int16", 0, ELEM_I64},
    {DT(UINT16), "uint16", 0, ELEM_I64},
    {DT(UINT32), "uint32", 0, ELEM_I64},
    {DT(UINT64), "uint64", 0, ELEM_I64},
    {DT(STRING), "string", 0, ELEM_I64},
    {DT(COMPLEX64), "complex64", 0, ELEM_F32},
    {DT(COMPLEX128), "complex128", 0, ELEM_F32},
};

static const struct data_type *find_type(int64_t id) {
    for (size_t i = 0; i < COUNT(DATA_TYPES); i++)
        if (DATA_TYPES[i].id == id) return &DATA_TYPES[i];
    return NULL;
}

bool onnx_elem(int64_t data_type, enum elem *out) {
    const struct data_type *t = find_type(data_type);
    if (!t || !t->bytes) return false;
    *out = t->elem;
    return true;
}

const char *onnx_elem_name(int64_t data_type) {
    const struct data_type *t = find_type(data_type);
    return t ? t->name : "an unknown type";
}

size_t onnx_elem_bytes(int64_t data_type) {
    const struct data_type *t = find_type(data_type);
    return t ? t->bytes : 0;
}

struct reading {
    const Onnx__TensorProto *t;
    const char *what;
    struct onnx_disk *disk;
    struct arena *arena;
    const struct onnx_log *log;
    const struct data_type *dt;
    size_t count;
    // Where its little-endian elements are; NULL: they are in the typed field.
    const struct onnx_disk_file *file;
    size_t at; // in the file
};

// ---- shape and size ------------------------------------------------------------------
static bool read_dims(struct reading *r, struct type *out) {
    size_t dim[TYPE_MAX_RANK];
    if (r->t->n_dims > TYPE_MAX_RANK)
        return onnx_fail(r->log, "%s has %zu dimensions; at most %d are supported",
                         r->what, r->t->n_dims, TYPE_MAX_RANK);
    for (size_t i = 0; i < r->t->n_dims; i++) {
        if (r->t->dims[i] < 0 || r->t->dims[i] > (int64_t)TYPE_MAX_COUNT)
            return onnx_fail(r->log, "%s has a dimension of %lld", r->what,
                             (long long)r->t->dims[i]);
        dim[i] = (size_t)r->t->dims[i];
    }
    *out = type_tensor(r->dt->elem, false, (uint32_t)r->t->n_dims, dim);
    if (!type_count_ok(out))
        return onnx_fail(r->log, "%s has too many elements (%s)", r->what,
                         type_str(r->arena, out));
    r->count = type_count(out);
    return true;
}

// How many elements are stored in the field that this data type uses.
static size_t typed_count(const struct reading *r) {
    switch (r->dt->id) {
    case DT(FLOAT): return r->t->n_float_data;
    case DT(DOUBLE): return r->t->n_double_data;
    case DT(INT64): return r->t->n_int64_data;
    default: return r->t->n_int32_data; // int32, bool, float16, bfloat16
    }
}

// Where a skeleton says that raw data lies (wire.c).
static struct onnx_place raw_place(const Onnx__TensorProto *t) {
    struct onnx_place place = {0, 0};
    if (!t->has_raw_data) return place;
    CHECK(t->raw_data.len == sizeof place);
    memcpy(&place, t->raw_data.data, sizeof place);
    return place;
}

static bool wrong_size(const struct reading *r, size_t has) {
    return onnx_fail(r->log, "%s should take %zu bytes (%zu of %s) and has %zu", r->what,
                     r->count * r->dt->bytes, r->count, r->dt->name, has);
}

static bool is_external(const Onnx__TensorProto *t) {
    return t->n_external_data ||
           (t->has_data_location &&
            t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL);
}

static const char *external_key(const Onnx__TensorProto *t, const char *key) {
    for (size_t i = 0; i < t->n_external_data; i++) {
        const Onnx__StringStringEntryProto *e = t->external_data[i];
        if (e->key && strcmp(e->key, key) == 0) return e->value ? e->value : "";
    }
    return NULL;
}

// A size in decimal digits; the fallback when the key is missing.
static bool external_size(const struct reading *r, const char *key, size_t fallback,
                          size_t *out) {
    const char *s = external_key(r->t, key);
    *out = fallback;
    if (!s) return true;
    size_t v = 0, digits = strspn(s, "0123456789");
    bool ok = digits > 0 && !s[digits];
    for (const char *p = s; ok && *p; p++)
        ok = size_mul(v, 10, &v) && size_add(v, (size_t)(*p - '0'), &v);
    *out = v;
    return ok || onnx_fail(r->log, "%s is kept in another file, with %s = `%s`", r->what,
                           key, onnx_text(r->log, s));
}

// Elements in a data file. Its checksum, which few writers give, is not looked at.
static bool find_external(struct reading *r) {
    size_t bytes = r->count * r->dt->bytes, length, end;
    struct onnx_disk_file *f;
    if (typed_count(r) || (r->t->has_raw_data && raw_place(r->t).size))
        return onnx_fail(r->log, "%s is stored twice", r->what);
    if (!external_size(r, "offset", 0, &r->at) ||
        !external_size(r, "length", bytes, &length) ||
        !onnx_disk_data(r->disk, r->what, external_key(r->t, "location"), &f))
        return false;
    if (length != bytes) return wrong_size(r, length);
    size_t has = (size_t)f->st.st_size;
    if (!size_add(r->at, bytes, &end) || end > has) {
        onnx_fail(r->log,
                  "%s takes %zu bytes from byte %zu on of the file `%s`, which has %zu",
                  r->what, bytes, r->at, onnx_text(r->log, f->name), has);
        return diag_help(r->log->d, "that file is cut short, or of another export");
    }
    r->file = f;
    return onnx_disk_take(r->disk, r->what, bytes);
}

static bool find_elements(struct reading *r) {
    if (r->t->segment) return onnx_fail(r->log, "%s is stored in segments", r->what);
    if (is_external(r->t)) return find_external(r);
    size_t bytes = r->count * r->dt->bytes, typed = typed_count(r);
    struct onnx_place raw = raw_place(r->t);
    if (r->t->has_raw_data && typed == 0) {
        r->file = &r->disk->model;
        r->at = raw.at;
        return raw.size == bytes || wrong_size(r, raw.size);
    }
    if (raw.size) return onnx_fail(r->log, "%s is stored twice", r->what);
    if (typed == r->count) return true;
    return onnx_fail(r->log, "%s should have %zu elements and has %zu", r->what, r->count,
                     typed);
}

// ---- elements ------------------------------------------------------------------------
#define PIECE ((size_t)1 << 12) // elements of a file that are widened at a time

static float f32_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float f32_of_half(uint16_t h) {
    uint32_t sign = (uint32_t)(h >> 15) << 31;
    uint32_t exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31) return f32_of_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent) return f32_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float tiny = (float)fraction * 0x1p-24f; // exact
    return sign ? -tiny : tiny;
}

// Elements as they are stored: half floats and bools of a typed field are int32 there.
union stored {
    const void *at;
    const uint8_t *u8;
    const uint16_t *u16;
    const int32_t *i32;
    const double *f64;
};

static void widen(const struct reading *r, union stored in, size_t n, void *to) {
    bool raw = r->file;
    float *f = to;
    int64_t *v = to;
    switch (r->dt->id) {
    case DT(FLOAT16):
        for (size_t i = 0; i < n; i++)
            f[i] = f32_of_half(raw ? in.u16[i] : (uint16_t)in.i32[i]);
        return;
    case DT(BFLOAT16):
        for (size_t i = 0; i < n; i++)
            f[i] = f32_of_bits((uint32_t)(raw ? in.u16[i] : (uint16_t)in.i32[i]) << 16);
        return;
    case DT(DOUBLE):
        for (size_t i = 0; i < n; i++) f[i] = (float)in.f64[i];
        return;
    case DT(INT32):
        for (size_t i = 0; i < n; i++) v[i] = in.i32[i];
        return;
    case DT(BOOL):
        for (size_t i = 0; i < n; i++) v[i] = raw ? in.u8[i] != 0 : in.i32[i] != 0;
        return;
    default: BUG("%s is not widened", r->dt->name);
    }
}

static const void *typed_elements(const struct reading *r) {
    switch (r->dt->id) {
    case DT(FLOAT): return r->t->float_data;
    case DT(DOUBLE): return r->t->double_data;
    case DT(INT64): return r->t->int64_data;
    default: return r->t->int32_data;
    }
}

static bool is_widened(const struct data_type *dt) {
    return dt->id != DT(FLOAT) && dt->id != DT(INT64);
}

static bool read_in_pieces(const struct reading *r, void *to) {
    double piece[PIECE]; // of elements of up to 8 bytes
    char *out = to;
    size_t bytes = r->dt->bytes, wide = elem_size(r->dt->elem);
    for (size_t i = 0, n; i < r->count; i += n) {
        n = size_min(PIECE, r->count - i);
        if (!onnx_disk_read(r->disk, r->file, r->at + i * bytes, piece, n * bytes))
            return false;
        widen(r, (union stored){piece}, n, out + i * wide);
    }
    return true;
}

static const int64_t NO_ELEMENTS[1];

// Each element is in memory once: read to where it stays, or left in the typed field.
static bool read_elements(const struct reading *r, const void **out) {
    *out = NO_ELEMENTS;
    if (r->count == 0) return true;
    if (!r->file && !is_widened(r->dt)) {
        *out = typed_elements(r);
        return true;
    }
    void *to = arena_raw(r->arena, r->count, elem_size(r->dt->elem));
    *out = to;
    if (!r->file) widen(r, (union stored){typed_elements(r)}, r->count, to);
    else if (is_widened(r->dt)) return read_in_pieces(r, to);
    else return onnx_disk_read(r->disk, r->file, r->at, to, r->count * r->dt->bytes);
    return true;
}

#define AT_ONCE ((size_t)256)

// Whether all of AT_ONCE numbers are finite, without a branch for each.
static bool all_finite(const float *v) {
    const uint32_t exponent = 0x7f800000;
    uint32_t bits, bad = 0;
    for (size_t i = 0; i < AT_ONCE; i++) {
        memcpy(&bits, &v[i], sizeof bits);
        bad |= (bits & exponent) == exponent;
    }
    return !bad;
}

static bool check_finite(const struct reading *r, const float *v) {
    size_t i = 0;
    while (r->count - i >= AT_ONCE && all_finite(v + i)) i += AT_ONCE;
    for (; i < r->count; i++)
        if (!isfinite(v[i]))
            return onnx_fail(r->log,
                             "%s has a value that is not finite in f32 (element %zu)",
                             r->what, i);
    return true;
}

// The numbers that stand for the batch size must not come from the file.
static bool check_integers(const struct reading *r, const int64_t *v) {
    for (size_t i = 0; i < r->count; i++)
        if (onnx_is_batch(v[i]))
            return onnx_fail(r->log, "%s holds an absurd number (element %zu)", r->what,
                             i);
    return true;
}

bool onnx_tensor_read(const Onnx__TensorProto *t, const char *what,
                      struct onnx_disk *disk, struct arena *arena,
                      const struct onnx_log *log, struct onnx_tensor *out) {
    int64_t id = t->has_data_type ? t->data_type : DT(UNDEFINED);
    struct reading r = {t, what, disk, arena, log, find_type(id), 0, NULL, 0};
    if (!r.dt || !r.dt->bytes)
        return onnx_fail(log,
                         "%s is of type %s; ddg reads float, float16, bfloat16, double, "
                         "int32, int64 and bool",
                         what, onnx_elem_name(id));
    if (!read_dims(&r, &out->type) || !find_elements(&r) ||
        !read_elements(&r, &out->data))
        return false;
    bool ok = r.dt->elem == ELEM_I64 ? check_integers(&r, out->data)
                                     : check_finite(&r, out->data);
    if (ok) out->digest = data_digest(&out->type, out->data);
    return ok;
}
