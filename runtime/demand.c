// See demand.h. Rows are asked for in ascending lists; what is found or computed of them
// goes into the columns of the rowsets.
#include "runtime/demand_impl.h"

#include "runtime/audit.h"
#include "runtime/identity.h"
#include "runtime/list.h"
#include "runtime/stage.h"

#include <time.h>

#define LOOK_SECONDS  0.02 // between looks at what other processes compute
#define TRUST_SECONDS 120  // without news from them, after which it is computed here

void demand_init(struct demand *m, struct arena *arena, const struct plan *plan,
                 const struct run_options *o, struct rowsets *rowsets,
                 struct saves *saves) {
    *m = (struct demand){.arena = arena,
                         .plan = plan,
                         .options = o,
                         .rowsets = rowsets,
                         .saves = saves,
                         .look = !saves};
    m->tallies = NEW_N(arena, struct tally, plan->nstages);
}

static bool out_of_memory(struct diags *d) {
    return diag_no_memory(d, NO_SPAN);
}

// ---- what a stage reads --------------------------------------------------------------
static bool identities_need(struct demand *m, uint32_t rowset, const struct list *rows,
                            struct diags *d) {
    uint32_t root = rowset_root(m->rowsets, rowset);
    struct list list;
    bool ok = list_ancestors(m->rowsets, rowset, rows, root, &list);
    if (!ok) out_of_memory(d);
    double began = timeline_now(m->options->times);
    ok = ok && identity_learn(m->rowsets, root, list.at, list.n, m->options->store,
                              m->options->threads, d);
    timeline_add(m->options->times, began, "know the images by their content", NULL);
    list_free(&list);
    return ok;
}

static bool ancestors_need(struct demand *m, uint32_t rowset, const struct list *rows,
                           uint32_t column, struct diags *d) {
    uint32_t theirs = m->plan->columns[column].rowset;
    struct list list;
    struct cleanup held;
    bool ok = list_ancestors(m->rowsets, rowset, rows, theirs, &list);
    if (!ok) out_of_memory(d);
    list_hold(&held, &list);
    ok = ok && demand_column(m, column, &list, d);
    cleanup_run(&held);
    return ok;
}

bool demand_inputs(struct demand *m, const struct plan_stage *s, const struct list *rows,
                   struct diags *d) {
    for (size_t i = 0; i < s->nslots; i++) {
        const struct plan_slot *k = &s->slots[i];
        if (!k->leaf) continue;
        if (k->kind == LEAF_COLUMN && !ancestors_need(m, s->rowset, rows, k->column, d))
            return false;
        if (k->kind == LEAF_KEY && !identities_need(m, s->rowset, rows, d)) return false;
    }
    return true;
}

bool demand_keys(struct demand *m, const struct plan_memo *memo, uint32_t rowset,
                 const struct list *rows, struct diags *d) {
    for (size_t i = 0; i < memo->nkeys; i++) {
        const struct plan_key *k = &memo->keys[i];
        if (k->kind == KEY_COLUMN && !ancestors_need(m, rowset, rows, k->column, d))
            return false;
        if (k->kind == KEY_ROW && !identities_need(m, rowset, rows, d)) return false;
    }
    return true;
}

// ---- progress ------------------------------------------------------------------------
struct tally *demand_tally(struct demand *m, const struct plan_stage *s) {
    return &m->tallies[s - m->plan->stages];
}

// What it asked for was done before it.
void demand_touched(struct demand *m, const struct plan_stage *s) {
    struct tally *t = demand_tally(m, s);
    if (!t->touched) t->order = m->touched++;
    t->touched = true;
}

static const struct plan_stage *stage_for(const struct demand *m, uint32_t column) {
    return &m->plan->stages[m->plan->columns[column].stage];
}

static void progress(void *ctx, size_t done) {
    const struct demand *m = ctx;
    if (m->options->stage)
        m->options->stage(m->options->ctx, m->stage->name, m->stage_before + done,
                          m->stage_rows, clock_seconds() - m->stage_start);
}

static void progress_begin(struct demand *m, const struct plan_stage *s, size_t rows) {
    m->stage = s;
    m->stage_rows = rows;
    m->stage_before = 0;
    m->stage_start = clock_seconds();
    progress(m, 0);
}

