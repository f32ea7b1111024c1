// Ops that ddg does not have: all of a file's at once, an error a kind with the nodes it
// is the op of, and what to do about it where that is known.
#include "frontend/onnx/onnx.h"

// ---- what to do ----------------------------------------------------------------------
#define CONTROL                                                                          \
    "ddg takes networks without branches and loops: export it from model.eval() with "   \
    "fixed shapes; tools like onnxsim take out branches whose condition is constant"
#define QUANTIZED                                                                        \
    "ddg computes in float: export the network as it was before quantization"
#define RECURRENT "ddg takes networks of images without recurrent layers"
#define RANDOM    "export the network from model.eval(), where nothing is random"
#define DETECTION                                                                        \
    "ddg takes classifiers: export the part of the network that gives logits"
#define SEQUENCE                                                                         \
    "ddg has no lists of tensors: split with fixed sizes, or export with a newer "       \
    "opset_version"
#define DATA_SHAPE "the shape of its result depends on pixels; ddg needs fixed shapes"

static const struct {
    const char *op, *help;
} HELP[] = {
    {"ArgMax", "export the network without its last ArgMax: ddg takes logits"},
    {"Compress", DATA_SHAPE},
    {"ConcatFromSequence", SEQUENCE},
    {"ConvInteger", QUANTIZED},
    {"ConvTranspose", "the nearest that ddg has is `Resize` and then `Conv`"},
    {"DequantizeLinear", QUANTIZED},
    {"DynamicQuantizeLinear", QUANTIZED},
    {"Einsum", "write it with transpose and matmul and export the network again"},
    {"GRU", RECURRENT},
    {"GridSample", "the nearest op that ddg has is `Resize`, for sizes that are fixed"},
    {"If", CONTROL},
    {"LSTM", RECURRENT},
    {"Loop", CONTROL},
    {"MatMulInteger", QUANTIZED},
    {"NonMaxSuppression", DETECTION},
    {"NonZero", DATA_SHAPE},
    {"QLinearConv", QUANTIZED},
    {"QLinearMatMul", QUANTIZED},
    {"QuantizeLinear", QUANTIZED},
    {"RNN", RECURRENT},
    {"RandomNormal", RANDOM},
    {"RandomNormalLike", RANDOM},
    {"RandomUniform", RANDOM},
    {"RandomUniformLike", RANDOM},
    {"RoiAlign", DETECTION},
    {"Scan", CONTROL},
    {"SequenceAt", SEQUENCE},
    {"SequenceConstruct", SEQUENCE},
    {"SplitToSequence", SEQUENCE},
    {"TopK", DETECTION},
    {"Unique", DATA_SHAPE},
};

// By the beginning of the domain.
static const struct {
    const char *domain, *help;
} DOMAINS[] = {
    {"com.microsoft", "onnxruntime saved the network as it had optimized it for itself; "
                      "take the file that was exported"},
    {"org.pytorch", "export it without ONNX_ATEN_FALLBACK, so that all of it is ONNX"},
    {"ai.onnx.ml", "ddg takes networks of images, no trees and tables"},
    {"pkg.", "the file says that it has this function, and has not; export it again"},
};

static const char *domain_help(const char *domain) {
    for (size_t i = 0; i < COUNT(DOMAINS); i++)
        if (strncmp(domain, DOMAINS[i].domain, strlen(DOMAINS[i].domain)) == 0)
            return DOMAINS[i].help;
    return NULL;
}

static const char *op_help(const char *op) {
    for (size_t i = 0; i < COUNT(HELP); i++)
        if (strcmp(op, HELP[i].op) == 0) return HELP[i].help;
    return NULL;
}

static void add_help(const struct onnx_log *log, const Onnx__NodeProto *n) {
    const char *op = n->op_type ? n->op_type : "", *domain = onnx_domain(n->domain);
    const char *help = *domain ? domain_help(domain) : op_help(op);
    const char *near = onnx_op_near(op);
    if (help) diag_help(log->d, "%s", help);
    else if (near) diag_help(log->d, "did the file mean `%s`?", near);
}

// ---- kinds ---------------------------------------------------------------------------
struct unknown {
    const Onnx__NodeProto *node;
    size_t place; // in the order of the network
};

