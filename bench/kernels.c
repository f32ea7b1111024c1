// Single kernels against the multiply-add peak of one core, both measured in this run.
//
//     ddg-bench-kernels [TARGET] [NAME]
//
// NAME: part of a line as it is printed ("conv", "@56", "64>64 @56, winograd 4x4").
// Times are of the thread's own processor time, the median of several; on a machine that
// others use too, trust the ratio to the peak.
#include "codegen/codegen.h"
#include "ir/batch_product.h"
#include "ir/bf16.h"
#include "ir/build.h"
#include "ir/winograd.h"
#include "runtime/peak.h"

#define ROWS  16
#define TRIES 9

#define BATCH_ROWS 64 // of a sum over them

enum operand {
    PLAIN,
    MADE,  // in a prologue, as a first layer's is
    BF16,  // and so are the weights; the peak is that of sums of pairs
    BATCH, // the sum over the rows of a batch, all parts one after the other
};

struct shape {
    const char *name;
    enum op op;
    size_t channels, outs, side, kernel;
    int64_t stride, pad;
    enum operand operand;
    enum algorithm algorithm;
    // Products: `side` lines of `channels` times a constant of `outs` columns; with a
    // `kernel` above 1 a stack of so many, both operands computed.
};

static const struct shape SHAPES[] = {
    {"3>16 @32, first", OP_CONV, 3, 16, 32, 3, 1, 1, MADE, ALGORITHM_DIRECT},
    {"16>16 @32", OP_CONV, 16, 16, 32, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"16>32 @32 /2", OP_CONV, 16, 32, 32, 3, 2, 1, PLAIN, ALGORITHM_DIRECT},
    {"32>32 @16", OP_CONV, 32, 32, 16, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"32>64 @16 /2", OP_CONV, 32, 64, 16, 3, 2, 1, PLAIN, ALGORITHM_DIRECT},
    {"64>64 @8", OP_CONV, 64, 64, 8, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"64>64 @4", OP_CONV, 64, 64, 4, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"64>64 @56", OP_CONV, 64, 64, 56, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"128>128 @28", OP_CONV, 128, 128, 28, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"256>256 @14", OP_CONV, 256, 256, 14, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"512>512 @7", OP_CONV, 512, 512, 7, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"16>16 @32", OP_CONV, 16, 16, 32, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_4},
    {"16>16 @32", OP_CONV, 16, 16, 32, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_2},
    {"32>32 @16", OP_CONV, 32, 32, 16, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_4},
    {"32>32 @16", OP_CONV, 32, 32, 16, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_2},
    {"64>64 @8", OP_CONV, 64, 64, 8, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_4},
    {"64>64 @8", OP_CONV, 64, 64, 8, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_2},
    {"64>64 @56", OP_CONV, 64, 64, 56, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_4},
    {"64>64 @56", OP_CONV, 64, 64, 56, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_2},
    {"128>128 @28", OP_CONV, 128, 128, 28, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_4},
    {"128>128 @28", OP_CONV, 128, 128, 28, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_2},
    {"256>256 @14", OP_CONV, 256, 256, 14, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_4},
    {"256>256 @14", OP_CONV, 256, 256, 14, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_2},
    {"512>512 @7", OP_CONV, 512, 512, 7, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_4},
    {"512>512 @7", OP_CONV, 512, 512, 7, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_2},
    {"16>16 @32", OP_CONV_DX, 16, 16, 32, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_4},
    {"32>32 @16", OP_CONV_DX, 32, 32, 16, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_4},
    {"64>64 @8", OP_CONV_DX, 64, 64, 8, 3, 1, 1, PLAIN, ALGORITHM_WINOGRAD_4},
    {"3>64 @224 7x7 /2, first", OP_CONV, 3, 64, 224, 7, 2, 3, MADE, ALGORITHM_DIRECT},
    {"64>128 @56 1x1 /2", OP_CONV, 64, 128, 56, 1, 2, 0, PLAIN, ALGORITHM_DIRECT},
    {"256>64 @14 1x1", OP_CONV, 256, 64, 14, 1, 1, 0, PLAIN, ALGORITHM_DIRECT},
    {"16>16 @32", OP_CONV_DX, 16, 16, 32, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"16>32 @32 /2", OP_CONV_DX, 16, 32, 32, 3, 2, 1, PLAIN, ALGORITHM_DIRECT},
    {"32>32 @16", OP_CONV_DX, 32, 32, 16, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"32>64 @16 /2", OP_CONV_DX, 32, 64, 16, 3, 2, 1, PLAIN, ALGORITHM_DIRECT},
    {"64>64 @8", OP_CONV_DX, 64, 64, 8, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"64>64 @4", OP_CONV_DX, 64, 64, 4, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"3>16 @32, first", OP_CONV_DW_SQNORM, 3, 16, 32, 3, 1, 1, MADE, ALGORITHM_DIRECT},
    {"16>16 @32", OP_CONV_DW_SQNORM, 16, 16, 32, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"16>16 @16", OP_CONV_DW_SQNORM, 16, 16, 16, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"16>32 @32 /2", OP_CONV_DW_SQNORM, 16, 32, 32, 3, 2, 1, PLAIN, ALGORITHM_DIRECT},
    {"32>32 @16", OP_CONV_DW_SQNORM, 32, 32, 16, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"32>32 @8", OP_CONV_DW_SQNORM, 32, 32, 8, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"32>64 @16 /2", OP_CONV_DW_SQNORM, 32, 64, 16, 3, 2, 1, PLAIN, ALGORITHM_DIRECT},
    {"64>64 @8", OP_CONV_DW_SQNORM, 64, 64, 8, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"64>64 @4", OP_CONV_DW_SQNORM, 64, 64, 4, 3, 1, 1, PLAIN, ALGORITHM_DIRECT},
    {"3>16 @32, first", OP_CONV_DW, 3, 16, 32, 3, 1, 1, BATCH, ALGORITHM_DIRECT},
    {"16>16 @32", OP_CONV_DW, 16, 16, 32, 3, 1, 1, BATCH, ALGORITHM_DIRECT},
    {"16>32 @32 /2", OP_CONV_DW, 16, 32, 32, 3, 2, 1, BATCH, ALGORITHM_DIRECT},
    {"16>32 @32 1x1 /2", OP_CONV_DW, 16, 32, 32, 1, 2, 0, BATCH, ALGORITHM_DIRECT},
    {"32>32 @16", OP_CONV_DW, 32, 32, 16, 3, 1, 1, BATCH, ALGORITHM_DIRECT},
    {"32>64 @16 /2", OP_CONV_DW, 32, 64, 16, 3, 2, 1, BATCH, ALGORITHM_DIRECT},
    {"64>64 @8", OP_CONV_DW, 64, 64, 8, 3, 1, 1, BATCH, ALGORITHM_DIRECT},
    {"3>128 @32, first", OP_CONV_DW, 3, 128, 32, 3, 1, 1, BATCH, ALGORITHM_DIRECT},
    {"128>128 @16", OP_CONV_DW, 128, 128, 16, 3, 1, 1, BATCH, ALGORITHM_DIRECT},
    {"128>128 @8", OP_CONV_DW, 128, 128, 8, 3, 1, 1, BATCH, ALGORITHM_DIRECT},
    {"256>256 @4", OP_CONV_DW, 256, 256, 4, 3, 1, 1, BATCH, ALGORITHM_DIRECT},
    {"512>512 @2", OP_CONV_DW, 512, 512, 2, 3, 1, 1, BATCH, ALGORITHM_DIRECT},
    {"64>64 @56", OP_CONV_DW, 64, 64, 56, 3, 1, 1, BATCH, ALGORITHM_DIRECT},
    {"3>64 @64 7x7 /2", OP_CONV_DW, 3, 64, 64, 7, 2, 3, BATCH, ALGORITHM_DIRECT},
    {"64>256 @14 1x1", OP_CONV_DW, 64, 256, 14, 1, 1, 0, BATCH, ALGORITHM_DIRECT},
    {"64>10", OP_MATMUL, 64, 10, 1, 1, 1, 0, BATCH, ALGORITHM_DIRECT},
    {"2048>10", OP_MATMUL, 2048, 10, 1, 1, 1, 0, BATCH, ALGORITHM_DIRECT},
    {"512>1000", OP_MATMUL, 512, 1000, 1, 1, 1, 0, BATCH, ALGORITHM_DIRECT},
    {"4096>4096", OP_MATMUL, 4096, 4096, 1, 1, 1, 0, BATCH, ALGORITHM_DIRECT},
    {"197 x 768>768", OP_MATMUL, 768, 768, 197, 1, 1, 0, BATCH, ALGORITHM_DIRECT},
    {"64>10", OP_MATMUL, 64, 10, 1, 1, 1, 0, PLAIN, ALGORITHM_DIRECT},
    {"512>1000", OP_MATMUL, 512, 1000, 1, 1, 1, 0, PLAIN, ALGORITHM_DIRECT},
    {"197 x 768>768", OP_MATMUL, 768, 768, 197, 1, 1, 0, PLAIN, ALGORITHM_DIRECT},
    {"197 x 768>2304", OP_MATMUL, 768, 2304, 197, 1, 1, 0, PLAIN, ALGORITHM_DIRECT},
    {"197 x 768>3072", OP_MATMUL, 768, 3072, 197, 1, 1, 0, PLAIN, ALGORITHM_DIRECT},
    {"197 x 3072>768", OP_MATMUL, 3072, 768, 197, 1, 1, 0, PLAIN, ALGORITHM_DIRECT},
    {"3136 x 96>384", OP_MATMUL, 96, 384, 3136, 1, 1, 0, PLAIN, ALGORITHM_DIRECT},
    {"12 of 197 x 64>197", OP_MATMUL, 64, 197, 197, 12, 1, 0, PLAIN, ALGORITHM_DIRECT},
    {"12 of 197 x 197>64", OP_MATMUL, 197, 64, 197, 12, 1, 0, PLAIN, ALGORITHM_DIRECT},
    {"64 of 64 x 32>64", OP_MATMUL, 32, 64, 64, 64, 1, 0, PLAIN, ALGORITHM_DIRECT},
    {"16>16 @32", OP_CONV, 16, 16, 32, 3, 1, 1, BF16, ALGORITHM_DIRECT},
    {"32>32 @16", OP_CONV, 32, 32, 16, 3, 1, 1, BF16, ALGORITHM_DIRECT},
    {"64>64 @8", OP_CONV, 64, 64, 8, 3, 1, 1, BF16, ALGORITHM_DIRECT},
    {"16>32 @32 /2", OP_CONV, 16, 32, 32, 3, 2, 1, BF16, ALGORITHM_DIRECT},
    {"32>64 @16 /2", OP_CONV, 32, 64, 16, 3, 2, 1, BF16, ALGORITHM_DIRECT},
    {"64>64 @56", OP_CONV, 64, 64, 56, 3, 1, 1, BF16, ALGORITHM_DIRECT},
    {"512>512 @7", OP_CONV, 512, 512, 7, 3, 1, 1, BF16, ALGORITHM_DIRECT},
    {"128>128 @56 /2", OP_CONV, 128, 128, 56, 3, 2, 1, BF16, ALGORITHM_DIRECT},
    {"256>256 @28 /2", OP_CONV, 256, 256, 28, 3, 2, 1, BF16, ALGORITHM_DIRECT},
    {"512>512 @14 /2", OP_CONV, 512, 512, 14, 3, 2, 1, BF16, ALGORITHM_DIRECT},
    {"64>64 @56 1x1", OP_CONV, 64, 64, 56, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"64>256 @56 1x1", OP_CONV, 64, 256, 56, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"256>64 @56 1x1", OP_CONV, 256, 64, 56, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"256>512 @56 1x1 /2", OP_CONV, 256, 512, 56, 1, 2, 0, BF16, ALGORITHM_DIRECT},
    {"128>512 @28 1x1", OP_CONV, 128, 512, 28, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"512>128 @28 1x1", OP_CONV, 512, 128, 28, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"256>1024 @14 1x1", OP_CONV, 256, 1024, 14, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"1024>256 @14 1x1", OP_CONV, 1024, 256, 14, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"1024>2048 @14 1x1 /2", OP_CONV, 1024, 2048, 14, 1, 2, 0, BF16, ALGORITHM_DIRECT},
    {"512>2048 @7 1x1", OP_CONV, 512, 2048, 7, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"2048>512 @7 1x1", OP_CONV, 2048, 512, 7, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"32>64 @16 /2", OP_CONV_DX, 32, 64, 16, 3, 2, 1, BF16, ALGORITHM_DIRECT},
    {"64>64 @8", OP_CONV_DX, 64, 64, 8, 3, 1, 1, BF16, ALGORITHM_DIRECT},
    {"512>1000", OP_MATMUL, 512, 1000, 1, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"4096>4096", OP_MATMUL, 4096, 4096, 1, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"197 x 768>768", OP_MATMUL, 768, 768, 197, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"197 x 768>2304", OP_MATMUL, 768, 2304, 197, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"197 x 768>3072", OP_MATMUL, 768, 3072, 197, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"197 x 3072>768", OP_MATMUL, 3072, 768, 197, 1, 1, 0, BF16, ALGORITHM_DIRECT},
    {"3136 x 96>384", OP_MATMUL, 96, 384, 3136, 1, 1, 0, BF16, ALGORITHM_DIRECT},
};

