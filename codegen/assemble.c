// See assemble.h. Constants are found first and written once their sizes are known, so
// that a large model is held once; equal ones, packed alike, share their place.
#include "codegen/assemble.h"

struct constant {
    struct digest id; // of the data, and of how it is packed
    size_t offset, bytes;
    const struct kfunc *kf;
    const struct kernel *kernel; // whose packing, or NULL: dense
    nid node;
};

struct assembly {
    struct codegen *cg;
    const struct target *target;
    struct arena *arena;
    struct diags *d;
    VEC(struct constant) constants;
    size_t bytes;
};

// Packing follows from the kernel's code, so its symbol names it.
static size_t constant_at(struct assembly *a, const struct kfunc *kf,
                          const struct kernel *kernel, const char *symbol, nid node) {
    const struct node *n = node_at(kf->f, node);
    bool packed = symbol && codegen_wants_packed(a->target, kf, kernel, node);
    struct digest id = n->digest;
    if (packed) id = digest_join(id, digest_of(symbol, strlen(symbol)));
    for (size_t i = 0; i < a->constants.n; i++)
        if (digest_eq(a->constants.at[i].id, id)) return a->constants.at[i].offset;
    struct constant c = {id,  a->bytes, type_bytes(&n->type), kf, packed ? kernel : NULL,
                         node};
    if (packed) c.bytes = codegen_packed_bytes(a->target, kf, kernel, node);
    VEC_PUSH(a->arena, &a->constants, c);
    a->bytes += size_align(c.bytes, 64);
    return c.offset;
}

static struct plan_buffer buffer_of(struct assembly *a, const struct kfunc *kf,
                                    const struct kernel *kernel, const char *symbol,
                                    nid v) {
    const struct place *p = &kf->places[v];
    struct plan_buffer b = {.offset = p->offset};
    if (type_at(kf->f, v)->rows) b.stride = p->layout.bytes;
    switch (p->kind) {
    case PLACE_CONST:
        b.space = SPACE_CONST;
        b.offset = constant_at(a, kf, kernel, symbol, v);
        break;
    case PLACE_ARENA: b.space = SPACE_ARENA; break;
    case PLACE_IN: b.space = SPACE_IN; break;
    case PLACE_OUT: b.space = SPACE_OUT; break;
    case PLACE_NONE: BUG("a kernel reads a value that is not stored");
    }
    return b;
}

// A builtin takes its operands in order, as the op lists them.
static void runtime_call(struct assembly *a, const struct kfunc *kf,
                         const struct kernel *kernel, struct plan_call *c) {
    const struct node *n = node_at(kf->f, kernel->outs[0]);
    c->builtin = kernel_builtin(kf->f, kernel->outs[0], c->params);
    c->buffers = NEW_N(a->arena, struct plan_buffer, 1 + n->nin);
    c->buffers[c->nbuffers++] = buffer_of(a, kf, kernel, NULL, kernel->outs[0]);
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != NID_NONE)
            c->buffers[c->nbuffers++] = buffer_of(a, kf, kernel, NULL, n->in[i]);
}

static bool kernel_call(struct assembly *a, const struct kfunc *kf,
                        const struct kernel *kernel, struct plan_call *c) {
    if (!(c->symbol = codegen_add(a->cg, kf, kernel, a->d))) return false;
    c->buffers = NEW_N(a->arena, struct plan_buffer, kernel->nouts + kernel->nins + 1);
    for (size_t i = 0; i < kernel->nouts; i++)
        c->buffers[c->nbuffers++] = buffer_of(a, kf, kernel, c->symbol, kernel->outs[i]);
    for (size_t i = 0; i < kernel->nins; i++)
        c->buffers[c->nbuffers++] = buffer_of(a, kf, kernel, c->symbol, kernel->ins[i]);
    if (kernel->prologue != NID_NONE)
        c->buffers[c->nbuffers++] =
            (struct plan_buffer){SPACE_ARENA, kernel->scratch_offset, 0};
    return true;
}

static bool assemble_func(struct assembly *a, const struct kfunc *kf,
                          struct plan_func *f) {
    f->batch = kf->batch;
    f->arena_bytes = kf->arena_bytes;
    f->ncalls = kf->kernels.n;
    f->calls = NEW_N(a->arena, struct plan_call, f->ncalls);
    for (size_t i = 0; i < f->ncalls; i++) {
        const struct kernel *kernel = &kf->kernels.at[i];
        struct plan_call *c = &f->calls[i];
        c->once = !type_at(kf->f, kernel->outs[0])->rows;
        if (kernel->runtime) runtime_call(a, kf, kernel, c);
        else if (!kernel_call(a, kf, kernel, c)) return false;
    }
    for (nid v = 0; v < kf->f->nodes.n; v++)
        if (type_at(kf->f, v)->rows) f->flops += kernel_flops(kf->f, v);
    return true;
}

static void write_constants(const struct assembly *a, char *out) {
    for (size_t i = 0; i < a->constants.n; i++) {
        const struct constant *c = &a->constants.at[i];
        const struct node *n = node_at(c->kf->f, c->node);
        if (c->kernel)
            codegen_pack(a->target, c->kf, c->kernel, c->node, out + c->offset);
        else memcpy(out + c->offset, n->data, c->bytes);
    }
}

bool assemble(struct codegen *cg, const struct target *t,
              const struct kfunc *const *kfuncs, struct plan *plan, struct arena *arena,
              struct diags *d) {
    struct assembly a = {.cg = cg, .target = t, .arena = arena, .d = d};
    for (size_t i = 0; i < plan->nfuncs; i++)
        if (!assemble_func(&a, kfuncs[i], &plan->funcs[i])) return false;
    plan->const_bytes = a.bytes;
    plan->consts =
        arena_alloc(arena, a.bytes + 64, 1); // vector loads may run past the end
    write_constants(&a, plan->consts);
    return true;
}

bool assemble_link(struct codegen *cg, struct plan *plan, struct diags *d) {
    for (size_t i = 0; i < plan->nfuncs; i++)
        for (size_t j = 0; j < plan->funcs[i].ncalls; j++) {
            struct plan_call *c = &plan->funcs[i].calls[j];
            if (c->symbol && !(c->fn = codegen_address(cg, c->symbol, d))) return false;
        }
    return true;
}
