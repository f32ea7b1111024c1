// The parts of the ONNX writer; nothing outside frontend/onnx includes this.
//
// A function goes out as it came in: a layer that the importer takes apart (a convolution
// with its bias, a batch norm with scale and shift, a linear layer) is seen in its ops
// and written as one node (write_layers.c); all else is a node or two an op
// (write_ops.c). write_value.c makes nodes and tensors, write.c the file.
//
// The batch is the first axis of what the IR calls a row value, and free.
#ifndef DDG_ONNX_WRITE_H
#define DDG_ONNX_WRITE_H

#include "ir/build.h"

#include <onnx.pb-c.h>

#define WRITE_OPSET      17
#define WRITE_IR_VERSION 8

struct write_layer; // of write_layers.c

struct writing {
    struct arena *arena;
    const struct func *f;
    const char **names;                // of values, by node; NULL: not made yet
    const struct write_layer **layers; // what a node is the last op of; NULL: of none
    bool *needed;                      // nodes that are written
    VEC(Onnx__NodeProto *) nodes;
    VEC(Onnx__TensorProto *) tensors;
    const struct node *node; // being written
    size_t temps;            // names made up so far
    const char *error;       // in words, or NULL
};

// ---- values (write_value.c) ----------------------------------------------------------
// A name that no tensor and no node's result has: `wish` itself, if it can be.
const char *write_name(struct writing *w, const char *wish);
const char *write_temp(struct writing *w); // for what a node needs besides
// A stored tensor: parameters, statistics and shapes. Readers take stored floats for
// parameters, so constants are nodes.
void write_tensor(struct writing *w, const char *name, const struct type *t,
                  const void *data);
void write_constant(struct writing *w, const char *name, const struct type *t,
                    const void *data);
// A list of integers, as a tensor that equal lists share; its name.
const char *write_ints(struct writing *w, const int64_t *v, size_t n);
const char *write_number(struct writing *w, enum elem e, double v); // rank 0

// A node with these inputs and one output.
Onnx__NodeProto *write_node(struct writing *w, const char *op, const char *const *in,
                            size_t nin, const char *out);
void write_attr_int(struct writing *w, Onnx__NodeProto *n, const char *name, int64_t v);
void write_attr_float(struct writing *w, Onnx__NodeProto *n, const char *name, double v);
void write_attr_ints(struct writing *w, Onnx__NodeProto *n, const char *name,
                     const int64_t *v, size_t count);
// The same elements in these dimensions, of each row if it is a row value.
void write_reshape(struct writing *w, const char *x, bool rows, const size_t *dim,
                   size_t rank, const char *out);

// ---- ops (write_ops.c) ---------------------------------------------------------------
// The node in ONNX; its operands are there. False with w->error for what ONNX has no op
// for.
bool write_op(struct writing *w, nid v);
// What conv and its layer share: the attributes.
void write_conv_attrs(struct writing *w, Onnx__NodeProto *n, const struct node *conv);

// ---- layers (write_layers.c) ---------------------------------------------------------
// Fills in w->layers and w->needed.
void write_find_layers(struct writing *w);
void write_layer(struct writing *w, nid v);

#endif
