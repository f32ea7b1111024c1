// What the files of augment.h share: one image f32[C,H,W], changed in place.
#ifndef DDG_AUGMENT_IMPL_H
#define DDG_AUGMENT_IMPL_H

#include "runtime/augment.h"
#include "runtime/random.h"

struct augment_image {
    float *x;
    float *scratch; // as much
    size_t c, h, w;
};

typedef void augment_fn(const struct augment_image *m, const double *params,
                        struct random *r);

// augment_place.c: where pixels are
augment_fn augment_resized_crop, augment_padded_crop, augment_flip, augment_cutout,
    augment_shuffle;
// The box of `in` at the size of the image, by torch's bilinear interpolation.
void augment_resize(const float *in, size_t c, size_t h, size_t w, const int32_t box[4],
                    float *out);

// augment_color.c: what they are; of RGB images
augment_fn augment_jitter;
void augment_brightness(const struct augment_image *m, float factor);
void augment_contrast(const struct augment_image *m, float factor);
void augment_saturation(const struct augment_image *m, float factor);
void augment_hue(const struct augment_image *m, float shift);

// augment_mix.c
double augment_beta(struct random *r, double alpha); // Beta(alpha, alpha)
// The stream of an augmentation (place in the list) for a row or, of what mixes, a batch.
struct random augment_stream(const struct plan_train *t, uint64_t epoch, size_t place,
                             size_t row);

#endif
