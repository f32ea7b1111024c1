// See use_store.h.
#include "cli/base/use_store.h"

#include <sys/stat.h>

const char *store_place(const struct args *a, struct arena *arena, const char **why) {
    const char *path = a->store ? a->store : store_default_path(arena);
    if (!path)
        *why = "none of DDG_STORE, XDG_CACHE_HOME and HOME says where it could be; "
               "--store DIR does";
    return path;
}

bool store_exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

static struct store *not_used(const char *why, bool look) {
    fprintf(stderr, "warning: %s: %s\n",
            look ? "nothing is looked up" : "results are not remembered", why);
    return NULL;
}

struct store *store_for_program(const struct args *a, bool look, struct arena *arena) {
    if (a->no_store) return NULL;
    char said[512] = "";
    const char *why, *path = store_place(a, arena, &why);
    if (!path) return not_used(why, look);
    if (look && !store_exists(path)) return NULL;
    struct store_options o = {.path = path, .look = look};
    struct store *s = store_open(&o, said, sizeof said);
    return s ? s : not_used(said, look);
}

void store_say_trouble(struct store *s, struct arena *arena) {
    const char *trouble = s ? store_trouble(s, arena) : NULL;
    if (trouble) fprintf(stderr, "warning: %s\n", trouble);
}
