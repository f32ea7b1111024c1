// Loops over whole values: kernels without an anchor, and prologues.
//
// Blocked results go block by block and pixel by pixel, a vector of channels each.
// Row-major ones run along their last axis, or along the row-major position when
// everything they read is laid out the same way. Where the result itself is small and
// what it reduces is large, results are taken one by one and the reduction is what runs
// in vectors.
#include "codegen/emit.h"

// ---- which way a value lies ----------------------------------------------------------

static int axis_under(struct emit *e, const struct node *n);

// Found axes are kept one up, so that 0 says "not asked yet".
enum { STORED_AXIS = 3 };

int axis_of(struct emit *e, nid id) {
    if (!e->axis) e->axis = NEW_N(e->arena, int8_t, e->f->nodes.n);
    if (e->axis[id] == 0)
        e->axis[id] = (int8_t)(axis_under(e, node_at(e->f, id)) + STORED_AXIS);
    return e->axis[id] - STORED_AXIS;
}

static int axis_loaded(struct emit *e, nid id) {
    const struct type *t = type_at(e->f, id);
    if (type_count(t) <= 1) return AXIS_ANY;
    if (view_in(e, id).layout->kind == LAYOUT_BLOCKED) return 0;
    int axis = (int)t->rank - 1;
    while (t->dim[axis] == 1) axis--;
    return axis;
}

// Reductions that want to run in vectors themselves win over any axis.
static int axis_joined(int a, int b) {
    if (a == AXIS_SCALAR || b == AXIS_SCALAR) return AXIS_SCALAR;
    return a != AXIS_ANY ? a : b;
}

static int axis_elementwise(struct emit *e, const struct node *n) {
    int axis = AXIS_ANY;
    for (uint32_t i = 0; i < n->nin; i++) {
        int in = axis_of(e, n->in[i]);
        const struct type *t = type_at(e->f, n->in[i]);
        if (in >= 0 && (t->rank != n->type.rank || t->dim[in] == 1)) in = AXIS_ANY;
        axis = axis_joined(axis, in);
    }
    return axis;
}

static int axis_reduced(struct emit *e, const struct node *n) {
    int in = axis_of(e, n->in[0]), out = in;
    size_t count;
    const int64_t *axes = attr_ints(n, "axes", &count);
    if (type_count(&n->type) == 1) return AXIS_ANY; // computed once, before the loops
    if (in < 0) return in;
    for (size_t i = 0; i < count; i++) {
        if (axes[i] == in) return AXIS_SCALAR;
        if (axes[i] < in && !attr_int(n, "keep")) out--;
    }
    return out;
}

static int axis_transposed(struct emit *e, const struct node *n) {
    int in = axis_of(e, n->in[0]);
    const int64_t *perm = attr_ints(n, "perm", NULL);
    for (uint32_t i = 0; i < n->type.rank; i++)
        if (in >= 0 && perm[i] == in) return (int)i;
    return in;
}

// Axes that a reshape leaves alone: the same size before it and after it.
static int axis_reshaped(struct emit *e, const struct node *n) {
    int in = axis_of(e, n->in[0]);
    const struct type *a = type_at(e->f, n->in[0]), *b = &n->type;
    if (in < 0) return in;
    size_t before = 1, at = 1;
    for (int i = 0; i < in; i++) before *= a->dim[i];
    for (uint32_t i = 0; i < b->rank; at *= b->dim[i++])
        if (at == before && b->dim[i] == a->dim[in] && b->dim[i] > 1) return (int)i;
    return (uint32_t)in == a->rank - 1 && b->rank ? (int)b->rank - 1 : AXIS_ANY;
}

