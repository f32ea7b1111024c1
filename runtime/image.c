// Which decoder reads an image, by its first bytes, and how large an image may be.
#include "runtime/image_impl.h"

static void say(struct why why, const char *fmt, va_list ap) {
    if (why.n) vsnprintf(why.at, why.n, fmt, ap);
}

bool why_set(struct why why, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(why, fmt, ap);
    va_end(ap);
    return false;
}

bool why_no_memory(struct why why, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say(why, fmt, ap);
    va_end(ap);
    if (why.no_memory) *why.no_memory = true;
    return false;
}

bool image_size_ok(size_t h, size_t w, struct why why) {
    if (h == 0 || w == 0) return why_set(why, "an image of %zux%zu pixels", w, h);
    if (h > IMAGE_MAX_SIDE || w > IMAGE_MAX_SIDE || h * w > IMAGE_MAX_PIXELS)
        return why_set(why,
                       "too large: %zux%zu pixels (at most %d a side and %zu in all)", w,
                       h, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS);
    return true;
}

struct magic {
    size_t at;
    const char *bytes;
    size_t n;
    bool (*decode)(const uint8_t *, size_t, struct image *, struct why);
    const char *name; // of a format that is not read
};

static const struct magic magics[] = {
    {0, "\xFF\xD8\xFF", 3, jpeg_decode, NULL},
    {0, "\x89PNG\r\n\x1a\n", 8, png_decode, NULL},
    {0, "GIF8", 4, NULL, "a GIF"},
    {0, "BM", 2, NULL, "a BMP"},
    {8, "WEBP", 4, NULL, "a WebP"},
    {4, "ftypavif", 8, NULL, "an AVIF"},
    {0, "II*\0", 4, NULL, "a TIFF"},
    {0, "MM\0*", 4, NULL, "a TIFF"},
};

bool image_decode_why(const uint8_t *bytes, size_t n, struct image *out, struct why why) {
    *out = (struct image){0};
    if (n == 0) return why_set(why, "the file is empty");
    for (size_t i = 0; i < COUNT(magics); i++) {
        const struct magic *m = &magics[i];
        if (n < m->at + m->n || memcmp(bytes + m->at, m->bytes, m->n) != 0) continue;
        if (m->decode) return m->decode(bytes, n, out, why);
        return why_set(why, "%s image; only JPEG and PNG are read", m->name);
    }
    return why_set(why, "neither a JPEG nor a PNG image");
}

bool image_decode(const uint8_t *bytes, size_t n, struct image *out, char *why,
                  size_t why_n) {
    return image_decode_why(bytes, n, out, (struct why){why, why_n, NULL});
}
