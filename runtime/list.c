// See list.h.
#include "runtime/list.h"

bool list_alloc(struct list *l, size_t n, bool keys) {
    *l = (struct list){.at = mem_array(n, sizeof *l->at)};
    if (keys) l->keys = mem_array(n, sizeof *l->keys);
    return l->at && (l->keys || !keys);
}

void list_free(struct list *l) {
    mem_free(l->at);
    mem_free(l->keys);
}

static void drop(void *list) {
    list_free(list);
}

void list_hold(struct cleanup *c, struct list *l) {
    cleanup_push(c, drop, l);
}

bool list_all(struct list *l, size_t rows) {
    if (!list_alloc(l, rows, false)) return false;
    for (size_t i = 0; i < rows; i++) l->at[l->n++] = (uint32_t)i;
    return true;
}

// The rows of an ancestor that belong to rows of a rowset.
bool list_ancestors(const struct rowsets *r, uint32_t which, const struct list *rows,
                    uint32_t ancestor, struct list *out) {
    size_t mult = rowset_mult(r, which, ancestor), all = r->at[ancestor].rows, n = 0;
    bool *wanted = mem_zalloc(all + 1, 1);
    if (wanted)
        for (size_t i = 0; i < rows->n * mult; i++) {
            size_t q = rows->at[i / mult] * mult + i % mult;
            bool *w = &wanted[rowset_ancestor(r, which, q, ancestor)];
            n += !*w;
            *w = true;
        }
    bool ok = list_alloc(out, n, false) && wanted;
    for (size_t i = 0; ok && i < all; i++)
        if (wanted[i]) out->at[out->n++] = (uint32_t)i;
    mem_free(wanted);
    return ok;
}

// ---- rows of one key -----------------------------------------------------------------
static int by_key(const void *a, const void *b) {
    const struct same *x = a, *y = b;
    if (x->key.hi != y->key.hi) return x->key.hi < y->key.hi ? -1 : 1;
    if (x->key.lo != y->key.lo) return x->key.lo < y->key.lo ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static int by_row(const void *a, const void *b) {
    const struct same *x = a, *y = b;
    return x->row < y->row ? -1 : x->row > y->row;
}

bool list_drop_copies(struct list *rows, struct same **same) {
    size_t n = rows->n, kept = 0;
    struct same *s = *same = mem_array(n, sizeof *s), *first;
    if (!s || !(first = mem_array(n, sizeof *first))) return false;
    for (size_t i = 0; i < n; i++) s[i] = (struct same){rows->keys[i], rows->at[i]};
    qsort(s, n, sizeof *s, by_key);
    for (size_t i = 0; i < n; i++)
        if (!i || !digest_eq(s[i].key, s[i - 1].key)) first[kept++] = s[i];
    qsort(first, kept, sizeof *first, by_row);
    for (size_t i = 0; i < kept; i++) {
        rows->at[i] = first[i].row;
        rows->keys[i] = first[i].key;
    }
    rows->n = kept;
    mem_free(first);
    return true;
}
