// Numbers of sixteen bits, ELEM_BF16: the upper half of a single. Processors multiply
// them in pairs and add up in singles.
#ifndef DDG_BF16_H
#define DDG_BF16_H

#include "runtime/base/base.h"

static inline float bf16_value(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float v;
    memcpy(&v, &wide, sizeof v);
    return v;
}

// The nearest, of two the even one. A NaN stays one, quiet; what is less than the least
// normal number becomes 0 of its sign, as processors' instructions have it.
static inline uint16_t bf16_of(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    uint32_t size = bits & 0x7fffffff;
    if (size > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    if (size < 0x00800000) return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
