// Training: what its type rules cannot see, because it is about other nodes: stages that
// are kept, augmentations that fit the images. And reports: tables out of lists of lists.
#include "frontend/check_call.h"
#include "runtime/formula.h"

static const struct node *graph_node(const struct op_call *o, nid n) {
    return node_at(o->c->b.f, n);
}

// ---- stages that are kept -----------------------------------------------------------
static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Each once, and in order, whatever order the program has.
static void sort_keep(struct op_call *o, struct value *keep) {
    int64_t *epochs = arena_dup(o->c->arena, keep->is, keep->n, sizeof *epochs);
    size_t n = 0;
    if (keep->n) qsort(epochs, keep->n, sizeof *epochs, by_number);
    for (size_t i = 0; i < keep->n; i++)
        if (n == 0 || epochs[n - 1] != epochs[i]) epochs[n++] = epochs[i];
    keep->is = epochs;
    keep->n = n;
}

static bool check_keep(struct op_call *o) {
    struct value *keep = call_attr(o, "keep");
    const struct expr *e = call_attr_expr(o, "keep");
    int64_t epochs = call_attr(o, "epochs")->i;
    sort_keep(o, keep);
    if (keep->n == 0 || keep->is[keep->n - 1] <= epochs) return true;
    return check_report(o->c, o->f, e ? e->span : o->call->name_span, e, NULL,
                        "`keep` names epoch %lld; this training has %lld epoch%s",
                        (long long)keep->is[keep->n - 1], (long long)epochs,
                        epochs == 1 ? "" : "s");
}

// ---- augmentations ------------------------------------------------------------------
static bool mixes(enum op op) {
    return op == OP_CUTMIX || op == OP_MIXUP;
}

// The attribute that must be at most so much for images of a side; NULL: none.
static const char *sized_by(enum op op, size_t side, int64_t *most) {
    *most = (int64_t)side - (op == OP_PADDED_CROP);
    switch (op) {
    case OP_PADDED_CROP: return "pad";
    case OP_CUTOUT: return "size";
    case OP_PATCH_SHUFFLE: return "factor";
    default: return NULL;
    }
}

static bool check_fits(struct op_call *o, size_t i, const struct type *images) {
    const struct node *n = graph_node(o, o->in.at[i]);
    size_t side = size_min(images->dim[1], images->dim[2]);
    int64_t most;
    const char *attr = sized_by(n->op, side, &most);
    if (!attr || attr_int(n, attr) <= most) return true;
    return check_report(o->c, o->f, o->from.at[i]->span, o->from.at[i], NULL,
                        "`%s` of `%s` must be at most %lld for images of %zu x %zu; this "
                        "is %lld",
                        attr, op_info(n->op)->name, (long long)most, images->dim[1],
                        images->dim[2], (long long)attr_int(n, attr));
}

static bool check_mixing(struct op_call *o, size_t i) {
    const char *name = op_info(graph_node(o, o->in.at[i])->op)->name;
    if (i + 1 == o->in.n) return true;
    bool two = mixes(graph_node(o, o->in.at[o->in.n - 1])->op);
    return check_report(o->c, o->f, o->from.at[i]->span, o->from.at[i],
                        two ? NULL : "put it last in the list",
                        two ? "`%s` mixes the images of a batch; only one such "
                              "augmentation can be given, the last"
                            : "`%s` mixes the images of a batch, after all that is done "
                              "to each of them",
                        name);
}

enum { TRAIN_DATA = 1, TRAIN_AUGMENT = 3 };

bool check_train(struct op_call *o) {
    const struct type *images = type_at(o->c->b.f, o->in.at[TRAIN_DATA]);
    bool ok = check_keep(o);
    for (size_t i = TRAIN_AUGMENT; i < o->in.n && o->in.at[i] != NID_NONE; i++) {
        ok = check_fits(o, i, images) && ok;
        if (mixes(graph_node(o, o->in.at[i])->op)) ok = check_mixing(o, i) && ok;
    }
    return ok;
}

// ---- stages that are named ----------------------------------------------------------
static const char *called(const struct op_call *o) {
    const struct expr *e = o->from.at[0];
    return e && e->kind == EXPR_NAME ? arena_printf(o->c->arena, "`%s`", e->name.text)
                                     : "this model";
}