// ---- time ----------------------------------------------------------------------------

// Seconds of one call: the median of TRIES runs of about 5 ms.
static double time_call(void (*call)(void *), void *ctx) {
    double each[TRIES];
    size_t times = 1;
    for (double t = 0; t < 2e-3; times *= 2) {
        double start = clock_thread_seconds();
        for (size_t i = 0; i < times; i++) call(ctx);
        t = clock_thread_seconds() - start;
    }
    for (size_t k = 0; k < TRIES; k++) {
        double start = clock_thread_seconds();
        for (size_t i = 0; i < times; i++) call(ctx);
        each[k] = (clock_thread_seconds() - start) / (double)times;
    }
    return median_of(each, TRIES);
}

// ---- one kernel ----------------------------------------------------------------------

// As many as keep a Winograd convolution busy and a first cache or two.
static size_t rows_of(const struct shape *s) {
    if (s->operand == BATCH) return BATCH_ROWS;
    size_t pixels = s->op == OP_MATMUL ? 128 : s->side * s->side;
    return size_min(ROWS, (1024 + pixels - 1) / pixels);
}

struct job {
    struct arena *arena;
    size_t rows;
    const struct target *t;
    struct kfunc kf;
    kernel_fn fn;
    size_t parts, part; // of a sum over rows
    char *buffers[KERNEL_MAX_BUFFERS + 8];
};

