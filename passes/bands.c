// See bands.h. Depth first: a few rows go through kernel after kernel while what one hands
// to the next is in the second-level cache (KERNELS: worth 1.25 to 1.75 times). How many
// rows, and through how many kernels, is a matter of what has to come from farther away:
//
// - what a band reads of others, and what others read of it;
// - what lives inside of a band but is pushed out before it is read, as so many rows of it
//   and the weights need more than the cache;
// - weights: once for each call if those of the whole band stay in cache, else once for as
//   many rows of a round as a kernel takes through each of them; never, if those of all
//   kernels stay;
// - as if they were bytes, too: the call of a kernel; and sums of nothing, where the rows of a
//   round do not fill the tiles of Winograd's kernels.
//
// The sum, in bytes a row, is least over all ways of cutting the kernels into bands and all
// numbers of rows; larger calls are taken only where they save something to speak of. None
// of it can be seen in results: kernels compute each row by itself.
#include "passes/bands.h"

#include "ir/winograd.h"

#include <math.h>

#define LONGEST    64     // kernels of a band: bounds the search
#define CROSSING   1.5    // a byte between bands: written far away, fetched from there
#define CALL_BYTES 4000.0 // what a call costs: about 0.1 us
#define BAND_BYTES 64.0   // one band more: only where it saves something
#define FMA_BYTES  2.0  // that come from far away while vectors are multiplied and added
#define WORTH      0.02 // of all work: what a larger call must save
#define CALL_FLOPS 4e11 // of a call: about a second, in which nobody can stop it

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

// In bytes a row, by the rows of a round.
struct by_rows {
    double work;    // calls and sums of nothing
    double weights; // if those of the band do not stay
};

struct cost_of { // one kernel
    struct touched values;
    double touched; // bytes of these
    double weights; // and other constants, bytes
    double own;     // scratch and work, bytes
    struct by_rows at[NROWS];
};

struct cut { // the best way that ends behind a kernel
    double cost;
    size_t first; // kernel of its last band
    size_t rows;  // of that
};

struct bands {
    const struct kfunc *k;
    const struct target *t;
    double room;  // of cache
    size_t n;     // kernels
    size_t nrows; // of ROWS: what a call may take
    VEC(struct datum) values;
    struct cost_of *kernels;
    // By kernel, of the band at hand: bytes of a row that it touches and that do not leave
    // the band; that lie between others of the band while it runs.
    double *inside, *across;
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
    size_t at = p->kind == PLACE_ARENA ? kernel : SIZE_MAX;
    VEC_PUSH(arena, &b->values, (struct datum){(double)p->layout.bytes, at, at});
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
            // Of what they gather from, loops read no more for a row than they write.
            if (k->anchor == NID_NONE) continue;
            c->weights += (double)b->k->places[v].layout.bytes * growth(k->algorithm);
            continue;
        }
        if (!of[v]) of[v] = add_value(arena, b, v, i);
        struct datum *o = &b->values.at[of[v] - 1];
        if (o->last != SIZE_MAX) o->last = i;
        touch(c, b, of[v] - 1);
    }
}

static void add_own(const struct bands *b, size_t i) {
    const struct kernel *k = &b->k->kernels.at[i];
    if (k->prologue != NID_NONE) b->kernels[i].own += (double)k->scratch_layout.bytes;
    b->kernels[i].own += (double)k->work_bytes;
}

// Of `rows` rows, how many meet a weight while it is at hand.
static double rows_joined(const struct bands *b, size_t i, double rows) {
    const struct kernel *k = &b->k->kernels.at[i];
    if (b->kernels[i].weights <= b->room / 2) return rows;
    if (!kernel_joins_rows(b->k, k)) return 1;
    if (k->algorithm == ALGORITHM_DIRECT) return rows;
    return fmin(rows, (double)kernel_wants_rows(b->k, k));
}

// Sums of tiles that are not there, as bytes a row.
static double waste(const struct bands *b, size_t i, double rows) {
    const struct kernel *k = &b->k->kernels.at[i];
    if (k->anchor == NID_NONE || k->algorithm == ALGORITHM_DIRECT) return 0;
    struct winograd w = winograd_of(b->t, b->k->f, k->anchor, k->algorithm);
    double tiles = rows * (double)winograd_row_tiles(&w), at_once = (double)w.tile_tiles;
    double missing = ceil(tiles / at_once) * at_once - tiles;
    return FMA_BYTES * missing * (double)(w.n * w.n * w.channels * w.out) / rows;
}

static void find_costs(struct arena *arena, struct bands *b) {
    uint32_t *of = NEW_N(arena, uint32_t, b->k->f->nodes.n);
    double weights = 0;
    b->kernels = NEW_N(arena, struct cost_of, b->n);
    for (size_t i = 0; i < b->n; i++) {
        add_outs(arena, b, i, of);
        add_ins(arena, b, i, of);
        add_own(b, i);
        weights += b->kernels[i].weights;
    }
    for (size_t i = 0; i < b->n; i++)
        for (size_t r = 0; r < b->nrows; r++) {
            struct cost_of *c = &b->kernels[i];
            double rows = (double)ROWS[r];
            if (weights <= b->room / 2) c->weights = 0;
            c->at[r] = (struct by_rows){CALL_BYTES / rows + waste(b, i, rows),
                                        c->weights / rows_joined(b, i, rows)};
        }
}

