// See report.h.
#include "cli/base/report.h"

#include "cli/base/tables.h"
#include "cli/base/words.h"
#include "runtime/train.h"

// ---- several acts --------------------------------------------------------------------
static void join_stages(struct run_report *all, const struct run_report *one,
                        bool trainings, struct arena *arena) {
    struct run_stage *to = NEW_N(arena, struct run_stage, all->nstages + one->nstages);
    if (all->nstages) memcpy(to, all->stages, all->nstages * sizeof *to);
    for (size_t i = 0; i < one->nstages; i++) {
        if (trainings && !one->stages[i].op) continue; // what is said of them says it
        to[all->nstages] = one->stages[i];
        to[all->nstages++].name = arena_strdup(arena, one->stages[i].name);
    }
    all->stages = to;
}

static void join_trained(struct run_report *all, const struct run_report *one,
                         struct arena *arena) {
    struct trained *to = NEW_N(arena, struct trained, all->ntrained + one->ntrained);
    if (all->ntrained) memcpy(to, all->trained, all->ntrained * sizeof *to);
    for (size_t i = 0; i < one->ntrained; i++) {
        struct trained *t = &to[all->ntrained + i];
        *t = one->trained[i];
        t->name = arena_strdup(arena, t->name);
        t->stages = arena_dup(arena, t->stages, t->nstages, sizeof *t->stages);
        for (size_t k = 0; k < t->nstages; k++) // the weights stay where they are used
            t->stages[k].params = t->stages[k].stats = NULL;
        t->losses = arena_dup(arena, t->losses, t->nlosses, sizeof *t->losses);
    }
    all->trained = to;
    all->ntrained += one->ntrained;
}

void report_join(struct run_report *all, const struct run_report *act,
                 struct arena *arena) {
    join_stages(all, act, true, arena);
    join_trained(all, act, arena);
    all->seconds += act->seconds;
    all->audited += act->audited;
    all->peak_bytes = size_max(all->peak_bytes, act->peak_bytes);
}

void report_join_last(struct run_report *all, const struct run_report *last,
                      struct arena *arena) {
    struct run_report before = *all;
    *all = *last;
    all->nstages = before.nstages, all->stages = before.stages;
    all->ntrained = before.ntrained, all->trained = before.trained;
    join_stages(all, last, false, arena);
    all->seconds += before.seconds;
    all->audited += before.audited;
}

// ---- for people ----------------------------------------------------------------------
static void print_row(const char *name, int width, const char *op, struct words rows,
                      struct words reused, struct words computed, double seconds,
                      FILE *to) {
    fprintf(to, "%-*s %-14s %10s %11s %10s %10s\n", width, name, op, rows.at, reused.at,
            computed.at, time_words(seconds).at);
}

static int name_width(const struct run_report *r) {
    size_t most = 20;
    for (size_t i = 0; i < r->nstages; i++)
        most = size_max(most, strlen(r->stages[i].name));
    return (int)size_min(most, 48);
}

static void print_stages(const struct run_report *r, const struct report_times *t,
                         FILE *to) {
    static const struct words none = {""};
    int width = name_width(r);
    fprintf(to, "%-*s %-14s %10s %11s %10s %10s\n", width, "value", "op", "rows",
            "from store", "computed", "time");
    if (t) print_row("compile", width, "", none, none, none, t->before + t->code, to);
    for (size_t i = 0; i < r->nstages; i++) {
        const struct run_stage *s = &r->stages[i];
        print_row(s->name, width, s->op ? s->op : "save", count_words(s->rows),
                  s->op ? count_words(s->reused) : none, count_words(s->computed),
                  s->seconds, to);
    }
    struct run_rows sum = run_rows(r);
    print_row("in all", width, "", count_words(sum.rows), count_words(sum.reused),
              count_words(sum.computed), (t ? t->before : 0) + r->seconds, to);
}

void report_trained(const struct trained *t, FILE *to) {
    size_t epochs = t->nstages ? t->stages[t->nstages - 1].epoch : 0;
    fprintf(to, "train: %s, %s epoch%s", t->name, count_words(epochs).at,
            epochs == 1 ? "" : "s");
    if (t->reused) fputs(" from the store\n", to);
    if (t->reused) return;
    if (t->from_epoch) fprintf(to, ", going on after %zu", t->from_epoch);
    fprintf(to, ": %s step%s", count_words(t->steps).at, t->steps == 1 ? "" : "s");
    if (t->nlosses) fprintf(to, ", loss %.4g", (double)t->losses[t->nlosses - 1]);
    fprintf(to, ", %s\n", time_words(t->seconds).at);
}

