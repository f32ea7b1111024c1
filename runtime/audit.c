// See audit.h.
#include "runtime/audit.h"

#include <time.h>

// A different part of the store is looked at every time.
size_t audit_choose(double share, uint32_t *rows, struct digest *keys, size_t n) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct digest salt = digest_of(&now, sizeof now);
    size_t chosen = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t draw = digest_join(salt, keys[i]).lo >> 11; // 53 bits
        if ((double)draw >= share * 0x1p53) continue;
        rows[chosen] = rows[i];
        keys[chosen++] = keys[i];
    }
    return chosen;
}

static size_t row_bytes(const struct audit *a) {
    return a->rowsets->plan->columns[a->column].row_bytes;
}

static const char *now_of(const struct audit *a, size_t i) {
    return a->rowsets->columns[a->column].values + a->rows[i] * row_bytes(a);
}

bool audit_begin(struct audit *a, const struct rowsets *r, uint32_t column,
                 const uint32_t *rows, size_t n) {
    *a = (struct audit){.rowsets = r, .column = column, .rows = rows, .n = n};
    if (!(a->stored = mem_zalloc(n, row_bytes(a)))) return false;
    for (size_t i = 0; i < n; i++)
        memcpy(a->stored + i * row_bytes(a), now_of(a, i), row_bytes(a));
    return true;
}

static bool differs(const struct audit *a, size_t i, size_t count, struct diags *d) {
    const struct rowsets *r = a->rowsets;
    const struct plan_column *c = &r->plan->columns[a->column];
    char name[512];
    rowset_row_name(r, c->rowset, a->rows[i], name, sizeof name);
    diag_error(d, c->span,
               "audit: the store holds another `%s` of %s than is computed now, and so "
               "it is with %zu of %zu values looked at",
               c->name, name, count, a->n);
    return diag_help(d, "the store, this machine's memory or this build of ddg is not to "
                        "be trusted; `ddg store clear` starts over");
}

bool audit_compare(const struct audit *a, struct diags *d) {
    size_t bytes = row_bytes(a), first = 0, count = 0;
    for (size_t i = a->n; i-- > 0;)
        if (memcmp(a->stored + i * bytes, now_of(a, i), bytes) != 0) first = i, count++;
    return count == 0 || differs(a, first, count, d);
}

void audit_end(struct audit *a) {
    mem_free(a->stored);
}
