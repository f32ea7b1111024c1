// Trainings (runtime/train.h), with kernels made by hand: a softmax regression, SGD with
// momentum, a teacher that is asked. What is learnt is that of a plain loop, to the bit,
// for any number of workers, from the store or not, stopped and gone on with or not.
#include "runtime/random.h"
#include "runtime/train_impl.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "meter.h"

#define SIDE    4
#define IMAGE   (3 * SIDE * SIDE)
#define CLASSES 4
#define ROWS    23 // no whole number of batches
#define BATCH   8
#define WEIGHTS (CLASSES * IMAGE)
#define BIAS_AT 192 // behind the weights, which are three blocks
#define PARAMS  256
#define STATS   64

_Static_assert(WEIGHTS == BIAS_AT, "the weights fill their blocks");

// ---- kernels -------------------------------------------------------------------------
// Counted, so that a test can see what is computed, and do something in the middle of it.
static struct {
    atomic_size_t steps;
    size_t at;             // the step at which
    void (*then)(void);    // this is called
    size_t nan_at, inf_at; // or the loss, or parameters, are no numbers; 0: at none
    atomic_bool stop;
    struct store *store;
} seen;

static void seen_reset(size_t at, void (*then)(void)) {
    atomic_store(&seen.steps, 0);
    atomic_store(&seen.stop, false);
    seen.nan_at = seen.inf_at = 0;
    seen.at = at;
    seen.then = then;
}

static void softmax(float *v) {
    float most = v[0], sum = 0;
    for (size_t k = 1; k < CLASSES; k++) most = fmaxf(most, v[k]);
    for (size_t k = 0; k < CLASSES; k++) sum += v[k] = expf(v[k] - most);
    for (size_t k = 0; k < CLASSES; k++) v[k] /= sum;
}

// Rows of d = (softmax(W x + b) - t) / n, and of the loss.
static void errors(char *const *b, size_t n) {
    float *d = (float *)b[0], *loss = (float *)b[1];
    const float *x = (float *)b[2], *t = (float *)b[3], *inverse = (float *)b[4];
    const float *w = (float *)b[5], *bias = (float *)b[6];
    for (size_t r = 0; r < n; r++, d += CLASSES, x += IMAGE, t += CLASSES) {
        for (size_t k = 0; k < CLASSES; k++) {
            d[k] = bias[k];
            for (size_t i = 0; i < IMAGE; i++) d[k] += w[k * IMAGE + i] * x[i];
        }
        softmax(d);
        loss[r] = 0;
        for (size_t k = 0; k < CLASSES; k++) {
            if (t[k] > 0) loss[r] -= t[k] * logf(d[k]);
            d[k] = (d[k] - t[k]) * *inverse;
        }
    }
}

static void mean_loss(char *const *b, size_t n) {
    float *out = (float *)b[0], sum = 0;
    const float *loss = (float *)b[1], *inverse = (float *)b[2];
    for (size_t r = 0; r < n; r++) sum += loss[r];
    *out = sum * *inverse;
    size_t step = atomic_fetch_add(&seen.steps, 1) + 1;
    if (step == seen.at) seen.then();
    if (step == seen.nan_at) *out = NAN;
}

static void weight_gradient(char *const *b, size_t n) { // a part is a class
    const float *d = (float *)b[1], *x = (float *)b[2];
    size_t k = *(size_t *)b[3];
    float *out = (float *)b[0] + k * IMAGE;
    memset(out, 0, IMAGE * sizeof *out);
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < IMAGE; i++)
            out[i] += d[r * CLASSES + k] * x[r * IMAGE + i];
}

static void bias_gradient(char *const *b, size_t n) {
    float *out = (float *)b[0];
    const float *d = (float *)b[1];
    memset(out, 0, CLASSES * sizeof *out);
    for (size_t i = 0; i < n * CLASSES; i++) out[i % CLASSES] += d[i];
}

// The running mean of the images' first value.
static void running(char *const *b, size_t n) {
    float *out = (float *)b[0], sum = 0;
    const float *old = (float *)b[1], *x = (float *)b[2], *inverse = (float *)b[3];
    for (size_t r = 0; r < n; r++) sum += x[r * IMAGE];
    *out = 0.9f * *old + 0.1f * sum * *inverse;
}

