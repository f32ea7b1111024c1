// ddg's speed beside its peers', as a table or as JSON. See README.md here.
//
//     build/ddg-bench [--json] [--layers] [--runs N] [--threads N] [--models DIR]
//                     [--shared DIR] [PART or NETWORK ...]
//
// A line says what was measured, what its peer gave in the same minutes, the ratio, and
// what the ratio (or the number, where there is none) should be.
#include "bench/bench.h"

#include "runtime/pool.h"

#include <ftw.h>
#include <unistd.h>

static const struct part {
    const char *name, *what;
    void (*run)(struct bench *b);
} parts[] = {
    {"forward", "teachers' logits beside onnxruntime's", part_forward},
    {"shap", "shap_patches beside that, and beside PyTorch", part_shap},
    {"gradnorm", "gradient norms beside PyTorch's", part_gradnorm},
    {"train", "steps of trainings beside PyTorch's", part_train},
    {"threads", "two threads beside one", part_threads},
    {"rows", "twice the images: time and memory", part_rows},
    {"compile", "text to machine code", part_compile},
    {"bf16", "forward with bf16 permitted, beside fp32", part_bf16},
    {"error", "logits beside onnxruntime's", part_error},
};

// ---- lines ---------------------------------------------------------------------------
double median(const double *v, size_t n) {
    double sorted[MAX_RUNS];
    CHECK(n >= 1 && n <= MAX_RUNS);
    memcpy(sorted, v, n * sizeof *v);
    return median_of(sorted, n);
}

static bool is_met(const struct line *l) {
    double figure = l->ratio > 0 ? l->ratio : l->ours;
    return l->at_most ? figure <= l->wanted : figure >= l->wanted;
}

static void print_json(struct bench *b, const struct line *l) {
    printf("%s\n  {\"name\": \"%s\", \"unit\": \"%s\", \"ddg\": %.6g",
           b->lines ? "," : "", l->name, l->unit, l->ours);
    if (l->peer) printf(", \"peer\": \"%s\"", l->peer);
    if (l->theirs > 0) printf(", \"theirs\": %.6g", l->theirs);
    if (l->ratio > 0) printf(", \"ratio\": %.4g", l->ratio);
    if (l->wanted > 0)
        printf(", \"%s\": %.4g, \"met\": %s", l->at_most ? "at_most" : "at_least",
               l->wanted, is_met(l) ? "true" : "false");
    putchar('}');
}

static void print_text(const struct line *l) {
    printf("%-42s %9.4g %-9s", l->name, l->ours, l->unit);
    if (l->theirs > 0) printf(" %9.4g", l->theirs);
    else printf(" %9s", "");
    if (l->ratio > 0) printf(" %6.2fx", l->ratio);
    else printf(" %7s", "");
    if (l->wanted > 0)
        printf("  %s %-6.4g %-4s", l->at_most ? "<=" : ">=", l->wanted,
               is_met(l) ? "yes" : "NO");
    else printf("  %14s", "");
    printf(" %s\n", l->peer ? l->peer : "");
}

void print_line(struct bench *b, const struct line *l) {
    if (b->json) print_json(b, l);
    else print_text(l);
    b->lines++;
    b->missed += l->wanted > 0 && !is_met(l);
    fflush(stdout);
}

void skip(struct bench *b, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *why = arena_vprintf(b->arena, fmt, ap);
    va_end(ap);
    fprintf(stderr, "skipped: %s\n", why);
}

// ---- what is asked -------------------------------------------------------------------
static bool is_name(const char *name) {
    for (size_t i = 0; i < COUNT(parts); i++)
        if (!strcmp(parts[i].name, name)) return true;
    for (size_t i = 0; i < nnetworks; i++)
        if (!strcmp(networks[i].name, name)) return true;
    return false;
}

// No part's name: all parts, of the networks that are named.
static bool is_asked(const struct bench *b, const struct part *p) {
    bool any = false;
    for (size_t i = 0; i < b->nnames; i++) {
        for (size_t k = 0; k < COUNT(parts); k++)
            any |= !strcmp(b->names[i], parts[k].name);
        if (!strcmp(b->names[i], p->name)) return true;
    }
    return !any;
}

static int usage(const char *arg) {
    if (arg && strcmp(arg, "--help"))
        fprintf(stderr, "ddg-bench: `%s` is not understood\n", arg);
    fputs("usage: ddg-bench [--json] [--layers] [--runs N] [--threads N] [--models DIR]\n"
          "                 [--shared DIR] [PART or NETWORK ...]\n\nparts\n",
          stderr);
    for (size_t i = 0; i < COUNT(parts); i++)
        fprintf(stderr, "  %-14s %s\n", parts[i].name, parts[i].what);
    fputs("networks\n ", stderr);
    for (size_t i = 0; i < nnetworks; i++) fprintf(stderr, " %s", networks[i].name);
    fputs("\n--layers: also each kernel, with its share of the machine's peak\n", stderr);
    return 2;
}

static bool take(struct bench *b, char **argv, int *i) {
    const char *arg = argv[*i], *value = argv[*i + 1];
    if (!strcmp(arg, "--json")) return b->json = true;
    if (!strcmp(arg, "--layers")) return b->layers = true;
    if (arg[0] != '-') {
        if (b->nnames == MAX_NAMES || !is_name(arg)) return false;
        b->names[b->nnames++] = arg;
        return true;
    }
    if (!value) return false;
    ++*i;
    if (!strcmp(arg, "--runs")) b->runs = strtoul(value, NULL, 10);
    else if (!strcmp(arg, "--threads")) b->threads = strtoul(value, NULL, 10);
    else if (!strcmp(arg, "--models")) b->models = value;
    else if (!strcmp(arg, "--shared")) b->shared = value;
    else return false;
    return b->runs >= 1 && b->runs <= MAX_RUNS && b->threads >= 1;
}

// ---- all of it -----------------------------------------------------------------------
static int remove_one(const char *path, const struct stat *st, int kind,
                      struct FTW *where) {
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static void run_parts(struct bench *b) {
    if (b->json) putchar('[');
    else
        printf("%-42s %9s %-9s %9s %7s  %-14s\n", "", "ddg", "", "peer", "ratio",
               "wanted");
    for (size_t i = 0; i < COUNT(parts); i++)
        if (is_asked(b, &parts[i])) parts[i].run(b);
    if (b->json) puts("\n]");
    else
        printf("\n%zu numbers, medians of %zu, %zu threads; %zu not as wanted\n",
               b->lines, b->runs, b->threads, b->missed);
}

int main(int argc, char **argv) {
    struct bench b = {.shared = "../shared",
                      .models = "build/bench-models",
                      .runs = 5,
                      .threads = pool_cores(),
                      .folder = "/tmp/ddg-bench-XXXXXX"};
    for (int i = 1; i < argc; i++)
        if (!take(&b, argv, &i)) return usage(argv[i]);
    if (!mkdtemp(b.folder)) return perror(b.folder), 1;
    b.arena = arena_must();
    b.peers = (struct peers){b.shared, BENCH_FOLDER, b.threads};
    run_parts(&b);
    nftw(b.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    arena_free(b.arena);
    return 0;
}
