// A record's text in the database: msgpack, bounded on every side when it is read.
//     {"v": 1, "op": s, "name": s, "elem": s, "dim": [n...],
//      "fields": [[name, value, label or nil]...], "flops": f, "rows": n, "bytes": n,
//      "computed": n, "seconds": f, "created": n}
#ifndef DDG_STORE_RECORD_H
#define DDG_STORE_RECORD_H

#include "runtime/store/store.h"

#define RECORD_MAX_BYTES  ((size_t)16 << 20)
#define RECORD_MAX_FIELDS ((size_t)65536)

// In arena.
void record_encode(const struct store_record *r, struct arena *a, char **out, size_t *n);
// False: not a record of this version, with the reason. Everything in *r lies in arena;
// its key is worked out from what was read.
bool record_decode(const char *data, size_t n, struct arena *a, struct store_record *r,
                   const char **why);

#endif
