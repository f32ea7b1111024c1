// Memory: lifetimes become offsets in the worker's arena.
//
// In a joint function a worker has for itself what rows of a round and kernels at work
// need; what crosses bands is in memory that all have in common, from the phase that
// makes it to the last that reads it.
//
// A value that is read in the band that makes it only has room for the rows of a round;
// its room is free for others before and after. One that crosses bands has room for all
// rows of a call and, as bands go through their kernels round after round, keeps it from
// the first kernel of the band that makes it to the last of the last band that reads it.
#include "passes/bands.h"

#include "passes/joint.h"

#define MOST_ROWS  64                 // of a call
#define MOST_BYTES ((size_t)64 << 20) // of the arena, unless one row takes more

struct block {          // a stored value, or what a kernel needs while it runs
    size_t *place;      // where its offset goes
    size_t bytes;       // of all its rows
    size_t first, last; // kernels (phases) between which it is alive
    size_t offset;
};

struct block_list {
    VEC(struct block) of;
};

struct blocks {
    const struct kfunc *k;
    size_t *band;               // by kernel: the first kernel of its band
    size_t *last;               // by nid: the kernel that reads it last
    size_t *last_phase;         // the same of a joint function
    struct block_list all, own; // own: of a joint function's workers
};

static void add_block(struct arena *arena, struct block_list *to, struct block block,
                      size_t row_bytes, size_t rows) {
    if (!row_bytes) return;
    if (!size_mul(row_bytes, rows, &block.bytes) || block.bytes > SIZE_MAX / 2)
        scope_no_memory();
    block.bytes = size_align(block.bytes, 64);
    VEC_PUSH(arena, &to->of, block);
}

static const struct band *band_of(const struct blocks *b, size_t kernel) {
    size_t first = 0;
    for (size_t i = 0; i < b->k->bands.n; i++) {
        if (kernel < first + b->k->bands.at[i].nkernels) return &b->k->bands.at[i];
        first += b->k->bands.at[i].nkernels;
    }
    BUG("a kernel without a band");
}

static void add_joint_value(struct arena *arena, struct blocks *b, size_t i, nid v) {
    struct place *p = &b->k->places[v];
    struct block block = {.place = &p->offset, .first = i, .last = b->last[v]};
    bool rows = type_at(b->k->f, v)->rows;
    p->local = rows && b->band[i] == b->band[b->last[v]];
    if (p->local) {
        add_block(arena, &b->own, block, p->layout.bytes, band_of(b, i)->rows);
        return;
    }
    block.first = band_of(b, i)->phase;
    block.last = size_max(block.first, b->last_phase[v]);
    add_block(arena, &b->all, block, p->layout.bytes, rows ? b->k->batch : 1);
}

static void add_value(struct arena *arena, struct blocks *b, size_t i, nid v) {
    const struct kfunc *k = b->k;
    struct place *p = &k->places[v];
    struct block block = {.place = &p->offset, .first = i, .last = b->last[v]};
    size_t rows = 1, end = b->band[b->last[v]] + band_of(b, b->last[v])->nkernels;
    p->local = false;
    if (!type_at(k->f, v)->rows) { // stays for the calls that share it
        block.first = 0;
        block.last = k->kernels.n;
    } else if (b->band[i] == b->band[b->last[v]]) {
        p->local = true;
        rows = band_of(b, i)->rows;
    } else {
        block.first = b->band[i];
        block.last = end - 1;
        rows = k->batch;
    }
    add_block(arena, &b->all, block, p->layout.bytes, rows);
}

// Room for one call of kernel i only.
static void add_own(struct arena *arena, struct blocks *b, size_t i, size_t bytes,
                    size_t *place) {
    struct block block = {.place = place, .first = i, .last = i};
    add_block(arena, b->k->joint ? &b->own : &b->all, block, bytes, 1);
}

