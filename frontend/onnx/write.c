// Models to ONNX files. See write.h.
//
// What is subtracted from pixels and divides them is no part of the file, as in what
// PyTorch exports: the file's text says what it was.
#include "frontend/onnx/write.h"
#include "frontend/networks.h"
#include "runtime/outfile.h"

#include <errno.h>
#include <math.h>

// ---- values --------------------------------------------------------------------------
static bool is_stored(const struct node *n) {
    return n->op == OP_PARAM || n->op == OP_CONST;
}

// Parameters have the names that the model has for them; what else there is, others.
static void name_params(struct writing *w) {
    for (size_t i = 0; i < w->f->nodes.n; i++) {
        const struct node *n = node_at(w->f, (nid)i);
        if (n->op == OP_PARAM && w->needed[i])
            w->names[i] = write_name(w, attr_str(n, "name"));
    }
}

static void name_values(struct writing *w) {
    nid out = w->f->outs.at[0];
    name_params(w);
    if (!w->names[out]) w->names[out] = write_name(w, w->f->out_names.at[0]);
    for (size_t i = 0; i < w->f->nodes.n; i++) {
        const struct node *n = node_at(w->f, (nid)i);
        if (!w->needed[i] || w->names[i]) continue;
        const char *wish = n->op == OP_INPUT ? attr_str(n, "name") : n->name;
        if (!wish || !*wish)
            wish = arena_printf(w->arena, "%s_%zu", op_info(n->op)->name, i);
        w->names[i] = write_name(w, wish);
    }
}

static bool all_finite(const struct node *n) {
    const float *v = n->data;
    if (n->type.elem != ELEM_F32) return true;
    for (size_t i = 0; i < type_count(&n->type); i++)
        if (!isfinite(v[i])) return false;
    return true;
}

// Readers take no stored numbers that are not finite: x is a / b with b = 0 where it is
// not.
static void write_quotient(struct writing *w, const char *name, const struct node *n) {
    const char *in[] = {write_temp(w), NULL};
    size_t count = type_count(&n->type);
    float *a = NEW_N(w->arena, float, count), *b = NEW_N(w->arena, float, count);
    for (size_t i = 0; i < count; i++) {
        float v = ((const float *)n->data)[i];
        a[i] = isfinite(v) ? v : isnan(v) ? 0 : v > 0 ? 1 : -1;
        b[i] = isfinite(v) ? 1 : 0;
    }
    write_constant(w, in[0], &n->type, a);
    in[1] = write_temp(w);
    write_constant(w, in[1], &n->type, b);
    write_node(w, "Div", in, 2, name);
}

static void write_stored(struct writing *w, const char *name, const struct node *n) {
    if (n->op == OP_PARAM) write_tensor(w, name, &n->type, n->data);
    else if (all_finite(n)) write_constant(w, name, &n->type, n->data);
    else write_quotient(w, name, n);
}

static bool write_nodes(struct writing *w) {
    for (size_t i = 0; i < w->f->nodes.n; i++) {
        const struct node *n = node_at(w->f, (nid)i);
        if (!w->needed[i] || n->op == OP_INPUT) continue;
        w->node = n;
        if (is_stored(n)) write_stored(w, w->names[i], n);
        else if (w->layers[i]) write_layer(w, (nid)i);
        else if (!write_op(w, (nid)i)) return false;
    }
    return true;
}

// ---- the message ---------------------------------------------------------------------
static Onnx__TensorShapeProto__Dimension *dimension(struct arena *a, const size_t *n) {
    Onnx__TensorShapeProto__Dimension *d = NEW(a, Onnx__TensorShapeProto__Dimension);
    onnx__tensor_shape_proto__dimension__init(d);
    d->value_case = n ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
                      : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
    if (n) d->dim_value = (int64_t)*n;
    else d->dim_param = arena_strdup(a, "N");
    return d;
}

// f32[N,...]
static Onnx__ValueInfoProto *value_info(struct arena *a, const char *name,
                                        const struct type *t) {
    Onnx__TensorShapeProto *shape = NEW(a, Onnx__TensorShapeProto);
    Onnx__TypeProto__Tensor *tensor = NEW(a, Onnx__TypeProto__Tensor);
    Onnx__TypeProto *type = NEW(a, Onnx__TypeProto);
    Onnx__ValueInfoProto *v = NEW(a, Onnx__ValueInfoProto);
    onnx__tensor_shape_proto__init(shape);
    onnx__type_proto__tensor__init(tensor);
    onnx__type_proto__init(type);
    onnx__value_info_proto__init(v);
    shape->n_dim = t->rank + 1;
    shape->dim = NEW_N(a, Onnx__TensorShapeProto__Dimension *, t->rank + 1);
    shape->dim[0] = dimension(a, NULL);
    for (size_t i = 0; i < t->rank; i++) shape->dim[i + 1] = dimension(a, &t->dim[i]);
    tensor->has_elem_type = true;
    tensor->elem_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    tensor->shape = shape;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    v->name = arena_strdup(a, name);
    v->type = type;
    return v;
}

