// Compiling programs: what libddg has and libddg_rt has not.
#include "cli/lib/lib.h"

#include "cli/bundle_out.h"
#include "cli/stub.h"
#include "runtime/pool.h"

struct compiled { // in the pipeline's arena
    struct driver driver;
};

struct compiling {
    const char *path, *text; // text NULL: what is in the file
    const ddg_define *defines;
    size_t n;
    ddg_pipeline *out;
};

// ---- arguments -----------------------------------------------------------------------
static bool wrong_define(ddg_context *c, size_t i, const char *why, ddg_error **error) {
    error_say(error, &c->allocator, DDG_ERROR_ARGUMENT, "the define %zu has %s", i, why);
    return false;
}

static bool defines_check(ddg_context *c, const ddg_define *d, size_t n,
                          ddg_error **error) {
    if (n && !d) return is_null(c, "the array of defines", error);
    for (size_t i = 0; i < n; i++) {
        if (!d[i].name) return wrong_define(c, i, "no name: it is NULL", error);
        if (!d[i].value) return wrong_define(c, i, "no value: it is NULL", error);
        if (!*d[i].name || strchr(d[i].name, '='))
            return wrong_define(c, i, "a name that no param can have", error);
    }
    return true;
}

// ---- compiling -----------------------------------------------------------------------
static struct driver_options options_of(struct arena *a, const struct compiling *m) {
    const char **defines = NEW_N(a, const char *, m->n);
    for (size_t i = 0; i < m->n; i++)
        defines[i] = arena_printf(a, "%s=%s", m->defines[i].name, m->defines[i].value);
    return (struct driver_options){.path = arena_strdup(a, m->path),
                                   .text = m->text ? arena_strdup(a, m->text) : NULL,
                                   .api = true,
                                   .defines = defines,
                                   .ndefines = m->n,
                                   .threads = pool_cores()};
}

struct training {
    struct call *call;
    atomic_bool stop;
};

static void tell(void *ctx, const char *name, size_t done, size_t rows, double seconds) {
    struct training *t = ctx;
    const ddg_context *c = t->call->context;
    ddg_progress now = {name, done, rows, seconds};
    if (!call_tell(t->call, c->progress, c->progress_ctx, &now))
        atomic_store(&t->stop, true);
}

// What the program trains is trained when it is compiled.
static bool train_act(void *ctx, struct driver *act, struct run_report *r) {
    struct training *t = ctx;
    struct run_options o = {.threads = act->options.threads,
                            .store = t->call->context->store,
                            .stop = &t->stop,
                            .stages = act->stages,
                            .stage = tell,
                            .ctx = t,
                            .load = driver_load_stage,
                            .load_funcs = driver_load_funcs,
                            .load_ctx = act};
    bool ok = plan_run(act->module.plan, &o, act->arena, r, &act->d);
    return r->stopped ? call_stopped(t->call, r, &act->d) : ok;
}

static bool prepare(struct call *call, struct driver *v) {
    struct training training = {.call = call};
    struct act_run run = {train_act, &training};
    if (!driver_load(v)) return false;
    if (!driver_saves(v, "run"))
        return diag_help(&v->d, "end it with `save(x, to = \"...\")`");
    return driver_rehearse(v) && driver_acts(v, &run) && driver_lower(v, NULL);
}

static bool save_models(void *driver, struct diags *d) {
    return driver_save_models(driver, d);
}

static void end_driver(void *driver) {
    driver_free(driver);
}

static bool compile(struct call *call, void *ctx) {
    struct compiling *m = ctx;
    ddg_pipeline *p = pipeline_new(call);
    p->compiled = NEW(p->arena, struct compiled);
    struct driver *v = &p->compiled->driver;
    const struct driver_options o = options_of(p->arena, m);
    driver_init(v, p->arena, &o);
    arena_defer(p->arena, end_driver, v);
    bool ok = prepare(call, v);
    call->d = v->d;
    if (!ok) return false;
    p->plan = v->module.plan;
    p->threads = &v->options.threads;
    p->load = driver_load_stage;
    p->load_ctx = v;
    if (v->module.nmodel_saves) p->finish = save_models;
    pipeline_ready(call, p);
    m->out = p;
    return true;
}

static ddg_pipeline *start(ddg_context *c, struct compiling *m, ddg_error **error) {
    if (c && !defines_check(c, m->defines, m->n, error)) return NULL;
    serve(c, compile, m, error);
    return m->out;
}

