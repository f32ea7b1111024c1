// See process.h.
#include "cli/base/process.h"

#include "cli/base/interrupt.h"

#include <signal.h>
#include <unistd.h>

static void on_bug(int sig) {
    static const char text[] = "ddg: this is a bug of ddg; please report it\n";
    (void)sig;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(EXIT_BUG);
    _exit(EXIT_BUG);
}

void process_begin(void) {
    signal(SIGABRT, on_bug);
    signal(SIGSEGV, on_bug);
}

int process_end(int code) {
    bool written = fflush(stdout) == 0 && !ferror(stdout);
    if (!written) fputs("ddg: the output could not be written\n", stderr);
    if (code == EXIT_STOPPED) interrupt_end();
    return written ? code : EXIT_WRONG;
}

struct call { // of with_arena
    int (*fn)(void *ctx, struct arena *arena);
    void *ctx;
    struct arena *arena;
    int code;
};

static void call_fn(void *ctx) {
    struct call *c = ctx;
    c->arena = arena_must();
    c->code = c->fn(c->ctx, c->arena);
}

int with_arena(int (*fn)(void *ctx, struct arena *arena), void *ctx) {
    struct call c = {.fn = fn, .ctx = ctx, .code = EXIT_WRONG};
    struct scope scope = scope_same();
    if (scope_run(&scope, call_fn, &c) != SCOPE_DONE)
        fputs("ddg: error: out of memory\n", stderr);
    arena_free(c.arena);
    return c.code;
}
