// Type rules of the language's ops (ops.def says what each op means). A rule reads its
// operands' types and its attributes by their place in the table row.
#include "ir/rules.h"

static struct type images_type(const struct rule_ctx *c, size_t channels, size_t side) {
    return (struct type){.kind = KIND_IMAGES,
                         .elem = ELEM_U8,
                         .rows = true,
                         .rank = 3,
                         .dim = {channels, side, side},
                         .rowset = c->fresh_rowset};
}

// What the rows of x give, row for row: aligned with x and with x's origin.
static struct type row_type(const struct type *x, enum kind kind, uint32_t rank,
                            size_t d0, size_t d1) {
    return (struct type){.kind = kind,
                         .elem = ELEM_F32,
                         .rows = true,
                         .rank = rank,
                         .dim = {d0, d1},
                         .rowset = x->rowset,
                         .origin_h = x->origin_h,
                         .origin_w = x->origin_w};
}

// Operands a and b must hold values of the same rows.
static bool same_rows(struct rule_ctx *c, size_t a, size_t b, const char *names) {
    return c->ins[a]->rowset == c->ins[b]->rowset ||
           rule_fail_in(c, (int)b, "%s are values of different rows", names);
}

static size_t size_attr(const struct rule_ctx *c, int i) {
    return (size_t)c->attrs[i].i;
}

static bool given(const struct rule_ctx *c, int i) {
    return c->attrs[i].kind != VAL_NONE;
}

// A side cut out of x must not be larger than x.
static bool fits(struct rule_ctx *c, int attr, const char *name, size_t v,
                 const struct type *x) {
    return v <= size_min(x->dim[1], x->dim[2]) ||
           rule_fail_attr(c, attr, "`%s` %zu is larger than the image (%zu x %zu)", name,
                          v, x->dim[1], x->dim[2]);
}

// ---- readers and the writer ---------------------------------------------------------
bool rule_images(struct rule_ctx *c, struct type *out) {
    size_t side = size_attr(c, 1);
    *out = images_type(c, 3, side);
    out->origin_h = out->origin_w = side;
    return true;
}

static bool ends_in(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && strcmp(path + n - m, ending) == 0;
}

static bool save_images(struct rule_ctx *c) {
    if (ends_in(c->attrs[0].s, ".npy") || ends_in(c->attrs[0].s, ".onnx"))
        return rule_fail_attr(c, 0,
                              "images are saved to a folder, and `to` names a file "
                              "(\"%s\")",
                              c->attrs[0].s);
    bool labelled = c->nin > 1 && c->ins[1];
    return !labelled || same_rows(c, 0, 1, "the images and `labels`");
}

bool rule_save(struct rule_ctx *c, struct type *out) {
    const struct type *x = c->ins[0];
    *out = (struct type){.kind = KIND_NONE};
    if (x->kind == KIND_IMAGES) return save_images(c);
    if (c->nin > 1 && c->ins[1])
        return rule_fail_in(c, 1, "`labels` go with images only; `x` is %s",
                            rule_type(c, 0));
    bool model = x->kind == KIND_MODEL;
    const char *ending = model ? ".onnx" : ".npy";
    if (ends_in(c->attrs[0].s, ending)) return true;
    return rule_fail_attr(
        c, 0, "%s saved to one file: `to` must end in %s; this is \"%s\"",
        model ? "a model is" : arena_printf(c->arena, "%s are", kind_name(x->kind)),
        ending, c->attrs[0].s);
}

// ---- attribution and scores ---------------------------------------------------------
// The network's other sizes need not be the image's: it can be imported again at them.
static bool channels_match(struct rule_ctx *c) {
    const struct type *m = c->ins[0], *x = c->ins[1];
    const bool grey = m->dim[0] == 1;
    return m->dim[0] == x->dim[0] ||
           rule_fail_in(c, 1, "`model` takes images of %zu channel%s, `x` has %zu%s",
                        m->dim[0], grey ? "" : "s", x->dim[0],
                        grey ? " (grey ones too)" : "");
}

// It gives no value, but is made of these rows.
bool rule_check(struct rule_ctx *c, struct type *out) {
    *out = (struct type){.kind = KIND_NONE, .rowset = c->ins[1]->rowset};
    return channels_match(c);
}

