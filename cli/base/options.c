// See options.h.
#include "cli/base/options.h"

int usage_error_va(const char *program, const char *fmt, va_list ap) {
    bool asks = fmt[strlen(fmt) - 1] == '?';
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, fmt, ap);
    if (asks) fputc('\n', stderr);
    else fprintf(stderr, "; see %s --help\n", program);
    return EXIT_USAGE;
}

int usage_error_of(const char *program, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    usage_error_va(program, fmt, ap);
    va_end(ap);
    return EXIT_USAGE;
}

// ---- values --------------------------------------------------------------------------
const char *take_define(struct args *a, const char *v) {
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

static const char *take_time(struct args *a, const char *v) {
    (void)v;
    a->time = true;
    return NULL;
}

static const char *take_profile(struct args *a, const char *v) {
    a->profile = true;
    a->trace = v;
    return v && !*v ? "a file" : NULL;
}

static const struct option table[] = {
    {'t', "--threads", "N", "worker threads; all processors by default", take_threads},
    {'s', "--store", "DIR",
     "where results are remembered; by default $DDG_STORE, or ddg in the user's cache "
     "folder",
     take_store},
    {'n', "--no-store", NULL, "remember nothing and look nothing up", take_no_store},
    {'A', "--audit", "P%",
     "compute that share of the rows found in the store again and fail when one differs",
     take_audit},
    {'T', "--time", NULL, "say where the time goes, from the start to the end",
     take_time},
    {'P', "--profile", "[=FILE]",
     "say which kernels the time goes to and how fast they are; FILE: also what each "
     "thread "
     "did when, for ui.perfetto.dev",
     take_profile},
    {'j', "--json", NULL, "print for scripts", take_json},
};
const struct option_list run_options = {table, COUNT(table)};

// ---- reading -------------------------------------------------------------------------
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

const struct option *option_find(const struct option_list *l, const char *arg,
                                 const char **value) {
    for (size_t i = 0; i < l->n; i++)
        if (is_option(&l->at[i], arg, value)) return &l->at[i];
    return NULL;
}

int option_take(const struct option *o, const char *program, const char *value,
                char **argv, size_t *i, struct args *a) {
    if (!o->value && value) return usage_error_of(program, "%s takes no value", o->name);
    if (o->value && *o->value != '[' && !value && !(value = argv[++*i]))
        return usage_error_of(program, "%s wants a value: %s", o->name, o->value);
    const char *want = o->take(a, value);
    if (!want) return EXIT_DONE;
    return usage_error_of(program, "%s wants %s, not `%s`", o->name, want, value);
}

int options_check(const char *program, const struct args *a) {
    if (a->store && a->no_store)
        return usage_error_of(program, "--store and --no-store contradict each other");
    if (a->audit > 0 && a->no_store)
        return usage_error_of(program, "--audit checks what the store holds, so it "
                                       "cannot go with --no-store");
    return EXIT_DONE;
}

// ---- help ----------------------------------------------------------------------------
void help_words(const char *text, int *column, FILE *to) {
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (*column + 1 + n > HELP_WIDTH) fprintf(to, "\n%*s", *column = HELP_COLUMN, "");
        else fputc(' ', to), ++*column;
        fprintf(to, "%.*s", n, text);
        *column += n;
        text += n + (text[n] == ' ');
    }
}

int help_option(const struct option *o, FILE *to) {
    const char *value = o->value ? o->value : "";
    int at = fprintf(to, "  %s%s%s", o->name, strncmp(value, "[=", 2) ? " " : "", value);
    int left = HELP_COLUMN - 1 - at;
    if (left > 0) fprintf(to, "%*s", left, "");
    return left > 0 ? HELP_COLUMN - 1 : at;
}

void exit_codes_help(FILE *to) {
    fputs("\nExit codes: 0 done; 1 the program, its data or the store is wrong; 2 usage; "
          "3 a bug\nof ddg. Stopped by a signal (Ctrl-C), ddg ends by that signal.\n",
          to);
}
