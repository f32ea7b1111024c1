// The builder: nodes checked by the op table, simplified, folded and hash-consed;
// finishing a function, copying nodes and whole functions into another.
//
// A node's identity is its op, operands, attributes, type and data digest; not its span
// and not its name. The hash table holds node ids + 1 (0: free) with linear probing.
#include "ir/build_core.h"
#include "ir/rules.h"

#include "runtime/formula.h"

void builder_init(struct builder *b, struct arena *arena, const char *name) {
    struct func *f = NEW(arena, struct func);
    f->arena = arena;
    f->name = arena_strdup(arena, name);
    *b = (struct builder){.arena = arena, .f = f, .fold = true};
}

// ---- identity -----------------------------------------------------------------------
static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static uint64_t mix_value(uint64_t h, const struct value *v) {
    h = mix(h, v->kind);
    switch (v->kind) {
    case VAL_NONE: return h;
    case VAL_INT:
    case VAL_BOOL: return mix(h, (uint64_t)v->i);
    case VAL_FLOAT: return mix(h, digest_of(&v->f, sizeof v->f).lo);
    case VAL_STRING: return mix(h, digest_of(v->s, strlen(v->s)).lo);
    case VAL_INTS: return mix(h, digest_of(v->is, v->n * sizeof *v->is).lo);
    case VAL_FLOATS: return mix(h, digest_of(v->fs, v->n * sizeof *v->fs).lo);
    }
    BUG("value of unknown kind %d", (int)v->kind);
}

static uint64_t node_hash(const struct node *n) {
    uint64_t h = mix(n->op, n->digest.lo);
    h = mix(h, (uint64_t)n->type.elem << 8 | n->type.rank << 1 | n->type.rows);
    for (uint32_t i = 0; i < n->type.rank; i++) h = mix(h, n->type.dim[i]);
    for (uint32_t i = 0; i < n->nin; i++) h = mix(h, n->in[i]);
    for (size_t i = 0; i < op_attr_count(n->op); i++) h = mix_value(h, &n->attrs[i]);
    return h;
}

static bool node_same(const struct node *a, const struct node *b) {
    if (a->op != b->op || a->nin != b->nin || !digest_eq(a->digest, b->digest) ||
        !type_eq(&a->type, &b->type))
        return false;
    if (a->nin && memcmp(a->in, b->in, a->nin * sizeof *a->in) != 0) return false;
    for (size_t i = 0; i < op_attr_count(a->op); i++)
        if (!value_eq(&a->attrs[i], &b->attrs[i])) return false;
    return true;
}

// The table's slot for n: where its equal is, or the free slot where it would go.
static uint32_t *find_slot(struct builder *b, const struct node *n) {
    size_t mask = b->table_cap - 1;
    for (size_t i = node_hash(n) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &b->table[i];
        if (!*slot || node_same(n, node_at(b->f, *slot - 1))) return slot;
    }
}

static void table_grow(struct builder *b) {
    b->table_cap = b->table_cap ? b->table_cap * 2 : 64;
    b->table = NEW_N(b->arena, uint32_t, b->table_cap);
    for (size_t i = 0; i < b->f->nodes.n; i++)
        *find_slot(b, &b->f->nodes.at[i]) = (uint32_t)i + 1;
}

static struct value value_copy(struct arena *a, const struct value *v) {
    struct value c = *v;
    if (v->kind == VAL_STRING) c.s = arena_strdup(a, v->s);
    if (v->kind == VAL_INTS) c.is = arena_dup(a, v->is, v->n, sizeof *v->is);
    if (v->kind == VAL_FLOATS) c.fs = arena_dup(a, v->fs, v->n, sizeof *v->fs);
    return c;
}

static nid add_node(struct builder *b, const struct node *n) {
    struct node c = *n;
    size_t nattrs = op_attr_count(n->op);
    struct value *attrs = NEW_N(b->arena, struct value, nattrs);
    for (size_t i = 0; i < nattrs; i++) attrs[i] = value_copy(b->arena, &n->attrs[i]);
    c.attrs = attrs;
    c.in = arena_dup(b->arena, n->in, n->nin, sizeof *n->in);
    c.span = b->span;
    c.name = NULL;
    CHECK(b->f->nodes.n < NID_NONE - 1);
    VEC_PUSH(b->arena, &b->f->nodes, c);
    return (nid)(b->f->nodes.n - 1);
}

nid build_intern(struct builder *b, const struct node *n) {
    if (b->table_n * 2 >= b->table_cap) table_grow(b);
    uint32_t *slot = find_slot(b, n);
    if (!*slot) {
        *slot = add_node(b, n) + 1;
        b->table_n++;
    }
    return *slot - 1;
}

// Gives the builder's pending name to n, unless n has one.
static nid take_name(struct builder *b, nid n) {
    struct node *node = &b->f->nodes.at[n];
    if (b->name && !node->name) node->name = arena_strdup(b->arena, b->name);
    b->name = NULL;
    return n;
}

