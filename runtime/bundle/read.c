// See read.h. The tables of shape.h say what comes next; what is said is put where they
// say. Counts are believed as far as the bytes that are left could hold so many, places
// in the bundle as far as they lie in it, numbers of sources, formulas and kernels as far
// as there are so many. What a plan says of itself is plan_check.c's to check.
#include "runtime/bundle/read.h"

#include "runtime/base/unpack.h"
#include "runtime/bundle/shape.h"

struct reading {
    struct unpack u;
    struct arena *arena;
    const struct bundle_view *view;
    size_t consts_at, consts_bytes; // without the PLAN_SLACK behind the last
    // Of the variant at hand.
    const struct bundle_variant *variant;
    const struct source *const *sources;
    size_t nsources;
    struct formula *const *formulas; // those read so far
    size_t nformulas;
};

static bool read_struct(struct reading *r, const struct shape *s, void *to);

// ---- members -------------------------------------------------------------------------
static bool read_text(struct reading *r, const struct field *f, const char **to) {
    if (f->maybe && unpack_nil(&r->u)) return true;
    if (!unpack_text(&r->u, f->name, to)) return false;
    return strlen(*to) <= BUNDLE_MAX_TEXT ||
           unpack_fail(&r->u, "`%s` is a text of %zu bytes", f->name, strlen(*to));
}

static bool read_index(struct reading *r, const char *what, size_t most, uint32_t *to) {
    uint64_t n;
    if (!unpack_count(&r->u, what, most, &n)) return false;
    *to = (uint32_t)n;
    return true;
}

static bool read_enum(struct reading *r, const struct field *f, void *to) {
    uint32_t n;
    if (!read_index(r, f->name, f->most, &n)) return false;
    memcpy(to, &n, sizeof n);
    return true;
}

// A list of exactly n elements.
static bool read_tuple(struct reading *r, const char *what, size_t n) {
    size_t count;
    if (!unpack_list(&r->u, what, 1, &count)) return false;
    return count == n ||
           unpack_fail(&r->u, "`%s` has %zu parts, not %zu", what, count, n);
}

static bool read_span(struct reading *r, const char *what, struct span *to) {
    uint32_t file;
    if (!read_tuple(r, what, 3)) return false;
    if (!unpack_nil(&r->u)) {
        if (!read_index(r, what, UINT32_MAX, &file)) return false;
        if (file >= r->nsources)
            return unpack_fail(&r->u, "`%s` is in source %u of %zu", what, file,
                               r->nsources);
        to->file = r->sources[file];
    }
    if (!read_index(r, what, UINT32_MAX, &to->start)) return false;
    if (!read_index(r, what, UINT32_MAX, &to->end)) return false;
    if (to->start <= to->end && (!to->file || to->end <= to->file->n)) return true;
    return unpack_fail(&r->u, "`%s` is not in its source", what);
}

// [where, bytes] within `room` bytes from `start`; the address in *to.
static bool read_block(struct reading *r, const char *what, size_t start, size_t room,
                       size_t align, const char **to, size_t *bytes) {
    uint64_t at, n;
    if (!read_tuple(r, what, 2) || !unpack_count(&r->u, what, SIZE_MAX, &at) ||
        !unpack_count(&r->u, what, SIZE_MAX, &n))
        return false;
    if (at < start || at - start > room || n > room - (at - start) || at % align)
        return unpack_fail(&r->u, "`%s` is not where it may be", what);
    *to = r->view->base + at;
    *bytes = (size_t)n;
    return true;
}

static bool read_kernel(struct reading *r, const char *what, const char **symbol,
                        size_t *entry) {
    const struct bundle_variant *v = r->variant;
    uint64_t n;
    if (unpack_nil(&r->u)) return true;
    if (!unpack_count(&r->u, what, SIZE_MAX, &n)) return false;
    if (n >= v->nkernels)
        return unpack_fail(&r->u, "kernel %llu of %zu is called", (unsigned long long)n,
                           v->nkernels);
    *symbol = v->kernels[n].symbol;
    *entry = v->kernels[n].entry;
    return true;
}

// ---- lists ---------------------------------------------------------------------------
// The least bytes of a structure: its map, its keys, and a byte for each member.
static size_t least_bytes(const struct shape *s) {
    size_t n = 1;
    for (size_t i = 0; i < s->nfields; i++)
        if (s->fields[i].kind != FIELD_NONE) n += strlen(s->fields[i].name) + 2;
    return n;
}

static void list_done(const struct field *f, void *to, void *at, size_t n) {
    memcpy(field_in(f, to), &at, sizeof at);
    memcpy((char *)to + f->count, &n, sizeof n);
    if (f->cap) memcpy((char *)to + f->cap, &n, sizeof n);
}

