// The tensor functions of a training, from a network in inference form: see plan_train
// for what they take and give.
//
// Each batch_norm of the network becomes statistics of the batch (biased variance to
// normalise, unbiased into the running one, as PyTorch does); the loss is the mean over
// the batch of -sum(target * log_softmax(logits / T)); gradients are `grad` marks of that
// scalar, which the differentiation pass expands, summing over rows.
#ifndef DDG_TRAIN_STEP_H
#define DDG_TRAIN_STEP_H

#include "passes/pass.h"

struct train_net { // the tensors of a network, laid out flat
    size_t nparams, nstats;
    struct plan_tensor *params, *stats; // in the order of the nodes
    size_t param_floats, stat_floats;
    float *initial_params, *initial_stats;
    // A batch norm has one number a channel of an image: of one image there is no
    // variance.
    bool single;
};

// decay_all: norms' and biases' parameters decay as well as weights (rank 2 and more).
// net: model->func, or the same for images of another size.
void train_net_of(struct arena *arena, const struct func *net, bool decay_all,
                  struct train_net *out);

// The joint function `step`, with grad marks. temperature: of the student's logits.
// False: said in d.
struct func *train_step(struct arena *arena, const struct model *model,
                        const struct func *net, const struct train_net *t,
                        double temperature, size_t batch, struct diags *d);
struct func *train_update(struct arena *arena, const struct plan_train *t, bool nesterov,
                          double epsilon);
// The teacher's soft labels of augmented images; takes f32[C,H,W] rows. The model's
// function for images of that size is `net`.
struct func *train_ask(struct arena *arena, const struct model *teacher,
                       const struct func *net, double temperature);

#endif
