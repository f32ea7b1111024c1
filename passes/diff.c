// Differentiation: every `grad` mark becomes ordinary ops, reverse mode, source to
// source.
//
// The rules below say, for each op, what the gradient of its result (g) adds to the
// gradient of each operand. Rows make this simple: an op describes one row, so the
// gradient of a row's scalar is one a row, for a weight that all rows share just as for a
// row's pixels. What comes out can be differentiated again.
//
// In a joint function y may be one number of the whole batch. What is one a row then has
// its own part of the gradient, and what all rows share the sum of theirs (batch_sum),
// taken where a row's value reads it.
#include "passes/rewrite.h"

#include <float.h>

struct diff {
    struct arena *arena;
    struct builder *b; // makes the new function
    struct diags *d;
    nid *adjoint; // by new nid: gradient so far, or NID_NONE
    size_t cap;
    bool *wanted; // by new nid: some requested x reaches it
    bool batch;   // y is one of the whole batch
    bool of_rows; // the node whose rule is at work is one a row
};

static const struct type *dtype(const struct diff *x, nid n) {
    return type_at(x->b->f, n);
}

// ---- helpers for the rules -----------------------------------------------------------
// Sums g over what broadcasting an operand of type t repeated.
static nid unbroadcast(struct diff *x, nid g, const struct type *t) {
    const struct type *gt = dtype(x, g);
    if (type_same_shape(gt, t)) return g;
    if (t->rank == 0) return b_sum_all(x->b, g);
    int64_t axes[TYPE_MAX_RANK];
    size_t n = 0;
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dim[i] == 1 && gt->dim[i] != 1) axes[n++] = i;
    return b_sum(x->b, g, axes, n, true);
}

static void add_to(struct diff *x, nid operand, nid g) {
    if (!x->wanted[operand]) return;
    g = unbroadcast(x, g, dtype(x, operand));
    if (x->batch && x->of_rows && !dtype(x, operand)->rows) g = b_batch_sum(x->b, g);
    nid old = x->adjoint[operand];
    x->adjoint[operand] = old == NID_NONE ? g : b_binary(x->b, OP_ADD, old, g);
}

static nid mul(struct diff *x, nid p, nid q) {
    return b_binary(x->b, OP_MUL, p, q);
}

static nid one_minus(struct diff *x, nid p) {
    return b_binary(x->b, OP_SUB, b_f32(x->b, 1), p);
}

static nid spread(struct diff *x, nid g, const struct type *to) {
    return b_broadcast(x->b, g, to->dim, to->rank);
}

// The attributes of n that conv, conv_dx and conv_dw share.
static nid conv_like(struct diff *x, enum op op, nid p, nid q, const struct node *n,
                     const size_t *size) {
    struct conv_attrs c = conv_attrs_of(n);
    if (op == OP_CONV) return b_conv(x->b, p, q, &c);
    if (op == OP_CONV_DX) return b_conv_dx(x->b, p, q, &c, size[0], size[1]);
    return b_conv_dw(x->b, p, q, &c, size[0], size[1]);
}

// ---- rules: y is the node, g its gradient, n->in its operands ------------------------
static void vjp_neg(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    add_to(x, n->in[0], b_unary(x->b, OP_NEG, g));
}
static void vjp_exp(struct diff *x, const struct node *n, nid y, nid g) {
    add_to(x, n->in[0], mul(x, g, y));
}
static void vjp_log(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    add_to(x, n->in[0], b_binary(x->b, OP_DIV, g, n->in[0]));
}
// y / 2x, so that it is 0 at 0: norms of zeros have that gradient in PyTorch, and what is
// padded has such norms.
static void vjp_sqrt(struct diff *x, const struct node *n, nid y, nid g) {
    nid at = b_binary(x->b, OP_MAX, n->in[0], b_f32(x->b, FLT_MIN));
    nid slope = b_binary(x->b, OP_DIV, mul(x, y, b_f32(x->b, 0.5f)), at);
    add_to(x, n->in[0], mul(x, g, slope));
}
// A norm of the batch, scaled and shifted: two operations away from what is stored
// anyway.
static bool is_scaled_norm(const struct diff *x, nid v) {
    const struct node *sum = node_at(x->b->f, v);
    if (!x->batch || sum->op != OP_ADD || dtype(x, sum->in[1])->rows) return false;
    const struct node *product = node_at(x->b->f, sum->in[0]);
    if (product->op != OP_MUL || dtype(x, product->in[1])->rows) return false;
    return node_at(x->b->f, product->in[0])->op == OP_BATCH_NORM;
}

