// Tables of measures as files. CSV has one line a number, for programs that read tables;
// JSON has also what made the numbers: params, seeds, networks by their content, ddg's
// version.
#include "runtime/measure.h"

#include "runtime/json.h"
#include "runtime/outfile.h"
#include "runtime/result.h"

static const char *column_name(const struct measured_table *t, size_t column) {
    return t->columns ? t->columns[column] : "";
}

// ---- CSV -----------------------------------------------------------------------------
// In quotes where RFC 4180 wants them.
static void csv_text(struct text *out, const char *s) {
    if (!s[strcspn(s, ",\"\n\r")]) {
        text_add(out, "%s", s);
        return;
    }
    text_add(out, "\"");
    for (; *s; s++) text_add(out, *s == '"' ? "\"\"" : "%c", *s);
    text_add(out, "\"");
}

static void csv_line(struct text *out, const char *row, const char *column,
                     const struct measured *m) {
    csv_text(out, row);
    text_add(out, ",");
    csv_text(out, column);
    text_add(out, ",");
    csv_text(out, m->name);
}

static void csv_confusion(struct text *out, const struct measured *m) {
    for (size_t i = 0; i < m->classes; i++)
        for (size_t j = 0; j < m->classes; j++) {
            csv_line(out, m->class_names[i], m->class_names[j], m);
            text_add(out, ",%zu,,%zu\n", m->counts[i * m->classes + j], m->rows);
        }
}

static const char *csv(struct arena *a, const struct measured_table *t) {
    struct text out = {.arena = a};
    text_add(&out, "row,column,measure,value,std,n\n");
    for (size_t i = 0; i < t->nrows * t->ncolumns; i++) {
        const struct measured *m = t->cells[i];
        if (m->kind == MEASURE_CONFUSION) {
            csv_confusion(&out, m);
            continue;
        }
        csv_line(&out, measured_row_name(t, i / t->ncolumns),
                 column_name(t, i % t->ncolumns), m);
        bool spread = m->kind == MEASURE_MEAN_STD && m->nof > 1;
        text_add(&out, ",%s,%s,%zu\n", json_number(a, m->value),
                 spread ? json_number(a, m->deviation) : "",
                 m->kind == MEASURE_MEAN_STD ? m->nof : m->rows);
    }
    return out.at;
}

// ---- JSON ----------------------------------------------------------------------------
struct writing {
    struct arena *a;
    struct text out;
};

static void key(struct writing *w, const char *name) {
    text_add(&w->out, "%s: ", json_string(w->a, name));
}

static void names(struct writing *w, const char *const *all, size_t n) {
    for (size_t i = 0; i < n; i++)
        text_add(&w->out, "%s%s", i ? ", " : "[", json_string(w->a, all[i]));
    text_add(&w->out, n ? "]" : "[]");
}

static void confusion(struct writing *w, const struct measured *m) {
    text_add(&w->out, ", \"images\": %zu, \"classes\": ", m->rows);
    names(w, m->class_names, m->classes);
    text_add(&w->out, ", \"counts\": [");
    for (size_t i = 0; i < m->classes; i++) {
        text_add(&w->out, i ? ", [" : "[");
        for (size_t j = 0; j < m->classes; j++)
            text_add(&w->out, "%s%zu", j ? ", " : "", m->counts[i * m->classes + j]);
        text_add(&w->out, "]");
    }
    text_add(&w->out, "]");
}

static void spread(struct writing *w, const struct measured *m) {
    text_add(&w->out, ", \"mean\": %s, \"std\": %s, \"of\": [",
             json_number(w->a, m->value), json_number(w->a, m->deviation));
    for (size_t i = 0; i < m->nof; i++)
        text_add(&w->out, "%s%s", i ? ", " : "", json_number(w->a, m->of[i]->value));
    text_add(&w->out, "]");
}

