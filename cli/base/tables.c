// See tables.h.
#include "cli/base/tables.h"

#include <math.h>

#define CELL_MAX    64
#define SHOWN_MOST  20 // classes of a confusion that fit a screen
#define CLASS_WIDTH 10

// ---- for people ----------------------------------------------------------------------
static void cell_text(const struct measured *m, char out[CELL_MAX]) {
    double percent = 100 * m->value, deviation = 100 * m->deviation;
    if (m->kind == MEASURE_CONFUSION)
        snprintf(out, CELL_MAX, "%zu images, %zu classes", m->rows, m->classes);
    else if (m->kind == MEASURE_MEAN_STD && !isnan(m->deviation))
        snprintf(out, CELL_MAX, "%.2f +- %.2f", percent, deviation);
    else snprintf(out, CELL_MAX, "%.2f", percent);
}

// What column `column` needs; of all rows' names: SIZE_MAX.
static int width(const struct measured_table *t, size_t column) {
    size_t most = 0;
    char text[CELL_MAX];
    if (column != SIZE_MAX && t->columns) most = strlen(t->columns[column]);
    for (size_t row = 0; row < t->nrows; row++) {
        const char *s = text;
        if (column == SIZE_MAX) s = measured_row_name(t, row);
        else cell_text(t->cells[row * t->ncolumns + column], text);
        most = size_max(most, strlen(s));
    }
    return (int)size_min(most, 80);
}

static void print_head(const struct measured_table *t, int names, FILE *to) {
    fprintf(to, "%-*s", names, "");
    for (size_t i = 0; i < t->ncolumns; i++)
        fprintf(to, "  %*s", width(t, i), t->columns[i]);
    fputc('\n', to);
}

static void print_row(const struct measured_table *t, size_t row, int names, FILE *to) {
    char text[CELL_MAX];
    fprintf(to, "%-*s", names, measured_row_name(t, row));
    for (size_t i = 0; i < t->ncolumns; i++) {
        cell_text(t->cells[row * t->ncolumns + i], text);
        fprintf(to, "  %*s", width(t, i), text);
    }
    fputc('\n', to);
}

static void print_confusion(const struct measured *m, FILE *to) {
    if (m->classes > SHOWN_MOST) return;
    fprintf(to, "\n%s: rows are the classes, columns what is answered\n", m->name);
    fprintf(to, "%-*s", CLASS_WIDTH, "");
    for (size_t j = 0; j < m->classes; j++)
        fprintf(to, " %*.*s", CLASS_WIDTH, CLASS_WIDTH, m->class_names[j]);
    fputc('\n', to);
    for (size_t i = 0; i < m->classes; i++) {
        fprintf(to, "%-*.*s", CLASS_WIDTH, CLASS_WIDTH, m->class_names[i]);
        for (size_t j = 0; j < m->classes; j++)
            fprintf(to, " %*zu", CLASS_WIDTH, m->counts[i * m->classes + j]);
        fputc('\n', to);
    }
}

void table_print(const struct measured_table *t, FILE *to) {
    int names = width(t, SIZE_MAX);
    bool accuracies = false;
    for (size_t i = 0; i < t->nrows * t->ncolumns; i++)
        accuracies |= t->cells[i]->kind != MEASURE_CONFUSION;
    if (accuracies) fputs("\naccuracy in percent\n", to);
    else fputc('\n', to);
    if (t->columns) print_head(t, names, to);
    for (size_t row = 0; row < t->nrows; row++) print_row(t, row, names, to);
    for (size_t i = 0; i < t->nrows * t->ncolumns; i++)
        if (t->cells[i]->kind == MEASURE_CONFUSION) print_confusion(t->cells[i], to);
    if (t->to) fprintf(to, "wrote %s.csv and %s.json\n", t->to, t->to);
}

// ---- for scripts ---------------------------------------------------------------------
static void emit_names(struct emit *e, const char *name, const char *const *all,
                       size_t n) {
    emit_open(e, name, '[');
    for (size_t i = 0; all && i < n; i++) emit_string(e, NULL, all[i]);
    emit_close(e, ']');
}

static void emit_counts(const struct measured *m, struct emit *e) {
    emit_names(e, "classes", m->class_names, m->classes);
    emit_open(e, "counts", '[');
    for (size_t i = 0; i < m->classes; i++) {
        emit_open(e, NULL, '[');
        for (size_t j = 0; j < m->classes; j++)
            emit_count(e, NULL, m->counts[i * m->classes + j]);
        emit_close(e, ']');
    }
    emit_close(e, ']');
}

static void emit_measure(const struct measured *m, struct emit *e) {
    emit_open(e, NULL, '{');
    emit_string(e, "name", m->name);
    emit_string(e, "measure", measure_word(m->kind));
    if (m->kind != MEASURE_MEAN_STD) emit_count(e, "images", m->rows);
    if (m->kind == MEASURE_CONFUSION) emit_counts(m, e);
    else emit_real(e, "value", m->value);
    if (m->kind == MEASURE_ACCURACY) emit_count(e, "right", m->right);
    if (m->kind == MEASURE_MEAN_STD) {
        emit_real(e, "std", m->deviation);
        emit_count(e, "n", m->nof);
    }
    emit_close(e, '}');
}

void table_emit(const struct measured_table *t, struct emit *e) {
    emit_open(e, NULL, '{');
    emit_string(e, "to", t->to);
    emit_open(e, "rows", '[');
    for (size_t i = 0; i < t->nrows; i++) emit_string(e, NULL, measured_row_name(t, i));
    emit_close(e, ']');
    emit_names(e, "columns", t->columns, t->ncolumns);
    emit_open(e, "cells", '[');
    for (size_t i = 0; i < t->nrows; i++) {
        emit_open(e, NULL, '[');
        for (size_t j = 0; j < t->ncolumns; j++)
            emit_measure(t->cells[i * t->ncolumns + j], e);
        emit_close(e, ']');
    }
    emit_close(e, ']');
    emit_close(e, '}');
}
