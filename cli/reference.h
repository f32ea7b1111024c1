// `ddg ops`: the op reference, printed from the op table.
#ifndef DDG_REFERENCE_H
#define DDG_REFERENCE_H

#include "ir/ir.h"

void reference_list(FILE *to);
// False when there is no such op; *suggestion is then a near one or NULL.
bool reference_op(const char *name, FILE *to, const char **suggestion);

#endif
