// Whether the model's outputs stand for the folders in another order than that of their
// names.
//
// Two orders follow from the names: people write 1, 2, 10 and sort without regard to
// capitals. Any other is read off what the model says: the output that it gives most
// images of a folder is taken for the folder's, where no other folder has more of it. So
// that this does not find an order in mere confusion, the images are halved: what is read
// off one half is judged by the other.
#include "runtime/trial_impl.h"

// ---- by name -------------------------------------------------------------------------
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t digits(const char *s) {
    size_t n = 0;
    while (is_digit(s[n])) n++;
    return n;
}

// Compares the numbers that two names go on with, and goes past them.
static int by_number(const char **a, const char **b) {
    while (**a == '0' && is_digit((*a)[1])) ++*a;
    while (**b == '0' && is_digit((*b)[1])) ++*b;
    size_t n = digits(*a), m = digits(*b);
    int order = n != m ? (n < m ? -1 : 1) : strncmp(*a, *b, n);
    *a += n, *b += m;
    return order;
}

static int lower(char c) {
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

static int compare(const char *a, const char *b, enum trial_order order) {
    const char *s = a, *t = b;
    while (*s && *t) {
        int d = 0;
        if (order == ORDER_NUMBERS && is_digit(*s) && is_digit(*t)) d = by_number(&s, &t);
        else if (order == ORDER_CASELESS) d = lower(*s++) - lower(*t++);
        else d = (unsigned char)*s++ - (unsigned char)*t++;
        if (d) return d;
    }
    return *s ? 1 : *t ? -1 : strcmp(a, b);
}

struct named {
    const char *name;
    uint32_t folder;
};

static int by_numbers(const void *a, const void *b) {
    const struct named *x = a, *y = b;
    return compare(x->name, y->name, ORDER_NUMBERS);
}

static int by_letters(const void *a, const void *b) {
    const struct named *x = a, *y = b;
    return compare(x->name, y->name, ORDER_CASELESS);
}

// The place of each folder in that order; NULL when it is that of the names, or there are
// not as many folders as outputs.
static const uint32_t *named_order(struct arena *a, const struct trial *t,
                                   enum trial_order order) {
    if (t->nnames != t->classes) return NULL;
    struct named *sorted = NEW_N(a, struct named, t->nnames);
    uint32_t *output = NEW_N(a, uint32_t, t->nnames);
    bool other = false;
    for (uint32_t i = 0; i < t->nnames; i++) sorted[i] = (struct named){t->names[i], i};
    qsort(sorted, t->nnames, sizeof *sorted,
          order == ORDER_NUMBERS ? by_numbers : by_letters);
    for (uint32_t i = 0; i < t->nnames; i++) {
        output[sorted[i].folder] = i;
        other = other || sorted[i].folder != i;
    }
    return other ? output : NULL;
}

// ---- by what is said -----------------------------------------------------------------
struct vote { // images of a folder that an output was said of
    uint32_t folder, output;
    size_t count;
};

static int by_folder(const void *a, const void *b) {
    const struct vote *x = a, *y = b;
    if (x->folder != y->folder) return x->folder < y->folder ? -1 : 1;
    return x->output < y->output ? -1 : x->output > y->output;
}

// Of two outputs of a folder, or two folders of an output: more votes, then its own, then
// the first.
static bool outvotes(const struct vote *x, const struct vote *y) {
    if (x->count != y->count) return x->count > y->count;
    return x->folder == x->output && y->folder != y->output;
}

// One vote for each folder and output that came up, counted.
static size_t count_votes(struct vote *v, size_t n) {
    size_t kept = 0;
    qsort(v, n, sizeof *v, by_folder);
    for (size_t i = 0; i < n; i++)
        if (kept && by_folder(&v[kept - 1], &v[i]) == 0) v[kept - 1].count++;
        else v[kept++] = v[i];
    return kept;
}

// By output, the vote that it goes to first; folders without a vote come last.
static int by_owner(const void *a, const void *b) {
    const struct vote *x = a, *y = b;
    if (!x->count != !y->count) return x->count ? -1 : 1;
    if (x->output != y->output) return x->output < y->output ? -1 : 1;
    if (outvotes(x, y)) return -1;
    if (outvotes(y, x)) return 1;
    return x->folder < y->folder ? -1 : x->folder > y->folder;
}

// The output of each folder, one to one.
static uint32_t *elect(struct arena *a, const struct trial *t, struct vote *v, size_t n) {
    struct vote *first = NEW_N(a, struct vote, t->nnames); // count 0: none
    uint32_t *output = NEW_N(a, uint32_t, t->nnames);
    n = count_votes(v, n);
    for (size_t i = 0; i < n; i++)
        if (outvotes(&v[i], &first[v[i].folder])) first[v[i].folder] = v[i];
    for (size_t c = 0; c < t->nnames; c++) output[c] = TRIAL_NO_OUTPUT;
    qsort(first, t->nnames, sizeof *first, by_owner);
    for (size_t i = 0; i < t->nnames && first[i].count; i++)
        if (!i || first[i].output != first[i - 1].output)
            output[first[i].folder] = first[i].output;
    return output;
}

enum half { FIRST, SECOND, WHOLE };

// half: of each image.
static uint32_t *said_order(struct arena *a, const struct trial *t, const struct said *s,
                            const uint8_t *half, enum half which) {
    struct vote *votes = NEW_N(a, struct vote, s->n);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        bool counts = which == WHOLE || half[i] == which;
        if (counts && s->said[i] >= 0 && (uint32_t)s->said[i] < t->classes)
            votes[n++] = (struct vote){s->cls[i], (uint32_t)s->said[i], 1};
    }
    return elect(a, t, votes, n);
}

