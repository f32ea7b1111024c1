// The ONNX reader on files that libFuzzer makes up: no crash, no leak, no hang, and what
// is accepted is a function that verifies, that has a digest, that can be imported at
// another size, and, where it is small, that evaluates and goes through the passes with
// its gradients.
//
//     fuzz_onnx -max_len=16000 -timeout=10 CORPUS tests/data/onnx
//
// Nearly all inputs are networks that were changed as networks (onnx_mutate.h); bytes
// alone rarely get past the wire format. The file lies in a folder of its own beside what
// data files may be called: a file of numbers, a link, a folder.
#include "frontend/onnx/onnx.h"
#include "ir/eval.h"
#include "ir/text.h"
#include "onnx_mutate.h"
#include "passes/pass.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t n1, const uint8_t *data2,
                                 size_t n2, uint8_t *out, size_t max, unsigned seed);

// ---- the folder ----------------------------------------------------------------------
#define PATH 128

static void in_folder(char path[PATH], const char *name) {
    snprintf(path, PATH, "/dev/shm/ddg-fuzz-onnx-%ld/%s", (long)getpid(), name);
}

static void write_file(const char *name, const void *data, size_t n) {
    char path[PATH];
    in_folder(path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    close(fd);
}

// The data file of one of the networks to begin with.
static void copy_file(const char *name) {
    struct arena *a = arena_must();
    const char *path = arena_printf(a, TEST_DATA "/onnx/%s", name);
    size_t n;
    const char *data = file_read(a, path, 1 << 20, &n);
    if (data) write_file(name, data, n);
    arena_free(a);
}

static void clean_up(void) {
    static const char *const NAMES[] = {"net.onnx", "data", "link", "dynamo.onnx.data",
                                        "sub/data", "sub",  ""};
    char path[PATH];
    for (size_t i = 0; i < COUNT(NAMES); i++) {
        in_folder(path, NAMES[i]);
        remove(path);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    char path[PATH];
    float numbers[2048];
    for (size_t i = 0; i < COUNT(numbers); i++) numbers[i] = (float)(i % 7) - 3;
    in_folder(path, "");
    CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
    atexit(clean_up);
    in_folder(path, "sub");
    CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
    write_file("data", numbers, sizeof numbers);
    write_file("sub/data", numbers, 100);
    copy_file("dynamo.onnx.data");
    in_folder(path, "link");
    CHECK(symlink("data", path) == 0 || errno == EEXIST);
    return 0;
}

// ---- what is accepted ----------------------------------------------------------------
#define EVALUATED ((size_t)1 << 20) // elements read, about
#define PASSED    200               // nodes
#define GRADIENTS 4

static const struct target machine = {
    .lanes = 16, .registers = 32, .fma = true, .l1 = 48 << 10, .l2 = 1 << 20};

// A bound on the evaluator's work.
static bool small(const struct func *f) {
    size_t work = 0;
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct node *n = node_at(f, (nid)i);
        size_t inner = 1, cost;
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] != NID_NONE)
                inner = size_max(inner, type_count(type_at(f, n->in[k])));
        if (!size_mul(inner, type_count(&n->type), &cost)) return false;
        if (!size_add(work, cost, &work) || work > EVALUATED) return false;
    }
    return true;
}

static void verify(struct arena *a, const struct func *f, const char *after) {
    struct text why = {.arena = a};
    if (!ir_verify(f, FAMILY_TENSOR, &why))
        BUG("after %s it does not verify: %s", after, why.at);
}

static void evaluate(struct arena *a, const struct func *f) {
    if (!small(f)) return;
    float *in = NEW_N(a, float, type_count(type_at(f, 0)));
    void **outs = NEW_N(a, void *, f->outs.n);
    for (size_t i = 0; i < f->outs.n; i++)
        outs[i] = arena_alloc(a, 1, type_bytes(type_at(f, f->outs.at[i])));
    CHECK(eval_func(f, 1, (const void *[]){in}, outs, NULL));
}

