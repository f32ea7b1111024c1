// The steps of a training, by all workers together. See train_impl.h.
//
// Worker 0 settles the step before and prepares the next; then all fill the batch's rows,
// mix them, ask about them, compute the step and the update, and meet where one needs
// what others did. Which worker takes which rows shows nowhere: each row, and each block
// of parameters, is computed by itself.
#include "runtime/call.h"
#include "runtime/real.h"
#include "runtime/train_impl.h"

#include <math.h>

#define FILL_ROWS    ((size_t)4) // taken at a time
#define TELL_SECONDS 0.05

static size_t epoch_of(const struct training *g, size_t step) {
    return step / g->per_epoch;
}

// ---- settling a step -----------------------------------------------------------------
static bool all_finite(const float *v, size_t n) {
    float sum = 0; // of zeros, unless one is no number
    for (size_t i = 0; i < n; i++) sum += v[i] * 0;
    return sum == 0;
}

static bool state_finite(const struct training *g) {
    const struct plan_train *t = g->train;
    const struct train_copy *c = &g->copies[g->now];
    return all_finite(c->params, t->param_floats) && all_finite(c->stats, t->stat_floats);
}

static void remember_good(struct training *g) {
    const struct plan_train *t = g->train;
    const struct train_copy *c = &g->copies[g->now];
    memcpy(g->good, c->params, t->param_floats * sizeof *g->good);
    memcpy(g->good + t->param_floats, c->stats, t->stat_floats * sizeof *g->good);
    g->good_epoch = epoch_of(g, g->step);
}

static bool epoch_ends(struct training *g) {
    size_t epoch = epoch_of(g, g->step);
    g->losses[epoch - 1] = (float)(g->epoch_sum / (double)g->rows->rows);
    g->epoch_sum = 0;
    if (!state_finite(g)) return false;
    remember_good(g);
    train_keep(g, epoch);
    return true;
}

static void settle(struct training *g) {
    if (!isfinite(g->loss)) {
        g->end = TRAIN_NOT_FINITE;
        return;
    }
    g->epoch_sum += (double)g->loss * (double)g->batch.n;
    g->now = !g->now;
    g->step++;
    if (g->step % g->per_epoch == 0 && !epoch_ends(g)) g->end = TRAIN_NOT_FINITE;
    else if (g->step == g->steps) g->end = TRAIN_DONE;
}

size_t train_rows_seen(const struct training *g) {
    size_t rest = g->step % g->per_epoch;
    return epoch_of(g, g->step) * g->rows->rows + rest * g->train->batch;
}

// Of a training that is at its end there is nothing to go on from.
static void keep_state(struct training *g) {
    const struct run_options *o = g->options;
    double every = o->checkpoint > 0 ? o->checkpoint : CHECKPOINT_SECONDS;
    if (g->end != TRAIN_GOES_ON || g->step == g->from_step) return;
    if (clock_seconds() - g->put >= every) train_checkpoint(g);
}

static void tell(struct training *g) {
    const struct run_options *o = g->options;
    double now = clock_seconds();
    if (!o->stage || (g->end == TRAIN_GOES_ON && now - g->told < TELL_SECONDS)) return;
    g->told = now;
    o->stage(o->ctx, g->train->name, train_rows_seen(g),
             train_until(g->train) * g->rows->rows, now - g->began);
}

// ---- preparing a step ----------------------------------------------------------------
static void choose_rates(struct training *g) {
    const struct plan_train *t = g->train;
    double n = (double)g->step + 1;
    g->rates[0] = (float)train_rate(t, g->step, g->per_epoch);
    g->rates[1] = (float)(1 / (1 - real_power(t->beta1, n)));
    g->rates[2] = (float)(1 / (1 - real_power(t->beta2, n)));
    g->rates[3] = g->step == 0 ? 0 : (float)t->momentum;
}

static void choose_rows(struct training *g) {
    size_t nth = g->step % g->per_epoch, rows = g->rows->rows;
    if (nth == 0 || g->step == g->from_step)
        train_order(g->train, epoch_of(g, g->step), g->order, rows);
    g->batch.epoch = epoch_of(g, g->step);
    g->batch.first = nth * g->train->batch;
    g->batch.n = size_min(g->train->batch, rows - g->batch.first);
    g->inverse = 1 / (float)g->batch.n;
}

static void prepare(struct training *g) {
    choose_rows(g);
    choose_rates(g);
    augment_choose(&g->batch);
    char **in = g->copies[g->now].in;
    bool mixed = g->batch.mixer && g->train->ask == UINT32_MAX;
    in[0] = (char *)(g->batch.mixer ? g->batch.spare : g->batch.x);
    in[1] = (char *)(mixed ? g->mixed : g->targets);
    atomic_store(&g->fill, 0);
    atomic_store(&g->mix, 0);
    atomic_store(&g->ask, 0);
    atomic_store(&g->update, 0);
}

static void between_steps(struct training *g, bool first) {
    const struct run_options *o = g->options;
    if (!first) settle(g);
    keep_state(g);
    tell(g);
    if (g->end != TRAIN_GOES_ON) return;
    if (o->stop && atomic_load(o->stop)) g->end = TRAIN_STOPPED;
    else prepare(g);
}

// ---- a step --------------------------------------------------------------------------
// The next rows of n, at most `most`: from *first on.
static size_t take(atomic_size_t *next, size_t n, size_t most, size_t *first) {
    *first = atomic_fetch_add(next, most);
    return *first < n ? size_min(most, n - *first) : 0;
}

