// See driver.h.
#include "cli/driver.h"

#include "cli/manifest.h"
#include "frontend/networks.h"
#include "passes/late.h"
#include "runtime/cpu.h"
#include "runtime/outfile.h"

void driver_init(struct driver *v, struct arena *arena, const struct driver_options *o) {
    *v = (struct driver){.arena = arena, .options = *o};
    diags_init(&v->d, arena);
}

void driver_free(struct driver *v) {
    codegen_free(v->codegen);
    v->codegen = NULL;
}

bool driver_load(struct driver *v) {
    double start = clock_seconds();
    struct program_options o = {.path = v->options.path,
                                .defines = v->options.defines,
                                .ndefines = v->options.ndefines,
                                .text = v->options.text,
                                .api = v->options.api,
                                .model = v->options.model,
                                .bf16 = v->options.bf16,
                                .times = v->options.times};
    v->program = program_load(v->arena, &o, &v->d);
    if (v->program) acts_init(&v->acts, v->arena, v->program->graph);
    v->load_s = clock_seconds() - start;
    return v->program != NULL;
}

bool driver_saves(struct driver *v, const char *what) {
    if (v->program->graph->outs.n) return true;
    return diag_error(&v->d, NO_SPAN, "%s saves nothing, so there is nothing to %s",
                      v->options.path, what);
}

// ---- where results go ----------------------------------------------------------------
static const char *place_of(const struct driver *v, const struct node *n) {
    if (n->op != OP_SAVE && n->op != OP_REPORT) return NULL;
    const struct value *to = node_attr(n, "to");
    if (to->kind != VAL_STRING) return NULL;
    return sweep_target(v->arena, to->s, v->options.point);
}

// What is there already is looked at when it is written.
bool driver_places(struct driver *v) {
    const struct func *g = v->program->graph;
    for (size_t i = 0; i < g->outs.n; i++) {
        const struct node *n = node_at(g, g->outs.at[i]);
        const char *to = place_of(v, n);
        if (to && !out_place_check(v->arena, to, &v->d, n->span)) return false;
    }
    return true;
}

bool driver_save_models(const struct driver *v, struct diags *d) {
    for (size_t i = 0; i < v->module.nmodel_saves; i++) {
        const struct model_save *s = &v->module.model_saves[i];
        if (!model_write(s->model, s->to, d, s->span)) return false;
    }
    return true;
}

// The compiler is what writes networks.
bool driver_compiles(struct driver *v) {
    const struct func *g = v->program->graph;
    for (size_t i = 0; i < g->outs.n; i++) {
        const struct node *n = node_at(g, g->outs.at[i]);
        if (n->op != OP_SAVE || type_at(g, n->in[0])->kind != KIND_MODEL) continue;
        diag_error(&v->d, n->span, "compiled programs cannot save networks");
        return diag_help(&v->d, "`ddg run` does; take the line out to compile the rest");
    }
    return true;
}

// A point of a sweep has its place, whatever its params say.
static void place_results(struct driver *v) {
    struct plan *p = v->module.plan;
    if (!v->options.point) return;
    for (size_t i = 0; i < p->nsaves; i++)
        p->saves[i].to = sweep_target(v->arena, p->saves[i].to, v->options.point);
    for (size_t i = 0; i < p->ntables; i++)
        if (p->tables[i].to)
            p->tables[i].to = sweep_target(v->arena, p->tables[i].to, v->options.point);
    for (size_t i = 0; i < v->module.nmodel_saves; i++) {
        const char **to = &v->module.model_saves[i].to;
        *to = sweep_target(v->arena, *to, v->options.point);
    }
    size_t kept = 0;
    for (size_t i = 0; i < p->uses.n; i++)
        if (p->uses.at[i].place != USE_TO && p->uses.at[i].place != USE_TABLE)
            p->uses.at[kept++] = p->uses.at[i];
    p->uses.n = kept;
}

const char *program_name(struct arena *a, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    return dot && dot > name ? arena_strndup(a, name, (size_t)(dot - name)) : name;
}

// What can be said of the program without having it.
static void describe_program(struct driver *v) {
    struct plan *p = v->module.plan;
    const struct program *program = v->program;
    const char **fixed = late_fixed(v->arena, program->graph, program->params.n);
    p->version = DDG_VERSION;
    p->name = program_name(v->arena, program->path);
    for (size_t i = 0; i < program->sources.n; i++)
        VEC_PUSH(v->arena, &p->sources, program->sources.at[i]);
    for (size_t i = 0; i < program->params.n; i++) {
        const struct param *q = &program->params.at[i];
        struct formula_param at = {q->value, q->folder};
        at.value.of = q->follows;
        VEC_PUSH(v->arena, &p->params,
                 (struct plan_param){.name = q->name,
                                     .doc = q->doc,
                                     .span = q->span,
                                     .at = at,
                                     .fixed = fixed[i]});
    }
    manifest_fields(v->arena, program, &v->acts, v->target.bf16, p);
}

