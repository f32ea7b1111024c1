// See pack.h. A plan is packed before the formulas that its values follow from, which are
// found by packing it, and put behind them: what reads them needs the formulas first.
#include "runtime/bundle/pack.h"

#include "runtime/bundle/shape.h"

#include <msgpack.h>

struct found { // a constant that has been placed
    struct digest digest;
    size_t block;
};

struct pack {
    struct packed *out;
    msgpack_packer to;
    VEC(struct found) found; // parallel to out->consts
    // Of the variant at hand.
    const struct bundle_variant *variant;
    size_t which;
    const struct plan *plan;
    VEC(const struct formula *) formulas; // parts before wholes
};

static int write_some(void *to, const char *data, size_t n) {
    text_add_n(to, data, n);
    return 0;
}

static void pack_into(struct pack *p, struct text *to) {
    msgpack_packer_init(&p->to, to, write_some);
}

static void put_count(struct pack *p, uint64_t n) {
    msgpack_pack_uint64(&p->to, n);
}

static void put_bool(struct pack *p, bool v) {
    if (v) msgpack_pack_true(&p->to);
    else msgpack_pack_false(&p->to);
}

static void put_text_n(struct pack *p, const char *s, size_t n) {
    msgpack_pack_str_with_body(&p->to, s, n);
}

static void put_text(struct pack *p, const char *s) {
    if (s) put_text_n(p, s, strlen(s));
    else msgpack_pack_nil(&p->to);
}

// ---- what lies outside the message ---------------------------------------------------
static size_t const_place(struct pack *p, const char *data, size_t bytes) {
    struct packed *out = p->out;
    struct digest digest = digest_of(data, bytes);
    for (size_t i = 0; i < p->found.n; i++)
        if (digest_eq(p->found.at[i].digest, digest) && out->consts.at[i].bytes == bytes)
            return out->consts.at[i].at;
    size_t at = size_align(out->consts_bytes, 64);
    VEC_PUSH(out->arena, &p->found, (struct found){digest, out->consts.n});
    VEC_PUSH(out->arena, &out->consts, (struct block){data, out->consts_at + at, bytes});
    out->consts_bytes = at + bytes;
    return out->consts.at[out->consts.n - 1].at;
}

static void put_block(struct pack *p, size_t at, size_t bytes) {
    msgpack_pack_array(&p->to, 2);
    put_count(p, at);
    put_count(p, bytes);
}

static void put_kernel(struct pack *p, const char *symbol, size_t entry) {
    const struct bundle_variant *v = p->variant;
    size_t i = 0;
    if (!symbol) {
        msgpack_pack_nil(&p->to);
        return;
    }
    while (i < v->nkernels && strcmp(v->kernels[i].symbol, symbol) != 0) i++;
    CHECK(i < v->nkernels && v->kernels[i].entry == entry);
    put_count(p, i);
}

// ---- spans, values, formulas ---------------------------------------------------------
static void put_span(struct pack *p, const struct span *s) {
    size_t i = 0;
    msgpack_pack_array(&p->to, 3);
    while (i < p->plan->sources.n && p->plan->sources.at[i] != s->file) i++;
    CHECK(!s->file || i < p->plan->sources.n);
    if (s->file) put_count(p, i);
    else msgpack_pack_nil(&p->to);
    put_count(p, s->start);
    put_count(p, s->end);
}

static size_t formula_number(struct pack *p, const struct formula *f) {
    for (size_t i = 0; i < p->formulas.n; i++)
        if (p->formulas.at[i] == f) return i;
    if (f->l) formula_number(p, f->l);
    if (f->r) formula_number(p, f->r);
    for (size_t i = 0; i < f->nitems; i++) formula_number(p, f->items[i]);
    VEC_PUSH(p->out->arena, &p->formulas, f);
    return p->formulas.n - 1;
}

static void put_formula(struct pack *p, const struct formula *f) {
    if (f) put_count(p, formula_number(p, f));
    else msgpack_pack_nil(&p->to);
}

