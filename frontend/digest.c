// Digests of what a function computes, the same however its file was written: of all of
// it, of its graph without the weights, and of each weight.
//
// Each node's digest is made of its op, attributes and type and of its operands' digests,
// in the order of a walk from the output, so the order of nodes and all names drop out.
// Parameters of equal content are told apart by which of them the walk meets first: two
// layers that share a weight have another gradient than two with a copy each.
//
// Weights are the parameters and the constants of more than one element; single numbers
// (a slope, an exponent) belong to the graph, as attributes do. The list of weights has
// an entry for each parameter, and for each use of a constant, because constants that
// happen to be equal are one node. So which entries there are follows from the graph
// alone, and files of equal digest have equal lists.
//
// A batch norm counts as the arithmetic that it is in inference, whether a file calls it
// by its name or spells it out.
#include "frontend/digest.h"
#include "ir/build.h"

static struct digest join_u64(struct digest d, uint64_t v) {
    return digest_join(d, digest_of(&v, sizeof v));
}

static struct digest join_text(struct digest d, const char *s) {
    return digest_join(d, digest_of(s, strlen(s)));
}

static struct digest join_value(struct digest d, const struct value *v) {
    d = join_u64(d, v->kind);
    switch (v->kind) {
    case VAL_NONE: return d;
    case VAL_INT:
    case VAL_BOOL: return join_u64(d, (uint64_t)v->i);
    case VAL_FLOAT: return digest_join(d, digest_of(&v->f, sizeof v->f));
    case VAL_STRING: return join_text(d, v->s);
    case VAL_INTS: return digest_join(d, digest_of(v->is, v->n * sizeof *v->is));
    case VAL_FLOATS: return digest_join(d, digest_of(v->fs, v->n * sizeof *v->fs));
    }
    BUG("unknown kind of value %d", (int)v->kind);
}

static struct digest join_type(struct digest d, const struct type *t) {
    d = join_text(d, elem_name(t->elem));
    d = join_u64(d, t->rows);
    d = join_u64(d, t->rank);
    return digest_join(d, digest_of(t->dim, t->rank * sizeof *t->dim));
}

// ---- parameters of equal content -----------------------------------------------------
struct met {
    struct digest data;
    nid param;
    size_t when; // its place in the walk
};

static int compare_met(const void *a, const void *b) {
    const struct met *x = a, *y = b;
    if (x->data.hi != y->data.hi) return x->data.hi < y->data.hi ? -1 : 1;
    if (x->data.lo != y->data.lo) return x->data.lo < y->data.lo ? -1 : 1;
    return x->when < y->when ? -1 : x->when > y->when;
}

// By node: how many parameters of the same content the walk meets before it.
static uint64_t *count_copies(const struct func *f, struct arena *scratch,
                              const nid *order, size_t n) {
    uint64_t *copies = NEW_N(scratch, uint64_t, f->nodes.n);
    struct met *met = NEW_N(scratch, struct met, n);
    size_t nmet = 0;
    for (size_t i = 0; i < n; i++) {
        const struct node *node = node_at(f, order[i]);
        if (node->op == OP_PARAM) met[nmet++] = (struct met){node->digest, order[i], i};
    }
    qsort(met, nmet, sizeof *met, compare_met);
    for (size_t i = 1; i < nmet; i++)
        if (digest_eq(met[i].data, met[i - 1].data))
            copies[met[i].param] = copies[met[i - 1].param] + 1;
    return copies;
}

// By node: how many parameters of any content the walk meets before it.
static uint64_t *number_params(const struct func *f, struct arena *scratch,
                               const nid *order, size_t n) {
    uint64_t *numbers = NEW_N(scratch, uint64_t, f->nodes.n), next = 0;
    for (size_t i = 0; i < n; i++)
        if (node_at(f, order[i])->op == OP_PARAM) numbers[order[i]] = next++;
    return numbers;
}

// ---- nodes ---------------------------------------------------------------------------
static bool is_weight(const struct node *n) {
    return n->op == OP_PARAM || (n->op == OP_CONST && type_count(&n->type) > 1);
}

struct digesting {
    const struct func *f;
    const uint64_t *number; // which parameter it is, of its content or (graph) of all
    bool graph;             // weights count by their types
    struct digest *done;
};

