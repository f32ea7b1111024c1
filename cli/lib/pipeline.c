// Pipelines: their params, and their end.
#include "cli/lib/lib.h"

#include "runtime/settings.h"

// ---- lives ---------------------------------------------------------------------------
ddg_pipeline *pipeline_new(struct call *call) {
    struct arena *a = call_makes(call);
    ddg_pipeline *p = NEW(a, ddg_pipeline);
    p->context = call->context;
    p->arena = a;
    return p;
}

void pipeline_ready(struct call *call, ddg_pipeline *p) {
    p->values = NEW_N(p->arena, const char *, p->plan->params.n);
    p->given = NEW_N(p->arena, const char *, p->plan->params.n);
    call->made = NULL;
    context_hold(p->context);
}

static void free_pipeline(void *ctx) {
    ddg_pipeline *p = ctx;
    struct settled *s = p->settled;
    arena_free(p->arena);
    for (struct settled *below; s; s = below) {
        below = s->below;
        arena_free(s->arena);
    }
}

// After a bug the compiler's locks may be held: its things stay where they are.
void ddg_pipeline_free(ddg_pipeline *p) {
    ddg_context *c = p ? p->context : NULL;
    if (!c || c->busy || c->broken) return;
    serve_end(c, free_pipeline, p);
    context_drop(c);
}

// ---- asking --------------------------------------------------------------------------
size_t ddg_param_count(const ddg_pipeline *p) {
    return p ? p->plan->params.n : 0;
}

struct wording {
    const ddg_pipeline *p;
    size_t i;
};

static void word_value(void *ctx) {
    const struct wording *w = ctx;
    const ddg_pipeline *p = w->p;
    p->values[w->i] = value_literal(p->arena, &p->plan->params.at[w->i].at.value);
}

bool ddg_param_at(const ddg_pipeline *p, size_t i, ddg_param *out) {
    if (!out || i >= ddg_param_count(p)) return false;
    struct wording w = {p, i};
    if (!p->values[i]) serve_end(p->context, word_value, &w);
    if (!p->values[i]) return false;
    const struct plan_param *param = &p->plan->params.at[i];
    *out = (ddg_param){.name = param->name,
                       .type = value_type_name(param->at.value.kind),
                       .value = p->values[i],
                       .doc = param->doc,
                       .fixed = param->fixed};
    return true;
}

// ---- setting -------------------------------------------------------------------------
struct setting_call {
    ddg_pipeline *p;
    struct setting setting;
};

static size_t param_named(const ddg_pipeline *p, const char *name) {
    size_t i = 0;
    while (strcmp(p->plan->params.at[i].name, name) != 0) i++;
    return i;
}

// What is worked out lies in an arena of its own, which stays when it holds.
static bool set(struct call *call, void *ctx) {
    const struct setting_call *s = ctx;
    ddg_pipeline *p = s->p;
    struct arena *a = call_makes(call);
    struct settled *settled = NEW(a, struct settled);
    const char *value = arena_strdup(a, s->setting.value);
    if (!plan_set(a, p->plan, &s->setting, 1, &call->d)) return false;
    p->given[param_named(p, s->setting.name)] = value;
    memset(p->values, 0, p->plan->params.n * sizeof *p->values);
    *settled = (struct settled){a, p->settled};
    p->settled = settled;
    call->made = NULL;
    return true;
}

bool ddg_set(ddg_pipeline *p, const char *name, const char *value, ddg_error **error) {
    struct setting_call s = {p, {.name = name, .value = value}};
    if (!p) return is_null(NULL, "the pipeline", error);
    if (!name) return is_null(p->context, "the param's name", error);
    if (!value) return is_null(p->context, "the param's value", error);
    return serve(p->context, set, &s, error);
}
