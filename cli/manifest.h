// What a result's manifest says of the program that made it.
#ifndef DDG_MANIFEST_H
#define DDG_MANIFEST_H

#include "frontend/frontend.h"
#include "runtime/plan.h"

// Gives every image save of the plan its fields: parameters, seeds and models. bf16: those that
// may multiply bf16 do, where that is faster.
void manifest_fields(struct arena *arena, const struct program *program, bool bf16,
                     struct plan *plan);

#endif
