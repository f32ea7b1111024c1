// .npy files: the bytes numpy writes are read, ours are the bytes numpy writes, and what
// is damaged is refused with its reason.
#include "runtime/npy.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct arena *a;
    struct diags d;
    char folder[64];
};

static int setup(void **state) {
    struct arena *a = arena_new();
    struct fixture *f = NEW(a, struct fixture);
    f->a = a;
    diags_init(&f->d, a);
    strcpy(f->folder, "/tmp/ddg-test-npy-XXXXXX");
    *state = f;
    return mkdtemp(f->folder) ? 0 : -1;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    DIR *dir = opendir(f->folder);
    for (struct dirent *e; dir && (e = readdir(dir));) unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
    int ok = rmdir(f->folder);
    arena_free(f->a);
    return ok;
}

static size_t entries(const char *folder) {
    size_t n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir)) n++;
    closedir(dir);
    return n - 2;
}

static char *in_folder(struct fixture *f, const char *name) {
    return arena_printf(f->a, "%s/%s", f->folder, name);
}

// A file of a header text (its length filled in) and some values.
static char *file_of(struct fixture *f, unsigned char version, const char *header,
                     const void *values, size_t n) {
    char *path = in_folder(f, "x.npy");
    FILE *out = fopen(path, "wb");
    size_t len = strlen(header);
    fwrite("\x93NUMPY", 1, 6, out);
    fputc(version, out);
    fputc(0, out);
    fputc((int)(len & 255), out);
    fputc((int)(len >> 8), out);
    if (version > 1) fwrite("\0\0", 1, 2, out);
    fwrite(header, 1, len, out);
    fwrite(values, 1, n, out);
    fclose(out);
    return path;
}

static void expect_refused(struct fixture *f, const char *path, const char *reason) {
    struct npy got;
    f->d.list.n = f->d.errors = 0;
    assert_false(npy_read(f->a, path, &got, NO_SPAN, &f->d));
    assert_int_equal(f->d.errors, 1);
    const char *message = f->d.list.at[0].message;
    if (!strstr(message, reason)) fail_msg("\"%s\" does not say \"%s\"", message, reason);
}

// ---- reading ------------------------------------------------------------------------
static void test_versions_are_read(void **state) {
    struct fixture *f = *state;
    const float values[6] = {1, -2, 3.5f, 4, 5, 6};
    for (unsigned char version = 1; version <= 3; version++) {
        struct npy got;
        char *path = file_of(f, version,
                             "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
                             "    \n",
                             values, sizeof values);
        assert_true(npy_read(f->a, path, &got, NO_SPAN, &f->d));
        assert_int_equal(got.type, NPY_F32);
        assert_int_equal(got.rank, 2);
        assert_int_equal(got.dim[0], 2);
        assert_int_equal(got.dim[1], 3);
        assert_int_equal(got.count, 6);
        assert_memory_equal(got.data, values, sizeof values);
        assert_int_equal((uintptr_t)got.data % 16, 0); // whatever the header's length
    }
}

static void test_keys_come_in_any_order(void **state) {
    struct fixture *f = *state;
    struct npy got;
    const int64_t value = -7;
    char *path =
        file_of(f, 1, "{ \"shape\":(),'fortran_order' :False,'descr':'<i8'}", &value, 8);
    assert_true(npy_read(f->a, path, &got, NO_SPAN, &f->d));
    assert_int_equal(got.rank, 0);
    assert_int_equal(got.count, 1);
    assert_int_equal(*(int64_t *)got.data, -7);
    path = file_of(f, 1, "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 5), }",
                   "", 0);
    assert_true(npy_read(f->a, path, &got, NO_SPAN, &f->d));
    assert_int_equal(got.count, 0);
}

#define SHAPED(shape) "{'descr': '<f4', 'fortran_order': False, 'shape': " shape ", }"
#define TYPED(descr)  "{'descr': " descr ", 'fortran_order': False, 'shape': (2,), }"

static void test_refusals_say_why(void **state) {
    static const struct {
        const char *header, *reason;
    } cases[] = {
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", "Fortran order"},
        {TYPED("'>f4'"), "big-endian"},
        {TYPED("'<f2'"), "not one of float32"},
        {TYPED("'|S3'"), "not one of float32"},
        {TYPED("''"), "not one of float32"},
        {TYPED("[('a', '<f4')]"), "not plain numbers"},
        {TYPED("'|O"), "header is damaged"},
        {SHAPED("(5,)"), "truncated"},
        {SHAPED("(4294967296, 4294967296)"), "too large"},
        {SHAPED("(0, 18446744073709551615, 3)"), "too large"},
        {SHAPED("(99999999999999999999,)"), "something else than sizes"},
        {SHAPED("(-1,)"), "something else than sizes"},
        {SHAPED("(1,1,1,1,1,1,1)"), "more than 6 axes"},
        {SHAPED("4"), "not a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2", "`shape` does not end"},
        {"{'descr': '<f4', 'shape': (2,), }", "lacks"},
        {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }", "not a bool"},
        {"{'other': 1}", "header is damaged"},
        {"", "header is damaged"},
    };
    const float values[4] = {0};
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_refused(*state, file_of(*state, 1, cases[i].header, values, sizeof values),
                       cases[i].reason);
    expect_refused(*state, file_of(*state, 4, SHAPED("(4,)"), values, 16),
                   "newer than 3.0");
    expect_refused(*state, file_of(*state, 1, TYPED("'|b1'"), "\1\2", 2),
                   "neither 0 nor 1");
}

