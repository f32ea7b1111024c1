// Facts about kernels that passes and codegen share. See kernel.h.
#include "ir/kernel.h"

#include "ir/build.h"
#include "ir/winograd.h"

static size_t at_least_zero(int64_t v) {
    return v > 0 ? (size_t)v : 0;
}

// conv reads x at out * stride - pad + tap * dilation.
static size_t border_conv(const struct func *f, const struct node *n) {
    struct conv_attrs c = conv_attrs_of(n);
    const struct type *x = type_at(f, n->in[0]);
    const size_t *out = n->type.dim + 1;
    const size_t *k = type_at(f, n->in[1])->dim + 2;
    size_t most = 0;
    for (int a = 0; a < 2; a++) {
        int64_t low = c.pads[a];
        int64_t high = ((int64_t)out[a] - 1) * c.strides[a] - c.pads[a] +
                       ((int64_t)k[a] - 1) * c.dilations[a] -
                       ((int64_t)x->dim[1 + a] - 1);
        most = size_max(most, size_max(at_least_zero(low), at_least_zero(high)));
    }
    return most;
}

// conv_dx reads d at (in + pad - tap * dilation) / stride where that divides.
static size_t border_conv_dx(const struct func *f, const struct node *n) {
    struct conv_attrs c = conv_attrs_of(n);
    const struct type *d = type_at(f, n->in[0]);
    const size_t *k = type_at(f, n->in[1])->dim + 2;
    size_t most = 0;
    for (int a = 0; a < 2; a++) {
        int64_t low = (((int64_t)k[a] - 1) * c.dilations[a] - c.pads[a]) / c.strides[a];
        int64_t high = ((int64_t)n->type.dim[1 + a] - 1 + c.pads[a]) / c.strides[a] -
                       ((int64_t)d->dim[1 + a] - 1);
        most = size_max(most, size_max(at_least_zero(low), at_least_zero(high)));
    }
    return most;
}

// The weight gradients read x as conv does.
static size_t border_conv_dw(const struct func *f, const struct node *n) {
    struct conv_attrs c = conv_attrs_of(n);
    const struct type *x = type_at(f, n->in[0]), *d = type_at(f, n->in[1]);
    int64_t k[2] = {attr_int(n, "kh"), attr_int(n, "kw")};
    size_t most = 0;
    for (int a = 0; a < 2; a++) {
        int64_t high = ((int64_t)d->dim[1 + a] - 1) * c.strides[a] - c.pads[a] +
                       (k[a] - 1) * c.dilations[a] - ((int64_t)x->dim[1 + a] - 1);
        most = size_max(most, size_max(at_least_zero(c.pads[a]), at_least_zero(high)));
    }
    return most;
}

size_t kernel_border(const struct func *f, nid anchor) {
    const struct node *n = node_at(f, anchor);
    switch (n->op) {
    case OP_CONV: return border_conv(f, n);
    case OP_CONV_DX: return border_conv_dx(f, n);
    case OP_CONV_DW:
    case OP_CONV_DW_SQNORM: return border_conv_dw(f, n);
    default: return 0;
    }
}

// A product of single lines joins the rows of the batch to a matrix; what an algorithm
// transforms is multiplied for all rows together.
bool tiling_same(const struct tiling *a, const struct tiling *b) {
    return a->blocks == b->blocks && a->pixels == b->pixels && a->group == b->group &&
           a->row_live == b->row_live;
}

bool kernel_joins_rows(const struct kfunc *kf, const struct kernel *k) {
    if (k->anchor == NID_NONE) return false;
    const struct node *n = node_at(kf->f, k->anchor);
    if (n->op == OP_MATMUL)
        return n->type.rank >= 2 && n->type.dim[n->type.rank - 2] == 1;
    if (n->op != OP_CONV && n->op != OP_CONV_DX) return false;
    if (k->algorithm != ALGORITHM_DIRECT) return true;
    double weights = (double)type_bytes(type_at(kf->f, n->in[1]));
    return k->prologue == NID_NONE && weights > kernel_row_bytes(kf, k);
}

// Each of the three faces of a convolution multiplies every weight with every output
// pixel.
static double conv_flops(const struct type *d, double weights) {
    return 2.0 * weights * (double)d->dim[1] * (double)d->dim[2];
}

