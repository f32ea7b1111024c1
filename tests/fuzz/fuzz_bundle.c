// The reader of compiled programs on bytes that libFuzzer makes up: no crash, no read of
// what is not there, and a plan that is accepted can be written again, set, and run.
//
//     fuzz_bundle -max_len=8192 -malloc_limit_mb=512 CORPUS
//
// An input that begins as a bundle's msgpack does is read as such, with some bytes before
// it for code and constants; any other is a whole file. Three in four are made from the
// program of bundle_rig.h by changing elements in place, so that they stay msgpack; a
// file's checksum is made right, so that the fuzzer gets past it.
//
// Plans are run, one of many, with kernels that do nothing, over four images.
#include "tests/unit/bundle_rig.h"

#include "runtime/base/unpack.h"
#include "runtime/bundle/footer.h"
#include "runtime/bundle/pack.h"
#include "runtime/bundle/read.h"
#include "runtime/image.h"
#include "runtime/keep.h"
#include "runtime/run.h"
#include "runtime/survey.h"

#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed);

#define FIRST_BYTE 0x83 // of the msgpack: a map of three
#define BEFORE     (8 * BUNDLE_PAGE)
#define IMAGES     "/tmp/ddg-fuzz-bundle"
#define RUN_MOST   ((size_t)1 << 20) // bytes that a run may take
// What takes longer is done with one accepted input of so many.
#define WRITE_EVERY 4
#define SET_EVERY   16
#define RUN_EVERY   32

static size_t roll(uint64_t *state, size_t n) { // splitmix64
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return n ? (size_t)((z ^ z >> 31) % n) : 0;
}

// ---- writing again -------------------------------------------------------------------
// What was read says the same as what is written of it, read and written once more.
static void check_again(struct arena *a, const struct bundle *b) {
    static const char nothing[64 * BUNDLE_PAGE];
    struct packed first, second;
    struct bundle again = {0};
    bundle_pack(b, a, &first);
    size_t before = first.consts_at + first.consts_bytes;
    if (before > sizeof nothing) return;
    char *base = arena_dup(a, nothing, before, 1);
    for (size_t i = 0; i < first.consts.n; i++)
        memcpy(base + first.consts.at[i].at, first.consts.at[i].data,
               first.consts.at[i].bytes);
    struct bundle_view view = {base, before, first.message.at, first.message.n};
    const char *why = bundle_unpack(a, &view, &again);
    if (why) BUG("written, but not read: %s", why);
    bundle_pack(&again, a, &second);
    CHECK(first.message.n == second.message.n);
    CHECK(!memcmp(first.message.at, second.message.at, first.message.n));
}

// ---- setting -------------------------------------------------------------------------
static void set_params(struct arena *a, struct plan *p) {
    static const char *const values[] = {"1", "2.5", "-7", "[3, 4]", "true", "x/y"};
    plan_settle(a, p);
    for (size_t i = 0; i < p->params.n; i++)
        for (size_t k = 0; k <= COUNT(values); k++) {
            struct diags d;
            diags_init(&d, a);
            const char *now = value_literal(a, &p->params.at[i].at.value);
            struct setting s = {p->params.at[i].name, k ? values[k - 1] : now, "--"};
            CHECK(plan_set(a, p, &s, 1, &d) == (d.errors == 0));
        }
    const char *why = plan_check(a, p);
    if (why) BUG("not right any more once params are set: %s", why);
}

// ---- running -------------------------------------------------------------------------
static void no_kernel(char *const *buffers, size_t n) {
    (void)buffers;
    (void)n;
}

static bool small(const struct plan *p) {
    size_t bytes = 0;
    for (size_t i = 0; i < p->nrowsets; i++)
        bytes += (p->rowsets[i].kind == ROWSET_READER ? p->rowsets[i].size * 3 : 0) +
                 p->rowsets[i].factor * 512;
    for (size_t i = 0; i < p->nfuncs; i++) bytes += p->funcs[i].arena_bytes;
    for (size_t i = 0; i < p->ncolumns; i++) bytes += p->columns[i].row_bytes * 64;
    for (size_t i = 0; i < p->nstages && bytes < RUN_MOST; i++) {
        const struct plan_stage *s = &p->stages[i];
        for (size_t k = 0; k < s->nslots; k++) {
            size_t one;
            if (!size_mul(s->slots[k].row_bytes, s->slots[k].mult, &one) ||
                one > RUN_MOST)
                return false;
            bytes += one;
        }
        for (size_t k = 0; k < s->nsteps; k++) bytes += s->steps[k].mult;
    }
    for (size_t i = 0; i < p->nsaves; i++) bytes += p->saves[i].labels;
    return bytes < RUN_MOST && p->nrowsets < 16 && p->nsaves < 8 &&
           p->ntrials < 8;
}

