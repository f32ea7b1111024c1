// Runs a tensor function through code generation alone, beside the evaluator.
//
// The rig decides by a seed what is stored, how it lies in memory, what a convolution's
// kernel draws in, and what is made in a prologue: more ways than the passes ever choose.
// Every buffer ends at a page that must not be touched and starts out as NaNs.
#ifndef CODEGEN_RIG_H
#define CODEGEN_RIG_H

#include "codegen/codegen.h"
#include "ir/eval.h"
#include "ir/winograd.h"
#include "tests/unit/code_map.h"
#include "tests/unit/effort.h"
#include "tests/unit/guest.h"
#include "tests/unit/ir_random.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#define RIG_ROWS 5

struct rig {
    struct arena *arena;
    const struct func *f;
    struct target t;
    struct kfunc kf;
    struct random r;
    struct codegen *cg;
    struct diags d;
    char **data;         // by nid: the value's buffer
    size_t *room;        // its bytes
    const char **symbol; // by kernel
    char **scratch;      // by kernel
    bool *chained;       // between an anchor and its root
    nid *extra;          // of an anchor: a value on its chain that is stored too
    nid *root_of;        // of an anchor
    struct codegen_image image;
    const struct code_map *code; // of the image; NULL: what runs is linked in memory
    bool ahead;                  // the image is run too
    struct guest *guest;         // runs it; NULL: this processor does
    bool plain; // as the passes lay things out, with nothing left to chance
};

// ---- memory that ends at a wall ------------------------------------------------------

static inline size_t rig_pages(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return size_align(bytes + page, page);
}

static inline char *rig_alloc(size_t bytes) {
    size_t all = rig_pages(bytes), page = (size_t)sysconf(_SC_PAGESIZE);
    char *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    CHECK(mprotect(p + all - page, page, PROT_NONE) == 0);
    memset(p, 0xff, all - page);
    return p + all - page - bytes;
}

static inline char *rig_room(const struct rig *g, size_t bytes) {
    return g->guest ? guest_alloc(g->guest, bytes) : rig_alloc(bytes);
}

static inline void rig_release(const struct rig *g, char *p, size_t bytes) {
    size_t all = rig_pages(bytes), page = (size_t)sysconf(_SC_PAGESIZE);
    if (p && !g->guest) CHECK(munmap(p + bytes - (all - page), all) == 0);
}

// ---- what is stored, and how ---------------------------------------------------------

static inline bool rig_constant(const struct rig *g, nid v) {
    enum op op = node_at(g->f, v)->op;
    return op == OP_CONST || op == OP_PARAM;
}

static inline bool rig_flag(const struct rig *g, nid v, uint32_t flag) {
    return (op_info(node_at(g->f, v)->op)->flags & flag) != 0;
}

static inline bool rig_chance(struct rig *g, size_t one_in) {
    return !g->plain && random_below(&g->r, one_in) == 0;
}

static inline bool rig_is_out(const struct rig *g, nid v) {
    for (size_t i = 0; i < g->f->outs.n; i++)
        if (g->f->outs.at[i] == v) return true;
    return false;
}

// The one elementwise user that can follow v in an anchor's kernel.
static inline nid rig_next(const struct rig *g, nid v, const uint32_t *uses) {
    if (uses[v] != 1u + rig_is_out(g, v) || type_at(g->f, v)->rank == 0) return NID_NONE;
    for (nid u = v + 1; u < g->f->nodes.n; u++) {
        const struct node *n = node_at(g->f, u);
        for (uint32_t i = 0; i < n->nin; i++) {
            if (n->in[i] != v) continue;
            bool ok = rig_flag(g, u, OPF_ELEMENTWISE) &&
                      n->type.rows == type_at(g->f, v)->rows &&
                      (n->type.elem == ELEM_F32 || n->type.elem == ELEM_BF16) &&
                      type_same_shape(&n->type, type_at(g->f, v));
            return ok ? u : NID_NONE;
        }
    }
    return NID_NONE;
}