static void measure(struct writing *w, const struct measured *m) {
    text_add(&w->out, "{\"name\": %s, \"measure\": \"%s\"", json_string(w->a, m->name),
             measure_word(m->kind));
    if (m->kind == MEASURE_ACCURACY)
        text_add(&w->out, ", \"value\": %s, \"right\": %zu, \"images\": %zu",
                 json_number(w->a, m->value), m->right, m->rows);
    if (m->kind == MEASURE_CONFUSION) confusion(w, m);
    if (m->kind == MEASURE_MEAN_STD) spread(w, m);
    text_add(&w->out, "}");
}

// All fields of the group that field `first` begins.
static void group(struct writing *w, const struct plan *p, size_t first) {
    const char *name = p->fields[first].group, *comma = "";
    for (size_t i = 0; i < first; i++)
        if (!strcmp(p->fields[i].group, name)) return;
    text_add(&w->out, "  ");
    key(w, name);
    text_add(&w->out, "{");
    for (size_t i = first; i < p->nfields; i++) {
        if (strcmp(p->fields[i].group, name) != 0) continue;
        text_add(&w->out, "%s\n    ", comma);
        key(w, p->fields[i].name);
        text_add(&w->out, "%s", p->fields[i].json);
        comma = ",";
    }
    text_add(&w->out, "\n  },\n");
}

static void cells(struct writing *w, const struct measured_table *t) {
    text_add(&w->out, "  \"rows\": [");
    for (size_t i = 0; i < t->nrows; i++)
        text_add(&w->out, "%s%s", i ? ", " : "",
                 json_string(w->a, measured_row_name(t, i)));
    text_add(&w->out, "],\n  \"columns\": ");
    names(w, t->columns, t->columns ? t->ncolumns : 0);
    text_add(&w->out, ",\n  \"cells\": [");
    for (size_t i = 0; i < t->nrows; i++) {
        text_add(&w->out, "%s\n    [", i ? "," : "");
        for (size_t j = 0; j < t->ncolumns; j++) {
            text_add(&w->out, j ? ",\n     " : "");
            measure(w, t->cells[i * t->ncolumns + j]);
        }
        text_add(&w->out, "]");
    }
    text_add(&w->out, "\n  ]\n}\n");
}

static const char *json(struct arena *a, const struct plan *p,
                        const struct measured_table *t) {
    struct writing w = {.a = a, .out = {.arena = a}};
    text_add(&w.out, "{\n  \"format\": \"ddg report 1\",\n  \"version\": %s,\n",
             json_string(a, p->version));
    text_add(&w.out, "  \"program\": %s,\n", json_string(a, p->name));
    for (size_t i = 0; i < p->nfields; i++) group(&w, p, i);
    cells(&w, t);
    return w.out.at;
}

// ---- places --------------------------------------------------------------------------
const char *table_file(struct arena *a, const struct plan_table *t, enum table_file f) {
    static const char *const endings[] = {[TABLE_CSV] = ".csv", [TABLE_JSON] = ".json"};
    return arena_printf(a, "%s%s", t->to, endings[f]);
}

bool tables_check(struct arena *a, const struct plan *p, struct diags *d) {
    for (size_t i = 0; i < p->ntables; i++) {
        const struct plan_table *t = &p->tables[i];
        if (t->to && !out_place_check(a, table_file(a, t, TABLE_CSV), d, t->span))
            return false;
    }
    return true;
}

static bool put(struct arena *a, const struct plan_table *t, enum table_file f,
                const char *text, struct diags *d) {
    return out_put(table_file(a, t, f), text, strlen(text), d, t->span);
}

bool tables_write(struct arena *a, const struct plan *p, const struct measured_table *t,
                  struct diags *d) {
    for (size_t i = 0; i < p->ntables; i++) {
        const struct plan_table *at = &p->tables[i];
        if (at->to && (!put(a, at, TABLE_CSV, csv(a, &t[i]), d) ||
                       !put(a, at, TABLE_JSON, json(a, p, &t[i]), d)))
            return false;
    }
    return true;
}