static bool stopping(const struct demand *m) {
    return m->options->stop && atomic_load(m->options->stop);
}

static bool stop_here(struct demand *m, const struct plan_stage *s) {
    const struct tally *t = demand_tally(m, s);
    m->stopped = true;
    m->stopped_in = s->name;
    m->stopped_done = t->reused + t->computed;
    m->stopped_rows = t->rows;
    return false;
}

// ---- computing -----------------------------------------------------------------------
static struct stage_run stage_of(struct demand *m, const struct plan_stage *s,
                                 const struct list *rows) {
    return (struct stage_run){.plan = m->plan,
                              .stage = s,
                              .rowsets = m->rowsets,
                              .saves = m->saves,
                              .threads = m->options->threads,
                              .rows = rows->at,
                              .nrows = rows->n,
                              .stop = m->options->stop,
                              .times = m->options->times,
                              .profile = m->options->profile,
                              .progress = progress,
                              .progress_ctx = m};
}

static bool stage_load(struct demand *m, const struct plan_stage *s, struct diags *d) {
    return !m->options->load || m->options->load(m->options->load_ctx, s, d);
}

// How much work a row is goes with the record, once the stage's code is there to count.
static void use_record(struct demand *m, const struct plan_column *c) {
    struct store_record r = c->memo->record;
    r.flops = stage_flops(m->plan, &m->plan->stages[c->stage]);
    store_use(m->options->store, &r);
}

static void pause_shortly(void) {
    struct timespec t = {.tv_nsec = (long)(LOOK_SECONDS * 1e9)};
    nanosleep(&t, NULL);
}

// Computes what no other process is computing; those rows stay in the list.
static bool compute_round(struct demand *m, const struct plan_stage *s, struct list *rows,
                          bool alone, bool *left, struct diags *d) {
    struct stage_run run = stage_of(m, s, rows);
    struct stage_done done = {0};
    struct tally *t = demand_tally(m, s);
    if (rows->keys && !alone) {
        run.store = m->options->store;
        run.keys = rows->keys;
        run.left = left;
        memset(left, 0, rows->n);
    }
    bool ok = stage_run(&run, &done, d);
    t->computed += done.computed;
    t->reused += done.found;
    m->stage_before += done.computed + done.found;
    if (done.stopped) return stop_here(m, s);
    if (!ok) return false;
    size_t n = rows->n;
    rows->n = 0;
    for (size_t i = 0; run.store && i < n; i++)
        if (left[i]) list_put(rows, rows->at[i], rows->keys[i]);
    return true;
}

// What other processes are computing is waited for, and computed here when they do not
// come to it: a claim ends with its process, and patience with one that stands still.
static bool compute_rounds(struct demand *m, const struct plan_stage *s,
                           struct list *rows, struct diags *d) {
    bool *left = mem_zalloc(rows->n + 1, sizeof *left);
    struct cleanup held;
    if (!left) return out_of_memory(d);
    cleanup_push(&held, mem_free_at, &left);
    double news = clock_seconds();
    bool ok = true;
    while (ok && rows->n) {
        size_t before = rows->n;
        if (stopping(m)) ok = stop_here(m, s);
        else
            ok = compute_round(m, s, rows, clock_seconds() - news > TRUST_SECONDS, left,
                               d);
        if (rows->n < before) news = clock_seconds();
        else if (ok) pause_shortly();
    }
    cleanup_run(&held);
    return ok;
}

// ---- rows of one content -------------------------------------------------------------
static void share_copies(struct demand *m, uint32_t column, const struct same *same,
                         size_t n) {
    struct kept_column *c = &m->rowsets->columns[column];
    size_t bytes = m->plan->columns[column].row_bytes;
    struct tally *t = demand_tally(m, stage_for(m, column));
    for (size_t i = 0, first = 0; i < n; i++) {
        if (!digest_eq(same[i].key, same[first].key)) first = i;
        if (i == first) continue;
        memcpy(c->values + same[i].row * bytes, c->values + same[first].row * bytes,
               bytes);
        c->have[same[i].row] = HAVE_VALUE;
        t->reused++;
    }
}

