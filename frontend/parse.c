// Tokens to a syntax tree: recursive descent, one token held, one more looked at.
//
//     file      = { statement end }            end = newline | ";"
//     statement = "import" STRING | "param" NAME ":" type "=" expr
//               | "def" NAME "(" [ NAME [ "=" expr ] { "," .. } ] ")" "{" body "}"
//               | NAME "=" expr | expr
//     body      = { NAME "=" expr end } "return" expr
//     type      = NAME | "[" NAME "]"
//     expr      = term { ("+" | "-") term }
//     term      = unary { ("*" | "/" | "//" | "%") unary }
//     unary     = "-" unary | stage
//     stage     = primary { "@" primary }
//     primary   = literal | NAME [ "(" args ")" ] | "[" items "]" | "(" expr ")"
//     items     = [ expr { "," expr } [ "," ] ] | expr { "for" NAME "in" expr }
//
// Line ends do not count inside ( and [. A statement that is wrong is reported once: the
// failing function returns NULL up to the statement, and reading goes on where the next
// statement seems to start.
#include "frontend/parse.h"

#include "frontend/lex.h"

struct parser {
    struct arena *arena;
    struct diags *d;
    struct file *file; // NULL for a piece of text
    const struct source *source;
    struct token t;   // the one being looked at
    size_t last_end;  // where the token before it ended
    size_t open;      // ( and [ not closed yet
    size_t depth;     // of parse_unary
    struct decl *def; // the body being read
};

// ---- tokens -------------------------------------------------------------------------
static void read_token(struct parser *p, size_t at) {
    do {
        p->t = lex_token(p->arena, p->source, at);
        at = p->t.end;
    } while (p->open > 0 && p->t.kind == TOK_NEWLINE && p->source->text[at - 1] != ';');
}

static void advance(struct parser *p) {
    p->last_end = p->t.end;
    read_token(p, p->t.end);
}

static bool accept(struct parser *p, int kind) {
    if (p->t.kind != kind) return false;
    advance(p);
    return true;
}

// Steps over an opening or a closing bracket.
static void open_bracket(struct parser *p) {
    p->open++;
    advance(p);
}

static void close_bracket(struct parser *p) {
    p->open--;
    advance(p);
}

static struct span span_of(const struct parser *p, size_t start, size_t end) {
    return (struct span){p->source, (uint32_t)start, (uint32_t)end};
}

static struct span token_span(const struct parser *p, const struct token *t) {
    return span_of(p, t->start, t->end);
}

// ---- errors -------------------------------------------------------------------------
// What follows from an error is not reported as another one.
static void fail(struct parser *p) {
    if (p->file) p->file->bad = true;
}

// Says that `what` was expected where the token stands. Always false.
static bool expected(struct parser *p, const char *what) {
    const struct token *t = &p->t;
    fail(p);
    if (t->kind == TOK_BAD) {
        diag_error(p->d, span_of(p, t->error_start, t->error_end), "%s", t->error);
        return t->help ? diag_help(p->d, "%s", t->help) : false;
    }
    return diag_error(p->d, token_span(p, t), "expected %s; got %s", what,
                      token_describe(p->arena, p->source, t));
}

static size_t line_of(const struct parser *p, size_t at) {
    size_t line, column;
    source_locate(p->source, at, &line, &column);
    return line;
}

// The same for what should close a bracket, such as "`,` or `)`": names the line of the
// opening one when it is not this one.
static bool expected_close(struct parser *p, const struct token *open, const char *what) {
    size_t line = line_of(p, open->start);
    if (p->t.kind == TOK_BAD || line == line_of(p, p->t.start)) return expected(p, what);
    expected(p, arena_printf(p->arena, "%s to close the `%c` at line %zu", what,
                             (char)open->kind, line));
    return diag_note(p->d, token_span(p, open), "opened here");
}

