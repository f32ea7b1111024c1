// The store as its users see it: what is put is found again, by whichever process;
// claims; eviction; what cannot be used is refused in words. Damage is
// test_store_damage.c's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
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
static struct timespec written_at(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mtim;
}

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
    struct timespec before = written_at(file), after;
    read_all(path, key, 0);
    after = written_at(file);
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
// Runs fn in a process of its own; it must end with 0. `ready` says when it got
// somewhere.
struct other {
    pid_t pid;
    int ready, go; // ends of pipes
};

static struct other start(const char *path,
                          int (*fn)(const char *path, int ready, int go)) {
    int up[2], down[2];
    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(down), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(up[0]);
        close(down[1]);
        _exit(fn(path, up[1], down[0]));
    }
    close(up[1]);
    close(down[0]);
    return (struct other){pid, up[0], down[1]};
}

static void wait_for(const struct other *o) {
    char c;
    assert_int_equal(read(o->ready, &c, 1), 1);
}

static void tell(int to) {
    if (write(to, "x", 1) != 1) _exit(9);
}

static void hear(int from) {
    char c;
    if (read(from, &c, 1) < 0) _exit(9);
}

static int finish(struct other *o) {
    int status;
    close(o->go);
    close(o->ready);
    assert_int_equal(waitpid(o->pid, &status, 0), o->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int claim_and_put(const char *path, int ready, int go) {
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct store *s = rig_open(path);
    store_use(s, &r.record);
    if (!store_claim(s, key, rig_row(0)) || !store_claim(s, key, rig_row(0))) return 1;
    tell(ready);
    hear(go);
    rig_put(s, key, 0, 1, WIDTH, 1);
    store_flush(s);
    tell(ready);
    hear(go);
    store_close(s);
    return 0;
}

static void test_a_claim_ends_when_the_value_is_there(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct other o = start(path_of(f, "s"), claim_and_put);
    wait_for(&o);
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    assert_false(store_claim(s, key, rig_row(0)));
    assert_true(store_claim(s, key, rig_row(1)));
    assert_int_equal(store_counts(s).waited, 1);
    assert_int_equal(rig_get(s, key, 0, 1, WIDTH), 0);
    tell(o.go);
    wait_for(&o);
    assert_true(store_claim(s, key, rig_row(0)));
    assert_int_equal(rig_get(s, key, 0, 1, WIDTH), 1);
    store_close(s);
    assert_int_equal(finish(&o), 0);
}

static void test_a_claim_ends_with_its_process(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct other o = start(path_of(f, "s"), claim_and_put);
    wait_for(&o);
    struct store *s = rig_open(path_of(f, "s"));
    assert_false(store_claim(s, key, rig_row(0)));
    kill(o.pid, SIGKILL);
    finish(&o);
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
    hear(go); // all begin at once, with making the store
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
    struct other o[3];
    struct digest key = rig_record(&r, "shap_patches", "128");
    for (size_t i = 0; i < COUNT(o); i++) o[i] = start(path_of(f, "s"), put_many);
    for (size_t i = 0; i < COUNT(o); i++) tell(o[i].go);
    for (size_t i = 0; i < COUNT(o); i++) assert_int_equal(finish(&o[i]), 0);
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
        tell(ready);
    }
    return 1;
}

static void test_what_was_stored_survives_kills(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    for (size_t i = 0; i < 25; i++) {
        struct other o = start(path_of(f, "s"), put_for_ever);
        size_t puts = 1 + i % 7;
        for (size_t k = 0; k < puts; k++) wait_for(&o);
        usleep((useconds_t)(i * 397 % 3000));
        kill(o.pid, SIGKILL);
        finish(&o);
        struct store *s = rig_open(path_of(f, "s"));
        assert_true(rig_get(s, key, 0, MANY, WIDTH) >= 10 * puts);
        assert_int_equal(rig_verify(f, s).damaged, 0);
        rig_expect_trouble(f, s, NULL);
        store_close(s);
    }
}

// ---- eviction ------------------------------------------------------------------------
// Two records of 400 values of 1 KiB each: one cheap, one dear; and one dear but long
// unused.
enum { CHEAP, DEAR, OLD, KINDS };

static void fill_three(const char *path, struct rig *r, struct digest *keys) {
    static const char *const NAMES[KINDS] = {"cheap", "dear", "old"};
    for (int i = 0; i < KINDS; i++) {
        keys[i] = rig_record(&r[i], "relabel", NAMES[i]);
        struct store *s = rig_open(path);
        if (i == OLD) s->today -= 140;
        store_use(s, &r[i].record);
        rig_put(s, keys[i], 0, 400, 256, i == CHEAP ? 1 : 100);
        store_close(s);
    }
}

static void test_the_least_worth_goes_first(void **state) {
    struct fixture *f = *state;
    struct rig r[KINDS];
    struct digest keys[KINDS];
    struct store_gc gc;
    struct store_stats stats;
    fill_three(path_of(f, "s"), r, keys);
    struct store *s = rig_open(path_of(f, "s"));
    assert_true(store_stats(s, f->a, &stats));
    uint64_t third = stats.bytes / 3;
    // 100 s halved ten times is a tenth of the cheap one's second.
    assert_true(store_gc(s, stats.bytes - third / 2, &gc));
    assert_true(gc.bytes_after <= stats.bytes - third / 2);
    assert_true(gc.values > 100 && gc.values < 300);
    assert_true(store_gc(s, third + third / 2, &gc));
    assert_int_equal(rig_get(s, keys[OLD], 0, 400, 256), 0);
    size_t cheap = rig_get(s, keys[CHEAP], 0, 400, 256);
    assert_true(cheap > 50 && cheap < 300);
    assert_int_equal(rig_get(s, keys[DEAR], 0, 400, 256), 400);
    struct store_record *got;
    assert_int_equal(store_records(s, NULL, f->a, &got), KINDS); // still there to explain
    for (size_t i = 0; i < KINDS; i++)
        if (digest_eq(got[i].key, keys[CHEAP])) assert_int_equal(got[i].rows, cheap);
    assert_int_equal(rig_verify(f, s).damaged, 0);
    store_close(s);
}

static int use_dear(const char *path, int ready, int go) {
    struct rig r;
    rig_record(&r, "relabel", "dear");
    struct store *s = rig_open(path);
    store_use(s, &r.record);
    tell(ready);
    hear(go);
    store_close(s);
    return 0;
}

static void test_what_is_used_stays(void **state) {
    struct fixture *f = *state;
    struct rig r[KINDS];
    struct digest keys[KINDS];
    struct store_gc gc;
    fill_three(path_of(f, "s"), r, keys);
    struct other o = start(path_of(f, "s"), use_dear);
    wait_for(&o);
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r[OLD].record);
    assert_true(store_gc(s, 0, &gc));
    assert_int_equal(gc.values, 400);
    assert_int_equal(rig_get(s, keys[CHEAP], 0, 400, 256), 0);
    assert_int_equal(rig_get(s, keys[DEAR], 0, 400, 256), 400);
    assert_int_equal(rig_get(s, keys[OLD], 0, 400, 256), 400);
    tell(o.go);
    assert_int_equal(finish(&o), 0);
    assert_true(store_gc(s, 0, &gc));
    assert_int_equal(gc.values, 400);
    assert_int_equal(rig_get(s, keys[DEAR], 0, 400, 256), 0);
    store_close(s);
}

