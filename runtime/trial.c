// See trial.h. Two ways are compared on the same images, by those that only one of them
// gets right: if they were equally good, each would be as likely to be the better one (a
// sign test, corrected for the number of ways).
#include "runtime/trial_impl.h"

#include <math.h>

#define SIGNIFICANT 0.0005 // chance of a false alarm, in each of two looks
#define SUSPICIOUS  0.02   // enough to look again
#define ROWS_MOST   ((size_t)1024)
#define EACH        ((size_t)8)

// Images in all, where the classes have so many; and those tried in other ways.
static const size_t looked_at[TRIAL_LOOKS] = {128, 512};

// ---- ways ----------------------------------------------------------------------------
static const struct trial_norm norms[TRIAL_NORMS] = {
    {"no normalisation, pixels from 0 to 1", {0, 0, 0}, {1, 1, 1}},
    {"pixels from -1 to 1", {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}},
    {"ImageNet's normalisation", {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}},
    {"CIFAR-10's normalisation", {0.4914, 0.4822, 0.4465}, {0.2470, 0.2435, 0.2616}},
    {"CIFAR-100's normalisation", {0.5071, 0.4865, 0.4409}, {0.2673, 0.2564, 0.2762}},
    {"pixels from 0 to 255", {0, 0, 0}, {1.0 / 255, 1.0 / 255, 1.0 / 255}},
};

struct trial_way trial_way(size_t i) {
    CHECK(i < TRIAL_VARIANTS);
    if (i == 0) return (struct trial_way){.reversed = true};
    return (struct trial_way){i > TRIAL_NORMS, &norms[(i - 1) % TRIAL_NORMS]};
}

// ---- statistics ----------------------------------------------------------------------
// P(at least so many of n), when each comes with probability p.
static double at_least(size_t n, size_t least, double p) {
    if (!least) return 1;
    if (least > n || p <= 0) return 0;
    if (p >= 1) return 1;
    double log_term = (double)least * log(p) + (double)(n - least) * log1p(-p);
    for (size_t i = 1; i <= least; i++)
        log_term += log((double)(n - least + i) / (double)i);
    double term = exp(log_term), sum = 0;
    for (size_t k = least; k <= n && term > 0; k++) {
        sum += term;
        term *= (double)(n - k) / (double)(k + 1) * p / (1 - p);
    }
    return fmin(sum, 1);
}

// How likely that one of two equally good ways does so well.
static double by_chance(struct duel d) {
    return at_least(d.better + d.worse, d.better, 0.5);
}

bool trial_wins(struct duel d, size_t of) {
    return d.better > d.worse && by_chance(d) * (double)of < SIGNIFICANT;
}

static bool is_right(const struct trial *t, size_t i, int32_t said) {
    return said >= 0 && (uint32_t)said == t->cls[i];
}

// ---- which images --------------------------------------------------------------------
size_t trial_per_class(enum trial_look look, size_t wanted, size_t classes) {
    if (wanted || !classes) return size_max(wanted, 1);
    size_t least = (looked_at[look] + classes - 1) / classes;
    return size_max(1, size_min(size_max(EACH, least), ROWS_MOST / classes));
}

size_t trial_choices(enum trial_look look, size_t n) {
    return size_min(n, looked_at[look]);
}

size_t trial_choose(enum trial_look look, const struct trial *t, uint32_t *out,
                    size_t *wrong) {
    size_t most = trial_choices(look, t->n), n = 0;
    for (int right = 0; right < 2; right++) {
        for (size_t k = 0; k < most; k++) {
            size_t i = k * t->n / most;
            if (is_right(t, i, t->said[i]) == right) out[n++] = (uint32_t)i;
        }
        if (!right) *wrong = n;
    }
    return n;
}

static int32_t said_otherwise(const struct trial *t, size_t k, size_t way) {
    return t->otherwise[k * TRIAL_VARIANTS + way];
}

static struct duel duel_of(const struct trial *t, size_t way) {
    struct duel d = {0};
    for (size_t k = 0; k < t->ntried; k++) {
        size_t i = t->tried[k];
        bool was = is_right(t, i, t->said[i]);
        bool is = is_right(t, i, said_otherwise(t, k, way));
        d.better += is && !was;
        d.worse += was && !is;
    }
    return d;
}

// Where most are wrong, the order of classes may be, and then no way gets them right.
bool trial_could_help(const struct trial *t, size_t chosen, size_t wrong) {
    if (!trial_wins((struct duel){wrong, 0}, 1)) return false;
    if (t->ntried < wrong || wrong > chosen / 2) return true;
    for (size_t way = 0; way < TRIAL_VARIANTS; way++)
        if (trial_wins(duel_of(t, way), 1)) return true;
    return false;
}

bool trial_suspects(const struct trial *t) {
    bool any = false;
    for (size_t way = 0; way < TRIAL_VARIANTS && t->ntried; way++) {
        struct duel d = duel_of(t, way);
        if (trial_wins(d, TRIAL_VARIANTS)) return false;
        any = any || (d.better > d.worse && by_chance(d) < SUSPICIOUS);
    }
    return any;
}

// ---- guessing ------------------------------------------------------------------------
// What saying always the same class, or any, would come to.
static double share_by_chance(const struct trial *t) {
    size_t *count = mem_zalloc(t->nnames + 1, sizeof *count), most = 0;
    if (!count) scope_no_memory();
    for (size_t i = 0; i < t->n; i++) most = size_max(most, ++count[t->cls[i]]);
    mem_free(count);
    return (double)most / (double)t->n;
}

