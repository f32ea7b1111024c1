// Training: a plan_train run to its end.
//
// Every epoch takes the rows in a random order (Philox, by seed and epoch), `batch` at a
// time; the last batch may be smaller. For each batch workers augment rows, ask the
// teacher when there is one, and compute the step together (runtime/joint.h), then the
// update. Nothing is allocated between the first step and the last, but for what the
// store is given.
//
// What is kept after the epochs in `keep` goes to the store: the parameters, the
// statistics, and the losses so far. Every CHECKPOINT_SECONDS or so, when the run is told
// to stop, and when it ends before the last epoch, the whole state goes there too: a run
// that was killed, or asks for later epochs, goes on from it, to the same bits.
//
// A step whose loss is no number, or an epoch after which a parameter is none, ends the
// training with an error; the model as it was after the epoch before goes to the store.
#ifndef DDG_TRAIN_H
#define DDG_TRAIN_H

#include "runtime/run.h"

#define CHECKPOINT_SECONDS 10

struct train_rows { // what is learnt from, in memory (or in a file that is mapped)
    size_t rows;
    const uint8_t *pixels;   // [rows,C,H,W]
    const float *soft;       // [rows,K], or NULL
    const uint32_t *classes; // [rows]
    struct digest key;       // of all rows' keys in order
};

struct trained_stage {
    size_t epoch;
    const float *params, *stats; // as plan_train lays them out
};

struct trained {
    const char *name;
    size_t nstages;               // the epochs of `keep`
    struct trained_stage *stages; // see run_options.stages
    bool reused;                  // all of them came from the store
    size_t from_epoch;            // went on from; 0: began anew
    size_t steps, all_steps;      // done here; of the whole training
    size_t seen; // images taken, of all epochs so far; where it was stopped
    size_t nlosses;
    const float *losses; // mean of each epoch, from the first on
    double seconds;
};

// The epoch that it ends with.
static inline size_t train_until(const struct plan_train *t) {
    return (size_t)t->keep[t->nkeep - 1];
}

// Whether the store has every stage, of rows with this key (all rows' keys in order,
// joined): then out says so, and nothing has to be computed. Else it has no stages yet.
bool train_find(const struct plan *p, uint32_t which, struct digest key,
                const struct run_options *o, struct arena *arena, struct trained *out);

// Once its functions are loaded. out: zeros, or as train_find left it, whose memory is
// used again; what is made lies in arena. False: said in d (a loss that is no number,
// with step, rate and the last state kept), or stopped.
bool train_run(const struct plan *p, uint32_t which, const struct train_rows *rows,
               const struct run_options *o, struct arena *arena, struct trained *out,
               struct diags *d);

// The learning rate of a step (0 is the first), for `per_epoch` steps an epoch.
double train_rate(const struct plan_train *t, size_t step, size_t per_epoch);

#endif