static void test_closing_keeps_to_the_cap(void **state) {
    struct fixture *f = *state;
    struct rig r[KINDS];
    struct digest keys[KINDS], key;
    struct store_stats stats;
    struct rig mine;
    char why[256];
    fill_three(path_of(f, "s"), r, keys);
    struct store_options options = {.path = path_of(f, "s"), .max_bytes = 600000};
    struct store *s = store_open(&options, why, sizeof why);
    key = rig_record(&mine, "gradnorm", "1");
    store_use(s, &mine.record);
    rig_put(s, key, 0, 1, 1, 1);
    store_close(s);
    s = rig_open(path_of(f, "s"));
    assert_true(store_stats(s, f->a, &stats));
    assert_true(stats.bytes <= 600000 && stats.bytes > 400000);
    assert_int_equal(rig_get(s, keys[OLD], 0, 400, 256), 0);
    assert_int_equal(rig_get(s, key, 0, 1, 1), 1);
    store_close(s);
}

static void test_blobs_go_with_their_values(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "save", "1"), left;
    struct store_gc gc;
    struct store_stats stats;
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, 3, STORE_LARGE, 1);
    store_close(s);
    s = rig_open(path_of(f, "s"));
    // As a process that was killed leaves one, and a database that it was making.
    assert_true(blob_write(s->folder, "left", 4, &left));
    int fd = open(path_of(f, "s/.store-7-abcdef"), O_CREAT | O_WRONLY, 0600);
    struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    assert_int_equal(futimens(fd, old), 0);
    close(fd);
    assert_int_equal(rig_verify(f, s).leftovers, 1);
    assert_true(store_gc(s, STORE_MAX_BYTES, &gc));
    assert_int_equal(gc.files, 2);
    assert_int_equal(gc.values, 0);
    assert_int_equal(rig_get(s, key, 0, 3, STORE_LARGE), 3);
    assert_true(store_gc(s, 100000, &gc));
    assert_true(store_stats(s, f->a, &stats));
    assert_int_equal(stats.blobs, 3 - gc.values);
    assert_true(gc.values == 3 || gc.values == 2);
    store_close(s);
}

