// Matrix products, one or a stack of them, vectors along the columns of the result.
//
// A tile of sums is some rows times a group of columns (see matmul_plan.h); a loop over
// the inner size spreads one word of x (words.h) a row. Groups are the outer loop: what a
// group needs of y stays in cache while all rows of x pass. When x has a single row, the
// rows of a tile come from several rows of the batch, so that a large constant y is read
// once for all of them. Where a group of it is more than stays in cache, all groups go
// through a part of the inner size before the next, and the sums so far wait in the
// result's place. Each result is the same sum in the same order whichever way it is
// computed.
#include "codegen/emit.h"
#include "codegen/matmul_plan.h"

#define MAX_SUMS (MATMUL_MAX_BLOCKS * MATMUL_MAX_ROWS)

struct matmul {
    struct emit *e;
    const struct node *n;
    struct matmul_plan plan;
    bool packed, far;            // far: more than a cache near by holds
    struct ix at[TYPE_MAX_RANK]; // the matrix at hand: its place along the leading axes
    LLVMValueRef y;              // packed: its words
    LLVMTypeRef vec;             // of a vector's worth of words
};

struct matmul_at {  // one tile
    struct ix col;  // first column
    struct ix from; // words of the inner size: `depth` of them from here on
    size_t depth;
    size_t blocks, rows;
    struct view x[MATMUL_MAX_ROWS]; // by row of the tile
    struct ix row[MATMUL_MAX_ROWS]; // its row of x
};

// Element (i, j) of the matrix at hand.
static struct point element(const struct matmul *mm, struct ix i, struct ix j,
                            size_t lanes) {
    uint32_t lead = mm->plan.lead;
    struct point p = {.rank = lead + 2, .lanes = lanes};
    memcpy(p.at, mm->at, lead * sizeof *p.at);
    p.at[lead] = i;
    p.at[lead + 1] = j;
    return p;
}

// Columns of a block, those past the last one masked, as an index and a point's mask.
static struct ix columns(struct matmul *mm, const struct matmul_at *t, size_t block,
                         LLVMValueRef *mask) {
    struct emit *e = mm->e;
    struct ix col = ix_shift(e, t->col, (int64_t)(block * e->lanes));
    struct point p = channel_point(e, col, mm->plan.n, 1);
    *mask = p.mask;
    return p.at[0];
}

static LLVMValueRef load_packed(struct matmul *mm, const struct matmul_at *t, struct ix k,
                                size_t block) {
    struct emit *e = mm->e;
    // Groups before this one, then k lines of this group.
    struct ix at = ix_scale(e, t->col, (int64_t)mm->plan.words);
    at = ix_add(e, at, ix_scale(e, k, (int64_t)(t->blocks * e->lanes)));
    at = ix_shift(e, at, (int64_t)(block * e->lanes));
    return ll_load(e, mm->vec, ll_at_ix(e, e->f32, mm->y, at), 4 * e->lanes);
}

static LLVMValueRef load_y(struct matmul *mm, const struct matmul_at *t, struct ix k,
                           size_t block) {
    struct emit *e = mm->e;
    if (mm->packed) return load_packed(mm, t, k, block);
    struct view y = view_in(e, mm->n->in[1]);
    LLVMValueRef mask;
    struct ix col = columns(mm, t, block, &mask);
    struct point p =
        mm->plan.ty ? element(mm, col, k, e->lanes) : element(mm, k, col, e->lanes);
    p.mask = mask;
    return emit_load(e, &y, &p);
}

static LLVMValueRef load_element(struct matmul *mm, const struct matmul_at *t,
                                 struct ix k, size_t row) {
    struct ix i = t->row[row];
    struct point p = mm->plan.tx ? element(mm, k, i, 1) : element(mm, i, k, 1);
    return emit_load(mm->e, &t->x[row], &p);
}

// Both elements of a pair, where they do not lie together as a word.
static LLVMValueRef load_apart(struct matmul *mm, const struct matmul_at *t, struct ix k,
                               size_t row) {
    struct emit *e = mm->e;
    struct ix second = ix_shift(e, k, 1);
    struct inside in = {0};
    struct point p = {.rank = 1, .lanes = 1, .at = {second}};
    clip(e, &p, 0, (int64_t)mm->plan.k, &in);
    LLVMValueRef half[2] = {load_element(mm, t, k, row)};
    half[1] = load_element(mm, t, p.at[0], row);
    half[1] = choose(e, &in, half[1], ll_zero(LLVMTypeOf(half[1])), 1);
    for (int i = 0; i < 2; i++) half[i] = LLVMBuildZExt(e->b, half[i], e->i32, "");
    half[1] = LLVMBuildShl(e->b, half[1], ll_i32(e, 16), "");
    return LLVMBuildOr(e->b, half[0], half[1], "");
}

