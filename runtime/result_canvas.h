// A picture to draw on: rectangles, pictures and plain text in a bitmap font.
#ifndef DDG_RESULT_CANVAS_H
#define DDG_RESULT_CANVAS_H

#include "runtime/base/base.h"

struct color {
    uint8_t r, g, b;
};

struct canvas { // [3][h][w]
    size_t h, w;
    uint8_t *at;
};

// at is for mem_free, and NULL when out of memory. What lies outside a canvas is not
// drawn.
struct canvas canvas_new(size_t h, size_t w, struct color paper);
void canvas_set(struct canvas *c, size_t y, size_t x, struct color ink);
void canvas_fill(struct canvas *c, size_t y, size_t x, size_t h, size_t w,
                 struct color ink);
void canvas_paste(struct canvas *c, size_t y, size_t x, const struct canvas *picture);

#define FONT_HEIGHT  7
#define FONT_ADVANCE 6 // a glyph and the gap behind it

// ASCII; any other character shows as a box. Cut with ".." where it is longer than max
// cells.
void canvas_text(struct canvas *c, size_t y, size_t x, size_t scale, struct color ink,
                 const char *s, size_t max);
// Pixels from the start of a text to the end of the gap behind it.
size_t canvas_text_width(const char *s, size_t scale);

#endif
