// Numbers for people: 1,280 rows, 3.2 MiB, 4 min 05 s.
#ifndef DDG_WORDS_H
#define DDG_WORDS_H

#include "runtime/base/base.h"

#define WORDS_MAX 32 // bytes of any of these, with the NUL
struct words {
    char at[WORDS_MAX];
};

struct words count_words(uint64_t n);    // 1,280
struct words size_words(uint64_t bytes); // 3.2 MiB
struct words time_words(double seconds); // 12.3 s
struct words flops_words(double flops);  // 3.2 GFLOP

#endif
