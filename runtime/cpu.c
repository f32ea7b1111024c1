// See cpu.h. Asked of the processor itself (cpuid), and for registers that the operating
// system must save, of what it has switched on (xgetbv).
#include "runtime/cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>

#define CPU_KIND "x86-64"

enum word { LEAF1_C, LEAF7_B, LEAF7_1_A, LEAF80000001_C, WORDS };

// State components of XCR0 that instructions with wider registers need.
enum { SAVES_NOTHING = 0, SAVES_YMM = 0x6, SAVES_ZMM = 0xe6 };

static const struct feature {
    const char *name;
    enum word word;
    unsigned bit;
    uint32_t saves;
} features[] = {
    {"sse3", LEAF1_C, 0, SAVES_NOTHING},
    {"ssse3", LEAF1_C, 9, SAVES_NOTHING},
    {"fma", LEAF1_C, 12, SAVES_YMM},
    {"cx16", LEAF1_C, 13, SAVES_NOTHING},
    {"sse4.1", LEAF1_C, 19, SAVES_NOTHING},
    {"sse4.2", LEAF1_C, 20, SAVES_NOTHING},
    {"crc32", LEAF1_C, 20, SAVES_NOTHING},
    {"movbe", LEAF1_C, 22, SAVES_NOTHING},
    {"popcnt", LEAF1_C, 23, SAVES_NOTHING},
    {"xsave", LEAF1_C, 27, SAVES_NOTHING}, // and the operating system uses it
    {"avx", LEAF1_C, 28, SAVES_YMM},
    {"f16c", LEAF1_C, 29, SAVES_YMM},
    {"bmi", LEAF7_B, 3, SAVES_NOTHING},
    {"avx2", LEAF7_B, 5, SAVES_YMM},
    {"bmi2", LEAF7_B, 8, SAVES_NOTHING},
    {"avx512f", LEAF7_B, 16, SAVES_ZMM},
    {"avx512dq", LEAF7_B, 17, SAVES_ZMM},
    {"avx512cd", LEAF7_B, 28, SAVES_ZMM},
    {"avx512bw", LEAF7_B, 30, SAVES_ZMM},
    {"avx512vl", LEAF7_B, 31, SAVES_ZMM},
    {"avx512bf16", LEAF7_1_A, 5, SAVES_ZMM},
    {"sahf", LEAF80000001_C, 0, SAVES_NOTHING},
    {"lzcnt", LEAF80000001_C, 5, SAVES_NOTHING},
};

struct cpu {
    uint32_t words[WORDS];
    uint32_t saved; // XCR0
};

static struct cpu cpu_ask(void) {
    struct cpu c = {0};
    uint32_t a, b, none;
    __get_cpuid(1, &a, &b, &c.words[LEAF1_C], &none);
    __get_cpuid_count(7, 0, &a, &c.words[LEAF7_B], &b, &none);
    __get_cpuid_count(7, 1, &c.words[LEAF7_1_A], &a, &b, &none);
    __get_cpuid(0x80000001, &a, &b, &c.words[LEAF80000001_C], &none);
    if (c.words[LEAF1_C] & bit_OSXSAVE) // else there is no xgetbv
        __asm__("xgetbv" : "=a"(c.saved), "=d"(none) : "c"(0));
    return c;
}

static bool cpu_has(const struct cpu *c, const char *name, size_t n) {
    for (const struct feature *f = features; f < features + COUNT(features); f++)
        if (strlen(f->name) == n && strncmp(f->name, name, n) == 0)
            return (c->words[f->word] >> f->bit & 1) && (c->saved & f->saves) == f->saves;
    return false;
}

#else // no other processor's features are asked for

#if defined(__aarch64__)
#define CPU_KIND "aarch64" // with the vectors that its C library already counts on
#else
#define CPU_KIND "?"
#endif

struct cpu {
    char none;
};

static struct cpu cpu_ask(void) {
    return (struct cpu){0};
}

static bool cpu_has(const struct cpu *c, const char *name, size_t n) {
    (void)c;
    (void)name;
    (void)n;
    return false;
}

#endif

const char *cpu_kind(void) {
    return CPU_KIND;
}

static bool is_kind(const char *name, size_t n) {
    return strlen(CPU_KIND) == n && strncmp(CPU_KIND, name, n) == 0;
}

const char *cpu_lacks(struct arena *arena, const char *needs) {
    struct cpu cpu = cpu_ask();
    struct text lacks = {.arena = arena};
    for (size_t n; *needs; needs += n + (needs[n] == ',')) {
        n = strcspn(needs, ",");
        if (n == 0 || is_kind(needs, n) || cpu_has(&cpu, needs, n)) continue;
        if (lacks.n) text_add(&lacks, ", ");
        text_add_n(&lacks, needs, n);
    }
    return lacks.at;
}
