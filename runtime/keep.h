// What a run's saves hold, kept in memory: for programs that call ddg and read arrays.
//
// It owns all that it says, so it may outlive the plan and the run. Rows arrive in order,
// as they do in files (save.h), and are the same numbers.
#ifndef DDG_KEEP_H
#define DDG_KEEP_H

#include "runtime/plan.h"

#define KEEP_MAX_RANK 7 // the rows, and what plan_save.dim holds

struct keep_save {
    const char *to; // where it is, or would have been, written
    bool images;
    size_t rows;
    size_t rank, dim[KEEP_MAX_RANK]; // of values, or of pixels; dim[0] are the rows
    size_t labels;                   // K; 0: none
    size_t nclasses;                 // of images
    const char *const *class_names;
    // NULL: the save has none, or arrays are not kept.
    uint8_t *pixels;  // [rows, 3, h, w]
    float *soft;      // [rows, K]
    int32_t *classes; // [rows]
    float *values;    // [rows, ...]
};

struct keep {
    struct arena *arena; // for words
    bool arrays;         // else only the words
    size_t n;
    struct keep_save *at; // by plan save
};

// A save's name and classes; before its rows are known.
void keep_describe(struct keep *k, size_t which, const struct plan_save *p,
                   const char *const *class_names, size_t nclasses);
// Memory for its rows. False: there is not enough, said in d.
bool keep_begin(struct keep *k, size_t which, const struct plan_save *p, size_t rows,
                struct diags *d);
void keep_image(struct keep *k, size_t which, size_t row, uint32_t cls,
                const uint8_t *pixels, const float *soft);
void keep_values(struct keep *k, size_t which, size_t row, const char *values,
                 size_t bytes);
void keep_free(struct keep *k); // the arrays; the arena is the caller's

#endif
