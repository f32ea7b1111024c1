// The reader of the store's records on bytes that libFuzzer makes up: no crash, no read
// behind the end, no more memory than a small multiple of the bytes, and what is accepted
// comes back the same when it is written again.
//
//     fuzz_record -max_len=4096 -malloc_limit_mb=64 CORPUS
//
// The format asks for twelve keys, which changed bytes alone would never spell: a quarter
// of the inputs are a right record, with a few bytes of it changed.
#include "runtime/store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed);

// ---- running -------------------------------------------------------------------------
static bool same_text(const char *a, const char *b) {
    return !a == !b && (!a || strcmp(a, b) == 0);
}

static void check_same(const struct store_record *a, const struct store_record *b) {
    CHECK(digest_eq(a->key, b->key));
    CHECK(same_text(a->op, b->op) && same_text(a->name, b->name));
    CHECK(same_text(a->elem, b->elem));
    CHECK(a->rank == b->rank && memcmp(a->dim, b->dim, sizeof a->dim) == 0);
    CHECK(a->nfields == b->nfields);
    for (size_t i = 0; i < a->nfields; i++)
        CHECK(same_text(a->fields[i].label, b->fields[i].label));
    CHECK(memcmp(&a->flops, &b->flops, sizeof a->flops) == 0);
    CHECK(memcmp(&a->seconds, &b->seconds, sizeof a->seconds) == 0);
    CHECK(a->rows == b->rows && a->bytes == b->bytes && a->computed == b->computed);
    CHECK(a->created == b->created);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct arena *a = arena_new();
    struct store_record r, again;
    const char *why = NULL;
    // The fuzzer's own buffer ends where the bytes do, so a read behind it is seen.
    bool ok = record_decode((const char *)data, n, a, &r, &why);
    CHECK(ok == !why);
    if (ok) {
        char *text;
        size_t size;
        record_encode(&r, a, &text, &size);
        CHECK(record_decode(text, size, a, &again, &why));
        check_same(&r, &again);
    }
    arena_free(a);
    return 0;
}

// ---- changing records ----------------------------------------------------------------
static size_t roll(uint64_t *state, size_t n) { // splitmix64
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return n ? (size_t)((z ^ z >> 31) % n) : 0;
}

static const char *word(struct arena *a, uint64_t *state) {
    static const size_t LENGTHS[] = {0, 1, 31, 32, 255, 256, 700};
    size_t n = LENGTHS[roll(state, COUNT(LENGTHS))];
    char *s = arena_alloc(a, n + 1, 1);
    for (size_t i = 0; i < n; i++) s[i] = (char)(1 + roll(state, 255));
    return s;
}

static struct store_record make(struct arena *a, uint64_t *state) {
    struct store_record r = {.op = word(a, state), .name = word(a, state)};
    r.elem = word(a, state);
    r.nfields = roll(state, 4);
    struct store_field *fields = NEW_N(a, struct store_field, r.nfields);
    for (size_t i = 0; i < r.nfields; i++) {
        const char *label = roll(state, 2) ? word(a, state) : NULL;
        fields[i] = (struct store_field){word(a, state), word(a, state), label};
    }
    r.fields = fields;
    r.rank = roll(state, COUNT(r.dim) + 1);
    for (size_t i = 0; i < r.rank; i++) r.dim[i] = roll(state, 300);
    r.rows = (uint64_t)roll(state, 0x10000) << roll(state, 48);
    r.seconds = (double)roll(state, 1000) / 7;
    r.created = (int64_t)roll(state, 100000);
    return r;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed) {
    uint64_t state = seed;
    if (n && roll(&state, 4)) return LLVMFuzzerMutate(data, n, max);
    struct arena *a = arena_new();
    struct store_record r = make(a, &state);
    char *text;
    size_t size;
    record_encode(&r, a, &text, &size);
    if (size <= max) memcpy(data, text, n = size);
    arena_free(a);
    for (size_t i = roll(&state, 4); i > 0 && n; i--)
        data[roll(&state, n)] = (uint8_t)roll(&state, 256);
    return n;
}
