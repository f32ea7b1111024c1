// Tables of measures, as people and as scripts get them on stdout.
#ifndef DDG_TABLES_H
#define DDG_TABLES_H

#include "cli/base/emit.h"
#include "runtime/measure.h"

// Accuracies in percent; a confusion of many classes is only counted.
void table_print(const struct measured_table *t, FILE *to);
// As an element of the array that is open.
void table_emit(const struct measured_table *t, struct emit *e);

#endif
