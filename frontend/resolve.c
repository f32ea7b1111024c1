// What the names in a program mean. See resolve.h.
//
// A file sees its own declarations and the `def`s and `param`s of what it imports; a def
// sees its parameters and locals first. A call of an op's name is the op, so no `def` may
// have it; a value may (`train = images(...)`). As names are found, the declarations they
// stand in are told what they use (order.c sorts by that).
#include "frontend/resolve.h"

#include "frontend/names.h"

struct resolver {
    struct arena *arena;
    struct diags *d;
    struct tree *tree;
    struct file *file;
    struct decl *global;          // the declaration at the top level being read
    struct decl *local;           // the one inside that def, or NULL
    struct names locals;          // of that def
    struct decl *def;             // whose text is being read, or NULL
    const struct list_name *vars; // the names of the lists around it
};

struct list_name {
    struct decl *var;
    const struct list_name *up;
};

static void resolve_expr(struct resolver *r, struct expr *e);

// ---- declaring ----------------------------------------------------------------------
static bool is_op(const char *name) {
    return op_find(FAMILY_PIPELINE, name, strlen(name)) != OP_COUNT;
}

static void check_not_op(struct resolver *r, const struct decl *d) {
    if (d->kind != DECL_DEF || !is_op(d->name)) return;
    diag_error(r->d, d->span, "`%s` is an op, so no `def` can be called that", d->name);
    diag_help(r->d, "choose another name, such as `my_%s`", d->name);
}

// Adds a name to a scope in which it must be new.
static void declare(struct resolver *r, struct names *scope, struct decl *d) {
    check_not_op(r, d);
    const struct decl *other = names_add(r->arena, scope, d);
    if (!other) return;
    diag_error(r->d, d->span, "`%s` is bound twice", d->name);
    diag_note(r->d, other->span, "it is bound here already");
}

// Adds what a file gets from another one.
static void declare_import(struct resolver *r, struct file *f, struct decl *d) {
    const struct decl *other = names_add(r->arena, &f->names, d);
    // Two of the same file are reported there.
    if (!other || other == d || other->file == d->file) return;
    bool own = other->file == f;
    const struct decl *at = own ? other : d, *from = own ? d : other;
    diag_error(r->d, at->span, "`%s` is also defined in \"%s\"%s", d->name,
               from->file->source->path, own ? ", which is imported" : "");
    diag_note(r->d, from->span, "the other one is here");
}

static bool sees(const struct file *f, const struct file *other) {
    return f->sees >> other->index & 1;
}

static bool is_exported(const struct decl *d) {
    return d->kind == DECL_DEF || d->kind == DECL_PARAM;
}

static void declare_file(struct resolver *r, struct file *f) {
    for (size_t i = 0; i < f->decls.n; i++) {
        struct decl *d = f->decls.at[i];
        d->index = r->tree->nvalues++;
        if (d->kind != DECL_CALL) declare(r, &f->names, d);
    }
}

static void declare_imports(struct resolver *r, struct file *f) {
    for (size_t i = 0; i < r->tree->files.n; i++) {
        const struct file *from = r->tree->files.at[i];
        if (from == f || !sees(f, from)) continue;
        for (size_t k = 0; k < from->decls.n; k++)
            if (is_exported(from->decls.at[k])) declare_import(r, f, from->decls.at[k]);
    }
}

static bool is_choice(const char *choices, const char *word) {
    size_t n = strlen(word);
    for (const char *at = choices;;) {
        size_t m = strcspn(at, "|");
        if (m == n && memcmp(at, word, n) == 0) return true;
        if (!at[m]) return false;
        at += m + 1;
    }
}

// Is the word a choice of some op's attribute?
static bool is_any_choice(const char *word) {
    for (size_t i = 0; i < OP_COUNT; i++) {
        const struct op_info *info = op_info((enum op)i);
        if (info->family != FAMILY_PIPELINE) continue;
        for (const struct attr_spec *a = info->attrs; a->name; a++)
            if (a->choices && is_choice(a->choices, word)) return true;
    }
    return false;
}

