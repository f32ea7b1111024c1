// What the op functions share: errors that name the node, making IR nodes from operands
// that nobody has checked yet, looking at values, reading attributes.
#include "frontend/onnx/onnx.h"

#include <math.h>

bool op_fail(struct import *im, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *message = arena_vprintf(im->arena, fmt, ap);
    va_end(ap);
    return onnx_fail(im->log, "%s `%s` %s", im->op->name,
                     onnx_text(im->log, onnx_node_name(im->node)), message);
}

// ---- making nodes --------------------------------------------------------------------
bool op_charge(struct import *im, size_t n) {
    if (n <= im->budget) {
        im->budget -= n;
        return true;
    }
    return op_fail(im, "computes with constants far larger than the file");
}

// About how many steps the evaluator takes for a node.
static size_t fold_cost(const struct import *im, enum op op, const nid *in, size_t nin,
                        const struct type *out) {
    size_t cost = type_count(out), inner = 1;
    for (size_t i = 0; i < nin; i++) cost += type_count(type_at(im->b.f, in[i]));
    const struct type *x = type_at(im->b.f, in[0]);
    const struct type *last = type_at(im->b.f, in[nin - 1]);
    if (op == OP_MATMUL) inner = size_max(x->dim[0], x->dim[1]);
    if (op == OP_CONV) inner = type_count(last);
    if (op == OP_MAXPOOL || op == OP_AVGPOOL) inner = type_count(x);
    return size_mul(cost, inner, &cost) ? cost : SIZE_MAX;
}

// Folding happens while the node is built, so what it will cost is asked for before.
static bool charge_folding(struct import *im, enum op op, const nid *in, size_t nin,
                           const struct value *attrs) {
    const struct type **types = NEW_N(im->arena, const struct type *, nin);
    for (size_t i = 0; i < nin; i++) {
        if (node_at(im->b.f, in[i])->op != OP_CONST) return true;
        types[i] = type_at(im->b.f, in[i]);
    }
    struct rule_ctx c = {.arena = im->arena, .ins = types, .nin = nin, .attrs = attrs};
    struct type out;
    if (!op_info(op)->rule(&c, &out) || !type_count_ok(&out))
        return true; // build_node says
    return op_charge(im, fold_cost(im, op, in, nin, &out));
}

// The name of a constant folded from others: that of the largest, the first of equals. A
// bias's name says more than that of the number it is scaled by.
static const char *folded_name(const struct import *im, const nid *in, size_t nin) {
    const struct node *best = NULL;
    for (size_t i = 0; i < nin; i++) {
        const struct node *n = node_at(im->b.f, in[i]);
        if (n->op != OP_CONST) return NULL;
        if (!n->name) continue;
        if (!best || type_count(&n->type) > type_count(&best->type)) best = n;
    }
    return best ? best->name : NULL;
}

nid op_make(struct import *im, enum op op, const nid *in, size_t nin,
            const struct value *attrs) {
    for (size_t i = 0; i < nin; i++)
        if (in[i] == NID_NONE) return NID_NONE;
    if (!charge_folding(im, op, in, nin, attrs)) return NID_NONE;
    struct rule_ctx error = {0};
    const char *folded = folded_name(im, in, nin);
    im->b.name = folded ? folded : onnx_node_name(im->node);
    nid n = build_node(&im->b, op, in, nin, attrs, &error);
    if (n == NID_NONE) op_fail(im, "does not fit together: %s", error.error);
    return n;
}

nid op1(struct import *im, enum op op, nid x) {
    return op_make(im, op, &x, 1, NULL);
}

nid op2(struct import *im, enum op op, nid x, nid y) {
    return op_make(im, op, (nid[]){x, y}, 2, NULL);
}

static struct value dims_value(struct import *im, const size_t *dim, size_t rank) {
    int64_t *v = NEW_N(im->arena, int64_t, rank);
    for (size_t i = 0; i < rank; i++) v[i] = (int64_t)dim[i];
    return val_ints(v, rank);
}

nid op_reshape(struct import *im, nid x, const size_t *dim, size_t rank) {
    if (x == NID_NONE) return NID_NONE;
    const struct type *t = type_at(im->b.f, x);
    bool same = t->rank == rank;
    for (size_t i = 0; same && i < rank; i++) same = t->dim[i] == dim[i];
    if (same) return x;
    struct value shape = dims_value(im, dim, rank);
    return op_make(im, OP_RESHAPE, &x, 1, &shape);
}

