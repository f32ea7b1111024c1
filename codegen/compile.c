// From kernels to objects: a module a kernel, compiled in parallel.
//
// Modules live in contexts of their own, so that workers share nothing. Instruction
// selection is all the optimisation there is: the code is emitted the way it should run,
// and LLVM's IR passes take longer than they help. The same machine settings serve code that
// runs here at once (jit.c) and code that is written to a file (image.c), so both are the
// same instructions.
#include "codegen/compile.h"
#include "codegen/emit.h"

#include "runtime/pool.h"

#include <llvm-c/BitReader.h>
#include <llvm-c/BitWriter.h>
#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Linker.h>
#include <llvm-c/Target.h>
#include <pthread.h>
#include <stdatomic.h>

// ---- making and dropping --------------------------------------------------------------

// At the next level LLVM orders instructions once more behind the allocation of registers,
// which processors that reorder them do not notice.
static LLVMTargetMachineRef machine_new(const struct target *t, char **why) {
    LLVMTargetRef target;
    if (LLVMGetTargetFromTriple(t->triple, &target, why)) return NULL;
    return LLVMCreateTargetMachine(target, t->triple, t->cpu, t->features,
                                   LLVMCodeGenLevelLess, LLVMRelocPIC,
                                   LLVMCodeModelSmall);
}

// LLVM's own checks go where ours go.
static void on_fatal(const char *why) {
    char words[256];
    snprintf(words, sizeof words, "LLVM: %.*s", (int)strcspn(why, "\n"), why);
    scope_bug(words);
}

static void set_up_errors(void) {
    LLVMInstallFatalErrorHandler(on_fatal);
}

static void set_up_x86(void) {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
}

static void set_up_arm(void) {
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
}

// Targets go into a list that all threads share, when code is first asked for.
static void set_up_llvm(const char *triple) {
    static pthread_once_t errors = PTHREAD_ONCE_INIT, x86 = PTHREAD_ONCE_INIT,
                          arm = PTHREAD_ONCE_INIT;
    bool is_arm = strncmp(triple, "aarch64", strlen("aarch64")) == 0;
    pthread_once(&errors, set_up_errors);
    pthread_once(is_arm ? &arm : &x86, is_arm ? set_up_arm : set_up_x86);
}

LLVMTargetMachineRef machine_first(const struct target *t, struct diags *d) {
    char *why = NULL;
    set_up_llvm(t->triple);
    LLVMTargetMachineRef machine = machine_new(t, &why);
    if (machine) return machine;
    diag_error(d, NO_SPAN, "no code can be made for `%s`: %s", t->triple,
               why ? why : "unknown target");
    LLVMDisposeMessage(why);
    return NULL;
}

struct codegen *codegen_new(const struct target *t, struct diags *d) {
    struct arena *arena = arena_new();
    struct cleanup held;
    if (!arena) {
        diag_no_memory(d, NO_SPAN);
        return NULL;
    }
    cleanup_push(&held, arena_drop, arena);
    struct codegen *cg = NEW(arena, struct codegen);
    *cg = (struct codegen){.arena = arena, .t = *t};
    cg->t.triple = arena_strdup(arena, t->triple);
    cg->t.cpu = arena_strdup(arena, t->cpu);
    cg->t.features = arena_strdup(arena, t->features);
    cleanup_pop(&held);
    return cg;
}

void codegen_times(struct codegen *cg, struct timeline *times) {
    cg->times = times;
}

static void drop_entry(struct entry *e) {
    drop_object(e);
    LLVMDisposeModule(e->module);
    LLVMContextDispose(e->ctx);
}

void codegen_free(struct codegen *cg) {
    if (!cg) return;
    for (size_t i = 0; !cg->broken && i < cg->entries.n; i++)
        drop_entry(&cg->entries.at[i]);
    if (cg->jit && !cg->broken) LLVMConsumeError(LLVMOrcDisposeLLJIT(cg->jit));
    arena_free(cg->arena);
}

// ---- kernels --------------------------------------------------------------------------

static const char *find(const struct codegen *cg, const char *symbol) {
    for (size_t i = 0; i < cg->entries.n; i++)
        if (strcmp(cg->entries.at[i].symbol, symbol) == 0)
            return cg->entries.at[i].symbol;
    return NULL;
}

