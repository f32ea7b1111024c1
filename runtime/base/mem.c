// See mem.h. In front of a block, aligned to 16 itself, stands where it came from and how
// far the allocator's own pointer is.
#include "runtime/base/base.h"

#include <sys/mman.h>

struct header {
    const struct memory *from; // NULL: malloc's
    size_t shift;              // from the allocator's pointer to the block
};

#define HEAD  ((size_t)16)
#define ALIGN ((size_t)64)
#define PAGE  ((size_t)4096)
#define LARGE ((size_t)4 << 20)
_Static_assert(sizeof(struct header) <= HEAD, "a block's header fits before it");

static void *resize(const struct memory *m, void *p, size_t n) {
    if (m) return m->resize(m->ctx, p, n);
    if (n) return realloc(p, n);
    free(p);
    return NULL;
}

static struct header *header_of(void *p) {
    return (struct header *)(void *)((char *)p - HEAD);
}

static void *mark(const struct memory *from, char *base, size_t shift) {
    if (!base) return NULL;
    *header_of(base + shift) = (struct header){from, shift};
    return base + shift;
}

void *mem_alloc(size_t n) {
    const struct memory *from = scope_memory();
    size_t bytes;
    return size_add(n, HEAD, &bytes) ? mark(from, resize(from, NULL, bytes), HEAD) : NULL;
}

void *mem_array(size_t n, size_t size) {
    size_t bytes;
    return size_mul(n, size, &bytes) ? mem_alloc(bytes) : NULL;
}

// malloc's pages come zeroed, and untouched ones cost nothing.
void *mem_zalloc(size_t n, size_t size) {
    const struct memory *from = scope_memory();
    size_t bytes, total;
    if (!size_mul(n, size, &bytes) || !size_add(bytes, HEAD, &total)) return NULL;
    if (!from) return mark(NULL, calloc(1, total), HEAD);
    void *p = mem_alloc(bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

// Networks' weights fill whole blocks at once: one fault for each 4 KiB of them takes
// longer than what is done with them. Where there are no large pages nothing changes.
static void want_large_pages(char *p, size_t n) {
    size_t skip = -(uintptr_t)p % PAGE;
    if (n >= LARGE) madvise(p + skip, n - skip, MADV_HUGEPAGE);
}

void *mem_aligned_from(const struct memory *from, size_t n) {
    size_t bytes;
    if (!size_add(n, HEAD + ALIGN, &bytes)) return NULL;
    char *base = resize(from, NULL, bytes);
    if (!base) return NULL;
    if (!from) want_large_pages(base, bytes);
    size_t past = (uintptr_t)(base + HEAD) % ALIGN;
    return mark(from, base, HEAD + (past ? ALIGN - past : 0));
}

void *mem_aligned(size_t n) {
    return mem_aligned_from(scope_memory(), n);
}

void *mem_resize(void *p, size_t n) {
    size_t bytes;
    if (!p) return mem_alloc(n);
    if (!size_add(n, HEAD, &bytes)) return NULL;
    struct header *h = header_of(p);
    CHECK(h->shift == HEAD);
    const struct memory *from = h->from;
    return mark(from, resize(from, h, bytes), HEAD);
}

void mem_free(void *p) {
    if (!p) return;
    const struct header h = *header_of(p);
    resize(h.from, (char *)p - h.shift, 0);
}

void mem_free_at(void *p) {
    void *block; // whatever type of pointer lies there
    memcpy(&block, p, sizeof block);
    mem_free(block);
    memset(p, 0, sizeof block);
}

// ---- text ----------------------------------------------------------------------------
char *mem_strndup(const char *s, size_t n) {
    size_t bytes;
    char *p = size_add(n, 1, &bytes) ? mem_alloc(bytes) : NULL;
    if (!p) return NULL;
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

char *mem_strdup(const char *s) {
    return mem_strndup(s, strlen(s));
}

char *mem_printf(const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    CHECK(n >= 0);
    char *p = mem_alloc((size_t)n + 1);
    if (p) vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p;
}