static bool no_training(struct op_call *o, const struct node *model) {
    const struct expr *e = o->from.at[0];
    bool stage = model->op == OP_STAGE;
    return check_report(
        o->c, o->f, e->span, e,
        stage ? "write `@` after the training itself"
              : "only what `train` gives has stages: those that its `keep` names",
        stage ? "%s is a stage already"
              : "%s is not trained in this program, so it has "
                "no stages",
        called(o));
}

// "1, 5 and 20"
static const char *stages_text(struct arena *a, const int64_t *keep, size_t n,
                               int64_t last) {
    struct text t = {.arena = a};
    if (n && keep[n - 1] == last) n--;
    for (size_t i = 0; i < n; i++)
        text_add(&t, "%s%lld", i ? ", " : "", (long long)keep[i]);
    text_add(&t, "%s%lld", n ? " and " : "", (long long)last);
    return t.at;
}

static bool no_such_stage(struct op_call *o, const struct node *train, int64_t epoch) {
    const struct expr *e = call_attr_expr(o, "epoch");
    int64_t epochs = attr_int(train, "epochs");
    size_t n;
    const int64_t *keep = attr_ints(train, "keep", &n);
    if (epoch > epochs)
        return check_report(o->c, o->f, e->span, e, NULL,
                            "%s is trained for %lld epoch%s; there is no epoch %lld",
                            called(o), (long long)epochs, epochs == 1 ? "" : "s",
                            (long long)epoch);
    const char *stages = stages_text(o->c->arena, keep, n, epochs);
    return check_report(o->c, o->f, e->span, e,
                        arena_printf(o->c->arena,
                                     "name it in `keep` of its `train`, which keeps %s",
                                     stages),
                        "%s has no stage of epoch %lld", called(o), (long long)epoch);
}

bool check_stage(struct op_call *o, nid *same) {
    const struct node *train = graph_node(o, o->in.at[0]);
    int64_t epoch = call_attr(o, "epoch")->i;
    size_t n, i = 0;
    if (train->op != OP_TRAIN) return no_training(o, train);
    const int64_t *keep = attr_ints(train, "keep", &n);
    while (i < n && keep[i] != epoch) i++;
    if (epoch == attr_int(train, "epochs")) *same = o->in.at[0];
    else if (i == n) return no_such_stage(o, train, epoch);
    return true;
}

// ---- reports ------------------------------------------------------------------------
struct table {
    struct op_call *o;
    size_t nrows, ncolumns; // ncolumns 0: a list of numbers, not of rows
    VEC(struct item) cells;
    struct text rows, columns;
    const struct formula *of; // see struct list
};

// One line of the names of rows or columns.
static void add_name(struct text *t, const char *name) {
    size_t start = t->n;
    text_add(t, "%s%s", t->n ? "\n" : "", name);
    for (size_t i = start + (start > 0); i < t->n; i++)
        if ((unsigned char)t->at[i] < ' ') t->at[i] = ' ';
}

static struct value name_value(struct table *t, const struct text *names) {
    struct value v = val_string(names->n ? names->at : "");
    return t->of ? value_opaque(t->o->c->arena, v, t->of) : v;
}

static size_t report_slot(const struct op_call *o, const char *attr) {
    return o->nin + (size_t)op_attr(OP_REPORT, attr, strlen(attr));
}

static bool no_names(struct table *t, const char *attr, const struct expr *e,
                     const struct result *r) {
    struct op_call *o = t->o;
    return check_report(o->c, o->f, e->span, e, NULL,
                        "`%s` of `report` is a list of strings; %s", attr,
                        check_came(o->c, e, r));
}

