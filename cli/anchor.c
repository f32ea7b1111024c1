// See anchor.h. Nothing is resolved: a folder that is a link, or that is made later,
// means what it meant before.
#include "cli/anchor.h"

#include <errno.h>
#include <unistd.h>

struct anchor {
    struct arena *arena;
    const char *here; // the current directory
};

static const char *absolute(const struct anchor *c, const char *path) {
    return path ? path_in(c->arena, c->here, path) : c->here;
}

static const struct formula *anchored(const struct anchor *c, const struct formula *f) {
    if (!f) return NULL;
    struct formula *out = NEW(c->arena, struct formula);
    const struct formula **items = NEW_N(c->arena, const struct formula *, f->nitems);
    *out = *f;
    if (f->kind == FORMULA_VALUE) out->folder = absolute(c, f->folder);
    out->l = anchored(c, f->l);
    out->r = anchored(c, f->r);
    for (size_t i = 0; i < f->nitems; i++) items[i] = anchored(c, f->items[i]);
    out->items = items;
    return out;
}

static void anchor_plan(const struct anchor *c, struct plan *p) {
    for (size_t i = 0; i < p->nrowsets; i++)
        if (p->rowsets[i].kind == ROWSET_READER)
            p->rowsets[i].path = absolute(c, p->rowsets[i].path);
    for (size_t i = 0; i < p->nsaves; i++) p->saves[i].to = absolute(c, p->saves[i].to);
    for (size_t i = 0; i < p->params.n; i++) {
        struct formula_param *at = &p->params.at[i].at;
        at->folder = absolute(c, at->folder);
        at->value.of = anchored(c, at->value.of);
    }
    for (size_t i = 0; i < p->lates.n; i++) {
        struct value *v = &p->lates.at[i].value;
        if (!p->lates.at[i].path) continue;
        v->s = absolute(c, v->s);
        v->of = anchored(c, v->of);
    }
}

bool plan_anchor(struct arena *a, struct plan *p, struct diags *d) {
    char *here = getcwd(NULL, 0);
    if (!here)
        return diag_error(d, NO_SPAN, "the current directory has no path: %s",
                          strerror(errno));
    struct anchor c = {a, arena_strdup(a, here)};
    free(here);
    anchor_plan(&c, p);
    return true;
}
