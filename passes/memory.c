// Memory: lifetimes become offsets in the worker's arena, and the batch is chosen so that
// what is alive stays in the second-level cache while a few rows go through the whole
// function together (KERNELS: worth 1.25 to 1.75 times).
#include "passes/pass.h"

#define MOST_ROWS 16

struct block {          // a stored value, or what a kernel needs while it runs
    size_t *place;      // where its offset goes
    size_t bytes;       // a row
    bool once;          // shared by the rows of a call
    size_t first, last; // kernels between which it is alive
    size_t offset;
};

struct blocks {
    VEC(struct block) list;
};

// Room for one call of kernel i only.
static void add_own(struct arena *arena, struct blocks *b, size_t i, size_t bytes,
                    size_t *place) {
    if (!bytes) return;
    VEC_PUSH(arena, &b->list,
             (struct block){
                 .place = place, .bytes = bytes, .once = true, .first = i, .last = i});
}

static void find_blocks(struct arena *arena, const struct kfunc *k, struct blocks *b) {
    uint32_t *of = NEW_N(arena, uint32_t, k->f->nodes.n);
    for (size_t i = 0; i < k->kernels.n; i++) {
        struct kernel *kernel = &k->kernels.at[i];
        for (size_t j = 0; j < kernel->nouts; j++) {
            nid v = kernel->outs[j];
            if (k->places[v].kind != PLACE_ARENA) continue;
            of[v] = (uint32_t)b->list.n + 1;
            bool once = !type_at(k->f, v)->rows; // stays for the calls that share it
            VEC_PUSH(arena, &b->list,
                     (struct block){.place = &k->places[v].offset,
                                    .bytes = k->places[v].layout.bytes,
                                    .once = once,
                                    .first = once ? 0 : i,
                                    .last = once ? k->kernels.n : i});
        }
        for (size_t j = 0; j < kernel->nins; j++)
            if (of[kernel->ins[j]]) {
                struct block *o = &b->list.at[of[kernel->ins[j]] - 1];
                o->last = size_max(o->last, i);
            }
        if (kernel->prologue != NID_NONE)
            add_own(arena, b, i, kernel->scratch_layout.bytes, &kernel->scratch_offset);
        add_own(arena, b, i, kernel->work_bytes, &kernel->work_offset);
    }
}

static size_t block_bytes(const struct block *b, size_t batch) {
    size_t bytes;
    CHECK(size_mul(b->bytes, b->once ? 1 : batch, &bytes));
    return size_align(bytes, 64);
}

// The lowest offset at which block i overlaps no earlier block that is alive with it.
static size_t first_fit(const struct blocks *b, size_t i, size_t batch) {
    const struct block *one = &b->list.at[i];
    size_t offset = 0, bytes = block_bytes(one, batch);
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t j = 0; j < i; j++) {
            const struct block *o = &b->list.at[j];
            if (o->last < one->first || one->last < o->first) continue;
            size_t end = o->offset + block_bytes(o, batch);
            if (o->offset < offset + bytes && offset < end) {
                offset = end;
                moved = true;
            }
        }
    }
    return offset;
}

// Offsets for a batch; returns the arena's size.
static size_t assign(struct blocks *b, size_t batch) {
    size_t total = 0;
    for (size_t i = 0; i < b->list.n; i++) {
        b->list.at[i].offset = first_fit(b, i, batch);
        total =
            size_max(total, b->list.at[i].offset + block_bytes(&b->list.at[i], batch));
    }
    return total;
}

// Needs: layouts. Fills arena offsets, the arena's size and the batch.
bool pass_memory(struct module *m, struct module_func *mf, struct diags *d) {
    (void)d;
    struct kfunc *k = mf->k;
    struct blocks b = {0};
    find_blocks(m->arena, k, &b);
    size_t one = assign(&b, 1), room = m->target->l2 / 4 * 3;
    k->batch = one ? size_max(1, size_min(MOST_ROWS, room / one)) : MOST_ROWS;
    k->arena_bytes = assign(&b, k->batch);
    VEC_PUSH(m->arena, &k->bands, (struct band){k->kernels.n, k->batch});
    for (size_t i = 0; i < b.list.n; i++) *b.list.at[i].place = b.list.at[i].offset;
    return true;
}