static bool expect(struct parser *p, int kind, const char *what) {
    return accept(p, kind) || expected(p, what);
}

// ---- names that are declared --------------------------------------------------------
static struct decl *new_decl(struct parser *p, enum decl_kind kind,
                             const struct token *name) {
    struct decl *d = NEW(p->arena, struct decl);
    d->kind = kind;
    d->name = name->text;
    d->span = token_span(p, name);
    d->file = p->file;
    return d;
}

static bool parse_new_name(struct parser *p, const char *what, struct token *name) {
    *name = p->t;
    return expect(p, TOK_NAME, what);
}

// ---- expressions --------------------------------------------------------------------
static struct expr *parse_expr(struct parser *p);

static struct expr *new_expr(struct parser *p, enum expr_kind kind, size_t start) {
    struct expr *e = NEW(p->arena, struct expr);
    e->kind = kind;
    e->height = 1;
    e->span = span_of(p, start, p->last_end);
    return e;
}

static struct expr *bad_expr(struct parser *p, size_t start) {
    return new_expr(p, EXPR_BAD, start);
}

// Puts a tree under e. False, reported, when e grows too high to be walked.
static bool adopt(struct parser *p, struct expr *e, const struct expr *below) {
    if (below->height >= e->height) e->height = below->height + 1;
    if (e->height <= EXPR_MAX_DEPTH) return true;
    fail(p);
    diag_error(p->d, below->span, "this expression is more than %d operations deep",
               EXPR_MAX_DEPTH);
    return diag_help(p->d, "give parts of it names of their own");
}

static struct expr *parse_literal(struct parser *p) {
    struct token t = p->t;
    struct value v = {.kind = VAL_NONE};
    if (t.kind == TOK_INT) v = val_int(t.i);
    else if (t.kind == TOK_FLOAT) v = val_float(t.f);
    else if (t.kind == TOK_STRING) v = val_string(t.text);
    else if (t.kind != TOK_NONE) v = val_bool(t.kind == TOK_TRUE);
    advance(p);
    struct expr *e = new_expr(p, EXPR_VALUE, t.start);
    e->value = v;
    return e;
}

static bool parse_loop(struct parser *p, struct loop *loop) {
    struct token name;
    advance(p);
    if (!parse_new_name(p, "a name for the values of the list", &name) ||
        !expect(p, TOK_IN, "`in` and a list"))
        return false;
    loop->var = new_decl(p, DECL_VAR, &name);
    loop->in = parse_expr(p);
    return loop->in;
}

static struct expr *too_many_loops(struct parser *p) {
    fail(p);
    diag_error(p->d, token_span(p, &p->t), "a list has at most %d `for`s",
               EACH_MAX_LOOPS);
    return NULL;
}

// What a list has no words for, but other languages have.
static struct expr *no_each_end(struct parser *p, const struct token *open) {
    bool condition = p->t.kind == TOK_NAME && strcmp(p->t.text, "if") == 0;
    expected_close(p, open, "`for` or `]`");
    if (condition) diag_help(p->d, "there are no conditions in a program");
    return NULL;
}

// The rest of a list whose first item was read, from its first `for` on.
static struct expr *parse_each(struct parser *p, const struct token *open,
                               struct expr *item) {
    struct expr *e = new_expr(p, EXPR_EACH, open->start);
    VEC(struct loop) loops = {0};
    if (!adopt(p, e, item)) return NULL;
    while (p->t.kind == TOK_FOR) {
        struct loop loop;
        if (loops.n == EACH_MAX_LOOPS) return too_many_loops(p);
        if (!parse_loop(p, &loop) || !adopt(p, e, loop.in)) return NULL;
        VEC_PUSH(p->arena, &loops, loop);
    }
    if (p->t.kind != ']') return no_each_end(p, open);
    close_bracket(p);
    e->span = span_of(p, open->start, p->last_end);
    e->each = NEW(p->arena, struct each);
    *e->each = (struct each){item, loops.at, loops.n};
    return e;
}

