// Lists: written out, made of other lists by `for`, joined by `+`.
//
// A list of numbers is a value like any other, which follows from params as its items do.
// Others hold nodes, strings and lists, each with a label, which names it in tables.
#include "frontend/check_core.h"
#include "runtime/constant.h"
#include "runtime/formula.h"

#define LABEL_MAX_BYTES 60 // of an item that is called by its value, or as it is written

static bool is_number(const struct result *r) {
    return r->kind == RESULT_VALUE &&
           (r->value.kind == VAL_INT || r->value.kind == VAL_FLOAT);
}

bool check_is_list(const struct result *r) {
    bool numbers = r->kind == RESULT_VALUE &&
                   (r->value.kind == VAL_INTS || r->value.kind == VAL_FLOATS);
    return numbers || r->kind == RESULT_LIST;
}

// ---- items to lists -----------------------------------------------------------------
static struct value list_from(struct checker *c, struct value numbers,
                              const struct value *items) {
    const struct formula **parts = NEW_N(c->arena, const struct formula *, numbers.n);
    for (size_t i = 0; i < numbers.n; i++)
        parts[i] = formula_of(c->arena, &items[i], NULL);
    struct formula f = {.kind = FORMULA_LIST, .nitems = numbers.n, .items = parts};
    return value_from(c->arena, numbers, f);
}

static const struct formula *both(struct checker *c, const struct formula *a,
                                  const struct formula *b) {
    if (!a || !b) return a ? a : b;
    const struct formula *parts[] = {a, b};
    struct formula list = {.kind = FORMULA_LIST, .nitems = 2, .items = parts};
    return value_opaque(c->arena, val_int(0), &list).of;
}

static struct result of_numbers(struct checker *c, const struct list *l) {
    struct result r = {.kind = RESULT_VALUE};
    struct value *items = NEW_N(c->arena, struct value, l->n);
    bool follows = false;
    size_t bad;
    for (size_t i = 0; i < l->n; i++) {
        items[i] = l->at[i].r.value;
        follows = follows || items[i].of;
    }
    CHECK(formula_list(c->arena, items, l->n, &r.value, &bad));
    if (follows) r.value = list_from(c, r.value, items);
    if (l->of) r.value = value_opaque(c->arena, r.value, both(c, l->of, r.value.of));
    return r;
}

static struct result of_items(struct checker *c, const struct list *l) {
    size_t numbers = 0;
    for (size_t i = 0; i < l->n; i++) numbers += is_number(&l->at[i].r);
    if (numbers == l->n) return of_numbers(c, l);
    const struct list *kept = arena_dup(c->arena, l, 1, sizeof *l);
    return (struct result){.kind = RESULT_LIST, .list = kept};
}

// ---- lists to items -----------------------------------------------------------------
// One number of a list that follows from params: as it says itself, if it says so.
static struct value number_at(struct checker *c, const struct value *list, size_t i) {
    struct value v =
        list->kind == VAL_INTS ? val_int(list->is[i]) : val_float(list->fs[i]);
    const struct formula *of = list->of;
    if (!of) return v;
    bool told = of->kind == FORMULA_LIST && of->nitems == list->n;
    if (!told) return value_opaque(c->arena, v, of);
    if (of->items[i]->kind != FORMULA_VALUE) v.of = of->items[i];
    return v;
}

static void items_of_numbers(struct checker *c, const struct result *r,
                             struct list *out) {
    bool told = r->value.of && r->value.of->kind == FORMULA_LIST;
    out->n = r->value.n;
    out->of = told ? NULL : r->value.of;
    out->at = NEW_N(c->arena, struct item, out->n);
    for (size_t i = 0; i < out->n; i++) {
        struct value v = number_at(c, &r->value, i);
        struct result number = {.kind = RESULT_VALUE, .value = v, .base = r->base};
        out->at[i] = (struct item){number, value_text(c->arena, &v), NULL};
    }
}

