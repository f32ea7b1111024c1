// Layout: how each stored value lies in memory. Feature maps are blocked by vector lanes
// with the border their convolutions want; the rest is row-major.
#include "passes/pass.h"

static size_t round_bytes(size_t n) {
    return size_align(n, 64);
}

static size_t blocked_bytes(const struct type *t, size_t lanes, size_t border) {
    size_t blocks = (t->dim[0] + lanes - 1) / lanes;
    return blocks * lanes * (t->dim[1] + 2 * border) * (t->dim[2] + 2 * border) *
           elem_size(t->elem);
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

// ---- what is a feature map -----------------------------------------------------------
// Channels come first in what convolutions and pools read and make, and in all that is
// computed of it, or it of, with the axes left in their places. Other values of three
// axes are stacks of matrices or lie with their channels last, and are read along the
// last axis.

static bool is_spatial(enum op op) {
    switch (op) {
    case OP_CONV:
    case OP_CONV_DX:
    case OP_CONV_DW:
    case OP_CONV_DW_SQNORM:
    case OP_MAXPOOL:
    case OP_MAXPOOL_DX:
    case OP_AVGPOOL:
    case OP_AVGPOOL_DX: return true;
    default: return false;
    }
}

static bool keeps_axes(enum op op) {
    return (op_info(op)->flags & OPF_ELEMENTWISE) || op == OP_SLICE || op == OP_PAD ||
           op == OP_CONCAT || op == OP_GATHER || op == OP_BROADCAST;
}

struct maps {
    const struct func *f;
    bool *is; // by nid
    bool changed;
};

static void mark_map(struct maps *m, nid v) {
    if (v == NID_NONE || m->is[v] || type_at(m->f, v)->rank != 3) return;
    m->is[v] = m->changed = true;
}

static void mark_round(struct maps *m, nid v) {
    const struct node *n = node_at(m->f, v);
    bool map = is_spatial(n->op);
    if (!map && !keeps_axes(n->op)) return;
    for (uint32_t i = 0; i < n->nin; i++) map |= m->is[n->in[i]];
    map |= m->is[v];
    if (!map) return;
    mark_map(m, v);
    for (uint32_t i = 0; i < n->nin; i++) mark_map(m, n->in[i]);
}

// Down and up through the nodes until nothing is found any more: a few rounds.
static const bool *find_maps(struct arena *arena, const struct func *f) {
    struct maps m = {f, NEW_N(arena, bool, f->nodes.n), true};
    while (m.changed) {
        m.changed = false;
        for (nid v = 0; v < f->nodes.n; v++) mark_round(&m, v);
        for (nid v = (nid)f->nodes.n; v-- > 0;) mark_round(&m, v);
    }
    return m.is;
}

// ---- packed weights ------------------------------------------------------------------
static size_t pack_bytes(const struct target *t, const struct kfunc *k, nid v) {
    return round_bytes(kernel_pack_bytes(t, k, pack_reader(k, v)));
}

// ---- layouts -------------------------------------------------------------------------

static struct layout layout_of(const struct module *m, const struct kfunc *k, nid v,
                               bool map) {
    const struct type *t = type_at(k->f, v);
    const struct place *p = &k->places[v];
    struct layout planar = {.kind = LAYOUT_PLANAR, .bytes = type_bytes(t)};
    bool handed = p->kind == PLACE_OUT && k->f->outs.at[p->offset] != v;
    if (handed) // see hand_over.c
        return (struct layout){LAYOUT_BLOCKED, 0, blocked_bytes(t, m->target->lanes, 0)};
    if (p->kind == PLACE_IN || p->kind == PLACE_OUT) return planar;
    planar.bytes = round_bytes(planar.bytes);
    if (node_at(k->f, v)->op == OP_PACK)
        return (struct layout){LAYOUT_WEIGHT, 0, pack_bytes(m->target, k, v)};
    if (p->kind == PLACE_CONST) {
        if (is_weight(k, v)) planar.kind = LAYOUT_WEIGHT;
        return planar;
    }
    if ((t->elem != ELEM_F32 && t->elem != ELEM_BF16) || !map) return planar;
    if (t->dim[0] <= FEW_CHANNELS && !anchor_operand(k, v)) return planar;
    size_t border = border_of(k, v);
    return (struct layout){LAYOUT_BLOCKED, border,
                           round_bytes(blocked_bytes(t, m->target->lanes, border))};
}

// Needs: places (fuse). Fills the layouts of places and of kernels' scratch.
bool pass_layout(struct module *m, struct module_func *mf, struct diags *d) {
    (void)d;
    struct kfunc *k = mf->k;
    const bool *maps = find_maps(m->arena, k->f);
    for (nid v = 0; v < k->f->nodes.n; v++)
        if (k->places[v].kind != PLACE_NONE)
            k->places[v].layout = layout_of(m, k, v, maps[v]);
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
