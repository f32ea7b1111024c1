// The text form of a function, read (print.c says what it looks like). The builder checks
// every node as it checks any other, so whatever a text says, the function is well
// formed; what the builder refuses is reported at the operand or attribute at fault.
// Reading stops at the first error: most later ones would follow from it.
#include "ir/bf16.h"
#include "ir/build_core.h"
#include "ir/lex.h"
#include "ir/text.h"

struct reader {
    struct lexer lex;
    struct arena *arena;
    struct diags *d;
    struct builder b;
    enum family family;
    VEC(nid) values; // by the text's number; NID_NONE: not defined
};

struct statement { // an op being read, with where its parts stand
    enum op op;
    struct span op_span;
    VEC(nid) in;
    VEC(struct span) in_spans;
    struct value attrs[OP_MAX_ATTRS];
    struct span attr_spans[OP_MAX_ATTRS];
    bool given[OP_MAX_ATTRS];
};

// ---- types --------------------------------------------------------------------------
static bool read_dims(struct reader *r, struct type *t) {
    for (t->rank = 0; !lex_is(&r->lex, "]") && !lex_is(&r->lex, "->"); t->rank++) {
        uint64_t dim;
        if (t->rank && !lex_expect(&r->lex, ",")) return false;
        if (t->rank == TYPE_MAX_RANK)
            return lex_expected(&r->lex, "at most 6 dimensions");
        struct span at = lex_span(&r->lex);
        if (!lex_uint(&r->lex, &dim)) return false;
        if (dim > TYPE_MAX_COUNT)
            return diag_error(r->d, at, "this dimension is too large");
        t->dim[t->rank] = (size_t)dim;
    }
    return true;
}

static bool read_classes(struct reader *r, struct type *t) {
    uint64_t classes;
    struct span at = lex_span(&r->lex);
    if (!lex_expect(&r->lex, "->") || !lex_uint(&r->lex, &classes)) return false;
    if (classes == 0 || classes > TYPE_MAX_COUNT)
        return diag_error(r->d, at, "a model has at least one class, and not this many");
    t->classes = (size_t)classes;
    return true;
}

// What the text leaves unsaid of the language's types.
static const struct known_type {
    enum kind kind;
    enum elem elem;
    bool rows, dims; // dims: written, `rank` of them; else they are fixed
    uint32_t rank;
    size_t dim0;
} KNOWN[] = {
    {KIND_NONE, ELEM_F32, false, false, 0, 0},
    {KIND_IMAGES, ELEM_U8, true, true, 3, 0},
    {KIND_MAPS, ELEM_F32, true, true, 2, 0},
    {KIND_SCORES, ELEM_F32, true, false, 0, 0},
    {KIND_LABELS, ELEM_F32, true, true, 1, 0},
    {KIND_BOXES, ELEM_I32, true, false, 1, 4},
    {KIND_MODEL, ELEM_F32, false, true, 3, 0},
    {KIND_ASK, ELEM_F32, false, true, 3, 0},
    {KIND_AUGMENT, ELEM_F32, false, false, 0, 0},
};

static bool read_known_type(struct reader *r, const struct known_type *k,
                            struct type *t) {
    struct span at = lex_span(&r->lex);
    *t = (struct type){.kind = k->kind,
                       .elem = k->elem,
                       .rows = k->rows,
                       .rank = k->rank,
                       .dim = {k->dim0}};
    lex_next(&r->lex);
    if (!k->dims) return true;
    if (!lex_expect(&r->lex, "[") || !read_dims(r, t)) return false;
    if (t->rank != k->rank)
        return diag_error(r->d, at, "%s has %u dimensions, this has %u",
                          kind_name(k->kind), k->rank, t->rank);
    bool classes = k->kind == KIND_MODEL || k->kind == KIND_ASK;
    if (classes && !read_classes(r, t)) return false;
    return lex_expect(&r->lex, "]");
}

// "measure" alone is one number.
static bool read_measure(struct reader *r, struct type *t) {
    *t = (struct type){.kind = KIND_MEASURE, .elem = ELEM_F32};
    return !lex_accept(&r->lex, "[") || (read_dims(r, t) && lex_expect(&r->lex, "]"));
}