// Names that the program gives, as a list of strings; n of them are needed.
static bool given_names(struct table *t, const char *attr, size_t n, struct text *out) {
    struct op_call *o = t->o;
    const struct expr *e = call_attr_expr(o, attr);
    const struct result *r = &o->args[report_slot(o, attr)];
    if (r->kind == RESULT_POISON) return false;
    if (r->kind != RESULT_LIST) return no_names(t, attr, e, r);
    for (size_t i = 0; i < r->list->n; i++) {
        const struct item *item = &r->list->at[i];
        if (item->r.kind != RESULT_VALUE || item->r.value.kind != VAL_STRING)
            return no_names(t, attr, item->e ? item->e : e, &item->r);
        add_name(out, item->r.value.s);
    }
    size_t given = r->list->n;
    return given == n ||
           check_report(o->c, o->f, e->span, e,
                        n ? NULL : "columns are those of rows that are lists: [[a, b]]",
                        "`%s` has %zu name%s; the table has %zu %.*s", attr, given,
                        given == 1 ? "" : "s", n, (int)strlen(attr) - (n == 1), attr);
}

static bool set_names(struct table *t, const char *attr, size_t n, struct text *names) {
    struct text given = {.arena = t->o->c->arena};
    bool own = call_attr_expr(t->o, attr);
    if (own && !given_names(t, attr, n, &given)) return false;
    t->o->args[report_slot(t->o, attr)] = (struct result){
        .kind = RESULT_VALUE, .value = name_value(t, own ? &given : names)};
    return true;
}

static bool add_row(struct table *t, const struct expr *whole, const struct item *row,
                    bool first) {
    struct op_call *o = t->o;
    const struct expr *e = row->e ? row->e : whole;
    struct list cells;
    if (!check_is_list(&row->r))
        return check_report(o->c, o->f, e->span, e, NULL,
                            "the rows of a table are lists; %s",
                            check_came(o->c, e, &row->r));
    if (!check_items(o->c, e->span, &row->r, &cells)) return false;
    if (first) t->ncolumns = cells.n;
    if (cells.n == 0)
        return check_report(o->c, o->f, e->span, e, NULL,
                            "row `%s` of the table is empty", row->label);
    if (cells.n != t->ncolumns)
        return check_report(o->c, o->f, e->span, e, NULL,
                            "row `%s` has %zu number%s, those before it %zu", row->label,
                            cells.n, cells.n == 1 ? "" : "s", t->ncolumns);
    for (size_t i = 0; i < cells.n; i++) VEC_PUSH(o->c->arena, &t->cells, cells.at[i]);
    return true;
}

// A column has a name where all rows call it the same, else a number.
static void name_columns(struct table *t) {
    for (size_t k = 0; k < t->ncolumns; k++) {
        const char *name = t->cells.at[k].label;
        for (size_t i = 1; i < t->nrows; i++)
            if (strcmp(t->cells.at[i * t->ncolumns + k].label, name) != 0)
                name = arena_printf(t->o->c->arena, "%zu", k + 1);
        add_name(&t->columns, name);
    }
}

static bool fill_table(struct table *t, const struct expr *e, const struct list *l) {
    t->nrows = l->n;
    t->of = l->of;
    for (size_t i = 0; i < l->n; i++) add_name(&t->rows, l->at[i].label);
    bool nested = check_is_list(&l->at[0].r);
    for (size_t i = 0; i < l->n; i++) {
        if (nested && !add_row(t, e, &l->at[i], i == 0)) return false;
        if (!nested) VEC_PUSH(t->o->c->arena, &t->cells, l->at[i]);
    }
    if (nested) name_columns(t);
    return true;
}

bool check_report_table(struct op_call *o) {
    struct table t = {.o = o, .rows.arena = o->c->arena, .columns.arena = o->c->arena};
    const struct expr *e = o->call->slots[0];
    struct result *x = &o->args[0];
    struct item alone = {.r = *x, .label = "", .e = e};
    struct list one = {.n = 1, .at = &alone};
    if (x->kind == RESULT_POISON || (x->kind == RESULT_VALUE && check_is_list(x)))
        return x->kind == RESULT_VALUE; // said, or said with the operand
    if (!fill_table(&t, e, x->kind == RESULT_LIST ? x->list : &one) ||
        !set_names(&t, "rows", t.nrows, &t.rows) ||
        !set_names(&t, "columns", t.ncolumns, &t.columns))
        return false;
    struct list *cells = NEW(o->c->arena, struct list);
    *cells = (struct list){t.cells.n, t.cells.at, t.of};
    *x = (struct result){.kind = RESULT_LIST, .list = cells};
    return true;
}
