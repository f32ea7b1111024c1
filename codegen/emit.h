// What the files of codegen/ share while one kernel is turned into LLVM IR.
//
// Read in this order: ll.c (short names for LLVM, loops), ix.c (indices), memory.c (loads
// and stores by layout), expr.c with math.c, move.c, reduce.c and pool.c (the value of
// any node at any place), then the loop nests: nest.c (no anchor), conv.c, conv_dw.c,
// matmul.c, and kernel.c, which puts a function around them.
//
// An expression is evaluated at a point: one index an axis. A point has one lane, or as
// many as the target's registers; an index that differs from lane to lane makes the value
// a vector. Nodes are evaluated on demand, from the stored node down to what is loaded.
#ifndef DDG_CODEGEN_EMIT_H
#define DDG_CODEGEN_EMIT_H

#include "codegen/codegen.h"
#include "ir/build.h"

#include <llvm-c/Core.h>

// An index along one axis: base + off + step * lane, or any number a lane.
struct ix {
    LLVMValueRef base;  // i64; NULL: 0
    int64_t off;        // kept apart, so that addresses share their base
    int64_t step;       // 0: the same in every lane
    LLVMValueRef lanes; // <lanes x i32> instead of all that, or NULL
    int64_t lo, hi;     // bounds over all lanes, inclusive
    int64_t mod, rem;   // base + off is rem modulo mod (mod 0: is rem)
};

struct point {
    uint32_t rank;
    size_t lanes; // 1 or emit.lanes
    struct ix at[TYPE_MAX_RANK];
    bool has_flat; // flat is the row-major position, and simpler than the axes
    struct ix flat;
    // <lanes x i1>: lanes whose indices lie inside; NULL: all. The same index in all
    // lanes always lies inside.
    LLVMValueRef mask;
};

// A stored value of the row at hand.
struct view {
    LLVMValueRef row; // pointer to the row
    const struct type *type;
    const struct layout *layout;
    bool constant; // never written while kernels run
};

struct memo { // a value that is known here
    nid node;
    struct point at;
    LLVMValueRef value;
};

struct table { // a constant list of indices in memory
    const int64_t *v;
    LLVMValueRef global;
};

#define LOOP_MAX_CARRIED 32

struct loop { // counts i from `from` by `step` below `to`; see loop_begin
    LLVMValueRef i;
    LLVMValueRef carried[LOOP_MAX_CARRIED]; // inside: this round's; after loop_end: final
    LLVMValueRef phi[LOOP_MAX_CARRIED];     // what a round begins with
    size_t ncarried;
    LLVMValueRef to, step;
    LLVMBasicBlockRef body, before;
    bool once; // one round: no loop at all
    size_t memo;
};

struct emit {
    const struct target *t;
    const struct kfunc *kf;
    const struct func *f;
    const struct kernel *k;
    struct arena *arena;
    LLVMContextRef ctx;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    LLVMValueRef fn;
    LLVMTypeRef i1, i8, i16, i32, i64, f32, ptr;
    size_t lanes;
    bool bf16; // the function may have its instructions
    // By position in the kernel's buffers: outs, ins, scratch, work.
    LLVMValueRef base[KERNEL_MAX_BUFFERS + 8]; // row 0
    LLVMValueRef row[KERNEL_MAX_BUFFERS + 8];  // the row at hand
    LLVMValueRef part;                         // i64: which of the kernel's parts
    VEC(struct memo) memo;
    VEC(struct table) tables;
    int8_t *axis, *flat; // by nid: what axis_of and flat_friendly found; 0: not asked yet
};

// ---- ll.c: LLVM in short -------------------------------------------------------------
LLVMTypeRef ll_elem(struct emit *e, enum elem elem); // bf16: i16, its bits
LLVMTypeRef ll_vec(LLVMTypeRef elem, size_t lanes);  // elem itself for one lane
LLVMValueRef ll_i64(struct emit *e, int64_t v);
LLVMValueRef ll_i32(struct emit *e, int64_t v);
LLVMValueRef ll_f32(struct emit *e, double v);
LLVMValueRef ll_splat(struct emit *e, LLVMValueRef scalar, size_t lanes);
LLVMValueRef ll_fsplat(struct emit *e, double v, size_t lanes);
LLVMValueRef ll_isplat(struct emit *e, int64_t v, size_t lanes); // i32
LLVMValueRef ll_iota(struct emit *e);                            // <0, 1, 2, ...>, i32
LLVMValueRef ll_zero(LLVMTypeRef t);
LLVMValueRef ll_call(struct emit *e, const char *intrinsic, LLVMTypeRef *types,
                     size_t ntypes, LLVMValueRef *args, size_t nargs);