static void fill_target(const struct training *g, size_t i, size_t row) {
    size_t k = g->train->classes;
    float *out = g->targets + i * k;
    if (g->rows->soft) {
        memcpy(out, g->rows->soft + row * k, k * sizeof *out);
        return;
    }
    memset(out, 0, k * sizeof *out);
    out[g->rows->classes[row]] = 1;
}

static void fill_row(const struct train_worker *w, size_t i) {
    const struct training *g = w->training;
    size_t row = g->order[g->batch.first + i];
    const uint8_t *pixels = g->rows->pixels + row * g->image;
    float *x = g->batch.x + i * g->image;
    for (size_t k = 0; k < g->image; k++) x[k] = (float)pixels[k] / 255;
    augment_row(&g->batch, i, w->scratch);
    if (g->train->ask == UINT32_MAX) fill_target(g, i, row);
}

static void fill_rows(const struct train_worker *w) {
    struct training *g = w->training;
    size_t first, n;
    while ((n = take(&g->fill, g->batch.n, FILL_ROWS, &first)))
        for (size_t i = first; i < first + n; i++) fill_row(w, i);
}

static void mix_target(const struct training *g, size_t i) {
    size_t k = g->train->classes;
    const float *own = g->targets + i * k, *other = g->targets + g->batch.partner[i] * k;
    float part = g->batch.lambda;
    for (size_t j = 0; j < k; j++)
        g->mixed[i * k + j] = part * own[j] + (1 - part) * other[j];
}

static void mix_rows(const struct train_worker *w) {
    struct training *g = w->training;
    size_t first, n;
    while ((n = take(&g->mix, g->batch.n, FILL_ROWS, &first)))
        for (size_t i = first; i < first + n; i++) {
            augment_mix(&g->batch, i);
            if (g->train->ask == UINT32_MAX) mix_target(g, i);
        }
}

// Slices as large as gives every worker one, if calls of the function take so many.
static size_t slice(const struct training *g, const struct plan_func *f, size_t n) {
    return size_min(f->batch, (n + g->nworkers - 1) / g->nworkers);
}

static void call_alone(const struct train_worker *w, const struct plan_func *f,
                       char *const *in, char *const *out, size_t n) {
    bool ok = call_func(w->training->plan, f, w->arena, in, out, n, true, w->lane);
    CHECK(ok); // nothing in it allocates: see train.c
}

static void ask_rows(const struct train_worker *w) {
    struct training *g = w->training;
    const struct plan_func *f = &g->plan->funcs[g->train->ask];
    const float *x = g->batch.mixer ? g->batch.spare : g->batch.x;
    size_t first, n, most = slice(g, f, g->batch.n);
    while ((n = take(&g->ask, g->batch.n, most, &first))) {
        char *in[] = {(char *)(x + first * g->image)};
        char *out[] = {(char *)(g->targets + first * g->train->classes)};
        call_alone(w, f, in, out, n);
    }
}

// Blocks [first, first + n) of the flat arrays.
static void update_blocks(const struct train_worker *w, size_t first, size_t n) {
    struct training *g = w->training;
    const struct plan_train *t = g->train;
    const struct train_copy *from = &g->copies[g->now], *to = &g->copies[!g->now];
    size_t at = first * TRAIN_BLOCK, nin = 0, nout = 0;
    char *in[4 + TRAIN_MOMENTS], *out[1 + TRAIN_MOMENTS];
    in[nin++] = (char *)(from->params + at);
    in[nin++] = (char *)(g->grads + at);
    out[nout++] = (char *)(to->params + at);
    for (size_t i = 0; i < t->nmoments; i++) {
        in[nin++] = (char *)(from->moments[i] + at);
        out[nout++] = (char *)(to->moments[i] + at);
    }
    in[nin++] = (char *)(g->decay + first);
    in[nin++] = (char *)g->rates;
    call_alone(w, &g->plan->funcs[t->update], in, out, n);
}

static void update(const struct train_worker *w) {
    struct training *g = w->training;
    const struct plan_func *f = &g->plan->funcs[g->train->update];
    size_t blocks = g->train->param_floats / TRAIN_BLOCK, first, n;
    size_t most = slice(g, f, blocks);
    while ((n = take(&g->update, blocks, most, &first))) update_blocks(w, first, n);
}

static void meet(const struct train_worker *w, enum profile_part part) {
    profile_lap(w->lane, part);
    joint_meet(w->training->joint, w->which);
    profile_lap(w->lane, PROFILE_TURN);
}

static void step(const struct train_worker *w) {
    struct training *g = w->training;
    const struct train_copy *c = &g->copies[g->now];
    fill_rows(w);
    meet(w, PROFILE_READ);
    if (g->batch.mixer) {
        mix_rows(w);
        meet(w, PROFILE_READ);
    }
    if (g->train->ask != UINT32_MAX) {
        ask_rows(w);
        meet(w, PROFILE_REST);
    }
    joint_call(g->joint, w->which, c->in, c->out, g->batch.n, w->lane);
    if (isfinite(g->loss)) update(w);
}

void train_work(void *training, size_t which) {
    struct training *g = training;
    const struct train_worker *w = &g->workers[which];
    for (bool first = true;; first = false) {
        profile_chunk(w->lane, g->train->name);
        if (which == 0) between_steps(g, first);
        meet(w, PROFILE_REST);
        if (g->end != TRAIN_GOES_ON) break;
        step(w);
        meet(w, PROFILE_REST);
        profile_chunk_done(w->lane, which == 0 ? g->batch.n : 0);
    }
}
