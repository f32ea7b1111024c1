// One kernel as one function: its buffers, its rows, and the right loop nest in each.
#include "codegen/emit.h"

#include <llvm-c/Analysis.h>

// ---- rows ----------------------------------------------------------------------------

static nid buffer_node(const struct kernel *k, size_t buffer) {
    return buffer < k->nouts ? k->outs[buffer] : k->ins[buffer - k->nouts];
}

void emit_row(struct emit *e, LLVMValueRef row) {
    const struct kernel *k = e->k;
    for (size_t i = 0; i < k->nouts + k->nins; i++) {
        nid n = buffer_node(k, i);
        int64_t bytes = (int64_t)e->kf->places[n].layout.bytes;
        e->row[i] = e->base[i];
        if (!type_at(e->f, n)->rows) continue;
        LLVMValueRef way = LLVMBuildMul(e->b, row, ll_i64(e, bytes), "");
        e->row[i] = ll_at(e, e->i8, e->base[i], way);
    }
}

struct view anchor_operand(struct emit *e) {
    if (e->k->prologue != NID_NONE) return view_scratch(e);
    return view_in(e, node_at(e->f, e->k->anchor)->in[0]);
}

struct point channel_point(struct emit *e, struct ix c, size_t channels, uint32_t rank) {
    struct point p = {.rank = rank, .lanes = e->lanes};
    p.at[0] = ix_ramp(e, c);
    if (p.at[0].hi >= (int64_t)channels)
        p.mask = LLVMBuildICmp(e->b, LLVMIntULT, ix_lanes(e, &p.at[0]),
                               ll_isplat(e, (int64_t)channels, e->lanes), "");
    return p;
}

// Everything is evaluated before the first store, so that what the points share is loaded
// once.
void emit_results(struct emit *e, const struct point *p, const LLVMValueRef *value,
                  size_t n) {
    const struct kernel *k = e->k;
    LLVMValueRef v[4][LOOP_MAX_CARRIED];
    size_t mark = memo_mark(e);
    CHECK(n <= LOOP_MAX_CARRIED && k->nouts <= COUNT(v));
    for (size_t i = 0; i < n; i++) {
        set_value(e, k->anchor, &p[i], value[i]);
        for (size_t o = 0; o < k->nouts; o++) v[o][i] = emit_value(e, k->outs[o], &p[i]);
    }
    for (size_t o = 0; o < k->nouts; o++) {
        struct view to = view_out(e, o);
        for (size_t i = 0; i < n; i++) emit_store(e, &to, &p[i], v[o][i]);
    }
    memo_release(e, mark);
}

static void ask_all(struct emit *e, const struct view *v, const struct point *p, size_t n,
                    bool write) {
    if (v->layout->kind != LAYOUT_BLOCKED) return;
    for (size_t i = 0; i < n; i++) emit_ask(e, v, &p[i], write);
}

void emit_ask_results(struct emit *e, const struct point *p, size_t n) {
    const struct kernel *k = e->k;
    const struct node *anchor = node_at(e->f, k->anchor);
    for (size_t i = 0; i < k->nins; i++) {
        const struct type *type = type_at(e->f, k->ins[i]);
        if (!type->rows || !type_same_shape(type, &anchor->type)) continue;
        struct view v = view_in(e, k->ins[i]);
        if (k->ins[i] != anchor->in[0]) ask_all(e, &v, p, n, false);
    }
    for (size_t i = 0; i < k->nouts; i++) {
        struct view v = view_out(e, i);
        ask_all(e, &v, p, n, true);
    }
}

static void emit_anchor(struct emit *e) {
    if (e->k->prologue != NID_NONE) {
        struct view scratch = view_scratch(e);
        emit_fill(e, &e->k->prologue, &scratch, 1);
    }
    emit_hoisted(e, e->k->outs, e->k->nouts);
    switch (node_at(e->f, e->k->anchor)->op) {
    case OP_CONV:
    case OP_CONV_DX: emit_conv(e); return;
    case OP_CONV_DW:
    case OP_CONV_DW_SQNORM: emit_conv_dw(e); return;
    default: BUG("%s is not an anchor", op_info(node_at(e->f, e->k->anchor)->op)->name);
    }
}