static inline void rig_store(struct rig *g, nid v) {
    enum op op = node_at(g->f, v)->op;
    if (g->kf.places[v].kind != PLACE_NONE) return;
    g->kf.places[v].kind = op == OP_INPUT       ? PLACE_IN
                           : rig_constant(g, v) ? PLACE_CONST
                                                : PLACE_ARENA;
}

// read: a convolution's operand, which takes this border; of bf16, such lie in blocks.
static inline void rig_layout(struct rig *g, nid v, bool read, size_t border) {
    const struct type *t = type_at(g->f, v);
    struct layout *l = &g->kf.places[v].layout;
    *l = (struct layout){.kind = LAYOUT_PLANAR, .bytes = type_bytes(t)};
    if (g->kf.places[v].kind == PLACE_ARENA) l->bytes = size_align(l->bytes, 64);
    bool number = t->elem == ELEM_F32 || t->elem == ELEM_BF16;
    bool maps = number && t->rank == 3 && type_count(t) > 0;
    if (rig_constant(g, v) || !maps) return;
    bool must = read && t->elem == ELEM_BF16;
    if (!must && border == 0 && !g->plain && random_below(&g->r, 3) == 0) return;
    if (!must && g->plain && g->kf.places[v].kind == PLACE_IN) return;
    l->kind = LAYOUT_BLOCKED;
    l->border = border + (g->plain ? 0 : random_below(&g->r, 2));
    size_t blocks = (t->dim[0] + g->t.lanes - 1) / g->t.lanes;
    l->bytes = blocks * g->t.lanes * elem_size(t->elem) * (t->dim[1] + 2 * l->border) *
               (t->dim[2] + 2 * l->border);
}

static inline bool rig_is_map(const struct rig *g, nid v) {
    enum op op = node_at(g->f, v)->op;
    return op == OP_CONV || op == OP_CONV_DX || op == OP_CONV_DW ||
           op == OP_CONV_DW_SQNORM;
}

// Anchors, their operands and their chains.
static inline void rig_anchors(struct rig *g, const uint32_t *uses, nid *prologue,
                               size_t *border) {
    for (nid v = 0; v < g->f->nodes.n; v++) {
        const struct node *n = node_at(g->f, v);
        if (!rig_flag(g, v, OPF_ANCHOR)) continue;
        nid root = v;
        for (nid u; !rig_chance(g, 4) && (u = rig_next(g, root, uses)) != NID_NONE;) {
            bool out = rig_is_out(g, root);
            if (g->chained[u] || (out && g->extra[v] != NID_NONE)) break;
            g->chained[root] = true;
            if (out) g->extra[v] = root;
            root = u;
        }
        g->root_of[v] = root;
        rig_store(g, root);
        rig_store(g, n->in[1]);
        const struct node *x = node_at(g->f, n->in[0]);
        bool must = rig_is_map(g, v) &&
                    (x->op == OP_INPUT || rig_constant(g, n->in[0])) && g->plain;
        bool may = x->type.elem != ELEM_BF16 && !rig_flag(g, n->in[0], OPF_ANCHOR);
        if ((must || rig_chance(g, 3)) && may && !g->chained[n->in[0]])
            prologue[v] = n->in[0];
        else rig_store(g, n->in[0]);
        if (rig_is_map(g, v) && prologue[v] == NID_NONE)
            border[n->in[0]] = size_max(border[n->in[0]], kernel_border(g->f, v) + 1);
    }
}

static inline void rig_inputs(struct rig *g, struct kernel *k, nid v, bool *seen) {
    const struct node *n = node_at(g->f, v);
    for (uint32_t i = 0; i < n->nin; i++) {
        nid o = n->in[i];
        if (o == NID_NONE || seen[o]) continue;
        seen[o] = true;
        bool own = k->nouts > 1 && o == k->outs[1];
        if (own || g->kf.places[o].kind == PLACE_NONE) {
            rig_inputs(g, k, o, seen);
        } else {
            CHECK(k->nins < KERNEL_MAX_BUFFERS);
            k->ins[k->nins++] = o;
        }
    }
}

