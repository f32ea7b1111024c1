// `ddg inspect`: what a compiled program holds. inspect_cmd.c prints it for people,
// inspect_json.c for scripts.
#ifndef DDG_INSPECT_H
#define DDG_INSPECT_H

#include "cli/base/emit.h"
#include "runtime/bundle.h"

// all: every member of every structure of the plans, too.
void inspect_emit(const struct bundle *b, bool all, struct emit *e);

size_t inspect_consts(const struct plan *p); // bytes

#endif
