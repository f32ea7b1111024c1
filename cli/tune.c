// See tune.h. What the store keeps of a kind is a record's row: the record names
// processor, target and numerics, the row's key is the problem's digest, the value a list
// of numbers.
#include "cli/tune.h"

#include "ir/winograd.h"
#include "runtime/base/unpack.h"
#include "runtime/cpu.h"
#include "runtime/store/store.h"
#include "runtime/timeline.h"

#include <unistd.h>

#define WORTH 0.97 // of the usual time: what another choice may take at most
#define NEAR  1.25 // of the best algorithm's time: whose tilings are tried, too
#define MOST  (ALGORITHM_COUNT * (1 + CODEGEN_MOST_TILINGS)) // choices of a kernel

struct machine {                 // what code for one target is timed on
    const char *code, *numerics; // the target's
    struct store_record record;
    const char *lacks; // what this processor lacks to run the code; NULL: nothing
};

struct asked { // a kind that was asked for
    size_t machine;
    struct digest problem;
};

struct tuner {
    struct arena *arena;
    struct tuner_options o;
    struct tuning tuning;
    VEC(struct machine) machines;
    VEC(struct asked) kinds;
    VEC(struct tuned) list; // parallel to kinds
    const char *trouble;
    bool terminal;
};

// ---- what it is timed on -------------------------------------------------------------
// Raised when code comes to be made so much otherwise that what was timed before says
// little.
#define TIMED_VERSION "1"

enum {
    WORD_VERSION,
    WORD_ALGORITHM,
    WORD_BLOCKS,
    WORD_PIXELS,
    WORD_GROUP,
    WORD_LIVE,
    WORD_USUAL,
    WORD_BEST,
    NWORDS
};
#define VALUE_VERSION 2
#define VALUE_BYTES   (1 + 5 * NWORDS)

static const char *processor_words(struct arena *a) {
    struct target host;
    struct diags d;
    diags_init(&d, a);
    if (!codegen_host_target(a, &host, &d)) return "?";
    return arena_printf(a, "%s, caches %zu %zu", host.cpu, host.l1, host.l2);
}

static size_t machine_of(struct tuner *t, const struct target *target) {
    struct arena *a = t->arena;
    const char *code = arena_printf(a, "%s %s", target->cpu, target->features);
    for (size_t i = 0; i < t->machines.n; i++) {
        const struct machine *m = &t->machines.at[i];
        if (!strcmp(m->code, code) && !strcmp(m->numerics, target->numerics)) return i;
    }
    struct machine m = {.code = code,
                        .numerics = arena_strdup(a, target->numerics),
                        .record = {.op = "tuning", .name = "tuning"}};
    const struct store_field fields[] = {{"processor", processor_words(a), NULL},
                                         {"code", m.code, NULL},
                                         {"numerics", m.numerics, NULL},
                                         {"timed", TIMED_VERSION, NULL}};
    m.record.nfields = COUNT(fields);
    m.record.fields = arena_dup(a, fields, COUNT(fields), sizeof *fields);
    m.record.elem = "u8";
    m.record.rank = 1;
    m.record.dim[0] = VALUE_BYTES;
    m.record.key = store_record_key(&m.record);
    m.lacks = cpu_lacks(a, codegen_needs(a, target));
    VEC_PUSH(a, &t->machines, m);
    return t->machines.n - 1;
}

// ---- in the store --------------------------------------------------------------------
// A msgpack list of numbers of 32 bits: all values have one size.
static void encode(const uint32_t *words, unsigned char *out) {
    *out++ = 0x90 | NWORDS;
    for (size_t i = 0; i < NWORDS; i++) {
        *out++ = 0xce;
        for (int shift = 24; shift >= 0; shift -= 8)
            *out++ = (unsigned char)(words[i] >> shift);
    }
}

