// Augmentations that mix the images of a batch, and the distribution that says by how
// much.
#include "runtime/augment_impl.h"
#include "runtime/real.h"

#include <math.h>

// ---- Beta(alpha, alpha) --------------------------------------------------------------
// The logarithm of a number of Gamma(shape, 1), by Marsaglia and Tsang, "A simple method
// for generating gamma variables" (2000); shapes below 1 by their section 6. Logarithms,
// since numbers of small shapes are smaller than there are.
static double log_gamma_draw(struct random *r, double shape) {
    double boost = 0;
    if (shape < 1) {
        boost = real_log(random_unit(r)) / shape;
        shape += 1;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        float x;
        random_normal(r, &x, 1);
        double v = 1 + c * (double)x;
        if (v <= 0) continue;
        v = v * v * v;
        double u = random_unit(r), half = 0.5 * (double)x * (double)x;
        if (real_log(u) < half + d - d * v + d * real_log(v))
            return real_log(d * v) + boost;
    }
}

double augment_beta(struct random *r, double alpha) {
    double a = log_gamma_draw(r, alpha), b = log_gamma_draw(r, alpha);
    return 1 / (1 + real_exp(b - a));
}

// ---- what is mixed -------------------------------------------------------------------
static void choose_partners(struct augment_batch *b, struct random *r) {
    for (size_t i = 0; i < b->n; i++) b->partner[i] = (uint32_t)i;
    for (size_t i = b->n; i > 1; i--) {
        size_t j = random_below(r, (uint32_t)i);
        uint32_t v = b->partner[i - 1];
        b->partner[i - 1] = b->partner[j];
        b->partner[j] = v;
    }
}

// A side of n cut so that it is `share` of it, around a random place, as far as inside.
static void cut_side(struct random *r, size_t n, double share, size_t *at, size_t *size) {
    size_t half = (size_t)((double)n * share) / 2, place = random_below(r, (uint32_t)n);
    *at = place > half ? place - half : 0;
    *size = size_min(n, place + half) - *at;
}

static void choose_box(struct augment_batch *b, struct random *r, double lambda) {
    const struct plan_train *t = b->train;
    double share = sqrt(1 - lambda);
    cut_side(r, t->height, share, &b->box[0], &b->box[2]);
    cut_side(r, t->width, share, &b->box[1], &b->box[3]);
    b->lambda =
        (float)(1 - (double)(b->box[2] * b->box[3]) / (double)(t->height * t->width));
}

void augment_choose(struct augment_batch *b) {
    const struct plan_train *t = b->train;
    const struct plan_augment *a = t->naugments ? &t->augments[t->naugments - 1] : NULL;
    b->lambda = 1;
    b->mixer = NULL;
    if (!a || !augment_mixes(a->kind)) return;
    struct random r = augment_stream(t, b->epoch, t->naugments - 1, b->first);
    if (random_unit(&r) >= a->params[1]) return;
    double lambda = augment_beta(&r, a->params[0]);
    choose_partners(b, &r);
    b->lambda = (float)lambda;
    if (a->kind == AUGMENT_CUTMIX) choose_box(b, &r, lambda);
    if (b->lambda < 1) b->mixer = a;
}

static void paste(const struct augment_batch *b, float *out, const float *other) {
    const struct plan_train *t = b->train;
    for (size_t k = 0; k < t->channels; k++)
        for (size_t y = 0; y < b->box[2]; y++) {
            size_t at = (k * t->height + b->box[0] + y) * t->width + b->box[1];
            memcpy(out + at, other + at, b->box[3] * sizeof *out);
        }
}

void augment_mix(const struct augment_batch *b, size_t row) {
    const struct plan_train *t = b->train;
    size_t n = t->channels * t->height * t->width;
    const float *own = b->x + row * n, *other = b->x + b->partner[row] * n;
    float *out = b->spare + row * n;
    if (b->mixer->kind == AUGMENT_CUTMIX) {
        memcpy(out, own, n * sizeof *out);
        paste(b, out, other);
        return;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = b->lambda * own[i] + (1 - b->lambda) * other[i];
}