static void test_clearing(void **state) {
    struct fixture *f = *state;
    struct rig r;
    char why[256];
    struct store_stats stats;
    struct digest key = rig_record(&r, "save", "1");
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, 3, STORE_LARGE, 1);
    rig_put(s, key, 3, 500, WIDTH, 1);
    assert_true(store_clear(s, why, sizeof why));
    assert_int_equal(rig_get(s, key, 0, 3, STORE_LARGE), 0);
    assert_true(store_stats(s, f->a, &stats));
    assert_int_equal(stats.records + stats.values + stats.blobs, 0);
    assert_true(stats.bytes < 50000);
    rig_put(s, key, 0, 3, WIDTH, 1); // and it goes on
    store_flush(s);
    assert_int_equal(rig_get(s, key, 0, 3, WIDTH), 3);
    store_close(s);
}

// ---- where nothing can be written ----------------------------------------------------
static void test_a_store_in_memory(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct store *s = rig_open(NULL);
    store_use(s, &r.record);
    assert_true(store_claim(s, key, rig_row(0)));
    rig_put(s, key, 0, 10, WIDTH, 1);
    rig_put(s, key, 10, 2, STORE_LARGE, 1);
    assert_int_equal(rig_get(s, key, 0, 10, WIDTH), 10);
    assert_int_equal(rig_get(s, key, 10, 2, STORE_LARGE), 2);
    assert_int_equal(rig_verify(f, s).values, 12);
    rig_expect_trouble(f, s, NULL);
    store_close(s);
}

static void test_no_store_at_all(void **state) {
    struct rig r;
    (void)state;
    struct digest key = rig_record(&r, "shap_patches", "128");
    store_use(NULL, &r.record);
    assert_true(store_claim(NULL, key, key));
    rig_put(NULL, key, 0, 1, WIDTH, 1);
    assert_int_equal(rig_get(NULL, key, 0, 1, WIDTH), 0);
    store_flush(NULL);
    assert_false(store_writes(NULL));
    store_close(NULL);
}

static void remove_tree(const char *path) {
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void test_a_folder_that_goes_away(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    for (size_t width = WIDTH; width <= STORE_LARGE; width += STORE_LARGE - WIDTH) {
        struct store *s = rig_open(path_of(f, "s"));
        store_use(s, &r.record);
        rig_put(s, key, 0, 10, WIDTH, 1);
        store_flush(s);
        remove_tree(path_of(f, "s"));
        rig_put(s, key, 10, 10, width, 1);
        store_flush(s);
        assert_false(store_writes(s));
        assert_int_equal(store_counts(s).written, 10);
        rig_expect_trouble(f, s, "moved or removed");
        assert_true(store_claim(s, key, rig_row(3)));
        rig_put(s, key, 20, 10, WIDTH, 1);
        rig_get(s, key, 0, 30, WIDTH);
        store_close(s);
        assert_int_equal(access(path_of(f, "s"), F_OK), -1);
    }
}

// A file may not grow: what a full disk does to a file, without filling one.
static int fill_up(const char *path, int ready, int go) {
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct rlimit limit = {300000, 300000};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    struct store *s = rig_open(path);
    (void)ready, (void)go;
    store_use(s, &r.record);
    for (size_t i = 0; i < MANY; i += 100) {
        store_claim(s, key, rig_row(i));
        rig_put(s, key, i, 100, WIDTH, 1);
    }
    store_flush(s);
    struct arena *a = arena_new();
    const char *said = store_trouble(s, a);
    bool right = !store_writes(s) && said && strstr(said, "results are not stored");
    uint64_t written = store_counts(s).written;
    right = right && rig_get(s, key, 0, MANY, WIDTH) == written;
    store_close(s);
    arena_free(a);
    return right ? 0 : 1;
}

static void test_a_disk_that_is_full(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct other o = start(path_of(f, "s"), fill_up);
    assert_int_equal(finish(&o), 0);
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, MANY, WIDTH, 1);
    store_flush(s);
    assert_int_equal(rig_get(s, key, 0, MANY, WIDTH), MANY);
    assert_int_equal(rig_verify(f, s).damaged, 0);
    store_close(s);
}

