// `ddg compile`: a program as an executable of its own, or a part of what goes into one.
#include "cli/act_run.h"
#include "cli/bundle_out.h"
#include "cli/options.h"
#include "cli/points.h"
#include "cli/stub.h"
#include "cli/tune_report.h"

#include "cli/base/use_store.h"
#include "cli/base/words.h"
#include "runtime/outfile.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

struct output { // what --emit can ask for
    const char *name, *ending;
    bool (*write)(struct driver *v, const struct args *a, const char *to);
};

// ---- what is written -----------------------------------------------------------------
static bool write_executable(struct driver *v, const struct args *a, const char *to) {
    size_t n;
    const void *stub = stub_bytes(&n);
    return driver_write(v, a->targets, a->ntargets, stub, n, to);
}

static bool write_plan(struct driver *v, const struct args *a, const char *to) {
    return driver_write(v, a->targets, a->ntargets, NULL, 0, to);
}

static bool write_bytes(struct driver *v, const char *bytes, size_t n, const char *to) {
    FILE *f = fopen(to, "wb");
    bool ok = f && fwrite(bytes, 1, n, f) == n;
    if (f) ok = fclose(f) == 0 && ok;
    return ok || diag_error(&v->d, NO_SPAN, "cannot write %s: %s", to, strerror(errno));
}

static bool lower_one(struct driver *v, const struct args *a) {
    if (a->ntargets > 1)
        return diag_error(&v->d, NO_SPAN,
                          "only executables and plans hold code for "
                          "several targets");
    return driver_lower(v, NULL) && driver_codegen(v);
}

static bool write_object(struct driver *v, const struct args *a, const char *to) {
    char *bytes;
    size_t n;
    return lower_one(v, a) && codegen_object(v->codegen, v->arena, &bytes, &n, &v->d) &&
           write_bytes(v, bytes, n, to);
}

static bool write_text(struct driver *v, const struct args *a, enum codegen_text what,
                       const char *to) {
    if (!lower_one(v, a)) return false;
    const char *text = codegen_text(v->codegen, what, v->arena, &v->d);
    return text && write_bytes(v, text, strlen(text), to);
}

static bool write_llvm(struct driver *v, const struct args *a, const char *to) {
    return write_text(v, a, CODEGEN_LLVM, to);
}

static bool write_asm(struct driver *v, const struct args *a, const char *to) {
    return write_text(v, a, CODEGEN_ASM, to);
}

static const struct output outputs[] = {{"exe", "", write_executable},
                                        {"plan", ".plan", write_plan},
                                        {"obj", ".o", write_object},
                                        {"llvm", ".ll", write_llvm},
                                        {"asm", ".s", write_asm}};

// ---- what was asked for --------------------------------------------------------------
static const char *output_names(const void *ctx, size_t i) {
    (void)ctx;
    return i < COUNT(outputs) ? outputs[i].name : NULL;
}

static const struct output *find_output(const char *name) {
    for (size_t i = 0; i < COUNT(outputs); i++)
        if (!name || !strcmp(outputs[i].name, name)) return &outputs[i];
    const char *near = near_miss(name, output_names, NULL);
    usage_error("--emit takes exe, plan, obj, llvm or asm, not `%s`%s%s%s", name,
                near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
    return NULL;
}

// Beside where the command is given: "infoutil" of examples/infoutil.ddg.
static const char *default_name(struct arena *a, const char *program,
                                const struct output *o) {
    const char *slash = strrchr(program, '/'), *file = slash ? slash + 1 : program;
    const char *name = program_name(a, program);
    bool whole = !strchr(file, '.') && !*o->ending; // it would be the program
    return arena_printf(a, "%s%s", name, whole ? ".out" : o->ending);
}

static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

static bool check_place(struct driver *v, const char *to) {
    struct stat st;
    if (same_file(to, v->options.path))
        return diag_error(&v->d, NO_SPAN, "-o %s would overwrite the program", to);
    if (stat(to, &st) == 0 && S_ISDIR(st.st_mode)) {
        diag_error(&v->d, NO_SPAN, "`%s` is a folder", to);
        return diag_help(&v->d, "-o takes the name of the file to write");
    }
    return true;
}

// ---- the command ---------------------------------------------------------------------
static void report(const char *to) {
    struct stat st;
    if (stat(to, &st) != 0) return;
    printf("wrote %s, %s\n", to, size_words((uint64_t)st.st_size).at);
}

// What the program trains is trained now: compiled programs hold the networks.
static bool train(struct driver *v, const struct args *a) {
    struct session s = session_of(a, v->arena);
    struct run_report all = {0};
    if (!v->acts.n) return true;
    session_begin(&s, true);
    bool ok = session_acts(&s, v, &all);
    for (size_t i = 0; ok && i < all.ntrained; i++)
        report_trained(&all.trained[i], stdout);
    session_end(&s, false);
    return ok;
}

static bool prepare(struct driver *v, const struct args *a, const char *to) {
    return check_place(v, to) && driver_load(v) && driver_saves(v, "compile") &&
           driver_compiles(v) && driver_rehearse(v) && train(v, a);
}

int command_compile(const struct args *a, struct arena *arena) {
    struct points points;
    struct driver v;
    const struct output *o = find_output(a->emit);
    if (!o) return EXIT_USAGE;
    if (!points_open(a, arena, &points)) return EXIT_WRONG;
    int code = points_single(&points, "compile");
    if (code != EXIT_DONE) return code;
    const char *to = a->output ? a->output : default_name(arena, a->operands[0], o);
    struct store *store = a->tune ? store_for_program(a, false, arena) : NULL;
    struct tuner *tuner = tuner_for(a, arena, store, false, NULL);
    points.tuning = tuning_of(tuner);
    point_driver(&points, 0, arena, &v);
    bool ok = prepare(&v, a, to) && o->write(&v, a, to);
    if (ok) report(to);
    if (ok) tune_print(tuner, false, stdout);
    tune_say_trouble(tuner);
    store_say_trouble(store, arena);
    store_close(store);
    return driver_end(&v, ok);
}
