// Lowering: from the pipeline graph to rowsets, stages and tensor functions. Read lower.h
// first; this file finds out what is wanted of each rowset, last rowset first.
#include "passes/lower.h"

#include "passes/late.h"
#include "runtime/trial.h"

#include <float.h>

static const struct node *graph_node(const struct lower *l, nid v) {
    return node_at(l->graph, v);
}

// ---- rowsets -------------------------------------------------------------------------
uint32_t rowset_at(const struct lower *l, nid v) {
    return l->rowset_of[graph_node(l, v)->type.rowset];
}

static double bound(const struct value *v, double none) {
    return v->kind == VAL_NONE ? none : v->f;
}

static struct plan_rowset rowset_make(struct lower *l, const struct node *n) {
    struct plan_rowset r = {.span = n->span};
    r.name = n->name ? n->name : op_info(n->op)->name;
    const struct value *limit;
    switch (n->op) {
    case OP_IMAGES:
        limit = node_attr(n, "limit");
        r.kind = ROWSET_READER;
        r.path = attr_str(n, "path");
        r.size = (size_t)attr_int(n, "size");
        r.limit = limit->kind == VAL_NONE ? SIZE_MAX : (size_t)limit->i;
        r.skip = !strcmp(attr_str(n, "on_error"), "skip");
        return r;
    case OP_WHERE:
        r.kind = ROWSET_FILTER;
        r.above = bound(node_attr(n, "above"), -DBL_MAX);
        r.below = bound(node_attr(n, "below"), DBL_MAX);
        break;
    case OP_RANDOM_CROP:
        r.kind = ROWSET_EXPAND;
        r.factor = (size_t)attr_int(n, "count");
        break;
    case OP_STITCH:
        r.kind = ROWSET_GROUP;
        r.factor = (size_t)(attr_int(n, "factor") * attr_int(n, "factor"));
        break;
    case OP_TOPK:
        r.kind = ROWSET_SELECT;
        r.k = (size_t)attr_int(n, "k");
        r.per_class = !strcmp(attr_str(n, "per"), "class");
        r.smallest = !strcmp(attr_str(n, "order"), "smallest");
        break;
    default: BUG("%s makes no rowset", op_info(n->op)->name);
    }
    r.parent = rowset_at(l, n->in[0]);
    return r;
}

static void rowset_lates(struct lower *l, const struct node *n, uint32_t rowset) {
    if (n->op == OP_IMAGES) late_use(l->m, n, "path", USE_PATH, rowset, 0);
    if (n->op == OP_IMAGES) late_use(l->m, n, "limit", USE_LIMIT, rowset, 0);
    if (n->op == OP_TOPK) late_use(l->m, n, "k", USE_K, rowset, 0);
}

static bool lower_fail(struct lower *l) {
    l->failed = true;
    return false;
}

#define GROUP_MOST ((size_t)1 << 20) // rows in one stitched image, through all stitches

// The chunk that makes one stitched image holds all of its rows, and those they are
// stitched of in turn.
static bool check_group(struct lower *l, const struct node *n, uint32_t rowset,
                        size_t *rows) {
    const struct plan_rowset *r = &l->rowsets.at[rowset];
    rows[rowset] = r->kind == ROWSET_READER ? 1 : rows[r->parent];
    if (r->kind != ROWSET_GROUP) return true;
    rows[rowset] *= r->factor;
    size_t elements = type_count(&graph_node(l, n->in[0])->type);
    if (rows[rowset] <= GROUP_MOST && elements <= TYPE_MAX_COUNT / r->factor) return true;
    diag_error(l->d, n->span,
               "one image stitched of %zu rows, %zu bytes each, is more than fits",
               rows[rowset], elements);
    return lower_fail(l);
}

#define DEPTH_MOST 1000 // ops between a value and what it was read from

// Values are expanded by recursion over their operands.
static bool check_depth(struct lower *l) {
    uint32_t *depth = NEW_N(l->arena, uint32_t, l->graph->nodes.n);
    for (nid v = 0; v < l->graph->nodes.n; v++) {
        const struct node *n = graph_node(l, v);
        for (uint32_t i = 0; i < n->nin; i++)
            if (n->in[i] != NID_NONE && depth[n->in[i]] >= depth[v])
                depth[v] = depth[n->in[i]] + 1;
        if (depth[v] <= DEPTH_MOST) continue;
        diag_error(l->d, n->span, "this is more than %d ops away from what it is made of",
                   DEPTH_MOST);
        return lower_fail(l);
    }
    return true;
}

