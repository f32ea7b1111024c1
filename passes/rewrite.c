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

bool rewrite_func(struct module *m, struct module_func *mf, struct diags *d,
                  rewrite_rule rule, void *state) {
    const struct func *f = mf->f;
    struct rewrite r = {.arena = m->arena, .d = d, .old = f, .state = state};
    builder_init(&r.b, m->arena, f->name);
    r.b.fold = true;
    r.uses = func_uses(f, m->arena);
    r.map = NEW_N(m->arena, nid, f->nodes.n);
    for (nid v = 0; v < f->nodes.n; v++) r.map[v] = NID_NONE;
    for (nid v = 0; v < f->nodes.n && !r.failed; v++)
        if (r.map[v] == NID_NONE) r.map[v] = rewrite_node(&r, v, rule);
    if (r.failed) return false;
    for (size_t i = 0; i < f->outs.n; i++)
        build_output(&r.b, f->out_names.at[i], r.map[f->outs.at[i]]);
    mf->f = builder_finish(&r.b);
    return true;
}