// ---- nodes whose type is worked out -------------------------------------------------
static struct rule_ctx rule_ctx_of(struct builder *b, const nid *in, size_t nin,
                                   const struct value *attrs) {
    const struct type **ins = NEW_N(b->arena, const struct type *, nin);
    for (size_t i = 0; i < nin; i++) {
        CHECK(in[i] == NID_NONE || in[i] < b->f->nodes.n);
        ins[i] = in[i] == NID_NONE ? NULL : type_at(b->f, in[i]);
    }
    return (struct rule_ctx){.arena = b->arena,
                             .ins = ins,
                             .nin = nin,
                             .attrs = attrs,
                             .fresh_rowset = b->rowsets + 1,
                             .error_operand = -1,
                             .error_attr = -1};
}

static nid intern_or_replace(struct builder *b, const struct node *n) {
    nid found = NID_NONE;
    if (b->fold && op_info(n->op)->family == FAMILY_TENSOR) {
        found = build_simplify(b, n);
        if (found == NID_NONE) found = build_fold(b, n);
    }
    return found == NID_NONE ? build_intern(b, n) : found;
}

nid build_node(struct builder *b, enum op op, const nid *in, size_t nin,
               const struct value *attrs, struct rule_ctx *error) {
    if (!op_info(op)->rule)
        BUG("the type of %s is given, not worked out", op_info(op)->name);
    struct rule_ctx c = rule_ctx_of(b, in, nin, attrs);
    struct node n = {.op = op, .attrs = attrs};
    if (!check_node(op, &c, &n.type)) {
        if (error) *error = c;
        return NID_NONE;
    }
    // Operands left out at the end are absent ones: one form for one meaning.
    size_t full = size_max(nin, op_operand_count(op));
    nid *ins = NEW_N(b->arena, nid, full);
    for (size_t i = 0; i < full; i++) ins[i] = i < nin ? in[i] : NID_NONE;
    n.in = ins;
    n.nin = (uint32_t)full;
    nid made = intern_or_replace(b, &n);
    if (type_at(b->f, made)->rowset == c.fresh_rowset) b->rowsets = c.fresh_rowset;
    return take_name(b, made);
}

bool build_check_attrs(struct builder *b, enum op op, const struct value *attrs,
                       struct rule_ctx *error) {
    struct rule_ctx c = rule_ctx_of(b, NULL, 0, attrs);
    bool ok = check_attrs(op, &c);
    if (!ok) c.error = arena_printf(b->arena, "%s: %s", op_info(op)->name, c.error);
    if (error) *error = c;
    return ok;
}

// ---- nodes whose type is given ------------------------------------------------------
nid build_given(struct builder *b, const struct node *n, struct rule_ctx *error) {
    struct rule_ctx c = rule_ctx_of(b, NULL, 0, n->attrs);
    struct type t = n->type;
    bool ok = check_node(n->op, &c, &t);
    if (error) *error = c;
    return ok ? take_name(b, build_intern(b, n)) : NID_NONE;
}

static nid add_given(struct builder *b, const struct node *n) {
    struct rule_ctx error;
    nid made = build_given(b, n, &error);
    if (made == NID_NONE) BUG("building @%s: %s", b->f->name, error.error);
    return made;
}

nid b_input(struct builder *b, const char *name, struct type t) {
    struct value attr = val_string(name);
    return add_given(b, &(struct node){.op = OP_INPUT, .type = t, .attrs = &attr});
}

struct digest data_digest(const struct type *t, const void *data) {
    uint64_t head[2 + TYPE_MAX_RANK] = {t->elem, t->rank};
    for (uint32_t i = 0; i < t->rank; i++) head[2 + i] = t->dim[i];
    return digest_join(digest_of(head, sizeof head), digest_of(data, type_bytes(t)));
}

nid b_const_at(struct builder *b, struct type t, const void *data, struct digest digest) {
    return add_given(
        b, &(struct node){.op = OP_CONST, .type = t, .digest = digest, .data = data});
}

nid b_param_at(struct builder *b, const char *name, struct type t, const void *data,
               struct digest digest) {
    struct value attr = val_string(name);
    return add_given(
        b,
        &(struct node){
            .op = OP_PARAM, .type = t, .attrs = &attr, .digest = digest, .data = data});
}

nid b_const(struct builder *b, struct type t, const void *data) {
    const void *copy = arena_dup(b->arena, data, type_bytes(&t), 1);
    return b_const_at(b, t, copy, data_digest(&t, copy));
}

nid b_param(struct builder *b, const char *name, struct type t, const void *data) {
    const void *copy = arena_dup(b->arena, data, type_bytes(&t), 1);
    return b_param_at(b, name, t, copy, data_digest(&t, copy));
}

