// What the store is made of: records that are read within bounds, blobs that are whole or
// not found, locks that end with their process.
#include "runtime/store/blob.h"
#include "runtime/store/lock.h"
#include "runtime/store/record.h"

#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <msgpack.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// ---- records: there and back ---------------------------------------------------------
static struct store_record sample(struct arena *a) {
    struct store_field *f = NEW_N(a, struct store_field, 3);
    f[0] = (struct store_field){"version", "3", NULL};
    f[1] = (struct store_field){"samples", "128", "coalitions"};
    f[2] = (struct store_field){"weights", "9f2c", ""};
    return (struct store_record){
        .op = "shap_patches",
        .name = "phi",
        .nfields = 3,
        .fields = f,
        .elem = "f32",
        .rank = 2,
        .dim = {4, 4},
        .flops = 1.5e9,
        .rows = 3000,
        .bytes = UINT64_MAX,
        .computed = 3010,
        .seconds = 271.25,
        .created = 20000,
    };
}

static char *filled(struct arena *a, char c, size_t n) {
    char *s = arena_alloc(a, n + 1, 1);
    memset(s, c, n);
    return s;
}

static void assert_same_text(const char *a, const char *b) {
    assert_int_equal(!a, !b);
    if (a) assert_string_equal(a, b);
}

static void assert_same(const struct store_record *a, const struct store_record *b) {
    assert_string_equal(a->op, b->op);
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->elem, b->elem);
    assert_int_equal(a->rank, b->rank);
    assert_memory_equal(a->dim, b->dim, sizeof a->dim);
    assert_int_equal(a->nfields, b->nfields);
    for (size_t i = 0; i < a->nfields; i++) {
        assert_string_equal(a->fields[i].name, b->fields[i].name);
        assert_string_equal(a->fields[i].value, b->fields[i].value);
        assert_same_text(a->fields[i].label, b->fields[i].label);
    }
    assert_true(a->flops == b->flops && a->seconds == b->seconds);
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->computed, b->computed);
    assert_int_equal(a->created, b->created);
}

static void assert_round_trip(struct arena *a, const struct store_record *r) {
    char *data;
    size_t n;
    struct store_record got;
    const char *why;
    record_encode(r, a, &data, &n);
    // In memory of its own, so that a read behind it is noticed.
    char *copy = malloc(n);
    memcpy(copy, data, n);
    if (!record_decode(copy, n, a, &got, &why)) fail_msg("%s", why);
    free(copy);
    assert_same(r, &got);
    assert_true(digest_eq(got.key, store_record_key(r)));
}

static void test_a_record_comes_back(void **state) {
    struct fixture *f = *state;
    struct store_record r = sample(f->a);
    assert_round_trip(f->a, &r);
    r.nfields = 0;
    r.rank = 0;
    memset(r.dim, 0, sizeof r.dim);
    assert_round_trip(f->a, &r);
    r = sample(f->a);
    r.rank = 6;
    for (size_t i = 0; i < 6; i++) r.dim[i] = i;
    assert_round_trip(f->a, &r);
}

// Each way that msgpack has to say how long a text is, and how large a number.
static void test_lengths_of_all_kinds(void **state) {
    struct fixture *f = *state;
    static const size_t LENGTHS[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 1000000};
    for (size_t i = 0; i < COUNT(LENGTHS); i++) {
        struct store_record r = sample(f->a);
        r.name = filled(f->a, 'n', LENGTHS[i]);
        r.rows = LENGTHS[i];
        r.created = (int64_t)LENGTHS[i];
        r.computed = (uint64_t)1 << (7 * i);
        assert_round_trip(f->a, &r);
    }
    static const size_t COUNTS[] = {1, 15, 16, 65535, RECORD_MAX_FIELDS};
    for (size_t i = 0; i < COUNT(COUNTS); i++) {
        struct store_record r = sample(f->a);
        struct store_field *fields = NEW_N(f->a, struct store_field, COUNTS[i]);
        for (size_t k = 0; k < COUNTS[i]; k++)
            fields[k] = (struct store_field){"w", arena_printf(f->a, "%zu", k), NULL};
        r.fields = fields;
        r.nfields = COUNTS[i];
        assert_round_trip(f->a, &r);
    }
}

