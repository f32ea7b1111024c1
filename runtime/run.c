// See run.h.
#include "runtime/run.h"

#include "runtime/agree_run.h"
#include "runtime/measure.h"
#include "runtime/places.h"
#include "runtime/profile.h"
#include "runtime/trial_run.h"

#include <sys/resource.h>

static void report_stages(const struct demand *m, struct run_report *out) {
    out->nstages = m->touched;
    out->stages = NEW_N(m->arena, struct run_stage, m->touched);
    for (size_t i = 0; i < m->plan->nstages; i++) {
        const struct tally *t = &m->tallies[i];
        const struct plan_stage *s = &m->plan->stages[i];
        const char *op = s->saves ? NULL : m->plan->columns[s->target].op;
        if (!t->touched) continue;
        out->stages[t->order] =
            (struct run_stage){s->name, op, t->rows, t->reused, t->computed, t->seconds};
    }
}

static void report_saves(const struct demand *m, struct run_report *out) {
    out->nsaved = m->plan->nsaves;
    out->saved = NEW_N(m->arena, struct run_saved, out->nsaved);
    for (size_t i = 0; i < out->nsaved; i++)
        out->saved[i] = (struct run_saved){m->plan->saves[i].to,
                                           m->rowsets->at[m->plan->saves[i].rowset].rows};
}

static void report_run(const struct demand *m, bool ok, struct run_report *out) {
    report_stages(m, out);
    if (ok && !m->options->only_checks) report_saves(m, out);
    out->trained = m->trained;
    out->ntrained = m->ntrained;
    out->tables = m->tables;
    out->ntables = ok && m->tables ? m->plan->ntables : 0;
    out->audited = m->audited;
    out->checks = m->checks.at;
    out->nchecks = m->checks.n;
    out->agreements = m->agreements.at;
    out->nagreements = ok ? m->agreements.n : 0;
    out->skipped = m->rowsets->skipped.at;
    out->nskipped = m->rowsets->skipped.n;
    out->stopped = m->stopped;
    out->stopped_in = m->stopped_in;
    out->stopped_done = m->stopped_done;
    out->stopped_rows = m->stopped_rows;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    out->peak_bytes = (size_t)usage.ru_maxrss * 1024;
}

struct run_rows run_rows(const struct run_report *r) {
    struct run_rows sum = {0};
    for (size_t i = 0; i < r->nstages; i++) {
        if (!r->stages[i].op) continue;
        sum.rows += r->stages[i].rows;
        sum.reused += r->stages[i].reused;
        sum.computed += r->stages[i].computed;
    }
    return sum;
}

// Before anything that takes long.
static bool run_checks(struct demand *m, struct diags *d) {
    for (uint32_t i = 0; i < m->plan->ntrials; i++)
        if (!trial_run(m, i, d)) return false;
    return true;
}

static bool run_trains(struct demand *m, struct diags *d) {
    struct trained *trained = NEW_N(m->arena, struct trained, m->plan->ntrains);
    m->trained = trained;
    for (uint32_t i = 0; i < m->plan->ntrains; i++, m->ntrained++)
        if (!demand_train(m, i, &trained[i], d)) return false;
    return true;
}

static bool check_places(struct demand *m, struct diags *d) {
    bool files = !m->options->no_files;
    return (!files || places_apart(m->arena, m->plan, d)) && saves_check(m->saves, d) &&
           (!files || tables_check(m->arena, m->plan, d));
}

static bool measure(struct demand *m, struct diags *d) {
    struct measured *all;
    if (!measures_demand(m, &all, d)) return false;
    m->tables = measured_tables(m->arena, m->plan, all);
    return true;
}

static bool commit(struct demand *m, struct diags *d) {
    return saves_commit(m->saves, d) &&
           (m->options->no_files || tables_write(m->arena, m->plan, m->tables, d));
}

static bool run_all(struct demand *m, struct diags *d) {
    struct timeline *times = m->options->times;
    double began = timeline_now(times);
    bool ok = rowsets_open(m->rowsets, m->options->store, m->options->threads, d);
    timeline_add(times, began, "list the images", NULL);
    if (!ok) return false;
    if (m->options->only_checks) return run_checks(m, d);
    if (!check_places(m, d) || !run_checks(m, d) || !run_trains(m, d)) return false;
    for (uint32_t i = 0; i < m->plan->nsaves; i++)
        if (!demand_save(m, i, d)) return false;
    if (!measure(m, d) || !agree_run(m, d)) return false;
    began = timeline_now(times);
    ok = commit(m, d);
    timeline_add(times, began, "put results in place", NULL);
    return ok;
}

static void abandon_saves(void *saves) {
    saves_abandon(saves);
}

bool plan_run(const struct plan *p, const struct run_options *o, struct arena *arena,
              struct run_report *report, struct diags *d) {
    double start = clock_seconds();
    struct rowsets rowsets;
    struct saves saves;
    struct demand m;
    struct cleanup close, abandon;
    *report = (struct run_report){0};
    profile_begin(o->profile, p);
    rowsets_init(&rowsets, arena, p);
    rowsets_hold(&close, &rowsets);
    saves_init(&saves, arena, p, &rowsets, !o->no_files, o->keep);
    cleanup_push(&abandon, abandon_saves, &saves);
    demand_init(&m, arena, p, o, &rowsets, &saves);
    bool ok = run_all(&m, d);
    cleanup_run(&abandon);
    double began = timeline_now(o->times);
    store_flush(o->store);
    timeline_add(o->times, began, "flush the store", NULL);
    report_run(&m, ok, report);
    cleanup_run(&close);
    report->seconds = clock_seconds() - start;
    return ok;
}
