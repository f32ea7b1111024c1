// The store as its users see it: what is put is found again, by whichever thread or
// process; claims; kills. Eviction and refusals are test_store_care.c's, damage
// test_store_damage.c's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_rig.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

// ---- values --------------------------------------------------------------------------
static void test_values_are_found_again(void **state) {
    struct fixture *f = *state;
    struct rig r, other;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct digest key2 = rig_record(&other, "shap_patches", "64");
    struct store *s = rig_open(path_of(f, "a/deep/folder"));
    store_use(s, &r.record);
    store_use(s, &other.record);
    assert_int_equal(rig_get(s, key, 0, 100, WIDTH), 0);
    rig_put(s, key, 0, 100, WIDTH, 2);
    rig_put(s, key2, 50, 100, WIDTH, 1);
    store_flush(s);
    assert_int_equal(rig_get(s, key, 0, 150, WIDTH), 100);
    assert_int_equal(rig_get(s, key2, 0, 150, WIDTH), 100);
    // Of another size than was stored: not this value.
    assert_int_equal(rig_get(s, key, 0, 100, WIDTH - 1), 0);
    assert_int_equal(store_counts(s).written, 200);
    store_close(s);
    s = rig_open(path_of(f, "a/deep/folder"));
    assert_int_equal(rig_get(s, key, 0, 150, WIDTH), 100);
    rig_expect_trouble(f, s, NULL);
    struct stat st;
    assert_int_equal(stat(path_of(f, "a/deep/folder"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    store_close(s);
}

static void test_replaced_values_count_once(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct store_record *records;
    struct digest key = rig_record(&r, "gradnorm", "1");
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, 10, 1, 5);
    rig_put(s, key, 5, 10, 1, 5);
    rig_put(s, key, 5, 10, 2, 10); // as if the op had changed its mind
    store_flush(s);
    assert_int_equal(rig_get(s, key, 0, 15, 1), 5);
    assert_int_equal(rig_get(s, key, 0, 15, 2), 10);
    assert_int_equal(store_records(s, "gradnorm", f->a, &records), 1);
    assert_int_equal(records->rows, 15);
    assert_int_equal(records->bytes, 5 * 4 + 10 * 8);
    assert_int_equal(records->computed, 30);
    assert_true(records->seconds == 20);
    store_close(s);
}

static void test_large_values_are_files(void **state) {
    struct fixture *f = *state;
    struct rig r;
    size_t width = STORE_LARGE / sizeof(float) + 1;
    struct digest key = rig_record(&r, "save", "1");
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, 5, width, 1);
    store_close(s);
    s = rig_open(path_of(f, "s"));
    assert_int_equal(rig_get(s, key, 0, 6, width), 5);
    struct store_stats stats;
    assert_true(store_stats(s, f->a, &stats));
    assert_int_equal(stats.blobs, 5);
    assert_int_equal(stats.blob_bytes, 5 * width * sizeof(float));
    assert_true(stats.database_bytes < 100000);
    store_close(s);
}

static void test_records_say_what_they_are(void **state) {
    struct fixture *f = *state;
    struct rig r, model;
    struct store_record *got;
    struct digest key = rig_record(&r, "shap_patches", "128");
    rig_record(&model, "model", "x");
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    store_use(s, &model.record);
    rig_put(s, key, 0, 4, WIDTH, 8);
    store_put(s, store_record_key(&model.record), NULL, 0, 0, NULL, 0); // words alone
    store_close(s);
    s = rig_open(path_of(f, "s"));
    assert_int_equal(store_records(s, NULL, f->a, &got), 2);
    assert_int_equal(store_records(s, "shap_patches", f->a, &got), 1);
    assert_true(digest_eq(got->key, key));
    assert_int_equal(got->nfields, 2);
    assert_string_equal(got->fields[0].name, "samples");
    assert_string_equal(got->fields[0].value, "128");
    assert_string_equal(got->fields[1].label, "a net");
    assert_string_equal(got->name, "phi");
    assert_int_equal(got->rows, 4);
    assert_int_equal(got->rank, 2);
    assert_true(got->flops == 1e6);
    assert_int_equal(got->created, s->today);
    store_close(s);
}

struct worker {
    struct store *s;
    struct digest key;
    size_t from, right;
};

static void *work(void *arg) {
    struct worker *w = arg;
    for (size_t i = w->from; i < w->from + 500; i += 10) {
        w->right += store_claim(w->s, w->key, rig_row(i));
        rig_put(w->s, w->key, i, 10, WIDTH, 1);
        rig_get(w->s, w->key, 0, 50, WIDTH);
        if (i % 100 == 0) store_flush(w->s);
    }
    return NULL;
}

static void test_threads_share_a_store(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct worker w[4];
    pthread_t threads[4];
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    for (size_t i = 0; i < COUNT(w); i++) {
        w[i] = (struct worker){s, key, 500 * i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &w[i]), 0);
    }
    for (size_t i = 0; i < COUNT(w); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(w[i].right, 50);
    }
    store_flush(s);
    assert_int_equal(rig_get(s, key, 0, 2000, WIDTH), 2000);
    store_close(s);
}