LLVMValueRef ll_mul_add(struct emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
LLVMTypeRef ll_words(struct emit *e, size_t step); // a vector of words (words.h)
// c + a[2i] * b[2i] + a[2i + 1] * b[2i + 1], a and b in words of two.
LLVMValueRef ll_mul_add_pairs(struct emit *e, LLVMValueRef a, LLVMValueRef b,
                              LLVMValueRef c);
LLVMValueRef ll_div(struct emit *e, LLVMValueRef x, LLVMValueRef y, LLVMValueRef mask);
LLVMValueRef ll_min(struct emit *e, LLVMValueRef a, LLVMValueRef b); // signed
LLVMValueRef ll_max(struct emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef ll_and(struct emit *e, LLVMValueRef a, LLVMValueRef b); // NULL is all ones
LLVMValueRef ll_shuffle(struct emit *e, LLVMValueRef a, LLVMValueRef b, const int *lane,
                        size_t n);
LLVMValueRef ll_lane(struct emit *e, LLVMValueRef v, size_t lane);
// a + i elements of type t.
LLVMValueRef ll_at_ix(struct emit *e, LLVMTypeRef t, LLVMValueRef a, struct ix i);
LLVMValueRef ll_at(struct emit *e, LLVMTypeRef t, LLVMValueRef a, LLVMValueRef i);
LLVMValueRef ll_at_const(struct emit *e, LLVMTypeRef t, LLVMValueRef a, int64_t i);
LLVMValueRef ll_settled(struct emit *e, LLVMValueRef at); // for inner loops to start from
LLVMValueRef ll_load(struct emit *e, LLVMTypeRef t, LLVMValueRef at, size_t align);
void ll_store(struct emit *e, LLVMValueRef v, LLVMValueRef at, size_t align);
bool ll_const(LLVMValueRef v, int64_t *out); // an integer known now?
void ll_prefetch(struct emit *e, LLVMValueRef at, bool write);
void ll_fetch(struct emit *e, LLVMValueRef at); // to read, into the second cache

// for (i = from; i < to; i += step), at least one round; values in `carried` (n of them)
// are taken from round to round. Code between begin and end is the body.
struct loop loop_begin(struct emit *e, LLVMValueRef from, LLVMValueRef to, int64_t step,
                       const LLVMValueRef *carried, size_t n);
// next holds the carried values of the next round.
void loop_end(struct emit *e, struct loop *l, const LLVMValueRef *next);
// if (cond) { ... }
LLVMBasicBlockRef if_begin(struct emit *e, LLVMValueRef cond);
void if_end(struct emit *e, LLVMBasicBlockRef after);
// A loop with constant bounds; the index with all that is known of it.
struct loop loop_over(struct emit *e, int64_t from, int64_t to, int64_t step,
                      const LLVMValueRef *carried, size_t n, struct ix *i);

// ---- ix.c: indices -------------------------------------------------------------------
struct ix ix_const(struct emit *e, int64_t v);
struct ix ix_uniform(LLVMValueRef i64, int64_t lo, int64_t hi, int64_t mod, int64_t rem);
LLVMValueRef ix_value(struct emit *e, const struct ix *a); // i64, of lane 0
struct ix ix_ramp(struct emit *e, struct ix base);         // base, base + 1, ...
bool ix_is_uniform(const struct ix *a);
struct ix ix_add(struct emit *e, struct ix a, struct ix b);
struct ix ix_shift(struct emit *e, struct ix a, int64_t by);
struct ix ix_scale(struct emit *e, struct ix a, int64_t by);
struct ix ix_div(struct emit *e, struct ix a, int64_t by); // a >= 0, by > 0
struct ix ix_mod(struct emit *e, struct ix a, int64_t by);
bool ix_knows_rem(const struct ix *a, int64_t by, int64_t *rem); // of base, by `by`
LLVMValueRef ix_lanes(struct emit *e, const struct ix *a);       // <lanes x i32>
bool ix_same(const struct ix *a, const struct ix *b);

bool point_same(const struct point *a, const struct point *b);
struct point point_scalar(void);        // rank 0, one lane
void point_drop_lanes(struct point *p); // when no index varies
// Row-major position of p in a tensor of these dimensions.
struct ix point_flat(struct emit *e, const struct point *p, const size_t *dim);
void point_unflat(struct emit *e, struct ix flat, const size_t *dim, uint32_t rank,
                  struct ix *at);

// Where an index lies inside an axis: `all` for the whole point, `lanes` lane by lane.
struct inside {
    bool never;
    LLVMValueRef all, lanes; // i1, <lanes x i1>; NULL: everywhere
};
// Makes p's index of `axis` safe for an axis of n: clamped when it is the same in all
// lanes, masked otherwise; narrows `in` to where it was inside.
void clip(struct emit *e, struct point *p, uint32_t axis, int64_t n, struct inside *in);
LLVMValueRef choose(struct emit *e, const struct inside *in, LLVMValueRef yes,
                    LLVMValueRef no, size_t lanes);

// ---- memory.c: stored values ---------------------------------------------------------
struct view view_in(struct emit *e, nid n);       // a buffer the kernel reads
struct view view_out(struct emit *e, size_t out); // the kernel's out-th result
struct view view_scratch(struct emit *e);         // the prologue's place
size_t layout_pitch_x(const struct emit *e, const struct layout *l); // elements
size_t layout_pitch_y(const struct emit *e, const struct layout *l, const struct type *t);
size_t layout_plane(const struct emit *e, const struct layout *l, const struct type *t);
LLVMValueRef emit_load(struct emit *e, const struct view *v, const struct point *p);
void emit_store(struct emit *e, const struct view *v, const struct point *p,
                LLVMValueRef value);
// Has the block of channels at p, which lies in the view, brought near.
void emit_ask(struct emit *e, const struct view *v, const struct point *p, bool write);
void emit_zero_border(struct emit *e, const struct view *v);
void emit_zero_row(struct emit *e, const struct view *v);
// The index of a constant table at i, which lies in [0, n).
struct ix emit_table(struct emit *e, const int64_t *v, size_t n, const struct ix *i,
                     LLVMValueRef mask);

// ---- expr.c: values ------------------------------------------------------------------
LLVMValueRef emit_value(struct emit *e, nid n, const struct point *p);
size_t memo_mark(const struct emit *e);
void memo_release(struct emit *e, size_t mark);
// Says that n is `value` at p, until the memo is released to before this.
void set_value(struct emit *e, nid n, const struct point *p, LLVMValueRef value);
// p as operand `in` of an elementwise node sees it.
struct point operand_point(struct emit *e, const struct point *p, const struct type *t,
                           const struct type *in);
// Evaluates the inlined reductions to one value that the stored nodes need, so that loops
// over the result do not do it again and again.
void emit_hoisted(struct emit *e, const nid *roots, size_t nroots);

// How each op that is not loaded is evaluated; NULL: it cannot be.
typedef LLVMValueRef (*value_fn)(struct emit *e, const struct node *n,
                                 const struct point *p);
value_fn value_emitter(enum op op);
LLVMValueRef value_reshape(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_broadcast(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_transpose(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_slice(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_pad(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_concat(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_gather(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_take(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_choose(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_window(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_reduce(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_batch_sum(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_argmax(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_maxpool(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_maxpool_dx(struct emit *e, const struct node *n,
                              const struct point *p);
LLVMValueRef value_maxpool_jvp(struct emit *e, const struct node *n,
                               const struct point *p);
LLVMValueRef value_avgpool(struct emit *e, const struct node *n, const struct point *p);
LLVMValueRef value_avgpool_dx(struct emit *e, const struct node *n,
                              const struct point *p);

// ---- math.c: f32 functions, a vector or a scalar -------------------------------------
LLVMValueRef math_exp(struct emit *e, LLVMValueRef x, size_t lanes);
LLVMValueRef math_log(struct emit *e, LLVMValueRef x, size_t lanes);
LLVMValueRef math_tanh(struct emit *e, LLVMValueRef x, size_t lanes);
LLVMValueRef math_sigmoid(struct emit *e, LLVMValueRef x, size_t lanes);
LLVMValueRef math_erf(struct emit *e, LLVMValueRef x, size_t lanes);

// ---- nest.c: loops over whole values
// --------------------------------------------------------- Which axis of a node lies
// together in memory, for loops over it to run along.
enum { AXIS_ANY = -1, AXIS_SCALAR = -2 }; // SCALAR: what it reduces should run along it
int axis_of(struct emit *e, nid n);
// Is everything under n laid out row by row, so that its row-major position will do?
bool flat_friendly(struct emit *e, nid n);
// Computes nodes of one shape and stores them.
void emit_fill(struct emit *e, const nid *nodes, const struct view *to, size_t n);

// ---- anchors -------------------------------------------------------------------------
// Stores the kernel's results at n points (of the root), where the anchor is value[i].
void emit_results(struct emit *e, const struct point *p, const LLVMValueRef *value,
                  size_t n);
// What these are joined with and where they go is far away, if large: it is asked for
// before the sums, which take longer than its way.
void emit_ask_results(struct emit *e, const struct point *p, size_t n);
// A vector of channels from c on, those past `channels` masked, at a place to be filled
// in.
struct point channel_point(struct emit *e, struct ix c, size_t channels, uint32_t rank);
void emit_conv(struct emit *e);        // and conv_dx
void emit_conv_joined(struct emit *e); // the same; goes over the rows itself
void emit_conv_dw(struct emit *e);
void emit_batch_product(struct emit *e); // part of a sum over all rows
void emit_matmul(struct emit *e);        // goes over the rows itself
void emit_winograd(struct emit *e);      // the same
void emit_pack(struct emit *e);          // a weight, as its reader wants it
struct view
anchor_operand(struct emit *e); // the first operand, in its place or in scratch
// A function of its own that the kernels of a module share, called where the kernel is
// now. `name` says all that shapes its code. True: it is new, and what is emitted until
// shared_end is its body; args, pointers and integers, are its parameters then. The body
// can use nothing else of the kernel's.
#define SHARED_MAX_ARGS 5
struct shared {
    LLVMValueRef fn, args[SHARED_MAX_ARGS]; // of the caller
    LLVMBasicBlockRef at;
    bool bf16;
    size_t n;
};
bool shared_begin(struct emit *e, struct shared *s, const char *name, LLVMValueRef *args,
                  size_t n);
void shared_end(struct emit *e, struct shared *s, const char *name);
// Begins the code of one row: pointers, scalars, prologue.
void emit_row(struct emit *e, LLVMValueRef row);

// ---- facts.c: how a kernel reads a node ----------------------------------------------
enum { NO_BUFFER = KERNEL_MAX_BUFFERS + 8 };
size_t kernel_buffer(const struct kernel *k,
                     nid n); // which it is read from, or NO_BUFFER
bool reads_embedded(const struct func *f, const struct kernel *k, nid n); // in the code
bool reads_loaded(const struct func *f, const struct kernel *k, nid n);   // from memory
bool depends_on(const struct emit *e, nid n, nid on); // without passing what is loaded

// ---- identity.c, check.c -------------------------------------------------------------
const char *kernel_symbol(struct arena *arena, const struct target *t,
                          const struct kfunc *kf, const struct kernel *k);
// Lets the function at hand have the instructions of bf16.
void emit_allow_bf16(struct emit *e);
bool kernel_check(struct arena *arena, const struct kfunc *kf, const struct kernel *k,
                  struct diags *d);
// Emits the kernel as function `symbol` of the module.
void kernel_emit(struct arena *arena, LLVMModuleRef module, const struct target *t,
                 const struct kfunc *kf, const struct kernel *k, const char *symbol);

#endif