static inline void rig_scratch(struct rig *g, struct kernel *k) {
    const struct type *t = type_at(g->f, k->prologue);
    size_t border = kernel_border(g->f, k->anchor);
    struct layout *l = &k->scratch_layout;
    size_t channels = t->dim[0];
    if (rig_is_map(g, k->anchor) && rig_chance(g, 3)) {
        l->kind = LAYOUT_BLOCKED;
        channels = (channels + g->t.lanes - 1) / g->t.lanes * g->t.lanes;
    }
    l->border = border;
    l->bytes = type_bytes(t);
    if (t->rank == 3)
        l->bytes = channels * (t->dim[1] + 2 * border) * (t->dim[2] + 2 * border) * 4;
    l->bytes = size_align(l->bytes, 64);
}

// Any algorithm that can compute the anchor of k.
static inline void rig_algorithm(struct rig *g, struct kernel *k) {
    static const enum algorithm MORE[] = {ALGORITHM_WINOGRAD_4, ALGORITHM_WINOGRAD_2};
    const struct layout *l = &g->kf.places[node_at(g->f, k->anchor)->in[0]].layout;
    if (k->prologue != NID_NONE || l->kind != LAYOUT_BLOCKED) return;
    for (size_t i = 0; i < COUNT(MORE); i++) {
        if (!winograd_fits(g->f, k->anchor, winograd_m(MORE[i]))) continue;
        if (rig_chance(g, 3)) continue;
        k->algorithm = MORE[i];
        struct winograd w = winograd_of(&g->t, g->f, k->anchor, k->algorithm);
        k->work_bytes = winograd_work_bytes(&w);
        return;
    }
}

static inline void rig_kernel(struct rig *g, nid root, nid anchor, nid prologue) {
    struct kernel k = {
        .outs = {root}, .nouts = 1, .anchor = anchor, .prologue = prologue};
    bool *seen = NEW_N(g->arena, bool, g->f->nodes.n);
    if (anchor != NID_NONE && g->extra[anchor] != NID_NONE)
        k.outs[k.nouts++] = g->extra[anchor];
    rig_inputs(g, &k, root, seen);
    if (prologue != NID_NONE) rig_scratch(g, &k);
    if (anchor != NID_NONE) rig_algorithm(g, &k);
    VEC_PUSH(g->arena, &g->kf.kernels, k);
}

static inline void rig_plan(struct rig *g) {
    size_t n = g->f->nodes.n;
    uint32_t *uses = func_uses(g->f, g->arena);
    nid *prologue = NEW_N(g->arena, nid, n);
    size_t *border = NEW_N(g->arena, size_t, n);
    g->chained = NEW_N(g->arena, bool, n);
    g->root_of = NEW_N(g->arena, nid, n);
    g->extra = NEW_N(g->arena, nid, n);
    g->kf = (struct kfunc){
        .f = g->f, .batch = RIG_ROWS, .places = NEW_N(g->arena, struct place, n)};
    for (nid v = 0; v < n; v++) {
        prologue[v] = g->root_of[v] = g->extra[v] = NID_NONE;
        const struct node *node = node_at(g->f, v);
        bool source = node->op == OP_INPUT || (rig_constant(g, v) && node->type.rank > 0);
        if (source || rig_is_out(g, v)) rig_store(g, v);
    }
    rig_anchors(g, uses, prologue, border);
    for (nid v = 0; v < n; v++) {
        bool source = node_at(g->f, v)->op == OP_INPUT || rig_constant(g, v);
        size_t one_in = rig_flag(g, v, OPF_REDUCE) ? 2 : 4;
        if (!source && !g->chained[v] && rig_chance(g, one_in)) rig_store(g, v);
        if (g->plain && rig_flag(g, v, OPF_REDUCE)) rig_store(g, v);
    }
    for (nid v = 0; v < n; v++)
        if (g->extra[v] != NID_NONE) rig_store(g, g->extra[v]);
    for (nid v = 0; v < n; v++)
        if (g->kf.places[v].kind != PLACE_NONE)
            rig_layout(g, v, border[v] > 0, border[v] ? border[v] - 1 : 0);
    nid *anchor_of = NEW_N(g->arena, nid, n);
    for (nid v = 0; v < n; v++) anchor_of[v] = NID_NONE;
    for (nid v = 0; v < n; v++)
        if (g->root_of[v] != NID_NONE) anchor_of[g->root_of[v]] = v;
    for (nid v = 0; v < n; v++)
        if (g->kf.places[v].kind == PLACE_ARENA && !g->chained[v])
            rig_kernel(g, v, anchor_of[v],
                       anchor_of[v] == NID_NONE ? NID_NONE : prologue[anchor_of[v]]);
}

