// Evaluates a program: names, arithmetic and calls of `def`s. See check.h; lists are in
// check_list.c, the language's ops in check_op.c.
//
// Declarations come in order (order.c), so a name's value is there when it is asked for.
// A def is expanded at each call: its locals are evaluated in a frame of their own. Steps
// and depth are counted, so a small program cannot grow without end.
#include "frontend/check.h"

#include "frontend/check_core.h"
#include "runtime/formula.h"
#include "runtime/overlap.h"

// ---- errors -------------------------------------------------------------------------
static const char *describe(struct checker *c, const struct result *r) {
    if (r->kind == RESULT_NODE) return type_str(c->arena, type_at(c->b.f, r->node));
    if (r->kind == RESULT_VALUE) return constant_describe(c->arena, &r->value);
    return arena_printf(c->arena, "a list of %zu, the first %s", r->list->n,
                        describe(c, &r->list->at[0].r));
}

static void note_rounds(struct checker *c) {
    for (const struct round *r = c->round; r; r = r->up)
        diag_note(c->d, r->var->span, "`%s` is %s", r->var->name, describe(c, r->value));
}

void check_note_calls(struct checker *c, const struct frame *f) {
    note_rounds(c);
    for (; f; f = f->up) diag_note(c->d, f->call, "in this call of `%s`", f->def->name);
}

static bool span_eq(struct span a, struct span b) {
    return a.file == b.file && a.start == b.start && a.end == b.end;
}

static bool reported_at(const struct diags *d, struct span at) {
    for (size_t i = 0; i < d->list.n; i++)
        if (d->list.at[i].severity == DIAG_ERROR && span_eq(d->list.at[i].span, at))
            return true;
    return false;
}

// Where a name got its value: a def's argument at the call, or where it was bound.
static void note_origin(struct checker *c, const struct frame *f, const struct expr *e) {
    if (!e || e->kind != EXPR_NAME || !e->name.decl) return;
    const struct decl *d = e->name.decl;
    if (d->kind == DECL_VAR) return; // said with its value
    if (d->kind != DECL_ARG) diag_note(c->d, d->span, "`%s` is bound here", d->name);
    else diag_note(c->d, f->args[d->index]->span, "`%s` is this", d->name);
}

bool check_report(struct checker *c, const struct frame *f, struct span at,
                  const struct expr *about, const char *help, const char *fmt, ...) {
    if (f && reported_at(c->d, at)) return false;
    va_list ap;
    va_start(ap, fmt);
    const char *message = arena_vprintf(c->arena, fmt, ap);
    va_end(ap);
    diag_error(c->d, at, "%s", message);
    if (help) diag_help(c->d, "%s", help);
    note_origin(c, f, about);
    check_note_calls(c, f);
    return false;
}

const char *check_came(struct checker *c, const struct expr *e, const struct result *r) {
    const char *what = describe(c, r);
    return e->kind == EXPR_NAME ? arena_printf(c->arena, "`%s` is %s", e->name.text, what)
                                : arena_printf(c->arena, "got %s", what);
}

bool check_steps(struct checker *c, struct span at, size_t n) {
    if (c->stopped) return false;
    c->steps += n;
    if (c->steps <= EVAL_MAX_STEPS) return true;
    c->stopped = true;
    return diag_error(
        c->d, at,
        "this program is too large: with its `def`s expanded it has more than "
        "%d expressions",
        EVAL_MAX_STEPS);
}

// ---- compile-time values ------------------------------------------------------------
static struct result of_value(struct value v, const struct source *base) {
    return (struct result){.kind = RESULT_VALUE, .value = v, .base = base};
}

const char *check_folder(struct checker *c, const struct source *base) {
    const char *slash = base ? strrchr(base->path, '/') : NULL;
    size_t n = slash ? (size_t)(slash - base->path) : 0;
    return slash ? arena_strndup(c->arena, base->path, size_max(n, 1)) : NULL;
}

static const struct formula *formula_in(struct checker *c, const struct result *r) {
    return formula_of(c->arena, &r->value, check_folder(c, r->base));
}

