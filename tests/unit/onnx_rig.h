// What the tests of the ONNX reader share: loading networks, asking them, and making
// wrong files from right ones, which are unpacked, changed and packed again.
#ifndef TEST_ONNX_RIG_H
#define TEST_ONNX_RIG_H

#include "frontend/onnx/onnx.h"
#include "ir/eval.h"
#include "ir/text.h"
#include "runtime/npy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define MODELS TEST_DATA "/onnx/"

static const double MEAN[] = {0.5, 0.4, 0.3}, STD[] = {0.25, 0.5, 1};

struct bench {
    struct arena *arena;
    struct diags diags;
    const char *scratch; // a file of this process
};

static inline int setup(void **state) {
    struct arena *a = arena_new();
    struct bench *b = NEW(a, struct bench);
    b->arena = a;
    diags_init(&b->diags, a);
    b->scratch = arena_printf(a, "/tmp/ddg-test-onnx-%ld.onnx", (long)getpid());
    *state = b;
    return 0;
}

static inline int teardown(void **state) {
    struct bench *b = *state;
    unlink(b->scratch);
    arena_free(b->arena);
    return 0;
}

static inline const struct model *load(struct bench *b, const char *path,
                                       size_t channels) {
    struct model_options o = {.path = path, .mean = MEAN, .std = STD};
    o.nmean = o.nstd = channels;
    diags_init(&b->diags, b->arena);
    return model_load(b->arena, &o, &b->diags);
}

static inline const struct model *load_named(struct bench *b, const char *name,
                                             size_t channels) {
    return load(b, arena_printf(b->arena, MODELS "%s.onnx", name), channels);
}

static inline struct npy array(struct bench *b, const char *path) {
    struct npy a;
    assert_true(npy_read(b->arena, path, &a, NO_SPAN, &b->diags));
    assert_int_equal(a.type, NPY_F32);
    return a;
}

// f's logits for every row of x.
static inline float *logits(struct bench *b, const struct func *f, const struct npy *x) {
    size_t k = type_count(type_at(f, f->outs.at[0]));
    float *out = NEW_N(b->arena, float, x->dim[0] * k);
    assert_true(
        eval_func(f, x->dim[0], (const void *[]){x->data}, (void *[]){out}, NULL));
    return out;
}

static inline void check_logits(struct bench *b, const struct func *f, const char *x_path,
                                const char *y_path) {
    struct npy x = array(b, x_path), y = array(b, y_path);
    const float *got = logits(b, f, &x), *want = y.data;
    double largest = 0;
    assert_int_equal(y.count, x.dim[0] * type_count(type_at(f, f->outs.at[0])));
    for (size_t i = 0; i < y.count; i++) largest = fmax(largest, fabs((double)want[i]));
    for (size_t i = 0; i < y.count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= 1e-5 * largest))
            fail_msg("%s: logit %zu is %g, PyTorch says %g", x_path, i, (double)got[i],
                     (double)want[i]);
}

static inline void check_function(struct bench *b, const struct func *f) {
    struct text why = {.arena = b->arena};
    if (!ir_verify(f, FAMILY_TENSOR, &why)) fail_msg("%s", why.at);
}

// ---- changed files -------------------------------------------------------------------
static inline Onnx__ModelProto *unpack(struct bench *b, const char *name) {
    size_t n;
    const char *path = arena_printf(b->arena, MODELS "%s.onnx", name);
    char *data = file_read(b->arena, path, 1 << 20, &n);
    assert_non_null(data);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, n, (uint8_t *)data);
    assert_non_null(m);
    return m;
}

static inline void write_bytes(struct bench *b, const void *data, size_t n) {
    FILE *f = fopen(b->scratch, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

// Packs and frees m, and loads what was written.
static inline const struct model *reload(struct bench *b, Onnx__ModelProto *m,
                                         size_t channels) {
    size_t n = onnx__model_proto__get_packed_size(m);
    uint8_t *data = NEW_N(b->arena, uint8_t, n);
    onnx__model_proto__pack(m, data);
    onnx__model_proto__free_unpacked(m, NULL);
    write_bytes(b, data, n);
    return load(b, b->scratch, channels);
}

static inline void set_string(char **s, const char *to) {
    free(*s);
    *s = strdup(to);
}

static inline Onnx__NodeProto *node_named(Onnx__ModelProto *m, const char *name) {
    for (size_t i = 0; i < m->graph->n_node; i++)
        if (strcmp(m->graph->node[i]->name, name) == 0) return m->graph->node[i];
    fail_msg("no node %s", name);
    return NULL;
}

static inline Onnx__TensorProto *tensor_named(Onnx__ModelProto *m, const char *name) {
    for (size_t i = 0; i < m->graph->n_initializer; i++)
        if (strcmp(m->graph->initializer[i]->name, name) == 0)
            return m->graph->initializer[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static inline Onnx__AttributeProto *attr_named(Onnx__NodeProto *n, const char *name) {
    for (size_t i = 0; i < n->n_attribute; i++)
        if (strcmp(n->attribute[i]->name, name) == 0) return n->attribute[i];
    fail_msg("no attribute %s", name);
    return NULL;
}

static inline Onnx__AttributeProto *add_int(Onnx__NodeProto *n, const char *name,
                                            int64_t v) {
    Onnx__AttributeProto *a = malloc(sizeof *a);
    onnx__attribute_proto__init(a);
    a->name = strdup(name);
    a->has_type = a->has_i = true;
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    a->i = v;
    n->attribute = realloc(n->attribute, (n->n_attribute + 1) * sizeof *n->attribute);
    n->attribute[n->n_attribute++] = a;
    return a;
}

#endif