static bool compute_column(struct demand *m, uint32_t column, struct list *rows,
                           struct diags *d) {
    const struct plan_stage *s = stage_for(m, column);
    if (!demand_inputs(m, s, rows, d)) return false;
    if (stopping(m)) return stop_here(m, s);
    if (!stage_load(m, s, d)) return false;
    if (rows->keys) use_record(m, &m->plan->columns[column]);
    double start = clock_seconds();
    struct same *same = NULL;
    size_t n = rows->n;
    bool ok = !rows->keys || list_drop_copies(rows, &same) || out_of_memory(d);
    struct cleanup held;
    cleanup_push(&held, mem_free_at, &same);
    if (ok) {
        progress_begin(m, s, rows->n);
        ok = compute_rounds(m, s, rows, d);
    }
    if (ok && same) share_copies(m, column, same, n);
    cleanup_run(&held);
    demand_tally(m, s)->seconds += clock_seconds() - start;
    return ok;
}

// ---- looking in the store ------------------------------------------------------------
// A key that is made of what would be computed first is not known.
bool demand_key_known(const struct demand *m, const struct plan_memo *memo,
                      uint32_t rowset, size_t row) {
    const struct rowsets *r = m->rowsets;
    for (size_t i = 0; m->look && i < memo->nkeys; i++) {
        const struct plan_key *k = &memo->keys[i];
        if (k->kind != KEY_COLUMN) continue;
        size_t mult = rowset_mult(r, rowset, k->rowset);
        for (size_t j = 0; j < mult; j++) {
            size_t at = rowset_ancestor(r, rowset, row * mult + j, k->rowset);
            if (r->columns[k->column].have[at] != HAVE_VALUE) return false;
        }
    }
    return true;
}

// Splits the rows: those with keys stay, the others go to vague.
static void find_keys(struct demand *m, uint32_t column, struct list *rows,
                      struct list *vague) {
    const struct plan_column *c = &m->plan->columns[column];
    size_t n = rows->n;
    rows->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (!demand_key_known(m, c->memo, c->rowset, rows->at[i])) {
            vague->at[vague->n++] = rows->at[i];
            continue;
        }
        list_put(rows, rows->at[i], identity_key(m->rowsets, column, rows->at[i]));
    }
}

// Whether this run computed some of the same under another name: what is queued is waited
// for then.
static bool has_namesake(const struct demand *m, uint32_t column) {
    const struct plan *p = m->plan;
    for (uint32_t i = 0; i < p->ncolumns; i++)
        if (i != column && p->columns[i].memo &&
            m->tallies[p->columns[i].stage].computed &&
            digest_eq(p->columns[i].memo->record.key,
                      p->columns[column].memo->record.key))
            return true;
    return false;
}

// Takes what the store has; the rest stays in the list.
static bool take_stored(struct demand *m, uint32_t column, struct list *rows,
                        struct list *hits, struct diags *d) {
    const struct plan_column *c = &m->plan->columns[column];
    struct kept_column *out = &m->rowsets->columns[column];
    size_t n = rows->n, bytes = c->row_bytes;
    char *values = mem_zalloc(n + 1, bytes);
    bool *found = mem_zalloc(n + 1, sizeof *found);
    bool ok = values && found;
    if (!m->look && has_namesake(m, column)) store_flush(m->options->store);
    double began = timeline_now(m->options->times);
    if (!ok) out_of_memory(d);
    else
        store_get(m->options->store, c->memo->record.key, rows->keys, n, bytes, values,
                  found);
    timeline_add(m->options->times, began, "look in the store", NULL);
    rows->n = 0;
    for (size_t i = 0; ok && i < n; i++) {
        list_put(found[i] ? hits : rows, rows->at[i], rows->keys[i]);
        if (!found[i]) continue;
        size_t row = hits->at[hits->n - 1];
        memcpy(out->values + row * bytes, values + i * bytes, bytes);
        out->have[row] = HAVE_VALUE;
    }
    mem_free(values);
    mem_free(found);
    return ok;
}