// Row-major x of an even inner size is a matrix of words.
static bool lies_in_words(const struct matmul *mm, const struct matmul_at *t) {
    const struct matmul_plan *p = &mm->plan;
    return !p->tx && p->k % p->step == 0 && t->x[0].layout->kind == LAYOUT_PLANAR;
}

static LLVMValueRef load_pair(struct matmul *mm, const struct matmul_at *t, struct ix k,
                              size_t row) {
    struct emit *e = mm->e;
    if (!lies_in_words(mm, t)) return load_apart(mm, t, ix_scale(e, k, 2), row);
    struct view x = t->x[row];
    struct type words = *x.type;
    words.elem = ELEM_I32;
    words.dim[words.rank - 1] = mm->plan.words;
    x.type = &words;
    struct point p = element(mm, t->row[row], k, 1);
    return emit_load(e, &x, &p);
}

// The word of x in every lane.
static LLVMValueRef load_x(struct matmul *mm, const struct matmul_at *t, struct ix k,
                           size_t row) {
    struct emit *e = mm->e;
    LLVMValueRef word =
        mm->plan.step == 2 ? load_pair(mm, t, k, row) : load_element(mm, t, k, row);
    return LLVMBuildBitCast(e->b, ll_splat(e, word, e->lanes), mm->vec, "");
}

static LLVMValueRef multiply(struct matmul *mm, LLVMValueRef x, LLVMValueRef y,
                             LLVMValueRef sum) {
    return mm->plan.step == 2 ? ll_mul_add_pairs(mm->e, x, y, sum)
                              : ll_mul_add(mm->e, x, y, sum);
}

// A constant that no cache near by holds is asked for while the rows of x go through the
// group in front, some of it in each round: else the first tile of each group would wait.
static void fetch_ahead(struct matmul *mm, const struct matmul_at *t, struct ix k) {
    struct emit *e = mm->e;
    int64_t rows = (int64_t)t->rows, tiles = (int64_t)mm->plan.m / rows;
    int64_t line = (int64_t)(t->blocks * e->lanes), depth = (int64_t)mm->plan.words;
    if (!mm->far || tiles < 2) return;
    int64_t step = (line + tiles - 1) / tiles;
    struct ix at = ix_scale(e, t->col, depth), tile = ix_div(e, t->row[0], rows);
    at = ix_add(e, at, ix_scale(e, ix_add(e, ix_scale(e, tile, depth), k), step));
    ll_fetch(e, ll_at_ix(e, e->f32, mm->y, ix_shift(e, at, line * depth)));
}

// Adds the products of the inner words at hand.
static void add_products(struct matmul *mm, const struct matmul_at *t,
                         LLVMValueRef *sums) {
    struct emit *e = mm->e;
    size_t n = t->rows * t->blocks;
    struct ix i;
    if (t->depth == 0) return;
    struct loop l = loop_over(e, 0, (int64_t)t->depth, 1, sums, n, &i);
    struct ix k = ix_add(e, t->from, i);
    LLVMValueRef y[MATMUL_MAX_BLOCKS];
    fetch_ahead(mm, t, k);
    for (size_t b = 0; b < t->blocks; b++) y[b] = load_y(mm, t, k, b);
    for (size_t r = 0; r < t->rows; r++) {
        LLVMValueRef x = load_x(mm, t, k, r);
        for (size_t b = 0; b < t->blocks; b++)
            l.carried[r * t->blocks + b] =
                multiply(mm, x, y[b], l.carried[r * t->blocks + b]);
    }
    loop_end(e, &l, l.carried);
    memcpy(sums, l.carried, n * sizeof *sums);
}

static void sum_products(struct matmul *mm, struct matmul_at *t, LLVMValueRef *sums) {
    struct emit *e = mm->e;
    for (size_t i = 0; i < t->rows * t->blocks; i++)
        sums[i] = ll_zero(ll_vec(e->f32, e->lanes));
    t->from = ix_const(e, 0);
    t->depth = mm->plan.words;
    add_products(mm, t, sums);
}

