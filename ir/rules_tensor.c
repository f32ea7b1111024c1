// Type rules of elementwise, moving and reducing tensor ops. Matrix products,
// convolutions, pools and the runtime's ops are in rules_nn.c.
#include "ir/rules.h"

static bool is_number(enum elem e) {
    return e == ELEM_F32 || e == ELEM_I32 || e == ELEM_I64;
}

static bool check_number(struct rule_ctx *c, size_t i) {
    return is_number(c->ins[i]->elem) ||
           rule_fail_in(c, (int)i, "takes f32, i32 or i64, this is %s", rule_type(c, i));
}

// Does a list attribute have an entry for each axis of x?
static bool check_per_axis(struct rule_ctx *c, int attr, const char *name) {
    size_t rank = c->ins[0]->rank, n = c->attrs[attr].n;
    return n == rank || rule_fail_attr(c, attr, "`%s` has %zu entries for %s", name, n,
                                       rule_type(c, 0));
}

static bool check_axis(struct rule_ctx *c, int attr, int64_t axis) {
    return (axis >= 0 && axis < (int64_t)c->ins[0]->rank) ||
           rule_fail_attr(c, attr, "%s has no axis %lld", rule_type(c, 0),
                          (long long)axis);
}

bool rule_setting(struct rule_ctx *c, struct type *out) {
    (void)c;
    *out = type_scalar(ELEM_F32, false);
    return true;
}

// ---- elementwise --------------------------------------------------------------------
// The shape both broadcast to.
static bool join_shapes(struct rule_ctx *c, const struct type *x, const struct type *y,
                        struct type *out) {
    const struct type *wide = x->rank ? x : y;
    bool ok = x->rank == y->rank || !x->rank || !y->rank;
    *out = type_tensor(wide->elem, x->rows || y->rows, wide->rank, wide->dim);
    for (uint32_t i = 0; ok && x->rank == y->rank && i < x->rank; i++) {
        if (x->dim[i] == 1) out->dim[i] = y->dim[i];
        else ok = y->dim[i] == 1 || y->dim[i] == x->dim[i];
    }
    return ok || rule_fail(c, "shapes do not go together: %s and %s", rule_type(c, 0),
                           rule_type(c, 1));
}

bool rule_elementwise(struct rule_ctx *c, struct type *out) {
    const struct type *x = c->ins[0];
    if (!check_number(c, 0)) return false;
    *out = *x;
    if (c->nin == 1) return true;
    const struct type *y = c->ins[1];
    if (x->elem != y->elem)
        return rule_fail(c, "elements differ: %s and %s", rule_type(c, 0),
                         rule_type(c, 1));
    return join_shapes(c, x, y, out);
}

bool rule_elementwise_f32(struct rule_ctx *c, struct type *out) {
    *out = *c->ins[0];
    return out->elem == ELEM_F32 ||
           rule_fail_in(c, 0, "takes f32, this is %s", rule_type(c, 0));
}

bool rule_cast(struct rule_ctx *c, struct type *out) {
    const char *to = c->attrs[0].s;
    *out = *c->ins[0];
    if (out->elem == ELEM_U64) return rule_fail_in(c, 0, "u64 is for row keys only");
    CHECK(elem_from_name(to, strlen(to), &out->elem));
    enum elem from = c->ins[0]->elem;
    bool half = from == ELEM_BF16 || out->elem == ELEM_BF16;
    bool direct = from == out->elem || from == ELEM_F32 || out->elem == ELEM_F32;
    return !half || direct ||
           rule_fail_in(c, 0, "between bf16 and f32 only, not from %s to %s",
                        elem_name(from), to);
}

