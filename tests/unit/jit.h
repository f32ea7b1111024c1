// Compiles one tensor function with the passes and code generation, to run beside the
// evaluator.
#ifndef TEST_JIT_H
#define TEST_JIT_H

#include "codegen/assemble.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "passes/pass.h"
#include "runtime/call.h"
#include "tests/unit/code_map.h"
#include "tests/unit/guest.h"

struct jit {
    struct module module;
    struct target target;
    struct plan plan;
    struct plan_func func;
    struct codegen *codegen;
    struct assembly *assembly;
    char *arena;
    struct guest *guest; // runs the code; NULL: this processor does
};

// Every pass that works on functions, in the table's order.
static inline bool jit_passes(struct jit *j, struct arena *a, struct func *f,
                              struct diags *d) {
    j->module = (struct module){.arena = a, .target = &j->target};
    VEC_PUSH(a, &j->module.funcs, (struct module_func){.f = f});
    for (const struct pass *p = passes; p->name; p++)
        if (p->func && !p->func(&j->module, &j->module.funcs.at[0], d)) return false;
    return true;
}

// For a target by name, with a second-level cache of l2 bytes (0: what the machine has).
static inline bool jit_assemble(struct jit *j, struct arena *a, struct func *f,
                                const char *target, size_t l2, struct diags *d) {
    *j = (struct jit){0};
    if (!codegen_target_named(a, target, &j->target, d)) return false;
    if (l2) j->target.l2 = l2;
    if (!jit_passes(j, a, f, d)) return false;
    j->func.name = f->name;
    j->plan.funcs = &j->func;
    j->plan.nfuncs = 1;
    j->codegen = codegen_new(&j->target, d);
    if (!j->codegen) return false;
    j->assembly = assembly_new(a, j->codegen, &j->target, &j->plan, SIZE_MAX);
    return assembly_add(j->assembly, 0, j->module.funcs.at[0].k, d);
}

static inline bool jit_compile_for(struct jit *j, struct arena *a, struct func *f,
                                   const char *target, size_t l2, struct diags *d) {
    if (!jit_assemble(j, a, f, target, l2, d)) return false;
    if (!assembly_finish(j->assembly, 1, d)) return false;
    j->arena = aligned_alloc(64, size_align(j->func.arena_bytes + 64, 64));
    // What a kernel does not write it must not rely on.
    if (j->arena) memset(j->arena, 0xff, size_align(j->func.arena_bytes + 64, 64));
    return j->arena != NULL;
}

// The plan's kernels become functions that have the guest run them.
static inline void jit_enter_guest(struct jit *j, struct arena *a) {
    size_t n = j->func.ncalls;
    struct guest_kernel *k = NEW_N(a, struct guest_kernel, n);
    for (size_t i = 0; i < n; i++) {
        struct plan_call *c = &j->func.calls[i];
        k[i] = (struct guest_kernel){j->guest, c->entry, c->nbuffers};
        if (c->symbol) c->fn = guest_fn(j->guest, &k[i]);
    }
}

// For the guest's processor: all that kernels touch lies in memory that it has too.
static inline bool jit_compile_guest(struct jit *j, struct arena *a, struct func *f,
                                     struct guest *guest, struct diags *d) {
    struct codegen_image image;
    if (!jit_assemble(j, a, f, GUEST_TARGET, 0, d)) return false;
    if (!assembly_image(j->assembly, 1, &image, d)) return false;
    j->guest = guest;
    guest_fresh(guest);
    guest_code(guest, &image);
    for (size_t i = 0; i < j->plan.nconsts; i++) {
        struct plan_const *c = &j->plan.consts[i];
        c->data = guest_copy(guest, c->data, c->bytes, PLAN_SLACK);
    }
    j->arena = guest_alloc(guest, size_align(j->func.arena_bytes + 64, 64));
    jit_enter_guest(j, a);
    return true;
}

static inline bool jit_compile(struct jit *j, struct arena *a, struct func *f,
                               struct diags *d) {
    return jit_compile_for(j, a, f, "native", 0, d);
}

static inline void jit_free(struct jit *j) {
    if (j->codegen) codegen_free(j->codegen);
    if (!j->guest) free(j->arena);
}