static int axis_under(struct emit *e, const struct node *n) {
    nid id = (nid)(n - e->f->nodes.at);
    int in;
    if (reads_embedded(e->f, e->k, id)) return AXIS_ANY;
    if (reads_loaded(e->f, e->k, id)) return axis_loaded(e, id);
    switch (n->op) {
    case OP_SUM:
    case OP_AMAX: return axis_reduced(e, n);
    case OP_ARGMAX: return AXIS_ANY;
    case OP_TRANSPOSE: return axis_transposed(e, n);
    case OP_RESHAPE: return axis_reshaped(e, n);
    case OP_CHOOSE:
    case OP_TAKE: in = axis_of(e, n->in[0]); return in > 0 ? in - 1 : AXIS_ANY;
    default: break;
    }
    if (op_info(n->op)->flags & OPF_ELEMENTWISE) return axis_elementwise(e, n);
    in = n->nin ? axis_of(e, n->in[0]) : AXIS_ANY;
    return in >= (int)n->type.rank ? AXIS_ANY : in;
}

static bool flat_under(struct emit *e, nid id) {
    const struct node *n = node_at(e->f, id);
    if (reads_embedded(e->f, e->k, id) || type_count(&n->type) == 1) return true;
    if (reads_loaded(e->f, e->k, id)) return view_in(e, id).layout->kind == LAYOUT_PLANAR;
    if (n->op == OP_RESHAPE || n->op == OP_BATCH_SUM) return flat_friendly(e, n->in[0]);
    if (!(op_info(n->op)->flags & OPF_ELEMENTWISE)) return false;
    for (uint32_t i = 0; i < n->nin; i++) {
        const struct type *t = type_at(e->f, n->in[i]);
        if (type_count(t) != 1 && !type_same_shape(t, &n->type)) return false;
        if (!flat_friendly(e, n->in[i])) return false;
    }
    return true;
}

bool flat_friendly(struct emit *e, nid n) {
    enum { YES = 1, NO = 2 };
    if (!e->flat) e->flat = NEW_N(e->arena, int8_t, e->f->nodes.n);
    if (e->flat[n] == 0) e->flat[n] = flat_under(e, n) ? YES : NO;
    return e->flat[n] == YES;
}

// ---- loops ---------------------------------------------------------------------------

struct fill {
    struct emit *e;
    const nid *nodes;
    const struct view *to;
    size_t n;
    const struct type *t; // of all of them
    struct point p;
};

static void store_here(struct fill *fill) {
    struct emit *e = fill->e;
    LLVMValueRef v[4];
    CHECK(fill->n <= COUNT(v));
    size_t mark = memo_mark(e);
    for (size_t i = 0; i < fill->n; i++) v[i] = emit_value(e, fill->nodes[i], &fill->p);
    for (size_t i = 0; i < fill->n; i++) emit_store(e, &fill->to[i], &fill->p, v[i]);
    memo_release(e, mark);
}

// ---- asking ahead --------------------------------------------------------------------
// Maps of a batch are far away when the next phase reads them, and a loop that does
// little with each vector waits for them.

#define AHEAD 64 // vectors

static bool is_far(struct emit *e, const struct fill *fill, nid in) {
    const struct type *t = type_at(e->f, in);
    return t->rows && type_same_shape(t, fill->t) &&
           view_in(e, in).layout->kind == LAYOUT_BLOCKED;
}

static void ask_ahead(struct fill *fill) {
    struct emit *e = fill->e;
    struct point p = fill->p;
    if (!e->kf->joint || e->k->anchor != NID_NONE) return;
    p.at[2] = ix_shift(e, p.at[2], AHEAD);
    for (size_t i = 0; i < e->k->nins; i++) {
        if (!is_far(e, fill, e->k->ins[i])) continue;
        struct view v = view_in(e, e->k->ins[i]);
        emit_ask(e, &v, &p, false);
    }
}

// ---- residues ------------------------------------------------------------------------
// Which windows of a strided pool an element lies in follows from its indices' residues.
// Lines and pixels are taken a residue at a time, so that code knows them.

#define MOST_RESIDUES 3 // of an axis: each pair of them is code of its own

static void find_strides(struct emit *e, nid id, bool *seen, int64_t stride[2]) {
    const struct node *n = node_at(e->f, id);
    if (seen[id] || reads_loaded(e->f, e->k, id)) return;
    seen[id] = true;
    if (n->op == OP_MAXPOOL_DX || n->op == OP_AVGPOOL_DX)
        for (int a = 0; a < 2; a++) stride[a] = attr_ints(n, "strides", NULL)[a];
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != NID_NONE) find_strides(e, n->in[i], seen, stride);
}

