// See scope.h.
#include "runtime/base/base.h"

static _Thread_local struct scope *now; // see scope.h for why there is one

struct scope scope_same(void) {
    if (!now) return (struct scope){0};
    return (struct scope){.memory = now->memory, .catches = now->catches};
}

const struct memory *scope_memory(void) {
    return now ? now->memory : NULL;
}

void scope_enter(struct scope *s) {
    s->outer = now;
    s->cleanups = NULL;
    s->end = SCOPE_DONE;
    s->recover = NULL;
    now = s;
}

void scope_leave(struct scope *s) {
    CHECK(now == s && !s->cleanups);
    now = s->outer;
}

enum scope_end scope_run(struct scope *s, void (*fn)(void *), void *ctx) {
    jmp_buf here;
    scope_enter(s);
    s->recover = &here;
    if (setjmp(here) == 0) fn(ctx);
    s->recover = NULL;
    scope_leave(s);
    return s->end;
}

// ---- giving up -----------------------------------------------------------------------
static bool recovers(void) {
    for (const struct scope *s = now; s; s = s->outer)
        if (s->recover) return true;
    return false;
}

// Each is off the list before it runs: one that gives up itself is not run again.
static void run_cleanups(struct scope *s) {
    while (s->cleanups) cleanup_run(s->cleanups);
}

static _Noreturn void unwind(enum scope_end end, const char *words) {
    char kept[sizeof now->words]; // the words may lie in what is let go of
    snprintf(kept, sizeof kept, "%s", words);
    for (;; now = now->outer) {
        now->end = end;
        run_cleanups(now);
        if (now->recover) break;
    }
    snprintf(now->words, sizeof now->words, "%s", kept);
    longjmp(*now->recover, 1);
}

_Noreturn void scope_no_memory(void) {
    if (recovers()) unwind(SCOPE_NO_MEMORY, "out of memory");
    fputs("ddg: error: out of memory\n", stderr);
    exit(1);
}

_Noreturn void scope_bug(const char *words) {
    if (now && now->catches && recovers()) unwind(SCOPE_BUG, words);
    fprintf(stderr, "ddg: bug at %s\n", words);
    abort();
}

_Noreturn void scope_raise(const struct scope *ended) {
    CHECK(ended->end != SCOPE_DONE);
    if (ended->end == SCOPE_BUG) scope_bug(ended->words);
    scope_no_memory();
}

_Noreturn void bug_at(const char *file, int line, const char *fmt, ...) {
    char words[sizeof now->words];
    va_list ap;
    int n = snprintf(words, sizeof words, "%s:%d: ", file, line);
    size_t at = n < 0 ? 0 : size_min((size_t)n, sizeof words - 1);
    va_start(ap, fmt);
    vsnprintf(words + at, sizeof words - at, fmt, ap);
    va_end(ap);
    scope_bug(words);
}

enum scope_end scope_ending(void) {
    return now ? now->end : SCOPE_DONE;
}

// ---- cleanups ------------------------------------------------------------------------
// Without a scope nothing is ever given up.
void cleanup_push(struct cleanup *c, void (*fn)(void *), void *arg) {
    *c = (struct cleanup){.fn = fn, .arg = arg};
    if (!now) return;
    c->below = now->cleanups;
    now->cleanups = c;
}

void cleanup_pop(struct cleanup *c) {
    if (!now) return;
    CHECK(now->cleanups == c);
    now->cleanups = c->below;
}

void cleanup_run(struct cleanup *c) {
    cleanup_pop(c);
    c->fn(c->arg);
}