static enum elem elem_of(const struct shape *s) {
    return s->operand == BF16 ? ELEM_BF16 : ELEM_F32;
}

static nid map(struct builder *b, const char *name, enum elem elem, size_t c,
               size_t side) {
    return b_input(b, name, type_tensor(elem, true, 3, (size_t[]){c, side, side}));
}

static nid constant(struct builder *b, enum elem elem, uint32_t rank, const size_t *dim) {
    struct type t = type_tensor(elem, false, rank, dim);
    char *data = arena_alloc(b->arena, type_bytes(&t), 64);
    for (size_t i = 0; i < type_count(&t); i++) {
        float v = (float)(i % 17) / 17 - 0.5f;
        if (elem == ELEM_BF16) ((uint16_t *)(void *)data)[i] = bf16_of(v);
        else ((float *)(void *)data)[i] = v;
    }
    return b_const(b, t, data);
}

// What a linear layer's weights gain: d [lines,outs] by x [lines,channels], turned.
static nid outer(struct builder *b, const struct shape *s, nid *anchor) {
    size_t x[] = {s->side, s->channels}, d[] = {s->side, s->outs};
    nid p = b_input(b, "d", type_tensor(ELEM_F32, true, 2, d));
    nid q = b_input(b, "x", type_tensor(ELEM_F32, true, 2, x));
    return *anchor = b_matmul(b, p, q, true, false);
}

