// The reference evaluator: reductions, matrix products and convolutions. Sums are taken
// in double, in row-major order of what is summed.
#include "ir/bf16.h"
#include "ir/eval_core.h"

#include <math.h>

// ---- reductions ---------------------------------------------------------------------
// x's axes, parted: `kept` goes over the result, `reduced` over what is summed for
// each.
struct parted {
    struct cursor kept, reduced;
    size_t nkept, nreduced;
};

static struct parted part_axes(const struct eval_call *c) {
    struct parted p = {.nkept = 1, .nreduced = 1};
    const struct type *x = c->types[0];
    size_t naxes;
    const int64_t *axes = attr_ints(c->n, "axes", &naxes);
    ptrdiff_t step[TYPE_MAX_RANK];
    dense_steps(x, step);
    for (uint32_t d = 0; d < x->rank; d++) {
        bool sums = false;
        for (size_t i = 0; i < naxes; i++) sums |= axes[i] == (int64_t)d;
        struct cursor *k = sums ? &p.reduced : &p.kept;
        k->dim[k->rank] = x->dim[d];
        k->step[0][k->rank++] = step[d];
        *(sums ? &p.nreduced : &p.nkept) *= x->dim[d];
    }
    return p;
}

bool eval_sum(const struct eval_call *c) {
    enum elem e = c->n->type.elem;
    struct parted p = part_axes(c);
    for (size_t i = 0; i < p.nkept; i++, cursor_next(&p.kept)) {
        double sum = 0;
        uint64_t total = 0;
        struct cursor at = p.reduced;
        for (size_t k = 0; k < p.nreduced; k++, cursor_next(&at)) {
            size_t off = (size_t)(p.kept.off[0] + at.off[0]);
            if (e == ELEM_F32) sum += (double)((const float *)c->in[0])[off];
            else total += (uint64_t)load_int(c->in[0], e, off);
        }
        if (e == ELEM_F32) store_float(c->out, e, i, sum);
        else store_int(c->out, e, i, (int64_t)total);
    }
    return true;
}

bool eval_amax(const struct eval_call *c) {
    enum elem e = c->n->type.elem;
    struct parted p = part_axes(c);
    for (size_t i = 0; i < p.nkept; i++, cursor_next(&p.kept)) {
        float best = -INFINITY;
        int64_t most = e == ELEM_I32 ? INT32_MIN : INT64_MIN;
        struct cursor at = p.reduced;
        for (size_t k = 0; k < p.nreduced; k++, cursor_next(&at)) {
            size_t off = (size_t)(p.kept.off[0] + at.off[0]);
            if (e == ELEM_F32) {
                float v = ((const float *)c->in[0])[off];
                best = v > best ? v : best;
            } else {
                int64_t v = load_int(c->in[0], e, off);
                most = v > most ? v : most;
            }
        }
        if (e == ELEM_F32) ((float *)c->out)[i] = best;
        else store_int(c->out, e, i, most);
    }
    return true;
}

bool eval_argmax(const struct eval_call *c) {
    const struct type *x = c->types[0];
    const float *f = c->in[0];
    size_t count = type_count(x), best = 0;
    for (size_t i = 1; i < count; i++) {
        bool larger = x->elem == ELEM_F32
                          ? f[i] > f[best] || (isnan(f[best]) && !isnan(f[i]))
                          : load_int(f, x->elem, i) > load_int(f, x->elem, best);
        if (larger) best = i;
    }
    bool none = x->elem == ELEM_F32 && isnan(f[best]);
    *(int32_t *)c->out = none ? 0 : (int32_t)best;
    return true;
}

// ---- factors of bf16 ----------------------------------------------------------------
// As singles, whose products are exact in double as well. NULL: no memory.
static float *widened(const struct eval_call *c, size_t i) {
    size_t n = type_count(c->types[i]);
    const uint16_t *from = c->in[i];
    float *to = mem_alloc(n * sizeof *to + 1);
    for (size_t k = 0; to && k < n; k++) to[k] = bf16_value(from[k]);
    return to;
}

// fn of the call with its two operands as f32.
static bool with_singles(const struct eval_call *c,
                         void (*fn)(const struct eval_call *c)) {
    struct eval_call of = *c;
    if (c->types[0]->elem == ELEM_F32) {
        fn(c);
        return true;
    }
    float *x = widened(c, 0), *y = widened(c, 1);
    of.in = (const void *const[]){x, y};
    if (x && y) fn(&of);
    mem_free(x);
    mem_free(y);
    return x && y;
}

