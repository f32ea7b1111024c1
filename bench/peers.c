// See peers.h. Each peer is a script that prints one line of JSON.
#include "bench/peers.h"

#include <unistd.h>

// The number behind "key": in a line of JSON; 0 when it is not there.
static double json_number(const char *line, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(line, quoted);
    return at ? strtod(at + strlen(quoted), NULL) : 0;
}

static void json_string(const char *line, const char *key, char *out, size_t n) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(line, quoted);
    if (!at || !(at = strchr(at + strlen(quoted), '"'))) return;
    size_t length = strcspn(++at, "\"");
    snprintf(out, n, "%.*s", (int)length, at);
}

static bool run_line(const char *command, char *line, size_t n) {
    FILE *f = popen(command, "r");
    if (!f) return false;
    bool got = fgets(line, (int)n, f) != NULL;
    return pclose(f) == 0 && got;
}

static void run_onnxruntime(struct peers *p, const char *shared, const char *model,
                            size_t size, size_t threads) {
    static const size_t batches[] = {16, 64, 256};
    for (size_t i = 0; i < COUNT(batches); i++) {
        char command[2048], line[1024];
        snprintf(command, sizeof command,
                 "node '%s/bench/ort_forward.js' '%s' %zu 3 %zu %zu 10 %zu 2>/dev/null",
                 shared, model, batches[i], size, size, threads);
        if (!run_line(command, line, sizeof line)) return;
        double rate = json_number(line, "images_per_s_median");
        if (rate <= p->ort_forward) continue;
        p->ort_forward = rate;
        p->ort_batch = batches[i];
        json_string(line, "peer", p->onnxruntime, sizeof p->onnxruntime);
    }
}

static void run_pytorch(struct peers *p, const char *shared, const char *model,
                        const char *images, size_t threads) {
    char command[2048], line[1024];
    snprintf(command, sizeof command,
             "/usr/bin/python3 '%s/bench/torch_pipeline.py' '%s' '%s' 32 128 4 %zu "
             "2>/dev/null",
             shared, model, images, threads);
    if (!run_line(command, line, sizeof line)) return;
    p->torch_shap = json_number(line, "shap_images_per_s");
    p->torch_gradnorm = json_number(line, "gradnorm_images_per_s");
    json_string(line, "peer", p->pytorch, sizeof p->pytorch);
}

void peers_run(struct peers *p, const char *shared, const char *model, const char *images,
               size_t size, size_t threads) {
    *p = (struct peers){0};
    run_onnxruntime(p, shared, model, size, threads);
    run_pytorch(p, shared, model, images, threads);
}