struct op_kind { // nodes of one op, in the order of the network
    const struct unknown *at;
    size_t n;
};

bool onnx_node_known(const Onnx__NodeProto *n) {
    return !*onnx_domain(n->domain) && n->op_type && onnx_op_find(n->op_type);
}

static int compare_ops(const Onnx__NodeProto *x, const Onnx__NodeProto *y) {
    int by_op = strcmp(x->op_type ? x->op_type : "", y->op_type ? y->op_type : "");
    return by_op ? by_op : strcmp(onnx_domain(x->domain), onnx_domain(y->domain));
}

static int compare_unknown(const void *a, const void *b) {
    const struct unknown *x = a, *y = b;
    int by_op = compare_ops(x->node, y->node);
    return by_op ? by_op : (x->place > y->place) - (x->place < y->place);
}

static int compare_kinds(const void *a, const void *b) {
    const struct op_kind *x = a, *y = b;
    return (x->at->place > y->at->place) - (x->at->place < y->at->place);
}

// The kinds of ops that are not known, in the order of the network; how many.
static size_t find_kinds(const struct onnx_file *f, struct arena *arena,
                         struct op_kind **out) {
    struct unknown *list = NEW_N(arena, struct unknown, f->order.n);
    struct op_kind *kinds = NEW_N(arena, struct op_kind, f->order.n);
    size_t n = 0, nkinds = 0;
    for (size_t i = 0; i < f->order.n; i++) {
        const Onnx__NodeProto *node = f->graph->node[f->order.at[i]];
        if (!onnx_node_known(node)) list[n++] = (struct unknown){node, i};
    }
    qsort(list, n, sizeof *list, compare_unknown);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || compare_ops(list[i - 1].node, list[i].node) != 0)
            kinds[nkinds++] = (struct op_kind){&list[i], 0};
        kinds[nkinds - 1].n++;
    }
    qsort(kinds, nkinds, sizeof *kinds, compare_kinds);
    *out = kinds;
    return nkinds;
}

// ---- errors --------------------------------------------------------------------------
const char *onnx_op_text(const struct onnx_log *log, const Onnx__NodeProto *n) {
    const char *domain = onnx_domain(n->domain), *op = onnx_text(log, n->op_type);
    if (!*domain) return op;
    return arena_printf(log->d->arena, "%s.%s", onnx_text(log, domain), op);
}

static void report(const struct onnx_log *log, const struct op_kind *k) {
    struct text names = {.arena = log->d->arena};
    for (size_t i = 0; i < k->n && i < 3; i++)
        text_add(&names, "%s`%s`", i ? ", " : "",
                 onnx_text(log, onnx_node_name(k->at[i].node)));
    if (k->n > 3) text_add(&names, " and %zu more", k->n - 3);
    onnx_fail(log, "op %s is not supported (node%s %s)", onnx_op_text(log, k->at->node),
              k->n == 1 ? "" : "s", names.at);
    add_help(log, k->at->node);
}

#define LISTED ((size_t)100)

// Those that there is no error left for.
static void report_rest(const struct onnx_log *log, const struct op_kind *kinds,
                        size_t n) {
    struct text ops = {.arena = log->d->arena};
    for (size_t i = 0; i < n && i < LISTED; i++)
        text_add(&ops, "%s%s", i ? ", " : "", onnx_op_text(log, kinds[i].at->node));
    if (n > LISTED) text_add(&ops, " and %zu more", n - LISTED);
    onnx_fail(log, "%zu more ops are not supported: %s", n, ops.at);
}

bool onnx_check_ops(const struct onnx_file *f, struct arena *arena,
                    const struct onnx_log *log) {
    struct op_kind *kinds;
    size_t n = find_kinds(f, arena, &kinds);
    // Errors past the number that is kept would not be seen.
    size_t room = DIAGS_MAX_ERRORS - size_min(log->d->errors, DIAGS_MAX_ERRORS - 1);
    size_t single = n <= room ? n : room - 1;
    for (size_t i = 0; i < single; i++) report(log, &kinds[i]);
    if (single < n) report_rest(log, kinds + single, n - single);
    return n == 0;
}
