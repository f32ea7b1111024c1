// From a file to what is known of the network before it is imported: the message and the
// weights, each read once to its place, the graph in order, the input.
#include "frontend/onnx/onnx.h"

// ---- the message ---------------------------------------------------------------------
static void *message_alloc(void *arena, size_t n) {
    return arena_raw(arena, n, 1);
}

static void message_free(void *arena, void *p) {
    (void)arena, (void)p; // the arena is dropped whole
}

ProtobufCAllocator onnx_allocator(struct arena *arena) {
    return (ProtobufCAllocator){message_alloc, message_free, arena};
}

static bool read_message(struct onnx_file *f, const struct onnx_disk *disk,
                         struct arena *arena, const struct onnx_log *log) {
    ProtobufCAllocator in = onnx_allocator(arena);
    struct onnx_skeleton s = {0};
    struct cleanup skeleton;
    if (onnx_foreign(disk, log)) return false;
    cleanup_push(&skeleton, mem_free_at, &s.at);
    bool ok = onnx_wire_read(disk, &s);
    if (ok) f->msg = onnx__model_proto__unpack(&in, s.n, s.at);
    cleanup_run(&skeleton);
    if (!ok) return false;
    if (!f->msg)
        return onnx_fail(log, "is not an ONNX file: a message in it does not parse");
    f->graph = f->msg->graph;
    return f->graph || onnx_fail(log, "is not an ONNX file: it has no graph");
}

const char *onnx_domain(const char *domain) {
    return domain && strcmp(domain, "ai.onnx") != 0 ? domain : "";
}

int64_t onnx_opset(Onnx__OperatorSetIdProto *const *list, size_t n) {
    int64_t version = 0;
    for (size_t i = 0; i < n; i++)
        if (!*onnx_domain(list[i]->domain)) version = list[i]->version;
    return version;
}

bool onnx_opset_known(const struct onnx_log *log, int64_t opset) {
    if (opset >= ONNX_MIN_OPSET && opset <= ONNX_MAX_OPSET) return true;
    if (opset)
        onnx_fail(log, "uses ONNX opset %lld; ddg reads %d to %d", (long long)opset,
                  ONNX_MIN_OPSET, ONNX_MAX_OPSET);
    else onnx_fail(log, "does not say which opset of ONNX it uses");
    return diag_help(log->d, "export it again with opset_version=17");
}

static bool read_opset(struct onnx_file *f, const struct onnx_log *log) {
    f->opset = onnx_opset(f->msg->opset_import, f->msg->n_opset_import);
    return onnx_opset_known(log, f->opset);
}

// ---- the input -----------------------------------------------------------------------
static const Onnx__TypeProto__Tensor *tensor_type(const Onnx__ValueInfoProto *v) {
    bool tensor = v->type && v->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    return tensor ? v->type->tensor_type : NULL;
}

// The number of a dimension; 0 when it is free.
static int64_t dim_value(const Onnx__TensorShapeProto__Dimension *d) {
    bool fixed = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    return fixed ? d->dim_value : 0;
}

static bool read_dims(struct onnx_file *f, const Onnx__TensorShapeProto *shape,
                      const struct onnx_log *log) {
    static const char *const NAMES[] = {"channels", "height", "width"};
    int64_t batch = dim_value(shape->dim[0]);
    if (batch < 0 || batch > INT32_MAX)
        return onnx_fail(log, "its input has a batch of %lld", (long long)batch);
    f->batch = (size_t)batch;
    for (size_t i = 0; i < 3; i++) {
        int64_t d = dim_value(shape->dim[i + 1]);
        if (d == 0) {
            onnx_fail(log, "its input `%s` has no fixed %s", onnx_text(log, f->input),
                      NAMES[i]);
            return diag_help(log->d, "export it with the batch as the one dynamic axis");
        }
        if (d < 1 || d > 65536)
            return onnx_fail(log, "its input has %s = %lld", NAMES[i], (long long)d);
        f->dim[i] = (size_t)d;
    }
    return true;
}

static bool read_input(struct onnx_file *f, const struct onnx_log *log) {
    const struct onnx_name *n = onnx_find(f, f->input);
    const Onnx__TypeProto__Tensor *t = tensor_type(f->graph->input[n->index]);
    const char *name = onnx_text(log, f->input);
    enum elem e;
    if (!t || !t->shape)
        return onnx_fail(log, "its input `%s` is no tensor of known shape", name);
    if (!onnx_elem(t->elem_type, &e) || e != ELEM_F32) {
        onnx_fail(log, "its input `%s` is of type %s; ddg gives networks float images",
                  name, onnx_elem_name(t->elem_type));
        return diag_help(log->d, "export the network without what converts and scales "
                                 "pixels: `mean` and `std` of onnx(...) do that");
    }
    if (t->shape->n_dim != 4)
        return onnx_fail(log,
                         "its input `%s` has %zu axes; ddg gives networks images, with "
                         "the four axes N,C,H,W",
                         name, t->shape->n_dim);
    return read_dims(f, t->shape, log);
}

