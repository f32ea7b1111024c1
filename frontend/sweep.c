// Sweeps: one run for every combination of the values that params were given. See
// frontend.h.
//
// A point is named by the values of the params that have several, as they were written,
// because people look for the folder of the value that they typed. What cannot be in a
// folder's name is replaced, and the name then ends in a digest of what it stood for.
#include "frontend/frontend.h"
#include "runtime/settings.h"

// ---- values --------------------------------------------------------------------------
struct swept { // a -D and its values
    const char *define;
    size_t name;              // bytes of it
    VEC(const char *) values; // empty: it is passed on as it is
};

struct sweep {
    struct arena *arena;
    struct diags *d;
    VEC(struct swept) params;
    size_t points;
};

static struct span define_span(const struct sweep *s, const char *define, size_t start,
                               size_t end) {
    const size_t option = strlen("-D ");
    struct source *source = NEW(s->arena, struct source);
    *source = (struct source){"command line", arena_printf(s->arena, "-D %s", define), 0};
    source->n = strlen(source->text);
    return (struct span){source, (uint32_t)(option + start), (uint32_t)(option + end)};
}

static const char *trimmed(struct arena *a, const char *start, const char *end) {
    while (start < end && (*start == ' ' || *start == '\t')) start++;
    while (start < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
    return arena_strndup(a, start, (size_t)(end - start));
}

static bool add_value(struct sweep *s, struct swept *p, const char *start,
                      const char *end) {
    const char *value = trimmed(s->arena, start, end);
    size_t at = (size_t)(start - p->define), past = (size_t)(end - p->define);
    if (!*value) { // the comma before or behind it
        diag_error(s->d, define_span(s, p->define, at - (*end == 0), past + (*end != 0)),
                   "a value is missing here");
        return diag_help(s->d, "write the values of a sweep as `-D sigma=0.1,0.2`");
    }
    for (size_t i = 0; i < p->values.n; i++)
        if (strcmp(p->values.at[i], value) == 0)
            return diag_error(s->d, define_span(s, p->define, at, past),
                              "the value `%s` is given twice", value);
    VEC_PUSH(s->arena, &p->values, value);
    return true;
}

static bool split(struct sweep *s, const char *define) {
    struct swept p = {.define = define, .name = strcspn(define, "=")};
    const char *start = define + p.name + (define[p.name] == '='), *end;
    bool several = *start && *(end = literal_comma(start));
    if (strlen(define) > UINT32_MAX / 2)
        return diag_error(s->d, NO_SPAN, "a -D is longer than 2 GiB");
    for (; several; start = end + 1) {
        end = literal_comma(start);
        if (!add_value(s, &p, start, end)) return false;
        if (!*end) break;
    }
    VEC_PUSH(s->arena, &s->params, p);
    if (size_mul(s->points, size_max(p.values.n, 1), &s->points) &&
        s->points <= SWEEP_MAX_POINTS)
        return true;
    diag_error(s->d, define_span(s, define, 0, strlen(define)),
               "the values given make more than %d combinations", SWEEP_MAX_POINTS);
    return diag_help(s->d, "each of them is a run of its own; sweep them in parts");
}

// ---- names ---------------------------------------------------------------------------
#define NAME_MAX_BYTES 200 // of a folder's 255, with room for what is put before it
#define NAME_DIGEST    8   // letters

// Not inside a letter of several bytes.
static size_t cut_at(const char *s, size_t n) {
    while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80) n--;
    return n;
}

// The same name when it fits a folder. Else '/' and control characters become '_',
// the name is cut, and "~" with the first letters of a digest of it makes it one of its
// own.
static const char *folder_name(struct arena *a, const char *name) {
    size_t n = strlen(name);
    char *fit = arena_strdup(a, name), hex[DIGEST_HEX];
    bool same = n <= NAME_MAX_BYTES;
    for (char *c = fit; *c; c++) {
        if (*c != '/' && (unsigned char)*c >= ' ' && *c != 0x7f) continue;
        *c = '_';
        same = false;
    }
    if (same) return fit;
    digest_hex(digest_of(name, n), hex);
    size_t room = NAME_MAX_BYTES - 1 - NAME_DIGEST;
    size_t kept = n > room ? cut_at(fit, room) : n;
    return arena_printf(a, "%.*s~%.*s", (int)kept, fit, NAME_DIGEST, hex);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct sweep_point *)a)->name,
                  ((const struct sweep_point *)b)->name);
}

static bool check_names(const struct sweep *s, const struct sweep_point *points) {
    struct sweep_point *sorted = arena_dup(s->arena, points, s->points, sizeof *points);
    if (s->points == 1) return true;
    qsort(sorted, s->points, sizeof *sorted, by_name);
    for (size_t i = 1; i < s->points; i++)
        if (strcmp(sorted[i - 1].name, sorted[i].name) == 0)
            return diag_error(s->d, NO_SPAN,
                              "two combinations of the values have the name `%s`",
                              sorted[i].name);
    return true;
}

// ---- points --------------------------------------------------------------------------
// The index-th combination, the last param changing fastest.
static struct sweep_point point_at(const struct sweep *s, size_t index) {
    struct text name = {.arena = s->arena};
    const char **defines = NEW_N(s->arena, const char *, s->params.n);
    size_t block = s->points; // points that have the same values so far
    for (size_t i = 0; i < s->params.n; i++) {
        const struct swept *p = &s->params.at[i];
        defines[i] = p->define;
        if (p->values.n == 0) continue;
        block /= p->values.n;
        const char *value = p->values.at[index / block % p->values.n];
        defines[i] = arena_printf(s->arena, "%.*s=%s", (int)p->name, p->define, value);
        text_add(&name, "%s%s", name.n ? "," : "", defines[i]);
    }
    return (struct sweep_point){name.n ? folder_name(s->arena, name.at) : NULL, defines,
                                s->params.n};
}

bool sweep_points(struct arena *arena, const char *const *defines, size_t ndefines,
                  struct sweep_point **points, size_t *n, struct diags *d) {
    struct sweep s = {.arena = arena, .d = d, .points = 1};
    for (size_t i = 0; i < ndefines; i++)
        if (!split(&s, defines[i])) return false;
    struct sweep_point *all = NEW_N(arena, struct sweep_point, s.points);
    for (size_t i = 0; i < s.points; i++) all[i] = point_at(&s, i);
    if (!check_names(&s, all)) return false;
    *points = all;
    *n = s.points;
    return true;
}

// ---- targets -------------------------------------------------------------------------
// Where the last component of a path starts; slashes behind it belong to it.
static size_t last_component(const char *path) {
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/') n--;
    while (n > 0 && path[n - 1] != '/') n--;
    return n;
}

const char *sweep_target(struct arena *arena, const char *to, const char *point) {
    if (!point) return to;
    size_t at = last_component(to), n = strcspn(to + at, "/");
    bool dots = (n == 1 || n == 2) && strspn(to + at, ".") == n;
    if (dots || n == 0) return arena_printf(arena, "%s/%s", to, point);
    return arena_printf(arena, "%.*s%s/%s", (int)at, to, point, to + at);
}
