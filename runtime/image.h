// Decoding, encoding and resizing images in memory. Bounded: what a header claims is
// checked before anything of that size is allocated.
#ifndef DDG_IMAGE_H
#define DDG_IMAGE_H

#include "runtime/base/base.h"

#define IMAGE_MAX_SIDE   16384             // pixels
#define IMAGE_MAX_PIXELS ((size_t)1 << 26) // 64 Mpixel, as a decompression bomb's bound

struct image { // interleaved RGB, h * w * 3 bytes; data is to be given to mem_free
    size_t h, w;
    uint8_t *data;
};

// JPEG or PNG by content. Pixels are those of Pillow's Image.open(f).convert("RGB"). On
// failure returns false with the reason in why. The caller gives out->data to
// mem_free.
bool image_decode(const uint8_t *bytes, size_t n, struct image *out, char *why,
                  size_t why_n);

// Pillow's Image.resize((w, h), BILINEAR, box = (left, top, left + bw, top + bh)) on
// planar u8 [c][in_h][in_w] -> [c][out_h][out_w]: the same fixed-point weights, the same
// rounding. box is in whole pixels and inside the image. Returns false when out of
// memory.
bool image_resize(const uint8_t *in, size_t c, size_t in_h, size_t in_w, size_t top,
                  size_t left, size_t bh, size_t bw, uint8_t *out, size_t out_h,
                  size_t out_w);

// torchvision's Resize(size) + CenterCrop(size) on a Pillow image; out is
// [3][size][size].
bool image_fit(const struct image *in, size_t size, uint8_t *out);

// A PNG of planar u8 [3][h][w] (or grey [1][h][w]). The bytes depend on nothing else.
// The bytes are to be given to mem_free; NULL when out of memory.
uint8_t *image_encode_png(const uint8_t *planar, size_t c, size_t h, size_t w, size_t *n);

#endif