// ---- looking up ---------------------------------------------------------------------
static struct decl *find(const struct resolver *r, const char *name) {
    for (const struct list_name *s = r->vars; s; s = s->up)
        if (strcmp(s->var->name, name) == 0) return s->var;
    struct decl *d = names_find(&r->locals, name);
    return d ? d : names_find(&r->file->names, name);
}

static void add_use(struct resolver *r, struct decl *d, struct span span) {
    struct use use = {d, span};
    if (d->kind == DECL_VAR) return; // it has its value when its list is made
    if (!d->owner) VEC_PUSH(r->arena, &r->global->uses, use);
    else if (r->local) VEC_PUSH(r->arena, &r->local->uses, use);
}

// May the name be in something that could not be read?
static bool may_be_unread(const struct resolver *r) {
    for (size_t i = 0; i < r->tree->files.n; i++)
        if (sees(r->file, r->tree->files.at[i]) && r->tree->files.at[i]->holes)
            return true;
    return false;
}

static bool more_errors_kept(const struct resolver *r) {
    return r->d->errors <= DIAGS_MAX_ERRORS;
}

// A file that has the name but is not seen from here.
static const struct file *defined_elsewhere(const struct resolver *r, const char *name) {
    for (size_t i = 0; i < r->tree->files.n; i++) {
        const struct file *f = r->tree->files.at[i];
        const struct decl *d = names_find(&f->names, name);
        if (d && d->file == f && is_exported(d)) return f;
    }
    return NULL;
}

static void help_unknown(struct resolver *r, const char *name,
                         const struct candidates *c) {
    const char *near = candidates_near(c, name);
    const struct file *f = defined_elsewhere(r, name);
    if (near) diag_help(r->d, "did you mean `%s`?", near);
    else if (f) diag_help(r->d, "\"%s\" defines it; import that file", f->source->path);
    else if (is_any_choice(name)) diag_help(r->d, "here, write it as text: \"%s\"", name);
}

static void unknown_name(struct resolver *r, const struct expr *e) {
    if (may_be_unread(r)) return;
    diag_error(r->d, e->span, "unknown name `%s`", e->name.text);
    if (!more_errors_kept(r)) return;
    struct candidates c = {.arena = r->arena};
    for (const struct list_name *s = r->vars; s; s = s->up)
        VEC_PUSH(r->arena, &c.list, s->var->name);
    candidates_add(&c, &r->locals, ~0u);
    candidates_add(&c, &r->file->names, 1u << DECL_BIND | 1u << DECL_PARAM);
    help_unknown(r, e->name.text, &c);
}

static void resolve_name(struct resolver *r, struct expr *e) {
    struct decl *d = find(r, e->name.text);
    bool callable = d ? d->kind == DECL_DEF : is_op(e->name.text);
    if (callable)
        diag_error(r->d, e->span, "`%s` is an op; to use it, call it: `%s(...)`",
                   e->name.text, e->name.text);
    else if (!d) unknown_name(r, e);
    if (!d || callable) return;
    e->name.decl = d;
    add_use(r, d, e->span);
}

// ---- what is called -----------------------------------------------------------------
static void not_callable(struct resolver *r, const struct call *c) {
    const struct decl *d = find(r, c->name);
    if (d) {
        diag_error(r->d, c->name_span, "`%s` is a value, not an op: it cannot be called",
                   c->name);
        diag_note(r->d, d->span, "it is bound here");
        return;
    }
    if (may_be_unread(r)) return;
    diag_error(r->d, c->name_span, "unknown op `%s`", c->name);
    if (!more_errors_kept(r)) return;
    struct candidates near = {.arena = r->arena};
    candidates_add_ops(&near);
    candidates_add(&near, &r->file->names, 1u << DECL_DEF);
    help_unknown(r, c->name, &near);
}

static bool find_callee(struct resolver *r, struct call *c) {
    c->op = op_find(FAMILY_PIPELINE, c->name, strlen(c->name));
    if (c->op != OP_COUNT) return true;
    struct decl *d = find(r, c->name);
    if (d && d->kind == DECL_DEF) {
        c->def = d;
        add_use(r, d, c->name_span);
        return true;
    }
    not_callable(r, c);
    return false;
}