static Onnx__ValueInfoProto **one_value(struct writing *w, nid v) {
    Onnx__ValueInfoProto **list = NEW_N(w->arena, Onnx__ValueInfoProto *, 1);
    list[0] = value_info(w->arena, w->names[v], type_at(w->f, v));
    return list;
}

static Onnx__GraphProto *graph(struct writing *w) {
    Onnx__GraphProto *g = NEW(w->arena, Onnx__GraphProto);
    onnx__graph_proto__init(g);
    g->name = arena_strdup(w->arena, w->f->name);
    g->n_node = w->nodes.n;
    g->node = w->nodes.at;
    g->n_initializer = w->tensors.n;
    g->initializer = w->tensors.at;
    g->n_input = g->n_output = 1;
    g->input = one_value(w, 0);
    g->output = one_value(w, w->f->outs.at[0]);
    return g;
}

static void add_numbers(struct text *t, const double *v, size_t n) {
    for (size_t i = 0; i < n; i++) text_add(t, "%s%.9g", i ? ", " : "", v[i]);
}

static char *doc_string(struct arena *a, const struct model *m) {
    struct text t = {.arena = a};
    text_add(&t,
             "Logits of images. Its input is (pixels / 255 - mean) / std with mean [");
    add_numbers(&t, m->mean, m->channels);
    text_add(&t, "] and std [");
    add_numbers(&t, m->std, m->channels);
    text_add(&t, "].");
    return t.at;
}

static Onnx__ModelProto *message(struct writing *w, const struct model *m) {
    Onnx__OperatorSetIdProto *opset = NEW(w->arena, Onnx__OperatorSetIdProto);
    Onnx__ModelProto *p = NEW(w->arena, Onnx__ModelProto);
    onnx__operator_set_id_proto__init(opset);
    onnx__model_proto__init(p);
    opset->domain = arena_strdup(w->arena, "");
    opset->has_version = true;
    opset->version = WRITE_OPSET;
    p->has_ir_version = true;
    p->ir_version = WRITE_IR_VERSION;
    p->n_opset_import = 1;
    p->opset_import = NEW_N(w->arena, Onnx__OperatorSetIdProto *, 1);
    p->opset_import[0] = opset;
    p->producer_name = arena_strdup(w->arena, "ddg");
    p->producer_version = arena_strdup(w->arena, DDG_VERSION);
    p->doc_string = doc_string(w->arena, m);
    p->graph = graph(w);
    return p;
}

// NULL with w->error for a model that ONNX has no ops for.
static Onnx__ModelProto *model_message(struct writing *w, const struct model *m) {
    size_t n = m->func->nodes.n;
    w->f = m->func;
    w->names = NEW_N(w->arena, const char *, n);
    w->layers = NEW_N(w->arena, const struct write_layer *, n);
    w->needed = NEW_N(w->arena, bool, n);
    CHECK(n > 0 && node_at(w->f, 0)->op == OP_INPUT && w->f->outs.n == 1);
    w->needed[0] = true; // it is the file's input in any case
    write_find_layers(w);
    name_values(w);
    return write_nodes(w) ? message(w, m) : NULL;
}

// ---- the file ------------------------------------------------------------------------
// protobuf-c hands over few bytes at a time, but for the weights.
struct sink {
    ProtobufCBuffer base;
    int fd;
    int error; // an errno
    size_t n;
    uint8_t waiting[1 << 14];
};

static void sink_write(struct sink *s, const uint8_t *data, size_t n) {
    if (!s->error && !out_write(s->fd, data, n)) s->error = errno;
}

static void sink_flush(struct sink *s) {
    sink_write(s, s->waiting, s->n);
    s->n = 0;
}

static void sink_append(ProtobufCBuffer *buffer, size_t n, const uint8_t *data) {
    struct sink *s = (struct sink *)buffer;
    if (n > sizeof s->waiting - s->n) sink_flush(s);
    if (n > sizeof s->waiting) {
        sink_write(s, data, n);
        return;
    }
    memcpy(s->waiting + s->n, data, n);
    s->n += n;
}

static bool write_message(void *ctx, int fd) {
    struct sink s = {.base = {sink_append}, .fd = fd};
    onnx__model_proto__pack_to_buffer(ctx, &s.base);
    sink_flush(&s);
    errno = s.error;
    return !s.error;
}

static bool put(Onnx__ModelProto *p, const char *path, struct diags *d, struct span at) {
    if (onnx__model_proto__get_packed_size(p) > INT32_MAX)
        return diag_error(d, at,
                          "cannot write %s: it would take more than 2 GiB, which no ONNX "
                          "file does",
                          path);
    return out_make(path, write_message, p, d, at);
}

bool model_write(const struct model *m, const char *path, struct diags *d,
                 struct span at) {
    struct arena *arena = arena_must();
    struct cleanup c;
    cleanup_push(&c, arena_drop, arena);
    struct writing w = {.arena = arena};
    Onnx__ModelProto *p = model_message(&w, m);
    bool ok = p ? put(p, path, d, at)
                : diag_error(d, at,
                             "cannot write %s: %s holds %s, which ONNX has no op "
                             "for",
                             path, m->path, w.error);
    cleanup_run(&c);
    return ok;
}
