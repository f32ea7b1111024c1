// See trial_run.h. The model is asked as the program has it, and only when another way
// could come out better, in the others: first for the images that it gets wrong, which
// mostly shows that there is nothing to find.
#include "runtime/trial_run.h"

#include "runtime/list.h"
#include "runtime/trial.h"

struct asking {
    struct demand *m;
    const struct plan_trial *plan;
    struct diags *d;
    enum trial_look look;
    struct trial trial;
    uint32_t *rows;   // of its images
    uint32_t *chosen; // of its images: those to try otherwise
    size_t nchosen, nwrong;
    bool unknown; // when nothing is computed: what it says is not in the store
};

static struct arena *arena_of(const struct asking *k) {
    return k->m->arena;
}

// ---- which images --------------------------------------------------------------------
// Of each class so many rows, spread evenly over those it has.
static void choose_rows(struct asking *k, size_t per_class) {
    const struct rowsets *r = k->m->rowsets;
    size_t rows = r->at[k->plan->rowset].rows;
    size_t *count = NEW_N(arena_of(k), size_t, k->trial.nnames);
    size_t *seen = NEW_N(arena_of(k), size_t, k->trial.nnames);
    for (size_t i = 0; i < rows; i++) count[rowset_class(r, k->plan->rowset, i)]++;
    k->rows = NEW_N(arena_of(k), uint32_t, rows);
    uint32_t *cls = NEW_N(arena_of(k), uint32_t, rows);
    for (size_t i = 0; i < rows; i++) {
        uint32_t c = rowset_class(r, k->plan->rowset, i);
        size_t of = count[c], take = size_min(per_class, of), at = seen[c]++;
        if ((at + 1) * take / of == at * take / of) continue;
        cls[k->trial.n] = c;
        k->rows[k->trial.n++] = (uint32_t)i;
    }
    k->trial.cls = cls;
}

static void name_classes(struct asking *k) {
    const struct rowsets *r = k->m->rowsets;
    const struct reader *reader = r->at[rowset_root(r, k->plan->rowset)].reader;
    k->trial.classes = k->plan->classes;
    k->trial.nnames = reader_classes(reader);
    const char **names = NEW_N(arena_of(k), const char *, k->trial.nnames);
    for (size_t i = 0; i < k->trial.nnames; i++) names[i] = reader_class_name(reader, i);
    k->trial.names = names;
}

