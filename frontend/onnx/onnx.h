// The parts of the ONNX importer; nothing outside frontend/onnx includes this.
//
// A file goes through these steps, one source file each:
//     read.c     the steps up to the tensors, in order
//     disk.c     the file and the data files beside it
//     foreign.c  files that are something else
//     wire.c     bytes -> a skeleton for protobuf-c, bounded and without the weights
//     inline.c   local functions -> one flat list of nodes
//     graph.c    names, order, what is needed; unknown.c: the ops that ddg does not have
//     layers.c   which stored tensors are parameters, and of what
//     tensor.c   stored tensors -> dense f32 or i64
//     ops.c      nodes -> IR, one function an op, in the files that the list at the end
//                names
//     place.c    where the batch stands in a value
// and onnx.c runs them. value.c holds what the op functions share; facts.c tells what is
// known of a file (model_facts.h).
#ifndef DDG_ONNX_H
#define DDG_ONNX_H

#include "frontend/digest.h"
#include "frontend/model_facts.h"
#include "ir/build.h"

#include <onnx.pb-c.h>
#include <sys/stat.h>

#define ONNX_MIN_OPSET 9
#define ONNX_MAX_OPSET 23
#define ONNX_MAX_BYTES ((size_t)INT32_MAX) // protobuf's own limit

// ---- errors --------------------------------------------------------------------------
struct onnx_log {
    struct diags *d;
    struct span at;    // the op in the program that reads the file
    const char *where; // the file, and the image size when it is not the file's own
};
bool onnx_fail(const struct onnx_log *log, const char *fmt, ...) PRINTF_LIKE(2, 3);
// A name from the file, made safe to print: short and without control characters.
const char *onnx_text(const struct onnx_log *log, const char *s);

// ---- files ---------------------------------------------------------------------------
struct onnx_disk_file {
    const char *name; // as tensors call it; NULL: the network's own file
    int fd;           // -1: not open now
    bool opened;      // some time before
    struct stat st;   // as it was opened
};
struct onnx_disk { // the files that a network is being read from
    struct arena *arena;
    const struct onnx_log *log;
    const char *path;
    int folder; // the network's; -1 until a data file is asked for
    struct onnx_disk_file model;
    VEC(struct onnx_disk_file) data;
    size_t open;  // which of them is
    size_t bytes; // of all files seen
    size_t taken; // from data files
};
// Each returns false after an error, which is already in the log.
bool onnx_disk_open(struct onnx_disk *k, const char *path, struct arena *arena,
                    const struct onnx_log *log);
void onnx_disk_close(void *disk); // for cleanup_push
// The data file of that location, open until the next one is asked for. `what` is the
// tensor that it holds, for messages.
bool onnx_disk_data(struct onnx_disk *k, const char *what, const char *location,
                    struct onnx_disk_file **out);
// Counts n bytes that a tensor takes of a data file: tensors may share some.
bool onnx_disk_take(struct onnx_disk *k, const char *what, size_t n);
bool onnx_disk_read(const struct onnx_disk *k, const struct onnx_disk_file *f, size_t at,
                    void *to, size_t n);
// Whether all that is open is still what it was when it was opened.
bool onnx_disk_unchanged(const struct onnx_disk *k);

// Whether it is a file of another kind that is known; said, if so.
bool onnx_foreign(const struct onnx_disk *disk, const struct onnx_log *log);

// ---- the wire format -----------------------------------------------------------------
// Where a tensor's raw data lies in the network's file; a skeleton has it as raw_data.
struct onnx_place {
    size_t at, size;
};
struct onnx_skeleton { // a ModelProto; at is the caller's to free (mem_free)
    uint8_t *at;
    size_t n;
};
// What protobuf-c may unpack: nested no deeper than ONNX needs, and with no more messages
// and fields than the file's size makes plausible, so that unpacking takes memory in
// proportion to the file. False, with the reason in the log, for other files.
bool onnx_wire_read(const struct onnx_disk *disk, struct onnx_skeleton *out);

// Fields that the descriptors do not know; they are unknown fields of the skeleton.
#define ONNX_FUNCTION_ATTRIBUTE 11 // AttributeProto: a default
#define ONNX_FUNCTION_OVERLOAD  13 // text
#define ONNX_NODE_OVERLOAD      8

