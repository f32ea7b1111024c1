// The transforms of one line of a Winograd tile (ir/winograd.h), on vectors of channels.
#ifndef DDG_CODEGEN_WINOGRAD_LINES_H
#define DDG_CODEGEN_WINOGRAD_LINES_H

#include "codegen/emit.h"
#include "ir/winograd.h"

typedef void (*line_fn)(struct emit *e, const LLVMValueRef *in, LLVMValueRef *out);

line_fn line_operands(size_t m); // B^T d: m + 2 of the operand to as many
line_fn line_results(size_t m);  // A^T v: m + 2 to m results
// Of a weight gradient, whose filter is m = 4 results' gradients and whose results are
// taps:
void line_gradients(struct emit *e, const LLVMValueRef *in, LLVMValueRef *out); // 4 to 6
void line_taps(struct emit *e, const LLVMValueRef *in, LLVMValueRef *out);      // 6 to 3

#endif
