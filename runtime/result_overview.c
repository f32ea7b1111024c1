// overview.png: a contact sheet with one band a class, its first distilled images on the
// left, some images they came from on the right, each beside its attribution map drawn
// over it. Pictures are scaled when they arrive; the sheet is laid out when all are
// there.
#include "runtime/image.h"
#include "runtime/result_canvas.h"
#include "runtime/result_impl.h"

#include <math.h>

#define TILE_LEAST     64  // pixels of a picture's shorter side, at least
#define TILE_SHRINK    96  // larger pictures are shrunk while their side stays above this
#define TILE_MOST      512 // of the longer side, when small pictures are enlarged
#define MARGIN         24
#define GAP            6  // between pictures
#define PAIR_GAP       2  // between a source and its map
#define COLUMN_GAP     28 // between distilled images and sources
#define HEADER         78
#define LABEL          34 // above the pictures of a band
#define BAND_GAP       14
#define SOURCES_HEADER 330 // width of the text and the legend above the sources
#define MAX_PIXELS     ((size_t)24 << 20) // of the sheet: more classes are only counted

static const struct color paper = {250, 250, 247}, ink = {40, 42, 46},
                          faint = {135, 138, 142}, rule = {222, 222, 216};

struct shown {
    struct canvas image, map; // map.at NULL: none
};

struct band {
    const char *name;
    struct canvas rows[RESULT_OVERVIEW_ROWS];
    struct shown sources[RESULT_OVERVIEW_SOURCES];
    size_t nrows, nsources, total; // total: rows, shown or not
    size_t offered;                // sources, shown or not
};

struct overview {
    struct arena *arena; // the bands and their names
    struct band *bands;
    size_t nbands, classes, height, width, total;
};

// ---- pictures -----------------------------------------------------------------------
// The size a picture is shown at: a whole multiple or a whole fraction of its own.
static void tile_size(size_t h, size_t w, size_t *th, size_t *tw) {
    size_t least = size_min(h, w), most = size_max(h, w);
    size_t zoom = size_min((TILE_LEAST + least - 1) / least, TILE_MOST / most);
    size_t shrink = size_max(least / TILE_SHRINK, most / TILE_MOST);
    *th = size_max(h * size_max(zoom, 1) / size_max(shrink, 1), 1);
    *tw = size_max(w * size_max(zoom, 1) / size_max(shrink, 1), 1);
}

static struct canvas tile_make(const uint8_t *pixels, size_t h, size_t w) {
    size_t th, tw;
    tile_size(h, w, &th, &tw);
    struct canvas t = canvas_new(th, tw, paper);
    if (!t.at) return t;
    if (th < h || tw < w) {
        if (image_resize(pixels, 3, h, w, 0, 0, h, w, t.at, th, tw)) return t;
        mem_free(t.at);
        return (struct canvas){0};
    }
    for (size_t c = 0; c < 3; c++) // every pixel a square
        for (size_t y = 0; y < th; y++)
            for (size_t x = 0; x < tw; x++)
                t.at[(c * th + y) * tw + x] =
                    pixels[(c * h + y * h / th) * w + x * w / tw];
    return t;
}

// Blue below zero, white at zero, red above; v is in [-1, 1].
static struct color heat_color(float v) {
    static const struct color ends[] = {{20, 92, 190}, {205, 20, 38}};
    struct color end = ends[v > 0];
    float t = fabsf(v), white = 255.0f * (1.0f - t);
    return (struct color){(uint8_t)(white + t * end.r), (uint8_t)(white + t * end.g),
                          (uint8_t)(white + t * end.b)};
}

static float largest(const float *map, size_t n) {
    float most = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(map[i])) most = fmaxf(most, fabsf(map[i]));
    return most;
}

// A cell's colour over the picture's brightness there, so that shapes stay visible.
static struct color heat_over(const struct canvas *image, size_t y, size_t x, float v) {
    size_t plane = image->h * image->w;
    const uint8_t *p = image->at + y * image->w + x;
    unsigned grey = (299u * p[0] + 587u * p[plane] + 114u * p[2 * plane]) / 1000;
    struct color c = heat_color(v);
    return (struct color){(uint8_t)((grey * 4 + c.r * 6u) / 10),
                          (uint8_t)((grey * 4 + c.g * 6u) / 10),
                          (uint8_t)((grey * 4 + c.b * 6u) / 10)};
}

// The cell of a grid of n that holds pixel i of a side of `side`: cell k begins at
// floor(k * side / n).
static size_t cell_of(size_t i, size_t n, size_t side) {
    return size_min(((i + 1) * n - 1) / side, n - 1);
}

