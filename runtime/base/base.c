// Arenas, checked sizes, text, digests and files. See base.h.
#include "runtime/base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

bool size_mul(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

bool size_add(size_t a, size_t b, size_t *out) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

bool size_product(const size_t *v, size_t n, size_t *out) {
    size_t r = 1;
    for (size_t i = 0; i < n; i++)
        if (!size_mul(r, v[i], &r)) return false;
    *out = r;
    return true;
}

size_t size_align(size_t v, size_t align) {
    CHECK(v <= SIZE_MAX - align);
    return (v + align - 1) & ~(align - 1);
}

size_t size_gcd(size_t a, size_t b) {
    while (b) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// ---- arenas --------------------------------------------------------------------------
#define ARENA_ALIGN ((size_t)64)
#ifndef ARENA_FIRST // both small: every value can be the one that there is no memory for
#define ARENA_FIRST ((size_t)4 << 10)
#define ARENA_BLOCK ((size_t)256 << 10) // most, but for larger values
#endif

struct block {
    struct block *next;
    size_t used, size; // of the bytes behind the (aligned) header
};

struct deferred {
    struct deferred *next;
    void (*fn)(void *);
    void *arg;
};

struct arena {
    const struct memory *from;
    struct block *blocks;
    struct deferred *deferred;
    size_t grown; // of the next block
};

struct arena *arena_new(void) {
    struct arena *a = mem_zalloc(1, sizeof(struct arena));
    if (a) a->from = scope_memory();
    return a;
}

struct arena *arena_must(void) {
    struct arena *a = arena_new();
    if (!a) scope_no_memory();
    return a;
}

void arena_free(struct arena *a) {
    if (!a) return;
    for (struct deferred *d = a->deferred; d; d = d->next) d->fn(d->arg);
    for (struct block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        mem_free(b);
    }
    mem_free(a);
}

void arena_drop(void *a) {
    arena_free(a);
}

static char *block_data(struct block *b) {
    return (char *)b + size_align(sizeof *b, ARENA_ALIGN);
}

// Blocks grow, so that what needs little takes little.
static struct block *block_add(struct arena *a, size_t bytes) {
    size_t head = size_align(sizeof(struct block), ARENA_ALIGN), total;
    bool large = bytes > ARENA_BLOCK - head;
    if (!large) a->grown = size_min(size_max(a->grown * 2, ARENA_FIRST), ARENA_BLOCK);
    size_t size = large ? bytes : size_max(bytes, a->grown - head);
    if (!size_add(size, head, &total)) scope_no_memory();
    struct block *b = mem_aligned_from(a->from, total);
    if (!b) scope_no_memory();
    b->used = 0;
    b->size = size;
    // A block made for one large value goes behind the one still being filled.
    if (a->blocks && large) {
        b->next = a->blocks->next;
        a->blocks->next = b;
    } else {
        b->next = a->blocks;
        a->blocks = b;
    }
    return b;
}

static void *take(struct arena *a, size_t bytes) {
    if (bytes > SIZE_MAX / 2) scope_no_memory();
    // Small values need no cache line of their own.
    size_t align = bytes >= ARENA_ALIGN ? ARENA_ALIGN : 16;
    struct block *b = a->blocks;
    size_t at = b ? size_align(b->used, align) : 0;
    if (!b || at > b->size || b->size - at < bytes) {
        b = block_add(a, bytes);
        at = 0;
    }
    b->used = at + bytes;
    return block_data(b) + at;
}

void *arena_raw(struct arena *a, size_t n, size_t size) {
    size_t bytes;
    if (!size_mul(n, size, &bytes)) scope_no_memory();
    return take(a, bytes);
}

void *arena_alloc(struct arena *a, size_t n, size_t size) {
    void *p = arena_raw(a, n, size);
    return n ? memset(p, 0, n * size) : p;
}

void arena_defer(struct arena *a, void (*fn)(void *), void *arg) {
    struct deferred *d = NEW(a, struct deferred);
    *d = (struct deferred){a->deferred, fn, arg};
    a->deferred = d;
}

void *arena_dup(struct arena *a, const void *src, size_t n, size_t size) {
    void *p = arena_raw(a, n, size);
    if (n) memcpy(p, src, n * size);
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n) {
    char *p = arena_raw(a, n + 1, 1);
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

char *arena_strdup(struct arena *a, const char *s) {
    return arena_strndup(a, s, strlen(s));
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    CHECK(n >= 0);
    char *p = arena_alloc(a, (size_t)n + 1, 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *p = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

void *vec_grow(struct arena *a, const void *old, size_t n, size_t *cap, size_t size) {
    size_t grown = *cap ? *cap * 2 : 8;
    char *p = arena_alloc(a, grown, size);
    if (n) memcpy(p, old, n * size);
    *cap = grown;
    return p;
}

// ---- text ----------------------------------------------------------------------------
void text_add_n(struct text *t, const char *s, size_t n) {
    if (t->cap - t->n <= n) {
        size_t cap = size_max(t->cap * 2, t->n + n + 64);
        char *p = arena_alloc(t->arena, cap, 1);
        if (t->n) memcpy(p, t->at, t->n);
        t->at = p;
        t->cap = cap;
    }
    if (n) memcpy(t->at + t->n, s, n);
    t->n += n;
    t->at[t->n] = 0;
}

size_t text_lines(const char *s) {
    size_t n = *s != 0;
    for (; *s; s++) n += *s == '\n';
    return n;
}

void text_add(struct text *t, const char *fmt, ...) {
    char small[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    CHECK(n >= 0);
    if ((size_t)n < sizeof small) {
        text_add_n(t, small, (size_t)n);
    } else {
        char *p = arena_vprintf(t->arena, fmt, again);
        text_add_n(t, p, (size_t)n);
    }
    va_end(again);
    va_end(ap);
}

// ---- near misses ---------------------------------------------------------------------
#define NEAR_MAX 48 // longer names are not compared

static char small_letter(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_letter(char a, char b) {
    return small_letter(a) == small_letter(b);
}

static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb) {
    size_t row[NEAR_MAX + 1], before[NEAR_MAX + 1], two[NEAR_MAX + 1];
    for (size_t j = 0; j <= nb; j++) before[j] = two[j] = j;
    for (size_t i = 1; i <= na; i++) {
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t change = before[j - 1] + !same_letter(a[i - 1], b[j - 1]);
            row[j] = size_min(change, size_min(before[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
                same_letter(a[i - 2], b[j - 1]))
                row[j] = size_min(row[j], two[j - 2] + 1); // swapped letters
        }
        memcpy(two, before, sizeof two);
        memcpy(before, row, sizeof row);
    }
    return before[nb];
}

const char *near_miss(const char *name, const char *(*get)(const void *, size_t),
                      const void *ctx) {
    const char *best = NULL, *s;
    size_t n = strlen(name), least = n < 4 ? 2 : n / 3 + 1; // below this is near
    if (n < 2 || n > NEAR_MAX) return NULL; // to one letter any other is near
    for (size_t i = 0; (s = get(ctx, i)); i++) {
        size_t m = strlen(s);
        if (m > NEAR_MAX || m >= n + least || n >= m + least) continue;
        size_t d = edit_distance(name, n, s, m);
        if (d < least) {
            least = d;
            best = s;
        }
    }
    return best;
}

// ---- digests -------------------------------------------------------------------------
struct digest digest_of(const void *data, size_t n) {
    XXH128_hash_t h = XXH3_128bits(data, n);
    return (struct digest){h.low64, h.high64};
}

struct digest digest_join(struct digest a, struct digest b) {
    struct digest both[2] = {a, b};
    return digest_of(both, sizeof both);
}

void digest_hex(struct digest d, char out[DIGEST_HEX]) {
    snprintf(out, DIGEST_HEX, "%016llx%016llx", (unsigned long long)d.hi,
             (unsigned long long)d.lo);
}

// ---- time ----------------------------------------------------------------------------
static double seconds_of(clockid_t clock) {
    struct timespec t = {0};
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double clock_seconds(void) {
    return seconds_of(CLOCK_MONOTONIC);
}

double clock_thread_seconds(void) {
    return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

// ---- numbers -------------------------------------------------------------------------
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median_of(double *v, size_t n) {
    CHECK(n > 0);
    qsort(v, n, sizeof *v, by_value);
    return (v[(n - 1) / 2] + v[n / 2]) / 2;
}

// ---- files ---------------------------------------------------------------------------
void cleanup_fd(void *fd) {
    int *at = fd;
    if (*at >= 0) close(*at);
    *at = -1;
}

void cleanup_dir(void *dir) {
    DIR **at = dir;
    if (*at) closedir(*at);
    *at = NULL;
}

const char *path_in(struct arena *a, const char *folder, const char *path) {
    return *path == '/' || !folder ? path : arena_printf(a, "%s/%s", folder, path);
}

char *path_beside(struct arena *a, const char *from, const char *path) {
    const char *slash = strrchr(from, '/');
    if (path[0] == '/' || !slash) return arena_strdup(a, path);
    return arena_printf(a, "%.*s/%s", (int)(slash - from), from, path);
}

static int read_whole(int fd, char *data, size_t size, size_t *n) {
    for (*n = 0; *n < size;) {
        ssize_t k = read(fd, data + *n, size - *n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return errno;
        if (k == 0) break;
        *n += (size_t)k;
    }
    return 0;
}

char *file_read(struct arena *a, const char *path, size_t max, size_t *n) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return NULL;
    struct cleanup open_file;
    struct stat st;
    char *data = NULL;
    int err = 0;
    cleanup_push(&open_file, cleanup_fd, &fd);
    if (fstat(fd, &st) != 0) err = errno;
    else if (S_ISDIR(st.st_mode)) err = EISDIR;
    else if (!S_ISREG(st.st_mode)) err = EINVAL;
    else if (st.st_size < 0 || (uintmax_t)st.st_size > max) err = EFBIG;
    else {
        data = arena_raw(a, (size_t)st.st_size + 1, 1);
        err = read_whole(fd, data, (size_t)st.st_size, n);
        data[*n] = 0;
    }
    cleanup_run(&open_file);
    errno = err;
    return err ? NULL : data;
}
