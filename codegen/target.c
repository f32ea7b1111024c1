// What code is generated for: this machine, a level of the x86-64 psABI, or AArch64 as
// all of its processors are.
//
// A target says exactly which features its code may use, and they are few: those of the
// levels, because nothing that is emitted gains from others. So code for one machine
// runs on most that are like it.
#include "codegen/codegen.h"

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>
#include <unistd.h>

// ---- features ------------------------------------------------------------------------

// LLVM's names, level by level.
#define V2 "+cx16,+sahf,+popcnt,+sse3,+ssse3,+sse4.1,+sse4.2,+crc32"
#define V3 V2 ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
#define V4 V3 ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"

// What every x86-64 has, and LLVM's own word for processors whose AVX-512 is 512 bits
// wide.
#define GIVEN "+64bit,+cmov,+cx8,+fxsr,+mmx,+sse,+sse2,+evex512"

// Of these, only by kernels that multiply bf16 (kernel.c), and only in programs that let
// them.
#define BF16 "avx512bf16"

// Vectors of four floats, thirty-two of them: all that ARMv8-A asks for.
#define NEON "+fp-armv8,+neon"

enum { X86_64, AARCH64 };

static const struct isa {
    const char *name;   // as runtime/cpu.h says it
    const char *triple; // begins with this
    const char *given;  // what every processor of the kind has
    const char *known;  // what code may use where a processor has it
} isas[] = {
    [X86_64] = {"x86-64", "x86_64", GIVEN, V4},
    [AARCH64] = {"aarch64", "aarch64", NEON, ""},
};

static const struct level {
    const char *name, *triple, *cpu, *features;
    // Typical for such processors, so that what is made does not depend on where.
    size_t l1, l2;
} levels[] = {
    {"x86-64", "x86_64-linux-gnu", "x86-64", "", 32 << 10, 256 << 10},
    {"x86-64-v3", "x86_64-linux-gnu", "x86-64-v3", V3, 32 << 10, 512 << 10},
    {"x86-64-v4", "x86_64-linux-gnu", "x86-64-v4", V4, 32 << 10, 1 << 20},
    {"aarch64", "aarch64-linux-gnu", "generic", NEON, 32 << 10, 512 << 10},
};

static const struct isa *isa_of(const char *triple) {
    for (size_t i = 0; i < COUNT(isas); i++)
        if (!strncmp(triple, isas[i].triple, strlen(isas[i].triple))) return &isas[i];
    return NULL;
}

// The length of the feature at s, sign and all; *next: the one behind it.
static size_t word_at(const char *s, const char **next) {
    size_t n = strcspn(s, ",");
    *next = s + n + (s[n] == ',');
    return n;
}

// Whether +name, of n letters, is among the features ("+sse2,-avx,...").
static bool has(const char *features, const char *name, size_t n) {
    for (const char *at = features, *next; *at; at = next)
        if (word_at(at, &next) == n + 1 && *at == '+' && !strncmp(at + 1, name, n))
            return true;
    return false;
}

static bool has_feature(const char *features, const char *name) {
    return has(features, name, strlen(name));
}

// All that the machine has, less what code is not to use.
static const char *features_used(struct arena *arena, const struct isa *isa,
                                 const char *all) {
    struct text out = {.arena = arena};
    for (const char *at = all, *next; *at; at = next) {
        size_t n = word_at(at, &next);
        if (n < 2) continue;
        bool keep = has(isa->given, at + 1, n - 1) || has(isa->known, at + 1, n - 1);
        text_add(&out, "%s%c", out.n ? "," : "", keep ? *at : '-');
        text_add_n(&out, at + 1, n - 1);
    }
    return out.n ? out.at : "";
}

const char *codegen_needs(struct arena *arena, const struct target *t) {
    struct text out = {.arena = arena};
    const struct isa *isa = isa_of(t->triple);
    text_add(&out, "%s", isa->name);
    for (const char *at = isa->known, *next; *at; at = next) {
        size_t n = word_at(at, &next);
        if (!has(t->features, at + 1, n - 1)) continue;
        text_add(&out, ",");
        text_add_n(&out, at + 1, n - 1);
    }
    if (t->bf16) text_add(&out, ",%s", BF16);
    return out.at;
}

