// What the ops of the language can do with a network: each that takes a model is
// compiled, in a program of a few lines, up to where machine code would be made. So what
// is said here is what a run would find, and an op that is new needs nothing here.
#include "cli/driver.h"
#include "cli/model.h"
#include "runtime/stage.h"

// ---- a program -----------------------------------------------------------------------
// What is written for attributes that have no default, or none that says enough.
static const struct {
    const char *attr, *value;
} examples[] = {{"grid", "4"}, {"samples", "128"}, {"seed", "0"}};

static const char *example_of(const struct attr_spec *a) {
    for (size_t i = 0; i < COUNT(examples); i++)
        if (!strcmp(a->name, examples[i].attr)) return examples[i].value;
    CHECK(a->fallback);
    return NULL;
}

static const char *example_attrs(struct arena *arena, const struct op_info *op) {
    struct text t = {.arena = arena};
    text_add(&t, "%s", "");
    for (const struct attr_spec *a = op->attrs; a->name; a++) {
        const char *value = example_of(a);
        if (value) text_add(&t, "%s%s = %s", t.n ? ", " : "", a->name, value);
    }
    return t.at;
}

// What runs the network, but for training and measuring it, which go through the same
// steps.
static bool is_tried(const struct op_info *op) {
    if (!(op->flags & OPF_COSTLY)) return false;
    if (op->locality == LOCAL_WHOLE && !(op->flags & OPF_STATEMENT)) return false;
    for (const struct operand_spec *o = op->operands; o->kinds; o++)
        if (o->kinds >> KIND_MODEL & 1) return op->family == FAMILY_PIPELINE;
    return false;
}

// "gradnorm(teacher, x)"
static const char *call_text(struct arena *arena, const struct op_info *op,
                             const char *with) {
    struct text t = {.arena = arena};
    text_add(&t, "%s(", op->name);
    for (const struct operand_spec *o = op->operands; o->kinds; o++) {
        if (o->optional) continue;
        CHECK(o->kinds >> KIND_MODEL & 1 || o->kinds >> KIND_IMAGES & 1);
        text_add(&t, "%s%s", o == op->operands ? "" : ", ",
                 o->kinds >> KIND_MODEL & 1 ? "teacher" : "x");
    }
    text_add(&t, "%s%s)", *with ? ", " : "", with);
    return t.at;
}

static const char *program_text(struct arena *arena, enum op op, const char *with,
                                size_t side) {
    const char *call = call_text(arena, op_info(op), with);
    if (!op_is_statement(op))
        call = arena_printf(arena, "save(%s, to = \"x.npy\")", call);
    return arena_printf(arena,
                        "x = images(\"x\", size = %zu)\n"
                        "teacher = onnx(\"teacher\", mean = [0], std = [1])\n"
                        "%s\n",
                        side, call);
}

// ---- an op ---------------------------------------------------------------------------
struct trial {
    enum op op;
    const struct model *model;
    size_t side;
    struct arena *arena; // of what comes out
    struct model_use *use;
};

// The first error without what it is about: the name of the network, or of the op.
static const char *reason(struct arena *arena, const struct diags *d, const char *about) {
    for (size_t i = 0; i < d->list.n; i++) {
        if (d->list.at[i].severity != DIAG_ERROR) continue;
        const char *s = d->list.at[i].message;
        size_t n = strlen(about);
        if (!strncmp(s, about, n)) s += n + strspn(s + n, ": ");
        return arena_strdup(arena, s);
    }
    BUG("what failed says nothing");
}

static const char *reason_of_op(const struct trial *t, const struct diags *d) {
    const char *s = reason(t->arena, d, op_info(t->op)->name);
    size_t n = strlen(t->model->path);
    return strncmp(s, t->model->path, n) != 0 ? s : s + n + strspn(s + n, ": ");
}

static bool compile(struct driver *v) {
    if (!driver_load(v) || !driver_lower(v, NULL) || !driver_flops(v)) return false;
    for (size_t i = 0; i < v->module.funcs.n; i++)
        if (!passes_run_func(&v->module, i, NULL, &v->d)) return false;
    return true;
}

static void measure(const struct driver *v, struct model_use *u) {
    const struct plan *p = v->module.plan;
    for (size_t i = 0; i < p->nstages; i++) u->flops += stage_flops(p, &p->stages[i]);
    for (size_t i = 0; i < v->module.funcs.n; i++) {
        const struct kfunc *k = v->module.funcs.at[i].k;
        u->bytes = size_max(u->bytes, k->arena_bytes / size_max(k->batch, 1));
    }
}

static void try_op(struct trial *t, struct arena *scratch) {
    struct driver v;
    t->use->op = op_info(t->op)->name;
    t->use->with = example_attrs(t->arena, op_info(t->op));
    const char *text = program_text(scratch, t->op, t->use->with, t->side);
    struct driver_options o = {
        .path = "model.ddg", .text = text, .model = t->model, .threads = 1};
    driver_init(&v, scratch, &o);
    if (compile(&v)) measure(&v, t->use);
    else t->use->why = reason_of_op(t, &v.d);
    driver_free(&v);
}

static void try_ops(struct arena *arena, struct model_report *r) {
    struct model_use *uses = NEW_N(arena, struct model_use, OP_COUNT);
    for (enum op op = 0; op < OP_COUNT; op++) {
        if (!is_tried(op_info(op))) continue;
        struct trial t = {op, r->facts->model, r->height, arena, &uses[r->nuses++]};
        struct arena *scratch = arena_must();
        try_op(&t, scratch);
        arena_free(scratch);
    }
    r->uses = uses;
}

// ---- sizes ---------------------------------------------------------------------------
static void try_sizes(struct arena *arena, struct model_report *r) {
    static const size_t sides[] = {16, 32, 64, 96, 112, 128, 160, 224, 256, 384};
    const struct model *m = r->facts->model;
    struct model_size *sizes = NEW_N(arena, struct model_size, COUNT(sides));
    for (size_t i = 0; i < COUNT(sides); i++) {
        if (sides[i] == m->height && sides[i] == m->width) continue;
        struct diags d;
        struct arena *scratch = arena_must();
        diags_init(&d, scratch);
        const struct func *f = m->at_size(m, scratch, sides[i], sides[i], &d, NO_SPAN);
        sizes[r->nsizes++] =
            (struct model_size){sides[i], f ? NULL : reason(arena, &d, m->path)};
        arena_free(scratch);
    }
    r->sizes = sizes;
}

// ---- all of it -----------------------------------------------------------------------
bool model_uses_read(struct arena *arena, struct model_report *r, struct diags *d) {
    const struct model *m = r->facts->model;
    const struct func *f = m->at_size(m, arena, r->height, r->width, d, NO_SPAN);
    if (f) r->flops = func_flops(f);
    if (f) try_ops(arena, r);
    try_sizes(arena, r);
    return f != NULL;
}
