// Setting a plan's params. See settings.h.
//
// A change is worked out beside the plan: the params as they will be, the late values
// that follow from those that change, and what each use of these needs memory for. Only
// then is anything put in place, so that whatever goes wrong leaves the plan as it was.
#include "runtime/settings.h"

#include "runtime/result.h"

// ---- listing -------------------------------------------------------------------------
static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_late(const struct plan_late *a, const struct plan_late *b) {
    return a->kind == b->kind && a->path == b->path && a->min == b->min &&
           a->max == b->max && same_text(a->op, b->op) && same_text(a->attr, b->attr) &&
           a->span.file == b->span.file && a->span.start == b->span.start &&
           formula_eq(a->value.of, b->value.of);
}

uint32_t plan_late_of(struct arena *a, struct plan *p, const struct value *v,
                      const struct plan_late *at) {
    struct plan_late late = at ? *at : (struct plan_late){.kind = v->kind};
    CHECK(v->of && v->kind == late.kind);
    late.value = *v;
    for (size_t i = 0; i < p->lates.n; i++)
        if (same_late(&p->lates.at[i], &late)) return (uint32_t)i;
    VEC_PUSH(a, &p->lates, late);
    return (uint32_t)(p->lates.n - 1);
}

void plan_use_late(struct arena *a, struct plan *p, enum use_place place, uint32_t ia,
                   uint32_t ib, uint32_t ic, uint32_t late) {
    VEC_PUSH(a, &p->uses, (struct plan_use){place, ia, ib, ic, late});
}

// ---- putting values in place ---------------------------------------------------------
struct fit { // what a use needs memory for
    const char *text;
    char *data;
};

static double number_of(const struct value *v) {
    return v->kind == VAL_FLOAT ? v->f : (double)v->i;
}

static const char *field_value(const struct plan *p, const struct plan_use *u) {
    return p->columns[u->a].memo->record.fields[u->b].value;
}

// Constants may be mapped from a file, to be read only: another value lies elsewhere.
static char *fit_const(struct arena *a, const struct plan *p, const struct plan_use *u,
                       const struct value *v) {
    const struct plan_const *c = &p->consts[u->a];
    float f = (float)number_of(v);
    if (memcmp(c->data, &f, sizeof f) == 0) return c->data;
    size_t bytes;
    CHECK(size_add(c->bytes, PLAN_SLACK, &bytes));
    char *data = arena_alloc(a, bytes, 1);
    memcpy(data, c->data, c->bytes);
    memcpy(data, &f, sizeof f);
    return data;
}

static struct fit fit_use(struct arena *a, const struct plan *p, const struct plan_use *u,
                          const struct value *v) {
    struct fit f = {0};
    switch (u->place) {
    case USE_PATH:
    case USE_TO:
    case USE_TABLE: f.text = v->s; break;
    case USE_RECORD: f.text = value_text(a, v); break;
    case USE_FIELD: f.text = value_json(a, v); break;
    case USE_CONST: f.data = fit_const(a, p, u, v); break;
    case USE_LIMIT:
    case USE_K:
    case USE_PER_CLASS:
    case USE_AT_LEAST:
    case USE_BUILTIN: break;
    }
    return f;
}

// Records are read only for all but us: what they say of settings is ours.
static void put_field(struct plan *p, const struct plan_use *u, const char *text) {
    struct store_record *r = (struct store_record *)&p->columns[u->a].memo->record;
    if (strcmp(field_value(p, u), text) == 0) return;
    ((struct store_field *)r->fields)[u->b].value = text;
    r->key = store_record_key(r);
}

static void put_use(struct plan *p, const struct plan_use *u, const struct value *v,
                    const struct fit *f) {
    switch (u->place) {
    case USE_PATH: p->rowsets[u->a].path = f->text; break;
    case USE_LIMIT: p->rowsets[u->a].limit = (size_t)v->i; break;
    case USE_K: p->rowsets[u->a].k = (size_t)v->i; break;
    case USE_TO: p->saves[u->a].to = f->text; break;
    case USE_TABLE: p->tables[u->a].to = f->text; break;
    case USE_PER_CLASS: p->trials[u->a].per_class = (size_t)v->i; break;
    case USE_AT_LEAST: p->trials[u->a].at_least = v->f; break;
    case USE_CONST: p->consts[u->a].data = f->data; break;
    case USE_BUILTIN: p->funcs[u->a].calls[u->b].params[u->c] = number_of(v); break;
    case USE_RECORD: put_field(p, u, f->text); break;
    case USE_FIELD: p->fields[u->a].json = f->text; break;
    }
}