static struct expr *parse_list(struct parser *p) {
    struct token open = p->t;
    struct expr *e = new_expr(p, EXPR_LIST, open.start);
    VEC(struct expr *) items = {0};
    open_bracket(p);
    while (p->t.kind != ']') {
        struct expr *item = parse_expr(p);
        if (!item || !adopt(p, e, item)) return NULL;
        VEC_PUSH(p->arena, &items, item);
        if (p->t.kind == TOK_FOR && items.n == 1) return parse_each(p, &open, item);
        if (p->t.kind != ']' && !accept(p, ',')) {
            expected_close(p, &open, "`,` or `]`");
            return NULL;
        }
    }
    close_bracket(p);
    e->span = span_of(p, open.start, p->last_end);
    e->list.items = items.at;
    e->list.n = items.n;
    if (items.n <= LIST_MAX_ITEMS) return e;
    fail(p);
    diag_error(p->d, e->span, "this list has %zu items; at most %zu are allowed", items.n,
               LIST_MAX_ITEMS);
    return NULL;
}

// Is the token a name with `=` behind it?
static bool at_binding(const struct parser *p) {
    return p->t.kind == TOK_NAME && lex_token(p->arena, p->source, p->t.end).kind == '=';
}

static bool parse_arg(struct parser *p, struct call *c, struct arg *arg) {
    *arg = (struct arg){0};
    if (at_binding(p)) {
        arg->name = p->t.text;
        arg->name_span = token_span(p, &p->t);
        advance(p);
        advance(p);
    }
    arg->value = parse_expr(p);
    if (!arg->value) return false;
    if (arg->name || c->nargs == 0 || !c->args[c->nargs - 1].name) return true;
    fail(p);
    diag_error(p->d, arg->value->span,
               "an argument without a name cannot follow one with a name");
    return diag_help(p->d, "write `NAME = ` in front of it, or put it first");
}

static struct expr *parse_call(struct parser *p, const struct token *name) {
    struct token open = p->t;
    struct expr *e = new_expr(p, EXPR_CALL, name->start);
    struct call *c = e->call = NEW(p->arena, struct call);
    VEC(struct arg) args = {0};
    c->name = name->text;
    c->name_span = token_span(p, name);
    c->op = OP_COUNT;
    open_bracket(p);
    while (p->t.kind != ')') {
        struct arg arg;
        if (!parse_arg(p, c, &arg) || !adopt(p, e, arg.value)) return NULL;
        VEC_PUSH(p->arena, &args, arg);
        c->args = args.at;
        c->nargs = args.n;
        if (p->t.kind != ')' && !accept(p, ',')) {
            expected_close(p, &open, "`,` or `)`");
            return NULL;
        }
    }
    close_bracket(p);
    e->span = span_of(p, name->start, p->last_end);
    return e;
}

static struct expr *parse_name(struct parser *p) {
    struct token name = p->t;
    advance(p);
    if (p->t.kind == '(') return parse_call(p, &name);
    struct expr *e = new_expr(p, EXPR_NAME, name.start);
    e->name.text = name.text;
    return e;
}

static struct expr *parse_brackets(struct parser *p) {
    struct token open = p->t;
    open_bracket(p);
    struct expr *e = parse_expr(p);
    if (!e) return NULL;
    if (p->t.kind != ')') {
        expected_close(p, &open, "`)`");
        return NULL;
    }
    close_bracket(p);
    return e;
}

static struct expr *parse_primary(struct parser *p) {
    switch (p->t.kind) {
    case TOK_INT:
    case TOK_FLOAT:
    case TOK_STRING:
    case TOK_TRUE:
    case TOK_FALSE:
    case TOK_NONE: return parse_literal(p);
    case TOK_NAME: return parse_name(p);
    case '[': return parse_list(p);
    case '(': return parse_brackets(p);
    default: expected(p, "a value"); return NULL;
    }
}