static int read_only(const char *path, int ready, int go) {
    struct rig r;
    char why[512];
    struct digest key = rig_record(&r, "shap_patches", "128");
    if (geteuid() == 0 && setuid(65534) != 0) return 2;
    struct store *s = store_open(&(struct store_options){.path = path}, why, sizeof why);
    (void)ready, (void)go;
    if (!s) return 3;
    store_use(s, &r.record);
    rig_put(s, key, 10, 10, WIDTH, 1);
    store_flush(s);
    struct arena *a = arena_new();
    const char *said = store_trouble(s, a);
    int rc = store_writes(s)                          ? 4
             : rig_get(s, key, 0, 20, WIDTH) != 10    ? 5
             : !said || !strstr(said, "only be read") ? 6
             : !store_claim(s, key, rig_row(12))      ? 7
                                                      : 0;
    store_close(s);
    arena_free(a);
    return rc;
}

static int forbidden(const char *path, int ready, int go) {
    char why[512];
    (void)ready, (void)go;
    if (geteuid() == 0 && setuid(65534) != 0) return 2;
    if (store_open(&(struct store_options){.path = path}, why, sizeof why)) return 3;
    return strstr(why, "ermission denied") ? 0 : 4;
}

static void test_a_store_that_can_only_be_read(void **state) {
    struct fixture *f = *state;
    struct rig r;
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, 10, WIDTH, 1);
    store_close(s);
    assert_int_equal(chmod(f->root, 0755), 0);
    assert_int_equal(chmod(path_of(f, "s/store-1.db"), 0444), 0);
    assert_int_equal(chmod(path_of(f, "s"), 0555), 0);
    struct other o = start(path_of(f, "s"), read_only);
    assert_int_equal(finish(&o), 0);
    assert_int_equal(chmod(path_of(f, "s"), 0), 0);
    o = start(path_of(f, "s"), forbidden);
    assert_int_equal(finish(&o), 0);
    assert_int_equal(chmod(path_of(f, "s"), 0700), 0);
}

// ---- what is refused -----------------------------------------------------------------
static void expect_refused(struct fixture *f, const struct store_options *o,
                           const char *words) {
    char why[512] = "";
    (void)f;
    struct store *s = store_open(o, why, sizeof why);
    if (s) fail_msg("opened, but \"%s\" was expected", words);
    if (!strstr(why, words)) fail_msg("\"%s\" does not say \"%s\"", why, words);
}

static void write_text(const char *path, const char *text) {
    FILE *out = fopen(path, "wb");
    fputs(text, out);
    fclose(out);
}

static void test_what_is_no_store(void **state) {
    struct fixture *f = *state;
    char *long_path = arena_alloc(f->a, 5000, 1);
    memset(long_path, 'x', 4999);
    write_text(path_of(f, "file"), "text");
    mkdir(path_of(f, "things"), 0700);
    write_text(path_of(f, "things/notes.txt"), "text");
    expect_refused(f, &(struct store_options){.path = path_of(f, "file")},
                   "it is a file");
    expect_refused(f, &(struct store_options){.path = path_of(f, "file/x")}, "below one");
    expect_refused(f, &(struct store_options){.path = path_of(f, "things")}, "notes.txt");
    expect_refused(f, &(struct store_options){.path = ""}, "empty");
    expect_refused(f, &(struct store_options){.path = long_path}, "too long");
    struct store_options look = {.path = path_of(f, "none"), .look = true};
    expect_refused(f, &look, "there is no store");
    assert_int_equal(access(path_of(f, "none"), F_OK), -1);
    mkdir(path_of(f, "link"), 0700);
    assert_int_equal(symlink("/etc/passwd", path_of(f, "link/store-1.db")), 0);
    expect_refused(f, &(struct store_options){.path = path_of(f, "link")},
                   "no regular file");
    mkdir(path_of(f, "end"), 0700);
    write_text(path_of(f, "end/store-999999999.db"), "x");
    expect_refused(f, &(struct store_options){.path = path_of(f, "end")}, "run out");
}