static void add_gradient(struct builder *b, nid y, nid x) {
    nid g = build_node(b, OP_GRAD, (nid[]){y, x}, 2, NULL, NULL);
    CHECK(g != NID_NONE);
    build_output(b, "g", b_sum_all(b, b_binary(b, OP_MUL, g, g)));
}

// The logits and, of the sum of their squares, the squared gradients with respect to the
// image and to a few parameters.
static struct func *with_gradients(struct arena *a, const struct func *net) {
    struct builder b;
    nid logits;
    size_t gradients = 0;
    builder_init(&b, a, "fuzzed");
    nid x = b_input(&b, "x", *type_at(net, 0));
    build_inline(&b, net, &x, &logits, true);
    build_output(&b, "logits", logits);
    nid y = b_sum_all(&b, b_binary(&b, OP_MUL, logits, logits));
    size_t before = b.f->nodes.n;
    add_gradient(&b, y, x);
    for (nid p = 0; p < before && gradients < GRADIENTS; p++) {
        if (node_at(b.f, p)->op != OP_PARAM) continue;
        add_gradient(&b, y, p);
        gradients++;
    }
    return builder_finish(&b);
}

static void pass_through(struct arena *a, const struct func *net) {
    struct diags d;
    struct module m = {.arena = a, .target = &machine};
    diags_init(&d, a);
    if (net->nodes.n > PASSED || !small(net)) return;
    VEC_PUSH(a, &m.funcs, (struct module_func){.f = with_gradients(a, net)});
    for (const struct pass *p = passes; p->name; p++) {
        if (!p->func) continue;
        if (!p->func(&m, &m.funcs.at[0], &d)) return; // no gradient: said
        verify(a, m.funcs.at[0].f, p->name);
        if (strcmp(p->name, "sqnorm") == 0) evaluate(a, m.funcs.at[0].f);
    }
}

static void use(struct arena *a, const struct func *f) {
    verify(a, f, "the import");
    evaluate(a, f);
    pass_through(a, f);
}

static void load(struct arena *a, const char *path) {
    struct model_options o = {.path = path, .plain = true};
    struct diags d;
    diags_init(&d, a);
    const struct model *m = model_load(a, &o, &d);
    if (!m != (d.errors > 0)) BUG("a model and %zu errors", d.errors);
    if (!m) return;
    use(a, m->func);
    const struct func *f = model_at_size(a, m, m->height / 2 + 1, 8, &d, NO_SPAN);
    if (!f != (d.errors > 0)) BUG("a function and %zu errors", d.errors);
    if (f) use(a, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char path[PATH];
    struct arena *a = arena_new();
    write_file("net.onnx", data, n);
    in_folder(path, "net.onnx");
    load(a, path);
    arena_free(a);
    return 0;
}

// ---- making inputs -------------------------------------------------------------------
// Of what libFuzzer has; NULL when it is no network.
static Onnx__ModelProto *unpack(const uint8_t *data, size_t n) {
    return n ? onnx__model_proto__unpack(NULL, n, data) : NULL;
}

// 0 when it does not fit. Frees m.
static size_t pack(Onnx__ModelProto *m, uint8_t *out, size_t max) {
    size_t n = onnx__model_proto__get_packed_size(m);
    if (n <= max) onnx__model_proto__pack(m, out);
    onnx__model_proto__free_unpacked(m, NULL);
    return n <= max ? n : 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed) {
    struct dice d = {seed};
    Onnx__ModelProto *m = roll(&d, 16) ? unpack(data, n) : NULL;
    if (!m) return LLVMFuzzerMutate(data, n, max);
    for (size_t i = roll(&d, 4) + 1; i-- > 0;) mutate(&d, m);
    size_t packed = pack(m, data, max);
    return packed ? packed : LLVMFuzzerMutate(data, n, max);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t n1, const uint8_t *data2,
                                 size_t n2, uint8_t *out, size_t max, unsigned seed) {
    struct dice d = {seed};
    Onnx__ModelProto *to = unpack(data1, n1), *from = to ? unpack(data2, n2) : NULL;
    if (from) cross_over(&d, to, from);
    if (from) onnx__model_proto__free_unpacked(from, NULL);
    return to ? pack(to, out, max) : 0;
}