// ---- data in its layout --------------------------------------------------------------

static inline size_t rig_place(const struct rig *g, nid v, size_t i) {
    const struct type *t = type_at(g->f, v);
    const struct layout *l = &g->kf.places[v].layout;
    if (l->kind == LAYOUT_PLANAR) return i;
    size_t x = i % t->dim[2], y = i / t->dim[2] % t->dim[1],
           c = i / t->dim[2] / t->dim[1];
    size_t w = t->dim[2] + 2 * l->border, h = t->dim[1] + 2 * l->border;
    return ((c / g->t.lanes * h + y + l->border) * w + x + l->border) * g->t.lanes +
           c % g->t.lanes;
}

static inline void rig_copy(const struct rig *g, nid v, char *placed, char *dense,
                            bool in) {
    const struct type *t = type_at(g->f, v);
    size_t size = elem_size(t->elem);
    if (in && g->kf.places[v].layout.kind == LAYOUT_BLOCKED)
        memset(placed, 0, g->kf.places[v].layout.bytes);
    for (size_t i = 0; i < type_count(t); i++) {
        char *p = placed + rig_place(g, v, i) * size, *q = dense + i * size;
        memcpy(in ? p : q, in ? q : p, size);
    }
}

// A blocked value is zero in all but its own elements.
static inline bool rig_zeros(const struct rig *g, nid v, const char *placed) {
    const struct layout *l = &g->kf.places[v].layout;
    const struct type *t = type_at(g->f, v);
    if (l->kind != LAYOUT_BLOCKED) return true;
    char *copy = malloc(l->bytes);
    CHECK(copy);
    memcpy(copy, placed, l->bytes);
    size_t size = elem_size(t->elem);
    for (size_t i = 0; i < type_count(t); i++)
        memset(copy + rig_place(g, v, i) * size, 0, size);
    bool zero = true;
    for (size_t i = 0; i < l->bytes; i++) zero = zero && copy[i] == 0;
    free(copy);
    return zero;
}

// ---- compiling and running -----------------------------------------------------------

static inline nid rig_weight(const struct rig *g, const struct kernel *k) {
    nid w = k->anchor == NID_NONE ? NID_NONE : node_at(g->f, k->anchor)->in[1];
    return w != NID_NONE && codegen_wants_packed(&g->t, &g->kf, k, w) ? w : NID_NONE;
}

static inline bool rig_compile(struct rig *g) {
    g->symbol = NEW_N(g->arena, const char *, g->kf.kernels.n + 1);
    g->cg = codegen_new(&g->t, &g->d);
    if (!g->cg) return false;
    for (size_t i = 0; i < g->kf.kernels.n; i++) {
        const char *s = codegen_add(g->cg, &g->kf, &g->kf.kernels.at[i], &g->d);
        if (!s) return false;
        g->symbol[i] = arena_strdup(g->arena, s);
    }
    if (!g->guest) return codegen_finish(g->cg, 1, &g->d);
    if (!codegen_image(g->cg, 1, g->arena, &g->image, &g->d)) return false;
    guest_code(g->guest, &g->image);
    return true;
}

static inline void rig_buffers(struct rig *g) {
    size_t n = g->f->nodes.n;
    g->data = NEW_N(g->arena, char *, n);
    g->room = NEW_N(g->arena, size_t, n);
    for (nid v = 0; v < n; v++) {
        if (g->kf.places[v].kind == PLACE_NONE) continue;
        size_t rows = type_at(g->f, v)->rows ? RIG_ROWS : 1;
        g->room[v] = g->kf.places[v].layout.bytes * rows;
        g->data[v] = rig_room(g, g->room[v]);
        if (rig_constant(g, v)) memcpy(g->data[v], node_at(g->f, v)->data, g->room[v]);
    }
}

