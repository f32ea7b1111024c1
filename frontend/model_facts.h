// What the file of a network says of itself, for `ddg model`: as much as can be known,
// also when no model can be made of it.
#ifndef DDG_MODEL_FACTS_H
#define DDG_MODEL_FACTS_H

#include "frontend/model.h"

struct model_dim {
    const char *name; // of a dimension that is free, "" when it has none
    int64_t n;        // the number; 0: free
};

struct model_port {          // an input that no stored tensor fills, or an output
    const char *name, *type; // "float"
    bool shaped;             // its shape is written down
    size_t rank;
    const struct model_dim *dim;
};

struct model_op { // all nodes of one op that the output needs
    const char *name;
    size_t nodes;
    bool supported;
};

enum model_part { // what stored tensors are for
    PART_CONV,
    PART_LINEAR,
    PART_NORM,
    PART_STATISTICS, // of batch norm; not trainable, as all from here on
    PART_CONST,
    MODEL_PARTS
};
#define PART_TRAINABLE(part) ((part) < PART_STATISTICS)
const char *model_part_name(enum model_part p); // "convolutions"

struct model_sum {
    size_t tensors, elements, bytes; // bytes in the file
};

struct model_facts {
    bool parsed;                    // it is an ONNX file; else nothing here is known
    size_t bytes;                   // of the file
    const char *producer, *version; // "" when it does not say
    int64_t opset, ir;              // 0: not known
    size_t ninputs, noutputs, nops;
    const struct model_port *inputs, *outputs;
    const struct model_op *ops; // the most frequent first
    size_t nodes;
    bool layered;                        // what tensors are for is known:
    struct model_sum parts[MODEL_PARTS]; // else all are in PART_CONST
    size_t shared;                       // trainable tensors that several layers read
    const char *stored;                  // their type, or "mixed"; NULL: there are none
    // Norms and convolutions that the output needs.
    size_t batch_norms, other_norms;
    size_t written_norms; // in small ops, as exporters write layer norm before opset 17
    size_t convs, convs_biased;
    size_t convs_folded;       // whose weights and bias the exporter made
    bool softmax;              // the last node is one
    const struct model *model; // with mean 0 and std 1; NULL: why is in the diagnostics
};

// In arena, with the model. Always fills in what could be found out.
void model_facts_read(struct arena *arena, const char *path, struct model_facts *out,
                      struct diags *d);

#endif
