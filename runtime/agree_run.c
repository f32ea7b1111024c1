// See agree_run.h.
#include "runtime/agree_run.h"

#include "runtime/agree.h"
#include "runtime/list.h"

struct comparing {
    struct demand *m;
    struct diags *d;
    bool **wanted; // by column: the rows that the results follow from; NULL: none
};

static bool no_memory(const struct comparing *c) {
    return diag_no_memory(c->d, NO_SPAN);
}

// ---- which rows the results follow from ----------------------------------------------
static bool want_inputs(struct comparing *c, const struct plan_stage *s,
                        const struct list *rows);

// Leaves the rows in the list that were not wanted before.
static void mark_rows(struct comparing *c, uint32_t column, struct list *rows) {
    const struct rowsets *r = c->m->rowsets;
    size_t all = r->at[c->m->plan->columns[column].rowset].rows, n = rows->n;
    if (!c->wanted[column]) c->wanted[column] = NEW_N(c->m->arena, bool, all);
    rows->n = 0;
    for (size_t i = 0; i < n; i++) {
        bool *wanted = &c->wanted[column][rows->at[i]];
        if (!*wanted) rows->at[rows->n++] = rows->at[i];
        *wanted = true;
    }
}

static bool want_column(struct comparing *c, uint32_t column, struct list *rows) {
    const struct plan *p = c->m->plan;
    mark_rows(c, column, rows);
    return !rows->n || want_inputs(c, &p->stages[p->columns[column].stage], rows);
}

static bool want_inputs(struct comparing *c, const struct plan_stage *s,
                        const struct list *rows) {
    const struct rowsets *r = c->m->rowsets;
    bool ok = true;
    for (size_t i = 0; ok && i < s->nslots; i++) {
        const struct plan_slot *k = &s->slots[i];
        struct list theirs;
        struct cleanup held;
        if (!k->leaf || k->kind != LEAF_COLUMN) continue;
        uint32_t rowset = c->m->plan->columns[k->column].rowset;
        ok = list_ancestors(r, s->rowset, rows, rowset, &theirs) || no_memory(c);
        list_hold(&held, &theirs);
        ok = ok && want_column(c, k->column, &theirs);
        cleanup_run(&held);
    }
    return ok;
}

// What all rows of a rowset read: of a save, or of the scores that another is chosen by.
static bool want_all(struct comparing *c, uint32_t rowset, const struct plan_stage *save,
                     uint32_t column) {
    struct list rows;
    struct cleanup held;
    bool ok = list_all(&rows, c->m->rowsets->at[rowset].rows) || no_memory(c);
    list_hold(&held, &rows);
    if (ok) ok = save ? want_inputs(c, save, &rows) : want_column(c, column, &rows);
    cleanup_run(&held);
    return ok;
}

static bool want_results(struct comparing *c) {
    const struct plan *p = c->m->plan;
    bool ok = true;
    for (size_t i = 0; ok && i < p->nsaves; i++)
        ok = want_all(c, p->saves[i].rowset, &p->stages[p->saves[i].stage], 0);
    for (size_t i = 0; ok && i < p->nrowsets; i++)
        if (rowset_is_chosen(&p->rowsets[i]))
            ok = want_all(c, p->rowsets[i].parent, NULL, p->rowsets[i].column);
    return ok;
}

// ---- a sample of them ----------------------------------------------------------------
static bool sample_rows(const struct comparing *c, uint32_t column, struct list *out) {
    size_t rows = c->m->rowsets->at[c->m->plan->columns[column].rowset].rows, n = 0;
    const bool *wanted = c->wanted[column];
    for (size_t i = 0; wanted && i < rows; i++) n += wanted[i];
    if (!list_alloc(out, agree_sample(n), false)) return no_memory(c);
    for (size_t i = 0, nth = 0; n && i < rows && out->n < agree_sample(n); i++)
        if (wanted[i] && nth++ == agree_pick(n, out->n)) out->at[out->n++] = (uint32_t)i;
    return true;
}

static bool need_column(struct comparing *c, uint32_t column, const struct list *rows) {
    return column == UINT32_MAX || demand_column(c->m, column, rows, c->d);
}