static bool makes_rowset(enum op op) {
    return op == OP_IMAGES || op == OP_RANDOM_CROP || op == OP_STITCH || op_picks(op);
}

// Operands come before users, so parents come before the rowsets made from them.
static bool rowsets_find(struct lower *l) {
    uint32_t ids = 0;
    size_t *rows = NEW_N(l->arena, size_t, l->graph->nodes.n);
    for (nid v = 0; v < l->graph->nodes.n; v++)
        if (graph_node(l, v)->type.rowset >= ids) ids = graph_node(l, v)->type.rowset + 1;
    l->rowset_of = NEW_N(l->arena, uint32_t, ids);
    for (nid v = 0; v < l->graph->nodes.n; v++) {
        const struct node *n = graph_node(l, v);
        if (!makes_rowset(n->op)) continue;
        struct plan_rowset r = rowset_make(l, n);
        l->rowset_of[n->type.rowset] = (uint32_t)l->rowsets.n;
        rowset_lates(l, n, (uint32_t)l->rowsets.n);
        VEC_PUSH(l->arena, &l->rowsets, r);
        VEC_PUSH(l->arena, &l->makers, v);
        if (!check_group(l, n, (uint32_t)l->rowsets.n - 1, rows)) return false;
    }
    return true;
}

// How many rows of an ancestor belong to one row of a rowset.
static size_t rows_between(const struct lower *l, uint32_t rowset, uint32_t ancestor) {
    size_t mult = 1;
    for (uint32_t at = rowset; at != ancestor; at = l->rowsets.at[at].parent) {
        CHECK(l->rowsets.at[at].kind != ROWSET_READER);
        if (l->rowsets.at[at].kind == ROWSET_GROUP) mult *= l->rowsets.at[at].factor;
    }
    return mult; // bounded, see check_group
}

size_t mult_of(const struct lower *l, const struct stage_build *s, uint32_t rowset) {
    return rows_between(l, s->rowset, rowset);
}

// ---- slots ---------------------------------------------------------------------------
struct stage_build *stage_new(struct lower *l, uint32_t rowset, const char *name,
                              bool saves, uint32_t target) {
    struct stage_build *s = NEW(l->arena, struct stage_build);
    s->rowset = rowset, s->name = name;
    s->saves = saves, s->target = target;
    VEC_PUSH(l->arena, &l->stages, s);
    return s;
}

static uint32_t slot_add(struct lower *l, struct stage_build *s, struct plan_slot slot,
                         struct type t) {
    slot.row_bytes = type_bytes(&t);
    VEC_PUSH(l->arena, &s->slots, slot);
    VEC_PUSH(l->arena, &s->types, t);
    return (uint32_t)s->slots.n - 1;
}

uint32_t slot_leaf(struct lower *l, struct stage_build *s, enum leaf_kind kind,
                   uint32_t rowset, size_t mult, struct type t) {
    for (uint32_t i = 0; i < s->slots.n; i++) {
        const struct plan_slot *o = &s->slots.at[i];
        if (o->leaf && o->kind == kind && o->rowset == rowset && o->mult == mult &&
            kind != LEAF_COLUMN)
            return i;
    }
    return slot_add(
        l, s,
        (struct plan_slot){.leaf = true, .kind = kind, .rowset = rowset, .mult = mult},
        t);
}

uint32_t slot_view(struct lower *l, struct stage_build *s, uint32_t of, size_t mult,
                   struct type t) {
    return slot_add(l, s, (struct plan_slot){.mult = mult, .view = true, .of = of}, t);
}

static void slot_known(struct lower *l, struct stage_build *s, nid v, enum facet facet,
                       uint32_t slot) {
    VEC_PUSH(l->arena, &s->have, (struct want){v, facet, slot});
}

static struct type facet_type(const struct lower *l, nid v, enum facet facet) {
    static const size_t four[1] = {4}, ways[1] = {TRIAL_VARIANTS};
    struct type t = graph_node(l, v)->type;
    if (facet == FACET_PLACE || facet == FACET_BOX)
        return type_tensor(ELEM_I32, true, 1, four);
    if (facet == FACET_PREDICTED || facet == FACET_RIGHT)
        return type_scalar(ELEM_I32, true);
    if (facet == FACET_VARIANTS) return type_tensor(ELEM_I32, true, 1, ways);
    return type_tensor(t.elem, true, t.rank, t.dim);
}

const char *shown_name(const struct node *n) {
    return n->name ? n->name : op_info(n->op)->name;
}

