// See session.h.
#include "cli/base/session.h"

#include "cli/base/interrupt.h"
#include "cli/base/profile_report.h"
#include "cli/base/progress.h"
#include "cli/base/use_store.h"
#include "runtime/peak.h"
#include "runtime/trace.h"

static void drop_profile(void *profile) {
    profile_free(profile);
}

static void begin_profile(struct session *s) {
    s->profile = profile_new(s->args->threads, s->args->trace != NULL);
    if (!s->profile) scope_no_memory();
    arena_defer(s->arena, drop_profile, s->profile);
    if (!s->args->trace) return;
    s->times->watch = profile_phase;
    s->times->watch_ctx = s->profile;
}

struct session session_of(const struct args *a, struct arena *arena) {
    struct session s = {.args = a, .arena = arena, .json = {.text = {.arena = arena}}};
    s.times = args_times(a);
    if (a->profile) begin_profile(&s);
    emit_open(&s.json, NULL, '{');
    return s;
}

static void open_store(struct session *s, bool shared) {
    struct store_options memory = {0};
    const char *why;
    char said[256];
    double began = timeline_now(s->times);
    s->store_path = store_place(s->args, s->arena, &why);
    s->store = store_for_program(s->args, false, s->arena);
    timeline_add(s->times, began, "open the store", NULL);
    if (s->store || !shared) return;
    s->store_path = NULL;
    s->store = store_open(&memory, said, sizeof said);
}

void session_begin(struct session *s, bool shared) {
    if (s->stop) return;
    open_store(s, shared);
    s->stop = interrupt_catch();
}

// Whether what is computed is there for the next command.
static bool outlives(const struct session *s) {
    return s->store && s->store_path && store_writes(s->store);
}

struct telling {
    struct progress progress;
    FILE *line; // where checks say what they found; NULL: to scripts only
};

static void tell_stage(void *ctx, const char *name, size_t done, size_t rows,
                       double seconds) {
    progress_stage(&((struct telling *)ctx)->progress, name, done, rows, seconds);
}

static void tell_check(void *ctx, const struct run_check *c) {
    struct telling *t = ctx;
    progress_end(&t->progress);
    report_check(c, t->line, stderr);
}

// Before anything is computed, so that a file that cannot be written is known soon.
static bool open_trace(struct session *s, const struct plan *p, struct diags *d) {
    if (!s->args->trace || s->trace) return true;
    const char *name = arena_printf(s->arena, "ddg %s", p->name);
    s->trace = trace_open(s->arena, s->args->trace, name, s->times->start, d);
    return s->trace != NULL;
}

bool session_run(struct session *s, const struct plan *p, const struct session_load *load,
                 struct arena *arena, struct run_report *report, struct diags *d) {
    struct telling t = {progress_new(stderr), s->only_checks ? stdout : stderr};
    if (s->only_checks && s->args->json) t.line = NULL;
    struct run_options o = {.threads = s->args->threads,
                            .store = s->store,
                            .audit = s->args->audit,
                            .stop = s->stop,
                            .stages = load->stages,
                            .times = s->times,
                            .profile = s->profile,
                            .load = load->fn,
                            .load_funcs = load->funcs,
                            .load_ctx = load->ctx,
                            .only_checks = s->only_checks,
                            .stage = tell_stage,
                            .checked = tell_check,
                            .ctx = &t};
    if (!open_trace(s, p, d)) return false;
    bool ok = plan_run(p, &o, arena, report, d);
    progress_end(&t.progress);
    if (s->trace) trace_add(s->trace, s->profile);
    if (report->stopped) report_stopped(report, outlives(s), stderr);
    return ok;
}

static void report_profile(struct session *s) {
    size_t threads = s->args->threads;
    if (!(s->peak > 0)) s->peak = peak_flops(threads, 0);
    struct profile_report r = {s->profile,   s->times, s->peak,
                               peak_lanes(), threads,  s->arena};
    if (s->args->json) profile_emit(&r, &s->json);
    else profile_print(&r, stdout);
}

void session_report(struct session *s, const struct run_report *r,
                    const struct report_times *t) {
    if (s->args->json) report_emit(r, t, &s->json);
    else report_print(r, t, stdout);
    if (s->profile) report_profile(s);
}

static void end_trace(struct session *s) {
    struct diags d;
    diags_init(&d, s->arena);
    if (s->times) s->times->watch = NULL;
    if (!s->trace) return;
    trace_add(s->trace, s->profile);
    if (!trace_close(s->trace, &d)) diags_print(&d, stderr, diag_color(stderr));
}

void session_end(struct session *s, bool reported) {
    bool json = s->args->json;
    store_say_trouble(s->store, s->arena);
    if (json && reported) report_emit_store(s->store, s->store_path, s->arena, &s->json);
    double began = timeline_now(s->times);
    store_close(s->store);
    timeline_add(s->times, began, "close the store", NULL);
    end_trace(s);
    if (s->args->time && json) report_emit_time(s->times, &s->json);
    if (s->args->time && !json) report_time(s->times, stdout);
    if (!json || !reported) return;
    emit_close(&s->json, '}');
    emit_print(&s->json, stdout);
}