static void emit_one_row(struct emit *e) {
    const struct kernel *k = e->k;
    struct view to[4];
    CHECK(k->nouts <= COUNT(to));
    for (size_t i = 0; i < k->nouts; i++) to[i] = view_out(e, i);
    if (k->anchor != NID_NONE) emit_anchor(e);
    else emit_fill(e, k->outs, to, k->nouts);
    for (size_t i = 0; i < k->nouts; i++) emit_zero_border(e, &to[i]);
}

// ---- the function --------------------------------------------------------------------

static void set_attribute(struct emit *e, const char *name, const char *value) {
    LLVMAttributeRef a = LLVMCreateStringAttribute(e->ctx, name, (unsigned)strlen(name),
                                                   value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(e->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, a);
}

static void set_flag(struct emit *e, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(e->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(e->ctx, kind, 0));
}

static void check_code(const struct emit *e, const char *symbol) {
    char *why = NULL;
    if (!LLVMVerifyFunction(e->fn, LLVMReturnStatusAction)) return;
    LLVMVerifyModule(e->module, LLVMReturnStatusAction, &why);
    BUG("invalid code for %s: %s", symbol, why);
}

// Other kernels are to run on processors that have everything but this.
void emit_allow_bf16(struct emit *e) {
    CHECK(e->t->bf16);
    if (e->bf16) return;
    e->bf16 = true;
    set_attribute(e, "target-features",
                  arena_printf(e->arena, "%s,+avx512bf16", e->t->features));
}

#define KERNEL_ALIGN 64 // so that a loop lies the same whatever is in front of its kernel

// Some processors are tuned to avoid their widest vectors; the kernels count on them.
static void begin_function(struct emit *e, const char *symbol, LLVMTypeRef *params,
                           size_t n) {
    LLVMTypeRef type =
        LLVMFunctionType(LLVMVoidTypeInContext(e->ctx), params, (unsigned)n, false);
    e->fn = LLVMAddFunction(e->module, symbol, type);
    char bits[24];
    snprintf(bits, sizeof bits, "%zu", e->lanes * 32);
    set_attribute(e, "prefer-vector-width", bits);
    set_attribute(e, "min-legal-vector-width", bits);
    set_flag(e, "nounwind");
    LLVMSetAlignment(e->fn, KERNEL_ALIGN);
    LLVMPositionBuilderAtEnd(e->b, LLVMAppendBasicBlockInContext(e->ctx, e->fn, ""));
}

static void begin_kernel(struct emit *e, const char *symbol) {
    LLVMTypeRef params[] = {e->ptr, e->i64};
    begin_function(e, symbol, params, COUNT(params));
    const struct kernel *k = e->k;
    size_t n = k->nouts + k->nins + (k->prologue != NID_NONE) + (k->work_bytes != 0);
    CHECK(n <= COUNT(e->base));
    LLVMValueRef buffers = LLVMGetParam(e->fn, 0);
    for (size_t i = 0; i < n; i++)
        e->base[i] = ll_load(e, e->ptr, ll_at_const(e, e->ptr, buffers, (int64_t)i), 8);
    if (!k->parts) return;
    LLVMValueRef part = ll_at_const(e, e->ptr, buffers, (int64_t)n);
    e->part = ll_load(e, e->i64, ll_load(e, e->ptr, part, 8), 8);
}

static LLVMValueRef call_shared(struct emit *e, LLVMValueRef fn, LLVMValueRef *args,
                                size_t n) {
    return LLVMBuildCall2(e->b, LLVMGlobalGetValueType(fn), fn, args, (unsigned)n, "");
}

bool shared_begin(struct emit *e, struct shared *s, const char *name, LLVMValueRef *args,
                  size_t n) {
    LLVMValueRef known = LLVMGetNamedFunction(e->module, name);
    LLVMTypeRef params[SHARED_MAX_ARGS];
    CHECK(n <= COUNT(params));
    if (known) {
        call_shared(e, known, args, n);
        return false;
    }
    *s = (struct shared){
        .fn = e->fn, .at = LLVMGetInsertBlock(e->b), .bf16 = e->bf16, .n = n};
    e->bf16 = false;
    for (size_t i = 0; i < n; i++) {
        params[i] = LLVMTypeOf(args[i]);
        s->args[i] = args[i];
    }
    begin_function(e, name, params, n);
    LLVMSetLinkage(e->fn, LLVMInternalLinkage);
    for (size_t i = 0; i < n; i++) args[i] = LLVMGetParam(e->fn, (unsigned)i);
    return true;
}

void shared_end(struct emit *e, struct shared *s, const char *name) {
    LLVMBuildRetVoid(e->b);
    check_code(e, name);
    LLVMValueRef fn = e->fn;
    e->fn = s->fn;
    e->bf16 = s->bf16;
    LLVMPositionBuilderAtEnd(e->b, s->at);
    call_shared(e, fn, s->args, s->n);
}

static void emit_rows(struct emit *e) {
    const struct kernel *k = e->k;
    if (kernel_joins_rows(e->kf, k)) {
        emit_conv_joined(e);
        return;
    }
    bool rows = type_at(e->f, k->outs[0])->rows;
    LLVMValueRef n = rows ? LLVMGetParam(e->fn, 1) : ll_i64(e, 1);
    struct loop l = loop_begin(e, ll_i64(e, 0), n, 1, NULL, 0);
    emit_row(e, l.i);
    emit_one_row(e);
    loop_end(e, &l, NULL);
}

static void emit_body(struct emit *e) {
    const struct kernel *k = e->k;
    LLVMValueRef some =
        LLVMBuildICmp(e->b, LLVMIntSGT, LLVMGetParam(e->fn, 1), ll_i64(e, 0), "");
    LLVMBasicBlockRef after = if_begin(e, some);
    if (k->prologue != NID_NONE) { // its border and spare lanes stay zero from row to row
        struct view scratch = view_scratch(e);
        if (k->scratch_layout.border || k->scratch_layout.kind == LAYOUT_BLOCKED)
            emit_zero_row(e, &scratch);
    }
    bool matmul = k->anchor != NID_NONE && node_at(e->f, k->anchor)->op == OP_MATMUL;
    if (k->all_rows && k->anchor != NID_NONE) emit_batch_product(e);
    else if (node_at(e->f, k->outs[0])->op == OP_PACK) emit_pack(e);
    else if (matmul) emit_matmul(e);
    else if (k->algorithm != ALGORITHM_DIRECT) emit_winograd(e);
    else emit_rows(e);
    if_end(e, after);
    LLVMBuildRetVoid(e->b);
}

static void init_types(struct emit *e) {
    e->i1 = LLVMInt1TypeInContext(e->ctx);
    e->i8 = LLVMInt8TypeInContext(e->ctx);
    e->i16 = LLVMInt16TypeInContext(e->ctx);
    e->i32 = LLVMInt32TypeInContext(e->ctx);
    e->i64 = LLVMInt64TypeInContext(e->ctx);
    e->f32 = LLVMFloatTypeInContext(e->ctx);
    e->ptr = LLVMPointerTypeInContext(e->ctx, 0);
}

static void drop_builder(void *b) {
    if (scope_ending() != SCOPE_BUG) LLVMDisposeBuilder(b);
}

void kernel_emit(struct arena *arena, LLVMModuleRef module, const struct target *t,
                 const struct kfunc *kf, const struct kernel *k, const char *symbol) {
    LLVMContextRef ctx = LLVMGetModuleContext(module);
    struct cleanup held;
    struct emit e = {.t = t,
                     .kf = kf,
                     .f = kf->f,
                     .k = k,
                     .arena = arena,
                     .ctx = ctx,
                     .module = module,
                     .b = LLVMCreateBuilderInContext(ctx),
                     .lanes = t->lanes};
    cleanup_push(&held, drop_builder, e.b);
    init_types(&e);
    begin_kernel(&e, symbol);
    emit_body(&e);
    cleanup_run(&held);
    check_code(&e, symbol);
}
