// What the store has of a training: its stages, and the state it can go on from. See
// train_impl.h.
//
//     stage       parameters, statistics, losses of all epochs (0: not done yet)
//     checkpoint  struct head, losses, then the state: parameters, moments, statistics
//
// Both are values of the training's record; their rows' keys join that of all that is
// learnt from with what they are. A checkpoint is cut into slices that the store keeps in
// its database: it is replaced again and again, and forgotten after the last epoch, and a
// file that is no longer needed stays until somebody tidies up. The slices are put in one
// call, so they are of one checkpoint.
#include "runtime/train_impl.h"

#define CHECKPOINT_VERSION 1
#define SLICE              (STORE_LARGE - 1024)

enum row { ROW_STAGE = 1, ROW_CHECKPOINT = 2, ROW_CLAIM = 3 };

struct head { // of a checkpoint
    uint64_t version, step;
    double epoch_sum;
};

static struct digest row_key(struct digest key, enum row what, size_t epoch) {
    return digest_join(key, (struct digest){what, epoch});
}

struct digest train_claim_key(struct digest key) {
    return row_key(key, ROW_CLAIM, 0);
}

static const struct digest *record_key(const struct plan_train *t) {
    return &t->memo->record.key;
}

static struct store *store_of(const struct plan_train *t, const struct run_options *o) {
    return t->memo ? o->store : NULL;
}

// ---- stages --------------------------------------------------------------------------
size_t train_stage_floats(const struct plan_train *t) {
    return t->param_floats + t->stat_floats + t->epochs;
}

static struct trained_stage *stages_new(const struct plan_train *t, struct arena *arena) {
    struct trained_stage *stages = NEW_N(arena, struct trained_stage, t->nkeep);
    for (size_t i = 0; i < t->nkeep; i++) {
        float *all = NEW_N(arena, float, train_stage_floats(t));
        stages[i] = (struct trained_stage){
            .epoch = (size_t)t->keep[i], .params = all, .stats = all + t->param_floats};
    }
    return stages;
}

void train_stages(const struct plan_train *t, struct arena *arena, struct trained *out) {
    CHECK(t->nkeep);
    if (!out->stages) out->stages = stages_new(t, arena);
    const struct trained_stage *last = &out->stages[t->nkeep - 1];
    CHECK(last->epoch == train_until(t));
    out->nstages = t->nkeep;
    out->losses = last->stats + t->stat_floats;
    out->nlosses = last->epoch;
}

// Of train_stages' memory.
static float *stage_data(const struct trained_stage *s) {
    return (float *)(uintptr_t)s->params;
}

size_t train_stages_find(const struct plan_train *t, struct digest key,
                         const struct run_options *o, struct trained *out) {
    size_t bytes = train_stage_floats(t) * sizeof(float);
    size_t missing = TRAIN_NO_EPOCH;
    if (!store_of(t, o)) return (size_t)t->keep[0];
    for (size_t i = 0; i < out->nstages; i++) {
        const struct trained_stage *s = &out->stages[i];
        struct digest row = row_key(key, ROW_STAGE, s->epoch);
        bool found = false;
        store_get(o->store, *record_key(t), &row, 1, bytes, (char *)stage_data(s),
                  &found);
        if (!found) missing = size_min(missing, s->epoch);
    }
    return missing;
}

static double seconds_since_put(struct training *g) {
    double now = clock_seconds(), passed = now - g->put;
    g->put = now;
    return passed * (double)g->nworkers;
}

static void put_stage(struct training *g, size_t epoch, const float *all) {
    const struct plan_train *t = g->train;
    struct digest row = row_key(g->rows->key, ROW_STAGE, epoch);
    if (!store_of(t, g->options)) return;
    store_put(g->options->store, *record_key(t), &row, 1,
              train_stage_floats(t) * sizeof *all, (const char *)all,
              seconds_since_put(g));
}

