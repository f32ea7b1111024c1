// ONNX files to models. See onnx.h for the steps, model.h for what comes out.
//
// The unpacked skeleton of the file stays with the model, in its arena beside the
// weights, because the same graph may be asked for at another input size: shapes that the
// exporter computed with Shape nodes then come out differently, and those it wrote down
// as numbers say that they do not fit.
#include "frontend/onnx/onnx.h"

#include <math.h>

#define RGB 3 // channels of all images that are read

// Elements that folding may compute: a number for small files and a multiple of large
// ones.
#define FOLD_FREE     ((size_t)1 << 22)
#define FOLD_PER_BYTE 4

// ---- errors --------------------------------------------------------------------------
bool onnx_fail(const struct onnx_log *log, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *message = arena_vprintf(log->d->arena, fmt, ap);
    va_end(ap);
    return diag_error(log->d, log->at, "%s: %s", log->where, message);
}

const char *onnx_text(const struct onnx_log *log, const char *s) {
    return name_printable(log->d->arena, s);
}

// ---- the function --------------------------------------------------------------------
static bool batch_first(struct onnx_val v) {
    return v.form == FORM_ROWS && v.at == 0 && !v.merged;
}

static bool check_output(struct import *im, struct onnx_val *v) {
    const char *name = onnx_text(im->log, im->file->output);
    const struct type *t;
    if (v->form == FORM_NONE || !val_type(im, *v)->rows)
        return onnx_fail(im->log, "its output `%s` does not depend on the image", name);
    if (im->file->batch == 1 && !batch_first(*v) &&
        !(val_whole(im, v) && val_settle(im, v)))
        return false;
    t = val_type(im, *v);
    if (batch_first(*v) && t->rank == 1 && t->elem == ELEM_F32) return true;
    onnx_fail(im->log, "its output `%s` is %s; ddg takes one number a class, f32[N,K]",
              name, val_text(im, *v));
    return diag_help(im->log->d, "export the whole classifier, with its logits as the "
                                 "first output");
}

static struct onnx_val *value_named(struct import *im, const char *name) {
    const struct onnx_name *n = onnx_find(im->file, name);
    CHECK(n);
    return &im->values[n - im->file->names.at];
}

// The graph for images of h x w pixels; NULL with the reason in the log.
static const struct func *import_graph(const struct onnx_file *f, struct arena *arena,
                                       size_t h, size_t w, const struct onnx_log *log) {
    struct import im = {.arena = arena, .log = log, .file = f};
    im.budget = FOLD_FREE + FOLD_PER_BYTE * f->bytes;
    im.values = NEW_N(arena, struct onnx_val, f->names.n);
    builder_init(&im.b, arena, "model");
    im.b.span = log->at;
    struct type image = type_tensor(ELEM_F32, true, 3, (size_t[]){f->dim[0], h, w});
    if (!type_count_ok(&image)) {
        onnx_fail(log, "images of %s are too large", type_str(arena, &image));
        return NULL;
    }
    *value_named(&im, f->input) =
        (struct onnx_val){.form = FORM_ROWS, .id = b_input(&im.b, "x", image)};
    for (size_t i = 0; i < f->order.n; i++) {
        im.opset = f->opsets[f->order.at[i]];
        im.value = f->values[i];
        if (!onnx_import_node(&im, f->graph->node[f->order.at[i]])) return NULL;
    }
    struct onnx_val logits = *value_named(&im, f->output);
    if (!check_output(&im, &logits)) return NULL;
    build_output(&im.b, "logits", logits.id);
    return builder_finish(&im.b);
}

// ---- the model -----------------------------------------------------------------------
static const struct func *at_size(const struct model *m, struct arena *arena, size_t h,
                                  size_t w, struct diags *d, struct span at) {
    const struct onnx_file *f = m->source;
    CHECK(h > 0 && w > 0);
    if (h == m->height && w == m->width) return m->func;
    struct onnx_log log = {.d = d, .at = at};
    log.where =
        arena_printf(arena, "%s wants images of %zu x %zu and cannot take %zu x %zu",
                     onnx_text(&log, f->path), m->height, m->width, h, w);
    const struct func *func = import_graph(f, arena, h, w, &log);
    if (!func)
        diag_help(d, "`size` of images, random_crop and stitch, and `resize` of crop, "
                     "give images that size");
    return func;
}

