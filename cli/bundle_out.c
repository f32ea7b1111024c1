// See bundle_out.h.
#include "cli/bundle_out.h"

#include "cli/anchor.h"
#include "runtime/bundle.h"
#include "runtime/cpu.h"

struct writing {
    struct driver *v;
    struct bundle_variant variants[TARGETS_MAX];
    struct driver drivers[TARGETS_MAX]; // each plan belongs to one
    size_t n;
    bool runtime; // the file begins with it
};

static const struct bundle_kernel *kernels_of(struct arena *a,
                                              const struct codegen_image *image) {
    struct bundle_kernel *k = NEW_N(a, struct bundle_kernel, image->nkernels);
    for (size_t i = 0; i < image->nkernels; i++)
        k[i] = (struct bundle_kernel){image->kernels[i].symbol, image->kernels[i].entry,
                                      image->kernels[i].bytes};
    return k;
}

// The runtime's executable is of this machine's kind.
static bool fits_runtime(struct driver *v, const char *target) {
    const char *needs = codegen_needs(v->arena, &v->target);
    size_t n = strcspn(needs, ",");
    if (n == strlen(cpu_kind()) && strncmp(needs, cpu_kind(), n) == 0) return true;
    diag_error(
        &v->d, NO_SPAN,
        "an executable for %s cannot be made here: the runtime that it would begin "
        "with is for %s",
        target, cpu_kind());
    return diag_help(&v->d, "`--emit plan` writes what ddg_load opens on such a machine; "
                            "`--emit obj`, `asm` and `llvm` the kernels alone");
}

static void warn_of_fp32(struct driver *v, const char *target) {
    if (driver_lacks_bf16(v))
        diag_warning(&v->d, NO_SPAN,
                     "%s has no dot products of bf16, so networks are computed in fp32",
                     strcmp(target, "native") ? target : "this processor");
}

// The program is read once, lowered for each target anew.
static bool compile_for(struct writing *w, const char *target) {
    struct driver *v = &w->drivers[w->n], *first = w->v;
    struct driver_options o = first->options;
    struct codegen_image image;
    o.target = target;
    driver_init(v, first->arena, &o);
    v->program = first->program;
    v->acts = first->acts;
    v->graph = first->graph;
    bool ok = driver_lower(v, NULL) && (!w->runtime || fits_runtime(v, target)) &&
              driver_image(v, &image) && plan_anchor(v->arena, v->module.plan, &v->d);
    if (!ok) return false;
    warn_of_fp32(v, target);
    w->variants[w->n++] =
        (struct bundle_variant){.target = target,
                                .cpu = v->target.cpu,
                                .needs = codegen_needs(v->arena, &v->target),
                                .numerics = v->target.numerics,
                                .code = image.bytes,
                                .code_bytes = image.n,
                                .nkernels = image.nkernels,
                                .kernels = kernels_of(v->arena, &image),
                                .plan = v->module.plan};
    return true;
}

static bool named_twice(const char *const *targets, size_t n, struct diags *d) {
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (!strcmp(targets[i], targets[k]))
                return !diag_error(d, NO_SPAN, "target `%s` is named twice", targets[i]);
    return false;
}

static size_t count_needs(const struct bundle_variant *v) {
    size_t n = *v->needs != '\0';
    for (const char *s = v->needs; *s; s++) n += *s == ',';
    return n;
}

// What needs most of a processor is tried first; else a better one would never be chosen.
static void best_first(struct bundle_variant *v, size_t n) {
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && count_needs(&v[k - 1]) < count_needs(&v[k]); k--) {
            struct bundle_variant swap = v[k];
            v[k] = v[k - 1];
            v[k - 1] = swap;
        }
}

static bool compile_all(struct writing *w, const char *const *targets, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!compile_for(w, targets[i])) return false;
    return true;
}

static void end_drivers(void *ctx) {
    struct writing *w = ctx;
    for (size_t i = 0; i < TARGETS_MAX && w->drivers[i].arena; i++)
        driver_free(&w->drivers[i]);
}

bool driver_write(struct driver *v, const char *const *targets, size_t n,
                  const void *prefix, size_t prefix_n, const char *to) {
    static const char *const native[] = {"native"};
    struct writing w = {.v = v, .runtime = prefix != NULL};
    if (!n) targets = native, n = 1;
    if (n > TARGETS_MAX)
        return diag_error(&v->d, NO_SPAN, "a file holds code for at most %d targets",
                          TARGETS_MAX);
    if (named_twice(targets, n, &v->d)) return false;
    struct cleanup end;
    cleanup_push(&end, end_drivers, &w);
    bool ok = compile_all(&w, targets, n);
    struct bundle b = {.version = DDG_VERSION, .nvariants = n, .variants = w.variants};
    if (ok) best_first(w.variants, n);
    ok = ok && bundle_write(&b, prefix, prefix_n, to, &v->d);
    for (size_t i = 0; i < n && w.drivers[i].arena; i++) driver_adopt(v, &w.drivers[i].d);
    cleanup_run(&end);
    return ok;
}
