// program_load: reads a program's files, takes the parameters from the command line, and
// hands the tree through resolve.c, order.c and check.c. See frontend.h.
#include "frontend/frontend.h"

#include "frontend/check.h"
#include "frontend/lex.h"
#include "frontend/names.h"
#include "frontend/order.h"
#include "frontend/parse.h"
#include "frontend/resolve.h"
#include "runtime/constant.h"
#include "runtime/settings.h"

#include <errno.h>
#include <sys/stat.h>

// ---- files --------------------------------------------------------------------------
struct loader {
    struct arena *arena;
    struct diags *d;
    struct tree *tree;
    struct {
        dev_t dev;
        ino_t ino;
    } ids[PROGRAM_MAX_FILES]; // of the tree's files
    size_t bytes;             // read so far
};

static const char *why_not_read(int err) {
    if (err == EFBIG) return "it is larger than 1 MiB, too large for a program";
    if (err == EISDIR) return "it is a folder";
    if (err == EINVAL) return "it is not a plain file";
    return strerror(err);
}

static bool ends_in(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && strcmp(path + n - m, ending) == 0;
}

static bool cannot_read(struct loader *l, struct span at, const char *path, int err) {
    diag_error(l->d, at, "cannot read \"%s\": %s", path, why_not_read(err));
    if (err == EFBIG && ends_in(path, ".onnx"))
        diag_help(l->d, "programs name networks with `onnx`; `ddg model` says what one "
                        "holds");
    else if (err == EFBIG)
        diag_help(l->d,
                  "what `ddg compile` wrote is started by itself; `ddg inspect` says "
                  "what it holds");
    return false;
}

// Without the mark that some editors put first.
static const struct source *new_source(struct arena *a, const char *path,
                                       const char *text, size_t n) {
    struct source *s = NEW(a, struct source);
    bool mark = n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0;
    *s = (struct source){path, text + (mark ? 3 : 0), n - (mark ? 3 : 0)};
    return s;
}

static bool known_file(const struct loader *l, const struct stat *st, size_t *index) {
    for (*index = 0; *index < l->tree->files.n; ++*index)
        if (l->ids[*index].dev == st->st_dev && l->ids[*index].ino == st->st_ino)
            return true;
    return false;
}

// The next file of the tree, of this text.
static bool add_file(struct loader *l, struct span at, const char *path, const char *text,
                     size_t n) {
    l->bytes += n;
    if (l->bytes > PROGRAM_MAX_TOTAL)
        return diag_error(l->d, at, "the files of this program hold more than %zu MiB",
                          PROGRAM_MAX_TOTAL >> 20);
    struct file *f = NEW(l->arena, struct file);
    f->source = new_source(l->arena, path, text, n);
    f->index = l->tree->files.n;
    f->sees = UINT32_C(1) << f->index;
    VEC_PUSH(l->arena, &l->tree->files, f);
    parse_file(l->arena, f, l->d);
    return true;
}

// Reads and parses a file, unless it was read already; its place in the tree in *index.
static bool load_file(struct loader *l, const char *path, struct span at, size_t *index) {
    struct stat st;
    if (stat(path, &st) != 0) return cannot_read(l, at, path, errno);
    if (known_file(l, &st, index)) return true;
    if (*index == PROGRAM_MAX_FILES)
        return diag_error(l->d, at, "a program is made of at most %d files",
                          PROGRAM_MAX_FILES);
    size_t n;
    const char *text = file_read(l->arena, path, PROGRAM_MAX_BYTES, &n);
    if (!text) return cannot_read(l, at, path, errno);
    l->ids[*index].dev = st.st_dev;
    l->ids[*index].ino = st.st_ino;
    return add_file(l, at, path, text, n);
}

// A file that exists in memory only is no file that can be imported.
static bool load_text(struct loader *l, const char *path, const char *text) {
    size_t n = strnlen(text, PROGRAM_MAX_BYTES + 1);
    if (n > PROGRAM_MAX_BYTES) return cannot_read(l, NO_SPAN, path, EFBIG);
    return add_file(l, NO_SPAN, path, arena_strndup(l->arena, text, n), n);
}

static void load_imports(struct loader *l, struct file *f) {
    for (size_t i = 0; i < f->imports.n; i++) {
        const struct import *import = &f->imports.at[i];
        size_t index;
        const char *path = path_beside(l->arena, f->source->path, import->path);
        if (load_file(l, path, import->span, &index)) f->sees |= UINT32_C(1) << index;
        else f->holes = true;
    }
}

// What a file's imports import, it sees too.
static void close_imports(struct tree *tree) {
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < tree->files.n; i++) {
            struct file *f = tree->files.at[i];
            uint32_t before = f->sees;
            for (size_t k = 0; k < tree->files.n; k++)
                if (f->sees >> k & 1) f->sees |= tree->files.at[k]->sees;
            changed = changed || f->sees != before;
        }
    }
}

