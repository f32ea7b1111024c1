// See formula.h.
#include "runtime/formula.h"

// ---- the same? -----------------------------------------------------------------------
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
    case FORMULA_LIST:
    case FORMULA_OPAQUE: return same_items(a, b);
    }
    BUG("no such formula");
}

// ---- working it out ------------------------------------------------------------------
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
    case FORMULA_OPAQUE: break;
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

// ---- making them ---------------------------------------------------------------------
void formula_params(const struct formula *f, void (*fn)(void *, uint32_t), void *ctx) {
    if (f->kind == FORMULA_PARAM) fn(ctx, f->param);
    if (f->l) formula_params(f->l, fn, ctx);
    if (f->r) formula_params(f->r, fn, ctx);
    for (size_t i = 0; i < f->nitems; i++) formula_params(f->items[i], fn, ctx);
}

struct gathered {
    struct arena *arena;
    VEC(const struct formula *) params;
};

static void gather(void *ctx, uint32_t param) {
    struct gathered *g = ctx;
    for (size_t i = 0; i < g->params.n; i++)
        if (g->params.at[i]->param == param) return;
    struct formula *f = NEW(g->arena, struct formula);
    *f = (struct formula){.kind = FORMULA_PARAM, .param = param, .size = 1, .depth = 1};
    VEC_PUSH(g->arena, &g->params, f);
}

static void add_part(struct formula *f, const struct formula *part, bool *opaque) {
    if (!part) return;
    f->size += part->size; // all parts are small
    f->depth = size_max(f->depth, part->depth + 1);
    *opaque = *opaque || part->kind == FORMULA_OPAQUE;
}

static bool formula_fits(const struct formula *f, size_t spare) {
    return f->size + spare <= FORMULA_MAX_SIZE && f->depth + spare <= FORMULA_MAX_DEPTH;
}

// What is left of a formula that is too large, or that nothing can say.
static struct formula opaque_of(struct arena *a, const struct formula *f) {
    struct gathered g = {.arena = a};
    formula_params(f, gather, &g);
    return (struct formula){.kind = FORMULA_OPAQUE,
                            .nitems = g.params.n,
                            .items = g.params.at,
                            .size = 1,
                            .depth = 1};
}

static const struct formula *formula_new(struct arena *a, struct formula how,
                                         size_t spare) {
    struct formula *f = NEW(a, struct formula);
    bool opaque = false;
    *f = how;
    f->size = f->depth = 1;
    add_part(f, f->l, &opaque);
    add_part(f, f->r, &opaque);
    for (size_t i = 0; i < f->nitems; i++) add_part(f, f->items[i], &opaque);
    if (!opaque && formula_fits(f, spare)) return f;
    *f = opaque_of(a, f);
    return f;
}

struct value value_from(struct arena *a, struct value v, struct formula f) {
    v.of = formula_new(a, f, FORMULA_SPARE);
    return v;
}

struct value value_made(struct arena *a, struct value v, struct formula f) {
    v.of = formula_new(a, f, 0);
    return v;
}

struct value value_opaque(struct arena *a, struct value v, const struct formula *f) {
    struct formula *of = NEW(a, struct formula);
    *of = opaque_of(a, f);
    v.of = of;
    return v;
}

const struct formula *formula_of(struct arena *a, const struct value *v,
                                 const char *folder) {
    if (v->of) return v->of;
    return formula_new(
        a, (struct formula){.kind = FORMULA_VALUE, .value = *v, .folder = folder}, 0);
}
