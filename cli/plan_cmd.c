// `ddg plan` and `ddg why`: what a run would find in the store and what it would compute,
// before it does.
#include "cli/base/use_store.h"
#include "cli/base/words.h"
#include "cli/options.h"
#include "cli/points.h"
#include "cli/tune_report.h"
#include "runtime/why.h"

struct looking { // one command
    const struct points *points;
    size_t at; // the point being looked at
    struct store *store;
    struct emit json;
};

static bool prepare(struct looking *l, struct driver *v, struct arena *arena) {
    point_driver(l->points, l->at, arena, v);
    v->options.twins = true;
    return driver_load(v) && driver_saves(v, "run") && driver_rehearse(v);
}

static bool prepare_last(struct driver *v) {
    return driver_lower(v, NULL) && driver_flops(v);
}

// What is not known to a tuner stays as it costs least: nothing is timed to look.
static struct tuner *open_store(struct looking *l, struct points *points,
                                struct arena *arena) {
    l->store = store_for_program(points->args, true, arena);
    struct tuner *t = tuner_for(points->args, arena, l->store, true, NULL);
    points->tuning = tuning_of(t);
    return t;
}

static struct run_options options_of(const struct looking *l, const struct driver *v) {
    return (struct run_options){
        .threads = v->options.threads, .store = l->store, .stages = v->stages};
}

// "shap_patches (target)": some ops keep more than one thing.
static const char *node_op(struct arena *a, const struct survey_node *n) {
    const char *op = n->op ? n->op : "save";
    return n->part ? arena_printf(a, "%s (%s)", op, n->part) : op;
}

// ---- plan, for people ----------------------------------------------------------------
// What is not known is a question, not a nought.
static struct words seconds_words(double seconds) {
    return seconds < 0 ? (struct words){"?"} : time_words(seconds);
}

static void print_node(const struct survey_node *n, struct arena *arena) {
    struct words nothing = {"-"}, bytes = size_words(n->bytes);
    if (!n->remembered) bytes = nothing;
    // Rows that may yet be found are computed at most.
    const char *computed = arena_printf(arena, "%s%s", n->vague ? "up to " : "",
                                        count_words(n->computed).at);
    printf("%-20s %-22s %10s %11s %16s %12s %10s %10s\n", n->name, node_op(arena, n),
           count_words(n->rows).at, n->op ? count_words(n->reused).at : "", computed,
           flops_words(n->flops).at, bytes.at, seconds_words(n->seconds).at);
}

// Of what is known, when that is not all.
static const char *time_in_all(const struct survey *s, struct arena *arena) {
    double known = 0;
    if (s->seconds >= 0) return arena_printf(arena, "%s", time_words(s->seconds).at);
    for (size_t i = 0; i < s->n; i++)
        if (s->nodes[i].seconds > 0) known += s->nodes[i].seconds;
    return known > 0 ? arena_printf(arena, "%s + ?", time_words(known).at) : "?";
}

static void print_survey(const struct survey *s, struct arena *arena) {
    printf("%-20s %-22s %10s %11s %16s %12s %10s %10s\n", "value", "op", "rows",
           "from store", "to compute", "work", "to store", "time");
    for (size_t i = 0; i < s->n; i++) print_node(&s->nodes[i], arena);
    printf("%-20s %-22s %10s %11s %16s %12s %10s %10s\n", "in all", "", "", "", "",
           flops_words(s->flops).at, size_words(s->bytes).at, time_in_all(s, arena));
    if (s->seconds < 0)
        puts("?: nothing of the kind has been computed yet, so the time is not known");
}

// ---- plan, for scripts ---------------------------------------------------------------
static void emit_seconds(struct emit *e, double seconds) {
    if (seconds < 0) emit_null(e, "seconds");
    else emit_real(e, "seconds", seconds);
}

static void emit_node(const struct survey_node *n, const char *key, struct emit *e) {
    emit_open(e, key, '{');
    emit_string(e, "name", n->name);
    emit_string(e, "op", n->op ? n->op : "save");
    emit_string(e, "part", n->part);
    emit_bool(e, "remembered", n->remembered);
    emit_count(e, "rows", n->rows);
    emit_count(e, "reused", n->reused);
    emit_count(e, "computed", n->computed);
    emit_count(e, "vague", n->vague);
    emit_real(e, "flops", n->flops);
    emit_count(e, "bytes", n->bytes);
    emit_seconds(e, n->seconds);
    emit_close(e, '}');
}

static void emit_survey(const struct survey *s, struct emit *e) {
    emit_open(e, "nodes", '[');
    for (size_t i = 0; i < s->n; i++) emit_node(&s->nodes[i], NULL, e);
    emit_close(e, ']');
    emit_real(e, "flops", s->flops);
    emit_count(e, "bytes", s->bytes);
    emit_seconds(e, s->seconds);
}

