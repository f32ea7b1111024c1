// What each pipeline op becomes: a part of a tensor function (expr), or functions of its
// own.
//
// expr(f, v, facet) gives v inside the function f, computing it there unless it is a
// column or has a slot of its own already.
#include "passes/late.h"
#include "passes/lower.h"

static nid expr(struct fn *f, nid v, enum facet facet);

static const struct node *gnode(const struct fn *f, nid v) {
    return node_at(f->l->graph, v);
}

static nid input_of(struct fn *f, nid v, enum facet facet) {
    return fn_input(f, slot_of(f->l, f->s, v, facet));
}

// ---- small parts ---------------------------------------------------------------------
static nid part_i32s(struct fn *f, const int32_t *v, size_t n) {
    return b_const(&f->b, type_tensor(ELEM_I32, false, 1, &n), v);
}

static nid part_scale(struct fn *f, nid x, double by) {
    return b_binary(&f->b, OP_MUL, x, b_f32(&f->b, (float)by));
}

// x times an attribute that may change after compiling.
static nid part_scale_late(struct fn *f, nid x, const struct value *by) {
    return b_binary(&f->b, OP_MUL, x, b_setting(&f->b, by));
}

static nid leaf_input(struct fn *f, enum leaf_kind kind, nid v, struct type t) {
    uint32_t rowset = rowset_at(f->l, v);
    size_t mult = mult_of(f->l, f->s, rowset);
    return fn_input(f, slot_leaf(f->l, f->s, kind, rowset, mult, t));
}

void rows_have_classes(struct lower *l, nid x, size_t classes, const struct node *user) {
    uint32_t root = rowset_at(l, x);
    while (l->rowsets.at[root].kind != ROWSET_READER) root = l->rowsets.at[root].parent;
    struct plan_rowset *r = &l->rowsets.at[root];
    if (r->classes && r->classes != classes) {
        diag_error(l->d, user->span,
                   "models with %zu and with %zu classes score the same images",
                   r->classes, classes);
        l->failed = true;
    }
    r->classes = classes;
    r->classes_span = user->span;
}

nid part_class(struct fn *f, nid v, size_t classes, nid user) {
    rows_have_classes(f->l, v, classes, gnode(f, user));
    return leaf_input(f, LEAF_CLASS, v, type_scalar(ELEM_I32, true));
}

static nid part_key(struct fn *f, nid v) {
    static const size_t two[1] = {2};
    return leaf_input(f, LEAF_KEY, v, type_tensor(ELEM_U64, true, 1, two));
}

nid part_normalise(struct fn *f, const struct model *model, nid pixels) {
    size_t c = model->channels, dim[3] = {c, 1, 1};
    float *mean = NEW_N(f->l->arena, float, c), *scale = NEW_N(f->l->arena, float, c);
    for (size_t i = 0; i < c; i++) {
        mean[i] = (float)(255 * model->mean[i]);
        scale[i] = (float)(1 / (255 * model->std[i]));
    }
    struct type t = type_tensor(ELEM_F32, false, 3, dim);
    nid x = b_cast(&f->b, pixels, ELEM_F32);
    x = b_binary(&f->b, OP_SUB, x, b_const(&f->b, t, mean));
    return b_binary(&f->b, OP_MUL, x, b_const(&f->b, t, scale));
}

nid part_logits(struct fn *f, nid model_node, nid normalised, bool keep_params,
                nid user) {
    const struct model *model = gnode(f, model_node)->model;
    const struct type *t = type_at(f->b.f, normalised);
    const struct func *net = model->func;
    if (t->dim[1] != model->height || t->dim[2] != model->width)
        net = model->at_size(model, f->l->arena, t->dim[1], t->dim[2], f->l->d,
                             gnode(f, user)->span);
    if (!net) {
        f->l->failed = true;
        struct type k = type_tensor(ELEM_F32, false, 1, &model->classes);
        return b_const(&f->b, k, NEW_N(f->l->arena, float, model->classes));
    }
    nid out;
    build_inline(&f->b, net, &normalised, &out, keep_params);
    if (model->bf16) f->b.f->bf16 = true;
    return out;
}