// From here on the function runs from an image, to be unmapped by the caller.
static inline bool jit_ahead(struct jit *j, struct code_map *map, struct diags *d) {
    struct codegen_image image;
    if (!assembly_image(j->assembly, 1, &image, d)) return false;
    *map = code_map(&image);
    for (size_t i = 0; i < j->func.ncalls; i++) {
        struct plan_call *c = &j->func.calls[i];
        if (c->symbol) c->fn = code_at(map, c->entry);
    }
    return true;
}

static inline size_t jit_stride(const struct type *t) {
    return t->rows ? type_bytes(t) : 0;
}

// n rows, in calls of at most `step` (0: the batch), of what the inputs and outputs hold.
static inline void jit_run_at(struct jit *j, size_t n, size_t step, char *const *args,
                              char *const *outs) {
    const struct func *f = j->module.funcs.at[0].f;
    if (!step || step > j->func.batch) step = j->func.batch;
    for (size_t r = 0; r < n; r += step) {
        char *in[32], *out[32];
        size_t inputs = 0;
        for (nid v = 0; v < f->nodes.n; v++)
            if (node_at(f, v)->op == OP_INPUT) {
                in[inputs] = args[inputs] + r * jit_stride(type_at(f, v));
                inputs++;
            }
        for (size_t i = 0; i < f->outs.n; i++)
            out[i] = outs[i] + r * jit_stride(type_at(f, f->outs.at[i]));
        CHECK(call_func(&j->plan, &j->func, j->arena, in, out, size_min(step, n - r),
                        true, NULL));
    }
}

static inline size_t jit_bytes(const struct type *t, size_t n) {
    return type_bytes(t) * (t->rows ? n : 1);
}

// args and outs as eval_func takes them.
static inline void jit_run(struct jit *j, size_t n, size_t step, const void *const *args,
                           void *const *outs) {
    const struct func *f = j->module.funcs.at[0].f;
    char *in[32], *out[32];
    size_t inputs = 0;
    for (nid v = 0; v < f->nodes.n; v++) {
        if (node_at(f, v)->op != OP_INPUT) continue;
        const void *from = args[inputs];
        in[inputs++] = !j->guest ? (char *)(uintptr_t)from // the kernels only read it
                                 : guest_copy(j->guest, from, jit_bytes(type_at(f, v), n),
                                              PLAN_SLACK);
    }
    for (size_t i = 0; i < f->outs.n; i++) {
        size_t bytes = jit_bytes(type_at(f, f->outs.at[i]), n);
        out[i] = j->guest ? guest_alloc(j->guest, size_align(bytes, 64)) : outs[i];
    }
    jit_run_at(j, n, step, in, out);
    for (size_t i = 0; j->guest && i < f->outs.n; i++)
        memcpy(outs[i], out[i], jit_bytes(type_at(f, f->outs.at[i]), n));
}

// Room for the results of `rows` rows, by output.
static inline void **jit_results(struct arena *a, const struct func *f, size_t rows) {
    void **out = NEW_N(a, void *, f->outs.n);
    for (size_t i = 0; i < f->outs.n; i++)
        out[i] = arena_alloc(a, rows, type_bytes(type_at(f, f->outs.at[i])));
    return out;
}

static inline bool jit_same(const struct func *f, size_t rows, void *const *want,
                            void *const *got) {
    bool same = true;
    for (size_t i = 0; i < f->outs.n; i++)
        same &= !memcmp(want[i], got[i], rows * type_bytes(type_at(f, f->outs.at[i])));
    return same;
}

// For a machine whose cache holds next to nothing: other bands, the same bits. f lies in
// a.
static inline bool jit_same_in_bands(struct arena *a, struct func *f, size_t rows,
                                     const void *const *args, void *const *want) {
    struct diags d;
    struct jit j;
    diags_init(&d, a);
    if (!jit_compile_for(&j, a, f, "native", 4 << 10, &d)) return false;
    const struct func *made = j.module.funcs.at[0].f;
    void **got = jit_results(a, made, rows);
    jit_run(&j, rows, 0, args, got);
    bool same = jit_same(made, rows, want, got);
    jit_free(&j);
    return same;
}

#endif
