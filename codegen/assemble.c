// See assemble.h. A function's constants are found first and written when it is finished;
// equal ones, packed alike, are one, whichever function came with them. What is written
// together lies together, and goes when too much is held and nothing at hand reads it.
#include "codegen/assemble.h"

#include "runtime/pool.h"
#include "runtime/settings.h"

struct constant {     // one of plan->consts
    struct digest id; // of the data, and of how it is packed
    const struct kfunc *kf;
    const struct kernel *kernel; // whose packing, or NULL: dense
    nid node;
    size_t round; // the last assembly_finish that made a function ready that reads it
    size_t group; // where it was written, counted from 1; 0: it is a setting
};

struct group {           // constants that were written together
    struct arena *arena; // NULL: given back
    size_t bytes;
    bool read; // by what is made ready
};

struct assembly {
    struct arena *arena;
    struct codegen *cg;
    const struct target *target;
    struct plan *plan;
    struct diags *d; // of the call at hand
    VEC(struct constant) constants;
    VEC(struct plan_const) blocks; // what plan->consts is; parallel to constants
    VEC(struct group) groups;
    size_t held, most;      // bytes of them
    size_t round;           // of assembly_finish
    VEC(size_t) wanted;     // functions, since the last
    VEC(size_t) missing;    // constants that they read and that are to be written
    struct timeline *times; // may be NULL
};

static void end_groups(void *assembly) {
    struct assembly *a = assembly;
    for (size_t i = 0; i < a->groups.n; i++)
        if (a->groups.at[i].arena) arena_free(a->groups.at[i].arena);
}

struct assembly *assembly_new(struct arena *arena, struct codegen *cg,
                              const struct target *t, struct plan *plan, size_t most) {
    struct assembly *a = NEW(arena, struct assembly);
    *a = (struct assembly){
        .arena = arena, .cg = cg, .target = t, .plan = plan, .most = most};
    arena_defer(arena, end_groups, a);
    return a;
}

void assembly_times(struct assembly *a, struct timeline *times) {
    a->times = times;
    codegen_times(a->cg, times);
}

// ---- buffers and calls ---------------------------------------------------------------

// Packing follows from the kernel's code, so its symbol names it.
static size_t constant_at(struct assembly *a, const struct kfunc *kf,
                          const struct kernel *kernel, const char *symbol, nid node) {
    const struct node *n = node_at(kf->f, node);
    bool packed = symbol && codegen_wants_packed(a->target, kf, kernel, node);
    struct digest id = n->digest;
    if (packed) id = digest_join(id, digest_of(symbol, strlen(symbol)));
    for (size_t i = 0; i < a->constants.n; i++)
        if (digest_eq(a->constants.at[i].id, id)) return i;
    struct plan_const block = {.bytes = type_bytes(&n->type)};
    if (packed) block.bytes = codegen_packed_bytes(a->target, kf, kernel, node);
    VEC_PUSH(a->arena, &a->constants,
             (struct constant){id, kf, packed ? kernel : NULL, node, 0, 0});
    VEC_PUSH(a->arena, &a->blocks, block);
    return a->constants.n - 1;
}

static char *setting_data(struct assembly *a, const struct kfunc *kf, nid node) {
    float *data = arena_alloc(a->arena, 1, sizeof *data + PLAN_SLACK);
    *data = (float)attr_float(node_at(kf->f, node), "value");
    return (char *)data;
}

// Settings of one formula are one constant, which is always there.
static size_t setting_at(struct assembly *a, const struct kfunc *kf, nid node) {
    const struct value *v = &node_at(kf->f, node)->attrs[0];
    for (size_t i = 0; i < a->constants.n; i++) {
        const struct constant *c = &a->constants.at[i];
        const struct node *o = node_at(c->kf->f, c->node);
        if (o->op == OP_SETTING && value_eq(&o->attrs[0], v)) return i;
    }
    VEC_PUSH(a->arena, &a->constants, (struct constant){.kf = kf, .node = node});
    VEC_PUSH(a->arena, &a->blocks,
             (struct plan_const){setting_data(a, kf, node), sizeof(float)});
    if (v->of)
        plan_use_late(a->arena, a->plan, USE_CONST, (uint32_t)a->constants.n - 1, 0, 0,
                      plan_late_of(a->arena, a->plan, v, NULL));
    return a->constants.n - 1;
}