static bool read_type(struct reader *r, struct type *t) {
    struct span at = lex_span(&r->lex);
    if (lex_accept(&r->lex, kind_name(KIND_MEASURE)))
        return read_measure(r, t) &&
               (type_count_ok(t) || diag_error(r->d, at, "too many elements"));
    for (size_t i = 0; i < COUNT(KNOWN); i++)
        if (lex_is(&r->lex, kind_name(KNOWN[i].kind))) {
            if (!read_known_type(r, &KNOWN[i], t)) return false;
            return type_count_ok(t) || diag_error(r->d, at, "too many elements");
        }
    *t = (struct type){.kind = KIND_TENSOR, .rows = lex_accept(&r->lex, "rows")};
    if (!elem_from_name(r->lex.now.at, r->lex.now.n, &t->elem))
        return lex_expected(&r->lex, "a type (f32[3,4])");
    lex_next(&r->lex);
    if (!lex_expect(&r->lex, "[") || !read_dims(r, t) || !lex_expect(&r->lex, "]"))
        return false;
    return type_count_ok(t) || diag_error(r->d, at, "too many elements");
}

// ---- attribute values ---------------------------------------------------------------
static bool read_list(struct lexer *l, struct arena *arena, bool floats,
                      struct value *out) {
    VEC(int64_t) is = {0};
    VEC(double) fs = {0};
    if (!lex_expect(l, "[")) return false;
    for (size_t i = 0; !lex_is(l, "]"); i++) {
        int64_t v = 0;
        double f = 0;
        if (i && !lex_expect(l, ",")) return false;
        if (floats ? !lex_double(l, &f) : !lex_int(l, &v)) return false;
        if (floats) VEC_PUSH(arena, &fs, f);
        else VEC_PUSH(arena, &is, v);
    }
    *out = floats ? val_floats(fs.at, fs.n) : val_ints(is.at, is.n);
    return lex_expect(l, "]");
}

static bool read_bool(struct lexer *l, struct value *out) {
    out->i = lex_is(l, "true");
    return lex_accept(l, "true") || lex_accept(l, "false") ||
           lex_expected(l, "`true` or `false`");
}

static bool read_value(struct lexer *l, struct arena *arena, enum value_kind kind,
                       struct value *out) {
    *out = (struct value){.kind = kind};
    switch (kind) {
    case VAL_INT: return lex_int(l, &out->i);
    case VAL_FLOAT: return lex_double(l, &out->f);
    case VAL_BOOL: return read_bool(l, out);
    case VAL_STRING: return lex_string(l, arena, &out->s);
    case VAL_INTS:
    case VAL_FLOATS: return read_list(l, arena, kind == VAL_FLOATS, out);
    case VAL_NONE: break;
    }
    BUG("an attribute without a kind");
}

// Attributes that the text leaves out have their defaults, when they have one.
static void use_fallback(struct reader *r, const struct attr_spec *spec,
                         struct value *out) {
    if (!spec->fallback || strcmp(spec->fallback, "none") == 0) return;
    const struct source text = {"default", spec->fallback, strlen(spec->fallback)};
    struct lexer l;
    lex_init(&l, &text, r->d);
    if (!read_value(&l, r->arena, spec->kind, out))
        BUG("the default of `%s` in the op table cannot be read", spec->name);
}

static const char *attr_name_at(const void *op, size_t i) {
    return op_info(*(const enum op *)op)->attrs[i].name;
}

static bool read_attr(struct reader *r, struct statement *s) {
    struct token name;
    struct span at = lex_span(&r->lex);
    if (!lex_word(&r->lex, "an operand or an attribute", &name)) return false;
    int i = op_attr(s->op, name.at, name.n);
    if (i < 0) {
        const char *text = arena_strndup(r->arena, name.at, name.n);
        const char *near = near_miss(text, attr_name_at, &s->op);
        diag_error(r->d, at, "%s has no attribute `%s`", op_info(s->op)->name, text);
        return diag_help(r->d, near ? "did you mean `%s`?" : NULL, near);
    }
    if (s->given[i])
        return diag_error(r->d, at, "`%s` is given twice", op_info(s->op)->attrs[i].name);
    if (!lex_expect(&r->lex, "=")) return false;
    s->given[i] = true;
    s->attr_spans[i] = lex_span(&r->lex);
    return read_value(&r->lex, r->arena, op_info(s->op)->attrs[i].kind, &s->attrs[i]);
}

// ---- values -------------------------------------------------------------------------
static bool use_value(struct reader *r, nid *out) {
    struct span at = lex_span(&r->lex);
    size_t id;
    if (!lex_value_id(&r->lex, &id)) return false;
    *out = id < r->values.n ? r->values.at[id] : NID_NONE;
    return *out != NID_NONE || diag_error(r->d, at, "%%%zu is not defined above", id);
}

