// See overlap.h.
#include "runtime/overlap.h"

#include <string.h>

// The next part of a path that means something; empty at the end.
static const char *path_part(const char **path, size_t *n) {
    const char *p = *path;
    while (*p == '/' || (*p == '.' && (p[1] == '/' || p[1] == 0))) p++;
    *n = strcspn(p, "/");
    *path = p + *n;
    return p;
}

enum overlap path_overlap(const char *a, const char *b) {
    if ((*a == '/') != (*b == '/')) return OVERLAP_NONE;
    for (;;) {
        size_t na, nb;
        const char *pa = path_part(&a, &na), *pb = path_part(&b, &nb);
        if (na == 0 || nb == 0)
            return na == nb ? OVERLAP_SAME : na ? OVERLAP_INSIDE : OVERLAP_AROUND;
        if (na != nb || memcmp(pa, pb, na) != 0) return OVERLAP_NONE;
    }
}
