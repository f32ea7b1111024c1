// Runs kernels made for a processor that this one is not, on a played one: guest.c of
// tests/guest under qemu. It shares memory with the test, at the same addresses; what is
// allocated there ends at a wall for the kernels.
//
// What the build did not find (qemu-user, clang-19, lld-19) leaves this out: guest_start
// says so and returns NULL.
#ifndef GUEST_H
#define GUEST_H

#include "codegen/codegen.h"
#include "tests/guest/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define GUEST_TARGET    "aarch64"
#define GUEST_FNS_BYTES ((size_t)1 << 16)

struct guest {
    pid_t pid;
    int socket, memory;
    char *at; // the memory both have
    size_t used;
    char *fns; // of guest_fn
    size_t nfns;
};

// ---- commands ------------------------------------------------------------------------

static inline void guest_send(struct guest *g, const void *bytes, size_t n) {
    for (const char *from = bytes; n;) {
        ssize_t sent = send(g->socket, from, n, MSG_NOSIGNAL);
        if (sent <= 0) BUG("the other processor is gone");
        from += sent;
        n -= (size_t)sent;
    }
}

static inline void guest_ask(struct guest *g, enum guest_word word, uint64_t a,
                             uint64_t b, uint64_t c, const void *more, size_t n) {
    struct guest_command command = {word, a, b, c};
    int64_t value;
    int status = 0;
    guest_send(g, &command, sizeof command);
    guest_send(g, more, n);
    if (recv(g->socket, &value, sizeof value, MSG_WAITALL) != (ssize_t)sizeof value) {
        waitpid(g->pid, &status, 0);
        BUG("the other processor ended, command %d, signal %d, code %d", (int)word,
            WIFSIGNALED(status) ? WTERMSIG(status) : 0,
            WIFEXITED(status) ? WEXITSTATUS(status) : 0);
    }
    if (value != 0)
        BUG("the other processor says %lld to %d", (long long)value, (int)word);
}

// ---- the memory both have ------------------------------------------------------------

// Forgets all that was allocated.
static inline void guest_fresh(struct guest *g) {
    CHECK(ftruncate(g->memory, 0) == 0 && ftruncate(g->memory, GUEST_BYTES) == 0);
    g->used = g->nfns = 0;
    guest_ask(g, GUEST_MAP, 0, 0, 0, NULL, 0);
}

// Ends at a wall, and starts out as NaNs.
static inline char *guest_alloc(struct guest *g, size_t bytes) {
    size_t end = g->used + size_align(bytes, GUEST_WALL);
    CHECK(end + GUEST_WALL <= GUEST_BYTES);
    memset(g->at + g->used, 0xff, end - g->used);
    guest_ask(g, GUEST_PROTECT, (uint64_t)(uintptr_t)(g->at + end), 0, 0, NULL, 0);
    g->used = end + GUEST_WALL;
    return g->at + end - bytes;
}

static inline char *guest_copy(struct guest *g, const void *from, size_t n,
                               size_t spare) {
    char *to = guest_alloc(g, size_align(n + spare, 64));
    memcpy(to, from, n);
    return to;
}

// ---- beginning and ending ------------------------------------------------------------

#if defined(GUEST) && defined(__x86_64__)

static inline void guest_run(int socket, int memory) {
    // Both are above what they become.
    if (dup2(socket, GUEST_SOCKET) < 0 || dup2(memory, GUEST_MEMORY) < 0) _exit(1);
    execl(GUEST_QEMU, GUEST_QEMU, "-cpu", "cortex-a53", GUEST, (char *)NULL);
    _exit(1);
}

static inline struct guest *guest_start(void) {
    struct guest *g = calloc(1, sizeof *g);
    int pair[2];
    CHECK(g && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    g->memory = memfd_create("guest", MFD_CLOEXEC);
    CHECK(g->memory > GUEST_MEMORY && pair[1] > GUEST_SOCKET);
    void *place = (void *)(uintptr_t)GUEST_PLACE;
    g->at = mmap(place, GUEST_BYTES, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_FIXED_NOREPLACE, g->memory, 0);
    CHECK(g->at == place);
    g->fns = mmap(NULL, GUEST_FNS_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(g->fns != MAP_FAILED);
    g->pid = fork();
    CHECK(g->pid >= 0);
    if (g->pid == 0) guest_run(pair[1], g->memory);
    close(pair[1]);
    g->socket = pair[0];
    guest_fresh(g);
    return g;
}

#else

static inline struct guest *guest_start(void) {
    fprintf(stderr,
            "code for " GUEST_TARGET " was not run: qemu-user, clang-19 or lld-19 "
            "is not here\n");
    return NULL;
}

#endif

static inline void guest_stop(struct guest *g) {
    int status;
    if (!g) return;
    close(g->socket);
    close(g->memory);
    CHECK(waitpid(g->pid, &status, 0) == g->pid);
    CHECK(munmap(g->at, GUEST_BYTES) == 0);
    CHECK(munmap(g->fns, GUEST_FNS_BYTES) == 0);
    free(g);
}

// ---- kernels -------------------------------------------------------------------------

static inline void guest_code(struct guest *g, const struct codegen_image *im) {
    if (im->n) guest_ask(g, GUEST_CODE, im->n, 0, 0, im->bytes, im->n);
}

// All buffers are of guest_alloc.
static inline void guest_call(struct guest *g, size_t entry, char *const *buffers,
                              size_t nbuffers, size_t n) {
    guest_ask(g, GUEST_CALL, entry, nbuffers, n, buffers, nbuffers * sizeof *buffers);
}

// A kernel_fn knows no context, so each kernel has a function of its own, made here:
//     mov rdx, kernel; mov rax, guest_enter; jmp rax
struct guest_kernel {
    struct guest *guest;
    size_t entry, nbuffers;
};

static inline void guest_enter(char *const *buffers, size_t n,
                               const struct guest_kernel *k) {
    guest_call(k->guest, k->entry, buffers, k->nbuffers, n);
}

static inline kernel_fn guest_fn(struct guest *g, const struct guest_kernel *k) {
    void (*enter)(char *const *, size_t, const struct guest_kernel *) = guest_enter;
    char *at = g->fns + 32 * g->nfns++;
    kernel_fn fn;
    CHECK(at < g->fns + GUEST_FNS_BYTES);
    memcpy(at, "\x48\xba", 2);
    memcpy(at + 2, &k, sizeof k);
    memcpy(at + 10, "\x48\xb8", 2);
    memcpy(at + 12, &enter, sizeof enter);
    memcpy(at + 20, "\xff\xe0", 2);
    memcpy(&fn, &at, sizeof fn);
    return fn;
}

#endif
