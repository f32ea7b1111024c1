// The text form of a function, written. parse.c reads it back; see text.h for its look.
//
//     func @NAME(%0 "x": TYPE, ...) {    tensor functions; `pipeline`: the language's
//       %1 = const TYPE [1,2,3]          digest=HEX when the data is long, or elided
//       %2 = param "NAME" TYPE digest=HEX
//       %3 "name" = op(%0, %1, attr=VALUE, ...) : TYPE
//       return "out" %3, ...
//     }
//
// A function whose products may be of bf16 begins `func @NAME(...) bf16 {`, one that is
// called with whole batches `func @NAME(...) joint batch=ROWS {`. Absent attributes are
// left out, and absent operands at the end; one in between is `_`.
#include "ir/bf16.h"
#include "ir/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>

// ---- values -------------------------------------------------------------------------
// How many digits tell any two numbers of the kind apart.
enum precision { HALF = 4, SINGLE = 9, DOUBLE = 17 };

static bool reads_back(const char *s, double v, enum precision p) {
    if (p == HALF) return bf16_of(strtof(s, NULL)) == bf16_of((float)v);
    return p == SINGLE ? strtof(s, NULL) == (float)v : strtod(s, NULL) == v;
}

// The fewest digits that read back as the same number, without an exponent when that is
// readable.
static void print_number(struct text *out, double v, enum precision precision) {
    char s[40];
    double size = fabs(v);
    bool plain = size == 0 || (size >= 1e-4 && size < (precision == DOUBLE ? 1e15 : 1e9));
    if (isnan(v)) { // whatever its sign
        text_add(out, "nan");
        return;
    }
    for (int digits = 1; digits <= (int)(plain ? DOUBLE : precision); digits++) {
        snprintf(s, sizeof s, "%.*g", digits, v);
        if (reads_back(s, v, precision) && !(plain && strchr(s, 'e'))) break;
    }
    text_add(out, "%s", s);
}

static void print_string(struct text *out, const char *s) {
    text_add(out, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') text_add(out, "\\%c", c);
        else if (c == '\n') text_add(out, "\\n");
        else if (c == '\t') text_add(out, "\\t");
        else if (c < 0x20 || c == 0x7f) text_add(out, "\\x%02x", c);
        else text_add_n(out, s, 1);
    }
    text_add(out, "\"");
}

static void print_value(struct text *out, const struct value *v) {
    switch (v->kind) {
    case VAL_NONE: BUG("printing an absent value");
    case VAL_INT: text_add(out, "%" PRId64, v->i); return;
    case VAL_FLOAT: print_number(out, v->f, DOUBLE); return;
    case VAL_BOOL: text_add(out, v->i ? "true" : "false"); return;
    case VAL_STRING: print_string(out, v->s); return;
    case VAL_INTS:
    case VAL_FLOATS: break;
    }
    for (size_t i = 0; i < v->n; i++) {
        text_add(out, i ? "," : "[");
        if (v->kind == VAL_INTS) text_add(out, "%" PRId64, v->is[i]);
        else print_number(out, v->fs[i], DOUBLE);
    }
    text_add(out, v->n ? "]" : "[]");
}

// ---- constants ----------------------------------------------------------------------
static void print_element(struct text *out, const struct node *n, size_t i) {
    switch (n->type.elem) {
    case ELEM_F32: print_number(out, (double)((const float *)n->data)[i], SINGLE); return;
    case ELEM_BF16: {
        uint16_t bits = ((const uint16_t *)n->data)[i];
        print_number(out, (double)bf16_value(bits), HALF);
        return;
    }
    case ELEM_I32: text_add(out, "%" PRId32, ((const int32_t *)n->data)[i]); return;
    case ELEM_I64: text_add(out, "%" PRId64, ((const int64_t *)n->data)[i]); return;
    case ELEM_U8: text_add(out, "%u", (unsigned)((const uint8_t *)n->data)[i]); return;
    case ELEM_U64: text_add(out, "%" PRIu64, ((const uint64_t *)n->data)[i]); return;
    case ELEM_COUNT: break;
    }
    BUG("constant of an unknown element type");
}

static void print_digest(struct text *out, struct digest d) {
    char hex[DIGEST_HEX];
    digest_hex(d, hex);
    text_add(out, "digest=%s", hex);
}

