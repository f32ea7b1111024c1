// What holds of every op, read from its table row: how many operands of which kinds,
// which attributes in which range. Then the op's own rule (rules_pipeline.c,
// rules_tensor.c, rules_nn.c) works out the type. Messages are for the person who wrote
// the program.
#include "ir/rules.h"

#include "runtime/constant.h"

static bool fail(struct rule_ctx *c, int operand, int attr, const char *fmt, va_list ap) {
    c->error = arena_vprintf(c->arena, fmt, ap);
    c->error_operand = operand;
    c->error_attr = attr;
    return false;
}

bool rule_fail(struct rule_ctx *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fail(c, -1, -1, fmt, ap);
    va_end(ap);
    return false;
}

bool rule_fail_in(struct rule_ctx *c, int operand, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fail(c, operand, -1, fmt, ap);
    va_end(ap);
    return false;
}

bool rule_fail_attr(struct rule_ctx *c, int attr, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fail(c, -1, attr, fmt, ap);
    va_end(ap);
    return false;
}

const char *rule_type(struct rule_ctx *c, size_t operand) {
    return type_str(c->arena, c->ins[operand]);
}

// ---- operands -----------------------------------------------------------------------
static bool check_operand(struct rule_ctx *c, size_t i, const struct operand_spec *s) {
    const struct type *t = c->ins[i];
    if (!t) return s->optional || rule_fail_in(c, (int)i, "`%s` is missing", s->name);
    if (s->kinds >> t->kind & 1) return true;
    return rule_fail_in(c, (int)i, "`%s` takes %s, this is %s", s->name,
                        kind_set_text(c->arena, s->kinds), rule_type(c, i));
}

bool check_operands(enum op op, struct rule_ctx *c) {
    const struct op_info *info = op_info(op);
    size_t n = op_operand_count(op);
    bool variadic = info->flags & OPF_VARIADIC;
    if (c->nin > n && n == 0) return rule_fail(c, "takes no operands");
    if (c->nin > n && !variadic)
        return rule_fail(c, "takes %zu operand%s, not %zu", n, n == 1 ? "" : "s", c->nin);
    for (size_t i = c->nin; i < n; i++)
        if (!info->operands[i].optional)
            return rule_fail(c, "`%s` is missing", info->operands[i].name);
    for (size_t i = 0; i < c->nin; i++)
        if (!check_operand(c, i, &info->operands[size_min(i, n - 1)])) return false;
    return true;
}

// ---- attributes ---------------------------------------------------------------------
static const char *value_kind_text(enum value_kind k) {
    switch (k) {
    case VAL_NONE: return "none";
    case VAL_INT: return "an integer";
    case VAL_FLOAT: return "a number";
    case VAL_BOOL: return "true or false";
    case VAL_STRING: return "a string";
    case VAL_INTS: return "a list of integers";
    case VAL_FLOATS: return "a list of numbers";
    }
    BUG("unknown kind of value %d", (int)k);
}

static bool is_choice(const char *choices, const char *s) {
    size_t n = strlen(s);
    for (const char *p = choices;;) {
        size_t m = strcspn(p, "|");
        if (m == n && memcmp(p, s, n) == 0) return true;
        if (!p[m]) return false;
        p += m + 1;
    }
}

// prob|logit|loss -> "prob", "logit" or "loss"
static const char *choices_text(struct arena *a, const char *choices) {
    struct text t = {.arena = a};
    for (const char *p = choices;;) {
        size_t m = strcspn(p, "|");
        text_add(&t, "\"%.*s\"", (int)m, p);
        if (!p[m]) return t.at;
        p += m + 1;
        text_add(&t, strchr(p, '|') ? ", " : " or ");
    }
}

static bool check_string(struct rule_ctx *c, int i, const struct attr_spec *s,
                         const char *v) {
    if (s->path && !*v) return rule_fail_attr(c, i, "`%s` is empty", s->name);
    if (!s->choices || is_choice(s->choices, v)) return true;
    return rule_fail_attr(c, i, "`%s` must be %s; this is \"%s\"", s->name,
                          choices_text(c->arena, s->choices), v);
}

static bool check_attr(struct rule_ctx *c, int i, const struct attr_spec *s) {
    const struct value *v = &c->attrs[i];
    if (v->kind == VAL_NONE)
        return (s->fallback && strcmp(s->fallback, "none") == 0) ||
               rule_fail_attr(c, i, "`%s` is missing", s->name);
    if (v->kind != s->kind)
        return rule_fail_attr(c, i, "`%s` must be %s; this is %s", s->name,
                              value_kind_text(s->kind), value_kind_text(v->kind));
    if (v->kind == VAL_STRING) return check_string(c, i, s, v->s);
    const char *wrong = constant_out_of_range(c->arena, s->name, s->min, s->max, v);
    return !wrong || rule_fail_attr(c, i, "%s", wrong);
}

bool check_attrs(enum op op, struct rule_ctx *c) {
    const struct attr_spec *s = op_info(op)->attrs;
    for (int i = 0; s[i].name; i++)
        if (!check_attr(c, i, &s[i])) return false;
    return true;
}

// ---- all of a node ------------------------------------------------------------------
static bool takes_bf16(enum op op) {
    return op == OP_CAST || op == OP_CONV || op == OP_CONV_DX || op == OP_MATMUL;
}

static bool check_bf16(enum op op, struct rule_ctx *c) {
    if (takes_bf16(op)) return true;
    for (size_t i = 0; i < c->nin; i++)
        if (c->ins[i] && c->ins[i]->elem == ELEM_BF16)
            return rule_fail_in(c, (int)i, "does not take bf16, this is %s",
                                type_str(c->arena, c->ins[i]));
    return true;
}

static bool apply_rule(enum op op, struct rule_ctx *c, struct type *out) {
    if (!check_operands(op, c) || !check_bf16(op, c) || !check_attrs(op, c)) return false;
    const struct op_info *info = op_info(op);
    if (info->rule && !info->rule(c, out)) return false;
    if (type_count_ok(out)) return true;
    return rule_fail(c, "%s has too many elements", type_str(c->arena, out));
}

bool check_node(enum op op, struct rule_ctx *c, struct type *out) {
    c->error = NULL;
    c->error_operand = c->error_attr = -1;
    if (apply_rule(op, c, out)) return true;
    c->error = arena_printf(c->arena, "%s: %s", op_info(op)->name, c->error);
    return false;
}
