// The name of a kernel's code: a digest of everything that shapes it, and of nothing
// else.
//
// The kernel is written out as text, nodes numbered in the order they are met, so that
// the equal layers of a network get the same text wherever their nodes, buffers and
// constants are. Codegen reads nothing that is not in this text.
#include "codegen/emit.h"

struct writer {
    const struct func *f;
    const struct kfunc *kf;
    const struct kernel *k;
    struct text *out;
    uint32_t *number; // by nid; 0: not met yet
    uint32_t met;
};

static void write_type(struct writer *w, const struct type *t) {
    text_add(w->out, " %s%s", t->rows ? "rows " : "", elem_name(t->elem));
    for (uint32_t i = 0; i < t->rank; i++) text_add(w->out, ",%zu", t->dim[i]);
}

static void write_layout(struct writer *w, const struct layout *l) {
    text_add(w->out, " layout %d,%zu,%zu", l->kind, l->border, l->bytes);
}

static void write_number(struct writer *w, double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    text_add(w->out, "%llx,", (unsigned long long)bits);
}

static void write_attr(struct writer *w, const struct value *v) {
    text_add(w->out, " %d:", v->kind);
    switch (v->kind) {
    case VAL_INT:
    case VAL_BOOL: text_add(w->out, "%lld", (long long)v->i); break;
    case VAL_FLOAT: write_number(w, v->f); break;
    case VAL_STRING: text_add(w->out, "%zu'%s'", strlen(v->s), v->s); break;
    case VAL_INTS:
        for (size_t i = 0; i < v->n; i++) text_add(w->out, "%lld,", (long long)v->is[i]);
        break;
    case VAL_FLOATS:
        for (size_t i = 0; i < v->n; i++) write_number(w, v->fs[i]);
        break;
    case VAL_NONE: break;
    }
}

static void write_embedded(struct writer *w, const struct node *n) {
    const unsigned char *bytes = n->data;
    text_add(w->out, " =");
    for (size_t i = 0; i < elem_size(n->type.elem); i++)
        text_add(w->out, "%02x", bytes[i]);
}

static void write_node(struct writer *w, nid id);

static void write_operands(struct writer *w, const struct node *n) {
    text_add(w->out, " (");
    for (uint32_t i = 0; i < n->nin; i++) {
        if (n->in[i] == NID_NONE) text_add(w->out, " none");
        else write_node(w, n->in[i]);
    }
    text_add(w->out, " )");
}

static void write_algorithm(struct writer *w, const struct kernel *k) {
    text_add(w->out, " %d %zu tiling %zu,%zu,%zu,%d", k->algorithm, k->work_bytes,
             k->tiling.blocks, k->tiling.pixels, k->tiling.group, k->tiling.row_live);
}

// How its reader wants it.
static void write_pack(struct writer *w, nid pack) {
    const struct kernel *k = pack_reader(w->kf, pack);
    const struct node *anchor = node_at(w->f, k->anchor);
    bool scratch = k->prologue != NID_NONE;
    text_add(w->out, " for %s", op_info(anchor->op)->name);
    write_type(w, &anchor->type);
    write_type(w, type_at(w->f, anchor->in[0]));
    for (size_t i = 0; i < op_attr_count(anchor->op); i++)
        write_attr(w, &anchor->attrs[i]);
    write_layout(w, scratch ? &k->scratch_layout : &w->kf->places[anchor->in[0]].layout);
    write_algorithm(w, k);
    write_operands(w, node_at(w->f, pack));
}

static void write_computed(struct writer *w, const struct node *n) {
    for (size_t i = 0; i < op_attr_count(n->op); i++) write_attr(w, &n->attrs[i]);
    write_operands(w, n);
}

// A node the second time is only its number. The anchor's first operand is computed in
// the prologue, and loaded from scratch by the anchor.
static void write_node(struct writer *w, nid id) {
    const struct node *n = node_at(w->f, id);
    if (w->number[id]) {
        text_add(w->out, " #%u", w->number[id]);
        return;
    }
    w->number[id] = ++w->met;
    bool loaded = reads_loaded(w->f, w->k, id);
    text_add(w->out, "\n%s", loaded ? "load" : op_info(n->op)->name);
    write_type(w, &n->type);
    if (loaded) {
        text_add(w->out, " buffer %zu%s", kernel_buffer(w->k, id),
                 op_is_constant(n->op) ? " const" : "");
        write_layout(w, &w->kf->places[id].layout);
    } else if (reads_embedded(w->f, w->k, id)) write_embedded(w, n);
    else if (n->op == OP_PACK) write_pack(w, id);
    else write_computed(w, n);
}

static void write_target(struct writer *w, const struct target *t) {
    text_add(w->out, "target '%s' '%s' '%s' %zu %zu %d %zu", t->triple, t->cpu,
             t->features, t->lanes, t->registers, t->fma, t->l2);
}

static void write_kernel(struct writer *w) {
    const struct kernel *k = w->k;
    text_add(w->out, "\nkernel %zu %zu %d,%zu%s", k->nouts, k->nins, k->all_rows,
             k->parts, w->kf->joint ? " joint" : "");
    for (size_t i = 0; i < k->nins; i++) { // rows and strides of all buffers, read or not
        write_type(w, type_at(w->f, k->ins[i]));
        write_layout(w, &w->kf->places[k->ins[i]].layout);
    }
    for (size_t i = 0; i < k->nouts; i++) {
        write_layout(w, &w->kf->places[k->outs[i]].layout);
        write_node(w, k->outs[i]);
    }
    if (k->anchor != NID_NONE) {
        text_add(w->out, "\nanchor #%u", w->number[k->anchor]);
        write_algorithm(w, k);
    }
    if (k->prologue == NID_NONE) return;
    text_add(w->out, "\nprologue #%u", w->number[k->prologue]);
    write_layout(w, &k->scratch_layout);
}

const char *kernel_symbol(struct arena *arena, const struct target *t,
                          const struct kfunc *kf, const struct kernel *k) {
    struct text text = {.arena = arena};
    struct writer w = {.f = kf->f, .kf = kf, .k = k, .out = &text};
    w.number = NEW_N(arena, uint32_t, kf->f->nodes.n);
    write_target(&w, t);
    write_kernel(&w);
    char hex[DIGEST_HEX];
    digest_hex(digest_of(text.at, text.n), hex);
    nid named = k->anchor != NID_NONE ? k->anchor : k->outs[0];
    return arena_printf(arena, "ddg_%s_%s", op_info(node_at(kf->f, named)->op)->name,
                        hex);
}