nid part_log_sum_exp(struct fn *f, nid logits) {
    static const int64_t axis[1] = {0};
    nid top = b_unary(&f->b, OP_STOP, b_amax(&f->b, logits, axis, 1, true));
    nid e = b_unary(&f->b, OP_EXP, b_binary(&f->b, OP_SUB, logits, top));
    nid sum = b_unary(&f->b, OP_LOG, b_sum(&f->b, e, axis, 1, true));
    return b_reshape(&f->b, b_binary(&f->b, OP_ADD, sum, top), NULL, 0);
}

nid part_count(struct fn *f, size_t k) {
    int32_t *count = NEW_N(f->l->arena, int32_t, k);
    for (size_t i = 0; i < k; i++) count[i] = (int32_t)i;
    return part_i32s(f, count, k);
}

// f32[k]: 1 at the index.
static nid part_hot(struct fn *f, nid index, size_t k) {
    nid hot = b_binary(&f->b, OP_EQ, part_count(f, k), index);
    return b_cast(&f->b, hot, ELEM_F32);
}

nid part_pick(struct fn *f, nid values, nid index) {
    nid hot = part_hot(f, index, type_at(f->b.f, values)->dim[0]);
    return b_sum_all(&f->b, b_binary(&f->b, OP_MUL, values, hot));
}

static nid part_loss(struct fn *f, const struct node *n, nid v, bool keep_params) {
    const struct model *model = gnode(f, n->in[0])->model;
    nid x = part_normalise(f, model, part_pixels(f, n->in[1]));
    nid logits = part_logits(f, n->in[0], x, keep_params, v);
    nid cls = part_class(f, n->in[1], model->classes, v);
    return b_binary(&f->b, OP_SUB, part_log_sum_exp(f, logits),
                    part_pick(f, logits, cls));
}

// ---- images --------------------------------------------------------------------------
nid part_pixels(struct fn *f, nid v) {
    return expr(f, v, FACET_PIXELS);
}

static nid resized(struct fn *f, nid x, nid box, size_t h, size_t w) {
    struct value attrs[2] = {val_int((int64_t)h), val_int((int64_t)w)};
    return build_node(&f->b, OP_RESIZE, (nid[]){x, box}, 2, attrs, NULL);
}

static nid crop_pixels(struct fn *f, const struct node *n, nid v) {
    const struct value *resize = node_attr(n, "resize");
    struct value size[2] = {val_int(attr_int(n, "size")), val_int(attr_int(n, "size"))};
    nid x = part_pixels(f, n->in[0]), place = expr(f, v, FACET_PLACE);
    if (resize->kind == VAL_NONE || resize->i == attr_int(n, "size"))
        return build_node(&f->b, OP_WINDOW, (nid[]){x, place}, 2, size, NULL);
    return resized(f, x, place, (size_t)resize->i, (size_t)resize->i);
}

static nid random_crop_pixels(struct fn *f, const struct node *n, nid v) {
    size_t size = (size_t)attr_int(n, "size");
    nid x = part_pixels(f, n->in[0]);
    return resized(f, x, expr(f, v, FACET_PLACE), size, size);
}

static size_t part_start(size_t size, size_t parts, size_t i) {
    size_t rest = size % parts;
    return i * (size / parts) + size_min(i, rest); // remainders to the first
}

// Row `at` of a group (there is no axis for it when the group is one row), as h x w.
static nid stitch_tile(struct fn *f, nid rows, size_t at, size_t h, size_t w) {
    const struct type *t = type_at(f->b.f, rows);
    nid x = rows;
    if (t->rank == 4) {
        size_t dim[3] = {t->dim[1], t->dim[2], t->dim[3]};
        int64_t starts[4] = {(int64_t)at, 0, 0, 0}, steps[4] = {1, 1, 1, 1};
        int64_t sizes[4] = {1, (int64_t)dim[0], (int64_t)dim[1], (int64_t)dim[2]};
        x = b_reshape(&f->b, b_slice(&f->b, rows, starts, steps, sizes, 4), dim, 3);
    }
    t = type_at(f->b.f, x);
    return t->dim[1] == h && t->dim[2] == w ? x : resized(f, x, NID_NONE, h, w);
}

