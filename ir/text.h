// The text form: what a dump prints, the reader reads.
//
//     func @loss(%0 "x": rows f32[3,32,32]) {
//       %1 = param "conv1.weight" f32[16,3,3,3] digest=0f..e1
//       %2 = conv(%0, %1, strides=[1,1], pads=[1,1,1,1]) : rows f32[16,32,32]
//       return "out" %2
//     }
//
// A pipeline opens with `pipeline @name() {` and uses the language's ops. In text written
// by hand values may be numbered in any way, `%2 "name" =` gives a node a name,
// attributes with a default and result types may be left out, and # begins a comment.
// Reading does not fold.
#ifndef DDG_TEXT_H
#define DDG_TEXT_H

#include "ir/build.h"

// Constants of up to IR_TEXT_INLINE elements are printed whole, larger ones as their
// digest.
#define IR_TEXT_INLINE 64
void ir_print(const struct func *f, struct text *out);
// Builds the function a text describes. Constants given as a digest have no data.
struct func *ir_parse(struct arena *arena, const struct source *src, struct diags *d);

// Everything that must hold of a function; says what does not. Passes are checked with it
// on entry and exit in test builds (DDG_VERIFY).
bool ir_verify(const struct func *f, enum family family, struct text *why);

#endif
