// The one place that says what well-formed UTF-8 is.
#ifndef DDG_UTF8_H
#define DDG_UTF8_H

#include <stddef.h>
#include <stdint.h>

// Bytes (1 to 4) of the well-formed sequence at s, of which n > 0 bytes are left; 0 when
// there is none. *code is the character.
static inline size_t utf8_length(const char *s, size_t n, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *b = (const unsigned char *)s;
    size_t len = b[0] < 0x80   ? 1
                 : b[0] < 0xC0 ? 0
                 : b[0] < 0xE0 ? 2
                 : b[0] < 0xF0 ? 3
                               : 4;
    if (len == 0 || len > n || b[0] > 0xF4) return 0;
    uint32_t c = len == 1 ? b[0] : b[0] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((b[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (b[i] & 0x3Fu);
    }
    if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) return 0;
    *code = c;
    return len;
}

#endif
