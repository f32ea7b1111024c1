// The ConvNet of dataset distillation (Gidaris & Komodakis 2018; Zhao et al. 2021, arXiv
// 2006.05929): `depth` times
//     3 x 3 > width, norm, ReLU, 2 x 2 mean
// and a linear layer.
#include "frontend/networks/layers.h"

static nid norm(struct net *n, const char *name, nid x, size_t width) {
    if (net_is(n, "norm", "batch")) return net_batch_norm(n, name, x);
    if (net_is(n, "norm", "instance")) return net_group_norm(n, name, x, width);
    if (net_is(n, "norm", "group")) return net_group_norm(n, name, x, CONVNET_GROUPS);
    return net_layer_norm(n, name, x);
}

nid net_convnet(struct net *n, nid x) {
    size_t depth = (size_t)net_int(n, "depth"), width = (size_t)net_int(n, "width");
    const struct conv conv = {.out = width, .kernel = 3, .pad = 1, .bias = true};
    const struct pool half = {.kernel = 2, .stride = 2};
    size_t at = 0; // in `features`, which counts every module
    n->starts = STARTS_DEFAULT;
    for (size_t i = 0; i < depth; i++) {
        x = net_conv(n, net_name(n, "features.%zu", at++), x, conv);
        if (!net_is(n, "norm", "none"))
            x = norm(n, net_name(n, "features.%zu", at++), x, width);
        x = net_relu(n, net_name(n, "features.%zu", at++), x);
        x = net_avgpool(n, net_name(n, "features.%zu", at++), x, half);
    }
    return net_linear(n, "classifier", x, (size_t)net_int(n, "classes"));
}