// ---- matrix product -----------------------------------------------------------------
struct product { // of one matrix
    bool tx, ty;
    size_t m, n, k;
};

static void multiply(const struct product *p, const float *x, const float *y,
                     float *out) {
    size_t m = p->m, n = p->n, k = p->k;
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += (double)x[p->tx ? l * m + i : i * k + l] *
                       (double)y[p->ty ? j * k + l : l * n + j];
            out[i * n + j] = (float)sum;
        }
    }
}

static void matmul(const struct eval_call *c) {
    const struct type *t = &c->n->type;
    uint32_t lead = t->rank - 2;
    struct product p = {attr_int(c->n, "tx") != 0, attr_int(c->n, "ty") != 0,
                        t->dim[lead], t->dim[lead + 1], 0};
    p.k = c->types[0]->dim[lead + !p.tx];
    size_t stack = 1;
    for (uint32_t i = 0; i < lead; i++) stack *= t->dim[i];
    for (size_t s = 0; s < stack; s++)
        multiply(&p, (const float *)c->in[0] + s * p.m * p.k,
                 (const float *)c->in[1] + s * p.k * p.n,
                 (float *)c->out + s * p.m * p.n);
}

bool eval_matmul(const struct eval_call *c) {
    return with_singles(c, matmul);
}

// ---- convolution --------------------------------------------------------------------
// One trilinear form: the sum over o, c, i, j, p, q of
//     d[o,p,q] * w[o,c,i,j] * x[g*cg + c, p*sh - pt + i*dh, q*sw - pl + j*dw],
// g = o / og. Each op leaves one of the three out and sums over the rest.
struct conv {
    const float *x, *w, *d;
    size_t channels, h, wd; // of x
    size_t outputs, oh, ow; // of d
    size_t cg, og, kh, kw;  // channels and outputs of a group; the kernel
    int64_t sh, sw, pt, pl, dh, dw;
};

static struct conv conv_of(const struct node *n, const struct type *x,
                           const struct type *d, size_t kh, size_t kw) {
    size_t k;
    const int64_t *strides = attr_ints(n, "strides", &k),
                  *pads = attr_ints(n, "pads", &k);
    const int64_t *dilations = attr_ints(n, "dilations", &k);
    size_t groups = (size_t)attr_int(n, "groups");
    return (struct conv){.channels = x->dim[0],
                         .h = x->dim[1],
                         .wd = x->dim[2],
                         .outputs = d->dim[0],
                         .oh = d->dim[1],
                         .ow = d->dim[2],
                         .cg = x->dim[0] / groups,
                         .og = d->dim[0] / groups,
                         .kh = kh,
                         .kw = kw,
                         .sh = strides[0],
                         .sw = strides[1],
                         .pt = pads[0],
                         .pl = pads[1],
                         .dh = dilations[0],
                         .dw = dilations[1]};
}

// x's coordinate that output p sees through kernel place i; false: in the padding.
static bool seen_at(size_t p, int64_t stride, int64_t pad, size_t i, int64_t dilation,
                    size_t side, size_t *at) {
    int64_t v = (int64_t)p * stride - pad + (int64_t)i * dilation;
    *at = (size_t)v;
    return v >= 0 && v < (int64_t)side;
}

// The output p whose kernel place i sees x's coordinate v.
static bool sees(size_t v, int64_t stride, int64_t pad, size_t i, int64_t dilation,
                 size_t side, size_t *p) {
    int64_t from = (int64_t)v + pad - (int64_t)i * dilation;
    *p = (size_t)(from / stride);
    return from >= 0 && from % stride == 0 && from / stride < (int64_t)side;
}

static double conv_at(const struct conv *v, size_t o, size_t p, size_t q) {
    double sum = 0;
    size_t y, x;
    for (size_t c = 0; c < v->cg; c++) {
        const float *plane = v->x + (o / v->og * v->cg + c) * v->h * v->wd;
        const float *w = v->w + (o * v->cg + c) * v->kh * v->kw;
        for (size_t i = 0; i < v->kh; i++) {
            if (!seen_at(p, v->sh, v->pt, i, v->dh, v->h, &y)) continue;
            for (size_t j = 0; j < v->kw; j++)
                if (seen_at(q, v->sw, v->pl, j, v->dw, v->wd, &x))
                    sum += (double)plane[y * v->wd + x] * (double)w[i * v->kw + j];
        }
    }
    return sum;
}

