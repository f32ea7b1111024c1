// Handing over: a result that is a feature map in blocks of channels, [C / lanes, H, W,
// lanes], lies as a kernel stores the map anyway. So the map itself becomes the
// function's output, and no kernel copies it.
#include "passes/pass.h"

#include "ir/build.h"

// The map [C, H, W] that node v has in blocks; NID_NONE: it is something else.
static nid map_behind(const struct func *f, nid v, size_t lanes) {
    static const int64_t perm[4] = {0, 2, 3, 1};
    const struct node *t = node_at(f, v);
    if (t->op != OP_TRANSPOSE || t->type.rank != 4 || t->type.elem != ELEM_F32)
        return NID_NONE;
    const struct node *r = node_at(f, t->in[0]);
    if (memcmp(attr_ints(t, "perm", NULL), perm, sizeof perm) || r->op != OP_RESHAPE)
        return NID_NONE;
    const struct type *x = type_at(f, r->in[0]), *y = &r->type;
    bool blocks = x->rank == 3 && y->dim[1] == lanes && x->dim[0] == y->dim[0] * lanes &&
                  x->dim[1] == y->dim[2] && x->dim[2] == y->dim[3];
    return blocks ? r->in[0] : NID_NONE;
}

static size_t readers_of(const struct kfunc *k, nid v) {
    size_t n = 0;
    for (size_t i = 0; i < k->kernels.n; i++)
        for (size_t j = 0; j < k->kernels.at[i].nins; j++)
            n += k->kernels.at[i].ins[j] == v;
    return n;
}

static size_t kernel_of(const struct kfunc *k, nid v) {
    for (size_t i = 0; i < k->kernels.n; i++)
        if (k->kernels.at[i].outs[0] == v && k->kernels.at[i].nouts == 1) return i;
    return SIZE_MAX;
}

static void drop_kernel(struct kfunc *k, size_t i) {
    struct kernel *at = &k->kernels.at[i];
    memmove(at, at + 1, (k->kernels.n - i - 1) * sizeof *at);
    k->kernels.n--;
}

// Only a map that nothing but the copy reads: others may want a border around it.
static void hand_over(struct kfunc *k, nid result, size_t lanes) {
    nid map = map_behind(k->f, result, lanes);
    if (map == NID_NONE || k->places[map].kind != PLACE_ARENA) return;
    size_t copy = kernel_of(k, result);
    if (copy == SIZE_MAX || readers_of(k, map) != 1 || readers_of(k, result)) return;
    drop_kernel(k, copy);
    k->places[map] = k->places[result];
    k->places[result] = (struct place){0};
}

// Needs: kernels and places (fuse).
bool pass_hand_over(struct module *m, struct module_func *mf, struct diags *d) {
    (void)d;
    for (size_t i = 0; i < mf->f->outs.n; i++)
        hand_over(mf->k, mf->f->outs.at[i], m->target->lanes);
    return true;
}
