// See bands.h. Depth first: a few rows go through kernel after kernel while what one
// hands to the next is in the second-level cache (KERNELS: worth 1.25 to 1.75 times). How
// many rows, and through how many kernels, is a matter of what has to come from farther
// away:
//
// - what a band reads of others, and what others read of it;
// - what lives inside of a band but is pushed out before it is read, by as many rows of
//   what is read and written meanwhile, and the weights;
// - weights: once for each call if those of the whole band stay in cache, else once for
//   as many rows of a round as a kernel takes through each of them; never, if those of
//   all kernels stay;
// - as if they were bytes, too: the call of a kernel; and sums of nothing, where the rows
//   of a round do not fill the tiles of Winograd's kernels.
//
// What is touched again only when more than a core's part of the third-level cache has
// been comes from farther still; weights do so, too, but are asked for ahead.
//
// The sum, in bytes a row, is least over all ways of cutting the kernels into bands and
// all numbers of rows; larger calls are taken only where they save something to speak of.
// None of it can be seen in results: kernels compute each row by itself.
#include "passes/bands.h"

#include "passes/joint.h"

#include "ir/winograd.h"

#include <math.h>

#define LONGEST 256 // kernels of a band: bounds the search

#define THIRD (8.0 * (1 << 20)) // bytes of the third-level cache that a core may count on

// Bytes that come from far away.
#define FARTHER     3.0    // more for a byte that comes from behind the third-level cache
#define CROSSING    1.5    // for a byte between bands: it is written there as well
#define CALL_BYTES  4000.0 // while a kernel is called: about 0.1 us
#define BAND_BYTES  64.0   // one band more: only where it saves something
#define PHASE_BYTES 3e5 // the same of a joint function, whose workers wait for each other
#define FMA_BYTES   2.0 // while vectors are multiplied and added

#define WORTH      0.02 // of all work: what a larger call must save
#define CALL_FLOPS 4e11 // of a call: about a second, in which nobody can stop it

static const size_t ROWS[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64};
#define NROWS COUNT(ROWS)

struct datum { // a row of a stored value
    double bytes;
    size_t made, last; // kernels that make it and that read it last; SIZE_MAX: the caller
    struct touch *touched; // lately
};

struct touch { // a kernel makes or reads a value
    const struct datum *value;
    size_t kernel;
    struct touch *next; // of the value
    double
        lost[NROWS]; // bytes of it pushed out since the touch before, by rows of a round
};

struct cost_of { // one kernel
    size_t ntouches;
    struct touch *touches[KERNEL_MAX_BUFFERS + COUNT(((struct kernel *)0)->outs)];
    double touched;         // bytes of a row that it makes and reads
    double weights;         // bytes
    double fixed;           // bytes, whatever the rows: weights, scratch and work
    double work[NROWS];     // calls and sums of nothing, as bytes a row
    double streamed[NROWS]; // weights as bytes a row, if those of the band do not stay
    double made_before, fixed_before; // sums over the kernels before it
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
    struct cost_of *kernels;
    struct cut *best[NROWS]; // by kernels in front, for calls of so many rows
};

// ---- what kernels need ---------------------------------------------------------------

// Winograd's weights have as many places as its tiles.
static double growth(enum algorithm a) {
    switch (a) {
    case ALGORITHM_DIRECT: return 1;
    case ALGORITHM_WINOGRAD_2: return 16.0 / 9;
    case ALGORITHM_WINOGRAD_4: return 36.0 / 9;
    }
    BUG("no such algorithm");
}

static struct datum *new_datum(struct arena *arena, const struct bands *b, nid v,
                               size_t kernel) {
    const struct place *p = &b->k->places[v];
    struct datum *d = NEW(arena, struct datum);
    d->bytes = (double)p->layout.bytes;
    d->made = d->last = p->kind == PLACE_ARENA ? kernel : SIZE_MAX;
    return d;
}

static void add_touch(struct arena *arena, struct bands *b, struct datum *d, size_t i) {
    struct cost_of *c = &b->kernels[i];
    struct touch *t = NEW(arena, struct touch);
    CHECK(c->ntouches < COUNT(c->touches));
    *t = (struct touch){.value = d, .kernel = i};
    c->touches[c->ntouches++] = t;
    c->touched += d->bytes;
    if (d->touched) d->touched->next = t;
    d->touched = t;
    if (d->last != SIZE_MAX) d->last = i;
}