static struct digest node_digest(const struct digesting *g, nid id) {
    const struct node *n = node_at(g->f, id);
    const struct digest *done = g->done;
    const struct op_info *info = op_info(n->op);
    struct digest d = digest_of(info->name, strlen(info->name));
    d = join_type(join_u64(d, (uint64_t)info->version), &n->type);
    if (n->op == OP_INPUT) return d;
    if (n->op == OP_CONST || n->op == OP_PARAM) {
        if (!g->graph || !is_weight(n)) d = digest_join(d, n->digest);
        return n->op == OP_PARAM ? join_u64(d, g->number[id]) : d;
    }
    for (size_t i = 0; i < op_attr_count(n->op); i++) d = join_value(d, &n->attrs[i]);
    for (size_t i = 0; i < n->nin; i++)
        d = n->in[i] == NID_NONE ? join_u64(d, 0) : digest_join(d, done[n->in[i]]);
    return d;
}

static struct digest output_digest(struct digesting *g, const nid *order, size_t n) {
    for (size_t i = 0; i < n; i++) g->done[order[i]] = node_digest(g, order[i]);
    return g->done[g->f->outs.at[0]];
}

// ---- weights -------------------------------------------------------------------------
const char *name_printable(struct arena *arena, const char *s) {
    const size_t max = 200;
    if (!s || !*s) return "(no name)";
    size_t n = strnlen(s, max + 1);
    char *t =
        arena_printf(arena, "%.*s%s", (int)size_min(n, max), s, n > max ? "..." : "");
    for (char *p = t; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = '?';
    return t;
}

static const char *weight_name(struct arena *arena, const struct node *n) {
    return name_printable(arena, n->op == OP_PARAM ? attr_str(n, "name") : n->name);
}

static void list_weights(const struct func *f, struct arena *arena, const nid *order,
                         size_t n, struct func_digests *out) {
    VEC(struct model_weight) list = {0};
    bool *met = NEW_N(arena, bool, f->nodes.n);
    for (size_t i = 0; i < n; i++) {
        const struct node *user = node_at(f, order[i]);
        for (uint32_t k = 0; k < user->nin; k++) {
            if (user->in[k] == NID_NONE) continue;
            const struct node *w = node_at(f, user->in[k]);
            if (!is_weight(w) || (w->op == OP_PARAM && met[user->in[k]])) continue;
            met[user->in[k]] = true;
            struct model_weight entry = {weight_name(arena, w), w->digest};
            VEC_PUSH(arena, &list, entry);
        }
    }
    out->weights = list.at;
    out->nweights = list.n;
}

// Without marks.
static const struct func *expanded(const struct func *f, struct arena *arena) {
    struct builder b;
    nid x, out;
    CHECK(f->outs.n == 1 && f->nodes.n > 0 && node_at(f, 0)->op == OP_INPUT);
    builder_init(&b, arena, f->name);
    x = b_input(&b, attr_str(node_at(f, 0), "name"), *type_at(f, 0));
    build_inline(&b, f, &x, &out, true);
    build_output(&b, f->out_names.at[0], out);
    return builder_finish(&b);
}

void func_digest(const struct func *with_marks, struct arena *arena,
                 struct func_digests *out) {
    const struct func *f = expanded(with_marks, arena);
    nid *order = NEW_N(arena, nid, f->nodes.n);
    size_t n = func_walk(f, arena, order);
    struct digesting g = {.f = f, .done = NEW_N(arena, struct digest, f->nodes.n)};
    g.number = count_copies(f, arena, order, n);
    out->all = output_digest(&g, order, n);
    g.number = number_params(f, arena, order, n);
    g.graph = true;
    out->graph = output_digest(&g, order, n);
    list_weights(f, arena, order, n, out);
}

// ---- models --------------------------------------------------------------------------
void model_digest(struct model *m, struct arena *arena) {
    struct func_digests d;
    func_digest(m->func, arena, &d);
    m->graph = d.graph;
    m->nweights = d.nweights;
    m->weights = d.weights;
    m->digest = digest_join(d.all, digest_of(m->mean, m->channels * sizeof *m->mean));
    m->digest = digest_join(m->digest, digest_of(m->std, m->channels * sizeof *m->std));
}

struct digest model_digest_at(const struct model *m, struct arena *arena, size_t h,
                              size_t w) {
    struct diags d;
    struct func_digests out = {0};
    diags_init(&d, arena);
    const struct func *func = m->at_size(m, arena, h, w, &d, NO_SPAN);
    if (func) func_digest(func, arena, &out);
    return out.all;
}