static struct canvas heat_make(const struct canvas *image, const float *map, size_t mh,
                               size_t mw) {
    struct canvas out = canvas_new(image->h, image->w, paper);
    float most = largest(map, mh * mw);
    for (size_t y = 0; out.at && y < out.h; y++)
        for (size_t x = 0; x < out.w; x++) {
            float v = map[cell_of(y, mh, out.h) * mw + cell_of(x, mw, out.w)];
            v = most > 0 && isfinite(v) ? v / most : 0;
            canvas_set(&out, y, x, heat_over(image, y, x, v));
        }
    return out;
}

// ---- gathering ----------------------------------------------------------------------
// Bands that fit on the sheet, when every column is full.
static size_t bands_that_fit(const struct result_info *info) {
    size_t h, w;
    tile_size(info->height, info->width, &h, &w);
    size_t width = 2 * MARGIN + COLUMN_GAP + RESULT_OVERVIEW_ROWS * (w + GAP) +
                   RESULT_OVERVIEW_SOURCES * (2 * w + PAIR_GAP + GAP);
    size_t fit = MAX_PIXELS / (width * (h + LABEL + BAND_GAP));
    return size_min(info->classes, size_max(fit, 1));
}

struct overview *overview_new(const struct result_info *info) {
    struct arena *a = arena_must();
    struct cleanup held;
    cleanup_push(&held, arena_drop, a);
    struct overview *o = NEW(a, struct overview);
    *o = (struct overview){
        a, NULL, bands_that_fit(info), info->classes, info->height, info->width, 0};
    o->bands = NEW_N(a, struct band, o->nbands);
    for (size_t i = 0; i < o->nbands; i++)
        o->bands[i].name = arena_strdup(a, info->class_names[i]);
    cleanup_pop(&held);
    return o;
}

void overview_free(struct overview *o) {
    if (!o) return;
    for (size_t i = 0; i < o->nbands; i++) {
        struct band *b = &o->bands[i];
        for (size_t k = 0; k < b->nrows; k++) mem_free(b->rows[k].at);
        for (size_t k = 0; k < b->nsources; k++) {
            mem_free(b->sources[k].image.at);
            mem_free(b->sources[k].map.at);
        }
    }
    arena_free(o->arena);
}

bool overview_add(struct overview *o, uint32_t cls, const uint8_t *pixels) {
    o->total++;
    if (cls >= o->nbands) return true;
    struct band *b = &o->bands[cls];
    b->total++;
    if (b->nrows == RESULT_OVERVIEW_ROWS) return true;
    struct canvas t = tile_make(pixels, o->height, o->width);
    if (t.at) b->rows[b->nrows++] = t;
    return t.at;
}

bool overview_wants_source(const struct overview *o, uint32_t cls) {
    return cls < o->nbands && o->bands[cls].nsources < RESULT_OVERVIEW_SOURCES &&
           o->bands[cls].offered < RESULT_OVERVIEW_ROWS;
}

static bool same_picture(const struct canvas *a, const struct canvas *b) {
    if (!a->at || !b->at) return !a->at && !b->at;
    return a->h == b->h && a->w == b->w && memcmp(a->at, b->at, 3 * a->h * a->w) == 0;
}

// Several rows may come from one image.
static bool is_shown(const struct band *b, const struct shown *t) {
    for (size_t i = 0; i < b->nsources; i++)
        if (same_picture(&b->sources[i].image, &t->image) &&
            same_picture(&b->sources[i].map, &t->map))
            return true;
    return false;
}

bool overview_add_source(struct overview *o, const struct result_source *s) {
    if (!overview_wants_source(o, s->cls)) return true;
    struct band *b = &o->bands[s->cls];
    struct shown t = {.image = tile_make(s->pixels, s->h, s->w)};
    b->offered++;
    if (!t.image.at) return false;
    if (s->map) t.map = heat_make(&t.image, s->map, s->mh, s->mw);
    bool whole = !s->map || t.map.at;
    if (whole && !is_shown(b, &t)) {
        b->sources[b->nsources++] = t;
        return true;
    }
    mem_free(t.image.at);
    mem_free(t.map.at);
    return whole;
}

// ---- layout -------------------------------------------------------------------------
struct layout {
    size_t rows_width, sources_width; // of the two columns, the gap behind each included
    size_t height;
    bool maps;
};

static size_t source_width(const struct shown *s) {
    return s->image.w + (s->map.at ? PAIR_GAP + s->map.w : 0);
}

static size_t band_height(const struct band *b) {
    size_t h = 0;
    for (size_t i = 0; i < b->nrows; i++) h = size_max(h, b->rows[i].h);
    for (size_t i = 0; i < b->nsources; i++) h = size_max(h, b->sources[i].image.h);
    return LABEL + h + BAND_GAP;
}

static void measure_band(const struct band *b, struct layout *l) {
    size_t rows = 0, sources = 0;
    for (size_t i = 0; i < b->nrows; i++) rows += b->rows[i].w + GAP;
    for (size_t i = 0; i < b->nsources; i++) {
        sources += source_width(&b->sources[i]) + GAP;
        l->maps |= b->sources[i].map.at != NULL;
    }
    l->rows_width = size_max(l->rows_width, rows);
    l->sources_width = size_max(l->sources_width, sources);
    l->height += band_height(b);
}

