// From kernels to objects, some kernels a module (units.c), in parallel.
//
// What is asked for is only written down; workers emit and compile it. Modules live in
// contexts of their own, so that workers share nothing. Instruction selection is all the
// optimisation there is: the code is emitted the way it should run, and LLVM's IR passes
// take longer than they help. The same machine settings serve code that runs here at once
// (jit.c) and code that is written to a file (image.c, written.c), so both are the same
// instructions.
#include "codegen/compile.h"
#include "codegen/emit.h"

#include "runtime/pool.h"

#include <llvm-c/ErrorHandling.h>
#include <llvm-c/Target.h>
#include <pthread.h>
#include <stdatomic.h>

// ---- making and dropping -------------------------------------------------------------

// At the next level LLVM orders instructions once more behind the allocation of
// registers, which processors that reorder them do not notice.
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

void codegen_free(struct codegen *cg) {
    if (!cg) return;
    for (size_t i = 0; !cg->broken && i < cg->units.n; i++) drop_object(&cg->units.at[i]);
    if (cg->jit && !cg->broken) LLVMConsumeError(LLVMOrcDisposeLLJIT(cg->jit));
    arena_free(cg->arena);
}

// ---- kernels -------------------------------------------------------------------------

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
    struct entry e = {.symbol = arena_strdup(cg->arena, symbol), .kf = kf, .k = *k};
    VEC_PUSH(cg->arena, &cg->entries, e);
    return e.symbol;
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

// ---- modules -------------------------------------------------------------------------

static void drop_making(void *making) {
    struct making *m = making;
    if (scope_ending() == SCOPE_BUG) return; // perhaps LLVM's
    LLVMDisposeModule(m->module);
    LLVMContextDispose(m->ctx);
}

void making_begin(struct making *m, const struct codegen *cg,
                  LLVMTargetMachineRef machine, const char *name) {
    m->ctx = LLVMContextCreate();
    m->module = LLVMModuleCreateWithNameInContext(name, m->ctx);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(m->module, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(m->module, cg->t.triple);
    cleanup_push(&m->held, drop_making, m);
}

void making_end(struct making *m) {
    cleanup_run(&m->held);
}

void making_add(struct making *m, const struct codegen *cg, const struct entry *e) {
    struct arena *work = arena_must();
    struct cleanup held;
    cleanup_push(&held, arena_drop, work);
    kernel_emit(work, m->module, &cg->t, e->kf, &e->k, e->symbol);
    cleanup_run(&held);
}

LLVMMemoryBufferRef making_code(struct making *m, LLVMTargetMachineRef machine,
                                LLVMCodeGenFileType what, char **error) {
    LLVMMemoryBufferRef out = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, m->module, what, error, &out))
        return NULL;
    return out;
}

// ---- compiling -----------------------------------------------------------------------

bool not_compiled(const char *name, const char *why, struct diags *d) {
    return diag_error(d, NO_SPAN, "`%s` could not be compiled: %s", name,
                      why ? why : "unknown reason");
}

#define MAX_CREW ((size_t)64)

struct crew {
    struct codegen *cg;
    const size_t *order; // of units
    size_t n;
    atomic_size_t next;
};

static void compile_unit(struct codegen *cg, struct unit *u,
                         LLVMTargetMachineRef machine) {
    struct making m;
    drop_object(u);
    making_begin(&m, cg, machine, cg->entries.at[u->entries.at[0]].symbol);
    for (size_t i = 0; i < u->entries.n; i++)
        making_add(&m, cg, &cg->entries.at[u->entries.at[i]]);
    u->object = making_code(&m, machine, LLVMObjectFile, &u->error);
    making_end(&m);
}

void drop_machine(void *machine) {
    if (scope_ending() != SCOPE_BUG) LLVMDisposeTargetMachine(machine);
}

static void compile_some(void *ctx, size_t worker) {
    struct crew *crew = ctx;
    struct codegen *cg = crew->cg;
    struct cleanup held;
    char *why = NULL;
    (void)worker;
    LLVMTargetMachineRef machine = machine_new(&cg->t, &why);
    CHECK(machine); // machine_first made one
    cleanup_push(&held, drop_machine, machine);
    for (size_t i; (i = atomic_fetch_add(&crew->next, 1)) < crew->n;)
        compile_unit(cg, &cg->units.at[crew->order[i]], machine);
    cleanup_run(&held);
}

static void give_up(void *cg) {
    if (scope_ending() == SCOPE_BUG) ((struct codegen *)cg)->broken = true;
}

static void compile_all(struct codegen *cg, size_t from, size_t threads) {
    struct arena *work = arena_must();
    struct crew crew = {.cg = cg, .n = cg->units.n - from};
    struct cleanup all, held;
    cleanup_push(&all, arena_drop, work);
    cleanup_push(&held, give_up, cg);
    crew.order = units_ordered(cg, work, from);
    pool_run(size_min(size_min(threads, crew.n), MAX_CREW), compile_some, &crew);
    cleanup_pop(&held);
    cleanup_run(&all);
}

static bool unit_failed(const struct codegen *cg, const struct unit *u, struct diags *d) {
    return not_compiled(cg->entries.at[u->entries.at[0]].symbol, u->error, d);
}

bool compile_from(struct codegen *cg, size_t from, size_t threads, struct diags *d) {
    LLVMTargetMachineRef machine = machine_first(&cg->t, d);
    if (!machine) return false;
    double began = timeline_now(cg->times);
    LLVMDisposeTargetMachine(machine);
    compile_all(cg, from, threads);
    timeline_add(cg->times, began, "make machine code", NULL);
    bool ok = true;
    for (size_t i = from; i < cg->units.n; i++)
        if (!cg->units.at[i].object) ok = unit_failed(cg, &cg->units.at[i], d);
    return ok;
}

void drop_object(struct unit *u) {
    if (u->object) LLVMDisposeMemoryBuffer(u->object);
    LLVMDisposeMessage(u->error);
    u->object = NULL;
    u->error = NULL;
}