static struct plan_buffer buffer_of(struct assembly *a, const struct kfunc *kf,
                                    const struct kernel *kernel, const char *symbol,
                                    nid v) {
    const struct place *p = &kf->places[v];
    struct plan_buffer b = {.offset = p->offset, .local = p->local};
    if (type_at(kf->f, v)->rows) b.stride = p->layout.bytes;
    switch (p->kind) {
    case PLACE_CONST:
        b.space = SPACE_CONST;
        b.offset = node_at(kf->f, v)->op == OP_SETTING
                       ? setting_at(a, kf, v)
                       : constant_at(a, kf, kernel, symbol, v);
        break;
    case PLACE_ARENA: b.space = SPACE_ARENA; break;
    case PLACE_IN: b.space = SPACE_IN; break;
    case PLACE_OUT: b.space = SPACE_OUT; break;
    case PLACE_NONE: BUG("a kernel reads a value that is not stored");
    }
    return b;
}

static void use_seed(struct assembly *a, const struct node *n, size_t func, size_t call,
                     enum builtin which) {
    size_t param = kernel_builtin_seed(which);
    if (param == PLAN_MAX_PARAMS || !value_is_late(node_attr(n, "seed"))) return;
    plan_use_late(a->arena, a->plan, USE_BUILTIN, (uint32_t)func, (uint32_t)call,
                  (uint32_t)param,
                  plan_late_of(a->arena, a->plan, node_attr(n, "seed"), NULL));
}

// A builtin takes its operands in order, as the op lists them.
static void runtime_call(struct assembly *a, const struct kfunc *kf,
                         const struct kernel *kernel, struct plan_call *c, size_t func,
                         size_t call) {
    const struct node *n = node_at(kf->f, kernel->outs[0]);
    c->builtin = kernel_builtin(kf->f, kernel->outs[0], c->params);
    use_seed(a, n, func, call, c->builtin);
    c->buffers = NEW_N(a->arena, struct plan_buffer, 1 + n->nin);
    c->buffers[c->nbuffers++] = buffer_of(a, kf, kernel, NULL, kernel->outs[0]);
    for (uint32_t i = 0; i < n->nin; i++)
        if (n->in[i] != NID_NONE)
            c->buffers[c->nbuffers++] = buffer_of(a, kf, kernel, NULL, n->in[i]);
}

// What a kernel has for itself while it runs.
static struct plan_buffer own_memory(const struct kfunc *kf, size_t offset) {
    return (struct plan_buffer){SPACE_ARENA, .offset = offset, .local = kf->joint};
}

static bool kernel_call(struct assembly *a, const struct kfunc *kf,
                        const struct kernel *kernel, struct plan_call *c) {
    if (!(c->symbol = codegen_add(a->cg, kf, kernel, a->d))) return false;
    c->buffers = NEW_N(a->arena, struct plan_buffer, kernel->nouts + kernel->nins + 2);
    for (size_t i = 0; i < kernel->nouts; i++)
        c->buffers[c->nbuffers++] = buffer_of(a, kf, kernel, c->symbol, kernel->outs[i]);
    for (size_t i = 0; i < kernel->nins; i++)
        c->buffers[c->nbuffers++] = buffer_of(a, kf, kernel, c->symbol, kernel->ins[i]);
    if (kernel->prologue != NID_NONE)
        c->buffers[c->nbuffers++] = own_memory(kf, kernel->scratch_offset);
    if (kernel->work_bytes)
        c->buffers[c->nbuffers++] = own_memory(kf, kernel->work_offset);
    return true;
}

static void add_bands(struct assembly *a, const struct kfunc *kf, struct plan_func *f) {
    f->nbands = kf->bands.n;
    f->bands = NEW_N(a->arena, struct plan_band, f->nbands);
    for (size_t i = 0; i < f->nbands; i++) {
        const struct band *b = &kf->bands.at[i];
        f->bands[i] = (struct plan_band){b->nkernels, b->rows, b->phase};
    }
}

