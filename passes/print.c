// The module as text, for `ddg dump` and the tests of passes.
#include "passes/pass.h"

#include "ir/text.h"

static void print_rowsets(const struct plan *p, struct text *out) {
    static const char *const kinds[] = {[ROWSET_READER] = "reader",
                                        [ROWSET_EXPAND] = "expand",
                                        [ROWSET_SELECT] = "select",
                                        [ROWSET_GROUP] = "group",
                                        [ROWSET_FILTER] = "filter"};
    for (size_t i = 0; i < p->nrowsets; i++) {
        const struct plan_rowset *r = &p->rowsets[i];
        text_add(out, "rowset %zu \"%s\": %s", i, r->name, kinds[r->kind]);
        if (r->kind != ROWSET_READER) text_add(out, " of rowset %u", r->parent);
        if (r->factor) text_add(out, ", factor %zu", r->factor);
        if (r->kind == ROWSET_SELECT)
            text_add(out, ", %s %zu %sby column %u", r->smallest ? "smallest" : "largest",
                     r->k, r->per_class ? "per class " : "", r->column);
        if (r->kind == ROWSET_FILTER)
            text_add(out, ", column %u above %g and below %g", r->column, r->above,
                     r->below);
        text_add(out, "\n");
    }
}

static void print_slot(const struct plan *p, const struct plan_stage *s, size_t i,
                       struct text *out) {
    static const char *const kinds[] = {
        [LEAF_PIXELS] = "pixels", [LEAF_KEY] = "key", [LEAF_CLASS] = "class",
        [LEAF_SUBROW] = "subrow", [LEAF_NTH] = "nth", [LEAF_COLUMN] = "column"};
    const struct plan_slot *k = &s->slots[i];
    text_add(out, "  slot%zu: %zu x %zu bytes", i, k->mult, k->row_bytes);
    if (k->leaf) text_add(out, ", %s of rowset %u", kinds[k->kind], k->rowset);
    if (k->leaf && k->kind == LEAF_COLUMN)
        text_add(out, " (%s)", p->columns[k->column].name);
    text_add(out, "\n");
}

static void print_slots(const uint32_t *slots, size_t n, struct text *out) {
    for (size_t i = 0; i < n; i++) text_add(out, "%sslot%u", i ? ", " : "", slots[i]);
}

static void print_key(const struct plan *p, const struct plan_key *k, struct text *out) {
    static const char *const kinds[] = {[KEY_ROW] = "row",
                                        [KEY_CLASS] = "class",
                                        [KEY_NTH] = "nth",
                                        [KEY_COLUMN] = "bytes"};
    text_add(out, " %s of ", kinds[k->kind]);
    if (k->kind == KEY_COLUMN) text_add(out, "column %u", k->column);
    else text_add(out, "rowset %u (%s)", k->rowset, p->rowsets[k->rowset].name);
}

static void print_memo(const struct plan *p, const struct plan_memo *m,
                       struct text *out) {
    char hex[DIGEST_HEX];
    digest_hex(m->record.key, hex);
    text_add(out, "  remembered as %s, of", hex);
    for (size_t i = 0; i < m->nkeys; i++) {
        text_add(out, i ? "," : "");
        print_key(p, &m->keys[i], out);
    }
    text_add(out, "\n");
    for (size_t i = 0; i < m->record.nfields; i++) {
        const struct store_field *f = &m->record.fields[i];
        text_add(out, "    %s = %s%s%s\n", f->name, f->value, f->label ? "  // " : "",
                 f->label ? f->label : "");
    }
}

static void print_column(const struct plan *p, size_t i, struct text *out) {
    const struct plan_column *c = &p->columns[i];
    text_add(out, "column %zu \"%s\": %s%s%s, %zu bytes a row of rowset %u\n", i, c->name,
             c->op, c->part ? " " : "", c->part ? c->part : "", c->row_bytes, c->rowset);
    if (c->memo) print_memo(p, c->memo, out);
}