static const char *target_name(const struct driver *v) {
    return v->options.target ? v->options.target : "native";
}

// The code of other programs runs on processors without, as the rest of it lets it.
static bool wants_bf16(const struct func *graph) {
    for (nid v = 0; v < graph->nodes.n; v++) {
        const struct model *m = node_at(graph, v)->model;
        if (m && m->bf16) return true;
    }
    return false;
}

// A processor without bf16 computes everything in fp32.
static void add_twins(struct driver *v) {
    struct module *m = &v->module;
    if (v->options.twins && v->target.bf16)
        m->graph = graph_twinned(v->arena, m->graph, &m->twins, &m->ntwins);
}

bool driver_lower(struct driver *v, const char *last) {
    double start = clock_seconds();
    const struct func *graph = v->graph;
    if (!graph && v->acts.n) graph = acts_at(&v->acts, v->arena, v->acts.n, true).graph;
    else if (!graph) graph = v->program->graph;
    if (!codegen_target_named(v->arena, target_name(v), &v->target, &v->d)) return false;
    v->target.bf16 = v->target.bf16 && wants_bf16(graph);
    v->module = (struct module){.arena = v->arena,
                                .target = &v->target,
                                .graph = graph,
                                .times = v->options.times,
                                .unshared = v->options.unshared,
                                .tuning = v->options.tuning};
    add_twins(v);
    bool ok =
        last ? passes_run(&v->module, last, &v->d) : passes_run_module(&v->module, &v->d);
    if (!ok) return false;
    describe_program(v);
    place_results(v);
    v->passes_s += clock_seconds() - start;
    return true;
}

bool driver_lacks_bf16(const struct driver *v) {
    return wants_bf16(v->program->graph) && !v->target.bf16;
}

bool driver_runs_here(struct driver *v) {
    const char *lacks = cpu_lacks(v->arena, codegen_needs(v->arena, &v->target));
    if (!lacks) return true;
    diag_error(&v->d, NO_SPAN, "this processor cannot run code for %s: it has no %s",
               target_name(v), lacks);
    return diag_help(&v->d, "without --target, code is made for this processor");
}

bool driver_flops(struct driver *v) {
    double start = clock_seconds();
    struct plan *p = v->module.plan;
    bool ok = true;
    for (size_t i = 0; i < p->nfuncs && ok; i++)
        ok = module_flops(&v->module, i, &p->funcs[i].flops, &v->d);
    v->passes_s += clock_seconds() - start;
    return ok;
}

// ---- acts ----------------------------------------------------------------------------
static void end_driver(void *driver) {
    driver_free(driver);
}

// For one act: in an arena of its own but for what is said of it.
static struct driver *act_driver(struct driver *v, struct arena *a) {
    struct driver *act = NEW(a, struct driver);
    driver_init(act, a, &v->options);
    diags_init(&act->d, v->arena);
    act->program = v->program;
    act->stages = v->acts.arena;
    act->options.tuning = NULL;
    act->options.twins = false;
    arena_defer(a, end_driver, act);
    return act;
}

static void take_over(struct driver *v, const struct driver *act) {
    v->passes_s += act->passes_s;
    v->codegen_s += act->codegen_s;
    driver_adopt(v, &act->d);
}

void driver_adopt(struct driver *v, const struct diags *from) {
    for (size_t i = 0; i < from->list.n; i++)
        VEC_PUSH(v->arena, &v->d.list, from->list.at[i]);
    v->d.errors += from->errors;
    v->d.no_memory |= from->no_memory;
}

static bool with_act(struct driver *v, size_t i, bool (*fn)(void *, struct driver *),
                     void *ctx) {
    struct arena *a = arena_must();
    struct cleanup held;
    cleanup_push(&held, arena_drop, a);
    struct driver *act = act_driver(v, a);
    act->graph = acts_at(&v->acts, a, i, true).graph;
    bool ok = fn(ctx, act);
    take_over(v, act);
    cleanup_run(&held);
    return ok;
}