static inline void rig_call(struct rig *g, const char *symbol, char *const *buffers,
                            size_t nbuffers, size_t n) {
    if (g->guest) {
        guest_call(g->guest, code_entry(&g->image, symbol), buffers, nbuffers, n);
        return;
    }
    kernel_fn fn = g->code ? code_of(g->code, &g->image, symbol)
                           : codegen_address(g->cg, symbol, &g->d);
    CHECK(fn);
    fn(buffers, n);
}

static inline void rig_run_kernel(struct rig *g, size_t i, size_t from, size_t n) {
    const struct kernel *k = &g->kf.kernels.at[i];
    char *buffers[KERNEL_MAX_BUFFERS + 8], *packed = NULL, *scratch = NULL, *work = NULL;
    size_t at = 0, packed_bytes = 0;
    nid w = rig_weight(g, k);
    if (w != NID_NONE) {
        packed_bytes = codegen_packed_bytes(&g->t, &g->kf, k, w);
        packed = rig_room(g, packed_bytes);
        codegen_pack(&g->t, &g->kf, k, w, packed);
    }
    for (size_t j = 0; j < k->nouts + k->nins; j++) {
        nid v = j < k->nouts ? k->outs[j] : k->ins[j - k->nouts];
        size_t skip = type_at(g->f, v)->rows ? from * g->kf.places[v].layout.bytes : 0;
        buffers[at++] = v == w ? packed : g->data[v] + skip;
    }
    if (k->prologue != NID_NONE)
        buffers[at++] = scratch = rig_room(g, k->scratch_layout.bytes);
    if (k->work_bytes) buffers[at++] = work = rig_room(g, k->work_bytes);
    rig_call(g, g->symbol[i], buffers, at, n);
    rig_release(g, packed, packed_bytes);
    rig_release(g, scratch, k->scratch_layout.bytes);
    rig_release(g, work, k->work_bytes);
}

// Rows [from, from + n); what all rows share is computed in the first call.
static inline void rig_run(struct rig *g, size_t from, size_t n, bool first) {
    for (size_t i = 0; i < g->kf.kernels.n; i++) {
        bool rows = type_at(g->f, g->kf.kernels.at[i].outs[0])->rows;
        if (rows || first) rig_run_kernel(g, i, from, rows ? n : 1);
    }
}

static inline void rig_free(struct rig *g) {
    for (nid v = 0; g->data && v < g->f->nodes.n; v++)
        rig_release(g, g->data[v], g->room[v]);
    if (g->cg) codegen_free(g->cg);
}

// On the guest, whose memory is its own as long as it lives.
static inline void rig_set_guest(struct rig *g, struct guest *guest) {
    g->guest = guest;
    guest_fresh(guest);
}

static inline struct rig rig_new(struct arena *a, const struct func *f,
                                 const char *target, uint64_t seed) {
    struct rig g = {.arena = a, .f = f, .r = {seed}};
    diags_init(&g.d, a);
    CHECK(codegen_target_named(a, target, &g.t, &g.d));
    return g;
}

// ---- beside the evaluator ------------------------------------------------------------

static inline void *rig_dense(struct rig *g, nid v) {
    size_t rows = type_at(g->f, v)->rows ? RIG_ROWS : 1,
           bytes = type_bytes(type_at(g->f, v));
    char *dense = arena_alloc(g->arena, rows * bytes + 1, 1);
    for (size_t r = 0; r < rows; r++)
        rig_copy(g, v, g->data[v] + r * g->kf.places[v].layout.bytes, dense + r * bytes,
                 false);
    return dense;
}

// The largest difference, over the largest value of the reference; integers must be
// equal. NaN where only one is NaN.
static inline double rig_difference(const struct type *t, size_t rows, const void *a,
                                    const void *b) {
    size_t n = type_count(t) * rows;
    if (t->elem != ELEM_F32) return memcmp(a, b, n * elem_size(t->elem)) ? 1 : 0;
    const float *x = a, *y = b;
    double scale = 1e-3, worst = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i])) scale = fmax(scale, fabs((double)x[i]));
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&x[i], &y[i], 4) == 0 || x[i] == y[i] || (isnan(x[i]) && isnan(y[i])))
            continue;
        double d = fabs((double)x[i] - (double)y[i]) / scale;
        if (!(d <= worst)) worst = d;
    }
    return worst;
}