enum {
    SHAP_GRID,
    SHAP_SAMPLES,
    SHAP_SEED,
    SHAP_VALUE,
    SHAP_TARGET,
    SHAP_BASELINE,
    SHAP_SAMPLING,
    SHAP_COALITIONS
};
#define SHAP_EXACT_MAX 16 // patches whose 2^n coalitions are enumerated

static bool shap_exact(struct rule_ctx *c, size_t grid) {
    if (grid * grid > SHAP_EXACT_MAX)
        return rule_fail_attr(c, SHAP_SAMPLING,
                              "\"exact\" is for %d patches or fewer; a grid "
                              "of %zu has %zu",
                              SHAP_EXACT_MAX, grid, grid * grid);
    if (given(c, SHAP_SAMPLES) || given(c, SHAP_COALITIONS))
        return rule_fail_attr(
            c, given(c, SHAP_SAMPLES) ? SHAP_SAMPLES : SHAP_COALITIONS,
            "sampling = \"exact\" takes every coalition: leave `%s` out",
            given(c, SHAP_SAMPLES) ? "samples" : "coalitions");
    return true;
}

static bool shap_matrix(struct rule_ctx *c) {
    if (!given(c, SHAP_SAMPLES) && !given(c, SHAP_SEED)) return true;
    return rule_fail_attr(c, given(c, SHAP_SAMPLES) ? SHAP_SAMPLES : SHAP_SEED,
                          "`coalitions` gives the coalitions: leave `%s` out",
                          given(c, SHAP_SAMPLES) ? "samples" : "seed");
}

static bool shap_drawn(struct rule_ctx *c, size_t grid) {
    bool samples = given(c, SHAP_SAMPLES), seed = given(c, SHAP_SEED);
    if (!samples && !seed)
        return rule_fail(c,
                         "which coalitions? give `samples` and `seed`, or `coalitions`, "
                         "or sampling = \"exact\"");
    if (!samples || !seed)
        return rule_fail(
            c, "`%s` is missing: coalitions are drawn from `samples` and `seed`",
            samples ? "seed" : "samples");
    return grid > 1 ||
           rule_fail_attr(c, SHAP_GRID, "a grid of 1 has no coalitions to draw");
}

bool rule_shap(struct rule_ctx *c, struct type *out) {
    const struct type *x = c->ins[1];
    size_t grid = size_attr(c, SHAP_GRID);
    bool exact = strcmp(c->attrs[SHAP_SAMPLING].s, "exact") == 0;
    if (!channels_match(c) || !fits(c, SHAP_GRID, "grid", grid, x)) return false;
    if (exact                       ? !shap_exact(c, grid)
        : given(c, SHAP_COALITIONS) ? !shap_matrix(c)
                                    : !shap_drawn(c, grid))
        return false;
    *out = row_type(x, KIND_MAPS, 2, grid, grid);
    out->map_side = x->dim[1];
    return true;
}

bool rule_gradcam(struct rule_ctx *c, struct type *out) {
    const struct type *x = c->ins[1];
    size_t grid = size_attr(c, 0);
    if (!channels_match(c) || !fits(c, 0, "grid", grid, x)) return false;
    *out = row_type(x, KIND_MAPS, 2, grid, grid);
    out->map_side = x->dim[1];
    return true;
}

enum { MAP_WINDOW, MAP_STRIDE };

bool rule_pool(struct rule_ctx *c, struct type *out) {
    const struct type *map = c->ins[0];
    size_t window = size_attr(c, MAP_WINDOW), stride = size_attr(c, MAP_STRIDE);
    if (map->map_window)
        return rule_fail_in(c, 0,
                            "`map` is of windows already (window = %zu, stride = %zu); "
                            "pool takes a map of patches",
                            map->map_window, map->map_stride);
    if (window > map->map_side)
        return rule_fail_attr(c, MAP_WINDOW,
                              "`window` %zu is larger than the image (%zu x "
                              "%zu)",
                              window, map->map_side, map->map_side);
    size_t n = (map->map_side - window) / stride + 1;
    *out = *map;
    out->dim[0] = out->dim[1] = n;
    out->map_window = window;
    out->map_stride = stride;
    return true;
}

bool rule_perturb(struct rule_ctx *c, struct type *out) {
    *out = *c->ins[0];
    return true;
}