struct making { // an entry that is not in the list yet
    struct codegen *cg;
    struct entry e;
};

static void give_up(void *making) {
    struct making *m = making;
    if (scope_ending() == SCOPE_BUG) m->cg->broken = true;
    else drop_entry(&m->e);
}

static const char *add(struct codegen *cg, struct arena *work, const struct kfunc *kf,
                       const struct kernel *k, struct diags *d) {
    if (!kernel_check(work, kf, k, d)) return NULL;
    const char *symbol = kernel_symbol(work, &cg->t, kf, k), *known = find(cg, symbol);
    if (known) return known;
    struct making m = {.cg = cg, .e = {.symbol = arena_strdup(cg->arena, symbol)}};
    struct cleanup held;
    m.e.ctx = LLVMContextCreate();
    m.e.module = LLVMModuleCreateWithNameInContext(symbol, m.e.ctx);
    cleanup_push(&held, give_up, &m);
    kernel_emit(work, m.e.module, &cg->t, kf, k, m.e.symbol);
    VEC_PUSH(cg->arena, &cg->entries, m.e);
    cleanup_pop(&held);
    return m.e.symbol;
}

const char *codegen_add(struct codegen *cg, const struct kfunc *kf,
                        const struct kernel *k, struct diags *d) {
    CHECK(!k->runtime);
    struct arena *work = arena_must();
    struct cleanup held;
    cleanup_push(&held, arena_drop, work);
    const char *symbol = add(cg, work, kf, k, d);
    cleanup_run(&held);
    return symbol;
}

// ---- compiling ------------------------------------------------------------------------

static bool not_compiled(const char *name, const char *why, struct diags *d) {
    return diag_error(d, NO_SPAN, "`%s` could not be compiled: %s", name,
                      why ? why : "unknown reason");
}

#define MAX_CREW ((size_t)64)

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

// Changes the module.
static LLVMMemoryBufferRef generate(struct codegen *cg, LLVMTargetMachineRef machine,
                                    LLVMModuleRef m, LLVMCodeGenFileType what,
                                    char **error) {
    LLVMMemoryBufferRef out = NULL;
    set_layout(m, machine, cg->t.triple);
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, m, what, error, &out)) return NULL;
    return out;
}

// The original is kept for dumps.
static LLVMMemoryBufferRef generate_entry(struct codegen *cg,
                                          LLVMTargetMachineRef machine,
                                          const struct entry *e, LLVMCodeGenFileType what,
                                          char **error) {
    LLVMModuleRef m = LLVMCloneModule(e->module);
    LLVMMemoryBufferRef out = generate(cg, machine, m, what, error);
    LLVMDisposeModule(m);
    return out;
}

static void compile_some(void *ctx, size_t worker) {
    struct crew *crew = ctx;
    struct codegen *cg = crew->cg;
    char *why = NULL;
    (void)worker;
    LLVMTargetMachineRef machine = machine_new(&cg->t, &why);
    CHECK(machine); // machine_first made one
    for (size_t i; (i = atomic_fetch_add(&crew->next, 1)) < cg->entries.n;) {
        struct entry *e = &cg->entries.at[i];
        drop_object(e);
        e->object = generate_entry(cg, machine, e, LLVMObjectFile, &e->error);
    }
    LLVMDisposeTargetMachine(machine);
}

static void give_up_all(void *cg) {
    ((struct codegen *)cg)->broken = true;
}

static void compile_all(struct codegen *cg, size_t from, size_t threads) {
    struct crew crew = {.cg = cg, .next = from};
    struct cleanup held;
    cleanup_push(&held, give_up_all, cg);
    pool_run(size_min(size_min(threads, cg->entries.n - from), MAX_CREW), compile_some,
             &crew);
    cleanup_pop(&held);
}

bool compile_from(struct codegen *cg, size_t from, size_t threads, struct diags *d) {
    LLVMTargetMachineRef machine = machine_first(&cg->t, d);
    bool ok = machine != NULL;
    double began = timeline_now(cg->times);
    if (ok) compile_all(cg, from, threads);
    LLVMDisposeTargetMachine(machine);
    timeline_add(cg->times, began, "make machine code", NULL);
    for (size_t i = from; machine && i < cg->entries.n; i++) {
        const struct entry *e = &cg->entries.at[i];
        if (!e->object) ok = not_compiled(e->symbol, e->error, d);
    }
    return ok;
}

