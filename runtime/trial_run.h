// A trial of a plan as part of a run: which images, what the model says of them, and what
// follows.
#ifndef DDG_TRIAL_RUN_H
#define DDG_TRIAL_RUN_H

#include "runtime/demand.h"

// Asks the model and judges; looking, goes through what that would ask for. False: said
// in d, or stopped.
bool trial_run(struct demand *m, uint32_t which, struct diags *d);

#endif
