// One store, several processes: whatever they do to it and whenever they are killed, no
// value is ever wrong, nothing is called damaged, and no lock outlives its holder; and
// who asks before computing computes nothing twice.
#include "runtime/store/store.h"

#include "scratch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

// ---- what is computed ----------------------------------------------------------------
#define RECORDS ((size_t)3)
#define ROWS    ((size_t)300) // a multiple of half a batch
#define BATCH   ((size_t)24)
#define LARGEST ((size_t)40000)

// In a page, over several pages, as a file.
static const size_t BYTES[RECORDS] = {100, 6000, LARGEST};
static const char *const OPS[RECORDS] = {"gradnorm", "relabel", "shap_patches"};
static const struct store_field FIELDS[] = {{"model", "0123", "a net"}};

static struct store_record record_of(size_t r) {
    return (struct store_record){.op = OPS[r],
                                 .name = "x",
                                 .nfields = COUNT(FIELDS),
                                 .fields = FIELDS,
                                 .elem = "u8",
                                 .rank = 1,
                                 .dim = {BYTES[r]}};
}

static struct digest key_of(size_t r) {
    struct store_record record = record_of(r);
    return store_record_key(&record);
}

static struct digest row_of(size_t i) {
    uint64_t n = i;
    return digest_of(&n, sizeof n);
}

// No two values share a byte's place and all that follows.
static void value_of(size_t r, size_t i, char *out) {
    struct digest d = digest_join(key_of(r), row_of(i));
    for (size_t k = 0; k < BYTES[r]; k++)
        out[k] = (char)((d.lo >> k % 8 * 8) + k / 8 * (d.hi | 1));
}

// Uses `n` records from `first` on; what nobody uses may be evicted.
static struct store *open_store(const char *path, size_t first, size_t n) {
    char why[512] = "";
    struct store *s = store_open(&(struct store_options){.path = path}, why, sizeof why);
    if (!s) fprintf(stderr, "%s\n", why);
    for (size_t i = 0; s && i < n; i++) {
        struct store_record record = record_of((first + i) % RECORDS);
        store_use(s, &record);
    }
    return s;
}

// Rows of one record that a process works on.
struct batch {
    size_t record, n;
    size_t index[BATCH];
    struct digest rows[BATCH];
    bool found[BATCH];
    char values[BATCH * LARGEST];
};

static void look_up(struct store *s, struct batch *b) {
    for (size_t i = 0; i < b->n; i++) b->rows[i] = row_of(b->index[i]);
    store_get(s, key_of(b->record), b->rows, b->n, BYTES[b->record], b->values, b->found);
}

static bool found_are_right(const struct batch *b) {
    char want[LARGEST];
    size_t bytes = BYTES[b->record];
    for (size_t i = 0; i < b->n; i++) {
        value_of(b->record, b->index[i], want);
        if (b->found[i] && memcmp(want, b->values + i * bytes, bytes) != 0) return false;
    }
    return true;
}

// Leaves the rows that were not found and that are ours to compute now.
static void claim_missing(struct store *s, struct batch *b) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->found[i] || !store_claim(s, key_of(b->record), b->rows[i])) continue;
        b->index[n] = b->index[i];
        b->rows[n++] = b->rows[i];
    }
    b->n = n;
}

static void compute(struct store *s, struct batch *b) {
    size_t bytes = BYTES[b->record];
    for (size_t i = 0; i < b->n; i++)
        value_of(b->record, b->index[i], b->values + i * bytes);
    if (b->n) store_put(s, key_of(b->record), b->rows, b->n, bytes, b->values, 0.01);
}

// ---- chaos ---------------------------------------------------------------------------
enum verdict { // how a process ends that is not killed
    SAID = 20,
    WRONG_VALUE,
    WRONG_CONTENT,
    DAMAGE,
    NO_STORE,
    TROUBLE,
};

struct dice {
    uint64_t state;
};

static size_t roll(struct dice *d, size_t n) { // splitmix64
    uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (size_t)((z ^ z >> 31) % n);
}

_Noreturn static void end(enum verdict v, const char *words) {
    fprintf(stderr, "process %ld: %s\n", (long)getpid(), words ? words : "?");
    _exit((int)v);
}

static void work_on_values(struct store *s, struct dice *d, struct batch *b) {
    b->n = 1 + roll(d, BATCH);
    for (size_t i = 0; i < b->n; i++) b->index[i] = roll(d, ROWS);
    look_up(s, b);
    if (!found_are_right(b)) end(WRONG_VALUE, "a wrong value");
    claim_missing(s, b);
    if (roll(d, 8)) compute(s, b);
    else store_release(s, key_of(b->record), b->rows, b->n);
}

