// How far logits are from onnxruntime's for the same rows, as a share of the largest
// |logit|. See bench.h.
#include "bench/bench.h"

#include "frontend/model.h"
#include "tests/unit/jit.h"

#include <math.h>

#define ROWS 4

struct rows {
    size_t in, out; // numbers of one
    float *x, *ours, *theirs;
};

// Deviates that are nearly normal, as normalised pixels are.
static void fill(float *x, size_t n) {
    uint64_t state = 1;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (int k = 0; k < 6; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            sum += (double)(state >> 33) / 2147483648.0 - 0.5;
        }
        x[i] = (float)(sum * 1.4);
    }
}

// The network as it is, of images that are normalised.
static bool run_ours(struct bench *b, const struct model *model, struct rows *r,
                     struct diags *d) {
    struct builder build;
    struct jit jit;
    builder_init(&build, b->arena, "logits");
    nid in = b_input(&build, "x", *type_at(model->func, 0)), out;
    build_inline(&build, model->func, &in, &out, false);
    build_output(&build, "logits", out);
    if (!jit_compile(&jit, b->arena, builder_finish(&build), d)) return false;
    jit_run(&jit, ROWS, 0, (const void *[]){r->x}, (void *[]){r->ours});
    jit_free(&jit);
    return true;
}

static bool write_floats(const char *path, const float *v, size_t n) {
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(v, sizeof *v, n, f) == n;
    return f && fclose(f) == 0 && ok;
}

static bool run_theirs(struct bench *b, const char *file, size_t size, struct rows *r) {
    const char *in = arena_printf(b->arena, "%s/x.f32", b->folder);
    const char *out = arena_printf(b->arena, "%s/y.f32", b->folder);
    size_t n, bytes = ROWS * r->out * sizeof(float);
    if (!write_floats(in, r->x, ROWS * r->in)) return false;
    if (!ort_outputs(&b->peers, file, in, out, ROWS, size)) return false;
    char *got = file_read(b->arena, out, bytes, &n);
    if (!got || n != bytes) return false;
    memcpy(r->theirs, got, n);
    return true;
}

static double error_of(const struct rows *r) {
    double worst = 0, largest = 0;
    for (size_t i = 0; i < ROWS * r->out; i++) {
        worst = fmax(worst, fabs((double)r->ours[i] - (double)r->theirs[i]));
        largest = fmax(largest, fabs((double)r->theirs[i]));
    }
    return worst / largest;
}

static void print_error(struct bench *b, const struct network *n) {
    struct diags d;
    double mean[3] = {0}, std[3] = {1, 1, 1};
    const char *file = network_file(b, n->name);
    struct model_options o = {
        .path = file, .mean = mean, .std = std, .nmean = 3, .nstd = 3};
    diags_init(&d, b->arena);
    const struct model *model = file ? model_load(b->arena, &o, &d) : NULL;
    if (!model) {
        diags_print(&d, stderr, false);
        return;
    }
    struct rows r = {type_count(type_at(model->func, 0)), model->classes, NULL, NULL,
                     NULL};
    r.x = NEW_N(b->arena, float, ROWS *r.in);
    r.ours = NEW_N(b->arena, float, ROWS *r.out);
    r.theirs = NEW_N(b->arena, float, ROWS *r.out);
    fill(r.x, ROWS * r.in);
    if (!run_ours(b, model, &r, &d)) {
        diags_print(&d, stderr, false);
        return;
    }
    if (!run_theirs(b, file, n->size, &r)) {
        skip(b, "error of %s: onnxruntime is not installed", n->name);
        return;
    }
    print_line(
        b, &(struct line){.name = arena_printf(b->arena, "error of logits, %s", n->name),
                          .unit = "",
                          .ours = error_of(&r),
                          .peer = "onnxruntime's, of the largest",
                          .wanted = 1e-4,
                          .at_most = true});
}

void part_error(struct bench *b) {
    for (size_t i = 0; i < nnetworks; i++)
        if (is_asked_network(b, networks[i].name)) print_error(b, &networks[i]);
}
