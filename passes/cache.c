// Cache points: which columns are worth remembering, and under which keys.
//
// Worth it is what runs a model (bytes against thousands of passes), and where crops lie:
// sixteen bytes that stand for the map they were found on. Pooling, noise and pixels cost
// less to make again than to look up.
//
// A value's record says what is computed: every op between the column and the leaves of
// its stage, with its version and all of its attributes, the model's content, and how the
// target rounds. Its keys say what of, and are read off the leaves of the stage, so that
// neither can forget what the code really uses. Two cuts are made:
//   - pixels are known by the image's content and the boxes that were cut, not by how
//     these were found: another sigma that finds the same window finds the same norm;
//   - a map is known by how it was computed, not by its numbers: where a crop lies can be
//     looked up without reading the map.
//
// A path never enters: files count by their content. How kernels are computed enters
// where it is not what costs least (passes/tuning.h).
#include "passes/late.h"
#include "passes/lower.h"
#include "passes/tuning.h"
#include "runtime/trial.h"

#include <errno.h>

struct late_field { // the value of a field that can change after compiling
    uint32_t field;
    const struct node *n;
    const char *attr;
};

struct cache {
    struct module *m;
    struct diags *d;
    bool failed;
    VEC(struct store_field) fields; // of the column at hand
    VEC(struct late_field) lates;
    VEC(struct plan_key) keys;
    bool bf16;           // a network of the column at hand may be computed in bf16
    bool used[OP_COUNT]; // tensor ops in the code of the column at hand
    VEC(uint32_t) funcs; // of the code of the column at hand, in order
};

static const struct node *graph_node(const struct cache *c, nid v) {
    return node_at(c->m->graph, v);
}

// ---- fields --------------------------------------------------------------------------
static void field(struct cache *c, const char *prefix, const char *name,
                  const char *value, const char *label) {
    struct arena *a = c->m->arena;
    if (*prefix) name = arena_printf(a, "%s.%s", prefix, name);
    VEC_PUSH(a, &c->fields, (struct store_field){name, value, label});
}

static const char *digest_text(struct cache *c, struct digest d) {
    char hex[DIGEST_HEX];
    digest_hex(d, hex);
    return arena_strdup(c->m->arena, hex);
}

static const char *floats_text(struct arena *a, const double *v, size_t n) {
    struct value list = val_floats(v, n);
    return value_text(a, &list);
}

static const char *content_text(struct cache *c, const struct node *n, const char *path) {
    size_t bytes;
    const char *data = file_read(c->m->arena, path, (size_t)1 << 30, &bytes);
    if (data) return digest_text(c, digest_of(data, bytes));
    diag_error(c->d, n->span, "cannot read %s: %s", path, strerror(errno));
    c->failed = true;
    return "";
}

static void op_fields(struct cache *c, const char *prefix, const struct node *n) {
    const struct op_info *info = op_info(n->op);
    field(c, prefix, "op", info->name, NULL);
    field(c, prefix, "version", arena_printf(c->m->arena, "%d", info->version), NULL);
}

static void attr_fields(struct cache *c, const char *prefix, const struct node *n) {
    const struct op_info *info = op_info(n->op);
    for (size_t i = 0; i < op_attr_count(n->op); i++) {
        const struct value *v = &n->attrs[i];
        bool file = info->attrs[i].path && v->kind == VAL_STRING;
        if (info->attrs[i].late) {
            uint32_t at = (uint32_t)c->fields.n;
            VEC_PUSH(c->m->arena, &c->lates,
                     (struct late_field){at, n, info->attrs[i].name});
        }
        field(c, prefix, info->attrs[i].name,
              file ? content_text(c, n, v->s) : value_text(c->m->arena, v),
              file ? v->s : NULL);
    }
}

// x: the images that it runs on.
static void model_fields(struct cache *c, const char *prefix, const struct model *m,
                         const struct type *x) {
    struct arena *a = c->m->arena;
    size_t h = x->dim[1], w = x->dim[2];
    c->bf16 = c->bf16 || (m->bf16 && c->m->target->bf16);
    field(c, prefix, "digest", digest_text(c, m->digest), m->path);
    field(c, prefix, "mean", floats_text(a, m->mean, m->channels), NULL);
    field(c, prefix, "std", floats_text(a, m->std, m->channels), NULL);
    field(c, prefix, "graph", digest_text(c, m->graph), NULL);
    if (h != m->height || w != m->width)
        field(c, prefix, "resized", digest_text(c, m->digest_at(m, a, h, w)), NULL);
    for (size_t i = 0; i < m->nweights; i++)
        field(c, prefix, arena_printf(a, "weights.%zu", i),
              digest_text(c, m->weights[i].digest), m->weights[i].name);
}

