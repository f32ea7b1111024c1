// See timeline.h.
#include "runtime/timeline.h"

#include <time.h>

// The processor's time for this process until now: what it did before main, since nothing
// tells to better than a hundredth of a second when it was started.
static double busy_seconds(void) {
    struct timespec t = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void timeline_begin(struct timeline *t) {
    *t = (struct timeline){.start = clock_seconds() - busy_seconds(),
                           .thread = pthread_self()};
    pthread_mutex_init(&t->lock, NULL);
    timeline_add(t, t->start, "start the process", NULL);
}

void timeline_end(struct timeline *t) {
    pthread_mutex_destroy(&t->lock);
}

double timeline_now(const struct timeline *t) {
    return t ? clock_seconds() : 0;
}

// NULL when there is no room for another name.
static struct timeline_phase *phase_named(struct timeline *t, const char *name,
                                          double began) {
    size_t i = 0;
    while (i < t->n && strcmp(t->phases[i].name, name) != 0) i++;
    if (i == TIMELINE_MAX) return NULL;
    struct timeline_phase *p = &t->phases[i];
    if (i == t->n) {
        *p = (struct timeline_phase){.began = began};
        snprintf(p->name, sizeof p->name, "%s", name);
        t->n++;
    }
    if (began < p->began) p->began = began;
    return p;
}

void timeline_add(struct timeline *t, double began, const char *what,
                  const char *detail) {
    if (!t) return;
    double ended = clock_seconds();
    char name[sizeof t->phases->name];
    snprintf(name, sizeof name, "%s%s%s", what, detail ? " " : "", detail ? detail : "");
    pthread_mutex_lock(&t->lock);
    struct timeline_phase *p = phase_named(t, name, began - t->start);
    if (p) p->seconds += ended - began;
    pthread_mutex_unlock(&t->lock);
    if (t->watch && pthread_equal(pthread_self(), t->thread))
        t->watch(t->watch_ctx, name, began, ended);
}

void timeline_kernel(struct timeline *t) {
    if (!t || atomic_load_explicit(&t->kernels, memory_order_relaxed)) return;
    if (!atomic_exchange(&t->kernels, true)) t->first_kernel = clock_seconds() - t->start;
}

static int compare_phases(const void *a, const void *b) {
    const struct timeline_phase *x = a, *y = b;
    return x->began > y->began ? 1 : x->began < y->began ? -1 : strcmp(x->name, y->name);
}

size_t timeline_phases(const struct timeline *t, struct timeline_phase *out) {
    memcpy(out, t->phases, t->n * sizeof *out);
    qsort(out, t->n, sizeof *out, compare_phases);
    return t->n;
}
