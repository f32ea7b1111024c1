// The part of checking a plan that is about functions: where the buffers of their calls
// lie, and that the runtime's own functions (builtin.c) find as many bytes there as they
// touch. What kernels read and write follows from shapes that are in their code, not in
// the plan.
#include "runtime/bundle/check.h"

#include "runtime/builtin.h"
#include "runtime/bundle/shape.h"
#include "runtime/call.h"
#include "runtime/image.h"

#include <math.h>

struct place { // a call's buffer, as one step calls it
    const struct plan_func *func;
    const struct plan_buffer *buffer;
    const struct plan_slot *slot; // of an IN or OUT; else NULL
};

// ---- functions by themselves ---------------------------------------------------------
// rows: of one round of the call's band.
static bool check_arena(struct check *c, const struct plan_func *f,
                        const struct plan_buffer *b, size_t rows) {
    size_t bytes;
    bool ok = b->offset < f->arena_bytes && b->offset % 64 == 0 &&
              size_mul(b->stride, b->local ? rows : f->batch, &bytes) &&
              bytes <= f->arena_bytes - b->offset;
    return ok || check_fail(c, "`%s` writes outside of its memory", f->name);
}

static bool check_buffer(struct check *c, const struct plan_func *f,
                         const struct plan_buffer *b, size_t rows) {
    switch (b->space) {
    case SPACE_ARENA: return check_arena(c, f, b, rows);
    case SPACE_CONST:
        return (b->offset < c->plan->nconsts && !b->stride) ||
               check_fail(c, "`%s` reads constant %zu", f->name, b->offset);
    case SPACE_IN:
    case SPACE_OUT: break; // of a step: see below
    }
    return true;
}

// call.c has room for so many buffers, builtin.c for fewer; the first is always written.
static bool check_call(struct check *c, const struct plan_func *f,
                       const struct plan_call *k, size_t rows) {
    static const size_t most[] = {[BUILTIN_NONE] = CALL_MAX_BUFFERS,
                                  [BUILTIN_NORMAL] = 2,
                                  [BUILTIN_RANDOM_BOX] = 3,
                                  [BUILTIN_RESIZE] = 3};
    size_t least = k->builtin == BUILTIN_NONE     ? 1
                   : k->builtin == BUILTIN_RESIZE ? 2
                                                  : most[k->builtin];
    if (k->nbuffers < least || k->nbuffers > most[k->builtin])
        return check_fail(c, "a call of `%s` has %zu buffers", f->name, k->nbuffers);
    if (!k->symbol != (k->builtin != BUILTIN_NONE))
        return check_fail(c, "a call of `%s` is of no function, or two", f->name);
    enum plan_space written = k->buffers[0].space;
    if (written != SPACE_ARENA && written != SPACE_OUT)
        return check_fail(c, "`%s` writes what it may only read", f->name);
    for (size_t i = 0; i < k->nbuffers; i++)
        if (!check_buffer(c, f, &k->buffers[i], rows)) return false;
    return true;
}

// Each call is in one band.
static bool check_bands(struct check *c, const struct plan_func *f) {
    size_t call = 0;
    for (size_t i = 0; i < f->nbands; i++) {
        const struct plan_band *b = &f->bands[i];
        if (b->rows < 1 || b->rows > f->batch || b->ncalls > f->ncalls - call)
            return check_fail(c, "a band of `%s` has %zu calls of %zu rows", f->name,
                              b->ncalls, b->rows);
        for (size_t end = call + b->ncalls; call < end; call++)
            if (!check_call(c, f, &f->calls[call], b->rows)) return false;
    }
    return call == f->ncalls || check_fail(c, "a call of `%s` is in no band", f->name);
}

bool check_funcs(struct check *c) {
    for (size_t i = 0; i < c->plan->nfuncs; i++) {
        const struct plan_func *f = &c->plan->funcs[i];
        if (f->batch < 1 || !isfinite(f->flops) || f->flops < 0)
            return check_fail(c, "`%s` takes %zu rows, %g operations", f->name, f->batch,
                              f->flops);
        if (!check_bands(c, f)) return false;
    }
    return true;
}

// ---- slots ---------------------------------------------------------------------------
// Rows of an input go with the rows of the call one to one, several to one, or one to
// several (stage.c: slot_at); outputs one to one.
static bool find_place(struct check *c, const struct plan_stage *s,
                       const struct plan_step *step, const struct plan_buffer *b,
                       struct place *out) {
    bool in = b->space == SPACE_IN;
    *out = (struct place){.func = &c->plan->funcs[step->func], .buffer = b};
    if (!in && b->space != SPACE_OUT) return true;
    if (b->offset >= (in ? step->nin : step->nout))
        return check_fail(c, "`%s` has no slot %zu in `%s`", out->func->name, b->offset,
                          s->name);
    out->slot = &s->slots[in ? step->in[b->offset] : step->out[b->offset]];
    size_t each = out->slot->mult / step->mult, stride; // each 0: shared by rows
    bool ok = size_mul(out->slot->row_bytes, each, &stride) && b->stride == stride;
    return ok || check_fail(c, "`%s` goes through a slot of `%s` in other steps",
                            out->func->name, s->name);
}

