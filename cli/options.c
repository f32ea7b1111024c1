// See options.h. What compiled programs take too is in cli/base/options.c.
#include "cli/options.h"

int usage_error(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    usage_error_va("ddg", fmt, ap);
    va_end(ap);
    return EXIT_USAGE;
}

// ---- values --------------------------------------------------------------------------
bool parse_size(const char *s, uint64_t *out) {
    static const char letters[] = "KMGT";
    char *end;
    if (*s < '0' || *s > '9') return false; // no sign, no "inf"
    double v = strtod(s, &end), unit = 1;
    if (strspn(s, "0123456789.") < (size_t)(end - s)) return false; // 0x10, 1e9
    const char *letter = *end ? strchr(letters, *end) : NULL;
    for (const char *l = letters; letter && l <= letter; l++) unit *= 1024;
    if (letter) end++;
    bool ends = !*end || !strcmp(end, "B") || (letter && !strcmp(end, "iB"));
    if (!ends || v * unit >= 0x1p63) return false;
    *out = (uint64_t)(v * unit);
    return true;
}

static const char *take_after(struct args *a, const char *v) {
    a->after = v;
    return NULL;
}

static const char *take_target(struct args *a, const char *v) {
    if (a->ntargets == COUNT(a->targets)) return "at most four targets";
    a->targets[a->ntargets++] = v;
    return NULL;
}

static const char *take_output(struct args *a, const char *v) {
    a->output = v;
    return *v && strcmp(v, "-") != 0 ? NULL : "the name of a file";
}

static const char *take_precision(struct args *a, const char *v) {
    a->bf16 = !strcmp(v, "bf16");
    return a->bf16 || !strcmp(v, "fp32") ? NULL : "fp32 or bf16";
}

static const char *take_emit(struct args *a, const char *v) {
    a->emit = v;
    return NULL;
}

static const char *take_all(struct args *a, const char *v) {
    (void)v;
    a->all = true;
    return NULL;
}

static const char *take_tune(struct args *a, const char *v) {
    (void)v;
    a->tune = true;
    return NULL;
}

static const char *take_data(struct args *a, const char *v) {
    (void)v;
    a->data = true;
    return NULL;
}

static const char *take_size(struct args *a, const char *v) {
    a->sized = parse_size(v, &a->size);
    return a->sized ? NULL : "a size such as 5G or 500M";
}

static const char *take_side(struct args *a, const char *v) {
    char *end;
    a->side = strtoul(v, &end, 10);
    bool number = *v >= '0' && *v <= '9' && !*end;
    return number && a->side >= 1 && a->side <= 4096 ? NULL : "a number from 1 to 4096";
}

// ---- the table -----------------------------------------------------------------------
static const struct option options[] = {
    {'D', "-D", "name=value",
     "set a param; several values, name=a,b, are a sweep: check, plan and run take every "
     "combination, one after the other",
     take_define},
    {'o', "-o", "FILE", "what to write; by default the program's name without .ddg",
     take_output},
    {'e', "--emit", "KIND",
     "exe (the default), plan (the same for libddg_rt), obj, llvm or asm", take_emit},
    {'z', "--size", "SIZE", "what the store may hold: 5G, 500M; its cap by default",
     take_size},
    {'p', "--size", "PIXELS",
     "the side of the images to ask about, instead of those the file was exported for",
     take_side},
    {'g', "--target", "NAME",
     "the processor to make code for: native (the default), x86-64, x86-64-v3, "
     "x86-64-v4, aarch64; compile takes it several times, and the file chooses the best "
     "where it is started",
     take_target},
    {'b', "--precision", "P",
     "fp32 (the default) or bf16, which lets the layers of networks multiply bfloat16 "
     "numbers where that is faster; for networks whose `onnx` says no `precision`",
     take_precision},
    {'U', "--tune", NULL,
     "time once how each kind of kernel is computed fastest on this machine, and use "
     "that; plan and why use what is known and time nothing",
     take_tune},
    {'d', "--data", NULL,
     "ask the models about a few of the images that the program gives them, and warn of "
     "a "
     "wrong `mean`, `std`, order of channels or of classes",
     take_data},
    {'l', "--all", NULL, "print everything: what enters keys, functions, kernels",
     take_all},
    {'a', "--after", "STAGE", "the stage of the compiler to print after", take_after},
};
// In the order of the help.
static const struct option_list own = {options, COUNT(options)};
static const struct option_list *const lists[] = {&own, &run_options};

