// Calls of the language's ops: arguments to operands and attributes, and these to a node.
//
// What the table says of kinds is checked here, where the user's names for things are
// known; ranges, choices and shapes are the type rules' (ir/rules*.c), which say which
// argument is at fault.
#include "frontend/check_call.h"
#include "frontend/names.h"
#include "frontend/parse.h"
#include "runtime/constant.h"

// ---- operands -----------------------------------------------------------------------
// What stands where a value of such a kind cannot, and what was probably meant.
static const char *help_kind(enum op op, unsigned wants, enum kind came) {
    if (came == KIND_MODEL && wants >> KIND_ASK & 1)
        return "a teacher is asked about each batch by `ask(teacher, temperature = 20)`";
    if (came == KIND_MODEL && wants >> KIND_MEASURE & 1)
        return "`accuracy(model, images)` is a measure; `save(model, to = \"x.onnx\")` "
               "writes a network";
    if (came == KIND_MEASURE && op == OP_SAVE)
        return "`report(x, to = \"...\")` prints measures and writes them";
    return NULL;
}

// A constant given by position in an operand's place was probably meant for an attribute.
static const char *help_operand(struct op_call *o, size_t slot, const struct result *r) {
    const struct operand_spec *spec = &o->info->operands[slot];
    if (r->kind == RESULT_NODE)
        return help_kind(o->call->op, spec->kinds, type_at(o->c->b.f, r->node)->kind);
    if (r != &o->args[slot] || r->kind != RESULT_VALUE || !spec->optional) return NULL;
    for (size_t i = 0; i < o->nattrs; i++)
        if (o->info->attrs[i].kind == r->value.kind && !o->call->slots[o->nin + i])
            return arena_printf(o->c->arena, "if it is meant for `%s`, write `%s = ...`",
                                o->info->attrs[i].name, o->info->attrs[i].name);
    return NULL;
}

static void put_operand(struct op_call *o, nid n, const struct expr *e) {
    VEC_PUSH(o->c->arena, &o->in, n);
    VEC_PUSH(o->c->arena, &o->from, e);
}

static bool take_node(struct op_call *o, size_t slot, const struct expr *e,
                      const struct result *r) {
    const struct operand_spec *spec = &o->info->operands[slot];
    if (r->kind == RESULT_NODE &&
        (spec->kinds >> type_at(o->c->b.f, r->node)->kind & 1)) {
        put_operand(o, r->node, e);
        return true;
    }
    return check_report(o->c, o->f, e->span, e, help_operand(o, slot, r),
                        "`%s` of `%s` wants %s; %s", spec->name, o->info->name,
                        kind_set_text(o->c->arena, spec->kinds), check_came(o->c, e, r));
}

static bool take_list(struct op_call *o, size_t slot, const struct expr *e,
                      const struct result *r) {
    const struct operand_spec *spec = &o->info->operands[slot];
    struct list l;
    if (!check_items(o->c, e->span, r, &l)) return false;
    if (l.n == 0 && !spec->optional)
        return check_report(o->c, o->f, e->span, e, NULL, "`%s` of `%s` is an empty list",
                            spec->name, o->info->name);
    if (l.n == 0) put_operand(o, NID_NONE, NULL);
    for (size_t i = 0; i < l.n; i++) {
        const struct item *item = &l.at[i];
        if (!take_node(o, slot, item->e ? item->e : e, &item->r)) return false;
    }
    return check_steps(o->c, e->span, l.n);
}

static bool takes_list(const struct op_call *o, size_t slot) {
    return o->info->flags & OPF_VARIADIC && slot + 1 == o->nin;
}

static bool take_operand(struct op_call *o, size_t i) {
    const struct expr *e = o->call->slots[i];
    const struct result *r = &o->args[i];
    bool none = r->kind == RESULT_VALUE && r->value.kind == VAL_NONE;
    if (!e || (none && o->info->operands[i].optional)) {
        put_operand(o, NID_NONE, NULL);
        return true;
    }
    if (r->kind == RESULT_POISON) return false;
    if (takes_list(o, i) && check_is_list(r)) return take_list(o, i, e, r);
    return take_node(o, i, e, r);
}

// ---- attributes ---------------------------------------------------------------------
struct value *call_attr(struct op_call *o, const char *name) {
    int i = op_attr(o->call->op, name, strlen(name));
    CHECK(i >= 0);
    return &o->attrs[i];
}

const struct expr *call_attr_expr(const struct op_call *o, const char *name) {
    int i = op_attr(o->call->op, name, strlen(name));
    CHECK(i >= 0);
    return o->call->slots[o->nin + (size_t)i];
}

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

