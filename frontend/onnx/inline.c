// Local functions: a network whose nodes call functions of the same file becomes a flat
// list of nodes, before anything else looks at it.
//
// torch.onnx.export(export_modules_as_functions = True) makes a function of every kind of
// layer, and the exporter of torch 2 one of every ATen op. A call is replaced by the
// function's nodes: their values get names that are the call's own, their attributes what
// the call gives or the function has for them, and their names the call's in front, for
// messages. Functions may be of another opset than the network, so each node has its own.
//
// What comes out is bounded by the file's size: functions that call others twice, and
// those twice again, are refused before they fill memory.
#include "frontend/onnx/onnx.h"

#define EXPAND_FREE     ((size_t)1 << 24) // bytes
#define EXPAND_PER_BYTE 16
#define MAX_CALLS       64 // one inside the other

struct function {
    const Onnx__FunctionProto *proto;
    const char *domain, *name, *overload;
    int64_t opset;
    const char **names; // of the values in it, sorted
    size_t n;
    Onnx__AttributeProto **defaults;
    size_t ndefaults;
};

struct inlining {
    struct onnx_file *f;
    struct arena *arena;
    const struct onnx_log *log;
    struct function *functions; // sorted
    size_t nfunctions;
    size_t budget; // bytes
    size_t calls;  // so far
    VEC(Onnx__NodeProto *) nodes;
    VEC(int64_t) opsets;
};

struct frame { // a call that is being replaced
    const struct frame *up;
    const struct function *fn;
    const Onnx__NodeProto *call;
    const char *label;  // in front of names
    size_t number;      // of the call
    const char **outer; // by place in fn->names; NULL: not yet named
    size_t depth;
};

static const char *text_or_empty(const char *s) {
    return s ? s : "";
}

