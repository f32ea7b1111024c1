// Nodes, attributes and tensors of the ONNX files that are written. See write.h.
#include "frontend/onnx/write.h"

// ---- names ---------------------------------------------------------------------------
static bool taken(const struct writing *w, const char *name) {
    for (size_t i = 0; i < w->tensors.n; i++)
        if (strcmp(w->tensors.at[i]->name, name) == 0) return true;
    for (size_t i = 0; i < w->f->nodes.n; i++)
        if (w->names[i] && strcmp(w->names[i], name) == 0) return true;
    return false;
}

const char *write_name(struct writing *w, const char *wish) {
    const char *name = wish;
    while (taken(w, name)) name = arena_printf(w->arena, "%s_%zu", wish, ++w->temps);
    return name;
}

const char *write_temp(struct writing *w) {
    return write_name(w, arena_printf(w->arena, "temp_%zu", ++w->temps));
}

// ---- tensors -------------------------------------------------------------------------
static int32_t data_type(enum elem e) {
    switch (e) {
    case ELEM_F32: return ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    case ELEM_I32: return ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    case ELEM_I64: return ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    case ELEM_U8: return ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
    case ELEM_U64:
    case ELEM_BF16:
    case ELEM_COUNT: break;
    }
    BUG("%s in a network", elem_name(e));
}

static Onnx__TensorProto *tensor(struct writing *w, const char *name,
                                 const struct type *t, const void *data) {
    Onnx__TensorProto *p = NEW(w->arena, Onnx__TensorProto);
    onnx__tensor_proto__init(p);
    p->name = arena_strdup(w->arena, name);
    p->has_data_type = true;
    p->data_type = data_type(t->elem);
    p->n_dims = t->rank;
    p->dims = NEW_N(w->arena, int64_t, t->rank);
    for (size_t i = 0; i < t->rank; i++) p->dims[i] = (int64_t)t->dim[i];
    p->has_raw_data = true;
    p->raw_data.len = type_bytes(t);
    p->raw_data.data = (uint8_t *)(uintptr_t)data; // read only
    return p;
}

void write_tensor(struct writing *w, const char *name, const struct type *t,
                  const void *data) {
    VEC_PUSH(w->arena, &w->tensors, tensor(w, name, t, data));
}

static const Onnx__TensorProto *ints_like(const struct writing *w, const int64_t *v,
                                          size_t n) {
    for (size_t i = 0; i < w->tensors.n; i++) {
        const Onnx__TensorProto *t = w->tensors.at[i];
        if (t->data_type == data_type(ELEM_I64) && t->n_dims == 1 &&
            t->raw_data.len == n * sizeof *v &&
            memcmp(t->raw_data.data, v, n * sizeof *v) == 0)
            return t;
    }
    return NULL;
}

const char *write_ints(struct writing *w, const int64_t *v, size_t n) {
    const Onnx__TensorProto *same = ints_like(w, v, n);
    if (same) return same->name;
    struct type t = type_tensor(ELEM_I64, false, 1, &n);
    const char *name = write_name(w, arena_printf(w->arena, "ints_%zu", w->tensors.n));
    write_tensor(w, name, &t, arena_dup(w->arena, v, n, sizeof *v));
    return name;
}

const char *write_number(struct writing *w, enum elem e, double v) {
    struct type t = type_scalar(e, false);
    const char *name = write_temp(w);
    float f = (float)v;
    int64_t i = (int64_t)v;
    CHECK(e == ELEM_F32 || e == ELEM_I64);
    const void *data = e == ELEM_F32 ? (const void *)&f : &i;
    write_constant(w, name, &t, arena_dup(w->arena, data, 1, elem_size(e)));
    return name;
}

// ---- nodes ---------------------------------------------------------------------------
static bool has_node(const struct writing *w, const char *name) {
    for (size_t i = 0; i < w->nodes.n; i++)
        if (strcmp(w->nodes.at[i]->name, name) == 0) return true;
    return false;
}

// Each once, as onnxruntime wants it: "layer1.0.relu", then "layer1.0.relu/Relu".
static char *node_name(struct writing *w, const char *op, const char *wish) {
    const char *name = wish;
    if (has_node(w, name)) name = arena_printf(w->arena, "%s/%s", wish, op);
    for (size_t i = 1; has_node(w, name); i++)
        name = arena_printf(w->arena, "%s/%s_%zu", wish, op, i);
    return arena_strdup(w->arena, name);
}

Onnx__NodeProto *write_node(struct writing *w, const char *op, const char *const *in,
                            size_t nin, const char *out) {
    Onnx__NodeProto *n = NEW(w->arena, Onnx__NodeProto);
    onnx__node_proto__init(n);
    n->op_type = arena_strdup(w->arena, op);
    n->name = node_name(w, op, w->node->name ? w->node->name : out);
    n->n_input = nin;
    n->input = NEW_N(w->arena, char *, nin);
    for (size_t i = 0; i < nin; i++) n->input[i] = arena_strdup(w->arena, in[i]);
    n->n_output = 1;
    n->output = NEW_N(w->arena, char *, 1);
    n->output[0] = arena_strdup(w->arena, out);
    VEC_PUSH(w->arena, &w->nodes, n);
    return n;
}

static Onnx__AttributeProto *add_attr(struct writing *w, Onnx__NodeProto *n,
                                      const char *name,
                                      Onnx__AttributeProto__AttributeType type) {
    Onnx__AttributeProto *a = NEW(w->arena, Onnx__AttributeProto);
    onnx__attribute_proto__init(a);
    a->name = arena_strdup(w->arena, name);
    a->has_type = true;
    a->type = type;
    size_t bytes = n->n_attribute * sizeof *n->attribute;
    Onnx__AttributeProto **all =
        NEW_N(w->arena, Onnx__AttributeProto *, n->n_attribute + 1);
    if (bytes) memcpy(all, n->attribute, bytes);
    all[n->n_attribute++] = a;
    n->attribute = all;
    return a;
}

void write_attr_int(struct writing *w, Onnx__NodeProto *n, const char *name, int64_t v) {
    Onnx__AttributeProto *a =
        add_attr(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    a->has_i = true;
    a->i = v;
}

void write_attr_float(struct writing *w, Onnx__NodeProto *n, const char *name, double v) {
    Onnx__AttributeProto *a =
        add_attr(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    a->has_f = true;
    a->f = (float)v;
}

void write_attr_ints(struct writing *w, Onnx__NodeProto *n, const char *name,
                     const int64_t *v, size_t count) {
    Onnx__AttributeProto *a =
        add_attr(w, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    a->n_ints = count;
    a->ints = arena_dup(w->arena, v, count, sizeof *v);
}

void write_constant(struct writing *w, const char *name, const struct type *t,
                    const void *data) {
    Onnx__AttributeProto *a =
        add_attr(w, write_node(w, "Constant", NULL, 0, name), "value",
                 ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR);
    a->t = tensor(w, name, t, data);
}

// A 0 in the shape keeps the batch as it is.
void write_reshape(struct writing *w, const char *x, bool rows, const size_t *dim,
                   size_t rank, const char *out) {
    int64_t shape[TYPE_MAX_RANK + 1] = {0};
    for (size_t i = 0; i < rank; i++) shape[i + rows] = (int64_t)dim[i];
    write_node(w, "Reshape", (const char *[]){x, write_ints(w, shape, rank + rows)}, 2,
               out);
}
