// See probe.h. What is remembered of a file is its stamp joined with the size asked for;
// the content in its place is the verdict. Only that all went well is remembered: what
// went wrong may have done so for want of memory.
#include "runtime/probe.h"

#include "runtime/pool.h"

#include <stdatomic.h>

#define SCHEME 0x70726f6265000002 // of this use of stamps: "probe", 2

static const struct digest fine = {1, 0}, broken = {2, 0};

struct probe {
    const struct reader *reader;
    size_t size;
    struct digest *stamps, *verdicts;
    bool *stamped, *found;
    atomic_bool out_of_memory;
};

static void stamp_rows(void *ctx, size_t first, size_t last) {
    const struct probe *p = ctx;
    for (size_t i = first; i < last; i++) {
        p->stamped[i] = reader_stamp(p->reader, i, &p->stamps[i]);
        p->stamps[i] = digest_join(p->stamps[i], (struct digest){p->size, SCHEME});
    }
}

static void decode_rows(void *ctx, size_t first, size_t last) {
    struct probe *p = ctx;
    struct decoder *d = decoder_new();
    uint8_t *pixels = mem_alloc(3 * p->size * p->size);
    char why[256];
    if (!d || !pixels) p->out_of_memory = true;
    for (size_t i = first; i < last && !p->out_of_memory; i++) {
        if (p->found[i]) continue;
        bool loaded = reader_load(p->reader, d, i, pixels, NULL, why, sizeof why);
        p->verdicts[i] = loaded ? fine : broken;
        if (!loaded && decoder_no_memory(d)) p->out_of_memory = true;
    }
    decoder_free(d);
    mem_free(pixels);
}

static void recall(struct probe *p, size_t rows, struct store *store, size_t threads) {
    pool_for(threads, rows, 256, stamp_rows, p);
    store_contents_get(store, p->stamps, rows, p->verdicts, p->found);
    for (size_t i = 0; i < rows; i++) p->found[i] &= p->stamped[i];
}

static void remember(struct probe *p, size_t rows, struct store *store) {
    size_t n = 0;
    for (size_t i = 0; i < rows; i++) {
        if (p->found[i] || !p->stamped[i] || !digest_eq(p->verdicts[i], fine)) continue;
        p->stamps[n] = p->stamps[i];
        p->verdicts[n++] = p->verdicts[i];
    }
    if (n) store_contents_put(store, p->stamps, n, p->verdicts);
}

bool probe_rows(const struct reader *r, size_t size, struct store *store, size_t threads,
                bool *bad) {
    size_t rows = reader_rows(r);
    struct probe p = {.reader = r, .size = size};
    p.stamps = mem_zalloc(rows + 1, sizeof *p.stamps);
    p.verdicts = mem_zalloc(rows + 1, sizeof *p.verdicts);
    p.stamped = mem_zalloc(rows + 1, sizeof *p.stamped);
    p.found = mem_zalloc(rows + 1, sizeof *p.found);
    bool ok = p.stamps && p.verdicts && p.stamped && p.found;
    if (ok) {
        if (store) recall(&p, rows, store, threads);
        pool_for(threads, rows, 16, decode_rows, &p);
        ok = !atomic_load(&p.out_of_memory);
        for (size_t i = 0; i < rows; i++) bad[i] = digest_eq(p.verdicts[i], broken);
        if (ok && store) remember(&p, rows, store);
    }
    mem_free(p.stamps);
    mem_free(p.verdicts);
    mem_free(p.stamped);
    mem_free(p.found);
    return ok;
}

bool probe_why(const struct reader *r, size_t size, size_t row, char *why, size_t why_n) {
    struct decoder *d = decoder_new();
    uint8_t *pixels = mem_alloc(3 * size * size);
    bool ok = d && pixels;
    *why = 0;
    if (ok && reader_load(r, d, row, pixels, NULL, why, why_n)) *why = 0;
    ok = ok && !decoder_no_memory(d);
    decoder_free(d);
    mem_free(pixels);
    return ok;
}