// Another program's reader takes what we write.
static void test_a_record_is_msgpack(void **state) {
    struct fixture *f = *state;
    struct store_record r = sample(f->a);
    char *data;
    size_t n, at = 0;
    record_encode(&r, f->a, &data, &n);
    msgpack_unpacked got;
    msgpack_unpacked_init(&got);
    assert_int_equal(msgpack_unpack_next(&got, data, n, &at), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(at, n);
    assert_int_equal(got.data.type, MSGPACK_OBJECT_MAP);
    const msgpack_object_kv *first = got.data.via.map.ptr;
    assert_int_equal(first->key.via.str.size, 1);
    assert_memory_equal(first->key.via.str.ptr, "v", 1);
    assert_int_equal(first->val.via.u64, STORE_VERSION);
    msgpack_unpacked_destroy(&got);
}

// ---- records: their keys -------------------------------------------------------------
static struct digest key_of(const char *op, size_t n, const struct store_field *f) {
    return store_record_key(&(struct store_record){.op = op, .nfields = n, .fields = f});
}

static void test_words_for_people_do_not_enter_the_key(void **state) {
    struct fixture *f = *state;
    struct store_record r = sample(f->a), other = r;
    struct store_field *fields = arena_dup(f->a, r.fields, 3, sizeof *r.fields);
    fields[1].label = "something else";
    other.fields = fields;
    other.name = "psi";
    other.rows = other.computed = 1;
    other.flops = 0;
    assert_true(digest_eq(store_record_key(&r), store_record_key(&other)));
}

// No two of these are the same, however they run together.
static void test_what_is_computed_is_the_key(void **state) {
    (void)state;
    const struct store_field lists[][2] = {
        {{"ab", "c", 0}, {"d", "e", 0}}, {{"a", "bc", 0}, {"d", "e", 0}},
        {{"ab", "cd", 0}, {"", "e", 0}}, {{"d", "e", 0}, {"ab", "c", 0}},
        {{"ab", "", 0}, {"cd", "e", 0}}, {{"ab", "c", 0}, {"e", "d", 0}},
    };
    struct digest keys[3 * COUNT(lists) + 2];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(lists); i++)
        for (size_t count = 1; count <= 2; count++)
            if (count == 2 || i < 2) keys[n++] = key_of("op", count, lists[i]);
    keys[n++] = key_of("op", 0, NULL);
    keys[n++] = key_of("opab", 0, NULL);
    keys[n++] = key_of("opa", 1, &(struct store_field){"b", "c", 0});
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++) assert_false(digest_eq(keys[i], keys[k]));
}

// ---- records: hostile bytes ----------------------------------------------------------
// The format once more, element by element, so that one can be exchanged.
struct part {
    const char *key, *value;
    size_t n;
};
#define PART(key, bytes)                                                                 \
    { key, bytes, sizeof(bytes) - 1 }

static const struct part PARTS[] = {
    PART("v", "\x01"),
    PART("op", "\xa2op"),
    PART("name", "\xa1x"),
    PART("elem", "\xa3"
                 "f32"),
    PART("dim", "\x92\x04\x04"),
    PART("fields", "\x91\x93\xa1k\xa1v\xc0"),
    PART("flops", "\xcb\x3f\xf0\0\0\0\0\0\0"),
    PART("rows", "\xcd\x01\x02"),
    PART("bytes", "\xce\0\1\0\0"),
    PART("computed", "\xcf\0\0\0\1\0\0\0\0"),
    PART("seconds", "\xcb\0\0\0\0\0\0\0\0"),
    PART("created", "\xcd\x4e\x20"),
};

static void add_part(struct text *t, const char *key, const char *value, size_t n) {
    text_add(t, "%c%s", (char)(0xa0 | strlen(key)), key);
    text_add_n(t, value, n);
}

// With one element's value in place of its own; none where key is NULL.
static struct text with(struct arena *a, const char *key, const char *value, size_t n) {
    struct text t = {.arena = a};
    text_add(&t, "%c", (char)(0x80 | COUNT(PARTS)));
    for (size_t i = 0; i < COUNT(PARTS); i++) {
        bool other = key && strcmp(key, PARTS[i].key) == 0;
        add_part(&t, PARTS[i].key, other ? value : PARTS[i].value,
                 other ? n : PARTS[i].n);
    }
    return t;
}