static nid product(struct builder *b, const struct shape *s, nid *anchor) {
    if (s->operand == BATCH) return outer(b, s, anchor);
    size_t x[] = {s->kernel, s->side, s->channels},
           y[] = {s->kernel, s->channels, s->outs};
    bool stack = s->kernel > 1;
    nid p = b_input(b, "x", type_tensor(elem_of(s), true, 2 + stack, x + !stack)), q;
    if (stack) q = b_input(b, "y", type_tensor(ELEM_F32, true, 3, y));
    else q = constant(b, elem_of(s), 2, (size_t[]){s->outs, s->channels});
    return *anchor = b_matmul(b, p, q, false, !stack);
}

// conv: bias, residual and relu included, as KERNELS measured them; conv_dx: a residual.
static nid build(struct builder *b, const struct shape *s, nid *anchor) {
    if (s->op == OP_MATMUL) return product(b, s, anchor);
    size_t side = (s->side + 2 * (size_t)s->pad - s->kernel) / (size_t)s->stride + 1;
    struct conv_attrs c = {
        {s->stride, s->stride}, {s->pad, s->pad, s->pad, s->pad}, {1, 1}, 1};
    const struct value attrs[] = {
        val_ints(c.strides, 2),      val_ints(c.pads, 4),
        val_ints(c.dilations, 2),    val_int(1),
        val_int((int64_t)s->kernel), val_int((int64_t)s->kernel)};
    nid y, w = constant(b, elem_of(s), 4,
                        (size_t[]){s->outs, s->channels, s->kernel, s->kernel});
    switch (s->op) {
    case OP_CONV:
        y = *anchor = b_conv(b, map(b, "x", elem_of(s), s->channels, s->side), w, &c);
        y = b_binary(b, OP_ADD, y, constant(b, ELEM_F32, 3, (size_t[]){s->outs, 1, 1}));
        if (s->operand != MADE)
            y = b_binary(b, OP_ADD, y, map(b, "residual", ELEM_F32, s->outs, side));
        return b_unary(b, OP_RELU, y);
    case OP_CONV_DX:
        y = *anchor =
            b_conv_dx(b, map(b, "d", elem_of(s), s->outs, side), w, &c, s->side, s->side);
        return b_binary(b, OP_ADD, y, map(b, "residual", ELEM_F32, s->channels, s->side));
    default:
        y = map(b, "x", ELEM_F32, s->channels, s->side);
        return *anchor =
                   build_node(b, s->op, (nid[]){y, map(b, "d", ELEM_F32, s->outs, side)},
                              2, attrs, NULL);
    }
}

