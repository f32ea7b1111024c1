// The last BUNDLE_FOOTER bytes of a bundle, which say where the rest is. All numbers are
// little-endian.
//
//     8  "\x89ddgbndl"      8  the message's start, from the bundle's
//     4  BUNDLE_VERSION     8  its bytes
//     4  0                 16  XXH3-128 of all from the bundle's start to here
//     8  the bundle's start in the file
//     8  its bytes, footer and all
#ifndef DDG_BUNDLE_FOOTER_H
#define DDG_BUNDLE_FOOTER_H

#include "runtime/bundle.h"

#define FOOTER_DIGEST ((size_t)16) // bytes of the digest, the last ones

struct footer {
    size_t start, bytes;           // of the bundle, in the file
    size_t message, message_bytes; // from the bundle's start
};

// Writes the footer behind a bundle of f->bytes, of which it is part, and its digest.
void footer_put(const struct footer *f, char *bundle);

// Looks at the last BUNDLE_FOOTER bytes of a file of `size` bytes. NULL: *out is within
// the file; else what is wrong, in words.
const char *footer_get(const char *at, size_t size, struct footer *out);
// Whether the bundle's digest is the one in its footer.
bool footer_right(const char *bundle, size_t bytes);

#endif
