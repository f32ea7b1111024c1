// shap_patches: coalition values of each image, then one constant product.
//
//     values  a row for each coalition of an image: the model on the image masked with it
//     phi     a row an image: values . S
//
// Coalitions that are equal are evaluated once; what different ones have in common, too
// (share.h).
#include "passes/share.h"

#include "runtime/npy.h"

static bool fail(struct lower *l, const struct node *n, const char *why) {
    diag_error(l->d, n->span, "shap_patches: %s", why);
    l->failed = true;
    return false;
}

static bool coalitions_read(struct lower *l, const struct node *n, const char *path,
                            size_t m, struct coalitions *out) {
    struct npy file;
    if (!npy_read(l->arena, path, &file, n->span, l->d)) return !(l->failed = true);
    if (file.rank != 2 || file.dim[1] != m || !file.count)
        return fail(
            l, n, arena_printf(l->arena, "%s must be a matrix [samples, %zu]", path, m));
    if (file.count > SHAPLEY_MAX_CELLS)
        return fail(l, n,
                    arena_printf(l->arena, "%s holds more than %zu coalitions", path,
                                 SHAPLEY_MAX_CELLS / m));
    *out = (struct coalitions){
        .n = file.dim[0], .m = m, .z = arena_alloc(l->arena, file.count, 1)};
    for (size_t i = 0; i < file.count; i++) {
        double v;
        switch (file.type) {
        case NPY_F32: v = ((const float *)file.data)[i]; break;
        case NPY_F64: v = ((const double *)file.data)[i]; break;
        case NPY_I32: v = ((const int32_t *)file.data)[i]; break;
        case NPY_I64: v = (double)((const int64_t *)file.data)[i]; break;
        default: v = ((const uint8_t *)file.data)[i]; break;
        }
        if (v != 0 && v != 1)
            return fail(
                l, n,
                arena_printf(l->arena, "%s holds %g; coalitions are 0 or 1", path, v));
        out->z[i] = v == 1;
    }
    return true;
}

static bool coalitions_of(struct lower *l, const struct node *n, struct coalitions *c) {
    size_t grid = (size_t)attr_int(n, "grid"), m = grid * grid;
    const struct value *file = node_attr(n, "coalitions");
    const char *sampling = attr_str(n, "sampling"), *why = NULL;
    if (file->kind == VAL_STRING) {
        if (!coalitions_read(l, n, file->s, m, c)) return false;
    } else if (!strcmp(sampling, "exact")) {
        coalitions_all(l->arena, m, c);
        shapley_exact(l->arena, c);
        return true;
    } else {
        size_t samples = (size_t)attr_int(n, "samples");
        if (samples * m > SHAPLEY_MAX_CELLS)
            return fail(l, n,
                        arena_printf(l->arena,
                                     "%zu samples of %zu patches are too many: "
                                     "at most %zu",
                                     samples, m, SHAPLEY_MAX_CELLS / m));
        coalitions_draw(l->arena, samples, m, (uint64_t)attr_int(n, "seed"),
                        !strcmp(sampling, "paired"), c);
    }
    if (shapley_least_squares(l->arena, c, &why)) return true;
    fail(l, n, why);
    return diag_help(l->d, "use more samples, or a smaller grid");
}

#define MASKS_MOST ((size_t)1 << 28) // numbers in a table of masks

static bool check_masks(struct lower *l, const struct node *n,
                        const struct coalitions *c) {
    size_t grid = (size_t)attr_int(n, "grid");
    size_t width = node_at(l->graph, n->in[1])->type.dim[2];
    if (c->n <= MASKS_MOST / grid / width) return true;
    return fail(l, n,
                arena_printf(l->arena,
                             "%zu coalitions of images %zu pixels wide take too "
                             "much memory",
                             c->n, width));
}

// For each coalition the mask spread over the width: f32 [n, grid, width].
static nid mask_table(struct fn *f, const struct coalitions *c, size_t grid,
                      size_t width) {
    size_t dim[3] = {c->n, grid, width};
    float *t = NEW_N(f->l->arena, float, c->n *grid *width);
    for (size_t s = 0; s < c->n; s++)
        for (size_t g = 0; g < grid; g++)
            for (size_t j = 0; j < grid; j++)
                for (size_t x = j * width / grid; x < (j + 1) * width / grid; x++)
                    t[(s * grid + g) * width + x] = c->z[s * c->m + g * grid + j];
    return b_const(&f->b, type_tensor(ELEM_F32, false, 3, dim), t);
}

// x where the coalition's patches are, the baseline elsewhere.
static nid masked(struct fn *f, const struct coalitions *c, size_t grid, nid x,
                  nid subrow, double baseline) {
    const struct type *t = type_at(f->b.f, x);
    size_t h = t->dim[1], w = t->dim[2], dim[3] = {1, h, w};
    int64_t *row = NEW_N(f->l->arena, int64_t, h);
    for (size_t g = 0; g < grid; g++)
        for (size_t y = g * h / grid; y < (g + 1) * h / grid; y++) row[y] = (int64_t)g;
    nid mask = b_take(&f->b, mask_table(f, c, grid, w), subrow);
    mask = b_reshape(&f->b, b_gather(&f->b, mask, row, h, 0), dim, 3);
    if (baseline == 0) return b_binary(&f->b, OP_MUL, x, mask);
    nid base = b_f32(&f->b, (float)baseline);
    x = b_binary(&f->b, OP_MUL, b_binary(&f->b, OP_SUB, x, base), mask);
    return b_binary(&f->b, OP_ADD, x, base);
}

