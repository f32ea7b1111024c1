// What every step of a training is given: its learning rate, and which rows come next.
#include "runtime/random.h"
#include "runtime/real.h"
#include "runtime/train_impl.h"

static double by_milestones(const struct plan_train *t, double epoch) {
    double rate = 1;
    for (size_t i = 0; i < t->nmilestones; i++)
        if (epoch >= t->milestones[i]) rate *= t->gamma;
    return rate;
}

// done: the share of the steps after the warmup that came before this one.
static double by_schedule(const struct plan_train *t, double done, double epoch) {
    switch (t->schedule) {
    case SCHEDULE_CONSTANT: return 1;
    case SCHEDULE_COSINE: return 0.5 * (1 + real_cos(3.141592653589793 * done));
    case SCHEDULE_LINEAR: return 1 - done;
    case SCHEDULE_STEP: return by_milestones(t, epoch);
    }
    BUG("no such schedule");
}

// The first step of a warmup has one share of the rate, not none: it would change
// nothing.
double train_rate(const struct plan_train *t, size_t step, size_t per_epoch) {
    double at = (double)step, each = (double)per_epoch;
    double rising = t->warmup * each, all = (double)t->epochs * each;
    if (at + 1 < rising) return t->rate * (at + 1) / rising;
    double done = at > rising ? (at - rising) / (all - rising) : 0;
    return t->rate * by_schedule(t, done, at / each);
}

void train_order(const struct plan_train *t, size_t epoch, uint32_t *order, size_t rows) {
    struct random r =
        random_stream("order", (uint64_t)t->seed, (struct digest){epoch, 0});
    for (size_t i = 0; i < rows; i++) order[i] = (uint32_t)i;
    for (size_t i = rows; i > 1; i--) {
        size_t j = random_below(&r, (uint32_t)i);
        uint32_t v = order[i - 1];
        order[i - 1] = order[j];
        order[j] = v;
    }
}
