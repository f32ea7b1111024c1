// See train.h: what a training needs is made ready, the workers run it (train_loop.c),
// and what it ended with is said. What the store has of it: train_store.c.
#include "runtime/pool.h"
#include "runtime/train_impl.h"

#include <math.h>
#include <time.h>

#define LOOK_SECONDS 0.05 // between looks at what another process trains

// ---- what cannot be trained ----------------------------------------------------------
static bool check_classes(const struct plan_train *t, const struct train_rows *rows,
                          struct diags *d) {
    uint32_t most = 0;
    if (rows->soft || t->ask != UINT32_MAX) return true;
    for (size_t i = 0; i < rows->rows; i++)
        if (rows->classes[i] > most) most = rows->classes[i];
    if (most < t->classes) return true;
    return diag_error(
        d, t->span,
        "the images that `%s` is trained on have %u classes, and it has %zu "
        "outputs",
        t->name, most + 1, t->classes);
}

// Only the last batch of an epoch can be smaller than the others.
static bool check_last(const struct plan_train *t, size_t rows, struct diags *d) {
    size_t left = rows % t->batch;
    if (left == 0 || left >= t->least) return true;
    diag_error(d, t->span,
               "of %zu images by %zu one is left over for the last batch of `%s`, and a "
               "batch norm of its network has one number a channel of it, so no variance",
               rows, t->batch, t->name);
    return diag_help(d, "another `batch` leaves none over, or more than one");
}

static bool check_rows(const struct plan_train *t, const struct train_rows *rows,
                       struct diags *d) {
    if (!rows->rows)
        return diag_error(d, t->span, "there is no image to train `%s` on", t->name);
    return check_last(t, rows->rows, d) && check_classes(t, rows, d);
}

// What workers call may not fail half-way: the others would wait for them.
static void check_func(const struct plan *p, uint32_t which) {
    if (which == UINT32_MAX) return;
    const struct plan_func *f = &p->funcs[which];
    CHECK(f->loaded && f->batch);
    for (size_t i = 0; i < f->ncalls; i++) CHECK(!f->calls[i].builtin);
}

static void check_plan(const struct plan *p, const struct plan_train *t) {
    check_func(p, t->step);
    check_func(p, t->update);
    check_func(p, t->ask);
    CHECK(p->funcs[t->step].joint && p->funcs[t->step].batch >= t->batch);
    CHECK(t->param_floats % TRAIN_BLOCK == 0 && t->nmoments <= TRAIN_MOMENTS);
    for (size_t i = 0; i < t->naugments; i++) {
        enum augment_kind kind = t->augments[i].kind;
        CHECK(kind != AUGMENT_JITTER || t->channels == 3);
        CHECK(!augment_mixes(kind) || i + 1 == t->naugments);
    }
}

// ---- memory --------------------------------------------------------------------------
static float *floats(size_t n) {
    size_t bytes;
    if (!size_mul(n, sizeof(float), &bytes) || bytes > PTRDIFF_MAX) return NULL;
    float *v = mem_aligned(bytes + PLAN_SLACK);
    if (v) memset(v, 0, bytes + PLAN_SLACK);
    return v;
}

static bool copy_alloc(struct train_copy *c, const struct plan_train *t) {
    size_t n = 3 + t->nparams + t->nstats;
    c->params = floats(t->param_floats);
    c->stats = floats(t->stat_floats);
    bool ok = c->params && c->stats;
    for (size_t i = 0; i < t->nmoments; i++)
        ok = (c->moments[i] = floats(t->param_floats)) && ok;
    c->in = mem_zalloc(n, sizeof *c->in);
    c->out = mem_zalloc(n, sizeof *c->out);
    return ok && c->in && c->out;
}

static bool batch_alloc(struct training *g) {
    const struct plan_train *t = g->train;
    g->batch.x = floats(t->batch * g->image);
    g->batch.spare = floats(t->batch * g->image);
    g->batch.partner = mem_zalloc(t->batch, sizeof *g->batch.partner);
    g->targets = floats(t->batch * t->classes);
    g->mixed = floats(t->batch * t->classes);
    return g->batch.x && g->batch.spare && g->batch.partner && g->targets && g->mixed;
}