static void residues(const struct fill *fill, int64_t stride[2]) {
    struct emit *e = fill->e;
    bool *seen = NEW_N(e->arena, bool, e->f->nodes.n);
    stride[0] = stride[1] = 1;
    for (size_t i = 0; i < fill->n; i++) find_strides(e, fill->nodes[i], seen, stride);
    for (int a = 0; a < 2; a++) {
        int64_t dim = (int64_t)fill->t->dim[1 + a];
        if (stride[a] > MOST_RESIDUES || stride[a] > dim) stride[a] = 1;
    }
}

// The pixels of a line.
static void fill_line(struct fill *fill, int64_t stride) {
    struct emit *e = fill->e;
    for (int64_t rest = 0; rest < stride; rest++) {
        struct loop l =
            loop_over(e, rest, (int64_t)fill->t->dim[2], stride, NULL, 0, &fill->p.at[2]);
        ask_ahead(fill);
        store_here(fill);
        loop_end(e, &l, NULL);
    }
}

// `lines` of them, from y on.
static void fill_lines(struct fill *fill, struct ix y, int64_t lines, int64_t stride) {
    for (int64_t i = 0; i < lines; i++) {
        fill->p.at[1] = ix_shift(fill->e, y, i);
        fill_line(fill, stride);
    }
}

// ---- pieces --------------------------------------------------------------------------
// Where indices of gathered axes jump, lines and columns are cut: in a piece indices rise
// evenly or stay, and what they choose is found once and not at each place.

#define MOST_PIECES 9   // of a plane: each is code of its own
#define MOST_PLACES 512 // of an axis

struct pieces { // along one axis
    size_t dim, n;
    bool *cut; // by place: a piece begins
};

// The step that most places take.
static int64_t common_step(const int64_t *index, size_t n) {
    int64_t best = 0;
    size_t most = 0;
    for (size_t i = 1; i < n; i++) {
        size_t same = 0;
        for (size_t k = 1; k < n; k++)
            same += index[k] - index[k - 1] == index[i] - index[i - 1];
        if (same > most) best = index[i] - index[i - 1], most = same;
    }
    return best;
}

static void cut_pieces(struct pieces *x, const int64_t *index, size_t count) {
    if (count != x->dim || count > MOST_PLACES) return;
    int64_t step = common_step(index, count);
    for (size_t i = 1; i < count; i++) {
        if (x->cut[i] || index[i] - index[i - 1] == step) continue;
        x->cut[i] = true;
        x->n++;
    }
}

// False: something under the node had better not be computed once more.
static bool find_pieces(struct emit *e, nid id, bool *seen, struct pieces *y,
                        struct pieces *x, bool *chooses) {
    const struct node *n = node_at(e->f, id);
    uint32_t flags = op_info(n->op)->flags;
    size_t count;
    if (seen[id] || reads_loaded(e->f, e->k, id) || reads_embedded(e->f, e->k, id))
        return true;
    seen[id] = true;
    if (!(flags & (OPF_ELEMENTWISE | OPF_MOVE))) return false;
    *chooses |= n->op == OP_CHOOSE;
    if (n->op == OP_GATHER) {
        const int64_t *index = attr_ints(n, "index", &count);
        cut_pieces(y, index, count);
        cut_pieces(x, index, count);
    }
    for (uint32_t i = 0; i < n->nin; i++)
        if (!find_pieces(e, n->in[i], seen, y, x, chooses)) return false;
    return true;
}

static struct pieces pieces_of(struct emit *e, size_t dim) {
    return (struct pieces){dim, 1, NEW_N(e->arena, bool, dim)};
}

