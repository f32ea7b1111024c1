// Type rules of what trains networks and measures them.
#include "ir/rules.h"

static bool takes_images(struct rule_ctx *c, int model, int images) {
    const struct type *m = c->ins[model], *x = c->ins[images];
    return m->dim[0] == x->dim[0] ||
           rule_fail_in(c, images,
                        "`model` takes images of %zu channel%s, these have %zu",
                        m->dim[0], m->dim[0] == 1 ? "" : "s", x->dim[0]);
}

// ---- what is learnt -----------------------------------------------------------------
enum { TRAIN_MODEL, TRAIN_DATA, TRAIN_LABELS };

static bool asks_about(struct rule_ctx *c, const struct type *ask) {
    const struct type *x = c->ins[TRAIN_DATA];
    return ask->dim[0] == x->dim[0] ||
           rule_fail_in(c, TRAIN_LABELS,
                        "the teacher takes images of %zu channel%s, these have %zu",
                        ask->dim[0], ask->dim[0] == 1 ? "" : "s", x->dim[0]);
}

static bool labels_fit(struct rule_ctx *c) {
    const struct type *m = c->ins[TRAIN_MODEL], *l = NULL;
    if (c->nin > TRAIN_LABELS) l = c->ins[TRAIN_LABELS];
    if (!l) return true;
    size_t classes = l->kind == KIND_ASK ? l->classes : l->dim[0];
    if (classes != m->classes)
        return rule_fail_in(c, TRAIN_LABELS,
                            "`labels` are of %zu classes, the network has %zu outputs",
                            classes, m->classes);
    if (l->kind == KIND_ASK) return asks_about(c, l);
    return l->rowset == c->ins[TRAIN_DATA]->rowset ||
           rule_fail_in(c, TRAIN_LABELS,
                        "`data` and `labels` are values of different rows");
}

// ---- how ----------------------------------------------------------------------------
enum {
    TRAIN_EPOCHS,
    TRAIN_BATCH,
    TRAIN_OPTIMIZER,
    TRAIN_RATE,
    TRAIN_MOMENTUM,
    TRAIN_NESTEROV,
    TRAIN_BETAS,
    TRAIN_EPSILON,
    TRAIN_DECAY,
    TRAIN_DECAYS,
    TRAIN_SCHEDULE,
    TRAIN_WARMUP,
    TRAIN_MILESTONES,
    TRAIN_GAMMA,
    TRAIN_TEMPERATURE,
    TRAIN_KEEP
};

static bool sgd_fits(struct rule_ctx *c) {
    return !c->attrs[TRAIN_NESTEROV].i || c->attrs[TRAIN_MOMENTUM].f > 0 ||
           rule_fail_attr(c, TRAIN_NESTEROV, "`nesterov` needs a `momentum` above 0");
}

static bool adam_fits(struct rule_ctx *c, const char *optimizer) {
    return !c->attrs[TRAIN_NESTEROV].i ||
           rule_fail_attr(c, TRAIN_NESTEROV,
                          "`nesterov` is for optimizer = \"sgd\"; this is \"%s\"",
                          optimizer);
}

static bool optimizer_fits(struct rule_ctx *c) {
    const char *optimizer = c->attrs[TRAIN_OPTIMIZER].s;
    size_t n = c->attrs[TRAIN_BETAS].n;
    if (n != 2)
        return rule_fail_attr(c, TRAIN_BETAS,
                              "`betas` must be a list of 2 numbers; this has %zu", n);
    return strcmp(optimizer, "sgd") == 0 ? sgd_fits(c) : adam_fits(c, optimizer);
}

static bool milestones_rise(struct rule_ctx *c) {
    const struct value *v = &c->attrs[TRAIN_MILESTONES];
    for (size_t i = 1; i < v->n; i++)
        if (v->fs[i] <= v->fs[i - 1])
            return rule_fail_attr(c, TRAIN_MILESTONES,
                                  "`milestones` must rise: %.12g comes after %.12g",
                                  v->fs[i], v->fs[i - 1]);
    return true;
}