static void test_header_longer_than_the_file(void **state) {
    struct fixture *f = *state;
    char *path = in_folder(f, "y.npy");
    FILE *out = fopen(path, "wb");
    fwrite("\x93NUMPY\2\0\xff\xff\xff\xff{", 1, 13, out);
    fclose(out);
    expect_refused(f, path, "truncated");
    expect_refused(f, in_folder(f, "none.npy"), "No such file");
    expect_refused(f, f->folder, "Is a directory");
}

// ---- writing ------------------------------------------------------------------------
static void test_bytes_are_numpys(void **state) {
    struct fixture *f = *state;
    char *path = in_folder(f, "out.npy"), *file;
    const float rows[2][3] = {{1, 2, 3}, {4, 5, 6}};
    struct npy_writer *w = npy_create(path, NPY_F32, 2, (size_t[]){2, 3}, &f->d);
    assert_non_null(w);
    assert_true(npy_write(w, rows[0], 12, &f->d));
    assert_int_not_equal(access(path, F_OK), 0); // not before it is whole
    assert_true(npy_write(w, rows[1], 12, &f->d));
    assert_true(npy_commit(w, &f->d));
    size_t n;
    file = file_read(f->a, path, 1000, &n);
    assert_int_equal(n, 128 + 24);
    static const char want[] =
        "\x93NUMPY\1\0\x76\0{'descr': '<f4', 'fortran_order': False, "
        "'shape': (2, 3), }";
    assert_memory_equal(file, want, sizeof want - 1);
    for (size_t i = sizeof want - 1; i < 127; i++) assert_int_equal(file[i], ' ');
    assert_int_equal(file[127], '\n');
    assert_memory_equal(file + 128, rows, sizeof rows);
    assert_int_equal(entries(f->folder), 1);
}

static void test_every_type_round_trips(void **state) {
    struct fixture *f = *state;
    static const size_t sizes[] = {4, 8, 1, 4, 8, 1};
    char *path = in_folder(f, "t.npy");
    const uint8_t values[40] = {1, 0, 1, 1};
    for (int type = NPY_F32; type <= NPY_BOOL; type++) {
        struct npy got;
        size_t dim = 5, bytes = dim * sizes[type];
        struct npy_writer *w = npy_create(path, (enum npy_type)type, 1, &dim, &f->d);
        assert_true(npy_write(w, values, bytes, &f->d) && npy_commit(w, &f->d));
        assert_true(npy_read(f->a, path, &got, NO_SPAN, &f->d));
        assert_int_equal(got.type, type);
        assert_int_equal(got.rank, 1);
        assert_int_equal(got.dim[0], 5);
        assert_memory_equal(got.data, values, bytes);
    }
}

static void test_an_old_file_stays_until_commit(void **state) {
    struct fixture *f = *state;
    size_t dim = 1, n;
    char *path = in_folder(f, "old.npy");
    FILE *old = fopen(path, "wb");
    fputs("old", old);
    fclose(old);
    struct npy_writer *w = npy_create(path, NPY_U8, 1, &dim, &f->d);
    assert_true(npy_write(w, "x", 1, &f->d));
    npy_abandon(w);
    assert_string_equal(file_read(f->a, path, 100, &n), "old");
    assert_int_equal(entries(f->folder), 1);
    w = npy_create(path, NPY_U8, 1, &dim, &f->d);
    assert_true(npy_write(w, "x", 1, &f->d) && npy_commit(w, &f->d));
    assert_int_equal(file_read(f->a, path, 1000, &n)[128], 'x');
}

static void test_missing_folders_are_made_and_taken_back(void **state) {
    struct fixture *f = *state;
    size_t dim = 0;
    char *path = in_folder(f, "a/b/c.npy");
    npy_abandon(npy_create(path, NPY_U8, 1, &dim, &f->d));
    assert_int_equal(entries(f->folder), 0);
    struct npy_writer *w = npy_create(path, NPY_U8, 1, &dim, &f->d);
    assert_true(npy_commit(w, &f->d));
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    rmdir(in_folder(f, "a/b"));
    rmdir(in_folder(f, "a"));
}

