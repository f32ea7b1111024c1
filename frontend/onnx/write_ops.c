// IR ops as ONNX nodes: a table of op -> function. See write.h.
//
// Networks hold what the importer makes and what frontend/networks builds; other ops have
// no row. A row value has the batch in front, so its axes are one further; values of all
// rows broadcast from the right and need nothing.
#include "frontend/onnx/write.h"

typedef bool (*writer)(struct writing *w, const struct node *n, const char *out);

// ---- operands ------------------------------------------------------------------------
static const struct type *type_in(const struct writing *w, const struct node *n,
                                  uint32_t i) {
    return type_at(w->f, n->in[i]);
}

static const char *name_in(const struct writing *w, const struct node *n, uint32_t i) {
    CHECK(w->names[n->in[i]]);
    return w->names[n->in[i]];
}

static bool cannot(struct writing *w, const char *what) {
    w->error = what;
    return false;
}

static const size_t ONES[TYPE_MAX_RANK] = {1, 1, 1, 1, 1, 1};

// An operand that goes with values of that rank: one number a row gets axes to broadcast.
static const char *of_rank(struct writing *w, const struct node *n, uint32_t i,
                           size_t rank) {
    const struct type *t = type_in(w, n, i);
    if (!t->rows || t->rank == rank) return name_in(w, n, i);
    const char *out = write_temp(w);
    CHECK(t->rank == 0);
    write_reshape(w, name_in(w, n, i), true, ONES, rank, out);
    return out;
}

// ---- elementwise ---------------------------------------------------------------------
static const char *const NAMES[OP_COUNT] = {
    // of ops that are ONNX's own
    [OP_NEG] = "Neg",   [OP_EXP] = "Exp",         [OP_LOG] = "Log", [OP_SQRT] = "Sqrt",
    [OP_RELU] = "Relu", [OP_TANH] = "Tanh",       [OP_ERF] = "Erf", [OP_ADD] = "Add",
    [OP_SUB] = "Sub",   [OP_SIGMOID] = "Sigmoid", [OP_MUL] = "Mul", [OP_DIV] = "Div",
    [OP_MAX] = "Max",   [OP_MIN] = "Min",
};

static bool write_unary(struct writing *w, const struct node *n, const char *out) {
    write_node(w, NAMES[n->op], (const char *[]){name_in(w, n, 0)}, 1, out);
    return true;
}

static bool write_binary(struct writing *w, const struct node *n, const char *out) {
    const char *in[] = {of_rank(w, n, 0, n->type.rank), of_rank(w, n, 1, n->type.rank)};
    write_node(w, NAMES[n->op], in, 2, out);
    return true;
}

// A node between others, and its name.
static const char *step(struct writing *w, const char *op, const char *const *in,
                        size_t nin) {
    const char *out = write_temp(w);
    write_node(w, op, in, nin, out);
    return out;
}

// Integers round down, and x / 0 is 0: (x - x mod y) / y.
static bool write_int_div(struct writing *w, const struct node *n, const char *out) {
    enum elem e = n->type.elem;
    if (e != ELEM_I64) return cannot(w, "a division of integers that are not i64");
    const char *x = of_rank(w, n, 0, n->type.rank), *y = of_rank(w, n, 1, n->type.rank);
    const char *zero = write_number(w, e, 0), *one = write_number(w, e, 1);
    const char *none = step(w, "Equal", (const char *[]){y, zero}, 2);
    y = step(w, "Where", (const char *[]){none, one, y}, 3);
    const char *rest = step(w, "Mod", (const char *[]){x, y}, 2);
    x = step(w, "Sub", (const char *[]){x, rest}, 2);
    const char *q = step(w, "Div", (const char *[]){x, y}, 2);
    write_node(w, "Where", (const char *[]){none, zero, q}, 3, out);
    return true;
}

static bool write_div(struct writing *w, const struct node *n, const char *out) {
    return n->type.elem == ELEM_F32 ? write_binary(w, n, out) : write_int_div(w, n, out);
}