static void assert_refused(struct arena *a, const char *data, size_t n,
                           const char *reason) {
    struct store_record got;
    const char *why = NULL;
    char *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    assert_false(record_decode(copy, n, a, &got, &why));
    free(copy);
    assert_non_null(why);
    if (!strstr(why, reason)) fail_msg("\"%s\" does not say \"%s\"", why, reason);
}

static void test_the_format_is_as_written_here(void **state) {
    struct fixture *f = *state;
    struct text t = with(f->a, NULL, NULL, 0);
    struct store_record got;
    const char *why;
    if (!record_decode(t.at, t.n, f->a, &got, &why)) fail_msg("%s", why);
    assert_string_equal(got.op, "op");
    assert_string_equal(got.fields[0].value, "v");
    assert_null(got.fields[0].label);
    assert_int_equal(got.rows, 0x102);
    assert_int_equal(got.bytes, 0x10000);
    assert_int_equal(got.computed, UINT64_C(1) << 32);
    assert_true(got.flops == 1);
    assert_int_equal(got.created, 20000);
}

static void test_wrong_elements_are_named(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *key, *value;
        size_t n;
        const char *reason;
    } CASES[] = {
        {"v", "\x02", 1, "version 2"},
        {"v", "\xa1x", 2, "`v` is not a count"},
        {"op", "\x05", 1, "`op` is not a text"},
        {"op", "\xc0", 1, "`op` is not a text"},
        {"op", "\xa3o\0p", 4, "`op` has a zero byte"},
        {"op", "\xdb\xff\xff\xff\xff", 5, "ends too early"},
        {"name", "\xc4\x01x", 3, "`name` is not a text"},
        {"elem", "\xc1", 1, "`elem` is not a text"},
        {"dim", "\x97\1\1\1\1\1\1\1", 8, "too many dimensions"},
        {"dim", "\xdd\xff\xff\xff\xff", 5, "claims 4294967295"},
        {"dim", "\x92\xce\xff\xff\xff\xff\xce\xff\xff\xff\xff", 11, "larger than memory"},
        {"dim", "\x93\0\xcf\xff\xff\xff\xff\xff\xff\xff\xff\2", 12, "larger than memory"},
        {"dim", "\x91\xff", 2, "`dim` is not a count"},
        {"fields", "\xdd\xff\xff\xff\xff", 5, "claims 4294967295"},
        {"fields", "\xdc\xff\xff", 3, "claims 65535"},
        {"fields", "\x91\x92\xa1k\xa1v", 6, "a field of 2 parts"},
        {"fields", "\x91\x93\xa1k\xa1v\x01", 7, "`label` is not a text"},
        {"fields", "\x91\x93\xa1k\x91\xc0", 6, "`value` is not a text"},
        {"rows", "\xff", 1, "`rows` is not a count"},
        {"seconds", "\xcb\x7f\xf8\0\0\0\0\0\0", 9, "`seconds` is nan"},
        {"seconds", "\xcb\xbf\xf0\0\0\0\0\0\0", 9, "`seconds` is -1"},
        {"flops", "\xcb\x7f\xf0\0\0\0\0\0\0", 9, "`flops` is inf"},
        {"flops", "\x01", 1, "`flops` is not a number"},
        {"created", "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9, "`created` is no date"},
        {"created", "\xcd\x4e\x20\xc0", 4, "more follows"},
        {"rows", "\x01\xa3new\x01", 6, "unknown key `new`"},
        {"rows", "\x01\xa4rows\x01", 7, "`rows` is there twice"},
    };
    for (size_t i = 0; i < COUNT(CASES); i++) {
        struct text t = with(f->a, CASES[i].key, CASES[i].value, CASES[i].n);
        assert_refused(f->a, t.at, t.n, CASES[i].reason);
    }
}

static void test_what_is_no_record(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *data;
        size_t n;
        const char *reason;
    } CASES[] = {
        {"", 0, "ends too early"},
        {"\x80", 1, "empty"},
        {"\xdf\xff\xff\xff\xff", 5, "ends too early"},
        {"\xdf\xff\xff\xff", 4, "ends too early"},
        {"\xdf\xff\xff\xff\xff\xa1v\x01", 8, "ends too early"},
        {"\x93\1\2\3", 4, "`record` is not a map"},
        {"\x81\xa1v\x01", 4, "`op` is missing"},
        {"\x82\xa2op\xa1x", 6, "does not begin with its version"},
        {"\x81\x01\x01", 3, "`key` is not a text"},
    };
    for (size_t i = 0; i < COUNT(CASES); i++)
        assert_refused(f->a, CASES[i].data, CASES[i].n, CASES[i].reason);
    // Nested deeper than any stack.
    size_t n = 1000000;
    assert_refused(f->a, filled(f->a, (char)0x91, n), n, "`record` is not a map");
    struct text deep = with(f->a, "fields", filled(f->a, (char)0x91, n), n);
    assert_refused(f->a, deep.at, deep.n, "a field of 1 parts");
    n = RECORD_MAX_BYTES + 1;
    assert_refused(f->a, filled(f->a, (char)0x80, n), n, "too large");
}

