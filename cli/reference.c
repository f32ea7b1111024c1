// See reference.h.
#include "cli/reference.h"

void reference_list(FILE *to) {
    for (int i = 0; i < OP_COUNT; i++) {
        const struct op_info *o = op_info((enum op)i);
        if (o->family == FAMILY_PIPELINE) fprintf(to, "%-14s %s\n", o->name, o->summary);
    }
    fputs("\n`ddg ops NAME` explains one.\n", to);
}

static const char *kinds_text(uint32_t kinds, char *out, size_t n) {
    size_t at = 0;
    out[0] = 0;
    for (int k = 0; k < KIND_COUNT; k++) {
        if (!(kinds >> k & 1)) continue;
        int wrote =
            snprintf(out + at, n - at, "%s%s", at ? " or " : "", kind_name((enum kind)k));
        at = size_min(at + (size_t)wrote, n - 1);
    }
    return out;
}

static void print_signature(const struct op_info *o, FILE *to) {
    bool first = true;
    fprintf(to, "%s(", o->name);
    for (size_t i = 0; o->operands[i].name; i++, first = false)
        fprintf(to, "%s%s%s", first ? "" : ", ", o->operands[i].name,
                o->operands[i].optional ? " = none" : "");
    for (size_t i = 0; o->attrs[i].name; i++, first = false)
        fprintf(to, "%s%s%s%s", first ? "" : ", ", o->attrs[i].name,
                o->attrs[i].fallback ? " = " : "",
                o->attrs[i].fallback ? o->attrs[i].fallback : "");
    fputs(")\n", to);
}

// Breaks text at words to stay within the width, each line indented.
static void print_wrapped(const char *text, int indent, FILE *to) {
    int column = indent;
    fprintf(to, "%*s", indent, "");
    for (const char *at = text; *at;) {
        int n = (int)strcspn(at, " ");
        if (column > indent && column + 1 + n > 88) {
            fprintf(to, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', to);
            column++;
        }
        fprintf(to, "%.*s", n, at);
        column += n;
        at += n + (at[n] == ' ');
    }
    fputc('\n', to);
}

static void print_attr(const struct attr_spec *a, FILE *to) {
    fprintf(to, "  %s: %s", a->name, value_type_name(a->kind));
    if (a->choices) {
        fputs(" of ", to);
        for (const char *c = a->choices; *c; c++)
            if (*c == '|') fputs(", ", to);
            else fputc(*c, to);
    }
    if (a->min != a->max && a->kind == VAL_INT)
        fprintf(to, " in %.0f .. %.0f", a->min, a->max);
    else if (a->min != a->max) fprintf(to, " in %g .. %g", a->min, a->max);
    fputc('\n', to);
    print_wrapped(a->doc, 6, to);
}

static const char *op_names(const void *ctx, size_t nth) {
    (void)ctx;
    for (int i = 0; i < OP_COUNT; i++)
        if (op_info((enum op)i)->family == FAMILY_PIPELINE && nth-- == 0)
            return op_info((enum op)i)->name;
    return NULL;
}

static bool takes_list(const struct op_info *o, size_t operand) {
    return o->flags & OPF_VARIADIC && !o->operands[operand + 1].name;
}

bool reference_op(const char *name, FILE *to, const char **suggestion) {
    static const char *const locality[] = {
        [LOCAL_ROW] = "its own input row", [LOCAL_CLASS] = "the rows of its class"};
    enum op op = op_find(FAMILY_PIPELINE, name, strlen(name));
    if (op == OP_COUNT) {
        *suggestion = near_miss(name, op_names, NULL);
        return false;
    }
    const struct op_info *o = op_info(op);
    char kinds[128];
    print_signature(o, to);
    print_wrapped(o->summary, 2, to);
    print_wrapped(o->doc, 2, to);
    if (o->operands[0].name && o->locality != LOCAL_WHOLE)
        fprintf(to, "  A result row depends on %s.\n", locality[o->locality]);
    fputc('\n', to);
    for (size_t i = 0; o->operands[i].name; i++)
        fprintf(to, "  %s: %s%s\n", o->operands[i].name,
                kinds_text(o->operands[i].kinds, kinds, sizeof kinds),
                takes_list(o, i) ? ", or a list" : "");
    for (size_t i = 0; o->attrs[i].name; i++) print_attr(&o->attrs[i], to);
    return true;
}