static inline char *rig_random(struct rig *g, const struct type *t, size_t rows) {
    char *data = random_data(&g->r, g->arena, t, rows);
    for (size_t i = 0; t->elem == ELEM_U8 && i < rows * type_count(t); i++)
        data[i] = (char)random_below(&g->r, 256);
    return data;
}

// Whether the code image, mapped here and there, gives the bits that code linked in
// memory gave. Nothing that the one computed is left for the other to find.
static inline bool rig_same_ahead(struct rig *g, char *const *got) {
    bool same = true;
    if (!codegen_image(g->cg, 2, g->arena, &g->image, &g->d)) return false;
    struct code_map maps[2] = {code_map(&g->image), code_map(&g->image)};
    for (size_t m = 0; m < COUNT(maps); m++) {
        g->code = &maps[m];
        for (nid v = 0; v < g->f->nodes.n; v++)
            if (g->kf.places[v].kind == PLACE_ARENA) memset(g->data[v], 0xff, g->room[v]);
        rig_run(g, 0, RIG_ROWS, true);
        for (size_t i = 0; i < g->f->outs.n; i++) {
            const struct type *t = type_at(g->f, g->f->outs.at[i]);
            same = same && !memcmp(got[i], rig_dense(g, g->f->outs.at[i]),
                                   type_bytes(t) * (t->rows ? RIG_ROWS : 1));
        }
    }
    g->code = NULL;
    for (size_t m = 0; m < COUNT(maps); m++) code_unmap(&maps[m]);
    return same;
}

// Compiles f, runs it for all rows and for each alone, and returns the largest difference
// from the evaluator; infinity when rows depend on one another, zeros are missing, or
// code made ahead of time does something else.
static inline double rig_check(struct rig *g, const char **why) {
    const void **args = NEW_N(g->arena, const void *, g->f->nodes.n + 1);
    size_t nargs = 0;
    *why = "code generation failed";
    rig_plan(g);
    if (!rig_compile(g)) return INFINITY;
    rig_buffers(g);
    for (nid v = 0; v < g->f->nodes.n; v++) {
        const struct type *t = type_at(g->f, v);
        if (node_at(g->f, v)->op != OP_INPUT) continue;
        size_t rows = t->rows ? RIG_ROWS : 1;
        char *dense = rig_random(g, t, rows);
        args[nargs++] = dense;
        for (size_t r = 0; r < rows; r++)
            rig_copy(g, v, g->data[v] + r * g->kf.places[v].layout.bytes,
                     dense + r * type_bytes(t), true);
    }
    void **want = NEW_N(g->arena, void *, g->f->outs.n);
    char **got = NEW_N(g->arena, char *, g->f->outs.n);
    for (size_t i = 0; i < g->f->outs.n; i++)
        want[i] = arena_alloc(
            g->arena, type_bytes(type_at(g->f, g->f->outs.at[i])) * RIG_ROWS + 1, 1);
    *why = "the evaluator failed";
    if (!eval_func(g->f, RIG_ROWS, args, want, NULL)) return INFINITY;
    rig_run(g, 0, RIG_ROWS, true);
    *why = "a border or a spare lane is not zero";
    for (nid v = 0; v < g->f->nodes.n; v++)
        for (size_t r = 0; g->data[v] && r < (type_at(g->f, v)->rows ? RIG_ROWS : 1u);
             r++)
            if (!rig_zeros(g, v, g->data[v] + r * g->kf.places[v].layout.bytes))
                return INFINITY;
    double worst = 0;
    for (size_t i = 0; i < g->f->outs.n; i++) {
        nid v = g->f->outs.at[i];
        got[i] = rig_dense(g, v);
        double d = rig_difference(type_at(g->f, v), type_at(g->f, v)->rows ? RIG_ROWS : 1,
                                  want[i], got[i]);
        if (!(d <= worst)) worst = d;
    }
    for (size_t r = 0; r < RIG_ROWS; r++) rig_run(g, r, 1, false);
    *why = "a row alone is not what it is among others";
    for (size_t i = 0; i < g->f->outs.n; i++) {
        const struct type *t = type_at(g->f, g->f->outs.at[i]);
        if (memcmp(got[i], rig_dense(g, g->f->outs.at[i]),
                   type_bytes(t) * (t->rows ? RIG_ROWS : 1)))
            return INFINITY;
    }
    *why = "code made ahead of time differs from code linked in memory";
    if (g->ahead && !rig_same_ahead(g, got)) return INFINITY;
    *why = "it differs from the evaluator";
    return worst;
}

