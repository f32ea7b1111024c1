// See survey.h. The run's own demands are gone through, with `look` set.
#include "runtime/survey_impl.h"

#include "runtime/agree_run.h"
#include "runtime/measure.h"
#include "runtime/stage.h"
#include "runtime/trial_run.h"

#define ROW_OVERHEAD 96 // bytes of a small value's keys and checksum in the database

// Seconds for each floating-point operation, as an op (NULL: all of them) took. < 0: not
// known.
static double flop_seconds(const struct demand *m, const char *op) {
    struct store_record *all;
    double work = 0, seconds = 0;
    size_t n = store_records(m->options->store, op, m->arena, &all);
    for (size_t i = 0; i < n; i++) {
        if (all[i].flops <= 0) continue;
        work += all[i].flops * (double)all[i].computed;
        seconds += all[i].seconds;
    }
    return work > 0 ? seconds / work : -1;
}

// Seconds of one thread for a row: as this very value took, or else by its work, as the op
// or any op took for it. < 0: not known.
static double row_seconds(const struct demand *m, const struct plan_column *c,
                          double flops) {
    const struct store_record *mine = &c->memo->record;
    struct store_record *all;
    size_t n = store_records(m->options->store, mine->op, m->arena, &all);
    for (size_t i = 0; i < n; i++)
        if (digest_eq(all[i].key, mine->key) && all[i].computed && all[i].seconds > 0)
            return all[i].seconds / (double)all[i].computed;
    double each = flop_seconds(m, mine->op);
    if (each < 0) each = flop_seconds(m, NULL);
    return each < 0 ? -1 : each * flops;
}

static void column_node(const struct demand *m, uint32_t column,
                        struct survey_node *out) {
    const struct plan_column *c = &m->plan->columns[column];
    double each = out->flops;
    out->op = c->op;
    out->part = c->part;
    out->column = column;
    out->remembered = c->memo != NULL;
    if (!c->memo || !out->computed) return;
    out->bytes = (uint64_t)out->computed * (c->row_bytes + ROW_OVERHEAD);
    double seconds = m->options->store ? row_seconds(m, c, each) : -1;
    out->seconds =
        seconds < 0 ? -1 : seconds * (double)out->computed / (double)m->options->threads;
}

struct survey_node survey_node(const struct demand *m, const struct plan_stage *s) {
    const struct tally *t = &m->tallies[s - m->plan->stages];
    struct survey_node n = {.name = s->name,
                            .rows = t->rows,
                            .reused = t->reused,
                            .computed = t->computed,
                            .vague = t->vague,
                            .flops = stage_flops(m->plan, s),
                            .column = UINT32_MAX};
    if (!s->saves) {
        n.name = m->plan->columns[s->target].name;
        column_node(m, s->target, &n);
    }
    n.flops *= (double)n.computed;
    return n;
}

static void survey_fill(const struct demand *m, struct survey *out) {
    *out = (struct survey){.n = m->touched};
    out->nodes = NEW_N(m->arena, struct survey_node, m->touched);
    for (size_t i = 0; i < m->plan->nstages; i++)
        if (m->tallies[i].touched)
            out->nodes[m->tallies[i].order] = survey_node(m, &m->plan->stages[i]);
    for (size_t i = 0; i < out->n; i++) {
        const struct survey_node *n = &out->nodes[i];
        out->flops += n->flops;
        out->bytes += n->bytes;
        if (n->seconds < 0) out->seconds = -1;
        else if (out->seconds >= 0) out->seconds += n->seconds;
    }
}

bool survey_demand(struct demand *m, struct diags *d) {
    struct measured *measured;
    if (!rowsets_open(m->rowsets, m->options->store, m->options->threads, d))
        return false;
    for (uint32_t i = 0; i < m->plan->ntrials; i++)
        if (!trial_run(m, i, d)) return false;
    for (uint32_t i = 0; i < m->plan->nsaves; i++)
        if (!demand_save(m, i, d)) return false;
    for (uint32_t i = 0; i < m->plan->nsaves; i++)
        if (!demand_foresee(m, i, d)) return false;
    return measures_demand(m, &measured, d) && agree_run(m, d);
}

bool plan_survey(const struct plan *p, const struct run_options *o, struct arena *arena,
                 struct survey *out, struct diags *d) {
    struct rowsets rowsets;
    struct demand m;
    struct cleanup held;
    rowsets_init(&rowsets, arena, p);
    rowsets_hold(&held, &rowsets);
    demand_init(&m, arena, p, o, &rowsets, NULL);
    bool ok = survey_demand(&m, d);
    if (ok) survey_fill(&m, out);
    cleanup_run(&held);
    return ok;
}
