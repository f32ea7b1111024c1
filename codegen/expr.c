// The value of any node at a point: what is already known, what is loaded, what is
// computed.
#include "codegen/emit.h"

#include <math.h>

// ---- values already known ------------------------------------------------------------

size_t memo_mark(const struct emit *e) {
    return e->memo.n;
}

void memo_release(struct emit *e, size_t mark) {
    CHECK(mark <= e->memo.n);
    e->memo.n = mark;
}

static void memo_set(struct emit *e, nid n, const struct point *p, LLVMValueRef value) {
    VEC_PUSH(e->arena, &e->memo, (struct memo){n, *p, value});
}

static LLVMValueRef memo_get(const struct emit *e, nid n, const struct point *p) {
    for (size_t i = e->memo.n; i-- > 0;) {
        const struct memo *m = &e->memo.at[i];
        if (m->node == n && point_same(&m->at, p)) return m->value;
    }
    return NULL;
}

// ---- elementwise ---------------------------------------------------------------------

struct point operand_point(struct emit *e, const struct point *p, const struct type *t,
                           const struct type *in) {
    if (type_same_shape(t, in)) return *p;
    struct point q = *p;
    q.rank = in->rank;
    q.has_flat = false;
    CHECK(in->rank == 0 || in->rank == t->rank);
    for (uint32_t i = 0; i < in->rank; i++)
        if (in->dim[i] == 1) q.at[i] = ix_const(e, 0);
    return q;
}

static LLVMValueRef operand(struct emit *e, const struct node *n, uint32_t i,
                            const struct point *p) {
    struct point q = operand_point(e, p, &n->type, type_at(e->f, n->in[i]));
    return emit_value(e, n->in[i], &q);
}

static LLVMValueRef compare(struct emit *e, bool real, LLVMRealPredicate f,
                            LLVMIntPredicate i, LLVMValueRef x, LLVMValueRef y) {
    return real ? LLVMBuildFCmp(e->b, f, x, y, "") : LLVMBuildICmp(e->b, i, x, y, "");
}

// y, where it divides x without a trap; 1 elsewhere.
static LLVMValueRef safe_divisor(struct emit *e, LLVMValueRef y, size_t lanes) {
    LLVMTypeRef type = LLVMTypeOf(y);
    LLVMTypeRef elem = lanes == 1 ? type : LLVMGetElementType(type);
    LLVMValueRef one = ll_splat(e, LLVMConstInt(elem, 1, false), lanes);
    LLVMValueRef past = LLVMBuildICmp(e->b, LLVMIntULT, LLVMBuildAdd(e->b, y, one, ""),
                                      LLVMBuildAdd(e->b, one, one, ""), "");
    return LLVMBuildSelect(e->b, past, one, y, ""); // 0 and -1
}

// Rounds down; x / 0 is 0, the smallest number over -1 wraps.
static LLVMValueRef floor_div(struct emit *e, LLVMValueRef x, LLVMValueRef y,
                              size_t lanes) {
    LLVMBuilderRef b = e->b;
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef zero = ll_zero(type), d = safe_divisor(e, y, lanes);
    LLVMValueRef q = LLVMBuildSDiv(b, x, d, "");
    LLVMValueRef rest = LLVMBuildSub(b, x, LLVMBuildMul(b, q, d, ""), "");
    LLVMValueRef inexact = LLVMBuildICmp(b, LLVMIntNE, rest, zero, "");
    LLVMValueRef signs =
        LLVMBuildICmp(b, LLVMIntSLT, LLVMBuildXor(b, x, d, ""), zero, "");
    LLVMValueRef down = LLVMBuildAnd(b, inexact, signs, "");
    q = LLVMBuildAdd(b, q, LLVMBuildSExt(b, down, type, ""), "");
    LLVMValueRef by_zero = LLVMBuildICmp(b, LLVMIntEQ, y, zero, "");
    LLVMValueRef by_minus = LLVMBuildICmp(b, LLVMIntEQ, y, LLVMConstAllOnes(type), "");
    q = LLVMBuildSelect(b, by_minus, LLVMBuildNeg(b, x, ""), q, "");
    return LLVMBuildSelect(b, by_zero, zero, q, "");
}

