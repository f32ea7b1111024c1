// `ddg check`: what is wrong with a program and, with --data, with what it reads:
// everything that a run would find before it computes anything, and what its models say
// of its images.
#include "cli/base/session.h"
#include "cli/points.h"

struct preflight { // one command
    const struct points *points;
    struct session session;
    size_t at; // the point being checked
};

// Nothing is trained to look at images: what depends on that is left out.
static bool prepare(struct driver *v, struct arena *arena) {
    if (!driver_load(v) || !driver_rehearse(v)) return false;
    const struct func *graph = v->program->graph;
    if (v->acts.n) graph = acts_at(&v->acts, arena, v->acts.n, false).graph;
    v->graph = graph_checked(arena, graph);
    return driver_lower(v, NULL) && driver_runs_here(v);
}

static size_t guessing(const struct run_report *r) {
    size_t n = 0;
    for (size_t i = 0; i < r->nchecks; i++) n += r->checks[i].guessing;
    return n;
}

static void report(struct preflight *f, const struct run_report *r) {
    struct emit *json = &f->session.json;
    bool sweep = f->points->n > 1;
    if (!f->points->args->json) return;
    if (sweep) emit_open(json, NULL, '{');
    if (sweep) emit_string(json, "point", f->points->at[f->at].name);
    report_emit_checks(r, json);
    if (sweep) emit_close(json, '}');
}

static int check_point(void *ctx, struct arena *arena) {
    struct preflight *f = ctx;
    struct run_report r = {0};
    struct driver v;
    struct session_load load = {driver_load_stage, driver_load_funcs, &v, NULL};
    points_announce(f->points, f->at, stderr);
    point_driver(f->points, f->at, arena, &v);
    bool ok = prepare(&v, arena);
    if (ok) session_begin(&f->session, f->points->n > 1);
    ok = ok && session_run(&f->session, v.module.plan, &load, arena, &r, &v.d);
    report(f, &r);
    int code = driver_end(&v, ok && !guessing(&r));
    return r.stopped ? EXIT_STOPPED : code;
}

static int check_points(struct preflight *f) {
    bool sweep = f->points->n > 1;
    int worst = EXIT_DONE;
    if (sweep) emit_open(&f->session.json, "points", '[');
    for (; f->at < f->points->n; f->at++) {
        int code = with_arena(check_point, f);
        if (code == EXIT_STOPPED) return code;
        if (code != EXIT_DONE) worst = code;
    }
    if (sweep) emit_close(&f->session.json, ']');
    return worst;
}

int command_check(const struct args *a, struct arena *arena) {
    struct points points;
    if (!points_open(a, arena, &points)) return EXIT_WRONG;
    if (!a->data) return points_check(&points);
    struct preflight f = {.points = &points, .session = session_of(a, arena)};
    f.session.only_checks = true;
    int code = check_points(&f);
    session_end(&f.session, code != EXIT_STOPPED);
    return code;
}
