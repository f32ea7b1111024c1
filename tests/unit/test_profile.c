// Profiles: what is counted, that a lane's time adds up, and that spans stay within
// bounds.
#include "runtime/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct plan_call calls[] = {
    {.what = "conv", .how = "direct", .flops = 10, .bytes = 4},
    {.what = "conv", .how = "direct", .flops = 20, .bytes = 4},
    {.what = "sum", .how = "loops", .flops = 1, .bytes = 8},
};
static struct plan_func funcs[] = {
    {.name = "other"},
    {.name = "net", .ncalls = COUNT(calls), .calls = calls},
};
static const struct plan plan = {.nfuncs = COUNT(funcs), .funcs = funcs};

static void run_chunk(struct profile_lane *l, size_t ncalls, size_t rows) {
    profile_chunk(l, "stage");
    profile_lap(l, PROFILE_READ);
    for (size_t i = 0; i < ncalls; i++) {
        profile_call(l, &funcs[1]);
        for (size_t k = 0; k < COUNT(calls); k++) profile_kernel(l, k, rows);
        profile_call_done(l, rows);
    }
    profile_chunk_done(l, rows);
}

static void equal_kernels_are_one_row_over_all_workers(void **state) {
    (void)state;
    struct profile *p = profile_new(2, false);
    struct arena *arena = arena_new();
    struct profile_row *rows;
    profile_begin(p, &plan);
    run_chunk(profile_lane(p, 0), 2, 5);
    run_chunk(profile_lane(p, 1), 1, 3);
    assert_int_equal(profile_rows(p, arena, &rows), 2);
    const struct profile_row *conv = strcmp(rows[0].what, "conv") ? &rows[1] : &rows[0];
    assert_int_equal(conv->layers, 2);
    assert_int_equal(conv->calls, 6);
    assert_int_equal(conv->rows, 26);
    assert_true(conv->flops == 13 * 30);
    assert_true(conv->bytes == 26 * 4);
    arena_free(arena);
    profile_free(p);
}

// Idle is what is left of the workers' time.
static void times_add_up(void **state) {
    (void)state;
    struct profile *p = profile_new(2, false);
    profile_begin(p, &plan);
    double began = clock_seconds();
    run_chunk(profile_lane(p, 0), 1000, 1);
    profile_stage(p, 2, clock_seconds() - began);
    struct profile_sum s = profile_sum(p);
    double sum = s.kernels + s.taken + s.idle;
    for (size_t i = 0; i < PROFILE_PARTS; i++) sum += s.parts[i];
    assert_true(s.kernels > 0 && s.idle >= 0.45 * s.all);
    assert_true(sum > 0.999 * s.all && sum < 1.001 * s.all);
    profile_free(p);
}

struct seen {
    size_t kinds[SPAN_KERNEL + 1];
    double last;
};

static void see(void *ctx, size_t track, const struct profile_span *s) {
    struct seen *seen = ctx;
    assert_int_equal(track, 1);
    assert_true(s->ended >= s->began);
    assert_true(s->kind == SPAN_CHUNK ? s->rows == 1 : true);
    seen->kinds[s->kind]++;
    seen->last = s->ended;
}

// A run of many calls: these stop being kept, chunks go on; it is said how many.
static void spans_are_bounded(void **state) {
    (void)state;
    struct profile *p = profile_new(1, true);
    struct seen seen = {0};
    profile_begin(p, &plan);
    size_t chunks = 100, each = 1000;
    for (size_t i = 0; i < chunks; i++) run_chunk(profile_lane(p, 0), each, 1);
    profile_spans(p, see, &seen);
    size_t left_out = profile_left_out(p, 1), fine = chunks * each + 3 * COUNT(calls);
    assert_int_equal(seen.kinds[SPAN_CHUNK], chunks);
    assert_int_equal(seen.kinds[SPAN_PART], chunks);
    assert_int_equal(seen.kinds[SPAN_KERNEL], 3 * COUNT(calls));
    assert_in_range(seen.kinds[SPAN_CALL], 20000, 25000);
    assert_int_equal(seen.kinds[SPAN_CALL] + seen.kinds[SPAN_KERNEL] + left_out, fine);
    seen = (struct seen){0};
    profile_spans(p, see, &seen); // each is handed over once
    assert_int_equal(seen.kinds[SPAN_CHUNK], 0);
    profile_free(p);
}

// The plan of the run before is gone by then.
static void a_new_plan_starts_from_nothing(void **state) {
    (void)state;
    struct profile *p = profile_new(1, true);
    struct arena *arena = arena_new();
    struct profile_row *rows;
    profile_begin(p, &plan);
    run_chunk(profile_lane(p, 0), 1, 1);
    const struct plan other = {.nfuncs = 1, .funcs = funcs};
    profile_begin(p, &other);
    assert_int_equal(profile_rows(p, arena, &rows), 0);
    assert_true(profile_sum(p).kernels == 0);
    arena_free(arena);
    profile_free(p);
}

// Of a program that trains: an act's kernels are told of with those of later acts.
static void what_was_kept_counts_with_what_comes(void **state) {
    (void)state;
    struct profile *p = profile_new(1, false);
    struct arena *arena = arena_new();
    struct profile_row *rows;
    profile_begin(p, &plan);
    run_chunk(profile_lane(p, 0), 1, 7);
    profile_stage(p, 1, 2);
    profile_keep(p, arena);
    profile_begin(p, &plan);
    run_chunk(profile_lane(p, 0), 1, 5);
    profile_stage(p, 1, 3);
    assert_int_equal(profile_rows(p, arena, &rows), 4);
    uint64_t seen = 0;
    for (size_t i = 0; i < 4; i++) seen += rows[i].rows;
    assert_int_equal(seen, COUNT(calls) * (7 + 5));
    assert_true(profile_sum(p).all == 5);
    profile_forget(p);
    profile_begin(p, &plan);
    assert_int_equal(profile_rows(p, arena, &rows), 0);
    assert_true(profile_sum(p).all == 0);
    arena_free(arena);
    profile_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_kernels_are_one_row_over_all_workers),
        cmocka_unit_test(times_add_up),
        cmocka_unit_test(spans_are_bounded),
        cmocka_unit_test(a_new_plan_starts_from_nothing),
        cmocka_unit_test(what_was_kept_counts_with_what_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
