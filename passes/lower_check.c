// check: what the model says of images that are given to it in other ways.
//
// One row an image and way: the ways are tables that a row takes its own numbers from, so
// that the network is there once, whatever the number of ways.
#include "passes/lower.h"
#include "runtime/trial.h"

#define CHANNELS TRIAL_CHANNELS

// f32 [TRIAL_VARIANTS, CHANNELS or 1, 1, 1]: the numbers of the row's own way.
static nid of_way(struct fn *f, const float *table, size_t each, nid way) {
    size_t dim[4] = {TRIAL_VARIANTS, each, 1, 1};
    nid all = b_const(&f->b, type_tensor(ELEM_F32, false, 4, dim), table);
    return b_take(&f->b, all, way);
}

// The channels backwards where the way says so. x holds whole numbers: nothing is
// rounded.
static nid reversed(struct fn *f, nid x, nid way) {
    static const int64_t backwards[CHANNELS] = {2, 1, 0};
    float table[TRIAL_VARIANTS];
    for (size_t i = 0; i < TRIAL_VARIANTS; i++) table[i] = trial_way(i).reversed;
    nid other = b_binary(&f->b, OP_SUB, b_gather(&f->b, x, backwards, CHANNELS, 0), x);
    other = b_binary(&f->b, OP_MUL, other, of_way(f, table, 1, way));
    return b_binary(&f->b, OP_ADD, x, other);
}

static nid normalised(struct fn *f, const struct model *m, nid x, nid way) {
    float mean[TRIAL_VARIANTS][CHANNELS], scale[TRIAL_VARIANTS][CHANNELS];
    for (size_t i = 0; i < TRIAL_VARIANTS; i++)
        for (size_t c = 0; c < CHANNELS; c++) {
            const struct trial_norm *norm = trial_way(i).norm;
            mean[i][c] = (float)(255 * (norm ? norm->mean : m->mean)[c]);
            scale[i][c] = (float)(1 / (255 * (norm ? norm->std : m->std)[c]));
        }
    x = b_binary(&f->b, OP_SUB, x, of_way(f, mean[0], CHANNELS, way));
    return b_binary(&f->b, OP_MUL, x, of_way(f, scale[0], CHANNELS, way));
}

// One row a way; the image is shared by the ways of a row. The column takes them
// together.
uint32_t lower_variants(struct lower *l, struct stage_build *s, nid v) {
    const struct node *n = node_at(l->graph, v);
    uint32_t rowset = rowset_at(l, v);
    size_t mult = mult_of(l, s, rowset) * TRIAL_VARIANTS;
    uint32_t image = slot_of(l, s, n->in[1], FACET_PIXELS);
    struct fn *f = fn_begin(l, s, mult, v, "ways");
    nid way = fn_input(
        f, slot_leaf(l, s, LEAF_SUBROW, rowset, mult, type_scalar(ELEM_I32, true)));
    nid x = reversed(f, b_cast(&f->b, fn_input(f, image), ELEM_F32), way);
    x = normalised(f, node_at(l->graph, n->in[0])->model, x, way);
    nid logits = part_logits(f, n->in[0], x, false, v);
    return fn_finish(f, b_unary(&f->b, OP_ARGMAX, logits));
}