static nid join(struct fn *f, const nid *parts, size_t n, int64_t axis) {
    struct value a = val_int(axis);
    return build_node(&f->b, OP_CONCAT, parts, n, &a, NULL);
}

// [factor * factor, C, h, w] to [C, factor * h, factor * w].
static nid mosaic(struct fn *f, nid rows, size_t factor) {
    static const int64_t perm[5] = {2, 0, 3, 1, 4};
    const struct type *t = type_at(f->b.f, rows);
    size_t c = t->dim[1], h = t->dim[2], w = t->dim[3];
    nid x = b_reshape(&f->b, rows, (size_t[]){factor, factor, c, h, w}, 5);
    x = b_transpose(&f->b, x, perm, 5);
    return b_reshape(&f->b, x, (size_t[]){c, factor * h, factor * w}, 3);
}

// The rows of x resized, one by one, in a function of their own.
static uint32_t resized_rows(struct fn *f, nid x, size_t side) {
    size_t mult = mult_of(f->l, f->s, rowset_at(f->l, x));
    struct fn *g = fn_begin(f->l, f->s, mult, x, "resized");
    return fn_finish(g, resized(g, part_pixels(g, x), NID_NONE, side, side));
}

static nid stitch_pixels(struct fn *f, const struct node *n) {
    size_t factor = (size_t)attr_int(n, "factor"), size = n->type.dim[1];
    const struct type *x = &gnode(f, n->in[0])->type;
    if (factor == 1) return stitch_tile(f, part_pixels(f, n->in[0]), 0, size, size);
    if (size % factor == 0) {
        size_t side = size / factor;
        bool fits = x->dim[1] == side && x->dim[2] == side;
        uint32_t rows = fits ? slot_of(f->l, f->s, n->in[0], FACET_PIXELS)
                             : resized_rows(f, n->in[0], side);
        return mosaic(f, fn_input(f, rows), factor);
    }
    nid rows = input_of(f, n->in[0], FACET_PIXELS);
    nid *down = NEW_N(f->l->arena, nid, factor),
        *across = NEW_N(f->l->arena, nid, factor);
    for (size_t i = 0; i < factor; i++) {
        size_t h = part_start(size, factor, i + 1) - part_start(size, factor, i);
        for (size_t j = 0; j < factor; j++) {
            size_t w = part_start(size, factor, j + 1) - part_start(size, factor, j);
            across[j] = stitch_tile(f, rows, i * factor + j, h, w);
        }
        down[i] = join(f, across, factor, 2);
    }
    return join(f, down, factor, 1);
}

static nid pixels(struct fn *f, const struct node *n, nid v) {
    switch (n->op) {
    case OP_IMAGES:
        return leaf_input(f, LEAF_PIXELS, v, type_tensor(ELEM_U8, true, 3, n->type.dim));
    case OP_CROP: return crop_pixels(f, n, v);
    case OP_RANDOM_CROP: return random_crop_pixels(f, n, v);
    case OP_STITCH: return stitch_pixels(f, n);
    default: BUG("%s has no pixels", op_info(n->op)->name);
    }
}

// ---- where pixels come from ----------------------------------------------------------
// Pixels [start, start + length) that entry i of a map's side covers.
static void map_entry(const struct type *map, size_t n, size_t i, size_t *start,
                      size_t *length) {
    if (map->map_stride) {
        *start = i * map->map_stride;
        *length = map->map_window;
    } else {
        *start = i * map->map_side / n;
        *length = (i + 1) * map->map_side / n - *start;
    }
}

// The window of `size` centred on the entry, moved inside the image.
static int32_t window_start(const struct type *map, size_t n, size_t i, size_t size) {
    size_t start, length;
    map_entry(map, n, i, &start, &length);
    size_t middle2 = 2 * start + length; // twice the centre
    size_t at = middle2 > size ? (middle2 - size) / 2 : 0;
    return (int32_t)size_min(at, map->map_side - size);
}