// ---- programs that train -------------------------------------------------------------
#define NAMED_MOST 4

// "`teacher` and `student`", "`a`, `b`, `c` and 9 more"
static const char *unknown_names(const struct driver *v, size_t *n) {
    struct text t = {.arena = v->arena};
    const char *const *names = acts_unknown(&v->acts, v->arena, n);
    size_t said = *n > NAMED_MOST ? NAMED_MOST - 1 : *n;
    for (size_t i = 0; i < said; i++)
        text_add(&t, "%s`%s`", !i ? "" : i + 1 < *n ? ", " : " and ", names[i]);
    if (said < *n) text_add(&t, " and %zu more", *n - said);
    return *n ? t.at : "";
}

static void print_unknown(const struct driver *v) {
    size_t n;
    const char *names = unknown_names(v, &n);
    if (n)
        printf("%s would be trained; what depends on %s is not known before, and not "
               "counted here\n",
               names, n == 1 ? "it" : "them");
}

static void emit_unknown(const struct driver *v, struct emit *e) {
    size_t n;
    const char *const *names = acts_unknown(&v->acts, v->arena, &n);
    emit_open(e, "untrained", '[');
    for (size_t i = 0; i < n; i++) emit_string(e, NULL, names[i]);
    emit_close(e, ']');
}

struct surveying {
    const struct looking *look;
    struct arena *arena;
    struct survey *all;
};

// Trainings that the store has are taken from it, so that the acts behind can be looked
// at.
static bool survey_act(void *ctx, struct driver *act, struct run_report *r) {
    struct surveying *s = ctx;
    struct survey one;
    struct run_options o = options_of(s->look, act);
    if (!driver_flops(act)) return false;
    if (!plan_survey(act->module.plan, &o, act->arena, &one, &act->d)) return false;
    survey_join(s->all, &one, s->arena);
    r->ntrained = act->module.plan->ntrains;
    r->trained = one.trained;
    return true;
}

static bool survey_all(struct looking *l, struct driver *v, struct survey *all) {
    struct surveying s = {l, v->arena, all};
    struct act_run run = {survey_act, &s};
    struct run_options o = options_of(l, v);
    struct survey last;
    if (!driver_acts(v, &run) || !prepare_last(v)) return false;
    if (!plan_survey(v->module.plan, &o, v->arena, &last, &v->d)) return false;
    survey_join(all, &last, v->arena);
    return true;
}

// ---- plan ----------------------------------------------------------------------------
static void report(struct looking *l, const struct survey *s, const struct driver *v) {
    bool sweep = l->points->n > 1;
    if (!l->points->args->json) {
        if (l->at) putchar('\n');
        points_announce(l->points, l->at, stdout);
        print_survey(s, v->arena);
        print_unknown(v);
        return;
    }
    if (sweep) emit_open(&l->json, NULL, '{');
    if (sweep) emit_string(&l->json, "point", l->points->at[l->at].name);
    emit_survey(s, &l->json);
    emit_unknown(v, &l->json);
    if (sweep) emit_close(&l->json, '}');
}

static int plan_point(void *ctx, struct arena *arena) {
    struct looking *l = ctx;
    struct driver v;
    struct survey s = {0};
    bool ok = prepare(l, &v, arena) && survey_all(l, &v, &s);
    if (ok) report(l, &s, &v);
    return driver_end(&v, ok);
}

static int plan_points(struct looking *l, const struct tuner *tuner) {
    bool sweep = l->points->n > 1;
    int code = EXIT_DONE;
    emit_open(&l->json, NULL, '{');
    if (sweep) emit_open(&l->json, "points", '[');
    for (; l->at < l->points->n && code == EXIT_DONE; l->at++)
        code = with_arena(plan_point, l);
    if (sweep) emit_close(&l->json, ']');
    tune_emit(tuner, &l->json);
    emit_close(&l->json, '}');
    if (sweep && !l->points->args->json && code == EXIT_DONE)
        puts("\neach point as the store is now: points that run find what those before "
             "them computed");
    return code;
}

int command_plan(const struct args *a, struct arena *arena) {
    struct points points;
    if (!points_open(a, arena, &points)) return EXIT_WRONG;
    if (points.n > 1 && points_check(&points) != EXIT_DONE) return EXIT_WRONG;
    struct looking l = {.points = &points, .json = {.text = {.arena = arena}}};
    struct tuner *tuner = open_store(&l, &points, arena);
    int code = plan_points(&l, tuner);
    if (!a->json && code == EXIT_DONE) tune_print(tuner, true, stdout);
    if (a->json && code == EXIT_DONE) emit_print(&l.json, stdout);
    store_say_trouble(l.store, arena);
    store_close(l.store);
    return code;
}