static void print_data(struct text *out, const struct node *n) {
    size_t count = type_count(&n->type);
    if (!n->data || count > IR_TEXT_INLINE) {
        print_digest(out, n->digest);
        return;
    }
    text_add(out, "[");
    for (size_t i = 0; i < count; i++) {
        if (i) text_add(out, ",");
        print_element(out, n, i);
    }
    text_add(out, "]");
}

// ---- nodes --------------------------------------------------------------------------
static void print_operands(struct text *out, const struct node *n) {
    uint32_t nin = n->nin;
    while (nin && n->in[nin - 1] == NID_NONE) nin--;
    for (uint32_t i = 0; i < nin; i++) {
        if (i) text_add(out, ", ");
        if (n->in[i] == NID_NONE) text_add(out, "_");
        else text_add(out, "%%%u", n->in[i]);
    }
}

static void print_attrs(struct text *out, const struct node *n) {
    bool first = n->nin == 0;
    for (size_t i = 0; i < op_attr_count(n->op); i++) {
        if (n->attrs[i].kind == VAL_NONE) continue;
        text_add(out, "%s%s=", first ? "" : ", ", op_info(n->op)->attrs[i].name);
        print_value(out, &n->attrs[i]);
        first = false;
    }
}

static void print_node(struct text *out, const struct node *n) {
    const char *op = op_info(n->op)->name;
    if (n->op == OP_CONST || n->op == OP_PARAM) {
        text_add(out, "%s ", op);
        if (n->op == OP_PARAM) {
            print_string(out, n->attrs[0].s);
            text_add(out, " ");
        }
        type_print(&n->type, out);
        text_add(out, " ");
        print_data(out, n);
        return;
    }
    text_add(out, "%s(", op);
    print_operands(out, n);
    print_attrs(out, n);
    text_add(out, ") : ");
    type_print(&n->type, out);
    if (n->type.kind == KIND_MODEL && !op_info(n->op)->rule) {
        text_add(out, " ");
        print_digest(out, n->digest);
    }
}

// ---- functions ----------------------------------------------------------------------
static bool is_pipeline(const struct func *f) {
    for (size_t i = 0; i < f->nodes.n; i++)
        if (op_info(f->nodes.at[i].op)->family == FAMILY_PIPELINE) return true;
    return false;
}

static void print_name(struct text *out, const char *name) {
    bool plain = *name != 0;
    for (const char *s = name; *s && plain; s++)
        plain = isalnum((unsigned char)*s) || *s == '_';
    if (plain) text_add(out, "%s", name);
    else print_string(out, name);
}

static void print_inputs(const struct func *f, struct text *out) {
    bool first = true;
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct node *n = &f->nodes.at[i];
        if (n->op != OP_INPUT) continue;
        text_add(out, "%s%%%zu ", first ? "" : ", ", i);
        print_string(out, n->attrs[0].s);
        text_add(out, ": ");
        type_print(&n->type, out);
        first = false;
    }
}

static void print_body(const struct func *f, struct text *out) {
    for (size_t i = 0; i < f->nodes.n; i++) {
        const struct node *n = &f->nodes.at[i];
        if (n->op == OP_INPUT) continue;
        text_add(out, "  %%%zu ", i);
        if (n->name) {
            print_string(out, n->name);
            text_add(out, " ");
        }
        text_add(out, "= ");
        print_node(out, n);
        text_add(out, "\n");
    }
}

void ir_print(const struct func *f, struct text *out) {
    text_add(out, is_pipeline(f) ? "pipeline @" : "func @");
    print_name(out, f->name);
    text_add(out, "(");
    print_inputs(f, out);
    text_add(out, f->bf16 ? ") bf16 " : ") ");
    if (f->joint) text_add(out, "joint batch=%zu ", f->batch);
    text_add(out, "{\n");
    print_body(f, out);
    text_add(out, "  return");
    for (size_t i = 0; i < f->outs.n; i++) {
        text_add(out, i ? ", " : " ");
        print_string(out, f->out_names.at[i]);
        text_add(out, " %%%u", f->outs.at[i]);
    }
    text_add(out, "\n}\n");
}