// The product of what rows are made into can be large though each factor is small.
static bool few_rows(const struct plan *p) {
    size_t rows = 4;
    for (size_t i = 0; i < p->nrowsets; i++)
        if (p->rowsets[i].kind == ROWSET_EXPAND) {
            if (!size_mul(rows, p->rowsets[i].factor, &rows) || rows > 4096) return false;
        }
    return true;
}

struct running {
    struct arena *arena;
    struct plan *plan;
};

static void run_it(void *ctx) {
    struct running *r = ctx;
    struct diags d;
    struct run_report report;
    struct keep keep = {.arena = r->arena, .arrays = true};
    struct run_options o = {.threads = 1, .no_files = true, .keep = &keep};
    struct survey survey;
    diags_init(&d, r->arena);
    CHECK(plan_survey(r->plan, &o, r->arena, &survey, &d) == (d.errors == 0));
    if (d.errors) return;
    CHECK(plan_run(r->plan, &o, r->arena, &report, &d) == (d.errors == 0));
    keep_free(&keep);
}

// Boxes come from kernels and columns at run time: builtin.c checks them then.
static void run_plan(struct arena *a, struct plan *p) {
    struct running r = {a, p};
    struct scope scope = {.catches = true};
    if (!small(p) || !few_rows(p)) return;
    for (size_t i = 0; i < p->nrowsets; i++) p->rowsets[i].path = IMAGES;
    for (size_t i = 0; i < p->nfuncs; i++)
        for (size_t k = 0; k < p->funcs[i].ncalls; k++)
            p->funcs[i].calls[k].fn = no_kernel;
    if (scope_run(&scope, run_it, &r) == SCOPE_BUG && !strstr(scope.words, "builtin.c"))
        BUG("%s", scope.words);
}

// Two classes of two images each.
static void make_images(void) {
    static const char *const names[] = {"one/a", "one/b", "two/a", "two/b"};
    uint8_t pixels[RIG_PIXELS];
    mkdir(IMAGES, 0700);
    mkdir(IMAGES "/one", 0700);
    mkdir(IMAGES "/two", 0700);
    for (size_t i = 0; i < COUNT(names); i++) {
        char path[64];
        size_t n;
        memset(pixels, (int)i * 60, sizeof pixels);
        snprintf(path, sizeof path, IMAGES "/%s.png", names[i]);
        uint8_t *png = image_encode_png(pixels, 3, 8, 8, &n);
        FILE *f = png ? fopen(path, "wb") : NULL;
        CHECK(f && fwrite(png, 1, n, f) == n && fclose(f) == 0);
        mem_free(png);
    }
}