// ---- moving elements ----------------------------------------------------------------
// The `shape` attribute as out's dimensions.
static bool read_shape(struct rule_ctx *c, int attr, struct type *out) {
    const struct value *v = &c->attrs[attr];
    if (v->n > TYPE_MAX_RANK)
        return rule_fail_attr(c, attr, "a tensor has at most %d axes; `shape` has %zu",
                              TYPE_MAX_RANK, v->n);
    out->rank = (uint32_t)v->n;
    memset(out->dim, 0, sizeof out->dim);
    for (uint32_t i = 0; i < out->rank; i++) {
        if (v->is[i] < 0)
            return rule_fail_attr(c, attr, "a dimension cannot be %lld",
                                  (long long)v->is[i]);
        out->dim[i] = (size_t)v->is[i];
    }
    return type_count_ok(out) ||
           rule_fail_attr(c, attr, "%s has too many elements", type_str(c->arena, out));
}

bool rule_reshape(struct rule_ctx *c, struct type *out) {
    *out = *c->ins[0];
    if (!read_shape(c, 0, out)) return false;
    return type_count(out) == type_count(c->ins[0]) ||
           rule_fail_attr(c, 0, "%s does not have the elements of %s", rule_type(c, 0),
                          type_str(c->arena, out));
}

bool rule_broadcast(struct rule_ctx *c, struct type *out) {
    const struct type *x = c->ins[0];
    *out = *x;
    if (!read_shape(c, 0, out)) return false;
    bool ok = x->rank == 0 || x->rank == out->rank;
    for (uint32_t i = 0; ok && i < x->rank; i++)
        ok = x->dim[i] == 1 || x->dim[i] == out->dim[i];
    return ok || rule_fail_attr(c, 0, "%s cannot be broadcast to %s", rule_type(c, 0),
                                type_str(c->arena, out));
}

bool rule_transpose(struct rule_ctx *c, struct type *out) {
    const struct type *x = c->ins[0];
    const struct value *perm = &c->attrs[0];
    if (!check_per_axis(c, 0, "perm")) return false;
    bool seen[TYPE_MAX_RANK] = {0};
    *out = *x;
    for (size_t i = 0; i < perm->n; i++) {
        if (!check_axis(c, 0, perm->is[i])) return false;
        if (seen[perm->is[i]])
            return rule_fail_attr(c, 0, "`perm` names axis %lld twice",
                                  (long long)perm->is[i]);
        seen[perm->is[i]] = true;
        out->dim[i] = x->dim[perm->is[i]];
    }
    return true;
}

enum { SLICE_STARTS, SLICE_STEPS, SLICE_SIZES };

// Do start, start + step, ... (size of them) all lie in [0, dim)?
static bool slice_inside(size_t dim, int64_t start, int64_t step, int64_t size) {
    int64_t way, last;
    if (size == 0) return true;
    return size > 0 && start >= 0 && (size_t)start < dim &&
           !__builtin_mul_overflow(size - 1, step, &way) &&
           !__builtin_add_overflow(start, way, &last) && last >= 0 && (size_t)last < dim;
}

bool rule_slice(struct rule_ctx *c, struct type *out) {
    const struct value *starts = &c->attrs[SLICE_STARTS], *steps = &c->attrs[SLICE_STEPS],
                       *sizes = &c->attrs[SLICE_SIZES];
    if (!check_per_axis(c, SLICE_STARTS, "starts") ||
        !check_per_axis(c, SLICE_STEPS, "steps") ||
        !check_per_axis(c, SLICE_SIZES, "sizes"))
        return false;
    *out = *c->ins[0];
    for (size_t i = 0; i < starts->n; i++) {
        if (steps->is[i] == 0)
            return rule_fail_attr(c, SLICE_STEPS, "a step cannot be 0");
        if (!slice_inside(out->dim[i], starts->is[i], steps->is[i], sizes->is[i]))
            return rule_fail(
                c, "%lld elements from %lld by %lld do not lie in axis %zu of %s",
                (long long)sizes->is[i], (long long)starts->is[i],
                (long long)steps->is[i], i, rule_type(c, 0));
        out->dim[i] = (size_t)sizes->is[i];
    }
    return true;
}

enum { PAD_BEFORE, PAD_AFTER, PAD_INTERIOR, PAD_VALUE };