// ---- audits --------------------------------------------------------------------------
static bool audit_hits(struct demand *m, uint32_t column, struct list *hits,
                       struct diags *d) {
    const struct plan_stage *s = stage_for(m, column);
    hits->n = audit_choose(m->options->audit, hits->at, hits->keys, hits->n);
    if (!hits->n) return true;
    if (!demand_inputs(m, s, hits, d) || !stage_load(m, s, d)) return false;
    struct audit a;
    if (!audit_begin(&a, m->rowsets, column, hits->at, hits->n)) return out_of_memory(d);
    struct stage_run run = stage_of(m, s, hits);
    struct stage_done done = {0};
    progress_begin(m, s, hits->n);
    bool ok = stage_run(&run, &done, d);
    if (done.stopped) stop_here(m, s);
    m->audited += done.computed;
    ok = ok && audit_compare(&a, d);
    audit_end(&a);
    return ok;
}

// ---- columns -------------------------------------------------------------------------
static void plan_rows(struct demand *m, uint32_t column, const struct list *rows) {
    for (size_t i = 0; i < rows->n; i++)
        m->rowsets->columns[column].have[rows->at[i]] = HAVE_PLANNED;
}

static bool plan_column(struct demand *m, uint32_t column, struct list *rows,
                        struct diags *d) {
    const struct plan_stage *s = stage_for(m, column);
    struct tally *t = demand_tally(m, s);
    struct same *same = NULL;
    size_t n = rows->n;
    plan_rows(m, column, rows);
    bool ok = demand_inputs(m, s, rows, d) &&
              (!rows->keys || list_drop_copies(rows, &same) || out_of_memory(d));
    mem_free(same);
    t->computed += rows->n;
    t->reused += n - rows->n;
    return ok;
}

static bool compute_or_plan(struct demand *m, uint32_t column, struct list *rows,
                            struct diags *d) {
    if (!rows->n) return true;
    return m->look ? plan_column(m, column, rows, d) : compute_column(m, column, rows, d);
}

static bool column_remembered(struct demand *m, uint32_t column, struct list *rows,
                              struct diags *d) {
    const struct plan_column *c = &m->plan->columns[column];
    struct tally *t = demand_tally(m, &m->plan->stages[c->stage]);
    struct list hits, vague = {0};
    struct cleanup held[2];
    bool ok = list_alloc(&hits, rows->n, true) && list_alloc(&vague, rows->n, false);
    if (!ok) out_of_memory(d);
    list_hold(&held[0], &hits);
    list_hold(&held[1], &vague);
    ok = ok && demand_keys(m, c->memo, c->rowset, rows, d);
    if (ok) {
        double start = clock_seconds();
        if (!m->look) use_record(m, c);
        find_keys(m, column, rows, &vague);
        ok = take_stored(m, column, rows, &hits, d);
        t->reused += hits.n;
        t->vague += vague.n;
        t->seconds += clock_seconds() - start;
    }
    ok = ok && (m->look || m->options->audit <= 0 || audit_hits(m, column, &hits, d));
    ok = ok && compute_or_plan(m, column, &vague, d);
    ok = ok && compute_or_plan(m, column, rows, d);
    cleanup_run(&held[1]);
    cleanup_run(&held[0]);
    return ok;
}

bool demand_column(struct demand *m, uint32_t column, const struct list *rows,
                   struct diags *d) {
    const struct plan_column *c = &m->plan->columns[column];
    const uint8_t *have = m->rowsets->columns[column].have;
    bool keys = m->options->store && c->memo;
    struct list todo;
    if (!list_alloc(&todo, rows->n, keys)) {
        list_free(&todo);
        return out_of_memory(d);
    }
    for (size_t i = 0; i < rows->n; i++)
        if (have[rows->at[i]] == HAVE_NOT) todo.at[todo.n++] = rows->at[i];
    struct cleanup held;
    list_hold(&held, &todo);
    bool ok = true;
    if (todo.n) {
        demand_tally(m, &m->plan->stages[c->stage])->rows += todo.n;
        ok = keys ? column_remembered(m, column, &todo, d)
                  : compute_or_plan(m, column, &todo, d);
        demand_touched(m, &m->plan->stages[c->stage]);
    }
    cleanup_run(&held);
    return ok;
}

