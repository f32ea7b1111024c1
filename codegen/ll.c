// Short names for the parts of LLVM's C API that kernels are made of, and loops.
#include "codegen/emit.h"

LLVMTypeRef ll_elem(struct emit *e, enum elem elem) {
    switch (elem) {
    case ELEM_F32: return e->f32;
    case ELEM_BF16: return e->i16;
    case ELEM_I32: return e->i32;
    case ELEM_U8: return e->i8;
    default: return e->i64;
    }
}

LLVMTypeRef ll_vec(LLVMTypeRef elem, size_t lanes) {
    return lanes == 1 ? elem : LLVMVectorType(elem, (unsigned)lanes);
}

LLVMValueRef ll_i64(struct emit *e, int64_t v) {
    return LLVMConstInt(e->i64, (unsigned long long)v, true);
}

LLVMValueRef ll_i32(struct emit *e, int64_t v) {
    return LLVMConstInt(e->i32, (unsigned long long)v, true);
}

LLVMValueRef ll_f32(struct emit *e, double v) {
    return LLVMConstReal(e->f32, v);
}

static LLVMValueRef const_splat(LLVMValueRef scalar, size_t lanes) {
    LLVMValueRef each[64];
    CHECK(lanes <= COUNT(each));
    for (size_t i = 0; i < lanes; i++) each[i] = scalar;
    return LLVMConstVector(each, (unsigned)lanes);
}

LLVMValueRef ll_splat(struct emit *e, LLVMValueRef scalar, size_t lanes) {
    if (lanes == 1) return scalar;
    if (LLVMIsConstant(scalar)) return const_splat(scalar, lanes);
    LLVMTypeRef vec = ll_vec(LLVMTypeOf(scalar), lanes);
    LLVMValueRef one =
        LLVMBuildInsertElement(e->b, LLVMGetPoison(vec), scalar, ll_i32(e, 0), "");
    LLVMValueRef zeros = ll_zero(ll_vec(e->i32, lanes));
    return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(vec), zeros, "");
}

LLVMValueRef ll_fsplat(struct emit *e, double v, size_t lanes) {
    return ll_splat(e, ll_f32(e, v), lanes);
}

LLVMValueRef ll_isplat(struct emit *e, int64_t v, size_t lanes) {
    return ll_splat(e, ll_i32(e, v), lanes);
}

LLVMValueRef ll_iota(struct emit *e) {
    LLVMValueRef each[64];
    CHECK(e->lanes <= COUNT(each));
    for (size_t i = 0; i < e->lanes; i++) each[i] = ll_i32(e, (int64_t)i);
    return LLVMConstVector(each, (unsigned)e->lanes);
}

LLVMValueRef ll_zero(LLVMTypeRef t) {
    return LLVMConstNull(t);
}

LLVMValueRef ll_call(struct emit *e, const char *intrinsic, LLVMTypeRef *types,
                     size_t ntypes, LLVMValueRef *args, size_t nargs) {
    unsigned id = LLVMLookupIntrinsicID(intrinsic, strlen(intrinsic));
    CHECK(id != 0);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->module, id, types, ntypes);
    LLVMTypeRef type = LLVMIntrinsicGetType(e->ctx, id, types, ntypes);
    return LLVMBuildCall2(e->b, type, fn, args, (unsigned)nargs, "");
}

LLVMValueRef ll_mul_add(struct emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) {
    if (!e->t->fma) return LLVMBuildFAdd(e->b, LLVMBuildFMul(e->b, a, b, ""), c, "");
    LLVMTypeRef type = LLVMTypeOf(a);
    return ll_call(e, "llvm.fma", &type, 1, (LLVMValueRef[]){a, b, c}, 3);
}

LLVMTypeRef ll_words(struct emit *e, size_t step) {
    LLVMTypeRef elem = step == 2 ? LLVMBFloatTypeInContext(e->ctx) : e->f32;
    return ll_vec(elem, step * e->lanes);
}

LLVMValueRef ll_mul_add_pairs(struct emit *e, LLVMValueRef a, LLVMValueRef b,
                              LLVMValueRef c) {
    emit_allow_bf16(e);
    return ll_call(e, "llvm.x86.avx512bf16.dpbf16ps.512", NULL, 0,
                   (LLVMValueRef[]){c, a, b}, 3);
}

