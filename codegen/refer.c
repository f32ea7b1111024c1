// See refer.h. x86-64 has distances in bytes. AArch64 has them in two parts: a distance
// in pages, then where in the page, which is the image's own as the image begins at one.
#include "codegen/refer.h"

#include <elf.h>

bool refer_knows(uint16_t machine) {
    return machine == EM_X86_64 || machine == EM_AARCH64;
}

int refer_trap(uint16_t machine) {
    return machine == EM_X86_64 ? 0xcc : 0; // int3; udf
}

static bool refer_x86(uint32_t type, char *at, int64_t from, int64_t to) {
    int64_t way = to - from;
    int32_t value = (int32_t)way;
    if (type != R_X86_64_PC32 && type != R_X86_64_PLT32) return false;
    memcpy(at, &value, sizeof value);
    return value == way;
}

// The low n bits of value go to bit `at` of an instruction, in place of what is there.
static uint32_t with_bits(uint32_t instruction, uint32_t value, unsigned n, unsigned at) {
    uint32_t mask = ((UINT32_C(1) << n) - 1) << at;
    return (instruction & ~mask) | (value << at & mask);
}

// adrp: 21 bits, the lowest two apart.
static bool refer_page(uint32_t *instruction, int64_t from, int64_t to) {
    int64_t pages = (to >> 12) - (from >> 12);
    uint32_t value = (uint32_t)pages;
    *instruction = with_bits(*instruction, value, 2, 29);
    *instruction = with_bits(*instruction, value >> 2, 19, 5);
    return pages >= -(1 << 20) && pages < 1 << 20;
}

// 12 bits of an addition, or of a load of 1 << scale bytes, which counts in these.
static bool refer_within(uint32_t *instruction, int64_t to, unsigned scale) {
    uint32_t place = (uint32_t)to & 0xfff;
    *instruction = with_bits(*instruction, place >> scale, 12, 10);
    return place % (UINT32_C(1) << scale) == 0;
}

static bool refer_arm(uint32_t type, char *at, int64_t from, int64_t to) {
    uint32_t instruction;
    bool ok = false;
    memcpy(&instruction, at, sizeof instruction);
    switch (type) {
    case R_AARCH64_ADR_PREL_PG_HI21: ok = refer_page(&instruction, from, to); break;
    case R_AARCH64_ADD_ABS_LO12_NC:
    case R_AARCH64_LDST8_ABS_LO12_NC: ok = refer_within(&instruction, to, 0); break;
    case R_AARCH64_LDST16_ABS_LO12_NC: ok = refer_within(&instruction, to, 1); break;
    case R_AARCH64_LDST32_ABS_LO12_NC: ok = refer_within(&instruction, to, 2); break;
    case R_AARCH64_LDST64_ABS_LO12_NC: ok = refer_within(&instruction, to, 3); break;
    case R_AARCH64_LDST128_ABS_LO12_NC: ok = refer_within(&instruction, to, 4); break;
    }
    memcpy(at, &instruction, sizeof instruction);
    return ok;
}

bool refer(uint16_t machine, uint32_t type, char *at, int64_t from, int64_t to) {
    if (machine == EM_X86_64) return refer_x86(type, at, from, to);
    return refer_arm(type, at, from, to);
}
