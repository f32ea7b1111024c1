// Numbers of ddg alone: how it scales with threads and rows, and how long it compiles.
// Runs are processes of `ddg` itself, whose report for scripts is read, taking turns. See
// bench.h.
#include "bench/bench.h"

#include "runtime/json.h"

#include <unistd.h>

#define ALL                                                                              \
    "save(relabel(t, x), to = \"r.npy\")\nsave(gradnorm(t, x), to = \"g.npy\")\n"        \
    "save(shap_patches(t, x, grid = 4, samples = 128, seed = 0), to = \"s.npy\")"

struct told {       // by a run's report
    double seconds; // of its stages
    double peak;    // bytes
};

// ---- running ddg ---------------------------------------------------------------------
static const char *ddg_beside_us(struct bench *b) {
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return NULL;
    self[n] = 0;
    const char *path = path_beside(b->arena, self, "ddg");
    return access(path, X_OK) == 0 ? path : NULL;
}

static double number_at(struct json *j) {
    double v = strtod(j->at, NULL);
    json_skip(j);
    return v;
}

static double stage_seconds(struct json *j) {
    double sum = 0;
    char key[32];
    if (!json_open(j, '[')) return 0;
    while (json_element(j))
        for (json_open(j, '{'); json_key(j, key, sizeof key);) {
            if (!strcmp(key, "seconds")) sum += number_at(j);
            else json_skip(j);
        }
    return sum;
}

static struct told read_report(const char *text, size_t n) {
    struct json j = {text, text + n};
    struct told told = {0};
    char key[32];
    for (json_open(&j, '{'); json_key(&j, key, sizeof key);)
        if (!strcmp(key, "stages")) told.seconds = stage_seconds(&j);
        else if (!strcmp(key, "peak_bytes")) told.peak = number_at(&j);
        else json_skip(&j);
    return told;
}

static const char *command(struct bench *b, const char *program, size_t threads,
                           const char *to) {
    return arena_printf(b->arena,
                        "'%s' run '%s' --no-store --json --threads %zu >'%s' 2>/dev/null",
                        ddg_beside_us(b), program, threads, to);
}

// While `beside` runs, on one thread; NULL: nothing does.
static bool run_beside(struct bench *b, const char *program, size_t threads,
                       const char *beside, struct told *out) {
    const char *report = arena_printf(b->arena, "%s/report.json", b->folder);
    if (!ddg_beside_us(b)) return false;
    const char *run = command(b, program, threads, report);
    if (beside)
        run = arena_printf(b->arena, "%s & %s; code=$?; wait; exit $code",
                           command(b, beside, 1, "/dev/null"), run);
    int code = system(run);
    size_t n;
    char *text = file_read(b->arena, report, 1 << 20, &n);
    if (code != 0 || !text) return false;
    *out = read_report(text, n);
    return true;
}

static bool run_ddg(struct bench *b, const char *program, size_t threads,
                    struct told *out) {
    return run_beside(b, program, threads, NULL, out);
}

// The program in a file of its own name.
static const char *write_as(struct bench *b, const char *name, size_t limit,
                            const char *body) {
    struct task p = {network_file(b, "resnet20"),
                     images_of(b, 32, 1),
                     body,
                     32,
                     limit,
                     b->folder,
                     false};
    const char *at = p.model && p.images ? task_write(b->arena, &p) : NULL;
    const char *to = arena_printf(b->arena, "%s/%s.ddg", b->folder, name);
    return at && rename(at, to) == 0 ? to : NULL;
}

// ---- threads -------------------------------------------------------------------------
// The same op in a process of its own, beside it: twice the work in how much longer? No
// run on two threads can do better.
static void print_processors(struct bench *b, const char *what, const double *both,
                             const double *ratios, size_t n) {
    print_line(b,
               &(struct line){.name = arena_printf(b->arena, "%s, twice", what),
                              .unit = "s",
                              .ours = median(both, n),
                              .peer = "of one thread twice, over two processes at once",
                              .ratio = median(ratios, n)});
}

