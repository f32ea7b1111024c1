// Rowsets at run time: how many rows, which class, which rows of the parent.
#ifndef DDG_ROWSET_H
#define DDG_ROWSET_H

#include "runtime/plan.h"
#include "runtime/reader.h"

struct rowset {
    bool made;
    size_t rows;
    size_t expected; // rows, before it is made
    struct reader *reader;
    // READER: the rows' identities, and which are known (identity.h).
    struct digest *keys;
    bool *known;
    // SELECT: the parent's row of each row; GROUP: factor of them a row; READER that left
    // rows out: the reader's row of each. NULL: the same number.
    uint32_t *pick;
};

// The reader's own number of a row of its rowset.
static inline size_t reader_row(const struct rowset *s, size_t row) {
    return s->pick ? s->pick[row] : row;
}

struct rowsets {
    struct arena *arena;
    const struct plan *plan;
    struct rowset *at;   // by plan rowset
    struct kept_column { // by plan column
        char *values;    // NULL: its rowset is not made yet
        uint8_t *have;   // which rows' values are there (0: not)
    } * columns;
    VEC(const char *) skipped; // files left out, with the reason
};

void rowsets_init(struct rowsets *r, struct arena *arena, const struct plan *plan);
void rowsets_close(struct rowsets *r);
// rowsets_close by cleanup_run, or when what comes gives up.
void rowsets_hold(struct cleanup *c, struct rowsets *r);

// Opens the readers, finds what they cannot decode where it is to be left out, and says
// where there cannot be rows enough.
// store may be NULL.
bool rowsets_open(struct rowsets *r, struct store *store, size_t threads,
                  struct diags *d);
// Makes a rowset whose parent is made, the column it is chosen by filled, and memory for
// what is kept of it.
bool rowset_make(struct rowsets *r, uint32_t which, struct diags *d);
// How many rows it will have when it is made.
size_t rowset_count(const struct rowsets *r, uint32_t which);

uint32_t rowset_root(const struct rowsets *r, uint32_t which); // its reader
// How many rows of an ancestor belong to one row.
size_t rowset_mult(const struct rowsets *r, uint32_t which, uint32_t ancestor);
// The ancestor's row of flat position q: row q / m of `which`, its (q % m)-th of m.
size_t rowset_ancestor(const struct rowsets *r, uint32_t which, size_t q,
                       uint32_t ancestor);
// The name of the image, or the first of those, that a row was made of.
void rowset_row_name(const struct rowsets *r, uint32_t which, size_t row, char *out,
                     size_t n);
uint32_t rowset_class(const struct rowsets *r, uint32_t which, size_t row);

// The row's identity; those of the rows it was read from must be known.
struct digest rowset_key(const struct rowsets *r, uint32_t which, size_t row);

#endif