static nid crop_place(struct fn *f, const struct node *n) {
    const struct type *map = &gnode(f, n->in[1])->type;
    size_t h = map->dim[0], w = map->dim[1], size = (size_t)attr_int(n, "size");
    int32_t *boxes = NEW_N(f->l->arena, int32_t, h * w * 4);
    for (size_t i = 0; i < h * w; i++) {
        boxes[i * 4] = window_start(map, h, i / w, size);
        boxes[i * 4 + 1] = window_start(map, w, i % w, size);
        boxes[i * 4 + 2] = boxes[i * 4 + 3] = (int32_t)size;
    }
    size_t dim[2] = {h * w, 4};
    nid table = b_const(&f->b, type_tensor(ELEM_I32, false, 2, dim), boxes);
    nid at = b_unary(&f->b, OP_ARGMAX, expr(f, n->in[1], FACET_VALUE));
    return b_take(&f->b, table, at);
}

static nid random_place(struct fn *f, const struct node *n, nid v) {
    const struct type *x = &gnode(f, n->in[0])->type;
    struct value attrs[5] = {val_int((int64_t)x->dim[1]), val_int((int64_t)x->dim[2]),
                             *node_attr(n, "scale"), *node_attr(n, "ratio"),
                             *node_attr(n, "seed")};
    late_attr(f->l->m, n, "seed");
    nid nth = leaf_input(f, LEAF_NTH, v, type_scalar(ELEM_I32, true));
    nid in[2] = {part_key(f, n->in[0]), nth};
    return build_node(&f->b, OP_RANDOM_BOX, in, 2, attrs, NULL);
}

static nid part_column(struct fn *f, nid box, int64_t at) {
    int64_t one = 1;
    return b_slice(&f->b, box, &at, &one, &one, 1);
}

// The pixels that a place covers, inside an image that is itself `base` of the image it
// was read from, shown at h x w: from base.top + floor(top * base.height / h) on, to the
// same of the bottom, rounded up.
static nid compose(struct fn *f, nid base, nid place, const struct type *shown) {
    nid part[4];
    for (int64_t i = 0; i < 2; i++) {
        int32_t side = (int32_t)shown->dim[1 + i], up = side - 1;
        nid start = part_column(f, place, i), length = part_column(f, base, 2 + i);
        nid end = b_binary(&f->b, OP_ADD, start, part_column(f, place, 2 + i));
        start = b_binary(&f->b, OP_MUL, start, length);
        start = b_binary(&f->b, OP_DIV, start, part_i32s(f, &side, 1));
        end = b_binary(&f->b, OP_MUL, end, length);
        end = b_binary(&f->b, OP_ADD, end, part_i32s(f, &up, 1));
        end = b_binary(&f->b, OP_DIV, end, part_i32s(f, &side, 1));
        part[i] = b_binary(&f->b, OP_ADD, part_column(f, base, i), start);
        part[2 + i] = b_binary(&f->b, OP_SUB, end, start);
    }
    return join(f, part, 4, 0);
}

// Where pixels lie in the one image they were read from. An image stitched of one row is
// that row, perhaps resized.
static nid box(struct fn *f, const struct node *n, nid v) {
    int32_t h = (int32_t)n->type.origin_h, w = (int32_t)n->type.origin_w;
    if (n->op == OP_IMAGES) return part_i32s(f, (int32_t[]){0, 0, h, w}, 4);
    if (n->op == OP_STITCH) return expr(f, n->in[0], FACET_BOX);
    nid place = expr(f, v, FACET_PLACE);
    return compose(f, expr(f, n->in[0], FACET_BOX), place, &gnode(f, n->in[0])->type);
}

// ---- maps ----------------------------------------------------------------------------
// Weight of each patch in each window along one side: pixels shared / window.
static nid pool_weights(struct fn *f, const struct type *map, size_t n, size_t windows,
                        size_t window, size_t stride) {
    size_t dim[2] = {windows, n};
    float *w = NEW_N(f->l->arena, float, windows *n);
    for (size_t i = 0; i < windows; i++)
        for (size_t j = 0; j < n; j++) {
            size_t start, length;
            map_entry(map, n, j, &start, &length);
            size_t low = size_max(start, i * stride);
            size_t high = size_min(start + length, i * stride + window);
            w[i * n + j] =
                high > low ? (float)((double)(high - low) / (double)window) : 0;
        }
    return b_const(&f->b, type_tensor(ELEM_F32, false, 2, dim), w);
}