// model@epoch is another way to write stage(model, epoch).
static struct expr *new_stage(struct parser *p, const struct token *at,
                              struct expr *model, struct expr *epoch) {
    struct expr *e = new_expr(p, EXPR_CALL, model->span.start);
    struct call *c = e->call = NEW(p->arena, struct call);
    c->name = op_info(OP_STAGE)->name;
    c->name_span = token_span(p, at);
    c->op = OP_COUNT;
    c->args = NEW_N(p->arena, struct arg, 2);
    c->nargs = 2;
    c->args[0].value = model;
    c->args[1].value = epoch;
    return adopt(p, e, model) && adopt(p, e, epoch) ? e : NULL;
}

static struct expr *parse_stage(struct parser *p) {
    struct expr *e = parse_primary(p);
    while (e && p->t.kind == '@') {
        struct token at = p->t;
        advance(p);
        struct expr *epoch = parse_primary(p);
        e = epoch ? new_stage(p, &at, e, epoch) : NULL;
    }
    return e;
}

static struct expr *parse_operator(struct parser *p, enum expr_kind kind,
                                   const struct token *op, struct expr *l,
                                   struct expr *r) {
    struct expr *e = new_expr(p, kind, kind == EXPR_BINARY ? l->span.start : op->start);
    e->binary.op =
        arena_strndup(p->arena, p->source->text + op->start, op->end - op->start);
    e->binary.op_span = token_span(p, op);
    e->binary.l = l;
    e->binary.r = r;
    return adopt(p, e, l) && (!r || adopt(p, e, r)) ? e : NULL;
}

static struct expr *parse_negation(struct parser *p);

// All nesting comes through here.
static struct expr *parse_unary(struct parser *p) {
    if (p->depth == EXPR_MAX_DEPTH) {
        fail(p);
        diag_error(p->d, token_span(p, &p->t), "brackets nest more than %d deep here",
                   EXPR_MAX_DEPTH);
        return NULL;
    }
    p->depth++;
    struct expr *e = p->t.kind == '-' ? parse_negation(p) : parse_stage(p);
    p->depth--;
    return e;
}

static struct expr *parse_negation(struct parser *p) {
    struct token op = p->t;
    advance(p);
    struct expr *e = parse_unary(p);
    return e ? parse_operator(p, EXPR_NEGATE, &op, e, NULL) : NULL;
}

static struct expr *parse_term(struct parser *p) {
    struct expr *e = parse_unary(p);
    while (e && (p->t.kind == '*' || p->t.kind == '/' || p->t.kind == '%' ||
                 p->t.kind == TOK_FLOOR_DIVIDE)) {
        struct token op = p->t;
        advance(p);
        struct expr *r = parse_unary(p);
        e = r ? parse_operator(p, EXPR_BINARY, &op, e, r) : NULL;
    }
    return e;
}

static struct expr *parse_expr(struct parser *p) {
    struct expr *e = parse_term(p);
    while (e && (p->t.kind == '+' || p->t.kind == '-')) {
        struct token op = p->t;
        advance(p);
        struct expr *r = parse_term(p);
        e = r ? parse_operator(p, EXPR_BINARY, &op, e, r) : NULL;
    }
    return e;
}

// ---- finding the next statement -----------------------------------------------------
// The column (in bytes) of the first token of a line; false for one further in.
static bool first_on_line(const struct source *s, size_t at, size_t *indent) {
    size_t start = at;
    while (start > 0 && strchr(" \t", s->text[start - 1])) start--;
    *indent = at - start;
    return start == 0 || strchr("\r\n", s->text[start - 1]);
}