static bool training_alloc(struct training *g) {
    const struct plan_train *t = g->train;
    g->order = mem_zalloc(g->rows->rows, sizeof *g->order);
    g->losses = floats(t->epochs);
    g->grads = floats(t->param_floats);
    g->decay = floats(t->param_floats / TRAIN_BLOCK);
    g->good = floats(train_stage_floats(t));
    g->packed = mem_zalloc(train_packed_bytes(t), 1);
    g->slices = mem_zalloc(train_slices(t), sizeof *g->slices);
    g->found = mem_zalloc(train_slices(t), sizeof *g->found);
    return copy_alloc(&g->copies[0], t) && copy_alloc(&g->copies[1], t) &&
           batch_alloc(g) && g->order && g->losses && g->grads && g->decay && g->good &&
           g->packed && g->slices && g->found;
}

static void copy_free(struct train_copy *c) {
    mem_free(c->params);
    mem_free(c->stats);
    for (size_t i = 0; i < TRAIN_MOMENTS; i++) mem_free(c->moments[i]);
    mem_free(c->in);
    mem_free(c->out);
}

static void workers_free(struct training *g) {
    for (size_t i = 0; g->workers && i < g->nready; i++) {
        mem_free(g->workers[i].arena);
        mem_free(g->workers[i].scratch);
    }
    mem_free(g->workers);
    joint_free(g->joint);
}

static void training_free(void *training) {
    struct training *g = training;
    copy_free(&g->copies[0]);
    copy_free(&g->copies[1]);
    void *all[] = {g->batch.x, g->batch.spare, g->batch.partner, g->targets, g->mixed,
                   g->order,   g->losses,      g->grads,         g->decay,   g->good,
                   g->packed,  g->slices,      g->found};
    for (size_t i = 0; i < COUNT(all); i++) mem_free(all[i]);
}

// ---- the beginning -------------------------------------------------------------------
static void set_decay(struct training *g) {
    const struct plan_train *t = g->train;
    for (size_t i = 0; i < t->nparams; i++) {
        const struct plan_tensor *p = &t->params[i];
        size_t blocks = (p->count + TRAIN_BLOCK - 1) / TRAIN_BLOCK;
        CHECK(p->at % TRAIN_BLOCK == 0 && p->at + p->count <= t->param_floats);
        for (size_t k = 0; p->decays && k < blocks; k++)
            g->decay[p->at / TRAIN_BLOCK + k] = (float)t->decay;
    }
}

// What a step reads of one copy and writes of the other; x and targets change with the
// step.
static void set_arguments(struct training *g, struct train_copy *from,
                          struct train_copy *to) {
    const struct plan_train *t = g->train;
    size_t nin = 2, nout = 0;
    from->in[nin++] = (char *)&g->inverse;
    from->out[nout++] = (char *)&g->loss;
    for (size_t i = 0; i < t->nparams; i++) {
        from->in[nin++] = (char *)(from->params + t->params[i].at);
        from->out[nout++] = (char *)(g->grads + t->params[i].at);
    }
    for (size_t i = 0; i < t->nstats; i++) {
        from->in[nin++] = (char *)(from->stats + t->stats[i].at);
        from->out[nout++] = (char *)(to->stats + t->stats[i].at);
    }
}

static void training_begin(struct training *g) {
    const struct plan_train *t = g->train;
    struct train_copy *c = g->copies;
    memcpy(c[0].params, t->initial_params, t->param_floats * sizeof(float));
    memcpy(c[0].stats, t->initial_stats, t->stat_floats * sizeof(float));
    // What no step writes, between the tensors, is the same in both.
    memcpy(c[1].stats, t->initial_stats, t->stat_floats * sizeof(float));
    set_decay(g);
    set_arguments(g, &c[0], &c[1]);
    set_arguments(g, &c[1], &c[0]);
    g->batch.train = t;
    train_name_slices(g);
}

