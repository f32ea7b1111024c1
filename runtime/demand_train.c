// Trainings, as demands: the store is asked before anything is decoded or compiled; what
// is not there is trained on rows gathered for it alone.
#include "runtime/demand_impl.h"
#include "runtime/identity.h"

struct wish { // for one training
    struct demand *m;
    const struct plan_train *train;
    const struct plan_stage *stage; // gathers
    uint32_t which;
    struct list all; // rows
    struct digest key;
    bool known; // the key
    struct gather gathered;
    uint32_t *classes;
};

static bool remembered(const struct wish *w) {
    return w->train->memo && w->m->options->store;
}

static struct digest joined_key(const struct wish *w) {
    struct digest key = {w->all.n, 0};
    for (size_t i = 0; i < w->all.n; i++)
        key = digest_join(
            key, identity_memo_key(w->m->rowsets, w->train->memo, w->train->rowset, i));
    return key;
}

static bool find_key(struct wish *w, struct diags *d) {
    const struct plan_train *t = w->train;
    w->known = remembered(w);
    if (!w->known) return true;
    if (!demand_keys(w->m, t->memo, t->rowset, &w->all, d)) return false;
    for (size_t i = 0; w->known && i < w->all.n; i++)
        w->known = demand_key_known(w->m, t->memo, t->rowset, i);
    if (w->known) w->key = joined_key(w);
    return true;
}

static struct arena *stages_arena(const struct demand *m) {
    return m->options->stages ? m->options->stages : m->arena;
}

static bool find_trained(const struct wish *w, struct trained *out) {
    const struct demand *m = w->m;
    if (!w->known) return false;
    // The same may have been trained by this run under another name.
    if (!m->look) store_flush(m->options->store);
    return train_find(m->plan, w->which, w->key, m->options, stages_arena(m), out);
}

// ---- training ------------------------------------------------------------------------
static bool load_funcs(const struct wish *w, struct diags *d) {
    const struct run_options *o = w->m->options;
    const struct plan_train *t = w->train;
    uint32_t funcs[] = {t->step, t->update, t->ask};
    size_t n = t->ask == UINT32_MAX ? 2 : 3;
    return !o->load_funcs || o->load_funcs(o->load_ctx, funcs, n, d);
}

static bool gather_all(struct wish *w, struct diags *d) {
    const struct plan_train *t = w->train;
    w->gathered.rows = w->all.n;
    w->gathered.image_bytes = t->channels * t->height * t->width;
    w->gathered.label_bytes = t->labels ? t->classes * sizeof(float) : 0;
    if (!gather_begin(&w->gathered, GATHER_MEMORY, d, t->span)) return false;
    w->classes = mem_array(w->all.n, sizeof *w->classes);
    if (!w->classes) return diag_no_memory(d, t->span);
    for (size_t i = 0; i < w->all.n; i++)
        w->classes[i] = rowset_class(w->m->rowsets, t->rowset, i);
    return demand_write(w->m, w->stage, &w->all, &w->gathered, d);
}

static bool stopped_here(struct wish *w, const struct trained *out) {
    struct demand *m = w->m;
    m->stopped = true;
    m->stopped_in = w->train->name;
    m->stopped_done = out->seen;
    m->stopped_rows = train_until(w->train) * w->all.n;
    return false;
}

static bool train_gathered(struct wish *w, struct trained *out, struct diags *d) {
    size_t errors = d->errors;
    struct train_rows rows = {.rows = w->all.n,
                              .pixels = (const uint8_t *)w->gathered.images,
                              .classes = w->classes,
                              .key = w->key};
    if (w->train->labels) rows.soft = (const float *)(void *)w->gathered.labels;
    if (train_run(w->m->plan, w->which, &rows, w->m->options, stages_arena(w->m), out, d))
        return true;
    return d->errors > errors ? false : stopped_here(w, out);
}

static bool train_rows_of(struct wish *w, struct trained *out, struct diags *d) {
    struct cleanup held[2];
    cleanup_push(&held[0], gather_end, &w->gathered);
    cleanup_push(&held[1], mem_free_at, &w->classes);
    bool ok = demand_inputs(w->m, w->stage, &w->all, d) && gather_all(w, d) &&
              load_funcs(w, d) && train_gathered(w, out, d);
    cleanup_run(&held[1]);
    cleanup_run(&held[0]);
    return ok;
}

static bool look_at(struct wish *w, struct diags *d) {
    demand_tally(w->m, w->stage)->computed += w->all.n;
    return demand_inputs(w->m, w->stage, &w->all, d);
}

static bool grant(struct wish *w, struct trained *out, struct diags *d) {
    struct tally *t = demand_tally(w->m, w->stage);
    if (!find_key(w, d)) return false;
    t->rows += w->all.n;
    bool ok = true;
    if (find_trained(w, out)) t->reused += w->all.n;
    else ok = w->m->look ? look_at(w, d) : train_rows_of(w, out, d);
    demand_touched(w->m, w->stage);
    return ok;
}

bool demand_train(struct demand *m, uint32_t train, struct trained *out,
                  struct diags *d) {
    const struct plan_train *t = &m->plan->trains[train];
    struct wish w = {
        .m = m, .train = t, .stage = &m->plan->stages[t->stage], .which = train};
    *out = (struct trained){.name = t->name};
    if (!demand_rowset(m, t->rowset, d)) return false;
    if (!m->rowsets->at[t->rowset].made) return true; // not known yet which rows
    struct cleanup held;
    bool ok = list_all(&w.all, m->rowsets->at[t->rowset].rows);
    if (!ok) diag_no_memory(d, NO_SPAN);
    list_hold(&held, &w.all);
    ok = ok && grant(&w, out, d);
    cleanup_run(&held);
    return ok;
}
