// From kernels to code in memory: a module a kernel, compiled in parallel, linked by ORC.
//
// Modules live in contexts of their own, so that workers share nothing. Instruction
// selection is all the optimisation there is: the code is emitted the way it should run,
// and LLVM's IR passes take longer than they help.
#include "codegen/emit.h"

#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <pthread.h>
#include <stdatomic.h>

struct entry { // a kernel's code
    const char *symbol;
    LLVMContextRef ctx;
    LLVMModuleRef module;
    LLVMMemoryBufferRef object; // between compiling and linking
    char *error;                // LLVM's, when it could not be compiled
};

struct codegen {
    struct arena *arena;
    struct target t;
    VEC(struct entry) entries;
    size_t linked; // entries that have an address
    LLVMOrcLLJITRef jit;
};

// ---- making and dropping --------------------------------------------------------------

static LLVMTargetMachineRef machine_new(const struct target *t, char **why) {
    LLVMTargetRef target;
    if (LLVMGetTargetFromTriple(t->triple, &target, why)) return NULL;
    return LLVMCreateTargetMachine(target, t->triple, t->cpu, t->features,
                                   LLVMCodeGenLevelDefault, LLVMRelocPIC,
                                   LLVMCodeModelSmall);
}

// The first one made; what needs no code pays for none of this. NULL: said in d.
static LLVMTargetMachineRef machine_first(const struct target *t, struct diags *d) {
    char *why = NULL;
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMTargetMachineRef machine = machine_new(t, &why);
    if (machine) return machine;
    diag_error(d, NO_SPAN, "no code can be made for `%s`: %s", t->triple,
               why ? why : "unknown target");
    LLVMDisposeMessage(why);
    return NULL;
}

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

struct codegen *codegen_new(const struct target *t, struct diags *d) {
    struct arena *arena = arena_new();
    if (!arena) {
        diag_error(d, NO_SPAN, "out of memory");
        return NULL;
    }
    struct codegen *cg = NEW(arena, struct codegen);
    *cg = (struct codegen){.arena = arena, .t = *t};
    cg->t.triple = arena_strdup(arena, t->triple);
    cg->t.cpu = arena_strdup(arena, t->cpu);
    cg->t.features = arena_strdup(arena, t->features);
    return cg;
}

void codegen_free(struct codegen *cg) {
    if (!cg) return;
    for (size_t i = 0; i < cg->entries.n; i++) {
        struct entry *e = &cg->entries.at[i];
        if (e->object) LLVMDisposeMemoryBuffer(e->object);
        LLVMDisposeMessage(e->error);
        LLVMDisposeModule(e->module);
        LLVMContextDispose(e->ctx);
    }
    if (cg->jit) LLVMConsumeError(LLVMOrcDisposeLLJIT(cg->jit));
    arena_free(cg->arena);
}

// ---- kernels --------------------------------------------------------------------------

static const char *find(const struct codegen *cg, const char *symbol) {
    for (size_t i = 0; i < cg->entries.n; i++)
        if (strcmp(cg->entries.at[i].symbol, symbol) == 0)
            return cg->entries.at[i].symbol;
    return NULL;
}

static const char *add(struct codegen *cg, struct arena *work, const struct kfunc *kf,
                       const struct kernel *k, struct diags *d) {
    if (!kernel_check(work, kf, k, d)) return NULL;
    const char *symbol = kernel_symbol(work, &cg->t, kf, k), *known = find(cg, symbol);
    if (known) return known;
    struct entry e = {.symbol = arena_strdup(cg->arena, symbol),
                      .ctx = LLVMContextCreate()};
    e.module = kernel_emit(work, e.ctx, &cg->t, kf, k, e.symbol);
    VEC_PUSH(cg->arena, &cg->entries, e);
    return e.symbol;
}

const char *codegen_add(struct codegen *cg, const struct kfunc *kf,
                        const struct kernel *k, struct diags *d) {
    CHECK(!k->runtime);
    struct arena *work = arena_new();
    if (!work) {
        diag_error(d, NO_SPAN, "out of memory");
        return NULL;
    }
    const char *symbol = add(cg, work, kf, k, d);
    arena_free(work);
    return symbol;
}

// ---- compiling ------------------------------------------------------------------------

struct crew {
    struct codegen *cg;
    atomic_size_t next; // entry
};

