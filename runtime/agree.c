// See agree.h. Sums go over rows in their order, in double: the same rows give the same
// words.
#include "runtime/agree.h"

#include <math.h>

#define SAMPLE_SHARE 64 // of so many rows one is compared,
#define SAMPLE_LEAST 32 // but not fewer
#define SAMPLE_MOST  256

// ---- which rows ----------------------------------------------------------------------
size_t agree_sample(size_t n) {
    size_t wanted = size_max(n / SAMPLE_SHARE, SAMPLE_LEAST);
    return size_min(n, size_min(wanted, SAMPLE_MOST));
}

// The middle one of each part.
size_t agree_pick(size_t n, size_t i) {
    size_t parts = agree_sample(n), each = n / parts, over = n % parts;
    return i * each + i * over / parts + each / 2;
}

// ---- ranks ---------------------------------------------------------------------------
struct ranked {
    float value;
    size_t at;
};

static int by_value(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

static bool all_numbers(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

// From 0; equal numbers have the mean of the ranks they take up. sorted: room for n.
static void ranks_of(const float *x, size_t n, struct ranked *sorted, double *rank) {
    for (size_t i = 0; i < n; i++) sorted[i] = (struct ranked){x[i], i};
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && !(sorted[end].value > sorted[i].value);) end++;
        for (size_t k = i; k < end; k++) rank[sorted[k].at] = (double)(i + end - 1) / 2;
    }
}

bool agree_spearman(struct arena *a, const float *x, const float *y, size_t n,
                    double *out) {
    if (n < 2 || !all_numbers(x, n) || !all_numbers(y, n)) return false;
    struct ranked *sorted = NEW_N(a, struct ranked, n);
    double *rx = NEW_N(a, double, n), *ry = NEW_N(a, double, n);
    double mean = (double)(n - 1) / 2, xx = 0, yy = 0, xy = 0;
    ranks_of(x, n, sorted, rx);
    ranks_of(y, n, sorted, ry);
    for (size_t i = 0; i < n; i++) {
        xx += (rx[i] - mean) * (rx[i] - mean);
        yy += (ry[i] - mean) * (ry[i] - mean);
        xy += (rx[i] - mean) * (ry[i] - mean);
    }
    if (!(xx > 0) || !(yy > 0)) return false;
    *out = xy / (sqrt(xx) * sqrt(yy));
    return true;
}

// ---- errors --------------------------------------------------------------------------
static double error_at(const struct agree_rows *r, size_t i) {
    return fabs((double)r->got[i] - (double)r->want[i]);
}

static void list_errors(double *error, size_t n, struct agreement *out) {
    if (!n) return;
    out->median = median_of(error, n);
    out->largest = error[n - 1]; // they are sorted
}

// A share of the largest number, if there is one.
static void measure_numbers(struct arena *a, const struct agree_rows *r,
                            struct agreement *out) {
    size_t n = out->rows * r->row;
    double *error = NEW_N(a, double, n), scale = 0;
    for (size_t i = 0; i < n; i++) {
        scale = fmax(scale, fabs((double)r->want[i]));
        error[i] = error_at(r, i);
    }
    list_errors(error, n, out);
    if (!(scale > 0)) return;
    out->largest /= scale;
    out->median /= scale;
}

// Most of many probabilities are next to nought: what counts of a row is the largest
// error.
static void measure_labels(struct arena *a, const struct agree_rows *r,
                           struct agreement *out) {
    double *error = NEW_N(a, double, out->rows);
    for (size_t i = 0; i < out->rows * r->row; i++)
        error[i / r->row] = fmax(error[i / r->row], error_at(r, i));
    list_errors(error, out->rows, out);
}

// ---- order ---------------------------------------------------------------------------
static void take_correlation(struct agreement *out, double rho) {
    out->least = out->ranked ? fmin(out->least, rho) : rho;
    out->mean += (rho - out->mean) / (double)++out->ranked;
}

static void rank_maps(struct arena *a, const struct agree_rows *r,
                      struct agreement *out) {
    double rho;
    for (size_t i = 0; i < out->rows; i++)
        if (agree_spearman(a, r->got + i * r->row, r->want + i * r->row, r->row, &rho))
            take_correlation(out, rho);
}

