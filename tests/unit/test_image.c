// Images against Pillow's golden pixels (tests/data/images, see make_fixtures.py there),
// and against what damaged or hostile files do.
#include "runtime/image.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define IMAGES TEST_DATA "/images/"

struct bytes {
    uint8_t *at;
    size_t n;
};

static struct bytes load(struct arena *a, const char *name) {
    struct bytes b;
    char *path = arena_printf(a, "%s%s", IMAGES, name);
    b.at = (uint8_t *)file_read(a, path, 1 << 20, &b.n);
    if (!b.at) fail_msg("cannot read %s", path);
    return b;
}

static int setup(void **state) {
    *state = arena_new();
    return *state ? 0 : -1;
}

static int teardown(void **state) {
    arena_free(*state);
    return 0;
}

static size_t u16_at(const uint8_t *p) {
    return p[0] | (size_t)p[1] << 8;
}

// ---- decoding -----------------------------------------------------------------------
static void check_golden(struct arena *a, const char *golden) {
    int stem = (int)(strlen(golden) - 4);
    const char *ending = strncmp(golden, "jpeg", 4) == 0 ? "jpg" : "png";
    struct bytes file = load(a, arena_printf(a, "%.*s.%s", stem, golden, ending));
    struct bytes want = load(a, golden);
    struct image got;
    char why[200] = "";
    if (!image_decode(file.at, file.n, &got, why, sizeof why))
        fail_msg("%s: %s", golden, why);
    assert_int_equal(got.h, u16_at(want.at));
    assert_int_equal(got.w, u16_at(want.at + 2));
    if (memcmp(got.data, want.at + 4, got.h * got.w * 3) != 0)
        fail_msg("%s: pixels differ from Pillow's", golden);
    mem_free(got.data);
}

static void test_pixels_are_pillows(void **state) {
    size_t seen = 0;
    DIR *dir = opendir(IMAGES);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        const char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".rgb") != 0) continue;
        check_golden(*state, e->d_name);
        seen++;
    }
    closedir(dir);
    assert_int_equal(seen, 31); // 10 JPEG, 21 PNG
}

static void expect_refused(struct bytes file, const char *reason) {
    struct image out;
    char why[200] = "";
    assert_false(image_decode(file.at, file.n, &out, why, sizeof why));
    assert_null(out.data);
    if (!strstr(why, reason)) fail_msg("\"%s\" does not say \"%s\"", why, reason);
}

static void test_truncated_files_are_refused(void **state) {
    static const char *const names[] = {"jpeg420.jpg", "jpeg_progressive.jpg",
                                        "jpeg_ycck.jpg", "png_2_8.png",
                                        "png_3_4_interlaced.png"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct bytes whole = load(*state, names[i]), cut = whole;
        // The end of a PNG after its pixels may be missing, a JPEG's end marker may not.
        for (cut.n = 8; cut.n < whole.n - 20; cut.n += 3) {
            cut.at = arena_dup(*state, whole.at, cut.n, 1); // a sanitizer sees its end
            expect_refused(cut, "");
        }
    }
    struct bytes jpeg = load(*state, "jpeg444.jpg"), png = load(*state, "png_2_8.png");
    expect_refused((struct bytes){jpeg.at, jpeg.n - 2}, "truncated JPEG: it ends after");
    expect_refused((struct bytes){jpeg.at, 100}, "truncated JPEG: no image");
    expect_refused((struct bytes){png.at, png.n / 2}, "truncated PNG");
}

static void test_damage_is_told(void **state) {
    struct bytes png = load(*state, "png_2_8.png"), jpeg = load(*state, "jpeg444.jpg");
    png.at[png.n / 2] ^= 1; // in the compressed pixels: the checksum no longer holds
    expect_refused(png, "damaged PNG");
    for (size_t i = 0; i + 1 < jpeg.n; i++) // a frame type libjpeg does not read
        if (jpeg.at[i] == 0xFF && jpeg.at[i + 1] == 0xC0) jpeg.at[i + 1] = 0xC3;
    expect_refused(jpeg, "damaged JPEG: Unsupported JPEG process");
}

static void test_other_formats_are_named(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *why;
    } cases[] = {{"GIF89a....", "a GIF image; only JPEG and PNG are read"},
                 {"RIFF\1\1\1\1WEBPVP8 ", "a WebP image"},
                 {"<svg></svg>", "neither a JPEG nor a PNG image"},
                 {"", "the file is empty"},
                 {"\xFF", "neither"}};
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_refused((struct bytes){(uint8_t *)cases[i].bytes, strlen(cases[i].bytes)},
                       cases[i].why);
}

static void test_grey16_png_is_refused(void **state) {
    expect_refused(load(*state, "grey16.png"), "16-bit grey");
}

