// ddg's speed on its heavy ops beside its peers', as a table or as JSON.
//
//     build/ddg-bench [--json] [--runs N] [--threads N] [MODEL.onnx IMAGES SHARED]
//
// Each op is a one-line program over the images, compiled and run N times; the median of
// the stage's own time counts. Programs and outputs live in a temporary folder.
#include "bench/peers.h"
#include "cli/driver.h"

#include "runtime/pool.h"

#include <sys/resource.h>
#include <unistd.h>

struct setup {
    const char *model, *images, *shared;
    size_t runs, threads, size;
    char folder[64];
    bool json;
};

struct measured {
    double rate;    // images a second
    double check_s; // text to checked graph
    double compile_s;
};

// ---- programs -------------------------------------------------------------------------
static bool write_program(const struct setup *s, const char *body, size_t limit,
                          char path[128]) {
    snprintf(path, 128, "%s/bench.ddg", s->folder);
    FILE *f = fopen(path, "w");
    if (!f) return false;
    fprintf(f,
            "train = images(\"%s\", size = %zu, limit = %zu)\n"
            "teacher = onnx(\"%s\", mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, "
            "0.225])\n%s\n",
            s->images, s->size, limit, s->model, body);
    return fclose(f) == 0;
}

static bool run_once(const struct setup *s, const char *path, struct arena *arena,
                     struct measured *out) {
    struct driver_options o = {.path = path, .threads = s->threads};
    struct driver v;
    driver_init(&v, arena, &o);
    bool ok = driver_load(&v) && driver_lower(&v, NULL) && driver_codegen(&v) &&
              driver_link(&v);
    struct run_options run = {.threads = s->threads};
    struct run_report report;
    ok = ok && plan_run(v.module.plan, &run, arena, &report, &v.d);
    if (ok)
        *out = (struct measured){(double)report.stages[0].rows / report.stages[0].seconds,
                                 v.load_s, v.load_s + v.passes_s + v.codegen_s};
    diags_print(&v.d, stderr, false);
    driver_free(&v);
    return ok;
}

static int by_rate(const void *a, const void *b) {
    const struct measured *p = a, *q = b;
    return p->rate < q->rate ? -1 : p->rate > q->rate;
}

#define MAX_RUNS 31

static struct measured measure(const struct setup *s, const char *body, size_t limit) {
    struct measured m[MAX_RUNS] = {{0}};
    char path[128];
    for (size_t i = 0; i < s->runs; i++) {
        struct arena *arena = arena_new();
        if (!arena || !write_program(s, body, limit, path) ||
            !run_once(s, path, arena, &m[i]))
            exit(1);
        arena_free(arena);
    }
    qsort(m, s->runs, sizeof m[0], by_rate);
    return m[s->runs / 2];
}

// ---- the table ------------------------------------------------------------------------
struct row {
    const char *name, *unit, *peer;
    double ours, theirs;
};

static void print_row(const struct setup *s, const struct row *r, bool last) {
    if (s->json) {
        printf("  {\"name\": \"%s\", \"unit\": \"%s\", \"ddg\": %.6g", r->name, r->unit,
               r->ours);
        if (r->theirs > 0)
            printf(", \"peer\": \"%s\", \"theirs\": %.6g, \"ratio\": %.4g", r->peer,
                   r->theirs, r->ours / r->theirs);
        printf("}%s\n", last ? "" : ",");
        return;
    }
    printf("%-36s %12.5g %-9s", r->name, r->ours, r->unit);
    if (r->theirs > 0)
        printf(" %12.5g  %6.2fx  %s", r->theirs, r->ours / r->theirs, r->peer);
    putchar('\n');
}

static double peak_mb(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1e3;
}

static void run_all(const struct setup *s) {
    struct peers p;
    struct measured forward =
        measure(s, "save(relabel(teacher, train), to = \"a.npy\")", 300);
    struct measured shap =
        measure(s,
                "save(shap_patches(teacher, train, grid = 4, samples = 128, seed = 0), "
                "to = \"a.npy\")",
                20);
    struct measured grad =
        measure(s, "save(gradnorm(teacher, train), to = \"a.npy\")", 100);
    double peak = peak_mb();
    peers_run(&p, s->shared, s->model, s->images, s->size, s->threads);
    char best[128];
    snprintf(best, sizeof best, "%s, batch %zu", p.onnxruntime, p.ort_batch);
    struct row rows[] = {
        {"teacher forward", "images/s", best, forward.rate, p.ort_forward},
        {"shap_patches, 128 samples, grid 4", "images/s", "its forward / 128", shap.rate,
         p.ort_forward / 128},
        {"shap_patches, 128 samples, grid 4", "images/s", p.pytorch, shap.rate,
         p.torch_shap},
        {"gradnorm", "images/s", p.pytorch, grad.rate, p.torch_gradnorm},
        {"check", "ms", "", 1e3 * shap.check_s, 0},
        {"compile shap_patches", "ms", "", 1e3 * shap.compile_s, 0},
        {"compile gradnorm", "ms", "", 1e3 * grad.compile_s, 0},
        {"peak memory", "MB", "", peak, 0},
    };
    if (s->json) puts("[");
    else printf("%-36s %12s %-9s %12s  %6s\n", "", "ddg", "", "peer", "ratio");
    for (size_t i = 0; i < COUNT(rows); i++) print_row(s, &rows[i], i + 1 == COUNT(rows));
    if (s->json) puts("]");
}

static bool parse(int argc, char **argv, struct setup *s) {
    const char **operand[] = {&s->model, &s->images, &s->shared};
    size_t operands = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json")) s->json = true;
        else if (!strcmp(argv[i], "--runs") && i + 1 < argc)
            s->runs = strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--threads") && i + 1 < argc)
            s->threads = strtoul(argv[++i], NULL, 10);
        else if (argv[i][0] != '-' && operands < COUNT(operand))
            *operand[operands++] = argv[i];
        else return false;
    }
    return s->runs >= 1 && s->runs <= MAX_RUNS && s->threads >= 1;
}

int main(int argc, char **argv) {
    struct setup s = {.model = "../shared/models/resnet20.onnx",
                      .images = "../shared/data/cifar10/train",
                      .shared = "../shared",
                      .runs = 5,
                      .threads = pool_cores(),
                      .size = 32,
                      .folder = "/tmp/ddg-bench-XXXXXX"};
    if (!parse(argc, argv, &s)) {
        fputs(
            "usage: bench [--json] [--runs N] [--threads N] [MODEL.onnx IMAGES SHARED]\n",
            stderr);
        return 2;
    }
    // The programs lie in another folder, so their paths are absolute.
    char *model = realpath(s.model, NULL), *images = realpath(s.images, NULL);
    if (!model || !images || !mkdtemp(s.folder)) {
        fprintf(stderr, "bench: %s and %s must exist\n", s.model, s.images);
        return 1;
    }
    s.model = model, s.images = images;
    run_all(&s);
    char path[128];
    snprintf(path, sizeof path, "%s/bench.ddg", s.folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/a.npy", s.folder);
    unlink(path);
    rmdir(s.folder);
    free(model);
    free(images);
    return 0;
}
