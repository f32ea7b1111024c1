// The reference evaluator: which function computes which op, and whole functions row by
// row. What the ops mean is in eval_elementwise.c, eval_move.c, eval_nn.c and
// eval_pool.c.
#include "ir/eval_core.h"

typedef bool (*eval_fn)(const struct eval_call *c);

static bool eval_setting(const struct eval_call *c) {
    *(float *)c->out = (float)c->n->attrs[0].f;
    return true;
}

// Other sources, other marks, batch_sum (eval_joint.c) and the runtime's ops have no
// function; elementwise ops share one.
static const eval_fn FUNCTIONS[OP_COUNT] = {
    [OP_SETTING] = eval_setting,
    [OP_RESHAPE] = eval_reshape,
    [OP_BROADCAST] = eval_broadcast,
    [OP_TRANSPOSE] = eval_transpose,
    [OP_SLICE] = eval_slice,
    [OP_PAD] = eval_pad,
    [OP_CONCAT] = eval_concat,
    [OP_GATHER] = eval_gather,
    [OP_TAKE] = eval_take,
    [OP_CHOOSE] = eval_choose,
    [OP_WINDOW] = eval_window,
    [OP_SUM] = eval_sum,
    [OP_AMAX] = eval_amax,
    [OP_ARGMAX] = eval_argmax,
    [OP_MATMUL] = eval_matmul,
    [OP_CONV] = eval_conv,
    [OP_CONV_DX] = eval_conv_dx,
    [OP_CONV_DW] = eval_conv_dw,
    [OP_CONV_DW_SQNORM] = eval_conv_dw_sqnorm,
    [OP_MAXPOOL] = eval_maxpool,
    [OP_MAXPOOL_DX] = eval_maxpool_dx,
    [OP_MAXPOOL_JVP] = eval_maxpool_jvp,
    [OP_AVGPOOL] = eval_avgpool,
    [OP_AVGPOOL_DX] = eval_avgpool_dx,
    [OP_PACK] = eval_pack,
    [OP_BATCH_NORM] = eval_batch_norm,
};

bool eval_node(const struct node *n, const struct type *const *types,
               const void *const *in, size_t nin, void *out,
               const struct eval_hooks *hooks) {
    uint32_t flags = op_info(n->op)->flags;
    if (flags & OPF_RUNTIME)
        return hooks && hooks->runtime_op && hooks->runtime_op(n, types, in, out);
    eval_fn fn = flags & OPF_ELEMENTWISE ? eval_elementwise : FUNCTIONS[n->op];
    return fn && fn(&(struct eval_call){n, types, in, nin, out});
}

// ---- walking ------------------------------------------------------------------------
struct cursor cursor_of(const struct type *t) {
    struct cursor c = {.rank = t->rank};
    memcpy(c.dim, t->dim, sizeof c.dim);
    return c;
}

void dense_steps(const struct type *t, ptrdiff_t step[TYPE_MAX_RANK]) {
    ptrdiff_t n = 1;
    for (uint32_t d = t->rank; d-- > 0;) {
        step[d] = n;
        n *= (ptrdiff_t)t->dim[d];
    }
}

void broadcast_steps(const struct type *t, const struct type *to,
                     ptrdiff_t step[TYPE_MAX_RANK]) {
    memset(step, 0, TYPE_MAX_RANK * sizeof *step);
    dense_steps(t, step);
    for (uint32_t d = 0; d < t->rank; d++)
        if (t->dim[d] != to->dim[d]) step[d] = 0;
}

// ---- whole functions ----------------------------------------------------------------
struct frame { // a function's values, by node id; of one row at a time
    const struct func *f;
    const struct eval_hooks *hooks;
    const void **value;
    const struct type **types; // room for the operands of one node
    const void **in;
};

static void frame_free(struct frame *fr) {
    for (size_t i = 0; fr->value && i < fr->f->nodes.n; i++) {
        enum op op = node_at(fr->f, (nid)i)->op;
        if (op != OP_INPUT && op != OP_CONST && op != OP_PARAM)
            mem_free((void *)fr->value[i]);
    }
    mem_free(fr->value);
    mem_free(fr->types);
    mem_free(fr->in);
}

static bool frame_init(struct frame *fr, const struct func *f,
                       const struct eval_hooks *hooks) {
    size_t operands = 1;
    for (size_t i = 0; i < f->nodes.n; i++)
        operands = size_max(operands, f->nodes.at[i].nin);
    *fr = (struct frame){.f = f, .hooks = hooks};
    fr->value = mem_zalloc(f->nodes.n + 1, sizeof *fr->value);
    fr->types = mem_zalloc(operands, sizeof *fr->types);
    fr->in = mem_zalloc(operands, sizeof *fr->in);
    bool ok = fr->value && fr->types && fr->in;
    for (size_t i = 0; ok && i < f->nodes.n; i++) {
        const struct node *n = node_at(f, (nid)i);
        if (n->op == OP_INPUT) continue;
        bool given = n->op == OP_CONST || n->op == OP_PARAM;
        fr->value[i] = given ? n->data : mem_alloc(type_bytes(&n->type) + 1);
        ok = fr->value[i] != NULL;
    }
    return ok;
}

static bool frame_node(struct frame *fr, nid id) {
    const struct node *n = node_at(fr->f, id);
    if (n->op == OP_CONST || n->op == OP_PARAM) return true;
    for (uint32_t k = 0; k < n->nin; k++) {
        bool absent = n->in[k] == NID_NONE;
        fr->types[k] = absent ? NULL : type_at(fr->f, n->in[k]);
        fr->in[k] = absent ? NULL : fr->value[n->in[k]];
    }
    return eval_node(n, fr->types, fr->in, n->nin, (void *)fr->value[id], fr->hooks);
}

// Computes the nodes that are (or are not) rows; row is the one to take from the inputs.
static bool frame_pass(struct frame *fr, bool rows, size_t row, const void *const *args) {
    size_t next_arg = 0;
    for (size_t i = 0; i < fr->f->nodes.n; i++) {
        const struct node *n = node_at(fr->f, (nid)i);
        if (n->op == OP_INPUT) {
            size_t skip = n->type.rows ? row * type_bytes(&n->type) : 0;
            fr->value[i] = (const char *)args[next_arg++] + skip;
        } else if (n->type.rows == rows && !frame_node(fr, (nid)i)) {
            return false;
        }
    }
    return true;
}

static void frame_store(const struct frame *fr, bool rows, size_t row,
                        void *const *outs) {
    for (size_t i = 0; i < fr->f->outs.n; i++) {
        nid id = fr->f->outs.at[i];
        const struct type *t = type_at(fr->f, id);
        size_t bytes = type_bytes(t);
        if (t->rows == rows && bytes)
            memcpy((char *)outs[i] + row * bytes, fr->value[id], bytes);
    }
}

bool eval_func(const struct func *f, size_t n, const void *const *args, void *const *outs,
               const struct eval_hooks *hooks) {
    if (f->joint) return eval_joint(f, n, args, outs, hooks);
    struct frame fr;
    bool ok = frame_init(&fr, f, hooks) && frame_pass(&fr, false, 0, args);
    if (ok) frame_store(&fr, false, 0, outs);
    for (size_t r = 0; ok && r < n; r++) {
        ok = frame_pass(&fr, true, r, args);
        if (ok) frame_store(&fr, true, r, outs);
    }
    frame_free(&fr);
    return ok;
}
