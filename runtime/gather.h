// What a training learns from: the images and labels of all rows of a set, as a stage
// computes them. Up to GATHER_MEMORY lies in the process's memory, more in a mapped file
// that has no name and goes with the process.
#ifndef DDG_GATHER_H
#define DDG_GATHER_H

#include "runtime/plan.h"

#define GATHER_MEMORY ((size_t)256 << 20)

struct gather {
    size_t rows, image_bytes, label_bytes; // of a row; label_bytes 0: there are none
    size_t mapped;                         // bytes of the file; 0: it is memory
    char *images, *labels;                 // rows one after another
};

// memory: how much of it to take at most, GATHER_MEMORY. False: said in d, about `at`.
bool gather_begin(struct gather *g, size_t memory, struct diags *d, struct span at);
void gather_end(void *gather); // for cleanup_push too
// Of one row; label may be NULL. From any thread.
void gather_put(const struct gather *g, size_t row, const char *image, const char *label);

#endif
