// `ddg store ...`: looking at the store and caring for it. A store that is not there yet
// is empty, not wrong; one that cannot be used is.
#include "cli/base/use_store.h"
#include "cli/base/words.h"
#include "cli/command.h"

#include <dirent.h>

struct care { // one of these commands at work
    const struct args *args;
    struct arena *arena;
    const char *path;
    bool exists;
    struct store *store; // where none exists, an empty one in memory
    struct emit json;
};

// A folder with nothing but what a store leaves behind when it is cleared.
static bool holds_nothing(const char *path) {
    DIR *dir = opendir(path);
    bool something = !dir;
    for (struct dirent *e; dir && !something && (e = readdir(dir));)
        something = *e->d_name != '.' && strcmp(e->d_name, "blobs") != 0 &&
                    strcmp(e->d_name, "locks") != 0;
    if (dir) closedir(dir);
    return !something;
}

static bool find_place(struct care *c, const struct args *a, struct arena *arena) {
    const char *why;
    *c = (struct care){.args = a, .arena = arena, .json = {.text = {.arena = arena}}};
    if ((c->path = store_place(a, arena, &why))) return true;
    fprintf(stderr, "ddg: %s\n", why);
    return false;
}

// Finds and opens the store. False: said.
static bool care_begin(struct care *c, const struct args *a, struct store_options o,
                       struct arena *arena) {
    if (!find_place(c, a, arena)) return false;
    char why[512] = "";
    c->exists = store_exists(c->path) && !holds_nothing(c->path);
    o.path = c->exists ? c->path : NULL;
    if (!(c->store = store_open(&o, why, sizeof why))) {
        fprintf(stderr, "ddg: %s\n", why);
        return false;
    }
    emit_open(&c->json, NULL, '{');
    emit_string(&c->json, "path", c->path);
    emit_bool(&c->json, "exists", c->exists);
    if (!c->exists && !a->json) printf("no store at %s yet\n", c->path);
    return true;
}

// Ends well, or with what went wrong with the store.
static int care_end(struct care *c, bool ok) {
    const char *trouble = store_trouble(c->store, c->arena);
    if (trouble) fprintf(stderr, "%s: %s\n", ok ? "warning" : "ddg", trouble);
    if (c->args->json) {
        emit_string(&c->json, "trouble", trouble);
        emit_close(&c->json, '}');
        if (ok) emit_print(&c->json, stdout);
    }
    store_close(c->store);
    return ok ? EXIT_DONE : EXIT_WRONG;
}

// ---- stats ---------------------------------------------------------------------------
static void print_op(const struct store_op_stats *s) {
    printf("%-16s %10s %12s %12s %16s\n", s->op, count_words(s->records).at,
           count_words(s->values).at, size_words(s->bytes).at, time_words(s->seconds).at);
}

// The size in all is less than the store's, which holds its own records too.
static void print_ops(const struct store_stats *s) {
    struct store_op_stats all = {"in all", s->records, s->values, 0, s->seconds};
    if (!s->nops) return;
    printf("\n%-16s %10s %12s %12s %16s\n", "op", "results", "values", "size",
           "to compute again");
    for (size_t i = 0; i < s->nops; i++) {
        print_op(&s->ops[i]);
        all.bytes += s->ops[i].bytes;
    }
    print_op(&all);
}

static void print_stats(const struct store_stats *s) {
    printf("store     %s\n", s->path);
    printf("size      %s of at most %s\n", size_words(s->bytes).at,
           size_words(s->max_bytes).at);
    printf("database  %s\n", size_words(s->database_bytes).at);
    printf("files     %s, %s\n", count_words(s->blobs).at, size_words(s->blob_bytes).at);
    printf("knows     the contents of %s images\n", count_words(s->contents).at);
    print_ops(s);
}

static void emit_stats(const struct store_stats *s, struct emit *e) {
    emit_count(e, "records", s->records);
    emit_count(e, "values", s->values);
    emit_count(e, "contents", s->contents);
    emit_count(e, "bytes", s->bytes);
    emit_count(e, "database_bytes", s->database_bytes);
    emit_count(e, "blob_bytes", s->blob_bytes);
    emit_count(e, "blobs", s->blobs);
    emit_count(e, "max_bytes", s->max_bytes);
    emit_real(e, "seconds", s->seconds);
    emit_open(e, "ops", '[');
    for (size_t i = 0; i < s->nops; i++) {
        emit_open(e, NULL, '{');
        emit_string(e, "op", s->ops[i].op);
        emit_count(e, "records", s->ops[i].records);
        emit_count(e, "values", s->ops[i].values);
        emit_count(e, "bytes", s->ops[i].bytes);
        emit_real(e, "seconds", s->ops[i].seconds);
        emit_close(e, '}');
    }
    emit_close(e, ']');
}

int command_store_stats(const struct args *a, struct arena *arena) {
    struct care c;
    struct store_stats s = {0};
    if (!care_begin(&c, a, (struct store_options){.look = true}, arena))
        return EXIT_WRONG;
    bool ok = store_stats(c.store, arena, &s);
    if (ok && a->json) emit_stats(&s, &c.json);
    else if (ok && c.exists) print_stats(&s);
    return care_end(&c, ok);
}