static void put_content(struct pack *p, const struct value *v) {
    switch (v->kind) {
    case VAL_NONE: msgpack_pack_nil(&p->to); return;
    case VAL_INT: msgpack_pack_int64(&p->to, v->i); return;
    case VAL_BOOL: put_bool(p, v->i != 0); return;
    case VAL_FLOAT: msgpack_pack_double(&p->to, v->f); return;
    case VAL_STRING: put_text(p, v->s); return;
    case VAL_INTS:
        msgpack_pack_array(&p->to, v->n);
        for (size_t i = 0; i < v->n; i++) msgpack_pack_int64(&p->to, v->is[i]);
        return;
    case VAL_FLOATS:
        msgpack_pack_array(&p->to, v->n);
        for (size_t i = 0; i < v->n; i++) msgpack_pack_double(&p->to, v->fs[i]);
        return;
    }
    BUG("no such kind of value");
}

static void put_value(struct pack *p, const struct value *v) {
    msgpack_pack_array(&p->to, 3);
    put_count(p, v->kind);
    put_content(p, v);
    put_formula(p, v->of);
}

// ---- lists ---------------------------------------------------------------------------
static void put_struct(struct pack *p, const struct shape *s, const void *from);

static void put_list(struct pack *p, const struct field *f, const void *from) {
    const char *at = *(const char *const *)field_of(f, from);
    size_t n = field_count(f, from);
    msgpack_pack_array(&p->to, n);
    for (size_t i = 0; i < n; i++) put_struct(p, f->of, at + i * f->of->size);
}

static void put_indices(struct pack *p, const uint32_t *at, size_t n) {
    msgpack_pack_array(&p->to, n);
    for (size_t i = 0; i < n; i++) put_count(p, at[i]);
}

static void put_formulas(struct pack *p, const struct formula *const *at, size_t n) {
    msgpack_pack_array(&p->to, n);
    for (size_t i = 0; i < n; i++) put_formula(p, at[i]);
}

static void put_sources(struct pack *p, const struct source *const *at, size_t n) {
    msgpack_pack_array(&p->to, n);
    for (size_t i = 0; i < n; i++) {
        msgpack_pack_array(&p->to, 2);
        put_text(p, at[i]->path);
        put_text_n(p, at[i]->text, at[i]->n);
    }
}

static void put_sizes(struct pack *p, const size_t *at, size_t n) {
    while (n && !at[n - 1]) n--;
    msgpack_pack_array(&p->to, n);
    for (size_t i = 0; i < n; i++) put_count(p, at[i]);
}

static void put_reals(struct pack *p, const double *at, size_t n) {
    static const double zero;
    while (n && memcmp(&at[n - 1], &zero, sizeof zero) == 0) n--;
    msgpack_pack_array(&p->to, n);
    for (size_t i = 0; i < n; i++) msgpack_pack_double(&p->to, at[i]);
}

// ---- by the tables -------------------------------------------------------------------
static void put_enum(struct pack *p, const void *at) {
    unsigned v; // what gcc and clang keep an enum without negative values in
    memcpy(&v, at, sizeof v);
    put_count(p, v);
}

static const void *pointer_at(const void *at) {
    const void *p;
    memcpy(&p, at, sizeof p);
    return p;
}

static void put_optional(struct pack *p, const struct shape *s, const void *from) {
    if (from) put_struct(p, s, from);
    else msgpack_pack_nil(&p->to);
}

static void put_const(struct pack *p, const char *data, size_t bytes) {
    put_block(p, const_place(p, data, bytes), bytes);
}

static void put_code(struct pack *p) {
    const struct block *code = &p->out->codes.at[p->which];
    put_block(p, code->at, code->bytes);
}