static LLVMValueRef value_binary(struct emit *e, const struct node *n,
                                 const struct point *p) {
    LLVMBuilderRef b = e->b;
    bool real = n->type.elem == ELEM_F32;
    LLVMValueRef x = operand(e, n, 0, p), y = operand(e, n, 1, p);
    switch (n->op) {
    case OP_ADD: return real ? LLVMBuildFAdd(b, x, y, "") : LLVMBuildAdd(b, x, y, "");
    case OP_SUB: return real ? LLVMBuildFSub(b, x, y, "") : LLVMBuildSub(b, x, y, "");
    case OP_MUL: return real ? LLVMBuildFMul(b, x, y, "") : LLVMBuildMul(b, x, y, "");
    case OP_DIV: return real ? ll_div(e, x, y, p->mask) : floor_div(e, x, y, p->lanes);
    case OP_MAX:
        return LLVMBuildSelect(b, compare(e, real, LLVMRealOGT, LLVMIntSGT, x, y), x, y,
                               "");
    case OP_MIN:
        return LLVMBuildSelect(b, compare(e, real, LLVMRealOLT, LLVMIntSLT, x, y), x, y,
                               "");
    default: BUG("%s is not a binary op", op_info(n->op)->name);
    }
}

// 1 where the condition holds, else 0, in the node's element type.
static LLVMValueRef as_number(struct emit *e, const struct node *n, LLVMValueRef cond,
                              size_t lanes) {
    LLVMTypeRef type = ll_vec(ll_elem(e, n->type.elem), lanes);
    if (n->type.elem == ELEM_F32)
        return LLVMBuildSelect(e->b, cond, ll_fsplat(e, 1, lanes), ll_zero(type), "");
    return LLVMBuildZExt(e->b, cond, type, "");
}

static LLVMValueRef value_equal(struct emit *e, const struct node *n,
                                const struct point *p) {
    bool real = n->type.elem == ELEM_F32;
    LLVMValueRef x = operand(e, n, 0, p), y = operand(e, n, 1, p);
    return as_number(e, n, compare(e, real, LLVMRealOEQ, LLVMIntEQ, x, y), p->lanes);
}

static LLVMValueRef value_unary(struct emit *e, const struct node *n,
                                const struct point *p) {
    LLVMBuilderRef b = e->b;
    bool real = n->type.elem == ELEM_F32;
    LLVMValueRef x = operand(e, n, 0, p);
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMValueRef zero = ll_zero(type);
    switch (n->op) {
    case OP_NEG: return real ? LLVMBuildFNeg(b, x, "") : LLVMBuildNeg(b, x, "");
    case OP_RELU:
        return LLVMBuildSelect(b, compare(e, real, LLVMRealOGT, LLVMIntSGT, x, zero), x,
                               zero, "");
    case OP_STEP:
        return as_number(e, n, compare(e, real, LLVMRealOGT, LLVMIntSGT, x, zero),
                         p->lanes);
    case OP_SQRT: return ll_call(e, "llvm.sqrt", &type, 1, &x, 1);
    case OP_EXP: return math_exp(e, x, p->lanes);
    case OP_LOG: return math_log(e, x, p->lanes);
    case OP_TANH: return math_tanh(e, x, p->lanes);
    case OP_SIGMOID: return math_sigmoid(e, x, p->lanes);
    case OP_ERF: return math_erf(e, x, p->lanes);
    default: BUG("%s is not a unary op", op_info(n->op)->name);
    }
}