// ---- days of use ---------------------------------------------------------------------
static void read_all(const char *path, struct digest key, int64_t days_later) {
    struct rig r;
    rig_record(&r, "shap_patches", "128");
    struct store *s = rig_open(path);
    s->today += days_later;
    store_use(s, &r.record);
    assert_int_equal(rig_get(s, key, 0, 50, WIDTH), 50);
    store_close(s);
}

static void test_a_rerun_writes_nothing_on_the_same_day(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct store_record *got;
    struct digest key = rig_record(&r, "shap_patches", "128");
    const char *path = path_of(f, "s"), *file = path_of(f, "s/store-1.db");
    struct store *s = rig_open(path);
    store_use(s, &r.record);
    rig_put(s, key, 0, 50, WIDTH, 1);
    store_close(s);
    struct timespec before = rig_written_at(file), after;
    read_all(path, key, 0);
    after = rig_written_at(file);
    assert_memory_equal(&before, &after, sizeof before);
    read_all(path, key, 3);
    s = rig_open(path);
    assert_int_equal(store_records(s, NULL, f->a, &got), 1);
    assert_int_equal(got->used, s->today + 3);
    sqlite3_stmt *st;
    sqlite3_prepare_v2(s->read.h, "SELECT min(used) FROM value", -1, &st, NULL);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int64(st, 0), s->today + 3);
    sqlite3_finalize(st);
    store_close(s);
}

static void test_contents_of_files(void **state) {
    struct fixture *f = *state;
    struct digest stamps[100], contents[100], got[100];
    bool found[100];
    for (size_t i = 0; i < 100; i++) {
        stamps[i] = rig_row(i);
        contents[i] = rig_row(1000 + i);
    }
    struct store *s = rig_open(path_of(f, "s"));
    store_contents_put(s, stamps, 60, contents);
    store_close(s);
    s = rig_open(path_of(f, "s"));
    store_contents_get(s, stamps, 100, got, found);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(found[i], i < 60);
        if (found[i]) assert_true(digest_eq(got[i], contents[i]));
    }
    store_close(s);
}

// ---- other processes -----------------------------------------------------------------
static int claim_and_put(const char *path, int ready, int go) {
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct store *s = rig_open(path);
    store_use(s, &r.record);
    if (!store_claim(s, key, rig_row(0)) || !store_claim(s, key, rig_row(0))) return 1;
    rig_tell(ready);
    rig_hear(go);
    rig_put(s, key, 0, 1, WIDTH, 1);
    store_flush(s);
    rig_tell(ready);
    rig_hear(go);
    store_close(s);
    return 0;
}

static void test_a_claim_ends_when_the_value_is_there(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct rig_process o = rig_start(path_of(f, "s"), claim_and_put);
    rig_wait(&o);
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    assert_false(store_claim(s, key, rig_row(0)));
    assert_true(store_claim(s, key, rig_row(1)));
    assert_int_equal(store_counts(s).waited, 1);
    assert_int_equal(rig_get(s, key, 0, 1, WIDTH), 0);
    rig_tell(o.go);
    rig_wait(&o);
    assert_true(store_claim(s, key, rig_row(0)));
    assert_int_equal(rig_get(s, key, 0, 1, WIDTH), 1);
    store_close(s);
    assert_int_equal(rig_finish(&o), 0);
}