static void row_points(struct matmul *mm, const struct matmul_at *t, size_t row,
                       struct point *p) {
    struct emit *e = mm->e;
    for (size_t b = 0; b < t->blocks; b++) {
        LLVMValueRef mask;
        struct ix col = columns(mm, t, b, &mask);
        p[b] = element(mm, t->row[row], col, e->lanes);
        p[b].mask = mask;
    }
}

static void store_row(struct matmul *mm, const struct matmul_at *t, size_t row,
                      const LLVMValueRef *sums) {
    struct point p[MATMUL_MAX_BLOCKS];
    row_points(mm, t, row, p);
    emit_results(mm->e, p, sums + row * t->blocks, t->blocks);
}

// Goes over the columns group by group, the last one perhaps narrower; `rows` makes all
// results of a group.
static void over_columns(struct matmul *mm, struct matmul_at *t,
                         void (*rows)(struct matmul *, struct matmul_at *)) {
    struct emit *e = mm->e;
    size_t all = (mm->plan.n + e->lanes - 1) / e->lanes, blocks = mm->plan.blocks;
    size_t whole = all / blocks * blocks;
    size_t bound[] = {0, whole, all}, width[] = {blocks, all - whole};
    for (int part = 0; part < 2; part++) {
        if (bound[part] == bound[part + 1]) continue;
        t->blocks = width[part];
        struct loop l = loop_over(e, (int64_t)(bound[part] * e->lanes),
                                  (int64_t)(bound[part + 1] * e->lanes),
                                  (int64_t)(t->blocks * e->lanes), NULL, 0, &t->col);
        rows(mm, t);
        loop_end(e, &l, NULL);
    }
}

// ---- rows of one matrix --------------------------------------------------------------

// Rows [from, to) of x, `rows` at a time.
static void rows_between(struct matmul *mm, struct matmul_at *t, size_t from, size_t to,
                         size_t rows) {
    struct emit *e = mm->e;
    LLVMValueRef sums[MAX_SUMS];
    struct ix first;
    if (from == to) return;
    t->rows = rows;
    struct loop l =
        loop_over(e, (int64_t)from, (int64_t)to, (int64_t)rows, NULL, 0, &first);
    for (size_t r = 0; r < rows; r++) {
        t->x[r] = anchor_operand(e);
        t->row[r] = ix_shift(e, first, (int64_t)r);
    }
    sum_products(mm, t, sums);
    for (size_t r = 0; r < rows; r++) store_row(mm, t, r, sums);
    loop_end(e, &l, NULL);
}

static void matrix_rows(struct matmul *mm, struct matmul_at *t) {
    size_t m = mm->plan.m, rows = size_min(matmul_rows(&mm->plan, t->blocks), m);
    size_t whole = m / rows * rows;
    rows_between(mm, t, 0, whole, rows);
    rows_between(mm, t, whole, m, m - whole);
}

// Where the packed matrix at hand begins.
static void find_packed(struct matmul *mm) {
    struct emit *e = mm->e;
    struct point p = {.rank = mm->plan.lead, .lanes = 1};
    memcpy(p.at, mm->at, p.rank * sizeof *p.at);
    struct ix matrix = point_flat(e, &p, mm->n->type.dim);
    matrix = ix_scale(e, matrix, (int64_t)matmul_matrix_words(&mm->plan));
    mm->y = ll_at_ix(e, e->f32, view_in(e, mm->n->in[1]).row, matrix);
}

static void each_matrix(struct matmul *mm) {
    struct emit *e = mm->e;
    struct loop l[TYPE_MAX_RANK];
    struct matmul_at t = {0};
    uint32_t lead = mm->plan.lead;
    for (uint32_t i = 0; i < lead; i++)
        l[i] = loop_over(e, 0, (int64_t)mm->n->type.dim[i], 1, NULL, 0, &mm->at[i]);
    if (mm->packed) find_packed(mm);
    over_columns(mm, &t, matrix_rows);
    for (uint32_t i = lead; i-- > 0;) loop_end(e, &l[i], NULL);
}

// Results may be stored block by block, as feature maps are: their border and the lanes
// past the last channel are zeros.
static void clear_blocked(struct emit *e) {
    for (size_t i = 0; i < e->k->nouts; i++) {
        struct view to = view_out(e, i);
        if (to.layout->kind == LAYOUT_BLOCKED) emit_zero_row(e, &to);
    }
}