static void conv(const struct eval_call *c) {
    const struct type *w = c->types[1];
    struct conv v = conv_of(c->n, c->types[0], &c->n->type, w->dim[2], w->dim[3]);
    v.x = c->in[0];
    v.w = c->in[1];
    float *out = c->out;
    for (size_t o = 0; o < v.outputs; o++)
        for (size_t p = 0; p < v.oh; p++)
            for (size_t q = 0; q < v.ow; q++) *out++ = (float)conv_at(&v, o, p, q);
}

bool eval_conv(const struct eval_call *c) {
    return with_singles(c, conv);
}

static double conv_dx_at(const struct conv *v, size_t ch, size_t y, size_t x) {
    double sum = 0;
    size_t first = ch / v->cg * v->og, p, q;
    for (size_t o = first; o < first + v->og; o++) {
        const float *plane = v->d + o * v->oh * v->ow;
        const float *w = v->w + (o * v->cg + ch % v->cg) * v->kh * v->kw;
        for (size_t i = 0; i < v->kh; i++) {
            if (!sees(y, v->sh, v->pt, i, v->dh, v->oh, &p)) continue;
            for (size_t j = 0; j < v->kw; j++)
                if (sees(x, v->sw, v->pl, j, v->dw, v->ow, &q))
                    sum += (double)plane[p * v->ow + q] * (double)w[i * v->kw + j];
        }
    }
    return sum;
}

static void conv_dx(const struct eval_call *c) {
    const struct type *w = c->types[1];
    struct conv v = conv_of(c->n, &c->n->type, c->types[0], w->dim[2], w->dim[3]);
    v.d = c->in[0];
    v.w = c->in[1];
    float *out = c->out;
    for (size_t ch = 0; ch < v.channels; ch++)
        for (size_t y = 0; y < v.h; y++)
            for (size_t x = 0; x < v.wd; x++) *out++ = (float)conv_dx_at(&v, ch, y, x);
}

bool eval_conv_dx(const struct eval_call *c) {
    return with_singles(c, conv_dx);
}

static double conv_dw_at(const struct conv *v, size_t o, size_t c, size_t i, size_t j) {
    const float *plane = v->x + (o / v->og * v->cg + c) * v->h * v->wd;
    const float *d = v->d + o * v->oh * v->ow;
    double sum = 0;
    size_t y, x;
    for (size_t p = 0; p < v->oh; p++) {
        if (!seen_at(p, v->sh, v->pt, i, v->dh, v->h, &y)) continue;
        for (size_t q = 0; q < v->ow; q++)
            if (seen_at(q, v->sw, v->pl, j, v->dw, v->wd, &x))
                sum += (double)plane[y * v->wd + x] * (double)d[p * v->ow + q];
    }
    return sum;
}

// Every element of the weight's gradient: stored in out when it is given, and the sum of
// their squares.
static double conv_dw_all(const struct eval_call *c, float *out) {
    size_t kh = (size_t)attr_int(c->n, "kh"), kw = (size_t)attr_int(c->n, "kw");
    struct conv v = conv_of(c->n, c->types[0], c->types[1], kh, kw);
    v.x = c->in[0];
    v.d = c->in[1];
    double squares = 0;
    for (size_t k = 0; k < v.outputs * v.cg * kh * kw; k++) {
        size_t o = k / (v.cg * kh * kw);
        double g = conv_dw_at(&v, o, k / (kh * kw) % v.cg, k / kw % kh, k % kw);
        if (out) out[k] = (float)g;
        squares += g * g;
    }
    return squares;
}

bool eval_conv_dw(const struct eval_call *c) {
    conv_dw_all(c, c->out);
    return true;
}

bool eval_conv_dw_sqnorm(const struct eval_call *c) {
    *(float *)c->out = (float)conv_dw_all(c, NULL);
    return true;
}

// ---- batches ------------------------------------------------------------------------
bool eval_pack(const struct eval_call *c) {
    size_t bytes = type_bytes(&c->n->type);
    if (bytes) memcpy(c->out, c->in[0], bytes);
    return true;
}

// With the statistics that it is given, a batch's too.
bool eval_batch_norm(const struct eval_call *c) {
    const struct type *t = &c->n->type;
    const float *x = c->in[0], *mean = c->in[1], *var = c->in[2];
    size_t channels = t->dim[0], each = type_count(t) / size_max(channels, 1);
    double epsilon = attr_float(c->n, "epsilon");
    for (size_t o = 0, i = 0; o < channels; o++) {
        float inverse = (float)(1 / sqrt((double)var[o] + epsilon));
        for (size_t end = i + each; i < end; i++)
            ((float *)c->out)[i] = (x[i] - mean[o]) * inverse;
    }
    return true;
}
