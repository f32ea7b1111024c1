// Random numbers that are functions of what they are for: Philox 4x32-10 (Salmon et al.,
// "Parallel random numbers: as easy as 1, 2, 3", SC 2011), keyed by seed, purpose and
// content. The same key and index give the same number in any order and on any thread.
#ifndef DDG_RANDOM_H
#define DDG_RANDOM_H

#include "runtime/base/base.h"

struct random { // a stream; cheap to make, not shared between threads
    uint32_t key[2], counter[4], block[4];
    unsigned left;
};

// The stream for a purpose ("normal", "crop", ...), a seed and some content.
struct random random_stream(const char *purpose, uint64_t seed, struct digest content);
uint32_t random_u32(struct random *r);
double random_unit(struct random *r); // in (0, 1)
double random_between(struct random *r, double low, double high);
uint32_t random_below(struct random *r, uint32_t n); // 0 .. n-1, without bias; n > 0
// Fills out with n independent standard normal numbers (Box-Muller).
void random_normal(struct random *r, float *out, size_t n);

// The bare function, for tests against the published answers.
void philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

#endif
