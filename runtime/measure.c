// See measure.h.
#include "runtime/measure.h"

#include "runtime/demand.h"
#include "runtime/rowset.h"

#include <math.h>

const char *measure_word(enum measure_kind k) {
    static const char *const words[] = {[MEASURE_ACCURACY] = "accuracy",
                                        [MEASURE_CONFUSION] = "confusion",
                                        [MEASURE_MEAN_STD] = "mean_std"};
    return words[k];
}

// ---- of rows -------------------------------------------------------------------------
static int32_t answer(const struct demand *m, const struct plan_measure *p, size_t row) {
    int32_t v;
    memcpy(&v, m->rowsets->columns[p->column].values + row * sizeof v, sizeof v);
    return v;
}

static void count_right(const struct demand *m, const struct plan_measure *p,
                        struct measured *out) {
    for (size_t row = 0; row < out->rows; row++) out->right += answer(m, p, row) != 0;
    out->value = (double)out->right / (double)out->rows;
}

static const char *const *class_names(const struct demand *m, uint32_t rowset, size_t n) {
    const struct reader *r = m->rowsets->at[rowset_root(m->rowsets, rowset)].reader;
    const char **names = NEW_N(m->arena, const char *, n);
    for (size_t i = 0; i < n; i++)
        names[i] =
            arena_strdup(m->arena, i < reader_classes(r) ? reader_class_name(r, i) : "");
    return names;
}

static void count_answers(const struct demand *m, const struct plan_measure *p,
                          struct measured *out) {
    size_t k = p->classes, *counts = NEW_N(m->arena, size_t, k * k);
    for (size_t row = 0; row < out->rows; row++) {
        size_t cls = rowset_class(m->rowsets, p->rowset, row);
        size_t said = (size_t)answer(m, p, row);
        CHECK(cls < k);
        if (said < k) counts[cls * k + said]++; // compiled code is not looked into
    }
    out->classes = k;
    out->counts = counts;
    out->class_names = class_names(m, p->rowset, k);
}

static bool demand_rows(struct demand *m, const struct plan_measure *p, struct diags *d) {
    struct list rows;
    struct cleanup held;
    if (!demand_rowset(m, p->rowset, d)) return false;
    if (!m->rowsets->at[p->rowset].made) // looking: which rows there are is not known
        return demand_perhaps(m, &m->plan->stages[m->plan->columns[p->column].stage],
                              rowset_count(m->rowsets, p->rowset), d);
    bool ok = list_all(&rows, m->rowsets->at[p->rowset].rows);
    if (!ok) diag_no_memory(d, p->span);
    list_hold(&held, &rows);
    ok = ok && demand_column(m, p->column, &rows, d);
    cleanup_run(&held);
    return ok;
}

static bool of_rows(struct demand *m, const struct plan_measure *p, struct measured *out,
                    struct diags *d) {
    if (!demand_rows(m, p, d)) return false;
    if (m->look) return true;
    out->rows = m->rowsets->at[p->rowset].rows;
    if (!out->rows) return diag_error(d, p->span, "there are no images to measure");
    if (p->kind == MEASURE_ACCURACY) count_right(m, p, out);
    else count_answers(m, p, out);
    return true;
}

// ---- of measures ---------------------------------------------------------------------
// Two passes: the numbers lie close together.
static void mean_std(struct measured *out) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < out->nof; i++) sum += out->of[i]->value;
    out->value = sum / (double)out->nof;
    for (size_t i = 0; i < out->nof; i++) {
        double off = out->of[i]->value - out->value;
        squares += off * off;
    }
    out->deviation = out->nof > 1 ? sqrt(squares / (double)(out->nof - 1)) : NAN;
}

static void of_measures(struct demand *m, const struct plan_measure *p,
                        const struct measured *all, struct measured *out) {
    const struct measured **of = NEW_N(m->arena, const struct measured *, p->nof);
    for (size_t i = 0; i < p->nof; i++) of[i] = &all[p->of[i]];
    out->nof = p->nof;
    out->of = of;
    if (!m->look) mean_std(out);
}

bool measures_demand(struct demand *m, struct measured **out, struct diags *d) {
    const struct plan *p = m->plan;
    struct measured *all = *out = NEW_N(m->arena, struct measured, p->nmeasures);
    for (size_t i = 0; i < p->nmeasures; i++) {
        const struct plan_measure *one = &p->measures[i];
        all[i] = (struct measured){.kind = one->kind, .name = one->name};
        if (one->kind == MEASURE_MEAN_STD) of_measures(m, one, all, &all[i]);
        else if (!of_rows(m, one, &all[i], d)) return false;
    }
    return true;
}

// ---- tables --------------------------------------------------------------------------
// One a line. NULL: there are none.
static const char *const *split(struct arena *a, const char *text, size_t n) {
    const char **out = NEW_N(a, const char *, n);
    if (!*text) return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t length = strcspn(text, "\n");
        out[i] = arena_strndup(a, text, length);
        text += length + (text[length] != 0);
    }
    return out;
}

const char *measured_row_name(const struct measured_table *t, size_t row) {
    return t->rows ? t->rows[row] : t->cells[row * t->ncolumns]->name;
}

const struct measured_table *measured_tables(struct arena *a, const struct plan *p,
                                             const struct measured *all) {
    struct measured_table *out = NEW_N(a, struct measured_table, p->ntables);
    for (size_t i = 0; i < p->ntables; i++) {
        const struct plan_table *t = &p->tables[i];
        const struct measured **cells = NEW_N(a, const struct measured *, t->n);
        for (size_t k = 0; k < t->n; k++) cells[k] = &all[t->measures[k]];
        out[i] = (struct measured_table){.to = t->to,
                                         .nrows = t->nrows,
                                         .ncolumns = t->ncolumns,
                                         .rows = split(a, t->rows, t->nrows),
                                         .columns = split(a, t->columns, t->ncolumns),
                                         .cells = cells};
    }
    return out;
}