static void set_in_header(const char *path, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_another_version(void **state) {
    struct fixture *f = *state;
    char why[512];
    struct store_options o = {.path = path_of(f, "s")};
    store_close(rig_open(o.path));
    // By a program that knows nothing of the checksums: an old one would not, either.
    set_in_header(path_of(f, "s/store-1.db"), "PRAGMA user_version = 2");
    expect_refused(f, &o, "made by another version of ddg (store 2, this ddg knows 1)");
    expect_refused(f, &o, "`ddg store clear`");
    o.clear = true;
    struct store *s = store_open(&o, why, sizeof why);
    assert_non_null(s);
    assert_true(store_clear(s, why, sizeof why));
    store_close(s);
    s = rig_open(o.path);
    rig_expect_trouble(f, s, NULL);
    store_close(s);
    mkdir(path_of(f, "other"), 0700);
    set_in_header(path_of(f, "other/store-1.db"),
                  "PRAGMA application_id = 1234567; CREATE TABLE t(x)");
    o = (struct store_options){.path = path_of(f, "other")};
    expect_refused(f, &o, "belongs to another program");
}

static void test_looking_changes_nothing(void **state) {
    struct fixture *f = *state;
    struct rig r;
    char why[512];
    struct digest key = rig_record(&r, "shap_patches", "128");
    struct store *s = rig_open(path_of(f, "s"));
    store_use(s, &r.record);
    rig_put(s, key, 0, 10, WIDTH, 1);
    store_close(s);
    struct timespec before = written_at(path_of(f, "s/store-1.db")), after;
    struct store_options look = {.path = path_of(f, "s"), .look = true};
    s = store_open(&look, why, sizeof why);
    assert_non_null(s);
    store_use(s, &r.record);
    assert_int_equal(rig_get(s, key, 0, 20, WIDTH), 10);
    rig_put(s, key, 10, 10, WIDTH, 1);
    assert_int_equal(rig_verify(f, s).values, 10);
    struct store_gc gc;
    assert_false(store_gc(s, 0, &gc));
    assert_false(store_clear(s, why, sizeof why));
    rig_expect_trouble(f, s, NULL);
    store_close(s);
    after = written_at(path_of(f, "s/store-1.db"));
    assert_memory_equal(&before, &after, sizeof before);
}

// ---- where it is, how large it may be ------------------------------------------------
static void test_the_default_place(void **state) {
    struct fixture *f = *state;
    setenv("HOME", "/home/x", 1);
    unsetenv("DDG_STORE");
    setenv("XDG_CACHE_HOME", "relative", 1);
    assert_string_equal(store_default_path(f->a), "/home/x/.cache/ddg");
    setenv("XDG_CACHE_HOME", "/cache", 1);
    assert_string_equal(store_default_path(f->a), "/cache/ddg");
    setenv("DDG_STORE", "here", 1);
    assert_string_equal(store_default_path(f->a), "here");
    unsetenv("DDG_STORE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_null(store_default_path(f->a));
}

static void test_the_size_of_the_environment(void **state) {
    static const struct {
        const char *text;
        uint64_t bytes; // 0: no size
    } CASES[] = {{"500M", UINT64_C(500) << 20},
                 {"20G", UINT64_C(20) << 30},
                 {"20GiB", UINT64_C(20) << 30},
                 {"2tb", UINT64_C(2) << 40},
                 {"123", 123},
                 {"1K", 1024},
                 {"abc", 0},
                 {"-5G", 0},
                 {"5X", 0},
                 {"99999999999999999999", 0},
                 {"99999999999T", 0},
                 {"0", 0},
                 {"1Gx", 0}};
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(CASES); i++) {
        struct store_stats stats;
        setenv("DDG_STORE_SIZE", CASES[i].text, 1);
        struct store *s = rig_open(NULL);
        assert_true(store_stats(s, f->a, &stats));
        assert_int_equal(stats.max_bytes,
                         CASES[i].bytes ? CASES[i].bytes : STORE_MAX_BYTES);
        rig_expect_trouble(f, s, CASES[i].bytes ? NULL : "a size like 500M");
        store_close(s);
    }
    unsetenv("DDG_STORE_SIZE");
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
        TEST(test_the_least_worth_goes_first),
        TEST(test_what_is_used_stays),
        TEST(test_closing_keeps_to_the_cap),
        TEST(test_blobs_go_with_their_values),
        TEST(test_clearing),
        TEST(test_a_store_in_memory),
        TEST(test_no_store_at_all),
        TEST(test_a_folder_that_goes_away),
        TEST(test_a_disk_that_is_full),
        TEST(test_a_store_that_can_only_be_read),
        TEST(test_what_is_no_store),
        TEST(test_another_version),
        TEST(test_looking_changes_nothing),
        TEST(test_the_default_place),
        TEST(test_the_size_of_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
