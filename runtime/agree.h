// How far the numbers of one computation are from those of another: what bf16 does to a
// value, told from the same rows computed in fp32.
//
// Errors are shares of the largest number there is, in fp32, so that what is nearly
// nought does not count for more than it is worth; of labels, each row's largest
// difference between probabilities. What matters to whoever chooses by a value is its
// order: Spearman's correlation of ranks, within each map (where is the most telling
// part?) or over the rows (which are the best?); of labels, how often the most probable
// class is the same. Numbers that are none (NaN, infinities) are counted by row, and such
// a row says nothing else.
//
// Statistics only: agree_run.h has the rows.
#ifndef DDG_AGREE_H
#define DDG_AGREE_H

#include "runtime/plan.h"

struct agree_rows { // the same rows twice
    enum agree_kind kind;
    size_t rows, row;       // of so many numbers each
    const float *got;       // in bf16
    const float *want;      // in fp32
    const int32_t *answers; // the class that each row is about, or NULL: the same in both
    const int32_t *wanted;  // the same in fp32
};

struct agreement {
    size_t rows;            // compared
    size_t others;          // left out: they are about another class
    size_t broken;          // left out: not all of their numbers are numbers
    double largest, median; // error
    // Of maps or scores: how many maps, or rows, of which not all numbers are the same;
    // there is no correlation when ranked is 0.
    size_t ranked;
    double mean, least; // of Spearman's correlation; of scores there is one
    size_t same;        // labels: rows with the same most probable class
};

// Spearman's correlation of n numbers, equal ones sharing the mean of their ranks. False:
// it is not defined, since all numbers of one side are equal, or one is no number.
bool agree_spearman(struct arena *a, const float *x, const float *y, size_t n,
                    double *out);

struct agreement agree_of(struct arena *a, const struct agree_rows *r);

// "phi differs from fp32 by at most 0.41% of the largest value (median 0.03%) in 128
// rows; Spearman within maps 0.9980 on average, 0.9910 at least"
const char *agree_words(struct arena *a, const char *name, enum agree_kind kind,
                        const struct agreement *g);

// How many of n rows are compared, and which of them the i-th is: evenly spaced.
size_t agree_sample(size_t n);
size_t agree_pick(size_t n, size_t i);

#endif
