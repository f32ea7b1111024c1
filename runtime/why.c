// See why.h. The survey says what would be computed; the records of the same op say what
// the nearest thing was that is in the store.
#include "runtime/why.h"

#include "runtime/identity.h"
#include "runtime/survey_impl.h"

struct asking {
    struct demand *m;
    struct arena *arena;
    struct diags *d;
    struct why *out;
    const struct plan_column *column; // NULL: of a save, or a training
    uint32_t index;
    const struct plan_memo *memo; // NULL: it is not remembered
};

// ---- which value ---------------------------------------------------------------------
struct names {
    const struct plan *plan;
};

static const char *name_at(const void *ctx, size_t i) {
    const struct names *n = ctx;
    return i < n->plan->nstages ? n->plan->stages[i].name : NULL;
}

// A value by its name, or by name and part ("xi" is where xi's crops lie, if xi has no
// numbers of its own).
static const struct plan_stage *stage_named(const struct plan *p, const char *name) {
    const struct plan_stage *found = NULL;
    for (size_t i = 0; i < p->nstages; i++) {
        const struct plan_stage *s = &p->stages[i];
        if (!strcmp(s->name, name) && !s->saves) return s;
        bool named =
            s->saves ? !strcmp(s->name, name) : !strcmp(p->columns[s->target].name, name);
        if (named && (!found || found->saves)) found = s;
    }
    return found;
}

bool plan_keeps(const struct plan *p, const char *node) {
    return stage_named(p, node) != NULL;
}

static bool no_such_value(const struct plan *p, const char *name, struct diags *d) {
    struct names names = {p};
    const char *near = near_miss(name, name_at, &names);
    diag_error(d, NO_SPAN, "no value called `%s` is kept when this program runs", name);
    if (near) return diag_help(d, "did you mean `%s`?", near);
    struct text t = {.arena = d->arena};
    for (size_t i = 0; i < p->nstages && i < 16; i++)
        text_add(&t, "%s`%s`", i ? ", " : "", p->stages[i].name);
    return diag_help(d, "there are %s; what costs little is made again when it is needed",
                     t.at);
}

// ---- the nearest record --------------------------------------------------------------
static const struct store_field *field_of(const struct store_record *r,
                                          const char *name) {
    for (size_t i = 0; i < r->nfields; i++)
        if (!strcmp(r->fields[i].name, name)) return &r->fields[i];
    return NULL;
}

static bool field_same(const struct store_field *a, const struct store_field *b) {
    return a && b && !strcmp(a->value, b->value);
}

static size_t differences(const struct store_record *a, const struct store_record *b) {
    size_t n = 0;
    for (size_t i = 0; i < a->nfields; i++)
        n += !field_same(&a->fields[i], field_of(b, a->fields[i].name));
    for (size_t i = 0; i < b->nfields; i++) n += !field_of(a, b->fields[i].name);
    return n;
}

static const struct store_record *nearest(const struct asking *a) {
    const struct store_record *mine = &a->memo->record, *best = NULL;
    struct store_record *all;
    size_t n = store_records(a->m->options->store, mine->op, a->arena, &all);
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        size_t apart = differences(mine, &all[i]);
        if (!all[i].rows || apart >= least) continue;
        least = apart;
        best = &all[i];
    }
    return best;
}

// ---- fields --------------------------------------------------------------------------
// A digest of what other fields say says nothing where those differ by themselves.
static bool is_summary(const char *field) {
    static const char *const summaries[] = {"model.digest", "model.resized", "solve"};
    const char *dot = strrchr(field, '.');
    for (size_t i = 0; i < COUNT(summaries); i++)
        if (!strcmp(field, summaries[i]) || (dot && !strcmp(dot + 1, summaries[i])))
            return true;
    return false;
}

static void list_changes(struct asking *a, const struct store_record *then) {
    const struct store_record *now = &a->memo->record;
    VEC(struct why_change) list = {0};
    for (size_t i = 0; i < now->nfields; i++) {
        const struct store_field *n = &now->fields[i], *t = field_of(then, n->name);
        if (field_same(n, t)) continue;
        struct why_change c = {n->name, t ? t->value : NULL, n->value,
                               t ? t->label : NULL, n->label};
        VEC_PUSH(a->arena, &list, c);
    }
    for (size_t i = 0; i < then->nfields; i++) {
        const struct store_field *t = &then->fields[i];
        if (field_of(now, t->name)) continue;
        VEC_PUSH(a->arena, &list,
                 (struct why_change){t->name, t->value, NULL, t->label, NULL});
    }
    size_t kept = 0;
    for (size_t i = 0; i < list.n; i++)
        if (list.n == 1 || !is_summary(list.at[i].field)) list.at[kept++] = list.at[i];
    a->out->nchanges = kept;
    a->out->changes = list.at;
}