static struct layout layout_of(const struct job *j, nid v, size_t border, bool maps) {
    const struct type *t = type_at(j->kf.f, v);
    struct layout l = {LAYOUT_PLANAR, 0, size_align(type_bytes(t), 64)};
    if (t->rank != 3 || !t->rows || !maps) return l;
    size_t lanes = j->t->lanes, blocks = (t->dim[0] + lanes - 1) / lanes;
    size_t pixels = (t->dim[1] + 2 * border) * (t->dim[2] + 2 * border);
    return (struct layout){LAYOUT_BLOCKED, border,
                           blocks * lanes * pixels * elem_size(t->elem)};
}

static void add_inputs(struct job *j, struct kernel *k, nid v) {
    const struct node *n = node_at(j->kf.f, v);
    for (uint32_t i = 0; i < n->nin; i++) {
        enum op op = node_at(j->kf.f, n->in[i])->op;
        if (op == OP_INPUT || op == OP_CONST) k->ins[k->nins++] = n->in[i];
        else add_inputs(j, k, n->in[i]);
    }
}

static struct kernel plan(struct job *j, const struct shape *s, nid root, nid anchor) {
    struct kernel k = {
        .outs = {root}, .nouts = 1, .anchor = anchor, .prologue = NID_NONE};
    nid x = node_at(j->kf.f, anchor)->in[0];
    size_t border = kernel_border(j->kf.f, anchor);
    for (nid v = 0; v < j->kf.f->nodes.n; v++)
        j->kf.places[v].layout =
            layout_of(j, v, v == x || v == root ? border : 1, s->op != OP_MATMUL);
    if (s->operand == MADE) {
        k.prologue = x;
        const size_t *dim = type_at(j->kf.f, x)->dim;
        size_t pixels = (dim[1] + 2 * border) * (dim[2] + 2 * border);
        k.scratch_layout =
            (struct layout){LAYOUT_PLANAR, border, size_align(dim[0] * pixels * 4, 64)};
    }
    add_inputs(j, &k, root);
    if (s->operand == BATCH) {
        k.all_rows = true;
        k.work_bytes = batch_product_work(j->t, &j->kf, &k);
        k.parts = j->parts = batch_product_parts(j->t, &j->kf, &k);
    }
    k.algorithm = s->algorithm;
    if (k.algorithm != ALGORITHM_DIRECT) {
        struct winograd w = winograd_of(j->t, j->kf.f, anchor, k.algorithm);
        k.work_bytes = winograd_work_bytes(&w);
    }
    return k;
}

// Pages that nobody wrote are all the same one, and in a cache near by.
static void write_some(char *p, size_t bytes) {
    for (size_t i = 0; i + sizeof(float) <= bytes; i += sizeof(float))
        memcpy(p + i, &(float){(float)(i % 68) / 68 - 0.5f}, sizeof(float));
}

