// Residual networks (He et al. 2016, arXiv 1512.03385) as torchvision has them.
//
// Those of ImageNet have four stages of 64, 128, 256 and 512 channels, with blocks of two
// convolutions (18, 34 layers) or bottlenecks of three, of four times as many channels.
// Those of CIFAR have three stages of 16, 32 and 64 channels and n blocks in each: 6 n +
// 2 layers.
#include "frontend/networks/layers.h"

struct plan_of { // a depth
    size_t depth;
    bool bottleneck;
    size_t blocks[4];
};

static const struct plan_of IMAGENET[] = {
    {18, false, {2, 2, 2, 2}},  {34, false, {3, 4, 6, 3}},  {50, true, {3, 4, 6, 3}},
    {101, true, {3, 4, 23, 3}}, {152, true, {3, 8, 36, 3}},
};

struct block {
    const char *name; // "layer1.0"
    size_t width, stride;
    bool bottleneck;
};

static nid conv_norm(struct net *n, const char *conv, const char *norm, nid x,
                     struct conv c) {
    return net_batch_norm(n, norm, net_conv(n, conv, x, c));
}

// The `which`-th convolution of a block, with its norm.
static nid part(struct net *n, const struct block *b, int which, nid x, struct conv c) {
    return conv_norm(n, net_name(n, "%s.conv%d", b->name, which),
                     net_name(n, "%s.bn%d", b->name, which), x, c);
}

static nid basic(struct net *n, const struct block *b, nid x) {
    struct conv first = {.out = b->width, .kernel = 3, .stride = b->stride, .pad = 1};
    struct conv second = {.out = b->width, .kernel = 3, .pad = 1};
    x = net_relu(n, net_name(n, "%s.relu", b->name), part(n, b, 1, x, first));
    return part(n, b, 2, x, second);
}

static nid bottleneck(struct net *n, const struct block *b, nid x) {
    struct conv narrow = {.out = b->width, .kernel = 1};
    struct conv middle = {.out = b->width, .kernel = 3, .stride = b->stride, .pad = 1};
    struct conv wide = {.out = 4 * b->width, .kernel = 1};
    const char *relu = net_name(n, "%s.relu", b->name);
    x = net_relu(n, relu, part(n, b, 1, x, narrow));
    x = net_relu(n, relu, part(n, b, 2, x, middle));
    return part(n, b, 3, x, wide);
}

static nid block(struct net *n, const struct block *b, nid x) {
    if (x == NID_NONE) return NID_NONE;
    size_t out = b->bottleneck ? 4 * b->width : b->width;
    bool same = b->stride == 1 && type_at(n->b.f, x)->dim[0] == out;
    nid y = b->bottleneck ? bottleneck(n, b, x) : basic(n, b, x);
    struct conv project = {.out = out, .kernel = 1, .stride = b->stride};
    if (!same)
        x = conv_norm(n, net_name(n, "%s.downsample.0", b->name),
                      net_name(n, "%s.downsample.1", b->name), x, project);
    y = net_add(n, net_name(n, "%s.add", b->name), y, x);
    return net_relu(n, net_name(n, "%s.relu", b->name), y);
}

static nid stage(struct net *n, size_t which, nid x, size_t width, size_t blocks,
                 bool is_bottleneck) {
    for (size_t i = 0; i < blocks; i++) {
        struct block b = {net_name(n, "layer%zu.%zu", which, i), width,
                          which > 1 && i == 0 ? 2 : 1, is_bottleneck};
        x = block(n, &b, x);
    }
    return x;
}

static nid stem(struct net *n, nid x, size_t width) {
    bool cifar =
        net_is(n, "stem", "cifar") || (net_is(n, "stem", "none") && n->side <= 64);
    struct conv small = {.out = width, .kernel = 3, .pad = 1};
    struct conv large = {.out = width, .kernel = 7, .stride = 2, .pad = 3};
    x = conv_norm(n, "conv1", "bn1", x, cifar ? small : large);
    x = net_relu(n, "relu", x);
    return cifar ? x : net_maxpool(n, "maxpool", x, (struct pool){3, 2, 1});
}

nid net_resnet(struct net *n, nid x) {
    size_t depth = (size_t)net_int(n, "depth"), width = 16, stages = 3;
    struct plan_of plan = {depth, false, {depth / 6, depth / 6, depth / 6, 0}};
    for (size_t i = 0; i < COUNT(IMAGENET); i++)
        if (IMAGENET[i].depth == depth) plan = IMAGENET[i], width = 64, stages = 4;
    if (width == 16 && depth % 6 != 2) {
        n->error =
            "`depth` of `resnet` is 18, 34, 50, 101 or 152, or 6 n + 2 for CIFAR's "
            "(8, 14, 20, 26, 32, 44, 56, 110, ...)";
        return NID_NONE;
    }
    n->starts = STARTS_RESNET;
    x = stem(n, x, width);
    for (size_t i = 0; i < stages; i++)
        x = stage(n, i + 1, x, width << i, plan.blocks[i], plan.bottleneck);
    x = net_adaptive_avgpool(n, "avgpool", x, 1);
    return net_linear(n, "fc", x, (size_t)net_int(n, "classes"));
}
