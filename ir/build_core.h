// The builder's inside, private to ir/: what build.c, fold.c, simplify.c and parse.c
// share.
#ifndef DDG_BUILD_CORE_H
#define DDG_BUILD_CORE_H

#include "ir/build.h"

// The identity of an array: its type and its bytes.

// The node equal to *n, made if there is none. *n's operands, attributes and type are
// known to be good; its data is kept, its attributes are copied.
nid build_intern(struct builder *b, const struct node *n);

// A node whose type is given (no rule in the table). On failure NID_NONE, *error filled.
nid build_given(struct builder *b, const struct node *n, struct rule_ctx *error);

// The constant that *n computes, or NID_NONE when it does not or it is not worth it.
nid build_fold(struct builder *b, const struct node *n);
// An older node that computes what *n does, or NID_NONE.
nid build_simplify(struct builder *b, const struct node *n);

#endif
