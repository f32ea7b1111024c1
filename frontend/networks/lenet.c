// LeNet-5 (LeCun et al. 1998) with ReLU and max pooling, as dataset condensation has it:
//     5 x 5 > 6, pool, 5 x 5 > 16, pool, 120, 84, classes
#include "frontend/networks/layers.h"

nid net_lenet(struct net *n, nid x) {
    const struct pool half = {.kernel = 2, .stride = 2};
    n->starts = STARTS_DEFAULT;
    x = net_conv(n, "features.0", x, (struct conv){.out = 6, .kernel = 5, .bias = true});
    x = net_relu(n, "features.1", x);
    x = net_maxpool(n, "features.2", x, half);
    x = net_conv(n, "features.3", x, (struct conv){.out = 16, .kernel = 5, .bias = true});
    x = net_relu(n, "features.4", x);
    x = net_maxpool(n, "features.5", x, half);
    x = net_relu(n, "relu_1", net_linear(n, "fc_1", x, 120));
    x = net_relu(n, "relu_2", net_linear(n, "fc_2", x, 84));
    return net_linear(n, "fc_3", x, (size_t)net_int(n, "classes"));
}
