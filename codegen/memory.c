// Loads and stores of values that have a place, by layout.
//
// The position of an element is an index like any other: the same in all lanes (one load,
// spread), rising by one (a vector load), or anything else (a gather). A blocked tensor
// seen along its channels is contiguous when the channels start at a block, and two
// vectors shuffled together when they start at a known lane of one.
#include "codegen/emit.h"

// ---- views ---------------------------------------------------------------------------

static struct view view_at(struct emit *e, size_t buffer, nid n) {
    return (struct view){.row = e->row[buffer],
                         .type = type_at(e->f, n),
                         .layout = &e->kf->places[n].layout,
                         .constant = op_is_constant(node_at(e->f, n)->op)};
}

// A constant lies packed only for the anchor that wants it so; to others it is dense.
struct view view_in(struct emit *e, nid n) {
    static const struct layout DENSE = {.kind = LAYOUT_PLANAR};
    size_t buffer = kernel_buffer(e->k, n);
    CHECK(buffer != NO_BUFFER);
    struct view v = view_at(e, buffer, n);
    if (v.constant && !codegen_wants_packed(e->t, e->kf, e->k, n)) v.layout = &DENSE;
    return v;
}

struct view view_out(struct emit *e, size_t out) {
    return view_at(e, out, e->k->outs[out]);
}

struct view view_scratch(struct emit *e) {
    return (struct view){.row = e->base[e->k->nouts + e->k->nins],
                         .type = type_at(e->f, e->k->prologue),
                         .layout = &e->k->scratch_layout};
}

static bool is_blocked(const struct layout *l) {
    return l->kind == LAYOUT_BLOCKED;
}

size_t layout_pitch_x(const struct emit *e, const struct layout *l) {
    return is_blocked(l) ? e->lanes : 1;
}

size_t layout_pitch_y(const struct emit *e, const struct layout *l,
                      const struct type *t) {
    return (t->dim[2] + 2 * l->border) * layout_pitch_x(e, l);
}

size_t layout_plane(const struct emit *e, const struct layout *l, const struct type *t) {
    return (t->dim[1] + 2 * l->border) * layout_pitch_y(e, l, t);
}

// ---- positions -----------------------------------------------------------------------

// Where pixel (p.at[1], p.at[2]) lies in its plane.
static struct ix pixel(struct emit *e, const struct view *v, const struct point *p) {
    const struct layout *l = v->layout;
    int64_t pitch_x = (int64_t)layout_pitch_x(e, l);
    int64_t pitch_y = (int64_t)layout_pitch_y(e, l, v->type);
    int64_t border = (int64_t)l->border;
    struct ix at =
        ix_add(e, ix_scale(e, p->at[1], pitch_y), ix_scale(e, p->at[2], pitch_x));
    return ix_shift(e, at, border * (pitch_y + pitch_x));
}

static struct ix planar_position(struct emit *e, const struct view *v,
                                 const struct point *p) {
    if (v->layout->border == 0) return point_flat(e, p, v->type->dim);
    int64_t plane = (int64_t)layout_plane(e, v->layout, v->type);
    return ix_add(e, ix_scale(e, p->at[0], plane), pixel(e, v, p));
}

// A position of element (channel, pixel) that holds for any kind of channel index.
static struct ix blocked_position(struct emit *e, const struct view *v,
                                  const struct point *p) {
    int64_t plane = (int64_t)layout_plane(e, v->layout, v->type);
    int64_t lanes = (int64_t)e->lanes;
    struct ix block = ix_scale(e, ix_div(e, p->at[0], lanes), plane);
    struct ix lane = ix_mod(e, p->at[0], lanes);
    return ix_add(e, ix_add(e, block, lane), pixel(e, v, p));
}

static bool first_lane(const struct emit *e, const struct ix *c, int64_t *lane) {
    int64_t lanes = (int64_t)e->lanes;
    if (c->lanes || c->step != 1 || (c->mod != 0 && c->mod % lanes != 0)) return false;
    *lane = (c->rem % lanes + lanes) % lanes;
    return true;
}

// The position of whole blocks of channels from `channel` on, a multiple of the lanes;
// brought inside when the lanes that stick out are masked anyway.
static struct ix block_position(struct emit *e, const struct view *v,
                                const struct point *p, struct ix channel) {
    int64_t lanes = (int64_t)e->lanes;
    int64_t last = ((int64_t)v->type->dim[0] - 1) / lanes * lanes;
    struct ix c = channel;
    c.step = 0;
    if (c.lo < 0 || c.hi - lanes + 1 > last) {
        LLVMValueRef base = ll_max(e, ix_value(e, &channel), ll_i64(e, 0));
        c = ix_uniform(ll_min(e, base, ll_i64(e, last)), 0, last, 1, 0);
    }
    int64_t plane = (int64_t)layout_plane(e, v->layout, v->type);
    struct ix at = ix_add(e, ix_scale(e, c, plane / lanes), pixel(e, v, p));
    return ix_ramp(e, at);
}