const char *call_slot_name(const struct call *c, size_t slot) {
    if (c->def) return slot < c->def->args.n ? c->def->args.at[slot]->name : NULL;
    const struct op_info *info = op_info(c->op);
    size_t nin = op_operand_count(c->op);
    return slot < nin ? info->operands[slot].name : info->attrs[slot - nin].name;
}

static size_t slot_count(const struct call *c) {
    return c->def ? c->def->args.n : op_operand_count(c->op) + op_attr_count(c->op);
}

static bool slot_required(const struct call *c, size_t slot) {
    if (c->def) return !c->def->args.at[slot]->expr;
    const struct op_info *info = op_info(c->op);
    size_t nin = op_operand_count(c->op);
    return slot < nin ? !info->operands[slot].optional
                      : !info->attrs[slot - nin].fallback;
}

// ---- arguments ----------------------------------------------------------------------
static size_t find_slot(const struct call *c, const char *name) {
    size_t n = slot_count(c), i = 0;
    while (i < n && strcmp(call_slot_name(c, i), name) != 0) i++;
    return i;
}

// "`map`, `window` and `stride`": the slots for which want(c, i).
static const char *slot_list(struct resolver *r, const struct call *c,
                             bool (*want)(const struct call *, size_t)) {
    struct text t = {.arena = r->arena};
    size_t left = 0, shown = 0;
    for (size_t i = 0; i < slot_count(c); i++) left += want(c, i);
    for (size_t i = 0; i < slot_count(c) && shown < 16; i++) {
        if (!want(c, i)) continue;
        left--;
        text_add(&t, "%s`%s`",
                 !shown++ ? ""
                 : left   ? ", "
                          : " and ",
                 call_slot_name(c, i));
    }
    if (left) text_add(&t, " and %zu more", left);
    return t.at;
}

static bool any_slot(const struct call *c, size_t i) {
    (void)c;
    (void)i;
    return true;
}

static bool slot_missing(const struct call *c, size_t i) {
    return slot_required(c, i) && !c->slots[i];
}

// What others call our arguments.
static const char *our_word(const char *name) {
    static const struct {
        const char *theirs, *ours;
    } words[] = {
        {"lr", "rate"},
        {"learning_rate", "rate"},
        {"weight_decay", "decay"},
        {"batch_size", "batch"},
        {"eps", "epsilon"},
        {"scheduler", "schedule"},
        {"num_classes", "classes"},
        {"image_size", "size"},
        {"topk", "top"},
        {"augmentations", "augment"},
        {"transform", "augment"},
        {"T", "temperature"},
    };
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(words[i].theirs, name) == 0) return words[i].ours;
    return NULL;
}

static bool unknown_argument(struct resolver *r, const struct call *c,
                             const struct arg *arg) {
    diag_error(r->d, arg->name_span, "`%s` has no argument `%s`", c->name, arg->name);
    if (!more_errors_kept(r)) return false;
    struct candidates names = {.arena = r->arena};
    for (size_t i = 0; i < slot_count(c); i++)
        VEC_PUSH(r->arena, &names.list, call_slot_name(c, i));
    const char *near = our_word(arg->name);
    if (!near || find_slot(c, near) == slot_count(c))
        near = candidates_near(&names, arg->name);
    if (near) return diag_help(r->d, "did you mean `%s`?", near);
    const char *all = slot_list(r, c, any_slot);
    return all ? diag_help(r->d, "it takes %s", all) : false;
}

static bool too_many(struct resolver *r, const struct call *c, const struct arg *arg) {
    size_t n = slot_count(c);
    diag_error(r->d, arg->value->span, "`%s` takes %s%zu argument%s; this is one more",
               c->name, n ? "at most " : "", n, n == 1 ? "" : "s");
    return n ? diag_help(r->d, "they are %s", slot_list(r, c, any_slot)) : false;
}