// What an operation's result follows from, if one of its operands follows from a param.
static void keep_formula(struct checker *c, const struct expr *e, const struct result *l,
                         const struct result *r, struct value *out) {
    if (!l->value.of && !(r && r->value.of)) return;
    struct formula f = {.kind = FORMULA_NEGATE, .l = formula_in(c, l)};
    if (r) f.kind = FORMULA_BINARY, f.op = e->binary.op, f.r = formula_in(c, r);
    *out = value_from(c->arena, *out, f);
}

// Arithmetic needs compile-time values.
static bool is_value(struct checker *c, const struct frame *f, const struct expr *op,
                     const struct expr *e, const struct result *r) {
    if (r->kind == RESULT_POISON || r->kind == RESULT_VALUE)
        return r->kind == RESULT_VALUE;
    return check_report(c, f, op->binary.op_span, e, NULL,
                        "`%s` is for numbers known at compile time; %s", op->binary.op,
                        check_came(c, e, r));
}

static struct result of_operation(struct checker *c, const struct frame *f,
                                  const struct expr *e, const struct result *l,
                                  const struct result *r) {
    struct fault fault;
    struct value v;
    bool ok = e->kind == EXPR_NEGATE ? constant_negate(c->arena, &l->value, &v, &fault)
                                     : constant_binary(c->arena, e->binary.op, &l->value,
                                                       &r->value, &v, &fault);
    if (!ok) {
        check_report(c, f, e->binary.op_span, NULL, fault.help, "%s", fault.why);
        return POISON;
    }
    if (v.kind == VAL_STRING && !check_steps(c, e->span, strlen(v.s) / 64)) return POISON;
    keep_formula(c, e, l, r, &v);
    return of_value(v, l->base);
}

static struct result check_negate(struct checker *c, const struct frame *f,
                                  const struct expr *e) {
    struct result l = check_expr(c, f, e->binary.l, NULL);
    return is_value(c, f, e, e->binary.l, &l) ? of_operation(c, f, e, &l, NULL) : POISON;
}

static struct result check_binary(struct checker *c, const struct frame *f,
                                  const struct expr *e) {
    struct result l = check_expr(c, f, e->binary.l, NULL);
    struct result r = check_expr(c, f, e->binary.r, NULL);
    if (l.kind == RESULT_POISON || r.kind == RESULT_POISON) return POISON;
    if (e->binary.op[0] == '+' && (check_is_list(&l) || check_is_list(&r)))
        return check_join(c, f, e, &l, &r);
    bool ok = is_value(c, f, e, e->binary.l, &l) && is_value(c, f, e, e->binary.r, &r);
    return ok ? of_operation(c, f, e, &l, &r) : POISON;
}

// ---- calls of defs ------------------------------------------------------------------
static struct frame new_frame(struct checker *c, const struct frame *up,
                              const struct call *call, const char *name) {
    const struct decl *def = call->def;
    struct frame f = {.def = def, .up = up, .call = call->name_span};
    f.values = NEW_N(c->arena, struct result, def->nvalues);
    f.args = NEW_N(c->arena, const struct expr *, def->args.n);
    f.prefix =
        name ? name
        : up ? arena_printf(c->arena, "%.*s.%s", NAME_MAX_BYTES, up->prefix, def->name)
             : def->name;
    return f;
}

// Arguments belong to the caller; defaults to where the def stands.
static void check_args(struct checker *c, const struct frame *f,
                       const struct call *call) {
    for (size_t i = 0; i < f->def->args.n; i++) {
        const struct expr *given = call->slots[i];
        f->args[i] = given ? given : f->def->args.at[i]->expr;
        f->values[i] = check_expr(c, given ? f->up : f, f->args[i], NULL);
    }
}

static struct result check_body(struct checker *c, const struct frame *f,
                                const char *name) {
    size_t before = c->b.f->nodes.n;
    for (size_t i = 0; i < f->def->locals.n && !c->stopped; i++) {
        const struct decl *d = f->def->locals.at[i];
        const char *full =
            arena_printf(c->arena, "%.*s.%s", NAME_MAX_BYTES, f->prefix, d->name);
        struct result r = check_expr(c, f, d->expr, full);
        f->values[d->index] = d->cyclic ? POISON : r;
    }
    struct result r = check_expr(c, f, f->def->expr, name);
    // What a call gives is called what the call is bound to.
    if (r.kind == RESULT_NODE && name && r.node >= before)
        c->b.f->nodes.at[r.node].name = name;
    return r;
}

