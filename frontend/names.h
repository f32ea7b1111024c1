// Declarations by name: a hash table in an arena, without removal.
#ifndef DDG_NAMES_H
#define DDG_NAMES_H

#include "frontend/ast.h"

struct decl *names_find(const struct names *t, const char *name); // NULL: none
// Adds d unless its name is there already; returns the one that was there, or NULL.
struct decl *names_add(struct arena *a, struct names *t, struct decl *d);

// Names that a mistyped one may have meant, gathered when there is something to report.
struct candidates {
    struct arena *arena;
    VEC(const char *) list;
};

// Those of a table whose kind is in the set (1u << DECL_BIND | ...).
void candidates_add(struct candidates *c, const struct names *t, unsigned kinds);
void candidates_add_ops(struct candidates *c);
const char *candidates_at(const void *candidates, size_t i); // NULL past the end
const char *candidates_near(const struct candidates *c, const char *name); // or NULL

#endif
