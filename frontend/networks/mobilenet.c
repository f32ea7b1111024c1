// MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) as torchvision has it, without
// dropout. For images of up to 64 pixels the first convolution and the second stage have
// stride 1.
#include "frontend/networks/layers.h"

struct stage { // the paper's table 2
    size_t expand, out, blocks, stride;
};

static const struct stage TABLE[] = {
    {1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2},  {6, 64, 4, 2},
    {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
};

#define FIRST 32   // channels of the first convolution
#define LAST  1280 // and of the last

// A convolution with its norm and ReLU6, modules 0, 1 and 2 of `name`.
static nid conv_norm_relu(struct net *n, const char *name, nid x, struct conv c) {
    x = net_conv(n, net_name(n, "%s.0", name), x, c);
    x = net_batch_norm(n, net_name(n, "%s.1", name), x);
    return net_relu6(n, net_name(n, "%s.2", name), x);
}

// name: "features.2.conv"
static nid inverted_residual(struct net *n, const char *name, nid x, size_t expand,
                             size_t out, size_t stride) {
    if (x == NID_NONE) return NID_NONE;
    size_t in = type_at(n->b.f, x)->dim[0], hidden = in * expand;
    struct conv widen = {.out = hidden, .kernel = 1}, narrow = {.out = out, .kernel = 1};
    struct conv each = {
        .out = hidden, .kernel = 3, .stride = stride, .pad = 1, .groups = hidden};
    int at = 0; // in `conv`
    nid y = x;
    if (expand != 1) y = conv_norm_relu(n, net_name(n, "%s.%d", name, at++), y, widen);
    y = conv_norm_relu(n, net_name(n, "%s.%d", name, at++), y, each);
    y = net_conv(n, net_name(n, "%s.%d", name, at), y, narrow);
    y = net_batch_norm(n, net_name(n, "%s.%d", name, at + 1), y);
    return stride == 1 && in == out ? net_add(n, name, x, y) : y;
}

nid net_mobilenet_v2(struct net *n, nid x) {
    bool small = n->side <= 64;
    size_t at = 0; // in `features`
    struct conv first = {.out = FIRST, .kernel = 3, .stride = small ? 1 : 2, .pad = 1};
    struct conv last = {.out = LAST, .kernel = 1};
    n->starts = STARTS_CLASSIC;
    x = conv_norm_relu(n, net_name(n, "features.%zu", at++), x, first);
    for (size_t i = 0; i < COUNT(TABLE); i++)
        for (size_t k = 0; k < TABLE[i].blocks; k++) {
            size_t stride = k == 0 && !(small && i == 1) ? TABLE[i].stride : 1;
            x = inverted_residual(n, net_name(n, "features.%zu.conv", at++), x,
                                  TABLE[i].expand, TABLE[i].out, stride);
        }
    x = conv_norm_relu(n, net_name(n, "features.%zu", at), x, last);
    x = net_adaptive_avgpool(n, "avgpool", x, 1);
    return net_linear(n, "classifier.1", x, (size_t)net_int(n, "classes"));
}
