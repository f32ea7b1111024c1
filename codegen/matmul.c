// Matrix products, vectors along the columns of the result.
//
// A tile of sums is some rows times some blocks of columns; a loop over the inner size
// spreads one element of x a row. When x has a single row, the rows of a tile come from
// several rows of the batch, so that a large constant y is read once for all of them;
// each result is the same sum in the same order whichever way it is computed.
#include "codegen/conv_plan.h"
#include "codegen/emit.h"

#define TILE_SUMS 16

struct matmul {
    struct emit *e;
    const struct node *n;
    bool tx, ty, packed;
    size_t m, k, cols; // x is m by k, the result m by cols
    size_t blocks;     // of columns in a tile
    size_t rows;       // in a tile
};

struct matmul_at { // one tile
    struct ix col; // first column
    size_t blocks, rows;
    struct view x[TILE_SUMS]; // by row of the tile
    struct ix row[TILE_SUMS]; // its row of x
};

static LLVMValueRef load_y(struct matmul *mm, const struct matmul_at *t, struct ix k,
                           size_t block) {
    struct emit *e = mm->e;
    struct view y = view_in(e, mm->n->in[1]);
    struct ix col = ix_shift(e, t->col, (int64_t)(block * e->lanes));
    if (mm->packed) {
        // Groups before this one, then k lines of this group.
        struct ix at = ix_scale(e, t->col, (int64_t)mm->k);
        at = ix_add(e, at, ix_scale(e, k, (int64_t)(t->blocks * e->lanes)));
        at = ix_shift(e, at, (int64_t)(block * e->lanes));
        return ll_load(e, ll_vec(e->f32, e->lanes), ll_at_ix(e, e->f32, y.row, at),
                       4 * e->lanes);
    }
    struct point p = channel_point(e, col, mm->cols, 2);
    p.at[1] = p.at[0];
    p.at[0] = k;
    if (mm->ty) {
        p.at[0] = p.at[1];
        p.at[1] = k;
    }
    return emit_load(e, &y, &p);
}

static LLVMValueRef load_x(struct matmul *mm, const struct matmul_at *t, struct ix k,
                           size_t row) {
    struct emit *e = mm->e;
    struct point p = {.rank = 2, .lanes = 1, .at = {t->row[row], k}};
    if (mm->tx) {
        p.at[0] = k;
        p.at[1] = t->row[row];
    }
    return ll_splat(e, emit_load(e, &t->x[row], &p), e->lanes);
}

static void sum_products(struct matmul *mm, const struct matmul_at *t,
                         LLVMValueRef *sums) {
    struct emit *e = mm->e;
    size_t n = t->rows * t->blocks;
    struct ix k;
    for (size_t i = 0; i < n; i++) sums[i] = ll_zero(ll_vec(e->f32, e->lanes));
    if (mm->k == 0) return;
    struct loop l = loop_over(e, 0, (int64_t)mm->k, 1, sums, n, &k);
    LLVMValueRef y[8];
    CHECK(t->blocks <= COUNT(y));
    for (size_t b = 0; b < t->blocks; b++) y[b] = load_y(mm, t, k, b);
    for (size_t r = 0; r < t->rows; r++) {
        LLVMValueRef x = load_x(mm, t, k, r);
        for (size_t b = 0; b < t->blocks; b++)
            l.carried[r * t->blocks + b] =
                ll_mul_add(e, x, y[b], l.carried[r * t->blocks + b]);
    }
    loop_end(e, &l, l.carried);
    memcpy(sums, l.carried, n * sizeof *sums);
}

static void store_row(struct matmul *mm, const struct matmul_at *t, size_t row,
                      const LLVMValueRef *sums) {
    struct emit *e = mm->e;
    struct point p[8];
    for (size_t b = 0; b < t->blocks; b++) {
        struct ix col = ix_shift(e, t->col, (int64_t)(b * e->lanes));
        p[b] = channel_point(e, col, mm->cols, 2);
        p[b].at[1] = p[b].at[0];
        p[b].at[0] = t->row[row];
    }
    emit_results(e, p, sums + row * t->blocks, t->blocks);
}

// Column blocks [from, to), `blocks` at a time; calls tile with each.
static void over_columns(struct matmul *mm, struct matmul_at *t,
                         void (*tile)(struct matmul *, struct matmul_at *)) {
    struct emit *e = mm->e;
    size_t all = (mm->cols + e->lanes - 1) / e->lanes,
           whole = all / mm->blocks * mm->blocks;
    size_t bound[] = {0, whole, all}, blocks[] = {mm->blocks, all - whole};
    for (int part = 0; part < 2; part++) {
        if (bound[part] == bound[part + 1]) continue;
        t->blocks = blocks[part];
        struct loop l = loop_over(e, (int64_t)(bound[part] * e->lanes),
                                  (int64_t)(bound[part + 1] * e->lanes),
                                  (int64_t)(t->blocks * e->lanes), NULL, 0, &t->col);
        tile(mm, t);
        loop_end(e, &l, NULL);
    }
}

// ---- rows of one matrix ---------------------------------------------------------------

static void matrix_tile(struct matmul *mm, struct matmul_at *t) {
    LLVMValueRef sums[TILE_SUMS];
    sum_products(mm, t, sums);
    for (size_t r = 0; r < t->rows; r++) store_row(mm, t, r, sums);
}