static bool add_call(struct assembly *a, const struct kfunc *kf, size_t func, size_t i) {
    const struct kernel *kernel = &kf->kernels.at[i];
    struct plan_call *c = &a->plan->funcs[func].calls[i];
    c->once = !type_at(kf->f, kernel->outs[0])->rows;
    c->all_rows = kernel->all_rows;
    c->parts = kernel->parts;
    c->what = kernel_what(a->arena, kf, kernel);
    c->how = kernel_how(kf, kernel);
    c->flops = kernel_row_flops(kf, kernel);
    c->bytes = kernel_row_bytes(kf, kernel);
    if (!kernel->runtime) return kernel_call(a, kf, kernel, c);
    runtime_call(a, kf, kernel, c, func, i);
    return true;
}

bool assembly_add(struct assembly *a, size_t i, const struct kfunc *kf, struct diags *d) {
    struct plan_func *f = &a->plan->funcs[i];
    a->d = d;
    f->batch = kf->batch;
    f->arena_bytes = kf->arena_bytes;
    f->joint = kf->joint;
    f->own_bytes = kf->own_bytes;
    f->flops = func_flops(kf->f);
    add_bands(a, kf, f);
    f->ncalls = kf->kernels.n;
    f->calls = NEW_N(a->arena, struct plan_call, f->ncalls);
    for (size_t k = 0; k < f->ncalls; k++)
        if (!add_call(a, kf, i, k)) return false;
    assembly_want(a, i);
    return true;
}

void assembly_want(struct assembly *a, size_t i) {
    VEC_PUSH(a->arena, &a->wanted, i);
}

// ---- finishing -----------------------------------------------------------------------

static size_t room_of(const struct plan_const *block) {
    return size_align(block->bytes + PLAN_SLACK, 64);
}

struct reading { // of a function's buffers
    size_t call, buffer;
};

// The next constant that f reads; SIZE_MAX: there is none.
static size_t next_read(const struct plan_func *f, struct reading *at) {
    for (; at->call < f->ncalls; at->call++, at->buffer = 0) {
        const struct plan_call *c = &f->calls[at->call];
        while (at->buffer < c->nbuffers) {
            const struct plan_buffer *b = &c->buffers[at->buffer++];
            if (b->space == SPACE_CONST) return b->offset;
        }
    }
    return SIZE_MAX;
}

static void mark_read(struct assembly *a, const struct plan_func *f) {
    struct reading at = {0};
    for (size_t c; (c = next_read(f, &at)) != SIZE_MAX;)
        a->constants.at[c].round = a->round;
}

static bool is_there(const struct assembly *a, const struct plan_func *f) {
    struct reading at = {0};
    for (size_t c; (c = next_read(f, &at)) != SIZE_MAX;)
        if (!a->blocks.at[c].data) return false;
    return true;
}

static void drop_group(struct assembly *a, size_t group) {
    struct group *g = &a->groups.at[group];
    for (size_t i = 0; i < a->constants.n; i++)
        if (a->blocks.at[i].data && a->constants.at[i].group == group + 1)
            a->blocks.at[i].data = NULL;
    a->held -= g->bytes;
    arena_free(g->arena);
    *g = (struct group){0};
}

// Gives back what no function at hand reads, when more is held than should be.
static void drop_unread(struct assembly *a) {
    if (a->held <= a->most) return;
    for (size_t i = 0; i < a->groups.n; i++) a->groups.at[i].read = false;
    for (size_t i = 0; i < a->constants.n; i++) {
        const struct constant *c = &a->constants.at[i];
        if (c->round == a->round && c->group) a->groups.at[c->group - 1].read = true;
    }
    for (size_t i = 0; i < a->groups.n; i++)
        if (a->groups.at[i].arena && !a->groups.at[i].read) drop_group(a, i);
    for (size_t i = 0; i < a->plan->nfuncs; i++) {
        struct plan_func *f = &a->plan->funcs[i];
        f->loaded = f->loaded && is_there(a, f);
    }
}

static void write_constant(const struct assembly *a, const struct constant *c,
                           struct plan_const *block) {
    const struct node *n = node_at(c->kf->f, c->node);
    if (c->kernel) codegen_pack(a->target, c->kf, c->kernel, c->node, block->data);
    else memcpy(block->data, n->data, block->bytes);
    memset(block->data + block->bytes, 0, room_of(block) - block->bytes);
}