// A header that claims more pixels than we decode must be refused by the header alone.
static void test_bombs_are_refused_by_their_header(void **state) {
    struct bytes jpeg = load(*state, "jpeg444.jpg");
    for (size_t i = 0; i + 8 < jpeg.n; i++)
        if (jpeg.at[i] == 0xFF && jpeg.at[i + 1] == 0xC0)
            memcpy(jpeg.at + i + 5, "\x3F\xFF\x3F\xFF", 4); // 16383 x 16383
    expect_refused(jpeg, "too large: 16383x16383");
    static const uint8_t wide[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
                                  "\0\1\0\0\0\0\0\1\10\2\0\0\0\xe4\x10\x74\x8f"
                                  "\0\0\0\0IDAT\x35\xaf\x06\x1e";
    expect_refused((struct bytes){(uint8_t *)wide, sizeof wide - 1},
                   "too large: 65536x1");
}

// ---- resizing -----------------------------------------------------------------------
static void test_resize_is_pillows(void **state) {
    struct bytes b = load(*state, "resize.bin");
    size_t cases = 0;
    for (const uint8_t *p = b.at, *end = b.at + b.n; p < end; cases++) {
        size_t v[8];
        for (size_t i = 0; i < 8; i++) v[i] = u16_at(p + 2 * i);
        const uint8_t *in = p + 16, *want = in + v[0] * v[1];
        uint8_t *got = arena_alloc(*state, v[6] * v[7], 1);
        assert_true(
            image_resize(in, 1, v[0], v[1], v[2], v[3], v[4], v[5], got, v[6], v[7]));
        if (memcmp(got, want, v[6] * v[7]) != 0) fail_msg("case %zu differs", cases);
        p = want + v[6] * v[7];
    }
    assert_int_equal(cases, 48);
}

static void test_fit_is_torchvisions(void **state) {
    struct bytes b = load(*state, "fit.bin");
    size_t cases = 0;
    for (uint8_t *p = b.at, *end = b.at + b.n; p < end; cases++) {
        size_t h = u16_at(p), w = u16_at(p + 2), size = u16_at(p + 4),
               n = 3 * size * size;
        const uint8_t *want = p + 6 + h * w * 3;
        uint8_t *got = arena_alloc(*state, n, 1);
        assert_true(image_fit(&(struct image){h, w, p + 6}, size, got));
        if (memcmp(got, want, n) != 0) fail_msg("%zux%zu to %zu differs", w, h, size);
        p += 6 + h * w * 3 + n;
    }
    assert_int_equal(cases, 12);
}

static void test_planes_are_resized_alike(void **state) {
    (void)state;
    uint8_t in[3][5][4], out[3][7][3], one[7][3];
    for (size_t i = 0; i < sizeof in; i++) ((uint8_t *)in)[i] = (uint8_t)(i * 37);
    assert_true(image_resize(in[0][0], 3, 5, 4, 1, 0, 3, 4, out[0][0], 7, 3));
    for (size_t c = 0; c < 3; c++) {
        assert_true(image_resize(in[c][0], 1, 5, 4, 1, 0, 3, 4, one[0], 7, 3));
        assert_memory_equal(one, out[c], sizeof one);
    }
}

// Scaled up whole, this would be 224 x 3,670,016 pixels.
static void test_a_thin_image_costs_only_its_crop(void **state) {
    uint8_t *in = arena_alloc(*state, IMAGE_MAX_SIDE * 3, 1), out[3 * 224 * 224];
    for (size_t i = 0; i < IMAGE_MAX_SIDE; i++)
        in[i * 3] = i < IMAGE_MAX_SIDE / 2 ? 0 : 200;
    assert_true(image_fit(&(struct image){IMAGE_MAX_SIDE, 1, in}, 224, out));
    assert_int_equal(out[0], 0);
    assert_int_equal(out[224 * 223], 200);
}

// ---- encoding -----------------------------------------------------------------------
static void test_png_round_trip(void **state) {
    (void)state;
    enum { H = 19, W = 13 };
    uint8_t pixels[3][H][W];
    for (size_t i = 0; i < sizeof pixels; i++)
        ((uint8_t *)pixels)[i] = (uint8_t)(i * i / 7 + i * 13);
    for (size_t c = 1; c <= 3; c += 2) {
        size_t n, again;
        uint8_t *png = image_encode_png(pixels[0][0], c, H, W, &n);
        uint8_t *same = image_encode_png(pixels[0][0], c, H, W, &again);
        struct image got;
        char why[100];
        assert_true(image_decode(png, n, &got, why, sizeof why));
        for (size_t y = 0; y < H; y++)
            for (size_t x = 0; x < W; x++)
                for (size_t k = 0; k < 3; k++)
                    assert_int_equal(got.data[(y * W + x) * 3 + k],
                                     pixels[c == 1 ? 0 : k][y][x]);
        assert_int_equal(n, again);
        assert_memory_equal(png, same, n);
        mem_free(got.data);
        mem_free(png);
        mem_free(same);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_pixels_are_pillows),       TEST(test_truncated_files_are_refused),
        TEST(test_damage_is_told),           TEST(test_other_formats_are_named),
        TEST(test_grey16_png_is_refused),    TEST(test_bombs_are_refused_by_their_header),
        TEST(test_resize_is_pillows),        TEST(test_fit_is_torchvisions),
        TEST(test_planes_are_resized_alike), TEST(test_a_thin_image_costs_only_its_crop),
        TEST(test_png_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
