// What one would use instead of ddg, run beside it when it is installed.
#ifndef DDG_PEERS_H
#define DDG_PEERS_H

#include "runtime/base/base.h"

struct peers { // images a second; 0: not installed
    char onnxruntime[64], pytorch[64];
    double ort_forward; // at the best of a few batches
    size_t ort_batch;
    double torch_shap, torch_gradnorm;
};

// shared: the folder that holds the peers' scripts (bench/ort_forward.js, torch_pipeline.py).
void peers_run(struct peers *p, const char *shared, const char *model, const char *images,
               size_t size, size_t threads);

#endif
