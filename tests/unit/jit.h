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

struct jit {
    struct module module;
    struct target target;
    struct plan plan;
    struct plan_func func;
    struct codegen *codegen;
    struct assembly *assembly;
    char *arena;
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
static inline bool jit_compile_for(struct jit *j, struct arena *a, struct func *f,
                                   const char *target, size_t l2, struct diags *d) {
    *j = (struct jit){0};
    if (!codegen_target_named(a, target, &j->target, d)) return false;
    if (l2) j->target.l2 = l2;
    if (!jit_passes(j, a, f, d)) return false;
    const struct kfunc *k = j->module.funcs.at[0].k;
    j->func.name = f->name;
    j->plan.funcs = &j->func;
    j->plan.nfuncs = 1;
    j->codegen = codegen_new(&j->target, d);
    if (!j->codegen) return false;
    j->assembly = assembly_new(a, j->codegen, &j->target, &j->plan);
    if (!assembly_add(j->assembly, 0, k, d) || !assembly_finish(j->assembly, 1, d))
        return false;
    j->arena = aligned_alloc(64, size_align(j->func.arena_bytes + 64, 64));
    // What a kernel does not write it must not rely on.
    if (j->arena) memset(j->arena, 0xff, size_align(j->func.arena_bytes + 64, 64));
    return j->arena != NULL;
}

static inline bool jit_compile(struct jit *j, struct arena *a, struct func *f,
                               struct diags *d) {
    return jit_compile_for(j, a, f, "native", 0, d);
}

static inline void jit_free(struct jit *j) {
    if (j->codegen) codegen_free(j->codegen);
    free(j->arena);
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

// n rows, in calls of at most `step` (0: the batch); args and outs as eval_func takes them.
static inline void jit_run(struct jit *j, size_t n, size_t step, const void *const *args,
                           void *const *outs) {
    const struct func *f = j->module.funcs.at[0].f;
    if (!step || step > j->func.batch) step = j->func.batch;
    for (size_t r = 0; r < n; r += step) {
        char *in[32], *out[32];
        size_t inputs = 0;
        for (nid v = 0; v < f->nodes.n; v++)
            if (node_at(f, v)->op == OP_INPUT) {
                size_t at = r * jit_stride(type_at(f, v));
                // The kernels only read it.
                in[inputs] = (char *)(uintptr_t)args[inputs] + at;
                inputs++;
            }
        for (size_t i = 0; i < f->outs.n; i++)
            out[i] = (char *)outs[i] + r * jit_stride(type_at(f, f->outs.at[i]));
        CHECK(call_func(&j->plan, &j->func, j->arena, in, out, size_min(step, n - r),
                        true, NULL));
    }
}

#endif
