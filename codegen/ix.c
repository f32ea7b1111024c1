// Indices: arithmetic that remembers what is known (bounds, remainders, one lane or
// many), so that loads become contiguous and conditions constant wherever they are.
#include "codegen/emit.h"

static int64_t gcd(int64_t a, int64_t b) { // neither is below 0
    return (int64_t)size_gcd((size_t)a, (size_t)b);
}

static int64_t wrap(int64_t v, int64_t mod) { // into [0, mod)
    if (mod == 0) return v;
    int64_t r = v % mod;
    return r < 0 ? r + mod : r;
}

struct ix ix_const(struct emit *e, int64_t v) {
    (void)e;
    return (struct ix){.off = v, .lo = v, .hi = v, .rem = v};
}

struct ix ix_uniform(LLVMValueRef i64, int64_t lo, int64_t hi, int64_t mod, int64_t rem) {
    return (struct ix){.base = i64, .lo = lo, .hi = hi, .mod = mod, .rem = rem};
}

LLVMValueRef ix_value(struct emit *e, const struct ix *a) {
    CHECK(!a->lanes);
    if (!a->base) return ll_i64(e, a->off);
    return a->off ? LLVMBuildAdd(e->b, a->base, ll_i64(e, a->off), "") : a->base;
}

struct ix ix_ramp(struct emit *e, struct ix base) {
    CHECK(ix_is_uniform(&base));
    base.step = 1;
    base.hi += (int64_t)e->lanes - 1;
    return base;
}

bool ix_is_uniform(const struct ix *a) {
    return !a->lanes && a->step == 0;
}

bool ix_same(const struct ix *a, const struct ix *b) {
    if (a->lanes || b->lanes) return a->lanes == b->lanes;
    return a->base == b->base && a->off == b->off && a->step == b->step;
}

LLVMValueRef ix_lanes(struct emit *e, const struct ix *a) {
    if (a->lanes) return a->lanes;
    LLVMValueRef way =
        LLVMBuildMul(e->b, ll_iota(e), ll_isplat(e, a->step, e->lanes), "");
    way = LLVMBuildAdd(e->b, way, ll_isplat(e, a->off, e->lanes), "");
    if (!a->base) return way;
    LLVMValueRef low = LLVMBuildTrunc(e->b, a->base, e->i32, "");
    return LLVMBuildAdd(e->b, ll_splat(e, low, e->lanes), way, "");
}

static struct ix from_lanes(LLVMValueRef lanes, int64_t lo, int64_t hi) {
    return (struct ix){.lanes = lanes, .lo = lo, .hi = hi, .mod = 1};
}

static bool is_zero(const struct ix *a) {
    return ix_is_uniform(a) && a->mod == 0 && a->rem == 0;
}

struct ix ix_add(struct emit *e, struct ix a, struct ix b) {
    if (is_zero(&a)) return b;
    if (is_zero(&b)) return a;
    if (a.lanes || b.lanes)
        return from_lanes(LLVMBuildAdd(e->b, ix_lanes(e, &a), ix_lanes(e, &b), ""),
                          a.lo + b.lo, a.hi + b.hi);
    int64_t mod = gcd(a.mod, b.mod);
    LLVMValueRef base = a.base ? a.base : b.base;
    if (a.base && b.base) base = LLVMBuildAdd(e->b, a.base, b.base, "");
    return (struct ix){.base = base,
                       .off = a.off + b.off,
                       .step = a.step + b.step,
                       .lo = a.lo + b.lo,
                       .hi = a.hi + b.hi,
                       .mod = mod,
                       .rem = wrap(a.rem + b.rem, mod)};
}

struct ix ix_shift(struct emit *e, struct ix a, int64_t by) {
    return by == 0 ? a : ix_add(e, a, ix_const(e, by));
}

struct ix ix_scale(struct emit *e, struct ix a, int64_t by) {
    if (by == 1) return a;
    if (by == 0) return ix_const(e, 0);
    int64_t lo = by > 0 ? a.lo * by : a.hi * by, hi = by > 0 ? a.hi * by : a.lo * by;
    if (a.lanes)
        return from_lanes(LLVMBuildMul(e->b, a.lanes, ll_isplat(e, by, e->lanes), ""), lo,
                          hi);
    int64_t mod = by > 0 ? a.mod * by : -a.mod * by;
    LLVMValueRef base = a.base ? LLVMBuildMul(e->b, a.base, ll_i64(e, by), "") : NULL;
    return (struct ix){.base = base,
                       .off = a.off * by,
                       .step = a.step * by,
                       .lo = lo,
                       .hi = hi,
                       .mod = mod,
                       .rem = wrap(a.rem * by, mod)};
}

bool ix_knows_rem(const struct ix *a, int64_t by, int64_t *rem) {
    if (a->mod != 0 && a->mod % by != 0) return false;
    *rem = wrap(a->rem, by);
    return true;
}

// Do all lanes divide to the same number?
static bool stays_within(const struct emit *e, const struct ix *a, int64_t by) {
    int64_t rem;
    return a->step > 0 && ix_knows_rem(a, by, &rem) &&
           rem + a->step * ((int64_t)e->lanes - 1) < by;
}

static struct ix div_base(struct emit *e, const struct ix *a, int64_t by) {
    if (!a->base) return ix_const(e, a->off / by);
    struct ix r = {.base = LLVMBuildUDiv(e->b, ix_value(e, a), ll_i64(e, by), ""),
                   .lo = a->lo / by,
                   .hi = a->hi / by,
                   .mod = 1};
    if (a->mod % by == 0) {
        r.mod = a->mod / by;
        r.rem = a->rem / by;
    }
    return r;
}