static bool need_columns(struct comparing *c, const struct plan_agreement *g,
                         const struct list *rows) {
    return need_column(c, g->column, rows) && need_column(c, g->answers, rows) &&
           need_column(c, g->twin_answers, rows) && need_column(c, g->twin, rows);
}

// ---- comparing -----------------------------------------------------------------------
static void *values_of(const struct comparing *c, uint32_t column,
                       const struct list *rows) {
    if (column == UINT32_MAX) return NULL;
    size_t bytes = c->m->plan->columns[column].row_bytes;
    const char *from = c->m->rowsets->columns[column].values;
    char *out = NEW_N(c->m->arena, char, rows->n *bytes);
    for (size_t i = 0; i < rows->n; i++)
        memcpy(out + i * bytes, from + rows->at[i] * bytes, bytes);
    return out;
}

// The class is the first number of what is kept of an answer.
static int32_t *answers_of(const struct comparing *c, uint32_t column,
                           const struct list *rows) {
    if (column == UINT32_MAX) return NULL;
    size_t each = c->m->plan->columns[column].row_bytes / sizeof(int32_t);
    const int32_t *all = values_of(c, column, rows);
    int32_t *out = NEW_N(c->m->arena, int32_t, rows->n);
    for (size_t i = 0; i < rows->n; i++) out[i] = all[i * each];
    return out;
}

static void compare(struct comparing *c, const struct plan_agreement *g,
                    const struct list *rows) {
    struct demand *m = c->m;
    const struct plan_column *column = &m->plan->columns[g->column];
    struct agree_rows r = {.kind = g->kind,
                           .rows = rows->n,
                           .row = column->row_bytes / sizeof(float),
                           .got = values_of(c, g->column, rows),
                           .want = values_of(c, g->twin, rows),
                           .answers = answers_of(c, g->answers, rows),
                           .wanted = answers_of(c, g->twin_answers, rows)};
    struct run_agreement out = {.name = column->name, .op = column->op, .kind = g->kind};
    out.found = agree_of(m->arena, &r);
    out.line = agree_words(m->arena, column->name, g->kind, &out.found);
    VEC_PUSH(m->arena, &m->agreements, out);
}

static bool run_one(struct comparing *c, const struct plan_agreement *g) {
    struct list rows;
    struct cleanup held;
    bool ok = sample_rows(c, g->column, &rows);
    list_hold(&held, &rows);
    ok = ok && need_columns(c, g, &rows);
    if (ok && rows.n && !c->m->look) compare(c, g, &rows);
    cleanup_run(&held);
    return ok;
}

// ---- looking -------------------------------------------------------------------------
static bool all_made(const struct demand *m) {
    for (size_t i = 0; i < m->plan->nrowsets; i++)
        if (!m->rowsets->at[i].made) return false;
    return true;
}

// As many rows as there may be.
static bool look_at_one(struct comparing *c, const struct plan_agreement *g) {
    const struct plan *p = c->m->plan;
    size_t rows = agree_sample(rowset_count(c->m->rowsets, p->columns[g->twin].rowset));
    const uint32_t columns[] = {g->twin_answers, g->twin};
    for (size_t i = 0; i < COUNT(columns); i++) {
        if (columns[i] == UINT32_MAX) continue;
        const struct plan_stage *s = &p->stages[p->columns[columns[i]].stage];
        if (!demand_perhaps(c->m, s, rows, c->d)) return false;
    }
    return true;
}

bool agree_run(struct demand *m, struct diags *d) {
    struct comparing c = {.m = m, .d = d};
    const struct plan *p = m->plan;
    bool known = all_made(m);
    if (!p->nagreements) return true;
    c.wanted = NEW_N(m->arena, bool *, p->ncolumns);
    if (known && !want_results(&c)) return false;
    for (size_t i = 0; i < p->nagreements; i++) {
        const struct plan_agreement *g = &p->agreements[i];
        if (known ? !run_one(&c, g) : !look_at_one(&c, g)) return false;
    }
    return true;
}
