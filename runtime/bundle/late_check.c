// The part of checking a plan that is about params: formulas that can be worked out, and
// values that fit where settings.c puts them.
#include "runtime/bundle/check.h"

#include "runtime/bundle/shape.h"
#include "runtime/result.h"

#include <math.h>

// ---- values --------------------------------------------------------------------------
static bool value_whole(const struct value *v) {
    if (v->kind == VAL_FLOAT && !isfinite(v->f)) return false;
    for (size_t i = 0; v->kind == VAL_FLOATS && i < v->n; i++)
        if (!isfinite(v->fs[i])) return false;
    return true;
}

struct params_in { // a formula
    size_t nparams;
    bool ok;
};

static void note_param(void *ctx, uint32_t param) {
    struct params_in *in = ctx;
    in->ok = in->ok && param < in->nparams;
}

// What it follows from are params that there are.
static bool follows(const struct check *c, const struct formula *f) {
    struct params_in in = {c->plan->params.n, true};
    formula_params(f, note_param, &in);
    return in.ok;
}

// ---- params --------------------------------------------------------------------------
// settings.c works a default out again, and counts on its kind.
static bool work_out(struct check *c, const struct formula *f, enum value_kind kind,
                     struct value *out) {
    struct fault why;
    return follows(c, f) && f->kind != FORMULA_OPAQUE &&
           formula_eval(c->arena, f, c->params, out, NULL, &why) &&
           constant_convert(c->arena, out, kind);
}

// Of one that was too large to keep, settings.c only asks what it follows from.
static bool default_whole(struct check *c, const struct value *now) {
    struct value v;
    if (!now->of) return true;
    if (now->of->kind == FORMULA_OPAQUE) return follows(c, now->of);
    return work_out(c, now->of, now->kind, &v);
}

static bool check_defaults(struct check *c) {
    const struct plan *p = c->plan;
    struct formula_param *params = NEW_N(c->arena, struct formula_param, p->params.n);
    c->params = params;
    for (size_t i = 0; i < p->params.n; i++) {
        params[i] = p->params.at[i].at;
        if (params[i].value.kind == VAL_NONE || !value_whole(&params[i].value))
            return check_fail(c, "param `%s` has no value", p->params.at[i].name);
    }
    for (size_t i = 0; i < p->params.n; i++)
        if (!default_whole(c, &params[i].value))
            return check_fail(c, "param `%s` follows from nothing that is known",
                              p->params.at[i].name);
    return true;
}

// ---- late values ---------------------------------------------------------------------
// What it is and what it follows from agree; of texts that is not asked, since paths may
// have been made to start elsewhere.
static bool agrees(const struct plan_late *l, struct value v) {
    v.of = l->value.of;
    return v.kind == VAL_STRING || value_eq(&v, &l->value);
}

static bool check_late(struct check *c, size_t i) {
    const struct plan_late *l = &c->plan->lates.at[i];
    struct value v;
    if (!l->value.of || !work_out(c, l->value.of, l->kind, &v))
        return check_fail(c, "late value %zu follows from nothing that is known", i);
    if (l->value.kind != l->kind || l->kind == VAL_NONE || !value_whole(&l->value) ||
        !agrees(l, v))
        return check_fail(c, "late value %zu is another than what it follows from", i);
    if (l->path && l->kind != VAL_STRING)
        return check_fail(c, "late value %zu is no path", i);
    return (!isnan(l->min) && !isnan(l->max)) ||
           check_fail(c, "late value %zu has no bounds", i);
}

// What has a place where only some numbers can be is listed with them.
static bool bounded(const struct plan_late *l, double least, double most) {
    double v = (double)l->value.i;
    return l->kind == VAL_INT && l->min >= least && l->max <= most && l->max >= l->min &&
           v >= l->min && v <= l->max;
}

static bool is_seed(const struct plan *p, const struct plan_use *u) {
    if (u->a >= p->nfuncs || u->b >= p->funcs[u->a].ncalls) return false;
    enum builtin which = p->funcs[u->a].calls[u->b].builtin;
    return (which == BUILTIN_NORMAL && u->c == 1) ||
           (which == BUILTIN_RANDOM_BOX && u->c == 6);
}

// A seed's own late value says no bounds: the attribute that it is does, listed by
// itself.
static bool fits_seed(const struct plan *p, const struct plan_use *u,
                      const struct plan_late *l) {
    if (!is_seed(p, u) || l->kind != VAL_INT || l->value.i < 0) return false;
    for (size_t i = 0; i < p->lates.n; i++)
        if (bounded(&p->lates.at[i], 0, 0x1p62) &&
            formula_eq(p->lates.at[i].value.of, l->value.of))
            return true;
    return false;
}

static bool is_number(const struct plan_late *l) {
    return l->kind == VAL_INT || l->kind == VAL_FLOAT;
}

static bool is_share(const struct plan_late *l) {
    double v = l->value.f;
    return l->kind == VAL_FLOAT && l->min == 0 && l->max == 1 && v >= 0 && v <= 1;
}

static bool fits_const(const struct plan *p, const struct plan_use *u,
                       const struct plan_late *l) {
    return u->a < p->nconsts && is_number(l) && p->consts[u->a].bytes == sizeof(float);
}

static bool fits_record(const struct plan *p, const struct plan_use *u) {
    return u->a < p->ncolumns && p->columns[u->a].memo &&
           u->b < p->columns[u->a].memo->record.nfields;
}

static bool fits(const struct plan *p, const struct plan_use *u,
                 const struct plan_late *l) {
    bool rowset = u->a < p->nrowsets;
    switch (u->place) {
    case USE_PATH:
        return rowset && l->kind == VAL_STRING && p->rowsets[u->a].kind == ROWSET_READER;
    case USE_LIMIT:
        return rowset && bounded(l, 1, (double)INT64_MAX) &&
               p->rowsets[u->a].kind == ROWSET_READER;
    case USE_K:
        return rowset && bounded(l, 1, (double)BUNDLE_MAX_ROWS) &&
               p->rowsets[u->a].kind == ROWSET_SELECT;
    case USE_TO: return u->a < p->nsaves && l->kind == VAL_STRING;
    case USE_TABLE: return u->a < p->ntables && l->kind == VAL_STRING;
    case USE_PER_CLASS:
        return u->a < p->ntrials && bounded(l, 1, (double)BUNDLE_MAX_ROWS);
    case USE_AT_LEAST: return u->a < p->ntrials && is_share(l);
    case USE_CONST: return fits_const(p, u, l);
    case USE_BUILTIN: return fits_seed(p, u, l);
    case USE_RECORD: return fits_record(p, u);
    case USE_FIELD: return u->a < p->nfields;
    }
    return false;
}

bool check_params(struct check *c) {
    const struct plan *p = c->plan;
    if (!check_defaults(c)) return false;
    for (size_t i = 0; i < p->lates.n; i++)
        if (!check_late(c, i)) return false;
    for (size_t i = 0; i < p->uses.n; i++) {
        const struct plan_use *u = &p->uses.at[i];
        if (u->late >= p->lates.n || !fits(p, u, &p->lates.at[u->late]))
            return check_fail(c, "use %zu of a late value does not fit", i);
    }
    return true;
}