static bool starts(const char *s, const char *with) {
    return !strncmp(s, with, strlen(with));
}

static bool is_weight(const char *field) {
    return starts(field, "model.weights.");
}

static bool is_digest(const char *value) {
    return value && strlen(value) == DIGEST_HEX - 1 &&
           strspn(value, "0123456789abcdef") == DIGEST_HEX - 1;
}

static void say_change(const struct why_change *c, struct text *t) {
    const char *label = c->now_label ? c->now_label : c->then_label;
    if (!c->then) text_add(t, "%s is new: %s", c->field, c->now);
    else if (!c->now) text_add(t, "%s is gone: it was %s", c->field, c->then);
    else if (!strcmp(c->field, "model.graph"))
        text_add(t, "the model's layers or their settings changed");
    else if (is_digest(c->now))
        text_add(t, "%s changed%s%s", c->field, label ? ": " : "", label ? label : "");
    else text_add(t, "%s %s -> %s", c->field, c->then, c->now);
}

static void say_weights(const struct why *w, size_t count, struct text *t) {
    size_t said = 0;
    text_add(t, "model weights changed: ");
    for (size_t i = 0; i < w->nchanges && said < 3; i++)
        if (is_weight(w->changes[i].field)) {
            const char *now = w->changes[i].now_label, *then = w->changes[i].then_label;
            text_add(t, "%s%s", said++ ? ", " : "",
                     now    ? now
                     : then ? then
                            : w->changes[i].field);
        }
    if (count > said) text_add(t, " and %zu more", count - said);
}

static void say_changes(struct asking *a) {
    const struct why *w = a->out;
    struct text t = {.arena = a->arena};
    size_t weights = 0, said = 0;
    for (size_t i = 0; i < w->nchanges; i++) weights += is_weight(w->changes[i].field);
    if (weights) {
        say_weights(w, weights, &t);
        said++;
    }
    for (size_t i = 0; i < w->nchanges; i++) {
        if (is_weight(w->changes[i].field)) continue;
        text_add(&t, "%s", said++ ? "; " : "");
        say_change(&w->changes[i], &t);
    }
    a->out->reason = t.n ? t.at : "nothing that is known";
}

// ---- rows ----------------------------------------------------------------------------
static const char *row_name(const struct asking *a, size_t row) {
    char name[512];
    rowset_row_name(a->m->rowsets, a->column->rowset, row, name, sizeof name);
    return arena_strdup(a->arena, name);
}

static bool uses_class(const struct asking *a) {
    for (size_t i = 0; i < a->memo->nkeys; i++)
        if (a->memo->keys[i].kind == KEY_CLASS) return true;
    return false;
}

// The class under which the row's value is stored; SIZE_MAX: none.
static size_t stored_class(const struct asking *a, size_t row) {
    const struct rowsets *r = a->m->rowsets;
    const struct reader *reader = r->at[rowset_root(r, a->column->rowset)].reader;
    size_t bytes = a->column->row_bytes;
    char *value = arena_alloc(a->arena, 1, bytes);
    for (size_t c = 0; uses_class(a) && c < reader_classes(reader); c++) {
        struct digest key = identity_key_as(r, a->index, row, (uint32_t)c);
        bool found = false;
        if (store_get(a->m->options->store, a->memo->record.key, &key, 1, bytes, value,
                      &found))
            return c;
    }
    return SIZE_MAX;
}

#define ROWS_MOST 1000 // rows looked at one by one

static void explain_rows(struct asking *a) {
    const struct kept_column *c = &a->m->rowsets->columns[a->index];
    size_t rows = a->m->rowsets->at[a->column->rowset].rows, looked = 0;
    const struct reader *reader =
        a->m->rowsets->at[rowset_root(a->m->rowsets, a->column->rowset)].reader;
    for (size_t i = 0; i < rows; i++) {
        if (c->have[i] != HAVE_PLANNED) continue;
        size_t was = looked++ < ROWS_MOST ? stored_class(a, i) : SIZE_MAX;
        if (was == SIZE_MAX) a->out->new_rows++;
        else a->out->relabelled++;
        if (!a->out->first) {
            a->out->first = row_name(a, i);
            if (was != SIZE_MAX) a->out->first_class = reader_class_name(reader, was);
        }
    }
}