// ---- why -----------------------------------------------------------------------------
static const char *const why_kinds[] = {
    [WHY_NOTHING] = "found", [WHY_NOT_KEPT] = "not kept", [WHY_NO_STORE] = "no store",
    [WHY_NEVER] = "never",   [WHY_CHANGED] = "changed",   [WHY_ROWS] = "rows",
    [WHY_VAGUE] = "depends",
};

static void print_why(const struct why *w, struct arena *arena) {
    const struct survey_node *n = &w->node;
    printf("%s = %s: %s of %s rows from the store, %s%s to compute\n", n->name,
           node_op(arena, n), count_words(n->reused).at, count_words(n->rows).at,
           n->vague ? "up to " : "", count_words(n->computed).at);
    printf("%s\n", w->reason);
    bool rows = w->node.column != UINT32_MAX; // of trainings, states are kept
    if (w->kind == WHY_CHANGED)
        printf("compared with `%s`, of which %s %s in the store\n", w->like,
               count_words(w->had).at,
               rows ? "rows are" : "states, kept and on the way, are");
}

static void emit_why(const struct why *w, struct emit *e) {
    emit_open(e, NULL, '{');
    emit_node(&w->node, "node", e);
    emit_string(e, "kind", why_kinds[w->kind]);
    emit_string(e, "reason", w->reason);
    emit_open(e, "changes", '[');
    for (size_t i = 0; i < w->nchanges; i++) {
        const struct why_change *c = &w->changes[i];
        emit_open(e, NULL, '{');
        emit_string(e, "field", c->field);
        emit_string(e, "then", c->then);
        emit_string(e, "now", c->now);
        emit_string(e, "then_label", c->then_label);
        emit_string(e, "now_label", c->now_label);
        emit_close(e, '}');
    }
    emit_close(e, ']');
    emit_string(e, "like", w->like);
    emit_count(e, "new_rows", w->new_rows);
    emit_count(e, "relabelled", w->relabelled);
    emit_string(e, "first", w->first);
    emit_string(e, "first_class", w->first_class);
    emit_string(e, "before", w->before);
    emit_close(e, '}');
}

struct asking {
    struct looking *look;
    const char *node;
    bool said; // the value is one of an act that was looked at
};

static bool say_why(struct asking *a, struct driver *v) {
    struct looking *l = a->look;
    struct run_options o = options_of(l, v);
    struct why w;
    if (!plan_why(v->module.plan, &o, a->node, v->arena, &w, &v->d)) return false;
    a->said = true;
    if (!l->points->args->json) {
        print_why(&w, v->arena);
        return true;
    }
    emit_why(&w, &l->json);
    emit_print(&l->json, stdout);
    return true;
}

static bool ask_act(void *ctx, struct driver *act, struct run_report *r) {
    struct asking *a = ctx;
    struct survey s = {0};
    struct surveying survey = {a->look, act->arena, &s};
    if (!survey_act(&survey, act, r)) return false;
    return a->said || !plan_keeps(act->module.plan, a->node) || say_why(a, act);
}

static bool unknown_why(const struct asking *a, struct driver *v) {
    size_t n;
    const char *names = unknown_names(v, &n);
    diag_error(&v->d, NO_SPAN, "`%s` is no value of what is known of this program",
               a->node);
    return diag_help(&v->d, "%s would be trained; what depends on %s is not known before",
                     names, n == 1 ? "it" : "them");
}

static bool ask(struct asking *a, struct driver *v) {
    struct act_run run = {ask_act, a};
    size_t n;
    if (!driver_acts(v, &run)) return false;
    if (a->said) return true;
    if (!prepare_last(v)) return false;
    acts_unknown(&v->acts, v->arena, &n);
    return n && !plan_keeps(v->module.plan, a->node) ? unknown_why(a, v) : say_why(a, v);
}

static int why(struct looking *l, struct arena *arena) {
    struct asking a = {.look = l, .node = l->points->args->operands[1]};
    struct driver v;
    bool ok = prepare(l, &v, arena) && ask(&a, &v);
    return driver_end(&v, ok);
}

int command_why(const struct args *a, struct arena *arena) {
    struct points points;
    if (!points_open(a, arena, &points)) return EXIT_WRONG;
    int code = points_single(&points, "why");
    if (code != EXIT_DONE) return code;
    struct looking l = {.points = &points, .json = {.text = {.arena = arena}}};
    open_store(&l, &points, arena);
    code = why(&l, arena);
    store_say_trouble(l.store, arena);
    store_close(l.store);
    return code;
}