// Which elements are above zero is told from the result, which others read as well;
// unless it is cheaper to make the operand again than to read the result.
static void vjp_relu(struct diff *x, const struct node *n, nid y, nid g) {
    nid above = is_scaled_norm(x, n->in[0]) ? n->in[0] : y;
    add_to(x, n->in[0], mul(x, g, b_unary(x->b, OP_STEP, above)));
}
static void vjp_tanh(struct diff *x, const struct node *n, nid y, nid g) {
    add_to(x, n->in[0], mul(x, g, one_minus(x, mul(x, y, y))));
}
static void vjp_sigmoid(struct diff *x, const struct node *n, nid y, nid g) {
    add_to(x, n->in[0], mul(x, g, mul(x, y, one_minus(x, y))));
}
static void vjp_erf(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    nid p = n->in[0], bell = b_unary(x->b, OP_EXP, b_unary(x->b, OP_NEG, mul(x, p, p)));
    add_to(x, p, mul(x, g, mul(x, b_f32(x->b, 1.12837917f), bell))); // 2 / sqrt(pi)
}
static void vjp_add(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    add_to(x, n->in[0], g);
    add_to(x, n->in[1], g);
}
static void vjp_sub(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    add_to(x, n->in[0], g);
    if (x->wanted[n->in[1]]) add_to(x, n->in[1], b_unary(x->b, OP_NEG, g));
}
static void vjp_mul(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    if (x->wanted[n->in[0]]) add_to(x, n->in[0], mul(x, g, n->in[1]));
    if (x->wanted[n->in[1]]) add_to(x, n->in[1], mul(x, g, n->in[0]));
}
static void vjp_div(struct diff *x, const struct node *n, nid y, nid g) {
    nid q = b_binary(x->b, OP_DIV, g, n->in[1]);
    add_to(x, n->in[0], q);
    if (x->wanted[n->in[1]]) add_to(x, n->in[1], b_unary(x->b, OP_NEG, mul(x, q, y)));
}
// The gradient goes to the operand that won; to both where they are equal, half each.
static void vjp_max(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    nid p = n->in[0], q = n->in[1];
    nid ahead =
        n->op == OP_MAX ? b_binary(x->b, OP_SUB, p, q) : b_binary(x->b, OP_SUB, q, p);
    nid over = b_unary(x->b, OP_STEP, ahead);
    nid tie = mul(x, b_binary(x->b, OP_EQ, p, q), b_f32(x->b, 0.5f));
    nid share = b_binary(x->b, OP_ADD, over, tie);
    add_to(x, p, mul(x, g, share));
    if (x->wanted[q]) add_to(x, q, mul(x, g, one_minus(x, share)));
}
static void vjp_none(struct diff *x, const struct node *n, nid y, nid g) {
    (void)x, (void)n, (void)y, (void)g; // flat almost everywhere, or not of numbers
}
static void vjp_reshape(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    const struct type *t = dtype(x, n->in[0]);
    add_to(x, n->in[0], b_reshape(x->b, g, t->dim, t->rank));
}
static void vjp_broadcast(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    add_to(x, n->in[0], g); // add_to sums over what was repeated
}
static void vjp_transpose(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    size_t rank;
    const int64_t *perm = attr_ints(n, "perm", &rank);
    int64_t back[TYPE_MAX_RANK];
    for (size_t i = 0; i < rank; i++) back[perm[i]] = (int64_t)i;
    add_to(x, n->in[0], b_transpose(x->b, g, back, rank));
}
// Puts g back among zeros. A negative step is turned around first.
static void vjp_slice(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    const struct type *t = dtype(x, n->in[0]), *gt = dtype(x, g);
    size_t rank;
    const int64_t *starts = attr_ints(n, "starts", &rank);
    const int64_t *steps = attr_ints(n, "steps", &rank);
    int64_t from[TYPE_MAX_RANK], by[TYPE_MAX_RANK], size[TYPE_MAX_RANK];
    int64_t before[TYPE_MAX_RANK], after[TYPE_MAX_RANK], gaps[TYPE_MAX_RANK];
    bool turned = false;
    for (size_t i = 0; i < rank; i++) {
        bool back = steps[i] < 0;
        int64_t many = (int64_t)gt->dim[i] - 1, step = back ? -steps[i] : steps[i];
        if (many == 0) step = 1; // of one element it may be any number
        from[i] = back ? many : 0, by[i] = back ? -1 : 1, size[i] = many + 1;
        before[i] = back ? starts[i] - many * step : starts[i];
        after[i] = (int64_t)t->dim[i] - 1 - before[i] - many * step;
        gaps[i] = step - 1;
        turned |= back;
    }
    if (turned) g = b_slice(x->b, g, from, by, size, rank);
    add_to(x, n->in[0], b_pad(x->b, g, before, after, gaps, rank, 0));
}
static void vjp_pad(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    const struct type *t = dtype(x, n->in[0]);
    size_t rank;
    const int64_t *before = attr_ints(n, "before", &rank);
    const int64_t *after = attr_ints(n, "after", &rank);
    const int64_t *gaps = attr_ints(n, "interior", &rank);
    int64_t low[TYPE_MAX_RANK], high[TYPE_MAX_RANK], none[TYPE_MAX_RANK] = {0};
    int64_t start[TYPE_MAX_RANK] = {0}, step[TYPE_MAX_RANK], size[TYPE_MAX_RANK];
    for (size_t i = 0; i < rank; i++) {
        low[i] = -before[i], high[i] = -after[i]; // a cut border comes back as zeros
        step[i] = gaps[i] + 1, size[i] = (int64_t)t->dim[i];
    }
    g = b_pad(x->b, g, low, high, none, rank, 0);
    add_to(x, n->in[0], b_slice(x->b, g, start, step, size, rank));
}
static void vjp_concat(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    int64_t axis = attr_int(n, "axis"), starts[TYPE_MAX_RANK] = {0};
    for (uint32_t k = 0; k < n->nin; k++) {
        const struct type *t = dtype(x, n->in[k]);
        int64_t steps[TYPE_MAX_RANK], sizes[TYPE_MAX_RANK];
        for (uint32_t i = 0; i < t->rank; i++)
            steps[i] = 1, sizes[i] = (int64_t)t->dim[i];
        add_to(x, n->in[k], b_slice(x->b, g, starts, steps, sizes, t->rank));
        starts[axis] += sizes[axis];
    }
}