static void sgd(char *const *b, size_t n) {
    float *p = (float *)b[0], *m = (float *)b[1];
    const float *p0 = (float *)b[2], *grad = (float *)b[3], *m0 = (float *)b[4];
    const float *decay = (float *)b[5], *rates = (float *)b[6];
    for (size_t i = 0; i < n * TRAIN_BLOCK; i++) {
        float g = grad[i] + decay[i / TRAIN_BLOCK] * p0[i];
        m[i] = rates[3] * m0[i] + g;
        p[i] = p0[i] - rates[0] * m[i];
        if (seen.inf_at && atomic_load(&seen.steps) == seen.inf_at) p[i] = INFINITY;
    }
}

static void teacher(char *const *b, size_t n) {
    float *t = (float *)b[0];
    const float *x = (float *)b[1];
    for (size_t r = 0; r < n; r++, t += CLASSES, x += IMAGE) {
        memset(t, 0, CLASSES * sizeof *t);
        for (size_t i = 0; i < IMAGE; i++) t[i % CLASSES] += x[i];
        softmax(t);
    }
}

// ---- the plan ------------------------------------------------------------------------
enum { STEP, UPDATE, ASK, FUNCS };

struct setting {
    struct plan plan;
    struct plan_train train;
    struct plan_func funcs[FUNCS];
    struct plan_call calls[7];
    struct plan_band bands[7];
    struct plan_buffer buffers[7][7];
    struct plan_tensor params[2], stats[1];
    float initial[PARAMS], initial_stats[STATS];
    int64_t keep[3];
    struct plan_augment augments[4];
    struct plan_memo memo;
    uint8_t pixels[ROWS * IMAGE];
    uint32_t classes[ROWS];
    struct train_rows rows;
};

