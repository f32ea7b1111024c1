// `ddg run`: one program, or the points of a sweep one after the other, over one store.
//
// All points of a sweep are checked before the first one runs, and dropped again: there
// may be thousands, each with a model of its own. A point that fails while it runs does
// not keep the others from running.
#include "cli/base/interrupt.h"
#include "cli/base/progress.h"
#include "cli/base/report.h"
#include "cli/base/use_store.h"
#include "cli/base/words.h"
#include "cli/points.h"

struct session { // one command
    const struct points *points;
    struct arena *arena;
    size_t at; // the point being run
    struct store *store;
    const char *store_path;  // NULL: in memory
    const atomic_bool *stop; // NULL before the first point runs
    struct emit json;
    struct report_rows rows; // of the points so far
    struct timeline *times;  // NULL without --time
};

// ---- the store -----------------------------------------------------------------------
// Points share what they have in common even when nothing is remembered after them.
static void open_store(struct session *s, struct arena *arena) {
    struct store_options memory = {0};
    const char *why;
    char said[256];
    double began = timeline_now(s->times);
    s->store_path = store_place(s->points->args, arena, &why);
    s->store = store_for_program(s->points->args, false, arena);
    timeline_add(s->times, began, "open the store", NULL);
    if (s->store || s->points->n == 1) return;
    s->store_path = NULL;
    s->store = store_open(&memory, said, sizeof said);
}

// Once there is something to run: a program with a mistake in it makes no store.
static void begin_running(struct session *s) {
    if (s->stop) return;
    open_store(s, s->arena);
    s->stop = interrupt_catch();
}

// Whether what is computed is there for the next command.
static bool outlives(const struct session *s) {
    return s->store && s->store_path && store_writes(s->store);
}

// ---- a point -------------------------------------------------------------------------
static bool prepare(struct driver *v) {
    if (!driver_load(v)) return false;
    if (!v->program->graph->outs.n)
        return diag_error(&v->d, NO_SPAN, "%s saves nothing, so there is nothing to run",
                          v->options.path);
    return driver_lower(v, NULL) && driver_runs_here(v);
}

static bool run_plan(struct session *s, struct driver *v, struct run_report *report) {
    struct progress progress = progress_new(stderr);
    struct run_options o = {.threads = v->options.threads,
                            .store = s->store,
                            .audit = s->points->args->audit,
                            .stop = s->stop,
                            .times = s->times,
                            .load = driver_load_stage,
                            .load_ctx = v,
                            .stage = progress_stage,
                            .ctx = &progress};
    bool ok = plan_run(v->module.plan, &o, v->arena, report, &v->d);
    progress_end(&progress);
    return ok;
}

static void add_rows(struct session *s, const struct run_report *r) {
    struct report_rows rows = report_rows(r);
    s->rows.rows += rows.rows;
    s->rows.reused += rows.reused;
    s->rows.computed += rows.computed;
}

static void report(struct session *s, const struct run_report *r,
                   const struct report_times *t) {
    bool sweep = s->points->n > 1;
    add_rows(s, r);
    if (!s->points->args->json) {
        points_announce(s->points, s->at, stdout);
        report_print(r, t, stdout);
        if (sweep) fputc('\n', stdout);
        fflush(stdout);
        return;
    }
    if (sweep) emit_open(&s->json, NULL, '{');
    if (sweep) emit_string(&s->json, "point", s->points->at[s->at].name);
    if (sweep) emit_bool(&s->json, "failed", false);
    report_emit(r, t, &s->json);
    if (sweep) emit_close(&s->json, '}');
}

// The words come from the driver; scripts learn which point they are about.
static void report_failed(struct session *s) {
    if (s->points->n == 1) return;
    emit_open(&s->json, NULL, '{');
    emit_string(&s->json, "point", s->points->at[s->at].name);
    emit_bool(&s->json, "failed", true);
    emit_close(&s->json, '}');
}

static int run_point(void *ctx, struct arena *arena) {
    struct session *s = ctx;
    struct run_report r = {0};
    struct driver v;
    points_announce(s->points, s->at, stderr);
    point_driver(s->points, s->at, arena, &v);
    bool ok = prepare(&v);
    struct report_times t = {.before = v.load_s + v.passes_s};
    if (ok) begin_running(s);
    ok = ok && run_plan(s, &v, &r);
    t.code = v.load_s + v.passes_s + v.codegen_s - t.before;
    if (ok) report(s, &r, &t);
    if (r.stopped) report_stopped(&r, outlives(s), stderr);
    else if (!ok) report_failed(s);
    int code = driver_end(&v, ok);
    return r.stopped ? EXIT_STOPPED : code;
}

// ---- all of them ---------------------------------------------------------------------
static void report_sweep(const struct session *s, size_t failed, double seconds) {
    if (s->points->n == 1 || s->points->args->json) return;
    printf("%zu points, %zu failed: %s rows from the store, %s computed, %s\n",
           s->points->n, failed, count_words(s->rows.reused).at,
           count_words(s->rows.computed).at, time_words(seconds).at);
}

static int run_points(struct session *s) {
    size_t failed = 0;
    double start = clock_seconds();
    bool sweep = s->points->n > 1;
    emit_open(&s->json, NULL, '{');
    if (sweep) emit_open(&s->json, "points", '[');
    for (; s->at < s->points->n; s->at++) {
        int code = with_arena(run_point, s);
        if (code == EXIT_STOPPED) return code;
        failed += code != EXIT_DONE;
    }
    if (sweep) emit_close(&s->json, ']');
    if (sweep) emit_real(&s->json, "seconds", clock_seconds() - start);
    report_sweep(s, failed, clock_seconds() - start);
    return failed ? EXIT_WRONG : EXIT_DONE;
}

static void end_session(struct session *s, const struct args *a, int code,
                        struct arena *arena) {
    store_say_trouble(s->store, arena);
    bool reported = code == EXIT_DONE || (code == EXIT_WRONG && s->points->n > 1);
    if (a->json && reported) report_emit_store(s->store, s->store_path, arena, &s->json);
    double began = timeline_now(s->times);
    store_close(s->store);
    timeline_add(s->times, began, "close the store", NULL);
    if (s->times && a->json) report_emit_time(s->times, &s->json);
    if (s->times && !a->json) report_time(s->times, stdout);
    if (!a->json || !reported) return;
    emit_close(&s->json, '}');
    emit_print(&s->json, stdout);
}

int command_run(const struct args *a, struct arena *arena) {
    struct points points;
    if (!points_open(a, arena, &points)) return EXIT_WRONG;
    if (points.n > 1 && points_check(&points) != EXIT_DONE) return EXIT_WRONG;
    struct session s = {
        .points = &points, .arena = arena, .json = {.text = {.arena = arena}}};
    if (a->time) s.times = a->times;
    int code = run_points(&s);
    end_session(&s, a, code, arena);
    return code;
}
