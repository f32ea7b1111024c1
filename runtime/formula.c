// See formula.h.
#include "runtime/formula.h"

// ---- the same? ------------------------------------------------------------------------
static bool same_items(const struct formula *a, const struct formula *b) {
    if (a->nitems != b->nitems) return false;
    for (size_t i = 0; i < a->nitems; i++)
        if (!formula_eq(a->items[i], b->items[i])) return false;
    return true;
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool formula_eq(const struct formula *a, const struct formula *b) {
    if (a == b) return true;
    if (!a || !b || a->kind != b->kind) return false;
    switch (a->kind) {
    case FORMULA_VALUE:
        return value_eq(&a->value, &b->value) && same_text(a->folder, b->folder);
    case FORMULA_PARAM: return a->param == b->param;
    case FORMULA_NEGATE: return formula_eq(a->l, b->l);
    case FORMULA_BINARY:
        return strcmp(a->op, b->op) == 0 && formula_eq(a->l, b->l) &&
               formula_eq(a->r, b->r);
    case FORMULA_LIST: return same_items(a, b);
    }
    BUG("no such formula");
}

// ---- working it out -------------------------------------------------------------------
struct eval {
    struct arena *arena;
    const struct formula_param *params;
    struct fault *why;
};

static bool eval(struct eval *e, const struct formula *f, struct value *out,
                 const char **folder);

static bool eval_binary(struct eval *e, const struct formula *f, struct value *out,
                        const char **folder) {
    struct value l, r;
    const char *ignored;
    return eval(e, f->l, &l, folder) && eval(e, f->r, &r, &ignored) &&
           constant_binary(e->arena, f->op, &l, &r, out, e->why);
}

bool formula_list(struct arena *a, const struct value *items, size_t n, struct value *out,
                  size_t *bad) {
    int64_t *is = NEW_N(a, int64_t, n);
    double *fs = NEW_N(a, double, n);
    bool floats = false;
    for (*bad = 0; *bad < n; ++*bad) {
        const struct value *v = &items[*bad];
        if (v->kind != VAL_INT && v->kind != VAL_FLOAT) return false;
        is[*bad] = v->i;
        fs[*bad] = v->kind == VAL_INT ? (double)v->i : v->f;
        floats = floats || v->kind == VAL_FLOAT;
    }
    *out = floats ? val_floats(fs, n) : val_ints(is, n);
    return true;
}

static bool eval_list(struct eval *e, const struct formula *f, struct value *out) {
    struct value *items = NEW_N(e->arena, struct value, f->nitems);
    const char *ignored;
    size_t bad;
    for (size_t i = 0; i < f->nitems; i++)
        if (!eval(e, f->items[i], &items[i], &ignored)) return false;
    if (formula_list(e->arena, items, f->nitems, out, &bad)) return true;
    *e->why = (struct fault){arena_printf(e->arena, "a list holds numbers; got %s",
                                          constant_describe(e->arena, &items[bad])),
                             NULL};
    return false;
}

static bool eval(struct eval *e, const struct formula *f, struct value *out,
                 const char **folder) {
    struct value v;
    *folder = NULL;
    switch (f->kind) {
    case FORMULA_VALUE: *out = f->value, *folder = f->folder; return true;
    case FORMULA_PARAM:
        *out = e->params[f->param].value, *folder = e->params[f->param].folder;
        return true;
    case FORMULA_NEGATE:
        return eval(e, f->l, &v, folder) && constant_negate(e->arena, &v, out, e->why);
    case FORMULA_BINARY: return eval_binary(e, f, out, folder);
    case FORMULA_LIST: return eval_list(e, f, out);
    }
    BUG("no such formula");
}

bool formula_eval(struct arena *a, const struct formula *f,
                  const struct formula_param *params, struct value *out,
                  const char **folder, struct fault *why) {
    struct eval e = {a, params, why};
    const char *ignored;
    return eval(&e, f, out, folder ? folder : &ignored);
}

// ---- making them ----------------------------------------------------------------------
struct value value_of_param(struct arena *a, struct value v, uint32_t param) {
    struct formula *f = NEW(a, struct formula);
    *f = (struct formula){.kind = FORMULA_PARAM, .param = param};
    v.of = f;
    return v;
}

const struct formula *formula_of(struct arena *a, const struct value *v,
                                 const char *folder) {
    if (v->of) return v->of;
    struct formula *f = NEW(a, struct formula);
    *f = (struct formula){.kind = FORMULA_VALUE, .value = *v, .folder = folder};
    return f;
}

struct value value_joined(struct arena *a, struct value v, struct formula how) {
    struct formula *f = NEW(a, struct formula);
    *f = how;
    v.of = f;
    return v;
}

bool formula_binary(struct arena *a, const char *op, const struct value *l,
                    const struct value *r, struct value *out, struct fault *f) {
    if (!constant_binary(a, op, l, r, out, f)) return false;
    if (!l->of && !r->of) return true;
    *out = value_joined(a, *out,
                        (struct formula){.kind = FORMULA_BINARY,
                                         .op = op,
                                         .l = formula_of(a, l, NULL),
                                         .r = formula_of(a, r, NULL)});
    return true;
}
