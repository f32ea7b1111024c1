// What the tests of the store share: records and values that are known beforehand, so
// that a wrong value is seen wherever it turns up.
#ifndef TEST_STORE_RIG_H
#define TEST_STORE_RIG_H

#include "runtime/store/store_impl.h"
#include "scratch.h"

#include <sys/wait.h>
#include <unistd.h>

#define WIDTH ((size_t)16) // floats of a value

struct rig {
    struct store_field fields[2];
    struct store_record record;
};

// A record of an op, told apart from others by `samples`.
static inline struct digest rig_record(struct rig *r, const char *op,
                                       const char *samples) {
    *r = (struct rig){.fields = {{.name = "samples", .value = samples},
                                 {.name = "model", .value = "0123", .label = "a net"}}};
    r->record = (struct store_record){.op = op,
                                      .name = "phi",
                                      .nfields = 2,
                                      .fields = r->fields,
                                      .elem = "f32",
                                      .rank = 2,
                                      .dim = {4, 4},
                                      .flops = 1e6};
    return store_record_key(&r->record);
}

static inline struct digest rig_row(size_t i) {
    uint64_t seed[2] = {i, 77};
    return digest_of(seed, sizeof seed);
}

// Value i of a record: width floats that no other row or record has.
static inline void rig_value(struct digest record, size_t i, size_t width, float *out) {
    for (size_t k = 0; k < width; k++)
        out[k] = (float)(record.lo % 1009) + (float)i + (float)k / 64;
}

static inline struct store *rig_open(const char *path) {
    char why[512] = "";
    struct store *s = store_open(&(struct store_options){.path = path}, why, sizeof why);
    if (!s) fail_msg("%s", why);
    return s;
}

// Puts rows [from, from + n), each of `width` floats.
static inline void rig_put(struct store *s, struct digest record, size_t from, size_t n,
                           size_t width, double seconds) {
    struct digest *rows = malloc(n * sizeof *rows);
    float *values = malloc(n * width * sizeof *values);
    for (size_t i = 0; i < n; i++) {
        rows[i] = rig_row(from + i);
        rig_value(record, from + i, width, values + i * width);
    }
    store_put(s, record, rows, n, width * sizeof *values, (char *)values, seconds);
    free(rows);
    free(values);
}

// How many of rows [from, from + n) are found. What is found is right, what is not is
// let be.
static inline size_t rig_get(struct store *s, struct digest record, size_t from, size_t n,
                             size_t width) {
    struct digest *rows = malloc(n * sizeof *rows);
    float *values = calloc(n * width, sizeof *values),
          *want = malloc(width * sizeof *want);
    bool *found = malloc(n);
    size_t nfound = 0;
    for (size_t i = 0; i < n; i++) rows[i] = rig_row(from + i);
    size_t said =
        store_get(s, record, rows, n, width * sizeof *values, (char *)values, found);
    for (size_t i = 0; i < n; i++) {
        if (found[i]) rig_value(record, from + i, width, want);
        else memset(want, 0, width * sizeof *want);
        assert_memory_equal(values + i * width, want, width * sizeof *want);
        nfound += found[i];
    }
    assert_int_equal(said, nfound);
    free(rows);
    free(values);
    free(want);
    free(found);
    return nfound;
}

static inline void rig_expect_trouble(struct fixture *f, struct store *s,
                                      const char *words) {
    const char *said = store_trouble(s, f->a);
    if (!words && said) fail_msg("unexpected: %s", said);
    if (words && (!said || !strstr(said, words)))
        fail_msg("\"%s\" does not say \"%s\"", said ? said : "", words);
}

static inline struct store_check rig_verify(struct fixture *f, struct store *s) {
    struct store_check c;
    assert_true(store_verify(s, f->a, &c));
    return c;
}

// ---- other processes -----------------------------------------------------------------
// Runs fn in a process of its own; it must end with 0. `ready` says when it got
// somewhere.
struct rig_process {
    pid_t pid;
    int ready, go; // ends of pipes
};

static inline struct rig_process
rig_start(const char *path, int (*fn)(const char *path, int ready, int go)) {
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
    return (struct rig_process){pid, up[0], down[1]};
}

static inline void rig_wait(const struct rig_process *o) {
    char c;
    assert_int_equal(read(o->ready, &c, 1), 1);
}

static inline void rig_tell(int to) {
    if (write(to, "x", 1) != 1) _exit(9);
}

static inline void rig_hear(int from) {
    char c;
    if (read(from, &c, 1) < 0) _exit(9);
}

static inline int rig_finish(struct rig_process *o) {
    int status;
    close(o->go);
    close(o->ready);
    assert_int_equal(waitpid(o->pid, &status, 0), o->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// ---- files ---------------------------------------------------------------------------
static inline struct timespec rig_written_at(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mtim;
}

#endif