static void fill(struct job *j, const struct kernel *k) {
    size_t at = 0;
    for (size_t i = 0; i < k->nouts + k->nins; i++) {
        nid v = i < k->nouts ? k->outs[i] : k->ins[i - k->nouts];
        const struct node *n = node_at(j->kf.f, v);
        size_t bytes = j->kf.places[v].layout.bytes * j->rows;
        bool packed = codegen_wants_packed(j->t, &j->kf, k, v);
        if (packed) bytes = codegen_packed_bytes(j->t, &j->kf, k, v);
        char *p = arena_alloc(j->arena, bytes + 64, 1);
        if (!packed && n->op != OP_CONST && n->type.elem == ELEM_F32)
            write_some(p, bytes);
        if (packed) codegen_pack(j->t, &j->kf, k, v, p);
        else if (n->op == OP_CONST) memcpy(p, n->data, type_bytes(&n->type));
        j->buffers[at++] = p;
    }
    if (k->prologue != NID_NONE)
        j->buffers[at++] = arena_alloc(j->arena, k->scratch_layout.bytes, 1);
    if (k->work_bytes) j->buffers[at++] = arena_alloc(j->arena, k->work_bytes, 64);
    if (k->parts) j->buffers[at] = (char *)&j->part;
}

static void run(void *ctx) {
    struct job *j = ctx;
    for (j->part = 0; j->part < size_max(j->parts, 1); j->part++)
        j->fn(j->buffers, j->rows);
}

static const char *title_of(struct arena *arena, const struct shape *s) {
    size_t m = winograd_m(s->algorithm);
    const char *op = op_info(s->op)->name;
    const char *how = s->operand == BF16    ? ", bf16"
                      : s->operand == BATCH ? ", of a batch"
                                            : "";
    if (!m) return arena_printf(arena, "%s %s%s", op, s->name, how);
    return arena_printf(arena, "%s %s, winograd %zux%zu", op, s->name, m, m);
}

static bool bench(const char *title, const struct shape *s, const struct target *t,
                  double peak, struct diags *d) {
    struct job j = {.arena = d->arena, .t = t, .rows = rows_of(s)};
    struct builder b;
    nid anchor = NID_NONE;
    builder_init(&b, j.arena, "bench");
    nid root = build(&b, s, &anchor);
    if (s->operand == BATCH) root = b_batch_sum(&b, root);
    j.kf = (struct kfunc){.f = b.f, .batch = j.rows};
    j.kf.places = NEW_N(j.arena, struct place, b.f->nodes.n);
    struct kernel k = plan(&j, s, root, anchor);
    fill(&j, &k);
    struct codegen *cg = codegen_new(t, d);
    double start = clock_thread_seconds();
    const char *symbol = cg ? codegen_add(cg, &j.kf, &k, d) : NULL;
    double emitted = clock_thread_seconds();
    bool ok =
        symbol && codegen_finish(cg, 1, d) && (j.fn = codegen_address(cg, symbol, d));
    double compiled = clock_thread_seconds();
    if (ok) {
        double flops = kernel_flops(b.f, anchor),
               each = time_call(run, &j) / (double)j.rows;
        printf("%-42s %9.2f us %8.1f GFLOP/s", title, 1e6 * each, 1e-9 * flops / each);
        if (peak > 0) printf(" %5.1f%%", 100 * flops / each / peak);
        printf("   emit %.1f compile %.1f ms\n", 1e3 * (emitted - start),
               1e3 * (compiled - emitted));
    }
    codegen_free(cg);
    return ok;
}

int main(int argc, char **argv) {
    struct arena *arena = arena_new();
    struct diags d;
    struct target t;
    if (!arena) return 1;
    diags_init(&d, arena);
    bool ok = codegen_target_named(arena, argc > 1 ? argv[1] : "native", &t, &d);
    double peak = ok ? peak_flops(1, t.lanes) : 0;
    double pairs = ok && t.bf16 ? peak_bf16_flops(1) : 0;
    if (ok)
        printf("%s, %zu lanes; peak %.1f GFLOP/s, of bf16 %.1f\n", t.cpu, t.lanes,
               1e-9 * peak, 1e-9 * pairs);
    for (size_t i = 0; ok && i < COUNT(SHAPES); i++) {
        const char *title = title_of(arena, &SHAPES[i]);
        bool of_pairs = SHAPES[i].operand == BF16;
        if ((of_pairs && !t.bf16) || (argc > 2 && !strstr(title, argv[2]))) continue;
        ok = bench(title, &SHAPES[i], &t, of_pairs ? pairs : peak, &d);
    }
    diags_print(&d, stderr, diag_color(stderr));
    arena_free(arena);
    return ok ? 0 : 1;
}
