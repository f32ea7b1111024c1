// In which order declarations are evaluated: depth first along what each uses, with a
// stack of our own, as a chain of names may be as long as a file. See order.h.
#include "frontend/order.h"

#define CHAIN_SHOWN 6 // names of a cycle that a message spells out

struct visit {
    struct decl *decl;
    size_t next; // of its uses
};

struct orderer {
    struct arena *arena;
    struct diags *d;
    VEC(struct visit) stack;
    VEC(struct decl *) done;
};

// ---- cycles -------------------------------------------------------------------------
// "`a` -> `b` -> `a`"
static const char *chain_text(struct orderer *o, const struct visit *v, size_t n) {
    struct text t = {.arena = o->arena};
    for (size_t i = 0; i < n; i++) {
        if (i < CHAIN_SHOWN) text_add(&t, "`%s` -> ", v[i].decl->name);
        else if (i == CHAIN_SHOWN) text_add(&t, "... -> ");
    }
    text_add(&t, "`%s`", v[0].decl->name);
    return t.at;
}

static struct span use_span(const struct visit *v) {
    return v->decl->uses.at[v->next - 1].span;
}

static void report_cycle(struct orderer *o, const struct visit *v, size_t n) {
    bool defs = true;
    for (size_t i = 0; i < n; i++) defs = defs && v[i].decl->kind == DECL_DEF;
    const char *verb = defs ? "calls" : "is made from", *name = v[0].decl->name;
    if (n == 1) diag_error(o->d, use_span(v), "`%s` %s itself", name, verb);
    else
        diag_error(o->d, v[0].decl->span, "`%s` %s itself: %s", name, verb,
                   chain_text(o, v, n));
    if (defs)
        diag_help(o->d,
                  "a `def` is expanded where it is called, so that would never end");
    for (size_t i = 0; n > 1 && i < size_min(n, CHAIN_SHOWN); i++)
        diag_note(o->d, use_span(&v[i]), "`%s` uses `%s` here", v[i].decl->name,
                  v[(i + 1) % n].decl->name);
}

// The stack leads from d to a use of d. Leaving the last declaration on it without a
// value is enough to break the cycle. Cycles with a name in common are one knot, reported
// once.
static void found_cycle(struct orderer *o, struct decl *d) {
    struct decl *last = o->stack.at[o->stack.n - 1].decl;
    bool known = last->cyclic || d->cyclic || o->d->errors > DIAGS_MAX_ERRORS;
    last->cyclic = d->cyclic = true;
    if (known) return;
    size_t start = o->stack.n - 1;
    while (o->stack.at[start].decl != d) start--;
    report_cycle(o, &o->stack.at[start], o->stack.n - start);
}

// ---- the walk -----------------------------------------------------------------------
static void enter(struct orderer *o, struct decl *d) {
    d->order = ORDER_OPEN;
    VEC_PUSH(o->arena, &o->stack, (struct visit){d, 0});
}

static void visit(struct orderer *o, struct decl *root) {
    if (root->order != ORDER_NEW) return;
    enter(o, root);
    while (o->stack.n) {
        struct visit *v = &o->stack.at[o->stack.n - 1];
        if (v->next == v->decl->uses.n) {
            v->decl->order = ORDER_DONE;
            VEC_PUSH(o->arena, &o->done, v->decl);
            o->stack.n--;
            continue;
        }
        struct decl *used = v->decl->uses.at[v->next++].decl;
        if (used->kind == DECL_ARG) continue;
        if (used->order == ORDER_NEW) enter(o, used);
        else if (used->order == ORDER_OPEN) found_cycle(o, used);
    }
}

static void order_locals(struct orderer *o, struct decl *def) {
    o->done.n = 0;
    for (size_t i = 0; i < def->locals.n; i++) visit(o, def->locals.at[i]);
    if (o->done.n) memcpy(def->locals.at, o->done.at, o->done.n * sizeof *o->done.at);
}

void order_tree(struct arena *arena, struct tree *tree, struct diags *d) {
    struct orderer o = {.arena = arena, .d = d};
    for (size_t i = 0; i < tree->files.n; i++) {
        const struct file *f = tree->files.at[i];
        for (size_t k = 0; k < f->decls.n; k++)
            if (f->decls.at[k]->kind == DECL_DEF) order_locals(&o, f->decls.at[k]);
    }
    o.done.n = 0;
    for (size_t i = 0; i < tree->files.n; i++) {
        const struct file *f = tree->files.at[i];
        for (size_t k = 0; k < f->decls.n; k++)
            if (f->index == 0 || f->decls.at[k]->kind == DECL_PARAM)
                visit(&o, f->decls.at[k]);
    }
    for (size_t i = 0; i < o.done.n; i++) VEC_PUSH(arena, &tree->ordered, o.done.at[i]);
}