// After an error in the statement at `start`: goes on to the first line that is not
// indented deeper than it, or to the end of the body that it stands in.
static void next_statement(struct parser *p, size_t start) {
    size_t indent = 0, column, braces = 0;
    bool own_line = first_on_line(p->source, start, &indent);
    p->open = 0;
    if (p->d->errors > DIAGS_MAX_ERRORS) read_token(p, p->source->n); // enough is enough
    for (; p->t.kind != TOK_END; read_token(p, p->t.end)) {
        int kind = p->t.kind;
        if (kind == '{') braces++;
        else if (kind == '}' && braces > 0) braces--;
        else if (kind == '}' && p->def) return;
        else if (kind == TOK_NEWLINE && !own_line && braces == 0) return;
        else if (p->t.start > start && kind != ')' && kind != ']' &&
                 kind != TOK_NEWLINE && first_on_line(p->source, p->t.start, &column) &&
                 column <= indent)
            return;
    }
}

// ---- statements ---------------------------------------------------------------------
static void declare(struct parser *p, struct decl *d) {
    if (p->def) VEC_PUSH(p->arena, &p->def->locals, d);
    else VEC_PUSH(p->arena, &p->file->decls, d);
}

// The expression of a declaration: a bad one when it cannot be read, so that the name is
// known all the same.
static bool parse_decl_expr(struct parser *p, struct decl *d) {
    size_t start = p->t.start;
    struct expr *e = parse_expr(p);
    d->expr = e ? e : bad_expr(p, start);
    return e != NULL;
}

static bool parse_bind(struct parser *p) {
    struct decl *d = new_decl(p, DECL_BIND, &p->t);
    declare(p, d);
    advance(p);
    advance(p);
    return parse_decl_expr(p, d);
}

static const struct {
    const char *name;
    enum value_kind kind, list;
} types[] = {
    {"int", VAL_INT, VAL_INTS},
    {"float", VAL_FLOAT, VAL_FLOATS},
    {"bool", VAL_BOOL, VAL_NONE},
    {"string", VAL_STRING, VAL_NONE},
};

static const char *type_name_at(const void *ctx, size_t i) {
    (void)ctx;
    return i < COUNT(types) ? types[i].name : NULL;
}

static bool unknown_type(struct parser *p, const struct token *name, bool list) {
    fail(p);
    diag_error(p->d, token_span(p, name), "unknown type `%s%s%s`", list ? "[" : "",
               name->text, list ? "]" : "");
    const char *near = list ? NULL : near_miss(name->text, type_name_at, NULL);
    if (near) return diag_help(p->d, "did you mean `%s`?", near);
    return diag_help(p->d,
                     "a parameter is an int, float, bool, string, [int] or [float]");
}

static bool parse_type(struct parser *p, enum value_kind *kind) {
    bool list = accept(p, '[');
    struct token name = p->t;
    if (!expect(p, TOK_NAME, "a type")) return false;
    if (list && !expect(p, ']', "`]`")) return false;
    *kind = VAL_NONE;
    for (size_t i = 0; i < COUNT(types); i++)
        if (strcmp(types[i].name, name.text) == 0)
            *kind = list ? types[i].list : types[i].kind;
    return *kind != VAL_NONE || unknown_type(p, &name, list);
}

// The comment before the token that ends a statement, without blanks around it.
static const char *comment_text(struct parser *p) {
    const char *text = p->source->text;
    size_t start = p->t.doc_start, end = p->t.doc_end;
    while (start < end && strchr(" \t#", text[start])) start++;
    while (end > start && strchr(" \t", text[end - 1])) end--;
    return start == end ? NULL : arena_strndup(p->arena, text + start, end - start);
}

static bool parse_param(struct parser *p) {
    struct token name;
    advance(p);
    if (!parse_new_name(p, "a name for the parameter", &name)) return false;
    struct decl *d = new_decl(p, DECL_PARAM, &name);
    d->expr = bad_expr(p, name.start);
    declare(p, d);
    if (!expect(p, ':', "`:` and a type") || !parse_type(p, &d->type) ||
        !expect(p, '=', "`=` and a default") || !parse_decl_expr(p, d))
        return false;
    d->doc = comment_text(p);
    return true;
}

