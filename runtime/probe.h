// Which rows of a reader can be decoded, for on_error = "skip".
#ifndef DDG_PROBE_H
#define DDG_PROBE_H

#include "runtime/reader.h"
#include "runtime/store/store.h"

// Fills bad[0 .. rows of the reader). Every row is decoded, unless the store (may be
// NULL) remembers that it went well and the file has not changed since. False: out of
// memory.
bool probe_rows(const struct reader *r, size_t size, struct store *store, size_t threads,
                bool *bad);
// Why a row cannot be decoded, or "" when it can. False: out of memory.
bool probe_why(const struct reader *r, size_t size, size_t row, char *why, size_t why_n);

#endif
