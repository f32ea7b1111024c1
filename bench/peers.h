// What one would use instead of ddg, run beside it where it is installed: onnxruntime
// (npm `onnxruntime-node`, found through NODE_PATH) and PyTorch (Debian's python3-torch).
// Each is a script that prints a line of JSON; a rate of 0 says that there is none.
#ifndef DDG_BENCH_PEERS_H
#define DDG_BENCH_PEERS_H

#include "runtime/base/base.h"

struct peer {
    char name[64];  // with its version
    double rate;    // images a second
    size_t setting; // that was best: a batch, or processes at once
};

struct peers {
    const char *shared; // the folder of the peers' scripts: bench/ort_forward.js ...
    const char *bench;  // ours
    size_t threads;
};

// The best of a few batches: its rate, then that batch's alone, run again.
struct peer ort_search(const struct peers *p, const char *model, size_t size);
double ort_again(const struct peers *p, const char *model, size_t size, size_t batch);
// Gradient norms by a backward a row, the best of one process with all threads and as
// many processes as threads.
struct peer torch_search(const struct peers *p, const char *model, size_t size);
double torch_again(const struct peers *p, const char *model, size_t size,
                   size_t processes);
// Attributions as they are batched best: see SHARED/bench/torch_pipeline.py.
struct peer torch_shap(const struct peers *p, const char *model, const char *images,
                       size_t samples);
// Steps a second of a training (torch_train.py), and who it is; 0: not installed.
double torch_train(const struct peers *p, const char *network, size_t batch, bool ask,
                   char *name, size_t n);
// onnxruntime's outputs for a file of rows, f32, into another. False: not installed.
bool ort_outputs(const struct peers *p, const char *model, const char *in,
                 const char *out, size_t rows, size_t size);

#endif
