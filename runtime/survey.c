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

// Seconds of one thread for a row: as this very value took, or else by its work, as the
// op or any op took for it. < 0: not known.
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

// Of a row of a training: all times that it is seen.
static double train_flops(const struct plan *p, const struct plan_train *t) {
    double each = p->funcs[t->step].flops;
    if (t->ask != UINT32_MAX) each += p->funcs[t->ask].flops;
    return (double)train_until(t) * each;
}

static void train_node(const struct demand *m, const struct plan_train *t,
                       struct survey_node *out) {
    out->op = t->memo->record.op;
    out->remembered = true;
    out->flops += train_flops(m->plan, t);
    if (!out->computed) return;
    out->bytes = (uint64_t)t->nkeep * (t->param_floats + t->stat_floats) * sizeof(float);
    double each = m->options->store ? flop_seconds(m, NULL) : -1;
    double work = out->flops * (double)out->computed;
    out->seconds = each < 0 ? -1 : each * work / (double)m->options->threads;
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
    } else if (m->plan->ntrains) {
        train_node(m, &m->plan->trains[s->target], &n);
    }
    n.flops *= (double)n.computed;
    return n;
}

static void survey_fill(const struct demand *m, struct survey *out) {
    *out = (struct survey){.n = m->touched, .trained = m->trained};
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

void survey_join(struct survey *all, const struct survey *act, struct arena *arena) {
    struct survey_node *to = NEW_N(arena, struct survey_node, all->n + act->n);
    if (all->n) memcpy(to, all->nodes, all->n * sizeof *to);
    for (size_t i = 0; i < act->n; i++) {
        to[all->n + i] = act->nodes[i];
        to[all->n + i].name = arena_strdup(arena, act->nodes[i].name);
    }
    all->nodes = to;
    all->n += act->n;
    all->flops += act->flops;
    all->bytes += act->bytes;
    bool known = all->seconds >= 0 && act->seconds >= 0;
    all->seconds = known ? all->seconds + act->seconds : -1;
}

static bool demand_trains(struct demand *m, struct diags *d) {
    struct trained *all = NEW_N(m->arena, struct trained, m->plan->ntrains);
    m->trained = all;
    for (uint32_t i = 0; i < m->plan->ntrains; i++)
        if (!demand_train(m, i, &all[i], d)) return false;
    return true;
}

bool survey_demand(struct demand *m, struct diags *d) {
    struct measured *measured;
    if (!rowsets_open(m->rowsets, m->options->store, m->options->threads, d))
        return false;
    for (uint32_t i = 0; i < m->plan->ntrials; i++)
        if (!trial_run(m, i, d)) return false;
    if (!demand_trains(m, d)) return false;
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