static struct layout measure(const struct overview *o) {
    struct layout l = {.height = HEADER + MARGIN};
    for (size_t i = 0; i < o->nbands; i++) measure_band(&o->bands[i], &l);
    if (o->nbands < o->classes) l.height += LABEL;
    if (l.sources_width) l.sources_width = size_max(l.sources_width, SOURCES_HEADER);
    return l;
}

// ---- drawing ------------------------------------------------------------------------
static const char *plural(size_t n, const char *one, const char *many) {
    return n == 1 ? one : many;
}

static void draw_legend(struct canvas *c, size_t y, size_t x) {
    enum { BAR = 120 };
    for (size_t i = 0; i < BAR; i++)
        canvas_fill(c, y, x + 12 + i, FONT_HEIGHT, 1,
                    heat_color((float)i / (BAR - 1) * 2 - 1));
    canvas_text(c, y, x, 1, faint, "-", 1);
    canvas_text(c, y, x + 12 + BAR + 7, 1, faint, "+", 1);
}

static void draw_header(struct canvas *c, const struct overview *o,
                        const struct layout *l) {
    char title[160];
    snprintf(title, sizeof title, "%zu %s of %zux%zu in %zu %s", o->total,
             plural(o->total, "image", "images"), o->width, o->height, o->classes,
             plural(o->classes, "class", "classes"));
    canvas_text(c, MARGIN, MARGIN, 2, ink, title, (c->w - MARGIN) / (FONT_ADVANCE * 2));
    size_t y = MARGIN + 30, x = MARGIN + l->rows_width + COLUMN_GAP;
    canvas_text(c, y, MARGIN, 1, faint, "distilled", l->rows_width / FONT_ADVANCE);
    if (l->sources_width == 0) return;
    const char *text = l->maps ? "made from, with attribution" : "made from";
    canvas_text(c, y, x, 1, faint, text, l->sources_width / FONT_ADVANCE);
    size_t legend = x + canvas_text_width(text, 1) + 12;
    if (l->maps) draw_legend(c, y, legend);
}

static void draw_label(struct canvas *c, const struct band *b, size_t y) {
    char count[40];
    size_t room = c->w - 2 * MARGIN, most = room / (FONT_ADVANCE * 2);
    snprintf(count, sizeof count, "%zu %s", b->total,
             plural(b->total, "image", "images"));
    canvas_text(c, y, MARGIN, 2, ink, b->name, most);
    size_t x = MARGIN + canvas_text_width(b->name, 2) + 8;
    if (x + canvas_text_width(count, 1) <= c->w - MARGIN)
        canvas_text(c, y + FONT_HEIGHT, x, 1, faint, count, sizeof count);
}

static void draw_band(struct canvas *c, const struct band *b, size_t y,
                      const struct layout *l) {
    canvas_fill(c, y, MARGIN, 1, c->w - 2 * MARGIN, rule);
    draw_label(c, b, y + 9);
    size_t x = MARGIN, top = y + LABEL;
    for (size_t i = 0; i < b->nrows; i++) {
        canvas_paste(c, top, x, &b->rows[i]);
        x += b->rows[i].w + GAP;
    }
    x = MARGIN + l->rows_width + COLUMN_GAP;
    for (size_t i = 0; i < b->nsources; i++) {
        const struct shown *s = &b->sources[i];
        canvas_paste(c, top, x, &s->image);
        if (s->map.at) canvas_paste(c, top, x + s->image.w + PAIR_GAP, &s->map);
        x += source_width(s) + GAP;
    }
}

static void draw(struct canvas *c, const struct overview *o, const struct layout *l) {
    size_t y = HEADER;
    draw_header(c, o, l);
    for (size_t i = 0; i < o->nbands; i++) {
        draw_band(c, &o->bands[i], y, l);
        y += band_height(&o->bands[i]);
    }
    if (o->nbands == o->classes) return;
    char more[64];
    snprintf(more, sizeof more, "and %zu more classes", o->classes - o->nbands);
    canvas_text(c, y + 7, MARGIN, 2, faint, more, sizeof more);
}

uint8_t *overview_png(const struct overview *o, size_t *n) {
    struct layout l = measure(o);
    size_t sources = l.sources_width ? COLUMN_GAP + l.sources_width : 0;
    size_t title = 42 * FONT_ADVANCE * 2; // room for the header of a small result
    size_t width = 2 * MARGIN + size_max(l.rows_width + sources, title);
    struct canvas c = canvas_new(l.height, width, paper);
    if (!c.at) return NULL;
    draw(&c, o, &l);
    uint8_t *png = image_encode_png(c.at, 3, c.h, c.w, n);
    mem_free(c.at);
    return png;
}
