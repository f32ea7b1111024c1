// What kernels do, told to people: the rows of a profile. See kernel.h.
#include "ir/kernel.h"

#include "ir/build.h"

// ---- what ----------------------------------------------------------------------------
static void add_dims(struct text *out, const struct type *t) {
    for (uint32_t i = 0; i < t->rank; i++)
        text_add(out, "%s%zu", i ? "x" : " ", t->dim[i]);
}

static bool is_conv(enum op op) {
    return op == OP_CONV || op == OP_CONV_DX || op == OP_CONV_DW ||
           op == OP_CONV_DW_SQNORM;
}

// The kernel's size and the other side's channels, whichever of the three faces it is.
static void add_conv(struct text *out, const struct func *f, const struct node *n) {
    struct conv_attrs c = conv_attrs_of(n);
    const struct type *w = type_at(f, n->in[1]);
    if (n->op == OP_CONV || n->op == OP_CONV_DX)
        text_add(out, ", %zux%zu > %zu", w->dim[2], w->dim[3], n->type.dim[0]);
    else
        text_add(out, ", %lldx%lld > %zu", (long long)node_attr(n, "kh")->i,
                 (long long)node_attr(n, "kw")->i, w->dim[0]);
    if (c.strides[0] > 1 || c.strides[1] > 1)
        text_add(out, ", stride %lld", (long long)c.strides[0]);
    if (c.groups > 1) text_add(out, ", %lld groups", (long long)c.groups);
}

static void add_anchor(struct text *out, const struct func *f, nid anchor) {
    const struct node *n = node_at(f, anchor);
    text_add(out, "%s", op_info(n->op)->name);
    add_dims(out, type_at(f, n->in[0]));
    if (is_conv(n->op)) add_conv(out, f, n);
    if (n->op == OP_MATMUL) text_add(out, " > %zu", n->type.dim[n->type.rank - 1]);
}

static bool is_read(const struct kernel *k, nid v) {
    for (size_t i = 0; i < k->nins; i++)
        if (k->ins[i] == v) return true;
    return false;
}

// What it computes, not how that is put down: below reshapes and the like, unless the
// kernel does nothing else.
static const struct node *computed(const struct kfunc *kf, const struct kernel *k) {
    const struct node *root = node_at(kf->f, k->outs[0]), *n = root;
    while (op_info(n->op)->flags & OPF_MOVE && !is_read(k, n->in[0]))
        n = node_at(kf->f, n->in[0]);
    bool nothing = op_is_constant(n->op) || n->op == OP_INPUT;
    return nothing ? root : n;
}

const char *kernel_what(struct arena *a, const struct kfunc *kf, const struct kernel *k) {
    struct text out = {.arena = a};
    if (k->anchor != NID_NONE) {
        add_anchor(&out, kf->f, k->anchor);
        return out.at;
    }
    const struct node *n = computed(kf, k);
    text_add(&out, "%s", op_info(n->op)->name);
    add_dims(&out, &n->type);
    return out.at;
}

const char *kernel_how(const struct kfunc *kf, const struct kernel *k) {
    static const char *const algorithms[][2] = {
        [ALGORITHM_DIRECT] = {"direct", "direct, tuned"},
        [ALGORITHM_WINOGRAD_2] = {"winograd 2x2", "winograd 2x2, tuned"},
        [ALGORITHM_WINOGRAD_4] = {"winograd 4x4", "winograd 4x4, tuned"}};
    if (k->runtime) return "runtime";
    if (k->anchor == NID_NONE) return "loops";
    const struct node *anchor = node_at(kf->f, k->anchor);
    if (type_at(kf->f, anchor->in[0])->elem == ELEM_BF16)
        return k->tuned ? "dot products, tuned" : "dot products";
    if (anchor->op == OP_MATMUL) return k->tuned ? "product, tuned" : "product";
    if (k->all_rows && k->tiling.group) return algorithms[ALGORITHM_WINOGRAD_4][false];
    return algorithms[k->algorithm][k->tuned];
}

// ---- how much ------------------------------------------------------------------------
// Of all that is computed between what the kernel reads and what it stores.
static double flops_below(const struct kfunc *kf, const struct kernel *k, nid v,
                          bool *seen) {
    const struct node *n = node_at(kf->f, v);
    if (seen[v] || op_is_constant(n->op) || n->op == OP_INPUT) return 0;
    seen[v] = true;
    if (is_read(k, v)) return 0;
    double flops = kernel_flops(kf->f, v);
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != NID_NONE) flops += flops_below(kf, k, n->in[i], seen);
    return flops;
}

double kernel_row_flops(const struct kfunc *kf, const struct kernel *k) {
    struct arena *work = arena_must();
    struct cleanup held;
    double flops = 0;
    cleanup_push(&held, arena_drop, work);
    bool *seen = NEW_N(work, bool, kf->f->nodes.n);
    for (size_t i = 0; i < k->nouts; i++) flops += flops_below(kf, k, k->outs[i], seen);
    cleanup_run(&held);
    return flops;
}

double kernel_row_bytes(const struct kfunc *kf, const struct kernel *k) {
    double bytes = 0;
    for (size_t i = 0; i < k->nouts; i++)
        bytes += (double)type_bytes(type_at(kf->f, k->outs[i]));
    for (size_t i = 0; i < k->nins; i++)
        if (type_at(kf->f, k->ins[i])->rows)
            bytes += (double)type_bytes(type_at(kf->f, k->ins[i]));
    return bytes;
}
