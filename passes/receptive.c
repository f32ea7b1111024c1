// See receptive.h. One rule an op says from where the elements at one place come; what
// has no rule depends on all that its operands depend on.
#include "passes/receptive.h"

#include "ir/build.h"

static const struct strips NONE = {0, -1};

struct search {
    struct arena *arena;
    const struct func *f;
    struct reach *found; // by nid
};

static struct strips join(struct strips a, struct strips b) {
    if (!strips_any(a)) return b;
    if (!strips_any(b)) return a;
    return (struct strips){a.first < b.first ? a.first : b.first,
                           a.last > b.last ? a.last : b.last};
}

static struct strips reach_all(const struct reach *r) {
    struct strips all = NONE;
    for (size_t i = 0; i < r->n; i++) all = join(all, r->at[i]);
    return all;
}

size_t reach_width(const struct reach *r) {
    size_t most = 0;
    for (size_t i = 0; i < r->n; i++)
        if (strips_any(r->at[i]))
            most = size_max(most, (size_t)(r->at[i].last - r->at[i].first) + 1);
    return most;
}

static struct reach everywhere(struct arena *a, struct strips s) {
    struct strips *at = NEW(a, struct strips);
    *at = s;
    return (struct reach){NO_AXIS, 1, at};
}

static struct strips *line(struct search *s, struct reach *r, uint32_t axis, size_t n) {
    struct strips *at = NEW_N(s->arena, struct strips, n);
    for (size_t i = 0; i < n; i++) at[i] = NONE;
    *r = (struct reach){axis, n, at};
    return at;
}

static const struct reach *operand(const struct search *s, const struct node *n,
                                   uint32_t i) {
    return &s->found[n->in[i]];
}

static struct strips at_place(const struct reach *r, size_t i) {
    return r->at[r->axis == NO_AXIS || r->n == 1 ? 0 : i];
}

// Everything may come from everywhere.
static struct reach from_all(struct search *s, const struct node *n) {
    struct strips all = NONE;
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != NID_NONE) all = join(all, reach_all(operand(s, n, i)));
    return everywhere(s->arena, all);
}

// ---- elementwise ---------------------------------------------------------------------

// The axis along which the operands differ; NO_AXIS: there is none. False: there are two.
static bool common_axis(const struct search *s, const struct node *n, uint32_t *axis) {
    *axis = NO_AXIS;
    for (uint32_t i = 0; i < n->nin; i++) {
        const struct reach *r = operand(s, n, i);
        if (r->axis == NO_AXIS || r->n == 1) continue;
        if (*axis != NO_AXIS && *axis != r->axis) return false;
        *axis = r->axis;
    }
    return true;
}

static struct reach elementwise(struct search *s, const struct node *n) {
    uint32_t axis;
    struct reach out;
    if (!common_axis(s, n, &axis) || axis == NO_AXIS) return from_all(s, n);
    struct strips *at = line(s, &out, axis, n->type.dim[axis]);
    for (uint32_t i = 0; i < n->nin; i++)
        for (size_t k = 0; k < out.n; k++)
            at[k] = join(at[k], at_place(operand(s, n, i), k));
    return out;
}

// ---- windows -------------------------------------------------------------------------

struct window { // along one axis
    int64_t taps, stride, before, dilation;
};

static struct strips seen(const struct reach *r, const struct window *w, size_t place) {
    struct strips all = NONE;
    for (int64_t t = 0; t < w->taps; t++) {
        int64_t from = (int64_t)place * w->stride - w->before + t * w->dilation;
        if (from >= 0 && from < (int64_t)r->n) all = join(all, r->at[from]);
    }
    return all;
}

static struct window window_of(const struct search *s, const struct node *n, int side) {
    if (n->op == OP_CONV) {
        struct conv_attrs c = conv_attrs_of(n);
        return (struct window){(int64_t)type_at(s->f, n->in[1])->dim[2 + side],
                               c.strides[side], c.pads[side], c.dilations[side]};
    }
    return (struct window){attr_ints(n, "kernel", NULL)[side],
                           attr_ints(n, "strides", NULL)[side],
                           attr_ints(n, "pads", NULL)[side], 1};
}

// A convolution mixes channels; a pool leaves them apart, which nothing here needs.
static struct reach windowed(struct search *s, const struct node *n) {
    const struct reach *x = operand(s, n, 0);
    bool fixed = n->nin < 2 || !strips_any(reach_all(operand(s, n, 1)));
    if (!fixed || x->axis == NO_AXIS || x->axis < 1) return from_all(s, n);
    struct window w = window_of(s, n, (int)x->axis - 1);
    struct reach out;
    struct strips *at = line(s, &out, x->axis, n->type.dim[x->axis]);
    for (size_t i = 0; i < out.n; i++) at[i] = seen(x, &w, i);
    return out;
}

// ---- moves ---------------------------------------------------------------------------