// ---- gather: entries of g are added where they came from -----------------------------
// Places of the axis are taken together by how many entries they get, rounded up to a
// power of two: one gather of g and one sum for each such class. So no place takes more
// than twice the work of its entries, however unevenly the index repeats.
struct scatter {
    struct diff *x;
    nid g; // [before, count, after], with a slab of zeros behind when some are missing
    size_t before, count, after;
    size_t places;    // of the axis that was gathered from
    size_t *first;    // by place: where its entries begin; places + 1 of them
    int64_t *entries; // positions in the index, by place
    int64_t *slot;    // by place: where its sum lies among those made so far
    size_t made;
};

static size_t entries_of(const struct scatter *s, size_t place) {
    return s->first[place + 1] - s->first[place];
}

static size_t width_of(const struct scatter *s, size_t place) {
    size_t width = 1, n = entries_of(s, place);
    while (width < n) width *= 2;
    return n ? width : 0;
}

static void sort_entries(struct scatter *s, const int64_t *index) {
    struct arena *arena = s->x->arena;
    size_t *next = NEW_N(arena, size_t, s->places);
    s->first = NEW_N(arena, size_t, s->places + 1);
    s->entries = NEW_N(arena, int64_t, s->count);
    s->slot = NEW_N(arena, int64_t, s->places);
    for (size_t i = 0; i < s->count; i++) s->first[index[i] + 1]++;
    for (size_t p = 0; p < s->places; p++) {
        s->first[p + 1] += s->first[p];
        next[p] = s->first[p];
        s->slot[p] = -1;
    }
    for (size_t i = 0; i < s->count; i++) s->entries[next[index[i]]++] = (int64_t)i;
}

// v with one slab of zeros behind, along the middle axis.
static nid zeros_behind(struct diff *x, nid v) {
    static const int64_t none[3] = {0}, one[3] = {0, 1, 0};
    return b_pad(x->b, v, none, one, none, 3, 0);
}

// The sums of all places of this width; NID_NONE when there are none.
static nid scatter_class(struct scatter *s, size_t width) {
    struct builder *b = s->x->b;
    VEC(int64_t) pick = {0};
    size_t places = 0;
    for (size_t p = 0; p < s->places; p++) {
        if (width_of(s, p) != width) continue;
        for (size_t i = 0; i < width; i++) {
            int64_t none = (int64_t)s->count;
            int64_t at = i < entries_of(s, p) ? s->entries[s->first[p] + i] : none;
            VEC_PUSH(s->x->arena, &pick, at);
        }
        s->slot[p] = (int64_t)(s->made + places++);
    }
    if (!places) return NID_NONE;
    s->made += places;
    nid v = b_gather(b, s->g, pick.at, pick.n, 1);
    if (width == 1) return v;
    v = b_reshape(b, v, (size_t[]){s->before, places, width, s->after}, 4);
    return b_sum(b, v, (int64_t[]){2}, 1, false);
}

