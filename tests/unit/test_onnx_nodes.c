// The node tests of the ONNX standard (Debian: libonnx-testdata): small graphs, mostly of
// one op, with inputs and the outputs they must give. And tests of ours of the same kind,
// for what those do not have (tests/data/onnx/make_nodes.py).
//
// Each graph whose ops ddg has is imported in up to three ways, and every way that
// imports must give the right outputs, in shape and in value:
//     constant  the inputs are constants, and the importer folds the graph away
//     whole     inputs are arguments, of the ONNX shape, of a function that is evaluated
//               and compiled; what must be constant (shapes, indices) is
//     rows      the first axis is the batch, and each row is computed by itself; the same
// tests/data/onnx/nodes.txt lists the graphs that only the first takes, those that none
// takes, and those whose numbers are others, each with the reason. It must be exact.
#include "frontend/onnx/onnx.h"
#include "tests/unit/jit.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define STANDARD "/usr/share/libonnx-testdata/data/"
#define OWN      TEST_DATA "/onnx/"
#define LISTED   TEST_DATA "/onnx/nodes.txt"
#define MOST     16 // inputs or outputs of a graph

enum outcome { RAN, CONSTANT, NOT_TAKEN, WRONG };
static const char *const OUTCOMES[] = {"run", "constant", "none", "differs"};

struct tensor { // of a test
    struct onnx_tensor t;
    int64_t data_type;
};

struct node_test {
    struct arena *arena;
    const char *root, *name; // the folder is their sum
    Onnx__ModelProto *msg;
    struct onnx_file file;
    struct tensor in[MOST], want[MOST];
    const char *input[MOST]; // names
    size_t nin, nout;
    const char *why; // it was not taken, or is wrong
};

// ---- reading a test ------------------------------------------------------------------
static const uint8_t *read_bytes(struct arena *a, const char *path, size_t *n) {
    const char *data = file_read(a, path, 1 << 28, n);
    return (const uint8_t *)data;
}

static float half(uint16_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double v = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    if (exponent == 31) v = fraction ? NAN : INFINITY;
    return (float)(h >> 15 ? -v : v);
}

