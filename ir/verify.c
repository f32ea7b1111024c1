// Everything that must hold of a function, checked from the op table. Used between passes
// in test builds: what it finds is a bug of ours, so it says which node, and one thing at
// a time.
#include "ir/build_core.h"
#include "ir/rules.h"
#include "ir/text.h"

#define DIGEST_CHECKED                                                                   \
    ((size_t)64 << 10) // bytes of a constant whose digest is recomputed

struct verifier {
    const struct func *f;
    enum family family;
    struct arena *arena; // its own, for messages and rules
    const char *error;
};

static bool bad(struct verifier *v, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool bad(struct verifier *v, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    v->error = arena_vprintf(v->arena, fmt, ap);
    va_end(ap);
    return false;
}

// ---- operands and types -------------------------------------------------------------
static bool operands_first(struct verifier *v, size_t id) {
    const struct node *n = &v->f->nodes.at[id];
    if (n->nin < op_operand_count(n->op))
        return bad(v, "has %u operands; absent ones must be written as such", n->nin);
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != NID_NONE && n->in[i] >= id)
            return bad(v, "operand %u is %%%u, which does not come before it", i,
                       n->in[i]);
    return true;
}

static bool rowset_is_fresh(const struct func *f, size_t id) {
    uint32_t rowset = f->nodes.at[id].type.rowset;
    for (size_t i = 0; i < id; i++)
        if (f->nodes.at[i].type.rowset == rowset) return false;
    return rowset != 0;
}

static bool same_map(const struct type *a, const struct type *b) {
    return a->map_side == b->map_side && a->map_window == b->map_window &&
           a->map_stride == b->map_stride && a->origin_h == b->origin_h &&
           a->origin_w == b->origin_w;
}

static bool type_follows(struct verifier *v, size_t id) {
    const struct node *n = &v->f->nodes.at[id];
    const struct type **ins = NEW_N(v->arena, const struct type *, n->nin);
    for (uint32_t i = 0; i < n->nin; i++)
        ins[i] = n->in[i] == NID_NONE ? NULL : type_at(v->f, n->in[i]);
    const uint32_t fresh = UINT32_MAX; // no function has so many sets of rows
    struct rule_ctx c = {.arena = v->arena,
                         .ins = ins,
                         .nin = n->nin,
                         .attrs = n->attrs,
                         .fresh_rowset = fresh};
    struct type t = n->type;
    if (!check_node(n->op, &c, &t)) return bad(v, "%s", c.error);
    if (!type_eq(&t, &n->type) || !same_map(&t, &n->type))
        return bad(v, "is %s; its operands make it %s", type_str(v->arena, &n->type),
                   type_str(v->arena, &t));
    bool rows_ok =
        t.rowset == fresh ? rowset_is_fresh(v->f, id) : t.rowset == n->type.rowset;
    return rows_ok || bad(v, "names the wrong set of rows");
}

// ---- sources ------------------------------------------------------------------------
static bool input_ok(struct verifier *v, size_t id) {
    const struct node *n = &v->f->nodes.at[id];
    for (size_t i = 0; i < id; i++) {
        const struct node *other = &v->f->nodes.at[i];
        if (other->op != OP_INPUT)
            return bad(v, "stands behind nodes that are no inputs");
        if (strcmp(other->attrs[0].s, n->attrs[0].s) == 0)
            return bad(v, "has the same name as %%%zu", i);
    }
    return n->type.kind == KIND_TENSOR || bad(v, "is not a tensor");
}

static bool data_ok(struct verifier *v, const struct node *n) {
    if (n->type.kind != KIND_TENSOR || n->type.rows)
        return bad(v, "is not a tensor shared by all rows");
    if (!n->data)
        return (n->digest.lo | n->digest.hi) != 0 || bad(v, "has no data and no digest");
    bool checked = type_bytes(&n->type) <= DIGEST_CHECKED;
    return !checked || digest_eq(n->digest, data_digest(&n->type, n->data)) ||
           bad(v, "has data that are not of its digest");
}

static bool model_ok(struct verifier *v, const struct node *n) {
    if (n->type.kind != KIND_MODEL || n->type.rank != 3 || n->type.classes == 0)
        return bad(v, "is %s, not a model", type_str(v->arena, &n->type));
    return !n->model || digest_eq(n->digest, n->model->digest) ||
           bad(v, "has a model that is not of its digest");
}

static bool source_ok(struct verifier *v, size_t id) {
    const struct node *n = &v->f->nodes.at[id];
    switch (n->op) {
    case OP_INPUT: return input_ok(v, id);
    case OP_CONST:
    case OP_PARAM: return data_ok(v, n);
    case OP_ONNX: return model_ok(v, n);
    default: return !(op_info(n->op)->flags & OPF_NETWORK) || model_ok(v, n);
    }
}

// ---- all ----------------------------------------------------------------------------
static bool node_ok(struct verifier *v, size_t id) {
    const struct node *n = &v->f->nodes.at[id];
    if (n->op >= OP_COUNT) return bad(v, "has no op");
    if (op_info(n->op)->family != v->family)
        return bad(v, "is of the other family of ops");
    if (op_info(n->op)->flags & OPF_BATCH && !v->f->joint)
        return bad(v, "is %s, in a function that is not joint", op_info(n->op)->name);
    return operands_first(v, id) && type_follows(v, id) && source_ok(v, id);
}

static bool outputs_ok(struct verifier *v) {
    const struct func *f = v->f;
    if (f->joint != (f->batch > 0))
        return bad(v, "a joint function has a batch, others none; this is of %zu rows",
                   f->batch);
    if (f->outs.n != f->out_names.n)
        return bad(v, "%zu outputs have %zu names", f->outs.n, f->out_names.n);
    for (size_t i = 0; i < f->outs.n; i++)
        if (f->outs.at[i] >= f->nodes.n)
            return bad(v, "output \"%s\" is %%%u, which does not exist",
                       f->out_names.at[i], f->outs.at[i]);
    return true;
}

bool ir_verify(const struct func *f, enum family family, struct text *why) {
    struct verifier v = {.f = f, .family = family, .arena = arena_must()};
    struct cleanup held;
    bool ok = true;
    cleanup_push(&held, arena_drop, v.arena);
    for (size_t i = 0; ok && i < f->nodes.n; i++) {
        ok = node_ok(&v, i);
        if (!ok) text_add(why, "@%s: %%%zu %s", f->name, i, v.error);
    }
    if (ok && !outputs_ok(&v)) {
        ok = false;
        text_add(why, "@%s: %s", f->name, v.error);
    }
    cleanup_run(&held);
    return ok;
}