// fits and values by use and by late.
static struct fit *fit_uses(struct arena *a, const struct plan *p,
                            const struct value *values) {
    struct fit *fits = NEW_N(a, struct fit, p->uses.n);
    for (size_t i = 0; i < p->uses.n; i++)
        fits[i] = fit_use(a, p, &p->uses.at[i], &values[p->uses.at[i].late]);
    return fits;
}

static void put_uses(struct plan *p, const struct value *values, const struct fit *fits) {
    for (size_t i = 0; i < p->uses.n; i++)
        put_use(p, &p->uses.at[i], &values[p->uses.at[i].late], &fits[i]);
}

static struct value *late_values(struct arena *a, const struct plan *p) {
    struct value *values = NEW_N(a, struct value, p->lates.n);
    for (size_t i = 0; i < p->lates.n; i++) values[i] = p->lates.at[i].value;
    return values;
}

// Of something that was checked already, for the params as they are.
static struct value late_now(struct arena *a, const struct plan_late *l,
                             const struct formula_param *params) {
    const char *folder;
    struct fault why;
    struct value v;
    CHECK(formula_eval(a, l->value.of, params, &v, &folder, &why) &&
          constant_convert(a, &v, l->kind));
    if (l->path) v.s = path_in(a, folder, v.s);
    v.of = l->value.of;
    return v;
}

// Late values that came with the code are those the program was compiled with.
void plan_settle(struct arena *a, struct plan *p) {
    struct formula_param *params = NEW_N(a, struct formula_param, p->params.n);
    struct value *values = NEW_N(a, struct value, p->lates.n);
    for (size_t i = 0; i < p->params.n; i++) params[i] = p->params.at[i].at;
    for (size_t i = 0; i < p->lates.n; i++)
        values[i] = late_now(a, &p->lates.at[i], params);
    const struct fit *fits = fit_uses(a, p, values);
    for (size_t i = 0; i < p->lates.n; i++) p->lates.at[i].value = values[i];
    put_uses(p, values, fits);
}

// ---- a change ------------------------------------------------------------------------
struct change {
    struct arena *arena;
    struct diags *d;
    const struct plan *plan;
    struct formula_param *params; // as they will be
    bool *given;                  // by param: is it set?
    struct span *causes; // by param: the setting that changes it; file NULL: none
    struct value *lates; // as they will be
};

static const char *form_of(const struct setting *s) {
    return s->form ? s->form : "";
}

// "--sigma=0.2", of which messages show a part.
static const struct source *setting_source(const struct change *c,
                                           const struct setting *s) {
    struct source *source = NEW(c->arena, struct source);
    source->path = s->form ? "command line" : "setting";
    source->text = arena_printf(c->arena, "%s%s=%s", form_of(s), s->name, s->value);
    source->n = strlen(source->text);
    return source;
}

static struct span name_span(const struct setting *s, const struct source *source) {
    size_t start = strlen(form_of(s));
    return (struct span){source, (uint32_t)start, (uint32_t)(start + strlen(s->name))};
}

static struct span value_span(const struct source *source, const struct setting *s) {
    size_t n = strlen(s->value);
    return (struct span){source, (uint32_t)(source->n - n), (uint32_t)source->n};
}

static const char *param_names(const void *ctx, size_t i) {
    const struct plan *p = ctx;
    return i < p->params.n ? p->params.at[i].name : NULL;
}

static bool unknown_param(const struct change *c, const char *name, struct span at) {
    diag_error(c->d, at, "the program has no param `%s`", name);
    return diag_help_names(c->d, name, param_names, c->plan);
}

// A fixed param may be given what it was compiled for; of paths nobody can say.
static bool is_fixed_for(const struct change *c, const struct plan_param *p,
                         const struct value *v, const char *text, struct span at) {
    struct value is = p->at.value;
    is.of = v->of;
    if (is.kind != VAL_STRING && value_eq(&is, v)) return true;
    diag_error(c->d, at, "`%s` cannot be set any more: %s was compiled for %s", p->name,
               p->fixed, value_literal(c->arena, &is));
    return diag_help(c->d, "compile again with -D %s=%s", p->name, text);
}

