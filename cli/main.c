// The ddg command: which commands there are, the help, and how the process ends.
#include "cli/options.h"

#include "runtime/pool.h"
#include "runtime/timeline.h"

static const struct command commands[] = {
    {GROUP_PROGRAM, "check", "FILE.ddg", "say what is wrong with a program",
     command_check, 1, 1, "Ddbtsnj"},
    {GROUP_PROGRAM, "plan", "FILE.ddg",
     "what a run would compute, and what it would find in the store", command_plan, 1, 1,
     "DtgbsnUj"},
    {GROUP_PROGRAM, "run", "FILE.ddg", "compile and run a program", command_run, 1, 1,
     "DtgbsnUATPj"},
    {GROUP_PROGRAM, "compile", "FILE.ddg",
     "write a program as an executable that needs nothing else", command_compile, 1, 1,
     "DtoegbsnU"},
    {GROUP_PROGRAM, "inspect", "FILE", "what a compiled program holds", command_inspect,
     1, 1, "lj"},
    {GROUP_PROGRAM, "why", "FILE.ddg NAME",
     "why a value has to be computed: what has changed since", command_why, 2, 2,
     "DtgbsUj"},
    {GROUP_PROGRAM, "model", "FILE.onnx",
     "what a teacher's file holds, and what ddg can do with it", command_model, 1, 1,
     "pj"},
    {GROUP_PROGRAM, "dump", "FILE.ddg", "print a program after a stage of the compiler",
     command_dump, 1, 1, "Dgba"},
    {GROUP_STORE, "store stats", "", "what is in it", command_store_stats, 0, 0, "sj"},
    {GROUP_STORE, "store verify", "",
     "read everything; what is damaged is taken out (exit code 1)", command_store_verify,
     0, 0, "sj"},
    {GROUP_STORE, "store gc", "", "make it smaller, values of least worth first",
     command_store_gc, 0, 0, "szj"},
    {GROUP_STORE, "store clear", "", "remove everything in it", command_store_clear, 0, 0,
     "sj"},
    {GROUP_STORE, "store path", "", "where it is", command_store_path, 0, 0, "sj"},
    {GROUP_LANGUAGE, "ops", "[NAME]", "the ops of the language, or one of them",
     command_ops, 0, 1, ""},
};

// ---- help ----------------------------------------------------------------------------
static void print_command(const struct command *c, FILE *to) {
    int n = fprintf(to, "  ddg %s %s", c->name, c->operands);
    fprintf(to, "%*s%s\n", n < 28 ? 28 - n : 1, "", c->summary);
}

static void print_help(FILE *to) {
    static const char *const groups[GROUP_COUNT] = {
        [GROUP_PROGRAM] = "programs",
        [GROUP_STORE] = "the store, where results are remembered from run to run",
        [GROUP_LANGUAGE] = "the language"};
    fputs("ddg: a compiler for dataset distillation\n", to);
    for (int g = 0; g < GROUP_COUNT; g++) {
        fprintf(to, "\n%s\n", groups[g]);
        for (size_t i = 0; i < COUNT(commands); i++)
            if ((int)commands[i].group == g) print_command(&commands[i], to);
    }
    fputs("\noptions, and the commands that take them\n", to);
    options_help(commands, COUNT(commands), NULL, to);
    fputs("\nstages of dump\n", to);
    list_dump_stages(to);
    fputs("\nenvironment\n"
          "  DDG_STORE         where the store is, instead of the user's cache folder\n"
          "  DDG_STORE_SIZE    what it may hold (10G by default)\n"
          "\n`ddg COMMAND --help` is about one command; also: --version.\n",
          to);
    exit_codes_help(to);
}

static void print_command_help(const struct command *c, FILE *to) {
    print_command(c, to);
    if (*c->options) fputs("\n", to);
    options_help(commands, COUNT(commands), c, to);
    if (strchr(c->options, 'a')) {
        fputs("\nstages\n", to);
        list_dump_stages(to);
    }
    exit_codes_help(to);
}

