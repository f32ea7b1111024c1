// Networks that ddg builds itself, and models made of other models.
//
// Each is one function over the IR builder (frontend/networks/*.c), in torchvision's
// structure and with its names for parameters, initialised as PyTorch does: the same
// distributions, from Philox keyed by seed and the parameter's name.
#ifndef DDG_NETWORKS_H
#define DDG_NETWORKS_H

#include "ir/ir.h"

// Of OP_MLP, OP_LENET, OP_CONVNET, OP_RESNET, OP_VGG11, OP_MOBILENET_V2: attributes as
// the op table has them. NULL: said in d (images too small for it). Lies in arena.
const struct model *network_build(struct arena *arena, enum op op,
                                  const struct value *attrs, struct diags *d,
                                  struct span at);

// The model with a last layer of `classes` outputs, drawn from the seed, instead of its
// own; the model itself when it has so many. NULL: its logits are not those of a linear
// layer; said in d.
const struct model *model_with_head(struct arena *arena, const struct model *m,
                                    size_t classes, int64_t seed, struct diags *d,
                                    struct span at);
// With all parameters drawn anew as PyTorch does for layers of their kind, and the
// running statistics of batch norms as at first.
const struct model *model_drawn(struct arena *arena, const struct model *m, int64_t seed);

struct model_values { // of the parameters and statistics, by name
    size_t n;
    const struct model_tensor {
        const char *name;
        const float *data; // as many as the model has under that name; lives as long
    } * at;
};

// The same network with other numbers, also at other image sizes; digests are those of
// the new numbers. path: how messages call it.
const struct model *model_with_values(struct arena *arena, const struct model *m,
                                      const char *path, const struct model_values *v);

// Writes the model to an ONNX file (opset 17, batch dimension free; batch norm as
// BatchNormalization) that PyTorch and onnxruntime users load. Written beside and renamed
// into place. False: said in d.
bool model_write(const struct model *m, const char *path, struct diags *d,
                 struct span at);

#endif