// The sums, in the order they were made, to where they belong; zeros to the other places.
static nid scatter_place(struct scatter *s, nid sums) {
    bool in_place = s->made == s->places;
    if (!in_place) sums = zeros_behind(s->x, sums);
    for (size_t p = 0; p < s->places; p++) {
        if (s->slot[p] < 0) s->slot[p] = (int64_t)s->made;
        in_place = in_place && s->slot[p] == (int64_t)p;
    }
    return in_place ? sums : b_gather(s->x->b, sums, s->slot, s->places, 1);
}

static nid scatter_all(struct scatter *s) {
    nid parts[8 * sizeof(size_t)];
    uint32_t n = 0;
    bool missing = false;
    for (size_t p = 0; p < s->places; p++)
        missing = missing || entries_of(s, p) != width_of(s, p);
    if (missing) s->g = zeros_behind(s->x, s->g);
    for (size_t width = 1; width / 2 < s->count; width *= 2) {
        nid part = scatter_class(s, width);
        if (part != NID_NONE) parts[n++] = part;
    }
    struct value axis = val_int(1);
    nid sums = n == 1 ? parts[0] : build_node(s->x->b, OP_CONCAT, parts, n, &axis, NULL);
    return scatter_place(s, sums);
}

static void vjp_gather(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    const struct type *t = dtype(x, n->in[0]);
    size_t axis = (size_t)attr_int(n, "axis");
    struct scatter s = {.x = x, .before = 1, .after = 1, .places = t->dim[axis]};
    const int64_t *index = attr_ints(n, "index", &s.count);
    if (type_count(dtype(x, g)) == 0) return;
    for (size_t i = 0; i < axis; i++) s.before *= t->dim[i];
    for (size_t i = axis + 1; i < t->rank; i++) s.after *= t->dim[i];
    s.g = b_reshape(x->b, g, (size_t[]){s.before, s.count, s.after}, 3);
    sort_entries(&s, index);
    struct type to = *t; // the array of nodes moves as they are added
    add_to(x, n->in[0], b_reshape(x->b, scatter_all(&s), to.dim, to.rank));
}

// ---- places known only when the function runs ----------------------------------------
// f32[count, places]: row i is 1 at start + i, held in [0, places - count], 0 elsewhere.
static nid selector(struct diff *x, nid start, size_t count, size_t places) {
    struct builder *b = x->b;
    size_t across[2] = {1, places}, down[2] = {count, 1};
    int32_t *v = NEW_N(x->arena, int32_t, size_max(places, count));
    for (size_t i = 0; i < size_max(places, count); i++) v[i] = (int32_t)i;
    nid place = b_const(b, type_tensor(ELEM_I32, false, 2, across), v);
    nid row = b_const(b, type_tensor(ELEM_I32, false, 2, down), v);
    int32_t last = (int32_t)(places - count), zero = 0;
    struct type scalar = type_scalar(ELEM_I32, false);
    start = b_binary(b, OP_MIN, start, b_const(b, scalar, &last));
    start = b_binary(b, OP_MAX, start, b_const(b, scalar, &zero));
    nid at = b_binary(b, OP_ADD, row, start);
    return b_cast(b, b_binary(b, OP_EQ, at, place), ELEM_F32);
}

static void vjp_take(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    struct type t = *dtype(x, n->in[0]);
    if (!x->wanted[n->in[0]] || type_count(&t) == 0) return;
    size_t places = t.dim[0], rest = type_count(&t) / places;
    nid hot = b_reshape(x->b, selector(x, n->in[1], 1, places), (size_t[]){places, 1}, 2);
    nid v = mul(x, hot, b_reshape(x->b, g, (size_t[]){1, rest}, 2));
    add_to(x, n->in[0], b_reshape(x->b, v, t.dim, t.rank));
}

// v with an axis of one in front.
static nid in_front(struct diff *x, nid v) {
    struct type t = *dtype(x, v);
    memmove(t.dim + 1, t.dim, t.rank * sizeof t.dim[0]);
    t.dim[0] = 1;
    return b_reshape(x->b, v, t.dim, t.rank + 1);
}

