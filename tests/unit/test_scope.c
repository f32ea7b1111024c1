// Scopes and the memory they give: what is given up lets go of what it holds, and where
// that is heard of.
#include "runtime/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

// ---- an allocator that counts, and fails from the n-th call on -----------------------
struct meter {
    struct memory memory;
    atomic_long live, calls;
    long fail; // 0: never
};

static void *meter_resize(void *ctx, void *p, size_t n) {
    struct meter *m = ctx;
    if (!n) {
        if (p) atomic_fetch_sub(&m->live, 1);
        free(p);
        return NULL;
    }
    if (atomic_fetch_add(&m->calls, 1) + 1 == m->fail) return NULL;
    void *q = realloc(p, n);
    if (q && !p) atomic_fetch_add(&m->live, 1);
    return q;
}

static void meter_init(struct meter *m) {
    *m = (struct meter){.memory = {meter_resize, m}};
}

// ---- memory --------------------------------------------------------------------------
static void blocks_know_where_they_came_from(void **state) {
    (void)state;
    struct meter a, b;
    meter_init(&a);
    meter_init(&b);
    struct scope sa = {.memory = &a.memory}, sb = {.memory = &b.memory};
    scope_enter(&sa);
    char *p = mem_alloc(3), *q = mem_aligned(100), *r = mem_zalloc(7, 3);
    scope_leave(&sa);
    scope_enter(&sb);
    for (size_t i = 0; i < 21; i++) assert_int_equal(r[i], 0);
    assert_int_equal((uintptr_t)p % 16, 0);
    assert_int_equal((uintptr_t)q % 64, 0);
    memcpy(p, "ab", 3);
    p = mem_resize(p, 1000); // still a's
    assert_string_equal(p, "ab");
    assert_int_equal(atomic_load(&a.live), 3);
    mem_free(p);
    mem_free(q);
    mem_free(r);
    scope_leave(&sb);
    assert_int_equal(atomic_load(&a.live), 0);
    assert_int_equal(atomic_load(&b.calls), 0);
}

static void sizes_that_are_none_are_refused(void **state) {
    (void)state;
    assert_null(mem_alloc(SIZE_MAX));
    assert_null(mem_alloc(SIZE_MAX - 15));
    assert_null(mem_aligned(SIZE_MAX - 64));
    assert_null(mem_array(SIZE_MAX / 2, 3));
    assert_null(mem_zalloc(SIZE_MAX, SIZE_MAX));
    char *p = mem_alloc(0);
    assert_non_null(p);
    assert_null(mem_resize(p, SIZE_MAX - 3));
    mem_free(p);
}

// ---- giving up -----------------------------------------------------------------------
struct work {
    struct arena *arena;
    char order[8]; // of the cleanups
    const struct memory *memory;
};

static void note(struct work *w, char c) {
    size_t n = strlen(w->order);
    if (n + 1 < sizeof w->order) w->order[n] = c;
}
static void note_a(void *w) {
    note(w, 'a');
}
static void note_b(void *w) {
    note(w, 'b');
}

static void fill_memory(void *ctx) {
    struct work *w = ctx;
    struct cleanup a, b, c;
    char *block = mem_alloc(10);
    cleanup_push(&a, note_a, w);
    cleanup_push(&c, mem_free_at, &block);
    cleanup_push(&b, note_b, w);
    w->arena = arena_must();
    for (;;) arena_alloc(w->arena, 1, 1000);
}

static void memory_that_runs_out_is_heard_of(void **state) {
    (void)state;
    for (long n = 2; n < 12; n++) {
        struct meter m;
        struct work w = {0};
        meter_init(&m);
        m.fail = n;
        struct scope s = {.memory = &m.memory};
        assert_int_equal(scope_run(&s, fill_memory, &w), SCOPE_NO_MEMORY);
        assert_string_equal(w.order, "ba");
        arena_free(w.arena);
        assert_int_equal(atomic_load(&m.live), 0);
        assert_null(scope_same().memory);
    }
}

