// `ddg inspect FILE`: what an executable or plan that ddg compiled holds, from its end.
// The program is told of once, as its first target has it: targets differ in code alone.
#include "cli/inspect.h"

#include "cli/base/options.h"
#include "cli/base/words.h"
#include "cli/command.h"
#include "runtime/measure.h"
#include "runtime/settings.h"
#include "runtime/stage.h"

#include <float.h>
#include <sys/stat.h>

struct printer {
    struct arena *arena;
    const struct bundle *b;
    const struct plan *p; // of the first target
    bool all;
};

// ---- what both ways of printing need -------------------------------------------------
size_t inspect_consts(const struct plan *p) {
    size_t bytes = 0;
    for (size_t i = 0; i < p->nconsts; i++) bytes += p->consts[i].bytes;
    return bytes;
}

// ---- the file ------------------------------------------------------------------------
static void print_head(const struct printer *k, const char *path) {
    struct stat st;
    size_t code = 0;
    for (size_t i = 0; i < k->b->nvariants; i++) code += k->b->variants[i].code_bytes;
    printf("%s, compiled by ddg %s\n", k->p->name, k->b->version);
    size_t size = stat(path, &st) == 0 ? (size_t)st.st_size : k->b->bytes;
    printf("%s: code %s, constants %s, plan %s, runtime %s\n", size_words(size).at,
           size_words(code).at, size_words(k->b->const_bytes).at,
           size_words(k->b->plan_bytes).at,
           size > k->b->bytes ? size_words(size - k->b->bytes).at : "none");
}

// "avx2,fma" as words, in lines.
static void print_needs(const char *needs) {
    enum { START = 26 };
    int column = START;
    if (!*needs) fputs(" nothing that not every one has", stdout);
    while (*needs) {
        int n = (int)strcspn(needs, ",");
        if (column + n + 2 > HELP_WIDTH) printf("\n%*s", column = START, "");
        column += printf(" %.*s", n, needs);
        needs += n + (needs[n] == ',');
    }
}

static void print_target(const struct bundle_variant *v) {
    printf("  %-18s %s: code %s, %zu kernels, constants %s\n", v->target, v->cpu,
           size_words(v->code_bytes).at, v->nkernels,
           size_words(inspect_consts(v->plan)).at);
    printf("  %-18s needs", "");
    print_needs(v->needs);
    printf("\n  %-18s rounds as %s\n", "", v->numerics);
}

static void print_targets(const struct printer *k) {
    printf("\ntargets%s\n", k->b->nvariants > 1 ? ", the best first" : "");
    for (size_t i = 0; i < k->b->nvariants; i++) print_target(&k->b->variants[i]);
}

// ---- the program ---------------------------------------------------------------------
static void print_params(const struct printer *k) {
    if (k->p->params.n) puts("\nparams");
    for (size_t i = 0; i < k->p->params.n; i++) {
        const struct plan_param *q = &k->p->params.at[i];
        printf("  %-18s %s = %s\n", q->name, value_type_name(q->at.value.kind),
               value_literal(k->arena, &q->at.value));
        if (q->doc) printf("  %-18s %s\n", "", q->doc);
        if (q->fixed)
            printf("  %-18s cannot be set: compiled in, for %s\n", "", q->fixed);
    }
}

static void print_readers(const struct printer *k) {
    puts("\nreads");
    for (size_t i = 0; i < k->p->nrowsets; i++) {
        const struct plan_rowset *r = &k->p->rowsets[i];
        if (r->kind != ROWSET_READER) continue;
        printf("  %-18s %s at %zu x %zu", r->name, r->path, r->size, r->size);
        if (r->limit != SIZE_MAX) printf(", at most %zu images a class", r->limit);
        puts(r->skip ? ", without those that cannot be decoded" : "");
    }
}

// How they are made; all but the readers.
static void print_filter(const struct printer *k, const struct plan_rowset *r) {
    const char *and = r->above > -DBL_MAX && r->below < DBL_MAX ? " and" : "";
    printf("those of which %s is", k->p->columns[r->column].name);
    if (r->above > -DBL_MAX) printf(" above %g%s", r->above, and);
    if (r->below < DBL_MAX) printf(" below %g", r->below);
    putchar('\n');
}

static void print_rowsets(const struct printer *k) {
    static const char *const made[] = {"", "made of", "chosen from", "stitched of",
                                       "chosen from"};
    puts("\nrows");
    for (size_t i = 0; i < k->p->nrowsets; i++) {
        const struct plan_rowset *r = &k->p->rowsets[i];
        if (r->kind == ROWSET_READER) continue;
        printf("  %-18s %s %s, ", r->name, made[r->kind], k->p->rowsets[r->parent].name);
        if (r->kind == ROWSET_EXPAND) printf("%zu of each\n", r->factor);
        else if (r->kind == ROWSET_GROUP) printf("%zu each\n", r->factor);
        else if (r->kind == ROWSET_FILTER) print_filter(k, r);
        else
            printf("the %zu %s %s by %s\n", r->k, r->smallest ? "smallest" : "largest",
                   r->per_class ? "of each class" : "of all",
                   k->p->columns[r->column].name);
    }
}