// ---- one input -----------------------------------------------------------------------
static void use(struct arena *a, struct bundle *b, size_t dice) {
    if (dice % WRITE_EVERY == 0) check_again(a, b);
    for (size_t i = 0; i < b->nvariants; i++) {
        struct plan *p = b->variants[i].plan;
        if (dice % SET_EVERY == 0) set_params(a, p);
        if (dice % RUN_EVERY == 0) run_plan(a, p);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    make_images();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static _Alignas(64) const char before[BEFORE];
    struct arena *a = arena_new();
    struct diags d;
    struct bundle made = {0}, *b = &made;
    diags_init(&d, a);
    if (n && data[0] == FIRST_BYTE) {
        struct bundle_view view = {before, BEFORE, (const char *)data, n};
        if (bundle_unpack(a, &view, b)) b = NULL;
    } else {
        b = bundle_read(a, (const char *)data, n, &d);
        CHECK(!b == (d.errors > 0));
    }
    if (b) use(a, b, digest_of(data, n).lo);
    arena_free(a);
    return 0;
}

// ---- changing inputs -----------------------------------------------------------------
struct element {
    size_t at, n; // bytes of its head
    enum unpack_kind kind;
    uint64_t value;
};

// One of the elements of a message, which lie one behind the other. False: there are
// none.
static bool pick_element(struct arena *a, const uint8_t *data, size_t n, uint64_t *state,
                         struct element *out) {
    struct unpack u = {.at = data, .end = data + n, .arena = a};
    size_t count = 0;
    while (unpack_left(&u)) {
        const unsigned char *at = u.at;
        struct unpack_head h;
        if (!unpack_head(&u, &h) || h.kind == UNPACK_OTHER) break;
        if (h.kind == UNPACK_TEXT) h.n = size_min((size_t)h.n, unpack_left(&u));
        if (roll(state, ++count) == 0)
            *out =
                (struct element){(size_t)(at - data), (size_t)(u.at - at), h.kind, h.n};
        if (h.kind == UNPACK_TEXT) u.at += h.n;
    }
    return count > 0;
}

static uint64_t number(uint64_t *state, uint64_t was) {
    static const uint64_t odd[] = {0,
                                   1,
                                   2,
                                   3,
                                   4,
                                   16,
                                   64,
                                   127,
                                   128,
                                   1000,
                                   65535,
                                   1u << 20,
                                   UINT32_MAX,
                                   UINT64_MAX,
                                   INT64_MAX,
                                   1u << 24,
                                   (uint64_t)1 << 40,
                                   (uint64_t)1 << 63};
    if (roll(state, 3) == 0) return was + 1 - 2 * roll(state, 2);
    return odd[roll(state, COUNT(odd))];
}

// Writes a count in as many bytes as there are, when it fits.
static void put_number(uint8_t *at, size_t wide, uint64_t v) {
    if (wide == 1) at[0] = (uint8_t)(v & 0x7f);
    for (size_t i = 1; i < wide; i++) at[i] = (uint8_t)(v >> 8 * (wide - 1 - i));
}

// A whole number where a shorter one was.
static size_t widen(uint8_t *data, size_t n, size_t max, const struct element *e,
                    uint64_t v) {
    enum { WIDE = 9 };
    if (n + WIDE - e->n > max) return n;
    memmove(data + e->at + WIDE, data + e->at + e->n, n - e->at - e->n);
    data[e->at] = 0xcf;
    put_number(data + e->at, WIDE, v);
    return n + WIDE - e->n;
}

static void change_real(uint8_t *at, uint64_t *state) {
    static const double odd[] = {0, 1, -1, 0.5, 3, 1e9, 1e300, -0.0, 17, 255};
    double v = odd[roll(state, COUNT(odd))];
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    if (roll(state, 8) == 0) bits = UINT64_C(0x7ff8000000000000) - roll(state, 2);
    put_number(at, 9, bits);
}

static size_t change(uint8_t *data, size_t n, size_t max, const struct element *e,
                     uint64_t *state) {
    uint8_t *at = data + e->at;
    switch (e->kind) {
    case UNPACK_WHOLE:
        if (roll(state, 2)) return widen(data, n, max, e, number(state, e->value));
        put_number(at, e->n, number(state, e->value));
        break;
    case UNPACK_REAL: change_real(at, state); break;
    case UNPACK_BOOL: *at ^= 1; break;
    case UNPACK_NIL: *at = (uint8_t)roll(state, 4); break;
    case UNPACK_TEXT:
        if (e->value)
            at[e->n + roll(state, (size_t)e->value)] ^= (uint8_t)roll(state, 64);
        else *at = 0xc0;
        break;
    default: *at = (uint8_t)(*at + 1 - 2 * roll(state, 2)); break;
    }
    return n;
}

// A message of the rig's program, its constants within BEFORE.
static size_t rig_message(struct arena *a, uint8_t *data, size_t max, uint64_t *state) {
    struct packed p;
    bundle_pack(rig_bundle(a, 1 + roll(state, 2)), a, &p);
    if (p.message.n > max) return 0;
    memcpy(data, p.message.at, p.message.n);
    return p.message.n;
}

// As a file: some bytes, the message, a footer that may be wrong, a checksum that is
// right.
static size_t whole_file(uint8_t *data, size_t n, size_t max, uint64_t *state) {
    size_t start = roll(state, 2) * BUNDLE_PAGE, bytes = start + n + BUNDLE_FOOTER;
    if (bytes > max) return n;
    memmove(data + start, data, n);
    if (start) memset(data, 0, start);
    struct footer f = {0, bytes, start, n};
    size_t *const parts[] = {&f.start, &f.message, &f.message_bytes};
    if (roll(state, 2)) *parts[roll(state, COUNT(parts))] = number(state, n);
    footer_put(&f, (char *)data);
    return bytes;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed) {
    uint64_t state = seed;
    if (n && roll(&state, 4) == 0) return LLVMFuzzerMutate(data, n, max);
    struct arena *a = arena_new();
    if (!n || data[0] != FIRST_BYTE || roll(&state, 32) == 0)
        n = rig_message(a, data, max, &state);
    struct element e;
    for (size_t i = 1 + roll(&state, 3); i > 0 && n; i--)
        if (pick_element(a, data, n, &state, &e)) n = change(data, n, max, &e, &state);
    if (n && roll(&state, 64) == 0) n = whole_file(data, n, max, &state);
    arena_free(a);
    return n ? n : LLVMFuzzerMutate(data, 0, max);
}
