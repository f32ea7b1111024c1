// Memory that runs out: what allocates is run again and again with an allocator that
// fails at the n-th call, and one that fails from then on, for every n. Each time there
// is an error, or nothing is lost but time (the store may go without writing); every
// block is given back, and nothing crashes.
#ifndef TEST_METER_H
#define TEST_METER_H

#include "scratch.h"

#include <dirent.h>
#include <stdatomic.h>
#include <unistd.h>

// ---- an allocator that fails ---------------------------------------------------------
struct meter {
    struct memory memory;
    atomic_size_t calls;
    atomic_long live; // blocks
    size_t fail;      // which call; 0: none
    bool on;          // and all after it
    atomic_bool failed;
};

static inline bool fails(struct meter *m) {
    size_t call = atomic_fetch_add(&m->calls, 1) + 1;
    return m->fail && (call == m->fail || (m->on && call > m->fail));
}

static inline void *meter_resize(void *ctx, void *p, size_t n) {
    struct meter *m = ctx;
    if (!n) {
        if (p) atomic_fetch_sub(&m->live, 1);
        free(p);
        return NULL;
    }
    if (fails(m)) {
        atomic_store(&m->failed, true);
        return NULL;
    }
    void *q = realloc(p, n);
    if (q && !p) atomic_fetch_add(&m->live, 1);
    return q;
}

static inline size_t open_files(void) {
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir)) n++;
    closedir(dir);
    return n;
}

// ---- every call ----------------------------------------------------------------------
struct trial {
    struct fixture *f;
    const void *input;
    struct arena *a; // of the work, in the failing memory; dropped after it
    struct diags d;
    bool begun, ok;
};

typedef void trial_fn(struct trial *t);
struct attempt {
    trial_fn *fn;
    struct trial *t;
};

static inline void begin(void *ctx) {
    struct attempt *a = ctx;
    a->t->a = arena_must();
    diags_init(&a->t->d, a->t->a);
    a->t->begun = true;
    a->fn(a->t);
}

// One run, after which nothing is left. Whether an allocation failed.
static inline bool attempt(struct trial *t, trial_fn *fn, size_t n, bool on) {
    struct meter m = {.fail = n, .on = on};
    m.memory = (struct memory){meter_resize, &m};
    struct attempt a = {fn, t};
    struct scope s = {.memory = &m.memory, .catches = true};
    size_t files = open_files();
    enum scope_end end = scope_run(&s, begin, &a);
    bool failed = atomic_load(&m.failed);
    if (end == SCOPE_BUG) fail_msg("allocation %zu: %s", n, s.words);
    if (end != SCOPE_DONE) t->ok = false;
    if (end == SCOPE_DONE && !t->ok && !t->d.errors)
        fail_msg("allocation %zu: it failed without a word", n);
    if (end == SCOPE_DONE && !t->ok && failed && !t->d.no_memory)
        fail_msg("allocation %zu: \"%s\" is not what happened", n,
                 t->d.list.at[0].message);
    if (!failed && !t->ok) fail_msg("it fails by itself: %s", t->d.list.at[0].message);
    arena_free(t->a);
    if (atomic_load(&m.live))
        fail_msg("allocation %zu: %ld blocks lost", n, atomic_load(&m.live));
    if (open_files() != files) fail_msg("allocation %zu: files left open", n);
    return failed;
}

// Each allocation failing in turn, until there is none left that could. check is called
// outside of the scope, after each run.
static inline void fail_each(struct fixture *f, trial_fn *fn, const void *input,
                             trial_fn *check) {
    for (int on = 0; on < 2; on++) {
        size_t n = 0, errors = 0;
        bool failed = true;
        while (failed) {
            struct trial t = {.f = f, .input = input};
            failed = attempt(&t, fn, ++n, on);
            errors += !t.ok;
            if (check) check(&t);
        }
        // That nothing failed says little when nothing could.
        assert_true(n > 2 && errors > 0);
    }
}

static inline void remove_tree(const char *path) {
    if (access(path, F_OK) == 0)
        assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
