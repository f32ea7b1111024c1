// A tensor function made ready for code generation: which nodes are stored, how, where,
// and which kernel computes each. The fuse, layout and memory passes fill it; codegen
// reads it.
//
// A kernel stores one node (its root), or several of one shape, for n rows. Everything
// between the root and the stored nodes it reads is computed in registers. At most one
// node in between is an anchor (conv, matmul, ...), whose own loop nest drives the
// kernel; then all nodes on the way from it to the root are elementwise with the anchor's
// shape.
#ifndef DDG_KERNEL_H
#define DDG_KERNEL_H

#include "ir/ir.h"
#include "runtime/plan.h"

#define CACHE_LINE ((size_t)64) // bytes, of all processors that code is made for

// What code is generated for. The front end and the runtime know nothing of it.
struct target {
    const char *triple, *cpu, *features;
    size_t lanes;     // f32 lanes of a vector register
    size_t registers; // vector registers
    bool fma;
    bool bf16; // sums of products of bf16 pairs; programs that want none have it unset
    size_t l1, l2; // bytes of data cache a core
    // All that decides the rounding of results, in words: "f32 fma lanes=16 registers=32
    // v2". The version is raised when emitted code comes to round otherwise (codegen.h);
    // they enter the store's keys.
    const char *numerics;
};

enum layout_kind {
    LAYOUT_PLANAR,  // row-major, no border; rows are dense
    LAYOUT_BLOCKED, // rank 3 f32 or bf16 [C,H,W]:
    // [C/lanes][H+2*border][W+2*border][lanes]; the border and the lanes past C hold zero
    LAYOUT_WEIGHT, // a constant packed as the one kernel that reads it wants it
};

struct layout {
    enum layout_kind kind;
    size_t border;
    size_t bytes; // a row (or the whole, for values that are not rows), a multiple of 64
                  // unless PLANAR input or output
};

enum place_kind {
    PLACE_NONE,  // not stored: computed inside the kernels that use it
    PLACE_CONST, // in the constants
    PLACE_ARENA, // in the worker's arena: offset is a row's bytes times the batch
    PLACE_IN,    // the function's offset-th input
    PLACE_OUT,   // the function's offset-th output
};

struct place {
    enum place_kind kind;
    size_t offset; // bytes; ARENA: of the rows, one behind the other
    // ARENA: read in the band that makes it only, so that there is room for the rows of
    // one round of the band; else for those of the batch.
    bool local;
    struct layout layout;
};

#define KERNEL_MAX_BUFFERS 24

// How an anchor is computed. It decides how results round, so it follows from shapes and
// from what the target's numerics say, never from caches or from how many rows there are.
enum algorithm {
    ALGORITHM_DIRECT,     // sums of products, tap by tap
    ALGORITHM_WINOGRAD_2, // F(2x2, 3x3), Lavin & Gray 2016, arXiv 1509.09308
    ALGORITHM_WINOGRAD_4, // F(4x4, 3x3)
};
#define ALGORITHM_COUNT (ALGORITHM_WINOGRAD_4 + 1)

// How the tile of sums that an anchor keeps in registers is cut, and how many of them go
// through its steps together: what cannot be seen in results.
struct tiling {
    size_t blocks; // vectors of result channels, or of columns; 0: what costs least
    size_t pixels; // of one line; Winograd's way: tiles
    size_t group;  // Winograd's way: tiles that go through the steps together
    bool row_live; // tap by tap: the weights of a whole kernel row are kept, too
};

bool tiling_same(const struct tiling *a, const struct tiling *b);

struct kernel {
    nid outs[4]; // stored nodes; outs[0] is the root
    size_t nouts;
    nid anchor;                  // NID_NONE: plain loops
    nid ins[KERNEL_MAX_BUFFERS]; // stored nodes it reads, constants included
    size_t nins;
    // The anchor's first operand when it is computed inside the kernel (masking,
    // cropping, normalising): made for one row at a time in the scratch buffer, in
    // scratch_layout.
    nid prologue; // NID_NONE
    struct layout scratch_layout;
    size_t scratch_offset;    // bytes, in the arena
    enum algorithm algorithm; // of the anchor
    struct tiling tiling;
    bool tuned; // one of the two is another than what costs least
    // Memory of its own that the kernel uses while it runs, once a call: what is between
    // the steps of an algorithm.
    size_t work_bytes, work_offset; // 0 bytes: none
    bool runtime;                   // the root is an OPF_RUNTIME op: no code
    bool all_rows; // the root is a batch_sum: it reads all rows of the batch
    // Cut into so many parts, each some of the result's elements: see plan_call. 0: it is
    // not.
    size_t parts;
};

// Kernels that follow each other and go through a few rows at a time: what they hand on
// stays in cache. A call of the function takes all rows through the first band, then
// through the next.
struct band {
    size_t nkernels;
    size_t rows;  // of one round
    size_t phase; // of a joint function: see plan_band
};

struct kfunc {
    const struct func *f;
    size_t batch;               // most rows one call computes
    struct place *places;       // by nid
    VEC(struct kernel) kernels; // in order
    VEC(struct band) bands;     // all kernels, in order
    size_t arena_bytes;
    bool joint; // see plan_func: what rows of a round and kernels at work need is apart
    size_t own_bytes; // from what crosses bands, and takes so many bytes
};

// For profiles: what a kernel computes, in words ("conv 64x56x56, 3x3 > 64"), and how
// ("winograd 4x4", "direct, tuned", "product", "dot products": of bf16, "loops"); what
// one row of it takes: operations, and bytes that are read or written, each once,
// constants left out.
const char *kernel_what(struct arena *a, const struct kfunc *kf, const struct kernel *k);
const char *kernel_how(const struct kfunc *kf, const struct kernel *k);
double kernel_row_flops(const struct kfunc *kf, const struct kernel *k);
double kernel_row_bytes(const struct kfunc *kf, const struct kernel *k);

// How the code of a kernel is called: kernel_fn in runtime/plan.h.

// Whether the kernel takes all rows of a call (or as many as stay in cache) through one
// weight before the next: where weights are more than what a row reads and writes.
bool kernel_joins_rows(const struct kfunc *kf, const struct kernel *k);
// The zero border that an anchor wants around its first operand [C,H,W].
size_t kernel_border(const struct func *f, nid anchor);
// How many rows at once the kernel's algorithm makes good use of; fewer take longer each,
// but give the same results.
size_t kernel_wants_rows(const struct kfunc *kf, const struct kernel *k);
// The kernel whose weights the packed value is.
const struct kernel *pack_reader(const struct kfunc *kf, nid pack);
// Bytes that the anchor's packed weights take at most.
size_t kernel_pack_bytes(const struct target *t, const struct kfunc *kf,
                         const struct kernel *k);
// Multiply-adds count two; what one row of the node costs, itself only.
double kernel_flops(const struct func *f, nid node);
// The same for all that is computed a row; what rows share is left out.
double func_flops(const struct func *f);
// Which function of the runtime computes an OPF_RUNTIME node, and its parameters in the
// order runtime/builtin.h gives them.
enum builtin kernel_builtin(const struct func *f, nid node,
                            double params[PLAN_MAX_PARAMS]);
// Which of these is the seed; PLAN_MAX_PARAMS: none.
size_t kernel_builtin_seed(enum builtin which);

#endif
