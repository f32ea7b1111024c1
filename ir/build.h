// Builds functions. Each call works out the type from the op table, folds what is
// constant (with the evaluator, eval.h) and simplifies (simplify.c) when the builder
// folds, and returns the node that already computes the same thing when there is one.
//
// Functions that build from known-good parts (b_*) treat a type error as a bug and abort;
// build_node is for operands and attributes that come from outside.
#ifndef DDG_BUILD_H
#define DDG_BUILD_H

#include "ir/ir.h"

struct builder {
    struct arena *arena;
    struct func *f;
    struct span span; // given to nodes made from here on
    const char *name; // the same; taken by the next node only
    bool fold; // evaluate nodes whose operands are all constants, simplify; set at first
    size_t fold_spent; // work and bytes that folding has taken so far; bounded
    uint32_t rowsets;  // fresh ids for pipeline values
    uint32_t *table;   // hash-consing
    size_t table_cap, table_n;
};

void builder_init(struct builder *b, struct arena *arena, const char *name);
struct func *builder_finish(struct builder *b); // drops what no output reaches

// attrs holds op_attr_count(op) values. On a type error returns NID_NONE and, when error
// is not NULL, fills it (message, operand and attribute at fault).
nid build_node(struct builder *b, enum op op, const nid *in, size_t nin,
               const struct value *attrs, struct rule_ctx *error);
// Attribute kinds, ranges and choices alone: for b_model, whose type is known only after
// the file was read. Fills error likewise.
bool build_check_attrs(struct builder *b, enum op op, const struct value *attrs,
                       struct rule_ctx *error);
// Ops whose type is given rather than worked out. Data is copied.
nid b_input(struct builder *b, const char *name, struct type t);
nid b_const(struct builder *b, struct type t, const void *data);
nid b_param(struct builder *b, const char *name, struct type t, const void *data);
// The same without a copy: the data outlives the function, and digest is its data_digest.
nid b_const_at(struct builder *b, struct type t, const void *data, struct digest digest);
nid b_param_at(struct builder *b, const char *name, struct type t, const void *data,
               struct digest digest);
struct digest data_digest(const struct type *t, const void *data);
// A model that op (OP_ONNX, or one with OPF_NETWORK) gives.
nid b_model(struct builder *b, enum op op, const struct value *attrs,
            const struct model *m);
nid b_onnx(struct builder *b, const struct value *attrs, const struct model *m);
nid b_f32(struct builder *b, float v); // scalar constant
// The same, read when the function runs if the value follows from params.
nid b_setting(struct builder *b, const struct value *v);
nid b_i64s(struct builder *b, const int64_t *v, size_t n); // i64[n]
void build_output(struct builder *b, const char *name, nid n);

// Makes the same node of another function here, over operands already here. Data of
// constants is shared with the other function, which must live as long.
nid build_copy(struct builder *b, const struct node *n, const nid *in);
// Copies a whole function in, its inputs bound to args in order; leaves its outputs' ids
// in outs (func->outs.n of them). Parameters become constants unless keep_params;
// batch_norm marks become what they compute.
void build_inline(struct builder *b, const struct func *f, const nid *args, nid *outs,
                  bool keep_params);

// Shorthands; attributes in the op table's order.
nid b_unary(struct builder *b, enum op op, nid x);
nid b_binary(struct builder *b, enum op op, nid x, nid y);
nid b_cast(struct builder *b, nid x, enum elem e);
nid b_reshape(struct builder *b, nid x, const size_t *dim, size_t rank);
nid b_broadcast(struct builder *b, nid x, const size_t *dim, size_t rank);
nid b_transpose(struct builder *b, nid x, const int64_t *perm, size_t n);
nid b_sum(struct builder *b, nid x, const int64_t *axes, size_t n, bool keep);
nid b_amax(struct builder *b, nid x, const int64_t *axes, size_t n, bool keep);
nid b_sum_all(struct builder *b, nid x); // to rank 0
nid b_gather(struct builder *b, nid x, const int64_t *index, size_t n, int64_t axis);
nid b_take(struct builder *b, nid table, nid index);
nid b_slice(struct builder *b, nid x, const int64_t *starts, const int64_t *steps,
            const int64_t *sizes, size_t n);
// Adds before[i] and after[i] elements of value around axis i, interior[i] between
// elements; negative before or after cut.
nid b_pad(struct builder *b, nid x, const int64_t *before, const int64_t *after,
          const int64_t *interior, size_t n, double value);
nid b_matmul(struct builder *b, nid x, nid y, bool tx, bool ty);
struct conv_attrs { // shared by conv, conv_dx, conv_dw
    int64_t strides[2], pads[4] /* top left bottom right */, dilations[2], groups;
};
nid b_conv(struct builder *b, nid x, nid w, const struct conv_attrs *c);
nid b_conv_dx(struct builder *b, nid d, nid w, const struct conv_attrs *c, size_t h,
              size_t width);
nid b_conv_dw(struct builder *b, nid x, nid d, const struct conv_attrs *c, size_t kh,
              size_t kw);
struct conv_attrs
conv_attrs_of(const struct node *n); // of conv, conv_dx, conv_dw, *_sqnorm
nid b_pack(struct builder *b, nid w, int64_t user);
nid b_batch_sum(struct builder *b, nid x);

struct batch_norm { // attributes of batch_norm
    double epsilon, momentum;
    const char *mean, *var; // what the model calls them
};
// share: NID_NONE, or that of a training's batch.
nid b_batch_norm(struct builder *b, nid x, nid mean, nid var, nid share,
                 const struct batch_norm *n);
struct batch_norm batch_norm_of(const struct node *n);
// What the mark n computes, as ordinary ops; `in` are its operands here.
nid build_batch_norm(struct builder *b, const struct node *n, const nid *in);
// 1 / sqrt(var + epsilon); as a constant, rounded once, where the variance is one.
nid b_inverse_deviation(struct builder *b, nid var, double epsilon);
// A vector as [C,1,..], which broadcasts along the first axis of a value of that rank.
nid b_channels(struct builder *b, nid v, uint32_t rank);

#endif
