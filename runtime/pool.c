// See pool.h.
#include "runtime/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct gate { // where workers wait until it is known how many they are
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open, enter;
};

struct start { // of one worker; the caller's scope, for it
    void (*fn)(void *, size_t);
    void *ctx;
    size_t worker;
    struct gate *gate; // NULL: none
    struct scope scope;
    pthread_t thread;
};

static void call(void *arg) {
    struct start *s = arg;
    s->fn(s->ctx, s->worker);
}

static bool pass_gate(struct gate *g) {
    pthread_mutex_lock(&g->lock);
    while (!g->open) pthread_cond_wait(&g->opened, &g->lock);
    pthread_mutex_unlock(&g->lock);
    return g->enter;
}

static void open_gate(struct gate *g, bool enter) {
    pthread_mutex_lock(&g->lock);
    g->open = true;
    g->enter = enter;
    pthread_cond_broadcast(&g->opened);
    pthread_mutex_unlock(&g->lock);
}

static void *enter(void *arg) {
    struct start *s = arg;
    if (!s->gate || pass_gate(s->gate)) scope_run(&s->scope, call, s);
    return NULL;
}

// What any of them ended with goes on where all are done.
static void join(struct start *self, struct start *others, size_t n) {
    const struct start *ended = self->scope.end != SCOPE_DONE ? self : NULL;
    for (size_t i = 0; i < n; i++) {
        pthread_join(others[i].thread, NULL);
        if (!ended && others[i].scope.end != SCOPE_DONE) ended = &others[i];
    }
    struct scope why = ended ? ended->scope : scope_same();
    mem_free(others);
    if (ended) scope_raise(&why);
}

// Starts up to n more like self; how many it could.
static size_t start_more(const struct start *self, struct start *others, size_t n) {
    size_t started = 0;
    for (; others && started < n; started++) {
        struct start *s = &others[started];
        *s = *self;
        s->worker = started + 1;
        if (pthread_create(&s->thread, NULL, enter, s) != 0) break;
    }
    return started;
}

void pool_run(size_t threads, void (*fn)(void *, size_t), void *ctx) {
    struct start self = {.fn = fn, .ctx = ctx, .scope = scope_same()};
    size_t most = threads > 1 ? threads - 1 : 0;
    struct start *others = most ? mem_zalloc(most, sizeof *others) : NULL;
    size_t started = start_more(&self, others, most);
    enter(&self);
    join(&self, others, started);
}

struct together { // workers at a gate
    struct gate gate;
    struct start *others;
    size_t started;
};

static void gate_end(struct gate *g) {
    pthread_cond_destroy(&g->opened);
    pthread_mutex_destroy(&g->lock);
}

// `begin` gave up: nobody is to enter, and all are gone before the gate is.
static void send_home(void *together) {
    struct together *t = together;
    open_gate(&t->gate, false);
    for (size_t i = 0; i < t->started; i++) pthread_join(t->others[i].thread, NULL);
    mem_free(t->others);
    gate_end(&t->gate);
}

void pool_together(size_t threads, bool (*begin)(void *, size_t),
                   void (*fn)(void *, size_t), void *ctx) {
    struct together t = {.gate.open = false};
    struct start self = {.fn = fn, .ctx = ctx, .gate = &t.gate, .scope = scope_same()};
    size_t most = threads > 1 ? threads - 1 : 0;
    struct cleanup held;
    t.others = most ? mem_zalloc(most, sizeof *t.others) : NULL;
    pthread_mutex_init(&t.gate.lock, NULL);
    pthread_cond_init(&t.gate.opened, NULL);
    t.started = start_more(&self, t.others, most);
    cleanup_push(&held, send_home, &t);
    bool enters = begin(ctx, t.started + 1);
    cleanup_pop(&held);
    open_gate(&t.gate, enters);
    enter(&self);
    join(&self, t.others, t.started); // may give up; nobody is at the gate any more
    gate_end(&t.gate);
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