static void find_uses(struct arena *arena, struct blocks *b) {
    const struct kfunc *k = b->k;
    b->last = NEW_N(arena, size_t, k->f->nodes.n);
    b->last_phase = NEW_N(arena, size_t, k->f->nodes.n);
    b->band = NEW_N(arena, size_t, k->kernels.n + 1);
    for (size_t i = 0; i < k->kernels.n; i++) {
        const struct kernel *kernel = &k->kernels.at[i];
        for (size_t j = 0; j < kernel->nouts; j++) b->last[kernel->outs[j]] = i;
        for (size_t j = 0; j < kernel->nins; j++) b->last[kernel->ins[j]] = i;
    }
    for (size_t i = 0, first = 0; i < k->bands.n; i++)
        for (size_t end = first + k->bands.at[i].nkernels, at = first; first < end;)
            b->band[first++] = at;
}

static void find_phases(struct blocks *b) {
    const struct kfunc *k = b->k;
    for (size_t i = 0; i < k->kernels.n; i++)
        for (size_t j = 0; j < k->kernels.at[i].nins; j++) {
            size_t *last = &b->last_phase[k->kernels.at[i].ins[j]];
            *last = size_max(*last, band_of(b, i)->phase);
        }
}

static void find_blocks(struct arena *arena, struct blocks *b) {
    const struct kfunc *k = b->k;
    find_uses(arena, b);
    if (k->joint) find_phases(b);
    for (size_t i = 0; i < k->kernels.n; i++) {
        struct kernel *kernel = &k->kernels.at[i];
        for (size_t j = 0; j < kernel->nouts; j++)
            if (k->places[kernel->outs[j]].kind == PLACE_ARENA)
                (k->joint ? add_joint_value : add_value)(arena, b, i, kernel->outs[j]);
        if (kernel->prologue != NID_NONE)
            add_own(arena, b, i, kernel->scratch_layout.bytes, &kernel->scratch_offset);
        add_own(arena, b, i, kernel->work_bytes, &kernel->work_offset);
    }
}

// The lowest offset at which block i overlaps no earlier block that is alive with it.
static size_t first_fit(const struct block_list *b, size_t i) {
    const struct block *one = &b->of.at[i];
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t j = 0; j < i; j++) {
            const struct block *o = &b->of.at[j];
            if (o->last < one->first || one->last < o->first) continue;
            if (o->offset < offset + one->bytes && offset < o->offset + o->bytes) {
                offset = o->offset + o->bytes;
                moved = true;
            }
        }
    }
    return offset;
}

// Gives every block its place; returns the arena's size.
static size_t assign(struct block_list *b) {
    size_t total = 0;
    for (size_t i = 0; i < b->of.n; i++) {
        struct block *block = &b->of.at[i];
        *block->place = block->offset = first_fit(b, i);
        if (block->bytes > SIZE_MAX - block->offset) scope_no_memory();
        total = size_max(total, block->offset + block->bytes);
    }
    return total;
}

void bands_place(struct arena *arena, struct kfunc *k) {
    struct blocks b = {.k = k};
    find_blocks(arena, &b);
    k->arena_bytes = assign(&b.all);
    k->own_bytes = assign(&b.own);
}

static void plan_joint(struct module *m, struct kfunc *k) {
    joint_parts(m->target, k);
    bands_choose(m->arena, m->target, k, size_min(k->f->batch, MOST_ROWS));
    joint_phases(m->arena, k);
    bands_place(m->arena, k);
}

// Needs: layouts. Fills the batch, bands, arena offsets and the arena's size.
bool pass_memory(struct module *m, struct module_func *mf, struct diags *d) {
    (void)d;
    struct kfunc *k = mf->k;
    if (k->joint) plan_joint(m, k);
    for (size_t most = MOST_ROWS; most > 0 && !k->joint; most = k->batch / 2) {
        bands_choose(m->arena, m->target, k, most);
        bands_place(m->arena, k);
        if (k->arena_bytes <= MOST_BYTES) break;
    }
    return true;
}
