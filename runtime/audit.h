// Audits: stored values computed again and compared, bit by bit.
#ifndef DDG_AUDIT_H
#define DDG_AUDIT_H

#include "runtime/rowset.h"

// Keeps this share of the rows at the front of the lists, another choice in every run.
// Returns how many.
size_t audit_choose(double share, uint32_t *rows, struct digest *keys, size_t n);

struct audit { // the stored values, while they are computed again into the column
    const struct rowsets *rowsets;
    uint32_t column;
    const uint32_t *rows;
    size_t n;
    char *stored;
};

bool audit_begin(struct audit *a, const struct rowsets *r, uint32_t column,
                 const uint32_t *rows, size_t n); // false: out of memory
// False, with the first row that differs said in d.
bool audit_compare(const struct audit *a, struct diags *d);
void audit_end(struct audit *a);

#endif