static const char *saved(struct bench *b, const char *value, const char *as) {
    return arena_printf(b->arena, "save(%s, to = \"%s.npy\")", value, as);
}

static void print_threads(struct bench *b, const char *op, const char *value,
                          size_t limit) {
    double ratios[MAX_RUNS], ours[MAX_RUNS], most[MAX_RUNS], both[MAX_RUNS];
    const char *what = arena_printf(b->arena, "threads, %s resnet20", op);
    const char *program = write_as(b, "threads", limit, saved(b, value, "y"));
    const char *beside = write_as(b, "beside", limit, saved(b, value, "z"));
    size_t n = 0;
    for (struct told one, two, half; program && beside && n < b->runs; n++) {
        if (!run_ddg(b, program, 1, &one) || !run_ddg(b, program, 2, &two) ||
            !run_beside(b, program, 1, beside, &half))
            break;
        ratios[n] = one.seconds / two.seconds;
        most[n] = 2 * one.seconds / half.seconds;
        both[n] = half.seconds;
        ours[n] = two.seconds;
    }
    if (n < b->runs) {
        skip(b, "%s: ddg does not run", what);
        return;
    }
    print_line(b, &(struct line){.name = what,
                                 .unit = "s",
                                 .ours = median(ours, n),
                                 .peer = "one thread's time over two threads'",
                                 .ratio = median(ratios, n),
                                 .wanted = 1.9});
    print_processors(b, what, both, most, n);
}

void part_threads(struct bench *b) {
    print_threads(b, "shap_patches",
                  "shap_patches(t, x, grid = 4, samples = 128, seed = 0)", 12);
    print_threads(b, "gradnorm", "gradnorm(t, x)", 300);
}

// ---- rows ----------------------------------------------------------------------------
void part_rows(struct bench *b) {
    static const char body[] = "save(gradnorm(t, x), to = \"g.npy\")\n"
                               "save(relabel(t, x), to = \"r.npy\")";
    const char *half = write_as(b, "half", 150, body),
               *all = write_as(b, "all", 300, body);
    double times[MAX_RUNS], peaks[MAX_RUNS], seconds[MAX_RUNS], bytes[MAX_RUNS];
    size_t n = 0;
    for (struct told one, two; half && all && n < b->runs; n++) {
        if (!run_ddg(b, half, b->threads, &one) || !run_ddg(b, all, b->threads, &two))
            break;
        times[n] = two.seconds / one.seconds;
        peaks[n] = two.peak / one.peak;
        seconds[n] = two.seconds;
        bytes[n] = two.peak / 1e6;
    }
    if (n < b->runs) {
        skip(b, "rows: ddg does not run");
        return;
    }
    print_line(b, &(struct line){"rows, time of 3,000 images", "s", median(seconds, n),
                                 "of 1,500", 0, median(times, n), 2.05, true});
    print_line(b,
               &(struct line){"rows, peak memory of 3,000 images", "MB", median(bytes, n),
                              "of 1,500", 0, median(peaks, n), 1.05, true});
}

// ---- compile time --------------------------------------------------------------------
static void print_compile(struct bench *b, const char *network, size_t size,
                          double wanted) {
    double seconds[MAX_RUNS];
    const char *model = network_file(b, network), *images = images_of(b, size, 1);
    struct task p = {model, images, ALL, size, 0, b->folder, false};
    size_t n = 0;
    for (struct ours o; model && images && n < b->runs; n++) {
        if (!ours_open(&o, &p, b->threads)) break;
        seconds[n] = o.compile_s;
        ours_close(&o);
    }
    const char *name = arena_printf(b->arena, "compile all three ops, %s", network);
    if (n < b->runs) {
        skip(b, "%s: it cannot be compiled", name);
        return;
    }
    print_line(b, &(struct line){.name = name,
                                 .unit = "s",
                                 .ours = median(seconds, n),
                                 .wanted = wanted,
                                 .at_most = true});
}

void part_compile(struct bench *b) {
    if (is_asked_network(b, "resnet20")) print_compile(b, "resnet20", 32, 0.4);
    if (is_asked_network(b, "resnet18")) print_compile(b, "resnet18", 224, 1);
}