static bool read_list(struct reading *r, const struct field *f, void *to) {
    size_t n;
    if (!unpack_list(&r->u, f->name, least_bytes(f->of), &n)) return false;
    char *at = arena_alloc(r->arena, n, f->of->size);
    for (size_t i = 0; i < n; i++)
        if (!read_struct(r, f->of, at + i * f->of->size)) return false;
    list_done(f, to, at, n);
    return true;
}

static bool read_indices(struct reading *r, const struct field *f, void *to) {
    size_t n;
    if (!unpack_list(&r->u, f->name, 1, &n)) return false;
    uint32_t *at = NEW_N(r->arena, uint32_t, n);
    for (size_t i = 0; i < n; i++)
        if (!read_index(r, f->name, UINT32_MAX, &at[i])) return false;
    list_done(f, to, at, n);
    return true;
}

static bool read_inline(struct reading *r, const struct field *f, size_t *n) {
    if (!unpack_list(&r->u, f->name, 1, n)) return false;
    return *n <= f->most || unpack_fail(&r->u, "`%s` has %zu numbers", f->name, *n);
}

static bool read_sizes(struct reading *r, const struct field *f, size_t *to) {
    size_t n;
    if (!read_inline(r, f, &n)) return false;
    for (size_t i = 0; i < n; i++) {
        uint64_t v;
        if (!unpack_count(&r->u, f->name, BUNDLE_MAX_BYTES, &v)) return false;
        to[i] = (size_t)v;
    }
    return true;
}

static bool read_reals(struct reading *r, const struct field *f, double *to) {
    size_t n;
    if (!read_inline(r, f, &n)) return false;
    for (size_t i = 0; i < n; i++)
        if (!unpack_real(&r->u, f->name, &to[i])) return false;
    return true;
}

static bool read_source(struct reading *r, struct source *to) {
    return read_tuple(r, "source", 2) && unpack_text(&r->u, "path", &to->path) &&
           unpack_bytes(&r->u, "text", &to->text, &to->n);
}

static bool read_sources(struct reading *r, const struct field *f, void *to) {
    enum { LEAST = 3 }; // bytes of a source
    size_t n;
    if (!unpack_list(&r->u, f->name, LEAST, &n)) return false;
    struct source *all = NEW_N(r->arena, struct source, n);
    const struct source **at = NEW_N(r->arena, const struct source *, n);
    for (size_t i = 0; i < n; i++) {
        if (!read_source(r, &all[i])) return false;
        at[i] = &all[i];
    }
    r->sources = at;
    r->nsources = n;
    list_done(f, to, at, n);
    return true;
}

// ---- values and formulas -------------------------------------------------------------
static bool read_formula(struct reading *r, const char *what, const struct formula **to) {
    uint64_t n;
    if (unpack_nil(&r->u)) return true;
    if (!unpack_count(&r->u, what, SIZE_MAX, &n)) return false;
    if (n >= r->nformulas)
        return unpack_fail(&r->u, "`%s` is formula %llu of %zu", what,
                           (unsigned long long)n, r->nformulas);
    *to = r->formulas[n];
    return true;
}

static bool read_formulas(struct reading *r, const struct field *f, void *to) {
    size_t n;
    if (!unpack_list(&r->u, f->name, 1, &n)) return false;
    const struct formula **at = NEW_N(r->arena, const struct formula *, n);
    for (size_t i = 0; i < n; i++) {
        if (!read_formula(r, f->name, &at[i])) return false;
        if (!at[i]) return unpack_fail(&r->u, "an item of a formula is missing");
    }
    list_done(f, to, at, n);
    return true;
}

static bool read_ints(struct reading *r, const char *what, struct value *v) {
    if (!unpack_list(&r->u, what, 1, &v->n)) return false;
    int64_t *at = NEW_N(r->arena, int64_t, v->n);
    for (size_t i = 0; i < v->n; i++)
        if (!unpack_int(&r->u, what, &at[i])) return false;
    v->is = at;
    return true;
}

static bool read_floats(struct reading *r, const char *what, struct value *v) {
    enum { LEAST = 9 }; // bytes of a real
    if (!unpack_list(&r->u, what, LEAST, &v->n)) return false;
    double *at = NEW_N(r->arena, double, v->n);
    for (size_t i = 0; i < v->n; i++)
        if (!unpack_real(&r->u, what, &at[i])) return false;
    v->fs = at;
    return true;
}

