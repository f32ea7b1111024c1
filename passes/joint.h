// Joint functions: in which order their kernels are, and what goes on side by side.
#ifndef DDG_JOINT_PASS_H
#define DDG_JOINT_PASS_H

#include "passes/pass.h"

enum joint_sort { // a band has kernels of one sort
    SORT_ROWS,    // some rows at a time
    SORT_SHARED,  // what all rows share, by one worker
    SORT_PARTS,   // the same by many: a band of its own
};
enum joint_sort joint_sort(const struct kfunc *k, const struct kernel *kernel);

// Puts the kernels into an order in which those of a sort are together.
void joint_order(struct arena *arena, struct kfunc *k);
// Into how many parts kernels are cut, and what memory those need; after layout.
void joint_parts(const struct target *t, struct kfunc *k);
// Fills in the bands' phases.
void joint_phases(struct arena *arena, struct kfunc *k);

#endif