static void find_touches(struct arena *arena, struct bands *b, size_t i,
                         struct datum **of) {
    const struct kernel *k = &b->k->kernels.at[i];
    struct cost_of *c = &b->kernels[i];
    for (size_t j = 0; j < k->nouts + k->nins; j++) {
        nid v = j < k->nouts ? k->outs[j] : k->ins[j - k->nouts];
        if (type_at(b->k->f, v)->rows) {
            if (!of[v]) of[v] = new_datum(arena, b, v, i);
            add_touch(arena, b, of[v], i);
        } else if (k->anchor != NID_NONE) {
            // Of what they gather from, loops read no more for a row than they write.
            c->weights += (double)b->k->places[v].layout.bytes * growth(k->algorithm);
        }
    }
    if (k->prologue != NID_NONE) c->fixed += (double)k->scratch_layout.bytes;
    c->fixed += (double)k->work_bytes + c->weights;
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
    struct winograd w = winograd_of_kernel(b->t, b->k, k);
    double tiles = rows * (double)winograd_row_tiles(&w), at_once = (double)w.tile_tiles;
    double missing = ceil(tiles / at_once) * at_once - tiles;
    return FMA_BYTES * missing * (double)(w.n * w.n * w.channels * w.out) / rows;
}

// Sums over kernels, for what is touched between two of them.
static void sum_before(struct bands *b) {
    for (size_t i = 1; i < b->n; i++) {
        const struct cost_of *before = &b->kernels[i - 1];
        double made = 0;
        for (size_t j = 0; j < before->ntouches; j++)
            if (before->touches[j]->value->made == i - 1)
                made += before->touches[j]->value->bytes;
        b->kernels[i].made_before = before->made_before + made;
        b->kernels[i].fixed_before = before->fixed_before + before->fixed;
    }
}

// Of bytes that are touched again when `need` others have been, what coming from behind
// the third-level cache costs.
static double farther(double bytes, double need) {
    return need > THIRD ? FARTHER * bytes * (1 - THIRD / need) : 0;
}

// What is pushed out between two touches of a value: as much as all that is touched by
// then exceeds the cache, rows being taken one after the other.
static void find_lost(const struct bands *b, struct touch *from) {
    struct touch *to = from->next;
    if (!to) return;
    const struct cost_of *p = &b->kernels[from->kernel], *q = &b->kernels[to->kernel];
    const struct cost_of *behind = p + (to->kernel > from->kernel);
    double row = fmax(p->touched, q->touched) + q->made_before - behind->made_before;
    double fixed = fmax(p->fixed, q->fixed) + q->fixed_before - behind->fixed_before;
    for (size_t r = 0; r < b->nrows; r++) {
        double need = (double)ROWS[r] * row + fixed;
        if (need > b->room) to->lost[r] = to->value->bytes * (1 - b->room / need);
        to->lost[r] += farther(to->value->bytes, (double)ROWS[r] * row);
    }
}

static void find_costs(struct arena *arena, struct bands *b) {
    struct datum **of = NEW_N(arena, struct datum *, b->k->f->nodes.n);
    double weights = 0;
    b->kernels = NEW_N(arena, struct cost_of, b->n);
    for (size_t i = 0; i < b->n; i++) {
        find_touches(arena, b, i, of);
        weights += b->kernels[i].weights;
    }
    sum_before(b);
    for (size_t i = 0; i < b->n; i++) {
        struct cost_of *c = &b->kernels[i];
        for (size_t j = 0; j < c->ntouches; j++) find_lost(b, c->touches[j]);
        if (weights <= b->room / 2) c->weights = 0;
        for (size_t r = 0; r < b->nrows; r++) {
            double rows = (double)ROWS[r];
            c->work[r] = CALL_BYTES / rows + waste(b, i, rows);
            c->streamed[r] = c->weights / rows_joined(b, i, rows);
        }
    }
}

// ---- what a band costs ---------------------------------------------------------------