static const char *key_words(const struct printer *k, const struct plan_key *key) {
    const char *rows = k->p->rowsets[key->rowset].name;
    switch (key->kind) {
    case KEY_ROW: return arena_printf(k->arena, "the content of `%s`", rows);
    case KEY_CLASS: return arena_printf(k->arena, "the class of `%s`", rows);
    case KEY_NTH: return arena_printf(k->arena, "which of its image's `%s` it is", rows);
    case KEY_COLUMN: break;
    }
    const struct plan_column *c = &k->p->columns[key->column];
    return arena_printf(k->arena, "`%s`%s%s", c->name, c->part ? ", its " : "",
                        c->part ? c->part : "");
}

// What a value is remembered by: see docs/store.md.
static void print_memo(const struct printer *k, const struct plan_memo *m) {
    for (size_t i = 0; i < m->record.nfields; i++) {
        const struct store_field *f = &m->record.fields[i];
        printf("      %-24s %s", f->name, f->value);
        if (f->label) printf(" (%s)", f->label);
        putchar('\n');
    }
    for (size_t i = 0; i < m->nkeys; i++)
        printf("      %-24s %s\n", "and, of each row,", key_words(k, &m->keys[i]));
}

static void print_stage(const struct printer *k, const struct plan_stage *s) {
    const struct plan_column *c = s->saves ? NULL : &k->p->columns[s->target];
    printf("  %-18s %-16s %12s", s->name, c ? c->op : "save",
           flops_words(stage_flops(k->p, s)).at);
    if (c) printf(" %12s  %s", size_words(c->row_bytes).at, c->memo ? "remembered" : "");
    putchar('\n');
    if (k->all && c && c->memo) print_memo(k, c->memo);
}

static void print_stages(const struct printer *k) {
    printf("\n%-20s %-16s %12s %12s\n", "values", "op", "work a row", "bytes a row");
    for (size_t i = 0; i < k->p->nstages; i++) print_stage(k, &k->p->stages[i]);
}

static void print_shape(const size_t *dim, size_t rank) {
    for (size_t i = 0; i < rank; i++) printf("%s%zu", i ? " x " : "", dim[i]);
}

static void print_saves(const struct printer *k) {
    if (k->p->nsaves) puts("\nsaves");
    for (size_t i = 0; i < k->p->nsaves; i++) {
        const struct plan_save *s = &k->p->saves[i];
        printf("  %s: %s", s->to, s->images ? "images " : "values ");
        print_shape(s->dim, s->rank);
        if (!s->rank) fputs("single", stdout);
        if (s->labels) printf(", with labels of %zu classes", s->labels);
        putchar('\n');
    }
}

// The numbers of a table, by what they are.
static void print_tables(const struct printer *k) {
    if (k->p->ntables) puts("\nreports");
    for (size_t i = 0; i < k->p->ntables; i++) {
        const struct plan_table *t = &k->p->tables[i];
        printf("  %s: %zu x %zu:", t->to ? t->to : "printed only", t->nrows, t->ncolumns);
        for (size_t j = 0; j < t->n; j++)
            printf("%s %s", j ? "," : "",
                   measure_word(k->p->measures[t->measures[j]].kind));
        putchar('\n');
    }
}

// ---- everything ----------------------------------------------------------------------
static void print_funcs(const struct plan *p) {
    printf("\n  %-32s %8s %8s %12s %12s\n", "functions", "calls", "batch", "memory",
           "work a row");
    for (size_t i = 0; i < p->nfuncs; i++) {
        const struct plan_func *f = &p->funcs[i];
        printf("  %-32s %8zu %8zu %12s %12s\n", f->name, f->ncalls, f->batch,
               size_words(f->arena_bytes).at, flops_words(f->flops).at);
    }
}

static void print_kernels(const struct bundle_variant *v) {
    printf("\n  %-40s %10s %10s\n", "kernels", "at", "bytes");
    for (size_t i = 0; i < v->nkernels; i++)
        printf("  %-44s %10zu %10zu\n", v->kernels[i].symbol, v->kernels[i].entry,
               v->kernels[i].bytes);
}

static void print_code(const struct printer *k) {
    for (size_t i = 0; i < k->b->nvariants; i++) {
        const struct bundle_variant *v = &k->b->variants[i];
        printf("\ncode for %s", v->target);
        print_funcs(v->plan);
        print_kernels(v);
    }
}

static void print_all(const struct printer *k, const char *path) {
    print_head(k, path);
    print_targets(k);
    print_params(k);
    print_readers(k);
    if (k->all) print_rowsets(k);
    print_stages(k);
    print_saves(k);
    print_tables(k);
    if (k->all) print_code(k);
}

// ---- the command ---------------------------------------------------------------------
int command_inspect(const struct args *a, struct arena *arena) {
    struct diags d;
    diags_init(&d, arena);
    const struct bundle *b = bundle_open(arena, a->operands[0], &d);
    diags_print(&d, stderr, diag_color(stderr));
    if (!b) return EXIT_WRONG;
    struct printer k = {arena, b, b->variants[0].plan, a->all};
    struct emit json = {.text = {.arena = arena}};
    if (!a->json) {
        print_all(&k, a->operands[0]);
        return EXIT_DONE;
    }
    inspect_emit(b, a->all, &json);
    emit_print(&json, stdout);
    return EXIT_DONE;
}
