// Memory that is not an arena's, from the allocator of the scope in force (scope.h).
//
// Every block knows where it came from, so it can be freed in any scope and by any
// thread. Blocks are aligned to 16. NULL: no memory, or a size that is none; the caller
// says so. What libraries hand out (realpath, getline) is theirs, and goes back with
// free().
#ifndef DDG_MEM_H
#define DDG_MEM_H

#include <stdarg.h>
#include <stddef.h>

// As ddg_allocator in include/ddg.h: realloc in one function; n 0 frees. Called from
// several threads at once. It lives as long as the last block.
struct memory {
    void *(*resize)(void *ctx, void *p, size_t n);
    void *ctx;
};

void *mem_alloc(size_t n);               // 0 is a size as any other
void *mem_array(size_t n, size_t size);  // n elements
void *mem_zalloc(size_t n, size_t size); // zeroed
void *mem_aligned(size_t n);             // to 64; not for mem_resize
// From that memory (NULL: malloc's), whatever is in force; aligned to 64.
void *mem_aligned_from(const struct memory *from, size_t n);
// From where p came from; p NULL: as mem_alloc. NULL: p is still there.
void *mem_resize(void *p, size_t n);
void mem_free(void *p);
void mem_free_at(void *p); // *(void **)p, and NULL from then on; for cleanup_push

char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