nid op_broadcast(struct import *im, nid x, const size_t *dim, size_t rank) {
    struct value shape = dims_value(im, dim, rank);
    return op_make(im, OP_BROADCAST, &x, 1, &shape);
}

nid op_reduce(struct import *im, enum op op, nid x, const int64_t *axes, size_t n,
              bool keep) {
    return op_make(im, op, &x, 1, (struct value[]){val_ints(axes, n), val_bool(keep)});
}

nid op_gather(struct import *im, nid x, const int64_t *index, size_t n, size_t axis) {
    struct value attrs[] = {val_ints(index, n), val_int((int64_t)axis)};
    return op_make(im, OP_GATHER, &x, 1, attrs);
}

nid op_slice(struct import *im, nid x, const int64_t *starts, const int64_t *steps,
             const int64_t *sizes) {
    if (x == NID_NONE) return NID_NONE;
    size_t n = type_at(im->b.f, x)->rank;
    struct value attrs[] = {val_ints(starts, n), val_ints(steps, n), val_ints(sizes, n)};
    return op_make(im, OP_SLICE, &x, 1, attrs);
}

nid op_cast(struct import *im, nid x, enum elem e) {
    if (x == NID_NONE || type_at(im->b.f, x)->elem == e) return x;
    struct value to = val_string(elem_name(e));
    return op_make(im, OP_CAST, &x, 1, &to);
}

nid op_matmul(struct import *im, nid x, nid y, bool ty) {
    struct value attrs[] = {val_bool(false), val_bool(ty)};
    return op_make(im, OP_MATMUL, (nid[]){x, y}, 2, attrs);
}

nid op_scalar(struct import *im, double v) {
    return b_f32(&im->b, (float)v);
}

nid op_stored(struct import *im, struct type t, const void *data, const char *name) {
    im->b.name = name;
    return b_const(&im->b, t, data);
}

nid op_stored_at(struct import *im, struct type t, const void *data, struct digest digest,
                 const char *name) {
    im->b.name = name;
    return b_const_at(&im->b, t, data, digest);
}

nid op_const(struct import *im, struct type t, const void *data) {
    return op_stored(im, t, data, onnx_node_name(im->node));
}

bool op_done(nid id, enum onnx_form form, struct onnx_val *out) {
    *out = (struct onnx_val){.form = form, .id = id};
    return id != NID_NONE;
}

bool op_done_like(nid id, struct onnx_val like, struct onnx_val *out) {
    *out = like;
    out->id = id;
    return id != NID_NONE;
}

// ---- looking at values ---------------------------------------------------------------
const struct type *val_type(const struct import *im, struct onnx_val v) {
    return type_at(im->b.f, v.id);
}

bool val_is_const(const struct import *im, struct onnx_val v) {
    return v.form != FORM_NONE && node_at(im->b.f, v.id)->op == OP_CONST;
}

bool val_images(struct import *im, struct onnx_val v) {
    const struct type *t = val_type(im, v);
    bool first = v.form == FORM_ROWS && v.at == 0 && !v.merged;
    if (first && t->rank == 3 && t->elem == ELEM_F32) return true;
    return op_fail(im, "takes images f32[N,C,H,W], this is %s", val_text(im, v));
}

bool operand_ints(struct import *im, struct onnx_val v, const char *what,
                  const int64_t **out, size_t *n) {
    const struct type *t = v.form == FORM_NONE ? NULL : val_type(im, v);
    if (!t || v.form != FORM_FIXED || !val_is_const(im, v))
        return op_fail(im, "needs constant %s", what);
    if (t->elem != ELEM_I64 || t->rank > 1)
        return op_fail(im, "needs a list of integers as %s, this is %s", what,
                       val_text(im, v));
    *out = node_at(im->b.f, v.id)->data;
    *n = type_count(t);
    return true;
}

bool operand_number(struct import *im, struct onnx_val v, const char *what, double *out) {
    if (v.form != FORM_FIXED || !val_is_const(im, v) || type_count(val_type(im, v)) != 1)
        return op_fail(im, "needs a constant number as %s", what);
    const void *data = node_at(im->b.f, v.id)->data;
    if (val_type(im, v)->elem == ELEM_F32) *out = *(const float *)data;
    else *out = (double)*(const int64_t *)data;
    return true;
}

