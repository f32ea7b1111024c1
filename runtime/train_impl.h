// What the files of train.h share.
//
// A training's state is flat arrays, twice: a step reads one copy and writes the other,
// so nothing is written in place and `now` says which one counts. Worker 0 does what is
// done once a step while the others wait for it (train_loop.c); it alone touches the
// store.
#ifndef DDG_TRAIN_IMPL_H
#define DDG_TRAIN_IMPL_H

#include "runtime/augment.h"
#include "runtime/joint.h"
#include "runtime/train.h"

#define TRAIN_MOMENTS 2

enum train_end {
    TRAIN_GOES_ON,
    TRAIN_DONE,
    TRAIN_STOPPED,
    TRAIN_NOT_FINITE,
    TRAIN_NO_MEMORY
};

struct train_copy { // of the state
    float *params, *moments[TRAIN_MOMENTS], *stats;
    char **in, **out; // arguments of the step that reads this copy and writes the other
};

struct train_worker {
    struct training *training;
    size_t which;
    char *arena;    // of the functions it calls alone
    float *scratch; // an image
    struct profile_lane *lane;
};

struct training {
    const struct plan *plan;
    const struct plan_train *train;
    const struct train_rows *rows;
    const struct run_options *options;
    size_t image, per_epoch, steps; // floats of an image; steps of an epoch and of all
    // The state
    struct train_copy copies[2];
    int now;
    size_t step;      // done so far
    double epoch_sum; // of the epoch so far: losses, each by the rows it is the mean of
    float *losses;    // of the epochs that are done
    // The step at hand
    struct augment_batch batch;
    uint32_t *order; // of rows, in its epoch
    float *targets, *mixed, *grads, *decay;
    float loss, inverse, rates[4];
    // Rows that are taken: to be filled, mixed, asked about; blocks to be updated.
    atomic_size_t fill, mix, ask, update;
    // The workers
    struct joint *joint;
    size_t nworkers, nready;
    struct train_worker *workers;
    enum train_end end;
    // What is kept
    struct trained *out;
    char *packed;          // a checkpoint on its way to or from the store
    struct digest *slices; // the keys of its slices there, and
    bool *found;           //   which there are
    bool checkpoints;      // the store has one
    size_t later;          // the step of one that is too late to go on from; 0: none
    float *good; // parameters and statistics after the last epoch that ended well
    size_t good_epoch;
    size_t from_step;
    // clock_seconds: of all; when the store, and who watches, had news.
    double began, put, told;
};

// train_store.c: what the store has of a training
#define TRAIN_NO_EPOCH SIZE_MAX
size_t train_stage_floats(const struct plan_train *t); // parameters, statistics, losses
// All stages, in the memory that there is or in arena; their epochs.
void train_stages(const struct plan_train *t, struct arena *arena, struct trained *out);
// Fills stages that the store has; the first epoch of `keep` that it has not.
size_t train_stages_find(const struct plan_train *t, struct digest key,
                         const struct run_options *o, struct trained *out);
// What says that a process trains it.
struct digest train_claim_key(struct digest key);
size_t train_packed_bytes(const struct plan_train *t); // whole slices
size_t train_slices(const struct plan_train *t);
void train_name_slices(struct training *g);
// Goes on from a checkpoint at an earlier step, when there is one.
void train_resume(struct training *g, size_t before);
// One that is further on than this training goes stays: it is worth more.
void train_checkpoint(struct training *g);
void train_checkpoint_drop(struct training *g); // at the end
// At the end of an epoch of `keep`.
void train_keep(struct training *g, size_t epoch);
void train_keep_good(struct training *g);

// train_loop.c
void train_work(void *worker_of_training, size_t which);
size_t train_rows_seen(const struct training *g); // of all epochs so far

// train_order.c
void train_order(const struct plan_train *t, size_t epoch, uint32_t *order, size_t rows);

#endif
