// What a kernel must be for code to exist for it. Users meet these errors through models
// with ops that cannot be compiled; everything that only a pass can get wrong is a bug.
#include "codegen/conv_plan.h"
#include "codegen/emit.h"
#include "ir/batch_product.h"
#include "ir/winograd.h"

#define MAX_DEPTH 400 // of expressions; their evaluation is recursive

struct check {
    const struct func *f;
    const struct kernel *k;
    const struct kfunc *kf;
    struct diags *d;
    uint32_t *depth; // by nid, of what was checked; 0: not yet
};

static bool check_value(struct check *c, nid id, uint32_t above);

static bool check_operands(struct check *c, const struct node *n, uint32_t above) {
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != NID_NONE && !check_value(c, n->in[i], above)) return false;
    return true;
}

static bool check_value(struct check *c, nid id, uint32_t above) {
    const struct node *n = node_at(c->f, id);
    const char *name = op_info(n->op)->name;
    if (id == c->k->anchor || reads_embedded(c->f, c->k, id)) return true;
    if (reads_loaded(c->f, c->k, id)) return true;
    if (c->depth[id] > above) return true;
    c->depth[id] = above + 1;
    if (above >= MAX_DEPTH)
        return diag_error(c->d, n->span, "an expression of more than %d ops in a row",
                          MAX_DEPTH);
    if (!value_emitter(n->op))
        return diag_error(c->d, n->span, "`%s` cannot be computed inside a kernel", name);
    return check_operands(c, n, above + 1);
}

static bool check_first(struct check *c, const struct node *anchor) {
    const struct kernel *k = c->k;
    const struct layout *l = &c->kf->places[anchor->in[0]].layout;
    if (k->prologue != NID_NONE) {
        CHECK(k->prologue == anchor->in[0]);
        l = &k->scratch_layout;
        if (!check_value(c, k->prologue, 0)) return false;
    } else CHECK(reads_loaded(c->f, k, anchor->in[0]));
    CHECK(l->border >= kernel_border(c->f, k->anchor));
    if (k->algorithm != ALGORITHM_DIRECT) {
        CHECK(winograd_fits(c->f, k->anchor, winograd_m(k->algorithm)));
        CHECK(k->prologue == NID_NONE && l->kind == LAYOUT_BLOCKED && k->work_bytes > 0);
    }
    return true;
}

// Pairs of bf16 meet packed weights, and in convolutions are of one group and lie in
// blocks.
static void check_pairs(const struct check *c, const struct node *anchor) {
    if (type_at(c->f, anchor->in[0])->elem != ELEM_BF16) return;
    CHECK(op_is_weight(node_at(c->f, anchor->in[1])->op));
    if (anchor->op == OP_MATMUL) return;
    CHECK(c->k->algorithm == ALGORITHM_DIRECT && conv_attrs_of(anchor).groups == 1);
    CHECK(c->k->prologue == NID_NONE);
    CHECK(c->kf->places[anchor->in[0]].layout.kind == LAYOUT_BLOCKED);
}

static bool check_anchor(struct check *c) {
    const struct kernel *k = c->k;
    const struct node *n = node_at(c->f, k->anchor), *second = node_at(c->f, n->in[1]);
    if (!check_first(c, n)) return false;
    CHECK(kernel_buffer(k, n->in[1]) != NO_BUFFER);
    check_pairs(c, n);
    switch (n->op) {
    case OP_CONV:
    case OP_CONV_DX:
        if (!op_is_weight(second->op))
            return diag_error(c->d, n->span,
                              "`%s` needs constant weights, these are computed",
                              op_info(n->op)->name);
        return true;
    case OP_CONV_DW:
    case OP_CONV_DW_SQNORM:
    case OP_MATMUL: return true;
    default: BUG("`%s` is not an anchor", op_info(n->op)->name);
    }
}

static bool check_types(struct check *c) {
    const struct kernel *k = c->k;
    CHECK(k->nouts > 0 && k->nouts <= COUNT(k->outs) && k->nins <= KERNEL_MAX_BUFFERS);
    for (size_t i = 0; i < k->nouts; i++) {
        const struct type *t = type_at(c->f, k->outs[i]);
        CHECK(type_same_shape(t, type_at(c->f, k->outs[0])));
        CHECK(t->rows == type_at(c->f, k->outs[0])->rows);
    }
    return true;
}

bool kernel_check(struct arena *arena, const struct kfunc *kf, const struct kernel *k,
                  struct diags *d) {
    struct check c = {.f = kf->f, .k = k, .kf = kf, .d = d};
    c.depth = NEW_N(arena, uint32_t, kf->f->nodes.n);
    if (!check_types(&c)) return false;
    if (k->all_rows && k->anchor != NID_NONE) { // and nothing else in between
        CHECK(batch_product_fits(kf->f, k->outs[0]) && k->nouts == 1);
        CHECK(k->prologue == NID_NONE && k->work_bytes > 0 && k->parts > 0);
        CHECK(kf->places[k->outs[0]].layout.kind == LAYOUT_PLANAR);
        return check_anchor(&c);
    }
    const struct node *root = node_at(kf->f, k->outs[0]);
    if (root->op == OP_PACK) return check_value(&c, root->in[0], 0);
    for (size_t i = 0; i < k->nouts; i++)
        if (!check_value(&c, k->outs[i], 0)) return false;
    return k->anchor == NID_NONE || check_anchor(&c);
}
