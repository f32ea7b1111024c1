// What of a pipeline can be changed after compiling: attributes that follow from params
// and shape no code (attr_spec.late) are listed in the plan with where they are used.
#ifndef DDG_LATE_H
#define DDG_LATE_H

#include "passes/pass.h"
#include "runtime/settings.h"

// Lists an attribute of a pipeline node, and where it is used; nothing when it follows
// from no param.
void late_attr(struct module *m, const struct node *n, const char *attr);
void late_use(struct module *m, const struct node *n, const char *attr,
              enum use_place place, uint32_t a, uint32_t b);

// For each of n params what the code or its constants follow from, in words, or NULL: it
// can be changed after compiling.
const char **late_fixed(struct arena *arena, const struct func *graph, size_t n);

#endif
