// What a compiled program says of itself.
#ifndef DDG_EXE_HELP_H
#define DDG_EXE_HELP_H

#include "runtime/bundle.h"

// program: as it was started.
void help_print(const struct bundle *b, const char *program, struct arena *arena,
                FILE *to);
void version_print(const struct bundle *b, FILE *to);
// Behind an error of a run: the param that says where images are, if they are not there.
void help_missing(const struct plan *p, struct diags *d);

#endif