static void each_row(struct matmul *mm) {
    struct emit *e = mm->e;
    const struct kernel *k = e->k;
    bool rows = type_at(e->f, k->outs[0])->rows;
    LLVMValueRef n = rows ? LLVMGetParam(e->fn, 1) : ll_i64(e, 1);
    struct loop l = loop_begin(e, ll_i64(e, 0), n, 1, NULL, 0);
    emit_row(e, l.i);
    clear_blocked(e);
    if (k->prologue != NID_NONE) {
        struct view scratch = view_scratch(e);
        emit_fill(e, &k->prologue, &scratch, 1);
    }
    emit_hoisted(e, k->outs, k->nouts);
    each_matrix(mm);
    loop_end(e, &l, NULL);
}

// ---- single rows of a batch ----------------------------------------------------------

struct batch {
    struct matmul mm;   // first: over_columns hands it on
    LLVMValueRef first; // row of the batch
    // Makes something of a tile, of `first` and the rows behind it.
    void (*tile)(struct batch *, struct matmul_at *);
};

// What belongs to one row is found again for each: nothing of it may be remembered. Rows
// past the last one are the last one again, which then is made, alike, several times.
static void begin_row(struct batch *batch, size_t row) {
    struct emit *e = batch->mm.e;
    LLVMValueRef last = LLVMBuildSub(e->b, LLVMGetParam(e->fn, 1), ll_i64(e, 1), "");
    LLVMValueRef at = LLVMBuildAdd(e->b, batch->first, ll_i64(e, (int64_t)row), "");
    emit_row(e, ll_min(e, at, last));
}

static void store_sums(struct batch *batch, struct matmul_at *t,
                       const LLVMValueRef *sums) {
    struct emit *e = batch->mm.e;
    for (size_t r = 0; r < t->rows; r++) {
        size_t mark = memo_mark(e);
        begin_row(batch, r);
        emit_hoisted(e, e->k->outs, e->k->nouts);
        store_row(&batch->mm, t, r, sums);
        memo_release(e, mark);
    }
}

static void whole_tile(struct batch *batch, struct matmul_at *t) {
    LLVMValueRef sums[MAX_SUMS];
    sum_products(&batch->mm, t, sums);
    store_sums(batch, t, sums);
}

// Rows [from, to) of the batch, `rows` at a time, if there are any.
static void batch_between(struct batch *batch, struct matmul_at *t, LLVMValueRef from,
                          LLVMValueRef to, size_t rows) {
    struct emit *e = batch->mm.e;
    LLVMValueRef any = LLVMBuildICmp(e->b, LLVMIntSLT, from, to, "");
    LLVMBasicBlockRef after = if_begin(e, any);
    struct loop l = loop_begin(e, from, to, (int64_t)rows, NULL, 0);
    batch->first = l.i;
    t->rows = rows;
    for (size_t r = 0; r < rows; r++) {
        begin_row(batch, r);
        t->x[r] = anchor_operand(e);
        t->row[r] = ix_const(e, 0);
    }
    batch->tile(batch, t);
    loop_end(e, &l, NULL);
    if_end(e, after);
}

// As many rows at a time as there are sums for, until the rest fits a smaller tile.
static void batch_rows(struct matmul *mm, struct matmul_at *t) {
    struct emit *e = mm->e;
    size_t most = matmul_rows(&mm->plan, t->blocks);
    size_t sizes[] = {most, (2 * most + 2) / 3, (most + 2) / 3, 0};
    LLVMValueRef n = LLVMGetParam(e->fn, 1), from = ll_i64(e, 0);
    for (size_t i = 0; sizes[i]; i++) {
        int64_t size = (int64_t)sizes[i], smaller = (int64_t)sizes[i + 1];
        if (size == smaller) continue;
        LLVMValueRef left = LLVMBuildSub(e->b, n, from, "");
        left = LLVMBuildAdd(e->b, left, ll_i64(e, size - 1 - smaller), "");
        LLVMValueRef rest = LLVMBuildSRem(e->b, left, ll_i64(e, size), "");
        LLVMValueRef to =
            LLVMBuildAdd(e->b, from, LLVMBuildSub(e->b, left, rest, ""), "");
        batch_between((struct batch *)mm, t, from, to, sizes[i]);
        from = to;
    }
}

// ---- part by part --------------------------------------------------------------------

// A result of f32: sums may wait where it goes. nouts: there is none.
static size_t waiting_place(const struct emit *e) {
    size_t i = 0;
    while (i < e->k->nouts && type_at(e->f, e->k->outs[i])->elem != ELEM_F32) i++;
    return i;
}

