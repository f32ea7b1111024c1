// Pipelines that were compiled before.
#include "cli/lib/lib.h"

#include "runtime/bundle.h"

struct loading {
    const char *path;
    ddg_pipeline *out;
};

static bool load(struct call *call, void *ctx) {
    struct loading *l = ctx;
    ddg_pipeline *p = pipeline_new(call);
    struct bundle *b = bundle_open(p->arena, l->path, &call->d);
    struct bundle_variant *v = b ? bundle_choose(b, &call->d) : NULL;
    if (!v || !bundle_load(b, v, &call->d)) return false;
    p->plan = v->plan;
    pipeline_ready(call, p);
    l->out = p;
    return true;
}

ddg_pipeline *ddg_load(ddg_context *c, const char *path, ddg_error **error) {
    struct loading l = {.path = path};
    if (!path && c) return is_null(c, "the path", error), NULL;
    serve(c, load, &l, error);
    return l.out;
}
