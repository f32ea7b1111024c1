// See line.h.
#include "cli/exe/line.h"

static const struct option table[] = {
    {'D', "-D", "name=value", "set a param, the same as --name value", take_define},
};
const struct option_list exe_options = {table, COUNT(table)};

static const struct option_list *const lists[] = {&exe_options, &run_options};

bool line_asks(char **argv, const char *option) {
    for (; *argv; argv++)
        if (strcmp(*argv, option) == 0) return true;
    return false;
}

static const struct option *find_option(const char *arg, const char **value) {
    const struct option *o = NULL;
    for (size_t i = 0; i < COUNT(lists) && !o; i++) o = option_find(lists[i], arg, value);
    return o;
}

bool line_is_option(const char *name) {
    for (size_t i = 0; i < run_options.n; i++)
        if (strcmp(run_options.at[i].name + strlen("--"), name) == 0) return true;
    return strcmp(name, "help") == 0 || strcmp(name, "version") == 0;
}

// ---- unknown ones --------------------------------------------------------------------
struct names {
    struct arena *arena;
    const struct plan *plan;
};

// Options and params as they would be written.
static const char *names_at(const void *ctx, size_t i) {
    const struct names *n = ctx;
    if (i < n->plan->params.n)
        return arena_printf(n->arena, "--%s", n->plan->params.at[i].name);
    i -= n->plan->params.n;
    if (i < run_options.n) return run_options.at[i].name;
    i -= run_options.n;
    return i == 0 ? "--help" : i == 1 ? "--version" : NULL;
}

// What shaped the code, and is asked for where that is made.
static bool is_compiled_in(const char *name) {
    static const char *const names[] = {"--precision", "--tune", "--target", "--emit"};
    for (size_t i = 0; i < COUNT(names); i++)
        if (!strcmp(names[i], name)) return true;
    return false;
}

static int unknown(const struct line *l, struct arena *arena, const struct plan *p,
                   const char *arg) {
    struct names names = {arena, p};
    const char *name = arena_strndup(arena, arg, strcspn(arg, "="));
    if (is_compiled_in(name))
        return usage_error_of(l->program,
                              "unknown option `%s`: it is one of `ddg compile`", name);
    const char *near = near_miss(name, names_at, &names);
    if (near)
        return usage_error_of(l->program, "unknown option `%s`; did you mean `%s`?", name,
                              near);
    return usage_error_of(l->program, "unknown option `%s`", name);
}

// ---- params --------------------------------------------------------------------------
static const struct plan_param *find_param(const struct plan *p, const char *name,
                                           size_t n) {
    for (size_t i = 0; i < p->params.n; i++)
        if (strlen(p->params.at[i].name) == n && !strncmp(p->params.at[i].name, name, n))
            return &p->params.at[i];
    return NULL;
}

// --NAME=VALUE, or --NAME and the next argument.
static int take_param(struct line *l, struct arena *arena, const struct plan *p,
                      char **argv, size_t *i) {
    const char *arg = argv[*i], *name = arg + strlen("--");
    size_t n = strcspn(arg, "=") - strlen("--");
    const struct plan_param *param = find_param(p, name, n);
    if (!param) return unknown(l, arena, p, arg);
    const char *value = name[n] ? name + n + 1 : argv[++*i];
    if (!value) return usage_error_of(l->program, "%s wants a value", arg);
    VEC_PUSH(arena, &l->settings, (struct setting){param->name, value, "--"});
    return EXIT_DONE;
}

// What the option -D gathered is kept in the order of the line.
static void keep_define(struct line *l, struct arena *arena) {
    const char *define = l->args.defines[--l->args.ndefines],
               *equals = strchr(define, '=');
    const char *name = arena_strndup(arena, define, (size_t)(equals - define));
    VEC_PUSH(arena, &l->settings, (struct setting){name, equals + 1, "-D "});
}

// ---- all of it -----------------------------------------------------------------------
static int take(struct line *l, struct arena *arena, const struct plan *p, char **argv,
                size_t *i) {
    const char *arg = argv[*i], *value;
    if (arg[0] != '-' || !arg[1])
        return usage_error_of(l->program,
                              "unexpected argument `%s`; params are set by name", arg);
    const struct option *o = find_option(arg, &value);
    if (!o && !strncmp(arg, "--", 2)) return take_param(l, arena, p, argv, i);
    if (!o) return unknown(l, arena, p, arg);
    int code = option_take(o, l->program, value, argv, i, &l->args);
    if (l->args.ndefines) keep_define(l, arena);
    return code;
}

int line_read(struct line *l, struct arena *arena, const struct plan *p, char **argv) {
    int code = EXIT_DONE;
    l->args.defines = &l->define;
    for (size_t i = 0; code == EXIT_DONE && argv[i]; i++)
        code = take(l, arena, p, argv, &i);
    return code == EXIT_DONE ? options_check(l->program, &l->args) : code;
}