// ---- what a band costs ----------------------------------------------------------------

struct span_of { // a band: kernels [first, end)
    size_t first, end;
    double weights;           // of all
    double most;              // bytes a row, where they are most
    struct by_rows at[NROWS]; // of all kernels
};

static bool touches(const struct cost_of *c, uint32_t value) {
    for (size_t i = 0; i < c->values.n; i++)
        if (c->values.at[i] == value) return true;
    return false;
}

// A value that does not leave the band: who touches it, and whom it lies in the way of.
static void keep_inside(struct bands *b, uint32_t value) {
    const struct datum *v = &b->values.at[value];
    for (size_t k = v->first; k <= v->last; k++) {
        double *to = touches(&b->kernels[k], value) ? b->inside : b->across;
        to[k] += v->bytes;
    }
}

// The band grows by a kernel in front.
static void extend(struct bands *b, struct span_of *s) {
    const struct cost_of *c = &b->kernels[--s->first];
    b->inside[s->first] = b->across[s->first] = 0;
    for (size_t i = 0; i < c->values.n; i++) {
        const struct datum *v = &b->values.at[c->values.at[i]];
        if (v->first == s->first && v->last < s->end) keep_inside(b, c->values.at[i]);
    }
    s->most = 0;
    for (size_t k = s->first; k < s->end; k++)
        s->most = fmax(s->most, b->kernels[k].touched + b->across[k]);
    s->weights += c->weights;
    for (size_t r = 0; r < b->nrows; r++) {
        s->at[r].work += c->at[r].work;
        s->at[r].weights += c->at[r].weights;
    }
}

static double values_cost(const struct bands *b, const struct span_of *s, double rows) {
    double cost = 0;
    for (size_t k = s->first; k < s->end; k++) {
        const struct cost_of *c = &b->kernels[k];
        double need = rows * (c->touched + b->across[k]) + c->weights + c->own;
        double out = need > b->room ? 1 - b->room / need : 0;
        cost += CROSSING * (c->touched - b->inside[k]) + out * b->inside[k];
    }
    return cost;
}

// ---- the best cut ---------------------------------------------------------------------

static void improve(struct cut *to, double cost, size_t first, size_t rows) {
    if (!to->rows || cost < to->cost) *to = (struct cut){cost, first, rows};
}

// Calls of ROWS[r] rows can take the band as many rows, or fewer, at a time. Weights that
// stay while it is at work have to come once a call.
static void try_band(struct bands *b, const struct span_of *s) {
    for (size_t i = 0; i < b->nrows; i++) {
        double rows = (double)ROWS[i];
        double cost = BAND_BYTES + values_cost(b, s, rows) + s->at[i].work;
        bool stay = s->weights + rows * s->most <= b->room;
        for (size_t r = i; r < b->nrows; r++) {
            double weights = stay ? s->weights / (double)ROWS[r] : s->at[i].weights;
            improve(&b->best[r][s->end], b->best[r][s->first].cost + cost + weights,
                    s->first, ROWS[i]);
        }
    }
}

static void find_cuts(struct arena *arena, struct bands *b) {
    b->inside = NEW_N(arena, double, b->n);
    b->across = NEW_N(arena, double, b->n);
    for (size_t r = 0; r < b->nrows; r++) b->best[r] = NEW_N(arena, struct cut, b->n + 1);
    for (size_t end = 1; end <= b->n; end++) {
        struct span_of s = {.first = end, .end = end};
        while (s.first > 0 && end - s.first < LONGEST) {
            extend(b, &s);
            try_band(b, &s);
        }
    }
}

// The fewest rows of a call that cost about the least; an index of ROWS.
static size_t choose_rows(const struct bands *b, double work) {
    double least = b->best[0][b->n].cost;
    for (size_t r = 1; r < b->nrows; r++) least = fmin(least, b->best[r][b->n].cost);
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

static size_t count_rows(double flops, size_t most) {
    size_t n = 1;
    while (n < NROWS && ROWS[n] <= most && (double)ROWS[n] * flops <= CALL_FLOPS) n++;
    return n;
}

void bands_choose(struct arena *arena, const struct target *t, struct kfunc *k,
                  size_t most) {
    double flops = func_flops(k->f);
    struct bands b = {.k = k,
                      .t = t,
                      .room = (double)t->l2 * 3 / 4,
                      .n = k->kernels.n,
                      .nrows = count_rows(flops, most)};
    k->batch = 1;
    if (b.n == 0) return;
    find_costs(arena, &b);
    find_cuts(arena, &b);
    size_t r = choose_rows(&b, FMA_BYTES * flops / 2 / (double)t->lanes);
    k->batch = ROWS[r];
    keep_bands(arena, &b, r, k);
}
