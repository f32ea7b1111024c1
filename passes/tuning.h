// What is known better than by cost: how kernels are computed best on a machine.
//
// Who times candidates is not the passes' concern: they ask, kernel by kernel, when a
// module has a tuning, and are told. An algorithm that differs from the one that costs
// least rounds otherwise, so it enters the store's keys of the columns that the function
// computes (tuned_record); tilings cannot be seen in results and do not.
#ifndef DDG_TUNING_H
#define DDG_TUNING_H

#include "passes/pass.h"

struct choice { // how a kernel is computed
    enum algorithm algorithm;
    struct tiling tiling;
};

struct tuning {
    // For kernel i of f->k, which has places but no layouts yet. usual: what costs least,
    // of its own tiling. What is returned fits the kernel.
    struct choice (*choose)(void *ctx, const struct module *m,
                            const struct module_func *f, size_t i, struct choice usual);
    void *ctx;
};

// Whether the kernel's anchor has code of more than one kind.
bool kernel_is_tunable(const struct kfunc *kf, const struct kernel *k);
// Whether the anchor of k can be computed so.
bool algorithm_fits(const struct kfunc *kf, const struct kernel *k, enum algorithm a);
// Has the kernel computed so; needs a choice that fits.
void choice_take(const struct target *t, const struct kfunc *kf, struct kernel *k,
                 struct choice c);
// All of a kernel that decides which choice is best, in words: its anchor with shapes and
// attributes, how its operands come, and what it is joined with. Not its weights.
const char *kernel_problem(struct arena *a, const struct kfunc *kf,
                           const struct kernel *k);

// Takes the functions that compute the column (`funcs`, n of them) up to their
// algorithms. Where these are not the usual ones, the column's record says so behind how
// the target rounds, and its key is another.
bool tuned_record(struct module *m, uint32_t column, const uint32_t *funcs, size_t n,
                  struct diags *d);

#endif
