// What tests of the C interface share: a small program over a few images, an allocator
// that counts and can be told to fail, and a folder for results.
#ifndef TEST_API_RIG_H
#define TEST_API_RIG_H

#include "include/ddg.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scratch.h"

#include <unistd.h>

#define IMAGES TEST_DATA "/shapes/train"

// Two saves: images with labels, and numbers. `size` shapes code, the others do not.
static const char rig_program[] =
    "param data: string = \"images\"  # one folder a class\n"
    "param limit: int = 2\n"
    "param k: int = 1\n"
    "param temperature: float = 4  # softness of labels\n"
    "param size: int = 8\n"
    "param to: string = \"out\"\n"
    "train = images(data, size = size, limit = limit)\n"
    "teacher = onnx(\"" TEST_DATA "/onnx/pooled.onnx\", mean = [0.5, 0.5, 0.5], "
    "std = [0.25, 0.25, 0.25])\n"
    "hard = loss(teacher, train)\n"
    "best = topk(train, by = hard, k = k, per = class)\n"
    "save(best, labels = relabel(teacher, best, temperature = temperature), to = to)\n"
    "save(hard, to = to + \".npy\")\n";

#define RIG_PARAMS 6

// ---- images --------------------------------------------------------------------------
static const char *const rig_classes[] = {"arrow", "checker", "cross", "heart",
                                          "ring",  "spiral",  "star"};
#define RIG_CLASSES COUNT(rig_classes)

// A folder of two images a class, in the fixture's.
static inline int rig_setup(void **state) {
    if (setup(state) != 0) return -1;
    struct fixture *f = *state;
    mkdir(path_of(f, "images"), 0777);
    for (size_t c = 0; c < RIG_CLASSES; c++) {
        char *folder = arena_printf(f->a, "%s/images/%s", f->root, rig_classes[c]);
        mkdir(folder, 0777);
        for (int i = 0; i < 2; i++) {
            char *from = arena_printf(f->a, IMAGES "/%s/000%d.png", rig_classes[c], i);
            if (symlink(from, arena_printf(f->a, "%s/%d.png", folder, i)) != 0) return -1;
        }
    }
    return 0;
}

// ---- memory --------------------------------------------------------------------------
struct tally { // of an allocator's calls
    pthread_mutex_t lock;
    size_t calls;   // that asked for memory
    size_t fail_at; // the call that gets none, from 1; 0: none
    bool fail_on;   // and all after it
    size_t blocks;  // alive
};

static void *tally_resize(void *ctx, void *p, size_t n) {
    struct tally *t = ctx;
    pthread_mutex_lock(&t->lock);
    size_t call = n ? ++t->calls : 0;
    bool fails = call && t->fail_at &&
                 (call == t->fail_at || (t->fail_on && call > t->fail_at));
    void *to = NULL;
    if (!n) {
        t->blocks -= p != NULL;
        free(p);
    } else if (!fails) {
        to = realloc(p, n);
        t->blocks += to && !p;
    }
    pthread_mutex_unlock(&t->lock);
    return to;
}

static inline struct tally tally_new(void) {
    return (struct tally){.lock = PTHREAD_MUTEX_INITIALIZER};
}

// ---- contexts ------------------------------------------------------------------------
static inline ddg_context *rig_open(struct tally *t, const char *store,
                                    ddg_error **error) {
    ddg_allocator a = {tally_resize, t};
    ddg_options o = {.size = sizeof o,
                     .allocator = t ? &a : NULL,
                     .store = store ? DDG_STORE_AT : DDG_STORE_NONE,
                     .store_path = store};
    return ddg_open(&o, error);
}

// Paths in the program start in the fixture's folder.
static inline ddg_pipeline *rig_compile(ddg_context *c, const struct fixture *f,
                                        ddg_error **error) {
    char name[sizeof f->root + 16];
    snprintf(name, sizeof name, "%s/rig.ddg", f->root);
    return ddg_compile_text(c, name, rig_program, NULL, 0, error);
}

static inline ddg_run_options rig_in_memory(void) {
    return (ddg_run_options){
        .size = sizeof(ddg_run_options), .threads = 1, .no_files = true};
}

// For what must not fail.
static inline void rig_fine(bool ok, ddg_error *e) {
    if (!ok) fail_msg("%s", ddg_error_text(e));
    assert_null(e);
}

// The error's kind and words; frees it.
static inline void rig_wrong(ddg_error **e, enum ddg_error_kind kind, const char *words) {
    assert_non_null(*e);
    if (!strstr(ddg_error_text(*e), words) || (ddg_error_kind)(*e) != kind)
        fail_msg("kind %d, not %d, without \"%s\": %s", (int)(ddg_error_kind)(*e),
                 (int)kind, words, ddg_error_text(*e));
    ddg_error_free(*e);
    *e = NULL;
}

#endif