static bool new_value(struct reader *r, size_t *id) {
    struct span at = lex_span(&r->lex);
    if (!lex_value_id(&r->lex, id)) return false;
    while (r->values.n <= *id) VEC_PUSH(r->arena, &r->values, NID_NONE);
    return r->values.at[*id] == NID_NONE ||
           diag_error(r->d, at, "%%%zu is defined twice", *id);
}

static bool read_operand(struct reader *r, struct statement *s) {
    nid in = NID_NONE;
    struct span at = lex_span(&r->lex);
    if (!lex_accept(&r->lex, "_") && !use_value(r, &in)) return false;
    VEC_PUSH(r->arena, &s->in, in);
    VEC_PUSH(r->arena, &s->in_spans, at);
    return true;
}

// Says what the builder refused, at the operand or attribute at fault.
static bool report(struct reader *r, const struct statement *s,
                   const struct rule_ctx *c) {
    struct span at = s->op_span;
    if (c->error_operand >= 0 && (size_t)c->error_operand < s->in_spans.n)
        at = s->in_spans.at[c->error_operand];
    if (c->error_attr >= 0 && s->given[c->error_attr]) at = s->attr_spans[c->error_attr];
    return diag_error(r->d, at, "%s", c->error);
}

// ---- constants ----------------------------------------------------------------------
static bool read_bf16(struct reader *r, uint16_t *out) {
    float v;
    if (!lex_float(&r->lex, &v)) return false;
    *out = bf16_of(v);
    return true;
}

static bool read_element(struct reader *r, enum elem e, void *data, size_t i) {
    static const int64_t limit[ELEM_COUNT][2] = {[ELEM_I32] = {INT32_MIN, INT32_MAX},
                                                 [ELEM_I64] = {INT64_MIN, INT64_MAX},
                                                 [ELEM_U8] = {0, UINT8_MAX}};
    struct span at = lex_span(&r->lex);
    int64_t v;
    if (e == ELEM_F32) return lex_float(&r->lex, (float *)data + i);
    if (e == ELEM_BF16) return read_bf16(r, (uint16_t *)data + i);
    if (e == ELEM_U64) return lex_uint(&r->lex, (uint64_t *)data + i);
    if (!lex_int(&r->lex, &v)) return false;
    if (v < limit[e][0] || v > limit[e][1])
        return diag_error(r->d, at, "%lld does not fit into %s", (long long)v,
                          elem_name(e));
    if (e == ELEM_I64) ((int64_t *)data)[i] = v;
    else if (e == ELEM_I32) ((int32_t *)data)[i] = (int32_t)v;
    else ((uint8_t *)data)[i] = (uint8_t)v;
    return true;
}

static bool read_elements(struct reader *r, struct node *n) {
    size_t count = type_count(&n->type);
    // An element takes a byte or more of text: a large count is not believed.
    if (count > r->lex.src->n)
        return diag_error(r->d, lex_span(&r->lex),
                          "%s has %zu elements, more than follow",
                          type_str(r->arena, &n->type), count);
    void *data = arena_alloc(r->arena, count, elem_size(n->type.elem));
    if (!lex_expect(&r->lex, "[")) return false;
    for (size_t i = 0; i < count; i++) {
        if (i && !lex_expect(&r->lex, ",")) return false;
        if (!read_element(r, n->type.elem, data, i)) return false;
    }
    n->data = data;
    n->digest = data_digest(&n->type, data);
    return lex_expect(&r->lex, "]");
}

static bool read_digest(struct reader *r, struct node *n) {
    return lex_expect(&r->lex, "digest") && lex_expect(&r->lex, "=") &&
           lex_digest(&r->lex, &n->digest);
}

// What follows `const` or `param`.
static bool read_constant(struct reader *r, const struct statement *s, nid *out) {
    struct value name = {0};
    struct node n = {.op = s->op, .attrs = &name};
    struct rule_ctx error;
    if (s->op == OP_PARAM) {
        name.kind = VAL_STRING;
        if (!lex_string(&r->lex, r->arena, &name.s)) return false;
    }
    struct span at = lex_span(&r->lex);
    if (!read_type(r, &n.type)) return false;
    if (n.type.kind != KIND_TENSOR || n.type.rows)
        return diag_error(r->d, at, "a constant is a tensor, and the same for all rows");
    if (lex_is(&r->lex, "[") ? !read_elements(r, &n) : !read_digest(r, &n)) return false;
    *out = build_given(&r->b, &n, &error);
    return *out != NID_NONE || report(r, s, &error);
}