static void test_cut_records_are_refused(void **state) {
    struct fixture *f = *state;
    struct store_record r = sample(f->a);
    char *data;
    size_t n;
    record_encode(&r, f->a, &data, &n);
    for (size_t i = 0; i < n; i++) assert_refused(f->a, data, i, "");
}

// A digest beside the record notices these; the reader only has to stay within its bytes.
static void test_any_changed_byte_is_survived(void **state) {
    struct fixture *f = *state;
    struct store_record r = sample(f->a), got;
    const char *why;
    char *data;
    size_t n, refused = 0;
    record_encode(&r, f->a, &data, &n);
    char *copy = malloc(n);
    for (size_t i = 0; i < n; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct arena *a = arena_new();
            memcpy(copy, data, n);
            copy[i] ^= (char)(1u << bit);
            refused += !record_decode(copy, n, a, &got, &why);
            arena_free(a);
        }
    free(copy);
    assert_in_range(refused, n, 8 * n - 1);
}

static size_t in_use(void) {
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

// The smallest fields there are, and as many as there can be.
static void test_memory_is_a_small_multiple(void **state) {
    struct fixture *f = *state;
    struct text fields = {.arena = f->a};
    text_add_n(&fields, "\xdd\0\1\0\0", 5);
    for (size_t i = 0; i < RECORD_MAX_FIELDS; i++)
        text_add_n(&fields, "\x93\xa0\xa0\xc0", 4);
    struct text t = with(f->a, "fields", fields.at, fields.n);
    struct arena *a = arena_new();
    size_t before = in_use();
    struct store_record got;
    const char *why;
    if (!record_decode(t.at, t.n, a, &got, &why)) fail_msg("%s", why);
    assert_int_equal(got.nfields, RECORD_MAX_FIELDS);
    assert_in_range(in_use() - before, 0, 8 * t.n + ((size_t)1 << 20));
    arena_free(a);
}

// ---- blobs ---------------------------------------------------------------------------
static int open_root(struct fixture *f) {
    int fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static char *blob_path(struct fixture *f, struct digest name) {
    char hex[DIGEST_HEX];
    digest_hex(name, hex);
    return arena_printf(f->a, "%s/blobs/%.2s/%s", f->root, hex, hex);
}

static void fill(char *data, size_t n, unsigned seed) {
    for (size_t i = 0; i < n; i++) data[i] = (char)(i * 31 + seed + i / 251);
}

static void test_a_blob_comes_back(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    static const size_t SIZES[] = {0, 1, 32768, 1000003};
    for (size_t i = 0; i < COUNT(SIZES); i++) {
        size_t n = SIZES[i];
        char *data = arena_alloc(f->a, n + 1, 1), *got = arena_alloc(f->a, n + 1, 1);
        struct digest name;
        fill(data, n, (unsigned)i);
        assert_true(blob_write(folder, data, n, &name));
        assert_true(digest_eq(name, digest_of(data, n)));
        assert_int_equal(blob_read(folder, name, n, got), BLOB_FINE);
        assert_memory_equal(got, data, n + 1);
        assert_int_equal(blob_read(folder, name, n, NULL), BLOB_FINE);
        assert_int_equal(blob_read(folder, name, n + 1, NULL), BLOB_DAMAGED);
        assert_true(blob_remove(folder, name));
        assert_int_equal(blob_read(folder, name, n, got), BLOB_MISSING);
        assert_true(blob_remove(folder, name)); // it is gone
    }
    close(folder);
}

static void assert_damaged(int folder, struct digest name, size_t n) {
    char out[512];
    memset(out, 'x', sizeof out);
    assert_int_equal(blob_read(folder, name, n, out), BLOB_DAMAGED);
    for (size_t i = 0; i < sizeof out; i++) assert_int_equal(out[i], 'x');
}

static void put_byte(int fd, char c, size_t at) {
    assert_int_equal(pwrite(fd, &c, 1, (off_t)at), 1);
}

static void test_damage_to_a_blob_is_noticed(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    char data[300];
    struct digest name;
    fill(data, sizeof data, 7);
    assert_true(blob_write(folder, data, sizeof data, &name));
    int fd = open(blob_path(f, name), O_RDWR | O_CLOEXEC);
    for (size_t i = 0; i < sizeof data; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            put_byte(fd, (char)(data[i] ^ (char)(1u << bit)), i);
            assert_damaged(folder, name, sizeof data);
        }
        put_byte(fd, data[i], i);
    }
    assert_int_equal(blob_read(folder, name, sizeof data, NULL), BLOB_FINE);
    put_byte(fd, 0, sizeof data);
    assert_damaged(folder, name, sizeof data);
    for (size_t n = sizeof data; n-- > 0;) {
        assert_int_equal(ftruncate(fd, (off_t)n), 0);
        assert_damaged(folder, name, sizeof data);
    }
    close(fd);
    // Written again, it is whole.
    assert_true(blob_write(folder, data, sizeof data, &name));
    assert_int_equal(blob_read(folder, name, sizeof data, NULL), BLOB_FINE);
    close(folder);
}

static void test_odd_files_under_a_blobs_name(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    struct digest name;
    assert_true(blob_write(folder, "abc", 3, &name));
    char *path = blob_path(f, name), *elsewhere = path_of(f, "elsewhere");
    assert_int_equal(rename(path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    assert_int_equal(blob_read(folder, name, 3, NULL), BLOB_DAMAGED);
    assert_int_equal(remove(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); // which has no end, and no beginning
    assert_int_equal(blob_read(folder, name, 3, NULL), BLOB_DAMAGED);
    assert_true(blob_write(folder, "abc", 3, &name));
    assert_int_equal(blob_read(folder, name, 3, NULL), BLOB_FINE);
    close(folder);
}

static void test_nothing_is_written_where_nothing_is(void **state) {
    struct fixture *f = *state;
    char *path = path_of(f, "gone");
    assert_int_equal(mkdir(path, 0700), 0);
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(rmdir(path), 0);
    struct digest name;
    errno = 0;
    assert_false(blob_write(folder, "abc", 3, &name));
    assert_int_equal(errno, ENOENT);
    close(folder);
}

struct found {
    struct arena *a;
    size_t blobs, others, limit;
    uint64_t bytes;
    double oldest;
    int folder; // what is temporary is removed there; -1: it is not
    struct digest last;
};

static bool count_blob(void *ctx, const struct blob_file *f) {
    struct found *c = ctx;
    c->blobs += !f->temporary;
    c->others += f->temporary;
    c->bytes += f->bytes;
    if (f->age > c->oldest) c->oldest = f->age;
    if (f->temporary && c->folder >= 0)
        assert_int_equal(unlinkat(c->folder, f->path, 0), 0);
    if (!f->temporary) c->last = f->name;
    return c->blobs + c->others < c->limit;
}

static struct found count_blobs(int folder, size_t limit, bool clean) {
    struct found c = {.limit = limit, .folder = clean ? folder : -1};
    assert_true(blob_each(folder, count_blob, &c));
    return c;
}

static void touch(struct fixture *f, const char *name) {
    int fd = open(path_of(f, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "?", 1), 1);
    close(fd);
}

static void test_all_blobs_are_listed(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    assert_int_equal(count_blobs(folder, 100, false).blobs, 0); // not even a folder
    struct digest name;
    for (int i = 0; i < 40; i++) assert_true(blob_write(folder, &i, sizeof i, &name));
    struct found c = count_blobs(folder, 100, false);
    assert_int_equal(c.blobs, 40);
    assert_int_equal(c.others, 0);
    assert_int_equal(c.bytes, 40 * sizeof(int));
    assert_true(c.oldest < 60);
    assert_int_equal(count_blobs(folder, 7, false).blobs, 7);
    assert_int_equal(blob_read(folder, c.last, sizeof(int), NULL), BLOB_FINE);
    close(folder);
}

// What a killed process leaves, and what else may lie there.
static void test_leftovers_are_listed_apart(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    struct digest name;
    assert_true(blob_write(folder, "abc", 3, &name));
    char *path = blob_path(f, name);
    static const char *const NAMES[] = {
        "blobs/top",
        "blobs/0123456789abcdef0123456789abcdef",
        "blobs/aa/.17.0",
        "blobs/aa/ab23456789abcdef0123456789abcdef",  // another folder's
        "blobs/aa/aa23456789abcdef0123456789abcde",   // too short
        "blobs/aa/aa23456789abcdef0123456789abcdef0", // too long
        "blobs/aa/aa23456789ABCDEF0123456789abcdef",
    };
    mkdir(path_of(f, "blobs/aa"), 0700);
    mkdir(path_of(f, "blobs/aa/folder"), 0700);
    for (size_t i = 0; i < COUNT(NAMES); i++) touch(f, NAMES[i]);
    struct found c = count_blobs(folder, 100, true);
    assert_int_equal(c.blobs, 1);
    assert_int_equal(c.others, COUNT(NAMES));
    c = count_blobs(folder, 100, true);
    assert_int_equal(c.blobs, 1);
    assert_int_equal(c.others, 0);
    assert_int_equal(access(path, F_OK), 0);
    close(folder);
}

static void test_a_blob_that_is_used_again_is_new_again(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    struct digest name;
    assert_true(blob_write(folder, "abc", 3, &name));
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, blob_path(f, name), long_ago, 0), 0);
    assert_true(count_blobs(folder, 10, false).oldest > 1e6);
    assert_true(blob_write(folder, "abc", 3, &name));
    assert_true(count_blobs(folder, 10, false).oldest < 60);
    close(folder);
}

#define WRITERS 4

struct writer {
    int folder;
    bool ok;
};

static void *write_same(void *arg) {
    struct writer *w = arg;
    char data[5000];
    for (unsigned i = 0; i < 30; i++) {
        struct digest name;
        fill(data, sizeof data, i);
        w->ok &= blob_write(w->folder, data, sizeof data, &name);
        w->ok &= blob_read(w->folder, name, sizeof data, NULL) == BLOB_FINE;
    }
    return NULL;
}

static void test_threads_write_the_same_blobs(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    struct writer w[WRITERS];
    pthread_t threads[WRITERS];
    for (size_t i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){folder, true};
        assert_int_equal(pthread_create(&threads[i], NULL, write_same, &w[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(w[i].ok);
    }
    struct found c = count_blobs(folder, 1000, false);
    assert_int_equal(c.blobs, 30);
    assert_int_equal(c.others, 0);
    close(folder);
}

// ---- locks ---------------------------------------------------------------------------
static const struct digest A = {1, 2}, B = {3, 4};

static void test_two_holders_exclude_each_other(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    struct locks *x = locks_open(folder), *y = locks_open(folder);
    assert_true(lock_take(x, A, LOCK_EXCLUSIVE));
    assert_true(lock_take(x, A, LOCK_EXCLUSIVE));
    assert_false(lock_take(y, A, LOCK_EXCLUSIVE));
    assert_false(lock_take(y, A, LOCK_SHARED));
    assert_true(lock_take(y, B, LOCK_EXCLUSIVE));
    lock_drop(x, A);
    assert_true(lock_take(y, A, LOCK_SHARED));
    assert_true(lock_take(x, A, LOCK_SHARED));
    assert_false(lock_take(x, A, LOCK_EXCLUSIVE));
    lock_drop(y, A);
    assert_true(lock_take(x, A, LOCK_EXCLUSIVE)); // it was shared, by x alone
    locks_close(y);
    assert_true(lock_take(x, B, LOCK_EXCLUSIVE));
    locks_close(x);
    close(folder);
}

static void test_names_far_apart_and_near(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    struct locks *x = locks_open(folder), *y = locks_open(folder);
    static const uint64_t LOW[] = {0, 1, (UINT64_C(1) << 62) - 1, UINT64_C(1) << 61};
    for (size_t i = 0; i < COUNT(LOW); i++) {
        struct digest name = {.lo = LOW[i]};
        assert_true(lock_take(x, name, LOCK_EXCLUSIVE));
        assert_false(lock_take(y, name, LOCK_EXCLUSIVE));
    }
    lock_drop(x, (struct digest){.lo = 0});
    assert_false(lock_take(y, (struct digest){.lo = 1}, LOCK_EXCLUSIVE));
    // Beyond 62 bits: another byte of the file, never an error that passes for a lock.
    assert_true(lock_take(x, (struct digest){.lo = UINT64_MAX - 5}, LOCK_EXCLUSIVE));
    assert_false(lock_take(y, (struct digest){.lo = UINT64_MAX - 5}, LOCK_EXCLUSIVE));
    locks_close(x);
    locks_close(y);
    close(folder);
}

// Takes A and B, says so, and sleeps until it is killed.
static pid_t hold_in_child(const char *root) {
    int ready[2];
    char c;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        int folder = open(root, O_RDONLY | O_DIRECTORY);
        struct locks *l = locks_open(folder);
        bool ok = lock_take(l, A, LOCK_EXCLUSIVE) && lock_take(l, B, LOCK_SHARED);
        if (write(ready[1], ok ? "y" : "n", 1) == 1) pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(c, 'y');
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void test_a_killed_process_holds_nothing(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    struct locks *l = locks_open(folder);
    pid_t child = hold_in_child(f->root);
    assert_false(lock_take(l, A, LOCK_EXCLUSIVE));
    assert_false(lock_take(l, B, LOCK_EXCLUSIVE));
    assert_true(lock_take(l, B, LOCK_SHARED));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(lock_take(l, A, LOCK_EXCLUSIVE));
    assert_true(lock_take(l, B, LOCK_EXCLUSIVE));
    locks_close(l);
    close(folder);
}

static void test_nothing_is_written_to_the_file(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    struct locks *l = locks_open(folder);
    struct stat st;
    assert_true(lock_take(l, A, LOCK_EXCLUSIVE));
    assert_int_equal(stat(path_of(f, "locks"), &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    locks_close(l);
    close(folder);
}

static void test_without_a_file_all_is_granted(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkdir(path_of(f, "locks"), 0700), 0); // no file can be there
    int folder = open_root(f);
    struct locks *x = locks_open(folder), *y = locks_open(folder);
    assert_true(lock_take(x, A, LOCK_EXCLUSIVE));
    assert_true(lock_take(y, A, LOCK_EXCLUSIVE));
    lock_drop(x, A);
    locks_close(x);
    locks_close(y);
    close(folder);
}

#define NAMES ((size_t)400)

struct claimer {
    struct locks *l;
    size_t got;
};

static void *claim_all(void *arg) {
    struct claimer *c = arg;
    for (uint64_t i = 0; i < NAMES; i++)
        c->got += lock_take(c->l, digest_of(&i, sizeof i), LOCK_EXCLUSIVE);
    return NULL;
}

static void test_a_name_is_one_holders_among_threads(void **state) {
    struct fixture *f = *state;
    int folder = open_root(f);
    struct claimer c[WRITERS];
    pthread_t threads[WRITERS];
    size_t got = 0;
    for (size_t i = 0; i < WRITERS; i++) {
        c[i] = (struct claimer){locks_open(folder), 0};
        assert_int_equal(pthread_create(&threads[i], NULL, claim_all, &c[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        got += c[i].got;
    }
    assert_int_equal(got, NAMES);
    for (size_t i = 0; i < WRITERS; i++) locks_close(c[i].l);
    close(folder);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_record_comes_back),
        T(test_lengths_of_all_kinds),
        T(test_a_record_is_msgpack),
        T(test_words_for_people_do_not_enter_the_key),
        T(test_what_is_computed_is_the_key),
        T(test_the_format_is_as_written_here),
        T(test_wrong_elements_are_named),
        T(test_what_is_no_record),
        T(test_cut_records_are_refused),
        T(test_any_changed_byte_is_survived),
        T(test_memory_is_a_small_multiple),
        T(test_a_blob_comes_back),
        T(test_damage_to_a_blob_is_noticed),
        T(test_odd_files_under_a_blobs_name),
        T(test_nothing_is_written_where_nothing_is),
        T(test_all_blobs_are_listed),
        T(test_leftovers_are_listed_apart),
        T(test_a_blob_that_is_used_again_is_new_again),
        T(test_threads_write_the_same_blobs),
        T(test_two_holders_exclude_each_other),
        T(test_names_far_apart_and_near),
        T(test_a_killed_process_holds_nothing),
        T(test_nothing_is_written_to_the_file),
        T(test_without_a_file_all_is_granted),
        T(test_a_name_is_one_holders_among_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
