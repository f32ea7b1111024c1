// What a result's manifest says of the program that made it.
#ifndef DDG_MANIFEST_H
#define DDG_MANIFEST_H

#include "frontend/frontend.h"
#include "runtime/plan.h"

// Gives every image save of the plan its fields: parameters, seeds and models.
void manifest_fields(struct arena *arena, const struct program *program,
                     struct plan *plan);

#endif
