// How much tests try that make random functions and compile them for processors.
//
// Nearly all of their time is LLVM's, which has no sanitizers, as code that is made has
// none. So where there are some, a third is tried: it passes the same lines of ours.
#ifndef TEST_EFFORT_H
#define TEST_EFFORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint64_t effort(uint64_t trials) {
#ifdef __SANITIZE_ADDRESS__
    return (trials + 2) / 3;
#else
    return trials;
#endif
}

// Which of many processors a trial is for: the first, which is this one, and one of the
// others in turn.
static inline bool effort_takes(uint64_t trial, size_t which, size_t of) {
    return which == 0 || which == 1 + trial / 3 % (of - 1);
}

#endif
