// What code is generated for: this machine, or a level of the x86-64 psABI by name.
#include "codegen/codegen.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <unistd.h>

// The cache size that sysconf knows, or a small one that is safe to plan with.
static size_t cache_bytes(int which, size_t fallback) {
    long v = sysconf(which);
    return v > 0 ? (size_t)v : fallback;
}

// Is +name among the features ("+sse2,-avx,...")?
static bool has_feature(const char *features, const char *name) {
    size_t n = strlen(name);
    for (const char *at = features; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (*at == '+' && strncmp(at + 1, name, n) == 0 &&
            (at[n + 1] == ',' || at[n + 1] == '\0'))
            return true;
    }
    return false;
}

static void set_vectors(struct target *t, size_t lanes, size_t registers, bool fma) {
    t->lanes = lanes;
    t->registers = registers;
    t->fma = fma;
}

static void vectors_of_features(struct target *t) {
    static const char *const WIDE[] = {"avx512f", "avx512dq", "avx512bw", "avx512vl"};
    bool wide = true, fma = has_feature(t->features, "fma");
    for (size_t i = 0; i < COUNT(WIDE); i++)
        wide = wide && has_feature(t->features, WIDE[i]);
    if (wide && fma) set_vectors(t, 16, 32, true);
    else if (has_feature(t->features, "avx2") && fma) set_vectors(t, 8, 16, true);
    else set_vectors(t, 4, 16, false);
}

// Lanes fix how sums are cut into vectors and joined, registers the tiles of the weight
// gradients' squares, fma whether products are rounded. The processor's name, its other
// features and its caches decide nothing: no code is allowed to reassociate, and the rows of
// a batch do not meet.
static void set_numerics(struct arena *arena, struct target *t) {
    t->numerics = arena_printf(arena, "f32 %s lanes=%zu registers=%zu v%d",
                               t->fma ? "fma" : "mul-add", t->lanes, t->registers,
                               CODEGEN_NUMERICS_VERSION);
}

static char *take_message(struct arena *arena, char *message) {
    char *copy = arena_strdup(arena, message);
    LLVMDisposeMessage(message);
    return copy;
}

bool codegen_host_target(struct arena *arena, struct target *out, struct diags *d) {
    *out = (struct target){.triple = take_message(arena, LLVMGetDefaultTargetTriple()),
                           .cpu = take_message(arena, LLVMGetHostCPUName()),
                           .features = take_message(arena, LLVMGetHostCPUFeatures()),
                           .l1 = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10),
                           .l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10)};
    if (strncmp(out->triple, "x86_64", strlen("x86_64")) != 0)
        return diag_error(d, NO_SPAN, "code can be made for x86-64 only, this is `%s`",
                          out->triple);
    vectors_of_features(out);
    set_numerics(arena, out);
    return true;
}

bool codegen_target_named(struct arena *arena, const char *name, struct target *out,
                          struct diags *d) {
    if (!codegen_host_target(arena, out, d)) return false;
    if (strcmp(name, "native") == 0) return true;
    out->cpu = arena_strdup(arena, name);
    out->features = ""; // those of the name
    if (strcmp(name, "x86-64-v4") == 0) set_vectors(out, 16, 32, true);
    else if (strcmp(name, "x86-64-v3") == 0) set_vectors(out, 8, 16, true);
    else if (strcmp(name, "x86-64") == 0) set_vectors(out, 4, 16, false);
    else
        return diag_error(d, NO_SPAN,
                          "unknown target `%s`: expected native, x86-64, x86-64-v3 or "
                          "x86-64-v4",
                          name);
    set_numerics(arena, out);
    return true;
}
