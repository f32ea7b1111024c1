// Where a run writes, all places together.
#ifndef DDG_PLACES_H
#define DDG_PLACES_H

#include "runtime/plan.h"

// Whether no two results of the plan, of saves or tables, are the same place or lie in
// one another, however their paths are written. What was set after compiling has not been
// checked before. False: said in d.
bool places_apart(struct arena *arena, const struct plan *p, struct diags *d);

#endif