static void write_some(void *ctx, size_t first, size_t last) {
    struct assembly *a = ctx;
    for (size_t i = first; i < last; i++) {
        size_t c = a->missing.at[i];
        write_constant(a, &a->constants.at[c], &a->blocks.at[c]);
    }
}

static size_t find_missing(struct assembly *a) {
    size_t bytes = 0;
    a->missing.n = 0;
    for (size_t i = 0; i < a->blocks.n; i++) {
        if (a->constants.at[i].round != a->round || a->blocks.at[i].data) continue;
        if (!size_add(bytes, room_of(&a->blocks.at[i]), &bytes)) scope_no_memory();
        VEC_PUSH(a->arena, &a->missing, i);
    }
    return bytes;
}

// A group that was given back, or a new one.
static size_t free_group(struct assembly *a) {
    for (size_t i = 0; i < a->groups.n; i++)
        if (!a->groups.at[i].arena) return i;
    VEC_PUSH(a->arena, &a->groups, (struct group){0});
    return a->groups.n - 1;
}

// Room for what is missing in one block.
static void make_room(struct assembly *a, size_t bytes) {
    size_t group = free_group(a);
    struct group *g = &a->groups.at[group];
    g->arena = arena_must();
    char *at = arena_raw(g->arena, bytes, 1);
    a->held += g->bytes = bytes;
    for (size_t i = 0; i < a->missing.n; i++) {
        size_t c = a->missing.at[i];
        a->constants.at[c].group = group + 1;
        a->blocks.at[c].data = at;
        at += room_of(&a->blocks.at[c]);
    }
}

// Those that the wanted functions read and that are not there.
static void write_constants(struct assembly *a, size_t threads) {
    double began = timeline_now(a->times);
    a->round++;
    for (size_t i = 0; i < a->wanted.n; i++)
        mark_read(a, &a->plan->funcs[a->wanted.at[i]]);
    drop_unread(a);
    size_t bytes = find_missing(a);
    if (bytes) make_room(a, bytes);
    pool_for(threads, a->missing.n, 1, write_some, a);
    a->plan->consts = a->blocks.at;
    a->plan->nconsts = a->blocks.n;
    timeline_add(a->times, began, "pack constants", NULL);
}

static bool link_func(struct assembly *a, struct plan_func *f, struct diags *d) {
    for (size_t i = 0; i < f->ncalls; i++) {
        struct plan_call *c = &f->calls[i];
        if (c->symbol && !c->fn && !(c->fn = codegen_address(a->cg, c->symbol, d)))
            return false;
    }
    return true;
}

bool assembly_finish(struct assembly *a, size_t threads, struct diags *d) {
    write_constants(a, threads);
    if (!codegen_finish(a->cg, threads, d)) return false;
    double began = timeline_now(a->times);
    for (size_t i = 0; i < a->wanted.n; i++) {
        struct plan_func *f = &a->plan->funcs[a->wanted.at[i]];
        if (!link_func(a, f, d)) return false;
        f->loaded = true;
    }
    a->wanted.n = 0;
    timeline_add(a->times, began, "link", NULL);
    return true;
}

// ---- ahead of time -------------------------------------------------------------------

static size_t entry_of(const struct codegen_image *im, const char *symbol) {
    for (size_t i = 0; i < im->nkernels; i++)
        if (strcmp(im->kernels[i].symbol, symbol) == 0) return im->kernels[i].entry;
    BUG("the image lacks `%s`", symbol);
}

bool assembly_image(struct assembly *a, size_t threads, struct codegen_image *out,
                    struct diags *d) {
    write_constants(a, threads);
    if (!codegen_image(a->cg, threads, a->arena, out, d)) return false;
    for (size_t i = 0; i < a->plan->nfuncs; i++) {
        struct plan_func *f = &a->plan->funcs[i];
        for (size_t k = 0; k < f->ncalls; k++)
            if (f->calls[k].symbol) f->calls[k].entry = entry_of(out, f->calls[k].symbol);
    }
    return true;
}