// ---- tensors -------------------------------------------------------------------------
struct onnx_tensor { // every float type becomes f32; bool, int32 and int64 become i64
    struct type type;
    const void *data;
    struct digest digest; // of both (data_digest)
};
// A tensor of a skeleton. `what` names it in messages. The data may be t's own, which
// must then stay, and be as long as its functions.
bool onnx_tensor_read(const Onnx__TensorProto *t, const char *what,
                      struct onnx_disk *disk, struct arena *arena,
                      const struct onnx_log *log, struct onnx_tensor *out);
// f32 or i64 for an ONNX data type; false for types ddg does not compute with.
bool onnx_elem(int64_t data_type, enum elem *out);
const char *onnx_elem_name(int64_t data_type); // "float16"
size_t onnx_elem_bytes(int64_t data_type);     // stored; 0 for types ddg does not read

// ---- the graph -----------------------------------------------------------------------
enum onnx_from { FROM_TENSOR, FROM_INPUT, FROM_NODE };

struct onnx_name { // where the value of this name comes from
    const char *name;
    enum onnx_from from;
    size_t index;  // of the initializer, the graph input or the node
    size_t output; // which of the node's outputs
};

struct onnx_role { // of a stored tensor
    enum model_part part;
    size_t layers; // that read it as that
};

struct onnx_file {
    Onnx__ModelProto *msg;
    const Onnx__GraphProto *graph;
    const char *path;
    size_t bytes;                // of its files, as far as they were read
    int64_t opset;               // the network's
    const int64_t *opsets;       // each node's: functions may have their own
    VEC(struct onnx_name) names; // sorted by name, each once
    VEC(size_t) order;           // the nodes the output needs, operands first
    const char *input, *output;
    size_t dim[3]; // channels, height, width of the input
    size_t batch;  // the batch size the export is fixed to, or 0
    // By initializer, for those that order needs:
    struct onnx_tensor *tensors;
    bool *needed;
    struct onnx_role *roles;
    // Parallel to order: what the node's attribute `value` holds, or NULL.
    const struct onnx_tensor **values;
};

// "" for the ops of ONNX itself.
const char *onnx_domain(const char *domain);
// The version of ONNX's own ops in the list; 0 when it is not there.
int64_t onnx_opset(Onnx__OperatorSetIdProto *const *list, size_t n);
bool onnx_opset_known(const struct onnx_log *log, int64_t opset);
ProtobufCAllocator onnx_allocator(struct arena *arena);

// Replaces calls of the file's functions by their nodes, and fills in opsets.
bool onnx_inline(struct onnx_file *f, struct arena *arena, const struct onnx_log *log);

// Fills in names, order, input and output, needed and roles.
bool onnx_graph_read(struct onnx_file *f, struct arena *arena,
                     const struct onnx_log *log);
// An error for each kind of op in the order that ddg does not have.
bool onnx_check_ops(const struct onnx_file *f, struct arena *arena,
                    const struct onnx_log *log);
bool onnx_node_known(const Onnx__NodeProto *n);
// "Conv"; of another domain "com.microsoft.Gelu".
const char *onnx_op_text(const struct onnx_log *log, const Onnx__NodeProto *n);
// Fills in roles.
void onnx_layers(struct onnx_file *f, struct arena *arena);
// Where a value comes from; NULL when nothing in the file makes it. Its place in f->names
// numbers the value.
const struct onnx_name *onnx_find(const struct onnx_file *f, const char *name);
// The node's name, or its first output's when it has none.
const char *onnx_node_name(const Onnx__NodeProto *n);

// ---- a file, and the model made of it ------------------------------------------------
// Fills in all of f from the file at f->path; when that fails, what was known by then.
bool onnx_read(struct onnx_file *f, struct arena *arena, const struct onnx_log *log);
const struct model *onnx_model(const struct onnx_file *f, struct arena *arena,
                               const struct model_options *o, const struct onnx_log *log);