// What of a value a column holds, where that is not the value itself.
static const char *part_of(const struct node *n, enum facet facet) {
    static const char *const parts[] = {[FACET_PLACE] = "place",
                                        [FACET_BOX] = "box",
                                        [FACET_PREDICTED] = "target",
                                        [FACET_VARIANTS] = "otherwise"};
    bool alone = n->op == OP_CHECK || n->op == OP_CONFUSION;
    if (alone && facet == FACET_PREDICTED) return NULL;
    return facet == FACET_VALUE || facet == FACET_RIGHT ? NULL : parts[facet];
}

// Its stage is made later, when the list of columns is gone through.
uint32_t column_of(struct lower *l, nid v, enum facet facet) {
    for (uint32_t i = 0; i < l->kept.n; i++)
        if (l->kept.at[i].v == v && l->kept.at[i].facet == facet) return i;
    struct type t = facet_type(l, v, facet);
    const struct node *n = graph_node(l, v);
    struct plan_column c = {.name = shown_name(n),
                            .op = op_info(n->op)->name,
                            .part = part_of(n, facet),
                            .span = n->span,
                            .rowset = rowset_at(l, v),
                            .row_bytes = type_bytes(&t)};
    VEC_PUSH(l->arena, &l->columns, c);
    VEC_PUSH(l->arena, &l->kept, (struct kept){.v = v, .facet = facet});
    return (uint32_t)l->columns.n - 1;
}

static uint32_t slot_kept(struct lower *l, struct stage_build *s, nid v,
                          enum facet facet) {
    uint32_t rowset = rowset_at(l, v);
    struct plan_slot slot = {.leaf = true,
                             .kind = LEAF_COLUMN,
                             .rowset = rowset,
                             .mult = mult_of(l, s, rowset),
                             .column = column_of(l, v, facet)};
    return slot_add(l, s, slot, facet_type(l, v, facet));
}

nid value_behind(const struct lower *l, nid v) {
    while (op_picks(graph_node(l, v)->op)) v = graph_node(l, v)->in[0];
    return v;
}

enum facet facet_of(const struct lower *l, nid v, enum facet facet) {
    if (facet != FACET_BOX) return facet;
    const struct node *n = graph_node(l, v);
    bool cut = n->op == OP_CROP || n->op == OP_RANDOM_CROP;
    bool whole = cut && graph_node(l, value_behind(l, n->in[0]))->op == OP_IMAGES;
    return whole ? FACET_PLACE : FACET_BOX;
}

// The images that pixels were cut from, behind stitching and choosing.
static nid behind_stitch(const struct lower *l, nid v) {
    while (graph_node(l, v)->op == OP_STITCH || op_picks(graph_node(l, v)->op))
        v = graph_node(l, v)->in[0];
    return v;
}

bool is_column(const struct lower *l, const struct stage_build *s, nid v,
               enum facet facet) {
    if (facet == FACET_PIXELS) return false;
    if (facet == FACET_PLACE || facet == FACET_PREDICTED || facet == FACET_VARIANTS)
        return true;
    if (facet == FACET_BOX && graph_node(l, behind_stitch(l, v))->op == OP_IMAGES)
        return false; // the whole of each image: the same for all rows
    return rowset_at(l, v) != s->rowset ||
           (op_info(graph_node(l, v)->op)->flags & OPF_COSTLY);
}

uint32_t slot_of(struct lower *l, struct stage_build *s, nid v, enum facet facet) {
    v = value_behind(l, v);
    facet = facet_of(l, v, facet);
    for (size_t i = 0; i < s->have.n; i++)
        if (s->have.at[i].v == v && s->have.at[i].facet == facet)
            return s->have.at[i].slot;
    uint32_t slot = is_column(l, s, v, facet) ? slot_kept(l, s, v, facet)
                                              : lower_compute(l, s, v, facet);
    slot_known(l, s, v, facet, slot);
    return slot;
}

// ---- functions -----------------------------------------------------------------------
static bool is_twin(const struct lower *l, nid v) {
    for (size_t k = 0; k < l->m->ntwins; k++)
        if (l->m->twins[k].in_fp32 == v) return true;
    return false;
}

struct fn *fn_begin(struct lower *l, struct stage_build *s, size_t mult, nid v,
                    const char *part) {
    const struct node *n = graph_node(l, v);
    struct fn *f = NEW(l->arena, struct fn);
    const char *name = shown_name(n);
    f->l = l;
    f->s = s;
    f->mult = mult;
    if (is_twin(l, v)) name = arena_printf(l->arena, "%s.fp32", name);
    if (part) name = arena_printf(l->arena, "%s.%s", name, part);
    builder_init(&f->b, l->arena, name);
    f->b.fold = true;
    f->b.span = n->span;
    return f;
}