// ---- asking --------------------------------------------------------------------------
static int by_number(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static bool all_known(const struct asking *k, uint32_t column, const struct list *rows) {
    const uint8_t *have = k->m->rowsets->columns[column].have;
    for (size_t i = 0; i < rows->n; i++)
        if (have[rows->at[i]] != HAVE_VALUE) return false;
    return true;
}

// A column for some of the trial's images; NULL: all.
static bool need(struct asking *k, uint32_t column, const uint32_t *images, size_t n) {
    struct list rows;
    struct cleanup held;
    bool ok = list_alloc(&rows, n, false) || diag_no_memory(k->d, NO_SPAN);
    list_hold(&held, &rows);
    for (size_t i = 0; ok && i < n; i++)
        rows.at[rows.n++] = k->rows[images ? images[i] : i];
    if (ok) qsort(rows.at, rows.n, sizeof *rows.at, by_number);
    ok = ok && demand_column(k->m, column, &rows, k->d);
    k->unknown = ok && !all_known(k, column, &rows);
    cleanup_run(&held);
    return ok;
}

static const int32_t *value_of(const struct asking *k, uint32_t column, size_t image) {
    size_t bytes = k->m->plan->columns[column].row_bytes;
    const char *values = k->m->rowsets->columns[column].values;
    return (const int32_t *)(const void *)(values + k->rows[image] * bytes);
}

static void take_answers(struct asking *k) {
    int32_t *said = NEW_N(arena_of(k), int32_t, k->trial.n);
    for (size_t i = 0; i < k->trial.n; i++) said[i] = *value_of(k, k->plan->answers, i);
    k->trial.said = said;
    k->chosen = NEW_N(arena_of(k), uint32_t, k->trial.n);
    k->nchosen = trial_choose(k->look, &k->trial, k->chosen, &k->nwrong);
}

static void take_otherwise(struct asking *k, size_t n) {
    int32_t *said = NEW_N(arena_of(k), int32_t, n * TRIAL_VARIANTS);
    for (size_t i = 0; i < n; i++)
        memcpy(said + i * TRIAL_VARIANTS, value_of(k, k->plan->variants, k->chosen[i]),
               TRIAL_VARIANTS * sizeof *said);
    k->trial.ntried = n;
    k->trial.tried = k->chosen;
    k->trial.otherwise = said;
}

// The images it gets wrong, then all that were chosen, as long as that could help.
static bool try_otherwise(struct asking *k) {
    const size_t rounds[] = {k->nwrong, k->nchosen};
    for (size_t i = 0; i < COUNT(rounds); i++) {
        if (!trial_could_help(&k->trial, k->nchosen, k->nwrong)) {
            k->trial.ntried = 0;
            return true;
        }
        if (!need(k, k->plan->variants, k->chosen, rounds[i])) return false;
        if (k->unknown) return true;
        take_otherwise(k, rounds[i]);
    }
    return true;
}

// When what it says is not known, all that can be said is what may be asked then.
static bool ask_later(struct asking *k) {
    const struct plan *p = k->m->plan;
    const struct plan_stage *s = &p->stages[p->columns[k->plan->variants].stage];
    return demand_perhaps(k->m, s, trial_choices(k->look, k->trial.n), k->d);
}

static bool ask(struct asking *k) {
    k->trial.n = k->trial.ntried = 0;
    choose_rows(k, trial_per_class(k->look, k->plan->per_class, k->trial.nnames));
    if (!need(k, k->plan->answers, NULL, k->trial.n)) return false;
    if (k->unknown) return ask_later(k);
    take_answers(k);
    return try_otherwise(k);
}

// ---- reporting -----------------------------------------------------------------------
static void list_ways(const struct asking *k, const struct trial_verdict *v,
                      struct run_check *out) {
    if (!k->trial.ntried) return;
    struct run_way *ways = NEW_N(arena_of(k), struct run_way, TRIAL_VARIANTS);
    for (size_t i = 0; i < TRIAL_VARIANTS; i++)
        ways[i] = (struct run_way){trial_way_words(arena_of(k), i), v->ways[i].n,
                                   v->ways[i].right};
    out->nways = TRIAL_VARIANTS;
    out->ways = ways;
}

static bool report(struct asking *k) {
    struct demand *m = k->m;
    struct trial_verdict v;
    struct diags *said = NEW(m->arena, struct diags);
    diags_init(said, m->arena);
    trial_judge(m->arena, &k->trial, &v);
    trial_say(k->plan, &k->trial, &v, said);
    if (said->no_memory) return diag_no_memory(k->d, NO_SPAN); // a warning is lost
    struct run_check c = {.model = k->plan->model,
                          .images = k->plan->images,
                          .line = trial_line(m->arena, k->plan, &v),
                          .rows = v.given.n,
                          .right = v.given.right,
                          .guessing = v.guessing,
                          .said = said};
    list_ways(k, &v, &c);
    VEC_PUSH(m->arena, &m->checks, c);
    if (m->options->checked) m->options->checked(m->options->ctx, &c);
    return trial_enough(k->plan, &v, k->d);
}

bool trial_run(struct demand *m, uint32_t which, struct diags *d) {
    struct asking k = {.m = m, .plan = &m->plan->trials[which], .d = d};
    if (!demand_rowset(m, k.plan->rowset, d)) return false;
    if (!m->rowsets->at[k.plan->rowset].made) return true; // looking: not known yet
    name_classes(&k);
    if (!ask(&k)) return false;
    if (!k.unknown && trial_suspects(&k.trial)) {
        k.look = SECOND_LOOK;
        if (!ask(&k)) return false;
    }
    return m->look || report(&k);
}
