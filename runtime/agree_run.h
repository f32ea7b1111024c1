// Comparing what bf16 gave with fp32, when a run has done everything else.
//
// The rows are taken evenly from all those that the program's results follow from, also
// when this run found what they led to in the store and never read them: the same program
// compares the same rows, and what it has compared once is in the store.
#ifndef DDG_AGREE_RUN_H
#define DDG_AGREE_RUN_H

#include "runtime/demand.h"

// All of the plan's; what they found goes to m->agreements. Looking, goes through what
// that takes.
bool agree_run(struct demand *m, struct diags *d);

#endif
