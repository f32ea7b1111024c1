// Runs kernels made for AArch64 where a test asks it to: see words.h. Without any
// library, so that a compiler and a linker are all it takes; under qemu-aarch64, or on
// such a machine.
#include "tests/guest/words.h"

enum {
    SYS_READ = 63,
    SYS_WRITE = 64,
    SYS_EXIT = 94,
    SYS_UNMAP = 215,
    SYS_MAP = 222,
    SYS_PROTECT = 226
};
enum { READ = 1, WRITE = 2, EXECUTE = 4 };
enum { SHARED = 1, PRIVATE = 2, FIXED = 0x10, ANONYMOUS = 0x20 };

typedef void (*kernel)(void *buffers, uint64_t n);

static int64_t ask_system(int64_t what, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                          uint64_t e) {
    register uint64_t x0 __asm__("x0") = a;
    register uint64_t x1 __asm__("x1") = b;
    register uint64_t x2 __asm__("x2") = c;
    register uint64_t x3 __asm__("x3") = d;
    register uint64_t x4 __asm__("x4") = e;
    register uint64_t x5 __asm__("x5") = 0;
    register int64_t x8 __asm__("x8") = what;
    __asm__ volatile("svc #0"
                     : "+r"(x0)
                     : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8)
                     : "memory");
    return (int64_t)x0;
}

static void leave(uint64_t code) {
    ask_system(SYS_EXIT, code, 0, 0, 0, 0);
}

// The test has gone when nothing comes any more.
static void take(uint64_t to, uint64_t n) {
    while (n) {
        int64_t got = ask_system(SYS_READ, GUEST_SOCKET, to, n, 0, 0);
        if (got <= 0) leave(got < 0);
        to += (uint64_t)got;
        n -= (uint64_t)got;
    }
}

static void answer(int64_t value) {
    if (ask_system(SYS_WRITE, GUEST_SOCKET, (uint64_t)&value, sizeof value, 0, 0) < 0)
        leave(1);
}

static int64_t map_memory(void) {
    int64_t at = ask_system(SYS_MAP, GUEST_PLACE, GUEST_BYTES, READ | WRITE,
                            SHARED | FIXED, GUEST_MEMORY);
    return at < 0 ? at : 0;
}

struct code {
    uint64_t at, bytes;
};

static int64_t take_code(struct code *code, uint64_t n) {
    if (code->bytes) ask_system(SYS_UNMAP, code->at, code->bytes, 0, 0, 0);
    int64_t at = ask_system(SYS_MAP, 0, n, READ | WRITE, PRIVATE | ANONYMOUS, UINT64_MAX);
    if (at < 0) leave(1); // what follows is not commands
    code->at = (uint64_t)at;
    code->bytes = n;
    take(code->at, n);
    return ask_system(SYS_PROTECT, code->at, n, READ | EXECUTE, 0, 0);
}

static int64_t call(const struct code *code, uint64_t entry, uint64_t buffers,
                    uint64_t n) {
    uint64_t list[GUEST_BUFFERS];
    if (buffers > GUEST_BUFFERS || entry >= code->bytes) leave(1);
    take((uint64_t)list, buffers * sizeof *list);
    ((kernel)(code->at + entry))(list, n);
    return 0;
}

void _start(void) {
    struct code code = {0, 0};
    for (;;) {
        struct guest_command c;
        take((uint64_t)&c, sizeof c);
        switch (c.word) {
        case GUEST_MAP: answer(map_memory()); break;
        case GUEST_PROTECT:
            answer(ask_system(SYS_PROTECT, c.a, GUEST_WALL, 0, 0, 0));
            break;
        case GUEST_CODE: answer(take_code(&code, c.a)); break;
        case GUEST_CALL: answer(call(&code, c.a, c.b, c.c)); break;
        default: leave(1);
        }
    }
}
