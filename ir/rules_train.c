// Type rules of what trains networks and measures them.
#include "ir/rules.h"

enum { TRAIN_MODEL, TRAIN_DATA, TRAIN_LABELS, TRAIN_AUGMENT };

static bool takes_images(struct rule_ctx *c, int model, int images) {
    const struct type *m = c->ins[model], *x = c->ins[images];
    return m->dim[0] == x->dim[0] ||
           rule_fail_in(c, images, "`model` takes images of %zu channels, these have %zu",
                        m->dim[0], x->dim[0]);
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
    return l->kind == KIND_ASK || l->rowset == c->ins[TRAIN_DATA]->rowset ||
           rule_fail_in(c, TRAIN_LABELS,
                        "`data` and `labels` are values of different rows");
}

bool rule_train(struct rule_ctx *c, struct type *out) {
    *out = *c->ins[TRAIN_MODEL];
    return takes_images(c, TRAIN_MODEL, TRAIN_DATA) && labels_fit(c);
}

bool rule_stage(struct rule_ctx *c, struct type *out) {
    *out = *c->ins[0];
    return true;
}

bool rule_ask(struct rule_ctx *c, struct type *out) {
    *out =
        (struct type){.kind = KIND_ASK, .elem = ELEM_F32, .classes = c->ins[0]->classes};
    return true;
}

bool rule_augment(struct rule_ctx *c, struct type *out) {
    (void)c;
    *out = (struct type){.kind = KIND_AUGMENT};
    return true;
}

bool rule_accuracy(struct rule_ctx *c, struct type *out) {
    uint32_t rowset = c->ins[1]->rowset;
    *out = (struct type){.kind = KIND_MEASURE, .elem = ELEM_F32, .rowset = rowset};
    return takes_images(c, 0, 1);
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
            return rule_fail_in(c, (int)i,
                                "`x` wants single numbers, such as accuracies");
    return true;
}

bool rule_report(struct rule_ctx *c, struct type *out) {
    (void)c;
    *out = (struct type){.kind = KIND_NONE};
    return true;
}