static struct digest content_of(struct digest stamp) {
    return digest_join(stamp, stamp);
}

static void work_on_contents(struct store *s, struct dice *d) {
    struct digest stamps[BATCH], contents[BATCH];
    bool found[BATCH];
    for (size_t i = 0; i < BATCH; i++) stamps[i] = row_of(roll(d, ROWS) + ROWS);
    store_contents_get(s, stamps, BATCH, contents, found);
    for (size_t i = 0; i < BATCH; i++) {
        struct digest want = content_of(stamps[i]);
        if (found[i] && !digest_eq(contents[i], want)) end(WRONG_CONTENT, "a content");
        contents[i] = want;
    }
    store_contents_put(s, stamps, BATCH, contents);
}

static void verify(struct store *s) {
    struct arena *a = arena_new();
    struct store_check c;
    if (!store_verify(s, a, &c)) end(DAMAGE, store_trouble(s, a));
    if (c.damaged) end(DAMAGE, c.nwords ? c.words[0] : "damaged");
    arena_free(a);
}

static void work_on_the_store(struct store *s, struct dice *d) {
    struct store_gc gc;
    struct arena *a = arena_new();
    struct store_stats stats;
    switch (roll(d, 4)) {
    case 0: store_gc(s, roll(d, 1 << 20), &gc); break;
    case 1: verify(s); break;
    case 2: store_stats(s, a, &stats); break;
    default: store_flush(s); break;
    }
    arena_free(a);
}

static void expect_no_trouble(struct store *s) {
    struct arena *a = arena_new();
    const char *trouble = store_trouble(s, a);
    if (trouble) end(TROUBLE, trouble);
    arena_free(a);
}

_Noreturn static void make_chaos(const char *path, uint64_t seed) {
    struct dice d = {seed};
    struct batch *b = malloc(sizeof *b);
    for (;;) {
        size_t first = roll(&d, RECORDS), n = 1 + roll(&d, RECORDS);
        struct store *s = open_store(path, first, n);
        if (!s) end(NO_STORE, "no store");
        for (size_t i = 5 + roll(&d, 60); i > 0; i--) {
            size_t what = roll(&d, 20);
            b->record = (first + roll(&d, n)) % RECORDS;
            if (what < 15) work_on_values(s, &d, b);
            else if (what < 18) work_on_contents(s, &d);
            else work_on_the_store(s, &d);
        }
        expect_no_trouble(s);
        store_close(s);
    }
}

static pid_t start_chaos(const char *path, uint64_t seed) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) make_chaos(path, seed);
    return child;
}

static void kill_one(pid_t child) {
    int status;
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("a process ended by itself: status %x", (unsigned)status);
}

// Every row of every record; how many are there. What is missing is computed if `fill`.
static size_t walk_all(struct store *s, struct batch *b, bool fill) {
    size_t there = 0;
    for (size_t r = 0; r < RECORDS; r++)
        for (size_t i = 0; i < ROWS; i += b->n) {
            b->record = r;
            b->n = size_min(BATCH, ROWS - i);
            for (size_t k = 0; k < b->n; k++) b->index[k] = i + k;
            look_up(s, b);
            assert_true(found_are_right(b));
            size_t n = b->n, missing = 0;
            for (size_t k = 0; k < n; k++) missing += !b->found[k];
            there += n - missing;
            if (fill) {
                claim_missing(s, b);
                assert_int_equal(b->n, missing); // whoever had claimed them is dead
                compute(s, b);
            }
            b->n = n;
        }
    return there;
}

static void assert_clean(struct fixture *f, struct store *s) {
    struct store_check c;
    assert_true(store_verify(s, f->a, &c));
    if (c.damaged) fail_msg("%s", c.nwords ? c.words[0] : "damaged");
    const char *trouble = store_trouble(s, f->a);
    if (trouble) fail_msg("%s", trouble);
}

static void assert_store_is_whole(struct fixture *f, const char *path) {
    struct batch *b = malloc(sizeof *b);
    for (int round = 0; round < 2; round++) {
        struct store *s = open_store(path, 0, RECORDS);
        assert_non_null(s);
        assert_clean(f, s);
        size_t there = walk_all(s, b, true);
        if (round) assert_int_equal(there, RECORDS * ROWS);
        store_flush(s);
        assert_clean(f, s);
        store_close(s);
    }
    free(b);
}

#define PROCESSES ((size_t)4)
#define SECONDS   6.0

