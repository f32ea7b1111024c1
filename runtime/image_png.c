// PNG through libpng: decoding to the pixels Pillow's convert("RGB") gives, and an
// encoder whose bytes depend on the pixels only. Errors leave libpng through longjmp;
// everything that must be freed then hangs on a struct of the caller.
#include "runtime/image_impl.h"

#include <png.h>

#define MAX_CHUNK  ((png_alloc_size_t)8 << 20) // bytes of one chunk other than pixels
#define MAX_CHUNKS 128

// ---- memory -------------------------------------------------------------------------
struct heap { // for libpng and its zlib
    bool ran_out;
};

static png_voidp heap_alloc(png_structp png, png_alloc_size_t n) {
    struct heap *heap = png_get_mem_ptr(png);
    void *p = mem_alloc(n);
    heap->ran_out |= !p;
    return p;
}

static void heap_free(png_structp png, png_voidp p) {
    (void)png;
    mem_free(p);
}

// ---- decoding -----------------------------------------------------------------------
struct reading {
    png_structp png;
    png_infop info;
    const uint8_t *at;
    size_t left;
    struct image *out;
    struct heap heap;
    struct why why;
};

static _Noreturn void on_read_error(png_structp png, png_const_charp text) {
    struct reading *r = png_get_error_ptr(png);
    if (r->heap.ran_out) why_no_memory(r->why, "out of memory");
    else why_set(r->why, "damaged PNG: %s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep to, size_t n) {
    struct reading *r = png_get_io_ptr(png);
    if (n > r->left) {
        why_set(r->why, "truncated PNG");
        png_longjmp(png, 1);
    }
    memcpy(to, r->at, n);
    r->at += n;
    r->left -= n;
}

// Pixels need none of these, and some hold compressed data of any size.
static void skip_chunks(png_structp png) {
    static const png_byte names[] = "iCCP\0zTXt\0iTXt\0tEXt\0sPLT\0eXIf\0tRNS\0hIST";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, names,
                                (int)(sizeof names / 5));
}

static bool start(struct reading *r) {
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_read_error, on_warning,
                                      &r->heap, heap_alloc, heap_free);
    if (r->png) r->info = png_create_info_struct(r->png);
    if (!r->info) return why_no_memory(r->why, "out of memory");
    return true;
}

static bool read_header(struct reading *r) {
    png_set_read_fn(r->png, r, read_bytes);
    // The bounds that give a clear message are image_size_ok's; these are libpng's own.
    png_set_user_limits(r->png, 1u << 30, 1u << 30);
    png_set_chunk_malloc_max(r->png, MAX_CHUNK);
    png_set_chunk_cache_max(r->png, MAX_CHUNKS);
    skip_chunks(r->png);
    png_read_info(r->png, r->info);
    size_t h = png_get_image_height(r->png, r->info);
    size_t w = png_get_image_width(r->png, r->info);
    if (png_get_color_type(r->png, r->info) == PNG_COLOR_TYPE_GRAY &&
        png_get_bit_depth(r->png, r->info) == 16)
        return why_set(r->why, "a 16-bit grey PNG (Pillow would make it white; "
                               "convert it to 8 bits first)");
    if (!image_size_ok(h, w, r->why)) return false;
    *r->out = (struct image){h, w, mem_alloc(h * w * 3)};
    return r->out->data ||
           why_no_memory(r->why, "out of memory for %zux%zu pixels", w, h);
}