void report_print(const struct run_report *r, const struct report_times *t, FILE *to) {
    print_stages(r, t, to);
    fprintf(to, "peak memory %s\n", size_words(r->peak_bytes).at);
    for (size_t i = 0; i < r->ntrained; i++) report_trained(&r->trained[i], to);
    for (size_t i = 0; i < r->nchecks; i++) fprintf(to, "check: %s\n", r->checks[i].line);
    for (size_t i = 0; i < r->nagreements; i++)
        fprintf(to, "bf16: %s\n", r->agreements[i].line);
    if (r->audited)
        fprintf(to, "computed %s rows of the store again: no difference\n",
                count_words(r->audited).at);
    if (r->nskipped)
        fprintf(to, "left out %zu file%s:\n", r->nskipped, r->nskipped == 1 ? "" : "s");
    for (size_t i = 0; i < r->nskipped; i++) fprintf(to, "  %s\n", r->skipped[i]);
    for (size_t i = 0; i < r->nsaved; i++)
        fprintf(to, "wrote %s rows to %s\n", count_words(r->saved[i].rows).at,
                r->saved[i].to);
    for (size_t i = 0; i < r->ntables; i++) table_print(&r->tables[i], to);
}

void report_check(const struct run_check *c, FILE *line, FILE *warnings) {
    if (line) fprintf(line, "check: %s\n", c->line);
    if (line) fflush(line);
    diags_print(c->said, warnings, diag_color(warnings));
}

void report_stopped(const struct run_report *r, bool kept, FILE *to) {
    fputs("ddg: stopped", to);
    if (r->stopped_in)
        fprintf(to, " after %s of %s rows of %s", count_words(r->stopped_done).at,
                count_words(r->stopped_rows).at, r->stopped_in);
    fputs(
        kept ? "; what was computed is in the store: the same command goes on from here\n"
             : "; without a store, what was computed is lost\n",
        to);
}