static bool takes(const struct command *c, const struct option *o) {
    return strchr(c->options, o->letter) != NULL;
}

// ---- reading -------------------------------------------------------------------------
static const char *option_names(const void *ctx, size_t i) {
    (void)ctx;
    if (i < own.n) return own.at[i].name;
    return i - own.n < run_options.n ? run_options.at[i - own.n].name : NULL;
}

// One that looks like a param's, as compiled programs take them.
static int param_as_option(const char *arg) {
    const char *name = arg + strlen("--");
    return usage_error("unknown option `%s`; a param is set with `-D %.*s=VALUE`", arg,
                       (int)strcspn(name, "="), name);
}

static int unknown_option(const struct command *c, const char *arg) {
    const char *near = near_miss(arg, option_names, NULL);
    if (near) return usage_error("unknown option `%s`; did you mean `%s`?", arg, near);
    if (strchr(c->options, 'D') && !strncmp(arg, "--", 2) && arg[2])
        return param_as_option(arg);
    return usage_error("unknown option `%s`", arg);
}

// Two commands may mean different things by one name: the command's own goes first.
static const struct option *find_option(const struct command *c, const char *arg,
                                        const char **value) {
    const struct option *any = NULL;
    for (size_t k = 0; k < COUNT(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++) {
            const struct option_list one = {&lists[k]->at[i], 1};
            const struct option *o = option_find(&one, arg, value);
            if (o && takes(c, o)) return o;
            if (o) any = o;
        }
    return any;
}

static int take_option(const struct command *c, char **argv, size_t *i, struct args *a) {
    const char *value;
    const struct option *o = find_option(c, argv[*i], &value);
    if (!o) return unknown_option(c, argv[*i]);
    if (!takes(c, o)) return usage_error("`ddg %s` takes no %s", c->name, o->name);
    return option_take(o, "ddg", value, argv, i, a);
}

static int take_operand(const struct command *c, const char *arg, struct args *a) {
    if (a->noperands == c->most)
        return usage_error(
            "one argument too many for `ddg %s`: `%s`%s", c->name, arg,
            a->profile && !a->trace ? "; a file for --profile stands behind `=`" : "");
    a->operands[a->noperands++] = arg;
    return EXIT_DONE;
}

int options_parse(const struct command *c, char **argv, struct args *a) {
    int code = EXIT_DONE;
    for (size_t i = 0; code == EXIT_DONE && argv[i]; i++) {
        bool operand = argv[i][0] != '-' || !argv[i][1];
        code = operand ? take_operand(c, argv[i], a) : take_option(c, argv, &i, a);
    }
    if (code == EXIT_DONE && a->noperands < c->least)
        return usage_error("`ddg %s` wants %s", c->name, c->operands);
    return code == EXIT_DONE ? options_check("ddg", a) : code;
}

// ---- help ----------------------------------------------------------------------------
static void print_takers(const struct command *commands, size_t n, const struct option *o,
                         int *column, FILE *to) {
    const char *before = "(";
    for (size_t i = 0; i < n; i++) {
        char name[64];
        if (!takes(&commands[i], o)) continue;
        snprintf(name, sizeof name, "%s%s", before, commands[i].name);
        if (*before != '(') fputc(',', to), ++*column;
        help_words(name, column, to);
        before = "";
    }
    fputc(')', to);
}

static void print_option(const struct command *commands, size_t n,
                         const struct command *only, const struct option *o, FILE *to) {
    if (only && !takes(only, o)) return;
    int column = help_option(o, to);
    help_words(o->help, &column, to);
    if (!only) print_takers(commands, n, o, &column, to);
    fputc('\n', to);
}

void options_help(const struct command *commands, size_t n, const struct command *only,
                  FILE *to) {
    for (size_t k = 0; k < COUNT(lists); k++)
        for (size_t i = 0; i < lists[k]->n; i++)
            print_option(commands, n, only, &lists[k]->at[i], to);
}