static bool schedule_fits(struct rule_ctx *c) {
    const char *schedule = c->attrs[TRAIN_SCHEDULE].s;
    bool step = strcmp(schedule, "step") == 0;
    size_t milestones = c->attrs[TRAIN_MILESTONES].n;
    double epochs = (double)c->attrs[TRAIN_EPOCHS].i, warmup = c->attrs[TRAIN_WARMUP].f;
    if (warmup > epochs)
        return rule_fail_attr(c, TRAIN_WARMUP,
                              "`warmup` of %.12g epochs is longer than the training (%g)",
                              warmup, epochs);
    if (!step && milestones > 0)
        return rule_fail_attr(c, TRAIN_MILESTONES,
                              "`milestones` are for schedule = \"step\"; this is \"%s\"",
                              schedule);
    if (step && milestones == 0)
        return rule_fail_attr(c, TRAIN_SCHEDULE,
                              "schedule = \"step\" needs `milestones`, the epochs after "
                              "which the rate is times `gamma`");
    return milestones_rise(c);
}

// Programs name epochs in any order; the frontend has sorted them.
static bool keep_rises(struct rule_ctx *c) {
    const struct value *v = &c->attrs[TRAIN_KEEP];
    for (size_t i = 0; i < v->n; i++)
        if (v->is[i] > c->attrs[TRAIN_EPOCHS].i || (i && v->is[i] <= v->is[i - 1]))
            return rule_fail_attr(c, TRAIN_KEEP,
                                  "`keep` must rise, to the last epoch at most");
    return true;
}

bool rule_train(struct rule_ctx *c, struct type *out) {
    *out = *c->ins[TRAIN_MODEL];
    return takes_images(c, TRAIN_MODEL, TRAIN_DATA) && labels_fit(c) &&
           optimizer_fits(c) && schedule_fits(c) && keep_rises(c);
}

bool rule_stage(struct rule_ctx *c, struct type *out) {
    *out = *c->ins[0];
    return true;
}

bool rule_ask(struct rule_ctx *c, struct type *out) {
    *out = *c->ins[0];
    out->kind = KIND_ASK;
    return true;
}

// ---- augmentation -------------------------------------------------------------------
bool rule_augment(struct rule_ctx *c, struct type *out) {
    (void)c;
    *out = (struct type){.kind = KIND_AUGMENT};
    return true;
}

enum { CROP_SCALE, CROP_RATIO };

bool rule_resized_crop(struct rule_ctx *c, struct type *out) {
    return rule_interval(c, CROP_SCALE, "scale") &&
           rule_interval(c, CROP_RATIO, "ratio") && rule_augment(c, out);
}

// ---- measures -----------------------------------------------------------------------
bool rule_accuracy(struct rule_ctx *c, struct type *out) {
    size_t classes = c->ins[0]->classes, top = (size_t)c->attrs[0].i;
    *out = (struct type){
        .kind = KIND_MEASURE, .elem = ELEM_F32, .rowset = c->ins[1]->rowset};
    if (!takes_images(c, 0, 1)) return false;
    return top <= classes ||
           rule_fail_attr(c, 0, "`top` %zu is more than the network's %zu classes", top,
                          classes);
}

bool rule_confusion(struct rule_ctx *c, struct type *out) {
    size_t k = c->ins[0]->classes;
    *out = (struct type){.kind = KIND_MEASURE,
                         .elem = ELEM_F32,
                         .rank = 2,
                         .dim = {k, k},
                         .rowset = c->ins[1]->rowset};
    return takes_images(c, 0, 1);
}

bool rule_mean_std(struct rule_ctx *c, struct type *out) {
    *out = (struct type){.kind = KIND_MEASURE, .elem = ELEM_F32, .rank = 1, .dim = {2}};
    for (size_t i = 0; i < c->nin; i++)
        if (c->ins[i]->rank != 0)
            return rule_fail_in(
                c, (int)i, "`x` wants single numbers, such as accuracies; this is %s",
                rule_type(c, i));
    return true;
}

enum { REPORT_ROWS = 1, REPORT_COLUMNS };

bool rule_report(struct rule_ctx *c, struct type *out) {
    size_t rows = text_lines(c->attrs[REPORT_ROWS].s);
    size_t columns = size_max(text_lines(c->attrs[REPORT_COLUMNS].s), 1);
    *out = (struct type){.kind = KIND_NONE};
    for (size_t i = 0; c->nin > 1 && i < c->nin; i++)
        if (c->ins[i]->rank > 1)
            return rule_fail_in(c, (int)i,
                                "a matrix is a table of its own: report it alone");
    return rows == 0 || rows * columns == c->nin ||
           rule_fail(c, "%zu rows of %zu column%s are not %zu numbers", rows, columns,
                     columns == 1 ? "" : "s", c->nin);
}