// Calls do not straddle the rows that share an input (stage.c: unit_of), when they nest.
static bool check_shares(struct check *c, const struct plan_stage *s,
                         const struct plan_step *step) {
    size_t unit = step->mult;
    for (size_t i = 0; i < step->nin; i++) {
        size_t mult = s->slots[step->in[i]].mult;
        if (mult % step->mult && step->mult % mult)
            return check_fail(c, "rows of slots in `%s` do not go together", s->name);
        if (mult < step->mult) unit = size_min(unit, step->mult / mult);
    }
    for (size_t i = 0; i < step->nin; i++) {
        size_t mult = s->slots[step->in[i]].mult;
        if (mult < step->mult && step->mult / mult % unit)
            return check_fail(c, "rows of slots in `%s` do not nest", s->name);
    }
    for (size_t i = 0; i < step->nout; i++)
        if (s->slots[step->out[i]].mult != step->mult)
            return check_fail(c, "`%s` writes other rows than it computes", s->name);
    return true;
}

// ---- builtins ------------------------------------------------------------------------
// Bytes of one row that are there.
static size_t room(const struct check *c, const struct place *at) {
    const struct plan_buffer *b = at->buffer;
    if (b->stride) return b->stride;
    switch (b->space) {
    case SPACE_CONST: return c->plan->consts[b->offset].bytes;
    case SPACE_ARENA: return at->func->arena_bytes - b->offset;
    case SPACE_IN:
    case SPACE_OUT: break;
    }
    return at->slot->row_bytes;
}

static bool whole_between(double v, double least, double most) {
    return v >= least && v <= most && v == floor(v);
}

// The bytes of each buffer's row, or false when a parameter is not what it may be.
static bool needs_normal(const double *p, size_t need[PLAN_MAX_PARAMS]) {
    if (!whole_between(p[0], 1, 0x1p32) || !whole_between(p[1], 0, 0x1p63) ||
        !whole_between(p[2], 0, NORMAL_PURPOSES - 1))
        return false;
    need[0] = (size_t)p[0] * sizeof(float);
    need[1] = sizeof(struct digest);
    return true;
}

static bool range_within(const double *range, double least, double most) {
    return range[0] >= least && range[0] <= range[1] && range[1] <= most;
}

static bool needs_box(const double *p, size_t need[PLAN_MAX_PARAMS]) {
    if (!whole_between(p[0], 1, 0x1p24) || !whole_between(p[1], 1, 0x1p24) ||
        !range_within(p + 2, 1e-9, 1) || !range_within(p + 4, 1e-6, 1e6) ||
        !whole_between(p[6], 0, 0x1p63))
        return false;
    need[0] = 4 * sizeof(int32_t);
    need[1] = sizeof(struct digest);
    need[2] = sizeof(int32_t);
    return true;
}

static bool needs_resize(const double *p, size_t need[PLAN_MAX_PARAMS]) {
    for (size_t i = 0; i < 5; i++)
        if (!whole_between(p[i], 1, (double)IMAGE_MAX_SIDE)) return false;
    need[0] = (size_t)p[0] * (size_t)p[3] * (size_t)p[4];
    need[1] = (size_t)p[0] * (size_t)p[1] * (size_t)p[2];
    need[2] = 4 * sizeof(int32_t);
    return true;
}

static bool needs(const struct plan_call *k, size_t need[PLAN_MAX_PARAMS]) {
    switch (k->builtin) {
    case BUILTIN_NORMAL: return needs_normal(k->params, need);
    case BUILTIN_RANDOM_BOX: return needs_box(k->params, need);
    case BUILTIN_RESIZE: return needs_resize(k->params, need);
    case BUILTIN_NONE: break;
    }
    return true;
}

static bool check_step_call(struct check *c, const struct plan_stage *s,
                            const struct plan_step *step, const struct plan_call *k) {
    size_t need[CALL_MAX_BUFFERS] = {0};
    if (!needs(k, need))
        return check_fail(c, "`%s` calls a function of the runtime with wrong numbers",
                          s->name);
    for (size_t i = 0; i < k->nbuffers; i++) {
        struct place at;
        if (!find_place(c, s, step, &k->buffers[i], &at)) return false;
        if (room(c, &at) < need[i])
            return check_fail(c, "`%s` touches %zu bytes where there are %zu",
                              at.func->name, need[i], room(c, &at));
        if (i == 0 && k->builtin == BUILTIN_NORMAL &&
            k->buffers[0].stride % sizeof(float))
            return check_fail(c, "`%s` writes floats where none lie", at.func->name);
    }
    return true;
}

bool check_step_calls(struct check *c, const struct plan_stage *s,
                      const struct plan_step *step) {
    const struct plan_func *f = &c->plan->funcs[step->func];
    if (!check_shares(c, s, step)) return false;
    for (size_t i = 0; i < f->ncalls; i++)
        if (!check_step_call(c, s, step, &f->calls[i])) return false;
    return true;
}
