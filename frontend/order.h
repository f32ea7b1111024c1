// In which order declarations are evaluated.
#ifndef DDG_ORDER_H
#define DDG_ORDER_H

#include "frontend/ast.h"

// Needs resolve_tree. Puts into tree->ordered, each behind what it uses, what the
// program's own file declares, all params, and what those use of the files imported;
// sorts each def's locals likewise. What is made from itself is reported and marked.
void order_tree(struct arena *arena, struct tree *tree, struct diags *d);

#endif
