// A code image mapped to run, at any distance from where another copy of it lies.
#ifndef CODE_MAP_H
#define CODE_MAP_H

#include "codegen/codegen.h"

#include <sys/mman.h>

struct code_map {
    char *at; // page aligned
    size_t bytes;
};

static inline struct code_map code_map(const struct codegen_image *im) {
    struct code_map m = {.bytes = size_align(im->n + 1, 4096)};
    m.at =
        mmap(NULL, m.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m.at != MAP_FAILED);
    memcpy(m.at, im->bytes, im->n);
    CHECK(mprotect(m.at, m.bytes, PROT_READ | PROT_EXEC) == 0);
    return m;
}

static inline void code_unmap(struct code_map *m) {
    if (m->at) CHECK(munmap(m->at, m->bytes) == 0);
    *m = (struct code_map){0};
}

// What a call of the kernel at `entry` jumps to.
static inline kernel_fn code_at(const struct code_map *m, size_t entry) {
    return (kernel_fn)(uintptr_t)(m->at + entry);
}

static inline size_t code_entry(const struct codegen_image *im, const char *symbol) {
    for (size_t i = 0; i < im->nkernels; i++)
        if (strcmp(im->kernels[i].symbol, symbol) == 0) return im->kernels[i].entry;
    BUG("no kernel `%s`", symbol);
}

static inline kernel_fn code_of(const struct code_map *m, const struct codegen_image *im,
                                const char *symbol) {
    return code_at(m, code_entry(im, symbol));
}

#endif
