// What a call is served with: where its memory comes from, and where it goes when it
// cannot go on.
//
// Whoever calls the library may bring an allocator, and must not be ended by a failed
// check or by memory that runs out. Passing both to everything that allocates would put a
// parameter on nearly every function, and they concern none of them; so a thread has a
// scope in force, as it has an errno: it says whom the thread serves now, never what is
// known, and nothing can be computed from it. That pointer is the only state ddg has
// outside of its objects.
//
//     struct scope s = {.memory = memory, .catches = true};
//     switch (scope_run(&s, open_everything, &ctx)) {
//     case SCOPE_DONE: ...              // it returned
//     case SCOPE_NO_MEMORY: ...         // an arena found no memory
//     case SCOPE_BUG: say(s.words); // a check failed: "file.c:12: check failed: n > 0"
//     }
//
// Scopes nest; the former one is in force again afterwards. What the function that is
// given up holds besides arenas of its callers is let go of by the cleanups it has
// pushed:
//
//     struct cleanup c;
//     cleanup_push(&c, mem_free_at, &values);
//     ... what may give up (every arena_alloc may) ...
//     cleanup_run(&c);                  // or cleanup_pop: no longer ours to free
//
// They run, last one first, before the stack is left, so that they may point into it.
// Without a scope nothing catches: a bug aborts, and memory that runs out ends the
// process.
#ifndef DDG_SCOPE_H
#define DDG_SCOPE_H

#include "runtime/base/mem.h"

#include <setjmp.h>
#include <stdbool.h>

enum scope_end { SCOPE_DONE, SCOPE_NO_MEMORY, SCOPE_BUG };

struct cleanup {
    struct cleanup *below;
    void (*fn)(void *);
    void *arg;
};

struct scope {
    const struct memory *memory; // NULL: malloc's
    bool catches;                // failed checks; else they abort
    char words[256];             // of a bug
    // scope.c's:
    struct scope *outer;
    struct cleanup *cleanups;
    enum scope_end end;
    jmp_buf *recover; // NULL: entered, not run: what gives up goes on outwards
};

// Memory and catching of the scope in force, for one inside of it or for a thread that it
// starts (which runs it first thing, and tells who waits for it how that ended).
struct scope scope_same(void);

// The memory of the scope in force; NULL: malloc's.
const struct memory *scope_memory(void);

// fn(ctx) in this scope, until it returns or gives up.
enum scope_end scope_run(struct scope *s, void (*fn)(void *ctx), void *ctx);
// The same for code that nothing gives up in, or whose caller recovers.
void scope_enter(struct scope *s);
void scope_leave(struct scope *s);

// Gives up. The words of a bug: where, and what was found.
_Noreturn void scope_no_memory(void);
_Noreturn void scope_bug(const char *words);
// What that scope ended with, which was not DONE, in the one in force now.
_Noreturn void scope_raise(const struct scope *ended);

void cleanup_push(struct cleanup *c, void (*fn)(void *), void *arg);
void cleanup_pop(struct cleanup *c); // c is the last one pushed
void cleanup_run(struct cleanup *c); // the same, and calls it
// For cleanups: what is being given up for; DONE in ordinary work.
enum scope_end scope_ending(void);

#endif