static bool choose_pieces(const struct fill *fill, struct pieces *y, struct pieces *x) {
    struct emit *e = fill->e;
    bool *seen = NEW_N(e->arena, bool, e->f->nodes.n), chooses = false;
    *y = pieces_of(e, fill->t->dim[1]);
    *x = pieces_of(e, fill->t->dim[2]);
    for (size_t i = 0; i < fill->n; i++)
        if (!find_pieces(e, fill->nodes[i], seen, y, x, &chooses)) return false;
    if (y->n * x->n > MOST_PIECES) *y = pieces_of(e, y->dim); // looked up line by line
    return chooses && y->n * x->n <= MOST_PIECES;
}

static size_t piece_end(const struct pieces *p, size_t from) {
    do from++;
    while (from < p->dim && !p->cut[from]);
    return from;
}

// What is the same at all places, or all of a line, is known and found again from the
// first.
static void look_ahead(struct fill *fill, size_t x) {
    fill->p.at[2] = ix_const(fill->e, (int64_t)x);
    for (size_t i = 0; i < fill->n; i++) emit_value(fill->e, fill->nodes[i], &fill->p);
}

// same: what all places look up is the same on all lines.
static void fill_piece(struct fill *fill, size_t y, size_t y_end, size_t x, size_t x_end,
                       bool same) {
    struct emit *e = fill->e;
    size_t mark = memo_mark(e);
    fill->p.at[1] = ix_const(e, (int64_t)y);
    look_ahead(fill, x);
    struct loop lines =
        loop_over(e, (int64_t)y, (int64_t)y_end, 1, NULL, 0, &fill->p.at[1]);
    if (!same) look_ahead(fill, x);
    struct loop l = loop_over(e, (int64_t)x, (int64_t)x_end, 1, NULL, 0, &fill->p.at[2]);
    store_here(fill);
    loop_end(e, &l, NULL);
    loop_end(e, &lines, NULL);
    memo_release(e, mark);
}

static void fill_pieces(struct fill *fill, const struct pieces *y,
                        const struct pieces *x) {
    for (size_t i = 0; i < y->dim; i = piece_end(y, i))
        for (size_t k = 0; k < x->dim; k = piece_end(x, k))
            fill_piece(fill, i, piece_end(y, i), k, piece_end(x, k), y->n > 1);
}

// ---- planes --------------------------------------------------------------------------

static void fill_strided(struct fill *fill, const int64_t stride[2]) {
    int64_t lines = (int64_t)fill->t->dim[1];
    struct ix y;
    int64_t whole = lines / stride[0] * stride[0];
    struct loop l = loop_over(fill->e, 0, whole, stride[0], NULL, 0, &y);
    fill_lines(fill, y, stride[0], stride[1]);
    loop_end(fill->e, &l, NULL);
    fill_lines(fill, ix_const(fill->e, whole), lines - whole, stride[1]);
}

static void fill_plane(struct fill *fill) {
    struct pieces y, x;
    int64_t stride[2];
    residues(fill, stride);
    if (stride[0] * stride[1] == 1 && choose_pieces(fill, &y, &x))
        fill_pieces(fill, &y, &x);
    else fill_strided(fill, stride);
}

static void fill_blocked(struct fill *fill) {
    struct emit *e = fill->e;
    struct ix c;
    int64_t channels = (int64_t)fill->t->dim[0];
    struct loop l = loop_over(e, 0, channels, (int64_t)e->lanes, NULL, 0, &c);
    fill->p.lanes = e->lanes;
    fill->p.at[0] = ix_ramp(e, c);
    if (channels % (int64_t)e->lanes != 0)
        fill->p.mask = LLVMBuildICmp(e->b, LLVMIntULT, ix_lanes(e, &fill->p.at[0]),
                                     ll_isplat(e, channels, e->lanes), "");
    fill_plane(fill);
    loop_end(e, &l, NULL);
}

// ---- vectors along the last axis, and single elements --------------------------------

