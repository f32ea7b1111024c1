// The reference evaluator: ops that move elements about and compute nothing.
#include "ir/eval_core.h"

static void copy(void *to, const void *from, size_t bytes) {
    if (bytes) memcpy(to, from, bytes); // of no bytes, either may be NULL
}

bool eval_reshape(const struct eval_call *c) {
    copy(c->out, c->in[0], type_bytes(&c->n->type));
    return true;
}

// Element i of the result, in row-major order, is the operand's at the cursor's first
// offset.
static bool copy_along(const struct eval_call *c, struct cursor *at) {
    size_t size = elem_size(c->n->type.elem), count = type_count(&c->n->type);
    const char *from = c->in[0];
    char *to = c->out;
    for (size_t i = 0; i < count; i++, cursor_next(at))
        memcpy(to + i * size, from + at->off[0] * (ptrdiff_t)size, size);
    return true;
}

bool eval_broadcast(const struct eval_call *c) {
    struct cursor at = cursor_of(&c->n->type);
    broadcast_steps(c->types[0], &c->n->type, at.step[0]);
    return copy_along(c, &at);
}

bool eval_transpose(const struct eval_call *c) {
    struct cursor at = cursor_of(&c->n->type);
    const int64_t *perm = attr_ints(c->n, "perm", NULL);
    ptrdiff_t step[TYPE_MAX_RANK];
    dense_steps(c->types[0], step);
    for (uint32_t d = 0; d < at.rank; d++) at.step[0][d] = step[perm[d]];
    return copy_along(c, &at);
}

bool eval_slice(const struct eval_call *c) {
    struct cursor at = cursor_of(&c->n->type);
    const int64_t *starts = attr_ints(c->n, "starts", NULL);
    const int64_t *steps = attr_ints(c->n, "steps", NULL);
    ptrdiff_t step[TYPE_MAX_RANK];
    if (type_count(&c->n->type) == 0) return true; // starts may lie outside
    dense_steps(c->types[0], step);
    for (uint32_t d = 0; d < at.rank; d++) {
        at.off[0] += step[d] * starts[d];
        // The step of an axis with one element is never taken, and may be huge.
        at.step[0][d] = at.dim[d] > 1 ? step[d] * steps[d] : 0;
    }
    return copy_along(c, &at);
}

static void fill(void *out, const struct type *t, double value) {
    size_t count = type_count(t);
    for (size_t i = 0; i < count; i++) {
        if (t->elem == ELEM_F32) store_float(out, t->elem, i, value);
        else store_int(out, t->elem, i, (int64_t)value);
    }
}

// Where the operand's element at the cursor goes; false: it is cut off.
static bool pad_place(const struct node *n, const struct cursor *at, size_t *place) {
    const int64_t *before = attr_ints(n, "before", NULL);
    const int64_t *interior = attr_ints(n, "interior", NULL);
    *place = 0;
    for (uint32_t d = 0; d < at->rank; d++) {
        int64_t i = (int64_t)at->at[d] * (interior[d] + 1) + before[d];
        if (i < 0 || (size_t)i >= n->type.dim[d]) return false;
        *place = *place * n->type.dim[d] + (size_t)i;
    }
    return true;
}

bool eval_pad(const struct eval_call *c) {
    size_t size = elem_size(c->n->type.elem), count = type_count(c->types[0]), place;
    struct cursor at = cursor_of(c->types[0]);
    fill(c->out, &c->n->type, attr_float(c->n, "value"));
    for (size_t i = 0; i < count; i++, cursor_next(&at))
        if (pad_place(c->n, &at, &place))
            memcpy((char *)c->out + place * size, (const char *)c->in[0] + i * size,
                   size);
    return true;
}

// Products of the dimensions before an axis, and of those behind it times an element's
// bytes.
static void around_axis(const struct type *t, size_t axis, size_t *outer, size_t *inner) {
    *outer = 1;
    *inner = elem_size(t->elem);
    for (size_t d = 0; d < t->rank; d++) {
        if (d < axis) *outer *= t->dim[d];
        if (d > axis) *inner *= t->dim[d];
    }
}

bool eval_concat(const struct eval_call *c) {
    size_t axis = (size_t)attr_int(c->n, "axis"), outer, inner;
    around_axis(&c->n->type, axis, &outer, &inner);
    char *to = c->out;
    for (size_t o = 0; o < outer; o++) {
        for (size_t k = 0; k < c->nin; k++) {
            size_t bytes = c->types[k]->dim[axis] * inner;
            copy(to, (const char *)c->in[k] + o * bytes, bytes);
            to += bytes;
        }
    }
    return true;
}

bool eval_gather(const struct eval_call *c) {
    size_t axis = (size_t)attr_int(c->n, "axis"), outer, inner, n;
    const int64_t *index = attr_ints(c->n, "index", &n);
    around_axis(&c->n->type, axis, &outer, &inner);
    const char *from = c->in[0];
    char *to = c->out;
    for (size_t o = 0; o < outer; o++, from += c->types[0]->dim[axis] * inner)
        for (size_t i = 0; i < n; i++, to += inner)
            copy(to, from + (size_t)index[i] * inner, inner);
    return true;
}

static size_t clamp(int64_t v, size_t high) {
    return v < 0 ? 0 : size_min((size_t)v, high);
}

bool eval_take(const struct eval_call *c) {
    size_t bytes = type_bytes(&c->n->type);
    size_t i = clamp(*(const int32_t *)c->in[1], c->types[0]->dim[0] - 1);
    copy(c->out, (const char *)c->in[0] + i * bytes, bytes);
    return true;
}

bool eval_choose(const struct eval_call *c) {
    size_t size = elem_size(c->n->type.elem), count = type_count(&c->n->type);
    const int32_t *index = c->in[1];
    struct cursor at = cursor_of(&c->n->type);
    broadcast_steps(c->types[1], &c->n->type, at.step[0]);
    for (size_t i = 0; i < count; i++, cursor_next(&at)) {
        size_t entry = clamp(index[at.off[0]], c->types[0]->dim[0] - 1);
        memcpy((char *)c->out + i * size,
               (const char *)c->in[0] + (entry * count + i) * size, size);
    }
    return true;
}

bool eval_window(const struct eval_call *c) {
    const size_t *x = c->types[0]->dim, *w = c->n->type.dim;
    const int32_t *box = c->in[1];
    size_t top = clamp(box[0], x[1] - w[1]), left = clamp(box[1], x[2] - w[2]);
    size_t size = elem_size(c->n->type.elem), bytes = w[2] * size;
    char *to = c->out;
    for (size_t ch = 0; ch < w[0]; ch++)
        for (size_t i = 0; i < w[1]; i++, to += bytes)
            copy(to,
                 (const char *)c->in[0] + ((ch * x[1] + top + i) * x[2] + left) * size,
                 bytes);
    return true;
}