static void part_tile(struct batch *batch, struct matmul_at *t) {
    struct emit *e = batch->mm.e;
    LLVMValueRef sums[MAX_SUMS];
    struct point p[MATMUL_MAX_BLOCKS];
    struct view to[MATMUL_MAX_ROWS];
    for (size_t r = 0; r < t->rows; r++) {
        begin_row(batch, r);
        to[r] = view_out(e, waiting_place(e));
        row_points(&batch->mm, t, r, p);
        for (size_t b = 0; b < t->blocks; b++)
            sums[r * t->blocks + b] = emit_load(e, &to[r], &p[b]);
    }
    add_products(&batch->mm, t, sums);
    for (size_t r = 0; r < t->rows; r++) {
        row_points(&batch->mm, t, r, p);
        for (size_t b = 0; b < t->blocks; b++)
            emit_store(e, &to[r], &p[b], sums[r * t->blocks + b]);
    }
}

static void finish_tile(struct batch *batch, struct matmul_at *t) {
    struct emit *e = batch->mm.e;
    LLVMValueRef sums[MATMUL_MAX_BLOCKS];
    struct point p[MATMUL_MAX_BLOCKS];
    struct view to = view_out(e, waiting_place(e));
    row_points(&batch->mm, t, 0, p);
    for (size_t b = 0; b < t->blocks; b++) sums[b] = emit_load(e, &to, &p[b]);
    store_sums(batch, t, sums);
}

static void clear_tile(struct batch *batch, struct matmul_at *t) {
    struct emit *e = batch->mm.e;
    struct point p[MATMUL_MAX_BLOCKS];
    struct view to = view_out(e, waiting_place(e));
    row_points(&batch->mm, t, 0, p);
    for (size_t b = 0; b < t->blocks; b++)
        emit_store(e, &to, &p[b], ll_zero(ll_vec(e->f32, e->lanes)));
}

// One row after the other.
static void batch_singly(struct matmul *mm, struct matmul_at *t) {
    LLVMValueRef n = LLVMGetParam(mm->e->fn, 1);
    batch_between((struct batch *)mm, t, ll_i64(mm->e, 0), n, 1);
}

// Inner words [from, to), `depth` at a time.
static void parts_between(struct batch *batch, struct matmul_at *t, size_t from,
                          size_t to, size_t depth) {
    struct emit *e = batch->mm.e;
    if (from == to) return;
    t->depth = depth;
    struct loop l =
        loop_over(e, (int64_t)from, (int64_t)to, (int64_t)depth, NULL, 0, &t->from);
    over_columns(&batch->mm, t, batch_rows);
    loop_end(e, &l, NULL);
}

static void emit_parts(struct batch *batch, struct matmul_at *t) {
    size_t k = batch->mm.plan.words, depth = batch->mm.plan.depth;
    size_t whole = k / depth * depth;
    batch->tile = clear_tile;
    over_columns(&batch->mm, t, batch_singly);
    batch->tile = part_tile;
    parts_between(batch, t, 0, whole, depth);
    parts_between(batch, t, whole, k, k - whole);
    batch->tile = finish_tile;
    over_columns(&batch->mm, t, batch_singly);
}

static void emit_batch(const struct matmul *mm) {
    struct batch batch = {.mm = *mm, .tile = whole_tile};
    struct matmul_at t = {0};
    emit_row(mm->e, ll_i64(mm->e, 0)); // for the constants
    find_packed(&batch.mm);
    bool waits = waiting_place(mm->e) < mm->e->k->nouts;
    if (mm->plan.depth < mm->plan.words && waits) emit_parts(&batch, &t);
    else over_columns(&batch.mm, &t, batch_rows);
}

void emit_matmul(struct emit *e) {
    const struct node *n = node_at(e->f, e->k->anchor);
    const struct type *x = type_at(e->f, n->in[0]);
    struct matmul mm = {.e = e, .n = n, .plan = matmul_plan_of(e->t, e->f, e->k)};
    mm.packed = codegen_wants_packed(e->t, e->kf, e->k, n->in[1]);
    mm.vec = ll_words(e, mm.plan.step);
    mm.far = mm.packed && matmul_matrix_words(&mm.plan) * sizeof(float) > e->t->l2 / 2;
    if (type_count(&n->type) == 0) return;
    bool planar = e->k->prologue == NID_NONE && mm.plan.lead == 0;
    if (mm.plan.m == 1 && x->rows && mm.packed && planar) emit_batch(&mm);
    else each_row(&mm);
}