// ---- workers -------------------------------------------------------------------------
static size_t arena_bytes(const struct training *g) {
    const struct plan_train *t = g->train;
    size_t bytes = g->plan->funcs[t->update].arena_bytes;
    if (t->ask != UINT32_MAX) bytes = size_max(bytes, g->plan->funcs[t->ask].arena_bytes);
    return size_align(bytes + PLAN_SLACK, 64);
}

static bool worker_ready(struct training *g, size_t which) {
    struct train_worker *w = &g->workers[g->nready++];
    *w = (struct train_worker){.training = g, .which = which};
    w->arena = mem_aligned(arena_bytes(g));
    w->scratch = floats(g->image);
    w->lane = profile_lane(g->options->profile, which);
    return w->arena && w->scratch;
}

// Called once it is known how many there are.
static bool workers_begin(void *training, size_t n) {
    struct training *g = training;
    g->nworkers = n;
    g->workers = mem_zalloc(n, sizeof *g->workers);
    g->joint = joint_new(g->plan, &g->plan->funcs[g->train->step], n);
    bool ok = g->workers && g->joint;
    for (size_t i = 0; ok && i < n; i++) ok = worker_ready(g, i);
    g->end = ok ? TRAIN_GOES_ON : TRAIN_NO_MEMORY;
    return ok;
}

// Whoever stopped, or asks for later epochs, goes on from it.
static void keep_or_drop_state(struct training *g) {
    bool ends = train_until(g->train) == g->train->epochs;
    if (g->end == TRAIN_STOPPED || (g->end == TRAIN_DONE && !ends)) train_checkpoint(g);
    if (g->end == TRAIN_DONE && ends) train_checkpoint_drop(g);
}

static void run_workers(struct training *g) {
    const struct run_options *o = g->options;
    double began = timeline_now(o->times);
    g->from_step = g->step;
    g->began = g->put = clock_seconds();
    timeline_kernel(o->times);
    pool_together(size_max(1, o->threads), workers_begin, train_work, g);
    profile_stage(o->profile, g->nworkers, clock_seconds() - g->began);
    timeline_add(o->times, began, "train", g->train->name);
    keep_or_drop_state(g);
    workers_free(g);
}

// ---- the end -------------------------------------------------------------------------
static bool not_finite(struct training *g, struct diags *d) {
    const struct plan_train *t = g->train;
    bool params = isfinite(g->loss); // at the end of an epoch that is settled already
    size_t step = params ? g->step - 1 : g->step;
    diag_error(
        d, t->span,
        "%s of `%s` is no longer a number in step %zu of %zu (epoch %zu of %zu), at "
        "a learning rate of %g",
        params ? "a parameter" : "the loss", t->name, step + 1, g->steps,
        step / g->per_epoch + 1, train_until(t), train_rate(t, step, g->per_epoch));
    if (!g->good_epoch || !t->memo || !g->options->store)
        return diag_help(d, "lower `rate`, or give it a `warmup`");
    train_keep_good(g);
    return diag_help(d,
                     "the model as it was after epoch %zu is kept in the store: `keep = "
                     "[%zu]` and `%s@%zu` instead of `%s` give it; or lower `rate`, or "
                     "give it a `warmup`",
                     g->good_epoch, g->good_epoch, t->name, g->good_epoch, t->name);
}

static bool said(struct training *g, struct diags *d) {
    switch (g->end) {
    case TRAIN_DONE: return true;
    case TRAIN_STOPPED: return false;
    case TRAIN_NOT_FINITE: return not_finite(g, d);
    case TRAIN_NO_MEMORY: return diag_no_memory(d, g->train->span);
    case TRAIN_GOES_ON: break;
    }
    BUG("a training ended for no reason");
}