static bool decode(struct arena *a, const char *value, uint32_t *words) {
    struct unpack u;
    uint64_t v;
    size_t n;
    unpack_begin(&u, a, value, VALUE_BYTES);
    if (!unpack_list(&u, "choice", 1, &n) || n != NWORDS) return false;
    for (size_t i = 0; i < NWORDS; i++) {
        if (!unpack_count(&u, "choice", UINT32_MAX, &v)) return false;
        words[i] = (uint32_t)v;
    }
    return unpack_left(&u) == 0 && words[WORD_VERSION] == VALUE_VERSION &&
           words[WORD_USUAL] > 0 && words[WORD_BEST] > 0;
}

// Rows of small products take less than ten nanoseconds.
#define TICK 1e-10

static uint32_t ticks(double seconds) {
    double n = seconds / TICK;
    return n >= 1 ? n < UINT32_MAX ? (uint32_t)(n + 0.5) : UINT32_MAX : 1;
}

static void keep(struct tuner *t, const struct machine *m, const struct asked *kind,
                 const struct tuned *found, double took) {
    const struct tiling *g = &found->best.tiling;
    const uint32_t words[NWORDS] = {[WORD_VERSION] = VALUE_VERSION,
                                    [WORD_ALGORITHM] = (uint32_t)found->best.algorithm,
                                    [WORD_BLOCKS] = (uint32_t)g->blocks,
                                    [WORD_PIXELS] = (uint32_t)g->pixels,
                                    [WORD_GROUP] = (uint32_t)g->group,
                                    [WORD_LIVE] = g->row_live,
                                    [WORD_USUAL] = ticks(found->usual_s),
                                    [WORD_BEST] = ticks(found->best_s)};
    unsigned char value[VALUE_BYTES];
    if (!t->o.store) return;
    encode(words, value);
    store_use(t->o.store, &m->record);
    store_put(t->o.store, m->record.key, &kind->problem, 1, VALUE_BYTES,
              (const char *)value, took);
}

// Whether a kernel can be computed so: what comes out of a store is not believed.
static bool fits(const struct tune_case *c, struct choice choice) {
    struct kernel k = *c->kernel;
    if (!algorithm_fits(c->kf, &k, choice.algorithm)) return false;
    k.algorithm = choice.algorithm;
    k.tiling = (struct tiling){0};
    return codegen_takes(c->target, c->kf, &k, choice.tiling);
}

static bool find_kept(struct tuner *t, const struct machine *m, const struct asked *kind,
                      const struct tune_case *c, struct tuned *out) {
    char value[VALUE_BYTES];
    uint32_t w[NWORDS];
    bool found = false;
    if (!t->o.store) return false;
    store_use(t->o.store, &m->record);
    store_get(t->o.store, m->record.key, &kind->problem, 1, VALUE_BYTES, value, &found);
    if (!found || !decode(t->arena, value, w) || w[WORD_LIVE] > 1 ||
        w[WORD_ALGORITHM] >= ALGORITHM_COUNT)
        return false;
    struct choice best = {.algorithm = (enum algorithm)w[WORD_ALGORITHM],
                          .tiling = {.blocks = w[WORD_BLOCKS],
                                     .pixels = w[WORD_PIXELS],
                                     .group = w[WORD_GROUP],
                                     .row_live = w[WORD_LIVE]}};
    if (!fits(c, best)) return false;
    out->best = best;
    out->usual_s = TICK * w[WORD_USUAL];
    out->best_s = TICK * w[WORD_BEST];
    return true;
}

// ---- by the clock --------------------------------------------------------------------
struct tries { // of one kernel
    struct choice at[MOST];
    double seconds[MOST];
    size_t n;
};

static bool time_all(struct tuner *t, const struct tune_case *c, struct tries *tries) {
    struct diags d;
    diags_init(&d, t->arena);
    tune_timer *time = t->o.time ? t->o.time : tune_time;
    if (time(t->o.ctx, c, tries->at, tries->n, tries->seconds, &d)) return true;
    if (!t->trouble && d.list.n)
        t->trouble = arena_printf(t->arena, "%s is not tuned: %s", c->problem,
                                  d.list.at[0].message);
    return false;
}

