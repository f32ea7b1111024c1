// A multilayer perceptron: linear layers with ReLU between, as in the code of dataset
// condensation (Zhao et al. 2021, arXiv 2006.05929).
#include "frontend/networks/layers.h"

nid net_mlp(struct net *n, nid x) {
    const struct value *hidden = &n->attrs[op_attr(OP_MLP, "hidden", 6)];
    n->starts = STARTS_DEFAULT;
    for (size_t i = 0; i < hidden->n; i++) {
        x = net_linear(n, net_name(n, "fc_%zu", i + 1), x, (size_t)hidden->is[i]);
        x = net_relu(n, net_name(n, "relu_%zu", i + 1), x);
    }
    return net_linear(n, net_name(n, "fc_%zu", hidden->n + 1), x,
                      (size_t)net_int(n, "classes"));
}