// Calls set(i) and stores, for vectors of indices that cover [0, n).
static void along(struct fill *fill, int64_t n, void (*set)(struct fill *, struct ix)) {
    struct emit *e = fill->e;
    int64_t whole = n / (int64_t)e->lanes * (int64_t)e->lanes;
    struct ix i;
    fill->p.lanes = e->lanes;
    if (whole) {
        struct loop l = loop_over(e, 0, whole, (int64_t)e->lanes, NULL, 0, &i);
        set(fill, ix_ramp(e, i));
        store_here(fill);
        loop_end(e, &l, NULL);
    }
    if (whole == n) return;
    i = ix_ramp(e, ix_const(e, whole));
    set(fill, i);
    fill->p.mask =
        LLVMBuildICmp(e->b, LLVMIntULT, ix_lanes(e, &i), ll_isplat(e, n, e->lanes), "");
    store_here(fill);
    fill->p.mask = NULL;
}

static void set_last(struct fill *fill, struct ix i) {
    fill->p.at[fill->p.rank - 1] = i;
}

static void set_flat(struct fill *fill, struct ix i) {
    fill->p.has_flat = true;
    fill->p.flat = i;
    point_unflat(fill->e, i, fill->t->dim, fill->p.rank, fill->p.at);
}

static void fill_last_axis(struct fill *fill) {
    struct emit *e = fill->e;
    struct loop l[TYPE_MAX_RANK];
    uint32_t outer = fill->p.rank - 1;
    for (uint32_t i = 0; i < outer; i++)
        l[i] = loop_over(e, 0, (int64_t)fill->t->dim[i], 1, NULL, 0, &fill->p.at[i]);
    along(fill, (int64_t)fill->t->dim[outer], set_last);
    for (uint32_t i = outer; i-- > 0;) loop_end(e, &l[i], NULL);
}

// One place at a time; lanes past the channels of a blocked result are zeroed beforehand.
static void fill_singly(struct fill *fill) {
    struct emit *e = fill->e;
    struct loop l[TYPE_MAX_RANK];
    for (size_t i = 0; i < fill->n; i++)
        if (fill->to[i].layout->kind == LAYOUT_BLOCKED) emit_zero_row(e, &fill->to[i]);
    fill->p.lanes = 1;
    for (uint32_t i = 0; i < fill->p.rank; i++)
        l[i] = loop_over(e, 0, (int64_t)fill->t->dim[i], 1, NULL, 0, &fill->p.at[i]);
    store_here(fill);
    for (uint32_t i = fill->p.rank; i-- > 0;) loop_end(e, &l[i], NULL);
}

static bool all_flat(const struct fill *fill) {
    bool flat = true;
    for (size_t i = 0; i < fill->n; i++)
        flat = flat && flat_friendly(fill->e, fill->nodes[i]) &&
               fill->to[i].layout->border == 0;
    return flat;
}

static bool any_blocked(const struct fill *fill) {
    for (size_t i = 0; i < fill->n; i++)
        if (fill->to[i].layout->kind == LAYOUT_BLOCKED) return true;
    return false;
}

// Vectors across rows of the last axis pay when that is much shorter than a vector.
static bool last_axis_is_short(const struct fill *fill) {
    size_t last = fill->t->dim[fill->t->rank - 1];
    bool border = false;
    for (size_t i = 0; i < fill->n; i++) border |= fill->to[i].layout->border != 0;
    return !border && last < fill->e->lanes / 2 && type_count(fill->t) > last;
}

void emit_fill(struct emit *e, const nid *nodes, const struct view *to, size_t n) {
    struct fill fill = {e, nodes, to, n, to[0].type, {.rank = to[0].type->rank}};
    int axis = AXIS_ANY;
    if (type_count(fill.t) == 0) return;
    emit_hoisted(e, nodes, n);
    for (size_t i = 0; i < n; i++) axis = axis_joined(axis, axis_of(e, nodes[i]));
    if (type_count(fill.t) == 1 || axis == AXIS_SCALAR) fill_singly(&fill);
    else if (any_blocked(&fill)) fill_blocked(&fill);
    else if (all_flat(&fill) || last_axis_is_short(&fill))
        along(&fill, (int64_t)type_count(fill.t), set_flat);
    else fill_last_axis(&fill);
}
