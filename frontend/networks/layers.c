// The layers that networks are made of. See layers.h.
#include "frontend/networks/layers.h"

#include "runtime/random.h"

#include <math.h>

#define BATCH_NORM_EPSILON  1e-5 // PyTorch's, of all norms
#define BATCH_NORM_MOMENTUM 0.1
#define MAX_FLOATS          ((size_t)1 << 29) // of parameters: 2 GiB

// ---- what a network is asked for -----------------------------------------------------
static const struct value *attr_of(const struct net *n, const char *name) {
    int i = op_attr(n->op, name, strlen(name));
    CHECK(i >= 0);
    return &n->attrs[i];
}

int64_t net_int(const struct net *n, const char *attr) {
    return attr_of(n, attr)->i;
}

bool net_is(const struct net *n, const char *attr, const char *choice) {
    return strcmp(attr_of(n, attr)->s, choice) == 0;
}

const char *net_name(struct net *n, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *name = arena_vprintf(n->arena, fmt, ap);
    va_end(ap);
    return name;
}

// ---- nodes ---------------------------------------------------------------------------
static nid fail(struct net *n, const char *error) {
    if (!n->error) n->error = error;
    return NID_NONE;
}

static const struct type *type_of(const struct net *n, nid x) {
    return type_at(n->b.f, x);
}

// The only error that attributes of layers leave is that the images are too large.
static nid make(struct net *n, const char *name, enum op op, const nid *in, size_t nin,
                const struct value *attrs) {
    struct rule_ctx error;
    for (size_t i = 0; i < nin; i++)
        if (in[i] == NID_NONE) return NID_NONE;
    n->b.name = name;
    nid made = build_node(&n->b, op, in, nin, attrs, &error);
    return made == NID_NONE ? fail(n, error.error) : made;
}

static nid unary(struct net *n, const char *name, enum op op, nid x) {
    return make(n, name, op, &x, 1, NULL);
}

static nid binary(struct net *n, const char *name, enum op op, nid x, nid y) {
    return make(n, name, op, (nid[]){x, y}, 2, NULL);
}

static nid reshape(struct net *n, nid x, const size_t *dim, size_t rank) {
    return x == NID_NONE ? NID_NONE : b_reshape(&n->b, x, dim, rank);
}

static nid times(struct net *n, nid x, double by) {
    return x == NID_NONE ? NID_NONE : b_binary(&n->b, OP_MUL, x, b_f32(&n->b, (float)by));
}

// ---- how tensors start ---------------------------------------------------------------
double start_bound(size_t fan_in) {
    return fan_in ? 1 / sqrt((double)fan_in) : 0;
}

static void fill_normal(struct random *r, double deviation, float *data, size_t n) {
    random_normal(r, data, n);
    for (size_t i = 0; i < n; i++) data[i] = (float)((double)data[i] * deviation);
}