static bool parse_import(struct parser *p) {
    advance(p);
    struct import import = {p->t.text, token_span(p, &p->t)};
    if (!expect(p, TOK_STRING, "the file in quotes")) return false;
    VEC_PUSH(p->arena, &p->file->imports, import);
    return true;
}

static bool expected_line_end(struct parser *p) {
    expected(p, "the end of the line");
    bool typed = p->t.kind == ':';
    return typed ? diag_help(p->d, "a parameter starts with `param`: param name: int = 1")
                 : false;
}

// The name of an op that gives no value.
static bool is_statement(const char *name) {
    return op_is_statement(op_find(FAMILY_PIPELINE, name, strlen(name)));
}

static bool parse_call_line(struct parser *p) {
    size_t start = p->t.start;
    struct expr *e = parse_expr(p);
    if (!e) return false;
    if (e->kind != EXPR_CALL || !is_statement(e->call->name)) {
        // Something that should not stand here is often a binding gone wrong.
        if (p->t.kind != TOK_NEWLINE && p->t.kind != TOK_END && p->t.kind != '}')
            return expected_line_end(p);
        fail(p);
        diag_error(p->d, e->span, "this value goes nowhere");
        return diag_help(p->d, "bind it to a name (`name = ...`), or `save` it");
    }
    const char *op = e->call->name;
    struct token name = {.start = start, .end = start + strlen(op), .text = op};
    struct decl *d = new_decl(p, DECL_CALL, &name);
    d->expr = e;
    VEC_PUSH(p->arena, &p->file->decls, d);
    return true;
}

static bool parse_def(struct parser *p);

// A statement where only others may stand: says where it belongs.
static bool misplaced(struct parser *p, const char *message) {
    fail(p);
    return diag_error(p->d, token_span(p, &p->t), "%s", message);
}

static bool no_loop(struct parser *p) {
    misplaced(p, "there are no loops; `for` makes the items of a list");
    return diag_help(p->d, "write it in brackets: [f(x) for x in xs]");
}

static bool parse_top_statement(struct parser *p) {
    switch (p->t.kind) {
    case TOK_PARAM: return parse_param(p);
    case TOK_IMPORT: return parse_import(p);
    case TOK_DEF: return parse_def(p);
    case TOK_RETURN: return misplaced(p, "`return` stands outside a `def`");
    case TOK_FOR: return no_loop(p);
    default: return at_binding(p) ? parse_bind(p) : parse_call_line(p);
    }
}

static bool parse_body_statement(struct parser *p) {
    switch (p->t.kind) {
    case TOK_PARAM: return misplaced(p, "a `param` cannot stand inside a `def`");
    case TOK_IMPORT: return misplaced(p, "an `import` cannot stand inside a `def`");
    case TOK_DEF: return misplaced(p, "a `def` cannot stand inside a `def`");
    case TOK_RETURN: advance(p); return parse_decl_expr(p, p->def);
    case TOK_FOR: return no_loop(p);
    default: break;
    }
    if (at_binding(p)) return parse_bind(p);
    if (p->t.kind == TOK_NAME && is_statement(p->t.text))
        return misplaced(p, arena_printf(p->arena,
                                         "`%s` cannot stand inside a `def`: it returns a "
                                         "value",
                                         p->t.text));
    return expected(p, "`name = ...` or `return`");
}

static size_t declared(const struct parser *p) {
    return p->def ? p->def->locals.n : p->file->decls.n;
}

// Reads one statement and its end, or goes on to where the next one starts.
static void parse_statement(struct parser *p, bool (*parse)(struct parser *)) {
    size_t start = p->t.start, before = declared(p);
    if (parse(p)) {
        bool ends = p->t.kind == TOK_NEWLINE || p->t.kind == TOK_END ||
                    (p->t.kind == '}' && p->def);
        if (ends || expected(p, "the end of the line")) return;
    }
    if (declared(p) == before) p->file->holes = true;
    next_statement(p, start);
}

