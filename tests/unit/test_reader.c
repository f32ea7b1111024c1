// Readers over folders and batches made here: which rows there are, in which order, and
// what is said when a folder is not what it should be.
#include "runtime/image.h"
#include "runtime/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"

#define IMAGES TEST_DATA "/images/"
#define RECORD 3073

// ---- making data --------------------------------------------------------------------
static void folder(struct fixture *f, const char *name) {
    assert_int_equal(mkdir(path_of(f, name), 0777), 0);
}

static void file(struct fixture *f, const char *name, const void *data, size_t n) {
    FILE *out = fopen(path_of(f, name), "wb");
    assert_non_null(out);
    fwrite(data, 1, n, out);
    fclose(out);
}

static void copy(struct fixture *f, const char *image, const char *name) {
    size_t n;
    char *data = file_read(f->a, arena_printf(f->a, IMAGES "%s", image), 1 << 20, &n);
    assert_non_null(data);
    file(f, name, data, n);
}

// A batch of n records whose labels are given as digits; pixels follow from the number.
static uint8_t *batch(struct fixture *f, const char *labels) {
    size_t n = strlen(labels);
    uint8_t *b = arena_alloc(f->a, n, RECORD);
    for (size_t i = 0; i < n; i++) {
        b[i * RECORD] = (uint8_t)(labels[i] - '0');
        for (size_t k = 1; k < RECORD; k++)
            b[i * RECORD + k] = (uint8_t)(i * 50 + k * k / 9);
    }
    return b;
}

static void batch_file(struct fixture *f, const char *name, const char *labels) {
    file(f, name, batch(f, labels), strlen(labels) * RECORD);
}

// ---- looking at readers -------------------------------------------------------------
static struct reader *open_reader(struct fixture *f, const char *name, size_t size,
                                  size_t limit) {
    struct reader_options o = {path_of(f, name), size, limit, NO_SPAN};
    f->d.list.n = f->d.errors = 0;
    return reader_open(&o, &f->d);
}

static struct reader *must_open(struct fixture *f, const char *name, size_t size,
                                size_t limit) {
    struct reader *r = open_reader(f, name, size, limit);
    if (!r) fail_msg("%s", f->d.list.at[0].message);
    return r;
}

// All rows as "class:name class:name ...".
static const char *rows_of(struct fixture *f, const struct reader *r) {
    struct text t = {.arena = f->a};
    char name[300];
    text_add(&t, "%s", "");
    for (size_t i = 0; i < reader_rows(r); i++) {
        reader_row_name(r, i, name, sizeof name);
        text_add(&t, "%s%u:%s", i ? " " : "", reader_class(r, i), name);
    }
    return t.at;
}

static void expect_refused(struct fixture *f, const char *name, const char *reason) {
    assert_null(open_reader(f, name, 8, SIZE_MAX));
    assert_true(f->d.errors > 0);
    const char *message = f->d.list.at[0].message;
    if (!strstr(message, reason)) fail_msg("\"%s\" does not say \"%s\"", message, reason);
}

// ---- class folders ------------------------------------------------------------------
static void make_folders(struct fixture *f) {
    folder(f, "set");
    folder(f, "set/b");
    folder(f, "set/B");
    folder(f, "set/.hidden");
    folder(f, "set/b/nested");
    copy(f, "jpeg444.jpg", "set/b/2.jpg");
    copy(f, "png_2_8.png", "set/b/10.PNG");
    copy(f, "jpeg_grey.jpg", "set/b/1.JpEg");
    copy(f, "jpeg444.jpg", "set/b/.x.jpg");
    copy(f, "jpeg444.jpg", "set/b/nested/deep.jpg");
    copy(f, "jpeg444.jpg", "set/B/z.jpg");
    copy(f, "jpeg444.jpg", "set/loose.jpg");
    file(f, "set/b/notes.txt", "x", 1);
    file(f, "set/b/jpg", "x", 1);
}

static void test_rows_are_in_byte_order(void **state) {
    struct fixture *f = *state;
    make_folders(f);
    struct reader *r = must_open(f, "set", 8, SIZE_MAX);
    assert_int_equal(reader_classes(r), 2);
    assert_string_equal(reader_class_name(r, 0), "B");
    assert_string_equal(reader_class_name(r, 1), "b");
    assert_string_equal(rows_of(f, r), "0:B/z.jpg 1:b/1.JpEg 1:b/10.PNG 1:b/2.jpg");
    reader_close(r);
}