// ---- loads ---------------------------------------------------------------------------

// Bytes, halves and keys: no gather instruction exists, and LLVM would branch in every
// lane.
static LLVMValueRef gather_singly(struct emit *e, LLVMTypeRef elem, LLVMValueRef base,
                                  LLVMValueRef at, LLVMValueRef mask, size_t align) {
    if (mask) at = LLVMBuildSelect(e->b, mask, at, ll_zero(LLVMTypeOf(at)), "");
    LLVMValueRef v = LLVMGetPoison(ll_vec(elem, e->lanes));
    for (size_t i = 0; i < e->lanes; i++) {
        LLVMValueRef from = ll_at(e, elem, base, ll_lane(e, at, i));
        LLVMValueRef one = ll_load(e, elem, from, align);
        v = LLVMBuildInsertElement(e->b, v, one, ll_i64(e, (int64_t)i), "");
    }
    return v;
}

static LLVMValueRef all_lanes(struct emit *e, LLVMValueRef mask) {
    return mask ? mask : LLVMConstAllOnes(ll_vec(e->i1, e->lanes));
}

static LLVMValueRef gather(struct emit *e, LLVMTypeRef elem, LLVMValueRef base,
                           LLVMValueRef at, LLVMValueRef mask, size_t align) {
    if (elem == e->i8 || elem == e->i16 || elem == e->i64)
        return gather_singly(e, elem, base, at, mask, align);
    LLVMTypeRef vec = ll_vec(elem, e->lanes), ptrs = ll_vec(e->ptr, e->lanes);
    LLVMValueRef from = ll_at(e, elem, base, at);
    LLVMValueRef args[] = {from, ll_i32(e, (int64_t)align), all_lanes(e, mask),
                           ll_zero(vec)};
    return ll_call(e, "llvm.masked.gather", (LLVMTypeRef[]){vec, ptrs}, 2, args, 4);
}

static LLVMValueRef load_masked(struct emit *e, LLVMTypeRef vec, LLVMValueRef at,
                                LLVMValueRef mask, size_t align) {
    LLVMValueRef args[] = {at, ll_i32(e, (int64_t)align), mask, ll_zero(vec)};
    return ll_call(e, "llvm.masked.load", (LLVMTypeRef[]){vec, e->ptr}, 2, args, 4);
}

static LLVMValueRef reverse(struct emit *e, LLVMValueRef v) {
    int lane[64];
    for (size_t i = 0; i < e->lanes; i++) lane[i] = (int)(e->lanes - 1 - i);
    return ll_shuffle(e, v, v, lane, e->lanes);
}

// Elements at position `at`; whole: vectors are aligned as blocks are.
static LLVMValueRef load_at(struct emit *e, const struct view *v, struct ix at,
                            LLVMValueRef mask, size_t lanes, bool whole) {
    LLVMTypeRef elem = ll_elem(e, v->type->elem), vec = ll_vec(elem, lanes);
    size_t align = elem_size(v->type->elem);
    if (at.lanes) return gather(e, elem, v->row, at.lanes, mask, align);
    LLVMValueRef from = ll_at_ix(e, elem, v->row, at);
    if (at.step == 0) return ll_splat(e, ll_load(e, elem, from, align), lanes);
    if (at.step == 1 && mask) return load_masked(e, vec, from, mask, align);
    if (at.step == 1) return ll_load(e, vec, from, whole ? align * lanes : align);
    if (at.step == -1 && !mask) {
        from = ll_at_const(e, elem, from, 1 - (int64_t)lanes);
        return reverse(e, ll_load(e, vec, from, align));
    }
    LLVMValueRef way = LLVMBuildMul(e->b, ll_iota(e), ll_isplat(e, at.step, lanes), "");
    return gather(e, elem, from, way, mask, align);
}

// Channels from lane `first` of one block to the lane before it of the next.
static LLVMValueRef load_straddling(struct emit *e, const struct view *v,
                                    const struct point *p, int64_t first) {
    struct ix low = ix_shift(e, p->at[0], -first);
    struct ix high = ix_shift(e, low, (int64_t)e->lanes);
    int lane[64];
    for (size_t i = 0; i < e->lanes; i++) lane[i] = (int)first + (int)i;
    LLVMValueRef a = load_at(e, v, block_position(e, v, p, low), NULL, p->lanes, true);
    LLVMValueRef b = load_at(e, v, block_position(e, v, p, high), NULL, p->lanes, true);
    return ll_shuffle(e, a, b, lane, e->lanes);
}

