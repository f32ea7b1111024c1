// What a compiled program says of itself.
#ifndef DDG_EXE_HELP_H
#define DDG_EXE_HELP_H

#include "runtime/bundle.h"

// program: as it was started.
void help_print(const struct bundle *b, const char *program, struct arena *arena,
                FILE *to);
void version_print(const struct bundle *b, FILE *to);

#endif