const struct func *model_at_size(struct arena *arena, const struct model *m, size_t h,
                                 size_t w, struct diags *d, struct span at) {
    return m->at_size(m, arena, h, w, d, at);
}

static bool check_numbers(const struct onnx_log *log, const char *name, const double *v,
                          size_t n, size_t channels, double above) {
    if (n != channels) {
        diag_error(log->d, log->at,
                   "%s has %zu number%s; %s takes images of %zu channel%s", name, n,
                   n == 1 ? "" : "s", log->where, channels, channels == 1 ? "" : "s");
        if (channels != RGB)
            diag_help(log->d, "images are RGB, also grey ones: export a network whose "
                              "first layer takes 3 channels");
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i]) || v[i] <= above)
            return diag_error(log->d, log->at, "%s must be %s; number %zu of %s is %g",
                              name, isinf(above) ? "finite" : "greater than 0", i + 1,
                              name, v[i]);
    return true;
}

static bool check_normalisation(const struct onnx_file *f, const struct model_options *o,
                                const struct onnx_log *log) {
    bool mean = check_numbers(log, "mean", o->mean, o->nmean, f->dim[0], -INFINITY);
    bool std = check_numbers(log, "std", o->std, o->nstd, f->dim[0], 0);
    if (o->nstd != f->dim[0] && o->nstd == f->dim[2])
        diag_help(log->d, "its channels seem to come last: export it with images "
                          "[N,C,H,W]");
    return mean && std;
}

// A network that ends in a softmax gives probabilities where logits are wanted.
static void warn_of_softmax(const struct onnx_file *f, const struct onnx_log *log) {
    const struct onnx_name *n = onnx_find(f, f->output);
    const Onnx__NodeProto *last = f->graph->node[n->index];
    if (n->from != FROM_NODE || strcmp(last->op_type, "Softmax") != 0) return;
    diag_warning(log->d, log->at,
                 "%s ends in a Softmax; ddg takes what it gives for logits", log->where);
    diag_help(log->d, "export the network without its last Softmax");
}

// What is taken from and divides pixels / 255; 0 and 1 when no one says.
static void set_normalisation(struct model *m, struct arena *arena,
                              const struct model_options *o) {
    m->mean = NEW_N(arena, double, m->channels);
    m->std = NEW_N(arena, double, m->channels);
    for (size_t i = 0; i < m->channels; i++) {
        m->mean[i] = o->plain ? 0 : o->mean[i];
        m->std[i] = o->plain ? 1 : o->std[i];
    }
}

const struct model *onnx_model(const struct onnx_file *f, struct arena *arena,
                               const struct model_options *o,
                               const struct onnx_log *log) {
    if (!o->plain && !check_normalisation(f, o, log)) return NULL;
    double began = timeline_now(o->times);
    struct model *m = NEW(arena, struct model);
    *m = (struct model){.path = f->path, .channels = f->dim[0], .height = f->dim[1]};
    m->width = f->dim[2];
    m->func = import_graph(f, arena, m->height, m->width, log);
    if (!m->func) return NULL;
    timeline_add(o->times, began, "model: import", NULL);
    warn_of_softmax(f, log);
    m->classes = type_at(m->func, m->func->outs.at[0])->dim[0];
    set_normalisation(m, arena, o);
    began = timeline_now(o->times);
    model_digest(m, arena);
    timeline_add(o->times, began, "model: digest", NULL);
    m->at_size = at_size;
    m->digest_at = model_digest_at;
    m->source = f;
    return m;
}

const struct model *model_load(struct arena *arena, const struct model_options *o,
                               struct diags *d) {
    struct onnx_log log = {.d = d, .at = o->span};
    struct onnx_file *f = NEW(arena, struct onnx_file);
    double began = timeline_now(o->times);
    f->path = arena_strdup(arena, o->path);
    log.where = onnx_text(&log, o->path);
    if (!onnx_read(f, arena, &log)) return NULL;
    timeline_add(o->times, began, "model: read the file", NULL);
    return onnx_model(f, arena, o, &log);
}