static LLVMValueRef load_blocked(struct emit *e, const struct view *v,
                                 const struct point *p) {
    int64_t first;
    bool still = ix_is_uniform(&p->at[1]) && ix_is_uniform(&p->at[2]);
    if (!still || !first_lane(e, &p->at[0], &first))
        return load_at(e, v, blocked_position(e, v, p), p->mask, p->lanes, false);
    if (first != 0) return load_straddling(e, v, p, first);
    return load_at(e, v, block_position(e, v, p, p->at[0]), NULL, p->lanes, true);
}

LLVMValueRef emit_load(struct emit *e, const struct view *v, const struct point *p) {
    CHECK(v->layout->kind != LAYOUT_WEIGHT);
    if (is_blocked(v->layout)) return load_blocked(e, v, p);
    return load_at(e, v, planar_position(e, v, p), p->mask, p->lanes, false);
}

// ---- stores --------------------------------------------------------------------------

static void scatter(struct emit *e, LLVMTypeRef elem, LLVMValueRef base, LLVMValueRef at,
                    LLVMValueRef mask, LLVMValueRef value, size_t align) {
    LLVMTypeRef types[] = {LLVMTypeOf(value), ll_vec(e->ptr, e->lanes)};
    LLVMValueRef args[] = {value, ll_at(e, elem, base, at), ll_i32(e, (int64_t)align),
                           all_lanes(e, mask)};
    ll_call(e, "llvm.masked.scatter", types, 2, args, 4);
}

static void store_masked(struct emit *e, LLVMValueRef at, LLVMValueRef mask,
                         LLVMValueRef value, size_t align) {
    LLVMTypeRef types[] = {LLVMTypeOf(value), e->ptr};
    LLVMValueRef args[] = {value, at, ll_i32(e, (int64_t)align), mask};
    ll_call(e, "llvm.masked.store", types, 2, args, 4);
}

static void store_at(struct emit *e, const struct view *v, struct ix at,
                     LLVMValueRef mask, size_t lanes, LLVMValueRef value, bool whole) {
    LLVMTypeRef elem = ll_elem(e, v->type->elem);
    size_t align = elem_size(v->type->elem);
    if (at.lanes) {
        scatter(e, elem, v->row, at.lanes, mask, value, align);
        return;
    }
    LLVMValueRef to = ll_at_ix(e, elem, v->row, at);
    CHECK(lanes == 1 || at.step != 0);
    if (lanes == 1 || (at.step == 1 && !mask)) {
        ll_store(e, value, to, whole ? align * lanes : align);
    } else if (at.step == 1) {
        store_masked(e, to, mask, value, align);
    } else {
        LLVMValueRef way =
            LLVMBuildMul(e->b, ll_iota(e), ll_isplat(e, at.step, lanes), "");
        scatter(e, elem, to, way, mask, value, align);
    }
}

// Lanes past the last channel are stored too, as zero. Vectors along a line of one
// channel are scattered: of nothing but a product of matrices that a convolution reads.
static void store_blocked(struct emit *e, const struct view *v, const struct point *p,
                          LLVMValueRef value) {
    int64_t first;
    if (p->lanes == 1 || ix_is_uniform(&p->at[0])) {
        store_at(e, v, blocked_position(e, v, p), p->mask, p->lanes, value, false);
        return;
    }
    CHECK(first_lane(e, &p->at[0], &first) && first == 0);
    if (p->mask)
        value = LLVMBuildSelect(e->b, p->mask, value, ll_zero(LLVMTypeOf(value)), "");
    store_at(e, v, block_position(e, v, p, p->at[0]), NULL, p->lanes, value, true);
}

void emit_store(struct emit *e, const struct view *v, const struct point *p,
                LLVMValueRef value) {
    CHECK(v->layout->kind != LAYOUT_WEIGHT);
    if (is_blocked(v->layout)) store_blocked(e, v, p, value);
    else store_at(e, v, planar_position(e, v, p), p->mask, p->lanes, value, false);
}

void emit_ask(struct emit *e, const struct view *v, const struct point *p, bool write) {
    CHECK(is_blocked(v->layout));
    struct ix at = block_position(e, v, p, p->at[0]);
    ll_prefetch(e, ll_at_ix(e, ll_elem(e, v->type->elem), v->row, at), write);
}

// ---- zeros ---------------------------------------------------------------------------

// `n` vectors of zero from element `at` on.
static void zero_run(struct emit *e, enum elem elem, LLVMValueRef at, size_t n) {
    LLVMTypeRef vec = ll_vec(ll_elem(e, elem), e->lanes);
    struct ix i;
    if (n == 0) return;
    struct loop l = loop_over(e, 0, (int64_t)n, 1, NULL, 0, &i);
    ll_store(e, ll_zero(vec), ll_at(e, vec, at, l.i), elem_size(elem) * e->lanes);
    loop_end(e, &l, NULL);
}

