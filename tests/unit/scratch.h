// What tests that make files share: an arena, diagnostics, and a folder that is removed
// with all it holds.
#ifndef TEST_SCRATCH_H
#define TEST_SCRATCH_H

#include "runtime/base/diag.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    struct arena *a;
    struct diags d;
    char root[64];
};

static inline int setup(void **state) {
    struct arena *a = arena_new();
    struct fixture *f = NEW(a, struct fixture);
    f->a = a;
    diags_init(&f->d, a);
    strcpy(f->root, "/tmp/ddg-test-XXXXXX");
    *state = f;
    return mkdtemp(f->root) ? 0 : -1;
}

// In memory where there is such a folder: for many trials that each make a database and
// sync it.
static inline int setup_in_memory(void **state) {
    int rc = setup(state);
    struct fixture *f = *state;
    char root[] = "/dev/shm/ddg-test-XXXXXX";
    if (rc == 0 && mkdtemp(root)) {
        rmdir(f->root);
        strcpy(f->root, root);
    }
    return rc;
}

static inline int remove_one(const char *path, const struct stat *st, int kind,
                             struct FTW *ftw) {
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static inline int teardown(void **state) {
    struct fixture *f = *state;
    int failed = nftw(f->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    arena_free(f->a);
    return failed;
}

static inline char *path_of(struct fixture *f, const char *name) {
    return arena_printf(f->a, "%s/%s", f->root, name);
}

#endif
