// See stub.h. The file is taken in by the assembler, STUB being its path.
#include "cli/stub.h"

__asm__(".pushsection .rodata\n"
        ".balign 64\n"
        ".globl ddg_stub, ddg_stub_end\n"
        ".hidden ddg_stub, ddg_stub_end\n"
        "ddg_stub:\n"
        ".incbin \"" STUB "\"\n"
        "ddg_stub_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const char ddg_stub[], ddg_stub_end[];

const void *stub_bytes(size_t *n) {
    *n = (size_t)(ddg_stub_end - ddg_stub);
    return ddg_stub;
}
