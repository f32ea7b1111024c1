// From objects to code in memory, linked by ORC.
#include "codegen/compile.h"

#include <llvm-c/Error.h>

static bool orc_failed(LLVMErrorRef error, const char *what, struct diags *d) {
    if (!error) return false;
    char *why = LLVMGetErrorMessage(error);
    diag_error(d, NO_SPAN, "%s: %s", what, why);
    LLVMDisposeErrorMessage(why);
    return true;
}

static bool start_jit(struct codegen *cg, struct diags *d) {
    if (cg->jit) return true;
    LLVMTargetMachineRef machine = machine_first(&cg->t, d);
    if (!machine) return false;
    LLVMOrcLLJITBuilderRef b = LLVMOrcCreateLLJITBuilder();
    LLVMOrcLLJITBuilderSetJITTargetMachineBuilder(
        b, LLVMOrcJITTargetMachineBuilderCreateFromTargetMachine(machine));
    return !orc_failed(LLVMOrcCreateLLJIT(&cg->jit, b), "the linker does not start", d);
}

static bool link_unit(struct codegen *cg, struct unit *u, struct diags *d) {
    LLVMMemoryBufferRef object = u->object;
    u->object = NULL; // the linker's from here on
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(cg->jit);
    return !orc_failed(LLVMOrcLLJITAddObjectFile(cg->jit, library, object),
                       "kernels could not be linked", d);
}

bool codegen_finish(struct codegen *cg, size_t threads, struct diags *d) {
    bool ok = true;
    units_join(cg);
    if (cg->linked == cg->units.n) return true;
    double began = timeline_now(cg->times);
    if (!start_jit(cg, d)) return false;
    timeline_add(cg->times, began, "start LLVM", NULL);
    if (!compile_from(cg, cg->linked, threads, d)) return false;
    for (; cg->linked < cg->units.n; cg->linked++)
        ok = link_unit(cg, &cg->units.at[cg->linked], d) && ok;
    return ok;
}

kernel_fn codegen_address(struct codegen *cg, const char *symbol, struct diags *d) {
    LLVMOrcExecutorAddress address = 0;
    if (orc_failed(LLVMOrcLLJITLookup(cg->jit, &address, symbol), "a kernel is missing",
                   d))
        return NULL;
    return (kernel_fn)(uintptr_t)address;
}
