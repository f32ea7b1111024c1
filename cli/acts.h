// Programs that train, in acts.
//
// What a network is after training is known only after running, while all that reads it
// wants its weights as constants: to fold them, to pack them, to know values by them. So
// a program that trains is compiled and run in acts. A training's level is one more than
// the greatest of those that it depends on; act k is the program as far as its trainings
// of level k need it, and the last act all that it saves. In the graph of an act what was
// trained in earlier ones stands as a network that was read (OP_ONNX), and nothing of its
// training is left.
#ifndef DDG_ACTS_H
#define DDG_ACTS_H

#include "passes/pass.h"
#include "runtime/train.h"

struct acts {
    struct arena *arena; // of networks that were trained
    const struct func *graph;
    size_t *level; // by node: of the trainings that it is, or depends on; 0: none
    bool *ends;    // by node: of a training, whether what it ends with is read
    size_t n;      // acts of trainings
    struct act_training {
        size_t nstages; // 0: not known yet
        struct act_stage {
            size_t epoch;
            const struct model *model;
        } * stages;
    } * known; // by node
};

void acts_init(struct acts *a, struct arena *arena, const struct func *graph);

struct act {
    // Its outputs: trainings, in the last act what the program saves.
    const struct func *graph;
    const nid *trains; // of the program's graph, by output; NULL in the last act
};

// Act i of a->n, i = a->n being the last. stand_in: where a network is not known, what it
// is before it is trained; else what depends on it is left out.
struct act acts_at(struct acts *a, struct arena *arena, size_t i, bool stand_in);
// What the trainings of an act gave, by the plan's trains; those without stages are not
// known. The numbers are used where they are: they live as long as a->arena.
void acts_learn(struct acts *a, const struct act *act, const struct plan *p,
                const struct trained *t);
// The names of trainings that are not known, in order.
const char *const *acts_unknown(const struct acts *a, struct arena *arena, size_t *n);

#endif
