// The order of the passes, and how they are run. See pass.h.
#include "passes/pass.h"

#include "ir/text.h"

const struct pass passes[] = {
    {"lower", "pipeline ops become rowsets, stages and tensor functions", pass_lower,
     NULL},
    {"diff", "gradients become ordinary ops (reverse mode)", NULL, pass_diff},
    {"fold-norm", "batch norm and other per-channel scales join the weights", NULL,
     pass_fold_norm},
    {"sqnorm", "squared norms of weight gradients need no weight gradient", NULL,
     pass_sqnorm},
    {"narrow", "joins of many arrays become trees of joins", NULL, pass_narrow},
    {"fuse", "which values are stored, and which kernel computes each", NULL, pass_fuse},
    {"layout", "how stored values lie in memory", NULL, pass_layout},
    {"memory", "lifetimes become offsets; how many rows go through at once", NULL,
     pass_memory},
    {0},
};

#ifdef DDG_VERIFY
static void verify(const struct module *m, const char *after) {
    for (size_t i = 0; i < m->funcs.n; i++) {
        struct text why = {.arena = m->arena};
        if (!ir_verify(m->funcs.at[i].f, FAMILY_TENSOR, &why))
            BUG("after %s, %s: %s", after, m->funcs.at[i].f->name, why.at);
    }
}
#endif

static bool pass_run(struct module *m, const struct pass *p, struct diags *d) {
    if (p->module) return p->module(m, d);
    for (size_t i = 0; i < m->funcs.n; i++)
        if (!p->func(m, &m->funcs.at[i], d)) return false;
    return true;
}

bool passes_run(struct module *m, const char *last, double *seconds, struct diags *d) {
    for (const struct pass *p = passes; p->name; p++) {
        double start = clock_seconds();
        if (!pass_run(m, p, d)) return false;
        if (seconds) seconds[p - passes] = clock_seconds() - start;
#ifdef DDG_VERIFY
        verify(m, p->name);
#endif
        if (last && !strcmp(last, p->name)) break;
    }
    return true;
}