// ---- values --------------------------------------------------------------------------
// What the importer knows of an ONNX value. The IR keeps the batch out of every shape and
// computes each row by itself, so a value is either whole (weights, shape arithmetic) or
// has lost its batch. The node of a ROWS value need not be a row value itself: zeros of
// shape [N,8,4,4] are one constant f32[8,4,4].
//
// The batch may stand at any axis, and a reshape may merge it with its neighbours, as
// attention does:
//     [N,197,768]    at 0           node f32[197,768]
//     [197,N,768]    at 1           node f32[197,768]
//     [197,N*12,64]  at 1, merged   node f32[197,12,64], 1 outer
//     [197*N,768]    at 0, merged   node f32[197,768], 197 outer
// place.c moves it about. An export fixed to a batch of 1 says nothing of where its
// batch is once it was moved; there, a value whose batch would be lost is taken whole
// instead, with an axis of 1: what the graph computes of one row is what is wanted.
enum onnx_form {
    FORM_NONE,  // left out (an optional input), or not computed (an optional output)
    FORM_FIXED, // the node has the ONNX shape
    FORM_ROWS,  // the node's shape is what is left without the batch
};
struct onnx_val {
    enum onnx_form form;
    nid id;
    // ROWS: the ONNX axis the batch stands at. The node has no such axis, or it is
    // merged: then N times the node's axis `at` stands there, with `outer` of it before
    // the batch.
    size_t at;
    bool merged;
    size_t outer;
};

// The number of rows is not known. A multiple of it, k N, is held as a number that stands
// in no file; it moves about as others do, and few ops can compute with it.
#define ONNX_BATCH_0 INT64_C(0x4242415443480000)
static inline bool onnx_is_batch(int64_t v) {
    return v > ONNX_BATCH_0 && v <= ONNX_BATCH_0 + (int64_t)TYPE_MAX_COUNT;
}
static inline int64_t onnx_batch(size_t k) { // k N
    return ONNX_BATCH_0 + (int64_t)k;
}
static inline size_t onnx_batch_of(int64_t v) { // k
    return (size_t)(v - ONNX_BATCH_0);
}

struct onnx_op;
struct import { // one reading of a file at one input size
    struct arena *arena;
    const struct onnx_log *log;
    const struct onnx_file *file;
    struct builder b;
    struct onnx_val *values;         // by place in file->names
    size_t budget;                   // elements that folding may still compute
    const Onnx__NodeProto *node;     // the one being imported
    int64_t opset;                   // of it
    const struct onnx_tensor *value; // of its attribute `value`, or NULL
    const struct onnx_op *op;        // its row in the table
    size_t nin, nout;                // its inputs and outputs
};

typedef bool (*onnx_importer)(struct import *im, const struct onnx_val *in,
                              struct onnx_val *out);
struct onnx_op {
    const char *name;
    onnx_importer import;
    enum op op;        // for importers shared by several ops
    unsigned min, max; // inputs; ONNX_MANY: any number
    const char *attrs; // those it knows: "axis keepdims"
};
#define ONNX_MANY     UINT32_MAX
#define ONNX_OPERANDS 8 // importers may look at in[0..7]; absent ones are FORM_NONE

const struct onnx_op *onnx_op_find(const char *name);
const char *onnx_op_name(size_t i);         // of the table's row i; NULL past the last
const char *onnx_op_near(const char *name); // the supported op it may have meant, or NULL
bool onnx_import_node(struct import *im, const Onnx__NodeProto *n);

// Adds an error that names the op and the node; false.
bool op_fail(struct import *im, const char *fmt, ...) PRINTF_LIKE(2, 3);

// Making nodes. Each returns NID_NONE after an error, which is already reported, and when
// an operand is NID_NONE; so calls nest and the last result tells.
nid op_make(struct import *im, enum op op, const nid *in, size_t nin,
            const struct value *attrs);
nid op1(struct import *im, enum op op, nid x);
nid op2(struct import *im, enum op op, nid x, nid y);
nid op_reshape(struct import *im, nid x, const size_t *dim, size_t rank);
nid op_broadcast(struct import *im, nid x, const size_t *dim, size_t rank);
nid op_reduce(struct import *im, enum op op, nid x, const int64_t *axes, size_t n,
              bool keep);
nid op_gather(struct import *im, nid x, const int64_t *index, size_t n, size_t axis);
nid op_slice(struct import *im, nid x, const int64_t *starts, const int64_t *steps,
             const int64_t *sizes);
nid op_cast(struct import *im, nid x, enum elem e);
nid op_matmul(struct import *im, nid x, nid y, bool ty);
nid op_scalar(struct import *im, double v); // f32[]
nid op_const(struct import *im, struct type t, const void *data);
// A constant that holds a stored tensor, or is computed from it: known by its name.
nid op_stored(struct import *im, struct type t, const void *data, const char *name);
// The same without a copy, as b_const_at.
nid op_stored_at(struct import *im, struct type t, const void *data, struct digest digest,
                 const char *name);