// An element of g goes to the entry that it was taken from.
static void vjp_choose(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    size_t places = dtype(x, n->in[0])->dim[0], dim[TYPE_MAX_RANK] = {places};
    int32_t last = (int32_t)places - 1, zero = 0;
    struct type scalar = type_scalar(ELEM_I32, false);
    if (!x->wanted[n->in[0]]) return;
    int32_t *v = NEW_N(x->arena, int32_t, places);
    for (size_t i = 0; i < places; i++) v[i] = (int32_t)i;
    for (uint32_t i = 1; i <= n->type.rank; i++) dim[i] = 1;
    nid entry = b_const(x->b, type_tensor(ELEM_I32, false, n->type.rank + 1, dim), v);
    nid index = b_binary(x->b, OP_MIN, n->in[1], b_const(x->b, scalar, &last));
    index = b_binary(x->b, OP_MAX, index, b_const(x->b, scalar, &zero));
    nid taken = b_binary(x->b, OP_EQ, entry, in_front(x, index));
    add_to(x, n->in[0], mul(x, b_cast(x->b, taken, ELEM_F32), in_front(x, g)));
}

// [C,h,w] to [C,w,places]: g's rows go to where they were cut from, and the axes turn.
static nid uncut(struct diff *x, nid g, nid start, size_t places) {
    struct type t = *dtype(x, g);
    size_t c = t.dim[0], h = t.dim[1], w = t.dim[2];
    nid v = b_transpose(x->b, g, (int64_t[]){0, 2, 1}, 3);
    v = b_reshape(x->b, v, (size_t[]){c * w, h}, 2);
    v = b_matmul(x->b, v, selector(x, start, h, places), false, false);
    return b_reshape(x->b, v, (size_t[]){c, w, places}, 3);
}

static void vjp_window(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    struct type t = *dtype(x, n->in[0]);
    if (!x->wanted[n->in[0]] || type_count(dtype(x, g)) == 0) return;
    for (int64_t axis = 0; axis < 2; axis++) {
        static const int64_t one[1] = {1};
        nid start = b_slice(x->b, n->in[1], &axis, one, one, 1);
        g = uncut(x, g, b_reshape(x->b, start, NULL, 0), t.dim[1 + axis]);
    }
    add_to(x, n->in[0], g);
}

