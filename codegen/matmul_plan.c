// See matmul_plan.h.
#include "codegen/matmul_plan.h"

#include "codegen/words.h"
#include "ir/build.h"

// As many sums as leave registers for a line of y and an element of x.
size_t matmul_rows(const struct matmul_plan *p, size_t blocks) {
    size_t sums = p->t->registers >= 32 ? 24 : 12;
    return size_min(sums / blocks, MATMUL_MAX_ROWS);
}

// Cycles a tile takes for each word: two multiply-adds and two loads a cycle, four cycles
// from one to the next on the same sum, six if they are of pairs; lines of y come from
// farther away than words of x.
static double tile_cycles(const struct matmul_plan *p, size_t rows, size_t blocks) {
    double least = p->step == 2 ? 6 : 4;
    double work = (double)(rows * blocks), loads = (double)rows + 1.5 * (double)blocks;
    double cycles = work > loads ? work / 2 : loads / 2;
    return (cycles > least ? cycles : least) + loads / 20;
}

static double column_cycles(const struct matmul_plan *p, size_t blocks) {
    size_t rows = matmul_rows(p, blocks), rest = p->m % rows;
    double cycles = (double)(p->m / rows) * tile_cycles(p, rows, blocks);
    return rest ? cycles + tile_cycles(p, rest, blocks) : cycles;
}

static size_t vectors(const struct matmul_plan *p) {
    return (p->n + p->t->lanes - 1) / p->t->lanes;
}

size_t matmul_most_blocks(const struct matmul_plan *p) {
    size_t most = p->t->registers >= 32 ? MATMUL_MAX_BLOCKS : 2;
    return size_max(1, size_min(vectors(p), most));
}

// Products of a single row take rows of the batch for rows of the tile: they are as many
// as there happen to be, and the more of them share what is read of y the better. But
// lines of x some pages apart share few places of the first cache: eight rows, in place
// of twelve.
static size_t best_blocks(const struct matmul_plan *p) {
    size_t all = vectors(p);
    if (p->m == 1) return size_max(1, size_min(all, p->t->registers >= 32 ? 3 : 2));
    size_t best = matmul_most_blocks(p);
    double least = 0;
    for (size_t blocks = best; blocks >= 1; blocks--) {
        double cycles = (double)(all / blocks) * column_cycles(p, blocks);
        if (all % blocks) cycles += column_cycles(p, all % blocks);
        if (least > 0 && cycles >= least) continue;
        least = cycles;
        best = blocks;
    }
    return best;
}

// A part of a group, and of the rows of x that meet it, in an eighth of the cache.
static size_t depth_in_cache(const struct matmul_plan *p) {
    size_t line = p->blocks * p->t->lanes * sizeof(float);
    size_t most = size_max(p->t->l2 / 8 / line, 64);
    return p->words > 2 * most ? most : p->words;
}

struct matmul_plan matmul_plan_of(const struct target *t, const struct func *f,
                                  const struct kernel *k) {
    const struct node *n = node_at(f, k->anchor);
    const size_t *x = type_at(f, n->in[0])->dim, *out = n->type.dim;
    struct matmul_plan p = {.t = t, .lead = n->type.rank - 2, .stack = 1};
    p.tx = attr_int(n, "tx") != 0;
    p.ty = attr_int(n, "ty") != 0;
    for (uint32_t i = 0; i < p.lead; i++) p.stack *= out[i];
    p.m = out[p.lead];
    p.n = out[p.lead + 1];
    p.k = x[p.lead + !p.tx];
    p.step = word_step(type_at(f, n->in[0])->elem);
    p.words = words_of(p.k, p.step);
    CHECK(k->tiling.blocks <= matmul_most_blocks(&p));
    p.blocks = k->tiling.blocks ? k->tiling.blocks : best_blocks(&p);
    p.depth = depth_in_cache(&p);
    return p;
}

// ---- packed operands -----------------------------------------------------------------

size_t matmul_matrix_words(const struct matmul_plan *p) {
    return vectors(p) * p->t->lanes * p->words;
}

size_t matmul_pack_words(const struct matmul_plan *p) {
    return p->stack * matmul_matrix_words(p);
}

#define TOGETHER ((size_t)16) // lines packed column by column while they are in cache

// Lines [i, end) of words of a group of `width` columns from `from` on.
static void pack_lines(const struct matmul_plan *p, const char *y, size_t from,
                       size_t width, size_t i, size_t end, char *out) {
    size_t bytes = word_part(p->step);
    size_t down = p->ty ? 1 : p->n, across = p->ty ? p->k : 1;
    for (size_t j = 0; j < width; j++)
        for (size_t l = i; l < end; l++)
            for (size_t part = 0; part < p->step; part++) {
                size_t k = l * p->step + part, at = (from + j) * across + k * down;
                bool some = from + j < p->n && k < p->k;
                word_set(out + (l * width + j) * sizeof(float), p->step, part,
                         some ? y + at * bytes : NULL);
            }
}

static char *pack_matrix(const struct matmul_plan *p, const char *y, char *out) {
    size_t group = p->blocks * p->t->lanes, all = vectors(p) * p->t->lanes;
    for (size_t from = 0; from < all; from += group) {
        size_t width = size_min(group, all - from);
        for (size_t i = 0; i < p->words; i += TOGETHER)
            pack_lines(p, y, from, width, i, size_min(i + TOGETHER, p->words), out);
        out += width * p->words * sizeof(float);
    }
    return out;
}

void matmul_pack(const struct matmul_plan *p, const void *y, void *out) {
    size_t bytes = p->k * p->n * word_part(p->step);
    for (size_t i = 0; i < p->stack; i++)
        out = pack_matrix(p, (const char *)y + i * bytes, out);
}
