// What tests/store.sh runs under the fault shim: a program that uses the store as a run
// of ddg does, in milliseconds, and knows what every value must be.
//
//     store_driver fill DIR ROWS    looks up ROWS small and ROWS large values and the
//                                   digests of as many files; computes what is missing.
//                                   Prints `kept N` when N of them will be found whatever
//                                   happens. Whatever the store does: exit code 0, all
//                                   values right, and at most one warning
//     store_driver holds DIR N      the store has the first N of them
//     store_driver verify DIR       the whole store is sound
//     store_driver sql DIR TEXT     runs TEXT on the database, below the store's back
#include "runtime/store/store_impl.h"

#include <unistd.h>

#define CHUNK ((size_t)8)
#define SMALL ((size_t)200)
#define LARGE (STORE_LARGE + 999) // a file of its own

_Noreturn static void stop(const char *what, const char *why) {
    fprintf(stderr, "store_driver: %s: %s\n", what, why);
    exit(1);
}

struct column {
    const char *samples;
    size_t width;
    struct digest key;
};

static struct digest describe(struct column *c, struct store *s) {
    struct store_field field = {.name = "samples", .value = c->samples};
    struct store_record r = {.op = "shap_patches",
                             .name = "phi",
                             .nfields = 1,
                             .fields = &field,
                             .elem = "u8",
                             .rank = 1,
                             .dim = {c->width}};
    store_use(s, &r);
    return store_record_key(&r);
}

static struct digest digest_number(size_t i, const char *of) {
    char text[64];
    int n = snprintf(text, sizeof text, "%s %zu", of, i);
    return digest_of(text, (size_t)n);
}

static void value_of(const struct column *c, size_t i, char *out) {
    for (size_t k = 0; k < c->width; k++)
        out[k] = (char)(i * 37 + k * 11 + (k >> 8) * 5 + c->width);
}

// ---- the work of a run ---------------------------------------------------------------
struct run {
    struct store *s;
    size_t computed, reused;
};

static void compute_row(struct run *r, const struct column *c, size_t i, char *out) {
    struct digest row = digest_number(i, "row");
    bool found = false;
    // Another process may be at it: it ends, or dies, and then it is our turn.
    for (int patience = 0; !store_claim(r->s, c->key, row); patience++) {
        if (store_get(r->s, c->key, &row, 1, c->width, out, &found)) break;
        if (patience == 10000) stop("a row is claimed", "for more than ten seconds");
        usleep(1000);
    }
    if (!found) store_get(r->s, c->key, &row, 1, c->width, out, &found);
    if (!found) {
        value_of(c, i, out);
        store_put(r->s, c->key, &row, 1, c->width, out, 1);
        r->computed++;
    } else {
        store_release(r->s, c->key, &row, 1);
        r->reused++;
    }
}

static void check_value(const struct column *c, size_t i, const char *got) {
    char want[LARGE];
    value_of(c, i, want);
    if (memcmp(got, want, c->width)) stop("a value of the store", "is wrong");
}

// The rows from `at`: looked up all at once, then one by one.
static void run_chunk(struct run *r, const struct column *c, size_t at) {
    struct digest rows[CHUNK];
    bool found[CHUNK];
    char *values = calloc(CHUNK, c->width);
    if (!values) stop("memory", "there is none");
    for (size_t i = 0; i < CHUNK; i++) rows[i] = digest_number(at + i, "row");
    r->reused += store_get(r->s, c->key, rows, CHUNK, c->width, values, found);
    for (size_t i = 0; i < CHUNK; i++) {
        if (!found[i]) compute_row(r, c, at + i, values + i * c->width);
        check_value(c, at + i, values + i * c->width);
    }
    free(values);
}

static void run_contents(struct run *r, size_t at) {
    struct digest stamps[CHUNK], contents[CHUNK];
    bool found[CHUNK];
    for (size_t i = 0; i < CHUNK; i++) stamps[i] = digest_number(at + i, "stamp");
    store_contents_get(r->s, stamps, CHUNK, contents, found);
    for (size_t i = 0; i < CHUNK; i++) {
        struct digest right = digest_number(at + i, "content");
        if (found[i] && !digest_eq(contents[i], right)) stop("a content", "is wrong");
        contents[i] = right;
    }
    store_contents_put(r->s, stamps, CHUNK, contents);
}