bool rule_score(struct rule_ctx *c, struct type *out) {
    *out = row_type(c->ins[1], KIND_SCORES, 0, 0, 0);
    return channels_match(c);
}

bool rule_random(struct rule_ctx *c, struct type *out) {
    *out = row_type(c->ins[0], KIND_SCORES, 0, 0, 0);
    return true;
}

bool rule_relabel(struct rule_ctx *c, struct type *out) {
    *out = row_type(c->ins[1], KIND_LABELS, 1, c->ins[0]->classes, 0);
    return channels_match(c);
}

// ---- pixels and rows ----------------------------------------------------------------
enum { CROP_SIZE, CROP_RESIZE };

bool rule_crop(struct rule_ctx *c, struct type *out) {
    const struct type *x = c->ins[0], *at = c->ins[1];
    if (!same_rows(c, 0, 1, "`x` and `at`")) return false;
    if (at->map_side != x->dim[1] || at->map_side != x->dim[2])
        return rule_fail_in(c, 1,
                            "`at` is a map of images of %zu x %zu, `x` is %zu x %zu",
                            at->map_side, at->map_side, x->dim[1], x->dim[2]);
    size_t size = size_attr(c, CROP_SIZE);
    if (!fits(c, CROP_SIZE, "size", size, x)) return false;
    *out = *x;
    out->dim[1] = out->dim[2] = given(c, CROP_RESIZE) ? size_attr(c, CROP_RESIZE) : size;
    return true;
}

bool rule_interval(struct rule_ctx *c, int attr, const char *name) {
    const struct value *v = &c->attrs[attr];
    if (v->n != 2)
        return rule_fail_attr(c, attr,
                              "`%s` must be a list of 2 numbers, least and greatest; "
                              "this has %zu",
                              name, v->n);
    return v->fs[0] <= v->fs[1] ||
           rule_fail_attr(c, attr,
                          "`%s` must have the least number first: %.12g is larger "
                          "than %.12g",
                          name, v->fs[0], v->fs[1]);
}

enum { RANDOM_CROP_SIZE, RANDOM_CROP_SCALE, RANDOM_CROP_RATIO };

static struct type fresh_images(struct rule_ctx *c, size_t side) {
    const struct type *x = c->ins[0];
    struct type t = images_type(c, x->dim[0], side);
    t.origin_h = x->origin_h;
    t.origin_w = x->origin_w;
    return t;
}

bool rule_random_crop(struct rule_ctx *c, struct type *out) {
    *out = fresh_images(c, size_attr(c, RANDOM_CROP_SIZE));
    return rule_interval(c, RANDOM_CROP_SCALE, "scale") &&
           rule_interval(c, RANDOM_CROP_RATIO, "ratio");
}

bool rule_topk(struct rule_ctx *c, struct type *out) {
    if (!same_rows(c, 0, 1, "`x` and `by`")) return false;
    *out = *c->ins[0];
    out->rowset = c->fresh_rowset;
    return true;
}

enum { WHERE_ABOVE, WHERE_BELOW };

bool rule_where(struct rule_ctx *c, struct type *out) {
    bool above = given(c, WHERE_ABOVE), below = given(c, WHERE_BELOW);
    if (!above && !below)
        return rule_fail(c, "which scores? give `above`, `below` or both");
    if (above && below && c->attrs[WHERE_ABOVE].f >= c->attrs[WHERE_BELOW].f)
        return rule_fail_attr(c, WHERE_BELOW,
                              "nothing is above %.12g and below %.12g: `below` must be "
                              "the larger",
                              c->attrs[WHERE_ABOVE].f, c->attrs[WHERE_BELOW].f);
    return rule_topk(c, out);
}

enum { STITCH_FACTOR, STITCH_SIZE };

bool rule_stitch(struct rule_ctx *c, struct type *out) {
    size_t factor = size_attr(c, STITCH_FACTOR);
    size_t side = given(c, STITCH_SIZE) ? size_attr(c, STITCH_SIZE) : c->ins[0]->origin_h;
    if (factor > side)
        return rule_fail_attr(c, STITCH_FACTOR,
                              "`factor` %zu is larger than the result's "
                              "side (%zu pixels)",
                              factor, side);
    *out = fresh_images(c, side);
    return true;
}