// One instruction, also for a single number: so all are rounded alike.
static LLVMValueRef to_bf16(struct emit *e, LLVMValueRef x, size_t lanes) {
    LLVMValueRef all = lanes == 1 ? ll_splat(e, x, e->lanes) : x;
    LLVMTypeRef bits = ll_vec(e->i16, e->lanes);
    emit_allow_bf16(e);
    LLVMValueRef v = ll_call(e, "llvm.x86.avx512bf16.cvtneps2bf16.512", NULL, 0, &all, 1);
    v = LLVMBuildBitCast(e->b, v, bits, "");
    return lanes == 1 ? ll_lane(e, v, 0) : v;
}

static LLVMValueRef of_bf16(struct emit *e, LLVMValueRef x, size_t lanes) {
    LLVMValueRef wide = LLVMBuildZExt(e->b, x, ll_vec(e->i32, lanes), "");
    wide = LLVMBuildShl(e->b, wide, ll_isplat(e, 16, lanes), "");
    return LLVMBuildBitCast(e->b, wide, ll_vec(e->f32, lanes), "");
}

// Floats are cut and held within the integer's range; integers keep their low bits.
static LLVMValueRef value_cast(struct emit *e, const struct node *n,
                               const struct point *p) {
    enum elem from = type_at(e->f, n->in[0])->elem, to = n->type.elem;
    LLVMValueRef x = operand(e, n, 0, p);
    LLVMTypeRef type = ll_vec(ll_elem(e, to), p->lanes);
    bool byte = from == ELEM_U8;
    if (from == to) return x;
    if (to == ELEM_BF16) return to_bf16(e, x, p->lanes);
    if (from == ELEM_BF16) return of_bf16(e, x, p->lanes);
    if (from == ELEM_F32) {
        const char *cut = to == ELEM_U8 ? "llvm.fptoui.sat" : "llvm.fptosi.sat";
        return ll_call(e, cut, (LLVMTypeRef[]){type, LLVMTypeOf(x)}, 2, &x, 1);
    }
    if (to == ELEM_F32)
        return byte ? LLVMBuildUIToFP(e->b, x, type, "")
                    : LLVMBuildSIToFP(e->b, x, type, "");
    if (elem_size(to) < elem_size(from)) return LLVMBuildTrunc(e->b, x, type, "");
    return byte ? LLVMBuildZExt(e->b, x, type, "") : LLVMBuildSExt(e->b, x, type, "");
}

// ---- all ops -------------------------------------------------------------------------

value_fn value_emitter(enum op op) {
    static const value_fn FUNCTIONS[OP_COUNT] = {
        [OP_NEG] = value_unary,
        [OP_EXP] = value_unary,
        [OP_LOG] = value_unary,
        [OP_SQRT] = value_unary,
        [OP_RELU] = value_unary,
        [OP_STEP] = value_unary,
        [OP_TANH] = value_unary,
        [OP_SIGMOID] = value_unary,
        [OP_ERF] = value_unary,
        [OP_ADD] = value_binary,
        [OP_SUB] = value_binary,
        [OP_MUL] = value_binary,
        [OP_DIV] = value_binary,
        [OP_MAX] = value_binary,
        [OP_MIN] = value_binary,
        [OP_EQ] = value_equal,
        [OP_CAST] = value_cast,
        [OP_RESHAPE] = value_reshape,
        [OP_BROADCAST] = value_broadcast,
        [OP_TRANSPOSE] = value_transpose,
        [OP_SLICE] = value_slice,
        [OP_PAD] = value_pad,
        [OP_CONCAT] = value_concat,
        [OP_GATHER] = value_gather,
        [OP_TAKE] = value_take,
        [OP_CHOOSE] = value_choose,
        [OP_WINDOW] = value_window,
        [OP_SUM] = value_reduce,
        [OP_AMAX] = value_reduce,
        [OP_ARGMAX] = value_argmax,
        [OP_BATCH_SUM] = value_batch_sum,
        [OP_MAXPOOL] = value_maxpool,
        [OP_MAXPOOL_DX] = value_maxpool_dx,
        [OP_MAXPOOL_JVP] = value_maxpool_jvp,
        [OP_AVGPOOL] = value_avgpool,
        [OP_AVGPOOL_DX] = value_avgpool_dx,
    };
    return FUNCTIONS[op];
}

