// What is concluded from what a model says of some images: cases as data, beside the
// words that people get; and by the thousand, made up at random: models that are fine, of
// which nothing may be said, and models that are not, of which it must be.
#include "runtime/trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "scratch.h"

#define MOST 5 // classes of a case

// Of each class, how many images the model says each output of.
struct confusion {
    unsigned char of[MOST][MOST];
};

struct scene {
    const char *names[MOST + 1];
    size_t classes; // outputs
    struct confusion given;
    int way; // in which the model says `otherwise`; -1: not tried in other ways
    struct confusion otherwise;
    double at_least;
    const char *expected;
};

static const struct scene scenes[] = {
#include "../data/trials.inc"
};

static int32_t *said_of(struct fixture *f, const struct confusion *c, size_t names,
                        size_t *n, uint32_t *cls) {
    int32_t *said = NEW_N(f->a, int32_t, MOST * MOST * 256);
    *n = 0;
    for (uint32_t i = 0; i < names; i++)
        for (int32_t o = 0; o < MOST; o++)
            for (size_t k = 0; k < c->of[i][o]; k++) {
                if (cls) cls[*n] = i;
                said[(*n)++] = o;
            }
    return said;
}

// The ways that a case says nothing of are as the program has it.
static void try_all(struct fixture *f, const struct scene *s, struct trial *t) {
    size_t n;
    const int32_t *other = said_of(f, &s->otherwise, t->nnames, &n, NULL);
    uint32_t *tried = NEW_N(f->a, uint32_t, t->n);
    int32_t *otherwise = NEW_N(f->a, int32_t, t->n * TRIAL_VARIANTS);
    assert_int_equal(n, t->n);
    for (uint32_t i = 0; i < t->n; i++) {
        tried[i] = i;
        for (int way = 0; way < TRIAL_VARIANTS; way++)
            otherwise[i * TRIAL_VARIANTS + (size_t)way] =
                way == s->way ? other[i] : t->said[i];
    }
    t->ntried = t->n, t->tried = tried, t->otherwise = otherwise;
}

static const char *words(struct fixture *f, const struct scene *s) {
    struct plan_trial p = {.model = "m", .images = "x", .at_least = s->at_least};
    struct trial t = {.classes = s->classes, .names = s->names};
    struct trial_verdict v;
    struct diags d;
    struct text out = {.arena = f->a};
    uint32_t *cls = NEW_N(f->a, uint32_t, MOST * MOST * 256);
    while (s->names[t.nnames]) t.nnames++;
    t.said = said_of(f, &s->given, t.nnames, &t.n, cls);
    t.cls = cls;
    if (s->way >= 0) try_all(f, s, &t);
    trial_judge(f->a, &t, &v);
    diags_init(&d, f->a);
    trial_say(&p, &t, &v, &d);
    assert_true(trial_enough(&p, &v, &d) == !d.errors);
    text_add(&out, "%s%s\n", trial_line(f->a, &p, &v), v.guessing ? " (guessing)" : "");
    diags_render(&d, false, &out);
    return out.at;
}

static void cases_are_as_expected(void **state) {
    for (size_t i = 0; i < COUNT(scenes); i++) {
        const char *said = words(*state, &scenes[i]);
        if (strcmp(said, scenes[i].expected) != 0)
            fail_msg("case %zu says\n%sand not\n%s", i, said, scenes[i].expected);
    }
}

// ---- at random -----------------------------------------------------------------------
struct dice {
    uint64_t state;
};

static double roll(struct dice *d) {
    d->state = d->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(d->state >> 11) * 0x1p-53;
}

// A model that knows a share of the images of each class, which differs from class to
// class, and takes the others mostly for one class that is like theirs.
struct world {
    size_t classes, each;
    double known;  // share of images, on average
    double unlike; // of what it says, that is other in another way, as likely right
    int helps;     // the way in which it knows `better`; -1: none
    double better;
};

static int32_t answer(const struct world *w, struct dice *d, uint32_t cls, double known) {
    if (roll(d) < known) return (int32_t)cls;
    if (known > 0 && roll(d) < 0.3) return (int32_t)((cls + 1) % w->classes);
    return (int32_t)(roll(d) * (double)w->classes);
}

static struct trial_verdict imagine(struct arena *a, const struct world *w,
                                    struct dice *d) {
    size_t n = w->classes * w->each;
    uint32_t *cls = NEW_N(a, uint32_t, n), *tried = NEW_N(a, uint32_t, n);
    int32_t *said = NEW_N(a, int32_t, n),
            *otherwise = NEW_N(a, int32_t, n * TRIAL_VARIANTS);
    const char **names = NEW_N(a, const char *, w->classes);
    for (size_t c = 0; c < w->classes; c++) names[c] = arena_printf(a, "%zu", c);
    double off = 0;
    for (size_t i = 0; i < n; i++) {
        cls[i] = (uint32_t)(i / w->each);
        tried[i] = (uint32_t)i;
        if (i % w->each == 0) off = 0.3 * (roll(d) - 0.5);
        said[i] = answer(w, d, cls[i], w->known + off);
        for (int way = 0; way < TRIAL_VARIANTS; way++) {
            int32_t *o = &otherwise[i * TRIAL_VARIANTS + (size_t)way];
            *o = way == w->helps       ? answer(w, d, cls[i], w->better)
                 : roll(d) < w->unlike ? answer(w, d, cls[i], w->known + off)
                                       : said[i];
        }
    }
    struct trial t = {w->classes, w->classes, names, n, cls, said, n, tried, otherwise};
    struct trial_verdict v;
    trial_judge(a, &t, &v);
    return v;
}

