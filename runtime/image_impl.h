// Inside the image code: one decoder a file format, behind image_decode.
#ifndef DDG_IMAGE_IMPL_H
#define DDG_IMAGE_IMPL_H

#include "runtime/image.h"

struct why { // where a failing decoder says what is wrong
    char *at;
    size_t n;
};

// Returns false, as a failing function does.
bool why_set(struct why why, const char *fmt, ...) PRINTF_LIKE(2, 3);

// Whether an image of that size may be decoded at all; asked before anything is
// allocated.
bool image_size_ok(size_t h, size_t w, struct why why);

bool jpeg_decode(const uint8_t *bytes, size_t n, struct image *out, struct why why);
bool png_decode(const uint8_t *bytes, size_t n, struct image *out, struct why why);

#endif