static LLVMValueRef embedded(struct emit *e, const struct node *n, size_t lanes) {
    LLVMTypeRef elem = ll_elem(e, n->type.elem);
    LLVMValueRef one;
    if (n->type.elem == ELEM_F32) {
        uint32_t bits;
        memcpy(&bits, n->data, sizeof bits); // not through double: NaNs keep their bits
        one = LLVMConstBitCast(LLVMConstInt(e->i32, bits, false), e->f32);
    } else {
        uint64_t bits = 0;
        memcpy(&bits, n->data, elem_size(n->type.elem)); // little endian
        one = LLVMConstInt(elem, bits, false);
    }
    return ll_splat(e, one, lanes);
}

static LLVMValueRef value_here(struct emit *e, nid id, const struct point *p) {
    const struct node *n = node_at(e->f, id);
    if (reads_embedded(e->f, e->k, id)) return embedded(e, n, p->lanes);
    LLVMValueRef v = memo_get(e, id, p);
    if (v) return v;
    if (reads_loaded(e->f, e->k, id)) {
        struct view view = view_in(e, id);
        v = emit_load(e, &view, p);
    } else {
        value_fn fn = value_emitter(n->op);
        if (!fn) BUG("%s is neither stored nor computed", op_info(n->op)->name);
        v = fn(e, n, p);
    }
    memo_set(e, id, p, v);
    return v;
}

// p with the only index there is along axes of one element, and one lane if that is all.
static struct point normal_point(struct emit *e, const struct point *p,
                                 const struct type *t) {
    struct point q = *p;
    CHECK(q.rank == t->rank);
    for (uint32_t i = 0; i < q.rank; i++)
        if (t->dim[i] == 1) q.at[i] = ix_const(e, 0);
    if (q.lanes > 1) point_drop_lanes(&q);
    return q;
}

LLVMValueRef emit_value(struct emit *e, nid n, const struct point *p) {
    struct point q = normal_point(e, p, type_at(e->f, n));
    LLVMValueRef v = value_here(e, n, &q);
    return q.lanes < p->lanes ? ll_splat(e, v, p->lanes) : v;
}

void set_value(struct emit *e, nid n, const struct point *p, LLVMValueRef value) {
    struct point q = normal_point(e, p, type_at(e->f, n));
    memo_set(e, n, &q, q.lanes < p->lanes ? ll_lane(e, value, 0) : value);
}

// ---- what is computed once a row -----------------------------------------------------

struct hoist {
    struct emit *e;
    bool *seen;
};

// Values of one element that lie under n, those they need first.
static void hoist_under(struct hoist *h, nid n) {
    struct emit *e = h->e;
    const struct node *node = node_at(e->f, n);
    if (h->seen[n] || n == e->k->anchor || reads_embedded(e->f, e->k, n) ||
        reads_loaded(e->f, e->k, n))
        return;
    h->seen[n] = true;
    if (node->op == OP_BATCH_SUM) return; // what is under it is one a row
    for (uint32_t i = 0; i < node->nin; i++) hoist_under(h, node->in[i]);
    if (type_count(&node->type) != 1 || depends_on(e, n, e->k->anchor)) return;
    struct point p = {.rank = node->type.rank, .lanes = 1};
    for (uint32_t i = 0; i < p.rank; i++) p.at[i] = ix_const(e, 0);
    emit_value(e, n, &p);
}

void emit_hoisted(struct emit *e, const nid *roots, size_t nroots) {
    struct hoist h = {e, NEW_N(e->arena, bool, e->f->nodes.n)};
    for (size_t i = 0; i < nroots; i++) hoist_under(&h, roots[i]);
}
