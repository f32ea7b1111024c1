// `ddg model FILE.onnx`: what a teacher's file holds, and what ddg can do with it.
#include "cli/model.h"

#include "cli/base/options.h"
#include "cli/base/words.h"
#include "cli/command.h"

// ---- what both ways of printing need -------------------------------------------------
enum norm_state model_norms(const struct model_facts *f) {
    if (f->batch_norms) return f->convs_folded ? NORMS_PARTLY : NORMS_KEPT;
    if (f->convs_folded) return NORMS_FOLDED;
    bool bare = !f->other_norms && !f->written_norms;
    bool biased = f->convs && f->convs_biased == f->convs;
    return bare && biased ? NORMS_UNKNOWN : NORMS_NONE;
}

// ---- lines ---------------------------------------------------------------------------
// A label, and words that go on below themselves.
static void line(const char *label, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void line(const char *label, const char *fmt, ...) {
    struct arena *arena = arena_must();
    va_list ap;
    va_start(ap, fmt);
    const char *words = arena_vprintf(arena, fmt, ap);
    va_end(ap);
    int column = printf("  %-17s", label);
    help_words(words, &column, stdout);
    putchar('\n');
    arena_free(arena);
}

static const char *plural(size_t n) {
    return n == 1 ? "" : "s";
}

// ---- the file ------------------------------------------------------------------------
static void print_head(const struct model_report *r) {
    const struct model_facts *f = r->facts;
    printf("%s: %s", r->path, size_words(f->bytes).at);
    if (*f->producer) printf(", written by %s", f->producer);
    if (*f->version) printf(" %s", f->version);
    if (f->opset) printf(", opset %lld", (long long)f->opset);
    puts("");
}

static const char *shape_text(struct arena *arena, const struct model_port *p) {
    struct text t = {.arena = arena};
    if (!p->shaped) return "of unknown shape";
    text_add(&t, "[");
    for (size_t i = 0; i < p->rank; i++) {
        const struct model_dim *d = &p->dim[i];
        const char *comma = i ? "," : "";
        if (d->name) text_add(&t, "%s%s", comma, *d->name ? d->name : "?");
        else text_add(&t, "%s%lld", comma, (long long)d->n);
    }
    text_add(&t, "]");
    return t.at;
}

// How many images at a time the export is for.
static const char *batch_text(struct arena *arena, const struct model_report *r) {
    const struct model_port *p = &r->facts->inputs[0];
    if (!r->facts->model || !p->shaped || !p->rank) return "";
    if (p->dim[0].name) return ", any number of images at a time";
    return arena_printf(arena, ", exported for %lld at a time; ddg takes any number",
                        (long long)p->dim[0].n);
}

// What people have in numpy arrays and TensorFlow: [N,H,W,3].
static bool channels_last(const struct model_port *p) {
    int64_t c = p->shaped && p->rank == 4 && !p->dim[3].name ? p->dim[3].n : 0;
    bool first = p->shaped && p->rank == 4 && !p->dim[1].name && p->dim[1].n <= 4;
    return (c == 1 || c == 3) && !first;
}

static void print_ports(const struct model_report *r, struct arena *arena) {
    const struct model_facts *f = r->facts;
    for (size_t i = 0; i < f->ninputs; i++)
        line(i ? "" : "input", "%s: %s %s%s", f->inputs[i].name, f->inputs[i].type,
             shape_text(arena, &f->inputs[i]), i ? "" : batch_text(arena, r));
    if (f->ninputs && channels_last(&f->inputs[0]))
        line("",
             "its channels seem to come last; ddg gives networks images as [N,C,H,W]");
    for (size_t i = 0; i < f->noutputs; i++)
        line(i ? "" : "output", "%s: %s %s%s", f->outputs[i].name, f->outputs[i].type,
             shape_text(arena, &f->outputs[i]), i ? " (not used)" : "");
    if (f->model)
        line("classes", "%s%s", count_words(f->model->classes).at,
             f->softmax ? ", as probabilities: ddg takes them for logits" : "");
}

// ---- norms ---------------------------------------------------------------------------
static void print_batch_norm(const struct model_facts *f) {
    static const char folded[] = "so gradnorm is over the folded parameters";
    switch (model_norms(f)) {
    case NORMS_KEPT:
        line("batch norm", "%zu layer%s, kept as trained", f->batch_norms,
             plural(f->batch_norms));
        break;
    case NORMS_PARTLY:
        line("batch norm",
             "folded into %zu of %zu convolutions at export, %s; %zu layer%s left",
             f->convs_folded, f->convs, folded, f->batch_norms, plural(f->batch_norms));
        break;
    case NORMS_FOLDED:
        line("batch norm", "folded into %zu of %zu convolutions at export, %s",
             f->convs_folded, f->convs, folded);
        break;
    case NORMS_UNKNOWN:
        line("batch norm", "none in the network, or folded at export");
        break;
    case NORMS_NONE: line("batch norm", "none"); break;
    }
}

static const char *written_text(struct arena *arena, const struct model_facts *f) {
    if (!f->written_norms) return "";
    if (!f->other_norms) return ", written in small ops";
    return arena_printf(arena, ", %zu of them written in small ops", f->written_norms);
}

static void print_norms(const struct model_facts *f, struct arena *arena) {
    print_batch_norm(f);
    if (f->other_norms || f->written_norms)
        line("other norms", "%zu layer%s%s", f->other_norms + f->written_norms,
             plural(f->other_norms + f->written_norms), written_text(arena, f));
}

// ---- parameters ----------------------------------------------------------------------
static void print_sum(const char *name, const struct model_sum *s) {
    if (s->tensors)
        printf("  %-18s %8s %14s %12s\n", name, count_words(s->tensors).at,
               count_words(s->elements).at, size_words(s->bytes).at);
}

static void print_parts(const struct model_facts *f) {
    struct model_sum all = {0};
    printf("\n%-20s %8s %14s %12s\n", "parameters", "tensors", "numbers", "size");
    for (enum model_part p = 0; PART_TRAINABLE(p); p++) {
        print_sum(model_part_name(p), &f->parts[p]);
        all.tensors += f->parts[p].tensors;
        all.elements += f->parts[p].elements;
        all.bytes += f->parts[p].bytes;
    }
    print_sum("in all", &all);
    if (!all.tensors) puts("  none");
    if (f->stored && strcmp(f->stored, "float") != 0) line("stored as", "%s", f->stored);
    if (f->shared)
        line("shared", "%zu tensor%s read by more than one layer", f->shared,
             f->shared == 1 ? " is" : "s are");
}

static void print_rest(const struct model_facts *f) {
    bool rest = false;
    for (enum model_part p = PART_STATISTICS; p < MODEL_PARTS; p++)
        rest |= f->parts[p].tensors > 0;
    if (!rest) return;
    printf("\n%s\n", f->layered ? "not counted by gradnorm" : "stored tensors");
    for (enum model_part p = PART_STATISTICS; p < MODEL_PARTS; p++)
        print_sum(f->layered ? model_part_name(p) : "in all", &f->parts[p]);
}

// ---- ops -----------------------------------------------------------------------------
// "Conv 53, Relu 49", each op and its number on one line.
static void print_op_list(const struct model_facts *f, bool supported) {
    int column = 0;
    for (size_t i = 0; i < f->nops; i++) {
        const struct model_op *op = &f->ops[i];
        struct words n = count_words(op->nodes);
        if (op->supported != supported) continue;
        int wide = (int)(strlen(op->name) + strlen(n.at)) + 3;
        if (!column) column = printf("  %-17s", supported ? "ops" : "not supported");
        else putchar(','), column++;
        if (column + wide > HELP_WIDTH) printf("\n%*s", column = HELP_COLUMN - 1, "");
        column += printf(" %s %s", op->name, n.at);
    }
    if (column) putchar('\n');
}

// ---- what can be done with it --------------------------------------------------------
static void print_use(const struct model_use *u) {
    if (u->why) {
        line(u->op, "no: %s", u->why);
        return;
    }
    printf("  %-18s %12s %12s%s%s\n", u->op, flops_words(u->flops).at,
           size_words(u->bytes).at, *u->with ? "   " : "", u->with);
}

static void print_uses(const struct model_report *r, struct arena *arena) {
    if (!r->nuses) return;
    const char *head = arena_printf(arena, "images of %zu x %zu", r->height, r->width);
    printf("\n%-20s %12s %12s   of one image\n", head, "work", "memory");
    printf("  %-18s %12s\n", "forward", flops_words(r->flops).at);
    for (size_t i = 0; i < r->nuses; i++) print_use(&r->uses[i]);
}

static size_t distance(size_t a, size_t b) {
    return a > b ? a - b : b - a;
}

// Of the sizes that are not taken, the one most like the network's own says most.
static const char *why_not(const struct model_report *r) {
    size_t own = r->facts->model->height;
    const struct model_size *near = NULL;
    for (size_t i = 0; i < r->nsizes; i++) {
        const struct model_size *s = &r->sizes[i];
        bool nearer = !near || distance(s->side, own) < distance(near->side, own);
        if (s->why && nearer) near = s;
    }
    return near ? near->why : NULL;
}

static void print_sizes(const struct model_report *r, struct arena *arena) {
    struct text yes = {.arena = arena}, no = {.arena = arena};
    if (!r->nsizes) return;
    for (size_t i = 0; i < r->nsizes; i++) {
        const struct model_size *s = &r->sizes[i];
        struct text *t = s->why ? &no : &yes;
        text_add(t, "%s%zu", t->n ? ", " : "", s->side);
    }
    puts("\nother sizes");
    if (yes.n) line("taken", "%s", yes.at);
    if (no.n) line("not taken", "%s", no.at);
    if (no.n) line("", "%s", why_not(r));
}

// ---- the command ---------------------------------------------------------------------
static void print_report(const struct model_report *r, struct arena *arena) {
    print_head(r);
    puts("");
    print_ports(r, arena);
    print_norms(r->facts, arena);
    print_op_list(r->facts, true);
    print_op_list(r->facts, false);
    if (r->facts->layered) print_parts(r->facts);
    print_rest(r->facts);
    print_uses(r, arena);
    print_sizes(r, arena);
}

static bool look(struct model_report *r, const struct args *a, struct arena *arena,
                 struct diags *d) {
    struct model_facts *f = NEW(arena, struct model_facts);
    model_facts_read(arena, r->path, f, d);
    r->facts = f;
    r->said = d;
    if (!f->model) return false;
    r->height = a->side ? a->side : f->model->height;
    r->width = a->side ? a->side : f->model->width;
    return model_uses_read(arena, r, d);
}

int command_model(const struct args *a, struct arena *arena) {
    struct diags d;
    struct model_report r = {.path = a->operands[0]};
    struct emit json = {.text = {.arena = arena}};
    diags_init(&d, arena);
    bool ok = look(&r, a, arena, &d);
    size_t n = strlen(r.path);
    if (!r.facts->parsed && n > 4 && !strcmp(r.path + n - 4, ".ddg"))
        diag_help(&d,
                  "`ddg check` looks at programs, `ddg model` at the networks they name");
    diags_print(&d, stderr, diag_color(stderr));
    if (a->json) {
        model_emit(&r, &json);
        emit_print(&json, stdout);
    } else if (r.facts->parsed) print_report(&r, arena);
    return ok ? EXIT_DONE : EXIT_WRONG;
}