// dim + gaps + before + after, when that is a size.
static bool padded(size_t dim, int64_t before, int64_t after, int64_t interior,
                   size_t *out) {
    int64_t gaps, n;
    if (__builtin_mul_overflow(dim ? (int64_t)dim - 1 : 0, interior, &gaps) ||
        __builtin_add_overflow((int64_t)dim, gaps, &n) ||
        __builtin_add_overflow(n, before, &n) || __builtin_add_overflow(n, after, &n) ||
        n < 0)
        return false;
    *out = (size_t)n;
    return true;
}

// An integer tensor is padded with an integer that its elements can hold.
static bool check_pad_value(struct rule_ctx *c) {
    double v = c->attrs[PAD_VALUE].f;
    static const double limit[ELEM_COUNT][2] = {[ELEM_I32] = {INT32_MIN, INT32_MAX},
                                                [ELEM_I64] = {-0x1p53, 0x1p53},
                                                [ELEM_U8] = {0, UINT8_MAX},
                                                [ELEM_U64] = {0, 0x1p53}};
    enum elem e = c->ins[0]->elem;
    if (e == ELEM_F32) return true;
    bool ok = v >= limit[e][0] && v <= limit[e][1] && v == (double)(int64_t)v;
    return ok || rule_fail_attr(c, PAD_VALUE, "`value` %.12g is not of element type %s",
                                v, elem_name(e));
}

bool rule_pad(struct rule_ctx *c, struct type *out) {
    const struct value *a = c->attrs;
    if (!check_per_axis(c, PAD_BEFORE, "before") ||
        !check_per_axis(c, PAD_AFTER, "after") ||
        !check_per_axis(c, PAD_INTERIOR, "interior") || !check_pad_value(c))
        return false;
    *out = *c->ins[0];
    for (size_t i = 0; i < out->rank; i++) {
        int64_t before = a[PAD_BEFORE].is[i], after = a[PAD_AFTER].is[i];
        int64_t interior = a[PAD_INTERIOR].is[i];
        if (interior < 0)
            return rule_fail_attr(c, PAD_INTERIOR, "`interior` cannot be negative");
        if (!padded(out->dim[i], before, after, interior, &out->dim[i]))
            return rule_fail(c, "axis %zu of %s cannot be padded by %lld and %lld", i,
                             rule_type(c, 0), (long long)before, (long long)after);
    }
    return true;
}

static bool joins(const struct type *x, const struct type *y, size_t axis) {
    bool ok = x->elem == y->elem && x->rank == y->rank;
    for (uint32_t i = 0; ok && i < x->rank; i++) ok = i == axis || x->dim[i] == y->dim[i];
    return ok;
}

bool rule_concat(struct rule_ctx *c, struct type *out) {
    if (!check_axis(c, 0, c->attrs[0].i)) return false;
    size_t axis = (size_t)c->attrs[0].i;
    *out = *c->ins[0];
    for (size_t k = 1; k < c->nin; k++) {
        if (!joins(out, c->ins[k], axis))
            return rule_fail_in(c, (int)k, "%s and %s do not join along axis %zu",
                                rule_type(c, 0), rule_type(c, k), axis);
        if (!size_add(out->dim[axis], c->ins[k]->dim[axis], &out->dim[axis]) ||
            !type_count_ok(out))
            return rule_fail(c, "the result has too many elements");
        out->rows |= c->ins[k]->rows;
    }
    return true;
}

bool rule_gather(struct rule_ctx *c, struct type *out) {
    const struct value *index = &c->attrs[0];
    if (!check_axis(c, 1, c->attrs[1].i)) return false;
    *out = *c->ins[0];
    size_t *dim = &out->dim[c->attrs[1].i];
    for (size_t i = 0; i < index->n; i++)
        if (index->is[i] < 0 || (size_t)index->is[i] >= *dim)
            return rule_fail_attr(c, 0, "there is no index %lld in an axis of %zu",
                                  (long long)index->is[i], *dim);
    *dim = index->n;
    return true;
}

