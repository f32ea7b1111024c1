// See call.h.
#include "runtime/call.h"

#include "runtime/builtin.h"

struct calling {
    const struct plan *p;
    const struct plan_func *f;
    char *arena;
    char *const *in, *const *out;
    bool fresh;
    struct profile_lane *lane;
};

// Of row `row` of the call.
static char *address(const struct calling *c, const struct plan_buffer *b, size_t row) {
    switch (b->space) {
    case SPACE_CONST: return c->p->consts[b->offset].data;
    case SPACE_ARENA: return c->arena + b->offset + (b->local ? 0 : row * b->stride);
    case SPACE_IN: return c->in[b->offset] + row * b->stride;
    case SPACE_OUT: return c->out[b->offset] + row * b->stride;
    }
    BUG("no such space");
}

static bool call_one(const struct calling *c, const struct plan_call *k, size_t row,
                     size_t n) {
    char *buffers[CALL_MAX_BUFFERS];
    size_t strides[CALL_MAX_BUFFERS];
    if (k->once && (row || !c->fresh)) return true;
    if (k->once) n = 1;
    CHECK(k->nbuffers <= CALL_MAX_BUFFERS);
    for (size_t i = 0; i < k->nbuffers; i++) {
        buffers[i] = address(c, &k->buffers[i], row);
        strides[i] = k->buffers[i].stride;
    }
    bool ok = true;
    if (!k->builtin) k->fn(buffers, n);
    else ok = builtin_run(k->builtin, k->params, buffers, strides, k->nbuffers, n);
    profile_kernel(c->lane, (size_t)(k - c->f->calls), n);
    return ok;
}

// One round of a band.
static bool call_some(const struct calling *c, size_t first, size_t ncalls, size_t row,
                      size_t n) {
    for (size_t i = first; i < first + ncalls; i++)
        if (!call_one(c, &c->f->calls[i], row, n)) return false;
    return true;
}

bool call_func(const struct plan *p, const struct plan_func *f, char *arena,
               char *const *in, char *const *out, size_t n, bool fresh,
               struct profile_lane *lane) {
    struct calling c = {p, f, arena, in, out, fresh, lane};
    size_t first = 0;
    CHECK(n <= f->batch);
    profile_call(lane, f);
    for (size_t i = 0; i < f->nbands; i++) {
        const struct plan_band *b = &f->bands[i];
        for (size_t row = 0; row < n; row += b->rows)
            if (!call_some(&c, first, b->ncalls, row, size_min(b->rows, n - row)))
                return false;
        first += b->ncalls;
    }
    profile_call_done(lane, n);
    return true;
}