// The algorithms that fit, the usual one first, each with the tiling it has of its own.
static void find_algorithms(const struct tune_case *c, struct choice usual,
                            struct tries *out) {
    out->at[out->n++] = usual;
    for (enum algorithm a = 0; a < ALGORITHM_COUNT; a++)
        if (a != usual.algorithm && algorithm_fits(c->kf, c->kernel, a))
            out->at[out->n++] = (struct choice){.algorithm = a};
}

static double least(const struct tries *t) {
    double s = t->seconds[0];
    for (size_t i = 1; i < t->n; i++)
        if (t->seconds[i] < s) s = t->seconds[i];
    return s;
}

// Those algorithms that come near the best, the usual one always, and their tilings.
static void find_tilings(const struct tune_case *c, const struct tries *algorithms,
                         struct tries *out) {
    double best = least(algorithms);
    for (size_t i = 0; i < algorithms->n; i++) {
        struct tiling more[CODEGEN_MOST_TILINGS];
        struct kernel k = *c->kernel;
        bool near = algorithms->seconds[i] <= NEAR * best;
        if (i == 0 || near) out->at[out->n++] = algorithms->at[i];
        if (!near) continue;
        k.algorithm = algorithms->at[i].algorithm;
        k.tiling = (struct tiling){0};
        size_t n = codegen_tilings(c->target, c->kf, &k, more, COUNT(more));
        for (size_t j = 0; j < n; j++)
            out->at[out->n++] = (struct choice){k.algorithm, more[j]};
    }
}

// The usual one, unless another is worth it.
static size_t fastest(const struct tries *t) {
    size_t best = 0;
    for (size_t i = 1; i < t->n; i++)
        if (t->seconds[i] < t->seconds[best]) best = i;
    return t->seconds[best] > WORTH * t->seconds[0] ? 0 : best;
}

// Of many that are alike one comes out best by luck: it has to be so a second time.
static bool confirm(struct tuner *t, const struct tune_case *c, const struct tries *tries,
                    size_t best, struct tuned *out) {
    struct tries again = {.at = {tries->at[0], tries->at[best]}, .n = 2};
    again.seconds[0] = again.seconds[1] = tries->seconds[0];
    if (best && !time_all(t, c, &again)) return false;
    best = fastest(&again);
    out->best = again.at[best];
    out->usual_s = again.seconds[0];
    out->best_s = again.seconds[best];
    return true;
}

// False: nothing is known of it.
static bool time_kernel(struct tuner *t, const struct tune_case *c, struct tuned *out) {
    struct tries first = {0}, second = {0};
    find_algorithms(c, out->usual, &first);
    if (first.n > 1 && !time_all(t, c, &first)) return false;
    find_tilings(c, &first, &second);
    if (!time_all(t, c, &second)) return false;
    return confirm(t, c, &second, fastest(&second), out);
}

// ---- a kernel's turn -----------------------------------------------------------------
// A copy of the function's kernels with layouts, which it has not come to yet.
static bool lay_out(struct arena *a, const struct module *m, const struct module_func *mf,
                    struct kfunc *out) {
    struct module own = *m;
    struct module_func f = *mf;
    struct diags d;
    diags_init(&d, a);
    own.arena = a;
    *out = *mf->k;
    out->places = arena_dup(a, out->places, out->f->nodes.n, sizeof *out->places);
    out->kernels.at =
        arena_dup(a, out->kernels.at, out->kernels.n, sizeof *out->kernels.at);
    f.k = out;
    return pass_layout(&own, &f, &d);
}

static const char *how(struct arena *a, const struct tune_case *c, struct choice choice) {
    struct kernel k = *c->kernel;
    const struct tiling *g = &choice.tiling;
    k.algorithm = choice.algorithm;
    k.tuned = false;
    const char *name = kernel_how(c->kf, &k);
    if (!g->blocks) return name;
    if (!g->pixels) return arena_printf(a, "%s, %zu wide", name, g->blocks);
    if (!g->group)
        return arena_printf(a, "%s, %zu x %zu%s", name, g->blocks, g->pixels,
                            g->row_live ? " by rows" : "");
    return arena_printf(a, "%s, %zu x %zu of %zu", name, g->blocks, g->pixels, g->group);
}

