// See tuning.h.
#include "passes/tuning.h"

#include "ir/winograd.h"

bool kernel_is_tunable(const struct kfunc *kf, const struct kernel *k) {
    if (k->anchor == NID_NONE || k->runtime || k->all_rows) return false;
    const struct node *n = node_at(kf->f, k->anchor);
    bool sums = n->op == OP_CONV || n->op == OP_CONV_DX || n->op == OP_MATMUL;
    return sums && type_count(&n->type) > 0 && type_count(type_at(kf->f, n->in[0])) > 0;
}

// An operand that lies in the arena has its channels in blocks.
static bool reads_blocks(const struct kfunc *kf, const struct kernel *k) {
    nid x = node_at(kf->f, k->anchor)->in[0];
    return k->prologue == NID_NONE && kf->places[x].kind == PLACE_ARENA;
}

bool algorithm_fits(const struct kfunc *kf, const struct kernel *k, enum algorithm a) {
    if (a == ALGORITHM_DIRECT) return true;
    return reads_blocks(kf, k) && winograd_fits(kf->f, k->anchor, winograd_m(a));
}

void choice_take(const struct target *t, const struct kfunc *kf, struct kernel *k,
                 struct choice c) {
    k->algorithm = c.algorithm;
    k->tiling = c.tiling;
    k->work_bytes = 0;
    if (c.algorithm == ALGORITHM_DIRECT) return;
    struct winograd w = winograd_of_kernel(t, kf, k);
    k->work_bytes = winograd_work_bytes(&w);
}

// ---- a problem in words --------------------------------------------------------------
static void add_type(struct text *out, const struct type *t) {
    text_add(out, " %s%s", t->rows ? "rows " : "", elem_name(t->elem));
    for (uint32_t i = 0; i < t->rank; i++) text_add(out, ",%zu", t->dim[i]);
}

static void add_attrs(struct text *out, const struct node *n) {
    const struct op_info *info = op_info(n->op);
    for (size_t i = 0; i < op_attr_count(n->op); i++)
        text_add(out, " %s=%s", info->attrs[i].name,
                 value_text(out->arena, &n->attrs[i]));
}

static const char *place_word(const struct kfunc *kf, const struct kernel *k, nid v) {
    if (v == k->prologue) return "made here";
    if (op_is_weight(node_at(kf->f, v)->op)) return "constant";
    return kf->places[v].kind == PLACE_ARENA ? "stored" : "given";
}

// What is read and written beside the anchor's own operands and result.
static void add_rest(struct text *out, const struct kfunc *kf, const struct kernel *k) {
    const struct node *n = node_at(kf->f, k->anchor);
    size_t rows = 0;
    for (size_t i = 0; i < k->nins; i++)
        rows += type_at(kf->f, k->ins[i])->rows && k->ins[i] != n->in[0] &&
                k->ins[i] != n->in[1];
    bool more = k->outs[0] != k->anchor;
    text_add(out, "; %s with %zu more, gives", more ? "goes on" : "alone", rows);
    for (size_t i = 0; i < k->nouts; i++)
        text_add(out, " %s", elem_name(type_at(kf->f, k->outs[i])->elem));
}

const char *kernel_problem(struct arena *a, const struct kfunc *kf,
                           const struct kernel *k) {
    const struct node *n = node_at(kf->f, k->anchor);
    struct text out = {.arena = a};
    text_add(&out, "%s", op_info(n->op)->name);
    for (uint32_t i = 0; i < 2; i++) {
        add_type(&out, type_at(kf->f, n->in[i]));
        text_add(&out, " %s", place_word(kf, k, n->in[i]));
    }
    text_add(&out, " >");
    add_type(&out, &n->type);
    add_attrs(&out, n);
    add_rest(&out, kf, k);
    return out.at;
}

// ---- what columns are known by -------------------------------------------------------
static bool any(struct digest d) {
    return d.lo || d.hi;
}

// The record's own words stay for what else it says; its fields are the column's.
static void say_tuned(struct module *m, struct store_record *r, struct digest d) {
    char hex[DIGEST_HEX];
    digest_hex(d, hex);
    struct store_field *fields =
        arena_dup(m->arena, r->fields, r->nfields, sizeof *fields);
    for (size_t i = 0; i < r->nfields; i++)
        if (!strcmp(fields[i].name, "numerics"))
            fields[i].value = arena_printf(m->arena, "%s tuned %s", fields[i].value, hex);
    r->fields = fields;
    r->key = store_record_key(r);
}

bool tuned_record(struct module *m, uint32_t column, const uint32_t *funcs, size_t n,
                  struct diags *d) {
    struct digest all = {0};
    for (size_t i = 0; i < n; i++) {
        if (!passes_run_func(m, funcs[i], "algorithms", d)) return false;
        struct digest one = m->funcs.at[funcs[i]].tuned;
        if (any(one)) all = digest_join(all, digest_join((struct digest){i + 1, 0}, one));
    }
    if (!any(all)) return true;
    struct plan_memo *memo = NEW(m->arena, struct plan_memo);
    *memo = *m->plan->columns[column].memo;
    say_tuned(m, &memo->record, all);
    m->plan->columns[column].memo = memo;
    return true;
}