static bool read_content(struct reading *r, const struct field *f, struct value *v) {
    static const struct field text = {.name = "value"};
    bool flag;
    switch (v->kind) {
    case VAL_NONE:
        return unpack_nil(&r->u) || unpack_fail(&r->u, "`%s` is not nothing", f->name);
    case VAL_INT: return unpack_int(&r->u, f->name, &v->i);
    case VAL_FLOAT: return unpack_real(&r->u, f->name, &v->f);
    case VAL_STRING: return read_text(r, &text, &v->s);
    case VAL_INTS: return read_ints(r, f->name, v);
    case VAL_FLOATS: return read_floats(r, f->name, v);
    case VAL_BOOL: break;
    }
    if (!unpack_bool(&r->u, f->name, &flag)) return false;
    v->i = flag;
    return true;
}

static bool read_value(struct reading *r, const struct field *f, struct value *to) {
    static const struct field kind = {.name = "kind", .most = VAL_FLOATS};
    return read_tuple(r, f->name, 3) && read_enum(r, &kind, &to->kind) &&
           read_content(r, f, to) && read_formula(r, f->name, &to->of);
}

// ---- by the tables -------------------------------------------------------------------
static bool read_size(struct reading *r, const struct field *f, size_t *to) {
    uint64_t n;
    if (!unpack_count(&r->u, f->name, f->most, &n)) return false;
    *to = (size_t)n;
    return true;
}

static bool read_pointer(struct reading *r, const struct field *f, void *to) {
    if (f->maybe && unpack_nil(&r->u)) return true;
    void *one = arena_alloc(r->arena, 1, f->of->size);
    memcpy(to, &one, sizeof one);
    return read_struct(r, f->of, one);
}

static bool read_field(struct reading *r, const struct field *f, void *in) {
    void *to = field_in(f, in);
    size_t *count = (size_t *)(void *)((char *)in + f->count);
    switch (f->kind) {
    case FIELD_TEXT: return read_text(r, f, to);
    case FIELD_SIZE: return read_size(r, f, to);
    case FIELD_INDEX: return read_index(r, f->name, UINT32_MAX, to);
    case FIELD_BOOL: return unpack_bool(&r->u, f->name, to);
    case FIELD_REAL: return unpack_real(&r->u, f->name, to);
    case FIELD_ENUM: return read_enum(r, f, to);
    case FIELD_SPAN: return read_span(r, f->name, to);
    case FIELD_STRUCT: return read_struct(r, f->of, to);
    case FIELD_POINTER: return read_pointer(r, f, to);
    case FIELD_LIST: return read_list(r, f, in);
    case FIELD_INDICES: return read_indices(r, f, in);
    case FIELD_SIZES: return read_sizes(r, f, to);
    case FIELD_REALS: return read_reals(r, f, to);
    case FIELD_SOURCES: return read_sources(r, f, in);
    case FIELD_VALUE: return read_value(r, f, to);
    case FIELD_FORMULA: return read_formula(r, f->name, to);
    case FIELD_FORMULAS: return read_formulas(r, f, in);
    case FIELD_KERNEL: return read_kernel(r, f->name, to, count);
    case FIELD_CONST:
        return read_block(r, f->name, r->consts_at, r->consts_bytes, 64, to, count);
    case FIELD_CODE:
        return read_block(r, f->name, 0, r->view->bytes, BUNDLE_PAGE, to, count);
    case FIELD_NONE: return true;
    }
    BUG("no such kind of field");
}

static bool read_struct(struct reading *r, const struct shape *s, void *to) {
    size_t n = 0;
    for (size_t i = 0; i < s->nfields; i++) n += s->fields[i].kind != FIELD_NONE;
    if (!unpack_map(&r->u, s->name, n)) return false;
    for (size_t i = 0; i < s->nfields; i++) {
        const struct field *f = &s->fields[i];
        if (f->kind == FIELD_NONE) continue;
        if (!unpack_key(&r->u, f->name) || !read_field(r, f, to)) return false;
    }
    return true;
}

// ---- formulas ------------------------------------------------------------------------
static bool is_operator(const char *op) {
    static const char *const operators[] = {"+", "-", "*", "/", "//", "%"};
    for (size_t i = 0; op && i < COUNT(operators); i++)
        if (!strcmp(op, operators[i])) return true;
    return false;
}

// Whether it has the parts of its kind, and no others.
static bool formula_whole(const struct formula *f) {
    bool pair = f->kind == FORMULA_BINARY, one = pair || f->kind == FORMULA_NEGATE;
    bool items = f->kind == FORMULA_LIST || f->kind == FORMULA_OPAQUE;
    return (f->l != NULL) == one && (f->r != NULL) == pair && !f->value.of &&
           (pair ? is_operator(f->op) : !f->op) && (items || !f->nitems);
}