// A float that is whole is what people write for a large int (1e5), one number for a
// list.
static const char *help_attr(struct op_call *o, const struct attr_spec *spec,
                             const struct expr *e, const struct result *r) {
    bool list = spec->kind == VAL_INTS || spec->kind == VAL_FLOATS;
    bool number = r->value.kind == VAL_INT || r->value.kind == VAL_FLOAT;
    if (list && r->kind == RESULT_VALUE && number)
        return "a list is written in brackets: [1, 2]";
    if (e->kind != EXPR_VALUE || spec->kind != VAL_INT || r->value.kind != VAL_FLOAT)
        return NULL;
    double f = r->value.f;
    bool whole = f >= -1e15 && f <= 1e15 && f == (double)(int64_t)f;
    return whole ? arena_printf(o->c->arena, "write %lld", (long long)f) : NULL;
}

static bool wrong_attr(struct op_call *o, const struct attr_spec *spec,
                       const struct expr *e, const struct result *r) {
    if (spec->kind == VAL_INTS || spec->kind == VAL_FLOATS) check_odd_item(&e, &r);
    return check_report(o->c, o->f, e->span, e, help_attr(o, spec, e, r),
                        "`%s` of `%s` is %s; %s", spec->name, o->info->name,
                        constant_kind_name(spec->kind), check_came(o->c, e, r));
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
    bool value = r->kind == RESULT_VALUE;
    *v = e || value ? r->value : fallback_value(o->c->arena, spec->fallback);
    if (e && r->kind == RESULT_POISON) return false;
    if (v->kind == VAL_NONE && (value || !e) && may_be_none(spec)) return true;
    // A list is copied to convert it, which takes time and memory.
    if (!check_steps(o->c, o->call->name_span, v->n)) return false;
    if ((e && !value) || !constant_convert(o->c->arena, v, spec->kind))
        return wrong_attr(o, spec, e, r);
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
    size_t operand = (size_t)rule->error_operand;
    if (rule->error_operand >= 0 && operand < o->from.n) e = o->from.at[operand];
    if (rule->error_attr >= 0) {
        e = o->call->slots[o->nin + (size_t)rule->error_attr];
        help = help_choice(o, rule->error_attr);
    }
    return check_report(o->c, o->f, e ? e->span : o->call->name_span, e, help, "%s",
                        rule->error);
}

// ---- calls --------------------------------------------------------------------------
static bool is_network(enum op op) {
    return op == OP_ONNX || op_info(op)->flags & OPF_NETWORK;
}

static bool check_graph(struct op_call *o, nid *same) {
    switch (o->call->op) {
    case OP_TRAIN: return check_train(o);
    case OP_STAGE: return check_stage(o, same);
    default: return true;
    }
}

// Runs tell of trainings and measures: which of many it is, a list says.
static const char *name_of_round(struct op_call *o) {
    bool told = o->call->op == OP_TRAIN || o->call->op == OP_ACCURACY;
    return told ? check_round_name(o->c, o->info->name) : NULL;
}

static struct result make_node(struct op_call *o, const char *name) {
    struct builder *b = &o->c->b;
    enum op op = o->call->op;
    struct rule_ctx rule = {0};
    const struct model *model = NULL;
    nid n = NID_NONE;
    if (is_network(op) && !(model = check_model(o))) return POISON;
    if (!check_graph(o, &n)) return POISON;
    b->span = o->call->name_span;
    b->name = name ? name : name_of_round(o);
    if (n == NID_NONE)
        n = model ? b_model(b, op, o->attrs, model)
                  : build_node(b, op, o->in.at, o->in.n, o->attrs, &rule);
    b->name = NULL;
    if (n != NID_NONE) return (struct result){.kind = RESULT_NODE, .node = n};
    rule_failed(o, &rule);
    return POISON;
}

static bool take_attrs(struct op_call *o) {
    bool ok = true;
    struct rule_ctx rule = {0};
    for (size_t i = 0; i < o->nattrs; i++) ok = take_attr(o, i) && ok;
    if (ok && !build_check_attrs(&o->c->b, o->call->op, o->attrs, &rule))
        ok = rule_failed(o, &rule);
    return ok;
}

struct result check_op_call(struct checker *c, const struct frame *f,
                            const struct expr *e, const char *name) {
    struct op_call o = {.c = c, .f = f, .call = e->call, .info = op_info(e->call->op)};
    o.nin = op_operand_count(e->call->op);
    o.nattrs = op_attr_count(e->call->op);
    for (size_t i = 0; i < o.nin + o.nattrs; i++)
        if (o.call->slots[i]) o.args[i] = check_expr(c, f, o.call->slots[i], NULL);
    if (o.call->op == OP_REPORT && !check_report_table(&o)) return POISON;
    bool operands = true, attrs = true;
    for (size_t i = 0; i < o.nin; i++) operands = take_operand(&o, i) && operands;
    attrs = take_attrs(&o);
    return operands && attrs && !c->stopped ? make_node(&o, name) : POISON;
}