// ---- rowsets -------------------------------------------------------------------------
static bool all_known(const struct demand *m, uint32_t column) {
    const struct kept_column *c = &m->rowsets->columns[column];
    size_t rows = m->rowsets->at[m->plan->columns[column].rowset].rows;
    for (size_t i = 0; i < rows; i++)
        if (c->have[i] != HAVE_VALUE) return false;
    return true;
}

static bool column_need_all(struct demand *m, uint32_t column, struct diags *d) {
    struct list all;
    struct cleanup held;
    bool ok = list_all(&all, m->rowsets->at[m->plan->columns[column].rowset].rows);
    if (!ok) out_of_memory(d);
    list_hold(&held, &all);
    ok = ok && demand_column(m, column, &all, d);
    cleanup_run(&held);
    return ok;
}

bool demand_rowset(struct demand *m, uint32_t which, struct diags *d) {
    const struct plan_rowset *s = &m->plan->rowsets[which];
    if (m->rowsets->at[which].made) return true;
    if (!demand_rowset(m, s->parent, d)) return false;
    if (!m->rowsets->at[s->parent].made) return true;
    if (rowset_is_chosen(s)) {
        if (!column_need_all(m, s->column, d)) return false;
        if (!all_known(m, s->column)) return true;
    }
    return rowset_make(m->rowsets, which, d);
}

// ---- looking ahead -------------------------------------------------------------------
static bool count_stored(struct demand *m, uint32_t column, struct list *rows,
                         struct list *vague, size_t *stored, struct diags *d) {
    const struct plan_column *c = &m->plan->columns[column];
    for (size_t i = 0; i < c->memo->nkeys; i++)
        if (c->memo->keys[i].kind == KEY_ROW && !identities_need(m, c->rowset, rows, d))
            return false;
    find_keys(m, column, rows, vague);
    char *values = mem_zalloc(rows->n + 1, c->row_bytes);
    bool *found = mem_zalloc(rows->n + 1, sizeof *found);
    bool ok = values && found;
    if (!ok) out_of_memory(d);
    else
        *stored = store_get(m->options->store, c->memo->record.key, rows->keys, rows->n,
                            c->row_bytes, values, found);
    mem_free(values);
    mem_free(found);
    return ok;
}

// How many of the rows that nobody asks for yet the store has.
static bool find_unasked(struct demand *m, uint32_t column, size_t *stored,
                         struct diags *d) {
    const struct kept_column *c = &m->rowsets->columns[column];
    size_t all = m->rowsets->at[m->plan->columns[column].rowset].rows;
    struct list rows, vague = {0};
    *stored = 0;
    if (!m->options->store || !m->plan->columns[column].memo) return true;
    bool ok = list_alloc(&rows, all, true) && list_alloc(&vague, all, false);
    if (!ok) out_of_memory(d);
    for (size_t i = 0; ok && i < all; i++)
        if (c->have[i] == HAVE_NOT) rows.at[rows.n++] = (uint32_t)i;
    ok = ok && count_stored(m, column, &rows, &vague, stored, d);
    list_free(&rows);
    list_free(&vague);
    return ok;
}

static bool is_ancestor(const struct demand *m, uint32_t ancestor, uint32_t which) {
    while (which != ancestor && m->plan->rowsets[which].kind != ROWSET_READER)
        which = m->plan->rowsets[which].parent;
    return which == ancestor;
}

// Whether what the rows of a rowset read of a column was foreseen of a rowset that they
// are chosen from, or made of.
static bool is_foreseen(const struct demand *m, uint32_t rowset, uint32_t column) {
    for (size_t i = 0; i < m->foreseen.n; i++)
        if (m->foreseen.at[i].column == column &&
            is_ancestor(m, m->foreseen.at[i].rowset, rowset))
            return true;
    return false;
}

