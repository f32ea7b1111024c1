// Which kernels are compiled together.
//
// LLVM takes a millisecond to set up for a module, as long as a small kernel takes
// itself, so small ones share one. Kernels that compute Winograd's convolution of one
// shape share the code of its first steps (winograd.c), which is most of theirs. A unit
// is not made so large that threads would wait for the last one.
#include "codegen/compile.h"
#include "codegen/winograd_plan.h"

#define MOST_SMALL    ((size_t)10) // kernels without an anchor in a unit
#define MOST_WINOGRAD ((size_t)6)  // of one shape

// Milliseconds, about.
#define COST_SMALL    1
#define COST_ANCHOR   8
#define COST_WINOGRAD 6 // with its own results; of the shared steps:
#define COST_STEPS    6

enum { FAMILY_NONE, FAMILY_SMALL, FAMILY_SHAPES }; // SHAPES: of the entry so many further

static bool is_winograd(const struct entry *e) {
    return e->k.algorithm != ALGORITHM_DIRECT;
}

// Whether the products are the same code.
static bool same_products(const struct winograd *a, const struct winograd *b) {
    return a->m == b->m && a->channels == b->channels && a->out == b->out &&
           a->tile_blocks == b->tile_blocks && a->tile_tiles == b->tile_tiles &&
           a->group == b->group;
}

static bool same_steps(const struct codegen *cg, const struct entry *a,
                       const struct entry *b) {
    if (!is_winograd(a) || !is_winograd(b)) return false;
    struct winograd v = winograd_of_kernel(&cg->t, a->kf, &a->k);
    struct winograd w = winograd_of_kernel(&cg->t, b->kf, &b->k);
    return same_products(&v, &w);
}

// A Winograd kernel's family is known by the first entry that has its steps.
static size_t family_of(const struct codegen *cg, size_t entry) {
    const struct entry *e = &cg->entries.at[entry];
    if (e->k.anchor == NID_NONE) return FAMILY_SMALL;
    if (!is_winograd(e)) return FAMILY_NONE;
    size_t first = 0;
    while (!same_steps(cg, &cg->entries.at[first], e)) first++;
    return FAMILY_SHAPES + first;
}

static size_t most_of(size_t family) {
    if (family == FAMILY_NONE) return 1;
    return family == FAMILY_SMALL ? MOST_SMALL : MOST_WINOGRAD;
}

static double cost_of(size_t family, size_t n) {
    double each = (double)n;
    if (family == FAMILY_NONE) return COST_ANCHOR * each;
    if (family == FAMILY_SMALL) return COST_SMALL * each;
    return COST_STEPS + COST_WINOGRAD * each;
}

// The last unit of the family that has room, among those not compiled yet.
static struct unit *unit_with_room(struct codegen *cg, size_t family, size_t from) {
    for (size_t i = cg->units.n; i-- > from;) {
        struct unit *u = &cg->units.at[i];
        if (u->family == family) return u->entries.n < most_of(family) ? u : NULL;
    }
    return NULL;
}

void units_join(struct codegen *cg) {
    size_t from = cg->units.n;
    for (; cg->joined < cg->entries.n; cg->joined++) {
        size_t family = family_of(cg, cg->joined);
        struct unit *u = unit_with_room(cg, family, from);
        if (!u) {
            VEC_PUSH(cg->arena, &cg->units, (struct unit){.family = family});
            u = &cg->units.at[cg->units.n - 1];
        }
        VEC_PUSH(cg->arena, &u->entries, cg->joined);
        u->cost = cost_of(family, u->entries.n);
    }
}

size_t *units_ordered(const struct codegen *cg, struct arena *arena, size_t from) {
    size_t n = cg->units.n - from;
    size_t *order = NEW_N(arena, size_t, n);
    for (size_t i = 0; i < n; i++) {
        double cost = cg->units.at[from + i].cost;
        size_t at = i;
        for (; at > 0 && cg->units.at[order[at - 1]].cost < cost; at--)
            order[at] = order[at - 1];
        order[at] = from + i;
    }
    return order;
}
