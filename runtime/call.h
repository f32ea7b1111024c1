// Calling a plan's tensor functions.
#ifndef DDG_CALL_H
#define DDG_CALL_H

#include "runtime/profile.h"

#define CALL_MAX_BUFFERS 32

// Up to f->batch rows. arena has f->arena_bytes, aligned to 64. in and out point at row
// 0; `fresh` says that the arguments shared by all rows are not those of the last call
// with this arena; lane, which may be NULL, gets the time of each kernel. False: out of
// memory.
bool call_func(const struct plan *p, const struct plan_func *f, char *arena,
               char *const *in, char *const *out, size_t n, bool fresh,
               struct profile_lane *lane);

#endif