static size_t count(const struct world *w, size_t times,
                    bool (*what)(const struct world *, const struct trial_verdict *)) {
    struct dice d = {w->classes * 1000 + w->each};
    size_t n = 0;
    for (size_t i = 0; i < times; i++) {
        struct arena *a = arena_must();
        struct trial_verdict v = imagine(a, w, &d);
        n += what(w, &v);
        arena_free(a);
    }
    return n;
}

static bool alarms(const struct world *w, const struct trial_verdict *v) {
    (void)w;
    return v->guessing || v->way >= 0 || v->order != ORDER_NAMES;
}

static bool finds(const struct world *w, const struct trial_verdict *v) {
    return v->way == w->helps && v->order == ORDER_NAMES;
}

static bool guesses(const struct world *w, const struct trial_verdict *v) {
    (void)w;
    return v->guessing && v->way < 0 && v->order == ORDER_NAMES;
}

static void nothing_is_said_of_models_that_are_weak(void **state) {
    (void)state;
    static const struct world fine[] = {
        {2, 5, 0.7, 0.3, -1, 0},   {2, 64, 0.75, 0.5, -1, 0}, {10, 1, 0.4, 0.3, -1, 0},
        {10, 13, 0.4, 0.5, -1, 0}, {10, 13, 0.9, 0.1, -1, 0}, {10, 2, 0.3, 1, -1, 0},
        {100, 2, 0.4, 0.5, -1, 0}, {100, 8, 0.3, 0.2, -1, 0}, {10, 52, 0.5, 1, -1, 0},
    };
    size_t all = 0;
    for (size_t i = 0; i < COUNT(fine); i++) all += count(&fine[i], 400, alarms);
    if (all > 3) fail_msg("%zu false alarms in %zu", all, COUNT(fine) * 400);
}

static void what_is_wrong_is_found(void **state) {
    (void)state;
    static const struct world wrong[] = {
        {10, 13, 0.2, 0.3, 0, 0.8},  {10, 13, 0.5, 0.3, 3, 0.85},
        {10, 52, 0.7, 0.3, 4, 0.85}, {100, 2, 0.1, 0.2, 7, 0.6},
        {2, 64, 0.5, 0.2, 12, 0.9},  {5, 26, 0.3, 0.3, 6, 0.7},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        size_t n = count(&wrong[i], 200, finds);
        if (n < 170) fail_msg("world %zu: found in %zu of 200", i, n);
    }
}

static void models_that_guess_are_told(void **state) {
    (void)state;
    static const struct world worlds[] = {
        {10, 13, -1, 1, -1, 0}, {100, 8, -1, 1, -1, 0}, {2, 128, -1, 1, -1, 0}};
    for (size_t i = 0; i < COUNT(worlds); i++) {
        struct world w = worlds[i];
        size_t n = count(&w, 200, guesses);
        if (n < 180) fail_msg("world %zu: told in %zu of 200", i, n);
    }
}

// ---- which images --------------------------------------------------------------------
static void few_images_are_enough(void **state) {
    (void)state;
    assert_int_equal(trial_per_class(FIRST_LOOK, 0, 2), 64);
    assert_int_equal(trial_per_class(FIRST_LOOK, 0, 10), 13);
    assert_int_equal(trial_per_class(FIRST_LOOK, 0, 100), 8);
    assert_int_equal(trial_per_class(FIRST_LOOK, 0, 1000), 1);
    assert_int_equal(trial_per_class(FIRST_LOOK, 0, 20000), 1);
    assert_int_equal(trial_per_class(SECOND_LOOK, 0, 10), 52);
    assert_int_equal(trial_per_class(SECOND_LOOK, 3, 10), 3);
    assert_int_equal(trial_choices(FIRST_LOOK, 50), 50);
    assert_int_equal(trial_choices(FIRST_LOOK, 1000), 128);
}

// What a model knows need not be tried in other ways, nor what is wrong too rarely to
// matter.
static void other_ways_are_tried_where_they_could_help(void **state) {
    struct fixture *f = *state;
    enum { N = 100 };
    uint32_t cls[N] = {0}, chosen[N];
    int32_t said[N] = {0};
    struct trial t = {.classes = 2, .nnames = 2, .n = N, .cls = cls, .said = said};
    size_t wrong;
    for (size_t i = 0; i < 9; i++) said[i * 7] = 1;
    assert_int_equal(trial_choose(FIRST_LOOK, &t, chosen, &wrong), N);
    assert_int_equal(wrong, 9);
    assert_int_equal(chosen[8], 56);
    assert_int_equal(chosen[9], 1);
    assert_false(trial_could_help(&t, N, wrong));
    for (size_t i = 0; i < 40; i++) said[i] = 1;
    trial_choose(FIRST_LOOK, &t, chosen, &wrong);
    assert_true(trial_could_help(&t, N, wrong));
    // Tried on those that it gets wrong: no way knows more than ten of these.
    int32_t *otherwise = NEW_N(f->a, int32_t, N * TRIAL_VARIANTS);
    for (size_t i = 0; i < N * TRIAL_VARIANTS; i++) otherwise[i] = 1;
    for (size_t i = 0; i < 10; i++) otherwise[i * TRIAL_VARIANTS + 3] = 0;
    t.ntried = wrong, t.tried = chosen, t.otherwise = otherwise;
    assert_false(trial_could_help(&t, N, wrong));
    for (size_t i = 0; i < 12; i++) otherwise[i * TRIAL_VARIANTS + 3] = 0;
    assert_true(trial_could_help(&t, N, wrong));
    assert_true(trial_suspects(&t));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(cases_are_as_expected),  TEST(nothing_is_said_of_models_that_are_weak),
        TEST(what_is_wrong_is_found), TEST(models_that_guess_are_told),
        TEST(few_images_are_enough),  TEST(other_ways_are_tried_where_they_could_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
