// What a command line says, to `ddg` and to a compiled program.
#ifndef DDG_ARGS_H
#define DDG_ARGS_H

#include "runtime/base/diag.h"

struct args {
    const char *operands[2]; // NULL where there is none
    size_t noperands;
    const char **defines; // "name=value", as given
    size_t ndefines, threads;
    const char *after, *output, *emit;
    const char *targets[4]; // --target, as given; commands that take one take the last
    size_t ntargets;
    const char *store; // --store, or NULL
    bool no_store, json;
    bool data;    // check: read it
    bool all;     // print everything
    double audit; // share of what is found that is computed again, 0 to 1
    bool bf16;    // --precision: of networks for which the program says none
    bool sized;   // --size was given:
    uint64_t size;
    size_t side;            // --size of images; 0: not given
    bool time;              // --time: say where it went
    struct timeline *times; // of the process
    bool profile;           // --profile: say which kernels it went to
    bool tune;              // --tune: time how kernels are computed best
    const char *trace;      // and write what happened when into this file, or NULL
};

// NULL: nobody asks for it.
static inline struct timeline *args_times(const struct args *a) {
    return a->time || a->profile ? a->times : NULL;
}

#endif
