// See peers.h.
#include "bench/peers.h"

#define COMMAND_MOST 4096

// ---- scripts -------------------------------------------------------------------------
// The number behind "key": in a line of JSON; 0 when it is not there.
static double json_number_of(const char *line, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(line, quoted);
    return at ? strtod(at + strlen(quoted), NULL) : 0;
}

static void json_string_of(const char *line, const char *key, char *out, size_t n) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(line, quoted);
    if (!at || !(at = strchr(at + strlen(quoted), '"'))) return;
    size_t length = strcspn(++at, "\"");
    snprintf(out, n, "%.*s", (int)length, at);
}

// The line that a command prints, into line. False: it failed.
static bool run_line(char *line, size_t n, const char *fmt, ...) PRINTF_LIKE(3, 4);
static bool run_line(char *line, size_t n, const char *fmt, ...) {
    char command[COMMAND_MOST];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    FILE *f = popen(command, "r");
    if (!f) return false;
    bool got = fgets(line, (int)n, f) != NULL;
    return pclose(f) == 0 && got;
}

// ---- onnxruntime ---------------------------------------------------------------------
static bool ort_line(const struct peers *p, const char *model, size_t size, size_t batch,
                     size_t runs, char *line, size_t n) {
    return run_line(line, n,
                    "node '%s/bench/ort_forward.js' '%s' %zu 3 %zu %zu %zu %zu "
                    "2>/dev/null",
                    p->shared, model, batch, size, size, runs, p->threads);
}

struct peer ort_search(const struct peers *p, const char *model, size_t size) {
    static const size_t small[] = {16, 32, 64, 128, 256}, large[] = {1, 2, 4, 8, 16};
    struct peer best = {0};
    for (size_t i = 0; i < COUNT(small); i++) {
        size_t batch = size > 64 ? large[i] : small[i];
        char line[1024];
        if (!ort_line(p, model, size, batch, 5, line, sizeof line)) break;
        double rate = json_number_of(line, "images_per_s_median");
        if (rate <= best.rate) continue;
        best.rate = rate;
        best.setting = batch;
        json_string_of(line, "peer", best.name, sizeof best.name);
    }
    return best;
}

double ort_again(const struct peers *p, const char *model, size_t size, size_t batch) {
    char line[1024];
    bool ok = ort_line(p, model, size, batch, 5, line, sizeof line);
    return ok ? json_number_of(line, "images_per_s_median") : 0;
}

bool ort_outputs(const struct peers *p, const char *model, const char *in,
                 const char *out, size_t rows, size_t size) {
    char line[1024];
    return run_line(line, sizeof line,
                    "node '%s/ort_outputs.js' '%s' '%s' '%s' %zu %zu 2>/dev/null",
                    p->bench, model, in, out, rows, size);
}

// ---- PyTorch -------------------------------------------------------------------------
static bool torch_line(const struct peers *p, const char *model, size_t size,
                       size_t processes, char *line, size_t n) {
    return run_line(line, n,
                    "/usr/bin/python3 '%s/torch_gradnorm.py' '%s' '%s' %zu %zu %zu "
                    "2>/dev/null",
                    p->bench, p->shared, model, size, processes,
                    size_max(1, p->threads / processes));
}

double torch_again(const struct peers *p, const char *model, size_t size,
                   size_t processes) {
    char line[1024];
    bool ok = torch_line(p, model, size, processes, line, sizeof line);
    return ok ? json_number_of(line, "images_per_s") : 0;
}

struct peer torch_search(const struct peers *p, const char *model, size_t size) {
    const size_t processes[] = {1, p->threads};
    struct peer best = {0};
    for (size_t i = 0; i < COUNT(processes); i++) {
        char line[1024];
        if (i && processes[i] == processes[i - 1]) break;
        if (!torch_line(p, model, size, processes[i], line, sizeof line)) break;
        double rate = json_number_of(line, "images_per_s");
        if (rate <= best.rate) continue;
        best.rate = rate;
        best.setting = processes[i];
        json_string_of(line, "peer", best.name, sizeof best.name);
    }
    return best;
}

struct peer torch_shap(const struct peers *p, const char *model, const char *images,
                       size_t samples) {
    struct peer found = {0};
    char line[1024];
    if (!run_line(line, sizeof line,
                  "/usr/bin/python3 '%s/bench/torch_pipeline.py' '%s' '%s' 16 %zu 4 %zu "
                  "2>/dev/null",
                  p->shared, model, images, samples, p->threads))
        return found;
    found.rate = json_number_of(line, "shap_images_per_s");
    json_string_of(line, "peer", found.name, sizeof found.name);
    return found;
}

double torch_train(const struct peers *p, const char *network, size_t batch, bool ask,
                   char *name, size_t n) {
    char line[1024];
    if (!run_line(line, sizeof line,
                  "/usr/bin/python3 '%s/torch_train.py' %s %zu %zu 2%s 2>/dev/null",
                  p->bench, network, batch, p->threads, ask ? " ask" : ""))
        return 0;
    json_string_of(line, "peer", name, n);
    return json_number_of(line, "steps_per_s");
}
