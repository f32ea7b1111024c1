// Measures: numbers about whole sets of rows, and the tables that are made of them.
//
// What a model says of each row is a column, remembered like any other; a measure counts
// over all rows of it. Tables are printed by who runs the plan (cli/base/tables.h) and
// written here, as CSV and as JSON, which has all that is needed to repeat the run.
#ifndef DDG_MEASURE_H
#define DDG_MEASURE_H

#include "runtime/plan.h"

struct demand;

struct measured {
    enum measure_kind kind;
    const char *name;
    double value;         // ACCURACY: 0 to 1; MEAN_STD: the mean
    double deviation;     // MEAN_STD: NaN of a single number
    size_t rows, right;   // ACCURACY: rows looked at, and right ones; CONFUSION: rows
    size_t classes;       // CONFUSION
    const size_t *counts; // CONFUSION: [class][class answered]
    const char *const *class_names;
    size_t nof;
    const struct measured *const *of; // MEAN_STD
};

struct measured_table {
    const char *to; // see plan_table; NULL: it is only printed
    size_t nrows, ncolumns;
    // NULL: the measures have names of their own.
    const char *const *rows, *const *columns;
    const struct measured *const *cells; // row after row
};

// Asks for what the measures are made of and works them out, in the demand's arena.
// Looking, goes through that alone.
bool measures_demand(struct demand *m, struct measured **out, struct diags *d);
// The tables of the plan, over measures as measures_demand left them.
const struct measured_table *measured_tables(struct arena *a, const struct plan *p,
                                             const struct measured *all);
// The names of a table's rows; its measures have others.
const char *measured_row_name(const struct measured_table *t, size_t row);
// The files that a table goes to.
enum table_file { TABLE_CSV, TABLE_JSON, TABLE_FILES };
const char *table_file(struct arena *a, const struct plan_table *t, enum table_file f);
// Whether the places that tables go to can be written, before anything is computed.
bool tables_check(struct arena *a, const struct plan *p, struct diags *d);
// Writes TO.csv and TO.json of each.
bool tables_write(struct arena *a, const struct plan *p, const struct measured_table *t,
                  struct diags *d);

const char *measure_word(enum measure_kind k); // "accuracy"

#endif
