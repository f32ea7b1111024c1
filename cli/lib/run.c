// Running a pipeline, and stopping it.
#include "cli/lib/lib.h"

#include "runtime/pool.h"
#include "runtime/settings.h"

#define MAX_THREADS ((size_t)1024)

struct running {
    ddg_pipeline *p;
    ddg_run_options o;
    struct call *call;
    struct run_report report;
    ddg_result *result;
};

// ---- what the run calls --------------------------------------------------------------
static void tell(void *ctx, const char *name, size_t done, size_t rows, double seconds) {
    struct running *r = ctx;
    ddg_progress now = {name, done, rows, seconds};
    if (!call_tell(r->call, r->o.progress, r->o.ctx, &now)) ddg_stop(r->p);
}

// What was given up half way cannot be taken up again.
static bool load_stage(void *ctx, const struct plan_stage *s, struct diags *d) {
    ddg_pipeline *p = ((struct running *)ctx)->p;
    if (p->loading)
        return diag_error(d, NO_SPAN,
                          "the pipeline could not be made ready in a run before: compile "
                          "it again");
    p->loading = true;
    bool ok = !p->load || p->load(p->load_ctx, s, d);
    if (ok && p->load && p->settled) plan_settle(p->arena, p->plan);
    p->loading = !ok;
    return ok;
}

// ---- the run -------------------------------------------------------------------------
bool call_tell(const struct call *call, bool (*progress)(void *, const ddg_progress *),
               void *ctx, const ddg_progress *now) {
    if (!progress) return true;
    locale_t ours = uselocale(call->locale);
    bool goes_on = progress(ctx, now);
    uselocale(ours);
    return goes_on;
}

bool call_stopped(struct call *call, const struct run_report *r, struct diags *d) {
    call->kind = DDG_ERROR_STOPPED;
    return diag_error(d, NO_SPAN, "stopped in `%s`, with %zu of %zu rows done",
                      r->stopped_in, r->stopped_done, r->stopped_rows);
}

static ddg_result *result_new(struct call *call, bool arrays) {
    struct arena *a = call_makes(call);
    ddg_result *r = NEW(a, ddg_result);
    r->context = call->context;
    r->arena = a;
    r->keep = (struct keep){.arena = a, .arrays = arrays};
    return r;
}

static void drop_arrays(void *keep) {
    keep_free(keep);
}

static bool run_plan(struct call *call, struct running *r) {
    ddg_pipeline *p = r->p;
    struct run_options o = {.threads = r->o.threads ? r->o.threads : pool_cores(),
                            .store = call->context->store,
                            .stop = &p->stop,
                            .no_files = r->o.no_files,
                            .keep = &r->result->keep,
                            .load = load_stage,
                            .load_ctx = r,
                            .stage = tell,
                            .ctx = r};
    if (p->threads) *p->threads = o.threads;
    bool ok = plan_run(p->plan, &o, call->arena, &r->report, &call->d);
    if (r->report.stopped) return call_stopped(call, &r->report, &call->d);
    return ok && (!p->finish || o.no_files || p->finish(p->load_ctx, &call->d));
}

static void take_stats(struct running *r) {
    struct run_rows sum = run_rows(&r->report);
    r->result->stats = (ddg_stats){.rows = sum.rows,
                                   .reused = sum.reused,
                                   .computed = sum.computed,
                                   .skipped = r->report.nskipped,
                                   .seconds = r->report.seconds};
}

static const char *warnings_text(struct arena *a, const struct diags *said) {
    struct text t = {.arena = a};
    diags_render(said, false, &t);
    return t.n ? t.at : "";
}

static void take_checks(struct running *r) {
    struct arena *a = r->result->arena;
    size_t n = r->result->nchecks = r->report.nchecks;
    r->result->checks = NEW_N(a, ddg_checked, n);
    for (size_t i = 0; i < n; i++) {
        const struct run_check *c = &r->report.checks[i];
        r->result->checks[i] = (ddg_checked){.model = arena_strdup(a, c->model),
                                             .images = arena_strdup(a, c->images),
                                             .rows = c->rows,
                                             .right = c->right,
                                             .guessing = c->guessing,
                                             .warnings = warnings_text(a, c->said)};
    }
}

static bool run(struct call *call, void *ctx) {
    struct running *r = ctx;
    struct cleanup arrays;
    r->call = call;
    r->result = result_new(call, !r->o.no_arrays);
    cleanup_push(&arrays, drop_arrays, &r->result->keep);
    bool ok = run_plan(call, r);
    if (!ok) {
        cleanup_run(&arrays);
        return false;
    }
    take_stats(r);
    take_checks(r);
    cleanup_pop(&arrays);
    call->made = NULL;
    context_hold(call->context);
    return true;
}

static bool options_read(ddg_pipeline *p, const ddg_run_options *o, ddg_run_options *out,
                         ddg_error **error) {
    static const size_t ends[] = {
        FIELD_END(ddg_run_options, size), FIELD_END(ddg_run_options, threads),
        FIELD_END(ddg_run_options, progress), FIELD_END(ddg_run_options, ctx)};
    const ddg_allocator *from = &p->context->allocator;
    *out = (ddg_run_options){0};
    if (o && !sized_copy(out, o, o->size, ends, COUNT(ends))) {
        error_say(error, from, DDG_ERROR_ARGUMENT,
                  "ddg_run_options.size is %zu; this library's is %zu", o->size,
                  sizeof *o);
        return false;
    }
    if (out->threads <= MAX_THREADS) return true;
    error_say(error, from, DDG_ERROR_ARGUMENT,
              "ddg_run_options.threads is %zu, more than %zu", out->threads, MAX_THREADS);
    return false;
}

ddg_result *ddg_run(ddg_pipeline *p, const ddg_run_options *o, ddg_error **error) {
    struct running r = {.p = p};
    if (!p) return is_null(NULL, "the pipeline", error), NULL;
    if (!options_read(p, o, &r.o, error)) return NULL;
    bool ok = serve(p->context, run, &r, error);
    if (!p->context->busy) atomic_store(&p->stop, false);
    return ok ? r.result : NULL;
}

// A store to an atomic without locks, and nothing else: signal handlers call it.
_Static_assert(ATOMIC_BOOL_LOCK_FREE == 2, "signal handlers may store to it");
void ddg_stop(ddg_pipeline *p) {
    if (p) atomic_store(&p->stop, true);
}
