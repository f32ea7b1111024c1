// Machine code for kernels, through LLVM's C API. The only room that names LLVM.
//
// codegen_add asks for a kernel's code and names it; kernels whose code would be the same
// share one function (the name is a digest of all that shapes the code). codegen_finish
// compiles what was asked for. Shapes are constants in the code; pointers and the number
// of rows are arguments (runtime/plan.h: kernel_fn).
#ifndef DDG_CODEGEN_H
#define DDG_CODEGEN_H

#include "ir/kernel.h"
#include "runtime/timeline.h"

struct codegen;

// Raise it when a pass or the code made for a kernel comes to round results otherwise
// than before: another order of a sum, another polynomial, a product fused into an
// addition. It is part of target.numerics and so of the store's keys: what was computed
// before is computed again. tests/unit/test_numerics.c fails when it ought to be raised.
#define CODEGEN_NUMERICS_VERSION 2

// The machine this runs on, its strings in arena.
bool codegen_host_target(struct arena *arena, struct target *out, struct diags *d);
// The same by name: "native", a level of the x86-64 psABI ("x86-64", "x86-64-v3",
// "x86-64-v4") for code that runs on less than this machine, or "aarch64" (ARMv8-A).
bool codegen_target_named(struct arena *arena, const char *name, struct target *out,
                          struct diags *d);

// Cheap: LLVM is set up by the first codegen_finish that has something to do. NULL: said
// in d.
struct codegen *codegen_new(const struct target *t, struct diags *d);
void codegen_free(struct codegen *cg); // ends the life of the code it made
// Where the time it takes is written down; NULL: nowhere.
void codegen_times(struct codegen *cg, struct timeline *times);

// How the kernel wants operand `node` (a constant it reads through its anchor) packed:
// the packed size, then the bytes themselves from the node's dense row-major data. Called
// for places with LAYOUT_WEIGHT.
size_t codegen_packed_bytes(const struct target *t, const struct kfunc *kf,
                            const struct kernel *k, nid node);
void codegen_pack(const struct target *t, const struct kfunc *kf, const struct kernel *k,
                  nid node, void *out);
// True when the kernel reads this operand packed; false: as its own dense data (PLANAR).
bool codegen_wants_packed(const struct target *t, const struct kfunc *kf,
                          const struct kernel *k, nid node);

// ---- tilings (tilings.c) -------------------------------------------------------------
// Of kernels that have an anchor, after layout. With any of them results are the same
// bits.
#define CODEGEN_MOST_TILINGS ((size_t)8)
// At most `most` that are worth trying beside the one that the kernel has of its own,
// those of which most is to be hoped first.
size_t codegen_tilings(const struct target *t, const struct kfunc *kf,
                       const struct kernel *k, struct tiling *out, size_t most);
// Whether the kernel, computed by the algorithm that it has, can be cut so.
bool codegen_takes(const struct target *t, const struct kfunc *kf, const struct kernel *k,
                   struct tiling tiling);

// The symbol of the kernel's code. Fails (with the reason in d) on what cannot be
// emitted. kf must live until the code is made.
const char *codegen_add(struct codegen *cg, const struct kfunc *kf,
                        const struct kernel *k, struct diags *d);
// Compiles everything added since the last call, on `threads` threads.
bool codegen_finish(struct codegen *cg, size_t threads, struct diags *d);
kernel_fn codegen_address(struct codegen *cg, const char *symbol, struct diags *d);

// ---- ahead of time -------------------------------------------------------------------
// What a processor must be and have to run the target's code, as runtime/cpu.h knows it:
// "x86-64,avx2,bmi,fma". In arena.
const char *codegen_needs(struct arena *arena, const struct target *t);

// Everything added so far as machine code that runs wherever it is mapped (page aligned):
// the same code that codegen_finish makes. Bytes and names in arena.
struct codegen_image {
    char *bytes;
    size_t n, nkernels;
    struct codegen_kernel {
        const char *symbol;
        size_t entry, bytes;
    } * kernels; // in order of entry
};
bool codegen_image(struct codegen *cg, size_t threads, struct arena *arena,
                   struct codegen_image *out, struct diags *d);
// The same as one relocatable ELF object.
bool codegen_object(struct codegen *cg, struct arena *arena, char **bytes, size_t *n,
                    struct diags *d);

// The text of everything added so far, for `ddg dump`: LLVM IR or assembly. In arena.
enum codegen_text { CODEGEN_LLVM, CODEGEN_ASM };
const char *codegen_text(struct codegen *cg, enum codegen_text what, struct arena *arena,
                         struct diags *d);

#endif
