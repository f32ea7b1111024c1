// See joint.h. Values that all rows share end bands: what needs all rows of another
// value cannot begin before they are there, nor what reads it go on. So kernels of rows
// are taken as far as they go before the next that serve all rows, and bands are as
// long as can be.
//
// A phase is what has nothing to wait for but the phases before. Packed weights are
// made only just before they are read: they take much memory, and there are workers to
// spare then.
#include "passes/joint.h"

#include "ir/batch_product.h"

enum joint_sort joint_sort(const struct kfunc *k, const struct kernel *kernel) {
    if (type_at(k->f, kernel->outs[0])->rows) return SORT_ROWS;
    return kernel->parts ? SORT_PARTS : SORT_SHARED;
}

// ---- order ---------------------------------------------------------------------------
struct ordering {
    struct kfunc *k;
    bool *ready, *done; // by nid, by kernel
    struct kernel *out;
    size_t placed;
};

static bool can_begin(const struct ordering *o, const struct kernel *k) {
    for (size_t i = 0; i < k->nins; i++)
        if (!o->ready[k->ins[i]]) return false;
    return true;
}

// All of the sort that can begin, one after the other; whether there were any.
static bool place_sort(struct ordering *o, bool rows) {
    size_t before = o->placed;
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < o->k->kernels.n; i++) {
            const struct kernel *k = &o->k->kernels.at[i];
            if (o->done[i] || type_at(o->k->f, k->outs[0])->rows != rows) continue;
            if (!can_begin(o, k)) continue;
            o->done[i] = more = true;
            o->out[o->placed++] = *k;
            for (size_t j = 0; j < k->nouts; j++) o->ready[k->outs[j]] = true;
        }
    }
    return o->placed > before;
}

void joint_order(struct arena *arena, struct kfunc *k) {
    size_t n = k->kernels.n, nodes = k->f->nodes.n;
    struct ordering o = {k, NEW_N(arena, bool, nodes), NEW_N(arena, bool, n + 1),
                         NEW_N(arena, struct kernel, n + 1), 0};
    for (nid v = 0; v < nodes; v++)
        o.ready[v] =
            node_at(k->f, v)->op == OP_INPUT || op_is_constant(node_at(k->f, v)->op);
    while (o.placed < n) {
        bool some = place_sort(&o, false);
        some |= place_sort(&o, true);
        CHECK(some);
    }
    memcpy(k->kernels.at, o.out, n * sizeof *o.out);
}

// ---- parts ---------------------------------------------------------------------------
#define PART_BYTES ((size_t)64 << 10) // of a packed weight, at least
#define MOST_PARTS ((size_t)32)

static size_t pack_parts(const struct kfunc *k, nid pack) {
    size_t parts = k->places[pack].layout.bytes / PART_BYTES;
    return parts < 2 ? 0 : size_min(parts, MOST_PARTS);
}

void joint_parts(const struct target *t, struct kfunc *k) {
    for (size_t i = 0; i < k->kernels.n; i++) {
        struct kernel *kernel = &k->kernels.at[i];
        if (node_at(k->f, kernel->outs[0])->op == OP_PACK)
            kernel->parts = pack_parts(k, kernel->outs[0]);
        if (!kernel->all_rows || kernel->anchor == NID_NONE) continue;
        kernel->parts = batch_product_parts(t, k, kernel);
        kernel->work_bytes = batch_product_work(t, k, kernel);
        kernel->tiling = batch_product_tiling(t, k, kernel);
    }
}

// ---- phases --------------------------------------------------------------------------
struct phases {
    struct kfunc *k;
    size_t *band;  // by kernel
    size_t *maker; // by nid: band; SIZE_MAX: none
};

static void find_bands(struct phases *p) {
    size_t at = 0;
    for (nid v = 0; v < p->k->f->nodes.n; v++) p->maker[v] = SIZE_MAX;
    for (size_t i = 0; i < p->k->bands.n; i++)
        for (size_t j = 0; j < p->k->bands.at[i].nkernels; j++, at++) {
            const struct kernel *k = &p->k->kernels.at[at];
            p->band[at] = i;
            for (size_t o = 0; o < k->nouts; o++) p->maker[k->outs[o]] = i;
        }
}

// The band of kernel i comes after those that make what it reads.
static void wait_for_makers(const struct phases *p, size_t i) {
    const struct kernel *k = &p->k->kernels.at[i];
    struct band *band = &p->k->bands.at[p->band[i]];
    for (size_t j = 0; j < k->nins; j++) {
        size_t from = p->maker[k->ins[j]];
        if (from == SIZE_MAX || from == p->band[i]) continue;
        band->phase = size_max(band->phase, p->k->bands.at[from].phase + 1);
    }
}

// The first phase from that one on in which rows are computed; itself, if there is none.
static size_t phase_of_rows(const struct phases *p, size_t from) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < p->k->kernels.n; i++) {
        size_t phase = p->k->bands.at[p->band[i]].phase;
        if (phase >= from && joint_sort(p->k, &p->k->kernels.at[i]) == SORT_ROWS)
            best = size_min(best, phase);
    }
    return best == SIZE_MAX ? from : best;
}

// Packed weights go to the phase before the one that reads them, if they wait for
// nothing.
static void delay_packs(const struct phases *p) {
    struct kfunc *k = p->k;
    for (size_t i = k->kernels.n; i-- > 0;)
        for (size_t j = 0; j < k->kernels.at[i].nins; j++) {
            nid v = k->kernels.at[i].ins[j];
            size_t reads = k->bands.at[p->band[i]].phase;
            if (node_at(k->f, v)->op != OP_PACK || !reads) continue;
            struct band *maker = &k->bands.at[p->maker[v]];
            if (maker->nkernels == 1) maker->phase = size_max(maker->phase, reads - 1);
        }
}

static const bool *values_read(struct arena *arena, const struct kfunc *k) {
    bool *read = NEW_N(arena, bool, k->f->nodes.n + 1);
    for (size_t i = 0; i < k->kernels.n; i++)
        for (size_t j = 0; j < k->kernels.at[i].nins; j++)
            read[k->kernels.at[i].ins[j]] = true;
    return read;
}

// Weight gradients are a few long tasks that nothing waits for: beside the rows of a
// later phase, which are many short ones, they keep no worker waiting.
static void delay_sums(const struct phases *p, const bool *read) {
    struct kfunc *k = p->k;
    for (size_t i = 0; i < k->kernels.n; i++) {
        const struct kernel *kernel = &k->kernels.at[i];
        struct band *band = &k->bands.at[p->band[i]];
        if (!kernel->parts || !kernel->all_rows || read[kernel->outs[0]]) continue;
        band->phase = phase_of_rows(p, band->phase);
    }
}

void joint_phases(struct arena *arena, struct kfunc *k) {
    struct phases p = {k, NEW_N(arena, size_t, k->kernels.n + 1),
                       NEW_N(arena, size_t, k->f->nodes.n + 1)};
    find_bands(&p);
    for (size_t i = 0; i < k->bands.n; i++) k->bands.at[i].phase = 0;
    for (size_t i = 0; i < k->kernels.n; i++) wait_for_makers(&p, i);
    delay_sums(&p, values_read(arena, k));
    delay_packs(&p);
}