// ---- for scripts ---------------------------------------------------------------------
static void emit_stages(const struct run_report *r, struct emit *e) {
    emit_open(e, "stages", '[');
    for (size_t i = 0; i < r->nstages; i++) {
        const struct run_stage *s = &r->stages[i];
        emit_open(e, NULL, '{');
        emit_string(e, "name", s->name);
        emit_string(e, "op", s->op ? s->op : "save");
        emit_count(e, "rows", s->rows);
        emit_count(e, "reused", s->reused);
        emit_count(e, "computed", s->computed);
        emit_real(e, "seconds", s->seconds);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

static void emit_ways(const struct run_check *c, struct emit *e) {
    emit_open(e, "otherwise", '[');
    for (size_t i = 0; i < c->nways; i++) {
        emit_open(e, NULL, '{');
        emit_string(e, "what", c->ways[i].what);
        emit_count(e, "rows", c->ways[i].rows);
        emit_count(e, "right", c->ways[i].right);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

static void emit_warnings(const struct run_check *c, struct emit *e) {
    emit_open(e, "warnings", '[');
    for (size_t i = 0; i < c->said->list.n; i++) {
        const struct diag *d = &c->said->list.at[i];
        if (d->severity == DIAG_NOTE) continue;
        emit_open(e, NULL, '{');
        emit_string(e, "message", d->message);
        emit_string(e, "help", d->help);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

void report_emit_checks(const struct run_report *r, struct emit *e) {
    emit_open(e, "checks", '[');
    for (size_t i = 0; i < r->nchecks; i++) {
        const struct run_check *c = &r->checks[i];
        emit_open(e, NULL, '{');
        emit_string(e, "model", c->model);
        emit_string(e, "images", c->images);
        emit_count(e, "rows", c->rows);
        emit_count(e, "right", c->right);
        emit_bool(e, "guessing", c->guessing);
        emit_ways(c, e);
        emit_warnings(c, e);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

static void emit_order(const struct run_agreement *g, struct emit *e) {
    const struct agreement *f = &g->found;
    if (g->kind == AGREE_LABELS) {
        emit_count(e, "same_class", f->same);
        return;
    }
    emit_count(e, "ranked", f->ranked);
    if (f->ranked) emit_real(e, "spearman", f->mean);
    else emit_null(e, "spearman");
    if (f->ranked) emit_real(e, "spearman_least", f->least);
    else emit_null(e, "spearman_least");
}

static void emit_agreements(const struct run_report *r, struct emit *e) {
    emit_open(e, "bf16", '[');
    for (size_t i = 0; i < r->nagreements; i++) {
        const struct run_agreement *g = &r->agreements[i];
        emit_open(e, NULL, '{');
        emit_string(e, "name", g->name);
        emit_string(e, "op", g->op);
        emit_count(e, "rows", g->found.rows);
        emit_count(e, "other_class", g->found.others);
        emit_count(e, "no_numbers", g->found.broken);
        emit_real(e, "largest_error", g->found.largest);
        emit_real(e, "median_error", g->found.median);
        emit_order(g, e);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

static void emit_saved(const struct run_report *r, struct emit *e) {
    emit_open(e, "saved", '[');
    for (size_t i = 0; i < r->nsaved; i++) {
        emit_open(e, NULL, '{');
        emit_string(e, "to", r->saved[i].to);
        emit_count(e, "rows", r->saved[i].rows);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

static void emit_trained(const struct trained *t, struct emit *e) {
    emit_open(e, NULL, '{');
    emit_string(e, "name", t->name);
    emit_bool(e, "reused", t->reused);
    emit_open(e, "epochs", '[');
    for (size_t i = 0; i < t->nstages; i++) emit_count(e, NULL, t->stages[i].epoch);
    emit_close(e, ']');
    emit_count(e, "from_epoch", t->from_epoch);
    emit_count(e, "steps", t->steps);
    emit_open(e, "losses", '[');
    for (size_t i = 0; i < t->nlosses; i++) emit_real(e, NULL, (double)t->losses[i]);
    emit_close(e, ']');
    emit_real(e, "seconds", t->seconds);
    emit_close(e, '}');
}

static void emit_trainings(const struct run_report *r, struct emit *e) {
    emit_open(e, "trained", '[');
    for (size_t i = 0; i < r->ntrained; i++) emit_trained(&r->trained[i], e);
    emit_close(e, ']');
}

static void emit_tables(const struct run_report *r, struct emit *e) {
    emit_open(e, "tables", '[');
    for (size_t i = 0; i < r->ntables; i++) table_emit(&r->tables[i], e);
    emit_close(e, ']');
}

void report_emit(const struct run_report *r, const struct report_times *t,
                 struct emit *e) {
    struct run_rows sum = run_rows(r);
    emit_stages(r, e);
    emit_count(e, "rows", sum.rows);
    emit_count(e, "reused", sum.reused);
    emit_count(e, "computed", sum.computed);
    emit_count(e, "audited", r->audited);
    emit_real(e, "compile_seconds", t ? t->before + t->code : 0);
    emit_real(e, "seconds", (t ? t->before : 0) + r->seconds);
    emit_count(e, "peak_bytes", r->peak_bytes);
    emit_trainings(r, e);
    report_emit_checks(r, e);
    emit_agreements(r, e);
    emit_saved(r, e);
    emit_tables(r, e);
    emit_open(e, "skipped", '[');
    for (size_t i = 0; i < r->nskipped; i++) emit_string(e, NULL, r->skipped[i]);
    emit_close(e, ']');
}

void report_emit_store(struct store *s, const char *path, struct arena *arena,
                       struct emit *e) {
    if (!s) {
        emit_null(e, "store");
        return;
    }
    struct store_counts c = store_counts(s);
    emit_open(e, "store", '{');
    emit_string(e, "path", path);
    emit_count(e, "hits", c.hits);
    emit_count(e, "misses", c.misses);
    emit_count(e, "written", c.written);
    emit_count(e, "damaged", c.damaged);
    emit_count(e, "waited", c.waited);
    emit_string(e, "trouble", store_trouble(s, arena));
    emit_close(e, '}');
}

// ---- where the time went -------------------------------------------------------------
static void print_moment(double seconds, FILE *to) {
    fprintf(to, " %9.1f ms", seconds * 1e3);
}

void report_time(const struct timeline *t, FILE *to) {
    struct timeline_phase phases[TIMELINE_MAX];
    size_t n = timeline_phases(t, phases);
    bool said = !t->kernels;
    fprintf(to, "\n%-40s %12s %12s\n", "phase", "began", "took");
    for (size_t i = 0; i <= n; i++) {
        if (!said && (i == n || phases[i].began > t->first_kernel)) {
            fprintf(to, "%-40s", "first kernel");
            print_moment(t->first_kernel, to);
            fputc('\n', to);
            said = true;
        }
        if (i == n) break;
        fprintf(to, "%-40s", phases[i].name);
        print_moment(phases[i].began, to);
        print_moment(phases[i].seconds, to);
        fputc('\n', to);
    }
}

void report_emit_time(const struct timeline *t, struct emit *e) {
    struct timeline_phase phases[TIMELINE_MAX];
    size_t n = timeline_phases(t, phases);
    if (t->kernels) emit_real(e, "first_kernel_seconds", t->first_kernel);
    else emit_null(e, "first_kernel_seconds");
    emit_open(e, "phases", '[');
    for (size_t i = 0; i < n; i++) {
        emit_open(e, NULL, '{');
        emit_string(e, "name", phases[i].name);
        emit_real(e, "began", phases[i].began);
        emit_real(e, "seconds", phases[i].seconds);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}