// The result, with the batch (if any) first; false for NID_NONE.
bool op_done(nid id, enum onnx_form form, struct onnx_val *out);
// The same with the batch where `like` has it.
bool op_done_like(nid id, struct onnx_val like, struct onnx_val *out);
// Reserves room for folding n more elements; false, with an error, when it is used up.
bool op_charge(struct import *im, size_t n);

// Looking at values.
const struct type *val_type(const struct import *im, struct onnx_val v); // of its node
size_t val_rank(const struct import *im, struct onnx_val v);             // in ONNX
const char *val_text(struct import *im, struct onnx_val v); // "f32[N,3,32,32]"
bool val_is_const(const struct import *im, struct onnx_val v);
// An image-shaped row value: f32[N,C,H,W].
bool val_images(struct import *im, struct onnx_val v);
// Constant integers (rank 0 or 1); `what` names the operand in messages.
bool operand_ints(struct import *im, struct onnx_val v, const char *what,
                  const int64_t **out, size_t *n);
bool operand_number(struct import *im, struct onnx_val v, const char *what, double *out);
// The same data without being a parameter.
nid val_frozen(struct import *im, nid id);
// The axis, counted from the end when negative, of a value of that rank.
bool onnx_axis(struct import *im, int64_t axis, size_t rank, size_t *out);
// The same as an axis of v's node; an error when it is the batch axis.
bool val_axis(struct import *im, struct onnx_val v, int64_t axis, size_t *out);
// Gives x and y equal rank, as ONNX broadcasts them; the result's form and place of the
// batch, for op_done_like.
bool val_align(struct import *im, struct onnx_val x, struct onnx_val y, nid *a, nid *b,
               struct onnx_val *like);

// ---- places of the batch (place.c) ----------------------------------------------
// The ONNX shape: k N for the batch's axis in the first, its k alone in the second.
// Each returns the rank.
size_t val_shape(const struct import *im, struct onnx_val v, int64_t *dim);
size_t val_dims(const struct import *im, struct onnx_val v, size_t *dim);
// The shape of the node of a value of that ONNX shape (val_dims) with the batch of
// `like`.
size_t place_dims(struct onnx_val like, const size_t *dim, size_t rank, size_t *out);
// Do both have their batch at the same place, counted from the last axis?
bool same_place(const struct import *im, struct onnx_val x, struct onnx_val y);
// A value of n given dimensions (k N may be one, -1 is what is left) with the elements of
// v.
bool val_reshape(struct import *im, struct onnx_val v, const int64_t *dim, size_t n,
                 struct onnx_val *out);
bool val_transpose(struct import *im, struct onnx_val v, const int64_t *perm,
                   struct onnx_val *out);
// n values that an op joins as v, with the batch (if any has it) at the same place where
// they have as many axes; `like` is the first that has it, or the first of all. In an
// export with a fixed batch a fixed value that is the same for each image becomes a row
// value.
bool val_join(struct import *im, const struct onnx_val *in, size_t n, struct onnx_val *v,
              struct onnx_val *like);
// A value of an export fixed to a batch of 1 as that one row's: with all its axes, and
// with numbers for multiples of the batch size; and back to a row value when its first
// axis is 1.
bool val_whole(struct import *im, struct onnx_val *v);
bool val_settle(struct import *im, struct onnx_val *v);

// Attributes of im->node. A missing one gives the fallback; one of another kind is an
// error.
bool attr_has(const struct import *im, const char *name);
bool node_int(struct import *im, const char *name, int64_t fallback, int64_t *out);
bool node_flag(struct import *im, const char *name, bool fallback, bool *out);
bool node_float(struct import *im, const char *name, double fallback, double *out);
// The string when it is one of choices ("NOTSET|VALID"); its number among them.
bool node_choice(struct import *im, const char *name, const char *choices, size_t *out);
// *n is 0 and *out NULL when it is missing.
bool node_ints(struct import *im, const char *name, const int64_t **out, size_t *n);
// The attribute of that name; NULL when it is missing.
const Onnx__AttributeProto *node_attr_proto(const struct import *im, const char *name);
// Integers given as input i (newer opsets) or as an attribute (older ones).
bool node_ints_or_input(struct import *im, const struct onnx_val *in, size_t i,
                        const char *name, const int64_t **out, size_t *n);