#define ROW(space_, offset_, floats)                                                     \
    { .space = SPACE_##space_, .offset = (offset_), .stride = (floats) * sizeof(float) }
#define ALL(space_, offset_) ROW(space_, offset_, 0)
#define D_AT                 0
#define LOSS_AT              (BATCH * CLASSES * sizeof(float))

static const struct {
    kernel_fn fn;
    size_t nbuffers, rows, parts;
    bool all_rows;
    struct plan_buffer buffers[7];
} CALLS[] = {
    {errors,
     7,
     3,
     0,
     false,
     {ROW(ARENA, D_AT, CLASSES), ROW(ARENA, LOSS_AT, 1), ROW(IN, 0, IMAGE),
      ROW(IN, 1, CLASSES), ALL(IN, 2), ALL(IN, 3), ALL(IN, 4)}},
    {mean_loss, 3, BATCH, 0, true, {ALL(OUT, 0), ROW(ARENA, LOSS_AT, 1), ALL(IN, 2)}},
    {weight_gradient,
     3,
     BATCH,
     CLASSES,
     true,
     {ALL(OUT, 1), ROW(ARENA, D_AT, CLASSES), ROW(IN, 0, IMAGE)}},
    {bias_gradient, 2, BATCH, 0, true, {ALL(OUT, 2), ROW(ARENA, D_AT, CLASSES)}},
    {running,
     4,
     BATCH,
     0,
     true,
     {ALL(OUT, 3), ALL(IN, 5), ROW(IN, 0, IMAGE), ALL(IN, 2)}},
    {sgd,
     7,
     3,
     0,
     false,
     {ROW(OUT, 0, TRAIN_BLOCK), ROW(OUT, 1, TRAIN_BLOCK), ROW(IN, 0, TRAIN_BLOCK),
      ROW(IN, 1, TRAIN_BLOCK), ROW(IN, 2, TRAIN_BLOCK), ROW(IN, 3, 1), ALL(IN, 4)}},
    {teacher, 2, 4, 0, false, {ROW(OUT, 0, CLASSES), ROW(IN, 0, IMAGE)}},
};

static void make_calls(struct setting *m) {
    for (size_t i = 0; i < COUNT(CALLS); i++) {
        memcpy(m->buffers[i], CALLS[i].buffers, sizeof CALLS[i].buffers);
        m->calls[i] = (struct plan_call){.fn = CALLS[i].fn,
                                         .once = CALLS[i].all_rows,
                                         .all_rows = CALLS[i].all_rows,
                                         .parts = CALLS[i].parts,
                                         .nbuffers = CALLS[i].nbuffers,
                                         .buffers = m->buffers[i]};
        m->bands[i] =
            (struct plan_band){.ncalls = 1, .rows = CALLS[i].rows, .phase = i && i < 5};
    }
}

static void make_func(struct setting *m, size_t which, size_t first, size_t n,
                      size_t batch) {
    m->funcs[which] = (struct plan_func){.name = "f",
                                         .loaded = true,
                                         .batch = batch,
                                         .joint = which == STEP,
                                         .arena_bytes = 1024,
                                         .ncalls = n,
                                         .calls = &m->calls[first],
                                         .nbands = n,
                                         .bands = &m->bands[first]};
}

static void make_rows(struct setting *m) {
    struct random r = random_stream("test", 3, (struct digest){0});
    for (size_t i = 0; i < ROWS; i++) {
        m->classes[i] = random_below(&r, CLASSES);
        for (size_t k = 0; k < IMAGE; k++)
            m->pixels[i * IMAGE + k] = (uint8_t)(random_below(&r, 160) +
                                                 (k % CLASSES == m->classes[i] ? 95 : 0));
    }
    m->rows = (struct train_rows){
        .rows = ROWS, .pixels = m->pixels, .classes = m->classes, .key = {77, 1}};
}

static void make_train(struct setting *m) {
    m->params[0] = (struct plan_tensor){"weight", 0, WEIGHTS, true};
    m->params[1] = (struct plan_tensor){"bias", BIAS_AT, CLASSES, false};
    m->stats[0] = (struct plan_tensor){"running_mean", 0, 1, false};
    for (size_t i = 0; i < WEIGHTS; i++) m->initial[i] = (float)(i % 7) / 100;
    m->initial_stats[0] = 0.25f;
    m->keep[0] = 2, m->keep[1] = 3, m->keep[2] = 5;
    m->train = (struct plan_train){.name = "net",
                                   .channels = 3,
                                   .height = SIDE,
                                   .width = SIDE,
                                   .classes = CLASSES,
                                   .step = STEP,
                                   .update = UPDATE,
                                   .ask = UINT32_MAX,
                                   .nmoments = 1,
                                   .nparams = 2,
                                   .nstats = 1,
                                   .params = m->params,
                                   .stats = m->stats,
                                   .param_floats = PARAMS,
                                   .stat_floats = STATS,
                                   .initial_params = m->initial,
                                   .initial_stats = m->initial_stats,
                                   .batch = BATCH,
                                   .epochs = 5,
                                   .rate = 0.2,
                                   .schedule = SCHEDULE_COSINE,
                                   .warmup = 1,
                                   .momentum = 0.9,
                                   .decay = 0.01,
                                   .augments = m->augments,
                                   .seed = 11,
                                   .keep = m->keep,
                                   .nkeep = 3,
                                   .memo = &m->memo};
}

static struct setting *make(struct fixture *f) {
    struct setting *m = NEW(f->a, struct setting);
    m->memo.record = (struct store_record){.op = "train", .name = "net", .elem = "f32"};
    m->memo.record.key = store_record_key(&m->memo.record);
    make_calls(m);
    make_func(m, STEP, 0, 5, BATCH);
    make_func(m, UPDATE, 5, 1, 3);
    make_func(m, ASK, 6, 1, 5);
    make_rows(m);
    make_train(m);
    m->plan = (struct plan){
        .funcs = m->funcs, .nfuncs = FUNCS, .trains = &m->train, .ntrains = 1};
    return m;
}

static void add_augments(struct setting *m, bool ask) {
    m->augments[0] = (struct plan_augment){AUGMENT_RESIZED_CROP, {0.3, 1, 0.75, 1.33}};
    m->augments[1] = (struct plan_augment){AUGMENT_FLIP, {0.5}};
    m->augments[2] = (struct plan_augment){AUGMENT_JITTER, {0.2, 0.2, 0.2, 0.1}};
    m->augments[3] = (struct plan_augment){AUGMENT_CUTMIX, {1, 0.8}};
    m->train.naugments = 4;
    if (ask) m->train.ask = ASK;
}

// ---- the plain loop ------------------------------------------------------------------
struct plain {
    float params[PARAMS], moments[PARAMS], stats[STATS], losses[8];
    float kept[8][PARAMS];
};

static void plain_batch(const struct setting *m, struct augment_batch *b,
                        const uint32_t *order, float *targets) {
    float scratch[IMAGE];
    for (size_t i = 0; i < b->n; i++) {
        size_t row = order[b->first + i];
        for (size_t k = 0; k < IMAGE; k++)
            b->x[i * IMAGE + k] = (float)m->pixels[row * IMAGE + k] / 255;
        augment_row(b, i, scratch);
        for (size_t k = 0; k < CLASSES; k++)
            targets[i * CLASSES + k] = k == m->classes[row];
    }
    augment_choose(b);
    if (!b->mixer) return;
    float own[BATCH * CLASSES], part = b->lambda;
    memcpy(own, targets, sizeof own);
    for (size_t i = 0; i < b->n; i++) {
        augment_mix(b, i);
        for (size_t k = 0; k < CLASSES; k++)
            targets[i * CLASSES + k] = part * own[i * CLASSES + k] +
                                       (1 - part) * own[b->partner[i] * CLASSES + k];
    }
    memcpy(b->x, b->spare, b->n * IMAGE * sizeof *b->x);
}

static float plain_step(const struct setting *m, struct plain *p,
                        const struct augment_batch *b, float *targets, size_t step) {
    float d[BATCH * CLASSES], losses[BATCH], loss, inverse = 1 / (float)b->n;
    float grads[PARAMS] = {0}, stat = p->stats[0];
    float decay[PARAMS / TRAIN_BLOCK] = {0.01f, 0.01f, 0.01f, 0};
    float rates[4] = {(float)train_rate(&m->train, step, 3), 0, 0, step ? 0.9f : 0};
    if (m->train.ask == ASK) teacher((char *[]){(char *)targets, (char *)b->x}, b->n);
    errors((char *[]){(char *)d, (char *)losses, (char *)b->x, (char *)targets,
                      (char *)&inverse, (char *)p->params, (char *)(p->params + BIAS_AT)},
           b->n);
    mean_loss((char *[]){(char *)&loss, (char *)losses, (char *)&inverse}, b->n);
    for (size_t k = 0; k < CLASSES; k++)
        weight_gradient((char *[]){(char *)grads, (char *)d, (char *)b->x, (char *)&k},
                        b->n);
    bias_gradient((char *[]){(char *)(grads + BIAS_AT), (char *)d}, b->n);
    running((char *[]){(char *)p->stats, (char *)&stat, (char *)b->x, (char *)&inverse},
            b->n);
    sgd((char *[]){(char *)p->params, (char *)p->moments, (char *)p->params,
                   (char *)grads, (char *)p->moments, (char *)decay, (char *)rates},
        PARAMS / TRAIN_BLOCK);
    return loss;
}

static void plain_train(const struct setting *m, struct plain *p) {
    float x[BATCH * IMAGE], spare[BATCH * IMAGE], targets[BATCH * CLASSES];
    uint32_t order[ROWS], partner[BATCH];
    *p = (struct plain){.stats = {0.25f}};
    memcpy(p->params, m->initial, sizeof p->params);
    for (size_t epoch = 0, step = 0; epoch < m->train.epochs; epoch++) {
        double sum = 0;
        train_order(&m->train, epoch, order, ROWS);
        for (size_t first = 0; first < ROWS; first += BATCH, step++) {
            struct augment_batch b = {.train = &m->train,
                                      .epoch = epoch,
                                      .first = first,
                                      .n = size_min(BATCH, ROWS - first),
                                      .x = x,
                                      .spare = spare,
                                      .partner = partner};
            plain_batch(m, &b, order, targets);
            sum += (double)plain_step(m, p, &b, targets, step) * (double)b.n;
        }
        p->losses[epoch] = (float)(sum / ROWS);
        memcpy(p->kept[epoch], p->params, sizeof p->params);
    }
}

// ---- running it ----------------------------------------------------------------------
static bool run(struct fixture *f, const struct setting *m, const struct run_options *o,
                struct trained *out) {
    diags_init(&f->d, f->a);
    *out = (struct trained){0};
    return train_run(&m->plan, 0, &m->rows, o, f->a, out, &f->d);
}

static void must_run(struct fixture *f, const struct setting *m,
                     const struct run_options *o, struct trained *out) {
    if (!run(f, m, o, out))
        fail_msg("%s", f->d.errors ? f->d.list.at[0].message : "stopped");
}

static void expect_plain(const struct setting *m, const struct trained *t) {
    struct plain p;
    seen_reset(0, NULL);
    plain_train(m, &p);
    assert_int_equal(t->nstages, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(t->stages[i].epoch, m->keep[i]);
        assert_memory_equal(t->stages[i].params, p.kept[m->keep[i] - 1], sizeof p.params);
    }
    assert_memory_equal(t->stages[2].stats, p.stats, sizeof p.stats);
    assert_int_equal(t->nlosses, 5);
    assert_memory_equal(t->losses, p.losses, 5 * sizeof(float));
}

static void learns_as_a_plain_loop(void **state) {
    struct fixture *f = *state;
    for (int kind = 0; kind < 3; kind++) {
        struct setting *m = make(f);
        if (kind) add_augments(m, kind == 2);
        for (size_t threads = 1; threads <= 5; threads += threads) {
            struct trained t;
            must_run(f, m, &(struct run_options){.threads = threads}, &t);
            assert_false(t.reused);
            assert_int_equal(t.steps, 15);
            assert_int_equal(t.all_steps, 15);
            assert_int_equal(t.seen, 5 * ROWS);
            expect_plain(m, &t);
        }
    }
}

static void it_learns(void **state) {
    struct fixture *f = *state;
    struct setting *m = make(f);
    struct trained t;
    must_run(f, m, &(struct run_options){.threads = 2}, &t);
    assert_true(t.losses[4] < 0.7f * t.losses[0]);
}

static void soft_labels(void **state) {
    struct fixture *f = *state;
    struct setting *m = make(f);
    struct trained t;
    float soft[ROWS * CLASSES] = {0};
    for (size_t i = 0; i < ROWS; i++) soft[i * CLASSES + m->classes[i]] = 1;
    m->rows.soft = soft;
    m->rows.classes = NULL;
    must_run(f, m, &(struct run_options){.threads = 2}, &t);
    expect_plain(m, &t);
}

// ---- the store -----------------------------------------------------------------------
static struct store *open_store(struct fixture *f) {
    char why[512] = "";
    struct store_options o = {.path = path_of(f, "store")};
    struct store *s = store_open(&o, why, sizeof why);
    if (!s) fail_msg("%s", why);
    return s;
}

static void store_has_it(void **state) {
    struct fixture *f = *state;
    struct setting *m = make(f);
    struct trained t;
    struct store *s = open_store(f);
    struct run_options o = {.threads = 2, .store = s};
    assert_false(train_find(&m->plan, 0, m->rows.key, &o, f->a, &t));
    must_run(f, m, &o, &t);
    store_close(s);
    o.store = s = open_store(f);
    seen_reset(0, NULL);
    must_run(f, m, &o, &t);
    assert_true(t.reused);
    assert_int_equal(atomic_load(&seen.steps), 0);
    expect_plain(m, &t);
    assert_true(train_find(&m->plan, 0, m->rows.key, &o, f->a, &t));
    assert_false(train_find(&m->plan, 0, (struct digest){77, 2}, &o, f->a, &t));
    // A stage that was not asked for before is trained for from the start.
    m->keep[0] = 1;
    must_run(f, m, &o, &t);
    assert_false(t.reused);
    assert_int_equal(t.from_epoch, 0);
    expect_plain(m, &t);
    store_close(s);
}

static void stop_it(void) {
    atomic_store(&seen.stop, true);
}

// Told to stop at every step in turn.
static void goes_on_after_a_stop(void **state) {
    struct fixture *f = *state;
    struct setting *m = make(f);
    add_augments(m, false);
    for (size_t at = 1; at < 15; at++) {
        struct store *s = open_store(f);
        struct run_options o = {.threads = 1 + at % 3, .store = s, .stop = &seen.stop};
        struct trained t;
        m->rows.key.hi = at;
        seen_reset(at, stop_it);
        assert_false(run(f, m, &o, &t));
        assert_int_equal(f->d.errors, 0);
        assert_int_equal(t.steps, at);
        store_close(s);
        o.store = s = open_store(f);
        seen_reset(0, NULL);
        must_run(f, m, &o, &t);
        assert_int_equal(atomic_load(&seen.steps), 15 - at);
        assert_int_equal(t.steps, 15 - at);
        assert_int_equal(t.from_epoch, at / 3);
        expect_plain(m, &t);
        store_close(s);
    }
}

static void die(void) {
    store_flush(seen.store);
    kill(getpid(), SIGKILL);
}

// Killed again and again; every time it gets further.
static void survives_kills(void **state) {
    struct fixture *f = *state;
    struct setting *m = make(f);
    size_t deaths = 0;
    for (int status = 1; status; deaths++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (!child) {
            struct store *s = open_store(f);
            struct run_options o = {.threads = 2, .store = s, .checkpoint = 1e-9};
            struct trained t;
            seen_reset(5, die);
            seen.store = s;
            bool ok = run(f, m, &o, &t);
            store_close(s);
            _exit(!ok);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(deaths < 15);
    }
    assert_true(deaths > 1);
    struct store *s = open_store(f);
    struct trained t;
    must_run(f, m, &(struct run_options){.threads = 1, .store = s}, &t);
    assert_true(t.reused);
    expect_plain(m, &t);
    struct store_check check;
    struct store_record *records;
    assert_true(store_verify(s, f->a, &check));
    assert_int_equal(check.damaged, 0);
    assert_int_equal(store_records(s, "train", f->a, &records), 1);
    assert_int_equal(records[0].rows, 3);
    assert_int_equal(records[0].bytes, 3 * train_stage_floats(&m->train) * sizeof(float));
    // Nor is anything found that is no state.
    m->keep[0] = 1;
    seen_reset(0, NULL);
    must_run(f, m, &(struct run_options){.threads = 1, .store = s}, &t);
    assert_false(t.reused);
    assert_int_equal(store_counts(s).damaged, 0);
    expect_plain(m, &t);
    store_close(s);
}

// A training goes no further than what is asked of it, by the rates of all its epochs;
// who asks for more goes on from there.
static void early_stages_alone(void **state) {
    struct fixture *f = *state;
    struct setting *m = make(f);
    struct trained t;
    struct plain p;
    struct store *s = open_store(f);
    struct run_options o = {.threads = 2, .store = s};
    seen_reset(0, NULL);
    plain_train(m, &p);
    m->keep[0] = 2;
    m->train.nkeep = 1;
    must_run(f, m, &o, &t);
    assert_int_equal(t.steps, 6);
    assert_int_equal(t.nlosses, 2);
    assert_memory_equal(t.losses, p.losses, 2 * sizeof(float));
    assert_memory_equal(t.stages[0].params, p.kept[1], sizeof p.params);
    m->train.nkeep = 3;
    store_flush(s);
    must_run(f, m, &o, &t);
    assert_int_equal(t.from_epoch, 2);
    expect_plain(m, &t);
    store_close(s);
}

// An early stage that was not kept takes the training again, but not what is left of it
// where it was stopped later on.
static void an_early_stage_leaves_a_later_state(void **state) {
    struct fixture *f = *state;
    struct setting *m = make(f);
    struct trained t;
    struct store *s = open_store(f);
    struct run_options o = {.threads = 2, .store = s, .stop = &seen.stop};
    m->keep[0] = 5;
    m->train.nkeep = 1;
    seen_reset(13, stop_it);
    assert_false(run(f, m, &o, &t));
    m->keep[0] = 2;
    seen_reset(0, NULL);
    store_flush(s);
    must_run(f, m, &o, &t);
    assert_int_equal(t.steps, 6);
    m->keep[0] = 5;
    store_flush(s);
    must_run(f, m, &o, &t);
    assert_int_equal(t.steps, 15 - 13);
    store_close(s);
}

// ---- what goes wrong -----------------------------------------------------------------
static void expect_error(struct fixture *f, const char *words, const char *help) {
    assert_int_equal(f->d.errors, 1);
    if (!strstr(f->d.list.at[0].message, words))
        fail_msg("\"%s\" does not say \"%s\"", f->d.list.at[0].message, words);
    if (help) assert_non_null(strstr(f->d.list.at[0].help, help));
}

static void numbers_run_out(void **state) {
    struct fixture *f = *state;
    struct setting *m = make(f);
    struct store *s = open_store(f);
    struct run_options o = {.threads = 2, .store = s};
    struct trained t;
    seen_reset(0, NULL);
    seen.nan_at = 2;
    assert_false(run(f, m, &o, &t));
    expect_error(f,
                 "the loss of `net` is no longer a number in step 2 of 15 (epoch 1 of "
                 "5), at a learning rate of 0.133",
                 "lower `rate`");
    seen_reset(0, NULL);
    seen.nan_at = 5;
    assert_false(run(f, m, &o, &t));
    expect_error(f, "in step 5 of 15 (epoch 2 of 5)",
                 "after epoch 1 is kept in the store: `keep = [1]` and `net@1`");
    seen_reset(0, NULL);
    seen.inf_at = 6;
    assert_false(run(f, m, &o, &t));
    expect_error(f,
                 "a parameter of `net` is no longer a number in step 6 of 15 (epoch 2 of",
                 "after epoch 1 is kept");
    m->keep[0] = 1; // which is what the store has
    store_flush(s);
    t = (struct trained){0};
    train_stages(&m->train, f->a, &t);
    assert_int_equal(train_stages_find(&m->train, m->rows.key, &o, &t), 3);
    struct plain p;
    seen_reset(0, NULL);
    plain_train(m, &p);
    assert_memory_equal(t.stages[0].params, p.kept[0], sizeof p.params);
    store_close(s);
}

// Who tries again hears the same: the state that is gone on from is one of numbers.
static void numbers_run_out_again(void **state) {
    struct fixture *f = *state;
    struct setting *m = make(f);
    m->keep[0] = 1; // so that a state of the end of epoch 2 would be gone on from
    for (int again = 0; again < 2; again++) {
        struct store *s = open_store(f);
        struct run_options o = {.threads = 2, .store = s, .checkpoint = 1e-9};
        struct trained t;
        seen_reset(0, NULL);
        seen.inf_at = again ? 1 : 6; // step 6 of all
        assert_false(run(f, m, &o, &t));
        expect_error(f, "a parameter of `net` is no longer a number in step 6 of 15",
                     NULL);
        assert_int_equal(t.steps, again ? 1 : 6);
        store_close(s);
    }
}

static void wrong_rows(void **state) {
    struct fixture *f = *state;
    struct setting *m = make(f);
    struct run_options o = {.threads = 2};
    struct trained t;
    m->classes[9] = 11;
    assert_false(run(f, m, &o, &t));
    expect_error(f, "have 12 classes, and it has 4 outputs", NULL);
    m->rows.rows = 0;
    assert_false(run(f, m, &o, &t));
    expect_error(f, "there is no image to train `net` on", NULL);
}

// ---- memory --------------------------------------------------------------------------
static struct {
    struct meter *meter;
    size_t calls;
} counted;

static void count_again(void) {
    if (atomic_load(&counted.meter->calls) != counted.calls)
        fail_msg("something was allocated between two steps");
}

static void count_first(void) {
    counted.calls = atomic_load(&counted.meter->calls);
    seen.at = 15;
    seen.then = count_again;
}

static void train_counted(void *ctx) {
    struct fixture *f = ctx;
    struct setting *m = make(f);
    struct trained t;
    add_augments(m, true);
    assert_true(run(f, m, &(struct run_options){.threads = 3}, &t));
}

static void loop_allocates_nothing(void **state) {
    struct meter m = {.fail = 0};
    m.memory = (struct memory){meter_resize, &m};
    struct scope s = {.memory = &m.memory};
    counted.meter = &m;
    seen_reset(1, count_first);
    assert_int_equal(scope_run(&s, train_counted, *state), SCOPE_DONE);
    assert_true(counted.calls > 0);
    assert_int_equal(atomic_load(&seen.steps), 15);
    assert_ptr_equal(seen.then, count_again);
}

static void train_trial(struct trial *t) {
    const struct setting *m = t->input;
    struct trained out = {0};
    t->ok = train_run(&m->plan, 0, &m->rows, &(struct run_options){.threads = 2}, t->a,
                      &out, &t->d);
}

static void memory_runs_out(void **state) {
    struct fixture *f = *state;
    struct setting *m = make(f);
    add_augments(m, true);
    seen_reset(0, NULL);
    fail_each(f, train_trial, m, NULL);
}

// ---- rates, orders -------------------------------------------------------------------
static void expect_near(double a, double b) {
    if (fabs(a - b) > 1e-12) fail_msg("%.17g is not %.17g", a, b);
}

static void rates(void **state) {
    (void)state;
    const double milestones[] = {2, 3};
    struct plan_train t = {
        .epochs = 4, .rate = 2, .milestones = milestones, .nmilestones = 2, .gamma = 0.1};
    expect_near(train_rate(&t, 39, 10), 2);
    t.schedule =
        SCHEDULE_COSINE; // PyTorch: CosineAnnealingLR(T_max = 40), a step a batch
    expect_near(train_rate(&t, 0, 10), 2);
    expect_near(train_rate(&t, 20, 10), 1);
    expect_near(train_rate(&t, 39, 10), 0.003082666266872036);
    t.schedule = SCHEDULE_LINEAR;
    expect_near(train_rate(&t, 30, 10), 0.5);
    t.schedule = SCHEDULE_STEP;
    expect_near(train_rate(&t, 19, 10), 2);
    expect_near(train_rate(&t, 20, 10), 0.2);
    expect_near(train_rate(&t, 30, 10), 0.02);
    t.schedule = SCHEDULE_COSINE;
    t.warmup = 2;
    expect_near(train_rate(&t, 0, 10), 0.1);
    expect_near(train_rate(&t, 18, 10), 1.9);
    expect_near(train_rate(&t, 19, 10), 2);
    expect_near(train_rate(&t, 30, 10), 1);
    t.warmup = 9; // longer than it takes
    expect_near(train_rate(&t, 39, 10), 2 * 40.0 / 90);
}

static void orders_are_permutations(void **state) {
    (void)state;
    uint32_t a[100], b[100];
    struct plan_train t = {.seed = 1};
    bool there[100] = {false};
    train_order(&t, 0, a, 100);
    for (size_t i = 0; i < 100; i++) there[a[i]] = true;
    for (size_t i = 0; i < 100; i++) assert_true(there[i]);
    train_order(&t, 1, b, 100);
    assert_memory_not_equal(a, b, sizeof a);
    t.seed = 2;
    train_order(&t, 0, b, 100);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(learns_as_a_plain_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(it_learns, setup, teardown),
        cmocka_unit_test_setup_teardown(soft_labels, setup, teardown),
        cmocka_unit_test_setup_teardown(store_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(goes_on_after_a_stop, setup, teardown),
        cmocka_unit_test_setup_teardown(survives_kills, setup, teardown),
        cmocka_unit_test_setup_teardown(early_stages_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(an_early_stage_leaves_a_later_state, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(numbers_run_out, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_run_out_again, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(loop_allocates_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_runs_out, setup, teardown),
        cmocka_unit_test(rates),
        cmocka_unit_test(orders_are_permutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