nid fn_input(struct fn *f, uint32_t slot) {
    for (size_t i = 0; i < f->in.n; i++)
        if (f->in.at[i] == slot) return f->inputs.at[i];
    size_t mult = f->s->slots.at[slot].mult;
    struct type t = f->s->types.at[slot];
    t.rows = mult >= f->mult;
    if (mult > f->mult) {
        CHECK(mult % f->mult == 0 && t.rank < TYPE_MAX_RANK);
        memmove(t.dim + 1, t.dim, t.rank * sizeof t.dim[0]);
        t.dim[0] = mult / f->mult;
        t.rank++;
    }
    nid n = b_input(&f->b, arena_printf(f->l->arena, "slot%u", slot), t);
    VEC_PUSH(f->l->arena, &f->in, slot);
    VEC_PUSH(f->l->arena, &f->inputs, n);
    return n;
}

static uint32_t fn_output(struct fn *f, nid n) {
    struct type t = *type_at(f->b.f, n);
    t.rows = true;
    struct plan_slot slot = {.mult = f->mult};
    uint32_t s = slot_add(f->l, f->s, slot, t);
    build_output(&f->b, arena_printf(f->l->arena, "slot%u", s), n);
    return s;
}

void fn_finish_all(struct fn *f, const nid *results, size_t n, uint32_t *slots) {
    struct lower *l = f->l;
    uint32_t *out = NEW_N(l->arena, uint32_t, n);
    for (size_t i = 0; i < n; i++) slots[i] = out[i] = fn_output(f, results[i]);
    struct func *func = builder_finish(&f->b);
    VEC_PUSH(l->arena, &l->m->funcs, (struct module_func){.f = func});
    VEC_PUSH(l->arena, &l->funcs, (struct plan_func){.name = func->name});
    struct plan_step step = {.func = (uint32_t)l->funcs.n - 1,
                             .mult = f->mult,
                             .nin = f->in.n,
                             .nout = n,
                             .in = f->in.at,
                             .out = out};
    VEC_PUSH(l->arena, &f->s->steps, step);
}

uint32_t fn_finish(struct fn *f, nid result) {
    uint32_t out;
    for (size_t i = 0; i < f->in.n; i++)
        if (f->inputs.at[i] == result && f->s->slots.at[f->in.at[i]].mult == f->mult)
            return f->in.at[i];
    fn_finish_all(f, &result, 1, &out);
    return out;
}

// ---- what is wanted ------------------------------------------------------------------
void sink_add(struct lower *l, struct stage_build *s, enum sink_role role,
              uint32_t slot) {
    VEC_PUSH(l->arena, &s->sinks, (struct plan_sink){role, slot});
}

// The attribution that placed the crops of v, when it is one of images as they were read:
// these are what the overview shows it on. NID_NONE otherwise.
static nid attribution_of(const struct lower *l, nid v) {
    v = behind_stitch(l, v);
    if (graph_node(l, v)->op != OP_CROP) return NID_NONE;
    v = graph_node(l, v)->in[1];
    while (graph_node(l, graph_node(l, v)->in[0])->type.kind == KIND_MAPS)
        v = graph_node(l, v)->in[0];
    nid of = value_behind(l, graph_node(l, v)->in[1]);
    return graph_node(l, of)->op == OP_IMAGES ? v : NID_NONE;
}

// Whether each row behind a saved one is one image as it was read, wholly or in part: not
// when pixels were cut out of something stitched.
static bool has_boxes(const struct lower *l, nid cut) {
    uint32_t rowset = rowset_at(l, cut), root = rowset;
    while (l->rowsets.at[root].kind != ROWSET_READER) root = l->rowsets.at[root].parent;
    return graph_node(l, cut)->op != OP_IMAGES && rows_between(l, rowset, root) == 1;
}

