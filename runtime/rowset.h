// Rowsets at run time: how many rows, which class, which rows of the parent.
#ifndef DDG_ROWSET_H
#define DDG_ROWSET_H

#include "runtime/plan.h"
#include "runtime/reader.h"

struct rowset {
    bool made;
    size_t rows;
    struct reader *reader;
    // SELECT: the parent's row of each row; GROUP: factor of them a row; READER that left
    // rows out: the reader's row of each. NULL: the same number.
    uint32_t *pick;
};

struct rowsets {
    struct arena *arena;
    const struct plan *plan;
    struct rowset *at;         // by plan rowset
    char **columns;            // kept values, by plan column
    VEC(const char *) skipped; // files left out, with the reason
};

void rowsets_init(struct rowsets *r, struct arena *arena, const struct plan *plan);
void rowsets_close(struct rowsets *r);

// Opens the readers, finds what they cannot decode where it is to be left out, and says
// where there cannot be rows enough.
bool rowsets_open(struct rowsets *r, size_t threads, struct diags *d);
// Makes a rowset (and its parents); the columns it is chosen by must be filled.
bool rowset_make(struct rowsets *r, uint32_t which, struct diags *d);
// Memory for the columns kept of a rowset.
bool columns_make(struct rowsets *r, uint32_t which, struct diags *d);

uint32_t rowset_root(const struct rowsets *r, uint32_t which); // its reader
// How many rows of an ancestor belong to one row.
size_t rowset_mult(const struct rowsets *r, uint32_t which, uint32_t ancestor);
// The ancestor's row of flat position q: row q / m of `which`, its (q % m)-th of m.
size_t rowset_ancestor(const struct rowsets *r, uint32_t which, size_t q,
                       uint32_t ancestor);
uint32_t rowset_class(const struct rowsets *r, uint32_t which, size_t row);

// The row's identity. root_key gives that of a reader's row.
typedef bool (*root_key)(void *ctx, uint32_t rowset, size_t row, struct digest *key);
bool rowset_key(const struct rowsets *r, uint32_t which, size_t row, root_key root,
                void *ctx, struct digest *key);

#endif
