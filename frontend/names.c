// Declarations by name. See names.h.
#include "frontend/names.h"

#define CANDIDATES_MAX 2000 // more are not compared with a mistyped name

// The slot that holds the name, or the free one where it belongs.
static size_t slot_of(const struct names *t, const char *name) {
    size_t i = (size_t)digest_of(name, strlen(name)).lo & (t->cap - 1);
    while (t->slots[i] && strcmp(t->slots[i]->name, name) != 0)
        i = (i + 1) & (t->cap - 1);
    return i;
}

struct decl *names_find(const struct names *t, const char *name) {
    return t->cap ? t->slots[slot_of(t, name)] : NULL;
}

static void grow(struct arena *a, struct names *t) {
    struct names bigger = {.cap = t->cap ? t->cap * 2 : 16, .n = t->n};
    bigger.slots = NEW_N(a, struct decl *, bigger.cap);
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i]) bigger.slots[slot_of(&bigger, t->slots[i]->name)] = t->slots[i];
    *t = bigger;
}

struct decl *names_add(struct arena *a, struct names *t, struct decl *d) {
    if (2 * t->n >= t->cap) grow(a, t);
    size_t i = slot_of(t, d->name);
    if (t->slots[i]) return t->slots[i];
    t->slots[i] = d;
    t->n++;
    return NULL;
}

static void add(struct candidates *c, const char *name) {
    if (c->list.n < CANDIDATES_MAX) VEC_PUSH(c->arena, &c->list, name);
}

void candidates_add(struct candidates *c, const struct names *t, unsigned kinds) {
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i] && (kinds >> t->slots[i]->kind & 1)) add(c, t->slots[i]->name);
}

void candidates_add_ops(struct candidates *c) {
    for (size_t i = 0; i < OP_COUNT; i++)
        if (op_info((enum op)i)->family == FAMILY_PIPELINE)
            add(c, op_info((enum op)i)->name);
}

const char *candidates_at(const void *ctx, size_t i) {
    const struct candidates *c = ctx;
    return i < c->list.n ? c->list.at[i] : NULL;
}

const char *candidates_near(const struct candidates *c, const char *name) {
    return near_miss(name, candidates_at, c);
}