// At most one warning: what went wrong first.
static void warn(struct store *s) {
    struct arena *a = arena_new();
    const char *trouble = a ? store_trouble(s, a) : NULL;
    if (trouble) fprintf(stderr, "warning: %s\n", trouble);
    arena_free(a);
}

static struct store *open_store(const char *dir, bool look) {
    char why[512] = "";
    struct store_options o = {.path = dir, .look = look};
    struct store *s = store_open(&o, why, sizeof why);
    if (!s) fprintf(stderr, "warning: %s\n", why);
    return s;
}

static void fill(const char *dir, size_t rows) {
    struct run r = {.s = open_store(dir, false)};
    bool opened = r.s;
    if (!opened) r.s = open_store(NULL, false);
    if (!r.s) stop("a store in memory", "does not open");
    struct column columns[] = {{.samples = "64", .width = SMALL},
                               {.samples = "128", .width = LARGE}};
    for (size_t k = 0; k < COUNT(columns); k++)
        columns[k].key = describe(&columns[k], r.s);
    for (size_t at = 0; at < rows; at += CHUNK) {
        run_contents(&r, at);
        for (size_t k = 0; k < COUNT(columns); k++) run_chunk(&r, &columns[k], at);
        store_flush(r.s);
        if (!opened || !store_writes(r.s)) continue;
        printf("kept %zu\n", at + CHUNK);
        fflush(stdout);
    }
    printf("computed %zu reused %zu\n", r.computed, r.reused);
    if (opened) warn(r.s);
    store_close(r.s);
}

// ---- looking at what is there --------------------------------------------------------
static void holds(const char *dir, size_t rows) {
    struct store *s = open_store(dir, true);
    if (!s) exit(rows > 0);
    struct column columns[] = {{.samples = "64", .width = SMALL},
                               {.samples = "128", .width = LARGE}};
    char value[LARGE];
    for (size_t i = 0; i < rows * COUNT(columns); i++) {
        struct column *c = &columns[i % COUNT(columns)];
        struct digest row = digest_number(i / COUNT(columns), "row");
        bool found;
        c->key = describe(c, s);
        if (!store_get(s, c->key, &row, 1, c->width, value, &found))
            stop(c->width == SMALL ? "a small value" : "a large value", "is missing");
        check_value(c, i / COUNT(columns), value);
    }
    store_close(s);
}

static void verify(const char *dir) {
    struct store *s = open_store(dir, false);
    struct arena *a = arena_new();
    struct store_check c = {0};
    if (!s || !a || !store_verify(s, a, &c)) stop(dir, "cannot be verified");
    printf("%zu values, %zu blobs, %zu leftovers\n", (size_t)c.values, (size_t)c.blobs,
           (size_t)c.leftovers);
    warn(s);
    if (c.damaged) stop(dir, c.nwords ? c.words[0] : "is damaged");
    store_close(s);
    arena_free(a);
}

static void run_sql(const char *dir, const char *text) {
    char path[4096], *why = NULL;
    struct store_vfs *v = store_vfs_new();
    sqlite3 *h = NULL;
    snprintf(path, sizeof path, "%s/store-1.db", dir);
    if (!v || sqlite3_open_v2(path, &h, SQLITE_OPEN_READWRITE, store_vfs_name(v)))
        stop(path, "cannot be opened");
    if (sqlite3_exec(h, text, NULL, NULL, &why)) stop(text, why ? why : "failed");
    sqlite3_close(h);
    store_vfs_free(v);
}

int main(int argc, char **argv) {
    if (argc >= 4 && !strcmp(argv[1], "fill")) fill(argv[2], strtoul(argv[3], NULL, 10));
    else if (argc >= 4 && !strcmp(argv[1], "holds"))
        holds(argv[2], strtoul(argv[3], NULL, 10));
    else if (argc >= 4 && !strcmp(argv[1], "sql")) run_sql(argv[2], argv[3]);
    else if (argc >= 3 && !strcmp(argv[1], "verify")) verify(argv[2]);
    else stop("usage", "store_driver fill|holds|verify|sql DIR ...");
    return 0;
}
