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

int with_arena(int (*fn)(void *ctx, struct arena *arena), void *ctx) {
    struct arena *arena = arena_new();
    int code = EXIT_WRONG;
    jmp_buf oom;
    if (!arena || setjmp(oom)) {
        fputs("ddg: out of memory\n", stderr);
    } else {
        arena_guard(arena, &oom);
        code = fn(ctx, arena);
    }
    arena_free(arena);
    return code;
}
