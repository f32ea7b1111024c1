// Where the time goes, from the start of the process to the first kernel and beyond:
// phases by name, each with when it first began and how long it took in all. Phases may
// overlap; what several threads do at the same moment counts for each of them.
//
//     double began = timeline_now(t);
//     ...
//     timeline_add(t, began, "read", "the model");
//
// Any thread may add. A NULL timeline takes everything and keeps nothing.
#ifndef DDG_TIMELINE_H
#define DDG_TIMELINE_H

#include "runtime/base/base.h"

#include <pthread.h>
#include <stdatomic.h>

#define TIMELINE_MAX 64

struct timeline_phase {
    char name[48];
    double began;   // seconds from the start of the process
    double seconds; // in all
};

struct timeline {
    double start; // of the process, on clock_seconds
    pthread_mutex_t lock;
    size_t n;
    struct timeline_phase phases[TIMELINE_MAX]; // in the order they ended first
    // Told of every phase of the thread that began the timeline; may be NULL.
    void (*watch)(void *ctx, const char *name, double began, double ended);
    void *watch_ctx;
    pthread_t thread;    // that one
    atomic_bool kernels; // one was called, the first one at
    double first_kernel; // so many seconds from the start
};

// To be called first thing in main: what came before it, the loading of shared libraries,
// is the first phase, as long as the processor was busy with it.
void timeline_begin(struct timeline *t);
void timeline_end(struct timeline *t);

double timeline_now(const struct timeline *t);
// A phase of this name (what, then detail unless it is NULL) took from `began` to now.
void timeline_add(struct timeline *t, double began, const char *what, const char *detail);
// A kernel is about to be called; the first one counts.
void timeline_kernel(struct timeline *t);

// The phases in the order they began. Nobody adds any more.
size_t timeline_phases(const struct timeline *t, struct timeline_phase *out);

#endif