// ---- many functions on many targets --------------------------------------------------

static const char *const RIG_TARGETS[] = {"native", "x86-64-v3", "x86-64", GUEST_TARGET};

static inline bool rig_is_guest(const char *target) {
    return strcmp(target, GUEST_TARGET) == 0;
}

// Can a target's code be run, here or by the guest?
static inline bool rig_runs(const char *target, const struct guest *guest) {
    if (rig_is_guest(target)) return guest != NULL;
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return strcmp(target, "x86-64-v3") != 0 || v3;
}

static inline bool rig_takes(uint64_t seed, size_t target, const struct guest *guest) {
    return effort_takes(seed, target, COUNT(RIG_TARGETS)) &&
           rig_runs(RIG_TARGETS[target], guest);
}

// Builds a function of random size; NID_NONE: these sizes do not go together.
typedef nid (*rig_build_fn)(struct builder *b, struct random *r);

static inline struct func *rig_build(struct arena *a, uint64_t seed, rig_build_fn fn) {
    struct random r = {seed};
    for (int tries = 0; tries < 100; tries++) {
        struct builder b;
        builder_init(&b, a, "f");
        nid out = fn(&b, &r);
        if (out == NID_NONE) continue;
        build_output(&b, "out", out);
        nid before = b.f->nodes.at[out].nin ? b.f->nodes.at[out].in[0] : NID_NONE;
        if (before != NID_NONE && random_below(&r, 4) == 0)
            build_output(&b, "before", before);
        return builder_finish(&b);
    }
    BUG("no sizes that go together");
}

// Whether the seed's function is what the evaluator says; prints what differs.
static inline bool rig_check_seed(const char *name, rig_build_fn fn, uint64_t seed,
                                  const char *target, struct guest *guest,
                                  double tolerance) {
    struct arena *a = arena_new();
    const char *why;
    struct rig g = rig_new(a, rig_build(a, seed, fn), target, seed);
    g.plain = seed % 3 == 0;
    if (rig_is_guest(target)) rig_set_guest(&g, guest);
    else g.ahead = seed % 4 == 1;
    double d = rig_check(&g, &why);
    if (!(d < tolerance)) {
        diags_print(&g.d, stderr, false);
        fprintf(stderr, "%s, seed %llu on %s: %s (%g)\n", name, (unsigned long long)seed,
                target, why, d);
    }
    rig_free(&g);
    arena_free(a);
    return d < tolerance;
}

// How many functions differ from the evaluator, here and on the other targets in turn.
static inline size_t rig_check_all(const char *name, rig_build_fn fn, uint64_t seeds,
                                   double tolerance) {
    size_t wrong = 0;
    struct guest *guest = guest_start();
    for (uint64_t seed = 1; seed <= effort(seeds); seed++)
        for (size_t t = 0; t < COUNT(RIG_TARGETS); t++)
            if (rig_takes(seed, t, guest))
                wrong +=
                    !rig_check_seed(name, fn, seed, RIG_TARGETS[t], guest, tolerance);
    guest_stop(guest);
    return wrong;
}

static inline nid rig_input(struct builder *b, const char *name, uint32_t rank,
                            const size_t *dim) {
    return b_input(b, name, type_tensor(ELEM_F32, true, rank, dim));
}

static inline nid rig_constant_of(struct builder *b, struct random *r, uint32_t rank,
                                  const size_t *dim) {
    struct type t = type_tensor(ELEM_F32, false, rank, dim);
    return b_const(b, t, random_data(r, b->arena, &t, 1));
}

#endif
