// Constants in the order the kernel that reads them wants.
#include "codegen/codegen.h"
#include "codegen/conv_plan.h"
#include "codegen/matmul_plan.h"
#include "codegen/winograd_plan.h"

bool codegen_wants_packed(const struct target *t, const struct kfunc *kf,
                          const struct kernel *k, nid node) {
    (void)t;
    if (k->anchor == NID_NONE) return false;
    const struct node *a = node_at(kf->f, k->anchor), *n = node_at(kf->f, node);
    bool weights = a->op == OP_CONV || a->op == OP_CONV_DX || a->op == OP_MATMUL;
    return weights && op_is_weight(n->op) && a->in[1] == node;
}

// Of 32 bits: floats, or pairs of bf16.
static size_t packed_words(const struct target *t, const struct kfunc *kf,
                           const struct kernel *k) {
    if (node_at(kf->f, k->anchor)->op == OP_MATMUL) {
        struct matmul_plan plan = matmul_plan_of(t, kf->f, k);
        return matmul_pack_words(&plan);
    }
    if (k->algorithm != ALGORITHM_DIRECT) {
        struct winograd plan = winograd_of_kernel(t, kf, k);
        return winograd_pack_floats(&plan);
    }
    struct conv_plan plan = conv_plan_of(t, kf, k);
    return conv_pack_words(&plan);
}

size_t codegen_packed_bytes(const struct target *t, const struct kfunc *kf,
                            const struct kernel *k, nid node) {
    CHECK(codegen_wants_packed(t, kf, k, node));
    return size_align(packed_words(t, kf, k) * sizeof(float), 64);
}

void codegen_pack(const struct target *t, const struct kfunc *kf, const struct kernel *k,
                  nid node, void *out) {
    CHECK(codegen_wants_packed(t, kf, k, node));
    const void *data = node_at(kf->f, node)->data;
    size_t bytes = packed_words(t, kf, k) * sizeof(float);
    memset((char *)out + bytes, 0, size_align(bytes, 64) - bytes);
    if (node_at(kf->f, k->anchor)->op == OP_MATMUL) {
        struct matmul_plan plan = matmul_plan_of(t, kf->f, k);
        matmul_pack(&plan, data, out);
        return;
    }
    struct conv_plan plan = conv_plan_of(t, kf, k);
    if (k->algorithm == ALGORITHM_DIRECT) {
        conv_pack(&plan, data, out);
        return;
    }
    struct winograd w = winograd_of_kernel(t, kf, k);
    winograd_pack(&w, &plan, data, out);
}