void start_fill(enum start how, double scale, int64_t seed, const char *name, float *data,
                size_t n) {
    struct random r =
        random_stream("weights", (uint64_t)seed, digest_of(name, strlen(name)));
    if (how == START_NORMAL) {
        fill_normal(&r, scale, data, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        data[i] = how == START_UNIFORM ? (float)random_between(&r, -scale, scale)
                                       : (float)scale;
}

struct begin {
    enum start how;
    double scale;
};

// fan_out: of the whole layer, whatever its groups, as PyTorch has it.
static struct begin conv_begin(const struct net *n, size_t fan_in, size_t fan_out) {
    if (n->starts == STARTS_DEFAULT)
        return (struct begin){START_UNIFORM, start_bound(fan_in)};
    return (struct begin){START_NORMAL, sqrt(2 / (double)fan_out)};
}

static struct begin linear_begin(const struct net *n, size_t fan_in) {
    if (n->starts == STARTS_CLASSIC) return (struct begin){START_NORMAL, 0.01};
    return (struct begin){START_UNIFORM, start_bound(fan_in)};
}

// Of a convolution, or of a linear layer.
static struct begin bias_begin(const struct net *n, bool conv, size_t fan_in) {
    if (n->starts == STARTS_CLASSIC || (conv && n->starts == STARTS_RESNET))
        return (struct begin){START_ALL, 0};
    return (struct begin){START_UNIFORM, start_bound(fan_in)};
}

// ---- parameters ----------------------------------------------------------------------
static const struct node *param_named(const struct func *f, const char *name) {
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct node *p = node_at(f, (nid)i);
        if (p->op == OP_PARAM && strcmp(attr_str(p, "name"), name) == 0) return p;
    }
    BUG("a network has no %s at another size", name);
}

static nid param_like(struct net *n, const char *name, const struct type *t) {
    const struct node *p = param_named(n->like, name);
    if (type_eq(&p->type, t)) return b_param_at(&n->b, name, *t, p->data, p->digest);
    return fail(n, net_name(n, "its `%s` is %s and would have to be %s", name,
                            type_str(n->arena, &p->type), type_str(n->arena, t)));
}

static nid param(struct net *n, const char *layer, const char *part, const size_t *dim,
                 size_t rank, struct begin begin) {
    const char *name = net_name(n, "%s.%s", layer, part);
    struct type t = type_tensor(ELEM_F32, false, (uint32_t)rank, dim);
    if (n->like) return param_like(n, name, &t);
    if (type_count_ok(&t)) n->floats += type_count(&t);
    if (!type_count_ok(&t) || n->floats > MAX_FLOATS)
        return fail(n, net_name(n,
                                "has more than %zu million parameters with `%s`, %s, "
                                "more than ddg takes",
                                MAX_FLOATS >> 20, name, type_str(n->arena, &t)));
    float *data = arena_raw(n->arena, type_count(&t), sizeof *data);
    start_fill(begin.how, begin.scale, n->seed, name, data, type_count(&t));
    return b_param_at(&n->b, name, t, data, data_digest(&t, data));
}

// A parameter for each channel of maps.
static nid channel_param(struct net *n, const char *layer, const char *part, size_t c,
                         struct begin begin) {
    nid p = param(n, layer, part, &c, 1, begin);
    return p == NID_NONE ? p : b_channels(&n->b, p, 3);
}

// ---- products ------------------------------------------------------------------------
nid net_conv(struct net *n, const char *name, nid x, struct conv c) {
    if (x == NID_NONE) return NID_NONE;
    size_t groups = size_max(c.groups, 1), in = type_of(n, x)->dim[0] / groups;
    size_t dim[] = {c.out, in, c.kernel, c.kernel}, window = c.kernel * c.kernel;
    size_t fan_in = in * window;
    int64_t stride = (int64_t)size_max(c.stride, 1), pad = (int64_t)c.pad;
    int64_t strides[] = {stride, stride}, pads[] = {pad, pad, pad, pad};
    static const int64_t dilations[] = {1, 1};
    struct value attrs[] = {val_ints(strides, 2), val_ints(pads, 4),
                            val_ints(dilations, 2), val_int((int64_t)groups)};
    nid w = param(n, name, "weight", dim, 4, conv_begin(n, fan_in, c.out * window));
    nid y = make(n, name, OP_CONV, (nid[]){x, w}, 2, attrs);
    if (!c.bias || y == NID_NONE) return y;
    struct begin begin = bias_begin(n, true, fan_in);
    return binary(n, name, OP_ADD, y, channel_param(n, name, "bias", c.out, begin));
}

nid net_linear(struct net *n, const char *name, nid x, size_t out) {
    if (x == NID_NONE) return NID_NONE;
    size_t in = type_count(type_of(n, x)), dim[] = {out, in}, flat[] = {1, in};
    nid w = param(n, name, "weight", dim, 2, linear_begin(n, in));
    struct value attrs[] = {val_bool(false), val_bool(true)};
    nid y = make(n, name, OP_MATMUL, (nid[]){reshape(n, x, flat, 2), w}, 2, attrs);
    nid bias = param(n, name, "bias", &out, 1, bias_begin(n, false, in));
    return binary(n, name, OP_ADD, reshape(n, y, &out, 1), bias);
}

// ---- norms ---------------------------------------------------------------------------
static nid statistic(struct net *n, size_t channels, float v) {
    float *data = NEW_N(n->arena, float, channels);
    for (size_t i = 0; i < channels; i++) data[i] = v;
    return b_const(&n->b, type_tensor(ELEM_F32, false, 1, &channels), data);
}

static nid scale_shift(struct net *n, const char *name, nid x) {
    if (x == NID_NONE) return NID_NONE;
    size_t c = type_of(n, x)->dim[0];
    nid scale = channel_param(n, name, "weight", c, (struct begin){START_ALL, 1});
    x = binary(n, name, OP_MUL, x, scale);
    nid shift = channel_param(n, name, "bias", c, (struct begin){START_ALL, 0});
    return binary(n, name, OP_ADD, x, shift);
}

nid net_batch_norm(struct net *n, const char *name, nid x) {
    if (x == NID_NONE) return NID_NONE;
    size_t c = type_of(n, x)->dim[0];
    struct batch_norm norm = {BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM,
                              net_name(n, "%s.running_mean", name),
                              net_name(n, "%s.running_var", name)};
    n->b.name = name;
    x = b_batch_norm(&n->b, x, statistic(n, c, 0), statistic(n, c, 1), NID_NONE, &norm);
    return scale_shift(n, name, x);
}

// With mean 0 and variance 1 over the axes from `first` on.
static nid standardise(struct net *n, nid x, size_t first) {
    if (x == NID_NONE) return NID_NONE;
    const struct type *t = type_of(n, x);
    int64_t axes[TYPE_MAX_RANK];
    double count = 1;
    size_t naxes = t->rank - first;
    for (size_t i = 0; i < naxes; i++) {
        axes[i] = (int64_t)(first + i);
        count *= (double)t->dim[first + i];
    }
    struct builder *b = &n->b;
    nid mean = times(n, b_sum(b, x, axes, naxes, true), 1 / count);
    nid d = b_binary(b, OP_SUB, x, mean);
    nid squares = b_sum(b, b_binary(b, OP_MUL, d, d), axes, naxes, true);
    nid variance = b_binary(b, OP_ADD, times(n, squares, 1 / count),
                            b_f32(b, (float)BATCH_NORM_EPSILON));
    nid inverse = b_binary(b, OP_DIV, b_f32(b, 1), b_unary(b, OP_SQRT, variance));
    return b_binary(b, OP_MUL, d, inverse);
}

nid net_group_norm(struct net *n, const char *name, nid x, size_t groups) {
    if (x == NID_NONE) return NID_NONE;
    const struct type t = *type_of(n, x);
    CHECK(t.dim[0] % groups == 0);
    size_t dim[] = {groups, type_count(&t) / groups};
    nid y = standardise(n, reshape(n, x, dim, 2), 1);
    return scale_shift(n, name, reshape(n, y, t.dim, t.rank));
}

nid net_layer_norm(struct net *n, const char *name, nid x) {
    if (x == NID_NONE) return NID_NONE;
    const struct type t = *type_of(n, x);
    x = standardise(n, x, 0);
    nid scale = param(n, name, "weight", t.dim, t.rank, (struct begin){START_ALL, 1});
    x = binary(n, name, OP_MUL, x, scale);
    nid shift = param(n, name, "bias", t.dim, t.rank, (struct begin){START_ALL, 0});
    return binary(n, name, OP_ADD, x, shift);
}

// ---- without parameters --------------------------------------------------------------
nid net_relu(struct net *n, const char *name, nid x) {
    return unary(n, name, OP_RELU, x);
}

nid net_relu6(struct net *n, const char *name, nid x) {
    return binary(n, name, OP_MIN, net_relu(n, name, x), b_f32(&n->b, 6));
}

nid net_add(struct net *n, const char *name, nid x, nid y) {
    return binary(n, name, OP_ADD, x, y);
}

// attrs has what the op takes besides.
static nid window(struct net *n, const char *name, enum op op, nid x, struct pool p) {
    int64_t kernel[] = {(int64_t)p.kernel, (int64_t)p.kernel}, pad = (int64_t)p.pad;
    int64_t strides[] = {(int64_t)p.stride, (int64_t)p.stride};
    int64_t pads[] = {pad, pad, pad, pad};
    struct value attrs[] = {val_ints(kernel, 2), val_ints(strides, 2), val_ints(pads, 4),
                            val_bool(true)};
    return make(n, name, op, &x, 1, attrs);
}

nid net_maxpool(struct net *n, const char *name, nid x, struct pool p) {
    return window(n, name, OP_MAXPOOL, x, p);
}

nid net_avgpool(struct net *n, const char *name, nid x, struct pool p) {
    return window(n, name, OP_AVGPOOL, x, p);
}

static nid global_mean(struct net *n, nid x) {
    const int64_t axes[] = {1, 2};
    const struct type *t = type_of(n, x);
    double count = (double)(t->dim[1] * t->dim[2]);
    return times(n, b_sum(&n->b, x, axes, 2, true), 1 / count);
}

// f32[to,from]: row i is the mean of part i, [floor(i from / to), ceil((i + 1) from /
// to)).
static nid parts(struct net *n, size_t from, size_t to) {
    float *w = NEW_N(n->arena, float, from *to);
    for (size_t i = 0; i < to; i++) {
        size_t first = i * from / to, last = ((i + 1) * from + to - 1) / to;
        for (size_t k = first; k < last; k++) w[i * from + k] = 1 / (float)(last - first);
    }
    return b_const(&n->b, type_tensor(ELEM_F32, false, 2, (size_t[]){to, from}), w);
}

// The last axis of x[C,H,W] in so many parts, and then in front of the one before: done
// twice, the axes are where they were.
static nid part_last(struct net *n, nid x, size_t to) {
    static const int64_t swap[] = {0, 2, 1};
    const struct type t = *type_of(n, x);
    size_t flat[] = {t.dim[0] * t.dim[1], t.dim[2]}, dim[] = {t.dim[0], t.dim[1], to};
    nid y = b_matmul(&n->b, b_reshape(&n->b, x, flat, 2), parts(n, t.dim[2], to), false,
                     true);
    return b_transpose(&n->b, b_reshape(&n->b, y, dim, 3), swap, 3);
}

nid net_adaptive_avgpool(struct net *n, const char *name, nid x, size_t side) {
    if (x == NID_NONE) return NID_NONE;
    const struct type *t = type_of(n, x);
    if (side == 1) return global_mean(n, x);
    if (t->dim[1] == side && t->dim[2] == side) return x;
    n->b.name = name;
    return part_last(n, part_last(n, x, side), side);
}