static void test_limit_is_per_class(void **state) {
    struct fixture *f = *state;
    make_folders(f);
    struct reader *r = must_open(f, "set", 8, 2);
    assert_string_equal(rows_of(f, r), "0:B/z.jpg 1:b/1.JpEg 1:b/10.PNG");
    reader_close(r);
}

static void test_links_are_followed(void **state) {
    struct fixture *f = *state;
    make_folders(f);
    assert_int_equal(symlink("../b/2.jpg", path_of(f, "set/B/a.jpg")), 0);
    assert_int_equal(symlink("gone.jpg", path_of(f, "set/B/broken.jpg")), 0);
    assert_int_equal(symlink("b", path_of(f, "set/c")), 0);
    struct reader *r = must_open(f, "set", 8, 2);
    assert_int_equal(reader_classes(r), 3);
    assert_string_equal(rows_of(f, r), "0:B/a.jpg 0:B/broken.jpg 1:b/1.JpEg 1:b/10.PNG "
                                       "2:c/1.JpEg 2:c/10.PNG");
    struct decoder *d = decoder_new();
    uint8_t a[192], b[192];
    char why[200];
    assert_true(reader_load(r, d, 0, a, NULL, why, sizeof why));
    assert_false(reader_load(r, d, 1, b, NULL, why, sizeof why));
    assert_string_equal(why,
                        "B/broken.jpg: cannot open the file: No such file or directory");
    decoder_free(d);
    reader_close(r);
}

static void test_row_names_are_cut(void **state) {
    struct fixture *f = *state;
    make_folders(f);
    struct reader *r = must_open(f, "set", 8, SIZE_MAX);
    char name[5];
    reader_row_name(r, 0, name, sizeof name);
    assert_string_equal(name, "B/z.");
    reader_close(r);
}

static void test_what_is_wrong_with_a_folder(void **state) {
    struct fixture *f = *state;
    expect_refused(f, "none", "none`: No such file or directory");
    folder(f, "empty");
    expect_refused(f, "empty", "has no class folders");
    copy(f, "jpeg444.jpg", "empty/a.jpg");
    expect_refused(f, "empty", "has no class folders");
    assert_non_null(strstr(f->d.list.at[0].help, "a folder of its own"));
    expect_refused(f, "empty/a.jpg", "is not a folder of images");
    folder(f, "empty/one");
    folder(f, "empty/two");
    file(f, "empty/two/x.gif", "x", 1);
    expect_refused(f, "empty", "class `one` has no images");
    assert_int_equal(f->d.errors, 2); // every such class is named
    assert_non_null(strstr(f->d.list.at[1].message, "class `two` has no images"));
    assert_non_null(strstr(f->d.list.at[1].help, ".jpg, .jpeg or .png"));
}

static void test_errors_point_at_the_op(void **state) {
    struct fixture *f = *state;
    struct source s = {"f.ddg", "images(\"none\")", 14};
    struct reader_options o = {"none", 8, SIZE_MAX, {&s, 0, 14}};
    assert_null(reader_open(&o, &f->d));
    assert_ptr_equal(f->d.list.at[0].span.file, &s);
    assert_int_equal(f->d.list.at[0].span.end, 14);
}

static void test_pixels_and_keys(void **state) {
    struct fixture *f = *state;
    make_folders(f);
    struct reader *r = must_open(f, "set", 8, SIZE_MAX), *r9 = must_open(f, "set", 9, 1);
    struct decoder *d = decoder_new();
    uint8_t got[192], want[192];
    struct digest z, two, grey, z9;
    char why[200];
    assert_true(reader_load(r, d, 0, got, &z, why, sizeof why));
    assert_true(reader_load(r, d, 3, NULL, &two, why, sizeof why));
    assert_true(reader_load(r, d, 1, NULL, &grey, why, sizeof why));
    assert_true(reader_load(r9, d, 0, NULL, &z9, why, sizeof why));
    assert_true(digest_eq(z, two)); // the same bytes under another name and class
    assert_false(digest_eq(z, grey));
    size_t n;
    char *bytes = file_read(f->a, IMAGES "jpeg444.jpg", 1 << 20, &n);
    assert_true(digest_eq(z, digest_of(bytes, n)) && digest_eq(z, z9));
    // The same bytes at another size are another row.
    assert_true(digest_eq(reader_key(r, z), digest_join(z, (struct digest){8, 0})));
    assert_false(digest_eq(reader_key(r, z), reader_key(r9, z)));
    struct image image;
    assert_true(image_decode((uint8_t *)bytes, n, &image, why, sizeof why));
    assert_true(image_fit(&image, 8, want));
    assert_memory_equal(got, want, sizeof want);
    mem_free(image.data);
    decoder_free(d);
    reader_close(r);
    reader_close(r9);
}