static struct result check_def_call(struct checker *c, const struct frame *f,
                                    const struct expr *e, const char *name) {
    const struct decl *def = e->call->def;
    size_t work = 1 + def->nvalues / 8;
    if (!check_steps(c, e->span, work)) return POISON;
    struct frame inner = new_frame(c, f, e->call, name);
    check_args(c, &inner, e->call);
    return def->cyclic ? POISON : check_body(c, &inner, name);
}

static struct result check_call(struct checker *c, const struct frame *f,
                                const struct expr *e, const char *name) {
    const struct call *call = e->call;
    if (!call->bad)
        return call->def ? check_def_call(c, f, e, name) : check_op_call(c, f, e, name);
    for (size_t i = 0; i < call->nargs; i++) check_expr(c, f, call->args[i].value, NULL);
    return POISON;
}

// ---- expressions --------------------------------------------------------------------
static struct result check_name(struct checker *c, const struct frame *f,
                                const struct expr *e) {
    const struct decl *d = e->name.decl;
    if (!d) return POISON;
    return d->owner ? f->values[d->index] : c->globals[d->index];
}

static struct result check_kind(struct checker *c, const struct frame *f,
                                const struct expr *e, const char *name) {
    switch (e->kind) {
    case EXPR_BAD: return POISON;
    case EXPR_VALUE: return of_value(e->value, e->span.file);
    case EXPR_NAME: return check_name(c, f, e);
    case EXPR_LIST: return check_list(c, f, e, name);
    case EXPR_EACH: return check_each(c, f, e, name);
    case EXPR_NEGATE: return check_negate(c, f, e);
    case EXPR_BINARY: return check_binary(c, f, e);
    case EXPR_CALL: return check_call(c, f, e, name);
    }
    BUG("unknown kind of expression %d", (int)e->kind);
}

struct result check_expr(struct checker *c, const struct frame *f, const struct expr *e,
                         const char *name) {
    if (!check_steps(c, e->span, 1)) return POISON;
    if (c->depth == EVAL_MAX_DEPTH) {
        check_report(c, f, e->span, NULL, NULL, "calls of `def`s nest too deeply here");
        return POISON;
    }
    c->depth++;
    struct result r = check_kind(c, f, e, name);
    c->depth--;
    return r;
}

// ---- declarations -------------------------------------------------------------------
static bool is_list_type(const struct decl *d) {
    return d->type == VAL_INTS || d->type == VAL_FLOATS;
}

static const char *list_help(const struct decl *d, const struct result *r) {
    bool number = r->kind == RESULT_VALUE &&
                  (r->value.kind == VAL_INT || r->value.kind == VAL_FLOAT);
    return is_list_type(d) && number ? "a list is written in brackets: [1, 2]" : NULL;
}

// The value of a param: of its default, and of what -D says instead.
static struct result check_param_value(struct checker *c, const struct decl *d,
                                       const struct expr *e, const char *what) {
    struct result r = check_expr(c, NULL, e, NULL);
    if (r.kind == RESULT_POISON || d->type == VAL_NONE) return POISON;
    if (r.kind == RESULT_VALUE && constant_convert(c->arena, &r.value, d->type)) return r;
    const struct result *came = &r;
    if (is_list_type(d)) check_odd_item(&e, &came);
    check_report(c, NULL, e->span, e, list_help(d, &r),
                 "param `%s` is %s; its %s is not: %s", d->name,
                 constant_kind_name(d->type), what, check_came(c, e, came));
    return POISON;
}

static struct result check_param(struct checker *c, const struct decl *d) {
    struct result r = check_param_value(c, d, d->expr, "default");
    if (d->given) r = check_param_value(c, d, d->given, "value");
    else if (r.kind == RESULT_VALUE) c->defaults[d->index] = r.value.of;
    struct formula f = {.kind = FORMULA_PARAM, .param = d->param};
    if (r.kind == RESULT_VALUE) r.value = value_from(c->arena, r.value, f);
    return r;
}

static const char *trim_slashes(struct arena *a, const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    return arena_strndup(a, path, n);
}

