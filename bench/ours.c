// See ours.h.
#include "bench/ours.h"

const char *task_write(struct arena *a, const struct task *p) {
    char *path = arena_printf(a, "%s/bench.ddg", p->folder);
    FILE *f = fopen(path, "w");
    if (!f) return NULL;
    fprintf(f, "x = images(\"%s\", size = %zu", p->images, p->size);
    if (p->limit) fprintf(f, ", limit = %zu", p->limit);
    fprintf(f,
            ")\nt = onnx(\"%s\", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, "
            "0.225])\n%s\n",
            p->model, p->body);
    return fclose(f) == 0 ? path : NULL;
}

bool ours_open(struct ours *o, const struct task *p, size_t threads) {
    *o = (struct ours){.arena = arena_must(), .threads = threads};
    struct driver *v = &o->driver;
    struct driver_options options = {
        .path = task_write(o->arena, p), .threads = threads, .bf16 = p->bf16};
    driver_init(v, o->arena, &options);
    bool ok = options.path && driver_load(v) && driver_lower(v, NULL) &&
              driver_codegen(v) && driver_link(v);
    diags_print(&v->d, stderr, false);
    o->compile_s = v->load_s + v->passes_s + v->codegen_s;
    if (!ok) ours_close(o);
    return ok;
}

// Costly stages are those that compute a value; a save only writes it.
static struct outcome outcome_of(const struct run_report *r) {
    struct outcome out = {0};
    size_t rows = 0;
    double costly = 0;
    for (size_t i = 0; i < r->nstages; i++) {
        out.seconds += r->stages[i].seconds;
        if (!r->stages[i].op) continue;
        rows += r->stages[i].rows;
        costly += r->stages[i].seconds;
    }
    out.rate = (double)rows / costly;
    return out;
}

// Time in functions, by the clock: other programs slow the peers down as well.
static double functions_rate(const struct profile *p, double rows, size_t threads) {
    struct profile_sum s = profile_sum(p);
    return rows * (double)threads / (s.kernels + s.parts[PROFILE_REST] + s.taken);
}

bool ours_run(struct ours *o, struct profile *profile, struct outcome *out) {
    struct arena *arena = arena_must();
    struct run_options run = {.threads = o->threads, .profile = profile};
    struct run_report report;
    bool ok = plan_run(o->driver.module.plan, &run, arena, &report, &o->driver.d);
    if (!ok) diags_print(&o->driver.d, stderr, false);
    if (ok) *out = outcome_of(&report);
    if (ok && profile)
        out->forward = functions_rate(profile, (double)report.stages[0].rows, o->threads);
    arena_free(arena);
    return ok;
}

void ours_close(struct ours *o) {
    driver_free(&o->driver);
    arena_free(o->arena);
}