// ---- ops ----------------------------------------------------------------------------
static const char *op_name_at(const void *family, size_t i) {
    for (size_t op = 0; op < OP_COUNT; op++)
        if (op_info((enum op)op)->family == *(const enum family *)family && i-- == 0)
            return op_info((enum op)op)->name;
    return NULL;
}

static bool read_op_name(struct reader *r, struct statement *s) {
    struct token name;
    s->op_span = lex_span(&r->lex);
    if (!lex_word(&r->lex, "an op", &name)) return false;
    s->op = op_find(r->family, name.at, name.n);
    if (s->op == OP_INPUT)
        return diag_error(r->d, s->op_span, "inputs stand in the function's first line");
    if (s->op != OP_COUNT) return true;
    bool pipeline = r->family == FAMILY_PIPELINE;
    const char *text = arena_strndup(r->arena, name.at, name.n);
    if (op_find(pipeline ? FAMILY_TENSOR : FAMILY_PIPELINE, name.at, name.n) != OP_COUNT)
        return diag_error(r->d, s->op_span, "`%s` is an op of %s", text,
                          pipeline ? "tensor functions (func)" : "pipelines");
    const char *near = near_miss(text, op_name_at, &r->family);
    diag_error(r->d, s->op_span, "unknown op `%s`", text);
    return diag_help(r->d, near ? "did you mean `%s`?" : NULL, near);
}

static bool read_arguments(struct reader *r, struct statement *s) {
    if (!lex_expect(&r->lex, "(")) return false;
    for (bool first = true, attrs = false; !lex_is(&r->lex, ")"); first = false) {
        if (!first && !lex_expect(&r->lex, ",")) return false;
        bool operand = r->lex.now.kind == TOKEN_VALUE || lex_is(&r->lex, "_");
        if (operand && attrs) return lex_expected(&r->lex, "an attribute");
        if (operand ? !read_operand(r, s) : !read_attr(r, s)) return false;
        attrs = !operand;
    }
    const struct attr_spec *spec = op_info(s->op)->attrs;
    for (int i = 0; spec[i].name; i++)
        if (!s->given[i]) use_fallback(r, &spec[i], &s->attrs[i]);
    return lex_expect(&r->lex, ")");
}

// onnx: the type is the text's to give, and a digest stands for the network.
static bool make_given(struct reader *r, struct statement *s, nid *out) {
    struct node n = {.op = s->op, .attrs = s->attrs};
    struct rule_ctx error;
    struct span at;
    if (!lex_expect(&r->lex, ":")) return false;
    at = lex_span(&r->lex);
    if (!read_type(r, &n.type)) return false;
    if (n.type.kind != KIND_MODEL || type_count(&n.type) == 0)
        return diag_error(r->d, at, "%s gives a model", op_info(s->op)->name);
    if (s->in.n) return diag_error(r->d, s->in_spans.at[0], "takes no operands");
    if (!read_digest(r, &n)) return false;
    *out = build_given(&r->b, &n, &error);
    return *out != NID_NONE || report(r, s, &error);
}

static bool make_node(struct reader *r, struct statement *s, nid *out) {
    struct rule_ctx error;
    struct type type;
    if (op_info(s->op)->flags & OPF_BATCH && !r->b.f->joint)
        return diag_error(r->d, s->op_span, "%s is for joint functions (`joint batch=N`)",
                          op_info(s->op)->name);
    *out = build_node(&r->b, s->op, s->in.at, s->in.n, s->attrs, &error);
    if (*out == NID_NONE) return report(r, s, &error);
    if (!lex_accept(&r->lex, ":")) return true; // the type may be left out
    struct span at = lex_span(&r->lex);
    if (!read_type(r, &type)) return false;
    return type_eq(&type, type_at(r->b.f, *out)) ||
           diag_error(r->d, at, "this gives %s",
                      type_str(r->arena, type_at(r->b.f, *out)));
}

// %3 "name" = op ...
static bool read_statement(struct reader *r) {
    struct statement s = {0};
    const char *name = NULL;
    size_t id;
    nid made = NID_NONE;
    r->b.span = lex_span(&r->lex);
    if (!new_value(r, &id)) return false;
    if (r->lex.now.kind == TOKEN_STRING && !lex_string(&r->lex, r->arena, &name))
        return false;
    if (!lex_expect(&r->lex, "=") || !read_op_name(r, &s)) return false;
    r->b.name = name;
    if (s.op == OP_CONST || s.op == OP_PARAM) {
        if (!read_constant(r, &s, &made)) return false;
    } else {
        if (!read_arguments(r, &s)) return false;
        r->b.span.end = (uint32_t)r->lex.last_end;
        if (op_info(s.op)->rule ? !make_node(r, &s, &made) : !make_given(r, &s, &made))
            return false;
    }
    r->values.at[id] = made;
    return true;
}