// ---- what follows from them ----------------------------------------------------------

static void set_vectors(struct target *t, size_t lanes, size_t registers, bool fma) {
    t->lanes = lanes;
    t->registers = registers;
    t->fma = fma;
}

static void vectors_of_x86(struct target *t) {
    static const char *const WIDE[] = {"avx512f", "avx512dq", "avx512bw", "avx512vl"};
    bool wide = true, fma = has_feature(t->features, "fma");
    for (size_t i = 0; i < COUNT(WIDE); i++)
        wide = wide && has_feature(t->features, WIDE[i]);
    if (wide && fma) set_vectors(t, 16, 32, true);
    else if (has_feature(t->features, "avx2") && fma) set_vectors(t, 8, 16, true);
    else set_vectors(t, 4, 16, false);
}

// Lanes fix how sums are cut into vectors and joined, registers the tiles of the weight
// gradients' squares, both which weight gradients of a batch go Winograd's way, fma
// whether products are rounded. The processor's name, its other features and its caches
// decide nothing: no code is allowed to reassociate, and where the rows of a batch meet
// they are summed in their order, however the work is cut (ir/batch_product.h).
static void set_numerics(struct arena *arena, struct target *t) {
    t->numerics = arena_printf(arena, "f32 %s lanes=%zu registers=%zu v%d",
                               t->fma ? "fma" : "mul-add", t->lanes, t->registers,
                               CODEGEN_NUMERICS_VERSION);
}

// ---- targets -------------------------------------------------------------------------

static void drop_message(void *message) {
    LLVMDisposeMessage(message);
}

static char *take_message(struct arena *arena, char *message) {
    struct cleanup held;
    if (!message) scope_no_memory(); // a copy that LLVM asks malloc for
    cleanup_push(&held, drop_message, message);
    char *copy = arena_strdup(arena, message);
    cleanup_run(&held);
    return copy;
}

// The cache size that sysconf knows, or a small one that is safe to plan with.
static size_t cache_bytes(int which, size_t fallback) {
    long v = sysconf(which);
    return v > 0 ? (size_t)v : fallback;
}

// The triple is one of isas'.
static bool finish_target(struct arena *arena, struct target *t) {
    if (isa_of(t->triple) == &isas[AARCH64]) set_vectors(t, 4, 32, true);
    else vectors_of_x86(t);
    set_numerics(arena, t);
    return true;
}

bool codegen_host_target(struct arena *arena, struct target *out, struct diags *d) {
    const char *triple = take_message(arena, LLVMGetDefaultTargetTriple());
    const struct isa *isa = isa_of(triple);
    if (!isa)
        return diag_error(d, NO_SPAN,
                          "code can be made for x86-64 and aarch64 only, this is `%s`",
                          triple);
    const char *all = take_message(arena, LLVMGetHostCPUFeatures());
    *out = (struct target){.triple = triple,
                           .cpu = take_message(arena, LLVMGetHostCPUName()),
                           .features = features_used(arena, isa, all),
                           .l1 = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10),
                           .l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10)};
    if (!finish_target(arena, out)) return false;
    out->bf16 = has_feature(all, BF16) && out->lanes == 16;
    return true;
}

static bool unknown_target(const char *name, struct diags *d) {
    diag_error(d, NO_SPAN,
               "unknown target `%s`: expected native, x86-64, x86-64-v3, x86-64-v4 or "
               "aarch64",
               name);
    const char *several = strchr(name, ',') ? "each target is a --target" : NULL;
    return diag_help(d, several ? "%s" : NULL, several);
}

bool codegen_target_named(struct arena *arena, const char *name, struct target *out,
                          struct diags *d) {
    if (strcmp(name, "native") == 0) return codegen_host_target(arena, out, d);
    const struct level *l = levels, *end = levels + COUNT(levels);
    while (l < end && strcmp(l->name, name) != 0) l++;
    if (l == end) return unknown_target(name, d);
    *out = (struct target){.triple = l->triple,
                           .cpu = l->cpu,
                           .features = l->features,
                           .l1 = l->l1,
                           .l2 = l->l2};
    return finish_target(arena, out);
}
