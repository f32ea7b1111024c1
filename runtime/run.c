// See run.h.
#include "runtime/run.h"

#include "runtime/stage.h"

#include <sys/resource.h>

struct run {
    const struct plan *plan;
    const struct run_options *options;
    struct rowsets rowsets;
    struct saves saves;
    const char *stage;
    double start; // of the stage
};

static void report_progress(void *ctx, size_t done, size_t rows) {
    const struct run *r = ctx;
    if (r->options->stage)
        r->options->stage(r->options->ctx, r->stage, done, rows,
                          clock_seconds() - r->start);
}

static bool begin_saves(struct run *r, const struct plan_stage *s, struct diags *d) {
    for (size_t i = 0; i < r->plan->nsaves; i++)
        if (r->plan->saves[i].rowset == s->rowset && !save_begin(&r->saves, i, d))
            return false;
    return true;
}

static bool run_one(struct run *r, const struct plan_stage *s, struct run_stage *report,
                    struct diags *d) {
    r->start = clock_seconds();
    r->stage = s->name;
    if (!rowset_make(&r->rowsets, s->rowset, d)) return false;
    if (!columns_make(&r->rowsets, s->rowset, d) || !begin_saves(r, s, d)) return false;
    struct stage_run run = {.plan = r->plan,
                            .stage = s,
                            .rowsets = &r->rowsets,
                            .saves = &r->saves,
                            .threads = r->options->threads,
                            .progress = report_progress,
                            .progress_ctx = r};
    report_progress(r, 0, r->rowsets.at[s->rowset].rows);
    if (!stage_run(&run, d)) return false;
    *report = (struct run_stage){s->name, r->rowsets.at[s->rowset].rows,
                                 clock_seconds() - r->start};
    return true;
}

static void report_saves(const struct run *r, struct arena *arena,
                         struct run_report *out) {
    out->nsaved = r->plan->nsaves;
    out->saved = arena_alloc(arena, out->nsaved, sizeof *out->saved);
    for (size_t i = 0; i < out->nsaved; i++) {
        out->saved[i].to = r->plan->saves[i].to;
        out->saved[i].rows = r->rowsets.at[r->plan->saves[i].rowset].rows;
    }
}

static bool run_all(struct run *r, struct run_report *report, struct diags *d) {
    if (!rowsets_open(&r->rowsets, r->options->threads, d)) return false;
    if (!saves_check(&r->saves, d)) return false;
    for (size_t i = 0; i < r->plan->nstages; i++)
        if (!run_one(r, &r->plan->stages[i], &report->stages[i], d)) return false;
    return saves_commit(&r->saves, d);
}

bool plan_run(const struct plan *p, const struct run_options *o, struct arena *arena,
              struct run_report *report, struct diags *d) {
    double start = clock_seconds();
    struct run r = {.plan = p, .options = o};
    *report = (struct run_report){.nstages = p->nstages};
    report->stages = NEW_N(arena, struct run_stage, p->nstages);
    rowsets_init(&r.rowsets, arena, p);
    saves_init(&r.saves, arena, p, &r.rowsets);
    bool ok = run_all(&r, report, d);
    saves_abandon(&r.saves);
    if (ok) report_saves(&r, arena, report);
    report->skipped = r.rowsets.skipped.at;
    report->nskipped = r.rowsets.skipped.n;
    rowsets_close(&r.rowsets);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    report->peak_bytes = (size_t)usage.ru_maxrss * 1024;
    report->seconds = clock_seconds() - start;
    return ok;
}