static bool parse_def_arg(struct parser *p, struct decl *def) {
    struct token name;
    if (!parse_new_name(p, "a parameter's name or `)`", &name)) return false;
    struct decl *arg = new_decl(p, DECL_ARG, &name);
    if (def->args.n == DEF_MAX_ARGS) {
        fail(p);
        return diag_error(p->d, arg->span, "`%s` has more than %d parameters", def->name,
                          DEF_MAX_ARGS);
    }
    VEC_PUSH(p->arena, &def->args, arg);
    return !accept(p, '=') || parse_decl_expr(p, arg);
}

static bool parse_def_args(struct parser *p, struct decl *def) {
    struct token open = p->t;
    if (open.kind != '(') return expected(p, "`(` and the parameters");
    open_bracket(p);
    while (p->t.kind != ')') {
        if (!parse_def_arg(p, def)) return false;
        if (p->t.kind != ')' && !accept(p, ','))
            return expected_close(p, &open, "`,` or `)`");
    }
    close_bracket(p);
    return true;
}

// After a `return`, only the closing brace may come.
static bool parse_body_end(struct parser *p, const struct token *open) {
    if (p->t.kind == '}') return true;
    if (p->t.kind == TOK_END) {
        expected(p, arena_printf(p->arena, "`}` to close the `{` at line %zu",
                                 line_of(p, open->start)));
        return diag_note(p->d, token_span(p, open), "opened here");
    }
    return expected(p, "`}`: nothing follows a `return`");
}

static bool parse_body(struct parser *p) {
    struct token open = p->t;
    struct decl *def = p->def;
    size_t errors = p->d->errors;
    if (!expect(p, '{', "`{`")) return false;
    for (;;) {
        while (accept(p, TOK_NEWLINE)) continue;
        if (p->t.kind == '}' || p->t.kind == TOK_END || def->expr) break;
        parse_statement(p, parse_body_statement);
    }
    if (!parse_body_end(p, &open)) return false;
    advance(p);
    if (def->expr || p->d->errors > errors) return true;
    fail(p);
    diag_error(p->d, def->span, "`%s` returns nothing", def->name);
    return diag_help(p->d, "end it with `return` and a value");
}

static bool parse_def(struct parser *p) {
    struct token name;
    advance(p);
    if (!parse_new_name(p, "a name for the op", &name)) return false;
    struct decl *def = new_decl(p, DECL_DEF, &name);
    declare(p, def);
    bool ok = parse_def_args(p, def);
    if (ok) {
        p->def = def;
        ok = parse_body(p);
        p->def = NULL;
    }
    if (!def->expr) def->expr = bad_expr(p, name.start);
    return ok;
}

// ---- entry points -------------------------------------------------------------------
void parse_file(struct arena *arena, struct file *f, struct diags *d) {
    struct parser p = {.arena = arena, .d = d, .file = f, .source = f->source};
    if (!lex_check_text(f->source, d)) {
        f->bad = f->holes = true;
        return;
    }
    read_token(&p, 0);
    for (;;) {
        // A brace left over from a `def` that could not be read is not news.
        while (accept(&p, TOK_NEWLINE) || (f->bad && accept(&p, '}'))) continue;
        if (p.t.kind == TOK_END) return;
        parse_statement(&p, parse_top_statement);
    }
}

struct expr *parse_value(struct arena *arena, const struct source *s, size_t at,
                         struct diags *d, size_t *end) {
    struct parser p = {.arena = arena, .d = d, .source = s};
    struct expr *e = NULL;
    if (lex_check_text(s, d)) {
        read_token(&p, at);
        e = parse_expr(&p);
    }
    *end = p.t.start;
    return e ? e : bad_expr(&p, at);
}