void train_keep(struct training *g, size_t epoch) {
    const struct plan_train *t = g->train;
    const struct train_copy *c = &g->copies[g->now];
    for (size_t i = 0; i < g->out->nstages; i++) {
        const struct trained_stage *s = &g->out->stages[i];
        if (s->epoch != epoch) continue;
        float *all = stage_data(s), *stats = all + t->param_floats;
        memcpy(all, c->params, t->param_floats * sizeof *all);
        memcpy(stats, c->stats, t->stat_floats * sizeof *all);
        memcpy(stats + t->stat_floats, g->losses, epoch * sizeof *all);
        put_stage(g, epoch, all);
    }
}

// good has room for the losses.
void train_keep_good(struct training *g) {
    const struct plan_train *t = g->train;
    float *losses = g->good + t->param_floats + t->stat_floats;
    memset(losses, 0, t->epochs * sizeof *losses);
    memcpy(losses, g->losses, g->good_epoch * sizeof *losses);
    put_stage(g, g->good_epoch, g->good);
}

// ---- checkpoints ---------------------------------------------------------------------
static size_t state_floats(const struct plan_train *t) {
    return t->epochs + t->param_floats * (1 + t->nmoments) + t->stat_floats;
}

size_t train_packed_bytes(const struct plan_train *t) {
    size_t bytes = sizeof(struct head) + state_floats(t) * sizeof(float);
    return (bytes + SLICE - 1) / SLICE * SLICE;
}

struct part { // of the state
    float *at;
    size_t n;
};
#define PARTS (3 + TRAIN_MOMENTS)

static size_t parts_of(const struct training *g, struct part *out) {
    const struct plan_train *t = g->train;
    const struct train_copy *c = &g->copies[g->now];
    size_t n = 0;
    out[n++] = (struct part){g->losses, t->epochs};
    out[n++] = (struct part){c->params, t->param_floats};
    for (size_t i = 0; i < t->nmoments; i++)
        out[n++] = (struct part){c->moments[i], t->param_floats};
    out[n++] = (struct part){c->stats, t->stat_floats};
    return n;
}

static void pack(struct training *g) {
    struct head head = {CHECKPOINT_VERSION, g->step, g->epoch_sum};
    struct part parts[PARTS];
    char *to = g->packed;
    memcpy(to, &head, sizeof head);
    to += sizeof head;
    size_t n = parts_of(g, parts);
    for (size_t i = 0; i < n; i++) {
        memcpy(to, parts[i].at, parts[i].n * sizeof(float));
        to += parts[i].n * sizeof(float);
    }
}

void train_checkpoint(struct training *g) {
    const struct plan_train *t = g->train;
    if (!store_of(t, g->options) || g->later >= g->steps) return;
    pack(g);
    store_put(g->options->store, *record_key(t), g->slices, train_slices(t), SLICE,
              g->packed, seconds_since_put(g));
    g->checkpoints = true;
}

// Nobody goes on from it any more.
void train_checkpoint_drop(struct training *g) {
    const struct plan_train *t = g->train;
    if (g->checkpoints)
        store_forget(g->options->store, *record_key(t), g->slices, train_slices(t));
}

size_t train_slices(const struct plan_train *t) {
    return train_packed_bytes(t) / SLICE;
}

void train_name_slices(struct training *g) {
    for (size_t i = 0; i < train_slices(g->train); i++)
        g->slices[i] = row_key(g->rows->key, ROW_CHECKPOINT, i);
}

static void unpack(struct training *g, const struct head *head) {
    const char *from = g->packed + sizeof *head;
    struct part parts[PARTS];
    size_t n = parts_of(g, parts);
    for (size_t i = 0; i < n; i++) {
        memcpy(parts[i].at, from, parts[i].n * sizeof(float));
        from += parts[i].n * sizeof(float);
    }
    g->step = head->step;
    g->epoch_sum = head->epoch_sum;
}

void train_resume(struct training *g, size_t before) {
    const struct plan_train *t = g->train;
    size_t n = train_slices(t);
    struct head head;
    if (!store_of(t, g->options)) return;
    size_t found = store_get(g->options->store, *record_key(t), g->slices, n, SLICE,
                             g->packed, g->found);
    g->checkpoints = found > 0;
    if (found < n) return;
    memcpy(&head, g->packed, sizeof head);
    if (head.version != CHECKPOINT_VERSION) return;
    if (head.step < before) unpack(g, &head);
    else g->later = head.step;
}
