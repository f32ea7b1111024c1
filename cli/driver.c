// See driver.h.
#include "cli/driver.h"

#include "cli/manifest.h"
#include "codegen/assemble.h"

void driver_init(struct driver *v, struct arena *arena, const struct driver_options *o) {
    *v = (struct driver){.arena = arena, .options = *o};
    diags_init(&v->d, arena);
}

void driver_free(struct driver *v) {
    if (v->codegen) codegen_free(v->codegen);
    v->codegen = NULL;
}

bool driver_load(struct driver *v) {
    double start = clock_seconds();
    struct program_options o = {v->options.path, v->options.defines, v->options.ndefines};
    v->program = program_load(v->arena, &o, &v->d);
    v->load_s = clock_seconds() - start;
    return v->program != NULL;
}

bool driver_lower(struct driver *v, const char *last) {
    double start = clock_seconds();
    if (!codegen_host_target(v->arena, &v->target, &v->d)) return false;
    v->module = (struct module){
        .arena = v->arena, .target = &v->target, .graph = v->program->graph};
    if (!passes_run(&v->module, last, NULL, &v->d)) return false;
    v->module.plan->version = DDG_VERSION;
    manifest_fields(v->arena, v->program, v->module.plan);
    v->passes_s = clock_seconds() - start;
    return true;
}

bool driver_codegen(struct driver *v) {
    double start = clock_seconds();
    struct module *m = &v->module;
    if (!(v->codegen = codegen_new(&v->target, &v->d))) return false;
    const struct kfunc **k = NEW_N(v->arena, const struct kfunc *, m->funcs.n);
    for (size_t i = 0; i < m->funcs.n; i++) k[i] = m->funcs.at[i].k;
    bool ok = assemble(v->codegen, &v->target, k, m->plan, v->arena, &v->d);
    v->codegen_s = clock_seconds() - start;
    return ok;
}

bool driver_link(struct driver *v) {
    double start = clock_seconds();
    bool ok = codegen_finish(v->codegen, v->options.threads, &v->d) &&
              assemble_link(v->codegen, v->module.plan, &v->d);
    v->codegen_s += clock_seconds() - start;
    return ok;
}