bool rule_take(struct rule_ctx *c, struct type *out) {
    const struct type *table = c->ins[0], *index = c->ins[1];
    if (table->rank == 0 || table->dim[0] == 0)
        return rule_fail_in(c, 0, "`table` is empty: %s", rule_type(c, 0));
    if (index->elem != ELEM_I32 || index->rank != 0)
        return rule_fail_in(c, 1, "`index` must be i32[], this is %s", rule_type(c, 1));
    *out = type_tensor(table->elem, table->rows || index->rows, table->rank - 1,
                       table->dim + 1);
    return true;
}

bool rule_choose(struct rule_ctx *c, struct type *out) {
    const struct type *table = c->ins[0], *index = c->ins[1];
    if (table->rank == 0 || table->dim[0] == 0)
        return rule_fail_in(c, 0, "`table` is empty: %s", rule_type(c, 0));
    *out = type_tensor(table->elem, table->rows || index->rows, table->rank - 1,
                       table->dim + 1);
    bool fits = index->elem == ELEM_I32 && index->rank == out->rank;
    for (uint32_t i = 0; fits && i < out->rank; i++)
        fits = index->dim[i] == 1 || index->dim[i] == out->dim[i];
    return fits || rule_fail_in(c, 1, "`index` is %s, which does not choose from %s",
                                rule_type(c, 1), rule_type(c, 0));
}

static bool check_box(struct rule_ctx *c, int i) {
    const struct type *box = c->ins[i];
    return (box->elem == ELEM_I32 && box->rank == 1 && box->dim[0] == 4) ||
           rule_fail_in(c, i, "`box` must be i32[4], this is %s",
                        rule_type(c, (size_t)i));
}

bool rule_window(struct rule_ctx *c, struct type *out) {
    const struct type *x = c->ins[0];
    size_t h = (size_t)c->attrs[0].i, w = (size_t)c->attrs[1].i;
    if (!check_box(c, 1)) return false;
    if (x->rank != 3 || h > x->dim[1] || w > x->dim[2])
        return rule_fail_in(c, 0, "%s holds no window of %zu x %zu", rule_type(c, 0), h,
                            w);
    *out =
        type_tensor(x->elem, x->rows || c->ins[1]->rows, 3, (size_t[]){x->dim[0], h, w});
    return true;
}

// ---- reductions ---------------------------------------------------------------------
enum { REDUCE_AXES, REDUCE_KEEP };

static bool reduced_axes(struct rule_ctx *c, bool *reduced) {
    const struct value *axes = &c->attrs[REDUCE_AXES];
    for (size_t i = 0; i < axes->n; i++) {
        if (!check_axis(c, REDUCE_AXES, axes->is[i])) return false;
        if (reduced[axes->is[i]])
            return rule_fail_attr(c, REDUCE_AXES, "`axes` names axis %lld twice",
                                  (long long)axes->is[i]);
        reduced[axes->is[i]] = true;
    }
    return true;
}

bool rule_reduce(struct rule_ctx *c, struct type *out) {
    const struct type *x = c->ins[0];
    bool reduced[TYPE_MAX_RANK] = {0}, keep = c->attrs[REDUCE_KEEP].i != 0;
    if (!check_number(c, 0) || !reduced_axes(c, reduced)) return false;
    *out = type_tensor(x->elem, x->rows, 0, NULL);
    for (uint32_t i = 0; i < x->rank; i++) {
        if (!reduced[i]) out->dim[out->rank++] = x->dim[i];
        else if (keep) out->dim[out->rank++] = 1;
    }
    return true;
}

bool rule_argmax(struct rule_ctx *c, struct type *out) {
    if (!check_number(c, 0)) return false;
    if (type_count(c->ins[0]) == 0)
        return rule_fail_in(c, 0, "%s has no largest element", rule_type(c, 0));
    *out = type_scalar(ELEM_I32, c->ins[0]->rows);
    return true;
}