static void test_a_claim_ends_with_its_process(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct rig_process o = rig_start(path_of(f, "s"), claim_and_put);
    rig_wait(&o);
    struct store *s = rig_open(path_of(f, "s"));
    assert_false(store_claim(s, key, rig_row(0)));
    kill(o.pid, SIGKILL);
    rig_finish(&o);
    assert_true(store_claim(s, key, rig_row(0)));
    struct digest row = rig_row(0);
    store_release(s, key, &row, 1);
    rig_expect_trouble(f, s, NULL);
    store_close(s);
}

#define MANY ((size_t)3000)

static int put_many(const char *path, int ready, int go) {
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    rig_hear(go); // all begin at once, with making the store
    struct store *s = rig_open(path);
    store_use(s, &r.record);
    for (size_t i = 0; i < MANY; i += 20) rig_put(s, key, i, 20, WIDTH, 1);
    store_flush(s);
    bool all = rig_get(s, key, 0, MANY, WIDTH) == MANY && store_writes(s);
    store_close(s);
    (void)ready;
    return !all;
}

static void test_processes_write_at_once(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct rig_process o[3];
    struct digest key = rig_record(&r, "shap_patches", "128");
    for (size_t i = 0; i < COUNT(o); i++) o[i] = rig_start(path_of(f, "s"), put_many);
    for (size_t i = 0; i < COUNT(o); i++) rig_tell(o[i].go);
    for (size_t i = 0; i < COUNT(o); i++) assert_int_equal(rig_finish(&o[i]), 0);
    struct store *s = rig_open(path_of(f, "s"));
    struct store_record *got;
    assert_int_equal(rig_get(s, key, 0, MANY, WIDTH), MANY);
    assert_int_equal(store_records(s, NULL, f->a, &got), 1);
    assert_int_equal(got->rows, MANY);
    assert_int_equal(got->computed, COUNT(o) * MANY);
    struct store_check c = rig_verify(f, s);
    assert_int_equal(c.damaged, 0);
    rig_expect_trouble(f, s, NULL);
    store_close(s);
}

static int put_for_ever(const char *path, int ready, int go) {
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct store *s = rig_open(path);
    (void)go;
    store_use(s, &r.record);
    for (size_t i = 0; i < SIZE_MAX - 10; i += 10) {
        rig_put(s, key, i % MANY, 10, WIDTH, 1);
        rig_put(s, key, MANY + i % 40, 1, STORE_LARGE, 1);
        store_flush(s);
        rig_tell(ready);
    }
    return 1;
}

static void test_what_was_stored_survives_kills(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    for (size_t i = 0; i < 25; i++) {
        struct rig_process o = rig_start(path_of(f, "s"), put_for_ever);
        size_t puts = 1 + i % 7;
        for (size_t k = 0; k < puts; k++) rig_wait(&o);
        usleep((useconds_t)(i * 397 % 3000));
        kill(o.pid, SIGKILL);
        rig_finish(&o);
        struct store *s = rig_open(path_of(f, "s"));
        assert_true(rig_get(s, key, 0, MANY, WIDTH) >= 10 * puts);
        assert_int_equal(rig_verify(f, s).damaged, 0);
        rig_expect_trouble(f, s, NULL);
        store_close(s);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_values_are_found_again),
        TEST(test_replaced_values_count_once),
        TEST(test_large_values_are_files),
        TEST(test_records_say_what_they_are),
        TEST(test_threads_share_a_store),
        TEST(test_a_rerun_writes_nothing_on_the_same_day),
        TEST(test_contents_of_files),
        TEST(test_a_claim_ends_when_the_value_is_there),
        TEST(test_a_claim_ends_with_its_process),
        TEST(test_processes_write_at_once),
        TEST(test_what_was_stored_survives_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
