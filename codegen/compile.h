// What making code (compile.c), linking it here (jit.c) and laying it out to be linked
// nowhere (image.c) share.
#ifndef DDG_CODEGEN_COMPILE_H
#define DDG_CODEGEN_COMPILE_H

#include "codegen/codegen.h"

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/TargetMachine.h>

struct entry { // a kernel
    const char *symbol;
    const struct kfunc *kf;
    struct kernel k;
};

struct unit { // kernels that are compiled together (units.c)
    VEC(size_t) entries;
    size_t family;              // of its kernels
    double cost;                // about what compiling it takes
    LLVMMemoryBufferRef object; // once compiled, until somebody takes it
    char *error;                // LLVM's, when it could not be compiled
};

struct codegen {
    struct arena *arena;
    struct target t;
    VEC(struct entry) entries;
    VEC(struct unit) units;
    size_t joined; // entries that have a unit
    size_t linked; // units whose kernels have an address
    LLVMOrcLLJITRef jit;
    bool broken; // a check failed, perhaps LLVM's: nothing of LLVM's is touched any more
    struct timeline *times; // may be NULL
};

// A module in a context of its own, while something is made of it.
struct making {
    LLVMContextRef ctx;
    LLVMModuleRef module;
    struct cleanup held;
};

void making_begin(struct making *m, const struct codegen *cg,
                  LLVMTargetMachineRef machine, const char *name);
void making_add(struct making *m, const struct codegen *cg, const struct entry *e);
// Changes the module. NULL: why is in error.
LLVMMemoryBufferRef making_code(struct making *m, LLVMTargetMachineRef machine,
                                LLVMCodeGenFileType what, char **error);
void making_end(struct making *m);
bool not_compiled(const char *name, const char *why, struct diags *d);

// The first machine made sets LLVM up; what needs no code pays for none of this. NULL:
// said in d.
LLVMTargetMachineRef machine_first(const struct target *t, struct diags *d);
void drop_machine(void *machine);
// Compiles the units from `from` on, on `threads` threads: each has its object then, or
// the reason why one has none is in d. After machine_first and units_join.
bool compile_from(struct codegen *cg, size_t from, size_t threads, struct diags *d);
void drop_object(struct unit *u);

// Gives every entry a unit. Which one follows from the entries alone.
void units_join(struct codegen *cg);
// The units from `from` on, those that take longest first.
size_t *units_ordered(const struct codegen *cg, struct arena *arena, size_t from);

#endif