// A library solves for the Shapley values, and its last bits are its own. A layer is
// found by the names in a file, which are no part of what the network is known by.
static void more_field(struct cache *c, const char *prefix, nid v) {
    enum op op = graph_node(c, v)->op;
    if (op != OP_SHAP_PATCHES && op != OP_GRADCAM) return;
    for (size_t i = 0; i < c->m->plan->ncolumns; i++)
        if (c->m->kept[i].v == v && c->m->kept[i].facet == FACET_VALUE)
            field(c, prefix, op == OP_GRADCAM ? "maps" : "solve",
                  digest_text(c, c->m->kept[i].more), NULL);
}

// ---- from a value down to what it is known by ----------------------------------------
static const char *below(struct cache *c, const char *prefix, const char *name) {
    return *prefix ? arena_printf(c->m->arena, "%s.%s", prefix, name) : name;
}

static nid behind_topk(const struct cache *c, nid v) {
    while (op_picks(graph_node(c, v)->op)) v = graph_node(c, v)->in[0];
    return v;
}

// Pixels cut out of others are known by the size they were given: their box is in the
// key.
static void pixel_fields(struct cache *c, const char *prefix, nid v) {
    const struct node *n = graph_node(c, v = behind_topk(c, v));
    const size_t *dim = n->type.dim;
    if (n->op == OP_IMAGES) {
        op_fields(c, prefix, n);
        return;
    }
    if (n->op == OP_STITCH) {
        op_fields(c, prefix, n);
        field(c, prefix, "factor", value_text(c->m->arena, node_attr(n, "factor")), NULL);
    } else {
        field(c, prefix, "op", "cut", NULL);
        field(c, prefix, "version",
              arena_printf(c->m->arena, "%d", op_info(OP_RESIZE)->version), NULL);
    }
    field(c, prefix, "size", arena_printf(c->m->arena, "%zu x %zu", dim[1], dim[2]),
          NULL);
    pixel_fields(c, below(c, prefix, "x"), n->in[0]);
}

// The op, its attributes, and what its operands are known by.
static void value_fields(struct cache *c, const char *prefix, nid v) {
    const struct node *n = graph_node(c, v = behind_topk(c, v));
    const struct op_info *info = op_info(n->op);
    op_fields(c, prefix, n);
    attr_fields(c, prefix, n);
    more_field(c, prefix, v);
    for (uint32_t i = 0; i < n->nin; i++) {
        if (n->in[i] == NID_NONE) continue;
        const struct node *in = graph_node(c, n->in[i]);
        const char *name = below(c, prefix, info->operands[i].name);
        if (in->type.kind == KIND_MODEL)
            model_fields(c, "model", in->model, &graph_node(c, n->in[1])->type);
        else if (in->type.kind == KIND_IMAGES) pixel_fields(c, name, n->in[i]);
        else value_fields(c, name, n->in[i]);
    }
}

// Where a crop lies depends on its operand's shape alone, and on the map.
static void place_fields(struct cache *c, nid v) {
    const struct node *n = graph_node(c, v);
    const size_t *dim = graph_node(c, n->in[0])->type.dim;
    op_fields(c, "", n);
    field(c, "", "size", value_text(c->m->arena, node_attr(n, "size")), NULL);
    field(c, "x", "size", arena_printf(c->m->arena, "%zu x %zu", dim[1], dim[2]), NULL);
    value_fields(c, "at", n->in[1]);
}

static void predicted_fields(struct cache *c, nid v) {
    const struct node *n = graph_node(c, v);
    field(c, "", "op", "predicted", NULL);
    field(c, "", "version", arena_printf(c->m->arena, "%d", op_info(n->op)->version),
          NULL);
    model_fields(c, "model", graph_node(c, n->in[0])->model,
                 &graph_node(c, n->in[1])->type);
    pixel_fields(c, "x", n->in[1]);
}

