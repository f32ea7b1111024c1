// Calling a joint function: a batch of rows that all workers compute together.
//
// Some of its calls compute rows, which workers take a few at a time; some need all rows
// of what they read (sums over the batch) or serve all rows (weights as kernels want
// them), and are done by one worker or, cut into parts, by all. Calls that wait for
// nothing of each other go on side by side. Which worker does what shows in no result:
// rows are computed each by itself, and a sum over rows is taken in their order.
#ifndef DDG_JOINT_H
#define DDG_JOINT_H

#include "runtime/profile.h"

struct joint;

// For up to `workers` workers; the function is loaded. NULL: out of memory.
struct joint *joint_new(const struct plan *p, const struct plan_func *f, size_t workers);
void joint_free(struct joint *j);

// Called by every worker, 0 <= which < workers, with the same arguments; returns when all
// is done. n <= f->batch rows. in and out point at row 0, or at a value of all rows.
// Allocates nothing.
void joint_call(struct joint *j, size_t which, char *const *in, char *const *out,
                size_t n, struct profile_lane *lane);

// All workers meet: returns when each has called it.
void joint_meet(struct joint *j, size_t which);

#endif
