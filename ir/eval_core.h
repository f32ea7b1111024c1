// The evaluator's inside, private to ir/: one call's operands, and walking over arrays.
#ifndef DDG_EVAL_CORE_H
#define DDG_EVAL_CORE_H

#include "ir/eval.h"

struct eval_call { // one node, one row
    const struct node *n;
    const struct type *const *types;
    const void *const *in;
    size_t nin;
    void *out;
};

// False: out of memory.
bool eval_elementwise(const struct eval_call *c); // every OPF_ELEMENTWISE op
bool eval_reshape(const struct eval_call *c);
bool eval_broadcast(const struct eval_call *c);
bool eval_transpose(const struct eval_call *c);
bool eval_slice(const struct eval_call *c);
bool eval_pad(const struct eval_call *c);
bool eval_concat(const struct eval_call *c);
bool eval_gather(const struct eval_call *c);
bool eval_take(const struct eval_call *c);
bool eval_choose(const struct eval_call *c);
bool eval_window(const struct eval_call *c);
bool eval_sum(const struct eval_call *c);
bool eval_amax(const struct eval_call *c);
bool eval_argmax(const struct eval_call *c);
bool eval_matmul(const struct eval_call *c);
bool eval_conv(const struct eval_call *c);
bool eval_conv_dx(const struct eval_call *c);
bool eval_conv_dw(const struct eval_call *c);
bool eval_conv_dw_sqnorm(const struct eval_call *c);
bool eval_maxpool(const struct eval_call *c);
bool eval_maxpool_dx(const struct eval_call *c);
bool eval_maxpool_jvp(const struct eval_call *c);
bool eval_avgpool(const struct eval_call *c);
bool eval_avgpool_dx(const struct eval_call *c);

bool eval_pack(const struct eval_call *c);
bool eval_batch_norm(const struct eval_call *c);

// eval_func of a joint function.
bool eval_joint(const struct func *f, size_t n, const void *const *args,
                void *const *outs, const struct eval_hooks *hooks);

// Goes through an array's indices in row-major order, keeping up to two offsets (in
// elements) that each axis moves by its own step.
struct cursor {
    uint32_t rank;
    size_t dim[TYPE_MAX_RANK], at[TYPE_MAX_RANK];
    ptrdiff_t step[2][TYPE_MAX_RANK], off[2];
};

static inline void cursor_next(struct cursor *c) {
    for (uint32_t d = c->rank; d-- > 0;) {
        bool more = ++c->at[d] < c->dim[d];
        ptrdiff_t moves = more ? 1 : 1 - (ptrdiff_t)c->dim[d];
        c->off[0] += c->step[0][d] * moves;
        c->off[1] += c->step[1][d] * moves;
        if (more) return;
        c->at[d] = 0;
    }
}

struct cursor cursor_of(const struct type *t); // over t's indices, all steps 0
// Row-major steps of t's axes.
void dense_steps(const struct type *t, ptrdiff_t step[TYPE_MAX_RANK]);
// Steps through t while going over `to`, to which it is broadcast.
void broadcast_steps(const struct type *t, const struct type *to,
                     ptrdiff_t step[TYPE_MAX_RANK]);

// Elements as the widest number of their sort; stores convert as the op `cast` does.
int64_t load_int(const void *p, enum elem e, size_t i);
void store_int(void *p, enum elem e, size_t i, int64_t v);
void store_float(void *p, enum elem e, size_t i, double v);

#endif