static void print_stage(const struct plan *p, const struct plan_stage *s,
                        struct text *out) {
    static const char *const roles[] = {
        [SINK_COLUMN] = "keep",        [SINK_PIXELS] = "save pixels",
        [SINK_LABELS] = "save labels", [SINK_BOXES] = "save boxes",
        [SINK_MAPS] = "save maps",     [SINK_VALUES] = "save values"};
    text_add(out, "stage \"%s\" over rowset %u {\n", s->name, s->rowset);
    for (size_t i = 0; i < s->nslots; i++) print_slot(p, s, i, out);
    for (size_t i = 0; i < s->nsteps; i++) {
        text_add(out, "  ");
        print_slots(s->steps[i].out, s->steps[i].nout, out);
        text_add(out, " = @%s(", p->funcs[s->steps[i].func].name);
        print_slots(s->steps[i].in, s->steps[i].nin, out);
        text_add(out, ") x %zu\n", s->steps[i].mult);
    }
    for (size_t i = 0; i < s->nsinks; i++)
        text_add(out, "  %s slot%u\n", roles[s->sinks[i].role], s->sinks[i].slot);
    text_add(out, "}\n");
}

static void print_kernel(const struct kfunc *k, const struct kernel *kernel,
                         struct text *out) {
    text_add(out, "//   ");
    for (size_t i = 0; i < kernel->nouts; i++)
        text_add(out, "%s%%%u", i ? ", " : "", kernel->outs[i]);
    text_add(out, " <-");
    for (size_t i = 0; i < kernel->nins; i++) text_add(out, " %%%u", kernel->ins[i]);
    if (kernel->anchor != NID_NONE)
        text_add(out, "  %s %%%u", op_info(node_at(k->f, kernel->anchor)->op)->name,
                 kernel->anchor);
    if (kernel->algorithm != ALGORITHM_DIRECT)
        text_add(out, " by %s, with %zu bytes at %zu", kernel_how(k, kernel),
                 kernel->work_bytes, kernel->work_offset);
    if (kernel->prologue != NID_NONE)
        text_add(out, "  makes %%%u in scratch", kernel->prologue);
    text_add(out, "\n");
}

static void print_place(const struct kfunc *k, nid v, struct text *out) {
    static const char *const layouts[] = {[LAYOUT_PLANAR] = "planar",
                                          [LAYOUT_BLOCKED] = "blocked",
                                          [LAYOUT_WEIGHT] = "weight"};
    const struct place *p = &k->places[v];
    if (p->kind != PLACE_ARENA) return;
    text_add(out, "//   %%%u %s border %zu, %zu bytes%s at %zu\n", v,
             layouts[p->layout.kind], p->layout.border, p->layout.bytes,
             p->local ? ", of a round," : "", p->offset);
}

static void print_bands(const struct kfunc *k, struct text *out) {
    for (size_t i = 0, first = 0; i < k->bands.n; i++) {
        const struct band *b = &k->bands.at[i];
        text_add(out, "//   %zu at a time through kernels %zu to %zu", b->rows, first,
                 first + b->nkernels - 1);
        if (k->joint) text_add(out, ", in phase %zu", b->phase);
        if (k->joint && k->kernels.at[first].parts)
            text_add(out, ", %zu parts", k->kernels.at[first].parts);
        text_add(out, "\n");
        first += b->nkernels;
    }
}

// Comments to the reader of the text form, so that a dump still reads back.
static void print_kfunc(const struct kfunc *k, struct text *out) {
    text_add(out, "// kernels:\n");
    for (size_t i = 0; i < k->kernels.n; i++) print_kernel(k, &k->kernels.at[i], out);
    if (!k->batch) return;
    text_add(out, "// %zu rows a call, %zu bytes of arena:\n", k->batch, k->arena_bytes);
    print_bands(k, out);
    for (nid v = 0; v < k->f->nodes.n; v++) print_place(k, v, out);
}

void module_print(const struct module *m, struct text *out) {
    if (!m->plan) {
        ir_print(m->graph, out);
        return;
    }
    print_rowsets(m->plan, out);
    for (size_t i = 0; i < m->plan->ncolumns; i++) print_column(m->plan, i, out);
    for (size_t i = 0; i < m->plan->nstages; i++)
        print_stage(m->plan, &m->plan->stages[i], out);
    for (size_t i = 0; i < m->funcs.n; i++) {
        text_add(out, "\n");
        ir_print(m->funcs.at[i].f, out);
        if (m->funcs.at[i].k) print_kfunc(m->funcs.at[i].k, out);
    }
}