struct span_of { // a band: kernels [first, end)
    size_t first, end;
    double weights; // of all
    double most;    // bytes of a row that one kernel touches
    double outside; // bytes of a row that come from other bands or go there
    // By rows of a round, sums over its kernels.
    double cost[NROWS], streamed[NROWS];
};

// A kernel comes in front: what it reads comes from outside. What was read from outside
// up to now, but is touched by it, may still be in cache; if it makes it for the band
// alone, what is pushed out was written, too.
static void extend_by(const struct bands *b, struct span_of *s, const struct touch *t) {
    const struct datum *v = t->value;
    bool makes = v->made == t->kernel, leaves = v->last >= s->end;
    bool again = t->next && t->next->kernel < s->end;
    double outside = (makes && !leaves ? 0 : 1) - (again ? 1 : 0);
    s->outside += v->bytes * outside;
    for (size_t r = 0; r < b->nrows; r++) {
        s->cost[r] += CROSSING * v->bytes * outside;
        if (again) s->cost[r] += t->next->lost[r] * (makes && !leaves ? 2 : 1);
    }
}

static void extend(const struct bands *b, struct span_of *s) {
    const struct cost_of *c = &b->kernels[--s->first];
    for (size_t i = 0; i < c->ntouches; i++) extend_by(b, s, c->touches[i]);
    s->most = fmax(s->most, c->touched);
    s->weights += c->weights;
    for (size_t r = 0; r < b->nrows; r++) {
        s->cost[r] += c->work[r];
        s->streamed[r] += c->streamed[r];
    }
}

// ---- the best cut --------------------------------------------------------------------

static void improve(struct cut *to, double cost, size_t first, size_t rows) {
    if (!to->rows || cost < to->cost) *to = (struct cut){cost, first, rows};
}

// Calls of ROWS[r] rows can take the band as many rows, or fewer, at a time. Weights that
// stay while it is at work have to come once a call. What is handed on to the next band
// is read when all rows of the call have been touched.
static void try_band(struct bands *b, const struct span_of *s) {
    double made = b->kernels[s->end - 1].made_before - b->kernels[s->first].made_before;
    double one_more = b->k->joint ? PHASE_BYTES : BAND_BYTES;
    for (size_t i = 0; i < b->nrows; i++) {
        double cost = one_more + s->cost[i];
        bool stay = s->weights + (double)ROWS[i] * s->most <= b->room;
        for (size_t r = i; r < b->nrows; r++) {
            double weights = stay ? s->weights / (double)ROWS[r] : s->streamed[i];
            double touched = (double)ROWS[r] * (s->outside + made);
            double all = cost + weights + farther(s->outside, touched);
            improve(&b->best[r][s->end], b->best[r][s->first].cost + all, s->first,
                    ROWS[i]);
        }
    }
}

// Those of joint functions have kernels of one sort.
static bool can_join(const struct bands *b, size_t first, size_t second) {
    if (!b->k->joint) return true;
    enum joint_sort sort = joint_sort(b->k, &b->k->kernels.at[second]);
    return sort != SORT_PARTS && sort == joint_sort(b->k, &b->k->kernels.at[first]);
}

static void find_cuts(struct arena *arena, struct bands *b) {
    for (size_t r = 0; r < b->nrows; r++) b->best[r] = NEW_N(arena, struct cut, b->n + 1);
    for (size_t end = 1; end <= b->n; end++) {
        struct span_of s = {.first = end, .end = end};
        while (s.first > 0 && end - s.first < LONGEST) {
            if (s.first < end && !can_join(b, s.first - 1, s.first)) break;
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
        k->bands.at[--n] = (struct band){.nkernels = end - c->first, .rows = c->rows};
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
    k->batch = k->joint ? k->f->batch : 1;
    if (b.n == 0) return;
    find_costs(arena, &b);
    find_cuts(arena, &b);
    size_t r = b.nrows - 1; // a joint function's call is the batch
    if (!k->joint) {
        r = choose_rows(&b, FMA_BYTES * flops / 2 / (double)t->lanes);
        k->batch = ROWS[r];
    }
    keep_bands(arena, &b, r, k);
}