#define BETTER 0.01 // chance that guessing looks like knowing
#define WEAK   0.3  // of what guessing leaves to be known: a weak model, but no wrong one

static void judge_guessing(const struct trial *t, struct trial_verdict *out) {
    size_t right = out->given.right;
    double chance = share_by_chance(t), weak = chance + WEAK * (1 - chance);
    if (chance >= 1 || at_least(t->n, right, chance) < BETTER) return;
    out->guessing = 1 - at_least(t->n, right + 1, weak) < SIGNIFICANT;
    out->unsure = !out->guessing;
}

// ---- what would be better ------------------------------------------------------------
static double share(struct trial_counts c) {
    return c.n ? (double)c.right / (double)c.n : 0;
}

static struct trial_counts count_tried(const struct trial *t, int way) {
    struct trial_counts c = {.n = t->ntried};
    for (size_t k = 0; k < t->ntried; k++) {
        size_t i = t->tried[k];
        int32_t said = way < 0 ? t->said[i] : said_otherwise(t, k, (size_t)way);
        c.right += is_right(t, i, said);
    }
    return c;
}

#define NOTEWORTHY 0.05

// Whether one way gets more right than a simpler one by more than chance.
static bool is_worth_more(const struct trial *t, size_t way, size_t simpler) {
    struct duel d = {0};
    for (size_t k = 0; k < t->ntried; k++) {
        bool a = is_right(t, t->tried[k], said_otherwise(t, k, way));
        bool b = is_right(t, t->tried[k], said_otherwise(t, k, simpler));
        d.better += a && !b;
        d.worse += b && !a;
    }
    return by_chance(d) < NOTEWORTHY;
}

// Of two changes, each alone when that is as good.
static size_t simplest(const struct trial *t, size_t way) {
    if (way <= TRIAL_NORMS) return way;
    size_t alone[] = {0, way - TRIAL_NORMS};
    for (size_t i = 0; i < COUNT(alone); i++)
        if (trial_wins(duel_of(t, alone[i]), TRIAL_VARIANTS) &&
            !is_worth_more(t, way, alone[i]))
            return alone[i];
    return way;
}

static void judge_ways(const struct trial *t, struct trial_verdict *out) {
    int best = -1;
    for (size_t way = 0; way < TRIAL_VARIANTS; way++) {
        if (t->ntried) out->ways[way] = count_tried(t, (int)way);
        if (!trial_wins(duel_of(t, way), TRIAL_VARIANTS)) continue;
        if (best < 0 || out->ways[way].right > out->ways[best].right) best = (int)way;
    }
    if (best < 0) return;
    out->way = (int)simplest(t, (size_t)best);
    for (size_t way = 0; way < TRIAL_VARIANTS; way++)
        out->alike[way] = (int)way != out->way &&
                          trial_wins(duel_of(t, way), TRIAL_VARIANTS) &&
                          !is_worth_more(t, (size_t)out->way, way);
    out->before = count_tried(t, -1);
    out->after = out->ways[out->way];
}

static void take_order(const struct ordering *o, int way, struct trial_counts before,
                       struct trial_verdict *out) {
    out->way = way;
    out->order = o->order;
    out->output = o->output;
    out->before = before;
    out->after = o->counts;
}

static void judge_order(struct arena *a, const struct trial *t,
                        struct trial_verdict *out) {
    struct said said = {t->n, t->cls, t->said};
    struct ordering o;
    if (!trial_find_order(a, t, &said, t->said, 1, &o)) return;
    if (out->way >= 0 && share(out->after) >= share(o.counts)) return;
    take_order(&o, -1, out->given, out);
}

// Classes in another order and another way, both at once.
static void judge_both(struct arena *a, const struct trial *t,
                       struct trial_verdict *out) {
    uint32_t *cls = NEW_N(a, uint32_t, t->ntried);
    int32_t *given = NEW_N(a, int32_t, t->ntried), *said = NEW_N(a, int32_t, t->ntried);
    struct trial_counts before = count_tried(t, -1);
    struct ordering o;
    for (size_t k = 0; k < t->ntried; k++) {
        cls[k] = t->cls[t->tried[k]];
        given[k] = t->said[t->tried[k]];
    }
    for (size_t way = 0; way < TRIAL_VARIANTS; way++) {
        for (size_t k = 0; k < t->ntried; k++) said[k] = said_otherwise(t, k, way);
        struct said of_way = {t->ntried, cls, said};
        if (!trial_find_order(a, t, &of_way, given, TRIAL_VARIANTS, &o)) continue;
        if (share(o.counts) > share(out->after)) take_order(&o, (int)way, before, out);
    }
}

void trial_judge(struct arena *a, const struct trial *t, struct trial_verdict *out) {
    *out = (struct trial_verdict){.way = -1, .given = {.n = t->n}};
    for (size_t i = 0; i < t->n; i++) out->given.right += is_right(t, i, t->said[i]);
    if (!t->n) return;
    // Folders that are not the model's classes one by one are none of them by their
    // number.
    if (t->nnames == t->classes) judge_guessing(t, out);
    judge_ways(t, out);
    judge_order(a, t, out);
    if (out->way < 0 && out->order == ORDER_NAMES) judge_both(a, t, out);
    if (out->way >= 0 || out->order != ORDER_NAMES) out->unsure = false;
}
