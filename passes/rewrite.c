// See rewrite.h.
#include "passes/rewrite.h"

static nid rewrite_node(struct rewrite *r, nid v, rewrite_rule rule) {
    const struct node *n = node_at(r->old, v);
    nid few[16], *in = n->nin > COUNT(few) ? NEW_N(r->arena, nid, n->nin) : few;
    for (uint32_t i = 0; i < n->nin; i++)
        in[i] = n->in[i] == NID_NONE ? NID_NONE : r->map[n->in[i]];
    r->b.span = n->span;
    nid made = rule(r, v, in);
    return made == NID_NONE ? build_copy(&r->b, n, in) : made;
}

// ---- outputs -------------------------------------------------------------------------
// A kernel stores each output, one a row where the function says so. One that has become
// a constant, an input or the same as another (gradients often do) is copied; taking it
// from a table of one entry is a copy that nothing folds away.

// An input that is one a row (of a batch's values: that is not), or else any; NID_NONE:
// there is none.
static nid some_input(const struct func *f, bool rows) {
    nid found = NID_NONE;
    for (nid v = (nid)f->nodes.n; v-- > 0;) {
        const struct node *n = node_at(f, v);
        if (n->op != OP_INPUT || type_count(&n->type) == 0) continue;
        if (found == NID_NONE || n->type.rows == rows) found = v;
    }
    return found;
}

// An i32 that is not known before the function runs.
static nid some_index(struct builder *b, nid input) {
    size_t count = type_count(type_at(b->f, input));
    nid line = b_reshape(b, input, &count, 1);
    nid first = b_slice(b, line, (int64_t[]){0}, (int64_t[]){1}, (int64_t[]){1}, 1);
    return b_cast(b, b_reshape(b, first, NULL, 0), ELEM_I32);
}

static nid copied(struct builder *b, nid v, bool rows) {
    struct type t = *type_at(b->f, v);
    nid input = some_input(b->f, rows || !b->f->joint);
    size_t table[2] = {1, type_count(&t)};
    if (input == NID_NONE || table[1] == 0) return v;
    nid one = b_take(b, b_reshape(b, v, table, 2), some_index(b, input));
    return b_reshape(b, one, t.dim, t.rank);
}

static bool needs_copy(const struct rewrite *r, size_t out, nid v) {
    const struct node *n = node_at(r->b.f, v);
    if (n->op == OP_INPUT || op_is_constant(n->op)) return true;
    if (type_at(r->old, r->old->outs.at[out])->rows && !n->type.rows) return true;
    for (size_t i = 0; i < out; i++)
        if (r->b.f->outs.at[i] == v) return true;
    return false;
}

static void make_outputs(struct rewrite *r) {
    for (size_t i = 0; i < r->old->outs.n; i++) {
        nid v = r->map[r->old->outs.at[i]];
        bool rows = type_at(r->old, r->old->outs.at[i])->rows;
        if (needs_copy(r, i, v)) v = copied(&r->b, v, rows);
        build_output(&r->b, r->old->out_names.at[i], v);
    }
}

bool rewrite_func(struct module *m, struct module_func *mf, struct diags *d,
                  rewrite_rule rule, void *state) {
    const struct func *f = mf->f;
    struct rewrite r = {.arena = m->arena, .d = d, .old = f, .state = state};
    builder_init(&r.b, m->arena, f->name);
    r.b.fold = true;
    r.b.f->bf16 = f->bf16;
    r.b.f->joint = f->joint;
    r.b.f->batch = f->batch;
    r.uses = func_uses(f, m->arena);
    r.map = NEW_N(m->arena, nid, f->nodes.n);
    for (nid v = 0; v < f->nodes.n; v++) r.map[v] = NID_NONE;
    for (nid v = 0; v < f->nodes.n && !r.failed; v++)
        if (r.map[v] == NID_NONE) r.map[v] = rewrite_node(&r, v, rule);
    if (r.failed) return false;
    make_outputs(&r);
    mf->f = builder_finish(&r.b);
    return true;
}