nid b_model(struct builder *b, enum op op, const struct value *attrs,
            const struct model *m) {
    struct type t = {.kind = KIND_MODEL,
                     .elem = ELEM_F32,
                     .rank = 3,
                     .dim = {m->channels, m->height, m->width},
                     .classes = m->classes};
    return add_given(
        b, &(struct node){
               .op = op, .type = t, .attrs = attrs, .digest = m->digest, .model = m});
}

nid b_onnx(struct builder *b, const struct value *attrs, const struct model *m) {
    return b_model(b, OP_ONNX, attrs, m);
}

nid b_f32(struct builder *b, float v) {
    return b_const(b, type_scalar(ELEM_F32, false), &v);
}

nid b_setting(struct builder *b, const struct value *v) {
    return value_is_late(v) ? build_node(b, OP_SETTING, NULL, 0, v, NULL)
                            : b_f32(b, (float)v->f);
}

nid b_i64s(struct builder *b, const int64_t *v, size_t n) {
    return b_const(b, type_tensor(ELEM_I64, false, 1, &n), v);
}

// ---- whole functions ----------------------------------------------------------------
void build_output(struct builder *b, const char *name, nid n) {
    CHECK(n < b->f->nodes.n);
    VEC_PUSH(b->arena, &b->f->outs, n);
    VEC_PUSH(b->arena, &b->f->out_names, arena_strdup(b->arena, name));
}

// New ids: inputs first, then what the outputs reach, in the order made. NID_NONE:
// dropped.
static nid *number_kept(struct builder *b) {
    const struct func *f = b->f;
    bool *reached = func_reached(f, b->arena);
    nid *to = NEW_N(b->arena, nid, f->nodes.n), next = 0;
    for (size_t i = 0; i < f->nodes.n; i++)
        to[i] = f->nodes.at[i].op == OP_INPUT ? next++ : NID_NONE;
    for (size_t i = 0; i < f->nodes.n; i++)
        if (reached[i] && to[i] == NID_NONE) to[i] = next++;
    return to;
}

static const nid *renumber(struct arena *a, const nid *in, uint32_t n, const nid *to) {
    nid *out = NEW_N(a, nid, n);
    for (uint32_t i = 0; i < n; i++) out[i] = in[i] == NID_NONE ? NID_NONE : to[in[i]];
    return out;
}

struct func *builder_finish(struct builder *b) {
    struct func *f = b->f;
    size_t before = f->nodes.n, kept = 0;
    const struct node *old = f->nodes.at;
    nid *to = number_kept(b);
    for (size_t i = 0; i < before; i++) kept += to[i] != NID_NONE;
    struct node *nodes = NEW_N(b->arena, struct node, kept);
    for (size_t i = 0; i < before; i++) {
        if (to[i] == NID_NONE) continue;
        nodes[to[i]] = old[i];
        nodes[to[i]].in = renumber(b->arena, old[i].in, old[i].nin, to);
    }
    f->nodes.at = nodes;
    f->nodes.n = f->nodes.cap = kept;
    for (size_t i = 0; i < f->outs.n; i++) f->outs.at[i] = to[f->outs.at[i]];
    b->f = NULL; // ids have changed: nothing more is built here
    return f;
}

static nid copy_given(struct builder *b, const struct node *n) {
    CHECK(n->nin == 0);
    return add_given(b, n);
}

nid build_copy(struct builder *b, const struct node *n, const nid *in) {
    struct span span = b->span;
    struct rule_ctx error;
    if (n->span.file) b->span = n->span;
    if (n->name) b->name = n->name;
    nid made = op_info(n->op)->rule ? build_node(b, n->op, in, n->nin, n->attrs, &error)
                                    : copy_given(b, n);
    if (made == NID_NONE) BUG("copying a node: %s", error.error);
    b->span = span;
    return made;
}

void build_inline(struct builder *b, const struct func *f, const nid *args, nid *outs,
                  bool keep_params) {
    nid *to = NEW_N(b->arena, nid, f->nodes.n), *in = NULL;
    size_t cap = 0, next_arg = 0;
    for (size_t i = 0; i < f->nodes.n; i++) {
        struct node n = f->nodes.at[i];
        if (n.nin > cap) in = NEW_N(b->arena, nid, cap = n.nin);
        for (uint32_t k = 0; k < n.nin; k++)
            in[k] = n.in[k] == NID_NONE ? NID_NONE : to[n.in[k]];
        if (n.op == OP_PARAM && !keep_params) n.op = OP_CONST;
        if (n.op == OP_INPUT) to[i] = args[next_arg++];
        else if (n.op == OP_BATCH_NORM) to[i] = build_batch_norm(b, &n, in);
        else to[i] = build_copy(b, &n, in);
    }
    for (size_t i = 0; i < f->outs.n; i++) outs[i] = to[f->outs.at[i]];
}