struct ix ix_div(struct emit *e, struct ix a, int64_t by) {
    if (by == 1) return a;
    if (a.lo >= 0 && a.hi < by) return ix_const(e, 0);
    bool plain = !a.lanes && a.lo >= 0;
    if (plain && a.step % by == 0) {
        struct ix r = div_base(e, &a, by);
        r.step = a.step / by;
        r.hi = a.hi / by;
        r.lo = a.lo / by;
        return r;
    }
    if (plain && stays_within(e, &a, by)) return div_base(e, &a, by);
    LLVMValueRef d = ll_isplat(e, by, e->lanes);
    return from_lanes(LLVMBuildUDiv(e->b, ix_lanes(e, &a), d, ""), 0,
                      a.lo >= 0 ? a.hi / by : INT32_MAX);
}

static struct ix mod_base(struct emit *e, const struct ix *a, int64_t by) {
    int64_t rem;
    if (ix_knows_rem(a, by, &rem)) return ix_const(e, rem);
    return (struct ix){.base = LLVMBuildURem(e->b, ix_value(e, a), ll_i64(e, by), ""),
                       .hi = by - 1,
                       .mod = gcd(a->mod, by),
                       .rem = wrap(a->rem, gcd(a->mod, by))};
}

struct ix ix_mod(struct emit *e, struct ix a, int64_t by) {
    if (by == 1) return ix_const(e, 0);
    if (a.lo >= 0 && a.hi < by) return a;
    bool plain = !a.lanes && a.lo >= 0;
    if (plain && a.step % by == 0) return mod_base(e, &a, by);
    if (plain && stays_within(e, &a, by)) {
        struct ix r = mod_base(e, &a, by);
        r.step = a.step;
        r.hi += a.step * ((int64_t)e->lanes - 1);
        return r;
    }
    LLVMValueRef d = ll_isplat(e, by, e->lanes);
    return from_lanes(LLVMBuildURem(e->b, ix_lanes(e, &a), d, ""), 0, by - 1);
}

// ---- points --------------------------------------------------------------------------

bool point_same(const struct point *a, const struct point *b) {
    if (a->rank != b->rank || a->lanes != b->lanes || a->mask != b->mask) return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (!ix_same(&a->at[i], &b->at[i])) return false;
    return true;
}

struct point point_scalar(void) {
    return (struct point){.lanes = 1};
}

void point_drop_lanes(struct point *p) {
    for (uint32_t i = 0; i < p->rank; i++)
        if (!ix_is_uniform(&p->at[i])) return;
    p->lanes = 1;
    p->mask = NULL;
}

struct ix point_flat(struct emit *e, const struct point *p, const size_t *dim) {
    if (p->has_flat) return p->flat;
    struct ix sum = ix_const(e, 0);
    int64_t stride = 1;
    for (uint32_t i = p->rank; i-- > 0;) {
        sum = ix_add(e, ix_scale(e, p->at[i], stride), sum);
        stride *= (int64_t)dim[i];
    }
    return sum;
}

void point_unflat(struct emit *e, struct ix flat, const size_t *dim, uint32_t rank,
                  struct ix *at) {
    for (uint32_t i = rank; i-- > 0;) {
        at[i] = i == 0 ? flat : ix_mod(e, flat, (int64_t)dim[i]);
        if (i > 0) flat = ix_div(e, flat, (int64_t)dim[i]);
    }
}

// ---- being inside --------------------------------------------------------------------

static void clip_uniform(struct emit *e, struct ix *i, int64_t n, struct inside *in) {
    LLVMValueRef v = ix_value(e, i);
    LLVMValueRef ok = LLVMBuildICmp(e->b, LLVMIntULT, v, ll_i64(e, n), "");
    in->all = ll_and(e, in->all, ok);
    if (i->lo < 0) v = ll_max(e, v, ll_i64(e, 0));
    if (i->hi >= n) v = ll_min(e, v, ll_i64(e, n - 1));
    int64_t lo = i->lo < 0 ? 0 : i->lo, hi = i->hi < n ? i->hi : n - 1;
    *i = ix_uniform(v, lo, hi, 1, 0);
}

static void clip_lanes(struct emit *e, struct point *p, const struct ix *i, int64_t n,
                       struct inside *in) {
    LLVMValueRef ok =
        LLVMBuildICmp(e->b, LLVMIntULT, ix_lanes(e, i), ll_isplat(e, n, e->lanes), "");
    p->mask = ll_and(e, p->mask, ok);
    in->lanes = ll_and(e, in->lanes, ok);
}

void clip(struct emit *e, struct point *p, uint32_t axis, int64_t n, struct inside *in) {
    struct ix *i = &p->at[axis];
    if (i->lo >= 0 && i->hi < n) return;
    p->has_flat = false;
    if (i->hi < 0 || i->lo >= n || n == 0) {
        in->never = true;
        *i = ix_const(e, 0);
    } else if (ix_is_uniform(i)) {
        clip_uniform(e, i, n, in);
    } else {
        clip_lanes(e, p, i, n, in);
    }
}

LLVMValueRef choose(struct emit *e, const struct inside *in, LLVMValueRef yes,
                    LLVMValueRef no, size_t lanes) {
    if (in->never) return no;
    LLVMValueRef cond = in->all;
    if (in->lanes) {
        CHECK(lanes > 1);
        if (cond) cond = ll_splat(e, cond, lanes);
        cond = ll_and(e, cond, in->lanes);
    }
    return cond ? LLVMBuildSelect(e->b, cond, yes, no, "") : yes;
}
