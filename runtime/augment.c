// See augment.h. A table says what each kind is; the functions that change images lie in
// augment_place.c and augment_color.c, what mixes them in augment_mix.c.
#include "runtime/augment_impl.h"

static augment_fn *const FUNCTIONS[] = {
    // NULL: mixes rows
    [AUGMENT_RESIZED_CROP] = augment_resized_crop,
    [AUGMENT_PADDED_CROP] = augment_padded_crop,
    [AUGMENT_FLIP] = augment_flip,
    [AUGMENT_JITTER] = augment_jitter,
    [AUGMENT_CUTOUT] = augment_cutout,
    [AUGMENT_SHUFFLE] = augment_shuffle,
    [AUGMENT_CUTMIX] = NULL,
    [AUGMENT_MIXUP] = NULL,
};

static augment_fn *function_of(enum augment_kind k) {
    CHECK((size_t)k < COUNT(FUNCTIONS));
    return FUNCTIONS[k];
}

bool augment_mixes(enum augment_kind k) {
    return !function_of(k);
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
        function_of(a->kind)(&m, a->params, &r);
    }
}