bool check_items(struct checker *c, struct span at, const struct result *r,
                 struct list *out) {
    *out = (struct list){0};
    if (r->kind == RESULT_LIST) {
        *out = *r->list;
        return true;
    }
    if (!check_steps(c, at, r->value.n)) return false;
    items_of_numbers(c, r, out);
    return true;
}

void check_odd_item(const struct expr **e, const struct result **r) {
    const struct list *l = (*r)->kind == RESULT_LIST ? (*r)->list : NULL;
    size_t i = 0;
    while (l && i < l->n && is_number(&l->at[i].r)) i++;
    if (!l || i == l->n) return;
    if (l->at[i].e) *e = l->at[i].e;
    *r = &l->at[i].r;
}

// ---- written out --------------------------------------------------------------------
// By its name, by its value, as it is written if that is short, or else by its place.
static const char *written_label(struct checker *c, const struct item *item,
                                 size_t place) {
    const struct expr *e = item->e;
    size_t n = e->span.end - e->span.start;
    const char *text = e->span.file->text + e->span.start;
    bool value = item->r.kind == RESULT_VALUE && !check_is_list(&item->r);
    const char *said = value ? value_text(c->arena, &item->r.value) : "";
    if (value && strlen(said) <= LABEL_MAX_BYTES) return said;
    if (e->kind == EXPR_NAME) return e->name.text;
    bool list = e->kind == EXPR_LIST || e->kind == EXPR_EACH;
    if (!list && n <= LABEL_MAX_BYTES && !memchr(text, '\n', n))
        return arena_strndup(c->arena, text, n);
    return arena_printf(c->arena, "%zu", place + 1);
}

static const char *item_name(struct checker *c, const char *name, const char *label) {
    return name ? arena_printf(c->arena, "%.*s[%.*s]", NAME_MAX_BYTES, name,
                               NAME_MAX_BYTES, label)
                : NULL;
}

static bool written_item(struct checker *c, const struct frame *f, const struct expr *e,
                         const char *name, size_t place, struct item *out) {
    const char *number = arena_printf(c->arena, "%zu", place);
    out->e = e;
    out->r = check_expr(c, f, e, item_name(c, name, number));
    if (out->r.kind == RESULT_POISON) return false;
    out->label = written_label(c, out, place);
    return true;
}

struct result check_list(struct checker *c, const struct frame *f, const struct expr *e,
                         const char *name) {
    struct list l = {.n = e->list.n};
    bool ok = true;
    l.at = NEW_N(c->arena, struct item, l.n);
    for (size_t i = 0; i < l.n && !c->stopped; i++)
        ok = written_item(c, f, e->list.items[i], name, i, &l.at[i]) && ok;
    return ok && !c->stopped ? of_items(c, &l) : POISON;
}

// ---- made by `for` ------------------------------------------------------------------
struct rounds {
    struct checker *c;
    const struct frame *f;
    const struct expr *e;
    const char *name;
    VEC(struct item) items;
    const struct formula *of;
};

static bool is_text(const struct result *r) {
    return r->kind == RESULT_VALUE && r->value.kind == VAL_STRING;
}

// "ipc = 10", and what has a name of its own, by that.
static const char *round_label(struct checker *c, const struct decl *var,
                               const struct item *item) {
    bool plain = item->r.kind == RESULT_VALUE && !is_text(&item->r);
    return plain ? arena_printf(c->arena, "%s = %s", var->name, item->label)
                 : item->label;
}

static bool too_long(struct checker *c, struct span at) {
    return diag_error(c->d, at, "this list has more than %zu items", LIST_MAX_ITEMS);
}

static bool add_round(struct rounds *m, const char *label) {
    const struct expr *item = m->e->each->item;
    if (m->items.n == LIST_MAX_ITEMS) return too_long(m->c, m->e->span);
    struct result r = check_expr(m->c, m->f, item, item_name(m->c, m->name, label));
    if (r.kind == RESULT_POISON) return false;
    VEC_PUSH(m->c->arena, &m->items, (struct item){r, label, item});
    return true;
}