// The mean over pixels is separable: rows . map . columns'.
static nid pool(struct fn *f, const struct node *n) {
    const struct type *map = &gnode(f, n->in[0])->type;
    size_t window = (size_t)attr_int(n, "window"), stride = (size_t)attr_int(n, "stride");
    nid rows = pool_weights(f, map, map->dim[0], n->type.dim[0], window, stride);
    nid columns = pool_weights(f, map, map->dim[1], n->type.dim[1], window, stride);
    nid x = expr(f, n->in[0], FACET_VALUE);
    return b_matmul(&f->b, b_matmul(&f->b, rows, x, false, false), columns, false, true);
}

// Standard normal numbers in the shape of n, by its seed and its operand's rows.
static nid normal(struct fn *f, const struct node *n, const char *purpose) {
    size_t rank = n->type.rank;
    int64_t *shape = NEW_N(f->l->arena, int64_t, rank);
    for (size_t i = 0; i < rank; i++) shape[i] = (int64_t)n->type.dim[i];
    struct value attrs[3] = {val_ints(shape, rank), *node_attr(n, "seed"),
                             val_string(purpose)};
    nid key = part_key(f, n->in[0]);
    late_attr(f->l->m, n, "seed");
    return build_node(&f->b, OP_NORMAL, &key, 1, attrs, NULL);
}

static nid perturb(struct fn *f, const struct node *n) {
    nid map = expr(f, n->in[0], FACET_VALUE), noise = normal(f, n, "noise");
    late_attr(f->l->m, n, "sigma");
    noise = part_scale_late(f, noise, node_attr(n, "sigma"));
    if (!strcmp(attr_str(n, "scale"), "relative")) {
        double count = (double)type_count(&n->type);
        nid mean = part_scale(f, b_sum_all(&f->b, map), 1 / count);
        nid off = b_binary(&f->b, OP_SUB, map, mean);
        nid square = b_sum_all(&f->b, b_binary(&f->b, OP_MUL, off, off));
        nid deviation = b_unary(&f->b, OP_SQRT, part_scale(f, square, 1 / count));
        noise = b_binary(&f->b, OP_MUL, noise, deviation);
    }
    return b_binary(&f->b, OP_ADD, map, noise);
}

// ---- scores and labels ---------------------------------------------------------------
// sqrt of the sum over parameters of the squares of the row's gradient.
static nid gradnorm(struct fn *f, const struct node *n, nid v) {
    nid loss = part_loss(f, n, v, true), total = NID_NONE;
    size_t before = f->b.f->nodes.n; // nodes past this are made here
    for (nid p = 0; p < before; p++) {
        if (node_at(f->b.f, p)->op != OP_PARAM) continue;
        nid g = build_node(&f->b, OP_GRAD, (nid[]){loss, p}, 2, NULL, NULL);
        nid square = b_sum_all(&f->b, b_binary(&f->b, OP_MUL, g, g));
        total = total == NID_NONE ? square : b_binary(&f->b, OP_ADD, total, square);
    }
    if (total == NID_NONE) {
        if (f->l->failed) return loss; // there is no model to speak of
        diag_error(f->l->d, n->span, "the model has no parameters to take a gradient of");
        f->l->failed = true;
        return loss;
    }
    return b_unary(&f->b, OP_SQRT, total);
}

static struct value inverse(struct fn *f, const struct value *v) {
    struct value one = val_float(1), out = val_float(1 / v->f);
    if (!v->of) return out;
    struct formula divide = {.kind = FORMULA_BINARY,
                             .op = "/",
                             .l = formula_of(f->l->arena, &one, NULL),
                             .r = v->of};
    return value_made(f->l->arena, out, divide);
}

