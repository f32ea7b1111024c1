// Ascending lists of rows of one rowset.
#ifndef DDG_LIST_H
#define DDG_LIST_H

#include "runtime/rowset.h"

struct list {
    uint32_t *at;
    size_t n;
    struct digest *keys; // parallel, or NULL
};

// All that return bool: false when out of memory; list_free is right all the same.
bool list_alloc(struct list *l, size_t n, bool keys); // room for n; there are none yet
void list_free(struct list *l);
// list_free by cleanup_run, or when what comes gives up.
void list_hold(struct cleanup *c, struct list *l);
// There is room. Rows of the list itself may be put back in order, to keep some of them.
static inline void list_put(struct list *l, uint32_t row, struct digest key) {
    l->keys[l->n] = key;
    l->at[l->n++] = row;
}
bool list_all(struct list *l, size_t rows);
// The rows of an ancestor that belong to rows of a rowset.
bool list_ancestors(const struct rowsets *r, uint32_t which, const struct list *rows,
                    uint32_t ancestor, struct list *out);

struct same { // a row and its key
    struct digest key;
    uint32_t row;
};
// Leaves the first row of each key in the list; all of them, sorted by key and row, go to
// *same, to be freed.
bool list_drop_copies(struct list *l, struct same **same);

#endif
