// See augment.h. A table says what each kind is; the functions that change images lie in
// augment_place.c and augment_color.c, what mixes them in augment_mix.c.
#include "runtime/augment_impl.h"

static const struct kind {
    const char *name; // as the language calls it
    augment_fn *fn;   // NULL: mixes rows
} KINDS[] = {
    [AUGMENT_RESIZED_CROP] = {"resized_crop", augment_resized_crop},
    [AUGMENT_PADDED_CROP] = {"padded_crop", augment_padded_crop},
    [AUGMENT_FLIP] = {"flip", augment_flip},
    [AUGMENT_JITTER] = {"jitter", augment_jitter},
    [AUGMENT_CUTOUT] = {"cutout", augment_cutout},
    [AUGMENT_SHUFFLE] = {"patch_shuffle", augment_shuffle},
    [AUGMENT_CUTMIX] = {"cutmix", NULL},
    [AUGMENT_MIXUP] = {"mixup", NULL},
};

static const struct kind *kind_of(enum augment_kind k) {
    CHECK((size_t)k < COUNT(KINDS));
    return &KINDS[k];
}

const char *augment_name(enum augment_kind k) {
    return kind_of(k)->name;
}

bool augment_mixes(enum augment_kind k) {
    return !kind_of(k)->fn;
}

struct random augment_stream(const struct plan_train *t, uint64_t epoch, size_t place,
                             size_t row) {
    struct digest content =
        digest_join((struct digest){epoch, place}, (struct digest){row, 0});
    return random_stream("augment", (uint64_t)t->seed, content);
}

void augment_row(const struct augment_batch *b, size_t row, float *scratch) {
    const struct plan_train *t = b->train;
    struct augment_image m = {
        .scratch = scratch, .c = t->channels, .h = t->height, .w = t->width};
    m.x = b->x + row * m.c * m.h * m.w;
    for (size_t i = 0; i < t->naugments; i++) {
        const struct plan_augment *a = &t->augments[i];
        if (augment_mixes(a->kind)) continue;
        struct random r = augment_stream(t, b->epoch, i, b->first + row);
        kind_of(a->kind)->fn(&m, a->params, &r);
    }
}