static float bfloat(uint16_t h) {
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void read_element(const Onnx__TensorProto *t, size_t i, float *f, int64_t *n) {
    const uint8_t *raw = t->raw_data.len ? t->raw_data.data : NULL;
    uint16_t h = 0;
    int32_t small = 0;
    double d = 0;
    if (t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
        t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16) {
        if (raw) memcpy(&h, raw + 2 * i, sizeof h);
        else h = (uint16_t)t->int32_data[i];
    }
    switch (t->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        if (raw) memcpy(f, raw + 4 * i, sizeof *f);
        else *f = t->float_data[i];
        return;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        if (raw) memcpy(&d, raw + 8 * i, sizeof d);
        else d = t->double_data[i];
        *f = (float)d;
        return;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16: *f = half(h); return;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16: *f = bfloat(h); return;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        if (raw) memcpy(n, raw + 8 * i, sizeof *n);
        else *n = t->int64_data[i];
        return;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        if (raw) memcpy(&small, raw + 4 * i, sizeof small);
        else small = t->int32_data[i];
        *n = small;
        return;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        *n = raw ? raw[i] != 0 : t->int32_data[i] != 0;
        return;
    default: fail_msg("data type %d", t->data_type);
    }
}

static bool read_tensor(struct node_test *t, const Onnx__TensorProto *p,
                        struct tensor *out) {
    size_t dim[TYPE_MAX_RANK];
    enum elem e;
    out->data_type = p->data_type;
    if (!onnx_elem(p->data_type, &e)) {
        t->why = arena_printf(t->arena, "it is about %s", onnx_elem_name(p->data_type));
        return false;
    }
    if (p->n_dims > TYPE_MAX_RANK) {
        t->why = arena_printf(t->arena, "it has a value of %zu axes", p->n_dims);
        return false;
    }
    for (size_t i = 0; i < p->n_dims; i++) dim[i] = (size_t)p->dims[i];
    out->t.type = type_tensor(e, false, (uint32_t)p->n_dims, dim);
    size_t count = type_count(&out->t.type);
    char *data = arena_alloc(t->arena, size_max(count, 1), elem_size(e));
    for (size_t i = 0; i < count; i++) {
        float f = 0;
        int64_t n = 0;
        read_element(p, i, &f, &n);
        if (e == ELEM_F32) memcpy(data + 4 * i, &f, sizeof f);
        else memcpy(data + 8 * i, &n, sizeof n);
    }
    out->t.data = data;
    out->t.digest = data_digest(&out->t.type, data);
    return true;
}

// The tensors KIND_0.pb, KIND_1.pb, ...; false when ddg has no such type.
static bool read_set(struct node_test *t, const char *kind, struct tensor *out,
                     size_t *n) {
    for (*n = 0; *n < MOST; ++*n) {
        size_t bytes;
        const char *path = arena_printf(t->arena, "%s%s/test_data_set_0/%s_%zu.pb",
                                        t->root, t->name, kind, *n);
        const uint8_t *data = read_bytes(t->arena, path, &bytes);
        if (!data) return true;
        Onnx__TensorProto *p = onnx__tensor_proto__unpack(NULL, bytes, data);
        assert_non_null(p);
        bool ok = read_tensor(t, p, &out[*n]);
        onnx__tensor_proto__free_unpacked(p, NULL);
        if (!ok) return false;
    }
    fail_msg("%s has more than %d tensors", t->name, MOST);
    return false;
}

static bool ops_known(const Onnx__GraphProto *g) {
    for (size_t i = 0; i < g->n_node; i++)
        if (*onnx_domain(g->node[i]->domain) || !onnx_op_find(g->node[i]->op_type))
            return false;
    return g->n_node > 0;
}

static bool all_tensors(struct node_test *t, Onnx__ValueInfoProto *const *v, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (v[i]->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
            t->why = "it is about values that are no tensors";
    return !t->why;
}

static bool read_sets(struct node_test *t) {
    const Onnx__GraphProto *g = t->msg->graph;
    bool ok =
        all_tensors(t, g->input, g->n_input) && all_tensors(t, g->output, g->n_output) &&
        read_set(t, "input", t->in, &t->nin) && read_set(t, "output", t->want, &t->nout);
    if (ok && t->nout != g->n_output) fail_msg("%s: %zu outputs", t->name, t->nout);
    return ok;
}

// Old files list stored tensors among the inputs.
static bool is_stored(const Onnx__GraphProto *g, const char *name) {
    for (size_t i = 0; i < g->n_initializer; i++)
        if (strcmp(g->initializer[i]->name, name) == 0) return true;
    return false;
}

// ---- the graph as a file -------------------------------------------------------------
static int compare_names(const void *a, const void *b) {
    return strcmp(((const struct onnx_name *)a)->name,
                  ((const struct onnx_name *)b)->name);
}

static void add_name(struct node_test *t, const char *name, enum onnx_from from,
                     size_t index, size_t output) {
    if (*name)
        VEC_PUSH(t->arena, &t->file.names, (struct onnx_name){name, from, index, output});
}

static bool read_graph(struct node_test *t) {
    const Onnx__GraphProto *g = t->file.graph = t->msg->graph;
    t->file.opset = onnx_opset(t->msg->opset_import, t->msg->n_opset_import);
    t->file.tensors = NEW_N(t->arena, struct onnx_tensor, g->n_initializer);
    t->file.roles = NEW_N(t->arena, struct onnx_role, g->n_initializer);
    for (size_t i = 0; i < g->n_initializer; i++) {
        struct tensor stored;
        t->file.roles[i].part = PART_CONST;
        if (!read_tensor(t, g->initializer[i], &stored)) return false;
        t->file.tensors[i] = stored.t;
        add_name(t, g->initializer[i]->name, FROM_TENSOR, i, 0);
    }
    size_t inputs = 0;
    for (size_t i = 0; i < g->n_input; i++) {
        if (is_stored(g, g->input[i]->name)) continue;
        add_name(t, g->input[i]->name, FROM_INPUT, i, 0);
        assert_true(inputs < t->nin);
        t->input[inputs++] = g->input[i]->name;
    }
    assert_int_equal(inputs, t->nin);
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t j = 0; j < g->node[i]->n_output; j++)
            add_name(t, g->node[i]->output[j], FROM_NODE, i, j);
    qsort(t->file.names.at, t->file.names.n, sizeof *t->file.names.at, compare_names);
    return true;
}

// ---- one way of importing ------------------------------------------------------------
enum how { AS_CONSTANT, AS_WHOLE, AS_ROWS };

struct way {
    struct node_test *t;
    enum how how[MOST]; // of each input
    size_t rows;        // in the batch
    struct import im;
    struct diags d;
    struct onnx_log log;
    struct onnx_val out[MOST];
    const struct func *f;
};

static struct onnx_val *value_named(struct import *im, const char *name) {
    const struct onnx_name *n = onnx_find(im->file, name);
    assert_non_null(n);
    return &im->values[n - im->file->names.at];
}

static struct onnx_val bind_input(struct way *w, size_t i) {
    const struct onnx_tensor *t = &w->t->in[i].t;
    struct type type = t->type;
    const char *name = w->t->input[i];
    struct onnx_val v = {.form = FORM_FIXED};
    if (w->how[i] == AS_CONSTANT) {
        v.id = b_const_at(&w->im.b, type, t->data, t->digest);
        return v;
    }
    if (w->how[i] == AS_ROWS) {
        v.form = FORM_ROWS;
        type = type_tensor(type.elem, true, type.rank - 1, type.dim + 1);
    }
    type.rows = true;
    v.id = b_input(&w->im.b, name, type);
    return v;
}

static bool import_node(struct way *w, const Onnx__NodeProto *n) {
    const Onnx__AttributeProto *a = NULL;
    struct tensor value;
    w->im.node = n;
    w->im.value = NULL;
    for (size_t i = 0; i < n->n_attribute; i++)
        if (strcmp(n->attribute[i]->name, "value") == 0) a = n->attribute[i];
    if (a && a->t) {
        if (!read_tensor(w->t, a->t, &value)) return false;
        w->im.value = arena_dup(w->t->arena, &value.t, 1, sizeof value.t);
    }
    return onnx_import_node(&w->im, n);
}

static bool import_graph(struct way *w) {
    struct node_test *t = w->t;
    const Onnx__GraphProto *g = t->file.graph;
    diags_init(&w->d, t->arena);
    w->log = (struct onnx_log){.d = &w->d, .at = NO_SPAN, .where = "it"};
    w->im = (struct import){.arena = t->arena, .log = &w->log, .file = &t->file};
    w->im.budget = 1 << 22;
    w->im.opset = t->file.opset;
    w->im.values = NEW_N(t->arena, struct onnx_val, t->file.names.n);
    builder_init(&w->im.b, t->arena, "node");
    for (size_t i = 0; i < t->nin; i++)
        *value_named(&w->im, t->input[i]) = bind_input(w, i);
    bool ok = true;
    for (size_t i = 0; ok && i < g->n_node; i++) ok = import_node(w, g->node[i]);
    for (size_t i = 0; ok && i < t->nout; i++) {
        w->out[i] = *value_named(&w->im, g->output[i]->name);
        ok = w->out[i].form != FORM_NONE;
        if (ok) build_output(&w->im.b, g->output[i]->name, w->out[i].id);
        else t->why = arena_printf(t->arena, "output %zu is not computed", i + 1);
    }
    if (w->d.list.n) t->why = w->d.list.at[0].message;
    return ok;
}

// ---- comparing -----------------------------------------------------------------------
static bool wrong(struct way *w, const char *what, size_t output, const char *detail) {
    w->t->why = arena_printf(w->t->arena, "%s, output %zu: %s", what, output, detail);
    return false;
}

// The shape of an output, the batch as the number of rows it had.
static bool check_shape(struct way *w, size_t i) {
    int64_t dim[TYPE_MAX_RANK + 1];
    size_t rank = val_shape(&w->im, w->out[i], dim);
    const struct type *t = &w->t->want[i].t.type;
    bool same = rank == t->rank && val_type(&w->im, w->out[i])->elem == t->elem;
    for (size_t k = 0; same && k < rank; k++) {
        int64_t d =
            onnx_is_batch(dim[k]) ? (int64_t)(onnx_batch_of(dim[k]) * w->rows) : dim[k];
        same = d == (int64_t)t->dim[k];
    }
    return same ||
           wrong(w, "shape", i,
                 arena_printf(w->t->arena, "%s, should be %s",
                              val_text(&w->im, w->out[i]), type_str(w->t->arena, t)));
}

// What the standard asks for: 1e-3 of each element; of f32, 1e-4 of the largest.
static double tolerance(const struct tensor *want, double v, double largest) {
    if (want->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16) return 1e-3 * fabs(v);
    return 1e-7 + 1e-4 * largest;
}

static bool same_floats(struct way *w, const char *what, size_t i, const float *got,
                        size_t n) {
    const float *want = w->t->want[i].t.data;
    double largest = 0;
    for (size_t k = 0; k < n; k++)
        if (isfinite(want[k])) largest = fmax(largest, fabs((double)want[k]));
    for (size_t k = 0; k < n; k++) {
        double d = fabs((double)got[k] - (double)want[k]);
        if (got[k] == want[k] || (isnan(got[k]) && isnan(want[k]))) continue;
        if (d <= tolerance(&w->t->want[i], (double)want[k], largest)) continue;
        return wrong(w, what, i,
                     arena_printf(w->t->arena, "element %zu is %g, should be %g", k,
                                  (double)got[k], (double)want[k]));
    }
    return true;
}

// Multiples of the batch mean numbers.
static bool same_integers(struct way *w, const char *what, size_t i, const int64_t *got,
                          size_t n) {
    const int64_t *want = w->t->want[i].t.data;
    for (size_t k = 0; k < n; k++) {
        int64_t v =
            onnx_is_batch(got[k]) ? (int64_t)(onnx_batch_of(got[k]) * w->rows) : got[k];
        if (v != want[k])
            return wrong(w, what, i,
                         arena_printf(w->t->arena, "element %zu is %lld, should be %lld",
                                      k, (long long)v, (long long)want[k]));
    }
    return true;
}

// Row values stand one after the other, as a value whose first axis is the batch lies.
static bool same_values(struct way *w, const char *what, void *const *got) {
    for (size_t i = 0; i < w->t->nout; i++) {
        const struct type *t = &w->t->want[i].t.type;
        const struct type *node = type_at(w->f, w->f->outs.at[i]);
        size_t n = type_count(t), size = elem_size(t->elem);
        char *all = arena_alloc(w->t->arena, size_max(n, 1), size);
        // A node that is no row value is the same for all rows.
        size_t row = type_bytes(node), stride = node->rows ? row : 0;
        for (size_t r = 0; row && r * row < n * size; r++)
            memcpy(all + r * row, (const char *)got[i] + r * stride, row);
        bool same = t->elem == ELEM_F32
                        ? same_floats(w, what, i, (const float *)(void *)all, n)
                        : same_integers(w, what, i, (const int64_t *)(void *)all, n);
        if (!same) return false;
    }
    return true;
}

// ---- running -------------------------------------------------------------------------
static void arguments(const struct way *w, const void **args) {
    size_t n = 0;
    for (nid v = 0; v < w->f->nodes.n; v++) {
        const struct node *node = node_at(w->f, v);
        for (size_t i = 0; node->op == OP_INPUT && i < w->t->nin; i++)
            if (strcmp(w->t->input[i], attr_str(node, "name")) == 0)
                args[n++] = w->t->in[i].t.data;
    }
}

static void **room(const struct way *w) {
    void **out = NEW_N(w->t->arena, void *, w->t->nout);
    for (size_t i = 0; i < w->t->nout; i++) {
        size_t n = type_bytes(type_at(w->f, w->f->outs.at[i])) * w->rows;
        out[i] = arena_alloc(w->t->arena, n + 64, 64);
        memset(out[i], 0xa5, n + 64);
    }
    return out;
}

static bool evaluate(struct way *w) {
    const void *args[MOST];
    void **out = room(w);
    arguments(w, args);
    if (!eval_func(w->f, w->rows, args, out, NULL))
        return wrong(w, "evaluator", 0, "it cannot be evaluated");
    return same_values(w, "evaluator", out);
}

static bool compile_and_run(struct way *w) {
    const void *args[MOST];
    void **out = room(w);
    struct jit j;
    bool ok = jit_compile(&j, w->t->arena, (struct func *)(uintptr_t)w->f, &w->d);
    arguments(w, args);
    if (ok) {
        jit_run(&j, w->rows, 0, args, out);
        ok = same_values(w, "compiled", out);
    } else {
        wrong(w, "compiled", 0, w->d.list.n ? w->d.list.at[0].message : "no reason");
    }
    jit_free(&j);
    return ok;
}

// Whether the function computes anything: at least one output depends on an input.
static bool computes(const struct way *w) {
    for (size_t i = 0; i < w->t->nout; i++)
        if (type_at(w->f, w->f->outs.at[i])->rows) return true;
    return false;
}

// Kernels do not write what is there already: an op that does nothing has no code.
static bool has_code(const struct way *w) {
    for (size_t i = 0; i < w->t->nout; i++) {
        enum op op = node_at(w->f, w->f->outs.at[i])->op;
        if (op == OP_INPUT || op_is_constant(op)) return false;
    }
    return true;
}

static enum outcome try_way(struct way *w) {
    if (!import_graph(w)) return NOT_TAKEN;
    for (size_t i = 0; i < w->t->nout; i++) {
        // Rows that do not stand first would have to be gathered to be compared.
        bool moved = w->out[i].form == FORM_ROWS && (w->out[i].at || w->out[i].merged);
        if (!check_shape(w, i)) return WRONG;
        if (moved && w->rows > 1) {
            w->t->why = "its result has the batch elsewhere";
            return NOT_TAKEN;
        }
    }
    w->f = builder_finish(&w->im.b);
    if (!evaluate(w)) return WRONG;
    if (!computes(w)) return CONSTANT;
    return !has_code(w) || compile_and_run(w) ? RAN : WRONG;
}

// ---- all ways ------------------------------------------------------------------------
static bool can_be_rows(const struct node_test *t, size_t i) {
    const struct type *a = &t->in[0].t.type, *b = &t->in[i].t.type;
    return a->rank > 0 && b->rank > 0 && a->dim[0] == b->dim[0] && a->dim[0] > 0;
}

// Which inputs vary in attempt k: all of them, those of floats, the first.
static bool varies(const struct node_test *t, size_t k, size_t i) {
    if (type_count(&t->in[i].t.type) == 0) return false;
    return k == 0 || i == 0 || (k == 1 && t->in[i].t.type.elem == ELEM_F32);
}

// The first attempt that imports says how it went.
static enum outcome attempt(struct node_test *t, enum how how, const char **why) {
    enum outcome o = NOT_TAKEN;
    for (size_t k = 0; o == NOT_TAKEN && k < 3; k++) {
        struct way w = {.t = t, .rows = 1};
        for (size_t i = 0; i < t->nin; i++)
            if (varies(t, k, i) && (how != AS_ROWS || can_be_rows(t, i))) w.how[i] = how;
        if (how == AS_ROWS && t->nin && can_be_rows(t, 0))
            w.rows = t->in[0].t.type.dim[0];
        o = try_way(&w);
        if (how == AS_CONSTANT || !t->nin) break;
    }
    *why = t->why;
    return o;
}

static enum outcome try_all_ways(struct node_test *t, const char **why) {
    static const char *const WAYS[] = {"constant", "whole", "rows"};
    enum outcome best = NOT_TAKEN;
    const char *reason;
    for (int how = AS_CONSTANT; how <= AS_ROWS; how++) {
        enum outcome o = attempt(t, (enum how)how, &reason);
        if (o != RAN)
            *why = arena_printf(t->arena, "%s: %s", WAYS[how], reason ? reason : "");
        if (o == WRONG) return WRONG;
        if (o < best) best = o;
    }
    return best;
}

// ---- the list ------------------------------------------------------------------------
struct listed {
    const char *name;
    enum outcome outcome;
};
struct list {
    VEC(struct listed) at;
};

// Lines of NAME OUTCOME REASON; # begins a comment.
static void read_list(struct arena *a, struct list *out) {
    size_t n;
    char *text = file_read(a, LISTED, 1 << 20, &n);
    assert_non_null(text);
    text = arena_strndup(a, text, n);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char name[128], outcome[16];
        if (*line == '#') continue;
        if (sscanf(line, "%127s %15s", name, outcome) != 2) fail_msg("%s", line);
        int o = CONSTANT;
        while (o <= WRONG && strcmp(outcome, OUTCOMES[o]) != 0) o++;
        if (o > WRONG) fail_msg("%s", line);
        VEC_PUSH(a, &out->at, (struct listed){arena_strdup(a, name), (enum outcome)o});
    }
}

