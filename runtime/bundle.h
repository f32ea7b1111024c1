// A compiled pipeline as bytes: plans with their code and constants, one variant a
// target, to be appended to the runtime's executable or kept in a file of its own.
//
//     [the runtime's executable, or nothing; padded to BUNDLE_PAGE]
//     for each variant: code image (page aligned, position independent)
//     constants (page aligned, each aligned to 64; equal ones of several variants are
//                there once), then PLAN_SLACK zero bytes
//     msgpack: one map for each variant: target, what it needs, kernels, constants, plan
//     footer, BUNDLE_FOOTER bytes at the very end: magic, version, where the msgpack is,
//                the bundle's start and size, XXH3-128 of all of it
//
// Everything read is checked: the digest first, then each length, index, offset, name and
// count against what it refers to, so that a wrong file is an error in words and never a
// read outside of it. The machine code itself is trusted as any executable's is: open
// only what you would run.
#ifndef DDG_BUNDLE_H
#define DDG_BUNDLE_H

#include "runtime/plan.h"

#define BUNDLE_VERSION 5
#define BUNDLE_PAGE    ((size_t)4096)
#define BUNDLE_FOOTER  ((size_t)64)

struct bundle_kernel { // for inspect: what the code image holds
    const char *symbol;
    size_t entry, bytes;
};

struct bundle_variant {
    const char *target;   // as asked for: "native", "x86-64-v3"
    const char *cpu;      // LLVM's name of what it was compiled for
    const char *needs;    // processor features, "avx2,fma,..." (runtime/cpu.h)
    const char *numerics; // how it rounds (struct target)
    const char *code;     // the image
    size_t code_bytes;
    size_t nkernels;
    const struct bundle_kernel *kernels; // in order of entry
    struct plan *plan;                   // calls have symbol and entry; fn once mapped
};

struct bundle {
    const char *version; // of the ddg that wrote it
    size_t nvariants;
    struct bundle_variant *variants; // in order of preference, best first
    size_t bytes;                    // of all of it, footer and all
    size_t const_bytes, plan_bytes;  // of the constants, and of the msgpack
};

// ---- writing -------------------------------------------------------------------------
// Writes prefix (the runtime's executable; n 0: none) and the bundle to a new file at
// `to`, put in place in one step; mode 0755 with a prefix, else 0644.
bool bundle_write(const struct bundle *b, const void *prefix, size_t n, const char *to,
                  struct diags *d);

// ---- reading -------------------------------------------------------------------------
// Maps the file and reads everything but code into plans. NULL: said in d. The bundle
// lives in arena (the mapping is dropped with it); constants and code are not copied.
struct bundle *bundle_open(struct arena *arena, const char *path, struct diags *d);
// That of the program that runs, whatever has become of its file; messages say name.
struct bundle *bundle_open_self(struct arena *arena, const char *name, struct diags *d);
// The same from memory, for tests and fuzzing: n bytes that outlive the arena.
struct bundle *bundle_read(struct arena *arena, const char *bytes, size_t n,
                           struct diags *d);
// The first variant whose needs this processor has. NULL: said in d, with what is
// missing.
struct bundle_variant *bundle_choose(struct bundle *b, struct diags *d);
// Maps the variant's code for execution and fills in the calls' fn. After bundle_open.
bool bundle_load(struct bundle *b, struct bundle_variant *v, struct diags *d);

#endif
