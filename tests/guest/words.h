// What is said between a test (tests/unit/guest.h) and the program that runs code for
// another processor (guest.c): commands over a socket, each answered by one number, and
// memory that both have at the same place.
#ifndef GUEST_WORDS_H
#define GUEST_WORDS_H

#include <stdint.h>

#define GUEST_PLACE   UINT64_C(0x200000000000)
#define GUEST_BYTES   (UINT64_C(1) << 31) // of which what is touched takes memory
#define GUEST_WALL    UINT64_C(65536)     // no processor's pages are larger
#define GUEST_BUFFERS 64                  // at most
#define GUEST_SOCKET  0                   // file descriptors it begins with
#define GUEST_MEMORY  3

enum guest_word {
    GUEST_MAP,     // the memory as it is in the file now, without walls
    GUEST_PROTECT, // a wall at a
    GUEST_CODE,    // a bytes follow: code, in place of what it had
    GUEST_CALL, // the kernel at a in the code, for c rows; b addresses of buffers follow
};

struct guest_command {
    uint64_t word, a, b, c;
};

#endif