// ---- reductions, products, layers ----------------------------------------------------
static nid keep_axes(struct diff *x, const struct node *n, nid v) {
    const struct type *t = dtype(x, n->in[0]);
    size_t dim[TYPE_MAX_RANK], count;
    const int64_t *axes = attr_ints(n, "axes", &count);
    memcpy(dim, t->dim, sizeof dim);
    for (size_t i = 0; i < count; i++) dim[axes[i]] = 1;
    return b_reshape(x->b, v, dim, t->rank);
}
static void vjp_sum(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    add_to(x, n->in[0], spread(x, keep_axes(x, n, g), dtype(x, n->in[0])));
}
// Shared evenly by the elements that are the largest.
static void vjp_amax(struct diff *x, const struct node *n, nid y, nid g) {
    size_t count;
    const int64_t *axes = attr_ints(n, "axes", &count);
    nid top = b_binary(x->b, OP_EQ, n->in[0], keep_axes(x, n, y));
    nid share =
        b_binary(x->b, OP_DIV, keep_axes(x, n, g), b_sum(x->b, top, axes, count, true));
    add_to(x, n->in[0], mul(x, top, share));
}
// y = p q, each transposed or not: p' = g q^T, q' = p^T g.
static void vjp_matmul(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    bool tx = attr_int(n, "tx"), ty = attr_int(n, "ty");
    nid p = n->in[0], q = n->in[1];
    if (x->wanted[p])
        add_to(x, p,
               tx ? b_matmul(x->b, q, g, ty, true) : b_matmul(x->b, g, q, false, !ty));
    if (x->wanted[q])
        add_to(x, q,
               ty ? b_matmul(x->b, g, p, true, tx) : b_matmul(x->b, p, g, !tx, false));
}
static void vjp_conv(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    nid p = n->in[0], w = n->in[1];
    if (x->wanted[p])
        add_to(x, p, conv_like(x, OP_CONV_DX, g, w, n, dtype(x, p)->dim + 1));
    if (x->wanted[w])
        add_to(x, w, conv_like(x, OP_CONV_DW, p, g, n, dtype(x, w)->dim + 2));
}
static void vjp_conv_dx(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    nid d = n->in[0], w = n->in[1];
    if (x->wanted[d]) add_to(x, d, conv_like(x, OP_CONV, g, w, n, NULL));
    if (x->wanted[w])
        add_to(x, w, conv_like(x, OP_CONV_DW, g, d, n, dtype(x, w)->dim + 2));
}
static void vjp_conv_dw(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    nid p = n->in[0], d = n->in[1];
    if (x->wanted[p])
        add_to(x, p, conv_like(x, OP_CONV_DX, d, g, n, dtype(x, p)->dim + 1));
    if (x->wanted[d]) add_to(x, d, conv_like(x, OP_CONV, p, g, n, NULL));
}
// The squared norm of the weight gradient v: what 2 v gives as a weight.
static void vjp_conv_dw_sqnorm(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    size_t size[2] = {(size_t)attr_int(n, "kh"), (size_t)attr_int(n, "kw")};
    nid v = conv_like(x, OP_CONV_DW, n->in[0], n->in[1], n, size);
    struct node dw = *node_at(x->b->f, v);
    nid twice = mul(x, b_binary(x->b, OP_ADD, v, v), g);
    vjp_conv_dw(x, &dw, v, twice);
}
static void vjp_maxpool(struct diff *x, const struct node *n, nid y, nid g) {
    nid in[3] = {n->in[0], y, g};
    add_to(x, n->in[0], build_node(x->b, OP_MAXPOOL_DX, in, 3, n->attrs, NULL));
}
// Which elements are the largest does not change with d or t.
static void vjp_maxpool_dx(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    nid in[3] = {n->in[0], n->in[1], g};
    if (x->wanted[n->in[2]])
        add_to(x, n->in[2], build_node(x->b, OP_MAXPOOL_JVP, in, 3, n->attrs, NULL));
}
static void vjp_maxpool_jvp(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    nid in[3] = {n->in[0], n->in[1], g};
    if (x->wanted[n->in[2]])
        add_to(x, n->in[2], build_node(x->b, OP_MAXPOOL_DX, in, 3, n->attrs, NULL));
}
static void vjp_avgpool(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    const struct type *t = dtype(x, n->in[0]);
    struct value attrs[6];
    memcpy(attrs, n->attrs, 4 * sizeof attrs[0]);
    attrs[4] = val_int((int64_t)t->dim[1]), attrs[5] = val_int((int64_t)t->dim[2]);
    add_to(x, n->in[0], build_node(x->b, OP_AVGPOOL_DX, &g, 1, attrs, NULL));
}
static void vjp_avgpool_dx(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    add_to(x, n->in[0], build_node(x->b, OP_AVGPOOL, &g, 1, n->attrs, NULL));
}

static void vjp_pack(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    add_to(x, n->in[0], g);
}

// ---- batches -------------------------------------------------------------------------
static void vjp_batch_sum(struct diff *x, const struct node *n, nid y, nid g) {
    (void)y;
    add_to(x, n->in[0], g); // to each row
}

// v summed over the batch and over all axes but the channels', as add_to sums what goes
// to a scale or shift: it often is the same node.
static nid channel_sums(struct diff *x, nid v) {
    const struct type *t = dtype(x, v);
    int64_t axes[TYPE_MAX_RANK];
    size_t n = 0;
    for (uint32_t i = 1; i < t->rank; i++)
        if (t->dim[i] != 1) axes[n++] = i;
    if (n) v = b_sum(x->b, v, axes, n, true);
    return b_batch_sum(x->b, v);
}

// g, when it is p times a number a channel that all rows share; the number, or NID_NONE.
static nid channel_factor(const struct diff *x, nid g, nid *p) {
    const struct node *n = node_at(x->b->f, g);
    if (n->op != OP_MUL) return NID_NONE;
    const struct type *t = dtype(x, n->in[1]);
    if (t->rows || !type_same_shape(dtype(x, n->in[0]), &n->type)) return NID_NONE;
    for (uint32_t i = 1; i < t->rank; i++)
        if (t->dim[i] != 1) return NID_NONE;
    *p = n->in[0];
    return n->in[1];
}