static bool looped_list(struct rounds *m, const struct loop *loop, struct list *out) {
    struct result r = check_expr(m->c, m->f, loop->in, NULL);
    if (r.kind == RESULT_POISON) return false;
    if (!check_is_list(&r))
        return check_report(m->c, m->f, loop->in->span, loop->in, NULL,
                            "`for` takes the items of a list; %s",
                            check_came(m->c, loop->in, &r));
    if (!check_items(m->c, loop->in->span, &r, out)) return false;
    m->of = both(m->c, m->of, out->of);
    return true;
}

static bool go_through(struct rounds *m, size_t depth, const char *labels);

static bool go_round(struct rounds *m, size_t depth, const char *labels,
                     const struct item *item) {
    struct checker *c = m->c;
    const struct decl *var = m->e->each->loops[depth].var;
    const char *label = round_label(c, var, item);
    struct round round = {var, &item->r, label, c->round};
    if (*labels) label = arena_printf(c->arena, "%s, %s", labels, label);
    (var->owner ? m->f->values : c->globals)[var->index] = item->r;
    c->round = &round;
    bool ok = go_through(m, depth + 1, label);
    c->round = round.up;
    return ok;
}

// The first round that is wrong is the last: the others would only repeat it.
static bool go_through(struct rounds *m, size_t depth, const char *labels) {
    struct list l;
    if (depth == m->e->each->nloops) return add_round(m, labels);
    if (!looped_list(m, &m->e->each->loops[depth], &l)) return false;
    for (size_t i = 0; i < l.n; i++)
        if (!go_round(m, depth, labels, &l.at[i])) return false;
    return true;
}

// All rounds, those of the callers first.
static const char *labels_of(struct checker *c, const struct round *r) {
    const char *rest = r->up ? labels_of(c, r->up) : NULL;
    return rest ? arena_printf(c->arena, "%.*s, %s", NAME_MAX_BYTES, rest, r->label)
                : r->label;
}

const char *check_round_name(struct checker *c, const char *name) {
    return c->round ? item_name(c, name, labels_of(c, c->round)) : NULL;
}

struct result check_each(struct checker *c, const struct frame *f, const struct expr *e,
                         const char *name) {
    struct rounds m = {.c = c, .f = f, .e = e, .name = name};
    if (!go_through(&m, 0, "") || c->stopped) return POISON;
    struct list l = {m.items.n, m.items.at, m.of};
    return of_items(c, &l);
}

// ---- joined -------------------------------------------------------------------------
struct result check_join(struct checker *c, const struct frame *f, const struct expr *e,
                         const struct result *l, const struct result *r) {
    const struct expr *odd = check_is_list(l) ? e->binary.r : e->binary.l;
    const struct result *came = check_is_list(l) ? r : l;
    struct list a, b, all = {0};
    if (!check_is_list(l) || !check_is_list(r)) {
        check_report(c, f, e->binary.op_span, odd,
                     "a list of one item is written in brackets: [x]",
                     "`+` joins a list with another list; %s", check_came(c, odd, came));
        return POISON;
    }
    if (!check_items(c, e->span, l, &a) || !check_items(c, e->span, r, &b) ||
        !check_steps(c, e->span, a.n + b.n))
        return POISON;
    all.n = a.n + b.n;
    all.of = both(c, a.of, b.of);
    if (all.n > LIST_MAX_ITEMS) {
        too_long(c, e->span);
        return POISON;
    }
    all.at = NEW_N(c->arena, struct item, all.n);
    for (size_t i = 0; i < all.n; i++) all.at[i] = i < a.n ? a.at[i] : b.at[i - a.n];
    return of_items(c, &all);
}