static void want_images(struct lower *l, const struct node *n, struct stage_build *s,
                        struct plan_save *save) {
    save->images = true;
    sink_add(l, s, SINK_PIXELS, slot_of(l, s, n->in[0], FACET_PIXELS));
    if (n->nin > 1 && n->in[1] != NID_NONE) {
        sink_add(l, s, SINK_LABELS, slot_of(l, s, n->in[1], FACET_VALUE));
        save->labels = graph_node(l, n->in[1])->type.dim[0];
    }
    nid cut = behind_stitch(l, n->in[0]);
    if (has_boxes(l, cut)) sink_add(l, s, SINK_BOXES, slot_of(l, s, cut, FACET_BOX));
    nid map = attribution_of(l, n->in[0]);
    if (map != NID_NONE) {
        sink_add(l, s, SINK_MAPS, slot_of(l, s, map, FACET_VALUE));
        save->map_h = graph_node(l, map)->type.dim[0];
        save->map_w = graph_node(l, map)->type.dim[1];
    }
}

static void want_save(struct lower *l, nid out) {
    const struct node *n = graph_node(l, out);
    const struct type *t = &graph_node(l, n->in[0])->type;
    struct plan_save save = {.to = attr_str(n, "to"),
                             .span = n->span,
                             .rowset = rowset_at(l, n->in[0]),
                             .stage = (uint32_t)l->stages.n,
                             .rank = t->rank};
    memcpy(save.dim, t->dim, t->rank * sizeof t->dim[0]);
    struct stage_build *s = stage_new(l, save.rowset, shown_name(graph_node(l, n->in[0])),
                                      true, (uint32_t)l->saves.n);
    if (t->kind == KIND_IMAGES) want_images(l, n, s, &save);
    else sink_add(l, s, SINK_VALUES, slot_of(l, s, n->in[0], FACET_VALUE));
    late_use(l->m, n, "to", USE_TO, (uint32_t)l->saves.n, 0);
    VEC_PUSH(l->arena, &l->saves, save);
}

static void want_model(struct lower *l, const struct node *n) {
    const struct node *model = graph_node(l, n->in[0]);
    VEC_PUSH(l->arena, &l->model_saves,
             (struct model_save){attr_str(n, "to"), n->span, model->model});
}

static void want_check(struct lower *l, nid out) {
    const struct node *n = graph_node(l, out), *model = graph_node(l, n->in[0]);
    const struct value *per_class = node_attr(n, "per_class");
    const struct value *at_least = node_attr(n, "at_least");
    uint32_t index = (uint32_t)l->trials.n;
    struct plan_trial t = {.model = shown_name(model),
                           .images = shown_name(graph_node(l, n->in[1])),
                           .span = n->span,
                           .model_span = model->span,
                           .rowset = rowset_at(l, n->in[1]),
                           .answers = column_of(l, out, FACET_PREDICTED),
                           .variants = column_of(l, out, FACET_VARIANTS),
                           .classes = model->model->classes};
    if (per_class->kind != VAL_NONE) t.per_class = (size_t)per_class->i;
    if (at_least->kind != VAL_NONE) t.at_least = at_least->f;
    late_use(l->m, n, "per_class", USE_PER_CLASS, index, 0);
    late_use(l->m, n, "at_least", USE_AT_LEAST, index, 0);
    VEC_PUSH(l->arena, &l->trials, t);
}

static void want_out(struct lower *l, nid out) {
    const struct node *n = graph_node(l, out);
    switch (n->op) {
    case OP_SAVE:
        if (graph_node(l, n->in[0])->type.kind == KIND_MODEL) want_model(l, n);
        else want_save(l, out);
        return;
    case OP_CHECK: want_check(l, out); return;
    case OP_REPORT: want_table(l, out); return;
    case OP_TRAIN: want_train(l, out); return;
    default: BUG("%s is no output", op_info(n->op)->name);
    }
}

// A value that topk picked is a column of the rows it was picked from.
static void want_column(struct lower *l, uint32_t column) {
    struct kept k = l->kept.at[column];
    uint32_t rowset = l->columns.at[column].rowset;
    l->columns.at[column].stage = (uint32_t)l->stages.n;
    const char *name = l->columns.at[column].name, *part = l->columns.at[column].part;
    if (part) name = arena_printf(l->arena, "%s.%s", name, part);
    struct stage_build *s = stage_new(l, rowset, name, false, column);
    bool picked = value_behind(l, k.v) != k.v;
    sink_add(l, s, SINK_COLUMN,
             picked ? slot_of(l, s, k.v, k.facet) : lower_compute(l, s, k.v, k.facet));
}

// The column of a twin, shown as such.
static uint32_t twin_column(struct lower *l, nid v, enum facet facet, const char *part) {
    size_t before = l->columns.n;
    uint32_t column = column_of(l, v, facet);
    if (l->columns.n > before) l->columns.at[column].part = part;
    return column;
}