static void tell_overlap(struct checker *c, struct span at, const struct node *other,
                         const char *to, enum overlap overlap) {
    static const char *const what[] = {
        [OVERLAP_SAME] = "is written twice",
        [OVERLAP_INSIDE] = "lies inside another result",
        [OVERLAP_AROUND] = "is a folder around another result",
    };
    diag_error(c->d, at, "\"%s\" %s", to, what[overlap]);
    if (overlap != OVERLAP_SAME)
        diag_help(c->d, "a result is replaced as a whole: give each a place of its own");
    diag_note(c->d, other->span,
              overlap == OVERLAP_SAME ? "it is written here already"
                                      : "the other one is written here");
}

// The places that an output writes, at most two; how many.
static size_t places_of(struct checker *c, nid out, const char *places[2]) {
    const struct node *n = node_at(c->b.f, out);
    bool writes = n->op == OP_SAVE || n->op == OP_REPORT;
    const struct value *to = writes ? node_attr(n, "to") : NULL;
    if (!to || to->kind == VAL_NONE) return 0;
    places[0] = trim_slashes(c->arena, to->s);
    if (n->op == OP_SAVE) return 1;
    places[1] = arena_printf(c->arena, "%s.json", places[0]);
    places[0] = arena_printf(c->arena, "%s.csv", places[0]);
    return 2;
}

static bool lies_apart(struct checker *c, const struct decl *d, const char *place,
                       nid other) {
    const char *theirs[2];
    size_t n = places_of(c, other, theirs);
    for (size_t i = 0; i < n; i++) {
        enum overlap overlap = path_overlap(place, theirs[i]);
        if (overlap == OVERLAP_NONE) continue;
        tell_overlap(c, d->expr->span, node_at(c->b.f, other), place, overlap);
        return false;
    }
    return true;
}

// Nothing is written twice, nor into another result: which of two would stay?
static bool check_places(struct checker *c, const struct decl *d, nid out) {
    const struct func *f = c->b.f;
    const char *places[2];
    size_t n = places_of(c, out, places);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < f->outs.n; k++)
            if (!lies_apart(c, d, places[i], f->outs.at[k])) return false;
    return true;
}

// What is asked for a second time is the same node; what is written a second time is not
// what anybody wants.
static void check_statement(struct checker *c, const struct decl *d) {
    const struct func *f = c->b.f;
    const char *places[2], *name = d->name;
    struct result r = check_call(c, NULL, d->expr, NULL);
    if (r.kind != RESULT_NODE || !check_places(c, d, r.node)) return;
    for (size_t i = 0; i < f->outs.n; i++)
        if (f->outs.at[i] == r.node) return;
    if (node_at(f, r.node)->op == OP_SAVE && places_of(c, r.node, places))
        name = places[0];
    build_output(&c->b, name, r.node);
}

static void check_decl(struct checker *c, const struct decl *d) {
    struct result r = POISON;
    switch (d->kind) {
    case DECL_DEF:
    case DECL_ARG:
    case DECL_VAR: return;
    case DECL_CALL: check_statement(c, d); return;
    case DECL_PARAM: r = check_param(c, d); break;
    case DECL_BIND: r = check_expr(c, NULL, d->expr, d->name); break;
    }
    c->globals[d->index] = d->cyclic ? POISON : r;
}

struct checked check_tree(struct arena *arena, const struct tree *tree, struct diags *d) {
    struct checker c = {.arena = arena,
                        .d = d,
                        .times = tree->times,
                        .model = tree->model,
                        .bf16 = tree->bf16};
    builder_init(&c.b, arena, "program");
    c.b.fold = false;
    c.globals = NEW_N(arena, struct result, tree->nvalues);
    c.defaults = NEW_N(arena, const struct formula *, tree->nvalues);
    for (size_t i = 0; i < tree->ordered.n && !c.stopped; i++)
        check_decl(&c, tree->ordered.at[i]);
    struct value *values = NEW_N(arena, struct value, tree->nvalues);
    const char **folders = NEW_N(arena, const char *, tree->nvalues);
    for (size_t i = 0; i < tree->nvalues; i++) {
        values[i] = c.globals[i].value;
        folders[i] = check_folder(&c, c.globals[i].base);
    }
    return (struct checked){builder_finish(&c.b), values, folders, c.defaults};
}