static void expect_not_created(struct fixture *f, const char *path, const char *reason) {
    size_t dim = 1;
    f->d.list.n = f->d.errors = 0;
    assert_null(npy_create(path, NPY_U8, 1, &dim, &f->d));
    assert_int_equal(f->d.errors, 1);
    const char *message = f->d.list.at[0].message;
    if (!strstr(message, reason)) fail_msg("\"%s\" does not say \"%s\"", message, reason);
}

static void test_places_that_cannot_be_written(void **state) {
    struct fixture *f = *state;
    expect_not_created(f, f->folder, "Is a directory");
    expect_not_created(f, "/proc/nowhere/x.npy",
                       "cannot make the folder `/proc/nowhere`");
    FILE *file = fopen(in_folder(f, "file"), "wb");
    fclose(file);
    expect_not_created(f, in_folder(f, "file/x.npy"), "Not a directory");
    assert_int_equal(entries(f->folder), 1);
}

static void test_a_full_disk_is_told(void **state) {
    struct fixture *f = *state;
    size_t dim = 4096;
    static const uint8_t zeros[4096];
    if (access("/dev/full", W_OK) != 0) skip();
    char *path = in_folder(f, "full.npy");
    struct npy_writer *w = npy_create(path, NPY_U8, 1, &dim, &f->d);
    assert_non_null(w);
    char *temp = arena_printf(f->a, "%s/.full.npy.ddg-%ld", f->folder, (long)getpid());
    assert_int_equal(access(temp, F_OK), 0);
    // Let the writer's descriptor lead to the device that is always full.
    struct stat st, open_file;
    assert_int_equal(stat(temp, &st), 0);
    FILE *full = fopen("/dev/full", "wb");
    for (int fd = 3; fd < 64; fd++)
        if (fstat(fd, &open_file) == 0 && open_file.st_ino == st.st_ino)
            dup2(fileno(full), fd);
    assert_false(npy_write(w, zeros, sizeof zeros, &f->d));
    assert_non_null(strstr(f->d.list.at[0].message, "No space left on device"));
    npy_abandon(w);
    fclose(full);
    assert_int_equal(entries(f->folder), 0);
}

static void test_what_killed_runs_left_is_cleared_away(void **state) {
    struct fixture *f = *state;
    static const char *const left[] = {".x.npy.ddg-1", ".x.npy.ddg-77123"};
    static const char *const kept[] = {".y.npy.ddg-1", ".x.npy.ddg-", ".x.npy.ddg-1a"};
    size_t dim = 1;
    for (size_t i = 0; i < COUNT(left); i++) fclose(fopen(in_folder(f, left[i]), "wb"));
    for (size_t i = 0; i < COUNT(kept); i++) fclose(fopen(in_folder(f, kept[i]), "wb"));
    struct npy_writer *w = npy_create(in_folder(f, "x.npy"), NPY_U8, 1, &dim, &f->d);
    assert_non_null(w);
    assert_int_equal(entries(f->folder), COUNT(kept) + 1);
    assert_true(npy_write(w, "7", 1, &f->d));
    assert_true(npy_commit(w, &f->d));
    for (size_t i = 0; i < COUNT(kept); i++)
        assert_int_equal(access(in_folder(f, kept[i]), F_OK), 0);
}

static void test_a_living_run_is_let_alone(void **state) {
    struct fixture *f = *state;
    size_t dim = 1;
    char *path = in_folder(f, "x.npy"), *other = in_folder(f, ".x.npy.ddg-1");
    struct npy_writer *first = npy_create(path, NPY_U8, 1, &dim, &f->d);
    assert_non_null(first);
    // The lock belongs to the open file, so another name stands for another process.
    char *temp = arena_printf(f->a, "%s/.x.npy.ddg-%ld", f->folder, (long)getpid());
    assert_int_equal(rename(temp, other), 0);
    struct npy_writer *second = npy_create(path, NPY_U8, 1, &dim, &f->d);
    assert_non_null(second);
    assert_int_equal(access(other, F_OK), 0);
    npy_abandon(first);
    npy_abandon(second);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_versions_are_read),
        TEST(test_keys_come_in_any_order),
        TEST(test_refusals_say_why),
        TEST(test_header_longer_than_the_file),
        TEST(test_bytes_are_numpys),
        TEST(test_every_type_round_trips),
        TEST(test_an_old_file_stays_until_commit),
        TEST(test_missing_folders_are_made_and_taken_back),
        TEST(test_places_that_cannot_be_written),
        TEST(test_a_full_disk_is_told),
        TEST(test_what_killed_runs_left_is_cleared_away),
        TEST(test_a_living_run_is_let_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
