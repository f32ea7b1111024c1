// Calls of the language's ops: arguments to operands and attributes, and these to a node.
//
// What the table says of kinds is checked here, where the user's names for things are
// known; ranges, choices and shapes are the type rules' (ir/rules*.c), which say which
// argument is at fault.
#include "frontend/check_core.h"
#include "frontend/model.h"
#include "frontend/names.h"
#include "frontend/parse.h"
#include "runtime/constant.h"

struct op_call { // being checked
    struct checker *c;
    const struct frame *f;
    const struct call *call;
    const struct op_info *info;
    size_t nin, nattrs;
    struct result args[OP_MAX_OPERANDS + OP_MAX_ATTRS]; // by slot
    nid in[OP_MAX_OPERANDS];
    struct value attrs[OP_MAX_ATTRS];
};

// ---- operands -----------------------------------------------------------------------
// "images, maps or scores"
static const char *kinds_text(struct arena *a, uint32_t kinds) {
    struct text t = {.arena = a};
    for (uint32_t k = 0; k < KIND_COUNT; k++) {
        if (!(kinds >> k & 1)) continue;
        uint32_t later = kinds >> k >> 1;
        text_add(&t, "%s%s",
                 t.n == 0 ? ""
                 : later  ? ", "
                          : " or ",
                 k == KIND_MODEL ? "a model" : kind_name((enum kind)k));
    }
    return t.at;
}

// A constant given by position in an operand's place was probably meant for an attribute.
static const char *help_operand(struct op_call *o, size_t slot) {
    const struct result *r = &o->args[slot];
    if (r->kind != RESULT_VALUE || !o->info->operands[slot].optional) return NULL;
    for (size_t i = 0; i < o->nattrs; i++)
        if (o->info->attrs[i].kind == r->value.kind && !o->call->slots[o->nin + i])
            return arena_printf(o->c->arena, "if it is meant for `%s`, write `%s = ...`",
                                o->info->attrs[i].name, o->info->attrs[i].name);
    return NULL;
}

static bool take_operand(struct op_call *o, size_t i) {
    const struct operand_spec *spec = &o->info->operands[i];
    const struct expr *e = o->call->slots[i];
    const struct result *r = &o->args[i];
    o->in[i] = NID_NONE;
    bool none = r->kind == RESULT_VALUE && r->value.kind == VAL_NONE;
    if (!e || (none && spec->optional)) return true;
    if (r->kind == RESULT_POISON) return false;
    if (r->kind == RESULT_NODE &&
        (spec->kinds >> type_at(o->c->b.f, r->node)->kind & 1)) {
        o->in[i] = r->node;
        return true;
    }
    return check_report(o->c, o->f, e->span, e, help_operand(o, i),
                        "`%s` of `%s` wants %s; %s", spec->name, o->info->name,
                        kinds_text(o->c->arena, spec->kinds), check_came(o->c, e, r));
}

// ---- attributes ---------------------------------------------------------------------
// Defaults stand in the table as program text. Evaluating them takes nothing from the
// program's steps, and cannot fail.
static struct value fallback_value(struct arena *a, const char *text) {
    struct diags d;
    size_t end;
    diags_init(&d, a);
    struct checker c = {.arena = a, .d = &d};
    struct source *s = NEW(a, struct source);
    *s = (struct source){"the op table", text, strlen(text)};
    struct result r = check_expr(&c, NULL, parse_value(a, s, 0, &d, &end), NULL);
    CHECK(d.errors == 0 && end == s->n && r.kind == RESULT_VALUE);
    return r.value;
}

static bool may_be_none(const struct attr_spec *spec) {
    return spec->fallback && strcmp(spec->fallback, "none") == 0;
}

// A float that is whole is what people write for a large int (1e5).
static const char *help_attr(struct op_call *o, const struct attr_spec *spec,
                             const struct expr *e, const struct result *r) {
    if (e->kind != EXPR_VALUE || spec->kind != VAL_INT || r->value.kind != VAL_FLOAT)
        return NULL;
    double f = r->value.f;
    bool whole = f >= -1e15 && f <= 1e15 && f == (double)(int64_t)f;
    return whole ? arena_printf(o->c->arena, "write %lld", (long long)f) : NULL;
}

// Paths are beside the file in which they are written.
static void resolve_path(struct op_call *o, const struct result *r, struct value *v) {
    if (*v->s && r->base) v->s = path_beside(o->c->arena, r->base->path, v->s);
}

static bool take_attr(struct op_call *o, size_t i) {
    const struct attr_spec *spec = &o->info->attrs[i];
    const struct expr *e = o->call->slots[o->nin + i];
    const struct result *r = &o->args[o->nin + i];
    struct value *v = &o->attrs[i];
    *v = e ? r->value : fallback_value(o->c->arena, spec->fallback);
    if (e && r->kind == RESULT_POISON) return false;
    if (v->kind == VAL_NONE && r->kind != RESULT_NODE && may_be_none(spec)) return true;
    // A list is copied to convert it, which takes time and memory.
    if (!check_steps(o->c, o->call->name_span, v->n)) return false;
    if (r->kind == RESULT_NODE || !constant_convert(o->c->arena, v, spec->kind))
        return check_report(o->c, o->f, e ? e->span : o->call->name_span, e,
                            help_attr(o, spec, e, r), "`%s` of `%s` is %s; %s",
                            spec->name, o->info->name, constant_kind_name(spec->kind),
                            check_came(o->c, e, r));
    if (spec->path) resolve_path(o, r, v);
    return true;
}

