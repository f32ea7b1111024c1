// Augmentation (runtime/augment.h): what torchvision makes of boxes and factors, where
// pixels go, how what is random is distributed, and that it depends on a row's place
// alone.
#include "runtime/augment_impl.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define C    3
#define H    9
#define W    11
#define N    (C * H * W)
#define ROWS 64

// ---- against torchvision -------------------------------------------------------------
static float *golden(void) { // tests/data/augment/make.py
    size_t n;
    struct arena *a = arena_must();
    const char *data = file_read(a, TEST_DATA "/augment/torchvision.bin", 1 << 20, &n);
    assert_non_null(data);
    assert_int_equal(n, 14 * N * sizeof(float));
    float *copy = malloc(n);
    memcpy(copy, data, n);
    arena_free(a);
    return copy;
}

static void expect_image(const float *got, const float *want, const char *what,
                         size_t which) {
    for (size_t i = 0; i < N; i++)
        if (fabsf(got[i] - want[i]) > 2e-6f)
            fail_msg("%s %zu: pixel %zu is %g, torchvision has %g", what, which, i,
                     (double)got[i], (double)want[i]);
}

static void boxes_as_torchvision(void **state) {
    static const int32_t boxes[][4] = {
        {0, 0, 9, 11}, {2, 3, 4, 5}, {0, 1, 9, 3}, {5, 0, 1, 11}, {8, 10, 1, 1}};
    float *images = golden(), out[N];
    (void)state;
    for (size_t i = 0; i < COUNT(boxes); i++) {
        augment_resize(images, C, H, W, boxes[i], out);
        expect_image(out, images + (1 + i) * N, "box", i);
    }
    free(images);
}

static void colours_as_torchvision(void **state) {
    static const struct {
        void (*change)(const struct augment_image *, float);
        float by;
    } cases[] = {{augment_brightness, 0.4f}, {augment_brightness, 1.7f},
                 {augment_contrast, 0.4f},   {augment_contrast, 1.7f},
                 {augment_saturation, 0.4f}, {augment_saturation, 1.7f},
                 {augment_hue, -0.3f},       {augment_hue, 0.5f}};
    float *images = golden(), x[N];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        memcpy(x, images, sizeof x);
        cases[i].change(&(struct augment_image){x, NULL, C, H, W}, cases[i].by);
        expect_image(x, images + (6 + i) * N, "change", i);
    }
    free(images);
}

static void expect_near(float got, double want) {
    if (fabs((double)got - want) > 1e-5) fail_msg("%g is not %g", (double)got, want);
}

// ---- batches -------------------------------------------------------------------------
struct setting {
    struct plan_augment augments[4];
    struct plan_train train;
    struct augment_batch batch;
    float x[ROWS * N], spare[ROWS * N], scratch[N], first[ROWS * N];
    uint32_t partner[ROWS];
};

// Row i: values that tell row, channel and place.
static void fill(struct setting *s) {
    for (size_t i = 0; i < ROWS * N; i++) s->x[i] = (float)(i % 997 + 1) / 998;
    for (size_t i = 0; i < ROWS; i++) s->x[i * N] = 0.1f + (float)i / 1000;
    memcpy(s->first, s->x, sizeof s->x);
}

static struct setting *make(enum augment_kind kind, double a, double b) {
    struct setting *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->augments[0] = (struct plan_augment){kind, {a, b}};
    s->train = (struct plan_train){.channels = C,
                                   .height = H,
                                   .width = W,
                                   .augments = s->augments,
                                   .naugments = 1,
                                   .seed = 5};
    s->batch = (struct augment_batch){.train = &s->train,
                                      .n = ROWS,
                                      .x = s->x,
                                      .spare = s->spare,
                                      .partner = s->partner};
    fill(s);
    return s;
}

static float at(const float *x, size_t row, size_t c, size_t h, size_t w) {
    return x[((row * C + c) * H + h) * W + w];
}

static void all_rows(struct setting *s) {
    for (size_t i = 0; i < ROWS; i++) augment_row(&s->batch, i, s->scratch);
}

static bool row_is(const struct setting *s, size_t row, const float *images) {
    return !memcmp(s->x + row * N, images + row * N, N * sizeof *images);
}

static bool turned(const struct setting *s, size_t row) {
    for (size_t i = 0; i < C * H * W; i++) {
        size_t line = i / W * W, mirror = line + W - 1 - i % W;
        if (s->x[row * N + i] != s->first[row * N + mirror]) return false;
    }
    return true;
}