// Mean and variance are the batch's: x' = k (g - mean(g) - y mean(g y)), k = scale /
// deviation, of a scaled result's gradient g before it was scaled, so that its sums are
// those that the scale and the shift have for gradients.
static void vjp_batch_norm(struct diff *x, const struct node *n, nid y, nid g) {
    struct builder *b = x->b;
    struct type t = n->type;
    nid var = b_inverse_deviation(b, n->in[2], attr_float(n, "epsilon"));
    nid inverse = b_channels(b, var, t.rank), share = n->in[3], k = inverse;
    if (share == NID_NONE) {
        add_to(x, n->in[0], mul(x, g, inverse));
        return;
    }
    nid scale = channel_factor(x, g, &g);
    if (scale != NID_NONE) k = mul(x, inverse, scale);
    double each = (double)type_count(&t) / (double)t.dim[0];
    share = mul(x, share, b_f32(b, (float)(1 / each)));
    nid shift = mul(x, channel_sums(x, g), share);
    nid slope = mul(x, channel_sums(x, mul(x, g, y)), share);
    nid off = b_binary(b, OP_SUB, n->in[0], b_channels(b, n->in[1], t.rank));
    g = b_binary(b, OP_SUB, g, shift);
    g = b_binary(b, OP_SUB, g, mul(x, off, mul(x, slope, inverse)));
    add_to(x, n->in[0], mul(x, g, k));
}

typedef void (*vjp_rule)(struct diff *, const struct node *, nid y, nid g);

// NULL: the op has no gradient here.
static const vjp_rule rules[OP_COUNT] = {
    [OP_NEG] = vjp_neg,
    [OP_EXP] = vjp_exp,
    [OP_LOG] = vjp_log,
    [OP_SQRT] = vjp_sqrt,
    [OP_RELU] = vjp_relu,
    [OP_STEP] = vjp_none,
    [OP_TANH] = vjp_tanh,
    [OP_SIGMOID] = vjp_sigmoid,
    [OP_ERF] = vjp_erf,
    [OP_ADD] = vjp_add,
    [OP_SUB] = vjp_sub,
    [OP_MUL] = vjp_mul,
    [OP_DIV] = vjp_div,
    [OP_MAX] = vjp_max,
    [OP_MIN] = vjp_max,
    [OP_EQ] = vjp_none,
    [OP_ARGMAX] = vjp_none,
    [OP_STOP] = vjp_none,
    [OP_CAST] = vjp_none, // to or from whole numbers
    [OP_NORMAL] = vjp_none,
    [OP_RANDOM_BOX] = vjp_none,
    [OP_RESIZE] = vjp_none, // of bytes
    [OP_RESHAPE] = vjp_reshape,
    [OP_BROADCAST] = vjp_broadcast,
    [OP_SLICE] = vjp_slice,
    [OP_TRANSPOSE] = vjp_transpose,
    [OP_PAD] = vjp_pad,
    [OP_CONCAT] = vjp_concat,
    [OP_GATHER] = vjp_gather,
    [OP_TAKE] = vjp_take,
    [OP_CHOOSE] = vjp_choose,
    [OP_WINDOW] = vjp_window,
    [OP_SUM] = vjp_sum,
    [OP_AMAX] = vjp_amax,
    [OP_MATMUL] = vjp_matmul,
    [OP_CONV] = vjp_conv,
    [OP_CONV_DX] = vjp_conv_dx,
    [OP_CONV_DW] = vjp_conv_dw,
    [OP_CONV_DW_SQNORM] = vjp_conv_dw_sqnorm,
    [OP_MAXPOOL] = vjp_maxpool,
    [OP_MAXPOOL_DX] = vjp_maxpool_dx,
    [OP_MAXPOOL_JVP] = vjp_maxpool_jvp,
    [OP_AVGPOOL] = vjp_avgpool,
    [OP_AVGPOOL_DX] = vjp_avgpool_dx,
    [OP_PACK] = vjp_pack,
    [OP_BATCH_SUM] = vjp_batch_sum,
    [OP_BATCH_NORM] = vjp_batch_norm,
};

// ---- the sweep -----------------------------------------------------------------------
// Which nodes up to y some x in `of` reaches.
static void find_wanted(struct diff *x, nid y, const nid *of, size_t n) {
    x->cap = (size_t)y + 1;
    x->wanted = NEW_N(x->arena, bool, x->cap);
    for (size_t i = 0; i < n; i++)
        if (of[i] <= y) x->wanted[of[i]] = true;
    for (nid v = 0; v <= y; v++) {
        const struct node *node = node_at(x->b->f, v);
        for (uint32_t i = 0; i < node->nin; i++)
            if (node->in[i] != NID_NONE && x->wanted[node->in[i]]) x->wanted[v] = true;
    }
}

static bool no_gradient(const struct diff *x, const struct node *n) {
    return diag_error(x->d, n->span, "the gradient of `%s` is not known%s%s",
                      op_info(n->op)->name, n->name ? ", of node " : "",
                      n->name ? n->name : "");
}

