// References from instructions to constants, as an ELF object leaves them open: what
// image.c must know of a processor.
#ifndef DDG_CODEGEN_REFER_H
#define DDG_CODEGEN_REFER_H

#include "runtime/base/base.h"

// machine: the object's e_machine.
bool refer_knows(uint16_t machine);
int refer_trap(uint16_t machine); // a byte; instructions made of it alone trap
// Makes the four bytes at `at`, `from` bytes into an image that begins at a page of 4096,
// refer to its byte `to`. False: of a kind that is not known, or `to` is out of reach.
bool refer(uint16_t machine, uint32_t type, char *at, int64_t from, int64_t to);

#endif
