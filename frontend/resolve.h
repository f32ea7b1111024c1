// What the names in a program mean, and which slot each argument of a call fills.
#ifndef DDG_RESOLVE_H
#define DDG_RESOLVE_H

#include "frontend/ast.h"

// Fills what ast.h says is from resolve.c, in all files of the tree, `def`s that nobody
// calls included. Reports names that are unknown or bound twice, and calls whose
// arguments do not fit what is called.
void resolve_tree(struct arena *arena, struct tree *tree, struct diags *d);

// What a slot of a call is called: an operand, an attribute, a def's parameter. NULL past
// the last.
const char *call_slot_name(const struct call *c, size_t slot);

#endif
