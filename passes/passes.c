// The order of the passes, and how they are run. See pass.h.
#include "passes/pass.h"

#include "ir/text.h"

const struct pass passes[] = {
    {"lower", "pipeline ops become rowsets, stages and tensor functions", pass_lower,
     NULL},
    {"cache", "which values are remembered, and by what", pass_cache, NULL},
    {"diff", "gradients become ordinary ops (reverse mode)", NULL, pass_diff},
    {"fold-norm", "batch norm and other per-channel scales join the weights", NULL,
     pass_fold_norm},
    {"sqnorm", "squared norms of weight gradients need no weight gradient", NULL,
     pass_sqnorm},
    {"pack", "weights that are no constants, as products and convolutions want them",
     NULL, pass_pack},
    {"unfold", "convolutions with computed weights become matrix products", NULL,
     pass_unfold},
    {"shapes", "elementwise ops and operands of products, as kernels want them", NULL,
     pass_shapes},
    {"narrow", "joins of many arrays become trees of joins", NULL, pass_narrow},
    {"precision", "which products are of bf16, where the program lets them", NULL,
     pass_precision},
    {"fuse", "which values are stored, and which kernel computes each", NULL, pass_fuse},
    {"hand-over", "results that are maps in blocks lie as kernels store them", NULL,
     pass_hand_over},
    {"algorithms", "how each convolution is computed", NULL, pass_algorithms},
    {"layout", "how stored values lie in memory", NULL, pass_layout},
    {"memory", "lifetimes become offsets; how many rows go through at once", NULL,
     pass_memory},
    {0},
};

// Fusion decides what is stored; what is computed is settled before it.
static const char last_before_kernels[] = "precision";

static void verify(const struct module *m, size_t i, const struct pass *after) {
#ifdef DDG_VERIFY
    const struct func *f = m->funcs.at[i].f;
    struct text why = {.arena = m->arena};
    if (!ir_verify(f, FAMILY_TENSOR, &why))
        BUG("after %s, %s: %s", after->name, f->name, why.at);
#else
    (void)m, (void)i, (void)after;
#endif
}

// The row behind the pass of this name; NULL: behind the last.
static const struct pass *pass_behind(const char *last) {
    const struct pass *p = passes;
    while (p->name && !(last && !strcmp(p->name, last))) p++;
    return p->name ? p + 1 : p;
}

static bool run_module(struct module *m, const struct pass *p, struct diags *d) {
    double began = timeline_now(m->times);
    bool ok = p->module(m, d);
    timeline_add(m->times, began, "pass", p->name);
    for (size_t i = 0; ok && i < m->funcs.n; i++) verify(m, i, p);
    return ok;
}

bool passes_run_module(struct module *m, struct diags *d) {
    for (const struct pass *p = passes; p->name; p++)
        if (p->module && !run_module(m, p, d)) return false;
    return true;
}

static bool run_func(struct module *m, size_t i, const struct pass *p, struct diags *d) {
    double began = timeline_now(m->times);
    bool ok = p->func(m, &m->funcs.at[i], d);
    timeline_add(m->times, began, "pass", p->name);
    if (ok) verify(m, i, p);
    return ok;
}

bool passes_run_func(struct module *m, size_t i, const char *last, struct diags *d) {
    const struct pass *end = pass_behind(last);
    size_t *passed = &m->funcs.at[i].passed;
    for (const struct pass *p = passes + *passed; p < end; p++) {
        if (p->func && !run_func(m, i, p, d)) return false;
        *passed = (size_t)(p - passes) + 1;
    }
    return true;
}

bool passes_run(struct module *m, const char *last, struct diags *d) {
    const struct pass *end = pass_behind(last);
    for (const struct pass *p = passes; p < end; p++) {
        if (p->module && !run_module(m, p, d)) return false;
        for (size_t i = 0; p->func && i < m->funcs.n; i++)
            if (!passes_run_func(m, i, p->name, d)) return false;
    }
    return true;
}

bool module_flops(struct module *m, size_t i, double *flops, struct diags *d) {
    if (!passes_run_func(m, i, last_before_kernels, d)) return false;
    *flops = func_flops(m->funcs.at[i].f);
    return true;
}
