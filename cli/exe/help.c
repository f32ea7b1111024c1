// See help.h.
#include "cli/exe/help.h"

#include "cli/exe/line.h"

#include <unistd.h>

// ---- params --------------------------------------------------------------------------
static const char *type_name(enum value_kind kind) {
    switch (kind) {
    case VAL_INT: return "int";
    case VAL_FLOAT: return "float";
    case VAL_BOOL: return "true|false";
    case VAL_STRING: return "string";
    case VAL_INTS: return "[int, ...]";
    case VAL_FLOATS: return "[float, ...]";
    case VAL_NONE: break;
    }
    BUG("no param is of kind %d", (int)kind);
}

struct search {
    uint32_t param;
    bool found;
};

static void look_at_param(void *ctx, uint32_t param) {
    struct search *s = ctx;
    s->found = s->found || param == s->param;
}

// Whether the param is (part of) a path, which starts at a folder.
static bool is_path(const struct plan *p, size_t param) {
    struct search s = {.param = (uint32_t)param};
    for (size_t i = 0; i < p->lates.n; i++)
        if (p->lates.at[i].path)
            formula_params(p->lates.at[i].value.of, look_at_param, &s);
    return s.found;
}

// Paths as they are from here, not from the source that they were written in.
static const char *value_now(struct arena *a, const struct plan *p, size_t param) {
    const struct formula_param *at = &p->params.at[param].at;
    struct value v = at->value;
    if (v.kind == VAL_STRING && *v.s && is_path(p, param))
        v.s = path_in(a, at->folder, v.s);
    return value_literal(a, &v);
}

static void print_param(struct arena *a, const struct plan *p, size_t i, FILE *to) {
    const struct plan_param *param = &p->params.at[i];
    const char *type = type_name(param->at.value.kind);
    bool hidden = line_is_option(param->name);
    struct option o = {.name = arena_printf(a, hidden ? "-D %s=" : "--%s", param->name),
                       .value = type};
    if (hidden) o = (struct option){.name = arena_printf(a, "%s%s", o.name, type)};
    int column = help_option(&o, to);
    if (param->doc) help_words(param->doc, &column, to);
    help_words(arena_printf(a, "(default %s)", value_now(a, p, i)), &column, to);
    fputc('\n', to);
}

static void print_fixed(struct arena *a, const struct plan *p, size_t i, FILE *to) {
    const struct plan_param *param = &p->params.at[i];
    struct option o = {.name = param->name, .value = value_literal(a, &param->at.value)};
    int column = help_option(&o, to);
    if (param->doc) help_words(param->doc, &column, to);
    help_words(arena_printf(a, "(for %s)", param->fixed), &column, to);
    fputc('\n', to);
}

static void print_params(struct arena *a, const struct plan *p, bool fixed,
                         const char *title, FILE *to) {
    bool any = false;
    for (size_t i = 0; i < p->params.n; i++) {
        if ((p->params.at[i].fixed != NULL) != fixed) continue;
        if (!any) fprintf(to, "\n%s\n", title);
        any = true;
        if (fixed) print_fixed(a, p, i, to);
        else print_param(a, p, i, to);
    }
}

// ---- options -------------------------------------------------------------------------
static void print_options(const struct option_list *l, FILE *to) {
    for (size_t i = 0; i < l->n; i++) {
        int column = help_option(&l->at[i], to);
        help_words(l->at[i].help, &column, to);
        fputc('\n', to);
    }
}

// ---- all of it -----------------------------------------------------------------------
void version_print(const struct bundle *b, FILE *to) {
    fprintf(to, "%s, compiled by ddg %s for ", b->variants[0].plan->name, b->version);
    for (size_t i = 0; i < b->nvariants; i++)
        fprintf(to, "%s%s", i ? ", " : "", b->variants[i].target);
    fputc('\n', to);
}

void help_print(const struct bundle *b, const char *program, struct arena *arena,
                FILE *to) {
    const struct plan *p = b->variants[0].plan;
    version_print(b, to);
    fprintf(to, "\nusage: %s [OPTION ...]\n", program);
    print_params(arena, p, false, "params", to);
    print_params(arena, p, true, "compiled in; `ddg compile -D name=value` sets them",
                 to);
    fputs("\noptions\n", to);
    print_options(&exe_options, to);
    print_options(&run_options, to);
    fputs("\nenvironment\n"
          "  DDG_STORE         where the store is, instead of the user's cache folder\n"
          "  DDG_STORE_SIZE    what it may hold (10G by default)\n"
          "\nPaths given here start at the current directory. Also: --help, --version.\n",
          to);
    exit_codes_help(to);
}

// ---- what is not here ----------------------------------------------------------------
static bool images_missing(const struct plan *p, const struct plan_use *u) {
    return u->place == USE_PATH && access(p->rowsets[u->a].path, F_OK) != 0;
}

void help_missing(const struct plan *p, struct diags *d) {
    for (size_t i = 0; i < p->uses.n; i++) {
        const struct plan_use *u = &p->uses.at[i];
        const struct formula *of = p->lates.at[u->late].value.of;
        if (!images_missing(p, u) || of->kind != FORMULA_PARAM) continue;
        const char *name = p->params.at[of->param].name;
        diag_help(d, "`%s%s` says where the images are",
                  line_is_option(name) ? "-D " : "--", name);
        return;
    }
}
