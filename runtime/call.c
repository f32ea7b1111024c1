// See call.h.
#include "runtime/call.h"

#include "runtime/builtin.h"

static char *address(const struct plan *p, const struct plan_buffer *b, char *arena,
                     char *const *in, char *const *out) {
    switch (b->space) {
    case SPACE_CONST: return p->consts[b->offset].data;
    case SPACE_ARENA: return arena + b->offset;
    case SPACE_IN: return in[b->offset];
    case SPACE_OUT: return out[b->offset];
    }
    BUG("no such space");
}

bool call_func(const struct plan *p, const struct plan_func *f, char *arena,
               char *const *in, char *const *out, size_t n, bool fresh) {
    CHECK(n <= f->batch);
    for (size_t i = 0; i < f->ncalls; i++) {
        const struct plan_call *c = &f->calls[i];
        if (c->once && !fresh) continue;
        char *buffers[CALL_MAX_BUFFERS];
        size_t strides[CALL_MAX_BUFFERS], rows = c->once ? 1 : n;
        CHECK(c->nbuffers <= CALL_MAX_BUFFERS);
        for (size_t j = 0; j < c->nbuffers; j++) {
            buffers[j] = address(p, &c->buffers[j], arena, in, out);
            strides[j] = c->buffers[j].stride;
        }
        if (c->builtin == BUILTIN_NONE) c->fn(buffers, rows);
        else if (!builtin_run(c->builtin, c->params, buffers, strides, c->nbuffers, rows))
            return false;
    }
    return true;
}
