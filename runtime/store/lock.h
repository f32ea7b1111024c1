// Locks that end with the process that holds them: byte ranges of one empty file (open
// file description locks, fcntl F_OFD_SETLK). Nothing is ever written to it.
//
// A lock is named by a digest; two names share a byte with a chance of 2^-61, which costs
// a wait and nothing else. Locks of one struct locks never exclude each other:
// of two on one name, the later one's kind counts, and one drop ends both. A process that
// was forked from one that holds locks shares them.
#ifndef DDG_STORE_LOCK_H
#define DDG_STORE_LOCK_H

#include "runtime/base/base.h"

struct locks;

// The file DIR/locks, made when missing. Never NULL but for memory: where there are no
// locks, every call says true.
struct locks *locks_open(int folder);
void locks_close(struct locks *l); // gives all up

enum lock_kind { LOCK_SHARED, LOCK_EXCLUSIVE };
// Without waiting. False: another process holds it.
bool lock_take(struct locks *l, struct digest name, enum lock_kind kind);
void lock_drop(struct locks *l, struct digest name);

#endif
