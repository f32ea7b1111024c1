// The types of values, in the pipeline and in tensor functions alike.
//
// A value is a tensor, or a set of rows of tensors. The row axis is never among the
// dimensions: an op says what happens to one row, and a row value holds that many rows as
// the run finds. So f32[3,32,32] is one array, `rows f32[3,32,32]` one array a row, and
// `images[3,32,32]` is the pipeline's name for `rows u8[3,32,32]`.
#ifndef DDG_TYPE_H
#define DDG_TYPE_H

#include "runtime/base/base.h"

// bf16 (bf16.h) is for the operands of conv, conv_dx and matmul alone.
enum elem { ELEM_F32, ELEM_I32, ELEM_I64, ELEM_U8, ELEM_U64, ELEM_BF16, ELEM_COUNT };

size_t elem_size(enum elem e);      // bytes
const char *elem_name(enum elem e); // "f32"
bool elem_from_name(const char *name, size_t n, enum elem *out);

enum kind {      // what the language calls it
    KIND_NONE,   // of ops that give no value: `save`, `check`
    KIND_TENSOR, // tensor functions only
    KIND_IMAGES, // rows u8[C,H,W], pixel values 0..255, channels R G B
    KIND_MAPS,   // rows f32[h,w]
    KIND_SCORES, // rows f32[]
    KIND_LABELS, // rows f32[K], sums to 1 a row
    KIND_BOXES,  // rows i32[4]: top, left, height, width in pixels of the source image
    KIND_MODEL,  // rows f32[C,H,W] -> rows f32[K]
    KIND_ASK,    // rows f32[K], of whatever images [C,H,W] are asked about
    KIND_AUGMENT, // of a batch of images
    KIND_MEASURE, // f32[...], of whole sets of rows
    KIND_COUNT
};

#define TYPE_MAX_RANK 6

struct type {
    enum kind kind;
    enum elem elem;
    bool rows;
    uint32_t rank;
    size_t dim[TYPE_MAX_RANK]; // a model's input dimensions
    size_t classes;            // a model's K
    // Pipeline values: which set of rows this is (values of one set stay aligned), and
    // the height and width of the images its rows were first read as.
    uint32_t rowset;
    size_t origin_h, origin_w;
    // A map's entry i along a side of `map_side` pixels covers [i*stride,
    // i*stride+window); stride 0: patches, [floor(i*side/n), floor((i+1)*side/n)).
    size_t map_side, map_window, map_stride;
};

const char *kind_name(enum kind k); // "images"
// Of a bit set over enum kind, for messages: "images, maps or a model".
const char *kind_set_text(struct arena *a, uint32_t kinds);
struct type type_tensor(enum elem e, bool rows, uint32_t rank, const size_t *dim);
struct type type_scalar(enum elem e, bool rows);
size_t type_count(const struct type *t); // elements in one row; bounded when checked
size_t type_bytes(const struct type *t); // bytes of one row, dense
bool type_same_shape(const struct type *a, const struct type *b);
bool type_eq(const struct type *a, const struct type *b); // all that the text form shows
// "images[3,32,32]", "rows f32[16]", "model[3,32,32 -> 10]"
void type_print(const struct type *t, struct text *out);
const char *type_str(struct arena *a, const struct type *t);

// Larger products of dimensions are refused wherever a type is made from outside input.
#define TYPE_MAX_COUNT ((size_t)1 << 31)
bool type_count_ok(const struct type *t);

#endif
