// See inspect.h. What every compiled program has is written member by member; all of a
// plan by the tables that bundles are written and read by (runtime/bundle/shape.h).
#include "cli/inspect.h"

#include "runtime/bundle/shape.h"
#include "runtime/settings.h"
#include "runtime/stage.h"

// ---- by the tables -------------------------------------------------------------------
static void emit_struct(struct emit *e, const char *key, const struct shape *s,
                        const void *from);

static const void *pointer_at(const void *at) {
    const void *p;
    memcpy(&p, at, sizeof p);
    return p;
}

static void emit_span(struct emit *e, const char *key, const struct span *s) {
    if (!s->file) {
        emit_null(e, key);
        return;
    }
    emit_open(e, key, '{');
    emit_string(e, "source", s->file->path);
    emit_count(e, "start", s->start);
    emit_count(e, "end", s->end);
    emit_close(e, '}');
}

static void emit_structs(struct emit *e, const struct field *f, const void *from) {
    const char *at = pointer_at(field_of(f, from));
    emit_open(e, f->name, '[');
    for (size_t i = 0; i < field_count(f, from); i++)
        emit_struct(e, NULL, f->of, at + i * f->of->size);
    emit_close(e, ']');
}

static void emit_indices(struct emit *e, const char *key, const uint32_t *at, size_t n) {
    emit_open(e, key, '[');
    for (size_t i = 0; i < n; i++) emit_count(e, NULL, at[i]);
    emit_close(e, ']');
}

static void emit_sizes(struct emit *e, const char *key, const size_t *at, size_t n) {
    emit_open(e, key, '[');
    for (size_t i = 0; i < n; i++) emit_count(e, NULL, at[i]);
    emit_close(e, ']');
}

static void emit_reals(struct emit *e, const char *key, const double *at, size_t n) {
    while (n && at[n - 1] == 0) n--;
    emit_open(e, key, '[');
    for (size_t i = 0; i < n; i++) emit_real(e, NULL, at[i]);
    emit_close(e, ']');
}

static void emit_sources(struct emit *e, const char *key, const struct source *const *at,
                         size_t n) {
    emit_open(e, key, '[');
    for (size_t i = 0; i < n; i++) emit_string(e, NULL, at[i]->path);
    emit_close(e, ']');
}

static void emit_value(struct emit *e, const char *key, const struct value *v) {
    if (v->kind == VAL_NONE) emit_null(e, key);
    else emit_string(e, key, value_literal(e->text.arena, v));
}

// Formulas are for machines; that there is one is what people want to know.
static void emit_follows(struct emit *e, const struct formula *f) {
    emit_bool(e, "follows", f != NULL);
}

static void emit_enum(struct emit *e, const struct field *f, const void *at) {
    unsigned v; // what gcc and clang keep an enum without negative values in
    memcpy(&v, at, sizeof v);
    emit_string(e, f->name, f->names[v]);
}

static void emit_optional(struct emit *e, const struct field *f, const void *from) {
    if (from) emit_struct(e, f->name, f->of, from);
    else emit_null(e, f->name);
}

static void emit_field(struct emit *e, const struct field *f, const void *from) {
    const void *at = field_of(f, from);
    switch (f->kind) {
    case FIELD_TEXT:
    case FIELD_KERNEL: emit_string(e, f->name, pointer_at(at)); return;
    case FIELD_SIZE: emit_count(e, f->name, *(const size_t *)at); return;
    case FIELD_INDEX: emit_count(e, f->name, *(const uint32_t *)at); return;
    case FIELD_BOOL: emit_bool(e, f->name, *(const bool *)at); return;
    case FIELD_REAL: emit_real(e, f->name, *(const double *)at); return;
    case FIELD_ENUM: emit_enum(e, f, at); return;
    case FIELD_SPAN: emit_span(e, f->name, at); return;
    case FIELD_STRUCT: emit_struct(e, f->name, f->of, at); return;
    case FIELD_POINTER: emit_optional(e, f, pointer_at(at)); return;
    case FIELD_LIST: emit_structs(e, f, from); return;
    case FIELD_INDICES:
        emit_indices(e, f->name, pointer_at(at), field_count(f, from));
        return;
    case FIELD_SIZES: emit_sizes(e, f->name, at, f->most); return;
    case FIELD_REALS: emit_reals(e, f->name, at, f->most); return;
    case FIELD_SOURCES:
        emit_sources(e, f->name, pointer_at(at), field_count(f, from));
        return;
    case FIELD_VALUE:
        emit_value(e, f->name, at);
        emit_follows(e, ((const struct value *)at)->of);
        return;
    case FIELD_CONST:
    case FIELD_CODE: emit_count(e, "bytes", field_count(f, from)); return;
    case FIELD_FORMULA:
    case FIELD_FORMULAS:
    case FIELD_NONE: return;
    }
}