// Which ways are tried is in the version too, but for what somebody forgets.
static void variants_fields(struct cache *c, nid v) {
    const struct node *n = graph_node(c, v);
    struct digest ways = {0};
    for (size_t i = 0; i < TRIAL_VARIANTS; i++) {
        struct trial_way w = trial_way(i);
        struct digest one = digest_of(&w.reversed, sizeof w.reversed);
        if (w.norm) one = digest_join(one, digest_of(w.norm->mean, sizeof w.norm->mean));
        if (w.norm) one = digest_join(one, digest_of(w.norm->std, sizeof w.norm->std));
        ways = digest_join(ways, one);
    }
    op_fields(c, "", n);
    field(c, "", "ways", digest_text(c, ways), NULL);
    model_fields(c, "model", graph_node(c, n->in[0])->model,
                 &graph_node(c, n->in[1])->type);
    pixel_fields(c, "x", n->in[1]);
}

static void numerics_field(struct cache *c) {
    const char *numerics = c->m->target->numerics;
    if (c->bf16) numerics = arena_printf(c->m->arena, "%s bf16", numerics);
    field(c, "", "numerics", numerics, NULL);
}

static void column_fields(struct cache *c, struct kept k) {
    if (k.facet == FACET_PLACE) place_fields(c, k.v);
    else if (k.facet == FACET_PREDICTED) predicted_fields(c, k.v);
    else if (k.facet == FACET_VARIANTS) variants_fields(c, k.v);
    else value_fields(c, "", k.v);
    numerics_field(c);
}

// ---- trainings -----------------------------------------------------------------------
// Which epochs are kept changes no weight.
static void train_attrs(struct cache *c, const struct node *n) {
    for (size_t i = 0; i < op_attr_count(n->op); i++) {
        const char *name = op_info(n->op)->attrs[i].name;
        if (strcmp(name, "keep") != 0)
            field(c, "", name, value_text(c->m->arena, &n->attrs[i]), NULL);
    }
}

static void label_fields(struct cache *c, const struct node *n, const struct type *x) {
    nid labels = train_labels(n);
    const struct node *ask = labels == NID_NONE ? NULL : graph_node(c, labels);
    if (!ask) field(c, "labels", "op", "class", NULL);
    else if (ask->type.kind == KIND_LABELS) value_fields(c, "labels", labels);
    else {
        op_fields(c, "labels", ask);
        attr_fields(c, "labels", ask);
        model_fields(c, "labels.model", graph_node(c, ask->in[0])->model, x);
    }
}

static void augment_fields(struct cache *c, const struct node *n) {
    for (uint32_t i = 3; i < n->nin; i++) {
        if (n->in[i] == NID_NONE) continue;
        const char *prefix = arena_printf(c->m->arena, "augment.%u", i - 3);
        op_fields(c, prefix, graph_node(c, n->in[i]));
        attr_fields(c, prefix, graph_node(c, n->in[i]));
    }
}

// A network is known by its arithmetic as it answers; which of that normalises batches
// while it is trained is said here.
static void norm_fields(struct cache *c, const struct func *net) {
    struct text t = {.arena = c->m->arena};
    for (nid v = 0; v < net->nodes.n; v++) {
        const struct node *n = node_at(net, v);
        if (n->op != OP_BATCH_NORM) continue;
        text_add(&t, "%s%s %s", t.n ? ", " : "",
                 value_text(c->m->arena, node_attr(n, "epsilon")),
                 value_text(c->m->arena, node_attr(n, "momentum")));
    }
    field(c, "model", "batch_norms", t.n ? t.at : "", NULL);
}

static bool is_trained(const struct node *n) {
    return n->op == OP_PARAM || n->op == OP_BATCH_NORM;
}

static size_t count_trained(const struct func *net) {
    size_t n = 0;
    for (nid v = 0; v < net->nodes.n; v++) n += is_trained(node_at(net, v));
    return n;
}