bool driver_each_act(struct driver *v, bool (*fn)(void *ctx, struct driver *act),
                     void *ctx) {
    if (!v->acts.n) return fn(ctx, v);
    for (size_t i = 0; i <= v->acts.n; i++)
        if (!with_act(v, i, fn, ctx)) return false;
    return true;
}

static bool rehearse(void *ctx, struct driver *act) {
    (void)ctx;
    return driver_lower(act, NULL);
}

bool driver_rehearse(struct driver *v) {
    return !v->acts.n || driver_each_act(v, rehearse, NULL);
}

static bool run_act(struct driver *v, size_t i, const struct act_run *run) {
    struct arena *a = arena_must();
    struct cleanup held;
    cleanup_push(&held, arena_drop, a);
    struct driver *act = act_driver(v, a);
    struct act at = acts_at(&v->acts, a, i, false);
    struct run_report r = {0};
    act->graph = at.graph;
    bool ok = !at.graph->outs.n || (driver_lower(act, NULL) && driver_runs_here(act) &&
                                    run->fn(run->ctx, act, &r));
    if (ok && r.ntrained) acts_learn(&v->acts, &at, act->module.plan, r.trained);
    take_over(v, act);
    cleanup_run(&held);
    return ok;
}

static bool take_last(struct driver *v) {
    v->graph = acts_at(&v->acts, v->arena, v->acts.n, false).graph;
    return true;
}

bool driver_acts(struct driver *v, const struct act_run *run) {
    if (!v->acts.n) return true;
    for (size_t i = 0; i < v->acts.n; i++)
        if (!run_act(v, i, run)) return false;
    return take_last(v);
}

bool driver_trained(struct driver *v, const struct driver *before) {
    CHECK(v->acts.n == before->acts.n);
    if (!v->acts.n) return true;
    v->acts.known = before->acts.known;
    return take_last(v);
}

// ---- code, when it is needed ---------------------------------------------------------
// Of constants, beside those in use: a program may have a hundred networks, and repeated
// runs of a few want them packed once.
#define MOST_CONSTANTS ((size_t)64 << 20)

static bool begin_code(struct driver *v, struct diags *d) {
    if (v->codegen) return true;
    if (!(v->codegen = codegen_new(&v->target, d))) return false;
    size_t most = v->options.sparing ? 0 : MOST_CONSTANTS;
    v->assembly = assembly_new(v->arena, v->codegen, &v->target, v->module.plan, most);
    assembly_times(v->assembly, v->options.times);
    v->added = NEW_N(v->arena, bool, v->module.funcs.n);
    return true;
}

// Asks for the code of a function the first time that it is needed.
static bool add_func(struct driver *v, size_t i, struct diags *d) {
    if (v->added[i]) return assembly_want(v->assembly, i), true;
    v->added[i] = true;
    double start = clock_seconds();
    bool ok = passes_run_func(&v->module, i, NULL, d);
    double passed = clock_seconds();
    ok = ok && assembly_add(v->assembly, i, v->module.funcs.at[i].k, d);
    timeline_add(v->options.times, passed, "emit kernels", NULL);
    v->passes_s += passed - start;
    v->codegen_s += clock_seconds() - passed;
    return ok;
}

static bool finish(struct driver *v, struct diags *d) {
    double start = clock_seconds();
    bool ok = assembly_finish(v->assembly, v->options.threads, d);
    v->codegen_s += clock_seconds() - start;
    return ok;
}

bool driver_load_stage(void *ctx, const struct plan_stage *s, struct diags *d) {
    struct driver *v = ctx;
    if (!begin_code(v, d)) return false;
    for (size_t i = 0; i < s->nsteps; i++)
        if (!add_func(v, s->steps[i].func, d)) return false;
    return finish(v, d);
}

bool driver_load_funcs(void *ctx, const uint32_t *funcs, size_t n, struct diags *d) {
    struct driver *v = ctx;
    if (!begin_code(v, d)) return false;
    for (size_t i = 0; i < n; i++)
        if (!add_func(v, funcs[i], d)) return false;
    return finish(v, d);
}

bool driver_codegen(struct driver *v) {
    if (!begin_code(v, &v->d)) return false;
    for (size_t i = 0; i < v->module.funcs.n; i++)
        if (!add_func(v, i, &v->d)) return false;
    return true;
}

bool driver_link(struct driver *v) {
    return finish(v, &v->d);
}

bool driver_image(struct driver *v, struct codegen_image *out) {
    if (!driver_codegen(v)) return false;
    double start = clock_seconds();
    bool ok = assembly_image(v->assembly, v->options.threads, out, &v->d);
    v->codegen_s += clock_seconds() - start;
    return ok;
}
