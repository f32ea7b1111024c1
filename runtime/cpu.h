// What this processor is ("x86-64", "aarch64") and what it can do, by LLVM's feature
// names.
#ifndef DDG_CPU_H
#define DDG_CPU_H

#include "runtime/base/base.h"

const char *cpu_kind(void); // the first word of what code for it needs; "?": another
// needs: "x86-64,avx2,fma". What of it this processor (or its operating system) lacks, or
// what is not known here, as ", "-joined words in arena; NULL: nothing.
const char *cpu_lacks(struct arena *arena, const char *needs);

#endif