// ---- finding the command -------------------------------------------------------------
// Whether the words at argv are the command's name; *used: how many they are.
static bool is_command(const struct command *c, char **argv, size_t *used) {
    const char *space = strchr(c->name, ' ');
    size_t n = space ? (size_t)(space - c->name) : strlen(c->name);
    if (strlen(argv[0]) != n || strncmp(argv[0], c->name, n) != 0) return false;
    *used = space ? 2 : 1;
    return !space || (argv[1] && !strcmp(argv[1], space + 1));
}

// The nth name of the first words of commands, or of the second words behind `store`.
static const char *command_names(const void *ctx, size_t nth) {
    bool second = *(const bool *)ctx;
    for (size_t i = 0; i < COUNT(commands); i++) {
        const char *space = strchr(commands[i].name, ' ');
        if (second != (space != NULL) || nth-- > 0) continue;
        return second ? space + 1 : commands[i].name;
    }
    return !second && nth == 0 ? "store" : NULL;
}

static int unknown_command(char **argv) {
    bool store = !strcmp(argv[0], "store");
    const char *word = argv[store];
    const char *near = word ? near_miss(word, command_names, &store) : NULL;
    if (store && (!word || *word == '-'))
        return usage_error("`ddg store` wants one of stats, verify, gc, clear, path");
    const char *first = store ? "store " : "";
    if (near)
        return usage_error("unknown command `%s%s`; did you mean `%s%s`?", first, word,
                           first, near);
    const char *dot = strrchr(word, '.'), *ending = dot ? dot : "";
    const char *verb = !strcmp(ending, ".ddg")    ? "run"
                       : !strcmp(ending, ".onnx") ? "model"
                                                  : NULL;
    if (verb && dot > word)
        return usage_error("unknown command `%s`; did you mean `ddg %s %s`?", word, verb,
                           word);
    return usage_error("unknown command `%s%s`", first, word);
}

// ---- running it ----------------------------------------------------------------------
struct call {
    const struct command *command;
    char **argv; // behind the command's name
    size_t argc;
    struct timeline *times;
};

static int run_in(void *ctx, struct arena *arena) {
    const struct call *call = ctx;
    struct args a = {.threads = pool_cores(), .times = call->times};
    a.defines = NEW_N(arena, const char *, call->argc);
    int code = options_parse(call->command, call->argv, &a);
    return code == EXIT_DONE ? call->command->run(&a, arena) : code;
}

static int run_command(struct call *call) {
    for (size_t i = 0; i < call->argc; i++)
        if (!strcmp(call->argv[i], "--help") || !strcmp(call->argv[i], "-h"))
            return print_command_help(call->command, stdout), EXIT_DONE;
    return with_arena(run_in, call);
}

// `ddg help`, and `ddg help COMMAND` as others have it.
static int run_help(char **argv) {
    if (!argv[0]) return print_help(stdout), EXIT_DONE;
    for (size_t i = 0, used; i < COUNT(commands); i++)
        if (is_command(&commands[i], argv, &used))
            return print_command_help(&commands[i], stdout), EXIT_DONE;
    return unknown_command(argv);
}

static int run_args(size_t argc, char **argv, struct timeline *times) {
    if (!strcmp(argv[0], "help")) return run_help(argv + 1);
    if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))
        return print_help(stdout), EXIT_DONE;
    if (!strcmp(argv[0], "--version")) return puts("ddg " DDG_VERSION), EXIT_DONE;
    for (size_t i = 0, used; i < COUNT(commands); i++)
        if (is_command(&commands[i], argv, &used)) {
            struct call call = {&commands[i], argv + used, argc - used, times};
            return run_command(&call);
        }
    return unknown_command(argv);
}

int main(int argc, char **argv) {
    struct timeline times;
    timeline_begin(&times);
    process_begin();
    if (argc < 2) return print_help(stderr), EXIT_USAGE;
    int code = run_args((size_t)argc - 1, argv + 1, &times);
    timeline_end(&times);
    return process_end(code);
}
