// What every room may use: arenas, checked sizes, strings and growing arrays.
//
// Memory has one of two owners. What lives as long as a compile or a run comes from an
// arena and is dropped with it; what a running worker needs is allocated once, before the
// work starts, by the module that frees it (mem.h). An arena that runs out of memory
// gives up to the scope in force (scope.h), so the code that builds graphs never checks
// for NULL; resources that are not memory are tied to the arena with arena_defer, or let
// go of by a cleanup.
#ifndef DDG_BASE_H
#define DDG_BASE_H

#include "runtime/base/scope.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define PRINTF_LIKE(fmt, first)
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// A bug of ours: to the scope that catches it; else say where and abort (the command
// turns SIGABRT into exit code 3).
_Noreturn void bug_at(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond)                                                                      \
    ((cond) ? (void)0 : bug_at(__FILE__, __LINE__, "check failed: %s", #cond))

// ---- sizes ---------------------------------------------------------------------------
// Each returns false, leaving *out alone, when the result does not fit.
bool size_mul(size_t a, size_t b, size_t *out);
bool size_add(size_t a, size_t b, size_t *out);
// The product of n sizes (1 when n is 0).
bool size_product(const size_t *v, size_t n, size_t *out);
// Rounds up to a multiple of align (a power of two); CHECKs that it fits.
size_t size_align(size_t v, size_t align);
size_t size_gcd(size_t a, size_t b); // of 0 and b: b
static inline size_t size_min(size_t a, size_t b) {
    return a < b ? a : b;
}
static inline size_t size_max(size_t a, size_t b) {
    return a > b ? a : b;
}

// ---- arenas --------------------------------------------------------------------------
struct arena;

// Its memory is that of the scope in force, then and later.
struct arena *arena_new(void);    // NULL when out of memory
struct arena *arena_must(void);   // gives up instead
void arena_free(struct arena *a); // runs the deferred calls, last one first
void arena_drop(void *a);         // the same, for cleanup_push

void arena_defer(struct arena *a, void (*fn)(void *), void *arg);

// n zeroed elements of size bytes, aligned to 64.
void *arena_alloc(struct arena *a, size_t n, size_t size);
// The same, not zeroed: for what is filled at once.
void *arena_raw(struct arena *a, size_t n, size_t size);
void *arena_dup(struct arena *a, const void *src, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(struct arena *a, const char *fmt, va_list ap);
#define NEW(arena, type)      ((type *)arena_alloc(arena, 1, sizeof(type)))
#define NEW_N(arena, type, n) ((type *)arena_alloc(arena, n, sizeof(type)))

// ---- growing arrays in an arena ------------------------------------------------------
//     VEC(int) v = {0}; VEC_PUSH(arena, &v, 3); for (size_t i = 0; i < v.n; i++) v.at[i]
#define VEC(type)                                                                        \
    struct {                                                                             \
        type *at;                                                                        \
        size_t n, cap;                                                                   \
    }
#define VEC_PUSH(arena, v, ...)                                                          \
    do {                                                                                 \
        if ((v)->n == (v)->cap)                                                          \
            (v)->at = vec_grow(arena, (v)->at, (v)->n, &(v)->cap, sizeof *(v)->at);      \
        (v)->at[(v)->n++] = (__VA_ARGS__);                                               \
    } while (0)
void *vec_grow(struct arena *a, const void *old, size_t n, size_t *cap, size_t size);

// ---- text being built ----------------------------------------------------------------
struct text { // NUL-terminated; grows in its arena
    struct arena *arena;
    char *at;
    size_t n, cap;
};
void text_add(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_add_n(struct text *t, const char *s, size_t n);
// Lines of a text that ends without a newline; "": none.
size_t text_lines(const char *s);

// ---- names that are nearly the same --------------------------------------------------
// The candidate nearest to name by edit distance, or NULL when none is near enough to
// suggest (at most a third of the name's letters wrong). get(ctx, i) is NULL past the
// end.
const char *near_miss(const char *name, const char *(*get)(const void *ctx, size_t i),
                      const void *ctx);

// ---- 128-bit digests (XXH3) ----------------------------------------------------------
struct digest {
    uint64_t lo, hi;
};
struct digest digest_of(const void *data, size_t n);
struct digest digest_join(struct digest a, struct digest b);
static inline bool digest_eq(struct digest a, struct digest b) {
    return a.lo == b.lo && a.hi == b.hi;
}
#define DIGEST_HEX 33
void digest_hex(struct digest d, char out[DIGEST_HEX]);

// Seconds on a clock that only goes forward, from some moment.
double clock_seconds(void);
// Seconds that processors have worked for this thread.
double clock_thread_seconds(void);

// ---- numbers -------------------------------------------------------------------------
// The middle one of n numbers, n >= 1; the mean of two where n is even. Sorts them,
// upwards.
double median_of(double *v, size_t n);

// ---- files ---------------------------------------------------------------------------
// For cleanup_push: closes *(int *)fd, which may be -1, and *(DIR **)dir, which may be
// NULL.
void cleanup_fd(void *fd);
void cleanup_dir(void *dir);
// path seen from a folder (NULL: the current one), unless path is absolute.
const char *path_in(struct arena *a, const char *folder, const char *path);
// path seen from the folder of `from` (a file), unless path is absolute.
char *path_beside(struct arena *a, const char *from, const char *path);
// The whole file, with a NUL after it; at most max bytes. NULL with errno set on failure
// (EFBIG when it is larger).
char *file_read(struct arena *a, const char *path, size_t max, size_t *n);

#endif