static bool parse_setting(struct change *c, const struct setting *s, size_t i,
                          const struct source *source) {
    const struct plan_param *p = &c->plan->params.at[i];
    enum value_kind kind = p->at.value.kind;
    struct value v;
    const char *why;
    if (!value_parse(c->arena, s->value, kind, &v, &why))
        return diag_error(c->d, value_span(source, s), "param `%s`: %s", p->name, why);
    c->causes[i] = value_span(source, s);
    c->given[i] = true;
    if (p->fixed && !is_fixed_for(c, p, &v, s->value, name_span(s, source))) return false;
    c->params[i] = (struct formula_param){v, NULL};
    return true;
}

// Longer ones could not be told of in spans of 32 bits.
#define SETTING_MAX_BYTES ((size_t)1 << 20)

static bool take_setting(struct change *c, const struct setting *s) {
    if (strlen(s->name) > SETTING_MAX_BYTES || strlen(s->value) > SETTING_MAX_BYTES)
        return diag_error(c->d, NO_SPAN, "the setting of a param is longer than 1 MiB");
    const struct source *source = setting_source(c, s);
    struct span name = name_span(s, source);
    size_t i = 0;
    while (i < c->plan->params.n && strcmp(c->plan->params.at[i].name, s->name) != 0) i++;
    if (i == c->plan->params.n) return unknown_param(c, s->name, name);
    if (c->given[i]) {
        diag_error(c->d, name, "`%s` is set twice", s->name);
        return diag_note(c->d, c->causes[i], "it is set here already");
    }
    return parse_setting(c, s, i, source);
}

// ---- what follows from it ------------------------------------------------------------
struct search {
    const struct change *change;
    const struct span *cause; // of the first param that changes; NULL: none
};

static void look_at_param(void *ctx, uint32_t param) {
    struct search *s = ctx;
    const struct span *cause = &s->change->causes[param];
    if (!s->cause && cause->file) s->cause = cause;
}

static const struct span *cause_of(const struct change *c, const struct formula *f) {
    struct search s = {.change = c};
    formula_params(f, look_at_param, &s);
    return s.cause;
}

static bool late_error(struct change *c, const struct plan_late *l, struct span at,
                       const char *message, const char *help) {
    diag_error(c->d, at, "%s%s%s", l->op ? l->op : "", l->op ? ": " : "", message);
    diag_help(c->d, help ? "%s" : NULL, help);
    if (l->span.file) diag_note(c->d, l->span, "it is used here");
    return false;
}

static const char *attr_name(const struct plan_late *l) {
    return l->attr ? l->attr : "value";
}

static bool late_path(struct change *c, const struct plan_late *l, struct span at,
                      const char *folder, struct value *v) {
    if (!*v->s)
        return late_error(c, l, at, arena_printf(c->arena, "`%s` is empty", attr_name(l)),
                          NULL);
    v->s = path_in(c->arena, folder, v->s);
    return true;
}

static bool late_kind(struct change *c, const struct plan_late *l, struct span at,
                      const struct value *v) {
    const char *message =
        arena_printf(c->arena, "`%s` must be %s; this is %s", attr_name(l),
                     constant_kind_name(l->kind), constant_describe(c->arena, v));
    return late_error(c, l, at, message, NULL);
}

static bool check_late(struct change *c, const struct plan_late *l, struct span at,
                       const char *folder, struct value *v) {
    if (!constant_convert(c->arena, v, l->kind)) return late_kind(c, l, at, v);
    if (l->path) return late_path(c, l, at, folder, v);
    const char *wrong = constant_out_of_range(c->arena, attr_name(l), l->min, l->max, v);
    return !wrong || late_error(c, l, at, wrong, NULL);
}

// ---- defaults that follow from other params ------------------------------------------
// The formula of a param that is not being set, and was not set before.
static const struct formula *default_of(const struct change *c, size_t i) {
    const struct formula *f = c->plan->params.at[i].at.value.of;
    return c->given[i] ? NULL : f;
}

static bool default_fails(struct change *c, size_t i, const struct fault *why) {
    const struct plan_param *p = &c->plan->params.at[i];
    diag_error(c->d, c->causes[i], "param `%s`: %s", p->name, why->why);
    diag_help(c->d, why->help ? "%s" : NULL, why->help);
    return p->span.file ? diag_note(c->d, p->span, "it follows here") : false;
}

