// See identity.h.
#include "runtime/identity.h"

#include "runtime/pool.h"

#include <stdatomic.h>

struct learning {
    struct rowsets *rowsets;
    uint32_t which;
    const uint32_t *rows; // of the reader's rowset
    size_t n;
    struct digest *stamps, *contents;
    bool *stamped, *found, *failed;
    atomic_bool no_memory;
};

static void stamp_rows(void *ctx, size_t first, size_t last) {
    const struct learning *l = ctx;
    const struct rowset *s = &l->rowsets->at[l->which];
    for (size_t i = first; i < last; i++)
        l->stamped[i] = reader_stamp(s->reader, reader_row(s, l->rows[i]), &l->stamps[i]);
}

static void read_rows(void *ctx, size_t first, size_t last) {
    struct learning *l = ctx;
    const struct rowset *s = &l->rowsets->at[l->which];
    struct decoder *d = decoder_new();
    char why[512];
    if (!d) l->no_memory = true;
    for (size_t i = first; i < last && !l->no_memory; i++) {
        if (l->found[i]) continue;
        l->failed[i] = !reader_load(s->reader, d, reader_row(s, l->rows[i]), NULL,
                                    &l->contents[i], why, sizeof why);
        if (l->failed[i] && decoder_no_memory(d)) l->no_memory = true;
    }
    decoder_free(d);
}

// Says why the first row that cannot be read cannot.
static bool say_failed(const struct learning *l, struct diags *d) {
    const struct rowset *s = &l->rowsets->at[l->which];
    struct span span = l->rowsets->plan->rowsets[l->which].span;
    char why[512] = "";
    size_t i = 0;
    if (atomic_load(&l->no_memory)) return diag_no_memory(d, span);
    while (i < l->n && !l->failed[i]) i++;
    if (i == l->n) return true;
    struct decoder *decoder = decoder_new();
    struct digest content;
    if (!decoder) return diag_no_memory(d, span);
    if (reader_load(s->reader, decoder, reader_row(s, l->rows[i]), NULL, &content, why,
                    sizeof why))
        snprintf(why, sizeof why, "a file could not be read, and now it can");
    decoder_free(decoder);
    return diag_error(d, span, "%s", why);
}

// What was read now, for the next run.
static void remember(const struct learning *l, struct store *store) {
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->found[i] || !l->stamped[i]) continue;
        l->stamps[n] = l->stamps[i];
        l->contents[n++] = l->contents[i];
    }
    if (n) store_contents_put(store, l->stamps, n, l->contents);
}

static void learn(struct learning *l, struct store *store, size_t threads) {
    struct rowset *s = &l->rowsets->at[l->which];
    if (store) {
        pool_for(threads, l->n, 256, stamp_rows, l);
        for (size_t i = 0, from = 0; i <= l->n; i++) { // runs of rows with a stamp
            if (i < l->n && l->stamped[i]) continue;
            store_contents_get(store, l->stamps + from, i - from, l->contents + from,
                               l->found + from);
            from = i + 1;
        }
    }
    pool_for(threads, l->n, 64, read_rows, l);
    for (size_t i = 0; i < l->n && !l->no_memory; i++) {
        s->keys[l->rows[i]] = reader_key(s->reader, l->contents[i]);
        s->known[l->rows[i]] = !l->failed[i];
    }
}

static bool learning_init(struct learning *l, size_t n) {
    l->stamps = mem_zalloc(n, sizeof *l->stamps);
    l->contents = mem_zalloc(n, sizeof *l->contents);
    l->stamped = mem_zalloc(n, sizeof *l->stamped);
    l->found = mem_zalloc(n, sizeof *l->found);
    l->failed = mem_zalloc(n, sizeof *l->failed);
    return l->stamps && l->contents && l->stamped && l->found && l->failed;
}

static void learning_free(struct learning *l) {
    mem_free(l->stamps);
    mem_free(l->contents);
    mem_free(l->stamped);
    mem_free(l->found);
    mem_free(l->failed);
}

bool identity_learn(struct rowsets *r, uint32_t reader, const uint32_t *rows, size_t n,
                    struct store *store, size_t threads, struct diags *d) {
    const struct rowset *s = &r->at[reader];
    uint32_t *unknown = mem_array(n, sizeof *unknown);
    struct learning l = {.rowsets = r, .which = reader, .rows = unknown};
    for (size_t i = 0; unknown && i < n; i++)
        if (!s->known[rows[i]]) unknown[l.n++] = rows[i];
    bool ok = unknown && (l.n == 0 || learning_init(&l, l.n));
    if (!ok) {
        diag_no_memory(d, NO_SPAN);
    } else if (l.n) {
        learn(&l, store, threads);
        ok = say_failed(&l, d);
        if (ok && store) remember(&l, store);
    }
    learning_free(&l);
    mem_free(unknown);
    return ok;
}

// ---- keys ----------------------------------------------------------------------------
#define OWN_CLASS UINT32_MAX

static struct digest one_key(const struct rowsets *r, const struct plan_key *k,
                             size_t row, uint32_t cls) {
    const struct plan *p = r->plan;
    size_t bytes;
    switch (k->kind) {
    case KEY_ROW: return rowset_key(r, k->rowset, row);
    case KEY_CLASS:
        if (cls == OWN_CLASS) cls = rowset_class(r, k->rowset, row);
        return (struct digest){cls, 0};
    case KEY_NTH: return (struct digest){row % p->rowsets[k->rowset].factor, 0};
    case KEY_COLUMN:
        bytes = p->columns[k->column].row_bytes;
        return digest_of(r->columns[k->column].values + row * bytes, bytes);
    }
    BUG("no such key");
}

static struct digest memo_key(const struct rowsets *r, const struct plan_memo *memo,
                              uint32_t rowset, size_t row, uint32_t cls) {
    struct digest joined = {0};
    for (size_t i = 0; i < memo->nkeys; i++) {
        const struct plan_key *k = &memo->keys[i];
        size_t mult = rowset_mult(r, rowset, k->rowset);
        for (size_t j = 0; j < mult; j++) {
            size_t at = rowset_ancestor(r, rowset, row * mult + j, k->rowset);
            joined = digest_join(joined, one_key(r, k, at, cls));
        }
    }
    return joined;
}

struct digest identity_memo_key(const struct rowsets *r, const struct plan_memo *memo,
                                uint32_t rowset, size_t row) {
    return memo_key(r, memo, rowset, row, OWN_CLASS);
}

struct digest identity_key_as(const struct rowsets *r, uint32_t column, size_t row,
                              uint32_t cls) {
    const struct plan_column *c = &r->plan->columns[column];
    return memo_key(r, c->memo, c->rowset, row, cls);
}

struct digest identity_key(const struct rowsets *r, uint32_t column, size_t row) {
    return identity_key_as(r, column, row, OWN_CLASS);
}