// ---- what the type rules say --------------------------------------------------------
static const char *help_choice(struct op_call *o, int attr) {
    const struct attr_spec *spec = &o->info->attrs[attr];
    if (!spec->choices || o->attrs[attr].kind != VAL_STRING) return NULL;
    struct candidates near = {.arena = o->c->arena};
    for (const char *at = spec->choices; *at;) {
        size_t n = strcspn(at, "|");
        VEC_PUSH(near.arena, &near.list, arena_strndup(near.arena, at, n));
        at += n + (at[n] == '|');
    }
    const char *s = candidates_near(&near, o->attrs[attr].s);
    bool is_one = s && strcmp(s, o->attrs[attr].s) == 0; // something else is wrong
    return s && !is_one ? arena_printf(o->c->arena, "did you mean \"%s\"?", s) : NULL;
}

static bool rule_failed(struct op_call *o, const struct rule_ctx *rule) {
    const struct expr *e = NULL;
    const char *help = NULL;
    if (rule->error_operand >= 0) e = o->call->slots[rule->error_operand];
    if (rule->error_attr >= 0) {
        e = o->call->slots[o->nin + (size_t)rule->error_attr];
        help = help_choice(o, rule->error_attr);
    }
    return check_report(o->c, o->f, e ? e->span : o->call->name_span, e, help, "%s",
                        rule->error);
}

// ---- models -------------------------------------------------------------------------
static bool same_attrs(const struct value *a, const struct value *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!value_eq(&a[i], &b[i])) return false;
    return true;
}

// Each network is read once, also when that failed.
static const struct model *read_model(struct op_call *o) {
    struct checker *c = o->c;
    for (size_t i = 0; i < c->models.n; i++)
        if (same_attrs(c->models.at[i].attrs, o->attrs, o->nattrs))
            return c->models.at[i].model;
    const struct value *path = &o->attrs[op_attr(OP_ONNX, "path", 4)];
    const struct value *mean = &o->attrs[op_attr(OP_ONNX, "mean", 4)];
    const struct value *std = &o->attrs[op_attr(OP_ONNX, "std", 3)];
    struct model_options options = {.path = path->s,
                                    .mean = mean->fs,
                                    .std = std->fs,
                                    .nmean = mean->n,
                                    .nstd = std->n,
                                    .span = o->call->name_span,
                                    .times = c->times};
    struct loaded made = {.model = model_load(c->arena, &options, c->d)};
    if (!made.model) check_note_calls(c, o->f);
    memcpy(made.attrs, o->attrs, sizeof made.attrs);
    VEC_PUSH(c->arena, &c->models, made);
    return made.model;
}

// What it multiplies says nothing of the file. The node shows what was settled on.
static const struct model *load_model(struct op_call *o) {
    struct checker *c = o->c;
    struct value *precision = &o->attrs[op_attr(OP_ONNX, "precision", 9)];
    const struct value given = *precision;
    *precision = (struct value){.kind = VAL_NONE};
    const struct model *m = c->model ? c->model : read_model(o);
    bool bf16 = c->model                 ? c->model->bf16
                : given.kind == VAL_NONE ? c->bf16
                                         : strcmp(given.s, "bf16") == 0;
    *precision = given.kind == VAL_NONE ? val_string(bf16 ? "bf16" : "fp32") : given;
    if (!m || m->bf16 == bf16) return m;
    struct model *other = arena_dup(c->arena, m, 1, sizeof *m);
    other->bf16 = bf16;
    return other;
}

// ---- calls --------------------------------------------------------------------------
static struct result make_node(struct op_call *o, const char *name) {
    struct builder *b = &o->c->b;
    struct rule_ctx rule = {0};
    const struct model *model = NULL;
    if (o->call->op == OP_ONNX && !(model = load_model(o))) return POISON;
    b->span = o->call->name_span;
    b->name = name;
    nid n = model ? b_onnx(b, o->attrs, model)
                  : build_node(b, o->call->op, o->in, o->nin, o->attrs, &rule);
    b->name = NULL;
    if (n != NID_NONE) return (struct result){.kind = RESULT_NODE, .node = n};
    rule_failed(o, &rule);
    return POISON;
}

struct result check_op_call(struct checker *c, const struct frame *f,
                            const struct expr *e, const char *name) {
    struct op_call o = {.c = c, .f = f, .call = e->call, .info = op_info(e->call->op)};
    o.nin = op_operand_count(e->call->op);
    o.nattrs = op_attr_count(e->call->op);
    for (size_t i = 0; i < o.nin + o.nattrs; i++)
        if (o.call->slots[i]) o.args[i] = check_expr(c, f, o.call->slots[i], NULL);
    bool operands = true, attrs = true;
    for (size_t i = 0; i < o.nin; i++) operands = take_operand(&o, i) && operands;
    for (size_t i = 0; i < o.nattrs; i++) attrs = take_attr(&o, i) && attrs;
    struct rule_ctx rule = {0};
    if (attrs && !build_check_attrs(&c->b, o.call->op, o.attrs, &rule))
        attrs = rule_failed(&o, &rule);
    return operands && attrs && !c->stopped ? make_node(&o, name) : POISON;
}
