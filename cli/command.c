// See command.h.
#include "cli/command.h"

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