nid val_frozen(struct import *im, nid id) {
    const struct node *n = node_at(im->b.f, id);
    if (n->op != OP_PARAM) return id;
    return op_stored_at(im, n->type, n->data, n->digest, attr_str(n, "name"));
}

bool onnx_axis(struct import *im, int64_t axis, size_t rank, size_t *out) {
    int64_t r = (int64_t)rank;
    if (axis < -r || axis >= r)
        return op_fail(im, "has axis %lld, of a value with %zu axes", (long long)axis,
                       rank);
    *out = (size_t)(axis < 0 ? axis + r : axis);
    return true;
}

// ---- attributes ----------------------------------------------------------------------
#define KIND(name) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##name

const Onnx__AttributeProto *node_attr_proto(const struct import *im, const char *name) {
    for (size_t i = 0; i < im->node->n_attribute; i++) {
        const Onnx__AttributeProto *a = im->node->attribute[i];
        if (a->name && strcmp(a->name, name) == 0) return a;
    }
    return NULL;
}

bool attr_has(const struct import *im, const char *name) {
    return node_attr_proto(im, name) != NULL;
}

// Finds an attribute of a kind; *out is NULL when it is missing.
static bool find_attr(struct import *im, const char *name,
                      Onnx__AttributeProto__AttributeType kind, const char *kind_text,
                      const Onnx__AttributeProto **out) {
    *out = node_attr_proto(im, name);
    if (!*out || ((*out)->has_type && (*out)->type == kind)) return true;
    return op_fail(im, "has an attribute `%s` that is not %s", name, kind_text);
}

bool node_int(struct import *im, const char *name, int64_t fallback, int64_t *out) {
    const Onnx__AttributeProto *a;
    if (!find_attr(im, name, KIND(INT), "an integer", &a)) return false;
    *out = a ? a->i : fallback;
    return true;
}

bool node_flag(struct import *im, const char *name, bool fallback, bool *out) {
    int64_t v;
    if (!node_int(im, name, fallback, &v)) return false;
    *out = v != 0;
    return v == 0 || v == 1 ||
           op_fail(im, "has %s = %lld, which is 0 or 1", name, (long long)v);
}

bool node_float(struct import *im, const char *name, double fallback, double *out) {
    const Onnx__AttributeProto *a;
    if (!find_attr(im, name, KIND(FLOAT), "a number", &a)) return false;
    *out = a ? (double)a->f : fallback;
    return isfinite(*out) || op_fail(im, "has %s = %g", name, *out);
}

// The place of the n bytes s in "A|B|C".
static bool find_choice(const char *choices, const uint8_t *s, size_t n, size_t *out) {
    *out = 0;
    for (const char *p = choices;; ++*out) {
        size_t m = strcspn(p, "|");
        if (m == n && memcmp(p, s, n) == 0) return true;
        if (!p[m]) return false;
        p += m + 1;
    }
}

bool node_choice(struct import *im, const char *name, const char *choices, size_t *out) {
    const Onnx__AttributeProto *a;
    *out = 0;
    if (!find_attr(im, name, KIND(STRING), "a string", &a)) return false;
    if (!a || (a->s.len && find_choice(choices, a->s.data, a->s.len, out))) return true;
    const char *got =
        arena_strndup(im->arena, a->s.len ? (const char *)a->s.data : "", a->s.len);
    struct text known = {.arena = im->arena};
    for (const char *p = choices; *p; p++)
        text_add(&known, "%s%c", *p == '|' ? "," : "", *p == '|' ? ' ' : *p);
    return op_fail(im, "has %s = `%s`; ddg knows %s", name, onnx_text(im->log, got),
                   known.at);
}

bool node_ints(struct import *im, const char *name, const int64_t **out, size_t *n) {
    const Onnx__AttributeProto *a;
    if (!find_attr(im, name, KIND(INTS), "a list of integers", &a)) return false;
    *out = a ? a->ints : NULL;
    *n = a ? a->n_ints : 0;
    return true;
}

bool node_ints_or_input(struct import *im, const struct onnx_val *in, size_t i,
                        const char *name, const int64_t **out, size_t *n) {
    if (in[i].form == FORM_NONE) return node_ints(im, name, out, n);
    return operand_ints(im, in[i], name, out, n);
}
