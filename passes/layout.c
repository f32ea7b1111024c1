// Layout: how each stored value lies in memory. A rule of the value alone: feature maps
// are blocked by vector lanes with the border their convolutions want; the rest is
// row-major.
#include "passes/pass.h"

#define FEW_CHANNELS 4 // a feature map of so few is not worth a block of its own

static size_t round_bytes(size_t n) {
    return size_align(n, 64);
}

static size_t blocked_bytes(const struct type *t, size_t lanes, size_t border) {
    size_t blocks = (t->dim[0] + lanes - 1) / lanes;
    return blocks * lanes * (t->dim[1] + 2 * border) * (t->dim[2] + 2 * border) * 4;
}

// The widest border any kernel wants around v.
static size_t border_of(const struct kfunc *k, nid v) {
    size_t most = 0;
    for (size_t i = 0; i < k->kernels.n; i++) {
        nid a = k->kernels.at[i].anchor;
        if (a != NID_NONE && node_at(k->f, a)->in[0] == v &&
            k->kernels.at[i].prologue != v)
            most = size_max(most, kernel_border(k->f, a));
    }
    return most;
}

static bool is_weight(const struct kfunc *k, nid v) {
    for (size_t i = 0; i < k->kernels.n; i++) {
        nid a = k->kernels.at[i].anchor;
        if (a != NID_NONE && node_at(k->f, a)->nin > 1 && node_at(k->f, a)->in[1] == v)
            return true;
    }
    return false;
}

static bool anchor_operand(const struct kfunc *k, nid v) {
    for (size_t i = 0; i < k->kernels.n; i++) {
        const struct kernel *kernel = &k->kernels.at[i];
        if (kernel->anchor == NID_NONE || kernel->prologue == v) continue;
        const struct node *a = node_at(k->f, kernel->anchor);
        for (uint32_t j = 0; j < a->nin; j++)
            if (a->in[j] == v) return true;
    }
    return false;
}

static struct layout layout_of(const struct module *m, const struct kfunc *k, nid v) {
    const struct type *t = type_at(k->f, v);
    const struct place *p = &k->places[v];
    struct layout planar = {.kind = LAYOUT_PLANAR, .bytes = type_bytes(t)};
    if (p->kind == PLACE_IN || p->kind == PLACE_OUT) return planar;
    planar.bytes = round_bytes(planar.bytes);
    if (p->kind == PLACE_CONST) {
        if (is_weight(k, v)) planar.kind = LAYOUT_WEIGHT;
        return planar;
    }
    if (t->elem != ELEM_F32 || t->rank != 3) return planar;
    if (t->dim[0] <= FEW_CHANNELS && !anchor_operand(k, v)) return planar;
    size_t border = border_of(k, v);
    return (struct layout){LAYOUT_BLOCKED, border,
                           blocked_bytes(t, m->target->lanes, border)};
}

// Needs: places (fuse). Fills the layouts of places and of kernels' scratch.
bool pass_layout(struct module *m, struct module_func *mf, struct diags *d) {
    (void)d;
    struct kfunc *k = mf->k;
    for (nid v = 0; v < k->f->nodes.n; v++)
        if (k->places[v].kind != PLACE_NONE) k->places[v].layout = layout_of(m, k, v);
    for (size_t i = 0; i < k->kernels.n; i++) {
        struct kernel *kernel = &k->kernels.at[i];
        if (kernel->prologue == NID_NONE) continue;
        const struct type *t = type_at(k->f, kernel->prologue);
        size_t border = kernel_border(k->f, kernel->anchor);
        size_t bytes =
            t->dim[0] * (t->dim[1] + 2 * border) * (t->dim[2] + 2 * border) * 4;
        kernel->scratch_layout =
            (struct layout){LAYOUT_PLANAR, border, round_bytes(bytes)};
    }
    return true;
}