static bool load_files(struct loader *l, const struct program_options *o) {
    const char *path = arena_strdup(l->arena, o->path);
    size_t index;
    bool ok = o->text ? load_text(l, path, o->text) : load_file(l, path, NO_SPAN, &index);
    if (!ok) return false;
    for (size_t i = 0; i < l->tree->files.n; i++) load_imports(l, l->tree->files.at[i]);
    close_imports(l->tree);
    return true;
}

// ---- -D name=value ------------------------------------------------------------------
struct define {
    struct arena *arena;
    struct diags *d;
    const struct source *source; // "-D name=value"
    size_t name, value;          // where they start
    struct decl *param;
};

static struct span define_span(const struct define *f, size_t start, size_t end) {
    return (struct span){f->source, (uint32_t)start, (uint32_t)end};
}

static struct decl *find_param(const struct tree *tree, const char *name) {
    for (size_t i = 0; i < tree->files.n; i++)
        for (size_t k = 0; k < tree->files.at[i]->decls.n; k++) {
            struct decl *d = tree->files.at[i]->decls.at[k];
            if (d->kind == DECL_PARAM && strcmp(d->name, name) == 0) return d;
        }
    return NULL;
}

static bool unknown_param(struct define *f, const struct tree *tree, const char *name) {
    struct candidates c = {.arena = f->arena};
    for (size_t i = 0; i < tree->files.n; i++) {
        if (tree->files.at[i]->holes) return false; // it may be among what was not read
        for (size_t k = 0; k < tree->files.at[i]->decls.n; k++)
            if (tree->files.at[i]->decls.at[k]->kind == DECL_PARAM)
                VEC_PUSH(f->arena, &c.list, tree->files.at[i]->decls.at[k]->name);
    }
    diag_error(f->d, define_span(f, f->name, f->value - 1),
               "the program has no param `%s`", name);
    return diag_help_names(f->d, name, candidates_at, &c);
}

// Whoever can run a sweep has parted the values before (sweep_points).
static bool no_sweep(struct define *f, size_t comma, const char *help) {
    diag_error(f->d, define_span(f, comma, comma + 1),
               "several values for `%s` are a sweep; one value is expected here",
               f->param->name);
    return diag_help(f->d, "%s", help);
}

// Names have no meaning in the value of a -D.
static bool only_literals(struct define *f, const struct expr *e) {
    bool ok = true;
    switch (e->kind) {
    case EXPR_BAD: return false;
    case EXPR_VALUE: return true;
    case EXPR_LIST:
        for (size_t i = 0; ok && i < e->list.n; i++)
            ok = only_literals(f, e->list.items[i]);
        return ok;
    case EXPR_NEGATE: return only_literals(f, e->binary.l);
    case EXPR_BINARY:
        return only_literals(f, e->binary.l) && only_literals(f, e->binary.r);
    case EXPR_NAME:
    case EXPR_EACH:
    case EXPR_CALL: break;
    }
    size_t n = e->span.end - e->span.start;
    diag_error(f->d, e->span, "param `%s` is %s; got `%.*s`", f->param->name,
               constant_kind_name(f->param->type), (int)size_min(n, 40),
               f->source->text + e->span.start);
    return diag_help(f->d, f->param->type == VAL_BOOL
                               ? "write true or false"
                               : "write a literal, or arithmetic on literals");
}

static bool define_expr(struct define *f) {
    size_t end;
    struct expr *e = parse_value(f->arena, f->source, f->value, f->d, &end);
    if (e->kind == EXPR_BAD) return false;
    bool list = f->param->type == VAL_INTS || f->param->type == VAL_FLOATS;
    if (end < f->source->n && f->source->text[end] == ',')
        return no_sweep(f, end,
                        list ? "a list is written in brackets: [1, 2]"
                             : "`ddg run` makes a run of each");
    if (end < f->source->n)
        return diag_error(f->d, define_span(f, end, f->source->n),
                          "the value of `%s` should end here", f->param->name);
    if (only_literals(f, e)) f->param->given = e;
    return f->param->given;
}

// A string needs no quotes; with them it is written as in a program.
static bool define_string(struct define *f) {
    const char *text = f->source->text + f->value, *comma = literal_comma(text);
    if (text[0] == '"') return define_expr(f);
    if (!lex_check_text(f->source, f->d)) return false;
    if (*comma)
        return no_sweep(f, f->value + (size_t)(comma - text),
                        "a text with a comma is written in quotes: '\"a,b\"'");
    struct expr *e = NEW(f->arena, struct expr);
    e->kind = EXPR_VALUE;
    e->span = define_span(f, f->value, f->source->n);
    e->value = val_string(text);
    f->param->given = e;
    return true;
}