static void flips(void **state) {
    (void)state;
    struct setting *s = make(AUGMENT_FLIP, 0.25, 0);
    size_t count = 0, epochs = 100;
    for (s->batch.epoch = 0; s->batch.epoch < epochs; s->batch.epoch++) {
        fill(s);
        all_rows(s);
        for (size_t i = 0; i < ROWS; i++) {
            bool turn = turned(s, i);
            assert_true(turn != row_is(s, i, s->first));
            count += turn;
        }
    }
    // 6400 tosses: 1600, give or take 35.
    assert_in_range(count, 1600 - 5 * 35, 1600 + 5 * 35);
    free(s);
}

// Which of (2 pad + 1)^2 shifts a row was moved by; fails when it is none.
static size_t shift_of(const struct setting *s, size_t row, size_t pad) {
    for (size_t k = 0; k < (2 * pad + 1) * (2 * pad + 1); k++) {
        size_t dy = k / (2 * pad + 1), dx = k % (2 * pad + 1);
        bool same = true;
        for (size_t i = 0; same && i < N; i++) {
            size_t c = i / (H * W), y = i / W % H + dy, x = i % W + dx;
            bool inside = y >= pad && y < H + pad && x >= pad && x < W + pad;
            float want = inside ? at(s->first, row, c, y - pad, x - pad) : 0;
            same = s->x[row * N + i] == want;
        }
        if (same) return k;
    }
    fail_msg("row %zu is no padded crop", row);
    return 0;
}

static void padded_crops(void **state) {
    (void)state;
    struct setting *s = make(AUGMENT_PADDED_CROP, 1, 0);
    size_t count[9] = {0};
    for (s->batch.epoch = 0; s->batch.epoch < 20; s->batch.epoch++) {
        fill(s);
        all_rows(s);
        for (size_t i = 0; i < ROWS; i++) count[shift_of(s, i, 1)]++;
    }
    // 1280 in 9 places: 142 each, give or take 11.
    for (size_t k = 0; k < 9; k++) assert_in_range(count[k], 142 - 55, 142 + 55);
    s->augments[0].params[0] = 50; // may lose sight of the image altogether
    fill(s);
    all_rows(s);
    for (size_t i = 0; i < ROWS; i++) shift_of(s, i, 50);
    free(s);
}

static void cutouts(void **state) {
    (void)state;
    for (size_t size = 1; size <= 20; size += 3) {
        struct setting *s = make(AUGMENT_CUTOUT, (double)size, 0);
        size_t most = 0;
        all_rows(s);
        for (size_t r = 0; r < ROWS; r++) {
            size_t top = H, bottom = 0, left = W, right = 0, zeros = 0;
            for (size_t i = 0; i < N; i++) {
                float v = s->x[r * N + i];
                assert_true(v == 0 || v == s->first[r * N + i]);
                if (v != 0) continue;
                zeros++;
                top = size_min(top, i / W % H), bottom = size_max(bottom, i / W % H + 1);
                left = size_min(left, i % W), right = size_max(right, i % W + 1);
            }
            size_t h = bottom - top, w = right - left;
            assert_int_equal(zeros, C * h * w); // a box, of every channel
            assert_in_range(h, size_min(H, size / 2) + !(size / 2), size_min(H, size));
            assert_in_range(w, size_min(W, size / 2) + !(size / 2), size_min(W, size));
            most = size_max(most, h * w);
        }
        if (size < 9) assert_int_equal(most, size * size); // somewhere it is whole
        free(s);
    }
}

// Tiles of 9 x 11 at factor 2: lines 5 + 4, columns 6 + 5: no two are of one size.
static void shuffles(void **state) {
    (void)state;
    struct setting *s = make(AUGMENT_SHUFFLE, 2, 0);
    all_rows(s);
    for (size_t i = 0; i < ROWS; i++) assert_true(row_is(s, i, s->first));
    s->augments[0].params[0] = 3; // lines 3 + 3 + 3, columns 4 + 4 + 3
    size_t moved[3] = {0};        // where the upper left tile comes from
    all_rows(s);
    for (size_t r = 0; r < ROWS; r++) {
        bool taken[9] = {false};
        for (size_t t = 0; t < 9; t++) {
            size_t y = t / 3 * 3, x = t % 3 * 4, w = t % 3 == 2 ? 3 : 4, from = 9;
            for (size_t f = 0; f < 9; f++)
                if (at(s->first, r, 0, f / 3 * 3, f % 3 * 4) == at(s->x, r, 0, y, x))
                    from = f;
            assert_true(from < 9 && !taken[from]);
            assert_int_equal(from % 3 == 2, t % 3 == 2);
            taken[from] = true;
            for (size_t i = 0; i < C * 3 * w; i++) {
                size_t c = i / (3 * w), dy = i / w % 3, dx = i % w;
                assert_true(at(s->x, r, c, y + dy, x + dx) ==
                            at(s->first, r, c, from / 3 * 3 + dy, from % 3 * 4 + dx));
            }
            if (t == 0) moved[from / 3]++;
        }
    }
    for (size_t i = 0; i < 3; i++) assert_in_range(moved[i], 8, 36); // 21 of 64
    free(s);
}