// What is kept lies in the order of the nodes. Where that is not the order of a walk,
// which a network's digest implies, it is said too.
static void order_field(struct cache *c, const struct func *net) {
    struct arena *a = c->m->arena;
    struct text t = {.arena = a};
    nid *walked = NEW_N(a, nid, net->nodes.n);
    size_t n = func_walk(net, a, walked), count = 0;
    for (size_t i = 0; i < n; i++)
        if (is_trained(node_at(net, walked[i]))) walked[count++] = walked[i];
    bool apart = count != count_trained(net);
    for (size_t i = 0; i < count; i++) {
        apart = apart || (i > 0 && walked[i] < walked[i - 1]);
        text_add(&t, "%u ", walked[i]);
    }
    if (apart) field(c, "model", "order", digest_text(c, digest_of(t.at, t.n)), NULL);
}

static void train_fields(struct cache *c, const struct node *n) {
    const struct type *x = &graph_node(c, n->in[1])->type;
    const struct model *m = graph_node(c, n->in[0])->model;
    op_fields(c, "", n);
    train_attrs(c, n);
    model_fields(c, "model", m, x);
    c->bf16 = false; // of what the network is to answer with: it is trained in f32
    norm_fields(c, m->func);
    order_field(c, m->func);
    pixel_fields(c, "data", n->in[1]);
    label_fields(c, n, x);
    augment_fields(c, n);
    numerics_field(c);
}

// ---- keys ----------------------------------------------------------------------------
static void key_add(struct cache *c, enum key_kind kind, uint32_t rowset,
                    uint32_t column) {
    for (size_t i = 0; i < c->keys.n; i++) {
        const struct plan_key *k = &c->keys.at[i];
        if (k->kind == kind && k->rowset == rowset && k->column == column) return;
    }
    VEC_PUSH(c->m->arena, &c->keys, (struct plan_key){kind, rowset, column});
}

static bool is_remembered(const struct cache *c, uint32_t column) {
    struct kept k = c->m->kept[column];
    const struct node *n = graph_node(c, k.v);
    if (k.facet == FACET_PLACE) return n->op == OP_CROP;
    return k.facet == FACET_PREDICTED || k.facet == FACET_VARIANTS ||
           k.facet == FACET_RIGHT ||
           (k.facet == FACET_VALUE && (op_info(n->op)->flags & OPF_COSTLY));
}

static void stage_keys(struct cache *c, const struct plan_stage *s);

static const struct plan_stage *stage_of(const struct cache *c, uint32_t column) {
    return &c->m->plan->stages[c->m->plan->columns[column].stage];
}

// In the order of the stage's leaves, which follows from what is computed alone.
// A column is known by its bytes, unless the record says how it was computed.
static void column_key(struct cache *c, uint32_t column) {
    if (is_remembered(c, column) && c->m->kept[column].facet != FACET_PLACE)
        stage_keys(c, stage_of(c, column));
    else key_add(c, KEY_COLUMN, c->m->plan->columns[column].rowset, column);
}

static void note_func(struct cache *c, uint32_t func) {
    VEC_PUSH(c->m->arena, &c->funcs, func);
    const struct func *f = c->m->funcs.at[func].f;
    for (nid v = 0; v < f->nodes.n; v++) c->used[node_at(f, v)->op] = true;
}

static void stage_keys(struct cache *c, const struct plan_stage *s) {
    for (size_t i = 0; i < s->nsteps; i++) note_func(c, s->steps[i].func);
    for (size_t i = 0; i < s->nslots; i++) {
        const struct plan_slot *slot = &s->slots[i];
        if (!slot->leaf) continue;
        switch (slot->kind) {
        case LEAF_PIXELS:
        case LEAF_KEY: key_add(c, KEY_ROW, slot->rowset, 0); break;
        case LEAF_CLASS: key_add(c, KEY_CLASS, slot->rowset, 0); break;
        case LEAF_NTH: key_add(c, KEY_NTH, slot->rowset, 0); break;
        case LEAF_COLUMN: column_key(c, slot->column); break;
        case LEAF_SUBROW: break; // the same for every row
        }
    }
}

// Tensor ops count once their meaning has changed, so that code made of other ops to the
// same effect keeps its keys.
static void op_versions(struct cache *c) {
    for (enum op op = 0; op < OP_COUNT; op++)
        if (c->used[op] && op_info(op)->version > 1)
            field(c, "tensor", op_info(op)->name,
                  arena_printf(c->m->arena, "%d", op_info(op)->version), NULL);
}

