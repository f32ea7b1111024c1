// Kernels as a file: one relocatable object, LLVM IR, assembly (`ddg compile --emit`).
#include "codegen/compile.h"

static void drop_buffer(void *buffer) {
    if (buffer && scope_ending() != SCOPE_BUG) LLVMDisposeMemoryBuffer(buffer);
}

static void drop_message(void *message) {
    LLVMDisposeMessage(message);
}

// ---- one object ----------------------------------------------------------------------

static LLVMMemoryBufferRef object_of_all(const struct codegen *cg,
                                         LLVMTargetMachineRef machine, struct diags *d) {
    struct making m;
    char *why = NULL;
    making_begin(&m, cg, machine, "kernels");
    for (size_t i = 0; i < cg->entries.n; i++) making_add(&m, cg, &cg->entries.at[i]);
    LLVMMemoryBufferRef object = making_code(&m, machine, LLVMObjectFile, &why);
    making_end(&m);
    if (!object) not_compiled("kernels", why, d);
    LLVMDisposeMessage(why);
    return object;
}

bool codegen_object(struct codegen *cg, struct arena *arena, char **bytes, size_t *n,
                    struct diags *d) {
    LLVMTargetMachineRef machine = machine_first(&cg->t, d);
    struct cleanup first, held;
    if (!machine) return false;
    cleanup_push(&first, drop_machine, machine);
    LLVMMemoryBufferRef object = object_of_all(cg, machine, d);
    cleanup_push(&held, drop_buffer, object);
    if (object) {
        *n = LLVMGetBufferSize(object);
        *bytes = arena_dup(arena, LLVMGetBufferStart(object), *n, 1);
    }
    cleanup_run(&held);
    cleanup_run(&first);
    return object != NULL;
}

// ---- text ----------------------------------------------------------------------------

static bool add_asm(struct making *m, LLVMTargetMachineRef machine, const char *symbol,
                    struct text *out, struct diags *d) {
    char *error = NULL;
    LLVMMemoryBufferRef text = making_code(m, machine, LLVMAssemblyFile, &error);
    struct cleanup held;
    if (!text) {
        not_compiled(symbol, error, d);
        LLVMDisposeMessage(error);
        return false;
    }
    cleanup_push(&held, drop_buffer, text);
    text_add_n(out, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
    cleanup_run(&held);
    return true;
}

static bool add_ir(const struct making *m, struct text *out) {
    char *ir = LLVMPrintModuleToString(m->module);
    struct cleanup held;
    cleanup_push(&held, drop_message, ir);
    text_add(out, "%s\n", ir);
    cleanup_run(&held);
    return true;
}

static bool add_entry(const struct codegen *cg, LLVMTargetMachineRef machine,
                      const struct entry *e, enum codegen_text what, struct text *out,
                      struct diags *d) {
    struct making m;
    making_begin(&m, cg, machine, e->symbol);
    making_add(&m, cg, e);
    bool ok =
        what == CODEGEN_ASM ? add_asm(&m, machine, e->symbol, out, d) : add_ir(&m, out);
    making_end(&m);
    return ok;
}

const char *codegen_text(struct codegen *cg, enum codegen_text what, struct arena *arena,
                         struct diags *d) {
    struct text out = {.arena = arena};
    LLVMTargetMachineRef machine = machine_first(&cg->t, d);
    struct cleanup held;
    bool ok = true;
    if (!machine) return NULL;
    cleanup_push(&held, drop_machine, machine);
    text_add(&out, "%s", "");
    for (size_t i = 0; ok && i < cg->entries.n; i++)
        ok = add_entry(cg, machine, &cg->entries.at[i], what, &out, d);
    cleanup_run(&held);
    return ok ? out.at : NULL;
}