// Lanes that are masked off divide by one: SelectionDAG takes 0 / 0 in lanes it knows to
// be zero for zero, and then drops the selection that would have made it so.
LLVMValueRef ll_div(struct emit *e, LLVMValueRef x, LLVMValueRef y, LLVMValueRef mask) {
    LLVMValueRef one = ll_fsplat(e, 1, e->lanes);
    if (mask) y = LLVMBuildSelect(e->b, mask, y, one, "");
    return LLVMBuildFDiv(e->b, x, y, "");
}

static LLVMValueRef pick(struct emit *e, LLVMIntPredicate p, LLVMValueRef a,
                         LLVMValueRef b) {
    return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, p, a, b, ""), a, b, "");
}

LLVMValueRef ll_min(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    return pick(e, LLVMIntSLT, a, b);
}

LLVMValueRef ll_max(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    return pick(e, LLVMIntSGT, a, b);
}

LLVMValueRef ll_and(struct emit *e, LLVMValueRef a, LLVMValueRef b) {
    if (!a) return b;
    return b ? LLVMBuildAnd(e->b, a, b, "") : a;
}

LLVMValueRef ll_shuffle(struct emit *e, LLVMValueRef a, LLVMValueRef b, const int *lane,
                        size_t n) {
    LLVMValueRef each[64];
    CHECK(n <= COUNT(each));
    for (size_t i = 0; i < n; i++)
        each[i] = lane[i] < 0 ? LLVMGetPoison(e->i32) : ll_i32(e, lane[i]);
    return LLVMBuildShuffleVector(e->b, a, b, LLVMConstVector(each, (unsigned)n), "");
}

LLVMValueRef ll_lane(struct emit *e, LLVMValueRef v, size_t lane) {
    return LLVMBuildExtractElement(e->b, v, ll_i64(e, (int64_t)lane), "");
}

LLVMValueRef ll_at(struct emit *e, LLVMTypeRef t, LLVMValueRef a, LLVMValueRef i) {
    return LLVMBuildInBoundsGEP2(e->b, t, a, &i, 1, "");
}

LLVMValueRef ll_at_const(struct emit *e, LLVMTypeRef t, LLVMValueRef a, int64_t i) {
    return i == 0 ? a : ll_at(e, t, a, ll_i64(e, i));
}

LLVMValueRef ll_at_ix(struct emit *e, LLVMTypeRef t, LLVMValueRef a, struct ix i) {
    return ll_at_const(e, t, i.base ? ll_at(e, t, a, i.base) : a, i.off);
}

// An address is else computed again in each block that uses it; here the inner loops are
// to take it as it is.
LLVMValueRef ll_settled(struct emit *e, LLVMValueRef at) {
    return LLVMBuildFreeze(e->b, at, "");
}

LLVMValueRef ll_load(struct emit *e, LLVMTypeRef t, LLVMValueRef at, size_t align) {
    LLVMValueRef v = LLVMBuildLoad2(e->b, t, at, "");
    LLVMSetAlignment(v, (unsigned)align);
    return v;
}

void ll_store(struct emit *e, LLVMValueRef v, LLVMValueRef at, size_t align) {
    LLVMSetAlignment(LLVMBuildStore(e->b, v, at), (unsigned)align);
}

void ll_prefetch(struct emit *e, LLVMValueRef at, bool write) {
    enum { KEEP = 3, DATA = 1 };
    LLVMValueRef args[] = {at, ll_i32(e, write), ll_i32(e, KEEP), ll_i32(e, DATA)};
    ll_call(e, "llvm.prefetch", &e->ptr, 1, args, COUNT(args));
}

void ll_fetch(struct emit *e, LLVMValueRef at) {
    enum { SECOND_CACHE = 2, DATA = 1 };
    LLVMValueRef args[] = {at, ll_i32(e, 0), ll_i32(e, SECOND_CACHE), ll_i32(e, DATA)};
    ll_call(e, "llvm.prefetch", &e->ptr, 1, args, COUNT(args));
}