static void crops_of_everything(void **state) {
    (void)state;
    struct setting *s = make(AUGMENT_RESIZED_CROP, 1, 1);
    s->augments[0].params[2] = s->augments[0].params[3] = (double)W / H;
    all_rows(s);
    for (size_t i = 0; i < ROWS; i++) assert_true(row_is(s, i, s->first));
    s->augments[0].params[0] = 0.1; // now they are smaller, and somewhere
    all_rows(s);
    size_t same = 0;
    for (size_t i = 0; i < ROWS; i++) same += row_is(s, i, s->first);
    assert_true(same < 8);
    for (size_t i = 0; i < ROWS * N; i++) // nothing from outside of the image
        assert_true(s->x[i] > 0 && s->x[i] <= 1);
    free(s);
}

static void jitter(void **state) {
    (void)state;
    struct setting *s = make(AUGMENT_JITTER, 0, 0);
    all_rows(s);
    for (size_t i = 0; i < ROWS; i++) assert_true(row_is(s, i, s->first));
    s->augments[0].params[0] = 0.5; // brightness alone: one factor a row
    all_rows(s);
    double low = 2, high = 0;
    for (size_t r = 0; r < ROWS; r++) {
        double factor = (double)s->x[r * N] / (double)s->first[r * N];
        low = fmin(low, factor), high = fmax(high, factor);
        for (size_t i = 0; i < N; i++)
            expect_near(s->x[r * N + i], fmin(1, factor * (double)s->first[r * N + i]));
    }
    assert_true(low > 0.5 && low < 0.55 && high < 1.5 && high > 1.45);
    for (size_t i = 0; i < 4; i++) s->augments[0].params[i] = 0.5;
    all_rows(s);
    for (size_t i = 0; i < ROWS * N; i++) assert_true(s->x[i] >= 0 && s->x[i] <= 1);
    free(s);
}

// ---- what random numbers depend on ---------------------------------------------------
static void add_many(struct setting *s) {
    s->augments[0] = (struct plan_augment){AUGMENT_RESIZED_CROP, {0.2, 1, 0.75, 1.33}};
    s->augments[1] = (struct plan_augment){AUGMENT_PADDED_CROP, {2}};
    s->augments[2] = (struct plan_augment){AUGMENT_JITTER, {0.3, 0.3, 0.3, 0.1}};
    s->train.naugments = 3;
}

static void depends_on_the_place_alone(void **state) {
    (void)state;
    struct setting *s = make(AUGMENT_FLIP, 0, 0);
    float kept[3 * N], scratch[N];
    add_many(s);
    s->batch.epoch = 3;
    s->batch.first = 100;
    all_rows(s);
    memcpy(kept, s->x + 7 * N, sizeof kept);
    // The same rows in another batch, in another order, over other scratch memory.
    fill(s);
    s->batch.first = 105;
    s->batch.n = 5;
    memcpy(s->x + 2 * N, s->first + 7 * N, sizeof kept);
    for (size_t i = 5; i-- > 2;) augment_row(&s->batch, i, scratch);
    assert_memory_equal(kept, s->x + 2 * N, sizeof kept);
    for (int what = 0; what < 3; what++) { // another epoch, place, seed
        fill(s);
        s->batch.epoch = what == 0 ? 4 : 3;
        s->batch.first = what == 1 ? 106 : 105;
        s->train.seed = what == 2 ? 6 : 5;
        memcpy(s->x + 2 * N, s->first + 7 * N, sizeof kept);
        augment_row(&s->batch, 2, scratch);
        assert_memory_not_equal(kept, s->x + 2 * N, N * sizeof *kept);
    }
    free(s);
}

