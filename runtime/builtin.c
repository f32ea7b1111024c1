// The functions behind OPF_RUNTIME ops, a row at a time. See builtin.h.
#include "runtime/builtin.h"

#include "runtime/image.h"
#include "runtime/real.h"

#include <math.h>

static struct digest load_key(const char *p) {
    struct digest d;
    memcpy(&d, p, sizeof d);
    return d;
}

static void normal_row(const double *params, float *out, const char *key) {
    static const char *const streams[NORMAL_PURPOSES] = {
        [NORMAL_NOISE] = "normal", [NORMAL_SCORE] = "score"};
    const char *stream = streams[(size_t)params[2]];
    struct random r = random_stream(stream, (uint64_t)params[1], load_key(key));
    random_normal(&r, out, (size_t)params[0]);
}

// torchvision.transforms.RandomResizedCrop.get_params. Python's round is to even, as
// nearbyint in the default mode.
void builtin_box(struct random *r, double h, double w, const double *scale,
                 const double *ratio, int32_t box[4]) {
    for (int attempt = 0; attempt < 10; attempt++) {
        double area = h * w * random_between(r, scale[0], scale[1]);
        double aspect =
            real_exp(random_between(r, real_log(ratio[0]), real_log(ratio[1])));
        double bw = nearbyint(sqrt(area * aspect)), bh = nearbyint(sqrt(area / aspect));
        if (bw < 1 || bw > w || bh < 1 || bh > h) continue;
        box[0] = (int32_t)random_below(r, (uint32_t)(h - bh + 1));
        box[1] = (int32_t)random_below(r, (uint32_t)(w - bw + 1));
        box[2] = (int32_t)bh;
        box[3] = (int32_t)bw;
        return;
    }
    double bh = h, bw = w;
    if (w / h < ratio[0]) bh = fmax(1, nearbyint(w / ratio[0]));
    else if (w / h > ratio[1]) bw = fmax(1, nearbyint(h * ratio[1]));
    box[0] = (int32_t)(h - bh) / 2;
    box[1] = (int32_t)(w - bw) / 2;
    box[2] = (int32_t)bh;
    box[3] = (int32_t)bw;
}

static void random_box_row(const double *p, char *out, const char *key,
                           const char *index) {
    int32_t nth, box[4];
    memcpy(&nth, index, sizeof nth);
    struct digest content = digest_join(load_key(key), (struct digest){(uint64_t)nth, 0});
    struct random r = random_stream("crop", (uint64_t)p[6], content);
    builtin_box(&r, p[0], p[1], p + 2, p + 4, box);
    memcpy(out, box, sizeof box);
}

// The window of each channel, row by row.
static void copy_window(uint8_t *out, const uint8_t *in, size_t c, size_t h, size_t w,
                        const size_t box[4]) {
    for (size_t y = 0; y < c * box[2]; y++) {
        size_t row = y / box[2] * h + box[0] + y % box[2];
        memcpy(out + y * box[3], in + row * w + box[1], box[3]);
    }
}

// Cuts first and resizes then, as torchvision's resized_crop does: pixels beside the box
// do not show. (Pillow's own box argument lets them in at the edges.)
static bool resize_row(const double *p, char *out, const char *in, const char *box) {
    size_t c = (size_t)p[0], h = (size_t)p[1], w = (size_t)p[2];
    size_t to_h = (size_t)p[3], to_w = (size_t)p[4];
    const uint8_t *pixels = (const uint8_t *)in;
    if (!box)
        return image_resize(pixels, c, h, w, 0, 0, h, w, (uint8_t *)out, to_h, to_w);
    int32_t b[4];
    memcpy(b, box, sizeof b);
    size_t at[4] = {(size_t)b[0], (size_t)b[1], (size_t)b[2], (size_t)b[3]};
    CHECK(at[0] <= h && at[2] <= h - at[0] && at[1] <= w && at[3] <= w - at[1]);
    uint8_t *cut = mem_alloc(c * at[2] * at[3]);
    if (!cut) return false;
    copy_window(cut, pixels, c, h, w, at);
    bool ok = image_resize(cut, c, at[2], at[3], 0, 0, at[2], at[3], (uint8_t *)out, to_h,
                           to_w);
    mem_free(cut);
    return ok;
}

bool builtin_run(enum builtin which, const double *params, char *const *buffers,
                 const size_t *strides, size_t nbuffers, size_t n) {
    for (size_t r = 0; r < n; r++) {
        char *at[PLAN_MAX_PARAMS] = {0};
        for (size_t i = 0; i < nbuffers; i++) at[i] = buffers[i] + r * strides[i];
        switch (which) {
        case BUILTIN_NORMAL: normal_row(params, (float *)(void *)at[0], at[1]); break;
        case BUILTIN_RANDOM_BOX: random_box_row(params, at[0], at[1], at[2]); break;
        case BUILTIN_RESIZE:
            if (!resize_row(params, at[0], at[1], at[2])) return false;
            break;
        case BUILTIN_NONE: BUG("not a builtin");
        }
    }
    return true;
}
