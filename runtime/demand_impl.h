// What demand.c has for demand_train.c.
#ifndef DDG_DEMAND_IMPL_H
#define DDG_DEMAND_IMPL_H

#include "runtime/demand.h"
#include "runtime/gather.h"

struct tally *demand_tally(struct demand *m, const struct plan_stage *s);
// To be called when what the stage asked for is done.
void demand_touched(struct demand *m, const struct plan_stage *s);
// Everything that the stage reads, but for pixels.
bool demand_inputs(struct demand *m, const struct plan_stage *s, const struct list *rows,
                   struct diags *d);
// Everything that the rows' keys are made of.
bool demand_keys(struct demand *m, const struct plan_memo *memo, uint32_t rowset,
                 const struct list *rows, struct diags *d);
// Looking: none of that would have to be computed first.
bool demand_key_known(const struct demand *m, const struct plan_memo *memo,
                      uint32_t rowset, size_t row);
// Runs a stage whose rows are gathered or, with g NULL, go to its save.
bool demand_write(struct demand *m, const struct plan_stage *s, const struct list *rows,
                  const struct gather *g, struct diags *d);

#endif
