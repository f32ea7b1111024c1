// Types: element sizes, names, counts and the text of a type. See type.h.
#include "ir/type.h"

static const struct {
    const char *name;
    size_t size;
} ELEMS[ELEM_COUNT] = {
    [ELEM_F32] = {"f32", 4}, [ELEM_I32] = {"i32", 4}, [ELEM_I64] = {"i64", 8},
    [ELEM_U8] = {"u8", 1},   [ELEM_U64] = {"u64", 8}, [ELEM_BF16] = {"bf16", 2},
};

static const char *const KINDS[KIND_COUNT] = {
    [KIND_NONE] = "none",       [KIND_TENSOR] = "tensor",
    [KIND_IMAGES] = "images",   [KIND_MAPS] = "maps",
    [KIND_SCORES] = "scores",   [KIND_LABELS] = "labels",
    [KIND_BOXES] = "boxes",     [KIND_MODEL] = "model",
    [KIND_ASK] = "answers",     [KIND_AUGMENT] = "augmentation",
    [KIND_MEASURE] = "measure",
};

size_t elem_size(enum elem e) {
    CHECK(e < ELEM_COUNT);
    return ELEMS[e].size;
}

const char *elem_name(enum elem e) {
    CHECK(e < ELEM_COUNT);
    return ELEMS[e].name;
}

bool elem_from_name(const char *name, size_t n, enum elem *out) {
    for (size_t i = 0; i < ELEM_COUNT; i++) {
        if (strlen(ELEMS[i].name) != n || memcmp(ELEMS[i].name, name, n) != 0) continue;
        *out = (enum elem)i;
        return true;
    }
    return false;
}

const char *kind_name(enum kind k) {
    CHECK(k < KIND_COUNT);
    return KINDS[k];
}

static const char *kind_words(enum kind k) {
    switch (k) {
    case KIND_TENSOR: return "a tensor";
    case KIND_MODEL: return "a model";
    case KIND_ASK: return "answers of a teacher (`ask`)";
    case KIND_AUGMENT: return "an augmentation";
    case KIND_MEASURE: return "a measure";
    default: return kind_name(k);
    }
}

const char *kind_set_text(struct arena *a, uint32_t kinds) {
    struct text t = {.arena = a};
    for (uint32_t k = 0; k < KIND_COUNT; k++) {
        if (!(kinds >> k & 1)) continue;
        uint32_t later = kinds >> k >> 1;
        text_add(&t, "%s%s",
                 t.n == 0 ? ""
                 : later  ? ", "
                          : " or ",
                 kind_words((enum kind)k));
    }
    return t.at;
}

struct type type_tensor(enum elem e, bool rows, uint32_t rank, const size_t *dim) {
    CHECK(rank <= TYPE_MAX_RANK);
    struct type t = {.kind = KIND_TENSOR, .elem = e, .rows = rows, .rank = rank};
    for (uint32_t i = 0; i < rank; i++) t.dim[i] = dim[i];
    return t;
}

struct type type_scalar(enum elem e, bool rows) {
    return type_tensor(e, rows, 0, NULL);
}

size_t type_count(const struct type *t) {
    size_t n;
    CHECK(size_product(t->dim, t->rank, &n));
    return n;
}

size_t type_bytes(const struct type *t) {
    size_t n;
    CHECK(size_mul(type_count(t), elem_size(t->elem), &n));
    return n;
}

bool type_count_ok(const struct type *t) {
    if (t->rank > TYPE_MAX_RANK) return false;
    size_t n = 1;
    // A dimension of 0 must not hide others whose product overflows.
    for (uint32_t i = 0; i < t->rank; i++)
        if (!size_mul(n, size_max(t->dim[i], 1), &n) || n > TYPE_MAX_COUNT) return false;
    return true;
}

bool type_same_shape(const struct type *a, const struct type *b) {
    if (a->rank != b->rank) return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

bool type_eq(const struct type *a, const struct type *b) {
    return a->kind == b->kind && a->elem == b->elem && a->rows == b->rows &&
           a->classes == b->classes && type_same_shape(a, b);
}

static void print_dims(const struct type *t, struct text *out) {
    for (uint32_t i = 0; i < t->rank; i++) text_add(out, i ? ",%zu" : "%zu", t->dim[i]);
}

void type_print(const struct type *t, struct text *out) {
    switch (t->kind) {
    case KIND_TENSOR:
        text_add(out, "%s%s[", t->rows ? "rows " : "", elem_name(t->elem));
        print_dims(t, out);
        text_add(out, "]");
        return;
    case KIND_IMAGES:
    case KIND_MAPS:
    case KIND_LABELS:
        text_add(out, "%s[", kind_name(t->kind));
        print_dims(t, out);
        text_add(out, "]");
        return;
    case KIND_MEASURE:
        text_add(out, t->rank ? "measure[" : "measure");
        print_dims(t, out);
        if (t->rank) text_add(out, "]");
        return;
    case KIND_MODEL:
    case KIND_ASK:
        text_add(out, "%s[", kind_name(t->kind));
        print_dims(t, out);
        text_add(out, " -> %zu]", t->classes);
        return;
    case KIND_NONE:
    case KIND_SCORES:
    case KIND_AUGMENT:
    case KIND_BOXES: text_add(out, "%s", kind_name(t->kind)); return;
    case KIND_COUNT: break;
    }
    BUG("type of unknown kind %d", (int)t->kind);
}

const char *type_str(struct arena *a, const struct type *t) {
    struct text out = {.arena = a};
    type_print(t, &out);
    return out.at;
}
