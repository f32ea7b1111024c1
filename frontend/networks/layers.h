// What the networks of this folder are made of.
//
// A network is a function like resnet.c's: it calls layers in order, each with PyTorch's
// name for it, and they make the nodes and the parameters. What does not work out (images
// too large, say) is remembered in the net, and layers of nothing are nothing: only the
// end asks.
#ifndef DDG_NETWORKS_LAYERS_H
#define DDG_NETWORKS_LAYERS_H

#include "ir/build.h"

enum start {       // how PyTorch sets a tensor at first
    START_ALL,     // `scale`
    START_UNIFORM, // in [-scale, scale]
    START_NORMAL,  // of standard deviation `scale`
};

// By seed and name alone; data has n floats.
void start_fill(enum start how, double scale, int64_t seed, const char *name, float *data,
                size_t n);
// The bound of weights and biases of layers, by default: kaiming_uniform_(a = sqrt(5)).
double start_bound(size_t fan_in);

enum starts {       // of a network's layers
    STARTS_DEFAULT, // as torch.nn's layers start by themselves
    STARTS_RESNET,  // convolutions from He's normal distribution of the outputs
    STARTS_CLASSIC, // the same; linear layers from N(0, 0.01), biases 0
};

struct net { // being built
    struct arena *arena;
    struct builder b;
    enum starts starts;
    int64_t seed;
    const struct func *like; // of the same network at another size: has its parameters
    size_t floats;           // of parameters so far
    const char *error;       // in words, or NULL
    const struct value *attrs;
    enum op op;
    size_t side; // that the network is made for; images may have another
};

int64_t net_int(const struct net *n, const char *attr);
bool net_is(const struct net *n, const char *attr, const char *choice);
// "layer1.0.conv2", from printf's arguments.
const char *net_name(struct net *n, const char *fmt, ...) PRINTF_LIKE(2, 3);

// ---- layers --------------------------------------------------------------------------
// x is rows f32[C,H,W]; of linear, rows of any shape, taken as a vector. NID_NONE gives
// NID_NONE. Names are those of the PyTorch module: parameters are NAME.weight and
// NAME.bias.
struct conv {
    size_t out, kernel;
    size_t stride, pad, groups; // 0: 1, 0, 1
    bool bias;
};
nid net_conv(struct net *n, const char *name, nid x, struct conv c);
nid net_linear(struct net *n, const char *name, nid x, size_t out);
nid net_batch_norm(struct net *n, const char *name, nid x);
nid net_group_norm(struct net *n, const char *name, nid x, size_t groups);
nid net_layer_norm(struct net *n, const char *name, nid x); // of all of a row
nid net_relu(struct net *n, const char *name, nid x);
nid net_relu6(struct net *n, const char *name, nid x);
nid net_add(struct net *n, const char *name, nid x, nid y);
struct pool {
    size_t kernel, stride, pad;
};
nid net_maxpool(struct net *n, const char *name, nid x, struct pool p);
nid net_avgpool(struct net *n, const char *name, nid x, struct pool p);
// Means of side x side parts that cover the map, as AdaptiveAvgPool2d.
nid net_adaptive_avgpool(struct net *n, const char *name, nid x, size_t side);

// ---- networks ------------------------------------------------------------------------
// From images to logits.
nid net_mlp(struct net *n, nid x);
nid net_lenet(struct net *n, nid x);
#define CONVNET_GROUPS 4 // norm = "group": its width is a multiple
nid net_convnet(struct net *n, nid x);
nid net_resnet(struct net *n, nid x);
nid net_vgg11(struct net *n, nid x);
nid net_mobilenet_v2(struct net *n, nid x);

#endif