// The class's logit among the others is far below all of them.
static nid margin(struct fn *f, const struct node *n, nid v) {
    static const int64_t axis[1] = {0};
    const struct model *model = gnode(f, n->in[0])->model;
    nid x = part_normalise(f, model, part_pixels(f, n->in[1]));
    nid logits = part_logits(f, n->in[0], x, false, v);
    nid hot = part_hot(f, part_class(f, n->in[1], model->classes, v), model->classes);
    nid others = b_binary(&f->b, OP_SUB, logits, part_scale(f, hot, 1e30));
    nid own = b_sum_all(&f->b, b_binary(&f->b, OP_MUL, logits, hot));
    return b_binary(&f->b, OP_SUB, own, b_amax(&f->b, others, axis, 1, false));
}

static nid relabel(struct fn *f, const struct node *n, nid v) {
    const struct model *model = gnode(f, n->in[0])->model;
    nid x = part_normalise(f, model, part_pixels(f, n->in[1]));
    nid logits = part_logits(f, n->in[0], x, false, v);
    struct value scale = inverse(f, node_attr(n, "temperature"));
    late_attr(f->l->m, n, "temperature");
    nid z = part_scale_late(f, logits, &scale);
    return b_unary(&f->b, OP_EXP, b_binary(&f->b, OP_SUB, z, part_log_sum_exp(f, z)));
}

// ---- dispatch ------------------------------------------------------------------------
static nid body(struct fn *f, nid v, enum facet facet) {
    const struct node *n = gnode(f, v);
    if (facet == FACET_PIXELS) return pixels(f, n, v);
    if (facet == FACET_BOX) return box(f, n, v);
    if (facet == FACET_PLACE)
        return n->op == OP_CROP ? crop_place(f, n) : random_place(f, n, v);
    switch (n->op) {
    case OP_POOL: return pool(f, n);
    case OP_PERTURB: return perturb(f, n);
    case OP_RANDOM: return normal(f, n, "score");
    case OP_LOSS: return part_loss(f, n, v, false);
    case OP_MARGIN: return margin(f, n, v);
    case OP_GRADNORM: return gradnorm(f, n, v);
    case OP_RELABEL: return relabel(f, n, v);
    case OP_GRADCAM: return lower_gradcam(f, n, v);
    default: BUG("%s has no lowering", op_info(n->op)->name);
    }
}

static bool has_slot(const struct fn *f, nid v, enum facet facet) {
    for (size_t i = 0; i < f->s->have.n; i++)
        if (f->s->have.at[i].v == v && f->s->have.at[i].facet == facet) return true;
    return false;
}

static bool own_slot(const struct fn *f, nid v, enum facet facet) {
    return is_column(f->l, f->s, v, facet) || has_slot(f, v, facet);
}

static nid expr(struct fn *f, nid v, enum facet facet) {
    v = value_behind(f->l, v);
    facet = facet_of(f->l, v, facet);
    return own_slot(f, v, facet) ? input_of(f, v, facet) : body(f, v, facet);
}

uint32_t lower_compute(struct lower *l, struct stage_build *s, nid v, enum facet facet) {
    static const char *const parts[] = {
        [FACET_PIXELS] = "pixels", [FACET_PLACE] = "place", [FACET_BOX] = "box"};
    const struct node *n = node_at(l->graph, v);
    if (facet == FACET_PREDICTED) return lower_predicted(l, s, v);
    if (facet == FACET_VARIANTS) return lower_variants(l, s, v);
    if (facet == FACET_RIGHT) return lower_right(l, s, v);
    if (facet == FACET_VALUE && n->op == OP_SHAP_PATCHES) return lower_shap(l, s, v);
    size_t mult = mult_of(l, s, rowset_at(l, v));
    if (facet == FACET_PIXELS && n->op == OP_IMAGES)
        return slot_leaf(l, s, LEAF_PIXELS, rowset_at(l, v), mult,
                         type_tensor(ELEM_U8, true, 3, n->type.dim));
    struct fn *f = fn_begin(l, s, mult, v, parts[facet]);
    return fn_finish(f, body(f, v, facet));
}
