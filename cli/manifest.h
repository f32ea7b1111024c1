// What a result's manifest says of the program that made it.
#ifndef DDG_MANIFEST_H
#define DDG_MANIFEST_H

#include "cli/acts.h"
#include "frontend/frontend.h"

// Gives the plan's results their fields: parameters, seeds and models, those that were
// trained among them. bf16: models that may multiply bf16 do, where that is faster.
void manifest_fields(struct arena *arena, const struct program *program,
                     const struct acts *acts, bool bf16, struct plan *plan);

#endif
