// The ddg command. Commands are one table; each returns the exit code:
// 0 done, 1 the program or its data is wrong, 2 usage, 3 a bug of ours.
#include "cli/driver.h"
#include "cli/progress.h"
#include "cli/reference.h"

#include "runtime/pool.h"

#include <cblas.h>
#include <signal.h>
#include <unistd.h>

enum { EXIT_DONE, EXIT_WRONG, EXIT_USAGE, EXIT_BUG };

struct args {            // what the command line says
    const char *operand; // FILE or NAME, or NULL
    const char **defines;
    size_t ndefines, threads;
    const char *after;
};

struct command {
    const char *name, *synopsis, *summary;
    int (*run)(const struct args *a, struct arena *arena);
    bool wants_operand;
    const char *options; // letters of the options it takes
};

static void print_diags(const struct driver *v) {
    diags_print(&v->d, stderr, diag_color(stderr));
}

static void driver_start(struct driver *v, struct arena *arena, const struct args *a) {
    struct driver_options o = {a->operand, a->defines, a->ndefines, a->threads};
    driver_init(v, arena, &o);
}

static int driver_end(struct driver *v, bool ok) {
    print_diags(v);
    driver_free(v);
    return ok ? EXIT_DONE : EXIT_WRONG;
}

// ---- commands -------------------------------------------------------------------------
// Lowering finds what the types do not say: coalitions that determine nothing, a teacher
// that cannot take images of the size of the crops.
static int command_check(const struct args *a, struct arena *arena) {
    struct driver v;
    driver_start(&v, arena, a);
    bool ok = driver_load(&v);
    if (ok && v.program->graph->outs.n) ok = driver_lower(&v, passes[0].name);
    return driver_end(&v, ok);
}

static bool run_program(struct driver *v) {
    if (!driver_load(v)) return false;
    if (!v->program->graph->outs.n)
        return diag_error(&v->d, NO_SPAN, "%s saves nothing, so there is nothing to run",
                          v->options.path);
    if (!driver_lower(v, NULL) || !driver_codegen(v) || !driver_link(v)) return false;
    struct progress progress = progress_new(stderr);
    struct run_options o = {v->options.threads, progress_stage, &progress};
    struct run_report report;
    bool ok = plan_run(v->module.plan, &o, v->arena, &report, &v->d);
    progress_end(&progress);
    if (ok) report_print(&report, v->load_s + v->passes_s + v->codegen_s, stdout);
    return ok;
}

static int command_run(const struct args *a, struct arena *arena) {
    struct driver v;
    driver_start(&v, arena, a);
    return driver_end(&v, run_program(&v));
}

static bool dump_module(struct driver *v, const char *last) {
    struct text t = {.arena = v->arena};
    v->module = (struct module){.arena = v->arena, .graph = v->program->graph};
    if (last && !driver_lower(v, last)) return false;
    module_print(&v->module, &t);
    fwrite(t.at, 1, t.n, stdout);
    return true;
}

static bool dump_code(struct driver *v, enum codegen_text what) {
    if (!driver_lower(v, NULL) || !driver_codegen(v)) return false;
    const char *text = codegen_text(v->codegen, what, v->arena, &v->d);
    if (text) fputs(text, stdout);
    return text != NULL;
}

static bool is_pass(const char *name) {
    for (const struct pass *p = passes; p->name; p++)
        if (!strcmp(p->name, name)) return true;
    return false;
}

static void list_stages(FILE *to) {
    fputs("  graph        the checked pipeline graph\n", to);
    for (const struct pass *p = passes; p->name; p++)
        fprintf(to, "  %-12s %s\n", p->name, p->summary);
    fputs(
        "  llvm         the kernels as LLVM IR\n  asm          the kernels as assembly\n",
        to);
}

static int command_dump(const struct args *a, struct arena *arena) {
    const char *after = a->after ? a->after : "graph";
    bool graph = !strcmp(after, "graph"), llvm = !strcmp(after, "llvm");
    if (!graph && !llvm && strcmp(after, "asm") != 0 && !is_pass(after)) {
        fprintf(stderr, "ddg: there is no stage `%s`; the stages are\n", after);
        list_stages(stderr);
        return EXIT_USAGE;
    }
    struct driver v;
    driver_start(&v, arena, a);
    bool ok = driver_load(&v);
    if (ok && (graph || is_pass(after))) ok = dump_module(&v, graph ? NULL : after);
    else if (ok) ok = dump_code(&v, llvm ? CODEGEN_LLVM : CODEGEN_ASM);
    return driver_end(&v, ok);
}

static int command_ops(const struct args *a, struct arena *arena) {
    (void)arena;
    const char *near = NULL;
    if (!a->operand) reference_list(stdout);
    else if (!reference_op(a->operand, stdout, &near)) {
        fprintf(stderr, "ddg: there is no op `%s`", a->operand);
        if (near) fprintf(stderr, "; did you mean `%s`?", near);
        fputc('\n', stderr);
        return EXIT_WRONG;
    }
    return EXIT_DONE;
}