static enum agree_kind agree_kind_of(const struct node *n) {
    switch (n->type.kind) {
    case KIND_MAPS: return AGREE_MAPS;
    case KIND_SCORES: return AGREE_SCORES;
    case KIND_LABELS: return AGREE_LABELS;
    default: BUG("nothing compares values of %s", op_info(n->op)->name);
    }
}

// A twin explains the class that its own network answers: what is kept of it is what a
// run in fp32 keeps. The run leaves out the rows where the answers differ.
static void want_twin(struct lower *l, uint32_t column, nid twin) {
    struct plan_agreement g = {.column = column,
                               .kind = agree_kind_of(graph_node(l, twin)),
                               .answers = UINT32_MAX,
                               .twin_answers = UINT32_MAX};
    g.twin = twin_column(l, twin, FACET_VALUE, "fp32");
    int target = op_attr(graph_node(l, twin)->op, "target", 6);
    if (target >= 0 && !strcmp(graph_node(l, twin)->attrs[target].s, "predicted")) {
        g.answers = column_of(l, l->kept.at[column].v, FACET_PREDICTED);
        g.twin_answers = twin_column(l, twin, FACET_PREDICTED, "target.fp32");
    }
    VEC_PUSH(l->arena, &l->agreements, g);
}

static void want_twins(struct lower *l) {
    size_t columns = l->columns.n;
    if (l->failed) return; // a twin would be wrong in the same words
    for (uint32_t i = 0; i < columns; i++)
        for (size_t k = 0; k < l->m->ntwins; k++)
            if (l->kept.at[i].v == l->m->twins[k].v && l->kept.at[i].facet == FACET_VALUE)
                want_twin(l, i, l->m->twins[k].in_fp32);
}

static void want_choice(struct lower *l, uint32_t rowset) {
    if (!rowset_is_chosen(&l->rowsets.at[rowset])) return;
    nid by = graph_node(l, l->makers.at[rowset])->in[1];
    l->rowsets.at[rowset].column = column_of(l, by, FACET_VALUE);
}

static struct plan_stage stage_finish(const struct stage_build *s) {
    return (struct plan_stage){.name = s->name,
                               .rowset = s->rowset,
                               .saves = s->saves,
                               .target = s->target,
                               .nslots = s->slots.n,
                               .nsteps = s->steps.n,
                               .nsinks = s->sinks.n,
                               .slots = s->slots.at,
                               .steps = s->steps.at,
                               .sinks = s->sinks.at};
}

static void plan_finish(struct lower *l) {
    struct plan *p = l->m->plan;
    p->funcs = l->funcs.at, p->nfuncs = l->funcs.n;
    p->rowsets = l->rowsets.at, p->nrowsets = l->rowsets.n;
    p->columns = l->columns.at, p->ncolumns = l->columns.n;
    p->trials = l->trials.at, p->ntrials = l->trials.n;
    p->agreements = l->agreements.at, p->nagreements = l->agreements.n;
    p->saves = l->saves.at, p->nsaves = l->saves.n;
    p->trains = l->trains.at, p->ntrains = l->trains.n;
    p->measures = l->measures.at, p->nmeasures = l->measures.n;
    p->tables = l->tables.at, p->ntables = l->tables.n;
    p->stages = NEW_N(l->arena, struct plan_stage, l->stages.n), p->nstages = l->stages.n;
    for (uint32_t i = 0; i < l->stages.n; i++)
        p->stages[i] = stage_finish(l->stages.at[i]);
}

// Needs a checked pipeline graph whose outputs are saves, checks and reports, or
// trainings of models that are known (cli/acts.h); makes module->funcs and plan.
bool pass_lower(struct module *m, struct diags *d) {
    struct lower l = {.m = m, .arena = m->arena, .d = d, .graph = m->graph};
    m->plan = NEW(m->arena, struct plan);
    if (!check_depth(&l) || !rowsets_find(&l)) return false;
    for (size_t i = 0; i < m->graph->outs.n; i++) want_out(&l, m->graph->outs.at[i]);
    for (uint32_t r = 0; r < l.rowsets.n; r++) want_choice(&l, r);
    uint32_t column = 0;
    for (; column < l.columns.n; column++) want_column(&l, column); // may add more
    want_twins(&l);
    for (; column < l.columns.n; column++) want_column(&l, column);
    if (l.failed) return false;
    plan_finish(&l);
    m->kept = l.kept.at;
    m->trains = l.train_nodes.at;
    m->model_saves = l.model_saves.at, m->nmodel_saves = l.model_saves.n;
    return true;
}