// ---- op functions, by the file they stand in -----------------------------------------
#define IMPORTER(name)                                                                   \
    bool name(struct import *im, const struct onnx_val *in, struct onnx_val *out)
// nn.c
IMPORTER(import_conv);
IMPORTER(import_pool);
IMPORTER(import_global_pool);
IMPORTER(import_dropout);
// norm.c
IMPORTER(import_batch_norm);
IMPORTER(import_instance_norm);
IMPORTER(import_group_norm);
IMPORTER(import_layer_norm);
// A fixed vector of n floats.
bool check_vector(struct import *im, struct onnx_val v, const char *what, size_t n);
// math.c
IMPORTER(import_identity);
IMPORTER(import_unary);
IMPORTER(import_abs);
IMPORTER(import_sign);
IMPORTER(import_reciprocal);
IMPORTER(import_floor);
IMPORTER(import_ceil);
IMPORTER(import_round);
IMPORTER(import_binary);
IMPORTER(import_chain);
IMPORTER(import_mean);
IMPORTER(import_mod);
IMPORTER(import_pow);
bool check_f32(struct import *im, struct onnx_val v);
// Constant integers must be of the size that shapes have.
bool check_small_ints(struct import *im, nid id);
nid op_number(struct import *im, double v, nid like); // of that element type
nid op_abs(struct import *im, nid x);
nid op_sign(struct import *im, nid x);
// act.c
IMPORTER(import_leaky_relu);
IMPORTER(import_prelu);
IMPORTER(import_thresholded_relu);
IMPORTER(import_hard_sigmoid);
IMPORTER(import_hard_swish);
IMPORTER(import_shrink);
IMPORTER(import_clip);
IMPORTER(import_elu);
IMPORTER(import_celu);
IMPORTER(import_selu);
IMPORTER(import_softplus);
IMPORTER(import_mish);
IMPORTER(import_softsign);
IMPORTER(import_gelu);
// logic.c
IMPORTER(import_equal);
IMPORTER(import_less);
IMPORTER(import_less_or_equal);
IMPORTER(import_greater);
IMPORTER(import_greater_or_equal);
IMPORTER(import_logic);
IMPORTER(import_xor);
IMPORTER(import_not);
IMPORTER(import_where);
// reduce.c
IMPORTER(import_reduce_sum);
IMPORTER(import_reduce_max);
IMPORTER(import_reduce_min);
IMPORTER(import_reduce_mean);
IMPORTER(import_reduce_prod);
IMPORTER(import_reduce_l1);
IMPORTER(import_reduce_l2);
IMPORTER(import_reduce_sum_square);
IMPORTER(import_reduce_log_sum);
IMPORTER(import_reduce_log_sum_exp);
IMPORTER(import_softmax);
// space.c
IMPORTER(import_pad);
IMPORTER(import_tile);
IMPORTER(import_depth_to_space);
IMPORTER(import_space_to_depth);
// Repeats an axis: each element, or the axis as a whole.
nid op_repeat(struct import *im, nid x, size_t axis, size_t times, bool each);
// resize.c
IMPORTER(import_resize);
// scatter.c
IMPORTER(import_gather_elements);
IMPORTER(import_gather_nd);
IMPORTER(import_scatter_elements);
IMPORTER(import_scatter_nd);
// dense.c
IMPORTER(import_gemm);
IMPORTER(import_matmul);
// move.c
IMPORTER(import_reshape);
IMPORTER(import_flatten);
IMPORTER(import_squeeze);
IMPORTER(import_unsqueeze);
IMPORTER(import_transpose);
IMPORTER(import_concat);
IMPORTER(import_slice);
IMPORTER(import_split);
IMPORTER(import_gather);
IMPORTER(import_expand);
// const.c
IMPORTER(import_constant);
IMPORTER(import_constant_of_shape);
IMPORTER(import_range);
IMPORTER(import_shape);
IMPORTER(import_size);
IMPORTER(import_cast);
IMPORTER(import_cast_like);
bool holds_batch(const struct import *im, nid id); // a constant that holds some k N
// An error ("VERB the number of rows in a batch, ...") when it does.
bool check_known(struct import *im, nid id, const char *verb);
// add, sub, mul and div of constants of which one holds k N.
IMPORTER(import_batch_arithmetic);

#endif