// ---- fields of newer ONNX ------------------------------------------------------------
// The bytes of the i-th unknown field, when it is that one.
static bool newer_field(const ProtobufCMessage *m, size_t i, uint32_t id,
                        ProtobufCBinaryData *out) {
    const ProtobufCMessageUnknownField *u = &m->unknown_fields[i];
    if (u->tag != id || u->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
        return false;
    size_t head = 0; // its length
    while (head < u->len && u->data[head] >= 0x80) head++;
    CHECK(head < u->len);
    *out = (ProtobufCBinaryData){u->len - head - 1, u->data + head + 1};
    return true;
}

static const char *newer_text(struct arena *arena, const ProtobufCMessage *m,
                              uint32_t id) {
    ProtobufCBinaryData b;
    for (unsigned i = 0; i < m->n_unknown_fields; i++)
        if (newer_field(m, i, id, &b))
            return arena_strndup(arena, (const char *)b.data, b.len);
    return "";
}

static size_t newer_size(const ProtobufCMessage *m) {
    size_t n = 0;
    for (unsigned i = 0; i < m->n_unknown_fields; i++) n += m->unknown_fields[i].len;
    return n;
}

static bool read_defaults(struct inlining *in, struct function *fn) {
    const ProtobufCMessage *m = &fn->proto->base;
    ProtobufCAllocator alloc = onnx_allocator(in->arena);
    ProtobufCBinaryData b;
    fn->defaults = NEW_N(in->arena, Onnx__AttributeProto *, m->n_unknown_fields);
    for (unsigned i = 0; i < m->n_unknown_fields; i++) {
        if (!newer_field(m, i, ONNX_FUNCTION_ATTRIBUTE, &b)) continue;
        Onnx__AttributeProto *a = onnx__attribute_proto__unpack(&alloc, b.len, b.data);
        if (!a)
            return onnx_fail(in->log,
                             "its function `%s` has an attribute that does not "
                             "parse",
                             onnx_text(in->log, fn->name));
        fn->defaults[fn->ndefaults++] = a;
    }
    return true;
}

// ---- functions -----------------------------------------------------------------------
static int compare_functions(const void *a, const void *b) {
    const struct function *x = a, *y = b;
    int by_name = strcmp(x->name, y->name);
    if (by_name) return by_name;
    int by_domain = strcmp(x->domain, y->domain);
    return by_domain ? by_domain : strcmp(x->overload, y->overload);
}

static const struct function *find_function(const struct inlining *in,
                                            const Onnx__NodeProto *n) {
    struct function key = {.name = text_or_empty(n->op_type),
                           .domain = onnx_domain(n->domain)};
    key.overload = newer_text(in->arena, &n->base, ONNX_NODE_OVERLOAD);
    return bsearch(&key, in->functions, in->nfunctions, sizeof key, compare_functions);
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t add_texts(const char **to, size_t n, char *const *from, size_t count) {
    for (size_t i = 0; i < count; i++) to[n + i] = from[i];
    return n + count;
}

static void collect_values(struct inlining *in, struct function *fn) {
    const Onnx__FunctionProto *p = fn->proto;
    size_t most = p->n_input + p->n_output, n = 0, kept = 0;
    for (size_t i = 0; i < p->n_node; i++)
        most += p->node[i]->n_input + p->node[i]->n_output;
    fn->names = NEW_N(in->arena, const char *, most);
    n = add_texts(fn->names, n, p->input, p->n_input);
    n = add_texts(fn->names, n, p->output, p->n_output);
    for (size_t i = 0; i < p->n_node; i++) {
        n = add_texts(fn->names, n, p->node[i]->input, p->node[i]->n_input);
        n = add_texts(fn->names, n, p->node[i]->output, p->node[i]->n_output);
    }
    qsort(fn->names, n, sizeof *fn->names, compare_texts);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || strcmp(fn->names[kept - 1], fn->names[i]) != 0)
            fn->names[kept++] = fn->names[i];
    fn->n = kept;
}

static bool read_function(struct inlining *in, const Onnx__FunctionProto *p,
                          struct function *fn) {
    *fn = (struct function){.proto = p, .name = text_or_empty(p->name)};
    fn->domain = onnx_domain(p->domain);
    fn->overload = newer_text(in->arena, &p->base, ONNX_FUNCTION_OVERLOAD);
    fn->opset = onnx_opset(p->opset_import, p->n_opset_import);
    if (!fn->opset) fn->opset = in->f->opset;
    collect_values(in, fn);
    return read_defaults(in, fn);
}

static bool read_functions(struct inlining *in) {
    const Onnx__ModelProto *m = in->f->msg;
    in->functions = NEW_N(in->arena, struct function, m->n_functions);
    in->nfunctions = m->n_functions;
    for (size_t i = 0; i < m->n_functions; i++)
        if (!read_function(in, m->functions[i], &in->functions[i])) return false;
    qsort(in->functions, in->nfunctions, sizeof *in->functions, compare_functions);
    for (size_t i = 1; i < in->nfunctions; i++)
        if (compare_functions(&in->functions[i - 1], &in->functions[i]) == 0)
            return onnx_fail(in->log, "two functions have the name `%s`",
                             onnx_text(in->log, in->functions[i].name));
    return true;
}

// ---- what a call makes ---------------------------------------------------------------
static bool charge(struct inlining *in, size_t bytes) {
    if (bytes <= in->budget) {
        in->budget -= bytes;
        return true;
    }
    return onnx_fail(in->log,
                     "its functions call each other so often that the network is "
                     "far larger than the file");
}

// Where the outer name of a value in a function is kept; NULL for one left out.
static const char **outer_of(const struct frame *fr, const char *name) {
    if (!*name) return NULL;
    const char **at =
        bsearch(&name, fr->fn->names, fr->fn->n, sizeof name, compare_texts);
    CHECK(at);
    return &fr->outer[at - fr->fn->names];
}

// What a value in a function is called outside of it; NULL after an error.
static const char *outer_name(struct inlining *in, const struct frame *fr,
                              const char *name) {
    const char **outer = outer_of(fr, name);
    if (!outer) return "";
    if (*outer) return *outer;
    if (!charge(in, strlen(fr->label) + strlen(name) + 32)) return NULL;
    *outer = arena_printf(in->arena, "%s/%s#%zu", fr->label, name, fr->number);
    return *outer;
}

static bool rename_all(struct inlining *in, const struct frame *fr, char ***names,
                       size_t n) {
    const char **to = NEW_N(in->arena, const char *, n);
    for (size_t i = 0; i < n; i++)
        if (!(to[i] = outer_name(in, fr, (*names)[i]))) return false;
    *names = (char **)to;
    return true;
}

static const Onnx__AttributeProto *find_attr(Onnx__AttributeProto *const *list, size_t n,
                                             const char *name) {
    for (size_t i = 0; i < n; i++)
        if (list[i]->name && strcmp(list[i]->name, name) == 0) return list[i];
    return NULL;
}

// What stands for the attribute `name` of a function in this call; NULL: nothing.
static const Onnx__AttributeProto *given_attr(const struct frame *fr, const char *name) {
    const Onnx__NodeProto *call = fr->call;
    const Onnx__AttributeProto *a = find_attr(call->attribute, call->n_attribute, name);
    return a ? a : find_attr(fr->fn->defaults, fr->fn->ndefaults, name);
}

static bool resolve_attrs(struct inlining *in, const struct frame *fr,
                          Onnx__NodeProto *n) {
    Onnx__AttributeProto **list =
        NEW_N(in->arena, Onnx__AttributeProto *, n->n_attribute);
    size_t kept = 0;
    for (size_t i = 0; i < n->n_attribute; i++) {
        Onnx__AttributeProto *a = n->attribute[i];
        list[kept++] = a;
        if (!a->ref_attr_name || !*a->ref_attr_name) continue;
        if (!charge(in, sizeof *a + fr->call->n_attribute + fr->fn->ndefaults))
            return false;
        const Onnx__AttributeProto *given = given_attr(fr, a->ref_attr_name);
        if (!given) {
            kept--;
            continue;
        }
        list[kept - 1] = arena_dup(in->arena, given, 1, sizeof *given);
        list[kept - 1]->name = a->name;
    }
    n->attribute = list;
    n->n_attribute = kept;
    return true;
}

// The node of a function as one of the call's; NULL after an error.
static Onnx__NodeProto *node_of_call(struct inlining *in, const struct frame *fr,
                                     const Onnx__NodeProto *n) {
    size_t names = n->n_input + n->n_output + n->n_attribute;
    if (!charge(in, 2 * sizeof *n + names * sizeof(char *) + newer_size(&n->base)))
        return NULL;
    Onnx__NodeProto *c = arena_dup(in->arena, n, 1, sizeof *n);
    const char *name = n->name && *n->name ? n->name : text_or_empty(n->op_type);
    if (!charge(in, strlen(fr->label) + strlen(name))) return NULL;
    c->name = arena_printf(in->arena, "%s/%s", fr->label, name);
    bool ok = rename_all(in, fr, &c->input, c->n_input) &&
              rename_all(in, fr, &c->output, c->n_output) && resolve_attrs(in, fr, c);
    return ok ? c : NULL;
}

static void add_node(struct inlining *in, Onnx__NodeProto *n, int64_t opset) {
    VEC_PUSH(in->arena, &in->nodes, n);
    VEC_PUSH(in->arena, &in->opsets, opset);
}

// An output of the function that is another value of it under a second name.
static void add_alias(struct inlining *in, const struct frame *fr, const char *from,
                      const char *to) {
    Onnx__NodeProto *n = NEW(in->arena, Onnx__NodeProto);
    onnx__node_proto__init(n);
    n->op_type = arena_strdup(in->arena, "Identity");
    n->n_input = n->n_output = 1;
    n->input = arena_dup(in->arena, &from, 1, sizeof from);
    n->output = arena_dup(in->arena, &to, 1, sizeof to);
    add_node(in, n, fr->fn->opset);
}

// Names what goes in and out as the call does.
static void bind_values(struct inlining *in, const struct frame *fr) {
    const Onnx__FunctionProto *p = fr->fn->proto;
    for (size_t i = 0; i < p->n_input; i++) {
        const char **outer = outer_of(fr, p->input[i]);
        if (outer) *outer = i < fr->call->n_input ? fr->call->input[i] : "";
    }
    for (size_t i = 0; i < p->n_output && i < fr->call->n_output; i++) {
        const char **outer = outer_of(fr, p->output[i]), *to = fr->call->output[i];
        if (!outer || !*to) continue;
        if (*outer && **outer) add_alias(in, fr, *outer, to);
        else *outer = to;
    }
}

// ---- calls ---------------------------------------------------------------------------
static bool wrong_call(const struct inlining *in, const struct frame *fr,
                       const char *verb, size_t gives, const char *what, size_t has) {
    return onnx_fail(in->log, "node `%s` %s %zu %s the function `%s`, which has %zu",
                     onnx_text(in->log, fr->label), verb, gives, what,
                     onnx_text(in->log, fr->fn->name), has);
}

static bool check_call(const struct inlining *in, const struct frame *fr) {
    const Onnx__FunctionProto *p = fr->fn->proto;
    for (const struct frame *up = fr->up; up; up = up->up)
        if (up->fn == fr->fn)
            return onnx_fail(in->log, "its function `%s` calls itself",
                             onnx_text(in->log, fr->fn->name));
    if (fr->depth > MAX_CALLS)
        return onnx_fail(in->log, "its functions call each other more than %d deep",
                         MAX_CALLS);
    size_t gives = fr->call->n_input, takes = fr->call->n_output;
    if (gives > p->n_input)
        return wrong_call(in, fr, "gives", gives, "inputs to", p->n_input);
    if (takes > p->n_output)
        return wrong_call(in, fr, "takes", takes, "outputs of", p->n_output);
    return onnx_opset_known(in->log, fr->fn->opset);
}

static const char *call_label(const Onnx__NodeProto *call) {
    if (call->name && *call->name) return call->name;
    return text_or_empty(call->op_type);
}

static bool add_nodes(struct inlining *in, const struct frame *fr,
                      Onnx__NodeProto *const *nodes, size_t n);

static bool add_call(struct inlining *in, const struct frame *up,
                     const struct function *fn, const Onnx__NodeProto *call) {
    struct frame fr = {.up = up, .fn = fn, .call = call, .number = in->calls++};
    size_t aliases = fn->proto->n_output * 2 * sizeof *call;
    if (!charge(in, fn->n * sizeof *fr.outer + aliases + 64)) return false;
    fr.label = call_label(call);
    fr.depth = up ? up->depth + 1 : 1;
    if (!check_call(in, &fr)) return false;
    fr.outer = NEW_N(in->arena, const char *, fn->n);
    bind_values(in, &fr);
    return add_nodes(in, &fr, fn->proto->node, fn->proto->n_node);
}

// Recursion goes as deep as calls do.
static bool add_nodes(struct inlining *in, const struct frame *fr,
                      Onnx__NodeProto *const *nodes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        Onnx__NodeProto *node = fr ? node_of_call(in, fr, nodes[i]) : nodes[i];
        if (!node) return false;
        const struct function *fn = find_function(in, node);
        if (!fn) add_node(in, node, fr ? fr->fn->opset : in->f->opset);
        else if (!add_call(in, fr, fn, node)) return false;
    }
    return true;
}

bool onnx_inline(struct onnx_file *f, struct arena *arena, const struct onnx_log *log) {
    struct inlining in = {.f = f, .arena = arena, .log = log};
    Onnx__GraphProto *g = f->msg->graph;
    if (!size_mul(f->bytes, EXPAND_PER_BYTE, &in.budget) ||
        !size_add(in.budget, EXPAND_FREE, &in.budget))
        in.budget = SIZE_MAX;
    if (!read_functions(&in) || !add_nodes(&in, NULL, g->node, g->n_node)) return false;
    g->node = in.nodes.at;
    g->n_node = in.nodes.n;
    f->opsets = in.opsets.at;
    return true;
}