static enum outcome expected(struct list *l, const char *name) {
    for (size_t i = 0; i < l->at.n; i++)
        if (strcmp(l->at.at[i].name, name) == 0) return l->at.at[i].outcome;
    return RAN;
}

static bool test_folder(const char *root, const char *name, struct list *l,
                        size_t *counts) {
    struct arena *a = arena_new();
    struct node_test t = {.arena = a, .root = root, .name = name};
    size_t bytes;
    const char *why = NULL;
    const uint8_t *data =
        read_bytes(a, arena_printf(a, "%s%s/model.onnx", root, name), &bytes);
    if (data) t.msg = onnx__model_proto__unpack(NULL, bytes, data);
    bool ok = true;
    if (t.msg && ops_known(t.msg->graph)) {
        enum outcome o = NOT_TAKEN, want = expected(l, name);
        if (read_sets(&t) && read_graph(&t)) o = try_all_ways(&t, &why);
        else why = t.why;
        counts[o]++;
        ok = o == want;
        if (!ok)
            print_error("%-50s %s (%s expected): %s\n", name, OUTCOMES[o], OUTCOMES[want],
                        why ? why : "");
    }
    if (t.msg) onnx__model_proto__free_unpacked(t.msg, NULL);
    arena_free(a);
    return ok;
}