// Every second image of each class.
static uint8_t *halves(struct arena *a, const struct trial *t, const struct said *s) {
    uint8_t *half = NEW_N(a, uint8_t, s->n), *next = NEW_N(a, uint8_t, t->nnames);
    for (size_t i = 0; i < s->n; i++) {
        half[i] = next[s->cls[i]];
        next[s->cls[i]] ^= 1;
    }
    return half;
}

// ---- judging -------------------------------------------------------------------------
static bool agrees(const uint32_t *output, uint32_t cls, int32_t said) {
    uint32_t meant = output[cls] == TRIAL_NO_OUTPUT ? cls : output[cls];
    return said >= 0 && (uint32_t)said == meant;
}

// outputs: for images of the first half, and for those of the second.
static void meet(const struct said *s, const int32_t *given, const uint8_t *half,
                 const uint32_t *const outputs[2], struct ordering *o) {
    o->duel = (struct duel){0};
    o->counts = (struct trial_counts){.n = s->n};
    for (size_t i = 0; i < s->n; i++) {
        bool was = given[i] >= 0 && (uint32_t)given[i] == s->cls[i];
        bool is = agrees(outputs[half ? half[i] : 0], s->cls[i], s->said[i]);
        o->counts.right += is;
        o->duel.better += is && !was;
        o->duel.worse += was && !is;
    }
}

static void better(const struct ordering *o, size_t of, struct ordering *best,
                   bool *found) {
    if (!trial_wins(o->duel, TRIAL_ORDERS * of)) return;
    if (*found && o->counts.right <= best->counts.right) return;
    *best = *o;
    *found = true;
}

static void try_said(struct arena *a, const struct trial *t, const struct said *s,
                     const int32_t *given, struct ordering *o) {
    const uint8_t *half = halves(a, t, s);
    const uint32_t *outputs[2] = {said_order(a, t, s, half, SECOND),
                                  said_order(a, t, s, half, FIRST)};
    o->order = ORDER_OTHER;
    o->output = said_order(a, t, s, half, WHOLE);
    meet(s, given, half, outputs, o);
}

bool trial_find_order(struct arena *a, const struct trial *t, const struct said *way,
                      const int32_t *given, size_t of, struct ordering *out) {
    static const enum trial_order by_name[] = {ORDER_NUMBERS, ORDER_CASELESS};
    struct ordering o;
    bool found = false;
    for (size_t i = 0; i < COUNT(by_name); i++) {
        o = (struct ordering){.order = by_name[i],
                              .output = named_order(a, t, by_name[i])};
        const uint32_t *const both[2] = {o.output, o.output};
        if (!o.output) continue;
        meet(way, given, NULL, both, &o);
        better(&o, of, out, &found);
    }
    if (found) return true; // it says more than what it is read off
    try_said(a, t, way, given, &o);
    better(&o, of, out, &found);
    return found;
}
