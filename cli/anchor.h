// Paths that stay true wherever a compiled program is started: a plan's relative paths,
// which start at the program's folder or the current one, are made absolute.
#ifndef DDG_ANCHOR_H
#define DDG_ANCHOR_H

#include "runtime/plan.h"

// False, said in d, when the current directory has no path.
bool plan_anchor(struct arena *a, struct plan *p, struct diags *d);

#endif
