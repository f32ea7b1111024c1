// The cheapest clock there is: a counter that ticks at one pace on all cores, whatever
// that pace is. What a tick is in seconds follows from reading it beside clock_seconds.
#ifndef DDG_TICKS_H
#define DDG_TICKS_H

#include "runtime/base/base.h"

#if defined(__x86_64__)
#include <x86intrin.h>
static inline uint64_t ticks_now(void) {
    return __rdtsc();
}
#elif defined(__aarch64__)
static inline uint64_t ticks_now(void) {
    uint64_t t;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t));
    return t;
}
#else
static inline uint64_t ticks_now(void) {
    return (uint64_t)(clock_seconds() * 1e9);
}
#endif

#endif
