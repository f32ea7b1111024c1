// Augmentations that change colours: torchvision's ColorJitter on float tensors, in RGB.
#include "runtime/augment_impl.h"

#include <math.h>

static float clamp(float v) {
    return fminf(fmaxf(v, 0), 1);
}

static float mixed(float a, float b, float factor) {
    return clamp(factor * a + (1 - factor) * b);
}

static float gray(float r, float g, float b) {
    return 0.2989f * r + 0.587f * g + 0.114f * b;
}

static size_t plane(const struct augment_image *m) {
    return m->h * m->w;
}

void augment_brightness(const struct augment_image *m, float factor) {
    for (size_t i = 0; i < m->c * plane(m); i++) m->x[i] = clamp(factor * m->x[i]);
}

void augment_contrast(const struct augment_image *m, float factor) {
    size_t n = plane(m);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)gray(m->x[i], m->x[n + i], m->x[2 * n + i]);
    float mean = (float)(sum / (double)n);
    for (size_t i = 0; i < 3 * n; i++) m->x[i] = mixed(m->x[i], mean, factor);
}

void augment_saturation(const struct augment_image *m, float factor) {
    size_t n = plane(m);
    for (size_t i = 0; i < n; i++) {
        float v = gray(m->x[i], m->x[n + i], m->x[2 * n + i]);
        for (size_t k = 0; k < 3 * n; k += n) m->x[k + i] = mixed(m->x[k + i], v, factor);
    }
}

// ---- hue -----------------------------------------------------------------------------
struct hsv {
    float h, s, v;
};

static struct hsv hsv_of(float r, float g, float b) {
    float most = fmaxf(r, fmaxf(g, b)), least = fminf(r, fminf(g, b));
    float range = most - least, h = 0;
    if (range <= 0) return (struct hsv){.v = most};
    float rc = (most - r) / range, gc = (most - g) / range, bc = (most - b) / range;
    if (most == r) h = bc - gc;
    else if (most == g) h = 2 + rc - bc;
    else h = 4 + gc - rc;
    return (struct hsv){.h = fmodf(h / 6 + 1, 1), .s = range / most, .v = most};
}

static void rgb_of(struct hsv c, float *r, float *g, float *b) {
    float sector = floorf(c.h * 6), f = c.h * 6 - sector;
    float p = clamp(c.v * (1 - c.s)), q = clamp(c.v * (1 - c.s * f));
    float t = clamp(c.v * (1 - c.s * (1 - f)));
    switch ((int)sector % 6) {
    case 0: *r = c.v, *g = t, *b = p; return;
    case 1: *r = q, *g = c.v, *b = p; return;
    case 2: *r = p, *g = c.v, *b = t; return;
    case 3: *r = p, *g = q, *b = c.v; return;
    case 4: *r = t, *g = p, *b = c.v; return;
    default: *r = c.v, *g = p, *b = q; return;
    }
}

void augment_hue(const struct augment_image *m, float shift) {
    size_t n = plane(m);
    for (size_t i = 0; i < n; i++) {
        float *r = &m->x[i], *g = &m->x[n + i], *b = &m->x[2 * n + i];
        struct hsv c = hsv_of(*r, *g, *b);
        c.h += shift;
        c.h -= floorf(c.h);
        rgb_of(c, r, g, b);
    }
}

// ---- all four ------------------------------------------------------------------------
static float factor_around_one(struct random *r, double by) {
    return (float)random_between(r, fmax(0, 1 - by), 1 + by);
}

static void change(const struct augment_image *m, int what, float by) {
    switch (what) {
    case 0: augment_brightness(m, by); return;
    case 1: augment_contrast(m, by); return;
    case 2: augment_saturation(m, by); return;
    default: augment_hue(m, by); return;
    }
}

// Each is drawn whether it is applied or not, so that one param changes no other's
// numbers.
void augment_jitter(const struct augment_image *m, const double *params,
                    struct random *r) {
    int order[4] = {0, 1, 2, 3};
    float by[4];
    CHECK(m->c == 3);
    for (uint32_t i = 4; i > 1; i--) {
        uint32_t j = random_below(r, i);
        int v = order[i - 1];
        order[i - 1] = order[j];
        order[j] = v;
    }
    for (int i = 0; i < 3; i++) by[i] = factor_around_one(r, params[i]);
    by[3] = (float)random_between(r, -params[3], params[3]);
    for (int i = 0; i < 4; i++)
        if (params[order[i]] > 0) change(m, order[i], by[order[i]]);
}