// ---- functions ----------------------------------------------------------------------
static bool input_exists(const struct func *f, const char *name) {
    for (size_t i = 0; i < f->nodes.n; i++)
        if (strcmp(f->nodes.at[i].attrs[0].s, name) == 0) return true;
    return false;
}

static bool read_input(struct reader *r) {
    const char *name;
    struct type t;
    size_t id;
    r->b.span = lex_span(&r->lex);
    if (!new_value(r, &id)) return false;
    struct span at = lex_span(&r->lex);
    if (!lex_string(&r->lex, r->arena, &name) || !lex_expect(&r->lex, ":")) return false;
    if (input_exists(r->b.f, name))
        return diag_error(r->d, at, "another input has this name");
    at = lex_span(&r->lex);
    if (!read_type(r, &t)) return false;
    if (t.kind != KIND_TENSOR) return diag_error(r->d, at, "an input is a tensor");
    r->values.at[id] = b_input(&r->b, name, t);
    return true;
}

// What stands between a function's inputs and its body.
static bool read_marks(struct reader *r) {
    uint64_t batch;
    struct func *f = r->b.f;
    f->bf16 = lex_accept(&r->lex, "bf16");
    f->joint = lex_accept(&r->lex, "joint");
    if (!f->joint) return true;
    if (!lex_expect(&r->lex, "batch") || !lex_expect(&r->lex, "=")) return false;
    struct span at = lex_span(&r->lex);
    if (!lex_uint(&r->lex, &batch)) return false;
    f->batch = (size_t)batch;
    return (batch > 0 && batch <= TYPE_MAX_COUNT) ||
           diag_error(r->d, at, "a batch has at least one row, and not this many");
}

static bool read_head(struct reader *r) {
    const char *name;
    struct token word;
    bool pipeline = lex_is(&r->lex, "pipeline");
    if (!pipeline && !lex_is(&r->lex, "func"))
        return lex_expected(&r->lex, "`func` or `pipeline`");
    lex_next(&r->lex);
    r->family = pipeline ? FAMILY_PIPELINE : FAMILY_TENSOR;
    if (!lex_expect(&r->lex, "@")) return false;
    bool quoted = r->lex.now.kind == TOKEN_STRING;
    if (r->lex.now.kind == TOKEN_NUMBER) r->lex.now.kind = TOKEN_WORD; // @2x
    if (quoted ? !lex_string(&r->lex, r->arena, &name)
               : !lex_word(&r->lex, "a name", &word))
        return false;
    builder_init(&r->b, r->arena,
                 quoted ? name : arena_strndup(r->arena, word.at, word.n));
    r->b.fold = false; // the text means what it says
    if (!lex_expect(&r->lex, "(")) return false;
    for (bool first = true; !lex_is(&r->lex, ")"); first = false) {
        if (!first && !lex_expect(&r->lex, ",")) return false;
        if (pipeline) return lex_expected(&r->lex, "`)`: a pipeline has no inputs");
        if (!read_input(r)) return false;
    }
    if (!lex_expect(&r->lex, ")")) return false;
    if (!pipeline && !read_marks(r)) return false;
    return lex_expect(&r->lex, "{");
}

static bool read_return(struct reader *r) {
    if (!lex_expect(&r->lex, "return")) return false;
    for (bool first = true; !lex_is(&r->lex, "}"); first = false) {
        const char *name;
        nid n;
        if (!first && !lex_expect(&r->lex, ",")) return false;
        if (!lex_string(&r->lex, r->arena, &name) || !use_value(r, &n)) return false;
        build_output(&r->b, name, n);
    }
    return lex_expect(&r->lex, "}");
}

struct func *ir_parse(struct arena *arena, const struct source *src, struct diags *d) {
    struct reader r = {.arena = arena, .d = d};
    if (src->n > UINT32_MAX) {
        diag_error(d, NO_SPAN, "%s is too large", src->path);
        return NULL;
    }
    lex_init(&r.lex, src, d);
    if (!read_head(&r)) return NULL;
    while (r.lex.now.kind == TOKEN_VALUE)
        if (!read_statement(&r)) return NULL;
    if (!read_return(&r)) return NULL;
    if (r.lex.now.kind != TOKEN_END) {
        lex_expected(&r.lex, "nothing after the function");
        return NULL;
    }
    return builder_finish(&r.b);
}
