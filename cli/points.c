// See points.h. Points are mostly wrong in the same way, when they are: the same words
// are said once, with the points they are about.
#include "cli/points.h"

#include "cli/options.h"

bool points_open(const struct args *a, struct arena *arena, struct points *out) {
    struct diags d;
    diags_init(&d, arena);
    *out = (struct points){.args = a};
    bool ok = sweep_points(arena, a->defines, a->ndefines, &out->at, &out->n, &d);
    diags_print(&d, stderr, diag_color(stderr));
    return ok;
}

int points_single(const struct points *p, const char *command) {
    if (p->n == 1) return EXIT_DONE;
    return usage_error(
        "`ddg %s` takes one value for each param, not a sweep of %zu points "
        "(the first is %s)",
        command, p->n, p->at[0].name);
}

void points_announce(const struct points *p, size_t i, FILE *to) {
    if (p->n > 1) fprintf(to, "point %zu of %zu: %s\n", i + 1, p->n, p->at[i].name);
}

static const char *points_target(const struct args *a) {
    return a->ntargets ? a->targets[a->ntargets - 1] : NULL;
}

void point_driver(const struct points *p, size_t i, struct arena *arena,
                  struct driver *v) {
    const struct sweep_point *point = &p->at[i];
    struct driver_options o = {.path = p->args->operands[0],
                               .defines = point->defines,
                               .ndefines = point->ndefines,
                               .threads = p->args->threads,
                               .target = points_target(p->args),
                               .bf16 = p->args->bf16,
                               .point = point->name,
                               .times = args_times(p->args),
                               .tuning = p->tuning};
    driver_init(v, arena, &o);
}

void driver_say(const struct driver *v) {
    diags_print(&v->d, stderr, diag_color(stderr));
}

int driver_end(struct driver *v, bool ok) {
    driver_say(v);
    driver_free(v);
    return ok ? EXIT_DONE : EXIT_WRONG;
}

// ---- checking all of them ------------------------------------------------------------
struct checking {
    const struct points *points;
    size_t at;          // the point being checked
    size_t wrong;       // points so far
    char *said;         // about the last wrong points, of malloc; not printed yet
    size_t first, same; // the first point it is about, and how many more
};

static void say(struct checking *c) {
    if (!c->said) return;
    fprintf(stderr, "at %s", c->points->at[c->first].name);
    if (c->same)
        fprintf(stderr, " and %zu more point%s", c->same, c->same == 1 ? "" : "s");
    fprintf(stderr, ":\n%s", c->said);
    free(c->said);
    c->said = NULL;
}

static void remember(struct checking *c, char *said) {
    if (c->said && !strcmp(c->said, said)) {
        c->same++;
        free(said);
        return;
    }
    say(c);
    c->said = said;
    c->first = c->at;
    c->same = 0;
}

static char *diags_text(const struct diags *d) {
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);
    if (!to) return NULL;
    diags_print(d, to, diag_color(stderr));
    return fclose(to) == 0 ? text : NULL;
}

// Lowering finds what the types do not say: coalitions that determine nothing, a teacher
// that cannot take images of the size of the crops.
static int check_point(void *ctx, struct arena *arena) {
    struct checking *c = ctx;
    struct driver v;
    point_driver(c->points, c->at, arena, &v);
    bool ok = driver_load(&v);
    if (ok && v.acts.n) ok = driver_rehearse(&v);
    else if (ok && v.program->graph->outs.n) ok = driver_lower(&v, NULL);
    if (c->points->n == 1) return driver_end(&v, ok);
    char *said = ok ? NULL : diags_text(&v.d);
    if (said) remember(c, said);
    driver_free(&v);
    return ok ? EXIT_DONE : EXIT_WRONG;
}

int points_check(const struct points *p) {
    struct checking c = {.points = p};
    for (; c.at < p->n; c.at++) c.wrong += with_arena(check_point, &c) != EXIT_DONE;
    say(&c);
    if (c.wrong && p->n > 1)
        fprintf(stderr, "%zu of %zu points are wrong\n", c.wrong, p->n);
    return c.wrong ? EXIT_WRONG : EXIT_DONE;
}