// ---- mixing --------------------------------------------------------------------------
static void beta_moments(void **state) {
    (void)state;
    const double alphas[] = {0.001, 0.1, 0.2, 1, 4, 100};
    const size_t n = 40000;
    struct random r = random_stream("test", 1, (struct digest){0});
    for (size_t k = 0; k < COUNT(alphas); k++) {
        double a = alphas[k], sum = 0, square = 0, var = 1 / (4 * (2 * a + 1));
        for (size_t i = 0; i < n; i++) {
            double v = augment_beta(&r, a);
            assert_true(v >= 0 && v <= 1);
            sum += v, square += (v - 0.5) * (v - 0.5);
        }
        double error = sqrt(var / (double)n);
        assert_true(fabs(sum / (double)n - 0.5) < 4 * error);
        assert_true(fabs(square / (double)n / var - 1) < 0.03);
    }
}

// Beta(1, 1) is uniform: the greatest distance of the two distribution functions.
static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void beta_one_is_uniform(void **state) {
    (void)state;
    const size_t counted = 20000;
    double *v = malloc(counted * sizeof *v), worst = 0;
    struct random r = random_stream("test", 2, (struct digest){0});
    assert_non_null(v);
    for (size_t i = 0; i < counted; i++) v[i] = augment_beta(&r, 1);
    qsort(v, counted, sizeof *v, ascending);
    for (size_t i = 0; i < counted; i++)
        worst = fmax(worst, fabs(v[i] - ((double)i + 0.5) / (double)counted));
    free(v);
    // Kolmogorov: more 0.1% of the time.
    assert_true(worst * sqrt((double)counted) < 1.95);
}

static void check_partners(const struct setting *s) {
    bool there[ROWS] = {false};
    for (size_t i = 0; i < s->batch.n; i++) {
        assert_true(s->partner[i] < s->batch.n && !there[s->partner[i]]);
        there[s->partner[i]] = true;
    }
}

static void mix_all(struct setting *s) {
    memset(s->spare, 0, sizeof s->spare);
    for (size_t i = 0; i < s->batch.n; i++) augment_mix(&s->batch, i);
}

static void cutmix(void **state) {
    (void)state;
    struct setting *s = make(AUGMENT_CUTMIX, 1, 0.7);
    size_t mixed = 0;
    double sum = 0;
    s->batch.n = ROWS - 1;
    for (s->batch.first = 0; s->batch.first < 500; s->batch.first++) {
        augment_choose(&s->batch);
        const size_t *box = s->batch.box;
        if (!s->batch.mixer) {
            assert_true(s->batch.lambda == 1);
            continue;
        }
        mixed++;
        sum += (double)s->batch.lambda;
        check_partners(s);
        assert_true(box[0] + box[2] <= H && box[1] + box[3] <= W);
        expect_near(s->batch.lambda, 1 - (double)(box[2] * box[3]) / (double)(H * W));
        if (s->batch.first > 5) continue;
        mix_all(s);
        for (size_t i = 0; i < s->batch.n * N; i++) {
            size_t row = i / N, y = i / W % H, x = i % W;
            bool inside =
                y >= box[0] && y < box[0] + box[2] && x >= box[1] && x < box[1] + box[3];
            size_t from = inside ? s->partner[row] : row;
            assert_true(s->spare[i] == s->x[from * N + i % N]);
        }
    }
    // p of 500, but for boxes of nothing: seldom more than one in ten of them
    assert_in_range(mixed, 260, 390);
    assert_true(sum / (double)mixed > 0.5 && sum / (double)mixed < 0.75);
    free(s);
}

static void mixup(void **state) {
    (void)state;
    struct setting *s = make(AUGMENT_MIXUP, 0.4, 1);
    augment_choose(&s->batch);
    assert_non_null(s->batch.mixer);
    check_partners(s);
    mix_all(s);
    float part = s->batch.lambda;
    assert_true(part > 0 && part < 1);
    for (size_t i = 0; i < ROWS * N; i++) {
        float other = s->x[s->partner[i / N] * N + i % N];
        expect_near(s->spare[i], (double)(part * s->x[i] + (1 - part) * other));
    }
    s->augments[0].params[1] = 0;
    augment_choose(&s->batch);
    assert_null(s->batch.mixer);
    free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_as_torchvision),
        cmocka_unit_test(colours_as_torchvision),
        cmocka_unit_test(flips),
        cmocka_unit_test(padded_crops),
        cmocka_unit_test(cutouts),
        cmocka_unit_test(shuffles),
        cmocka_unit_test(crops_of_everything),
        cmocka_unit_test(jitter),
        cmocka_unit_test(depends_on_the_place_alone),
        cmocka_unit_test(beta_moments),
        cmocka_unit_test(beta_one_is_uniform),
        cmocka_unit_test(cutmix),
        cmocka_unit_test(mixup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