// Where along the axis the elements at `place` of the result were before; -1: they are
// new.
static int64_t moved_from(const struct node *n, uint32_t axis, size_t place) {
    int64_t at = (int64_t)place, gap;
    switch (n->op) {
    case OP_SLICE:
        return attr_ints(n, "starts", NULL)[axis] +
               at * attr_ints(n, "steps", NULL)[axis];
    case OP_GATHER:
        return attr_int(n, "axis") == (int64_t)axis ? attr_ints(n, "index", NULL)[place]
                                                    : at;
    case OP_PAD:
        gap = attr_ints(n, "interior", NULL)[axis] + 1;
        at -= attr_ints(n, "before", NULL)[axis];
        return at >= 0 && at % gap == 0 ? at / gap : -1;
    default: return at;
    }
}

static struct reach moved(struct search *s, const struct node *n) {
    const struct reach *x = operand(s, n, 0);
    if (x->axis == NO_AXIS || x->n == 1) return from_all(s, n);
    struct reach out;
    struct strips *at = line(s, &out, x->axis, n->type.dim[x->axis]);
    for (size_t i = 0; i < out.n; i++) {
        int64_t from = moved_from(n, x->axis, i);
        if (from >= 0 && from < (int64_t)x->n) at[i] = x->at[from];
    }
    return out;
}

static struct reach transposed(struct search *s, const struct node *n) {
    struct reach out = *operand(s, n, 0);
    const int64_t *perm = attr_ints(n, "perm", NULL);
    uint32_t axis = out.axis;
    for (uint32_t i = 0; axis != NO_AXIS && i < n->type.rank; i++)
        if (perm[i] == (int64_t)axis) out.axis = i;
    return out;
}

// An axis stays one when as many elements lie before it, and it is as long.
static struct reach reshaped(struct search *s, const struct node *n) {
    struct reach out = *operand(s, n, 0);
    const struct type *x = type_at(s->f, n->in[0]), *t = &n->type;
    size_t before = 1, at = 1;
    if (out.axis == NO_AXIS) return out;
    for (uint32_t i = 0; i < out.axis; i++) before *= x->dim[i];
    for (uint32_t i = 0; i < t->rank; at *= t->dim[i++])
        if (at == before && t->dim[i] == out.n) {
            out.axis = i;
            return out;
        }
    return from_all(s, n);
}

// Along another axis than that of the operands the joined lie side by side.
static struct reach joined(struct search *s, const struct node *n) {
    uint32_t axis = (uint32_t)attr_int(n, "axis"), common;
    if (!common_axis(s, n, &common) || common == NO_AXIS) return from_all(s, n);
    if (axis != common) return elementwise(s, n);
    struct reach out;
    struct strips *at = line(s, &out, axis, n->type.dim[axis]);
    size_t start = 0;
    for (uint32_t i = 0; i < n->nin; i++) {
        size_t size = type_at(s->f, n->in[i])->dim[axis];
        for (size_t k = 0; k < size; k++) at[start + k] = at_place(operand(s, n, i), k);
        start += size;
    }
    return out;
}

static struct reach reduced(struct search *s, const struct node *n) {
    struct reach out = *operand(s, n, 0);
    size_t count;
    const int64_t *axes = attr_ints(n, "axes", &count);
    uint32_t axis = out.axis;
    if (axis == NO_AXIS) return out;
    for (size_t i = 0; i < count; i++) {
        if (axes[i] == (int64_t)axis) return from_all(s, n);
        if (axes[i] < (int64_t)axis && !attr_int(n, "keep")) out.axis--;
    }
    return out;
}

// ---- all nodes -----------------------------------------------------------------------

static struct reach reach_of(struct search *s, const struct node *n) {
    if (op_info(n->op)->flags & OPF_ELEMENTWISE) return elementwise(s, n);
    switch (n->op) {
    case OP_CONV:
    case OP_MAXPOOL:
    case OP_AVGPOOL: return windowed(s, n);
    case OP_BROADCAST: return elementwise(s, n);
    case OP_SLICE:
    case OP_GATHER:
    case OP_PAD: return moved(s, n);
    case OP_TRANSPOSE: return transposed(s, n);
    case OP_RESHAPE: return reshaped(s, n);
    case OP_CONCAT: return joined(s, n);
    case OP_SUM:
    case OP_AMAX: return reduced(s, n);
    default: return from_all(s, n);
    }
}

// Operands come before their users, so that nothing before the image depends on it.
const struct reach *receptive_find(struct arena *a, const struct func *f, nid image,
                                   uint32_t axis, const int32_t *of) {
    struct search s = {a, f, NEW_N(a, struct reach, f->nodes.n)};
    for (nid v = 0; v < image; v++) s.found[v] = everywhere(a, NONE);
    size_t n = type_at(f, image)->dim[axis];
    struct strips *at = line(&s, &s.found[image], axis, n);
    for (size_t i = 0; i < n; i++) at[i] = (struct strips){of[i], of[i]};
    for (nid v = image + 1; v < f->nodes.n; v++) s.found[v] = reach_of(&s, node_at(f, v));
    return s.found;
}
