// The op table: ops.def as data. Its rules are in rules_*.c.
#include "ir/rules.h"

static const struct op_info OPS[OP_COUNT] = {
#define OP(id, ...) [OP_##id] = {__VA_ARGS__},
#include "ir/ops.def"
#undef OP
};

const struct op_info *op_info(enum op op) {
    CHECK(op < OP_COUNT);
    return &OPS[op];
}

static bool same_name(const char *a, const char *b, size_t n) {
    return strlen(a) == n && memcmp(a, b, n) == 0;
}

enum op op_find(enum family family, const char *name, size_t n) {
    for (size_t i = 0; i < OP_COUNT; i++)
        if (OPS[i].family == family && same_name(OPS[i].name, name, n)) return (enum op)i;
    return OP_COUNT;
}

int op_attr(enum op op, const char *name, size_t n) {
    const struct attr_spec *a = op_info(op)->attrs;
    for (int i = 0; a[i].name; i++)
        if (same_name(a[i].name, name, n)) return i;
    return -1;
}

size_t op_operand_count(enum op op) {
    const struct operand_spec *o = op_info(op)->operands;
    size_t n = 0;
    while (o[n].kinds) n++;
    return n;
}

size_t op_attr_count(enum op op) {
    const struct attr_spec *a = op_info(op)->attrs;
    size_t n = 0;
    while (a[n].name) n++;
    return n;
}
