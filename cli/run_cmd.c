// `ddg run`: one program, or the points of a sweep one after the other, over one store.
//
// All points of a sweep are checked before the first one runs, and dropped again: there
// may be thousands, each with a model of its own. A point that fails while it runs does
// not keep the others from running.
#include "cli/act_run.h"
#include "cli/base/words.h"
#include "cli/points.h"
#include "cli/tune_report.h"

struct sweep { // one command
    const struct points *points;
    struct session session;
    size_t at;            // the point being run
    struct run_rows rows; // of the points so far
    bool said_fp32;       // of a point that asks for bf16
    struct tuner *tuner;  // NULL without --tune
};

// ---- a point -------------------------------------------------------------------------
static bool prepare(struct driver *v) {
    return driver_load(v) && driver_saves(v, "run") && driver_rehearse(v) &&
           driver_places(v);
}

// Trainings are done when the rest of a program that has some is lowered.
static bool prepare_last(struct sweep *s, struct driver *v, struct run_report *all) {
    if (v->acts.n) session_begin(&s->session, true);
    return session_acts(&s->session, v, all) && driver_lower(v, NULL) &&
           driver_runs_here(v);
}

static void say_fp32(struct sweep *s, const struct driver *v) {
    if (s->said_fp32 || !driver_lacks_bf16(v)) return;
    s->said_fp32 = true;
    fprintf(stderr,
            "ddg: %s has no dot products of bf16, so networks are computed in fp32\n",
            v->options.target ? v->options.target : "this processor");
}

static void add_rows(struct sweep *s, const struct run_report *r) {
    struct run_rows rows = run_rows(r);
    s->rows.rows += rows.rows;
    s->rows.reused += rows.reused;
    s->rows.computed += rows.computed;
}

// Opens the object in which scripts find a point of a sweep.
static void emit_point(struct sweep *s, bool failed) {
    struct emit *json = &s->session.json;
    emit_open(json, NULL, '{');
    emit_string(json, "point", s->points->at[s->at].name);
    emit_bool(json, "failed", failed);
}

static void report_models(struct sweep *s, const struct driver *v) {
    struct emit *json = &s->session.json;
    bool scripts = s->points->args->json;
    if (scripts) emit_open(json, "models", '[');
    for (size_t i = 0; i < v->module.nmodel_saves; i++) {
        const char *to = v->module.model_saves[i].to;
        if (scripts) emit_string(json, NULL, to);
        else printf("wrote the network to %s\n", to);
    }
    if (scripts) emit_close(json, ']');
}

static void report(struct sweep *s, const struct driver *v, const struct run_report *r,
                   const struct report_times *t) {
    bool sweep = s->points->n > 1, json = s->points->args->json;
    add_rows(s, r);
    if (sweep && json) emit_point(s, false);
    if (!json) points_announce(s->points, s->at, stdout);
    session_report(&s->session, r, t);
    report_models(s, v);
    if (sweep && json) emit_close(&s->session.json, '}');
    if (sweep && !json) fputc('\n', stdout);
    fflush(stdout);
}

// The words come from the driver; scripts learn which point they are about.
static void report_failed(struct sweep *s) {
    if (s->points->n == 1) return;
    emit_point(s, true);
    emit_close(&s->session.json, '}');
}

static int run_point(void *ctx, struct arena *arena) {
    struct sweep *s = ctx;
    struct run_report r = {0}, all = {0};
    struct driver v;
    struct session_load load = {driver_load_stage, driver_load_funcs, &v, NULL};
    points_announce(s->points, s->at, stderr);
    point_driver(s->points, s->at, arena, &v);
    v.options.twins = true;
    bool ok = prepare(&v) && prepare_last(s, &v, &all);
    if (ok) say_fp32(s, &v);
    struct report_times t = {.before = v.load_s + v.passes_s};
    if (ok) session_begin(&s->session, s->points->n > 1);
    ok = ok && session_run(&s->session, v.module.plan, &load, arena, &r, &v.d);
    t.code = v.load_s + v.passes_s + v.codegen_s - t.before;
    bool stopped = r.stopped || all.stopped;
    ok = ok && driver_save_models(&v, &v.d);
    if (ok) report_join_last(&all, &r, arena);
    if (ok) report(s, &v, &all, &t);
    else if (!stopped) report_failed(s);
    int code = driver_end(&v, ok);
    return stopped ? EXIT_STOPPED : code;
}

// ---- all of them ---------------------------------------------------------------------
static void report_sweep(const struct sweep *s, size_t failed, double seconds) {
    if (s->points->n == 1 || s->points->args->json) return;
    printf("%zu points, %zu failed: %s rows from the store, %s computed, %s\n",
           s->points->n, failed, count_words(s->rows.reused).at,
           count_words(s->rows.computed).at, time_words(seconds).at);
}

static int run_points(struct sweep *s) {
    size_t failed = 0;
    double start = clock_seconds();
    bool sweep = s->points->n > 1;
    if (sweep) emit_open(&s->session.json, "points", '[');
    for (; s->at < s->points->n; s->at++) {
        int code = with_arena(run_point, s);
        if (code == EXIT_STOPPED) return code;
        failed += code != EXIT_DONE;
    }
    if (sweep) emit_close(&s->session.json, ']');
    if (sweep) emit_real(&s->session.json, "seconds", clock_seconds() - start);
    report_sweep(s, failed, clock_seconds() - start);
    return failed ? EXIT_WRONG : EXIT_DONE;
}

// What is known stands in the store, so that is opened before anything is lowered.
static const struct tuner *begin_tuning(struct sweep *s, struct arena *arena) {
    const struct args *a = s->points->args;
    session_begin(&s->session, s->points->n > 1);
    s->tuner = tuner_for(a, arena, s->session.store, false, s->session.stop);
    return s->tuner;
}

static void report_tuning(struct sweep *s) {
    if (s->points->args->json) tune_emit(s->tuner, &s->session.json);
    else tune_print(s->tuner, false, stdout);
    tune_say_trouble(s->tuner);
}

int command_run(const struct args *a, struct arena *arena) {
    struct points points;
    if (!points_open(a, arena, &points)) return EXIT_WRONG;
    if (points.n > 1 && points_check(&points) != EXIT_DONE) return EXIT_WRONG;
    struct sweep s = {.points = &points, .session = session_of(a, arena)};
    if (a->tune) points.tuning = tuning_of(begin_tuning(&s, arena));
    int code = run_points(&s);
    bool reported = code == EXIT_DONE || (code == EXIT_WRONG && points.n > 1);
    if (reported) report_tuning(&s);
    session_end(&s.session, reported);
    return code;
}