static const struct fault too_large = {
    "it follows from this in a way that is too large to keep in a compiled program",
    "compile again with -D"};

static bool follow_default(struct change *c, size_t i) {
    const struct formula *f = default_of(c, i);
    const struct span *cause = f ? cause_of(c, f) : NULL;
    struct formula_param to;
    struct fault why;
    if (!cause) return true;
    c->causes[i] = *cause;
    if (f->kind == FORMULA_OPAQUE) return default_fails(c, i, &too_large);
    if (!formula_eval(c->arena, f, c->params, &to.value, &to.folder, &why))
        return default_fails(c, i, &why);
    CHECK(constant_convert(c->arena, &to.value, c->params[i].value.kind));
    to.value.of = f;
    c->params[i] = to;
    return true;
}

struct waiting {
    const bool *settled; // by param
    bool waits;
};

static void wait_for(void *ctx, uint32_t param) {
    struct waiting *w = ctx;
    w->waits = w->waits || !w->settled[param];
}

// Whether a param that its default follows from is still to be worked out.
static bool default_waits(const struct change *c, size_t i, const bool *settled) {
    struct waiting w = {settled, false};
    if (default_of(c, i)) formula_params(default_of(c, i), wait_for, &w);
    return w.waits;
}

// In no order but this: each after those that it follows from. Only in a plan that was
// made up do they follow from each other, and stay as they are.
static bool settle_defaults(struct change *c) {
    bool *settled = NEW_N(c->arena, bool, c->plan->params.n);
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < c->plan->params.n; i++) {
            if (settled[i] || default_waits(c, i, settled)) continue;
            if (!follow_default(c, i)) return false;
            settled[i] = more = true;
        }
    }
    return true;
}

static bool check_fixed(struct change *c, size_t i) {
    const struct plan_param *p = &c->plan->params.at[i];
    const struct value *v = &c->params[i].value;
    if (!p->fixed || c->given[i] || !c->causes[i].file) return true;
    return is_fixed_for(c, p, v, value_literal(c->arena, v), c->causes[i]);
}

static bool follow_defaults(struct change *c) {
    bool ok = settle_defaults(c), fixed = true;
    for (size_t i = 0; ok && i < c->plan->params.n; i++)
        fixed = check_fixed(c, i) && fixed;
    return ok && fixed;
}

// ---- late values ---------------------------------------------------------------------
static bool work_out(struct change *c, size_t i) {
    const struct plan_late *l = &c->plan->lates.at[i];
    const struct span *cause = cause_of(c, l->value.of);
    const char *folder;
    struct fault why;
    struct value v;
    if (!cause) return true;
    if (!formula_eval(c->arena, l->value.of, c->params, &v, &folder, &why))
        return late_error(c, l, *cause, why.why, why.help);
    if (!check_late(c, l, *cause, folder, &v)) return false;
    v.of = l->value.of;
    c->lates[i] = v;
    return true;
}

static bool prepare(struct change *c, const struct setting *settings, size_t n) {
    bool ok = true;
    for (size_t i = 0; i < c->plan->params.n; i++)
        c->params[i] = c->plan->params.at[i].at;
    for (size_t i = 0; i < n; i++) ok = take_setting(c, &settings[i]) && ok;
    if (!ok || !follow_defaults(c)) return false;
    for (size_t i = 0; i < c->plan->lates.n; i++) ok = work_out(c, i) && ok;
    return ok;
}

bool plan_set(struct arena *a, struct plan *p, const struct setting *settings, size_t n,
              struct diags *d) {
    struct change c = {.arena = a, .d = d, .plan = p};
    c.params = NEW_N(a, struct formula_param, p->params.n);
    c.given = NEW_N(a, bool, p->params.n);
    c.causes = NEW_N(a, struct span, p->params.n);
    c.lates = late_values(a, p);
    if (!prepare(&c, settings, n)) return false;
    const struct fit *fits = fit_uses(a, p, c.lates);
    for (size_t i = 0; i < p->params.n; i++) p->params.at[i].at = c.params[i];
    for (size_t i = 0; i < p->lates.n; i++) p->lates.at[i].value = c.lates[i];
    put_uses(p, c.lates, fits);
    return true;
}