ddg_pipeline *ddg_compile_file(ddg_context *c, const char *path,
                               const ddg_define *defines, size_t n, ddg_error **error) {
    struct compiling m = {.path = path, .defines = defines, .n = n};
    if (c && !path) return is_null(c, "the path", error), NULL;
    return start(c, &m, error);
}

ddg_pipeline *ddg_compile_text(ddg_context *c, const char *name, const char *text,
                               const ddg_define *defines, size_t n, ddg_error **error) {
    struct compiling m = {.path = name, .text = text, .defines = defines, .n = n};
    if (c && !name) return is_null(c, "the name", error), NULL;
    if (c && !text) return is_null(c, "the text", error), NULL;
    return start(c, &m, error);
}

// ---- writing -------------------------------------------------------------------------
struct writing {
    ddg_pipeline *p;
    const char *to;
    const char *const *targets;
    size_t n;
    bool executable;
};

static bool is_set(const ddg_pipeline *p, const char *define) {
    for (size_t i = 0; i < p->plan->params.n; i++) {
        const char *name = p->plan->params.at[i].name;
        size_t n = strlen(name);
        if (p->given[i] && !strncmp(define, name, n) && define[n] == '=') return true;
    }
    return false;
}

// The program as it was compiled, and what was set since.
static struct driver_options options_now(struct arena *a, const ddg_pipeline *p) {
    struct driver_options o = p->compiled->driver.options;
    const char **defines = NEW_N(a, const char *, o.ndefines + p->plan->params.n);
    size_t n = 0;
    for (size_t i = 0; i < o.ndefines; i++)
        if (!is_set(p, o.defines[i])) defines[n++] = o.defines[i];
    for (size_t i = 0; i < p->plan->params.n; i++)
        if (p->given[i])
            defines[n++] =
                arena_printf(a, "%s=%s", p->plan->params.at[i].name, p->given[i]);
    o.defines = defines;
    o.ndefines = n;
    return o;
}

static bool same_sources(const struct program *a, const struct program *b) {
    bool same = a->sources.n == b->sources.n;
    for (size_t i = 0; same && i < a->sources.n; i++) {
        const struct source *x = a->sources.at[i], *y = b->sources.at[i];
        same = x->n == y->n && memcmp(x->text, y->text, x->n) == 0;
    }
    return same;
}

static bool same_models(const struct func *a, const struct func *b) {
    bool same = a->nodes.n == b->nodes.n;
    for (nid v = 0; same && v < a->nodes.n; v++) {
        const struct node *x = node_at(a, v), *y = node_at(b, v);
        same = x->op == y->op &&
               (!x->model || digest_eq(x->model->digest, y->model->digest));
    }
    return same;
}

// The files were read again, for what was set since: they should not be others by now.
static bool check_unchanged(struct driver *v, const struct program *before) {
    if (same_sources(v->program, before) && same_models(v->program->graph, before->graph))
        return true;
    diag_error(&v->d, NO_SPAN, "%s, or a file that it reads, is another by now",
               v->options.path);
    return diag_help(&v->d, "compile it again");
}

static bool write_plan(struct call *call, void *ctx) {
    const struct writing *w = ctx;
    struct arena *a = call_makes(call);
    struct driver *v = NEW(a, struct driver);
    const struct driver_options o = options_now(a, w->p);
    size_t n = 0;
    const void *prefix = w->executable ? stub_bytes(&n) : NULL;
    driver_init(v, a, &o);
    arena_defer(a, end_driver, v);
    const struct driver *before = &w->p->compiled->driver;
    bool ok = driver_load(v) && check_unchanged(v, before->program) &&
              driver_compiles(v) && driver_trained(v, before) &&
              driver_write(v, w->targets, w->n, prefix, n, w->to);
    call->d = v->d;
    return ok;
}

static bool targets_check(ddg_context *c, const char *const *targets, size_t n,
                          ddg_error **error) {
    if (n && !targets) return is_null(c, "the array of targets", error);
    for (size_t i = 0; i < n; i++)
        if (!targets[i]) return is_null(c, "a target", error);
    return true;
}

bool ddg_write(ddg_pipeline *p, const char *to, const char *const *targets, size_t n,
               bool executable, ddg_error **error) {
    struct writing w = {p, to, targets, n, executable};
    if (!p) return is_null(NULL, "the pipeline", error);
    if (!to) return is_null(p->context, "the path", error);
    if (!targets_check(p->context, targets, n, error)) return false;
    if (p->compiled) return serve(p->context, write_plan, &w, error);
    error_say(error, &p->context->allocator, DDG_ERROR_ARGUMENT,
              "the pipeline was loaded, not compiled: copy the file it came from");
    return false;
}
