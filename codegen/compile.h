// What making code (compile.c), linking it here (jit.c) and laying it out to be linked
// nowhere (image.c) share.
#ifndef DDG_CODEGEN_COMPILE_H
#define DDG_CODEGEN_COMPILE_H

#include "codegen/codegen.h"

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/TargetMachine.h>

struct entry { // a kernel's code
    const char *symbol;
    LLVMContextRef ctx;
    LLVMModuleRef module;
    LLVMMemoryBufferRef object; // once compiled, until somebody takes it
    char *error;                // LLVM's, when it could not be compiled
};

struct codegen {
    struct arena *arena;
    struct target t;
    VEC(struct entry) entries;
    size_t linked; // entries that have an address
    LLVMOrcLLJITRef jit;
    bool broken; // a check failed, perhaps LLVM's: nothing of LLVM's is touched any more
    struct timeline *times; // may be NULL
};

// The first machine made sets LLVM up; what needs no code pays for none of this. NULL:
// said in d.
LLVMTargetMachineRef machine_first(const struct target *t, struct diags *d);
// Compiles the entries from `from` on, on `threads` threads: each has its object then, or
// the reason why one has none is in d. After machine_first.
bool compile_from(struct codegen *cg, size_t from, size_t threads, struct diags *d);
void drop_object(struct entry *e);

#endif
