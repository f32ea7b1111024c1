// VGG-11 (Simonyan & Zisserman 2015, arXiv 1409.1556) as torchvision has it, without
// dropout. For images of up to 64 pixels the classifier is one linear layer on the mean
// of the maps.
#include "frontend/networks/layers.h"

#define POOL 0 // in the table: 2 x 2, the largest

static const size_t TABLE[] = {64,  POOL, 128,  POOL, 256, 256, POOL,
                               512, 512,  POOL, 512,  512, POOL};

static nid features(struct net *n, nid x) {
    size_t at = 0; // in `features`, which counts every module
    for (size_t i = 0; i < COUNT(TABLE); i++) {
        struct conv conv = {.out = TABLE[i], .kernel = 3, .pad = 1, .bias = true};
        const char *name = net_name(n, "features.%zu", at++);
        if (TABLE[i] == POOL) {
            x = net_maxpool(n, name, x, (struct pool){.kernel = 2, .stride = 2});
            continue;
        }
        x = net_conv(n, name, x, conv);
        if (net_is(n, "norm", "batch"))
            x = net_batch_norm(n, net_name(n, "features.%zu", at++), x);
        x = net_relu(n, net_name(n, "features.%zu", at++), x);
    }
    return x;
}

nid net_vgg11(struct net *n, nid x) {
    size_t classes = (size_t)net_int(n, "classes");
    n->starts = STARTS_CLASSIC;
    x = features(n, x);
    if (n->side <= 64)
        return net_linear(n, "classifier", net_adaptive_avgpool(n, "avgpool", x, 1),
                          classes);
    x = net_adaptive_avgpool(n, "avgpool", x, 7);
    x = net_relu(n, "classifier.1", net_linear(n, "classifier.0", x, 4096));
    x = net_relu(n, "classifier.4", net_linear(n, "classifier.3", x, 4096));
    return net_linear(n, "classifier.6", x, classes);
}
