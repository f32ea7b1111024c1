// What a training learns from, gathered in memory or in a file (runtime/gather.h).
#include "runtime/gather.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "meter.h"

#define ROWS  100
#define IMAGE 300
#define LABEL 40

static void put_and_read(struct fixture *f, size_t memory, bool mapped) {
    struct gather g = {.rows = ROWS, .image_bytes = IMAGE, .label_bytes = LABEL};
    char image[IMAGE], label[LABEL];
    size_t files = open_files();
    assert_true(gather_begin(&g, memory, &f->d, NO_SPAN));
    assert_int_equal(g.mapped > 0, mapped);
    assert_int_equal(open_files(), files); // the file lives by being mapped
    for (size_t i = ROWS; i-- > 0;) {
        memset(image, (int)i, sizeof image);
        memset(label, (int)(i + 1), sizeof label);
        gather_put(&g, i, image, label);
    }
    for (size_t i = 0; i < ROWS * IMAGE; i++)
        assert_int_equal(g.images[i], (char)(i / IMAGE));
    for (size_t i = 0; i < ROWS * LABEL; i++)
        assert_int_equal(g.labels[i], (char)(i / LABEL + 1));
    assert_int_equal((uintptr_t)g.labels % 64, 0);
    gather_end(&g);
}

static void in_memory_and_in_files(void **state) {
    struct fixture *f = *state;
    put_and_read(f, GATHER_MEMORY, false);
    assert_int_equal(setenv("TMPDIR", f->root, 1), 0);
    put_and_read(f, ROWS * IMAGE, true);
    struct stat st;
    assert_int_equal(stat(f->root, &st), 0);
    assert_int_equal(st.st_nlink, 2); // nothing is left in it
    unsetenv("TMPDIR");
    put_and_read(f, 0, true);
}

static void no_room(void **state) {
    struct fixture *f = *state;
    struct gather g = {.rows = ROWS, .image_bytes = IMAGE};
    assert_int_equal(setenv("TMPDIR", path_of(f, "missing"), 1), 0);
    assert_false(gather_begin(&g, 0, &f->d, NO_SPAN));
    unsetenv("TMPDIR");
    assert_non_null(strstr(f->d.list.at[0].message, "No such file or directory"));
    gather_end(&g);
    g = (struct gather){.rows = SIZE_MAX / 2, .image_bytes = IMAGE};
    assert_false(gather_begin(&g, 0, &f->d, NO_SPAN));
    assert_non_null(strstr(f->d.list.at[1].message, "more memory than there can be"));
    gather_end(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_memory_and_in_files, setup, teardown),
        cmocka_unit_test_setup_teardown(no_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