// All tests in a folder of them. Prints how they went.
static void test_all(const char *root, const char *kind, struct list *l) {
    struct dirent **folders;
    struct arena *a = arena_new();
    size_t counts[4] = {0}, wrong_ones = 0;
    int n = scandir(arena_printf(a, "%s%s", root, kind), &folders, NULL, alphasort);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        const char *name = folders[i]->d_name;
        if (strncmp(name, "test_", 5) == 0)
            wrong_ones +=
                !test_folder(root, arena_printf(a, "%s/%s", kind, name), l, counts);
        free(folders[i]);
    }
    free(folders);
    arena_free(a);
    print_message("%s: %zu run, %zu constant, %zu not taken, %zu differ\n", kind,
                  counts[RAN], counts[CONSTANT], counts[NOT_TAKEN], counts[WRONG]);
    assert_int_equal(wrong_ones, 0);
}

static void nodes_give_what_the_standard_says(void **state) {
    static const char *const KINDS[] = {"node", "pytorch-converted", "pytorch-operator",
                                        "simple"};
    (void)state;
    if (access(STANDARD, R_OK) != 0) {
        print_message("libonnx-testdata is not installed\n");
        skip();
    }
    struct arena *a = arena_new();
    struct list l = {0};
    read_list(a, &l);
    for (size_t i = 0; i < COUNT(KINDS); i++) test_all(STANDARD, KINDS[i], &l);
    arena_free(a);
}

static void newer_nodes_give_what_onnxruntime_says(void **state) {
    (void)state;
    struct arena *a = arena_new();
    struct list l = {0};
    read_list(a, &l);
    test_all(OWN, "nodes", &l);
    arena_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_give_what_the_standard_says),
        cmocka_unit_test(newer_nodes_give_what_onnxruntime_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
