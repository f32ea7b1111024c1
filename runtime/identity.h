// What rows are: the identities of images by their content, and the keys of remembered
// values.
#ifndef DDG_IDENTITY_H
#define DDG_IDENTITY_H

#include "runtime/rowset.h"

// Finds out the identities of these rows of a reader: from what the store remembers of
// files that have not changed since, else by reading them (never decoding). store may be
// NULL.
bool identity_learn(struct rowsets *r, uint32_t reader, const uint32_t *rows, size_t n,
                    struct store *store, size_t threads, struct diags *d);

// The key of a row of `rowset` by what is remembered of it: its keys joined. The same
// must be known as below.
struct digest identity_memo_key(const struct rowsets *r, const struct plan_memo *memo,
                                uint32_t rowset, size_t row);
// The key of a column's row: its keys joined. The identities it is made of must be known
// and the columns filled.
struct digest identity_key(const struct rowsets *r, uint32_t column, size_t row);
// The same, were all the images behind the row of this class.
struct digest identity_key_as(const struct rowsets *r, uint32_t column, size_t row,
                              uint32_t cls);

#endif
