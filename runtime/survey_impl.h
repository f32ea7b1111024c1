// What survey.c and why.c share.
#ifndef DDG_SURVEY_IMPL_H
#define DDG_SURVEY_IMPL_H

#include "runtime/demand.h"
#include "runtime/survey.h"

// Goes through all that a run would ask for; the rowsets are open afterwards.
bool survey_demand(struct demand *m, struct diags *d);
// What was found out about a stage of the plan.
struct survey_node survey_node(const struct demand *m, const struct plan_stage *s);

#endif
