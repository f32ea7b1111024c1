// What this processor can do, by LLVM's feature names.
#ifndef DDG_CPU_H
#define DDG_CPU_H

#include "runtime/base/base.h"

// needs: "avx2,fma". The features that this processor (or its operating system) lacks, or that
// are not known here, as ", "-joined words in arena; NULL: none.
const char *cpu_lacks(struct arena *arena, const char *needs);

#endif