void drop_object(struct entry *e) {
    if (e->object) LLVMDisposeMemoryBuffer(e->object);
    LLVMDisposeMessage(e->error);
    e->object = NULL;
    e->error = NULL;
}

// ---- one object -----------------------------------------------------------------------

// Modules of different contexts meet as bitcode.
static bool join_entry(LLVMModuleRef all, const struct entry *e) {
    LLVMMemoryBufferRef bitcode = LLVMWriteBitcodeToMemoryBuffer(e->module);
    LLVMModuleRef m = NULL;
    bool ok = !LLVMParseBitcodeInContext2(LLVMGetModuleContext(all), bitcode, &m) &&
              !LLVMLinkModules2(all, m);
    LLVMDisposeMemoryBuffer(bitcode);
    return ok;
}

static LLVMMemoryBufferRef join_all(struct codegen *cg, LLVMTargetMachineRef machine,
                                    LLVMContextRef ctx, struct diags *d) {
    LLVMModuleRef all = LLVMModuleCreateWithNameInContext("kernels", ctx);
    LLVMMemoryBufferRef object = NULL;
    char *why = NULL;
    for (size_t i = 0; i < cg->entries.n; i++) CHECK(join_entry(all, &cg->entries.at[i]));
    object = generate(cg, machine, all, LLVMObjectFile, &why);
    if (!object) not_compiled("kernels", why, d);
    LLVMDisposeMessage(why);
    LLVMDisposeModule(all);
    return object;
}

struct object { // of all kernels
    LLVMTargetMachineRef machine;
    LLVMContextRef ctx;
    LLVMMemoryBufferRef buffer;
};

static void drop_all(void *object) {
    struct object *o = object;
    if (scope_ending() == SCOPE_BUG) return;
    if (o->buffer) LLVMDisposeMemoryBuffer(o->buffer);
    LLVMContextDispose(o->ctx);
    LLVMDisposeTargetMachine(o->machine);
}

bool codegen_object(struct codegen *cg, struct arena *arena, char **bytes, size_t *n,
                    struct diags *d) {
    struct object o = {.machine = machine_first(&cg->t, d)};
    struct cleanup held;
    if (!o.machine) return false;
    o.ctx = LLVMContextCreate();
    cleanup_push(&held, drop_all, &o);
    o.buffer = join_all(cg, o.machine, o.ctx, d);
    bool ok = o.buffer != NULL;
    if (ok) {
        *n = LLVMGetBufferSize(o.buffer);
        *bytes = arena_dup(arena, LLVMGetBufferStart(o.buffer), *n, 1);
    }
    cleanup_run(&held);
    return ok;
}

// ---- text -----------------------------------------------------------------------------

static void drop_buffer(void *buffer) {
    LLVMDisposeMemoryBuffer(buffer);
}

static void drop_message(void *message) {
    LLVMDisposeMessage(message);
}

static void drop_machine(void *machine) {
    LLVMDisposeTargetMachine(machine);
}

static bool add_asm(struct codegen *cg, LLVMTargetMachineRef machine,
                    const struct entry *e, struct text *out, struct diags *d) {
    char *error = NULL;
    LLVMMemoryBufferRef text = generate_entry(cg, machine, e, LLVMAssemblyFile, &error);
    struct cleanup held;
    if (!text) {
        not_compiled(e->symbol, error, d);
        LLVMDisposeMessage(error);
        return false;
    }
    cleanup_push(&held, drop_buffer, text);
    text_add_n(out, LLVMGetBufferStart(text), LLVMGetBufferSize(text));
    cleanup_run(&held);
    return true;
}

static bool add_ir(const struct entry *e, struct text *out) {
    char *ir = LLVMPrintModuleToString(e->module);
    struct cleanup held;
    cleanup_push(&held, drop_message, ir);
    text_add(out, "%s\n", ir);
    cleanup_run(&held);
    return true;
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
    for (size_t i = 0; ok && i < cg->entries.n; i++) {
        const struct entry *e = &cg->entries.at[i];
        ok = what == CODEGEN_ASM ? add_asm(cg, machine, e, &out, d) : add_ir(e, &out);
    }
    cleanup_run(&held);
    return ok ? out.at : NULL;
}