static const struct command commands[] = {
    {"check", "check FILE.ddg [-D name=value]...", "report what is wrong with a program",
     command_check, true, "D"},
    {"run", "run FILE.ddg [-D name=value]... [--threads N]", "compile and run a program",
     command_run, true, "Dt"},
    {"dump", "dump FILE.ddg [-D name=value]... [--after STAGE]",
     "print a program after a stage of the compiler", command_dump, true, "Da"},
    {"ops", "ops [NAME]", "the op reference", command_ops, false, ""},
};

// ---- command line ---------------------------------------------------------------------
static void print_help(FILE *to) {
    fputs("ddg: a compiler for dataset distillation\n\n", to);
    for (size_t i = 0; i < COUNT(commands); i++)
        fprintf(to, "  ddg %s\n      %s\n", commands[i].synopsis, commands[i].summary);
    fputs("\n  -D name=value    set a param of the program\n"
          "  --threads N      worker threads; all processors by default\n"
          "  --after STAGE    one of\n",
          to);
    list_stages(to);
    fputs("  --help, --version\n\n"
          "Exit codes: 0 done, 1 the program or its data is wrong, 2 usage, 3 a bug of "
          "ddg.\n",
          to);
}

static int usage(const char *fmt, const char *what) {
    fputs("ddg: ", stderr);
    fprintf(stderr, fmt, what);
    fputs("; see ddg --help\n", stderr);
    return EXIT_USAGE;
}

static bool parse_threads(const char *s, size_t *out) {
    char *end;
    unsigned long v = strtoul(s, &end, 10);
    if (*s < '0' || *s > '9' || *end || v < 1 || v > 1024) return false;
    *out = v;
    return true;
}

// The value of an option: behind `=`, joined on (-Dname=value), or the next argument.
static const char *option_value(const char *arg, const char *name, char **argv, int *i) {
    size_t n = strlen(name);
    if (strncmp(arg, name, n) != 0) return NULL;
    if (!arg[n]) return argv[*i + 1] ? argv[++*i] : NULL;
    if (n > 2) return arg[n] == '=' ? arg + n + 1 : NULL;
    return arg + n;
}

static bool takes(const struct command *c, char option) {
    return strchr(c->options, option) != NULL;
}

static int parse_args(const struct command *c, char **argv, struct args *a) {
    for (int i = 2; argv[i]; i++) {
        const char *arg = argv[i], *v;
        if (arg[0] != '-' || !arg[1]) {
            if (a->operand) return usage("one argument too many: `%s`", arg);
            a->operand = arg;
        } else if (takes(c, 'D') && (v = option_value(arg, "-D", argv, &i))) {
            if (!strchr(v, '=')) return usage("-D wants name=value, not `%s`", v);
            a->defines[a->ndefines++] = v;
        } else if (takes(c, 't') && (v = option_value(arg, "--threads", argv, &i))) {
            if (!parse_threads(v, &a->threads))
                return usage("--threads wants a number from 1 to 1024, not `%s`", v);
        } else if (takes(c, 'a') && (v = option_value(arg, "--after", argv, &i))) {
            a->after = v;
        } else return usage("unknown option, or an option without its value: `%s`", arg);
    }
    if (c->wants_operand && !a->operand) return usage("%s wants a FILE.ddg", c->name);
    return EXIT_DONE;
}

static void on_bug(int sig) {
    static const char text[] = "ddg: this is a bug of ddg; please report it\n";
    (void)sig;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(EXIT_BUG);
    _exit(EXIT_BUG);
}

static int run_command(const struct command *c, int argc, char **argv) {
    struct args a = {.threads = pool_cores()};
    a.defines = calloc((size_t)argc, sizeof *a.defines);
    struct arena *arena = arena_new();
    int code = EXIT_WRONG;
    jmp_buf oom;
    if (!a.defines || !arena) {
        fputs("ddg: out of memory\n", stderr);
    } else if (setjmp(oom)) {
        fputs("ddg: out of memory\n", stderr);
        code = EXIT_WRONG;
    } else if ((code = parse_args(c, argv, &a)) == EXIT_DONE) {
        arena_guard(arena, &oom);
        code = c->run(&a, arena);
    }
    arena_free(arena);
    free(a.defines);
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    fputs("ddg: the output could not be written\n", stderr);
    return EXIT_WRONG;
}

int main(int argc, char **argv) {
    signal(SIGABRT, on_bug);
    signal(SIGSEGV, on_bug);
    openblas_set_num_threads(1); // its threads would compete with ours
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
        !strcmp(argv[1], "help")) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (!strcmp(argv[1], "--version")) {
        puts("ddg " DDG_VERSION);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < COUNT(commands); i++)
        if (!strcmp(argv[1], commands[i].name)) {
            for (int j = 2; j < argc; j++)
                if (!strcmp(argv[j], "--help")) return print_help(stdout), EXIT_DONE;
            return run_command(&commands[i], argc, argv);
        }
    return usage("unknown command `%s`", argv[1]);
}