static void set_layout(LLVMModuleRef m, LLVMTargetMachineRef machine,
                       const char *triple) {
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(m, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(m, triple);
}

// Code generation changes the module it works on; the original is kept for dumps.
static LLVMMemoryBufferRef generate(struct codegen *cg, LLVMTargetMachineRef machine,
                                    const struct entry *e, LLVMCodeGenFileType what,
                                    char **error) {
    LLVMMemoryBufferRef out = NULL;
    LLVMModuleRef m = LLVMCloneModule(e->module);
    set_layout(m, machine, cg->t.triple);
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, m, what, error, &out)) out = NULL;
    LLVMDisposeModule(m);
    return out;
}

static void *compile_some(void *arg) {
    struct crew *crew = arg;
    struct codegen *cg = crew->cg;
    char *why = NULL;
    LLVMTargetMachineRef machine = machine_new(&cg->t, &why);
    CHECK(machine); // start_jit made one
    for (size_t i; (i = atomic_fetch_add(&crew->next, 1)) < cg->entries.n;) {
        struct entry *e = &cg->entries.at[i];
        e->object = generate(cg, machine, e, LLVMObjectFile, &e->error);
    }
    LLVMDisposeTargetMachine(machine);
    return NULL;
}

static void compile_all(struct codegen *cg, size_t threads) {
    struct crew crew = {.cg = cg, .next = cg->linked};
    pthread_t helper[64];
    size_t n = 0, pending = cg->entries.n - cg->linked;
    while (n + 1 < size_min(size_min(threads, pending), COUNT(helper)) &&
           pthread_create(&helper[n], NULL, compile_some, &crew) == 0)
        n++;
    compile_some(&crew);
    for (size_t i = 0; i < n; i++) pthread_join(helper[i], NULL);
}

static bool link_entry(struct codegen *cg, struct entry *e, struct diags *d) {
    if (!e->object)
        return diag_error(d, NO_SPAN, "`%s` could not be compiled: %s", e->symbol,
                          e->error ? e->error : "unknown reason");
    LLVMMemoryBufferRef object = e->object;
    e->object = NULL; // the linker's from here on
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(cg->jit);
    return !orc_failed(LLVMOrcLLJITAddObjectFile(cg->jit, library, object),
                       "a kernel could not be linked", d);
}

bool codegen_finish(struct codegen *cg, size_t threads, struct diags *d) {
    bool ok = true;
    if (cg->linked == cg->entries.n) return true;
    if (!start_jit(cg, d)) return false;
    compile_all(cg, threads);
    for (; cg->linked < cg->entries.n; cg->linked++)
        ok = link_entry(cg, &cg->entries.at[cg->linked], d) && ok;
    return ok;
}

kernel_fn codegen_address(struct codegen *cg, const char *symbol, struct diags *d) {
    LLVMOrcExecutorAddress address = 0;
    if (orc_failed(LLVMOrcLLJITLookup(cg->jit, &address, symbol), "a kernel is missing",
                   d))
        return NULL;
    return (kernel_fn)(uintptr_t)address;
}

// ---- text -----------------------------------------------------------------------------

static bool add_asm(struct codegen *cg, LLVMTargetMachineRef machine,
                    const struct entry *e, struct text *out, struct diags *d) {
    char *error = NULL;
    LLVMMemoryBufferRef text = generate(cg, machine, e, LLVMAssemblyFile, &error);
    if (!text) {
        diag_error(d, NO_SPAN, "`%s` could not be compiled: %s", e->symbol,
                   error ? error : "unknown reason");
        LLVMDisposeMessage(error);
        return false;
    }
    text_add_n(out, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
    LLVMDisposeMemoryBuffer(text);
    return true;
}

const char *codegen_text(struct codegen *cg, enum codegen_text what, struct arena *arena,
                         struct diags *d) {
    struct text out = {.arena = arena};
    LLVMTargetMachineRef machine = machine_first(&cg->t, d);
    bool ok = true;
    if (!machine) return NULL;
    text_add(&out, "%s", "");
    for (size_t i = 0; ok && i < cg->entries.n; i++) {
        const struct entry *e = &cg->entries.at[i];
        if (what == CODEGEN_ASM) {
            ok = add_asm(cg, machine, e, &out, d);
        } else {
            char *ir = LLVMPrintModuleToString(e->module);
            text_add(&out, "%s\n", ir);
            LLVMDisposeMessage(ir);
        }
    }
    LLVMDisposeTargetMachine(machine);
    return ok ? out.at : NULL;
}
