// Worker threads for one piece of work.
#ifndef DDG_POOL_H
#define DDG_POOL_H

#include "runtime/base/base.h"

// Runs fn(ctx, worker) on `threads` threads (the caller is worker 0) and waits for all;
// on fewer when the system gives no more. fn shares the work out itself.
void pool_run(size_t threads, void (*fn)(void *ctx, size_t worker), void *ctx);
// The same for work in which workers wait for each other: begin(ctx, workers) is called
// before any of them, once it is known how many there are; false: fn is not called, nor
// when it gives up (scope.h).
void pool_together(size_t threads, bool (*begin)(void *ctx, size_t workers),
                   void (*fn)(void *ctx, size_t worker), void *ctx);
// Calls fn(ctx, first, last) for ranges that cover [0, n), at most `grain` long, on
// threads.
void pool_for(size_t threads, size_t n, size_t grain,
              void (*fn)(void *ctx, size_t first, size_t last), void *ctx);
// Processors this process may use; at least 1.
size_t pool_cores(void);

#endif
