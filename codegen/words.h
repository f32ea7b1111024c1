// Words: what of an anchor's first operand, and of its weights, one multiply-add takes.
//
// A word has 32 bits: a float, or a pair of bf16, whose two products are added to a sum
// of f32 at once (ll_mul_add_pairs). Convolutions and products count their operands'
// channels and inner sizes in words. A pair whose second half does not exist has weights
// of zero there.
#ifndef DDG_CODEGEN_WORDS_H
#define DDG_CODEGEN_WORDS_H

#include "ir/type.h"

// Elements in a word.
static inline size_t word_step(enum elem elem) {
    return sizeof(float) / elem_size(elem);
}

static inline size_t word_part(size_t step) { // bytes of an element
    return step == 1 ? sizeof(float) : sizeof(uint16_t);
}

// Words that hold n elements.
static inline size_t words_of(size_t n, size_t step) {
    return (n + step - 1) / step;
}

// Element `part` of a word of `step` is *from; from NULL: zero.
static inline void word_set(char *word, size_t step, size_t part, const char *from) {
    uint32_t bits = 0;
    if (step == 1) {
        if (from) memcpy(&bits, from, 4);
        memcpy(word, &bits, 4);
    } else {
        if (from) memcpy(&bits, from, 2);
        memcpy(word + 2 * part, &bits, 2);
    }
}

#endif
