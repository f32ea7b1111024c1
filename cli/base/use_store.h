// Which store a command uses, and what is said of it.
#ifndef DDG_USE_STORE_H
#define DDG_USE_STORE_H

#include "cli/base/args.h"
#include "cli/base/emit.h"
#include "runtime/store/store.h"

// Where it is: --store, or the default. NULL: nowhere, said in why.
const char *store_place(const struct args *a, struct arena *arena, const char **why);
// Whether there is anything at the place. A link to nothing is something.
bool store_exists(const char *path);

// For running and planning: a store that cannot be used is a warning, and NULL.
struct store *store_for_program(const struct args *a, bool look, struct arena *arena);
// What went wrong with it, if anything did, as a warning.
void store_say_trouble(struct store *s, struct arena *arena);

#endif
