// See pool.h.
#include "runtime/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct start {
    void (*fn)(void *, size_t);
    void *ctx;
    size_t worker;
    pthread_t thread;
};

static void *enter(void *arg) {
    struct start *s = arg;
    s->fn(s->ctx, s->worker);
    return NULL;
}

void pool_run(size_t threads, void (*fn)(void *, size_t), void *ctx) {
    struct start *s = calloc(threads, sizeof *s);
    size_t started = 1;
    for (; s && started < threads; started++) {
        s[started] = (struct start){.fn = fn, .ctx = ctx, .worker = started};
        if (pthread_create(&s[started].thread, NULL, enter, &s[started]) != 0) break;
    }
    fn(ctx, 0);
    for (size_t i = 1; i < started; i++) pthread_join(s[i].thread, NULL);
    free(s);
}

struct ranges {
    atomic_size_t next;
    size_t n, grain;
    void (*fn)(void *, size_t, size_t);
    void *ctx;
};

static void take_ranges(void *arg, size_t worker) {
    struct ranges *r = arg;
    (void)worker;
    for (size_t i; (i = atomic_fetch_add(&r->next, r->grain)) < r->n;)
        r->fn(r->ctx, i, size_min(i + r->grain, r->n));
}

void pool_for(size_t threads, size_t n, size_t grain, void (*fn)(void *, size_t, size_t),
              void *ctx) {
    struct ranges r = {.n = n, .grain = grain, .fn = fn, .ctx = ctx};
    pool_run(threads, take_ranges, &r);
}

size_t pool_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? (size_t)n : 1;
}