// ---- the pass ------------------------------------------------------------------------
// What the last value was made of stays where it is.
static void start(struct cache *c) {
    memset(&c->fields, 0, sizeof c->fields);
    memset(&c->lates, 0, sizeof c->lates);
    memset(&c->keys, 0, sizeof c->keys);
    memset(&c->funcs, 0, sizeof c->funcs);
    memset(c->used, 0, sizeof c->used);
    c->bf16 = false;
}

static const struct plan_memo *finish(struct cache *c, struct store_record r) {
    struct plan_memo *memo = NEW(c->m->arena, struct plan_memo);
    r.nfields = c->fields.n, r.fields = c->fields.at;
    r.key = store_record_key(&r);
    *memo = (struct plan_memo){.record = r, .nkeys = c->keys.n, .keys = c->keys.at};
    return memo;
}

static struct store_record record_of(const struct cache *c, struct kept k,
                                     const struct plan_column *out) {
    const struct type *t = &graph_node(c, k.v)->type;
    bool value = k.facet == FACET_VALUE;
    struct store_record r = {.op = k.facet == FACET_PREDICTED ? "predicted" : out->op,
                             .name = out->name,
                             .elem = elem_name(value ? t->elem : ELEM_I32)};
    r.rank = value ? t->rank : k.facet == FACET_PLACE || k.facet == FACET_VARIANTS;
    if (value) memcpy(r.dim, t->dim, t->rank * sizeof t->dim[0]);
    else r.dim[0] = k.facet == FACET_VARIANTS ? TRIAL_VARIANTS : 4;
    return r;
}

static void remember(struct cache *c, uint32_t column) {
    struct plan_column *out = &c->m->plan->columns[column];
    struct kept k = c->m->kept[column];
    start(c);
    column_fields(c, k);
    stage_keys(c, stage_of(c, column));
    op_versions(c);
    out->memo = finish(c, record_of(c, k, out));
    for (size_t i = 0; i < c->lates.n; i++) {
        const struct late_field *l = &c->lates.at[i];
        late_use(c->m, l->n, l->attr, USE_RECORD, column, l->field);
    }
}

// Its keys are those of a row; what is learnt of is all rows. When it is computed nothing
// of it can be set any more, so what is late is not listed.
static void remember_train(struct cache *c, uint32_t which) {
    struct plan_train *t = &c->m->plan->trains[which];
    start(c);
    train_fields(c, graph_node(c, c->m->trains[which]));
    stage_keys(c, &c->m->plan->stages[t->stage]);
    if (train_labels(graph_node(c, c->m->trains[which])) == NID_NONE)
        key_add(c, KEY_CLASS, t->rowset, 0);
    note_func(c, t->step);
    note_func(c, t->update);
    if (t->ask != UINT32_MAX) note_func(c, t->ask);
    op_versions(c);
    t->memo = finish(c, (struct store_record){.op = op_info(OP_TRAIN)->name,
                                              .name = t->name,
                                              .elem = elem_name(ELEM_F32),
                                              .rank = 1,
                                              .dim = {t->param_floats + t->stat_floats}});
}

struct code { // of one column
    const uint32_t *funcs;
    size_t n;
};

// Only when all records are there: finding the algorithms of a function changes which ops
// it is made of.
static bool tuned(struct cache *c, const struct code *code) {
    for (uint32_t i = 0; i < c->m->plan->ncolumns; i++)
        if (code[i].n && !tuned_record(c->m, i, code[i].funcs, code[i].n, c->d))
            return false;
    return true;
}

// Needs the plan as lower made it; fills the memo of the columns worth one, and of
// trainings.
bool pass_cache(struct module *m, struct diags *d) {
    struct cache c = {.m = m, .d = d};
    struct code *code = NEW_N(m->arena, struct code, m->plan->ncolumns + 1);
    for (uint32_t i = 0; i < m->plan->ncolumns; i++)
        if (is_remembered(&c, i)) {
            remember(&c, i);
            code[i] = (struct code){c.funcs.at, c.funcs.n};
        }
    for (uint32_t i = 0; i < m->plan->ntrains; i++) remember_train(&c, i);
    return !c.failed && (!m->tuning || tuned(&c, code));
}