// Is n of all rows at once? One row's y has a part of its gradient at every row then, for
// which there is no form.
static bool joins_rows(const struct node *n) {
    return n->op == OP_BATCH_SUM || (n->op == OP_BATCH_NORM && n->in[3] != NID_NONE);
}

// Fills adjoint for y and what is before it.
static bool sweep(struct diff *x, nid y) {
    x->adjoint = NEW_N(x->arena, nid, x->cap);
    for (size_t i = 0; i < x->cap; i++) x->adjoint[i] = NID_NONE;
    x->adjoint[y] = b_f32(x->b, 1);
    for (nid v = y + 1; v-- > 0;) {
        if (!x->wanted[v] || x->adjoint[v] == NID_NONE) continue;
        struct node n = *node_at(x->b->f, v); // the array moves as nodes are added
        if (!n.nin) continue;
        if (!rules[n.op] || (joins_rows(&n) && !x->batch)) return no_gradient(x, &n);
        x->b->span = n.span;
        x->of_rows = n.type.rows;
        rules[n.op](x, &n, v, x->adjoint[v]);
    }
    return true;
}

// All grad marks with this y share one sweep, made at the first of them.
static nid expand(struct rewrite *r, nid first, const nid *in) {
    const struct func *f = r->old;
    nid y = node_at(f, first)->in[0];
    VEC(nid) marks = {0}, of = {0};
    for (nid v = first; v < f->nodes.n; v++) {
        const struct node *n = node_at(f, v);
        if (n->op != OP_GRAD || n->in[0] != y || r->map[n->in[1]] == NID_NONE) continue;
        VEC_PUSH(r->arena, &marks, v);
        VEC_PUSH(r->arena, &of, r->map[n->in[1]]);
    }
    struct diff x = {.arena = r->arena, .b = &r->b, .d = r->d};
    x.batch = r->b.f->joint && !dtype(&x, in[0])->rows;
    find_wanted(&x, in[0], of.at, of.n);
    if (!sweep(&x, in[0])) r->failed = true;
    for (size_t i = 0; i < marks.n; i++) {
        struct type t = *dtype(&x, of.at[i]);
        bool reached = of.at[i] < x.cap && x.adjoint[of.at[i]] != NID_NONE;
        nid g = reached ? x.adjoint[of.at[i]] : b_f32(&r->b, 0);
        r->map[marks.at[i]] = b_broadcast(&r->b, g, t.dim, t.rank);
    }
    return r->map[first];
}

static nid diff_rule(struct rewrite *r, nid v, const nid *in) {
    return node_at(r->old, v)->op == OP_GRAD ? expand(r, v, in) : NID_NONE;
}

// ---- marks that stay until every gradient has been taken -----------------------------
// norm(x) scale + shift, in a batch: x k + t, with the k and t of all rows. NID_NONE: n
// is something else.
static nid scaled_norm(struct rewrite *r, const struct node *n) {
    const struct func *f = r->old;
    if (n->op != OP_ADD || type_at(f, n->in[1])->rows) return NID_NONE;
    const struct node *product = node_at(f, n->in[0]);
    if (product->op != OP_MUL || type_at(f, product->in[1])->rows) return NID_NONE;
    const struct node *norm = node_at(f, product->in[0]);
    if (norm->op != OP_BATCH_NORM || norm->in[3] == NID_NONE) return NID_NONE;
    struct builder *b = &r->b;
    uint32_t rank = norm->type.rank;
    nid var = b_inverse_deviation(b, r->map[norm->in[2]], attr_float(norm, "epsilon"));
    nid k = b_binary(b, OP_MUL, b_channels(b, var, rank), r->map[product->in[1]]);
    nid mean = b_channels(b, r->map[norm->in[1]], rank);
    nid t = b_binary(b, OP_SUB, r->map[n->in[1]], b_binary(b, OP_MUL, mean, k));
    return b_binary(b, OP_ADD, b_binary(b, OP_MUL, r->map[norm->in[0]], k), t);
}

static nid expand_marks(struct rewrite *r, nid v, const nid *in) {
    const struct node *n = node_at(r->old, v);
    if (n->op == OP_STOP) return in[0];
    if (n->op == OP_BATCH_NORM) return build_batch_norm(&r->b, n, in);
    return scaled_norm(r, n);
}

// Needs nothing; leaves no marks.
bool pass_diff(struct module *m, struct module_func *mf, struct diags *d) {
    return rewrite_func(m, mf, d, diff_rule, NULL) &&
           rewrite_func(m, mf, d, expand_marks, NULL);
}