// ---- tensors -------------------------------------------------------------------------
static bool read_tensors(struct onnx_file *f, struct onnx_disk *disk, struct arena *arena,
                         const struct onnx_log *log) {
    size_t n = f->graph->n_initializer;
    f->tensors = NEW_N(arena, struct onnx_tensor, n);
    for (size_t i = 0; i < n; i++) {
        const Onnx__TensorProto *t = f->graph->initializer[i];
        if (!f->needed[i]) continue;
        const char *what =
            arena_printf(arena, "the tensor `%s`", onnx_text(log, t->name));
        if (!onnx_tensor_read(t, what, disk, arena, log, &f->tensors[i])) return false;
    }
    return true;
}

struct stored { // the tensor in an attribute of a node
    const Onnx__TensorProto *t;
    size_t place; // of the node, in the order
};

static const Onnx__TensorProto *value_of(const Onnx__NodeProto *n) {
    for (size_t i = 0; i < n->n_attribute; i++)
        if (n->attribute[i]->name && strcmp(n->attribute[i]->name, "value") == 0)
            return n->attribute[i]->t;
    return NULL;
}

static int compare_stored(const void *a, const void *b) {
    const struct stored *x = a, *y = b;
    if (x->t != y->t) return (uintptr_t)x->t < (uintptr_t)y->t ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

// By place in the order: the first place that has the same tensor. Calls of one function
// share its tensors, so that they are read once.
static size_t *first_places(const struct onnx_file *f, struct arena *arena) {
    struct stored *list = NEW_N(arena, struct stored, f->order.n);
    size_t *first = NEW_N(arena, size_t, f->order.n);
    for (size_t i = 0; i < f->order.n; i++)
        list[i] = (struct stored){value_of(f->graph->node[f->order.at[i]]), i};
    qsort(list, f->order.n, sizeof *list, compare_stored);
    for (size_t i = 0; i < f->order.n; i++) {
        bool same = i > 0 && list[i].t == list[i - 1].t;
        first[list[i].place] = same ? first[list[i - 1].place] : list[i].place;
    }
    return first;
}

static bool read_values(struct onnx_file *f, struct onnx_disk *disk, struct arena *arena,
                        const struct onnx_log *log) {
    size_t *first = first_places(f, arena);
    f->values = NEW_N(arena, const struct onnx_tensor *, f->order.n);
    for (size_t i = 0; i < f->order.n; i++) {
        const Onnx__NodeProto *n = f->graph->node[f->order.at[i]];
        const Onnx__TensorProto *t = value_of(n);
        if (!t) continue;
        f->values[i] = f->values[first[i]];
        if (first[i] != i) continue;
        const char *what =
            arena_printf(arena, "the tensor of %s `%s`", onnx_text(log, n->op_type),
                         onnx_text(log, onnx_node_name(n)));
        struct onnx_tensor *out = NEW(arena, struct onnx_tensor);
        if (!onnx_tensor_read(t, what, disk, arena, log, out)) return false;
        f->values[i] = out;
    }
    return true;
}

// ---- the file ------------------------------------------------------------------------
struct reading {
    struct onnx_file *f;
    struct arena *arena;
    const struct onnx_log *log;
    bool ok;
};

static bool read_parts(struct onnx_file *f, struct onnx_disk *disk, struct arena *arena,
                       const struct onnx_log *log) {
    f->bytes = disk->bytes;
    if (!read_message(f, disk, arena, log) || !read_opset(f, log)) return false;
    if (!onnx_inline(f, arena, log) || !onnx_graph_read(f, arena, log)) return false;
    if (!read_input(f, log) || !read_tensors(f, disk, arena, log) ||
        !read_values(f, disk, arena, log))
        return false;
    f->bytes += disk->taken;
    return onnx_disk_unchanged(disk);
}

static void read_all(void *ctx) {
    struct reading *r = ctx;
    struct onnx_disk disk;
    struct cleanup close;
    if (!onnx_disk_open(&disk, r->f->path, r->arena, r->log)) return;
    cleanup_push(&close, onnx_disk_close, &disk);
    r->ok = read_parts(r->f, &disk, r->arena, r->log);
    cleanup_run(&close);
}

// Nothing of the files is held when this returns but what was asked of them.
bool onnx_read(struct onnx_file *f, struct arena *arena, const struct onnx_log *log) {
    struct reading r = {.f = f, .arena = arena, .log = log};
    struct scope scope = scope_same();
    enum scope_end end = scope_run(&scope, read_all, &r);
    if (end == SCOPE_BUG) scope_raise(&scope);
    log->d->no_memory |= end == SCOPE_NO_MEMORY;
    return end == SCOPE_DONE ? r.ok : onnx_fail(log, "does not fit into memory");
}
