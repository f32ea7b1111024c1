// Tokens to a syntax tree (ast.h).
#ifndef DDG_PARSE_H
#define DDG_PARSE_H

#include "frontend/ast.h"

// Fills f's declarations and imports from its source. Every statement that is wrong is
// reported; what can be told of it is still declared, with a bad expression.
void parse_file(struct arena *arena, struct file *f, struct diags *d);

// The expression at `at` of a piece of text that is no file (a -D value, a default in the
// op table); *end says where it stops. EXPR_BAD, reported, when there is none.
struct expr *parse_value(struct arena *arena, const struct source *s, size_t at,
                         struct diags *d, size_t *end);

#endif