static bool foresee_inputs(struct demand *m, const struct plan_stage *s, size_t rows,
                           struct diags *d) {
    for (size_t i = 0; i < s->nslots; i++) {
        const struct plan_slot *k = &s->slots[i];
        if (!k->leaf || k->kind != LEAF_COLUMN) continue;
        if (is_foreseen(m, s->rowset, k->column)) continue;
        size_t each = rowset_mult(m->rowsets, s->rowset, k->rowset);
        const struct plan_column *c = &m->plan->columns[k->column];
        if (!demand_perhaps(m, &m->plan->stages[c->stage], rows * each, d)) return false;
        if (rows == rowset_count(m->rowsets, s->rowset))
            VEC_PUSH(m->arena, &m->foreseen, (struct foreseen){s->rowset, k->column});
    }
    return true;
}

// All that can be said of a stage over some of its rows, when it is not known yet which,
// and of what it reads: at most so many will be computed.
bool demand_perhaps(struct demand *m, const struct plan_stage *s, size_t rows,
                    struct diags *d) {
    struct tally *t = demand_tally(m, s);
    size_t unasked = rowset_count(m->rowsets, s->rowset) - t->rows, stored = 0;
    rows = size_min(rows, unasked);
    if (!rows) return true;
    if (!s->saves && m->rowsets->at[s->rowset].made &&
        !find_unasked(m, s->target, &stored, d))
        return false;
    size_t missing = size_min(rows, unasked > stored ? unasked - stored : 0);
    t->rows += rows;
    t->reused += rows - missing;
    t->computed += missing;
    t->vague += s->saves ? 0 : missing;
    if (!foresee_inputs(m, s, missing, d)) return false;
    demand_touched(m, s);
    return true;
}

// The scores that its rows, and those of the rowsets it is made from, are chosen by.
static bool foresee_rowset(struct demand *m, uint32_t which, struct diags *d) {
    const struct plan_rowset *s = &m->plan->rowsets[which];
    if (m->rowsets->at[which].made) return true;
    if (!foresee_rowset(m, s->parent, d)) return false;
    if (!rowset_is_chosen(s)) return true;
    const struct plan_column *c = &m->plan->columns[s->column];
    return demand_perhaps(m, &m->plan->stages[c->stage],
                          rowset_count(m->rowsets, s->parent), d);
}

bool demand_foresee(struct demand *m, uint32_t save, struct diags *d) {
    const struct plan_stage *s = &m->plan->stages[m->plan->saves[save].stage];
    if (m->rowsets->at[s->rowset].made) return true;
    return foresee_rowset(m, s->rowset, d) &&
           demand_perhaps(m, s, rowset_count(m->rowsets, s->rowset), d);
}

// ---- saves ---------------------------------------------------------------------------
bool demand_write(struct demand *m, const struct plan_stage *s, const struct list *rows,
                  const struct gather *g, struct diags *d) {
    struct tally *t = demand_tally(m, s);
    struct stage_run run = stage_of(m, s, rows);
    struct stage_done done = {0};
    if (stopping(m)) return stop_here(m, s);
    if (!stage_load(m, s, d)) return false;
    double start = clock_seconds();
    run.gather = g;
    bool ok = g || save_begin(m->saves, s->target, d);
    if (ok) {
        progress_begin(m, s, rows->n);
        ok = stage_run(&run, &done, d);
    }
    t->computed += done.computed;
    t->seconds += clock_seconds() - start;
    if (done.stopped) stop_here(m, s);
    return ok;
}

bool demand_save(struct demand *m, uint32_t save, struct diags *d) {
    const struct plan_stage *s = &m->plan->stages[m->plan->saves[save].stage];
    struct list rows;
    struct cleanup held;
    if (!demand_rowset(m, s->rowset, d)) return false;
    if (!m->rowsets->at[s->rowset].made) return true; // see demand_foresee
    bool ok = list_all(&rows, m->rowsets->at[s->rowset].rows);
    if (!ok) out_of_memory(d);
    list_hold(&held, &rows);
    ok = ok && demand_inputs(m, s, &rows, d);
    demand_tally(m, s)->rows += rows.n;
    if (ok && m->look) demand_tally(m, s)->computed += rows.n;
    else ok = ok && demand_write(m, s, &rows, NULL, d);
    demand_touched(m, s);
    cleanup_run(&held);
    return ok;
}
