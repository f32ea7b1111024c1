// See bands.h. Depth first: a few rows go through kernel after kernel while what one hands
// to the next is in the second-level cache (KERNELS: worth 1.25 to 1.75 times). How many
// rows, and through how many kernels, is a matter of what has to come from farther away:
//
// - what a band reads of others, and what others read of it;
// - what lives inside of a band but is pushed out before it is read, as so many rows of it
//   and the weights need more than the cache;
// - weights: once for each call if those of the whole band stay in cache, else once for each
//   round where a kernel takes all rows through each weight, else once for each row; never,
//   if those of all kernels stay;
// - the call of a kernel, as if it were some bytes.
//
// The sum, in bytes a row, is least over all ways of cutting the kernels into bands and all
// numbers of rows; larger calls are taken only where they save something to speak of. None
// of it can be seen in results: kernels compute each row by itself.
#include "passes/bands.h"

#define LONGEST    96     // kernels of a band: bounds the search
#define CROSSING   1.5    // a byte between bands: written far away, fetched from there
#define CALL_BYTES 4000.0 // what a call costs: about 0.1 us
#define WORTH      0.02   // of all work: what a larger call must save
#define CALL_FLOPS 4e11   // of a call: about a second, in which nobody can stop it

static const size_t ROWS[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
#define NROWS COUNT(ROWS)

struct datum { // a row of a stored value
    double bytes;
    size_t first, last; // kernels that make it and that read it last; it stays with the
                        // caller: SIZE_MAX
};

struct touched { // by a kernel, apart from weights
    size_t n;
    uint32_t at[KERNEL_MAX_BUFFERS + COUNT(((struct kernel *)0)->outs)];
};

struct cost_of { // one kernel
    struct touched values;
    double touched; // bytes of these
    double weights; // and other constants, bytes
    double own;     // scratch and work, bytes
    bool each_row;  // reads its weights again for each row
};

struct cut { // the best way that ends behind a kernel
    double cost;
    size_t first; // kernel of its last band
    size_t rows;  // of that
};

struct bands {
    const struct kfunc *k;
    double room; // of cache
    size_t n;    // kernels
    VEC(struct datum) values;
    struct cost_of *kernels;
    double *across; // by kernel: bytes that lie between it and others of the band at hand
    struct cut *best[NROWS]; // by kernels in front, for calls of so many rows
};

// ---- what kernels need ----------------------------------------------------------------

// Winograd's weights have as many places as its tiles.
static double growth(enum algorithm a) {
    switch (a) {
    case ALGORITHM_DIRECT: return 1;
    case ALGORITHM_WINOGRAD_2: return 16.0 / 9;
    case ALGORITHM_WINOGRAD_4: return 36.0 / 9;
    }
    BUG("no such algorithm");
}

static void touch(struct cost_of *c, const struct bands *b, uint32_t value) {
    CHECK(c->values.n < COUNT(c->values.at));
    c->values.at[c->values.n++] = value;
    c->touched += b->values.at[value].bytes;
}

static uint32_t add_value(struct arena *arena, struct bands *b, nid v, size_t kernel) {
    const struct place *p = &b->k->places[v];
    bool inside = p->kind == PLACE_ARENA;
    VEC_PUSH(arena, &b->values,
             (struct datum){.bytes = (double)p->layout.bytes,
                            .first = inside ? kernel : SIZE_MAX,
                            .last = inside ? kernel : SIZE_MAX});
    return (uint32_t)b->values.n;
}

static void add_outs(struct arena *arena, struct bands *b, size_t i, uint32_t *of) {
    const struct kernel *k = &b->k->kernels.at[i];
    for (size_t j = 0; j < k->nouts; j++) {
        if (!type_at(b->k->f, k->outs[j])->rows) continue;
        of[k->outs[j]] = add_value(arena, b, k->outs[j], i);
        touch(&b->kernels[i], b, of[k->outs[j]] - 1);
    }
}

static void add_ins(struct arena *arena, struct bands *b, size_t i, uint32_t *of) {
    const struct kernel *k = &b->k->kernels.at[i];
    struct cost_of *c = &b->kernels[i];
    for (size_t j = 0; j < k->nins; j++) {
        nid v = k->ins[j];
        if (!type_at(b->k->f, v)->rows) {
            c->weights += (double)b->k->places[v].layout.bytes * growth(k->algorithm);
            continue;
        }
        if (!of[v]) of[v] = add_value(arena, b, v, i);
        struct datum *o = &b->values.at[of[v] - 1];
        if (o->last != SIZE_MAX) o->last = i;
        touch(c, b, of[v] - 1);
    }
}

static void find_costs(struct arena *arena, struct bands *b) {
    uint32_t *of = NEW_N(arena, uint32_t, b->k->f->nodes.n);
    b->kernels = NEW_N(arena, struct cost_of, b->n);
    double weights = 0;
    for (size_t i = 0; i < b->n; i++) {
        const struct kernel *k = &b->k->kernels.at[i];
        struct cost_of *c = &b->kernels[i];
        add_outs(arena, b, i, of);
        add_ins(arena, b, i, of);
        if (k->prologue != NID_NONE) c->own += (double)k->scratch_layout.bytes;
        c->own += (double)k->work_bytes;
        c->each_row = !kernel_joins_rows(b->k, k);
        weights += c->weights;
    }
    for (size_t i = 0; i < b->n && weights <= b->room / 2; i++) b->kernels[i].weights = 0;
}

// ---- what a band costs ----------------------------------------------------------------

struct span_of { // a band: kernels [first, end)
    size_t first, end;
    double weights; // of all
    double most;    // bytes a row, where they are most
};

static bool inside(const struct span_of *s, const struct datum *v) {
    return v->first >= s->first && v->last < s->end;
}

// The band grows by a kernel in front: what that makes lies between the kernels behind it.
static void extend(struct bands *b, struct span_of *s) {
    const struct cost_of *c = &b->kernels[--s->first];
    s->weights += c->weights;
    b->across[s->first] = 0;
    for (size_t i = 0; i < c->values.n; i++) {
        const struct datum *v = &b->values.at[c->values.at[i]];
        if (v->first != s->first || !inside(s, v)) continue;
        for (size_t k = v->first + 1; k < v->last; k++) b->across[k] += v->bytes;
    }
    s->most = 0;
    for (size_t k = s->first; k < s->end; k++) {
        double bytes = b->kernels[k].touched + b->across[k];
        if (bytes > s->most) s->most = bytes;
    }
}

static double values_cost(const struct bands *b, const struct span_of *s, size_t k,
                          double rows) {
    const struct cost_of *c = &b->kernels[k];
    double need = rows * (c->touched + b->across[k]) + c->weights + c->own, cost = 0;
    double out = need > b->room ? 1 - b->room / need : 0;
    for (size_t i = 0; i < c->values.n; i++) {
        const struct datum *v = &b->values.at[c->values.at[i]];
        cost += v->bytes * (inside(s, v) ? out : CROSSING);
    }
    return cost;
}

// A band's cost with so many rows a round, for a row of a call.
struct round_cost {
    double each; // whatever the call's rows
    double call; // once a call
};

// Weights that stay while a band is at work have to come once a call.
static bool stay(const struct bands *b, const struct span_of *s, double rows) {
    return s->weights + rows * s->most <= b->room;
}

static double weights_cost(const struct bands *b, size_t k, double rows) {
    const struct cost_of *c = &b->kernels[k];
    bool again = c->each_row && c->weights > b->room / 2;
    return again ? c->weights : c->weights / rows;
}

static struct round_cost round_cost(const struct bands *b, const struct span_of *s,
                                    double rows) {
    bool kept = stay(b, s, rows);
    struct round_cost cost = {.call = kept ? s->weights : 0};
    for (size_t k = s->first; k < s->end; k++) {
        cost.each += values_cost(b, s, k, rows) + CALL_BYTES / rows;
        if (!kept) cost.each += weights_cost(b, k, rows);
    }
    return cost;
}

// ---- the best cut ---------------------------------------------------------------------

static void improve(struct cut *to, double cost, size_t first, size_t rows) {
    if (!to->rows || cost < to->cost) *to = (struct cut){cost, first, rows};
}

// Calls of ROWS[r] rows can take any band so many rows, or fewer, at a time.
static void try_band(struct bands *b, const struct span_of *s) {
    struct round_cost round[NROWS];
    for (size_t r = 0; r < NROWS; r++) {
        round[r] = round_cost(b, s, (double)ROWS[r]);
        double before = b->best[r][s->first].cost;
        for (size_t i = 0; i <= r; i++) {
            double cost = round[i].each + round[i].call / (double)ROWS[r];
            improve(&b->best[r][s->end], before + cost, s->first, ROWS[i]);
        }
    }
}

static void find_cuts(struct arena *arena, struct bands *b) {
    b->across = NEW_N(arena, double, b->n);
    for (size_t r = 0; r < NROWS; r++) b->best[r] = NEW_N(arena, struct cut, b->n + 1);
    for (size_t end = 1; end <= b->n; end++) {
        struct span_of s = {.first = end, .end = end};
        while (s.first > 0 && end - s.first < LONGEST) {
            extend(b, &s);
            try_band(b, &s);
        }
    }
}

// The fewest rows of a call that cost about the least.
static size_t choose_rows(const struct bands *b, double work, size_t most) {
    size_t best = 0;
    for (size_t r = 1; r < NROWS && ROWS[r] <= most; r++)
        if (b->best[r][b->n].cost < b->best[best][b->n].cost) best = r;
    double least = b->best[best][b->n].cost;
    size_t r = 0;
    while (b->best[r][b->n].cost > least + WORTH * (work + least)) r++;
    return r;
}

static void keep_bands(struct arena *arena, const struct bands *b, size_t r,
                       struct kfunc *k) {
    size_t n = 0;
    for (size_t end = b->n; end > 0; end = b->best[r][end].first) n++;
    k->bands.n = 0;
    for (size_t i = 0; i < n; i++) VEC_PUSH(arena, &k->bands, (struct band){0});
    for (size_t end = b->n; end > 0; end = b->best[r][end].first) {
        const struct cut *c = &b->best[r][end];
        k->bands.at[--n] = (struct band){end - c->first, c->rows};
    }
}

void bands_choose(struct arena *arena, const struct target *t, struct kfunc *k,
                  size_t most) {
    struct bands b = {.k = k, .room = (double)t->l2 * 3 / 4, .n = k->kernels.n};
    k->batch = 1;
    if (b.n == 0) return;
    find_costs(arena, &b);
    find_cuts(arena, &b);
    double flops = func_flops(k->f);
    if ((double)most * flops > CALL_FLOPS)
        most = size_max(1, (size_t)(CALL_FLOPS / flops));
    // A vector of multiply-adds takes about as long as so many bytes from far away.
    size_t r = choose_rows(&b, flops / (double)t->lanes, most);
    k->batch = ROWS[r];
    keep_bands(arena, &b, r, k);
}