// Parts were read before, so their sizes are known; each is small, and so are few sums.
static bool formula_part(const struct formula *part, struct formula *whole) {
    if (!part) return true;
    whole->size += part->size;
    whole->depth = size_max(whole->depth, part->depth + 1);
    return part->kind != FORMULA_OPAQUE && whole->size <= FORMULA_MAX_SIZE &&
           whole->depth <= FORMULA_MAX_DEPTH;
}

static bool formula_measure(struct formula *f) {
    f->size = f->depth = 1;
    bool ok = formula_whole(f) && formula_part(f->l, f) && formula_part(f->r, f);
    for (size_t i = 0; ok && i < f->nitems; i++) ok = formula_part(f->items[i], f);
    return ok;
}

static bool read_all_formulas(struct reading *r) {
    size_t n;
    if (!unpack_list(&r->u, "formulas", least_bytes(&shape_formula), &n)) return false;
    struct formula **all = NEW_N(r->arena, struct formula *, n);
    r->formulas = all;
    for (r->nformulas = 0; r->nformulas < n; r->nformulas++) {
        struct formula *f = all[r->nformulas] = NEW(r->arena, struct formula);
        if (!read_struct(r, &shape_formula, f)) return false;
        if (!formula_measure(f))
            return unpack_fail(&r->u, "formula %zu is none", r->nformulas);
    }
    return true;
}

// ---- variants ------------------------------------------------------------------------
static bool check_kernels(struct reading *r, const struct bundle_variant *v) {
    size_t end = 0;
    for (size_t i = 0; i < v->nkernels; i++) {
        const struct bundle_kernel *k = &v->kernels[i];
        if (!k->bytes || k->entry < end || k->entry > v->code_bytes ||
            k->bytes > v->code_bytes - k->entry)
            return unpack_fail(&r->u, "kernel %zu is not in its code", i);
        end = k->entry + k->bytes;
    }
    return true;
}

static void find_records(struct plan *p) {
    for (size_t i = 0; i < p->ncolumns; i++) {
        struct plan_memo *memo = (struct plan_memo *)p->columns[i].memo; // made here
        if (memo) memo->record.key = store_record_key(&memo->record);
    }
}

static bool read_variant(struct reading *r, struct bundle_variant *v) {
    r->variant = v;
    r->nsources = r->nformulas = 0;
    if (!read_tuple(r, "variant", 3) || !read_struct(r, &shape_variant, v) ||
        !check_kernels(r, v) || !read_all_formulas(r))
        return false;
    v->plan = NEW(r->arena, struct plan);
    if (!read_struct(r, &shape_plan, v->plan)) return false;
    const char *why = plan_check(r->arena, v->plan);
    if (why) return unpack_fail(&r->u, "%s", why);
    find_records(v->plan);
    return true;
}

// ---- the bundle ----------------------------------------------------------------------
static bool read_constants(struct reading *r, struct bundle *out) {
    const char *data;
    size_t bytes;
    if (!unpack_key(&r->u, "constants") ||
        !read_block(r, "constants", 0, r->view->bytes, BUNDLE_PAGE, &data, &bytes))
        return false;
    if (bytes < PLAN_SLACK) return unpack_fail(&r->u, "`constants` is too short");
    r->consts_at = (size_t)(data - r->view->base);
    r->consts_bytes = out->const_bytes = bytes - PLAN_SLACK;
    return true;
}

static bool read_variants(struct reading *r, struct bundle *out) {
    if (!unpack_key(&r->u, "variants") ||
        !unpack_list(&r->u, "variants", 1, &out->nvariants))
        return false;
    if (out->nvariants < 1 || out->nvariants > BUNDLE_MAX_VARIANTS)
        return unpack_fail(&r->u, "it is compiled for %zu targets", out->nvariants);
    out->variants = NEW_N(r->arena, struct bundle_variant, out->nvariants);
    for (size_t i = 0; i < out->nvariants; i++)
        if (!read_variant(r, &out->variants[i])) return false;
    return true;
}

static bool read_bundle(struct reading *r, struct bundle *out) {
    return unpack_map(&r->u, "bundle", 3) && unpack_key(&r->u, "version") &&
           unpack_text(&r->u, "version", &out->version) && read_constants(r, out) &&
           read_variants(r, out) &&
           (!unpack_left(&r->u) || unpack_fail(&r->u, "more follows than a bundle"));
}

const char *bundle_unpack(struct arena *arena, const struct bundle_view *view,
                          struct bundle *out) {
    struct reading r = {.arena = arena, .view = view};
    unpack_begin(&r.u, arena, view->message, view->n);
    return read_bundle(&r, out) ? NULL : r.u.why;
}