static void say_kernel(const struct tuner *t, const struct tuned *k) {
    if (!t->terminal) return;
    fprintf(stderr, "\rtuning: %s (%zu before it)\033[K", k->what, t->list.n);
    fflush(stderr);
}

static bool may_time(const struct tuner *t, const struct machine *m) {
    return !t->o.look && !m->lacks && !(t->o.stop && atomic_load(t->o.stop));
}

static void find_best(struct tuner *t, const struct machine *m, const struct asked *kind,
                      const struct tune_case *c, struct tuned *out) {
    if (find_kept(t, m, kind, c, out)) {
        out->from = TUNED_STORE;
        return;
    }
    if (!may_time(t, m)) return;
    double began = clock_seconds();
    say_kernel(t, out);
    bool ok = time_kernel(t, c, out);
    if (t->terminal) fputs("\r\033[K", stderr);
    if (!ok) return;
    out->from = TUNED_NOW;
    keep(t, m, kind, out, clock_seconds() - began);
}

static void drop_work(void *arena) {
    arena_drop(arena);
}

static struct tuned tune(struct tuner *t, const struct asked *kind, const char *problem,
                         const struct module *m, const struct module_func *mf, size_t i,
                         struct choice usual) {
    const struct machine *machine = &t->machines.at[kind->machine];
    struct arena *work = arena_must();
    struct cleanup held;
    cleanup_push(&held, drop_work, work);
    struct kfunc kf;
    struct tuned out = {.problem = problem, .from = TUNED_NOT};
    out.usual = out.best = usual;
    out.target = arena_strdup(t->arena, m->target->cpu);
    out.what = kernel_what(t->arena, mf->k, &mf->k->kernels.at[i]);
    struct tune_case c = {m->target, &kf, NULL, problem, t->o.threads};
    if (lay_out(work, m, mf, &kf)) {
        c.kernel = &kf.kernels.at[i];
        double began = timeline_now(m->times);
        find_best(t, machine, kind, &c, &out);
        if (out.from == TUNED_NOW) timeline_add(m->times, began, "time kernels", NULL);
        out.usual_how = how(t->arena, &c, out.usual);
        out.best_how = how(t->arena, &c, out.best);
    }
    cleanup_run(&held);
    return out;
}

static struct choice choose(void *ctx, const struct module *m,
                            const struct module_func *mf, size_t i, struct choice usual) {
    struct tuner *t = ctx;
    const char *problem = kernel_problem(t->arena, mf->k, &mf->k->kernels.at[i]);
    struct asked kind = {machine_of(t, m->target), digest_of(problem, strlen(problem))};
    for (size_t k = 0; k < t->kinds.n; k++)
        if (t->kinds.at[k].machine == kind.machine &&
            digest_eq(t->kinds.at[k].problem, kind.problem))
            return t->list.at[k].best;
    struct tuned found = tune(t, &kind, problem, m, mf, i, usual);
    VEC_PUSH(t->arena, &t->kinds, kind);
    VEC_PUSH(t->arena, &t->list, found);
    return found.best;
}

// ---- the tuner -----------------------------------------------------------------------
struct tuner *tuner_new(struct arena *arena, const struct tuner_options *o) {
    struct tuner *t = NEW(arena, struct tuner);
    *t = (struct tuner){.arena = arena, .o = *o};
    t->tuning = (struct tuning){choose, t};
    t->terminal = !o->quiet && isatty(fileno(stderr));
    return t;
}

const struct tuning *tuner_tuning(const struct tuner *t) {
    return &t->tuning;
}

const struct tuned *tuner_list(const struct tuner *t, size_t *n) {
    *n = t->list.n;
    return t->list.at;
}

const char *tuner_trouble(const struct tuner *t) {
    return t->trouble;
}
