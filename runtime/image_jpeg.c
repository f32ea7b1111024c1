// JPEG through libjpeg, to the pixels Pillow gives: its decoder reads from a source that
// suspends at the end of the data, asks for RGB (or CMYK, taken as inverted), and
// forgives what libjpeg only warns of. Errors leave libjpeg through longjmp; everything
// that must be freed then hangs on struct reading.
#include "runtime/image_impl.h"

// jpeglib.h needs size_t and FILE declared before it.
#include <jpeglib.h>

#include <jerror.h>

#define MAX_SCANS  200 // a progressive file may ask for a pass over the image with each
#define MAX_MEMORY ((long)1 << 30)

struct reading {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    struct image *out;
    uint8_t *cmyk; // one row, when the file has four channels
    struct why why;
};

static _Noreturn void on_error(j_common_ptr info) {
    struct reading *r = info->client_data;
    char text[JMSG_LENGTH_MAX];
    r->errors.format_message(info, text);
    if (r->errors.msg_code == JERR_OUT_OF_MEMORY) why_no_memory(r->why, "out of memory");
    else why_set(r->why, "damaged JPEG: %s", text);
    longjmp(r->failed, 1);
}

static void on_message(j_common_ptr info) {
    (void)info;
}

static void on_progress(j_common_ptr info) {
    struct reading *r = info->client_data;
    if (r->info.input_scan_number <= MAX_SCANS) return;
    why_set(r->why, "a JPEG of more than %d scans", MAX_SCANS);
    longjmp(r->failed, 1);
}

static void source_nothing(j_decompress_ptr info) {
    (void)info;
}

static boolean source_suspend(j_decompress_ptr info) {
    (void)info;
    return FALSE;
}

static void source_skip(j_decompress_ptr info, long n) {
    struct jpeg_source_mgr *s = info->src;
    size_t skip = n < 0 ? 0 : size_min((size_t)n, s->bytes_in_buffer);
    s->next_input_byte += skip;
    s->bytes_in_buffer -= skip;
}

static void start(struct reading *r, const uint8_t *bytes, size_t n) {
    r->info.client_data = r; // jpeg_create_decompress keeps it
    r->info.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.output_message = on_message;
    jpeg_create_decompress(&r->info);
    r->info.mem->max_memory_to_use = MAX_MEMORY;
    r->progress.progress_monitor = on_progress;
    r->info.progress = &r->progress;
    r->source = (struct jpeg_source_mgr){
        .next_input_byte = bytes,
        .bytes_in_buffer = n,
        .init_source = source_nothing,
        .fill_input_buffer = source_suspend,
        .skip_input_data = source_skip,
        .resync_to_restart = jpeg_resync_to_restart,
        .term_source = source_nothing,
    };
    r->info.src = &r->source;
}

static bool read_header(struct reading *r) {
    int got;
    do got = jpeg_read_header(&r->info, FALSE);
    while (got == JPEG_HEADER_TABLES_ONLY);
    if (got == JPEG_SUSPENDED) return why_set(r->why, "truncated JPEG: no image in it");
    int channels = r->info.num_components;
    if (channels != 1 && channels != 3 && channels != 4)
        return why_set(r->why, "a JPEG of %d channels (1, 3 and 4 are read)", channels);
    return image_size_ok(r->info.image_height, r->info.image_width, r->why);
}

static bool allocate(struct reading *r) {
    size_t h = r->info.image_height, w = r->info.image_width;
    if (r->info.num_components == 4) {
        r->cmyk = mem_alloc(w * 4);
        r->info.out_color_space = JCS_CMYK;
    } else {
        r->info.out_color_space = JCS_RGB;
    }
    *r->out = (struct image){h, w, mem_alloc(h * w * 3)};
    bool ok = r->out->data && (r->cmyk || r->info.num_components != 4);
    return ok || why_no_memory(r->why, "out of memory for %zux%zu pixels", w, h);
}

// a * b / 255, rounded, as Pillow computes it.
static unsigned scale255(unsigned a, unsigned b) {
    unsigned v = a * b + 128;
    return ((v >> 8) + v) >> 8;
}

static void row_from_cmyk(const uint8_t *in, uint8_t *out, size_t w) {
    for (size_t x = 0; x < w; x++) {
        unsigned light = in[x * 4 + 3]; // the file holds 255 - ink
        for (size_t c = 0; c < 3; c++)
            out[x * 3 + c] = (uint8_t)(light - scale255(255u - in[x * 4 + c], light));
    }
}

static bool read_rows(struct reading *r) {
    size_t h = r->out->h, w = r->out->w;
    if (!jpeg_start_decompress(&r->info))
        return why_set(r->why, "truncated JPEG: it ends before its last scan does");
    for (size_t y = 0; y < h; y++) {
        uint8_t *to = r->out->data + y * w * 3, *row = r->cmyk ? r->cmyk : to;
        if (jpeg_read_scanlines(&r->info, &row, 1) != 1)
            return why_set(r->why, "truncated JPEG: it ends after %zu of %zu rows", y, h);
        if (r->cmyk) row_from_cmyk(r->cmyk, to, w);
    }
    // What may be missing now is only the end marker.
    jpeg_finish_decompress(&r->info);
    return true;
}

static bool read_all(struct reading *r, const uint8_t *bytes, size_t n) {
    if (setjmp(r->failed)) return false;
    start(r, bytes, n);
    return read_header(r) && allocate(r) && read_rows(r);
}

bool jpeg_decode(const uint8_t *bytes, size_t n, struct image *out, struct why why) {
    struct reading r = {.out = out, .why = why};
    bool ok = read_all(&r, bytes, n);
    jpeg_destroy_decompress(&r.info);
    mem_free(r.cmyk);
    if (ok) return true;
    mem_free(out->data);
    *out = (struct image){0};
    return false;
}
