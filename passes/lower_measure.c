// accuracy, confusion, mean_std and report: a column of what the model says of each row,
// and what is made of columns when all rows are there (runtime/measure.h).
#include "passes/late.h"
#include "passes/lower.h"

static const struct node *gnode(const struct lower *l, nid v) {
    return node_at(l->graph, v);
}

// ---- columns -------------------------------------------------------------------------
// How many logits come before the class's: those that are larger, and equal ones of
// earlier classes.
static nid logits_before(struct fn *f, nid logits, nid own, nid cls) {
    nid which = part_count(f, type_at(f->b.f, logits)->dim[0]);
    nid larger = b_unary(&f->b, OP_STEP, b_binary(&f->b, OP_SUB, logits, own));
    nid equal = b_binary(&f->b, OP_EQ, logits, own);
    nid earlier = b_unary(&f->b, OP_STEP, b_binary(&f->b, OP_SUB, cls, which));
    nid tied = b_binary(&f->b, OP_MUL, equal, b_cast(&f->b, earlier, ELEM_F32));
    return b_sum_all(&f->b, b_binary(&f->b, OP_ADD, larger, tied));
}

// i32: whether the class is among the `top` best. Of NaN nothing is larger, but a network
// that answers none is right about nothing.
uint32_t lower_right(struct lower *l, struct stage_build *s, nid v) {
    const struct node *n = gnode(l, v);
    const struct model *model = gnode(l, n->in[0])->model;
    struct fn *f = fn_begin(l, s, mult_of(l, s, rowset_at(l, v)), v, "right");
    nid x = part_normalise(f, model, part_pixels(f, n->in[1]));
    nid logits = part_logits(f, n->in[0], x, false, v);
    nid cls = part_class(f, n->in[1], model->classes, v);
    nid own = part_pick(f, logits, cls), before = logits_before(f, logits, own, cls);
    nid room = b_binary(&f->b, OP_SUB, b_f32(&f->b, (float)attr_int(n, "top")), before);
    nid number = b_binary(&f->b, OP_EQ, own, own);
    nid right = b_binary(&f->b, OP_MUL, b_unary(&f->b, OP_STEP, room), number);
    return fn_finish(f, b_cast(&f->b, right, ELEM_I32));
}

// ---- measures ------------------------------------------------------------------------
static uint32_t measure_of(struct lower *l, nid v);

static uint32_t measure_add(struct lower *l, nid v, struct plan_measure m) {
    const struct node *n = gnode(l, v);
    m.name = shown_name(n), m.span = n->span;
    VEC_PUSH(l->arena, &l->measures, m);
    VEC_PUSH(l->arena, &l->measured, v);
    return (uint32_t)l->measures.n - 1;
}

static struct plan_measure of_rows(struct lower *l, nid v, enum measure_kind kind,
                                   enum facet facet) {
    const struct node *n = gnode(l, v);
    rows_have_classes(l, n->in[1], gnode(l, n->in[0])->model->classes, n);
    return (struct plan_measure){.kind = kind,
                                 .rowset = rowset_at(l, v),
                                 .column = column_of(l, v, facet),
                                 .classes = gnode(l, n->in[0])->model->classes};
}

static struct plan_measure of_measures(struct lower *l, const struct node *n) {
    uint32_t *of = NEW_N(l->arena, uint32_t, n->nin);
    for (uint32_t i = 0; i < n->nin; i++) of[i] = measure_of(l, n->in[i]);
    return (struct plan_measure){
        .kind = MEASURE_MEAN_STD, .rowset = UINT32_MAX, .nof = n->nin, .of = of};
}

// The same measure may stand in several tables.
static uint32_t measure_of(struct lower *l, nid v) {
    for (uint32_t i = 0; i < l->measured.n; i++)
        if (l->measured.at[i] == v) return i;
    const struct node *n = gnode(l, v);
    switch (n->op) {
    case OP_ACCURACY:
        return measure_add(l, v, of_rows(l, v, MEASURE_ACCURACY, FACET_RIGHT));
    case OP_CONFUSION:
        return measure_add(l, v, of_rows(l, v, MEASURE_CONFUSION, FACET_PREDICTED));
    case OP_MEAN_STD: return measure_add(l, v, of_measures(l, n));
    default: BUG("%s measures nothing", op_info(n->op)->name);
    }
}

// ---- tables --------------------------------------------------------------------------
void want_table(struct lower *l, nid out) {
    const struct node *n = gnode(l, out);
    const struct value *to = node_attr(n, "to");
    uint32_t *measures = NEW_N(l->arena, uint32_t, n->nin);
    struct plan_table t = {.span = n->span,
                           .rows = attr_str(n, "rows"),
                           .columns = attr_str(n, "columns"),
                           .n = n->nin,
                           .measures = measures};
    for (uint32_t i = 0; i < n->nin; i++) measures[i] = measure_of(l, n->in[i]);
    t.ncolumns = size_max(text_lines(t.columns), 1);
    t.nrows = n->nin / t.ncolumns;
    CHECK(t.nrows * t.ncolumns == n->nin && (!*t.rows || text_lines(t.rows) == t.nrows));
    if (to->kind == VAL_STRING) t.to = to->s;
    if (t.to) late_use(l->m, n, "to", USE_TABLE, (uint32_t)l->tables.n, 0);
    VEC_PUSH(l->arena, &l->tables, t);
}