// Rows [from, to) of x, `rows` at a time.
static void matrix_rows(struct matmul *mm, size_t from, size_t to, size_t rows) {
    struct emit *e = mm->e;
    struct matmul_at t = {.rows = rows};
    struct ix first;
    if (from == to) return;
    struct loop l =
        loop_over(e, (int64_t)from, (int64_t)to, (int64_t)rows, NULL, 0, &first);
    for (size_t r = 0; r < rows; r++) {
        t.x[r] = anchor_operand(e);
        t.row[r] = ix_shift(e, first, (int64_t)r);
    }
    over_columns(mm, &t, matrix_tile);
    loop_end(e, &l, NULL);
}

static void emit_matrix(struct matmul *mm) {
    struct emit *e = mm->e;
    const struct kernel *k = e->k;
    if (k->prologue != NID_NONE) {
        struct view scratch = view_scratch(e);
        emit_fill(e, &k->prologue, &scratch, 1);
    }
    emit_hoisted(e, k->outs, k->nouts);
    size_t rows = size_min(mm->rows, mm->m), whole = mm->m / rows * rows;
    matrix_rows(mm, 0, whole, rows);
    matrix_rows(mm, whole, mm->m, size_max(mm->m - whole, 1));
}

static void each_matrix(struct matmul *mm) {
    struct emit *e = mm->e;
    bool rows = type_at(e->f, e->k->outs[0])->rows;
    LLVMValueRef n = rows ? LLVMGetParam(e->fn, 1) : ll_i64(e, 1);
    struct loop l = loop_begin(e, ll_i64(e, 0), n, 1, NULL, 0);
    emit_row(e, l.i);
    emit_matrix(mm);
    loop_end(e, &l, NULL);
}

// ---- single rows of a batch -----------------------------------------------------------

struct batch {
    struct matmul mm;   // first: over_columns hands it on
    LLVMValueRef first; // row of the batch
};

// What belongs to one row is found again for each: nothing of it may be remembered.
static void batch_tile(struct matmul *mm, struct matmul_at *t) {
    struct batch *batch = (struct batch *)mm;
    struct emit *e = mm->e;
    LLVMValueRef sums[TILE_SUMS];
    sum_products(mm, t, sums);
    for (size_t r = 0; r < t->rows; r++) {
        size_t mark = memo_mark(e);
        LLVMValueRef row = LLVMBuildAdd(e->b, batch->first, ll_i64(e, (int64_t)r), "");
        emit_row(e, row);
        emit_hoisted(e, e->k->outs, e->k->nouts);
        store_row(mm, t, r, sums);
        memo_release(e, mark);
    }
}

// Rows [from, to) of the batch, `rows` at a time, if there are any.
static void batch_rows(struct batch *batch, LLVMValueRef from, LLVMValueRef to,
                       size_t rows) {
    struct emit *e = batch->mm.e;
    struct matmul_at t = {.rows = rows};
    LLVMValueRef any = LLVMBuildICmp(e->b, LLVMIntSLT, from, to, "");
    LLVMBasicBlockRef after = if_begin(e, any);
    struct loop l = loop_begin(e, from, to, (int64_t)rows, NULL, 0);
    batch->first = l.i;
    for (size_t r = 0; r < rows; r++) {
        emit_row(e, LLVMBuildAdd(e->b, l.i, ll_i64(e, (int64_t)r), ""));
        t.x[r] = anchor_operand(e);
        t.row[r] = ix_const(e, 0);
    }
    over_columns(&batch->mm, &t, batch_tile);
    loop_end(e, &l, NULL);
    if_end(e, after);
}

static void emit_batch(const struct matmul *mm) {
    struct emit *e = mm->e;
    struct batch batch = {.mm = *mm};
    LLVMValueRef n = LLVMGetParam(e->fn, 1);
    LLVMValueRef rest = LLVMBuildURem(e->b, n, ll_i64(e, (int64_t)mm->rows), "");
    LLVMValueRef whole = LLVMBuildSub(e->b, n, rest, "");
    batch_rows(&batch, ll_i64(e, 0), whole, mm->rows);
    batch_rows(&batch, whole, n, 1);
}

void emit_matmul(struct emit *e) {
    const struct node *n = node_at(e->f, e->k->anchor);
    const struct type *x = type_at(e->f, n->in[0]);
    struct matmul mm = {.e = e,
                        .n = n,
                        .tx = attr_int(n, "tx") != 0,
                        .ty = attr_int(n, "ty") != 0,
                        .m = n->type.dim[0],
                        .cols = n->type.dim[1]};
    mm.k = x->dim[mm.tx ? 0 : 1];
    mm.packed = codegen_wants_packed(e->t, e->kf, e->k, n->in[1]);
    mm.blocks = matmul_blocks(e->t, mm.cols);
    mm.rows = e->t->registers >= 32 ? TILE_SUMS / mm.blocks : 8 / mm.blocks;
    if (type_count(&n->type) == 0) return;
    bool batch = mm.m == 1 && x->rows && mm.packed && e->k->prologue == NID_NONE;
    if (batch) emit_batch(&mm);
    else each_matrix(&mm);
}
