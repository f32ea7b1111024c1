// How a matrix product is cut up: shared by the code that packs constant operands and the
// code that reads them.
//
// The columns of the result are cut into groups of some vectors; a tile is some rows
// times one group. A packed operand holds its groups one behind the other, the last one
// perhaps narrower, each as [word of k][column of the group]; the matrices of a stack
// follow each other.
#ifndef DDG_CODEGEN_MATMUL_PLAN_H
#define DDG_CODEGEN_MATMUL_PLAN_H

#include "ir/kernel.h"

#define MATMUL_MAX_BLOCKS 4 // vectors in a group
#define MATMUL_MAX_ROWS   12

struct matmul_plan {
    const struct target *t;
    uint32_t lead;  // axes in front of the matrices' own
    size_t stack;   // matrices
    size_t m, k, n; // x is m by k, y is k by n, when not transposed
    bool tx, ty;
    size_t step;   // elements in a word (words.h)
    size_t words;  // of k
    size_t blocks; // vectors in a group
    size_t depth;  // words that a group stays in cache for; decides no sum's order
};

struct matmul_plan matmul_plan_of(const struct target *t, const struct func *f,
                                  const struct kernel *k);
size_t matmul_most_blocks(const struct matmul_plan *p); // that a group may have
// Rows of a tile over `blocks` vectors, whatever m is.
size_t matmul_rows(const struct matmul_plan *p, size_t blocks);
size_t matmul_matrix_words(const struct matmul_plan *p); // of one packed matrix
size_t matmul_pack_words(const struct matmul_plan *p);   // of all
// y, out: f32, or bf16 as x is.
void matmul_pack(const struct matmul_plan *p, const void *y, void *out);

#endif
