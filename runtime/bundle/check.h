// What the parts of checking a plan share. Each part has a function that stops at the
// first thing that is wrong and says it. The parts go in order: one relies on what those
// before it have found to be right.
#ifndef DDG_BUNDLE_CHECK_H
#define DDG_BUNDLE_CHECK_H

#include "runtime/bundle/read.h"

struct check {
    struct arena *arena;
    const struct plan *plan;
    size_t *behind; // by rowset: the reader's rows that are in one of its rows
    const struct formula_param *params; // as they are; check_params
    const char *why;
};

bool check_fail(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

// How many rows of an ancestor belong to one row of a rowset; 0: it is none.
size_t check_mult(const struct check *c, uint32_t rowset, uint32_t ancestor);

bool check_rowsets(struct check *c);
bool check_columns(struct check *c);
bool check_funcs(struct check *c); // call_check.c
bool check_stages(struct check *c);
// What its functions' calls read and write of a step's slots. call_check.c
bool check_step_calls(struct check *c, const struct plan_stage *s,
                      const struct plan_step *step);
bool check_saves(struct check *c);
bool check_trials(struct check *c);
bool check_measures(struct check *c); // and tables of them
bool check_params(struct check *c); // late_check.c

#endif