static bool fill_slot(struct resolver *r, struct call *c, const struct arg *arg,
                      size_t position) {
    size_t slot = arg->name ? find_slot(c, arg->name) : position;
    if (slot >= slot_count(c))
        return arg->name ? unknown_argument(r, c, arg) : too_many(r, c, arg);
    if (c->slots[slot]) {
        diag_error(r->d, arg->name_span, "`%s` of `%s` is given twice", arg->name,
                   c->name);
        return diag_note(r->d, c->slots[slot]->span, "it is given here already");
    }
    c->slots[slot] = arg->value;
    return true;
}

// save(set, "out"): by position, the text is taken for an operand.
static const char *text_for_operand(const struct call *c) {
    size_t nin = c->def ? 0 : op_operand_count(c->op);
    for (size_t i = 0; i < nin; i++)
        if (c->slots[i] && c->slots[i]->kind == EXPR_VALUE)
            return op_info(c->op)->operands[i].name;
    return NULL;
}

static bool check_missing(struct resolver *r, const struct call *c) {
    size_t first = 0;
    while (first < slot_count(c) && !slot_missing(c, first)) first++;
    if (first == slot_count(c)) return true;
    const char *taken = text_for_operand(c), *name = call_slot_name(c, first);
    diag_error(r->d, c->name_span, "`%s` also needs %s", c->name,
               slot_list(r, c, slot_missing));
    if (c->def) return diag_note(r->d, c->def->span, "it is defined here");
    if (taken)
        return diag_help(r->d, "write `%s = ...`: by position it is taken for `%s`", name,
                         taken);
    return diag_help(r->d, "`%s` takes %s", c->name, slot_list(r, c, any_slot));
}

static void fill_slots(struct resolver *r, struct call *c) {
    c->slots = NEW_N(r->arena, struct expr *, slot_count(c));
    for (size_t i = 0; i < c->nargs; i++) {
        bool fits = fill_slot(r, c, &c->args[i], i);
        if (!fits) c->bad = true;
        if (!fits && !c->args[i].name) return; // and so are all behind it
    }
    if (!c->bad) c->bad = !check_missing(r, c);
}

// ---- bare words ---------------------------------------------------------------------
// In place of an attribute with choices (`per = class`), a word that is one of them is
// that string. False when e is to be resolved like any other expression.
static bool resolve_choice(struct resolver *r, const struct call *c, size_t slot,
                           struct expr *e) {
    size_t nin = c->op == OP_COUNT ? 0 : op_operand_count(c->op);
    if (c->op == OP_COUNT || slot < nin || e->kind != EXPR_NAME) return false;
    const struct attr_spec *spec = &op_info(c->op)->attrs[slot - nin];
    if (!spec->choices ||
        (!is_choice(spec->choices, e->name.text) && find(r, e->name.text)))
        return false;
    const char *word = e->name.text;
    const struct decl *d = find(r, word);
    if (d) {
        diag_error(r->d, e->span, "`%s` is a choice of `%s` and also a name of yours",
                   word, spec->name);
        diag_note(r->d, d->span, "the name is bound here");
        diag_help(r->d, "write \"%s\" for the choice, or rename the other", word);
    }
    // A word that is none of them is reported with the value of the attribute.
    e->kind = EXPR_VALUE;
    e->value = val_string(word);
    return true;
}

// The slot that an argument fills, SIZE_MAX when it fits none.
static size_t slot_filled(const struct call *c, const struct expr *e) {
    size_t n = c->slots ? slot_count(c) : 0;
    for (size_t i = 0; i < n; i++)
        if (c->slots[i] == e) return i;
    return SIZE_MAX;
}

static void resolve_arg(struct resolver *r, const struct call *c, struct expr *e) {
    size_t slot = slot_filled(c, e);
    // What is called, or the argument's name, is mistyped: this may be one of its
    // choices.
    if (slot == SIZE_MAX && e->kind == EXPR_NAME && !find(r, e->name.text) &&
        is_any_choice(e->name.text))
        return;
    if (slot == SIZE_MAX || !resolve_choice(r, c, slot, e)) resolve_expr(r, e);
}

static void resolve_call(struct resolver *r, struct call *c) {
    if (find_callee(r, c)) fill_slots(r, c);
    else c->bad = true;
    for (size_t i = 0; i < c->nargs; i++) resolve_arg(r, c, c->args[i].value);
}