static void zero_sides(struct emit *e, const struct view *v, LLVMValueRef plane) {
    size_t border = v->layout->border, width = v->type->dim[2];
    size_t pitch = layout_pitch_y(e, v->layout, v->type);
    enum elem elem = v->type->elem;
    LLVMTypeRef type = ll_elem(e, elem);
    struct ix y;
    struct loop l = loop_over(e, (int64_t)border, (int64_t)(border + v->type->dim[1]), 1,
                              NULL, 0, &y);
    LLVMValueRef line = ll_at_ix(e, type, plane, ix_scale(e, y, (int64_t)pitch));
    zero_run(e, elem, line, border);
    zero_run(e, elem, ll_at_const(e, type, line, (int64_t)((border + width) * e->lanes)),
             border);
    loop_end(e, &l, NULL);
}

void emit_zero_border(struct emit *e, const struct view *v) {
    const struct layout *lay = v->layout;
    if (!is_blocked(lay) || lay->border == 0 || type_count(v->type) == 0) return;
    size_t blocks = (v->type->dim[0] + e->lanes - 1) / e->lanes;
    size_t plane = layout_plane(e, lay, v->type);
    size_t edge = lay->border * (v->type->dim[2] + 2 * lay->border); // vectors
    enum elem elem = v->type->elem;
    LLVMTypeRef type = ll_elem(e, elem);
    struct ix c;
    struct loop l = loop_over(e, 0, (int64_t)blocks, 1, NULL, 0, &c);
    LLVMValueRef at = ll_at_ix(e, type, v->row, ix_scale(e, c, (int64_t)plane));
    LLVMValueRef end = ll_at_const(e, type, at, (int64_t)(plane - edge * e->lanes));
    zero_run(e, elem, at, edge);
    zero_run(e, elem, end, edge);
    zero_sides(e, v, at);
    loop_end(e, &l, NULL);
}

void emit_zero_row(struct emit *e, const struct view *v) {
    CHECK(v->layout->bytes % (4 * e->lanes) == 0);
    zero_run(e, ELEM_F32, v->row, v->layout->bytes / (4 * e->lanes));
}

// ---- constant tables -----------------------------------------------------------------

// Followed by as many zeros as lanes, so that a vector may be read from any entry.
static LLVMValueRef table_global(struct emit *e, const int64_t *v, size_t n) {
    for (size_t i = 0; i < e->tables.n; i++)
        if (e->tables.at[i].v == v) return e->tables.at[i].global;
    size_t all = n + e->lanes;
    LLVMValueRef *each = NEW_N(e->arena, LLVMValueRef, all);
    for (size_t i = 0; i < all; i++) each[i] = ll_i32(e, i < n ? v[i] : 0);
    char *name = arena_printf(e->arena, "table%zu", e->tables.n);
    LLVMTypeRef type = LLVMArrayType2(e->i32, all);
    LLVMValueRef g = LLVMAddGlobal(e->module, type, name);
    LLVMSetInitializer(g, LLVMConstArray2(e->i32, each, all));
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    LLVMSetAlignment(g, 64);
    VEC_PUSH(e->arena, &e->tables, (struct table){v, g});
    return g;
}

struct ix emit_table(struct emit *e, const int64_t *v, size_t n, const struct ix *i,
                     LLVMValueRef mask) {
    LLVMValueRef g = table_global(e, v, n);
    int64_t lo = INT64_MAX, hi = INT64_MIN;
    for (size_t k = 0; k < n; k++) {
        if (v[k] < lo) lo = v[k];
        if (v[k] > hi) hi = v[k];
    }
    if (ix_is_uniform(i)) {
        LLVMValueRef one = ll_load(e, e->i32, ll_at_ix(e, e->i32, g, *i), 4);
        return ix_uniform(LLVMBuildSExt(e->b, one, e->i64, ""), lo, hi, 1, 0);
    }
    LLVMTypeRef vec = ll_vec(e->i32, e->lanes);
    LLVMValueRef all;
    bool whole = i->lo >= 0 && i->hi < (int64_t)(n + e->lanes);
    if (!i->lanes && i->step == 1 && whole)
        all = ll_load(e, vec, ll_at_ix(e, e->i32, g, *i), 4);
    else all = gather(e, e->i32, g, ix_lanes(e, i), mask, 4);
    return (struct ix){
        .lanes = all, .lo = lo < 0 ? lo : 0, .hi = hi > 0 ? hi : 0, .mod = 1};
}
