// Inside the image code: one decoder a file format, behind image_decode.
#ifndef DDG_IMAGE_IMPL_H
#define DDG_IMAGE_IMPL_H

#include "runtime/image.h"

struct why { // where a failing decoder says what is wrong
    char *at;
    size_t n;
    bool *no_memory; // set when that is all that is wrong; may be NULL
};

// Returns false, as a failing function does.
bool why_set(struct why why, const char *fmt, ...) PRINTF_LIKE(2, 3);
// The same of memory that ran out: nothing is said against the image.
bool why_no_memory(struct why why, const char *fmt, ...) PRINTF_LIKE(2, 3);

// Whether an image of that size may be decoded at all; asked before anything is
// allocated.
bool image_size_ok(size_t h, size_t w, struct why why);

bool image_decode_why(const uint8_t *bytes, size_t n, struct image *out, struct why why);
bool jpeg_decode(const uint8_t *bytes, size_t n, struct image *out, struct why why);
bool png_decode(const uint8_t *bytes, size_t n, struct image *out, struct why why);

#endif