static void rank_rows(struct arena *a, const struct agree_rows *r,
                      struct agreement *out) {
    double rho;
    if (!agree_spearman(a, r->got, r->want, out->rows, &rho)) return;
    out->ranked = out->rows;
    out->mean = out->least = rho;
}

// The first of the largest, as everywhere.
static size_t top_of(const float *x, size_t n) {
    size_t top = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[top]) top = i;
    return top;
}

static void count_tops(const struct agree_rows *r, struct agreement *out) {
    for (size_t i = 0; i < out->rows; i++)
        out->same +=
            top_of(r->got + i * r->row, r->row) == top_of(r->want + i * r->row, r->row);
}

// ---- all of it -----------------------------------------------------------------------
// The rows that can be compared, in memory of their own.
static struct agree_rows comparable(struct arena *a, const struct agree_rows *r,
                                    struct agreement *out) {
    struct agree_rows kept = *r;
    size_t bytes = r->row * sizeof *r->got;
    float *got = arena_dup(a, r->got, r->rows, bytes);
    float *want = arena_dup(a, r->want, r->rows, bytes);
    for (size_t i = 0; i < r->rows; i++) {
        const float *g = r->got + i * r->row, *w = r->want + i * r->row;
        if (r->answers && r->answers[i] != r->wanted[i]) out->others++;
        else if (!all_numbers(g, r->row) || !all_numbers(w, r->row)) out->broken++;
        else {
            memcpy(got + out->rows * r->row, g, bytes);
            memcpy(want + out->rows++ * r->row, w, bytes);
        }
    }
    kept.got = got;
    kept.want = want;
    return kept;
}

struct agreement agree_of(struct arena *a, const struct agree_rows *r) {
    struct agreement out = {0};
    struct agree_rows kept = comparable(a, r, &out);
    if (r->kind == AGREE_LABELS) measure_labels(a, &kept, &out);
    else measure_numbers(a, &kept, &out);
    switch (r->kind) {
    case AGREE_MAPS: rank_maps(a, &kept, &out); break;
    case AGREE_SCORES: rank_rows(a, &kept, &out); break;
    case AGREE_LABELS: count_tops(&kept, &out); break;
    }
    return out;
}

// ---- words ---------------------------------------------------------------------------
static const char *rows_text(struct arena *a, size_t n) {
    return arena_printf(a, "%zu row%s", n, n == 1 ? "" : "s");
}

static const char *number_text(struct arena *a, double v) {
    if (v > 0 && v < 1e-6) return "under 1e-06";
    return arena_printf(a, v < 10 ? "%.2g" : "%.0f", v);
}

static void say_errors(struct text *t, const struct agreement *g, bool labels) {
    double unit = labels ? 1 : 100;
    const char *most = number_text(t->arena, g->largest * unit);
    const char *median = number_text(t->arena, g->median * unit);
    text_add(t,
             labels ? " by at most %s in a probability (median %s)"
                    : " by at most %s%% of the largest value (median %s%%)",
             most, median);
    text_add(t, " in %s", rows_text(t->arena, g->rows));
}

static void say_order(struct text *t, enum agree_kind kind, const struct agreement *g) {
    if (kind == AGREE_LABELS)
        text_add(t, "; the most probable class is the same in %zu of %zu", g->same,
                 g->rows);
    else if (!g->ranked) text_add(t, "; there is no order to compare");
    else if (kind == AGREE_SCORES) text_add(t, "; Spearman %.4f", g->mean);
    else
        text_add(t, "; Spearman within maps %.4f on average, %.4f at least", g->mean,
                 g->least);
}

const char *agree_words(struct arena *a, const char *name, enum agree_kind kind,
                        const struct agreement *g) {
    struct text t = {.arena = a};
    text_add(&t, "%s", name);
    if (!g->rows) text_add(&t, " has no rows that can be compared with fp32");
    else if (!(g->largest > 0))
        text_add(&t, " is the same as in fp32 in %s", rows_text(a, g->rows));
    else {
        text_add(&t, " differs from fp32");
        say_errors(&t, g, kind == AGREE_LABELS);
        say_order(&t, kind, g);
    }
    if (g->others)
        text_add(&t, "; %s more explain%s another class in fp32", rows_text(a, g->others),
                 g->others == 1 ? "s" : "");
    if (g->broken)
        text_add(&t, "; %s more hold%s what is no number", rows_text(a, g->broken),
                 g->broken == 1 ? "s" : "");
    return t.at;
}