static void test_bad_images_name_their_row(void **state) {
    struct fixture *f = *state;
    folder(f, "set");
    folder(f, "set/c");
    size_t n;
    char *bytes = file_read(f->a, IMAGES "jpeg444.jpg", 1 << 20, &n);
    file(f, "set/c/a.jpg", bytes, n / 2);
    file(f, "set/c/b.jpg", "", 0);
    file(f, "set/c/c.png", "GIF89a", 6);
    struct reader *r = must_open(f, "set", 8, SIZE_MAX);
    struct decoder *d = decoder_new();
    static const char *const reasons[] = {
        "c/a.jpg: truncated JPEG", "c/b.jpg: the file is empty", "c/c.png: a GIF image"};
    for (size_t i = 0; i < COUNT(reasons); i++) {
        uint8_t pixels[192];
        struct digest key;
        char why[200];
        assert_false(reader_load(r, d, i, pixels, &key, why, sizeof why));
        if (strncmp(why, reasons[i], strlen(reasons[i])) != 0) fail_msg("%s", why);
        assert_true(reader_load(r, d, i, NULL, &key, why, sizeof why)); // bytes are bytes
    }
    char tiny[4] = "";
    assert_false(reader_load(r, d, 0, (uint8_t[192]){0}, NULL, tiny, sizeof tiny));
    assert_string_equal(tiny, "c/a");
    decoder_free(d);
    reader_close(r);
}

static void test_special_files_do_not_block(void **state) {
    struct fixture *f = *state;
    folder(f, "set");
    folder(f, "set/c");
    assert_int_equal(mkfifo(path_of(f, "set/c/pipe.jpg"), 0666), 0);
    struct reader *r = must_open(f, "set", 8, SIZE_MAX);
    struct decoder *d = decoder_new();
    char why[200];
    assert_false(reader_load(r, d, 0, NULL, NULL, why, sizeof why));
    assert_string_equal(why, "c/pipe.jpg: not a regular file");
    decoder_free(d);
    reader_close(r);
}

static void test_huge_files_are_refused(void **state) {
    struct fixture *f = *state;
    folder(f, "set");
    folder(f, "set/c");
    file(f, "set/c/a.jpg", "", 0);
    if (truncate(path_of(f, "set/c/a.jpg"), ((off_t)256 << 20) + 1) != 0) skip();
    struct reader *r = must_open(f, "set", 8, SIZE_MAX);
    struct decoder *d = decoder_new();
    char why[200];
    assert_false(reader_load(r, d, 0, NULL, NULL, why, sizeof why));
    assert_string_equal(why, "c/a.jpg: the file is larger than 256 MiB");
    decoder_free(d);
    reader_close(r);
}

// ---- CIFAR batches ------------------------------------------------------------------
static void test_batches_are_in_file_order(void **state) {
    struct fixture *f = *state;
    folder(f, "cifar");
    batch_file(f, "cifar/data_batch_2.bin", "19");
    batch_file(f, "cifar/data_batch_1.bin", "3013");
    batch_file(f, "cifar/test_batch.bin", "7");
    struct reader *r = must_open(f, "cifar", 32, SIZE_MAX);
    assert_int_equal(reader_classes(r), 10);
    assert_string_equal(reader_class_name(r, 3), "3");
    assert_string_equal(rows_of(f, r), "3:data_batch_1.bin:0 0:data_batch_1.bin:1 "
                                       "1:data_batch_1.bin:2 3:data_batch_1.bin:3 "
                                       "1:data_batch_2.bin:0 9:data_batch_2.bin:1");
    reader_close(r);
    r = must_open(f, "cifar", 32, 1); // of each class, over all files
    assert_string_equal(rows_of(f, r), "3:data_batch_1.bin:0 0:data_batch_1.bin:1 "
                                       "1:data_batch_1.bin:2 9:data_batch_2.bin:1");
    reader_close(r);
    r = must_open(f, "cifar/test_batch.bin", 32, SIZE_MAX);
    assert_string_equal(rows_of(f, r), "7:test_batch.bin:0");
    reader_close(r);
}