static void write_cast(struct writing *w, const char *x, enum elem to, const char *out) {
    Onnx__NodeProto *p = write_node(w, "Cast", &x, 1, out);
    write_attr_int(w, p, "to",
                   to == ELEM_F32 ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
                                  : ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
}

static bool write_casted(struct writing *w, const struct node *n, const char *out) {
    enum elem from = type_in(w, n, 0)->elem, to = n->type.elem;
    if ((from != ELEM_F32 && from != ELEM_I64) || (to != ELEM_F32 && to != ELEM_I64))
        return cannot(w, "a cast to or from other numbers than f32 and i64");
    write_cast(w, name_in(w, n, 0), to, out);
    return true;
}

static bool write_step(struct writing *w, const struct node *n, const char *out) {
    const char *zero = write_number(w, n->type.elem, 0);
    const char *above = step(w, "Greater", (const char *[]){name_in(w, n, 0), zero}, 2);
    write_cast(w, above, n->type.elem, out);
    return true;
}

static bool write_eq(struct writing *w, const struct node *n, const char *out) {
    const char *in[] = {of_rank(w, n, 0, n->type.rank), of_rank(w, n, 1, n->type.rank)};
    write_cast(w, step(w, "Equal", in, 2), n->type.elem, out);
    return true;
}

// ---- moving elements -----------------------------------------------------------------
static bool write_reshaped(struct writing *w, const struct node *n, const char *out) {
    write_reshape(w, name_in(w, n, 0), n->type.rows, n->type.dim, n->type.rank, out);
    return true;
}

// A 1 in front leaves the batch as it is.
static bool write_broadcast(struct writing *w, const struct node *n, const char *out) {
    int64_t shape[TYPE_MAX_RANK + 1] = {1};
    for (size_t i = 0; i < n->type.rank; i++)
        shape[i + n->type.rows] = (int64_t)n->type.dim[i];
    const char *in[] = {of_rank(w, n, 0, n->type.rank),
                        write_ints(w, shape, n->type.rank + n->type.rows)};
    write_node(w, "Expand", in, 2, out);
    return true;
}

static bool write_transpose(struct writing *w, const struct node *n, const char *out) {
    int64_t perm[TYPE_MAX_RANK + 1] = {0};
    for (size_t i = 0; i < n->type.rank; i++)
        perm[i + n->type.rows] = n->attrs[0].is[i] + n->type.rows;
    const char *x = name_in(w, n, 0);
    write_attr_ints(w, write_node(w, "Transpose", &x, 1, out), "perm", perm,
                    n->type.rank + n->type.rows);
    return true;
}

// Where a slice ends that goes down to the first element: before it, as ONNX counts.
static int64_t slice_end(const struct node *n, size_t i, size_t dim) {
    int64_t end = n->attrs[0].is[i] + n->attrs[1].is[i] * n->attrs[2].is[i];
    return end < 0 ? -(int64_t)dim - 1 : end;
}

static bool write_slice(struct writing *w, const struct node *n, const char *out) {
    int64_t ends[TYPE_MAX_RANK], axes[TYPE_MAX_RANK];
    size_t rank = n->type.rank;
    for (size_t i = 0; i < rank; i++) {
        ends[i] = slice_end(n, i, type_in(w, n, 0)->dim[i]);
        axes[i] = (int64_t)i + n->type.rows;
    }
    const char *in[] = {name_in(w, n, 0), write_ints(w, n->attrs[0].is, rank),
                        write_ints(w, ends, rank), write_ints(w, axes, rank),
                        write_ints(w, n->attrs[1].is, rank)};
    write_node(w, "Slice", in, 5, out);
    return true;
}

static bool write_pad(struct writing *w, const struct node *n, const char *out) {
    int64_t pads[2 * (TYPE_MAX_RANK + 1)] = {0};
    size_t rank = n->type.rank, rows = n->type.rows, all = rank + rows;
    for (size_t i = 0; i < rank; i++) {
        if (n->attrs[2].is[i]) return cannot(w, "a pad between elements");
        pads[i + rows] = n->attrs[0].is[i];
        pads[i + rows + all] = n->attrs[1].is[i];
    }
    const char *in[] = {name_in(w, n, 0), write_ints(w, pads, 2 * all),
                        write_number(w, n->type.elem, n->attrs[3].f)};
    write_node(w, "Pad", in, 3, out);
    return true;
}

// A value of all rows, one for each: as many as x has.
static const char *for_each_row(struct writing *w, const struct node *n, uint32_t i) {
    const struct type *t = type_in(w, n, i);
    const char *x = w->names[0];
    int64_t shape[TYPE_MAX_RANK];
    for (size_t k = 0; k < t->rank; k++) shape[k] = (int64_t)t->dim[k];
    const char *first[] = {step(w, "Shape", &x, 1), write_ints(w, (int64_t[]){0}, 1),
                           write_ints(w, (int64_t[]){1}, 1)};
    const char *join[] = {step(w, "Slice", first, 3), write_ints(w, shape, t->rank)};
    const char *full = write_temp(w);
    write_attr_int(w, write_node(w, "Concat", join, 2, full), "axis", 0);
    return step(w, "Expand", (const char *[]){name_in(w, n, i), full}, 2);
}

static bool write_concat(struct writing *w, const struct node *n, const char *out) {
    const char **in = NEW_N(w->arena, const char *, n->nin);
    for (uint32_t i = 0; i < n->nin; i++)
        in[i] = n->type.rows && !type_in(w, n, i)->rows ? for_each_row(w, n, i)
                                                        : name_in(w, n, i);
    write_attr_int(w, write_node(w, "Concat", in, n->nin, out), "axis",
                   n->attrs[0].i + n->type.rows);
    return true;
}

static bool write_gather(struct writing *w, const struct node *n, const char *out) {
    const char *in[] = {name_in(w, n, 0), write_ints(w, n->attrs[0].is, n->attrs[0].n)};
    write_attr_int(w, write_node(w, "Gather", in, 2, out), "axis",
                   n->attrs[1].i + n->type.rows);
    return true;
}

// ---- reductions ----------------------------------------------------------------------
static bool of_one(const struct writing *w, const struct node *n) {
    for (size_t i = 0; i < n->attrs[0].n; i++)
        if (type_in(w, n, 0)->dim[n->attrs[0].is[i]] != 1) return false;
    return n->attrs[0].n;
}

// From opset 13 on the axes of a sum are an input; those of others only from 18 on. The
// sum of one element is what is left of a global mean, which it is at other image sizes.
static bool write_reduce(struct writing *w, const struct node *n, const char *out) {
    int64_t axes[TYPE_MAX_RANK];
    size_t count = n->attrs[0].n;
    for (size_t i = 0; i < count; i++) axes[i] = n->attrs[0].is[i] + n->type.rows;
    bool mean = n->op == OP_SUM && of_one(w, n), sum = n->op == OP_SUM && !mean;
    const char *in[] = {name_in(w, n, 0), sum ? write_ints(w, axes, count) : NULL};
    Onnx__NodeProto *p = write_node(w,
                                    mean  ? "ReduceMean"
                                    : sum ? "ReduceSum"
                                          : "ReduceMax",
                                    in, 1 + sum, out);
    if (sum) write_attr_int(w, p, "noop_with_empty_axes", true);
    else write_attr_ints(w, p, "axes", axes, count);
    write_attr_int(w, p, "keepdims", n->attrs[1].i);
    return true;
}

// ---- products ------------------------------------------------------------------------
static const char *transposed(struct writing *w, const struct node *n, uint32_t i) {
    const struct type *t = type_in(w, n, i);
    const char *x = name_in(w, n, i), *out = write_temp(w);
    int64_t perm[TYPE_MAX_RANK + 1];
    size_t all = t->rank + t->rows;
    for (size_t k = 0; k < all; k++) perm[k] = (int64_t)k;
    perm[all - 1] = (int64_t)all - 2;
    perm[all - 2] = (int64_t)all - 1;
    write_attr_ints(w, write_node(w, "Transpose", &x, 1, out), "perm", perm, all);
    return out;
}

static bool write_matmul(struct writing *w, const struct node *n, const char *out) {
    const char *in[2];
    for (uint32_t i = 0; i < 2; i++)
        in[i] = n->attrs[i].i ? transposed(w, n, i) : name_in(w, n, i);
    write_node(w, "MatMul", in, 2, out);
    return true;
}

void write_conv_attrs(struct writing *w, Onnx__NodeProto *p, const struct node *conv) {
    struct conv_attrs c = conv_attrs_of(conv);
    const struct type *weight = type_at(w->f, conv->in[1]);
    const int64_t kernel[] = {(int64_t)weight->dim[2], (int64_t)weight->dim[3]};
    write_attr_ints(w, p, "kernel_shape", kernel, 2);
    write_attr_ints(w, p, "strides", c.strides, 2);
    write_attr_ints(w, p, "pads", c.pads, 4);
    write_attr_ints(w, p, "dilations", c.dilations, 2);
    write_attr_int(w, p, "group", c.groups);
}

static bool write_conv(struct writing *w, const struct node *n, const char *out) {
    if (!type_in(w, n, 0)->rows || type_in(w, n, 1)->rows)
        return cannot(w, "a convolution whose weight is a row's");
    const char *in[] = {name_in(w, n, 0), name_in(w, n, 1)};
    write_conv_attrs(w, write_node(w, "Conv", in, 2, out), n);
    return true;
}

static bool write_pool(struct writing *w, const struct node *n, const char *out) {
    const char *x = name_in(w, n, 0);
    const int64_t *kernel = n->attrs[0].is, *pads = n->attrs[2].is;
    bool mean = n->op == OP_AVGPOOL;
    for (size_t i = 0; i < 4; i++)
        if (pads[i] >= kernel[i % 2]) return cannot(w, "a pool with windows of padding");
    if (!type_in(w, n, 0)->rows) return cannot(w, "a pool of what is no row's");
    Onnx__NodeProto *p = write_node(w, mean ? "AveragePool" : "MaxPool", &x, 1, out);
    write_attr_ints(w, p, "kernel_shape", kernel, 2);
    write_attr_ints(w, p, "strides", n->attrs[1].is, 2);
    write_attr_ints(w, p, "pads", pads, 4);
    if (mean) write_attr_int(w, p, "count_include_pad", n->attrs[3].i);
    return true;
}

// ---- the table -----------------------------------------------------------------------
static const writer WRITERS[OP_COUNT] = {
    [OP_NEG] = write_unary,           [OP_EXP] = write_unary,
    [OP_LOG] = write_unary,           [OP_SQRT] = write_unary,
    [OP_RELU] = write_unary,          [OP_TANH] = write_unary,
    [OP_SIGMOID] = write_unary,       [OP_ERF] = write_unary,
    [OP_ADD] = write_binary,          [OP_SUB] = write_binary,
    [OP_MUL] = write_binary,          [OP_DIV] = write_div,
    [OP_MAX] = write_binary,          [OP_MIN] = write_binary,
    [OP_STEP] = write_step,           [OP_EQ] = write_eq,
    [OP_CAST] = write_casted,         [OP_RESHAPE] = write_reshaped,
    [OP_BROADCAST] = write_broadcast, [OP_TRANSPOSE] = write_transpose,
    [OP_SLICE] = write_slice,         [OP_PAD] = write_pad,
    [OP_CONCAT] = write_concat,       [OP_GATHER] = write_gather,
    [OP_SUM] = write_reduce,          [OP_AMAX] = write_reduce,
    [OP_MATMUL] = write_matmul,       [OP_CONV] = write_conv,
    [OP_MAXPOOL] = write_pool,        [OP_AVGPOOL] = write_pool,
};

bool write_op(struct writing *w, nid v) {
    const struct node *n = node_at(w->f, v);
    if (WRITERS[n->op]) return WRITERS[n->op](w, n, w->names[v]);
    return cannot(w, arena_printf(w->arena, "`%s`", op_info(n->op)->name));
}