// ---- lists made of lists ------------------------------------------------------------
static void check_new_var(struct resolver *r, const struct each *e, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct decl *other = e->loops[i].var, *var = e->loops[n].var;
        if (strcmp(other->name, var->name) != 0) continue;
        diag_error(r->d, var->span, "`%s` is bound twice", var->name);
        diag_note(r->d, other->span, "it is bound here already");
    }
}

// A list sees the names of the `for`s before it, the item all of them. They may be names
// that mean something else outside.
static void resolve_each(struct resolver *r, const struct each *e) {
    const struct list_name *outer = r->vars;
    for (size_t i = 0; i < e->nloops; i++) {
        struct decl *var = e->loops[i].var;
        resolve_expr(r, e->loops[i].in);
        check_new_var(r, e, i);
        var->owner = r->def;
        var->index = r->def ? r->def->nvalues++ : r->tree->nvalues++;
        struct list_name *inner = NEW(r->arena, struct list_name);
        *inner = (struct list_name){var, r->vars};
        r->vars = inner;
    }
    resolve_expr(r, e->item);
    r->vars = outer;
}

// ---- expressions and declarations ---------------------------------------------------
static void resolve_expr(struct resolver *r, struct expr *e) {
    switch (e->kind) {
    case EXPR_BAD:
    case EXPR_VALUE: break;
    case EXPR_NAME: resolve_name(r, e); break;
    case EXPR_LIST:
        for (size_t i = 0; i < e->list.n; i++) resolve_expr(r, e->list.items[i]);
        break;
    case EXPR_EACH: resolve_each(r, e->each); break;
    case EXPR_NEGATE: resolve_expr(r, e->binary.l); break;
    case EXPR_BINARY:
        resolve_expr(r, e->binary.l);
        resolve_expr(r, e->binary.r);
        break;
    case EXPR_CALL:
        resolve_call(r, e->call);
        if (!op_is_statement(e->call->op)) break;
        diag_error(r->d, e->span, "`%s` gives no value; it stands on a line of its own",
                   e->call->name);
        e->call->bad = true;
        break;
    }
}

static void declare_inner(struct resolver *r, struct decl *def, struct decl *d,
                          size_t index) {
    d->owner = def;
    d->index = index;
    declare(r, &r->locals, d);
}

// Defaults are made outside the def: its parameters and locals are not seen from them.
static void resolve_def(struct resolver *r, struct decl *def) {
    r->def = def;
    def->nvalues = def->args.n + def->locals.n;
    for (size_t i = 0; i < def->args.n; i++)
        if (def->args.at[i]->expr) resolve_expr(r, def->args.at[i]->expr);
    r->locals = (struct names){0};
    for (size_t i = 0; i < def->args.n; i++) declare_inner(r, def, def->args.at[i], i);
    for (size_t i = 0; i < def->locals.n; i++)
        declare_inner(r, def, def->locals.at[i], def->args.n + i);
    for (size_t i = 0; i < def->locals.n; i++) {
        r->local = def->locals.at[i];
        resolve_expr(r, r->local->expr);
    }
    r->local = NULL;
    resolve_expr(r, def->expr);
    r->locals = (struct names){0};
    r->def = NULL;
}

static void resolve_file(struct resolver *r, struct file *f) {
    r->file = f;
    for (size_t i = 0; i < f->decls.n; i++) {
        struct decl *d = r->global = f->decls.at[i];
        if (d->kind == DECL_DEF) resolve_def(r, d);
        else if (d->kind == DECL_CALL) resolve_call(r, d->expr->call);
        else resolve_expr(r, d->expr);
    }
}

void resolve_tree(struct arena *arena, struct tree *tree, struct diags *d) {
    struct resolver r = {.arena = arena, .d = d, .tree = tree};
    for (size_t i = 0; i < tree->files.n; i++) declare_file(&r, tree->files.at[i]);
    for (size_t i = 0; i < tree->files.n; i++) declare_imports(&r, tree->files.at[i]);
    for (size_t i = 0; i < tree->files.n; i++) resolve_file(&r, tree->files.at[i]);
}