static void test_batch_pixels(void **state) {
    struct fixture *f = *state;
    batch_file(f, "x.bin", "40");
    const uint8_t *record = batch(f, "40") + RECORD;
    struct decoder *d = decoder_new();
    uint8_t pixels[3072], small[192], rgb[3072], want[192];
    struct digest key, again;
    char why[200];
    struct reader *r = must_open(f, "x.bin", 32, SIZE_MAX);
    assert_true(reader_load(r, d, 1, pixels, &key, why, sizeof why));
    assert_memory_equal(pixels, record + 1, sizeof pixels);
    assert_true(reader_load(r, d, 1, NULL, &again, why, sizeof why));
    assert_true(digest_eq(key, again));
    assert_true(
        digest_eq(key, digest_of(record + 1, 3072))); // the label is no part of it
    assert_true(reader_load(r, d, 0, NULL, &again, why, sizeof why));
    assert_false(digest_eq(key, again));
    reader_close(r);
    r = must_open(f, "x.bin", 8, SIZE_MAX);
    assert_true(reader_load(r, d, 1, small, NULL, why, sizeof why));
    for (size_t i = 0; i < 3072; i++) rgb[i % 1024 * 3 + i / 1024] = record[1 + i];
    assert_true(image_fit(&(struct image){32, 32, rgb}, 8, want));
    assert_memory_equal(small, want, sizeof want);
    reader_close(r);
    decoder_free(d);
}

static void test_batch_class_names(void **state) {
    struct fixture *f = *state;
    batch_file(f, "x.bin", "2");
    file(f, "batches.meta.txt", "a\r\nb\n\nc\nd\ne\nf\ng\nh\ni\nj\n\n", 24);
    struct reader *r = must_open(f, "x.bin", 32, SIZE_MAX);
    assert_string_equal(reader_class_name(r, 0), "a");
    assert_string_equal(reader_class_name(r, 2), "c");
    reader_close(r);
    file(f, "batches.meta.txt", "a\nb\n", 4);
    expect_refused(f, "x.bin", "holds 2 class names; expected 10");
}

static void test_bad_batches(void **state) {
    struct fixture *f = *state;
    const uint8_t *b = batch(f, "01:");
    file(f, "label.bin", b, 3 * RECORD);
    expect_refused(f, "label.bin", "label.bin:2 has the label 10");
    file(f, "size.bin", b, 2 * RECORD - 1);
    expect_refused(f, "size.bin",
                   "6145 bytes is not a whole number of 3073-byte records");
    file(f, "empty.bin", b, 0);
    expect_refused(f, "empty.bin", "0 bytes is not");
}

static void test_batch_cut_after_listing(void **state) {
    struct fixture *f = *state;
    batch_file(f, "x.bin", "123");
    struct reader *r = must_open(f, "x.bin", 32, SIZE_MAX);
    assert_int_equal(truncate(path_of(f, "x.bin"), RECORD + 10), 0);
    struct decoder *d = decoder_new();
    char why[200];
    assert_true(reader_load(r, d, 0, NULL, NULL, why, sizeof why));
    assert_false(reader_load(r, d, 1, NULL, NULL, why, sizeof why));
    assert_string_equal(why, "x.bin:1: the file got shorter");
    decoder_free(d);
    reader_close(r);
}

// ---- stamps -------------------------------------------------------------------------
static bool stamp_of(struct fixture *f, const char *set, size_t row, size_t size,
                     struct digest *stamp) {
    struct reader *r = must_open(f, set, size, SIZE_MAX);
    bool ok = reader_stamp(r, row, stamp);
    reader_close(r);
    return ok;
}

static void link_to(struct fixture *f, const char *to, const char *name) {
    unlink(path_of(f, name));
    assert_int_equal(symlink(to, path_of(f, name)), 0);
}

static void make_settled(struct fixture *f) { // files of the repository, old enough
    folder(f, "set");
    folder(f, "set/c");
    link_to(f, IMAGES "jpeg444.jpg", "set/c/a.jpg");
    link_to(f, IMAGES "jpeg_grey.jpg", "set/c/b.jpg");
    link_to(f, IMAGES "jpeg444.jpg", "set/c/c.jpg");
}

static void test_stamps_are_the_files(void **state) {
    struct fixture *f = *state;
    make_settled(f);
    struct digest a, b, c, again;
    assert_true(stamp_of(f, "set", 0, 8, &a));
    assert_true(stamp_of(f, "set", 1, 8, &b));
    assert_true(stamp_of(f, "set", 2, 8, &c));
    assert_false(digest_eq(a, b));
    assert_true(digest_eq(a, c)); // the same file under another name
    assert_true(stamp_of(f, "set", 0, 9, &again));
    assert_true(digest_eq(a, again)); // a stamp stands for bytes, at whatever size
    link_to(f, IMAGES "jpeg_grey.jpg", "set/c/a.jpg");
    assert_true(stamp_of(f, "set", 0, 8, &again));
    assert_true(digest_eq(b, again));
}

