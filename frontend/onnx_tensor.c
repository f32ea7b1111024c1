// Stored tensors: TensorProto to dense f32 or i64, with every size checked against the
// bytes that are really there.
#include "frontend/onnx.h"

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

struct reading {
    const Onnx__TensorProto *t;
    const char *what;
    struct arena *arena;
    const struct onnx_log *log;
    const struct data_type *dt;
    size_t count;
    const uint8_t *raw; // little-endian elements; NULL: they are in the typed field
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

static bool check_place(const struct reading *r) {
    const Onnx__TensorProto *t = r->t;
    bool external = t->has_data_location &&
                    t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    if (external || t->n_external_data) {
        onnx_fail(r->log,
                  "%s is kept in another file (external data), which ddg does not "
                  "read",
                  r->what);
        return diag_help(r->log->d,
                         "save the network in one file: onnx.save(model, path, "
                         "save_as_external_data=False)");
    }
    if (t->segment) return onnx_fail(r->log, "%s is stored in segments", r->what);
    return true;
}

static bool find_elements(struct reading *r) {
    size_t bytes = r->count * r->dt->bytes, typed = typed_count(r);
    if (r->t->has_raw_data && typed == 0) {
        r->raw = r->t->raw_data.data;
        if (r->t->raw_data.len == bytes) return true;
        return onnx_fail(r->log, "%s should take %zu bytes (%zu of %s) and has %zu",
                         r->what, bytes, r->count, r->dt->name, r->t->raw_data.len);
    }
    if (r->t->has_raw_data && r->t->raw_data.len)
        return onnx_fail(r->log, "%s is stored twice", r->what);
    if (typed == r->count) return true;
    return onnx_fail(r->log, "%s should have %zu elements and has %zu", r->what, r->count,
                     typed);
}

// ---- elements ------------------------------------------------------------------------
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

static uint16_t half_at(const struct reading *r, size_t i) {
    if (!r->raw) return (uint16_t)r->t->int32_data[i];
    uint16_t v;
    memcpy(&v, r->raw + i * sizeof v, sizeof v);
    return v;
}

static double double_at(const struct reading *r, size_t i) {
    if (!r->raw) return r->t->double_data[i];
    double v;
    memcpy(&v, r->raw + i * sizeof v, sizeof v);
    return v;
}

static int32_t int32_at(const struct reading *r, size_t i) {
    if (!r->raw) return r->t->int32_data[i];
    int32_t v;
    memcpy(&v, r->raw + i * sizeof v, sizeof v);
    return v;
}

static int64_t bool_at(const struct reading *r, size_t i) {
    return r->raw ? r->raw[i] != 0 : r->t->int32_data[i] != 0;
}

static void read_floats(const struct reading *r, float *out) {
    switch (r->dt->id) {
    case DT(FLOAT16):
        for (size_t i = 0; i < r->count; i++) out[i] = f32_of_half(half_at(r, i));
        return;
    case DT(BFLOAT16):
        for (size_t i = 0; i < r->count; i++)
            out[i] = f32_of_bits((uint32_t)half_at(r, i) << 16);
        return;
    case DT(DOUBLE):
        for (size_t i = 0; i < r->count; i++) out[i] = (float)double_at(r, i);
        return;
    default: BUG("%s is no float type", r->dt->name);
    }
}

static void read_integers(const struct reading *r, int64_t *out) {
    const void *stored = r->raw ? (const void *)r->raw : r->t->int64_data;
    switch (r->dt->id) {
    case DT(INT64):
        if (r->count) memcpy(out, stored, r->count * sizeof *out);
        return;
    case DT(INT32):
        for (size_t i = 0; i < r->count; i++) out[i] = int32_at(r, i);
        return;
    case DT(BOOL):
        for (size_t i = 0; i < r->count; i++) out[i] = bool_at(r, i);
        return;
    default: BUG("%s is no integer type", r->dt->name);
    }
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

static const float NO_ELEMENTS[1];

bool onnx_tensor_read(const Onnx__TensorProto *t, const char *what, struct arena *arena,
                      const struct onnx_log *log, struct onnx_tensor *out) {
    int64_t id = t->has_data_type ? t->data_type : DT(UNDEFINED);
    struct reading r = {t, what, arena, log, find_type(id), 0, NULL};
    if (!r.dt || !r.dt->bytes)
        return onnx_fail(log,
                         "%s is of type %s; ddg reads float, float16, bfloat16, double, "
                         "int32, int64 and bool",
                         what, onnx_elem_name(id));
    if (!check_place(&r) || !read_dims(&r, &out->type) || !find_elements(&r))
        return false;
    if (id == DT(FLOAT)) { // used where it lies
        out->data = r.count == 0 ? NO_ELEMENTS
                    : r.raw      ? (const void *)r.raw
                                 : t->float_data;
        return check_finite(&r, out->data);
    }
    void *data = arena_alloc(arena, size_max(r.count, 1), elem_size(r.dt->elem));
    out->data = data;
    if (r.dt->elem == ELEM_I64) {
        read_integers(&r, data);
        return check_integers(&r, data);
    }
    read_floats(&r, data);
    return check_finite(&r, data);
}