static void put_field(struct pack *p, const struct field *f, const void *from) {
    const void *at = field_of(f, from);
    switch (f->kind) {
    case FIELD_TEXT: put_text(p, pointer_at(at)); return;
    case FIELD_SIZE: put_count(p, *(const size_t *)at); return;
    case FIELD_INDEX: put_count(p, *(const uint32_t *)at); return;
    case FIELD_BOOL: put_bool(p, *(const bool *)at); return;
    case FIELD_REAL: msgpack_pack_double(&p->to, *(const double *)at); return;
    case FIELD_ENUM: put_enum(p, at); return;
    case FIELD_SPAN: put_span(p, at); return;
    case FIELD_STRUCT: put_struct(p, f->of, at); return;
    case FIELD_POINTER: put_optional(p, f->of, pointer_at(at)); return;
    case FIELD_LIST: put_list(p, f, from); return;
    case FIELD_INDICES: put_indices(p, pointer_at(at), field_count(f, from)); return;
    case FIELD_SIZES: put_sizes(p, at, f->most); return;
    case FIELD_REALS: put_reals(p, at, f->most); return;
    case FIELD_SOURCES: put_sources(p, pointer_at(at), field_count(f, from)); return;
    case FIELD_VALUE: put_value(p, at); return;
    case FIELD_FORMULA: put_formula(p, pointer_at(at)); return;
    case FIELD_FORMULAS: put_formulas(p, pointer_at(at), field_count(f, from)); return;
    case FIELD_KERNEL: put_kernel(p, pointer_at(at), field_count(f, from)); return;
    case FIELD_CONST: put_const(p, pointer_at(at), field_count(f, from)); return;
    case FIELD_CODE: put_code(p); return;
    case FIELD_NONE: return;
    }
    BUG("no such kind of field");
}

static void put_struct(struct pack *p, const struct shape *s, const void *from) {
    size_t n = 0;
    for (size_t i = 0; i < s->nfields; i++) n += s->fields[i].kind != FIELD_NONE;
    msgpack_pack_map(&p->to, n);
    for (size_t i = 0; i < s->nfields; i++) {
        if (s->fields[i].kind == FIELD_NONE) continue;
        put_text(p, s->fields[i].name);
        put_field(p, &s->fields[i], from);
    }
}

// ---- the bundle ----------------------------------------------------------------------
static void lay_codes(struct pack *p, const struct bundle *b) {
    size_t at = 0;
    for (size_t i = 0; i < b->nvariants; i++) {
        const struct bundle_variant *v = &b->variants[i];
        VEC_PUSH(p->out->arena, &p->out->codes,
                 (struct block){v->code, at, v->code_bytes});
        at = size_align(at + v->code_bytes, BUNDLE_PAGE);
    }
    p->out->consts_at = at;
}

// [the variant, its formulas, its plan]
static void put_variant(struct pack *p, const struct bundle_variant *v, size_t which,
                        struct text *to) {
    struct text plan = {.arena = p->out->arena};
    p->variant = v, p->which = which, p->plan = v->plan;
    memset(&p->formulas, 0, sizeof p->formulas); // the last one's stay where they are
    pack_into(p, &plan);
    put_struct(p, &shape_plan, v->plan);
    pack_into(p, to);
    msgpack_pack_array(&p->to, 3);
    put_struct(p, &shape_variant, v);
    msgpack_pack_array(&p->to, p->formulas.n);
    for (size_t i = 0; i < p->formulas.n; i++)
        put_struct(p, &shape_formula, p->formulas.at[i]);
    text_add_n(to, plan.at, plan.n);
}

void bundle_pack(const struct bundle *b, struct arena *arena, struct packed *out) {
    *out = (struct packed){.arena = arena, .message = {.arena = arena}};
    struct pack p = {.out = out};
    struct text variants = {.arena = arena};
    lay_codes(&p, b);
    for (size_t i = 0; i < b->nvariants; i++)
        put_variant(&p, &b->variants[i], i, &variants);
    out->consts_bytes += PLAN_SLACK;
    pack_into(&p, &out->message);
    msgpack_pack_map(&p.to, 3);
    put_text(&p, "version");
    put_text(&p, b->version);
    put_text(&p, "constants");
    put_block(&p, out->consts_at, out->consts_bytes);
    put_text(&p, "variants");
    msgpack_pack_array(&p.to, b->nvariants);
    text_add_n(&out->message, variants.at, variants.n);
}
