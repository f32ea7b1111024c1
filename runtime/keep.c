// See keep.h.
#include "runtime/keep.h"

static char *word(const struct keep *k, const char *s) {
    return arena_strdup(k->arena, s);
}

void keep_describe(struct keep *k, size_t which, const struct plan_save *p,
                   const char *const *class_names, size_t nclasses) {
    struct keep_save *s = &k->at[which];
    const char **names = NEW_N(k->arena, const char *, nclasses);
    for (size_t i = 0; i < nclasses; i++) names[i] = word(k, class_names[i]);
    *s = (struct keep_save){.to = word(k, p->to),
                            .images = p->images,
                            .rank = p->rank + 1,
                            .labels = p->images ? p->labels : 0,
                            .nclasses = nclasses,
                            .class_names = names};
    memcpy(s->dim + 1, p->dim, p->rank * sizeof *p->dim);
}

// ---- memory --------------------------------------------------------------------------
// rows * each elements of so many bytes.
static void *array(size_t rows, size_t each, size_t bytes, bool *ok) {
    size_t n;
    bool fits = size_mul(rows, each, &n) && size_mul(n, bytes, &n);
    void *p = *ok && fits ? mem_alloc(n) : NULL;
    *ok = p != NULL;
    return p;
}

static bool too_large(const struct keep_save *s, const struct plan_save *p,
                      struct diags *d) {
    diag_error(d, p->span, "there is no memory to keep the %zu rows of `%s`", s->rows,
               s->to);
    return diag_help(d, "save them to files only");
}

bool keep_begin(struct keep *k, size_t which, const struct plan_save *p, size_t rows,
                struct diags *d) {
    struct keep_save *s = &k->at[which];
    size_t each;
    bool ok = size_product(p->dim, p->rank, &each);
    s->rows = s->dim[0] = rows;
    if (!k->arrays) return true;
    if (p->images) {
        s->pixels = array(rows, each, sizeof *s->pixels, &ok);
        s->classes = array(rows, 1, sizeof *s->classes, &ok);
        if (s->labels) s->soft = array(rows, s->labels, sizeof *s->soft, &ok);
    } else {
        s->values = array(rows, each, sizeof *s->values, &ok);
    }
    return ok || too_large(s, p, d);
}

void keep_free(struct keep *k) {
    for (size_t i = 0; i < k->n; i++) {
        struct keep_save *s = &k->at[i];
        mem_free(s->pixels);
        mem_free(s->classes);
        mem_free(s->soft);
        mem_free(s->values);
    }
    k->n = 0;
}

// ---- rows ----------------------------------------------------------------------------
void keep_image(struct keep *k, size_t which, size_t row, uint32_t cls,
                const uint8_t *pixels, const float *soft) {
    struct keep_save *s = &k->at[which];
    if (!k->arrays) return;
    CHECK(row < s->rows && cls < s->nclasses);
    size_t n = s->dim[1] * s->dim[2] * s->dim[3];
    memcpy(s->pixels + row * n, pixels, n);
    s->classes[row] = (int32_t)cls;
    if (s->soft) memcpy(s->soft + row * s->labels, soft, s->labels * sizeof *soft);
}

void keep_values(struct keep *k, size_t which, size_t row, const char *values,
                 size_t bytes) {
    struct keep_save *s = &k->at[which];
    if (!k->arrays) return;
    size_t each = sizeof *s->values;
    for (size_t i = 1; i < s->rank; i++) each *= s->dim[i];
    CHECK(bytes % each == 0 && row + bytes / each <= s->rows);
    memcpy((char *)s->values + row * each, values, bytes);
}