static void report(const struct training *g, struct trained *out) {
    out->from_epoch = g->from_step / g->per_epoch;
    out->steps = g->step - g->from_step;
    out->seen = train_rows_seen(g);
}

static bool train(struct training *g, size_t missing, struct diags *d) {
    struct cleanup held;
    cleanup_push(&held, training_free, g);
    bool ok = training_alloc(g) || diag_no_memory(d, g->train->span);
    if (ok) {
        training_begin(g);
        train_resume(g, missing * g->per_epoch);
        run_workers(g);
        report(g, g->out);
        ok = said(g, d);
    }
    cleanup_run(&held);
    return ok;
}

// ---- one process for one training ----------------------------------------------------
struct claim {
    struct store *store; // NULL: none is held
    struct digest record, row;
};

static void claim_end(void *claim) {
    const struct claim *c = claim;
    if (c->store) store_release(c->store, c->record, &c->row, 1);
}

static bool stopping(const struct run_options *o) {
    return o->stop && atomic_load(o->stop);
}

static void pause_shortly(void) {
    struct timespec t = {.tv_nsec = (long)(LOOK_SECONDS * 1e9)};
    nanosleep(&t, NULL);
}

static bool claimed(struct claim *c, const struct training *g) {
    const struct plan_memo *memo = g->train->memo;
    if (!memo || !g->options->store) return true;
    c->record = memo->record.key;
    c->row = train_claim_key(g->rows->key);
    if (!store_claim(g->options->store, c->record, c->row)) return false;
    c->store = g->options->store;
    return true;
}

// The first stage that is missing once nobody else trains it; or it was told to stop.
static bool await_turn(struct training *g, struct claim *c, size_t *missing) {
    while (!claimed(c, g)) {
        if (stopping(g->options)) return false;
        pause_shortly();
    }
    *missing = train_stages_find(g->train, g->rows->key, g->options, g->out);
    return true;
}

// ---- from outside --------------------------------------------------------------------
static void begin_report(const struct plan_train *t, struct arena *arena,
                         struct trained *out) {
    *out = (struct trained){.name = t->name, .stages = out->stages};
    train_stages(t, arena, out);
}

bool train_find(const struct plan *p, uint32_t which, struct digest key,
                const struct run_options *o, struct arena *arena, struct trained *out) {
    const struct plan_train *t = &p->trains[which];
    *out = (struct trained){0};
    begin_report(t, arena, out);
    out->reused = train_stages_find(t, key, o, out) == TRAIN_NO_EPOCH;
    if (!out->reused) out->nstages = out->nlosses = 0;
    return out->reused;
}

static void use_record(const struct training *g) {
    const struct plan_train *t = g->train;
    if (!t->memo || !g->options->store) return;
    struct store_record r = t->memo->record;
    r.flops = g->plan->funcs[t->step].flops * (double)(g->rows->rows * train_until(t));
    store_use(g->options->store, &r);
}

bool train_run(const struct plan *p, uint32_t which, const struct train_rows *rows,
               const struct run_options *o, struct arena *arena, struct trained *out,
               struct diags *d) {
    const struct plan_train *t = &p->trains[which];
    struct training g = {.plan = p, .train = t, .rows = rows, .options = o, .out = out};
    struct claim claim = {0};
    struct cleanup held;
    double start = clock_seconds();
    if (!check_rows(t, rows, d)) return false;
    check_plan(p, t);
    begin_report(t, arena, out);
    g.image = t->channels * t->height * t->width;
    g.per_epoch = (rows->rows + t->batch - 1) / t->batch;
    g.steps = out->all_steps = g.per_epoch * train_until(t);
    use_record(&g);
    cleanup_push(&held, claim_end, &claim);
    size_t missing;
    bool ok = await_turn(&g, &claim, &missing);
    if (ok) {
        out->reused = missing == TRAIN_NO_EPOCH;
        ok = out->reused || train(&g, missing, d);
    }
    cleanup_run(&held);
    out->seconds = clock_seconds() - start;
    return ok;
}