static void check_fails(void *ctx) {
    struct work *w = ctx;
    struct cleanup a;
    cleanup_push(&a, note_a, w);
    CHECK(w == NULL);
}

static void a_scope_between(void *ctx) {
    struct scope s = scope_same(), inner = {0};
    struct cleanup b;
    cleanup_push(&b, note_b, ctx);
    if (scope_run(&s, check_fails, ctx) != SCOPE_BUG) return;
    scope_enter(&inner); // recovers nothing, and catches nothing by itself
    inner.catches = true;
    scope_raise(&s);
}

static void failed_checks_go_through_scopes_with_their_words(void **state) {
    (void)state;
    struct work w = {0};
    struct scope s = {.catches = true};
    assert_int_equal(scope_run(&s, a_scope_between, &w), SCOPE_BUG);
    assert_string_equal(w.order, "ab");
    assert_non_null(strstr(s.words, "test_scope.c:"));
    assert_non_null(strstr(s.words, "check failed: w == NULL"));
}

static void use_up(void *ctx) {
    struct work *w = ctx;
    struct cleanup a, b;
    cleanup_push(&a, note_a, w);
    cleanup_push(&b, note_b, w);
    cleanup_run(&b);
    cleanup_pop(&a);
}

static void what_is_done_is_not_cleaned_up_again(void **state) {
    (void)state;
    struct work w = {0};
    struct scope s = {.catches = true};
    assert_int_equal(scope_run(&s, use_up, &w), SCOPE_DONE);
    assert_string_equal(w.order, "b");
}

// ---- threads -------------------------------------------------------------------------
struct crew {
    atomic_int here;
    atomic_bool other_memory;
    const struct memory *memory;
    size_t ends; // the worker that ends with a bug
};

static void work(void *ctx, size_t worker) {
    struct crew *c = ctx;
    atomic_fetch_add(&c->here, 1);
    if (scope_same().memory != c->memory) atomic_store(&c->other_memory, true);
    if (worker == c->ends) BUG("worker %zu", worker);
}

static void run_crew(void *ctx) {
    pool_run(4, work, ctx);
}

static void bugs_of_workers_are_their_callers(void **state) {
    (void)state;
    for (size_t ends = 0; ends < 4; ends++) {
        struct meter m;
        meter_init(&m);
        struct crew c = {.memory = &m.memory, .ends = ends};
        struct scope s = {.memory = &m.memory, .catches = true};
        assert_int_equal(scope_run(&s, run_crew, &c), SCOPE_BUG);
        char words[32];
        snprintf(words, sizeof words, "worker %zu", ends);
        assert_non_null(strstr(s.words, words));
        assert_int_equal(atomic_load(&c.here), 4);
        assert_false(atomic_load(&c.other_memory));
        assert_int_equal(atomic_load(&m.live), 0);
    }
}

static bool cannot_begin(void *ctx, size_t workers) {
    (void)ctx;
    BUG("%zu workers", workers);
}

static void run_together(void *ctx) {
    pool_together(4, cannot_begin, work, ctx);
}

// Those that wait for the beginning are sent home, and the caller hears of it.
static void a_beginning_that_fails_holds_nobody(void **state) {
    (void)state;
    struct meter m;
    meter_init(&m);
    struct crew c = {.memory = &m.memory, .ends = 4};
    struct scope s = {.memory = &m.memory, .catches = true};
    alarm(60);
    assert_int_equal(scope_run(&s, run_together, &c), SCOPE_BUG);
    alarm(0);
    assert_non_null(strstr(s.words, "4 workers"));
    assert_int_equal(atomic_load(&c.here), 0);
    assert_int_equal(atomic_load(&m.live), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_know_where_they_came_from),
        cmocka_unit_test(sizes_that_are_none_are_refused),
        cmocka_unit_test(memory_that_runs_out_is_heard_of),
        cmocka_unit_test(failed_checks_go_through_scopes_with_their_words),
        cmocka_unit_test(what_is_done_is_not_cleaned_up_again),
        cmocka_unit_test(bugs_of_workers_are_their_callers),
        cmocka_unit_test(a_beginning_that_fails_holds_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
