// What the programs of this project share: ending with words where something is not as it
// should be, and reading labels from a result's folder.
#ifndef CHECK_H
#define CHECK_H

#include <ddg.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(cond)                                                                     \
    do {                                                                                 \
        if (cond) break;                                                                 \
        fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);               \
        exit(1);                                                                         \
    } while (0)

static inline void expect_no_error(ddg_error *e) {
    if (!e) return;
    fputs(ddg_error_text(e), stderr);
    exit(1);
}

static inline ddg_array array_of(const ddg_result *r, size_t i, enum ddg_part part) {
    ddg_error *e = NULL;
    ddg_array a = {DDG_UINT8, 0, {0}, NULL};
    ddg_result_array(r, i, part, &a, &e);
    expect_no_error(e);
    return a;
}

// The numbers of folder/labels.npy are those of the array: 128 bytes of header, then f32.
static inline void expect_labels(const ddg_array *a, const char *folder) {
    char path[1024];
    snprintf(path, sizeof path, "%s/labels.npy", folder);
    size_t n = a->shape[0] * a->shape[1] * sizeof(float);
    char *bytes = malloc(n + 129);
    FILE *f = fopen(path, "rb");
    EXPECT(bytes && f && a->rank == 2 && a->element == DDG_FLOAT32);
    EXPECT(fread(bytes, 1, n + 129, f) == n + 128);
    EXPECT(memcmp(bytes + 128, a->data, n) == 0);
    fclose(f);
    free(bytes);
}

#endif