static void emit_struct(struct emit *e, const char *key, const struct shape *s,
                        const void *from) {
    emit_open(e, key, '{');
    for (size_t i = 0; i < s->nfields; i++) emit_field(e, &s->fields[i], from);
    emit_close(e, '}');
}

// ---- what every program has ----------------------------------------------------------
static void emit_target(struct emit *e, const struct bundle_variant *v) {
    emit_open(e, NULL, '{');
    emit_string(e, "target", v->target);
    emit_string(e, "cpu", v->cpu);
    emit_string(e, "needs", v->needs);
    emit_string(e, "numerics", v->numerics);
    emit_count(e, "code_bytes", v->code_bytes);
    emit_count(e, "const_bytes", inspect_consts(v->plan));
    emit_count(e, "kernels", v->nkernels);
    emit_close(e, '}');
}

static void emit_param(struct emit *e, const struct plan_param *p) {
    emit_open(e, NULL, '{');
    emit_string(e, "name", p->name);
    emit_string(e, "type", value_type_name(p->at.value.kind));
    emit_string(e, "value", value_literal(e->text.arena, &p->at.value));
    emit_string(e, "doc", p->doc);
    emit_string(e, "fixed", p->fixed);
    emit_close(e, '}');
}

static void emit_reader(struct emit *e, const struct plan_rowset *r) {
    emit_open(e, NULL, '{');
    emit_string(e, "name", r->name);
    emit_string(e, "path", r->path);
    emit_count(e, "size", r->size);
    if (r->limit == SIZE_MAX) emit_null(e, "limit");
    else emit_count(e, "limit", r->limit);
    emit_close(e, '}');
}

static void emit_stage(struct emit *e, const struct plan *p, const struct plan_stage *s) {
    const struct plan_column *c = s->saves ? NULL : &p->columns[s->target];
    emit_open(e, NULL, '{');
    emit_string(e, "name", s->name);
    emit_string(e, "op", c ? c->op : "save");
    emit_real(e, "flops", stage_flops(p, s));
    if (c) emit_count(e, "row_bytes", c->row_bytes);
    emit_bool(e, "remembered", c && c->memo);
    emit_close(e, '}');
}

static void emit_save(struct emit *e, const struct plan_save *s) {
    emit_open(e, NULL, '{');
    emit_string(e, "to", s->to);
    emit_bool(e, "images", s->images);
    emit_sizes(e, "shape", s->dim, s->rank);
    emit_count(e, "labels", s->labels);
    emit_close(e, '}');
}

static void emit_program(struct emit *e, const struct plan *p) {
    emit_open(e, "params", '[');
    for (size_t i = 0; i < p->params.n; i++) emit_param(e, &p->params.at[i]);
    emit_close(e, ']');
    emit_open(e, "reads", '[');
    for (size_t i = 0; i < p->nrowsets; i++)
        if (p->rowsets[i].kind == ROWSET_READER) emit_reader(e, &p->rowsets[i]);
    emit_close(e, ']');
    emit_open(e, "values", '[');
    for (size_t i = 0; i < p->nstages; i++) emit_stage(e, p, &p->stages[i]);
    emit_close(e, ']');
    emit_open(e, "saves", '[');
    for (size_t i = 0; i < p->nsaves; i++) emit_save(e, &p->saves[i]);
    emit_close(e, ']');
}

static void emit_all(struct emit *e, const struct bundle *b) {
    emit_open(e, "variants", '[');
    for (size_t i = 0; i < b->nvariants; i++) {
        emit_open(e, NULL, '{');
        emit_struct(e, "code", &shape_variant, &b->variants[i]);
        emit_struct(e, "plan", &shape_plan, b->variants[i].plan);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

void inspect_emit(const struct bundle *b, bool all, struct emit *e) {
    emit_open(e, NULL, '{');
    emit_string(e, "name", b->variants[0].plan->name);
    emit_string(e, "version", b->version);
    emit_count(e, "bytes", b->bytes);
    emit_count(e, "const_bytes", b->const_bytes);
    emit_count(e, "plan_bytes", b->plan_bytes);
    emit_open(e, "targets", '[');
    for (size_t i = 0; i < b->nvariants; i++) emit_target(e, &b->variants[i]);
    emit_close(e, ']');
    emit_program(e, b->variants[0].plan);
    if (all) emit_all(e, b);
    emit_close(e, '}');
}