double kernel_flops(const struct func *f, nid node) {
    const struct node *n = node_at(f, node);
    double out = (double)type_count(&n->type);
    switch (n->op) {
    case OP_CONV: return conv_flops(&n->type, (double)type_count(type_at(f, n->in[1])));
    case OP_CONV_DX:
        return conv_flops(type_at(f, n->in[0]), (double)type_count(type_at(f, n->in[1])));
    case OP_CONV_DW:
    case OP_CONV_DW_SQNORM: {
        const struct type *x = type_at(f, n->in[0]), *d = type_at(f, n->in[1]);
        double per = (double)(x->dim[0] / (size_t)attr_int(n, "groups"));
        double taps = (double)(attr_int(n, "kh") * attr_int(n, "kw"));
        return conv_flops(d, (double)d->dim[0] * per * taps);
    }
    case OP_MATMUL: {
        size_t axis = n->type.rank - (attr_int(n, "tx") ? 2 : 1);
        size_t inner = type_at(f, n->in[0])->dim[axis];
        return 2.0 * out * (double)inner;
    }
    default: break;
    }
    uint32_t counted = OPF_ELEMENTWISE | OPF_REDUCE | OPF_BATCH;
    return op_info(n->op)->flags & counted ? out : 0;
}

double func_flops(const struct func *f) {
    double flops = 0;
    for (nid v = 0; v < f->nodes.n; v++)
        if (type_at(f, v)->rows) flops += kernel_flops(f, v);
    return flops;
}

// ---- packed weights ------------------------------------------------------------------
#define WIDEST ((size_t)6) // blocks of channels in a tile (codegen/conv_plan.c)

// Each result channel has the taps of all operand channels that its tile depends on: with
// groups, those of the groups that it touches.
static size_t direct_floats(const struct target *t, const struct func *f,
                            const struct node *n) {
    size_t in = type_at(f, n->in[0])->dim[0], out = n->type.dim[0];
    size_t groups = (size_t)conv_attrs_of(n).groups;
    const size_t *kernel = type_at(f, n->in[1])->dim + 2;
    size_t touched = WIDEST * t->lanes / size_max(out / groups, 1) + 2;
    size_t span = groups > 1 ? size_min(in, touched * (in / groups)) : in;
    return size_align(out, t->lanes) * span * kernel[0] * kernel[1];
}

static size_t product_floats(const struct target *t, const struct func *f,
                             const struct node *n) {
    size_t columns = n->type.dim[n->type.rank - 1];
    if (!columns) return 0;
    return type_count(type_at(f, n->in[1])) / columns * size_align(columns, t->lanes);
}

const struct kernel *pack_reader(const struct kfunc *kf, nid pack) {
    for (size_t i = 0; i < kf->kernels.n; i++) {
        nid anchor = kf->kernels.at[i].anchor;
        if (anchor != NID_NONE && node_at(kf->f, anchor)->in[1] == pack)
            return &kf->kernels.at[i];
    }
    BUG("a packed weight that nothing reads");
}

size_t kernel_pack_bytes(const struct target *t, const struct kfunc *kf,
                         const struct kernel *k) {
    const struct node *n = node_at(kf->f, k->anchor);
    size_t floats;
    if (n->op == OP_MATMUL) floats = product_floats(t, kf->f, n);
    else if (k->algorithm == ALGORITHM_DIRECT) floats = direct_floats(t, kf->f, n);
    else {
        struct winograd w = winograd_of_kernel(t, kf, k);
        floats = w.n * w.n * w.out * w.lanes * w.channels;
    }
    return floats * sizeof(float);
}

size_t kernel_builtin_seed(enum builtin which) {
    switch (which) {
    case BUILTIN_NORMAL: return 1;
    case BUILTIN_RANDOM_BOX: return 6;
    case BUILTIN_RESIZE:
    case BUILTIN_NONE: break;
    }
    return PLAN_MAX_PARAMS;
}

enum builtin kernel_builtin(const struct func *f, nid node,
                            double params[PLAN_MAX_PARAMS]) {
    const struct node *n = node_at(f, node);
    size_t k = 0;
    if (n->op == OP_NORMAL) {
        params[k++] = (double)type_count(&n->type);
        params[k++] = (double)attr_int(n, "seed");
        bool score = !strcmp(attr_str(n, "purpose"), "score");
        params[k++] = score ? NORMAL_SCORE : NORMAL_NOISE;
        return BUILTIN_NORMAL;
    }
    if (n->op == OP_RANDOM_BOX) {
        params[k++] = (double)attr_int(n, "h");
        params[k++] = (double)attr_int(n, "w");
        for (size_t i = 0; i < 2; i++) params[k++] = node_attr(n, "scale")->fs[i];
        for (size_t i = 0; i < 2; i++) params[k++] = node_attr(n, "ratio")->fs[i];
        params[k++] = (double)attr_int(n, "seed");
        return BUILTIN_RANDOM_BOX;
    }
    CHECK(n->op == OP_RESIZE);
    const struct type *x = type_at(f, n->in[0]);
    for (size_t i = 0; i < 3; i++) params[k++] = (double)x->dim[i];
    params[k++] = (double)n->type.dim[1];
    params[k++] = (double)n->type.dim[2];
    return BUILTIN_RESIZE;
}
