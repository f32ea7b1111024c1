// The ONNX reader on files that libFuzzer makes up: no crash, no leak, no hang, and what
// is accepted is a function that verifies and, where it is small, evaluates.
//
//     fuzz_onnx -max_len=16000 -timeout=10 CORPUS tests/data/onnx
//
// Bytes alone rarely get past the wire format, so half of the inputs are made by changing
// a network that unpacks: other ops, other wires, other numbers.
#include "frontend/onnx.h"
#include "ir/eval.h"
#include "ir/text.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed);

// ---- running -------------------------------------------------------------------------
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
        if (!size_add(work, cost, &work) || work > 1 << 20) return false;
    }
    return true;
}

static void use(struct arena *a, const struct func *f) {
    struct text why = {.arena = a};
    if (!ir_verify(f, FAMILY_TENSOR, &why)) BUG("accepted, does not verify: %s", why.at);
    const struct type *x = type_at(f, 0), *y = type_at(f, f->outs.at[0]);
    if (!small(f)) return;
    float *in = NEW_N(a, float, type_count(x)), *out = NEW_N(a, float, type_count(y));
    CHECK(eval_func(f, 1, (const void *[]){in}, (void *[]){out}, NULL));
}

static void load(struct arena *a, const char *path, size_t channels) {
    static const double MEAN[8], STD[] = {1, 1, 1, 1, 1, 1, 1, 1};
    struct model_options o = {.path = path, .mean = MEAN, .std = STD};
    o.nmean = o.nstd = channels;
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
    int fd = memfd_create("onnx", 0);
    CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    struct arena *a = arena_new();
    const char *path = arena_printf(a, "/proc/self/fd/%d", fd);
    for (size_t channels = 1; channels <= 3; channels++) load(a, path, channels);
    arena_free(a);
    close(fd);
    return 0;
}

// ---- changing networks ---------------------------------------------------------------
struct dice {
    uint64_t state;
};

static size_t roll(struct dice *d, size_t n) { // splitmix64
    uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return n ? (size_t)((z ^ z >> 31) % n) : 0;
}

static int64_t number(struct dice *d) {
    static const int64_t ODD[] = {
        0, 1, 2,       3,         -1,        -2,        4,
        7, 8, 1 << 20, INT32_MAX, INT64_MAX, INT64_MIN, -(INT64_C(1) << 40)};
    return ODD[roll(d, COUNT(ODD))];
}

static void set_string(char **s, const char *to) {
    char *copy = strdup(to);
    free(*s);
    *s = copy;
}

// The name of some value of the graph.
static const char *some_value(struct dice *d, const Onnx__GraphProto *g) {
    size_t i = roll(d, g->n_node + g->n_initializer + g->n_input);
    if (i < g->n_node && g->node[i]->n_output) return g->node[i]->output[0];
    if (i < g->n_node) return "";
    i -= g->n_node;
    const char *s = i < g->n_initializer ? g->initializer[i]->name
                                         : g->input[i - g->n_initializer]->name;
    return s ? s : "";
}

static void change_attr(struct dice *d, Onnx__NodeProto *n) {
    static const char *const NAMES[] = {"axis",  "axes",  "perm",  "keepdims",
                                        "group", "pads",  "to",    "alpha",
                                        "value", "start", "transB"};
    if (!n->n_attribute) return;
    Onnx__AttributeProto *a = n->attribute[roll(d, n->n_attribute)];
    if (roll(d, 8) == 0) set_string(&a->name, NAMES[roll(d, COUNT(NAMES))]);
    if (a->n_ints) a->ints[roll(d, a->n_ints)] = number(d);
    a->i = number(d);
    a->f = (float)number(d);
}

static void change_node(struct dice *d, Onnx__GraphProto *g) {
    if (!g->n_node) return;
    Onnx__NodeProto *n = g->node[roll(d, g->n_node)];
    const Onnx__NodeProto *other = g->node[roll(d, g->n_node)];
    switch (roll(d, 5)) {
    case 0: change_attr(d, n); return;
    case 1: set_string(&n->op_type, other->op_type ? other->op_type : ""); return;
    case 2:
        if (n->n_input) set_string(&n->input[roll(d, n->n_input)], some_value(d, g));
        return;
    case 3: {
        static const char *const OPS[] = {"Size",          "Shape",
                                          "Expand",        "Where",
                                          "Equal",         "Range",
                                          "Squeeze",       "ReduceSum",
                                          "Transpose",     "Concat",
                                          "Pad",           "Gather",
                                          "Slice",         "Split",
                                          "GlobalMaxPool", "Softmax",
                                          "Flatten",       "Cast",
                                          "MatMul",        "Reshape",
                                          "Unsqueeze",     "LayerNormalization",
                                          "Pow",           "Clip",
                                          "Div",           "ConstantOfShape"};
        set_string(&n->op_type, OPS[roll(d, COUNT(OPS))]);
        return;
    }
    default:
        if (n->n_input > 1) free(n->input[--n->n_input]);
        return;
    }
}

static void change_tensor(struct dice *d, Onnx__GraphProto *g) {
    if (!g->n_initializer) return;
    Onnx__TensorProto *t = g->initializer[roll(d, g->n_initializer)];
    ProtobufCBinaryData *raw = &t->raw_data;
    int64_t v = number(d);
    if (roll(d, 2) && t->n_dims > 1) { // the same elements in another shape
        int64_t first = t->dims[0];
        t->dims[0] = t->dims[t->n_dims - 1];
        t->dims[t->n_dims - 1] = first;
    } else if (raw->len >= sizeof v) {
        memcpy(raw->data + roll(d, raw->len / sizeof v) * sizeof v, &v, sizeof v);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t max, unsigned seed) {
    struct dice d = {seed};
    const char *why;
    if (roll(&d, 2) || n == 0 || !onnx_wire_ok(data, n, &why))
        return LLVMFuzzerMutate(data, n, max);
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, n, data);
    if (!m) return LLVMFuzzerMutate(data, n, max);
    for (size_t i = 0; m->graph && i <= roll(&d, 4); i++)
        if (roll(&d, 4)) change_node(&d, m->graph);
        else change_tensor(&d, m->graph);
    size_t size = onnx__model_proto__get_packed_size(m);
    if (size <= max) n = onnx__model_proto__pack(m, data);
    onnx__model_proto__free_unpacked(m, NULL);
    return n;
}