static double seconds_of_chaos(void) {
    const char *text = getenv("DDG_CHAOS_SECONDS");
    return text ? strtod(text, NULL) : SECONDS;
}

// DDG_CHAOS_SECONDS=600 test_store_process for longer.
static void test_killed_processes_leave_a_whole_store(void **state) {
    struct fixture *f = *state;
    char *path = path_of(f, "store");
    struct dice d = {1};
    pid_t children[PROCESSES];
    uint64_t seed = 100;
    for (size_t i = 0; i < PROCESSES; i++) children[i] = start_chaos(path, seed++);
    for (double until = clock_seconds() + seconds_of_chaos(); clock_seconds() < until;) {
        struct timespec t = {.tv_nsec = (long)(1 + roll(&d, 150)) * 1000000};
        size_t i = roll(&d, PROCESSES);
        nanosleep(&t, NULL);
        kill_one(children[i]);
        children[i] = start_chaos(path, seed++);
    }
    for (size_t i = 0; i < PROCESSES; i++) kill_one(children[i]);
    assert_store_is_whole(f, path);
}

// All are killed at once, again and again, so that each time the database is opened by
// one that finds the log of the dead.
static void test_a_store_whose_users_all_died_is_whole(void **state) {
    struct fixture *f = *state;
    char *path = path_of(f, "store");
    struct dice d = {2};
    pid_t children[PROCESSES];
    double until = clock_seconds() + seconds_of_chaos();
    for (uint64_t seed = 5000; clock_seconds() < until; seed += PROCESSES) {
        for (size_t i = 0; i < PROCESSES; i++) children[i] = start_chaos(path, seed + i);
        struct timespec t = {.tv_nsec = (long)(20 + roll(&d, 400)) * 1000000};
        nanosleep(&t, NULL);
        for (size_t i = 0; i < PROCESSES; i++) kill(children[i], SIGKILL);
        for (size_t i = 0; i < PROCESSES; i++) kill_one(children[i]);
        struct store *s = open_store(path, 0, RECORDS);
        assert_non_null(s);
        assert_clean(f, s);
        store_close(s);
    }
    assert_store_is_whole(f, path);
}

// ---- sharing -------------------------------------------------------------------------
typedef _Atomic uint32_t counter;

// One pass over all rows: looks up, claims, looks up again what it could claim (another
// process may have written it in between), computes, and comes back for what others had
// claimed.
static size_t share_batch(struct store *s, struct batch *b, counter *computed) {
    look_up(s, b);
    if (!found_are_right(b)) end(WRONG_VALUE, "a wrong value");
    size_t missing = 0;
    for (size_t i = 0; i < b->n; i++) missing += !b->found[i];
    claim_missing(s, b);
    missing -= b->n;
    look_up(s, b);
    for (size_t i = 0; i < b->n; i++)
        if (b->found[i]) store_release(s, key_of(b->record), &b->rows[i], 1);
    claim_missing(s, b);
    for (size_t i = 0; i < b->n; i++)
        atomic_fetch_add(&computed[b->record * ROWS + b->index[i]], 1);
    compute(s, b);
    return missing;
}

_Noreturn static void share(const char *path, size_t shift, counter *computed) {
    struct batch *b = malloc(sizeof *b);
    struct store *s = open_store(path, 0, RECORDS);
    if (!s) end(NO_STORE, "no store");
    for (size_t waiting = 1; waiting;) {
        waiting = 0;
        for (size_t i = 0; i < RECORDS * ROWS; i += BATCH / 2) {
            b->record = i / ROWS;
            b->n = BATCH / 2;
            for (size_t k = 0; k < b->n; k++) b->index[k] = (i + k + shift) % ROWS;
            waiting += share_batch(s, b, computed);
        }
        store_flush(s); // our own claims are no news to us
    }
    expect_no_trouble(s);
    store_close(s);
    _exit(SAID);
}

static void test_nothing_is_computed_twice(void **state) {
    struct fixture *f = *state;
    char *path = path_of(f, "store");
    size_t n = RECORDS * ROWS * sizeof(counter);
    counter *computed =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(computed != MAP_FAILED);
    pid_t children[PROCESSES];
    for (size_t i = 0; i < PROCESSES; i++)
        if ((children[i] = fork()) == 0) share(path, i * 7, computed);
    for (size_t i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), SAID);
    }
    for (size_t i = 0; i < RECORDS * ROWS; i++) assert_int_equal(computed[i], 1);
    munmap((void *)computed, n);
    assert_store_is_whole(f, path);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_nothing_is_computed_twice),
        T(test_killed_processes_leave_a_whole_store),
        T(test_a_store_whose_users_all_died_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