static void test_what_has_no_stamp(void **state) {
    struct fixture *f = *state;
    struct digest s;
    make_settled(f);
    file(f, "set/c/d.jpg", "new", 3);
    assert_false(stamp_of(f, "set", 3, 8, &s));
    struct timespec old[2] = {{1000000000, 0}, {1000000000, 0}};
    assert_int_equal(utimensat(AT_FDCWD, path_of(f, "set/c/d.jpg"), old, 0), 0);
    assert_false(stamp_of(f, "set", 3, 8, &s)); // what was new stays new
    struct reader *r = must_open(f, "set", 8, SIZE_MAX);
    assert_int_equal(unlink(path_of(f, "set/c/a.jpg")), 0);
    assert_false(reader_stamp(r, 0, &s));
    assert_int_equal(mkfifo(path_of(f, "set/c/a.jpg"), 0666), 0);
    assert_false(reader_stamp(r, 0, &s));
    reader_close(r);
}

// Waits until what was just made can be remembered.
static void test_stamps_change_with_files(void **state) {
    struct fixture *f = *state;
    folder(f, "set");
    folder(f, "set/c");
    file(f, "set/c/a.jpg", "bytes", 5);
    file(f, "set/c/b.jpg", "bytes", 5);
    batch_file(f, "x.bin", "123");
    nanosleep(&(struct timespec){2, 100000000}, NULL);
    struct digest a, b = {0}, first, second = {0}, again;
    assert_true(stamp_of(f, "set", 0, 8, &a) && stamp_of(f, "set", 1, 8, &b));
    assert_false(digest_eq(a, b)); // equal content, two files
    struct reader *r = must_open(f, "x.bin", 8, SIZE_MAX);
    assert_true(reader_stamp(r, 0, &first) && reader_stamp(r, 1, &second));
    assert_false(digest_eq(first, second)); // records of one batch
    struct stat st;
    assert_int_equal(stat(path_of(f, "set/c/a.jpg"), &st), 0);
    file(f, "set/c/a.jpg", "BYTES", 5);
    struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path_of(f, "set/c/a.jpg"), times, 0), 0);
    assert_false(stamp_of(f, "set", 0, 8, &again)); // hiding the change does not help
    batch_file(f, "x.bin", "321");
    assert_true(reader_stamp(r, 0, &again) &&
                digest_eq(again, first)); // as it was listed
    assert_false(stamp_of(f, "x.bin", 0, 8, &again));
    reader_close(r);
}

// ---- threads ------------------------------------------------------------------------
struct job {
    const struct reader *reader;
    uint8_t pixels[4][192];
    bool ok;
};

static void *load_all(void *arg) {
    struct job *job = arg;
    struct decoder *d = decoder_new();
    char why[200];
    job->ok = true;
    for (size_t k = 0; k < 200; k++)
        job->ok &=
            reader_load(job->reader, d, k % 4, job->pixels[k % 4], NULL, why, sizeof why);
    decoder_free(d);
    return NULL;
}

static void test_threads_share_a_reader(void **state) {
    struct fixture *f = *state;
    make_folders(f);
    struct reader *r = must_open(f, "set", 8, SIZE_MAX);
    struct job jobs[2] = {{.reader = r}, {.reader = r}};
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, load_all, &jobs[1]), 0);
    load_all(&jobs[0]);
    pthread_join(other, NULL);
    assert_true(jobs[0].ok && jobs[1].ok);
    assert_memory_equal(jobs[0].pixels, jobs[1].pixels, sizeof jobs[0].pixels);
    reader_close(r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_rows_are_in_byte_order),
        TEST(test_limit_is_per_class),
        TEST(test_links_are_followed),
        TEST(test_row_names_are_cut),
        TEST(test_what_is_wrong_with_a_folder),
        TEST(test_errors_point_at_the_op),
        TEST(test_pixels_and_keys),
        TEST(test_bad_images_name_their_row),
        TEST(test_special_files_do_not_block),
        TEST(test_huge_files_are_refused),
        TEST(test_batches_are_in_file_order),
        TEST(test_batch_pixels),
        TEST(test_batch_class_names),
        TEST(test_bad_batches),
        TEST(test_batch_cut_after_listing),
        TEST(test_stamps_are_the_files),
        TEST(test_what_has_no_stamp),
        TEST(test_stamps_change_with_files),
        TEST(test_threads_share_a_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
