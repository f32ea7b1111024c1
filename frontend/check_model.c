// Networks: `onnx`, which reads a file, and those that ddg builds.
#include "frontend/check_call.h"
#include "frontend/model.h"
#include "frontend/networks.h"

static bool same_attrs(const struct value *a, const struct value *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!value_eq(&a[i], &b[i])) return false;
    return true;
}

// ---- files --------------------------------------------------------------------------
static const struct model *read_file(struct op_call *o) {
    const struct value *path = call_attr(o, "path");
    const struct value *mean = call_attr(o, "mean"), *std = call_attr(o, "std");
    struct model_options options = {.path = path->s,
                                    .mean = mean->fs,
                                    .std = std->fs,
                                    .nmean = mean->n,
                                    .nstd = std->n,
                                    .span = o->call->name_span,
                                    .times = o->c->times};
    return o->c->model ? o->c->model : model_load(o->c->arena, &options, o->c->d);
}

// With the weights and the last layer that the program asks for.
static const struct model *read_onnx(struct op_call *o) {
    struct checker *c = o->c;
    const struct value *classes = call_attr(o, "classes");
    int64_t seed = call_attr(o, "seed")->i; // 0 when none is given
    const struct model *m = read_file(o);
    if (m && call_attr(o, "init")->kind != VAL_NONE) m = model_drawn(c->arena, m, seed);
    if (!m || classes->kind == VAL_NONE) return m;
    const struct expr *e = call_attr_expr(o, "classes");
    return model_with_head(c->arena, m, (size_t)classes->i, seed, c->d,
                           e ? e->span : o->call->name_span);
}

// ---- all ----------------------------------------------------------------------------
static const struct model *make_model(struct op_call *o) {
    struct checker *c = o->c;
    if (o->call->op == OP_ONNX) return read_onnx(o);
    return network_build(c->arena, o->call->op, o->attrs, c->d, o->call->name_span);
}

static const struct model *made_once(struct op_call *o) {
    struct checker *c = o->c;
    for (size_t i = 0; i < c->models.n; i++)
        if (c->models.at[i].op == o->call->op &&
            same_attrs(c->models.at[i].attrs, o->attrs, o->nattrs))
            return c->models.at[i].model;
    struct loaded made = {.op = o->call->op, .model = make_model(o)};
    if (!made.model) check_note_calls(c, o->f);
    memcpy(made.attrs, o->attrs, sizeof made.attrs);
    VEC_PUSH(c->arena, &c->models, made);
    return made.model;
}

// What it multiplies says nothing of the file. The node shows what was settled on.
static const struct model *onnx_model(struct op_call *o) {
    struct checker *c = o->c;
    struct value *precision = call_attr(o, "precision");
    const struct value given = *precision;
    *precision = (struct value){.kind = VAL_NONE};
    const struct model *m = made_once(o);
    bool bf16 = c->model                 ? c->model->bf16
                : given.kind == VAL_NONE ? c->bf16
                                         : strcmp(given.s, "bf16") == 0;
    *precision = given.kind == VAL_NONE ? val_string(bf16 ? "bf16" : "fp32") : given;
    if (!m || m->bf16 == bf16) return m;
    struct model *other = arena_dup(c->arena, m, 1, sizeof *m);
    other->bf16 = bf16;
    return other;
}

const struct model *check_model(struct op_call *o) {
    return o->call->op == OP_ONNX ? onnx_model(o) : made_once(o);
}
