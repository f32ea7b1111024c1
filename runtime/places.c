// See places.h. Paths are compared as they are written and, where their last parts are
// equal, by the folders that these are in.
#include "runtime/places.h"

#include "runtime/measure.h"
#include "runtime/overlap.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    const char *to;
    struct span span;
};

static char *folder_of(struct arena *a, const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? arena_strndup(a, path, (size_t)(slash - path) + 1) : "./";
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// However the two paths are written: "a/out" is "./a/../a/out".
static bool same_place(struct arena *arena, const char *a, const char *b) {
    struct stat fa, fb;
    if (strcmp(name_of(a), name_of(b)) != 0) return false;
    if (stat(folder_of(arena, a), &fa) != 0 || stat(folder_of(arena, b), &fb) != 0)
        return strcmp(a, b) == 0;
    return fa.st_dev == fb.st_dev && fa.st_ino == fb.st_ino;
}

static const char *from_root(struct arena *a, const char *path) {
    char here[PATH_MAX];
    return path_in(a, getcwd(here, sizeof here), path);
}

// Compiled programs know where they were made: of two places one may start at the root,
// the other, set since, here.
static enum overlap places_overlap(struct arena *arena, const char *a, const char *b) {
    if ((*a == '/') == (*b == '/')) return path_overlap(a, b);
    return path_overlap(from_root(arena, a), from_root(arena, b));
}

static bool check_pair(struct arena *a, const struct place *p, const struct place *q,
                       struct diags *d) {
    enum overlap overlap = places_overlap(a, p->to, q->to);
    if (overlap == OVERLAP_SAME || same_place(a, p->to, q->to)) {
        diag_error(d, p->span, "%s is written twice", p->to);
        return diag_note(d, q->span, "it is written here already, as %s", q->to);
    }
    if (overlap == OVERLAP_NONE) return true;
    bool inside = overlap == OVERLAP_INSIDE;
    diag_error(d, p->span, "%s %s another result", p->to,
               inside ? "lies inside" : "is a folder around");
    diag_help(d, "a result is replaced as a whole: give each a place of its own");
    return diag_note(d, q->span, "the other one is %s", q->to);
}

static size_t list_places(struct arena *a, const struct plan *p, struct place *all) {
    size_t n = 0;
    for (size_t i = 0; i < p->nsaves; i++)
        all[n++] = (struct place){p->saves[i].to, p->saves[i].span};
    for (size_t i = 0; i < p->ntables; i++) {
        const struct plan_table *t = &p->tables[i];
        for (enum table_file k = 0; t->to && k < TABLE_FILES; k++)
            all[n++] = (struct place){table_file(a, t, k), t->span};
    }
    return n;
}

bool places_apart(struct arena *arena, const struct plan *p, struct diags *d) {
    struct place *all = NEW_N(arena, struct place, p->nsaves + TABLE_FILES * p->ntables);
    size_t n = list_places(arena, p, all);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (!check_pair(arena, &all[i], &all[j], d)) return false;
    return true;
}