// ---- verify --------------------------------------------------------------------------
static void print_check(const struct store_check *k) {
    printf("looked at %s results, %s values, %s files, %s pages of the database\n",
           count_words(k->records).at, count_words(k->values).at,
           count_words(k->blobs).at, count_words(k->pages).at);
    for (size_t i = 0; i < k->nwords; i++) printf("  %s\n", k->words[i]);
    if (k->damaged > k->nwords)
        printf("  and %s more\n", count_words(k->damaged - k->nwords).at);
    if (k->damaged)
        printf("%s damaged: taken out, and computed again when they are needed\n",
               count_words(k->damaged).at);
    else puts("nothing in it is damaged");
    if (k->leftovers)
        printf("%s files are left over from runs that were killed: harmless, and removed "
               "by `ddg store gc`\n",
               count_words(k->leftovers).at);
}

static void emit_check(const struct store_check *k, struct emit *e) {
    emit_count(e, "records", k->records);
    emit_count(e, "values", k->values);
    emit_count(e, "contents", k->contents);
    emit_count(e, "blobs", k->blobs);
    emit_count(e, "pages", k->pages);
    emit_count(e, "damaged", k->damaged);
    emit_count(e, "leftovers", k->leftovers);
    emit_open(e, "words", '[');
    for (size_t i = 0; i < k->nwords; i++) emit_string(e, NULL, k->words[i]);
    emit_close(e, ']');
}

// Opening a store finds damage too, and says so as trouble. That it can only be read is
// no damage.
static bool found_damage(const struct care *c, const struct store_check *k) {
    bool trouble = store_trouble(c->store, c->arena) != NULL;
    return k->damaged || (trouble && store_writes(c->store));
}

int command_store_verify(const struct args *a, struct arena *arena) {
    struct care c;
    struct store_check k = {0};
    if (!care_begin(&c, a, (struct store_options){0}, arena)) return EXIT_WRONG;
    bool ok = store_verify(c.store, arena, &k);
    if (ok && a->json) emit_check(&k, &c.json);
    else if (ok && c.exists) print_check(&k);
    bool damage = found_damage(&c, &k);
    int code = care_end(&c, ok);
    return damage ? EXIT_WRONG : code;
}

// ---- gc ------------------------------------------------------------------------------
static void print_gc(const struct store_gc *g, uint64_t max_bytes) {
    printf("removed %s values, %s", count_words(g->values).at, size_words(g->bytes).at);
    if (g->files)
        printf(", and %s file%s left over", count_words(g->files).at,
               g->files == 1 ? "" : "s");
    printf("\nthe store has %s now, of at most %s\n", size_words(g->bytes_after).at,
           size_words(max_bytes).at);
    if (g->bytes_after > max_bytes) puts("what other processes are using was kept");
}

static void emit_gc(const struct store_gc *g, uint64_t max_bytes, struct emit *e) {
    emit_count(e, "max_bytes", max_bytes);
    emit_count(e, "values", g->values);
    emit_count(e, "bytes", g->bytes);
    emit_count(e, "files", g->files);
    emit_count(e, "bytes_before", g->bytes_before);
    emit_count(e, "bytes_after", g->bytes_after);
}

int command_store_gc(const struct args *a, struct arena *arena) {
    struct care c;
    struct store_gc g = {0};
    struct store_stats s = {0};
    if (!care_begin(&c, a, (struct store_options){0}, arena)) return EXIT_WRONG;
    bool ok = a->sized || store_stats(c.store, arena, &s);
    uint64_t max_bytes = a->sized ? a->size : s.max_bytes;
    ok = ok && store_gc(c.store, max_bytes, &g);
    if (ok && a->json) emit_gc(&g, max_bytes, &c.json);
    else if (ok && c.exists) print_gc(&g, max_bytes);
    return care_end(&c, ok);
}

// ---- clear ---------------------------------------------------------------------------
static void report_clear(const struct store_stats *s, bool counted, struct care *c) {
    if (c->args->json) {
        emit_count(&c->json, "records", s->records);
        emit_count(&c->json, "values", s->values);
        emit_count(&c->json, "bytes", s->bytes);
    } else if (c->exists && !counted) {
        printf("removed everything from %s\n", c->path);
    } else if (c->exists) {
        printf("removed %s values of %s results, %s, from %s\n",
               count_words(s->values).at, count_words(s->records).at,
               size_words(s->bytes).at, c->path);
    }
}

// What cannot be counted, another version's store, can be removed all the same.
static bool count(const struct care *c, struct store_stats *out) {
    char why[512];
    struct store_options o = {.path = c->path, .look = true};
    struct store *s = c->exists ? store_open(&o, why, sizeof why) : NULL;
    bool ok = s && store_stats(s, c->arena, out);
    store_close(s);
    return ok;
}

int command_store_clear(const struct args *a, struct arena *arena) {
    struct care c;
    struct store_stats s = {0};
    char why[512] = "";
    if (!care_begin(&c, a, (struct store_options){.clear = true}, arena))
        return EXIT_WRONG;
    bool counted = count(&c, &s);
    bool ok = store_clear(c.store, why, sizeof why);
    if (ok) report_clear(&s, counted, &c);
    else fprintf(stderr, "ddg: the store was not cleared: %s\n", why);
    return care_end(&c, ok);
}

// ---- path ----------------------------------------------------------------------------
int command_store_path(const struct args *a, struct arena *arena) {
    struct care c;
    if (!find_place(&c, a, arena)) return EXIT_WRONG;
    if (!a->json) {
        puts(c.path);
        return EXIT_DONE;
    }
    emit_open(&c.json, NULL, '{');
    emit_string(&c.json, "path", c.path);
    emit_bool(&c.json, "exists", store_exists(c.path));
    emit_close(&c.json, '}');
    emit_print(&c.json, stdout);
    return EXIT_DONE;
}