static void say_rows(struct asking *a) {
    struct why *w = a->out;
    struct text t = {.arena = a->arena};
    if (w->new_rows)
        text_add(&t, "%zu of %zu rows are new: images it was never computed of",
                 w->new_rows, w->node.rows);
    if (w->relabelled)
        text_add(&t, "%s%zu of %zu rows have another label than when it was computed",
                 t.n ? "; " : "", w->relabelled, w->node.rows);
    text_add(&t, " (the first is %s", w->first);
    if (w->first_class) text_add(&t, ", then `%s`", w->first_class);
    text_add(&t, ")");
    w->reason = t.at;
}

// ---- which reason --------------------------------------------------------------------
// A value that must be computed first, and that this one's keys are made of.
static const char *computed_before(const struct asking *a) {
    const struct plan *p = a->m->plan;
    for (size_t i = 0; i < a->memo->nkeys; i++) {
        const struct plan_key *k = &a->memo->keys[i];
        if (k->kind != KEY_COLUMN) continue;
        const struct plan_stage *s = &p->stages[p->columns[k->column].stage];
        if (a->m->tallies[s - p->stages].computed) return s->name;
    }
    for (size_t i = 0; i < p->nrowsets; i++) {
        const struct plan_rowset *r = &p->rowsets[i];
        if (!rowset_is_chosen(r)) continue;
        const struct plan_stage *s = &p->stages[p->columns[r->column].stage];
        if (a->m->tallies[s - p->stages].computed) return s->name;
    }
    return NULL;
}

static enum why_kind explain_record(struct asking *a) {
    const struct store_record *then = nearest(a);
    if (!then) {
        a->out->reason = "never computed: the store has nothing of this op";
        return WHY_NEVER;
    }
    a->out->like = then->name;
    a->out->used = then->used;
    a->out->had = then->rows;
    if (!digest_eq(then->key, a->memo->record.key)) {
        list_changes(a, then);
        say_changes(a);
        return WHY_CHANGED;
    }
    if (a->out->node.vague && (a->out->before = computed_before(a))) {
        a->out->reason = arena_printf(a->arena,
                                      "`%s` has to be computed before it is known what "
                                      "this is computed of",
                                      a->out->before);
        return WHY_VAGUE;
    }
    if (!a->column) {
        a->out->reason =
            "trained before, but on other images or labels, in another order "
            "of them, or not to the end";
        return WHY_ROWS;
    }
    explain_rows(a);
    say_rows(a);
    return WHY_ROWS;
}

static enum why_kind explain(struct asking *a) {
    struct why *w = a->out;
    if (!a->memo) {
        w->reason = a->column ? "it costs less to compute again than to remember"
                              : "results are written anew by every run";
        return WHY_NOT_KEPT;
    }
    if (!a->m->options->store) {
        w->reason = "there is no store to look in";
        return WHY_NO_STORE;
    }
    if (!w->node.computed) {
        w->reason = !a->column     ? "it is in the store"
                    : w->node.rows ? "every row of it is in the store"
                                   : "nothing of it is needed: what is made of it is in "
                                     "the store";
        return WHY_NOTHING;
    }
    return explain_record(a);
}

bool plan_why(const struct plan *p, const struct run_options *o, const char *node,
              struct arena *arena, struct why *out, struct diags *d) {
    const struct plan_stage *s = stage_named(p, node);
    if (!s) return no_such_value(p, node, d);
    struct rowsets rowsets;
    struct demand m;
    struct cleanup held;
    rowsets_init(&rowsets, arena, p);
    rowsets_hold(&held, &rowsets);
    demand_init(&m, arena, p, o, &rowsets, NULL);
    bool ok = survey_demand(&m, d);
    if (ok) {
        struct asking a = {.m = &m, .arena = arena, .d = d, .out = out};
        *out = (struct why){.node = survey_node(&m, s)};
        if (!s->saves) a.index = s->target, a.column = &p->columns[s->target];
        if (a.column) a.memo = a.column->memo;
        else if (p->ntrains) a.memo = p->trains[s->target].memo;
        out->kind = explain(&a);
    }
    cleanup_run(&held);
    return ok;
}