// Palette rows come as one index a byte, everything else as RGB.
static void ask_for_rgb(struct reading *r) {
    int type = png_get_color_type(r->png, r->info);
    png_set_strip_16(r->png);
    png_set_strip_alpha(r->png);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_packing(r->png);
    if (type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(r->png);
    if (!(type & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(r->png);
}

static void read_rows(struct reading *r) {
    ask_for_rgb(r);
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    CHECK(png_get_rowbytes(r->png, r->info) <= r->out->w * 3);
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < r->out->h; y++)
            png_read_row(r->png, r->out->data + y * r->out->w * 3, NULL);
}

// In place, from each row's end. Indices past the palette are greys, as in Pillow.
static void apply_palette(struct reading *r) {
    png_colorp palette = NULL;
    int n = 0;
    if (png_get_color_type(r->png, r->info) != PNG_COLOR_TYPE_PALETTE) return;
    png_get_PLTE(r->png, r->info, &palette, &n);
    size_t w = r->out->w;
    for (size_t y = 0; y < r->out->h; y++) {
        uint8_t *row = r->out->data + y * w * 3;
        for (size_t x = w; x-- > 0;) {
            uint8_t i = row[x];
            png_color c = i < n ? palette[i] : (png_color){i, i, i};
            row[x * 3 + 0] = c.red;
            row[x * 3 + 1] = c.green;
            row[x * 3 + 2] = c.blue;
        }
    }
}

static bool read_all(struct reading *r) {
    if (!start(r)) return false;
    if (setjmp(png_jmpbuf(r->png))) return false;
    if (!read_header(r)) return false;
    read_rows(r);
    apply_palette(r);
    return true;
}

bool png_decode(const uint8_t *bytes, size_t n, struct image *out, struct why why) {
    struct reading r = {.at = bytes, .left = n, .out = out, .why = why};
    bool ok = read_all(&r);
    // libpng passes over some chunks that it has no memory for.
    if (ok && r.heap.ran_out) ok = why_no_memory(why, "out of memory");
    png_destroy_read_struct(&r.png, &r.info, NULL);
    if (ok) return true;
    mem_free(out->data);
    *out = (struct image){0};
    return false;
}

// ---- encoding -----------------------------------------------------------------------
struct writing {
    png_structp png;
    png_infop info;
    uint8_t *bytes; // what is written so far: n bytes of cap
    size_t n, cap;
    uint8_t *row;
    struct heap heap;
};

static _Noreturn void on_write_error(png_structp png, png_const_charp text) {
    (void)text; // the pixels cannot be wrong; what is left is memory
    png_longjmp(png, 1);
}

static void write_bytes(png_structp png, png_bytep from, size_t n) {
    struct writing *w = png_get_io_ptr(png);
    if (w->cap - w->n < n) {
        size_t cap = size_max(w->cap * 2, w->n + n);
        uint8_t *grown = mem_resize(w->bytes, cap);
        if (!grown) png_longjmp(png, 1);
        w->bytes = grown;
        w->cap = cap;
    }
    memcpy(w->bytes + w->n, from, n);
    w->n += n;
}

static void write_nothing(png_structp png) {
    (void)png;
}

static void write_header(struct writing *w, size_t c, size_t height, size_t width) {
    png_set_write_fn(w->png, w, write_bytes, write_nothing);
    png_set_user_limits(w->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_IHDR(w->png, w->info, (png_uint_32)width, (png_uint_32)height, 8,
                 c == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    // Fixed, so that the bytes do not change with a library's defaults; level 6 is a
    // tenth smaller and takes twice as long, which is what a run that finds all else
    // would wait for.
    png_set_compression_level(w->png, 2);
    png_set_compression_mem_level(w->png, 8);
    png_set_compression_window_bits(w->png, 15);
    png_set_compression_strategy(w->png, 1); // Z_FILTERED
    png_set_filter(w->png, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
    png_write_info(w->png, w->info);
}

static bool write_all(struct writing *w, const uint8_t *planar, size_t c, size_t height,
                      size_t width) {
    w->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, NULL, on_write_error,
                                       on_warning, &w->heap, heap_alloc, heap_free);
    if (!w->png || !(w->info = png_create_info_struct(w->png))) return false;
    if (!(w->row = mem_alloc(width * c))) return false;
    if (setjmp(png_jmpbuf(w->png))) return false;
    write_header(w, c, height, width);
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++)
            for (size_t k = 0; k < c; k++)
                w->row[x * c + k] = planar[(k * height + y) * width + x];
        png_write_row(w->png, w->row);
    }
    png_write_end(w->png, w->info);
    return true;
}

uint8_t *image_encode_png(const uint8_t *planar, size_t c, size_t h, size_t w,
                          size_t *n) {
    CHECK((c == 1 || c == 3) && h > 0 && w > 0);
    struct writing out = {0};
    bool ok = write_all(&out, planar, c, h, w);
    png_destroy_write_struct(&out.png, &out.info);
    mem_free(out.row);
    if (!ok) {
        mem_free(out.bytes);
        return NULL;
    }
    *n = out.n;
    return out.bytes;
}