bool ll_const(LLVMValueRef v, int64_t *out) {
    if (!LLVMIsAConstantInt(v)) return false;
    *out = LLVMConstIntGetSExtValue(v);
    return true;
}

// ---- loops ---------------------------------------------------------------------------

static bool runs_once(LLVMValueRef from, LLVMValueRef to, int64_t step) {
    int64_t lo, hi;
    return ll_const(from, &lo) && ll_const(to, &hi) && lo + step >= hi;
}

// Tests at the end only: one block a round is what the register allocator likes best.
struct loop loop_begin(struct emit *e, LLVMValueRef from, LLVMValueRef to, int64_t step,
                       const LLVMValueRef *carried, size_t n) {
    struct loop l = {.i = from,
                     .ncarried = n,
                     .to = to,
                     .step = ll_i64(e, step),
                     .once = runs_once(from, to, step),
                     .memo = memo_mark(e)};
    CHECK(n <= LOOP_MAX_CARRIED);
    if (l.once) {
        for (size_t i = 0; i < n; i++) l.carried[i] = carried[i];
        return l;
    }
    l.before = LLVMGetInsertBlock(e->b);
    l.body = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "");
    LLVMBuildBr(e->b, l.body);
    LLVMPositionBuilderAtEnd(e->b, l.body);
    l.i = LLVMBuildPhi(e->b, e->i64, "");
    LLVMAddIncoming(l.i, &from, &l.before, 1);
    for (size_t i = 0; i < n; i++) {
        l.carried[i] = l.phi[i] = LLVMBuildPhi(e->b, LLVMTypeOf(carried[i]), "");
        LLVMAddIncoming(l.phi[i], (LLVMValueRef *)&carried[i], &l.before, 1);
    }
    return l;
}

// A step that LLVM takes for unknown, until it selects instructions. An index that is
// known to rise steadily has loop strength reduction keep an address for each thing a
// loop touches: a fourth of the time that a kernel takes to compile, for code that is no
// faster.
static LLVMValueRef next_index(struct emit *e, const struct loop *l) {
    LLVMValueRef step = LLVMBuildFreeze(e->b, l->step, "");
    return LLVMBuildNSWAdd(e->b, l->i, step, "");
}

void loop_end(struct emit *e, struct loop *l, const LLVMValueRef *next) {
    if (!l->once) {
        memo_release(e, l->memo); // what a round found out does not hold after it
        LLVMBasicBlockRef last = LLVMGetInsertBlock(e->b);
        LLVMValueRef i = next_index(e, l);
        LLVMValueRef more = LLVMBuildICmp(e->b, LLVMIntSLT, i, l->to, "");
        LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "");
        LLVMBuildCondBr(e->b, more, l->body, after);
        LLVMAddIncoming(l->i, &i, &last, 1);
        for (size_t k = 0; k < l->ncarried; k++)
            LLVMAddIncoming(l->phi[k], (LLVMValueRef *)&next[k], &last, 1);
        LLVMPositionBuilderAtEnd(e->b, after);
    }
    for (size_t k = 0; k < l->ncarried; k++) l->carried[k] = next[k];
}

LLVMBasicBlockRef if_begin(struct emit *e, LLVMValueRef cond) {
    LLVMBasicBlockRef then = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->ctx, e->fn, "");
    LLVMBuildCondBr(e->b, cond, then, after);
    LLVMPositionBuilderAtEnd(e->b, then);
    return after;
}

void if_end(struct emit *e, LLVMBasicBlockRef after) {
    LLVMBuildBr(e->b, after);
    LLVMPositionBuilderAtEnd(e->b, after);
}

struct loop loop_over(struct emit *e, int64_t from, int64_t to, int64_t step,
                      const LLVMValueRef *carried, size_t n, struct ix *i) {
    CHECK(from < to);
    struct loop l = loop_begin(e, ll_i64(e, from), ll_i64(e, to), step, carried, n);
    int64_t last = from + (to - 1 - from) / step * step;
    *i = l.once ? ix_const(e, from)
                : ix_uniform(l.i, from, last, step, ((from % step) + step) % step);
    return l;
}