static bool apply_define(struct arena *a, struct tree *tree, const char *text, bool api,
                         struct diags *d) {
    const char *form = api ? "" : "-D ";
    struct define f = {.arena = a, .d = d, .name = strlen(form)};
    const char *equals = strchr(text, '=');
    if (strlen(text) > PROGRAM_MAX_BYTES)
        return diag_error(d, NO_SPAN, "a -D is longer than 1 MiB");
    const char *line = arena_printf(a, "%s%s", form, text);
    // A path in it has no folder, so paths given here start at the current one.
    f.source = new_source(a, api ? "defines" : "command line", line, strlen(line));
    if (!equals || equals == text) {
        diag_error(d, define_span(&f, f.name, f.source->n), "expected name=value");
        return diag_help(d, "write `-D sigma=0.2` to set the param `sigma`");
    }
    const char *name = arena_strndup(a, text, (size_t)(equals - text));
    f.value = f.name + strlen(name) + 1;
    f.param = find_param(tree, name);
    if (!f.param) return unknown_param(&f, tree, name);
    if (f.param->given) {
        diag_error(d, define_span(&f, f.name, f.value - 1), "`%s` is set twice", name);
        return diag_note(d, f.param->given->span, "it is set here already");
    }
    return f.param->type == VAL_STRING ? define_string(&f) : define_expr(&f);
}

// ---- errors in the order of the text ------------------------------------------------
struct group { // an error with its notes
    size_t first, n;
    size_t rank; // of its file, in the order in which files came up
};

static size_t file_rank(const struct diags *d, size_t from, const struct source *file) {
    size_t i = from;
    while (d->list.at[i].span.file != file) i++;
    return i;
}

static bool comes_before(const struct diags *d, const struct group *a,
                         const struct group *b) {
    if (a->rank != b->rank) return a->rank < b->rank;
    return d->list.at[a->first].span.start < d->list.at[b->first].span.start;
}

// Errors are found file by file and phase by phase; people read from top to bottom.
static void sort_errors(struct arena *arena, struct diags *d, size_t from) {
    size_t total = d->list.n - from, n = 0;
    if (total == 0) return;
    struct group *groups = NEW_N(arena, struct group, total);
    for (size_t i = from; i < d->list.n; i++) {
        if (d->list.at[i].severity == DIAG_NOTE && n > 0) {
            groups[n - 1].n++;
            continue;
        }
        groups[n++] = (struct group){i, 1, file_rank(d, from, d->list.at[i].span.file)};
    }
    for (size_t i = 1; i < n; i++) {
        struct group g = groups[i];
        size_t at = i;
        for (; at > 0 && comes_before(d, &g, &groups[at - 1]); at--)
            groups[at] = groups[at - 1];
        groups[at] = g;
    }
    struct diag *old = arena_dup(arena, d->list.at + from, total, sizeof *old);
    struct diag *to = d->list.at + from;
    for (size_t i = 0; i < n; to += groups[i++].n)
        memcpy(to, old + (groups[i].first - from), groups[i].n * sizeof *to);
}

// ---- the program --------------------------------------------------------------------
static void number_params(const struct tree *tree) {
    uint32_t n = 0;
    for (size_t i = 0; i < tree->files.n; i++)
        for (size_t k = 0; k < tree->files.at[i]->decls.n; k++)
            if (tree->files.at[i]->decls.at[k]->kind == DECL_PARAM)
                tree->files.at[i]->decls.at[k]->param = n++;
}

// In the order in which they are numbered.
static void list_params(struct arena *a, struct program *p, const struct tree *tree,
                        const struct checked *c) {
    for (size_t i = 0; i < tree->files.n; i++)
        for (size_t k = 0; k < tree->files.at[i]->decls.n; k++) {
            const struct decl *d = tree->files.at[i]->decls.at[k];
            if (d->kind != DECL_PARAM) continue;
            struct param param = {.name = d->name,
                                  .value = c->values[d->index],
                                  .folder = c->folders[d->index],
                                  .set = d->given,
                                  .follows = c->defaults[d->index],
                                  .doc = d->doc,
                                  .span = d->span};
            VEC_PUSH(a, &p->params, param);
        }
}

struct program *program_load(struct arena *arena, const struct program_options *o,
                             struct diags *d) {
    size_t errors = d->errors, before = d->list.n;
    struct tree *tree = NEW(arena, struct tree);
    struct loader *l = NEW(arena, struct loader);
    double began = timeline_now(o->times);
    tree->times = o->times;
    tree->model = o->model;
    tree->bf16 = o->bf16;
    *l = (struct loader){.arena = arena, .d = d, .tree = tree};
    if (!load_files(l, o)) return NULL;
    for (size_t i = 0; i < o->ndefines; i++)
        apply_define(arena, tree, o->defines[i], o->api, d);
    resolve_tree(arena, tree, d);
    order_tree(arena, tree, d);
    number_params(tree);
    struct checked checked = check_tree(arena, tree, d);
    sort_errors(arena, d, before);
    timeline_add(o->times, began, "read and check the program", NULL);
    if (d->errors != errors) return NULL;
    struct program *p = NEW(arena, struct program);
    p->path = tree->files.at[0]->source->path;
    p->graph = checked.graph;
    list_params(arena, p, tree, &checked);
    for (size_t i = 0; i < tree->files.n; i++)
        VEC_PUSH(arena, &p->sources, tree->files.at[i]->source);
    if (p->graph->outs.n == 0) {
        diag_warning(d, NO_SPAN, "\"%s\" saves nothing, so nothing is computed", p->path);
        diag_help(d, "end it with `save(x, to = \"...\")`, or `report(...)`");
    }
    return p;
}
