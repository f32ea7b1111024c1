// See options.h. Each row of the table has a function that reads the option's value and
// returns NULL, or what it expected instead.
#include "cli/options.h"

struct option {
    char letter;              // in struct command
    const char *name, *value; // value NULL: the option stands alone
    const char *help;
    const char *(*take)(struct args *a, const char *value);
};

int usage_error(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fputs("ddg: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputs(fmt[strlen(fmt) - 1] == '?' ? "\n" : "; see ddg --help\n", stderr);
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

static const char *take_define(struct args *a, const char *v) {
    const char *equals = strchr(v, '=');
    if (!equals || equals == v) return "name=value";
    a->defines[a->ndefines++] = v;
    return NULL;
}

static const char *take_threads(struct args *a, const char *s) {
    char *end;
    unsigned long v = strtoul(s, &end, 10);
    if (*s < '0' || *s > '9' || *end || v < 1 || v > 1024)
        return "a number from 1 to 1024";
    a->threads = v;
    return NULL;
}

static const char *take_store(struct args *a, const char *v) {
    if (!*v) return "a folder";
    a->store = v;
    return NULL;
}

static const char *take_no_store(struct args *a, const char *v) {
    (void)v;
    a->no_store = true;
    return NULL;
}

static const char *take_audit(struct args *a, const char *s) {
    static const char want[] = "a percentage such as 1% (above 0%, at most 100%)";
    char *end;
    if (*s < '0' || *s > '9') return want; // no sign, no "nan"
    double v = strtod(s, &end);
    if (strcmp(end, "%") != 0 || !(v > 0) || v > 100) return want;
    a->audit = v / 100;
    return NULL;
}

static const char *take_json(struct args *a, const char *v) {
    (void)v;
    a->json = true;
    return NULL;
}

static const char *take_after(struct args *a, const char *v) {
    a->after = v;
    return NULL;
}

static const char *take_size(struct args *a, const char *v) {
    a->sized = parse_size(v, &a->size);
    return a->sized ? NULL : "a size such as 5G or 500M";
}

// ---- the table -----------------------------------------------------------------------
static const struct option options[] = {
    {'D', "-D", "name=value",
     "set a param; several values, name=a,b, are a sweep: check, plan and run take every "
     "combination, one after the other",
     take_define},
    {'t', "--threads", "N", "worker threads; all processors by default", take_threads},
    {'s', "--store", "DIR",
     "where results are remembered; by default $DDG_STORE, or ddg in the user's cache "
     "folder",
     take_store},
    {'n', "--no-store", NULL, "remember nothing and look nothing up", take_no_store},
    {'A', "--audit", "P%",
     "compute that share of the rows found in the store again and fail when one differs",
     take_audit},
    {'z', "--size", "SIZE", "what the store may hold: 5G, 500M; its cap by default",
     take_size},
    {'a', "--after", "STAGE", "the stage of the compiler to print after", take_after},
    {'j', "--json", NULL, "print for scripts", take_json},
};

static bool takes(const struct command *c, const struct option *o) {
    return strchr(c->options, o->letter) != NULL;
}

// ---- reading -------------------------------------------------------------------------
// Whether arg is this option; *value is then what follows it (-Dname=value, --size=5G) or
// NULL when that would be the next argument.
static bool is_option(const struct option *o, const char *arg, const char **value) {
    size_t n = strlen(o->name);
    if (strncmp(arg, o->name, n) != 0) return false;
    *value = arg + n;
    if (!arg[n]) *value = NULL;
    else if (n == 2) return true; // one letter: the value may follow at once
    else if (arg[n] == '=') ++*value;
    else return false;
    return true;
}

static const char *option_names(const void *ctx, size_t i) {
    (void)ctx;
    return i < COUNT(options) ? options[i].name : NULL;
}

static int unknown_option(const char *arg) {
    const char *near = near_miss(arg, option_names, NULL);
    if (near) return usage_error("unknown option `%s`; did you mean `%s`?", arg, near);
    return usage_error("unknown option `%s`", arg);
}

static int take_option(const struct command *c, char **argv, int *i, struct args *a) {
    const struct option *o = options, *end = options + COUNT(options);
    const char *value;
    while (o < end && !is_option(o, argv[*i], &value)) o++;
    if (o == end) return unknown_option(argv[*i]);
    if (!takes(c, o)) return usage_error("`ddg %s` takes no %s", c->name, o->name);
    if (!o->value && value) return usage_error("%s takes no value", o->name);
    if (o->value && !value && !(value = argv[++*i]))
        return usage_error("%s wants a value: %s", o->name, o->value);
    const char *want = o->take(a, value);
    if (want) return usage_error("%s wants %s, not `%s`", o->name, want, value);
    return EXIT_DONE;
}

static int take_operand(const struct command *c, const char *arg, struct args *a) {
    if (a->noperands == c->most)
        return usage_error("one argument too many for `ddg %s`: `%s`", c->name, arg);
    a->operands[a->noperands++] = arg;
    return EXIT_DONE;
}

// What no single option shows.
static int check_args(const struct command *c, const struct args *a) {
    if (a->noperands < c->least)
        return usage_error("`ddg %s` wants %s", c->name, c->operands);
    if (a->store && a->no_store)
        return usage_error("--store and --no-store contradict each other");
    if (a->audit > 0 && a->no_store)
        return usage_error("--audit checks what the store holds, so it cannot go with "
                           "--no-store");
    return EXIT_DONE;
}

int options_parse(const struct command *c, char **argv, struct args *a) {
    int code = EXIT_DONE;
    for (int i = 0; code == EXIT_DONE && argv[i]; i++) {
        bool operand = argv[i][0] != '-' || !argv[i][1];
        code = operand ? take_operand(c, argv[i], a) : take_option(c, argv, &i, a);
    }
    return code == EXIT_DONE ? check_args(c, a) : code;
}

// ---- help ----------------------------------------------------------------------------
enum { HELP_COLUMN = 20, HELP_WIDTH = 88 };

static void print_words(const char *text, int *column, FILE *to) {
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (*column + 1 + n > HELP_WIDTH) fprintf(to, "\n%*s", *column = HELP_COLUMN, "");
        else fputc(' ', to), ++*column;
        fprintf(to, "%.*s", n, text);
        *column += n;
        text += n + (text[n] == ' ');
    }
}

static void print_takers(const struct command *commands, size_t n, const struct option *o,
                         int *column, FILE *to) {
    const char *before = "(";
    for (size_t i = 0; i < n; i++) {
        char name[64];
        if (!takes(&commands[i], o)) continue;
        snprintf(name, sizeof name, "%s%s", before, commands[i].name);
        if (*before != '(') fputc(',', to), ++*column;
        print_words(name, column, to);
        before = "";
    }
    fputc(')', to);
}

void options_help(const struct command *commands, size_t n, const struct command *only,
                  FILE *to) {
    for (const struct option *o = options; o < options + COUNT(options); o++) {
        if (only && !takes(only, o)) continue;
        int column = HELP_COLUMN - 1,
            at = fprintf(to, "  %s %s", o->name, o->value ? o->value : "");
        fprintf(to, "%*s", column - at, "");
        print_words(o->help, &column, to);
        if (!only) print_takers(commands, n, o, &column, to);
        fputc('\n', to);
    }
}