static nid value_of(struct fn *f, const struct node *n, nid logits, nid target) {
    const char *value = attr_str(n, "value");
    nid picked = part_pick(f, logits, target);
    if (!strcmp(value, "logit")) return picked;
    nid log_prob = b_binary(&f->b, OP_SUB, picked, part_log_sum_exp(f, logits));
    return strcmp(value, "prob") ? log_prob : b_unary(&f->b, OP_EXP, log_prob);
}

// ---- the coalitions' values ----------------------------------------------------------

struct game { // an image's, for one shap_patches
    nid v;
    uint32_t image; // slot of its pixels
};

// A row for each coalition; the image is shared by those of a row.
static nid masked_image(struct fn *f, const struct coalitions *c, void *ctx) {
    const struct game *g = ctx;
    const struct node *n = node_at(f->l->graph, g->v);
    const struct model *model = node_at(f->l->graph, n->in[0])->model;
    uint32_t sub = slot_leaf(f->l, f->s, LEAF_SUBROW, rowset_at(f->l, g->v), f->mult,
                             type_scalar(ELEM_I32, true));
    nid x = part_normalise(f, model, fn_input(f, g->image));
    return masked(f, c, (size_t)attr_int(n, "grid"), x, fn_input(f, sub),
                  attr_float(n, "baseline"));
}

static uint32_t lower_values(struct lower *l, struct stage_build *s, nid v,
                             const struct coalitions *c) {
    const struct node *n = node_at(l->graph, v);
    struct game g = {v, slot_of(l, s, n->in[1], FACET_PIXELS)};
    bool predicted = !strcmp(attr_str(n, "target"), "predicted");
    uint32_t answer = predicted ? slot_of(l, s, v, FACET_PREDICTED) : SLOT_NONE;
    CHECK(mult_of(l, s, rowset_at(l, v)) == 1); // what is costly has a stage of its own
    struct fn *f = fn_begin(l, s, c->n, v, "values");
    nid x = masked_image(f, c, &g), logits = part_logits(f, n->in[0], x, false, v);
    size_t classes = node_at(l->graph, n->in[0])->model->classes;
    nid target = predicted ? fn_input(f, answer) : part_class(f, n->in[1], classes, v);
    struct shared parts = {.image = x,
                           .value = value_of(f, n, logits, target),
                           .grid = (size_t)attr_int(n, "grid"),
                           .coalitions = c,
                           .masked = masked_image,
                           .ctx = &g};
    return l->failed ? SLOT_NONE : share_finish(f, v, &parts);
}

// Of all coalitions, from the values of those that are different.
static nid phi_of(struct fn *f, const struct node *n, const struct coalitions *c,
                  const int64_t *which, nid values, nid *solve) {
    size_t row[2] = {1, type_count(type_at(f->b.f, values))}, dim[2] = {c->n, c->m};
    *solve = b_const(&f->b, type_tensor(ELEM_F32, false, 2, dim), c->solve);
    nid x = b_reshape(&f->b, values, row, 2);
    if (row[1] < c->n) x = b_gather(&f->b, x, which, c->n, 1);
    return b_reshape(&f->b, b_matmul(&f->b, x, *solve, false, false), n->type.dim, 2);
}

uint32_t lower_shap(struct lower *l, struct stage_build *s, nid v) {
    const struct node *n = node_at(l->graph, v);
    struct coalitions c = {0};
    if (!coalitions_of(l, n, &c) || !check_masks(l, n, &c))
        coalitions_all(l->arena, 1, &c); // any, after an error
    struct coalitions each = c;
    const int64_t *which =
        l->m->unshared ? NULL : coalitions_distinct(l->arena, &c, &each);
    uint32_t values = l->failed ? SLOT_NONE : lower_values(l, s, v, &each);
    struct fn *f = fn_begin(l, s, mult_of(l, s, rowset_at(l, v)), v, NULL);
    nid phi;
    if (l->failed) {
        struct type t = type_tensor(ELEM_F32, false, 2, n->type.dim);
        phi = b_const(&f->b, t, NEW_N(l->arena, float, type_count(&t)));
    } else {
        nid solve;
        phi = phi_of(f, n, &c, which, fn_input(f, values), &solve);
        l->kept.at[s->target].more = node_at(f->b.f, solve)->digest;
    }
    return fn_finish(f, phi);
}

// The class with the largest logit on the whole image.
uint32_t lower_predicted(struct lower *l, struct stage_build *s, nid v) {
    const struct node *n = node_at(l->graph, v);
    struct fn *f = fn_begin(l, s, mult_of(l, s, rowset_at(l, v)), v, "predicted");
    const struct model *model = node_at(l->graph, n->in[0])->model;
    nid x = part_normalise(f, model, part_pixels(f, n->in[1]));
    nid logits = part_logits(f, n->in[0], x, false, v);
    return fn_finish(f, b_unary(&f->b, OP_ARGMAX, logits));
}
